/* Cross-entropy of softmax(z) against class ids or distributions. With class weights w (1 by default), smoothing ε and
 * K classes, the target of a row is q_c = (1 - ε) t_c + ε/K, where t is one-hot for an id, and
 *     loss = -Σ_c w_c q_c log p_c,  p = softmax(z),  dz_j = p_j Σ_c w_c q_c - w_j q_j.
 * A class with w_c q_c = 0 adds 0 even if p_c = 0.
 */
#include <swale/kernel.h>
#include <swale/kernel_rows.h>
#include <swale/extend.h>

#include "core/ops/shared.h"

#if SW_KERNEL_FIRST
typedef struct row_args {
    const void *z;
    const void *target;  /* ids or distributions */
    void *out;           /* forward: the numbers that are saved for the vjp; vjp: the gradient */
    const void *kept;    /* vjp: the saved numbers */
    void *each;          /* one loss for each row; NULL: only their sum is needed */
    const void *dy;      /* one cotangent for each row; NULL: `factor` for all rows */
    const void *weights; /* [classes] */
    int64_t classes;
    double factor, hard, smooth, smooth_total; /* 1 - ε, ε/K, ε/K Σ w */
    bool ignore;
    int32_t ignored_id;
} row_args;
#endif

#if SW_KERNEL_PASS

/* ---- Ids, few classes, no options: writes softmax to `out` and adds log Σ exp(z) - z[id] to the sum ---- */

static void SW_K(ce_plain)(void *args, int64_t begin, int64_t end, double *sums) {
    const row_args *s = args;
    const int64_t k = s->classes;
    const int32_t *id = s->target;
    const real *z = s->z;
    real *p = s->out;
    for (int64_t row = begin; row < end; row++) {
        const real *from = z + row * k;
        real *to = p + row * k, max = from[0];
        for (int64_t j = 1; j < k; j++)
            max = from[j] > max ? from[j] : max;
        for (int64_t j = 0; j < k; j++)
            to[j] = SW_K(sw_k_below_max)(from[j], max); /* ≤ 0: exp cannot overflow */
        sums[0] -= (double)to[id[row]];
    }
    for (int64_t i = begin * k; i < end * k; i++)
        p[i] = SW_K(sw_k_exp)(p[i]);
    for (int64_t row = begin; row < end; row++) {
        real *to = p + row * k, total = 0;
        for (int64_t j = 0; j < k; j++)
            total += to[j];
        sums[0] += (double)SW_K(sw_k_log)(total); /* 1 ≤ total ≤ k */
        const real scale = 1 / total;
        for (int64_t j = 0; j < k; j++)
            to[j] *= scale;
    }
}

/* dz = factor·(softmax - one-hot) */
static void SW_K(ce_plain_vjp)(void *args, int64_t begin, int64_t end, double *sums) {
    const row_args *s = args;
    const int64_t k = s->classes;
    const int32_t *id = s->target;
    const real *restrict p = s->kept;
    real *restrict dz = s->out;
    const real factor = (real)s->factor;
    (void)sums;
    for (int64_t i = begin * k; i < end * k; i++)
        dz[i] = factor * p[i];
    for (int64_t row = begin; row < end; row++)
        dz[row * k + id[row]] -= factor;
}

/* ---- Ids with weights, smoothing, ignored rows, a loss for each row, or many classes ---- */

/* Adds to the loss of a row, or to the sum of all rows. */
static inline void SW_K(ce_add_loss)(const row_args *s, int64_t row, real loss, double *sums) {
    if (s->each)
        ((real *)s->each)[row] += loss;
    else
        sums[0] += (double)loss;
}

