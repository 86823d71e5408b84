/* Amos (Tian, Parikh 2022), the version of the paper and of its authors' code. ḡ² is the mean of g² over
 * a row. A row has the elements with one index of the first axis of a matrix or kernel (an output unit, a word); a
 * vector is one row. v and b have one number per row. With the expected scale η of a tensor:
 *     v ← β v + (1 - β) ḡ²,   r = (1 - βᵗ)/max(v, 2⁻¹²⁵)
 *     γ = (1 + c √ξ b)^(-½) ξ² r ḡ²
 *     Δ = -[(γ/2 + λ) θ + ξ η √r g] / (1 + d √(ξ η) b)
 *     b ← b + γ (1 + b)
 *     θ ← θ + Δ;  with momentum  m ← μ m + (1 - μ) Δ,  θ ← θ + m
 * η is √(weight/fan_in) for a hidden matrix, √(conv/fan_in) for a kernel, √(head/fan_in) for the last
 * layer's matrix, and the option itself for the other roles.
 */
#include <swale/kernel.h>
#include <swale/kernel_squares.h>
#include <swale/rule.h>

#if SW_KERNEL_FIRST
enum { AMOS_BLOCK = 64, AMOS_LONG = 1 << 18 /* elements of a vector that does not stay in the cache */ };
typedef struct amos_options {
    double lr, beta, momentum, extra_l2, c, d, weight, conv, head, embedding, bias, norm, other;
} amos_options;
typedef struct amos_slots {
    void *v, *b, *m;
} amos_slots;
typedef struct amos_coefficients {
    double correction; /* 1 - βᵗ */
    double eta;        /* η */
    double d_root;     /* d √(ξη) */
    double c_root;     /* c √ξ */
    double row_length; /* elements of a row */
} amos_coefficients;
#endif

#if SW_KERNEL_PASS

/* The coefficients of Δ = -(of_x θ + of_g (down g)). */
typedef struct SW_K(amos_change) {
    real of_x, of_g, down, mu, one_minus_mu;
} SW_K(amos_change);

/* Moves n elements; m NULL without momentum. */
SW_K_INLINE void SW_K(amos_move)(const SW_K(amos_change) * c, int64_t n, real *restrict x, const real *restrict g,
                                 real *restrict m) {
    const real of_x = c->of_x, of_g = c->of_g, down = c->down, mu = c->mu, one_minus_mu = c->one_minus_mu;
    if (m) {
        for (int64_t i = 0; i < n; i++) {
            m[i] = mu * m[i] - one_minus_mu * (of_x * x[i] + of_g * (down * g[i]));
            x[i] += m[i];
        }
    } else if (down != 1) {
        for (int64_t i = 0; i < n; i++)
            x[i] -= of_x * x[i] + of_g * (down * g[i]);
    } else {
        for (int64_t i = 0; i < n; i++)
            x[i] -= of_x * x[i] + of_g * g[i];
    }
}

/* One row: x and g of n elements, m NULL without momentum. next: prefetch the next row, because the sum of its squares
 * reads one vector alone, for which the processor waits longer than for several. */
static inline void SW_K(amos_row)(const sw_step *s, int64_t n, real *restrict x, const real *restrict g,
                                  real *restrict m, double *v, double *b, bool next) {
    const amos_options *o = SW_STEP_OPTIONS(s, amos_options);
    const amos_coefficients *c = SW_STEP_COEFFICIENTS(s, amos_coefficients);
    const double xi = o->lr, mean_square = SW_K(sw_k_sum_squares)(g, n) / (double)n;
    *v = o->beta * *v + (1 - o->beta) * mean_square;
    const double r = c->correction / (*v > 0x1p-125 ? *v : 0x1p-125);
    const double gamma = xi * xi * r * mean_square / sqrt(1 + c->c_root * *b);
    const double fade = 1 / (1 + c->d_root * *b);
    *b += gamma * (1 + *b);

    /* √r may be too small for f32. Then g is large, and is first scaled down. */
    const double root = sqrt(r), scale = root < 0x1p-60 ? 0x1p-100 : 1;
    const SW_K(amos_change) change = {.of_x = (real)(fade * (gamma / 2 + o->extra_l2)),
                                      .of_g = (real)(fade * xi * c->eta * (root / scale)),
                                      .down = (real)scale,
                                      .mu = (real)o->momentum,
                                      .one_minus_mu = (real)(1 - o->momentum)};
    int64_t i = 0;
    for (; next && i + AMOS_BLOCK <= n; i += AMOS_BLOCK) {
        for (int64_t at = i; at < i + AMOS_BLOCK; at += SW_ALIGNMENT / (int64_t)sizeof(real)) {
            __builtin_prefetch(g + n + at);
            __builtin_prefetch(x + n + at);
        }
        SW_K(amos_move)(&change, AMOS_BLOCK, x + i, g + i, m ? m + i : NULL);
    }
    SW_K(amos_move)(&change, n - i, x + i, g + i, m ? m + i : NULL);
}

