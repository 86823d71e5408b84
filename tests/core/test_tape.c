/* What a tape promises: bindings, gradient blocks, memory that is reused, views, marks and segments
 * that are recomputed inside a vjp, very deep graphs, tapes in several threads. */
#include "support.h"

#include <pthread.h>

#include <swale/extend.h>

/* ---- A small model: y = tanh(x W0ᵀ + b0) W1ᵀ, and a parameter that nothing uses ---- */

enum { IN = 5, HIDDEN = 6, OUT = 3, BATCH = 8 };

typedef struct model {
    sw_params *params;
    sw_param *w0, *b0, *w1, *unused;
} model;

static sw_status fill_uniform(const sw_init *init, const sw_param *param, sw_rng *rng, double *out) {
    for (int64_t i = 0; i < param->count; i++)
        out[i] = init->a + (init->b - init->a) * sw_rng_uniform(rng);
    return SW_OK;
}

static sw_param *declare(sw_params *p, const char *name, int rank, const int64_t *shape) {
    const sw_param_options options = {
        .size = sizeof options,
        .init = {.size = sizeof(sw_init), .name = "uniform", .fill = fill_uniform, .a = -1, .b = 1}};
    sw_param *param = sw_params_add(p, name, rank, shape, &options);
    assert_non_null(param);
    return param;
}

static model model_new(sw_dtype type) {
    model m = {.params = sw_params_new(type, 17)};
    m.w0 = declare(m.params, "w0", SW_SHAPE(HIDDEN, IN));
    m.b0 = declare(m.params, "b0", SW_SHAPE(HIDDEN));
    m.w1 = declare(m.params, "w1", SW_SHAPE(OUT, HIDDEN));
    m.unused = declare(m.params, "unused", SW_SHAPE(4));
    assert_int_equal(sw_params_build(m.params), SW_OK);
    return m;
}

static sw_tensor model_loss(const model *m, sw_tape *tape, const sw_array *x, const sw_array *y) {
    sw_tensor h = sw_linear(sw_input(tape, *x), sw_param_use(tape, m->w0), sw_param_use(tape, m->b0));
    sw_tensor z = sw_linear(sw_tanh(h), sw_param_use(tape, m->w1), (sw_tensor){0});
    return sw_mse(z, sw_input(tape, *y));
}

static sw_array rows(const sw_array *a, int64_t first, int64_t count) {
    sw_array part = *a;
    int64_t width = sw_array_count(a) / a->shape[0];
    part.data = (char *)a->data + (size_t)(first * width) * sw_dtype_size(a->type);
    part.shape[0] = count;
    return part;
}

static uint64_t hash_of(const sw_params *p, const void *vector) {
    return test_hash(TEST_HASH, vector, (size_t)sw_params_dim(p) * sw_dtype_size(sw_params_type(p)));
}

static void poison(const sw_params *p, void *vector) { /* a fresh block may hold anything */
    for (int64_t i = 0; i < sw_params_dim(p); i++)
        if (sw_params_type(p) == SW_F32)
            ((float *)vector)[i] = NAN;
        else
            ((double *)vector)[i] = (double)NAN;
}

typedef struct fixture {
    model m;
    sw_tape *tape;
    sw_array x, y;
} fixture;

static int setup(void **state) {
    fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    sw_clear_error();
    f->m = model_new(SW_F64);
    f->tape = sw_tape_new();
    f->x = test_filled(SW_F64, SW_SHAPE(BATCH, IN), -1, 1, 1);
    f->y = test_filled(SW_F64, SW_SHAPE(BATCH, OUT), -1, 1, 2);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    fixture *f = *state;
    sw_tape_free(f->tape);
    sw_params_free(f->m.params);
    test_array_free(&f->x);
    test_array_free(&f->y);
    free(f);
    return sw_error() != NULL; /* no test leaves one behind */
}

static void step(const fixture *f) {
    assert_int_equal(sw_backward(model_loss(&f->m, f->tape, &f->x, &f->y)), SW_OK);
}

/* ---- Bindings ---- */

static void test_binding(void **state) {
    const fixture *f = *state;
    sw_params *p = f->m.params;
    size_t bytes = (size_t)sw_params_dim(p) * sizeof(double);
    double *x = malloc(bytes), *own = sw_params_x(p);
    sw_gradient *g = sw_gradient_new(p);
    for (int64_t i = 0; i < sw_params_dim(p); i++)
        x[i] = own[i] * 0.5;
    step(f);
    uint64_t x_before = hash_of(p, own), g_before = hash_of(p, sw_gradient_data(sw_params_gradient(p)));
    double loss_before = sw_item(model_loss(&f->m, f->tape, &f->x, &f->y));
    sw_tape_reset(f->tape);

    assert_int_equal(sw_tape_bind(f->tape, p, x, g), SW_OK);
    poison(p, sw_gradient_data(g));
    double loss_there = sw_item(model_loss(&f->m, f->tape, &f->x, &f->y));
    assert_true(loss_there != loss_before);
    assert_true(sw_value(sw_param_use(f->tape, f->m.w0)).data ==
                (void *)(x + f->m.w0->offset)); /* read in place: nothing was copied */
    step(f);
    uint64_t there = hash_of(p, sw_gradient_data(g));
    assert_true(sw_grad(sw_param_use(f->tape, f->m.w1)).data ==
                (void *)((double *)sw_gradient_data(g) + f->m.w1->offset));
    /* Its own vector and gradient saw nothing of it. */
    assert_true(hash_of(p, own) == x_before);
    assert_true(hash_of(p, sw_gradient_data(sw_params_gradient(p))) == g_before);
    sw_tape_reset(f->tape);

    /* And back: bit for bit. */
    assert_int_equal(sw_tape_bind(f->tape, p, NULL, NULL), SW_OK);
    sw_gradient_make_fresh(sw_params_gradient(p));
    assert_true(sw_item(model_loss(&f->m, f->tape, &f->x, &f->y)) == loss_before);
    step(f);
    assert_true(hash_of(p, sw_gradient_data(sw_params_gradient(p))) == g_before);
    sw_tape_reset(f->tape);

    /* The same numbers in the model's own place give the same gradient. */
    memcpy(own, x, bytes);
    sw_gradient_make_fresh(sw_params_gradient(p));
    step(f);
    assert_true(hash_of(p, sw_gradient_data(sw_params_gradient(p))) == there);
    sw_gradient_free(g);
    free(x);
}

