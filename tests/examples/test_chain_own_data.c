/* examples/own_data.c without memory. */
#define _POSIX_C_SOURCE 200809L
#include "support.h"

#define main program_main
#include "../../examples/own_data.c"
#undef main

#define PROGRAM_ARGUMENTS (char[]){"--epochs"}, (char[]){"2"}
#include "chain.h"
