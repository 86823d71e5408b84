/* sw_recompute: values, gradients and random numbers of a segment are those of a plain call, bit for bit, whatever the
 * program changes between forward and backward. */
#include "support.h"

#include <swale/extend.h>

#include <pthread.h>

#include "recomputed.h"
#include "segment.h"

static uint64_t pass_of(const fixture *f, double *value) {
    sw_params *p = f->m.params;
    sw_gradient_make_fresh(sw_params_gradient(p));
    poison(p, sw_gradient_data(sw_params_gradient(p)));
    sw_tensor loss = graph(f);
    *value = sw_item(loss);
    assert_true(sw_loss_weight(loss) == BATCH * OUT || sw_loss_weight(loss) == BATCH);
    assert_ok(sw_backward(loss));
    return hash_of(p, sw_gradient_data(sw_params_gradient(p)));
}

static void test_segments_have_the_bits_of_plain_calls(void **state) {
    const fixture *f = *state;
    const int64_t ids[BATCH] = {40, 41, 42, 43, 44, 45, 46, 47};
    for (int pass = 0; pass < 3; pass++) {
        uint64_t hash[2];
        double value[2], weight[2];
        for (int r = 0; r < 2; r++) {
            recomputing = r;
            sw_tape_reset(f->tape);
            sw_tape_set_draw(f->tape, 99);
            if (pass > 0)
                assert_ok(sw_tape_set_sample_ids(f->tape, ids, BATCH));
            sw_tape_set_switch(f->tape, SW_TRAIN, pass < 2);
            hash[r] = pass_of(f, &value[r]);
            weight[r] = sw_gradient_weight(sw_params_gradient(f->m.params));
        }
        assert_true(value[0] == value[1]);
        assert_true(hash[0] == hash[1]);
        assert_true(weight[0] == weight[1]);
    }
    assert_true(any_nonzero(f->m.b0) && any_nonzero(f->m.w0) && any_nonzero(f->m.w1));
    sw_tape_set_switch(f->tape, SW_TRAIN, true);
    recomputing = false;
}

/* Equal bits for every number of threads, at a size that several threads share. */
static void test_segments_have_the_same_bits_on_any_number_of_threads(void **state) {
    const fixture *f = *state;
    uint64_t first = 0;
    sw_array x = test_filled(SW_F64, SW_SHAPE(6000, HIDDEN), -1, 1, 9);
    for (int threads = 1; threads <= 8; threads *= 2)
        for (int r = 0; r < 2; r++) {
            recomputing = r;
            sw_set_threads(threads);
            sw_tape_reset(f->tape);
            sw_tape_set_draw(f->tape, 3);
            sw_tensor v = sw_variable(f->tape, x);
            assert_ok(sw_backward(sw_sum(call(nested, f, 1, &v))));
            const uint64_t hash = test_hash(TEST_HASH, sw_grad(v).data, test_bytes(&x));
            first = first ? first : hash;
            assert_true(hash == first);
        }
    sw_set_threads(1);
    recomputing = false;
    test_array_free(&x);
}

/* The second call happens in the state of the first. */
static void test_changes_before_backward_do_not_reach_the_segment(void **state) {
    const fixture *f = *state;
    const int64_t ids[BATCH] = {1, 2, 3, 4, 5, 6, 7, 8}, others[BATCH] = {9, 9, 9, 9, 9, 9, 9, 9};
    uint64_t hash[2];
    sw_array x = test_filled(SW_F64, SW_SHAPE(BATCH, HIDDEN), -1, 1, 5);
    for (int r = 0; r < 2; r++) {
        recomputing = r;
        sw_tape_reset(f->tape);
        sw_tape_set_draw(f->tape, 5);
        assert_ok(sw_tape_set_sample_ids(f->tape, ids, BATCH));
        sw_tensor v = sw_variable(f->tape, x), loss = sw_sum(call(nested, f, 1, &v));
        sw_tape_set_draw(f->tape, 6);
        assert_ok(sw_tape_set_sample_ids(f->tape, others, BATCH));
        sw_tape_set_seed(f->tape, 77);
        sw_tape_set_switch(f->tape, SW_TRAIN | SW_RECORD, false);
        assert_ok(sw_backward(loss));
        assert_false(sw_tape_switch(f->tape, SW_TRAIN));
        assert_false(sw_tape_switch(f->tape, SW_RECORD));
        assert_int_equal(sw_tape_draw(f->tape), 6);
        assert_int_equal(sw_tape_sample_ids(f->tape, BATCH)[0], 9);
        sw_tape_set_switch(f->tape, SW_TRAIN | SW_RECORD, true);
        sw_tape_set_seed(f->tape, 0);
        hash[r] = test_hash(TEST_HASH, sw_grad(v).data, test_bytes(&x));
    }
    assert_true(hash[0] == hash[1]);
    recomputing = false;
    test_array_free(&x);
}

/* ---- Results of other shapes, and results that are inputs ---- */

