/* The table of SAG and SAGA and the snapshot of SVRG, tested through public functions: no bias, draws as documented,
 * tables of rows and of numbers, Lipschitz constants and step sizes, start and end. */
#include "logistic.h"

/* ---- A spy: takes the estimate and gives the step up, so that nothing moves and another row comes ---- */

static struct {
    double g[LOGISTIC_MOST];
    int64_t id, count;
    bool keep; /* let the step be taken */
} spied;

static sw_status spy_estimate(sw_estimate *e, const void *x, void *g) {
    SW_TRY(sw_estimate_inner(e, x, g));
    for (int64_t j = 0; j < e->dim && j < LOGISTIC_MOST; j++)
        spied.g[j] = vec_get(e->type, g, j);
    spied.id = e->ids[0];
    spied.count = e->count;
    return spied.keep ? SW_OK : SW_SKIPPED;
}

static const sw_option spy_options[] = {{.name = "of", .kind = SW_OPTION_SPEC}, {0}};
static const sw_estimator spy = {.size = sizeof(sw_estimator),
                                 .name = "test_spy",
                                 .options = spy_options,
                                 .flags = SW_ESTIMATOR_OBJECTIVE | SW_ESTIMATOR_WRAPPER,
                                 .estimate = spy_estimate};

static void steps(sw_optim *o, logistic *p, int count) {
    spied.keep = true;
    for (int k = 0; k < count; k++)
        assert_ok(sw_optim_minimize(o, &p->f, NULL));
    spied.keep = false;
}

/* One that the spy gives up. Too many in a row are an error, which means nothing here. */
static void look(sw_optim *o, logistic *p) {
    const sw_status status = sw_optim_minimize(o, &p->f, NULL);
    if (status == SW_ERR_NONFINITE) {
        assert_non_null(strstr(sw_error(), "100 steps in a row were skipped"));
        sw_clear_error();
    } else {
        assert_int_equal(status, SW_SKIPPED);
    }
}

/* Probability of each row: what the estimator documents, from its tree. */
static double probability(sw_optim *o, int64_t row, int64_t rows) {
    sw_array tree = sw_optim_slot(o, "tree"), order = sw_optim_slot(o, "order");
    const int64_t seen = (int64_t)sw_optim_scalar(o, -1, "seen");
    if (!tree.data)
        return 1 / (double)rows;
    const double *node = tree.data;
    for (int64_t k = seen; k < rows; k++)
        if (((const int32_t *)order.data)[k] == row)
            return 1 / (double)rows;
    int64_t leaves = 1;
    while (leaves < rows)
        leaves *= 2;
    double sum = 0;
    for (int64_t i = 0; i < rows; i++)
        sum += node[leaves + i];
    return (double)seen / (double)rows * 0.5 * (1 / (double)seen + node[leaves + row] / sum);
}

/* Σ_r p_r g^(r) = ∇f(x). Terms are of size 1; the sum of 200 of them is exact to 200 ε = 5e-14. */
static void unbiased(const char *inner, int64_t batch, int taken) {
    const double mu = 0.1;
    char spec[128];
    logistic *p = logistic_new(SW_F64, mu, false);
    snprintf(spec, sizeof spec, "test_spy of=%s", inner);
    sw_optim *o = optim_of(p->params, spec, "sgd lr=0.05", 11);
    const int64_t rows = (p->m + batch - 1) / batch;
    double total[LOGISTIC_MOST] = {0}, x[LOGISTIC_MOST], g[LOGISTIC_MOST];
    bool had[200] = {0};
    steps(o, p, taken);
    const bool svrg = strncmp(inner, "svrg", 4) == 0;
    for (int64_t found = 0, tries = 0; found < rows; tries++) {
        assert_true(tries < 200000);
        look(o, p);
        const int64_t row = spied.id / batch;
        if (had[row])
            continue;
        had[row] = true;
        found++;
        const double weight = svrg ? 1 / (double)rows : probability(o, row, rows);
        for (int64_t j = 0; j < p->n; j++)
            total[j] += weight * spied.g[j];
    }
    logistic_x(p, x);
    logistic_part(p, mu, x, 0, p->m, g);
    for (int64_t j = 0; j < p->n; j++)
        if (!(fabs(total[j] - g[j]) <= 1e-12))
            fail_msg("%s after %d steps: element %lld is %.3g off", inner, taken, (long long)j, total[j] - g[j]);
    sw_optim_free(o);
    logistic_free(p);
}

