/* Descriptions of networks: the text, every built-in layer, what cannot be described, registration, settings that a
 * layer type writes or reads in a wrong way, and memory that runs out. */
#define _GNU_SOURCE
#include "helpers.h"
#include "json_memory.h"

#include "comma_locale.h"
#include "files.h"

/* ---- The text ---- */

static void test_description_is_this_text(void **state) {
    (void)state;
    sw_model *model = sw_model_new(SW_F32, 42);
    sw_model_set_input_shape(model, 2, (const int64_t[]){2, 3});
    sw_module *first = sw_nn_linear(model, 6, 4), *last = sw_nn_linear_no_bias(model, 4, 6);
    sw_module *tied = sw_module_tie(sw_nn_linear(model, 6, 4), first);
    built(model, sw_nn_sequential(model, sw_nn_flatten(model), sw_module_freeze(first, true), sw_nn_elu(model, 0.1),
                                  sw_module_set_name(last, "back"), tied));
    char *text = sw_model_description(model);
    expect_no_error();
    assert_string_equal(
        text,
        "{\"format\":1,\"inputs\":[[2,3]],\"parameters\":{\"back.weight\":{\"role\":\"weight\"},"
        "\"linear1.bias\":{\"frozen\":true,\"role\":\"bias\"},\"linear1.weight\":{\"frozen\":true,\"role\":\"weight\"},"
        "\"linear2.bias\":{\"role\":\"bias\"}},\"root\":{\"layers\":["
        "{\"name\":\"flatten1\",\"type\":\"flatten\"},"
        "{\"frozen\":true,\"name\":\"linear1\",\"settings\":{\"bias\":1,\"inputs\":6,\"outputs\":4},"
        "\"type\":\"linear\"},"
        "{\"name\":\"elu1\",\"settings\":{\"alpha\":0.10000000000000001},\"type\":\"elu\"},"
        "{\"name\":\"back\",\"settings\":{\"bias\":0,\"inputs\":4,\"outputs\":6},\"type\":\"linear\"},"
        "{\"name\":\"linear2\",\"settings\":{\"bias\":1,\"inputs\":6,\"outputs\":4},"
        "\"tied\":{\"weight\":{\"layer\":2,\"parameter\":\"weight\"}},\"type\":\"linear\"}],"
        "\"name\":\"sequential1\",\"type\":\"sequential\"},\"seed\":\"42\",\"type\":\"f32\"}");
    sw_free(text);
    sw_model_free(model);
}

/* ---- Every built-in layer ---- */

static sw_module *make_linear(sw_model *m) {
    return sw_nn_linear(m, 6, 5);
}
static sw_module *make_linear_no_bias(sw_model *m) {
    return sw_nn_linear_no_bias(m, 0, 5);
}
static sw_module *make_embedding(sw_model *m) {
    return sw_nn_embedding(m, 7, 3);
}
static sw_module *make_padded_embedding(sw_model *m) {
    return sw_nn_embedding_with_options(m, 7, 3, &SW_OPTIONS(sw_embedding_options, .padding = true));
}
static sw_module *make_dropout(sw_model *m) {
    return sw_nn_dropout(m, 0.3);
}
static sw_module *make_leaky(sw_model *m) {
    return sw_nn_leaky_relu(m, -1.0 / 3);
}
static sw_module *make_elu(sw_model *m) {
    return sw_nn_elu(m, 1e-300);
}
static sw_module *make_softmax(sw_model *m) {
    return sw_nn_softmax(m, -1);
}
static sw_module *make_log_softmax(sw_model *m) {
    return sw_nn_log_softmax(m, 1);
}
static sw_module *make_reshape(sw_model *m) {
    return sw_nn_reshape(m, 3, (const int64_t[]){3, 1, 2});
}
static sw_module *make_scalar_reshape(sw_model *m) {
    sw_model_set_input_shape(m, 1, (const int64_t[]){1});
    return sw_nn_reshape(m, 0, NULL);
}
static sw_module *make_residual(sw_model *m) {
    return sw_nn_residual(m, sw_nn_sequential(m, sw_nn_linear(m, 6, 6), sw_nn_sequential(m, NULL)));
}
static sw_module *make_basic_block(sw_model *m) {
    sw_model_set_input_shape(m, SW_SHAPE(5, 4, 2));
    return sw_nn_basic_block(m, 2, 3, 2);
}
static sw_module *make_plain_basic_block(sw_model *m) {
    sw_model_set_input_shape(m, SW_SHAPE(5, 4, 2));
    return sw_nn_basic_block(m, 2, 2, 1);
}
static sw_module *make_recompute(sw_model *m) {
    return sw_nn_recompute(m, sw_nn_sequential(m, sw_nn_linear(m, 6, 4), sw_nn_recompute(m, sw_nn_tanh(m))));
}
static sw_module *make_segments(sw_model *m) {
    sw_module *list[3] = {sw_nn_linear(m, 6, 6), sw_nn_tanh(m), sw_nn_linear(m, 6, 2)};
    return sw_nn_sequential_with_options(m, 3, list, &SW_OPTIONS(sw_sequential_options, .recompute = 2));
}

