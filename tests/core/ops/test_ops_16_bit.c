/* Every operation of the table in op_table.h in f16 and bf16: values and gradients against the same operation in f64,
 * on the same 16-bit numbers, and against f32, bit for bit; the types of the results; equal bits for every number of
 * threads; failing allocations. */
#include "support.h"

#include "op_table.h"

static const sw_dtype halves[2] = {SW_F16, SW_BF16};

/* Half of the distance of two neighbors, relative to a number (2^-11, 2^-8), and the same for subnormal numbers. */
static double unit_of(sw_dtype type) {
    return type == SW_F16 ? 0x1p-11 : 0x1p-8;
}
static double least_of(sw_dtype type) {
    return type == SW_F16 ? 0x1p-25 : 0x1p-134;
}

static double rounded(sw_dtype type, double value) {
    double element = 0;
    sw_number_to_float(type, &element, 0, value);
    return sw_element_to_number(type, &element, 0);
}

/* ---- What is expected of an entry ---- */

static bool is_one_of(const char *name, const char *const *list) {
    for (; *list; list++)
        if (strcmp(name, *list) == 0)
            return true;
    return false;
}

/* The functions whose result is f32: the list in ops.h. */
static bool has_f32_result(const op_entry *op) {
    static const char *const list[] = {"sum",
                                       "mean",
                                       "sum_over",
                                       "mean_over",
                                       "var_over",
                                       "std_over",
                                       "prod",
                                       "prod_over",
                                       "norm_over",
                                       "logsumexp_over",
                                       "accuracy",
                                       "log_softmax",
                                       "cross_entropy",
                                       "cross_entropy_with_options",
                                       "mse",
                                       "mse_with_options",
                                       "l1",
                                       "l1_with_options",
                                       "huber",
                                       "huber_with_options",
                                       "hinge",
                                       "hinge_with_options",
                                       "bce_with_logits",
                                       "bce_with_logits_with_options",
                                       "kl_div",
                                       "kl_div_with_options",
                                       NULL};
    return is_one_of(op->function, list) || strcmp(op->label, "shared") == 0; /* in which a loss is added */
}

/* Products, which are computed in another order than in f32 (gemm.h). */
static bool is_product(const op_entry *op) {
    static const char *const list[] = {"matmul", "matmul_transposed", "linear", NULL};
    return is_one_of(op->function, list) || strcmp(op->label, "shared") == 0;
}

/* Entries of several operations with more than one rounding. `most`: a bound of the error in units of the type, to
 * first order: the number of roundings times the largest number that is rounded, times the factors by which it is
 * multiplied afterwards and the number of elements over which it is summed. Inputs are below 2.1, cotangents below
 * 1. */
