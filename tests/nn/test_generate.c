/* Generation: the state and the plain computation give equal logits and equal texts, those of the package transformers
 * too; causality; the draw of an id; networks of other kinds; mistakes and memory. */
#include "helpers.h"

#include "golden/gpt2.h"
#include "nn/draw_id.h"

enum { VOCABULARY = 11, LENGTH = 9, BATCH = 2 };

static sw_module *gpt_root(sw_model *m) {
    return sw_nn_gpt(m, &SW_OPTIONS(sw_gpt_options, .vocabulary = VOCABULARY, .length = LENGTH, .layers = 2, .heads = 2,
                                    .width = 8, .dropout = 0.2));
}

/* Other kinds of blocks, and positions without a limit. */
static sw_module *mixed_root(sw_model *m) {
    const sw_transformer_block_options post =
        SW_OPTIONS(sw_transformer_block_options, .causal = true, .post_norm = true, .activation = "swiglu");
    const sw_transformer_block_options pre =
        SW_OPTIONS(sw_transformer_block_options, .causal = true, .activation = "relu2", .no_bias = true);
    return sw_nn_sequential(m, sw_nn_embedding(m, VOCABULARY, 8), sw_nn_sinusoidal_position(m),
                            sw_nn_transformer_block_with_options(m, 8, 4, &post),
                            sw_nn_recompute(m, sw_nn_transformer_block_with_options(m, 8, 1, &pre)),
                            sw_nn_rms_norm(m, 8), sw_nn_linear(m, 8, VOCABULARY));
}

/* Attention by hand, so that the layer does not continue sequences. */
static sw_tensor by_hand_forward(sw_module *self, sw_tensor x) {
    const sw_tensor qkv = sw_forward(sw_module_child(self, 0), x);
    const sw_tensor y = sw_attention_packed(qkv, &SW_OPTIONS(sw_attention_options, .heads = 2, .causal = true));
    return sw_add(x, y);
}
static sw_module *by_hand_root(sw_model *m) {
    const sw_sample_shape unknown = {.rank = -1};
    sw_module *inner = sw_nn_linear(m, 8, 24);
    return sw_nn_sequential(m, sw_nn_embedding(m, VOCABULARY, 8),
                            sw_nn_compose_with_options(m, "by_hand", by_hand_forward, 1, &inner,
                                                       &SW_OPTIONS(sw_compose_options, .out = &unknown)),
                            sw_nn_linear(m, 8, VOCABULARY));
}

/* Rotary positions, of an even number of features in each head. */
static sw_module *rotary_root(sw_model *m) {
    const sw_transformer_block_options options =
        SW_OPTIONS(sw_transformer_block_options, .causal = true, .rotary = true);
    return sw_nn_sequential(m, sw_nn_embedding(m, VOCABULARY, 8),
                            sw_nn_transformer_block_with_options(m, 8, 2, &options), sw_nn_linear(m, 8, VOCABULARY));
}
static sw_module *linear_attention_root(sw_model *m) {
    return sw_nn_sequential(
        m, sw_nn_embedding(m, VOCABULARY, 8),
        sw_nn_linear_attention_with_options(m, 8, 2, &SW_OPTIONS(sw_linear_attention_layer_options, .causal = true)),
        sw_nn_linear(m, 8, VOCABULARY));
}
static sw_module *normalized_root(sw_model *m) {
    const sw_linear_attention_layer_options options =
        SW_OPTIONS(sw_linear_attention_layer_options, .causal = true, .normalized = true, .map = SW_MAP_ELU);
    return sw_nn_sequential(m, sw_nn_embedding(m, VOCABULARY, 8),
                            sw_nn_linear_attention_with_options(m, 8, 2, &options), sw_nn_linear(m, 8, VOCABULARY));
}
/* These see later positions. */
static sw_module *all_attention_root(sw_model *m) {
    return sw_nn_sequential(m, sw_nn_embedding(m, VOCABULARY, 8), sw_nn_attention(m, 8, 2),
                            sw_nn_linear(m, 8, VOCABULARY));
}
static sw_module *all_linear_root(sw_model *m) {
    return sw_nn_sequential(m, sw_nn_embedding(m, VOCABULARY, 8), sw_nn_linear_attention(m, 8, 2),
                            sw_nn_linear(m, 8, VOCABULARY));
}
static sw_module *lstm_root(sw_model *m) {
    return sw_nn_sequential(m, sw_nn_embedding(m, VOCABULARY, 5),
                            sw_nn_lstm_with_options(m, 5, 7, &SW_OPTIONS(sw_recurrent_layer_options, .layers = 2)),
                            sw_nn_gru(m, 7, 6), sw_nn_linear(m, 6, VOCABULARY));
}
static sw_module *bidirectional_root(sw_model *m) {
    return sw_nn_sequential(
        m, sw_nn_embedding(m, VOCABULARY, 5),
        sw_nn_lstm_with_options(m, 5, 3, &SW_OPTIONS(sw_recurrent_layer_options, .bidirectional = true)),
        sw_nn_linear(m, 6, VOCABULARY));
}

