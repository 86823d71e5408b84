/* The text of pictures: UTF-8, strokes for letters beyond ASCII, a TrueType font, and damaged fonts. */
#include "pixels.h"

/* ---- UTF-8 ---- */

static void letters_of_a_text(void **state) {
    (void)state;
    static const struct {
        const char *text;
        unsigned letter[6];
    } all[] = {{"a~", {'a', '~'}},
               {"\xc2\xb5\xce\xbc", {0xb5, 0x3bc}},
               {"\xe2\x88\x92\xe2\x81\xbb", {0x2212, 0x207b}},
               {"\xf0\x9f\x98\x80.", {0x1f600, '.'}},
               {"\x80 \xff \xc1", {0xfffd, ' ', 0xfffd, ' ', 0xfffd}}, /* no first bytes */
               {"\xe2\x88x\xcex", {0xfffd, 'x', 0xfffd, 'x'}},         /* broken off by another letter */
               {"\xe2\x88", {0xfffd}},                                 /* by the end */
               {"\xf0\x9f\x98", {0xfffd}},
               {"\xce", {0xfffd}}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        char *text = strdup(all[i].text); /* of its exact size: nothing behind the end is read */
        const char *at = text;
        for (int k = 0; k < 6 && all[i].letter[k]; k++)
            assert_int_equal(text_letter(&at), all[i].letter[k]);
        assert_int_equal(*at, 0);
        assert_ptr_equal(at, text + strlen(text));
        free(text);
    }
}

/* ---- What is drawn ---- */

enum { WIDTH = 120, HEIGHT = 40, PIXELS = PLOT_SCALE * PLOT_SCALE * WIDTH * HEIGHT };

/* A text from (10, 30), capitals 16 high; returns the number of pixels that are not white. */
static int drawn(const char *text, unsigned char ink[PIXELS]) {
    int count = 0;
    plot p = plot_new(WIDTH, HEIGHT);
    plot_text(&p, 10, 30, 16, PLOT_LEFT, false, 0, text);
    sw_array a = saved(&p);
    for (int i = 0; i < PIXELS; i++) {
        ink[i] = pixel_at(&a, i % (PLOT_SCALE * WIDTH), i / (PLOT_SCALE * WIDTH)) != PLOT_WHITE;
        count += ink[i];
    }
    sw_array_free(&a);
    return count;
}

static bool look_alike(const char *a, const char *b) {
    static unsigned char first[PIXELS], second[PIXELS];
    drawn(a, first), drawn(b, second);
    return memcmp(first, second, PIXELS) == 0;
}

/* The middle of the ink's rows, in units: where a small letter stands. */
static double middle_row(const char *text) {
    static unsigned char ink[PIXELS];
    int low = -1, high = 0;
    assert_true(drawn(text, ink) > 0);
    for (int i = 0; i < PIXELS; i++)
        if (ink[i]) {
            high = i / (PLOT_SCALE * WIDTH);
            low = low < 0 ? high : low;
        }
    return (low + high) / 2.0 / PLOT_SCALE;
}

static void strokes_beyond_ascii(void **state) {
    (void)state;
    assert_true(look_alike("−5", "-5"));
    assert_true(look_alike("μ", "mu") && look_alike("µ", "mu"));
    assert_true(look_alike("λ ≤ 1", "lambda <= 1"));
    assert_true(look_alike("é", "#") && look_alike("\xff", "#")); /* boxes */
    assert_false(look_alike("10⁶", "106"));
    assert_false(look_alike("w₁", "w1"));
    assert_true(middle_row("⁶") < middle_row("6") - 3 && middle_row("₁") > middle_row("1") + 3);
}

static bool has_font(void) {
    return access(TRUETYPE_DEFAULT, R_OK) == 0;
}

