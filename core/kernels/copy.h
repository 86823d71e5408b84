/* Copies of strided boxes of elements, which are moved by their size. */
#ifndef SWALE_COPY_H
#define SWALE_COPY_H

#include <swale/array.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A box of elements that several operands walk through together, each with strides (in elements) of its
 * own, 0 where it repeats; axes from the outermost. */
enum { SW_BOX_OPERANDS = 4 };
typedef struct sw_box {
    int axes;
    int64_t length[SW_MAX_RANK], stride[SW_BOX_OPERANDS][SW_MAX_RANK];
} sw_box;
/* Joins neighboring axes where all operands go on alike; axes of length 1 go. At least one axis stays. */
SW_API void sw_box_join(sw_box *box, int operands);
SW_API int64_t sw_box_count(const sw_box *box);
SW_API void sw_strides(int rank, const int64_t *shape, int64_t *stride); /* of a row-major array */
/* Elements of `size` bytes (1, 4, 8); operand 0 is read, operand 1 written. Threads share large ones. */
SW_API void sw_box_copy(size_t size, sw_box box, const void *from, void *to);
SW_API void sw_box_fill(size_t size, const void *value, int rank, const int64_t *shape, const int64_t *stride,
                        void *to);
/* The elements from begin[axis] on, length[axis] of them, of an array of a shape. */
typedef struct sw_part {
    int rank;
    int64_t shape[SW_MAX_RANK], begin[SW_MAX_RANK], length[SW_MAX_RANK];
} sw_part;
SW_API void sw_part_read(size_t size, const sw_part *p, const void *whole, void *part);
SW_API void sw_part_write(size_t size, const sw_part *p, const void *part, void *whole);
/* One value everywhere else. */
SW_API void sw_part_fill_around(size_t size, const sw_part *p, const void *value, void *whole);

#ifdef __cplusplus
}
#endif
#endif
