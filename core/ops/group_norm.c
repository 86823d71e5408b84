/* Group normalization: the mean and the variance of each group of channels of each sample. */
#include <swale/extend.h>
#include <swale/normalization.h>

#include "core/ops/channel_norm.h"
#include "core/ops/norm_inputs.h"

static const double group_eps = 1e-5;

typedef struct group_attributes {
    swi_norm_inputs inputs;
    int64_t groups;
    double eps;
} group_attributes;

static swi_channel_norm group_sizes(const sw_call *c) {
    const group_attributes *a = c->attributes;
    const sw_view *x = c->in[0];
    int64_t rows = 1;
    for (int i = 1; i < x->rank - 1; i++)
        rows *= x->shape[i];
    return swi_channel_norm_of(x->type, x->shape[0], rows, x->shape[x->rank - 1], a->groups);
}

static sw_status group_shape(sw_call *c) {
    const group_attributes *a = c->attributes;
    const sw_view *x = c->in[0];
    SW_TRY(sw_call_check_real(c));
    SW_TRY(swi_norm_check_eps(c, a->eps));
    if (x->rank < 2)
        return sw_fail(SW_ERR_SHAPE, "group_norm: input %s; [batch, ..., channels] is needed",
                       sw_shape_text(x->rank, x->shape));
    const int64_t channels = x->shape[x->rank - 1];
    if (a->groups < 1 || channels % a->groups != 0)
        return sw_fail(SW_ERR_SHAPE,
                       "group_norm: input %s: %lld channels, the last axis, cannot be divided into %lld "
                       "groups of equal size",
                       sw_shape_text(x->rank, x->shape), (long long)channels, (long long)a->groups);
    SW_TRY(swi_norm_check(c, &a->inputs, 1));
    return sw_call_set_shape_like(c, 0);
}

static sw_status group_forward(sw_call *c) {
    const group_attributes *a = c->attributes;
    const swi_channel_norm all = group_sizes(c);
    if (c->out->count == 0)
        return SW_OK;
    const int64_t bytes = all.rows * all.channels * (int64_t)sw_dtype_size(all.type);
    swi_channel_norm block = all;
    block.samples = swi_channel_block(&all);
    const swi_channel_moments m = swi_channel_moments_save(c, &all);
    double *partial = swi_channel_partials(c, &block);
    void *coefficients = swi_channel_coefficients(c, &block);
    if (!m.mean || !partial || !coefficients)
        return SW_ERR_MEMORY;
    for (int64_t first = 0; first < all.samples; first += block.samples) {
        const char *x = (const char *)c->in[0]->data + first * bytes;
        const swi_channel_moments part = {m.mean + first * all.groups, m.inverse + first * all.groups};
        if (all.samples - first < block.samples)
            block.samples = all.samples - first;
        swi_channel_statistics(&block, x, partial, part.mean, part.inverse);
        swi_channel_inverse(&block, part.inverse, a->eps > 0 ? a->eps : group_eps, part.inverse);
        swi_channel_apply(&block, &part, swi_norm_data(c, swi_norm_weight(&a->inputs)),
                          swi_norm_data(c, swi_norm_bias(&a->inputs)), x, coefficients,
                          (char *)c->out->data + first * bytes);
    }
    return SW_OK;
}

static sw_status group_vjp(sw_call *c) {
    const group_attributes *a = c->attributes;
    const swi_channel_norm n = group_sizes(c);
    const swi_channel_moments m = swi_channel_moments_of(c->saved, &n);
    return swi_channel_vjp(c, &n, &m, &a->inputs, false);
}

static const sw_op group_norm_op = {.size = sizeof(sw_op),
                                    .name = "group_norm",
                                    .shape = group_shape,
                                    .forward = group_forward,
                                    .vjp = group_vjp,
                                    .vjp_reads = SW_READS(0) | SW_READS(1)};

sw_tensor sw_group_norm(sw_tensor x, int64_t groups, sw_tensor weight, sw_tensor bias, double eps) {
    group_attributes a = {.groups = groups, .eps = eps};
    return swi_norm_apply(&group_norm_op, &a.inputs, sizeof a, x, weight, bias);
}
