/* Subsets and splits: which samples they have, how many, each exactly once, and who frees the source. */
#include "helpers.h"

/* x = id·10 and id·10 + 1, y = class_of(id); remembers what it was asked to prefetch. */
typedef struct numbers {
    sw_source source;
    int64_t asked[300], asked_count;
    int freed;
} numbers;

static int class_of(int64_t id) {
    return id % 10 == 0 ? 2 : id % 3 == 0 ? 1 : 0; /* rare, less rare, frequent */
}

static sw_status gather(const sw_source *source, const int64_t *ids, int64_t count, uint64_t draw, sw_dtype type,
                        void *x, void *y) {
    (void)source;
    for (int64_t i = 0; i < count; i++) {
        for (int j = 0; j < 2 && x; j++) {
            const double value = (double)(ids[i] * 10 + j) + (double)draw * 1e6;
            if (type == SW_F32)
                ((float *)x)[2 * i + j] = (float)value;
            else
                ((double *)x)[2 * i + j] = value;
        }
        if (y)
            ((int32_t *)y)[i] = class_of(ids[i]);
    }
    return SW_OK;
}

static void prefetch(const sw_source *source, const int64_t *ids, int64_t count) {
    numbers *s = (numbers *)(uintptr_t)source;
    assert_true(s->asked_count + count <= 300);
    memcpy(s->asked + s->asked_count, ids, (size_t)count * sizeof *ids);
    s->asked_count += count;
}

static void count_free(sw_source *source) {
    ((numbers *)source)->freed++;
}

static numbers new_numbers(int64_t n) {
    return (numbers){.source = {.size = sizeof(sw_source),
                                .n = n,
                                .x_rank = 1,
                                .x_shape = {2},
                                .y_type = SW_I32,
                                .classes = 3,
                                .gather = gather,
                                .prefetch = prefetch,
                                .free = count_free}};
}

/* The ids of the wrapped source behind samples 0 to n - 1, by their values. */
static void ids_of(const sw_source *part, int64_t *out) {
    for (int64_t i = 0; i < part->n; i++) {
        double x[2];
        int32_t y;
        assert_int_equal(sw_source_gather(part, SW_F64, 0, &i, 1, x, &y), SW_OK);
        out[i] = (int64_t)x[0] / 10;
        assert_true(x[1] == x[0] + 1);
        assert_int_equal(y, class_of(out[i]));
    }
}

static const sw_wrap_options owning = {.size = sizeof owning, .owns_source = true};

/* ---- Subsets ---- */

static void test_subset_holds_its_ids(void **state) {
    (void)state;
    enum { COUNT = 150 };
    numbers s = new_numbers(1000);
    int64_t ids[COUNT], at[COUNT], got[COUNT];
    for (int i = 0; i < COUNT; i++) {
        ids[i] = (i * 577 + 3) % 1000;
        at[i] = (i * 7) % COUNT;
    }
    ids[5] = ids[4]; /* twice */
    sw_source *part = sw_subset(&s.source, ids, COUNT, NULL);
    assert_non_null(part);
    assert_int_equal(part->n, COUNT);
    assert_int_equal(part->classes, 3);
    ids_of(part, got);
    assert_memory_equal(got, ids, sizeof ids);
    /* Many at once, in both types, with the draw, with either output left out. */
    double x[2 * COUNT];
    float f[2 * COUNT];
    int32_t y[COUNT], z[COUNT];
    assert_int_equal(part->gather(part, at, COUNT, 3, SW_F64, x, y), SW_OK);
    assert_int_equal(part->gather(part, at, COUNT, 3, SW_F32, f, NULL), SW_OK);
    assert_int_equal(part->gather(part, at, COUNT, 3, SW_F32, NULL, z), SW_OK);
    for (int i = 0; i < COUNT; i++) {
        assert_true(x[2 * i] == (double)(ids[at[i]] * 10) + 3e6);
        assert_true(f[2 * i + 1] == (float)(x[2 * i] + 1));
        assert_true(y[i] == class_of(ids[at[i]]) && z[i] == y[i]);
    }
    part->prefetch(part, at, COUNT);
    assert_int_equal(s.asked_count, COUNT);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(s.asked[i], ids[at[i]]);
    sw_source_free(part);
    assert_int_equal(s.freed, 0);
    s.source.prefetch = NULL;
    part = sw_subset(&s.source, ids, COUNT, NULL);
    assert_null(part->prefetch);
    sw_source_free(part);
}

