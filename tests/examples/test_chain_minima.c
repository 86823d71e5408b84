/* examples/minima.c with failing allocations. */
#define _XOPEN_SOURCE 700
#include "support.h"

#define main program_main
#include "../../examples/minima.c"
#undef main

#define PROGRAM_ARGUMENTS              \
    (char[]){"--steps=10"}, (char[]) { \
        "--walks=2"                    \
    }
#include "chain.h"
