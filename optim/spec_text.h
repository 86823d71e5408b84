/* The specs of an optimizer, written out for files. */
#ifndef SWALE_OPTIM_SPEC_TEXT_H
#define SWALE_OPTIM_SPEC_TEXT_H

#include <swale/optim.h>

/* The text of a spec: the methods, with those of their options that are integers or choices. Optimizers with equal
 * texts have states of the same meaning. */
typedef struct swo_spec_text {
    const char *key;
    char *(*text)(const sw_optim *o); /* the caller frees it; NULL after an error */
} swo_spec_text;
enum { SWO_SPEC_TEXTS = 4 };
extern const swo_spec_text swo_spec_texts[SWO_SPEC_TEXTS];

#endif
