/* Compares the training step of 784-100-10, batch 64, with the matrix products of the same step alone, called through
 * OpenBLAS; measures the speed-up by a second thread, and the time of an operation on tiny tensors. Every figure is a
 * ratio of two sides that alternate in one run, a few steps of each per round, as the median over rounds. */
#include "bench.h"

#include <cblas.h>
#include <math.h>
#include <swale/swale.h>

enum { BATCH = 64, INPUTS = 784, HIDDEN = 100, CLASSES = 10, ROUNDS = 41, STEPS = 60 };

/* ---- One side: the bare products, in the shapes of the step, on ordinary memory ---- */

typedef struct products {
    float *x, *w1, *h, *w2, *z, *dz, *dw2, *dh, *dw1;
} products;

static float *floats(size_t n) {
    float *p = aligned_alloc(64, (n * sizeof *p + 63) / 64 * 64);
    for (size_t i = 0; i < n; i++)
        p[i] = (float)(i % 17) / 17 - 0.5f;
    return p;
}

static products make_products(void) {
    return (products){floats(BATCH * INPUTS),   floats(HIDDEN * INPUTS), floats(BATCH * HIDDEN),
                      floats(CLASSES * HIDDEN), floats(BATCH * CLASSES), floats(BATCH * CLASSES),
                      floats(CLASSES * HIDDEN), floats(BATCH * HIDDEN),  floats(HIDDEN * INPUTS)};
}

static void bare_step(const products *p) {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, BATCH, HIDDEN, INPUTS, 1, p->x, INPUTS, p->w1, INPUTS, 0, p->h,
                HIDDEN);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, BATCH, CLASSES, HIDDEN, 1, p->h, HIDDEN, p->w2, HIDDEN, 0,
                p->z, CLASSES);
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, CLASSES, HIDDEN, BATCH, 1, p->dz, CLASSES, p->h, HIDDEN, 0,
                p->dw2, HIDDEN);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, BATCH, HIDDEN, CLASSES, 1, p->dz, CLASSES, p->w2, HIDDEN, 0,
                p->dh, HIDDEN);
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, HIDDEN, INPUTS, BATCH, 1, p->dh, HIDDEN, p->x, INPUTS, 0,
                p->dw1, INPUTS);
}

static double bare_time(const products *p, int threads) {
    openblas_set_num_threads(threads);
    double start = now();
    for (int i = 0; i < STEPS; i++)
        bare_step(p);
    double time = (now() - start) / STEPS;
    openblas_set_num_threads(1);
    return time;
}

/* ---- The other: swale's whole step, gather included ---- */

typedef struct trainer {
    sw_source *source;
    sw_model *model;
    sw_module *mlp;
    sw_optim *optim;
    sw_loader *loader;
    sw_tape *tape;
} trainer;

static trainer make_trainer(const char *rule) {
    trainer t = {.source = sw_fashion_mnist(NULL, SW_TRAINING), .model = sw_model_new(SW_F32, 1)};
    t.mlp = sw_nn_sequential(t.model, sw_nn_linear(t.model, INPUTS, HIDDEN), sw_nn_relu(t.model),
                             sw_nn_linear(t.model, HIDDEN, CLASSES), NULL);
    t.optim = sw_optim_new(sw_model_build(t.model, t.mlp), rule);
    t.loader = sw_loader_new(t.source, BATCH, NULL);
    t.tape = sw_tape_new();
    return t;
}

static void free_trainer(trainer *t) {
    sw_tape_free(t->tape);
    sw_loader_free(t->loader);
    sw_optim_free(t->optim);
    sw_model_free(t->model);
    sw_source_free(t->source);
}

static double swale_time(trainer *t) {
    double start = now();
    for (int i = 0; i < STEPS; i++) {
        sw_batch b;
        if (!sw_loader_next(t->loader, t->tape, &b))
            sw_loader_next(t->loader, t->tape, &b);
        sw_backward(sw_cross_entropy(sw_forward(t->mlp, b.x), b.y));
        sw_optim_step(t->optim);
        sw_tape_reset(t->tape);
    }
    return (now() - start) / STEPS;
}

/* ---- Figures ---- */

