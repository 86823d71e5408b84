/* examples/spirals.c with failing allocations. */
#define _XOPEN_SOURCE 700
#include "support.h"

#define main program_main
#include "../../examples/spirals.c"
#undef main

#define PROGRAM_ARGUMENTS                                                 \
    (char[]){"--every"}, (char[]){"1"}, (char[]){"--samples"}, (char[]) { \
        "9"                                                               \
    }
#include "chain.h"
