/* The layouts of Adafactor: matrices of the last two axes in PyTorch's order, large tensors with several threads, and
 * tensors without elements. The equations are tested by test_references.c. */
#include "helpers.h"

#include <swale/parallel.h>

enum { STEPS = 5, MOST = 3 * 4 * 5 * 6 };

static void gradient_at(int t, int64_t n, double *g) {
    uint64_t seed = (uint64_t)t + 1;
    for (int64_t i = 0; i < n; i++)
        g[i] = (double)(float)test_uniform(&seed, -1, 1) * (i % 7 ? 1 : 30);
}

/* to[i] = from[the index in PyTorch's order of element i], or the reverse. */
static void permute(const sw_param *p, bool to_file, const double *from, double *to) {
    const int rank = p->channels_first.rank;
    const int *axes = p->channels_first.axes;
    for (int64_t i = 0; i < p->count; i++) {
        int64_t index[SW_MAX_RANK], rest = i, at = 0;
        for (int k = rank - 1; k >= 0; k--) {
            index[k] = rest % p->shape[k];
            rest /= p->shape[k];
        }
        for (int k = 0; k < rank; k++)
            at = at * p->shape[axes[k]] + index[axes[k]];
        to[to_file ? at : i] = from[to_file ? i : at];
    }
}

static sw_params *one_param(sw_dtype type, int rank, const int64_t *shape, sw_file_order order) {
    sw_params *p = sw_params_new(type, 1);
    assert_non_null(sw_params_add(p, "w", rank, shape, &SW_OPTIONS(sw_param_options, .channels_first = order)));
    assert_ok(sw_params_build(p));
    return p;
}

/* A parameter with channels last, and the same one as PyTorch stores it, whose last two axes are the matrices. The sums
 * are added in other orders: MOST roundings of numbers below 2 at most, and x moves by less than 1 in all. */
static void test_matrices_are_those_of_pytorch(void **state) {
    (void)state;
    static const struct {
        int rank, at;
        int64_t shape[4];
    } cases[] = {{4, 1, {6, 3, 4, 5}}, {4, 1, {6, 3, 4, 1}}, {3, 1, {6, 3, 5}},    {3, 0, {3, 4, 5}},
                 {2, 0, {3, 5}},       {4, 0, {6, 3, 4, 5}}, {4, 2, {6, 3, 4, 5}}, {4, 1, {6, 1, 1, 5}}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        const int rank = cases[c].rank;
        sw_params *last = one_param(SW_F64, rank, cases[c].shape, sw_channels_first(rank, cases[c].shape, cases[c].at));
        const sw_param *w = sw_params_at(last, 0);
        sw_params *first =
            one_param(SW_F64, w->channels_first.file_rank, w->channels_first.file_shape, (sw_file_order){0});
        sw_optim *o[2] = {sw_optim_new(last, "adafactor lr=0.1"), sw_optim_new(first, "adafactor lr=0.1")};
        double x[MOST], g[MOST], other[MOST];
        gradient_at(100, w->count, x);
        params_set(last, x);
        permute(w, true, x, other);
        params_set(first, other);
        for (int t = 0; t < STEPS; t++) {
            gradient_at(t, w->count, g);
            assert_ok(step_with(o[0], last, g));
            permute(w, true, g, other);
            assert_ok(step_with(o[1], first, other));
        }
        permute(w, false, sw_params_x(first), x);
        for (int64_t i = 0; i < w->count; i++)
            if (!(fabs(vec_get(SW_F64, sw_params_x(last), i) - x[i]) <= MOST * 0x1p-52))
                fail_msg("case %zu: element %d is %.17g, and %.17g in PyTorch's order", c, (int)i,
                         vec_get(SW_F64, sw_params_x(last), i), x[i]);
        for (int i = 0; i < 2; i++)
            sw_optim_free(o[i]);
        sw_params_free(last);
        sw_params_free(first);
    }
}

/* Tensors above SW_SERIAL elements: a matrix, a tall one, kernels, a vector; in f32 and f64. */
static void test_threads_do_not_change_bits(void **state) {
    (void)state;
    static const struct {
        int rank, at;
        int64_t shape[4];
    } cases[] = {{2, 0, {300, 171}}, {2, 0, {9000, 3}}, {4, 1, {40, 3, 3, 65}}, {3, 0, {5, 80, 90}}, {1, 0, {20000}}};
    const int before = sw_threads(), threads[] = {1, 2, 3, 8};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
        for (int type = 0; type < 2; type++) {
            uint64_t hash[4];
            for (int k = 0; k < 4; k++) {
                const int rank = cases[c].rank;
                const sw_file_order order =
                    cases[c].at ? sw_channels_first(rank, cases[c].shape, cases[c].at) : (sw_file_order){0};
                sw_params *p = one_param(both_types[type], rank, cases[c].shape, order);
                sw_optim *o = sw_optim_new(p, "adafactor lr=0.1");
                double *g = malloc((size_t)sw_params_dim(p) * sizeof *g);
                assert_non_null(g);
                assert_ok(sw_set_threads(threads[k]));
                assert_true(sw_params_dim(p) > SW_SERIAL);
                for (int t = 0; t < 2; t++) {
                    gradient_at(t, sw_params_dim(p), g);
                    assert_ok(step_with(o, p, g));
                }
                hash[k] = test_hash(TEST_HASH, sw_params_x(p), params_bytes(p));
                assert_true(hash[k] == hash[0]);
                free(g);
                sw_optim_free(o);
                sw_params_free(p);
            }
        }
    assert_ok(sw_set_threads(before));
}

/* With zeros alone, and without elements, nothing is divided by 0. */
static void test_empty_and_zero_tensors(void **state) {
    (void)state;
    sw_params *p = sw_params_new(SW_F32, 1);
    sw_params_add(p, "none", SW_SHAPE(0, 3), NULL);
    sw_params_add(p, "no_columns", SW_SHAPE(3, 0), NULL);
    sw_params_add(p, "zeros", SW_SHAPE(2, 3), NULL);
    sw_params_add(p, "vector", SW_SHAPE(0), NULL);
    sw_params_add(p, "scalar", 0, NULL, NULL);
    assert_ok(sw_params_build(p));
    sw_optim *o = sw_optim_new(p, "adafactor");
    assert_non_null(o);
    const double zeros[7] = {0};
    params_set(p, zeros);
    for (int t = 0; t < 3; t++)
        assert_ok(step_with(o, p, zeros));
    for (int i = 0; i < 7; i++)
        assert_true(vec_get(SW_F32, sw_params_x(p), i) == 0);
    sw_optim_free(o);
    sw_params_free(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_matrices_are_those_of_pytorch, test_clear),
        cmocka_unit_test_teardown(test_threads_do_not_change_bits, test_clear),
        cmocka_unit_test_teardown(test_empty_and_zero_tensors, test_clear),
    };
    return cmocka_run_group_tests_name("adafactor", tests, NULL, NULL);
}
