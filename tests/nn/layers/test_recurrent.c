/* The layers LSTM and GRU: names and initial values, sequences in parts, lengths, causality, dropout, messages, failing
 * allocations. test_torch_layers.c compares them with PyTorch. */
#include "support.h"

#include <swale/nn.h>
#include <swale/extend.h>

#include <math.h>
#include <stdlib.h>

enum { BATCH = 3, TIME = 7, INPUTS = 4, HIDDEN = 5 };

typedef sw_module *make_layer(sw_model *m, const sw_recurrent_layer_options *o);
static sw_module *make_lstm(sw_model *m, const sw_recurrent_layer_options *o) {
    return sw_nn_lstm_with_options(m, INPUTS, HIDDEN, o);
}
static sw_module *make_gru(sw_model *m, const sw_recurrent_layer_options *o) {
    return sw_nn_gru_with_options(m, INPUTS, HIDDEN, o);
}
static make_layer *const makers[] = {make_lstm, make_gru};
static const char *const names[] = {"lstm", "gru"};

static sw_model *model_of(sw_dtype type, int kind, const sw_recurrent_layer_options *o) {
    sw_model *model = sw_model_new(type, 3);
    if (!sw_model_build(model, makers[kind](model, o)))
        fail_msg("%s", sw_error());
    return model;
}

static sw_tensor forward(sw_model *model, sw_tape *tape, const sw_array *x) {
    return sw_forward(sw_model_root(model), sw_input(tape, *x));
}

/* A sequence of the steps [begin, end) of x [BATCH, TIME, INPUTS]. */
static sw_array steps_of(const sw_array *x, int64_t begin, int64_t end) {
    sw_array part = test_array(x->type, 3, (int64_t[]){BATCH, end - begin, INPUTS});
    for (int64_t n = 0; n < BATCH; n++)
        for (int64_t t = begin; t < end; t++)
            for (int64_t i = 0; i < INPUTS; i++)
                test_set(&part, (n * (end - begin) + t - begin) * INPUTS + i,
                         test_get(x, (n * x->shape[1] + t) * INPUTS + i));
    return part;
}

static void test_parameters_have_the_names_and_values_of_torch(void **state) {
    (void)state;
    static const struct {
        const char *name;
        int rank;
        int64_t shape[2];
    } expected[] = {{"lstm1.weight_ih_l0", 2, {20, 4}},
                    {"lstm1.weight_hh_l0", 2, {20, 5}},
                    {"lstm1.bias_ih_l0", 1, {20}},
                    {"lstm1.bias_hh_l0", 1, {20}},
                    {"lstm1.weight_ih_l0_reverse", 2, {20, 4}},
                    {"lstm1.weight_hh_l0_reverse", 2, {20, 5}},
                    {"lstm1.bias_ih_l0_reverse", 1, {20}},
                    {"lstm1.bias_hh_l0_reverse", 1, {20}},
                    {"lstm1.weight_ih_l1", 2, {20, 10}}};
    sw_model *model = model_of(SW_F64, 0, &SW_OPTIONS(sw_recurrent_layer_options, .layers = 2, .bidirectional = true));
    const sw_params *params = sw_model_params(model);
    assert_int_equal(sw_params_count(params), 16);
    double largest = 0;
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        const sw_param *p = sw_params_at(params, (int)i);
        assert_string_equal(p->name, expected[i].name);
        assert_true(sw_shape_equal(p->rank, p->shape, expected[i].rank, expected[i].shape));
    }
    const double bound = 1 / sqrt(HIDDEN), *x = sw_params_x(params);
    for (int64_t i = 0; i < sw_params_dim(params); i++) {
        assert_true(fabs(x[i]) <= bound && x[i] != 0);
        largest = fmax(largest, fabs(x[i]));
    }
    assert_true(largest > 0.99 * bound);
    sw_model_free(model);
}

