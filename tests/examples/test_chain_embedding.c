/* examples/embedding.c with failing allocations. */
#define _XOPEN_SOURCE 700
#include "support.h"

#define main program_main
#include "../../examples/embedding.c"
#undef main

#define PROGRAM_ARGUMENTS           \
    (char[]){"--steps"}, (char[]) { \
        "2"                         \
    }
#include "chain.h"
