/* The amortized time of a step of the matrix rules, divided by a floor: the computations that every implementation of
 * the method needs. These are the symmetric products for the factors, the products of the gradient with the roots, and
 * once in each period the roots. For SOAP they are the products that rotate the gradient and its direction, and once in
 * each period the new bases: of each, the product with the factor, the orthonormal rows, and two products that rotate
 * the momentum. All are measured in the same run, with the library's own functions, and alternate with the steps. The
 * time of a step is that of a whole period (spread over its steps), divided by the period.
 *
 * `bench_matrix_rules RULE [PERIOD [NETWORK]]`: these alone. */
#include "bench.h"

#include <string.h>
#include <swale/matrix.h>
#include <swale/swale.h>

enum { ROUNDS = 5, MOST_SHAPES = 4, GRADIENTS = 97, FACTOR_GRADIENTS = 16 };

typedef struct network {
    const char *name;
    int count;
    int64_t shape[MOST_SHAPES][2]; /* columns 0: a vector */
} network;

static const network networks[] = {
    {"1024x1024", 1, {{1024, 1024}}},
    {"784-256-10", 4, {{256, 784}, {256, 0}, {10, 256}, {10, 0}}},
};

/* What the floor of a method consists of, beside the factors. */
typedef enum floor_method { ROOTS, ROOTS_AND_PRODUCT, BASES } floor_method;

typedef struct setting {
    const char *rule, *options;
    int period;
    floor_method method;
} setting;

static const setting settings[] = {
    {"shampoo", "", 10, ROOTS},
    {"shampoo", "", 100, ROOTS},
    {"distributed_shampoo", "start=1", 10, ROOTS},
    {"distributed_shampoo", "start=1", 100, ROOTS},
    {"caspr", "start=1", 10, ROOTS_AND_PRODUCT},
    {"caspr", "start=1", 100, ROOTS_AND_PRODUCT},
    {"soap", "", 10, BASES},
    {"soap", "", 100, BASES},
};

static float *floats(int64_t n) {
    float *p = sw_alloc_array(n, sizeof *p);
    uint64_t seed = 1;
    for (int64_t i = 0; p && i < n; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        p[i] = (float)(seed >> 40) * 0x1p-24f - 0.5f;
    }
    return p;
}

/* ---- The floor of one matrix [rows, columns] ---- */

static float *gradient; /* that of a step begins at one of the first GRADIENTS elements */
static float *memory_g, *memory_a, *memory_b, *memory_c;
static char *work;

/* P G Q, or with both transposed. */
static void two_sided_product(int64_t m, int64_t n, bool transposed) {
    sw_gemm(SW_F32, transposed, false, m, n, m, 1, memory_a, m, memory_g, n, 0, memory_c, n);
    sw_gemm(SW_F32, false, transposed, m, n, n, 1, memory_g, n, memory_b, n, 0, memory_c, n);
}

static double seconds_of_products(int64_t m, int64_t n, floor_method method) {
    const double start = now();
    sw_symmetric_product(SW_F32, false, m, n, 1, memory_g, n, 1, memory_a, m);
    sw_symmetric_product(SW_F32, true, n, m, 1, memory_g, n, 1, memory_b, n);
    if (method == ROOTS_AND_PRODUCT) /* CASPR: P G */
        sw_gemm(SW_F32, false, false, m, n, m, 1, memory_a, m, memory_g, n, 0, memory_c, n);
    if (method == BASES)
        two_sided_product(m, n, true);
    two_sided_product(m, n, false);
    return now() - start;
}

typedef struct roots_work {
    int64_t n[2];
    const sw_root_options *options;
    size_t bytes;
} roots_work;

static sw_status floor_root(void *args, int64_t i, sw_worker *worker) {
    const roots_work *r = args;
    sw_root_report report = {.size = sizeof report};
    return sw_inverse_root(SW_F32, r->n[i], i ? memory_b : memory_a, r->options, i ? memory_c : memory_g + (1 << 20),
                           worker->scratch, &report);
}

/* memory_a and memory_b: the sums of G Gᵀ and Gᵀ G for some of the gradients of the steps. */
static void fill_factors(int64_t m, int64_t n) {
    for (int i = 0; i < FACTOR_GRADIENTS; i++) {
        const float *g = gradient + i * (GRADIENTS / FACTOR_GRADIENTS);
        sw_symmetric_product(SW_F32, false, m, n, 1, g, n, i > 0, memory_a, m);
        sw_symmetric_product(SW_F32, true, n, m, 1, g, n, i > 0, memory_b, n);
    }
}

static double seconds_of_roots(int64_t m, int64_t n) {
    const sw_root_options eigen = {.size = sizeof eigen, .order = 4, .ridge = 1e-6, .shift_negative = true};
    roots_work r = {{m, n}, &eigen, sw_inverse_root_work(SW_F32, m > n ? m : n, &eigen)};
    fill_factors(m, n);
    const double start = now();
    if (sw_parallel_items_with_scratch(floor_root, &r, 2, r.bytes, work, sw_parallel_scratch(2, r.bytes)))
        fprintf(stderr, "%s\n", sw_error());
    return now() - start;
}

