/* A rule whose slots have custom sizes, for the tests of slots and of searches that restore them. */
#ifndef TEST_OPTIM_SHAPED_RULE_H
#define TEST_OPTIM_SHAPED_RULE_H

#include "helpers.h"

/* A matrix rows × rows for each parameter, a number of bytes, and one slot in its shape. */
static inline int64_t rows_squared(const sw_slot_sizes *sizes) {
    int64_t rows = sizes->param->rank ? sizes->param->shape[0] : 1;
    assert_int_equal(sizes->dim, sizes->param->count);
    return rows * rows;
}
static inline int64_t seven(const sw_slot_sizes *sizes) {
    (void)sizes;
    return 7;
}
static const sw_slot shaped_slots[] = {{.name = "left", .count = rows_squared},
                                       {.name = "note", .type = SW_SLOT_U8, .count = seven},
                                       {.name = "sum"},
                                       {0}};
static bool shaped_zero = true;
static inline sw_status shaped_tensor(sw_step *s) {
    int64_t rows = s->param->rank ? s->param->shape[0] : 1;
    for (int64_t i = 0; i < rows * rows; i++) {
        double was = vec_get(s->type, s->slot[0], i);
        if (s->step == 1)
            shaped_zero &= was == 0;
        vec_set(s->type, s->slot[0], i, was + (double)(100 * (s->param->index + 1) + i));
    }
    for (int i = 0; i < 7; i++) {
        uint8_t *note = s->slot[1];
        if (s->step == 1)
            shaped_zero &= note[i] == 0;
        note[i] = (uint8_t)(note[i] + s->param->index + 1);
    }
    for (int64_t i = 0; i < s->count; i++) {
        if (s->step == 1)
            shaped_zero &= vec_get(s->type, s->slot[2], i) == 0;
        double sum = vec_get(s->type, s->slot[2], i) + vec_get(s->type, s->g, i);
        vec_set(s->type, s->slot[2], i, sum);
    }
    return SW_OK;
}
static const sw_option lr_options[] = {{.name = "lr", .value = 1, .low = 0, .high = 10}, {0}};
static const sw_rule shaped = {.size = sizeof(sw_rule),
                               .name = "shaped",
                               .options = lr_options,
                               .slots = shaped_slots,
                               .unit = SW_UNIT_TENSOR,
                               .tensor = shaped_tensor,
                               .flags = SW_RULE_LINEAR};

#endif
