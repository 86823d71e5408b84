/* Loops over the kernel levels of this processor. Include it after support.h. */
#ifndef TEST_LEVELS_H
#define TEST_LEVELS_H

#include <swale/extend.h>

extern atomic_int swi_level; /* the level of the kernels in use; see core/kernels/dispatch.h */

static inline void each_level(void (*test)(void)) {
    const int before = sw_cpu_level();
    for (int level = 0; level <= before; level++) {
        atomic_store(&swi_level, level);
        test();
    }
    atomic_store(&swi_level, before);
}

#endif
