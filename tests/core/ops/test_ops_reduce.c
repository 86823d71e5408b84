/* Reductions, softmax, argmax and accuracy against plain loops in long double, over random shapes
 * and sets of axes; and extremes: large numbers, infinities, NaN, ties, empty axes, mistakes. */
#include "support.h"

enum { MOST = 100000 };

/* One random choice of a shape and of axes. */
typedef struct choice {
    sw_array x;
    int count, axes[5]; /* as given to the operation: some negative */
    bool reduced[5], keepdim;
    int64_t outputs;
} choice;

static double unit_roundoff(sw_dtype type) {
    return type == SW_F32 ? 0x1p-24 : 0x1p-53;
}

/* Up to 5 axes of 1 to 4, one of them now and then up to 150 (rows beyond 64, columns in groups). */
static choice draw(sw_dtype type, uint64_t *seed) {
    int64_t shape[5];
    const int rank = (int)(test_random(seed) % 6);
    choice c = {.keepdim = test_random(seed) % 2, .outputs = 1};
    for (int i = 0; i < rank; i++)
        shape[i] = 1 + (int64_t)(test_random(seed) % 4);
    if (rank && test_random(seed) % 2)
        shape[test_random(seed) % (uint64_t)rank] = 1 + (int64_t)(test_random(seed) % 150);
    c.x = test_filled(type, rank, shape, -2, 2, test_random(seed));
    for (int i = 0; i < rank; i++) {
        if (test_random(seed) % 2) {
            c.axes[c.count++] = test_random(seed) % 2 ? i : i - rank;
            c.reduced[i] = true;
        } else {
            c.outputs *= shape[i];
        }
    }
    for (int i = 0; i + 1 < c.count; i++) { /* in any order */
        int j = i + (int)(test_random(seed) % (uint64_t)(c.count - i)), axis = c.axes[i];
        c.axes[i] = c.axes[j];
        c.axes[j] = axis;
    }
    return c;
}

/* The elements of one output, in order; returns how many. */
static int64_t elements(const choice *c, int64_t output, long double *to) {
    int64_t n = 0;
    for (int64_t flat = 0; flat < sw_array_count(&c->x); flat++) {
        int64_t rest = flat, own = 0, stride = 1;
        for (int axis = c->x.rank - 1; axis >= 0; axis--) {
            if (!c->reduced[axis]) {
                own += rest % c->x.shape[axis] * stride;
                stride *= c->x.shape[axis];
            }
            rest /= c->x.shape[axis];
        }
        if (own == output)
            to[n++] = (long double)test_get(&c->x, flat);
    }
    return n;
}

static void expect_shape(const choice *c, const sw_array *y) {
    int rank = 0;
    for (int axis = 0; axis < c->x.rank; axis++)
        if (!c->reduced[axis] || c->keepdim) {
            assert_true(rank < y->rank);
            assert_int_equal(y->shape[rank], c->reduced[axis] ? 1 : c->x.shape[axis]);
            rank++;
        }
    assert_int_equal(rank, y->rank);
    assert_int_equal(y->type, c->x.type);
}

static void expect_near(const char *what, double got, long double wanted, double tolerance) {
    if (!(fabsl((long double)got - wanted) <= (long double)tolerance) && !(isnan(got) && isnan((double)wanted)))
        fail_msg("%s: %.17g, not %.17Lg, within %g", what, got, wanted, tolerance);
}

enum { SUMS, MEAN, VAR_0, VAR_1, LARGEST, SMALLEST, NORM_1, NORM_2, NORM_3, NORM_MAX, LOGSUMEXP, KINDS };

static sw_tensor reduce(int kind, sw_tensor x, int count, const int *axes, bool keepdim) {
    switch (kind) {
    case SUMS: return sw_sum_over(x, count, axes, keepdim);
    case MEAN: return sw_mean_over(x, count, axes, keepdim);
    case VAR_0: return sw_var_over(x, count, axes, keepdim, 0);
    case VAR_1: return sw_var_over(x, count, axes, keepdim, 1);
    case LARGEST: return sw_max_over(x, count, axes, keepdim);
    case SMALLEST: return sw_min_over(x, count, axes, keepdim);
    case NORM_1: return sw_norm_over(x, 1, count, axes, keepdim);
    case NORM_2: return sw_norm_over(x, 2, count, axes, keepdim);
    case NORM_3: return sw_norm_over(x, 3, count, axes, keepdim);
    case NORM_MAX: return sw_norm_over(x, (double)INFINITY, count, axes, keepdim);
    default: return sw_logsumexp_over(x, count, axes, keepdim);
    }
}

/* And the error bound in units of the roundoff u. A sum of n terms in any order errs by at most
 * (n - 1) u Σ|terms|; numbers are below 2. */
