/* A small problem whose parameters are stored in a given type, for tests of the loss scale. The gradient of the
 * parameters is rounded to the storage type with the scale, and can be made to overflow there. Include it first. */
#ifndef TEST_OPTIM_SCALED_PROBLEM_H
#define TEST_OPTIM_SCALED_PROBLEM_H

#include "helpers.h"

#include "core/params/vector.h"

/* A parameter in the type of x; its gradient is rounded to the storage type. */
static inline sw_tensor use_widened(sw_tape *tape, sw_param *param) {
    return sw_cast(sw_param_use(tape, param), sw_params_type(param->owner));
}

/* A number, whose gradient is multiplied by the attribute. */
static inline sw_status boost_shape(sw_call *c) {
    return sw_call_set_shape_like(c, 0);
}

static inline sw_status boost_forward(sw_call *c) {
    memcpy(c->out->data, c->in[0]->data, sw_dtype_size(c->out->type));
    return SW_OK;
}

static inline sw_status boost_vjp(sw_call *c) {
    void *dx = sw_call_grad(c, 0);
    if (!dx)
        return SW_ERR_MEMORY;
    sw_vector_axpby(c->out->type, 1, *(const double *)c->attributes, c->cotangent, 0, NULL, dx);
    return SW_OK;
}

static const sw_op boost_op = {
    .size = sizeof(sw_op), .name = "boost", .shape = boost_shape, .forward = boost_forward, .vjp = boost_vjp};

/* As small_params, stored in `storage`. */
static inline sw_params *stored_params(sw_dtype storage) {
    const sw_dtype type = storage == SW_F64 ? SW_F64 : SW_F32;
    sw_params *p = sw_params_new_with_options(
        &(sw_params_options){.size = sizeof(sw_params_options), .type = type, .storage = storage});
    const sw_param_options weight = {.size = sizeof weight, .role = SW_ROLE_WEIGHT},
                           bias = {.size = sizeof bias, .role = SW_ROLE_BIAS};
    assert_non_null(p);
    assert_non_null(sw_params_add(p, "a", 2, (const int64_t[]){3, 4}, &weight));
    assert_non_null(sw_params_add(p, "b", 1, (const int64_t[]){5}, &bias));
    assert_non_null(sw_params_add(p, "c", 0, NULL, NULL));
    assert_ok(sw_params_build(p));
    for (int64_t i = 0; i < SMALL_DIM; i++)
        vec_set(type, sw_params_x(p), i, 0.125 * (double)(i - 7));
    sw_params_mark_changed(p);
    return p;
}

/* f_i(x) = unit·(1 + i/4)·d_i·½ Σ (x_j - 3)², where d_i is the mean of 4 numbers 4/3 that dropout sets to 0 with
 * probability ¼. */
typedef struct scaled_problem {
    sw_objective f;
    double unit;
    int calls;    /* losses computed so far */
    int overflow; /* the gradient of the loss with this number, from 1, is infinite in f16 with every scale; 0: none */
    bool lasts;   /* and so are those of all later losses */
} scaled_problem;

enum { SCALED_SAMPLES = 4 };

static inline sw_tensor scaled_loss(void *user, sw_tape *tape, const int64_t *ids, int64_t count) {
    scaled_problem *p = user;
    sw_params *params = p->f.params;
    const sw_dtype type = sw_params_type(params);
    sw_tensor rows = sw_empty(tape, type, SW_SHAPE(count, 4)), sum = {0};
    void *row = sw_value(rows).data;
    for (int64_t i = 0; row && i < count; i++)
        for (int64_t j = 0; j < 4; j++)
            vec_set(type, row, 4 * i + j, 1 + (double)ids[i] / 4);
    for (int i = 0; i < sw_params_count(params); i++) {
        sw_tensor d = sw_sub(use_widened(tape, sw_params_at(params, i)), sw_constant(tape, type, 3)),
                  term = sw_sum(sw_mul(d, d));
        sum = i ? sw_add(sum, term) : term;
    }
    p->calls++;
    const bool overflows = p->overflow && (p->calls == p->overflow || (p->lasts && p->calls > p->overflow));
    const double boost = overflows ? 0x1p40 : 1; /* S·g ≥ 2^-24·2^40 for |g| ≥ 1 */
    sw_tensor loss = sw_scale(sw_mul(sum, sw_mean(sw_dropout(rows, 0.25, 11))), p->unit / 2);
    return sw_apply(&boost_op, &boost, sizeof boost, 1, &loss);
}

static inline void scaled_problem_init(scaled_problem *p, sw_params *params) {
    *p = (scaled_problem){
        .f = {.size = sizeof p->f, .n = SCALED_SAMPLES, .params = params, .user = p, .loss = scaled_loss}, .unit = 1};
}

/* A problem with its parameters and an optimizer; o is NULL if the optimizer is refused, also by the objective. */
typedef struct scaled_run {
    scaled_problem p;
    sw_params *params;
    sw_optim *o;
} scaled_run;

static inline void scaled_open(scaled_run *r, sw_dtype storage, const sw_optim_options *how) {
    r->params = stored_params(storage);
    scaled_problem_init(&r->p, r->params);
    r->o = sw_optim_new_with_options(r->params, how);
    if (r->o && sw_optim_bind(r->o, &r->p.f) != SW_OK) {
        sw_optim_free(r->o);
        r->o = NULL;
    }
    sw_clear_error();
}

static inline void scaled_close(scaled_run *r) {
    sw_optim_free(r->o);
    sw_params_free(r->params);
}

static inline sw_archive *scaled_pack(const scaled_run *r) {
    sw_archive *a = sw_archive_new();
    assert_ok(sw_optim_pack(r->o, a));
    return a;
}

/* Whether the name is one of a list that ends with NULL. */
static inline bool is_one_of(const char *name, const char *const *list) {
    for (; list && *list; list++)
        if (strcmp(name, *list) == 0)
            return true;
    return false;
}

/* The name of the first array of `a` that differs in `b`, or is missing there, apart from those in `except`; NULL if
 * there is none. */
static inline const char *archives_difference(const sw_archive *a, const sw_archive *b, const char *const *except) {
    for (int i = 0; i < sw_archive_count(a); i++) {
        const sw_archive_item x = sw_archive_at(a, i);
        if (!x.array.data || is_one_of(x.name, except))
            continue;
        const sw_array y = sw_archive_has(b, x.name) ? sw_archive_get(b, x.name) : (sw_array){0};
        if (!y.data || x.array.type != y.type || test_bytes(&x.array) != test_bytes(&y) ||
            memcmp(x.array.data, y.data, test_bytes(&x.array)) != 0)
            return x.name;
    }
    return NULL;
}

#endif