/* Those that continue sequences, and those whose logits do not depend on later ids, are the first. */
static const make_root roots[] = {
    gpt_root,        mixed_root,   rotary_root,        lstm_root,       linear_attention_root,
    normalized_root, by_hand_root, bidirectional_root, all_linear_root, all_attention_root};
enum { ROOTS = sizeof roots / sizeof *roots, CONTINUE = 6, CAUSAL = 7 };

/* Large weights, so that logits differ clearly. */
static sw_model *model_of(sw_dtype type, make_root make) {
    sw_model *model = sw_model_new(type, 7);
    sw_params *p = built(model, make(model));
    for (int i = 0; i < sw_params_count(p); i++) {
        const sw_array a = sw_param_value(sw_params_at(p, i));
        if (!sw_params_at(p, i)->tied && sw_params_at(p, i)->role != SW_ROLE_NORM)
            test_fill(&a, -1, 1, (uint64_t)i + 1);
    }
    sw_params_mark_changed(p);
    return model;
}

static sw_array ids_of(int64_t rows, int64_t time, uint64_t seed) {
    sw_array ids = test_array(SW_I32, SW_SHAPE(rows, time));
    for (int64_t i = 0; i < sw_array_count(&ids); i++)
        test_set(&ids, i, (double)(test_random(&seed) % VOCABULARY));
    return ids;
}

static sw_tape *evaluation_tape(void) {
    sw_tape *tape = sw_tape_new();
    sw_tape_set_switch(tape, SW_RECORD | SW_TRAIN, false);
    return tape;
}

/* Columns [from, to) of the ids. */
static sw_tensor columns(sw_tape *tape, const sw_array *ids, int64_t from, int64_t to) {
    const sw_tensor x = sw_empty(tape, SW_I32, SW_SHAPE(ids->shape[0], to - from));
    const sw_array a = sw_value(x);
    for (int64_t i = 0; i < sw_array_count(&a); i++)
        test_set(&a, i, test_get(ids, i / (to - from) * ids->shape[1] + from + i % (to - from)));
    return x;
}

/* ---- Logits ---- */

/* The two computations add in another order at most: about 50 operations with sums of up to 32 terms, of rounding
 * errors of 2^-53 and 2^-24 (f32: 50·√32·2^-24 = 1.7e-5 at most, and in the mean a tenth of it). The promise is 1e-6 of
 * the largest logit. In bf16, whose results are rounded to 2^-9, both round the same sums, in f32, of which few lie
 * near the middle of two numbers: 2 units of the largest logit. */
static const struct {
    sw_dtype type;
    double allowed;
} precisions[] = {{SW_F64, 1e-14}, {SW_F32, 1e-6}, {SW_BF16, 2 * 0x1p-7}};

