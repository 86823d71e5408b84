/* Every registered rule against its plain reference, and the references against PyTorch, optax and NumPy. The tables
 * determine the comparisons: the rules of sw_rule_at, the specs of golden/rules.h and golden/prox_rules.h, and a spec
 * for each option of each rule. */
#include "../golden_rules.h"
#include "../rule_specs.h"
#include "references.h"

enum { RULES = sizeof references / sizeof *references };

/* ---- Problems: tensors, a start, a gradient for each step ---- */

typedef struct problem {
    sw_params *(*params)(sw_dtype type);
    int64_t dim, steps;
    const double *start, *gradient; /* [dim], [steps, dim] */
} problem;

/* Every role, every rank up to 3, and a vector that is no multiple of the kernels' blocks of 64 and 256 elements. */
enum { ROLES = 8, ROLES_DIM = 12 + 24 + 10 + 12 + 5 + 4 + 1 + 261, ROLES_STEPS = 200 };
static const struct roles_layout {
    const char *name;
    int rank;
    int64_t shape[3];
    sw_role role;
    double scale; /* of the gradient */
} roles_layouts[ROLES] = {
    {"weight", 2, {3, 4}, SW_ROLE_WEIGHT, 1}, {"kernel", 3, {2, 3, 4}, SW_ROLE_WEIGHT, 0x1p-10},
    {"head", 2, {2, 5}, SW_ROLE_HEAD, 64},    {"embedding", 2, {4, 3}, SW_ROLE_EMBEDDING, 1},
    {"bias", 1, {5}, SW_ROLE_BIAS, 1},        {"norm", 1, {4}, SW_ROLE_NORM, 0x1p-5},
    {"scalar", 0, {0}, SW_ROLE_OTHER, 1},     {"vector", 1, {261}, SW_ROLE_OTHER, 4},
};
static double roles_start[ROLES_DIM], roles_gradient[ROLES_STEPS][ROLES_DIM];

static sw_params *roles_params(sw_dtype type) {
    sw_params *p = sw_params_new(type, 1);
    for (int k = 0; k < ROLES; k++) {
        const struct roles_layout *l = &roles_layouts[k];
        const sw_param_options o = {.size = sizeof o, .role = l->role};
        assert_non_null(sw_params_add(p, l->name, l->rank, l->shape, &o));
    }
    assert_ok(sw_params_build(p));
    assert_int_equal(sw_params_dim(p), ROLES_DIM);
    return p;
}

static int draw_problems(void **state) {
    uint64_t seed = 32;
    for (int i = 0; i < ROLES_DIM; i++)
        roles_start[i] = (double)(float)test_uniform(&seed, -1, 1);
    sw_params *p = roles_params(SW_F64);
    for (int t = 0; t < ROLES_STEPS; t++)
        for (int k = 0; k < ROLES; k++) {
            const sw_param *param = sw_params_at(p, k);
            for (int64_t i = param->offset; i < param->offset + param->count; i++) {
                const double u = (double)(float)test_uniform(&seed, -1, 1);
                roles_gradient[t][i] = fabs(u) < 0.1 ? 0 : u * roles_layouts[k].scale;
            }
        }
    sw_params_free(p);
    return golden_draw(state);
}

static const problem golden_problem = {golden_params, DIM, STEPS, golden_start, golden_gradient[0]},
                     roles_problem = {roles_params, ROLES_DIM, ROLES_STEPS, roles_start, roles_gradient[0]};

/* GOLDEN_SCHEDULE at step t of T, from 0; `factor` in golden/rules_shared.py. */
static double lr_factor(int64_t t, int64_t steps) {
    const double warmup = 10, final = 0.1, pi = 3.14159265358979323846;
    if ((double)t < warmup)
        return ((double)t + 1) / warmup;
    return final + (1 - final) * 0.5 * (1 + cos(pi * ((double)t - warmup) / ((double)steps - warmup)));
}

/* Rules that test_matrix_rules.c compares with NumPy: each option too. A plain reference would need
 * eigendecompositions, and noise in a factor of low rank is magnified without bound. */
static bool is_compared_elsewhere(const char *rule) {
    static const char *const names[] = {"shampoo", "distributed_shampoo", "caspr", "soap"};
    bool found = false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        found |= strcmp(rule, names[i]) == 0;
    return found;
}

static const struct rule_reference *reference_of(const char *rule) {
    for (int i = 0; i < RULES; i++)
        if (strcmp(references[i].name, rule) == 0)
            return &references[i];
    fail_msg("rule %s has no reference: add one to tests/optim/rules/references.h", rule);
    return NULL;
}

