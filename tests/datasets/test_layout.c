/* The layout of pictures, written against the public headers alone: [height, width, channels] in files, sources,
 * transforms and batches. */
#include "helpers.h"

#include <sys/stat.h>

enum { N = 9, MOST_CHANNELS = 5, MOST = 400 /* elements in a sample */ };

/* ---- Color pictures, and each channel of them as gray pictures ---- */

typedef struct pictures {
    int64_t height, width, channels;
    sw_array color, gray[MOST_CHANNELS]; /* f64 [N, height, width, channels], [N, height, width] */
    sw_source *source, *channel[MOST_CHANNELS];
} pictures;

static sw_source *open_array(const sw_array *x) {
    sw_source *source = sw_arrays(x, NULL, NULL);
    if (!source)
        fail_msg("%s", sw_error());
    return source;
}

static void open_pictures(pictures *p, int64_t height, int64_t width, int64_t channels) {
    *p = (pictures){.height = height, .width = width, .channels = channels};
    p->color = test_filled(SW_F64, 4, (int64_t[]){N, height, width, channels}, 1, 2, 11);
    p->source = open_array(&p->color);
    for (int64_t c = 0; c < channels; c++) {
        p->gray[c] = test_array(SW_F64, 3, (int64_t[]){N, height, width});
        for (int64_t i = 0; i < N * height * width; i++)
            test_set(&p->gray[c], i, test_get(&p->color, i * channels + c));
        p->channel[c] = open_array(&p->gray[c]);
    }
}

static void close_pictures(pictures *p) {
    sw_source_free(p->source);
    test_array_free(&p->color);
    for (int64_t c = 0; c < p->channels; c++) {
        sw_source_free(p->channel[c]);
        test_array_free(&p->gray[c]);
    }
}

/* Channel c of the samples of `color` has the bits of the samples of `gray`, in one batch of both types. */
static void check_channel(const sw_source *color, int64_t channels, int64_t c, const sw_source *gray, uint64_t draw) {
    static double x[2][N * MOST];
    static float f[2][N * MOST];
    int64_t ids[N], pixels = 1;
    for (int i = 0; i < N; i++)
        ids[i] = i * 4 % N;
    for (int i = 0; i < gray->x_rank; i++)
        pixels *= gray->x_shape[i];
    assert_true(pixels * channels <= MOST);
    assert_int_equal(sw_source_gather(color, SW_F64, draw, ids, N, x[0], NULL), SW_OK);
    assert_int_equal(sw_source_gather(gray, SW_F64, draw, ids, N, x[1], NULL), SW_OK);
    assert_int_equal(sw_source_gather(color, SW_F32, draw, ids, N, f[0], NULL), SW_OK);
    assert_int_equal(sw_source_gather(gray, SW_F32, draw, ids, N, f[1], NULL), SW_OK);
    for (int64_t i = 0; i < N * pixels; i++) {
        assert_true(x[0][i * channels + c] == x[1][i]);
        assert_true(f[0][i * channels + c] == f[1][i]);
    }
}

/* ---- Crops and flips ---- */

/* A random window depends on the seed, the sample and the draw: neither the number of channels nor the layout changes
 * it. Gray, RGB and other numbers of channels are different loops. With a padding of 4, some windows of two pixels
 * contain no pixel of the picture. */
static void test_a_color_crop_is_the_crop_of_each_channel(void **state) {
    static const struct {
        int64_t height, width, padding, rows, columns;
    } cases[] = {{6, 7, 2, 0, 0}, {5, 4, 0, 3, 2}, {4, 3, 2, 7, 6}, {3, 5, 4, 2, 2}, {1, 9, 0, 1, 4}};
    (void)state;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++)
        for (int64_t channels = 1; channels <= MOST_CHANNELS; channels++)
            for (int flip = 0; flip < 2; flip++) {
                pictures p;
                open_pictures(&p, cases[k].height, cases[k].width, channels);
                const sw_augment_options o =
                    SW_OPTIONS(sw_augment_options, .padding = cases[k].padding, .height = cases[k].rows,
                               .width = cases[k].columns, .flip = flip, .seed = 5);
                sw_source *color = sw_augment(p.source, &o);
                assert_non_null(color);
                assert_int_equal(color->x_shape[2], channels);
                for (int64_t c = 0; c < channels; c++) {
                    sw_source *gray = sw_augment(p.channel[c], &o);
                    assert_true(color->x_shape[0] == gray->x_shape[0] && color->x_shape[1] == gray->x_shape[1]);
                    for (uint64_t draw = 0; draw < 6; draw++)
                        check_channel(color, channels, c, gray, draw);
                    sw_source_free(gray);
                }
                sw_source_free(color);
                close_pictures(&p);
            }
}

