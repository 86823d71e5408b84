/* The vectors from which a tape reads parameters, and the blocks into which it writes gradients: bindings to other
 * vectors and blocks, fresh blocks and blocks that accumulate, means over micro-batches, frozen and tied parameters. */
#include "support.h"

#include <pthread.h>

#include "small_model.h"
#include "small_ops.h"

static sw_array rows(const sw_array *a, int64_t first, int64_t count) {
    sw_array part = *a;
    int64_t width = sw_array_count(a) / a->shape[0];
    part.data = (char *)a->data + (size_t)(first * width) * sw_dtype_size(a->type);
    part.shape[0] = count;
    return part;
}

/* ---- Bindings ---- */

static void test_tape_reads_and_writes_where_it_is_bound(void **state) {
    const fixture *f = *state;
    sw_params *p = f->m.params;
    size_t bytes = (size_t)sw_params_dim(p) * sizeof(double);
    double *x = malloc(bytes), *own = sw_params_x(p);
    sw_gradient *g = sw_gradient_new(p);
    for (int64_t i = 0; i < sw_params_dim(p); i++)
        x[i] = own[i] * 0.5;
    step(f);
    uint64_t x_before = hash_of(p, own), g_before = hash_of(p, sw_gradient_data(sw_params_gradient(p)));
    double loss_before = sw_item(model_loss(&f->m, f->tape, &f->x, &f->y));
    sw_tape_reset(f->tape);

    assert_int_equal(sw_tape_bind(f->tape, p, x, g), SW_OK);
    poison(p, sw_gradient_data(g));
    double loss_there = sw_item(model_loss(&f->m, f->tape, &f->x, &f->y));
    assert_true(loss_there != loss_before);
    assert_true(sw_value(sw_param_use(f->tape, f->m.w0)).data ==
                (void *)(x + f->m.w0->offset)); /* read in place: nothing was copied */
    step(f);
    uint64_t there = hash_of(p, sw_gradient_data(g));
    assert_true(sw_grad(sw_param_use(f->tape, f->m.w1)).data ==
                (void *)((double *)sw_gradient_data(g) + f->m.w1->offset));
    /* Its own vector and gradient saw nothing of it. */
    assert_true(hash_of(p, own) == x_before);
    assert_true(hash_of(p, sw_gradient_data(sw_params_gradient(p))) == g_before);
    sw_tape_reset(f->tape);

    /* And back: bit for bit. */
    assert_int_equal(sw_tape_bind(f->tape, p, NULL, NULL), SW_OK);
    sw_gradient_make_fresh(sw_params_gradient(p));
    assert_true(sw_item(model_loss(&f->m, f->tape, &f->x, &f->y)) == loss_before);
    step(f);
    assert_true(hash_of(p, sw_gradient_data(sw_params_gradient(p))) == g_before);
    sw_tape_reset(f->tape);

    /* The same numbers in the model's own place give the same gradient. */
    memcpy(own, x, bytes);
    sw_gradient_make_fresh(sw_params_gradient(p));
    step(f);
    assert_true(hash_of(p, sw_gradient_data(sw_params_gradient(p))) == there);
    sw_gradient_free(g);
    free(x);
}

typedef struct job {
    const fixture *f;
    double *x;
    sw_gradient *g;
    double loss;
    const char *trouble;
} job;

static void *run_job(void *args) {
    job *j = args;
    sw_tape *tape = sw_tape_new();
    j->trouble = NULL;
    for (int round = 0; round < 50 && !j->trouble; round++) {
        sw_gradient_make_fresh(j->g);
        if (sw_tape_bind(tape, j->f->m.params, j->x, j->g) != SW_OK)
            j->trouble = "bind";
        sw_tensor loss = model_loss(&j->f->m, tape, &j->f->x, &j->f->y);
        j->loss = sw_item(loss);
        if (sw_backward(loss) != SW_OK)
            j->trouble = "backward";
        sw_tape_reset(tape);
    }
    sw_tape_free(tape);
    if (sw_error())
        j->trouble = "an error was kept";
    return NULL;
}

