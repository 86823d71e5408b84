/* Sparse rows as a source of dense samples. */
#ifndef SWALE_DATASETS_SPARSE_SOURCE_H
#define SWALE_DATASETS_SPARSE_SOURCE_H

#include "datasets/memory_source.h"

/* A source of sparse rows: x is gathered with its zeros. Targets are those of `stored`, whose x stays empty. */
typedef struct swd_sparse_source {
    swd_memory_source stored; /* first: a pointer to its source is a pointer to the whole */
    sw_csr x;
} swd_sparse_source;
/* Once x, stored.y and the classes are set: n, the shapes of a sample, gather. */
void swd_sparse_source_finish(swd_sparse_source *s);

#endif
