/* A step of SAG, SAGA or SVRG over samples in memory of a generalized linear model (sw_glm_data), without a tape. It
 * has two parts: a visit, which computes the derivatives of some samples, and a move, which updates x. The pipeline
 * uses them for single steps, and glm_loop.c for many steps.
 *
 * Which members are used:
 *   - dense rows: t for several samples; c and `sample` instead of t for one sample;
 *   - sparse rows in a loop: `lazy`; the memory of x then contains v of x = scale·v, and t of several samples is row_t;
 *   - svrg: `ids`; d_low is NULL, so that d does not change. */
#ifndef SWALE_ESTIMATORS_GLM_STEPS_H
#define SWALE_ESTIMATORS_GLM_STEPS_H

#include "optim/estimators/glm_lazy.h"

/* Prefetches the first cache lines of a sample's row. */
static inline void swo_glm_fetch(const sw_objective *f, int64_t sample) {
    enum { LINE = 64, LINES = 12 };
    const int64_t size = (int64_t)sw_dtype_size(sw_params_type(f->params));
    const sw_csr *m = f->glm->sparse;
    if (f->glm->label)
        __builtin_prefetch(&f->glm->label[sample]);
    if (m) {
        const int64_t first = m->start[sample], count = m->start[sample + 1] - first;
        const char *index = (const char *)(m->index + first), *value = (const char *)m->value + first * size;
        for (int64_t at = 0; at < count * (int64_t)sizeof *m->index && at < LINES * LINE; at += LINE)
            __builtin_prefetch(index + at);
        for (int64_t at = 0; at < count * size && at < LINES * LINE; at += LINE)
            __builtin_prefetch(value + at);
        return;
    }
    const char *row = (const char *)f->glm->dense + sample * f->features * size;
    for (int64_t at = 0; at < f->features * size && at < LINES * LINE; at += LINE)
        __builtin_prefetch(row + at);
}

enum { GLM_BLOCK = 64 }; /* samples whose changes are added without compensation */

/* A visit to samples [first, first + count), which are a row of the table, or to the samples with these ids. */
typedef struct swo_glm_visit {
    const sw_objective *f;
    const void *x;
    int64_t first, count;
    const int64_t *ids;               /* [count]; NULL: from `first` on */
    int64_t following;                /* lazy: a sample of the next visit, whose row was prefetched; -1: not known */
    const void *entry;                /* y: the derivatives at the last visit, [count, outputs] */
    void *s, *c;                      /* out, [count, outputs]: the derivatives, and s - y */
    void *t;                          /* out, [dim]: Σ c_i [a_i, 1]; NULL: it is not computed */
    void *work;                       /* [2 · count · outputs + 2 · outputs] */
    void *blocks;                     /* [2 · outputs · features], needed if count may be above GLM_BLOCK */
    double *losses;                   /* [count], out */
    const double *squares;            /* [n]: ‖a_i‖² */
    double loss;                      /* out: Σ f_i */
    double l;                         /* L before the visit; 0: not known */
    double curvature;                 /* out: the measured curvature of the row's mean loss; 0: none */
    bool measure;                     /* whether to measure it; needs t if count > 1 */
    bool weights_frozen, bias_frozen; /* they are frozen, and excluded from the curvature */
    swo_glm_lazy *lazy;    /* x contains v, and t is 0 except at touched columns and biases; NULL: not lazy */
    void *weights, *x_low; /* lazy: the weights to bring up to date, and their low-order part (f32) */
    const void *d;         /* lazy: the sum d */
} swo_glm_visit;
static inline int64_t swo_glm_sample(const swo_glm_visit *visit, int64_t i) {
    return visit->ids ? visit->ids[i] : visit->first + i;
}
void swo_glm_visit_row(sw_dtype type, swo_glm_visit *visit);
/* After a visit: measures the curvature along another t. */
void swo_glm_measure(sw_dtype type, swo_glm_visit *visit);

/* A contiguous range of x with the same options. */
typedef struct swo_glm_segment {
    int64_t offset, count;
    double lr, decay;
    bool moves;    /* they are not frozen */
    bool proximal; /* the rule has l1 or bounds: see prox.h */
    double l1, low, high;
} swo_glm_segment;

/* x ← x - lr (g + decay x), or prox of that, with g = fresh·t + old·d; then d ← d + t unless d_low is NULL. t is an
 * array, or c times the row of one dense sample. */
typedef struct swo_glm_move {
    const sw_objective *f;
    void *x, *d, *d_low;
    void *x_low;   /* f32: the low-order part of x, its accumulated rounding error; NULL: there is none */
    const void *t; /* NULL: t is c times the row of `sample` */
    int64_t sample;
    const void *c;
    double fresh, old;
    const swo_glm_segment *segment;
    int segments;
    void *row_t;        /* lazy: t of several samples; NULL: there is one sample */
    swo_glm_lazy *lazy; /* if not NULL, segment 0 is the weights, the others are biases, and the move resets t to 0 */
} swo_glm_move;
void swo_glm_move_x(sw_dtype type, swo_glm_move *move);
/* The part of a move that updates the weights of sparse rows lazily. */
void swo_glm_lazy_move(sw_dtype type, swo_glm_move *move);
/* Brings all of x and its average up to date: x ← scale·v, e ← kept·E, or e ← x (restart). scale and kept become 1. */
void swo_glm_flush(sw_dtype type, const swo_glm_move *move, bool restart);

#endif
