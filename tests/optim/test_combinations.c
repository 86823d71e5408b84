/* Combinations of methods that were once handled wrongly: a small test for each. */
#include "logistic.h"

/* f = mean of h_i/2 Σ s_j (x_j - t_j)², without a tape: its gradient is h_i s_j (x_j - t_j). */
typedef struct bowl {
    sw_objective f;
    double h[8], scale[SMALL_DIM], target[SMALL_DIM], bad; /* bad: added to the gradient */
} bowl;

static sw_status bowl_gradient(void *user, const void *x, const int64_t *ids, int64_t count, uint64_t draw,
                               double *value, void *g) {
    const bowl *b = user;
    const sw_dtype type = sw_params_type(b->f.params);
    double h = 0;
    (void)draw;
    for (int64_t i = 0; i < count; i++)
        h += b->h[ids ? ids[i] : i] / (double)count;
    *value = 0;
    for (int i = 0; i < SMALL_DIM; i++) {
        const double d = vec_get(type, x, i) - b->target[i];
        *value += h / 2 * b->scale[i] * d * d;
        if (g)
            vec_set(type, g, i, h * b->scale[i] * d + b->bad);
    }
    return SW_OK;
}

static void bowl_init(bowl *b, sw_params *p, int64_t n) {
    *b = (bowl){.f = {.size = sizeof b->f, .n = n, .params = p, .user = b, .gradient = bowl_gradient}};
    for (int i = 0; i < 8; i++)
        b->h[i] = 0.5 + 0.25 * i;
    for (int i = 0; i < SMALL_DIM; i++) {
        b->scale[i] = 1;
        b->target[i] = 3;
    }
}

/* ---- Skipped steps ---- */

static void test_gradient_norm_stays_after_a_skipped_step(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F64);
    bowl b;
    bowl_init(&b, p, 4);
    sw_optim *o = NEW_OPTIM(p, .rule = "sgd", .estimator = "minibatch batch=2");
    assert_ok(sw_optim_minimize(o, &b.f, NULL));
    const double norm = sw_optim_gradient_norm(o);
    assert_true(isfinite(norm) && norm > 0);
    b.bad = NAN;
    assert_int_equal(sw_optim_minimize(o, &b.f, NULL), SW_SKIPPED);
    assert_true(sw_optim_gradient_norm(o) == norm);
    sw_optim_free(o);

    o = NEW_OPTIM(p, .rule = "sgd"); /* by hand */
    double c[SMALL_DIM] = {3, 4};
    assert_ok(step_with(o, p, c));
    c[0] = INFINITY;
    assert_int_equal(step_with(o, p, c), SW_SKIPPED);
    assert_true(sw_optim_gradient_norm(o) == 5);
    sw_optim_free(o);
    sw_params_free(p);
}

/* ---- Parameters frozen on the way ---- */

/* In the middle of a period: the snapshot's gradient has numbers where there are none now, or none where there
 * are. One sample: what SVRG gives is the gradient. */
static void test_freezing_within_an_svrg_period_is_right(void **state) {
    (void)state;
    for (int t = 0; t < 2; t++)
        for (int first = 0; first < 2; first++) {
            sw_params *p = small_params(both_types[t]);
            bowl b;
            bowl_init(&b, p, 1);
            sw_param *a = sw_params_find(p, "a");
            sw_param_freeze(a, first);
            sw_optim *o = NEW_OPTIM(p, .rule = "sgd lr=0.125", .estimator = "svrg period=100");
            for (int step = 0; step < 6; step++) {
                if (step == 3)
                    sw_param_freeze(a, !first);
                double x[SMALL_DIM], square = 0;
                for (int i = 0; i < SMALL_DIM; i++)
                    x[i] = vec_get(both_types[t], sw_params_x(p), i);
                assert_ok(sw_optim_minimize(o, &b.f, NULL));
                for (int i = 0; i < SMALL_DIM; i++) {
                    const bool moves = !a->frozen || i < a->offset || i >= a->offset + a->count;
                    const double g = moves ? b.h[0] * (x[i] - 3) : 0;
                    square += g * g;
                    /* |x| and |g| below 4, sums of three such, rounded a few times */
                    const double now = vec_get(both_types[t], sw_params_x(p), i);
                    if (fabs(now - (x[i] - 0.125 * g)) > 32 * (t ? 0x1p-52 : 0x1p-23))
                        fail_msg("step %d: x[%d] = %g, %g expected", step, i, now, x[i] - 0.125 * g);
                }
                assert_true(fabs(sw_optim_gradient_norm(o) / sqrt(square) - 1) <= (t ? 1e-14 : 1e-5));
            }
            sw_optim_free(o);
            sw_params_free(p);
        }
}