static void against_bare(const char *name, const char *rule, int threads, double target) {
    trainer t = make_trainer(rule);
    products p = make_products();
    double ratio[ROUNDS], ours[ROUNDS], bare[ROUNDS];
    sw_set_threads(threads);
    swale_time(&t), bare_time(&p, threads);
    for (int r = 0; r < ROUNDS; r++) {
        if (threads > 1)
            settle(), swale_time(&t);
        ours[r] = swale_time(&t);
        if (threads > 1)
            settle(), bare_time(&p, threads);
        bare[r] = bare_time(&p, threads);
        ratio[r] = ours[r] / bare[r];
    }
    note("%s: swale %.1f us, bare products %.1f us a step", name, median(ours, ROUNDS) * 1e6,
         median(bare, ROUNDS) * 1e6);
    figure(name, median(ratio, ROUNDS), target, AT_MOST);
    free_trainer(&t);
}

/* Two threads against one, in rounds in which the machine itself gave two cores. */
static void speed_up(const char *name, const char *rule, double target) {
    trainer t = make_trainer(rule);
    double all[ROUNDS], sound[ROUNDS], scaling[ROUNDS];
    int count = 0;
    sw_set_threads(2), settle(), swale_time(&t);
    for (int r = 0; r < ROUNDS; r++) {
        double before = fma_scaling(), one, two;
        sw_set_threads(1), swale_time(&t);
        one = swale_time(&t);
        sw_set_threads(2), swale_time(&t);
        two = swale_time(&t);
        all[r] = one / two;
        scaling[r] = fmin(before, fma_scaling());
        if (scaling[r] >= 1.9)
            sound[count++] = one / two;
    }
    note("%s: %d of %d rounds had an FMA scaling of 1.9 or more (median %.2f); over all rounds %.2f", name, count,
         ROUNDS, median(scaling, ROUNDS), median(all, ROUNDS));
    if (count >= 10)
        figure(name, median(sound, count), target, AT_LEAST);
    else
        report(name, median(all, ROUNDS));
    free_trainer(&t);
}

/* Operations on one number each; the leaf is the second input, so that each adds to what is there. */
static sw_tensor mixed(sw_tensor y, sw_tensor x) { /* two inputs and one input in turn */
    return sw_relu(sw_mul(sw_scale(sw_add(y, x), 0.5), x));
}

static sw_tensor pairs(sw_tensor y, sw_tensor x) { /* every input wants a gradient: the worst case */
    return sw_mul(sw_add(sw_mul(sw_add(y, x), x), x), x);
}

static void tiny_operations(const char *forward_name, const char *backward_name,
                            sw_tensor (*four)(sw_tensor, sw_tensor)) {
    enum { OPS = 2000 };
    double forward[ROUNDS], backward[ROUNDS];
    float one = 1;
    sw_tape *tape = sw_tape_new();
    for (int r = -2; r < ROUNDS; r++) {
        sw_tape_reset(tape);
        sw_tensor x = sw_variable(tape, sw_array_view(&one, SW_F32, 0, NULL)), y = x;
        double start = now();
        for (int i = 0; i < OPS; i += 4)
            y = four(y, x);
        double middle = now();
        sw_backward(y);
        double end = now();
        if (r >= 0) {
            forward[r] = (middle - start) / OPS * 1e9;
            backward[r] = (end - middle) / OPS * 1e9;
        }
    }
    figure(forward_name, median(forward, ROUNDS), 25, AT_MOST);
    figure(backward_name, median(backward, ROUNDS), 25, AT_MOST);
    sw_tape_free(tape);
}

int main(void) {
    note("%s", sw_build_info());
    against_bare("step_sgd_1_thread", "sgd lr=0.1", 1, 1.15);
    against_bare("step_adam_1_thread", "adam lr=1e-3", 1, 1.25);
    against_bare("step_sgd_2_threads", "sgd lr=0.1", 2, 1.0);
    against_bare("step_adam_2_threads", "adam lr=1e-3", 2, 1.0);
    speed_up("speedup_sgd_2_threads", "sgd lr=0.1", 1.6);
    speed_up("speedup_adam_2_threads", "adam lr=1e-3", 1.6);
    tiny_operations("tiny_op_forward_ns", "tiny_op_backward_ns", mixed);
    tiny_operations("tiny_pair_forward_ns", "tiny_pair_backward_ns", pairs);
    if (sw_error())
        fprintf(stderr, "%s\n", sw_error());
    return sw_error() != NULL;
}
