/* Colors of the pictures, as 0xRRGGBB. Not part of the library.
 *
 * Lines and points have the colors of Okabe and Ito (2008), which color-blind readers can tell apart. Values on a
 * surface have viridis, whose lightness rises evenly from dark purple to yellow: equal steps of the value look equal,
 * even without color. */
#ifndef SWALE_EXAMPLES_COLORS_H
#define SWALE_EXAMPLES_COLORS_H

enum {
    PLOT_BLUE = 0x0072b2,
    PLOT_ORANGE = 0xe69f00,
    PLOT_GREEN = 0x009e73,
    PLOT_RED = 0xd55e00,
    PLOT_PURPLE = 0xcc79a7,
    PLOT_SKY = 0x56b4e9,
    PLOT_BLACK = 0x222222,
    PLOT_GRAY = 0x888888,
    PLOT_LIGHT = 0xe4e4e4,
    PLOT_WHITE = 0xffffff
};

/* The color at the fraction `t` in [0, 1] between two colors. */
static inline unsigned color_mix(unsigned from, unsigned to, double t) {
    unsigned mixed = 0;
    for (int shift = 0; shift <= 16; shift += 8) {
        const double a = from >> shift & 255, b = to >> shift & 255;
        mixed |= (unsigned)(a + (b - a) * t + 0.5) << shift;
    }
    return mixed;
}

/* The color of t in [0, 1]. Values outside get the color of the nearer end, NaN that of 0. The table has every
 * fifteenth of the 256 colors of viridis by Nathaniel Smith and Stéfan van der Walt, github.com/BIDS/colormap (CC0).
 * Linear interpolation between them differs from the full table by at most 2 of 255. */
static inline unsigned color_viridis(double t) {
    static const unsigned anchor[] = {0x440154, 0x481769, 0x472a7a, 0x433d84, 0x3d4e8a, 0x355e8d,
                                      0x2e6d8e, 0x297b8e, 0x23898e, 0x1f978b, 0x21a585, 0x2eb37c,
                                      0x46c06f, 0x65cb5e, 0x89d548, 0xb0dd2f, 0xd8e219, 0xfde725};
    const int last = (int)(sizeof anchor / sizeof *anchor) - 1;
    const double at = !(t > 0) ? 0 : t < 1 ? t * last : last;
    const int i = at < last ? (int)at : last - 1;
    return color_mix(anchor[i], anchor[i + 1], at - i);
}

#endif
