/* Tensors: leaves, values, gradients, and the release of their memory. */
#include <swale/text.h>

#include "core/base/dry_run_state.h"
#include "core/params/gradient.h"
#include "core/tape/node.h"

#include <math.h>
#include <string.h>

swi_node *swi_node_of(sw_tensor t) {
    if (!t.tape) {
        if (!sw_error())
            sw_fail(SW_ERR_ARGUMENT, "a null tensor was used");
        return NULL;
    }
    swi_node *node = t.slot < t.tape->count ? swi_at(t.tape, t.slot) : NULL;
    if (!node || node->generation != t.generation) {
        sw_fail(SW_ERR_STATE, "a tensor was used after its tape was reset");
        return NULL;
    }
    if (node->flags & SWI_RELEASED) {
        sw_fail(SW_ERR_STATE, "a tensor was used after sw_release (sw_nn_sequential releases the tensors "
                              "between its layers)");
        return NULL;
    }
    return node;
}

void sw_release(sw_tensor t) {
    swi_node *node = t.tape ? swi_node_of(t) : NULL;
    if (!node || (node->flags & SWI_PARAM) || (t.tape->switches & SW_KEEP))
        return; /* the leaf of a parameter is shared by all users of the parameter */
    node->flags |= SWI_RELEASED;
    if (node->root == node)
        swi_release_unused_root(t.tape, node);
    else
        swi_drop_reader(t.tape, node); /* a view counts as a reader of its root until it is released */
}

/* ---- Leaves and readers ---- */

static sw_tensor tape_leaf(sw_tape *tape, const sw_array *array, unsigned flags) {
    sw_tensor null = {0};
    uint32_t slot;
    swi_node *node = swi_new_node(tape, &slot);
    if (!node)
        return null;
    int64_t *shape = swi_arena_alloc(&tape->arena, (size_t)array->rank * sizeof *shape);
    if (!shape)
        return null;
    for (int i = 0; i < array->rank; i++)
        shape[i] = array->shape[i];
    node->view = (sw_view){
        .data = array->data, .shape = shape, .rank = array->rank, .type = array->type, .count = sw_array_count(array)};
    node->flags = (uint16_t)(SWI_LEAF | flags | swi_16_bit_flag(array->type));
    return (sw_tensor){tape, slot, node->generation};
}

static bool tape_check_type(sw_dtype type, const char *what) {
    if ((unsigned)type <= SW_U8)
        return true;
    if (type == SW_I64)
        sw_fail(SW_ERR_TYPE, "%s: i64 is for files; i32 is needed", what);
    else
        sw_fail(SW_ERR_TYPE, "%s: %d is not an element type", what, (int)type);
    return false;
}

static bool tape_check_array(const sw_tape *tape, const sw_array *array, const char *what) {
    int64_t count;
    if (!tape) {
        sw_fail(SW_ERR_ARGUMENT, "%s: the tape is NULL", what);
        return false;
    }
    if (sw_shape_count(array->rank, array->shape, &count) != SW_OK)
        return false;
    if (!tape_check_type(array->type, what))
        return false;
    if (!array->data && count > 0) {
        sw_fail(SW_ERR_ARGUMENT, "%s: the array has no data", what);
        return false;
    }
    return true;
}

sw_tensor sw_input(sw_tape *tape, sw_array array) {
    if (!tape_check_array(tape, &array, "input"))
        return (sw_tensor){0};
    return tape_leaf(tape, &array, 0);
}

sw_tensor sw_input_copy(sw_tape *tape, sw_array array) {
    if (!tape_check_array(tape, &array, "input_copy"))
        return (sw_tensor){0};
    sw_tensor t = sw_empty(tape, array.type, array.rank, array.shape);
    if (t.tape && array.data)
        memcpy(swi_at(tape, t.slot)->view.data, array.data, (size_t)sw_array_count(&array) * swi_size(array.type));
    return t;
}

