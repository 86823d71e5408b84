/* Rules that are not elementwise: Prodigy, whose d is one number for all groups, and Schedule-Free AdamW, which is
 * evaluated at another point than the one that it trains. K. Mishchenko, A. Defazio, Prodigy, ICML 2024; A. Defazio et
 * al., The road less scheduled, NeurIPS 2024. */
#include <swale/kernel.h>
#include <swale/optim.h>

#if SW_KERNEL_FIRST
/* Prodigy: options, slots, coefficients */
enum { LR, BETA1, BETA2, EPS, WEIGHT_DECAY, D0 };
enum { M, V, S, X0 };
enum { DLR, D_OLD, D_NEW, S_DECAY, S_RATE };
/* Schedule-Free: options after WEIGHT_DECAY, slots, coefficients */
enum { WARMUP = 5, POWER };
enum { Z, V_OF_FREE };
enum { GAMMA, C, ROOT_SCALE };
#endif

#if SW_KERNEL_PASS

/* sums ← (d/d0) dlr ⟨g, x0 - x⟩ and ‖s‖₁ of the s that the update will store */
static void SW_K(prodigy_measure)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *p = args;
    const real *x = p->x, *g = p->g, *s = p->slot[S], *x0 = p->slot[X0];
    const real decay = (real)p->coefficient[S_DECAY], rate = (real)p->coefficient[S_RATE];
    double inner = 0, norm = 0;
    for (int64_t i = begin; i < end; i++) {
        const real next = decay * s[i] + rate * g[i];
        inner += (double)(g[i] * (x0[i] - x[i]));
        norm += (double)(next < 0 ? -next : next);
    }
    sums[0] += p->coefficient[S_RATE] * inner;
    sums[1] += norm;
}

/* m ← β1 m + (1-β1) d g;  v ← β2 v + (1-β2) d² g²;  s ← √β2 s + (d/d0) dlr g
 * x ← (1 - λ dlr) x - dlr m / (√v + d' ε), d' the new d */
static void SW_K(prodigy)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *p = args;
    real *x = p->x, *m = p->slot[M], *v = p->slot[V], *s = p->slot[S];
    const real *gradient = p->g;
    const real beta1 = (real)p->option[BETA1], beta2 = (real)p->option[BETA2], rest1 = (real)(1 - p->option[BETA1]),
               rest2 = (real)(1 - p->option[BETA2]), d = (real)p->coefficient[D_OLD], dlr = (real)p->coefficient[DLR],
               eps = (real)(p->coefficient[D_NEW] * p->option[EPS]),
               shrink = (real)(1 - p->option[WEIGHT_DECAY] * p->coefficient[DLR]),
               decay = (real)p->coefficient[S_DECAY], rate = (real)p->coefficient[S_RATE];
    (void)sums;
    for (int64_t i = begin; i < end; i++) {
        const real g = gradient[i], dg = d * g;
        m[i] = beta1 * m[i] + rest1 * dg;
        v[i] = beta2 * v[i] + rest2 * (dg * dg);
        s[i] = decay * s[i] + rate * g;
        x[i] = shrink * x[i] - dlr * m[i] / (SW_R(sqrt)(v[i]) + eps);
    }
}

/* v ← β2 v + (1-β2) g²;  u = g/(√(v/bc2) + ε) + λ y
 * y ← y + c (z - y) + γ (β1 (1-c) - 1) u;  z ← z - γ u */
static void SW_K(schedule_free)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *p = args;
    real *y = p->x, *z = p->slot[Z], *v = p->slot[V_OF_FREE];
    const real *g = p->g;
    const double weight = p->coefficient[C], rate = p->coefficient[GAMMA] * (p->option[BETA1] * (1 - weight) - 1);
    const real beta2 = (real)p->option[BETA2], rest2 = (real)(1 - p->option[BETA2]), eps = (real)p->option[EPS],
               decay = (real)p->option[WEIGHT_DECAY], root = (real)p->coefficient[ROOT_SCALE],
               gamma = (real)p->coefficient[GAMMA], c = (real)weight, toward = (real)rate;
    (void)sums;
    for (int64_t i = begin; i < end; i++) {
        v[i] = beta2 * v[i] + rest2 * (g[i] * g[i]);
        const real u = g[i] / (SW_R(sqrt)(v[i]) * root + eps) + decay * y[i];
        y[i] = y[i] + c * (z[i] - y[i]) + toward * u;
        z[i] -= gamma * u;
    }
}

