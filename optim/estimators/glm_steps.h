/* A visit of SAG and SAGA to a row of a generalized linear model whose samples are in memory (sw_glm_data), and the
 * move that follows: loops without a tape. They serve the pipeline, one step at a time, and swo_table_run, many. */
#ifndef SWALE_ESTIMATORS_GLM_STEPS_H
#define SWALE_ESTIMATORS_GLM_STEPS_H

#include "../methods.h"

/* Samples [first, first + count): a row of the table. */
typedef struct swo_glm_visit {
    const sw_objective *f;
    const void *x;
    int64_t first, count;
    const void *entry;     /* y: the derivatives at the last visit, [count, outputs] */
    void *s, *c;           /* out, [count, outputs]: the derivatives, and s - y */
    void *t;               /* out, [dim]: Σ c_i [a_i, 1]; NULL: not asked for */
    void *work;            /* [2 · count · outputs + 2 · outputs] */
    double *losses;        /* [count], out */
    const double *squares; /* [n]: ‖a_i‖² */
    double loss;           /* out: Σ f_i */
    double l;              /* L before the visit; 0: not known */
    double curvature;      /* out: the curvature of the row's mean loss that was met, 0: none */
    bool measure;          /* whether to find it; needs t where count > 1 */
} swo_glm_visit;
void swo_glm_visit_row(sw_dtype type, swo_glm_visit *visit);

/* Neighbors in x that move alike. */
typedef struct swo_glm_segment {
    int64_t offset, count;
    double lr, decay;
    bool moves; /* they are not frozen */
} swo_glm_segment;

/* x ← x - lr (g + decay x), g = fresh·t + old·d, then d ← d + t. t is an array, or c times the row of one dense
 * sample. */
typedef struct swo_glm_move {
    const sw_objective *f;
    void *x, *d, *d_low;
    const void *t;           /* NULL: */
    int64_t sample;
    const void *c;
    double fresh, old;
    const swo_glm_segment *segment;
    int segments;
} swo_glm_move;
void swo_glm_move_x(sw_dtype type, swo_glm_move *move);

#endif