static sw_module *make_conv(sw_model *m) {
    sw_model_set_input_shape(m, SW_SHAPE(5, 4, 4));
    return sw_nn_conv2d_with_options(m, 0, 6, 2, 3,
                                     &SW_OPTIONS(sw_conv_options, .stride = {2, 1}, .padding = {1, 2},
                                                 .dilation = {1, 2}, .groups = 2, .no_bias = true));
}
static sw_module *make_conv_same(sw_model *m) {
    sw_model_set_input_shape(m, SW_SHAPE(6, 1));
    return sw_nn_conv1d_with_options(m, 1, 3, 5, &SW_OPTIONS(sw_conv_options, .same = true, .stride = {3}));
}
static sw_module *make_conv_transposed(sw_model *m) {
    sw_model_set_input_shape(m, SW_SHAPE(3, 2, 4));
    return sw_nn_conv2d_transposed_with_options(
        m, 4, 6, 3, 2, &SW_OPTIONS(sw_conv_options, .stride = {2, 3}, .output_padding = {1, 2}, .groups = 2));
}

static sw_module *make_max_pool(sw_model *m) {
    sw_model_set_input_shape(m, SW_SHAPE(7, 6, 2));
    return sw_nn_max_pool2d_with_options(
        m, 3, 2,
        &SW_OPTIONS(sw_pool_options, .stride = {1, 3}, .padding = {1, 0}, .dilation = {2, 1}, .ceil_mode = true));
}
static sw_module *make_max_pool_of_sequences(sw_model *m) {
    sw_model_set_input_shape(m, SW_SHAPE(7, 2));
    return sw_nn_max_pool1d_with_options(m, 3, &SW_OPTIONS(sw_pool_options, .stride = {1}, .dilation = {2}));
}
static sw_module *make_avg_pool(sw_model *m) {
    sw_model_set_input_shape(m, SW_SHAPE(7, 6, 2));
    return sw_nn_avg_pool2d_with_options(
        m, 3, 2, &SW_OPTIONS(sw_pool_options, .padding = {1, 1}, .exclude_padding = true, .relu = true));
}
static sw_module *make_avg_pool_of_sequences(sw_model *m) {
    sw_model_set_input_shape(m, SW_SHAPE(7, 2));
    return sw_nn_avg_pool1d(m, 3);
}
static sw_module *make_adaptive_max_pool(sw_model *m) {
    sw_model_set_input_shape(m, SW_SHAPE(7, 6, 2));
    return sw_nn_adaptive_max_pool2d(m, 3, 4);
}
static sw_module *make_adaptive_avg_pool(sw_model *m) {
    sw_model_set_input_shape(m, SW_SHAPE(7, 6, 2));
    return sw_nn_adaptive_avg_pool2d(m, 2, 5);
}
static sw_module *make_global_max_pool(sw_model *m) {
    sw_model_set_input_shape(m, SW_SHAPE(7, 6, 2));
    return sw_nn_global_max_pool2d(m);
}
static sw_module *make_global_avg_pool(sw_model *m) {
    sw_model_set_input_shape(m, SW_SHAPE(7, 6, 2));
    return sw_nn_global_avg_pool2d(m);
}
static sw_module *make_batch_norm(sw_model *m) {
    return sw_nn_batch_norm(m, 0);
}
static sw_module *make_cumulative_batch_norm(sw_model *m) {
    return sw_nn_batch_norm_with_options(
        m, 6, &SW_OPTIONS(sw_batch_norm_options, .eps = 0.1, .cumulative = true, .no_bias = true));
}
static sw_module *make_plain_batch_norm(sw_model *m) {
    return sw_nn_batch_norm_with_options(m, 6,
                                         &SW_OPTIONS(sw_batch_norm_options, .no_weight = true, .no_statistics = true));
}
static sw_module *make_slow_batch_norm(sw_model *m) {
    return sw_nn_batch_norm_with_options(m, 6, &SW_OPTIONS(sw_batch_norm_options, .momentum = 1.0 / 3));
}
static sw_module *make_layer_norm(sw_model *m) {
    return sw_nn_layer_norm_with_options(m, 0, &SW_OPTIONS(sw_norm_options, .eps = 1e-300, .no_bias = true));
}
static sw_module *make_wide_layer_norm(sw_model *m) {
    sw_model_set_input_shape(m, 3, (const int64_t[]){1, 2, 3});
    return sw_nn_layer_norm_with_options(m, 3, &SW_OPTIONS(sw_norm_options, .axes = 2));
}
static sw_module *make_rms_norm(sw_model *m) {
    return sw_nn_rms_norm(m, 0);
}
static sw_module *make_group_norm(sw_model *m) {
    return sw_nn_group_norm_with_options(m, 3, 0, &SW_OPTIONS(sw_norm_options, .eps = 0.5, .no_weight = true));
}