typedef struct job {
    const fixture *f;
    double *x;
    sw_gradient *g;
    double loss;
    const char *trouble;
} job;

static void *run_job(void *args) {
    job *j = args;
    sw_tape *tape = sw_tape_new();
    j->trouble = NULL;
    for (int round = 0; round < 50 && !j->trouble; round++) {
        sw_gradient_make_fresh(j->g);
        if (sw_tape_bind(tape, j->f->m.params, j->x, j->g) != SW_OK)
            j->trouble = "bind";
        sw_tensor loss = model_loss(&j->f->m, tape, &j->f->x, &j->f->y);
        j->loss = sw_item(loss);
        if (sw_backward(loss) != SW_OK)
            j->trouble = "backward";
        sw_tape_reset(tape);
    }
    sw_tape_free(tape);
    if (sw_error())
        j->trouble = "an error was kept";
    return NULL;
}

static void test_two_bindings_in_two_threads(void **state) {
    const fixture *f = *state;
    int64_t dim = sw_params_dim(f->m.params);
    job jobs[2];
    uint64_t serial[2];
    double losses[2];
    for (int i = 0; i < 2; i++) {
        jobs[i] = (job){.f = f, .x = malloc((size_t)dim * sizeof(double)), .g = sw_gradient_new(f->m.params)};
        for (int64_t k = 0; k < dim; k++)
            jobs[i].x[k] = ((const double *)sw_params_x(f->m.params))[k] * (1 + i);
        run_job(&jobs[i]);
        serial[i] = hash_of(f->m.params, sw_gradient_data(jobs[i].g));
        losses[i] = jobs[i].loss;
    }
    assert_true(serial[0] != serial[1]);
    pthread_t thread[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, run_job, &jobs[i]), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(thread[i], NULL);
    for (int i = 0; i < 2; i++) {
        if (jobs[i].trouble)
            fail_msg("%s", jobs[i].trouble);
        assert_true(hash_of(f->m.params, sw_gradient_data(jobs[i].g)) == serial[i]);
        assert_true(jobs[i].loss == losses[i]);
        free(jobs[i].x);
        sw_gradient_free(jobs[i].g);
    }
}

/* The set's memory may come back to the next set: the tape must not take one for the other. */
static void test_sets_that_come_and_go(void **state) {
    const fixture *f = *state;
    for (int i = 0; i < 20; i++) {
        sw_params *p = sw_params_new(SW_F64, (uint64_t)i);
        int count = 1 + i % 3;
        sw_param *w = NULL;
        for (int k = 0; k < count; k++) {
            char name[8];
            snprintf(name, sizeof name, "w%d", k);
            w = declare(p, name, SW_SHAPE(2));
        }
        assert_int_equal(sw_params_build(p), SW_OK);
        sw_tensor t = sw_param_use(f->tape, w);
        assert_true(sw_value(t).data == sw_param_value(w).data);
        assert_int_equal(sw_backward(sw_sum(t)), SW_OK);
        assert_true(test_get(&(sw_array){.data = sw_param_grad(w).data, .type = SW_F64}, 1) == 1);
        sw_tape_reset(f->tape);
        sw_params_free(p);
    }
}

/* ---- Gradient blocks ---- */

static void test_fresh_and_added(void **state) {
    const fixture *f = *state;
    sw_params *p = f->m.params;
    sw_gradient *g = sw_params_gradient(p);
    assert_true(sw_gradient_is_fresh(g));
    assert_null(sw_grad(sw_param_use(f->tape, f->m.w0)).data);
    poison(p, sw_gradient_data(g));
    step(f);
    assert_false(sw_gradient_is_fresh(g));
    sw_array once = test_array(SW_F64, SW_SHAPE(sw_params_dim(p)));
    memcpy(once.data, sw_gradient_data(g), test_bytes(&once));
    for (int64_t i = 0; i < sw_params_dim(p); i++)
        assert_true(isfinite(test_get(&once, i))); /* stored, not added to NaN */
    sw_array unused = sw_param_grad(f->m.unused);
    for (int i = 0; i < 4; i++)
        assert_true(test_get(&unused, i) == 0);
    /* A second loss on the same pass adds up: 2 g has no rounding. */
    step(f);
    const double *now = sw_gradient_data(g);
    for (int64_t i = 0; i < sw_params_dim(p); i++)
        assert_true(now[i] == 2 * test_get(&once, i));
    /* Fresh again within the pass: stored again. */
    sw_gradient_make_fresh(g);
    poison(p, sw_gradient_data(g));
    step(f);
    assert_memory_equal(now, once.data, test_bytes(&once));
    /* Without sample ids a pass counts as one: the mean of two equal passes is that pass. */
    sw_tape_reset(f->tape);
    step(f);
    assert_memory_equal(sw_gradient_data(g), once.data, test_bytes(&once));
    assert_int_equal(sw_gradient_samples(g), 2);
    test_array_free(&once);
}

static void test_micro_batches(void **state) {
    const fixture *f = *state;
    sw_params *p = f->m.params;
    sw_gradient *g = sw_params_gradient(p);
    const int64_t ids[BATCH] = {0, 1, 2, 3, 4, 5, 6, 7};
    assert_int_equal(sw_tape_set_sample_ids(f->tape, ids, BATCH), SW_OK);
    step(f);
    assert_int_equal(sw_gradient_samples(g), BATCH);
    sw_array whole = test_array(SW_F64, SW_SHAPE(sw_params_dim(p)));
    memcpy(whole.data, sw_gradient_data(g), test_bytes(&whole));
    sw_gradient_make_fresh(g);
    assert_int_equal(sw_gradient_samples(g), 0);
    poison(p, sw_gradient_data(g));
    static const int64_t parts[][3] = {{5, 3, 0}, {3, 5, 0}, {1, 6, 1}, {2, 2, 4}};
    for (size_t k = 0; k < sizeof parts / sizeof *parts; k++) {
        int64_t first = 0;
        sw_gradient_make_fresh(g);
        for (int i = 0; i < 3 && parts[k][i]; i++) {
            int64_t n = parts[k][i];
            sw_tape_reset(f->tape);
            assert_int_equal(sw_tape_set_sample_ids(f->tape, ids + first, n), SW_OK);
            sw_array x = rows(&f->x, first, n), y = rows(&f->y, first, n);
            /* two halves of the loss, so that later passes also add within a pass */
            sw_tensor loss = model_loss(&f->m, f->tape, &x, &y);
            assert_int_equal(sw_backward(sw_scale(loss, 0.5)), SW_OK);
            assert_int_equal(sw_backward(sw_scale(loss, 0.5)), SW_OK);
            first += n;
        }
        assert_int_equal(sw_gradient_samples(g), BATCH);
        /* Each number is a sum over 8 samples of 3 terms below 4, summed in another order and
         * weighted in up to 4 roundings: 24 · 4 · (24 + 8) · 2^-53 */
        const double tolerance = 24 * 4 * 32 * 0x1p-53;
        for (int64_t i = 0; i < sw_params_dim(p); i++)
            assert_true(fabs(((const double *)sw_gradient_data(g))[i] - test_get(&whole, i)) <= tolerance);
    }
    test_array_free(&whole);
}

