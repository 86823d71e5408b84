/* Operations on shapes, gathering, comparisons and where, against plain index arithmetic: random shapes of up to six
 * axes, every element type, values and gradients; then positions, ids and numbers at the limits of their range. */
#include "support.h"

#include <swale/extend.h>

enum { AXES = 6, INPUTS = 3, ROUNDS = 60, MOST = 1 << 16 };

static const sw_dtype types[] = {SW_F32, SW_F64, SW_I32, SW_U8};

static bool is_real(sw_dtype type) {
    return type == SW_F32 || type == SW_F64;
}

static int below(uint64_t *seed, int bound) {
    return (int)(test_random(seed) % (uint64_t)bound);
}

static int random_shape(uint64_t *seed, int least, int64_t *shape) {
    int rank = least + below(seed, AXES + 1 - least);
    for (int i = 0; i < rank; i++)
        shape[i] = below(seed, 14) == 0 ? 0 : 1 + below(seed, 4);
    return rank;
}

/* Whole numbers where the type is of such, few enough that some are equal. */
static sw_array random_array(sw_dtype type, int rank, const int64_t *shape, uint64_t *seed) {
    sw_array a = test_array(type, rank, shape);
    for (int64_t i = 0; i < sw_array_count(&a); i++)
        test_set(&a, i,
                 is_real(type) ? (double)(float)test_uniform(seed, -2, 2)
                               : below(seed, 200) - (type == SW_I32 ? 100 : 0));
    return a;
}

static int64_t lengths_product(int rank, const int64_t *shape) {
    int64_t n = 1;
    for (int i = 0; i < rank; i++)
        n *= shape[i];
    return n;
}

static void unravel(int64_t flat, int rank, const int64_t *shape, int64_t *index) {
    for (int axis = rank - 1; axis >= 0; axis--) {
        index[axis] = flat % shape[axis];
        flat /= shape[axis];
    }
}

static int64_t ravel(int rank, const int64_t *shape, const int64_t *index) {
    int64_t flat = 0;
    for (int axis = 0; axis < rank; axis++)
        flat = flat * shape[axis] + index[axis];
    return flat;
}

/* ---- One case: the inputs, and where each element of the result comes from ---- */

typedef struct trial {
    sw_tape *tape;
    sw_dtype type;
    int inputs;
    sw_array in[INPUTS];
    sw_tensor leaf[INPUTS];
    int rank; /* of the result */
    int64_t shape[SW_MAX_RANK];
    struct {
        int input; /* -1: `fill` */
        int64_t at;
    } source[MOST];
    double fill;
    double tolerance; /* of gradients */
} trial;

static trial now;

static void begin(sw_tape *tape, sw_dtype type) {
    sw_tape_reset(tape);
    now.tape = tape;
    now.type = type;
    now.inputs = 0;
    now.tolerance = 0;
}

static sw_tensor add_input(int rank, const int64_t *shape, uint64_t *seed) {
    int i = now.inputs++;
    now.in[i] = random_array(now.type, rank, shape, seed);
    now.leaf[i] = is_real(now.type) ? sw_variable(now.tape, now.in[i]) : sw_input(now.tape, now.in[i]);
    return now.leaf[i];
}

static void expect_shape(const sw_array *a, int rank, const int64_t *shape) {
    assert_int_equal(a->rank, rank);
    for (int i = 0; i < rank; i++)
        assert_int_equal(a->shape[i], shape[i]);
}

static void check_gradients(sw_tensor y, int64_t count) {
    uint64_t seed = 99;
    sw_array dy = test_filled(now.type, now.rank, now.shape, -1, 1, test_random(&seed));
    assert_int_equal(sw_backward_from(y, dy), SW_OK);
    for (int k = 0; k < now.inputs; k++) {
        sw_array g = sw_grad(now.leaf[k]);
        sw_array expected = test_array(now.type, now.in[k].rank, now.in[k].shape);
        assert_non_null(g.data);
        expect_shape(&g, expected.rank, expected.shape);
        for (int64_t i = 0; i < count; i++) /* in the order of the result, rounded as the type is */
            if (now.source[i].input == k)
                test_set(&expected, now.source[i].at, test_get(&expected, now.source[i].at) + test_get(&dy, i));
        for (int64_t i = 0; i < sw_array_count(&expected); i++)
            if (!(fabs(test_get(&g, i) - test_get(&expected, i)) <= now.tolerance))
                fail_msg("%s: gradient of input %d, element %lld is %g, not %g", sw_dtype_name(now.type), k,
                         (long long)i, test_get(&g, i), test_get(&expected, i));
        test_array_free(&expected);
    }
    test_array_free(&dy);
}

/* Against the trial's shape and sources; the inputs are done with. */
static void check(sw_tensor y) {
    expect_no_error();
    sw_array value = sw_value(y);
    assert_int_equal(value.type, now.type);
    expect_shape(&value, now.rank, now.shape);
    int64_t count = sw_array_count(&value);
    assert_true(count <= MOST);
    for (int64_t i = 0; i < count; i++) {
        int k = now.source[i].input;
        double expected = k < 0 ? now.fill : test_get(&now.in[k], now.source[i].at);
        if (test_get(&value, i) != expected)
            fail_msg("%s %s: element %lld is %g, not %g", sw_dtype_name(now.type), sw_shape_text(now.rank, now.shape),
                     (long long)i, test_get(&value, i), expected);
    }
    if (is_real(now.type))
        check_gradients(y, count);
    for (int k = 0; k < now.inputs; k++)
        test_array_free(&now.in[k]);
}