static sw_module *make_lstm(sw_model *m) {
    sw_model_set_input_shape(m, 2, (const int64_t[]){4, 6});
    return sw_nn_lstm_with_options(
        m, 0, 5,
        &SW_OPTIONS(sw_recurrent_layer_options, .layers = 2, .bidirectional = true, .dropout = 0.1, .last = true));
}
static sw_module *make_gru(sw_model *m) {
    sw_model_set_input_shape(m, 2, (const int64_t[]){4, 6});
    return sw_nn_gru_with_options(m, 6, 5, &SW_OPTIONS(sw_recurrent_layer_options, .no_bias = true));
}
static sw_module *make_transposed_linear(sw_model *m) {
    return sw_nn_linear_with_options(m, 6, 5, &SW_OPTIONS(sw_linear_options, .file_transposed = true));
}
static sw_module *make_position(sw_model *m) {
    sw_model_set_input_shape(m, SW_SHAPE(5, 6));
    return sw_nn_position(m, 7, 0);
}
static sw_module *make_sinusoidal_position(sw_model *m) {
    sw_model_set_input_shape(m, SW_SHAPE(5, 6));
    return sw_nn_sinusoidal_position(m);
}
static sw_module *make_attention(sw_model *m) {
    sw_model_set_input_shape(m, SW_SHAPE(5, 6));
    return sw_nn_attention_with_options(m, 6, 3,
                                        &SW_OPTIONS(sw_attention_layer_options, .causal = true, .dropout = 0.25,
                                                    .no_bias = true, .naming = SW_NAMES_GPT2));
}
static sw_module *make_rotary_attention(sw_model *m) {
    sw_model_set_input_shape(m, SW_SHAPE(5, 6));
    return sw_nn_attention_with_options(m, 6, 3,
                                        &SW_OPTIONS(sw_attention_layer_options, .rotary = true, .rotary_base = 500));
}
static sw_module *make_linear_attention(sw_model *m) {
    sw_model_set_input_shape(m, SW_SHAPE(5, 6));
    return sw_nn_linear_attention_with_options(
        m, 6, 3, &SW_OPTIONS(sw_linear_attention_layer_options, .causal = true, .scale = 1.0 / 3, .no_bias = true));
}
static sw_module *make_other_linear_attention(sw_model *m) {
    sw_model_set_input_shape(m, SW_SHAPE(5, 6));
    return sw_nn_linear_attention_with_options(
        m, 6, 2, &SW_OPTIONS(sw_linear_attention_layer_options, .normalized = true, .map = SW_MAP_ELU));
}
static sw_module *make_cross_attention(sw_model *m) {
    const sw_sample_shape shapes[] = {{.rank = 2, .length = {5, 6}}, {.rank = 2, .length = {3, 4}}};
    sw_model_set_input_shapes(m, 2, shapes);
    return sw_nn_attention_with_options(m, 6, 2,
                                        &SW_OPTIONS(sw_attention_layer_options, .cross = true, .context_features = 4));
}
static sw_module *make_plain_cross_attention(sw_model *m) {
    const sw_sample_shape shapes[] = {{.rank = 2, .length = {5, 6}}, {.rank = 2, .length = {3, 6}}};
    sw_model_set_input_shapes(m, 2, shapes);
    return sw_nn_attention_with_options(m, 6, 2, &SW_OPTIONS(sw_attention_layer_options, .cross = true));
}
static sw_module *make_transformer_block(sw_model *m) {
    sw_model_set_input_shape(m, SW_SHAPE(5, 6));
    return sw_nn_transformer_block(m, 6, 3);
}
static sw_module *make_other_transformer_block(sw_model *m) {
    sw_model_set_input_shape(m, SW_SHAPE(5, 6));
    return sw_nn_transformer_block_with_options(m, 6, 2,
                                                &SW_OPTIONS(sw_transformer_block_options, .hidden = 5,
                                                            .post_norm = true, .activation = "swiglu", .dropout = 0.1,
                                                            .causal = true, .no_bias = true, .naming = SW_NAMES_GPT2));
}

