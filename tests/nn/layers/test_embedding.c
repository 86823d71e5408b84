/* Embeddings, tied and frozen parameters. */
#include "helpers.h"

#include <swale/optim.h>

enum { ROWS = 5, DIM = 3 };
static const double table[ROWS * DIM] = {0, 1, 2, 10, 11, 12, 20, 21, 22, 30, 31, 32, 40, 41, 42};

/* ---- Embedding ---- */

static void test_embedding_gives_the_rows(void **state) {
    (void)state;
    const double ids[4] = {4, 0, 2, 4}, expected[12] = {40, 41, 42, 0, 1, 2, 20, 21, 22, 40, 41, 42};
    for (int t = 0; t < 2; t++) {
        sw_model *model = sw_model_new(both_types[t], 1);
        sw_model_set_input_shape(model, 1, (const int64_t[]){2});
        sw_module *layer = sw_nn_embedding(model, ROWS, DIM);
        sw_params *p = built(model, layer);
        assert_true(layer->out.rank == 2 && layer->out.length[0] == 2 && layer->out.length[1] == DIM);
        const sw_param *w = sw_params_find(p, "embedding1.weight");
        assert_true(w->role == SW_ROLE_EMBEDDING && w->fan_in == DIM && w->fan_out == ROWS);
        set_values(p, "embedding1.weight", table);
        sw_tape *tape = sw_tape_new();
        for (int k = 0; k < INPUT_TYPES; k++) {
            const sw_dtype type = input_types[k];
            sw_tensor x = tensor_of(tape, type, SW_SHAPE(2, 2), ids);
            expect_values(sw_forward(layer, x), SW_SHAPE(2, 2, DIM), expected, 0);
            x = tensor_of(tape, type, SW_SHAPE(4), ids); /* one id for each sample */
            expect_values(sw_forward(layer, x), SW_SHAPE(4, DIM), expected, 0);
        }
        sw_tape_free(tape);
        sw_model_free(model);
    }
}

static void test_embedding_refuses_ids_of_16_bits(void **state) {
    (void)state;
    static const uint16_t ids[2] = {0, 0};
    sw_model *model = sw_model_new(SW_F32, 1);
    sw_module *layer = sw_nn_embedding(model, ROWS, DIM);
    built(model, layer);
    sw_tape *tape = sw_tape_new();
    assert_true(sw_is_null(sw_forward(layer, sw_input(tape, sw_array_view(ids, SW_F16, SW_SHAPE(2))))));
    expect_error(SW_ERR_TYPE, "layer embedding1: the ids are f16; i32, u8, f32 or f64 is needed");
    sw_tape_free(tape);
    sw_model_free(model);
}

/* Ids of a pass that is over are refused, not read. */
static void test_ids_of_a_past_step_are_refused(void **state) {
    (void)state;
    sw_model *model = sw_model_new(SW_F32, 1);
    sw_module *layer = sw_nn_embedding(model, ROWS, DIM);
    built(model, layer);
    sw_tape *tape = sw_tape_new();
    sw_tensor x = tensor_of(tape, SW_F32, SW_SHAPE(2), (const double[]){1, 2});
    sw_tape_reset(tape);
    assert_true(sw_is_null(sw_forward(layer, x)));
    expect_error(SW_ERR_STATE, "a tensor was used after its tape was reset");
    sw_tape_free(tape);
    sw_model_free(model);
}

/* The start is normal(0, 1): standard errors 1/√n and √(2/n), five of them. */
static void test_embedding_starts_with_normal_values(void **state) {
    (void)state;
    enum { N = 200 * 100 };
    sw_model *model = sw_model_new(SW_F64, 1);
    sw_params *p = built(model, sw_nn_embedding(model, 200, 100));
    const double *x = sw_params_x(p);
    double sum = 0, squares = 0;
    for (int i = 0; i < N; i++) {
        sum += x[i];
        squares += x[i] * x[i];
    }
    assert_true(fabs(sum / N) <= 5 / sqrt(N));
    assert_true(fabs(squares / N - 1) <= 5 * sqrt(2.0 / N));
    sw_model_free(model);
}

static void test_embedding_adds_gradients_of_repeated_ids(void **state) {
    (void)state;
    const double ids[6] = {4, 0, 2, 4, 4, 1}; /* repeated ones add up */
    for (int k = 0; k < INPUT_TYPES; k++) {
        const sw_dtype type = input_types[k];
        if (type == SW_F64)
            continue; /* the differences would move them: ids have no gradient */
        sw_model *model = sw_model_new(SW_F64, 1);
        sw_model_set_input_shape(model, 1, (const int64_t[]){3});
        sw_module *root = sw_nn_sequential(model, sw_nn_embedding(model, ROWS, DIM), sw_nn_flatten(model),
                                           sw_nn_linear(model, 0, 2), sw_nn_tanh(model), NULL);
        built(model, root);
        sw_array x = test_array(type, SW_SHAPE(2, 3));
        for (int i = 0; i < 6; i++)
            test_set(&x, i, ids[i]);
        check_gradients(root, &x);
        test_array_free(&x);
        sw_model_free(model);
    }
}

