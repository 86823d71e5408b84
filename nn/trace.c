/* Shapes of composed layers, which a run of their forward on zeros determines. */
#include "nn/trace.h"

#include <swale/extend.h>

#include "nn/model.h"
#include "nn/module_build.h"
#include "nn/module_type.h"

#include <string.h>

/* Zeros [batch, sample...] of an element type. */
static sw_tensor trace_zeros(sw_tape *tape, sw_dtype type, int64_t batch, const sw_sample_shape *sample) {
    int64_t shape[SW_MAX_RANK + 1] = {batch};
    for (int i = 0; i < sample->rank; i++)
        shape[i + 1] = sample->length[i];
    sw_tensor t = sw_empty(tape, type, sample->rank + 1, shape);
    sw_array a = sw_is_null(t) ? (sw_array){0} : sw_value(t);
    if (a.data)
        memset(a.data, 0, (size_t)sw_array_count(&a) * sw_dtype_size(type));
    return t;
}

/* The shape of a sample of an array [batch, sample...]. */
static sw_sample_shape trace_sample_of(const sw_array *a) {
    sw_sample_shape sample = {.rank = a->rank - 1};
    for (int i = 1; i < a->rank; i++)
        sample.length[i - 1] = a->shape[i];
    return sample;
}

/* ---- The order of samples for files with channels first ---- */

static sw_status trace_remember(sw_model *model, sw_tensor t, const sw_sample_shape *sample) {
    SW_TRY(sw_grow_array(&model->traced, &model->traced_capacity, model->traced_count, 8, sizeof *model->traced));
    model->traced[model->traced_count++] = (swn_traced){t, *sample};
    return SW_OK;
}

/* The last tensor of the run with samples of this shape or, if `rank_alone`, with as many axes; NULL if none has. */
static const swn_traced *trace_find_shape(const sw_model *model, const sw_sample_shape *sample, bool rank_alone) {
    for (int i = model->traced_count - 1; i >= 0; i--) {
        const sw_sample_shape *other = &model->traced[i].sample;
        if (rank_alone ? other->rank == sample->rank
                       : sw_shape_equal(other->rank, other->length, sample->rank, sample->length))
            return &model->traced[i];
    }
    return NULL;
}

static bool trace_has_channels(const sw_model *model, int64_t elements) {
    for (int i = 0; i < model->traced_count; i++) {
        const sw_sample_shape *sample = &model->traced[i].sample;
        int64_t count = 0;
        if (sample->spatial > 0 && sample->rank > 1 && sw_shape_count(sample->rank, sample->length, &count) == SW_OK &&
            count == elements)
            return true;
    }
    return false;
}

/* Sets the members of *sample that are not its shape: those of the layer or the input that the tensor comes from.
 * Results of operations have no record. They are taken to be of the kind of the last tensor with the same shape, or
 * else with as many axes. A vector that may be a flattened picture, but is not known to be one, has no known order. */
static void trace_find_order(const sw_model *model, sw_tensor t, sw_sample_shape *sample) {
    const swn_traced *found = NULL;
    for (int i = model->traced_count - 1; i >= 0 && !found; i--)
        if (model->traced[i].tensor.slot == t.slot && model->traced[i].tensor.generation == t.generation)
            found = &model->traced[i];
    if (!found)
        found = trace_find_shape(model, sample, false);
    if (found) {
        *sample = found->sample;
    } else if (sample->rank == 1) {
        sample->flattened_rank = trace_has_channels(model, sample->length[0]) ? -1 : 0;
    } else if ((found = trace_find_shape(model, sample, true)) != NULL) {
        sample->spatial = found->sample.spatial;
    }
}

/* ---- A layer inside ---- */

static bool trace_is_inside(const sw_module *m, const sw_module *block) {
    const sw_module *up = m;
    while (up && up != block)
        up = up->parent;
    return up && m != block;
}

/* The shapes of samples that reach the layer; equal to those it is built for. */
static sw_status trace_samples(const sw_module *m, int count, const sw_tensor *x, sw_sample_shape *sample) {
    const sw_module *block = m->model->tracing;
    for (int i = 0; i < count; i++) {
        const sw_array a = sw_value(x[i]);
        if (!a.data || a.rank < 1)
            return sw_fail(SW_ERR_SHAPE,
                           "layer %s: its forward function passes a scalar to layer %s; [batch, ...] is needed",
                           block->name, m->name);
        sample[i] = trace_sample_of(&a);
        trace_find_order(m->model, x[i], &sample[i]);
    }
    if (m->built && m->inputs != count)
        return sw_fail(SW_ERR_SHAPE, "layer %s: its forward calls layer %s with %d and %d inputs", block->name, m->name,
                       m->inputs, count);
    for (int i = 0; m->built && i < count; i++) {
        const sw_sample_shape *in = m->every_in ? &m->every_in[i] : &m->in;
        if (!sw_shape_equal(sample[i].rank, sample[i].length, in->rank, in->length))
            return sw_fail(SW_ERR_SHAPE, "layer %s: its forward calls layer %s with samples %s and %s", block->name,
                           m->name, sw_shape_text(in->rank, in->length),
                           sw_shape_text(sample[i].rank, sample[i].length));
    }
    return SW_OK;
}

