/* examples/logistic_regression.c without memory. */
#define _POSIX_C_SOURCE 200809L
#include "support.h"

#define main program_main
#include "../../examples/logistic_regression.c"
#undef main

#define PROGRAM_ARGUMENTS (char[]){"--passes"}, (char[]){"4"}
#include "chain.h"