/* x = y + (1 - 1/β1)(z - y) */
static void SW_K(schedule_free_point)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *p = args;
    const real *y = p->x, *z = p->slot[Z];
    real *out = p->out;
    const real w = (real)(1 - 1 / p->option[BETA1]);
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        out[i] = y[i] + w * (z[i] - y[i]);
}

/* z = x */
static void SW_K(schedule_free_restart)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *p = args;
    (void)sums;
    memcpy((real *)p->slot[Z] + begin, (const real *)p->x + begin, (size_t)(end - begin) * sizeof(real));
}

#else

#include "prototypes.h"

static const sw_kernels measure_kernels = SW_KERNEL_TABLE(prodigy_measure), prodigy_kernels = SW_KERNEL_TABLE(prodigy),
                        free_kernels = SW_KERNEL_TABLE(schedule_free),
                        point_kernels = SW_KERNEL_TABLE(schedule_free_point),
                        restart_kernels = SW_KERNEL_TABLE(schedule_free_restart);

#define COMMON_OPTIONS(lr_default)                                                                  \
    {.name = "lr", .value = lr_default, .low = 0, .high = 1e3, .help = "learning rate"},            \
        {.name = "beta1", .value = 0.9, .low = 0, .high = 1, .open = SW_OPEN_HIGH, .help = "β1"},   \
        {.name = "beta2", .value = 0.999, .low = 0, .high = 1, .open = SW_OPEN_HIGH, .help = "β2"}, \
        {.name = "eps", .value = 1e-8, .low = 0, .high = 1, .help = "ε"}, {                         \
        .name = "weight_decay", .value = 0, .low = 0, .high = 1e3, .help = "λ"                     \
    }

/* ---- Prodigy ---- */

enum { D, D_MAX, NUMERATOR }; /* scalars */
static const char *const prodigy_scalars[] = {"d", "d_max", "numerator", NULL};
static const sw_option prodigy_options[] = {
    COMMON_OPTIONS(1), {.name = "d0", .value = 1e-6, .low = 0, .high = 1, .open = SW_OPEN_LOW, .help = "first d"}, {0}};
static const sw_slot prodigy_slots[] = {
    {.name = "m"}, {.name = "v"}, {.name = "s"}, {.name = "x0", .start = SW_START_X}, {0}};

static sw_status prodigy_begin(sw_step *s) {
    if (s->step == 1)
        s->scalar[D] = s->scalar[D_MAX] = s->option[D0];
    const double d = s->scalar[D];
    s->coefficient[D_OLD] = d;
    s->coefficient[DLR] = d * s->option[LR];
    s->coefficient[S_DECAY] = sqrt(s->option[BETA2]);
    s->coefficient[S_RATE] = d / s->option[D0] * s->coefficient[DLR];
    return SW_OK;
}

/* Over all groups: numerator ← √β2 numerator + (d/d0) dlr ⟨g, x0 - x⟩
 *                  d' = max(d, numerator / ‖s‖₁) */
static sw_status prodigy_decide(sw_step *s, const double *sums) {
    if (sums[1] == 0) /* no gradient yet: the step is not taken */
        return SW_SKIPPED;
    s->scalar[NUMERATOR] = s->coefficient[S_DECAY] * s->scalar[NUMERATOR] + sums[0];
    const double estimate = s->scalar[NUMERATOR] / sums[1];
    s->scalar[D_MAX] = estimate > s->scalar[D_MAX] ? estimate : s->scalar[D_MAX];
    s->scalar[D] = s->coefficient[D_NEW] = s->scalar[D_MAX];
    return SW_OK;
}

