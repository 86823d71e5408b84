/* The loops of elementwise losses over elements and rows (loss_run.h): without weights by the kernels of a loss, with
 * weights on blocks of their results. */
#include <swale/kernel.h>
#include <swale/extend.h>

#include "core/ops/loss_run.h"
#include "core/ops/shared.h"

#if SW_KERNEL_FIRST
typedef struct weighted_args {
    swi_loss_args loss;  /* `out` is not used */
    sw_kernel *kernel;   /* of the loss or of a derivative, for the same type and level */
    const void *weights; /* NULL: 1 */
    void *out;           /* the weighted results, or NULL if their sum is needed */
} weighted_args;
enum { WEIGHTED_BLOCK = 512 };
#endif

#if SW_KERNEL_PASS

/* Adds numbers to sums[0] in SW_LANES partial sums. */
static inline void SW_K(loss_add)(const real *x, int64_t count, double *sums) {
    real lane[SW_LANES] = {0};
    int64_t i = 0;
    for (; i + SW_LANES <= count; i += SW_LANES)
        for (int j = 0; j < SW_LANES; j++)
            lane[j] += x[i + j];
    for (int j = 0; i < count; i++, j++)
        lane[j] += x[i];
    SW_ADD_LANES(double, sums[0], lane);
}

static void SW_K(loss_add_weights)(void *args, int64_t begin, int64_t end, double *sums) {
    const weighted_args *s = args;
    SW_K(loss_add)((const real *)s->weights + begin, end - begin, sums);
}

static inline const void *SW_K(loss_from)(const void *numbers, int64_t at) {
    return numbers ? (const real *)numbers + at : NULL;
}

static void SW_K(loss_weighted)(void *args, int64_t begin, int64_t end, double *sums) {
    const weighted_args *s = args;
    const real *restrict w = s->weights;
    real *restrict out = s->out;
    real block[WEIGHTED_BLOCK];
    for (int64_t at = begin; at < end; at += WEIGHTED_BLOCK) {
        const int64_t count = end - at < WEIGHTED_BLOCK ? end - at : WEIGHTED_BLOCK;
        swi_loss_args piece = s->loss;
        piece.p = SW_K(loss_from)(s->loss.p, at);
        piece.t = SW_K(loss_from)(s->loss.t, at);
        piece.positive = SW_K(loss_from)(s->loss.positive, at);
        piece.dy = SW_K(loss_from)(s->loss.dy, at);
        piece.out = block;
        s->kernel(&piece, 0, count, NULL);
        for (int64_t i = 0; w && i < count; i++)
            block[i] *= w[at + i];
        if (out)
            memcpy(out + at, block, (size_t)count * sizeof *block);
        else
            SW_K(loss_add)(block, count, sums);
    }
}

#else /* ---- once ---- */

#include <math.h>
#include <string.h>

static const sw_kernels weighted_kernels = SW_KERNEL_TABLE(loss_weighted),
                        add_weights_kernels = SW_KERNEL_TABLE(loss_add_weights);

static int64_t loss_row_count(const sw_view *v) {
    int64_t rows = 1;
    for (int axis = 0; axis < v->rank - 1; axis++)
        rows *= v->shape[axis];
    return rows;
}

/* The divisor of the mean: the number of rows or elements. */
static int64_t loss_item_count(const sw_call *c) {
    const swi_loss_attributes *a = c->attributes;
    return a->rows ? loss_row_count(c->in[0]) : c->in[0]->count;
}

/* The weight of the mean: the number of rows. A vector is one row for a loss of rows, and a batch of numbers for other
 * losses. */
static double loss_weight(const sw_call *c) {
    const swi_loss_attributes *a = c->attributes;
    const sw_view *p = c->in[0];
    if (a->reduction != SW_MEAN)
        return SW_SUMMED;
    return (double)(p->rank == 1 && !a->rows ? p->count : loss_row_count(p));
}

