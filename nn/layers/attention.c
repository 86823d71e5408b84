/* The layer of multi-head attention. */
#include <swale/extend.h>
#include <swale/nn.h>

#include "nn/layers/builtin_types.h"
#include "nn/layers/key_value_cache.h"
#include "nn/layers/sequence.h"

#include <math.h>
#include <string.h>

/* The weights to queries, keys and values: one, or, if the context has another number of features, three. */
enum { PACKED = 0, QUERY = 0, KEY, VALUE, WEIGHTS };
/* The names of the parameters, for each naming. */
typedef struct attention_names {
    const char *naming, *in_weight, *in_bias, *out_weight, *out_bias;
} attention_names;
static const attention_names names_of[] = {
    [SW_NAMES_TORCH] = {"torch", "in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias"},
    [SW_NAMES_GPT2] = {"gpt2", "c_attn.weight", "c_attn.bias", "c_proj.weight", "c_proj.bias"}};

typedef struct attention {
    int64_t features, heads;
    sw_attention_layer_options options;
    bool is_linear;
    sw_linear_attention_options linear; /* if is_linear, in place of options.causal and options.dropout */
    uint64_t site;
    sw_param *weight[WEIGHTS], *bias, *out_weight, *out_bias;
} attention;

/* Whether there are three weights. */
static bool attention_is_split(const attention *a) {
    return a->options.cross && a->options.context_features != a->features;
}

/* ---- Build ---- */

static sw_param *attention_add_weight(sw_module *m, const char *suffix, int64_t outputs, int64_t inputs, sw_init init) {
    const attention *a = m->data;
    sw_param_options options = {
        .size = sizeof options, .role = SW_ROLE_WEIGHT, .fan_in = inputs, .fan_out = outputs, .init = init};
    if (a->options.naming == SW_NAMES_GPT2)
        options.channels_first = (sw_file_order){.rank = 2, .view = {outputs, inputs}, .axes = {1, 0}};
    return sw_module_add_param(m, suffix, 2, (int64_t[]){outputs, inputs}, &options);
}

/* A bias of zeros; NULL, without an error, if the layer has none. */
static sw_status attention_add_bias(sw_module *m, const char *suffix, int64_t outputs, sw_param **bias) {
    const attention *a = m->data;
    const sw_param_options options = {
        .size = sizeof options, .role = SW_ROLE_BIAS, .fan_in = a->features, .fan_out = outputs};
    *bias = a->options.no_bias ? NULL : sw_module_add_param(m, suffix, 1, &outputs, &options);
    return *bias || a->options.no_bias ? SW_OK : sw_last_failure();
}

static sw_status attention_add_params(sw_module *m) {
    static const char *const split[WEIGHTS] = {"q_proj_weight", "k_proj_weight", "v_proj_weight"};
    attention *a = m->data;
    const attention_names *names = &names_of[a->options.naming];
    const int64_t n = a->features, context = a->options.context_features;
    const bool three = attention_is_split(a);
    for (int i = 0; i < (three ? WEIGHTS : 1); i++) {
        a->weight[i] = attention_add_weight(m, three ? split[i] : names->in_weight, three ? n : 3 * n,
                                            i == QUERY ? n : context, sw_init_xavier_uniform(1));
        if (!a->weight[i])
            return sw_last_failure();
    }
    SW_TRY(attention_add_bias(m, names->in_bias, 3 * n, &a->bias));
    a->out_weight = attention_add_weight(m, names->out_weight, n, n, sw_init_pytorch());
    if (!a->out_weight)
        return sw_last_failure();
    return attention_add_bias(m, names->out_bias, n, &a->out_bias);
}

static sw_status attention_build(sw_module *m, int count, const sw_sample_shape *in, sw_sample_shape *out) {
    attention *a = m->data;
    const int mask = a->options.cross ? 2 : 1; /* its position among the inputs */
    SW_TRY(swn_sequence_features(m, &in[0], &a->features));
    if (a->options.cross)
        SW_TRY(swn_sequence_features(m, &in[1], &a->options.context_features));
    if (count > mask && in[mask].rank >= 0 && in[mask].rank != 1)
        return sw_fail(SW_ERR_SHAPE, "layer %s: samples %s of the key padding mask; [keys] is needed", m->name,
                       sw_shape_text(in[mask].rank, in[mask].length));
    a->site = sw_rng_key(sw_model_seed(m->model), m->name);
    *out = in[0];
    out->spatial = out->flattened_rank = 0;
    return attention_add_params(m);
}

