/* The layers of pooling: max_pool and avg_pool (1d and 2d), adaptive and global pools. */
#include <swale/extend.h>
#include <swale/nn.h>

#include "nn/layers/builtin_types.h"
#include "nn/layers/channel_hint.h"
#include "nn/layers/pairs.h"

#include <stdio.h>
#include <string.h>

/* What differs between the types. */
typedef struct pool_kind {
    const sw_module_type *type;
    const char *function; /* of two axes, for messages */
    bool average;
    bool adaptive; /* the window is the size of the result */
    bool global;
} pool_kind;

static const pool_kind max_pool = {&swn_max_pool_type, "max_pool2d", false, false, false},
                       avg_pool = {&swn_avg_pool_type, "avg_pool2d", true, false, false},
                       adaptive_max_pool = {&swn_adaptive_max_pool_type, "adaptive_max_pool2d", false, true, false},
                       adaptive_avg_pool = {&swn_adaptive_avg_pool_type, "adaptive_avg_pool2d", true, true, false},
                       global_max_pool = {&swn_global_max_pool_type, "global_max_pool2d", false, true, true},
                       global_avg_pool = {&swn_global_avg_pool_type, "global_avg_pool2d", true, true, true};

typedef struct pool {
    const pool_kind *kind;
    int axes;
    int64_t window[2];        /* [axes]; global pools: {1, 1} */
    sw_pool_options complete; /* not of adaptive pools: the options with the defaults filled in */
    sw_pool_options options;  /* the same for the operation, where the second numbers are 0 for one axis */
} pool;

static sw_status pool_build(sw_module *m, sw_sample_shape *shape) {
    const pool *p = m->data;
    const int axes = p->axes;
    char who[300];
    if (shape->rank < 0)
        return SW_OK; /* the shape of the output is not known either */
    if (shape->rank != axes + 1)
        return sw_fail(SW_ERR_SHAPE, "layer %s: its input has samples %s; %s are needed%s", m->name,
                       sw_shape_text(shape->rank, shape->length),
                       axes == 1 ? "sequences [length, channels]" : "pictures [height, width, channels]",
                       swn_channel_hint(axes, shape->rank));
    snprintf(who, sizeof who, "layer %s", m->name);
    sw_sample_shape out = {.rank = axes + 1, .spatial = axes};
    out.length[axes] = shape->length[axes];
    if (p->kind->global)
        out = (sw_sample_shape){.rank = 1, .length = {shape->length[axes]}};
    else if (p->kind->adaptive)
        memcpy(out.length, p->window, sizeof p->window);
    else
        SW_TRY(sw_pool_out_lengths(who, axes, p->window, &p->complete, shape->rank, shape->length, out.length));
    *shape = out;
    return SW_OK;
}

/* Pools with windows and options. */
static sw_tensor pool_windows(const pool *p, sw_tensor x, const sw_pool_options *options) {
    const int64_t *w = p->window;
    if (p->axes == 1)
        return p->kind->average ? sw_avg_pool1d(x, w[0], options) : sw_max_pool1d(x, w[0], options);
    return p->kind->average ? sw_avg_pool2d(x, w[0], w[1], options) : sw_max_pool2d(x, w[0], w[1], options);
}

static sw_tensor pool_forward(sw_module *m, sw_tensor x) {
    const pool *p = m->data;
    const bool average = p->kind->average;
    if (p->kind->global)
        return average ? sw_global_avg_pool2d(x) : sw_global_max_pool2d(x);
    if (p->kind->adaptive)
        return average ? sw_adaptive_avg_pool2d(x, p->window[0], p->window[1])
                       : sw_adaptive_max_pool2d(x, p->window[0], p->window[1]);
    return pool_windows(p, x, &p->options);
}

bool swn_takes_relu(const sw_module *module) {
    return module->type == &swn_max_pool_type || module->type == &swn_avg_pool_type;
}

sw_tensor swn_pool_relu(sw_module *module, sw_tensor x) {
    const pool *p = module->data;
    sw_pool_options options = p->options;
    options.relu = true;
    return pool_windows(p, x, &options);
}

/* Whether the windows have at most 4 elements and do not overlap. Others make sw_conv2d_avg_pool2d with a ReLU store
 * the result of the convolution until the tape is reset, while the layers one after the other release it. */
static bool pool_is_small(const pool *p) {
    const int64_t *stride = p->options.stride;
    const bool whole = stride[0] == 0 && stride[1] == 0;
    return p->window[0] * p->window[1] <= 4 && (whole || (stride[0] >= p->window[0] && stride[1] >= p->window[1]));
}

