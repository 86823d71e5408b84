/* Adafactor (Shazeer, Stern, ICML 2018), as torch.optim.Adafactor defines it, for each tensor: the second moments of a
 * matrix are those of its rows times those of its columns, so that a matrix [n, m] has n + m numbers of state.
 *     w = t^beta2_decay,  ρ = min(lr, 1/√t),  α = max(ε₂, RMS(θ)) ρ
 *     θ ← (1 - lr λ) θ
 *     R ← R + w (mean of g² over the columns - R)       [n]
 *     C ← C + w (mean of g² over the rows - C)          [m]
 *     V = R C / max(mean R, ε₁)                         a vector:  V ← V + w (g² - V)
 *     U = g/√max(V, ε₁²)
 *     θ ← θ - α U/max(1, RMS(U)/d)
 * As in PyTorch, a tensor with more than two axes is a set of matrices, which have its last two axes in PyTorch's
 * order: for the weight of a convolution, [out,kh,kw,in] here and [out,in,kh,kw] there, they are the kernels [kh,kw].
 * ε₁ = 0 stands for the distance from 1 to the next number of the type: 2⁻²³ in f32.
 *
 * State is computed in f64, in which squares of f32 do not overflow. An element of U is g times the smaller of 1/ε₁ and
 * √(max(mean R, ε₁)/R)·√(1/C): the loops over elements have neither roots nor divisions, and compute in the type of θ.
 * There a factor that overflows is replaced by 1/ε₁, or by 2^127 in f32 if ε₁ is smaller still.
 */
#include <swale/kernel.h>
#include <swale/kernel_rows.h>
#include <swale/kernel_squares.h>
#include <swale/rule.h>

#if SW_KERNEL_FIRST
/* A tensor is x[outer][rows][columns][inner]; a matrix, and R and C, exist for each outer and inner index. */
typedef struct adafactor_layout {
    int64_t outer, rows, columns, inner;
} adafactor_layout;
typedef struct adafactor_args {
    adafactor_layout layout;
    void *x;
    const void *g;
    double *row, *column;             /* R [outer, rows, inner], C [outer, columns, inner]; of a vector V and NULL */
    double *partial;                  /* Σ g² over the rows of a chunk: [outer, chunks, columns, inner] */
    void *row_factor, *column_factor; /* √(max(mean R, ε₁)/R), √(1/C), in the type of x */
    double fresh, most;               /* w, 1/ε₁ */
    double shrink, step;              /* θ ← shrink θ - step U */
} adafactor_args;
/* Rows of a chunk; columns of a tile. */
enum { ADAFACTOR_ROWS = 32, ADAFACTOR_COLUMNS = 1024 };
#endif

#if SW_KERNEL_PASS

/* Σ g² of rows and columns over a tile of n columns of a chunk. Four rows at a time load and store the sums of the
 * columns less often. */
SW_K_INLINE void SW_K(adafactor_tile)(const real *restrict g, int64_t width, int64_t rows, int64_t n, double share,
                                      double *restrict row, double *restrict partial) {
    int64_t r = 0;
    for (int64_t i = 0; i < n; i++)
        partial[i] = 0;
    for (; r + 4 <= rows; r += 4) {
        const real *restrict a = g + r * width, *restrict b = a + width, *restrict c = b + width,
                             *restrict d = c + width;
        for (int64_t i = 0; i < n; i++)
            partial[i] += ((double)a[i] * (double)a[i] + (double)b[i] * (double)b[i]) +
                          ((double)c[i] * (double)c[i] + (double)d[i] * (double)d[i]);
    }
    for (; r < rows; r++)
        for (int64_t i = 0; i < n; i++)
            partial[i] += (double)g[r * width + i] * (double)g[r * width + i];
    for (r = 0; r < rows; r++)
        row[r] += share * SW_K(sw_k_sum_squares)(g + r * width, n);
}

