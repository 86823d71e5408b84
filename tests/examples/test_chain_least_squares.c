/* examples/least_squares.c without memory. */
#define _POSIX_C_SOURCE 200809L
#include "support.h"

#define main program_main
#include "../../examples/least_squares.c"
#undef main

#define PROGRAM_ARGUMENTS (char[]){"--steps"}, (char[]){"100"}
#include "chain.h"
