/* Kernels of lazy updates (glm_lazy.h) that visits and moves share. Include this file after kernel.h, in every pass. */
#include "optim/estimators/glm_lazy.h"

#if SW_KERNEL_PASS

/* Adds `by` to the number *x + *low; low NULL: to *x. */
static inline void SW_K(add_pair)(real *x, real *low, double by) {
    if (!low) {
        *x += (real)by;
        return;
    }
    const double sum = (double)*x + ((double)*low + by);
    *x = (real)sum;
    *low = (real)(sum - (double)*x);
}

/* Sets the number *x + *low to v; low NULL: sets *x. */
static inline void SW_K(set_pair)(real *x, real *low, double v) {
    *x = (real)v;
    if (low)
        *low = (real)(v - (double)*x);
}

/* Adds `gain` to E of weight `at`, if there is an average. */
static inline void SW_K(lazy_gain)(const swo_glm_lazy *lazy, int64_t at, double gain) {
    if (lazy->mean)
        SW_K(add_pair)((real *)lazy->mean + at, lazy->mean_low ? (real *)lazy->mean_low + at : NULL, gain);
}

/* Brings weight `at`, of column j, and its average up to date. */
static inline real SW_K(lazy_update)(const swo_glm_lazy *lazy, real *v, real *low, double d, int64_t j, int64_t at) {
    if (!lazy->recorded) {
        SW_K(add_pair)(v, low, -(lazy->sum - lazy->then[j]) * d);
        return *v;
    }
    const int64_t from = (int64_t)lazy->then[j];
    double gain = 0;
    if (from == lazy->steps)
        return *v;
    SW_K(set_pair)(v, low, swo_glm_missed_fast(lazy, (double)*v + (low ? (double)*low : 0), d, from, &gain));
    SW_K(lazy_gain)(lazy, at, gain);
    return *v;
}

#endif
