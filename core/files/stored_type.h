/* Element types of the safetensors format. */
#ifndef SWALE_FILES_STORED_TYPE_H
#define SWALE_FILES_STORED_TYPE_H

#include <swale/array.h>

typedef struct swi_stored_type {
    const char *name; /* in the safetensors format: "BF16" */
    int bits;
    int type; /* the sw_dtype; -1: there is none, and the data is not read */
} swi_stored_type;

/* These functions return NULL if there is no such type. */
const swi_stored_type *swi_find_stored_type(const char *name);
const swi_stored_type *swi_stored_type_of(sw_dtype type);
const char *swi_stored_name(sw_dtype type);

/* The index of the first finite number among n numbers of the floating-point type `from` that is infinite after it was
 * rounded to the floating-point type `through` and the result to `to`; -1 if there is none. */
int64_t swi_find_beyond(sw_dtype from, int64_t n, const void *data, sw_dtype through, sw_dtype to);

#endif
