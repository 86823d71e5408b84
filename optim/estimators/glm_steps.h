/* A visit of SAG, SAGA or SVRG to some samples of a generalized linear model that are in memory (sw_glm_data), and the
 * move that follows, without a tape. The pipeline uses them for one step at a time, glm_loop.c for many.
 *
 * Which members are used:
 *   - dense rows, several samples: t; one sample: c and `sample` in place of t;
 *   - sparse rows in a loop: `lazy`; x holds v of x = scale·v, and t of several samples is row_t;
 *   - svrg: `ids`; d_low is NULL, so that d stays. */
#ifndef SWALE_ESTIMATORS_GLM_STEPS_H
#define SWALE_ESTIMATORS_GLM_STEPS_H

#include "optim/estimators/glm_lazy.h"

/* Asks for a sample's row, of which the processor fetches the first lines while it does something else. */
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

/* Samples [first, first + count), a row of the table; or those with these ids. */
typedef struct swo_glm_visit {
    const sw_objective *f;
    const void *x;
    int64_t first, count;
    const int64_t *ids;            /* [count]; NULL: from `first` on */
    int64_t following;             /* lazy: a sample of the next visit, whose row was fetched; -1: not known */
    const void *entry;             /* y: the derivatives at the last visit, [count, outputs] */
    void *s, *c;                   /* out, [count, outputs]: the derivatives, and s - y */
    void *t;                       /* out, [dim]: Σ c_i [a_i, 1]; NULL: not asked for */
    void *work;                    /* [2 · count · outputs + 2 · outputs] */
    void *blocks;                  /* [2 · outputs · features], where count may be above GLM_BLOCK */
    double *losses;                /* [count], out */
    const double *squares;         /* [n]: ‖a_i‖² */
    double loss;                   /* out: Σ f_i */
    double l;                      /* L before the visit; 0: not known */
    double curvature;              /* out: the curvature of the row's mean loss that was met, 0: none */
    bool measure;                  /* whether to find it; needs t where count > 1 */
    bool weights_rest, bias_rests; /* frozen: they have no part in a curvature */
    swo_glm_lazy *lazy;            /* x holds v, t is 0 but at the touched columns and biases; NULL: not lazy */
    void *weights, *x_low;         /* lazy: x, to be brought up to date, and its low-order part (f32) */
    const void *d;                 /* lazy: the sum d */
} swo_glm_visit;
static inline int64_t swo_glm_sample(const swo_glm_visit *visit, int64_t i) {
    return visit->ids ? visit->ids[i] : visit->first + i;
}
void swo_glm_visit_row(sw_dtype type, swo_glm_visit *visit);
/* After a visit: the curvature along another t. */
void swo_glm_measure(sw_dtype type, swo_glm_visit *visit);

/* Neighbors in x that move alike. */
typedef struct swo_glm_segment {
    int64_t offset, count;
    double lr, decay;
    bool moves;    /* they are not frozen */
    bool proximal; /* the rule has l1 or bounds: see prox.h */
    double l1, low, high;
} swo_glm_segment;

/* x ← x - lr (g + decay x), or prox of that, g = fresh·t + old·d, then d ← d + t unless d_low is NULL. t is an array,
 * or c times the row of one dense sample. */
typedef struct swo_glm_move {
    const sw_objective *f;
    void *x, *d, *d_low;
    void *x_low;   /* f32: the low-order part of x, from the rounding of its moves; NULL: it is not kept */
    const void *t; /* NULL: c times the row of `sample` */
    int64_t sample;
    const void *c;
    double fresh, old;
    const swo_glm_segment *segment;
    int segments;
    void *row_t;        /* lazy: t of several samples; NULL: of one */
    swo_glm_lazy *lazy; /* then segment 0 is the weights, the others biases, and t becomes 0 again */
} swo_glm_move;
void swo_glm_move_x(sw_dtype type, swo_glm_move *move);
/* Its part that moves the weights of sparse rows lazily. */
void swo_glm_lazy_move(sw_dtype type, swo_glm_move *move);
/* Brings all of x and its average up to date: x ← scale·v, e ← kept·E, or e ← x (restart). scale and kept become 1. */
void swo_glm_flush(sw_dtype type, const swo_glm_move *move, bool restart);

#endif