static void test_saga_and_svrg_are_unbiased(void **state) {
    (void)state;
    static const int taken[] = {1, 50, 300};
    for (size_t i = 0; i < 3; i++) {
        unbiased("saga", 1, taken[i]);
        unbiased("saga batch=7", 7, taken[i]);
        unbiased("saga init=full", 1, taken[i]);
        unbiased("saga init=centered", 1, taken[i]);
        unbiased("saga sampling=lipschitz", 1, taken[i]);
        unbiased("saga sampling=lipschitz batch=7", 7, taken[i]);
        unbiased("svrg batch=1 order=sequential", 1, taken[i]);
        unbiased("svrg batch=7 order=sequential period=1000", 7, taken[i]);
    }
}

/* How often each row is drawn: chi-square of 200 rows over 40000 draws has mean 199, deviation 20. */
static void test_rows_are_drawn_as_documented(void **state) {
    (void)state;
    static const char *const specs[] = {"test_spy of=sag", "test_spy of=sag sampling=lipschitz"};
    for (int s = 0; s < 2; s++)
        for (int taken = 100; taken <= 1000; taken += 900) {
            enum { DRAWS = 40000 };
            logistic *p = logistic_new(SW_F64, 0.1, true);
            sw_optim *o = optim_of(p->params, specs[s], "sgd lr=0.05", 11);
            int count[200] = {0};
            double chi = 0, sum = 0;
            steps(o, p, taken);
            for (int k = 0; k < DRAWS; k++) {
                look(o, p);
                count[spied.id]++;
            }
            for (int64_t i = 0; i < 200; i++) {
                const double expected = DRAWS * probability(o, i, 200);
                sum += expected;
                chi += (count[i] - expected) * (count[i] - expected) / expected;
            }
            assert_true(fabs(sum - DRAWS) < 1e-6);
            if (!(chi < 199 + 5 * 20 && chi > 199 - 5 * 20))
                fail_msg("%s after %d steps: chi-square %.1f", specs[s], taken, chi);
            sw_optim_free(o);
            logistic_free(p);
        }
}

/* ---- The table's two forms ---- */

/* x after each step; both start at 0 and see the same draws. In exact arithmetic equal. Rounding: each
 * step's g differs by at most c·ε·G, with G = max ‖g_i‖ ≤ max ‖a_i‖ and c = n + 8 operations in a row; a
 * step of a convex problem with lr ≤ 1/L does not spread differences, so that they add up: K lr c ε G. */
static void forms_agree(const char *estimator, sw_dtype type, int count) {
    const double mu = 0.1;
    logistic *p = logistic_new(type, 0, false), *q = logistic_new(type, 0, true);
    const double lr = 0.5 / logistic_largest_l(p, mu), most = 2 * sqrt(logistic_largest_l(p, 0)),
                 eps = type == SW_F32 ? 0x1p-24 : 0x1p-53;
    char rule[96];
    snprintf(rule, sizeof rule, "sgd lr=%.17g weight_decay=%g", lr, mu);
    sw_optim *a = optim_of(p->params, estimator, rule, 4), *b = optim_of(q->params, estimator, rule, 4);
    double worst = 0, x[LOGISTIC_MOST], y[LOGISTIC_MOST], value, other;
    for (int k = 1; k <= count; k++) {
        assert_ok(sw_optim_minimize(a, &p->f, &value));
        assert_ok(sw_optim_minimize(b, &q->f, &other));
        logistic_x(p, x);
        logistic_x(q, y);
        for (int64_t j = 0; j < p->n; j++)
            worst = fmax(worst, fabs(x[j] - y[j]));
        const double allowed = k * lr * (double)(p->n + 8) * eps * most;
        if (!(worst <= allowed))
            fail_msg("%s, step %d: %.3g apart, %.3g allowed", estimator, k, worst, allowed);
    }
    if (!strstr(estimator, "batch"))
        assert_true(sw_optim_bytes(b).estimator < sw_optim_bytes(a).estimator / 2);
    sw_optim_free(a);
    sw_optim_free(b);
    logistic_free(p);
    logistic_free(q);
}

static void test_table_of_numbers_equals_table_of_rows(void **state) {
    (void)state;
    static const char *const specs[] = {"sag",  "sag batch=7",  "sag init=full",  "sag init=centered", "sag init=sgd",
                                        "saga", "saga batch=7", "saga init=seen", "saga init=centered"};
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++)
        for (int t = 0; t < 2; t++)
            forms_agree(specs[i], both_types[t], 600);
}

/* ---- Step sizes ---- */

