/* Amos (Tian, Parikh 2022), the version of the paper and of its authors' code. ḡ² is the mean of g² over
 * a row: what lies below one index of a matrix's, or kernel's, first axis (an output unit, a word); one
 * row is all of a vector. v and b are one number for a row. With the scale η that a tensor is to have,
 *     v ← β v + (1 - β) ḡ²,   r = (1 - βᵗ)/max(v, 2⁻¹²⁵)
 *     γ = (1 + c √ξ b)^(-½) ξ² r ḡ²
 *     Δ = -[(γ/2 + λ) θ + ξ η √r g] / (1 + d √(ξ η) b)
 *     b ← b + γ (1 + b)
 *     θ ← θ + Δ;  with momentum  m ← μ m + (1 - μ) Δ,  θ ← θ + m
 * η is √(weight/fan_in) for a hidden matrix, √(conv/fan_in) for a kernel, √(head/fan_in) for the last
 * layer's matrix, and the option itself for the other roles.
 */
#include <swale/kernel.h>
#include "optim/methods.h"
#include <swale/kernel_rows.h>

#if SW_KERNEL_FIRST
enum { LR, BETA, MOMENTUM, EXTRA_L2, C, D, WEIGHT, CONV, HEAD, EMBEDDING, BIAS, NORM, OTHER };
enum { V, B, M };                                          /* slots */
enum { CORRECTION, ETA, STEP_FADES, DECAY_FADES, LENGTH }; /* d √(ξη), c √ξ; elements of a row */
#endif

#if SW_KERNEL_PASS

/* Σ g² of n elements in f64, where squares of f32 neither overflow nor vanish. */
static double SW_K(careful_squares)(const real *g, int64_t n) {
    double lane[SW_LANES] = {0}, sum = 0;
    int64_t i = 0;
    for (; i + SW_LANES <= n; i += SW_LANES) {
        SW_OVER_LANES
        for (int j = 0; j < SW_LANES; j++)
            lane[j] += (double)g[i + j] * (double)g[i + j];
    }
    for (int j = 0; i < n; i++, j++)
        lane[j] += (double)g[i] * (double)g[i];
    SW_ADD_LANES(double, sum, lane);
    return sum;
}

/* The same from sums of squares in `real`, where those keep their digits. */
static inline double SW_K(squares)(const real *g, int64_t n) {
    double sum = 0;
    for (int64_t begin = 0; begin < n; begin += SW_TILE) {
        const real *part = g + begin;
        const int64_t length = n - begin < SW_TILE ? n - begin : SW_TILE;
        real square;
        SW_ROW_SUM(square, length, part[j] * part[j]);
        const bool kept = !SW_KERNEL_F32 || (square > SW_R(1e-28) && square < SW_R(1e38));
        sum += kept ? (double)square : SW_K(careful_squares)(part, length);
    }
    return sum;
}