static const sw_rule proto_prodigy = {.size = sizeof(sw_rule),
                                      .name = "proto_prodigy",
                                      .summary = "finds its own step size",
                                      .source = "Mishchenko, Defazio 2024",
                                      .options = prodigy_options,
                                      .slots = prodigy_slots,
                                      .scalars = prodigy_scalars,
                                      .begin = prodigy_begin,
                                      .measure = &measure_kernels,
                                      .sums = 2,
                                      .decide = prodigy_decide,
                                      .update = &prodigy_kernels};

/* ---- Schedule-Free AdamW ---- */

enum { WEIGHT_SUM, LR_MAX }; /* scalars */
static const char *const free_scalars[] = {"weight_sum", "lr_max", NULL};
/* clang-format off */
static const sw_option free_options[] = {
    COMMON_OPTIONS(0.0025),
    {.name = "warmup", .kind = SW_OPTION_DURATION, .value = 0, .low = 0, .high = 1e9,
     .help = "linear rise of the learning rate"},
    {.name = "r", .value = 0, .low = 0, .high = 10, .help = "weights grow with k to the power r"},
    {0}};
/* clang-format on */
static const sw_slot free_slots[] = {{.name = "z", .start = SW_START_X}, {.name = "v"}, {0}};

static sw_status free_begin(sw_step *s) {
    const double k = (double)s->step, warmup = s->option[WARMUP];
    const double gamma = s->option[LR] * (k < warmup ? k / warmup : 1);
    s->scalar[LR_MAX] = gamma > s->scalar[LR_MAX] ? gamma : s->scalar[LR_MAX];
    const double weight = pow(k, s->option[POWER]) * s->scalar[LR_MAX] * s->scalar[LR_MAX];
    s->scalar[WEIGHT_SUM] += weight;
    s->coefficient[GAMMA] = gamma;
    s->coefficient[C] = weight / s->scalar[WEIGHT_SUM];
    s->coefficient[ROOT_SCALE] = 1 / sqrt(1 - pow(s->option[BETA2], k));
    return SW_OK;
}

/* The mean becomes x, and z starts again from it. */
static sw_status free_adopted(sw_step *s) {
    s->scalar[WEIGHT_SUM] = 0;
    return sw_step_run(s, &restart_kernels);
}

static const sw_rule proto_free = {.size = sizeof(sw_rule),
                                   .name = "proto_free",
                                   .summary = "AdamW without a schedule",
                                   .source = "Defazio et al. 2024",
                                   .options = free_options,
                                   .slots = free_slots,
                                   .scalars = free_scalars,
                                   .begin = free_begin,
                                   .update = &free_kernels,
                                   .point = &point_kernels,
                                   .adopted = free_adopted};

/* ---- Tests ---- */

static void look_at_d(problem *p, sw_optim *optim, int step) {
    const sw_dtype type = sw_params_type(p->params);
    const double d = sw_optim_scalar(optim, 0, "d");
    assert_true(d == sw_optim_scalar(optim, 1, "d")); /* one number for both groups */
    assert_near("prodigy's d", step, fabs(d - prodigy_d[step]) / prodigy_d[step], prodigy_d_tolerance[type]);
}

static const char *const prodigy_slot_names[] = {"m", "v", "s", "x0", NULL};
static const claim prodigy = {.name = "prodigy, two groups",
                              .estimator = "proto_batch",
                              .rule = "role=bias: proto_prodigy; proto_prodigy weight_decay=0.01",
                              .slots = prodigy_slot_names,
                              .scalars = prodigy_scalars,
                              .steps = 9,
                              .expected = &prodigy_x[0][0],
                              .tolerance = prodigy_x_tolerance,
                              .make = net_problem,
                              .after = look_at_d};

static void test_prodigy_agrees_with_numpy(void **state) {
    (void)state;
    assert_true(prodigy_d[8] > 40 * prodigy_d[0]); /* d has left d0 */
    prove_numpy(&prodigy, SW_F64);
    prove_numpy(&prodigy, SW_F32);
}

