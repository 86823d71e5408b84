/* Operations on f16 and bf16 that work element by element or move elements, and read 16-bit inputs themselves: the bits
 * are those of f32, rounded once, and no operand is converted to f32 as a whole. */
#include "support.h"

#include "op_table.h"

#include "half_cases.h"

extern atomic_int swi_level, swi_instructions; /* see core/kernels/dispatch.h */

/* The operations without an f32 copy of a whole operand. */
static const char *const native[] = {"add",          "sub",
                                     "mul",          "div",
                                     "maximum",      "minimum",
                                     "scale",        "neg",
                                     "exp",          "log",
                                     "sqrt",         "abs",
                                     "sin",          "cos",
                                     "pow",          "clamp",
                                     "relu",         "tanh",
                                     "sigmoid",      "elu",
                                     "leaky_relu",   "silu",
                                     "gelu",         "gelu_tanh",
                                     "squared_relu", "softplus",
                                     "dropout",      "reshape",
                                     "transpose",    "permute",
                                     "slice",        "concat",
                                     "stack",        "split",
                                     "pad",          "expand",
                                     "gather_rows",  "gather",
                                     "greater",      "less",
                                     "equal",        "where",
                                     "argmax",       "accuracy",
                                     "pow_tensor",   "log1p",
                                     "expm1",        "erf",
                                     "sign",         "floor",
                                     "ceil",         "round",
                                     "trunc",        "greater_equal",
                                     "less_equal",   "not_equal",
                                     "logical_and",  "logical_or",
                                     "logical_xor",  "logical_not",
                                     "argmin",       "slice_with_step",
                                     "flip",         "roll"};
enum { NATIVE = sizeof native / sizeof *native };

static bool is_native(const op_entry *op) {
    if (op->flags & COMPOSED && strcmp(op->function, "dropout") != 0)
        return false; /* intermediate results are rounded */
    for (int i = 0; i < NATIVE; i++)
        if (strcmp(op->function, native[i]) == 0)
            return true;
    return false;
}

/* ---- Every case of the table ---- */

static void test_bits_are_those_of_f32_rounded_once(void **state) {
    (void)state;
    bool seen[NATIVE] = {false};
    sw_tape *tape = sw_tape_new(), *tape_f32 = sw_tape_new();
    for (int o = 0; op_at(o); o++) {
        if (!is_native(op_at(o)))
            continue;
        for (int i = 0; i < NATIVE; i++)
            seen[i] |= strcmp(native[i], op_at(o)->function) == 0;
        for (int k = 0; k < 2; k++) {
            op_case c = {.op = op_at(o)};
            const char *at = c.op->shapes;
            while (op_next(&at, half_types[k], &c)) {
                half_check(&c, half_types[k], tape, tape_f32);
                op_free(&c);
            }
            at = c.op->big;
            if (at && op_next(&at, half_types[k], &c)) {
                half_check(&c, half_types[k], tape, tape_f32);
                op_free(&c);
            }
        }
    }
    for (int i = 0; i < NATIVE; i++)
        if (!seen[i])
            fail_msg("%s is not in the table of operations", native[i]);
    sw_tape_free(tape);
    sw_tape_free(tape_f32);
}

static bool is_in(const op_entry *op, const op_entry *list, size_t bytes) {
    return op >= list && op < list + bytes / sizeof *list;
}

/* Every number of the type, among them ±0, subnormal numbers, ±∞ and NaN; the second operand is a permutation. */
static void test_every_number_of_the_type(void **state) {
    (void)state;
    enum { ALL = 1 << 16 };
    int tested = 0;
    sw_tape *tape = sw_tape_new(), *tape_f32 = sw_tape_new();
    for (int o = 0; op_at(o); o++) {
        const op_entry *op = op_at(o);
        const bool compares = op->flags & NO_GRADIENT && op->inputs == 2 && strcmp(op->function, "accuracy") != 0;
        if (!is_native(op) ||
            !(compares || is_in(op, ops_elementwise, sizeof ops_elementwise) || is_in(op, ops_logic, sizeof ops_logic)))
            continue;
        tested++;
        for (int k = 0; k < 2; k++) {
            op_case c = {.op = op};
            for (int i = 0; i < op->inputs; i++) {
                c.in[i] = test_array(half_types[k], SW_SHAPE(ALL));
                for (int j = 0; j < ALL; j++)
                    ((uint16_t *)c.in[i].data)[j] = (uint16_t)(i ? (uint32_t)j * 40503u + 7 : (uint32_t)j);
            }
            half_check(&c, half_types[k], tape, tape_f32);
            op_free(&c);
        }
    }
    assert_true(tested > 50);
    sw_tape_free(tape);
    sw_tape_free(tape_f32);
}