/* Element i of every sample is i + 1. */
static sw_status gather_positions(const sw_source *source, const int64_t *ids, int64_t count, uint64_t draw,
                                  sw_dtype type, void *x, void *y) {
    (void)ids, (void)draw, (void)y;
    const int64_t elements = source->x_shape[0] * source->x_shape[1] * source->x_shape[2];
    for (int64_t i = 0; i < count * elements; i++)
        vec_set(type, x, i, (double)(i % elements + 1));
    return SW_OK;
}

/* The windows of version 0.1, when pictures were [channels, height, width]: sample, draw → top, left, flip, for
 * pictures of 6 × 7 pixels with a padding of 2 and seed 3. A change of the layout must not change the windows. */
static void test_windows_are_those_of_channels_first(void **state) {
    enum { HEIGHT = 6, WIDTH = 7, CHANNELS = 3, PADDING = 2 };
    static const struct {
        int64_t id;
        uint64_t draw;
        int64_t top, left;
        bool flip;
    } windows[] = {{0, 0, 4, 3, true},          {0, 1, 0, 3, true},          {1, 0, 1, 4, false},
                   {1, 1, 4, 3, true},          {2, 0, 2, 1, true},          {2, 1, 3, 3, false},
                   {39, 0, 1, 1, false},        {39, 1, 3, 4, false},        {12345, 0, 1, 3, true},
                   {12345, 1, 1, 0, true},      {0, 1ULL << 40, 0, 0, true}, {2, 1ULL << 40, 0, 3, true},
                   {1LL << 33, 0, 4, 2, false}, {1LL << 33, 1, 0, 3, false}, {1LL << 33, 1ULL << 40, 3, 3, true}};
    (void)state;
    sw_source positions = {.size = sizeof positions,
                           .n = 1LL << 40,
                           .x_rank = 3,
                           .x_shape = {HEIGHT, WIDTH, CHANNELS},
                           .y_rank = -1,
                           .gather = gather_positions};
    sw_source *source =
        sw_augment(&positions, &SW_OPTIONS(sw_augment_options, .padding = PADDING, .flip = true, .seed = 3));
    assert_non_null(source);
    for (size_t k = 0; k < sizeof windows / sizeof *windows; k++) {
        double x[HEIGHT * WIDTH * CHANNELS];
        assert_int_equal(source->gather(source, &windows[k].id, 1, windows[k].draw, SW_F64, x, NULL), SW_OK);
        for (int64_t i = 0; i < HEIGHT * WIDTH * CHANNELS; i++) {
            const int64_t c = i % CHANNELS, column = i / CHANNELS % WIDTH;
            const int64_t top = i / CHANNELS / WIDTH + windows[k].top - PADDING;
            const int64_t left = (windows[k].flip ? WIDTH - 1 - column : column) + windows[k].left - PADDING;
            const bool inside = top >= 0 && top < HEIGHT && left >= 0 && left < WIDTH;
            assert_true(x[i] == (double)(inside ? (top * WIDTH + left) * CHANNELS + c + 1 : 0));
        }
    }
    sw_source_free(source);
}

/* ---- Normalization ---- */

