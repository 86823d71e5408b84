/* A mean over parts is Σ weight·loss / Σ weight for every division of the samples: gradients of micro-batches, chunks
 * of an objective, sw_loss_mean. */
#include "support.h"

#include <swale/extend.h>

enum { ROWS = 6, WIDTH = 3, CLASSES = 4, DIM = CLASSES * WIDTH };

/* ---- The losses ---- */

static const double inputs[ROWS * WIDTH] = {0.5, -1,     2,   1.5, 0.25, -0.5,  -2, 1,   0.75,
                                            1,   -0.125, 0.5, -1,  -1,   0.375, 2,  0.5, -0.25};
static const int32_t ids[ROWS] = {0, -1, -1, 1, 3, -1}, plain_ids[ROWS] = {0, 2, 1, 1, 3, 2};
static const double class_weights[CLASSES] = {0.5, 2, 1, 3};
/* Rows that are distributions, so that every loss takes them. */
static const double targets[ROWS * CLASSES] = {1, 0, 0,     0,     0.25, 0.25, 0.25, 0.25, 0.5,  0.5, 0,    0,
                                               0, 0, 0.125, 0.875, 0,    0.5,  0.25, 0.25, 0.75, 0,   0.25, 0};

typedef struct part {
    sw_tape *tape;
    sw_dtype type;
    int64_t first, count;
} part;

static sw_tensor rows_of(const part *p, const double *data, int width) {
    sw_tensor t = sw_empty(p->tape, p->type, 2, (int64_t[]){p->count, width});
    sw_array a = sw_value(t);
    for (int64_t i = 0; i < p->count * width; i++)
        test_set(&a, i, data[p->first * width + i]);
    return t;
}

static sw_tensor ids_of(const part *p, const int32_t *list) {
    return sw_input(p->tape, sw_array_view(list + p->first, SW_I32, 1, &p->count));
}

static sw_tensor cross_entropy(const part *p, sw_tensor z, const int32_t *list, sw_cross_entropy_options o) {
    o.size = sizeof o;
    return sw_cross_entropy_with_options(z, ids_of(p, list), &o);
}

