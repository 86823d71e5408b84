/* Small problems, in which the fixed time of a call counts: one picture through 784-100-10, beside two bare products of
 * a matrix and a vector; and the training step of 4-32-16-4 with tanh, MSE and Adam, beside its floor. The floor is the
 * time of the step's floating-point operations at the rate of a large product, plus that of its tanh at the rate of
 * sw_tanh for many elements. Both are measured in the same round as the step. All figures are for one thread, in f32.
 */
#include "bench.h"

#include <cblas.h>
#include <swale/swale.h>

enum { ROUNDS = 41 };

/* ---- One picture ---- */

enum { INPUTS = 784, HIDDEN = 100, CLASSES = 10, PICTURES = 64, REPEATS = 10 };

typedef struct picture_bench {
    sw_model *model;
    sw_array x, y; /* [PICTURES, INPUTS], [1, CLASSES] */
    sw_array w1, w2, h;
} picture_bench;

static sw_array ramp(int rank, const int64_t *shape) {
    sw_array a = sw_array_new(SW_F32, rank, shape);
    for (int64_t i = 0; i < sw_array_count(&a); i++)
        ((float *)a.data)[i] = (float)(i % 17) / 17 - 0.5f;
    return a;
}

static picture_bench picture_new(void) {
    picture_bench p = {.model = sw_model_new(SW_F32, 1),
                       .x = ramp(SW_SHAPE(PICTURES, INPUTS)),
                       .y = ramp(SW_SHAPE(1, CLASSES)),
                       .w1 = ramp(SW_SHAPE(HIDDEN, INPUTS)),
                       .w2 = ramp(SW_SHAPE(CLASSES, HIDDEN)),
                       .h = ramp(SW_SHAPE(1, HIDDEN))};
    sw_model_build(p.model, sw_nn_sequential(p.model, sw_nn_linear(p.model, INPUTS, HIDDEN), sw_nn_relu(p.model),
                                             sw_nn_linear(p.model, HIDDEN, CLASSES), NULL));
    return p;
}

static void picture_free(picture_bench *p) {
    sw_array *const all[] = {&p->x, &p->y, &p->w1, &p->w2, &p->h};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        sw_array_free(all[i]);
    sw_model_free(p->model);
}

/* The time of one picture. */
static double picture_time(picture_bench *p) {
    const double start = now();
    for (int i = 0; i < REPEATS * PICTURES; i++) {
        const sw_array x = sw_array_view((float *)p->x.data + i % PICTURES * INPUTS, SW_F32, SW_SHAPE(1, INPUTS));
        sw_predict(p->model, &x, &p->y);
    }
    return (now() - start) / (REPEATS * PICTURES);
}

static double picture_bare_time(picture_bench *p) {
    const double start = now();
    for (int i = 0; i < REPEATS * PICTURES; i++) {
        cblas_sgemv(CblasRowMajor, CblasNoTrans, HIDDEN, INPUTS, 1, p->w1.data, INPUTS,
                    (float *)p->x.data + i % PICTURES * INPUTS, 1, 0, p->h.data, 1);
        cblas_sgemv(CblasRowMajor, CblasNoTrans, CLASSES, HIDDEN, 1, p->w2.data, HIDDEN, p->h.data, 1, 0, p->y.data, 1);
    }
    return (now() - start) / (REPEATS * PICTURES);
}

static void one_picture(void) {
    double ratio[ROUNDS], ours[ROUNDS], bare[ROUNDS];
    picture_bench p = picture_new();
    picture_time(&p), picture_bare_time(&p);
    for (int r = 0; r < ROUNDS; r++) {
        ours[r] = picture_time(&p);
        bare[r] = picture_bare_time(&p);
        ratio[r] = ours[r] / bare[r];
    }
    note("one picture: sw_predict %.2f us, two calls of sgemv %.2f us", median(ours, ROUNDS) * 1e6,
         median(bare, ROUNDS) * 1e6);
    figure("one_picture_over_sgemv", median(ratio, ROUNDS), 1.15, AT_MOST);
    picture_free(&p);
}

/* ---- A small network ---- */

enum { UNITS_0 = 4, UNITS_1 = 32, UNITS_2 = 16, UNITS_3 = 4 };
/* Multiplications of the three products with the weights, of those for the weights' gradients, and of those for the
 * gradients of the two hidden layers; two operations each. */
enum {
    WEIGHTS = UNITS_0 * UNITS_1 + UNITS_1 * UNITS_2 + UNITS_2 * UNITS_3,
    STEP_FLOPS = 2 * (3 * WEIGHTS - UNITS_0 * UNITS_1),
    STEP_TANHS = UNITS_1 + UNITS_2
};

