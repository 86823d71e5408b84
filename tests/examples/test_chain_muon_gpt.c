/* examples/muon_gpt.c with failing allocations. */
#define _XOPEN_SOURCE 700
#include "support.h"

#define main program_main
#include "../../examples/muon_gpt.c"
#undef main

#define PROGRAM_ARGUMENTS                                                                                      \
    (char[]){"--width=4"}, (char[]){"--heads=2"}, (char[]){"--doublings=0"}, (char[]){"--layers=1"},           \
        (char[]){"--block=4"}, (char[]){"--batch=2"}, (char[]){"--most=1"}, (char[]){"--every=1"},             \
        (char[]){"--windows=1"}, (char[]){"--trials=1"}, (char[]){"--seeds=1"}, (char[]){"--text"}, (char[]) { \
        "LICENSE"                                                                                              \
    }
#include "chain.h"
