/* A saved run that does not fit, or is damaged, is refused; one message reports every mismatch, and nothing changes.
 * Further tests: the options that are read from the file, and every allocation that fails in turn. */
#include "saved_runs.h"

static void expect_refused(const char *path, sw_dtype type, const sw_optim_options *how, const char *faults) {
    run r;
    char text[PATH_SIZE + 2400];
    assert_true(open_run(&r, type, true, how));
    assert_int_equal(go(&r, 1), SW_OK);
    bytes before = read_file(save(&r, "before"));
    if (sw_optim_load(r.o, path) == SW_OK)
        fail_msg("expected: %s", faults);
    snprintf(text, sizeof text, "%s: %s", path, faults);
    expect_error(SW_ERR_FORMAT, text);
    check_file(save(&r, "before"), before.at, before.size);
    free(before.at);
    remove_file(path_of("before"));
    close_run(&r);
}

static void test_load_names_every_mismatch(void **state) {
    (void)state;
    run r;
    char path[PATH_SIZE + NAME_SIZE], other[sizeof path]; /* path_of has a few buffers */
    snprintf(path, sizeof path, "%s", path_of("misfit"));
    snprintf(other, sizeof other, "%s", path_of("other"));
    assert_true(open_run(&r, SW_F32, true, HOW(.rule = "adam", .estimator = "minibatch batch=5", .average = "ema")));
    assert_int_equal(go(&r, 2), SW_OK);
    save(&r, "misfit");
    expect_refused(
        path, SW_F64,
        &(const sw_optim_options){.size = sizeof(sw_optim_options),
                                  .seed = 12,
                                  .estimator = "minibatch batch=4",
                                  .rule = "rank=2: sgd momentum=0.5 nesterov; adam"},
        "does not fit the optimizer: rule is \"rank=2: sgd nesterov=1; adam\" here and \"adam\" in the file; "
        "estimator is \"minibatch batch=4\" here and \"minibatch batch=5\" in the file; average is \"none\" "
        "here and \"ema\" in the file; the seed is 12 here and 11 in the file; "
        "x.w is f64 [2,3] here and f32 [2,3] in the file; x.b is f64 [2] here and f32 [2] in the file");
    sw_archive *a = sw_archive_load(path), *b = sw_archive_new();
    for (int i = 0; i < sw_archive_count(a); i++) { /* without one array, with another, one of another shape */
        sw_archive_item item = sw_archive_at(a, i);
        if (strcmp(item.name, "optim.slot.w.m") == 0)
            item.array.shape[0] = 3, item.array.shape[1] = 2;
        if (strcmp(item.name, "optim.average.ema") != 0)
            sw_archive_put(b, item.name, item.array);
    }
    for (int i = 0; i < sw_archive_text_count(a); i++)
        sw_archive_set_text(b, sw_archive_text_key(a, i), sw_archive_text(a, sw_archive_text_key(a, i)));
    sw_archive_put_copy(b, "optim.slot.w.u", sw_archive_get(a, "optim.slot.w.v"));
    assert_int_equal(sw_archive_save(b, other), SW_OK);
    sw_archive_free(b);
    const sw_optim_options *same =
        HOW(.rule = "adam lr=0.5", .estimator = "minibatch batch=5", .average = "ema decay=0.5");
    expect_refused(other, SW_F32, same,
                   "does not fit the optimizer: slot.w.m is f32 [2,3] here and f32 [3,2] in the "
                   "file; average.ema is missing; slot.w.u is not expected");
    b = sw_archive_new(); /* state in 16 bits: a resumed run could not have the bits of an uninterrupted one */
    for (int i = 0; i < sw_archive_count(a); i++) {
        const sw_archive_item item = sw_archive_at(a, i);
        const bool half = strcmp(item.name, "optim.slot.w.m") == 0 || strcmp(item.name, "optim.x.b") == 0;
        sw_archive_put_as(b, item.name, item.array, half ? SW_BF16 : item.array.type);
    }
    for (int i = 0; i < sw_archive_text_count(a); i++)
        sw_archive_set_text(b, sw_archive_text_key(a, i), sw_archive_text(a, sw_archive_text_key(a, i)));
    assert_int_equal(sw_archive_save(b, other), SW_OK);
    sw_archive_free(b);
    expect_refused(other, SW_F32, same,
                   "does not fit the optimizer: slot.w.m is f32 [2,3] here and bf16 [2,3] in the file; "
                   "x.b is f32 [2] here and bf16 [2] in the file");
    ((float *)sw_archive_get(a, "optim.slot.w.m").data)[1] += 1;
    assert_int_equal(sw_archive_save(a, other), SW_OK);
    expect_refused(other, SW_F32, same, "damaged: the checksum does not match the state");
    sw_archive_set_text(a, "optim.format", "2");
    assert_int_equal(sw_archive_save(a, other), SW_OK);
    expect_refused(other, SW_F32, same, "an optimizer's state in format 2; this version of swale reads 1");
    assert_int_equal(sw_params_save(r.p.params, other), SW_OK);
    expect_refused(other, SW_F32, same,
                   "contains no state of an optimizer: sw_params_load loads a file with only parameters");
    sw_archive_free(a);
    remove_file(other);
    remove_file(path);
    close_run(&r);
    expect_no_error();
}

