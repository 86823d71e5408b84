/* A few synthetic pictures in place of Fashion-MNIST, as vectors or as [28, 28, 1]: FEW_PICTURES, by default 100. */
#ifndef TEST_EXAMPLES_FEW_PICTURES_H
#define TEST_EXAMPLES_FEW_PICTURES_H

#include <swale/datasets.h>

#ifndef FEW_PICTURES
#define FEW_PICTURES 100
#endif

static inline sw_source *few_samples(int rank, const int64_t *shape) {
    static unsigned char pixels[FEW_PICTURES * 784], labels[FEW_PICTURES];
    const sw_array x = sw_array_view(pixels, SW_U8, rank, shape),
                   y = sw_array_view(labels, SW_U8, SW_SHAPE(FEW_PICTURES));
    const sw_arrays_options how = {.size = sizeof how, .classes = 10, .scale = 1.0 / 255};
    for (int i = 0; i < FEW_PICTURES * 784; i++)
        pixels[i] = (unsigned char)((unsigned)i * 2654435761u >> 24);
    for (int i = 0; i < FEW_PICTURES; i++)
        labels[i] = (unsigned char)(i % 10);
    return sw_arrays(&x, &y, &how);
}

static inline sw_source *few_vectors(const char *directory, sw_data_split split) {
    (void)directory, (void)split;
    return few_samples(SW_SHAPE(FEW_PICTURES, 784));
}

static inline sw_source *few_pictures(const char *directory, sw_data_split split) {
    (void)directory, (void)split;
    return few_samples(SW_SHAPE(FEW_PICTURES, 28, 28, 1));
}

#endif