/* The row of the padding is 0 initially and has no gradient, for every type; the other rows are as without padding. */
static void test_padding_has_no_gradient(void **state) {
    (void)state;
    const double ids[6] = {4, 2, 2, 4, 2, 1};
    for (int t = 0; t < 4; t++) {
        const sw_dtype type = (sw_dtype)t;
        sw_array g[2], x[2];
        sw_model *model[2];
        sw_tape *tape = sw_tape_new();
        for (int padded = 0; padded < 2; padded++) {
            model[padded] = sw_model_new(type, 1);
            sw_module *layer = sw_nn_embedding_with_options(
                model[padded], ROWS, DIM, &SW_OPTIONS(sw_embedding_options, .padding = padded, .padding_id = 2));
            sw_params *p = built(model[padded], layer);
            const sw_param *w = sw_params_find(p, "embedding1.weight");
            x[padded] = sw_param_value(w);
            assert_ok(sw_backward(sw_sum(sw_forward(layer, tensor_of(tape, SW_I32, SW_SHAPE(2, 3), ids)))));
            g[padded] = sw_param_grad(w);
            sw_tape_reset(tape);
        }
        for (int i = 0; i < ROWS * DIM; i++) {
            const bool padding = i / DIM == 2;
            assert_true(test_get(&x[1], i) == (padding ? 0 : test_get(&x[0], i)));
            assert_true(test_get(&g[1], i) == (padding ? 0 : test_get(&g[0], i)));
            assert_true(!padding || test_get(&g[0], i) == 3);
        }
        sw_tape_free(tape);
        sw_model_free(model[0]);
        sw_model_free(model[1]);
    }
}

static void refused_id(sw_dtype type, double id, const char *message) {
    sw_model *model = sw_model_new(SW_F32, 1);
    sw_module *layer = sw_nn_embedding(model, ROWS, DIM);
    built(model, layer);
    sw_tape *tape = sw_tape_new();
    const double ids[6] = {0, 1, 2, 3, id, 0};
    assert_true(sw_is_null(sw_forward(layer, tensor_of(tape, type, SW_SHAPE(2, 3), ids))));
    expect_error(SW_ERR_ARGUMENT, message);
    sw_tape_free(tape);
    sw_model_free(model);
}

static void test_embedding_refuses_wrong_ids(void **state) {
    (void)state;
    refused_id(SW_F32, 2.5, "layer embedding1: 2.5 at [1,1] is not an id: integers from 0 to 4 are needed");
    refused_id(SW_F64, 5, "layer embedding1: 5 at [1,1] is not an id: integers from 0 to 4 are needed");
    refused_id(SW_F64, -1, "layer embedding1: -1 at [1,1] is not an id: integers from 0 to 4 are needed");
    refused_id(SW_F32, (double)fabsf(NAN),
               "layer embedding1: nan at [1,1] is not an id: integers from 0 to 4 are needed");
    refused_id(SW_U8, 200, "layer embedding1: 200 at [1,1] is not an id: integers from 0 to 4 are needed");
    refused_id(SW_I32, 5, "layer embedding1: gather_rows: id 5 at position 4 is outside 0 to 4");
    /* f32 does not tell 2^24 and 2^24 + 1 apart. */
    sw_model *model = sw_model_new(SW_F32, 1);
    sw_module *layer = sw_module_set_init(sw_nn_embedding(model, 16777300, 1), sw_init_zeros());
    built(model, layer);
    sw_tape *tape = sw_tape_new();
    assert_true(sw_is_null(sw_forward(layer, tensor_of(tape, SW_F32, SW_SHAPE(1), (const double[]){16777216}))));
    expect_error(SW_ERR_ARGUMENT, "layer embedding1: 16777216 at [0] is not an id: integers from 0 to "
                                  "16777299, as i32 above 2^24, are needed");
    assert_false(sw_is_null(sw_forward(layer, tensor_of(tape, SW_F64, SW_SHAPE(1), (const double[]){16777217}))));
    sw_tape_free(tape);
    sw_model_free(model);
}