static void test_sequence_in_parts_has_the_outputs_of_the_whole(void **state) {
    (void)state;
    static const int64_t ends[] = {3, 3, 4, 7}; /* one part without a step */
    for (int kind = 0; kind < 2; kind++)
        for (int last = 0; last < 2; last++) {
            sw_model *model =
                model_of(SW_F64, kind, &SW_OPTIONS(sw_recurrent_layer_options, .layers = 2, .last = last != 0));
            sw_array x = test_filled(SW_F64, SW_SHAPE(BATCH, TIME, INPUTS), -1, 1, 5);
            sw_tape *tape = sw_tape_new();
            sw_tape_set_switch(tape, SW_RECORD | SW_TRAIN, false);
            const sw_array all = sw_value(forward(model, tape, &x));
            sw_array whole = test_array(SW_F64, all.rank, all.shape);
            memcpy(whole.data, all.data, test_bytes(&all));
            sw_state *parts = sw_state_new();
            assert_int_equal(sw_tape_set_state(tape, parts), SW_OK);
            for (int round = 0; round < 2; round++, sw_state_reset(parts))
                for (int64_t i = 0, begin = 0; i < 4; begin = ends[i++]) {
                    sw_tape_reset(tape);
                    sw_array part = steps_of(&x, begin, ends[i]);
                    const sw_array y = sw_value(forward(model, tape, &part));
                    if (!y.data)
                        fail_msg("%s", sw_error());
                    /* 2 layers, 7 steps, sums of at most 9 terms below 1: far below 1000 roundings */
                    for (int64_t n = 0; n < BATCH; n++)
                        for (int64_t t = begin; !last && t < ends[i]; t++)
                            for (int64_t k = 0; k < HIDDEN; k++)
                                assert_true(fabs(test_get(&y, (n * (ends[i] - begin) + t - begin) * HIDDEN + k) -
                                                 test_get(&whole, (n * TIME + t) * HIDDEN + k)) <= 1000 * 0x1p-53);
                    for (int64_t k = 0; last && ends[i] == TIME && k < BATCH * HIDDEN; k++)
                        assert_true(fabs(test_get(&y, k) - test_get(&whole, k)) <= 1000 * 0x1p-53);
                    test_array_free(&part);
                }
            sw_tape_free(tape);
            sw_state_free(parts);
            test_array_free(&x);
            test_array_free(&whole);
            sw_model_free(model);
        }
}

/* Inputs of step 4 are changed: earlier outputs keep their bits, in training and in parts, and later ones change. */
static void test_outputs_depend_on_earlier_inputs_only(void **state) {
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        sw_model *model = model_of(SW_F32, kind, NULL);
        sw_array x = test_filled(SW_F32, SW_SHAPE(BATCH, TIME, INPUTS), -1, 1, 5);
        float before[BATCH * TIME * HIDDEN];
        sw_tape *tape = sw_tape_new();
        const sw_array first = sw_value(forward(model, tape, &x));
        memcpy(before, first.data, sizeof before);
        for (int64_t n = 0; n < BATCH; n++)
            test_set(&x, (n * TIME + 4) * INPUTS, 3);
        sw_tape_reset(tape);
        const float *after = sw_value(forward(model, tape, &x)).data;
        for (int64_t i = 0; i < BATCH * TIME * HIDDEN; i++)
            assert_true((before[i] == after[i]) == (i / HIDDEN % TIME < 4));
        sw_tape_free(tape);
        test_array_free(&x);
        sw_model_free(model);
    }
}

