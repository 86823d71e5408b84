/* Products of tiles in registers, for attention_tiles.c. Include it in each pass of kernel.h, after conv_vector.h;
 * there is no include guard. */

/* The most rows of a tile with two registers of columns; the sums and operands fill 32 or 16 registers. */
#undef MOST
#if CONV_LEVEL == 2
#define MOST 12
#else
#define MOST 6
#endif

/* `rows`, `vectors`, and `turned` are constants in each call. */
SW_K_INLINE void SW_K(attention_tile)(const real *a, int64_t a_row, const real *b, int64_t b_row, real *c,
                                      int64_t c_row, int64_t terms, bool add, int rows, int vectors, bool turned) {
    VECTOR sum[MOST][2];
    const int64_t row = turned ? 1 : a_row, term = turned ? STRIP : 1;
    CONV_UNROLL
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++)
            sum[r][v] = add ? LOAD(c + r * c_row + v * LANES) : (VECTOR){0};
    for (int64_t t = 0; t < terms; t++, a += term, b += b_row) {
        const VECTOR b0 = LOAD(b), b1 = vectors == 2 ? LOAD(b + LANES) : b0;
        CONV_UNROLL
        for (int r = 0; r < rows; r++) {
            const VECTOR element = BROADCAST(a[r * row]);
            sum[r][0] = FMA(element, b0, sum[r][0]);
            if (vectors == 2)
                sum[r][1] = FMA(element, b1, sum[r][1]);
        }
    }
    CONV_UNROLL
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++)
            STORE(c + r * c_row + v * LANES, sum[r][v]);
}

/* One function for each size of a tile: the compiler then assigns registers for each of them. */
#define ATTENTION_TILE(rows, vectors)                                                                                  \
    static __attribute__((noinline)) void SW_K(attention_rows_##rows##_##vectors)(                                     \
        const real *a, int64_t a_row, const real *b, int64_t b_row, real *c, int64_t c_row, int64_t terms, bool add) { \
        SW_K(attention_tile)(a, a_row, b, b_row, c, c_row, terms, add, rows, vectors, false);                          \
    }                                                                                                                  \
    static __attribute__((noinline)) void SW_K(attention_turned_##rows##_##vectors)(                                   \
        const real *a, int64_t a_row, const real *b, int64_t b_row, real *c, int64_t c_row, int64_t terms, bool add) { \
        SW_K(attention_tile)(a, a_row, b, b_row, c, c_row, terms, add, rows, vectors, true);                           \
    }
ATTENTION_TILE(1, 1)
ATTENTION_TILE(2, 1)
ATTENTION_TILE(3, 1)
ATTENTION_TILE(4, 1)
ATTENTION_TILE(6, 1)
ATTENTION_TILE(1, 2)
ATTENTION_TILE(2, 2)
ATTENTION_TILE(3, 2)
ATTENTION_TILE(4, 2)
ATTENTION_TILE(6, 2)
#if MOST == 12
ATTENTION_TILE(8, 1)
ATTENTION_TILE(12, 1)
ATTENTION_TILE(8, 2)
ATTENTION_TILE(12, 2)
#endif

typedef void SW_K(attention_tile_function)(const real *a, int64_t a_row, const real *b, int64_t b_row, real *c,
                                           int64_t c_row, int64_t terms, bool add);

/* The tile for `rows` or fewer rows; *rows becomes the number of its rows. */
static SW_K(attention_tile_function) * SW_K(attention_choose)(int64_t *rows, int vectors, bool turned) {
#define CHOOSE(n)                                                                                    \
    if (*rows >= n) {                                                                                \
        *rows = n;                                                                                   \
        return vectors == 2 ? turned ? SW_K(attention_turned_##n##_2) : SW_K(attention_rows_##n##_2) \
               : turned ? SW_K(attention_turned_##n##_1)                                             \
                            : SW_K(attention_rows_##n##_1);                                              \
    }
#if MOST == 12
    CHOOSE(12)
    CHOOSE(8)
#endif
    CHOOSE(6)
    CHOOSE(4)
    CHOOSE(3)
    CHOOSE(2)
    CHOOSE(1)
#undef CHOOSE
    return NULL;
}

static void SW_K(attention_multiply)(const swi_attention_product *p) {
    for (int64_t r = 0, rows; r < p->rows; r += rows) {
        rows = p->rows - r;
        for (int64_t n = 0, width; n < p->columns; n += width) {
            const int vectors = p->columns - n >= 2 * LANES ? 2 : 1;
            SW_K(attention_tile_function) *const tile = SW_K(attention_choose)(&rows, vectors, p->turned);
            const int64_t lowest = p->first_term + r, highest = p->last_term + r + rows - 1,
                          begin = lowest < 0          ? 0
                                  : lowest < p->terms ? lowest
                                                      : p->terms,
                          end = highest < begin      ? begin
                                : highest < p->terms ? highest
                                                     : p->terms;
            width = vectors * LANES;
            tile((const real *)p->a + (p->turned ? r + begin * STRIP : r * p->a_row + begin), p->a_row,
                 (const real *)p->b + begin * p->b_row + n, p->b_row, (real *)p->c + r * p->c_row + n, p->c_row,
                 end - begin, p->add);
        }
    }
}
