/* A part of kernel.h, which includes it for each level: the passes of one level, one for each storage type. Do not
 * include it directly. */
#define SW_KERNEL_TYPE f32
#define SW_KERNEL_F32 1
#define SW_KERNEL_HALF 0
#define real float
#define stored float
#define SW_R(x) x##f
#define SW_LOAD(p, i) ((p)[i])
#define SW_STORE(p, i, value) ((p)[i] = (value))
#include <swale/kernel_pass.h>

#define SW_KERNEL_TYPE f64
#define SW_KERNEL_F32 0
#define SW_KERNEL_HALF 0
#define real double
#define stored double
#define SW_R(x) x
#define SW_LOAD(p, i) ((p)[i])
#define SW_STORE(p, i, value) ((p)[i] = (value))
#include <swale/kernel_pass.h>

#if defined(SW_KERNEL_16_BIT)

#define SW_KERNEL_TYPE f16
#define SW_KERNEL_F32 1
#define SW_KERNEL_HALF 1
#define real float
#define stored uint16_t
#define SW_R(x) x##f
#define SW_LOAD(p, i) sw_f16_to_f32((p)[i])
#define SW_STORE(p, i, value) ((p)[i] = sw_f16_from_f32((float)(value)))
#include <swale/kernel_pass.h>

#define SW_KERNEL_TYPE bf16
#define SW_KERNEL_F32 1
#define SW_KERNEL_HALF 1
#define real float
#define stored uint16_t
#define SW_R(x) x##f
#define SW_LOAD(p, i) sw_bf16_to_f32((p)[i])
#define SW_STORE(p, i, value) ((p)[i] = sw_bf16_from_f32((float)(value)))
#include <swale/kernel_pass.h>

#endif
