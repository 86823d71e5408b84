/* examples/glm.c with failing allocations. */
#define _XOPEN_SOURCE 700
#include "support.h"

#define main program_main
#include "../../examples/glm.c"
#undef main

#define PROGRAM_ARGUMENTS                                           \
    (char[]){"--path"}, (char[]){"3"}, (char[]){"--cv"}, (char[]) { \
        "2"                                                         \
    }
#include "chain.h"