static const struct {
    const char *type;
    make_root make;
} layers[] = {
    {"lstm", make_lstm},
    {"gru", make_gru},
    {"linear", make_transposed_linear},
    {"position", make_position},
    {"sinusoidal_position", make_sinusoidal_position},
    {"attention", make_attention},
    {"attention", make_rotary_attention},
    {"linear_attention", make_linear_attention},
    {"linear_attention", make_other_linear_attention},
    {"cross_attention", make_cross_attention},
    {"cross_attention", make_plain_cross_attention},
    {"transformer_block", make_transformer_block},
    {"transformer_block", make_other_transformer_block},
    {"max_pool", make_max_pool},
    {"max_pool", make_max_pool_of_sequences},
    {"avg_pool", make_avg_pool},
    {"avg_pool", make_avg_pool_of_sequences},
    {"adaptive_max_pool", make_adaptive_max_pool},
    {"adaptive_avg_pool", make_adaptive_avg_pool},
    {"global_max_pool", make_global_max_pool},
    {"global_avg_pool", make_global_avg_pool},
    {"conv", make_conv},
    {"conv", make_conv_same},
    {"conv_transposed", make_conv_transposed},
    {"batch_norm", make_batch_norm},
    {"batch_norm", make_cumulative_batch_norm},
    {"batch_norm", make_plain_batch_norm},
    {"batch_norm", make_slow_batch_norm},
    {"layer_norm", make_layer_norm},
    {"layer_norm", make_wide_layer_norm},
    {"rms_norm", make_rms_norm},
    {"group_norm", make_group_norm},
    {"linear", make_linear},
    {"linear", make_linear_no_bias},
    {"embedding", make_embedding},
    {"embedding", make_padded_embedding},
    {"dropout", make_dropout},
    {"leaky_relu", make_leaky},
    {"elu", make_elu},
    {"softmax", make_softmax},
    {"log_softmax", make_log_softmax},
    {"reshape", make_reshape},
    {"reshape", make_scalar_reshape},
    {"residual", make_residual},
    {"basic_block", make_basic_block},
    {"basic_block", make_plain_basic_block},
    {"flatten", sw_nn_flatten},
    {"relu", sw_nn_relu},
    {"tanh", sw_nn_tanh},
    {"sigmoid", sw_nn_sigmoid},
    {"silu", sw_nn_silu},
    {"softplus", sw_nn_softplus},
    {"gelu", sw_nn_gelu},
    {"gelu_tanh", sw_nn_gelu_tanh},
    {"recompute", make_recompute},
    {"sequential", make_segments},
};
enum { LAYERS = sizeof layers / sizeof *layers };

static void test_every_layer_is_restored(void **state) {
    (void)state;
    for (int i = 0; i < LAYERS; i++) {
        sw_model *model = sw_model_new(SW_F64, 3);
        sw_model_set_input_shape(model, 1, (const int64_t[]){6});
        sw_module *layer = layers[i].make(model);
        assert_string_equal(layer->type->name, layers[i].type);
        built(model, layer->type->least_inputs > 1 ? layer : sw_nn_sequential(model, layer));
        char *text = sw_model_description(model);
        expect_no_error();
        sw_model *restored = sw_model_new_from_description(text);
        expect_no_error();
        char *again = sw_model_description(restored);
        assert_string_equal(text, again);
        /* The initial values too, since they depend on seed and names. */
        const sw_params *a = sw_model_params(model), *b = sw_model_params(restored);
        assert_int_equal(sw_params_dim(a), sw_params_dim(b));
        assert_memory_equal(sw_params_x(a), sw_params_x(b), (size_t)sw_params_dim(a) * sizeof(double));
        assert_string_equal(strstr(print_of(model), "total"), strstr(print_of(restored), "total"));
        sw_free(text);
        sw_free(again);
        sw_model_free(model);
        sw_model_free(restored);
    }
}

/* A type of the library that is not in the table above would have no test. */
static void test_every_type_of_the_library_is_tested(void **state) {
    (void)state;
    const sw_module_type *type;
    for (int i = 0; (type = sw_module_type_at(i)) != NULL && strcmp(type->name, "scaled") != 0; i++) {
        bool found = strcmp(type->name, "sequential") == 0;
        for (int k = 0; k < LAYERS; k++)
            found |= strcmp(layers[k].type, type->name) == 0;
        if (!found)
            fail_msg("layer type %s has no test", type->name);
        assert_true(type->save && type->restore);
        assert_ptr_equal(sw_module_type_find(type->name), type);
    }
    assert_null(sw_module_type_find("linaer"));
    assert_null(sw_module_type_find(NULL));
    assert_null(sw_module_type_at(-1));
    assert_null(sw_module_type_at(10000));
}

/* Removes a part of a name: cut("conv2d", "2d") is "conv". */
static void cut(char *name, const char *part) {
    char *at = strstr(name, part);
    if (at)
        memmove(at, at + strlen(part), strlen(at + strlen(part)) + 1);
}

/* Each function that makes a layer, but not those that combine layers by a function or choose one by name. Layers of
 * conv1d and conv2d have one type, and so have pools. */
static int check_functions_of(const char *header) {
    static const char begin[] = "SW_API sw_module *sw_nn_";
    FILE *file = fopen(header, "r"); /* tests run in the top folder */
    char line[512];
    int count = 0;
    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        if (strncmp(line, begin, sizeof begin - 1) != 0)
            continue;
        char *name = line + sizeof begin - 1;
        name[strcspn(name, "(")] = 0;
        if (strncmp(name, "compose", 7) == 0 || strcmp(name, "activation") == 0)
            continue;
        if (strncmp(name, "sequential", 10) == 0)
            name[10] = 0;
        cut(name, "_no_bias");
        cut(name, "_with_options");
        if (strncmp(name, "conv", 4) == 0 || strstr(name, "pool")) {
            cut(name, "1d");
            cut(name, "2d");
        }
        if (!sw_module_type_find(name))
            fail_msg("nn/module_registry.c has no type %s", name);
        count++;
    }
    fclose(file);
    return count;
}

static void test_every_layer_function_has_a_type(void **state) {
    (void)state;
    assert_true(check_functions_of("nn/nn.h") >= 19);
    assert_true(check_functions_of("nn/transformer.h") >= 8);
}