static void test_take_holds_the_first_samples(void **state) {
    (void)state;
    numbers s = new_numbers(20);
    int64_t got[20];
    sw_source *part = sw_take(&s.source, 7, NULL);
    assert_int_equal(part->n, 7);
    ids_of(part, got);
    for (int i = 0; i < 7; i++)
        assert_int_equal(got[i], i);
    const int64_t at[2] = {5, 1};
    part->prefetch(part, at, 2);
    assert_memory_equal(s.asked, at, sizeof at);
    sw_source_free(part);
    part = sw_take(&s.source, 20, NULL);
    assert_int_equal(part->n, 20);
    sw_source_free(part);
}

static void test_owned_source_is_freed_once(void **state) {
    (void)state;
    numbers s = new_numbers(20);
    const int64_t ids[3] = {3, 9, 4};
    int64_t got[2];
    sw_source *part = sw_take(sw_subset(&s.source, ids, 3, &owning), 2, &owning);
    ids_of(part, got);
    assert_memory_equal(got, ids, sizeof got);
    sw_source_free(part);
    assert_int_equal(s.freed, 1);
    assert_null(sw_subset(&s.source, ids, 0, &owning)); /* freed, although it failed */
    check_error(SW_ERR_ARGUMENT, "subset: 0 ids", "at least 1 is needed");
    assert_int_equal(s.freed, 2);
    assert_null(sw_take(&s.source, 21, &owning));
    check_error(SW_ERR_ARGUMENT, "take: 21 samples", "outside 1 to 20");
    assert_int_equal(s.freed, 3);
}

static void test_refuses_wrong_arguments(void **state) {
    (void)state;
    numbers s = new_numbers(20);
    const int64_t high[2] = {3, 20}, low[2] = {-1, 3};
    assert_null(sw_subset(&s.source, high, 2, NULL));
    check_error(SW_ERR_ARGUMENT, "subset: ids[1] is 20", "outside 0 to 19");
    assert_null(sw_subset(&s.source, low, 2, NULL));
    check_error(SW_ERR_ARGUMENT, "subset: ids[0] is -1", "outside 0 to 19");
    assert_null(sw_subset(NULL, low, 2, NULL));
    check_error(SW_ERR_ARGUMENT, "subset: the source", "is NULL");
    assert_null(sw_subset(&s.source, NULL, 2, NULL));
    check_error(SW_ERR_ARGUMENT, "subset: 0 ids", NULL);
    assert_null(sw_take(&s.source, 0, NULL));
    check_error(SW_ERR_ARGUMENT, "take: 0 samples", "1 to 20");
    assert_null(sw_take(&s.source, 1, &(sw_wrap_options){.owns_source = true}));
    check_error(SW_ERR_ARGUMENT, "take: options.size is 0", "sw_wrap_options");
    assert_null(sw_subset(&s.source, high, 1, &(sw_wrap_options){.owns_source = true}));
    check_error(SW_ERR_ARGUMENT, "subset: options.size is 0", "sw_wrap_options");
    assert_int_equal(s.freed, 0);
}

/* ---- Splits ---- */

enum { MOST = 1000 };

/* Every id in exactly one part, counts as they should be. */
static void check_parts(sw_source **part, int parts, int64_t n, const int64_t *count, int64_t *ids) {
    bool seen[MOST] = {false};
    int64_t at = 0;
    for (int p = 0; p < parts; p++) {
        assert_non_null(part[p]);
        assert_int_equal(part[p]->n, count[p]);
        ids_of(part[p], ids + at);
        for (int64_t i = at; i < at + count[p]; i++) {
            assert_true(ids[i] >= 0 && ids[i] < n);
            assert_false(seen[ids[i]]);
            seen[ids[i]] = true;
        }
        at += count[p];
    }
    assert_int_equal(at, n);
}

static void free_parts(sw_source **part, int parts) {
    for (int p = 0; p < parts; p++)
        sw_source_free(part[p]);
}

static void test_split_puts_every_sample_in_one_part(void **state) {
    (void)state;
    static const struct {
        int64_t n;
        int parts;
        double fraction[4];
        int64_t count[4];
    } cases[] = {
        {1000, 2, {0.8, 0.2}, {800, 200}},
        {1000, 3, {0.7, 0.2, 0.1}, {700, 200, 100}},
        {10, 3, {1. / 3, 1. / 3, 1. / 3}, {4, 3, 3}}, /* equal remainders: the first */
        {11, 2, {0.75, 0.25}, {8, 3}},                /* 8.25 and 2.75: the larger remainder */
        {7, 4, {0.4, 0.3, 0.2, 0.1}, {3, 2, 1, 1}},   /* 2.8, 2.1, 1.4, 0.7 */
        {5, 1, {1}, {5}},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++)
        for (int stratified = 0; stratified < 2; stratified++)
            for (int by_count = 0; by_count < 2; by_count++) {
                numbers s = new_numbers(cases[k].n);
                int64_t ids[MOST];
                sw_source *part[4];
                const sw_split_options o = {.size = sizeof o,
                                            .stratified = stratified != 0,
                                            .seed = k,
                                            .fractions = by_count ? NULL : cases[k].fraction,
                                            .counts = by_count ? cases[k].count : NULL};
                assert_int_equal(sw_split_source(&s.source, cases[k].parts, &o, part), SW_OK);
                check_parts(part, cases[k].parts, cases[k].n, cases[k].count, ids);
                free_parts(part, cases[k].parts);
                assert_int_equal(s.freed, 0);
            }
}

