/* Fashion-MNIST from Debian's package, and the errors if files are missing or damaged. */
#include "helpers.h"

static const char *const name[4] = {"train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte",
                                    "t10k-labels-idx1-ubyte"};
static char installed[PATH_SIZE]; /* where the real files are */

/* ---- Copies ---- */

/* A link in the folder to one of the real files, under a name that may be another's. */
static void link_file(int file, int as) {
    char target[PATH_SIZE + NAME_SIZE], link[NAME_SIZE];
    snprintf(target, sizeof target, "%s/%s.gz", installed, name[file]);
    snprintf(link, sizeof link, "%s.gz", name[as]);
    assert_int_equal(symlink(target, path_of(link)), 0);
}

static void link_files(void) {
    for (int i = 0; i < 4; i++)
        link_file(i, i);
}

static const char *gz_path(int file) {
    char gz[NAME_SIZE];
    snprintf(gz, sizeof gz, "%s.gz", name[file]);
    return path_of(gz);
}

static void remove_copies(void) {
    for (int i = 0; i < 4; i++) {
        remove(gz_path(i));
        remove(path_of(name[i]));
    }
}

/* The contents of a real file, inflated by zlib's own reader. */
static bytes inflate_file(int file) {
    char path[PATH_SIZE + NAME_SIZE];
    bytes b = make_bytes(60000 * 784 + 17);
    snprintf(path, sizeof path, "%s/%s.gz", installed, name[file]);
    gzFile f = gzopen(path, "rb");
    assert_non_null(f);
    int n = gzread(f, b.at, (unsigned)b.size);
    assert_true(n > 0);
    assert_int_equal(gzclose(f), Z_OK);
    b.size = (size_t)n;
    return b;
}

/* ---- The real data ---- */

static void check_split(sw_data_split split, int64_t n, const int *first) {
    count_memory(-1);
    sw_source *source = sw_fashion_mnist(NULL, split);
    if (!source)
        fail_msg("%s", sw_error());
    assert_int_equal(source->size, sizeof *source);
    assert_int_equal(source->n, n);
    assert_int_equal(source->x_rank, 1);
    assert_int_equal(source->x_shape[0], 784);
    assert_int_equal(source->y_rank, 0);
    assert_int_equal(source->y_type, SW_I32);
    assert_int_equal(source->classes, 10);
    int64_t *ids = malloc((size_t)n * sizeof *ids), count[10] = {0};
    int32_t *label = malloc((size_t)n * sizeof *label);
    assert_true(ids && label);
    for (int64_t i = 0; i < n; i++)
        ids[i] = i;
    assert_int_equal(source->gather(source, ids, n, 0, SW_F32, NULL, label), SW_OK);
    for (int64_t i = 0; i < n; i++)
        count[label[i]]++;
    for (int c = 0; c < 10; c++)
        assert_int_equal(count[c], n / 10);
    for (int i = 0; i < 10; i++)
        assert_int_equal(label[i], first[i]);
    free(ids);
    free(label);
    sw_source_free(source);
    check_memory();
}

static void test_training_images_are_read(void **state) {
    (void)state;
    check_split(SW_TRAINING, 60000, (int[]){9, 0, 0, 3, 0, 2, 7, 2, 5, 5});
}

static void test_images_of_the_test_set_are_read(void **state) {
    (void)state;
    check_split(SW_TEST, 10000, (int[]){9, 2, 1, 1, 6, 1, 4, 6, 5, 7});
}

/* Pictures [28, 28, 1] have the numbers of the vectors. */
static void test_pictures_have_the_numbers_of_the_vectors(void **state) {
    static const int64_t ids[3] = {0, 4711, 9999}, shape[3] = {28, 28, 1};
    float x[3 * 784], vector[3 * 784];
    int32_t y[3], label[3];
    (void)state;
    sw_source *pictures = sw_fashion_mnist_pictures(NULL, SW_TEST), *vectors = sw_fashion_mnist(NULL, SW_TEST);
    assert_true(pictures && vectors);
    assert_int_equal(pictures->x_rank, 3);
    assert_memory_equal(pictures->x_shape, shape, sizeof shape);
    assert_int_equal(sw_source_gather(pictures, SW_F32, 0, ids, 3, x, y), SW_OK);
    assert_int_equal(sw_source_gather(vectors, SW_F32, 0, ids, 3, vector, label), SW_OK);
    assert_memory_equal(x, vector, sizeof x);
    assert_memory_equal(y, label, sizeof y);
    sw_source_free(pictures);
    sw_source_free(vectors);
    assert_null(sw_mnist_pictures("/nowhere", SW_TEST));
    assert_non_null(strstr(sw_error(), "/nowhere"));
    sw_clear_error();
}

