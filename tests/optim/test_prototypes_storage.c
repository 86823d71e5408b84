/* Training with weights and gradients stored in 16 bits, with the public headers alone: a custom linear operation whose
 * operands are f16 or bf16, and a custom rule whose kernel loads a 16-bit gradient and updates x in f32. The program
 * keeps x in f32 and rounds it to the storage type before each pass. */
#define SW_KERNEL_16_BIT
#include <swale/kernel.h>
#include <swale/rule.h>

#if SW_KERNEL_FIRST
typedef struct heavy_ball_options {
    double lr, momentum;
} heavy_ball_options;
typedef struct heavy_ball_slots {
    void *m;
} heavy_ball_slots;
#endif

#if SW_KERNEL_PASS

/* m ← μ m + g, x ← x - η m: g in its storage type, x and m in the type of x */
static void SW_K(heavy_ball)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    const heavy_ball_options *o = SW_STEP_OPTIONS(s, heavy_ball_options);
    const stored *restrict g = s->g;
    real *restrict x = s->x, *restrict m = SW_STEP_SLOTS(s, heavy_ball_slots)->m;
    const real lr = (real)o->lr, mu = (real)o->momentum;
    (void)sums;
    for (int64_t i = begin; i < end; i++) {
        m[i] = mu * m[i] + SW_LOAD(g, i);
        x[i] -= lr * m[i];
    }
}

#else

#include "helpers.h"

static const sw_option heavy_ball_option_table[] = {
    {.name = "lr", .value = 0.05, .low = 0, .high = 10, .help = "step size"},
    {.name = "momentum", .value = 0.9, .low = 0, .high = 1, .help = "μ"},
    {0}};
static const sw_slot heavy_ball_slot_table[] = {{.name = "m"}, {0}};
SW_MATCH_OPTIONS(heavy_ball_options, heavy_ball_option_table);
SW_MATCH_SLOTS(heavy_ball_slots, heavy_ball_slot_table);
static const sw_kernels heavy_ball_kernels = SW_KERNEL_TABLE(heavy_ball);
static const sw_rule heavy_ball = {.size = sizeof(sw_rule),
                                   .name = "heavy_ball",
                                   .summary = "momentum",
                                   .options = heavy_ball_option_table,
                                   .slots = heavy_ball_slot_table,
                                   .update = &heavy_ball_kernels};

/* ---- y [n, out] in f32 = x [n, in] Wᵀ, x and W [out, in] of one storage type ---- */

static sw_status linear_shape(sw_call *c) {
    const sw_view *x = c->in[0], *w = c->in[1];
    SW_TRY(sw_call_check_float(c));
    return sw_call_set_shape(c, sw_dtype_compute(x->type), 2, (const int64_t[]){x->shape[0], w->shape[0]});
}

static sw_status linear_forward(sw_call *c) {
    const sw_view *x = c->in[0], *w = c->in[1];
    return sw_product_run(&(sw_product){.size = sizeof(sw_product),
                                        .a_type = x->type,
                                        .b_type = w->type,
                                        .c_type = c->out->type,
                                        .b_transposed = true,
                                        .M = x->shape[0],
                                        .N = w->shape[0],
                                        .K = x->shape[1],
                                        .alpha = 1,
                                        .A = x->data,
                                        .B = w->data,
                                        .C = c->out->data,
                                        .lda = x->shape[1],
                                        .ldb = w->shape[1],
                                        .ldc = w->shape[0]});
}

/* dW = dyᵀ x, summed in f32 and rounded to the type of W */
static sw_status linear_vjp(sw_call *c) {
    const sw_view *x = c->in[0], *w = c->in[1];
    void *dw = sw_call_wants_grad(c, 1) ? sw_call_grad(c, 1) : NULL;
    if (sw_call_wants_grad(c, 0))
        return sw_fail(SW_ERR_STATE, "stored_linear: x has no gradient");
    if (!dw)
        return SW_ERR_MEMORY;
    return sw_product_run(&(sw_product){.size = sizeof(sw_product),
                                        .a_type = c->out->type,
                                        .b_type = x->type,
                                        .c_type = w->type,
                                        .a_transposed = true,
                                        .M = w->shape[0],
                                        .N = w->shape[1],
                                        .K = x->shape[0],
                                        .alpha = 1,
                                        .A = c->cotangent,
                                        .B = x->data,
                                        .C = dw,
                                        .lda = w->shape[0],
                                        .ldb = x->shape[1],
                                        .ldc = w->shape[1]});
}

static const sw_op stored_linear = {.size = sizeof(sw_op),
                                    .name = "stored_linear",
                                    .shape = linear_shape,
                                    .forward = linear_forward,
                                    .vjp = linear_vjp,
                                    .vjp_reads = SW_READS(0),
                                    .takes_16_bit = true};

/* ---- Least squares: training finds the weights that produced the targets ---- */

enum { SAMPLES = 64, INPUTS = 12, OUTPUTS = 5, DIM = INPUTS * OUTPUTS, STEPS = 300 };

typedef struct problem {
    sw_array x, y;
    float truth[DIM];
} problem;

