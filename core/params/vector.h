/* The parameter vector. */
#ifndef SWALE_PARAMS_VECTOR_H
#define SWALE_PARAMS_VECTOR_H

#include <swale/params.h>

struct sw_params {
    sw_dtype type, storage; /* of x; of leaves and of the gradient block */
    uint64_t seed, id;      /* id: unique in the process */
    uint64_t version;       /* increases when x changes */
    double loss_scale;
    sw_param **list;
    int count, capacity;
    bool built;
    sw_status failed;        /* the status of a declaration that failed; SW_OK if none did */
    int64_t dim, buffer_dim; /* the last buffer_dim of the dim elements belong to buffers */
    void *x;
    void *copy; /* of x in the storage type, without the buffers, for the leaves; NULL if it is the type of x */
    sw_gradient *gradient;
    struct swi_initializer *initializer; /* [capacity] */
};

/* The number of elements of the copy. */
static inline int64_t swi_params_trained(const sw_params *p) {
    return p->dim - p->buffer_dim;
}
/* Computes the copy again from x. Nothing, if there is no copy. */
void swi_params_renew_copy(sw_params *params);
/* Increases the version as sw_params_mark_changed does, for a caller that also writes the copy where it writes x. */
void swi_params_count_change(sw_params *params);

#endif
