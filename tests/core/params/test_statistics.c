/* Statistics that are pending in a gradient block: how reports are pooled, committed to a vector, and dropped. The
 * expected numbers are computed in plain C. */
#include "support.h"

#include "buffer_set.h"

#include "core/params/vector.h"

/* ---- The commit ---- */

/* A single report is not changed by pooling: the result of the commit is that of the formula, rounded once. */
static void test_commit_is_one_move(void **state) {
    (void)state;
    for (int t = 0; t < 2; t++) {
        set s = set_new(types[t]);
        double values[] = {0.1, -2, 3e-5, 7}, before[] = {1, 2, 3, 4};
        sw_gradient *g = sw_params_gradient(s.p);
        for (int k = 0; k < CHANNELS; k++) {
            const sw_array a = sw_param_value(s.mean);
            test_set(&a, k, before[k]);
        }
        const uint64_t version = sw_params_version(s.p);
        assert_int_equal(sw_tape_put_statistic(s.tape, s.mean, channels(values), 5, 0.1), SW_OK);
        assert_true(at(s.mean, 0) == 1); /* a report does not change the buffer */
        assert_int_equal(sw_params_version(s.p), version);
        assert_int_equal(sw_gradient_commit_buffers(g, NULL, NAN), SW_OK);
        assert_true(sw_params_version(s.p) > version);
        for (int k = 0; k < CHANNELS; k++) {
            const double expected = (1 - 0.1) * before[k] + 0.1 * values[k];
            assert_true(at(s.mean, k) == (t == 0 ? (double)(float)expected : expected));
            assert_true(at(s.variance, k) == 1); /* there was no report for it */
        }
        const uint64_t moved = sw_params_version(s.p);
        assert_int_equal(sw_gradient_commit_buffers(g, NULL, NAN), SW_OK); /* nothing is pending */
        assert_int_equal(sw_params_version(s.p), moved);
        set_free(&s);
    }
}

/* A commit to another vector changes only its buffers; momentum 1 in the call replaces that of the report. */
static void test_commit_to_another_vector(void **state) {
    (void)state;
    set s = set_new(SW_F64);
    double x[DIM], expected[DIM], values[] = {1.1, 2.2, 3.3, 4.4};
    for (int i = 0; i < DIM; i++)
        x[i] = expected[i] = -0.5 * i;
    for (int k = 0; k < CHANNELS; k++)
        expected[s.mean->offset + k] = values[k];
    const uint64_t version = sw_params_version(s.p);
    assert_int_equal(sw_tape_put_statistic(s.tape, s.mean, channels(values), 5, 0.1), SW_OK);
    assert_int_equal(sw_gradient_commit_buffers(sw_params_gradient(s.p), x, 1), SW_OK);
    assert_memory_equal(x, expected, sizeof x);
    assert_int_equal(sw_params_version(s.p), version);
    assert_true(at(s.mean, 0) == 0);
    set_free(&s);
}

/* A count of steps, and an average with momentum 1/(count + 1): the plain mean of the steps' statistics. Both parts of
 * a step report the same count. */
static void test_plain_average_with_a_count(void **state) {
    (void)state;
    set s = set_new(SW_F64);
    double sum[CHANNELS] = {0};
    uint64_t seed = 5;
    for (int step = 0; step < 7; step++) {
        double step_mean[CHANNELS] = {0};
        for (int part = 0; part < 2; part++) {
            const double count = at(s.count, 0) + 1;
            double values[CHANNELS];
            for (int k = 0; k < CHANNELS; k++) {
                values[k] = test_uniform(&seed, -1, 1);
                step_mean[k] += values[k] * (part == 0 ? 3 : 1) / 4;
            }
            assert_int_equal(sw_tape_put_statistic(s.tape, s.mean, channels(values), part == 0 ? 3 : 1, 1 / count),
                             SW_OK);
            assert_int_equal(
                sw_tape_put_statistic(s.tape, s.count, sw_array_view((double *)&count, SW_F64, 0, NULL), 1, 1), SW_OK);
        }
        assert_int_equal(sw_gradient_commit_buffers(sw_params_gradient(s.p), NULL, NAN), SW_OK);
        assert_true(at(s.count, 0) == step + 1);
        for (int k = 0; k < CHANNELS; k++) {
            sum[k] += step_mean[k];
            /* 7 steps of values below 1, a few roundings of 2^-53 each */
            assert_close(at(s.mean, k), sum[k] / (step + 1), 7 * 8 * 0x1p-53);
        }
    }
    set_free(&s);
}

/* ---- Pooling ---- */

/* However the rows are divided, mean and variance are those of all rows. Values are below 350 and variances below 50;
 * each part adds about ten rounding errors of 2^-53 times these. */