/* With d = z - max and T = Σ exp d: loss = -Σ w q d + (Σ w q) log T, where both terms are at least 0. */
static void SW_K(ce_ids)(void *args, int64_t begin, int64_t end, double *sums) {
    const row_args *s = args;
    const int64_t k = s->classes;
    const int32_t *id = s->target;
    const real *z = s->z, *w = s->weights, hard = (real)s->hard, smooth = (real)s->smooth;
    real *p = s->out;
    for (int64_t row = begin; row < end; row++) {
        real *d = p + row * k, spread = 0;
        if (s->each)
            ((real *)s->each)[row] = 0;
        if (s->ignore && id[row] == s->ignored_id) {
            for (int64_t j = 0; j < k; j++)
                d[j] = 0;
            continue;
        }
        SW_K(sw_k_row_shift)(z + row * k, k, d);
        const real target_weight = hard * w[id[row]];
        if (smooth > 0)
            SW_ROW_SUM(spread, k, (w[j] == 0 ? 0 : w[j] * d[j]));
        SW_K(ce_add_loss)(s, row, (target_weight == 0 ? 0 : -target_weight * d[id[row]]) - smooth * spread, sums);
    }
    for (int64_t i = begin * k; i < end * k; i++)
        p[i] = SW_K(sw_k_exp)(p[i]);
    for (int64_t row = begin; row < end; row++) {
        real *to = p + row * k, total;
        if (s->ignore && id[row] == s->ignored_id)
            continue;
        SW_ROW_SUM(total, k, to[j]);
        const real sum = hard * w[id[row]] + (real)s->smooth_total, scale = 1 / total;
        SW_K(ce_add_loss)(s, row, sum * SW_K(sw_k_log)(total), sums);
        for (int64_t j = 0; j < k; j++)
            to[j] *= scale;
    }
}

static void SW_K(ce_ids_vjp)(void *args, int64_t begin, int64_t end, double *sums) {
    const row_args *s = args;
    const int64_t k = s->classes;
    const int32_t *id = s->target;
    const real *restrict p = s->kept, *restrict w = s->weights, *dy = s->dy;
    real *restrict dz = s->out;
    const real factor = (real)s->factor, hard = (real)s->hard, smooth = (real)s->smooth;
    (void)sums;
    for (int64_t row = begin; row < end; row++) {
        const real *from = p + row * k;
        real *to = dz + row * k;
        if (s->ignore && id[row] == s->ignored_id) {
            for (int64_t j = 0; j < k; j++)
                to[j] = 0;
            continue;
        }
        const real g = dy ? dy[row] : factor, target_weight = hard * w[id[row]],
                   sum = g * (target_weight + (real)s->smooth_total), each = g * smooth;
        for (int64_t j = 0; j < k; j++)
            to[j] = sum * from[j] - each * w[j];
        to[id[row]] -= g * target_weight;
    }
}

/* ---- Distributions: writes log softmax to `out` ---- */

static void SW_K(ce_soft)(void *args, int64_t begin, int64_t end, double *sums) {
    const row_args *s = args;
    const int64_t k = s->classes;
    const real *z = s->z, *t = s->target, *w = s->weights;
    const real hard = (real)s->hard, smooth = (real)s->smooth;
    real *out = s->out;
    for (int64_t row = begin; row < end; row++)
        SW_K(sw_k_row_shift)(z + row * k, k, out + row * k);
    for (int64_t i = begin * k; i < end * k; i++)
        out[i] = SW_K(sw_k_exp)(out[i]);
    for (int64_t row = begin; row < end; row++) {
        const real *target = t + row * k;
        real *to = out + row * k, total, loss;
        SW_ROW_SUM(total, k, to[j]);
        const real log_total = SW_K(sw_k_log)(total);
        SW_K(sw_k_row_shift)(z + row * k, k, to);
        for (int64_t j = 0; j < k; j++)
            to[j] -= log_total;
            /* 0·∞ is 0 here, and 0·NaN is NaN */
#define SOFT_TARGET (w[j] * (hard * target[j] + smooth))
        SW_ROW_SUM(loss, k, (SOFT_TARGET == 0 && to[j] == to[j] ? 0 : SOFT_TARGET * to[j]));
        if (s->each)
            ((real *)s->each)[row] = 0 - loss;
        else
            sums[0] -= (double)loss;
    }
}

