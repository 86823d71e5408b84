/* A convolution outside the library, on its public headers alone: work by sample, with a patch matrix in each worker's
 * scratch, and the gradient of the weights as partial sums of fixed parts of the batch. */
#include "support.h"

#include <swale/extend.h>

#include <float.h>

/* ---- The operation: x [N,H,W,C], w [O,KH,KW,C] → y [N,P,Q,O], P = H - KH + 1, Q = W - KW + 1 ---- */

typedef struct convolution_sizes {
    int64_t N, H, W, C, O, KH, KW, P, Q, patches, patch; /* patches P·Q of KH·KW·C numbers */
    size_t size;                                         /* of an element */
} convolution_sizes;

static convolution_sizes convolution_sizes_of(const sw_call *c) {
    const int64_t *x = c->in[0]->shape, *w = c->in[1]->shape;
    convolution_sizes s = {.N = x[0], .H = x[1], .W = x[2], .C = x[3], .O = w[0], .KH = w[1], .KW = w[2]};
    s.P = s.H - s.KH + 1;
    s.Q = s.W - s.KW + 1;
    s.patches = s.P * s.Q;
    s.patch = s.KH * s.KW * s.C;
    s.size = sw_dtype_size(c->in[0]->type);
    return s;
}

static sw_status convolution_shape(sw_call *c) {
    SW_TRY(sw_call_check_real(c));
    const sw_view *x = c->in[0], *w = c->in[1];
    if (x->rank != 4 || w->rank != 4 || x->shape[3] != w->shape[3] || x->shape[1] < w->shape[1] ||
        x->shape[2] < w->shape[2])
        return sw_fail(SW_ERR_SHAPE, "convolution: input %s and weight %s; [N,H,W,C] and [O,KH,KW,C] are expected",
                       sw_shape_text(x->rank, x->shape), sw_shape_text(w->rank, w->shape));
    const convolution_sizes s = convolution_sizes_of(c);
    return sw_call_set_shape(c, x->type, SW_SHAPE(s.N, s.P, s.Q, s.O));
}

/* A row of a patch is KW·C consecutive numbers of x, as are the rows of the kernel. */
static void patches_gather(const convolution_sizes *s, const char *x, char *patches) {
    const size_t row = (size_t)(s->KW * s->C) * s->size;
    for (int64_t p = 0; p < s->P; p++)
        for (int64_t q = 0; q < s->Q; q++)
            for (int64_t i = 0; i < s->KH; i++, patches += row)
                memcpy(patches, x + (size_t)(((p + i) * s->W + q) * s->C) * s->size, row);
}

static void patches_scatter_add(const convolution_sizes *s, sw_dtype type, const char *patches, char *x) {
    const int64_t row = s->KW * s->C;
    for (int64_t p = 0; p < s->P; p++)
        for (int64_t q = 0; q < s->Q; q++)
            for (int64_t i = 0; i < s->KH; i++, patches += (size_t)row * s->size) {
                char *to = x + (size_t)(((p + i) * s->W + q) * s->C) * s->size;
                for (int64_t k = 0; k < row; k++)
                    if (type == SW_F32)
                        ((float *)to)[k] += ((const float *)patches)[k];
                    else
                        ((double *)to)[k] += ((const double *)patches)[k];
            }
}

typedef struct convolution_job {
    convolution_sizes s;
    sw_dtype type;
    const char *x, *w, *dy;
    char *y, *dx, *partial; /* partial [parts,O,KH,KW,C]: of dw */
    int64_t parts;
} convolution_job;

static sw_status convolution_forward_sample(void *args, int64_t n, sw_worker *worker) {
    const convolution_job *j = args;
    const convolution_sizes *s = &j->s;
    const int64_t in = s->H * s->W * s->C;
    const char *x = j->x + (size_t)(n * in) * s->size;
    for (int64_t i = 0; i < in; i++)
        if (isnan(vec_get(j->type, x, i)))
            return sw_fail(SW_ERR_NONFINITE, "convolution: sample %lld holds NaN", (long long)n);
    patches_gather(s, x, worker->scratch);
    return sw_gemm(j->type, false, true, s->patches, s->O, s->patch, 1, worker->scratch, s->patch, j->w, s->patch, 0,
                   j->y + (size_t)(n * s->patches * s->O) * s->size, s->O);
}

