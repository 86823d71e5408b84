/* Parameters as tensors with merged axes, and their blocks (optim/rules/tensor_blocks.h), against the rules of
 * Distributed Shampoo written down by hand, and every element of every block against PyTorch's order of axes. */
#include "../helpers.h"

#include "optim/rules/tensor_blocks.h"

static sw_params *params_of(int rank, const int64_t *shape, int channels_at) {
    sw_params *p = sw_params_new(SW_F64, 1);
    sw_param_options o = {.size = sizeof o};
    if (channels_at > 0)
        o.channels_first = sw_channels_first(rank, shape, channels_at);
    assert_non_null(sw_params_add(p, "w", rank, shape, &o));
    assert_ok(sw_params_build(p));
    return p;
}

static void assert_lengths(const swo_modes *m, int order, const int64_t *length) {
    assert_int_equal(m->order, order);
    for (int k = 0; k < order; k++)
        assert_int_equal(m->length[k], length[k]);
}

/* ---- Merging ---- */

static void test_axes_are_merged_from_the_left(void **state) {
    (void)state;
    static const struct {
        int rank;
        int64_t shape[4];
        int channels_at;
        int64_t merge;
        int order;
        int64_t length[4];
    } cases[] = {
        {2, {10, 100}, 0, 1024, 1, {1000}}, /* a small matrix becomes a vector */
        {2, {64, 64}, 0, 1024, 2, {64, 64}},
        {2, {64, 64}, 0, 0, 2, {64, 64}},
        {2, {1, 7}, 0, 0, 1, {7}},
        {4, {64, 3, 3, 64}, 1, 1024, 2, {64, 576}}, /* [64,64,3,3]: 64·64 > 1024, then 64·9 = 576 */
        {4, {16, 3, 3, 8}, 1, 1024, 2, {384, 3}},   /* [16,8,3,3]: 16·8·3 = 384, 384·3 > 1024 */
        {4, {16, 3, 3, 8}, 0, 1024, 2, {144, 8}},   /* without an order of files: [16,3,3,8] */
        {4, {16, 3, 3, 8}, 1, 0, 4, {16, 8, 3, 3}},
        {4, {5, 1, 1, 6}, 1, 10, 2, {5, 6}},
        {0, {0}, 0, 1024, 1, {1}},
        {3, {1, 1, 1}, 0, 1024, 1, {1}},
        {1, {5}, 0, 3, 1, {5}}, /* an axis is not cut by merging */
        {2, {0, 4}, 0, 1024, 1, {0}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sw_params *p = params_of(cases[i].rank, cases[i].shape, cases[i].channels_at);
        const swo_modes m = swo_modes_of_file_order(sw_params_at(p, 0), cases[i].merge, 1024);
        assert_lengths(&m, cases[i].order, cases[i].length);
        sw_params_free(p);
    }
}

static void test_matrices_have_rows_of_the_first_axis(void **state) {
    (void)state;
    static const struct {
        int rank;
        int64_t shape[4];
        int order;
        int64_t length[2];
    } cases[] = {{0, {0}, 1, {1}},          {1, {5}, 1, {5}},
                 {2, {3, 4}, 2, {3, 4}},    {4, {8, 3, 3, 2}, 2, {8, 18}},
                 {3, {1, 2, 3}, 2, {1, 6}}, {2, {4, 1}, 2, {4, 1}}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sw_params *p = params_of(cases[i].rank, cases[i].shape, 0);
        const swo_modes m = swo_modes_of_matrix(sw_params_at(p, 0), INT64_MAX, 1024);
        assert_lengths(&m, cases[i].order, cases[i].length);
        assert_int_equal(swo_block_count(&m), 1);
        assert_true(swo_block_at(&m, 0).whole);
        sw_params_free(p);
    }
}

/* A linear layer behind a flatten of [2,3,4] pictures: the file has [5, 4·2·3] with channels first. */
static void test_order_behind_a_flatten(void **state) {
    (void)state;
    sw_params *p = sw_params_new(SW_F64, 1);
    sw_param_options o = {
        .size = sizeof o,
        .channels_first = {
            .rank = 4, .view = {5, 2, 3, 4}, .axes = {0, 3, 1, 2}, .file_rank = 2, .file_shape = {5, 24}}};
    sw_param *w = sw_params_add(p, "w", SW_SHAPE(5, 24), &o);
    assert_ok(sw_params_build(p));
    const swo_modes m = swo_modes_of_file_order(w, 0, 1024);
    assert_lengths(&m, 2, (const int64_t[]){5, 24});
    const swo_block b = swo_block_at(&m, 0);
    assert_false(b.whole);
    double out[120], x[120];
    int64_t table[29];
    assert_int_equal(swo_block_table(&b), 29);
    for (int i = 0; i < 120; i++)
        x[i] = i;
    swo_block_gather(SW_F64, &m, &b, x, out, table);
    for (int row = 0, at = 0; row < 5; row++)
        for (int c = 0; c < 4; c++)
            for (int h = 0; h < 2; h++)
                for (int v = 0; v < 3; v++)
                    assert_true(out[at++] == ((row * 2 + h) * 3 + v) * 4 + c);
    sw_params_free(p);
}

/* ---- Blocks ---- */

/* Cuts a parameter into blocks, and compares each with plain loops over [out,in,kh,kw]. `at` and `factor_at` are
 * running sums. Scattering all blocks gives the parameter again. */
static void check_blocks(sw_dtype type, int rank, const int64_t *shape, int channels_at, int64_t merge, int64_t block) {
    sw_params *p = params_of(rank, shape, channels_at);
    const sw_param *w = sw_params_at(p, 0);
    const swo_modes m = swo_modes_of_file_order(w, merge, block);
    const size_t size = sw_dtype_size(type);
    char *x = malloc((size_t)w->count * size), *back = calloc((size_t)w->count, size),
         *out = malloc((size_t)w->count * size);
    double *order = malloc((size_t)w->count * sizeof *order); /* x in the order of files */
    int64_t *table = malloc((size_t)(w->count + 64) * sizeof *table), at = 0, factor_at = 0, blocks = 1;
    assert_true(x && back && out && order && table);
    for (int64_t i = 0; i < w->count; i++)
        vec_set(type, x, i, (double)i);
    if (channels_at > 0) { /* [o,h,w,i] → [o,i,h,w] */
        int64_t to = 0;
        for (int64_t o = 0; o < shape[0]; o++)
            for (int64_t i = 0; i < shape[3]; i++)
                for (int64_t hw = 0; hw < shape[1] * shape[2]; hw++)
                    order[to++] = (double)((o * shape[1] * shape[2] + hw) * shape[3] + i);
    } else {
        for (int64_t i = 0; i < w->count; i++)
            order[i] = (double)i;
    }
    for (int k = 0; k < m.order; k++)
        blocks *= (m.length[k] + block - 1) / block;
    assert_int_equal(swo_block_count(&m), blocks);
    for (int64_t i = 0; i < blocks; i++) {
        const swo_block b = swo_block_at(&m, i);
        int64_t count = 1, factors = 0;
        for (int k = 0; k < b.order; k++) {
            assert_true(b.length[k] >= 1 && b.length[k] <= block && b.full[k]);
            assert_true(b.length[k] == block || b.begin[k] + b.length[k] == m.length[k]);
            count *= b.length[k];
            factors += b.length[k] * b.length[k];
        }
        assert_int_equal(b.count, count);
        assert_int_equal(b.at, at);
        assert_int_equal(b.factor_at, factor_at);
        assert_int_equal(swo_block_factor_count(&b), factors);
        swo_block_gather(type, &m, &b, x, out, table);
        for (int64_t j = 0; j < count; j++) {
            int64_t rest = j, from = 0, stride = 1;
            for (int k = b.order; k-- > 0; rest /= b.length[k], stride *= m.length[k])
                from += (b.begin[k] + rest % b.length[k]) * stride;
            assert_true(vec_get(type, out, j) == order[from]);
        }
        swo_block_scatter(type, &m, &b, out, back, table);
        at += count;
        factor_at += factors;
    }
    assert_int_equal(at, w->count);
    assert_int_equal(swo_factor_count(&m), factor_at);
    assert_memory_equal(x, back, (size_t)w->count * size);
    free(x), free(back), free(out), free(order), free(table);
    sw_params_free(p);
}

static void test_blocks_cover_the_parameter(void **state) {
    (void)state;
    for (int t = 0; t < 2; t++) {
        check_blocks(both_types[t], 2, (const int64_t[]){7, 10}, 0, 0, 4);   /* tails along both modes */
        check_blocks(both_types[t], 2, (const int64_t[]){7, 10}, 0, 100, 4); /* one mode of 70 */
        check_blocks(both_types[t], 2, (const int64_t[]){8, 8}, 0, 0, 4);
        check_blocks(both_types[t], 2, (const int64_t[]){3, 5}, 0, 0, 1);
        check_blocks(both_types[t], 1, (const int64_t[]){13}, 0, 0, 5);
        check_blocks(both_types[t], 0, NULL, 0, 16, 16);
        check_blocks(both_types[t], 3, (const int64_t[]){3, 1, 5}, 0, 0, 2);
        check_blocks(both_types[t], 3, (const int64_t[]){3, 4, 5}, 0, 0, 3);
        check_blocks(both_types[t], 4, (const int64_t[]){5, 2, 3, 4}, 1, 0, 1024);
        check_blocks(both_types[t], 4, (const int64_t[]){5, 2, 3, 4}, 1, 0, 3);
        check_blocks(both_types[t], 4, (const int64_t[]){5, 2, 3, 4}, 1, 12, 7); /* a block cuts merged axes */
        check_blocks(both_types[t], 4, (const int64_t[]){5, 2, 3, 4}, 1, 1024, 17);
        check_blocks(both_types[t], 4, (const int64_t[]){5, 1, 1, 4}, 1, 0, 2);
    }
}

static void test_empty_parameters_have_no_blocks(void **state) {
    (void)state;
    sw_params *p = params_of(2, (const int64_t[]){0, 4}, 0);
    const swo_modes m = swo_modes_of_file_order(sw_params_at(p, 0), 1024, 16),
                    matrix = swo_modes_of_matrix(sw_params_at(p, 0), INT64_MAX, 16);
    assert_int_equal(swo_block_count(&m), 0);
    assert_int_equal(swo_factor_count(&m), 0);
    assert_int_equal(swo_block_count(&matrix), 0);
    assert_int_equal(swo_factor_count(&matrix), 0);
    sw_params_free(p);
}

/* A side longer than most_full has a diagonal. */
static void test_long_sides_have_diagonals(void **state) {
    (void)state;
    sw_params *p = params_of(2, (const int64_t[]){5, 9}, 0);
    const swo_modes m = swo_modes_of_matrix(sw_params_at(p, 0), INT64_MAX, 6);
    const swo_block b = swo_block_at(&m, 0);
    assert_true(b.full[0] && !b.full[1]);
    assert_int_equal(swo_factor_count(&m), 25 + 9);
    assert_int_equal(swo_block_factor_count(&b), 25 + 9);
    sw_params_free(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_axes_are_merged_from_the_left, test_clear),
        cmocka_unit_test_teardown(test_matrices_have_rows_of_the_first_axis, test_clear),
        cmocka_unit_test_teardown(test_order_behind_a_flatten, test_clear),
        cmocka_unit_test_teardown(test_blocks_cover_the_parameter, test_clear),
        cmocka_unit_test_teardown(test_empty_parameters_have_no_blocks, test_clear),
        cmocka_unit_test_teardown(test_long_sides_have_diagonals, test_clear),
    };
    return cmocka_run_group_tests_name("tensor_blocks", tests, NULL, NULL);
}