static long double plain(int kind, const long double *x, int64_t n, double *bound) {
    long double sum = 0, squares = 0, cubes = 0, absolute = 0, exps = 0, most = x[0], least = x[0], deviations = 0;
    const double N = (double)n;
    for (int64_t i = 0; i < n; i++) {
        sum += x[i];
        absolute += fabsl(x[i]);
        squares += x[i] * x[i];
        cubes += fabsl(x[i] * x[i] * x[i]);
        exps += expl(x[i]);
        most = fmaxl(most, x[i]);
        least = fminl(least, x[i]);
    }
    for (int64_t i = 0; i < n; i++)
        deviations += (x[i] - sum / (long double)n) * (x[i] - sum / (long double)n);
    switch (kind) {
    case SUMS: *bound = N * (double)absolute; return sum; /* and one rounding of the result */
    case MEAN: *bound = 2 * N; return sum / (long double)n;
    case VAR_0:
    case VAR_1: /* a deviation, below 4, errs by 3 roundings of 4: its square by 7·16 u */
        *bound = (N + 8) * 16 * N / fmax(1, N - (kind == VAR_1));
        return n > (kind == VAR_1) ? deviations / (long double)(n - (kind == VAR_1)) : (long double)NAN;
    case LARGEST: *bound = 0; return most;
    case SMALLEST: *bound = 0; return least;
    case NORM_1: *bound = N * (double)absolute; return absolute;
    case NORM_2: /* terms (x/m)² with 3 roundings, a root, a product */
        *bound = (N + 8) * (double)sqrtl(squares);
        return sqrtl(squares);
    case NORM_3: /* a term e^-a, a = 3 log(m/|x|), errs by (4 a e^-a + 2) u < 4 u; their sum is ≥ 1;
                  * the root goes through a logarithm below 9 and an exponential */
        *bound = (5 * N + 24) * (double)cbrtl(cubes);
        return cbrtl(cubes);
    case NORM_MAX: *bound = 0; return fmaxl(most, -least);
    default: /* a term errs by 4 u (x - m) and 2 u (exp); the logarithm, below 9, by 2 ulp; then a sum */
        *bound = N + 6 + 2 * 9 + 16;
        return logl(exps);
    }
}

static void test_reductions_give_the_plain_values(void **state) {
    (void)state;
    static long double x[MOST];
    static const char *const names[KINDS] = {"sum",    "mean",   "var 0",  "var 1",    "max",      "min",
                                             "norm 1", "norm 2", "norm 3", "norm max", "logsumexp"};
    uint64_t seed = 12;
    sw_tape *tape = sw_tape_new();
    for (int round = 0; round < 200; round++) {
        const sw_dtype type = round % 2 ? SW_F64 : SW_F32;
        choice c = draw(type, &seed);
        sw_tape_reset(tape);
        sw_tensor t = sw_input(tape, c.x);
        sw_array y[KINDS];
        for (int kind = 0; kind < KINDS; kind++) {
            y[kind] = sw_value(reduce(kind, t, c.count, c.axes, c.keepdim));
            expect_no_error();
            expect_shape(&c, &y[kind]);
            assert_int_equal(sw_array_count(&y[kind]), c.outputs);
        }
        for (int64_t i = 0; i < c.outputs; i++) {
            const int64_t n = elements(&c, i, x);
            for (int kind = 0; kind < KINDS; kind++) {
                double bound;
                long double wanted = plain(kind, x, n, &bound);
                expect_near(names[kind], test_get(&y[kind], i), wanted, bound * unit_roundoff(type));
            }
        }
        test_array_free(&c.x);
    }
    sw_tape_free(tape);
}

/* Long rows, many rows, and few outputs of many elements, which are divided into parts. */
static void test_large_reductions_are_accurate(void **state) {
    (void)state;
    static const int64_t shapes[][3] = {{1, 70000, 1}, {40000, 2, 1}, {300, 1, 200}, {70, 3, 300},
                                        {20000, 1, 3}, {2, 30000, 1}, {1, 9, 7000},  {130, 500, 1}};
    static long double x[MOST];
    sw_tape *tape = sw_tape_new();
    for (int s = 0; s < 8; s++)
        for (int axis = 0; axis < 3; axis++) {
            choice c = {.x = test_filled(SW_F64, 3, shapes[s], -2, 2, 9), .count = 2, .outputs = 1};
            for (int i = 0, k = 0; i < 3; i++) {
                c.reduced[i] = i != axis;
                if (c.reduced[i])
                    c.axes[k++] = i;
            }
            c.outputs = shapes[s][axis];
            sw_tape_reset(tape);
            sw_tensor t = sw_input(tape, c.x);
            sw_array y[KINDS];
            for (int kind = 0; kind < KINDS; kind++)
                y[kind] = sw_value(reduce(kind, t, c.count, c.axes, false));
            expect_no_error();
            const int64_t step = c.outputs > 10 ? c.outputs / 3 : 1; /* a few of many outputs */
            for (int64_t i = 0; i < c.outputs; i += step) {
                const int64_t n = elements(&c, i, x);
                for (int kind = 0; kind < KINDS; kind++) {
                    double bound;
                    long double wanted = plain(kind, x, n, &bound);
                    expect_near("large", test_get(&y[kind], i), wanted, bound * 0x1p-53);
                }
            }
            test_array_free(&c.x);
        }
    sw_tape_free(tape);
}

