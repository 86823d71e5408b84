/* examples/embedding.c without memory. */
#define _POSIX_C_SOURCE 200809L
#include "support.h"

#define main program_main
#include "../../examples/embedding.c"
#undef main

#define PROGRAM_ARGUMENTS (char[]){"--steps"}, (char[]){"2"}
#include "chain.h"
