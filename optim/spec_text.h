/* The specs of an optimizer, written out for files. */
#ifndef SWALE_OPTIM_SPEC_TEXT_H
#define SWALE_OPTIM_SPEC_TEXT_H

#include <swale/optim.h>

/* Methods, with those of their options that are whole numbers or choices: optimizers of equal texts have states of
 * equal meaning. */
typedef struct swo_spec_text {
    const char *key;
    char *(*text)(const sw_optim *o); /* freed by the caller; NULL and an error */
} swo_spec_text;
enum { SWO_SPEC_TEXTS = 4 };
extern const swo_spec_text swo_spec_texts[SWO_SPEC_TEXTS];

#endif
