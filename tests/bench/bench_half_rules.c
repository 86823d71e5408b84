/* Compares steps of rules with parameters in f16 and bf16 with the same steps in f32, without the time of a backward
 * pass: 1e7 parameters, where memory limits the speed, and 1e5, which the caches hold. The types alternate in one run,
 * on one thread; figures are medians of ratios. A step moves, in bytes for each parameter, with sgd and with adam:
 *
 *                     x       states        gradient: norm and rule    copy    sum
 *     f32             4 + 4   0 or 8 + 8    4 + 4                      0       16 or 32
 *     f16, bf16       4 + 4   0 or 8 + 8    2 + 2                      2       14 or 30
 */
#include "bench.h"

#include <stdint.h>
#include <swale/swale.h>

enum { ROUNDS = 15, TYPES = 3 };

static const sw_dtype types[TYPES] = {SW_F32, SW_F16, SW_BF16};

/* A loss whose gradient is in the block already: its vjp lets the block be written and writes nothing. */
static sw_status ready_shape(sw_call *c) {
    return sw_call_set_shape(c, SW_F32, 0, NULL);
}
static sw_status ready_forward(sw_call *c) {
    *(float *)c->out->data = 0;
    return SW_OK;
}
static sw_status ready_vjp(sw_call *c) {
    return sw_call_grad(c, 0) ? SW_OK : SW_ERR_MEMORY;
}
static const sw_op ready = {.size = sizeof(sw_op),
                            .name = "ready",
                            .shape = ready_shape,
                            .forward = ready_forward,
                            .vjp = ready_vjp,
                            .takes_16_bit = true};

typedef struct stepper {
    sw_params *params;
    sw_tape *tape;
    sw_optim *optim;
} stepper;

static stepper stepper_new(sw_dtype type, const char *rule, int64_t n) {
    stepper s = {.params = sw_params_new(type, 1), .tape = sw_tape_new()};
    sw_params_add(s.params, "w", 1, &n, NULL);
    sw_params_build(s.params);
    s.optim = sw_optim_new_with_options(s.params, &SW_OPTIONS(sw_optim_options, .rule = rule, .loss_scale = "none"));
    sw_gradient *g = sw_params_gradient(s.params);
    for (int64_t i = 0; sw_gradient_data(g) && i < n; i++)
        sw_store_element(sw_gradient_type(g), sw_gradient_data(g), i, (double)(i % 17) / 17 - 0.5);
    return s;
}

static void stepper_free(stepper *s) {
    sw_optim_free(s->optim);
    sw_tape_free(s->tape);
    sw_params_free(s->params);
}

/* Seconds of a step. */
static double step_time(stepper *s, int steps) {
    double seconds = 0;
    for (int i = 0; i < steps; i++) {
        sw_backward(sw_apply(&ready, NULL, 0, 1, (sw_tensor[]){sw_param_use(s->tape, sw_params_at(s->params, 0))}));
        const double start = now();
        sw_optim_step(s->optim);
        seconds += now() - start;
        sw_tape_reset(s->tape);
    }
    return seconds / steps;
}

static void compare(const char *rule, int64_t n, int steps, double target) {
    stepper s[TYPES];
    double seconds[TYPES][ROUNDS], ratio[TYPES][ROUNDS];
    for (int i = 0; i < TYPES; i++) {
        s[i] = stepper_new(types[i], rule, n);
        step_time(&s[i], steps);
    }
    for (int r = 0; r < ROUNDS; r++)
        for (int i = 0; i < TYPES; i++) {
            seconds[i][r] = step_time(&s[i], steps);
            ratio[i][r] = seconds[i][r] / seconds[0][r];
        }
    for (int i = 0; i < TYPES; i++) {
        char line[64];
        snprintf(line, sizeof line, "%s_1e%d_%s", rule, n > 1000000 ? 7 : 5, sw_dtype_name(types[i]));
        note("%s: %.3f ns a parameter", line, median(seconds[i], ROUNDS) * 1e9 / (double)n);
        if (i > 0)
            figure(line, median(ratio[i], ROUNDS), target, AT_MOST);
        stepper_free(&s[i]);
    }
}

int main(void) {
    sw_set_threads(1);
    compare("adam", 10000000, 1, 1.1);
    compare("sgd", 10000000, 1, 1.2);
    compare("adam", 100000, 100, 1.2);
    compare("sgd", 100000, 100, 1.35);
    if (sw_error())
        fprintf(stderr, "%s\n", sw_error());
    return sw_error() != NULL;
}