static void expect_parts(sw_module *root, const sw_array *ids, const int64_t *ends, double allowed) {
    const int64_t time = ids->shape[1];
    sw_tape *plain = evaluation_tape(), *tape = evaluation_tape();
    sw_state *state = sw_state_new();
    assert_ok(sw_tape_set_state(tape, state));
    const sw_array whole = sw_value(sw_forward(root, columns(plain, ids, 0, time)));
    expect_no_error();
    double most = 0;
    for (int64_t i = 0; i < sw_array_count(&whole); i++)
        most = fmax(most, fabs(test_get(&whole, i)));
    for (int64_t from = 0; from < time; from = *ends++) {
        const int64_t part = *ends - from;
        const sw_array own = sw_value(sw_forward(root, columns(tape, ids, from, *ends)));
        expect_no_error();
        for (int64_t i = 0; i < sw_array_count(&own); i++) {
            const int64_t row = part * VOCABULARY, at = i / row * time * VOCABULARY + from * VOCABULARY + i % row;
            if (!(fabs(test_get(&own, i) - test_get(&whole, at)) <= allowed * most))
                fail_msg("position %d on: %.9g in parts, %.9g as a whole", (int)from, test_get(&own, i),
                         test_get(&whole, at));
        }
        sw_tape_reset(tape);
    }
    sw_tape_free(plain), sw_tape_free(tape), sw_state_free(state);
}

static void test_parts_give_the_logits_of_the_whole(void **unused) {
    (void)unused;
    static const int64_t ends[][LENGTH] = {{1, 2, 3, 4, 5, 6, 7, 8, 9}, {4, 5, 6, 7, 8, 9}, {3, 7, 9}, {9}};
    for (int k = 0; k < CONTINUE; k++)
        for (size_t t = 0; t < sizeof precisions / sizeof *precisions; t++) {
            sw_model *model = model_of(precisions[t].type, roots[k]);
            sw_array ids = ids_of(BATCH, LENGTH, 3);
            for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
                expect_parts(sw_model_root(model), &ids, ends[i], precisions[t].allowed);
            test_array_free(&ids);
            sw_model_free(model);
        }
}

/* The memory for keys and values grows while the sequence does. As a whole, linear attention is computed in parts of 64
 * positions. */
static void test_long_sequences_continue(void **unused) {
    (void)unused;
    enum { TIME = 300 };
    static const make_root long_roots[] = {mixed_root, linear_attention_root, normalized_root};
    for (size_t k = 0; k < sizeof long_roots / sizeof *long_roots; k++) {
        sw_model *model = model_of(SW_F64, long_roots[k]);
        sw_array ids = ids_of(BATCH, TIME, 4);
        int64_t ends[TIME];
        for (int64_t i = 0; i < TIME; i++)
            ends[i] = i + 1;
        expect_parts(sw_model_root(model), &ids, ends, 1e-13); /* sums of up to 300 terms */
        expect_parts(sw_model_root(model), &ids, (const int64_t[]){150, 151, TIME}, 1e-13);
        test_array_free(&ids);
        sw_model_free(model);
    }
}

/* ---- Causality ---- */

/* Changing an id changes the logits from its position on, and no bit before it: in training, with dropout, and with a
 * state. */