/* A generalized linear model's table holds no gradients of parameters, so that its sum must know of all of
 * them, also while they are frozen. */
static void test_freezing_keeps_a_table_right(void **state) {
    (void)state;
    static const char *const specs[] = {"sag", "saga", "sag init=full", "sag tol=1e-9 l2=0.1"};
    for (size_t k = 0; k < sizeof specs / sizeof *specs; k++) {
        logistic *p = logistic_new(SW_F64, 0.1, true);
        sw_optim *o = optim_of(p->params, specs[k], "sgd lr=auto weight_decay=0.1", 3);
        sw_param *w = sw_params_at(p->params, 0);
        sw_param_freeze(w, true);
        for (int step = 0; step < 3 * p->m; step++) {
            assert_ok(sw_optim_minimize(o, &p->f, NULL));
            assert_true(sw_optim_gradient_norm(o) == 0);
        }
        sw_param_freeze(w, false);
        for (int step = 0; step < 300 * p->m && logistic_gradient_norm(p, 0.1) > 1e-8; step++)
            assert_ok(sw_optim_minimize(o, &p->f, NULL));
        if (!(logistic_gradient_norm(p, 0.1) <= 1e-8))
            fail_msg("%s: the gradient's norm stays %g", specs[k], logistic_gradient_norm(p, 0.1));
        sw_optim_free(o);
        logistic_free(p);
    }
}

/* ---- Schedules ---- */

/* 10% of 1234 steps is no whole number. */
static void test_fractional_warmup_reaches_the_full_lr(void **state) {
    (void)state;
    static const char *const schedules[] = {"constant warmup=10%", "constant warmup=1.5", "constant warmup=4.01",
                                            "cosine warmup=10%"};
    for (size_t k = 0; k < sizeof schedules / sizeof *schedules; k++) {
        sw_params *p = small_params(SW_F64);
        sw_optim *o = NEW_OPTIM(p, .rule = "sgd lr=1", .schedule = schedules[k], .total_steps = 1234);
        const double c[SMALL_DIM] = {1e-3};
        double most = 0;
        for (int step = 0; step < 130; step++) {
            assert_ok(step_with(o, p, c));
            most = fmax(most, sw_optim_option(o, 0, "lr"));
        }
        if (most != 1)
            fail_msg("%s reaches %.17g", schedules[k], most);
        sw_optim_free(o);
        sw_params_free(p);
    }
}

static void test_schedules_keep_options_in_their_ranges(void **state) {
    (void)state;
    static const struct {
        const char *rule, *schedule, *message;
    } cases[] = {
        {"sgd momentum=0.9", "exponential factor=1.1 on=momentum",
         "rule sgd: momentum = 1.089 in step 3, scaled by the schedule, is outside [0, 1)"},
        {"adam beta2=0.999", "exponential factor=2 on=beta2",
         "rule adam: beta2 = 1.998 in step 2, scaled by the schedule, is outside [0, 1)"},
        {"adam", "linear over=2 on=eps", "rule adam: eps = 0 in step 3, scaled by the schedule, is outside [1e-30, 1]"},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        sw_params *p = small_params(SW_F64);
        sw_optim *o = NEW_OPTIM(p, .rule = cases[k].rule, .schedule = cases[k].schedule);
        const double c[SMALL_DIM] = {1};
        sw_status status = SW_OK;
        for (int step = 0; step < 5 && status == SW_OK; step++)
            status = step_with(o, p, c);
        assert_int_equal(status, SW_ERR_ARGUMENT);
        expect_error(SW_ERR_ARGUMENT, cases[k].message);
        sw_optim_free(o);
        sw_params_free(p);
    }
}

