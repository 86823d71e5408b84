/* LSTM and GRU: what the table of operations (ops_recurrent.h) does not contain. Wrong options, padding, windows of a
 * long sequence, cells in place of sequences, many hidden units, released tensors, dry runs. */
#include "support.h"

#include <swale/extend.h>

#include <math.h>

#include "levels.h"

typedef sw_tensor recurrent_function(sw_tensor, sw_tensor, sw_tensor, const sw_recurrent_options *);
static recurrent_function *const sequences[] = {sw_lstm, sw_gru}, *const cells[] = {sw_lstm_cell, sw_gru_cell};
static const int gates[] = {4, 3};

/* Tensors of a case with one seed. */
typedef struct recurrent_case {
    int kind;
    sw_dtype type;
    int64_t batch, time, inputs, hidden, state;
    sw_array x, w_ih, w_hh, b_ih, b_hh, first;
} recurrent_case;

static recurrent_case case_new(int kind, sw_dtype type, int64_t batch, int64_t time, int64_t inputs, int64_t hidden) {
    recurrent_case c = {kind, type, batch, time, inputs, hidden, .state = kind == 0 ? 2 * hidden : hidden};
    const int64_t rows = gates[kind] * hidden;
    const double scale = 1 / sqrt((double)hidden);
    c.x = test_filled(type, SW_SHAPE(batch, time, inputs), -1, 1, 1);
    c.w_ih = test_filled(type, SW_SHAPE(rows, inputs), -scale, scale, 2);
    c.w_hh = test_filled(type, SW_SHAPE(rows, hidden), -scale, scale, 3);
    c.b_ih = test_filled(type, SW_SHAPE(rows), -scale, scale, 4);
    c.b_hh = test_filled(type, SW_SHAPE(rows), -scale, scale, 5);
    c.first = test_filled(type, SW_SHAPE(batch, c.state), -1, 1, 6);
    return c;
}

static void case_free(recurrent_case *c) {
    sw_array *const all[] = {&c->x, &c->w_ih, &c->w_hh, &c->b_ih, &c->b_hh, &c->first};
    for (int i = 0; i < 6; i++)
        test_array_free(all[i]);
}

static sw_tensor case_apply(const recurrent_case *c, recurrent_function *f, sw_tensor x, sw_tensor state,
                            sw_recurrent_result result) {
    return f(x, sw_input(x.tape, c->w_ih), sw_input(x.tape, c->w_hh),
             &SW_OPTIONS(sw_recurrent_options, .bias_ih = sw_input(x.tape, c->b_ih),
                         .bias_hh = sw_input(x.tape, c->b_hh), .state = state, .result = result));
}

/* ---- Mistakes ---- */

