/* SAM as a wrapper around two groups of parameters: a Muon-like rule for the hidden matrices, AdamW
 * for the rest. P. Foret et al., Sharpness-aware minimization, ICLR 2021; K. Jordan, Muon, 2024. */
#include <swale/kernel.h>

#if SW_KERNEL_FIRST
typedef struct vectors {
    const void *x, *y;
    void *out;
    double a, b;
} vectors;
#endif

#if SW_KERNEL_PASS

/* out = a x + b y */
static void SW_K(combine)(void *args, int64_t begin, int64_t end, double *sums) {
    const vectors *s = args;
    const real *x = s->x, *y = s->y;
    real *out = s->out;
    const real a = (real)s->a, b = (real)s->b;
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        out[i] = a * x[i] + b * y[i];
}

/* sums[0] += ‖x‖² */
static void SW_K(square)(void *args, int64_t begin, int64_t end, double *sums) {
    const real *x = ((const vectors *)args)->x;
    for (int64_t i = begin; i < end; i++)
        sums[0] += (double)x[i] * (double)x[i];
}

#else

#include "prototypes.h"

static const sw_kernels combine_kernels = SW_KERNEL_TABLE(combine), square_kernels = SW_KERNEL_TABLE(square);

/* out = a x + b y */
static void combine(sw_dtype type, int64_t n, double a, const void *x, double b, const void *y, void *out) {
    vectors v = {.x = x, .y = y, .out = out, .a = a, .b = b};
    sw_kernel_run(&combine_kernels, type, &v, n);
}

static double norm(sw_dtype type, int64_t n, const void *x) {
    double sum;
    vectors v = {.x = x};
    sw_kernel_run_sums(&square_kernels, type, &v, n, 1, &sum);
    return sqrt(sum);
}

/* ---- SAM, p = 2: g = ∇f(x + ρ ∇f(x)/‖∇f(x)‖) ---- */

enum { RHO };
static const sw_option sam_options[] = {{.name = "rho", .value = 0.05, .low = 0, .high = 1e3, .help = "radius"},
                                        {.name = "of", .kind = SW_OPTION_SPEC, .help = "the inner estimator"},
                                        {0}};

static sw_status sam_estimate(sw_estimate *e, const void *x, void *g) {
    SW_TRY(sw_estimate_inner(e, x, g));
    double length = norm(e->type, e->dim, g);
    void *w = sw_estimate_scratch(e, 0, 0);
    if (!w)
        return SW_ERR_MEMORY;
    if (length == 0) /* no direction to climb */
        return SW_OK;
    combine(e->type, e->dim, 1, x, e->option[RHO] / length, g, w);
    return sw_estimate_inner(e, w, g);
}

static const sw_estimator proto_sam = {.size = sizeof(sw_estimator),
                                       .name = "proto_sam",
                                       .summary = "the gradient uphill",
                                       .source = "Foret et al. 2021",
                                       .options = sam_options,
                                       .estimate = sam_estimate,
                                       .flags = SW_ESTIMATOR_OBJECTIVE | SW_ESTIMATOR_WRAPPER | SW_ESTIMATOR_AGAIN};

/* ---- Muon ---- */

enum { LR, MOMENTUM, WEIGHT_DECAY };
static const sw_option muon_options[] = {
    {.name = "lr", .value = 0.02, .low = 0, .high = 1e3, .help = "learning rate"},
    {.name = "momentum", .value = 0.95, .low = 0, .high = 1, .open = SW_OPEN_HIGH, .help = "μ"},
    {.name = "weight_decay", .value = 0, .low = 0, .high = 1e3, .help = "λ, decoupled"},
    {0}};
static const sw_slot muon_slots[] = {{.name = "momentum"}, {0}};

/* Rows, columns and the shorter of them. */
typedef struct matrix {
    int64_t m, n, k;
} matrix;