static double lr_of(const char *estimator, int count) {
    logistic *p = logistic_new(SW_F64, 0, true);
    sw_optim *o = optim_of(p->params, estimator, "sgd lr=auto weight_decay=0.1", 4);
    for (int k = 0; k < count; k++)
        assert_ok(sw_optim_minimize(o, &p->f, NULL));
    double lr = sw_optim_option(o, 0, "lr");
    sw_optim_free(o);
    logistic_free(p);
    return lr;
}

static void test_given_lipschitz_constant_sets_the_step(void **state) {
    (void)state;
    const double l = 7, l2 = 0.1, n = 200; /* two roundings, and one of %g */
#define SPEC(METHOD, STEP) METHOD " lipschitz=7 l2=0.1 step=" STEP
    assert_true(fabs(lr_of(SPEC("sag", "1/L"), 1) * (l + l2) - 1) < 1e-15);
    assert_true(fabs(lr_of(SPEC("sag", "2/(L+n*l2)"), 1) * (l + (n + 1) * l2) / 2 - 1) < 1e-15);
    assert_true(fabs(lr_of(SPEC("saga", "1/(3L)"), 1) * 3 * (l + l2) - 1) < 1e-15);
    assert_true(fabs(lr_of(SPEC("saga", "1/(2L+min(2n*l2,L))"), 1) * 3 * (l + l2) - 1) < 1e-15); /* 2nl2 > L */
    assert_true(fabs(lr_of(SPEC("saga", "1/(16L)"), 1) * 16 * (l + l2) - 1) < 1e-15);
    assert_true(fabs(lr_of("sag lipschitz=7", 5) * (l + l2) - 1) < 1e-15); /* the rule's penalty is known */
#undef SPEC
}

/* L is a curvature that was met: never above the largest L_i = ¼‖a_i‖², or the mean over a row of such; and above the
 * smallest at x = 0, along any direction a sample's gradient has. */
static void test_search_finds_the_lipschitz_constant(void **state) {
    (void)state;
    static const char *const specs[] = {"sag", "saga step=1/L", "sag sampling=lipschitz", "sag batch=7"};
    logistic *p = logistic_new(SW_F64, 0, true);
    const double most = logistic_largest_l(p, 0), least = 0.02;
    logistic_free(p);
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++)
        for (int count = 1; count < 3000; count *= 3) {
            const double l = 1 / lr_of(specs[i], count);
            if (!(l - 0.1 <= most * (1 + 1e-6) && l - 0.1 >= least))
                fail_msg("%s after %d steps: L = %g; the largest L_i is %g", specs[i], count, l, most);
        }
}

/* With uniform draws L is what the row showed, or what it was less its decay: by half over max(8n, 256) rows that were
 * measured, which are all in the first two epochs and one in four later. By rows, each L_i is what it showed or half of
 * what it was, and L at least each of them. */
static void test_found_lipschitz_constant_decays(void **state) {
    (void)state;
    for (int own = 0; own < 2; own++) {
        enum { LEAVES = 256 };
        logistic *p = logistic_new(SW_F64, 0, true);
        sw_optim *o = optim_of(p->params, own ? "test_spy of=sag sampling=lipschitz" : "test_spy of=sag",
                               "sgd lr=auto weight_decay=0.1", 4);
        double before[2 * LEAVES] = {0}, most = 0;
        int sunk = 0, risen = 0, met = 0;
        bool had[200] = {0};
        for (int k = 1; k <= 2000; k++) {
            steps(o, p, 1);
            const double l = sw_optim_scalar(o, -1, "L_row"), now = sw_optim_scalar(o, -1, "L");
            const bool measured = own || k <= 400 || k % 4 == 0 || !had[spied.id];
            const double less = most * exp2(-1 / 1600.0);
            if (own) {
                assert_true(now >= less * (1 - 1e-15) && (now >= l || now == less));
            } else {
                assert_true(fabs(now / (measured ? fmax(l, less) : most) - 1) < 1e-15);
                met += measured && l > less;
            }
            most = now;
            had[spied.id] = true;
            if (!own)
                continue;
            const double *tree = sw_optim_slot(o, "tree").data, was = before[LEAVES + spied.id];
            assert_true(tree[LEAVES + spied.id] == l);
            assert_true(l >= was / 2);
            sunk += l < was;
            risen += l > was;
            memcpy(before, tree, sizeof before);
        }
        assert_true(own ? sunk > 100 && risen > 100 : met > 3);
        sw_optim_free(o);
        logistic_free(p);
    }
}