bool swn_pool_joins_conv(const sw_module *module, bool relu, swn_pool_windows *windows) {
    const pool *p = module->data;
    if (!swn_takes_relu(module) || p->axes != 2)
        return false;
    *windows =
        (swn_pool_windows){.average = p->kind->average, .window = {p->window[0], p->window[1]}, .options = p->options};
    windows->options.relu |= relu;
    return !windows->average || !windows->options.relu || pool_is_small(p);
}

/* ---- The functions ---- */

static sw_status pool_check(pool *p, const sw_pool_options *options) {
    const pool_kind *k = p->kind;
    const char *function = p->axes == 2 ? k->function : k->average ? "avg_pool1d" : "max_pool1d";
    if (k->adaptive)
        return sw_pool_check_lengths(function, "a result of", p->axes, p->window);
    SW_TRY(sw_pool_options_check(function, k->average, p->axes, p->window, options, &p->complete));
    p->options = p->complete;
    if (p->axes == 1)
        p->options.stride[1] = p->options.padding[1] = p->options.dilation[1] = 0;
    return SW_OK;
}

static sw_module *pool_new(sw_model *model, const pool_kind *kind, int axes, int64_t window_height,
                           int64_t window_width, const sw_pool_options *options) {
    pool p = {.kind = kind, .axes = axes, .window = {window_height, window_width}};
    if (pool_check(&p, options) != SW_OK)
        return sw_module_fail(model);
    sw_module *m = sw_module_new(model, kind->type, sizeof p);
    if (sw_module_is(m, kind->type))
        *(pool *)m->data = p;
    return m;
}

sw_module *sw_nn_max_pool2d(sw_model *model, int64_t window) {
    return pool_new(model, &max_pool, 2, window, window, NULL);
}

sw_module *sw_nn_max_pool2d_with_options(sw_model *model, int64_t window_height, int64_t window_width,
                                         const sw_pool_options *options) {
    return pool_new(model, &max_pool, 2, window_height, window_width, options);
}

sw_module *sw_nn_avg_pool2d(sw_model *model, int64_t window) {
    return pool_new(model, &avg_pool, 2, window, window, NULL);
}

sw_module *sw_nn_avg_pool2d_with_options(sw_model *model, int64_t window_height, int64_t window_width,
                                         const sw_pool_options *options) {
    return pool_new(model, &avg_pool, 2, window_height, window_width, options);
}

sw_module *sw_nn_max_pool1d(sw_model *model, int64_t window) {
    return pool_new(model, &max_pool, 1, window, 0, NULL);
}

sw_module *sw_nn_max_pool1d_with_options(sw_model *model, int64_t window, const sw_pool_options *options) {
    return pool_new(model, &max_pool, 1, window, 0, options);
}

sw_module *sw_nn_avg_pool1d(sw_model *model, int64_t window) {
    return pool_new(model, &avg_pool, 1, window, 0, NULL);
}

sw_module *sw_nn_avg_pool1d_with_options(sw_model *model, int64_t window, const sw_pool_options *options) {
    return pool_new(model, &avg_pool, 1, window, 0, options);
}

sw_module *sw_nn_adaptive_max_pool2d(sw_model *model, int64_t out_height, int64_t out_width) {
    return pool_new(model, &adaptive_max_pool, 2, out_height, out_width, NULL);
}

sw_module *sw_nn_adaptive_avg_pool2d(sw_model *model, int64_t out_height, int64_t out_width) {
    return pool_new(model, &adaptive_avg_pool, 2, out_height, out_width, NULL);
}

sw_module *sw_nn_global_max_pool2d(sw_model *model) {
    return pool_new(model, &global_max_pool, 2, 1, 1, NULL);
}

sw_module *sw_nn_global_avg_pool2d(sw_model *model) {
    return pool_new(model, &global_avg_pool, 2, 1, 1, NULL);
}

/* ---- Descriptions ---- */

static void pool_describe(const sw_module *m, char *text, size_t bytes) {
    const pool *p = m->data;
    const sw_pool_options *o = &p->complete;
    const char *what = p->kind->adaptive ? "result" : "window";
    if (p->axes == 1)
        snprintf(text, bytes, "%s %lld", what, (long long)p->window[0]);
    else
        snprintf(text, bytes, "%s %lldx%lld", what, (long long)p->window[0], (long long)p->window[1]);
    if (p->kind->adaptive)
        return;
    if (memcmp(o->stride, p->window, (size_t)p->axes * sizeof *p->window) != 0)
        swn_pair_describe(text, bytes, "stride", o->stride, p->axes, 0);
    swn_pair_describe(text, bytes, "padding", o->padding, p->axes, 0);
    swn_pair_describe(text, bytes, "dilation", o->dilation, p->axes, 1);
    const size_t at = strlen(text);
    snprintf(text + at, bytes - at, "%s%s%s", o->ceil_mode ? ", ceil mode" : "",
             o->exclude_padding ? ", without padding" : "", o->relu ? ", relu" : "");
}

