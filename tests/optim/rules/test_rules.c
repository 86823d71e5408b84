/* Properties that all registered rules have in common. rules/test_references.c, test_rules_golden.c and
 * test_torch_training.c test the numbers. */
#define _GNU_SOURCE
#include "rule_specs.h"

#include <sys/wait.h>
#include <unistd.h>

enum { MOST_RULES = 100 };
static const sw_rule *rules[MOST_RULES]; /* all of the registry */
static int rule_count;

static const char *spec_of(const sw_rule *rule, const char *options) {
    static char spec[200];
    snprintf(spec, sizeof spec, "%s %s", rule->name, options ? options : "");
    return spec;
}

static double default_of(const sw_rule *rule, const char *option) {
    for (const sw_option *o = rule->options; o->name; o++)
        if (strcmp(o->name, option) == 0)
            return o->value;
    return 0;
}

/* With which no element depends on another: fista begins anew for all at once, and Prodigy has one d for all. */
static const char *apart(const sw_rule *rule) {
    return has_option(rule, "restart") ? " restart=false" : has_option(rule, "d0") ? " d0=1 d_coef=1e-30" : "";
}

/* ---- The list is complete ---- */

static int listed;

static void is_registered(const char *name) {
    assert_string_equal(name, rules[listed]->name);
    listed++;
}

static void test_list_has_every_rule(void **state) {
    (void)state;
    each_rule(is_registered);
    assert_int_equal(listed, rule_count);
}

static bool ends(const char *text, const char *with) {
    size_t n = strlen(text), m = strlen(with);
    return n >= m && strcmp(text + n - m, with) == 0;
}

/* Summary, source, help; ranges that hold the default and the search; a name for ε that all share. */
static void test_option_tables_are_complete(void **state) {
    (void)state;
    for (int i = 0; i < rule_count; i++) {
        const sw_rule *rule = rules[i];
        assert_true(rule->summary && *rule->summary && rule->source && *rule->source);
        bool root = false, eps = false, searched = false;
        for (const sw_option *o = rule->options; o->name; o++) {
            assert_true(o->help && *o->help);
            const bool is_searched = o->search_low < o->search_high,
                       is_number = o->kind == SW_OPTION_REAL || o->kind == SW_OPTION_INTEGER;
            if (is_number)
                assert_true(o->value >= o->low && o->value <= o->high);
            assert_true(o->search_low <= o->search_high && (is_searched ? is_number : !o->search_log));
            if (is_searched) {
                assert_true(o->search_low >= o->low && o->search_high <= o->high);
                assert_true(o->search_low > o->low || !(o->open & SW_OPEN_LOW));
                assert_true(o->search_high < o->high || !(o->open & SW_OPEN_HIGH));
                assert_true(!o->search_log || o->search_low > 0);
            }
            eps |= strcmp(o->name, "eps") == 0;
            root |= strcmp(o->name, "eps_in_root") == 0;
            searched |= strcmp(o->name, "lr") == 0 && o->search_low < o->search_high && o->search_log;
        }
        assert_true(searched);
        static const char *const no_root[] = {"adamax", "muon", "shampoo", "distributed_shampoo", "caspr", "soap"};
        bool listed_without = false;
        for (size_t k = 0; k < sizeof no_root / sizeof *no_root; k++)
            listed_without |= strcmp(rule->name, no_root[k]) == 0;
        assert_true(root == eps || listed_without); /* their ε has another place */
        assert_false(ends(rule->summary, "."));
    }
}

/* ---- It minimizes ---- */

/* The part of f that is left; ∞ where the learning rate is too large. */
static double descend(sw_params *p, const sw_objective *f, const char *spec, int steps) {
    const sw_optim_options how = {
        .size = sizeof how, .rule = spec, .estimator = "full", .schedule = "cosine warmup=20", .total_steps = steps};
    sw_optim *optim = sw_optim_new_with_options(p, &how);
    if (!optim)
        fail_msg("%s: %s", spec, sw_error());
    double first = NAN, value = NAN;
    for (int t = 0; t < steps; t++) {
        const sw_status status = sw_optim_minimize(optim, f, &value);
        first = t ? first : value;
        if (status == SW_ERR_NONFINITE || status == SW_SKIPPED) {
            value = INFINITY;
            sw_clear_error();
            break;
        }
        assert_ok(status);
    }
    sw_optim_free(optim);
    return value / first;
}

/* f = ½ Σ hᵢ (xᵢ - cᵢ)², hᵢ from 0.1 to 1 */
static sw_status quadratic(void *user, const void *x, const int64_t *ids, int64_t count, uint64_t draw, double *value,
                           void *g) {
    const sw_dtype type = sw_params_type(user);
    (void)ids, (void)count, (void)draw;
    *value = 0;
    for (int i = 0; i < SMALL_DIM; i++) {
        double h = 0.1 + 0.9 * i / (SMALL_DIM - 1), r = vec_get(type, x, i) - 0.5 * (1 - i % 3);
        *value += 0.5 * h * r * r;
        if (g)
            vec_set(type, g, i, h * r);
    }
    return SW_OK;
}

