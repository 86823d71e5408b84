/* Lines of elements along some axes, for operations that process the elements of a line in order, many lines at a time:
 * cumulative sums and products, products, any and all. There is one line for each output of a reduction; a piece is a
 * number of neighboring lines. */
#ifndef SWALE_OPS_LINES_H
#define SWALE_OPS_LINES_H

#include <swale/reduce_kernels.h>

/* The lines of a piece: columns of a matrix of sw_fold_axes, which are contiguous, or rows. */
enum { SWI_LINE_COLUMNS = SW_FOLD_WIDTH, SWI_LINE_ROWS = 8 };

/* Offsets are in elements. In fold f, element j of line i is at
 * start + sw_fold_offset(f, folded axes) + j·step + i·line_step; the fold has n elements of each line. */
typedef struct swi_lines {
    int64_t start, lines, line_step, n, step;
    int64_t output; /* the output of the first line */
} swi_lines;

static inline int64_t swi_lines_pieces_of_block(const sw_fold_axes *a) {
    return a->across ? (a->length + SWI_LINE_COLUMNS - 1) / SWI_LINE_COLUMNS
                     : (a->rows + SWI_LINE_ROWS - 1) / SWI_LINE_ROWS;
}

/* The piece with this number, for axes with elements. */
static inline swi_lines swi_lines_of(const sw_fold_axes *a, int64_t piece) {
    const int64_t pieces = swi_lines_pieces_of_block(a), block = piece / pieces,
                  most = a->across ? SWI_LINE_COLUMNS : SWI_LINE_ROWS, first = piece % pieces * most,
                  all = a->across ? a->length : a->rows, left = all - first;
    swi_lines l;
    l.lines = left < most ? left : most;
    l.line_step = a->across ? 1 : a->length;
    l.n = a->across ? a->rows : a->length;
    l.step = a->across ? a->length : 1;
    l.start = sw_fold_offset(block, a->kept, a->kept_length, a->kept_stride) + first * l.line_step;
    l.output = block * all + first;
    return l;
}

/* Runs a kernel over all pieces; its begin and end count pieces. Threads share them. */
static inline void swi_lines_run(sw_kernel *kernel, void *args, const sw_fold_axes *a) {
    const int64_t pieces = a->blocks * swi_lines_pieces_of_block(a);
    sw_kernel_run_rows(kernel, args, pieces, a->outputs * a->count / pieces, NULL);
}

#endif