static void test_softmax_and_argmax_give_the_plain_values(void **state) {
    (void)state;
    static long double x[MOST];
    uint64_t seed = 31;
    sw_tape *tape = sw_tape_new();
    for (int round = 0; round < 200; round++) {
        const sw_dtype type = round % 2 ? SW_F64 : SW_F32;
        const double u = unit_roundoff(type);
        choice c = draw(type, &seed);
        if (c.x.rank == 0) {
            test_array_free(&c.x);
            continue;
        }
        const int axis = (int)(test_random(&seed) % (uint64_t)c.x.rank), given = round % 3 ? axis : axis - c.x.rank;
        int64_t inner = 1, n = c.x.shape[axis];
        for (int i = 0; i < c.x.rank; i++)
            c.reduced[i] = i == axis;
        for (int i = axis + 1; i < c.x.rank; i++)
            inner *= c.x.shape[i];
        c.outputs = sw_array_count(&c.x) / n;
        sw_tape_reset(tape);
        sw_tensor t = sw_input(tape, c.x);
        sw_array p = sw_value(sw_softmax(t, given)), log_p = sw_value(sw_log_softmax(t, given)),
                 best = sw_value(sw_argmax(t, given, c.keepdim));
        expect_no_error();
        assert_int_equal(best.type, SW_I32);
        assert_int_equal(best.rank, c.x.rank - !c.keepdim);
        for (int64_t o = 0; o < c.outputs; o++) {
            long double total = 0;
            int64_t largest = 0;
            elements(&c, o, x);
            for (int64_t j = 0; j < n; j++) {
                total += expl(x[j]);
                largest = x[j] > x[largest] ? j : largest;
            }
            assert_int_equal((int64_t)test_get(&best, o), largest);
            for (int64_t j = 0; j < n; j++) {
                /* Relative: a term 6 u, their sum n + 6, two roundings; the logarithm as in plain(). */
                int64_t at = o / inner * n * inner + j * inner + o % inner;
                long double wanted = expl(x[j]) / total;
                expect_near("softmax", test_get(&p, at), wanted, ((double)n + 16) * u * (double)wanted);
                expect_near("log_softmax", test_get(&log_p, at), x[j] - logl(total), ((double)n + 6 + 2 * 9 + 16) * u);
            }
        }
        test_array_free(&c.x);
    }
    sw_tape_free(tape);
}

/* ---- Extremes ---- */

static sw_tensor variable(sw_tape *tape, sw_dtype type, int rows, int n, const double *values) {
    sw_tensor b = sw_empty(tape, type, SW_SHAPE(rows, n));
    sw_array a = sw_value(b);
    for (int i = 0; i < rows * n; i++)
        test_set(&a, i, values[i]);
    return sw_variable(tape, a);
}

/* Values and, of the sum over the outputs, gradients. NaN equals NaN. */
static void expect_numbers(sw_tensor x, sw_tensor y, int outputs, const double *values, int n, const double *gradient,
                           double tolerance) {
    expect_no_error();
    sw_array v = sw_value(y);
    assert_int_equal(sw_array_count(&v), outputs);
    assert_int_equal(sw_backward(sw_sum(y)), SW_OK);
    sw_array g = sw_grad(x);
    for (int i = 0; i < outputs + n; i++) {
        const double got = i < outputs ? test_get(&v, i) : test_get(&g, i - outputs),
                     wanted = i < outputs ? values[i] : gradient[i - outputs];
        if (!(fabs(got - wanted) <= tolerance * fabs(wanted)) && got != wanted && !(isnan(got) && isnan(wanted)))
            fail_msg("number %d: %.17g, not %.17g", i, got, wanted);
    }
}

#define INF ((double)INFINITY)
#define NO ((double)NAN)

