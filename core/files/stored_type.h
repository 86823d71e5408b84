/* Element types of files. */
#ifndef SWALE_FILES_STORED_TYPE_H
#define SWALE_FILES_STORED_TYPE_H

#include <swale/array.h>

typedef struct swi_stored_type {
    const char *name; /* in the format safetensors */
    int bits;
    int as; /* the sw_dtype that is made of it; -1: none */
} swi_stored_type;

/* NULL: there is none. */
const swi_stored_type *swi_find_stored_type(const char *name);
const swi_stored_type *swi_stored_type_of(sw_dtype type);
const char *swi_stored_name(sw_dtype type);

/* 16-bit numbers (F16 or BF16) that lie in the second half of `data` to f32, from the first on: none is overwritten
 * before it was read. */
void swi_stored_widen(const swi_stored_type *type, char *data, int64_t count);

#endif
