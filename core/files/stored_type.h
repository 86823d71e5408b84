/* Element types of the safetensors format. */
#ifndef SWALE_FILES_STORED_TYPE_H
#define SWALE_FILES_STORED_TYPE_H

#include <swale/array.h>

typedef struct swi_stored_type {
    const char *name; /* in the safetensors format: "BF16" */
    int bits;
    int as;   /* the sw_dtype to which it is converted when it is loaded; -1: it is not supported */
    int same; /* the sw_dtype that is saved as this type; -1: none */
} swi_stored_type;

/* These functions return NULL if there is no such type. */
const swi_stored_type *swi_find_stored_type(const char *name);
const swi_stored_type *swi_stored_type_of(sw_dtype type);
const char *swi_stored_name(sw_dtype type);

/* Converts `count` 16-bit numbers (F16 or BF16), which are in the second half of `data`, to f32 numbers that fill
 * `data`. It runs from the first number to the last, so that no number is overwritten before it is read. */
void swi_stored_widen(const swi_stored_type *type, char *data, int64_t count);

#endif
