/* Rules whose parameters are f32 and whose second moments are f64 (second_moments.h). Include this file after kernel.h,
 * in every pass.
 *
 * A rule contains one kernel, for example `adam`, whose second moments have the type `real`, and after it
 *
 *     SW_SECOND_MOMENT_KERNELS(adam, adam_slots, v, v_f64, 1)
 *
 * which defines the kernels adam_update. They call adam itself, or, if the parameters are f32 and the slot v_f64
 * exists, adam for f64 on blocks that are converted to f64 and back. The result is then that of f64, except for the
 * rounding of x and of the slots that are f32. The last argument is the number of slots with second moments: v and the
 * slots after it are replaced by v_f64 and the slots after it. The rule may have at most three other slots.
 */

#ifndef SWALE_KERNEL_SECOND_MOMENTS_H
#define SWALE_KERNEL_SECOND_MOMENTS_H
#include <swale/method.h>

enum { SW_F64_BLOCK = 256, SW_F32_SLOTS = 3 };

typedef struct sw_f64_slots {
    int first, first_f64, count; /* slots first_f64, first_f64 + 1, … replace first, first + 1, … */
} sw_f64_slots;
#endif

#if SW_KERNEL_PASS && !defined(SW_KERNEL_HAS_SECOND_MOMENTS)
#define SW_KERNEL_HAS_SECOND_MOMENTS
#undef SW_SECOND_MOMENT_KERNELS
#if SW_KERNEL_HALF
#error "rules receive the gradient in the type of x: compile them without SW_KERNEL_16_BIT"
#endif
#if SW_KERNEL_F32
#define SW_SECOND_MOMENT_KERNELS(name, slots, field, field_f64, number) /* in the pass after this one */
#else

/* Runs the kernel for f64 on a step whose x, g and other slots are f32. */
static inline void SW_K(sw_k_on_f64)(const sw_step *s, int64_t begin, int64_t end, sw_f64_slots f64,
                                     sw_kernel *kernel) {
    double x[SW_F64_BLOCK], g[SW_F64_BLOCK], slot[SW_F32_SLOTS][SW_F64_BLOCK];
    for (; begin < end; begin += SW_F64_BLOCK) {
        const int64_t n = end - begin < SW_F64_BLOCK ? end - begin : SW_F64_BLOCK;
        float *to[1 + SW_F32_SLOTS] = {(float *)s->x + begin};
        double *from[1 + SW_F32_SLOTS] = {x};
        int vectors = 1;
        sw_step block = *s;
        for (int k = 0; k < SW_MAX_SLOTS; k++) {
            if (s->slot[k] && k >= f64.first_f64 && k < f64.first_f64 + f64.count) {
                block.slot[k - f64.first_f64 + f64.first] = (double *)s->slot[k] + begin;
            } else if (s->slot[k]) {
                to[vectors] = (float *)s->slot[k] + begin;
                block.slot[k] = from[vectors] = slot[vectors - 1];
                vectors++;
            }
        }
        for (int64_t i = 0; i < n; i++)
            g[i] = (double)((const float *)s->g)[begin + i];
        for (int k = 0; k < vectors; k++)
            for (int64_t i = 0; i < n; i++)
                from[k][i] = (double)to[k][i];
        block.x = x;
        block.g = g;
        block.count = n;
        kernel(&block, 0, n, NULL);
        for (int k = 0; k < vectors; k++)
            for (int64_t i = 0; i < n; i++)
                to[k][i] = (float)from[k][i];
    }
}

#define SW_SECOND_MOMENT_KERNELS(name, slots, field, field_f64, number)                                                \
    static void SW_K(name##_update)(void *args, int64_t begin, int64_t end, double *sums) {                            \
        SW_K(name)(args, begin, end, sums);                                                                            \
    }                                                                                                                  \
    static void SW_K_NAME(name##_update, f32, SW_KERNEL_LEVEL)(void *args, int64_t begin, int64_t end, double *sums) { \
        const sw_step *const step_ = args;                                                                             \
        const sw_f64_slots f64_ = {SW_SLOT_INDEX(slots, field), SW_SLOT_INDEX(slots, field_f64), number};              \
        if (step_->slot[f64_.first_f64])                                                                               \
            SW_K(sw_k_on_f64)(step_, begin, end, f64_, SW_K(name));                                                    \
        else                                                                                                           \
            SW_K_NAME(name, f32, SW_KERNEL_LEVEL)(args, begin, end, sums);                                             \
    }
#endif
#endif