static void test_later_ids_change_nothing_before_them(void **unused) {
    (void)unused;
    enum { TRAINING, EVALUATION, STATE, WAYS };
    for (int k = 0; k < CAUSAL; k++)
        for (int way = 0; way < (k < CONTINUE ? WAYS : STATE); way++)
            for (int64_t at = 0; at < LENGTH; at++) {
                sw_model *model = model_of(SW_F32, roots[k]);
                sw_array ids = ids_of(1, LENGTH, 5);
                float *logits[2];
                for (int changed = 0; changed < 2; changed++) {
                    if (changed)
                        test_set(&ids, at, (double)(((int)test_get(&ids, at) + 1) % VOCABULARY));
                    sw_tape *tape = way == TRAINING ? sw_tape_new() : evaluation_tape();
                    sw_state *state = sw_state_new();
                    if (way == STATE)
                        assert_ok(sw_tape_set_state(tape, state));
                    logits[changed] = calloc(LENGTH * VOCABULARY, sizeof(float));
                    for (int64_t t = 0; t < LENGTH; t += way == STATE ? 1 : LENGTH) {
                        const sw_array y = sw_value(
                            sw_forward(sw_model_root(model), columns(tape, &ids, t, t + (way == STATE ? 1 : LENGTH))));
                        expect_no_error();
                        memcpy(logits[changed] + t * VOCABULARY, y.data, test_bytes(&y));
                    }
                    sw_tape_free(tape), sw_state_free(state);
                }
                assert_memory_equal(logits[0], logits[1], (size_t)at * VOCABULARY * sizeof(float));
                assert_memory_not_equal(logits[0] + at * VOCABULARY, logits[1] + at * VOCABULARY,
                                        VOCABULARY * sizeof(float));
                free(logits[0]), free(logits[1]);
                test_array_free(&ids);
                sw_model_free(model);
            }
}

/* ---- Texts ---- */

static void test_greedy_text_is_that_of_transformers(void **unused) {
    (void)unused;
    const sw_gpt_options options = {.size = sizeof options,
                                    .vocabulary = GPT2_VOCABULARY,
                                    .length = GPT2_LENGTH,
                                    .layers = GPT2_LAYERS,
                                    .heads = GPT2_HEADS,
                                    .width = GPT2_WIDTH};
    sw_model *model = sw_model_new(SW_F32, 1);
    built(model, sw_nn_gpt(model, &options));
    assert_ok(sw_model_load_with_options(model, "tests/golden/networks/gpt2.safetensors",
                                         &SW_OPTIONS(sw_load_options, .channels_first = true)));
    uint64_t seed = 40;
    for (int row = 0; row < GPT2_ROWS; row++) {
        int32_t ids[GPT2_LENGTH], out[GPT2_MORE];
        for (int i = 0; i < GPT2_LENGTH; i++)
            ids[i] = (int32_t)(test_random(&seed) % GPT2_VOCABULARY);
        for (int plain = 0; plain < 2; plain++) {
            int64_t made;
            assert_ok(sw_generate(model, 4, ids, GPT2_MORE, out, &made,
                                  &SW_OPTIONS(sw_generate_options, .plain = plain != 0)));
            assert_int_equal(made, GPT2_MORE);
            for (int i = 0; i < GPT2_MORE; i++)
                assert_int_equal(out[i], gpt2_continued[row][i]);
        }
    }
    sw_model_free(model);
}

/* Longer than the positions (GPT), and than the given length. */
static void test_both_computations_give_equal_text(void **unused) {
    (void)unused;
    enum { COUNT = 30 };
    const int32_t prompt[2 * LENGTH] = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3, 2, 3};
    for (int k = 0; k < ROOTS; k++)
        for (int64_t length = 0; length < 2 * LENGTH; length += 5)
            for (int64_t count = 1; count <= 2 * LENGTH; count += 8) {
                sw_model *model = model_of(SW_F32, roots[k]);
                int32_t out[2][COUNT];
                for (int plain = 0; plain < 2; plain++)
                    assert_ok(sw_generate(model, count, prompt, COUNT, out[plain], NULL,
                                          &SW_OPTIONS(sw_generate_options, .plain = plain != 0,
                                                      .length = k == 0 && length > LENGTH ? LENGTH : length)));
                assert_memory_equal(out[0], out[1], sizeof out[0]);
                int32_t again[COUNT];
                assert_ok(sw_generate(
                    model, count, prompt, COUNT, again, NULL,
                    &SW_OPTIONS(sw_generate_options, .length = k == 0 && length > LENGTH ? LENGTH : length)));
                assert_memory_equal(out[0], again, sizeof again);
                sw_model_free(model);
            }
}