/* Processes rows [begin, end). Each row is read twice, the second time from the cache. */
static void SW_K(amos)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    const amos_slots *slots = SW_STEP_SLOTS(s, amos_slots);
    const int64_t n = (int64_t)SW_STEP_COEFFICIENTS(s, amos_coefficients)->row_length;
    double *v = slots->v, *b = slots->b;
    const bool fetch = s->count >= AMOS_LONG && sw_cpu_needs_prefetch();
    (void)sums;
    for (int64_t row = begin; row < end; row++) {
        real *x = (real *)s->x + row * n, *m = slots->m ? (real *)slots->m + row * n : NULL;
        const real *g = (const real *)s->g + row * n;
        SW_K(amos_row)(s, n, x, g, m, &v[row], &b[row], fetch && (row + 2) * n <= s->count);
    }
}

#else

static const sw_kernels amos_kernels = SW_KERNEL_TABLE(amos);

static int64_t amos_rows(const sw_param *p) {
    return p->rank >= 2 ? p->shape[0] : 1;
}

/* The expected scale η of the elements of a tensor. */
static double amos_eta(const sw_param *p, const amos_options *o) {
    const double fan_in = (double)(p->fan_in > 0 ? p->fan_in : p->count / amos_rows(p));
    switch (p->role) {
    case SW_ROLE_WEIGHT: return sqrt((p->rank > 2 ? o->conv : o->weight) / fan_in);
    case SW_ROLE_HEAD: return sqrt(o->head / fan_in);
    case SW_ROLE_EMBEDDING: return o->embedding;
    case SW_ROLE_BIAS: return o->bias;
    case SW_ROLE_NORM: return o->norm;
    default: return o->other;
    }
}

/* The number of rows per tile, which has about SW_TILE elements. */
static int64_t amos_tile_rows(const sw_step *s) {
    const int64_t length = (int64_t)SW_STEP_COEFFICIENTS(s, amos_coefficients)->row_length;
    return length < SW_TILE ? SW_TILE / length : 1;
}

static void amos_update_tile(void *args, int64_t tile) {
    sw_step *s = args;
    const int64_t rows = amos_rows(s->param), begin = tile * amos_tile_rows(s), end = begin + amos_tile_rows(s);
    amos_kernels[s->type][sw_cpu_level()](s, begin, end < rows ? end : rows, NULL);
}

static sw_status amos_tensor(sw_step *s) {
    const amos_options *o = SW_STEP_OPTIONS(s, amos_options);
    amos_coefficients *c = SW_STEP_COEFFICIENTS(s, amos_coefficients);
    const int64_t rows = amos_rows(s->param);
    if (s->count == 0)
        return SW_OK;
    c->correction = 1 - pow(o->beta, (double)s->step);
    c->eta = amos_eta(s->param, o);
    c->d_root = o->d * sqrt(o->lr * c->eta);
    c->c_root = o->c * sqrt(o->lr);
    const int64_t row_length = s->count / rows;
    c->row_length = (double)row_length;
    if (s->count < 4 * SW_TILE) /* too small for several threads */
        amos_kernels[s->type][sw_cpu_level()](s, 0, rows, NULL);
    else
        sw_parallel(amos_update_tile, s, (rows + amos_tile_rows(s) - 1) / amos_tile_rows(s));
    return SW_OK;
}

/* Because v ≥ (1 - β) ḡ², r ḡ² is at most 1/(1 - β). Therefore γ ≤ ξ²/(1 - β), and √r ‖g‖ ≤ √(elements/(1 - β)). r is
 * at most 2^125. */