/* A backward of a tape that does not touch a set leaves that set's block alone. */
static void test_untouched_set(void **state) {
    const fixture *f = *state;
    sw_params *p = f->m.params;
    step(f);
    uint64_t before = hash_of(p, sw_gradient_data(sw_params_gradient(p)));
    sw_tape_reset(f->tape);
    assert_int_equal(sw_backward(sw_sum(sw_variable(f->tape, f->x))), SW_OK);
    assert_true(hash_of(p, sw_gradient_data(sw_params_gradient(p))) == before);
    assert_int_equal(sw_gradient_samples(sw_params_gradient(p)), 1);
}

static void expect_zero(const sw_param *param) {
    sw_array g = sw_param_grad(param);
    for (int64_t i = 0; i < param->count; i++)
        assert_true(test_get(&g, i) == 0);
}

static bool any_nonzero(const sw_param *param) {
    sw_array g = sw_param_grad(param);
    bool any = false;
    for (int64_t i = 0; i < param->count; i++)
        any |= test_get(&g, i) != 0;
    return any;
}

static void test_frozen(void **state) {
    const fixture *f = *state;
    sw_params *p = f->m.params;
    step(f);
    uint64_t w1 = test_hash(TEST_HASH, sw_param_grad(f->m.w1).data, OUT * HIDDEN * sizeof(double));
    sw_tape_reset(f->tape);
    /* One parameter: zero, and the others as before. */
    sw_param_freeze(f->m.w0, true);
    sw_gradient_make_fresh(sw_params_gradient(p));
    poison(p, sw_gradient_data(sw_params_gradient(p)));
    step(f);
    expect_zero(f->m.w0);
    assert_true(any_nonzero(f->m.b0));
    assert_true(w1 == test_hash(TEST_HASH, sw_param_grad(f->m.w1).data, OUT * HIDDEN * sizeof(double)));
    sw_param_freeze(f->m.w0, false);
    sw_tape_reset(f->tape);
    /* The whole set on this tape: its block stays as it is, and gradients pass through to inputs.
     */
    uint64_t before = hash_of(p, sw_gradient_data(sw_params_gradient(p)));
    assert_int_equal(sw_tape_freeze(f->tape, p, true), SW_OK);
    sw_tensor x = sw_variable(f->tape, f->x);
    sw_tensor y = sw_linear(x, sw_param_use(f->tape, f->m.w0), sw_param_use(f->tape, f->m.b0));
    assert_int_equal(sw_backward(sw_sum(y)), SW_OK);
    assert_non_null(sw_grad(x).data);
    assert_true(hash_of(p, sw_gradient_data(sw_params_gradient(p))) == before);
    sw_tape_reset(f->tape);
    assert_int_equal(sw_backward(model_loss(&f->m, f->tape, &f->x, &f->y)), SW_ERR_STATE);
    sw_clear_error();
    sw_tape_reset(f->tape);
    assert_int_equal(sw_tape_freeze(f->tape, p, false), SW_OK);
    step(f);
    assert_true(any_nonzero(f->m.w0));
}

/* A vjp that does not ask whether anybody wants its gradients must not write into blocks. */
static sw_status like_first(sw_call *call) {
    return sw_call_set_shape_like(call, 0);
}
static sw_status product_forward(sw_call *call) {
    for (int64_t i = 0; i < call->out->count; i++)
        ((double *)call->out->data)[i] =
            ((const double *)call->in[0]->data)[i] * ((const double *)call->in[1]->data)[i];
    return SW_OK;
}
static sw_status product_vjp_for_all(sw_call *call) {
    for (int k = 0; k < 2; k++) {
        double *d = sw_call_grad(call, k);
        if (!d)
            return SW_ERR_MEMORY;
        for (int64_t i = 0; i < call->out->count; i++)
            d[i] = ((const double *)call->cotangent)[i] * ((const double *)call->in[1 - k]->data)[i];
    }
    return SW_OK;
}
static const sw_op eager_op = {.size = sizeof(sw_op),
                               .name = "eager",
                               .shape = like_first,
                               .forward = product_forward,
                               .vjp = product_vjp_for_all,
                               .vjp_reads = SW_READS(0) | SW_READS(1)};

static void test_unwanted_gradients(void **state) {
    const fixture *f = *state;
    sw_params *p = f->m.params;
    const double four[4] = {1, 2, 3, 4};
    sw_array array = sw_array_view(four, SW_F64, SW_SHAPE(4));
    for (int whole_set = 0; whole_set < 2; whole_set++) {
        sw_gradient_make_fresh(sw_params_gradient(p));
        step(f);
        uint64_t before = hash_of(p, sw_gradient_data(sw_params_gradient(p)));
        sw_tape_reset(f->tape);
        sw_param_freeze(f->m.unused, !whole_set);
        assert_int_equal(sw_tape_freeze(f->tape, p, whole_set), SW_OK);
        sw_gradient_make_fresh(sw_params_gradient(p));
        sw_tensor v = sw_variable(f->tape, array), still = sw_input(f->tape, array);
        sw_tensor first = sw_apply(&eager_op, NULL, 0, 2, (sw_tensor[]){sw_param_use(f->tape, f->m.unused), v});
        sw_tensor second = sw_apply(&eager_op, NULL, 0, 2, (sw_tensor[]){v, still});
        assert_int_equal(sw_backward(sw_sum(sw_add(first, second))), SW_OK);
        if (whole_set)
            assert_true(hash_of(p, sw_gradient_data(sw_params_gradient(p))) == before);
        else
            expect_zero(f->m.unused);
        assert_null(sw_grad(still).data);
        sw_param_freeze(f->m.unused, false);
        sw_tape_reset(f->tape);
        assert_int_equal(sw_tape_freeze(f->tape, p, false), SW_OK);
    }
}

