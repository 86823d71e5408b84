/* Adds partial sums, which are vectors, in pairs: a fixed order, whatever the number of threads. */
#include <swale/kernel.h>

#include "core/kernels/dispatch.h"

#if SW_KERNEL_FIRST
typedef struct add_vectors_args {
    void *vectors;
    int64_t count, length;
} add_vectors_args;
enum { COLUMNS = 512 }; /* whose sums stay in the cache while the tree goes up */
#endif

#if SW_KERNEL_PASS

/* The whole tree for columns [begin, end): at distance 1, 2, 4, … vector i takes in vector i + distance. */
static void SW_K(add_vectors)(void *args, int64_t begin, int64_t end, double *sums) {
    const add_vectors_args *s = args;
    (void)sums;
    for (int64_t from = begin; from < end; from += COLUMNS) {
        const int64_t n = end - from < COLUMNS ? end - from : COLUMNS;
        for (int64_t distance = 1; distance < s->count; distance *= 2)
            for (int64_t i = 0; i + distance < s->count; i += 2 * distance) {
                real *restrict y = (real *)s->vectors + i * s->length + from;
                const real *restrict x = (const real *)s->vectors + (i + distance) * s->length + from;
                for (int64_t k = 0; k < n; k++)
                    y[k] += x[k];
            }
    }
}

#else /* ---- once ---- */

static const sw_kernels add_vectors_kernels = SW_KERNEL_TABLE(add_vectors);

void sw_add_vectors(sw_dtype type, void *vectors, int64_t count, int64_t length) {
    add_vectors_args args = {.vectors = vectors, .count = count, .length = length};
    if (count > 1 && length > 0)
        swi_run(&add_vectors_kernels, type, &args, length);
}

#endif
