/* Batch normalization as a program outside the library writes it, against the public headers alone: S. Ioffe, C.
 * Szegedy, Batch normalization, ICML 2015. In training y = γ (x - m)/√(v + ε) + β with the mean m and the variance v
 * of the batch, over all axes but the last; in evaluation, and where the layer is frozen, with the running ones.
 *
 * The running statistics are buffers "mean" and "variance" (unbiased, as PyTorch's). momentum 0: their plain average
 * over the steps, with a third buffer that counts them. Included after support.h. */
#ifndef TEST_BATCH_NORM_H
#define TEST_BATCH_NORM_H

#include <swale/extend.h>
#include <swale/nn.h>

static const double batch_norm_eps = 1e-3;

typedef struct batch_norm {
    sw_param *gamma, *beta, *mean, *variance, *count;
    double momentum; /* 0: 1/(count + 1) */
} batch_norm;

typedef struct batch_norm_attributes {
    sw_param *mean, *variance;
    double momentum;
} batch_norm_attributes;

/* Saved for the vjp, [channels] each. */
typedef struct batch_norm_saved {
    double *mean, *inverse; /* 1/√(v + ε) */
} batch_norm_saved;

static inline batch_norm_saved batch_norm_split(void *saved, int64_t channels) {
    return (batch_norm_saved){saved, (double *)saved + channels};
}

static inline sw_status batch_norm_shape(sw_call *c) {
    SW_TRY(sw_call_check_real(c));
    if (c->in[0]->rank < 1 || c->in[1]->count != c->in[0]->shape[c->in[0]->rank - 1] ||
        c->in[2]->count != c->in[1]->count)
        return sw_fail(SW_ERR_SHAPE, "batch_norm: scale and shift must have the length of the last axis");
    return sw_call_set_shape_like(c, 0);
}

/* Mean and variance of the population, in two passes. */
static inline void batch_norm_moments(const sw_view *x, int64_t channels, double *mean, double *variance) {
    const int64_t rows = x->count / channels;
    for (int64_t k = 0; k < channels; k++) {
        double sum = 0, squares = 0;
        for (int64_t i = 0; i < rows; i++)
            sum += sw_load_element(x->type, x->data, i * channels + k);
        mean[k] = sum / (double)rows;
        for (int64_t i = 0; i < rows; i++) {
            const double d = sw_load_element(x->type, x->data, i * channels + k) - mean[k];
            squares += d * d;
        }
        variance[k] = squares / (double)rows;
    }
}

static inline sw_status batch_norm_forward(sw_call *c) {
    const batch_norm_attributes *a = c->attributes;
    const sw_view *x = c->in[0];
    const int64_t channels = c->in[1]->count, rows = x->count / channels;
    void *memory = sw_call_save(c, 2 * (size_t)channels * sizeof(double));
    double *variance = sw_call_scratch(c, (size_t)channels * sizeof *variance);
    if (!memory || !variance)
        return SW_ERR_MEMORY;
    const batch_norm_saved s = batch_norm_split(memory, channels);
    batch_norm_moments(x, channels, s.mean, variance);
    for (int64_t k = 0; k < channels; k++)
        s.inverse[k] = 1 / sqrt(variance[k] + batch_norm_eps);
    for (int64_t i = 0; i < x->count; i++) {
        const int64_t k = i % channels;
        const double gamma = sw_load_element(x->type, c->in[1]->data, k);
        const double beta = sw_load_element(x->type, c->in[2]->data, k);
        const double value = sw_load_element(x->type, x->data, i);
        sw_store_element(x->type, c->out->data, i, gamma * (value - s.mean[k]) * s.inverse[k] + beta);
    }
    const sw_batch_moments moments = {.size = sizeof(sw_batch_moments),
                                      .mean = sw_array_view(s.mean, SW_F64, 1, &channels),
                                      .variance = sw_array_view(variance, SW_F64, 1, &channels),
                                      .weight = (double)rows,
                                      .unbiased = true};
    return sw_tape_put_moments(c->tape, a->mean, a->variance, &moments, a->momentum);
}

