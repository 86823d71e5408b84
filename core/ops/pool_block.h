/* Pooling of a block of channels, POOL_BLOCK: whole, short or single. A part of pool_vector.h; there is no include
 * guard. */
#define POOL_NAME_OF(name, block) name##_##block
#define POOL_NAME(name, block) POOL_NAME_OF(name, block)
#define POOL_FUNCTION(name) SW_K(POOL_NAME(name, POOL_BLOCK))
#define VECTOR SW_K(POOL_NAME(pool, POOL_BLOCK))
#define INTS SW_K(POOL_NAME(POOL_NAME(pool, POOL_BLOCK), ints))
#define LANES ((int)(sizeof(VECTOR) / sizeof(real)))
#define LOAD(from) (*(const VECTOR *)(const void *)(from))
#define STORE(to, value) (*(VECTOR *)(void *)(to) = (value))
#if POOL_BLOCK_IS_SINGLE
#define SELECT(mask, a, b) ((mask) ? (a) : (b))
#define SELECT_INTS(mask, a, b) ((mask) ? (a) : (b))
#else
#define SELECT(mask, a, b) ((VECTOR)(((INTS)(a) & (mask)) | ((INTS)(b) & ~(mask))))
#define SELECT_INTS(mask, a, b) (((a) & (mask)) | ((b) & ~(mask)))
#endif

/* ---- Places of largest elements ---- */

SW_K_INLINE void POOL_FUNCTION(pool_store_places)(const pool_args *s, int64_t at, const INTS *place) {
    if (!s->wide_places) {
        POOL_FUNCTION(pool_store_bytes)((uint8_t *)s->place + at, place);
        return;
    }
    POOL_INT list[LANES];
    memcpy(list, place, sizeof *place);
    for (int l = 0; l < LANES; l++)
        ((uint32_t *)s->place)[at + l] = (uint32_t)list[l];
}

SW_K_INLINE void POOL_FUNCTION(pool_load_places)(const pool_args *s, int64_t at, INTS *place) {
    if (!s->wide_places) {
        POOL_FUNCTION(pool_load_bytes)((const uint8_t *)s->place + at, place);
        return;
    }
    POOL_INT list[LANES];
    for (int l = 0; l < LANES; l++)
        list[l] = (POOL_INT)((const uint32_t *)s->place)[at + l];
    memcpy(place, list, sizeof *place);
}

/* ---- Forward ---- */

/* Elements of x; with relu, 0 in place of negative ones. */
SW_K_INLINE VECTOR POOL_FUNCTION(pool_read)(const pool_args *s, const real *from) {
    const VECTOR least = (s->relu ? 0 : -(real)INFINITY) + (VECTOR){0}, v = LOAD(from);
    const INTS below = v < least;
    return SELECT(below, least, v);
}

/* The largest elements of a window: x is its first position in the picture, element `first` of the window. The result
 * is element `at` of y. Of several largest elements the first counts, of several NaN the last. */
SW_K_INLINE void POOL_FUNCTION(pool_max_block)(const pool_args *s, const real *x, int64_t rows, int64_t columns,
                                               POOL_INT first, int64_t at) {
    const int64_t right = s->width.dilation * s->channels, down = s->height.dilation * s->width.length * s->channels;
    VECTOR most = POOL_FUNCTION(pool_read)(s, x);
    INTS place = first + (INTS){0};
    for (int64_t h = 0; h < rows; h++)
        for (int64_t w = h == 0; w < columns; w++) {
            const VECTOR v = POOL_FUNCTION(pool_read)(s, x + h * down + w * right);
            const INTS element = first + (POOL_INT)(h * s->width.window + w) + (INTS){0};
            /* NOLINTNEXTLINE(misc-redundant-expression): v is NaN */
            const INTS take = (v > most) | (v != v);
            most = SELECT(take, v, most);
            place = SELECT_INTS(take, element, place);
        }
    STORE((real *)s->out + at, most);
    POOL_FUNCTION(pool_store_places)(s, at, &place);
}

/* Adds a part to a sum, whose rounding errors are added to *rest (the exact error of each addition, Knuth 1969). */
SW_K_INLINE void POOL_FUNCTION(pool_add_part)(VECTOR *total, VECTOR *rest, const VECTOR *part) {
    const VECTOR sum = *total + *part, added = sum - *total;
    *rest += (*total - (sum - added)) + (*part - added);
    *total = sum;
}

/* The sum with its rest; without it if the sum is infinite or NaN. */
SW_K_INLINE void POOL_FUNCTION(pool_add_rest)(VECTOR *total, const VECTOR *rest) {
    const VECTOR sum = *total + *rest;
    const INTS good = *rest == *rest; /* NOLINT(misc-redundant-expression): it is not NaN */
    *total = SELECT(good, sum, *total);
}