static void test_wrong_options_are_refused(void **state) {
    (void)state;
    sw_tape *tape = sw_tape_new();
    recurrent_case c = case_new(0, SW_F64, 2, 3, 4, 5);
    const int32_t lengths[2] = {1, -1};
    const uint8_t bytes[2] = {1, 1};
    const sw_tensor x = sw_input(tape, c.x), w = sw_input(tape, c.w_ih), u = sw_input(tape, c.w_hh),
                    row = sw_slice(sw_input(tape, c.w_hh), 0, 0, 2),
                    length = sw_input(tape, sw_array_view(lengths, SW_I32, SW_SHAPE(2))),
                    byte = sw_input(tape, sw_array_view(bytes, SW_U8, SW_SHAPE(2))),
                    bias = sw_input(tape, sw_array_view(c.b_ih.data, SW_F64, SW_SHAPE(3)));
    sw_lstm(x, w, u, &(sw_recurrent_options){.size = 8});
    char text[200];
    snprintf(text, sizeof text, "lstm: options.size is 8; sizeof(sw_recurrent_options) is %zu",
             sizeof(sw_recurrent_options));
    expect_error(SW_ERR_ARGUMENT, text);
    sw_gru(x, w, u, &SW_OPTIONS(sw_recurrent_options, .result = (sw_recurrent_result)3));
    expect_error(SW_ERR_ARGUMENT, "gru: result 3; SW_RECURRENT_OUTPUTS, _STATES or _LAST is needed");
    sw_lstm_cell(row, w, u, &SW_OPTIONS(sw_recurrent_options, .reverse = true));
    expect_error(SW_ERR_ARGUMENT, "lstm_cell: lengths, reverse or result; only sequences have these options");
    sw_gru_cell(row, w, u, &SW_OPTIONS(sw_recurrent_options, .lengths = length));
    expect_error(SW_ERR_ARGUMENT, "gru_cell: lengths, reverse or result; only sequences have these options");
    sw_lstm(x, w, u, &SW_OPTIONS(sw_recurrent_options, .lengths = length));
    expect_error(SW_ERR_ARGUMENT, "lstm: length -1 of sample 1; 0 to 3 are possible");
    sw_lstm(x, w, u, &SW_OPTIONS(sw_recurrent_options, .lengths = byte));
    expect_error(SW_ERR_TYPE, "lstm: the lengths are u8; i32 is needed");
    sw_lstm(x, w, u, &SW_OPTIONS(sw_recurrent_options, .bias_hh = bias));
    expect_error(SW_ERR_SHAPE, "lstm: bias_hh [3]; [20] is needed, for input [2,3,4] and weight_hh [20,5]");
    sw_lstm(byte, w, u, NULL);
    expect_error(SW_ERR_TYPE, "lstm: input 0 is u8; f32, f64, f16 or bf16 is needed");
    /* A null tensor among the options, which may have failed */
    sw_fail(SW_ERR_USER, "earlier");
    assert_true(sw_is_null(sw_lstm(x, w, u, &SW_OPTIONS(sw_recurrent_options, .bias_hh = bias))));
    expect_error(SW_ERR_USER, "earlier");
    case_free(&c);
    sw_tape_free(tape);
}

/* ---- Sequences ---- */

/* At most 40 steps, each with sums of at most 90 terms of order 1, contracted by the gates: fewer than 10^4
 * roundings. */
static const double tolerance[] = {[SW_F32] = 1e4 * 0x1p-24, [SW_F64] = 1e4 * 0x1p-53};

static void expect_near(const sw_array *a, int64_t at, const sw_array *b, int64_t at_b, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        assert_true(fabs(test_get(a, at + i) - test_get(b, at_b + i)) <= tolerance[a->type]);
}

/* The states of a sequence are those that its cell computes step by step, on every level. */
static void cells_give_the_states(void) {
    for (int kind = 0; kind < 2; kind++)
        for (int form = 0; form < 3; form++) {
            /* The last: weights of 1.6 MB, which are not joined. */
            const int type = form ? SW_F64 : SW_F32;
            recurrent_case c = case_new(kind, (sw_dtype)type, 11, form == 2 ? 4 : 40, 50, form == 2 ? 200 : 37);
            sw_tape *tape = sw_tape_new();
            const sw_tensor x = sw_input(tape, c.x);
            sw_tensor now = sw_input(tape, c.first);
            const sw_array all = sw_value(case_apply(&c, sequences[kind], x, now, SW_RECURRENT_STATES));
            for (int64_t t = 0; t < c.time; t++) {
                const sw_tensor step = sw_reshape(sw_slice(x, 1, t, t + 1), SW_SHAPE(c.batch, c.inputs));
                now = case_apply(&c, cells[kind], step, now, SW_RECURRENT_OUTPUTS);
                const sw_array y = sw_value(now);
                expect_no_error();
                for (int64_t n = 0; n < c.batch; n++)
                    expect_near(&all, (n * c.time + t) * c.state, &y, n * c.state, c.state);
            }
            const sw_array last =
                               sw_value(case_apply(&c, sequences[kind], x, sw_input(tape, c.first), SW_RECURRENT_LAST)),
                           y = sw_value(now);
            expect_near(&last, 0, &y, 0, c.batch * c.state);
            sw_tape_free(tape);
            case_free(&c);
        }
}

