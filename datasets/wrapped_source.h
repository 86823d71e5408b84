/* Sources that wrap another one. */
#ifndef SWALE_DATASETS_WRAPPED_SOURCE_H
#define SWALE_DATASETS_WRAPPED_SOURCE_H

#include "datasets/sample_size.h"

/* Frees a source if owns_inner is true (the caller handed it over). */
void swd_free_owned_source(sw_source *source, bool owns_inner);

/* The first member of a wrapper in which each sample keeps its id. */
typedef struct swd_wrapped_source {
    sw_source source;
    sw_source *inner;
    bool owns_inner;
    sw_source_hold hold; /* of inner */
} swd_wrapped_source;
/* Copies the members of the inner source; prefetch calls are passed on to it. The caller sets gather and free. */
void swd_wrapped_source_init(swd_wrapped_source *wrap, sw_source *inner, bool owns_inner);
/* Releases the hold of the inner source, and frees it if the wrapper owns it. */
void swd_wrapped_source_release(swd_wrapped_source *wrap);

#endif
