/* examples/least_squares.c with failing allocations. */
#define _XOPEN_SOURCE 700
#include "support.h"

#define main program_main
#include "../../examples/least_squares.c"
#undef main

#define PROGRAM_ARGUMENTS           \
    (char[]){"--steps"}, (char[]) { \
        "100"                       \
    }
#include "chain.h"
