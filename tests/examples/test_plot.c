/* The pixels that plot.h paints. */
#include "pixels.h"

static void a_picture_is_white_and_of_its_size(void **state) {
    (void)state;
    plot p = plot_new(7, 4);
    sw_array a = saved(&p);
    assert_null(p.samples.data);
    assert_int_equal(a.shape[0], 4 * PLOT_SCALE);
    assert_int_equal(a.shape[1], 7 * PLOT_SCALE);
    for (int i = 0; i < 8 * 14; i++)
        assert_int_equal(pixel_at(&a, i % 14, i / 14), PLOT_WHITE);
    sw_array_free(&a);
}

/* A third of a pixel covered, two thirds left white: 255 - 255/3 = 170. */
static void edges_are_smooth(void **state) {
    (void)state;
    plot p = plot_new(4, 1);
    plot_rectangle(&p, 1, 0, 7.0 / 6, 1, 0x000000, 1);
    plot_rectangle(&p, 3, 0, 9, 9, 0x0000ff, 0.2); /* beyond the picture; 255·0.8 = 204 */
    sw_array a = saved(&p);
    assert_int_equal(pixel_at(&a, 1, 0), 0xffffff);
    assert_int_equal(pixel_at(&a, 2, 0), 0x000000);
    assert_int_equal(pixel_at(&a, 3, 0), 0x000000);
    assert_int_equal(pixel_at(&a, 4, 0), 0xaaaaaa);
    assert_int_equal(pixel_at(&a, 5, 0), 0xffffff);
    assert_int_equal(pixel_at(&a, 6, 0), 0xccccff);
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
    enum { SIDE = 30 * PLOT_SCALE };
    static unsigned char shape[96][SIDE * SIDE];
    for (int c = ' '; c < 127; c++) {
        const char text[2] = {(char)c, 0};
        int ink = 0;
        plot p = plot_new(30, 30), q = plot_new(30, 30);
        plot_text(&p, 4, 22, 12, PLOT_LEFT, false, 0, text);
        plot_text(&q, 22, 26, 12, PLOT_LEFT, true, 0, text);
        sw_array a = saved(&p), b = saved(&q);
        for (int i = 0; i < SIDE * SIDE; i++) {
            const int x = i % SIDE, y = i / SIDE;
            shape[c - ' '][i] = pixel_at(&a, x, y) < 0xd0d0d0;
            ink += shape[c - ' '][i];
            if (shape[c - ' '][i])
                assert_true(x >= 4 && x < 2 * (4 + 2 * stroke_advance((char)c)) && y > 16);
            assert_int_equal(pixel_at(&a, x, y), pixel_at(&b, y, SIDE - 1 - x));
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
    for (int i = 0; i < 80; i++)
        for (int j = 0; j < 60; j++) {
            const double distance = hypot((j + 0.5) / 2 - 25, (i + 0.5) / 2 - 20);
            if (fabs(distance - 2.2) > 0.3) /* not on the edge, which is white within */
                assert_int_equal(pixel_at(&a, j, i) != PLOT_WHITE, distance < 2.2);
        }
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
    for (int i = 0; i < 160; i++)
        assert_int_equal(pixel_at(&a, 24, i), i == 79 || i == 80 ? 0x0000ff : PLOT_WHITE);
    sw_array_free(&a);
}

static void ticks_of_a_logarithmic_axis(void **state) {
    (void)state;
    static const struct {
        double low, high, tick[8];
        const char *number[8];
    } axis[] = {{1e-14, 10, {1e-12, 1e-9, 1e-6, 1e-3, 1}, {"10⁻¹²", "10⁻⁹", "10⁻⁶", "0.001", "1"}},
                {0.004, 0.15, {0.01, 0.1}, {"0.01", "0.1"}},
                {1e-4, 100, {1e-4, 1e-3, 0.01, 0.1, 1, 10, 100}, {"10⁻⁴", "0.001", "0.01", "0.1", "1", "10", "100"}},
                {50, 3e6, {100, 1e3, 1e4, 1e5, 1e6}, {"100", "1000", "10000", "10⁵", "10⁶"}}};
    for (size_t i = 0; i < sizeof axis / sizeof *axis; i++) {
        char number[64];
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
    char number[64];
    plot_number(-2.5e-7, number);
    assert_string_equal(number, "−2.5×10⁻⁷");
    plot_number(-1e12, number);
    assert_string_equal(number, "−10¹²");
    plot_number(2e5, number);
    assert_string_equal(number, "2×10⁵");
    plot_number(-0.25, number);
    assert_string_equal(number, "−0.25");
    plot_number(1.23456e-300, number);
    assert_string_equal(number, "1.2346×10⁻³⁰⁰");
    plot_number(INFINITY, number);
    assert_string_equal(number, "inf");
    plot_number(0, number);
    assert_string_equal(number, "0");
}

/* Nothing is painted without memory, nothing written after an error. */
/* Ticks are searched from the ends of an axis: without a range, the search would not end. */
static void axes_without_a_range(void **state) {
    (void)state;
    static const double ends[][2] = {{0, 0}, {3, 3}, {-2, -2}, {1, 1 + 1e-15}, {5e-324, 5e-324}, {1e-9, 1e-9}};
    for (int i = 0; i < 6; i++) {
        plot p = plot_new(200, 200);
        plot_panel(&p, 50, 40, 100, 100, ends[i][0], ends[i][1], ends[i][0], ends[i][1]);
        assert_true(p.x0 < ends[i][0] && p.x1 > ends[i][1] && p.y0 < ends[i][0] && p.y1 > ends[i][1]);
        if (ends[i][0] > 1e-300)
            plot_logarithmic(&p, true, true);
        plot_axes(&p, "", "", "");
        sw_array a = saved(&p);
        sw_array_free(&a);
    }
}

static void axes_without_finite_ends(void **state) {
    (void)state;
    static const double ends[][2] = {{1, 0}, {0, INFINITY}, {-INFINITY, 0}, {NAN, 1}, {0, NAN}};
    for (int i = 0; i < 5; i++) {
        plot p = plot_new(200, 200);
        plot_panel(&p, 50, 40, 100, 100, 0, 1, ends[i][0], ends[i][1]);
        plot_axes(&p, "", "", "");
        plot_save(&p, pixels_path);
        assert_int_equal(sw_error_status(), SW_ERR_ARGUMENT);
        assert_non_null(strstr(sw_error(), "finite numbers in ascending order are needed"));
        sw_clear_error();
    }
    plot p = plot_new(200, 200);
    plot_panel(&p, 50, 40, 100, 100, 1, 2, 0, 1);
    plot_logarithmic(&p, true, true);
    plot_axes(&p, "", "", "");
    plot_save(&p, pixels_path);
    assert_string_equal(sw_error(), "plot: a logarithmic axis that begins at 0; a positive number is needed");
    sw_clear_error();
}

static void after_an_error_there_is_no_picture(void **state) {
    (void)state;
    const double x[2] = {0, 1};
    test_allocator a;
    unlink(pixels_path);
    test_allocator_install(&a);
    for (int k = 1; k <= 4; k++) { /* samples, marks; those of a picture that grows */
        const legend_entry entry = {"curve", PLOT_BLUE, 2, LEGEND_LINE, {0}};
        test_allocator_fail(&a, k, false);
        plot p = plot_new(200, 100);
        plot_panel(&p, 30, 10, 100, 20, 0, 1, 0, 1);
        plot_axes(&p, "title", "x", "y");
        plot_curve(&p, 2, x, x, 1, PLOT_BLUE);
        plot_band(&p, 2, x, x, x, PLOT_BLUE, 0.5);
        plot_point(&p, 0.5, 0.5, 2, PLOT_RED);
        plot_legend(&p, 1, &entry);
        plot_save(&p, pixels_path);
        assert_int_equal(sw_error_status(), SW_ERR_MEMORY);
        sw_clear_error();
        test_allocator_fail(&a, 0, false);
        assert_int_equal(atomic_load(&a.live), 0);
    }
    plot p = plot_new(10, 10);
    sw_fail(SW_ERR_USER, "something else");
    plot_save(&p, pixels_path);
    p = plot_new(10, 10);
    plot_panel(&p, 0, 0, 10, 10, 0, 0, NAN, NAN); /* what was to be shown was not worked out */
    plot_axes(&p, "title", "x", "y");
    plot_save(&p, pixels_path);
    expect_error(SW_ERR_USER, "something else");
    assert_true(access(pixels_path, F_OK) != 0);
    assert_int_equal(atomic_load(&a.live), 0);
    sw_set_allocator(NULL);
}

/* ---- Colors of surfaces ---- */

/* L* of CIE 1976, from 0, black, to 100, white. */
static double lightness(unsigned color) {
    static const double weight[3] = {0.2126, 0.7152, 0.0722};
    double y = 0;
    for (int c = 0; c < 3; c++) {
        const double v = (color >> (16 - 8 * c) & 255) / 255.0;
        y += weight[c] * (v <= 0.04045 ? v / 12.92 : pow((v + 0.055) / 1.055, 2.4));
    }
    return y > 0.008856 ? 116 * cbrt(y) - 16 : 903.3 * y;
}

/* Equal steps of the value are nearly equal steps of lightness, from 15 to 91, and as pale as surfaces have it. */
static void lightness_rises_evenly(void **state) {
    (void)state;
    enum { STEPS = 32 };
    const double low = lightness(color_viridis(0)), high = lightness(color_viridis(1));
    assert_true(low < 16 && high > 90);
    for (int i = 0; i < STEPS; i++) {
        const double step = lightness(color_viridis((i + 1.0) / STEPS)) - lightness(color_viridis((double)i / STEPS));
        if (!(step > 0.7 * (high - low) / STEPS && step < 1.4 * (high - low) / STEPS))
            fail_msg("step %d: %g of %g", i, step, (high - low) / STEPS);
    }
    for (plot_levels s = {.low = 1, .factor = 2, .count = 2}; s.count <= 40; s.count++)
        for (int i = 1; i < s.count; i++)
            assert_true(lightness(plot_level_color(&s, i)) > lightness(plot_level_color(&s, i - 1)));
    assert_int_equal(color_viridis(0), 0x440154);
    assert_int_equal(color_viridis(1), 0xfde725);
    assert_int_equal(color_viridis(-INFINITY), 0x440154);
    assert_int_equal(color_viridis(NAN), 0x440154);
    assert_int_equal(color_viridis(1e300), 0xfde725);
}

static double of_x(double x, double y) {
    (void)y;
    return x;
}

/* Three levels, whose borders are at 4 and 16. */
static void contours(void **state) {
    (void)state;
    const plot_levels levels = {.low = 1, .factor = 4, .count = 3};
    plot p = plot_new(40, 20);
    plot_panel(&p, 5, 5, 30, 10, 1, 64, 0, 1);
    plot_contours(&p, of_x, &levels);
    for (int y = 0; y < p.height; y++) /* a legend may lie on it */
        assert_true(plot_is_free(&p, 0, y, p.width, 1));
    sw_array a = saved(&p);
    for (int x = 0; x < 80; x++) {
        const double value = 1 + 63 * ((x + 0.5) / 2 - 5) / 30;
        const int level = value < 4 ? 0 : value < 16 ? 1 : 2;
        if (fabs(value - 4) > 1 && fabs(value - 16) > 1)
            assert_int_equal(pixel_at(&a, x, 20), x < 10 || x >= 70 ? PLOT_WHITE : plot_level_color(&levels, level));
        assert_int_equal(pixel_at(&a, x, 9), PLOT_WHITE);
    }
    sw_array_free(&a);
    assert_int_equal(plot_value_color(&levels, 4), plot_level_color(&levels, 1));
    assert_int_equal(plot_value_color(&levels, -1), plot_level_color(&levels, 0));
    assert_int_equal(plot_value_color(&levels, NAN), plot_level_color(&levels, 0));
    assert_int_equal(plot_value_color(&levels, INFINITY), plot_level_color(&levels, 2));
}

/* ---- A picture with everything, by strokes ---- */

static double hill(double x, double y) {
    return 1e-3 + x * x + 4 * y * y;
}

/* Its pixels are the same on every machine and with every compiler. A change that is meant: put in the new hash. */
static void the_same_bytes_everywhere(void **state) {
    (void)state;
    const double x[5] = {0, 1, 2, 3, 4}, y[5] = {1e-6, 1e-3, 0.1, 1e-5, 3}, low[5] = {1e-6, 1e-6, 1e-4, 1e-5, 1e-3};
    const double dash[2] = {6, 3};
    const plot_levels levels = {.low = 0.01, .factor = 3, .count = 6};
    const legend_entry entry[] = {{"λ ≤ 10⁻⁶", PLOT_BLUE, 2, LEGEND_LINE, {0}},
                                  {"w₁, éd.", PLOT_RED, 2, LEGEND_LINE, {6, 3}},
                                  {"band", PLOT_SKY, 0, LEGEND_AREA, {0}},
                                  {"points", PLOT_GREEN, 3, LEGEND_POINT, {0}}};
    plot p = plot_new(420, 240);
    plot_panel(&p, 60, 30, 160, 150, 0, 4, 1e-6, 10);
    plot_logarithmic(&p, false, true);
    plot_axes(&p, "Title: (a) 100 %", "x / m", "f − f*");
    plot_band(&p, 5, x, low, y, PLOT_SKY, 0.4);
    plot_curve(&p, 5, x, y, 1.6, PLOT_BLUE);
    plot_dashed(&p, 5, x, low, 1.3, PLOT_RED, dash);
    plot_point(&p, 2, 0.1, 3, PLOT_GREEN);
    plot_legend(&p, 4, entry);
    plot_panel(&p, 260, 30, 90, 150, -2, 2, -1, 1);
    plot_axes(&p, NULL, "w₁", "");
    plot_contours(&p, hill, &levels);
    plot_frame(&p, PLOT_GRAY);
    plot_color_bar(&p, 366, 30, 150, &levels, "f");
    sw_array a = saved(&p);
    uint64_t hash = 14695981039346656037u; /* FNV-1a */
    for (int64_t i = 0; i < sw_array_count(&a); i++)
        hash = (hash ^ ((unsigned char *)a.data)[i]) * 1099511628211u;
    sw_array_free(&a);
    if (hash != 0xdc5a03f46711759u)
        fail_msg("the pixels' hash is 0x%llx", (unsigned long long)hash);
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
        cmocka_unit_test(axes_without_a_range),
        cmocka_unit_test(axes_without_finite_ends),
        cmocka_unit_test(after_an_error_there_is_no_picture),
        cmocka_unit_test(lightness_rises_evenly),
        cmocka_unit_test(contours),
        cmocka_unit_test(the_same_bytes_everywhere),
    };
    return cmocka_run_group_tests(tests, pixels_setup, pixels_teardown);
}