/* Each of the types, ROUNDS times. */
static void each_trial(void (*one)(uint64_t *seed)) {
    sw_tape *tape = sw_tape_new();
    uint64_t seed = 11;
    for (int t = 0; t < 4; t++)
        for (int round = 0; round < ROUNDS; round++) {
            begin(tape, types[t]);
            one(&seed);
        }
    sw_tape_free(tape);
}

static int64_t out_count(void) {
    return lengths_product(now.rank, now.shape);
}

/* axis, or the same counted from the end */
static int either(uint64_t *seed, int axis, int rank) {
    return below(seed, 2) ? axis : axis - rank;
}

/* ---- transpose, permute ---- */

static void sources_of_order(const int *axes) {
    const sw_array *x = &now.in[0];
    now.rank = x->rank;
    for (int i = 0; i < x->rank; i++)
        now.shape[i] = x->shape[axes[i]];
    for (int64_t flat = 0; flat < out_count(); flat++) {
        int64_t index[SW_MAX_RANK], from[SW_MAX_RANK];
        unravel(flat, now.rank, now.shape, index);
        for (int i = 0; i < x->rank; i++)
            from[axes[i]] = index[i];
        now.source[flat].input = 0;
        now.source[flat].at = ravel(x->rank, x->shape, from);
    }
}

static void shuffle(uint64_t *seed, int rank, int *axes) {
    for (int i = 0; i < rank; i++) {
        int k = below(seed, i + 1);
        axes[i] = axes[k];
        axes[k] = i;
    }
}

static void one_permute(uint64_t *seed) {
    int64_t shape[AXES];
    int rank = random_shape(seed, 0, shape), axes[AXES] = {0}, asked[AXES];
    sw_tensor x = add_input(rank, shape, seed);
    shuffle(seed, rank, axes);
    for (int i = 0; i < rank; i++)
        asked[i] = either(seed, axes[i], rank);
    sw_tensor y = sw_permute(x, rank, asked);
    sources_of_order(axes);
    check(y);
}

static void one_transpose(uint64_t *seed) {
    int64_t shape[AXES];
    int rank = random_shape(seed, 1, shape), axes[AXES];
    sw_tensor x = add_input(rank, shape, seed);
    int a = below(seed, rank), b = below(seed, rank);
    sw_tensor y = sw_transpose(x, either(seed, a, rank), either(seed, b, rank));
    for (int i = 0; i < rank; i++)
        axes[i] = i == a ? b : i == b ? a : i;
    sources_of_order(axes);
    check(y);
}

static void test_permute_gives_the_plain_values(void **state) {
    (void)state;
    each_trial(one_permute);
    each_trial(one_transpose);
}

/* Blocks, their edges, more than one thread's work, powers of two. */
static void test_large_transposes_are_right(void **state) {
    (void)state;
    static const int64_t shapes[][3] = {{1, 16, 16},  {1, 15, 17},   {1, 67, 131},  {1, 200, 33}, {1, 8, 2000},
                                        {1, 3, 5000}, {1, 256, 256}, {1, 250, 199}, {5, 70, 33},  {300, 8, 9}};
    sw_tape *tape = sw_tape_new();
    uint64_t seed = 3;
    for (int threads = 1; threads <= 3; threads++) {
        assert_int_equal(sw_set_threads(threads), SW_OK);
        for (int t = 0; t < 4; t++)
            for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
                begin(tape, types[t]);
                sw_tensor x = add_input(3, shapes[s], &seed);
                sw_tensor y = sw_transpose(x, 1, 2);
                sources_of_order((const int[]){0, 2, 1});
                check(y);
            }
    }
    sw_tape_free(tape);
}

/* ---- slice ---- */

/* Sources for a result that is a part of input k, or that has it as a part (pad, from `begin`). */
static void one_slice(uint64_t *seed) {
    int64_t shape[AXES];
    int rank = random_shape(seed, 1, shape), axis = below(seed, rank);
    sw_tensor x = add_input(rank, shape, seed);
    int n = (int)shape[axis], first = below(seed, n + 1), last = first + below(seed, n - first + 1);
    int64_t from = first < n && below(seed, 2) ? first - n : first, to = last == n && below(seed, 2)  ? SW_END
                                                                         : last < n && below(seed, 2) ? last - n
                                                                                                      : last;
    sw_tensor y = sw_slice(x, either(seed, axis, rank), from, to);
    now.rank = rank;
    memcpy(now.shape, shape, sizeof shape);
    now.shape[axis] = last - first;
    for (int64_t flat = 0; flat < out_count(); flat++) {
        int64_t index[SW_MAX_RANK];
        unravel(flat, rank, now.shape, index);
        index[axis] += first;
        now.source[flat].input = 0;
        now.source[flat].at = ravel(rank, shape, index);
    }
    check(y);
}

static void test_slice_gives_the_plain_values(void **state) {
    (void)state;
    each_trial(one_slice);
}

/* ---- slice with a step, flip, roll ---- */

/* Sources of which only the index along one axis is another: first + step·index, modulo the length of the axis. */
static void sources_along(int axis, int64_t first, int64_t step) {
    const sw_array *x = &now.in[0];
    for (int64_t flat = 0; flat < out_count(); flat++) {
        int64_t index[SW_MAX_RANK];
        unravel(flat, now.rank, now.shape, index);
        index[axis] = (first + step * index[axis]) % x->shape[axis];
        now.source[flat].input = 0;
        now.source[flat].at = ravel(x->rank, x->shape, index);
    }
}