static sw_tensor ce_plain(const part *p, sw_tensor z) {
    return sw_cross_entropy(z, ids_of(p, plain_ids));
}
static sw_tensor ce_ignore(const part *p, sw_tensor z) {
    return cross_entropy(p, z, ids, (sw_cross_entropy_options){.ignore = true, .ignored_id = -1});
}
static sw_tensor ce_weights(const part *p, sw_tensor z) {
    return cross_entropy(p, z, plain_ids,
                         (sw_cross_entropy_options){.class_weights = class_weights, .classes = CLASSES});
}
static sw_tensor ce_all(const part *p, sw_tensor z) {
    return cross_entropy(p, z, ids,
                         (sw_cross_entropy_options){.ignore = true,
                                                    .ignored_id = -1,
                                                    .label_smoothing = 0.1,
                                                    .class_weights = class_weights,
                                                    .classes = CLASSES});
}
static sw_tensor ce_sum(const part *p, sw_tensor z) {
    return cross_entropy(p, z, ids, (sw_cross_entropy_options){.ignore = true, .ignored_id = -1, .reduction = SW_SUM});
}
static sw_tensor ce_soft(const part *p, sw_tensor z) {
    const sw_cross_entropy_options o = {.size = sizeof o, .class_weights = class_weights, .classes = CLASSES};
    return sw_cross_entropy_with_options(z, rows_of(p, targets, CLASSES), &o);
}
static sw_tensor mse(const part *p, sw_tensor z) {
    return sw_mse(z, rows_of(p, targets, CLASSES));
}
static sw_tensor mse_sum(const part *p, sw_tensor z) {
    return sw_mse_with_options(z, rows_of(p, targets, CLASSES), &SW_OPTIONS(sw_loss_options, .reduction = SW_SUM));
}
static sw_tensor l1(const part *p, sw_tensor z) {
    return sw_l1(z, rows_of(p, targets, CLASSES));
}
static sw_tensor huber(const part *p, sw_tensor z) {
    return sw_huber(z, rows_of(p, targets, CLASSES));
}
static sw_tensor hinge(const part *p, sw_tensor z) {
    return sw_hinge(z, rows_of(p, targets, CLASSES));
}
static sw_tensor bce(const part *p, sw_tensor z) {
    return sw_bce_with_logits(z, rows_of(p, targets, CLASSES));
}
static sw_tensor kl(const part *p, sw_tensor z) {
    return sw_kl_div(sw_log_softmax(z, -1), rows_of(p, targets, CLASSES));
}
/* Scaled, and with a penalty, which has no weight and is the same in every part. */
static sw_tensor penalized(const part *p, sw_tensor z) {
    sw_tensor w = sw_constant(p->tape, p->type, 0.25);
    return sw_add(sw_scale(ce_ignore(p, z), 3), sw_mul(w, w));
}
/* Two tasks with as many rows: one ratio of weights. */
static sw_tensor two_tasks(const part *p, sw_tensor z) {
    return sw_add(ce_plain(p, z), sw_scale(mse(p, z), 0.5));
}
/* By hand: Σ loss / Σ weight with weights that the program knows. */
static sw_tensor by_hand(const part *p, sw_tensor z) {
    const sw_cross_entropy_options o = {.size = sizeof o, .reduction = SW_NONE, .ignore = true, .ignored_id = -1};
    double kept = 0;
    for (int64_t i = 0; i < p->count; i++)
        kept += ids[p->first + i] >= 0;
    sw_tensor each = sw_cross_entropy_with_options(z, ids_of(p, ids), &o);
    return sw_loss_with_weight(sw_scale(sw_sum(each), kept > 0 ? 1 / kept : 0), kept);
}
/* A mean over samples that states nothing: the tape's samples are its weight. */
static sw_tensor unstated(const part *p, sw_tensor z) {
    return sw_mean(sw_mul(sw_sub(z, rows_of(p, targets, CLASSES)), z));
}

typedef struct subject {
    const char *name;
    sw_tensor (*loss)(const part *p, sw_tensor z);
    double weight; /* of all rows */
} subject;

/* clang-format off */
static const subject subjects[] = {
    {"plain", ce_plain, ROWS},     {"ignore", ce_ignore, 3},   {"class weights", ce_weights, 0.5 + 1 + 2 + 2 + 3 + 1},
    {"all options", ce_all, 5.5},  {"sum", ce_sum, SW_SUMMED}, {"soft", ce_soft, ROWS},
    {"mse", mse, ROWS},            {"mse sum", mse_sum, SW_SUMMED}, {"l1", l1, ROWS},
    {"huber", huber, ROWS},        {"hinge", hinge, ROWS},     {"bce", bce, ROWS},
    {"kl", kl, ROWS},              {"penalized", penalized, 3}, {"two tasks", two_tasks, ROWS},
    {"by hand", by_hand, 3},       {"unstated", unstated, ROWS}};
/* clang-format on */
enum { SUBJECTS = sizeof subjects / sizeof *subjects };

/* ---- A linear model in f32 or f64 ---- */

typedef struct model {
    sw_params *params;
    sw_param *w;
    sw_tape *tape;
    const subject *subject;
} model;

static model model_new(sw_dtype type, const subject *s) {
    model m = {.params = sw_params_new(type, 1), .tape = sw_tape_new(), .subject = s};
    m.w = sw_params_add(m.params, "w", SW_SHAPE(CLASSES, WIDTH), NULL);
    assert_int_equal(sw_params_build(m.params), SW_OK);
    sw_array w = sw_param_value(m.w);
    for (int i = 0; i < DIM; i++)
        test_set(&w, i, 0.25 * (i % 5) - 0.4);
    return m;
}

static void model_free(model *m) {
    sw_tape_free(m->tape);
    sw_params_free(m->params);
}