/* ---- Lengths around the blocks and tiles, and memory that is aligned to 2 bytes only ---- */

static const op_entry *entry(const char *label) {
    for (int o = 0; op_at(o); o++)
        if (strcmp(op_at(o)->label, label) == 0)
            return op_at(o);
    fail_msg("no entry %s", label);
    return NULL;
}

static sw_array unaligned(sw_dtype type, int rank, const int64_t *shape, uint64_t seed) {
    int64_t count = 0;
    assert_ok(sw_shape_count(rank, shape, &count));
    const sw_array all = test_filled(type, SW_SHAPE(count + 1), -2, 2, seed);
    return sw_array_view((uint16_t *)all.data + 1, type, rank, shape);
}

static void check_unaligned(const char *label, sw_dtype type, sw_array a, sw_array b, sw_tape *tape, sw_tape *f32) {
    op_case c = {.op = entry(label), .in = {a, b}};
    half_check(&c, type, tape, f32);
    free((uint16_t *)a.data - 1);
    if (b.data)
        free((uint16_t *)b.data - 1);
}

static void test_lengths_around_blocks(void **state) {
    (void)state;
    static const int64_t lengths[] = {1,   2,   7,   15,   16,   17,   31,   32,   33,   63,    65,    255,  257,
                                      511, 512, 513, 1023, 1024, 1025, 4095, 4096, 4097, 16383, 16384, 16385};
    sw_tape *tape = sw_tape_new(), *f32 = sw_tape_new();
    const sw_array none = {0};
    for (int k = 0; k < 2; k++)
        for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
            const sw_dtype type = half_types[k];
            const int64_t n = lengths[i];
            check_unaligned("gelu", type, unaligned(type, SW_SHAPE(n), 1), none, tape, f32);
            check_unaligned("sin", type, unaligned(type, SW_SHAPE(n), 2), none, tape, f32);
            check_unaligned("dropout", type, unaligned(type, SW_SHAPE(3, n), 2), none, tape, f32);
            check_unaligned("mul", type, unaligned(type, SW_SHAPE(n), 3), unaligned(type, SW_SHAPE(n), 4), tape, f32);
            check_unaligned("div", type, unaligned(type, SW_SHAPE(5, n), 5), unaligned(type, SW_SHAPE(n), 6), tape,
                            f32);
            check_unaligned("sub", type, unaligned(type, SW_SHAPE(n, 1), 7), unaligned(type, SW_SHAPE(3, 1, 5), 8),
                            tape, f32);
            check_unaligned("maximum", type, unaligned(type, SW_SHAPE(1), 9), unaligned(type, SW_SHAPE(n), 10), tape,
                            f32);
            check_unaligned("mul", type, unaligned(type, SW_SHAPE(2, 1, n), 11), unaligned(type, SW_SHAPE(3, 1), 12),
                            tape, f32);
            check_unaligned("greater", type, unaligned(type, SW_SHAPE(3, n), 13), unaligned(type, SW_SHAPE(n), 14),
                            tape, f32);
            check_unaligned("transpose", type, unaligned(type, SW_SHAPE(n, 19), 15), none, tape, f32);
        }
    sw_tape_free(tape);
    sw_tape_free(f32);
}