/* Rows [begin, end): a row's g is met again in the cache. */
static void SW_K(amos)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    const double *o = s->option, xi = o[LR], eta = s->coefficient[ETA];
    const int64_t n = (int64_t)s->coefficient[LENGTH];
    double *v = s->slot[V], *b = s->slot[B];
    (void)sums;
    for (int64_t row = begin; row < end; row++) {
        real *restrict x = (real *)s->x + row * n;
        const real *restrict g = (const real *)s->g + row * n;
        const double square = SW_K(squares)(g, n) / (double)n;
        v[row] = o[BETA] * v[row] + (1 - o[BETA]) * square;
        const double r = s->coefficient[CORRECTION] / (v[row] > 0x1p-125 ? v[row] : 0x1p-125);
        const double gamma = xi * xi * r * square / sqrt(1 + s->coefficient[DECAY_FADES] * b[row]);
        const double fade = 1 / (1 + s->coefficient[STEP_FADES] * b[row]);
        b[row] += gamma * (1 + b[row]);

        /* √r may be too small a number for f32, and g is then large: it is scaled down first. */
        const double root = sqrt(r), scale = root < 0x1p-60 ? 0x1p-100 : 1;
        const real of_x = (real)(fade * (gamma / 2 + o[EXTRA_L2])), of_g = (real)(fade * xi * eta * (root / scale)),
                   down = (real)scale, mu = (real)o[MOMENTUM], fresh = (real)(1 - o[MOMENTUM]);
        if (s->slot[M]) {
            real *restrict m = (real *)s->slot[M] + row * n;
            for (int64_t i = 0; i < n; i++) {
                m[i] = mu * m[i] - fresh * (of_x * x[i] + of_g * (down * g[i]));
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
}

#else

static const sw_kernels kernels = SW_KERNEL_TABLE(amos);

static int64_t rows(const sw_param *p) {
    return p->rank >= 2 ? p->shape[0] : 1;
}

/* The scale that the tensor's elements are to have. */
static double scale(const sw_param *p, const double *o) {
    const double fan_in = (double)(p->fan_in > 0 ? p->fan_in : p->count / rows(p));
    switch (p->role) {
    case SW_ROLE_WEIGHT: return sqrt(o[p->rank > 2 ? CONV : WEIGHT] / fan_in);
    case SW_ROLE_HEAD: return sqrt(o[HEAD] / fan_in);
    case SW_ROLE_EMBEDDING: return o[EMBEDDING];
    case SW_ROLE_BIAS: return o[BIAS];
    case SW_ROLE_NORM: return o[NORM];
    default: return o[OTHER];
    }
}

/* Rows in a tile: about SW_TILE elements. */
static int64_t grain(const sw_step *s) {
    const int64_t length = (int64_t)s->coefficient[LENGTH];
    return length < SW_TILE ? SW_TILE / length : 1;
}

static void update_rows(void *args, int64_t tile) {
    sw_step *s = args;
    const int64_t n = rows(s->param), begin = tile * grain(s), end = begin + grain(s);
    kernels[s->type][sw_cpu_level()](s, begin, end < n ? end : n, NULL);
}

static sw_status tensor(sw_step *s) {
    const double *o = s->option;
    const int64_t n = rows(s->param);
    if (s->count == 0)
        return SW_OK;
    const int64_t length = s->count / n; /* of a row */
    s->coefficient[CORRECTION] = 1 - pow(o[BETA], (double)s->step);
    s->coefficient[ETA] = scale(s->param, o);
    s->coefficient[STEP_FADES] = o[D] * sqrt(o[LR] * s->coefficient[ETA]);
    s->coefficient[DECAY_FADES] = o[C] * sqrt(o[LR]);
    s->coefficient[LENGTH] = (double)length;
    if (s->count < 4 * SW_TILE) /* too little to share out */
        kernels[s->type][sw_cpu_level()](s, 0, n, NULL);
    else
        sw_parallel(update_rows, s, (n + grain(s) - 1) / grain(s));
    return SW_OK;
}

/* r ḡ² is at most 1/(1 - β), since v ≥ (1 - β) ḡ²; so γ ≤ ξ²/(1 - β), and √r ‖g‖ ≤ √(elements/(1 - β)); r is at
 * most 2^125. */
static void amos_reach(const sw_step *s, sw_bounds *b) {
    const double *o = s->option, n = sqrt((double)b->count), gamma = o[LR] * o[LR] / (1 - o[BETA]),
                 of_matrix = sqrt(fmax(o[WEIGHT], fmax(o[CONV], o[HEAD]))),
                 of_others = fmax(fmax(o[EMBEDDING], o[BIAS]), fmax(o[NORM], o[OTHER])),
                 eta = fmax(of_matrix, of_others);
    const double step = o[LR] * eta * fmin(0x1p63 * b->g, n / sqrt(1 - o[BETA])),
                 delta = (gamma / 2 + o[EXTRA_L2]) * b->x + step;
    b->slot[V] = o[BETA] * b->slot[V] + (1 - o[BETA]) * b->g * b->g;
    b->slot[B] += gamma * (n + b->slot[B]);
    b->largest += delta + b->g + gamma + o[LR] * eta * 0x1p63;
    if (s->type == SW_F64) /* ḡ² is a sum in f64, divided by the elements of a row afterwards */
        b->largest += b->g * b->g;
    if (s->slot[M])
        b->slot[M] = o[MOMENTUM] * b->slot[M] + delta;
    b->x += s->slot[M] ? b->slot[M] : delta;
}

static int64_t a_row(const sw_slot_sizes *sizes) {
    return rows(sizes->param);
}

static bool has_momentum(const double *option) {
    return option[MOMENTUM] != 0;
}

static const sw_option options[] = {
    {.name = "lr",
     .value = 0.01,
     .low = 0,
     .high = 1,
     .help = "ξ; 1/√(batches in an epoch) is advised",
     .search_low = 1e-3,
     .search_high = 1e-1,
     .search_log = true},
    {.name = "beta",
     .value = 0.999,
     .low = 0,
     .high = 1,
     .open = SW_OPEN_HIGH,
     .help = "β, decay of the mean of g²; 1 - β about ξ is advised",
     .search_low = 0.9,
     .search_high = 0.9999},
    {.name = "momentum",
     .value = 0,
     .low = 0,
     .high = 1,
     .open = SW_OPEN_HIGH,
     .help = "μ, mean of the steps",
     .search_low = 0,
     .search_high = 0.98},
    {.name = "extra_l2",
     .value = 0,
     .low = 0,
     .high = 1,
     .help = "λ, decay besides Amos's own",
     .search_low = 1e-8,
     .search_high = 1e-3,
     .search_log = true},
    {.name = "c", .value = 0.25, .low = 0, .high = 1e3, .help = "how fast the decay fades"},
    {.name = "d", .value = 0.25, .low = 0, .high = 1e3, .help = "how fast the step fades"},
    {.name = "weight",
     .value = 2,
     .low = 0,
     .high = 1e6,
     .open = SW_OPEN_LOW,
     .help = "hidden matrices: η = √(weight/fan_in)",
     .search_low = 0.5,
     .search_high = 8,
     .search_log = true},
    {.name = "conv",
     .value = 1,
     .low = 0,
     .high = 1e6,
     .open = SW_OPEN_LOW,
     .help = "kernels, of rank 3 or more: η = √(conv/fan_in)"},
    {.name = "head",
     .value = 1,
     .low = 0,
     .high = 1e6,
     .open = SW_OPEN_LOW,
     .help = "the last layer: η = √(head/fan_in)"},
    {.name = "embedding", .value = 1, .low = 0, .high = 1e6, .open = SW_OPEN_LOW, .help = "η of embeddings"},
    {.name = "bias", .value = 0.5, .low = 0, .high = 1e6, .open = SW_OPEN_LOW, .help = "η of biases"},
    {.name = "norm", .value = 1, .low = 0, .high = 1e6, .open = SW_OPEN_LOW, .help = "η of normalizing layers"},
    {.name = "other", .value = 1, .low = 0, .high = 1e6, .open = SW_OPEN_LOW, .help = "η of all others"},
    {0}};
static const sw_slot slots[] = {{.name = "v", .type = SW_SLOT_F64, .count = a_row},
                                {.name = "b", .type = SW_SLOT_F64, .count = a_row},
                                {.name = "m", .needed = has_momentum},
                                {0}};

const sw_rule swo_amos = {.size = sizeof(sw_rule),
                          .name = "amos",
                          .summary = "step and decay fade as the scale of the model says",
                          .source = "Tian, Parikh 2022, arXiv 2210.11693",
                          .options = options,
                          .slots = slots,
                          .unit = SW_UNIT_TENSOR,
                          .tensor = tensor,
                          .reach = amos_reach};

#endif