static void pool_describe_global(const sw_module *m, char *text, size_t bytes) {
    snprintf(text, bytes, "%s of each channel", ((const pool *)m->data)->kind->average ? "mean" : "largest");
}

static sw_status pool_save(const sw_module *m, sw_description *to) {
    const pool *p = m->data;
    const sw_pool_options *o = &p->complete;
    if (p->kind->global)
        return SW_OK;
    if (p->kind->adaptive)
        return sw_description_set_integers(to, "out", p->axes, p->window);
    SW_TRY(sw_description_set_integers(to, "window", p->axes, p->window));
    SW_TRY(sw_description_set_integers(to, "stride", p->axes, o->stride));
    SW_TRY(sw_description_set_integers(to, "padding", p->axes, o->padding));
    SW_TRY(sw_description_set_integer(to, "ceil_mode", o->ceil_mode));
    SW_TRY(sw_description_set_integer(to, "relu", o->relu));
    if (p->kind->average)
        return sw_description_set_integer(to, "exclude_padding", o->exclude_padding);
    return sw_description_set_integers(to, "dilation", p->axes, o->dilation);
}

static sw_module *pool_restore_windows(sw_model *model, const sw_description *from, const pool_kind *kind) {
    sw_pool_options o = {.size = sizeof o};
    int64_t window[2] = {0}, ceil_mode, relu, exclude_padding = 0;
    const int axes = swn_pair_restore(from, "window", 0, 1, window);
    if (axes == 0 || !swn_pair_restore(from, "stride", axes, 1, o.stride) ||
        !swn_pair_restore(from, "padding", axes, 0, o.padding) ||
        sw_description_integer(from, "ceil_mode", 0, 1, &ceil_mode) != SW_OK ||
        sw_description_integer(from, "relu", 0, 1, &relu) != SW_OK)
        return sw_module_fail(model);
    if (kind->average ? sw_description_integer(from, "exclude_padding", 0, 1, &exclude_padding) != SW_OK
                      : !swn_pair_restore(from, "dilation", axes, 1, o.dilation))
        return sw_module_fail(model);
    o.ceil_mode = ceil_mode != 0;
    o.relu = relu != 0;
    o.exclude_padding = exclude_padding != 0;
    return pool_new(model, kind, axes, window[0], window[1], &o);
}

static sw_module *max_pool_restore(sw_model *model, const sw_description *from) {
    return pool_restore_windows(model, from, &max_pool);
}

static sw_module *avg_pool_restore(sw_model *model, const sw_description *from) {
    return pool_restore_windows(model, from, &avg_pool);
}

static sw_module *pool_restore_adaptive(sw_model *model, const sw_description *from, const pool_kind *kind) {
    int64_t out[2];
    if (!swn_pair_restore(from, "out", 2, 1, out))
        return sw_module_fail(model);
    return pool_new(model, kind, 2, out[0], out[1], NULL);
}

static sw_module *adaptive_max_pool_restore(sw_model *model, const sw_description *from) {
    return pool_restore_adaptive(model, from, &adaptive_max_pool);
}

static sw_module *adaptive_avg_pool_restore(sw_model *model, const sw_description *from) {
    return pool_restore_adaptive(model, from, &adaptive_avg_pool);
}

static sw_module *global_max_pool_restore(sw_model *model, const sw_description *from) {
    (void)from;
    return sw_nn_global_max_pool2d(model);
}

static sw_module *global_avg_pool_restore(sw_model *model, const sw_description *from) {
    (void)from;
    return sw_nn_global_avg_pool2d(model);
}

#define POOL_TYPE(name_, describe_)                                                                   \
    {                                                                                                 \
        .size = sizeof(sw_module_type), .name = #name_, .build = pool_build, .forward = pool_forward, \
        .describe = describe_, .save = pool_save, .restore = name_##_restore                          \
    }
const sw_module_type swn_max_pool_type = POOL_TYPE(max_pool, pool_describe),
                     swn_avg_pool_type = POOL_TYPE(avg_pool, pool_describe),
                     swn_adaptive_max_pool_type = POOL_TYPE(adaptive_max_pool, pool_describe),
                     swn_adaptive_avg_pool_type = POOL_TYPE(adaptive_avg_pool, pool_describe),
                     swn_global_max_pool_type = POOL_TYPE(global_max_pool, pool_describe_global),
                     swn_global_avg_pool_type = POOL_TYPE(global_avg_pool, pool_describe_global);
