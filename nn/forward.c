/* Runs layers. */
#include <swale/extend.h>

#include "core/params/vector.h"
#include "core/tape/state_memory.h"
#include "nn/model.h"
#include "nn/module_build.h"
#include "nn/module_type.h"
#include "nn/trace.h"

sw_tensor sw_module_cast(sw_tensor x, sw_tensor weight) {
    if (!sw_is_live(x) || !sw_is_live(weight))
        return x; /* the operation that follows reports it */
    const sw_dtype from = sw_tensor_view(x, "module_cast", 0)->type,
                   to = sw_tensor_view(weight, "module_cast", 1)->type;
    if (from == to || from == SW_F64 || to == SW_F64 || !sw_dtype_is_float(from) || !sw_dtype_is_float(to))
        return x;
    return sw_cast(x, to);
}

static bool forward_check_built(const sw_module *m) {
    if (m->built)
        return true;
    sw_fail(SW_ERR_STATE,
            "forward: layer %s is not built: sw_model_build builds the root, a layer's "
            "build its children by sw_module_build",
            m->name);
    return false;
}

void *sw_module_state(const sw_module *module, sw_tape *tape, int64_t batch, size_t bytes) {
    sw_state *state = sw_tape_state(tape);
    if (module && state)
        return swi_state_memory(state, module, module->model->params->id, module->name, batch, bytes);
    sw_fail(SW_ERR_STATE, "module_state: the %s", module ? "tape has no state (sw_tape_set_state)" : "layer is NULL");
    return NULL;
}

static sw_tensor forward_call(sw_module *m, int count, const sw_tensor *x, bool many) {
    const char *outer = sw_tape_set_layer(x[0].tape, m->name);
    const uint64_t failures = sw_failure_count();
    sw_tensor y = many ? m->type->forward_many(m, count, x) : m->type->forward(m, x[0]);
    sw_tape_set_layer(x[0].tape, outer);
    if (sw_is_null(y) && sw_failure_count() == failures)
        sw_fail(SW_ERR_USER, "layer %s: its forward function returned a null tensor without a message", m->name);
    return y;
}

static sw_tensor forward_run(sw_module *m, int count, const sw_tensor *x, bool many) {
    sw_state *state = sw_tape_state(x[0].tape);
    uint64_t outer;
    if (!state)
        return forward_call(m, count, x, many);
    if (swi_state_enter(state, x[0].tape, &outer) != SW_OK)
        return (sw_tensor){0};
    const sw_tensor y = forward_call(m, count, x, many);
    swi_state_leave(state, outer, !sw_is_null(y));
    return y;
}

sw_tensor sw_forward(sw_module *module, sw_tensor x) {
    if (!module || sw_is_null(x)) {
        if (!sw_error())
            sw_fail(SW_ERR_ARGUMENT, "forward: the %s is null", module ? "input" : "layer");
        return (sw_tensor){0};
    }
    if (SWN_TYPE_MEMBER(module->type, forward_many))
        return sw_forward_many(module, 1, &x);
    if (module->model->trace && module->model->trace == x.tape)
        return swn_traced_forward(module, 1, &x);
    return forward_check_built(module) ? forward_run(module, 1, &x, false) : (sw_tensor){0};
}

/* Whether they are tensors of one tape, and as many as the layer takes. */
static bool forward_check_inputs(const sw_module *m, int count, const sw_tensor *x) {
    if (!m || !x) {
        sw_fail_unless_pending(SW_ERR_ARGUMENT, "forward: the %s NULL", m ? "inputs are" : "layer is");
        return false;
    }
    if (swn_check_inputs(m, count) != SW_OK)
        return false;
    for (int i = 0; i < count; i++) {
        if (sw_is_null(x[i])) {
            sw_fail_unless_pending(SW_ERR_ARGUMENT, "forward: input %d of layer %s is null", i, m->name);
            return false;
        }
        if (x[i].tape != x[0].tape) {
            sw_fail(SW_ERR_ARGUMENT, "forward: inputs 0 and %d of layer %s are on different tapes", i, m->name);
            return false;
        }
    }
    return true;
}

sw_tensor sw_forward_many(sw_module *module, int count, const sw_tensor *x) {
    if (!forward_check_inputs(module, count, x))
        return (sw_tensor){0};
    if (module->model->trace && module->model->trace == x[0].tape)
        return swn_traced_forward(module, count, x);
    if (!forward_check_built(module))
        return (sw_tensor){0};
    return forward_run(module, count, x, SWN_TYPE_MEMBER(module->type, forward_many) != NULL);
}
