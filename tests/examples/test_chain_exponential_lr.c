/* examples/exponential_lr.c with failing allocations. */
#define _XOPEN_SOURCE 700
#include "support.h"

#define main program_main
#include "../../examples/exponential_lr.c"
#undef main

#define PROGRAM_ARGUMENTS             \
    (char[]){"--steps=2"}, (char[]) { \
        "--width=2"                   \
    }
#include "chain.h"