/* R of a chunk of rows, and its sums for C. Each tile is read from memory once. */
static void SW_K(adafactor_means)(void *args, int64_t begin, int64_t end, double *sums) {
    const adafactor_args *a = args;
    const int64_t columns = a->layout.columns, inner = a->layout.inner, width = columns * inner, rows = a->layout.rows,
                  chunks = (rows + ADAFACTOR_ROWS - 1) / ADAFACTOR_ROWS;
    const double share = a->fresh / (double)columns, keep = 1 - a->fresh;
    (void)sums;
    for (int64_t chunk = begin; chunk < end; chunk++) {
        const int64_t first = chunk % chunks * ADAFACTOR_ROWS, line = chunk / chunks * rows + first,
                      n = rows - first < ADAFACTOR_ROWS ? rows - first : ADAFACTOR_ROWS;
        const real *g = (const real *)a->g + line * width;
        double *row = a->row + line * inner, *partial = a->partial + chunk * width;
        for (int64_t i = 0; i < n * inner; i++)
            row[i] *= keep;
        for (int64_t at = 0; inner == 1 && at < width; at += ADAFACTOR_COLUMNS) {
            const int64_t some = width - at < ADAFACTOR_COLUMNS ? width - at : ADAFACTOR_COLUMNS;
            SW_K(adafactor_tile)(g + at, width, n, some, share, row, partial + at);
        }
        for (int64_t i = 0; inner > 1 && i < width; i++)
            partial[i] = 0;
        for (int64_t at = 0; inner > 1 && at < n * width; at += inner)
            for (int64_t i = 0; i < inner; i++) {
                const double square = (double)g[at + i] * (double)g[at + i];
                row[at / width * inner + i] += share * square;
                partial[at % width + i] += square;
            }
    }
}

/* C and its factors of a tile of at most ADAFACTOR_COLUMNS of the columns·inner columns of an outer index. */
static void SW_K(adafactor_columns)(void *args, int64_t begin, int64_t end, double *sums) {
    const adafactor_args *a = args;
    const int64_t width = a->layout.columns * a->layout.inner, rows = a->layout.rows,
                  tiles = (width + ADAFACTOR_COLUMNS - 1) / ADAFACTOR_COLUMNS,
                  chunks = (rows + ADAFACTOR_ROWS - 1) / ADAFACTOR_ROWS;
    const double share = a->fresh / (double)rows, keep = 1 - a->fresh;
    (void)sums;
    for (int64_t tile = begin; tile < end; tile++) {
        const int64_t outer = tile / tiles, first = tile % tiles * ADAFACTOR_COLUMNS,
                      n = width - first < ADAFACTOR_COLUMNS ? width - first : ADAFACTOR_COLUMNS;
        double *restrict column = a->column + outer * width + first;
        real *restrict factor = (real *)a->column_factor + outer * width + first;
        for (int64_t i = 0; i < n; i++)
            column[i] *= keep;
        for (int64_t chunk = 0; chunk < chunks; chunk++) {
            const double *restrict partial = a->partial + (outer * chunks + chunk) * width + first;
            for (int64_t i = 0; i < n; i++)
                column[i] += share * partial[i];
        }
        for (int64_t i = 0; i < n; i++)
            factor[i] = (real)sqrt(1 / column[i]);
    }
}

/* The factors of the rows of outer indices. */
static void SW_K(adafactor_rows)(void *args, int64_t begin, int64_t end, double *sums) {
    const adafactor_args *a = args;
    const int64_t rows = a->layout.rows, inner = a->layout.inner;
    (void)sums;
    for (int64_t outer = begin; outer < end; outer++) {
        const double *restrict row = a->row + outer * rows * inner;
        real *restrict factor = (real *)a->row_factor + outer * rows * inner;
        for (int64_t i = 0; i < inner; i++) {
            double sum = 0;
            for (int64_t r = 0; r < rows; r++)
                sum += row[r * inner + i];
            const double mean = fmax(sum / (double)rows, 1 / a->most);
            for (int64_t r = 0; r < rows; r++)
                factor[r * inner + i] = (real)sqrt(mean / row[r * inner + i]);
        }
    }
}

