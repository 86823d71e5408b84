/* examples/double_descent.c with failing allocations, on synthetic pictures. */
#define _XOPEN_SOURCE 700
#include "support.h"

#define FEW_PICTURES 512
#include "few_pictures.h"

#define main program_main
#define sw_fashion_mnist few_vectors
#include "../../examples/double_descent.c"
#undef main

#define PROGRAM_ARGUMENTS                                                                                      \
    (char[]){"--samples=10"}, (char[]){"--test=10"}, (char[]){"--steps=1"}, (char[]){"--widest=1"}, (char[]) { \
        "--sets=1"                                                                                             \
    }
#define CHAIN_FIRST 10
#include "chain.h"
