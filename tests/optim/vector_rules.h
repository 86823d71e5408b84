/* Rules of unit VECTOR, and line searches, for the tests of such rules. Register them with register_vector_rules before
 * the tests; vector_set_up comes before each test. */
#ifndef TEST_VECTOR_RULES_H
#define TEST_VECTOR_RULES_H

#include "helpers.h"

/* ---- Gradient descent, which must be sgd bit for bit ---- */

static const sw_option lr_options[] = {{.name = "lr", .value = 1, .low = 0, .high = 1e6}, {0}};

static inline sw_status descent_vector(sw_step *s) {
    sw_step_scale(s, -1, s->g, s->out);
    return SW_OK;
}
static const sw_rule descent = {.size = sizeof(sw_rule),
                                .name = "descent",
                                .options = lr_options,
                                .unit = SW_UNIT_VECTOR,
                                .flags = SW_RULE_LINEAR,
                                .vector = descent_vector};
/* The same without an lr: the length of the step is 1. */
static const sw_rule unit_descent = {.size = sizeof(sw_rule),
                                     .name = "unit_descent",
                                     .unit = SW_UNIT_VECTOR,
                                     .flags = SW_RULE_LINEAR,
                                     .vector = descent_vector};

/* ---- A rule that records what it receives, with slots of every kind ---- */

static sw_step seen;
static int vector_calls, seen_sizes;
static int64_t asked_dim;
static enum { WELL, SKIP, MUTE, NAN_DIRECTION, NAN_SLOT, NAN_SCALAR, NEW_SCALAR } misdeed;

static inline int64_t three_rows(const sw_slot_sizes *sizes) {
    seen_sizes++;
    asked_dim = sizes->dim;
    assert_null(sizes->param);
    assert_true(sizes->option[0] >= 0);
    return 3 * sizes->dim;
}
static inline int64_t five(const sw_slot_sizes *sizes) {
    (void)sizes;
    return 5;
}
typedef struct spy_slots {
    void *sum, *rows, *notes, *start;
} spy_slots;
static const sw_slot spy_slot_table[] = {{.name = "sum"},
                                         {.name = "rows", .count = three_rows},
                                         {.name = "notes", .type = SW_SLOT_I32, .count = five},
                                         {.name = "start", .start = SW_START_X},
                                         {0}};
SW_MATCH_SLOTS(spy_slots, spy_slot_table);
static const char *const spy_scalars[] = {"count", NULL};
static inline size_t spy_workspace(const sw_param *param, sw_dtype type) {
    return (size_t)param->count * sw_dtype_size(type);
}

static inline sw_status spy_vector(sw_step *s) {
    const spy_slots *slots = SW_STEP_SLOTS(s, spy_slots);
    vector_calls++;
    seen = *s;
    s->scalar[0]++;
    sw_step_axpy(s, 1, s->g, slots->sum);
    sw_step_scale(s, 1, s->x, sw_step_row(s, slots->rows, (s->step - 1) % 3));
    ((int32_t *)slots->notes)[4]++;
    memset(s->workspace, 0x77, (size_t)s->count * sw_dtype_size(s->type)); /* the rule may write to all of it */
    sw_step_scale(s, -1, s->g, s->out);
    switch (misdeed) {
    case SKIP: return SW_SKIPPED;
    case MUTE: return SW_ERR_USER;
    case NAN_DIRECTION: vec_set(s->type, s->out, 0, NAN); break;
    case NAN_SLOT: vec_set(s->type, slots->rows, 1, INFINITY); break;
    case NAN_SCALAR: s->scalar[0] = NAN; break;
    case NEW_SCALAR: s->scalar[1] = 1; break;
    case WELL: break;
    }
    return SW_OK;
}
static const sw_rule spy = {.size = sizeof(sw_rule),
                            .name = "spy",
                            .options = lr_options,
                            .slots = spy_slot_table,
                            .scalars = spy_scalars,
                            .unit = SW_UNIT_VECTOR,
                            .flags = SW_RULE_LINEAR,
                            .workspace = spy_workspace,
                            .vector = spy_vector};

/* ---- Searches ---- */

static double seen_slope;
static inline sw_status full_step_search(sw_search *s, double *alpha) {
    seen_slope = s->slope;
    *alpha = 1;
    return SW_OK;
}
static const sw_line_search full_step = {
    .size = sizeof(sw_line_search), .name = "full_step", .search = full_step_search};
static inline sw_status giving_up(sw_search *search, double *alpha) {
    (void)search, (void)alpha;
    return SW_SKIPPED;
}
static const sw_line_search quitter = {.size = sizeof(sw_line_search), .name = "quitter", .search = giving_up};

static inline int register_vector_rules(void **state) {
    (void)state;
    return sw_rule_register(&descent) != SW_OK || sw_rule_register(&unit_descent) != SW_OK ||
           sw_rule_register(&spy) != SW_OK || sw_line_search_register(&full_step) != SW_OK ||
           sw_line_search_register(&quitter) != SW_OK;
}

static inline int vector_set_up(void **state) {
    (void)state;
    misdeed = WELL;
    vector_calls = seen_sizes = 0;
    return 0;
}

#endif