/* 1/ε₁ */
SW_K_INLINE real SW_K(adafactor_most)(const adafactor_args *a) {
    return (real)(SW_KERNEL_F32 ? fmin(a->most, 0x1p127) : a->most);
}

/* An element of U, from the factors of its row and its column. */
SW_K_INLINE real SW_K(adafactor_u)(real g, real row, real column, real most) {
    const real factor = row * column;
    return g * (factor < most ? factor : most);
}

SW_K_INLINE real SW_K(adafactor_square)(real g, real row, real column, real most) {
    const real u = SW_K(adafactor_u)(g, row, column, most);
    return u * u;
}

/* Σ U² of n ≤ SW_TILE elements of a row, as in sw_k_sum_squares. */
SW_K_INLINE double SW_K(adafactor_row_norm)(const real *g, int64_t n, real row, const real *column, real most) {
    double sum = 0;
    real square;
    SW_ROW_SUM(square, n, SW_K(adafactor_square)(g[j], row, column[j], most));
    if (!SW_KERNEL_F32 || (square > SW_R(1e-28) && square < SW_R(1e38)))
        return (double)square;
    for (int64_t i = 0; i < n; i++) {
        const double u = (double)SW_K(adafactor_u)(g[i], row, column[i], most);
        sum += u * u;
    }
    return sum;
}

/* Σ U² over lines: a line is the elements of a row, [columns, inner]. */
static void SW_K(adafactor_norm)(void *args, int64_t begin, int64_t end, double *sums) {
    const adafactor_args *a = args;
    const int64_t columns = a->layout.columns, inner = a->layout.inner, rows = a->layout.rows, width = columns * inner;
    const real most = SW_K(adafactor_most)(a);
    double sum = 0;
    for (int64_t line = begin; line < end; line++) {
        const real *g = (const real *)a->g + line * width, *row = (const real *)a->row_factor + line * inner,
                   *column = (const real *)a->column_factor + line / rows * width;
        for (int64_t at = 0; inner == 1 && at < width; at += SW_TILE)
            sum +=
                SW_K(adafactor_row_norm)(g + at, width - at < SW_TILE ? width - at : SW_TILE, *row, column + at, most);
        for (int64_t at = 0; inner > 1 && at < width; at += inner)
            for (int64_t i = 0; i < inner; i++) {
                const double u = (double)SW_K(adafactor_u)(g[at + i], row[i], column[at + i], most);
                sum += u * u;
            }
    }
    sums[0] += sum;
}

static void SW_K(adafactor_update)(void *args, int64_t begin, int64_t end, double *sums) {
    const adafactor_args *a = args;
    const int64_t columns = a->layout.columns, inner = a->layout.inner, rows = a->layout.rows, width = columns * inner;
    const real most = SW_K(adafactor_most)(a), step = (real)a->step, shrink = (real)a->shrink;
    (void)sums;
    for (int64_t line = begin; line < end; line++) {
        const real *restrict g = (const real *)a->g + line * width, *row = (const real *)a->row_factor + line * inner,
                             *column = (const real *)a->column_factor + line / rows * width;
        real *restrict x = (real *)a->x + line * width;
        for (int64_t b = 0; inner == 1 && b < width; b++)
            x[b] = shrink * x[b] - step * SW_K(adafactor_u)(g[b], *row, column[b], most);
        for (int64_t at = 0; inner > 1 && at < width; at += inner)
            for (int64_t i = 0; i < inner; i++)
                x[at + i] = shrink * x[at + i] - step * SW_K(adafactor_u)(g[at + i], row[i], column[at + i], most);
    }
}

/* The factor of an element of a vector. */
SW_K_INLINE double SW_K(adafactor_factor)(double v, double most) {
    const double factor = 1 / sqrt(v);
    return factor < most ? factor : most;
}

