/* Arrays as PNG files: a written file is read again, and a failure leaves no file behind. */
#include "helpers.h"

#include <dirent.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

static sw_array noise_picture(int64_t height, int64_t width, int64_t channels) {
    sw_array a = sw_array_new(SW_U8, SW_SHAPE(height, width, channels));
    assert_non_null(a.data);
    for (int64_t i = 0; i < sw_array_count(&a); i++)
        ((unsigned char *)a.data)[i] = noise((size_t)i + 3);
    return a;
}

static bytes file_bytes(const char *path) {
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    bytes b = make_bytes(1 << 20);
    b.size = fread(b.at, 1, b.size, f);
    assert_true(b.size > 0 && b.size < 1 << 20);
    fclose(f);
    return b;
}

static int files_in_folder(void) {
    int count = 0;
    DIR *d = opendir(folder);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));)
        count += e->d_name[0] != '.';
    closedir(d);
    return count;
}

static void write_picture(const char *path, const sw_array *a) {
    if (sw_picture_save(path, a) != SW_OK)
        fail_msg("%s", sw_error());
    assert_null(sw_error());
}

static void check_round_trip(const sw_array *a) {
    const char *path = path_of("picture.png");
    sw_array b;
    const int64_t channels = a->rank == 3 ? a->shape[2] : 1;
    write_picture(path, a);
    assert_int_equal(sw_picture_load(path, 0, &b), SW_OK);
    assert_int_equal(b.rank, 3);
    assert_int_equal(b.shape[0], a->shape[0]);
    assert_int_equal(b.shape[1], a->shape[1]);
    assert_int_equal(b.shape[2], channels);
    assert_memory_equal(a->data, b.data, (size_t)sw_array_count(a));
    sw_array_free(&b);
    remove_file(path);
}

static void test_written_picture_is_read_back(void **state) {
    (void)state;
    static const int64_t sizes[][2] = {{1, 1}, {1, 7}, {7, 1}, {3, 5}, {40, 33}};
    count_memory(-1);
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (int64_t channels = 1; channels <= 4; channels++) {
            sw_array a = noise_picture(sizes[s][0], sizes[s][1], channels);
            check_round_trip(&a);
            memset(a.data, 200, (size_t)sw_array_count(&a)); /* even, so that it is compressed */
            check_round_trip(&a);
            if (channels == 1) {
                a.rank = 2;
                check_round_trip(&a);
            }
            sw_array_free(&a);
        }
    check_memory();
}

/* A picture with edges and gradients, large enough for matches at every distance of deflate's window. */
static void test_large_written_picture_is_read_back(void **state) {
    (void)state;
    enum { H = 400, W = 500 };
    sw_array a = sw_array_new(SW_U8, SW_SHAPE(H, W, 3));
    unsigned char *p = a.data;
    for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++)
            for (int c = 0; c < 3; c++)
                *p++ = (unsigned char)(x * y % 97 < 50 ? x + c * y : noise((size_t)(x % 60 + c)));
    check_round_trip(&a);
    sw_array_free(&a);
}

/* The first, one over another, and whatever was written before. */
static void test_equal_pictures_are_equal_bytes(void **state) {
    (void)state;
    sw_array a = noise_picture(30, 20, 3);
    const char *one = path_of("one.png"), *two = path_of("two.png");
    write_picture(one, &a);
    write_picture(two, &a);
    write_picture(two, &a);
    bytes b1 = file_bytes(one), b2 = file_bytes(two);
    assert_int_equal(b1.size, b2.size);
    assert_memory_equal(b1.at, b2.at, b1.size);
    free(b1.at);
    free(b2.at);
    remove_file(one);
    remove_file(two);
    sw_array_free(&a);
    assert_int_equal(files_in_folder(), 0);
}

/* ---- What it refuses ---- */

#define refused(status, path, array, text)                      \
    do {                                                        \
        assert_int_equal(sw_picture_save(path, array), status); \
        assert_string_equal(sw_error(), text);                  \
        assert_int_equal(sw_error_status(), status);            \
        sw_clear_error();                                       \
    } while (0)