/* Samples that the storage type can represent, and their targets x Wᵀ in f32. */
static problem problem_new(sw_dtype type) {
    problem p = {.x = test_filled(type, SW_SHAPE(SAMPLES, INPUTS), -1, 1, 4),
                 .y = test_array(SW_F32, SW_SHAPE(SAMPLES, OUTPUTS))};
    uint64_t seed = 11;
    for (int i = 0; i < DIM; i++)
        p.truth[i] = (float)test_uniform(&seed, -1, 1);
    for (int64_t i = 0; i < SAMPLES; i++)
        for (int64_t k = 0; k < OUTPUTS; k++) {
            double sum = 0;
            for (int64_t j = 0; j < INPUTS; j++)
                sum += test_get(&p.x, i * INPUTS + j) * (double)p.truth[k * INPUTS + j];
            test_set(&p.y, i * OUTPUTS + k, sum);
        }
    return p;
}

/* One step: the 16-bit weights are read, their gradient has 16 bits, and x is updated in f32. Returns the loss. */
static double step_stored(sw_tape *tape, const problem *p, sw_dtype type, float *x, float *m) {
    const heavy_ball_options options = {.lr = 0.1, .momentum = 0.9};
    uint16_t weights[DIM];
    sw_vector_convert(SW_F32, DIM, x, type, weights);
    sw_tensor w = sw_variable(tape, sw_array_view(weights, type, SW_SHAPE(OUTPUTS, INPUTS)));
    sw_tensor z = sw_apply(&stored_linear, NULL, 0, 2, (sw_tensor[]){sw_input(tape, p->x), w});
    sw_tensor loss = sw_mse(z, sw_input(tape, p->y));
    assert_int_equal(sw_value(z).type, SW_F32);
    assert_ok(sw_backward(loss));
    const sw_array g = sw_grad(w);
    assert_int_equal(g.type, type);
    sw_step step = {.step = 1,
                    .option = (const double *)(const void *)&options,
                    .type = SW_F32,
                    .count = DIM,
                    .x = x,
                    .g = g.data,
                    .slot = {m}};
    sw_kernel_run(heavy_ball.update, type, &step, DIM);
    const double value = sw_item(loss);
    sw_tape_reset(tape);
    return value;
}

/* The loss decreases to the error that the rounding of the weights causes: with |W| ≤ 1 and |x| ≤ 1, each of INPUTS
 * products has an error of at most half a unit of W, so that the square of their sum is at most (INPUTS·u)². x itself
 * is more accurate: it is in f32, but its gradients are those of rounded weights, so that its error is at most u. */
static void test_linear_model_in_16_bits(void **state) {
    (void)state;
    static const sw_dtype halves[2] = {SW_F16, SW_BF16};
    assert_ok(sw_rule_register(&heavy_ball));
    for (int k = 0; k < 2; k++) {
        problem p = problem_new(halves[k]);
        const double unit = halves[k] == SW_F16 ? 0x1p-11 : 0x1p-8;
        float x[DIM] = {0}, m[DIM] = {0};
        sw_tape *tape = sw_tape_new();
        double first = 0, last = 0;
        for (int i = 0; i < STEPS; i++) {
            last = step_stored(tape, &p, halves[k], x, m);
            first = i ? first : last;
        }
        assert_true(first > 0.5 && last <= INPUTS * unit * INPUTS * unit);
        for (int i = 0; i < DIM; i++)
            assert_true(fabs((double)x[i] - (double)p.truth[i]) <= 4 * unit);
        expect_no_error();
        sw_tape_free(tape);
        free(p.x.data), free(p.y.data);
    }
}

/* The kernel for a stored gradient updates x exactly as the optimizer does with the same numbers in f32. */
static void test_rule_moves_x_as_in_f32(void **state) {
    (void)state;
    static const sw_dtype halves[2] = {SW_F16, SW_BF16};
    for (int k = 0; k < 2; k++) {
        sw_params *p = small_params(SW_F32);
        sw_optim *optim = NEW_OPTIM(p, .rule = "heavy_ball lr=0.1 momentum=0.9");
        const heavy_ball_options options = {.lr = 0.1, .momentum = 0.9};
        float x[SMALL_DIM], m[SMALL_DIM] = {0};
        memcpy(x, sw_params_x(p), sizeof x);
        for (int i = 0; i < 5; i++) {
            uint16_t g[SMALL_DIM];
            double c[SMALL_DIM];
            for (int j = 0; j < SMALL_DIM; j++) {
                sw_store_element(halves[k], g, j, some_gradient[j] / (3 + i));
                c[j] = sw_load_element(halves[k], g, j);
            }
            assert_ok(step_with(optim, p, c));
            sw_step step = {.step = i + 1,
                            .option = (const double *)(const void *)&options,
                            .type = SW_F32,
                            .count = SMALL_DIM,
                            .x = x,
                            .g = g,
                            .slot = {m}};
            sw_kernel_run(heavy_ball.update, halves[k], &step, SMALL_DIM);
            assert_memory_equal(x, sw_params_x(p), sizeof x);
        }
        sw_optim_free(optim);
        sw_params_free(p);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_linear_model_in_16_bits),
                                       cmocka_unit_test(test_rule_moves_x_as_in_f32)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