static void test_max_shares_its_gradient_among_ties(void **state) {
    (void)state;
    const double x[] = {1, 3, 3, 0, 2, 2, 2, 2}, nan[] = {1, NO, 3, NO, 0, -INF, INF, INF};
    sw_tape *tape = sw_tape_new();
    for (int type = SW_F32; type <= SW_F64; type++) {
        sw_tape_reset(tape);
        sw_tensor a = variable(tape, (sw_dtype)type, 2, 4, x), b = variable(tape, (sw_dtype)type, 2, 4, x);
        expect_numbers(a, sw_max_over(a, SW_AXES(1), false), 2, (double[]){3, 2}, 8,
                       (double[]){0, 0.5, 0.5, 0, 0.25, 0.25, 0.25, 0.25}, 0);
        expect_numbers(b, sw_min_over(b, SW_AXES(0), true), 4, (double[]){1, 2, 2, 0}, 8,
                       (double[]){1, 0, 0, 1, 0, 1, 1, 0}, 0);
        sw_tensor c = variable(tape, (sw_dtype)type, 2, 4, nan), d = variable(tape, (sw_dtype)type, 2, 4, nan);
        expect_numbers(c, sw_max_over(c, SW_AXES(1), false), 2, (double[]){NO, INF}, 8,
                       (double[]){NO, NO, NO, NO, 0, 0, 0.5, 0.5}, 0);
        expect_numbers(d, sw_min_over(d, SW_AXES(1), false), 2, (double[]){NO, -INF}, 8,
                       (double[]){NO, NO, NO, NO, 0, 1, 0, 0}, 0);
        const double y[] = {-3, 3, 1, 0, 0, 0, 0, 0};
        sw_tensor e = variable(tape, (sw_dtype)type, 2, 4, y);
        expect_numbers(e, sw_norm_over(e, INF, SW_AXES(1), false), 2, (double[]){3, 0}, 8,
                       (double[]){-0.5, 0.5, 0, 0, 0, 0, 0, 0}, 0);
    }
    sw_tape_free(tape);
}

/* A NaN in any place shows, in rows and in columns of any length. */
static void test_reductions_show_a_nan_anywhere(void **state) {
    (void)state;
    sw_tape *tape = sw_tape_new();
    for (int type = SW_F32; type <= SW_F64; type++)
        for (int n = 1; n < 150; n += n < 4 ? 1 : 29)
            for (int where = 0; where < n; where += 1 + n / 7)
                for (int axis = 0; axis < 2; axis++) {
                    sw_tape_reset(tape);
                    sw_array a = axis ? test_filled((sw_dtype)type, SW_SHAPE(3, n), -1, 1, 3)
                                      : test_filled((sw_dtype)type, SW_SHAPE(n, 3), -1, 1, 3);
                    test_set(&a, axis ? n + where : where * 3 + 1, NO); /* output 1 of 3 */
                    sw_tensor x = sw_input(tape, a);
                    for (int kind = 0; kind < KINDS; kind++) {
                        sw_array y = sw_value(reduce(kind, x, SW_AXES(axis), false));
                        for (int i = 0; i < 3; i++)
                            assert_int_equal(isnan(test_get(&y, i)) != 0, i == 1 || (kind == VAR_1 && n == 1));
                    }
                    sw_array p = sw_value(sw_softmax(x, axis)), l = sw_value(sw_log_softmax(x, axis)),
                             best = sw_value(sw_argmax(x, axis, false));
                    for (int i = 0; i < 3 * n; i++) {
                        bool hit = (axis ? i / n : i % 3) == 1;
                        assert_int_equal(isnan(test_get(&p, i)) != 0, hit);
                        assert_int_equal(isnan(test_get(&l, i)) != 0, hit);
                    }
                    assert_int_equal((int)test_get(&best, 1), where);
                    expect_no_error();
                    test_array_free(&a);
                }
    sw_tape_free(tape);
}

/* m (1 + 1 + …): a result is right to a few roundings although its squares over- or underflow. */
static void test_norms_do_not_overflow(void **state) {
    (void)state;
    const struct {
        sw_dtype type;
        double size;
    } cases[] = {{SW_F64, 1e200}, {SW_F64, 1e-200}, {SW_F64, 4e307}, {SW_F64, 1e-308},
                 {SW_F32, 1e-30}, {SW_F32, 1e30},   {SW_F32, 1e-38}, {SW_F32, 6e37}};
    sw_tape *tape = sw_tape_new();
    for (int k = 0; k < 8; k++)
        for (int sign = -1; sign <= 1; sign += 2) {
            const double s = cases[k].type == SW_F32 ? (double)(float)cases[k].size : cases[k].size,
                         x[4] = {sign * s, s, -s, s}, third = cbrt(4.), g3 = 1 / (third * third),
                         u = unit_roundoff(cases[k].type);
            sw_tape_reset(tape);
            sw_tensor a = variable(tape, cases[k].type, 1, 4, x), b = variable(tape, cases[k].type, 1, 4, x),
                      c = variable(tape, cases[k].type, 1, 4, x);
            /* 2 s, and ±½ each: exact but for the product */
            expect_numbers(a, sw_norm_over(a, 2, SW_AXES(1), false), 1, (double[]){2 * s}, 4,
                           (double[]){sign * 0.5, 0.5, -0.5, 0.5}, 2 * u);
            /* log 4 / 3 and its exponential: a few roundings; the power 2 doubles the error; the
             * smallest numbers are near the subnormal ones */
            expect_numbers(b, sw_norm_over(b, 3, SW_ALL_AXES, false), 1, (double[]){third * s}, 4,
                           (double[]){sign * g3, g3, -g3, g3}, 16 * u);
            expect_numbers(c, sw_norm_over(c, 1e300, SW_ALL_AXES, false), 1, (double[]){s}, 4,
                           (double[]){sign * 0.25, 0.25, -0.25, 0.25}, 0);
        }
    const double zero[2] = {0, 0}, inf[2] = {-INF, 1};
    sw_tape_reset(tape);
    for (double p = 1; p < 4; p += 0.5) {
        sw_tensor x = variable(tape, SW_F32, 1, 2, zero), y = variable(tape, SW_F64, 1, 2, inf);
        expect_numbers(x, sw_norm_over(x, p, SW_AXES(1), false), 1, zero, 2, zero, 0);
        assert_true(sw_item(sw_norm_over(y, p, SW_AXES(-1), false)) == INF);
    }
    sw_tape_free(tape);
}