/* A row that is longer than a block, or a column that is longer than a strip: the first of equal elements, and NaN. */
static void test_argmax_of_long_rows(void **state) {
    (void)state;
    sw_tape *tape = sw_tape_new();
    for (int k = 0; k < 2; k++)
        for (int axis = 0; axis < 2; axis++)
            for (int64_t n = 400; n < 1400; n += 111) {
                const int64_t outer = axis ? 3 : n, inner = axis ? n : 3;
                sw_array x = test_array(half_types[k], SW_SHAPE(outer, inner));
                const int64_t step = axis ? 1 : 3, row = axis ? n : 1, place[3] = {n - 2, n / 2, 399};
                test_fill(&x, -1, 1, (uint64_t)n);
                for (int r = 0; r < 3; r++)
                    for (int64_t j = place[r]; j < n; j++) /* equal elements from this place on */
                        test_set(&x, r * row + j * step, r == 1 ? (double)NAN : 1.5);
                test_set(&x, 1 * row + (n - 1) * step, (double)INFINITY); /* after the NaN */
                const sw_array at = sw_value(sw_argmax(sw_input(tape, x), axis, false));
                for (int r = 0; r < 3; r++)
                    assert_int_equal(((const int32_t *)at.data)[r], place[r]);
                test_array_free(&x);
                sw_tape_reset(tape);
            }
    expect_no_error();
    sw_tape_free(tape);
}

/* A row of a table that occurs often is summed in f64, other rows in f32, as in a table of f32. */
static void test_gradients_of_gathered_rows(void **state) {
    (void)state;
    enum { N = 40, M = 3000 };
    sw_tape *tape = sw_tape_new(), *f32 = sw_tape_new();
    for (int k = 0; k < 2; k++)
        for (int64_t inner = 1; inner < 200; inner += 66) {
            op_case c = {.op = entry("gather_rows")};
            c.in[0] = test_filled(half_types[k], SW_SHAPE(N, inner), -2, 2, 5);
            c.in[1] = test_array(SW_I32, SW_SHAPE(M));
            for (int j = 0; j < M; j++) /* row 3 is in half of the ids, row 39 in none */
                test_set(&c.in[1], j, j % 2 ? 3 : j / 2 % (N - 1));
            half_check(&c, half_types[k], tape, f32);
            op_free(&c);
            c.op = entry("gather first"); /* more ids along the axis than are summed in f32 */
            c.in[0] = test_filled(half_types[k], SW_SHAPE(N, inner), -2, 2, 6);
            c.in[1] = test_array(SW_I32, SW_SHAPE(600, inner));
            for (int64_t j = 0; j < 600 * inner; j++)
                test_set(&c.in[1], j, (double)(j * j % 7));
            half_check(&c, half_types[k], tape, f32);
            op_free(&c);
        }
    sw_tape_free(tape);
    sw_tape_free(f32);
}

/* ---- Levels, threads, memory ---- */

static uint64_t hash_of(const op_case *c, sw_tape *tape) {
    sw_tensor leaf[OP_INPUTS];
    sw_array out = sw_value(half_run(c, tape, c->in, leaf, NULL, NULL));
    uint64_t hash = test_hash(TEST_HASH, out.data, test_bytes(&out));
    if (c->op->flags & NO_GRADIENT)
        return hash;
    sw_array d = half_cotangent(out.type, &out);
    half_run(c, tape, c->in, leaf, &d, NULL);
    for (int i = 0; i < c->op->inputs; i++)
        if (op_has_gradient(c->op->kinds[i])) {
            const sw_array g = sw_grad(leaf[i]);
            hash = test_hash(hash, g.data, test_bytes(&g));
        }
    test_array_free(&d);
    return hash;
}

static void expect_hash(const op_case *c, sw_tape *tape, uint64_t expected, const char *where, int number) {
    if (hash_of(c, tape) != expected)
        fail_msg("%s in %s: other bits with %s %d", c->op->label, sw_dtype_name(c->in[0].type), where, number);
}

static void test_levels_and_threads_give_the_same_bits(void **state) {
    (void)state;
    sw_tape *tape = sw_tape_new();
    const int best = sw_cpu_level(), instructions = atomic_load(&swi_instructions), threads = sw_threads();
    for (int o = 0; op_at(o); o++)
        for (int k = 0; k < 2 && is_native(op_at(o)); k++) {
            op_case c = {.op = op_at(o)};
            const char *at = c.op->big ? c.op->big : c.op->shapes;
            assert_true(op_next(&at, half_types[k], &c));
            const uint64_t expected = hash_of(&c, tape);
            for (int level = 0; level <= best; level++) {
                atomic_store(&swi_level, level);
                atomic_store(&swi_instructions, instructions);
                expect_hash(&c, tape, expected, "level", level);
                atomic_store(&swi_instructions, 0); /* without F16C */
                expect_hash(&c, tape, expected, "no instructions beyond level", level);
            }
            atomic_store(&swi_instructions, instructions);
            for (int n = 1; n <= 8; n *= 2) {
                sw_set_threads(n);
                expect_hash(&c, tape, expected, "threads", n);
            }
            sw_set_threads(threads);
            op_free(&c);
        }
    sw_tape_free(tape);
}