static void test_tied(void **state) {
    const fixture *f = *state;
    sw_params *p = sw_params_new(SW_F64, 1);
    sw_param *b = declare(p, "b", SW_SHAPE(2)), *a = declare(p, "a", SW_SHAPE(3)),
             *alias = sw_params_tie(p, "alias", a), *again = sw_params_tie(p, "again", alias);
    assert_int_equal(sw_params_build(p), SW_OK);
    assert_int_equal(sw_params_dim(p), 5);
    assert_int_equal(sw_params_count(p), 4);
    assert_int_equal(a->offset, 2);
    assert_int_equal(alias->offset, a->offset);
    assert_ptr_equal(again->tied, a);
    sw_tensor ta = sw_param_use(f->tape, a), tb = sw_param_use(f->tape, alias);
    assert_int_equal(ta.slot, tb.slot); /* one leaf */
    poison(p, sw_gradient_data(sw_params_gradient(p)));
    sw_tensor loss = sw_add(sw_sum(sw_scale(ta, 2)), sw_sum(sw_scale(sw_param_use(f->tape, again), 5)));
    assert_int_equal(sw_backward(loss), SW_OK);
    sw_array ga = sw_param_grad(a), galias = sw_param_grad(again);
    for (int i = 0; i < 3; i++) {
        assert_true(test_get(&ga, i) == 7);
        assert_true(test_get(&galias, i) == 7);
    }
    expect_zero(b);
    sw_tape_reset(f->tape);
    sw_param_freeze(alias, true); /* one storage: frozen under every name */
    assert_true(a->frozen);
    assert_int_equal(sw_backward(sw_sum(sw_param_use(f->tape, a))), SW_ERR_STATE);
    sw_clear_error();
    sw_tape_reset(f->tape);
    sw_params_free(p);
}

/* A parameter as both inputs of an op, broadcast, and in several ops, over two passes. */
static void test_parameter_used_often(void **state) {
    const fixture *f = *state;
    sw_params *p = sw_params_new(SW_F64, 1);
    sw_param *w = declare(p, "w", SW_SHAPE(3));
    assert_int_equal(sw_params_build(p), SW_OK);
    const double *x = sw_params_x(p);
    const double one[6] = {1, 1, 1, 1, 1, 1};
    sw_array ones = sw_array_view(one, SW_F64, SW_SHAPE(2, 3));
    for (int pass = 0; pass < 3; pass++) {
        sw_tensor t = sw_param_use(f->tape, w), square = sw_mul(t, t);
        sw_tensor wide = sw_mul(t, sw_input(f->tape, ones)); /* reduced over the batch: 2 */
        sw_tensor sum = sw_add(sw_add(t, t), t);             /* cotangents passed on: 3 */
        sw_tensor loss = sw_add(sw_add(sw_sum(square), sw_sum(wide)), sw_sum(sum));
        assert_int_equal(sw_backward(loss), SW_OK);
        const double *g = sw_gradient_data(sw_params_gradient(p));
        /* 2x + 5 in every pass, so also in their mean; thirds have roundings */
        for (int i = 0; i < 3; i++)
            assert_true(fabs(g[i] - (2 * x[i] + 5)) <= 7 * 8 * 0x1p-53);
        sw_tape_reset(f->tape);
    }
    sw_params_free(p);
}

/* ---- Gradients of tensors ---- */

static void test_retained(void **state) {
    const fixture *f = *state;
    const double x[2] = {2, 3};
    sw_tensor v = sw_variable(f->tape, sw_array_view(x, SW_F64, SW_SHAPE(2)));
    sw_tensor plain = sw_mul(v, v), kept = sw_retain_grad(sw_scale(plain, 3));
    sw_tensor passed = sw_retain_grad(sw_add(kept, kept)), loss = sw_sum(sw_scale(passed, 0.5));
    assert_null(sw_grad(kept).data);
    assert_int_equal(sw_backward(loss), SW_OK);
    assert_null(sw_grad(plain).data);
    sw_array g = sw_grad(kept), h = sw_grad(passed), dv = sw_grad(v);
    for (int i = 0; i < 2; i++) {
        assert_true(test_get(&h, i) == 0.5);
        assert_true(test_get(&g, i) == 1);
        assert_true(test_get(&dv, i) == 6 * x[i]);
    }
    /* What is kept from one backward is no cotangent of the next. */
    assert_int_equal(sw_backward(sw_sum(plain)), SW_OK); /* does not come by `kept` */
    g = sw_grad(kept), dv = sw_grad(v);
    for (int i = 0; i < 2; i++) {
        assert_true(test_get(&g, i) == 1);
        assert_true(test_get(&dv, i) == 6 * x[i] + 2 * x[i]);
    }
    assert_int_equal(sw_backward(loss), SW_OK);
    g = sw_grad(kept), h = sw_grad(passed), dv = sw_grad(v);
    for (int i = 0; i < 2; i++) { /* backward passes add up, also here */
        assert_true(test_get(&h, i) == 1);
        assert_true(test_get(&g, i) == 2);
        assert_true(test_get(&dv, i) == 2 * 6 * x[i] + 2 * x[i]);
    }
}

static void test_backward_from(void **state) {
    const fixture *f = *state;
    const double x[3] = {2, 3, 4}, cotangent[3] = {10, 100, 1000};
    sw_array c = sw_array_view(cotangent, SW_F64, SW_SHAPE(3));
    sw_tensor v = sw_variable(f->tape, sw_array_view(x, SW_F64, SW_SHAPE(3))), y = sw_mul(v, v);
    assert_int_equal(sw_backward_from(y, c), SW_OK);
    sw_array g = sw_grad(v);
    for (int i = 0; i < 3; i++)
        assert_true(test_get(&g, i) == 2 * x[i] * cotangent[i]);
    /* From a leaf itself, and from a parameter's. */
    sw_tensor w = sw_variable(f->tape, sw_array_view(x, SW_F64, SW_SHAPE(3)));
    assert_int_equal(sw_backward_from(w, c), SW_OK);
    g = sw_grad(w);
    assert_memory_equal(g.data, cotangent, sizeof cotangent);
    assert_memory_equal(c.data, cotangent, sizeof cotangent);
    sw_tensor b0 = sw_param_use(f->tape, f->m.b0);
    const double six[HIDDEN] = {1, 2, 3, 4, 5, 6};
    assert_int_equal(sw_backward_from(b0, sw_array_view(six, SW_F64, SW_SHAPE(HIDDEN))), SW_OK);
    assert_memory_equal(sw_param_grad(f->m.b0).data, six, sizeof six);
    expect_zero(f->m.w0);
}