/* ---- The path of a reference ---- */

typedef struct setting {
    const sw_rule *rule;
    double option[SW_MAX_OPTIONS];
} setting;

static setting setting_of(const char *spec) {
    setting s = {.rule = rule_of_spec(spec)};
    sw_params *p = small_params(SW_F64);
    sw_optim *o = NEW_OPTIM(p, .rule = spec);
    for (int i = 0; s.rule->options[i].name; i++)
        s.option[i] = sw_optim_option(o, 0, s.rule->options[i].name);
    sw_optim_free(o);
    sw_params_free(p);
    return s;
}

/* Noise: to every number of θ and of the state `noise` times a random number in ±1 and the larger of its values before
 * and after the step. */
static void add_noise(double *value, const double *before, int64_t n, double noise, uint64_t *seed) {
    for (int64_t i = 0; i < n; i++)
        value[i] += noise * fmax(fabs(value[i]), fabs(before[i])) * test_uniform(seed, -1, 1);
}

static void noisy_step(reference *r, void (*step)(reference *r), double noise, uint64_t *seed) {
    enum { VECTORS = 1 + REFERENCE_STATES };
    double *before = calloc((size_t)(VECTORS * r->n), sizeof *before);
    assert_non_null(before);
    const size_t bytes = (size_t)r->n * sizeof *before;
    memcpy(before, r->theta, bytes);
    for (int k = 0; k < REFERENCE_STATES && r->state[k].name; k++)
        memcpy(before + (k + 1) * r->n, r->state[k].value, bytes);
    step(r);
    add_noise(r->theta, before, r->n, noise, seed);
    for (int k = 0; k < REFERENCE_STATES && r->state[k].name; k++)
        add_noise(r->state[k].value, before + (k + 1) * r->n, r->n, noise, seed);
    free(before);
}

/* θ after each step, [steps, dim]. */
static double *reference_path(const setting *s, const problem *f, double noise, uint64_t seed) {
    void (*const step)(reference * r) = reference_of(s->rule->name)->step;
    double *path = malloc((size_t)(f->steps * f->dim) * sizeof *path), *theta = malloc((size_t)f->dim * sizeof *theta);
    assert_true(path && theta);
    reference r = {.rule = s->rule, .params = f->params(SW_F64), .n = f->dim, .theta = theta};
    memcpy(theta, f->start, (size_t)f->dim * sizeof *theta);
    memcpy(r.option, s->option, sizeof r.option);
    assert_string_equal(s->rule->options[0].name, "lr");
    for (int64_t t = 0; t < f->steps; t++) {
        r.t = t + 1;
        r.option[0] = s->option[0] * lr_factor(t, f->steps);
        r.g = f->gradient + t * f->dim;
        noisy_step(&r, step, noise, &seed);
        memcpy(path + t * f->dim, theta, (size_t)f->dim * sizeof *theta);
    }
    for (int k = 0; k < REFERENCE_STATES; k++)
        free(r.state[k].value);
    sw_params_free(r.params);
    free(theta);
    return path;
}

/* max |a - b| over the elements of one tensor after step t; NaN stays. */
static double apart(const double *a, const double *b, const problem *f, const sw_param *p, int64_t t) {
    double worst = 0;
    for (int64_t i = t * f->dim + p->offset; i < t * f->dim + p->offset + p->count; i++)
        if (!(fabs(a[i] - b[i]) <= worst))
            worst = fabs(a[i] - b[i]);
    return worst;
}

/* ---- The path of the library's rule ---- */

static double *rule_path(const char *spec, const problem *f, sw_dtype type) {
    double *path = malloc((size_t)(f->steps * f->dim) * sizeof *path);
    assert_non_null(path);
    sw_params *p = f->params(type);
    params_set(p, f->start);
    sw_optim *o = NEW_OPTIM(p, .rule = spec, .total_steps = f->steps, .schedule = GOLDEN_SCHEDULE);
    for (int64_t t = 0; t < f->steps; t++) {
        if (step_with(o, p, f->gradient + t * f->dim) != SW_OK)
            fail_msg("%s: step %d: %s", spec, (int)t + 1, sw_error());
        for (int64_t i = 0; i < f->dim; i++)
            path[t * f->dim + i] = vec_get(type, sw_params_x(p), i);
    }
    sw_optim_free(o);
    sw_params_free(p);
    return path;
}