/* Every class within 1 of its share for two parts, 2 for more, whatever the counts. */
static void test_stratified_parts_have_the_fractions_of_every_class(void **state) {
    (void)state;
    uint64_t random = 1;
    double worst[2] = {0, 0};
    for (int trial = 0; trial < 200; trial++) {
        const int parts = 2 + trial % 5;
        const int64_t n = 60 + trial * 4;
        int64_t count[6], left = n, ids[MOST], members[3] = {0};
        for (int p = 0; p < parts; p++) { /* of any size, at least 1 */
            random = random * 6364136223846793005u + 1442695040888963407u;
            const int64_t most = left - (parts - 1 - p);
            count[p] = p == parts - 1 ? left : 1 + (int64_t)((random >> 33) % (uint64_t)most);
            left -= count[p];
        }
        for (int64_t i = 0; i < n; i++)
            members[class_of(i)]++;
        numbers s = new_numbers(n);
        sw_source *part[6];
        const sw_split_options o = {.size = sizeof o, .stratified = true, .counts = count, .seed = (uint64_t)trial};
        assert_int_equal(sw_split_source(&s.source, parts, &o, part), SW_OK);
        check_parts(part, parts, n, count, ids);
        for (int p = 0, at = 0; p < parts; at += (int)count[p++]) {
            int64_t has[3] = {0};
            for (int64_t i = at; i < at + count[p]; i++)
                has[class_of(ids[i])]++;
            for (int c = 0; c < 3; c++) {
                const double share = (double)members[c] * (double)count[p] / (double)n;
                const double off = fabs((double)has[c] - share);
                assert_true(off <= (parts == 2 ? 1 : 2));
                worst[parts > 2] = off > worst[parts > 2] ? off : worst[parts > 2];
            }
        }
        free_parts(part, parts);
    }
    assert_true(worst[0] > 0 && worst[1] > 0);
}

static void test_seed_decides_a_random_split(void **state) {
    (void)state;
    for (int stratified = 0; stratified < 2; stratified++) {
        numbers s = new_numbers(500);
        const int64_t count[2] = {400, 100};
        int64_t ids[3][MOST];
        for (int k = 0; k < 3; k++) {
            sw_source *part[2];
            const sw_split_options o = {
                .size = sizeof o, .counts = count, .seed = k == 2 ? 5 : 4, .stratified = stratified != 0};
            assert_int_equal(sw_split_source(&s.source, 2, &o, part), SW_OK);
            check_parts(part, 2, 500, count, ids[k]);
            free_parts(part, 2);
        }
        assert_memory_equal(ids[0], ids[1], 500 * sizeof(int64_t));
        assert_memory_not_equal(ids[0], ids[2], 500 * sizeof(int64_t));
        /* Mean place of part 1's samples in the source, and of part 0's first hundred: uniform, so
         * 249.5 within 5·500/√(12·100). */
        double mean[2] = {0, 0};
        for (int i = 0; i < 100; i++) {
            mean[0] += (double)ids[0][i] / 100;
            mean[1] += (double)ids[0][400 + i] / 100;
        }
        for (int p = 0; p < 2; p++)
            assert_true(fabs(mean[p] - 249.5) < 5 * 500 / sqrt(1200));
    }
}

static void test_last_part_frees_the_source(void **state) {
    (void)state;
    for (int last = 0; last < 3; last++) {
        numbers s = new_numbers(30);
        const double fraction[3] = {0.5, 0.3, 0.2};
        sw_source *part[3];
        const sw_split_options o = {.size = sizeof o, .fractions = fraction, .owns_source = true};
        assert_int_equal(sw_split_source(&s.source, 3, &o, part), SW_OK);
        for (int p = 0; p < 3; p++)
            if (p != last)
                sw_source_free(part[p]);
        assert_int_equal(s.freed, 0);
        sw_source_free(part[last]);
        assert_int_equal(s.freed, 1);
    }
}

