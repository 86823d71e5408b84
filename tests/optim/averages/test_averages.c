/* Every average against its equation. An average never changes the training vector, and a skipped step changes no
 * average. */
#include "helpers.h"

#include "golden/averages.h"

#define EACH(i) for (size_t i = 0; i < sizeof goldens / sizeof *goldens; i++)

static double path(int t, int i) {
    return (double)((t * 7919 + i * 613 + t * t * 31) % 1009) / 64 + (double)t / 32;
}

/* θ is of 64ths below 20: differences, and steps of length 1 along them, are exact in both types. */
static void move_to(sw_optim *o, sw_params *p, int t) {
    double c[SMALL_DIM];
    for (int i = 0; i < DIM; i++)
        c[i] = path(t - 1, i) - path(t, i);
    assert_ok(step_with(o, p, c));
}

static sw_optim *make(sw_params *p, const char *rule, const char *average, int64_t steps) {
    const sw_optim_options how = {.size = sizeof how, .rule = rule, .average = average, .total_steps = steps};
    sw_optim *o = sw_optim_new_with_options(p, &how);
    if (!o)
        fail_msg("%s: %s", average, sw_error());
    return o;
}

/* ---- Against NumPy ---- */

/* e + w(θ - e) rounds three times, numbers up to twice the largest θ, and its weight once: at most
 * 5 u max|θ| a step, and errors of before shrink. A queue's mean has fewer terms than that. */
static void follow(sw_dtype type, const golden *g) {
    const double u = type == SW_F64 ? 0x1p-53 : 0x1p-24;
    double largest = 0;
    sw_params *p = small_params(type);
    for (int i = 0; i < DIM; i++)
        vec_set(type, sw_params_x(p), i, path(0, i));
    sw_optim *o = make(p, "sgd lr=1", g->average, STEPS);
    assert_ptr_equal(sw_optim_point(o), sw_params_x(p));
    for (int t = 1, at = 0; t <= STEPS; t++) {
        move_to(o, p, t);
        for (int i = 0; i < DIM; i++)
            largest = fmax(largest, fabs(path(t, i)));
        const void *point = sw_optim_point(o);
        for (int i = 0; i < DIM; i++) /* where it trains */
            assert_true(vec_get(type, sw_params_x(p), i) == path(t, i));
        if (t != checked[at])
            continue;
        for (int k = 0; k < SEEN; k++) {
            double is = vec_get(type, point, k ? DIM - 1 : 0), wanted = g->point[at][k];
            if (!(fabs(is - wanted) <= 5 * STEPS * u * largest))
                fail_msg("%s, %s, step %d: %.17g; %.17g is expected", g->average, sw_dtype_name(type), t, is, wanted);
        }
        at++;
    }
    sw_optim_free(o);
    sw_params_free(p);
}

static void test_averages_follow_their_equations(void **state) {
    (void)state;
    EACH(i) {
        follow(SW_F64, &goldens[i]);
        follow(SW_F32, &goldens[i]);
    }
}

static void test_every_golden_path_differs(void **state) {
    (void)state;
    EACH(i)
    for (size_t j = 0; j < i; j++) {
        double apart = 0;
        for (int k = 0; k < CHECKED; k++)
            apart = fmax(apart, fabs(goldens[i].point[k][0] - goldens[j].point[k][0]));
        if (!(apart > 0.1)) /* far above the tolerances */
            fail_msg("%s and %s end %g apart", goldens[i].average, goldens[j].average, apart);
    }
}

static void test_every_average_has_golden_numbers(void **state) {
    (void)state;
    char line[512], name[64];
    bool inside = false;
    int count = 0;
    FILE *list = tmpfile();
    assert_non_null(list);
    sw_optim_list(list);
    rewind(list);
    while (fgets(line, sizeof line, list)) {
        if (line[0] != ' ') {
            inside = strcmp(line, "averages\n") == 0;
        } else if (inside && line[2] != ' ') {
            assert_int_equal(sscanf(line, "%63s", name), 1);
            bool here = false;
            EACH(i)
            here |=
                strncmp(goldens[i].average, name, strlen(name)) == 0 && strchr(" ", goldens[i].average[strlen(name)]);
            if (!here)
                fail_msg("average %s has no values: a line in golden/averages.py", name);
            count++;
        }
    }
    fclose(list);
    assert_true(count >= 6);
}

/* ---- The training vector ---- */

/* The same bits with any average as with none, though its point is evaluated at after every step; and of
 * equal iterates every average is that iterate, bit for bit. */
