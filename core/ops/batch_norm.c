/* Batch normalization: the mean and the variance of each channel over the batch and all positions in training, running
 * statistics in evaluation. */
#include <swale/extend.h>
#include <swale/normalization.h>

#include "core/ops/channel_norm.h"
#include "core/ops/norm_inputs.h"

#include <math.h>
#include <string.h>

static const double batch_eps = 1e-5, batch_momentum = 0.1;

typedef struct batch_attributes {
    swi_norm_inputs inputs;
    double eps, momentum;
    double steps;                      /* with `count`: those before this one */
    sw_param *mean, *variance, *count; /* training: the buffers for which to report; NULL: none */
    sw_array run_mean, run_variance;   /* evaluation: the running statistics; data NULL: those of the batch */
} batch_attributes;

/* The whole batch is one sample, and each channel is a group. */
static swi_channel_norm batch_sizes(const sw_call *c) {
    const sw_view *x = c->in[0];
    const int64_t channels = x->shape[x->rank - 1];
    return swi_channel_norm_of(x->type, 1, channels ? x->count / channels : 0, channels, channels);
}

static sw_status batch_check_buffer(const sw_call *c, const char *name, const sw_param *p, int64_t channels) {
    return !p || sw_shape_equal(p->rank, p->shape, 1, &channels)
               ? SW_OK
               : sw_fail(SW_ERR_SHAPE, "batch_norm: input %s and running %s %s; the buffer must be [%lld]",
                         sw_shape_text(c->in[0]->rank, c->in[0]->shape), name, sw_shape_text(p->rank, p->shape),
                         (long long)channels);
}

static sw_status batch_shape(sw_call *c) {
    const batch_attributes *a = c->attributes;
    const sw_view *x = c->in[0];
    SW_TRY(sw_call_check_real(c));
    SW_TRY(swi_norm_check_eps(c, a->eps));
    if (x->rank < 2)
        return sw_fail(SW_ERR_SHAPE, "batch_norm: input %s; [batch, ..., channels] is needed",
                       sw_shape_text(x->rank, x->shape));
    const int64_t channels = x->shape[x->rank - 1];
    SW_TRY(swi_norm_check(c, &a->inputs, 1));
    SW_TRY(batch_check_buffer(c, "mean", a->mean, channels));
    SW_TRY(batch_check_buffer(c, "variance", a->variance, channels));
    if (!a->run_mean.data && x->count == channels && channels > 0)
        return sw_fail(SW_ERR_SHAPE,
                       "batch_norm: input %s has 1 value per channel, whose variance is 0; training needs at least 2 "
                       "(a larger batch, drop_last of sw_loader_options for a smaller last batch, or evaluation with "
                       "SW_TRAIN off?)",
                       sw_shape_text(x->rank, x->shape));
    return sw_call_set_shape_like(c, 0);
}

/* Reports the moments of the batch for the running statistics. */
static sw_status batch_report(const sw_call *c, const swi_channel_norm *n, double *mean, double *variance) {
    const batch_attributes *a = c->attributes;
    if (!a->mean || !sw_tape_wants_statistics(c->tape, a->mean))
        return SW_OK;
    if (sw_dry_run()) { /* undefined numbers could be infinite, and the step would be refused */
        memset(mean, 0, (size_t)n->channels * sizeof *mean);
        memset(variance, 0, (size_t)n->channels * sizeof *variance);
    }
    const double count = a->steps + 1;
    const sw_batch_moments moments = {.size = sizeof(sw_batch_moments),
                                      .mean = sw_array_view(mean, SW_F64, 1, &n->channels),
                                      .variance = sw_array_view(variance, SW_F64, 1, &n->channels),
                                      .weight = (double)n->rows,
                                      .unbiased = true};
    if (a->count)
        SW_TRY(sw_tape_put_statistic(c->tape, a->count, sw_array_view(&count, SW_F64, 0, NULL), 1, 1));
    return sw_tape_put_moments(c->tape, a->mean, a->variance, &moments, a->count ? 1 / count : a->momentum);
}

