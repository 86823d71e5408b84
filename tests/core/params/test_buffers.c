/* Buffers: their position in x, what they do not have (gradients, freezing), when a tape accepts reports of statistics
 * for them, files; every message. */
#include "support.h"

#include "buffer_set.h"

/* ---- Position, and no gradient ---- */

static void test_buffers_are_last_in_the_vector(void **state) {
    (void)state;
    set s = set_new(SW_F64);
    assert_int_equal(sw_params_dim(s.p), DIM);
    assert_int_equal(sw_params_buffer_dim(s.p), 2 * CHANNELS + 1);
    assert_int_equal(s.w->offset, 0);
    assert_int_equal(s.b->offset, 6);
    assert_int_equal(s.mean->offset, 8);
    assert_int_equal(s.variance->offset, 8 + CHANNELS);
    assert_int_equal(s.count->offset, 8 + 2 * CHANNELS);
    assert_int_equal(s.mean->index, 0); /* in the order of declaration */
    assert_true(s.mean->buffer && s.variance->buffer && s.count->buffer && !s.w->buffer && !s.b->buffer);
    assert_int_equal(sw_params_buffer_dim(NULL), 0);
    set_free(&s);
}

static void test_buffers_stay_frozen(void **state) {
    (void)state;
    set s = set_new(SW_F64);
    assert_true(s.mean->frozen && !s.w->frozen);
    sw_param_freeze(s.mean, false);
    sw_param_freeze(s.w, true);
    assert_true(s.mean->frozen && s.w->frozen);
    sw_param_freeze(s.w, false);
    assert_true(!s.w->frozen);
    /* No gradient reaches it, and the block is 0 there. */
    sw_tensor loss = sw_add(sw_sum(sw_param_use(s.tape, s.mean)), sw_sum(sw_param_use(s.tape, s.w)));
    memset(sw_gradient_data(sw_params_gradient(s.p)), 0xFF, DIM * sizeof(double));
    assert_int_equal(sw_backward(loss), SW_OK);
    const double *g = gradient_of(s.p);
    for (int i = 0; i < DIM; i++)
        assert_true(g[i] == (i < 6 ? 1 : 0));
    sw_tape_reset(s.tape);
    assert_int_equal(sw_backward(sw_sum(sw_param_use(s.tape, s.mean))), SW_ERR_STATE);
    expect_error(SW_ERR_STATE, "backward: nothing the tensor depends on needs a gradient (recording off, or all "
                               "parameters frozen?)");
    set_free(&s);
}

static void test_tied_buffers_are_one(void **state) {
    (void)state;
    sw_params *p = sw_params_new(SW_F64, 1);
    sw_param *mean = add(p, "mean", SW_SHAPE(2), true), *w = add(p, "w", SW_SHAPE(3), false);
    sw_param *other = sw_params_tie(p, "other", mean);
    assert_int_equal(sw_params_build(p), SW_OK);
    sw_tape *tape = sw_tape_new();
    double values[] = {3, -4};
    assert_true(other->buffer && other->frozen && other->offset == 3 && w->offset == 0);
    assert_int_equal(sw_params_buffer_dim(p), 2);
    sw_param_freeze(other, false);
    assert_true(other->frozen && mean->frozen);
    assert_int_equal(sw_tape_put_statistic(tape, other, sw_array_view(values, SW_F64, SW_SHAPE(2)), 1, 0.5), SW_OK);
    assert_int_equal(sw_gradient_commit_buffers(sw_params_gradient(p), NULL, NAN), SW_OK);
    assert_true(at(mean, 0) == 1.5 && at(mean, 1) == -2 && at(other, 1) == -2);
    sw_tape_free(tape);
    sw_params_free(p);
}

static void test_printed_parameter_says_buffer(void **state) {
    (void)state;
    set s = set_new(SW_F64);
    char text[400] = "";
    FILE *to = tmpfile();
    assert_non_null(to);
    sw_param_print(s.mean, to);
    rewind(to);
    assert_non_null(fgets(text, sizeof text, to));
    assert_string_equal(text, "norm.mean, role weight, buffer: f64 [4]\n");
    fclose(to);
    set_free(&s);
}

/* ---- When a tape takes reports ---- */

