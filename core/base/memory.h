/* Functions for constructors and destructors: allocation, protection against a second free, and copies of a caller's
 * options. */
#ifndef SWALE_MEMORY_H
#define SWALE_MEMORY_H

#include <swale/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Allocation ---- */

/* The functions through which the library allocates all of its memory. `allocate` returns NULL if there is not enough
 * memory. Both functions must be callable from any thread. */
typedef struct sw_allocator {
    size_t size; /* sizeof(sw_allocator) */
    void *user;  /* passed to both functions */
    void *(*allocate)(void *user, size_t bytes, size_t alignment);
    void (*release)(void *user, void *memory);
} sw_allocator;
/* Sets the allocator, of which the library keeps a copy; NULL restores the default (aligned_alloc and free). Call it
 * before anything is allocated. jansson, which parses the headers of archives, has a separate setting
 * (json_set_alloc_funcs), which the library does not change. */
SW_API void sw_set_allocator(const sw_allocator *allocator);

/* The alignment in bytes: the size of a cache line and of the widest vector register of x86-64. */
enum { SW_ALIGNMENT = 64 };
/* Allocates `bytes` of zeroed memory, aligned to SW_ALIGNMENT; free it by sw_free. NULL and an error (SW_ERR_MEMORY) if
 * there is not enough memory. For 0 bytes the result is a valid pointer. */
SW_API void *sw_alloc(size_t bytes);
/* Allocates `count` elements of `size` bytes, as sw_alloc. A negative count, or a product that overflows, is an error
 * (SW_ERR_MEMORY). */
SW_API void *sw_alloc_array(int64_t count, size_t size);
/* Frees memory from sw_alloc, sw_alloc_array or sw_strdup. Accepts NULL. */
SW_API void sw_free(void *memory);
/* Replaces an array from sw_alloc_array by one of `count` elements of `size` bytes. The first `used` elements are
 * copied, the others are zero. `array` is the address of the pointer to the array (a T **); the pointer may be NULL,
 * for an array that is not allocated yet. After an error the pointer and the array are unchanged. */
SW_API sw_status sw_resize_array(void *array, int64_t used, int64_t count, size_t size);
/* Makes room for one more element in an array that holds `used` elements. If the array is full, its capacity doubles,
 * or becomes `first` if it was 0. */
SW_API sw_status sw_grow_array(void *array, int *capacity, int used, int first, size_t size);
/* Returns a copy of a string, which the caller frees by sw_free; NULL for NULL, and after an error. */
SW_API char *sw_strdup(const char *string);

/* ---- Lifetimes ---- */

/* Call this first in the free function of an object that sw_alloc allocated, before the function reads the fields. It
 * returns true if the object may be freed. It returns false and records an error (SW_ERR_STATE) that names the kind
 * ("tape") if an object of this kind at this address was freed before and the memory was not reused. After thousands of
 * freed objects, an older one may not be recognized. */
SW_API bool sw_may_free(const void *object, const char *kind);

/* ---- Options ---- */

/* Copies the options of a caller, a struct whose first member is its size, over the defaults in `options` (`size`
 * bytes). It copies as many bytes as the caller's struct has, so that a program that was compiled before an option was
 * added still works. An error (SW_ERR_ARGUMENT) if the caller's size is below `least`, the size of the first version,
 * or above `size`. `who` and `type` appear in the message: "optimizer: options.size is 0; sizeof(sw_optim_options) is
 * 72". */
SW_API sw_status sw_options_copy(const char *who, const char *type, void *options, size_t size, const void *given,
                                 size_t least);

#ifdef __cplusplus
}
#endif
#endif
