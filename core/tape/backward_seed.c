/* Where backward begins: the cotangent of the loss, which is multiplied by the loss scale, and gradients outside of
 * gradient blocks, from which the scale is removed again. */
#include <swale/text.h>

#include "core/kernels/axpy.h"
#include "core/params/vector.h"
#include "core/tape/engine.h"

#include <math.h>

/* ---- The loss scale ---- */

/* The largest loss scale of the parameters that this pass has used. Inside a vjp 1, because the cotangents of the vjp
 * are scaled already. */
static double seed_scale(const sw_tape *tape) {
    double scale = 0;
    for (int i = 0; i < tape->bindings && tape->floor == 0; i++) {
        const swi_binding *b = &tape->binding[i];
        if (b->pass == tape->pass && !b->frozen && b->params->loss_scale > scale)
            scale = b->params->loss_scale;
    }
    return scale > 0 ? scale : 1;
}

static bool leaf_has_gradient(const swi_node *node) {
    return !node->op && (node->flags & (SWI_NEEDS_GRAD | SWI_PARAM)) == SWI_NEEDS_GRAD;
}

/* Sets the gradients of variables aside: those that the backward computes will be scaled. */
static void leaves_begin_scaled(const sw_tape *tape, uint32_t last) {
    for (uint32_t slot = 0; slot <= last; slot++) {
        swi_node *leaf = swi_at(tape, slot);
        if (!leaf_has_gradient(leaf))
            continue;
        leaf->kept = leaf->grad;
        leaf->grad = NULL;
    }
}

/* Divides the gradients of variables by the scale, and adds those that were set aside. */
static void leaves_end_scaled(sw_tape *tape, uint32_t last, double scale) {
    for (uint32_t slot = 0; slot <= last; slot++) {
        swi_node *leaf = swi_at(tape, slot);
        if (!leaf_has_gradient(leaf))
            continue;
        const sw_view *v = &leaf->view;
        if (leaf->grad && leaf->kept) {
            swi_axpy(v->type, v->count, 1 / scale, leaf->grad, leaf->kept, false);
            swi_arena_release(&tape->arena, leaf->grad, (size_t)v->count * swi_size(v->type));
            leaf->grad = leaf->kept;
        } else if (leaf->grad) {
            swi_axpy(v->type, v->count, 1 / scale, leaf->grad, leaf->grad, true);
        } else {
            leaf->grad = leaf->kept;
        }
        leaf->kept = NULL;
    }
}

/* After a backward that failed, variables have no gradients, as without a scale. */
static void leaves_discard(const sw_tape *tape, uint32_t last) {
    for (uint32_t slot = 0; slot <= last; slot++)
        if (leaf_has_gradient(swi_at(tape, slot)))
            swi_at(tape, slot)->grad = swi_at(tape, slot)->kept = NULL;
}

static sw_status backward_scaled(sw_tensor t, const void *seed, double scale) {
    sw_tape *tape = t.tape;
    if (scale == 1)
        return swi_backward_run(t, seed, 1, "backward");
    const uint64_t before = tape->backward;
    leaves_begin_scaled(tape, t.slot);
    const sw_status status = swi_backward_run(t, seed, scale, "backward");
    if (status == SW_OK || tape->backward == before) /* refused before it began */
        leaves_end_scaled(tape, t.slot, scale);
    else
        leaves_discard(tape, t.slot);
    return status;
}

/* ---- The seed ---- */

sw_status sw_backward(sw_tensor loss) {
    const swi_node *node = swi_node_of(loss);
    if (!node)
        return sw_last_failure();
    if (node->view.count != 1)
        return sw_fail(SW_ERR_SHAPE, "backward: the loss must be one number, its shape is %s",
                       sw_shape_text(node->view.rank, node->view.shape));
    const double scale = sw_dtype_is_float(node->view.type) ? seed_scale(loss.tape) : 1;
    double seed = 0; /* room for an element of each type */
    sw_store_scalar(node->view.type, &seed, scale);
    if ((node->flags & SWI_16_BIT) && isinf(sw_load_scalar(node->view.type, &seed)))
        return sw_fail(
            SW_ERR_NONFINITE,
            "backward: the loss is %s, which cannot hold the loss scale %g, the derivative with which backward begins; "
            "compute the loss in f32 (sw_cast its inputs), or set a smaller loss scale",
            sw_dtype_name(node->view.type), scale);
    return backward_scaled(loss, &seed, scale);
}

/* The seed is scale times the cotangent. */
static sw_status backward_from_scaled(sw_tensor t, const void *cotangent, double scale) {
    const sw_view *v = &swi_at(t.tape, t.slot)->view;
    const size_t bytes = (size_t)v->count * swi_size(v->type);
    void *seed = swi_arena_alloc(&t.tape->arena, bytes);
    if (!seed)
        return SW_ERR_MEMORY;
    swi_axpy(v->type, v->count, scale, cotangent, seed, true);
    const sw_status status = backward_scaled(t, seed, scale);
    swi_arena_release(&t.tape->arena, seed, bytes);
    return status;
}

sw_status sw_backward_from(sw_tensor t, sw_array cotangent) {
    const swi_node *node = swi_node_of(t);
    if (!node)
        return sw_last_failure();
    const sw_view *v = &node->view;
    if (cotangent.type != v->type)
        return sw_fail(SW_ERR_TYPE, "backward: the tensor is %s, its cotangent %s", sw_dtype_name(v->type),
                       sw_dtype_name(cotangent.type));
    if (!sw_shape_equal(cotangent.rank, cotangent.shape, v->rank, v->shape))
        return sw_fail(SW_ERR_SHAPE, "backward: the tensor's shape is %s, its cotangent's %s",
                       sw_shape_text(v->rank, v->shape), sw_shape_text(cotangent.rank, cotangent.shape));
    if (!cotangent.data && v->count > 0)
        return sw_fail(SW_ERR_ARGUMENT, "backward: the cotangent has no data");
    const double scale = seed_scale(t.tape);
    return scale == 1 ? backward_scaled(t, cotangent.data, 1) : backward_from_scaled(t, cotangent.data, scale);
}
