/* Folders of pictures as sources. */
#include "helpers.h"

#include "golden/pictures.h"
#include "png.h"

#include <sys/stat.h>

static void make_class(const char *name) {
    assert_int_equal(mkdir(path_of(name), 0700), 0);
}

static void remove_class(const char *name) {
    assert_int_equal(rmdir(path_of(name)), 0);
}

static const char *put_png(const char *name, uint32_t width, uint32_t height, int color, size_t from) {
    bytes b = make_noise_png(width, height, color, from);
    const char *path = write_file(name, b.at, b.size);
    free(b.at);
    return path;
}

static void refuses(const char *path, const sw_image_folder_options *o, sw_status status, const char *prefix,
                    const char *part) {
    count_memory(-1);
    assert_null(sw_image_folder(path, o));
    check_memory();
    check_error(status, prefix, part);
}

/* ---- What it reads ---- */

static const char *const files[5] = {"B/Z.PNG", "B/a.Jpeg", "a/0.png", "a/10.png", "a/2.png"};

static void make_tree(void) {
    make_class("a");
    make_class("B");
    make_class(".hidden");
    for (size_t i = 0; i < 5; i++)
        put_png(files[i], 4, 3, PNG_RGB, 100 * i); /* contents say what a file is, not its name */
    write_file("a/.DS_Store", "x", 1);
    write_file("README", "x", 1);
}

static void remove_tree(void) {
    for (int i = 0; i < 5; i++)
        remove_file(path_of(files[i]));
    remove_file(path_of("a/.DS_Store"));
    remove_file(path_of("README"));
    remove_class("a");
    remove_class("B");
    remove_class(".hidden");
}

/* Classes and pictures in order of bytes: "B" before "a", "10" before "2"; pixels one after
 * another, each with its channels. */
static void test_pictures_are_read_in_byte_order(void **state) {
    static const int32_t class[5] = {0, 0, 1, 1, 1};
    (void)state;
    make_tree();
    for (int flat = 0; flat < 2; flat++) {
        const sw_image_folder_options o = {.size = sizeof o, .flat = flat, .scale = 0.5, .shift = -1};
        count_memory(-1);
        sw_source *s = sw_image_folder(folder, &o);
        if (!s)
            fail_msg("%s", sw_error());
        assert_int_equal(s->n, 5);
        assert_int_equal(s->classes, 2);
        assert_string_equal(s->class_names[0], "B");
        assert_string_equal(s->class_names[1], "a");
        assert_int_equal(s->y_type, SW_I32);
        assert_int_equal(s->y_rank, 0);
        assert_int_equal(s->x_rank, flat ? 1 : 3);
        if (flat)
            assert_int_equal(s->x_shape[0], 36);
        else
            assert_true(s->x_shape[0] == 3 && s->x_shape[1] == 4 && s->x_shape[2] == 3);
        for (int64_t i = 0; i < 5; i++) {
            float x[36];
            int32_t y;
            assert_int_equal(sw_source_gather(s, SW_F32, 0, &i, 1, x, &y), SW_OK);
            assert_int_equal(y, class[i]);
            for (size_t p = 0; p < 36; p++)
                assert_true(x[p] == (float)noise(100 * (size_t)i + p) * 0.5f - 1);
        }
        sw_source_free(s);
        check_memory();
    }
    remove_tree();
}

static void test_gray_pictures_and_defaults_are_read(void **state) {
    (void)state;
    make_class("only");
    put_png("only/x.png", 2, 2, PNG_GRAY, 0);
    const sw_image_folder_options o = {.size = sizeof o, .channels = 1};
    double x[12];
    const int64_t id = 0;
    sw_source *s = sw_image_folder(folder, &o);
    assert_non_null(s);
    assert_true(s->x_shape[0] == 2 && s->x_shape[1] == 2 && s->x_shape[2] == 1);
    assert_int_equal(sw_source_gather(s, SW_F64, 0, &id, 1, x, NULL), SW_OK);
    for (size_t i = 0; i < 4; i++)
        assert_true(x[i] == noise(i) * (1.0 / 255));
    sw_source_free(s);
    s = sw_image_folder(folder, NULL);
    assert_non_null(s);
    assert_int_equal(s->x_shape[2], 3);
    assert_int_equal(sw_source_gather(s, SW_F64, 0, &id, 1, x, NULL), SW_OK);
    for (size_t i = 0; i < 12; i++)
        assert_true(x[i] == noise(i / 3) * (1.0 / 255));
    sw_source_free(s);
    remove_file(path_of("only/x.png"));
    remove_class("only");
}

