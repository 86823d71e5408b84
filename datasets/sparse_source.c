/* Sparse rows as a source of dense samples. */
#include <swale/extend.h>

#include "datasets/sparse_source.h"

#include <string.h>

/* Writes row `row` of the sparse matrix as a dense sample in the type of the batch. */
#define SPARSE_ROW(name, stored, real)                              \
    static void name(const sw_csr *m, int64_t row, void *out) {     \
        const stored *value = m->value;                             \
        real *x = out;                                              \
        memset(x, 0, (size_t)m->columns * sizeof *x);               \
        for (int64_t k = m->start[row]; k < m->start[row + 1]; k++) \
            x[m->index[k]] = (real)value[k];                        \
    }
SPARSE_ROW(sparse_row_f32_f32, float, float)
SPARSE_ROW(sparse_row_f32_f64, float, double)
SPARSE_ROW(sparse_row_f64_f32, double, float)
SPARSE_ROW(sparse_row_f64_f64, double, double)

static sw_status sparse_gather(const sw_source *source, const int64_t *ids, int64_t count, uint64_t draw, sw_dtype type,
                               void *x, void *y) {
    static void (*const rows[2][2])(const sw_csr *m, int64_t row, void *out) = {
        [SW_F32] = {[SW_F32] = sparse_row_f32_f32, [SW_F64] = sparse_row_f32_f64},
        [SW_F64] = {[SW_F32] = sparse_row_f64_f32, [SW_F64] = sparse_row_f64_f64}};
    const sw_csr *m = &((const swd_sparse_source *)source)->x;
    const size_t bytes = (size_t)m->columns * sw_dtype_size(type);
    for (int64_t i = 0; x && i < count; i++)
        rows[m->type][type](m, ids[i], (char *)x + (size_t)i * bytes);
    return y ? swd_memory_source_gather(source, ids, count, draw, type, NULL, y) : SW_OK;
}

void swd_sparse_source_finish(swd_sparse_source *s) {
    sw_source *source = &s->stored.source;
    swd_memory_source_finish(&s->stored);
    source->n = s->x.rows;
    source->x_memory = NULL;
    source->x_sparse = &s->x;
    source->x_rank = 1;
    source->x_shape[0] = s->x.columns;
    source->gather = sparse_gather;
    source->prefetch = NULL;
}