/* How far may the two be apart after step t? Both round differently in every step, and the rule carries that on. So
 * the reference runs again with noise of NOISE, relative, in θ and in its states after each step: the largest distance
 * up to t over NOISE says how the rule magnifies relative errors that come in all the time. Either side's own are less
 * than ROUNDINGS · 2^-53 (2^-24 where the library computes in f32): no rule has more than some 20 operations on a
 * number in a step, of which at most a few lie behind a difference. A path is followed for as long as that is less than
 * MOST of the largest |θ|, and at least for LEAST_STEPS: momentum with a soft threshold or a box, under gradients that
 * do not depend on θ, may magnify without end. So do the pairs of L-BFGS, in few steps. */
enum { ROUNDINGS = 32, NOISY_RUNS = 3, LEAST_STEPS = 30, LEAST_STEPS_OF_VECTOR = 2 };
static const double NOISE = 1e-9, MOST[] = {[SW_F32] = 1e-3, [SW_F64] = 2e-12};

typedef struct paths {
    const char *spec;
    const problem *f;
    double *exact, *noisy[NOISY_RUNS], *rule[2]; /* of both_types */
} paths;

static double closest_call; /* the largest distance over what is allowed */

static void compare_tensor(const paths *p, const sw_param *param) {
    double growth = 0, largest = 0;
    for (int64_t t = 0; t < p->f->steps; t++)
        for (int64_t i = param->offset; i < param->offset + param->count; i++)
            largest = fmax(largest, fmax(fabs(p->f->start[i]), fabs(p->exact[t * p->f->dim + i])));
    for (int64_t t = 0; t < p->f->steps; t++) {
        for (int k = 0; k < NOISY_RUNS; k++)
            growth = fmax(growth, apart(p->noisy[k], p->exact, p->f, param, t) / NOISE);
        for (int k = 0; k < 2; k++) {
            const sw_dtype type = both_types[k];
            const double allowed = growth * ROUNDINGS * (type == SW_F32 ? 0x1p-24 : 0x1p-53),
                         distance = apart(p->rule[k], p->exact, p->f, param, t);
            if (t >= (rule_of_spec(p->spec)->unit == SW_UNIT_VECTOR ? LEAST_STEPS_OF_VECTOR : LEAST_STEPS) &&
                allowed > MOST[type] * largest)
                continue;
            if (!(allowed <= MOST[type] * largest))
                fail_msg("%s, %s, %s: rounding is magnified to %g", p->spec, param->name, sw_dtype_name(type), allowed);
            if (!(distance <= allowed))
                fail_msg("%s, %s, %s, step %d: the reference is %.3g away, %.3g allowed", p->spec, param->name,
                         sw_dtype_name(type), (int)t + 1, distance, allowed);
            closest_call = fmax(closest_call, distance / allowed);
        }
    }
}

static void compare_with_rule(const char *spec, const setting *s, const problem *f) {
    paths p = {.spec = spec, .f = f, .exact = reference_path(s, f, 0, 0)};
    for (int k = 0; k < NOISY_RUNS; k++)
        p.noisy[k] = reference_path(s, f, NOISE, (uint64_t)k + 1);
    for (int k = 0; k < 2; k++)
        p.rule[k] = rule_path(spec, f, both_types[k]);
    sw_params *params = f->params(SW_F64);
    for (int k = 0; k < sw_params_count(params); k++)
        compare_tensor(&p, sw_params_at(params, k));
    sw_params_free(params);
    for (int k = 0; k < NOISY_RUNS; k++)
        free(p.noisy[k]);
    free(p.rule[0]), free(p.rule[1]), free(p.exact);
}

/* ---- Specs: those of the golden numbers, and one for each option ---- */

static rule_specs specs;

static int collect_specs(void **state) {
    for (int i = 0; i < GOLDENS; i++)
        rule_specs_add(&specs, golden_at(i)->rule);
    rule_specs_add_all(&specs, false);
    return draw_problems(state);
}

/* ---- Tests ---- */

static void test_every_rule_has_a_reference_and_golden_numbers(void **state) {
    (void)state;
    const sw_rule *rule;
    int rules = 0, elsewhere = 0;
    for (; (rule = sw_rule_at(rules)) != NULL; rules++) {
        int goldens_of_rule = 0;
        if (is_compared_elsewhere(rule->name)) {
            elsewhere++;
            continue;
        }
        reference_of(rule->name);
        for (int i = 0; i < GOLDENS; i++)
            goldens_of_rule += rule_of_spec(golden_at(i)->rule) == rule;
        if (goldens_of_rule == 0)
            fail_msg("rule %s has no golden numbers: add a line to CASES of tests/golden/rules.py", rule->name);
    }
    for (int i = 0; i < RULES; i++)
        if (!sw_rule_find(references[i].name))
            fail_msg("there is a reference of %s, which is no rule", references[i].name);
    assert_int_equal(rules - elsewhere, RULES);
}