static sw_tensor loss_of_part(const model *m, sw_tape *tape, int64_t first, int64_t count) {
    const part p = {tape, sw_params_type(m->params), first, count};
    sw_tensor z = sw_linear(rows_of(&p, inputs, WIDTH), sw_param_use(tape, m->w), (sw_tensor){0});
    return m->subject->loss(&p, z);
}

static sw_tensor add_part(const model *m, sw_tape *tape, int64_t first, int64_t count) {
    sw_tape_reset(tape);
    int64_t samples[ROWS];
    for (int64_t i = 0; i < count; i++)
        samples[i] = first + i;
    assert_int_equal(sw_tape_set_sample_ids(tape, samples, count), SW_OK);
    sw_tensor loss = loss_of_part(m, tape, first, count);
    if (sw_is_null(loss))
        fail_msg("%s", sw_error());
    return loss;
}

static double data_at(const model *m, int i) {
    const void *g = sw_gradient_data(sw_params_gradient(m->params));
    return sw_params_type(m->params) == SW_F32 ? (double)((const float *)g)[i] : ((const double *)g)[i];
}

/* Every number is a sum of at most 6 rows, each below 8 with some 30 roundings, weighted by parts in at most
 * 6·4 more: 6 · 8 · 54 · ε/2. */
static double tolerance_of(sw_dtype type) {
    return 6 * 8 * 54 * (type == SW_F32 ? 0x1p-24 : 0x1p-53);
}

static void expect_near(const char *what, const subject *s, unsigned cut, double found, double expected,
                        double tolerance) {
    if (!(fabs(found - expected) <= tolerance))
        fail_msg("%s of %s, cut %x: %.17g, not %.17g", what, s->name, cut, found, expected);
}

/* Bit i of the cut: a new part begins after row i. */
static int64_t next_part(unsigned cut, int64_t first) {
    int64_t end = first + 1;
    while (end < ROWS && !(cut & (1u << (end - 1))))
        end++;
    return end;
}

static void test_mean_of_micro_batches_is_equal_for_every_cut(void **state) {
    (void)state;
    for (int k = 0; k < 2 * SUBJECTS; k++) {
        const subject *s = &subjects[k / 2];
        const sw_dtype type = k % 2 ? SW_F32 : SW_F64;
        model m = model_new(type, s);
        double whole[DIM], loss = 0;
        for (unsigned cut = 0; cut < 1u << (ROWS - 1); cut++) {
            sw_loss_mean mean = {0};
            for (int64_t first = 0; first < ROWS; first = next_part(cut, first)) {
                sw_tensor t = add_part(&m, m.tape, first, next_part(cut, first) - first);
                assert_int_equal(sw_loss_mean_add(&mean, t), SW_OK);
                assert_int_equal(sw_backward(t), SW_OK);
            }
            sw_gradient *g = sw_params_gradient(m.params);
            assert_true(sw_gradient_weight(g) == s->weight); /* multiples of 1/2 */
            assert_int_equal(sw_gradient_samples(g), ROWS);
            for (int i = 0; i < DIM && !cut; i++)
                whole[i] = data_at(&m, i);
            if (!cut)
                loss = sw_loss_mean_value(&mean);
            assert_true(isfinite(loss));
            expect_near("loss", s, cut, sw_loss_mean_value(&mean), loss, tolerance_of(type));
            for (int i = 0; i < DIM; i++)
                expect_near("gradient", s, cut, data_at(&m, i), whole[i], tolerance_of(type));
            sw_gradient_make_fresh(g);
        }
        model_free(&m);
    }
}

/* The case by hand: micro-batches of 3 and 1 with ids {0, -1, -1, 1} and equal logits. p = 1/2 for each
 * class, so that rows 0 and 3 have ∓1/2 · x, and the mean is half of their sum. */