/* ---- A custom type, whose mistakes are set by a test ---- */

typedef enum fault {
    NONE,
    SAVE_FAILS,
    SAVE_FAILS_SILENTLY,
    SAVE_TWICE,
    SAVE_INFINITY,
    SAVE_LATIN,
    SAVE_LATIN_KEY,
    SAVE_NO_KEY,
    SAVE_NO_TEXT,
    RESTORE_FAILS_SILENTLY,
    RESTORE_NULL,
    RESTORE_OTHER_TYPE,
    RESTORE_UNREAD,
    RESTORE_MISSING,
    RESTORE_RANGE,
    RESTORE_KIND_INTEGER,
    RESTORE_KIND_NUMBER,
    RESTORE_KIND_TEXT,
    RESTORE_KIND_LIST,
    RESTORE_LONG_LIST,
    RESTORE_LIST_RANGE,
    RESTORE_NUMBER_RANGE,
    RESTORE_NO_KEY
} fault;
static fault wrong;

static sw_tensor scaled_forward(sw_module *m, sw_tensor x) {
    return sw_scale(x, *(const double *)m->data);
}
static const int64_t list[3] = {3, -1, INT64_MIN};
static sw_status scaled_save(const sw_module *m, sw_description *to) {
    switch (wrong) {
    case SAVE_FAILS: return sw_fail(SW_ERR_USER, "no wish to be saved");
    case SAVE_FAILS_SILENTLY: return SW_ERR_USER;
    case SAVE_TWICE: SW_TRY(sw_description_set_integer(to, "factor", 1)); break;
    case SAVE_INFINITY: return sw_description_set_number(to, "factor", INFINITY);
    case SAVE_LATIN: return sw_description_set_text(to, "text", "caf\xE9");
    case SAVE_LATIN_KEY: return sw_description_set_integer(to, "caf\xE9", 1);
    case SAVE_NO_KEY: return sw_description_set_integer(to, "", 1);
    case SAVE_NO_TEXT: return sw_description_set_text(to, "text", NULL);
    default: break;
    }
    SW_TRY(sw_description_set_number(to, "factor", *(const double *)m->data));
    double factor; /* what is written can be read */
    SW_TRY(sw_description_number(to, "factor", -1e9, 1e9, &factor));
    assert_true(factor == *(const double *)m->data);
    SW_TRY(sw_description_set_integer(to, "whole", INT64_MAX));
    SW_TRY(sw_description_set_text(to, "text", "größe \"1\"\n"));
    SW_TRY(sw_description_set_integers(to, "none", 0, NULL));
    return sw_description_set_integers(to, "list", 3, list);
}
static sw_module *scaled_new(sw_model *model, double factor);
/* Reads all settings, one of them in a wrong way. */
static sw_status scaled_read(const sw_description *from, double *factor) {
    int64_t whole, values[3];
    int count;
    if (wrong == RESTORE_MISSING)
        return sw_description_integer(from, "absent", 0, 1, &whole);
    if (wrong == RESTORE_RANGE)
        return sw_description_integer(from, "whole", -1, 10, &whole);
    if (wrong == RESTORE_KIND_INTEGER)
        return sw_description_integer(from, "factor", 0, 10, &whole);
    if (wrong == RESTORE_KIND_NUMBER)
        return sw_description_number(from, "text", 0, 10, factor);
    if (wrong == RESTORE_KIND_TEXT)
        return sw_description_text(from, "list") ? SW_OK : sw_last_failure();
    if (wrong == RESTORE_KIND_LIST)
        return sw_description_integers(from, "whole", 0, 10, 3, &count, values);
    if (wrong == RESTORE_LONG_LIST)
        return sw_description_integers(from, "list", INT64_MIN, INT64_MAX, 2, &count, values);
    if (wrong == RESTORE_LIST_RANGE)
        return sw_description_integers(from, "list", -1, 10, 3, &count, values);
    if (wrong == RESTORE_NUMBER_RANGE)
        return sw_description_number(from, "factor", 2, 3, factor);
    if (wrong == RESTORE_NO_KEY)
        return sw_description_number(from, NULL, 0, 1, factor);
    SW_TRY(sw_description_integer(from, "whole", INT64_MIN, INT64_MAX, &whole));
    SW_TRY(sw_description_integers(from, "none", 0, 0, 0, &count, NULL));
    assert_int_equal(count, 0);
    SW_TRY(sw_description_integers(from, "list", INT64_MIN, INT64_MAX, 3, &count, values));
    assert_true(whole == INT64_MAX && count == 3 && memcmp(values, list, sizeof list) == 0);
    const char *text = sw_description_text(from, "text");
    assert_string_equal(text, "größe \"1\"\n");
    assert_true(sw_description_has(from, "factor") && !sw_description_has(from, "absent"));
    assert_string_equal(sw_description_type(from), "scaled");
    return wrong == RESTORE_UNREAD ? SW_OK : sw_description_number(from, "factor", -1e9, 1e9, factor);
}
static sw_module *scaled_restore(sw_model *model, const sw_description *from) {
    double factor = 0;
    if (wrong == RESTORE_FAILS_SILENTLY)
        return sw_module_fail(model);
    if (wrong == RESTORE_NULL)
        return NULL;
    if (wrong == RESTORE_OTHER_TYPE)
        return sw_nn_relu(model);
    return scaled_read(from, &factor) == SW_OK ? scaled_new(model, factor) : sw_module_fail(model);
}
static const sw_module_type scaled_type = {.size = sizeof(sw_module_type),
                                           .name = "scaled",
                                           .forward = scaled_forward,
                                           .save = scaled_save,
                                           .restore = scaled_restore};
