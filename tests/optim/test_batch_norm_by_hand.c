/* Running statistics in hand-written loops: forward, backward, step. The statistics of a step are those of all forward
 * passes in training since the last step, pooled by sample; evaluation reports nothing. */
#include "batch_norm_net.h"

#include <swale/inspect.h>

typedef struct loop {
    net *n;
    sw_optim *o;
    sw_tape *tape;
} loop;

static loop loop_new(sw_dtype type, double momentum) {
    loop l = {.n = net_new(type, FEW, momentum), .tape = sw_tape_new()};
    l.o = sw_optim_new(l.n->params, "adamw lr=0.02 weight_decay=0.1");
    assert_true(l.o && l.tape);
    return l;
}

static void loop_free(loop *l) {
    sw_optim_free(l->o);
    sw_tape_free(l->tape);
    net_free(l->n);
}

/* The loss of samples first, first + 1, …, in a new pass of the tape unless `more`. */
static sw_tensor forward(const loop *l, int64_t first, int64_t count, bool more) {
    int64_t ids[FEW];
    sw_batch b;
    for (int64_t i = 0; i < count; i++)
        ids[i] = first + i;
    if (!more)
        sw_tape_reset(l->tape);
    assert_int_equal(sw_source_batch(&l->n->source, l->tape, sw_params_type(l->n->params), ids, count, &b), SW_OK);
    return sw_cross_entropy(sw_forward(l->n->root, b.x), b.y);
}

static moments expected(const loop *l, const void *vector, int64_t first, int64_t count) {
    int64_t ids[FEW];
    for (int64_t i = 0; i < count; i++)
        ids[i] = first + i;
    return net_moments(l->n, vector, ids, count);
}

static void assert_moved_by(const loop *l, const char *what, const void *before, int64_t first, int64_t count) {
    const moments m = expected(l, before, first, count);
    assert_moved(l->n, what, 1, before, &m, MOMENTUM);
}

/* The vjp of the prototype is correct. */
static sw_tensor normalized(void *user, sw_tape *tape, const sw_tensor *inputs) {
    const batch_norm_attributes a = *(const batch_norm_attributes *)user;
    (void)tape;
    return sw_apply(&batch_norm_op, &a, sizeof a, 3, inputs);
}

static void test_prototype_has_the_right_gradient(void **state) {
    (void)state;
    net *n = net_new(SW_F64, FEW, MOMENTUM);
    batch_norm_attributes a = {n->mean, n->variance, MOMENTUM};
    void *before = net_copy(n);
    sw_array in[] = {test_filled(SW_F64, SW_SHAPE(6, HIDDEN), -1, 1, 1),
                     test_filled(SW_F64, SW_SHAPE(HIDDEN), -1, 1, 2), test_filled(SW_F64, SW_SHAPE(HIDDEN), -1, 1, 3)};
    assert_int_equal(sw_gradcheck(normalized, &a, 3, in, NULL, NULL), SW_OK);
    /* The check has run the operation many times, and reported nothing. */
    assert_int_equal(sw_gradient_commit_buffers(sw_params_gradient(n->params), NULL, NAN), SW_OK);
    assert_memory_equal(sw_params_x(n->params), before, net_bytes(n));
    for (int i = 0; i < 3; i++)
        test_array_free(&in[i]);
    free(before);
    net_free(n);
}

static void test_each_step_moves_once(void **state) {
    (void)state;
    for (int t = 0; t < 2; t++) {
        loop l = loop_new(both_types[t], MOMENTUM);
        for (int step = 0; step < 6; step++) {
            void *before = net_copy(l.n);
            sw_tensor loss = forward(&l, 4 * step, 4, false);
            assert_int_equal(sw_backward(loss), SW_OK);
            assert_memory_equal(sw_params_x(l.n->params), before, net_bytes(l.n)); /* no buffer has changed so far */
            assert_int_equal(sw_optim_step(l.o), SW_OK);
            assert_moved_by(&l, "step", before, 4 * step, 4);
            free(before);
        }
        loop_free(&l);
    }
}