static matrix shape_of(const sw_param *p) {
    matrix s = {p->shape[0], p->rank == 2 ? p->shape[1] : 1, 0};
    s.k = s.m < s.n ? s.m : s.n;
    return s;
}

/* X, its successor, A and B */
static size_t muon_workspace(const sw_param *p, sw_dtype type) {
    matrix s = shape_of(p);
    return (size_t)(2 * s.m * s.n + 2 * s.k * s.k) * sw_dtype_size(type);
}

/* X ← aX + (bA + cA²)X with A = XXᵀ; for a tall X the transposed iteration, with A = XᵀX on the
 * right. */
static void newton_schulz(sw_dtype type, matrix s, const void *X, void *next, void *A, void *B) {
    const double a = 3.4445, b = -4.7750, c = 2.0315;
    size_t size = sw_dtype_size(type);
    bool tall = s.m > s.n;
    sw_gemm(type, tall, !tall, s.k, s.k, tall ? s.m : s.n, 1, X, s.n, X, s.n, 0, A, s.k);
    memcpy(B, A, (size_t)(s.k * s.k) * size);
    sw_gemm(type, false, false, s.k, s.k, s.k, c, A, s.k, A, s.k, b, B, s.k);
    memcpy(next, X, (size_t)(s.m * s.n) * size);
    if (tall)
        sw_gemm(type, false, false, s.m, s.n, s.k, 1, X, s.n, B, s.k, a, next, s.n);
    else
        sw_gemm(type, false, false, s.m, s.n, s.k, 1, B, s.k, X, s.n, a, next, s.n);
}

static sw_status muon_tensor(sw_step *s) {
    if (s->param->rank != 2)
        return sw_fail(SW_ERR_SHAPE, "proto_muon: parameter %s is not a matrix", s->param->name);
    const double lr = s->option[LR], mu = s->option[MOMENTUM], decay = s->option[WEIGHT_DECAY];
    matrix shape = shape_of(s->param);
    size_t size = sw_dtype_size(s->type);
    char *X = s->workspace, *next = X + (size_t)s->count * size;
    char *A = next + (size_t)s->count * size, *B = A + (size_t)(shape.k * shape.k) * size;
    void *m = s->slot[0];
    combine(s->type, s->count, mu, m, 1 - mu, s->g, m); /* m ← μm + (1-μ)g */
    combine(s->type, s->count, 1 - mu, s->g, mu, m, X); /* u = (1-μ)g + μm */
    combine(s->type, s->count, 1 / (norm(s->type, s->count, X) + 1e-7), X, 0, X, X);
    for (int i = 0; i < 5; i++) {
        newton_schulz(s->type, shape, X, next, A, B);
        char *swap = X;
        X = next;
        next = swap;
    }
    double scale = sqrt(shape.m > shape.n ? (double)shape.m / (double)shape.n : 1);
    combine(s->type, s->count, 1 - lr * decay, s->x, -lr * scale, X, s->x);
    return SW_OK;
}

static const sw_rule proto_muon = {.size = sizeof(sw_rule),
                                   .name = "proto_muon",
                                   .summary = "orthogonalised momentum",
                                   .source = "Jordan 2024",
                                   .options = muon_options,
                                   .slots = muon_slots,
                                   .unit = SW_UNIT_TENSOR,
                                   .tensor = muon_tensor,
                                   .workspace = muon_workspace};

/* ---- Tests ---- */

static problem *deep_problem(sw_dtype type) {
    return problem_new(type, deep_sizes, &deep_x0[0], 0, NULL);
}

#define SAM_RULE                                         \
    "role=weight: proto_muon lr=0.02 weight_decay=0.1; " \
    "adamw lr=0.01 beta2=0.95 eps=1e-10 weight_decay=0.05"
static const char *const slot_names[] = {"momentum", "m", "v", NULL};
static const claim sam = {.name = "sam of muon and adamw",
                          .estimator = "proto_sam rho=0.05 of=proto_batch",
                          .rule = SAM_RULE,
                          .slots = slot_names,
                          .scalars = script_scalars,
                          .steps = 6,
                          .expected = &sam_x[0][0],
                          .tolerance = sam_x_tolerance,
                          .make = deep_problem};

