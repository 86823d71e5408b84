/* Layers of transformers: positions, attention with padding and with a context, blocks; dropout by samples; names of
 * parameters; states; mistakes; allocations. test_torch_layers.c compares their numbers with PyTorch's, and
 * nn/test_generate.c sequences in parts with whole ones. */
#include "nn/helpers.h"

enum { BATCH = 3, TIME = 5, FEATURES = 6, HEADS = 2, KEYS = 4 };

static sw_array numbers(sw_dtype type, int64_t batch, int64_t time, int64_t features, uint64_t seed) {
    return test_filled(type, SW_SHAPE(batch, time, features), -1, 1, seed);
}

static void fill(sw_params *p) {
    for (int i = 0; i < sw_params_count(p); i++) {
        const sw_array a = sw_param_value(sw_params_at(p, i));
        test_fill(&a, -1, 1, (uint64_t)i + 1);
    }
    sw_params_mark_changed(p);
}

static sw_model *model_of(sw_dtype type, make_root make) {
    sw_model *model = sw_model_new(type, 7);
    fill(built(model, make(model)));
    return model;
}

static sw_tape *evaluation_tape(void) {
    sw_tape *tape = sw_tape_new();
    sw_tape_set_switch(tape, SW_TRAIN, false);
    return tape;
}

/* ---- Attention: a context, and padding ---- */

static sw_module *self_root(sw_model *m) {
    return sw_nn_attention(m, FEATURES, HEADS);
}
static sw_module *cross_root(sw_model *m) {
    return sw_nn_attention_with_options(m, FEATURES, HEADS, &SW_OPTIONS(sw_attention_layer_options, .cross = true));
}
static sw_module *other_cross_root(sw_model *m) {
    return sw_nn_attention_with_options(m, FEATURES, HEADS,
                                        &SW_OPTIONS(sw_attention_layer_options, .cross = true, .context_features = 3));
}
static sw_module *block_root(sw_model *m) {
    return sw_nn_transformer_block_with_options(m, FEATURES, HEADS,
                                                &SW_OPTIONS(sw_transformer_block_options, .hidden = 4));
}

/* Attention to itself as a context is self-attention. 40 roundings of sums of up to 6 terms of size 10. */
static void test_context_of_itself_is_self_attention(void **state) {
    (void)state;
    sw_array x = numbers(SW_F64, BATCH, TIME, FEATURES, 3);
    sw_model *self = model_of(SW_F64, self_root), *cross = model_of(SW_F64, cross_root);
    sw_tape *tape = evaluation_tape();
    const sw_tensor in = sw_input(tape, x), both[] = {in, in};
    const sw_array expected = sw_value(sw_forward(sw_model_root(self), in)),
                   own = sw_value(sw_forward_many(sw_model_root(cross), 2, both));
    expect_no_error();
    for (int64_t i = 0; i < sw_array_count(&own); i++)
        assert_true(fabs(test_get(&own, i) - test_get(&expected, i)) <= 40 * 0x1p-53 * 10);
    sw_tape_free(tape), sw_model_free(self), sw_model_free(cross);
    test_array_free(&x);
}

/* The gradients of all inputs and parameters of cross-attention, by differences. */
static double cross_loss(sw_module *root, const sw_array *x, const sw_array *context, const sw_array *cotangent,
                         bool backward, sw_array *gradients) {
    sw_tape *tape = evaluation_tape();
    const sw_tensor in[] = {sw_variable(tape, *x), sw_variable(tape, *context)};
    const sw_tensor y = sw_forward_many(root, 2, in);
    const sw_array value = sw_value(y);
    expect_no_error();
    double loss = 0;
    for (int64_t i = 0; i < sw_array_count(&value); i++)
        loss += test_get(&value, i) * test_get(cotangent, i);
    if (backward) {
        assert_ok(sw_backward_from(y, *cotangent));
        for (int k = 0; k < 2; k++) {
            const sw_array g = sw_grad(in[k]);
            memcpy(gradients[k].data, g.data, test_bytes(&g));
        }
    }
    sw_tape_free(tape);
    return loss;
}

/* As check_slope in nn/helpers.h: steps of 1e-6. */
static void expect_slope(double analytic, double up, double down) {
    const double numeric = (up - down) / 2e-6;
    if (!(fabs(numeric - analytic) <= 1e-7 + 1e-6 * fabs(numeric)))
        fail_msg("gradient %.9g, by differences %.9g", analytic, numeric);
}