static sw_tensor to_views(void *user, sw_tape *tape, const sw_tensor *in) {
    (void)user, (void)tape;
    return sw_reshape(sw_transpose(in[0], 0, 1), SW_SHAPE(-1));
}
static sw_tensor to_view_of_input(void *user, sw_tape *tape, const sw_tensor *in) {
    (void)user, (void)tape;
    return sw_reshape(in[0], SW_SHAPE(-1));
}
static sw_tensor to_scalar(void *user, sw_tape *tape, const sw_tensor *in) {
    (void)user, (void)tape;
    return sw_mean(sw_mul(in[0], in[0]));
}
static sw_tensor to_input(void *user, sw_tape *tape, const sw_tensor *in) {
    (void)user, (void)tape;
    return in[0];
}
static sw_tensor to_parameter(void *user, sw_tape *tape, const sw_tensor *in) {
    (void)in;
    return sw_param_use(tape, ((const fixture *)user)->m.b0);
}
static sw_tensor to_nothing(void *user, sw_tape *tape, const sw_tensor *in) {
    (void)user, (void)tape;
    return sw_detach(sw_tanh(in[0]));
}

static void test_results_may_have_any_shape(void **state) {
    const fixture *f = *state;
    static const sw_function functions[] = {to_views, to_view_of_input, to_scalar, to_input, to_parameter, to_nothing};
    sw_array x = test_filled(SW_F64, SW_SHAPE(40, HIDDEN), -1, 1, 5);
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        uint64_t hash[2];
        for (int r = 0; r < 2; r++) {
            recomputing = r;
            sw_tape_reset(f->tape);
            sw_gradient_make_fresh(sw_params_gradient(f->m.params));
            sw_tensor v = sw_variable(f->tape, x), h = sw_scale(v, 2), y = call(functions[i], f, 1, &h);
            assert_ok(sw_backward(sw_add(sw_sum(sw_mul(y, y)), sw_scale(sw_sum(h), 1e-3))));
            const sw_array values = sw_value(y), g = sw_grad(v);
            hash[r] = test_hash(TEST_HASH, values.data, test_bytes(&values));
            hash[r] = test_hash(hash[r], values.shape, (size_t)values.rank * sizeof *values.shape);
            hash[r] = test_hash(hash[r], g.data, test_bytes(&g));
            const bool trains = functions[i] == to_parameter;
            assert_int_equal(sw_gradient_is_fresh(sw_params_gradient(f->m.params)), !trains);
            if (trains)
                hash[r] = hash[r] ^ hash_of(f->m.params, sw_gradient_data(sw_params_gradient(f->m.params)));
        }
        if (hash[0] != hash[1])
            fail_msg("function %d: other bits", (int)i);
    }
    recomputing = false;
    test_array_free(&x);
}

/* ---- Beside marks, and beside segments that are written as operations ---- */

/* A tape can be rewound over segments any number of times. */
static void test_tape_is_rewound_over_segments(void **state) {
    const fixture *f = *state;
    sw_tensor v = sw_variable(f->tape, f->x);
    sw_tensor h = sw_linear(v, sw_param_use(f->tape, f->m.w0), (sw_tensor){0});
    const sw_mark mark = sw_tape_mark(f->tape);
    uint64_t first = 0;
    size_t high = 0;
    recomputing = true;
    for (int i = 0; i < 5; i++) {
        sw_tensor y = call(nested, f, 1, &h);
        assert_ok(sw_backward(sw_sum(call(residual, f, 1, &y))));
        const uint64_t hash = test_hash(TEST_HASH, sw_grad(v).data, test_bytes(&f->x));
        first = first ? first : hash;
        high = high ? high : sw_tape_touched_bytes(f->tape);
        assert_true(hash == first);
        assert_int_equal(sw_tape_touched_bytes(f->tape), high);
        assert_ok(sw_tape_rewind(f->tape, mark));
        assert_null(sw_grad(v).data);
    }
    recomputing = false;
}

static sw_tensor gate_of_model(const model *m, sw_tape *tape, sw_tensor x) {
    return sw_dropout(sw_mul(x, sw_tanh(sw_mul(x, sw_param_use(tape, m->b0)))), 0.25, 3);
}

static sw_tensor with_operation(void *user, sw_tape *tape, const sw_tensor *in) {
    const fixture *f = user;
    sw_tensor h = sw_scale(in[0], 0.5);
    sw_tensor y = recomputing ? recompute(&f->m, gate_of_model, h) : gate_of_model(&f->m, tape, h);
    return sw_tanh(call(gate, f, 1, &y));
}

static void test_segments_contain_operations_with_marks(void **state) {
    const fixture *f = *state;
    uint64_t hash[2];
    sw_array x = test_filled(SW_F64, SW_SHAPE(BATCH, HIDDEN), -1, 1, 5);
    for (int r = 0; r < 2; r++) {
        recomputing = r;
        sw_tape_reset(f->tape);
        sw_tape_set_draw(f->tape, 1);
        sw_gradient_make_fresh(sw_params_gradient(f->m.params));
        sw_tensor v = sw_variable(f->tape, x), y = call(with_operation, f, 1, &v);
        assert_ok(sw_backward(sw_sum(call(with_operation, f, 1, &y))));
        hash[r] = test_hash(hash_of(f->m.params, sw_gradient_data(sw_params_gradient(f->m.params))), sw_grad(v).data,
                            test_bytes(&x));
    }
    assert_true(hash[0] == hash[1]);
    recomputing = false;
    test_array_free(&x);
}

