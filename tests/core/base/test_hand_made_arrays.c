/* Arrays with an impossible rank, length or type, filled in by hand: every public function of core that takes an array
 * refuses them with a message, and does not read or write beyond them. */
#define _GNU_SOURCE
#include "support.h"

#include <swale/extend.h>

static float numbers[64];

/* One that is wrong in the number of its axes, a length, their product or its type. */
static sw_array bad_array(int which) {
    sw_array a = {.data = numbers, .type = SW_F32, .rank = 2, .shape = {2, 3}};
    static const int ranks[] = {60, -1, INT32_MAX, INT32_MIN, SW_MAX_RANK + 1};
    if (which < 5)
        a.rank = ranks[which];
    else if (which == 5)
        a.shape[1] = -3;
    else if (which == 6)
        a.shape[0] = a.shape[1] = -2; /* the product is above 0 */
    else if (which == 7)
        a.shape[0] = a.shape[1] = (int64_t)1 << 40;
    else
        a.type = (sw_dtype)(which == 8 ? 99 : -1);
    return a;
}
enum { BAD = 10, BAD_TYPES = 8 };

static void expect_refusal(const char *what, int which) {
    if (!sw_error())
        fail_msg("%s: array %d was not refused", what, which);
    if (strlen(sw_error()) > 1000)
        fail_msg("%s: array %d: the message is %zu bytes long", what, which, strlen(sw_error()));
    sw_clear_error();
}

static sw_tensor double_it(void *user, sw_tape *tape, const sw_tensor *in) {
    (void)user, (void)tape;
    return sw_scale(in[0], 2);
}

static void test_hand_made_arrays_are_refused(void **state) {
    (void)state;
    sw_tape *tape = sw_tape_new();
    sw_archive *archive = sw_archive_new();
    for (int which = 0; which < BAD; which++) {
        const sw_array a = bad_array(which);
        assert_true(sw_is_null(sw_input(tape, a)));
        expect_refusal("input", which);
        assert_true(sw_is_null(sw_input_copy(tape, a)));
        expect_refusal("input_copy", which);
        assert_true(sw_is_null(sw_variable(tape, a)));
        expect_refusal("variable", which);
        assert_true(sw_is_null(sw_empty(tape, a.type, a.rank, a.shape)));
        expect_refusal("buffer", which);
        sw_tensor y = sw_variable(tape, sw_array_view(numbers, SW_F32, SW_SHAPE(2, 3)));
        assert_true(sw_backward_from(y, a) != SW_OK);
        expect_refusal("backward_from", which);
        assert_true(sw_archive_put(archive, "a", a) != SW_OK);
        expect_refusal("archive_put", which);
        assert_true(sw_archive_put_copy(archive, "a", a) != SW_OK);
        expect_refusal("archive_put_copy", which);
        assert_true(sw_gradcheck(double_it, NULL, 1, &a, NULL, NULL) != SW_OK);
        expect_refusal("gradcheck", which);
        if (which < BAD_TYPES) {
            const bool fits = which == 7; /* the product of 2^80 is refused, too */
            assert_true(sw_array_count(&a) == 0 || fits);
            expect_refusal("array_count", which);
            assert_null(sw_array_view(numbers, a.type, a.rank, a.shape).data);
            expect_refusal("array_of", which);
            assert_null(sw_array_new(a.type, a.rank, a.shape).data);
            expect_refusal("array_new", which);
            sw_params *params = sw_params_new(SW_F32, 1);
            assert_null(sw_params_add(params, "p", a.rank, a.shape, NULL));
            expect_refusal("params_add", which);
            sw_params_free(params);
            assert_true(sw_is_null(sw_reshape(y, a.rank, a.shape)));
            expect_refusal("reshape", which);
            assert_true(sw_is_null(sw_expand(y, a.rank, a.shape)));
            expect_refusal("expand", which);
        }
        char text[400] = {0};
        FILE *to = fmemopen(text, sizeof text, "w");
        if (which != 7)
            sw_array_print(&a, to);
        fclose(to);
        assert_true(which == 7 || strstr(text, "invalid array"));
        sw_clear_error();
        assert_true(strlen(sw_shape_text(a.rank, a.shape)) < 200);
    }
    sw_archive_free(archive);
    sw_tape_free(tape);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_hand_made_arrays_are_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
