/* Sums of squares by tile (squares.h). */
#include "core/kernels/squares.h"
#include "core/base/allocation.h"
#include "core/base/dry_run_state.h"

#include <string.h>

sw_squares *swi_squares_new(sw_dtype type, int64_t n) {
    const int64_t tiles = (n + SW_TILE - 1) / SW_TILE;
    sw_squares *s = sw_alloc(sizeof *s);
    if (!s)
        return NULL;
    *s = (sw_squares){.type = type, .n = n, .tiles = tiles};
    s->sum = sw_alloc_array(tiles, sizeof *s->sum);
    s->known = sw_alloc((size_t)tiles);
    if (s->sum && s->known)
        return s;
    swi_squares_free(s);
    return NULL;
}

void swi_squares_free(sw_squares *s) {
    if (!s)
        return;
    sw_free(s->sum);
    sw_free(s->known);
    sw_free(s);
}

void swi_squares_begin(sw_squares *s, const void *x) {
    s->x = x;
    memset(s->known, 0, (size_t)s->tiles);
}

void swi_squares_forget(sw_squares *s, int64_t at, int64_t n) {
    if (n > 0)
        memset(s->known + at / SW_TILE, 0, (size_t)((at + n - 1) / SW_TILE - at / SW_TILE + 1));
}

static void squares_set(sw_squares *s, int64_t tile, bool fetch) {
    const int64_t begin = tile * SW_TILE, end = begin + SW_TILE < s->n ? begin + SW_TILE : s->n;
    s->sum[tile] = swi_vector_tile_square(s->type, s->x, begin, end, fetch);
    s->known[tile] = 1;
}

typedef struct squares_range {
    sw_squares *squares;
    int64_t first; /* tile */
} squares_range;

static void squares_set_tile(void *args, int64_t index) {
    const squares_range *r = args;
    squares_set(r->squares, r->first + index, false);
}

void sw_squares_report(sw_squares *s, const void *elements, int64_t count) {
    enum { SHARED = 8 }; /* fewer tiles are not shared among threads */
    if (!s || !s->x || swi_dry_run())
        return;
    const int64_t begin = ((const char *)elements - s->x) / (int64_t)sw_dtype_size(s->type), end = begin + count,
                  first = (begin + SW_TILE - 1) / SW_TILE, last = end == s->n ? s->tiles : end / SW_TILE;
    if (last - first >= SHARED)
        sw_parallel(squares_set_tile, &(squares_range){s, first}, last - first);
    else
        for (int64_t tile = first; tile < last; tile++)
            squares_set(s, tile, false);
}

static void squares_find_tile(void *args, int64_t tile) {
    sw_squares *s = args;
    if (!s->known[tile])
        squares_set(s, tile, tile + 1 < s->tiles && !s->known[tile + 1]);
}

sw_status swi_squares_norm(sw_squares *s, const void *x, double *norm) {
    if (s->x != x || s->tiles < 2 || swi_dry_run())
        return sw_vector_norm(s->type, s->n, x, norm);
    sw_parallel(squares_find_tile, s, s->tiles);
    double sum = 0;
    for (int64_t tile = 0; tile < s->tiles; tile++)
        sum += s->sum[tile];
    return swi_vector_norm_of_sum(s->type, s->n, x, sum, norm);
}
