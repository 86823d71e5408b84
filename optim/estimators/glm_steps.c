/* The loops of glm_steps.h. The curvature of a row's loss f_r, which is a lower bound of its L, is computed from the
 * Hessian:
 *     ℓ = tᵀ ∇²f_r t / ‖t‖²,  ∇²f_r = 1/w Σ_i [a_i,1]ᵀ H_i [a_i,1]
 * along the change t = Σ c_i [a_i, 1] that the step adds. If a step of 1/L along t changes a prediction so much that
 * H_i changes, the difference between the loss and its tangent is used instead. For t = ∇f_r, ℓ ≤ L is then f_r(x -
 * t/L) ≤ f_r(x) - ‖t‖²/(2L), the test of M. Schmidt, N. Le Roux, F. Bach (2013, section 4.6). For short distances,
 * differences of losses are not used: their rounding error is proportional to |z|, and in f32 would appear as
 * curvature. */
#include <swale/kernel.h>
#include <swale/kernel_glm.h>
#include <swale/kernel_prox.h>
#include "optim/estimators/glm_lazy_visit.h"
#include "optim/estimators/glm_steps.h"

#if SW_KERNEL_FIRST
static const double GLM_NEAR = 0.25; /* a distance in z over which H changes by a factor e^0.25 at most */
enum { GLM_AHEAD = 3 };              /* rows of ids are scattered: they are prefetched this number of samples earlier */
/* A curvature that is not finite is ignored. */
static inline double finite_or_0(double curvature) {
    return curvature - curvature == 0 ? curvature : 0;
}

static const double GLM_LEAST_L = 1e-30;
enum { GLM_DOUBLINGS = 300 };
#endif

#if SW_KERNEL_PASS

static inline double SW_K(inner)(const real *a, const real *b, int64_t n) {
    double sum = 0;
    for (int64_t k = 0; k < n; k++)
        sum += (double)a[k] * (double)b[k];
    return sum;
}

static inline bool SW_K(is_far)(const real *v, int64_t n, double scale) {
    bool far = false;
    for (int64_t k = 0; k < n; k++)
        far |= (v[k] < 0 ? -(double)v[k] : (double)v[k]) * scale > GLM_NEAR;
    return far;
}

/* vᵀ H v of sample i, where H is a mean Hessian between z and z + v·scale, defined by the difference between the loss
 * and its tangent at z: ½ (v·scale)ᵀ H (v·scale). The loss and its derivatives s at z are given.
 * room: [2 · outputs]. */
static double SW_K(curvature_over)(const sw_objective *f, int64_t i, const real *z, double loss, const real *s,
                                   const real *v, double scale, real *room) {
    const int64_t outputs = f->outputs;
    real *there = room, *s_there = room + outputs;
    double sum = 0;
    if (!SW_K(is_far)(v, outputs, scale))
        return SW_K(glm_curvature)(f, i, s, v);
    for (int64_t k = 0; k < outputs; k++) {
        there[k] = z[k] - (real)((double)v[k] * scale);
        sum += (double)s[k] * (double)v[k];
    }
    return 2 / scale * (sum + (SW_K(glm_head)(f, i, there, s_there) - loss) / scale);
}

/* ℓ of a row for steps of 1/l: v_i = [a_i,1] t, [count, outputs]; square = ‖t‖². */
static double SW_K(row_curvature)(const swo_glm_visit *a, const real *z, const real *v, double square, double l,
                                  real *room) {
    const int64_t outputs = a->f->outputs;
    const double n = (double)a->count, scale = l > 0 ? 1 / (n * l) : 0;
    double sum = 0;
    for (int64_t i = 0; i < a->count; i++) {
        const int64_t at = i * outputs;
        sum += SW_K(curvature_over)(a->f, swo_glm_sample(a, i), z + at, a->losses[i], (const real *)a->s + at, v + at,
                                    scale, room);
    }
    return square > 0 ? sum / (n * square) : 0;
}