static void test_switches(void **state) {
    (void)state;
    set s = set_new(SW_F64);
    assert_true(sw_tape_wants_statistics(s.tape, s.mean));
    sw_tape_set_switch(s.tape, SW_RECORD, false); /* the first pass of a segment that is recomputed */
    assert_true(sw_tape_wants_statistics(s.tape, s.mean));
    for (unsigned off = SW_TRAIN; off <= SW_UPDATE_BUFFERS; off *= 2) {
        sw_tape_set_switch(s.tape, off, false);
        assert_false(sw_tape_wants_statistics(s.tape, s.mean));
        put_mean(&s);
        assert_nothing_pending(&s);
        sw_tape_set_switch(s.tape, off, true);
    }
    assert_int_equal(sw_tape_freeze(s.tape, s.p, true), SW_OK);
    assert_false(sw_tape_wants_statistics(s.tape, s.mean));
    put_mean(&s);
    assert_nothing_pending(&s);
    assert_int_equal(sw_tape_freeze(s.tape, s.p, false), SW_OK);
    assert_true(sw_tape_wants_statistics(s.tape, s.mean));
    assert_false(sw_tape_wants_statistics(NULL, s.mean));
    assert_false(sw_tape_wants_statistics(s.tape, NULL));
    sw_params *unbuilt = sw_params_new(SW_F64, 1);
    assert_false(sw_tape_wants_statistics(s.tape, add(unbuilt, "m", 0, NULL, true)));
    sw_params_free(unbuilt);
    set_free(&s);
}

/* Reports of a segment that is computed again inside a vjp have no effect. */
static const set *inside;
static bool wanted_inside;
static sw_status report_vjp(sw_call *c) {
    double values[CHANNELS] = {9, 9, 9, 9};
    wanted_inside = sw_tape_wants_statistics(c->tape, inside->mean);
    SW_TRY(sw_tape_put_statistic(c->tape, inside->mean, channels(values), 1, 0.5));
    sw_call_pass_grad(c, 0);
    return SW_OK;
}
static const sw_op report_op = {
    .size = sizeof(sw_op), .name = "reporting", .shape = like_input, .forward = copy_forward, .vjp = report_vjp};

static void test_recomputed_segments_report_nothing(void **state) {
    (void)state;
    set s = set_new(SW_F64);
    inside = &s;
    wanted_inside = true;
    put_mean(&s);
    sw_tensor w = sw_param_use(s.tape, s.w);
    assert_int_equal(sw_backward(sw_sum(sw_apply(&report_op, NULL, 0, 1, &w))), SW_OK);
    assert_false(wanted_inside);
    assert_int_equal(sw_gradient_commit_buffers(sw_params_gradient(s.p), NULL, NAN), SW_OK);
    assert_true(at(s.mean, 0) == 0.5 && at(s.mean, 3) == 2);
    assert_true(sw_tape_wants_statistics(s.tape, s.mean));
    set_free(&s);
}

/* The gradient of an objective reports to the block of the call; the value of an objective does not report. */
static sw_tensor reporting_loss(void *user, sw_tape *tape, const int64_t *ids, int64_t count) {
    const set *s = user;
    double values[CHANNELS] = {0};
    for (int64_t i = 0; i < count; i++)
        values[0] += (double)ids[i] / (double)count;
    if (sw_tape_put_statistic(tape, s->mean, channels(values), (double)count, 1) != SW_OK)
        return (sw_tensor){0};
    return sw_sum(sw_param_use(tape, s->w));
}

static void test_objectives_report_with_their_gradient(void **state) {
    (void)state;
    set s = set_new(SW_F64);
    const sw_objective f = {.size = sizeof f, .n = 11, .params = s.p, .user = &s, .loss = reporting_loss};
    sw_gradient *g = sw_gradient_new(s.p);
    double value, x[DIM] = {0};
    assert_int_equal(sw_objective_value(&f, s.tape, NULL, NULL, 11, 0, &value), SW_OK);
    assert_true(sw_tape_switch(s.tape, SW_UPDATE_BUFFERS));
    assert_nothing_pending(&s);
    assert_int_equal(sw_objective_gradient_chunked(&f, s.tape, NULL, NULL, 11, 4, 0, &value, g), SW_OK);
    assert_nothing_pending(&s);
    assert_int_equal(sw_gradient_commit_buffers(g, x, NAN), SW_OK);
    assert_close(x[s.mean->offset], 5, 3 * 4 * 0x1p-53 * 10); /* the mean of 0 to 10, of three chunks */
    sw_gradient_free(g);
    set_free(&s);
}

