/* examples/regression.c without memory. */
#define _POSIX_C_SOURCE 200809L
#include "support.h"

#define main program_main
#include "../../examples/regression.c"
#undef main

#define PROGRAM_ARGUMENTS (char[]){"--steps"}, (char[]){"2"}, (char[]){"--passes"}, (char[]){"2"}
#include "chain.h"
