/* The block of transformers: attention and a feed-forward network, each with a residual connection and a norm. */
#include "nn/layers/transformer_block.h"

#include <swale/extend.h>

#include "nn/layers/builtin_types.h"
#include "nn/layers/child_list.h"
#include "nn/layers/sequence.h"

#include <string.h>

/* The inner layers. */
enum { ATTENTION, UP, DOWN, NORM1, NORM2, LAYERS };
/* Their names, and the order in which they declare their parameters, which is that of the state_dict. */
static const char *const layer_names[][LAYERS] = {
    [SW_NAMES_TORCH] = {"self_attn", "linear1", "linear2", "norm1", "norm2"},
    [SW_NAMES_GPT2] = {"attn", "mlp.c_fc", "mlp.c_proj", "ln_1", "ln_2"}};
static const int layer_order[][LAYERS] = {
    [SW_NAMES_TORCH] = {ATTENTION, UP, DOWN, NORM1, NORM2}, [SW_NAMES_GPT2] = {NORM1, ATTENTION, NORM2, UP, DOWN}};

typedef enum block_activation { GELU, GELU_TANH, RELU, RELU2, SWIGLU, ACTIVATIONS } block_activation;
static const char *const activation_names[ACTIVATIONS] = {"gelu", "gelu_tanh", "relu", "relu2", "swiglu"};

/* The places of dropout. */
enum { AFTER_ATTENTION, AFTER_ACTIVATION, AFTER_DOWN, SITES };

typedef struct block {
    block_activation activation;
    bool post_norm;
    sw_naming naming;
    double dropout;
    uint64_t site[SITES];
} block;

/* ---- Build ---- */

/* The activation makes half as many features for swiglu. */
static sw_status block_activate_shape(const sw_module *m, sw_sample_shape *shape) {
    if (((const block *)m->data)->activation != SWIGLU || shape->rank < 1)
        return SW_OK;
    int64_t *hidden = &shape->length[shape->rank - 1];
    if (*hidden % 2 != 0)
        return sw_fail(SW_ERR_SHAPE, "layer %s: layer %s makes %lld features; swiglu needs an even number", m->name,
                       m->child[UP]->name, (long long)*hidden);
    *hidden /= 2;
    return SW_OK;
}

static void block_set_sites(sw_module *m) {
    static const char *const places[SITES] = {"attention", "activation", "feed_forward"};
    block *b = m->data;
    char name[300];
    for (int i = 0; i < SITES; i++) {
        sw_format(name, sizeof name, "%s.%s", m->name, places[i]);
        b->site[i] = sw_rng_key(sw_model_seed(m->model), name);
    }
}

/* All layers but the two linear ones keep the shape. */
static sw_status block_build(sw_module *m, int count, const sw_sample_shape *in, sw_sample_shape *out) {
    const block *b = m->data;
    sw_sample_shape shape = in[0], hidden = {.rank = -1};
    block_set_sites(m);
    for (int i = 0; i < LAYERS; i++) {
        const int layer = layer_order[b->naming][i];
        sw_sample_shape same = in[0];
        if (layer == ATTENTION) {
            SW_TRY(sw_module_build_many(m->child[layer], count, in, &shape));
        } else if (layer == UP) {
            SW_TRY(sw_module_build(m->child[layer], &same));
            SW_TRY(block_activate_shape(m, &same));
            hidden = same;
        } else {
            sw_sample_shape *at = layer == DOWN ? &hidden : &same;
            SW_TRY(sw_module_build(m->child[layer], at));
            if (layer == DOWN)
                shape = *at;
        }
    }
    if (in[0].rank >= 0 && !sw_shape_equal(in[0].rank, in[0].length, shape.rank, shape.length))
        return sw_fail(SW_ERR_SHAPE, "layer %s: its layers make %s of samples %s; equal shapes are needed", m->name,
                       sw_shape_text(shape.rank, shape.length), sw_shape_text(in[0].rank, in[0].length));
    *out = in[0];
    out->spatial = out->flattened_rank = 0;
    return SW_OK;
}

/* ---- Forward ---- */

static sw_tensor block_dropout(const block *b, sw_tensor x, int place) {
    if (b->dropout == 0 || sw_is_null(x))
        return x;
    const sw_tensor y = sw_dropout(x, b->dropout, b->site[place]);
    swn_release_unless(x, y);
    return y;
}

/* The operation of an activation; releases x. */
static sw_tensor block_activate(block_activation activation, sw_tensor x) {
    sw_tensor y = {0};
    switch (activation) {
    case GELU: y = sw_gelu(x); break;
    case GELU_TANH: y = sw_gelu_tanh(x); break;
    case RELU: y = sw_relu(x); break;
    case RELU2: y = sw_squared_relu(x); break;
    case SWIGLU: y = sw_swiglu(x); break;
    case ACTIVATIONS: break;
    }
    swn_release_unless(x, y);
    return y;
}