static void test_sam_agrees_with_numpy(void **state) {
    (void)state;
    prove_numpy(&sam, SW_F64);
    prove_numpy(&sam, SW_F32);
}

static void test_sam_survives_skipped_steps(void **state) {
    (void)state;
    assert_int_equal(prove_skips(&sam, SW_F64), 2 * sam.steps);
    prove_skips(&sam, SW_F32);
    claim averaged = sam; /* the point to evaluate at stays too */
    averaged.average = "ema decay=0.9";
    prove_skips(&averaged, SW_F64);
}

static void test_sam_has_equal_bits_on_threads(void **state) {
    (void)state;
    claim large = sam;
    large.make = large_problem;
    large.steps = 3;
    prove_threads(&large, SW_F64);
    prove_threads(&large, SW_F32);
}

/* The value that minimize reports is f at x, of the step's samples. */
static void test_sam_value_is_at_x(void **state) {
    (void)state;
    problem *p = deep_problem(SW_F64);
    sw_optim *optim = sw_optim_new_with_options(
        p->params, &(sw_optim_options){
                       .size = sizeof(sw_optim_options), .rule = SAM_RULE, .estimator = sam.estimator, .seed = SEED});
    sw_tape *tape = sw_tape_new();
    for (int k = 0; k < 3; k++) {
        double expected, value;
        assert_ok(sw_objective_value(&p->objective, tape, NULL, batch_ids[k], batch_count[k], 0, &expected));
        assert_ok(sw_optim_minimize(optim, &p->objective, &value));
        assert_true(value == expected);
    }
    sw_tape_free(tape);
    sw_optim_free(optim);
    problem_free(p);
}

/* A wrapper and what it wraps have scratch memory of their own, also two wrappers of one kind. */
static void test_sam_shares_no_scratch(void **state) {
    (void)state;
    claim kept = sam, twice = sam, twice_kept = sam;
    kept.estimator = "proto_sam rho=0.05 of=proto_keeper";
    twice.estimator = "proto_sam rho=0.05 of=proto_sam rho=0.02 of=proto_batch";
    twice_kept.estimator = "proto_sam rho=0.05 of=proto_sam rho=0.02 of=proto_keeper";
    prove_equal(&sam, &kept, SW_F64);
    prove_equal(&twice, &twice_kept, SW_F64);
    assert_int_equal(prove_skips(&twice, SW_F64), 4 * twice.steps);
}

/* A rule that cannot take what it is given says so, and by name. */
static void test_muon_refuses_a_bias(void **state) {
    (void)state;
    problem *p = deep_problem(SW_F64);
    sw_optim *optim = sw_optim_new_with_options(
        p->params, &(sw_optim_options){.size = sizeof(sw_optim_options), .rule = "proto_muon"});
    sw_status status = optim ? sw_optim_minimize(optim, &p->objective, NULL) : sw_error_status();
    assert_int_equal(status, SW_ERR_SHAPE);
    assert_non_null(strstr(sw_error(), "linear1.bias"));
    sw_clear_error();
    sw_optim_free(optim);
    problem_free(p);
}

static int set_up(void **state) {
    (void)state;
    return sw_estimator_register(&proto_batch) || sw_estimator_register(&proto_sam) ||
           sw_estimator_register(&proto_keeper) || sw_rule_register(&proto_muon);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sam_agrees_with_numpy),         cmocka_unit_test(test_sam_survives_skipped_steps),
        cmocka_unit_test(test_sam_has_equal_bits_on_threads), cmocka_unit_test(test_sam_value_is_at_x),
        cmocka_unit_test(test_muon_refuses_a_bias),           cmocka_unit_test(test_sam_shares_no_scratch),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}

#endif