static void test_training_has_the_same_bits_with_any_average(void **state) {
    (void)state;
    double c[SMALL_DIM];
    for (int i = 0; i < SMALL_DIM; i++)
        c[i] = 0.1 * (i - 5);
    for (int t = 0; t < 2; t++)
        EACH(i) {
            sw_params *p = small_params(both_types[t]), *q = small_params(both_types[t]);
            linear_problem f, h;
            linear_problem_init(&f, p, 100, c);
            linear_problem_init(&h, q, 100, c);
            sw_optim *o = make(p, "adam lr=0.01", goldens[i].average, 40), *bare = make(q, "adam lr=0.01", "none", 40);
            sw_tape *tape = sw_tape_new();
            bool apart = false;
            for (int s = 0; s < 40; s++) {
                double at_point, at_x, before;
                assert_ok(sw_optim_minimize(bare, &h.f, NULL));
                assert_ok(sw_optim_minimize(o, &f.f, NULL));
                assert_ok(sw_objective_value(&f.f, tape, NULL, NULL, 100, 0, &before));
                assert_ok(sw_objective_value(&f.f, tape, sw_optim_point(o), NULL, 100, 0, &at_point));
                assert_ok(sw_objective_value(&f.f, tape, NULL, NULL, 100, 0, &at_x));
                assert_true(before == at_x);
                apart |= at_point != at_x;
                assert_memory_equal(sw_params_x(p), sw_params_x(q), params_bytes(p));
            }
            if (strcmp(goldens[i].average, "none") != 0 && !strstr(goldens[i].average, "length=1 "))
                assert_true(apart);
            sw_tape_free(tape);
            sw_optim_free(o);
            sw_optim_free(bare);
            /* Equal iterates. */
            o = make(q, "sgd lr=0", goldens[i].average, 50);
            for (int s = 0; s < 50; s++) {
                assert_ok(step_with(o, q, c));
                assert_memory_equal(sw_optim_point(o), sw_params_x(q), params_bytes(q));
            }
            sw_optim_free(o);
            sw_params_free(p);
            sw_params_free(q);
        }
}

/* The evaluated point becomes the parameters' own, and is then no other. */
static void test_adopted_point_becomes_the_parameters(void **state) {
    (void)state;
    EACH(i) {
        sw_params *p = small_params(SW_F64);
        sw_optim *o = make(p, "sgd lr=1", goldens[i].average, STEPS);
        assert_ok(sw_optim_adopt_point(o));
        for (int t = 1; t <= 40; t++)
            move_to(o, p, t);
        double point[DIM];
        memcpy(point, sw_optim_point(o), sizeof point);
        assert_ok(sw_optim_adopt_point(o));
        assert_memory_equal(sw_params_x(p), point, sizeof point);
        sw_optim_free(o);
        sw_params_free(p);
    }
    assert_int_equal(sw_optim_adopt_point(NULL), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "optim_adopt_point: the optimizer is NULL");
}

/* ---- Skipped steps ---- */

static const char *slot_of(const char *average) {
    return strncmp(average, "lawa_queue", 10) == 0 ? "queue" : strstr(average, "ema") ? "ema" : "mean";
}

static void test_skipped_step_leaves_the_average_alone(void **state) {
    (void)state;
    double good[SMALL_DIM] = {1, -1, 2}, bad[SMALL_DIM] = {(double)NAN};
    for (int t = 0; t < 2; t++)
        EACH(i) {
            sw_params *p = small_params(both_types[t]), *q = small_params(both_types[t]);
            sw_optim *o = make(p, "sgd lr=0.125", goldens[i].average, 20),
                     *clean = make(q, "sgd lr=0.125", goldens[i].average, 20);
            for (int s = 0; s < 20; s++) {
                double count = sw_optim_scalar(o, -1, "count");
                assert_int_equal(step_with(o, p, bad), SW_SKIPPED);
                assert_memory_equal(&count, &(double){sw_optim_scalar(o, -1, "count")}, sizeof count);
                sw_array mine = sw_optim_slot(o, slot_of(goldens[i].average)),
                         theirs = sw_optim_slot(clean, slot_of(goldens[i].average));
                if (mine.data && s > 0)
                    assert_memory_equal(mine.data, theirs.data, test_bytes(&mine));
                assert_memory_equal(sw_optim_point(o), sw_optim_point(clean), params_bytes(p));
                assert_ok(step_with(o, p, good));
                assert_ok(step_with(clean, q, good));
                assert_memory_equal(sw_optim_point(o), sw_optim_point(clean), params_bytes(p));
            }
            sw_optim_free(o);
            sw_optim_free(clean);
            sw_params_free(p);
            sw_params_free(q);
        }
}

/* ---- Memory: a vector each, in f32 a second one; a queue of k has k, and one for its mean ---- */

