/* Sources that wrap another one. */
#ifndef SWALE_DATASETS_WRAPPED_SOURCE_H
#define SWALE_DATASETS_WRAPPED_SOURCE_H

#include "datasets/sample_size.h"

/* Frees a source that the caller handed over with `owns_inner`. */
void swd_free_owned_source(sw_source *source, bool owns_inner);

/* First member of a wrapper that keeps the samples' ids. */
typedef struct swd_wrapped_source {
    sw_source source;
    sw_source *inner;
    bool owns_inner;
    sw_source_hold hold; /* of inner */
} swd_wrapped_source;
/* Everything as in the inner source, which is asked to prefetch; gather and free are the caller's. */
void swd_wrapped_source_init(swd_wrapped_source *wrap, sw_source *inner, bool owns_inner);
/* Lets go of the inner source, and frees it if it is owned. */
void swd_wrapped_source_release(swd_wrapped_source *wrap);

#endif
