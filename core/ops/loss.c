/* Elementwise losses of a prediction p and a target t of equal shapes. The result is the mean, the sum, or one number
 * for each element (Kullback-Leibler: for each row). The loops are in loss_run.c, cross-entropy in cross_entropy.c. */
#include <swale/kernel.h>
#include <swale/extend.h>

#include "core/ops/loss_run.h"
#include "core/ops/shared.h"

#if SW_KERNEL_PASS

/* Defines the kernel NAME from an expression in p, t and delta. It computes the losses, or their sum in SW_LANES
 * partial sums. */
#define VALUE(name, expression)                                                    \
    static inline real SW_K(name##_of)(real p, real t, real delta) {               \
        (void)delta;                                                               \
        return expression;                                                         \
    }                                                                              \
    static void SW_K(name)(void *args, int64_t begin, int64_t end, double *sums) { \
        const swi_loss_args *s = args;                                             \
        const real *restrict p = s->p, *restrict t = s->t;                         \
        real *restrict out = s->out;                                               \
        const real delta = (real)s->delta;                                         \
        if (out) {                                                                 \
            for (int64_t i = begin; i < end; i++)                                  \
                out[i] = SW_K(name##_of)(p[i], t[i], delta);                       \
            return;                                                                \
        }                                                                          \
        real lane[SW_LANES] = {0};                                                 \
        int64_t i = begin;                                                         \
        for (; i + SW_LANES <= end; i += SW_LANES)                                 \
            for (int j = 0; j < SW_LANES; j++)                                     \
                lane[j] += SW_K(name##_of)(p[i + j], t[i + j], delta);             \
        for (int j = 0; i < end; i++, j++)                                         \
            lane[j] += SW_K(name##_of)(p[i], t[i], delta);                         \
        SW_ADD_LANES(double, sums[0], lane);                                       \
    }

/* Defines the kernel NAME, which computes the cotangent times an expression. */
#define DERIVATIVE(name, expression)                                               \
    static inline real SW_K(name##_of)(real p, real t, real delta) {               \
        (void)p, (void)t, (void)delta;                                             \
        return expression;                                                         \
    }                                                                              \
    static void SW_K(name)(void *args, int64_t begin, int64_t end, double *sums) { \
        const swi_loss_args *s = args;                                             \
        const real *restrict p = s->p, *restrict t = s->t, *restrict dy = s->dy;   \
        real *restrict out = s->out;                                               \
        const real factor = (real)s->factor, delta = (real)s->delta;               \
        (void)sums, (void)p, (void)t;                                              \
        if (dy)                                                                    \
            for (int64_t i = begin; i < end; i++)                                  \
                out[i] = dy[i] * SW_K(name##_of)(p[i], t[i], delta);               \
        else                                                                       \
            for (int64_t i = begin; i < end; i++)                                  \
                out[i] = factor * SW_K(name##_of)(p[i], t[i], delta);              \
    }

VALUE(mse, (p - t) * (p - t))
DERIVATIVE(mse_dp, 2 * (p - t))
DERIVATIVE(mse_dt, 2 * (t - p))

/* 0 at 0; NaN for NaN. */
static inline real SW_K(sign)(real d) {
    return d > 0 ? 1 : d < 0 ? -1 : d;
}
VALUE(l1, p < t ? t - p : p - t)
DERIVATIVE(l1_dp, SW_K(sign)(p - t))
DERIVATIVE(l1_dt, SW_K(sign)(t - p))

static inline real SW_K(huber_at)(real d, real delta) {
    const real a = d < 0 ? -d : d;
    return a > delta ? delta * (a - SW_R(0.5) * delta) : SW_R(0.5) * d * d;
}
static inline real SW_K(huber_slope)(real d, real delta) {
    return d > delta ? delta : d < -delta ? -delta : d;
}
VALUE(huber, SW_K(huber_at)(p - t, delta))
DERIVATIVE(huber_dp, SW_K(huber_slope)(p - t, delta))
DERIVATIVE(huber_dt, SW_K(huber_slope)(t - p, delta))

/* max(m, 0), and its derivative, 1 for m > 0 and 0 for m ≤ 0; NaN for NaN. */
static inline real SW_K(hinge_above)(real m) {
    return m < 0 ? 0 : m;
}
static inline real SW_K(hinge_above_slope)(real m) {
    return m > 0 ? 1 : m < 0 ? 0 : m;
}
VALUE(hinge, SW_K(hinge_above)(1 - t * p))
DERIVATIVE(hinge_dp, -t *SW_K(hinge_above_slope)(1 - t * p))
/* 0 for m ≤ 0 without a multiplication, because -p·0 would be NaN for p = ±∞. */
static inline real SW_K(hinge_dt_at)(real p, real m) {
    return m > 0 ? -p : m <= 0 ? 0 : m;
}
DERIVATIVE(hinge_dt, SW_K(hinge_dt_at)(p, 1 - t * p))

/* log(1 + exp(-|z|)) */
static inline real SW_K(bce_rest)(real z) {
    return SW_K(sw_k_log1p)(SW_K(sw_k_exp)(z < 0 ? z : -z));
}
/* a z, which is 0 for a = 0, also for z = ±∞ */
static inline real SW_K(bce_times)(real a, real z) {
    return a == 0 ? 0 : a * z;
}
/* log(1 + exp z) - t z = max(z, 0) - t z + log(1 + exp(-|z|)). The first two terms are (1 - t) z or -t z. They are 0 if
 * the factor is 0, also for z = ±∞, so that the loss of a correct prediction with probability 1 is 0. If z is NaN, so
 * is the last term. */
VALUE(bce, SW_K(bce_times)(p < 0 ? -t : 1 - t, p) + SW_K(bce_rest)(p))
DERIVATIVE(bce_dp, SW_K(sw_k_sigmoid)(p) - t)
DERIVATIVE(bce_dt, -p)

/* Defines a kernel that computes an expression in the logit z, the target t and the weight q of the positive class. */
#define POSITIVE(name, scale, expression)                                              \
    static void SW_K(name)(void *args, int64_t begin, int64_t end, double *sums) {     \
        const swi_loss_args *s = args;                                                 \
        const real *restrict p = s->p, *restrict targets = s->t, *restrict dy = s->dy, \
                             *restrict weights = s->positive;                          \
        real *restrict out = s->out;                                                   \
        const real factor = (real)s->factor;                                           \
        (void)sums, (void)factor, (void)dy;                                            \
        for (int64_t i = begin; i < end; i++) {                                        \
            const real z = p[i], t = targets[i], q = weights[i];                       \
            (void)t;                                                                   \
            out[i] = (scale) * (expression);                                           \
        }                                                                              \
    }

/* 1 + (q - 1) t */
static inline real SW_K(bce_share)(real q, real t) {
    return 1 + SW_K(bce_times)(q - 1, t);
}
/* (1 - t) z + (1 + (q - 1) t) log(1 + exp(-z)), where log(1 + exp(-z)) = max(-z, 0) + log(1 + exp(-|z|)), and its
 * derivatives. For z < 0 the linear terms are -q t z and, in the derivative by t, -q z. */
POSITIVE(bce_positive, 1, SW_K(bce_times)(z < 0 ? -q * t : 1 - t, z) + SW_K(bce_share)(q, t) * SW_K(bce_rest)(z))
POSITIVE(bce_positive_dp, dy ? dy[i] : factor, SW_K(bce_share)(q, t) * SW_K(sw_k_sigmoid)(z) - q * t)
POSITIVE(bce_positive_dt, dy ? dy[i] : factor, SW_K(bce_times)(z < 0 ? -q : -1, z) + (q - 1) * SW_K(bce_rest)(z))

/* t (log t - q); 0 for t = 0, even if q = -∞ */
static inline real SW_K(relative_entropy)(real q, real t) {
    const real y = t * (SW_K(sw_k_log_any)(t) - q);
    return t == 0 && q == q ? 0 : y;
}
static inline real SW_K(relative_entropy_slope)(real q, real t) {
    const real y = SW_K(sw_k_log_any)(t) + 1 - q;
    return t == 0 && q == q ? 0 : y;
}
VALUE(kl, SW_K(relative_entropy)(p, t))
DERIVATIVE(kl_dp, -t)
DERIVATIVE(kl_dt, SW_K(relative_entropy_slope)(p, t))

#else /* ---- once ---- */

#include <math.h>

#define KERNELS_OF(fn)                                                                                      \
    static const sw_kernels fn##_kernels = SW_KERNEL_TABLE(fn), fn##_dp_kernels = SW_KERNEL_TABLE(fn##_dp), \
                            fn##_dt_kernels = SW_KERNEL_TABLE(fn##_dt);                                     \
    static const swi_loss_kernels fn##_loss = {&fn##_kernels, &fn##_dp_kernels, &fn##_dt_kernels};

/* Defines the operation FN_op from the kernels FN, FN_dp and FN_dt. */
#define LOSS(fn, text)                                                    \
    KERNELS_OF(fn)                                                        \
    static sw_status fn##_forward(sw_call *c) {                           \
        return swi_loss_forward(c, &fn##_loss);                           \
    }                                                                     \
    static sw_status fn##_vjp(sw_call *c) {                               \
        return swi_loss_vjp(c, &fn##_loss);                               \
    }                                                                     \
    static const sw_op fn##_op = {.size = sizeof(sw_op),                  \
                                  .name = text,                           \
                                  .shape = swi_loss_shape,                \
                                  .forward = fn##_forward,                \
                                  .vjp = fn##_vjp,                        \
                                  .vjp_reads = SW_READS(0) | SW_READS(1), \
                                  .takes_16_bit = true,                   \
                                  .f32_result = true};

/* Defines FN_weighted_op, the same with weights. `kernels` may depend on the attributes a. For f16 and bf16 the engine
 * calls it in f32. */
#define WEIGHTED(fn, text, kernels)                                                                            \
    static sw_status fn##_weighted_forward(sw_call *c) {                                                       \
        const swi_loss_attributes *a = c->attributes;                                                          \
        (void)a;                                                                                               \
        return swi_loss_weighted_forward(c, kernels);                                                          \
    }                                                                                                          \
    static sw_status fn##_weighted_vjp(sw_call *c) {                                                           \
        const swi_loss_attributes *a = c->attributes;                                                          \
        (void)a;                                                                                               \
        return swi_loss_weighted_vjp(c, kernels);                                                              \
    }                                                                                                          \
    static const sw_op fn##_weighted_op = {.size = sizeof(sw_op),                                              \
                                           .name = text,                                                       \
                                           .shape = swi_loss_shape,                                            \
                                           .forward = fn##_weighted_forward,                                   \
                                           .vjp = fn##_weighted_vjp,                                           \
                                           .vjp_reads = SW_READS(0) | SW_READS(1) | SW_READS(2) | SW_READS(3), \
                                           .f32_result = true};

LOSS(mse, "mse")
LOSS(l1, "l1")
LOSS(huber, "huber")
LOSS(hinge, "hinge")
LOSS(bce, "bce_with_logits")
LOSS(kl, "kl_div")
KERNELS_OF(bce_positive)
WEIGHTED(mse, "mse", &mse_loss)
WEIGHTED(l1, "l1", &l1_loss)
WEIGHTED(huber, "huber", &huber_loss)
WEIGHTED(hinge, "hinge", &hinge_loss)
WEIGHTED(bce, "bce_with_logits", a->positive ? &bce_positive_loss : &bce_loss)

/* A loss and the same with weights. */
typedef struct loss_ops {
    const sw_op *plain, *weighted;
} loss_ops;

/* A null tensor in the options may be one that failed, so that the result is one too while an error is pending. */
static bool loss_option_failed(const void *options, sw_tensor option) {
    return options && sw_is_null(option) && sw_error_status() != SW_OK;
}

/* Calls the loss with the weights of the options, which are null tensors if there are none. */
static sw_tensor loss_apply(loss_ops ops, sw_tensor prediction, sw_tensor target, swi_loss_attributes attributes,
                            sw_tensor weight, sw_tensor pos_weight) {
    sw_tensor in[4] = {prediction, target};
    int count = 2;
    attributes.weighted = !sw_is_null(weight);
    attributes.positive = !sw_is_null(pos_weight);
    if (attributes.weighted)
        in[count++] = swi_loss_weights(ops.plain->name, "weights", weight, prediction);
    if (attributes.positive)
        in[count++] = swi_loss_weights(ops.plain->name, "pos_weights", pos_weight, prediction);
    for (int i = 2; i < count; i++)
        if (sw_is_null(in[i]))
            return in[i];
    return sw_apply(count > 2 ? ops.weighted : ops.plain, &attributes, sizeof attributes, count, in);
}

static sw_tensor loss_with_options(loss_ops ops, sw_tensor prediction, sw_tensor target, const sw_loss_options *options,
                                   swi_loss_attributes attributes) {
    const sw_tensor none = {0};
    sw_loss_options o = SW_OPTIONS(sw_loss_options, .reduction = SW_MEAN);
    if (options && sw_options_copy(ops.plain->name, "sw_loss_options", &o, sizeof o, options,
                                   offsetof(sw_loss_options, weight)) != SW_OK)
        return none;
    if (loss_option_failed(options, o.weight))
        return none;
    if (!ops.weighted && !sw_is_null(o.weight)) {
        sw_fail(SW_ERR_ARGUMENT, "%s: there are no weights of elements (multiply the numbers that SW_NONE returns)",
                ops.plain->name);
        return none;
    }
    attributes.reduction = o.reduction;
    return loss_apply(ops, prediction, target, attributes, o.weight, none);
}

sw_tensor sw_mse(sw_tensor prediction, sw_tensor target) {
    return sw_mse_with_options(prediction, target, NULL);
}

sw_tensor sw_mse_with_options(sw_tensor prediction, sw_tensor target, const sw_loss_options *options) {
    const loss_ops ops = {&mse_op, &mse_weighted_op};
    return loss_with_options(ops, prediction, target, options, (swi_loss_attributes){.over_weights = true});
}

sw_tensor sw_l1(sw_tensor prediction, sw_tensor target) {
    return sw_l1_with_options(prediction, target, NULL);
}

sw_tensor sw_l1_with_options(sw_tensor prediction, sw_tensor target, const sw_loss_options *options) {
    const loss_ops ops = {&l1_op, &l1_weighted_op};
    return loss_with_options(ops, prediction, target, options, (swi_loss_attributes){.over_weights = true});
}

sw_tensor sw_huber(sw_tensor prediction, sw_tensor target) {
    return sw_huber_with_options(prediction, target, NULL);
}

sw_tensor sw_huber_with_options(sw_tensor prediction, sw_tensor target, const sw_huber_options *options) {
    const sw_tensor none = {0};
    sw_huber_options o = SW_OPTIONS(sw_huber_options, .reduction = SW_MEAN);
    if (options && sw_options_copy("huber", "sw_huber_options", &o, sizeof o, options,
                                   offsetof(sw_huber_options, weight)) != SW_OK)
        return none;
    if (loss_option_failed(options, o.weight))
        return none;
    if (o.delta == 0)
        o.delta = 1;
    if (!(o.delta > 0)) {
        sw_fail(SW_ERR_ARGUMENT, "huber: delta is %g; it must be above 0", o.delta);
        return none;
    }
    const loss_ops ops = {&huber_op, &huber_weighted_op};
    const swi_loss_attributes attributes = {.reduction = o.reduction, .delta = o.delta};
    return loss_apply(ops, prediction, target, attributes, o.weight, none);
}

sw_tensor sw_hinge(sw_tensor score, sw_tensor target) {
    return sw_hinge_with_options(score, target, NULL);
}

sw_tensor sw_hinge_with_options(sw_tensor score, sw_tensor target, const sw_loss_options *options) {
    const loss_ops ops = {&hinge_op, &hinge_weighted_op};
    return loss_with_options(ops, score, target, options, (swi_loss_attributes){.over_weights = true});
}

sw_tensor sw_bce_with_logits(sw_tensor logits, sw_tensor target) {
    return sw_bce_with_logits_with_options(logits, target, NULL);
}

sw_tensor sw_bce_with_logits_with_options(sw_tensor logits, sw_tensor target, const sw_bce_options *options) {
    sw_bce_options o = SW_OPTIONS(sw_bce_options, .reduction = SW_MEAN);
    if (options && sw_options_copy("bce_with_logits", "sw_bce_options", &o, sizeof o, options,
                                   offsetof(sw_bce_options, weight)) != SW_OK)
        return (sw_tensor){0};
    if (loss_option_failed(options, o.weight) || loss_option_failed(options, o.pos_weight))
        return (sw_tensor){0};
    const loss_ops ops = {&bce_op, &bce_weighted_op};
    const swi_loss_attributes attributes = {.reduction = o.reduction};
    return loss_apply(ops, logits, target, attributes, o.weight, o.pos_weight);
}

sw_tensor sw_kl_div(sw_tensor log_prediction, sw_tensor target) {
    return sw_kl_div_with_options(log_prediction, target, NULL);
}

sw_tensor sw_kl_div_with_options(sw_tensor log_prediction, sw_tensor target, const sw_loss_options *options) {
    const loss_ops ops = {&kl_op, NULL};
    return loss_with_options(ops, log_prediction, target, options, (swi_loss_attributes){.rows = true});
}

#endif