static void test_average_takes_the_stated_memory(void **state) {
    (void)state;
    static const struct {
        const char *average;
        size_t slots, work;
    } cases[] = {{"none", 0, 0},
                 {"ema", 1, 0},
                 {"polyak", 1, 0},
                 {"swa", 1, 0},
                 {"lawa_ema", 1, 0},
                 {"lawa_queue", 10, 1},
                 {"lawa_queue length=3", 3, 1}};
    for (int t = 0; t < 2; t++)
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            sw_params *p = small_params(both_types[t]);
            sw_optim *o = make(p, "sgd", cases[i].average, 100);
            const size_t low = both_types[t] == SW_F32 && cases[i].slots == 1; /* what e lacks to the exact sum */
            assert_int_equal(sw_optim_bytes(o).average, (cases[i].slots + low) * params_bytes(p));
            assert_int_equal(sw_optim_bytes(o).work, cases[i].work * params_bytes(p));
            sw_optim_free(o);
            sw_params_free(p);
        }
}

/* ---- Lengths that are not known ---- */

static void test_average_needs_the_length_of_the_run(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"swa", "swa: 75% of the run, but its length is not known: set total_steps of the optimizer"},
        {"lawa_queue", "lawa_queue: 2% of the run, but its length is not known: set total_steps of the optimizer"},
        {"lawa_ema start=0",
         "lawa_ema: 0.5% of the run, but its length is not known: set total_steps of the optimizer"},
        {"polyak start=2ep", "polyak: 2 epochs, but the length of an epoch is not known: sw_optim_bind the "
                             "objective first"}};
    const double c[SMALL_DIM] = {1};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sw_params *p = small_params(SW_F64), *q = small_params(SW_F64);
        sw_optim *o = make(p, "sgd lr=1", cases[i][0], 0);
        assert_int_equal(step_with(o, p, c), SW_ERR_STATE);
        expect_error(SW_ERR_STATE, cases[i][1]);
        assert_memory_equal(sw_params_x(p), sw_params_x(q), params_bytes(p)); /* nothing has moved */
        assert_int_equal(sw_optim_steps_taken(o), 0);
        sw_optim_free(o);
        sw_params_free(p);
        sw_params_free(q);
    }
}

static void test_average_refuses_wrong_options(void **state) {
    (void)state;
    static const char *const cases[][2] = {{"swa every=0", "swa: every=0; more than 0 is needed"},
                                           {"lawa_queue length=0", "lawa_queue: length=0 is outside [1, 1e+06]"},
                                           {"lawa_ema decay=1", "lawa_ema: decay=1 is outside [0, 1)"},
                                           {"lawaqueue", "there is no average lawaqueue, did you mean lawa_queue?"},
                                           {"polyak stat=3", "average polyak has no option stat, did you mean start?"}};
    sw_params *p = small_params(SW_F32);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const sw_optim_options how = {.size = sizeof how, .average = cases[i][0]};
        assert_null(sw_optim_new_with_options(p, &how));
        expect_error(SW_ERR_ARGUMENT, cases[i][1]);
    }
    sw_params_free(p);
}

static void test_average_starts_from_weights_set_later(void **state) {
    (void)state;
    for (int t = 0; t < 2; t++) {
        sw_params *p = small_params(both_types[t]);
        const sw_optim_options how = {.size = sizeof how, .rule = "sgd lr=1", .average = "ema decay=0.75"};
        sw_optim *o = new_optim(p, &how);
        double x[SMALL_DIM], c[SMALL_DIM];
        for (int i = 0; i < SMALL_DIM; i++) { /* loaded from a file, say */
            x[i] = 64 + i;
            c[i] = 4;
        }
        params_set(p, x);
        assert_ok(step_with(o, p, c));
        for (int i = 0; i < SMALL_DIM; i++) /* e = x0 + (1 - 0.75)(x1 - x0): exact */
            assert_true(vec_get(both_types[t], sw_optim_point(o), i) == x[i] - 1);
        sw_optim_free(o);
        sw_params_free(p);
    }
}

int main(void) {
#define TEST(name) cmocka_unit_test_teardown(name, test_clear)
    const struct CMUnitTest tests[] = {
        TEST(test_averages_follow_their_equations),       TEST(test_every_golden_path_differs),
        TEST(test_every_average_has_golden_numbers),      TEST(test_training_has_the_same_bits_with_any_average),
        TEST(test_skipped_step_leaves_the_average_alone), TEST(test_average_takes_the_stated_memory),
        TEST(test_average_needs_the_length_of_the_run),   TEST(test_average_refuses_wrong_options),
        TEST(test_adopted_point_becomes_the_parameters),  TEST(test_average_starts_from_weights_set_later),
    };
    return cmocka_run_group_tests_name("averages", tests, NULL, NULL);
}