/* As in test_rules_golden.c: some 20 operations of 100 steps round by 1.1e-16 each, the 14 digits of the fixture lose
 * 5e-14, and m/√v magnifies errors of m by about 3 where v is small. */
static void test_references_have_the_golden_numbers(void **state) {
    (void)state;
    const double tolerance = 1e-12;
    sw_params *p = golden_params(SW_F64);
    for (int i = 0; i < GOLDENS; i++) {
        const struct golden *g = golden_at(i);
        const setting s = setting_of(g->rule);
        double *path = reference_path(&s, &golden_problem, 0, 0);
        for (int k = 0; k < PARAMS; k++) {
            const sw_param *param = sw_params_at(p, k);
            double worst = 0, largest = 0;
            for (int c = 0; c < CHECKED; c++)
                for (int64_t j = param->offset; j < param->offset + param->count; j++) {
                    const double golden = g->points[c * DIM + j],
                                 error = fabs(path[(checked[c] - 1) * DIM + j] - golden);
                    worst = error <= worst ? worst : error;
                    largest = fmax(largest, fabs(golden));
                }
            if (!(worst <= tolerance * largest))
                fail_msg("%s, %s: the reference is %.3g away from the golden numbers, %.3g allowed", g->rule,
                         param->name, worst / largest, tolerance);
        }
        free(path);
    }
    sw_params_free(p);
}

static void test_rules_follow_their_references(void **state) {
    (void)state;
    for (int i = 0; i < specs.count; i++) {
        if (is_compared_elsewhere(rule_of_spec(specs.text[i])->name))
            continue;
        const setting s = setting_of(specs.text[i]);
        compare_with_rule(specs.text[i], &s, &roles_problem);
        if (i < GOLDENS)
            compare_with_rule(specs.text[i], &s, &golden_problem);
    }
    print_message("%d specs, at most %.2g of the distance that is allowed\n", specs.count, closest_call);
}

/* Whether the option has another value than by default in this setting, and matters there. */
static bool option_acts(const setting *s, int at) {
    enum { BRIEF_STEPS = 50 };
    const problem brief = {roles_params, ROLES_DIM, BRIEF_STEPS, roles_start, roles_gradient[0]};
    setting without = *s;
    without.option[at] = s->rule->options[at].value;
    if (s->option[at] == without.option[at])
        return false;
    double *with_it = reference_path(s, &brief, 0, 0), *other = reference_path(&without, &brief, 0, 0);
    double distance = 0;
    for (int64_t i = 0; i < BRIEF_STEPS * ROLES_DIM; i++)
        distance = fmax(distance, fabs(with_it[i] - other[i]));
    free(with_it), free(other);
    return distance > 1e-7; /* far above what is allowed in f64 */
}

/* Options without an effect in f64: test_muon.c tests them. */
static bool is_rounding_in_f32(const char *option) {
    return strcmp(option, "products") == 0;
}

/* So no option is left out above: each has another value in at least one spec, and another path by that. */
static void test_every_option_is_compared(void **state) {
    (void)state;
    const sw_rule *rule;
    for (int r = 0; (rule = sw_rule_at(r)) != NULL; r++)
        for (int at = 0; rule->options[at].name && !is_compared_elsewhere(rule->name); at++) {
            if (strcmp(rule->name, "asgd") == 0 && strcmp(rule->options[at].name, "t0") == 0)
                continue; /* it acts on the average alone: test_asgd.c */
            bool acts = false;
            for (int i = 0; i < specs.count && !acts; i++)
                if (rule_of_spec(specs.text[i]) == rule) {
                    const setting s = setting_of(specs.text[i]);
                    acts = option_acts(&s, at);
                }
            if (!acts && !is_rounding_in_f32(rule->options[at].name))
                fail_msg("no spec shows what option %s of %s does: add one to CASES of tests/golden/rules.py",
                         rule->options[at].name, rule->name);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_every_rule_has_a_reference_and_golden_numbers, test_clear),
        cmocka_unit_test_teardown(test_references_have_the_golden_numbers, test_clear),
        cmocka_unit_test_teardown(test_rules_follow_their_references, test_clear),
        cmocka_unit_test_teardown(test_every_option_is_compared, test_clear),
    };
    return cmocka_run_group_tests_name("references", tests, collect_specs, NULL);
}
