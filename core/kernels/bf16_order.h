/* The order of additions in products of bf16, and the permission to use the tile registers of AMX. */
#ifndef SWALE_KERNELS_BF16_ORDER_H
#define SWALE_KERNELS_BF16_ORDER_H

#include <swale/gemm.h>

/* Whether the compiler has the intrinsics of AMX-BF16. */
#if defined(__x86_64__) && (__has_include(<amxbf16intrin.h>) || __has_include(<amxintrin.h>))
#define SWI_AMX_COMPILES 1
#else
#define SWI_AMX_COMPILES 0
#endif

/* Whether the processor has AMX-BF16 and the kernel of the system can allow a process to use it. */
bool swi_amx_found(void);
/* Asks the kernel, at the first call, to allow this process to use AMX; false if it refuses, for example because a
 * thread has an alternate signal stack that is too small for the larger state. */
bool swi_amx_allowed(void);
/* The order of a product whose member `order` is `order`; never SW_BF16_DEFAULT. */
sw_bf16_order swi_bf16_order(sw_bf16_order order);
/* An error if SW_BF16_PRODUCTS has an invalid value. */
sw_status swi_check_bf16_order(void);

#endif
