/* Means over parts of a batch: the weight of a loss, and the mean of losses with different weights. */
#include <swale/ops.h>
#include <swale/text.h>

#include "core/tape/engine.h"

#include <math.h>

static sw_status weight_set(swi_node *node, const char *who, double weight) {
    SW_TRY(swi_weight_check(who, weight));
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

sw_status sw_loss_mean_add(sw_loss_mean *mean, sw_tensor loss) {
    if (!mean)
        return sw_fail(SW_ERR_ARGUMENT, "loss_mean: the mean is NULL");
    const swi_node *node = swi_node_of(loss);
    if (!node)
        return sw_last_failure();
    if (node->view.count != 1 || !sw_dtype_is_float(node->view.type))
        return sw_fail(SW_ERR_SHAPE, "loss_mean: the loss must be one number, f32 or f64; it is %s %s",
                       sw_dtype_name(node->view.type), sw_shape_text(node->view.rank, node->view.shape));
    return swi_mean_add(mean, "loss_mean", sw_item(loss), swi_node_weight(loss.tape, node));
}