static void test_switches(void **state) {
    const fixture *f = *state;
    assert_true(sw_tape_switch(f->tape, SW_RECORD));
    assert_true(sw_tape_switch(f->tape, SW_TRAIN));
    assert_false(sw_tape_switch(f->tape, SW_UPDATE_BUFFERS));
    sw_tape_set_switch(f->tape, SW_RECORD | SW_UPDATE_BUFFERS, false);
    sw_tape_set_switch(f->tape, SW_UPDATE_BUFFERS, true);
    sw_tape_reset(f->tape);
    assert_false(sw_tape_switch(f->tape, SW_RECORD)); /* they outlive a reset */
    assert_true(sw_tape_switch(f->tape, SW_TRAIN));
    assert_true(sw_tape_switch(f->tape, SW_UPDATE_BUFFERS));
    assert_false(sw_tape_switch(NULL, SW_TRAIN));
    sw_tape_set_switch(NULL, SW_TRAIN, true);
    uint64_t draw = sw_tape_draw(f->tape);
    sw_tape_reset(f->tape);
    assert_true(sw_tape_draw(f->tape) == draw + 1);
    sw_tape_reset(NULL);
    sw_tape_free(NULL);
}

/* ---- Memory ---- */

enum { WIDTH = 512, LAYERS = 12 };

/* A chain whose ops alternate between those whose vjp reads values and those that need none. */
static sw_tensor chain(sw_tensor x, bool release) {
    sw_tensor h = x;
    for (int i = 0; i < LAYERS; i++) {
        sw_tensor before = h;
        switch (i % 4) {
        case 0: h = sw_scale(h, 0.9); break;
        case 1: h = sw_tanh(h); break;
        case 2: h = sw_add(h, x); break;
        default: h = sw_mul(h, h);
        }
        if (release && i > 0)
            sw_release(before);
    }
    return sw_sum(h);
}

static void test_release(void **state) {
    const fixture *f = *state;
    sw_array x = test_filled(SW_F64, SW_SHAPE(WIDTH), -1, 1, 3);
    uint64_t hash[2];
    size_t used[2];
    double value[2];
    for (int release = 0; release < 2; release++) {
        sw_tensor v = sw_variable(f->tape, x), loss = chain(v, release);
        value[release] = sw_item(loss);
        assert_int_equal(sw_backward(loss), SW_OK);
        hash[release] = test_hash(TEST_HASH, sw_grad(v).data, test_bytes(&x));
        used[release] = sw_tape_peak_bytes(f->tape);
        sw_tape_reset(f->tape);
    }
    assert_true(value[0] == value[1]);
    assert_true(hash[0] == hash[1]);
    /* Outputs of scale and add are read by tanh's and mul's vjp or by nobody: of 12 values the
     * three of scale and tanh's input go at once. At least four blocks less are needed. */
    assert_true(used[1] + 4 * WIDTH * sizeof(double) <= used[0]);
    assert_true(sw_tape_held_bytes(f->tape) >= used[0]);
    /* Recording nothing, a chain of any length needs two blocks or three. */
    sw_tape_set_switch(f->tape, SW_RECORD, false);
    chain(sw_input(f->tape, x), true);
    assert_true(sw_tape_peak_bytes(f->tape) < 5 * WIDTH * sizeof(double));
    sw_tape_set_switch(f->tape, SW_RECORD, true);
    test_array_free(&x);
}

static void test_second_backward(void **state) {
    const fixture *f = *state;
    const double x[3] = {0.5, -1, 2};
    sw_array array = sw_array_view(x, SW_F64, SW_SHAPE(3));
    for (int release = 0; release < 2; release++) {
        sw_tensor v = sw_variable(f->tape, array), t = sw_tanh(v), loss = sw_sum(t);
        if (release)
            sw_release(t);
        assert_int_equal(sw_backward(loss), SW_OK);
        double first = test_get(&(sw_array){.data = sw_grad(v).data, .type = SW_F64}, 0);
        if (release) {
            assert_int_equal(sw_backward(loss), SW_ERR_STATE);
            expect_error(SW_ERR_STATE, "tanh: backward came here before, and released values are "
                                       "gone; add the losses and run backward once");
        } else {
            assert_int_equal(sw_backward(loss), SW_OK);
            assert_true(test_get(&(sw_array){.data = sw_grad(v).data, .type = SW_F64}, 0) == 2 * first);
        }
        sw_tape_reset(f->tape);
    }
}

/* Memory freed under a view would be taken by what follows and overwritten. */
static void test_views(void **state) {
    const fixture *f = *state;
    sw_array x = test_filled(SW_F64, SW_SHAPE(4, 8), -1, 1, 3);
    for (int record = 0; record < 2; record++) {
        sw_tape_set_switch(f->tape, SW_RECORD, record);
        sw_tensor v = sw_variable(f->tape, x), base = sw_scale(v, 2);
        sw_tensor view = sw_reshape(base, SW_SHAPE(8, 4)), flat = sw_reshape(view, SW_SHAPE(32));
        assert_true(sw_value(view).data == sw_value(base).data); /* no copy */
        sw_release(base);
        sw_release(view);
        size_t used = sw_tape_peak_bytes(f->tape);
        sw_tensor other = sw_scale(v, 5);
        assert_true(sw_value(other).data != sw_value(flat).data);
        assert_true(sw_tape_peak_bytes(f->tape) > used);
        sw_array a = sw_value(flat);
        for (int i = 0; i < 32; i++)
            assert_true(test_get(&a, i) == 2 * test_get(&x, i));
        void *block = a.data;
        sw_tensor square = sw_mul(flat, flat);
        sw_release(flat); /* the last that looks */
        sw_tensor next = sw_scale(v, 3);
        if (record) { /* mul's vjp still reads it */
            assert_true(sw_value(next).data != block);
            assert_int_equal(sw_backward(sw_sum(square)), SW_OK);
            sw_array g = sw_grad(v);
            for (int i = 0; i < 32; i++)
                assert_true(test_get(&g, i) == 8 * test_get(&x, i));
        } else {
            assert_true(sw_value(next).data == block);
        }
        sw_tape_reset(f->tape);
    }
    sw_tape_set_switch(f->tape, SW_RECORD, true);
    test_array_free(&x);
}

/* ---- Marks ---- */