/* Calls an inner layer and releases its input, unless that is `kept`. */
static sw_tensor block_pass(sw_module *layer, sw_tensor x, sw_tensor kept) {
    const sw_tensor y = sw_forward(layer, x);
    if (!sw_is_null(y))
        swn_release_unless(x, kept);
    return y;
}

/* x + f, and releases f and, unless it is `kept`, x. */
static sw_tensor block_add(sw_tensor x, sw_tensor f, sw_tensor kept) {
    const sw_tensor sum = sw_add(x, f);
    if (sw_is_null(sum))
        return sum;
    swn_release_unless(f, sum);
    swn_release_unless(x, kept);
    return sum;
}

static sw_tensor block_attend(sw_module *m, int count, const sw_tensor *x) {
    const block *b = m->data;
    sw_tensor in[2] = {x[0], count > 1 ? x[1] : x[0]};
    if (!b->post_norm)
        in[0] = sw_forward(m->child[NORM1], x[0]);
    const sw_tensor mixed = sw_is_null(in[0]) ? in[0] : sw_forward_many(m->child[ATTENTION], count, in);
    swn_release_unless(in[0], x[0]);
    return block_dropout(b, mixed, AFTER_ATTENTION);
}

static sw_tensor block_feed_forward(sw_module *m, sw_tensor x) {
    const block *b = m->data;
    const sw_tensor in = b->post_norm ? x : sw_forward(m->child[NORM2], x);
    sw_tensor y = block_activate(b->activation, block_pass(m->child[UP], in, x));
    if (b->naming == SW_NAMES_TORCH)
        y = block_dropout(b, y, AFTER_ACTIVATION);
    return block_dropout(b, block_pass(m->child[DOWN], y, x), AFTER_DOWN);
}

static sw_tensor block_forward(sw_module *m, int count, const sw_tensor *x) {
    const bool post = ((const block *)m->data)->post_norm;
    const sw_tensor attended = block_attend(m, count, x);
    sw_tensor middle = sw_is_null(attended) ? attended : block_add(x[0], attended, x[0]);
    if (post && !sw_is_null(middle))
        middle = block_pass(m->child[NORM1], middle, x[0]);
    if (sw_is_null(middle))
        return middle;
    const sw_tensor result = block_feed_forward(m, middle);
    const sw_tensor y = sw_is_null(result) ? result : block_add(middle, result, x[0]);
    return post && !sw_is_null(y) ? block_pass(m->child[NORM2], y, x[0]) : y;
}

/* ---- Description ---- */

static void block_describe(const sw_module *m, char *text, size_t bytes) {
    const block *b = m->data;
    sw_format(text, bytes, "%s-norm, %s", b->post_norm ? "post" : "pre", activation_names[b->activation]);
    const size_t at = strlen(text);
    if (b->dropout > 0)
        sw_format(text + at, bytes - at, ", dropout %g", b->dropout);
}

static sw_status block_save(const sw_module *m, sw_description *to) {
    const block *b = m->data;
    SW_TRY(sw_description_set_text(to, "activation", activation_names[b->activation]));
    SW_TRY(sw_description_set_number(to, "dropout", b->dropout));
    SW_TRY(sw_description_set_integer(to, "post_norm", b->post_norm));
    return sw_description_set_text(to, "naming", swn_naming_text(b->naming));
}

static sw_status block_find_activation(const char *name, block_activation *activation) {
    int i = 0;
    while (i < ACTIVATIONS && strcmp(name, activation_names[i]) != 0)
        i++;
    *activation = (block_activation)i;
    return i < ACTIVATIONS ? SW_OK
                           : sw_fail(SW_ERR_ARGUMENT, "transformer_block: there is no activation %.50s%s", name,
                                     sw_suggest(name, ACTIVATIONS, activation_names));
}

static sw_module *block_new(sw_model *model, block settings, int count, sw_module *const *layers) {
    sw_module *m = sw_module_new(model, &swn_transformer_block_type, sizeof(block));
    if (!sw_module_is(m, &swn_transformer_block_type))
        return m;
    *(block *)m->data = settings;
    return swn_add_children(m, count, layers);
}