/* ---- Files ---- */

static void test_buffers_are_saved_by_name(void **state) {
    (void)state;
    set s = set_new(SW_F32), other = set_new(SW_F32);
    fill(s.mean, 0.3);
    sw_archive *a = sw_archive_new();
    assert_int_equal(sw_params_pack(s.p, a, NULL), SW_OK);
    assert_true(sw_archive_has(a, "norm.mean"));
    assert_int_equal(sw_params_unpack(other.p, a, NULL), SW_OK);
    assert_memory_equal(sw_params_x(other.p), sw_params_x(s.p), DIM * sizeof(float));
    sw_archive_free(a);
    set_free(&s);
    set_free(&other);
}

/* ---- Messages ---- */

static void test_reports_that_are_refused(void **state) {
    (void)state;
    set s = set_new(SW_F64), other = set_new(SW_F64);
    double v[CHANNELS] = {1, 2, 3, 4};
    int32_t ids[CHANNELS] = {0};
    sw_tape *t = s.tape;
    refused(sw_tape_put_statistic(NULL, s.mean, channels(v), 1, 0.1), SW_ERR_ARGUMENT,
            "tape_put_statistic: the tape is NULL");
    refused(sw_tape_put_statistic(t, NULL, channels(v), 1, 0.1), SW_ERR_ARGUMENT,
            "tape_put_statistic: the buffer is NULL");
    refused(sw_tape_put_statistic(t, s.w, channels(v), 1, 0.1), SW_ERR_ARGUMENT,
            "tape_put_statistic: w is not a buffer (declare it with sw_param_options.buffer)");
    refused(sw_tape_put_statistic(t, s.mean, channels(v), -1, 0.1), SW_ERR_ARGUMENT,
            "tape_put_statistic: the weight of norm.mean is -1; it must be finite and at least 0");
    refused(sw_tape_put_statistic(t, s.mean, channels(v), (double)INFINITY, 0.1), SW_ERR_ARGUMENT,
            "tape_put_statistic: the weight of norm.mean is inf; it must be finite and at least 0");
    refused(sw_tape_put_statistic(t, s.mean, channels(v), 1, 1.5), SW_ERR_ARGUMENT,
            "tape_put_statistic: the momentum of norm.mean is 1.5, outside 0 to 1");
    refused(sw_tape_put_statistic(t, s.mean, channels(v), 1, (double)NAN), SW_ERR_ARGUMENT,
            "tape_put_statistic: the momentum of norm.mean is nan, outside 0 to 1");
    refused(sw_tape_put_statistic(t, s.mean, sw_array_view(v, SW_F64, SW_SHAPE(2, 2)), 1, 0.1), SW_ERR_SHAPE,
            "tape_put_statistic: the statistic for norm.mean is [2,2]; the buffer is [4]");
    refused(sw_tape_put_statistic(t, s.mean, sw_array_view(ids, SW_I32, SW_SHAPE(CHANNELS)), 1, 0.1), SW_ERR_TYPE,
            "tape_put_statistic: the statistic for norm.mean is i32; f32 or f64 is needed");
    refused(sw_tape_put_statistic(t, s.mean, (sw_array){.type = SW_F64, .rank = 1, .shape = {CHANNELS}}, 1, 0.1),
            SW_ERR_ARGUMENT, "tape_put_statistic: the statistic for norm.mean has no data");
    sw_batch_moments m = {.size = sizeof(sw_batch_moments), .mean = channels(v), .variance = channels(v), .weight = 3};
    refused(sw_tape_put_moments(t, s.mean, NULL, &m, 0.1), SW_ERR_ARGUMENT, "tape_put_moments: the variance is NULL");
    refused(sw_tape_put_moments(t, s.mean, s.variance, NULL, 0.1), SW_ERR_ARGUMENT,
            "tape_put_moments: the moments are NULL");
    m.size = 8;
    refused(sw_tape_put_moments(t, s.mean, s.variance, &m, 0.1), SW_ERR_ARGUMENT,
            "tape_put_moments: the size of the moments must be sizeof(sw_batch_moments)");
    m.size = sizeof m;
    refused(sw_tape_put_moments(t, s.mean, s.mean, &m, 0.1), SW_ERR_SHAPE,
            "tape_put_moments: norm.mean [4] cannot be the variance to the mean norm.mean [4]");
    refused(sw_tape_put_moments(t, s.mean, other.variance, &m, 0.1), SW_ERR_ARGUMENT,
            "tape_put_moments: norm.variance belongs to another set of parameters");
    refused(sw_tape_put_moments(t, s.mean, s.w, &m, 0.1), SW_ERR_ARGUMENT,
            "tape_put_moments: w is not a buffer (declare it with sw_param_options.buffer)");
    assert_nothing_pending(&s);                                                     /* of all these */
    assert_int_equal(sw_tape_put_statistic(t, s.mean, channels(v), 0, 0.1), SW_OK); /* its weight is 0 */
    assert_nothing_pending(&s);
    set_free(&s);
    set_free(&other);
}

