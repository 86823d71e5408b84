/* Preconditioners of the matrix rules: factors, their roots, and products along the modes of a block. See
 * preconditioner.c. */
#ifndef SWALE_RULES_PRECONDITIONER_H
#define SWALE_RULES_PRECONDITIONER_H

#include "optim/rules/tensor_blocks.h"

#include <swale/matrix.h>
#include <swale/rule.h>

/* G is a block [length[0], …, length[order - 1]], contiguous. The factor of mode k is [d,d], d = length[k], or its
 * diagonal [d] if !full[k]. */

/* The elements of the factor of a mode. The factors of a block are stored one after the other, and so are its roots. */
int64_t swo_mode_factor_count(const swo_block *block, int mode);
/* factor ← decay factor + weight G_k G_kᵀ, where the rows of G_k are the indices of mode k. */
sw_status swo_factor_update(sw_dtype type, const swo_block *block, int mode, double decay, double weight, const void *G,
                            void *factor);
/* out ← G with mode k multiplied by P, or by Pᵀ: out[…, i, …] = Σ_j P[i,j] G[…, j, …]. */
sw_status swo_mode_product(sw_dtype type, const swo_block *block, int mode, bool transposed, const void *P,
                           const void *G, void *out);
/* Multiplies all modes of G by their roots, which are stored one after the other. `first` and `second` have room for
 * the block; *result is one of them. G may be `first`. */
sw_status swo_precondition(sw_dtype type, const swo_block *block, const void *roots, const void *G, void *first,
                           void *second, void **result);

/* ---- Roots ---- */

/* How the roots of a block are computed: root ← scale (factor + ridge)^(-1/order), by `root`. */
typedef struct swo_root_rule {
    sw_root_options root;
    double scale;
} swo_root_rule;

/* Bytes of memory for the roots of a block, one after the other (parallel false), or of all modes at once. */
size_t swo_roots_work(sw_dtype type, const swo_block *block, const sw_root_options *root, bool parallel);
/* Computes the roots of all modes. A root that cannot be computed keeps its value, and adds 1 to *failures. A root that
 * was never computed is the identity then. largest: NULL, or receives the largest eigenvalue of the factor of each full
 * mode that has a new root; the others stay as they were. parallel: the modes share the library's threads; the results
 * do not depend on it. Returns an error only if there is no memory. */
sw_status swo_roots_refresh(sw_dtype type, const swo_block *block, const void *factors, const swo_root_rule *rule,
                            void *roots, int32_t *failures, double *largest, void *work, bool parallel);
/* Whether the roots of a block were ever computed: their slots are zeros otherwise. */
bool swo_roots_exist(sw_dtype type, const swo_block *block, const void *roots);
/* roots ← identity */
void swo_roots_set_identity(sw_dtype type, const swo_block *block, void *roots);
/* Adds the failures of all blocks of a parameter. */
double swo_failures_sum(const swo_modes *modes, const int32_t *failures);

/* The 2-norm of v; Inf if v holds Inf or NaN. */
double swo_norm(sw_dtype type, int64_t n, const void *v);

/* ---- When roots are computed ---- */

/* clang-format off */
#define SWO_OPTION_LR(rate)                                                                          \
    {.name = "lr", .value = rate, .low = 0, .high = 1e6, .help = "η, learning rate",                 \
     .search_low = 1e-4, .search_high = 1e-1, .search_log = true}
#define SWO_OPTION_BETA1                                                                             \
    {.name = "beta1", .value = 0.9, .low = 0, .high = 1, .open = SW_OPEN_HIGH,                       \
     .help = "decay of the mean of G", .search_low = 0.8, .search_high = 0.98}
#define SWO_OPTION_BETA2(means)                                                                      \
    {.name = "beta2", .value = 0.999, .low = 0, .high = 1,                                           \
     .help = "decay of " means "; 1: they are sums", .search_low = 0.9, .search_high = 0.999}
#define SWO_OPTION_MOMENTUM                                                                          \
    {.name = "momentum", .value = 0, .low = 0, .high = 1, .open = SW_OPEN_HIGH,                      \
     .help = "μ, decay of the sum of the steps", .search_low = 0, .search_high = 0.98}
#define SWO_OPTION_PERIOD(steps)                                                                     \
    {.name = "period", .kind = SW_OPTION_INTEGER, .value = steps, .low = 1, .high = 1e6,             \
     .help = "steps from one computation of the roots to the next"}
#define SWO_OPTION_START(step)                                                                       \
    {.name = "start", .kind = SW_OPTION_INTEGER, .value = step, .low = 1, .high = 1e9,               \
     .help = "the first step that uses roots"}
#define SWO_OPTION_SPREAD                                                                            \
    {.name = "spread", .kind = SW_OPTION_BOOL, .value = 1,                                           \
     .help = "compute the roots of different blocks in different steps"}
/* clang-format on */

/* All roots at step `start`. Then block b of B has its roots computed every `period` steps. Without `spread` these are
 * the multiples of the period, as in the papers' code. With it, they are spread evenly over a period, so that no step
 * computes the roots of all blocks. */
bool swo_refresh_is_due(int64_t step, const sw_param *param, const swo_block *block, int64_t blocks, int64_t start,
                        int64_t period, bool spread);

/* ---- Bounds, for `reach` ---- */

/* A bound of ‖A‖, A = M̂/(√V scale + ε), scale ≥ 1. In this step M ← β1 M + (1 - β1) G, V ← keep V + fresh G², and
 * M̂ = m_scale M or m_scale (β1 M + (1 - β1) G); m_hat is a bound of ‖M̂‖. bounds->own is a bound of |M|/√V. */
double swo_normalized_bound(sw_bounds *bounds, sw_dtype type, double beta1, double keep, double fresh, double eps,
                            double m_scale, double m_hat);

/* ---- Cost ---- */

/* Multiplications of a step of a block: products for the factors and along all modes, and roots every `period`. */
double swo_block_cost(const swo_block *block, double period);
/* Whether a parameter's blocks are so large that threads share the products of each block, instead of the blocks. */
bool swo_blocks_are_large(const swo_modes *modes);

/* ---- Memory of a step ---- */

/* Divides memory into pieces. With base NULL it only counts the bytes. */
typedef struct swo_memory {
    char *base;
    size_t bytes;
} swo_memory;

static inline size_t swo_aligned(size_t bytes) {
    return (bytes + SW_ALIGNMENT - 1) / SW_ALIGNMENT * SW_ALIGNMENT;
}

static inline void *swo_memory_take(swo_memory *memory, size_t bytes) {
    void *piece = memory->base ? memory->base + memory->bytes : NULL;
    memory->bytes += swo_aligned(bytes);
    return piece;
}

#endif
