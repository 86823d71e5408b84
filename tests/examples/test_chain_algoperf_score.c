/* examples/algoperf_score.c with failing allocations. */
#define _XOPEN_SOURCE 700
#include "support.h"

#define main program_main
#include "../../examples/algoperf_score.c"
#undef main

#define PROGRAM_ARGUMENTS             \
    (char[]){"--fastest"}, (char[]) { \
        "--seed=2"                    \
    }
#define CHAIN_FIRST 6
#include "chain.h"