static sw_module *no_rows(sw_model *m) {
    return sw_nn_embedding(m, 0, 3);
}
static sw_module *padding_outside(sw_model *m) {
    return sw_nn_embedding_with_options(m, 4, 3, &SW_OPTIONS(sw_embedding_options, .padding = true, .padding_id = 4));
}
static sw_module *too_deep(sw_model *m) {
    sw_model_set_input_shape(m, 7, (const int64_t[]){1, 1, 1, 1, 1, 1, 1});
    return sw_nn_embedding(m, 2, 3);
}

static void test_embedding_refuses_wrong_sizes(void **state) {
    (void)state;
    refused(no_rows, SW_ERR_ARGUMENT, "embedding: 0 rows of 3; 1 to 2^31 - 1 rows of 1 or more are needed");
    refused(padding_outside, SW_ERR_ARGUMENT, "embedding: padding id 4 is outside 0 to 3");
    refused(too_deep, SW_ERR_SHAPE,
            "layer embedding1: ids [1,1,1,1,1,1,1] for each sample: at most 6 axes are possible");
}

/* ---- Tied: the embedding and the output layer share a matrix ---- */

static sw_model *tied_model(sw_dtype type, sw_module **in, sw_module **out) {
    sw_model *model = sw_model_new(type, 5);
    *in = sw_nn_embedding(model, ROWS, DIM);
    *out = sw_module_tie(sw_nn_linear_no_bias(model, 0, ROWS), *in);
    sw_module *root = sw_nn_sequential(model, *in, sw_nn_linear(model, DIM, DIM), sw_nn_tanh(model), *out, NULL);
    sw_model_set_input_shape(model, 0, NULL); /* one id for each sample */
    built(model, root);
    return model;
}

static sw_tensor loss_of(sw_model *model, sw_tape *tape) {
    const double ids[3] = {1, 4, 1}, targets[3] = {2, 4, 0};
    return sw_cross_entropy(sw_forward(sw_model_root(model), tensor_of(tape, SW_I32, SW_SHAPE(3), ids)),
                            tensor_of(tape, SW_I32, SW_SHAPE(3), targets));
}

static void test_tied_layers_share_one_parameter(void **state) {
    (void)state;
    sw_module *in, *out;
    sw_model *model = tied_model(SW_F64, &in, &out);
    sw_params *p = sw_model_params(model);
    sw_param *first = sw_module_find_param(in, "weight"), *second = sw_module_find_param(out, "weight");
    assert_int_equal(sw_params_dim(p), ROWS * DIM + DIM * DIM + DIM); /* once */
    assert_ptr_equal(second->tied, first);
    assert_ptr_equal(sw_param_value(first).data, sw_param_value(second).data);
    assert_int_equal(first->role, SW_ROLE_EMBEDDING); /* and no other layer becomes the head */
    assert_int_equal(sw_params_find(p, "linear1.weight")->role, SW_ROLE_WEIGHT);
    /* Initial values are the target's: those that a model without the output layer has. */
    sw_model *alone = sw_model_new(SW_F64, 5);
    sw_params *q = built(alone, sw_nn_embedding(alone, ROWS, DIM));
    assert_memory_equal(sw_param_value(first).data, sw_params_x(q), ROWS * DIM * sizeof(double));
    sw_model_free(alone);
    /* Gradients of both uses add up: against differences of the one matrix. */
    sw_array ids = test_array(SW_I32, SW_SHAPE(3));
    test_set(&ids, 0, 1);
    test_set(&ids, 1, 4);
    test_set(&ids, 2, 1);
    check_gradients(sw_model_root(model), &ids);
    test_array_free(&ids);
    /* A step moves both, being one. */
    sw_optim *optim = sw_optim_new(p, "sgd lr=0.5");
    assert_non_null(optim);
    sw_tape *tape = sw_tape_new();
    double before = *(double *)sw_param_value(second).data;
    sw_gradient_make_fresh(sw_params_gradient(p));
    assert_int_equal(sw_backward(loss_of(model, tape)), SW_OK);
    double gradient = *(double *)sw_param_grad(first).data;
    assert_true(gradient != 0);
    assert_int_equal(sw_optim_step(optim), SW_OK);
    assert_true(*(double *)sw_param_value(second).data == before - 0.5 * gradient);
    sw_tape_free(tape);
    sw_optim_free(optim);
    sw_model_free(model);
}