/* The lengths as a second input: outputs of a sample are those of its sequence alone, cut to its length. */
static void test_lengths_end_the_samples(void **state) {
    (void)state;
    const int32_t length[BATCH] = {7, 0, 4};
    for (int kind = 0; kind < 2; kind++)
        for (int last = 0; last < 2; last++) {
            sw_model *model = model_of(
                SW_F64, kind,
                &SW_OPTIONS(sw_recurrent_layer_options, .layers = 2, .bidirectional = true, .last = last != 0));
            sw_array x = test_filled(SW_F64, SW_SHAPE(BATCH, TIME, INPUTS), -1, 1, 5);
            sw_tape *tape = sw_tape_new();
            const sw_tensor in[2] = {sw_input(tape, x), sw_input(tape, sw_array_view(length, SW_I32, SW_SHAPE(BATCH)))};
            const sw_array y = sw_value(sw_forward_many(sw_model_root(model), 2, in));
            if (!y.data)
                fail_msg("%s", sw_error());
            for (int64_t n = 0; n < BATCH; n++) {
                const int64_t steps = length[n], row = 2 * HIDDEN * (last ? 1 : TIME);
                sw_array alone =
                    sw_array_view((double *)x.data + n * TIME * INPUTS, SW_F64, SW_SHAPE(1, steps, INPUTS));
                const sw_array z = sw_value(forward(model, tape, &alone));
                if (!z.data)
                    fail_msg("%s", sw_error());
                for (int64_t i = 0; i < row; i++) {
                    const double expected = i < sw_array_count(&z) ? test_get(&z, i) : 0;
                    assert_true(fabs(test_get(&y, n * row + i) - expected) <= 1000 * 0x1p-53);
                }
            }
            sw_tape_free(tape);
            test_array_free(&x);
            sw_model_free(model);
        }
}

/* Dropout acts between the layers while the tape trains, and its masks follow the sample ids. */
static void test_dropout_follows_the_samples(void **state) {
    (void)state;
    sw_model *model = model_of(SW_F64, 0, &SW_OPTIONS(sw_recurrent_layer_options, .layers = 2, .dropout = 0.5)),
             *plain = model_of(SW_F64, 0, &SW_OPTIONS(sw_recurrent_layer_options, .layers = 2));
    sw_array x = test_filled(SW_F64, SW_SHAPE(BATCH, TIME, INPUTS), -1, 1, 5);
    const int64_t ids[BATCH] = {11, 12, 13};
    double whole[BATCH * TIME * HIDDEN];
    sw_tape *tape = sw_tape_new();
    sw_tape_set_sample_ids(tape, ids, BATCH);
    sw_tape_set_draw(tape, 4);
    memcpy(whole, sw_value(forward(model, tape, &x)).data, sizeof whole);
    sw_tape_reset(tape);
    sw_tape_set_sample_ids(tape, ids + 1, 1);
    sw_tape_set_draw(tape, 4);
    const sw_array one = sw_array_view((double *)x.data + TIME * INPUTS, SW_F64, SW_SHAPE(1, TIME, INPUTS));
    const double *alone = sw_value(forward(model, tape, &one)).data;
    for (int i = 0; i < TIME * HIDDEN; i++)
        assert_true(fabs(alone[i] - whole[TIME * HIDDEN + i]) <= 1000 * 0x1p-53);
    sw_tape_reset(tape);
    sw_tape_set_switch(tape, SW_TRAIN, false);
    const double *evaluated = sw_value(forward(model, tape, &x)).data,
                 *expected = sw_value(forward(plain, tape, &x)).data;
    assert_memory_equal(evaluated, expected, sizeof whole);
    assert_memory_not_equal(evaluated, whole, sizeof whole);
    expect_no_error();
    sw_tape_free(tape);
    test_array_free(&x);
    sw_model_free(model);
    sw_model_free(plain);
}

/* ---- Mistakes ---- */

static void expect_refused(sw_model *model, sw_module *layer, sw_status status, const char *message) {
    assert_null(sw_model_build(model, layer));
    expect_error(status, message);
    sw_model_free(model);
}