static sw_tensor begin_along(uint64_t *seed, int *axis) {
    int64_t shape[AXES];
    now.rank = random_shape(seed, 1, shape);
    *axis = below(seed, now.rank);
    shape[*axis] = below(seed, 9);
    memcpy(now.shape, shape, sizeof shape);
    return add_input(now.rank, shape, seed);
}

static void one_slice_with_step(uint64_t *seed) {
    int axis;
    sw_tensor x = begin_along(seed, &axis);
    const int n = (int)now.shape[axis], first = below(seed, n + 1), last = first + below(seed, n - first + 1);
    const int64_t step = below(seed, 9) == 0 ? INT64_MAX : 1 + below(seed, 4);
    sw_tensor y = sw_slice_with_step(x, either(seed, axis, now.rank), first < n && below(seed, 2) ? first - n : first,
                                     last == n ? SW_END : last, step);
    now.shape[axis] = last == first ? 0 : (last - first - 1) / step + 1;
    sources_along(axis, first, now.shape[axis] > 1 ? step : 0);
    check(y);
}

static void one_flip(uint64_t *seed) {
    int axis;
    sw_tensor x = begin_along(seed, &axis);
    sw_tensor y = sw_flip(x, 1, (const int[]){either(seed, axis, now.rank)});
    sources_along(axis, now.shape[axis] - 1 + now.shape[axis], -1);
    check(y);
}

/* Several axes: as one after the other. */
static void one_flip_of_axes(uint64_t *seed) {
    int axis, axes[AXES], count = 0;
    sw_tensor x = begin_along(seed, &axis), y = x;
    for (int i = 0; i < now.rank; i++)
        if (below(seed, 2)) {
            axes[count++] = either(seed, i, now.rank);
            y = sw_flip(y, 1, &i);
        }
    const sw_array all = sw_value(count == now.rank ? sw_flip(x, SW_ALL_AXES) : sw_flip(x, count, axes)),
                   each = sw_value(y);
    expect_no_error();
    assert_int_equal(test_bytes(&all), test_bytes(&each));
    if (test_bytes(&all))
        assert_memory_equal(all.data, each.data, test_bytes(&all));
    test_array_free(&now.in[0]);
}

static void one_roll(uint64_t *seed) {
    int axis;
    sw_tensor x = begin_along(seed, &axis);
    const int64_t n = now.shape[axis], shift = below(seed, 9) == 0 ? INT64_MIN : below(seed, 60) - 30;
    sw_tensor y = sw_roll(x, shift, either(seed, axis, now.rank));
    sources_along(axis, n ? n - (shift % n + n) % n : 0, 1);
    check(y);
}

static void test_steps_flips_and_rolls_give_the_plain_values(void **state) {
    (void)state;
    each_trial(one_slice_with_step);
    each_trial(one_flip);
    each_trial(one_flip_of_axes);
    each_trial(one_roll);
}

/* ---- pad ---- */

static void one_pad(uint64_t *seed) {
    int64_t shape[AXES], before[AXES], after[AXES];
    int rank = random_shape(seed, 0, shape) % 5; /* the result fits */
    sw_tensor x = add_input(rank, shape, seed);
    now.fill = is_real(now.type) ? 0.25 : 7;
    now.rank = rank;
    for (int i = 0; i < rank; i++) {
        before[i] = below(seed, 3);
        after[i] = below(seed, 3);
        now.shape[i] = before[i] + shape[i] + after[i];
    }
    sw_tensor y = sw_pad(x, rank, before, after, now.fill);
    for (int64_t flat = 0; flat < out_count(); flat++) {
        int64_t index[SW_MAX_RANK];
        bool inside = true;
        unravel(flat, rank, now.shape, index);
        for (int i = 0; i < rank; i++) {
            index[i] -= before[i];
            inside &= index[i] >= 0 && index[i] < shape[i];
        }
        now.source[flat].input = inside ? 0 : -1;
        now.source[flat].at = inside ? ravel(rank, shape, index) : 0;
    }
    check(y);
}

static void test_pad_gives_the_plain_values(void **state) {
    (void)state;
    each_trial(one_pad);
}

/* ---- concat, stack ---- */

static void one_concat(uint64_t *seed) {
    int64_t shape[AXES], own[INPUTS][AXES];
    int rank = random_shape(seed, 1, shape) % 6, count = 1 + below(seed, INPUTS);
    rank = rank < 1 ? 1 : rank;
    int axis = below(seed, rank);
    now.rank = rank;
    memcpy(now.shape, shape, sizeof shape);
    now.shape[axis] = 0;
    for (int k = 0; k < count; k++) {
        memcpy(own[k], shape, sizeof shape);
        own[k][axis] = below(seed, 4);
        now.shape[axis] += own[k][axis];
        add_input(rank, own[k], seed);
    }
    sw_tensor y = sw_concat(count, now.leaf, either(seed, axis, rank));
    for (int64_t flat = 0; flat < out_count(); flat++) {
        int64_t index[SW_MAX_RANK];
        int k = 0;
        unravel(flat, rank, now.shape, index);
        while (index[axis] >= own[k][axis])
            index[axis] -= own[k++][axis];
        now.source[flat].input = k;
        now.source[flat].at = ravel(rank, own[k], index);
    }
    check(y);
}

