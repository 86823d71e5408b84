/* A custom operation, layer, rule and estimator in one file outside the library. Together they learn y = sin 3x from
 * 256 points. Compile such a file with -O3 -I. and the flags of `pkg-config --cflags swale-kernels`.
 *
 *   operation  swish(x) = x·σ(x)                          (Ramachandran, Zoph, Le 2017)
 *   layer      swish
 *   rule       signum: m ← μ m + (1 - μ) g, θ ← θ - η sign m   (Bernstein et al., ICML 2018)
 *   estimator  and_mask: the mean of the gradients of the batch's two halves where their signs agree,
 *              0 elsewhere                                 (Parascandolo et al., ICLR 2021)
 */
#include <swale/kernel.h>
#include <swale/optim.h>

#if SW_KERNEL_FIRST /* ---- Options and state of the rule, in the order of its tables ---- */

typedef struct signum_options {
    double lr, momentum;
} signum_options;

typedef struct signum_slots {
    void *momentum;
} signum_slots;

#endif
#if SW_KERNEL_PASS /* ---- Kernels: compiled for f32 and f64, and for each instruction set ---- */

/* args: {x, out} or {x, cotangent, out} */
static void SW_K(swish)(void *args, int64_t begin, int64_t end, double *sums) {
    void **a = args;
    const real *restrict x = a[0];
    real *restrict out = a[1];
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        out[i] = x[i] * SW_K(sw_k_sigmoid)(x[i]);
}

static void SW_K(swish_vjp)(void *args, int64_t begin, int64_t end, double *sums) {
    void **a = args;
    const real *restrict x = a[0], *restrict dy = a[1];
    real *restrict dx = a[2];
    (void)sums;
    for (int64_t i = begin; i < end; i++) {
        const real s = SW_K(sw_k_sigmoid)(x[i]);
        dx[i] = dy[i] * (s + x[i] * s * (1 - s));
    }
}

static void SW_K(signum)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    const signum_options *o = SW_STEP_OPTIONS(s, signum_options);
    const real *restrict g = s->g;
    real *restrict x = s->x, *restrict m = SW_STEP_SLOTS(s, signum_slots)->momentum;
    const real lr = (real)o->lr, mu = (real)o->momentum;
    (void)sums;
    for (int64_t i = begin; i < end; i++) {
        m[i] = mu * m[i] + (1 - mu) * g[i];
        x[i] -= lr * (m[i] > 0 ? 1 : m[i] < 0 ? -1 : (real)0);
    }
}

/* args: {g1, g2, out} */
static void SW_K(and_mask)(void *args, int64_t begin, int64_t end, double *sums) {
    void **a = args;
    const real *restrict g1 = a[0], *restrict g2 = a[1];
    real *restrict out = a[2];
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        out[i] = g1[i] * g2[i] > 0 ? (g1[i] + g2[i]) / 2 : 0;
}

#else /* ---- The rest: compiled once ---- */

#include <stdio.h>
#include <swale/swale.h>

/* ---- The operation: shape, forward and vjp side by side ---- */

static const sw_kernels swish_kernels = SW_KERNEL_TABLE(swish), swish_vjp_kernels = SW_KERNEL_TABLE(swish_vjp);

static sw_status swish_shape(sw_call *c) {
    SW_TRY(sw_call_check_real(c));
    return sw_call_set_shape_like(c, 0);
}

static sw_status swish_forward(sw_call *c) {
    void *args[] = {c->in[0]->data, c->out->data};
    sw_kernel_run(&swish_kernels, c->out->type, args, c->out->count);
    return SW_OK;
}

static sw_status swish_vjp(sw_call *c) {
    void *dx = sw_call_grad(c, 0), *args[] = {c->in[0]->data, (void *)(uintptr_t)c->cotangent, dx};
    if (!dx)
        return SW_ERR_MEMORY;
    sw_kernel_run(&swish_vjp_kernels, c->out->type, args, c->out->count);
    return SW_OK;
}

static const sw_op swish_op = {.size = sizeof(sw_op),
                               .name = "swish",
                               .shape = swish_shape,
                               .forward = swish_forward,
                               .vjp = swish_vjp,
                               .vjp_reads = SW_READS(0)};

static sw_tensor swish(sw_tensor x) {
    return sw_apply(&swish_op, NULL, 0, 1, &x);
}

/* ---- The layer ---- */

static sw_tensor layer_forward(sw_module *m, sw_tensor x) {
    (void)m;
    return swish(x);
}

static const sw_module_type swish_layer = {.size = sizeof(sw_module_type), .name = "swish", .forward = layer_forward};

/* ---- The rule: a table and a kernel ---- */

static const sw_kernels signum_kernels = SW_KERNEL_TABLE(signum);
static const sw_option signum_option_table[] = {
    {.name = "lr", .value = 1e-3, .low = 0, .high = 1, .help = "learning rate"},
    {.name = "momentum", .value = 0.9, .low = 0, .high = 1, .open = SW_OPEN_HIGH, .help = "μ"},
    {0}};
static const sw_slot signum_slot_table[] = {{.name = "momentum"}, {0}};
SW_MATCH_OPTIONS(signum_options, signum_option_table);
SW_MATCH_SLOTS(signum_slots, signum_slot_table);

/* Bounds of a step: each element of x moves by at most lr, and m does not exceed g. With this function, the library
 * needs no copies to keep out Inf and NaN. */
