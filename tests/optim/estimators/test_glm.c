/* SAG, SAGA and SVRG on generalized linear models in memory: the loop over many steps gives the same bits as single
 * steps; every batch size, scale and loss converges with lr=auto; a penalty is given once; a run reports whether it has
 * converged. */
#include "small_glm.h"

/* ---- One loop, and single steps ---- */

static void test_dense_loops_have_the_bits_of_single_steps(void **state) {
    (void)state;
    static const char *const specs[] = {"sag",
                                        "saga",
                                        "sag batch=7",
                                        "saga batch=16",
                                        "sag sampling=lipschitz",
                                        "saga sampling=lipschitz batch=4",
                                        "sag init=sgd",
                                        "saga init=full",
                                        "sag init=zero lipschitz=auto",
                                        "saga lipschitz=40",
                                        "sag tol=1e-7",
                                        "saga init=centered",
                                        "sag batch=90",
                                        "saga init=sgd batch=5",
                                        "svrg batch=1",
                                        "svrg batch=13 period=20",
                                        "svrg batch=90",
                                        "svrg batch=7 lipschitz=auto"};
    static const sw_head of[] = {SW_HEAD_LOGISTIC, SW_HEAD_MULTINOMIAL, SW_HEAD_SQUARED, SW_HEAD_POISSON};
    problem *p = problem_new(1);
    for (size_t i = 0; i < 4 * sizeof specs / sizeof *specs; i++) {
        const sw_dtype type = both_types[i % 2]; /* in f32 x is in two numbers */
        const bool sparse = false;
        const sw_head head = of[(i / 2 + i / 4) % 4];
        const char *spec = specs[i / 4];
        if (head == SW_HEAD_POISSON && strstr(spec, "auto"))
            continue;
        sw_glm *a = glm_of(p, head, type, sparse), *b = glm_of(p, head, type, sparse);
        sw_optim *one = optim_of(a, spec, 0.01, 5), *many = optim_of(b, spec, 0.01, 5);
        const size_t bytes = (size_t)sw_params_dim(sw_glm_params(a)) * sw_dtype_size(type);
        double value = 0, mean = 0, sum = 0;
        static const int64_t parts[] = {1, 2, 50, 130, 317};
        for (int k = 0; k < 5; k++) {
            sum = 0;
            sw_loss_mean losses = {0};
            for (int64_t step = 0; step < parts[k]; step++) {
                assert_ok(sw_optim_minimize(one, sw_glm_objective(a), &value));
                assert_ok(sw_loss_mean_add_part(&losses, value, sw_optim_loss_weight(one)));
            }
            sum = sw_loss_mean_value(&losses);
            assert_ok(sw_optim_minimize_steps(many, sw_glm_objective(b), parts[k], &mean));
            if (memcmp(sw_params_x(sw_glm_params(a)), sw_params_x(sw_glm_params(b)), bytes) != 0)
                fail_msg("%s, %s, %s %s: other bits after part %d", spec, sw_head_name(head),
                         sparse ? "sparse" : "dense", sw_dtype_name(type), k);
            assert_true(sum == mean);
            assert_int_equal(sw_optim_steps_taken(one), sw_optim_steps_taken(many));
            static const char *const tables[] = {"sum", "sum_low", "table", "order", NULL}, *const snapshots[] = {
                                                                                                "snapshot", "full",
                                                                                                "table", NULL};
            const char *const *names = strncmp(spec, "svrg", 4) == 0 ? snapshots : tables;
            for (; *names; names++) {
                const sw_array s = sw_optim_slot(one, *names), t = sw_optim_slot(many, *names);
                assert_memory_equal(s.data, t.data, (size_t)sw_array_count(&s) * sw_dtype_size(s.type));
            }
            assert_true(sw_optim_scalar(one, -1, "L") == sw_optim_scalar(many, -1, "L"));
            if (strncmp(spec, "svrg", 4) != 0)
                assert_true(sw_optim_scalar(one, -1, "L_row") == sw_optim_scalar(many, -1, "L_row"));
        }
        sw_optim_free(one);
        sw_optim_free(many);
        sw_glm_free(a);
        sw_glm_free(b);
    }
    free(p);
}

/* Steps over sparse rows, of which a loop moves the weights at nonzeros alone, against those over the same rows in
 * full, which move all. Equal up to rounding: each of the 700 steps adds some 10 roundings of numbers of the size of x
 * and lr g, below 4; with steps of 1/L, of a convex problem, they do not grow. λ lr is so large in some that x must be
 * brought up to date on the way: 0.5^700. */