static void test_cross_attention_has_these_gradients(void **state) {
    (void)state;
    const make_root roots[] = {cross_root, other_cross_root};
    for (int k = 0; k < 2; k++) {
        sw_model *model = model_of(SW_F64, roots[k]);
        sw_module *root = sw_model_root(model);
        sw_params *p = sw_model_params(model);
        sw_array in[2] = {numbers(SW_F64, 2, TIME, FEATURES, 3), numbers(SW_F64, 2, KEYS, k ? 3 : FEATURES, 4)},
                 cotangent = numbers(SW_F64, 2, TIME, FEATURES, 5),
                 gradients[2] = {test_array(SW_F64, 3, in[0].shape), test_array(SW_F64, 3, in[1].shape)};
        cross_loss(root, &in[0], &in[1], &cotangent, true, gradients);
        double *g = sw_gradient_data(sw_params_gradient(p)), *x = sw_params_x(p);
        for (int64_t i = 0; i < sw_params_dim(p); i++) {
            const double keep = x[i];
            x[i] = keep + 1e-6;
            const double up = cross_loss(root, &in[0], &in[1], &cotangent, false, NULL);
            x[i] = keep - 1e-6;
            const double down = cross_loss(root, &in[0], &in[1], &cotangent, false, NULL);
            x[i] = keep;
            expect_slope(g[i], up, down);
        }
        for (int input = 0; input < 2; input++)
            for (int64_t i = 0; i < sw_array_count(&in[input]); i++) {
                const double keep = test_get(&in[input], i);
                test_set(&in[input], i, keep + 1e-6);
                const double up = cross_loss(root, &in[0], &in[1], &cotangent, false, NULL);
                test_set(&in[input], i, keep - 1e-6);
                const double down = cross_loss(root, &in[0], &in[1], &cotangent, false, NULL);
                test_set(&in[input], i, keep);
                expect_slope(test_get(&gradients[input], i), up, down);
            }
        for (int i = 0; i < 2; i++)
            test_array_free(&in[i]), test_array_free(&gradients[i]);
        test_array_free(&cotangent);
        sw_model_free(model);
    }
}

/* A sequence has the same results alone and padded in a batch, up to the order of additions. */
static void test_padding_is_not_seen(void **state) {
    (void)state;
    const make_root roots[] = {self_root, block_root, cross_root};
    for (int k = 0; k < 3; k++) {
        sw_model *model = model_of(SW_F64, roots[k]);
        const bool cross = k == 2;
        sw_array x = numbers(SW_F64, BATCH, TIME, FEATURES, 3), context = numbers(SW_F64, BATCH, TIME, FEATURES, 4),
                 padding = test_array(SW_U8, SW_SHAPE(BATCH, TIME));
        for (int64_t b = 0; b < BATCH; b++) /* lengths 3, 4 and 5 */
            for (int64_t t = 3 + b; t < TIME; t++)
                test_set(&padding, b * TIME + t, 1);
        sw_tape *tape = evaluation_tape();
        sw_tensor in[3] = {sw_input(tape, x)};
        int count = 1;
        if (cross)
            in[count++] = sw_input(tape, context);
        in[count++] = sw_input(tape, padding);
        const sw_array whole = sw_value(sw_forward_many(sw_model_root(model), count, in));
        expect_no_error();
        for (int64_t b = 0; b < BATCH; b++) {
            const int64_t length = 3 + b, queries = cross ? TIME : length;
            sw_array one = x, part = context;
            one.shape[0] = part.shape[0] = 1;
            one.shape[1] = queries, part.shape[1] = length;
            one.data = (double *)x.data + b * TIME * FEATURES;
            part.data = (double *)context.data + b * TIME * FEATURES;
            const sw_tensor alone[2] = {sw_input(tape, one), sw_input(tape, part)};
            const sw_array y = sw_value(sw_forward_many(sw_model_root(model), cross ? 2 : 1, alone));
            expect_no_error();
            for (int64_t i = 0; i < queries * FEATURES; i++) /* sums of up to 6 terms, numbers up to 20 */
                assert_true(fabs(test_get(&y, i) - test_get(&whole, b * TIME * FEATURES + i)) <= 100 * 0x1p-53 * 20);
        }
        sw_tape_free(tape), sw_model_free(model);
        test_array_free(&x), test_array_free(&context), test_array_free(&padding);
    }
}

/* ---- Dropout ---- */