static void test_logsumexp_of_extremes_is_exact(void **state) {
    (void)state;
    const double large[] = {1e4, 1e4, -1e4, -1e4}, none[] = {-INF, -INF, -INF, 0}, top[] = {INF, 0, 1, -INF};
    sw_tape *tape = sw_tape_new();
    for (int type = SW_F32; type <= SW_F64; type++) {
        const sw_dtype t = (sw_dtype)type;
        /* the result's rounding near 1e4 is 2^-11 (f32), 2^-40: e^(x-y) is off by that much */
        const double error = type ? 0x1p-39 : 0x1p-10;
        sw_tape_reset(tape);
        sw_tensor a = variable(tape, t, 2, 2, large), b = variable(tape, t, 2, 2, none),
                  c = variable(tape, t, 2, 2, large), d = variable(tape, t, 2, 2, none),
                  e = variable(tape, t, 2, 2, large), f = variable(tape, t, 2, 2, none);
        expect_numbers(a, sw_logsumexp_over(a, SW_AXES(1), false), 2, (double[]){1e4 + log(2), log(2) - 1e4}, 4,
                       (double[]){0.5, 0.5, 0.5, 0.5}, error);
        expect_numbers(b, sw_logsumexp_over(b, SW_AXES(1), false), 2, (double[]){-INF, 0}, 4, (double[]){0, 0, 0, 1},
                       0);
        sw_array over = sw_value(sw_logsumexp_over(variable(tape, t, 2, 2, top), SW_AXES(0), false));
        assert_true(test_get(&over, 0) == INF && test_get(&over, 1) == 0);
        expect_numbers(c, sw_softmax(c, 0), 4, (double[]){1, 1, 0, 0}, 4, (double[]){0, 0, 0, 0}, 0);
        expect_numbers(e, sw_log_softmax(e, 0), 4, (double[]){0, 0, -2e4, -2e4}, 4, (double[]){-1, -1, 1, 1}, 0);
        const double rising[] = {-1e4, 1e4, 1e4, -1e4};
        sw_tensor r = variable(tape, t, 2, 2, rising);
        for (int axis = 0; axis < 2; axis++) {
            sw_array q = sw_value(sw_softmax(r, axis)), log_q = sw_value(sw_log_softmax(r, axis));
            for (int i = 0; i < 4; i++) {
                assert_true(test_get(&q, i) == (rising[i] > 0));
                assert_true(test_get(&log_q, i) == (rising[i] > 0 ? 0 : -2e4));
            }
        }
        sw_array p = sw_value(sw_softmax(d, 1)), l = sw_value(sw_log_softmax(f, 1));
        assert_true(test_get(&p, 2) == 0 && test_get(&p, 3) == 1);
        assert_true(test_get(&l, 2) == -INF && test_get(&l, 3) == 0);
    }
    sw_tape_free(tape);
}

/* A large mean must not swallow the spread. In f32, 1e6 + 0.8, the mean of 5 numbers, is 0.0125 from the
 * nearest number of the type, whose square is 50 times what is allowed. */
static void test_var_of_large_numbers_is_accurate(void **state) {
    (void)state;
    sw_tape *tape = sw_tape_new();
    for (int n = 5; n <= 5000; n *= 10)
        for (int axis = 0; axis < 2; axis++) {
            sw_array a = axis ? test_array(SW_F32, SW_SHAPE(1, n)) : test_array(SW_F32, SW_SHAPE(n, 1));
            long double sum = 0, squares = 0;
            for (int i = 0; i < n; i++) {
                test_set(&a, i, 1e6 + (double)(i % 3));
                sum += i % 3;
                squares += (i % 3) * (i % 3);
            }
            long double mean = sum / n, wanted = squares / n - mean * mean;
            sw_tape_reset(tape);
            /* deviations below 2 with 2 roundings of 2, squares below 4: as in test_reductions_give_the_plain_values */
            expect_near("var", sw_item(sw_var_over(sw_input(tape, a), SW_AXES(axis), false, 0)), wanted,
                        (n + 8) * 4 * 0x1p-24);
            expect_no_error();
            test_array_free(&a);
        }
    sw_tape_free(tape);
}