/* ---- Forward ---- */

/* x Wᵀ + b; b may be null. */
static sw_tensor attention_linear(sw_tensor x, sw_tensor weight, sw_tensor bias, bool has_bias) {
    const sw_tensor in = sw_module_cast(x, weight);
    const sw_tensor y = has_bias ? sw_linear(in, weight, bias) : sw_matmul_transposed(in, weight, false, true);
    swn_release_unless(in, x);
    return y;
}

/* Rows [from, to) of the bias; null if there is none. */
static sw_tensor attention_bias(const attention *a, sw_tape *tape, int64_t from, int64_t to) {
    const sw_tensor none = {0};
    if (!a->bias)
        return none;
    const sw_tensor all = sw_param_use(tape, a->bias);
    return from == 0 && to == 3 * a->features ? all : sw_slice(all, 0, from, to);
}

static sw_attention_options attention_options(const attention *a) {
    return SW_OPTIONS(sw_attention_options, .heads = (int)a->heads, .causal = a->options.causal,
                      .dropout = a->options.dropout, .site = a->site);
}

static sw_tensor attention_linear_form(const attention *a, sw_tensor q, sw_tensor k, sw_tensor v,
                                       const sw_attention_options *o) {
    sw_linear_attention_options linear = a->linear;
    linear.heads = o->heads;
    linear.key_padding = o->key_padding;
    return sw_linear_attention(q, k, v, &linear);
}

/* The same with a state, in which the layer keeps that of the linear attention. */
static sw_tensor attention_linear_continued(sw_module *m, sw_tensor q, sw_tensor k, sw_tensor v) {
    const attention *a = m->data;
    const sw_tensor none = {0};
    const sw_array keys = sw_value(k);
    if (!sw_is_live(q) || !sw_is_live(k) || !sw_is_live(v))
        return none;
    const int64_t features = a->features / a->heads,
                  shape[4] = {keys.shape[0], a->heads, features, features + a->linear.normalized};
    const sw_dtype type = sw_dtype_compute(keys.type);
    const size_t bytes = (size_t)(shape[0] * shape[1] * shape[2] * shape[3]) * sw_dtype_size(type);
    void *memory = sw_module_state(m, q.tape, shape[0], bytes);
    if (!memory)
        return none;
    sw_linear_attention_options linear = a->linear;
    linear.heads = (int)a->heads;
    linear.state = sw_input(q.tape, sw_array_view(memory, type, 4, shape));
    const sw_tensor y = sw_linear_attention(q, k, v, &linear);
    linear.result = SW_LINEAR_STATE;
    const sw_tensor after = sw_linear_attention(q, k, v, &linear);
    const sw_array sums = sw_value(after);
    if (sw_is_null(y) || sw_is_null(after))
        return none;
    if (!sw_dry_run())
        memcpy(memory, sums.data, bytes);
    sw_release(after);
    sw_release(linear.state);
    return y;
}

/* One third of qkv, rotated unless it is the values. */
static sw_tensor attention_part(const attention *a, sw_tensor qkv, int part, int64_t first) {
    const sw_tensor plain = sw_slice(qkv, -1, part * a->features, (part + 1) * a->features);
    if (!a->options.rotary || part == VALUE)
        return plain;
    const sw_tensor rotated = sw_rotary(plain, &SW_OPTIONS(sw_rotary_options, .heads = (int)a->heads,
                                                           .base = a->options.rotary_base, .first_position = first));
    swn_release_unless(plain, rotated);
    return rotated;
}

/* Attention with separate queries, keys and values. With a state, the keys and values are also those of the positions
 * before this pass, of which there are `first`. */
