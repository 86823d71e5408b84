/* Whether this process can use AMX-BF16. Linux allows a process to use the tile registers only after it has asked,
 * because a signal frame with their contents has 11 KB, for which an alternate signal stack must have room. Therefore
 * swale asks only when it computes the first product that needs them. */
#define _GNU_SOURCE /* syscall */
#include "core/kernels/bf16_order.h"

#if SWI_AMX_COMPILES && defined(__linux__)

#include <cpuid.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

/* arch_prctl, asm/prctl.h of Linux 5.16 and later */
enum { GET_SUPPORTED = 0x1021, REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 };

static uint64_t amx_enabled_states(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

bool swi_amx_found(void) {
    enum { OSXSAVE = 1 << 27, AMX_BF16 = 1 << 22, AMX_TILE = 1 << 24 };
    const uint64_t tile_states = 3u << 17; /* the configuration and the data of tiles */
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & OSXSAVE))
        return false;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & (AMX_BF16 | AMX_TILE)) != (AMX_BF16 | AMX_TILE))
        return false;
    uint64_t supported = 0;
    return (amx_enabled_states() & tile_states) == tile_states &&
           syscall(SYS_arch_prctl, GET_SUPPORTED, &supported) == 0 && (supported >> TILE_DATA & 1);
}

bool swi_amx_allowed(void) {
    static atomic_int allowed = -1; /* two simultaneous calls give the same result */
    int known = atomic_load_explicit(&allowed, memory_order_relaxed);
    if (known < 0) {
        known = syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
        atomic_store_explicit(&allowed, known, memory_order_relaxed);
    }
    return known != 0;
}

#else

bool swi_amx_found(void) {
    return false;
}

bool swi_amx_allowed(void) {
    return false;
}

#endif