/* Whether the shapes are equal without their axes of length 1: a column [n,1] and a vector [n]. */
static bool loss_differ_in_ones(const sw_view *p, const sw_view *t) {
    int i = 0, j = 0;
    while (true) {
        while (i < p->rank && p->shape[i] == 1)
            i++;
        while (j < t->rank && t->shape[j] == 1)
            j++;
        if (i == p->rank || j == t->rank)
            return i == p->rank && j == t->rank;
        if (p->shape[i++] != t->shape[j++])
            return false;
    }
}

sw_status swi_loss_shape(sw_call *c) {
    const sw_view *p = c->in[0], *t = c->in[1];
    const swi_loss_attributes *a = c->attributes;
    if (t->type == SW_I32)
        return sw_fail(SW_ERR_TYPE, "%s: the target is i32; f32, f64, f16 or bf16 is needed (sw_cast converts it)",
                       c->op->name);
    SW_TRY(sw_call_check_float(c));
    if (!sw_shape_equal(p->rank, p->shape, t->rank, t->shape))
        return sw_fail(SW_ERR_SHAPE, "%s: prediction %s and target %s; the shapes must be equal%s", c->op->name,
                       sw_shape_text(p->rank, p->shape), sw_shape_text(t->rank, t->shape),
                       loss_differ_in_ones(p, t) ? " (give one the shape of the other with sw_reshape)" : "");
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
static sw_status loss_run(sw_dtype type, const sw_kernels *kernels, const swi_loss_args *args, bool forward,
                          int64_t count, double *sum) {
    swi_loss_args copy = *args;
    if (sw_dtype_is_computed(type)) {
        if (sum)
            sw_kernel_run_sums(kernels, type, &copy, count, 1, sum);
        else
            sw_kernel_run(kernels, type, &copy, count);
        return SW_OK;
    }
    const sw_wide_array arrays[] = {
        sw_wide_array_of(offsetof(swi_loss_args, p), type, false, 1),
        sw_wide_array_of(offsetof(swi_loss_args, t), type, false, 1),
        sw_wide_array_of(offsetof(swi_loss_args, out), forward ? SW_F32 : type, true, 1),
        sw_wide_array_of(offsetof(swi_loss_args, dy), SW_F32, false, 1),
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
    swi_loss_args args;
    void *losses;           /* forward */
    const void *cotangents; /* vjp */
    sw_dtype type, result;  /* of the elements; of losses and cotangents */
    int64_t length;
} rows_args;

static void loss_each_row(void *args, int64_t begin, int64_t end, double *sums) {
    const rows_args *r = args;
    const size_t size = sw_dtype_size(r->type);
    swi_loss_args piece = r->args;
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

static void loss_run_rows(sw_call *c, const sw_kernels *kernels, const swi_loss_args *args, bool forward) {
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

sw_status swi_loss_forward(sw_call *c, const swi_loss_kernels *loss) {
    const sw_kernels *kernels = loss->value;
    const sw_view *p = c->in[0];
    const swi_loss_attributes *a = c->attributes;
    swi_loss_args args = {.p = p->data, .t = c->in[1]->data, .delta = a->delta};
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

sw_status swi_loss_vjp(sw_call *c, const swi_loss_kernels *loss) {
    const sw_view *p = c->in[0];
    const swi_loss_attributes *a = c->attributes;
    for (int i = 0; i < 2; i++) {
        if (!sw_call_wants_grad(c, i))
            continue;
        const sw_kernels *kernels = i == 0 ? loss->by_prediction : loss->by_target;
        swi_loss_args args = {.p = p->data, .t = c->in[1]->data, .out = sw_call_grad(c, i), .delta = a->delta};
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

/* ---- Losses with weights ---- */

enum { PREDICTION, TARGET, WEIGHTS };

static weighted_args weighted_args_of(const sw_call *c, const sw_kernels *kernels) {
    const swi_loss_attributes *a = c->attributes;
    return (weighted_args){.loss = {.p = c->in[PREDICTION]->data,
                                    .t = c->in[TARGET]->data,
                                    .positive = a->positive ? c->in[c->inputs - 1]->data : NULL,
                                    .delta = a->delta},
                           .kernel = (*kernels)[c->in[PREDICTION]->type][sw_cpu_level()],
                           .weights = a->weighted ? c->in[WEIGHTS]->data : NULL};
}

/* Computes the divisor of a mean, which the vjp reads from c->saved, and declares the weight of the result. */
static sw_status weighted_divisor(sw_call *c, weighted_args *args, double *divisor) {
    const swi_loss_attributes *a = c->attributes;
    const sw_view *p = c->in[PREDICTION];
    double weight = loss_weight(c), *saved = sw_call_save(c, sizeof *saved);
    if (!saved)
        return SW_ERR_MEMORY;
    *divisor = a->reduction == SW_MEAN ? (double)p->count : 1;
    if (a->reduction == SW_MEAN && a->weighted && a->over_weights) {
        sw_kernel_run_sums(&add_weights_kernels, p->type, args, p->count, 1, divisor);
        if (*divisor < 0)
            return sw_fail(SW_ERR_ARGUMENT, "%s: the weights add up to %g; a mean needs a sum of at least 0",
                           c->op->name, *divisor);
        if (isfinite(*divisor)) /* else the result is NaN or 0, whatever its weight */
            weight = *divisor;
    }
    *saved = *divisor;
    return sw_call_set_weight(c, weight);
}

sw_status swi_loss_weighted_forward(sw_call *c, const swi_loss_kernels *loss) {
    const swi_loss_attributes *a = c->attributes;
    const sw_view *p = c->in[PREDICTION];
    weighted_args args = weighted_args_of(c, loss->value);
    double sum = 0, divisor = 1;
    if (a->reduction == SW_NONE) {
        args.out = c->out->data;
        sw_kernel_run(&weighted_kernels, p->type, &args, p->count);
        return SW_OK;
    }
    SW_TRY(weighted_divisor(c, &args, &divisor));
    sw_kernel_run_sums(&weighted_kernels, p->type, &args, p->count, 1, &sum);
    sw_store_scalar(c->out->type, c->out->data, divisor == 0 ? (double)NAN : sum / divisor);
    return SW_OK;
}

sw_status swi_loss_weighted_vjp(sw_call *c, const swi_loss_kernels *loss) {
    const swi_loss_attributes *a = c->attributes;
    const sw_view *p = c->in[PREDICTION];
    for (int i = PREDICTION; i <= TARGET; i++) {
        if (!sw_call_wants_grad(c, i))
            continue;
        weighted_args args = weighted_args_of(c, i == PREDICTION ? loss->by_prediction : loss->by_target);
        args.out = sw_call_grad(c, i);
        if (!args.out)
            return SW_ERR_MEMORY;
        if (a->reduction == SW_NONE)
            args.loss.dy = c->cotangent;
        else
            args.loss.factor = sw_load_scalar(c->out->type, c->cotangent) / *(const double *)c->saved;
        sw_kernel_run(&weighted_kernels, p->type, &args, p->count);
    }
    return SW_OK;
}

sw_tensor swi_loss_weights(const char *who, const char *what, sw_tensor weights, sw_tensor prediction) {
    const sw_view *w = sw_tensor_view(weights, who, WEIGHTS), *p = sw_tensor_view(prediction, who, PREDICTION);
    int64_t shape[SW_MAX_RANK] = {0};
    if (!w || !p)
        return (sw_tensor){0};
    const int rank = p->rank, missing = rank - w->rank;
    bool fits = missing >= 0, same = missing == 0;
    for (int i = 0; i < rank; i++) {
        shape[i] = p->shape[i];
        const int64_t length = i < missing || !fits ? 1 : w->shape[i - missing];
        fits &= length == 1 || length == shape[i];
        same &= length == shape[i];
    }
    if (!fits) {
        sw_fail(SW_ERR_SHAPE, "%s: %s %s do not broadcast to the prediction %s", who, what,
                sw_shape_text(w->rank, w->shape), sw_shape_text(p->rank, p->shape));
        return (sw_tensor){0};
    }
    sw_tensor constant = sw_detach(weights); /* not released, because several backward passes may read it */
    return same ? constant : sw_expand(constant, rank, shape);
}

#endif