/* One is frozen: so is the other. Back again: both move. */
static void test_freezing_one_tied_layer_freezes_both(void **state) {
    (void)state;
    for (int which = 0; which < 2; which++) {
        sw_module *in, *out;
        sw_model *model = tied_model(SW_F64, &in, &out);
        sw_params *p = sw_model_params(model);
        sw_optim *optim = sw_optim_new(p, "sgd lr=0.5");
        sw_tape *tape = sw_tape_new();
        sw_array w = sw_param_value(sw_module_find_param(in, "weight"));
        double before[ROWS * DIM];
        memcpy(before, w.data, sizeof before);
        for (int frozen = 1; frozen >= 0; frozen--) {
            assert_ptr_equal(sw_module_freeze(which ? out : in, frozen), which ? out : in);
            assert_int_equal(sw_backward(loss_of(model, tape)), SW_OK);
            assert_int_equal(sw_optim_step(optim), SW_OK);
            sw_tape_reset(tape);
            assert_int_equal(memcmp(before, w.data, sizeof before) == 0, frozen);
        }
        sw_tape_free(tape);
        sw_optim_free(optim);
        sw_model_free(model);
    }
}

static void test_bias_can_be_tied(void **state) {
    (void)state;
    sw_model *model = sw_model_new(SW_F32, 1);
    sw_module *a = sw_nn_linear(model, 2, 3), *b = sw_nn_linear(model, 3, 3);
    sw_params *p = built(model, sw_nn_sequential(model, a, sw_module_tie_param(b, "bias", a, "bias"), NULL));
    assert_int_equal(sw_params_dim(p), 6 + 3 + 9);
    assert_ptr_equal(sw_module_find_param(b, "bias")->tied, sw_module_find_param(a, "bias"));
    assert_int_equal(sw_module_find_param(b, "weight")->role, SW_ROLE_HEAD);
    assert_null(sw_module_find_param(a, "none"));
    assert_null(sw_module_find_param(NULL, "bias"));
    sw_model_free(model);
}

static sw_module *later(sw_model *m) {
    sw_module *a = sw_nn_linear(m, 2, 2), *b = sw_nn_linear(m, 2, 2);
    return sw_nn_sequential(m, sw_module_tie(a, b), b, NULL);
}
static sw_module *misfit(sw_model *m) {
    sw_module *a = sw_nn_embedding(m, 5, 3);
    return sw_nn_sequential(m, a, sw_module_tie(sw_nn_linear(m, 3, 4), a), NULL);
}
static sw_module *other_rank(sw_model *m) {
    sw_module *a = sw_nn_linear(m, 3, 4);
    return sw_nn_sequential(m, a, sw_module_tie_param(sw_nn_linear(m, 4, 4), "weight", a, "bias"), NULL);
}
static sw_module *no_such(sw_model *m) {
    sw_module *a = sw_nn_relu(m);
    return sw_nn_sequential(m, a, sw_module_tie(sw_nn_linear(m, 3, 4), a), NULL);
}
static sw_module *to_itself(sw_model *m) {
    sw_module *a = sw_nn_linear(m, 3, 3);
    return sw_module_tie(a, a);
}
static sw_module *to_nothing(sw_model *m) {
    return sw_module_tie(sw_nn_linear(m, 3, 3), NULL);
}
static sw_module *tied_and_started(sw_model *m) {
    sw_module *a = sw_nn_linear(m, 3, 3);
    return sw_nn_sequential(m, a, sw_module_set_init(sw_module_tie(sw_nn_linear(m, 3, 3), a), sw_init_zeros()), NULL);
}
static sw_module *unused_tie(sw_model *m) {
    sw_module *a = sw_nn_linear(m, 3, 3);
    return sw_nn_sequential(m, a, sw_module_tie(sw_nn_relu(m), a), NULL);
}

static void test_wrong_ties_are_refused(void **state) {
    (void)state;
    refused(later, SW_ERR_STATE,
            "layer linear1: its weight is tied to layer linear, which is built later: tie "
            "that layer to this one");
    refused(misfit, SW_ERR_SHAPE,
            "parameter linear1.weight: [4,3] cannot be tied to embedding1.weight [5,3]: "
            "axis 0 differs");
    refused(other_rank, SW_ERR_SHAPE,
            "parameter linear2.weight: [4,4] cannot be tied to linear1.bias [4]: 2 and 1 axes");
    refused(no_such, SW_ERR_STATE, "layer linear1: its weight is tied to layer relu1, which has no weight");
    refused(to_itself, SW_ERR_ARGUMENT, "layer linear: it can only be tied to another layer of its model");
    refused(to_nothing, SW_ERR_ARGUMENT,
            "layer linear: it can only be tied to another layer of its model (got NULL or a layer of another model)");
    refused(tied_and_started, SW_ERR_ARGUMENT,
            "layer linear: a tied weight has the initial values of the other layer's parameter");
    refused(unused_tie, SW_ERR_ARGUMENT, "layer relu1: it has no parameter weight, which is tied");
}