/* Of a vector: V of its elements, and Σ U². */
static void SW_K(adafactor_vector_norm)(void *args, int64_t begin, int64_t end, double *sums) {
    const adafactor_args *a = args;
    const real *g = a->g;
    double *v = a->row, sum = 0;
    const double fresh = a->fresh, keep = 1 - a->fresh;
    for (int64_t i = begin; i < end; i++) {
        v[i] = keep * v[i] + fresh * ((double)g[i] * (double)g[i]);
        const double u = (double)g[i] * SW_K(adafactor_factor)(v[i], a->most);
        sum += u * u;
    }
    sums[0] += sum;
}

static void SW_K(adafactor_vector_update)(void *args, int64_t begin, int64_t end, double *sums) {
    const adafactor_args *a = args;
    const real *restrict g = a->g;
    real *restrict x = a->x;
    const double *v = a->row;
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        x[i] = (real)a->shrink * x[i] - (real)(a->step * ((double)g[i] * SW_K(adafactor_factor)(v[i], a->most)));
}

#else

typedef struct adafactor_options {
    double lr, beta2_decay, eps1, eps2, d, weight_decay;
} adafactor_options;
typedef struct adafactor_slots {
    void *row, *column;
} adafactor_slots;

static const sw_kernels adafactor_means_kernels = SW_KERNEL_TABLE(adafactor_means),
                        adafactor_columns_kernels = SW_KERNEL_TABLE(adafactor_columns),
                        adafactor_rows_kernels = SW_KERNEL_TABLE(adafactor_rows),
                        adafactor_norm_kernels = SW_KERNEL_TABLE(adafactor_norm),
                        adafactor_update_kernels = SW_KERNEL_TABLE(adafactor_update),
                        adafactor_vector_norm_kernels = SW_KERNEL_TABLE(adafactor_vector_norm),
                        adafactor_vector_update_kernels = SW_KERNEL_TABLE(adafactor_vector_update);

static bool adafactor_is_vector(const sw_param *p) {
    return p->rank < 2;
}

/* The first of the two axes that make the matrices. In the order of files they are the last two. In that of x they are
 * neighbors, in either order, for all orders of sw_channels_first; for others, the last two axes of x are used. */
static int adafactor_axis(const sw_param *p) {
    const sw_file_order *order = &p->channels_first;
    const int rank = p->rank;
    if (order->rank != rank || !sw_shape_equal(rank, order->view, rank, p->shape))
        return rank - 2;
    const int one = order->axes[rank - 2], other = order->axes[rank - 1];
    return other == one + 1 ? one : one == other + 1 ? other : rank - 2;
}

/* R and C have symmetric roles, so that their order does not matter. */
static adafactor_layout adafactor_layout_of(const sw_param *p) {
    adafactor_layout l = {1, 1, 1, 1};
    if (adafactor_is_vector(p))
        return (adafactor_layout){.outer = 1, .rows = p->count, .columns = 1, .inner = 1};
    const int axis = adafactor_axis(p);
    for (int i = 0; i < p->rank; i++)
        *(i < axis ? &l.outer : i == axis ? &l.rows : i == axis + 1 ? &l.columns : &l.inner) *= p->shape[i];
    return l;
}

static int64_t adafactor_row_count(const sw_slot_sizes *sizes) {
    const adafactor_layout l = adafactor_layout_of(sizes->param);
    return l.outer * l.rows * l.inner;
}

static int64_t adafactor_column_count(const sw_slot_sizes *sizes) {
    const adafactor_layout l = adafactor_layout_of(sizes->param);
    return adafactor_is_vector(sizes->param) ? 0 : l.outer * l.columns * l.inner;
}

static int64_t adafactor_chunks(const adafactor_layout *l) {
    return (l->rows + ADAFACTOR_ROWS - 1) / ADAFACTOR_ROWS;
}