static sw_module *block_restore(sw_model *model, const sw_description *from) {
    block b = {0};
    int count;
    int64_t post_norm;
    sw_module *const *layers = sw_description_layers(from, &count);
    const char *activation = sw_description_text(from, "activation");
    if (!activation || block_find_activation(activation, &b.activation) != SW_OK ||
        sw_description_number(from, "dropout", 0, 1, &b.dropout) != SW_OK ||
        sw_description_integer(from, "post_norm", 0, 1, &post_norm) != SW_OK ||
        swn_restore_naming(from, &b.naming) != SW_OK)
        return sw_module_fail(model);
    b.post_norm = post_norm != 0;
    if (count == LAYERS && sw_module_is(layers[ATTENTION], &swn_attention_type) && b.dropout < 1)
        return block_new(model, b, count, layers);
    sw_fail(SW_ERR_FORMAT, "%d inner layers; attention, norm, two linear layers and norm are needed", count);
    return sw_module_fail(model);
}

const sw_module_type swn_transformer_block_type = {.size = sizeof(sw_module_type),
                                                   .name = "transformer_block",
                                                   .build_many = block_build,
                                                   .forward_many = block_forward,
                                                   .describe = block_describe,
                                                   .name_space = true,
                                                   .least_inputs = 1,
                                                   .most_inputs = 2,
                                                   .mask_inputs = 1u << 1,
                                                   .save = block_save,
                                                   .restore = block_restore,
                                                   .continues = true};

/* ---- Construction ---- */

static sw_module *block_linear(sw_model *model, int64_t inputs, int64_t outputs,
                               const sw_transformer_block_options *o) {
    return sw_nn_linear_with_options(
        model, inputs, outputs,
        &SW_OPTIONS(sw_linear_options, .no_bias = o->no_bias, .file_transposed = o->naming == SW_NAMES_GPT2));
}

static sw_module *block_norm(sw_model *model, int64_t features, const sw_transformer_block_options *o) {
    return sw_nn_layer_norm_with_options(model, features, &SW_OPTIONS(sw_norm_options, .no_bias = o->no_bias));
}

static sw_status block_check(int64_t features, const sw_transformer_block_options *o) {
    enum { MOST_FEATURES = INT32_MAX / 8 };
    if (features < 1 || features > MOST_FEATURES || o->hidden < 0 || o->hidden > INT32_MAX / 2)
        return sw_fail(SW_ERR_ARGUMENT,
                       "transformer_block: %lld features and %lld inside; 1 to %d features, and 0 (4 times as many) or "
                       "more inside are needed",
                       (long long)features, (long long)o->hidden, MOST_FEATURES);
    if (!(o->dropout >= 0 && o->dropout < 1))
        return sw_fail(SW_ERR_ARGUMENT, "transformer_block: dropout %g is outside [0, 1)", o->dropout);
    return o->naming == SW_NAMES_TORCH || o->naming == SW_NAMES_GPT2
               ? SW_OK
               : sw_fail(SW_ERR_ARGUMENT, "transformer_block: %d is not a naming", (int)o->naming);
}

sw_module *sw_nn_transformer_block_with_options(sw_model *model, int64_t features, int64_t heads,
                                                const sw_transformer_block_options *options) {
    sw_transformer_block_options o = {.size = sizeof o};
    block b = {.activation = GELU};
    if (options &&
        sw_options_copy("transformer_block", "sw_transformer_block_options", &o, sizeof o, options, sizeof o) != SW_OK)
        return sw_module_fail(model);
    if (block_check(features, &o) != SW_OK ||
        (o.activation && block_find_activation(o.activation, &b.activation) != SW_OK))
        return sw_module_fail(model);
    const int64_t hidden = o.hidden > 0 ? o.hidden : 4 * features, up = b.activation == SWIGLU ? 2 * hidden : hidden;
    const sw_attention_layer_options attention =
        SW_OPTIONS(sw_attention_layer_options, .causal = o.causal, .dropout = o.dropout, .no_bias = o.no_bias,
                   .naming = o.naming, .rotary = o.rotary);
    sw_module *layers[LAYERS] = {[ATTENTION] = sw_nn_attention_with_options(model, features, heads, &attention),
                                 [NORM1] = block_norm(model, features, &o),
                                 [UP] = block_linear(model, features, up, &o),
                                 [DOWN] = block_linear(model, hidden, features, &o),
                                 [NORM2] = block_norm(model, features, &o)};
    for (int i = 0; i < LAYERS; i++)
        sw_module_set_name(layers[i], layer_names[o.naming][i]);
    b.post_norm = o.post_norm;
    b.naming = o.naming;
    b.dropout = o.dropout;
    return block_new(model, b, LAYERS, layers);
}

sw_module *sw_nn_transformer_block(sw_model *model, int64_t features, int64_t heads) {
    return sw_nn_transformer_block_with_options(model, features, heads, NULL);
}
