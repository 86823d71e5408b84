/* Dry runs: the memory and the arithmetic of a run, from the shapes alone.
 *
 * Between sw_dry_run_begin and sw_dry_run_end, the calling thread runs ordinary code: it makes a model, an optimizer
 * and a tape, records a loss, calls sw_backward and takes a step. All of this runs as usual, shape functions, forward
 * and vjp of operations, the arena, rules, except for two things:
 *   - A block of at least SW_DRY_BLOCK bytes only reserves addresses, and uses no memory until something writes to it.
 *   - Loops over elements do not run: kernels (sw_kernel_run and its relatives), sw_parallel, matrix products, and the
 *     computation of initial values.
 * Therefore a laptop can run a network of any size, in little time, and the memory report of the dry run is that of the
 * real run, byte for byte. In a dry run the functions of memory.h that report bytes (sw_memory_live, sw_memory_report,
 * sw_memory_print, sw_memory_per_parameter and so on) refer to the memory of the dry run, and outside to that of the
 * process.
 *
 *     sw_dry_run_begin();
 *     ...                         make the model, the optimizer and the tape; one or two steps
 *     sw_memory_print(stdout);
 *     printf("%g flops\n", sw_dry_run_flops());
 *     ...                         free them
 *     sw_dry_run_end();
 *
 * What the run computes is undefined, mostly zeros; sw_item returns 0. Sizes must therefore not depend on computed
 * values. Inputs exist, so that ids may be read: make them by sw_input from an array of the program, or by sw_empty.
 * Loops of the program itself, and of its operations where they do not use the functions above, do run: where they
 * write, they use memory. So do copies of whole vectors that some methods make (averages, snapshots). Do not use line
 * searches, stopping criteria or SW_CHECK, because they decide by values. */
#ifndef SWALE_DRY_RUN_H
#define SWALE_DRY_RUN_H

#include <swale/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Smaller blocks are allocated as usual, because they hold what the library needs to run: shapes, nodes, options. */
enum { SW_DRY_BLOCK = 1 << 18 };

/* Begins a dry run of this thread, with peaks and flops of 0. Other threads are not affected. An error (SW_ERR_STATE)
 * if a dry run is under way, also in another thread. */
SW_API sw_status sw_dry_run_begin(void);
/* Ends it. Everything that was made in the dry run must have been freed before; if not, the run ends with an error
 * (SW_ERR_STATE) that gives the number of bytes, and the objects can still be freed, but not be used. An error
 * (SW_ERR_STATE) if this thread has no dry run. */
SW_API sw_status sw_dry_run_end(void);
/* Whether this thread is in a dry run. A custom operation that loops over elements itself can leave out the loop. */
SW_API bool sw_dry_run(void);
/* The floating-point operations of the matrix products of this dry run so far: 2·M·N·K for each. 0 outside. */
SW_API double sw_dry_run_flops(void);
/* Adds 2·M·N·K to sw_dry_run_flops, for a product op(A) [M,K] · op(B) [K,N] that a custom operation computes without
 * the functions of the library, which count theirs. No effect outside of a dry run. */
SW_API void sw_dry_run_count_product(int64_t M, int64_t N, int64_t K);

#ifdef __cplusplus
}
#endif
#endif