static void test_prodigy_survives_skipped_steps(void **state) {
    (void)state;
    assert_int_equal(prove_skips(&prodigy, SW_F64), 9);
    prove_skips(&prodigy, SW_F32);
}

static void test_prodigy_has_equal_bits_on_threads(void **state) {
    (void)state;
    claim large = prodigy;
    large.make = large_problem;
    large.steps = 5;
    large.after = NULL;
    prove_threads(&large, SW_F64);
    prove_threads(&large, SW_F32);
}

/* ‖s‖₁ = 0: `decide` ends the step for all groups, another rule's as well. */
static sw_tensor flat_loss(void *user, sw_tape *tape, const int64_t *ids, int64_t count) {
    problem *p = user;
    return sw_scale(p->plain->loss(p->plain->user, tape, ids, count), ++p->calls == 1 ? 0 : 1);
}

static void test_prodigy_waits_for_a_gradient(void **state) {
    (void)state;
    problem *p = net_problem(SW_F64);
    p->objective.loss = flat_loss;
    claim mixed = {.slots = (const char *const[]){"m", "v", "s", NULL},
                   .scalars = (const char *const[]){"d", "cursor", NULL}};
    sw_optim *optim =
        sw_optim_new_with_options(p->params, &(sw_optim_options){.size = sizeof(sw_optim_options),
                                                                 .estimator = "proto_batch",
                                                                 .rule = "role=weight: adamw; proto_prodigy"});
    assert_non_null(optim);
    sw_optim_steps_per_epoch(optim, &p->objective);
    bytes before = fingerprint(&mixed, optim, p->params);
    assert_int_equal(sw_optim_minimize(optim, &p->objective, NULL), SW_SKIPPED);
    bytes after = fingerprint(&mixed, optim, p->params);
    assert_same_bytes("prodigy without a gradient", &before, &after);
    assert_ok(sw_optim_minimize(optim, &p->objective, NULL));
    free(before.data);
    free(after.data);
    sw_optim_free(optim);
    problem_free(p);
}

/* The evaluation point; asking for it moves nothing. */
static void look_at_point(problem *p, sw_optim *optim, int step) {
    const sw_dtype type = sw_params_type(p->params);
    const size_t size = (size_t)sw_params_dim(p->params) * sw_dtype_size(type);
    void *x = sw_params_x(p->params), *copy = malloc(size);
    memcpy(copy, x, size);
    const void *point = sw_optim_point(optim);
    assert_non_null(point);
    assert_ptr_not_equal(point, x);
    if (p->source.n == SAMPLES) {
        assert_near("schedule-free's point", step, distance(type, point, schedule_free_point[step], NET_DIM),
                    schedule_free_point_tolerance[type]);
        double here, there;
        sw_tape *tape = sw_tape_new();
        assert_ok(sw_objective_value(p->plain, tape, point, NULL, SAMPLES, 0, &there));
        assert_ok(sw_objective_value(p->plain, tape, NULL, NULL, SAMPLES, 0, &here));
        assert_true(step == 0 || here != there); /* after one step y = z = x */
        sw_tape_free(tape);
    }
    assert_memory_equal(x, copy, size);
    free(copy);
}

static const char *const free_slot_names[] = {"z", "v", NULL};
static const claim schedule_free = {.name = "schedule-free adamw",
                                    .estimator = "proto_batch",
                                    .rule = "proto_free lr=0.05 weight_decay=0.02 warmup=50%",
                                    .total = 6, /* warm-up of 3 steps */
                                    .slots = free_slot_names,
                                    .scalars = free_scalars,
                                    .steps = 6,
                                    .expected = &schedule_free_x[0][0],
                                    .tolerance = schedule_free_x_tolerance,
                                    .make = net_problem,
                                    .after = look_at_point};

static void test_schedule_free_agrees_with_numpy(void **state) {
    (void)state;
    prove_numpy(&schedule_free, SW_F64);
    prove_numpy(&schedule_free, SW_F32);
}

