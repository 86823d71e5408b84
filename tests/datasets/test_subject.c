/* Pictures of one object: it is found on a light or dark background, in any size and format, and made like those of
 * Fashion-MNIST. */
#include "support.h"

#include <swale/datasets.h>

enum { SIDE = 28 };

static sw_array blank(int64_t height, int64_t width, int channels, int value) {
    sw_array a = test_array(SW_U8, 3, (int64_t[]){height, width, channels});
    memset(a.data, value, test_bytes(&a));
    return a;
}

static void fill(sw_array *a, int64_t top, int64_t left, int64_t height, int64_t width, int channel, int value) {
    for (int64_t i = top; i < top + height; i++)
        for (int64_t j = left; j < left + width; j++)
            ((unsigned char *)a->data)[(i * a->shape[1] + j) * a->shape[2] + channel] = (unsigned char)value;
}

static sw_array subject_of(const sw_array *picture) {
    sw_array out;
    if (sw_picture_subject(picture, SIDE, &out) != SW_OK)
        fail_msg("%s", sw_error());
    assert_int_equal(out.rank, 2);
    assert_int_equal(out.shape[0], SIDE);
    assert_int_equal(out.shape[1], SIDE);
    return out;
}

/* A block twice as high as wide: 28×14 in the middle, full brightness within, whatever the picture. */
static void expect_block(sw_array *picture) {
    sw_array out = subject_of(picture);
    for (int64_t i = 0; i < SIDE; i++)
        for (int64_t j = 0; j < SIDE; j++)
            assert_int_equal(((unsigned char *)out.data)[i * SIDE + j], j >= 7 && j < 21 ? 255 : 0);
    sw_array_free(&out);
    test_array_free(picture);
}

static void test_subject_is_found_on_any_background(void **state) {
    (void)state;
    sw_array dark = blank(100, 90, 1, 0), light = blank(300, 290, 3, 255), gray = blank(60, 70, 1, 180),
             clear = blank(70, 70, 4, 0);
    fill(&dark, 20, 30, 40, 20, 0, 255);
    for (int c = 0; c < 3; c++)
        fill(&light, 100, 10, 120, 60, c, 0);
    fill(&gray, 1, 1, 56, 28, 0, 0);
    fill(&clear, 7, 7, 56, 28, 3, 255); /* black, opaque there alone */
    expect_block(&dark);
    expect_block(&light);
    expect_block(&gray);
    expect_block(&clear);
    sw_array alone = blank(60, 30, 1, 9); /* fills nearly all of it */
    fill(&alone, 0, 0, 60, 30, 0, 250);
    fill(&alone, 0, 0, 60, 1, 0, 9);
    fill(&alone, 0, 29, 60, 1, 0, 9);
    fill(&alone, 0, 0, 1, 30, 0, 9);
    sw_array out = subject_of(&alone);
    assert_int_equal(((unsigned char *)out.data)[14 * SIDE + 14], 250);
    sw_array_free(&out);
    test_array_free(&alone);
}

/* Single pixels of noise on a large picture are not taken for the thing. */
static void test_noise_is_no_subject(void **state) {
    (void)state;
    sw_array photo = blank(600, 500, 1, 250);
    fill(&photo, 100, 100, 400, 200, 0, 0);
    for (int i = 0; i < 40; i++)
        fill(&photo, 15 * i, (37 * i) % 500, 1, 1, 0, 100);
    sw_array out = subject_of(&photo);
    const unsigned char *x = out.data;
    assert_int_equal(x[0 * SIDE + 14], 255);
    assert_int_equal(x[27 * SIDE + 14], 255);
    assert_int_equal(x[14 * SIDE + 6], 0);
    sw_array_free(&out);
    test_array_free(&photo);
}

/* Brightness within the thing stays in proportion: half way from background to black is half. */
static void test_brightness_stays_in_proportion(void **state) {
    (void)state;
    sw_array a = blank(56, 56, 1, 200);
    fill(&a, 14, 14, 28, 28, 0, 0);
    fill(&a, 14, 14, 14, 28, 0, 100); /* the upper half */
    sw_array out = subject_of(&a);
    assert_int_equal(((unsigned char *)out.data)[5 * SIDE + 14], 128); /* (200 - 100)·255/200 = 127.5 */
    assert_int_equal(((unsigned char *)out.data)[20 * SIDE + 14], 255);
    sw_array_free(&out);
    test_array_free(&a);
}

/* The data set's own pictures, dark on white paper and four times as large, give what the small ones on
 * black do, but for what is blurred on the way. */
static void test_size_and_background_change_nothing(void **state) {
    (void)state;
    sw_source *test = sw_fashion_mnist(NULL, SW_TEST);
    assert_non_null(test);
    for (int64_t id = 0; id < 100; id++) {
        float x[784];
        assert_int_equal(sw_source_gather(test, SW_F32, 0, &id, 1, x, NULL), SW_OK);
        sw_array small = blank(SIDE, SIDE, 1, 0), paper = blank(4 * SIDE + 80, 4 * SIDE + 60, 1, 255);
        for (int64_t i = 0; i < SIDE; i++)
            for (int64_t j = 0; j < SIDE; j++) {
                int value = (int)lrint((double)x[i * SIDE + j] * 255);
                fill(&small, i, j, 1, 1, 0, value);
                fill(&paper, 50 + 4 * i, 20 + 4 * j, 4, 4, 0, 255 - value);
            }
        sw_array a = subject_of(&small), b = subject_of(&paper);
        double difference = 0, total = 0;
        for (int i = 0; i < 784; i++) {
            difference += abs(((unsigned char *)a.data)[i] - ((unsigned char *)b.data)[i]);
            total += ((unsigned char *)a.data)[i];
        }
        if (!(difference < 0.2 * total)) /* Mitchell's filter blurs pixels of 4 by 4 into their neighbors */
            fail_msg("sample %lld: %.3f of its brightness lies elsewhere", (long long)id, difference / total);
        sw_array_free(&a);
        sw_array_free(&b);
        test_array_free(&small);
        test_array_free(&paper);
    }
    sw_source_free(test);
}