/* ---- Line searches ---- */

/* The step is α times the rules' learning rates to one another. */
static void test_search_keeps_the_ratio_of_groups(void **state) {
    (void)state;
    static const char *const searches[] = {"armijo", "wolfe"};
    for (int k = 0; k < 2; k++) {
        sw_params *p = small_params(SW_F64);
        bowl b;
        bowl_init(&b, p, 1);
        sw_optim *o =
            NEW_OPTIM(p, .rule = "role=weight: sgd lr=0.125; sgd lr=0.5", .estimator = "full", .schedule = searches[k]);
        for (int step = 0; step < 3; step++) {
            double x[SMALL_DIM], part[SMALL_DIM];
            for (int i = 0; i < SMALL_DIM; i++)
                x[i] = vec_get(SW_F64, sw_params_x(p), i);
            assert_ok(sw_optim_minimize(o, &b.f, NULL));
            for (int i = 0; i < SMALL_DIM; i++)
                part[i] = (vec_get(SW_F64, sw_params_x(p), i) - x[i]) / (3 - x[i]);
            for (int i = 0; i < SMALL_DIM; i++) /* "a", of 12 elements, is the weight */
                if (!(fabs(part[i] / part[SMALL_DIM - 1] / (i < 12 ? 0.25 : 1) - 1) <= 1e-12))
                    fail_msg("%s: x[%d] goes %g of its way, the last %g", searches[k], i, part[i], part[SMALL_DIM - 1]);
            if (step == 0) /* the first trial is lr itself, which descends enough here */
                assert_true(fabs(part[SMALL_DIM - 1] / (0.5 * b.h[0]) - 1) <= 1e-12 || k == 1);
        }
        sw_optim_free(o);
        sw_params_free(p);
    }
}

static void test_schedule_of_a_searched_lr_is_refused(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F64);
    static const char *const refused[] = {"cosine over=10; armijo", "wolfe; constant warmup=5"};
    static const char *const messages[] = {
        "line search armijo: it determines lr, so that schedule cosine cannot scale it",
        "line search wolfe: it determines lr, so that schedule constant cannot scale it"};
    for (int k = 0; k < 2; k++) {
        assert_null(sw_optim_new_with_options(
            p, &(sw_optim_options){
                   .size = sizeof(sw_optim_options), .rule = "sgd", .estimator = "full", .schedule = refused[k]}));
        expect_error(SW_ERR_ARGUMENT, messages[k]);
    }
    sw_optim_free(NEW_OPTIM(p, .rule = "sgd momentum=0.5", .estimator = "full",
                            .schedule = "armijo; linear over=10 on=momentum"));
    sw_params_free(p);
}

/* ---- SAM ---- */