/* *sum / divisor */
SW_K_INLINE void POOL_FUNCTION(pool_divide)(VECTOR *sum, int64_t divisor) {
    if ((divisor & (divisor - 1)) == 0) /* the product with a power of 2 is exact, too, and faster */
        *sum *= 1 / (real)divisor;
    else
        *sum /= (real)divisor;
}

/* The sums of a window of many elements. */
static __attribute__((noinline, unused)) void POOL_FUNCTION(pool_long_sum)(const pool_args *s, const real *x,
                                                                           int64_t rows, int64_t columns, VECTOR *sum) {
    const int64_t right = s->channels, down = s->width.length * s->channels;
    VECTOR total = {0}, rest = {0};
    for (int64_t h = 0; h < rows; h++)
        for (int64_t w = 0; w < columns; w += POOL_PIECE) {
            const int64_t end = columns - w < POOL_PIECE ? columns : w + POOL_PIECE;
            VECTOR part = POOL_FUNCTION(pool_read)(s, x + h * down + w * right);
            for (int64_t v = w + 1; v < end; v++)
                part += POOL_FUNCTION(pool_read)(s, x + h * down + v * right);
            POOL_FUNCTION(pool_add_part)(&total, &rest, &part);
        }
    POOL_FUNCTION(pool_add_rest)(&total, &rest);
    *sum = total;
}

/* The bits of element `element` of a window in pool_args.place. */
SW_K_INLINE INTS POOL_FUNCTION(pool_signs)(VECTOR v, int64_t element) {
    /* NOLINTNEXTLINE(misc-redundant-expression): v is NaN */
    const INTS above = v > (VECTOR){0}, nan = v != v, bit = ((POOL_INT)1 << element) + (INTS){0}, none = {0};
    return SELECT_INTS(above, bit, none) | SELECT_INTS(nan, bit << 4, none);
}

/* Saves the signs of the elements of a window. */
SW_K_INLINE void POOL_FUNCTION(pool_save_signs)(const pool_args *s, const real *x, int64_t rows, int64_t columns,
                                                int64_t first, int64_t at) {
    const int64_t right = s->channels, down = s->width.length * s->channels;
    INTS signs = {0};
    for (int64_t h = 0; h < rows; h++)
        for (int64_t w = 0; w < columns; w++)
            signs |= POOL_FUNCTION(pool_signs)(LOAD(x + h * down + w * right), first + h * s->width.window + w);
    POOL_FUNCTION(pool_store_bytes)((uint8_t *)s->place + at, &signs);
}

/* The means of a window. */
SW_K_INLINE void POOL_FUNCTION(pool_avg_block)(const pool_args *s, const real *x, int64_t rows, int64_t columns,
                                               int64_t divisor, int64_t at) {
    const int64_t right = s->channels, down = s->width.length * s->channels;
    VECTOR total = POOL_FUNCTION(pool_read)(s, x);
    if (rows * columns > POOL_PIECE) {
        POOL_FUNCTION(pool_long_sum)(s, x, rows, columns, &total);
    } else {
        for (int64_t w = 1; w < columns; w++)
            total += POOL_FUNCTION(pool_read)(s, x + w * right);
        for (int64_t h = 1; h < rows; h++)
            for (int64_t w = 0; w < columns; w++)
                total += POOL_FUNCTION(pool_read)(s, x + h * down + w * right);
    }
    POOL_FUNCTION(pool_divide)(&total, divisor);
    STORE((real *)s->out + at, total);
}

/* ---- Gradients ---- */

/* The gradient of max(v, 0): g for v > 0, 0 for v ≤ 0, NaN for NaN. v may be the result of the maximum. */
SW_K_INLINE VECTOR POOL_FUNCTION(pool_relu_gradient)(VECTOR v, VECTOR g) {
    const INTS above = v > (VECTOR){0}, below = v < (VECTOR){0};
    const VECTOR other = SELECT(below, (VECTOR){0}, v + (VECTOR){0});
    return SELECT(above, g, other);
}

/* The gradient of the windows of a block. */
SW_K_INLINE VECTOR POOL_FUNCTION(pool_window_gradient)(const pool_args *s, int64_t at) {
    const VECTOR dy = LOAD((const real *)s->in + at);
    return s->y ? POOL_FUNCTION(pool_relu_gradient)(LOAD((const real *)s->y + at), dy) : dy;
}

/* Applies the gradient of max(x, 0) to elements of dx. */
SW_K_INLINE void POOL_FUNCTION(pool_mask_block)(const pool_args *s, real *dx) {
    const VECTOR x = LOAD((const real *)s->x + (dx - (real *)s->out));
    STORE(dx, POOL_FUNCTION(pool_relu_gradient)(x, LOAD(dx)));
}