static void test_cells_give_the_states_of_a_sequence(void **state) {
    (void)state;
    each_level(cells_give_the_states);
}

/* Two windows of a sequence, the second of which begins with the last state of the first one, have its outputs; and if
 * the state is not detached, its gradients. */
static void test_windows_have_the_outputs_and_gradients_of_the_sequence(void **state) {
    (void)state;
    for (int form = 0; form < 4; form++) {
        const int kind = form % 2; /* then: weights of 1.9 MB, which are not joined */
        recurrent_case c = form < 2 ? case_new(kind, SW_F64, 5, 12, 6, 7) : case_new(kind, SW_F64, 3, 7, 100, 200);
        sw_tape *tape = sw_tape_new();
        sw_array gradient[2];
        for (int windows = 0; windows < 2; windows++) {
            const sw_tensor x = sw_variable(tape, c.x), first = sw_variable(tape, c.first);
            sw_tensor y;
            if (windows) {
                const sw_tensor a = sw_slice(x, 1, 0, 5), b = sw_slice(x, 1, 5, SW_END),
                                middle = case_apply(&c, sequences[kind], a, first, SW_RECURRENT_LAST),
                                before = case_apply(&c, sequences[kind], a, first, SW_RECURRENT_OUTPUTS),
                                after = case_apply(&c, sequences[kind], b, middle, SW_RECURRENT_OUTPUTS);
                y = sw_concat(SW_TENSORS(before, after), 1);
            } else {
                y = case_apply(&c, sequences[kind], x, first, SW_RECURRENT_OUTPUTS);
            }
            assert_ok(sw_backward(sw_sum(sw_mul(y, y))));
            const sw_array dx = sw_grad(x), ds = sw_grad(first);
            gradient[windows] = test_array(SW_F64, 1, (int64_t[]){sw_array_count(&dx) + sw_array_count(&ds)});
            memcpy(gradient[windows].data, dx.data, test_bytes(&dx));
            memcpy((char *)gradient[windows].data + test_bytes(&dx), ds.data, test_bytes(&ds));
            sw_tape_reset(tape);
        }
        expect_near(&gradient[0], 0, &gradient[1], 0, sw_array_count(&gradient[0]));
        test_array_free(&gradient[0]);
        test_array_free(&gradient[1]);
        sw_tape_free(tape);
        case_free(&c);
    }
}

/* Elements of x after the end of a sample have no effect and get the gradient 0. */
static void test_padding_has_no_effect(void **state) {
    (void)state;
    enum { BATCH = 9, TIME = 6, INPUTS = 3, HIDDEN = 4 };
    const int32_t length[BATCH] = {6, 2, 0, 5, 1, 3, 6, 4, 2};
    for (int kind = 0; kind < 2; kind++)
        for (int result = 0; result < 3; result++)
            for (int reverse = 0; reverse < 2; reverse++) {
                recurrent_case c = case_new(kind, SW_F64, BATCH, TIME, INPUTS, HIDDEN);
                uint64_t hash[2] = {TEST_HASH, TEST_HASH};
                sw_tape *tape = sw_tape_new();
                for (int round = 0; round < 2; round++) {
                    const sw_tensor x = sw_variable(tape, c.x), w = sw_variable(tape, c.w_ih),
                                    u = sw_variable(tape, c.w_hh);
                    const sw_tensor y = sequences[kind](
                        x, w, u,
                        &SW_OPTIONS(sw_recurrent_options, .result = (sw_recurrent_result)result,
                                    .reverse = reverse != 0,
                                    .lengths = sw_input(tape, sw_array_view(length, SW_I32, SW_SHAPE(BATCH)))));
                    assert_ok(sw_backward(sw_sum(sw_mul(y, y))));
                    const sw_array all[] = {sw_value(y), sw_grad(x), sw_grad(w), sw_grad(u)};
                    for (int i = 0; i < 4; i++)
                        hash[round] = test_hash(hash[round], all[i].data, test_bytes(&all[i]));
                    for (int64_t i = 0; i < BATCH * TIME * INPUTS; i++)
                        if (i / INPUTS % TIME >= length[i / INPUTS / TIME])
                            assert_true(test_get(&all[1], i) == 0);
                    for (int64_t i = 0; i < BATCH * TIME * INPUTS; i++)
                        if (i / INPUTS % TIME >= length[i / INPUTS / TIME])
                            test_set(&c.x, i, 1e6);
                    sw_tape_reset(tape);
                }
                assert_true(hash[0] == hash[1]);
                sw_tape_free(tape);
                case_free(&c);
            }
}

