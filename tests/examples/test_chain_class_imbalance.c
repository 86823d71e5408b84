/* examples/class_imbalance.c with failing allocations. */
#define _XOPEN_SOURCE 700
#include "support.h"

#define main program_main
#include "../../examples/class_imbalance.c"
#undef main

#define PROGRAM_ARGUMENTS                                                                           \
    (char[]){"--groups=2"}, (char[]){"--dim=2"}, (char[]){"--steps=2"}, (char[]){"--text=LICENSE"}, \
        (char[]){"--words=5"}, (char[]){"--width=2"}, (char[]) {                                    \
        "--word-steps=2"                                                                            \
    }
#define CHAIN_FIRST 30
#include "chain.h"