static sw_status rosenbrock(void *user, const void *x, const int64_t *ids, int64_t count, uint64_t draw, double *value,
                            void *g) {
    const double *at = x, a = 1 - at[0], b = at[1] - at[0] * at[0];
    double *out = g;
    (void)user, (void)ids, (void)count, (void)draw;
    *value = a * a + 100 * b * b;
    if (out) {
        out[0] = -2 * a - 400 * at[0] * b;
        out[1] = 200 * b;
    }
    return SW_OK;
}

static double on_quadratic(sw_dtype type, const char *spec) {
    sw_params *p = small_params(type);
    const sw_objective f = {.size = sizeof f, .n = 1, .params = p, .user = p, .gradient = quadratic};
    double left = descend(p, &f, spec, 300);
    sw_params_free(p);
    return left;
}

/* Rosenbrock's function, from where it is usually begun. */
static double on_rosenbrock(sw_dtype type, const char *spec) {
    (void)type;
    sw_params *p = sw_params_new(SW_F64, 1);
    assert_non_null(sw_params_add(p, "x", 1, (const int64_t[]){2}, NULL));
    assert_ok(sw_params_build(p));
    params_set(p, (const double[]){-1.2, 1});
    const sw_objective f = {.size = sizeof f, .n = 1, .params = p, .gradient = rosenbrock};
    double left = descend(p, &f, spec, 2000);
    sw_params_free(p);
    return left;
}

/* With the best of a few learning rates, from the least one that tuning tries to ten times the largest. */
static void minimizes(double (*left_on)(sw_dtype type, const char *spec), sw_dtype type, const sw_rule *rule,
                      const char *options, double goal) {
    enum { RATES = 11 };
    const sw_option *lr = rule->options;
    double least = INFINITY;
    assert_string_equal(lr->name, "lr");
    for (int k = 0; k < RATES; k++) {
        char text[100];
        snprintf(text, sizeof text, "lr=%.17g %s",
                 lr->search_low * pow(10 * lr->search_high / lr->search_low, k / (RATES - 1.0)), options);
        least = fmin(least, left_on(type, spec_of(rule, text)));
    }
    if (!(least < goal))
        fail_msg("%s %s, %s: %g is left with the best learning rate", rule->name, options, sw_dtype_name(type), least);
}

static void test_rules_minimize_a_quadratic(void **state) {
    (void)state;
    for (int i = 0; i < rule_count; i++)
        for (int t = 0; t < 2; t++)
            minimizes(on_quadratic, both_types[t], rules[i], "", 1e-3);
}

static void test_rules_descend_rosenbrocks_function(void **state) {
    (void)state;
    for (int i = 0; i < rule_count; i++)
        minimizes(on_rosenbrock, SW_F64, rules[i], "", 1e-2);
}

/* Schedule-Free needs momentum: without it, x would be lost. */
static bool may_be_zero(const sw_rule *rule, const char *option) {
    for (const sw_option *o = rule->options; o->name; o++)
        if (strcmp(o->name, option) == 0)
            return o->low <= 0;
    return false;
}

/* Without momentum a rule still moves: a public library's SGD did nothing then. */
static void test_rules_move_without_momentum(void **state) {
    (void)state;
    static const char *const names[] = {"momentum", "beta1"};
    int still = 0;
    for (int i = 0; i < rule_count; i++)
        for (int k = 0; k < 2; k++)
            if (has_option(rules[i], names[k]) && may_be_zero(rules[i], names[k])) {
                char options[32];
                snprintf(options, sizeof options, "%s=0", names[k]);
                minimizes(on_quadratic, SW_F64, rules[i], options, 1e-3);
                still++;
            }
    assert_true(still >= 13);
}

/* Where the gradient is zero from the start nothing moves but by decay; and nothing is 0/0. */
static void test_zero_gradient_moves_only_by_decay(void **state) {
    (void)state;
    const double none[SMALL_DIM] = {0}, lr = 0.125;
    for (int i = 0; i < rule_count; i++)
        for (int t = 0; t < 2; t++) {
            sw_params *p = small_params(both_types[t]);
            sw_optim *optim = sw_optim_new(p, spec_of(rules[i], "lr=0.125"));
            double x[SMALL_DIM], shrink = 1 - lr * default_of(rules[i], "weight_decay");
            const int steps = strcmp(rules[i]->name, "soap") == 0 ? 4 : 5; /* its first step does not change x */
            if (strcmp(rules[i]->name, "fromage") == 0)
                shrink = 1 / sqrt(1 + lr * lr);
            for (int k = 0; k < SMALL_DIM; k++)
                x[k] = vec_get(both_types[t], sw_params_x(p), k);
            for (int k = 0; k < 5; k++)
                assert_ok(step_with(optim, p, none));
            double shrunk = pow(shrink, steps);
            for (int k = 0; k < 5 && strcmp(rules[i]->name, "asgd") == 0; k++) { /* λ = 1e-4, α = 0.75 */
                shrunk = k ? shrunk : 1;
                shrunk *= 1 - 1e-4 * lr / pow(1 + 1e-4 * lr * k, 0.75);
            }
            for (int k = 0; k < SMALL_DIM; k++) { /* five products and, of nag_gs, five means of x with x */
                double expected = x[k] * shrunk, now = vec_get(both_types[t], sw_params_x(p), k);
                if (!(fabs(now - expected) <= 20 * (t ? 0x1p-53 : 0x1p-24) * fabs(expected)))
                    fail_msg("%s, %s: %.17g is %.17g after five steps without a gradient", rules[i]->name,
                             sw_dtype_name(both_types[t]), x[k], now);
            }
            sw_optim_free(optim);
            sw_params_free(p);
        }
}