static double bound_of_composition(const op_entry *op) {
    static const struct {
        const char *label;
        double most;
    } list[] = {
        {"detach", 2 * 2.1},        /* a·tanh b: two roundings of numbers below 2.1 */
        {"split", 2 * 2.1 * 2.1},   /* one product and the sum of two gradients */
        {"bce shared", 4 * 2},      /* each of the two gradients is below 2 */
        {"row and whole", 12 * 20}, /* ab + (b - ba): four roundings below 9, gradients over at most 12 rows */
        {"passes", 6 * 80},         /* h²-terms up to 4·4.2²; 8 contributions below 17 over 2 rows, twice rounded */
        {"shared",
         8 * 13 * 2.1 * 3}, /* x·x [3,3] below 13.3: 8 contributions, each through one more product of 3 terms */
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        if (strcmp(op->label, list[i].label) == 0)
            return list[i].most;
    return 0;
}

/* Operations whose vjp reads the result, which was rounded: the gradient contains this error too. Its factors, to first
 * order and for cotangents g below 1: tanh, g(1 - y²): 2y²; sigmoid, gy(1 - y): y|1 - 2y|; elu, g(y + 1.3) for y < 0:
 * |y|; softmax, y(g - Σgy): 3y. exp, sqrt and div have the relative error of y, `relative`.
 *
 * Over axes in which an input of `count` elements repeats, terms are summed that may each have been rounded: those of
 * div are below 2.1/0.1², of pow_tensor below 2/0.1³, of mul below 2.1, of maximum and minimum below 1. */
static double bound_of_rounded_terms(const op_entry *op, int64_t outputs, int64_t count, double *relative) {
    static const char *const reading[] = {"tanh", "sigmoid", "elu", "softmax", NULL},
                             *const factors[] = {"exp", "sqrt", "div", NULL},
                             *const products[] = {"mul", "maximum", "minimum", NULL};
    const double terms = count < outputs ? (double)outputs / (double)count : 0;
    *relative = is_one_of(op->function, factors) ? 1 : 0;
    if (strcmp(op->function, "div") == 0)
        return terms * 2.1 / 0.01 * 2; /* both y and the term are rounded */
    if (strcmp(op->function, "pow_tensor") == 0)
        return terms * 2 / 0.001;
    if (is_one_of(op->function, products))
        return terms * 2.1;
    return is_one_of(op->function, reading) ? 3 : 0;
}

/* ---- Running a case in a type ---- */

typedef struct outcome {
    sw_tape *tape;
    sw_tensor in[OP_INPUTS];
    sw_array out, gradient[OP_INPUTS];
} outcome;

/* The case in `type`, with the numbers of `half`, a case in f16 or bf16. Bit i of `kept`: input i keeps its type. */
static op_case case_of(const op_case *half, sw_dtype type, unsigned kept) {
    op_case c = *half;
    for (int i = 0; i < c.op->inputs; i++) {
        const sw_array *from = &half->in[i];
        const bool keep = !sw_dtype_is_float(from->type) || (kept >> i & 1) != 0;
        c.in[i] = test_array(keep ? from->type : type, from->rank, from->shape);
        for (int64_t j = 0; j < sw_array_count(from); j++)
            test_set(&c.in[i], j, test_get(from, j));
    }
    return c;
}

/* Runs the case and its gradients. The cotangents are numbers of `half`, which all types contain. */
static void run(const op_case *c, sw_dtype half, outcome *r) {
    const op_entry *op = c->op;
    bool any = false;
    sw_tape_reset(r->tape);
    sw_tape_set_draw(r->tape, 3);
    for (int i = 0; i < op->inputs; i++) {
        const bool wants = op_has_gradient(op->kinds[i]);
        any |= wants;
        r->in[i] = wants ? sw_variable(r->tape, c->in[i]) : sw_input(r->tape, c->in[i]);
        r->gradient[i] = (sw_array){0};
    }
    sw_tensor y = op->build(NULL, r->tape, r->in);
    r->out = sw_value(y);
    if (sw_error())
        fail_msg("%s, case %d in %s: %s", op->label, c->number, sw_dtype_name(half), sw_error());
    if (!any || op->flags & NO_GRADIENT)
        return;
    sw_array dy = test_array(r->out.type, r->out.rank, r->out.shape);
    uint64_t seed = 5;
    for (int64_t i = 0; i < sw_array_count(&dy); i++)
        test_set(&dy, i, rounded(half, test_uniform(&seed, -1, 1)));
    assert_ok(sw_backward_from(y, dy));
    for (int i = 0; i < op->inputs; i++)
        r->gradient[i] = op_has_gradient(op->kinds[i]) ? sw_grad(r->in[i]) : (sw_array){0};
    test_array_free(&dy);
}

/* ---- Comparisons ---- */

/* `exact` is the number in f64, `single` that in f32, which also has the rounding errors of f32. `narrow` is that of
 * `type`; a number of this type was rounded once more. `most`: the bound of other errors in units of 2^-11 or 2^-8. */
static void expect_near(const op_case *c, const char *what, const sw_array *narrow, const sw_array *single,
                        const sw_array *exact, sw_dtype half, double relative, double most, double sums) {
    const double unit = unit_of(half);
    assert_true(sw_shape_equal(narrow->rank, narrow->shape, exact->rank, exact->shape));
    for (int64_t i = 0; i < sw_array_count(exact); i++) {
        const double y = test_get(narrow, i), y32 = test_get(single, i), y64 = test_get(exact, i);
        const double own = narrow->type == half ? unit * fabs(y64) + least_of(half) : 0;
        const double tolerance = 1.01 * (own + unit * (relative * fabs(y64) + most) + fabs(y32 - y64) + sums);
        if (!(fabs(y - y64) <= tolerance || (isnan(y) && isnan(y64)) || y == y64))
            fail_msg("%s, case %d, %s of %s, element %lld: %.9g, in f32 %.9g, in f64 %.9g (tolerance %.3g)",
                     c->op->label, c->number, what, sw_dtype_name(half), (long long)i, y, y32, y64, tolerance);
    }
}

static void expect_rounded(const op_case *c, const char *what, const sw_array *narrow, const sw_array *single) {
    for (int64_t i = 0; i < sw_array_count(single); i++) {
        const double y = test_get(narrow, i), y32 = test_get(single, i);
        const double expected = sw_dtype_is_float(narrow->type) ? rounded(narrow->type, y32) : y32;
        if (!(y == expected || (isnan(y) && isnan(expected))))
            fail_msg("%s, case %d, %s in %s, element %lld: %.9g, the rounded result in f32 is %.9g", c->op->label,
                     c->number, what, sw_dtype_name(narrow->type), (long long)i, y, expected);
    }
}

/* Products of K terms below 5, added in another order than in f32: each addition has a relative error of 2^-24. */
static double bound_of_sums(const op_case *c) {
    int64_t longest = 1;
    for (int i = 0; i < c->op->inputs; i++)
        for (int axis = 0; axis < c->in[i].rank; axis++)
            longest = c->in[i].shape[axis] > longest ? c->in[i].shape[axis] : longest;
    const double terms = (double)longest * (double)longest; /* batch axes that are summed, and the axis of length K */
    return is_product(c->op) ? 0x1p-24 * terms * 5 * (double)longest : 0;
}

static void compare(const op_case *c, sw_dtype half, const outcome *narrow, const outcome *single,
                    const outcome *exact) {
    const op_entry *op = c->op;
    const double composed = bound_of_composition(op), sums = bound_of_sums(c);
    const sw_dtype type = exact->out.type != SW_F64 ? exact->out.type : has_f32_result(op) ? SW_F32 : half;
    if (narrow->out.type != type)
        fail_msg("%s: the result is %s, not %s", op->label, sw_dtype_name(narrow->out.type), sw_dtype_name(type));
    expect_near(c, "the value", &narrow->out, &single->out, &exact->out, half, 0, composed, sums);
    if (!is_product(op) && composed == 0)
        expect_rounded(c, "the value", &narrow->out, &single->out);
    for (int i = 0; i < op->inputs; i++) {
        static const char *const what[OP_INPUTS] = {"gradient 0", "gradient 1", "gradient 2"};
        const sw_array *g = &narrow->gradient[i], *g32 = &single->gradient[i], *g64 = &exact->gradient[i];
        assert_int_equal(g->data != NULL, g64->data != NULL);
        if (!g->data)
            continue;
        assert_int_equal(g->type, half);
        double relative;
        const double terms = bound_of_rounded_terms(op, sw_array_count(&exact->out), sw_array_count(g64), &relative);
        expect_near(c, what[i], g, g32, g64, half, relative, composed + terms, sums);
        if (!is_product(op) && composed == 0 && terms == 0 && relative == 0)
            expect_rounded(c, what[i], g, g32);
    }
}

static void test_values_and_gradients_agree_with_f64(void **state) {
    (void)state;
    outcome narrow = {.tape = sw_tape_new()}, single = {.tape = sw_tape_new()}, exact = {.tape = sw_tape_new()};
    int cases = 0, gradients = 0;
    for (int o = 0; op_at(o); o++)
        for (int h = 0; h < 2; h++) {
            op_case c = {.op = op_at(o)};
            const char *at = c.op->shapes;
            while (op_next(&at, halves[h], &c)) {
                op_case c32 = case_of(&c, SW_F32, 0), c64 = case_of(&c, SW_F64, 0);
                run(&c, halves[h], &narrow);
                run(&c32, halves[h], &single);
                run(&c64, halves[h], &exact);
                compare(&c, halves[h], &narrow, &single, &exact);
                cases++;
                for (int i = 0; i < c.op->inputs; i++)
                    gradients += narrow.gradient[i].data != NULL;
                op_free(&c);
                op_free(&c32);
                op_free(&c64);
            }
        }
    assert_true(cases > 1500 && gradients > 1800); /* the table was read to its end */
    expect_no_error();
    sw_tape_free(narrow.tape);
    sw_tape_free(single.tape);
    sw_tape_free(exact.tape);
}

/* ---- Inputs of different types ---- */

static unsigned float_inputs(const op_case *c) {
    unsigned mask = 0;
    for (int i = 0; i < c->op->inputs; i++)
        mask |= sw_dtype_is_float(c->in[i].type) ? 1u << i : 0;
    return mask;
}

/* The result has the bits of f32, and so have the gradients, which are rounded for inputs in 16 bits. A vjp finds no
 * memory where it must not read: the engine converts what is in vjp_reads only. */
static void compare_mixed(const op_case *c, unsigned kept, sw_dtype half, outcome *mixed, const outcome *single) {
    op_case some = case_of(c, SW_F32, kept);
    run(&some, half, mixed);
    assert_int_equal(mixed->out.type, single->out.type);
    expect_rounded(c, "the value", &mixed->out, &single->out);
    for (int i = 0; i < c->op->inputs; i++) {
        assert_int_equal(mixed->gradient[i].data != NULL, single->gradient[i].data != NULL);
        if (!mixed->gradient[i].data)
            continue;
        assert_int_equal(mixed->gradient[i].type, (kept >> i & 1) != 0 ? half : SW_F32);
        expect_rounded(c, "a gradient", &mixed->gradient[i], &single->gradient[i]);
    }
    op_free(&some);
}

static void test_inputs_of_different_types_are_computed_in_f32(void **state) {
    (void)state;
    outcome mixed = {.tape = sw_tape_new()}, single = {.tape = sw_tape_new()};
    int calls = 0;
    for (int o = 0; op_at(o); o++)
        for (int h = 0; h < 2; h++) {
            op_case c = {.op = op_at(o)};
            const char *at = c.op->shapes;
            while (bound_of_composition(c.op) == 0 && op_next(&at, halves[h], &c)) {
                op_case c32 = case_of(&c, SW_F32, 0);
                const unsigned all = float_inputs(&c);
                run(&c32, halves[h], &single);
                for (unsigned kept = 1; kept < all; kept++)
                    if ((kept & all) == kept) {
                        compare_mixed(&c, kept, halves[h], &mixed, &single);
                        calls++;
                    }
                op_free(&c);
                op_free(&c32);
            }
        }
    assert_true(calls > 1500);
    expect_no_error();
    sw_tape_free(mixed.tape);
    sw_tape_free(single.tape);
}

/* ---- Threads and memory ---- */

static uint64_t hash_of(const op_case *c, sw_dtype half, outcome *r) {
    run(c, half, r);
    uint64_t hash = test_hash(TEST_HASH, r->out.data, test_bytes(&r->out));
    for (int i = 0; i < c->op->inputs; i++)
        if (r->gradient[i].data)
            hash = test_hash(hash, r->gradient[i].data, test_bytes(&r->gradient[i]));
    return hash;
}

static void test_bits_do_not_depend_on_threads(void **state) {
    (void)state;
    outcome r = {.tape = sw_tape_new()};
    for (int o = 0; op_at(o); o++)
        for (int h = 0; h < 2; h++) {
            op_case c = {.op = op_at(o)};
            const char *at = c.op->big;
            if (!at)
                continue;
            assert_true(op_next(&at, halves[h], &c));
            sw_set_threads(1);
            const uint64_t one = hash_of(&c, halves[h], &r);
            for (int threads = 2; threads <= 8; threads *= 2) {
                sw_set_threads(threads);
                if (hash_of(&c, halves[h], &r) != one)
                    fail_msg("%s in %s: %d threads give other bits", c.op->label, sw_dtype_name(halves[h]), threads);
            }
            op_free(&c);
        }
    sw_set_threads(1);
    sw_tape_free(r.tape);
}

static void test_operation_survives_every_failed_allocation(void **state) {
    (void)state;
    static test_allocator allocator;
    test_allocator_install(&allocator);
    for (int o = 0; op_at(o); o++) {
        op_case c = {.op = op_at(o)};
        const char *at = c.op->big ? c.op->big : c.op->shapes;
        assert_true(op_next(&at, SW_BF16, &c));
        bool failed = true;
        for (long long k = 1; failed; k++) {
            assert_true(k < 100);
            test_allocator_fail(&allocator, 0, false);
            sw_tape *tape = sw_tape_new();
            assert_non_null(tape);
            test_allocator_fail(&allocator, k, false);
            sw_tensor in[OP_INPUTS];
            const sw_tensor y = op_run(&c, tape, in, true);
            failed = atomic_load(&allocator.failed) > 0;
            if (sw_is_null(y) != failed || failed != (sw_error_status() == SW_ERR_MEMORY))
                fail_msg("%s: allocation %lld failed: %s", c.op->label, k, sw_error());
            sw_clear_error();
            sw_tape_free(tape);
        }
        assert_int_equal(atomic_load(&allocator.live), 0);
        op_free(&c);
    }
    sw_set_allocator(NULL);
}

/* The second step allocates nothing: the arena has grown to what a step needs. */
static void test_second_run_allocates_nothing(void **state) {
    (void)state;
    static test_allocator allocator;
    test_allocator_install(&allocator);
    sw_set_threads(1);
    for (int o = 0; op_at(o); o++)
        for (int h = 0; h < 2; h++) {
            op_case c = {.op = op_at(o)};
            const char *at = c.op->big ? c.op->big : c.op->shapes;
            assert_true(op_next(&at, halves[h], &c));
            outcome r = {.tape = sw_tape_new()};
            run(&c, halves[h], &r);
            test_allocator_fail(&allocator, 0, false);
            run(&c, halves[h], &r);
            if (atomic_load(&allocator.calls) != 0)
                fail_msg("%s in %s: %lld allocations in the second run", c.op->label, sw_dtype_name(halves[h]),
                         (long long)atomic_load(&allocator.calls));
            sw_tape_free(r.tape);
            op_free(&c);
        }
    sw_set_allocator(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_values_and_gradients_agree_with_f64, test_no_error_left),
        cmocka_unit_test_teardown(test_inputs_of_different_types_are_computed_in_f32, test_no_error_left),
        cmocka_unit_test_teardown(test_bits_do_not_depend_on_threads, test_no_error_left),
        cmocka_unit_test_teardown(test_operation_survives_every_failed_allocation, test_no_error_left),
        cmocka_unit_test_teardown(test_second_run_allocates_nothing, test_no_error_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