/* The moments of a channel are those of the gray pictures with its numbers, bit for bit. */
static void test_moments_and_normalization_are_those_of_each_channel(void **state) {
    (void)state;
    for (int64_t channels = 1; channels <= MOST_CHANNELS; channels++) {
        pictures p;
        double mean[MOST_CHANNELS], std[MOST_CHANNELS], m, s;
        open_pictures(&p, 6, 5, channels);
        const sw_normalize_options o = SW_OPTIONS(sw_normalize_options, .which = SW_PER_CHANNEL);
        assert_int_equal(sw_moments_count(p.source, SW_PER_CHANNEL), channels);
        assert_int_equal(sw_moments(p.source, SW_PER_CHANNEL, mean, std), SW_OK);
        sw_source *color = sw_normalize(p.source, &o);
        for (int64_t c = 0; c < channels; c++) {
            assert_int_equal(sw_moments_count(p.channel[c], SW_PER_CHANNEL), 1);
            assert_int_equal(sw_moments(p.channel[c], SW_PER_CHANNEL, &m, &s), SW_OK);
            assert_true(mean[c] == m && std[c] == s);
            assert_true(c == 0 || mean[c] != mean[0]);
            sw_source *gray = sw_normalize(p.channel[c], &o);
            check_channel(color, channels, c, gray, 0);
            sw_source_free(gray);
        }
        sw_source_free(color);
        close_pictures(&p);
    }
}

/* ---- From files to batches ---- */

static void save_picture(const char *name, const sw_array *picture) {
    if (sw_picture_save(path_of(name), picture) != SW_OK)
        fail_msg("%s", sw_error());
}

/* sw_picture_save, sw_picture_load and sw_image_folder have one layout, and a batch has it too. */
static void test_batches_of_a_folder_are_channels_last(void **state) {
    enum { HEIGHT = 5, WIDTH = 7, CHANNELS = 3, ELEMENTS = HEIGHT * WIDTH * CHANNELS, COUNT = 4 };
    static const char *const name[COUNT] = {"a/0.png", "a/1.png", "b/0.png", "b/1.png"};
    sw_array picture[COUNT];
    (void)state;
    assert_true(mkdir(path_of("a"), 0700) == 0 && mkdir(path_of("b"), 0700) == 0);
    for (int i = 0; i < COUNT; i++) {
        sw_array stored = sw_array_new(SW_U8, SW_SHAPE(HEIGHT, WIDTH, CHANNELS));
        for (int j = 0; j < ELEMENTS; j++)
            ((unsigned char *)stored.data)[j] = noise(1000 * (size_t)i + (size_t)j);
        save_picture(name[i], &stored);
        assert_int_equal(sw_picture_load(path_of(name[i]), 0, &picture[i]), SW_OK);
        assert_memory_equal(picture[i].data, stored.data, ELEMENTS);
        sw_array_free(&stored);
    }
    sw_source *source = sw_image_folder(folder, &SW_OPTIONS(sw_image_folder_options, .scale = 1));
    sw_loader *loader = sw_loader_new(source, COUNT, &SW_OPTIONS(sw_loader_options, .order = SW_SEQUENTIAL));
    sw_tape *tape = sw_tape_new();
    sw_batch batch;
    assert_true(sw_loader_next(loader, tape, &batch));
    const sw_array x = sw_value(batch.x);
    assert_true(sw_shape_equal(x.rank, x.shape, SW_SHAPE(COUNT, HEIGHT, WIDTH, CHANNELS)));
    for (int i = 0; i < COUNT; i++)
        for (int j = 0; j < ELEMENTS; j++)
            assert_true(test_get(&x, i * ELEMENTS + j) == test_get(&picture[i], j));
    sw_tape_free(tape), sw_loader_free(loader), sw_source_free(source);
    for (int i = 0; i < COUNT; i++) {
        sw_array_free(&picture[i]);
        remove_file(path_of(name[i]));
    }
    assert_true(rmdir(path_of("a")) == 0 && rmdir(path_of("b")) == 0);
}

/* An array with channels first, as other libraries save it, becomes a source of pictures. */
static void test_an_array_with_channels_first_is_converted(void **state) {
    (void)state;
    pictures p;
    open_pictures(&p, 6, 7, 3);
    sw_array planes = sw_array_permute(&p.color, 4, (const int[]){0, 3, 1, 2});
    assert_true(sw_shape_equal(planes.rank, planes.shape, SW_SHAPE(N, 3, 6, 7)));
    for (int64_t c = 0; c < 3; c++) /* planes[i][c] is gray[c][i] */
        for (int64_t i = 0; i < N; i++)
            assert_memory_equal((const double *)planes.data + (i * 3 + c) * 42, (const double *)p.gray[c].data + i * 42,
                                42 * sizeof(double));
    sw_array last = sw_array_permute(&planes, 4, (const int[]){0, 2, 3, 1});
    assert_true(sw_shape_equal(last.rank, last.shape, p.color.rank, p.color.shape));
    assert_memory_equal(last.data, p.color.data, test_bytes(&p.color));
    sw_array_free(&planes);
    sw_array_free(&last);
    close_pictures(&p);
}