/* NadamP's roots over all magnitudes: without momentum its first step is g/((g²)^(1/p) + ε). f32 errors: of
 * the root as rules/nadamp.c states them, and 6 roundings around it. */
static void test_nadamp_roots_are_exact(void **state) {
    (void)state;
    const double power[] = {1, 1.5, 2, 3, 4};
    for (int k = 0; k < 5; k++)
        for (int t = 0; t < 2; t++)
            for (int from = -17; from < 18; from += 5) {
                const sw_dtype type = both_types[t];
                const double unit = type == SW_F64 ? 0x1p-53 : 0x1p-24;
                const double root = power[k] == 1.5 ? 3.7 : power[k] == 2 ? 1 : 2 * 88 / power[k] + 4;
                sw_params *p = small_params(type);
                char spec[100];
                double x[SMALL_DIM] = {0}, g[SMALL_DIM];
                params_set(p, x);
                snprintf(spec, sizeof spec, "nadamp lr=1 beta1=0 eps=1e-30 weight_decay=0 p=%g", power[k]);
                sw_optim *optim = sw_optim_new(p, spec);
                for (int i = 0; i < SMALL_DIM; i++)
                    g[i] = (i % 2 ? -1 : 1) * (double)(float)(pow(10, from + i % 5) * (1 + 0.37 * i));
                assert_ok(step_with(optim, p, g));
                for (int i = 0; i < SMALL_DIM; i++) {
                    long double exact = powl((long double)g[i] * g[i], 1 / (long double)power[k]);
                    double expected = (double)(-g[i] / (exact + 1e-30L));
                    double now = vec_get(type, sw_params_x(p), i);
                    if (!(fabs(now / expected - 1) <= (root + 6) * unit))
                        fail_msg("%s, %s: g = %g moves x by %.9g, not %.9g: %.2g units", spec, sw_dtype_name(type),
                                 g[i], now, expected, fabs(now / expected - 1) / unit);
                }
                sw_optim_free(optim);
                sw_params_free(p);
            }
}

/* In [1, 2^1.5), so that squares take three octaves. */
static double roots_of(sw_dtype type, int64_t i) {
    const double g = 1 + (2.8284271247461903 - 1) * (double)(i * 7919 % 60000) / 60000;
    return type == SW_F32 ? (double)(float)g : g;
}
static sw_status roots_gradient(void *user, const void *x, const int64_t *ids, int64_t count, uint64_t draw,
                                double *value, void *g) {
    const sw_params *p = user;
    (void)x, (void)ids, (void)count, (void)draw;
    *value = 0;
    for (int64_t i = 0; g && i < sw_params_dim(p); i++)
        vec_set(sw_params_type(p), g, i, roots_of(sw_params_type(p), i));
    return SW_OK;
}

/* The same at p = 1.5 for many numbers of three octaves, after which the root's error repeats. */
static void test_nadamp_root_of_two_thirds_is_accurate(void **state) {
    (void)state;
    enum { MANY = 60000 };
    for (int t = 0; t < 2; t++) {
        const sw_dtype type = both_types[t];
        const double unit = type == SW_F64 ? 0x1p-53 : 0x1p-24;
        sw_params *p = sw_params_new(type, 1);
        assert_non_null(sw_params_add(p, "w", 1, (const int64_t[]){MANY}, NULL));
        assert_ok(sw_params_build(p));
        memset(sw_params_x(p), 0, params_bytes(p));
        sw_optim *optim = sw_optim_new(p, "nadamp lr=1 beta1=0 beta2=0 eps=1e-30 weight_decay=0");
        const sw_objective f = {.size = sizeof f, .n = 1, .params = p, .user = p, .gradient = roots_gradient};
        assert_ok(sw_optim_minimize(optim, &f, NULL));
        for (int64_t i = 0; i < MANY; i++) {
            const double given = roots_of(type, i), now = vec_get(type, sw_params_x(p), i);
            const long double square =
                type == SW_F32 ? (long double)((float)given * (float)given) : (long double)(given * given);
            const double expected = (double)(-given / (cbrtl(square) * cbrtl(square)));
            if (!(fabs(now / expected - 1) <= (3.7 + 3) * unit)) /* a sum, a division, x */
                fail_msg("%s: g = %.17g moves x by %.17g, not %.17g", sw_dtype_name(type), given, now, expected);
        }
        sw_optim_free(optim);
        sw_params_free(p);
    }
}

