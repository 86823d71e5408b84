/* Elementwise losses of a prediction p and a target t of equal shapes. The result is the mean, the sum, or one number
 * for each element (Kullback-Leibler: for each row). Cross-entropy is in cross_entropy.c. */
#include <swale/kernel.h>
#include <swale/extend.h>

#include "core/ops/shared.h"

#if SW_KERNEL_FIRST
typedef struct loss_args {
    const void *p, *t;
    void *out;      /* forward: the losses, or NULL if only their sum is needed; vjp: the gradient */
    const void *dy; /* vjp: a cotangent for each element, or NULL: `factor` for all elements */
    double factor, delta;
} loss_args;
#endif

#if SW_KERNEL_PASS

/* Defines the kernel NAME from an expression in p, t and delta. It computes the losses, or their sum in SW_LANES
 * partial sums. */
#define VALUE(name, expression)                                                    \
    static inline real SW_K(name##_of)(real p, real t, real delta) {               \
        (void)delta;                                                               \
        return expression;                                                         \
    }                                                                              \
    static void SW_K(name)(void *args, int64_t begin, int64_t end, double *sums) { \
        const loss_args *s = args;                                                 \
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
        const loss_args *s = args;                                                 \
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

/* log(1 + exp z) - t z = max(z, 0) - t z + log(1 + exp(-|z|)). The first two terms are (1 - t) z or -t z. They are 0 if
 * the factor is 0, also for z = ±∞, so that the loss of a correct prediction with probability 1 is 0. If z is NaN, so
 * is the last term. */
static inline real SW_K(bce_linear)(real z, real t) {
    const real factor = z < 0 ? -t : 1 - t;
    return factor == 0 ? 0 : factor * z;
}
VALUE(bce, SW_K(bce_linear)(p, t) + SW_K(sw_k_log1p)(SW_K(sw_k_exp)(p < 0 ? p : -p)))
DERIVATIVE(bce_dp, SW_K(sw_k_sigmoid)(p) - t)
DERIVATIVE(bce_dt, -p)

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

typedef struct loss_attributes {
    sw_reduction reduction;
    bool rows; /* a loss of rows: one number for each row along the last axis */
    double delta;
} loss_attributes;

static int64_t loss_row_count(const sw_view *v) {
    int64_t rows = 1;
    for (int axis = 0; axis < v->rank - 1; axis++)
        rows *= v->shape[axis];
    return rows;
}

/* The divisor of the mean: the number of rows or elements. */
static int64_t loss_item_count(const sw_call *c) {
    const loss_attributes *a = c->attributes;
    return a->rows ? loss_row_count(c->in[0]) : c->in[0]->count;
}

/* The weight of the mean: the number of rows. A vector is one row for a loss of rows, and a batch of numbers for other
 * losses. */
static double loss_weight(const sw_call *c) {
    const loss_attributes *a = c->attributes;
    const sw_view *p = c->in[0];
    if (a->reduction != SW_MEAN)
        return SW_SUMMED;
    return (double)(p->rank == 1 && !a->rows ? p->count : loss_row_count(p));
}

static sw_status loss_shape(sw_call *c) {
    const sw_view *p = c->in[0], *t = c->in[1];
    const loss_attributes *a = c->attributes;
    SW_TRY(sw_call_check_float(c));
    if (!sw_shape_equal(p->rank, p->shape, t->rank, t->shape))
        return sw_fail(SW_ERR_SHAPE, "%s: prediction %s and target %s; the shapes must be equal", c->op->name,
                       sw_shape_text(p->rank, p->shape), sw_shape_text(t->rank, t->shape));
    if (a->rows && p->rank == 0)
        return sw_fail(SW_ERR_SHAPE, "%s: scalars; rows of probabilities [...,classes] are needed", c->op->name);
    SW_TRY(swi_check_reduction(c, a->reduction));
    const sw_dtype type = sw_call_result_type(c);
    const int rank = a->reduction != SW_NONE ? 0 : a->rows ? p->rank - 1 : p->rank;
    return rank == p->rank && type == p->type ? sw_call_set_shape_like(c, 0)
                                              : sw_call_set_shape(c, type, rank, p->shape);
}

sw_status swi_check_reduction(const sw_call *c, sw_reduction reduction) {
    if (reduction == SW_MEAN || reduction == SW_SUM || reduction == SW_NONE)
        return SW_OK;
    return sw_fail(SW_ERR_ARGUMENT, "%s: reduction %d; SW_MEAN, SW_SUM or SW_NONE is needed", c->op->name,
                   (int)reduction);
}

/* ---- Runs of a kernel over elements ---- */

/* Runs a kernel over elements of `type`. For f16 and bf16, p and t are of this type, and so is out in a vjp; the losses
 * and their cotangents are f32. */
static sw_status loss_run(sw_dtype type, const sw_kernels *kernels, const loss_args *args, bool forward, int64_t count,
                          double *sum) {
    loss_args copy = *args;
    if (sw_dtype_is_computed(type)) {
        if (sum)
            sw_kernel_run_sums(kernels, type, &copy, count, 1, sum);
        else
            sw_kernel_run(kernels, type, &copy, count);
        return SW_OK;
    }
    const sw_wide_array arrays[] = {
        sw_wide_array_of(offsetof(loss_args, p), type, false, 1),
        sw_wide_array_of(offsetof(loss_args, t), type, false, 1),
        sw_wide_array_of(offsetof(loss_args, out), forward ? SW_F32 : type, true, 1),
        sw_wide_array_of(offsetof(loss_args, dy), SW_F32, false, 1),
    };
    const sw_wide_rows job = {.size = sizeof job,
                              .kernels = kernels,
                              .args = &copy,
                              .bytes = sizeof copy,
                              .type = type,
                              .array = arrays,
                              .arrays = 4,
                              .rows = count,
                              .length = 1};
    return sw_wide_rows_run(&job, sum, NULL, 0);
}

/* ---- Losses of rows with SW_NONE: the same kernels, row by row ---- */

typedef struct rows_args {
    const sw_kernels *kernels;
    sw_kernel *kernel; /* of f32 or f64 */
    loss_args args;
    void *losses;           /* forward */
    const void *cotangents; /* vjp */
    sw_dtype type, result;  /* of the elements; of losses and cotangents */
    int64_t length;
} rows_args;

static void loss_each_row(void *args, int64_t begin, int64_t end, double *sums) {
    const rows_args *r = args;
    const size_t size = sw_dtype_size(r->type);
    loss_args piece = r->args;
    (void)sums;
    for (int64_t row = begin; row < end; row++) {
        double total = 0;
        if (r->cotangents)
            piece.factor = sw_load_element(r->result, r->cotangents, row);
        for (int64_t at = 0; at < r->length; at += SW_TILE) { /* tiles are added in f64 */
            const int64_t count = r->length - at < SW_TILE ? r->length - at : SW_TILE;
            const size_t first = (size_t)(row * r->length + at) * size;
            double sum = 0;
            piece.p = (const char *)r->args.p + first;
            piece.t = (const char *)r->args.t + first;
            piece.out = r->losses ? NULL : (char *)r->args.out + first;
            if (r->kernel)
                r->kernel(&piece, 0, count, &sum);
            else
                loss_run(r->type, r->kernels, &piece, r->losses != NULL, count, r->losses ? &sum : NULL);
            total += sum;
        }
        if (r->losses)
            sw_store_element(r->result, r->losses, row, total);
    }
}

static void loss_run_rows(sw_call *c, const sw_kernels *kernels, const loss_args *args, bool forward) {
    const sw_view *p = c->in[0];
    rows_args rows = {.kernels = kernels,
                      .kernel = sw_dtype_is_computed(p->type) ? (*kernels)[p->type][sw_cpu_level()] : NULL,
                      .args = *args,
                      .losses = forward ? c->out->data : NULL,
                      .cotangents = forward ? NULL : c->cotangent,
                      .type = p->type,
                      .result = c->out->type,
                      .length = p->shape[p->rank - 1]};
    sw_kernel_run_rows(loss_each_row, &rows, c->out->count, rows.length, NULL);
}

/* ---- Forward and vjp of all losses ---- */

static sw_status loss_forward(sw_call *c, const sw_kernels *kernels) {
    const sw_view *p = c->in[0];
    const loss_attributes *a = c->attributes;
    loss_args args = {.p = p->data, .t = c->in[1]->data, .delta = a->delta};
    if (a->reduction == SW_NONE && a->rows) {
        loss_run_rows(c, kernels, &args, true);
        return SW_OK;
    }
    if (a->reduction == SW_NONE) {
        args.out = c->out->data;
        return loss_run(p->type, kernels, &args, true, p->count, NULL);
    }
    double sum;
    SW_TRY(loss_run(p->type, kernels, &args, true, p->count, &sum));
    const int64_t items = a->reduction == SW_MEAN ? loss_item_count(c) : 1;
    sw_store_scalar(c->out->type, c->out->data, items ? sum / (double)items : (double)NAN);
    return sw_call_set_weight(c, loss_weight(c));
}

static sw_status loss_vjp(sw_call *c, const sw_kernels *dp, const sw_kernels *dt) {
    const sw_view *p = c->in[0];
    const loss_attributes *a = c->attributes;
    for (int i = 0; i < 2; i++) {
        if (!sw_call_wants_grad(c, i))
            continue;
        const sw_kernels *kernels = i == 0 ? dp : dt;
        loss_args args = {.p = p->data, .t = c->in[1]->data, .out = sw_call_grad(c, i), .delta = a->delta};
        if (!args.out)
            return SW_ERR_MEMORY;
        if (a->reduction == SW_NONE && a->rows) {
            loss_run_rows(c, kernels, &args, false);
            continue;
        }
        if (a->reduction == SW_NONE)
            args.dy = c->cotangent;
        else
            args.factor =
                sw_load_scalar(c->out->type, c->cotangent) / (a->reduction == SW_MEAN ? (double)loss_item_count(c) : 1);
        SW_TRY(loss_run(p->type, kernels, &args, false, p->count, NULL));
    }
    return SW_OK;
}

/* Defines the operation FN_op from the kernels FN, FN_dp and FN_dt. */
#define LOSS(fn, text)                                                                                      \
    static const sw_kernels fn##_kernels = SW_KERNEL_TABLE(fn), fn##_dp_kernels = SW_KERNEL_TABLE(fn##_dp), \
                            fn##_dt_kernels = SW_KERNEL_TABLE(fn##_dt);                                     \
    static sw_status fn##_forward(sw_call *c) {                                                             \
        return loss_forward(c, &fn##_kernels);                                                              \
    }                                                                                                       \
    static sw_status fn##_vjp(sw_call *c) {                                                                 \
        return loss_vjp(c, &fn##_dp_kernels, &fn##_dt_kernels);                                             \
    }                                                                                                       \
    static const sw_op fn##_op = {.size = sizeof(sw_op),                                                    \
                                  .name = text,                                                             \
                                  .shape = loss_shape,                                                      \
                                  .forward = fn##_forward,                                                  \
                                  .vjp = fn##_vjp,                                                          \
                                  .vjp_reads = SW_READS(0) | SW_READS(1),                                   \
                                  .takes_16_bit = true,                                                     \
                                  .f32_result = true};