static void test_refuses_wrong_splits(void **state) {
    (void)state;
    numbers s = new_numbers(20);
    sw_source *part[3] = {NULL};
    const double half[2] = {0.5, 0.4}, negative[2] = {1.5, -0.5}, tiny[2] = {0.999, 0.001};
    const int64_t few[2] = {10, 9}, many[2] = {20, 1}, none[2] = {20, 0}, good[2] = {10, 10};
    const struct {
        sw_split_options o;
        const char *text, *part;
    } cases[] = {
        {{.fractions = half}, "split: the fractions add up", "0.9, not 1"},
        {{.fractions = negative}, "split: fractions[0] is 1.5", "outside (0, 1]"},
        {{.fractions = tiny}, "split: part 1, 0.001 of 20", "would be empty"},
        {{.counts = few}, "split: the counts add up", "less than 20"},
        {{.counts = many}, "split: the counts add up", "more than 20"},
        {{.counts = none}, "split: counts[1] is 0", "outside 1 to 20"},
        {{.counts = good, .fractions = half}, "split: one of fractions and counts", "both are given"},
        {{.seed = 1}, "split: one of fractions and counts", "neither is given"},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        sw_split_options o = cases[k].o;
        o.size = sizeof o;
        part[0] = part[1] = &s.source;
        assert_int_equal(sw_split_source(&s.source, 2, &o, part), SW_ERR_ARGUMENT);
        check_error(SW_ERR_ARGUMENT, cases[k].text, cases[k].part);
        assert_true(!part[0] && !part[1]);
        o.owns_source = true;
        s.freed = 0;
        assert_int_equal(sw_split_source(&s.source, 2, &o, part), SW_ERR_ARGUMENT);
        sw_clear_error();
        assert_int_equal(s.freed, 1);
    }
    const sw_split_options o = {.size = sizeof o, .counts = good, .stratified = true};
    assert_int_equal(sw_split_source(&s.source, 0, &o, part), SW_ERR_ARGUMENT);
    check_error(SW_ERR_ARGUMENT, "split: 0 parts", "of 20 samples");
    assert_int_equal(sw_split_source(NULL, 2, &o, part), SW_ERR_ARGUMENT);
    check_error(SW_ERR_ARGUMENT, "split: the source", "is NULL");
    assert_int_equal(sw_split_source(&s.source, 2, NULL, part), SW_ERR_ARGUMENT);
    check_error(SW_ERR_ARGUMENT, "split: options", "are NULL");
    assert_int_equal(sw_split_source(&s.source, 2, &o, NULL), SW_ERR_ARGUMENT);
    check_error(SW_ERR_ARGUMENT, "split: out", "is NULL");
    s.source.classes = 2; /* there are three */
    assert_int_equal(sw_split_source(&s.source, 2, &o, part), SW_ERR_ARGUMENT);
    check_error(SW_ERR_ARGUMENT, "split: the class of sample", "is 2, outside 0 to 1");
    s.source.classes = 0;
    assert_int_equal(sw_split_source(&s.source, 2, &o, part), SW_ERR_ARGUMENT);
    check_error(SW_ERR_ARGUMENT, "split: stratified", "no class ids");
}

static void test_subset_survives_every_failed_allocation(void **state) {
    (void)state;
    const double fraction[3] = {0.5, 0.3, 0.2};
    const int64_t ids[2] = {3, 1};
    for (int what = 0; what < 3; what++) {
        bool ok = false;
        int64_t k = 0;
        for (; !ok; k++) {
            numbers s = new_numbers(30);
            sw_source *part[3] = {NULL};
            const sw_split_options o = {
                .size = sizeof o, .fractions = fraction, .owns_source = true, .stratified = true};
            count_memory(k);
            if (what == 0)
                ok = sw_split_source(&s.source, 3, &o, part) == SW_OK;
            else
                ok = (part[0] = what == 1 ? sw_subset(&s.source, ids, 2, &owning) : sw_take(&s.source, 3, &owning)) !=
                     NULL;
            if (!ok)
                check_error(SW_ERR_MEMORY, "out of memory", NULL);
            assert_int_equal(s.freed, !ok);
            free_parts(part, 3);
            assert_int_equal(s.freed, 1);
            check_memory();
        }
        assert_int_equal(k - 1, what == 0 ? 13 : what == 1 ? 3 : 2);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_subset_holds_its_ids),
        cmocka_unit_test(test_take_holds_the_first_samples),
        cmocka_unit_test(test_owned_source_is_freed_once),
        cmocka_unit_test(test_refuses_wrong_arguments),
        cmocka_unit_test(test_split_puts_every_sample_in_one_part),
        cmocka_unit_test(test_stratified_parts_have_the_fractions_of_every_class),
        cmocka_unit_test(test_seed_decides_a_random_split),
        cmocka_unit_test(test_last_part_frees_the_source),
        cmocka_unit_test(test_refuses_wrong_splits),
        cmocka_unit_test(test_subset_survives_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
