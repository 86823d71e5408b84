/* A network whose gradients are too small for f16: it learns targets in small units. In f16 without a loss scale most
 * elements of its gradient are 0, and it does not learn. With a scale it learns as in f32. In bf16, which has the
 * range of f32, it learns without a scale. */
#include "helpers.h"

#include "core/params/vector.h"

#include <swale/ops.h>

enum { SAMPLES = 64, IN = 8, HIDDEN = 32, OUT = 16, STEPS = 1000 };
static const double UNIT = 1e-5; /* of the targets */

typedef struct network {
    sw_params *params;
    sw_param *w0, *b0, *w1;
    sw_objective f;
    float x[SAMPLES * IN], y[SAMPLES * OUT];
} network;

static sw_tensor network_loss(void *user, sw_tape *tape, const int64_t *ids, int64_t count) {
    const network *n = user;
    const sw_dtype storage = sw_params_storage(n->params);
    sw_tensor x = sw_empty(tape, SW_F32, SW_SHAPE(count, IN)), y = sw_empty(tape, SW_F32, SW_SHAPE(count, OUT));
    float *to_x = sw_value(x).data, *to_y = sw_value(y).data;
    for (int64_t i = 0; to_x && to_y && i < count; i++) {
        memcpy(to_x + i * IN, n->x + ids[i] * IN, IN * sizeof *to_x);
        memcpy(to_y + i * OUT, n->y + ids[i] * OUT, OUT * sizeof *to_y);
    }
    sw_tensor h = sw_tanh(sw_linear(sw_cast(x, storage), sw_param_use(tape, n->w0), sw_param_use(tape, n->b0)));
    return sw_mse(sw_matmul(h, sw_param_use(tape, n->w1)), y);
}

/* The targets are those of another network of this kind, times UNIT. The last layer begins with zeros. */
static network *network_new(sw_dtype storage) {
    network *n = calloc(1, sizeof *n);
    uint64_t random = 9;
    assert_non_null(n);
    n->params = sw_params_new_with_options(&(sw_params_options){.size = sizeof(sw_params_options), .storage = storage});
    n->w0 = sw_params_add(n->params, "w0", SW_SHAPE(HIDDEN, IN), NULL);
    n->b0 = sw_params_add(n->params, "b0", SW_SHAPE(HIDDEN), NULL);
    n->w1 = sw_params_add(n->params, "w1", SW_SHAPE(HIDDEN, OUT), NULL);
    assert_ok(sw_params_build(n->params));
    float *w0 = sw_param_value(n->w0).data;
    for (int i = 0; i < HIDDEN * IN; i++)
        w0[i] = (float)test_uniform(&random, -0.6, 0.6);
    sw_params_mark_changed(n->params);
    for (int i = 0; i < SAMPLES * IN; i++)
        n->x[i] = (float)test_uniform(&random, -1, 1);
    for (int k = 0; k < OUT; k++) {
        double a[IN];
        for (int j = 0; j < IN; j++)
            a[j] = test_uniform(&random, -1, 1);
        for (int i = 0; i < SAMPLES; i++) {
            double sum = 0;
            for (int j = 0; j < IN; j++)
                sum += a[j] * (double)n->x[i * IN + j];
            n->y[i * OUT + k] = (float)(UNIT * sin(sum));
        }
    }
    n->f = (sw_objective){.size = sizeof n->f, .n = SAMPLES, .params = n->params, .user = n, .loss = network_loss};
    return n;
}

typedef struct outcome {
    double first, last; /* losses */
    double scale;
    int64_t skipped, zeros; /* zeros: elements of w1's first gradient that are 0 */
} outcome;

static outcome train(sw_dtype storage, const char *rule, const char *loss_scale) {
    network *n = network_new(storage);
    outcome r = {.zeros = 0};
    sw_train_result result;
    sw_tape *tape = sw_tape_new();
    sw_optim *o = NEW_OPTIM(n->params, .rule = rule, .estimator = "full", .schedule = "linear", .total_steps = STEPS,
                            .loss_scale = loss_scale);
    assert_ok(sw_objective_gradient(&n->f, tape, NULL, NULL, SAMPLES, 0, &r.first, sw_params_gradient(n->params)));
    const sw_array dw1 = sw_param_grad(n->w1);
    for (int64_t i = 0; i < HIDDEN * OUT; i++)
        r.zeros += test_get(&dw1, i) == 0;
    assert_ok(sw_train(&n->f, o, &SW_OPTIONS(sw_train_options, .steps = STEPS), &result));
    if (strstr(rule, "adam")) /* with and without a scale */
        assert_true(sw_memory_per_parameter(sw_params_dim(n->params)) == 16);
    assert_ok(sw_objective_value(&n->f, tape, NULL, NULL, SAMPLES, 0, &r.last));
    r.scale = sw_optim_loss_scale(o);
    r.skipped = result.skipped;
    print_message("%s, %s, loss_scale %s: %.3g to %.3g; scale %g, %d skipped, %d zeros\n", sw_dtype_name(storage), rule,
                  loss_scale ? loss_scale : "by type", r.first, r.last, r.scale, (int)r.skipped, (int)r.zeros);
    sw_tape_free(tape);
    sw_optim_free(o);
    sw_params_free(n->params);
    free(n);
    return r;
}

static bool is_near(double a, double b) {
    return fabs(a - b) <= 0.05 * b;
}

/* The first cotangents are 2·1e-5/(64·16) = 2e-8 or less: 0 in f16, where numbers below 2^-25 = 3e-8 are 0. Times 2^16
 * they are about 1e-3, with all digits of f16. A run that learns reduces the loss to less than a twenty-fifth. Because
 * the learning rate falls to 0, it ends near the same point in every type: the final losses differ by 1 % (measured
 * with sgd and adam, and with four kernels of OpenBLAS for f32), and must be within 5 %. */
static void test_tiny_gradients_need_a_scale_in_f16(void **state) {
    (void)state;
    static const char *const rules[] = {"sgd lr=8 momentum=0.9", "adam lr=4e-6 eps=1e-12"};
    for (size_t k = 0; k < sizeof rules / sizeof *rules; k++) {
        const outcome f32 = train(SW_F32, rules[k], NULL), plain = train(SW_F16, rules[k], "none"),
                      scaled = train(SW_F16, rules[k], NULL), constant = train(SW_F16, rules[k], "65536"),
                      bf16 = train(SW_BF16, rules[k], NULL);
        assert_true(f32.last < 0.04 * f32.first);
        assert_true(plain.zeros == HIDDEN * OUT && plain.last >= plain.first * (1 - 0x1p-10));
        assert_true(scaled.zeros == 0 && is_near(scaled.last, f32.last));
        assert_true(constant.last == scaled.last); /* the same bits */
        assert_true(bf16.zeros == 0 && is_near(bf16.last, f32.last));
    }
}

static void test_scaled_training_has_the_same_bits_with_all_threads(void **state) {
    (void)state;
    double first = 0;
    for (int threads = 1; threads <= 8; threads *= 2) {
        assert_ok(sw_set_threads(threads));
        const outcome r = train(SW_F16, "adam lr=2e-6 eps=1e-12", NULL);
        first = threads == 1 ? r.last : first;
        assert_true(r.last == first);
    }
}

int main(void) {
#define TEST(name) cmocka_unit_test_teardown(name, test_no_error_left)
    const struct CMUnitTest tests[] = {TEST(test_tiny_gradients_need_a_scale_in_f16),
                                       TEST(test_scaled_training_has_the_same_bits_with_all_threads)};
    return cmocka_run_group_tests_name("tiny_gradients", tests, NULL, NULL);
}