static void test_parts_pool_to_the_whole(void **state) {
    (void)state;
    static const int cuts[][8] = {{37}, {20, 17}, {1, 36}, {36, 1}, {5, 5, 5, 5, 5, 5, 7}, {1, 1, 1, 30, 2, 2}};
    const data d = some_data();
    double mean[CHANNELS], variance[CHANNELS];
    moments_of(&d, 0, ROWS, mean, variance);
    for (int c = 0; c < 6; c++)
        for (int unbiased = 0; unbiased < 2; unbiased++) {
            set s = set_new(SW_F64);
            for (int part = 0, first = 0; first < ROWS; first += cuts[c][part++])
                assert_int_equal(put_rows(&s, s.tape, &d, first, cuts[c][part], unbiased != 0, 0.25), SW_OK);
            assert_int_equal(sw_gradient_commit_buffers(sw_params_gradient(s.p), NULL, NAN), SW_OK);
            for (int k = 0; k < CHANNELS; k++) {
                const double whole = variance[k] * (unbiased ? (double)ROWS / (ROWS - 1) : 1);
                assert_close(at(s.mean, k), 0.25 * mean[k], 8 * 10 * 0x1p-53 * 350);
                assert_close(at(s.variance, k), 0.75 + 0.25 * whole, 8 * 10 * 0x1p-53 * (350 + 50));
            }
            set_free(&s);
        }
}

/* The sum of the blocks of parts equals the block of the whole; so does a sum in a tree. */
static void test_blocks_add_up(void **state) {
    (void)state;
    const data d = some_data();
    set s = set_new(SW_F64);
    double mean[CHANNELS], variance[CHANNELS], x[DIM] = {0}, before[DIM] = {0};
    moments_of(&d, 0, ROWS, mean, variance);
    sw_gradient *part[4];
    for (int i = 0; i < 4; i++) {
        part[i] = sw_gradient_new(s.p);
        assert_int_equal(sw_tape_bind(s.tape, s.p, NULL, part[i]), SW_OK);
        if (i != 2) /* the third has nothing */
            assert_int_equal(put_rows(&s, s.tape, &d, i == 3 ? 20 : 10 * i, i == 3 ? 17 : 10, true, 1), SW_OK);
        double count = 2;
        assert_int_equal(sw_tape_put_statistic(s.tape, s.count, sw_array_view(&count, SW_F64, 0, NULL), 1, 1), SW_OK);
    }
    assert_int_equal(sw_gradient_add_statistics(part[0], part[1]), SW_OK);
    assert_int_equal(sw_gradient_add_statistics(part[2], part[3]), SW_OK);
    assert_int_equal(sw_gradient_add_statistics(part[0], part[2]), SW_OK);
    assert_int_equal(sw_gradient_commit_buffers(part[0], x, NAN), SW_OK);
    for (int k = 0; k < CHANNELS; k++) {
        assert_close(x[s.mean->offset + k], mean[k], 8 * 10 * 0x1p-53 * 350);
        assert_close(x[s.variance->offset + k], variance[k] * ROWS / (ROWS - 1), 8 * 10 * 0x1p-53 * 400);
    }
    assert_true(x[s.count->offset] == 2);
    /* The reports in `from` are unchanged. */
    assert_int_equal(sw_gradient_commit_buffers(part[1], before, NAN), SW_OK);
    moments_of(&d, 10, 10, mean, variance);
    assert_true(before[s.mean->offset + 1] == mean[1]);
    assert_int_equal(sw_gradient_add_statistics(part[0], part[0]), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "gradient_add_statistics: a gradient block cannot be added to itself");
    assert_int_equal(sw_gradient_add_statistics(part[0], NULL), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "gradient_add_statistics: a gradient block is NULL");
    set other = set_new(SW_F64);
    assert_int_equal(sw_gradient_add_statistics(part[0], sw_params_gradient(other.p)), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "gradient_add_statistics: the gradient blocks belong to different parameters");
    set_free(&other);
    for (int i = 0; i < 4; i++)
        sw_gradient_free(part[i]);
    set_free(&s);
}

/* ---- Dropped ---- */

static void test_whatever_makes_the_block_fresh_drops(void **state) {
    (void)state;
    set s = set_new(SW_F64);
    sw_gradient *g = sw_params_gradient(s.p), *view = sw_gradient_view(s.p);
    double vector[DIM], x[DIM] = {0};
    put_mean(&s);
    sw_gradient_drop_statistics(g);
    assert_nothing_pending(&s);
    put_mean(&s);
    sw_gradient_make_fresh(g);
    assert_nothing_pending(&s);
    put_mean(&s);
    assert_int_equal(sw_params_reinitialize(s.p), SW_OK);
    assert_nothing_pending(&s);
    put_mean(&s);
    sw_archive *a = sw_archive_new();
    assert_int_equal(sw_params_pack(s.p, a, NULL), SW_OK);
    assert_int_equal(sw_params_unpack(s.p, a, NULL), SW_OK);
    sw_archive_free(a);
    assert_nothing_pending(&s);
    /* A view whose vector is replaced. */
    sw_gradient_set_data(view, vector);
    assert_int_equal(sw_tape_bind(s.tape, s.p, NULL, view), SW_OK);
    put_mean(&s);
    assert_nothing_pending(&s); /* in the block of the parameters */
    sw_gradient_set_data(view, vector);
    assert_int_equal(sw_gradient_commit_buffers(view, x, NAN), SW_OK);
    assert_true(x[s.mean->offset] == 0);
    sw_gradient_drop_statistics(NULL);
    sw_gradient_free(view);
    set_free(&s);
}

