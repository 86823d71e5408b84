/* Lazy updates of sparse rows: what a loop keeps so that a step costs O(nonzeros), and how a column is brought up to
 * date.
 *
 * A step changes every weight, x ← (1 - lr λ) x - lr old d, but those at the row's nonzeros by that alone. With
 * x = scale·v the others' steps add up in one number, v ← v - (sum - then) d, `sum` being Σ lr old/scale, until a row
 * has them again. Biases move in each step, and so do their averages.
 *
 * With l1, bounds or an average the steps are recorded, and `then` is the number of those that a column has. Step i is
 *
 *     v_{i+1} = clamp(soft(v_i - along_i d, part_i l1), low/scale_i, high/scale_i)
 *     part_i = lr/scale_i,  along_i = part_i old_i,  x_{i+1} = scale_i v_{i+1}
 *
 * The average e ← e + w_i (x_{i+1} - e) is e = kept·E, with kept = Π (1 - w_i) and
 *
 *     E ← E + raw_i x_{i+1} = E + weight_i v_{i+1},  raw_i = w_i/kept_{i+1},  weight_i = raw_i scale_i
 *
 * While v has the sign s and meets no bound, it falls by Σ (along_j d + part_j l1 s), and E gains
 *
 *     Σ weight_j v_{j+1} = v ΔW - d (ΔU - along ΔW) - l1 s (ΔV - part ΔW)
 *
 * Here v, along and part are those before the first of these steps, along and part being sums over all steps before it;
 * W, U and V are such sums of weight_j, weight_j along_{j+1} and weight_j part_{j+1}, and Δ is what these steps add.
 * glm_missed.c has what v does at 0 and at bounds. */
#ifndef SWALE_ESTIMATORS_GLM_LAZY_H
#define SWALE_ESTIMATORS_GLM_LAZY_H

#include "../internal.h"

/* A recorded step, scale being that after it; and sums over those before it, of which steps without an average need
 * the first two alone. */
typedef struct swo_glm_record {
    double part, along, scale, weight;
} swo_glm_record;
typedef struct swo_glm_sums {
    double part, along;
} swo_glm_sums;
typedef struct swo_glm_weights {
    double weight, part, along, raw; /* part, along: of weight times those sums after its step */
} swo_glm_weights;

typedef struct swo_glm_lazy {
    double scale, sum;
    double *then;        /* [features]: `sum` when v was brought up to date, or of recorded steps their number then */
    int32_t *touched;    /* the columns of a row of several samples, each once */
    int64_t count;       /* of them */
    int64_t *stamp, now; /* [features]: touched in the step `now` */
    bool recorded;       /* with l1, bounds or an average */
    bool proximal, boxed; /* l1 or bounds; bounds */
    double l1, decay, low, high;
    double near;                /* what v is rounded by, relative to it: x nearer to a bound is at it */
    double least_old, most_old; /* of the recorded steps */
    int64_t steps, room;
    swo_glm_record *record;   /* [room] */
    swo_glm_sums *sums;       /* [room + 1] */
    swo_glm_weights *weights; /* [room + 1]; used where there is an average */
    void *mean, *mean_low;    /* E of the weights, and what it lacks (f32); NULL: there is no average */
    double kept, w;           /* w of the step that is taken: 0 if the average has none of it, or all */
} swo_glm_lazy;

static inline double swo_glm_soft(double v, double threshold) {
    return v > threshold ? v - threshold : v < -threshold ? v + threshold : 0;
}

/* v in the bounds of x, at this scale. */
static inline double swo_glm_clamp(const swo_glm_lazy *lazy, double v, double scale) {
    const double low = lazy->low / scale, high = lazy->high / scale, raised = v < low ? low : v;
    return raised > high ? high : raised;
}

/* v after the recorded steps from number `from` on, and what E gains by them: where v may meet 0 or a bound. */
double swo_glm_missed(const swo_glm_lazy *lazy, double v, double d, int64_t from, double *gain);

/* What E gains by steps [from, to) with v of one sign, v being that before them, and of no bound. */
static inline double swo_glm_gain(const swo_glm_lazy *lazy, double v, double d, double l1, int64_t from, int64_t to) {
    const swo_glm_sums *before = &lazy->sums[from];
    const swo_glm_weights *a = &lazy->weights[from], *b = &lazy->weights[to];
    const double weight = b->weight - a->weight;
    return v * weight - d * ((b->along - a->along) - before->along * weight) -
           (v < 0 ? -l1 : l1) * ((b->part - a->part) - before->part * weight);
}

/* v after them, quickly where it meets neither. The move of a step is -part (old d ± l1): of one sign while old d ±
 * l1 is, so that v is positive all the way if it is so at the end. At 0 it stays as long as |old d| ≤ l1. */
static inline double swo_glm_missed_fast(const swo_glm_lazy *lazy, double v, double d, int64_t from, double *gain) {
    const int64_t to = lazy->steps;
    const swo_glm_sums *a = &lazy->sums[from], *b = &lazy->sums[to];
    const double sign = v < 0 ? -1 : 1, e = sign * d, least = lazy->least_old * e + lazy->l1,
                 most = lazy->most_old * e + lazy->l1;
    if (lazy->boxed)
        return swo_glm_missed(lazy, v, d, from, gain);
    if (lazy->proximal && v == 0 && (d < 0 ? -d : d) * lazy->most_old <= lazy->l1)
        return v;
    const double end = sign * v - (b->along - a->along) * e - (b->part - a->part) * lazy->l1;
    if (lazy->proximal && (v == 0 || (least < 0) != (most < 0) || !(end > 0)))
        return swo_glm_missed(lazy, v, d, from, gain);
    if (lazy->mean)
        *gain = swo_glm_gain(lazy, v, d, lazy->l1, from, to);
    return sign * end;
}

/* The step takes its place among those that other columns miss. */
static inline void swo_glm_record_step(swo_glm_lazy *lazy, double part, double old, double scale) {
    const int64_t i = lazy->steps++;
    const swo_glm_sums *before = &lazy->sums[i];
    swo_glm_sums *after = &lazy->sums[i + 1];
    *after = (swo_glm_sums){before->part + part, before->along + part * old};
    lazy->record[i] = (swo_glm_record){.part = part, .along = part * old, .scale = scale};
    lazy->least_old = i == 0 || old < lazy->least_old ? old : lazy->least_old;
    lazy->most_old = i == 0 || old > lazy->most_old ? old : lazy->most_old;
    if (!lazy->mean)
        return;
    lazy->kept *= 1 - lazy->w;
    const double raw = lazy->w / lazy->kept, weight = raw * scale;
    const swo_glm_weights *past = &lazy->weights[i];
    lazy->record[i].weight = weight;
    lazy->weights[i + 1] = (swo_glm_weights){past->weight + weight, past->part + weight * after->part,
                                             past->along + weight * after->along, past->raw + raw};
}

#endif