static void test_sparse_rows_equal_dense_rows(void **state) {
    (void)state;
    static const struct {
        const char *spec;
        double decay;
    } cases[] = {{"sag", 0.01},        {"saga", 0.01},      {"sag batch=7", 0.1},          {"saga batch=16", 0},
                 {"sag", 3},           {"saga batch=5", 3}, {"sag sampling=lipschitz", 0}, {"saga init=sgd", 0.01},
                 {"sag tol=1e-9", 0.1}};
    problem *p = problem_new(1);
    for (size_t i = 0; i < 8 * sizeof cases / sizeof *cases; i++) {
        const sw_dtype type = both_types[i % 2];
        const sw_head head = i / 2 % 2 ? SW_HEAD_MULTINOMIAL : SW_HEAD_LOGISTIC;
        without_bias = i / 4 % 2;
        sw_glm *a = glm_of(p, head, type, false), *b = glm_of(p, head, type, true);
        sw_optim *dense = optim_of(a, cases[i / 8].spec, cases[i / 8].decay, 5),
                 *lazy = optim_of(b, cases[i / 8].spec, cases[i / 8].decay, 5);
        assert_ok(sw_optim_minimize_steps(dense, sw_glm_objective(a), 700, NULL));
        assert_ok(sw_optim_minimize_steps(lazy, sw_glm_objective(b), 300, NULL));
        assert_ok(sw_optim_minimize_steps(lazy, sw_glm_objective(b), 400, NULL));
        for (int64_t j = 0; j < sw_params_dim(sw_glm_params(a)); j++) {
            const double x = vec_get(type, sw_params_x(sw_glm_params(a)), j),
                         y = vec_get(type, sw_params_x(sw_glm_params(b)), j);
            if (!(fabs(x - y) <= 700 * 10 * 4 * (type == SW_F32 ? 0x1p-24 : 0x1p-53)))
                fail_msg("%s, decay %g, %s: element %d is %.17g, not %.17g", cases[i / 8].spec, cases[i / 8].decay,
                         sw_dtype_name(type), (int)j, y, x);
        }
        sw_optim_free(dense);
        sw_optim_free(lazy);
        sw_glm_free(a);
        sw_glm_free(b);
    }
    without_bias = false;
    free(p);
}

/* The same with l1, whose weights pass through 0 and stay there: zeros at the same places. */
static void test_sparse_rows_with_l1_equal_dense_rows(void **state) {
    (void)state;
    static const char *const specs[] = {"sag", "saga", "saga batch=7", "svrg batch=9 lipschitz=9",
                                        "sag sampling=lipschitz"};
    static const char *const rules[] = {"role=weight: sgd lr=auto l1=0.05; sgd lr=auto",
                                        "role=weight: sgd lr=auto l1=0.02 weight_decay=0.1; sgd lr=auto",
                                        "sgd lr=0.03 l1=0.2"};
    problem *p = problem_new(1);
    int zeros = 0, others = 0;
    for (int i = 0; i < 30; i++) {
        const sw_dtype type = both_types[i % 2];
        const char *rule = rules[i / 2 % 3];
        sw_glm *a = glm_of(p, SW_HEAD_MULTINOMIAL, type, false), *b = glm_of(p, SW_HEAD_MULTINOMIAL, type, true);
        const sw_optim_options how = {.size = sizeof how, .estimator = specs[i / 6], .rule = rule, .seed = 4};
        sw_optim *dense = new_optim(sw_glm_params(a), &how), *lazy = new_optim(sw_glm_params(b), &how);
        for (int part = 0; part < 6; part++) {
            assert_ok(sw_optim_minimize_steps(dense, sw_glm_objective(a), 150, NULL));
            assert_ok(sw_optim_minimize_steps(lazy, sw_glm_objective(b), 150, NULL));
            for (int64_t j = 0; j < sw_params_dim(sw_glm_params(a)); j++) {
                const double x = vec_get(type, sw_params_x(sw_glm_params(a)), j),
                             y = vec_get(type, sw_params_x(sw_glm_params(b)), j);
                if (!(fabs(x - y) <= 900 * 10 * 4 * (type == SW_F32 ? 0x1p-24 : 0x1p-53)))
                    fail_msg("%s, %s, %s: element %d is %.17g, not %.17g", specs[i / 6], rule, sw_dtype_name(type),
                             (int)j, y, x);
                assert_true(type == SW_F32 || (x == 0) == (y == 0));
                zeros += x == 0;
                others += x != 0;
            }
        }
        sw_optim_free(dense);
        sw_optim_free(lazy);
        sw_glm_free(a);
        sw_glm_free(b);
    }
    assert_true(zeros > 100 && others > 100);
    free(p);
}