/* Elements without gradient, and a p so large that q - 1 is 0 in f32. */
static void test_sam_of_a_huge_p_is_right(void **state) {
    (void)state;
    static const char *const norms[] = {"1e30", "1e46", "1e300"};
    for (int t = 0; t < 2; t++)
        for (int k = 0; k < 3; k++) {
            sw_params *p = small_params(both_types[t]), *q = small_params(both_types[t]);
            bowl b, d;
            bowl_init(&b, p, 4);
            bowl_init(&d, q, 4);
            b.scale[3] = d.scale[3] = 0;
            char spec[64];
            snprintf(spec, sizeof spec, "sam p=%s of=full", norms[k]);
            sw_optim *o = NEW_OPTIM(p, .rule = "sgd lr=0.1", .estimator = spec),
                     *infinite = NEW_OPTIM(q, .rule = "sgd lr=0.1", .estimator = "sam p=inf of=full");
            for (int step = 0; step < 3; step++) {
                assert_ok(sw_optim_minimize(o, &b.f, NULL));
                assert_ok(sw_optim_minimize(infinite, &d.f, NULL));
            }
            assert_memory_equal(sw_params_x(p), sw_params_x(q), params_bytes(p));
            sw_optim_free(o);
            sw_optim_free(infinite);
            sw_params_free(p);
            sw_params_free(q);
        }
}

/* ---- Going on with another L ---- */

static void test_lipschitz_constant_can_change_on_loading(void **state) {
    (void)state;
    logistic *p = logistic_new(SW_F64, 0, true);
    sw_archive *a = sw_archive_new();
    sw_optim *o = optim_of(p->params, "sag lipschitz=10", "sgd lr=auto", 1);
    for (int step = 0; step < 5; step++)
        assert_ok(sw_optim_minimize(o, &p->f, NULL));
    assert_true(fabs(sw_optim_option(o, 0, "lr") * 10 - 1) < 1e-15);
    assert_ok(sw_optim_pack(o, a));
    sw_optim *other = optim_of(p->params, "sag lipschitz=20", "sgd lr=auto", 1);
    assert_ok(sw_optim_bind(other, &p->f));
    assert_ok(sw_optim_unpack(other, a));
    assert_ok(sw_optim_minimize(other, &p->f, NULL));
    assert_true(fabs(sw_optim_option(other, 0, "lr") * 20 - 1) < 1e-15);
    sw_archive_free(a);
    sw_optim_free(other);
    sw_optim_free(o);
    logistic_free(p);
}

/* ---- The list ---- */

static void test_list_names_the_costs(void **state) {
    (void)state;
    char *text = calloc(1, 200000);
    FILE *to = tmpfile();
    assert_non_null(to);
    sw_optim_list(to);
    rewind(to);
    assert_true(fread(text, 1, 199999, to) > 0);
    fclose(to);
    for (int i = 0; sw_estimator_at(i); i++) { /* each says what its steps cost */
        assert_non_null(sw_estimator_at(i)->cost);
        assert_non_null(strstr(text, sw_estimator_at(i)->cost));
    }
    for (int i = 0; sw_line_search_at(i); i++) {
        assert_non_null(sw_line_search_at(i)->cost);
        assert_non_null(strstr(text, sw_line_search_at(i)->cost));
    }
    assert_non_null(strstr(text, "\n      warmup=0  (steps, % or ep)  linear rise"));
    assert_non_null(strstr(text, "\n      nesterov=false  (true|false)  Nesterov's momentum"));
    assert_non_null(strstr(text, "\n      state 40 bytes a parameter: queue; a step that takes one moves 8\n"));
    free(text);
}

int main(void) {
#define TEST(name) cmocka_unit_test_teardown(name, test_clear)
    const struct CMUnitTest tests[] = {
        TEST(test_gradient_norm_stays_after_a_skipped_step),
        TEST(test_freezing_within_an_svrg_period_is_right),
        TEST(test_freezing_keeps_a_table_right),
        TEST(test_fractional_warmup_reaches_the_full_lr),
        TEST(test_schedules_keep_options_in_their_ranges),
        TEST(test_search_keeps_the_ratio_of_groups),
        TEST(test_schedule_of_a_searched_lr_is_refused),
        TEST(test_sam_of_a_huge_p_is_right),
        TEST(test_lipschitz_constant_can_change_on_loading),
        TEST(test_list_names_the_costs),
    };
    return cmocka_run_group_tests_name("optim_combinations", tests, NULL, NULL);
}