static void one_stack(uint64_t *seed) {
    int64_t shape[AXES];
    int rank = random_shape(seed, 0, shape), count = 1 + below(seed, INPUTS), axis = below(seed, rank + 1);
    now.rank = rank + 1;
    for (int i = 0; i <= rank; i++)
        now.shape[i] = i < axis ? shape[i] : i == axis ? count : shape[i - 1];
    for (int k = 0; k < count; k++)
        add_input(rank, shape, seed);
    sw_tensor y = sw_stack(count, now.leaf, either(seed, axis, rank + 1));
    for (int64_t flat = 0; flat < out_count(); flat++) {
        int64_t index[SW_MAX_RANK];
        unravel(flat, rank + 1, now.shape, index);
        now.source[flat].input = (int)index[axis];
        memmove(index + axis, index + axis + 1, (size_t)(rank - axis) * sizeof *index);
        now.source[flat].at = ravel(rank, shape, index);
    }
    check(y);
}

static void test_concat_and_stack_give_the_plain_values(void **state) {
    (void)state;
    each_trial(one_concat);
    each_trial(one_stack);
}

/* ---- expand ---- */

static void one_expand(uint64_t *seed) {
    int64_t shape[AXES], asked[SW_MAX_RANK];
    int rank = random_shape(seed, 0, shape) % 5, more = below(seed, 3);
    for (int i = 0; i < rank; i++)
        shape[i] = below(seed, 2) ? 1 : shape[i];
    sw_tensor x = add_input(rank, shape, seed);
    now.rank = rank + more;
    for (int i = 0; i < now.rank; i++) {
        int own = i - more;
        now.shape[i] = own < 0 || shape[own] == 1 ? below(seed, 5) : shape[own];
        asked[i] = own >= 0 && now.shape[i] == shape[own] && below(seed, 2) ? -1 : now.shape[i];
    }
    sw_tensor y = sw_expand(x, now.rank, asked);
    int64_t count = out_count();
    for (int64_t flat = 0; flat < count; flat++) {
        int64_t index[SW_MAX_RANK];
        unravel(flat, now.rank, now.shape, index);
        for (int i = 0; i < rank; i++)
            index[more + i] = shape[i] == 1 ? 0 : index[more + i];
        now.source[flat].input = 0;
        now.source[flat].at = ravel(rank, shape, index + more);
    }
    /* Sums of at most `count` numbers below 1 in another order: two of them, u·count² each. */
    now.tolerance = 2 * (now.type == SW_F32 ? 0x1p-24 : 0x1p-53) * (double)(count * count);
    check(y);
}

static void test_expand_gives_the_plain_values(void **state) {
    (void)state;
    each_trial(one_expand);
}

/* ---- gather_rows, gather: gradients of equal ids in order, to the bit ---- */

static sw_array random_ids(int rank, const int64_t *shape, int64_t n, uint64_t *seed) {
    sw_array ids = test_array(SW_I32, rank, shape);
    for (int64_t i = 0; i < sw_array_count(&ids); i++)
        test_set(&ids, i, below(seed, (int)n));
    return ids;
}

static void one_gather_rows(uint64_t *seed) {
    int64_t table[AXES], shape[AXES];
    int rank = random_shape(seed, 1, table), ids_rank = random_shape(seed, 0, shape) % 3;
    rank = rank > 4 ? 4 : rank;
    sw_tensor x = add_input(rank, table, seed);
    if (table[0] == 0 && ids_rank == 0)
        shape[0] = 0, ids_rank = 1;
    for (int i = 0; i < ids_rank; i++)
        shape[i] = table[0] == 0 ? 0 : shape[i];
    sw_array ids = random_ids(ids_rank, shape, table[0], seed);
    sw_tensor y = sw_gather_rows(x, sw_input(now.tape, ids));
    int64_t row = lengths_product(rank - 1, table + 1);
    now.rank = ids_rank + rank - 1;
    memcpy(now.shape, shape, (size_t)ids_rank * sizeof *shape);
    memcpy(now.shape + ids_rank, table + 1, (size_t)(rank - 1) * sizeof *shape);
    for (int64_t flat = 0; flat < out_count(); flat++) {
        now.source[flat].input = 0;
        now.source[flat].at = (int64_t)test_get(&ids, flat / row) * row + flat % row;
    }
    check(y);
    test_array_free(&ids);
}

static void one_gather(uint64_t *seed) {
    int64_t shape[AXES], own[AXES];
    int rank = random_shape(seed, 1, shape), axis = below(seed, rank);
    sw_tensor x = add_input(rank, shape, seed);
    memcpy(own, shape, sizeof shape);
    own[axis] = shape[axis] ? below(seed, 6) : 0;
    sw_array ids = random_ids(rank, own, shape[axis], seed);
    sw_tensor y = sw_gather(x, either(seed, axis, rank), sw_input(now.tape, ids));
    now.rank = rank;
    memcpy(now.shape, own, sizeof own);
    for (int64_t flat = 0; flat < out_count(); flat++) {
        int64_t index[SW_MAX_RANK];
        unravel(flat, rank, own, index);
        index[axis] = (int64_t)test_get(&ids, flat);
        now.source[flat].input = 0;
        now.source[flat].at = ravel(rank, shape, index);
    }
    check(y);
    test_array_free(&ids);
}

static void test_gather_gives_the_plain_values(void **state) {
    (void)state;
    each_trial(one_gather_rows);
    each_trial(one_gather);
}

