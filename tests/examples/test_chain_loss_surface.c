/* examples/loss_surface.c with failing allocations, on a few synthetic pictures. */
#define _XOPEN_SOURCE 700
#include "support.h"

#include "few_pictures.h"

#define main program_main
#define sw_fashion_mnist_pictures few_pictures
#include "../../examples/loss_surface.c"
#undef main

#define PROGRAM_ARGUMENTS                                                                                    \
    (char[]){"--samples=10"}, (char[]){"--shown=10"}, (char[]){"--channels=1"}, (char[]){"--epochs=1"},      \
        (char[]){"--places=3"}, (char[]){"--side=3"}, (char[]){"--depth=8"}, (char[]){"--width=1"},          \
        (char[]){"--residual-samples=10"}, (char[]){"--residual-shown=10"}, (char[]){"--residual-epochs=1"}, \
        (char[]) {                                                                                           \
        "--residual-side=3"                                                                                  \
    }
#include "chain.h"
