/* Windows and padded sequences: contents, loaders, splits, objectives and evaluations over [batch, time, classes], and
 * mistakes. */
#include "datasets/helpers.h"

#include <swale/nn.h>
#include <swale/optim.h>

enum { IDS = 50, CLASSES = 7, LENGTH = 6 };

static int32_t ids_i32[IDS];
static unsigned char ids_u8[IDS];

static int set_up(void **state) {
    uint64_t seed = 5;
    (void)state;
    for (int i = 0; i < IDS; i++)
        ids_i32[i] = ids_u8[i] = (unsigned char)(test_random(&seed) % (CLASSES - 1));
    ids_i32[17] = ids_u8[17] = CLASSES - 1;
    return 0;
}

static sw_array array_of(sw_dtype type) {
    return sw_array_view(type == SW_U8 ? (void *)ids_u8 : (void *)ids_i32, type, SW_SHAPE(IDS));
}

static sw_source *windows_of(int64_t stride) {
    const sw_array ids = array_of(SW_I32);
    sw_source *s = sw_windows(&ids, LENGTH, &SW_OPTIONS(sw_windows_options, .stride = stride));
    if (!s)
        fail_msg("%s", sw_error());
    return s;
}

/* ---- Windows ---- */

static void test_windows_are_ids_and_the_ids_that_follow(void **state) {
    (void)state;
    for (int64_t stride = 0; stride < 9; stride++)
        for (int copy = 0; copy < 2; copy++)
            for (int kind = 0; kind < 2; kind++) {
                const sw_array ids = array_of(kind ? SW_U8 : SW_I32);
                const int64_t step = stride ? stride : 1;
                sw_source *s =
                    sw_windows(&ids, LENGTH, &SW_OPTIONS(sw_windows_options, .stride = stride, .copy = copy));
                assert_non_null(s);
                assert_int_equal(s->n, (IDS - 1 - LENGTH) / step + 1);
                assert_true((s->n - 1) * step + LENGTH < IDS && s->n * step + LENGTH >= IDS); /* no window is missing */
                assert_int_equal(s->classes, CLASSES);
                for (int64_t i = 0; i < s->n; i++) {
                    int32_t x[LENGTH], y[LENGTH];
                    assert_int_equal(sw_source_gather(s, SW_F64, 0, &i, 1, x, y), SW_OK);
                    assert_memory_equal(x, ids_i32 + i * step, sizeof x);
                    assert_memory_equal(y, ids_i32 + i * step + 1, sizeof y);
                }
                sw_source_free(s);
            }
}

static void test_copies_do_not_read_the_callers_array(void **state) {
    (void)state;
    int32_t ids[] = {3, 1, 2, 0, 1}, x[4], y[4];
    const int64_t zero = 0;
    const sw_array a = sw_array_view(ids, SW_I32, SW_SHAPE(5));
    sw_source *in_place = sw_windows(&a, 4, NULL),
              *copy = sw_windows(&a, 4, &SW_OPTIONS(sw_windows_options, .classes = 9, .copy = true));
    ids[0] = 2;
    assert_int_equal(sw_source_gather(in_place, SW_F32, 0, &zero, 1, x, y), SW_OK);
    assert_int_equal(x[0], 2);
    assert_int_equal(sw_source_gather(copy, SW_F32, 0, &zero, 1, x, y), SW_OK);
    assert_int_equal(x[0], 3);
    assert_int_equal(in_place->classes, 4);
    assert_int_equal(copy->classes, 9);
    sw_source_free(in_place), sw_source_free(copy);
}