static sw_module *dropout_root(sw_model *m) {
    return sw_nn_transformer_block_with_options(m, FEATURES, HEADS,
                                                &SW_OPTIONS(sw_transformer_block_options, .dropout = 0.5));
}

/* The masks of a sample depend on its id, and not on its batch. */
static void test_dropout_does_not_depend_on_the_batch(void **state) {
    (void)state;
    sw_model *model = model_of(SW_F64, dropout_root);
    sw_array x = numbers(SW_F64, BATCH, TIME, FEATURES, 3);
    const int64_t ids[BATCH] = {10, 11, 12}, reversed[BATCH] = {12, 11, 10};
    sw_array back = numbers(SW_F64, BATCH, TIME, FEATURES, 3);
    const size_t bytes = TIME * FEATURES * sizeof(double);
    for (int b = 0; b < BATCH; b++)
        memcpy((char *)back.data + (size_t)b * bytes, (char *)x.data + (size_t)(BATCH - 1 - b) * bytes, bytes);
    sw_tape *tape = sw_tape_new(), *other = sw_tape_new();
    assert_ok(sw_tape_set_sample_ids(tape, ids, BATCH));
    assert_ok(sw_tape_set_sample_ids(other, reversed, BATCH));
    const sw_array y = sw_value(sw_forward(sw_model_root(model), sw_input(tape, x))),
                   z = sw_value(sw_forward(sw_model_root(model), sw_input(other, back)));
    expect_no_error();
    double change = 0;
    for (int64_t b = 0; b < BATCH; b++)
        for (int64_t i = 0; i < TIME * FEATURES; i++) /* the order of additions may differ */
            assert_true(fabs(test_get(&y, b * TIME * FEATURES + i) -
                             test_get(&z, (BATCH - 1 - b) * TIME * FEATURES + i)) <= 100 * 0x1p-53 * 50);
    sw_tape_reset(tape);
    sw_tape_set_draw(tape, 99);
    assert_ok(sw_tape_set_sample_ids(tape, ids, BATCH));
    const sw_array again = sw_value(sw_forward(sw_model_root(model), sw_input(tape, x)));
    sw_tape_set_switch(other, SW_TRAIN, false);
    const sw_array plain = sw_value(sw_forward(sw_model_root(model), sw_input(other, x)));
    for (int64_t i = 0; i < sw_array_count(&again); i++)
        change += fabs(test_get(&again, i) - test_get(&plain, i));
    assert_true(change > 1); /* dropout is active */
    sw_tape_free(tape), sw_tape_free(other), sw_model_free(model);
    test_array_free(&x), test_array_free(&back);
}

/* ---- Names ---- */

static void expect_names(make_root make, const char *const *names) {
    sw_model *model = sw_model_new(SW_F32, 1);
    sw_params *p = built(model, make(model));
    int i = 0;
    for (; names[i]; i++)
        assert_string_equal(sw_params_at(p, i)->name, names[i]);
    assert_int_equal(i, sw_params_count(p));
    sw_model_free(model);
}

static sw_module *gpt2_root(sw_model *m) {
    return sw_nn_transformer_block_with_options(
        m, FEATURES, HEADS, &SW_OPTIONS(sw_transformer_block_options, .no_bias = true, .naming = SW_NAMES_GPT2));
}

static void test_parameters_have_these_names(void **state) {
    (void)state;
    static const char *const other_cross[] = {"cross_attention1.q_proj_weight",
                                              "cross_attention1.k_proj_weight",
                                              "cross_attention1.v_proj_weight",
                                              "cross_attention1.in_proj_bias",
                                              "cross_attention1.out_proj.weight",
                                              "cross_attention1.out_proj.bias",
                                              NULL};
    static const char *const block[] = {"transformer_block1.self_attn.in_proj_weight",
                                        "transformer_block1.self_attn.in_proj_bias",
                                        "transformer_block1.self_attn.out_proj.weight",
                                        "transformer_block1.self_attn.out_proj.bias",
                                        "transformer_block1.linear1.weight",
                                        "transformer_block1.linear1.bias",
                                        "transformer_block1.linear2.weight",
                                        "transformer_block1.linear2.bias",
                                        "transformer_block1.norm1.weight",
                                        "transformer_block1.norm1.bias",
                                        "transformer_block1.norm2.weight",
                                        "transformer_block1.norm2.bias",
                                        NULL};
    static const char *const gpt2[] = {"transformer_block1.ln_1.weight",
                                       "transformer_block1.attn.c_attn.weight",
                                       "transformer_block1.attn.c_proj.weight",
                                       "transformer_block1.ln_2.weight",
                                       "transformer_block1.mlp.c_fc.weight",
                                       "transformer_block1.mlp.c_proj.weight",
                                       NULL};
    expect_names(other_cross_root, other_cross);
    expect_names(block_root, block);
    expect_names(gpt2_root, gpt2);
}