/* One goes back to the same mark as often as one likes, and everything before it stays. */
static void test_mark_again_and_again(void **state) {
    const fixture *f = *state;
    sw_array x = test_filled(SW_F64, SW_SHAPE(WIDTH), -1, 1, 3);
    sw_tensor v = sw_variable(f->tape, x), free_me = sw_scale(v, 2), base = sw_tanh(v);
    uint64_t hash = test_hash(TEST_HASH, sw_value(base).data, test_bytes(&x));
    sw_release(free_me); /* a block in the lists that the mark keeps */
    sw_mark mark = sw_tape_mark(f->tape);
    size_t used = 0;
    for (int i = 0; i < 20; i++) {
        sw_tensor dropped = sw_dropout(base, 0.5, 1), view = sw_reshape(base, SW_SHAPE(2, -1));
        sw_tensor y = sw_sum(sw_mul(sw_reshape(view, SW_SHAPE(-1)), dropped));
        static double first;
        double value = sw_item(y);
        if (i == 0)
            first = value;
        assert_true(value == first); /* the same mask each time */
        for (int k = 0; k < 30; k++)
            sw_release(sw_scale(base, k));
        assert_int_equal(sw_tape_rewind(f->tape, mark), SW_OK);
        assert_true(test_hash(TEST_HASH, sw_value(base).data, test_bytes(&x)) == hash);
        if (i == 1)
            used = sw_tape_held_bytes(f->tape);
    }
    assert_true(sw_tape_held_bytes(f->tape) == used); /* it costs nothing after the first time */
    /* The readers that were forgotten hold nothing: released, its memory comes back. */
    void *block = sw_value(base).data;
    sw_tape_set_switch(f->tape, SW_RECORD, false);
    sw_tensor plain = sw_tanh(v);
    sw_tape_set_switch(f->tape, SW_RECORD, true);
    sw_mark second = sw_tape_mark(f->tape);
    block = sw_value(plain).data;
    sw_sum(sw_mul(sw_reshape(plain, SW_SHAPE(-1)), sw_tanh(v)));
    assert_int_equal(sw_tape_rewind(f->tape, second), SW_OK);
    sw_release(plain);
    sw_tensor taker = sw_scale(v, 2), next = sw_scale(v, 2); /* free_me's block is the other one */
    assert_true(sw_value(taker).data == block || sw_value(next).data == block);
    test_array_free(&x);
}

/* What the segment told the tape about samples goes with it. */
static void test_mark_keeps_samples(void **state) {
    const fixture *f = *state;
    const int64_t ids[3] = {7, 8, 9}, others[3] = {1, 2, 3};
    assert_int_equal(sw_tape_set_sample_ids(f->tape, ids, 3), SW_OK);
    sw_mark mark = sw_tape_mark(f->tape);
    assert_int_equal(sw_tape_set_sample_ids(f->tape, others, 3), SW_OK);
    assert_int_equal(sw_tape_sample_ids(f->tape, 3)[0], 1);
    assert_int_equal(sw_tape_rewind(f->tape, mark), SW_OK);
    assert_non_null(sw_tape_sample_ids(f->tape, 3));
    assert_memory_equal(sw_tape_sample_ids(f->tape, 3), ids, sizeof ids);
    assert_null(sw_tape_sample_ids(f->tape, 2));
}

/* A segment that is not kept but computed again inside the vjp, written against the public headers.
 * It takes and gives one tensor of one shape. */
typedef sw_tensor (*segment)(const model *m, sw_tape *tape, sw_tensor x);
typedef struct recompute_attributes {
    segment f;
    const model *m;
} recompute_attributes;

static sw_status recompute_forward(sw_call *call) {
    const recompute_attributes *a = call->attributes;
    sw_tape *tape = call->tape;
    const sw_view *in = call->in[0];
    sw_mark *mark = sw_call_save(call, sizeof *mark);
    if (!mark)
        return SW_ERR_MEMORY;
    bool record = sw_tape_switch(tape, SW_RECORD);
    *mark = sw_tape_mark(tape);
    sw_tape_set_switch(tape, SW_RECORD, false);
    sw_tensor x = sw_input(tape, sw_array_view(in->data, in->type, in->rank, in->shape));
    sw_array y = sw_value(a->f(a->m, tape, x));
    sw_tape_set_switch(tape, SW_RECORD, record);
    if (!y.data)
        return sw_error_status();
    memcpy(call->out->data, y.data, (size_t)call->out->count * sw_dtype_size(y.type));
    sw_mark after = *mark;
    after.random_calls = sw_tape_mark(tape).random_calls;
    SW_TRY(sw_tape_rewind(tape, *mark));
    sw_tape_rewind_random(tape, after); /* later random ops count the segment's */
    return SW_OK;
}

static sw_status recompute_vjp(sw_call *call) {
    const recompute_attributes *a = call->attributes;
    sw_tape *tape = call->tape;
    const sw_view *in = call->in[0];
    void *dx = sw_call_wants_grad(call, 0) ? sw_call_grad(call, 0) : NULL; /* before the mark: it must stay */
    if (sw_call_wants_grad(call, 0) && !dx)
        return SW_ERR_MEMORY;
    sw_mark mark = sw_tape_mark(tape);
    sw_tape_rewind_random(tape, *(const sw_mark *)call->saved);
    sw_tensor x = sw_variable(tape, sw_array_view(in->data, in->type, in->rank, in->shape));
    sw_tensor y = a->f(a->m, tape, x);
    SW_TRY(sw_backward_from(y, sw_array_view(call->cotangent, call->out->type, call->out->rank, call->out->shape)));
    if (dx)
        memcpy(dx, sw_grad(x).data, (size_t)in->count * sw_dtype_size(in->type));
    return sw_tape_rewind(tape, mark);
}

static const sw_op recompute_op = {.size = sizeof(sw_op),
                                   .name = "recompute",
                                   .shape = like_first,
                                   .forward = recompute_forward,
                                   .vjp = recompute_vjp,
                                   .vjp_reads = SW_READS(0)};

static sw_tensor recompute(const model *m, segment f, sw_tensor x) {
    const recompute_attributes a = {f, m};
    return sw_apply(&recompute_op, &a, sizeof a, 1, &x);
}

static bool recomputing; /* the same graph plainly, or in segments */

static sw_tensor inner_segment(const model *m, sw_tape *tape, sw_tensor x) { /* [batch, HIDDEN] */
    /* One use of the input: what the segment hands back is then added to other gradients of x in
     * the order of the plain graph, and the bits are equal. */
    x = sw_scale(x, 0.75);
    sw_tensor b = sw_param_use(tape, m->b0);
    sw_tensor h = sw_dropout(sw_tanh(sw_mul(x, b)), 0.3, 11);
    sw_tensor y = sw_add(h, sw_mul(x, h));
    sw_release(h);
    return y;
}