/* A new basis of side i: the product of the factor with the old one, here the factor itself, and its rows. */
static sw_status floor_basis(void *args, int64_t i, sw_worker *worker) {
    const roots_work *r = args;
    const int64_t n = r->n[i];
    const float *factor = i ? memory_b : memory_a;
    float *to = i ? memory_c : memory_g + (1 << 20);
    sw_gemm(SW_F32, false, false, n, n, n, 1, factor, n, factor, n, 0, to, n);
    return sw_orthonormalize(SW_F32, n, n, to, n, worker->scratch, NULL);
}

static double seconds_of_bases(int64_t m, int64_t n) {
    roots_work r = {{m, n}, NULL, sw_orthonormalize_work(SW_F32, m > n ? m : n)};
    fill_factors(m, n);
    const double start = now();
    if (sw_parallel_items_with_scratch(floor_basis, &r, 2, r.bytes, work, sw_parallel_scratch(2, r.bytes)))
        fprintf(stderr, "%s\n", sw_error());
    two_sided_product(m, n, true);
    two_sided_product(m, n, false);
    return now() - start;
}

static double floor_of(const int64_t shape[2], const setting *set) {
    const int64_t m = shape[0], n = shape[1];
    const double products = seconds_of_products(m, n, set->method),
                 refresh = set->method == BASES ? seconds_of_bases(m, n) : seconds_of_roots(m, n);
    return products + refresh / set->period;
}

/* ---- Steps ---- */

static sw_status constant_gradient(void *user, const void *x, const int64_t *ids, int64_t count, uint64_t draw,
                                   double *value, void *g) {
    const sw_params *p = user;
    (void)x, (void)ids, (void)count, (void)draw;
    *value = 0;
    if (g)
        memcpy(g, gradient + draw % GRADIENTS, (size_t)sw_params_dim(p) * sizeof *gradient);
    return SW_OK;
}

static void measure(const network *net, const setting *set) {
    char spec[200], name[100];
    sw_params *p = sw_params_new(SW_F32, 1);
    for (int i = 0; i < net->count; i++) {
        snprintf(name, sizeof name, "p%d", i);
        sw_params_add(p, name, net->shape[i][1] ? 2 : 1, net->shape[i], NULL);
    }
    sw_params_build(p);
    snprintf(spec, sizeof spec, "%s period=%d %s", set->rule, set->period, set->options);
    const sw_objective f = {.size = sizeof f, .n = 4, .params = p, .user = p, .gradient = constant_gradient};
    sw_optim *o =
        sw_optim_new_with_options(p, &SW_OPTIONS(sw_optim_options, .rule = spec, .estimator = "minibatch batch=4"));
    double steps[ROUNDS], floors[ROUNDS];
    for (int i = 0; i < 3; i++)
        sw_optim_minimize(o, &f, NULL);
    for (int round = 0; round < ROUNDS; round++) {
        double floor = 0;
        settle();
        for (int i = 0; i < net->count; i++)
            if (net->shape[i][1])
                floor += floor_of(net->shape[i], set);
        floors[round] = floor;
        settle();
        const double start = now();
        for (int i = 0; i < set->period; i++)
            sw_optim_minimize(o, &f, NULL);
        steps[round] = (now() - start) / set->period;
    }
    const double step = median(steps, ROUNDS), floor = median(floors, ROUNDS);
    note("%s, %s: %.3f ms a step, floor %.3f ms", net->name, spec, 1e3 * step, 1e3 * floor);
    snprintf(name, sizeof name, "%s %d %s", set->rule, set->period, net->name);
    report(name, step / floor);
    sw_optim_free(o);
    sw_params_free(p);
}

static int is_wanted(const network *net, const setting *set, int argc, char **argv) {
    return (argc < 2 || strcmp(argv[1], set->rule) == 0) && (argc < 3 || atoi(argv[2]) == set->period) &&
           (argc < 4 || strcmp(argv[3], net->name) == 0);
}

int main(int argc, char **argv) {
    const int64_t most = 2 << 20;
    note("%s", sw_build_info());
    note("time of a step over that of its products and roots");
    memory_g = floats(most), memory_a = floats(most), memory_b = floats(most), memory_c = floats(most);
    gradient = floats(most);
    work = sw_alloc((size_t)1 << 27);
    for (size_t i = 0; i < sizeof networks / sizeof *networks; i++)
        for (size_t k = 0; k < sizeof settings / sizeof *settings; k++)
            if (is_wanted(&networks[i], &settings[k], argc, argv))
                measure(&networks[i], &settings[k]);
    if (sw_error())
        fprintf(stderr, "%s\n", sw_error());
    sw_free(memory_g), sw_free(memory_a), sw_free(memory_b), sw_free(memory_c), sw_free(gradient), sw_free(work);
    return sw_error() != NULL;
}