static void test_mean_with_ignored_samples_is_right(void **state) {
    (void)state;
    sw_params *p = sw_params_new(SW_F64, 1);
    sw_param *z = sw_params_add(p, "z", SW_SHAPE(1, 2), NULL);
    assert_int_equal(sw_params_build(p), SW_OK);
    const int32_t list[4] = {0, -1, -1, 1};
    const double x[4] = {1, 5, 7, 3};
    const sw_cross_entropy_options o = {.size = sizeof o, .ignore = true, .ignored_id = -1};
    sw_tape *tape = sw_tape_new();
    for (int first = 0; first < 4; first += 3) {
        const int64_t n = first ? 1 : 3;
        sw_tape_reset(tape);
        sw_tensor a = sw_input(tape, sw_array_view(x + first, SW_F64, SW_SHAPE(n, 1)));
        sw_tensor t = sw_input(tape, sw_array_view(list + first, SW_I32, SW_SHAPE(n)));
        assert_int_equal(sw_backward(sw_cross_entropy_with_options(sw_mul(a, sw_param_use(tape, z)), t, &o)), SW_OK);
    }
    /* ½ (x0 (p - (1,0)) + x3 (p - (0,1))) = ½ (½(-1 + 3), ½(1 - 3)) */
    const double *g = sw_gradient_data(sw_params_gradient(p));
    assert_true(fabs(g[0] - 0.5) <= 4 * 0x1p-53 && fabs(g[1] + 0.5) <= 4 * 0x1p-53);
    sw_tape_free(tape);
    sw_params_free(p);
}

/* ---- Objectives ---- */

static sw_tensor objective_loss(void *user, sw_tape *tape, const int64_t *list, int64_t count) {
    return loss_of_part(user, tape, list[0], count); /* all ids in order */
}

static void test_mean_of_chunks_is_that_of_the_whole(void **state) {
    (void)state;
    for (int k = 0; k < 2 * SUBJECTS; k++) {
        const subject *s = &subjects[k / 2];
        const sw_dtype type = k % 2 ? SW_F32 : SW_F64;
        model m = model_new(type, s);
        const sw_objective f = {.size = sizeof f, .n = ROWS, .params = m.params, .user = &m, .loss = objective_loss};
        sw_gradient *g = sw_gradient_new(m.params);
        double whole[DIM], loss = 0;
        for (int64_t chunk = ROWS; chunk >= 1; chunk--) {
            double value, again;
            assert_int_equal(sw_objective_value_chunked(&f, m.tape, NULL, NULL, ROWS, chunk, 1, &value), SW_OK);
            assert_true(sw_tape_loss_weight(m.tape) == s->weight);
            assert_int_equal(sw_objective_gradient_chunked(&f, m.tape, NULL, NULL, ROWS, chunk, 1, &again, g), SW_OK);
            assert_true(value == again && sw_tape_loss_weight(m.tape) == s->weight);
            const void *data = sw_gradient_data(g);
            if (chunk == ROWS)
                loss = value;
            expect_near("value", s, (unsigned)chunk, value, loss, tolerance_of(type));
            for (int i = 0; i < DIM; i++) {
                double here = type == SW_F32 ? (double)((const float *)data)[i] : ((const double *)data)[i];
                if (chunk == ROWS)
                    whole[i] = here;
                expect_near("gradient", s, (unsigned)chunk, here, whole[i], tolerance_of(type));
            }
        }
        sw_gradient_free(g);
        model_free(&m);
    }
}

/* ---- Weights without a mean ---- */

/* Two tasks of which one ignores rows: the ratio of weights is another in every part. */
static sw_tensor other_ratio(const part *p, sw_tensor z) {
    return sw_add(ce_ignore(p, z), mse(p, z));
}
static sw_tensor mean_and_sum(const part *p, sw_tensor z) {
    return sw_add(mse(p, z), sw_scale(mse_sum(p, z), 0.5));
}
static sw_tensor now_sum(const part *p, sw_tensor z) {
    return p->first == 0 ? mse(p, z) : mse_sum(p, z);
}