/* Many equal ids, wide rows, threads: the gradient is the sum in the order of the ids, to the bit. */
static void test_gather_gradient_adds_in_the_order_of_ids(void **state) {
    (void)state;
    sw_tape *tape = sw_tape_new();
    for (int threads = 1; threads <= 3; threads++) {
        assert_int_equal(sw_set_threads(threads), SW_OK);
        for (int t = 0; t < 2; t++) {
            uint64_t seed = 5;
            begin(tape, types[t]);
            sw_tensor x = add_input(SW_SHAPE(3, 200), &seed);
            sw_array ids = random_ids(SW_SHAPE(300), 3, &seed);
            sw_tensor y = sw_gather_rows(x, sw_input(tape, ids));
            now.rank = 2;
            now.shape[0] = 300;
            now.shape[1] = 200;
            for (int64_t i = 0; i < out_count(); i++) {
                now.source[i].input = 0;
                now.source[i].at = (int64_t)test_get(&ids, i / 200) * 200 + i % 200;
            }
            check(y);
            test_array_free(&ids);
        }
    }
    sw_tape_free(tape);
}

static void test_gather_refuses_wrong_ids(void **state) {
    (void)state;
    const double x[10] = {0};
    const int32_t late[4] = {9, 0, 3, 12}, negative[2] = {1, -1}, most[1] = {INT32_MAX};
    sw_tape *tape = sw_tape_new();
    sw_tensor rows = sw_input(tape, sw_array_view(x, SW_F64, SW_SHAPE(10, 1))),
              line = sw_input(tape, sw_array_view(x, SW_F64, SW_SHAPE(10))),
              none = sw_empty(tape, SW_F32, SW_SHAPE(0, 3));
    assert_true(sw_is_null(sw_gather_rows(rows, sw_input(tape, sw_array_view(late, SW_I32, SW_SHAPE(2, 2))))));
    expect_error(SW_ERR_ARGUMENT, "gather_rows: id 12 at position 3 is outside 0 to 9");
    assert_true(sw_is_null(sw_gather(line, 0, sw_input(tape, sw_array_view(negative, SW_I32, SW_SHAPE(2))))));
    expect_error(SW_ERR_ARGUMENT, "gather: id -1 at position 1 is outside 0 to 9");
    assert_true(sw_is_null(sw_gather_rows(none, sw_input(tape, sw_array_view(most, SW_I32, SW_SHAPE(1))))));
    expect_error(SW_ERR_ARGUMENT, "gather_rows: id 2147483647 at position 0, but there is no element to gather "
                                  "in [0,3]");
    assert_true(sw_is_null(sw_gather_rows(rows, line)));
    expect_error(SW_ERR_TYPE, "gather_rows: the ids are f64; i32 is needed");
    assert_true(sw_is_null(sw_gather(line, 1, sw_input(tape, sw_array_view(late, SW_I32, SW_SHAPE(4))))));
    expect_error(SW_ERR_SHAPE, "gather: axis 1 of [10]; its axes are -1 to 0");
    sw_tape_free(tape);
}

/* ---- Comparisons and choice ---- */

/* The element that is broadcast to element `flat` of a shape. */
static int64_t broadcast_at(const sw_array *a, int rank, const int64_t *shape, int64_t flat) {
    int64_t index[SW_MAX_RANK];
    unravel(flat, rank, shape, index);
    for (int i = 0; i < a->rank; i++)
        index[rank - a->rank + i] = a->shape[i] == 1 ? 0 : index[rank - a->rank + i];
    return ravel(a->rank, a->shape, index + rank - a->rank);
}

/* A shape that broadcasts to another. */
static int narrower(uint64_t *seed, int rank, const int64_t *shape, int64_t *own) {
    int left = below(seed, 3) ? rank : below(seed, rank + 1);
    for (int i = 0; i < left; i++)
        own[i] = below(seed, 3) ? shape[rank - left + i] : 1;
    return left;
}

static void one_comparison(uint64_t *seed) {
    static sw_tensor (*const compare[])(sw_tensor, sw_tensor) = {sw_greater, sw_less, sw_equal};
    int64_t shape[AXES], own[AXES];
    int rank = random_shape(seed, 0, shape), which = below(seed, 3);
    sw_tensor a = add_input(rank, shape, seed);
    sw_tensor b = add_input(narrower(seed, rank, shape, own), own, seed);
    for (int64_t i = 0; i < sw_array_count(&now.in[1]); i++) /* some are equal */
        if (below(seed, 3) == 0 && sw_array_count(&now.in[0]) > i)
            test_set(&now.in[1], i, test_get(&now.in[0], i));
    bool swap = below(seed, 2);
    sw_array out = sw_value(compare[which](swap ? b : a, swap ? a : b));
    expect_no_error();
    assert_int_equal(out.type, SW_U8);
    expect_shape(&out, rank, shape);
    for (int64_t i = 0; i < sw_array_count(&out); i++) {
        double x = test_get(&now.in[swap], broadcast_at(&now.in[swap], rank, shape, i)),
               y = test_get(&now.in[!swap], broadcast_at(&now.in[!swap], rank, shape, i));
        assert_int_equal((int)test_get(&out, i), which == 0 ? x > y : which == 1 ? x < y : x == y);
    }
    test_array_free(&now.in[0]);
    test_array_free(&now.in[1]);
}

