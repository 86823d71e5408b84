/* What plot.h paints, looked at as pixels of the file. */
#define _POSIX_C_SOURCE 200809L
#include "support.h"

#include <unistd.h>

#include "../../examples/plot.h"

static char path[64] = "/tmp/swale-plot-XXXXXX";

static sw_array saved(plot *p) {
    sw_array a;
    plot_save(p, path);
    expect_no_error();
    assert_int_equal(sw_picture_load(path, 3, &a), SW_OK);
    return a;
}

static unsigned color_at(const sw_array *a, int x, int y) {
    const unsigned char *p = (const unsigned char *)a->data + 3 * (y * a->shape[1] + x);
    return (unsigned)p[0] << 16 | (unsigned)p[1] << 8 | p[2];
}

static void a_picture_is_white_and_of_its_size(void **state) {
    (void)state;
    plot p = plot_new(7, 4);
    sw_array a = saved(&p);
    assert_null(p.pixels.data);
    assert_int_equal(a.shape[0], 4);
    assert_int_equal(a.shape[1], 7);
    for (int i = 0; i < 28; i++)
        assert_int_equal(color_at(&a, i % 7, i / 7), PLOT_WHITE);
    sw_array_free(&a);
}

/* A third of a pixel covered, two thirds left white: 255 - 255/3 = 170. */
static void edges_are_smooth(void **state) {
    (void)state;
    plot p = plot_new(4, 1);
    plot_rectangle(&p, 1, 0, 4.0 / 3, 1, 0x000000, 1);
    plot_rectangle(&p, 3, 0, 9, 9, 0x0000ff, 0.2); /* beyond the picture; 255·0.8 = 204 */
    sw_array a = saved(&p);
    assert_int_equal(color_at(&a, 0, 0), 0xffffff);
    assert_int_equal(color_at(&a, 1, 0), 0x000000);
    assert_int_equal(color_at(&a, 2, 0), 0xaaaaaa);
    assert_int_equal(color_at(&a, 3, 0), 0xccccff);
    sw_array_free(&a);
}

/* A panel of 10x10 units over 20x20 pixels at (5, 5); y points up. */
static void data_are_where_they_belong(void **state) {
    (void)state;
    const unsigned field[4] = {0x110000, 0x220000, 0x330000, 0x440000};
    const double x[2] = {-5, 15}, y[2] = {3.25, 3.25}, low[2] = {-9, -9}, high[2] = {1, 1};
    plot p = plot_new(30, 30);
    plot_panel(&p, 5, 5, 20, 20, 0, 10, 0, 10);
    plot_field(&p, 2, 2, field);
    plot_band(&p, 2, x, low, high, 0x00ff00, 1);
    plot_curve(&p, 2, x, y, 1, 0x0000ff);
    plot_point(&p, 8, 8, 2, 0xff0000);
    sw_array a = saved(&p);
    assert_int_equal(color_at(&a, 5, 5), 0x110000);
    assert_int_equal(color_at(&a, 24, 5), 0x220000);
    assert_int_equal(color_at(&a, 5, 20), 0x330000);
    assert_int_equal(color_at(&a, 24, 20), 0x440000);
    assert_int_equal(color_at(&a, 10, 24), 0x00ff00);
    assert_int_equal(color_at(&a, 10, 22), 0x330000);
    assert_int_equal(color_at(&a, 10, 18), 0x0000ff); /* 25 - 6.5 ± ½ */
    assert_int_equal(color_at(&a, 21, 9), 0xff0000);  /* the disc's middle is at (21, 9) */
    for (int i = 0; i < 30; i++) {                    /* nothing left or right of the panel, above it or below */
        assert_int_equal(color_at(&a, 4, i), PLOT_WHITE);
        assert_int_equal(color_at(&a, 25, i), PLOT_WHITE);
        assert_int_equal(color_at(&a, i, 4), PLOT_WHITE);
        assert_int_equal(color_at(&a, i, 25), PLOT_WHITE);
    }
    sw_array_free(&a);
}