/* The smallest ℓ, at least the measured curvature, for which the curvature over a step of 1/ℓ is at most ℓ. */
static double SW_K(confirmed)(const swo_glm_visit *a, const real *z, const real *v, double square, real *room) {
    double l = a->l > 0 ? a->l : SW_K(row_curvature)(a, z, v, square, 0, room);
    if (l == 0) /* the loss is linear here: its curvature over a longer step is needed */
        l = GLM_LEAST_L;
    double met = SW_K(row_curvature)(a, z, v, square, l, room);
    for (int k = 0; k < GLM_DOUBLINGS && met > l * (1 + 1e-6); k++) {
        l = met < 2 * l ? met : 2 * l;
        met = SW_K(row_curvature)(a, z, v, square, l, room);
    }
    return met;
}

/* For one sample t = c [a,1], and v = c (‖a‖² + 1). The curvature is measured along s instead of c, which has the same
 * direction but is not 0 if s has not changed. */
static void SW_K(measure_sample)(swo_glm_visit *a, const real *z, real *v, real *room) {
    const int64_t outputs = a->f->outputs;
    const real *s = a->s;
    const double q = (a->weights_frozen ? 0 : a->squares[swo_glm_sample(a, 0)]) +
                     (a->f->bias && !a->bias_frozen ? 1 : 0),
                 square = q * SW_K(inner)(s, s, outputs);
    for (int64_t k = 0; k < outputs; k++)
        v[k] = (real)(q * (double)s[k]);
    a->curvature = square > 0 && square - square == 0 ? finite_or_0(SW_K(confirmed)(a, z, v, square, room)) : 0;
}

static double SW_K(dense_square)(const swo_glm_visit *a) {
    const int64_t dim = a->f->outputs * a->f->features;
    double lane[SW_LANES] = {0}, square = 0;
    const real *t = a->t;
    int64_t j = 0;
    for (; j + SW_LANES <= dim; j += SW_LANES) {
        SW_OVER_LANES
        for (int k = 0; k < SW_LANES; k++)
            lane[k] += (double)t[j + k] * (double)t[j + k];
    }
    for (int k = 0; j < dim; j++, k++)
        lane[k] += (double)t[j] * (double)t[j];
    SW_ADD_LANES(double, square, lane);
    return square;
}

/* t_k += c_ik a_i over samples [i, end) of the row, four samples per pass. */
static void SW_K(sum_dense)(const swo_glm_visit *a, int64_t i, int64_t end, real *t) {
    const int64_t d = a->f->features, outputs = a->f->outputs;
    const real *c = a->c, *rows = a->f->glm->dense;
    for (; i + 4 <= end; i += 4)
        for (int64_t k = 0; k < outputs; k++) {
            const real *r0 = rows + swo_glm_sample(a, i) * d, *r1 = rows + swo_glm_sample(a, i + 1) * d,
                       *r2 = rows + swo_glm_sample(a, i + 2) * d, *r3 = rows + swo_glm_sample(a, i + 3) * d;
            const real c0 = c[i * outputs + k], c1 = c[(i + 1) * outputs + k], c2 = c[(i + 2) * outputs + k],
                       c3 = c[(i + 3) * outputs + k];
            real *restrict to = t + k * d;
            for (int64_t j = 0; j < d; j++)
                to[j] += (c0 * r0[j] + c1 * r1[j]) + (c2 * r2[j] + c3 * r3[j]);
        }
    for (; i < end; i++)
        for (int64_t k = 0; k < outputs; k++) {
            const real *restrict r = rows + swo_glm_sample(a, i) * d;
            real *restrict to = t + k * d;
            const real ck = c[i * outputs + k];
            for (int64_t j = 0; j < d; j++)
                to[j] += ck * r[j];
        }
}

/* For many samples, adds blocks in a compensated sum. The sum d of the table accumulates all t and is never computed
 * again, so that rounding errors of t remain in it. */
static void SW_K(sum_blocks)(const swo_glm_visit *a, real *t) {
    const int64_t weights = a->f->outputs * a->f->features;
    real *restrict block = a->blocks, *restrict low = block + weights;
    memset(low, 0, (size_t)weights * sizeof *low);
    for (int64_t i = 0; i < a->count; i += GLM_BLOCK) {
        memset(block, 0, (size_t)weights * sizeof *block);
        SW_K(sum_dense)(a, i, i + GLM_BLOCK < a->count ? i + GLM_BLOCK : a->count, block);
        for (int64_t j = 0; j < weights; j++)
            SW_K(sw_k_compensated_add)(&t[j], &low[j], block[j]);
    }
}

