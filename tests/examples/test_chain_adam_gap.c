/* examples/adam_gap.c with failing allocations, on a few synthetic pictures. */
#define _XOPEN_SOURCE 700
#include "support.h"

#include "few_pictures.h"

#define main program_main
#define sw_fashion_mnist_pictures few_pictures
#include "../../examples/adam_gap.c"
#undef main

#define PROGRAM_ARGUMENTS                                                                                       \
    (char[]){"--steps=1"}, (char[]){"--prompt-steps=1"}, (char[]){"--rates=1"}, (char[]){"--seeds=1"},          \
        (char[]){"--samples=10"}, (char[]){"--channels=1"}, (char[]){"--text=LICENSE"}, (char[]){"--layers=1"}, \
        (char[]){"--width=4"}, (char[]){"--block=4"}, (char[]) {                                                \
        "--prompts=1"                                                                                           \
    }
#define CHAIN_FIRST 20
#include "chain.h"
