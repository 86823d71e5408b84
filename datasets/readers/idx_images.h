/* Two IDX files, pictures and labels, as a source. */
#ifndef SWALE_DATASETS_IDX_IMAGES_H
#define SWALE_DATASETS_IDX_IMAGES_H

#include <swale/mnist.h>

/* sw_idx_images; if `expected` is not NULL, only for images of this shape [n, height, width]. */
sw_source *swd_images_open(const char *images_path, const char *labels_path, const sw_images_options *options,
                           const int64_t expected[3]);

#endif
