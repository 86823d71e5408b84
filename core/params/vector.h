/* The parameter vector. */
#ifndef SWALE_PARAMS_VECTOR_H
#define SWALE_PARAMS_VECTOR_H

#include <swale/params.h>

struct sw_params {
    sw_dtype type, storage; /* of x; of leaves and of the gradient block */
    uint64_t seed, id;      /* id: unique in the process */
    uint64_t version;       /* increases when x changes */
    sw_param **list;
    int count, capacity;
    bool built;
    sw_status failed;        /* the status of a declaration that failed; SW_OK if none did */
    int64_t dim, buffer_dim; /* the last buffer_dim of the dim elements belong to buffers */
    void *x;
    sw_gradient *gradient;
    struct swi_initializer *initializer; /* [capacity] */
};

/* As sw_params_new_with_options, without the check that operations support the storage type. */
sw_params *swi_params_new(const sw_params_options *options);

#endif