/* ---- Mistakes ---- */

static sw_module *uneven_heads(sw_model *m) {
    return sw_nn_attention(m, 6, 4);
}
static sw_module *certain_dropout(sw_model *m) {
    return sw_nn_attention_with_options(m, 6, 2, &SW_OPTIONS(sw_attention_layer_options, .dropout = 1));
}
static sw_module *causal_cross(sw_model *m) {
    return sw_nn_attention_with_options(m, 6, 2,
                                        &SW_OPTIONS(sw_attention_layer_options, .cross = true, .causal = true));
}
static sw_module *gpt2_cross(sw_model *m) {
    return sw_nn_attention_with_options(
        m, 6, 2, &SW_OPTIONS(sw_attention_layer_options, .cross = true, .naming = SW_NAMES_GPT2));
}
static sw_module *context_of_self(sw_model *m) {
    return sw_nn_attention_with_options(m, 6, 2, &SW_OPTIONS(sw_attention_layer_options, .context_features = 3));
}
static sw_module *no_naming(sw_model *m) {
    return sw_nn_attention_with_options(m, 6, 2, &SW_OPTIONS(sw_attention_layer_options, .naming = (sw_naming)7));
}
static sw_module *vectors(sw_model *m) {
    sw_model_set_input_shape(m, SW_SHAPE(6));
    return sw_nn_attention(m, 6, 2);
}
static sw_module *other_features(sw_model *m) {
    sw_model_set_input_shape(m, SW_SHAPE(3, 5));
    return sw_nn_attention(m, 6, 2);
}
static sw_module *other_context(sw_model *m) {
    const sw_sample_shape shapes[] = {{.rank = 2, .length = {5, 6}}, {.rank = 2, .length = {3, 4}}};
    sw_model_set_input_shapes(m, 2, shapes);
    return cross_root(m);
}
static sw_module *other_mask(sw_model *m) {
    const sw_sample_shape shapes[] = {{.rank = 2, .length = {5, 6}}, {.rank = 2, .length = {5, 5}}};
    sw_model_set_input_shapes(m, 2, shapes);
    return self_root(m);
}
static sw_module *no_positions(sw_model *m) {
    return sw_nn_position(m, 0, 6);
}
static sw_module *unknown_features(sw_model *m) {
    return sw_nn_position(m, 5, 0);
}
static sw_module *few_positions(sw_model *m) {
    sw_model_set_input_shape(m, SW_SHAPE(6, 4));
    return sw_nn_position(m, 5, 4);
}
static sw_module *sinusoidal_vectors(sw_model *m) {
    sw_model_set_input_shape(m, SW_SHAPE(6));
    return sw_nn_sinusoidal_position(m);
}
static sw_module *block_activation(sw_model *m) {
    return sw_nn_transformer_block_with_options(m, 6, 2,
                                                &SW_OPTIONS(sw_transformer_block_options, .activation = "rely"));
}
static sw_module *block_dropout(sw_model *m) {
    return sw_nn_transformer_block_with_options(m, 6, 2, &SW_OPTIONS(sw_transformer_block_options, .dropout = -0.1));
}
static sw_module *block_heads(sw_model *m) {
    return sw_nn_transformer_block(m, 6, 4);
}
static sw_module *block_naming(sw_model *m) {
    return sw_nn_transformer_block_with_options(m, 6, 2,
                                                &SW_OPTIONS(sw_transformer_block_options, .naming = (sw_naming)2));
}