static void test_comparisons_give_the_plain_values(void **state) {
    (void)state;
    each_trial(one_comparison);
    const double nan = (double)NAN, infinity = (double)INFINITY;
    const double a[7] = {nan, 1, nan, 0.0, infinity, -infinity, -1}, b[7] = {1, nan, nan, -0.0, infinity, infinity, -2};
    static const int expected[3][7] = {{0, 0, 0, 0, 0, 0, 1}, {0, 0, 0, 0, 0, 1, 0}, {0, 0, 0, 1, 1, 0, 0}};
    sw_tape *tape = sw_tape_new();
    for (int t = 0; t < 2; t++) {
        sw_array x = test_array(types[t], SW_SHAPE(7)), y = test_array(types[t], SW_SHAPE(7));
        for (int i = 0; i < 7; i++) {
            test_set(&x, i, a[i]);
            test_set(&y, i, b[i]);
        }
        sw_tensor p = sw_variable(tape, x), q = sw_variable(tape, y);
        sw_tensor results[3] = {sw_greater(p, q), sw_less(p, q), sw_equal(p, q)};
        for (int k = 0; k < 3; k++)
            for (int i = 0; i < 7; i++) {
                sw_array out = sw_value(results[k]);
                assert_int_equal((int)test_get(&out, i), expected[k][i]);
            }
        assert_int_equal(sw_backward_from(results[0], sw_value(results[0])), SW_ERR_STATE);
        expect_error(SW_ERR_STATE, "backward: operation greater has no derivative");
        sw_tape_reset(tape);
        test_array_free(&x);
        test_array_free(&y);
    }
    sw_tape_free(tape);
}

static void one_where(uint64_t *seed) {
    int64_t own[INPUTS][AXES];
    int rank = random_shape(seed, 0, now.shape), ranks[INPUTS], full = below(seed, INPUTS);
    now.rank = rank;
    for (int k = 0; k < INPUTS; k++) {
        ranks[k] = k == full ? rank : narrower(seed, rank, now.shape, own[k]);
        if (k == full)
            memcpy(own[k], now.shape, sizeof own[k]);
    }
    sw_array condition = test_array(below(seed, 2) ? SW_U8 : SW_I32, ranks[2], own[2]);
    for (int64_t i = 0; i < sw_array_count(&condition); i++) /* 256: no byte alone decides */
        test_set(&condition, i, below(seed, 2) == 0 ? 0 : condition.type == SW_U8 ? 128 : below(seed, 2) ? 256 : -1);
    sw_tensor a = add_input(ranks[0], own[0], seed), b = add_input(ranks[1], own[1], seed);
    sw_tensor y = sw_where(sw_input(now.tape, condition), a, b);
    int64_t count = out_count();
    for (int64_t i = 0; i < count; i++) {
        int k = test_get(&condition, broadcast_at(&condition, rank, now.shape, i)) == 0;
        now.source[i].input = k;
        now.source[i].at = broadcast_at(&now.in[k], rank, now.shape, i);
    }
    /* Sums of at most `count` numbers below 1 in another order: two of them, u·count² each. */
    now.tolerance = 2 * (now.type == SW_F32 ? 0x1p-24 : 0x1p-53) * (double)(count * count);
    check(y);
    test_array_free(&condition);
}

/* log x where x > 0, else x: 1/0 on the side that was not taken is not seen. */
static void test_where_gives_the_plain_values(void **state) {
    (void)state;
    each_trial(one_where);
    const double x[4] = {2, 0, -1, 4}, expected[4] = {0.5, 1, 1, 0.25};
    sw_tape *tape = sw_tape_new();
    sw_tensor t = sw_variable(tape, sw_array_view(x, SW_F64, SW_SHAPE(4))), zero = sw_constant(tape, SW_F64, 0);
    sw_tensor positive = sw_greater(t, zero), safe = sw_where(positive, t, sw_constant(tape, SW_F64, 1));
    sw_tensor y = sw_where(positive, sw_log(safe), t);
    assert_int_equal(sw_backward(sw_sum(y)), SW_OK);
    sw_array g = sw_grad(t);
    for (int i = 0; i < 4; i++)
        assert_true(test_get(&g, i) == expected[i]);
    /* The cotangent itself is infinite on the other side: 0, not 0·∞. */
    const uint8_t mask[3] = {1, 0, 1};
    const double wild[3] = {INFINITY, NAN, -INFINITY};
    sw_tensor a = sw_variable(tape, sw_array_view(wild, SW_F64, SW_SHAPE(3))),
              b = sw_variable(tape, sw_array_view(wild, SW_F64, SW_SHAPE(3)));
    sw_tensor chosen = sw_where(sw_input(tape, sw_array_view(mask, SW_U8, SW_SHAPE(3))), a, b);
    assert_int_equal(sw_backward_from(chosen, sw_array_view(wild, SW_F64, SW_SHAPE(3))), SW_OK);
    sw_array ga = sw_grad(a), gb = sw_grad(b);
    assert_true(test_get(&ga, 1) == 0 && test_get(&gb, 0) == 0 && test_get(&gb, 2) == 0);
    assert_true(test_get(&ga, 0) == (double)INFINITY && isnan(test_get(&gb, 1)));
    assert_true(sw_is_null(sw_where(t, t, t)));
    expect_error(SW_ERR_TYPE, "where: the condition is f64; u8 or i32 is needed");
    assert_true(sw_is_null(sw_where(positive, t, positive)));
    expect_error(SW_ERR_TYPE, "where: input 1 is f64 and input 2 is u8; they must agree");
    assert_true(sw_is_null(sw_greater(t, positive)));
    expect_error(SW_ERR_TYPE, "greater: input 0 is f64 and input 1 is u8; they must agree");
    sw_tape_free(tape);
}

/* ---- There and back ---- */