/* The result, x and the weights are released before the backward, and the gradients keep their bits. */
static void test_released_tensors_keep_what_backward_reads(void **state) {
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        recurrent_case c = case_new(kind, SW_F32, 9, 6, 5, 8);
        uint64_t hash[2];
        sw_tape *tape = sw_tape_new();
        for (int release = 0; release < 2; release++) {
            const sw_tensor leaf = sw_variable(tape, c.x), x = sw_scale(leaf, 2),
                            y = case_apply(&c, sequences[kind], x, sw_input(tape, c.first), SW_RECURRENT_OUTPUTS),
                            loss = sw_sum(sw_scale(y, 3));
            if (release) {
                sw_release(x);
                sw_release(y);
                for (int i = 0; i < 4; i++) /* takes the memory that is free */
                    sw_scale(sw_input(tape, c.x), 5);
            }
            assert_ok(sw_backward(loss));
            const sw_array g = sw_grad(leaf);
            hash[release] = test_hash(TEST_HASH, g.data, test_bytes(&g));
            sw_tape_reset(tape);
        }
        assert_true(hash[0] == hash[1]);
        sw_tape_free(tape);
        case_free(&c);
    }
}

/* Many samples, hidden units and threads: the bits are those of one thread. */
static void test_bits_do_not_depend_on_threads(void **state) {
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        recurrent_case c = case_new(kind, SW_F32, 37, 9, 70, 130);
        uint64_t one = 0;
        for (int threads = 1; threads <= 8; threads += threads < 4 ? 1 : 4) {
            sw_set_threads(threads);
            sw_tape *tape = sw_tape_new();
            const sw_tensor x = sw_variable(tape, c.x), w = sw_variable(tape, c.w_ih), u = sw_variable(tape, c.w_hh),
                            y = sequences[kind](x, w, u, NULL);
            assert_ok(sw_backward(sw_sum(sw_mul(y, y))));
            const sw_array all[] = {sw_value(y), sw_grad(x), sw_grad(w), sw_grad(u)};
            uint64_t hash = TEST_HASH;
            for (int i = 0; i < 4; i++)
                hash = test_hash(hash, all[i].data, test_bytes(&all[i]));
            assert_true(threads == 1 || hash == one);
            one = hash;
            sw_tape_free(tape);
        }
        case_free(&c);
    }
    sw_set_threads(1);
}

/* The gradient of x is written in place if there are no lengths and its rows are whole registers, and copied otherwise:
 * lengths of all steps give the same bits. */
