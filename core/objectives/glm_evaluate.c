/* Value, derivatives and gradient of a generalized linear model whose samples are in memory. These functions use the
 * memory of a tape, but record no operations. Predictions of many dense rows are one matrix product. */
#include <swale/kernel.h>
#include <swale/kernel_glm.h>
#include <swale/gemm.h>
#include <swale/reduce_kernels.h>
#include <swale/status.h>
#include <swale/vector.h>

#include "core/base/element.h"
#include "core/kernels/dispatch.h"
#include "core/kernels/axpy.h"
#include "core/objectives/glm_evaluate.h"
#include "core/tape/arena.h"
#include "core/params/vector.h"
#include "core/tape/node.h"

#if SW_KERNEL_FIRST
typedef struct glm_args {
    const sw_objective *f;
    const int64_t *ids;
    const void *x, *in; /* x: the parameters; in: coefficients c, or predictions */
    void *out;          /* predictions, derivatives, a gradient, or squared norms */
} glm_args;
#endif

#if SW_KERNEL_PASS

static void SW_K(glm_predict_rows)(void *args, int64_t begin, int64_t end, double *sums) {
    const glm_args *a = args;
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        SW_K(glm_predict)(a->f, a->x, a->ids[i], (real *)a->out + i * a->f->outputs);
}

static void SW_K(glm_add_bias)(void *args, int64_t begin, int64_t end, double *sums) {
    const glm_args *a = args;
    const int64_t outputs = a->f->outputs;
    const real *bias = (const real *)a->x + outputs * a->f->features;
    real *z = a->out;
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        for (int64_t k = 0; k < outputs; k++)
            z[i * outputs + k] += bias[k];
}

/* Computes the derivatives s from the predictions z, and adds Σ f_i to sums[0]. */
static void SW_K(glm_head_rows)(void *args, int64_t begin, int64_t end, double *sums) {
    const glm_args *a = args;
    const int64_t outputs = a->f->outputs;
    for (int64_t i = begin; i < end; i++)
        sums[0] += SW_K(glm_head)(a->f, a->ids[i], (const real *)a->in + i * outputs, (real *)a->out + i * outputs);
}

/* W_k += c_ik a_i, for one sample after the other */
static void SW_K(glm_add_rows)(void *args, int64_t begin, int64_t end, double *sums) {
    const glm_args *a = args;
    const sw_glm_data *data = a->f->glm;
    const int64_t outputs = a->f->outputs, d = a->f->features;
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        for (int64_t k = 0; k < outputs; k++) {
            const real c = ((const real *)a->in)[i * outputs + k];
            real *restrict w = (real *)a->out + k * d;
            if (data->sparse) {
                const real *value = data->sparse->value;
                const int32_t *index = data->sparse->index;
                for (int64_t j = data->sparse->start[a->ids[i]]; j < data->sparse->start[a->ids[i] + 1]; j++)
                    w[index[j]] += c * value[j];
            } else {
                const real *restrict row = (const real *)data->dense + a->ids[i] * d;
                for (int64_t j = 0; j < d; j++)
                    w[j] += c * row[j];
            }
        }
}

/* out[i] = ‖a_i‖², in f64 */
static void SW_K(glm_squares)(void *args, int64_t begin, int64_t end, double *sums) {
    const glm_args *a = args;
    const sw_glm_data *data = a->f->glm;
    const int64_t d = a->f->features;
    (void)sums;
    for (int64_t i = begin; i < end; i++) {
        const int64_t first = data->sparse ? data->sparse->start[i] : i * d,
                      last = data->sparse ? data->sparse->start[i + 1] : first + d;
        const real *value = data->sparse ? data->sparse->value : data->dense;
        double sum = 0;
        for (int64_t j = first; j < last; j++)
            sum += (double)value[j] * (double)value[j];
        ((double *)a->out)[i] = sum;
    }
}

#else

#include <math.h>

static const sw_kernels predict_kernels = SW_KERNEL_TABLE(glm_predict_rows),
                        bias_kernels = SW_KERNEL_TABLE(glm_add_bias), head_kernels = SW_KERNEL_TABLE(glm_head_rows),
                        rows_kernels = SW_KERNEL_TABLE(glm_add_rows), squares_kernels = SW_KERNEL_TABLE(glm_squares);

enum { GLM_ONE_BY_ONE = 8 }; /* fewer dense rows than this are processed one by one, without a matrix product */

static bool glm_by_product(const sw_objective *f, int64_t count) {
    return f->glm->dense && count >= GLM_ONE_BY_ONE && f->features < INT32_MAX;
}

static sw_kernel *glm_kernel(const sw_kernels *kernels, const sw_objective *f) {
    return (*kernels)[f->params->type][swi_cpu_level()];
}