/* One color stays it, whatever the size: the filters' weights add up to 1 and rounding is to
 * nearest. A picture that has the size already is not touched. */
static void test_resizing_keeps_a_uniform_color(void **state) {
    static const char *const name[5] = {"c/0.png", "c/1.png", "c/2.png", "c/3.png", "c/4.png"};
    static const uint32_t sizes[5][2] = {{1, 1}, {3, 40}, {16, 8}, {30, 5}, {7, 7}};
    (void)state;
    make_class("c");
    unsigned char one[40 * 40 * 3];
    for (size_t i = 0; i < sizeof one; i++)
        one[i] = (unsigned char)(50 + 70 * (i % 3));
    for (int k = 0; k < 5; k++) {
        bytes b = k == 4 ? make_noise_png(7, 7, PNG_RGB, 9) : make_png(sizes[k][0], sizes[k][1], PNG_RGB, one);
        write_file(name[k], b.at, b.size);
        free(b.at);
    }
    const sw_image_folder_options o = {.size = sizeof o, .height = 7, .width = 7, .scale = 1};
    sw_source *s = sw_image_folder(folder, &o);
    if (!s)
        fail_msg("%s", sw_error());
    for (int64_t i = 0; i < 5; i++) {
        float x[147];
        assert_int_equal(sw_source_gather(s, SW_F32, 0, &i, 1, x, NULL), SW_OK);
        for (size_t p = 0; p < 147; p++)
            assert_true(x[p] == (float)(i == 4 ? noise(9 + p) : 50 + 70 * (p % 3)));
    }
    sw_source_free(s);
    for (int k = 0; k < 5; k++)
        remove_file(path_of(name[k]));
    remove_class("c");
}

/* ---- What it refuses ---- */

static void test_folders_of_another_form_are_refused(void **state) {
    (void)state;
    refuses("/nowhere", NULL, SW_ERR_IO, "/nowhere", "cannot be opened as a folder: No such file");
    refuses(NULL, NULL, SW_ERR_ARGUMENT, "image folder", "path is NULL");
    refuses(folder, NULL, SW_ERR_FORMAT, folder, "holds no folder");
    make_class("a");
    make_class("b");
    refuses(folder, NULL, SW_ERR_FORMAT, path_of("a"), "a class without pictures");
    put_png("a/x.png", 3, 2, PNG_RGB, 0);
    refuses(folder, NULL, SW_ERR_FORMAT, path_of("b"), "a class without pictures");
    put_png("b/x.png", 2, 3, PNG_RGB, 0);
    char part[PATH_SIZE + NAME_SIZE + 100];
    snprintf(part, sizeof part, "2x3 pixels, but %s/a/x.png has 3x2", folder);
    refuses(folder, NULL, SW_ERR_FORMAT, path_of("b/x.png"), part);
    put_png("top.JPG", 2, 2, PNG_RGB, 0);
    refuses(folder, NULL, SW_ERR_FORMAT, path_of("top.JPG"), "a picture outside the folders of the classes");
    remove_file(path_of("top.JPG"));
    remove_file(path_of("b/x.png"));
    make_class("b/x.png");
    refuses(folder, NULL, SW_ERR_FORMAT, path_of("b/x.png"), "a folder within the folder of a class");
    remove_class("b/x.png");
    assert_int_equal(mkfifo(path_of("b/x.png"), 0600), 0); /* to open it would wait for a writer */
    refuses(folder, NULL, SW_ERR_FORMAT, path_of("b/x.png"), "not an ordinary file");
    remove_file(path_of("b/x.png"));
    assert_int_equal(symlink("/nowhere/x.png", path_of("b/x.png")), 0);
    refuses(folder, NULL, SW_ERR_IO, path_of("b/x.png"), "cannot be read: No such file");
    remove_file(path_of("b/x.png"));
    write_file("b/notes.txt", "x", 1);
    refuses(folder, NULL, SW_ERR_FORMAT, path_of("b/notes.txt"), "not a picture: ends in none of");
    remove_file(path_of("b/notes.txt"));
    write_file("b/x.png", "GIF89a..", 8);
    refuses(folder, NULL, SW_ERR_FORMAT, path_of("b/x.png"), "neither PNG");
    remove_file(path_of("b/x.png"));
    refuses(path_of("a/x.png"), NULL, SW_ERR_IO, path_of("a/x.png"), "Not a directory");
    remove_file(path_of("a/x.png"));
    remove_class("a");
    remove_class("b");
}

