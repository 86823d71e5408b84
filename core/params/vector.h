/* The parameter vector. */
#ifndef SWALE_PARAMS_VECTOR_H
#define SWALE_PARAMS_VECTOR_H

#include <swale/params.h>

struct sw_params {
    sw_dtype type;
    uint64_t seed, id; /* id: never the same twice in a process */
    uint64_t version;  /* grows when x changes */
    sw_param **list;
    int count, capacity;
    bool built;
    sw_status failed; /* why a parameter could not be declared; SW_OK: all were */
    int64_t dim;
    void *x;
    sw_gradient *gradient;
    struct swi_recipe *recipe; /* [capacity] */
};

#endif
