/* Loops over vectors for the engine: sums of gradients and their rounding errors. */
#define SW_KERNEL_16_BIT
#include <swale/kernel.h>

#include "core/base/element.h"
#include "core/kernels/dispatch.h"
#include "core/kernels/axpy.h"
#include "core/kernels/convert.h"

#if SW_KERNEL_FIRST
typedef struct vector_args {
    const void *x;
    void *out;
    double factor;
} vector_args;
typedef struct compensated_args {
    const void *x;
    void *y, *low;
    double factor;
} compensated_args;
#endif

#if SW_KERNEL_PASS

static void SW_K(axpy_scale)(void *args, int64_t begin, int64_t end, double *sums) {
    const vector_args *s = args;
    const stored *restrict x = s->x;
    stored *restrict y = s->out;
    const real a = (real)s->factor;
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        SW_STORE(y, i, a * SW_LOAD(x, i));
}

static void SW_K(axpy_scale_in_place)(void *args, int64_t begin, int64_t end, double *sums) {
    const vector_args *s = args;
    stored *y = s->out;
    const real a = (real)s->factor;
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        SW_STORE(y, i, a * SW_LOAD(y, i));
}

static void SW_K(axpy_add)(void *args, int64_t begin, int64_t end, double *sums) {
    const vector_args *s = args;
    const stored *x = s->x;
    stored *y = s->out;
    const real a = (real)s->factor;
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        SW_STORE(y, i, SW_LOAD(y, i) + a * SW_LOAD(x, i));
}

#if SW_KERNEL_F32 && !SW_KERNEL_HALF

/* Neumaier's compensated summation: y becomes sum = y + v, and the rounding error of this addition is added to low. */
static void SW_K(axpy_add_compensated)(void *args, int64_t begin, int64_t end, double *sums) {
    const compensated_args *s = args;
    const real *restrict x = s->x;
    real *restrict y = s->y, *restrict low = s->low;
    const real a = (real)s->factor;
    (void)sums;
    for (int64_t i = begin; i < end; i++) {
        const real before = y[i], v = a * x[i], sum = before + v, added = sum - before;
        low[i] += (before - (sum - added)) + (v - added);
        y[i] = sum;
    }
}

static void SW_K(axpy_close_compensated)(void *args, int64_t begin, int64_t end, double *sums) {
    const compensated_args *s = args;
    const real *restrict low = s->low;
    real *restrict y = s->y;
    const real a = (real)s->factor;
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        y[i] = a * (y[i] + low[i]);
}

#elif SW_KERNEL_HALF

/* x in 16 bits, y in f32. */
static void SW_K(axpy_scale_wide)(void *args, int64_t begin, int64_t end, double *sums) {
    const vector_args *s = args;
    const stored *restrict x = s->x;
    real *restrict y = s->out;
    const real a = (real)s->factor;
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        y[i] = a * SW_LOAD(x, i);
}

static void SW_K(axpy_add_wide)(void *args, int64_t begin, int64_t end, double *sums) {
    const vector_args *s = args;
    const stored *restrict x = s->x;
    real *restrict y = s->out;
    const real a = (real)s->factor;
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        y[i] += a * SW_LOAD(x, i);
}

static void SW_K(axpy_add_compensated_wide)(void *args, int64_t begin, int64_t end, double *sums) {
    const compensated_args *s = args;
    const stored *restrict x = s->x;
    real *restrict y = s->y, *restrict low = s->low;
    const real a = (real)s->factor;
    (void)sums;
    for (int64_t i = begin; i < end; i++) {
        const real before = y[i], v = a * SW_LOAD(x, i), sum = before + v, added = sum - before;
        low[i] += (before - (sum - added)) + (v - added);
        y[i] = sum;
    }
}

#endif

#else /* ---- once ---- */

static const sw_kernels scale_kernels = SW_KERNEL_TABLE(axpy_scale),
                        scale_in_place_kernels = SW_KERNEL_TABLE(axpy_scale_in_place),
                        axpy_kernels = SW_KERNEL_TABLE(axpy_add),
                        axpy_compensated_kernels = {SW_KERNEL_ROW(axpy_add_compensated, f32)},
                        close_compensated_kernels = {SW_KERNEL_ROW(axpy_close_compensated, f32)};

/* Tables for f16 and bf16 alone, by the type of the input. */
#define HALF_TABLE(name) \
    { [SW_F16] = SW_KERNEL_ROW(name, f16), [SW_BF16] = SW_KERNEL_ROW(name, bf16) }
static const sw_kernels scale_wide_kernels = HALF_TABLE(axpy_scale_wide), axpy_wide_kernels = HALF_TABLE(axpy_add_wide),
                        axpy_compensated_wide_kernels = HALF_TABLE(axpy_add_compensated_wide);

void swi_axpy(sw_dtype type, int64_t n, double a, const void *x, void *y, bool store) {
    if (store && a == 1) {
        if (x != y && n > 0 && (n < SW_SERIAL || !swi_dry_run()))
            memcpy(y, x, (size_t)n * swi_size(type));
        return;
    }
    if (n == 1 && !store && type == SW_F32) { /* a scalar, without the cost of a kernel call; the same arithmetic */
        *(float *)y += (float)a * *(const float *)x;
        return;
    }
    vector_args args = {.x = x, .out = y, .factor = a};
    if (store && x == y) { /* the pointers of scale_kernels are `restrict`, so that x and y must be different */
        swi_run(&scale_in_place_kernels, type, &args, n);
        return;
    }
    swi_run(store ? &scale_kernels : &axpy_kernels, type, &args, n);
}

void swi_axpy_wide(sw_dtype type, int64_t n, double a, const void *x, float *y, bool store) {
    if (store && a == 1) {
        swi_convert_from_half(type, n, x, y);
        return;
    }
    vector_args args = {.x = x, .out = y, .factor = a};
    swi_run(store ? &scale_wide_kernels : &axpy_wide_kernels, type, &args, n);
}

void swi_axpy_compensated(sw_dtype type, int64_t n, double a, const void *x, float *y, float *low) {
    compensated_args args = {.x = x, .y = y, .low = low, .factor = a};
    swi_run(type == SW_F32 ? &axpy_compensated_kernels : &axpy_compensated_wide_kernels, type, &args, n);
}

void swi_close_compensated(int64_t n, double a, float *y, const float *low) {
    compensated_args args = {.y = y, .low = (float *)(uintptr_t)low, .factor = a};
    swi_run(&close_compensated_kernels, SW_F32, &args, n);
}

void swi_narrow(sw_dtype type, int64_t n, const float *x, void *y) {
    swi_convert_to_half(type, n, x, y);
}

#endif