/* A pass needs the memory of its result and nothing else, and no allocation after the first pass. */
static void test_nothing_is_widened_as_a_whole(void **state) {
    (void)state;
    static test_allocator allocator;
    test_allocator_install(&allocator);
    sw_tape *tape = sw_tape_new();
    for (int o = 0; op_at(o); o++)
        for (int k = 0; k < 2 && is_native(op_at(o)) && op_at(o)->big; k++) {
            op_case c = {.op = op_at(o)};
            const char *at = c.op->big;
            sw_tensor leaf[OP_INPUTS];
            assert_true(op_next(&at, half_types[k], &c));
            sw_array out = sw_value(half_run(&c, tape, c.in, leaf, NULL, NULL));
            const size_t room = 4096; /* shapes, attributes, what dropout saves */
            const bool one = strcmp(c.op->function, "split") != 0 && strcmp(c.op->label, "equal to the larger") != 0;
            if (one && sw_tape_peak_bytes(tape) > test_bytes(&out) + room)
                fail_msg("%s needs %zu bytes for %zu", c.op->label, sw_tape_peak_bytes(tape), test_bytes(&out));
            hash_of(&c, tape);
            const long long calls = atomic_load(&allocator.calls);
            hash_of(&c, tape);
            if (atomic_load(&allocator.calls) != calls)
                fail_msg("%s allocates in its second pass", c.op->label);
            op_free(&c);
        }
    sw_tape_free(tape);
    assert_int_equal(atomic_load(&allocator.live), 0);
    sw_set_allocator(NULL);
}

/* ---- Allocations that fail: gradients of gathers have temporary memory ---- */

static void test_failed_allocations_are_errors(void **state) {
    (void)state;
    static const char *const labels[] = {"gather_rows", "gather_rows short", "gather first", "gather last", "mul"};
    static test_allocator allocator;
    test_allocator_install(&allocator);
    for (size_t o = 0; o < sizeof labels / sizeof *labels; o++) {
        op_case c = {.op = entry(labels[o])};
        const char *at = c.op->big;
        assert_true(op_next(&at, SW_BF16, &c));
        for (long long k = 1, failed = 1; failed; k++) {
            test_allocator_fail(&allocator, 0, false);
            sw_tape *tape = sw_tape_new();
            test_allocator_fail(&allocator, k, false);
            sw_tensor leaf[OP_INPUTS];
            for (int i = 0; i < c.op->inputs; i++)
                leaf[i] = op_has_gradient(c.op->kinds[i]) ? sw_variable(tape, c.in[i]) : sw_input(tape, c.in[i]);
            const sw_tensor y = c.op->build(NULL, tape, leaf);
            sw_array d = sw_value(y);
            d = d.data ? half_cotangent(SW_BF16, &d) : d;
            const sw_status status = d.data ? sw_backward_from(y, d) : SW_ERR_MEMORY;
            failed = atomic_load(&allocator.failed);
            assert_int_equal(status, failed ? SW_ERR_MEMORY : SW_OK);
            assert_int_equal(sw_error_status(), status);
            sw_clear_error();
            test_array_free(&d);
            sw_tape_free(tape);
            assert_true(k < 100);
        }
        assert_int_equal(atomic_load(&allocator.live), 0);
        op_free(&c);
    }
    sw_set_allocator(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bits_are_those_of_f32_rounded_once),
                                       cmocka_unit_test(test_every_number_of_the_type),
                                       cmocka_unit_test(test_lengths_around_blocks),
                                       cmocka_unit_test(test_argmax_of_long_rows),
                                       cmocka_unit_test(test_gradients_of_gathered_rows),
                                       cmocka_unit_test(test_levels_and_threads_give_the_same_bits),
                                       cmocka_unit_test(test_nothing_is_widened_as_a_whole),
                                       cmocka_unit_test(test_failed_allocations_are_errors)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