static sw_status convolution_forward(sw_call *c) {
    convolution_job j = {.s = convolution_sizes_of(c),
                         .type = c->out->type,
                         .x = c->in[0]->data,
                         .w = c->in[1]->data,
                         .y = c->out->data};
    const size_t bytes = (size_t)(j.s.patches * j.s.patch) * j.s.size, all = sw_parallel_scratch(j.s.N, bytes);
    void *scratch = sw_call_scratch(c, all);
    if (!scratch)
        return SW_ERR_MEMORY;
    return sw_parallel_items_with_scratch(convolution_forward_sample, &j, j.s.N, bytes, scratch, all);
}

/* The samples of one part, in their order: dx, and the part's share of dw. */
static sw_status convolution_vjp_part(void *args, int64_t part, sw_worker *worker) {
    const convolution_job *j = args;
    const convolution_sizes *s = &j->s;
    const int64_t begin = sw_part_begin(s->N, j->parts, part), end = sw_part_begin(s->N, j->parts, part + 1);
    for (int64_t n = begin; n < end; n++) {
        const char *dy = j->dy + (size_t)(n * s->patches * s->O) * s->size;
        if (j->partial) {
            patches_gather(s, j->x + (size_t)(n * s->H * s->W * s->C) * s->size, worker->scratch);
            SW_TRY(sw_gemm(j->type, true, false, s->O, s->patch, s->patches, 1, dy, s->O, worker->scratch, s->patch,
                           n == begin ? 0 : 1, j->partial + (size_t)(part * s->O * s->patch) * s->size, s->patch));
        }
        if (j->dx) {
            char *dx = j->dx + (size_t)(n * s->H * s->W * s->C) * s->size;
            SW_TRY(sw_gemm(j->type, false, false, s->patches, s->patch, s->O, 1, dy, s->O, j->w, s->patch, 0,
                           worker->scratch, s->patch));
            memset(dx, 0, (size_t)(s->H * s->W * s->C) * s->size);
            patches_scatter_add(s, j->type, worker->scratch, dx);
        }
    }
    return SW_OK;
}

enum { PARTS = 8 }; /* at most: it depends on N alone */

static sw_status convolution_vjp(sw_call *c) {
    convolution_job j = {.s = convolution_sizes_of(c),
                         .type = c->out->type,
                         .x = c->in[0]->data,
                         .w = c->in[1]->data,
                         .dy = c->cotangent};
    j.parts = j.s.N < PARTS ? j.s.N : PARTS;
    const int64_t weights = j.s.O * j.s.patch;
    const size_t bytes = (size_t)(j.s.patches * j.s.patch) * j.s.size, all = sw_parallel_scratch(j.parts, bytes);
    void *scratch = sw_call_scratch(c, all), *dw = NULL;
    if (!scratch)
        return SW_ERR_MEMORY;
    if (sw_call_wants_grad(c, 0) && !(j.dx = sw_call_grad(c, 0)))
        return SW_ERR_MEMORY;
    if (sw_call_wants_grad(c, 1)) {
        dw = sw_call_grad(c, 1);
        j.partial = sw_call_scratch(c, (size_t)(j.parts * weights) * j.s.size);
        if (!dw || !j.partial)
            return SW_ERR_MEMORY;
    }
    SW_TRY(sw_parallel_items_with_scratch(convolution_vjp_part, &j, j.parts, bytes, scratch, all));
    if (dw) {
        sw_add_vectors(j.type, j.partial, j.parts, weights);
        memcpy(dw, j.partial, (size_t)weights * j.s.size);
    }
    return SW_OK;
}

static const sw_op convolution_op = {.size = sizeof(sw_op),
                                     .name = "convolution",
                                     .shape = convolution_shape,
                                     .forward = convolution_forward,
                                     .vjp = convolution_vjp,
                                     .vjp_reads = SW_READS(0) | SW_READS(1)};

static sw_tensor convolution(sw_tensor x, sw_tensor w) {
    return sw_apply(&convolution_op, NULL, 0, 2, (sw_tensor[]){x, w});
}

/* ---- Against plain loops in f64 ---- */