static bool stop_at_third(void *user, int32_t id) {
    int32_t *ids = user;
    ids[++ids[0]] = id;
    return ids[0] < 3;
}

static void test_ids_are_reported_and_repeatable(void **unused) {
    (void)unused;
    enum { COUNT = 40 };
    sw_model *model = model_of(SW_F32, gpt_root);
    int32_t first[COUNT], second[COUNT], seen[COUNT] = {0};
    const int32_t prompt[] = {1, 2};
    sw_generate_options o = SW_OPTIONS(sw_generate_options, .temperature = 5, .seed = 9);
    assert_ok(sw_generate(model, 2, prompt, COUNT, first, NULL, &o));
    assert_ok(sw_generate(model, 2, prompt, COUNT, second, NULL, &o));
    assert_memory_equal(first, second, sizeof first);
    o.seed = 10;
    assert_ok(sw_generate(model, 2, prompt, COUNT, second, NULL, &o));
    assert_memory_not_equal(first, second, sizeof first);
    int64_t made;
    o.seed = 9;
    o.token = stop_at_third;
    o.user = seen;
    assert_ok(sw_generate(model, 2, prompt, COUNT, second, &made, &o));
    assert_int_equal(made, 3);
    assert_memory_equal(first, second, 3 * sizeof *first);
    assert_memory_equal(first, seen + 1, 3 * sizeof *first);
    assert_ok(sw_generate(model, 2, prompt, 0, NULL, &made, NULL));
    assert_int_equal(made, 0);
    sw_model_free(model);
}

/* ---- The draw of an id ---- */

enum { CHOICES = 5, DRAWS = 20000 };

/* The frequencies of DRAWS draws; 5 standard errors √(p(1 - p)/DRAWS) are allowed. */
static void expect_frequencies(const sw_generate_options *o, const double *expected) {
    const float logits[CHOICES] = {1, 3, 0, 3, 2};
    const sw_array a = sw_array_view((void *)(uintptr_t)logits, SW_F32, SW_SHAPE(CHOICES));
    swn_candidate scratch[CHOICES];
    int count[CHOICES] = {0};
    sw_rng rng = {.key = 5};
    for (int i = 0; i < DRAWS; i++) {
        const int64_t id = swn_draw_id(&a, 0, CHOICES, o, &rng, scratch);
        assert_true(id >= 0 && id < CHOICES);
        count[id]++;
    }
    for (int i = 0; i < CHOICES; i++) {
        const double p = expected[i], own = (double)count[i] / DRAWS;
        if (!(fabs(own - p) <= 5 * sqrt(p * (1 - p) / DRAWS)))
            fail_msg("id %d: a frequency of %.4g, %.4g expected", i, own, p);
    }
    expect_no_error();
}