/* By the font, each letter of the labels has a shape of its own, which is not that of a letter that is not there. */
static void letters_of_the_font(void **state) {
    (void)state;
    static const char *const letter[] = {"a", "l", "I", "0", "O", "μ", "λ", "σ", "ρ", "∇", "≤", "−",
                                         "-", "×", "·", "²", "⁻", "⁶", "₁", "é", "√", "±", "‖", "\xff"};
    enum { LETTERS = sizeof letter / sizeof *letter };
    static unsigned char ink[LETTERS][PIXELS];
    if (!has_font())
        skip();
    unsetenv("SWALE_FONT");
    for (int i = 0; i < LETTERS; i++) {
        assert_true(drawn(letter[i], ink[i]) > 0);
        for (int k = 0; k < i; k++)
            if (memcmp(ink[i], ink[k], PIXELS) == 0)
                fail_msg("%s looks like %s", letter[i], letter[k]);
    }
    assert_true(middle_row("⁶") < middle_row("6") - 3 && middle_row("₁") > middle_row("1") + 3);
    static unsigned char none[PIXELS];
    assert_int_equal(drawn(" ", none), 0);
    assert_true(look_alike("a b", "a b"));
    setenv("SWALE_FONT", "strokes", 1);
    drawn("a", none);
    assert_true(memcmp(none, ink[0], PIXELS) != 0);
}

/* Capitals have the height that is asked for, the width is what is painted, and upwards is the same turned. */
static void sizes_of_the_font(void **state) {
    (void)state;
    enum { SIDE = 60 * PLOT_SCALE };
    if (!has_font())
        skip();
    unsetenv("SWALE_FONT");
    plot p = plot_new(60, 60), q = plot_new(60, 60);
    const double width = plot_text_width(&p, 12, "HHg");
    plot_text(&p, 30, 40, 12, PLOT_CENTER, false, 0, "HHg");
    plot_text(&q, 40, 30, 12, PLOT_CENTER, true, 0, "HHg");
    sw_array a = saved(&p), b = saved(&q);
    int left = SIDE, right = 0, top = SIDE;
    for (int i = 0; i < SIDE * SIDE; i++) {
        const int x = i % SIDE, y = i / SIDE;
        assert_int_equal(pixel_at(&a, x, y), pixel_at(&b, y, SIDE - 1 - x));
        if (pixel_at(&a, x, y) != PLOT_WHITE) {
            left = x < left ? x : left, right = x > right ? x : right;
            top = y < top ? y : top;
        }
    }
    assert_true(fabs(top / 2.0 - 28) < 1);
    assert_true(fabs((right - left) / 2.0 - width) < 4 && fabs((left + right) / 4.0 - 30) < 2);
    sw_array_free(&a), sw_array_free(&b);
    setenv("SWALE_FONT", "strokes", 1);
}

/* Text that is not within the picture, and positions that are no numbers. */
static void text_outside(void **state) {
    (void)state;
    static const double place[][2] = {{-5, 5}, {38, 5}, {5, -3}, {5, 29}, {-1e9, 5}, {NAN, 5}, {5, INFINITY}};
    for (int font = 0; font < 2; font++) {
        if (font)
            unsetenv("SWALE_FONT");
        plot p = plot_new(40, 20);
        for (size_t i = 0; i < sizeof place / sizeof *place; i++)
            for (int upwards = 0; upwards < 2; upwards++)
                plot_text(&p, place[i][0], place[i][1], 12, PLOT_LEFT, upwards, 0, "Mgμ");
        plot_save(&p, pixels_path);
        expect_no_error();
        setenv("SWALE_FONT", "strokes", 1);
    }
}

/* ---- Fonts that cannot be used ---- */

static unsigned char *font;
static size_t font_bytes;

static bool read_font(void) {
    return has_font() && (font || !truetype_read(TRUETYPE_DEFAULT, &font, &font_bytes));
}

/* Every byte counts: with any one changed a checksum is wrong. */
static void damaged_fonts(void **state) {
    (void)state;
    if (!read_font())
        skip();
    assert_null(truetype_directory_fault(font, font_bytes));
    assert_null(truetype_glyphs_fault(font));
    const size_t directory = 12 + 16 * truetype_u16(font + 4);
    for (size_t at = 0; at < font_bytes; at += at < directory ? 1 : font_bytes / 200) {
        font[at] ^= 0x40;
        if (!truetype_directory_fault(font, font_bytes))
            fail_msg("byte %zu", at);
        font[at] ^= 0x40;
    }
}

