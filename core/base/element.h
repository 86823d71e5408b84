/* The size of an element, as an inline function for the inner loops. */
#ifndef SWALE_BASE_ELEMENT_H
#define SWALE_BASE_ELEMENT_H

#include <swale/array.h>

/* As sw_dtype_size, for valid types only: the size is the hexadecimal digit number `type` of the constant. */
static inline size_t swi_size(sw_dtype type) {
    return (0x8142284u >> (4 * (unsigned)type)) & 15u;
}

#endif
