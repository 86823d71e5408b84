/* PNG and JPEG files as arrays, and files that are refused. */
#include "helpers.h"

#include "golden/pictures.h"
#include "png.h"

static sw_array read_bytes_as(const bytes *file, int channels) {
    sw_array a;
    const char *path = write_file("picture", file->at, file->size);
    count_memory(-1);
    if (sw_picture_load(path, channels, &a) != SW_OK)
        fail_msg("%s", sw_error());
    assert_null(sw_error());
    remove_file(path);
    return a;
}

static void free_picture(sw_array *a) {
    sw_array_free(a);
    check_memory();
}

static void check_shape(const sw_array *a, int64_t height, int64_t width, int64_t channels) {
    assert_non_null(a->data);
    assert_int_equal(a->type, SW_U8);
    assert_int_equal(a->rank, 3);
    assert_int_equal(a->shape[0], height);
    assert_int_equal(a->shape[1], width);
    assert_int_equal(a->shape[2], channels);
}

static void check_pixels(const bytes *file, int channels, int64_t height, int64_t width, int64_t got,
                         const unsigned char *expected) {
    sw_array a = read_bytes_as(file, channels);
    check_shape(&a, height, width, got);
    assert_memory_equal(a.data, expected, (size_t)(height * width * got));
    free_picture(&a);
}

static unsigned char luma(int r, int g, int b) {
    return (unsigned char)((77 * r + 150 * g + 29 * b) >> 8);
}

/* ---- PNG ---- */

static void test_png_of_every_color_type_is_read(void **state) {
    enum { W = 5, H = 3, N = W * H };
    static const int color[4] = {PNG_GRAY, PNG_GRAY_ALPHA, PNG_RGB, PNG_RGBA};
    (void)state;
    for (int k = 0; k < 4; k++) {
        const int n = k + 1;
        bytes file = make_noise_png(W, H, color[k], 7);
        unsigned char all[4 * N], gray[N], rgb[3 * N];
        for (int i = 0; i < N * n; i++)
            all[i] = noise((size_t)i + 7);
        for (int i = 0; i < N; i++) {
            const unsigned char *p = all + i * n;
            gray[i] = n < 3 ? p[0] : luma(p[0], p[1], p[2]);
            for (int c = 0; c < 3; c++)
                rgb[3 * i + c] = n < 3 ? p[0] : p[c];
        }
        check_pixels(&file, 0, H, W, n, all);
        check_pixels(&file, 1, H, W, 1, gray);
        check_pixels(&file, 3, H, W, 3, rgb);
        free(file.at);
    }
}

static void test_png_of_every_bit_depth_is_read(void **state) {
    (void)state;
    bytes one = png_start(3, 1, 1, PNG_GRAY), sixteen = png_start(2, 1, 16, PNG_GRAY);
    png_end(&one, (unsigned char[]){0xa0}, 1, 1); /* 1 0 1 */
    png_end(&sixteen, (unsigned char[]){0x12, 0x34, 0xfe, 0xff}, 1, 4);
    check_pixels(&one, 0, 1, 3, 1, (unsigned char[]){255, 0, 255});
    check_pixels(&sixteen, 0, 1, 2, 1, (unsigned char[]){0x12, 0xfe});
    free(one.at);
    free(sixteen.at);
}

/* Colors beyond the palette's end are black, whatever lies in memory there. */
static void test_png_with_a_palette_is_read(void **state) {
    static const unsigned char colors[6] = {10, 20, 30, 200, 100, 50};
    (void)state;
    for (size_t entries = 1; entries <= 2; entries++) {
        bytes file = png_start(3, 1, 8, PNG_PALETTE);
        put_chunk(&file, "PLTE", colors, 3 * entries);
        png_end(&file, (unsigned char[]){1, 0, 255}, 1, 3);
        unsigned char expected[9] = {0, 0, 0, 10, 20, 30, 0, 0, 0};
        if (entries == 2)
            memcpy(expected, colors + 3, 3);
        check_pixels(&file, 3, 1, 3, 3, expected);
        check_pixels(&file, 0, 1, 3, 3, expected);
        free(file.at);
    }
}

/* ---- JPEG ---- */

static bytes copy_of(const void *data, size_t size) {
    bytes b = make_bytes(size);
    memcpy(b.at, data, size);
    return b;
}