/* Batches of loaders and of subsets are i32, with and without the thread, whatever the type of numbers. */
static void test_loaders_and_subsets_return_ids(void **state) {
    (void)state;
    for (int mode = 0; mode < 4; mode++) {
        sw_source *all = windows_of(1);
        const int64_t some[] = {3, 9, 10, 20, 43};
        sw_source *s = mode / 2 ? sw_subset(all, some, 5, &SW_OPTIONS(sw_wrap_options, .owns_source = true)) : all;
        sw_loader *loader =
            sw_loader_new(s, 4,
                          &SW_OPTIONS(sw_loader_options, .type = mode % 2 ? SW_F64 : SW_F32, .order = SW_SHUFFLE,
                                      .seed = 4, .prefetch = mode % 2 ? SW_PREFETCH_ON : SW_PREFETCH_OFF));
        sw_tape *tape = sw_tape_new();
        sw_batch b;
        int64_t seen = 0;
        for (; sw_loader_next(loader, tape, &b); sw_tape_reset(tape)) {
            const sw_array x = sw_value(b.x), y = sw_value(b.y);
            assert_true(x.type == SW_I32 && y.type == SW_I32 && x.rank == 2 && y.rank == 2);
            assert_true(x.shape[0] == b.count && x.shape[1] == LENGTH && y.shape[1] == LENGTH);
            for (int64_t i = 0; i < b.count; i++) {
                const int64_t first = mode / 2 ? some[b.ids[i]] : b.ids[i];
                assert_memory_equal((int32_t *)x.data + i * LENGTH, ids_i32 + first, LENGTH * sizeof(int32_t));
                assert_memory_equal((int32_t *)y.data + i * LENGTH, ids_i32 + first + 1, LENGTH * sizeof(int32_t));
            }
            seen += b.count;
        }
        assert_int_equal(seen, s->n);
        assert_null(sw_error());
        sw_tape_free(tape);
        sw_loader_free(loader);
        sw_source_free(s);
    }
}

static sw_status identity(void *user, int64_t id, uint64_t draw, const double *in, double *out) {
    (void)user, (void)id, (void)draw, (void)in, (void)out;
    return SW_OK;
}

static void test_transforms_of_numbers_refuse_ids(void **state) {
    (void)state;
    sw_source *s = windows_of(1);
    assert_null(sw_normalize(s, NULL));
    assert_string_equal(sw_error(), "normalize: the samples are ids (i32), not numbers");
    sw_clear_error();
    assert_null(sw_augment(s, NULL));
    assert_string_equal(sw_error(), "augment: the samples are ids (i32), not numbers");
    sw_clear_error();
    assert_null(sw_map(s, identity, NULL, NULL));
    assert_string_equal(sw_error(), "map: the samples are ids (i32), not numbers");
    assert_int_equal(sw_error_status(), SW_ERR_TYPE);
    sw_clear_error();
    sw_source_free(s);
}

/* A source of a program that was compiled before x_type existed has numbers, whatever lies behind its struct. */
static void test_shorter_sources_have_numbers(void **state) {
    (void)state;
    sw_source s = {.size = offsetof(sw_source, x_type), .x_type = SW_I32, .y_type = SW_F64};
    assert_int_equal(sw_source_x_type(&s, SW_F64), SW_F64);
    assert_int_equal(sw_source_y_type(&s, SW_F64), SW_F64);
    s.size = sizeof s;
    assert_int_equal(sw_source_x_type(&s, SW_F64), SW_I32);
}

/* ---- Networks over [batch, time, classes] ---- */

/* Logits of the next id from each id alone. */
static sw_model *bigrams(sw_dtype type, int64_t rows, int64_t classes) {
    sw_model *model = sw_model_new(type, 3);
    assert_non_null(sw_model_build(
        model, sw_nn_sequential(model, sw_nn_embedding(model, rows, 4), sw_nn_linear(model, 4, classes), NULL)));
    return model;
}

/* Adds the loss and the hits of the targets of one row to sums. */
static void add_row(const sw_array *z, int64_t row, int64_t classes, int32_t target, double *loss, double *hits) {
    double sum = 0;
    int64_t best = 0;
    for (int64_t k = 0; k < classes; k++) {
        const double v = test_get(z, row * classes + k);
        sum += exp(v);
        best = v > test_get(z, row * classes + best) ? k : best;
    }
    *loss += log(sum) - test_get(z, row * classes + target);
    *hits += best == target;
}

