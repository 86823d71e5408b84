/* Pools, normalizations, grouped convolutions and recurrent networks: the time of forward alone, and of forward and
 * backward, divided by that of a pass over the same bytes, with one and with two threads. Forward reads x and writes y;
 * backward reads x and dy and writes dx. Convolutions and recurrent networks have more arithmetic than that
 * (bench_conv, bench_recurrent). Both sides alternate in one run; figures are medians of ratios. `make bench-peers`,
 * sections layers and recurrent, compares the same layers with PyTorch.
 *
 *     bench_layers [THREADS [NAME]] */
#include "bench.h"
#include "layers.h"

enum { ROUNDS = 11 };
static const double enough_time = 0.01; /* seconds in one measurement */

static double layer_time(bench_layer_run *r, bool gradient, int steps) {
    const double start = now();
    for (int i = 0; i < steps; i++)
        bench_layer_step(r, gradient);
    return (now() - start) / steps;
}

/* Seconds of a pass that reads `in` and writes `out`, block by block. */
static double pass_time(const sw_array *in, sw_array *out, int steps) {
    enum { BLOCK = 1024 };
    const int64_t from = sw_array_count(in), to = sw_array_count(out), blocks = (from + BLOCK - 1) / BLOCK;
    float lane[16] = {0};
    const double start = now();
    for (int s = 0; s < steps; s++)
        for (int64_t b = 0; b < blocks; b++) {
            const int64_t begin = to * b / blocks, end = to * (b + 1) / blocks;
            const float *x = (const float *)in->data + b * BLOCK;
            for (int64_t i = 0; i + 16 <= BLOCK && b * BLOCK + i + 16 <= from; i += 16)
                for (int k = 0; k < 16; k++)
                    lane[k] += x[i + k];
            memset((float *)out->data + begin, 0, (size_t)(end - begin) * sizeof(float));
        }
    *(volatile float *)out->data = lane[0];
    return (now() - start) / steps;
}

static void measure(const bench_layer *layer, int threads) {
    bench_layer_run r = bench_layer_new(layer);
    sw_array dy = sw_array_new(SW_F32, r.cotangent.rank, r.cotangent.shape),
             dx = sw_array_new(SW_F32, r.x.rank, r.x.shape);
    const int steps = 1 + (int)(enough_time / layer_time(&r, true, 3));
    double forward[ROUNDS], both[ROUNDS], forward_ratio[ROUNDS], both_ratio[ROUNDS];
    for (int i = 0; i < ROUNDS && !sw_error(); i++) {
        forward[i] = layer_time(&r, false, steps);
        both[i] = layer_time(&r, true, steps);
        const double y_pass = pass_time(&r.x, &dy, steps) / threads,
                     dx_pass = (pass_time(&r.x, &dx, steps) + pass_time(&r.cotangent, &dy, steps) / 2) / threads;
        forward_ratio[i] = forward[i] / y_pass;
        both_ratio[i] = both[i] / (y_pass + dx_pass);
    }
    if (!sw_error()) {
        char name[64];
        note("%s, %d threads: forward %.1f µs, with backward %.1f µs", layer->name, threads,
             median(forward, ROUNDS) * 1e6, median(both, ROUNDS) * 1e6);
        snprintf(name, sizeof name, "%s_forward_%d", layer->name, threads);
        report(name, median(forward_ratio, ROUNDS));
        snprintf(name, sizeof name, "%s_both_%d", layer->name, threads);
        report(name, median(both_ratio, ROUNDS));
    }
    sw_array_free(&dy), sw_array_free(&dx);
    bench_layer_free(&r);
}

int main(int argc, char **argv) {
    const int only = argc > 1 ? atoi(argv[1]) : 0;
    note("%s", sw_build_info());
    for (int threads = 1; threads <= 2; threads++) {
        sw_set_threads(threads);
        for (int i = 0; i < BENCH_LAYERS && (only == 0 || only == threads); i++)
            if (argc < 3 || strstr(bench_layers[i].name, argv[2]))
                measure(&bench_layers[i], threads);
    }
    if (sw_error())
        fprintf(stderr, "%s\n", sw_error());
    return sw_error() != NULL;
}
