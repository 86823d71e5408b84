/* The position of legends: never on data, in a corner if one is free, else below the panel. */
#include "pixels.h"

enum { ENTRIES = 4 };
static const legend_entry entries[ENTRIES] = {{"first", PLOT_BLUE, 2, LEGEND_LINE, {0}},
                                              {"second", PLOT_RED, 2, LEGEND_LINE, {5, 3}},
                                              {"third", PLOT_GREEN, 3, LEGEND_POINT, {0}},
                                              {"fourth", PLOT_SKY, 0, LEGEND_AREA, {0}}};

/* A panel of 400x300 units at (60, 40) with axes, which shows [0, 1] x [0, 1]. */
static plot framed_panel(void) {
    plot p = plot_new(500, 400);
    plot_panel(&p, 60, 40, 400, 300, 0, 1, 0, 1);
    plot_axes(&p, "title", "x", "y");
    return p;
}

static sw_array copy_of(const sw_array *a) {
    sw_array copy = sw_array_new(a->type, a->rank, a->shape);
    assert_non_null(copy.data);
    memcpy(copy.data, a->data, (size_t)sw_array_count(a));
    return copy;
}

/* Draws a legend and checks that what was there before is there still; returns the box of what is new, in units. */
static legend_box legend_beside_data(plot *p, int count) {
    sw_array occupied = copy_of(&p->occupied), samples = copy_of(&p->samples);
    const int height = p->height;
    legend_box box = {.left = 1 << 20, .top = 1 << 20};
    int right = -1, bottom = -1;
    plot_legend(p, count, entries);
    expect_no_error();
    const char *before = occupied.data, *after = p->occupied.data;
    for (int y = 0; y < p->height; y++)
        for (int x = 0; x < p->width; x++) {
            const bool had = y < height && before[y * p->width + x];
            for (int k = 0; had && k < PLOT_FINE; k++) {
                const int64_t row = 3 * (((int64_t)y * PLOT_FINE + k) * PLOT_FINE * p->width + x * PLOT_FINE);
                assert_memory_equal((char *)p->samples.data + row, (char *)samples.data + row, 3 * PLOT_FINE);
            }
            if (!had && after[y * p->width + x]) {
                box.left = x < box.left ? x : box.left, box.top = y < box.top ? y : box.top;
                right = x > right ? x : right, bottom = y > bottom ? y : bottom;
            }
        }
    box.width = right + 1 - box.left, box.height = bottom + 1 - box.top;
    sw_array_free(&occupied), sw_array_free(&samples);
    return box;
}

static bool is_within_panel(const plot *p, legend_box box) {
    return box.left >= p->left && box.top >= p->top && box.left + box.width <= p->right &&
           box.top + box.height <= p->bottom;
}

/* Upper right first; then the other corners as points take one after the other. */
static void a_free_corner_is_taken(void **state) {
    (void)state;
    static const double taken[4][2] = {{0.95, 0.95}, {0.05, 0.95}, {0.95, 0.05}, {0.05, 0.05}};
    for (int corners = 0; corners < 4; corners++) {
        plot p = framed_panel();
        for (int i = 0; i < corners; i++)
            plot_point(&p, taken[i][0], taken[i][1], 3, PLOT_BLACK);
        const legend_box box = legend_beside_data(&p, ENTRIES);
        assert_true(is_within_panel(&p, box));
        assert_int_equal(box.height, ENTRIES * LEGEND_ROW + LEGEND_GAP);
        assert_true(corners % 2 == 0 ? box.left + box.width == 460 - LEGEND_GAP : box.left == 60 + LEGEND_GAP);
        assert_true(corners < 2 ? box.top == 40 + LEGEND_GAP : box.top + box.height == 340 - LEGEND_GAP);
        sw_array a = saved(&p);
        assert_int_equal(a.shape[0], 400 * PLOT_SCALE);
        sw_array_free(&a);
    }
}