sw_tensor sw_variable(sw_tape *tape, sw_array array) {
    if (!tape_check_array(tape, &array, "variable"))
        return (sw_tensor){0};
    if (!sw_dtype_is_float(array.type)) {
        sw_fail(SW_ERR_TYPE, "variable: %s has no gradient; f32, f64, f16 or bf16 is needed",
                sw_dtype_name(array.type));
        return (sw_tensor){0};
    }
    return tape_leaf(tape, &array, SWI_NEEDS_GRAD | SWI_RETAIN);
}

sw_tensor sw_empty(sw_tape *tape, sw_dtype type, int rank, const int64_t *shape) {
    sw_array array = {.type = type, .rank = rank};
    int64_t count;
    if (!tape) {
        sw_fail(SW_ERR_ARGUMENT, "empty: the tape is NULL");
        return (sw_tensor){0};
    }
    if (!tape_check_type(type, "empty"))
        return (sw_tensor){0};
    if (sw_shape_count(rank, shape, &count) != SW_OK)
        return (sw_tensor){0};
    for (int i = 0; i < rank; i++)
        array.shape[i] = shape[i];
    array.data = swi_arena_alloc(&tape->arena, (size_t)count * swi_size(type));
    if (!array.data)
        return (sw_tensor){0};
    return tape_leaf(tape, &array, SWI_OWNS);
}

sw_tensor sw_constant(sw_tape *tape, sw_dtype type, double value) {
    sw_tensor t = sw_empty(tape, type, 0, NULL);
    if (!t.tape || sw_number_to_element("constant", type, value, swi_at(tape, t.slot)->view.data) == SW_OK)
        return t;
    return (sw_tensor){0};
}

bool sw_is_null(sw_tensor t) {
    return t.tape == NULL;
}

bool sw_is_live(sw_tensor t) {
    if (!t.tape || t.slot >= t.tape->count)
        return false;
    const swi_node *node = swi_at(t.tape, t.slot);
    return node->generation == t.generation && !(node->flags & SWI_RELEASED);
}

sw_array swi_array_of(const swi_node *node, void *data) {
    sw_array a = {.data = data, .type = node->view.type, .rank = node->view.rank};
    for (int i = 0; i < a.rank; i++)
        a.shape[i] = node->view.shape[i];
    return a;
}

sw_array sw_value(sw_tensor t) {
    const swi_node *node = swi_node_of(t);
    return node ? swi_array_of(node, node->view.data) : (sw_array){0};
}

double sw_item(sw_tensor t) {
    const swi_node *node = swi_node_of(t);
    if (!node)
        return NAN;
    if (node->view.count != 1) {
        sw_fail(SW_ERR_SHAPE, "item: one element is needed, the shape is %s",
                sw_shape_text(node->view.rank, node->view.shape));
        return NAN;
    }
    return swi_dry_run() ? 0 : sw_element_to_number(node->view.type, node->view.data, 0);
}

sw_array swi_gradient_at(const sw_tape *tape, const swi_node *node) {
    void *data = node->op ? node->flags & SWI_RETAIN ? node->kept : NULL : node->grad;
    sw_array array = swi_array_of(node, data);
    if (node->flags & SWI_PARAM) {
        sw_gradient *g = tape->binding[node->binding].g;
        swi_gradient_close(g);
        array.type = g->type;
        array.data = !(node->flags & SWI_NEEDS_GRAD) || g->fresh
                         ? NULL
                         : (char *)g->data + (size_t)node->param->offset * swi_size(g->type);
    }
    return array;
}

sw_array sw_grad(sw_tensor t) {
    const swi_node *node = swi_node_of(t);
    return node ? swi_gradient_at(t.tape, node) : (sw_array){0};
}

sw_tensor sw_retain_grad(sw_tensor t) {
    swi_node *node = t.tape ? swi_node_of(t) : NULL;
    if (!node)
        return (sw_tensor){0};
    if (!(node->flags & SWI_RETAIN))
        node->kept = NULL;
    node->flags |= SWI_RETAIN;
    return t;
}
