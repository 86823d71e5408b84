/* Copies of strided boxes of elements, for transpose, slice, concat and similar operations. The functions move elements
 * by their size and do not interpret them.
 */
#ifndef SWALE_COPY_H
#define SWALE_COPY_H

#include <swale/array.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Boxes ---- */

enum { SW_BOX_OPERANDS = 4 };
/* A box of elements that several operands traverse together. stride[k][axis] is the distance of neighbors along an axis
 * in operand k, in elements; 0 means that the operand repeats. Axes are ordered from the outermost to the innermost. */
typedef struct sw_box {
    int axes;
    int64_t length[SW_MAX_RANK], stride[SW_BOX_OPERANDS][SW_MAX_RANK];
} sw_box;
/* Joins two neighboring axes if one stride per operand can describe both (for each of the first `operands` operands),
 * and removes axes of length 1. At least one axis remains. */
SW_API void sw_box_join(sw_box *box, int operands);
/* The number of elements of a box. */
SW_API int64_t sw_box_count(const sw_box *box);
SW_API void sw_strides(int rank, const int64_t *shape, int64_t *stride); /* sets the strides of a row-major array */
/* Copies a box of elements of `size` bytes (1, 2, 4 or 8): `from` is operand 0 of the box, `to` is operand 1. Both
 * point to the element with the indices 0, which is not the first in memory if a stride is negative. Threads share
 * large copies. The two must not overlap. */
SW_API void sw_box_copy(size_t size, sw_box box, const void *from, void *to);
/* Writes the element *value to every element of a box with this shape and these strides. */
SW_API void sw_box_fill(size_t size, const void *value, int rank, const int64_t *shape, const int64_t *stride,
                        void *to);

/* ---- Parts of arrays ---- */

/* A part of a row-major array of shape `shape`: the indices begin[axis] to begin[axis] + length[axis] - 1 of each
 * axis. */
typedef struct sw_part {
    int rank;
    int64_t shape[SW_MAX_RANK], begin[SW_MAX_RANK], length[SW_MAX_RANK];
} sw_part;
/* sw_part_read copies the part of `whole` to the row-major array `part`; sw_part_write copies the array `part` to the
 * part of `whole`. `size` is the size of an element in bytes (1, 2, 4 or 8). */
SW_API void sw_part_read(size_t size, const sw_part *p, const void *whole, void *part);
SW_API void sw_part_write(size_t size, const sw_part *p, const void *part, void *whole);
/* Writes the element *value to every element of `whole` outside the part. */
SW_API void sw_part_fill_around(size_t size, const sw_part *p, const void *value, void *whole);

#ifdef __cplusplus
}
#endif
#endif