static sw_module *rotary_cross(sw_model *m) {
    return sw_nn_attention_with_options(m, 6, 3,
                                        &SW_OPTIONS(sw_attention_layer_options, .cross = true, .rotary = true));
}
static sw_module *odd_rotary(sw_model *m) {
    return sw_nn_attention_with_options(m, 6, 2, &SW_OPTIONS(sw_attention_layer_options, .rotary = true));
}
static sw_module *small_base(sw_model *m) {
    return sw_nn_attention_with_options(m, 6, 3,
                                        &SW_OPTIONS(sw_attention_layer_options, .rotary = true, .rotary_base = 0.5));
}
static sw_module *linear_heads(sw_model *m) {
    return sw_nn_linear_attention(m, 6, 4);
}
static sw_module *linear_scale(sw_model *m) {
    return sw_nn_linear_attention_with_options(m, 6, 2,
                                               &SW_OPTIONS(sw_linear_attention_layer_options, .scale = INFINITY));
}
static sw_module *linear_normalized(sw_model *m) {
    return sw_nn_linear_attention_with_options(m, 6, 2,
                                               &SW_OPTIONS(sw_linear_attention_layer_options, .normalized = true));
}

static void test_wrong_arguments_are_refused(void **state) {
    (void)state;
    refused(rotary_cross, SW_ERR_ARGUMENT, "attention: cross-attention has no rotary positions");
    refused(odd_rotary, SW_ERR_ARGUMENT,
            "attention: rotary positions of heads with 3 features; an even number is needed");
    refused(small_base, SW_ERR_ARGUMENT, "attention: rotary base 0.5; 1 or more, or 0 (10000), is needed");
    refused(linear_heads, SW_ERR_ARGUMENT, "attention: 6 features and 4 heads; a multiple of the heads is needed");
    refused(linear_scale, SW_ERR_ARGUMENT,
            "linear_attention: scale inf, map 0; a finite scale and a map are needed, and for normalized results "
            "SW_MAP_ELU and no scale");
    refused(linear_normalized, SW_ERR_ARGUMENT,
            "linear_attention: scale 0, map 0, normalized; a finite scale and a map are needed, and for normalized "
            "results SW_MAP_ELU and no scale");
    const char *const multiple = "attention: 6 features and 4 heads; a multiple of the heads is needed";
    refused(uneven_heads, SW_ERR_ARGUMENT, multiple);
    refused(certain_dropout, SW_ERR_ARGUMENT, "attention: dropout 1 is outside [0, 1)");
    refused(causal_cross, SW_ERR_ARGUMENT, "attention: cross-attention cannot be causal");
    refused(gpt2_cross, SW_ERR_ARGUMENT, "attention: cross-attention has no names of GPT-2");
    refused(context_of_self, SW_ERR_ARGUMENT, "attention: 3 context features; only cross-attention has them");
    refused(no_naming, SW_ERR_ARGUMENT, "attention: 7 is not a naming");
    refused(vectors, SW_ERR_SHAPE, "layer attention1: samples [6]; sequences [time, features] are needed");
    refused(other_features, SW_ERR_SHAPE, "layer attention1: takes 6 features, but its input has 5");
    refused(other_context, SW_ERR_SHAPE, "layer cross_attention1: takes 6 features, but its input has 4");
    refused(other_mask, SW_ERR_SHAPE, "layer attention1: samples [5,5] of the key padding mask; [keys] is needed");
    refused(no_positions, SW_ERR_ARGUMENT,
            "position: 0 positions of 6 features; 1 to 2^31 - 1 positions of 0 (open) to 2^31 - 1 features are needed");
    refused(unknown_features, SW_ERR_SHAPE,
            "layer position1: the number of features is not known; give it, or sw_model_set_input_shape");
    refused(few_positions, SW_ERR_SHAPE, "layer position1: samples of 6 positions; it has 5");
    refused(sinusoidal_vectors, SW_ERR_SHAPE, "layer sinusoidal_position1: samples [6]; [time, features] is needed");
    refused(block_activation, SW_ERR_ARGUMENT, "transformer_block: there is no activation rely, did you mean relu?");
    refused(block_dropout, SW_ERR_ARGUMENT, "transformer_block: dropout -0.1 is outside [0, 1)");
    refused(block_heads, SW_ERR_ARGUMENT, multiple);
    refused(block_naming, SW_ERR_ARGUMENT, "transformer_block: 2 is not a naming");
    assert_null(sw_nn_sinusoidal_position(NULL));
    expect_error(SW_ERR_ARGUMENT, "sinusoidal_position: the model is NULL");
}

static sw_module *linear_root(sw_model *m) {
    return sw_nn_linear_attention(m, FEATURES, HEADS);
}
static sw_module *causal_root(sw_model *m) {
    return sw_nn_attention_with_options(m, FEATURES, HEADS, &SW_OPTIONS(sw_attention_layer_options, .causal = true));
}
static sw_module *position_root(sw_model *m) {
    return sw_nn_position(m, 6, FEATURES);
}