static void test_objectives_and_evaluations_take_windows(void **state) {
    (void)state;
    for (int64_t stride = 1; stride <= LENGTH; stride += LENGTH - 1) {
        sw_source *s = windows_of(stride);
        sw_model *model = bigrams(SW_F64, CLASSES, CLASSES);
        double loss = 0, hits = 0;
        sw_tape *tape = sw_tape_new();
        for (int64_t i = 0; i < s->n; i++) {
            sw_batch b;
            sw_tape_reset(tape);
            assert_int_equal(sw_tape_bind(tape, sw_model_params(model), NULL, NULL), SW_OK);
            assert_int_equal(sw_source_batch(s, tape, SW_F64, &i, 1, &b), SW_OK);
            const sw_array z = sw_value(sw_forward(sw_model_root(model), b.x));
            assert_int_equal(z.rank, 3);
            for (int64_t k = 0; k < LENGTH; k++)
                add_row(&z, k, CLASSES, ids_i32[i * stride + k + 1], &loss, &hits);
        }
        sw_tape_free(tape);
        const double targets = (double)(s->n * LENGTH);
        sw_evaluation e;
        assert_int_equal(sw_model_evaluate(model, NULL, s, sw_cross_entropy, &e), SW_OK);
        /* sums of fewer than 300 terms of about 2, each with a relative error of a few 1.1e-16 */
        assert_true(fabs(e.loss - loss / targets) <= 1e-13);
        assert_true(fabs(e.accuracy - hits / targets) <= 1e-15);
        sw_optim *optim = sw_optim_new(sw_model_params(model), "adam lr=0.05");
        const sw_objective *f = sw_model_objective(model, s, sw_cross_entropy);
        assert_int_equal(sw_train(f, optim, &SW_OPTIONS(sw_train_options, .steps = 200), NULL), SW_OK);
        sw_evaluation trained;
        assert_int_equal(sw_model_evaluate(model, NULL, s, sw_cross_entropy, &trained), SW_OK);
        assert_true(trained.loss < 0.9 * e.loss && trained.accuracy > e.accuracy);
        sw_optim_free(optim);
        sw_model_free(model);
        sw_source_free(s);
    }
}

/* A source whose samples have more than 1000 ids is evaluated sample by sample, and others in batches of 1000 ids: the
 * means are those of all ids. */
static void test_evaluations_of_long_windows_are_means_of_all_ids(void **state) {
    (void)state;
    enum { MANY = 5000 };
    int32_t *ids = malloc(MANY * sizeof *ids);
    uint64_t seed = 8;
    assert_non_null(ids);
    for (int i = 0; i < MANY; i++)
        ids[i] = (int32_t)(test_random(&seed) % 5);
    const sw_array a = sw_array_view(ids, SW_I32, SW_SHAPE(MANY));
    sw_model *model = bigrams(SW_F64, 5, 5);
    sw_evaluation one, first = {0, 0};
    for (int64_t length = 1; length < MANY; length = 7 * length + 2) {
        sw_source *s = sw_windows(&a, length, &SW_OPTIONS(sw_windows_options, .stride = length));
        assert_int_equal(sw_model_evaluate(model, NULL, s, sw_cross_entropy, &one), SW_OK);
        /* The last ids, fewer than a window, are left out: the mean of the others is compared, by their number. */
        const int64_t targets = s->n * length;
        sw_source *single = sw_windows(&a, 1, NULL);
        sw_source *same = sw_take(single, targets, NULL);
        assert_int_equal(sw_model_evaluate(model, NULL, same, sw_cross_entropy, &first), SW_OK);
        assert_true(fabs(one.loss - first.loss) <= 1e-12); /* sums of 5000 terms of about 2 */
        assert_true(fabs(one.accuracy - first.accuracy) <= 1e-15);
        sw_source_free(same), sw_source_free(single), sw_source_free(s);
    }
    sw_model_free(model);
    free(ids);
}

/* ---- Padded sequences ---- */

static sw_tensor loss_without_padding(sw_tensor logits, sw_tensor y) {
    return sw_cross_entropy_with_options(
        logits, y, &SW_OPTIONS(sw_cross_entropy_options, .ignore = true, .ignored_id = SW_NO_TARGET));
}

static const int32_t lengths[] = {3, 9, 2, 20, 16};
enum { SEQUENCES = 5, LONGEST = 20 };