static void signum_reach(const sw_step *s, sw_bounds *b) {
    const signum_options *o = SW_STEP_OPTIONS(s, signum_options);
    double *m = &SW_SLOT_BOUND(b, signum_slots, momentum);
    b->largest += o->lr + *m + b->g;
    *m = o->momentum * *m + b->g;
    b->x += o->lr * sqrt((double)b->count);
}
static const sw_rule signum = {.size = sizeof(sw_rule),
                               .name = "signum",
                               .summary = "the sign of the momentum",
                               .options = signum_option_table,
                               .slots = signum_slot_table,
                               .flags = SW_RULE_LINEAR,
                               .update = &signum_kernels,
                               .reach = signum_reach};

/* ---- The estimator: two gradients per step ---- */

static const sw_kernels and_mask_kernels = SW_KERNEL_TABLE(and_mask);
/* clang-format off */
static const sw_option and_mask_options[] = {
    {.name = "batch", .kind = SW_OPTION_INTEGER, .value = 32, .low = 2, .high = 1e9,
     .help = "samples in a batch of two halves"},
    {0}};
/* clang-format on */

static sw_status and_mask_estimate(sw_estimate *e, const void *x, void *g) {
    int64_t half = e->count / 2;
    double first, second;
    void *g1 = sw_estimate_scratch(e, 0, 0), *g2 = sw_estimate_scratch(e, 1, 0);
    if (!g1 || !g2)
        return SW_ERR_MEMORY;
    SW_TRY(sw_estimate_gradient(e, x, e->ids, half, &first, g1));
    SW_TRY(sw_estimate_gradient(e, x, e->ids + half, e->count - half, &second, g2));
    e->value = (first + second) / 2;
    void *args[] = {g1, g2, g};
    sw_kernel_run(&and_mask_kernels, e->type, args, e->dim);
    return SW_OK;
}

static const sw_estimator and_mask = {.size = sizeof(sw_estimator),
                                      .name = "and_mask",
                                      .summary = "the gradient where two half batches agree in sign, else 0",
                                      .options = and_mask_options,
                                      .flags = SW_ESTIMATOR_OBJECTIVE,
                                      .estimate = and_mask_estimate};

/* ---- Training with all of them ---- */

enum { POINTS = 256 };
typedef struct problem {
    sw_module *net;
    float x[POINTS], y[POINTS];
} problem;

static sw_tensor loss(void *user, sw_tape *tape, const int64_t *ids, int64_t count) {
    const problem *p = user;
    sw_tensor x = sw_empty(tape, SW_F32, SW_SHAPE(count, 1));
    sw_tensor y = sw_empty(tape, SW_F32, SW_SHAPE(count, 1));
    float *to_x = sw_value(x).data, *to_y = sw_value(y).data;
    for (int64_t i = 0; to_x && to_y && i < count; i++) {
        to_x[i] = p->x[ids[i]];
        to_y[i] = p->y[ids[i]];
    }
    return sw_mse(sw_forward(p->net, x), y);
}

/* Compares the derivative of the operation with central differences. */
static sw_tensor check(void *user, sw_tape *tape, const sw_tensor *inputs) {
    (void)user, (void)tape;
    return swish(inputs[0]);
}

int main(int argc, char **argv) {
    if (argc > 1)
        return fprintf(stderr, "extend takes no arguments, but got %s\n", argv[1]), 2;
    static problem p;
    double at[5] = {-3, -0.5, 0, 0.7, 20}, worst, value = 0;
    sw_array points = sw_array_view(at, SW_F64, SW_SHAPE(5));
    if (sw_gradcheck(check, NULL, 1, &points, NULL, &worst) == SW_OK)
        printf("gradcheck: %.1g of the allowed error\n", worst);

    sw_rule_register(&signum);
    sw_estimator_register(&and_mask);
    sw_model *model = sw_model_new(SW_F32, 1);
    p.net = sw_nn_sequential(model, sw_nn_linear(model, 1, 32), sw_module_new(model, &swish_layer, 0),
                             sw_nn_linear(model, 32, 32), sw_module_new(model, &swish_layer, 0),
                             sw_nn_linear(model, 32, 1), NULL);
    for (int i = 0; i < POINTS; i++) {
        p.x[i] = 2 * (float)i / POINTS - 1;
        p.y[i] = sinf(3 * p.x[i]);
    }
    sw_params *params = sw_model_build(model, p.net);
    const sw_objective f = SW_OPTIONS(sw_objective, .n = POINTS, .params = params, .user = &p, .loss = loss);
    const sw_optim_options how = SW_OPTIONS(sw_optim_options, .estimator = "and_mask batch=64",
                                            .rule = "signum lr=0.003", .schedule = "cosine", .total_steps = 2000);
    sw_optim *optim = sw_optim_new_with_options(params, &how);
    sw_tape *tape = sw_tape_new();
    for (int i = 0; optim && i < 2000; i++)
        sw_optim_minimize(optim, &f, NULL);
    if (tape && optim)
        sw_objective_value(&f, tape, NULL, NULL, POINTS, 0, &value);
    if (!sw_error())
        printf("mse %.6f\n", value);
    if (fflush(stdout) != 0)
        sw_fail(SW_ERR_IO, "the result could not be printed");
    if (sw_error())
        fprintf(stderr, "extend: %s\n", sw_error());
    sw_tape_free(tape);
    sw_optim_free(optim);
    sw_model_free(model);
    return sw_error() != NULL;
}

#endif