LOSS(mse, "mse")
LOSS(l1, "l1")
LOSS(huber, "huber")
LOSS(hinge, "hinge")
LOSS(bce, "bce_with_logits")
LOSS(kl, "kl_div")

static sw_tensor loss_apply(const sw_op *op, sw_tensor prediction, sw_tensor target, loss_attributes attributes) {
    return sw_apply(op, &attributes, sizeof attributes, 2, (sw_tensor[]){prediction, target});
}

/* Sets the attributes from the options, or from the defaults if `given` is NULL. */
static sw_status loss_options(const char *who, const sw_loss_options *given, loss_attributes *attributes) {
    sw_loss_options o = SW_OPTIONS(sw_loss_options, .reduction = SW_MEAN);
    if (given)
        SW_TRY(sw_options_copy(who, "sw_loss_options", &o, sizeof o, given, sizeof o));
    attributes->reduction = o.reduction;
    return SW_OK;
}

static sw_tensor loss_with_options(const sw_op *op, sw_tensor prediction, sw_tensor target,
                                   const sw_loss_options *options, bool rows) {
    loss_attributes attributes = {.rows = rows};
    if (loss_options(op->name, options, &attributes) != SW_OK)
        return (sw_tensor){0};
    return loss_apply(op, prediction, target, attributes);
}