/* A wrapper hands on what its inner one proposes in each step, not only in the first. */
static void test_wrapper_passes_on_each_lr(void **state) {
    (void)state;
    logistic *p = logistic_new(SW_F64, 0, true), *q = logistic_new(SW_F64, 0, true);
    sw_optim *a = optim_of(p->params, "sag", "sgd lr=auto", 4),
             *b = optim_of(q->params, "test_spy of=sag", "sgd lr=auto", 4);
    double first = 0;
    for (int k = 0; k < 300; k++) {
        assert_ok(sw_optim_minimize(a, &p->f, NULL));
        steps(b, q, 1);
        assert_true(sw_optim_option(a, 0, "lr") == sw_optim_option(b, 0, "lr"));
        first = k == 0 ? sw_optim_option(a, 0, "lr") : first;
    }
    assert_true(sw_optim_option(a, 0, "lr") != first);
    sw_optim_free(a);
    sw_optim_free(b);
    logistic_free(p);
    logistic_free(q);
}

/* A steep row needs a small step for itself alone: under sampling=lipschitz the mean counts too. The penalty
 * keeps predictions small, where the logistic function is as curved as its bound. */
static void test_steep_rows_are_drawn_more_often(void **state) {
    (void)state;
    int steep = 0, count = 0;
    double lr[2];
    for (int s = 0; s < 2; s++) {
        logistic *p = logistic_new(SW_F64, 0, true);
        for (int64_t j = 0; j < p->n; j++)
            p->a[17 * p->n + j] *= 8;
        sw_optim *o = optim_of(p->params, s ? "test_spy of=sag l2=5 sampling=lipschitz" : "test_spy of=sag l2=5",
                               "sgd lr=auto weight_decay=5", 4);
        spied.keep = true;
        for (int k = 0; k < 3000; k++) {
            assert_ok(sw_optim_minimize(o, &p->f, NULL));
            steep += s && k >= 1000 && spied.id == 17;
            count += s && k >= 1000;
        }
        lr[s] = sw_optim_option(o, 0, "lr");
        sw_optim_free(o);
        logistic_free(p);
    }
    assert_true(steep > 3 * count / 200);
    assert_true(lr[1] > lr[0]);
}

/* ---- Start and end ---- */

/* init=sgd: n steps, every sample once, each with its own gradient; then the table is full. */
static void test_init_by_sgd_is_an_epoch_of_sgd(void **state) {
    (void)state;
    for (int form = 0; form < 2; form++) {
        logistic *p = logistic_new(SW_F64, 0, form);
        sw_optim *o =
            optim_of(p->params, form ? "test_spy of=saga init=sgd" : "test_spy of=sag init=sgd", "sgd lr=0.01", 4);
        bool had[200] = {0};
        int in_order = 0;
        for (int k = 0; k < 200; k++) {
            double x[LOGISTIC_MOST], g[LOGISTIC_MOST];
            logistic_x(p, x);
            steps(o, p, 1);
            assert_false(had[spied.id]);
            had[spied.id] = true;
            in_order += spied.id == k;
            logistic_part(p, 0, x, spied.id, spied.id + 1, g);
            for (int64_t j = 0; j < p->n; j++)
                assert_true(fabs(g[j] - spied.g[j]) <= 1e-14); /* a few roundings of numbers below 4 */
        }
        assert_true(in_order < 20);
        assert_true(sw_optim_scalar(o, -1, "seen") == 200);
        double x[LOGISTIC_MOST], g[LOGISTIC_MOST];
        logistic_x(p, x);
        steps(o, p, 1);
        logistic_part(p, 0, x, spied.id, spied.id + 1, g);
        assert_true(fabs(g[0] - spied.g[0]) > 1e-6); /* a mean now */
        sw_optim_free(o);
        logistic_free(p);
    }
}

/* At the stop the estimate is ≤ tol. It lags the gradient by what x moved in the last epochs: a factor. */
static void test_tolerance_ends_the_run(void **state) {
    (void)state;
    for (int form = 0; form < 2; form++) {
        logistic *p = logistic_new(SW_F64, 0.1, form);
        sw_optim *o = optim_of(p->params, form ? "sag tol=1e-8 l2=0.1" : "sag tol=1e-8",
                               form ? "sgd lr=auto weight_decay=0.1" : "sgd lr=auto", 4);
        int k = 0;
        for (; sw_optim_scalar(o, -1, "converged") != 1; k++) {
            assert_true(k < 100 * 200);
            assert_ok(sw_optim_minimize(o, &p->f, NULL));
        }
        assert_true(k >= 200);
        assert_true(sw_optim_scalar(o, -1, "norm") <= 1e-8);
        const double norm = logistic_gradient_norm(p, 0.1);
        if (!(norm <= 1e-7 && norm > 1e-10))
            fail_msg("stopped after %d steps with a gradient of %.3g", k, norm);
        sw_optim_free(o);
        logistic_free(p);
    }
}

