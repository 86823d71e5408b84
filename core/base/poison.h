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
#include <sanitizer/asan_interface.h>
#define SWI_POISON(memory, bytes) ASAN_POISON_MEMORY_REGION(memory, bytes)
#define SWI_UNPOISON(memory, bytes) ASAN_UNPOISON_MEMORY_REGION(memory, bytes)
#else
#define SWI_POISON(memory, bytes) ((void)0)
#define SWI_UNPOISON(memory, bytes) ((void)0)
#endif

#endif
