/* Loops over vectors for the engine: accumulation of gradients, with and without compensation. */
#ifndef SWALE_KERNELS_AXPY_H
#define SWALE_KERNELS_AXPY_H

#include <swale/array.h>

/* y += a·x, or y = a·x if `store` */
void swi_axpy(sw_dtype type, int64_t n, double a, const void *x, void *y, bool store);
/* The same for x in f16 or bf16. */
void swi_axpy_wide(sw_dtype type, int64_t n, double a, const void *x, float *y, bool store);
/* y + low ← y + low + a·x, where low holds the sum of the rounding errors of y. `type`: of x; f32, f16 or bf16. */
void swi_axpy_compensated(sw_dtype type, int64_t n, double a, const void *x, float *y, float *low);
/* y ← a·(y + low) */
void swi_close_compensated(int64_t n, double a, float *y, const float *low);
/* y ← x, rounded to f16 or bf16 */
void swi_narrow(sw_dtype type, int64_t n, const float *x, void *y);

#endif