/* SVRG's loop takes the steps that single calls take: with a given L, so that both have the same step size, up to
 * rounding as above. Of sparse rows, too, and with l1. */
static void test_svrg_loop_equals_single_steps(void **state) {
    (void)state;
    static const char *const rules[] = {"sgd lr=auto weight_decay=0.02", "sgd lr=auto l1=0.01",
                                        "sgd lr=0.05 nonnegative"};
    problem *p = problem_new(1);
    for (int i = 0; i < 24; i++) {
        const sw_dtype type = both_types[i % 2];
        const bool sparse = i / 2 % 2;
        const char *estimator =
            i / 4 % 2 ? "svrg batch=1 lipschitz=9 period=250" : "svrg batch=13 lipschitz=9 period=20";
        sw_glm *a = glm_of(p, SW_HEAD_MULTINOMIAL, type, sparse), *b = glm_of(p, SW_HEAD_MULTINOMIAL, type, sparse);
        const sw_optim_options how = {.size = sizeof how, .estimator = estimator, .rule = rules[i / 8], .seed = 4};
        sw_optim *one = new_optim(sw_glm_params(a), &how), *many = new_optim(sw_glm_params(b), &how);
        for (int k = 0; k < 700; k++)
            assert_ok(sw_optim_minimize(one, sw_glm_objective(a), NULL));
        assert_ok(sw_optim_minimize_steps(many, sw_glm_objective(b), 310, NULL));
        assert_ok(sw_optim_minimize_steps(many, sw_glm_objective(b), 390, NULL));
        assert_int_equal(sw_optim_steps_taken(many), 700);
        for (int64_t j = 0; j < sw_params_dim(sw_glm_params(a)); j++) {
            const double x = vec_get(type, sw_params_x(sw_glm_params(a)), j),
                         y = vec_get(type, sw_params_x(sw_glm_params(b)), j);
            if (!(fabs(x - y) <= 700 * 10 * 4 * (type == SW_F32 ? 0x1p-24 : 0x1p-53)))
                fail_msg("case %d: element %d is %.17g, not %.17g", i, (int)j, y, x);
        }
        sw_optim_free(one);
        sw_optim_free(many);
        sw_glm_free(a);
        sw_glm_free(b);
    }
    free(p);
}

/* A run that is saved and loaded in the middle has the bits of one that is not, and so has one on more threads. */
static void test_resumed_run_has_the_same_bits(void **state) {
    (void)state;
    static const char *const specs[] = {"sag", "saga batch=7", "svrg batch=7", "sag sampling=lipschitz"};
    problem *p = problem_new(1);
    for (int i = 0; i < 16; i++) {
        const bool sparse = i / 4 % 2;
        const sw_dtype type = both_types[i / 8];
        const size_t size = sw_dtype_size(type);
        char whole[(K * D + K) * sizeof(double)];
        for (int resumed = 0; resumed < 2; resumed++) {
            sw_glm *m = glm_of(p, SW_HEAD_MULTINOMIAL, type, sparse);
            sw_optim *o = optim_of(m, specs[i % 4], 0.05, 2);
            sw_train_options how = {.size = sizeof how, .epochs = resumed ? 3 : 8};
            sw_set_threads(resumed ? 2 : 1);
            assert_ok(sw_train(sw_glm_objective(m), o, &how, NULL));
            if (resumed) {
                sw_archive *file = sw_archive_new();
                assert_ok(sw_optim_pack(o, file));
                sw_optim *other = optim_of(m, specs[i % 4], 0.05, 2);
                assert_ok(sw_optim_bind(other, sw_glm_objective(m)));
                assert_ok(sw_optim_unpack(other, file));
                how.epochs = 8;
                assert_ok(sw_train(sw_glm_objective(m), other, &how, NULL));
                assert_memory_equal(whole, sw_params_x(sw_glm_params(m)), (K * D + K) * size);
                sw_archive_free(file);
                sw_optim_free(other);
            } else {
                memcpy(whole, sw_params_x(sw_glm_params(m)), (K * D + K) * size);
            }
            sw_optim_free(o);
            sw_glm_free(m);
        }
    }
    sw_set_threads(1);
    free(p);
}

/* The low-order part of x in f32 becomes 0 when x is written from outside: it belonged to another x. Frozen parameters
 * get no new one in the step after that. */
