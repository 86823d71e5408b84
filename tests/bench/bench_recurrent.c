/* Measures training steps of LSTM and GRU: 128 units, 64 steps, a batch of 32, both ways, with Adam, on one thread and
 * two. The floor is the time of the multiplications and additions of the six products (three of the inputs, three of
 * the states) at the rate of a large product, which is measured in the same run. `make bench-peers`, section recurrent,
 * compares with PyTorch. */
#include "bench.h"

#include <swale/extend.h>
#include <swale/swale.h>

enum { ROUNDS = 15, STEPS = 2, BATCH = 32, TIME = 64, UNITS = 128, PRODUCT = 512 };

typedef struct trainer {
    sw_model *model;
    sw_module *layer;
    sw_optim *optim;
    sw_tape *tape;
    sw_array x, dy;
} trainer;

static sw_array uniform_array(uint64_t seed) {
    sw_array a = sw_array_new(SW_F32, 3, (const int64_t[]){BATCH, TIME, UNITS});
    sw_rng rng = {.key = sw_rng_key(seed, "bench")};
    for (int64_t i = 0; a.data && i < sw_array_count(&a); i++)
        ((float *)a.data)[i] = (float)(2 * sw_rng_uniform(&rng) - 1);
    return a;
}

static trainer trainer_new(bool lstm) {
    trainer t = {.model = sw_model_new(SW_F32, 1), .x = uniform_array(2), .dy = uniform_array(3)};
    t.layer = lstm ? sw_nn_lstm(t.model, UNITS, UNITS) : sw_nn_gru(t.model, UNITS, UNITS);
    t.optim = sw_optim_new(sw_model_build(t.model, t.layer), "adam lr=1e-3");
    t.tape = sw_tape_new();
    return t;
}

static void trainer_free(trainer *t) {
    sw_tape_free(t->tape);
    sw_optim_free(t->optim);
    sw_model_free(t->model);
    sw_array_free(&t->x);
    sw_array_free(&t->dy);
}

/* Seconds of a step. The input gets a gradient, as it does behind an embedding. */
static double step_time(trainer *t) {
    const double start = now();
    for (int i = 0; i < STEPS && !sw_error(); i++) {
        sw_backward_from(sw_forward(t->layer, sw_variable(t->tape, t->x)), t->dy);
        sw_optim_step(t->optim);
        sw_tape_reset(t->tape);
    }
    return (now() - start) / STEPS;
}

/* Seconds of one multiplication and addition in a large product on one thread. */
static double product_time(const sw_product *p) {
    const double start = now();
    sw_product_run(p);
    return (now() - start) / ((double)PRODUCT * PRODUCT * PRODUCT);
}

static void measure(bool lstm, int threads) {
    char label[64];
    double ours[ROUNDS], floor_time[ROUNDS], ratio[ROUNDS];
    const int64_t shape[2] = {PRODUCT, PRODUCT};
    sw_array a = sw_array_new(SW_F32, 2, shape), b = sw_array_new(SW_F32, 2, shape), c = sw_array_new(SW_F32, 2, shape);
    sw_product p = {.size = sizeof p,
                    .M = PRODUCT,
                    .N = PRODUCT,
                    .K = PRODUCT,
                    .alpha = 1,
                    .A = a.data,
                    .B = b.data,
                    .C = c.data,
                    .lda = PRODUCT,
                    .ldb = PRODUCT,
                    .ldc = PRODUCT};
    sw_set_threads(1);
    p.scratch_bytes = sw_product_scratch(&p);
    p.scratch = sw_alloc(p.scratch_bytes);
    trainer t = trainer_new(lstm);
    const double work = 6. * BATCH * TIME * UNITS * UNITS * (lstm ? 4 : 3);
    for (int r = -2; r < ROUNDS && !sw_error(); r++) {
        sw_set_threads(threads);
        const double step = step_time(&t);
        sw_set_threads(1);
        const double least = work * product_time(&p) / threads;
        if (r < 0) /* the first step allocates */
            continue;
        ours[r] = step;
        floor_time[r] = least;
        ratio[r] = step / least;
    }
    if (!sw_error()) {
        snprintf(label, sizeof label, "%s_%d", lstm ? "lstm" : "gru", threads);
        note("%s: step %.3f ms, products alone %.3f ms", label, median(ours, ROUNDS) * 1e3,
             median(floor_time, ROUNDS) * 1e3);
        report(label, median(ratio, ROUNDS));
    }
    trainer_free(&t);
    sw_free(p.scratch);
    sw_array_free(&a), sw_array_free(&b), sw_array_free(&c);
}

int main(void) {
    note("%s", sw_build_info());
    for (int threads = 1; threads <= 2; threads++) {
        measure(true, threads);
        measure(false, threads);
    }
    if (sw_error())
        fprintf(stderr, "%s\n", sw_error());
    return sw_error() != NULL;
}