/* All reports for a buffer in one step must be of the same kind. */
static void test_reports_that_disagree(void **state) {
    (void)state;
    set s = set_new(SW_F64);
    double v[CHANNELS] = {1, 2, 3, 4}, x[DIM] = {0};
    sw_batch_moments m = {.size = sizeof(sw_batch_moments), .mean = channels(v), .variance = channels(v), .weight = 3};
    put_mean(&s);
    refused(sw_tape_put_statistic(s.tape, s.mean, channels(v), 1, 0.25), SW_ERR_ARGUMENT,
            "tape_put_statistic: norm.mean was reported in this step with momentum 0.5, and now with 0.25");
    refused(sw_tape_put_moments(s.tape, s.mean, s.variance, &m, 0.5), SW_ERR_ARGUMENT,
            "tape_put_moments: norm.mean was reported in this step as a single statistic, and now as the mean to the "
            "variance "
            "norm.variance");
    assert_int_equal(sw_gradient_commit_buffers(sw_params_gradient(s.p), x, NAN), SW_OK);
    assert_true(x[s.mean->offset + 1] == 1 && x[s.variance->offset] == 0);
    assert_int_equal(sw_tape_put_moments(s.tape, s.mean, s.variance, &m, 0.5), SW_OK);
    refused(
        sw_tape_put_statistic(s.tape, s.variance, channels(v), 1, 0.5), SW_ERR_ARGUMENT,
        "tape_put_statistic: norm.variance was reported in this step as the variance to the mean norm.mean, and now as "
        "a single statistic");
    m.unbiased = true;
    refused(
        sw_tape_put_moments(s.tape, s.mean, s.variance, &m, 0.5), SW_ERR_ARGUMENT,
        "tape_put_moments: norm.mean was reported in this step as the mean to the variance norm.variance, and now as "
        "the mean to the unbiased variance norm.variance");
    set_free(&s);
}

