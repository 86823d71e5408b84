/* Matrix functions compared with products of matrices of the same size, in f32 on one thread, for n = 64 to 1024:
 *
 *     symmetric_N   sw_symmetric_product of a matrix [N,N], divided by sw_gemm
 *     eigen_N       sw_symmetric_eigen, divided by sw_gemm: the floor of Shampoo's and SOAP's bases
 *     rows_N        sw_orthonormalize, divided by sw_gemm: the floor of SOAP's refresh
 *     root_N        sw_inverse_root of order 4 by the eigendecomposition, divided by eigen + symmetric product
 *     newton_N      sw_inverse_root of order 2 by Newton's iteration, divided by the products of its iterations
 *
 * The sides of a ratio alternate, and the medians of ROUNDS rounds are divided. */
#include "bench.h"

#include <math.h>
#include <string.h>
#include <swale/extend.h>

enum { SIZES = 5, ROUNDS = 11, LARGEST = 1024 };
static const int64_t sizes[SIZES] = {64, 128, 256, 512, 1024};

typedef struct matrix_bench {
    int64_t n;
    float *G, *L, *out, *values; /* G [n,n], and L = G Gᵀ/n + I/100 */
    void *work;
    int iterations; /* of Newton */
} matrix_bench;

static void product(matrix_bench *b) {
    sw_gemm(SW_F32, false, true, b->n, b->n, b->n, 1, b->G, b->n, b->G, b->n, 0, b->out, b->n);
}

static void symmetric(matrix_bench *b) {
    sw_symmetric_product(SW_F32, false, b->n, b->n, 1, b->G, b->n, 0, b->out, b->n);
}

static void eigen(matrix_bench *b) {
    sw_symmetric_eigen(SW_F32, b->n, b->L, b->values, b->out, b->work, NULL);
}

static void rows(matrix_bench *b) {
    memcpy(b->out, b->G, (size_t)(b->n * b->n) * sizeof *b->G);
    sw_orthonormalize(SW_F32, b->n, b->n, b->out, b->n, b->work, NULL);
}

static const sw_root_options fourth = {.size = sizeof fourth, .order = 4, .ridge = 1e-6},
                             newton_options = {
                                 .size = sizeof newton_options, .order = 2, .method = SW_ROOT_NEWTON, .ridge = 1e-6};

static void root(matrix_bench *b) {
    sw_inverse_root(SW_F32, b->n, b->L, &fourth, b->out, b->work, NULL);
}

static void newton(matrix_bench *b) {
    sw_root_report report = {.size = sizeof report};
    sw_inverse_root(SW_F32, b->n, b->L, &newton_options, b->out, b->work, &report);
    b->iterations = report.iterations;
}

typedef void side(matrix_bench *);
enum { PRODUCT, SYMMETRIC, EIGEN, ROWS, ROOT, NEWTON, SIDES };
static side *const run[SIDES] = {product, symmetric, eigen, rows, root, newton};

/* Times of one call; short ones are repeated. */
static double time_of(matrix_bench *b, int which) {
    const int repeats = which <= SYMMETRIC && b->n <= 256 ? 20 : 1;
    const double start = now();
    for (int i = 0; i < repeats; i++)
        run[which](b);
    return (now() - start) / repeats;
}

static void print(const char *name, int64_t n, double value, double target) {
    char text[40];
    snprintf(text, sizeof text, "%s_%lld", name, (long long)n);
    if (target > 0)
        figure(text, value, target, AT_MOST);
    else
        report(text, value);
}

static void measure(matrix_bench *b) {
    double times[SIDES][ROUNDS], t[SIDES];
    for (int round = -1; round < ROUNDS; round++) /* the first one warms up */
        for (int which = 0; which < SIDES; which++) {
            const double time = time_of(b, which);
            times[which][round < 0 ? 0 : round] = time;
        }
    for (int which = 0; which < SIDES; which++)
        t[which] = median(times[which], ROUNDS);
    note("n = %lld: sw_gemm %.3f ms, %.1f GFLOP/s; %d iterations of Newton", (long long)b->n, 1e3 * t[PRODUCT],
         2e-9 * pow((double)b->n, 3) / t[PRODUCT], b->iterations);
    print("symmetric", b->n, t[SYMMETRIC] / t[PRODUCT], b->n >= LARGEST ? 0.75 : 0);
    print("eigen", b->n, t[EIGEN] / t[PRODUCT], 0);
    print("rows", b->n, t[ROWS] / t[PRODUCT], 0);
    print("root", b->n, t[ROOT] / (t[EIGEN] + t[SYMMETRIC]), 1.1);
    /* Each iteration has the products H T, T² and T² M, which are symmetric. */
    print("newton", b->n, t[NEWTON] / (b->iterations * 3 * t[SYMMETRIC]), 1.5);
}

static float *floats(int64_t count) {
    return sw_alloc((size_t)count * sizeof(float));
}

int main(void) {
    sw_set_threads(1);
    for (int k = 0; k < SIZES; k++) {
        const int64_t n = sizes[k];
        matrix_bench b = {.n = n, .G = floats(n * n), .L = floats(n * n), .out = floats(n * n), .values = floats(n)};
        const size_t one = sw_inverse_root_work(SW_F32, n, &newton_options);
        b.work = sw_alloc(one);
        sw_rng rng = {.key = sw_rng_key(1, "bench")};
        for (int64_t i = 0; i < n * n; i++)
            b.G[i] = (float)sw_rng_normal(&rng);
        sw_symmetric_product(SW_F32, false, n, n, 1 / (double)n, b.G, n, 0, b.L, n);
        for (int64_t i = 0; i < n; i++)
            b.L[i * n + i] += 0.01f;
        measure(&b);
        void *const all[] = {b.G, b.L, b.out, b.values, b.work};
        for (size_t i = 0; i < sizeof all / sizeof *all; i++)
            sw_free(all[i]);
    }
    if (sw_error())
        fprintf(stderr, "%s\n", sw_error());
    return sw_error() != NULL;
}