/* Attention that sees later positions, and padding, cannot continue a sequence. */
static void test_states_that_do_not_fit_are_refused(void **state) {
    (void)state;
    sw_array x = numbers(SW_F32, 1, TIME, FEATURES, 3), padding = test_array(SW_U8, SW_SHAPE(1, TIME));
    sw_model *all = model_of(SW_F32, self_root), *causal = model_of(SW_F32, causal_root),
             *position = model_of(SW_F32, position_root), *linear = model_of(SW_F32, linear_root);
    sw_state *memory = sw_state_new();
    sw_tape *tape = evaluation_tape();
    sw_tape_set_switch(tape, SW_RECORD, false);
    assert_ok(sw_tape_set_state(tape, memory));
    const sw_tensor in[] = {sw_input(tape, x), sw_input(tape, padding)};
    assert_true(sw_is_null(sw_forward(sw_model_root(all), in[0])));
    expect_error(SW_ERR_STATE, "layer attention1: is not causal, and the tape has a state");
    sw_state_reset(memory);
    assert_true(sw_is_null(sw_forward_many(sw_model_root(causal), 2, in)));
    expect_error(SW_ERR_STATE, "layer attention1: has a key padding mask, and the tape has a state");
    sw_state_reset(memory);
    assert_true(sw_is_null(sw_forward(sw_model_root(linear), in[0])));
    expect_error(SW_ERR_STATE, "layer linear_attention1: is not causal, and the tape has a state");
    sw_state_reset(memory);
    assert_false(sw_is_null(sw_forward(sw_model_root(position), in[0])));
    assert_true(sw_is_null(sw_forward(sw_model_root(position), in[0])));
    expect_error(SW_ERR_SHAPE, "layer position1: the positions 5 to 9 are needed; it has 0 to 5 (crop the sequence)");
    assert_ok(sw_tape_set_state(tape, NULL));
    assert_true(sw_is_null(sw_forward(sw_model_root(position), sw_empty(tape, SW_F32, SW_SHAPE(2, FEATURES)))));
    expect_error(SW_ERR_SHAPE, "layer position1: the input is [2,6]; [batch, time, features] is needed");
    assert_true(sw_is_null(sw_forward(sw_model_root(position), sw_empty(tape, SW_I32, SW_SHAPE(2, 3, FEATURES)))));
    expect_error(SW_ERR_TYPE, "layer position1: the input is i32; a floating-point type is needed");
    sw_tape_free(tape), sw_state_free(memory);
    sw_model_free(all), sw_model_free(causal), sw_model_free(position), sw_model_free(linear);
    test_array_free(&x), test_array_free(&padding);
}

/* ---- Allocations ---- */

static sw_module *every_root(sw_model *m) {
    const sw_transformer_block_options post = SW_OPTIONS(sw_transformer_block_options, .post_norm = true,
                                                         .activation = "swiglu", .dropout = 0.1, .causal = true);
    return sw_nn_sequential(m, sw_nn_position(m, 9, FEATURES), sw_nn_sinusoidal_position(m),
                            sw_nn_transformer_block_with_options(m, FEATURES, HEADS, &post));
}

static bool make_and_train(const void *user) {
    const sw_array *x = user;
    sw_model *model = sw_model_new(SW_F32, 1);
    sw_module *root = model ? every_root(model) : NULL;
    bool good = root && sw_model_build(model, root);
    sw_tape *tape = good ? sw_tape_new() : NULL;
    if (tape)
        good = sw_backward(sw_sum(sw_forward(root, sw_input(tape, *x)))) == SW_OK;
    good = good && tape;
    sw_tape_free(tape), sw_model_free(model);
    return good;
}

static void test_every_allocation_may_fail(void **state) {
    (void)state;
    sw_array x = numbers(SW_F32, 1, TIME, FEATURES, 3);
    expect_failed_allocations(make_and_train, &x, 50);
    test_array_free(&x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_context_of_itself_is_self_attention),
        TEST(test_cross_attention_has_these_gradients),
        TEST(test_padding_is_not_seen),
        TEST(test_dropout_does_not_depend_on_the_batch),
        TEST(test_parameters_have_these_names),
        TEST(test_wrong_arguments_are_refused),
        TEST(test_states_that_do_not_fit_are_refused),
        TEST(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests_name("transformer", tests, NULL, NULL);
}