sw_tensor sw_mse(sw_tensor prediction, sw_tensor target) {
    return sw_mse_with_options(prediction, target, NULL);
}

sw_tensor sw_mse_with_options(sw_tensor prediction, sw_tensor target, const sw_loss_options *options) {
    return loss_with_options(&mse_op, prediction, target, options, false);
}

sw_tensor sw_l1(sw_tensor prediction, sw_tensor target) {
    return sw_l1_with_options(prediction, target, NULL);
}

sw_tensor sw_l1_with_options(sw_tensor prediction, sw_tensor target, const sw_loss_options *options) {
    return loss_with_options(&l1_op, prediction, target, options, false);
}

sw_tensor sw_huber(sw_tensor prediction, sw_tensor target) {
    return sw_huber_with_options(prediction, target, NULL);
}

sw_tensor sw_huber_with_options(sw_tensor prediction, sw_tensor target, const sw_huber_options *options) {
    sw_huber_options o = SW_OPTIONS(sw_huber_options, .reduction = SW_MEAN);
    if (options && sw_options_copy("huber", "sw_huber_options", &o, sizeof o, options, sizeof o) != SW_OK)
        return (sw_tensor){0};
    if (o.delta == 0)
        o.delta = 1;
    if (!(o.delta > 0)) {
        sw_fail(SW_ERR_ARGUMENT, "huber: delta is %g; it must be above 0", o.delta);
        return (sw_tensor){0};
    }
    return loss_apply(&huber_op, prediction, target, (loss_attributes){.reduction = o.reduction, .delta = o.delta});
}

sw_tensor sw_hinge(sw_tensor score, sw_tensor target) {
    return sw_hinge_with_options(score, target, NULL);
}

sw_tensor sw_hinge_with_options(sw_tensor score, sw_tensor target, const sw_loss_options *options) {
    return loss_with_options(&hinge_op, score, target, options, false);
}

sw_tensor sw_bce_with_logits(sw_tensor logits, sw_tensor target) {
    return sw_bce_with_logits_with_options(logits, target, NULL);
}

sw_tensor sw_bce_with_logits_with_options(sw_tensor logits, sw_tensor target, const sw_loss_options *options) {
    return loss_with_options(&bce_op, logits, target, options, false);
}

sw_tensor sw_kl_div(sw_tensor log_prediction, sw_tensor target) {
    return sw_kl_div_with_options(log_prediction, target, NULL);
}

sw_tensor sw_kl_div_with_options(sw_tensor log_prediction, sw_tensor target, const sw_loss_options *options) {
    return loss_with_options(&kl_op, log_prediction, target, options, true);
}

#endif
