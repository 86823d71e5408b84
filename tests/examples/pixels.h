/* Reads pictures of examples/plot.h as pixels of their files. It needs POSIX: include it first. */
#ifndef TEST_EXAMPLES_PIXELS_H
#define TEST_EXAMPLES_PIXELS_H
#define _POSIX_C_SOURCE 200809L

#include "support.h"

#include <unistd.h>

#include "../../examples/plot.h"

static char pixels_path[64] = "/tmp/swale-plot-XXXXXX";

/* Text is drawn with strokes unless a test selects a font. */
static inline int pixels_setup(void **state) {
    (void)state;
    const int file = mkstemp(pixels_path);
    return file >= 0 && close(file) == 0 && setenv("SWALE_FONT", "strokes", 1) == 0 ? 0 : -1;
}

static inline int pixels_teardown(void **state) {
    (void)state;
    unlink(pixels_path);
    return 0;
}

/* Saves a picture and reads it again: u8 [PLOT_SCALE height, PLOT_SCALE width, 3]. */
static inline sw_array saved(plot *p) {
    sw_array a;
    plot_save(p, pixels_path);
    expect_no_error();
    assert_int_equal(sw_picture_load(pixels_path, 3, &a), SW_OK);
    return a;
}

static inline unsigned pixel_at(const sw_array *a, int x, int y) {
    const unsigned char *p = (const unsigned char *)a->data + 3 * (y * a->shape[1] + x);
    return (unsigned)p[0] << 16 | (unsigned)p[1] << 8 | p[2];
}

/* The upper left pixel of a unit. */
static inline unsigned color_at(const sw_array *a, int x, int y) {
    return pixel_at(a, PLOT_SCALE * x, PLOT_SCALE * y);
}

#endif