static void test_draws_have_the_probabilities_of_the_logits(void **unused) {
    (void)unused;
    const double e[CHOICES] = {exp(1), exp(3), 1, exp(3), exp(2)};
    double p[CHOICES], all = e[0] + e[1] + e[2] + e[3] + e[4];
    for (int i = 0; i < CHOICES; i++)
        p[i] = e[i] / all;
    expect_frequencies(&SW_OPTIONS(sw_generate_options, .temperature = 1), p);
    expect_frequencies(&SW_OPTIONS(sw_generate_options, .temperature = 1, .top_k = 7, .top_p = 1), p);
    all = 0;
    for (int i = 0; i < CHOICES; i++)
        all += p[i] = sqrt(e[i]);
    for (int i = 0; i < CHOICES; i++)
        p[i] /= all;
    expect_frequencies(&SW_OPTIONS(sw_generate_options, .temperature = 2), p);
    expect_frequencies(&SW_OPTIONS(sw_generate_options), (const double[]){0, 1, 0, 0, 0}); /* the first of equal ones */
    expect_frequencies(&SW_OPTIONS(sw_generate_options, .temperature = 1, .top_k = 2),
                       (const double[]){0, 0.5, 0, 0.5, 0});
    all = e[1] + e[3] + e[4];
    expect_frequencies(&SW_OPTIONS(sw_generate_options, .temperature = 1, .top_k = 3),
                       (const double[]){0, e[1] / all, 0, e[3] / all, e[4] / all});
    /* The probabilities are 0.39, 0.39, 0.14, 0.05 and 0.02: two reach 0.77, three are needed for 0.81, one for 0.3. */
    expect_frequencies(&SW_OPTIONS(sw_generate_options, .temperature = 1, .top_p = 0.77),
                       (const double[]){0, 0.5, 0, 0.5, 0});
    expect_frequencies(&SW_OPTIONS(sw_generate_options, .temperature = 1, .top_p = 0.81),
                       (const double[]){0, e[1] / all, 0, e[3] / all, e[4] / all});
    expect_frequencies(&SW_OPTIONS(sw_generate_options, .temperature = 1, .top_p = 0.3),
                       (const double[]){0, 1, 0, 0, 0});
    /* Of the two that top_k keeps, one reaches 0.5. */
    expect_frequencies(&SW_OPTIONS(sw_generate_options, .temperature = 1, .top_k = 2, .top_p = 0.5),
                       (const double[]){0, 1, 0, 0, 0});
}

static void test_impossible_logits_are_refused(void **unused) {
    (void)unused;
    float logits[3] = {1, NAN, 0};
    const sw_array a = sw_array_view(logits, SW_F32, SW_SHAPE(3));
    const sw_generate_options o = SW_OPTIONS(sw_generate_options, .temperature = 1);
    swn_candidate scratch[3];
    sw_rng rng = {.key = 1};
    assert_true(swn_draw_id(&a, 0, 3, &o, &rng, scratch) < 0);
    expect_error(SW_ERR_NONFINITE, "generate: the logit of id 1 is nan");
    logits[1] = INFINITY;
    assert_true(swn_draw_id(&a, 0, 3, &o, &rng, scratch) < 0);
    expect_error(SW_ERR_NONFINITE, "generate: the logit of id 1 is inf");
    logits[0] = logits[1] = logits[2] = -INFINITY;
    assert_true(swn_draw_id(&a, 0, 3, &o, &rng, scratch) < 0);
    expect_error(SW_ERR_NONFINITE, "generate: all logits are -inf");
    logits[2] = 3;
    for (int i = 0; i < 100; i++)
        assert_int_equal(swn_draw_id(&a, 0, 3, &o, &rng, scratch), 2);
}

/* ---- Mistakes and memory ---- */

