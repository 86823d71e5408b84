/* A part of kernel.h, which includes it for each level: the passes of one level, for f32 and for f64. Do not include it
 * directly. */
#define SW_KERNEL_TYPE f32
/* Headers with kernels are included once in each pass. */
#undef SW_KERNEL_HAS_BLOCKS
#undef SW_KERNEL_HAS_COMPENSATED
#undef SW_KERNEL_HAS_PROX
#undef SW_KERNEL_HAS_ROOTS
#undef SW_KERNEL_HAS_ROWS
#undef SW_KERNEL_HAS_SECOND_MOMENTS
#undef SW_KERNEL_HAS_SQUARES
#define SW_KERNEL_F32 1
#define real float
#define SW_R(x) x##f
#ifndef SW_KERNEL_MATH_IS_THERE
#include <swale/kernel_math.h>
#endif
#if defined(SW_KERNEL_FILE)
#include SW_KERNEL_FILE
#else
#include __BASE_FILE__
#endif
#undef SW_KERNEL_TYPE
#undef SW_KERNEL_F32
#undef real
#undef SW_R

#undef SW_KERNEL_FIRST
#define SW_KERNEL_FIRST 0
#define SW_KERNEL_TYPE f64
#undef SW_KERNEL_HAS_BLOCKS
#undef SW_KERNEL_HAS_COMPENSATED
#undef SW_KERNEL_HAS_PROX
#undef SW_KERNEL_HAS_ROOTS
#undef SW_KERNEL_HAS_ROWS
#undef SW_KERNEL_HAS_SECOND_MOMENTS
#undef SW_KERNEL_HAS_SQUARES
#define SW_KERNEL_F32 0
#define real double
#define SW_R(x) x
#ifndef SW_KERNEL_MATH_IS_THERE
#include <swale/kernel_math.h>
#endif
#if defined(SW_KERNEL_FILE)
#include SW_KERNEL_FILE
#else
#include __BASE_FILE__
#endif
#undef SW_KERNEL_TYPE
#undef SW_KERNEL_F32
#undef real
#undef SW_R
