/* Code that the tests of the optimizer share, in addition to tests/support.h: parameters of a few shapes, gradients
 * that a loss ⟨c, x⟩ on a tape gives, and vectors of either element type. */
#ifndef TEST_OPTIM_HELPERS_H
#define TEST_OPTIM_HELPERS_H

#include "support.h"

#include <swale/extend.h>
#include <swale/optim.h>

static const sw_dtype both_types[2] = {SW_F32, SW_F64};

static inline sw_optim *new_optim(sw_params *p, const sw_optim_options *how) {
    sw_optim *o = sw_optim_new_with_options(p, how);
    if (!o)
        fail_msg("%s", sw_error());
    return o;
}
#define NEW_OPTIM(p, ...) new_optim(p, &(const sw_optim_options){.size = sizeof(sw_optim_options), __VA_ARGS__})

static inline size_t params_bytes(const sw_params *p) {
    return (size_t)sw_params_dim(p) * sw_dtype_size(sw_params_type(p));
}

static inline void params_set(sw_params *p, const double *values) {
    for (int64_t i = 0; i < sw_params_dim(p); i++)
        vec_set(sw_params_type(p), sw_params_x(p), i, values[i]);
}

/* "a" [3,4] weight, "b" [5] bias, "c" [] other: 18 elements. */
enum { SMALL_DIM = 18 };
static inline sw_params *small_params(sw_dtype type) {
    sw_params *p = sw_params_new(type, 1);
    const sw_param_options weight = {.size = sizeof weight, .role = SW_ROLE_WEIGHT},
                           bias = {.size = sizeof bias, .role = SW_ROLE_BIAS};
    assert_non_null(sw_params_add(p, "a", 2, (const int64_t[]){3, 4}, &weight));
    assert_non_null(sw_params_add(p, "b", 1, (const int64_t[]){5}, &bias));
    assert_non_null(sw_params_add(p, "c", 0, NULL, NULL));
    assert_ok(sw_params_build(p));
    for (int64_t i = 0; i < SMALL_DIM; i++)
        vec_set(type, sw_params_x(p), i, 0.125 * (double)(i - 7));
    return p;
}

/* ⟨c, x⟩ over every parameter, including tied names, each with the coefficients at its offset. */
static inline sw_tensor inner_loss(sw_tape *tape, sw_params *p, const double *c) {
    sw_tensor sum = {0};
    for (int i = 0; i < sw_params_count(p); i++) {
        sw_param *param = sw_params_at(p, i);
        sw_tensor k = sw_empty(tape, sw_params_type(p), param->rank, param->shape);
        void *data = sw_value(k).data;
        for (int64_t j = 0; data && j < param->count; j++)
            vec_set(sw_params_type(p), data, j, c[param->offset + j]);
        sw_tensor term = sw_sum(sw_mul(k, sw_param_use(tape, param)));
        sum = i ? sw_add(sum, term) : term;
    }
    return sum;
}

/* Takes one step by hand with gradient c: the derivative of ⟨c, x⟩ is 1·c, bit for bit. */
static inline sw_status step_with(sw_optim *optim, sw_params *p, const double *c) {
    sw_tape *tape = sw_tape_new();
    assert_ok(sw_backward(inner_loss(tape, p, c)));
    sw_status status = sw_optim_step(optim);
    sw_tape_free(tape);
    return status;
}

/* f_i(x) = ⟨c, x⟩·(1 + i/n), an objective for sw_optim_minimize. */
typedef struct linear_problem {
    sw_objective f;
    const double *c;
    int64_t calls;
} linear_problem;

static inline sw_tensor linear_problem_loss(void *user, sw_tape *tape, const int64_t *ids, int64_t count) {
    linear_problem *p = user;
    double factor = 0;
    for (int64_t i = 0; i < count; i++)
        factor += 1 + (double)ids[i] / (double)p->f.n;
    p->calls++;
    return sw_scale(inner_loss(tape, p->f.params, p->c), factor / (double)count);
}

static inline void linear_problem_init(linear_problem *p, sw_params *params, int64_t n, const double *c) {
    *p = (linear_problem){
        .f = {.size = sizeof(sw_objective), .n = n, .params = params, .user = p, .loss = linear_problem_loss}, .c = c};
}

/* A gradient whose numbers are exact in f32. */
static const double some_gradient[SMALL_DIM] = {1,    -2, 0.5, 3,   -0.25, 0.125, 2,  -1, 1.5,
                                                0.75, -3, 1,   0.5, -0.5,  0.25,  -1, 2,  4};

/* An objective without a tape, whose value and gradient the test sets. */
typedef struct constant_problem {
    sw_objective f;
    double value, g[SMALL_DIM];
} constant_problem;

static inline sw_status constant_problem_gradient(void *user, const void *x, const int64_t *ids, int64_t count,
                                                  uint64_t draw, double *value, void *g) {
    const constant_problem *t = user;
    (void)x, (void)ids, (void)count, (void)draw;
    *value = t->value;
    for (int i = 0; g && i < SMALL_DIM; i++)
        vec_set(sw_params_type(t->f.params), g, i, t->g[i]);
    return SW_OK;
}

static inline void constant_problem_init(constant_problem *t, sw_params *p, int64_t n, double value, double g) {
    *t = (constant_problem){
        .f = {.size = sizeof(sw_objective), .n = n, .params = p, .user = t, .gradient = constant_problem_gradient},
        .value = value};
    for (int i = 0; i < SMALL_DIM; i++)
        t->g[i] = g;
}

/* Checks that an optimizer with these options is refused with this message. */
static inline void options_refused(sw_params *p, sw_optim_options how, const char *message) {
    how.size = sizeof how;
    assert_null(sw_optim_new_with_options(p, &how));
    expect_error(SW_ERR_ARGUMENT, message);
}

/* ---- Simple methods ---- */

/* An estimator: the gradient of the samples. */
static inline sw_status plain_estimate(sw_estimate *e, const void *x, void *g) {
    return sw_estimate_gradient(e, x, e->ids, e->count, &e->value, g);
}

/* One kernel for both types and every level. */
#define ALL_LEVELS(kernel)          \
    {                               \
        {kernel, kernel, kernel}, { \
            kernel, kernel, kernel  \
        }                           \
    }
static inline void no_kernel(void *args, int64_t begin, int64_t end, double *sums) {
    (void)args, (void)begin, (void)end, (void)sums;
}
static const sw_kernels no_kernels = ALL_LEVELS(no_kernel);

/* Calls `see` with each name that sw_optim_list prints below "rules". Returns how many there are. */
static inline int each_rule(void (*see)(const char *name)) {
    FILE *list = tmpfile();
    assert_non_null(list);
    sw_optim_list(list);
    rewind(list);
    char line[400], name[64];
    bool rules = false;
    int count = 0;
    while (fgets(line, sizeof line, list)) {
        if (line[0] != ' ')
            rules = strcmp(line, "rules\n") == 0;
        else if (rules && line[2] != ' ') { /* options have a larger indentation */
            assert_int_equal(sscanf(line, "%63s", name), 1);
            see(name);
            count++;
        }
    }
    fclose(list);
    return count;
}

#endif
