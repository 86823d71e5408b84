/* examples/gpt.c with failing allocations. */
#define _XOPEN_SOURCE 700
#include "support.h"

#define main program_main
#include "../../examples/gpt.c"
#undef main

/* The file of --out is written before a text is generated, and none is here. */
#define PROGRAM_ARGUMENTS                                                                                             \
    (char[]){"--steps"}, (char[]){"2"}, (char[]){"--layers"}, (char[]){"1"}, (char[]){"--width"}, (char[]){"8"},      \
        (char[]){"--block"}, (char[]){"8"}, (char[]){"--text"}, (char[]){"LICENSE"}, (char[]){"--sample"}, (char[]) { \
        "0"                                                                                                           \
    }
#include "chain.h"