static void test_classes_have_their_names(void **state) {
    (void)state;
    sw_source *source = sw_fashion_mnist(NULL, SW_TEST);
    assert_non_null(source);
    assert_string_equal(source->class_names[0], "T-shirt/top");
    assert_string_equal(source->class_names[5], "Sandal");
    assert_string_equal(source->class_names[9], "Ankle boot");
    sw_source_free(source);
}

/* Published mean and deviation of the training pixels: 0.2860 and 0.3530. */
static void test_pixels_have_the_published_moments(void **state) {
    (void)state;
    sw_source *source = sw_fashion_mnist(NULL, SW_TRAINING);
    assert_non_null(source);
    double sum = 0, squares = 0, x[784];
    for (int64_t i = 0; i < source->n; i++) {
        assert_int_equal(source->gather(source, &i, 1, 0, SW_F64, x, NULL), SW_OK);
        for (int j = 0; j < 784; j++) {
            sum += x[j];
            squares += x[j] * x[j];
        }
    }
    const double count = 60000.0 * 784, mean = sum / count;
    assert_true(fabs(mean - 0.2860) < 1e-4);
    assert_true(fabs(sqrt(squares / count - mean * mean) - 0.3530) < 1e-4);
    sw_source_free(source);
}

static void test_verify_accepts_the_installed_files(void **state) {
    (void)state;
    count_memory(-1);
    assert_int_equal(sw_fashion_mnist_verify(NULL), SW_OK);
    assert_null(sw_error());
    check_memory();
}

/* ---- Where it looks ---- */

static void test_reads_from_the_given_folder(void **state) {
    (void)state;
    link_files();
    assert_string_equal(sw_fashion_mnist_directory(folder), folder);
    setenv("SW_FASHION_MNIST", folder, 1);
    const char *found = sw_fashion_mnist_directory(NULL);
    assert_string_equal(found, folder);
    /* What it returned may be what it is given. */
    assert_string_equal(sw_fashion_mnist_directory(found), folder);
    sw_source *source = sw_fashion_mnist(found, SW_TEST);
    assert_non_null(source);
    sw_source_free(source);
    /* One file gone: the next place. */
    remove_file(gz_path(3));
    assert_string_equal(sw_fashion_mnist_directory(NULL), installed);
    unsetenv("SW_FASHION_MNIST");
    remove_copies();
}

static void test_reads_uncompressed_files(void **state) {
    (void)state;
    int32_t plain_label[64], label[64];
    float plain_x[64 * 784], x[64 * 784];
    int64_t ids[64];
    for (int i = 0; i < 64; i++)
        ids[i] = 157 * i % 10000;
    for (int i = 0; i < 4; i++) {
        bytes data = inflate_file(i);
        write_file(name[i], data.at, data.size);
        free(data.at);
    }
    sw_source *plain = sw_fashion_mnist(folder, SW_TEST), *source = sw_fashion_mnist(NULL, SW_TEST);
    assert_true(plain && source);
    assert_int_equal(plain->gather(plain, ids, 64, 0, SW_F32, plain_x, plain_label), SW_OK);
    assert_int_equal(source->gather(source, ids, 64, 0, SW_F32, x, label), SW_OK);
    assert_memory_equal(plain_x, x, sizeof x);
    assert_memory_equal(plain_label, label, sizeof label);
    sw_source_free(plain);
    sw_source_free(source);
    assert_int_equal(sw_fashion_mnist_verify(folder), SW_OK);
    remove_copies();
}

static void test_missing_files_name_what_to_install(void **state) {
    (void)state;
    assert_null(sw_fashion_mnist(folder, SW_TRAINING));
    assert_non_null(strstr(sw_error(), "`make deps`"));
    check_error(SW_ERR_IO, folder, "`apt-get install dataset-fashion-mnist`");
    assert_int_equal(sw_fashion_mnist_verify("/nowhere"), SW_ERR_IO);
    check_error(SW_ERR_IO, "/nowhere", "train-images-idx3-ubyte");
    link_files();
    remove_file(gz_path(3));
    assert_null(sw_fashion_mnist_directory(folder));
    check_error(SW_ERR_IO, folder, "t10k-labels-idx1-ubyte");
    remove_copies();
    char path[5000];
    memset(path, 'x', sizeof path - 1);
    path[sizeof path - 1] = 0;
    assert_null(sw_fashion_mnist_directory(path));
    check_error(SW_ERR_ARGUMENT, "xxx", "too long");
    path[4000] = 0; /* a directory that fits, files that do not */
    assert_null(sw_fashion_mnist_directory(path));
    check_error(SW_ERR_IO, "xxx", "`make deps`");
    assert_null(sw_fashion_mnist(NULL, (sw_data_split)2));
    check_error(SW_ERR_ARGUMENT, "fashion-mnist", "split 2");
}

