/* A small model, y = tanh(x W0ᵀ + b0) W1ᵀ, with one parameter that is not used, for the tests of tapes and of gradient
 * blocks. Include it after support.h. */
#ifndef TEST_CORE_SMALL_MODEL_H
#define TEST_CORE_SMALL_MODEL_H

#include <swale/extend.h>

enum { IN = 5, HIDDEN = 6, OUT = 3, BATCH = 8 };

typedef struct model {
    sw_params *params;
    sw_param *w0, *b0, *w1, *unused;
} model;

static inline sw_status fill_uniform(const sw_init *init, const sw_param *param, sw_rng *rng, double *out) {
    for (int64_t i = 0; i < param->count; i++)
        out[i] = init->a + (init->b - init->a) * sw_rng_uniform(rng);
    return SW_OK;
}

static inline sw_param *declare(sw_params *p, const char *name, int rank, const int64_t *shape) {
    const sw_param_options options = {
        .size = sizeof options,
        .init = {.size = sizeof(sw_init), .name = "uniform", .fill = fill_uniform, .a = -1, .b = 1}};
    sw_param *param = sw_params_add(p, name, rank, shape, &options);
    assert_non_null(param);
    return param;
}

static inline model model_new(sw_dtype type) {
    model m = {.params = sw_params_new(type, 17)};
    m.w0 = declare(m.params, "w0", SW_SHAPE(HIDDEN, IN));
    m.b0 = declare(m.params, "b0", SW_SHAPE(HIDDEN));
    m.w1 = declare(m.params, "w1", SW_SHAPE(OUT, HIDDEN));
    m.unused = declare(m.params, "unused", SW_SHAPE(4));
    assert_int_equal(sw_params_build(m.params), SW_OK);
    return m;
}

static inline sw_tensor model_loss(const model *m, sw_tape *tape, const sw_array *x, const sw_array *y) {
    sw_tensor h = sw_linear(sw_input(tape, *x), sw_param_use(tape, m->w0), sw_param_use(tape, m->b0));
    sw_tensor z = sw_linear(sw_tanh(h), sw_param_use(tape, m->w1), (sw_tensor){0});
    return sw_mse(z, sw_input(tape, *y));
}

static inline uint64_t hash_of(const sw_params *p, const void *vector) {
    return test_hash(TEST_HASH, vector, (size_t)sw_params_dim(p) * sw_dtype_size(sw_params_type(p)));
}

static inline void poison(const sw_params *p, void *vector) { /* a fresh block may contain any values */
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

static inline int setup(void **state) {
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

static inline int teardown(void **state) {
    fixture *f = *state;
    sw_tape_free(f->tape);
    sw_params_free(f->m.params);
    test_array_free(&f->x);
    test_array_free(&f->y);
    free(f);
    return sw_error() != NULL; /* no test may leave an error pending */
}

static inline void step(const fixture *f) {
    assert_int_equal(sw_backward(model_loss(&f->m, f->tape, &f->x, &f->y)), SW_OK);
}

static inline void expect_zero(const sw_param *param) {
    sw_array g = sw_param_grad(param);
    for (int64_t i = 0; i < param->count; i++)
        assert_true(test_get(&g, i) == 0);
}

static inline bool any_nonzero(const sw_param *param) {
    sw_array g = sw_param_grad(param);
    bool any = false;
    for (int64_t i = 0; i < param->count; i++)
        any |= test_get(&g, i) != 0;
    return any;
}

#endif