static void test_weights_written_by_the_program_are_taken(void **state) {
    (void)state;
    static const char *const specs[] = {"sag", "saga batch=7", "svrg batch=7"};
    problem *p = problem_new(1);
    for (int i = 0; i < 3; i++) {
        sw_glm *m = glm_of(p, SW_HEAD_LOGISTIC, SW_F32, false);
        sw_optim *o = optim_of(m, specs[i], 0.01, 5);
        double before = 0, after = 0;
        assert_ok(sw_optim_minimize_steps(o, sw_glm_objective(m), 50, NULL));
        const sw_array low = sw_optim_slot(o, "x_low");
        for (int64_t j = 0; j < sw_array_count(&low); j++)
            before += fabs(test_get(&low, j));
        for (int k = 0; k < sw_params_count(sw_glm_params(m)); k++)
            sw_param_freeze(sw_params_at(sw_glm_params(m), k), true);
        sw_params_mark_changed(sw_glm_params(m));
        assert_ok(sw_optim_minimize(o, sw_glm_objective(m), NULL));
        for (int64_t j = 0; j < sw_array_count(&low); j++)
            after += fabs(test_get(&low, j));
        assert_true(before > 0 && after == 0);
        sw_optim_free(o);
        sw_glm_free(m);
    }
    free(p);
}

/* Averages, momentum, schedules, clipping, frozen parameters: sw_optim_minimize_steps has the bits of single steps with
 * all of them, whether or not a loop takes the steps. */
static void test_minimize_steps_has_the_bits_of_single_steps(void **state) {
    (void)state;
    static const sw_optim_options with[] = {{.rule = "sgd lr=0.05 momentum=0.5"},
                                            {.rule = "sgd lr=0.05", .average = "polyak"},
                                            {.rule = "sgd lr=0.05", .clip = 0.1},
                                            {.rule = "sgd lr=0.05", .schedule = "cosine"},
                                            {.rule = "sgd lr=0.05 l1=0.01"},
                                            {.rule = "adam lr=0.05"},
                                            {.rule = "role=bias: adam lr=0.1; sgd lr=0.05"},
                                            {.rule = "role=bias: sgd lr=0.05; sgd lr=0.05 l1=0.02 weight_decay=0.1"},
                                            {.rule = "role=bias: sgd lr=0.05; sgd lr=0.05 low=0.1 high=0.3"},
                                            {.rule = "sgd lr=auto l1=0.001 nonnegative"}};
    enum { CASES = sizeof with / sizeof *with };
    problem *p = problem_new(1);
    for (size_t i = 0; i <= CASES; i++) {
        sw_glm *a = glm_of(p, SW_HEAD_LOGISTIC, SW_F64, false), *b = glm_of(p, SW_HEAD_LOGISTIC, SW_F64, false);
        sw_optim_options how = i < CASES ? with[i] : (sw_optim_options){.rule = "sgd lr=0.05"};
        how.size = sizeof how;
        how.estimator = "sag";
        how.total_steps = 300;
        sw_optim *one = new_optim(sw_glm_params(a), &how), *many = new_optim(sw_glm_params(b), &how);
        if (i == CASES) {
            sw_param_freeze(sw_params_at(sw_glm_params(a), 1), true);
            sw_param_freeze(sw_params_at(sw_glm_params(b), 1), true);
        }
        for (int k = 0; k < 300; k++)
            assert_ok(sw_optim_minimize(one, sw_glm_objective(a), NULL));
        assert_ok(sw_optim_minimize_steps(many, sw_glm_objective(b), 300, NULL));
        assert_memory_equal(sw_params_x(sw_glm_params(a)), sw_params_x(sw_glm_params(b)), (D + 1) * sizeof(double));
        assert_memory_equal(sw_optim_point(one), sw_optim_point(many), (D + 1) * sizeof(double));
        assert_true(i < CASES || ((double *)sw_params_x(sw_glm_params(a)))[D] == 0);
        sw_optim_free(one);
        sw_optim_free(many);
        sw_glm_free(a);
        sw_glm_free(b);
    }
    free(p);
}

/* ---- Convergence ---- */