static void test_two_threads_bind_one_set_elsewhere(void **state) {
    const fixture *f = *state;
    int64_t dim = sw_params_dim(f->m.params);
    job jobs[2];
    uint64_t serial[2];
    double losses[2];
    for (int i = 0; i < 2; i++) {
        jobs[i] = (job){.f = f, .x = malloc((size_t)dim * sizeof(double)), .g = sw_gradient_new(f->m.params)};
        for (int64_t k = 0; k < dim; k++)
            jobs[i].x[k] = ((const double *)sw_params_x(f->m.params))[k] * (1 + i);
        run_job(&jobs[i]);
        serial[i] = hash_of(f->m.params, sw_gradient_data(jobs[i].g));
        losses[i] = jobs[i].loss;
    }
    assert_true(serial[0] != serial[1]);
    pthread_t thread[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, run_job, &jobs[i]), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(thread[i], NULL);
    for (int i = 0; i < 2; i++) {
        if (jobs[i].trouble)
            fail_msg("%s", jobs[i].trouble);
        assert_true(hash_of(f->m.params, sw_gradient_data(jobs[i].g)) == serial[i]);
        assert_true(jobs[i].loss == losses[i]);
        free(jobs[i].x);
        sw_gradient_free(jobs[i].g);
    }
}

/* The set's memory may come back to the next set: the tape must not take one for the other. */
static void test_tape_tells_a_new_set_from_a_freed_one(void **state) {
    const fixture *f = *state;
    for (int i = 0; i < 20; i++) {
        sw_params *p = sw_params_new(SW_F64, (uint64_t)i);
        int count = 1 + i % 3;
        sw_param *w = NULL;
        for (int k = 0; k < count; k++) {
            char name[16];
            snprintf(name, sizeof name, "w%d", k);
            w = declare(p, name, SW_SHAPE(2));
        }
        assert_int_equal(sw_params_build(p), SW_OK);
        sw_tensor t = sw_param_use(f->tape, w);
        assert_true(sw_value(t).data == sw_param_value(w).data);
        assert_int_equal(sw_backward(sw_sum(t)), SW_OK);
        assert_true(test_get(&(sw_array){.data = sw_param_grad(w).data, .type = SW_F64}, 1) == 1);
        sw_tape_reset(f->tape);
        sw_params_free(p);
    }
}

/* ---- Gradient blocks ---- */

static void test_fresh_block_is_stored_then_added_to(void **state) {
    const fixture *f = *state;
    sw_params *p = f->m.params;
    sw_gradient *g = sw_params_gradient(p);
    assert_true(sw_gradient_is_fresh(g));
    assert_null(sw_grad(sw_param_use(f->tape, f->m.w0)).data);
    poison(p, sw_gradient_data(g));
    step(f);
    assert_false(sw_gradient_is_fresh(g));
    sw_array once = test_array(SW_F64, SW_SHAPE(sw_params_dim(p)));
    memcpy(once.data, sw_gradient_data(g), test_bytes(&once));
    for (int64_t i = 0; i < sw_params_dim(p); i++)
        assert_true(isfinite(test_get(&once, i))); /* stored, not added to NaN */
    sw_array unused = sw_param_grad(f->m.unused);
    for (int i = 0; i < 4; i++)
        assert_true(test_get(&unused, i) == 0);
    /* A second loss on the same pass adds up: 2 g has no rounding. */
    step(f);
    const double *now = sw_gradient_data(g);
    for (int64_t i = 0; i < sw_params_dim(p); i++)
        assert_true(now[i] == 2 * test_get(&once, i));
    /* Fresh again within the pass: stored again. */
    sw_gradient_make_fresh(g);
    poison(p, sw_gradient_data(g));
    step(f);
    assert_memory_equal(now, once.data, test_bytes(&once));
    /* Without sample ids a pass counts as one: the mean of two equal passes is that pass. */
    sw_tape_reset(f->tape);
    step(f);
    assert_memory_equal(sw_gradient_data(g), once.data, test_bytes(&once));
    assert_int_equal(sw_gradient_samples(g), 2);
    test_array_free(&once);
}

