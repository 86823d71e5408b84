/* Samples in memory as a source. Pictures are stored with one byte per pixel, which needs a quarter of the memory
 * traffic of f32, and are normalized when a batch is gathered. */
#include <swale/kernel.h>

#if SW_KERNEL_FIRST
typedef struct stored_args {
    const void *from; /* [n, width] */
    const int64_t *ids;
    void *out; /* [ids, width] */
    int64_t width;
    double scale, shift; /* applied if x is u8 */
} stored_args;

enum { ROWS_AHEAD = 2 };

/* Prefetches a row, because hardware does not predict rows in random order. soon: into the first-level cache, for the
 * current batch; else into the second-level cache, for the next batch, because the training step in between evicts the
 * first level. */
static inline void memory_source_fetch_lines(const void *from, int64_t bytes, bool soon) {
    for (int64_t at = 0; bytes > 0 && at < bytes + SW_ALIGNMENT - 1; at += SW_ALIGNMENT) {
        const char *line = (const char *)from + (at < bytes ? at : bytes - 1); /* a row may begin inside a cache line */
        if (soon)
            __builtin_prefetch(line, 0, 3);
        else
            __builtin_prefetch(line, 0, 2);
    }
}
#endif

#if SW_KERNEL_PASS

/* Rows [begin, end) of the batch. The `restrict` arguments let gcc vectorize the loop. */
#define STORED_KERNEL(name, stored, value)                                                                        \
    static inline void SW_K(name##_row)(const stored *restrict in, real *restrict out, int64_t width, real scale, \
                                        real shift) {                                                             \
        (void)scale, (void)shift;                                                                                 \
        for (int64_t i = 0; i < width; i++)                                                                       \
            out[i] = value;                                                                                       \
    }                                                                                                             \
    static void SW_K(name)(void *args, int64_t begin, int64_t end, double *sums) {                                \
        const stored_args *s = args;                                                                              \
        const int64_t width = s->width;                                                                           \
        (void)sums;                                                                                               \
        for (int64_t row = begin; row < end; row++) {                                                             \
            if (row + ROWS_AHEAD < end)                                                                           \
                memory_source_fetch_lines((const stored *)s->from + s->ids[row + ROWS_AHEAD] * width,             \
                                          width * (int64_t)sizeof(stored), true);                                 \
            SW_K(name##_row)                                                                                      \
            ((const stored *)s->from + s->ids[row] * width, (real *)s->out + row * width, width, (real)s->scale,  \
             (real)s->shift);                                                                                     \
        }                                                                                                         \
    }

STORED_KERNEL(from_u8, unsigned char, (real)in[i] * scale + shift)
STORED_KERNEL(from_i32, int32_t, (real)in[i])
STORED_KERNEL(from_f32, float, (real)in[i])
STORED_KERNEL(from_f64, double, (real)in[i])
#undef STORED_KERNEL

#else /* ---- once ---- */

#include <swale/vector.h>

#include "datasets/memory_source.h"

#include <math.h>

static const sw_kernels u8_kernels = SW_KERNEL_TABLE(from_u8);
static const sw_kernels i32_kernels = SW_KERNEL_TABLE(from_i32);
static const sw_kernels f32_kernels = SW_KERNEL_TABLE(from_f32);
static const sw_kernels f64_kernels = SW_KERNEL_TABLE(from_f64);
static const sw_kernels *const from[] = {
    [SW_F32] = &f32_kernels, [SW_F64] = &f64_kernels, [SW_I32] = &i32_kernels, [SW_U8] = &u8_kernels};

/* Rows of f16 or bf16. */
static void memory_source_gather_16_bit(const sw_array *stored, const stored_args *s, sw_dtype type, int64_t count) {
    const char *rows = stored->data;
    char *out = s->out;
    const int64_t row_bytes = s->width * (int64_t)sw_dtype_size(stored->type);
    for (int64_t row = 0; row < count; row++) {
        if (row + ROWS_AHEAD < count)
            memory_source_fetch_lines(rows + s->ids[row + ROWS_AHEAD] * row_bytes, row_bytes, true);
        sw_vector_convert(stored->type, s->width, rows + s->ids[row] * row_bytes, type,
                          out + row * s->width * (int64_t)sw_dtype_size(type));
    }
}

/* Rows of any type, converted to `type`. */
static void memory_source_gather_rows(const sw_array *stored, stored_args *s, sw_dtype type, int64_t count) {
    s->from = stored->data;
    if (sw_dtype_is_16_bit(stored->type))
        memory_source_gather_16_bit(stored, s, type, count);
    else
        (*from[stored->type])[type][sw_cpu_level()](s, 0, count, NULL);
}

static void memory_source_gather_classes(const sw_array *y, const int64_t *ids, int64_t count, int32_t *out) {
    if (y->type == SW_U8) {
        const unsigned char *label = y->data;
        for (int64_t i = 0; i < count; i++)
            out[i] = label[ids[i]];
    } else {
        const int32_t *label = y->data;
        for (int64_t i = 0; i < count; i++)
            out[i] = label[ids[i]];
    }
}

sw_status swd_memory_source_gather(const sw_source *source, const int64_t *ids, int64_t count, uint64_t draw,
                                   sw_dtype type, void *x, void *y) {
    const swd_memory_source *s = (const swd_memory_source *)source;
    (void)draw;
    if (x) {
        stored_args args = {.ids = ids, .out = x, .width = s->x_width, .scale = s->scale, .shift = s->shift};
        memory_source_gather_rows(&s->x, &args, type, count);
    }
    if (y && source->y_type == SW_I32) {
        memory_source_gather_classes(&s->y, ids, count, y);
    } else if (y && s->y.data) {
        stored_args args = {.ids = ids, .out = y, .width = s->y_width};
        memory_source_gather_rows(&s->y, &args, type, count);
    }
    return SW_OK;
}

static void memory_source_prefetch(const sw_source *source, const int64_t *ids, int64_t count) {
    const swd_memory_source *s = (const swd_memory_source *)source;
    const int64_t x_bytes = s->x_width * (int64_t)sw_dtype_size(s->x.type);
    const int64_t y_bytes = s->y_width * (int64_t)sw_dtype_size(s->y.type);
    const char *x = s->x.data, *y = s->y.data;
    for (int64_t i = 0; i < count; i++) {
        memory_source_fetch_lines(x + ids[i] * x_bytes, x_bytes, false);
        if (y)
            __builtin_prefetch(y + ids[i] * y_bytes, 0, 2);
    }
}

void swd_memory_source_free(sw_source *source) {
    swd_memory_source *s = (swd_memory_source *)source;
    sw_may_free(s, "source");
    if (!s->borrowed_x)
        sw_array_free(&s->x);
    if (!s->borrowed_y)
        sw_array_free(&s->y);
    for (int c = 0; s->names && c < source->classes; c++)
        sw_free(s->names[c]);
    sw_free(s->names);
    sw_free(s);
}

swd_memory_source *swd_memory_source_new(size_t bytes) {
    swd_memory_source *s = sw_alloc_for(SW_ACCOUNT_DATA, bytes);
    if (!s)
        return NULL;
    s->source = (sw_source){.size = sizeof(sw_source),
                            .y_rank = -1,
                            .y_type = SW_F64,
                            .gather = swd_memory_source_gather,
                            .prefetch = memory_source_prefetch,
                            .free = swd_memory_source_free,
                            .fixed = true};
    return s;
}

/* Copies the lengths of all axes after axis 0; returns the number of elements in a sample. */
static int64_t memory_source_sample_shape(const sw_array *array, int *rank, int64_t *shape) {
    int64_t width = 1;
    *rank = array->rank - 1;
    for (int i = 0; i < *rank; i++)
        width *= shape[i] = array->shape[i + 1];
    return width;
}

void swd_memory_source_finish(swd_memory_source *s) {
    sw_source *source = &s->source;
    source->n = s->x.shape[0];
    if (sw_dtype_is_computed(s->x.type))
        source->x_memory = &s->x;
    if (s->y.data && s->y.type != SW_F16 && s->y.type != SW_BF16)
        source->y_memory = &s->y;
    s->x_width = memory_source_sample_shape(&s->x, &source->x_rank, source->x_shape);
    if (!s->y.data)
        return;
    s->y_width = memory_source_sample_shape(&s->y, &source->y_rank, source->y_shape);
    source->y_type = source->classes > 0 ? SW_I32 : SW_F64;
}

sw_status swd_check_pixel_scale(const char *who, double *scale, double *shift, double standard) {
    if (!isfinite(*scale) || !isfinite(*shift))
        return sw_fail(SW_ERR_ARGUMENT, "%s: scale %g and shift %g must be finite", who, *scale, *shift);
    if (*scale == 0 && *shift == 0)
        *scale = standard;
    return SW_OK;
}

#endif