static void SW_K(sum_sparse)(const swo_glm_visit *a, real *t) {
    const int64_t d = a->f->features, outputs = a->f->outputs;
    const sw_csr *m = a->f->glm->sparse;
    const real *c = a->c, *value = m->value;
    for (int64_t i = 0; i < a->count; i++)
        for (int64_t j = m->start[swo_glm_sample(a, i)]; j < m->start[swo_glm_sample(a, i) + 1]; j++)
            for (int64_t k = 0; k < outputs; k++)
                t[k * d + m->index[j]] += c[i * outputs + k] * value[j];
}

static void SW_K(sum_rows)(const swo_glm_visit *a) {
    const int64_t outputs = a->f->outputs, weights = outputs * a->f->features;
    real *t = a->t, *bias = t + weights;
    memset(t, 0, (size_t)weights * sizeof *t);
    if (a->f->glm->sparse)
        SW_K(sum_sparse)(a, t);
    else if (a->count > GLM_BLOCK)
        SW_K(sum_blocks)(a, t);
    else
        SW_K(sum_dense)(a, 0, a->count, t);
    for (int64_t k = 0; a->f->bias && k < outputs; k++) {
        double sum = 0;
        for (int64_t i = 0; i < a->count; i++)
            sum += (double)((const real *)a->c)[i * outputs + k];
        bias[k] = (real)sum;
    }
}

/* t = Σ c_i [a_i, 1] */
static void SW_K(sum_row)(const swo_glm_visit *a) {
    if (a->lazy)
        SW_K(lazy_sum)(a);
    else
        SW_K(sum_rows)(a);
}

/* v_i = [a_i, 1] t, without frozen weights or biases. */
static void SW_K(products)(const swo_glm_visit *a, real *v) {
    const int64_t outputs = a->f->outputs;
    const real *bias = (const real *)a->t + outputs * a->f->features;
    sw_objective moving = *a->f; /* adding and subtracting the bias would leave a rounding error */
    moving.bias = a->f->bias && !a->bias_frozen;
    for (int64_t i = 0; i < a->count; i++)
        for (int64_t k = 0; k < outputs && a->weights_frozen; k++)
            v[i * outputs + k] = moving.bias ? bias[k] : 0;
    for (int64_t i = 0; i < a->count && !a->weights_frozen; i++)
        SW_K(glm_predict)(&moving, a->t, swo_glm_sample(a, i), v + i * outputs);
}

static void SW_K(measure_row)(swo_glm_visit *a, const real *z, real *v, real *room) {
    const int64_t outputs = a->f->outputs;
    const real *bias = (const real *)a->t + outputs * a->f->features;
    const double of_weights = a->weights_frozen ? 0
                              : a->lazy         ? SW_K(lazy_square)(a)
                                                : SW_K(dense_square)(a),
                 square = of_weights + (a->f->bias && !a->bias_frozen ? SW_K(inner)(bias, bias, outputs) : 0);
    a->curvature = 0;
    if (!(square > 0) || square - square != 0)
        return;
    SW_K(products)(a, v);
    a->curvature = finite_or_0(SW_K(confirmed)(a, z, v, square, room));
}

/* Measures the first L. The table may contain the gradients at the same x (init=full). Then t is 0 or rounding error, L
 * would not be found, and x would never change. The curvature is therefore measured along the gradient of the row,
 * Σ s_i [a_i, 1], which replaces t during the measurement. */
static void SW_K(measure_first)(swo_glm_visit *a, const real *z, real *v, real *room) {
    const int64_t numbers = a->count * a->f->outputs;
    const real *s = a->s, *y = a->entry;
    real *c = a->c;
    bool differs = false;
    for (int64_t i = 0; i < numbers; i++)
        differs |= c[i] != s[i];
    if (differs && a->lazy)
        SW_K(lazy_zero)(a);
    if (differs) {
        memcpy(c, s, (size_t)numbers * sizeof *c);
        SW_K(sum_row)(a);
    }
    SW_K(measure_row)(a, z, v, room);
    if (differs && a->lazy)
        SW_K(lazy_zero)(a);
    if (differs) {
        for (int64_t i = 0; i < numbers; i++)
            c[i] = s[i] - y[i];
        SW_K(sum_row)(a);
    }
}