/* Two passes for one step, of unequal sizes, in one pass of the tape or in two: the statistics of all their samples. */
static void test_micro_batches_are_pooled(void **state) {
    (void)state;
    for (int t = 0; t < 2; t++)
        for (int more = 0; more < 2; more++) {
            loop l = loop_new(both_types[t], MOMENTUM);
            for (int step = 0; step < 3; step++) {
                void *before = net_copy(l.n);
                sw_tape_reset(l.tape);
                assert_int_equal(sw_backward(forward(&l, 0, 10 + step, false)), SW_OK);
                assert_int_equal(sw_backward(forward(&l, 10 + step, 6 - step, more != 0)), SW_OK);
                assert_int_equal(sw_optim_step(l.o), SW_OK);
                assert_moved_by(&l, "micro-batches", before, 0, 16);
                free(before);
            }
            loop_free(&l);
        }
}

/* An accumulated gradient that an objective has computed, in chunks. */
static void test_gradients_of_objectives_are_committed(void **state) {
    (void)state;
    loop l = loop_new(SW_F64, MOMENTUM);
    void *before = net_copy(l.n);
    double value;
    assert_int_equal(sw_backward(forward(&l, 0, 5, false)), SW_OK); /* is overwritten */
    assert_int_equal(sw_objective_gradient_chunked(l.n->plain, l.tape, NULL, NULL, FEW, 7, 0, &value,
                                                   sw_params_gradient(l.n->params)),
                     SW_OK);
    assert_int_equal(sw_objective_value(l.n->plain, l.tape, NULL, NULL, 3, 0, &value), SW_OK);
    assert_int_equal(sw_optim_step(l.o), SW_OK);
    assert_moved_by(&l, "chunks", before, 0, FEW);
    free(before);
    loop_free(&l);
}

/* Evaluation, in every form, between forward and step and after it. */
static void test_evaluation_moves_nothing(void **state) {
    (void)state;
    loop l = loop_new(SW_F64, MOMENTUM);
    sw_evaluation e;
    sw_array y = {0};
    for (int step = 0; step < 2; step++) {
        void *before = net_copy(l.n);
        assert_int_equal(sw_backward(forward(&l, 0, 9, false)), SW_OK);
        sw_tape_set_switch(l.tape, SW_TRAIN | SW_RECORD, false);
        assert_false(sw_is_null(forward(&l, 9, 15, false)));
        sw_tape_set_switch(l.tape, SW_TRAIN | SW_RECORD, true);
        assert_int_equal(sw_model_evaluate(l.n->model, NULL, &l.n->source, sw_cross_entropy, &e), SW_OK);
        assert_int_equal(sw_predict_source(l.n->model, &l.n->source, &y), SW_OK);
        assert_buffers_equal(l.n, before);
        assert_int_equal(sw_optim_step(l.o), SW_OK);
        assert_moved_by(&l, "between evaluations", before, 0, 9);
        free(before);
    }
    void *after = net_copy(l.n);
    assert_int_equal(sw_model_evaluate(l.n->model, NULL, &l.n->source, sw_cross_entropy, &e), SW_OK);
    assert_int_equal(sw_predict_source(l.n->model, &l.n->source, &y), SW_OK);
    assert_memory_equal(sw_params_x(l.n->params), after, net_bytes(l.n));
    free(after);
    sw_array_free(&y);
    loop_free(&l);
}