static void truncated_fonts(void **state) {
    (void)state;
    if (!read_font())
        skip();
    for (size_t count = 0; count < font_bytes; count += count < 400 ? 1 : font_bytes / 50) {
        unsigned char *part = malloc(count ? count : 1); /* of its exact size: nothing behind the end is read */
        memcpy(part, font, count);
        assert_non_null(truetype_directory_fault(part, count));
        free(part);
    }
}

/* Tables that contradict each other, whatever the checksums. */
static void tables_that_do_not_fit(void **state) {
    (void)state;
    static const struct {
        const char *table;
        size_t at;
        unsigned value; /* 16 bits */
    } all[] = {{"maxp", 4, 0xffff}, {"maxp", 4, 0},      {"hhea", 34, 0}, {"hhea", 34, 0xffff},
               {"loca", 4, 0x7fff}, {"loca", 400, 0x7f}, {"head", 50, 0}};
    size_t size;
    if (!read_font())
        skip();
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        unsigned char kept[2], *place = (unsigned char *)(uintptr_t)truetype_table(font, all[i].table, 1, &size);
        assert_non_null(place);
        memcpy(kept, place + all[i].at, 2);
        place[all[i].at] = (unsigned char)(all[i].value >> 8), place[all[i].at + 1] = (unsigned char)all[i].value;
        if (!truetype_glyphs_fault(font))
            fail_msg("%s %zu: %u", all[i].table, all[i].at, all[i].value);
        memcpy(place + all[i].at, kept, 2);
    }
    for (uint32_t name = 0; name < truetype_u16(font + 4); name++) { /* without one of its tables */
        static const char needed[] = "head maxp hhea loca glyf cmap hmtx";
        char *entry = (char *)font + 12 + 16 * name, tag[5] = {0};
        memcpy(tag, entry, 4);
        entry[0] = '?';
        assert_true((truetype_glyphs_fault(font) != NULL) == (strstr(needed, tag) != NULL));
        entry[0] = tag[0];
    }
    assert_null(truetype_glyphs_fault(font));
}

/* SWALE_FONT names a file that is no font: strokes, and a word about it on stderr. */
static void strokes_instead(void **state) {
    (void)state;
    static unsigned char strokes[PIXELS], ink[PIXELS];
    static const char *const path[] = {"/nonexistent/font.ttf", pixels_path, "/dev/null", "/"};
    static const char *const fault[] = {"cannot be read", "not a TrueType font", "cannot be read", ""};
    drawn("Text: 5 μm", strokes);
    for (int i = 0; i < 4; i++) {
        char said[400] = "", message[64] = "/tmp/swale-stderr-XXXXXX";
        const int file = mkstemp(message), kept = dup(2);
        assert_true(file >= 0 && kept >= 0 && dup2(file, 2) == 2);
        setenv("SWALE_FONT", path[i], 1);
        drawn("Text: 5 μm", ink);
        setenv("SWALE_FONT", "strokes", 1);
        fflush(stderr);
        dup2(kept, 2), close(kept);
        assert_true(pread(file, said, sizeof said - 1, 0) > 0);
        close(file), unlink(message);
        assert_non_null(strstr(said, path[i]));
        assert_non_null(strstr(said, fault[i]));
        assert_non_null(strstr(said, "drawn by strokes"));
        assert_memory_equal(ink, strokes, PIXELS);
    }
    sw_free(font);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(letters_of_a_text),   cmocka_unit_test(strokes_beyond_ascii),
        cmocka_unit_test(letters_of_the_font), cmocka_unit_test(sizes_of_the_font),
        cmocka_unit_test(text_outside),        cmocka_unit_test(damaged_fonts),
        cmocka_unit_test(truncated_fonts),     cmocka_unit_test(tables_that_do_not_fit),
        cmocka_unit_test(strokes_instead),
    };
    return cmocka_run_group_tests(tests, pixels_setup, pixels_teardown);
}
