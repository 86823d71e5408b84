/* Sparse rows as a source of dense samples. */
#ifndef SWALE_DATASETS_SPARSE_SOURCE_H
#define SWALE_DATASETS_SPARSE_SOURCE_H

#include "datasets/memory_source.h"

/* A source of dense samples from sparse rows: gathering fills in the zeros. `stored` has the targets; its x is
 * empty. */
typedef struct swd_sparse_source {
    swd_memory_source stored; /* first, so that a pointer to the source is a pointer to the struct */
    sw_csr x;
} swd_sparse_source;
/* Call it when x, stored.y and the classes are set. It sets n, the shapes of a sample, and gather. */
void swd_sparse_source_finish(swd_sparse_source *s);

#endif