/* A square of f32 that is Inf: the step is right or refused, and never NaN. test_rules_range.c has the numbers. */
static void test_square_beyond_f32_is_never_nan(void **state) {
    (void)state;
    static const char *const specs[] = {
        "nadamp", "nadamp p=3", "adam", "rmsprop", "adagrad", "amsgrad", "adadelta", "adadelta eps_in_root=0", "amos"};
    for (size_t k = 0; k < sizeof specs / sizeof *specs; k++) {
        sw_params *p = small_params(SW_F32);
        sw_optim *optim = sw_optim_new(p, specs[k]);
        double g[SMALL_DIM];
        for (int i = 0; i < SMALL_DIM; i++)
            g[i] = i % 2 ? 1e30 : 1;
        for (int step = 0; step < 3; step++) {
            const sw_status status = step_with(optim, p, g);
            assert_true(status == SW_OK || status == SW_ERR_NONFINITE);
            const bool f64 = strcmp(specs[k], "amos") == 0 || strcmp(specs[k], "nadamp p=3") == 0; /* their means */
            assert_true((status == SW_OK) == f64);
            sw_clear_error();
        }
        for (int i = 0; i < SMALL_DIM; i++)
            if (!isfinite(vec_get(SW_F32, sw_params_x(p), i)))
                fail_msg("%s: x[%d] = %g", specs[k], i, vec_get(SW_F32, sw_params_x(p), i));
        sw_optim_free(optim);
        sw_params_free(p);
    }
}

/* ---- What must not move ---- */

typedef struct snapshot {
    unsigned char bytes[4096];
    size_t count;
} snapshot;

static void keep(snapshot *s, const void *data, size_t bytes) {
    assert_true(s->count + bytes <= sizeof s->bytes);
    memcpy(s->bytes + s->count, data, bytes);
    s->count += bytes;
}

/* x, every slot of every parameter, every scalar, the number of steps. */
static snapshot everything(const sw_optim *optim, sw_params *p, const sw_rule *rule) {
    snapshot s = {.count = 0};
    const int64_t steps = sw_optim_steps_taken(optim);
    keep(&s, sw_params_x(p), params_bytes(p));
    keep(&s, &steps, sizeof steps);
    for (int k = 0; k < sw_params_count(p); k++)
        for (int i = 0; rule->slots && rule->slots[i].name; i++) {
            sw_array a = sw_optim_param_slot(optim, sw_params_at(p, k), rule->slots[i].name);
            if (a.data)
                keep(&s, a.data, test_bytes(&a));
        }
    for (int i = 0; rule->scalars && rule->scalars[i]; i++) {
        double value = sw_optim_scalar(optim, 0, rule->scalars[i]);
        keep(&s, &value, sizeof value);
    }
    return s;
}

static void random_gradient(double g[SMALL_DIM], uint64_t *seed) {
    for (int i = 0; i < SMALL_DIM; i++)
        g[i] = test_uniform(seed, -1, 1);
}

static void test_nan_is_refused(void **state) {
    (void)state;
    const double bad[] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < rule_count; i++)
        for (int t = 0; t < 2; t++) {
            sw_params *p = small_params(both_types[t]), *q = small_params(both_types[t]);
            sw_optim *optim = sw_optim_new(p, spec_of(rules[i], "lr=0.01")),
                     *other = sw_optim_new(q, spec_of(rules[i], "lr=0.01"));
            uint64_t seed = 5;
            for (int step = 0; step < 6; step++) {
                double g[SMALL_DIM];
                random_gradient(g, &seed);
                assert_ok(step_with(other, q, g));
                if (step % 2 == 0) { /* also before the first step */
                    double damaged[SMALL_DIM];
                    memcpy(damaged, g, sizeof g);
                    damaged[7 * step % SMALL_DIM] = bad[step / 2];
                    snapshot before = everything(optim, p, rules[i]);
                    assert_int_equal(step_with(optim, p, damaged), SW_SKIPPED);
                    snapshot after = everything(optim, p, rules[i]);
                    assert_int_equal(before.count, after.count);
                    assert_memory_equal(before.bytes, after.bytes, before.count);
                }
                assert_ok(step_with(optim, p, g));
            }
            assert_int_equal(sw_optim_steps_skipped(optim), 3);
            assert_memory_equal(sw_params_x(p), sw_params_x(q), params_bytes(p)); /* as if they had not been */
            sw_optim_free(optim);
            sw_optim_free(other);
            sw_params_free(p);
            sw_params_free(q);
        }
}

/* A frozen parameter keeps its bits, and the others do not notice. A tied one is moved once, by the sum of
 * the gradients of its names. */