static void test_reductions_of_empty_axes_are_defined(void **state) {
    (void)state;
    sw_tape *tape = sw_tape_new();
    sw_tensor x = sw_empty(tape, SW_F32, SW_SHAPE(2, 0, 3));
    const double wanted[KINDS] = {0, NO, NO, NO, 0, 0, 0, 0, 0, 0, -INF};
    for (int kind = 0; kind < KINDS; kind++) {
        if (kind == LARGEST || kind == SMALLEST)
            continue; /* errors: in the table of operations */
        sw_array y = sw_value(reduce(kind, x, SW_AXES(1), false)), none = sw_value(reduce(kind, x, SW_AXES(0), true));
        expect_no_error();
        assert_int_equal(sw_array_count(&y), 6);
        assert_int_equal(sw_array_count(&none), 0);
        for (int i = 0; i < 6; i++)
            assert_true(test_get(&y, i) == wanted[kind] || (isnan(wanted[kind]) && isnan(test_get(&y, i))));
    }
    const sw_array product = sw_value(sw_prod_over(x, SW_AXES(1), false)),
                   any = sw_value(sw_any_over(x, SW_AXES(1), false)), all = sw_value(sw_all_over(x, SW_AXES(1), false)),
                   deviation = sw_value(sw_std_over(x, SW_AXES(1), false, -1));
    for (int i = 0; i < 6; i++)
        assert_true(test_get(&product, i) == 1 && test_get(&any, i) == 0 && test_get(&all, i) == 1 &&
                    isnan(test_get(&deviation, i)));
    sw_array most = sw_value(sw_max_over(x, SW_AXES(0), false)), at = sw_value(sw_argmax(x, 2, false));
    assert_int_equal(sw_array_count(&most), 0);
    assert_int_equal(sw_array_count(&at), 0);
    sw_tensor scalar = sw_constant(tape, SW_F64, -3);
    assert_true(sw_item(sw_norm_over(scalar, 3, SW_ALL_AXES, true)) == 3);
    assert_true(sw_item(sw_logsumexp_over(scalar, 0, NULL, false)) == -3);
    assert_true(sw_item(sw_var_over(scalar, SW_ALL_AXES, false, 0)) == 0);
    assert_true(
        isnan(sw_item(sw_accuracy(sw_empty(tape, SW_F32, SW_SHAPE(0, 3)), sw_empty(tape, SW_I32, SW_SHAPE(0))))));
    expect_no_error();
    sw_tape_free(tape);
}

/* The first of equal ones, near the front and behind the first block of 32. */
static void test_argmax_gives_the_first_of_equal_elements(void **state) {
    (void)state;
    enum { N = 70 };
    sw_tape *tape = sw_tape_new();
    for (int type = SW_F32; type <= SW_F64; type++)
        for (int where = 0; where < N; where += 3)
            for (int axis = 0; axis < 2; axis++) {
                sw_array a =
                    axis ? test_array((sw_dtype)type, SW_SHAPE(3, N)) : test_array((sw_dtype)type, SW_SHAPE(N, 3));
                for (int i = where; i < N; i++) /* equal from here on */
                    test_set(&a, axis ? N + i : i * 3 + 1, 0.5);
                sw_tape_reset(tape);
                sw_array best = sw_value(sw_argmax(sw_input(tape, a), axis, false));
                expect_no_error();
                for (int i = 0; i < 3; i++)
                    assert_int_equal((int)test_get(&best, i), i == 1 ? where : 0);
                test_array_free(&a);
            }
    sw_tape_free(tape);
}