/* ---- 16 bits, and tapes in many threads ---- */

static void test_inputs_may_be_stored_in_16_bits(void **state) {
    const fixture *f = *state;
    sw_array x = test_filled(SW_BF16, SW_SHAPE(40, HIDDEN), -1, 1, 5),
             c = test_filled(SW_BF16, SW_SHAPE(40 * HIDDEN), -1, 1, 6);
    sw_tensor v = sw_variable(f->tape, x), y = sw_recompute(to_view_of_input, NULL, 1, &v);
    assert_memory_equal(sw_value(y).data, x.data, test_bytes(&x));
    assert_ok(sw_backward_from(y, c));
    assert_memory_equal(sw_grad(v).data, c.data, test_bytes(&c));
    test_array_free(&x);
    test_array_free(&c);
}

typedef struct worker_job {
    fixture f;
    uint64_t hash;
} worker_job;

static void *train_model(void *args) {
    worker_job *j = args;
    sw_params *p = j->f.m.params;
    for (int i = 0; i < 40; i++) {
        sw_tape_set_draw(j->f.tape, (uint64_t)i);
        sw_gradient_make_fresh(sw_params_gradient(p));
        if (sw_backward(graph(&j->f)) != SW_OK)
            return "backward failed";
        double *x = sw_params_x(p);
        const double *g = sw_gradient_data(sw_params_gradient(p));
        for (int64_t k = 0; k < sw_params_dim(p); k++)
            x[k] -= 0.1 * g[k];
        sw_params_mark_changed(p);
        sw_tape_reset(j->f.tape);
    }
    j->hash = hash_of(p, sw_params_x(p));
    return NULL;
}

static void test_tapes_in_several_threads_give_the_same_bits(void **state) {
    const fixture *f = *state;
    enum { THREADS = 4 };
    worker_job job[THREADS + 1];
    pthread_t thread[THREADS];
    recomputing = true;
    for (int i = 0; i <= THREADS; i++)
        job[i] = (worker_job){.f = {.m = model_new(SW_F64), .tape = sw_tape_new(), .x = f->x, .y = f->y}};
    assert_null(train_model(&job[THREADS]));
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, train_model, &job[i]), 0);
    for (int i = 0; i < THREADS; i++) {
        void *trouble;
        pthread_join(thread[i], &trouble);
        if (trouble)
            fail_msg("%s", (const char *)trouble);
        assert_true(job[i].hash == job[THREADS].hash);
    }
    recomputing = false;
    for (int i = 0; i <= THREADS; i++) {
        sw_tape_free(job[i].f.tape);
        sw_params_free(job[i].f.m.params);
    }
}

/* ---- Gradients against central differences ---- */

static sw_tensor checked(void *user, sw_tape *tape, const sw_tensor *in) {
    (void)tape;
    recomputing = true;
    sw_tensor y = call(nested, user, 1, in);
    const sw_tensor five[5] = {y, in[1], in[2], in[0], y};
    return call(several, user, 5, five);
}

static void test_gradients_equal_central_differences(void **state) {
    const fixture *f = *state;
    sw_array in[3] = {test_filled(SW_F64, SW_SHAPE(BATCH, HIDDEN), -1, 1, 5),
                      test_filled(SW_F64, SW_SHAPE(BATCH, HIDDEN), -1, 1, 6),
                      test_filled(SW_F64, SW_SHAPE(HIDDEN), -1, 1, 7)};
    assert_ok(sw_gradcheck(checked, (void *)(uintptr_t)f, 3, in, NULL, NULL));
    for (int i = 0; i < 3; i++)
        test_array_free(&in[i]);
    recomputing = false;
}

static void test_check_and_keep_modes_work_in_segments(void **state) {
    const fixture *f = *state;
    double plain, value;
    const uint64_t hash = pass_of(f, &plain);
    recomputing = true;
    for (int mode = 0; mode < 2; mode++) {
        const unsigned switches = mode ? SW_KEEP : SW_CHECK;
        sw_tape_reset(f->tape);
        sw_tape_set_draw(f->tape, 0);
        sw_tape_set_switch(f->tape, switches, true);
        assert_true(pass_of(f, &value) == hash && value == plain);
        sw_tape_set_switch(f->tape, switches, false);
    }
    recomputing = false;
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_segments_have_the_bits_of_plain_calls),
        TEST(test_segments_have_the_same_bits_on_any_number_of_threads),
        TEST(test_changes_before_backward_do_not_reach_the_segment),
        TEST(test_results_may_have_any_shape),
        TEST(test_tape_is_rewound_over_segments),
        TEST(test_segments_contain_operations_with_marks),
        TEST(test_inputs_may_be_stored_in_16_bits),
        TEST(test_tapes_in_several_threads_give_the_same_bits),
        TEST(test_gradients_equal_central_differences),
        TEST(test_check_and_keep_modes_work_in_segments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
