/* A user's function that fails without sw_fail: a message names it, and the status is the one it returned. */
#include "support.h"

#include <swale/extend.h>

enum { SILENT = 11 };

static sw_status silent(sw_call *c) {
    (void)c;
    return (sw_status)SILENT;
}
static sw_status like(sw_call *c) {
    return sw_call_set_shape_like(c, 0);
}
static sw_status copy(sw_call *c) {
    memcpy(c->out->data, c->in[0]->data, (size_t)c->out->count * sw_dtype_size(c->out->type));
    return SW_OK;
}
static sw_status skips(sw_call *c) {
    (void)c;
    return SW_SKIPPED;
}

static void expect(const char *message) {
    assert_string_equal(sw_error(), message);
    sw_clear_error();
}

static void test_operation_that_fails_without_a_message_is_named(void **state) {
    (void)state;
    const sw_op shape = {.size = sizeof shape, .name = "mine", .shape = silent, .forward = copy},
                forward = {.size = sizeof forward, .name = "mine", .shape = like, .forward = silent},
                vjp = {.size = sizeof vjp, .name = "mine", .shape = like, .forward = copy, .vjp = silent},
                skip = {.size = sizeof skip, .name = "mine", .shape = like, .forward = skips};
    const float one = 1;
    sw_tape *tape = sw_tape_new();
    sw_tensor x = sw_variable(tape, sw_array_view(&one, SW_F32, 0, NULL));
    assert_true(sw_is_null(sw_apply(&shape, NULL, 0, 1, &x)));
    expect("operation mine: shape returned status 11 without a message");
    assert_true(sw_is_null(sw_apply(&forward, NULL, 0, 1, &x)));
    expect("operation mine: forward returned status 11 without a message");
    assert_true(sw_is_null(sw_apply(&skip, NULL, 0, 1, &x)));
    expect("operation mine: forward returned SW_SKIPPED, which is for optimizers");
    sw_tensor y = sw_apply(&vjp, NULL, 0, 1, &x);
    assert_int_equal(sw_backward(y), SILENT);
    expect("operation mine: vjp returned status 11 without a message");
    sw_tape_free(tape);
}

static sw_status gradient(void *user, const void *x, const int64_t *ids, int64_t count, uint64_t draw, double *value,
                          void *g) {
    (void)user, (void)x, (void)ids, (void)count, (void)draw, (void)value, (void)g;
    return (sw_status)SILENT;
}
static sw_tensor loss(void *user, sw_tape *tape, const int64_t *ids, int64_t count) {
    (void)user, (void)tape, (void)ids, (void)count;
    return (sw_tensor){0};
}
static sw_status fill(const sw_init *init, const sw_param *param, sw_rng *rng, double *out) {
    (void)init, (void)param, (void)rng, (void)out;
    return (sw_status)SILENT;
}

static void test_objective_that_fails_without_a_message_is_named(void **state) {
    (void)state;
    sw_params *params = sw_params_new(SW_F32, 1);
    sw_params_add(params, "w", SW_SHAPE(2), NULL);
    assert_int_equal(sw_params_build(params), SW_OK);
    sw_tape *tape = sw_tape_new();
    double value;
    sw_objective f = {.size = sizeof f, .n = 1, .params = params, .gradient = gradient};
    assert_int_equal(sw_objective_value(&f, tape, NULL, NULL, 1, 0, &value), SILENT);
    expect("objective: gradient returned status 11 without a message");
    assert_int_equal(sw_objective_gradient(&f, tape, NULL, NULL, 1, 0, &value, sw_params_gradient(params)), SILENT);
    expect("objective: gradient returned status 11 without a message");
    f.gradient = NULL;
    f.loss = loss;
    assert_int_not_equal(sw_objective_value(&f, tape, NULL, NULL, 1, 0, &value), SW_OK);
    assert_non_null(sw_error());
    sw_clear_error();
    sw_tape_free(tape);
    sw_params_free(params);

    params = sw_params_new(SW_F32, 1);
    const sw_param_options options = {.size = sizeof options,
                                      .init = {.size = sizeof(sw_init), .name = "mine", .fill = fill}};
    sw_params_add(params, "w", SW_SHAPE(2), &options);
    assert_int_equal(sw_params_build(params), SILENT);
    expect("parameter w: fill of its initial values (mine) returned status 11 without a message");
    sw_params_free(params);
}

static sw_status gather(const sw_source *source, const int64_t *ids, int64_t count, uint64_t draw, sw_dtype type,
                        void *x, void *y) {
    (void)source, (void)ids, (void)count, (void)draw, (void)type, (void)x, (void)y;
    return (sw_status)SILENT;
}

static void test_source_that_fails_without_a_message_is_named(void **state) {
    (void)state;
    const sw_source source = {
        .size = sizeof source, .n = 3, .x_rank = 1, .x_shape = {1}, .y_rank = -1, .gather = gather};
    const int64_t id = 0;
    float x;
    assert_int_equal(sw_source_gather(&source, SW_F32, 0, &id, 1, &x, NULL), SILENT);
    expect("batch: samples could not be gathered: the source's gather returned status 11 without a "
           "message");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_operation_that_fails_without_a_message_is_named),
        cmocka_unit_test(test_objective_that_fails_without_a_message_is_named),
        cmocka_unit_test(test_source_that_fails_without_a_message_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
