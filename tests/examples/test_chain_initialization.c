/* examples/initialization.c with failing allocations, on synthetic pictures. */
#define _XOPEN_SOURCE 700
#include "support.h"

#define FEW_PICTURES 512
#include "few_pictures.h"

#define main program_main
#define sw_fashion_mnist few_vectors
#include "../../examples/initialization.c"
#undef main

#define PROGRAM_ARGUMENTS                                                                                         \
    (char[]){"--samples=512"}, (char[]){"--epochs=1"}, (char[]){"--batch=512"}, (char[]){"--width=2"}, (char[]) { \
        "--seeds=1"                                                                                               \
    }
#define CHAIN_FIRST 10
#include "chain.h"