/* Both decoders' inverse transforms are within 1 of the exact one (ISO 10918-2), so their samples
 * differ by 2 at most. Gray: that is all. RGB by JFIF: R = Y + 1.402 Cr, B = Y + 1.772 Cb, G = Y -
 * 0.344 Cb - 0.714 Cr: 2 + 1.772·2 = 5.6 at most, and both round once more: 6. */
static void check_jpeg_of(int width, const void *data, size_t size, const unsigned char *expected, int channels,
                          int apart) {
    bytes file = {(unsigned char *)(uintptr_t)data, size};
    sw_array a = read_bytes_as(&file, 0);
    check_shape(&a, GOLDEN_HEIGHT, width, channels);
    const unsigned char *p = a.data;
    for (int i = 0; i < GOLDEN_HEIGHT * width * channels; i++)
        if (abs(p[i] - expected[i]) > apart)
            fail_msg("number %d is %d, by Pillow %d", i, p[i], expected[i]);
    free_picture(&a);
}

static void check_jpeg(const void *data, size_t size, const unsigned char *expected, int channels, int apart) {
    check_jpeg_of(GOLDEN_WIDTH, data, size, expected, channels, apart);
}

static void test_jpeg_is_read_as_by_pillow(void **state) {
    (void)state;
    check_jpeg(golden_gray_jpeg, sizeof golden_gray_jpeg, golden_gray_pixels, 1, 2);
    check_jpeg(golden_rgb_jpeg, sizeof golden_rgb_jpeg, golden_rgb_pixels, 3, 6);
    check_jpeg(golden_progressive_jpeg, sizeof golden_progressive_jpeg, golden_progressive_pixels, 3, 6);
}

/* Chroma of half the width (4:2:2), up to the last column: the same weights of samples that differ by 2 at most,
 * and the same rounding, so the bound stays. Neighboring samples differ by 100 and more. */
static void test_jpeg_of_halved_chroma_is_read_as_by_pillow(void **state) {
    (void)state;
    check_jpeg_of(3, golden_halved_3_jpeg, sizeof golden_halved_3_jpeg, golden_halved_3_pixels, 3, 6);
    check_jpeg_of(18, golden_halved_18_jpeg, sizeof golden_halved_18_jpeg, golden_halved_18_pixels, 3, 6);
    check_jpeg_of(19, golden_halved_19_jpeg, sizeof golden_halved_19_jpeg, golden_halved_19_pixels, 3, 6);
}

/* Restart markers, also with fill bytes, between the last block and the marker that ends a scan. */
static void test_jpeg_with_a_late_restart_marker_is_read(void **state) {
    static const struct {
        const char *bytes;
        size_t size;
    } added[] = {{"\xff\xd0", 2}, {"\xff\xd7", 2}, {"\xff\xff\xd0\xff\xff", 5}, {"\xff\xd0\xff\xd1", 4}};
    (void)state;
    for (size_t i = 0; i < sizeof added / sizeof *added; i++) {
        bytes file = copy_of(golden_rgb_jpeg, sizeof golden_rgb_jpeg - 2);
        put_bytes(&file, added[i].bytes, added[i].size);
        put_bytes(&file, "\xff\xd9", 2);
        check_jpeg(file.at, file.size, golden_rgb_pixels, 3, 6);
        free(file.at);
    }
}

static void test_jpeg_is_read_in_the_requested_channels(void **state) {
    (void)state;
    bytes gray = {(unsigned char *)(uintptr_t)golden_gray_jpeg, sizeof golden_gray_jpeg};
    bytes color = {(unsigned char *)(uintptr_t)golden_subsampled_jpeg, sizeof golden_subsampled_jpeg};
    sw_array a = read_bytes_as(&gray, 3);
    check_shape(&a, GOLDEN_HEIGHT, GOLDEN_WIDTH, 3);
    const unsigned char *p = a.data;
    for (int i = 0; i < GOLDEN_HEIGHT * GOLDEN_WIDTH; i++)
        assert_true(p[3 * i] == p[3 * i + 1] && p[3 * i] == p[3 * i + 2]);
    free_picture(&a);
    a = read_bytes_as(&color, 1);
    check_shape(&a, GOLDEN_HEIGHT, GOLDEN_WIDTH, 1);
    free_picture(&a);
    a = read_bytes_as(&color, 3);
    check_shape(&a, GOLDEN_HEIGHT, GOLDEN_WIDTH, 3);
    free_picture(&a);
}

/* ---- What it refuses ---- */

