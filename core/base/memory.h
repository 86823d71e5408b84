/* Memory, lifetimes, options of callers: what constructors and destructors are made of. */
#ifndef SWALE_MEMORY_H
#define SWALE_MEMORY_H

#include <swale/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The one point where the library allocates. `allocate` returns NULL when there is no memory;
 * both must be callable from any thread. Set it before anything is allocated, NULL for the default
 * (aligned_alloc and free). jansson, which parses the headers of files, has a hook of its own,
 * json_set_alloc_funcs: it is the program's, and left alone. */
typedef struct sw_allocator {
    size_t size; /* sizeof(sw_allocator) */
    void *user;
    void *(*allocate)(void *user, size_t bytes, size_t alignment);
    void (*release)(void *user, void *memory);
} sw_allocator;
SW_API void sw_set_allocator(const sw_allocator *allocator);

/* Zeroed memory, aligned to 64 bytes, from the one allocation point; NULL and an error if there is
 * none. Freed by sw_free, which accepts NULL. bytes 0 gives a valid pointer. */
SW_API void *sw_alloc(size_t bytes);
/* count × size with the product checked. */
SW_API void *sw_alloc_array(int64_t count, size_t size);
SW_API void sw_free(void *memory);
/* A copy of a string, NULL for NULL. */
SW_API char *sw_strdup(const char *string);

/* ---- Lifetimes ---- */

/* Call this first in the free function of an object made by sw_alloc, before reading its fields. Returns true
 * if the object may be freed; false, and an error that names the kind ("tape"), if an object of this kind at
 * this address was freed before and its memory was not reused. Older ones among thousands of freed objects may
 * not be recognized. */
SW_API bool sw_may_free(const void *object, const char *kind);

/* ---- Options ---- */

/* Puts a caller's options, a struct whose first member is its size, over the defaults in `options`
 * (`size` bytes): as many bytes as the caller has, so that a program compiled before an option was added
 * still works. Refuses a size below `least`, that of the first version, or above `size`. who and type are
 * for the message: "optimizer: options.size is 0; sizeof(sw_optim_options) is 72". */
SW_API sw_status sw_options_copy(const char *who, const char *type, void *options, size_t size, const void *given,
                                 size_t least);

#ifdef __cplusplus
}
#endif
#endif
