/* Lazy updates for sparse rows: the data of a loop in which a step costs O(nonzeros), and the equations that bring a
 * column up to date.
 *
 * A step changes every weight, x ← (1 - lr λ) x - lr old d, and the weights at the nonzeros of its row also by
 * -lr fresh t. With x = scale·v, one number describes all the steps that a weight has missed. When a row contains its
 * column again,
 *
 *     v ← v - (sum - then) d
 *
 * `sum` is Σ lr old/scale over all steps, and `then` its value when the column was last brought up to date. Biases and
 * their averages are updated in each step.
 *
 * With l1, bounds or an average the steps are recorded, and `then` is the number of recorded steps when the column was
 * last brought up to date. Step i is
 *
 *     v_{i+1} = clamp(soft(v_i - along_i d, part_i l1), low/scale_i, high/scale_i)
 *     part_i = lr/scale_i,  along_i = part_i old_i,  x_{i+1} = scale_i v_{i+1}
 *
 * The average e ← e + w_i (x_{i+1} - e) is e = kept·E, with kept = Π (1 - w_i) and
 *
 *     E ← E + raw_i x_{i+1} = E + weight_i v_{i+1},  raw_i = w_i/kept_{i+1},  weight_i = raw_i scale_i
 *
 * Let A_i = Σ_{j<i} along_j and P_i = Σ_{j<i} part_j (swo_glm_sums). As long as v has the sign s and reaches no bound,
 * the steps from i to k - 1 lead to v_k = v_i - d (A_k - A_i) - l1 s (P_k - P_i), and add to E
 *
 *     Σ weight_j v_{j+1} = v_i ΔW - d (ΔU - A_i ΔW) - l1 s (ΔV - P_i ΔW)
 *
 * W_i, U_i and V_i are the sums over j < i of weight_j, weight_j A_{j+1} and weight_j P_{j+1} (swo_glm_weights), and
 * ΔW = W_k - W_i and so on. glm_missed.c handles the steps in which v reaches 0 or a bound. */
#ifndef SWALE_ESTIMATORS_GLM_LAZY_H
#define SWALE_ESTIMATORS_GLM_LAZY_H

#include <swale/estimator.h>

/* A recorded step, with the scale after it, and sums over the steps before it. swo_glm_weights is used only with an
 * average. */
typedef struct swo_glm_record {
    double part, along, scale, weight;
} swo_glm_record;
typedef struct swo_glm_sums {
    double part, along;
} swo_glm_sums;
typedef struct swo_glm_weights {
    double weight, part, along, raw; /* W; V and U; Σ raw_j */
} swo_glm_weights;

typedef struct swo_glm_lazy {
    double scale, sum;
    double *then;         /* [features]: `sum`, or the number of recorded steps, when v was last brought up to date */
    int32_t *touched;     /* the columns of a row of several samples, without repetitions */
    int64_t count;        /* the number of touched columns */
    int64_t *stamp, now;  /* stamp [features]: the last step that touched the column; now: the current step */
    bool recorded;        /* steps are recorded: with l1, bounds or an average */
    bool proximal, boxed; /* there is l1 or a bound; there is a bound */
    double l1, decay, low, high;
    double near; /* the relative rounding error of v: if x is this near to a bound, it is set to the bound */
    double least_old, most_old; /* the smallest and the largest `old` of the recorded steps */
    int64_t steps, room;
    swo_glm_record *record;   /* [room] */
    swo_glm_sums *sums;       /* [room + 1] */
    swo_glm_weights *weights; /* [room + 1]; used only with an average */
    void *mean, *mean_low;    /* E of the weights, and its low-order part (f32); NULL: there is no average */
    double kept, w;           /* w of the coming step; 0 if it is 1, because then a flush sets e to x */
} swo_glm_lazy;

static inline double swo_glm_soft(double v, double threshold) {
    return v > threshold ? v - threshold : v < -threshold ? v + threshold : 0;
}

/* v limited to the bounds of x at this scale. */
static inline double swo_glm_clamp(const swo_glm_lazy *lazy, double v, double scale) {
    const double low = lazy->low / scale, high = lazy->high / scale, raised = v < low ? low : v;
    return raised > high ? high : raised;
}

/* Returns v after the recorded steps from `from` on, in which it may reach 0 or a bound. *gain receives the sum that
 * these steps add to E. */
double swo_glm_missed(const swo_glm_lazy *lazy, double v, double d, int64_t from, double *gain);

/* The sum that steps [from, to) add to E if v keeps its sign and reaches no bound. v is the value before these
 * steps. */
static inline double swo_glm_gain(const swo_glm_lazy *lazy, double v, double d, double l1, int64_t from, int64_t to) {
    const swo_glm_sums *before = &lazy->sums[from];
    const swo_glm_weights *a = &lazy->weights[from], *b = &lazy->weights[to];
    const double weight = b->weight - a->weight;
    return v * weight - d * ((b->along - a->along) - before->along * weight) -
           (v < 0 ? -l1 : l1) * ((b->part - a->part) - before->part * weight);
}

/* As swo_glm_missed, in closed form if there are no bounds and, with l1, v does not reach 0. A step changes v by
 * -part (old d ± l1). If old d ± l1 has the same sign for the smallest and the largest `old`, all changes have the same
 * direction. If v then has the same sign at the end, it has not passed 0. v remains 0 as long as |old d| ≤ l1. */
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

/* Records a step for the columns that are not in its row. */
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
