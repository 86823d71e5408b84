/* A part of kernel_types.h: one pass over the file, for one storage type and one level. Do not include it directly. */

/* Headers with kernels are included once in each pass. */
#undef SW_KERNEL_HAS_BLOCKS
#undef SW_KERNEL_HAS_COMPENSATED
#undef SW_KERNEL_HAS_PROX
#undef SW_KERNEL_HAS_ROOTS
#undef SW_KERNEL_HAS_ROWS
#undef SW_KERNEL_HAS_SECOND_MOMENTS
#undef SW_KERNEL_HAS_SQUARES
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
#undef SW_KERNEL_HALF
#undef real
#undef stored
#undef SW_R
#undef SW_LOAD
#undef SW_STORE
#undef SW_KERNEL_FIRST
#define SW_KERNEL_FIRST 0
