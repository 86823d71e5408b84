/* The sequential layer: calls its layers one after the other. */
#include <swale/extend.h>
#include <swale/nn.h>

#include "nn/layers/builtin_types.h"
#include "nn/layers/child_list.h"

/* A segment that is recomputed: some of the layers. */
typedef struct sequential_segment {
    sw_module *module;
    int first, end;
} sequential_segment;

typedef struct sequential {
    int recompute;               /* layers in a segment; 0: no segments */
    sequential_segment *segment; /* [(children + recompute - 1) / recompute] */
} sequential;

static sw_status sequential_build(sw_module *m, sw_sample_shape *shape) {
    sequential *s = m->data;
    for (int i = 0; i < m->children; i++)
        SW_TRY(sw_module_build(m->child[i], shape));
    if (s->recompute == 0)
        return SW_OK;
    const int k = s->recompute, segments = m->children / k + (m->children % k != 0);
    sw_free(s->segment);
    if (!(s->segment = sw_alloc_array(segments, sizeof *s->segment)))
        return SW_ERR_MEMORY;
    for (int i = 0; i < segments; i++)
        s->segment[i] = (sequential_segment){m, i * k, i < segments - 1 ? (i + 1) * k : m->children};
    return SW_OK;
}

/* Runs a pool on the ReLU of x. */
static sw_tensor sequential_run_pool(sw_module *pool, sw_tensor x) {
    const char *outer = sw_tape_set_layer(x.tape, pool->name);
    const sw_tensor y = swn_pool_relu(pool, x);
    sw_tape_set_layer(x.tape, outer);
    return y;
}

/* Runs a convolution with the pool after it. */
static sw_tensor sequential_run_conv(sw_module *conv, const swn_pool_windows *pool, sw_tensor x) {
    const char *outer = sw_tape_set_layer(x.tape, conv->name);
    const sw_tensor y = swn_conv_pool(conv, pool, x);
    sw_tape_set_layer(x.tape, outer);
    return y;
}

/* Runs the layer *i, and those after it that are computed at once with it; *i becomes the last of them. One operation
 * computes a convolution, an optional ReLU and a pool; another one computes a ReLU and a pool. They read and write less
 * memory than separate operations. */
static sw_tensor sequential_run_layers(const sw_module *m, int *i, int end, sw_tensor x) {
    sw_module *const *layer = &m->child[*i];
    const int left = end - *i;
    swn_pool_windows pool;
    const int relu = left > 1 && swn_is_relu(layer[1]);
    if (left > 1 + relu && swn_conv_takes_pool(layer[0]) && swn_pool_joins_conv(layer[1 + relu], relu, &pool)) {
        *i += 1 + relu;
        return sequential_run_conv(layer[0], &pool, x);
    }
    if (left > 1 && swn_is_relu(layer[0]) && swn_takes_relu(layer[1])) {
        *i += 1;
        return sequential_run_pool(layer[1], x);
    }
    return sw_forward(layer[0], x);
}

static sw_tensor sequential_run(sw_module *m, int first, int end, sw_tensor x) {
    sw_tensor y = x;
    for (int i = first; i < end && !sw_is_null(y); i++) {
        const sw_tensor next = sequential_run_layers(m, &i, end, y);
        /* Releases the tensors between the layers, to which no other handle exists. The input belongs to the caller. */
        if (!swn_same_tensor(y, x) && !swn_same_tensor(y, next))
            sw_release(y);
        y = next;
    }
    return y;
}

static sw_tensor sequential_run_segment(void *user, sw_tape *tape, const sw_tensor *x) {
    (void)tape;
    const sequential_segment *segment = user;
    return sequential_run(segment->module, segment->first, segment->end, x[0]);
}

static sw_tensor sequential_forward(sw_module *m, sw_tensor x) {
    const sequential *s = m->data;
    if (s->recompute == 0)
        return sequential_run(m, 0, m->children, x);
    sw_tensor y = x;
    for (int i = 0; i * (int64_t)s->recompute < m->children && !sw_is_null(y); i++) {
        sw_tensor next = sw_recompute(sequential_run_segment, &s->segment[i], 1, &y);
        if (!swn_same_tensor(y, x))
            sw_release(y);
        y = next;
    }
    return y;
}

static void sequential_describe(const sw_module *m, char *text, size_t bytes) {
    const sequential *s = m->data;
    if (s->recompute > 0)
        sw_format(text, bytes, "recomputed every %d layers", s->recompute);
}

static void sequential_free(sw_module *m) {
    sw_free(((sequential *)m->data)->segment);
}

static sw_status sequential_save(const sw_module *m, sw_description *to) {
    const sequential *s = m->data;
    return s->recompute > 0 ? sw_description_set_integer(to, "recompute", s->recompute) : SW_OK;
}

static sw_module *sequential_restore(sw_model *model, const sw_description *from) {
    int count;
    int64_t recompute = 0;
    sw_module *const *layers = sw_description_layers(from, &count);
    if (sw_description_has(from, "recompute") &&
        sw_description_integer(from, "recompute", 1, INT32_MAX, &recompute) != SW_OK)
        return sw_module_fail(model);
    return sw_nn_sequential_with_options(model, count, layers,
                                         &SW_OPTIONS(sw_sequential_options, .recompute = (int)recompute));
}

const sw_module_type swn_sequential_type = {.size = sizeof(sw_module_type),
                                            .name = "sequential",
                                            .build = sequential_build,
                                            .forward = sequential_forward,
                                            .describe = sequential_describe,
                                            .free = sequential_free,
                                            .is_chain = true,
                                            .save = sequential_save,
                                            .restore = sequential_restore,
                                            .continues = true};

sw_module *sw_nn_sequential_with_options(sw_model *model, int count, sw_module *const *modules,
                                         const sw_sequential_options *options) {
    sw_sequential_options o = {0};
    if (options && sw_options_copy("sequential", "sw_sequential_options", &o, sizeof o, options,
                                   sizeof(sw_sequential_options)) != SW_OK)
        return sw_module_fail(model);
    if (o.recompute < 0) {
        sw_fail(SW_ERR_ARGUMENT, "sequential: recompute is %d; at least 0 is needed", o.recompute);
        return sw_module_fail(model);
    }
    sw_module *m = sw_module_new(model, &swn_sequential_type, sizeof(sequential));
    if (!sw_module_is(m, &swn_sequential_type))
        return m;
    ((sequential *)m->data)->recompute = o.recompute;
    return swn_add_children(m, count, modules);
}

sw_module *sw_nn_sequential_array(sw_model *model, int count, sw_module *const *modules) {
    return sw_nn_sequential_with_options(model, count, modules, NULL);
}

sw_module *sw_nn_sequential_listed(sw_model *model, int count, sw_module *const *modules) {
    return sw_nn_sequential_array(model, swn_child_count(count, modules), modules);
}

sw_module *(sw_nn_sequential)(sw_model *model, ...) {
    sw_module *m = sw_module_new(model, &swn_sequential_type, sizeof(sequential));
    if (!sw_module_is(m, &swn_sequential_type))
        return m;
    va_list list;
    va_start(list, model);
    m = swn_add_child_list(m, list);
    va_end(list);
    return m;
}