static sw_tensor attention_mix(sw_module *m, sw_tensor q, sw_tensor k, sw_tensor v, int64_t first,
                               sw_attention_options *o) {
    const attention *a = m->data;
    const sw_tensor none = {0};
    const bool continues = sw_tape_state(q.tape) != NULL;
    if (a->is_linear)
        return continues ? attention_linear_continued(m, q, k, v) : attention_linear_form(a, q, k, v, o);
    if (!continues)
        return sw_attention(q, k, v, o);
    const swn_cached all = swn_cache_append(m, k, v);
    o->first_position = first;
    const sw_tensor y = sw_is_null(all.keys) ? none : sw_attention(q, all.keys, all.values, o);
    swn_release_unless(all.keys, none);
    swn_release_unless(all.values, none);
    return y;
}

static sw_tensor attention_parts(sw_module *m, sw_tensor qkv, sw_attention_options *o) {
    const attention *a = m->data;
    const sw_tensor none = {0};
    const bool cached = sw_tape_state(qkv.tape) != NULL && !a->is_linear;
    const int64_t first = cached ? swn_cache_positions(m, qkv.tape, sw_value(qkv).shape[0]) : 0;
    if (first < 0)
        return none;
    const sw_tensor q = attention_part(a, qkv, QUERY, first), k = attention_part(a, qkv, KEY, first),
                    v = attention_part(a, qkv, VALUE, first);
    const sw_tensor y = attention_mix(m, q, k, v, first, o);
    swn_release_unless(q, none);
    swn_release_unless(k, none);
    swn_release_unless(v, none);
    return y;
}

static sw_status attention_check_state(const sw_module *m, bool padding) {
    const attention *a = m->data;
    const bool causal = a->is_linear ? a->linear.causal : a->options.causal;
    if (causal && !padding)
        return SW_OK;
    return sw_fail(SW_ERR_STATE, "layer %s: %s, and the tape has a state", m->name,
                   causal ? "has a key padding mask" : "is not causal");
}

static sw_tensor attention_self(sw_module *m, int count, const sw_tensor *x) {
    const attention *a = m->data;
    const sw_tensor none = {0};
    const bool cached = sw_tape_state(x[0].tape) != NULL;
    if (cached && attention_check_state(m, count > 1) != SW_OK)
        return none;
    const sw_tensor weight = sw_param_use(x[0].tape, a->weight[PACKED]),
                    bias = attention_bias(a, x[0].tape, 0, 3 * a->features);
    const sw_tensor qkv = attention_linear(x[0], weight, bias, a->bias != NULL);
    if (sw_is_null(qkv))
        return none;
    sw_attention_options o = attention_options(a);
    if (count > 1)
        o.key_padding = x[1];
    const bool parts = cached || a->options.rotary || a->is_linear;
    const sw_tensor y = parts ? attention_parts(m, qkv, &o) : sw_attention_packed(qkv, &o);
    swn_release_unless(qkv, none);
    return y;
}

/* The queries of x, or the keys or values of the context. */
static sw_tensor attention_project(const attention *a, sw_tensor x, int part) {
    const sw_tensor none = {0};
    const int64_t n = a->features;
    const bool split = attention_is_split(a);
    const sw_tensor all = sw_param_use(x.tape, a->weight[split ? part : PACKED]),
                    weight = split ? all : sw_slice(all, 0, part * n, (part + 1) * n),
                    bias = attention_bias(a, x.tape, part * n, (part + 1) * n);
    const sw_tensor y = attention_linear(x, weight, bias, a->bias != NULL);
    swn_release_unless(weight, all);
    swn_release_unless(bias, none);
    return y;
}

static sw_tensor attention_cross(sw_module *m, int count, const sw_tensor *x) {
    const attention *a = m->data;
    const sw_tensor none = {0}, q = attention_project(a, x[0], QUERY), k = attention_project(a, x[1], KEY),
                    v = attention_project(a, x[1], VALUE);
    sw_attention_options o = attention_options(a);
    if (count > 2)
        o.key_padding = x[2];
    const sw_tensor y = sw_attention(q, k, v, &o);
    swn_release_unless(q, none);
    swn_release_unless(k, none);
    swn_release_unless(v, none);
    return y;
}