static sw_module *scaled_new(sw_model *model, double factor) {
    sw_module *m = sw_module_new(model, &scaled_type, sizeof(double));
    if (sw_module_is(m, &scaled_type))
        *(double *)m->data = factor;
    return m;
}

static sw_model *scaled_model(void) {
    sw_model *model = sw_model_new(SW_F32, 1);
    built(model, sw_nn_sequential(model, sw_nn_relu(model), scaled_new(model, 1.0 / 3)));
    return model;
}

static void test_settings_survive_and_mistakes_are_named(void **state) {
    (void)state;
    static const struct {
        fault wrong;
        sw_status status;
        const char *message;
    } cases[] = {
        {SAVE_FAILS, SW_ERR_USER, "layer scaled1: no wish to be saved"},
        {SAVE_FAILS_SILENTLY, SW_ERR_USER, "layer scaled1: save returned status 11 without a message"},
        {SAVE_TWICE, SW_ERR_ARGUMENT, "layer scaled1: setting factor is written twice"},
        {SAVE_INFINITY, SW_ERR_ARGUMENT, "layer scaled1: setting factor is inf; a finite number is needed"},
        {SAVE_LATIN, SW_ERR_ARGUMENT, "layer scaled1: \"caf\xE9\" is not UTF-8"},
        {SAVE_LATIN_KEY, SW_ERR_ARGUMENT, "layer scaled1: \"caf\xE9\" is not UTF-8"},
        {SAVE_NO_KEY, SW_ERR_ARGUMENT, "layer scaled1: description: the key is empty"},
        {SAVE_NO_TEXT, SW_ERR_ARGUMENT, "layer scaled1: description: the value is NULL"},
        {RESTORE_FAILS_SILENTLY, SW_ERR_USER, "layer scaled1: restore failed without a message"},
        {RESTORE_NULL, SW_ERR_USER, "layer scaled1: restore failed without a message"},
        {RESTORE_OTHER_TYPE, SW_ERR_USER, "layer scaled1: restore of type scaled made a layer of type relu"},
        {RESTORE_UNREAD, SW_ERR_FORMAT, "layer scaled1: layers of type scaled have no setting factor"},
        {RESTORE_MISSING, SW_ERR_FORMAT, "layer scaled1: setting absent is missing"},
        {RESTORE_RANGE, SW_ERR_FORMAT, "layer scaled1: setting whole is 9223372036854775807; -1 to 10 are possible"},
        {RESTORE_KIND_INTEGER, SW_ERR_FORMAT, "layer scaled1: setting factor is not a whole number"},
        {RESTORE_KIND_NUMBER, SW_ERR_FORMAT, "layer scaled1: setting text is not a number"},
        {RESTORE_KIND_TEXT, SW_ERR_FORMAT, "layer scaled1: setting list is not a text"},
        {RESTORE_KIND_LIST, SW_ERR_FORMAT, "layer scaled1: setting whole is not a list"},
        {RESTORE_LONG_LIST, SW_ERR_FORMAT, "layer scaled1: setting list has 3 numbers; at most 2 are possible"},
        {RESTORE_LIST_RANGE, SW_ERR_FORMAT,
         "layer scaled1: setting list is -9223372036854775808; -1 to 10 are possible"},
        {RESTORE_NUMBER_RANGE, SW_ERR_FORMAT, "layer scaled1: setting factor is 0.333333; 2 to 3 are possible"},
        {RESTORE_NO_KEY, SW_ERR_ARGUMENT, "layer scaled1: description: the key is NULL"},
    };
    assert_ok(sw_module_type_register(&scaled_type));
    assert_ok(sw_module_type_register(&scaled_type)); /* again is harmless */
    wrong = NONE;
    sw_model *model = scaled_model();
    char *text = sw_model_description(model);
    sw_model *restored = sw_model_new_from_description(text);
    expect_no_error();
    assert_true(*(const double *)sw_model_root(restored)->child[1]->data == 1.0 / 3);
    sw_model_free(restored);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        wrong = cases[i].wrong;
        if (wrong < RESTORE_FAILS_SILENTLY)
            assert_null(sw_model_description(model));
        else
            assert_null(sw_model_new_from_description(text));
        expect_error(cases[i].status, cases[i].message);
    }
    /* A save that fails is an error of sw_model_save too; no file is left. */
    wrong = SAVE_FAILS;
    assert_int_equal(sw_model_save(model, path_of("none")), SW_ERR_USER);
    expect_error(SW_ERR_USER, "layer scaled1: no wish to be saved");
    assert_int_equal(count_entries(folder), 0);
    wrong = NONE;
    sw_free(text);
    sw_model_free(model);
}

