/* examples/mode_connectivity.c with failing allocations, on a few synthetic pictures. */
#define _XOPEN_SOURCE 700
#include "support.h"

#include "few_pictures.h"

#define main program_main
#define sw_fashion_mnist_pictures few_pictures
#include "../../examples/mode_connectivity.c"
#undef main

#define PROGRAM_ARGUMENTS                                                                                   \
    (char[]){"--samples=10"}, (char[]){"--test=10"}, (char[]){"--statistics=10"}, (char[]){"--channels=1"}, \
        (char[]){"--epochs=1"}, (char[]){"--bend-epochs=1"}, (char[]){"--places=3"}, (char[]) {             \
        "--side=2"                                                                                          \
    }
#include "chain.h"