static void test_array_that_is_no_picture_is_refused(void **state) {
    (void)state;
    sw_array a = noise_picture(2, 3, 3), b = a;
    refused(SW_ERR_ARGUMENT, NULL, &a, "picture: the path is NULL");
    refused(SW_ERR_ARGUMENT, "x.png", NULL, "picture: the array is NULL");
    b.data = NULL;
    refused(SW_ERR_ARGUMENT, "x.png", &b, "picture: the array's data is NULL");
    b = a;
    b.type = SW_F32;
    refused(SW_ERR_SHAPE, "x.png", &b,
            "x.png: a picture is u8 [height, width] or [height, width, 1 to 4 channels], not f32 [2,3,3]");
    b = sw_array_view(a.data, SW_U8, SW_SHAPE(18));
    refused(SW_ERR_SHAPE, "x.png", &b,
            "x.png: a picture is u8 [height, width] or [height, width, 1 to 4 channels], not u8 [18]");
    b = sw_array_view(a.data, SW_U8, SW_SHAPE(1, 3, 5));
    refused(SW_ERR_SHAPE, "x.png", &b,
            "x.png: a picture is u8 [height, width] or [height, width, 1 to 4 channels], not u8 [1,3,5]");
    b = sw_array_view(a.data, SW_U8, SW_SHAPE(1, 2, 3, 3));
    refused(SW_ERR_SHAPE, "x.png", &b,
            "x.png: a picture is u8 [height, width] or [height, width, 1 to 4 channels], not u8 [1,2,3,3]");
    b = sw_array_view(a.data, SW_U8, SW_SHAPE(0, 3));
    refused(SW_ERR_SHAPE, "x.png", &b, "x.png: 3x0 pixels: the picture is empty");
    b = sw_array_view(a.data, SW_U8, SW_SHAPE(1, 32769)); /* not read: the shape is enough */
    refused(SW_ERR_SHAPE, "x.png", &b,
            "x.png: 32769x1 pixels are too many: at most 32768 per side and 67108864 in total are written");
    b = sw_array_view(a.data, SW_U8, SW_SHAPE(16384, 4097, 3));
    refused(SW_ERR_SHAPE, "x.png", &b,
            "x.png: 4097x16384 pixels are too many: at most 32768 per side and 67108864 in total are written");
    sw_array_free(&a);
}

static void test_refuses_places_that_cannot_be_written(void **state) {
    (void)state;
    char text[2 * PATH_SIZE];
    sw_array a = noise_picture(2, 3, 1);
    refused(SW_ERR_IO, "/dev/null/x.png", &a, "/dev/null/x.png: cannot be written: Not a directory");
    refused(SW_ERR_ARGUMENT, "", &a, "picture: the path is empty");
    snprintf(text, sizeof text, "%s: cannot be opened for writing: Is a directory", folder);
    refused(SW_ERR_IO, folder, &a, text);
    refused(SW_ERR_IO, "/dev/full", &a, "/dev/full: cannot be written: No space left on device");
    sw_array_free(&a);
}

/* A disk that is full: what was there stays, and nothing is beside it. */
static void test_failed_write_keeps_the_old_file(void **state) {
    (void)state;
    const char *path = path_of("picture.png");
    sw_array a = noise_picture(2, 3, 1), large = noise_picture(100, 100, 3), back;
    write_picture(path, &a);
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit before, small;
    getrlimit(RLIMIT_FSIZE, &before);
    small = before;
    small.rlim_cur = 4096;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    sw_status status = sw_picture_save(path, &large);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_int_equal(status, SW_ERR_IO);
    check_error(SW_ERR_IO, path, ": cannot be written: File too large");
    assert_int_equal(files_in_folder(), 1);
    assert_int_equal(sw_picture_load(path, 0, &back), SW_OK);
    assert_int_equal(back.shape[0], 2);
    sw_array_free(&back);
    remove_file(path);
    sw_array_free(&a);
    sw_array_free(&large);
}

/* A link stays one, also while what it leads to is replaced; permissions stay. */
static void test_writes_through_links(void **state) {
    (void)state;
    const char *path = path_of("picture.png"), *link = path_of("link.png");
    sw_array a = noise_picture(5, 4, 1), back;
    write_picture(path, &a);
    assert_int_equal(files_in_folder(), 1);
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(symlink("picture.png", link), 0);
    sw_array b = noise_picture(6, 4, 1);
    write_picture(link, &b);
    struct stat s;
    assert_int_equal(lstat(link, &s), 0);
    assert_true(S_ISLNK(s.st_mode));
    assert_int_equal(stat(path, &s), 0);
    assert_int_equal(s.st_mode & 07777, 0640);
    assert_int_equal(sw_picture_load(path, 0, &back), SW_OK);
    assert_int_equal(back.shape[0], 6);
    sw_array_free(&back);
    sw_array_free(&a);
    sw_array_free(&b);
    remove_file(link);
    remove_file(path);
}

static void test_picture_write_survives_every_failed_allocation(void **state) {
    (void)state;
    const char *path = path_of("picture.png");
    unsigned char pixels[4 * 4 * 3];
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = noise(i / 12);
    const sw_array a = sw_array_view(pixels, SW_U8, SW_SHAPE(4, 4, 3));
    for (int64_t k = 0;; k++) {
        count_memory(k);
        sw_status status = sw_picture_save(path, &a);
        check_memory();
        if (status == SW_OK) {
            assert_true(k > 10); /* stb's blocks among them */
            break;
        }
        check_error(SW_ERR_MEMORY, path, ": out of memory");
        assert_int_equal(files_in_folder(), 0);
    }
    remove_file(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_written_picture_is_read_back),
        cmocka_unit_test(test_large_written_picture_is_read_back),
        cmocka_unit_test(test_equal_pictures_are_equal_bytes),
        cmocka_unit_test(test_array_that_is_no_picture_is_refused),
        cmocka_unit_test(test_refuses_places_that_cannot_be_written),
        cmocka_unit_test(test_failed_write_keeps_the_old_file),
        cmocka_unit_test(test_writes_through_links),
        cmocka_unit_test(test_picture_write_survives_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