static sw_tensor attention_forward(sw_module *m, int count, const sw_tensor *x) {
    const attention *a = m->data;
    const sw_tensor mixed = a->options.cross ? attention_cross(m, count, x) : attention_self(m, count, x);
    if (sw_is_null(mixed))
        return mixed;
    sw_tensor bias = {0};
    const sw_tensor weight = sw_param_use(mixed.tape, a->out_weight);
    if (a->out_bias)
        bias = sw_param_use(mixed.tape, a->out_bias);
    const sw_tensor y = attention_linear(mixed, weight, bias, a->out_bias != NULL);
    if (!sw_is_null(y))
        sw_release(mixed);
    return y;
}

/* ---- Description ---- */

static void attention_describe(const sw_module *m, char *text, size_t bytes) {
    const attention *a = m->data;
    sw_format(text, bytes, "%lld heads of %lld%s%s", (long long)a->heads, (long long)(a->features / a->heads),
              a->options.causal ? ", causal" : "", a->options.cross ? ", of a context" : "");
    const size_t at = strlen(text);
    if (a->options.dropout > 0)
        sw_format(text + at, bytes - at, ", dropout %g", a->options.dropout);
    else if (a->is_linear)
        sw_format(text + at, bytes - at, "%s%s%s", a->linear.causal ? ", causal" : "",
                  a->linear.map == SW_MAP_ELU ? ", elu" : "", a->linear.normalized ? ", normalized" : "");
}

static sw_status attention_save(const sw_module *m, sw_description *to) {
    const attention *a = m->data;
    SW_TRY(sw_description_set_integer(to, "features", a->features));
    SW_TRY(sw_description_set_integer(to, "heads", a->heads));
    SW_TRY(sw_description_set_integer(to, "causal", a->options.causal));
    SW_TRY(sw_description_set_number(to, "dropout", a->options.dropout));
    SW_TRY(sw_description_set_integer(to, "bias", !a->options.no_bias));
    if (a->options.rotary)
        SW_TRY(sw_description_set_number(to, "rotary_base", a->options.rotary_base));
    if (a->options.cross)
        SW_TRY(sw_description_set_integer(to, "context_features", a->options.context_features));
    return sw_description_set_text(to, "naming", names_of[a->options.naming].naming);
}

sw_status swn_restore_naming(const sw_description *from, sw_naming *naming) {
    const char *name = sw_description_text(from, "naming");
    if (!name)
        return sw_last_failure();
    *naming = strcmp(name, names_of[SW_NAMES_GPT2].naming) == 0 ? SW_NAMES_GPT2 : SW_NAMES_TORCH;
    return strcmp(name, names_of[*naming].naming) == 0 ? SW_OK
                                                       : sw_fail(SW_ERR_FORMAT, "there is no naming %.50s", name);
}

const char *swn_naming_text(sw_naming naming) {
    return names_of[naming].naming;
}

static sw_module *attention_restore(sw_model *model, const sw_description *from) {
    sw_attention_layer_options o = {.size = sizeof o, .cross = sw_description_has(from, "context_features")};
    int64_t features, heads, causal, bias;
    if (sw_description_integer(from, "features", 1, INT32_MAX / 3, &features) != SW_OK ||
        sw_description_integer(from, "heads", 1, INT32_MAX, &heads) != SW_OK ||
        sw_description_integer(from, "causal", 0, 1, &causal) != SW_OK ||
        sw_description_number(from, "dropout", 0, 1, &o.dropout) != SW_OK ||
        sw_description_integer(from, "bias", 0, 1, &bias) != SW_OK || swn_restore_naming(from, &o.naming) != SW_OK)
        return sw_module_fail(model);
    if (o.cross && sw_description_integer(from, "context_features", 0, INT32_MAX, &o.context_features) != SW_OK)
        return sw_module_fail(model);
    o.rotary = sw_description_has(from, "rotary_base");
    if (o.rotary && sw_description_number(from, "rotary_base", 1, 1e300, &o.rotary_base) != SW_OK)
        return sw_module_fail(model);
    o.causal = causal != 0;
    o.no_bias = bias == 0;
    return sw_nn_attention_with_options(model, features, heads, &o);
}

