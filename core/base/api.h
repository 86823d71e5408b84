/* What every public header begins with: the version, the linkage of functions, options structs. */
#ifndef SWALE_API_H
#define SWALE_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define SW_VERSION_MAJOR 0
#define SW_VERSION_MINOR 1
#define SW_VERSION_PATCH 0

#if defined(__GNUC__)
#define SW_API __attribute__((visibility("default")))
#define SW_PRINTF(text, first) __attribute__((__format__(printf, text, first)))
#else
#define SW_API
#define SW_PRINTF(text, first)
#endif

/* An options struct with its `size`: sw_optim_new_with_options(params, &SW_OPTIONS(sw_optim_options, .clip = 1)).
 * Members that are not given are 0, which stands for the default. C only; in C++ set the members one by one. */
#define SW_OPTIONS(type, ...) ((type){.size = sizeof(type), __VA_ARGS__})

#endif
