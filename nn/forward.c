/* Runs layers, and determines the shapes of composed layers by running them on zeros. */
#include <swale/extend.h>

#include "nn/model.h"
#include "nn/module_type.h"

#include <string.h>

/* Zeros [batch, sample...] of an element type. */
static sw_tensor sample_zeros(sw_tape *tape, sw_dtype type, int64_t batch, const sw_sample_shape *sample) {
    int64_t shape[SW_MAX_RANK + 1] = {batch};
    for (int i = 0; i < sample->rank; i++)
        shape[i + 1] = sample->length[i];
    sw_tensor t = sw_empty(tape, type, sample->rank + 1, shape);
    sw_array a = sw_is_null(t) ? (sw_array){0} : sw_value(t);
    if (a.data)
        memset(a.data, 0, (size_t)sw_array_count(&a) * sw_dtype_size(type));
    return t;
}

/* Builds a layer that forward calls within sw_module_trace for the shape of its input, and returns zeros. */
static sw_tensor traced_forward(sw_module *m, sw_tensor x) {
    const sw_tensor null = {0};
    sw_array a = sw_value(x);
    const sw_module *up = m, *block = m->model->tracing;
    while (up && up != block)
        up = up->parent;
    if (!up || m == block) {
        sw_fail(SW_ERR_ARGUMENT, "layer %s: its forward calls layer %s, which is not part of it", block->name, m->name);
        return null;
    }
    if (!a.data || a.rank < 1) {
        sw_fail(SW_ERR_SHAPE, "layer %s: its forward function passes a scalar to layer %s; [batch, ...] is needed",
                block->name, m->name);
        return null;
    }
    sw_sample_shape sample = {.rank = a.rank - 1};
    for (int i = 1; i < a.rank; i++)
        sample.length[i - 1] = a.shape[i];
    if (m->built && !sw_shape_equal(sample.rank, sample.length, m->in.rank, m->in.length)) {
        sw_fail(SW_ERR_SHAPE, "layer %s: its forward calls layer %s with samples %s and %s", block->name, m->name,
                sw_shape_text(m->in.rank, m->in.length), sw_shape_text(sample.rank, sample.length));
        return null;
    }
    if (!m->built && sw_module_build(m, &sample) != SW_OK)
        return null;
    if (m->out.rank < 0) {
        sw_fail(SW_ERR_SHAPE, "layer %s: its build function does not set the shape of the output", m->name);
        return null;
    }
    return sample_zeros(x.tape, sw_params_type(m->model->params), a.shape[0], &m->out);
}

sw_tensor sw_forward(sw_module *module, sw_tensor x) {
    if (!module || sw_is_null(x)) {
        if (!sw_error())
            sw_fail(SW_ERR_ARGUMENT, "forward: the %s is null", module ? "input" : "layer");
        return (sw_tensor){0};
    }
    if (module->model->trace && module->model->trace == x.tape)
        return traced_forward(module, x);
    if (!module->built) {
        sw_fail(SW_ERR_STATE,
                "forward: layer %s is not built: sw_model_build builds the root, a layer's "
                "build its children by sw_module_build",
                module->name);
        return (sw_tensor){0};
    }
    const char *outer = sw_tape_set_layer(x.tape, module->name);
    const uint64_t failures = sw_failure_count();
    sw_tensor y = module->type->forward(module, x);
    sw_tape_set_layer(x.tape, outer);
    if (sw_is_null(y) && sw_failure_count() == failures)
        sw_fail(SW_ERR_USER, "layer %s: its forward function returned a null tensor without a message", module->name);
    return y;
}

/* ---- Tracing ---- */

/* Runs forward on a batch of two samples of zeros. */
static sw_status trace_forward(sw_module *m, sw_tape *tape, sw_sample_shape *shape) {
    enum { SAMPLES = 2 };
    sw_dtype type = SWN_TYPE_MEMBER(m->type, takes_ids) ? SW_I32 : sw_params_type(m->model->params);
    sw_tensor x = sample_zeros(tape, type, SAMPLES, shape);
    if (sw_is_null(x))
        return sw_last_failure();
    const char *outer = sw_tape_set_layer(tape, m->name);
    const uint64_t failures = sw_failure_count();
    sw_tensor y = m->type->forward(m, x);
    sw_tape_set_layer(tape, outer);
    sw_array a = sw_is_null(y) ? (sw_array){0} : sw_value(y);
    if (!a.data)
        return sw_fail_unless_since(failures, SW_ERR_USER, "layer %s: its forward gives a null tensor", m->name);
    if (a.rank < 1 || a.shape[0] != SAMPLES)
        return sw_fail(SW_ERR_SHAPE,
                       "layer %s: its forward makes %s of a batch of %d; axis 0 must stay the "
                       "batch",
                       m->name, sw_shape_text(a.rank, a.shape), SAMPLES);
    shape->rank = a.rank - 1;
    for (int i = 1; i < a.rank; i++)
        shape->length[i - 1] = a.shape[i];
    return SW_OK;
}

sw_status sw_module_trace(sw_module *module, sw_sample_shape *shape) {
    if (!module || !shape)
        return sw_fail(SW_ERR_ARGUMENT, "module_trace: the %s is NULL", module ? "shape" : "layer");
    if (shape->rank < 0)
        return sw_fail(SW_ERR_SHAPE, "layer %s: the shape of its input is not known (call sw_model_set_input_shape)",
                       module->name);
    sw_model *model = module->model;
    sw_tape *outer = model->trace, *tape = outer ? outer : sw_tape_new();
    const sw_module *outer_module = model->tracing;
    if (!tape)
        return SW_ERR_MEMORY;
    sw_tape_set_switch(tape, SW_RECORD | SW_TRAIN, false);
    model->trace = tape;
    model->tracing = module;
    const sw_status status = trace_forward(module, tape, shape);
    model->trace = outer;
    model->tracing = outer_module;
    if (!outer)
        sw_tape_free(tape);
    return status;
}
