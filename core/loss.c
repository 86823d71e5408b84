/* Losses: softmax cross-entropy with class ids, mean squared error, binary cross-entropy. */
#define SW_KERNEL_FILE "loss.c"
#include "kernel.h"

#ifndef LOSS_ARGS
#define LOSS_ARGS
typedef struct loss_args {
    const void *z; /* predictions or logits */
    const void *y; /* targets; class ids for cross-entropy */
    void *out;     /* forward: what is kept for the vjp; vjp: the gradient */
    const void *kept;
    int64_t classes;
    double factor;
    bool swap; /* the gradient by the target */
} loss_args;
#endif

#if SW_KERNEL_PASS

/* Rows [begin, end): softmax to `out`, log Σ exp(z) - z[id] to the sum. */
static void SW_K(cross_entropy)(void *args, int64_t begin, int64_t end, double *sums) {
    const loss_args *s = args;
    const int64_t k = s->classes;
    const int32_t *id = s->y;
    const real *z = s->z;
    real *p = s->out;
    for (int64_t row = begin; row < end; row++) {
        const real *from = z + row * k;
        real *to = p + row * k, max = from[0];
        for (int64_t j = 1; j < k; j++)
            max = from[j] > max ? from[j] : max;
        for (int64_t j = 0; j < k; j++)
            to[j] = from[j] - max; /* ≤ 0: exp cannot overflow */
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
static void SW_K(cross_entropy_vjp)(void *args, int64_t begin, int64_t end, double *sums) {
    const loss_args *s = args;
    const int64_t k = s->classes;
    const int32_t *id = s->y;
    const real *restrict p = s->kept;
    real *restrict dz = s->out;
    const real factor = (real)s->factor;
    (void)sums;
    for (int64_t i = begin * k; i < end * k; i++)
        dz[i] = factor * p[i];
    for (int64_t row = begin; row < end; row++)
        dz[row * k + id[row]] -= factor;
}

static void SW_K(mse)(void *args, int64_t begin, int64_t end, double *sums) {
    const loss_args *s = args;
    const real *z = s->z, *y = s->y;
    real lane[SW_LANES] = {0};
    int64_t i = begin;
    for (; i + SW_LANES <= end; i += SW_LANES)
        for (int j = 0; j < SW_LANES; j++) {
            real d = z[i + j] - y[i + j];
            lane[j] += d * d;
        }
    for (int j = 0; i < end; i++, j++) {
        real d = z[i] - y[i];
        lane[j] += d * d;
    }
    for (int j = 0; j < SW_LANES; j++)
        sums[0] += (double)lane[j];
}

static void SW_K(mse_vjp)(void *args, int64_t begin, int64_t end, double *sums) {
    const loss_args *s = args;
    const real *restrict z = s->z, *restrict y = s->y;
    real *restrict out = s->out;
    const real factor = (real)s->factor;
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        out[i] = factor * (z[i] - y[i]);
}

/* log(1 + exp z) - y z = max(z, 0) - y z + log(1 + exp(-|z|)) */
static void SW_K(bce)(void *args, int64_t begin, int64_t end, double *sums) {
    const loss_args *s = args;
    const real *z = s->z, *y = s->y;
    real lane[SW_LANES] = {0};
    for (int64_t i = begin; i < end; i += SW_LANES) {
        int n = end - i < SW_LANES ? (int)(end - i) : SW_LANES;
        for (int j = 0; j < n; j++) {
            real x = z[i + j], a = x < 0 ? x : -x;
            lane[j] += (x < 0 ? 0 : x) - y[i + j] * x + SW_K(sw_k_log1p)(SW_K(sw_k_exp)(a));
        }
    }
    for (int j = 0; j < SW_LANES; j++)
        sums[0] += (double)lane[j];
}

static void SW_K(bce_vjp)(void *args, int64_t begin, int64_t end, double *sums) {
    const loss_args *s = args;
    const real *restrict z = s->z, *restrict y = s->y;
    real *restrict out = s->out;
    const real factor = (real)s->factor;
    (void)sums;
    if (s->swap)
        for (int64_t i = begin; i < end; i++)
            out[i] = -factor * z[i];
    else
        for (int64_t i = begin; i < end; i++)
            out[i] = factor * (SW_K(sw_k_sigmoid)(z[i]) - y[i]);
}

#else /* ---- once ---- */

#include "internal.h"

#include <math.h>

static const sw_kernels cross_entropy_kernels = SW_KERNEL_TABLE(cross_entropy),
                        cross_entropy_vjp_kernels = SW_KERNEL_TABLE(cross_entropy_vjp),
                        mse_kernels = SW_KERNEL_TABLE(mse),
                        mse_vjp_kernels = SW_KERNEL_TABLE(mse_vjp),
                        bce_kernels = SW_KERNEL_TABLE(bce),
                        bce_vjp_kernels = SW_KERNEL_TABLE(bce_vjp);

/* ---- cross-entropy ---- */

static sw_status cross_entropy_shape(sw_call *c) {
    const sw_view *z = c->in[0], *ids = c->in[1];
    if (z->type != SW_F32 && z->type != SW_F64)
        return sw_fail(SW_ERR_TYPE, "cross_entropy: the logits are %s; f32 or f64 is needed",
                       sw_dtype_name(z->type));
    if (ids->type != SW_I32)
        return sw_fail(SW_ERR_TYPE, "cross_entropy: the class ids are %s; i32 is needed",
                       sw_dtype_name(ids->type));
    if (z->rank != 2 || ids->rank != 1 || z->shape[0] != ids->shape[0])
        return sw_fail(SW_ERR_SHAPE,
                       "cross_entropy: logits %s and ids %s; [batch,classes] and [batch] are needed",
                       sw_shape_text(z->rank, z->shape), sw_shape_text(ids->rank, ids->shape));
    if (z->shape[0] > 0 && z->shape[1] == 0)
        return sw_fail(SW_ERR_SHAPE, "cross_entropy: logits %s have no classes",
                       sw_shape_text(2, z->shape));
    return sw_shape_set(c, z->type, 0, NULL);
}

static sw_status cross_entropy_forward(sw_call *c) {
    const sw_view *z = c->in[0];
    int64_t batch = z->shape[0], classes = z->shape[1];
    const int32_t *id = c->in[1]->data;
    void *softmax = sw_call_save(c, (size_t)z->count * sw_dtype_size(z->type));
    if (!softmax)
        return SW_ERR_MEMORY;
    for (int64_t row = 0; row < batch; row++)
        if (id[row] < 0 || id[row] >= classes)
            return sw_fail(SW_ERR_ARGUMENT, "cross_entropy: id %d in row %lld is outside 0 to %lld",
                           id[row], (long long)row, (long long)classes - 1);
    loss_args args = {.z = z->data, .y = id, .out = softmax, .classes = classes};
    double sum;
    sw_run_sums(&cross_entropy_kernels, z->type, &args, batch, 1, &sum);
    swi_store_scalar(c->out, batch ? sum / (double)batch : (double)NAN);
    return SW_OK;
}

static sw_status cross_entropy_vjp(sw_call *c) {
    const sw_view *z = c->in[0];
    loss_args args = {.y = c->in[1]->data, .kept = c->saved, .out = sw_cotangent(c, 0),
                      .classes = z->shape[1],
                      .factor = swi_load_scalar(z->type, c->cotangent) / (double)z->shape[0]};
    if (!args.out)
        return SW_ERR_MEMORY;
    sw_run(&cross_entropy_vjp_kernels, z->type, &args, z->shape[0]);
    return SW_OK;
}

static const sw_op cross_entropy_op = {.size = sizeof(sw_op), .name = "cross_entropy",
                                       .shape = cross_entropy_shape,
                                       .forward = cross_entropy_forward,
                                       .vjp = cross_entropy_vjp, .vjp_reads = SW_READS(1)};

sw_tensor sw_cross_entropy(sw_tensor logits, sw_tensor ids) {
    return sw_apply(&cross_entropy_op, NULL, 0, 2, (sw_tensor[]){logits, ids});
}

/* ---- losses of two tensors of equal shape, the mean over all elements ---- */

static sw_status pair_shape(sw_call *c) {
    const sw_view *a = c->in[0], *b = c->in[1];
    SW_TRY(sw_check_real(c));
    if (a->rank != b->rank ||
        memcmp(a->shape, b->shape, (size_t)a->rank * sizeof *a->shape) != 0)
        return sw_fail(SW_ERR_SHAPE, "%s: prediction %s and target %s; the shapes must be equal",
                       c->op->name, sw_shape_text(a->rank, a->shape),
                       sw_shape_text(b->rank, b->shape));
    return sw_shape_set(c, a->type, 0, NULL);
}

static sw_status pair_forward(sw_call *c, const sw_kernels *kernels) {
    const sw_view *z = c->in[0];
    loss_args args = {.z = z->data, .y = c->in[1]->data};
    double sum;
    sw_run_sums(kernels, z->type, &args, z->count, 1, &sum);
    swi_store_scalar(c->out, z->count ? sum / (double)z->count : (double)NAN);
    return SW_OK;
}

static sw_status pair_vjp(sw_call *c, int input, const sw_kernels *kernels, double factor,
                          bool swap) {
    const sw_view *z = c->in[0];
    loss_args args = {.z = z->data, .y = c->in[1]->data, .out = sw_cotangent(c, input),
                      .factor = factor * swi_load_scalar(z->type, c->cotangent) / (double)z->count,
                      .swap = swap};
    if (!args.out)
        return SW_ERR_MEMORY;
    sw_run(kernels, z->type, &args, z->count);
    return SW_OK;
}

static sw_status mse_forward(sw_call *c) {
    return pair_forward(c, &mse_kernels);
}

static sw_status mse_vjp(sw_call *c) {
    if (sw_wants(c, 0))
        SW_TRY(pair_vjp(c, 0, &mse_vjp_kernels, 2, false));
    if (sw_wants(c, 1))
        SW_TRY(pair_vjp(c, 1, &mse_vjp_kernels, -2, false));
    return SW_OK;
}

static sw_status bce_forward(sw_call *c) {
    return pair_forward(c, &bce_kernels);
}

static sw_status bce_vjp(sw_call *c) {
    if (sw_wants(c, 0))
        SW_TRY(pair_vjp(c, 0, &bce_vjp_kernels, 1, false));
    if (sw_wants(c, 1))
        SW_TRY(pair_vjp(c, 1, &bce_vjp_kernels, 1, true));
    return SW_OK;
}

static const sw_op mse_op = {.size = sizeof(sw_op), .name = "mse", .shape = pair_shape,
                             .forward = mse_forward, .vjp = mse_vjp,
                             .vjp_reads = SW_READS(0) | SW_READS(1)};
static const sw_op bce_op = {.size = sizeof(sw_op), .name = "bce_with_logits", .shape = pair_shape,
                             .forward = bce_forward, .vjp = bce_vjp,
                             .vjp_reads = SW_READS(0) | SW_READS(1)};

sw_tensor sw_mse(sw_tensor prediction, sw_tensor target) {
    return sw_apply(&mse_op, NULL, 0, 2, (sw_tensor[]){prediction, target});
}

sw_tensor sw_bce_with_logits(sw_tensor logits, sw_tensor target) {
    return sw_apply(&bce_op, NULL, 0, 2, (sw_tensor[]){logits, target});
}

#endif