static void SW_K(visit_row)(void *args, int64_t begin, int64_t end, double *sums) {
    swo_glm_visit *a = args;
    const int64_t outputs = a->f->outputs, numbers = a->count * outputs;
    real *z = a->work, *v = z + numbers, *room = v + numbers, *s = a->s, *c = a->c;
    const real *y = a->entry;
    (void)begin, (void)end, (void)sums;
    a->loss = 0;
    for (int64_t i = 0; a->ids && i < GLM_AHEAD && i < a->count; i++)
        swo_glm_fetch(a->f, a->ids[i]);
    if (a->lazy && a->following >= 0)
        SW_K(lazy_fetch)(a, a->following);
    for (int64_t i = 0; i < a->count; i++) {
        if (a->ids && i + GLM_AHEAD < a->count)
            swo_glm_fetch(a->f, a->ids[i + GLM_AHEAD]);
        if (a->lazy && i + 1 < a->count)
            SW_K(lazy_fetch)(a, swo_glm_sample(a, i + 1));
        if (a->lazy)
            SW_K(lazy_predict)(a, swo_glm_sample(a, i), z + i * outputs);
        else
            SW_K(glm_predict)(a->f, a->x, swo_glm_sample(a, i), z + i * outputs);
        a->losses[i] = SW_K(glm_head)(a->f, swo_glm_sample(a, i), z + i * outputs, s + i * outputs);
        a->loss += a->losses[i];
    }
    for (int64_t i = 0; i < numbers; i++)
        c[i] = s[i] - y[i];
    if (a->t)
        SW_K(sum_row)(a);
    a->curvature = 0;
    if (a->measure && a->count == 1)
        SW_K(measure_sample)(a, z, v, room);
    else if (a->measure && a->l == 0)
        SW_K(measure_first)(a, z, v, room);
    else if (a->measure)
        SW_K(measure_row)(a, z, v, room);
}

static void SW_K(measure)(void *args, int64_t begin, int64_t end, double *sums) {
    swo_glm_visit *a = args;
    const int64_t numbers = a->count * a->f->outputs;
    real *z = a->work, *v = z + numbers;
    (void)begin, (void)end, (void)sums;
    SW_K(measure_row)(a, z, v, v + numbers);
}

/* Updates elements [begin, begin + n), which are stored in two numbers. In one number of f32, x would be rounded in
 * each step, and the sum of these errors would be larger than the error of the gradient. */
static inline void SW_K(move_pairs)(const swo_glm_move *a, const swo_glm_segment *segment, int64_t begin, int64_t n,
                                    const real *restrict row, real c) {
    const real fresh = (real)a->fresh, old = (real)a->old, lr = (real)segment->lr, decay = (real)segment->decay,
               threshold = (real)(segment->lr * segment->l1), least = (real)segment->low, most = (real)segment->high;
    real *restrict x = (real *)a->x + begin, *restrict x_low = (real *)a->x_low + begin,
                   *restrict d = (real *)a->d + begin, *restrict low = (real *)a->d_low + begin;
    for (int64_t j = 0; j < n; j++) {
        const real t = c * row[j], g = fresh * t + old * d[j];
        SW_K(sw_k_compensated_add)(&x[j], &x_low[j], -lr * (g + decay * x[j]));
        SW_K(sw_k_compensated_add)(&d[j], &low[j], t);
    }
    for (int64_t j = 0; segment->proximal && j < n; j++)
        SW_K(sw_k_prox_pair)(&x[j], &x_low[j], threshold, least, most);
}

/* The same if d does not change, for svrg. */
static inline void SW_K(move_alone)(const swo_glm_move *a, const swo_glm_segment *segment, int64_t begin, int64_t n,
                                    const real *restrict row, real c) {
    const real fresh = (real)a->fresh, old = (real)a->old, lr = (real)segment->lr, decay = (real)segment->decay,
               threshold = (real)(segment->lr * segment->l1), least = (real)segment->low, most = (real)segment->high;
    real *restrict x = (real *)a->x + begin, *restrict x_low = a->x_low ? (real *)a->x_low + begin : NULL;
    const real *restrict d = (const real *)a->d + begin;
    if (!segment->moves)
        return;
    if (x_low)
        for (int64_t j = 0; j < n; j++)
            SW_K(sw_k_compensated_add)(&x[j], &x_low[j], -lr * ((fresh * (c * row[j]) + old * d[j]) + decay * x[j]));
    else
        for (int64_t j = 0; j < n; j++)
            x[j] -= lr * ((fresh * (c * row[j]) + old * d[j]) + decay * x[j]);
    for (int64_t j = 0; segment->proximal && j < n; j++)
        if (x_low)
            SW_K(sw_k_prox_pair)(&x[j], &x_low[j], threshold, least, most);
        else
            x[j] = SW_K(sw_k_prox)(x[j], threshold, least, most);
}