static void SW_K(ce_soft_dz)(void *args, int64_t begin, int64_t end, double *sums) {
    const row_args *s = args;
    const int64_t k = s->classes;
    const real *restrict log_p = s->kept, *restrict t = s->target, *restrict w = s->weights, *dy = s->dy;
    const real factor = (real)s->factor, hard = (real)s->hard, smooth = (real)s->smooth;
    real *restrict dz = s->out;
    (void)sums;
    for (int64_t i = begin * k; i < end * k; i++)
        dz[i] = SW_K(sw_k_exp)(log_p[i]);
    for (int64_t row = begin; row < end; row++) {
        const real *target = t + row * k, g = dy ? dy[row] : factor;
        real *to = dz + row * k, sum;
        SW_ROW_SUM(sum, k, SOFT_TARGET);
        for (int64_t j = 0; j < k; j++)
            to[j] = g * (to[j] * sum - SOFT_TARGET);
    }
#undef SOFT_TARGET
}

/* dt_c = -(1 - ε) w_c log p_c */
static void SW_K(ce_soft_dt)(void *args, int64_t begin, int64_t end, double *sums) {
    const row_args *s = args;
    const int64_t k = s->classes;
    const real *restrict log_p = s->kept, *restrict w = s->weights, *dy = s->dy;
    const real factor = (real)s->factor, hard = (real)s->hard;
    real *restrict dt = s->out;
    (void)sums;
    for (int64_t row = begin; row < end; row++) {
        const real *from = log_p + row * k, g = dy ? dy[row] : factor;
        real *to = dt + row * k;
        for (int64_t j = 0; j < k; j++) {
            const real weight = hard * w[j];
            to[j] = weight == 0 && from[j] == from[j] ? 0 : g * (0 - weight * from[j]);
        }
    }
}

#else /* ---- once ---- */

#include <math.h>

static const sw_kernels plain_kernels = SW_KERNEL_TABLE(ce_plain), plain_vjp_kernels = SW_KERNEL_TABLE(ce_plain_vjp),
                        ids_kernels = SW_KERNEL_TABLE(ce_ids), ids_vjp_kernels = SW_KERNEL_TABLE(ce_ids_vjp),
                        soft_kernels = SW_KERNEL_TABLE(ce_soft), soft_dz_kernels = SW_KERNEL_TABLE(ce_soft_dz),
                        soft_dt_kernels = SW_KERNEL_TABLE(ce_soft_dt);

/* The attributes. class_weights point to memory of the caller, which is valid only in `shape` and `forward`; forward
 * saves a copy. */
typedef sw_cross_entropy_options options;

static const options *cross_entropy_options_of(const sw_call *c) {
    static const options none = {.size = sizeof none};
    return c->attributes ? c->attributes : &none;
}

typedef struct sizes {
    int64_t rows, classes;
    bool ids;   /* the target is ids; else distributions */
    bool plain; /* ids, few classes, and a sum or mean without weights, smoothing or ignored rows */
} sizes;

static sizes cross_entropy_sizes(const sw_call *c) {
    const sw_view *z = c->in[0];
    const options *o = cross_entropy_options_of(c);
    sizes n = {.rows = 1, .classes = z->shape[z->rank - 1], .ids = c->in[1]->type == SW_I32};
    for (int axis = 0; axis < z->rank - 1; axis++)
        n.rows *= z->shape[axis];
    n.plain = n.ids && o->reduction != SW_NONE && o->label_smoothing == 0 && !o->ignore && !o->class_weights &&
              n.classes < SW_ROW_WIDE;
    return n;
}

/* ---- Checks ---- */

