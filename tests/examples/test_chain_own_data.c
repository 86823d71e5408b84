/* examples/own_data.c with failing allocations. */
#define _XOPEN_SOURCE 700
#include "support.h"

#define main program_main
#include "../../examples/own_data.c"
#undef main

#define PROGRAM_ARGUMENTS            \
    (char[]){"--epochs"}, (char[]) { \
        "2"                          \
    }
#include "chain.h"