static void check_refused(const bytes *file, const char *part) {
    sw_array a = {.rank = 5};
    const char *path = write_file("refused", file->at, file->size);
    count_memory(-1);
    assert_int_equal(sw_picture_load(path, 3, &a), SW_ERR_FORMAT);
    check_error(SW_ERR_FORMAT, path, part);
    assert_null(a.data);
    assert_int_equal(a.rank, 0);
    check_memory();
    remove_file(path);
}

static void check_refused_text(const char *text, size_t size, const char *part) {
    bytes file = {(unsigned char *)(uintptr_t)text, size};
    check_refused(&file, part);
}

static void test_file_that_is_no_picture_is_refused(void **state) {
    (void)state;
    sw_array a;
    check_refused_text("", 0, "is empty");
    check_refused_text("GIF89a\1\0\1\0", 10, "neither PNG (begins with 89 50) nor JPEG (ff d8): begins with 47 49");
    check_refused_text("BM", 2, "begins with 42 4d");
    check_refused_text("\xff", 1, "begins with ff 00");
    assert_int_equal(sw_picture_load("/nowhere/x.png", 3, &a), SW_ERR_IO);
    check_error(SW_ERR_IO, "/nowhere/x.png", "cannot be opened: No such file");
    assert_int_equal(sw_picture_load(folder, 3, &a), SW_ERR_IO);
    check_error(SW_ERR_IO, folder, "cannot be read: Is a directory");
    assert_int_equal(sw_picture_load(NULL, 3, &a), SW_ERR_ARGUMENT);
    check_error(SW_ERR_ARGUMENT, "picture", "path is NULL");
    assert_int_equal(sw_picture_load("x", 3, NULL), SW_ERR_ARGUMENT);
    check_error(SW_ERR_ARGUMENT, "picture", "array is NULL");
    assert_int_equal(sw_picture_load("x", 2, &a), SW_ERR_ARGUMENT);
    check_error(SW_ERR_ARGUMENT, "picture", "2 channels");
}

static void check_png_header(uint32_t width, uint32_t height, int depth, int color, const char *part) {
    bytes file = png_start(width, height, depth, color);
    png_end(&file, (unsigned char[]){0}, 1, 1);
    check_refused(&file, part);
    free(file.at);
}

static void test_refuses_impossible_png_files(void **state) {
    (void)state;
    check_png_header(0, 5, 8, PNG_RGB, "0x5 pixels: the picture is empty");
    check_png_header(32769, 1, 8, PNG_GRAY, "32769x1 pixels are too many");
    check_png_header(16384, 4097, 8, PNG_GRAY, "16384x4097 pixels are too many");
    check_png_header(4294967295u, 4294967295u, 8, PNG_GRAY, "too many");
    check_png_header(8192, 8192, 8, PNG_RGB, "8192x8192 pixels are more than a file of");
    check_png_header(2, 2, 3, PNG_RGB, "color type 2 of 3 bits");
    check_png_header(2, 2, 8, 5, "color type 5 of 8 bits");
    check_png_header(2, 2, 4, PNG_RGB, "damaged");
    bytes unknown = png_start(1, 1, 8, PNG_GRAY), apple = png_start(1, 1, 8, PNG_GRAY);
    put_chunk(&unknown, "ABCD", "", 0);
    png_end(&unknown, (unsigned char[]){0}, 1, 1);
    check_refused(&unknown, "has a critical chunk ABCD");
    put_chunk(&apple, "CgBI", "", 0);
    png_end(&apple, (unsigned char[]){0}, 1, 1);
    check_refused(&apple, "has a critical chunk CgBI");
    free(unknown.at);
    free(apple.at);
}

static void test_refuses_a_png_without_its_parts(void **state) {
    (void)state;
    bytes file = png_start(1, 1, 8, PNG_GRAY);
    put_chunk(&file, "IEND", "", 0);
    check_refused(&file, "damaged, or of a kind that is not read: ");
    free(file.at);
    file = make_bytes(0);
    put_bytes(&file, "\x89PNG\r\n\x1a\n", 8);
    put_chunk(&file, "IDAT", "", 0);
    check_refused(&file, "does not begin with its header");
    free(file.at);
}

/* Deflate may hold more than the picture needs: what is left over is passed over. */
static void test_png_with_more_data_than_pixels_is_read(void **state) {
    (void)state;
    bytes file = png_start(1, 1, 8, PNG_GRAY), row = make_bytes(1 << 24);
    memset(row.at, 0, row.size);
    png_end(&file, row.at, 1, row.size); /* 16 MiB for one pixel */
    sw_array a = read_bytes_as(&file, 0);
    check_shape(&a, 1, 1, 1);
    free_picture(&a);
    free(row.at);
    free(file.at);
}