/* In evaluation the outputs are those of the running statistics. */
static void test_evaluation_uses_running_statistics(void **state) {
    (void)state;
    loop l = loop_new(SW_F64, MOMENTUM);
    assert_int_equal(sw_backward(forward(&l, 0, FEW, false)), SW_OK);
    assert_int_equal(sw_optim_step(l.o), SW_OK);
    const double *x = sw_params_x(l.n->params);
    sw_array y = {0};
    assert_int_equal(sw_predict_source(l.n->model, &l.n->source, &y), SW_OK);
    const sw_param *scale = sw_params_find(l.n->params, "norm1.scale"),
                   *shift = sw_params_find(l.n->params, "norm1.shift"),
                   *w = sw_params_find(l.n->params, "linear2.weight"), *b = sw_params_find(l.n->params, "linear2.bias");
    for (int64_t i = 0; i < FEW; i++)
        for (int c = 0; c < CLASSES; c++) {
            double out = x[b->offset + c];
            for (int k = 0; k < HIDDEN; k++) {
                double z = x[l.n->bias->offset + k];
                for (int j = 0; j < FEATURES; j++)
                    z += x[l.n->weight->offset + k * FEATURES + j] * l.n->x[i][j];
                const double hat = (z - x[l.n->mean->offset + k]) / sqrt(x[l.n->variance->offset + k] + batch_norm_eps);
                out += x[w->offset + c * HIDDEN + k] * tanh(x[scale->offset + k] * hat + x[shift->offset + k]);
            }
            assert_close("prediction", 0, test_get(&y, i * CLASSES + c), out, 1e-13); /* of about 40 roundings */
        }
    sw_array_free(&y);
    loop_free(&l);
}

/* A step with Inf in its gradient is skipped; one with an error pending, or without a gradient, is refused. Then the
 * reports are dropped: the next step uses its own reports alone. */
static void test_refused_steps_drop_what_was_reported(void **state) {
    (void)state;
    for (int kind = 0; kind < 3; kind++) {
        loop l = loop_new(SW_F64, MOMENTUM);
        void *before = net_copy(l.n);
        sw_tensor loss = forward(&l, 0, 10, false);
        if (kind == 0) {
            assert_int_equal(sw_backward(sw_scale(loss, (double)INFINITY)), SW_OK);
            assert_int_equal(sw_optim_step(l.o), SW_SKIPPED);
        } else if (kind == 1) {
            sw_fail(SW_ERR_USER, "of the program");
            assert_int_equal(sw_optim_step(l.o), SW_ERR_USER);
            sw_clear_error();
        } else {
            assert_int_equal(sw_optim_step(l.o), SW_ERR_STATE);
            expect_error(SW_ERR_STATE, "optim_step: there is no gradient; run sw_backward first");
        }
        assert_memory_equal(sw_params_x(l.n->params), before, net_bytes(l.n));
        assert_int_equal(sw_backward(forward(&l, 12, 7, false)), SW_OK);
        assert_int_equal(sw_optim_step(l.o), SW_OK);
        assert_moved_by(&l, "after a refused step", before, 12, 7);
        free(before);
        loop_free(&l);
    }
}

/* SAM by hand: the program turns the switch off for the second pass, at another point, so that it reports nothing. */
static void test_second_pass_without_the_switch(void **state) {
    (void)state;
    loop l = loop_new(SW_F64, MOMENTUM);
    double *x = sw_params_x(l.n->params);
    for (int step = 0; step < 3; step++) {
        void *before = net_copy(l.n);
        assert_int_equal(sw_backward(forward(&l, 0, 12, false)), SW_OK);
        const double *g = sw_gradient_data(sw_params_gradient(l.n->params));
        for (int64_t i = 0; i < sw_params_dim(l.n->params); i++)
            x[i] += 0.5 * g[i];
        sw_params_mark_changed(l.n->params);
        sw_tape_set_switch(l.tape, SW_UPDATE_BUFFERS, false);
        assert_int_equal(sw_backward(forward(&l, 0, 12, false)), SW_OK);
        sw_tape_set_switch(l.tape, SW_UPDATE_BUFFERS, true);
        memcpy(x, before, net_bytes(l.n));
        sw_params_mark_changed(l.n->params);
        assert_int_equal(sw_optim_step(l.o), SW_OK);
        assert_moved_by(&l, "by hand", before, 0, 12);
        free(before);
    }
    loop_free(&l);
}