/* ---- SVRG's choices ---- */

static void test_svrg_keeps_the_chosen_snapshot(void **state) {
    (void)state;
    static const char *const specs[] = {"svrg batch=1 period=5", "svrg batch=1 period=5 snapshot=random",
                                        "svrg batch=1 period=5 snapshot=mean"};
    int chosen[5] = {0};
    for (int s = 0; s < 3; s++) {
        logistic *p = logistic_new(SW_F64, 0.1, false);
        sw_optim *o = optim_of(p->params, specs[s], "sgd lr=0.05", 9);
        double path[5][LOGISTIC_MOST];
        for (int k = 0; k < 500; k++) {
            assert_ok(sw_optim_minimize(o, &p->f, NULL));
            if (k % 5 == 0 && k > 0) {
                const double *w = sw_optim_slot(o, "snapshot").data;
                int from = -1;
                double mean_off = 0;
                for (int i = 0; i < 5; i++)
                    if (memcmp(w, path[i], (size_t)p->n * sizeof *w) == 0)
                        from = i;
                for (int64_t j = 0; j < p->n; j++)
                    mean_off = fmax(mean_off,
                                    fabs(w[j] - (path[0][j] + path[1][j] + path[2][j] + path[3][j] + path[4][j]) / 5));
                assert_true(s == 0 ? from == 4 : s == 1 ? from >= 0 : mean_off < 1e-15);
                if (s == 1)
                    chosen[from]++;
            }
            logistic_x(p, path[k % 5]);
        }
        sw_optim_free(o);
        logistic_free(p);
    }
    for (int i = 0; i < 5; i++) /* 99 draws: 20 ± 4 each */
        assert_true(chosen[i] > 4 && chosen[i] < 40);
}

/* α falls from 0.5 to 0 in 10 steps: g = ∇f_i(x) - α (∇f_i(w) - ∇f(w)). */
static void test_svrg_alpha_falls_to_zero(void **state) {
    (void)state;
    logistic *p = logistic_new(SW_F64, 0.1, false);
    sw_optim *o = optim_of(p->params, "test_spy of=svrg batch=1 alpha=0.5 over=10", "sgd lr=0.05", 9);
    for (int k = 0; k < 14; k++) {
        double x[LOGISTIC_MOST], here[LOGISTIC_MOST], there[LOGISTIC_MOST], full[LOGISTIC_MOST];
        const double alpha = k < 10 ? 0.5 * (1 - k / 10.0) : 0;
        logistic_x(p, x);
        steps(o, p, 1);
        const double *w = sw_optim_slot(o, "snapshot").data;
        logistic_part(p, 0.1, x, spied.id, spied.id + 1, here);
        logistic_part(p, 0.1, w, spied.id, spied.id + 1, there);
        logistic_part(p, 0.1, w, 0, p->m, full);
        for (int64_t j = 0; j < p->n; j++)
            assert_true(fabs(spied.g[j] - (here[j] - alpha * (there[j] - full[j]))) <= 1e-14);
    }
    sw_optim_free(o);
    logistic_free(p);
}

static int set_up(void **state) {
    (void)state;
    return sw_estimator_register(&spy) != SW_OK;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_saga_and_svrg_are_unbiased),
        cmocka_unit_test(test_rows_are_drawn_as_documented),
        cmocka_unit_test(test_table_of_numbers_equals_table_of_rows),
        cmocka_unit_test(test_given_lipschitz_constant_sets_the_step),
        cmocka_unit_test(test_search_finds_the_lipschitz_constant),
        cmocka_unit_test(test_found_lipschitz_constant_decays),
        cmocka_unit_test(test_wrapper_passes_on_each_lr),
        cmocka_unit_test(test_steep_rows_are_drawn_more_often),
        cmocka_unit_test(test_init_by_sgd_is_an_epoch_of_sgd),
        cmocka_unit_test(test_tolerance_ends_the_run),
        cmocka_unit_test(test_svrg_keeps_the_chosen_snapshot),
        cmocka_unit_test(test_svrg_alpha_falls_to_zero),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