/* ---- Frozen ---- */

/* All below a layer, whether said before the build or after; the last word counts. */
static void test_freeze_covers_all_layers_below(void **state) {
    (void)state;
    sw_model *model = sw_model_new(SW_F64, 1);
    sw_module *a = sw_nn_linear(model, 2, 2), *b = sw_nn_linear(model, 2, 2), *c = sw_nn_linear(model, 2, 1);
    sw_module *body = sw_nn_sequential(model, a, b, NULL);
    sw_module_freeze(sw_module_freeze(body, true)->child[1], false);
    sw_params *p = built(model, sw_nn_sequential(model, body, c, NULL));
    for (int i = 0; i < 6; i++)
        assert_int_equal(sw_params_at(p, i)->frozen, i < 2);
    sw_module_freeze(body, true);
    sw_optim *optim = sw_optim_new(p, "adam lr=0.1");
    sw_tape *tape = sw_tape_new();
    double before[15], *x = sw_params_x(p);
    assert_int_equal(sw_params_dim(p), 15);
    for (int pass = 0; pass < 2; pass++) {
        memcpy(before, x, sizeof before);
        const double in[2] = {1, 2};
        sw_tensor y = sw_forward(sw_model_root(model), tensor_of(tape, SW_F64, SW_SHAPE(1, 2), in));
        assert_int_equal(sw_backward(sw_sum(y)), SW_OK);
        assert_int_equal(sw_optim_step(optim), SW_OK);
        sw_tape_reset(tape);
        for (int i = 0; i < 15; i++) /* 12 of the body, 3 after it; then all move */
            assert_int_equal(x[i] == before[i], i < 12 && pass == 0);
        sw_module_freeze(body, false);
    }
    assert_null(sw_module_freeze(NULL, true));
    sw_tape_free(tape);
    sw_optim_free(optim);
    sw_model_free(model);
}

/* A layer with a table that is not to be trained and a weight that is: x table weight. */
static sw_status positions_build(sw_module *module, sw_sample_shape *shape) {
    (void)shape;
    sw_param *fixed = sw_module_add_param(module, "table", SW_SHAPE(2), NULL);
    sw_param_freeze(fixed, true);
    return fixed && sw_module_add_param(module, "weight", SW_SHAPE(2), NULL) ? SW_OK : SW_ERR_USER;
}

static sw_tensor positions_forward(sw_module *module, sw_tensor x) {
    return sw_mul(sw_mul(x, sw_param_use(x.tape, module->param[0])), sw_param_use(x.tape, module->param[1]));
}

static const sw_module_type positions = {
    .size = sizeof positions, .name = "positions", .build = positions_build, .forward = positions_forward};

/* What a layer freezes in its build is frozen for good; a tied parameter with it. */
static void test_parameter_frozen_by_its_layer_stays_frozen(void **state) {
    (void)state;
    for (int early = 0; early < 2; early++) {
        sw_model *model = sw_model_new(SW_F64, 1);
        sw_module *own = sw_module_new(model, &positions, 0), *other = sw_module_new(model, &positions, 0);
        sw_module_tie_param(other, "table", own, "table");
        sw_module *body = sw_nn_sequential(model, own, other, NULL);
        sw_module_freeze(body, early);
        sw_params *p = built(model, body);
        const sw_param *fixed = sw_params_find(p, "positions1.table"), *weight = sw_params_find(p, "positions1.weight");
        for (int pass = 0; pass < 3; pass++) {
            assert_true(fixed->frozen);
            assert_int_equal(weight->frozen, pass == 0 ? early : pass == 1);
            sw_module_freeze(body, pass == 0);
        }
        sw_module_freeze(other, false);
        assert_true(fixed->frozen);
        sw_model_free(model);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_embedding_gives_the_rows),
        TEST(test_embedding_starts_with_normal_values),
        TEST(test_embedding_adds_gradients_of_repeated_ids),
        TEST(test_padding_has_no_gradient),
        TEST(test_embedding_refuses_wrong_ids),
        TEST(test_embedding_refuses_ids_of_16_bits),
        TEST(test_embedding_refuses_wrong_sizes),
        TEST(test_tied_layers_share_one_parameter),
        TEST(test_freezing_one_tied_layer_freezes_both),
        TEST(test_bias_can_be_tied),
        TEST(test_wrong_ties_are_refused),
        TEST(test_freeze_covers_all_layers_below),
        TEST(test_parameter_frozen_by_its_layer_stays_frozen),
        TEST(test_ids_of_a_past_step_are_refused),
    };
    return cmocka_run_group_tests_name("embedding", tests, NULL, NULL);
}