static void test_losses_without_a_common_weight_are_refused(void **state) {
    (void)state;
    static const subject apart[] = {
        {"other ratio", other_ratio, 0}, {"mean and sum", mean_and_sum, 0}, {"mean, then sum", now_sum, 0}};
    for (int k = 0; k < 3; k++) {
        model m = model_new(SW_F64, &apart[k]);
        const sw_objective f = {.size = sizeof f, .n = ROWS, .params = m.params, .user = &m, .loss = objective_loss};
        double value;
        sw_loss_mean mean = {0};
        sw_tensor t = add_part(&m, m.tape, 0, 3); /* in one part there is no question */
        assert_int_equal(sw_backward(t), SW_OK);
        assert_int_equal(sw_loss_mean_add(&mean, t), SW_OK);
        t = add_part(&m, m.tape, 3, 3);
        assert_int_equal(sw_loss_mean_add(&mean, t), SW_ERR_STATE);
        assert_non_null(strstr(sw_error(), k == 0 ? "in another ratio" : "some are sums"));
        sw_clear_error();
        assert_int_equal(sw_backward(t), SW_ERR_STATE);
        assert_non_null(strstr(sw_error(), k == 0 ? "in another ratio" : "some are sums"));
        sw_clear_error();
        assert_int_equal(sw_objective_value_chunked(&f, m.tape, NULL, NULL, ROWS, 3, 1, &value), SW_ERR_STATE);
        sw_clear_error();
        model_free(&m);
    }
}

/* Two losses of one pass, run back one by one, with equal weights are as their sum; with others they are for
 * one part only. */
static void test_losses_of_one_pass_can_be_run_separately(void **state) {
    (void)state;
    model m = model_new(SW_F64, &subjects[0]);
    for (int other = 0; other < 2; other++) {
        sw_gradient_make_fresh(sw_params_gradient(m.params));
        for (int64_t first = 0; first < ROWS; first += 3) {
            sw_tape_reset(m.tape);
            const part p = {m.tape, SW_F64, first, 3};
            sw_tensor z = sw_linear(rows_of(&p, inputs, WIDTH), sw_param_use(m.tape, m.w), (sw_tensor){0});
            sw_tensor a = ce_plain(&p, z), b = other ? ce_ignore(&p, z) : mse(&p, z);
            assert_int_equal(sw_backward(a), SW_OK);
            if (other && first) {
                fail_msg("a part was added to a block of two losses with other weights");
            }
            assert_int_equal(sw_backward(b), SW_OK);
            if (other)
                break;
        }
        if (!other)
            continue;
        assert_int_equal(sw_backward(add_part(&m, m.tape, 3, 3)), SW_ERR_STATE);
        sw_clear_error();
    }
    model_free(&m);
}

/* Weights of up to three losses in one, in two parts, and whether the parts have a mean. */
static void test_losses_of_equal_weight_ratios_have_a_mean(void **state) {
    (void)state;
    static const struct {
        double weight[2][3];
        bool fits;
    } cases[] = {
        {{{3, 3, 3}, {5, 5, 5}}, true},  {{{2, 4, 6}, {1, 2, 3}}, true},        {{{0, 4, 2}, {0, 2, 1}}, true},
        {{{0, 0, 0}, {2, 4, 1}}, true},  {{{2, 4, 1}, {0, 0, 0}}, true},        {{{3, 3, 3}, {3, 0, 3}}, false},
        {{{3, 3, 3}, {0, 3, 3}}, false}, {{{10, 10, 20}, {10, 20, 10}}, false}, {{{10, 20, 10}, {20, 10, 10}}, false},
        {{{1, 2, 3}, {1, 3, 2}}, false}, {{{4, 2, 0}, {4, 0, 2}}, false},       {{{0, 2, 1}, {0, 1, 2}}, false}};
    sw_tape *tape = sw_tape_new();
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        sw_loss_mean mean = {0};
        double sum = 0, whole = 0;
        sw_status status = SW_OK;
        for (int turn = 0; turn < 2; turn++) {
            sw_tensor loss = {0};
            double first = 0; /* the weight above 0 to which the others are in proportion */
            for (int i = 0; i < 3; i++) {
                const double w = cases[k].weight[turn][i];
                sw_tensor one = sw_loss_with_weight(sw_constant(tape, SW_F64, 1 + turn + i), w);
                loss = i ? sw_add(loss, one) : one;
                first = first > 0 ? first : w;
            }
            sum += first * sw_item(loss);
            whole += first;
            status = sw_loss_mean_add(&mean, loss);
        }
        if (status != (cases[k].fits ? SW_OK : SW_ERR_STATE))
            fail_msg("case %d: status %d", (int)k, (int)status);
        sw_clear_error();
        if (cases[k].fits) /* a product and a sum for each part, and quotients */
            assert_true(fabs(sw_loss_mean_value(&mean) - sum / whole) <= 8 * 0x1p-53 * sum / whole);
    }
    sw_tape_free(tape);
}

