/* Segments that are recomputed inside a vjp, written with the public headers: equal bits, parameters that are first
 * used there, calls that a vjp must not make, and tapes in several threads. */
#include "support.h"

#include <pthread.h>

#include "segment.h"

static bool recomputing; /* the same graph plainly, or in segments */

static sw_tensor inner_segment(const model *m, sw_tape *tape, sw_tensor x) { /* [batch, HIDDEN] */
    /* One use of the input: what the segment hands back is then added to other gradients of x in
     * the order of the plain graph, and the bits are equal. */
    x = sw_scale(x, 0.75);
    sw_tensor b = sw_param_use(tape, m->b0);
    sw_tensor h = sw_dropout(sw_tanh(sw_mul(x, b)), 0.3, 11);
    sw_tensor y = sw_add(h, sw_mul(x, h));
    sw_release(h);
    return y;
}

static sw_tensor outer_segment(const model *m, sw_tape *tape, sw_tensor x) {
    sw_tensor h = sw_dropout(sw_add(x, sw_param_use(tape, m->b0)), 0.2, 12);
    sw_tensor inner = recomputing ? recompute(m, inner_segment, h) : inner_segment(m, tape, h);
    return sw_tanh(sw_add(inner, sw_dropout(h, 0.4, 13)));
}

static sw_tensor segmented_loss(const model *m, sw_tape *tape, const sw_array *x, const sw_array *y) {
    sw_tensor h = sw_linear(sw_input(tape, *x), sw_param_use(tape, m->w0), sw_param_use(tape, m->b0));
    h = sw_tanh(h);
    for (int i = 0; i < 3; i++) {
        sw_tensor before = h;
        h = recomputing ? recompute(m, outer_segment, h) : outer_segment(m, tape, h);
        sw_release(before);
        h = sw_dropout(h, 0.1, 14);
    }
    return sw_mse(sw_linear(h, sw_param_use(tape, m->w1), (sw_tensor){0}), sw_input(tape, *y));
}

static void test_recomputed_segment_has_the_same_bits(void **state) {
    const fixture *f = *state;
    sw_params *p = f->m.params;
    const int64_t ids[BATCH] = {40, 41, 42, 43, 44, 45, 46, 47};
    uint64_t hash[2];
    double value[2];
    for (int pass = 0; pass < 4; pass++) {
        recomputing = pass % 2;
        sw_tape_reset(f->tape);
        sw_tape_set_draw(f->tape, 99 + (uint64_t)pass / 2);
        if (pass >= 2)
            assert_int_equal(sw_tape_set_sample_ids(f->tape, ids, BATCH), SW_OK);
        sw_gradient_make_fresh(sw_params_gradient(p));
        poison(p, sw_gradient_data(sw_params_gradient(p)));
        sw_tensor loss = segmented_loss(&f->m, f->tape, &f->x, &f->y);
        value[recomputing] = sw_item(loss);
        assert_int_equal(sw_backward(loss), SW_OK);
        hash[recomputing] = hash_of(p, sw_gradient_data(sw_params_gradient(p)));
        if (recomputing) {
            assert_true(value[0] == value[1]);
            assert_true(hash[0] == hash[1]); /* bit for bit */
        }
        expect_no_error();
    }
    assert_true(any_nonzero(f->m.b0) && any_nonzero(f->m.w0) && any_nonzero(f->m.w1));
    recomputing = false;
}

/* With the parameters frozen, and with recording off, a segment still gives values and dx. */
static void test_recomputed_segment_respects_the_switches(void **state) {
    const fixture *f = *state;
    recomputing = true;
    sw_array x = test_filled(SW_F64, SW_SHAPE(2, HIDDEN), -1, 1, 5);
    assert_int_equal(sw_tape_freeze(f->tape, f->m.params, true), SW_OK);
    sw_tensor v = sw_variable(f->tape, x);
    assert_int_equal(sw_backward(sw_sum(recompute(&f->m, outer_segment, v))), SW_OK);
    assert_non_null(sw_grad(v).data);
    assert_true(sw_gradient_is_fresh(sw_params_gradient(f->m.params)));
    sw_tape_reset(f->tape);
    assert_int_equal(sw_tape_freeze(f->tape, f->m.params, false), SW_OK);
    sw_tape_set_switch(f->tape, SW_RECORD, false);
    sw_tensor y = recompute(&f->m, outer_segment, sw_variable(f->tape, x));
    assert_false(sw_is_null(y));
    assert_false(sw_tape_switch(f->tape, SW_RECORD));
    sw_tape_set_switch(f->tape, SW_RECORD, true);
    expect_no_error();
    recomputing = false;
    test_array_free(&x);
}

/* A vjp that meets a set of parameters first: its block is opened, and closed, all the same. */
static const model *hidden_model;
static sw_status hidden_forward(sw_call *call) {
    memcpy(call->out->data, call->in[0]->data, (size_t)call->in[0]->count * sizeof(double));
    return SW_OK;
}
static sw_status hidden_vjp(sw_call *call) {
    sw_call_pass_grad(call, 0);
    sw_mark mark = sw_tape_mark(call->tape);
    sw_tensor b = sw_param_use(call->tape, hidden_model->b0);
    SW_TRY(sw_backward(sw_sum(sw_mul(b, b))));
    return sw_tape_rewind(call->tape, mark);
}
static const sw_op hidden_op = {
    .size = sizeof(sw_op), .name = "hidden", .shape = like_input, .forward = hidden_forward, .vjp = hidden_vjp};

