/* Compares training steps in f16 and bf16 with the same steps in f32: 784-100-10 with batch 64, and 784-1024-1024-10
 * with batch 256, adam, gathering included, on one thread and on two. The three types alternate in one run; figures are
 * medians of ratios. The target of the large network applies if the processor multiplies bf16 faster than f32: if
 * the kernel level is avx512bf16 or amx. */
#include "bench.h"

#include <string.h>
#include <swale/swale.h>

enum { ROUNDS = 21, TYPES = 3 };

static const sw_dtype types[TYPES] = {SW_F32, SW_F16, SW_BF16};

typedef struct trainer {
    sw_model *model;
    sw_module *mlp;
    sw_optim *optim;
    sw_loader *loader;
    sw_tape *tape;
    double loss; /* of the last step: shows that the work was done */
} trainer;

/* hidden: the units of each hidden layer, up to a 0. */
static trainer trainer_new(sw_source *source, sw_dtype type, const int *hidden, int batch) {
    trainer t = {.model = sw_model_new(type, 1), .loader = sw_loader_new(source, batch, NULL), .tape = sw_tape_new()};
    sw_module *layers[8];
    int count = 0, inputs = 784;
    for (; *hidden; inputs = *hidden++) {
        layers[count++] = sw_nn_linear(t.model, inputs, *hidden);
        layers[count++] = sw_nn_relu(t.model);
    }
    layers[count++] = sw_nn_linear(t.model, inputs, 10);
    t.mlp = sw_nn_sequential_array(t.model, count, layers);
    t.optim = sw_optim_new(sw_model_build(t.model, t.mlp), "adam lr=1e-3");
    return t;
}

static void trainer_free(trainer *t) {
    sw_tape_free(t->tape);
    sw_loader_free(t->loader);
    sw_optim_free(t->optim);
    sw_model_free(t->model);
}

/* Seconds of a step. */
static double step_time(trainer *t, int steps) {
    const double start = now();
    for (int i = 0; i < steps; i++) {
        sw_batch b;
        if (!sw_loader_next(t->loader, t->tape, &b))
            sw_loader_next(t->loader, t->tape, &b);
        sw_tensor loss = sw_cross_entropy(sw_forward(t->mlp, b.x), b.y);
        sw_backward(loss);
        sw_optim_step(t->optim);
        if (i + 1 == steps)
            t->loss = sw_item(loss);
        sw_tape_reset(t->tape);
    }
    return (now() - start) / steps;
}

/* Whether products of bf16 are faster than those of f32 on this processor. */
static bool bf16_is_fast(void) {
    return strcmp(sw_cpu_name(), "avx512bf16") == 0 || strcmp(sw_cpu_name(), "amx") == 0;
}

/* bf16_target: on a processor that multiplies bf16; else target holds for both types (0: reported only). */
static void compare(sw_source *source, const char *name, const int *hidden, int batch, int steps, double target,
                    double bf16_target) {
    trainer trainers[TYPES];
    double seconds[TYPES][ROUNDS], ratio[TYPES][ROUNDS];
    for (int i = 0; i < TYPES; i++) {
        trainers[i] = trainer_new(source, types[i], hidden, batch);
        step_time(&trainers[i], steps);
    }
    for (int r = 0; r < ROUNDS; r++)
        for (int i = 0; i < TYPES; i++) {
            seconds[i][r] = step_time(&trainers[i], steps);
            ratio[i][r] = seconds[i][r] / seconds[0][r];
        }
    for (int i = 0; i < TYPES; i++) {
        char line[64];
        snprintf(line, sizeof line, "%s_%s", name, sw_dtype_name(types[i]));
        note("%s: %.1f us a step, loss %.3f", line, median(seconds[i], ROUNDS) * 1e6, trainers[i].loss);
        const double wanted = types[i] == SW_BF16 && bf16_is_fast() ? bf16_target : target;
        if (i > 0 && wanted > 0)
            figure(line, median(ratio[i], ROUNDS), wanted, AT_MOST);
        else if (i > 0)
            report(line, median(ratio[i], ROUNDS));
        trainer_free(&trainers[i]);
    }
}

int main(void) {
    sw_source *source = sw_fashion_mnist(NULL, SW_TRAINING);
    note("%s", sw_build_info());
    for (int threads = 1; threads <= 2; threads++) {
        sw_set_threads(threads);
        compare(source, threads == 1 ? "step_1_thread" : "step_2_threads", (const int[]){100, 0}, 64, 60, 1.3, 1.3);
        compare(source, threads == 1 ? "large_step_1_thread" : "large_step_2_threads", (const int[]){1024, 1024, 0},
                256, 3, 0, 0.6);
    }
    sw_source_free(source);
    if (sw_error())
        fprintf(stderr, "%s\n", sw_error());
    return sw_error() != NULL;
}
