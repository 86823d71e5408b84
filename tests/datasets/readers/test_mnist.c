/* MNIST: the folders that are searched, and the message if none has the files. The tests make files of the same shape,
 * because MNIST itself is not installed. */
#include "helpers.h"

static const char *const name[4] = {"train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte",
                                    "t10k-labels-idx1-ubyte"};
static const int64_t samples[2] = {60000, 10000};

/* The first file plain, the others compressed. */
static void write_files(void) {
    for (int i = 0; i < 4; i++) {
        const int64_t shape[3] = {samples[i / 2], 28, 28};
        bytes plain = make_idx(i % 2 ? 1 : 3, shape), packed;
        char gz[NAME_SIZE];
        snprintf(gz, sizeof gz, "%s.gz", name[i]);
        for (size_t at = 8; i % 2 && at < plain.size; at++)
            plain.at[at] %= 10;
        memset(plain.at + (i % 2 ? plain.size : 16 + 784), 0, i % 2 ? 0 : plain.size - 16 - 784);
        if (i == 0) {
            write_file(name[i], plain.at, plain.size);
        } else {
            packed = gzip(plain.at, plain.size);
            write_file(gz, packed.at, packed.size);
            free(packed.at);
        }
        free(plain.at);
    }
}

static void remove_files(void) {
    for (int i = 0; i < 4; i++) {
        char gz[NAME_SIZE];
        snprintf(gz, sizeof gz, "%s.gz", name[i]);
        remove_file(path_of(i == 0 ? name[i] : gz));
    }
}

static void test_reads_both_splits(void **state) {
    (void)state;
    write_files();
    for (int split = 0; split < 2; split++) {
        double x[784];
        const int64_t id = 0;
        count_memory(-1);
        sw_source *s = sw_mnist(folder, (sw_data_split)split);
        if (!s)
            fail_msg("%s", sw_error());
        assert_int_equal(s->n, samples[split]);
        assert_int_equal(s->x_rank, 1);
        assert_int_equal(s->x_shape[0], 784);
        assert_int_equal(s->classes, 10);
        assert_string_equal(s->class_names[7], "7");
        assert_int_equal(sw_source_gather(s, SW_F64, 0, &id, 1, x, NULL), SW_OK);
        for (size_t i = 0; i < 784; i++)
            assert_true(x[i] == noise(i) * (1.0 / 255));
        sw_source_free(s);
        check_memory();
    }
    assert_int_equal(sw_mnist_verify(folder), SW_ERR_FORMAT);
    check_error(SW_ERR_FORMAT, path_of(name[0]),
                "the published one ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db");
    setenv("SW_MNIST", folder, 1);
    assert_string_equal(sw_mnist_directory(NULL), folder);
    unsetenv("SW_MNIST");
    remove_files();
}

static void test_missing_files_name_what_to_install(void **state) {
    (void)state;
    setenv("SW_MNIST", "/nowhere/a", 1);
    setenv("XDG_CACHE_HOME", "/nowhere/b", 1);
    assert_null(sw_mnist(NULL, SW_TRAINING));
    assert_string_equal(sw_error(), "/nowhere/a (no train-images-idx3-ubyte), /usr/share/datasets/mnist (no "
                                    "train-images-idx3-ubyte), "
                                    "/nowhere/b/mnist (no train-images-idx3-ubyte): MNIST is not there, with "
                                    "or without .gz; put "
                                    "train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte "
                                    "and t10k-labels-idx1-ubyte "
                                    "there (no Debian package has them), or set $SW_MNIST to their folder");
    check_error(SW_ERR_IO, "/nowhere/a", NULL);
    unsetenv("SW_MNIST");
    unsetenv("XDG_CACHE_HOME");
    setenv("HOME", "/nowhere/c", 1);
    assert_int_equal(sw_mnist_verify(NULL), SW_ERR_IO);
    check_error(SW_ERR_IO, "/usr/share/datasets/mnist", "/nowhere/c/.cache/mnist (no train");
    assert_null(sw_mnist_directory(folder));
    check_error(SW_ERR_IO, folder, "MNIST is not there");
    assert_null(sw_mnist(folder, (sw_data_split)2));
    check_error(SW_ERR_ARGUMENT, "mnist: split 2", NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_both_splits),
        cmocka_unit_test(test_missing_files_name_what_to_install),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
