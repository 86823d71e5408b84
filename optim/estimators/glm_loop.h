/* Loops over many steps on samples in memory with the rule sgd, for sag, saga and svrg. */
#ifndef SWALE_ESTIMATORS_GLM_LOOP_H
#define SWALE_ESTIMATORS_GLM_LOOP_H

#include "optim/estimators/glm_steps.h"

/* Data of estimators on samples in memory that are not saved: the first part of e->own. */
typedef struct swo_glm_own {
    const double *squares; /* [n]: ‖a_i‖² of samples in memory, or NULL */
    double l_of_rows;      /* lipschitz=auto: L of the rows; not saved, because a file may be of another option */
    double largest_row;    /* with squares: √(max ‖a_i‖² + 1) */
} swo_glm_own;
enum { GLM_MEMORY_OWN, GLM_MEMORY_SQUARES, GLM_MEMORY_LAZY }; /* indices of sw_estimate_memory */
static inline swo_glm_own *swo_glm_own_of(const sw_estimate *e) {
    return e->own;
}

typedef struct swo_glm_loop {
    sw_estimate *e;
    sw_estimate_run *run;
    swo_glm_segment segment[SW_MAX_STRETCHES];
    bool automatic[SW_MAX_STRETCHES]; /* lr is the step size that the estimator proposes */
    swo_glm_visit visit;
    swo_glm_move move;
    int64_t batch;                 /* the largest number of samples in a step */
    double row_norm;               /* R: the largest norm of [a_i, 1] */
    double x_bound, d_bound, most; /* bounds of ‖x‖ and ‖d‖, and their limit */
    double nearest;                /* a bound of the norm of the point nearest to 0 within the rule's bounds */
    swo_glm_lazy lazy;
    void *mean, *mean_low; /* the average of x, and its low-order part (f32); NULL: there is none */
    double w, mean_bound;  /* the weight of x in it after this step; a bound of its norm */
} swo_glm_loop;

/* For `start` of an estimator on samples in memory, after it has set e->own: makes the slot x_low, of swo_x_low_size
 * elements, and the squares of the rows, and sets e->runs. */
int64_t swo_x_low_size(const sw_slot_sizes *s);
sw_status swo_use_samples(sw_estimate *e, void *x_low);

/* The number of elements of memory for a visit; sets the pointers of a visit to its parts. */
int64_t swo_glm_work(const sw_estimate *e, int64_t batch);
void swo_glm_use_work(const sw_estimate *e, int64_t batch, swo_glm_visit *visit, void *room);

/* Begins a loop, in which x is updated with g = fresh·t + old·d. d_low NULL: d does not change. Uses scratch 0 to 2. */
sw_status swo_glm_loop_begin(swo_glm_loop *loop, sw_estimate *e, sw_estimate_run *run, int64_t batch, void *d,
                             void *d_low);
/* Updates x and d, after the row was visited and the estimator has set lr and the factors. *taken is false if the
 * pipeline must take the step, or if it can be tried again after weights are brought up to date
 * (swo_glm_loop_again). */
void swo_glm_loop_move(swo_glm_loop *loop, bool *taken);
/* After a step that was not taken: brings lazy weights up to date. Returns true if the caller should visit the row and
 * try again. */
bool swo_glm_loop_again(swo_glm_loop *loop);
/* Brings x up to date: after the loop, and whenever x must be read. */
void swo_glm_loop_end(swo_glm_loop *loop);

#endif