/* Dashes of 4 pixels, 4 apart, along a curve with a corner: 6 pixels to the right and then down. */
static void dashes_follow_the_curve(void **state) {
    (void)state;
    const double x[3] = {0, 6, 6}, y[3] = {10, 10, 0}, dash[2] = {4, 4}, none[2] = {0, 0};
    plot p = plot_new(12, 14);
    plot_panel(&p, 2, 2, 10, 10, 0, 10, 0, 10);
    plot_dashed(&p, 3, x, y, 1, 0x0000ff, dash);
    sw_array a = saved(&p);
    assert_int_equal(color_at(&a, 4, 2) & 255, 255); /* 2.5 from the beginning: within the first dash */
    assert_true(color_at(&a, 4, 2) != PLOT_WHITE);
    assert_int_equal(color_at(&a, 8, 2), PLOT_WHITE);  /* the corner is in the first gap */
    assert_true(color_at(&a, 8, 6) != PLOT_WHITE);     /* 4 to 5 down: the second dash */
    assert_int_equal(color_at(&a, 8, 10), PLOT_WHITE); /* 8 to 9 down: the second gap */
    sw_array_free(&a);
    p = plot_new(12, 14);
    plot_panel(&p, 2, 2, 10, 10, 0, 10, 0, 10);
    plot_dashed(&p, 3, x, y, 1, 0x0000ff, none);
    a = saved(&p);
    assert_true(color_at(&a, 8, 10) != PLOT_WHITE);
    sw_array_free(&a);
}

/* No two letters look alike (those that there are not are boxes, as # is), all stay within their width, and
 * upwards is the same turned by a quarter. */
static void letters(void **state) {
    (void)state;
    static unsigned char shape[96][30 * 30];
    for (int c = ' '; c < 127; c++) {
        const char text[2] = {(char)c, 0};
        int ink = 0;
        plot p = plot_new(30, 30), q = plot_new(30, 30);
        plot_text(&p, 4, 22, 12, PLOT_LEFT, false, 0, text);
        plot_text(&q, 22, 26, 12, PLOT_LEFT, true, 0, text);
        sw_array a = saved(&p), b = saved(&q);
        for (int i = 0; i < 900; i++) {
            const int x = i % 30, y = i / 30;
            shape[c - ' '][i] = color_at(&a, x, y) < 0xd0d0d0;
            ink += shape[c - ' '][i];
            if (shape[c - ' '][i])
                assert_true(x >= 2 && x < 4 + 2 * plot_advance((char)c) && y > 8);
            assert_int_equal(color_at(&a, x, y), color_at(&b, y, 29 - x));
        }
        assert_true((ink > 0) == (c != ' '));
        sw_array_free(&a);
        sw_array_free(&b);
    }
    static const char all[] = /* but I and l, which look alike */
        " abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNOPQRSTUVWXYZ0123456789.,:'!?-+=/%()<>_*~#";
    for (const char *c = all; *c; c++)
        for (const char *d = all; d < c; d++)
            if (memcmp(shape[*c - ' '], shape[*d - ' '], sizeof shape[0]) == 0)
                fail_msg("%c looks like %c", *c, *d);
}

static void ticks_are_round_and_few(void **state) {
    (void)state;
    for (double length = 1e-4; length < 1e6; length *= 1.07) {
        const double tick = plot_tick(length), power = pow(10, floor(log10(tick) + 1e-9));
        const double first = tick / power;
        assert_true(fabs(first - 1) < 1e-9 || fabs(first - 2) < 1e-9 || fabs(first - 5) < 1e-9);
        assert_true(length / tick <= 6.0000001 && length / tick > 2.3999);
    }
}

/* What is not a number leaves no mark, and what is beside it stays. */
static void numbers_that_are_none(void **state) {
    (void)state;
    const double x[4] = {0, 1, 2, 3}, y[4] = {2, NAN, INFINITY, 2};
    plot p = plot_new(30, 40);
    plot_panel(&p, 0, 0, 30, 40, 0, 3, 0, 4);
    plot_curve(&p, 4, x, y, 1, 0x0000ff);
    plot_point(&p, NAN, 2, 3, 0x0000ff);
    plot_point(&p, 2.5, 2, 2, 0x00ff00);
    sw_array a = saved(&p);
    for (int i = 0; i < 40; i++)
        for (int j = 0; j < 30; j++)
            assert_int_equal(color_at(&a, j, i) != PLOT_WHITE, hypot(j + 0.5 - 25, i + 0.5 - 20) < 2.4);
    sw_array_free(&a);
}

static void logarithms(void **state) {
    (void)state;
    for (double x = 1e-300; x < 1e300; x *= 1.37) /* one rounding of the sum, and of the product */
        assert_true(fabs(plot_log2(x) - log2(x)) <= 4e-16 * (1 + fabs(log2(x))));
    assert_true(plot_log2(1) == 0 && plot_log2(1024) == 10 && plot_log2(0.125) == -3);
}

