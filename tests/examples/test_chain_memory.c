/* examples/memory.c with failing allocations. */
#define _XOPEN_SOURCE 700
#include "support.h"

#define main program_main
#include "../../examples/memory.c"
#undef main

#define PROGRAM_ARGUMENTS                                                                                            \
    (char[]){"--blocks"}, (char[]){"2"}, (char[]){"--width"}, (char[]){"8"}, (char[]){"--hidden"}, (char[]){"8"},    \
        (char[]){"--batch"}, (char[]){"4"}, (char[]){"--steps"}, (char[]){"2"}, (char[]){"--rounds"}, (char[]){"1"}, \
        (char[]){"--layers"}, (char[]) {                                                                             \
        "1"                                                                                                          \
    }
#include "chain.h"
