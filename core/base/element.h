/* Element types in line. */
#ifndef SWALE_BASE_ELEMENT_H
#define SWALE_BASE_ELEMENT_H

#include <swale/array.h>

/* sw_dtype_size in line */
static inline size_t swi_size(sw_dtype type) {
    return (0x81484u >> (4 * (unsigned)type)) & 15u;
}

#endif