sw_tensor swn_traced_forward(sw_module *m, int count, const sw_tensor *x) {
    const sw_tensor null = {0};
    sw_sample_shape sample[SW_MAX_INPUTS], out;
    if (!trace_is_inside(m, m->model->tracing)) {
        sw_fail(SW_ERR_ARGUMENT, "layer %s: its forward calls layer %s, which is not part of it",
                m->model->tracing->name, m->name);
        return null;
    }
    if (trace_samples(m, count, x, sample) != SW_OK)
        return null;
    if (!m->built && sw_module_build_many(m, count, sample, &out) != SW_OK)
        return null;
    if (m->out.rank < 0) {
        sw_fail(SW_ERR_SHAPE, "layer %s: its build function does not set the shape of the output", m->name);
        return null;
    }
    const sw_tensor y = trace_zeros(x[0].tape, sw_params_type(m->model->params), sw_value(x[0]).shape[0], &m->out);
    return sw_is_null(y) || trace_remember(m->model, y, &m->out) != SW_OK ? null : y;
}

/* ---- The run of a forward on zeros ---- */

static sw_dtype trace_input_type(const sw_module *m, int input) {
    return swn_input_is_ids(m, input) ? SW_I32 : swn_input_is_mask(m, input) ? SW_U8 : sw_params_type(m->model->params);
}

/* Runs forward on two samples of zeros. */
static sw_status trace_run(sw_module *m, sw_tape *tape, int count, const sw_sample_shape *in, sw_sample_shape *out) {
    enum { SAMPLES = 2 };
    sw_tensor x[SW_MAX_INPUTS];
    for (int i = 0; i < count; i++) {
        x[i] = trace_zeros(tape, trace_input_type(m, i), SAMPLES, &in[i]);
        if (sw_is_null(x[i]) || trace_remember(m->model, x[i], &in[i]) != SW_OK)
            return sw_last_failure();
    }
    const char *outer = sw_tape_set_layer(tape, m->name);
    const uint64_t failures = sw_failure_count();
    sw_tensor y =
        SWN_TYPE_MEMBER(m->type, forward_many) ? m->type->forward_many(m, count, x) : m->type->forward(m, x[0]);
    sw_tape_set_layer(tape, outer);
    sw_array a = sw_is_null(y) ? (sw_array){0} : sw_value(y);
    if (!a.data)
        return sw_fail_unless_since(failures, SW_ERR_USER, "layer %s: its forward gives a null tensor", m->name);
    if (a.rank < 1 || a.shape[0] != SAMPLES)
        return sw_fail(SW_ERR_SHAPE,
                       "layer %s: its forward makes %s of a batch of %d; axis 0 must stay the "
                       "batch",
                       m->name, sw_shape_text(a.rank, a.shape), SAMPLES);
    *out = trace_sample_of(&a);
    trace_find_order(m->model, y, out);
    return SW_OK;
}

sw_status sw_module_trace_many(sw_module *module, int count, const sw_sample_shape *in, sw_sample_shape *out) {
    if (!module || !in || !out)
        return sw_fail(SW_ERR_ARGUMENT, "module_trace: the %s is NULL", module ? "shape" : "layer");
    SW_TRY(swn_check_inputs(module, count));
    for (int i = 0; i < count; i++)
        if (in[i].rank < 0)
            return sw_fail(SW_ERR_SHAPE,
                           "layer %s: the shape of its input is not known (call sw_model_set_input_shape%s)",
                           module->name, count > 1 ? "s" : "");
    sw_model *model = module->model;
    sw_tape *outer = model->trace, *tape = outer ? outer : sw_tape_new();
    const sw_module *outer_module = model->tracing;
    if (!tape)
        return SW_ERR_MEMORY;
    sw_tape_set_switch(tape, SW_RECORD | SW_TRAIN, false);
    model->trace = tape;
    model->tracing = module;
    const sw_status status = trace_run(module, tape, count, in, out);
    model->trace = outer;
    model->tracing = outer_module;
    if (!outer) {
        sw_tape_free(tape);
        sw_free(model->traced);
        model->traced = NULL;
        model->traced_count = model->traced_capacity = 0;
    }
    return status;
}

sw_status sw_module_trace(sw_module *module, sw_sample_shape *shape) {
    return sw_module_trace_many(module, 1, shape, shape);
}