/* A commit that would make a buffer Inf or NaN, or divide by 0, changes nothing. A buffer that was Inf may stay Inf. */
static void test_commits_that_are_refused(void **state) {
    (void)state;
    set s = set_new(SW_F32);
    sw_gradient *g = sw_params_gradient(s.p);
    double v[CHANNELS] = {1, 2, (double)INFINITY, 4}, large[CHANNELS] = {0, 1e39, 0, 0}, norm = -1;
    float before[DIM];
    memcpy(before, sw_params_x(s.p), sizeof before);
    assert_int_equal(sw_tape_put_statistic(s.tape, s.mean, channels(v), 1, 0.5), SW_OK);
    static const char infinite[] = "buffer norm.mean: element 2 would become inf: the statistics of the batch are inf; "
                                   "the step is not taken";
    refused(sw_gradient_check_buffers(g, NULL, NAN, &norm), SW_ERR_NONFINITE, infinite);
    refused(sw_gradient_commit_buffers(g, NULL, NAN), SW_ERR_NONFINITE, infinite);
    assert_memory_equal(sw_params_x(s.p), before, sizeof before);
    assert_int_equal(sw_gradient_commit_buffers(g, NULL, 0), SW_OK); /* with momentum 0 it stays */
    assert_memory_equal(sw_params_x(s.p), before, sizeof before);
    assert_int_equal(sw_tape_put_statistic(s.tape, s.mean, channels(large), 1, 0.5), SW_OK);
    refused(
        sw_gradient_commit_buffers(g, NULL, NAN), SW_ERR_NONFINITE,
        "buffer norm.mean: element 1 would become inf: the statistics of the batch are 1e+39; the step is not taken");
    sw_gradient_drop_statistics(g);
    const sw_batch_moments one = {.size = sizeof(sw_batch_moments),
                                  .mean = channels(large),
                                  .variance = channels(large),
                                  .weight = 1,
                                  .unbiased = true};
    assert_int_equal(sw_tape_put_moments(s.tape, s.mean, s.variance, &one, 0.5), SW_OK);
    refused(
        sw_gradient_commit_buffers(g, NULL, NAN), SW_ERR_NONFINITE, /* of the mean, which comes first */
        "buffer norm.mean: element 1 would become inf: the statistics of the batch are 1e+39; the step is not taken");
    sw_gradient_drop_statistics(g);
    large[1] = 1;
    assert_int_equal(sw_tape_put_moments(s.tape, s.mean, s.variance, &one, 0.5), SW_OK);
    refused(sw_gradient_commit_buffers(g, NULL, NAN), SW_ERR_ARGUMENT,
            "buffer norm.variance: the unbiased variance of 1 value; more than one is needed (a larger batch?)");
    assert_memory_equal(sw_params_x(s.p), before, sizeof before);
    refused(sw_gradient_commit_buffers(g, NULL, 2), SW_ERR_ARGUMENT,
            "gradient_commit_buffers: a momentum of 2, outside 0 to 1");
    sw_gradient_drop_statistics(g);
    fill(s.mean, (double)INFINITY);
    v[2] = 3;
    assert_int_equal(sw_tape_put_statistic(s.tape, s.mean, channels(v), 1, 0.5), SW_OK);
    assert_int_equal(sw_gradient_commit_buffers(g, NULL, NAN), SW_OK);
    assert_true(isinf(at(s.mean, 2)));
    refused(sw_gradient_commit_buffers(NULL, NULL, NAN), SW_ERR_ARGUMENT,
            "gradient_commit_buffers: the gradient block is NULL");
    refused(sw_gradient_check_buffers(NULL, NULL, NAN, NULL), SW_ERR_ARGUMENT,
            "gradient_check_buffers: the gradient block is NULL");
    set_free(&s);
}

/* The bound that a check returns holds after the commit. */
static void test_norm_of_the_buffers_after_a_commit(void **state) {
    (void)state;
    set s = set_new(SW_F64);
    double v[CHANNELS] = {3, -1, 0, 2}, bound, norm = 0;
    assert_int_equal(sw_tape_put_statistic(s.tape, s.mean, channels(v), 1, 0.5), SW_OK);
    assert_int_equal(sw_gradient_check_buffers(sw_params_gradient(s.p), NULL, NAN, &bound), SW_OK);
    assert_int_equal(sw_gradient_commit_buffers(sw_params_gradient(s.p), NULL, NAN), SW_OK);
    for (int i = 8; i < DIM; i++)
        norm = hypot(norm, ((const double *)sw_params_x(s.p))[i]);
    assert_true(norm <= bound && bound <= sqrt(2 * CHANNELS + 1) * norm);
    set_free(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buffers_are_last_in_the_vector),
        cmocka_unit_test(test_buffers_stay_frozen),
        cmocka_unit_test(test_tied_buffers_are_one),
        cmocka_unit_test(test_printed_parameter_says_buffer),
        cmocka_unit_test(test_switches),
        cmocka_unit_test(test_recomputed_segments_report_nothing),
        cmocka_unit_test(test_objectives_report_with_their_gradient),
        cmocka_unit_test(test_buffers_are_saved_by_name),
        cmocka_unit_test(test_reports_that_are_refused),
        cmocka_unit_test(test_reports_that_disagree),
        cmocka_unit_test(test_commits_that_are_refused),
        cmocka_unit_test(test_norm_of_the_buffers_after_a_commit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
