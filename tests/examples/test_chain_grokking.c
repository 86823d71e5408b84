/* examples/grokking.c with failing allocations. */
#define _XOPEN_SOURCE 700
#include "support.h"

#define main program_main
#include "../../examples/grokking.c"
#undef main

#define PROGRAM_ARGUMENTS                                                                                     \
    (char[]){"--modulus=3"}, (char[]){"--width=2"}, (char[]){"--heads=1"}, (char[]){"--probes=1"}, (char[]) { \
        "--steps=1"                                                                                           \
    }
#define CHAIN_FIRST 20
#include "chain.h"