/* ---- What cannot be described ---- */

static sw_tensor child_forward(sw_module *self, sw_tensor x) {
    return sw_forward(sw_module_child(self, 0), x);
}
static const sw_module_type unregistered_type = {.size = sizeof(sw_module_type),
                                                 .name = "unregistered",
                                                 .forward = scaled_forward,
                                                 .save = scaled_save,
                                                 .restore = scaled_restore};
static const sw_module_type second_linear_type = {.size = sizeof(sw_module_type),
                                                  .name = "linear",
                                                  .forward = as_it_is,
                                                  .save = scaled_save,
                                                  .restore = scaled_restore};

static sw_module *make_composed(sw_model *m) {
    sw_model_set_input_shape(m, 1, (const int64_t[]){6});
    return sw_nn_sequential(m, sw_nn_compose(m, "block", child_forward, sw_nn_linear(m, 0, 6)));
}
static sw_module *make_composed_linear(sw_model *m) { /* a kind with the name of a built-in type */
    sw_model_set_input_shape(m, 1, (const int64_t[]){6});
    return sw_nn_compose(m, "linear", child_forward, sw_nn_linear(m, 0, 6));
}
static sw_module *make_unregistered(sw_model *m) {
    return sw_module_new(m, &unregistered_type, sizeof(double));
}
static sw_module *make_second_linear(sw_model *m) {
    return sw_module_new(m, &second_linear_type, 0);
}
static sw_module *make_deep(sw_model *m) {
    sw_module *at = sw_nn_relu(m);
    for (int i = 0; i < 64; i++)
        at = sw_nn_sequential(m, at);
    return at;
}

static void test_network_that_cannot_be_described_is_named(void **state) {
    (void)state;
    static const struct {
        make_root make;
        const char *reason;
    } cases[] = {
        {make_composed,
         "layer block1: layers of type block cannot be described, because the type has no function save"},
        {make_composed_linear,
         "layer linear1: layers of type linear cannot be described, because the type has no function save"},
        {make_unregistered, "layer unregistered1: layers of type unregistered cannot be described, because the type is "
                            "not registered (sw_module_type_register)"},
        {make_second_linear,
         "layer linear1: layers of type linear cannot be described, because another type of this name "
         "is registered (sw_module_type_register)"},
        {make_deep, "layers are nested more than 64 deep"},
    };
    const char *path = path_of("parameters.safetensors");
    char text[PATH_SIZE + 1000];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sw_model *model = sw_model_new(SW_F32, 1);
        built(model, cases[i].make(model));
        assert_null(sw_model_description(model));
        snprintf(text, sizeof text, "model_description: %s", cases[i].reason);
        expect_error(SW_ERR_STATE, text);
        /* The parameters are saved nevertheless, and a model that the program makes loads them. */
        assert_ok(sw_model_save(model, path));
        assert_ok(sw_model_load(model, path));
        assert_null(sw_model_new_from_file(path));
        snprintf(text, sizeof text, "%s: contains no network, only parameters: %s", path, cases[i].reason);
        expect_error(SW_ERR_FORMAT, text);
        sw_model_free(model);
    }
    remove_file(path);
}

static void test_wrong_calls_are_refused(void **state) {
    (void)state;
    const char *path = path_of("parameters.safetensors");
    char text[PATH_SIZE + 100];
    sw_model *model = sw_model_new(SW_F32, 1);
    assert_null(sw_model_description(NULL));
    expect_error(SW_ERR_STATE, "model_description: the model is NULL");
    assert_null(sw_model_description(model));
    expect_error(SW_ERR_STATE, "model_description: the model is not built");
    assert_null(sw_model_new_from_description(NULL));
    expect_error(SW_ERR_ARGUMENT, "model_new_from_description: the text is NULL");
    assert_null(sw_model_new_from_file(NULL));
    expect_error(SW_ERR_ARGUMENT, "archive: the path is NULL");
    assert_int_equal(sw_description_set_integer(NULL, "key", 1), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "description: the description is NULL");
    assert_true(!sw_description_has(NULL, "key") && !sw_description_type(NULL) && !sw_description_layers(NULL, NULL));
    sw_params *p = built(model, sw_nn_linear(model, 2, 2));
    assert_ok(sw_params_save(p, path)); /* without a description */
    assert_null(sw_model_new_from_file(path));
    snprintf(text, sizeof text, "%s: contains no network, only parameters", path);
    expect_error(SW_ERR_FORMAT, text);
    sw_model_free(model);
    remove_file(path);
}

