/* The parameter vector. */
#ifndef SWALE_PARAMS_VECTOR_H
#define SWALE_PARAMS_VECTOR_H

#include <swale/params.h>

struct sw_params {
    sw_dtype type;
    uint64_t seed, id; /* id: unique in the process */
    uint64_t version;  /* increases when x changes */
    sw_param **list;
    int count, capacity;
    bool built;
    sw_status failed; /* the status of a declaration that failed; SW_OK if none did */
    int64_t dim;
    void *x;
    sw_gradient *gradient;
    struct swi_initializer *initializer; /* [capacity] */
};

#endif