/* Within `epochs`, to 1e-9 of the first gradient in f64 and 3e-6 in f32: the contract of lr=auto. */
static void converges(const char *spec, sw_head head, sw_dtype type, double scale, double decay, int epochs) {
    problem *p = problem_new(scale);
    sw_glm *m = glm_of(p, head, type, false);
    decay *= scale * scale;
    sw_optim *o = optim_of(m, spec, decay, 7);
    const double first = norm_at(p, head, m, decay), goal = (type == SW_F32 ? 3e-6 : 1e-9) * first;
    const int64_t per_epoch = sw_optim_steps_per_epoch(o, sw_glm_objective(m));
    double norm = first;
    int epoch = 0;
    for (; epoch < epochs && norm > goal; epoch++) {
        if (sw_optim_minimize_steps(o, sw_glm_objective(m), per_epoch, NULL) != SW_OK)
            fail_msg("%s %s: %s", spec, sw_head_name(head), sw_error());
        norm = norm_at(p, head, m, decay);
    }
    if (!(norm <= goal))
        fail_msg("%s, %s, %s, data times %g: %.3g of the first gradient after %d epochs", spec, sw_head_name(head),
                 sw_dtype_name(type), scale, norm / first, epoch);
    sw_optim_free(o);
    sw_glm_free(m);
    free(p);
}

static void test_every_batch_and_loss_converges(void **state) {
    (void)state;
    static const char *const methods[] = {"sag", "saga", "svrg"};
    static const int batches[] = {1, 7, 10, 16, 64, 90};
    static const sw_head of[] = {SW_HEAD_LOGISTIC, SW_HEAD_MULTINOMIAL,   SW_HEAD_SQUARED,
                                 SW_HEAD_HUBER,    SW_HEAD_SQUARED_HINGE, SW_HEAD_POISSON};
    for (int i = 0; i < 3; i++)
        for (int b = 0; b < 6; b++)
            for (int h = 0; h < 6; h++) {
                char spec[64];
                snprintf(spec, sizeof spec, "%s batch=%d", methods[i], batches[b]);
                converges(spec, of[h], both_types[(b + h) % 2], 1, 0.05, 3000);
            }
}

/* Features and penalty of other units: the same problem. Without an intercept, whose unit stays. */
static void test_units_of_the_features_change_nothing(void **state) {
    (void)state;
    static const char *const specs[] = {"sag", "saga batch=10", "svrg batch=10", "sag batch=90",
                                        "saga sampling=lipschitz"};
    without_bias = true;
    for (int i = 0; i < 5; i++)
        for (int s = 0; s < 4; s++)
            converges(specs[i], i % 2 ? SW_HEAD_SQUARED : SW_HEAD_LOGISTIC, both_types[s / 2], s % 2 ? 1e5 : 1e-5, 0.05,
                      3000);
    without_bias = false;
}

/* At x = 0 every sample is on a straight part of Huber's loss, which has no curvature there. */
static void test_loss_without_curvature_at_the_start_is_minimized(void **state) {
    (void)state;
    static const char *const specs[] = {"sag", "saga batch=7", "svrg batch=7", "sag sampling=lipschitz",
                                        "sag batch=90"};
    problem *p = problem_new(1);
    for (int i = 0; i < N; i++)
        p->y[i] += 50;
    for (int i = 0; i < 5; i++) {
        sw_glm *m = glm_of(p, SW_HEAD_HUBER, SW_F64, false);
        sw_optim *o = optim_of(m, specs[i], 0.1, 7);
        sw_train_result r;
        assert_ok(sw_train(sw_glm_objective(m), o,
                           &(sw_train_options){.size = sizeof(sw_train_options), .epochs = 5000, .tolerance = 1e-8},
                           &r));
        if (r.reason != SW_TRAIN_TOLERANCE)
            fail_msg("%s: %s", specs[i], sw_train_result_text(&r, (char[200]){0}, 200));
        sw_optim_free(o);
        sw_glm_free(m);
    }
    free(p);
}