/* Updates elements [begin, begin + n) of x and d, given their t. */
static inline void SW_K(move_elements)(const swo_glm_move *a, const swo_glm_segment *segment, int64_t begin, int64_t n,
                                       const real *restrict row, real c) {
    const real fresh = (real)a->fresh, old = (real)a->old, lr = (real)segment->lr, decay = (real)segment->decay;
    const real threshold = (real)(segment->lr * segment->l1), least = (real)segment->low, most = (real)segment->high;
    if (!a->d_low) {
        SW_K(move_alone)(a, segment, begin, n, row, c);
        return;
    }
    real *restrict x = (real *)a->x + begin, *restrict d = (real *)a->d + begin,
                   *restrict low = (real *)a->d_low + begin;
    if (segment->moves && a->x_low)
        SW_K(move_pairs)(a, segment, begin, n, row, c);
    else if (segment->moves && segment->proximal)
        for (int64_t j = 0; j < n; j++) {
            const real t = c * row[j], g = fresh * t + old * d[j];
            x[j] = SW_K(sw_k_prox)(x[j] - lr * (g + decay * x[j]), threshold, least, most);
            SW_K(sw_k_compensated_add)(&d[j], &low[j], t);
        }
    else if (segment->moves)
        for (int64_t j = 0; j < n; j++) {
            const real t = c * row[j], g = fresh * t + old * d[j];
            x[j] -= lr * (g + decay * x[j]);
            SW_K(sw_k_compensated_add)(&d[j], &low[j], t);
        }
    else
        for (int64_t j = 0; j < n; j++)
            SW_K(sw_k_compensated_add)(&d[j], &low[j], c * row[j]);
}

static void SW_K(move_x)(void *args, int64_t begin, int64_t end, double *sums) {
    const swo_glm_move *a = args;
    const int64_t features = a->f->features, weights = a->f->outputs * features;
    (void)begin, (void)end, (void)sums;
    const real *t = a->lazy ? a->row_t : a->t, *c = a->c;
    for (int i = a->lazy ? 1 : 0; i < a->segments; i++) {
        const swo_glm_segment *segment = &a->segment[i];
        int64_t at = segment->offset;
        const int64_t last = at + segment->count;
        if (t) {
            SW_K(move_elements)(a, segment, at, segment->count, t + at, 1);
            continue;
        }
        while (at < last && at < weights) { /* one output after the other */
            const int64_t k = at / features, within = at - k * features,
                          n = features - within < last - at ? features - within : last - at;
            const real *row = (const real *)a->f->glm->dense + a->sample * features;
            SW_K(move_elements)(a, segment, at, n, row + within, c[k]);
            at += n;
        }
        for (; at < last; at++) { /* biases */
            const real one = 1;
            SW_K(move_elements)(a, segment, at, 1, &one, c[at - weights]);
        }
    }
}

#else

static const sw_kernels visit_kernels = SW_KERNEL_TABLE(visit_row), move_kernels = SW_KERNEL_TABLE(move_x),
                        measure_kernels = SW_KERNEL_TABLE(measure);

void swo_glm_visit_row(sw_dtype type, swo_glm_visit *visit) {
    visit_kernels[type][sw_cpu_level()](visit, 0, 1, NULL);
}

void swo_glm_measure(sw_dtype type, swo_glm_visit *visit) {
    measure_kernels[type][sw_cpu_level()](visit, 0, 1, NULL);
}

void swo_glm_move_x(sw_dtype type, swo_glm_move *move) {
    if (move->lazy)
        swo_glm_lazy_move(type, move);
    if (!move->lazy || move->segments > 1)
        move_kernels[type][sw_cpu_level()](move, 0, 1, NULL);
}

#endif