/* From 1e-6 to 1 over 60 pixels a decade is 10; 0 and below are under the panel, and leave no mark. */
static void a_logarithmic_axis(void **state) {
    (void)state;
    const double x[2] = {1, 100}, y[2] = {1e-3, 1e-3}, nothing[2] = {0, -1};
    plot p = plot_new(40, 80);
    plot_panel(&p, 10, 10, 20, 60, 1, 100, 1e-6, 1);
    plot_logarithmic(&p, true, true);
    assert_true(fabs(plot_x(&p, 10) - 20) < 1e-9 && fabs(plot_y(&p, 1e-6) - 70) < 1e-9);
    plot_curve(&p, 2, x, y, 1, 0x0000ff);
    plot_curve(&p, 2, x, nothing, 1, 0xff0000);
    plot_point(&p, 10, 0.1, 2, 0x00ff00);
    plot_panel(&p, 10, 10, 20, 60, 0, 10, 0, 6); /* the next panel's axes are linear again */
    assert_true(fabs(plot_y(&p, 1) - 60) < 1e-9);
    sw_array a = saved(&p);
    assert_int_equal(color_at(&a, 20, 20), 0x00ff00);
    for (int i = 0; i < 80; i++) {
        assert_int_equal(color_at(&a, 12, i) == 0x0000ff, false); /* two rows, half each */
        assert_int_equal(color_at(&a, 12, i) != PLOT_WHITE, i == 39 || i == 40);
    }
    sw_array_free(&a);
}

static void ticks_of_a_logarithmic_axis(void **state) {
    (void)state;
    static const struct {
        double low, high, tick[8];
        const char *number[8];
    } axis[] = {{1e-14, 10, {1e-12, 1e-9, 1e-6, 1e-3, 1}, {"1e-12", "1e-9", "1e-6", "0.001", "1"}},
                {0.004, 0.15, {0.01, 0.1}, {"0.01", "0.1"}},
                {1e-4, 100, {1e-4, 1e-3, 0.01, 0.1, 1, 10, 100}, {"1e-4", "0.001", "0.01", "0.1", "1", "10", "100"}},
                {50, 3e6, {100, 1e3, 1e4, 1e5, 1e6}, {"100", "1000", "10000", "1e5", "1e6"}}};
    for (size_t i = 0; i < sizeof axis / sizeof *axis; i++) {
        char number[32];
        int k = 0;
        for (; k < 8 && axis[i].tick[k] > 0; k++) {
            const double at = plot_tick_at(axis[i].low, axis[i].high, true, k);
            if (!(fabs(at / axis[i].tick[k] - 1) < 1e-9))
                fail_msg("%g instead of %g", at, axis[i].tick[k]);
            plot_number(at, number);
            assert_string_equal(number, axis[i].number[k]);
        }
        assert_true(plot_tick_at(axis[i].low, axis[i].high, true, k) > axis[i].high);
    }
    char number[32];
    plot_number(-2.5e-7, number);
    assert_string_equal(number, "-2.5e-7");
    plot_number(0, number);
    assert_string_equal(number, "0");
}

/* Nothing is painted without memory, nothing written after an error. */
static void after_an_error_there_is_no_picture(void **state) {
    (void)state;
    const double x[2] = {0, 1};
    test_allocator a;
    unlink(path);
    test_allocator_install(&a);
    test_allocator_fail(&a, 1, false);
    plot p = plot_new(10, 10);
    plot_axes(&p, "title", "x", "y");
    plot_curve(&p, 2, x, x, 1, PLOT_BLUE);
    plot_band(&p, 2, x, x, x, PLOT_BLUE, 0.5);
    plot_point(&p, 0.5, 0.5, 2, PLOT_RED);
    plot_save(&p, path);
    assert_int_equal(sw_error_status(), SW_ERR_MEMORY);
    sw_clear_error();
    test_allocator_fail(&a, 0, false);
    p = plot_new(10, 10);
    sw_fail(SW_ERR_USER, "something else");
    plot_save(&p, path);
    p = plot_new(10, 10);
    plot_panel(&p, 0, 0, 10, 10, 0, 0, NAN, NAN); /* what was to be shown was not worked out */
    plot_axes(&p, "title", "x", "y");
    plot_save(&p, path);
    expect_error(SW_ERR_USER, "something else");
    assert_true(access(path, F_OK) != 0);
    assert_int_equal(atomic_load(&a.live), 0);
    sw_set_allocator(NULL);
}

static int setup(void **state) {
    (void)state;
    const int file = mkstemp(path);
    return file >= 0 && close(file) == 0 ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    unlink(path);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_picture_is_white_and_of_its_size),
        cmocka_unit_test(edges_are_smooth),
        cmocka_unit_test(dashes_follow_the_curve),
        cmocka_unit_test(data_are_where_they_belong),
        cmocka_unit_test(letters),
        cmocka_unit_test(ticks_are_round_and_few),
        cmocka_unit_test(numbers_that_are_none),
        cmocka_unit_test(logarithms),
        cmocka_unit_test(a_logarithmic_axis),
        cmocka_unit_test(ticks_of_a_logarithmic_axis),
        cmocka_unit_test(after_an_error_there_is_no_picture),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