static void check_padded(const sw_source *s, int64_t length, int32_t padding) {
    assert_int_equal(s->n, SEQUENCES);
    assert_int_equal(s->x_shape[0], length);
    for (int64_t i = 0, first = 0; i < SEQUENCES; first += lengths[i++]) {
        int32_t x[LONGEST], y[LONGEST];
        assert_int_equal(sw_source_gather(s, SW_F32, 0, &i, 1, x, y), SW_OK);
        for (int64_t k = 0; k < length; k++) {
            assert_int_equal(x[k], k < lengths[i] ? ids_i32[first + k] : padding);
            assert_int_equal(y[k], k + 1 < lengths[i] ? ids_i32[first + k + 1] : SW_NO_TARGET);
        }
    }
}

static void test_sequences_are_padded(void **state) {
    (void)state;
    const sw_array wide = array_of(SW_I32), narrow = array_of(SW_U8),
                   n = sw_array_view(lengths, SW_I32, SW_SHAPE(SEQUENCES));
    int64_t long_lengths[SEQUENCES];
    for (int i = 0; i < SEQUENCES; i++)
        long_lengths[i] = lengths[i];
    const sw_array long_n = sw_array_view(long_lengths, SW_I64, SW_SHAPE(SEQUENCES));
    sw_source *s = sw_padded_sequences(&wide, &n, NULL);
    check_padded(s, LONGEST, 0);
    assert_int_equal(s->classes, CLASSES);
    sw_source_free(s);
    s = sw_padded_sequences(&narrow, &long_n,
                            &SW_OPTIONS(sw_padded_sequences_options, .length = 11, .truncate = true,
                                        .padding_id = CLASSES, .classes = 12, .copy = true));
    check_padded(s, 11, CLASSES);
    assert_int_equal(s->classes, 12);
    sw_source_free(s);
}

static void test_labels_of_sequences_are_targets(void **state) {
    (void)state;
    static const unsigned char labels[] = {1, 0, 2, 2, 1};
    const sw_array ids = array_of(SW_I32), n = sw_array_view(lengths, SW_I32, SW_SHAPE(SEQUENCES)),
                   y = sw_array_view(labels, SW_U8, SW_SHAPE(SEQUENCES));
    sw_source *s = sw_padded_sequences(&ids, &n, &SW_OPTIONS(sw_padded_sequences_options, .labels = &y, .copy = true));
    assert_int_equal(s->y_rank, 0);
    assert_int_equal(s->classes, 3);
    for (int64_t i = 0; i < SEQUENCES; i++) {
        int32_t label;
        assert_int_equal(sw_source_gather(s, SW_F32, 0, &i, 1, NULL, &label), SW_OK);
        assert_int_equal(label, labels[i]);
    }
    sw_source *parts[2]; /* class ids, as those of other sources: the split is stratified */
    assert_int_equal(
        sw_split_source(s, 2, &SW_OPTIONS(sw_split_options, .counts = (const int64_t[]){2, 3}, .stratified = true),
                        parts),
        SW_OK);
    sw_source_free(parts[0]), sw_source_free(parts[1]), sw_source_free(s);
}

/* Padding changes neither the loss nor the accuracy nor the gradient: batches of one sequence without padding. */
static void test_padding_does_not_count(void **state) {
    (void)state;
    const sw_array ids = array_of(SW_I32), n = sw_array_view(lengths, SW_I32, SW_SHAPE(SEQUENCES));
    sw_source *s = sw_padded_sequences(&ids, &n, &SW_OPTIONS(sw_padded_sequences_options, .padding_id = CLASSES));
    sw_model *model = bigrams(SW_F64, CLASSES + 1, CLASSES);
    double loss = 0, hits = 0, targets = 0;
    sw_tape *tape = sw_tape_new();
    assert_int_equal(sw_tape_bind(tape, sw_model_params(model), NULL, NULL), SW_OK);
    for (int64_t i = 0, first = 0; i < SEQUENCES; first += lengths[i++]) {
        const sw_array x = sw_array_view(ids_i32 + first, SW_I32, SW_SHAPE(1, lengths[i]));
        const sw_array z = sw_value(sw_forward(sw_model_root(model), sw_input(tape, x)));
        for (int64_t k = 0; k + 1 < lengths[i]; k++, targets++)
            add_row(&z, k, CLASSES, ids_i32[first + k + 1], &loss, &hits);
    }
    sw_tape_free(tape);
    sw_evaluation e;
    assert_int_equal(sw_model_evaluate(model, NULL, s, loss_without_padding, &e), SW_OK);
    assert_true(fabs(e.loss - loss / targets) <= 1e-13); /* 45 terms of about 2 */
    assert_true(fabs(e.accuracy - hits / targets) <= 1e-15);
    sw_model_free(model);
    sw_source_free(s);
}