static sw_status cross_entropy_check_options(const sw_call *c, const options *o, int64_t classes) {
    SW_TRY(swi_check_reduction(c, o->reduction));
    if (!(o->label_smoothing >= 0 && o->label_smoothing <= 1))
        return sw_fail(SW_ERR_ARGUMENT, "cross_entropy: label_smoothing is %g; it must be in [0, 1]",
                       o->label_smoothing);
    if (o->ignore && c->in[1]->type != SW_I32)
        return sw_fail(SW_ERR_ARGUMENT, "cross_entropy: ignore needs class ids; the target is %s",
                       sw_dtype_name(c->in[1]->type));
    if (!o->class_weights)
        return SW_OK;
    if (o->classes != classes)
        return sw_fail(SW_ERR_SHAPE, "cross_entropy: %d class weights for %lld classes", o->classes,
                       (long long)classes);
    for (int i = 0; i < o->classes; i++)
        if (!(o->class_weights[i] >= 0 && o->class_weights[i] < (double)INFINITY))
            return sw_fail(SW_ERR_ARGUMENT, "cross_entropy: the weight of class %d is %g; it must be ≥ 0 and finite", i,
                           o->class_weights[i]);
    return SW_OK;
}

static sw_status cross_entropy_shape(sw_call *c) {
    const sw_view *z = c->in[0], *t = c->in[1];
    const options *o = cross_entropy_options_of(c);
    if (!sw_dtype_is_float(z->type))
        return sw_fail(SW_ERR_TYPE, "cross_entropy: the logits are %s; f32, f64, f16 or bf16 is needed",
                       sw_dtype_name(z->type));
    if (t->type != SW_I32 && t->type != z->type)
        return sw_fail(SW_ERR_TYPE,
                       "cross_entropy: the target is %s; class ids in i32 or distributions in %s, the "
                       "logits' type, are needed",
                       sw_dtype_name(t->type), sw_dtype_name(z->type));
    if (z->rank > 0 && z->shape[z->rank - 1] == 1)
        return sw_fail(SW_ERR_SHAPE,
                       "cross_entropy: logits %s have one class, and the loss is 0 for any logit (for two classes with "
                       "one logit use sw_bce_with_logits)",
                       sw_shape_text(z->rank, z->shape));
    int shared = t->type == SW_I32 ? z->rank - 1 : z->rank; /* axes that both have */
    bool fits = z->rank > 0 && t->rank == shared && memcmp(z->shape, t->shape, (size_t)shared * sizeof *z->shape) == 0;
    if (!fits)
        return sw_fail(SW_ERR_SHAPE,
                       t->type == SW_I32 ? "cross_entropy: logits %s and ids %s; [...,classes] and [...] are needed"
                                         : "cross_entropy: logits %s and distributions %s; the shapes must be equal, "
                                           "[...,classes] (class ids are i32)",
                       sw_shape_text(z->rank, z->shape), sw_shape_text(t->rank, t->shape));
    if (z->shape[z->rank - 1] == 0 && cross_entropy_sizes(c).rows > 0)
        return sw_fail(SW_ERR_SHAPE, "cross_entropy: logits %s have no classes", sw_shape_text(z->rank, z->shape));
    if (c->attributes)
        SW_TRY(cross_entropy_check_options(c, o, z->shape[z->rank - 1]));
    return sw_call_set_shape(c, sw_call_result_type(c), o->reduction == SW_NONE ? z->rank - 1 : 0, z->shape);
}

static sw_status cross_entropy_check_ids(const sw_call *c, const sizes *n) {
    const options *o = cross_entropy_options_of(c);
    const int32_t *id = c->in[1]->data;
    for (int64_t row = 0; row < n->rows; row++)
        if ((id[row] < 0 || id[row] >= n->classes) && !(o->ignore && id[row] == o->ignored_id))
            return sw_fail(SW_ERR_ARGUMENT, "cross_entropy: id %d in row %lld is outside 0 to %lld", id[row],
                           (long long)row, (long long)n->classes - 1);
    return SW_OK;
}

/* ---- Saved numbers and arguments of the kernels ---- */

/* Allocates the memory to save [rows, classes] numbers, followed, unless `plain`, by the weights [classes], which it
 * sets. They have the type of the loss, which is the compute type of the logits. */
