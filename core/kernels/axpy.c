/* Loops over vectors for the engine: sums of gradients and their rounding errors. */
#include <swale/kernel.h>

#include "core/base/element.h"
#include "core/kernels/dispatch.h"
#include "core/kernels/axpy.h"

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
    const real *restrict x = s->x;
    real *restrict y = s->out;
    const real a = (real)s->factor;
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        y[i] = a * x[i];
}

static void SW_K(axpy_scale_in_place)(void *args, int64_t begin, int64_t end, double *sums) {
    const vector_args *s = args;
    real *y = s->out;
    const real a = (real)s->factor;
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        y[i] = a * y[i];
}

static void SW_K(axpy_add)(void *args, int64_t begin, int64_t end, double *sums) {
    const vector_args *s = args;
    const real *x = s->x;
    real *y = s->out;
    const real a = (real)s->factor;
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        y[i] += a * x[i];
}

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

#else /* ---- once ---- */

static const sw_kernels scale_kernels = SW_KERNEL_TABLE(axpy_scale),
                        scale_in_place_kernels = SW_KERNEL_TABLE(axpy_scale_in_place),
                        axpy_kernels = SW_KERNEL_TABLE(axpy_add),
                        axpy_compensated_kernels = SW_KERNEL_TABLE(axpy_add_compensated),
                        close_compensated_kernels = SW_KERNEL_TABLE(axpy_close_compensated);

void swi_axpy(sw_dtype type, int64_t n, double a, const void *x, void *y, bool store) {
    if (store && a == 1) {
        if (x != y && n > 0)
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

void swi_axpy_compensated(int64_t n, double a, const float *x, float *y, float *low) {
    compensated_args args = {.x = x, .y = y, .low = low, .factor = a};
    swi_run(&axpy_compensated_kernels, SW_F32, &args, n);
}

void swi_close_compensated(int64_t n, double a, float *y, const float *low) {
    compensated_args args = {.y = y, .low = (float *)(uintptr_t)low, .factor = a};
    swi_run(&close_compensated_kernels, SW_F32, &args, n);
}

#endif