/* All corners are taken: some place in the middle. */
static void a_place_within_the_panel(void **state) {
    (void)state;
    plot p = framed_panel();
    for (int i = 0; i < 4; i++)
        plot_point(&p, i & 1 ? 0.97 : 0.03, i & 2 ? 0.97 : 0.03, 3, PLOT_BLACK);
    assert_true(is_within_panel(&p, legend_beside_data(&p, ENTRIES)));
    plot_save(&p, pixels_path);
}

/* A panel full of data: below it, under the label, in columns; the picture grows for what does not fit. */
static void below_a_full_panel(void **state) {
    (void)state;
    for (int count = 1; count <= ENTRIES; count++) {
        plot p = framed_panel();
        for (int i = 0; i < 30; i++)
            for (int j = 0; j < 30; j++)
                plot_point(&p, (i + 0.5) / 30, (j + 0.5) / 30, 2, PLOT_BLACK);
        const legend_box box = legend_beside_data(&p, count);
        assert_int_equal(box.left, 60);
        assert_true(box.top > 340 && box.top + box.height < p.height && box.left + box.width <= 460);
        assert_int_equal(box.height, LEGEND_GAP + LEGEND_ROW * (count > 3 ? 2 : 1)); /* three columns of 120 or so */
        const int height = p.height;
        assert_true(count < ENTRIES || height > 400);
        sw_array a = saved(&p);
        assert_int_equal(a.shape[0], PLOT_SCALE * height);
        assert_int_equal(pixel_at(&a, 0, PLOT_SCALE * height - 1), PLOT_WHITE);
        sw_array_free(&a);
    }
}

/* A text wider than the picture is cut off, and covers nothing. */
static void a_long_text(void **state) {
    (void)state;
    char text[200];
    memset(text, 'm', sizeof text - 1);
    text[sizeof text - 1] = 0;
    const legend_entry entry = {text, PLOT_BLUE, 2, LEGEND_LINE, {0}};
    plot p = framed_panel();
    plot_curve(&p, 2, (double[]){0, 1}, (double[]){0, 1}, 2, PLOT_BLUE);
    plot_legend(&p, 1, &entry);
    expect_no_error();
    assert_true(p.height > 400);
    plot_save(&p, pixels_path);
}

/* Random walks of all kinds: nothing that was drawn is ever covered. */
static void random_data(void **state) {
    (void)state;
    const double dash[2] = {4, 3};
    int inside = 0, below = 0;
    for (uint64_t seed = 0; seed < 60; seed++) {
        sw_rng rng = {.key = sw_rng_key(seed, "legends")};
        plot p = framed_panel();
        for (uint64_t k = 0; k < 1 + seed / 3; k++) {
            double x[40], y[40], low[40];
            y[0] = sw_rng_uniform(&rng);
            for (int i = 0; i < 40; i++) {
                x[i] = i / 39.0;
                y[i] = i ? y[i - 1] + 0.1 * sw_rng_normal(&rng) : y[i];
                low[i] = y[i] - 0.02;
            }
            if (k % 4 == 0)
                plot_band(&p, 40, x, low, y, PLOT_SKY, 0.4);
            else if (k % 4 == 1)
                plot_dashed(&p, 40, x, y, 1, PLOT_RED, dash);
            else if (k % 4 == 2)
                plot_curve(&p, 40, x, y, 1.5, PLOT_BLUE);
            for (int i = 0; i < 40 && k % 4 == 3; i++)
                plot_point(&p, x[i], y[i] - floor(y[i]), 3, PLOT_GREEN);
        }
        if (is_within_panel(&p, legend_beside_data(&p, 1 + (int)(seed % ENTRIES))))
            inside++;
        else
            below++;
        sw_array_free(&p.samples), sw_array_free(&p.occupied);
    }
    expect_no_error();
    assert_true(inside >= 10 && below >= 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_free_corner_is_taken),
        cmocka_unit_test(a_place_within_the_panel),
        cmocka_unit_test(below_a_full_panel),
        cmocka_unit_test(a_long_text),
        cmocka_unit_test(random_data),
    };
    return cmocka_run_group_tests(tests, pixels_setup, pixels_teardown);
}
