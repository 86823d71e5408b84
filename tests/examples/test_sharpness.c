/* examples/sharpness.c: its measures on functions with known results, and its results on Fashion-MNIST. */
#include "run.h"

#include "../../examples/landscape.h"

#define SHARPNESS TEST_BUILD "/examples/sharpness"

/* ---- The measures, of f(x) = 1/2 sum h_i x_i^2 + sum c_i x_i ---- */

enum { DIM = 5 };
static const double h[DIM] = {3, -1, 8, 0.5, 0}, c[DIM] = {0, 0, 0, 0, 1};
static double tilt;

static sw_status quadratic(void *user, const void *x, const int64_t *ids, int64_t count, uint64_t draw, double *value,
                           void *g) {
    const double *at = x;
    (void)user, (void)ids, (void)count, (void)draw;
    *value = 0;
    for (int i = 0; i < DIM; i++) {
        *value += h[i] / 2 * at[i] * at[i] + tilt * c[i] * at[i];
        if (g)
            ((double *)g)[i] = h[i] * at[i] + tilt * c[i];
    }
    return SW_OK;
}

/* Largest eigenvalue 8, along the third axis. What is missing of it shrinks by (3/8)^2 = 1/7 a step, so that a
 * sixth of the last change, 1e-4 of it, is left. Within a ball of radius r f rises by 4 r^2 from 0; with
 * a tilt t along the last axis, max of 4 (r^2 - z^2) + t z is 4 r^2 + t^2/16, at z = t/8. Ascent by half a radius
 * ends nearby: it goes from side to side. 1 % is allowed. */
static void test_measures_of_a_quadratic_are_exact(void **state) {
    (void)state;
    const double r = 0.3;
    double room[3 * DIM];
    sw_params *params = sw_params_new(SW_F64, 0);
    sw_params_add(params, "x", SW_SHAPE(DIM), NULL);
    assert_int_equal(sw_params_build(params), SW_OK);
    const sw_objective f = {.size = sizeof f, .n = 1, .params = params, .gradient = quadratic};
    landscape a = {.f = &f,
                   .tape = sw_tape_new(),
                   .g = sw_gradient_new(params),
                   .dim = DIM,
                   .x = sw_params_x(params),
                   .e = room,
                   .v = room + DIM,
                   .there = room + 2 * DIM};
    for (tilt = 0; tilt <= 0.4; tilt += 0.2) {
        a.loss = landscape_value(&a, a.x, 0, NULL);
        assert_true(fabs(landscape_eigenvalue(&a, 1) - 8) < 8e-4 / 6);
        assert_true(fabs(fabs(a.v[2]) - 1) < 1e-4);
        const double rise = landscape_rise(&a, r, 1), most = 4 * r * r + tilt * tilt / 16;
        if (!(rise <= most * (1 + 1e-12) && rise >= 0.99 * most))
            fail_msg("tilt %g: %.17g instead of %.17g", tilt, rise, most);
    }
    assert_null(sw_error());
    sw_tape_free(a.tape);
    sw_gradient_free(a.g);
    sw_params_free(params);
}

/* ---- The program ---- */

static const char *csv_line(const char *text, const char *begin) {
    const char *at = strstr(text, begin);
    if (!at)
        fail_msg("no line with %s", begin);
    return at;
}

/* A fourth of the pictures and half of the units. SAM looks 0.2 far. By both measures the loss around its end is
 * flatter, by far more than runs differ (at full size: by a factor of 6 each), and it is more accurate on true
 * labels. Both measures are of one landscape: the quadratic part alone lets f rise by lambda rho^2/2, if what is
 * odd in the rise is taken out, which the better of two ends only adds to. */
static void test_sam_is_flatter_and_more_accurate(void **state) {
    (void)state;
    char first[sizeof((output *)0)->out];
    static char numbers[200000];
    for (int run = 0; run < 2; run++) {
        setenv("SW_THREADS", run ? "3" : "1", 1);
        output o = RUN(SHARPNESS, "--samples", "500", "--test", "1000", "--hidden", "32", "--seeds", "1", "--out",
                       in_folder("a.png"));
        unsetenv("SW_THREADS");
        if (o.code != 0 || *o.err)
            fail_msg("exit %d: %s", o.code, o.err);
        assert_true(result(&o, "sam_accuracy") > result(&o, "sgd_accuracy") + 0.03);
        assert_true(result(&o, "sam_sharpness") < 0.5 * result(&o, "sgd_sharpness"));
        assert_true(result(&o, "sam_eigenvalue") < 0.5 * result(&o, "sgd_eigenvalue"));
        assert_true(result(&o, "sam_eigenvalue") > 0);
        assert_true(result(&o, "sgd_sharpness") > 0.9 * 0.02 * result(&o, "sgd_eigenvalue"));
        assert_true(result(&o, "sam_sharpness") > 0.9 * 0.02 * result(&o, "sam_eigenvalue"));
        assert_true(result(&o, "sgd_accuracy_deviation") == 0);
        if (run == 0)
            strcpy(first, o.out);
        assert_string_equal(o.out, first); /* one thread or three */
        read_all(in_folder("a.csv"), numbers, sizeof numbers);
        csv_line(numbers, "curve,x,y\n");
        csv_line(numbers, "\"SGD, test\",0,");
        csv_line(numbers, "\"SAM, training\",60,");
        csv_line(numbers, "\"SAM, rise of run 1\",0,0\n");
        unlink(in_folder("a.png"));
        unlink(in_folder("a.csv"));
    }
}

static void test_sharpness_prints_its_table(void **state) {
    (void)state;
    output o = RUN(SHARPNESS, "--help");
    assert_int_equal(o.code, 0);
    assert_int_equal(strncmp(o.out, "example: sharpness --", 21), 0);
    o = RUN(SHARPNESS, "--rhoo", "1");
    assert_int_equal(o.code, 2);
    assert_string_equal(o.err, "sharpness: there is no option --rhoo, did you mean --rho?\n");
    o = RUN(SHARPNESS, "--data", "/nowhere", "--out", in_folder("a.png"));
    assert_int_equal(o.code, 1);
    assert_string_equal(o.out, "");
    assert_int_equal(strncmp(o.err, "sharpness: ", 11), 0);
    assert_non_null(strstr(o.err, "/nowhere"));
    assert_true(access(in_folder("a.png"), F_OK) != 0 && access(in_folder("a.csv"), F_OK) != 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_measures_of_a_quadratic_are_exact),
                                       cmocka_unit_test(test_sharpness_prints_its_table),
                                       cmocka_unit_test(test_sam_is_flatter_and_more_accurate)};
    return cmocka_run_group_tests_name("sharpness", tests, run_setup, run_teardown);
}