static void test_resize_gives_the_shape_asked_for(void **state) {
    (void)state;
    sw_array a = blank(3, 5, 3, 77), out;
    assert_int_equal(sw_picture_resize(&a, 7, 2, &out), SW_OK);
    assert_int_equal(out.rank, 3);
    assert_true(out.shape[0] == 7 && out.shape[1] == 2 && out.shape[2] == 3);
    for (int i = 0; i < 42; i++)
        assert_int_equal(((unsigned char *)out.data)[i], 77);
    sw_array_free(&out);
    a.rank = 2, a.shape[1] = 15;
    assert_int_equal(sw_picture_resize(&a, 1, 1, &out), SW_OK);
    assert_int_equal(out.rank, 2);
    sw_array_free(&out);
    test_array_free(&a);
}

static void test_subject_refuses_wrong_pictures(void **state) {
    (void)state;
    sw_array a = blank(4, 4, 1, 30), wrong = a, out = {.data = &a};
    assert_int_equal(sw_picture_subject(&a, SIDE, &out), SW_ERR_FORMAT);
    assert_null(out.data);
    expect_error(SW_ERR_FORMAT, "picture_subject: there is nothing on the background (brightness 30)");
    fill(&a, 1, 1, 1, 1, 0, 43); /* 13 away: even */
    assert_int_equal(sw_picture_subject(&a, SIDE, &out), SW_ERR_FORMAT);
    sw_clear_error();
    fill(&a, 1, 1, 1, 1, 0, 44);
    assert_int_equal(sw_picture_subject(&a, SIDE, &out), SW_OK);
    sw_array_free(&out);
    assert_int_equal(sw_picture_subject(&a, 0, &out), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "picture_subject: 0 pixels per side; 1 to 32768 are possible");
    wrong.shape[2] = 5;
    assert_int_equal(sw_picture_resize(&wrong, 2, 2, &out), SW_ERR_SHAPE);
    expect_error(SW_ERR_SHAPE, "picture_resize: u8 [height, width, 1 to 4 channels] is needed, not u8 [4,4,5]");
    wrong = a, wrong.shape[0] = 40000;
    assert_int_equal(sw_picture_resize(&wrong, 2, 2, &out), SW_ERR_SHAPE);
    expect_error(SW_ERR_SHAPE, "picture_resize: 40000 pixels per side; 1 to 32768 are possible");
    assert_int_equal(sw_picture_subject(&a, SIDE, NULL), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "picture_subject: the array for the result is NULL");
    assert_int_equal(sw_picture_subject(NULL, SIDE, &out), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "picture_subject: the picture has no data");
    test_array_free(&a);
}

static void test_subject_survives_every_failed_allocation(void **state) {
    (void)state;
    sw_array a = blank(40, 30, 3, 255), out;
    fill(&a, 5, 5, 20, 10, 1, 0);
    test_allocator allocator;
    test_allocator_install(&allocator);
    bool done = false;
    for (int k = 1; !done; k++) {
        test_allocator_fail(&allocator, k, false);
        done = sw_picture_subject(&a, SIDE, &out) == SW_OK;
        assert_true(done == (atomic_load(&allocator.failed) == 0));
        assert_true(done || (!out.data && sw_error_status() == SW_ERR_MEMORY));
        sw_clear_error();
        sw_array_free(&out);
        assert_int_equal(atomic_load(&allocator.live), 0);
    }
    sw_set_allocator(NULL);
    test_array_free(&a);
}

static void test_checksums_are_those_of_the_files(void **state) {
    (void)state;
    char sha256[4][65];
    assert_int_equal(sw_fashion_mnist_checksums(NULL, sha256), SW_OK);
    assert_string_equal(sha256[3], "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34");
    assert_int_equal(sw_mnist_checksums("/nowhere", sha256), SW_ERR_IO);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_subject_is_found_on_any_background, test_clear),
        cmocka_unit_test_teardown(test_noise_is_no_subject, test_clear),
        cmocka_unit_test_teardown(test_brightness_stays_in_proportion, test_clear),
        cmocka_unit_test_teardown(test_size_and_background_change_nothing, test_clear),
        cmocka_unit_test_teardown(test_resize_gives_the_shape_asked_for, test_clear),
        cmocka_unit_test_teardown(test_subject_refuses_wrong_pictures, test_clear),
        cmocka_unit_test_teardown(test_subject_survives_every_failed_allocation, test_clear),
        cmocka_unit_test_teardown(test_checksums_are_those_of_the_files, test_clear),
    };
    return cmocka_run_group_tests_name("subject", tests, NULL, NULL);
}