static void test_accuracy_counts_the_right_rows(void **state) {
    (void)state;
    const double z[] = {1, 2, 2, 3, 3, 0, NO, 5, 1, 9, 1, NO, -INF, -INF, -INF, 0, 1, 2};
    int32_t ids[6] = {1, 0, 0, 0, 0, 2};
    sw_tape *tape = sw_tape_new();
    for (int type = SW_F32; type <= SW_F64; type++) {
        sw_tensor t = variable(tape, (sw_dtype)type, 6, 3, z),
                  id = sw_input_copy(tape, sw_array_view(ids, SW_I32, SW_SHAPE(6)));
        /* first of equal ones, twice; two rows with a NaN miss; all -∞: the first; the last */
        const double share = sw_item(sw_accuracy(t, id));
        assert_true(share == (type ? 4. / 6 : (double)(float)(4. / 6)));
    }
    ids[3] = 3;
    sw_tensor t = variable(tape, SW_F64, 6, 3, z), id = sw_input(tape, sw_array_view(ids, SW_I32, SW_SHAPE(6)));
    assert_true(sw_is_null(sw_accuracy(t, id)));
    expect_error(SW_ERR_ARGUMENT, "accuracy: id 3 in row 3 is outside 0 to 2");
    assert_true(sw_is_null(sw_accuracy(t, t)));
    expect_error(SW_ERR_TYPE, "accuracy: the ids are f64; i32 is needed");
    assert_true(sw_is_null(sw_accuracy(id, id)));
    expect_error(SW_ERR_TYPE, "accuracy: the scores are i32; f32, f64, f16 or bf16 is needed");
    sw_tensor one = sw_constant(tape, SW_F64, 1), zero = sw_constant(tape, SW_I32, 0);
    assert_true(sw_is_null(sw_accuracy(one, zero)));
    expect_error(SW_ERR_SHAPE, "accuracy: scores [] and ids []; [...,classes] and [...] are needed");
    sw_tape_free(tape);
}

/* NaN, ∞ and subnormal numbers are true, zeros of both signs are false, in every type. */
static void test_any_and_all_know_what_is_0(void **state) {
    (void)state;
    const double truths[] = {NO, INF, -INF, 1e-7, -3}, zeros[] = {0, -0.0};
    static const sw_dtype types[] = {SW_F32, SW_F64, SW_F16, SW_BF16};
    sw_tape *tape = sw_tape_new();
    for (int t = 0; t < 4; t++)
        for (int i = 0; i < 5; i++)
            for (int zero = 0; zero < 2; zero++) {
                sw_tensor x = sw_empty(tape, types[t], SW_SHAPE(2));
                const sw_array a = sw_value(x);
                test_set(&a, 0, truths[i]);
                test_set(&a, 1, zeros[zero]);
                assert_true(sw_item(sw_any_over(x, SW_AXES(0), false)) == 1);
                assert_true(sw_item(sw_all_over(x, SW_AXES(0), false)) == 0);
                test_set(&a, 1, truths[4 - i]);
                assert_true(sw_item(sw_all_over(x, SW_ALL_AXES, false)) == 1);
                test_set(&a, 0, zeros[1 - zero]);
                test_set(&a, 1, zeros[zero]);
                assert_true(sw_item(sw_any_over(x, SW_ALL_AXES, false)) == 0);
                assert_true(sw_item(sw_any_over(sw_logical_not(x), SW_AXES(0), false)) == 1);
            }
    sw_tape_free(tape);
}

/* Intermediate products are beyond the range of f32, and the gradients are products of other elements. */
static void test_products_do_not_overflow_on_the_way(void **state) {
    (void)state;
    const float z[4] = {1e-30f, 1e-30f, 1e30f, 1e30f};
    sw_tape *tape = sw_tape_new();
    sw_tensor x = sw_variable(tape, sw_array_view(z, SW_F32, SW_SHAPE(4))), y = sw_prod(x);
    const double exact = (double)z[0] * (double)z[1] * (double)z[2] * (double)z[3];
    assert_true(fabs(sw_item(y) - exact) <= 0x1p-24 * exact);
    const sw_array all = sw_value(sw_cumprod(x, 0));
    assert_true(test_get(&all, 3) == sw_item(y) && test_get(&all, 1) == 0);
    assert_ok(sw_backward(y));
    const sw_array d = sw_grad(x);
    /* The product of the elements before is rounded to f32, and so is the result. */
    assert_true(fabs(test_get(&d, 0) - exact / (double)z[0]) <= 0x1p-22 * exact / (double)z[0]);
    sw_tape_free(tape);
}

/* With n ≤ correction the divisor is 0, as in PyTorch. A correction below 0 increases the divisor. */
static void test_var_and_std_take_any_correction(void **state) {
    (void)state;
    const double z[3] = {1, 4, 4}, equal[2] = {7, 7};
    sw_tape *tape = sw_tape_new();
    sw_tensor x = sw_variable(tape, sw_array_view(z, SW_F64, SW_SHAPE(3))),
              same = sw_variable(tape, sw_array_view(equal, SW_F64, SW_SHAPE(2)));
    assert_true(sw_item(sw_var_over(x, SW_AXES(0), false, 1.5)) == 4);
    assert_true(sw_item(sw_std_over(x, SW_AXES(0), false, -3)) == 1);
    assert_true(sw_item(sw_var_over(x, SW_AXES(0), false, 3)) == INF);
    assert_true(sw_item(sw_var_over(x, SW_AXES(0), false, 5)) == INF);
    assert_true(sw_item(sw_std_over(x, SW_AXES(0), false, 5)) == INF);
    assert_true(isnan(sw_item(sw_var_over(same, SW_AXES(0), false, 2))));
    sw_tensor deviation = sw_std_over(same, SW_AXES(0), false, 1);
    assert_true(sw_item(deviation) == 0);
    assert_ok(sw_backward(deviation));
    const double *d = sw_grad(same).data;
    assert_true(d[0] == 0 && d[1] == 0);
    sw_tape_free(tape);
}

