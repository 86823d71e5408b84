/* examples/sharpness.c with failing allocations, on a few synthetic pictures. */
#define _XOPEN_SOURCE 700
#include "support.h"

#include "few_pictures.h"

#define main program_main
#define sw_fashion_mnist few_vectors
#include "../../examples/sharpness.c"
#undef main

#define PROGRAM_ARGUMENTS                                                                                         \
    (char[]){"--samples=100"}, (char[]){"--test=100"}, (char[]){"--hidden=2"}, (char[]){"--epochs=1"}, (char[]) { \
        "--seeds=2"                                                                                               \
    }
#include "chain.h"