/* Where the frame's header is: ff c0 (or c2), length, precision, height, width. */
static size_t find_frame(const bytes *file) {
    for (size_t i = 2; i + 9 < file->size; i++)
        if (file->at[i] == 0xff && (file->at[i + 1] == 0xc0 || file->at[i + 1] == 0xc2))
            return i;
    fail_msg("no frame");
    return 0;
}

static void test_refuses_impossible_jpeg_files(void **state) {
    (void)state;
    bytes file = copy_of(golden_rgb_jpeg, sizeof golden_rgb_jpeg);
    const size_t frame = find_frame(&file);
    unsigned char *at = file.at + frame;
    memcpy(at + 5, "\x20\0\x20\0", 4);
    check_refused(&file, "8192x8192 pixels are more than a file of");
    memcpy(at + 5, "\xff\xff\xff\xff", 4);
    check_refused(&file, "65535x65535 pixels are too many");
    memcpy(at + 5, "\0\0\0\5", 4);
    check_refused(&file, "5x0 pixels: the picture is empty");
    memcpy(at + 5, "\0\15\0\23", 4);
    at[1] = 0xc9;
    check_refused(&file, "a kind of JPEG that is not read: SOF9");
    at[1] = 0xc0;
    at[4] = 12;
    check_refused(&file, "8-bit only");
    check_refused_text("\xff\xd8\xff\xd9", 4, "no picture before its end");
    check_refused_text("\xff\xd8\xff\xda\0\2\xff\xd9", 8, "a scan before the frame's header");
    check_refused_text("\xff\xd8\xff\xd8\0\2\xff\xd9", 8, "a second beginning");
    check_refused_text("\xff\xd8\xff\xe0\0\1\xff\xd9", 8, "a segment of 1 bytes");
    check_refused_text("\xff\xd8\xff\xe0\0\7\xff\xd9", 8, "truncated");
    free(file.at);
}

/* A table of more codes than there are symbols: the decoder alone would write beyond its own. */
static void test_refuses_a_jpeg_of_too_many_codes(void **state) {
    (void)state;
    bytes file = make_bytes(0);
    unsigned char table[17 + 300] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 150, 150};
    put_bytes(&file, "\xff\xd8\xff\xc4\x01\x3f", 6);
    put_bytes(&file, table, sizeof table);
    put_bytes(&file, golden_gray_jpeg + 2, sizeof golden_gray_jpeg - 2);
    check_refused(&file, "damaged: a Huffman table of 300 codes in 317 bytes");
    file.at[4] = 0; /* a segment that ends within the counts */
    file.at[5] = 12;
    check_refused(&file, "damaged: a Huffman table of 0 codes in 10 bytes");
    free(file.at);
}

/* The same scan a hundred times more: hours of work in a small file, were the picture large. */
static void test_refuses_a_jpeg_of_too_many_scans(void **state) {
    (void)state;
    bytes file = copy_of(golden_progressive_jpeg, sizeof golden_progressive_jpeg - 2);
    for (int i = 0; i < 100; i++)
        put_bytes(&file, "\xff\xda\0\x08\1\1\0\1\1\0", 10);
    put_bytes(&file, "\xff\xd9", 2);
    check_refused(&file, "more than 100 scans");
    free(file.at);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_png_of_every_color_type_is_read),
        cmocka_unit_test(test_png_of_every_bit_depth_is_read),
        cmocka_unit_test(test_png_with_a_palette_is_read),
        cmocka_unit_test(test_jpeg_is_read_as_by_pillow),
        cmocka_unit_test(test_jpeg_of_halved_chroma_is_read_as_by_pillow),
        cmocka_unit_test(test_jpeg_with_a_late_restart_marker_is_read),
        cmocka_unit_test(test_jpeg_is_read_in_the_requested_channels),
        cmocka_unit_test(test_file_that_is_no_picture_is_refused),
        cmocka_unit_test(test_refuses_impossible_png_files),
        cmocka_unit_test(test_refuses_a_png_without_its_parts),
        cmocka_unit_test(test_png_with_more_data_than_pixels_is_read),
        cmocka_unit_test(test_refuses_impossible_jpeg_files),
        cmocka_unit_test(test_refuses_a_jpeg_of_too_many_codes),
        cmocka_unit_test(test_refuses_a_jpeg_of_too_many_scans),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