static void test_frozen_and_tied_parameters_move_as_stated(void **state) {
    (void)state;
    for (int i = 0; i < rule_count; i++) {
        if (rules[i]->unit == SW_UNIT_VECTOR) /* each element depends on all others: test_prototypes_lbfgs.c */
            continue;
        sw_params *p = sw_params_new(SW_F64, 1), *q = small_params(SW_F64);
        const sw_param_options weight = {.size = sizeof weight, .role = SW_ROLE_WEIGHT},
                               bias = {.size = sizeof bias, .role = SW_ROLE_BIAS};
        sw_param *a = sw_params_add(p, "a", 2, (const int64_t[]){3, 4}, &weight);
        sw_param *b = sw_params_add(p, "b", 1, (const int64_t[]){5}, &bias);
        assert_non_null(sw_params_tie(p, "a again", a));
        assert_non_null(sw_params_add(p, "c", 0, NULL, NULL));
        assert_ok(sw_params_build(p));
        assert_int_equal(sw_params_dim(p), SMALL_DIM);
        memcpy(sw_params_x(p), sw_params_x(q), params_bytes(q));
        sw_param_freeze(b, true);
        char spec[100];
        snprintf(spec, sizeof spec, "%s lr=0.01%s", rules[i]->name, apart(rules[i]));
        sw_optim *optim = sw_optim_new(p, spec), *plain = sw_optim_new(q, spec);
        double *x = sw_params_x(p), *y = sw_params_x(q), start[SMALL_DIM];
        memcpy(start, x, sizeof start);
        uint64_t seed = 6;
        for (int step = 0; step < 10; step++) {
            double g[SMALL_DIM];
            random_gradient(g, &seed);
            assert_ok(step_with(optim, p, g));
            for (int64_t k = 0; k < a->count; k++)
                g[k] *= 2; /* exact: both names' gradients are equal */
            assert_ok(step_with(plain, q, g));
        }
        int moved = 0;
        for (int64_t k = 0; k < SMALL_DIM; k++) {
            bool frozen = k >= b->offset && k < b->offset + b->count;
            moved += x[k] != start[k];
            if (x[k] != (frozen ? start : y)[k])
                fail_msg("%s: element %d is %.17g, was %.17g, and %.17g with nothing frozen or tied", rules[i]->name,
                         (int)k, x[k], start[k], y[k]);
        }
        assert_true(moved > SMALL_DIM / 3); /* Lion may be back where it was */
        assert_true(sw_optim_bytes(optim).rule == sw_optim_bytes(plain).rule);
        sw_optim_free(optim);
        sw_optim_free(plain);
        sw_params_free(p);
        sw_params_free(q);
    }
}

/* ---- Groups ---- */

/* An odd number of steps: those of a rule that takes signs do not add up to 0. */
enum { FEW_STEPS = 11 };
static void few_steps(const char *spec, double x[SMALL_DIM]) {
    sw_params *p = small_params(SW_F64);
    sw_optim *optim = sw_optim_new(p, spec);
    if (!optim)
        fail_msg("%s: %s", spec, sw_error());
    uint64_t seed = 7;
    for (int step = 0; step < FEW_STEPS; step++) {
        double g[SMALL_DIM];
        random_gradient(g, &seed);
        for (int i = 0; i < SMALL_DIM; i++) /* falling, so that a maximum of the past stays one */
            g[i] /= 1 + step;
        assert_ok(step_with(optim, p, g));
    }
    memcpy(x, sw_params_x(p), params_bytes(p));
    sw_optim_free(optim);
    sw_params_free(p);
}

/* Two groups of one rule move as one does; each listens to its own options. */
static void test_two_groups_move_as_one(void **state) {
    (void)state;
    for (int i = 0; i < rule_count; i++) {
        if (rules[i]->unit == SW_UNIT_VECTOR) /* a group is one problem */
            continue;
        char spec[200];
        double one[SMALL_DIM], two[SMALL_DIM], other[SMALL_DIM];
        const char *name = rules[i]->name, *lone = apart(rules[i]);
        int moved = 0;
        few_steps(spec_of(rules[i], "lr=0.01"), one);
        snprintf(spec, sizeof spec, "role=bias: %s lr=0.01; %s lr=0.01", name, name);
        few_steps(spec, two);
        assert_memory_equal(one, two, sizeof one);
        if (has_option(rules[i], "d0"))
            continue; /* other learning rates are refused: test_parameter_free.c */
        snprintf(spec, sizeof spec, "role=bias: %s lr=0.01%s; %s lr=0.01%s", name, lone, name, lone);
        few_steps(spec, two);
        snprintf(spec, sizeof spec, "role=bias: %s lr=0.02%s; %s lr=0.01%s", name, lone, name, lone);
        few_steps(spec, other);
        for (int k = 0; k < SMALL_DIM; k++) { /* "b": elements 12 to 16 */
            bool is_other = k >= 12 && k < 17;
            moved += is_other && other[k] != two[k];
            if (!is_other && other[k] != two[k])
                fail_msg("%s: element %d is %.17g, and %.17g when the other group has another learning rate", name, k,
                         two[k], other[k]);
        }
        assert_true(moved >= 3); /* Lion may be back where it was */
    }
}