static sw_status cross_entropy_save(sw_call *c, const sizes *n) {
    const options *o = cross_entropy_options_of(c);
    sw_dtype type = c->out->type;
    int64_t count = c->in[0]->count + (n->plain ? 0 : n->classes);
    c->saved = sw_call_save(c, (size_t)count * sw_dtype_size(type));
    if (!c->saved)
        return SW_ERR_MEMORY;
    for (int64_t i = c->in[0]->count; i < count; i++) {
        double weight = o->class_weights ? o->class_weights[i - c->in[0]->count] : 1;
        sw_store_element(type, c->saved, i, weight);
    }
    return SW_OK;
}

static double cross_entropy_weight(const sw_call *c, const row_args *args, int64_t i) {
    return sw_load_element(c->out->type, args->weights, i);
}

static row_args cross_entropy_arguments(const sw_call *c, const sizes *n) {
    const options *o = cross_entropy_options_of(c);
    /* Member by member: gcc clears a struct of this size by `rep stos`, which takes 30 ns. */
    row_args args;
    args.z = c->in[0]->data;
    args.target = c->in[1]->data;
    args.out = args.each = NULL;
    args.kept = args.dy = args.weights = NULL;
    args.classes = n->classes;
    args.factor = args.hard = args.smooth = args.smooth_total = 0;
    args.ignore = false;
    args.ignored_id = 0;
    if (n->plain)
        return args;
    args.weights = (const char *)c->saved + (size_t)c->in[0]->count * sw_dtype_size(c->out->type);
    args.hard = 1 - o->label_smoothing;
    args.smooth = o->label_smoothing / (double)n->classes;
    for (int64_t i = 0; o->label_smoothing > 0 && i < n->classes; i++)
        args.smooth_total += args.smooth * cross_entropy_weight(c, &args, i);
    args.ignore = o->ignore;
    args.ignored_id = o->ignored_id;
    return args;
}

/* The divisor of the mean: the number of rows, or for ids the sum of the weights of the rows that are not ignored. */
static double cross_entropy_divisor(const sw_call *c, const sizes *n, const row_args *args) {
    const options *o = cross_entropy_options_of(c);
    if (o->reduction != SW_MEAN)
        return 1;
    if (n->plain || !n->ids)
        return (double)n->rows;
    const int32_t *id = c->in[1]->data;
    double total = 0;
    for (int64_t row = 0; row < n->rows; row++)
        if (!(o->ignore && id[row] == o->ignored_id))
            total += cross_entropy_weight(c, args, id[row]);
    return total;
}

/* Runs a kernel over rows of f16 or bf16. The logits and distributions and their gradients (args->out of the vjp) have
 * 16 bits; the other numbers are f32. */
static sw_status cross_entropy_run_half(sw_call *c, const sizes *n, const sw_kernels *kernels, row_args *args,
                                        double *sum) {
    const sw_dtype type = c->in[0]->type;
    const bool forward = c->cotangent == NULL;
    if (!forward)
        args->z = NULL; /* the vjp does not read the logits, which may have been released */
    const sw_wide_array arrays[] = {
        sw_wide_array_of(offsetof(row_args, z), type, false, n->classes),
        sw_wide_array_of(offsetof(row_args, target), c->in[1]->type, false, n->ids ? 1 : n->classes),
        sw_wide_array_of(offsetof(row_args, out), forward ? SW_F32 : type, true, n->classes),
        sw_wide_array_of(offsetof(row_args, kept), SW_F32, false, n->classes),
        sw_wide_array_of(offsetof(row_args, each), SW_F32, true, 1),
        sw_wide_array_of(offsetof(row_args, dy), SW_F32, false, 1),
    };
    const sw_wide_rows job = {.size = sizeof job,
                              .kernels = kernels,
                              .args = args,
                              .bytes = sizeof *args,
                              .type = type,
                              .array = arrays,
                              .arrays = sizeof arrays / sizeof *arrays,
                              .rows = n->rows,
                              .length = n->classes};
    return swi_call_wide_rows(c, &job, sum);
}

