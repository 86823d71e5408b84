/* fashion_mnist in f16 and bf16: files of weights, resumed runs, memory. */
#include "fashion_data.h"

#include <swale/archive.h>

static const char *const types[2] = {"f16", "bf16"};
static const char *const stored[2] = {"F16", "BF16"};

/* Every array of the file has this type. */
static void check_types(const char *path, const char *type) {
    sw_archive *a = sw_archive_load(path);
    assert_int_equal(sw_archive_count(a), 4);
    for (int i = 0; i < 4; i++)
        assert_string_equal(sw_archive_at(a, i).stored, type);
    sw_archive_free(a);
}

static void loads_as(const char *path, const char *type, const output *trained) {
    char loss[64];
    snprintf(loss, sizeof loss, "\ntest_loss %.6f\n", result(trained, "test_loss"));
    output o = FASHION("--data", data, "--quiet", "--load", path, "--dtype", type);
    says(&o, 0, loss, NULL);
}

/* The masters are saved in f32. Weights that are saved in 16 bits are those that the network reads: the loss is the
 * same. */
static void test_weights_are_saved_in_f32_or_in_16_bits(void **state) {
    (void)state;
    const char *masters = lasting_path("masters.safetensors"), *half = lasting_path("half.safetensors");
    for (int k = 0; k < 2; k++) {
        output o = TRAIN("--quiet", "--hidden", "20", "--dtype", types[k], "--save", masters);
        succeeds(&o);
        assert_true(result(&o, "test_accuracy") > 0.5);
        check_types(masters, "F32");
        loads_as(masters, types[k], &o);
        output again = FASHION("--data", data, "--quiet", "--load", masters, "--save", half, "--save-dtype", types[k]);
        succeeds(&again);
        check_types(half, stored[k]);
        loads_as(half, types[k], &o);
        struct stat large = {0}, small = {0};
        assert_true(stat(masters, &large) == 0 && stat(half, &small) == 0);
        const long saved = (long)(large.st_size - small.st_size), expected = 2L * (784 * 20 + 20 + 20 * 10 + 10);
        assert_true(labs(saved - expected) < 100); /* names and the description take up to 100 bytes more or less */
        unlink(masters);
        unlink(half);
    }
}

/* A run that was interrupted and resumed has the masters of one that was not, bit for bit. */
static void test_resumed_run_equals_the_uninterrupted_one(void **state) {
    (void)state;
    const char *checkpoint = lasting_path("run.safetensors"), *whole = lasting_path("whole.safetensors"),
               *parts = lasting_path("parts.safetensors");
    for (int k = 0; k < 2; k++) {
        output o = TRAIN("--quiet", "--epochs", "3", "--hidden", "20", "--dropout", "0.2", "--dtype", types[k],
                         "--save", whole);
        succeeds(&o);
        const char *const words[] = {PROGRAM,  "--data",       data,       "--epochs",  "3",   "--batch",
                                     "500",    "--hidden",     "20",       "--dropout", "0.2", "--dtype",
                                     types[k], "--checkpoint", checkpoint, "--save",    parts, NULL};
        o = run_with(SIGINT, "epoch 1/3: ", words);
        o = run_with(0, NULL, words);
        succeeds(&o);
        assert_true(result(&o, "epochs") == 3);
        expect_equal_files(whole, parts);
        unlink(checkpoint);
        unlink(whole);
        unlink(parts);
    }
}

/* 4 bytes for the master, 2 for the copy that the network reads, 2 for the gradient and 8 for the moments. */
static void test_memory_of_adam_is_16_bytes_per_parameter(void **state) {
    (void)state;
    for (int k = 0; k < 2; k++) {
        output o = TRAIN("--quiet", "--hidden", "12", "--memory", "--dtype", types[k]);
        succeeds(&o);
        if (!strstr(o.out, "\nbytes_per_parameter 16.00\n"))
            fail_msg("%s: %s", types[k], o.out);
    }
}