/* ---- No two rules are one ---- */

typedef struct pair {
    const char *one, *other; /* specs that mathematics says are one rule */
    double rounding;         /* apart at most; 0: the same bits */
} pair;

/* Steps of numbers up to 1, some 20 roundings each. */
static const double SOME = FEW_STEPS * 20 * 0x1p-53;
static const pair pairs[] = {
    /* Generalized Adam with defaults leaves nothing out: it is NadamW. */
    {"generalized_adam lr=0.01", "nadamw lr=0.01", 0},
    /* The second root is the square root. */
    {"nadamp lr=0.01 p=2", "nadamw lr=0.01", 0},
    /* No momentum, nothing to look ahead along: m is g. */
    {"nadamw lr=0.01 beta1=0", "adamw lr=0.01 beta1=0", SOME},
    {"nadam lr=0.01 beta1=0", "adam lr=0.01 beta1=0", SOME},
    {"adamw lr=0.01 weight_decay=0", "adam lr=0.01", 0},
    {"nadam lr=0.01 decoupled weight_decay=0", "nadam lr=0.01", 0},
    /* Generalized Adam without denominator is momentum. */
    {"generalized_adam lr=0.01 disable_preconditioning weight_decay=0", "sgd lr=0.01 momentum=0.9 nesterov", SOME},
    {"generalized_adam lr=0.01 disable_preconditioning nesterov=false weight_decay=0", "sgd lr=0.01 momentum=0.9",
     SOME},
    /* Without momentum there is none. */
    {"rmsprop lr=0.01 momentum=0", "rmsprop lr=0.01", 0},
    {"amos lr=0.01 momentum=0", "amos lr=0.01", 0},
    {"sgd lr=0.01 momentum=0", "sgd lr=0.01", 0},
    /* As strongly convex as it is smooth: no momentum. */
    {"fista lr=0.01 mu=100", "sgd lr=0.01", 0},
    /* The first steps are those of the grafted method. */
    {"distributed_shampoo lr=0.01", "adam lr=0.01", SOME},
    {"caspr lr=0.01 weight_decay=0.01", "nadamw lr=0.01", SOME},
    /* The matrices "a" and the vectors are small: no side is longer than max_dim. */
    {"shampoo lr=0.01 max_dim=5", "shampoo lr=0.01", 0},
};

static double distance(const double a[SMALL_DIM], const double b[SMALL_DIM]) {
    double apart = 0;
    for (int i = 0; i < SMALL_DIM; i++)
        apart = fmax(apart, fabs(a[i] - b[i]));
    return apart;
}

static void test_special_cases_of_rules_agree(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        double one[SMALL_DIM], other[SMALL_DIM];
        few_steps(pairs[i].one, one);
        few_steps(pairs[i].other, other);
        if (!(distance(one, other) <= pairs[i].rounding))
            fail_msg("%s and %s are %g apart", pairs[i].one, pairs[i].other, distance(one, other));
    }
}

static bool may_agree(const char *one, const char *other) {
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        if ((strcmp(pairs[i].one, one) == 0 && strcmp(pairs[i].other, other) == 0) ||
            (strcmp(pairs[i].one, other) == 0 && strcmp(pairs[i].other, one) == 0))
            return true;
    return false;
}

static void test_rules_with_defaults_differ(void **state) {
    (void)state;
    static double x[MOST_RULES][SMALL_DIM];
    static char spec[MOST_RULES][200];
    for (int i = 0; i < rule_count; i++) {
        snprintf(spec[i], sizeof spec[i], "%s",
                 spec_of(rules[i], has_option(rules[i], "d0") ? "lr=0.01 d0=1" : "lr=0.01"));
        few_steps(spec[i], x[i]);
    }
    for (int i = 0; i < rule_count; i++)
        for (int j = 0; j < i; j++)
            if (!may_agree(spec[i], spec[j]) && distance(x[i], x[j]) < 1e-6)
                fail_msg("%s and %s are %g apart after a few steps", spec[i], spec[j], distance(x[i], x[j]));
}

/* ---- What a line search builds on: the step is lr times a direction ---- */

static void first_step(const char *name, double lr, double moved[SMALL_DIM]) {
    char spec[100];
    sw_params *p = small_params(SW_F64);
    const double *x = sw_params_x(p);
    double start[SMALL_DIM], g[SMALL_DIM];
    snprintf(spec, sizeof spec, "%s lr=%g", name, lr);
    sw_optim *optim = sw_optim_new(p, spec);
    uint64_t seed = 10;
    memcpy(start, x, sizeof start);
    random_gradient(g, &seed);
    assert_ok(step_with(optim, p, g));
    for (int i = 0; i < SMALL_DIM; i++)
        moved[i] = x[i] - start[i];
    sw_optim_free(optim);
    sw_params_free(p);
}