/* The sums of the chunks, and the factors. */
static size_t adafactor_workspace(const sw_param *p, sw_dtype type) {
    const adafactor_layout l = adafactor_layout_of(p);
    const int64_t sums = l.outer * adafactor_chunks(&l) * l.columns * l.inner,
                  factors = l.outer * (l.rows + l.columns) * l.inner;
    return adafactor_is_vector(p) ? 0 : (size_t)sums * sizeof(double) + (size_t)factors * sw_dtype_size(type);
}

static double adafactor_eps1(const adafactor_options *o, sw_dtype type) {
    return o->eps1 > 0 ? o->eps1 : type == SW_F32 ? 0x1p-23 : 0x1p-52;
}

/* w */
static double adafactor_fresh(const adafactor_options *o, int64_t step) {
    return pow((double)step, o->beta2_decay);
}

/* ρ */
static double adafactor_relative_step(const adafactor_options *o, int64_t step) {
    return fmin(o->lr, 1 / sqrt((double)step));
}

/* ---- A matrix ---- */

typedef struct adafactor_job {
    adafactor_args *args;
    sw_kernel *kernel;
} adafactor_job;

static void adafactor_item(void *args, int64_t item) {
    const adafactor_job *job = args;
    job->kernel(job->args, item, item + 1, NULL);
}

/* Calls a kernel for each item; with one thread if that is faster. */
static void adafactor_run(adafactor_args *a, sw_kernel *kernel, int64_t items, bool serial) {
    adafactor_job job = {a, kernel};
    if (serial)
        kernel(a, 0, items, NULL);
    else
        sw_parallel(adafactor_item, &job, items);
}

/* R, C and the factors; returns Σ U². */
static double adafactor_matrix_norm(adafactor_args *a, sw_dtype type) {
    const adafactor_layout *l = &a->layout;
    const int64_t lines = l->outer * l->rows, length = l->columns * l->inner,
                  tiles = l->outer * ((length + ADAFACTOR_COLUMNS - 1) / ADAFACTOR_COLUMNS);
    const int level = sw_cpu_level();
    const bool serial = lines * length < SW_SERIAL;
    double sum;
    adafactor_run(a, adafactor_means_kernels[type][level], l->outer * adafactor_chunks(l), serial);
    adafactor_run(a, adafactor_columns_kernels[type][level], tiles, serial);
    adafactor_run(a, adafactor_rows_kernels[type][level], l->outer, serial);
    sw_kernel_run_rows(adafactor_norm_kernels[type][level], a, lines, length, &sum);
    return sum;
}

/* ---- A step ---- */

static sw_status adafactor_tensor(sw_step *s) {
    const adafactor_options *o = SW_STEP_OPTIONS(s, adafactor_options);
    const adafactor_slots *slots = SW_STEP_SLOTS(s, adafactor_slots);
    const adafactor_layout l = adafactor_layout_of(s->param);
    const int level = sw_cpu_level();
    const double n = (double)s->count;
    double norm, sum;
    if (s->count == 0)
        return SW_OK;
    adafactor_args a = {.layout = l,
                        .x = s->x,
                        .g = s->g,
                        .row = slots->row,
                        .column = slots->column,
                        .partial = s->workspace,
                        .fresh = adafactor_fresh(o, s->step),
                        .most = 1 / adafactor_eps1(o, s->type),
                        .shrink = 1 - o->lr * o->weight_decay};
    SW_TRY(sw_vector_norm(s->type, s->count, s->x, &norm));
    const bool vector = adafactor_is_vector(s->param);
    if (vector) {
        sw_kernel_run_rows(adafactor_vector_norm_kernels[s->type][level], &a, s->count, 1, &sum);
    } else {
        a.row_factor = a.partial + l.outer * adafactor_chunks(&l) * l.columns * l.inner;
        a.column_factor = (char *)a.row_factor + (size_t)(l.outer * l.rows * l.inner) * sw_dtype_size(s->type);
        sum = adafactor_matrix_norm(&a, s->type);
    }
    const double alpha = fmax(o->eps2, norm / sqrt(n)) * adafactor_relative_step(o, s->step);
    a.step = alpha / fmax(1, sqrt(sum / n) / o->d);
    if (vector)
        sw_kernel_run_rows(adafactor_vector_update_kernels[s->type][level], &a, s->count, 1, NULL);
    else
        sw_kernel_run_rows(adafactor_update_kernels[s->type][level], &a, l.outer * l.rows, l.columns * l.inner, NULL);
    return SW_OK;
}