/* A name that no file can contain is reported as such, and not as missing memory. */
static void test_names_that_are_not_text_are_refused(void **state) {
    (void)state;
    for (int inside = 0; inside < 2; inside++) {
        sw_model *model = sw_model_new(SW_F32, 1);
        sw_module *layer = inside ? sw_nn_relu(model) : sw_nn_linear(model, 2, 2); /* of a layer, of parameters */
        built(model, sw_module_set_name(layer, "a\xFF"));
        assert_null(sw_model_description(model));
        expect_error(SW_ERR_ARGUMENT, inside ? "\"a\xFF\" is not UTF-8" : "\"a\xFF.weight\" is not UTF-8");
        sw_model_free(model);
    }
}

static void test_registration_refuses_incomplete_types(void **state) {
    (void)state;
    static const sw_module_type no_name = {.size = sizeof(sw_module_type), .save = scaled_save},
                                no_save = {.size = sizeof(sw_module_type), .name = "odd", .restore = scaled_restore},
                                no_restore = {.size = sizeof(sw_module_type), .name = "odd", .save = scaled_save},
                                earlier = {.size = offsetof(sw_module_type, save),
                                           .name = "odd",
                                           .save = scaled_save,
                                           .restore = scaled_restore};
    static const sw_module_type *const incomplete[] = {&no_save, &no_restore, &earlier};
    assert_int_equal(sw_module_type_register(NULL), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "register: the layer type has no name");
    assert_int_equal(sw_module_type_register(&no_name), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "register: the layer type has no name");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(sw_module_type_register(incomplete[i]), SW_ERR_ARGUMENT);
        expect_error(SW_ERR_ARGUMENT, "register: layer type odd needs the functions save and restore, and its size");
    }
    assert_int_equal(sw_module_type_register(&second_linear_type), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "register: the name linear is taken by another layer type");
}

/* ---- Numbers in another locale ---- */

static void test_description_is_the_same_in_every_locale(void **state) {
    (void)state;
    sw_model *model = scaled_model();
    char *plain = sw_model_description(model);
    assert_int_equal(comma_begin(NULL), 0);
    char *comma = sw_model_description(model);
    sw_model *restored = sw_model_new_from_description(plain);
    assert_int_equal(comma_end(NULL), 0);
    expect_no_error();
    assert_string_equal(plain, comma);
    assert_true(*(const double *)sw_model_root(restored)->child[1]->data == 1.0 / 3);
    sw_free(plain);
    sw_free(comma);
    sw_model_free(restored);
    sw_model_free(model);
}

/* ---- Every allocation fails in turn ---- */

static sw_model *model_in_memory(void) {
    sw_model *model = sw_model_new(SW_F32, 1);
    sw_module *first = sw_nn_linear(model, 3, 3),
              *root = sw_nn_sequential(model, first, sw_nn_residual(model, sw_nn_tanh(model)),
                                       sw_module_tie(sw_nn_linear_no_bias(model, 3, 3), first), scaled_new(model, 0.5));
    sw_model_build(model, root);
    return model;
}

static bool save_it(const char *path) {
    sw_model *model = model_in_memory();
    const bool good = sw_model_params(model) && sw_model_save(model, path) == SW_OK;
    sw_model_free(model);
    return good;
}

static bool restore_it(const char *path) {
    sw_model *model = sw_model_new_from_file(path);
    sw_model_free(model);
    return model != NULL;
}

static void fail_in_turn(test_allocator *a, bool (*act)(const char *path), const char *path, long long least) {
    test_allocator_fail(a, 0, false);
    assert_true(act(path));
    const long long requests = atomic_load(&a->calls);
    assert_true(requests > least);
    for (int for_good = 0; for_good < 2; for_good++)
        for (long long k = 1; k <= requests; k++) {
            test_allocator_fail(a, k, for_good != 0);
            const bool good = act(path);
            test_allocator_fail(a, 0, false);
            if (good || sw_error_status() != SW_ERR_MEMORY)
                fail_msg("request %lld of %lld: %s", k, requests, sw_error() ? sw_error() : "no message");
            sw_clear_error();
            assert_int_equal(atomic_load(&a->live), 0);
        }
}

/* The requests of jansson fail too while a model is saved. While one is read they do not: jansson 2.14 writes beyond a
 * long token for which it finds no memory. */
static void test_saving_and_restoring_survive_every_failed_allocation(void **state) {
    (void)state;
    const char *path = path_of("memory.safetensors");
    test_allocator a;
    wrong = NONE;
    test_all_memory(&a);
    fail_in_turn(&a, save_it, path, 300);
    test_all_memory(NULL);
    test_allocator_install(&a);
    fail_in_turn(&a, restore_it, path, 60);
    sw_set_allocator(NULL);
    remove_file(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_description_is_this_text),
        TEST(test_every_layer_is_restored),
        TEST(test_every_type_of_the_library_is_tested),
        TEST(test_every_layer_function_has_a_type),
        TEST(test_settings_survive_and_mistakes_are_named),
        TEST(test_network_that_cannot_be_described_is_named),
        TEST(test_wrong_calls_are_refused),
        TEST(test_names_that_are_not_text_are_refused),
        TEST(test_registration_refuses_incomplete_types),
        TEST(test_description_is_the_same_in_every_locale),
        TEST(test_saving_and_restoring_survive_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