/* A part that weighs nothing counts as nothing, also where its gradient is NaN: 0/0 of a mask that keeps no
 * row. */
static sw_tensor masked(const part *p, sw_tensor z) {
    const bool empty = p->first < 4;
    return sw_loss_with_weight(sw_scale(mse(p, z), empty ? (double)NAN : 1), empty ? 0 : (double)p->count);
}

static void test_parts_of_weight_zero_change_nothing(void **state) {
    (void)state;
    static const subject s = {"masked", masked, 0};
    static const int orders[][4] = {{5}, {0, 5}, {5, 0}, {0, 1, 5, 2}, {4, 0, 5}, {0, 4, 1, 5}};
    static const int counts[] = {1, 2, 2, 4, 3, 4};
    for (int k = 0; k < 2; k++) {
        model m = model_new(k ? SW_F32 : SW_F64, &s);
        double expected[2][DIM]; /* of row 5, and of rows 4 and 5 */
        for (int i = 0; i < 2; i++) {
            assert_int_equal(sw_backward(add_part(&m, m.tape, i ? 4 : 5, i ? 2 : 1)), SW_OK);
            for (int j = 0; j < DIM; j++)
                expected[i][j] = data_at(&m, j);
            sw_gradient_make_fresh(sw_params_gradient(m.params));
        }
        for (size_t o = 0; o < sizeof orders / sizeof *orders; o++) {
            bool both = false;
            for (int i = 0; i < counts[o]; i++) {
                both |= orders[o][i] == 4;
                assert_int_equal(sw_backward(add_part(&m, m.tape, orders[o][i], 1)), SW_OK);
            }
            for (int j = 0; j < DIM; j++)
                expect_near("gradient", &s, (unsigned)o, data_at(&m, j), expected[both][j],
                            tolerance_of(sw_params_type(m.params)));
            sw_gradient_make_fresh(sw_params_gradient(m.params));
        }
        model_free(&m);
    }
}

/* A penalty has no weight of its own: run back by itself, after the loss, it takes the loss's. */
static void test_penalty_run_alone_takes_the_weight_of_the_loss(void **state) {
    (void)state;
    model m = model_new(SW_F64, &subjects[1]);
    double together[DIM];
    for (int apart = 0; apart < 2; apart++) {
        sw_gradient_make_fresh(sw_params_gradient(m.params));
        for (int64_t first = 0; first < ROWS; first += 3) {
            sw_tape_reset(m.tape); /* no samples are named: such a tensor would weigh 1 */
            sw_tensor w = sw_param_use(m.tape, m.w), penalty = sw_sum(sw_mul(w, w));
            sw_tensor loss = loss_of_part(&m, m.tape, first, 3);
            assert_int_equal(sw_backward(apart ? loss : sw_add(loss, penalty)), SW_OK);
            if (apart)
                assert_int_equal(sw_backward(penalty), SW_OK);
        }
        for (int i = 0; i < DIM && !apart; i++)
            together[i] = data_at(&m, i);
    }
    for (int i = 0; i < DIM; i++)
        expect_near("gradient", m.subject, 0, data_at(&m, i), together[i], tolerance_of(SW_F64));
    /* Before the loss: the one pass takes the loss's weight too. */
    sw_gradient_make_fresh(sw_params_gradient(m.params));
    sw_tape_reset(m.tape);
    sw_tensor w = sw_param_use(m.tape, m.w);
    assert_int_equal(sw_backward(sw_sum(sw_mul(w, w))), SW_OK);
    assert_int_equal(sw_backward(loss_of_part(&m, m.tape, 0, 4)), SW_OK);
    assert_true(sw_gradient_weight(sw_params_gradient(m.params)) == 2);
    model_free(&m);
}

