/* The scratch of a work item of an attention, and copies between it and arrays of any type. */
#include "core/kernels/attention_tiles.h"
#include "core/kernels/convert.h"

#include <string.h>

/* ---- Scratch ---- */

/* Adds an array of n elements, rounded up to whole cache lines; returns where it begins. */
static int64_t layout_add(swi_attention_layout *layout, int64_t n) {
    const int64_t at = layout->elements;
    layout->elements += swi_attention_padded(n);
    return at;
}

swi_attention_layout swi_attention_layout_of(const sw_attention_problem *p, bool backward) {
    enum { STRIP = SWI_ATTENTION_STRIP };
    swi_attention_layout l = {.k_line = swi_attention_padded(p->features), .v_line = swi_attention_padded(p->values)};
    l.keys = layout_add(&l, p->keys * l.k_line);
    l.values = layout_add(&l, p->keys * l.v_line);
    l.query = layout_add(&l, STRIP * l.k_line);
    l.query_columns = layout_add(&l, STRIP * l.k_line);
    l.scores = layout_add(&l, p->keys * STRIP);
    l.result = layout_add(&l, STRIP * (l.v_line > l.k_line ? l.v_line : l.k_line));
    if (!backward)
        return l;
    l.cotangent = layout_add(&l, STRIP * l.v_line);
    l.cotangent_columns = layout_add(&l, STRIP * l.v_line);
    l.slopes = layout_add(&l, p->keys * STRIP);
    l.key_gradient = layout_add(&l, p->keys * l.k_line);
    l.value_gradient = layout_add(&l, p->keys * l.v_line);
    return l;
}

/* ---- Copies ---- */

void swi_attention_load(sw_dtype type, int64_t rows, int64_t n, const void *from, int64_t row, void *to, int64_t line) {
    const size_t size = sw_dtype_size(sw_dtype_compute(type)), bytes = (size_t)n * size;
    if (sw_dtype_is_16_bit(type) && n == line) {
        swi_convert_rows_from_half(type, rows, n, from, row, to);
        return;
    }
    for (int64_t i = 0; i < rows; i++) {
        char *at = (char *)to + (size_t)(i * line) * size;
        const void *source = swi_attention_at(from, type, i * row);
        if (sw_dtype_is_16_bit(type))
            swi_convert_from_half(type, n, source, (float *)(void *)at);
        else
            memcpy(at, source, bytes);
        memset(at + bytes, 0, (size_t)(line - n) * size);
    }
}

void swi_attention_store(sw_dtype type, int64_t rows, int64_t n, const void *from, int64_t line, void *to,
                         int64_t row) {
    const size_t size = sw_dtype_size(sw_dtype_compute(type));
    if (sw_dtype_is_16_bit(type) && n == line) {
        swi_convert_rows_to_half(type, rows, n, from, to, row);
        return;
    }
    for (int64_t i = 0; i < rows; i++) {
        const char *source = (const char *)from + (size_t)(i * line) * size;
        char *at = (char *)to + i * row * (int64_t)sw_dtype_size(type);
        if (sw_dtype_is_16_bit(type))
            swi_convert_to_half(type, n, (const float *)(const void *)source, at);
        else
            memcpy(at, source, (size_t)n * size);
    }
}
