/* examples/drawn_surface.c with failing allocations, on a few synthetic pictures. */
#define _XOPEN_SOURCE 700
#include "support.h"

#include "few_pictures.h"

#define main program_main
#define sw_fashion_mnist_pictures few_pictures
#include "../../examples/drawn_surface.c"
#undef main

#define PROGRAM_ARGUMENTS                                                                            \
    (char[]){"--samples=10"}, (char[]){"--shown=10"}, (char[]){"--hidden=1"}, (char[]){"--steps=1"}, \
        (char[]){"--points=2"}, (char[]){"--batch=2"}, (char[]) {                                    \
        "--side=8"                                                                                   \
    }
#include "chain.h"