static void test_micro_batches_give_the_gradient_of_the_batch(void **state) {
    const fixture *f = *state;
    sw_params *p = f->m.params;
    sw_gradient *g = sw_params_gradient(p);
    const int64_t ids[BATCH] = {0, 1, 2, 3, 4, 5, 6, 7};
    assert_int_equal(sw_tape_set_sample_ids(f->tape, ids, BATCH), SW_OK);
    step(f);
    assert_int_equal(sw_gradient_samples(g), BATCH);
    sw_array whole = test_array(SW_F64, SW_SHAPE(sw_params_dim(p)));
    memcpy(whole.data, sw_gradient_data(g), test_bytes(&whole));
    sw_gradient_make_fresh(g);
    assert_int_equal(sw_gradient_samples(g), 0);
    poison(p, sw_gradient_data(g));
    static const int64_t parts[][3] = {{5, 3, 0}, {3, 5, 0}, {1, 6, 1}, {2, 2, 4}};
    for (size_t k = 0; k < sizeof parts / sizeof *parts; k++) {
        int64_t first = 0;
        sw_gradient_make_fresh(g);
        for (int i = 0; i < 3 && parts[k][i]; i++) {
            int64_t n = parts[k][i];
            sw_tape_reset(f->tape);
            assert_int_equal(sw_tape_set_sample_ids(f->tape, ids + first, n), SW_OK);
            sw_array x = rows(&f->x, first, n), y = rows(&f->y, first, n);
            /* two halves of the loss, so that later passes also add within a pass */
            sw_tensor loss = model_loss(&f->m, f->tape, &x, &y);
            assert_int_equal(sw_backward(sw_scale(loss, 0.5)), SW_OK);
            assert_int_equal(sw_backward(sw_scale(loss, 0.5)), SW_OK);
            first += n;
        }
        assert_int_equal(sw_gradient_samples(g), BATCH);
        /* Each number is a sum over 8 samples of 3 terms below 4, summed in another order and
         * weighted in up to 4 roundings: 24 · 4 · (24 + 8) · 2^-53 */
        const double tolerance = 24 * 4 * 32 * 0x1p-53;
        for (int64_t i = 0; i < sw_params_dim(p); i++)
            assert_true(fabs(((const double *)sw_gradient_data(g))[i] - test_get(&whole, i)) <= tolerance);
    }
    test_array_free(&whole);
}

/* A backward of a tape that does not touch a set leaves that set's block alone. */
static void test_block_of_an_unused_set_is_left_alone(void **state) {
    const fixture *f = *state;
    sw_params *p = f->m.params;
    step(f);
    uint64_t before = hash_of(p, sw_gradient_data(sw_params_gradient(p)));
    sw_tape_reset(f->tape);
    assert_int_equal(sw_backward(sw_sum(sw_variable(f->tape, f->x))), SW_OK);
    assert_true(hash_of(p, sw_gradient_data(sw_params_gradient(p))) == before);
    assert_int_equal(sw_gradient_samples(sw_params_gradient(p)), 1);
}

