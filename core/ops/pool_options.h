/* The options of pooling, and the lengths of its results, for operations (pool.h) and layers (nn.h).
 *
 * Along an axis of length n, window i has the positions i s - p + k d for 0 ≤ k < w: stride s, padding p, dilation d,
 * window w. The result has
 *
 *     ⌊(n + 2 p - d (w - 1) - 1) / s⌋ + 1
 *
 * windows. With ceil_mode the quotient is rounded up, and a last window that would begin after the end of x is left
 * out: window i needs i s < n + p. */
#ifndef SWALE_POOL_OPTIONS_H
#define SWALE_POOL_OPTIONS_H

#include <swale/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Options of pooling. Numbers are those along H and W; for sequences element 0 is along L, and element 1 must be 0. */
typedef struct sw_pool_options {
    size_t size;         /* sizeof(sw_pool_options) */
    int64_t stride[2];   /* from window to window, ≥ 1; {0, 0}: the window */
    int64_t padding[2];  /* positions added before and after x, ≥ 0; at most half of the window */
    int64_t dilation[2]; /* from element to element of a window, ≥ 1; {0, 0}: {1, 1}. Of max pools only */
    bool ceil_mode;      /* the last windows may extend beyond x and its padding */
    /* Average pools: divide by the number of elements in x. Otherwise padding counts as zeros (positions after the
     * padding, which ceil_mode can reach, never count). */
    bool exclude_padding;
    /* Pools max(x, 0): as sw_relu followed by the pool without this option, with the same bits, but less memory is read
     * and written. One gradient differs, that of a NaN: in a window with several NaN, only the NaN that the max pool
     * chose has the gradient NaN, and a NaN that is in no window can have the gradient 0. Adaptive and global pools do
     * not have this option. */
    bool relu;
} sw_pool_options;

/* In the functions below `axes` is 2 for pictures, with lengths along H and W, or 1 for sequences. Messages begin with
 * `who`. */

/* An error (SW_ERR_ARGUMENT) unless all lengths are from 1 to 2^31 - 1. `what` names them in the message: "window". */
SW_API sw_status sw_pool_check_lengths(const char *who, const char *what, int axes, const int64_t *lengths);
/* Checks a window and options (NULL: the defaults), and writes the options to *all with the defaults filled in. An
 * error (SW_ERR_ARGUMENT) if a number is out of range. `average`: a dilation is an error; otherwise it is an error if
 * the window has more than 2^31 - 1 elements. */
SW_API sw_status sw_pool_options_check(const char *who, bool average, int axes, const int64_t *window,
                                       const sw_pool_options *options, sw_pool_options *all);
/* Computes the lengths of the result, out[axes], from a shape [..., channels] whose axes before the last are pooled,
 * with options of sw_pool_options_check. Errors: SW_ERR_ARGUMENT if there is no pixel or an axis is longer than
 * 2^31 - 1; SW_ERR_SHAPE if there is no room for a window. */
SW_API sw_status sw_pool_out_lengths(const char *who, int axes, const int64_t *window, const sw_pool_options *all,
                                     int rank, const int64_t *shape, int64_t *out);

#ifdef __cplusplus
}
#endif
#endif