/* The gradient g of an element of a window by the signs of the window. */
SW_K_INLINE VECTOR POOL_FUNCTION(pool_by_sign)(const INTS *signs, int64_t element, VECTOR g) {
    const INTS bit = ((POOL_INT)1 << element) + (INTS){0}, above = (*signs & bit) != 0, nan = (*signs & bit << 4) != 0;
    const VECTOR other = SELECT(nan, (real)NAN + (VECTOR){0}, (VECTOR){0});
    return SELECT(above, g, other);
}

/* The gradient of 2 x 2 positions from the window that contains them: dx is the first one. */
SW_K_INLINE void POOL_FUNCTION(pool_four_block)(const pool_args *s, real *dx, POOL_INT first, real factor, int64_t at,
                                                const bool average) {
    const int64_t right = s->channels, down = s->width.length * s->channels;
    VECTOR dy = POOL_FUNCTION(pool_window_gradient)(s, at);
    INTS place = {0};
    if (average)
        dy *= factor;
    if (!average || s->signs)
        POOL_FUNCTION(pool_load_places)(s, at, &place);
    for (int i = 0; i < 4; i++) {
        const POOL_INT number = first + (POOL_INT)(i / 2 * s->width.window + i % 2);
        const INTS element = number + (INTS){0}, chosen = place == element;
        VECTOR value = dy;
        if (!average)
            value = SELECT(chosen, dy, (VECTOR){0});
        else if (s->signs)
            value = POOL_FUNCTION(pool_by_sign)(&place, number, dy);
        STORE(dx + i / 2 * down + i % 2 * right, value);
        if (s->x)
            POOL_FUNCTION(pool_mask_block)(s, dx + i / 2 * down + i % 2 * right);
    }
}

/* The gradient of a position from one window, of which it is `element`: of means, that of the window times `factor`. */
SW_K_INLINE void POOL_FUNCTION(pool_term)(const pool_args *s, int64_t at, int64_t element, real factor, VECTOR *term,
                                          const bool average) {
    const VECTOR dy = POOL_FUNCTION(pool_window_gradient)(s, at);
    INTS place;
    if (!average || s->signs)
        POOL_FUNCTION(pool_load_places)(s, at, &place);
    if (average && s->signs) {
        *term = POOL_FUNCTION(pool_by_sign)(&place, element, dy * factor);
    } else if (average) {
        *term = dy * factor;
    } else {
        const INTS chosen = place == (POOL_INT)element + (INTS){0};
        *term = SELECT(chosen, dy, (VECTOR){0});
    }
}

/* Stores the gradient of a position from one window, or adds it to dx. */
SW_K_INLINE void POOL_FUNCTION(pool_term_block)(const pool_args *s, real *dx, int64_t at, int64_t element, real factor,
                                                bool add, const bool average) {
    VECTOR term;
    POOL_FUNCTION(pool_term)(s, at, element, factor, &term, average);
    if (add)
        term += LOAD(dx);
    STORE(dx, term);
}

/* The gradient of a position of many windows, for channels from k: a long sum. */
static __attribute__((noinline, unused)) void POOL_FUNCTION(pool_sum_block)(const pool_args *s, const pool_position *p,
                                                                            int64_t k, real *dx, bool average) {
    VECTOR total = {0}, rest = {0};
    for (int64_t i = p->rows.first; i <= p->rows.last; i++) {
        const int64_t row = pool_element(&s->height, i, p->h);
        for (int64_t first = p->columns.first; first <= p->columns.last && row >= 0; first += POOL_PIECE) {
            const int64_t last = first + POOL_PIECE - 1 < p->columns.last ? first + POOL_PIECE - 1 : p->columns.last;
            VECTOR part = {0};
            for (int64_t j = first; j <= last; j++) {
                const int64_t column = pool_element(&s->width, j, p->w);
                VECTOR term;
                if (column < 0)
                    continue;
                POOL_FUNCTION(pool_term)
                (s, ((p->n * s->height.out + i) * s->width.out + j) * s->channels + k, row * s->width.window + column,
                 (real)pool_factor(s, i, j), &term, average);
                part += term;
            }
            POOL_FUNCTION(pool_add_part)(&total, &rest, &part);
        }
    }
    POOL_FUNCTION(pool_add_rest)(&total, &rest);
    STORE(dx, total);
}

#undef POOL_NAME_OF
#undef POOL_NAME
#undef POOL_FUNCTION
#undef VECTOR
#undef INTS
#undef LANES
#undef LOAD
#undef STORE
#undef SELECT
#undef SELECT_INTS