/* Tables of an estimator are there when it is bound. */
static sw_params *params_of(int count, const char *const *names, const int64_t *rows) {
    sw_params *params = sw_params_new(SW_F32, 3);
    for (int i = 0; i < count; i++)
        sw_params_add(params, names[i], 2, (int64_t[]){rows[i], 3}, NULL);
    assert_int_equal(sw_params_build(params), SW_OK);
    return params;
}

/* A file of another network names the first parameter that differs, and not each array of the state. */
static void test_load_names_another_network(void **state) {
    (void)state;
    static const struct {
        int count;
        const char *names[3];
        int64_t rows[3];
        const char *message;
    } other[] = {
        {2, {"a", "b"}, {4, 7}, "parameter b is [5,3] here and [7,3] in the file"},
        {2, {"a", "b"}, {2, 7}, "parameter a is [4,3] here and [2,3] in the file, and 1 more differ"},
        {1, {"a"}, {4}, "parameter b [5,3] is not in the file"},
        {3, {"a", "b", "c"}, {4, 5, 6}, "parameter c [6,3] is only in the file"},
        {3, {"x", "y", "z"}, {4, 5, 6}, "parameter a [4,3] is not in the file, and 4 more differ"},
    };
    char path[PATH_SIZE + NAME_SIZE], text[2 * sizeof path];
    snprintf(path, sizeof path, "%s", path_of("network"));
    sw_params *params = params_of(2, (const char *const[]){"a", "b"}, (const int64_t[]){4, 5});
    sw_optim *optim = sw_optim_new(params, "adam");
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        sw_params *theirs = params_of(other[i].count, other[i].names, other[i].rows);
        sw_optim *saved = sw_optim_new(theirs, "adam");
        assert_int_equal(sw_optim_save(saved, path), SW_OK);
        sw_optim_free(saved);
        sw_params_free(theirs);
        assert_int_not_equal(sw_optim_load(optim, path), SW_OK);
        snprintf(text, sizeof text, "%s: does not fit the optimizer: the file is of another network: %s", path,
                 other[i].message);
        expect_error(SW_ERR_FORMAT, text);
    }
    sw_optim_free(optim);
    sw_params_free(params);
    remove_file(path);
}

static void test_load_needs_a_bound_estimator_for_its_tables(void **state) {
    (void)state;
    run r, s;
    char text[PATH_SIZE + 200];
    const char *path = path_of("bound");
    const sw_optim_options *how = HOW(.rule = "sgd", .estimator = "minibatch batch=5");
    assert_true(open_run(&r, SW_F32, true, how));
    save(&r, "bound");
    open_problem(&s.p, SW_F32, true);
    s.o = sw_optim_new_with_options(s.p.params, how);
    assert_int_equal(sw_optim_load(s.o, path), SW_ERR_STATE);
    snprintf(text, sizeof text,
             "%s: holds the state of an estimator: call sw_optim_bind with the objective before "
             "loading",
             path);
    expect_error(SW_ERR_STATE, text);
    save(&s, "bound");
    assert_int_equal(sw_optim_load(s.o, path), SW_OK);
    assert_int_equal(sw_optim_load(r.o, path), SW_ERR_STATE);
    snprintf(text, sizeof text,
             "%s: saved before an objective was bound, but this optimizer has one: load before sw_optim_bind", path);
    expect_error(SW_ERR_STATE, text);
    close_run(&s);
    open_problem(&s.p, SW_F32, true);
    s.p.f.n = N - 1;
    s.o = sw_optim_new_with_options(s.p.params, how);
    assert_int_equal(sw_optim_bind(s.o, &s.p.f), SW_OK);
    save(&r, "bound");
    assert_int_equal(sw_optim_load(s.o, path), SW_ERR_FORMAT);
    snprintf(text, sizeof text, "%s: does not fit the optimizer: the objective has 11 samples here and 12 in the file",
             path);
    expect_error(SW_ERR_FORMAT, text);
    remove_file(path);
    close_run(&r), close_run(&s);
    assert_int_equal(sw_optim_save(NULL, path), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "optim_save: the optimizer is NULL");
    assert_int_equal(sw_optim_load(NULL, path), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "optim_load: the optimizer is NULL");
    assert_int_equal(sw_optim_pack(NULL, NULL), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "optim_pack: the optimizer is NULL");
}