static sw_tensor outer_segment(const model *m, sw_tape *tape, sw_tensor x) {
    sw_tensor h = sw_dropout(sw_add(x, sw_param_use(tape, m->b0)), 0.2, 12);
    sw_tensor inner = recomputing ? recompute(m, inner_segment, h) : inner_segment(m, tape, h);
    return sw_tanh(sw_add(inner, sw_dropout(h, 0.4, 13)));
}

static sw_tensor segmented_loss(const model *m, sw_tape *tape, const sw_array *x, const sw_array *y) {
    sw_tensor h = sw_linear(sw_input(tape, *x), sw_param_use(tape, m->w0), sw_param_use(tape, m->b0));
    h = sw_tanh(h);
    for (int i = 0; i < 3; i++) {
        sw_tensor before = h;
        h = recomputing ? recompute(m, outer_segment, h) : outer_segment(m, tape, h);
        sw_release(before);
        h = sw_dropout(h, 0.1, 14);
    }
    return sw_mse(sw_linear(h, sw_param_use(tape, m->w1), (sw_tensor){0}), sw_input(tape, *y));
}

static void test_recomputation(void **state) {
    const fixture *f = *state;
    sw_params *p = f->m.params;
    const int64_t ids[BATCH] = {40, 41, 42, 43, 44, 45, 46, 47};
    uint64_t hash[2];
    double value[2];
    for (int pass = 0; pass < 4; pass++) {
        recomputing = pass % 2;
        sw_tape_reset(f->tape);
        sw_tape_set_draw(f->tape, 99 + (uint64_t)pass / 2);
        if (pass >= 2)
            assert_int_equal(sw_tape_set_sample_ids(f->tape, ids, BATCH), SW_OK);
        sw_gradient_make_fresh(sw_params_gradient(p));
        poison(p, sw_gradient_data(sw_params_gradient(p)));
        sw_tensor loss = segmented_loss(&f->m, f->tape, &f->x, &f->y);
        value[recomputing] = sw_item(loss);
        assert_int_equal(sw_backward(loss), SW_OK);
        hash[recomputing] = hash_of(p, sw_gradient_data(sw_params_gradient(p)));
        if (recomputing) {
            assert_true(value[0] == value[1]);
            assert_true(hash[0] == hash[1]); /* bit for bit */
        }
        expect_no_error();
    }
    assert_true(any_nonzero(f->m.b0) && any_nonzero(f->m.w0) && any_nonzero(f->m.w1));
    recomputing = false;
}

/* With the parameters frozen, and with recording off, a segment still gives values and dx. */
static void test_recomputation_switches(void **state) {
    const fixture *f = *state;
    recomputing = true;
    sw_array x = test_filled(SW_F64, SW_SHAPE(2, HIDDEN), -1, 1, 5);
    assert_int_equal(sw_tape_freeze(f->tape, f->m.params, true), SW_OK);
    sw_tensor v = sw_variable(f->tape, x);
    assert_int_equal(sw_backward(sw_sum(recompute(&f->m, outer_segment, v))), SW_OK);
    assert_non_null(sw_grad(v).data);
    assert_true(sw_gradient_is_fresh(sw_params_gradient(f->m.params)));
    sw_tape_reset(f->tape);
    assert_int_equal(sw_tape_freeze(f->tape, f->m.params, false), SW_OK);
    sw_tape_set_switch(f->tape, SW_RECORD, false);
    sw_tensor y = recompute(&f->m, outer_segment, sw_variable(f->tape, x));
    assert_false(sw_is_null(y));
    assert_false(sw_tape_switch(f->tape, SW_RECORD));
    sw_tape_set_switch(f->tape, SW_RECORD, true);
    expect_no_error();
    recomputing = false;
    test_array_free(&x);
}

/* A vjp that meets a set of parameters first: its block is opened, and closed, all the same. */
static const model *hidden_model;
static sw_status hidden_forward(sw_call *call) {
    memcpy(call->out->data, call->in[0]->data, (size_t)call->in[0]->count * sizeof(double));
    return SW_OK;
}
static sw_status hidden_vjp(sw_call *call) {
    sw_call_pass_grad(call, 0);
    sw_mark mark = sw_tape_mark(call->tape);
    sw_tensor b = sw_param_use(call->tape, hidden_model->b0);
    SW_TRY(sw_backward(sw_sum(sw_mul(b, b))));
    return sw_tape_rewind(call->tape, mark);
}
static const sw_op hidden_op = {
    .size = sizeof(sw_op), .name = "hidden", .shape = like_first, .forward = hidden_forward, .vjp = hidden_vjp};

static void test_parameters_met_inside_a_vjp(void **state) {
    const fixture *f = *state;
    sw_params *p = f->m.params;
    hidden_model = &f->m;
    poison(p, sw_gradient_data(sw_params_gradient(p)));
    sw_tensor v = sw_variable(f->tape, f->x), y = sw_apply(&hidden_op, NULL, 0, 1, &v);
    assert_int_equal(sw_backward(sw_sum(y)), SW_OK);
    assert_false(sw_gradient_is_fresh(sw_params_gradient(p)));
    sw_array g = sw_param_grad(f->m.b0), x = sw_param_value(f->m.b0);
    for (int i = 0; i < HIDDEN; i++)
        assert_true(test_get(&g, i) == 2 * test_get(&x, i));
    expect_zero(f->m.w0);
}

/* A vjp may not run backward into what was there before it, nor rewind it away. */
static sw_tensor outside;
static sw_mark old_mark;
static sw_status trespass_vjp(sw_call *call) {
    sw_call_pass_grad(call, 0);
    int what = *(const int *)call->attributes;
    if (what == 0)
        return sw_backward(sw_sum(outside)); /* reads an older tensor that has a gradient */
    if (what == 1)
        return sw_backward_from(outside, sw_value(outside));
    return sw_tape_rewind(call->tape, old_mark);
}
static const sw_op trespass_op = {
    .size = sizeof(sw_op), .name = "trespass", .shape = like_first, .forward = hidden_forward, .vjp = trespass_vjp};

