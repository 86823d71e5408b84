/* The definitions that every public header needs: the version, the linkage of functions, and SW_OPTIONS for structs of
 * options. The other headers include this one.
 */
#ifndef SWALE_API_H
#define SWALE_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* The version of these headers. sw_version (library.h) returns the version of the library that the program runs
 * with. */
#define SW_VERSION_MAJOR 0
#define SW_VERSION_MINOR 2
#define SW_VERSION_PATCH 0

/* SW_API marks the functions that the shared library exports. SW_PRINTF(text, first) lets the compiler check the
 * arguments of a function with a printf format: the format is parameter number `text`, and its arguments begin at
 * parameter number `first`. */
#if defined(__GNUC__)
#define SW_API __attribute__((visibility("default")))
#define SW_PRINTF(text, first) __attribute__((__format__(printf, text, first)))
#else
#define SW_API
#define SW_PRINTF(text, first)
#endif

/* A struct of options whose member `size` is set:
 * `sw_optim_new_with_options(params, &SW_OPTIONS(sw_optim_options, .clip = 1))`. Members that are not listed are 0,
 * which stands for the default. C only; a C++ program declares the struct and sets the members one by one. */
#define SW_OPTIONS(type, ...) ((type){.size = sizeof(type), __VA_ARGS__})

/* Before a member that a later version has added to a public struct, where it would otherwise lie in the padding of the
 * earlier version, whose `size` covers the padding too. */
#ifdef __cplusplus
#define SW_ADDED alignas(size_t)
#else
#define SW_ADDED _Alignas(size_t)
#endif

#endif