/* A step of which a gradient overflows is skipped and halves the scale. The metrics contain both. */
static void test_loss_scale_is_adapted_and_reported(void **state) {
    (void)state;
    char folder[600], text[8192];
    snprintf(folder, sizeof folder, "%s", in_folder("scaled"));
    /* 2^24 at first: gradients of the last layer overflow until the scale is small enough */
    output o = TRAIN("--quiet", "--hidden", "20", "--dtype", "f16", "--loss-scale", "dynamic initial=16777216", "--out",
                     folder);
    succeeds(&o);
    const double skipped = result(&o, "skipped"), scale = result(&o, "loss_scale");
    assert_true(skipped > 0 && scale == ldexp(1, 24 - (int)skipped));
    assert_true(result(&o, "test_accuracy") > 0.5);
    read_all(in_report(folder, "metrics.csv"), text, sizeof text);
    const char *row = strchr(text, '\n') + 1, *last = strrchr(row, ',') + 1;
    char begin[64];
    snprintf(begin, sizeof begin, "1,%.0f,%.0f,", 120 - skipped, skipped);
    assert_int_equal(strncmp(row, begin, strlen(begin)), 0);
    assert_true(strtod(last, NULL) == scale);
    remove_report(folder);
    o = TRAIN("--quiet", "--hidden", "20", "--dtype", "bf16");
    succeeds(&o);
    assert_null(strstr(o.out, "loss_scale"));
    o = TRAIN("--quiet", "--hidden", "20", "--dtype", "bf16", "--loss-scale", "1024");
    assert_true(result(&o, "loss_scale") == 1024 && result(&o, "skipped") == 0);
}

/* Rewrites a checkpoint as an earlier version wrote it: its history has no column for the loss scale. */
static void drop_loss_scale(const char *checkpoint) {
    enum { COLUMNS = 9 };
    sw_archive *a = sw_archive_load(checkpoint), *b = sw_archive_new();
    for (int i = 0; i < sw_archive_count(a); i++) {
        const sw_archive_item item = sw_archive_at(a, i);
        sw_array x = item.array;
        if (strcmp(item.name, "history.epochs") == 0) {
            assert_true(x.shape[0] == 1 && x.shape[1] == COLUMNS + 1);
            x.shape[1] = COLUMNS;
        }
        sw_archive_put(b, item.name, x);
    }
    for (int i = 0; i < sw_archive_text_count(a); i++)
        sw_archive_set_text(b, sw_archive_text_key(a, i), sw_archive_text(a, sw_archive_text_key(a, i)));
    assert_int_equal(sw_archive_save(b, checkpoint), SW_OK);
    sw_archive_free(b);
    sw_archive_free(a);
}

static void test_checkpoints_of_earlier_versions_are_resumed(void **state) {
    (void)state;
    char folder[600], text[8192];
    const char *checkpoint = lasting_path("run.safetensors");
    snprintf(folder, sizeof folder, "%s", in_folder("earlier"));
    output o = TRAIN("--quiet", "--hidden", "12", "--checkpoint", checkpoint);
    succeeds(&o);
    drop_loss_scale(checkpoint);
    o = TRAIN("--quiet", "--epochs", "2", "--hidden", "12", "--checkpoint", checkpoint, "--out", folder);
    succeeds(&o);
    assert_true(result(&o, "epochs") == 2);
    read_all(in_report(folder, "metrics.csv"), text, sizeof text);
    const char *row = strchr(text, '\n') + 1;
    assert_true(strncmp(row, "1,120,0,", 8) == 0);
    assert_true(strncmp(strchr(row, '\n') - 2, ",1\n2,240,0,", 10) == 0);
    remove_report(folder);
    unlink(checkpoint);
}

/* Equal bits for every number of threads, and other ones than those of f32. */
static void test_threads_change_no_bit(void **state) {
    (void)state;
    static const char *const threads[] = {"1", "2", "4"};
    const char *first = lasting_path("first.safetensors"), *other = lasting_path("other.safetensors");
    for (int k = 0; k < 2; k++) {
        for (int i = 0; i < 3; i++) {
            output o = TRAIN("--quiet", "--hidden", "20", "--dtype", types[k], "--threads", threads[i], "--save",
                             i ? other : first);
            succeeds(&o);
            if (i)
                expect_equal_files(first, other);
        }
        unlink(first);
        unlink(other);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_weights_are_saved_in_f32_or_in_16_bits),
        cmocka_unit_test(test_resumed_run_equals_the_uninterrupted_one),
        cmocka_unit_test(test_memory_of_adam_is_16_bytes_per_parameter),
        cmocka_unit_test(test_loss_scale_is_adapted_and_reported),
        cmocka_unit_test(test_checkpoints_of_earlier_versions_are_resumed),
        cmocka_unit_test(test_threads_change_no_bit),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