static void test_linear_rules_scale_with_lr(void **state) {
    (void)state;
    int linear = 0;
    for (int i = 0; i < rule_count; i++) {
        double one[SMALL_DIM], two[SMALL_DIM];
        bool flag = rules[i]->flags & SW_RULE_LINEAR;
        first_step(rules[i]->name, 0.25, one);
        first_step(rules[i]->name, 0.5, two);
        linear += flag;
        for (int k = 0; k < SMALL_DIM && flag; k++) /* x and its step are at most 4: a few roundings of that */
            if (!(fabs(two[k] - 2 * one[k]) <= 8 * 4 * 0x1p-53))
                fail_msg("%s: a step of %g, of %g with twice the learning rate", rules[i]->name, one[k], two[k]);
    }
    assert_true(linear > rule_count / 2);
}

/* ---- Memory ---- */

/* A matrix and a vector that threads share, and remainders of tiles and lanes. */
static sw_params *large_params(sw_dtype type) {
    sw_params *p = sw_params_new(type, 1);
    const sw_param_options weight = {.size = sizeof weight, .role = SW_ROLE_WEIGHT},
                           bias = {.size = sizeof bias, .role = SW_ROLE_BIAS};
    assert_non_null(sw_params_add(p, "matrix", 2, (const int64_t[]){131, 257}, &weight));
    assert_non_null(sw_params_add(p, "vector", 1, (const int64_t[]){20011}, &bias));
    assert_ok(sw_params_build(p));
    uint64_t seed = 8;
    for (int64_t i = 0; i < sw_params_dim(p); i++)
        vec_set(type, sw_params_x(p), i, test_uniform(&seed, -1, 1));
    return p;
}

/* A "gradient" that depends on x and is 0 here and there. */
static sw_status random_field(void *user, const void *x, const int64_t *ids, int64_t count, uint64_t draw,
                              double *value, void *g) {
    const sw_dtype type = sw_params_type(user);
    uint64_t seed = 9;
    (void)ids, (void)count, (void)draw;
    *value = 0;
    for (int64_t i = 0; i < sw_params_dim(user); i++) {
        double u = test_uniform(&seed, -1, 1);
        vec_set(type, g, i, fabs(u) < 0.1 ? 0 : u + 0.5 * vec_get(type, x, i));
    }
    return SW_OK;
}

/* ---- Equal bits: threads, levels ---- */

/* Every rule, with each option that may choose another loop, and combinations of those. */
static const char *const combined[] = {"sgd momentum=0.9 nesterov",
                                       "sgd momentum=0.9 l1=0.1 nonnegative",
                                       "sgd low=-0.25 high=0.75",
                                       "fista mu=0.1 nonnegative restart=false",
                                       "rmsprop centered momentum=0.9",
                                       "muon adamw_eps=1e-20",
                                       "nadamp p=2",
                                       "radam beta2=0.5",
                                       "adam eps=1e-20",
                                       "amsgrad eps=1e-20",
                                       "rmsprop centered momentum=0.9 eps=1e-20",
                                       "nadamp eps=1e-20 p=3",
                                       "adagrad eps=1e-20",
                                       "adadelta eps=1e-20 eps_in_root=0"};
static rule_specs hashed;

/* The factors of distributed_shampoo for the long vector would take hundreds of MB and seconds for each step: with
 * shorter blocks, and roots in the third step. */
static const char *short_blocks(const char *spec) {
    static char text[RULE_SPEC_LENGTH + 32];
    if (strcmp(rule_of_spec(spec)->name, "distributed_shampoo") != 0)
        return spec;
    snprintf(text, sizeof text, "%s%s%s", strstr(spec, "block=") ? "distributed_shampoo" : spec, " block=64",
             strstr(spec, "start=") ? "" : " start=3");
    return text;
}

/* x and g drawn, a few steps, all of x hashed. */
static uint64_t hash_of(const char *spec, sw_dtype type) {
    enum { HASHED_STEPS = 7 }; /* RAdam takes its sixth with a denominator */
    sw_params *p = large_params(type);
    sw_optim *optim = sw_optim_new(p, short_blocks(spec));
    const sw_objective f = {.size = sizeof f, .n = 1, .params = p, .user = p, .gradient = random_field};
    for (int t = 0; t < HASHED_STEPS; t++)
        assert_ok(sw_optim_minimize(optim, &f, NULL));
    uint64_t hash = test_hash(TEST_HASH, sw_params_x(p), params_bytes(p));
    sw_optim_free(optim);
    sw_params_free(p);
    return hash;
}

/* Products of large matrices are those of OpenBLAS, whose bits depend on its kernels. */
static bool uses_blas(const char *spec) {
    static const char *const rule[] = {"muon", "shampoo", "distributed_shampoo", "caspr", "soap"};
    for (size_t i = 0; i < sizeof rule / sizeof *rule; i++)
        if (strcmp(rule_of_spec(spec)->name, rule[i]) == 0)
            return true;
    return false;
}