/* ---- Mistakes ---- */

static void check_windows(const sw_array *ids, int64_t length, const sw_windows_options *o, sw_status status,
                          const char *message) {
    count_memory(-1);
    assert_null(sw_windows(ids, length, o));
    check_memory();
    assert_string_equal(sw_error(), message);
    assert_int_equal(sw_error_status(), status);
    sw_clear_error();
}

static void test_mistakes_of_windows_are_errors(void **state) {
    (void)state;
    static const float real[3] = {0};
    static const int32_t negative[] = {1, 2, -3, 4};
    const sw_array ids = array_of(SW_I32), of_reals = sw_array_view(real, SW_F32, SW_SHAPE(3)),
                   table = sw_array_view(ids_i32, SW_I32, SW_SHAPE(5, 10)), none = {.type = SW_I32, .rank = 1},
                   below = sw_array_view(negative, SW_I32, SW_SHAPE(4));
    check_windows(NULL, 4, NULL, SW_ERR_ARGUMENT, "windows: ids is NULL");
    check_windows(&none, 4, NULL, SW_ERR_ARGUMENT, "windows: ids has no data");
    check_windows(&of_reals, 2, NULL, SW_ERR_TYPE, "windows: ids is f32; i32 or u8 is needed");
    check_windows(&table, 4, NULL, SW_ERR_SHAPE, "windows: ids [5,10] is not [n]");
    check_windows(&below, 2, NULL, SW_ERR_ARGUMENT, "windows: id -3 at position 2 of ids is outside 0 to 2147483646");
    check_windows(&ids, 4, &SW_OPTIONS(sw_windows_options, .classes = CLASSES - 1, .copy = true), SW_ERR_ARGUMENT,
                  "windows: id 6 at position 17 of ids is outside 0 to 5");
    check_windows(&ids, 4, &SW_OPTIONS(sw_windows_options, .classes = -1), SW_ERR_ARGUMENT,
                  "windows: -1 classes; 1 to 2^31 - 1, or 0 for the largest id + 1, are possible");
    check_windows(&ids, 0, NULL, SW_ERR_ARGUMENT,
                  "windows: length 0 and stride 0; a length of at least 1 is needed, and a stride of at least 1, or 0 "
                  "for 1");
    check_windows(&ids, 4, &SW_OPTIONS(sw_windows_options, .stride = -2), SW_ERR_ARGUMENT,
                  "windows: length 4 and stride -2; a length of at least 1 is needed, and a stride of at least 1, or 0 "
                  "for 1");
    check_windows(&ids, IDS, NULL, SW_ERR_SHAPE,
                  "windows: 50 ids; a window of 50 with its targets needs 51 (a shorter window?)");
}

static void check_sequences(const sw_array *n, const sw_padded_sequences_options *o, sw_status status,
                            const char *message) {
    const sw_array ids = array_of(SW_I32);
    count_memory(-1);
    assert_null(sw_padded_sequences(&ids, n, o));
    check_memory();
    assert_string_equal(sw_error(), message);
    assert_int_equal(sw_error_status(), status);
    sw_clear_error();
}

