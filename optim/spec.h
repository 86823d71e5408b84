/* Specs: "name option=value …". */
#ifndef SWALE_OPTIM_SPEC_H
#define SWALE_OPTIM_SPEC_H

#include "optim/option_values.h"

/* Copies the first word of `text` to name. Returns the rest of the text. */
const char *swo_spec_word(const char *text, char name[64]);
/* Sets the defaults, then the values in `text`, "key=value key=value …". kind: for messages, for example "rule". more:
 * a second table (or NULL), whose options follow those of the first. */
sw_status swo_spec_parse(const char *kind, const char *method, const sw_option *table, const sw_option *more,
                         const char *text, swo_values *out);

/* A list of the wrappers around the estimator that is being parsed, beginning with the innermost. */
typedef struct swo_wrapper {
    const char *name;
    const sw_option *options;
    const struct swo_wrapper *outer; /* NULL: none */
} swo_wrapper;
/* An error if `text`, which follows of=NAME, has an option that a wrapper has but NAME does not: everything after of=
 * belongs to NAME. */
sw_status swo_spec_check_inner(const char *name, const sw_option *table, const swo_wrapper *outer, const char *text);

#endif
