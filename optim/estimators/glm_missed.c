/* The steps that a column has missed, in which l1 or bounds may have stopped it (glm_lazy.h). They are divided into
 * ranges of steps with a closed form, whose ends are found by bisection, and single steps between them. With y = |v|,
 * the sign s of v, and e = s d:
 *
 *     y ← y - part (old e + l1),  and x = scale·y:  x ← x - lr (old e + l1 + λ x)
 *
 * y is monotone if old e + l1 has the same sign for the smallest and the largest `old`. If y decreases, x decreases
 * too, because the scale does not increase. Without λ the scale is constant, and x is monotone as y is. If `old` is the
 * same in all steps, x approaches -(old e + l1)/λ from one side. In these cases bisection finds the first step at which
 * x leaves the interval between 0, or the bound nearest to 0, and the other bound. That step is taken as a single step.
 * It ends at 0, at a bound, or on the other side of 0. At 0 or at a bound v does not change if every step would move it
 * outward. */
#include "optim/estimators/glm_lazy.h"

#include <math.h>

/* A path of v on one side of 0, from step `from` on. */
typedef struct glm_path {
    double y, e;
    double inner, outer; /* bounds of |x| on that side; inner ≤ 0: x reaches 0 first */
    int64_t from;
} glm_path;

static double scale_before(const swo_glm_lazy *lazy, int64_t i) {
    return i > 0 ? lazy->record[i - 1].scale : 1;
}

static double path_at(const swo_glm_lazy *lazy, const glm_path *p, int64_t k) {
    const swo_glm_sums *a = &lazy->sums[p->from], *b = &lazy->sums[k];
    return p->y - (b->along - a->along) * p->e - (b->part - a->part) * lazy->l1;
}

static bool path_is_inside(const swo_glm_lazy *lazy, const glm_path *p, int64_t k) {
    const double y = path_at(lazy, p, k), x = scale_before(lazy, k) * y;
    return y > 0 && x > p->inner && x < p->outer;
}

/* Whether bisection finds the first step with x outside: x is monotone, or can leave the interval only at 0. */
static bool path_is_monotone(const swo_glm_lazy *lazy, const glm_path *p) {
    const bool falls = lazy->least_old * p->e + lazy->l1 >= 0 && lazy->most_old * p->e + lazy->l1 >= 0;
    return falls || lazy->decay == 0 || lazy->least_old == lazy->most_old || (isinf(p->outer) && p->inner <= 0);
}

/* The last step with x inside, for a path that ends outside. The first guess assumes that all steps have the same
 * length, which is often true. Then the first two steps that are checked are those on either side of the bound. */
static int64_t path_last_inside(const swo_glm_lazy *lazy, const glm_path *p) {
    const int64_t to = lazy->steps;
    const double first = p->y * scale_before(lazy, p->from), last = path_at(lazy, p, to) * scale_before(lazy, to),
                 bound = last < first ? (p->inner > 0 ? p->inner : 0) : p->outer,
                 guess = (double)(to - p->from) * ((bound - first) / (last - first));
    int64_t inside = p->from, outside = to,
            next = guess > 0 && guess < (double)(to - inside) ? inside + (int64_t)guess : inside;
    for (int probe = 0; outside - inside > 1; probe++) {
        if (probe >= 2 || next <= inside || next >= outside)
            next = inside + (outside - inside) / 2;
        if (path_is_inside(lazy, p, next))
            inside = next++;
        else
            outside = next--;
    }
    return inside;
}

/* The step up to which the closed form holds; `from` if it holds for no step. */
static int64_t path_end(const swo_glm_lazy *lazy, const glm_path *p) {
    const int64_t to = lazy->steps;
    const double least = lazy->least_old * p->e + lazy->l1, most = lazy->most_old * p->e + lazy->l1,
                 x = p->y * scale_before(lazy, p->from);
    if (!((least >= 0 && most >= 0) || (least <= 0 && most <= 0)) || x > p->outer + lazy->near * fabs(p->outer) ||
        x < p->inner - lazy->near * fabs(p->inner))
        return p->from;
    if (!path_is_monotone(lazy, p)) { /* y increases: x is at most its value at the largest scale */
        const double highest = path_at(lazy, p, to) * scale_before(lazy, p->from),
                     lowest = p->y * scale_before(lazy, to);
        return highest < p->outer && lowest > p->inner ? to : p->from;
    }
    return path_is_inside(lazy, p, to) ? to : path_last_inside(lazy, p);
}

/* Applies the steps from i on that have a closed form to v. Returns the number of the next step. */
static int64_t missed_path(const swo_glm_lazy *lazy, double *v, double d, int64_t i, double *gain) {
    if (*v == 0)
        return i;
    const double sign = *v < 0 ? -1 : 1;
    const glm_path p = {.y = sign * *v,
                        .e = sign * d,
                        .from = i,
                        .inner = sign > 0 ? lazy->low : -lazy->high,
                        .outer = sign > 0 ? lazy->high : -lazy->low};
    const int64_t end = path_end(lazy, &p);
    if (end == i)
        return i;
    if (lazy->mean)
        *gain += swo_glm_gain(lazy, *v, d, lazy->l1, i, end);
    *v = sign * path_at(lazy, &p, end);
    return end;
}

static bool is_at(const swo_glm_lazy *lazy, double x, double bound) {
    return isfinite(bound) && fabs(x - bound) <= lazy->near * fabs(bound);
}

static double sign_of(double v) {
    return v < 0 ? -1 : 1;
}

/* Whether x, before step i, is at 0 or at a bound, and no step moves it away. *at receives this value. */
static bool missed_is_stationary(const swo_glm_lazy *lazy, double v, double d, int64_t i, double *at) {
    const double a = lazy->least_old * d, b = lazy->most_old * d, least = a < b ? a : b, most = a < b ? b : a,
                 x = v * scale_before(lazy, i), low = lazy->low, high = lazy->high;
    *at = 0;
    if (v == 0)
        return low <= 0 && high >= 0 && (most <= lazy->l1 || low == 0) && (least >= -lazy->l1 || high == 0);
    *at = high;
    if (is_at(lazy, x, high) && (low == high || most + lazy->l1 * sign_of(high) + lazy->decay * high <= 0))
        return true;
    *at = low;
    return is_at(lazy, x, low) && least + lazy->l1 * sign_of(low) + lazy->decay * low >= 0;
}

double swo_glm_missed(const swo_glm_lazy *lazy, double v, double d, int64_t from, double *gain) {
    const int64_t to = lazy->steps;
    double sum = 0, at;
    for (int64_t i = from; i < to; i++) {
        if (missed_is_stationary(lazy, v, d, i, &at)) {
            v = at / scale_before(lazy, to);
            sum += lazy->mean ? at * (lazy->weights[to].raw - lazy->weights[i].raw) : 0;
            break;
        }
        i = missed_path(lazy, &v, d, i, &sum);
        if (i == to)
            break;
        const swo_glm_record *step = &lazy->record[i];
        v = swo_glm_clamp(lazy, swo_glm_soft(v - step->along * d, step->part * lazy->l1), step->scale);
        sum += step->weight * v;
    }
    *gain = sum;
    return v;
}
