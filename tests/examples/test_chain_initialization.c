/* examples/initialization.c with failing allocations, on synthetic pictures. */
#define _XOPEN_SOURCE 700
#include "support.h"

#include <swale/datasets.h>

static sw_source *few_pictures(const char *directory, sw_data_split split) {
    enum { COUNT = 512 };
    static unsigned char pixels[COUNT * 784], labels[COUNT];
    const sw_array x = sw_array_view(pixels, SW_U8, SW_SHAPE(COUNT, 784)),
                   y = sw_array_view(labels, SW_U8, SW_SHAPE(COUNT));
    const sw_arrays_options how = {.size = sizeof how, .classes = 10, .scale = 1.0 / 255};
    (void)directory, (void)split;
    for (int i = 0; i < COUNT * 784; i++)
        pixels[i] = (unsigned char)((unsigned)i * 2654435761u >> 24);
    for (int i = 0; i < COUNT; i++)
        labels[i] = (unsigned char)(i % 10);
    return sw_arrays(&x, &y, &how);
}

#define main program_main
#define sw_fashion_mnist few_pictures
#include "../../examples/initialization.c"
#undef main

#define PROGRAM_ARGUMENTS                                                                                         \
    (char[]){"--samples=512"}, (char[]){"--epochs=1"}, (char[]){"--batch=512"}, (char[]){"--width=2"}, (char[]) { \
        "--seeds=1"                                                                                               \
    }
#define CHAIN_FIRST 10
#include "chain.h"