/* dβ = Σ dy, dγ = Σ dy x̂, dx = γ/(n √(v + ε)) (n dy - dβ - x̂ dγ) */
static inline sw_status batch_norm_vjp(sw_call *c) {
    const sw_view *x = c->in[0];
    const sw_dtype type = x->type;
    const int64_t channels = c->in[1]->count, rows = x->count / channels;
    const batch_norm_saved s = batch_norm_split(c->saved, channels);
    double *d_beta = sw_call_scratch(c, (size_t)channels * sizeof *d_beta),
           *d_gamma = sw_call_scratch(c, (size_t)channels * sizeof *d_gamma);
    if (!d_beta || !d_gamma)
        return SW_ERR_MEMORY;
    memset(d_beta, 0, (size_t)channels * sizeof *d_beta);
    memset(d_gamma, 0, (size_t)channels * sizeof *d_gamma);
    for (int64_t i = 0; i < x->count; i++) {
        const int64_t k = i % channels;
        const double dy = sw_load_element(type, c->cotangent, i);
        d_beta[k] += dy;
        d_gamma[k] += dy * (sw_load_element(type, x->data, i) - s.mean[k]) * s.inverse[k];
    }
    double *const sums[] = {d_gamma, d_beta};
    for (int input = 1; input <= 2; input++) {
        void *to = sw_call_wants_grad(c, input) ? sw_call_grad(c, input) : NULL;
        if (sw_call_wants_grad(c, input) && !to)
            return SW_ERR_MEMORY;
        for (int64_t k = 0; to && k < channels; k++)
            sw_store_element(type, to, k, sums[input - 1][k]);
    }
    if (!sw_call_wants_grad(c, 0))
        return SW_OK;
    void *dx = sw_call_grad(c, 0);
    for (int64_t i = 0; dx && i < x->count; i++) {
        const int64_t k = i % channels;
        const double n = (double)rows, dy = sw_load_element(type, c->cotangent, i);
        const double x_hat = (sw_load_element(type, x->data, i) - s.mean[k]) * s.inverse[k];
        const double scale = sw_load_element(type, c->in[1]->data, k) * s.inverse[k] / n;
        sw_store_element(type, dx, i, scale * (n * dy - d_beta[k] - x_hat * d_gamma[k]));
    }
    return dx ? SW_OK : SW_ERR_MEMORY;
}

static const sw_op batch_norm_op = {.size = sizeof(sw_op),
                                    .name = "batch_norm",
                                    .shape = batch_norm_shape,
                                    .forward = batch_norm_forward,
                                    .vjp = batch_norm_vjp,
                                    .vjp_reads = SW_READS(0) | SW_READS(1)};

/* ---- The layer ---- */

static inline sw_status batch_norm_build(sw_module *m, sw_sample_shape *shape) {
    batch_norm *b = m->data;
    if (shape->rank < 1)
        return sw_fail(SW_ERR_SHAPE, "layer %s: samples need an axis", m->name);
    const int64_t channels = shape->length[shape->rank - 1];
    const sw_param_options scale = {.size = sizeof scale, .role = SW_ROLE_NORM, .init = sw_init_constant(1)},
                           shift = {.size = sizeof shift, .role = SW_ROLE_NORM},
                           mean = {.size = sizeof mean, .role = SW_ROLE_NORM, .buffer = true},
                           variance = {.size = sizeof variance,
                                       .role = SW_ROLE_NORM,
                                       .init = sw_init_constant(1),
                                       .buffer = true};
    b->mean = sw_module_add_param(m, "mean", 1, &channels, &mean); /* amid the others: the vector has them last */
    b->gamma = sw_module_add_param(m, "scale", 1, &channels, &scale);
    b->variance = sw_module_add_param(m, "variance", 1, &channels, &variance);
    b->beta = sw_module_add_param(m, "shift", 1, &channels, &shift);
    if (b->momentum == 0)
        b->count = sw_module_add_param(m, "count", 0, NULL, &mean);
    return b->mean && b->gamma && b->variance && b->beta && (b->count || b->momentum != 0) ? SW_OK : sw_error_status();
}

static inline sw_tensor batch_norm_train(const batch_norm *b, sw_tensor x) {
    double momentum = b->momentum;
    if (momentum == 0) {
        const double count = sw_item(sw_param_use(x.tape, b->count)) + 1;
        momentum = 1 / count;
        if (sw_tape_put_statistic(x.tape, b->count, sw_array_view(&count, SW_F64, 0, NULL), 1, 1) != SW_OK)
            return (sw_tensor){0};
    }
    const batch_norm_attributes a = {b->mean, b->variance, momentum};
    const sw_tensor inputs[] = {x, sw_param_use(x.tape, b->gamma), sw_param_use(x.tape, b->beta)};
    return sw_apply(&batch_norm_op, &a, sizeof a, 3, inputs);
}

static inline sw_tensor batch_norm_module_forward(sw_module *m, sw_tensor x) {
    const batch_norm *b = m->data;
    if (sw_tape_switch(x.tape, SW_TRAIN) && !m->frozen)
        return batch_norm_train(b, x);
    const sw_dtype type = sw_model_type(m->model);
    sw_tensor deviation = sw_sqrt(sw_add(sw_param_use(x.tape, b->variance), sw_constant(x.tape, type, batch_norm_eps)));
    sw_tensor x_hat = sw_div(sw_sub(x, sw_param_use(x.tape, b->mean)), deviation);
    return sw_add(sw_mul(x_hat, sw_param_use(x.tape, b->gamma)), sw_param_use(x.tape, b->beta));
}

static const sw_module_type batch_norm_type = {
    .size = sizeof(sw_module_type), .name = "norm", .build = batch_norm_build, .forward = batch_norm_module_forward};

static inline sw_module *batch_norm_new(sw_model *model, double momentum) {
    sw_module *m = sw_module_new(model, &batch_norm_type, sizeof(batch_norm));
    if (sw_module_is(m, &batch_norm_type))
        ((batch_norm *)m->data)->momentum = momentum;
    return m;
}

#endif
