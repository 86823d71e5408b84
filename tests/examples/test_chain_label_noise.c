/* examples/label_noise.c with failing allocations, on a few synthetic pictures. */
#define _XOPEN_SOURCE 700
#include "support.h"

#include "few_pictures.h"

#define main program_main
#define sw_fashion_mnist_pictures few_pictures
#include "../../examples/label_noise.c"
#undef main

#define PROGRAM_ARGUMENTS                                                                                         \
    (char[]){"--samples=50"}, (char[]){"--test=50"}, (char[]){"--channels=1"}, (char[]){"--epochs=1"}, (char[]) { \
        "--hidden=1"                                                                                              \
    }
#define CHAIN_FIRST 20
#include "chain.h"