/* Cut off or with a bit turned, a file is refused and changes nothing: no number of the state may be another.
 */
static void test_damaged_file_is_refused(void **state) {
    (void)state;
    run r;
    int refused = 0;
    assert_true(open_run(&r, SW_F32, true, HOW(.rule = "sgd momentum=0.5", .estimator = "minibatch batch=5")));
    assert_int_equal(go(&r, 3), SW_OK);
    bytes good = read_file(save(&r, "good"));
    uint64_t length = 0;
    memcpy(&length, good.at, 8);
    const size_t data = 8 + (size_t)length;
    for (size_t i = 0; i < good.size; i += i < data ? 7 : 1) { /* all of the data, some of the header */
        good.at[i] ^= (unsigned char)(1u << i % 8);
        const char *path = write_file("bad", good.at, good.size);
        const sw_status status = sw_optim_load(r.o, path);
        good.at[i] ^= (unsigned char)(1u << i % 8);
        if (status == SW_OK)
            fail_msg("byte %zu of %zu", i, good.size);
        assert_int_equal(strncmp(sw_error(), path, strlen(path)), 0);
        sw_clear_error();
        remove_file(path);
        refused++;
    }
    assert_true(refused > 200);
    check_file(save(&r, "good"), good.at, good.size);
    free(good.at);
    remove_file(path_of("good"));
    close_run(&r);
}

/* Also where an option was asked for before loading. */
static void test_options_stay_those_of_the_program(void **state) {
    (void)state;
    for (int asked = 0; asked < 2; asked++) {
        run r, s;
        assert_true(open_run(&r, SW_F64, true, HOW(.rule = "sgd lr=0.5 weight_decay=0.25")));
        assert_int_equal(go(&r, 2), SW_OK);
        const char *path = save(&r, "options");
        assert_true(open_run(&s, SW_F64, true, HOW(.rule = "sgd lr=0.01 weight_decay=0.125")));
        assert_true(!asked || sw_optim_option(s.o, 0, "lr") == 0.01);
        assert_int_equal(sw_optim_load(s.o, path), SW_OK);
        assert_true(sw_optim_option(s.o, 0, "lr") == 0.5); /* of the last step */
        assert_int_equal(go(&s, 1), SW_OK);
        assert_true(sw_optim_option(s.o, 0, "lr") == 0.01 && sw_optim_option(s.o, 0, "weight_decay") == 0.125);
        remove_file(path);
        close_run(&r);
        close_run(&s);
    }
}

static void test_saving_and_loading_survive_every_failed_allocation(void **state) {
    (void)state;
    test_allocator memory;
    const sw_optim_options *how = HOW(.rule = "adam", .estimator = "minibatch batch=5", .average = "ema");
    for (int loading = 0; loading < 2; loading++) {
        bool done = false;
        for (long long k = 1; !done; k++) {
            run r;
            test_all_memory(&memory);
            assert_true(open_run(&r, SW_F32, true, how));
            assert_int_equal(go(&r, 2), SW_OK);
            sw_archive *a = sw_archive_new();
            if (loading)
                assert_int_equal(sw_optim_pack(r.o, a), SW_OK);
            test_allocator_fail(&memory, k, false);
            sw_status status = loading ? sw_optim_unpack(r.o, a) : sw_optim_pack(r.o, a);
            done = status == SW_OK;
            assert_int_equal(done, !memory.failed);
            assert_int_equal(status, done ? SW_OK : SW_ERR_MEMORY);
            sw_clear_error();
            if (!loading && !done) { /* what is not complete is not saved */
                assert_int_equal(sw_archive_save(a, path_of("partial")), SW_ERR_STATE);
                sw_clear_error();
            }
            sw_archive_free(a);
            close_run(&r);
            assert_int_equal(memory.live, 0);
            test_all_memory(NULL);
        }
    }
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup(name, test_clear)
    const struct CMUnitTest tests[] = {
        TEST(test_load_names_every_mismatch),
        TEST(test_load_names_another_network),
        TEST(test_load_needs_a_bound_estimator_for_its_tables),
        TEST(test_damaged_file_is_refused),
        TEST(test_options_stay_those_of_the_program),
        TEST(test_saving_and_loading_survive_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
