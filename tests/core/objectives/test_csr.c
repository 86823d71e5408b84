/* sw_csr_check: the sparse matrices that it accepts and refuses, and its messages. */
#include "support.h"

#include <math.h>

/* [[1, 0, 2], [0, 0, 0], [0, 3, 0]] */
static const int64_t start[] = {0, 2, 2, 3};
static const int32_t column[] = {0, 2, 1};
static const double value[] = {1, 2, 3};
static const sw_csr good = {3, 3, start, column, value, SW_F64};

static void test_csr_check_accepts_valid_matrices(void **state) {
    (void)state;
    assert_int_equal(sw_csr_check(&good), SW_OK);
    const sw_csr empty = {0, 5, (int64_t[]){0}, NULL, NULL, SW_F32};
    assert_int_equal(sw_csr_check(&empty), SW_OK);
}

static void refuse(sw_csr matrix, const char *message) {
    assert_int_not_equal(sw_csr_check(&matrix), SW_OK);
    assert_non_null(strstr(sw_error(), message));
    sw_clear_error();
}

static void test_csr_check_names_what_is_wrong(void **state) {
    (void)state;
    sw_csr m = good;
    m.columns = 2;
    refuse(m, "row 0 has a number in column 2; the columns are 0 to 1");
    m = good;
    m.index = (int32_t[]){2, 2, 1};
    refuse(m, "row 0 has column 2 after column 2");
    m = good;
    m.index = (int32_t[]){-1, 2, 1};
    refuse(m, "row 0 has a number in column -1");
    m = good;
    m.value = (double[]){1, 2, NAN};
    refuse(m, "row 2, column 1 holds Inf or NaN");
    m = good;
    m.start = (int64_t[]){0, 2, 1, 3};
    refuse(m, "start[2] = 1 is less than start[1] = 2");
    m = good;
    m.start = (int64_t[]){1, 2, 2, 3};
    refuse(m, "start[0] is 1");
    m = good;
    m.type = SW_I32;
    refuse(m, "values are f32 or f64");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_csr_check_accepts_valid_matrices),
                                       cmocka_unit_test(test_csr_check_names_what_is_wrong)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