/* A layer with `operands` inputs, x or x and a context, and possibly a mask behind them. (continues: see
 * swn_attention_continues) */
#define ATTENTION_TYPE(text, operands, save_settings, restore_settings)                                \
    {                                                                                                  \
        .size = sizeof(sw_module_type), .name = (text), .build_many = attention_build,                 \
        .forward_many = attention_forward, .describe = attention_describe, .least_inputs = (operands), \
        .most_inputs = (operands) + 1, .mask_inputs = 1u << (operands), .save = (save_settings),       \
        .restore = (restore_settings), .continues = true                                               \
    }

const sw_module_type swn_attention_type = ATTENTION_TYPE("attention", 1, attention_save, attention_restore);
const sw_module_type swn_cross_attention_type = ATTENTION_TYPE("cross_attention", 2, attention_save, attention_restore);

/* ---- Construction ---- */

static sw_status attention_check(int64_t features, int64_t heads, const sw_attention_layer_options *o) {
    if (features < 1 || features > INT32_MAX / 3 || heads < 1 || features % heads != 0)
        return sw_fail(SW_ERR_ARGUMENT, "attention: %lld features and %lld heads; a multiple of the heads is needed",
                       (long long)features, (long long)heads);
    if (!(o->dropout >= 0 && o->dropout < 1))
        return sw_fail(SW_ERR_ARGUMENT, "attention: dropout %g is outside [0, 1)", o->dropout);
    if (o->context_features < 0 || o->context_features > INT32_MAX || (o->context_features > 0 && !o->cross))
        return sw_fail(SW_ERR_ARGUMENT, "attention: %lld context features; %s", (long long)o->context_features,
                       o->cross ? "0 (as many as those of x) or more are needed" : "only cross-attention has them");
    if (o->naming != SW_NAMES_TORCH && o->naming != SW_NAMES_GPT2)
        return sw_fail(SW_ERR_ARGUMENT, "attention: %d is not a naming", (int)o->naming);
    if (o->cross && (o->causal || o->rotary || o->naming == SW_NAMES_GPT2))
        return sw_fail(SW_ERR_ARGUMENT, "attention: cross-attention %s",
                       o->causal   ? "cannot be causal"
                       : o->rotary ? "has no rotary positions"
                                   : "has no names of GPT-2");
    if (o->rotary && features / heads % 2 != 0)
        return sw_fail(SW_ERR_ARGUMENT,
                       "attention: rotary positions of heads with %lld features; an even number is needed",
                       (long long)(features / heads));
    if (!(o->rotary_base == 0 || (o->rotary_base >= 1 && o->rotary_base <= 1e300)))
        return sw_fail(SW_ERR_ARGUMENT, "attention: rotary base %g; 1 or more, or 0 (10000), is needed",
                       o->rotary_base);
    return SW_OK;
}

sw_module *sw_nn_attention_with_options(sw_model *model, int64_t features, int64_t heads,
                                        const sw_attention_layer_options *options) {
    sw_attention_layer_options o = {.size = sizeof o};
    if (options && sw_options_copy("attention", "sw_attention_layer_options", &o, sizeof o, options, sizeof o) != SW_OK)
        return sw_module_fail(model);
    if (attention_check(features, heads, &o) != SW_OK)
        return sw_module_fail(model);
    if (o.context_features == 0)
        o.context_features = features;
    if (o.rotary_base == 0)
        o.rotary_base = 10000;
    const sw_module_type *type = o.cross ? &swn_cross_attention_type : &swn_attention_type;
    sw_module *m = sw_module_new(model, type, sizeof(attention));
    if (sw_module_is(m, type))
        *(attention *)m->data = (attention){.features = features, .heads = heads, .options = o};
    return m;
}

sw_module *sw_nn_attention(sw_model *model, int64_t features, int64_t heads) {
    return sw_nn_attention_with_options(model, features, heads, NULL);
}

/* ---- Linear attention ---- */

