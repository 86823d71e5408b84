/* Parameters as matrices, for rules such as Muon. */
#ifndef SWALE_MATRIX_SHAPE_H
#define SWALE_MATRIX_SHAPE_H

#include <swale/params.h>

/* A parameter as a matrix with a row for each index of its first axis: [out, in] for a linear layer, [out, kh·kw·in]
 * for a convolution. A vector is one row, a scalar is [1, 1]. */
typedef struct sw_matrix_shape {
    int64_t rows, columns;
} sw_matrix_shape;

/* The shape of the parameter as a matrix. */
static inline sw_matrix_shape sw_matrix_shape_of(const sw_param *param) {
    sw_matrix_shape shape;
    shape.rows = param->rank >= 2 ? param->shape[0] : 1;
    shape.columns = shape.rows > 0 ? param->count / shape.rows : 0;
    return shape;
}

#endif