/* ---- Damaged copies ---- */

/* The first 2 MB, about half, of a compressed file. */
static bytes read_half(int file) {
    char path[PATH_SIZE + NAME_SIZE];
    bytes b = make_bytes(2 << 20);
    snprintf(path, sizeof path, "%s/%s.gz", installed, name[file]);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    assert_int_equal(fread(b.at, 1, b.size, f), b.size);
    fclose(f);
    return b;
}

static void test_truncated_copy_is_refused(void **state) {
    (void)state;
    link_files();
    remove_file(gz_path(2));
    const char *path = gz_path(2);
    bytes half = read_half(2);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(half.at, 1, half.size, f), half.size);
    assert_int_equal(fclose(f), 0);
    assert_null(sw_fashion_mnist(folder, SW_TEST));
    check_error(SW_ERR_FORMAT, path, "truncated");
    assert_int_equal(sw_fashion_mnist_verify(folder), SW_ERR_FORMAT);
    check_error(SW_ERR_FORMAT, path, "truncated");
    remove_copies();
    free(half.at);
}

static void test_verify_finds_one_changed_pixel(void **state) {
    (void)state;
    link_files();
    remove_file(gz_path(2));
    bytes data = inflate_file(2);
    data.at[5000000] ^= 1;
    const char *path = write_file(name[2], data.at, data.size);
    sw_source *source = sw_fashion_mnist(folder, SW_TEST); /* a plain file has no check sum */
    assert_non_null(source);
    sw_source_free(source);
    count_memory(-1);
    assert_int_equal(sw_fashion_mnist_verify(folder), SW_ERR_FORMAT);
    check_error(SW_ERR_FORMAT, path, "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce");
    check_memory();
    remove_copies();
    free(data.at);
}

static void test_files_of_another_shape_are_refused(void **state) {
    (void)state;
    link_file(0, 2); /* training images in place of the test's */
    link_file(1, 1);
    link_file(2, 0);
    link_file(3, 3);
    count_memory(-1);
    assert_null(sw_fashion_mnist(folder, SW_TEST));
    check_error(SW_ERR_FORMAT, gz_path(2), "[60000,28,28], not [10000,28,28]");
    check_memory();
    remove_copies();
    /* As many pixels in another shape. */
    bytes data = inflate_file(2);
    data.at[11] = 14;
    data.at[15] = 56;
    link_files();
    remove_file(gz_path(2));
    const char *path = write_file(name[2], data.at, data.size);
    assert_null(sw_fashion_mnist(folder, SW_TEST));
    check_error(SW_ERR_FORMAT, path, "[10000,14,56], not [10000,28,28]");
    remove_copies();
    free(data.at);
}

static int find_data(void **state) {
    unsetenv("SW_FASHION_MNIST");
    const char *found = sw_fashion_mnist_directory(NULL);
    if (!found) {
        fprintf(stderr, "%s\n", sw_error());
        return -1;
    }
    snprintf(installed, sizeof installed, "%s", found);
    return make_folder(state);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_training_images_are_read),
        cmocka_unit_test(test_images_of_the_test_set_are_read),
        cmocka_unit_test(test_pictures_have_the_numbers_of_the_vectors),
        cmocka_unit_test(test_classes_have_their_names),
        cmocka_unit_test(test_pixels_have_the_published_moments),
        cmocka_unit_test(test_verify_accepts_the_installed_files),
        cmocka_unit_test(test_reads_from_the_given_folder),
        cmocka_unit_test(test_reads_uncompressed_files),
        cmocka_unit_test(test_missing_files_name_what_to_install),
        cmocka_unit_test(test_truncated_copy_is_refused),
        cmocka_unit_test(test_verify_finds_one_changed_pixel),
        cmocka_unit_test(test_files_of_another_shape_are_refused),
    };
    return cmocka_run_group_tests(tests, find_data, remove_folder);
}