/* SAGA: n/64, rounded down to a power of 2; SVRG: 64; over sparse rows 1; a given batch stays. */
static void test_default_batch_is_chosen_by_size(void **state) {
    (void)state;
    static const int64_t n[] = {90, 127, 128, 1000, 100000};
    static const int64_t batch[] = {1, 1, 2, 8, 64};
    for (int i = 0; i < 5; i++) {
        double *x = calloc((size_t)n[i], sizeof *x);
        int32_t *y = calloc((size_t)n[i], sizeof *y);
        x[0] = y[1] = 1;
        const sw_array a = sw_array_view(x, SW_F64, SW_SHAPE(n[i], 1)), b = sw_array_view(y, SW_I32, SW_SHAPE(n[i]));
        sw_glm *m =
            sw_glm_new(SW_F64, &a, &b, &(sw_glm_options){.size = sizeof(sw_glm_options), .head = SW_HEAD_LOGISTIC});
        int64_t *start = calloc((size_t)n[i] + 1, sizeof *start);
        const int32_t column = 0;
        for (int64_t row = 1; row <= n[i]; row++)
            start[row] = 1;
        sw_glm *sparse = sw_glm_new_sparse(
            SW_F64, &(sw_csr){.rows = n[i], .columns = 1, .start = start, .index = &column, .value = x, .type = SW_F64},
            &b, &(sw_glm_options){.size = sizeof(sw_glm_options), .head = SW_HEAD_LOGISTIC});
        static const char *const specs[] = {"saga", "saga batch=3", "svrg", "svrg batch=5"};
        for (int k = 0; k < 8; k++) {
            const int64_t of = k % 4 == 1 ? 3 : k % 4 == 3 ? 5 : k > 3 ? 1 : k % 4 == 2 ? 64 : batch[i];
            sw_glm *model = k > 3 ? sparse : m;
            sw_optim *o = optim_of(model, specs[k % 4], 0, 1);
            assert_int_equal(sw_optim_steps_per_epoch(o, sw_glm_objective(model)), (n[i] + of - 1) / of);
            sw_optim_free(o);
        }
        sw_glm_free(sparse);
        free(start);
        sw_glm_free(m);
        free(x);
        free(y);
    }
}

/* From x that is not 0 the default is a first full pass, from 0 it is none. */
static void test_warm_start_begins_with_a_full_pass(void **state) {
    (void)state;
    static const char *const specs[] = {"sag", "saga", "sag batch=7"};
    problem *p = problem_new(1);
    for (int i = 0; i < 6; i++) {
        sw_glm *m[3];
        sw_optim *o[3];
        for (int k = 0; k < 3; k++) {
            char spec[64];
            snprintf(spec, sizeof spec, "%s%s", specs[i % 3],
                     k == 0       ? ""
                     : k == 1     ? " init=full"
                     : i % 3 == 1 ? " init=zero"
                                  : " init=seen");
            m[k] = glm_of(p, SW_HEAD_LOGISTIC, SW_F64, false);
            if (i / 3)
                ((double *)sw_params_x(sw_glm_params(m[k])))[2] = 0.25;
            o[k] = optim_of(m[k], spec, 0.1, 3);
            assert_ok(sw_optim_minimize_steps(o[k], sw_glm_objective(m[k]), 300, NULL));
        }
        const int same = i / 3 ? 1 : 2;
        assert_memory_equal(sw_params_x(sw_glm_params(m[0])), sw_params_x(sw_glm_params(m[same])),
                            (D + 1) * sizeof(double));
        assert_memory_not_equal(sw_params_x(sw_glm_params(m[0])), sw_params_x(sw_glm_params(m[3 - same])),
                                (D + 1) * sizeof(double));
        for (int k = 0; k < 3; k++) {
            sw_optim_free(o[k]);
            sw_glm_free(m[k]);
        }
    }
    free(p);
}

/* ---- The penalty, once ---- */

static void test_penalty_is_part_of_the_step_size(void **state) {
    (void)state;
    problem *p = problem_new(1);
    sw_glm *m = glm_of(p, SW_HEAD_LOGISTIC, SW_F64, false);
    sw_optim *o = optim_of(m, "sag lipschitz=4", 0.5, 1);
    assert_ok(sw_optim_minimize(o, sw_glm_objective(m), NULL));
    assert_true(fabs(sw_optim_option(o, 0, "lr") * 4.5 - 1) < 1e-15);
    assert_true(fabs(sw_optim_option(o, 1, "lr") * 4 - 1) < 1e-15); /* the intercept has none */
    sw_optim_free(o);
    o = optim_of(m, "sag lipschitz=4 l2=0.5", 0.5, 1); /* the same, written twice */
    assert_ok(sw_optim_minimize(o, sw_glm_objective(m), NULL));
    sw_optim_free(o);
    o = optim_of(m, "sag l2=0.1", 0.5, 1);
    assert_int_equal(sw_optim_bind(o, sw_glm_objective(m)), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT,
                 "estimator sag: l2=0.1, but weight_decay of the rule is 0.5; state the penalty once, as "
                 "weight_decay (sgd weight_decay=0.1), and leave l2 out");
    sw_optim_free(o);
    sw_glm_free(m);
    free(p);
}