static sw_status batch_forward(sw_call *c) {
    const batch_attributes *a = c->attributes;
    const swi_channel_norm n = batch_sizes(c);
    if (c->out->count == 0)
        return SW_OK;
    const swi_channel_moments m = swi_channel_moments_save(c, &n);
    double *variance = sw_call_scratch(c, (size_t)n.channels * sizeof *variance);
    void *coefficients = swi_channel_coefficients(c, &n);
    if (!m.mean || !variance || !coefficients)
        return SW_ERR_MEMORY;
    if (a->run_mean.data) {
        for (int64_t i = 0; i < n.channels; i++) {
            m.mean[i] = sw_load_element(a->run_mean.type, a->run_mean.data, i);
            variance[i] = sw_load_element(a->run_variance.type, a->run_variance.data, i);
        }
    } else {
        double *partial = swi_channel_partials(c, &n);
        if (!partial)
            return SW_ERR_MEMORY;
        swi_channel_statistics(&n, c->in[0]->data, partial, m.mean, variance);
        SW_TRY(batch_report(c, &n, m.mean, variance));
    }
    swi_channel_inverse(&n, variance, a->eps > 0 ? a->eps : batch_eps, m.inverse);
    swi_channel_apply(&n, &m, swi_norm_data(c, swi_norm_weight(&a->inputs)),
                      swi_norm_data(c, swi_norm_bias(&a->inputs)), c->in[0]->data, coefficients, c->out->data);
    return SW_OK;
}

static sw_status batch_vjp(sw_call *c) {
    const batch_attributes *a = c->attributes;
    const swi_channel_norm n = batch_sizes(c);
    const swi_channel_moments m = swi_channel_moments_of(c->saved, &n);
    return swi_channel_vjp(c, &n, &m, &a->inputs, a->run_mean.data != NULL);
}

static const sw_op batch_norm_op = {.size = sizeof(sw_op),
                                    .name = "batch_norm",
                                    .shape = batch_shape,
                                    .forward = batch_forward,
                                    .vjp = batch_vjp,
                                    .vjp_reads = SW_READS(0) | SW_READS(1)};

/* Reads the options; the running statistics of the vector that is bound to the tape. */
static sw_status batch_read_options(sw_tape *tape, const sw_batch_norm_options *given, batch_attributes *a) {
    sw_batch_norm_options options = {.size = sizeof options};
    const sw_batch_norm_options *o = &options;
    SW_TRY(sw_options_copy("batch_norm", "sw_batch_norm_options", &options, sizeof options, given, sizeof options));
    if (!o->mean != !o->variance || (o->count && !o->mean))
        return sw_fail(SW_ERR_ARGUMENT, "batch_norm: running statistics need both a mean and a variance");
    if (!(o->momentum >= 0 && o->momentum <= 1))
        return sw_fail(SW_ERR_ARGUMENT, "batch_norm: momentum = %g is outside [0, 1]", o->momentum);
    a->eps = o->eps;
    a->mean = o->mean;
    a->variance = o->variance;
    a->count = o->count;
    a->momentum = o->momentum > 0 ? o->momentum : batch_momentum;
    if (!o->mean || !tape)
        return SW_OK;
    if (o->evaluate || !sw_tape_switch(tape, SW_TRAIN)) {
        a->run_mean = sw_value(sw_param_use(tape, o->mean));
        a->run_variance = sw_value(sw_param_use(tape, o->variance));
        return a->run_mean.data && a->run_variance.data ? SW_OK : sw_last_failure();
    }
    if (o->count && sw_tape_wants_statistics(tape, o->mean))
        a->steps = sw_item(sw_param_use(tape, o->count));
    return SW_OK;
}

sw_tensor sw_batch_norm(sw_tensor x, sw_tensor weight, sw_tensor bias, const sw_batch_norm_options *options) {
    batch_attributes a = {.momentum = batch_momentum};
    if (options && batch_read_options(x.tape, options, &a) != SW_OK)
        return (sw_tensor){0};
    return swi_norm_apply(&batch_norm_op, &a.inputs, sizeof a, x, weight, bias);
}
