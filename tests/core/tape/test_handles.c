/* The result of an operation has its own handle: releasing it or its input leaves the other one usable, also if the
 * operation changes nothing. */
#include "support.h"

#include <swale/extend.h>

#define OF(name, expression)             \
    static sw_tensor name(sw_tensor x) { \
        return expression;               \
    }
OF(dropout_none, sw_dropout(x, 0, 1))
OF(dropout, sw_dropout(x, 0.5, 1)) /* not SW_TRAIN */
OF(reshape, sw_reshape(x, SW_SHAPE(2, 3)))
OF(detach, sw_detach(x))
OF(scale, sw_scale(x, 1))
OF(power, sw_pow(x, 1))
OF(permute, sw_permute(x, SW_AXES(0, 1)))
OF(transpose, sw_transpose(x, 1, 1))
OF(slice, sw_slice(x, 0, 0, SW_END))
OF(concat, sw_concat(SW_TENSORS(x), 0))
OF(expand, sw_expand(x, SW_SHAPE(2, 3)))
OF(pad, sw_pad(x, 2, (const int64_t[]){0, 0}, (const int64_t[]){0, 0}, 5))
OF(sum, sw_sum_over(x, 0, NULL, true))
OF(clamp, sw_clamp(x, -1e9, 1e9))
OF(leaky_relu, sw_leaky_relu(x, 1))

static sw_tensor split(sw_tensor x) {
    sw_tensor part;
    return sw_split(x, 0, 1, NULL, &part) == SW_OK ? part : (sw_tensor){0};
}

typedef struct identity {
    const char *name;
    sw_tensor (*of)(sw_tensor x);
} identity;
static const identity identities[] = {
    {"dropout of nothing", dropout_none},
    {"dropout in evaluation", dropout},
    {"reshape", reshape},
    {"detach", detach},
    {"scale", scale},
    {"pow", power},
    {"permute", permute},
    {"transpose", transpose},
    {"slice", slice},
    {"concat", concat},
    {"expand", expand},
    {"pad", pad},
    {"sum", sum},
    {"clamp", clamp},
    {"leaky_relu", leaky_relu},
    {"split", split},
};

static void expect_values(sw_tensor t, const char *name) {
    const sw_array a = sw_value(t);
    if (!a.data)
        fail_msg("%s: %s", name, sw_error());
    for (int i = 0; i < 6; i++)
        assert_true(test_get(&a, i) == i + 2);
}

static void test_result_of_an_identity_has_its_own_handle(void **state) {
    (void)state;
    static const float ones[6] = {1, 1, 1, 1, 1, 1};
    for (size_t i = 0; i < sizeof identities / sizeof *identities; i++)
        for (int released = 0; released < 2; released++) {
            sw_tape *tape = sw_tape_new();
            sw_tape_set_switch(tape, SW_TRAIN, false);
            sw_tensor leaf =
                sw_variable(tape, sw_array_view((const float[]){1, 2, 3, 4, 5, 6}, SW_F32, SW_SHAPE(2, 3)));
            sw_tensor x = sw_add(leaf, sw_constant(tape, SW_F32, 1)), y = identities[i].of(x);
            sw_release(released ? y : x);
            /* Memory that was given back is used again. */
            sw_tensor other = sw_mul(leaf, leaf);
            expect_values(released ? x : y, identities[i].name);
            if (!released && identities[i].of != detach) {
                assert_int_equal(sw_backward_from(y, sw_array_view(ones, SW_F32, SW_SHAPE(2, 3))), SW_OK);
                assert_true(((const float *)sw_grad(leaf).data)[5] == 1);
            }
            assert_true(sw_is_live(other));
            assert_null(sw_error());
            sw_tape_free(tape);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_result_of_an_identity_has_its_own_handle)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