static void test_lipschitz_auto_is_computed_from_rows(void **state) {
    (void)state;
    problem *p = problem_new(1);
    sw_glm *m = glm_of(p, SW_HEAD_LOGISTIC, SW_F64, false);
    double most, mean;
    assert_ok(sw_objective_lipschitz(sw_glm_objective(m), &most, &mean));
    static const char *const specs[] = {"sag lipschitz=auto", "saga lipschitz=auto step=1/L",
                                        "sag lipschitz=auto batch=90", "svrg lipschitz=auto batch=1 step=1/L",
                                        "svrg lipschitz=auto batch=90 step=1/L"};
    for (int i = 0; i < 5; i++) {
        sw_optim *o = optim_of(m, specs[i], 0, 1);
        assert_ok(sw_optim_minimize(o, sw_glm_objective(m), NULL));
        const double l = strstr(specs[i], "batch=90") ? mean : most;
        assert_true(fabs(sw_optim_option(o, 0, "lr") * l - 1) < 1e-12);
        sw_optim_free(o);
    }
    sw_glm_free(m);
    m = glm_of(p, SW_HEAD_POISSON, SW_F64, false);
    sw_optim *o = optim_of(m, "saga lipschitz=auto", 0, 1);
    assert_int_equal(sw_optim_bind(o, sw_glm_objective(m)), SW_ERR_ARGUMENT);
    assert_non_null(strstr(sw_error(), "the second derivative of the poisson loss has no bound"));
    sw_clear_error();
    sw_optim_free(o);
    sw_glm_free(m);
    free(p);
}

/* ---- Convergence is reported ---- */

/* At the stop the norm of the true gradient, free intercept and penalty as they are, is at most three times the
 * tolerance, and an eighth of an epoch (two, where checks are that far apart) before it was at least a third of it. */
static void test_tolerance_bounds_the_gradient(void **state) {
    (void)state;
    static const char *const specs[] = {"sag tol=1e-6", "saga tol=1e-6 batch=9", "sag", "saga batch=9", "svrg batch=9"};
    problem *p = problem_new(1);
    for (int i = 0; i < 5; i++) {
        sw_glm *m = glm_of(p, SW_HEAD_LOGISTIC, SW_F64, false);
        sw_optim *o = optim_of(m, specs[i], 0.1, 7);
        sw_train_result r;
        assert_ok(sw_train(sw_glm_objective(m), o,
                           &(sw_train_options){.size = sizeof(sw_train_options),
                                               .epochs = 2000,
                                               .tolerance = strstr(specs[i], "tol") ? 0 : 1e-6},
                           &r));
        const double norm = norm_at(p, SW_HEAD_LOGISTIC, m, 0.1);
        assert_int_equal(r.reason, SW_TRAIN_TOLERANCE);
        assert_true(r.epochs < 500);
        sw_glm *before = glm_of(p, SW_HEAD_LOGISTIC, SW_F64, false);
        sw_optim *again = optim_of(before, specs[i], 0.1, 7);
        const int64_t eighth = sw_optim_steps_per_epoch(o, sw_glm_objective(m)) / 8;
        assert_ok(
            sw_optim_minimize_steps(again, sw_glm_objective(before), r.steps - (eighth > 0 ? 2 * eighth : 2), NULL));
        const double earlier = norm_at(p, SW_HEAD_LOGISTIC, before, 0.1);
        if (!(norm <= 3e-6 && earlier >= 1e-6 / 3))
            fail_msg("%s: stopped at %g, %g before", specs[i], norm, earlier);
        sw_optim_free(again);
        sw_glm_free(before);
        assert_true(r.tolerance == 1e-6 && fabs(r.full_norm / norm - 1) < 1e-6); /* where the run ended */
        sw_optim_free(o);
        sw_glm_free(m);
    }
    free(p);
}

static void test_run_that_does_not_converge_is_reported(void **state) {
    (void)state;
    problem *p = problem_new(1);
    for (int i = 0; i < 2; i++) {
        sw_glm *m = glm_of(p, SW_HEAD_LOGISTIC, SW_F64, false);
        sw_optim *o = optim_of(m, i ? "sag tol=1e-12" : "sag", 0.1, 7);
        sw_train_result r;
        char text[200];
        assert_ok(sw_train(
            sw_glm_objective(m), o,
            &(sw_train_options){.size = sizeof(sw_train_options), .epochs = 5, .tolerance = i ? 0 : 1e-12}, &r));
        assert_int_equal(r.reason, SW_TRAIN_NOT_CONVERGED);
        assert_true(fabs(r.full_norm / norm_at(p, SW_HEAD_LOGISTIC, m, 0.1) - 1) < 1e-9);
        sw_train_result_text(&r, text, sizeof text);
        char expected[200];
        snprintf(expected, sizeof expected,
                 "not converged after 5 epochs: the gradient's norm is %.3g, %.3g times the "
                 "tolerance 1e-12",
                 r.full_norm, r.full_norm / 1e-12);
        assert_string_equal(text, expected);
        sw_optim_free(o);
        sw_glm_free(m);
    }
    free(p);
}

