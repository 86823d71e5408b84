/* Sources that wrap another one. */
#ifndef SWALE_DATASETS_WRAPPED_SOURCE_H
#define SWALE_DATASETS_WRAPPED_SOURCE_H

#include "datasets/sample_size.h"

/* Frees a source that the caller handed over with `own`. */
void swd_free_owned(sw_source *source, bool own);

/* First member of a wrapper that keeps the samples' ids. */
typedef struct swd_wrap {
    sw_source source;
    sw_source *inner;
    bool own;
    sw_source_hold hold; /* of inner */
} swd_wrap;
/* Everything as in the inner source, which is asked to prefetch; gather and free are the caller's. */
void swd_wrap_source(swd_wrap *wrap, sw_source *inner, bool own);
/* Lets go of the inner source, and frees it if it is owned. */
void swd_unwrap_source(swd_wrap *wrap);

#endif