static sw_status cross_entropy_run(sw_call *c, const sizes *n, const sw_kernels *kernels, row_args *args, double *sum) {
    const sw_dtype type = c->in[0]->type;
    if (sw_dtype_is_16_bit(type))
        return cross_entropy_run_half(c, n, kernels, args, sum);
    sw_kernel_run_rows((*kernels)[type][sw_cpu_level()], args, n->rows, n->classes, sum);
    return SW_OK;
}

/* ---- Forward and vjp ---- */

static sw_status cross_entropy_forward(sw_call *c) {
    const sizes n = cross_entropy_sizes(c);
    if (n.ids)
        SW_TRY(cross_entropy_check_ids(c, &n));
    SW_TRY(cross_entropy_save(c, &n));
    row_args args = cross_entropy_arguments(c, &n);
    args.out = c->saved;
    const sw_kernels *kernels = n.plain ? &plain_kernels : n.ids ? &ids_kernels : &soft_kernels;
    if (cross_entropy_options_of(c)->reduction == SW_NONE) {
        args.each = c->out->data;
        return cross_entropy_run(c, &n, kernels, &args, NULL);
    }
    double sum, by = cross_entropy_divisor(c, &n, &args);
    SW_TRY(cross_entropy_run(c, &n, kernels, &args, &sum));
    sw_store_scalar(c->out->type, c->out->data, by > 0 ? sum / by : (double)NAN);
    return sw_call_set_weight(c, cross_entropy_options_of(c)->reduction == SW_MEAN ? by : SW_SUMMED);
}

static sw_status cross_entropy_vjp(sw_call *c) {
    const sizes n = cross_entropy_sizes(c);
    row_args args = cross_entropy_arguments(c, &n);
    args.kept = c->saved;
    if (cross_entropy_options_of(c)->reduction == SW_NONE)
        args.dy = c->cotangent;
    else {
        const double by = cross_entropy_divisor(c, &n, &args); /* 0: no row counts, and the gradient is 0 */
        args.factor = by > 0 ? sw_load_scalar(c->out->type, c->cotangent) / by : 0;
    }
    if (sw_call_wants_grad(c, 0)) {
        args.out = sw_call_grad(c, 0);
        if (!args.out)
            return SW_ERR_MEMORY;
        const sw_kernels *kernels = n.plain ? &plain_vjp_kernels : n.ids ? &ids_vjp_kernels : &soft_dz_kernels;
        SW_TRY(cross_entropy_run(c, &n, kernels, &args, NULL));
    }
    if (!n.ids && sw_call_wants_grad(c, 1)) {
        args.out = sw_call_grad(c, 1);
        if (!args.out)
            return SW_ERR_MEMORY;
        return cross_entropy_run(c, &n, &soft_dt_kernels, &args, NULL);
    }
    return SW_OK;
}

static const sw_op cross_entropy_op = {.size = sizeof(sw_op),
                                       .name = "cross_entropy",
                                       .shape = cross_entropy_shape,
                                       .forward = cross_entropy_forward,
                                       .vjp = cross_entropy_vjp,
                                       .vjp_reads = SW_READS(1),
                                       .takes_16_bit = true,
                                       .f32_result = true};

sw_tensor sw_cross_entropy(sw_tensor logits, sw_tensor target) {
    return sw_apply(&cross_entropy_op, NULL, 0, 2, (sw_tensor[]){logits, target});
}

sw_tensor sw_cross_entropy_with_options(sw_tensor logits, sw_tensor target, const options *given) {
    options copy = {.size = sizeof copy};
    if (given &&
        sw_options_copy("cross_entropy", "sw_cross_entropy_options", &copy, sizeof copy, given, sizeof copy) != SW_OK)
        return (sw_tensor){0};
    return sw_apply(&cross_entropy_op, &copy, sizeof copy, 2, (sw_tensor[]){logits, target});
}

#endif
