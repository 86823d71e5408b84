/* Conversions between f32 and the 16-bit types. */
#ifndef SWALE_KERNELS_CONVERT_H
#define SWALE_KERNELS_CONVERT_H

#include <swale/array.h>

/* to ← from, which has type `type`, f16 or bf16 */
void swi_convert_from_half(sw_dtype type, int64_t n, const void *from, float *to);
/* to ← from, rounded to `type`, f16 or bf16 */
void swi_convert_to_half(sw_dtype type, int64_t n, const float *from, void *to);
/* The same for `rows` rows of n elements. In memory, rows of 16-bit numbers begin `stride` elements apart, and rows of
 * f32 follow one another. */
void swi_convert_rows_from_half(sw_dtype type, int64_t rows, int64_t n, const void *from, int64_t stride, float *to);
void swi_convert_rows_to_half(sw_dtype type, int64_t rows, int64_t n, const float *from, void *to, int64_t stride);

#endif
