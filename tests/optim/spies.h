/* A method of each kind that records its calls in `calls`, for the tests of a step. Call register_spies before the
 * tests; spies_setup runs before each test. */
#ifndef TEST_OPTIM_SPIES_H
#define TEST_OPTIM_SPIES_H

#include "helpers.h"

static char calls[2000];
static bool skip_begin, skip_decide;
static double seen_gradient, seen_step, decided;

static inline void called(const char *name) {
    size_t used = strlen(calls);
    snprintf(calls + used, sizeof calls - used, "%s%s", used ? " " : "", name);
}

static inline sw_status spy_sample(sw_estimate *e) {
    static const int64_t ids[2] = {0, 1};
    called("sample");
    e->scalar[0]++;
    e->ids = ids;
    e->count = 2;
    return SW_OK;
}

static inline sw_status spy_estimate(sw_estimate *e, const void *x, void *g) {
    called("estimate");
    return plain_estimate(e, x, g);
}

static inline sw_status spy_commit(sw_estimate *e) {
    called("commit");
    vec_set(e->type, e->slot[0], 0, vec_get(e->type, e->slot[0], 0) + 1);
    return SW_OK;
}

static const sw_slot table_slots[] = {{.name = "table"}, {0}};
static const char *const samples_scalar[] = {"samples", NULL};
static const sw_estimator spy = {.size = sizeof(sw_estimator),
                                 .name = "spy",
                                 .slots = table_slots,
                                 .scalars = samples_scalar,
                                 .sample = spy_sample,
                                 .estimate = spy_estimate,
                                 .commit = spy_commit};

static inline sw_status outer_sample(sw_estimate *e) {
    called("outer-sample");
    e->ids = e->inner->ids;
    e->count = e->inner->count;
    e->draw = e->inner->draw;
    return SW_OK;
}

static inline sw_status outer_estimate(sw_estimate *e, const void *x, void *g) {
    called("outer-estimate");
    return sw_estimate_inner(e, x, g);
}

static inline sw_status outer_commit(sw_estimate *e) {
    (void)e;
    called("outer-commit");
    return SW_OK;
}

static const sw_option of_options[] = {{.name = "of", .kind = SW_OPTION_SPEC}, {0}};
static const sw_estimator outer = {.size = sizeof(sw_estimator),
                                   .name = "outer",
                                   .options = of_options,
                                   .flags = SW_ESTIMATOR_WRAPPER,
                                   .sample = outer_sample,
                                   .estimate = outer_estimate,
                                   .commit = outer_commit};

static inline sw_status spy_begin(sw_step *s) {
    called("begin");
    s->scalar[0]++;
    seen_gradient = vec_get(s->type, s->g, 0);
    seen_step = (double)s->step;
    return skip_begin ? SW_SKIPPED : SW_OK;
}

static inline void spy_measure(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    if (begin == 0)
        called("measure");
    for (int64_t i = begin; i < end; i++)
        sums[0] += vec_get(s->type, s->g, i);
    sums[1] += (double)(end - begin);
}

static inline sw_status spy_decide(sw_step *s, const double *sums) {
    called("decide");
    s->scalar[1] = decided = sums[0];
    return skip_decide ? SW_SKIPPED : SW_OK;
}

static inline void spy_update(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    (void)sums;
    if (begin == 0)
        called("update");
    for (int64_t i = begin; i < end; i++) {
        vec_set(s->type, s->slot[0], i, vec_get(s->type, s->slot[0], i) + 1);
        vec_set(s->type, s->x, i, vec_get(s->type, s->x, i) - s->option[0] * vec_get(s->type, s->g, i));
    }
}

static const sw_kernels measure_kernels = ALL_LEVELS(spy_measure), update_kernels = ALL_LEVELS(spy_update);
static const sw_option lr_options[] = {{.name = "lr", .value = 1, .low = 0, .high = 10}, {0}};
static const sw_slot count_slots[] = {{.name = "count"}, {0}};
static const char *const rule_scalars[] = {"begun", "decided", NULL};
static const sw_rule spy_rule = {.size = sizeof(sw_rule),
                                 .name = "spy",
                                 .options = lr_options,
                                 .slots = count_slots,
                                 .scalars = rule_scalars,
                                 .begin = spy_begin,
                                 .measure = &measure_kernels,
                                 .sums = 2,
                                 .decide = spy_decide,
                                 .update = &update_kernels};

static inline sw_status tensor_update(sw_step *s) {
    called(s->param->name);
    return skip_decide ? SW_SKIPPED : SW_OK;
}
static const sw_rule tensor_rule = {.size = sizeof(sw_rule),
                                    .name = "tensor_spy",
                                    .options = lr_options,
                                    .unit = SW_UNIT_TENSOR,
                                    .tensor = tensor_update};

static inline sw_status average_begin(sw_step *s) {
    called("average");
    s->scalar[0]++;
    return SW_OK;
}
static inline void average_update(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    (void)begin, (void)end, (void)sums;
    if (begin == 0)
        called("average-update");
    assert_null(s->g);
}
static const sw_kernels average_kernels = ALL_LEVELS(average_update);
static const char *const average_scalars[] = {"averaged", NULL};
static const sw_average spy_average = {.size = sizeof(sw_average),
                                       .name = "spy",
                                       .slots = count_slots,
                                       .scalars = average_scalars,
                                       .begin = average_begin,
                                       .update = &average_kernels};

static const sw_estimator hungry = {
    .size = sizeof(sw_estimator), .name = "hungry", .flags = SW_ESTIMATOR_OBJECTIVE, .estimate = plain_estimate};

static inline int register_spies(void **state) {
    (void)state;
    return sw_estimator_register(&spy) != SW_OK || sw_estimator_register(&outer) != SW_OK ||
           sw_estimator_register(&hungry) != SW_OK || sw_rule_register(&spy_rule) != SW_OK ||
           sw_rule_register(&tensor_rule) != SW_OK || sw_average_register(&spy_average) != SW_OK;
}

static inline int spies_setup(void **state) {
    (void)state;
    sw_clear_error();
    calls[0] = 0;
    skip_begin = skip_decide = false;
    return 0;
}

#endif