static void test_schedule_free_survives_skipped_steps(void **state) {
    (void)state;
    assert_int_equal(prove_skips(&schedule_free, SW_F64), 6);
    prove_skips(&schedule_free, SW_F32);
}

static void test_schedule_free_has_equal_bits_on_threads(void **state) {
    (void)state;
    claim large = schedule_free;
    large.make = large_problem;
    large.steps = 4;
    prove_threads(&large, SW_F64);
    prove_threads(&large, SW_F32);
}

/* After the point was adopted, x, z and the point are equal, and the next mean begins there: z = x - γ u is the first
 * point in it, with weight 1, so that y is between x and z. Without the hook, z would keep its old value. */
static void test_schedule_free_adopts_its_point(void **state) {
    (void)state;
    for (int t = 0; t < 2; t++) {
        const sw_dtype type = t ? SW_F64 : SW_F32;
        problem *p = net_problem(type);
        sw_optim *optim = sw_optim_new_with_options(p->params, &(sw_optim_options){.size = sizeof(sw_optim_options),
                                                                                   .estimator = "proto_batch",
                                                                                   .rule = "proto_free lr=0.05",
                                                                                   .seed = SEED});
        assert_non_null(optim);
        for (int k = 0; k < 5; k++)
            assert_ok(sw_optim_minimize(optim, &p->objective, NULL));
        const size_t size = (size_t)sw_params_dim(p->params) * sw_dtype_size(type);
        void *point = malloc(size), *x = sw_params_x(p->params);
        memcpy(point, sw_optim_point(optim), size);
        assert_true(memcmp(point, x, size) != 0);
        assert_ok(sw_optim_adopt_point(optim));
        assert_memory_equal(x, point, size);
        assert_memory_equal(sw_optim_point(optim), point, size);
        assert_memory_equal(sw_optim_param_slot(optim, sw_params_at(p->params, 0), "z").data, point, size);
        assert_true(sw_optim_scalar(optim, 0, "weight_sum") == 0);
        assert_ok(sw_optim_minimize(optim, &p->objective, NULL));
        const void *z = sw_optim_param_slot(optim, sw_params_at(p->params, 0), "z").data, *mean = sw_optim_point(optim);
        /* y = x + γ (0·β1 - 1) u with c = 1 is z, up to rounding of each; so is the mean. */
        const double u = type == SW_F32 ? 0x1p-24 : 0x1p-53;
        for (int64_t i = 0; i < sw_params_dim(p->params); i++) {
            const double value = vec_get(type, z, i), room = 8 * u * (fabs(value) + fabs(vec_get(type, point, i)));
            assert_true(fabs(vec_get(type, x, i) - value) <= room && fabs(vec_get(type, mean, i) - value) <= room);
        }
        free(point);
        sw_optim_free(optim);
        problem_free(p);
    }
}

/* Two points to evaluate at make no sense: refused at construction, with the reason. */
static void test_schedule_free_refuses_an_average(void **state) {
    (void)state;
    problem *p = net_problem(SW_F64);
    assert_null(sw_optim_new_with_options(
        p->params, &(sw_optim_options){.size = sizeof(sw_optim_options), .rule = "proto_free", .average = "ema"}));
    assert_non_null(strstr(sw_error(), "ema"));
    sw_clear_error();
    problem_free(p);
}

static int set_up(void **state) {
    (void)state;
    return sw_estimator_register(&proto_batch) || sw_rule_register(&proto_prodigy) || sw_rule_register(&proto_free);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prodigy_agrees_with_numpy),
        cmocka_unit_test(test_prodigy_survives_skipped_steps),
        cmocka_unit_test(test_prodigy_has_equal_bits_on_threads),
        cmocka_unit_test(test_prodigy_waits_for_a_gradient),
        cmocka_unit_test(test_schedule_free_agrees_with_numpy),
        cmocka_unit_test(test_schedule_free_survives_skipped_steps),
        cmocka_unit_test(test_schedule_free_has_equal_bits_on_threads),
        cmocka_unit_test(test_schedule_free_adopts_its_point),
        cmocka_unit_test(test_schedule_free_refuses_an_average),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}

#endif