enum { N = 21, H = 9, W = 8, C = 3, O = 5, KH = 3, KW = 2, P = H - KH + 1, Q = W - KW + 1, X = 0, WEIGHT, Y, ARRAYS };
enum { MOST = N * P * Q * O }; /* elements of an array: of y */
_Static_assert(MOST >= N * H * W * C && MOST >= O * KH * KW * C, "y is the largest");
static const int64_t shapes[ARRAYS][4] = {{N, H, W, C}, {O, KH, KW, C}, {N, P, Q, O}};
static const char *const names[ARRAYS] = {"the gradient of x", "the gradient of w", "y"};

/* y, and for the loss Σ c y its gradients, each beside the sum of its terms' magnitudes. */
typedef struct expected {
    double value[ARRAYS][MOST], magnitude[ARRAYS][MOST];
} expected;

static void reference(const sw_array *x, const sw_array *w, const sw_array *c, expected *e) {
    memset(e, 0, sizeof *e);
    for (int64_t n = 0; n < N; n++)
        for (int64_t p = 0; p < P; p++)
            for (int64_t q = 0; q < Q; q++)
                for (int64_t o = 0; o < O; o++)
                    for (int64_t i = 0; i < KH; i++)
                        for (int64_t j = 0; j < KW; j++)
                            for (int64_t k = 0; k < C; k++) {
                                const int64_t at[ARRAYS] = {((n * H + p + i) * W + q + j) * C + k,
                                                            ((o * KH + i) * KW + j) * C + k,
                                                            ((n * P + p) * Q + q) * O + o};
                                const double a = test_get(x, at[X]), b = test_get(w, at[WEIGHT]),
                                             g = test_get(c, at[Y]), term[ARRAYS] = {g * b, g * a, a * b};
                                for (int array = 0; array < ARRAYS; array++) {
                                    e->value[array][at[array]] += term[array];
                                    e->magnitude[array][at[array]] += fabs(term[array]);
                                }
                            }
}

/* A sum of m products, in any order, is off by at most m u Σ|a b| to first order (Higham, Accuracy and Stability of
 * Numerical Algorithms, 2002, section 3.1); the reference in f64 by the same with its u. */
static void check_array(int array, sw_dtype type, const void *values, const expected *e) {
    static const int terms[ARRAYS] = {KH * KW * O, N * P * Q, KH * KW * C};
    const double u = (type == SW_F32 ? FLT_EPSILON : DBL_EPSILON) / 2 + DBL_EPSILON / 2;
    const int64_t count = shapes[array][0] * shapes[array][1] * shapes[array][2] * shapes[array][3];
    for (int64_t i = 0; i < count; i++) {
        const double error = fabs(vec_get(type, values, i) - e->value[array][i]);
        if (!(error <= terms[array] * u * e->magnitude[array][i] * 1.01)) /* u² */
            fail_msg("%s in %s, element %lld: %.17g, expected %.17g", names[array], sw_dtype_name(type), (long long)i,
                     vec_get(type, values, i), e->value[array][i]);
    }
}

typedef struct setting {
    sw_tape *tape;
    const char *layer;
    sw_array x, w, c;
} setting;

static setting setting_new(sw_dtype type) {
    return (setting){.tape = sw_tape_new(),
                     .x = test_filled(type, 4, shapes[X], -1, 1, 1),
                     .w = test_filled(type, 4, shapes[WEIGHT], -1, 1, 2),
                     .c = test_filled(type, 4, shapes[Y], -1, 1, 3)};
}

static void setting_free(setting *s) {
    sw_tape_free(s->tape);
    test_array_free(&s->x);
    test_array_free(&s->w);
    test_array_free(&s->c);
}

/* One pass; y and both gradients into `to`. */
static sw_status pass(const setting *s, const void *to[ARRAYS]) {
    sw_tape_reset(s->tape);
    sw_tape_set_layer(s->tape, s->layer);
    sw_tensor x = sw_variable(s->tape, s->x), w = sw_variable(s->tape, s->w), y = convolution(x, w);
    if (sw_is_null(y))
        return sw_last_failure();
    SW_TRY(sw_backward(sw_sum(sw_mul(y, sw_input(s->tape, s->c)))));
    to[X] = sw_grad(x).data;
    to[WEIGHT] = sw_grad(w).data;
    to[Y] = sw_value(y).data;
    return SW_OK;
}