static void test_wrong_options_are_refused(void **state) {
    (void)state;
    sw_model *m = sw_model_new(SW_F32, 1);
    expect_refused(
        m, sw_nn_lstm(m, 3, 0), SW_ERR_ARGUMENT,
        "lstm: 3 inputs and 0 hidden units; inputs 0 (open) to 2^31 - 1, hidden units 1 to 2^28 - 1 are needed");
    m = sw_model_new(SW_F32, 1);
    expect_refused(m, sw_nn_gru_with_options(m, 3, 4, &SW_OPTIONS(sw_recurrent_layer_options, .layers = 300)),
                   SW_ERR_ARGUMENT, "gru: 300 layers; 1 to 256 are possible (0: 1)");
    m = sw_model_new(SW_F32, 1);
    expect_refused(m,
                   sw_nn_lstm_with_options(m, 3, 4, &SW_OPTIONS(sw_recurrent_layer_options, .layers = 2, .dropout = 1)),
                   SW_ERR_ARGUMENT, "lstm: dropout = 1 is outside [0, 1)");
    m = sw_model_new(SW_F32, 1);
    expect_refused(m, sw_nn_lstm_with_options(m, 3, 4, &SW_OPTIONS(sw_recurrent_layer_options, .dropout = 0.5)),
                   SW_ERR_ARGUMENT,
                   "lstm: dropout = 0.5 with one layer; it acts between layers (after the last one: sw_nn_dropout)");
    m = sw_model_new(SW_F32, 1);
    expect_refused(m, sw_nn_lstm(m, 0, 4), SW_ERR_SHAPE,
                   "layer lstm1: the number of inputs is not known; give it, or sw_model_set_input_shape");
    m = sw_model_new(SW_F32, 1);
    sw_model_set_input_shape(m, 1, (const int64_t[]){6});
    expect_refused(m, sw_nn_lstm(m, 0, 4), SW_ERR_SHAPE,
                   "layer lstm1: its input has samples [6]; sequences [time, features] are needed");
    m = sw_model_new(SW_F32, 1);
    sw_model_set_input_shape(m, 2, (const int64_t[]){6, 3});
    expect_refused(m, sw_nn_gru(m, 2, 4), SW_ERR_SHAPE,
                   "layer gru1: takes 2 inputs, but its input has 3, the last axis of samples [6,3]");
    m = sw_model_new(SW_F32, 1);
    sw_model_set_input_shape(m, 2, (const int64_t[]){6, 0});
    expect_refused(m, sw_nn_gru(m, 0, 4), SW_ERR_SHAPE,
                   "layer gru1: its input has samples [6,0] without features; 1 or more are needed");
}

static void test_wrong_sequences_in_parts_are_refused(void **state) {
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        sw_model *both = model_of(SW_F64, kind, &SW_OPTIONS(sw_recurrent_layer_options, .bidirectional = true)),
                 *one = model_of(SW_F64, kind, NULL);
        sw_array x = test_filled(SW_F64, SW_SHAPE(BATCH, TIME, INPUTS), -1, 1, 5);
        const int32_t length[BATCH] = {1, 2, 3};
        sw_tape *tape = sw_tape_new();
        sw_state *parts = sw_state_new();
        sw_tape_set_switch(tape, SW_RECORD | SW_TRAIN, false);
        sw_tape_set_state(tape, parts);
        char text[200];
        assert_true(sw_is_null(forward(both, tape, &x)));
        snprintf(text, sizeof text, "layer %s1: bidirectional; a sequence in parts (sw_tape_set_state) needs neither",
                 names[kind]);
        expect_error(SW_ERR_STATE, text);
        sw_state_reset(parts);
        const sw_tensor in[2] = {sw_input(tape, x), sw_input(tape, sw_array_view(length, SW_I32, SW_SHAPE(BATCH)))};
        assert_true(sw_is_null(sw_forward_many(sw_model_root(one), 2, in)));
        assert_int_equal(sw_error_status(), SW_ERR_STATE);
        sw_clear_error();
        sw_state_reset(parts);
        sw_array row = test_filled(SW_F64, SW_SHAPE(BATCH, INPUTS), -1, 1, 5);
        assert_true(sw_is_null(forward(one, tape, &row)));
        assert_int_equal(sw_error_status(), SW_ERR_SHAPE);
        sw_clear_error();
        sw_tape_free(tape);
        sw_state_free(parts);
        test_array_free(&x);
        test_array_free(&row);
        sw_model_free(both);
        sw_model_free(one);
    }
}

