/* A source from two IDX files, pictures and labels. */
#ifndef SWALE_DATASETS_IDX_IMAGES_H
#define SWALE_DATASETS_IDX_IMAGES_H

#include <swale/mnist.h>

/* As sw_idx_images. If `expected` is not NULL, another shape than this [n, height, width] is an error. */
sw_source *swd_images_open(const char *images_path, const char *labels_path, const sw_images_options *options,
                           const int64_t expected[3]);

#endif