static void amos_reach(const sw_step *s, sw_bounds *bounds) {
    const amos_options *o = SW_STEP_OPTIONS(s, amos_options);
    double *v = &SW_SLOT_BOUND(bounds, amos_slots, v), *b = &SW_SLOT_BOUND(bounds, amos_slots, b),
           *m = &SW_SLOT_BOUND(bounds, amos_slots, m);
    const double n = sqrt((double)bounds->count), gamma = o->lr * o->lr / (1 - o->beta), g = bounds->g,
                 of_matrix = sqrt(fmax(o->weight, fmax(o->conv, o->head))),
                 of_others = fmax(fmax(o->embedding, o->bias), fmax(o->norm, o->other)),
                 eta = fmax(of_matrix, of_others);
    const double step = o->lr * eta * fmin(0x1p63 * g, n / sqrt(1 - o->beta)),
                 delta = (gamma / 2 + o->extra_l2) * bounds->x + step;
    const bool momentum = SW_STEP_SLOTS(s, amos_slots)->m != NULL;
    *v = o->beta * *v + (1 - o->beta) * g * g;
    *b += gamma * (n + *b);
    bounds->largest += delta + g + gamma + o->lr * eta * 0x1p63;
    if (s->type == SW_F64) /* ḡ² is a sum in f64, divided by the elements of a row afterwards */
        bounds->largest += g * g;
    if (momentum)
        *m = o->momentum * *m + delta;
    bounds->x += momentum ? *m : delta;
}

static int64_t amos_row_count(const sw_slot_sizes *sizes) {
    return amos_rows(sizes->param);
}

static bool amos_has_momentum(const double *option) {
    return SW_OPTIONS_AS(option, amos_options)->momentum != 0;
}

static const sw_option amos_option_table[] = {
    {.name = "lr",
     .value = 0.01,
     .low = 0,
     .high = 1,
     .help = "ξ, learning rate; the paper advises 1/√(batches per epoch)",
     .search_low = 1e-3,
     .search_high = 1e-1,
     .search_log = true},
    {.name = "beta",
     .value = 0.999,
     .low = 0,
     .high = 1,
     .open = SW_OPEN_HIGH,
     .help = "β, decay of the mean of g²; the paper advises 1 - β near ξ",
     .search_low = 0.9,
     .search_high = 0.9999},
    {.name = "momentum",
     .value = 0,
     .low = 0,
     .high = 1,
     .open = SW_OPEN_HIGH,
     .help = "μ, decay of the mean of the steps",
     .search_low = 0,
     .search_high = 0.98},
    {.name = "extra_l2",
     .value = 0,
     .low = 0,
     .high = 1,
     .help = "λ, weight decay in addition to that of Amos",
     .search_low = 1e-8,
     .search_high = 1e-3,
     .search_log = true},
    {.name = "c", .value = 0.25, .low = 0, .high = 1e3, .help = "rate at which the weight decay decreases"},
    {.name = "d", .value = 0.25, .low = 0, .high = 1e3, .help = "rate at which the step size decreases"},
    {.name = "weight",
     .value = 2,
     .low = 0,
     .high = 1e6,
     .open = SW_OPEN_LOW,
     .help = "hidden matrices have η = √(weight/fan_in)",
     .search_low = 0.5,
     .search_high = 8,
     .search_log = true},
    {.name = "conv",
     .value = 1,
     .low = 0,
     .high = 1e6,
     .open = SW_OPEN_LOW,
     .help = "kernels (rank 3 or more) have η = √(conv/fan_in)"},
    {.name = "head",
     .value = 1,
     .low = 0,
     .high = 1e6,
     .open = SW_OPEN_LOW,
     .help = "the matrix of the last layer has η = √(head/fan_in)"},
    {.name = "embedding", .value = 1, .low = 0, .high = 1e6, .open = SW_OPEN_LOW, .help = "η of embeddings"},
    {.name = "bias", .value = 0.5, .low = 0, .high = 1e6, .open = SW_OPEN_LOW, .help = "η of biases"},
    {.name = "norm", .value = 1, .low = 0, .high = 1e6, .open = SW_OPEN_LOW, .help = "η of normalizing layers"},
    {.name = "other", .value = 1, .low = 0, .high = 1e6, .open = SW_OPEN_LOW, .help = "η of all other parameters"},
    {0}};
static const sw_slot amos_slot_table[] = {{.name = "v", .type = SW_SLOT_F64, .count = amos_row_count},
                                          {.name = "b", .type = SW_SLOT_F64, .count = amos_row_count},
                                          {.name = "m", .needed = amos_has_momentum},
                                          {0}};
SW_MATCH_OPTIONS(amos_options, amos_option_table);
SW_MATCH_SLOTS(amos_slots, amos_slot_table);

const sw_rule swo_amos = {.size = sizeof(sw_rule),
                          .name = "amos",
                          .summary = "step size and decay decrease at rates that the scale of each tensor determines",
                          .source = "Tian, Parikh, arXiv 2210.11693",
                          .options = amos_option_table,
                          .slots = amos_slot_table,
                          .unit = SW_UNIT_TENSOR,
                          .tensor = amos_tensor,
                          .reach = amos_reach};

#endif