static void test_reductions_refuse_wrong_options(void **state) {
    (void)state;
    sw_tape *tape = sw_tape_new();
    sw_tensor x = sw_empty(tape, SW_F64, SW_SHAPE(2, 3));
    for (int i = 0; i < 3; i++) {
        const double p[] = {0.5, NO, -INF};
        const char *const text[] = {"norm_over: p is 0.5; 1 to INFINITY is needed",
                                    "norm_over: p is nan; 1 to INFINITY is needed",
                                    "norm_over: p is -inf; 1 to INFINITY is needed"};
        assert_true(sw_is_null(sw_norm_over(x, p[i], SW_AXES(0), false)));
        expect_error(SW_ERR_ARGUMENT, text[i]);
    }
    assert_true(sw_is_null(sw_var_over(x, SW_AXES(0), false, NO)));
    expect_error(SW_ERR_ARGUMENT, "var_over: correction nan; a finite number is needed (0: population, 1: sample)");
    assert_true(sw_is_null(sw_std_over(x, SW_AXES(0), false, INF)));
    expect_error(SW_ERR_ARGUMENT, "std_over: correction inf; a finite number is needed (0: population, 1: sample)");
    assert_true(sw_is_null(sw_prod_over(x, 1, NULL, false)));
    expect_error(SW_ERR_ARGUMENT, "prod_over: 1 axes, but their numbers are NULL");
    sw_tensor ids = sw_empty(tape, SW_I32, SW_SHAPE(2));
    assert_true(sw_is_null(sw_prod(ids)));
    expect_error(SW_ERR_TYPE, "prod: input 0 is i32; f32, f64, f16 or bf16 is needed");
    assert_true(sw_is_null(sw_cumsum(ids, 0)));
    expect_error(SW_ERR_TYPE, "cumsum: input 0 is i32; f32, f64, f16 or bf16 is needed");
    assert_true(sw_is_null(sw_sum_over(x, 1, NULL, false)));
    expect_error(SW_ERR_ARGUMENT, "sum_over: 1 axes, but their numbers are NULL");
    assert_true(sw_is_null(sw_max_over(x, -2, NULL, false)));
    expect_error(SW_ERR_ARGUMENT, "max_over: -2 axes; SW_AXES(...) or SW_ALL_AXES is needed");
    assert_true(sw_is_null(sw_min_over(x, SW_AXES(0, 0, 0, 0, 0, 0, 0, 0, 0), false)));
    expect_error(SW_ERR_ARGUMENT, "min_over: 9 axes; SW_AXES(...) or SW_ALL_AXES is needed");
    assert_true(sw_is_null(sw_mean_over(x, SW_AXES(1, -1), false)));
    expect_error(SW_ERR_ARGUMENT, "mean_over: axis 1 of [2,3] is given twice");
    assert_true(sw_is_null(sw_softmax(x, -3)));
    expect_error(SW_ERR_SHAPE, "softmax: axis -3 of [2,3]; its axes are -2 to 1");
    sw_tape_free(tape);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_reductions_give_the_plain_values, test_clear),
        cmocka_unit_test_setup(test_large_reductions_are_accurate, test_clear),
        cmocka_unit_test_setup(test_softmax_and_argmax_give_the_plain_values, test_clear),
        cmocka_unit_test_setup(test_max_shares_its_gradient_among_ties, test_clear),
        cmocka_unit_test_setup(test_reductions_show_a_nan_anywhere, test_clear),
        cmocka_unit_test_setup(test_norms_do_not_overflow, test_clear),
        cmocka_unit_test_setup(test_logsumexp_of_extremes_is_exact, test_clear),
        cmocka_unit_test_setup(test_var_of_large_numbers_is_accurate, test_clear),
        cmocka_unit_test_setup(test_reductions_of_empty_axes_are_defined, test_clear),
        cmocka_unit_test_setup(test_argmax_gives_the_first_of_equal_elements, test_clear),
        cmocka_unit_test_setup(test_accuracy_counts_the_right_rows, test_clear),
        cmocka_unit_test_setup(test_any_and_all_know_what_is_0, test_clear),
        cmocka_unit_test_setup(test_products_do_not_overflow_on_the_way, test_clear),
        cmocka_unit_test_setup(test_var_and_std_take_any_correction, test_clear),
        cmocka_unit_test_setup(test_reductions_refuse_wrong_options, test_clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