static sw_status linear_attention_save(const sw_module *m, sw_description *to) {
    const attention *a = m->data;
    SW_TRY(sw_description_set_integer(to, "features", a->features));
    SW_TRY(sw_description_set_integer(to, "heads", a->heads));
    SW_TRY(sw_description_set_integer(to, "causal", a->linear.causal));
    SW_TRY(sw_description_set_integer(to, "normalized", a->linear.normalized));
    SW_TRY(sw_description_set_integer(to, "elu", a->linear.map == SW_MAP_ELU));
    SW_TRY(sw_description_set_number(to, "scale", a->linear.scale));
    return sw_description_set_integer(to, "bias", !a->options.no_bias);
}

static sw_module *linear_attention_restore(sw_model *model, const sw_description *from) {
    sw_linear_attention_layer_options o = {.size = sizeof o};
    int64_t features, heads, causal, normalized, elu, bias;
    if (sw_description_integer(from, "features", 1, INT32_MAX / 3, &features) != SW_OK ||
        sw_description_integer(from, "heads", 1, INT32_MAX, &heads) != SW_OK ||
        sw_description_integer(from, "causal", 0, 1, &causal) != SW_OK ||
        sw_description_integer(from, "normalized", 0, 1, &normalized) != SW_OK ||
        sw_description_integer(from, "elu", 0, 1, &elu) != SW_OK ||
        sw_description_number(from, "scale", -1e300, 1e300, &o.scale) != SW_OK ||
        sw_description_integer(from, "bias", 0, 1, &bias) != SW_OK)
        return sw_module_fail(model);
    o.causal = causal != 0;
    o.normalized = normalized != 0;
    o.map = elu ? SW_MAP_ELU : SW_MAP_IDENTITY;
    o.no_bias = bias == 0;
    return sw_nn_linear_attention_with_options(model, features, heads, &o);
}

const sw_module_type swn_linear_attention_type =
    ATTENTION_TYPE("linear_attention", 1, linear_attention_save, linear_attention_restore);

bool swn_attention_continues(const sw_module *m) {
    const attention *a = m->data;
    if (sw_module_is(m, &swn_linear_attention_type))
        return a->linear.causal;
    return !sw_module_is(m, &swn_attention_type) || a->options.causal;
}

sw_module *sw_nn_linear_attention_with_options(sw_model *model, int64_t features, int64_t heads,
                                               const sw_linear_attention_layer_options *options) {
    sw_linear_attention_layer_options o = {.size = sizeof o};
    const sw_attention_layer_options plain = {.size = sizeof plain};
    if (options && sw_options_copy("linear_attention", "sw_linear_attention_layer_options", &o, sizeof o, options,
                                   sizeof o) != SW_OK)
        return sw_module_fail(model);
    if (attention_check(features, heads, &plain) != SW_OK)
        return sw_module_fail(model);
    if (!isfinite(o.scale) || (o.map != SW_MAP_IDENTITY && o.map != SW_MAP_ELU) ||
        (o.normalized && (o.map != SW_MAP_ELU || o.scale != 0))) {
        sw_fail(SW_ERR_ARGUMENT,
                "linear_attention: scale %g, map %d%s; a finite scale and a map are needed, and for normalized "
                "results SW_MAP_ELU and no scale",
                o.scale, (int)o.map, o.normalized ? ", normalized" : "");
        return sw_module_fail(model);
    }
    sw_module *m = sw_module_new(model, &swn_linear_attention_type, sizeof(attention));
    if (sw_module_is(m, &swn_linear_attention_type))
        *(attention *)m->data =
            (attention){.features = features,
                        .heads = heads,
                        .options = {.size = sizeof o, .no_bias = o.no_bias, .context_features = features},
                        .is_linear = true,
                        .linear = SW_OPTIONS(sw_linear_attention_options, .scale = o.scale, .causal = o.causal,
                                             .normalized = o.normalized, .map = o.map)};
    return m;
}

sw_module *sw_nn_linear_attention(sw_model *model, int64_t features, int64_t heads) {
    return sw_nn_linear_attention_with_options(model, features, heads, NULL);
}