/* A program that updates x itself, and commits the buffers. */
static void test_program_commits_by_itself(void **state) {
    (void)state;
    loop l = loop_new(SW_F64, MOMENTUM);
    sw_gradient *gradient = sw_params_gradient(l.n->params);
    double *x = sw_params_x(l.n->params);
    for (int step = 0; step < 3; step++) {
        void *before = net_copy(l.n);
        assert_int_equal(sw_backward(forward(&l, 8 * step, 8, false)), SW_OK);
        const double *g = sw_gradient_data(gradient);
        for (int64_t i = 0; i < sw_params_dim(l.n->params); i++)
            x[i] -= 0.1 * g[i]; /* 0 for buffers */
        assert_int_equal(sw_gradient_commit_buffers(gradient, NULL, NAN), SW_OK);
        sw_gradient_make_fresh(gradient);
        assert_moved_by(&l, "own rule", before, 8 * step, 8);
        free(before);
    }
    loop_free(&l);
}

/* A layer that is called twice in one pass reports both inputs. */
static void test_shared_layer_pools_its_calls(void **state) {
    (void)state;
    loop l = loop_new(SW_F64, MOMENTUM);
    double first[2 * HIDDEN], second[3 * HIDDEN];
    for (int i = 0; i < 3 * HIDDEN; i++) {
        if (i < 2 * HIDDEN)
            first[i] = 0.5 * i;
        second[i] = 3 - 0.25 * i;
    }
    sw_tensor a = sw_forward(l.n->norm, sw_input(l.tape, sw_array_view(first, SW_F64, SW_SHAPE(2, HIDDEN)))),
              b = sw_forward(l.n->norm, sw_input(l.tape, sw_array_view(second, SW_F64, SW_SHAPE(3, HIDDEN))));
    assert_int_equal(sw_backward(sw_add(sw_sum(sw_mul(a, a)), sw_sum(sw_mul(b, b)))), SW_OK);
    assert_int_equal(sw_optim_step(l.o), SW_OK);
    for (int k = 0; k < HIDDEN; k++) {
        const double v[] = {first[k], first[HIDDEN + k], second[k], second[HIDDEN + k], second[2 * HIDDEN + k]};
        double mean = 0, squares = 0;
        for (int i = 0; i < 5; i++)
            mean += v[i] / 5;
        for (int i = 0; i < 5; i++)
            squares += (v[i] - mean) * (v[i] - mean);
        const sw_array m = sw_param_value(l.n->mean), s = sw_param_value(l.n->variance);
        assert_close("mean", 1, test_get(&m, k), MOMENTUM * mean, 1e-14); /* of values below 5 */
        assert_close("variance", 1, test_get(&s, k), 1 - MOMENTUM + MOMENTUM * squares / 4, 1e-14);
    }
    loop_free(&l);
}

/* The statistics of one row have no unbiased variance. */
static void test_single_sample_is_refused(void **state) {
    (void)state;
    loop l = loop_new(SW_F64, MOMENTUM);
    void *before = net_copy(l.n);
    assert_int_equal(sw_backward(forward(&l, 0, 1, false)), SW_OK);
    assert_int_equal(sw_optim_step(l.o), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "buffer norm1.variance: the unbiased variance of 1 value; more than one is needed (a "
                                  "larger batch?)");
    assert_memory_equal(sw_params_x(l.n->params), before, net_bytes(l.n));
    free(before);
    loop_free(&l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prototype_has_the_right_gradient),
        cmocka_unit_test(test_each_step_moves_once),
        cmocka_unit_test(test_micro_batches_are_pooled),
        cmocka_unit_test(test_gradients_of_objectives_are_committed),
        cmocka_unit_test(test_evaluation_moves_nothing),
        cmocka_unit_test(test_evaluation_uses_running_statistics),
        cmocka_unit_test(test_refused_steps_drop_what_was_reported),
        cmocka_unit_test(test_second_pass_without_the_switch),
        cmocka_unit_test(test_program_commits_by_itself),
        cmocka_unit_test(test_shared_layer_pools_its_calls),
        cmocka_unit_test(test_single_sample_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