/* ---- Memory ---- */

static bool train_once(int kind) {
    sw_model *model = sw_model_new(SW_F32, 3);
    sw_params *params = sw_model_build(model, makers[kind](model, &SW_OPTIONS(sw_recurrent_layer_options, .layers = 2,
                                                                              .bidirectional = true, .dropout = 0.1)));
    sw_tape *tape = params ? sw_tape_new() : NULL;
    static float numbers[BATCH * TIME * INPUTS];
    bool done = false;
    if (tape) {
        const sw_array x = sw_array_view(numbers, SW_F32, SW_SHAPE(BATCH, TIME, INPUTS));
        const sw_tensor y = forward(model, tape, &x);
        done = sw_backward(sw_mean(y)) == SW_OK;
    }
    sw_tape_free(tape);
    sw_model_free(model);
    return done;
}

static void test_every_failed_allocation_is_an_error(void **state) {
    (void)state;
    static test_allocator allocator;
    sw_set_threads(1);
    test_allocator_install(&allocator);
    for (int kind = 0; kind < 2; kind++)
        for (long long k = 1;; k++) {
            test_allocator_fail(&allocator, k, false);
            const bool done = train_once(kind), failed = atomic_load(&allocator.failed) > 0;
            if (done == failed || failed != (sw_error_status() == SW_ERR_MEMORY))
                fail_msg("allocation %lld: %s", k, sw_error());
            sw_clear_error();
            if (!failed)
                break;
        }
    assert_int_equal(atomic_load(&allocator.live), 0);
    sw_set_allocator(NULL);
}

/* Releases: the memory of a step stays bounded, and a second step allocates nothing. */
static void test_second_step_allocates_nothing(void **state) {
    (void)state;
    static test_allocator allocator;
    test_allocator_install(&allocator);
    for (int kind = 0; kind < 2; kind++)
        for (int parts = 0; parts < 2; parts++) {
            sw_model *model = model_of(SW_BF16, kind, &SW_OPTIONS(sw_recurrent_layer_options, .layers = 2));
            sw_array x = test_filled(SW_F32, SW_SHAPE(BATCH, TIME, INPUTS), -1, 1, 5);
            sw_tape *tape = sw_tape_new();
            sw_state *before = sw_state_new();
            if (parts)
                sw_tape_set_switch(tape, SW_RECORD, false);
            sw_tape_set_state(tape, parts ? before : NULL);
            for (int step = 0; step < 3; step++) {
                test_allocator_fail(&allocator, 0, false);
                const sw_tensor y = forward(model, tape, &x);
                if (!parts)
                    assert_int_equal(sw_backward(sw_mean(y)), SW_OK);
                sw_tape_reset(tape);
                sw_gradient_make_fresh(sw_params_gradient(sw_model_params(model)));
                expect_no_error();
                assert_true(step == 0 || atomic_load(&allocator.calls) == 0);
            }
            sw_tape_free(tape);
            sw_state_free(before);
            test_array_free(&x);
            sw_model_free(model);
        }
    sw_set_allocator(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_parameters_have_the_names_and_values_of_torch, test_no_error_left),
        cmocka_unit_test_teardown(test_sequence_in_parts_has_the_outputs_of_the_whole, test_no_error_left),
        cmocka_unit_test_teardown(test_outputs_depend_on_earlier_inputs_only, test_no_error_left),
        cmocka_unit_test_teardown(test_lengths_end_the_samples, test_no_error_left),
        cmocka_unit_test_teardown(test_dropout_follows_the_samples, test_no_error_left),
        cmocka_unit_test_teardown(test_wrong_options_are_refused, test_no_error_left),
        cmocka_unit_test_teardown(test_wrong_sequences_in_parts_are_refused, test_no_error_left),
        cmocka_unit_test_teardown(test_every_failed_allocation_is_an_error, test_no_error_left),
        cmocka_unit_test_teardown(test_second_step_allocates_nothing, test_no_error_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