static void test_wrong_arguments_are_refused(void **unused) {
    (void)unused;
    sw_model *model = model_of(SW_F32, gpt_root), *vectors = sw_model_new(SW_F32, 1), *open = sw_model_new(SW_F32, 1);
    built(vectors,
          sw_nn_sequential(vectors, sw_nn_embedding(vectors, 5, 4), sw_nn_reshape(vectors, SW_SHAPE(2, 2, 1))));
    const int32_t prompt[] = {1, VOCABULARY};
    int32_t out[4];
    int64_t made = 7;
    const struct {
        sw_model *model;
        int64_t prompts, count;
        sw_generate_options options;
        const char *message;
    } rows[] = {
        {NULL, 1, 1, SW_OPTIONS(sw_generate_options), "generate: the model is NULL"},
        {open, 1, 1, SW_OPTIONS(sw_generate_options), "generate: the model is not built"},
        {model, 0, 1, SW_OPTIONS(sw_generate_options),
         "generate: a prompt of 0 ids and 1 further ones; 1 or more, and 0 or more are needed"},
        {model, 1, -1, SW_OPTIONS(sw_generate_options),
         "generate: a prompt of 1 ids and -1 further ones; 1 or more, and 0 or more are needed"},
        {model, 1, 1, SW_OPTIONS(sw_generate_options, .temperature = -1),
         "generate: temperature -1; 0 (the most likely id) or a positive number is needed"},
        {model, 1, 1, SW_OPTIONS(sw_generate_options, .top_p = 1.5), "generate: top_p 1.5 is outside 0 to 1"},
        {model, 1, 1, SW_OPTIONS(sw_generate_options, .top_k = -2), "generate: top_k -2; 0 or more is needed"},
        {model, 1, 1, SW_OPTIONS(sw_generate_options, .length = -3), "generate: length -3; 0 or more is needed"},
        {model, 2, 1, SW_OPTIONS(sw_generate_options), "layer transformer.wte: 11 at [0,1] is not an id"},
        {vectors, 1, 1, SW_OPTIONS(sw_generate_options),
         "generate: the network makes f32 [1,2,2,1] of one sequence; logits [1, time, vocabulary] or [1, vocabulary] "
         "are needed"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_not_equal(
            sw_generate(rows[i].model, rows[i].prompts, prompt, rows[i].count, out, &made, &rows[i].options), SW_OK);
        if (i != 8) /* the message of sw_gather_rows */
            assert_string_equal(sw_error(), rows[i].message);
        assert_int_equal(made, 0);
        sw_clear_error();
    }
    assert_ok(sw_generate(model, 1, prompt, 4, out, &made, NULL)); /* also after a pass that failed */
    assert_int_equal(sw_generate(model, 1, NULL, 4, out, NULL, NULL), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "generate: the prompt is NULL");
    assert_int_equal(sw_generate(model, 1, prompt, 4, NULL, NULL, NULL), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "generate: the array for the ids is NULL");
    sw_model_free(model), sw_model_free(vectors), sw_model_free(open);
}

static bool make_and_generate(const void *user) {
    (void)user;
    const int32_t prompt[] = {1, 2};
    int32_t out[3];
    sw_model *model = sw_model_new(SW_F32, 1);
    sw_module *root = model ? gpt_root(model) : NULL;
    const bool good = root && sw_model_build(model, root) && sw_generate(model, 2, prompt, 3, out, NULL, NULL) == SW_OK;
    sw_model_free(model);
    return good;
}

static void test_every_allocation_may_fail(void **unused) {
    (void)unused;
    expect_failed_allocations(make_and_generate, NULL, 50);
}

static void test_second_text_allocates_nothing(void **unused) {
    (void)unused;
    test_allocator a;
    test_allocator_install(&a);
    const int32_t prompt[] = {1, 2};
    int32_t out[20];
    sw_model *model = model_of(SW_F32, gpt_root);
    const sw_generate_options o = SW_OPTIONS(sw_generate_options, .temperature = 1, .top_k = 3, .top_p = 0.9);
    assert_ok(sw_generate(model, 2, prompt, 20, out, NULL, &o));
    const long long calls = atomic_load(&a.calls);
    assert_ok(sw_generate(model, 2, prompt, 20, out, NULL, &o));
    assert_int_equal(atomic_load(&a.calls), calls);
    sw_model_free(model);
    assert_int_equal(atomic_load(&a.live), 0);
    sw_set_allocator(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_parts_give_the_logits_of_the_whole),
        TEST(test_long_sequences_continue),
        TEST(test_later_ids_change_nothing_before_them),
        TEST(test_greedy_text_is_that_of_transformers),
        TEST(test_both_computations_give_equal_text),
        TEST(test_ids_are_reported_and_repeatable),
        TEST(test_draws_have_the_probabilities_of_the_logits),
        TEST(test_impossible_logits_are_refused),
        TEST(test_wrong_arguments_are_refused),
        TEST(test_every_allocation_may_fail),
        TEST(test_second_text_allocates_nothing),
    };
    return cmocka_run_group_tests_name("generate", tests, NULL, NULL);
}
