/* examples/sharpness.c with failing allocations, on a few synthetic pictures. */
#define _XOPEN_SOURCE 700
#include "support.h"

#include <swale/datasets.h>

static sw_source *few_pictures(const char *directory, sw_data_split split) {
    static unsigned char pixels[100 * 784], labels[100];
    const sw_array x = sw_array_view(pixels, SW_U8, SW_SHAPE(100, 784)),
                   y = sw_array_view(labels, SW_U8, SW_SHAPE(100));
    const sw_arrays_options how = {.size = sizeof how, .classes = 10, .scale = 1.0 / 255};
    (void)directory, (void)split;
    for (int i = 0; i < 100 * 784; i++)
        pixels[i] = (unsigned char)((unsigned)i * 2654435761u >> 24);
    for (int i = 0; i < 100; i++)
        labels[i] = (unsigned char)(i % 10);
    return sw_arrays(&x, &y, &how);
}

#define main program_main
#define sw_fashion_mnist few_pictures
#include "../../examples/sharpness.c"
#undef main

#define PROGRAM_ARGUMENTS                                                                                         \
    (char[]){"--samples=100"}, (char[]){"--test=100"}, (char[]){"--hidden=2"}, (char[]){"--epochs=1"}, (char[]) { \
        "--seeds=2"                                                                                               \
    }
#include "chain.h"
