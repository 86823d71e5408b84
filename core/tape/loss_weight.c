/* Means over parts: the weight of a loss, and the mean of losses with other weights. */
#include <swale/ops.h>
#include <swale/text.h>

#include "core/tape/engine.h"

#include <math.h>

/* ---- Weights ---- */

static bool is_sum(swi_weight w) {
    return w.value == SW_SUMMED;
}

/* Losses l_1 / w_1 + l_2 / w_2 + … with w_k = r_k w_1: the mean over parts is (Σ w_1 loss) / (Σ w_1) if every part
 * has the same ratios, so that w_1 is the weight and `mix` has to tell other ratios apart: a linear form of the
 * r_k, with coefficients that are polynomials in a transcendental number, which is 1 where all weights are equal. */
swi_weight swi_weight_combine(swi_weight a, swi_weight b) {
    static const double K = 0.31830988618379067; /* 1/π */
    if (is_sum(a) != is_sum(b))
        return (swi_weight){a.value, NAN};
    if (a.value == b.value && a.mix == b.mix)
        return a;
    if (a.value == 0)
        return (swi_weight){b.value, K * b.mix};
    return (swi_weight){a.value, a.mix + K * (b.mix * (b.value / a.value) - a.mix)};
}

/* What weighs nothing fits everything. mix is made of a few quotients, products and sums, with a relative rounding
 * error of 2^-53 each. */
bool swi_weight_fits(swi_weight a, swi_weight b) {
    if (is_sum(a) != is_sum(b))
        return false;
    return a.value == 0 || b.value == 0 || fabs(a.mix - b.mix) <= 64 * 0x1p-53 * fabs(a.mix);
}

sw_status swi_weight_refuse(const char *who, swi_weight a, swi_weight b) {
    if (isnan(a.mix) || isnan(b.mix) || is_sum(a) != is_sum(b))
        return sw_fail(SW_ERR_STATE,
                       "%s: of several parts, some losses are means and some are sums; give all of "
                       "them one reduction, or evaluate the samples in one part",
                       who);
    return sw_fail(SW_ERR_STATE,
                   "%s: the losses that were added up have weights (the rows or class weights they "
                   "were divided by) in another ratio in one part than in another, so that parts "
                   "have no common mean; evaluate each loss by itself, or all samples in one part",
                   who);
}

swi_weight swi_node_weight(const sw_tape *tape, const swi_node *node) {
    if (node->flags & SWI_WEIGHTED)
        return node->weight;
    return swi_plain_weight(tape->sample_count ? (double)tape->sample_count : 1);
}

void swi_inherit_weight(swi_node *node) {
    if (node->flags & SWI_WEIGHTED) /* a loss of its own */
        return;
    for (int i = 0; i < node->inputs; i++) {
        const swi_node *input = swi_inputs(node)[i];
        if (!(input->flags & SWI_WEIGHTED))
            continue;
        node->weight = node->flags & SWI_WEIGHTED ? swi_weight_combine(node->weight, input->weight) : input->weight;
        node->flags |= SWI_WEIGHTED;
    }
}

static sw_status weight_check(const char *who, double weight) {
    if ((weight >= 0 && weight < (double)INFINITY) || weight == SW_SUMMED)
        return SW_OK;
    return sw_fail(SW_ERR_ARGUMENT,
                   "%s: the weight of the loss is %g; it must be finite and at least 0, or "
                   "SW_SUMMED",
                   who, weight);
}

static sw_status weight_set(swi_node *node, const char *who, double weight) {
    SW_TRY(weight_check(who, weight));
    node->weight = swi_plain_weight(weight);
    node->flags |= SWI_WEIGHTED;
    return SW_OK;
}

sw_status sw_call_set_weight(sw_call *call, double weight) {
    swi_engine *e = call->engine;
    return weight_set(e->node, call->op->name, weight);
}

double sw_loss_weight(sw_tensor loss) {
    const swi_node *node = swi_node_of(loss);
    return node ? swi_node_weight(loss.tape, node).value : (double)NAN;
}

/* ---- A loss with another weight ---- */

static sw_status with_weight_shape(sw_call *call) {
    return sw_call_set_shape_like(call, 0);
}

static sw_status with_weight_vjp(sw_call *call) {
    sw_call_pass_grad(call, 0);
    return SW_OK;
}

static const sw_op with_weight_op = {.size = sizeof(sw_op),
                                     .name = "loss_with_weight",
                                     .shape = with_weight_shape,
                                     .vjp = with_weight_vjp,
                                     .is_view = true};

sw_tensor sw_loss_with_weight(sw_tensor loss, double weight) {
    const sw_tensor null = {0};
    const swi_node *node = loss.tape ? swi_node_of(loss) : NULL;
    if (node && node->view.count != 1) {
        sw_fail(SW_ERR_SHAPE, "loss_with_weight: the loss must be one number, its shape is %s",
                sw_shape_text(node->view.rank, node->view.shape));
        return null;
    }
    sw_tensor out = sw_apply(&with_weight_op, NULL, 0, 1, &loss);
    if (sw_is_null(out) || weight_set(swi_at(out.tape, out.slot), "loss_with_weight", weight) == SW_OK)
        return out;
    return null;
}

/* ---- Means ---- */

sw_status swi_mean_add(sw_loss_mean *m, const char *who, double value, swi_weight w) {
    const swi_weight before = {m->unit, m->mix};
    if (w.value == 0)
        return SW_OK;
    if (m->unit != 0 && !swi_weight_fits(before, w))
        return swi_weight_refuse(who, before, w);
    m->mix = w.mix;
    if (w.value == SW_SUMMED) {
        m->unit = SW_SUMMED;
        m->sum += value;
        return SW_OK;
    }
    if (m->unit == 0)
        m->unit = w.value;
    m->sum += value * (w.value / m->unit);
    m->weight += w.value / m->unit;
    return SW_OK;
}

sw_status sw_loss_mean_add(sw_loss_mean *mean, sw_tensor loss) {
    if (!mean)
        return sw_fail(SW_ERR_ARGUMENT, "loss_mean: the mean is NULL");
    const swi_node *node = swi_node_of(loss);
    if (!node)
        return sw_last_failure();
    if (node->view.count != 1 || node->view.type > SW_F64)
        return sw_fail(SW_ERR_SHAPE, "loss_mean: the loss must be one number, f32 or f64; it is %s %s",
                       sw_dtype_name(node->view.type), sw_shape_text(node->view.rank, node->view.shape));
    return swi_mean_add(mean, "loss_mean", sw_item(loss), swi_node_weight(loss.tape, node));
}

sw_status sw_loss_mean_add_part(sw_loss_mean *mean, double value, double weight) {
    if (!mean)
        return sw_fail(SW_ERR_ARGUMENT, "loss_mean: the mean is NULL");
    SW_TRY(weight_check("loss_mean", weight));
    return swi_mean_add(mean, "loss_mean", value, swi_plain_weight(weight));
}

double sw_loss_mean_value(const sw_loss_mean *m) {
    if (!m || m->unit == 0)
        return NAN;
    return m->unit == SW_SUMMED ? m->sum : m->sum / m->weight;
}
