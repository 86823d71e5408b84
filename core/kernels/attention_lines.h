/* Operations on the lines of a strip, for attention_tiles.c. Include it in each pass of kernel.h, after
 * attention_vectors.h; there is no include guard. */

/* The first n elements become -∞; n ≤ STRIP. */
static void SW_K(attention_hide)(real *line, int64_t n) {
    for (int64_t l = 0; l < n; l++)
        line[l] = -(real)INFINITY;
}

/* Copies of rows to and from scratch, as swi_attention_load and swi_attention_store. */
static void SW_K(attention_load)(sw_dtype type, int64_t rows, int64_t n, const void *from, int64_t row, real *to,
                                 int64_t line) {
    if (sw_dtype_is_16_bit(type) || n != line) {
        swi_attention_load(type, rows, n, from, row, to, line);
        return;
    }
    for (int64_t i = 0; i < rows; i++)
        for (int64_t c = 0; c < n; c += LANES)
            STORE(to + i * line + c, LOAD((const real *)from + i * row + c));
}

static void SW_K(attention_store)(sw_dtype type, int64_t rows, int64_t n, const real *from, int64_t line, void *to,
                                  int64_t row) {
    if (sw_dtype_is_16_bit(type) || n != line) {
        swi_attention_store(type, rows, n, from, line, to, row);
        return;
    }
    for (int64_t i = 0; i < rows; i++)
        for (int64_t c = 0; c < n; c += LANES)
            STORE((real *)to + i * row + c, LOAD(from + i * line + c));
}

/* One block of SW_K(attention_turn): [BLOCK, BLOCK]. */
#undef BLOCK
#if SW_KERNEL_F32 && SW_KERNEL_AVX512
#define BLOCK 16
SW_K_INLINE void SW_K(attention_turn_block)(const real *from, int64_t line, real *to) {
    __m512i r[BLOCK];
    CONV_UNROLL
    for (int i = 0; i < BLOCK; i++)
        r[i] = _mm512_loadu_si512(from + i * line);
    swi_half_transpose(r);
    CONV_UNROLL
    for (int i = 0; i < BLOCK; i++)
        _mm512_storeu_si512(to + i * STRIP, r[i]);
}
#elif SW_KERNEL_F32 && defined(__x86_64__)
#define BLOCK 4
SW_K_INLINE void SW_K(attention_turn_block)(const real *from, int64_t line, real *to) {
    swi_half_transpose4(from, line, to, STRIP);
}
#else
#define BLOCK 4
SW_K_INLINE void SW_K(attention_turn_block)(const real *from, int64_t line, real *to) {
    for (int r = 0; r < BLOCK; r++)
        for (int c = 0; c < BLOCK; c++)
            to[c * STRIP + r] = from[r * line + c];
}
#endif

/* to[c][r] = factor·from[r][c] for `rows` rows of `line` elements, a multiple of GROUP. Rows are added to a multiple of
 * GROUP, in which all elements are 0. */
static void SW_K(attention_turn)(int64_t rows, real *from, int64_t line, real factor, real *to) {
    const int64_t columns = swi_attention_padded(rows);
    memset(from + rows * line, 0, (size_t)((columns - rows) * line) * sizeof(real));
    for (int64_t r = 0; r < columns; r += BLOCK)
        for (int64_t c = 0; c < line; c += BLOCK)
            SW_K(attention_turn_block)(from + r * line + c, line, to + c * STRIP + r);
    for (int64_t c = 0; c < line && factor != 1; c++)
        for (real *at = to + c * STRIP, *end = at + columns; at < end; at += LANES)
            STORE(at, LOAD(at) * factor);
}