typedef struct network_bench {
    sw_model *model;
    sw_module *mlp;
    sw_optim *optim;
    sw_tape *tape;
    sw_array x, y;
} network_bench;

static network_bench network_new(int64_t batch) {
    network_bench n = {.model = sw_model_new(SW_F32, 1),
                       .tape = sw_tape_new(),
                       .x = ramp(SW_SHAPE(batch, UNITS_0)),
                       .y = ramp(SW_SHAPE(batch, UNITS_3))};
    n.mlp = sw_nn_sequential(n.model, sw_nn_linear(n.model, UNITS_0, UNITS_1), sw_nn_tanh(n.model),
                             sw_nn_linear(n.model, UNITS_1, UNITS_2), sw_nn_tanh(n.model),
                             sw_nn_linear(n.model, UNITS_2, UNITS_3), NULL);
    n.optim = sw_optim_new(sw_model_build(n.model, n.mlp), "adam lr=1e-3");
    return n;
}

static void network_free(network_bench *n) {
    sw_tape_free(n->tape);
    sw_optim_free(n->optim);
    sw_model_free(n->model);
    sw_array_free(&n->x);
    sw_array_free(&n->y);
}

static double network_time(network_bench *n, int steps) {
    const double start = now();
    for (int i = 0; i < steps; i++) {
        sw_backward(sw_mse(sw_forward(n->mlp, sw_input(n->tape, n->x)), sw_input(n->tape, n->y)));
        sw_optim_step(n->optim);
        sw_tape_reset(n->tape);
    }
    return (now() - start) / steps;
}

/* Seconds for one floating-point operation of a large product. */
static double product_time(void) {
    enum { SIDE = 384, PRODUCTS = 4 };
    static sw_array a, b, c;
    if (!a.data) {
        a = ramp(SW_SHAPE(SIDE, SIDE));
        b = ramp(SW_SHAPE(SIDE, SIDE));
        c = ramp(SW_SHAPE(SIDE, SIDE));
    }
    const double start = now();
    for (int i = 0; i < PRODUCTS; i++)
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, SIDE, SIDE, SIDE, 1, a.data, SIDE, b.data, SIDE, 0, c.data,
                    SIDE);
    return (now() - start) / (2.0 * SIDE * SIDE * SIDE * PRODUCTS);
}

/* Seconds for one tanh, of as many as fit in the first-level cache together with their results. */
static double tanh_time(sw_tape *tape) {
    enum { COUNT = 4096, CALLS = 32 };
    sw_tensor x = sw_empty(tape, SW_F32, SW_SHAPE(COUNT));
    for (int i = 0; i < COUNT; i++)
        ((float *)sw_value(x).data)[i] = (float)(i % 257 - 128) / 64;
    const double start = now();
    for (int i = 0; i < CALLS; i++)
        sw_release(sw_tanh(x));
    const double time = (now() - start) / ((double)COUNT * CALLS);
    sw_tape_reset(tape);
    return time;
}

static void small_network(const char *name, int64_t batch, double target) {
    enum { PIECES = 20000 };
    const int steps = (int)(PIECES / (batch + 40)) + 8;
    double ratio[ROUNDS], ours[ROUNDS], floor[ROUNDS];
    network_bench n = network_new(batch);
    network_time(&n, steps), product_time(), tanh_time(n.tape);
    for (int r = 0; r < ROUNDS; r++) {
        floor[r] = (double)batch * (STEP_FLOPS * product_time() + STEP_TANHS * tanh_time(n.tape));
        ours[r] = network_time(&n, steps);
        ratio[r] = ours[r] / floor[r];
    }
    note("4-32-16-4, batch %d: a step %.2f us, floor %.2f us", (int)batch, median(ours, ROUNDS) * 1e6,
         median(floor, ROUNDS) * 1e6);
    if (target > 0)
        figure(name, median(ratio, ROUNDS), target, AT_MOST);
    else
        report(name, median(ratio, ROUNDS));
    network_free(&n);
}

int main(void) {
    note("%s", sw_build_info());
    sw_set_threads(1);
    openblas_set_num_threads(1); /* of the bare products, which do not go through swale */
    one_picture();
    small_network("small_network_batch_8", 8, 0);
    small_network("small_network_batch_200", 200, 1.5);
    small_network("small_network_batch_1000", 1000, 1.5);
    if (sw_error())
        fprintf(stderr, "%s\n", sw_error());
    return sw_error() != NULL;
}
