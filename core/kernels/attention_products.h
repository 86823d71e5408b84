/* Products of tiles in registers, for attention_tiles.c. Include it in each pass of kernel.h, after conv_vector.h;
 * there is no include guard. */

/* The most rows of a tile with two registers of columns. Its sums, one row of B and one element of A fill the 32 or 16
 * registers. */
#undef MOST
#if CONV_LEVEL == 2
#define MOST 12
#else
#define MOST 6
#endif
/* Rows of A whose addresses share a pointer: the pointer, plus once or twice the distance of the rows. With a pointer
 * for each row, the general registers would not suffice. */
#undef SHARED
#define SHARED 3
#undef UNROLLED_TERMS
#define UNROLLED_TERMS 4

/* The result of a tile, before and after the loop over the terms. CONV_KEEP makes the compiler add the distance of the
 * rows to one pointer; otherwise it computes the addresses of all rows first and stores them on the stack. */
SW_K_INLINE void SW_K(attention_tile_begin)(const real *c, int64_t c_row, bool add, int rows, int vectors,
                                            VECTOR sum[MOST][2]) {
    CONV_UNROLL
    for (int r = 0; r < rows; r++)
        sum[r][0] = sum[r][1] = (VECTOR){0};
    if (!add)
        return;
    CONV_UNROLL
    for (int r = 0; r < rows; r++, c += c_row) {
        CONV_KEEP(c);
        for (int v = 0; v < vectors; v++)
            sum[r][v] = LOAD(c + v * LANES);
    }
}

SW_K_INLINE void SW_K(attention_tile_end)(real *c, int64_t c_row, int rows, int vectors, VECTOR sum[MOST][2]) {
    CONV_UNROLL
    for (int r = 0; r < rows; r++, c += c_row) {
        CONV_KEEP(c);
        for (int v = 0; v < vectors; v++)
            STORE(c + v * LANES, sum[r][v]);
    }
}

/* One term of all sums. `term` is its number relative to the pointers. */
SW_K_INLINE void SW_K(attention_tile_term)(const real *const *from, int64_t a_row, int term, const real *b, int rows,
                                           int vectors, bool turned, VECTOR sum[MOST][2]) {
    const VECTOR b0 = LOAD(b), b1 = vectors == 2 ? LOAD(b + LANES) : b0;
    CONV_UNROLL
    for (int r = 0; r < rows; r++) {
        const VECTOR element =
            BROADCAST(turned ? from[0][term * STRIP + r] : from[r / SHARED][r % SHARED * a_row + term]);
        sum[r][0] = FMA(element, b0, sum[r][0]);
        if (vectors == 2)
            sum[r][1] = FMA(element, b1, sum[r][1]);
    }
}

/* `rows`, `vectors`, and `turned` are constants in each call. UNROLLED_TERMS terms are added in each iteration, because
 * the additions to pointers take the place of multiplications. */
SW_K_INLINE void SW_K(attention_tile)(const real *a, int64_t a_row, const real *b, int64_t b_row, real *c,
                                      int64_t c_row, int64_t terms, bool add, int rows, int vectors, bool turned) {
    VECTOR sum[MOST][2];
    const int pointers = turned ? 1 : (rows + SHARED - 1) / SHARED;
    const real *from[(MOST + SHARED - 1) / SHARED];
    SW_K(attention_tile_begin)(c, c_row, add, rows, vectors, sum);
    for (int p = 0; p < pointers; p++)
        from[p] = a + SHARED * p * a_row;
    for (; terms >= UNROLLED_TERMS; terms -= UNROLLED_TERMS) {
        CONV_UNROLL
        for (int t = 0; t < UNROLLED_TERMS; t++, b += b_row) {
            SW_K(attention_tile_term)(from, a_row, t, b, rows, vectors, turned, sum);
            CONV_KEEP(b);
            CONV_UNROLL
            for (int p = 0; p < pointers; p++)
                CONV_KEEP(from[p]); /* or the compiler would mix terms, for which the registers do not suffice */
        }
        CONV_UNROLL
        for (int p = 0; p < pointers; p++)
            from[p] += turned ? UNROLLED_TERMS * STRIP : UNROLLED_TERMS;
    }
    for (int64_t t = 0; t < terms; t++, b += b_row) {
        SW_K(attention_tile_term)(from, a_row, 0, b, rows, vectors, turned, sum);
        CONV_UNROLL
        for (int p = 0; p < pointers; p++) {
            from[p] += turned ? STRIP : 1;
            CONV_KEEP(from[p]);
        }
    }
    SW_K(attention_tile_end)(c, c_row, rows, vectors, sum);
}

