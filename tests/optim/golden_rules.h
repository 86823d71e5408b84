/* The problem of golden/rules.h and golden/prox_rules.h: parameters, start and gradients as
 * golden/rules_shared.py draws them, and one table of the cases of both files. */
#ifndef TEST_GOLDEN_RULES_H
#define TEST_GOLDEN_RULES_H

#include "helpers.h"

#include "golden/prox_rules.h"
#include "golden/rules.h"

/* Of the learning rate; `factor` in rules_shared.py. */
static const char GOLDEN_SCHEDULE[] = "cosine warmup=10 final=0.1";

typedef struct layout {
    const char *name;
    int rank;
    int64_t shape[2];
    double scale;
    sw_role role;
} layout;
enum { PARAMS = 4 };
static const layout layouts[PARAMS] = {{"vector", 1, {4}, 1, SW_ROLE_BIAS},
                                       {"tall", 2, {5, 2}, 0x1p-10, SW_ROLE_WEIGHT},
                                       {"wide", 2, {2, 4}, 64, SW_ROLE_HEAD},
                                       {"scalar", 0, {0}, 1, SW_ROLE_OTHER}};

static double golden_start[DIM], golden_gradient[STEPS][DIM];

static inline sw_params *golden_params(sw_dtype type) {
    sw_params *p = sw_params_new(type, 1);
    for (int k = 0; k < PARAMS; k++) {
        const sw_param_options o = {.size = sizeof o, .role = layouts[k].role};
        assert_non_null(sw_params_add(p, layouts[k].name, layouts[k].rank, layouts[k].shape, &o));
    }
    assert_ok(sw_params_build(p));
    assert_int_equal(sw_params_dim(p), DIM);
    return p;
}

/* As golden/rules.py draws them. */
static inline int golden_draw(void **state) {
    (void)state;
    uint64_t seed = 31;
    for (int i = 0; i < DIM; i++)
        golden_start[i] = (double)(float)test_uniform(&seed, -1, 1);
    sw_params *p = golden_params(SW_F64);
    for (int t = 0; t < STEPS; t++)
        for (int k = 0; k < PARAMS; k++) {
            const sw_param *param = sw_params_at(p, k);
            for (int64_t i = param->offset; i < param->offset + param->count; i++) {
                double u = (double)(float)test_uniform(&seed, -1, 1);
                bool zero = fabs(u) < 0.1 || (i == 1 && t < 20);
                golden_gradient[t][i] = zero ? 0 : i == 0 ? 0.25 : u * layouts[k].scale;
            }
        }
    sw_params_free(p);
    return 0;
}

enum {
    OF_RULES = sizeof goldens / sizeof *goldens,
    OF_PROX = sizeof prox_goldens / sizeof *prox_goldens,
    GOLDENS = OF_RULES + OF_PROX
};

static inline const struct golden *golden_at(int i) {
    return i < OF_RULES ? &goldens[i] : &prox_goldens[i - OF_RULES];
}

#endif