static void test_options_out_of_range_are_refused(void **state) {
    (void)state;
    sw_image_folder_options o = {.size = sizeof o, .channels = 2};
    refuses(folder, &o, SW_ERR_ARGUMENT, "image folder", "2 channels");
    o = (sw_image_folder_options){.size = sizeof o, .height = 4};
    refuses(folder, &o, SW_ERR_ARGUMENT, "image folder", "height 4 and width 0");
    o = (sw_image_folder_options){.size = sizeof o, .height = 4097, .width = 1};
    refuses(folder, &o, SW_ERR_ARGUMENT, "image folder", "height 4097 and width 1");
    o = (sw_image_folder_options){.size = sizeof o, .scale = (double)NAN};
    refuses(folder, &o, SW_ERR_ARGUMENT, "image folder", "must be finite");
    o.size = 3;
    refuses(folder, &o, SW_ERR_ARGUMENT, "image folder", "options.size is 3");
}

/* ---- One picture ---- */

/* One picture of a folder, read with the options of the folder, is the folder's sample, bit for bit; no memory is left,
 * and every failed allocation is an error. */
static void test_one_picture_is_the_sample_of_its_folder(void **state) {
    static const int64_t sides[2][2] = {{0, 0}, {5, 7}};
    (void)state;
    make_tree();
    for (int k = 0; k < 8; k++) {
        const sw_image_folder_options o = {.size = sizeof o,
                                           .height = sides[k & 1][0],
                                           .width = sides[k & 1][1],
                                           .channels = k & 2 ? 1 : 3,
                                           .flat = (k & 4) != 0,
                                           .scale = k & 2 ? 0.5 : 0};
        const sw_dtype type = k & 4 ? SW_F64 : SW_F32;
        sw_source *s = sw_image_folder(folder, &o);
        assert_non_null(s);
        for (int64_t i = 0; i < 5; i++) {
            double expected[5 * 7 * 3];
            sw_array x;
            assert_int_equal(sw_source_gather(s, type, 0, &i, 1, expected, NULL), SW_OK);
            count_memory(-1);
            assert_int_equal(sw_picture_sample(path_of(files[i]), &o, type, &x), SW_OK);
            assert_int_equal(x.type, type);
            assert_int_equal(x.rank, s->x_rank);
            assert_memory_equal(x.shape, s->x_shape, (size_t)x.rank * sizeof *x.shape);
            assert_memory_equal(x.data, expected, (size_t)sw_array_count(&x) * sw_dtype_size(type));
            sw_array_free(&x);
            check_memory();
        }
        sw_source_free(s);
    }
    remove_tree();
}

static void test_one_picture_is_refused_with_the_reason(void **state) {
    sw_array x = {.rank = 3};
    const sw_image_folder_options wrong = {.size = sizeof wrong, .channels = 2};
    (void)state;
    const char *path = path_of("missing.png");
    assert_int_equal(sw_picture_sample(path, NULL, SW_F32, &x), SW_ERR_IO);
    check_error(SW_ERR_IO, path, "No such file");
    assert_true(x.data == NULL && x.rank == 0);
    assert_int_equal(sw_picture_sample(path, &wrong, SW_F32, &x), SW_ERR_ARGUMENT);
    check_error(SW_ERR_ARGUMENT, "image folder", "2 channels");
    assert_int_equal(sw_picture_sample(path, NULL, SW_U8, &x), SW_ERR_TYPE);
    check_error(SW_ERR_TYPE, "picture sample", "the type is u8; f32 or f64 is needed");
    assert_int_equal(sw_picture_sample(NULL, NULL, SW_F32, &x), SW_ERR_ARGUMENT);
    check_error(SW_ERR_ARGUMENT, "picture sample", "the path is NULL");
    assert_int_equal(sw_picture_sample(path, NULL, SW_F32, NULL), SW_ERR_ARGUMENT);
    check_error(SW_ERR_ARGUMENT, "picture sample", "the array for the result is NULL");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pictures_are_read_in_byte_order),
        cmocka_unit_test(test_gray_pictures_and_defaults_are_read),
        cmocka_unit_test(test_resizing_keeps_a_uniform_color),
        cmocka_unit_test(test_folders_of_another_form_are_refused),
        cmocka_unit_test(test_options_out_of_range_are_refused),
        cmocka_unit_test(test_one_picture_is_the_sample_of_its_folder),
        cmocka_unit_test(test_one_picture_is_refused_with_the_reason),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
