/* Macros that mark memory as inaccessible for the address sanitizer. Without the sanitizer they do nothing. */
#ifndef SWALE_BASE_POISON_H
#define SWALE_BASE_POISON_H

#if defined(__SANITIZE_ADDRESS__)
#define SWI_POISONING 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SWI_POISONING 1
#endif
#endif

#ifdef SWI_POISONING
#include "core/base/dry_run_state.h"

#include <sanitizer/asan_interface.h>
#include <stddef.h>

/* For each 8 bytes that are marked, the sanitizer writes a byte. In a dry run, large blocks are addresses without
 * memory, of any size. */
static inline bool swi_can_mark(size_t bytes) {
    return bytes < SW_DRY_BLOCK || !swi_dry_run();
}
#define SWI_POISON(memory, bytes) (swi_can_mark(bytes) ? ASAN_POISON_MEMORY_REGION(memory, bytes) : (void)0)
#define SWI_UNPOISON(memory, bytes) (swi_can_mark(bytes) ? ASAN_UNPOISON_MEMORY_REGION(memory, bytes) : (void)0)
#else
#define SWI_POISON(memory, bytes) ((void)0)
#define SWI_UNPOISON(memory, bytes) ((void)0)
#endif

#endif