/* Half a gradient is none: nothing is left in the block for a step. */
static sw_tensor second_chunk_fails(const part *p, sw_tensor z) {
    return p->first == 0 ? mse(p, z) : (sw_tensor){0};
}

static void test_failed_chunk_leaves_no_gradient(void **state) {
    (void)state;
    static const subject s = {"second chunk fails", second_chunk_fails, 0};
    model m = model_new(SW_F64, &s);
    const sw_objective f = {.size = sizeof f, .n = ROWS, .params = m.params, .user = &m, .loss = objective_loss};
    sw_gradient *g = sw_params_gradient(m.params);
    double value;
    assert_int_equal(sw_objective_gradient_chunked(&f, m.tape, NULL, NULL, ROWS, 4, 1, &value, g), SW_ERR_USER);
    assert_true(sw_gradient_is_fresh(g));
    sw_clear_error();
    model_free(&m);
}

/* ---- Two tapes and one block ---- */

static void test_two_interleaved_tapes_have_one_mean(void **state) {
    (void)state;
    for (int k = 0; k < 2; k++) {
        model m = model_new(k ? SW_F32 : SW_F64, &subjects[1]);
        sw_gradient *g = sw_params_gradient(m.params);
        double expected[DIM];
        assert_int_equal(sw_backward(add_part(&m, m.tape, 0, ROWS)), SW_OK);
        for (int i = 0; i < DIM; i++)
            expected[i] = 2 * data_at(&m, i); /* each loss is run back twice */
        for (int read = 0; read < 2; read++) {
            sw_gradient_make_fresh(g);
            sw_tape *other = sw_tape_new();
            sw_tensor a = add_part(&m, m.tape, 0, 4), b = add_part(&m, other, 4, 2);
            sw_tensor order[4] = {a, b, a, b};
            for (int i = 0; i < 4; i++) {
                assert_int_equal(sw_backward(order[i]), SW_OK);
                if (read)
                    sw_gradient_data(g); /* the mean of what is there does not disturb what comes */
            }
            assert_int_equal(sw_gradient_samples(g), ROWS);
            assert_true(sw_gradient_weight(g) == 3);
            for (int i = 0; i < DIM; i++)
                expect_near("gradient", m.subject, 4, data_at(&m, i), expected[i],
                            2 * tolerance_of(sw_params_type(m.params)));
            sw_tape_free(other);
        }
        model_free(&m);
    }
}

/* ---- Many parts ---- */

/* f32, 1e5 parts with gradients 1 and 1.1: a running mean stalls, a plain sum loses 1e-3. Compensated the
 * error is that of a few roundings of the result: ε for the two numbers, 2ε for sum and quotient. */
static void test_mean_of_many_parts_is_accurate(void **state) {
    (void)state;
    sw_params *p = sw_params_new(SW_F32, 1);
    sw_param *w = sw_params_add(p, "w", SW_SHAPE(2), NULL);
    assert_int_equal(sw_params_build(p), SW_OK);
    sw_tape *tape = sw_tape_new();
    const int parts = 100000;
    double exact = 0;
    for (int k = 0; k < parts; k++) {
        const float factor = k % 2 ? 1.1f : 1;
        exact += (double)factor / parts;
        sw_tape_reset(tape);
        sw_tensor x = sw_input(tape, sw_array_view(&factor, SW_F32, 0, NULL));
        /* broadcast, so that the engine's reduction is met too: 2 x for each of both elements */
        sw_tensor ones = sw_input(tape, sw_array_view((float[]){1, 1, 1, 1}, SW_F32, SW_SHAPE(2, 2)));
        assert_int_equal(sw_backward(sw_sum(sw_mul(sw_mul(x, sw_param_use(tape, w)), ones))), SW_OK);
    }
    const float *g = sw_gradient_data(sw_params_gradient(p));
    for (int i = 0; i < 2; i++)
        if (!(fabs((double)g[i] - 2 * exact) <= 4 * 0x1p-24 * 2 * exact))
            fail_msg("%.9g, not %.9g", (double)g[i], 2 * exact);
    sw_tape_free(tape);
    sw_params_free(p);
}