/* RMS(U) is at most d after the division, so that the step of a tensor of n elements is at most ρ d max(ε₂ √n, ‖θ‖).
 * The mean squares are at most Σ g². In f32 large squares of U are computed in f64, where they are finite. */
static void adafactor_reach(const sw_step *s, sw_bounds *b) {
    const adafactor_options *o = SW_STEP_OPTIONS(s, adafactor_options);
    const double fresh = adafactor_fresh(o, s->step), n = sqrt((double)b->count), square = fresh * b->g * b->g,
                 shrink = fabs(1 - o->lr * o->weight_decay),
                 far = adafactor_relative_step(o, s->step) * o->d * (o->eps2 * n + b->x);
    double *row = &SW_SLOT_BOUND(b, adafactor_slots, row), *column = &SW_SLOT_BOUND(b, adafactor_slots, column);
    *row = (1 - fresh) * *row + square;
    *column = (1 - fresh) * *column + square;
    b->largest += far + shrink + b->g;
    if (s->type == SW_F64)
        b->largest += pow(b->g / adafactor_eps1(o, s->type), 2);
    b->x = shrink * b->x + far;
}

/* clang-format off */
static const sw_option adafactor_option_table[] = {
    {.name = "lr", .value = 0.01, .low = 0, .high = 1e6,
     .help = "the largest step relative to RMS(θ), and the learning rate of the decay",
     .search_low = 1e-3, .search_high = 1e-1, .search_log = true},
    {.name = "beta2_decay", .value = -0.8, .low = -10, .high = 0, .help = "the weight of g² in step t is t^beta2_decay",
     .search_low = -1, .search_high = -0.5},
    {.name = "eps1", .value = 0, .low = 0, .high = 1,
     .help = "ε₁, the smallest root of a second moment; 0: 2^-23 in f32, 2^-52 in f64"},
    {.name = "eps2", .value = 1e-3, .low = 0, .high = 1e6, .help = "ε₂, the smallest RMS(θ) in the step",
     .search_low = 1e-5, .search_high = 1e-1, .search_log = true},
    {.name = "d", .value = 1, .low = 1, .high = 1e6, .help = "the largest RMS of U", .search_low = 1, .search_high = 1},
    {.name = "weight_decay", .value = 0, .low = 0, .high = 1e6, .help = "λ, decoupled: θ ← (1 - lr λ) θ",
     .search_low = 1e-4, .search_high = 1, .search_log = true},
    {0}};
/* clang-format on */
static const sw_slot adafactor_slot_table[] = {{.name = "row", .type = SW_SLOT_F64, .count = adafactor_row_count},
                                               {.name = "column", .type = SW_SLOT_F64, .count = adafactor_column_count},
                                               {0}};
SW_MATCH_OPTIONS(adafactor_options, adafactor_option_table);
SW_MATCH_SLOTS(adafactor_slots, adafactor_slot_table);

const sw_rule swo_adafactor = {.size = sizeof(sw_rule),
                               .name = "adafactor",
                               .summary = "Adam without momentum, with the second moments of rows and columns",
                               .source = "Shazeer, Stern, ICML 2018",
                               .options = adafactor_option_table,
                               .slots = adafactor_slot_table,
                               .unit = SW_UNIT_TENSOR,
                               .tensor = adafactor_tensor,
                               .workspace = adafactor_workspace,
                               .reach = adafactor_reach,
                               .cost = 6}; /* x is read twice, g three times, and x is written */

#endif