/* Rules with products of matrices take long: their first spec, the default options, is computed with 1, 2, 4 and 8
 * threads, and all others with 1 and 4. */
static int thread_factor(int run) {
    const bool first = run == 0 || rule_of_spec(hashed.text[run]) != rule_of_spec(hashed.text[run - 1]);
    return uses_blas(hashed.text[run]) && !first ? 4 : 2;
}

static void test_bits_are_equal_for_every_number_of_threads(void **state) {
    (void)state;
    const int before = sw_threads();
    for (int run = 0; run < hashed.count; run++)
        for (int t = 0; t < 2; t++) {
            uint64_t first = 0;
            for (int threads = 1; threads <= 8; threads *= thread_factor(run)) {
                assert_ok(sw_set_threads(threads));
                uint64_t hash = hash_of(hashed.text[run], both_types[t]);
                first = threads == 1 ? hash : first;
                if (hash != first)
                    fail_msg("%s, %s: other bits with %d threads", hashed.text[run], sw_dtype_name(both_types[t]),
                             threads);
            }
        }
    assert_ok(sw_set_threads(before));
}

static int print_hashes(void) {
    printf("%s\n", sw_cpu_name());
    for (int run = 0; run < hashed.count; run++)
        for (int t = 0; t < 2; t++)
            printf("%016llx\n", uses_blas(hashed.text[run]) /* not compared */
                                    ? 0ULL
                                    : (unsigned long long)hash_of(hashed.text[run], both_types[t]));
    return sw_error() != NULL;
}

static void run_self(const char *level, unsigned long long hash[2 * RULE_SPECS]) {
    char self[600], command[700], name[32];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    assert_true(length > 0);
    self[length] = 0;
    snprintf(command, sizeof command, "SW_CPU=%s '%s' hashes", level, self);
    FILE *from = popen(command, "r");
    assert_non_null(from);
    assert_int_equal(fscanf(from, "%31s", name), 1);
    for (int i = 0; i < 2 * hashed.count; i++)
        assert_int_equal(fscanf(from, "%llx", &hash[i]), 1);
    assert_int_equal(pclose(from), 0);
}

static void test_bits_are_equal_on_every_level(void **state) {
    (void)state;
    static const char *const level[SW_LEVELS] = {"baseline", "avx2", "avx512"};
    static unsigned long long hash[SW_LEVELS][2 * RULE_SPECS];
    for (int k = 0; k < SW_LEVELS; k++) {
        run_self(level[k], hash[k]);
        for (int i = 0; i < 2 * hashed.count; i++)
            if (hash[k][i] != hash[0][i])
                fail_msg("%s, %s: other bits on %s", hashed.text[i / 2], sw_dtype_name(both_types[i % 2]), level[k]);
    }
}

int main(int argc, char **argv) {
    for (; (rules[rule_count] = sw_rule_at(rule_count)) != NULL; rule_count++)
        assert_true(rule_count + 1 < MOST_RULES);
    rule_specs_add_all(&hashed, true);
    for (size_t i = 0; i < sizeof combined / sizeof *combined; i++)
        rule_specs_add(&hashed, combined[i]);
    if (argc > 1 && strcmp(argv[1], "hashes") == 0)
        return print_hashes();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_list_has_every_rule, test_clear),
        cmocka_unit_test_teardown(test_option_tables_are_complete, test_clear),
        cmocka_unit_test_teardown(test_rules_minimize_a_quadratic, test_clear),
        cmocka_unit_test_teardown(test_rules_descend_rosenbrocks_function, test_clear),
        cmocka_unit_test_teardown(test_rules_move_without_momentum, test_clear),
        cmocka_unit_test_teardown(test_zero_gradient_moves_only_by_decay, test_clear),
        cmocka_unit_test_teardown(test_nadamp_roots_are_exact, test_clear),
        cmocka_unit_test_teardown(test_nadamp_root_of_two_thirds_is_accurate, test_clear),
        cmocka_unit_test_teardown(test_square_beyond_f32_is_never_nan, test_clear),
        cmocka_unit_test_teardown(test_nan_is_refused, test_clear),
        cmocka_unit_test_teardown(test_frozen_and_tied_parameters_move_as_stated, test_clear),
        cmocka_unit_test_teardown(test_two_groups_move_as_one, test_clear),
        cmocka_unit_test_teardown(test_special_cases_of_rules_agree, test_clear),
        cmocka_unit_test_teardown(test_rules_with_defaults_differ, test_clear),
        cmocka_unit_test_teardown(test_linear_rules_scale_with_lr, test_clear),
        cmocka_unit_test_teardown(test_bits_are_equal_for_every_number_of_threads, test_clear),
        cmocka_unit_test_teardown(test_bits_are_equal_on_every_level, test_clear),
    };
    return cmocka_run_group_tests_name("rules", tests, NULL, NULL);
}