/* A backward pass adds to the gradient and keeps the pending reports; a backward pass that fails drops both. */
static sw_status fail_vjp(sw_call *c) {
    return sw_fail(SW_ERR_USER, "%s: refused", c->op->name);
}
static const sw_op fail_op = {
    .size = sizeof(sw_op), .name = "failing", .shape = like_input, .forward = copy_forward, .vjp = fail_vjp};

static void test_backward_keeps_what_is_pending(void **state) {
    (void)state;
    set s = set_new(SW_F64);
    put_mean(&s);
    for (int pass = 0; pass < 2; pass++) {
        assert_int_equal(sw_backward(sw_sum(sw_param_use(s.tape, s.w))), SW_OK);
        sw_tape_reset(s.tape);
    }
    assert_int_equal(sw_gradient_commit_buffers(sw_params_gradient(s.p), NULL, NAN), SW_OK);
    assert_true(at(s.mean, 3) == 2);
    put_mean(&s);
    sw_tensor w = sw_param_use(s.tape, s.w);
    assert_int_equal(sw_backward(sw_sum(sw_add(sw_apply(&fail_op, NULL, 0, 1, &w), w))), SW_ERR_USER);
    expect_error(SW_ERR_USER, "failing: refused");
    assert_nothing_pending(&s);
    set_free(&s);
}

/* ---- Storage in 16 bits ---- */

/* Leaves of buffers read x itself, in its type; those of other parameters read the copy. */
static void test_buffers_are_not_stored_in_16_bits(void **state) {
    (void)state;
    sw_params *p =
        sw_params_new_with_options(&(sw_params_options){.size = sizeof(sw_params_options), .storage = SW_F16});
    sw_param *mean = add(p, "mean", SW_SHAPE(2), true), *w = add(p, "w", SW_SHAPE(2), false);
    assert_int_equal(sw_params_build(p), SW_OK);
    sw_tape *tape = sw_tape_new();
    double values[] = {0.1, -3.3};
    assert_int_equal(sw_tape_put_statistic(tape, mean, sw_array_view(values, SW_F64, SW_SHAPE(2)), 1, 1), SW_OK);
    assert_int_equal(sw_gradient_commit_buffers(sw_params_gradient(p), NULL, NAN), SW_OK);
    for (int pass = 0; pass < 2; pass++) {
        fill(w, 1 + pass);
        sw_params_mark_changed(p);
        const sw_array m = sw_value(sw_param_use(tape, mean)), v = sw_value(sw_param_use(tape, w));
        assert_true(m.type == SW_F32 && v.type == SW_F16 && m.data == sw_param_value(mean).data);
        assert_true(test_get(&m, 0) == (double)0.1f && test_get(&m, 1) == (double)-3.3f);
        assert_int_equal(((const uint16_t *)v.data)[1], pass == 0 ? 0x3C00 : 0x4000); /* 1 and 2 */
        sw_tape_reset(tape);
    }
    sw_tape_free(tape);
    sw_params_free(p);
}

/* ---- Memory ---- */

static void test_reports_survive_failed_allocations(void **state) {
    (void)state;
    test_allocator a;
    test_allocator_install(&a);
    set s = set_new(SW_F64);
    const data d = some_data();
    for (long long k = 1; k <= 3; k++) {
        test_allocator_fail(&a, k, false);
        assert_int_equal(put_rows(&s, s.tape, &d, 0, 5, true, 0.5), SW_ERR_MEMORY);
        test_allocator_fail(&a, 0, false);
        assert_int_equal(sw_error_status(), SW_ERR_MEMORY);
        sw_clear_error();
        assert_nothing_pending(&s);
    }
    assert_int_equal(put_rows(&s, s.tape, &d, 0, 5, true, 0.5), SW_OK);
    test_allocator_fail(&a, 1, true); /* from then on there are no requests */
    sw_gradient_make_fresh(sw_params_gradient(s.p));
    assert_int_equal(put_rows(&s, s.tape, &d, 0, 5, true, 0.5), SW_OK);
    assert_int_equal(sw_gradient_commit_buffers(sw_params_gradient(s.p), NULL, NAN), SW_OK);
    assert_int_equal(atomic_load(&a.calls), 0);
    test_allocator_fail(&a, 0, false);
    set_free(&s);
    assert_int_equal(atomic_load(&a.live), 0);
    sw_set_allocator(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commit_is_one_move),
        cmocka_unit_test(test_commit_to_another_vector),
        cmocka_unit_test(test_plain_average_with_a_count),
        cmocka_unit_test(test_parts_pool_to_the_whole),
        cmocka_unit_test(test_blocks_add_up),
        cmocka_unit_test(test_whatever_makes_the_block_fresh_drops),
        cmocka_unit_test(test_backward_keeps_what_is_pending),
        cmocka_unit_test(test_buffers_are_not_stored_in_16_bits),
        cmocka_unit_test(test_reports_survive_failed_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