static uint64_t pass_hash(const setting *s) {
    const void *got[ARRAYS];
    assert_ok(pass(s, got));
    return test_hash(test_hash(test_hash(TEST_HASH, got[X], test_bytes(&s->x)), got[WEIGHT], test_bytes(&s->w)), got[Y],
                     test_bytes(&s->c));
}

static void test_convolution_equals_plain_loops(void **state) {
    (void)state;
    expected *e = malloc(sizeof *e);
    assert_non_null(e);
    for (int type = SW_F32; type <= SW_F64; type++) {
        setting s = setting_new((sw_dtype)type);
        reference(&s.x, &s.w, &s.c, e);
        const void *got[ARRAYS];
        assert_ok(pass(&s, got));
        for (int array = 0; array < ARRAYS; array++)
            check_array(array, (sw_dtype)type, got[array], e);
        setting_free(&s);
    }
    free(e);
}

static void test_bits_are_equal_for_1_2_and_8_threads(void **state) {
    (void)state;
    static const int threads[] = {1, 2, 8};
    for (int type = SW_F32; type <= SW_F64; type++) {
        setting s = setting_new((sw_dtype)type);
        uint64_t first = 0;
        for (int t = 0; t < 3; t++)
            for (int run = 0; run < 10; run++) {
                assert_ok(sw_set_threads(threads[t]));
                const uint64_t hash = pass_hash(&s);
                first = first ? first : hash;
                assert_true(hash == first);
            }
        vec_set((sw_dtype)type, s.w.data, 0, 0.25);
        assert_true(pass_hash(&s) != first); /* the hash sees what is computed */
        setting_free(&s);
    }
}

static void test_nothing_is_allocated_after_the_first_step(void **state) {
    (void)state;
    test_allocator allocator;
    test_allocator_install(&allocator);
    assert_ok(sw_set_threads(4));
    setting s = setting_new(SW_F32);
    pass_hash(&s);
    const long long calls = atomic_load(&allocator.calls);
    pass_hash(&s);
    pass_hash(&s);
    assert_int_equal(atomic_load(&allocator.calls), calls);
    setting_free(&s);
    assert_int_equal(atomic_load(&allocator.live), 0);
    sw_set_allocator(NULL);
}

/* ---- An error in one item ---- */

static void test_first_sample_that_fails_is_reported(void **state) {
    (void)state;
    static const int threads[] = {1, 2, 8};
    for (int t = 0; t < 3; t++) {
        assert_ok(sw_set_threads(threads[t]));
        setting s = setting_new(SW_F32);
        const void *got[ARRAYS];
        float *x = s.x.data;
        for (int round = 0; round < 20; round++) {
            x[13 * H * W * C] = x[17 * H * W * C + 5] = x[20 * H * W * C + 7] = NAN;
            assert_int_equal(pass(&s, got), SW_ERR_NONFINITE);
            expect_error(SW_ERR_NONFINITE, "convolution: sample 13 holds NaN");
            x[2 * H * W * C + 1] = NAN;
            s.layer = "conv1";
            assert_int_equal(pass(&s, got), SW_ERR_NONFINITE);
            expect_error(SW_ERR_NONFINITE, "layer conv1: convolution: sample 2 holds NaN");
            s.layer = NULL;
            x[2 * H * W * C + 1] = x[13 * H * W * C] = x[17 * H * W * C + 5] = x[20 * H * W * C + 7] = 0;
            assert_ok(pass(&s, got)); /* and the next pass works */
        }
        setting_free(&s);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_convolution_equals_plain_loops, test_clear, test_no_error_left),
        cmocka_unit_test_setup_teardown(test_bits_are_equal_for_1_2_and_8_threads, test_clear, test_no_error_left),
        cmocka_unit_test_setup_teardown(test_nothing_is_allocated_after_the_first_step, test_clear, test_no_error_left),
        cmocka_unit_test_setup_teardown(test_first_sample_that_fails_is_reported, test_clear, test_no_error_left),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    sw_set_threads(1);
    return failed;
}
