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
 * there is not enough memory. For 0 bytes the result is a valid pointer. The memory belongs to SW_ACCOUNT_OTHER. */
SW_API void *sw_alloc(size_t bytes);
/* Allocates `count` elements of `size` bytes, as sw_alloc. A negative count, or a product that overflows, is an error
 * (SW_ERR_MEMORY). */
SW_API void *sw_alloc_array(int64_t count, size_t size);
/* Frees memory from sw_alloc, sw_strdup and the other functions of this header. Accepts NULL. */
SW_API void sw_free(void *memory);
/* Replaces an array from sw_alloc_array by one of `count` elements of `size` bytes. The first `used` elements are
 * copied, the others are zero. `array` is the address of the pointer to the array (a T **); the pointer may be NULL,
 * for an array that is not allocated yet. `used` above `count` is an error (SW_ERR_ARGUMENT). After an error the
 * pointer and the array are unchanged. The array stays in its account. */
SW_API sw_status sw_resize_array(void *array, int64_t used, int64_t count, size_t size);
/* Makes room for one more element in an array that holds `used` elements. If the array is full, its capacity doubles,
 * or becomes `first` if it was 0. */
SW_API sw_status sw_grow_array(void *array, int *capacity, int used, int first, size_t size);
/* Returns a copy of a string, which the caller frees by sw_free; NULL for NULL, and after an error. */
SW_API char *sw_strdup(const char *string);

/* ---- Accounts ---- */

/* What memory is for. Every allocation of the library belongs to one account. */
typedef enum sw_account {
    SW_ACCOUNT_OTHER = 0,   /* objects, names, archives, and what a program allocates by sw_alloc */
    SW_ACCOUNT_PARAMETERS,  /* vectors of parameters; with a 16-bit storage type, x is "masters.f32", and the copy that
                             * leaves read is "leaves.f16" or "leaves.bf16" */
    SW_ACCOUNT_GRADIENTS,   /* gradient blocks, with the rounding errors of their sums, and statistics of batches */
    SW_ACCOUNT_OPTIMIZER,   /* what rules, estimators and averages keep between steps, by the name of the slot */
    SW_ACCOUNT_TAPE,        /* tapes: nodes, values, intermediate gradients, scratch of operations */
    SW_ACCOUNT_TEMPORARIES, /* memory without contents between two calls, even if it is kept: copies for undoing a step,
                             * workspaces, scratch of workers, and what stb_image allocates */
    SW_ACCOUNT_DATA,        /* sources, loaders, batches, arrays of sw_array_new */
    SW_ACCOUNTS             /* the number of accounts */
} sw_account;
/* "parameters", "optimizer" and so on; NULL if there is no such account. */
SW_API const char *sw_account_name(sw_account account);

/* sw_alloc, sw_alloc_array, sw_resize_array and sw_grow_array for memory of an account. An array that exists already
 * stays in its account. An account that does not exist is an error (SW_ERR_ARGUMENT). */
SW_API void *sw_alloc_for(sw_account account, size_t bytes);
SW_API void *sw_alloc_array_for(sw_account account, int64_t count, size_t size);
SW_API sw_status sw_resize_array_for(sw_account account, void *array, int64_t used, int64_t count, size_t size);
SW_API sw_status sw_grow_array_for(sw_account account, void *array, int *capacity, int used, int first, size_t size);
/* As sw_alloc_array_for, under a name within the account, which sw_memory_report lists: "adamw.m" for owner "adamw" and
 * name "m". A name is cut after 63 bytes. Arrays with the same name are counted together. The process keeps the names;
 * after 512 different ones, memory of a new name is counted without a name. */
SW_API void *sw_alloc_array_named(sw_account account, const char *owner, const char *name, int64_t count, size_t size);

/* The bytes that an account has now (live), and the largest number of bytes that it had since the start or since
 * sw_memory_reset_peaks (peak); 0 for an account that does not exist. The numbers are those that were requested from
 * the allocator: a block is rounded up to SW_ALIGNMENT bytes, and SW_ALIGNMENT bytes in front of it (16 for sw_strdup)
 * contain its size and account. The totals are therefore exactly the bytes that the functions of sw_set_allocator have
 * allocated and not yet released. If other threads allocate at the same time, the total and the accounts may belong to
 * different moments. In a dry run (dry_run.h) all functions of this section return the numbers of the dry run.
 *
 * Not included: what jansson allocates for the headers of archives and for descriptions of networks, what zlib
 * allocates for a compressed file, the buffers of OpenBLAS (sw_blas_buffers), what the C library allocates itself (to
 * sort, to list a folder), stacks of threads, and arrays of the program. */
SW_API size_t sw_memory_live(sw_account account);
SW_API size_t sw_memory_peak(sw_account account);
SW_API size_t sw_memory_live_total(void);
SW_API size_t sw_memory_peak_total(void); /* of the sum: at most the sum of the accounts' peaks */
/* Those of the live bytes that were requested: without headers and rounding. */
SW_API size_t sw_memory_contents(sw_account account);
/* The contents of parameters, gradients and optimizer state together, in bytes per parameter: 16 for Adam in f32, which
 * has x, g, m and v of 4 bytes each, and also with a 16-bit storage type, where g has 2 bytes and the copy of x 2.
 * `parameters` is how many parameters the process has (sw_params_dim); the result is 0 if that is below 1. Every model
 * and optimizer of the process counts. */
SW_API double sw_memory_per_parameter(int64_t parameters);
/* Sets every peak to the bytes that are live now. */
SW_API void sw_memory_reset_peaks(void);

/* One line of sw_memory_report. */
typedef struct sw_memory_entry {
    sw_account account;
    const char *name;  /* valid for the life of the process; NULL: everything in the account that has no name */
    size_t live, peak; /* bytes */
    size_t contents;   /* of `live`: see sw_memory_contents */
} sw_memory_entry;
/* Fills in at most `most` entries, in the order of the accounts, and returns how many there are (which may be more). An
 * entry is left out if its live and its peak are 0. The sum of `live` over all entries is sw_memory_live_total().
 * `entries` may be NULL if `most` is 0. sw_memory_print (inspect.h) prints the report. */
SW_API int sw_memory_report(sw_memory_entry *entries, int most);

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
