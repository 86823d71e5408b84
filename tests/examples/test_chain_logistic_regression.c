/* examples/logistic_regression.c with failing allocations. */
#define _XOPEN_SOURCE 700
#include "support.h"

#define main program_main
#include "../../examples/logistic_regression.c"
#undef main

#define PROGRAM_ARGUMENTS            \
    (char[]){"--passes"}, (char[]) { \
        "4"                          \
    }
#include "chain.h"