static void test_parameters_met_inside_a_vjp(void **state) {
    const fixture *f = *state;
    sw_params *p = f->m.params;
    hidden_model = &f->m;
    poison(p, sw_gradient_data(sw_params_gradient(p)));
    sw_tensor v = sw_variable(f->tape, f->x), y = sw_apply(&hidden_op, NULL, 0, 1, &v);
    assert_int_equal(sw_backward(sw_sum(y)), SW_OK);
    assert_false(sw_gradient_is_fresh(sw_params_gradient(p)));
    sw_array g = sw_param_grad(f->m.b0), x = sw_param_value(f->m.b0);
    for (int i = 0; i < HIDDEN; i++)
        assert_true(test_get(&g, i) == 2 * test_get(&x, i));
    expect_zero(f->m.w0);
}

/* A vjp may not run backward into what was there before it, nor rewind it away. */
static sw_tensor outside;
static sw_mark old_mark;
static sw_status trespass_vjp(sw_call *call) {
    sw_call_pass_grad(call, 0);
    int what = *(const int *)call->attributes;
    if (what == 0)
        return sw_backward(sw_sum(outside)); /* reads an older tensor that has a gradient */
    if (what == 1)
        return sw_backward_from(outside, sw_value(outside));
    return sw_tape_rewind(call->tape, old_mark);
}
static const sw_op trespass_op = {
    .size = sizeof(sw_op), .name = "trespass", .shape = like_input, .forward = hidden_forward, .vjp = trespass_vjp};

static void test_vjp_cannot_reach_older_tensors(void **state) {
    const fixture *f = *state;
    static const char *const texts[] = {
        ("backward: inside a vjp, sum reads a tensor from before it that needs a gradient; the "
         "segment must take it as a sw_variable, or as an input of sw_recompute"),
        "backward: inside a vjp, backward accepts only tensors that the vjp has recorded",
        "tape_rewind: the mark is older than the backward that is under way",
    };
    for (int what = 0; what < 3; what++) {
        old_mark = sw_tape_mark(f->tape);
        sw_tensor v = sw_variable(f->tape, f->x);
        outside = sw_tanh(v);
        sw_tensor y = sw_apply(&trespass_op, &what, sizeof what, 1, &v);
        assert_int_equal(sw_backward(sw_sum(sw_add(y, outside))), SW_ERR_STATE);
        expect_error(SW_ERR_STATE, texts[what]);
        sw_tape_reset(f->tape);
        step(f); /* the tape is as good as new */
        sw_tape_reset(f->tape);
    }
}

/* ---- Tapes in many threads ---- */

typedef struct worker_job {
    const fixture *f;
    model m;
    uint64_t hash;
} worker_job;

static void *own_model(void *args) {
    worker_job *j = args;
    sw_tape *tape = sw_tape_new();
    j->hash = TEST_HASH;
    for (int step_number = 0; step_number < 60; step_number++) {
        sw_tape_set_draw(tape, (uint64_t)step_number);
        sw_gradient_make_fresh(sw_params_gradient(j->m.params));
        sw_tensor loss = segmented_loss(&j->m, tape, &j->f->x, &j->f->y);
        if (sw_backward(loss) != SW_OK)
            return "backward failed";
        double *x = sw_params_x(j->m.params);
        const double *g = sw_gradient_data(sw_params_gradient(j->m.params));
        for (int64_t i = 0; i < sw_params_dim(j->m.params); i++)
            x[i] -= 0.1 * g[i];
        sw_tape_reset(tape);
    }
    j->hash = hash_of(j->m.params, sw_params_x(j->m.params));
    sw_tape_free(tape);
    return NULL;
}

static void test_tapes_in_several_threads_give_the_same_bits(void **state) {
    const fixture *f = *state;
    enum { THREADS = 4 };
    worker_job alone = {.f = f, .m = model_new(SW_F64)}, jobs[THREADS];
    pthread_t thread[THREADS];
    assert_null(own_model(&alone));
    for (int i = 0; i < THREADS; i++) {
        jobs[i] = (worker_job){.f = f, .m = model_new(SW_F64)};
        assert_int_equal(pthread_create(&thread[i], NULL, own_model, &jobs[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        void *trouble;
        pthread_join(thread[i], &trouble);
        if (trouble)
            fail_msg("%s", (const char *)trouble);
        assert_true(jobs[i].hash == alone.hash);
        sw_params_free(jobs[i].m.params);
    }
    sw_params_free(alone.m.params);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_recomputed_segment_has_the_same_bits),
        TEST(test_recomputed_segment_respects_the_switches),
        TEST(test_parameters_met_inside_a_vjp),
        TEST(test_vjp_cannot_reach_older_tensors),
        TEST(test_tapes_in_several_threads_give_the_same_bits),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    sw_set_threads(1); /* joins the workers */
    return failed;
}