/* Returns the dense rows of the samples as one contiguous array: in place if the ids are consecutive, else a copy. */
static const void *glm_dense_rows(const sw_objective *f, sw_tape *tape, const int64_t *ids, int64_t count) {
    const size_t row = (size_t)f->features * swi_size(f->params->type);
    const char *all = f->glm->dense;
    bool neighbors = true;
    for (int64_t i = 1; i < count && neighbors; i++)
        neighbors = ids[i] == ids[0] + i;
    if (neighbors)
        return all + (size_t)ids[0] * row;
    char *rows = swi_arena_alloc(&tape->arena, (size_t)count * row);
    for (int64_t i = 0; rows && i < count; i++)
        memcpy(rows + (size_t)i * row, all + (size_t)ids[i] * row, row);
    return rows;
}

/* Computes the predictions z [count, outputs], by a matrix product if rows is not NULL. */
static sw_status glm_predictions(const sw_objective *f, const void *x, const int64_t *ids, int64_t count,
                                 const void *rows, void *z) {
    const int64_t d = f->features, outputs = f->outputs;
    glm_args args = {.f = f, .ids = ids, .x = x, .out = z};
    if (!rows) {
        sw_kernel_run_rows(glm_kernel(&predict_kernels, f), &args, count, d * outputs, NULL);
        return SW_OK;
    }
    SW_TRY(sw_gemm(f->params->type, false, true, count, outputs, d, 1, rows, d, x, d, 0, z, outputs));
    if (f->bias)
        sw_kernel_run_rows(glm_kernel(&bias_kernels, f), &args, count, outputs, NULL);
    return SW_OK;
}

/* Sets *rows to the contiguous rows if a matrix product will be used; else to NULL. */
static sw_status glm_rows(const sw_objective *f, sw_tape *tape, const int64_t *ids, int64_t count, const void **rows) {
    *rows = NULL;
    if (glm_by_product(f, count) && !(*rows = glm_dense_rows(f, tape, ids, count)))
        return SW_ERR_MEMORY;
    return SW_OK;
}

sw_status swi_glm_derivatives(const sw_objective *f, sw_tape *tape, const void *x, const int64_t *ids, int64_t count,
                              double *sum, void *s) {
    const void *rows;
    const size_t bytes = (size_t)(count * f->outputs) * swi_size(f->params->type);
    void *z = swi_arena_alloc(&tape->arena, bytes);
    if (z && !s)
        s = swi_arena_alloc(&tape->arena, bytes);
    if (!z || !s)
        return SW_ERR_MEMORY;
    SW_TRY(glm_rows(f, tape, ids, count, &rows));
    SW_TRY(glm_predictions(f, x, ids, count, rows, z));
    glm_args args = {.f = f, .ids = ids, .in = z, .out = s};
    sw_kernel_run_rows(glm_kernel(&head_kernels, f), &args, count, 16 * f->outputs, sum);
    return SW_OK;
}

sw_status swi_glm_combine(const sw_objective *f, sw_tape *tape, const int64_t *ids, int64_t count, const void *c,
                          double beta, void *g) {
    const int64_t d = f->features, outputs = f->outputs, weights = d * outputs;
    const sw_dtype type = f->params->type;
    const void *rows;
    SW_TRY(glm_rows(f, tape, ids, count, &rows));
    if (rows) {
        SW_TRY(sw_gemm(type, true, false, outputs, d, count, 1, c, outputs, rows, d, beta, g, d));
    } else {
        glm_args args = {.f = f, .ids = ids, .in = c, .out = g};
        if (beta == 0)
            sw_vector_fill(type, weights, 0, g);
        else if (beta != 1)
            swi_axpy(type, weights, beta, g, g, true);
        glm_kernel(&rows_kernels, f)(&args, 0, count, NULL);
    }
    if (!f->bias)
        return SW_OK;
    void *b = (char *)g + (size_t)weights * swi_size(type);
    if (beta == 0)
        sw_vector_fill(type, outputs, 0, b);
    else if (beta != 1)
        swi_axpy(type, outputs, beta, b, b, true);
    sw_sum_to_shape(type, 2, (int64_t[]){count, outputs}, c, 1, &outputs, b, 1, false);
    return SW_OK;
}

void sw_objective_squared_norms(const sw_objective *f, double *squares) {
    if (!f || !f->glm)
        return;
    glm_args args = {.f = f, .out = squares};
    sw_kernel_run_rows(glm_kernel(&squares_kernels, f), &args, f->n, f->features, NULL);
}

sw_status swi_glm_predict(const sw_objective *f, const void *x, const int64_t *ids, int64_t count, void *z) {
    const bool product = glm_by_product(f, count);
    return glm_predictions(f, x, ids, count, product ? f->glm->dense : NULL, z);
}

#endif