static void test_mistakes_of_sequences_are_errors(void **state) {
    (void)state;
    static const int32_t short_one[] = {3, 1}, negative[] = {3, -5}, large[] = {40, 11}, few[] = {40, 9};
    static const int32_t labels[] = {1, 2, 3};
    const sw_array n = sw_array_view(lengths, SW_I32, SW_SHAPE(SEQUENCES)),
                   bytes_of = sw_array_view(ids_u8, SW_U8, SW_SHAPE(4)),
                   none = sw_array_view(lengths, SW_I32, SW_SHAPE(0)),
                   three = sw_array_view(labels, SW_I32, SW_SHAPE(3));
    const sw_array one = sw_array_view(short_one, SW_I32, SW_SHAPE(2)),
                   minus = sw_array_view(negative, SW_I32, SW_SHAPE(2)),
                   over = sw_array_view(large, SW_I32, SW_SHAPE(2)), under = sw_array_view(few, SW_I32, SW_SHAPE(2));
    check_sequences(NULL, NULL, SW_ERR_ARGUMENT, "padded_sequences: lengths is NULL");
    check_sequences(&bytes_of, NULL, SW_ERR_TYPE, "padded_sequences: the lengths are u8; i32 or i64 is needed");
    check_sequences(&none, NULL, SW_ERR_SHAPE, "padded_sequences: lengths [0] is not [n] with n ≥ 1");
    check_sequences(&one, NULL, SW_ERR_ARGUMENT,
                    "padded_sequences: length 1 of sequence 1; 2 to the 47 ids that follow the other sequences are "
                    "possible");
    check_sequences(&minus, NULL, SW_ERR_ARGUMENT,
                    "padded_sequences: length -5 of sequence 1; 2 to the 47 ids that follow the other sequences are "
                    "possible");
    check_sequences(&over, NULL, SW_ERR_ARGUMENT,
                    "padded_sequences: length 11 of sequence 1; 2 to the 10 ids that follow the other sequences are "
                    "possible");
    check_sequences(&under, NULL, SW_ERR_ARGUMENT, "padded_sequences: the lengths add up to 49, and there are 50 ids");
    check_sequences(&n, &SW_OPTIONS(sw_padded_sequences_options, .length = 19), SW_ERR_ARGUMENT,
                    "padded_sequences: sequence 3 has 20 ids, more than `length`, 19 (option truncate)");
    check_sequences(&n, &SW_OPTIONS(sw_padded_sequences_options, .padding_id = -1), SW_ERR_ARGUMENT,
                    "padded_sequences: length 0 and padding id -1; both must be at least 0");
    check_sequences(&n, &SW_OPTIONS(sw_padded_sequences_options, .labels = &three, .copy = true), SW_ERR_SHAPE,
                    "padded_sequences: 3 labels for 5 sequences");
    check_sequences(&n, &SW_OPTIONS(sw_padded_sequences_options, .labels = &three, .classes = 3), SW_ERR_ARGUMENT,
                    "padded_sequences: id 3 at position 2 of labels is outside 0 to 2");
}

static void test_every_failed_allocation_is_survived(void **state) {
    (void)state;
    static const unsigned char labels[SEQUENCES] = {1, 0, 2, 2, 1};
    const sw_array ids = array_of(SW_I32), n = sw_array_view(lengths, SW_I32, SW_SHAPE(SEQUENCES)),
                   y = sw_array_view(labels, SW_U8, SW_SHAPE(SEQUENCES));
    for (int64_t k = 0;; k++) {
        count_memory(k);
        sw_source *w = sw_windows(&ids, 4, &SW_OPTIONS(sw_windows_options, .copy = true));
        sw_source *p =
            w ? sw_padded_sequences(&ids, &n, &SW_OPTIONS(sw_padded_sequences_options, .labels = &y, .copy = true))
              : NULL;
        const bool ok = p != NULL;
        sw_source_free(w), sw_source_free(p);
        check_memory();
        if (ok) {
            assert_int_equal(k, 6); /* the two sources, the copies of ids and labels, the beginnings */
            assert_null(sw_error());
            return;
        }
        check_error(SW_ERR_MEMORY, "", "memory");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_windows_are_ids_and_the_ids_that_follow),
        cmocka_unit_test(test_copies_do_not_read_the_callers_array),
        cmocka_unit_test(test_loaders_and_subsets_return_ids),
        cmocka_unit_test(test_transforms_of_numbers_refuse_ids),
        cmocka_unit_test(test_shorter_sources_have_numbers),
        cmocka_unit_test(test_objectives_and_evaluations_take_windows),
        cmocka_unit_test(test_evaluations_of_long_windows_are_means_of_all_ids),
        cmocka_unit_test(test_sequences_are_padded),
        cmocka_unit_test(test_labels_of_sequences_are_targets),
        cmocka_unit_test(test_padding_does_not_count),
        cmocka_unit_test(test_mistakes_of_windows_are_errors),
        cmocka_unit_test(test_mistakes_of_sequences_are_errors),
        cmocka_unit_test(test_every_failed_allocation_is_survived),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
