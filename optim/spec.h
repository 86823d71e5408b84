/* Specs: "name option=value …". */
#ifndef SWALE_OPTIM_SPEC_H
#define SWALE_OPTIM_SPEC_H

#include "optim/option_values.h"

/* The first word of `text` into name; returns what follows it. */
const char *swo_spec_word(const char *text, char name[64]);
/* Defaults, then `text` = "key=value key=value …". kind: "rule", for messages. `more`: a second table
 * (or NULL), whose options follow the first's. */
sw_status swo_spec_parse(const char *kind, const char *method, const sw_option *table, const sw_option *more,
                         const char *text, swo_values *out);

/* Around an estimator that is being parsed: the wrappers before it, the nearest one first. */
typedef struct swo_wrapper {
    const char *name;
    const sw_option *options;
    const struct swo_wrapper *outer; /* NULL: none */
} swo_wrapper;
/* An error where `text`, which follows of=NAME, has an option of a wrapper that NAME does not know: everything after
 * of= belongs to NAME. */
sw_status swo_spec_check_inner(const char *name, const sw_option *table, const swo_wrapper *outer, const char *text);

#endif