/* Lasso's minimum is one where a subgradient is 0, not the gradient. */
static void test_tolerance_with_l1_bounds_the_subgradient(void **state) {
    (void)state;
    problem *p = problem_new(1);
    sw_glm *m = glm_of(p, SW_HEAD_SQUARED, SW_F64, false);
    sw_optim *o = NEW_OPTIM(sw_glm_params(m), .estimator = "saga", .seed = 3,
                            .rule = "role=weight: sgd lr=auto l1=0.05; sgd lr=auto");
    sw_train_result r;
    assert_ok(sw_train(sw_glm_objective(m), o,
                       &(sw_train_options){.size = sizeof(sw_train_options), .epochs = 3000, .tolerance = 1e-8}, &r));
    assert_int_equal(r.reason, SW_TRAIN_TOLERANCE);
    assert_true(norm_at(p, SW_HEAD_SQUARED, m, 0) > 0.01);
    sw_optim_free(o);
    sw_glm_free(m);
    free(p);
}

/* ---- Long after ---- */

/* After the minimum is found the steps go on, and nothing grows. */
static void test_steps_long_after_convergence_stay_at_the_minimum(void **state) {
    (void)state;
    static const char *const specs[] = {
        "sag", "saga", "sag batch=10", "svrg batch=10", "sag sampling=lipschitz", "saga batch=90"};
    problem *p = problem_new(1);
    for (int i = 0; i < 12; i++) {
        sw_glm *m = glm_of(p, i % 3 ? SW_HEAD_LOGISTIC : SW_HEAD_SQUARED, both_types[i / 6], false);
        const double decay = 0.1;
        sw_optim *o = optim_of(m, specs[i % 6], decay, 7);
        const int64_t per_epoch = sw_optim_steps_per_epoch(o, sw_glm_objective(m));
        assert_ok(sw_optim_minimize_steps(o, sw_glm_objective(m), 500 * per_epoch, NULL));
        const double l = sw_optim_scalar(o, -1, "L"), lr = sw_optim_option(o, 0, "lr");
        assert_ok(sw_optim_minimize_steps(o, sw_glm_objective(m), 2000 * per_epoch, NULL));
        const double later = sw_optim_scalar(o, -1, "L");
        assert_true(later > l / 4 && later < 4 * l && sw_optim_option(o, 0, "lr") < 5 * lr);
        const double norm = norm_at(p, i % 3 ? SW_HEAD_LOGISTIC : SW_HEAD_SQUARED, m, decay);
        if (!(norm < (i / 6 ? 1e-10 : 1e-5)))
            fail_msg("%s %d: %g", specs[i % 6], i, norm);
        sw_optim_free(o);
        sw_glm_free(m);
    }
    free(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_dense_loops_have_the_bits_of_single_steps),
                                       cmocka_unit_test(test_sparse_rows_equal_dense_rows),
                                       cmocka_unit_test(test_default_batch_is_chosen_by_size),
                                       cmocka_unit_test(test_warm_start_begins_with_a_full_pass),
                                       cmocka_unit_test(test_loss_without_curvature_at_the_start_is_minimized),
                                       cmocka_unit_test(test_resumed_run_has_the_same_bits),
                                       cmocka_unit_test(test_svrg_loop_equals_single_steps),
                                       cmocka_unit_test(test_sparse_rows_with_l1_equal_dense_rows),
                                       cmocka_unit_test(test_minimize_steps_has_the_bits_of_single_steps),
                                       cmocka_unit_test(test_weights_written_by_the_program_are_taken),
                                       cmocka_unit_test(test_penalty_is_part_of_the_step_size),
                                       cmocka_unit_test(test_lipschitz_auto_is_computed_from_rows),
                                       cmocka_unit_test(test_tolerance_bounds_the_gradient),
                                       cmocka_unit_test(test_run_that_does_not_converge_is_reported),
                                       cmocka_unit_test(test_tolerance_with_l1_bounds_the_subgradient),
                                       cmocka_unit_test(test_steps_long_after_convergence_stay_at_the_minimum),
                                       cmocka_unit_test(test_every_batch_and_loss_converges),
                                       cmocka_unit_test(test_units_of_the_features_change_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