static void test_trespassing(void **state) {
    const fixture *f = *state;
    static const char *const texts[] = {
        ("backward: inside a vjp, sum reads a tensor from before it that needs a gradient; the "
         "segment must take it as a sw_variable"),
        "backward: inside a vjp only what it recorded can be run back",
        "rewind: the mark is older than the backward that is under way",
    };
    for (int what = 0; what < 3; what++) {
        old_mark = sw_tape_mark(f->tape);
        sw_tensor v = sw_variable(f->tape, f->x);
        outside = sw_tanh(v);
        sw_tensor y = sw_apply(&trespass_op, &what, sizeof what, 1, &v);
        assert_int_equal(sw_backward(sw_sum(sw_add(y, outside))), SW_ERR_STATE);
        expect_error(SW_ERR_STATE, texts[what]);
        sw_tape_reset(f->tape);
        step(f); /* the tape is as good as new */
        sw_tape_reset(f->tape);
    }
}

/* ---- Dropout: backward sees the mask that forward drew ---- */

static void test_dropout_backward_mask(void **state) {
    const fixture *f = *state;
    enum { ROWS = 6, LONG = 50 };
    sw_array x = test_filled(SW_F64, SW_SHAPE(ROWS, LONG), 1, 2, 5);
    const int64_t ids[ROWS] = {9, 4, 7, 100, 3, 2}, others[ROWS] = {1, 2, 3, 4, 5, 6};
    assert_int_equal(sw_tape_set_sample_ids(f->tape, ids, ROWS), SW_OK);
    sw_tensor v = sw_variable(f->tape, x), y = sw_dropout(v, 0.5, 3);
    /* The next batch of the same pass, before backward */
    assert_int_equal(sw_tape_set_sample_ids(f->tape, others, ROWS), SW_OK);
    sw_array out = sw_value(y);
    assert_int_equal(sw_backward(sw_sum(y)), SW_OK);
    sw_array g = sw_grad(v);
    for (int i = 0; i < ROWS * LONG; i++)
        assert_true(test_get(&g, i) == (test_get(&out, i) == 0 ? 0 : 2));
    test_array_free(&x);
}

/* ---- Size ---- */

static void test_deep_graph(void **state) {
    const fixture *f = *state;
    enum { DEPTH = 100000 };
    const double one = 1;
    for (int pass = 0; pass < 2; pass++) {
        sw_tensor x = sw_variable(f->tape, sw_array_view(&one, SW_F64, 0, NULL)), h = x;
        for (int i = 0; i < DEPTH; i++)
            h = i % 2 ? sw_scale(h, 2) : sw_scale(h, 0.5);
        assert_true(sw_item(h) == 1);
        assert_int_equal(sw_backward(h), SW_OK);
        assert_true(test_get(&(sw_array){.data = sw_grad(x).data, .type = SW_F64}, 0) == 1);
        expect_no_error();
        sw_tape_reset(f->tape);
    }
    /* 100,000 nodes of three blocks of 64 bytes and one node each, and half as much again */
    assert_true(sw_tape_held_bytes(f->tape) < (size_t)DEPTH * (3 * 64 + 192) * 3 / 2);
}

static void test_wide_graph(void **state) {
    const fixture *f = *state;
    enum { USES = 3000 };
    const double x[2] = {1, 2};
    sw_tensor v = sw_variable(f->tape, sw_array_view(x, SW_F64, SW_SHAPE(2))), sum = sw_scale(v, 0);
    for (int i = 0; i < USES; i++)
        sum = sw_add(sum, v);
    assert_int_equal(sw_backward(sw_sum(sum)), SW_OK);
    sw_array g = sw_grad(v);
    assert_true(test_get(&g, 0) == USES && test_get(&g, 1) == USES);
}

/* ---- Tapes in many threads ---- */

typedef struct worker_job {
    const fixture *f;
    model m;
    uint64_t hash;
} worker_job;

static void *own_model(void *args) {
    worker_job *j = args;
    sw_tape *tape = sw_tape_new();
    j->hash = TEST_HASH;
    for (int step_number = 0; step_number < 60; step_number++) {
        sw_tape_set_draw(tape, (uint64_t)step_number);
        sw_gradient_make_fresh(sw_params_gradient(j->m.params));
        sw_tensor loss = segmented_loss(&j->m, tape, &j->f->x, &j->f->y);
        if (sw_backward(loss) != SW_OK)
            return "backward failed";
        double *x = sw_params_x(j->m.params);
        const double *g = sw_gradient_data(sw_params_gradient(j->m.params));
        for (int64_t i = 0; i < sw_params_dim(j->m.params); i++)
            x[i] -= 0.1 * g[i];
        sw_tape_reset(tape);
    }
    j->hash = hash_of(j->m.params, sw_params_x(j->m.params));
    sw_tape_free(tape);
    return NULL;
}

static void test_concurrent_tapes(void **state) {
    const fixture *f = *state;
    enum { THREADS = 4 };
    worker_job alone = {.f = f, .m = model_new(SW_F64)}, jobs[THREADS];
    pthread_t thread[THREADS];
    assert_null(own_model(&alone));
    for (int i = 0; i < THREADS; i++) {
        jobs[i] = (worker_job){.f = f, .m = model_new(SW_F64)};
        assert_int_equal(pthread_create(&thread[i], NULL, own_model, &jobs[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        void *trouble;
        pthread_join(thread[i], &trouble);
        if (trouble)
            fail_msg("%s", (const char *)trouble);
        assert_true(jobs[i].hash == alone.hash);
        sw_params_free(jobs[i].m.params);
    }
    sw_params_free(alone.m.params);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_binding),
        TEST(test_two_bindings_in_two_threads),
        TEST(test_sets_that_come_and_go),
        TEST(test_fresh_and_added),
        TEST(test_micro_batches),
        TEST(test_untouched_set),
        TEST(test_frozen),
        TEST(test_unwanted_gradients),
        TEST(test_tied),
        TEST(test_parameter_used_often),
        TEST(test_retained),
        TEST(test_backward_from),
        TEST(test_switches),
        TEST(test_release),
        TEST(test_second_backward),
        TEST(test_views),
        TEST(test_mark_again_and_again),
        TEST(test_mark_keeps_samples),
        TEST(test_recomputation),
        TEST(test_recomputation_switches),
        TEST(test_parameters_met_inside_a_vjp),
        TEST(test_trespassing),
        TEST(test_dropout_backward_mask),
        TEST(test_deep_graph),
        TEST(test_wide_graph),
        TEST(test_concurrent_tapes),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    sw_set_threads(1); /* joins the workers */
    return failed;
}