static void test_lengths_of_all_steps_change_nothing(void **state) {
    (void)state;
    enum { MOST = 11, STEPS = 4 };
    int32_t lengths[MOST];
    for (int i = 0; i < MOST; i++)
        lengths[i] = STEPS;
    for (int run = 0; run < 8; run++) {
        const int kind = run & 1;
        const bool reverse = run & 4;
        recurrent_case c = case_new(kind, run & 2 ? SW_F64 : SW_F32, MOST, STEPS, 32, 5);
        uint64_t hash[2] = {TEST_HASH, TEST_HASH};
        for (int given = 0; given < 2; given++) {
            sw_tape *tape = sw_tape_new();
            const sw_tensor x = sw_variable(tape, c.x), w = sw_variable(tape, c.w_ih), u = sw_variable(tape, c.w_hh),
                            length = sw_input(tape, sw_array_view(lengths, SW_I32, SW_SHAPE(MOST))), none = {0},
                            y = sequences[kind](x, w, u,
                                                &SW_OPTIONS(sw_recurrent_options, .lengths = given ? length : none,
                                                            .reverse = reverse));
            assert_ok(sw_backward(sw_sum(sw_mul(y, y))));
            const sw_array all[] = {sw_value(y), sw_grad(x), sw_grad(w), sw_grad(u)};
            for (int i = 0; i < 4; i++)
                hash[given] = test_hash(hash[given], all[i].data, test_bytes(&all[i]));
            sw_tape_free(tape);
        }
        assert_true(hash[0] == hash[1]);
        case_free(&c);
    }
}

/* The products of a dry run: those of the inputs and of the steps, and twice as many in the backward. */
static void test_dry_run_counts_the_products(void **state) {
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        recurrent_case c = case_new(kind, SW_F32, 8, 10, 6, 12);
        assert_ok(sw_dry_run_begin());
        sw_tape *tape = sw_tape_new();
        const sw_tensor x = sw_variable(tape, c.x),
                        y = sequences[kind](x, sw_variable(tape, c.w_ih), sw_variable(tape, c.w_hh), NULL);
        assert_ok(sw_backward_from(y, sw_value(y)));
        const double products = 8. * 10 * gates[kind] * 12 * (6 + 12), flops = sw_dry_run_flops();
        sw_tape_free(tape);
        assert_ok(sw_dry_run_end());
        assert_true(flops == 2 * 3 * products);
        case_free(&c);
    }
}

/* ---- Gates ---- */

enum { GATE_UNITS = 64 };

/* The argument of gate q of unit j: special numbers and random ones, in another order for each gate. */
static double gate_argument(int q, int j) {
    static const double special[] = {0,   -0.0, 0x1p-100, -0x1p-100, 0.5,     -0.5,   1,        -1,        5,
                                     -5,  20,   -20,      42.875,    -42.875, 43.125, -43.125,  87,        -87,
                                     299, -299, 301,      -301,      1000,    -1000,  INFINITY, -INFINITY, NAN};
    const int count = (int)(sizeof special / sizeof *special), i = j * (2 * q + 3) % GATE_UNITS;
    if (i < count)
        return special[i];
    sw_rng rng = {.key = sw_rng_key((uint64_t)i, "gate")};
    return (double)(float)(100 * sw_rng_uniform(&rng) - 50);
}

static long double exact_sigmoid(double x) {
    return 1 / (1 + expl(-(long double)x));
}

/* Checks a state [h, c] or [h] after a step without products from h = 0.25, c = 1.5; u: the unit roundoff. Gates have a
 * relative error of 8 u, and `far` besides, because arguments are bounded; the step adds at most 3 roundings. tanh has
 * 5 u, and its slope is at most 1. */
static void check_gates(int kind, const sw_array *state, int j, long double u, long double far) {
    const long double a = exact_sigmoid(gate_argument(0, j)), b = exact_sigmoid(gate_argument(1, j));
    long double wanted, allowed;
    if (kind == 0) {
        const long double ig = a * tanhl(gate_argument(2, j)), fc = b * 1.5L, c = fc + ig,
                          o = exact_sigmoid(gate_argument(3, j)),
                          got_c = sw_load_element(state->type, state->data, GATE_UNITS + j),
                          c_allowed = 20 * u * (fabsl(fc) + fabsl(ig)) + 4 * far;
        if (isnan((double)c) ? !isnan((double)got_c) : !(fabsl(got_c - c) <= c_allowed))
            fail_msg("lstm, unit %d: c is %.17Lg, expected %.17Lg", j, got_c, c);
        wanted = o * tanhl(c);
        allowed = 16 * u * fabsl(wanted) + c_allowed + 2 * far;
    } else {
        const long double n = tanhl(gate_argument(2, j) + a * 0.5L);
        wanted = (1 - b) * n + b * 0.25L;
        allowed = 24 * u * (fabsl(n) + 0.25L) + 4 * far;
    }
    const long double got = sw_load_element(state->type, state->data, j);
    if (isnan((double)wanted) ? !isnan((double)got) : !(fabsl(got - wanted) <= allowed))
        fail_msg("%s, unit %d: %.17Lg, expected %.17Lg", kind ? "gru" : "lstm", j, got, wanted);
}