static void one_round_trip(uint64_t *seed) {
    int64_t shape[AXES], lengths[3] = {0};
    int rank = random_shape(seed, 1, shape), axis = below(seed, rank), axes[AXES] = {0}, back[AXES];
    sw_tensor x = add_input(rank, shape, seed), part[3];
    lengths[0] = below(seed, (int)shape[axis] + 1);
    lengths[1] = below(seed, (int)(shape[axis] - lengths[0]) + 1);
    lengths[2] = shape[axis] - lengths[0] - lengths[1];
    shuffle(seed, rank, axes);
    for (int i = 0; i < rank; i++)
        back[axes[i]] = i;
    assert_int_equal(sw_split(x, either(seed, axis, rank), 3, lengths, part), SW_OK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(sw_value(part[i]).shape[axis], lengths[i]);
    sw_tensor y = sw_permute(sw_permute(sw_concat(3, part, axis), rank, axes), rank, back);
    for (int i = 0; i < rank; i++)
        axes[i] = i;
    sources_of_order(axes);
    check(y);
}

static void test_shapes_there_and_back_change_nothing(void **state) {
    (void)state;
    each_trial(one_round_trip);
    sw_tape *tape = sw_tape_new(); /* whole numbers are reshaped too */
    const int32_t ids[6] = {5, 4, 3, 2, 1, 0};
    sw_array y = sw_value(sw_reshape(sw_input(tape, sw_array_view(ids, SW_I32, SW_SHAPE(6))), SW_SHAPE(2, -1)));
    assert_true(y.type == SW_I32 && y.shape[1] == 3 && y.data == ids);
    sw_tape_free(tape);
}

/* ---- Mistakes that the table cannot make ---- */

static void expect_no_parts(const sw_tensor *part, int count) {
    for (int i = 0; i < count; i++)
        assert_true(sw_is_null(part[i]));
}

static void test_split_gives_all_or_none(void **state) {
    (void)state;
    const float x[6] = {1, 2, 3, 4, 5, 6};
    static test_allocator allocator;
    test_allocator_install(&allocator);
    sw_tape *tape = sw_tape_new();
    sw_tensor t = sw_input(tape, sw_array_view(x, SW_F32, SW_SHAPE(6))), part[3] = {t, t, t};
    assert_int_equal(sw_split(t, 0, 3, (const int64_t[]){4, -1, 3}, part), SW_ERR_SHAPE);
    expect_error(SW_ERR_SHAPE, "split: length 1 is -1; it must not be negative");
    expect_no_parts(part, 3);
    assert_int_equal(sw_split(t, 0, 3, (const int64_t[]){INT64_MAX, INT64_MAX, 8}, part), SW_ERR_SHAPE);
    expect_error(SW_ERR_SHAPE, "split: 3 lengths add up to more than axis 0 of [6], which is 6");
    assert_int_equal(sw_split(t, 0, 0, NULL, part), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "split: 0 parts; at least one is needed");
    assert_int_equal(sw_split(t, 0, 3, NULL, NULL), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "split: the place for 3 parts is NULL");
    part[0] = t;
    assert_int_equal(sw_split((sw_tensor){0}, 0, 3, NULL, part), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "split: input 0 is a null tensor");
    expect_no_parts(part, 3);
    sw_tape_reset(tape);
    assert_int_equal(sw_split(t, 0, 3, NULL, part), SW_ERR_STATE);
    expect_error(SW_ERR_STATE, "split: input 0: a tensor was used after its tape was reset");
    sw_tape_free(tape);
    for (long long k = 1;; k++) { /* parts so large that each needs memory */
        test_allocator_fail(&allocator, 0, false);
        tape = sw_tape_new();
        t = sw_empty(tape, SW_F64, SW_SHAPE(30, 3000));
        memset(sw_value(t).data, 0, 30 * 3000 * sizeof(double));
        test_allocator_fail(&allocator, k, false);
        sw_status status = sw_split(t, 1, 3, NULL, part);
        bool failed = atomic_load(&allocator.failed) > 0;
        assert_int_equal(status, failed ? SW_ERR_MEMORY : SW_OK);
        if (failed)
            expect_no_parts(part, 3);
        sw_clear_error();
        sw_tape_free(tape);
        if (!failed) {
            assert_true(k > 1); /* one at least did fail */
            break;
        }
    }
    assert_int_equal(atomic_load(&allocator.live), 0);
    sw_set_allocator(NULL);
}

#define REFUSED(call, status, message) \
    do {                               \
        assert_true(sw_is_null(call)); \
        expect_error(status, message); \
    } while (0)

static void test_shape_operations_refuse_wrong_arguments(void **state) {
    (void)state;
    const float x[6] = {1, 2, 3, 4, 5, 6};
    const uint8_t u[6] = {0};
    const int64_t none[2] = {0, 0}, minus[2] = {0, -1}, endless[2] = {INT64_MAX, 0};
    sw_tape *tape = sw_tape_new();
    sw_tensor t = sw_input(tape, sw_array_view(x, SW_F32, SW_SHAPE(2, 3))),
              b = sw_input(tape, sw_array_view(u, SW_U8, SW_SHAPE(2, 3)));
    REFUSED(sw_permute(t, SW_AXES(0, -2)), SW_ERR_ARGUMENT,
            "permute: axis 0 of [2,3] is given twice; all are needed, each once");
    REFUSED(sw_permute(t, SW_AXES(0, 2)), SW_ERR_SHAPE, "permute: axis 2 of [2,3]; its axes are -2 to 1");
    REFUSED(sw_permute(t, 2, NULL), SW_ERR_ARGUMENT, "permute: 2 axes, but their numbers are NULL");
    REFUSED(sw_permute(t, SW_ALL_AXES), SW_ERR_ARGUMENT, "permute: -1 axes; SW_AXES(...) is needed");
    REFUSED(sw_permute(t, 9, (const int[9]){0}), SW_ERR_ARGUMENT, "permute: 9 axes; SW_AXES(...) is needed");
    REFUSED(sw_slice(t, 1, 2, 1), SW_ERR_SHAPE, "slice: 2 to 1 along axis 1 of [2,3]; the end is before the beginning");
    REFUSED(sw_slice(t, 1, -4, SW_END), SW_ERR_SHAPE, "slice: -4 to 3 along axis 1 of [2,3]; positions are -3 to 3");
    REFUSED(sw_slice(t, 1, INT64_MIN, 2), SW_ERR_SHAPE,
            "slice: -9223372036854775808 to 2 along axis 1 of [2,3]; positions are -3 to 3");
    REFUSED(sw_slice_with_step(t, 1, 0, 2, 0), SW_ERR_ARGUMENT,
            "slice_with_step: step 0; it must be at least 1 (sw_flip reverses an axis)");
    REFUSED(sw_slice_with_step(t, 1, 2, 1, 2), SW_ERR_SHAPE,
            "slice_with_step: 2 to 1 along axis 1 of [2,3]; the end is before the beginning");
    REFUSED(sw_flip(t, SW_AXES(0, -2)), SW_ERR_ARGUMENT, "flip: axis 0 of [2,3] is given twice");
    REFUSED(sw_flip(t, 2, NULL), SW_ERR_ARGUMENT, "flip: 2 axes, but their numbers are NULL");
    REFUSED(sw_flip(t, 9, (const int[9]){0}), SW_ERR_ARGUMENT, "flip: 9 axes; SW_AXES(...) or SW_ALL_AXES is needed");
    REFUSED(sw_roll(t, 1, 2), SW_ERR_SHAPE, "roll: axis 2 of [2,3]; its axes are -2 to 1");
    REFUSED(sw_concat(SW_TENSORS(t, b), 0), SW_ERR_TYPE, "concat: input 0 is f32 and input 1 is u8; they must agree");
    REFUSED(sw_stack(SW_TENSORS(t, b), 0), SW_ERR_TYPE, "stack: input 0 is f32 and input 1 is u8; they must agree");
    REFUSED(sw_concat(0, NULL, 0), SW_ERR_ARGUMENT, "concat: an operation needs an input");
    REFUSED(sw_stack(SW_TENSORS(t), 3), SW_ERR_SHAPE, "stack: new axis 3 for [2,3]; it may be -3 to 2");
    REFUSED(sw_pad(t, 2, none, minus, 0), SW_ERR_SHAPE,
            "pad: 0 before and -1 after axis 1 of [2,3]; the numbers must not be negative (sw_slice removes elements)");
    REFUSED(sw_pad(t, 2, endless, none, 0), SW_ERR_SHAPE, "pad: axis 0 of the result is too long");
    REFUSED(sw_pad(t, 2, NULL, none, 0), SW_ERR_ARGUMENT, "pad: lengths for 2 axes, but they are NULL");
    REFUSED(sw_pad(t, -1, none, none, 0), SW_ERR_ARGUMENT, "pad: lengths for -1 axes; x's rank is needed");
    REFUSED(sw_pad(b, 2, none, none, 256), SW_ERR_ARGUMENT, "pad: 256 is not a whole number from 0 to 255 (u8)");
    REFUSED(sw_pad(b, 2, none, none, 0.5), SW_ERR_ARGUMENT, "pad: 0.5 is not a whole number from 0 to 255 (u8)");
    REFUSED(sw_pad(b, 2, none, none, (double)NAN), SW_ERR_ARGUMENT,
            "pad: nan is not a whole number from 0 to 255 (u8)");
    REFUSED(sw_expand(t, SW_SHAPE(-2, 3)), SW_ERR_SHAPE,
            "expand: [2,3] cannot become [-2,3]: axis 0 is -2; a negative length must be -1 and "
            "belong to an axis of the input");
    REFUSED(sw_expand(t, 9, (const int64_t[9]){0}), SW_ERR_SHAPE, "expand: a tensor has 0 to 8 axes, not 9");
    sw_tape_free(tape);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_permute_gives_the_plain_values, test_clear),
        cmocka_unit_test_setup(test_large_transposes_are_right, test_clear),
        cmocka_unit_test_setup(test_slice_gives_the_plain_values, test_clear),
        cmocka_unit_test_setup(test_steps_flips_and_rolls_give_the_plain_values, test_clear),
        cmocka_unit_test_setup(test_pad_gives_the_plain_values, test_clear),
        cmocka_unit_test_setup(test_concat_and_stack_give_the_plain_values, test_clear),
        cmocka_unit_test_setup(test_expand_gives_the_plain_values, test_clear),
        cmocka_unit_test_setup(test_gather_gives_the_plain_values, test_clear),
        cmocka_unit_test_setup(test_gather_gradient_adds_in_the_order_of_ids, test_clear),
        cmocka_unit_test_setup(test_gather_refuses_wrong_ids, test_clear),
        cmocka_unit_test_setup(test_comparisons_give_the_plain_values, test_clear),
        cmocka_unit_test_setup(test_where_gives_the_plain_values, test_clear),
        cmocka_unit_test_setup(test_shapes_there_and_back_change_nothing, test_clear),
        cmocka_unit_test_setup(test_split_gives_all_or_none, test_clear),
        cmocka_unit_test_setup(test_shape_operations_refuse_wrong_arguments, test_clear),
    };
    return cmocka_run_group_tests_name("ops_shape", tests, NULL, NULL);
}