static void test_frozen_parameters_have_no_gradient(void **state) {
    const fixture *f = *state;
    sw_params *p = f->m.params;
    step(f);
    uint64_t w1 = test_hash(TEST_HASH, sw_param_grad(f->m.w1).data, OUT * HIDDEN * sizeof(double));
    sw_tape_reset(f->tape);
    /* One parameter: zero, and the others as before. */
    sw_param_freeze(f->m.w0, true);
    sw_gradient_make_fresh(sw_params_gradient(p));
    poison(p, sw_gradient_data(sw_params_gradient(p)));
    step(f);
    expect_zero(f->m.w0);
    assert_true(any_nonzero(f->m.b0));
    assert_true(w1 == test_hash(TEST_HASH, sw_param_grad(f->m.w1).data, OUT * HIDDEN * sizeof(double)));
    sw_param_freeze(f->m.w0, false);
    sw_tape_reset(f->tape);
    /* The whole set on this tape: its block stays as it is, and gradients pass through to inputs.
     */
    uint64_t before = hash_of(p, sw_gradient_data(sw_params_gradient(p)));
    assert_int_equal(sw_tape_freeze(f->tape, p, true), SW_OK);
    sw_tensor x = sw_variable(f->tape, f->x);
    sw_tensor y = sw_linear(x, sw_param_use(f->tape, f->m.w0), sw_param_use(f->tape, f->m.b0));
    assert_int_equal(sw_backward(sw_sum(y)), SW_OK);
    assert_non_null(sw_grad(x).data);
    assert_true(hash_of(p, sw_gradient_data(sw_params_gradient(p))) == before);
    sw_tape_reset(f->tape);
    assert_int_equal(sw_backward(model_loss(&f->m, f->tape, &f->x, &f->y)), SW_ERR_STATE);
    sw_clear_error();
    sw_tape_reset(f->tape);
    assert_int_equal(sw_tape_freeze(f->tape, p, false), SW_OK);
    step(f);
    assert_true(any_nonzero(f->m.w0));
}

/* A vjp that does not ask whether anybody wants its gradients must not write into blocks. */
static sw_status product_forward(sw_call *call) {
    for (int64_t i = 0; i < call->out->count; i++)
        ((double *)call->out->data)[i] =
            ((const double *)call->in[0]->data)[i] * ((const double *)call->in[1]->data)[i];
    return SW_OK;
}
static sw_status product_vjp_for_all(sw_call *call) {
    for (int k = 0; k < 2; k++) {
        double *d = sw_call_grad(call, k);
        if (!d)
            return SW_ERR_MEMORY;
        for (int64_t i = 0; i < call->out->count; i++)
            d[i] = ((const double *)call->cotangent)[i] * ((const double *)call->in[1 - k]->data)[i];
    }
    return SW_OK;
}
static const sw_op eager_op = {.size = sizeof(sw_op),
                               .name = "eager",
                               .shape = like_input,
                               .forward = product_forward,
                               .vjp = product_vjp_for_all,
                               .vjp_reads = SW_READS(0) | SW_READS(1)};

static void test_vjp_of_unwanted_gradients_writes_no_block(void **state) {
    const fixture *f = *state;
    sw_params *p = f->m.params;
    const double four[4] = {1, 2, 3, 4};
    sw_array array = sw_array_view(four, SW_F64, SW_SHAPE(4));
    for (int whole_set = 0; whole_set < 2; whole_set++) {
        sw_gradient_make_fresh(sw_params_gradient(p));
        step(f);
        uint64_t before = hash_of(p, sw_gradient_data(sw_params_gradient(p)));
        sw_tape_reset(f->tape);
        sw_param_freeze(f->m.unused, !whole_set);
        assert_int_equal(sw_tape_freeze(f->tape, p, whole_set), SW_OK);
        sw_gradient_make_fresh(sw_params_gradient(p));
        sw_tensor v = sw_variable(f->tape, array), still = sw_input(f->tape, array);
        sw_tensor first = sw_apply(&eager_op, NULL, 0, 2, (sw_tensor[]){sw_param_use(f->tape, f->m.unused), v});
        sw_tensor second = sw_apply(&eager_op, NULL, 0, 2, (sw_tensor[]){v, still});
        assert_int_equal(sw_backward(sw_sum(sw_add(first, second))), SW_OK);
        if (whole_set)
            assert_true(hash_of(p, sw_gradient_data(sw_params_gradient(p))) == before);
        else
            expect_zero(f->m.unused);
        assert_null(sw_grad(still).data);
        sw_param_freeze(f->m.unused, false);
        sw_tape_reset(f->tape);
        assert_int_equal(sw_tape_freeze(f->tape, p, false), SW_OK);
    }
}