/* One function for each size of a tile: the compiler then assigns registers for each of them. */
#undef ATTENTION_TILE
#define ATTENTION_TILE(rows, vectors)                                                                                  \
    static __attribute__((noinline)) void SW_K(attention_rows_##rows##_##vectors)(                                     \
        const real *a, int64_t a_row, const real *b, int64_t b_row, real *c, int64_t c_row, int64_t terms, bool add) { \
        SW_K(attention_tile)(a, a_row, b, b_row, c, c_row, terms, add, rows, vectors, false);                          \
    }                                                                                                                  \
    static __attribute__((noinline)) void SW_K(attention_turned_##rows##_##vectors)(                                   \
        const real *a, int64_t a_row, const real *b, int64_t b_row, real *c, int64_t c_row, int64_t terms, bool add) { \
        SW_K(attention_tile)(a, a_row, b, b_row, c, c_row, terms, add, rows, vectors, true);                           \
    }
/* The numbers of rows. */
#undef ATTENTION_SIZES
#if MOST == 12
#define ATTENTION_SIZES(f, vectors) \
    f(12, vectors) f(8, vectors) f(6, vectors) f(4, vectors) f(3, vectors) f(2, vectors) f(1, vectors)
#else
#define ATTENTION_SIZES(f, vectors) f(6, vectors) f(4, vectors) f(3, vectors) f(2, vectors) f(1, vectors)
#endif
ATTENTION_SIZES(ATTENTION_TILE, 2)
/* A group has one register for f32 with AVX-512 alone, and an even number of them otherwise. */
#undef ODD_VECTORS
#define ODD_VECTORS (CONV_LEVEL == 2 && SW_KERNEL_F32)
#if ODD_VECTORS
ATTENTION_SIZES(ATTENTION_TILE, 1)
#endif

typedef void SW_K(attention_tile_function)(const real *a, int64_t a_row, const real *b, int64_t b_row, real *c,
                                           int64_t c_row, int64_t terms, bool add);

/* The rows of the next tile, if `left` rows are left: tiles of about equal size are faster than large ones and a small
 * one. */
static int SW_K(attention_rows)(int64_t left) {
    if (left >= 4 * MOST)
        return MOST;
    const int some = (int)left, tiles = (some + MOST - 1) / MOST, even = (some + tiles - 1) / tiles;
    int rows = 0;
#define ATTENTION_ROWS(n, vectors) rows = (n) <= some && ((n) >= even || rows == 0) ? (n) : rows;
    ATTENTION_SIZES(ATTENTION_ROWS, 2)
#undef ATTENTION_ROWS
    return rows;
}

static SW_K(attention_tile_function) * SW_K(attention_choose)(int rows, int vectors, bool turned) {
#define ATTENTION_CASE(n, vectors) \
    case n:                        \
        return turned ? SW_K(attention_turned_##n##_##vectors) : SW_K(attention_rows_##n##_##vectors);
#if ODD_VECTORS
    if (vectors == 1)
        switch (rows) { ATTENTION_SIZES(ATTENTION_CASE, 1) }
#else
    (void)vectors;
#endif
    switch (rows) { ATTENTION_SIZES(ATTENTION_CASE, 2) }
#undef ATTENTION_CASE
    return NULL;
}

static int64_t SW_K(attention_limit)(int64_t term, int64_t least, int64_t most) {
    return term < least ? least : term < most ? term : most;
}

/* Zeros in place of the results of a tile. */
static void SW_K(attention_clear)(real *c, int64_t c_row, int rows, int64_t width) {
    for (int r = 0; r < rows; r++)
        for (int64_t n = 0; n < width; n += LANES)
            STORE(c + r * c_row + n, (VECTOR){0});
}

static void SW_K(attention_multiply)(const swi_attention_product *p) {
    int rows;
    for (int64_t r = 0; r < p->rows; r += rows) {
        rows = SW_K(attention_rows)(p->rows - r);
        const int64_t begin = SW_K(attention_limit)(p->first_term + r, 0, p->terms),
                      end = SW_K(attention_limit)(p->last_term + r + rows - 1, begin, p->terms);
        const real *a = (const real *)p->a + (p->turned ? r + begin * STRIP : r * p->a_row + begin);
        for (int64_t n = 0, width; n < p->columns; n += width) {
            const int vectors = p->columns - n >= 2 * LANES ? 2 : 1;
            real *c = (real *)p->c + r * p->c_row + n;
            width = vectors * LANES;
            if (n + width <= p->first_column + r)
                SW_K(attention_clear)(c, p->c_row, rows, width);
            else
                SW_K(attention_choose)
            (rows, vectors, p->turned)(a, p->a_row, (const real *)p->b + begin * p->b_row + n, p->b_row, c, p->c_row,
                                       end - begin, p->add);
        }
    }
}
