/* Measures the training steps of convolutional networks (networks.h), gathering included, with AdamW, on one thread and
 * two. Each step is compared with its floor: the multiplications and additions of its convolutions and products at the
 * rate of a large matrix product, which is measured in the same run. */
#include "bench.h"
#include "networks.h"

#include <cblas.h>

enum { ROUNDS = 11, PRODUCT = 512 };

typedef struct trainer {
    sw_source *pictures;
    sw_model *model;
    sw_module *net;
    sw_optim *optim;
    sw_loader *loader;
    sw_tape *tape;
} trainer;

static trainer trainer_new(const char *name, int batch) {
    trainer t = {.pictures = sw_fashion_mnist(NULL, SW_TRAINING), .model = sw_model_new(SW_F32, 1)};
    t.net = bench_network_of_vectors(t.model, name);
    t.optim = sw_optim_new(sw_model_build(t.model, t.net), "adamw lr=1e-3");
    t.loader = sw_loader_new(t.pictures, batch, &SW_OPTIONS(sw_loader_options, .drop_last = true));
    t.tape = sw_tape_new();
    return t;
}

static void trainer_free(trainer *t) {
    sw_tape_free(t->tape);
    sw_loader_free(t->loader);
    sw_optim_free(t->optim);
    sw_model_free(t->model);
    sw_source_free(t->pictures);
}

static double step_time(trainer *t, int steps) {
    const double start = now();
    for (int i = 0; i < steps && !sw_error(); i++) {
        sw_batch b;
        if (!sw_loader_next(t->loader, t->tape, &b))
            sw_loader_next(t->loader, t->tape, &b);
        sw_backward(sw_cross_entropy(sw_forward(t->net, b.x), b.y));
        sw_optim_step(t->optim);
        sw_tape_reset(t->tape);
    }
    return (now() - start) / steps;
}

/* The seconds of one multiplication and addition in a large product on one thread. */
static double product_time(const float *a, const float *b, float *c) {
    const double start = now();
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, PRODUCT, PRODUCT, PRODUCT, 1, a, PRODUCT, b, PRODUCT, 0, c,
                PRODUCT);
    return (now() - start) / ((double)PRODUCT * PRODUCT * PRODUCT);
}

/* The multiplications and additions of a step: forward, and twice as many in the backward, except for the gradient of
 * the pictures, which is not needed. */
static double step_work(const char *name, int batch) {
    double first, later;
    if (strcmp(name, "lenet") == 0) {
        first = 24. * 24 * 25 * 16;
        later = 8. * 8 * 25 * 16 * 32 + 512 * 128 + 128 * 10;
    } else if (strcmp(name, "average") == 0) {
        first = 28. * 28 * 9 * 16;
        later = 14. * 14 * 9 * 16 * 32 + 7. * 7 * 32 * 64 + 64 * 10;
    } else {
        first = 28. * 28 * 9 * 16;
        later = 2 * 28. * 28 * 9 * 16 * 16 + 14. * 14 * (9 * 16 * 32 + 9 * 32 * 32 + 16 * 32) +
                7. * 7 * (9 * 32 * 64 + 9 * 64 * 64 + 32 * 64) + 64 * 10;
    }
    return batch * (2 * first + 3 * later);
}

static void measure(const char *name, int batch, int threads) {
    char label[64];
    double ours[ROUNDS], floor_time[ROUNDS], ratio[ROUNDS];
    const int64_t shape[2] = {PRODUCT, PRODUCT};
    sw_array a = sw_array_new(SW_F32, 2, shape), b = sw_array_new(SW_F32, 2, shape), c = sw_array_new(SW_F32, 2, shape);
    sw_set_threads(threads);
    openblas_set_num_threads(1); /* of the bare product, which does not go through swale */
    trainer t = trainer_new(name, batch);
    const int steps = batch > 64 ? 2 : 10;
    step_time(&t, steps), product_time(a.data, b.data, c.data);
    for (int r = 0; r < ROUNDS && !sw_error(); r++) {
        ours[r] = step_time(&t, steps);
        floor_time[r] = step_work(name, batch) * product_time(a.data, b.data, c.data) / threads;
        ratio[r] = ours[r] / floor_time[r];
    }
    if (!sw_error()) {
        snprintf(label, sizeof label, "%s_b%d_%d", name, batch, threads);
        note("%s: step %.3f ms, products alone %.3f ms", label, median(ours, ROUNDS) * 1e3,
             median(floor_time, ROUNDS) * 1e3);
        report(label, median(ratio, ROUNDS));
    }
    trainer_free(&t);
    sw_array_free(&a), sw_array_free(&b), sw_array_free(&c);
}

int main(int argc, char **argv) {
    const struct {
        const char *name;
        int batch;
    } network[] = {{"lenet", 64}, {"average", 512}, {"resnet8", 64}};
    note("%s", sw_build_info());
    for (int i = 0; i < 3; i++)
        for (int threads = 1; threads <= 2; threads++)
            if (argc < 2 || strcmp(argv[1], network[i].name) == 0)
                measure(network[i].name, network[i].batch, threads);
    if (sw_error())
        fprintf(stderr, "%s\n", sw_error());
    return sw_error() != NULL;
}