/* ---- An operation and its weight ---- */

static sw_status scalar_shape(sw_call *call) {
    return sw_call_set_shape(call, call->in[0]->type, 0, NULL);
}
/* Σ x / n, n kept as an attribute */
static sw_status stated_forward(sw_call *call) {
    const double n = *(const double *)call->attributes, *x = call->in[0]->data;
    double sum = 0;
    for (int64_t i = 0; i < call->in[0]->count; i++)
        sum += x[i];
    *(double *)call->out->data = sum / n;
    return sw_call_set_weight(call, n);
}

static void test_operation_states_the_weight_of_its_loss(void **state) {
    (void)state;
    static const sw_op op = {.size = sizeof op, .name = "stated", .shape = scalar_shape, .forward = stated_forward};
    const double x[2] = {3, 5};
    sw_tape *tape = sw_tape_new();
    sw_tensor in = sw_input(tape, sw_array_view(x, SW_F64, SW_SHAPE(2)));
    assert_true(sw_loss_weight(in) == 1); /* no samples are named */
    double n = 7;
    sw_tensor t = sw_apply(&op, &n, sizeof n, 1, &in);
    assert_true(sw_loss_weight(t) == 7 && sw_item(t) == 8 / 7.0);
    assert_true(sw_loss_weight(sw_add(sw_scale(t, 2), sw_constant(tape, SW_F64, 1))) == 7);
    assert_true(sw_loss_weight(sw_detach(t)) == 7);
    assert_true(sw_loss_weight(sw_loss_with_weight(t, 0.5)) == 0.5 && sw_loss_weight(t) == 7);
    for (int k = 0; k < 3; k++) {
        n = k == 0 ? -2 : k == 1 ? NAN : INFINITY;
        assert_true(sw_is_null(sw_apply(&op, &n, sizeof n, 1, &in)));
        assert_non_null(strstr(sw_error(), "stated: the weight of the loss is "));
        sw_clear_error();
        assert_true(sw_is_null(sw_loss_with_weight(t, n)));
        assert_non_null(strstr(sw_error(), "loss_with_weight: the weight of the loss is "));
        sw_clear_error();
    }
    assert_true(sw_is_null(sw_loss_with_weight(in, 1)));
    assert_non_null(strstr(sw_error(), "must be one number"));
    sw_clear_error();
    sw_tape_free(tape);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_mean_of_micro_batches_is_equal_for_every_cut),
                                       cmocka_unit_test(test_mean_with_ignored_samples_is_right),
                                       cmocka_unit_test(test_mean_of_chunks_is_that_of_the_whole),
                                       cmocka_unit_test(test_losses_without_a_common_weight_are_refused),
                                       cmocka_unit_test(test_losses_of_equal_weight_ratios_have_a_mean),
                                       cmocka_unit_test(test_parts_of_weight_zero_change_nothing),
                                       cmocka_unit_test(test_penalty_run_alone_takes_the_weight_of_the_loss),
                                       cmocka_unit_test(test_failed_chunk_leaves_no_gradient),

                                       cmocka_unit_test(test_losses_of_one_pass_can_be_run_separately),
                                       cmocka_unit_test(test_two_interleaved_tapes_have_one_mean),
                                       cmocka_unit_test(test_mean_of_many_parts_is_accurate),
                                       cmocka_unit_test(test_operation_states_the_weight_of_its_loss)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
