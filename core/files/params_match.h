/* Parameters and the arrays of an archive from which they are loaded. */
#ifndef SWALE_FILES_PARAMS_MATCH_H
#define SWALE_FILES_PARAMS_MATCH_H

#include <swale/archive.h>
#include <swale/text.h>

typedef struct swi_match {
    const sw_params *params;
    const sw_archive *archive;
    const char *prefix;  /* the prefix of the names in the file */
    const char *omitted; /* the beginning of names of parameters that the names in the file lack */
    bool channels_first;
    int *from;  /* [params]: the entry from which a parameter is read; -1: none, or it is tied */
    bool *used; /* [entries]: the entry belongs to a parameter */
    bool no_memory;
    bool other_order; /* a shape that does not fit would fit with channels first */
    sw_error_list faults;
} swi_match;

/* Sets `from` and `used`. Nothing else is changed. An error (SW_ERR_FORMAT) lists every mismatch: missing and
 * unexpected names, other shapes and types, numbers that are too large. */
sw_status swi_match_names(swi_match *match);
/* Returns the prefix followed by the name, which the caller frees by sw_free; NULL and an error if there is not enough
 * memory. */
char *swi_join_name(const char *prefix, const char *name);

#endif