/* ---- What is refused ---- */

/* The functions below must not read or write beyond three means and deviations: they must refuse first. */
static void test_channels_first_is_refused_with_a_hint(void **state) {
    static const char hint[] =
        "a sample [3,32,32] is not [height, width, channels]; channels are the last axis (reorder the axes with "
        "sw_array_permute?)";
    (void)state;
    double mean[3] = {7, 7, 7}, std[3] = {7, 7, 7};
    sw_array x = test_array(SW_F64, 4, (int64_t[]){2, 3, 32, 32});
    sw_source *source = open_array(&x);
    assert_null(sw_augment(source, &SW_OPTIONS(sw_augment_options, .padding = 4)));
    check_error(SW_ERR_SHAPE, "augment: ", hint);
    assert_int_equal(sw_moments_count(source, SW_PER_CHANNEL), 0);
    check_error(SW_ERR_SHAPE, "moments: ", hint);
    assert_int_equal(sw_moments(source, SW_PER_CHANNEL, mean, std), SW_ERR_SHAPE);
    check_error(SW_ERR_SHAPE, "moments: ", hint);
    assert_true(mean[0] == 7 && std[2] == 7);
    assert_null(
        sw_normalize(source, &SW_OPTIONS(sw_normalize_options, .which = SW_PER_CHANNEL, .mean = mean, .std = std)));
    check_error(SW_ERR_SHAPE, "normalize: ", hint);
    /* If each number has its own mean and deviation, the axes do not matter. */
    assert_int_equal(sw_moments_count(source, SW_PER_FEATURE), 3 * 32 * 32);
    sw_source_free(source);
    test_array_free(&x);

    sw_array u8 = test_array(SW_U8, 3, (int64_t[]){3, 32, 32}), out;
    assert_int_equal(sw_picture_resize(&u8, 16, 16, &out), SW_ERR_SHAPE);
    check_error(SW_ERR_SHAPE, "picture_resize: ", "not u8 [3,32,32]; channels are the last axis");
    assert_int_equal(sw_picture_subject(&u8, 28, &out), SW_ERR_SHAPE);
    check_error(SW_ERR_SHAPE, "picture_subject: ", "not u8 [3,32,32]; channels are the last axis");
    assert_int_equal(sw_picture_save(path_of("x.png"), &u8), SW_ERR_SHAPE);
    check_error(SW_ERR_SHAPE, path_of("x.png"), "not u8 [3,32,32]; channels are the last axis");
    test_array_free(&u8);
}

/* Small pictures with many channels, which a network computes, and pictures of few rows are not refused. */
static void test_other_shapes_are_accepted(void **state) {
    static const int64_t shapes[][3] = {{4, 4, 64}, {1, 1, 300}, {3, 32, 4}, {5, 6, 7},
                                        {4, 7, 64}, {4, 64, 7},  {8, 8, 8},  {32, 3, 3}};
    (void)state;
    for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++) {
        const int64_t *s = shapes[k];
        sw_array x = test_array(SW_F64, 4, (int64_t[]){2, s[0], s[1], s[2]});
        sw_source *source = open_array(&x);
        assert_int_equal(sw_moments_count(source, SW_PER_CHANNEL), s[2]);
        sw_source *crop = sw_augment(source, &SW_OPTIONS(sw_augment_options, .padding = 1));
        if (!crop)
            fail_msg("%s", sw_error());
        sw_source_free(crop);
        sw_source_free(source);
        test_array_free(&x);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_color_crop_is_the_crop_of_each_channel),
        cmocka_unit_test(test_windows_are_those_of_channels_first),
        cmocka_unit_test(test_moments_and_normalization_are_those_of_each_channel),
        cmocka_unit_test(test_batches_of_a_folder_are_channels_last),
        cmocka_unit_test(test_an_array_with_channels_first_is_converted),
        cmocka_unit_test(test_channels_first_is_refused_with_a_hint),
        cmocka_unit_test(test_other_shapes_are_accepted),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