static void test_tied_names_share_one_gradient(void **state) {
    const fixture *f = *state;
    sw_params *p = sw_params_new(SW_F64, 1);
    sw_param *b = declare(p, "b", SW_SHAPE(2)), *a = declare(p, "a", SW_SHAPE(3)),
             *alias = sw_params_tie(p, "alias", a), *again = sw_params_tie(p, "again", alias);
    assert_int_equal(sw_params_build(p), SW_OK);
    assert_int_equal(sw_params_dim(p), 5);
    assert_int_equal(sw_params_count(p), 4);
    assert_int_equal(a->offset, 2);
    assert_int_equal(alias->offset, a->offset);
    assert_ptr_equal(again->tied, a);
    sw_tensor ta = sw_param_use(f->tape, a), tb = sw_param_use(f->tape, alias);
    assert_int_equal(ta.slot, tb.slot); /* one leaf */
    poison(p, sw_gradient_data(sw_params_gradient(p)));
    sw_tensor loss = sw_add(sw_sum(sw_scale(ta, 2)), sw_sum(sw_scale(sw_param_use(f->tape, again), 5)));
    assert_int_equal(sw_backward(loss), SW_OK);
    sw_array ga = sw_param_grad(a), galias = sw_param_grad(again);
    for (int i = 0; i < 3; i++) {
        assert_true(test_get(&ga, i) == 7);
        assert_true(test_get(&galias, i) == 7);
    }
    expect_zero(b);
    sw_tape_reset(f->tape);
    sw_param_freeze(alias, true); /* one storage: frozen under every name */
    assert_true(a->frozen);
    assert_int_equal(sw_backward(sw_sum(sw_param_use(f->tape, a))), SW_ERR_STATE);
    sw_clear_error();
    sw_tape_reset(f->tape);
    sw_params_free(p);
}

/* A parameter as both inputs of an op, broadcast, and in several ops, over two passes. */
static void test_parameter_used_often_adds_its_gradients(void **state) {
    const fixture *f = *state;
    sw_params *p = sw_params_new(SW_F64, 1);
    sw_param *w = declare(p, "w", SW_SHAPE(3));
    assert_int_equal(sw_params_build(p), SW_OK);
    const double *x = sw_params_x(p);
    const double one[6] = {1, 1, 1, 1, 1, 1};
    sw_array ones = sw_array_view(one, SW_F64, SW_SHAPE(2, 3));
    for (int pass = 0; pass < 3; pass++) {
        sw_tensor t = sw_param_use(f->tape, w), square = sw_mul(t, t);
        sw_tensor wide = sw_mul(t, sw_input(f->tape, ones)); /* reduced over the batch: 2 */
        sw_tensor sum = sw_add(sw_add(t, t), t);             /* cotangents passed on: 3 */
        sw_tensor loss = sw_add(sw_add(sw_sum(square), sw_sum(wide)), sw_sum(sum));
        assert_int_equal(sw_backward(loss), SW_OK);
        const double *g = sw_gradient_data(sw_params_gradient(p));
        /* 2x + 5 in every pass, so also in their mean; thirds have roundings */
        for (int i = 0; i < 3; i++)
            assert_true(fabs(g[i] - (2 * x[i] + 5)) <= 7 * 8 * 0x1p-53);
        sw_tape_reset(f->tape);
    }
    sw_params_free(p);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_tape_reads_and_writes_where_it_is_bound),
        TEST(test_two_threads_bind_one_set_elsewhere),
        TEST(test_tape_tells_a_new_set_from_a_freed_one),
        TEST(test_fresh_block_is_stored_then_added_to),
        TEST(test_micro_batches_give_the_gradient_of_the_batch),
        TEST(test_block_of_an_unused_set_is_left_alone),
        TEST(test_frozen_parameters_have_no_gradient),
        TEST(test_vjp_of_unwanted_gradients_writes_no_block),
        TEST(test_tied_names_share_one_gradient),
        TEST(test_parameter_used_often_adds_its_gradients),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    sw_set_threads(1); /* joins the workers */
    return failed;
}