static void check_gates_of(int kind, sw_dtype type) {
    const int rows = gates[kind] * GATE_UNITS, width = kind ? GATE_UNITS : 2 * GATE_UNITS;
    sw_array bias_ih = sw_array_new(type, SW_SHAPE(rows)), bias_hh = sw_array_new(type, SW_SHAPE(rows)),
             w_ih = sw_array_new(type, SW_SHAPE(rows, 1)), w_hh = sw_array_new(type, SW_SHAPE(rows, GATE_UNITS)),
             first = sw_array_new(type, SW_SHAPE(1, width)), x = sw_array_new(type, SW_SHAPE(1, 1));
    for (int i = 0; i < rows; i++) {
        sw_store_element(type, bias_ih.data, i, gate_argument(i / GATE_UNITS, i % GATE_UNITS));
        sw_store_element(type, bias_hh.data, i, kind && i >= 2 * GATE_UNITS ? 0.5 : 0);
    }
    for (int i = 0; i < width; i++)
        sw_store_element(type, first.data, i, i < GATE_UNITS ? 0.25 : 1.5);
    sw_tape *tape = sw_tape_new();
    const sw_tensor y = cells[kind](sw_input(tape, x), sw_input(tape, w_ih), sw_input(tape, w_hh),
                                    &SW_OPTIONS(sw_recurrent_options, .bias_ih = sw_input(tape, bias_ih),
                                                .bias_hh = sw_input(tape, bias_hh), .state = sw_input(tape, first)));
    const sw_array value = sw_value(y);
    assert_non_null(value.data);
    for (int j = 0; j < GATE_UNITS; j++)
        check_gates(kind, &value, j, type == SW_F64 ? 0x1p-53L : 0x1p-24L, type == SW_F64 ? 1e-130L : 1e-18L);
    sw_tape_free(tape);
    sw_array *const all[] = {&bias_ih, &bias_hh, &w_ih, &w_hh, &first, &x};
    for (int i = 0; i < 6; i++)
        sw_array_free(all[i]);
}

static void check_all_gates(void) {
    for (int kind = 0; kind < 2; kind++) {
        check_gates_of(kind, SW_F32);
        check_gates_of(kind, SW_F64);
    }
}

/* The gates have their own exponential, with bounded arguments and common divisions: their errors, at extreme, infinite
 * and undefined arguments too. */
static void test_gates_have_small_errors(void **state) {
    (void)state;
    each_level(check_all_gates);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_wrong_options_are_refused, test_no_error_left),
        cmocka_unit_test_teardown(test_cells_give_the_states_of_a_sequence, test_no_error_left),
        cmocka_unit_test_teardown(test_windows_have_the_outputs_and_gradients_of_the_sequence, test_no_error_left),
        cmocka_unit_test_teardown(test_padding_has_no_effect, test_no_error_left),
        cmocka_unit_test_teardown(test_released_tensors_keep_what_backward_reads, test_no_error_left),
        cmocka_unit_test_teardown(test_bits_do_not_depend_on_threads, test_no_error_left),
        cmocka_unit_test_teardown(test_lengths_of_all_steps_change_nothing, test_no_error_left),
        cmocka_unit_test_teardown(test_gates_have_small_errors, test_no_error_left),
        cmocka_unit_test_teardown(test_dry_run_counts_the_products, test_no_error_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
