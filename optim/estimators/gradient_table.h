/* The code that SAG and SAGA share: a table of the latest gradients, its sum, the draw of the next row, and an estimate
 * of the Lipschitz constants. M. Schmidt, N. Le Roux, F. Bach, Minimizing finite sums with the stochastic average
 * gradient, 2013, sections 4.3 to 4.8: sums over the samples seen, an estimate of L, non-uniform sampling,
 * mini-batches.
 *
 * The n samples are divided into rows of `batch` consecutive samples; the last row may have fewer. f_r is the mean loss
 * over row r, and w_r its weight: the number of its samples, or the sum of their weights (ignored ids, class weights:
 * see Means over parts in loss_mean.h). With W = Σ w_r, f = 1/W Σ_r w_r f_r. A row has the same weight at each visit.
 * The table contains y_r, the gradient of f_r at the last visit, and d = Σ w_r y_r. A visit to row r computes
 * g_r = ∇f_r(x) and
 *     t = w_r (g_r - y_r);
 * after the step was taken, y_r ← g_r and d ← d + t.
 *
 * For a generalized linear model (sw_objective: rows, head), ∇f_i = s_i a_iᵀ, and the table contains the number s for
 * each sample and output: n·outputs numbers instead of rows·dim. Any other objective is evaluated for one row per step.
 * With batch=1 that is one sample per step, and a table of n·dim numbers. */
#ifndef SWALE_ESTIMATORS_GRADIENT_TABLE_H
#define SWALE_ESTIMATORS_GRADIENT_TABLE_H

#include "optim/estimators/glm_loop.h"

/* ---- Options and state ---- */

typedef struct swo_table_options {
    double batch, sampling, init, step, lipschitz, l2, tol, table_limit;
} swo_table_options;
enum { UNIFORM, BY_LIPSCHITZ };                                          /* sampling */
enum { FROM_SEEN, FROM_ZERO, FROM_FULL, CENTERED, FROM_SGD, FROM_AUTO }; /* init */
enum { ONE_L, TWO_L_MU, ONE_3L, ONE_2L_MU, ONE_16L };                    /* step */

/* clang-format off */
#define TABLE_OPTIONS(init, step, init_help)                                                               \
    {.name = "batch", .kind = SW_OPTION_INTEGER, .value = 0, .low = 0, .high = 1e9,                        \
     .help = "samples in a row of the table and in a step; 0: 1, or for dense rows of a generalized "      \
             "linear model in memory n/64, rounded down to a power of 2, from 1 to 64"},                   \
    {.name = "sampling", .kind = SW_OPTION_CHOICE, .choices = "uniform|lipschitz",                         \
     .help = "rows with equal probability, or half of them in proportion to L_i + l2"},                    \
    {.name = "init", .kind = SW_OPTION_CHOICE, .value = init, .choices = "seen|zero|full|centered|sgd|auto", \
     .help = init_help},                                                                                   \
    {.name = "step", .kind = SW_OPTION_CHOICE, .value = step,                                              \
     .choices = "1/L|2/(L+n*l2)|1/(3L)|1/(2L+min(2n*l2,L))|1/(16L)",                                       \
     .help = "the step size for lr=auto, with n rows; L includes l2"},                                     \
    {.name = "lipschitz", .kind = SW_OPTION_REAL, .value = 0, .low = 0, .high = 1e300,                     \
     .open = SW_OPTION_AUTO,                                                                               \
     .help = "L, the largest Lipschitz constant of a row's gradient; auto: from the rows of a generalized " \
             "linear model with a known loss; 0: measured if lr=auto"},                                    \
    {.name = "l2", .kind = SW_OPTION_REAL, .value = 0, .low = 0, .high = 1e300,                            \
     .help = "the rule's weight_decay; not needed, and a different number is an error"},                   \
    {.name = "tol", .kind = SW_OPTION_REAL, .value = 0, .low = 0, .high = 1e300,                           \
     .help = "the scalar `converged` becomes 1 when the 2-norm of the gradient, with the penalty, is at most tol"}, \
    {.name = "table_limit", .kind = SW_OPTION_REAL, .value = 1024, .low = 0, .high = 1e12,                 \
     .open = SW_OPEN_LOW, .help = "largest size of the table, in MiB; a larger one is an error"},          \
    {0}
/* clang-format on */

typedef struct swo_table_slots {
    void *table, *sum; /* y and d */
    void *order;       /* the rows, beginning with those that were visited */
    void *tree;        /* their L_i (sum_tree.h) */
    void *center;      /* 1/n Σ ∇f_i(x⁰) for init=centered */
    void *sum_low;     /* the low-order part of d, because its many changes become small in comparison with it */
    void *x_low;       /* the low-order part of x in f32 */
} swo_table_slots;
#define TABLE_SLOTS(size)                                                                                 \
    {.name = "table", .count = size}, {.name = "sum"},                                                    \
        {.name = "order", .type = SW_SLOT_I32, .count = swo_table_order},                                 \
        {.name = "tree", .type = SW_SLOT_F64, .count = swo_table_tree, .needed = swo_table_by_lipschitz}, \
        {.name = "center", .needed = swo_table_centered}, {.name = "sum_low", .added = true},             \
        {.name = "x_low", .count = swo_x_low_size, .added = true}, {                                      \
        0                                                                                                 \
    }

typedef struct swo_table_scalars {
    int64_t seen, samples_seen; /* rows and samples visited so far */
    int64_t filled;             /* 1: the first full pass has filled table and sum */
    double l, l_row;            /* the estimate of L; that of the row visited last */
    double norm;                /* with tol: the norm of the gradient, or of its estimate */
    int64_t converged;          /* 1: `norm` is at most tol */
    double excess_seen;         /* the weight of the rows visited so far minus their number of samples */
    double excess;              /* W - n, if the first full pass has computed it */
    double ratio;               /* with tol: the last ratio of the norms of the estimate and of the gradient */
} swo_table_scalars;
extern const char *const swo_table_scalar_names[];
/* Files of earlier versions do not have the last three scalars, and are of losses without weights. */
enum { TABLE_ADDED_SCALARS = 3 };
#define TABLE_WHOLE_SCALARS                                                                        \
    (SW_WHOLE_SCALAR(swo_table_scalars, seen) | SW_WHOLE_SCALAR(swo_table_scalars, samples_seen) | \
     SW_WHOLE_SCALAR(swo_table_scalars, filled) | SW_WHOLE_SCALAR(swo_table_scalars, converged))

typedef struct swo_visit swo_visit;
/* The differences between SAG and SAGA. */
typedef struct swo_table_kind {
    const char *stream;    /* the name of the stream of random numbers that chooses rows */
    int init_auto;         /* the meaning of init=auto without a full pass */
    bool over_seen;        /* with init=seen, all sums, not only d, are divided by the weight of the rows seen */
    double half_life_of_l; /* in epochs of measured rows */
    /* Computes the factors of the change and the sum in the estimate g = fresh·t + old·d. */
    void (*factors)(const sw_estimate *e, const swo_visit *visit, double *fresh, double *old);
} swo_table_kind;
/* The struct that e->own points to. */
typedef struct swo_table_own {
    swo_glm_own glm; /* must be first */
    const swo_table_kind *kind;
    int64_t batch, rows; /* the number of samples per row (the last may have fewer); the number of rows */
} swo_table_own;

static inline const swo_table_options *swo_table_options_of(const sw_estimate *e) {
    return SW_OPTIONS_AS(e->option, swo_table_options);
}
static inline swo_table_scalars *swo_table_scalars_of(const sw_estimate *e) {
    return SW_SCALARS_AS(e->scalar, swo_table_scalars);
}
static inline const swo_table_slots *swo_table_slots_of(const sw_estimate *e) {
    return SW_STEP_SLOTS(e, swo_table_slots);
}
static inline const swo_table_kind *swo_table_kind_of(const sw_estimate *e) {
    return ((const swo_table_own *)e->own)->kind;
}
static inline int64_t swo_table_batch(const sw_estimate *e) {
    return ((const swo_table_own *)e->own)->batch;
}
static inline int64_t swo_table_rows(const sw_estimate *e) {
    return ((const swo_table_own *)e->own)->rows;
}
/* Whether the table is that of a generalized linear model, with numbers for each sample; otherwise it has a gradient
 * for each row. */
static inline bool swo_table_is_glm(const sw_estimate *e) {
    return sw_objective_is_glm(e->objective);
}

/* A visit, between sample and commit. */
struct swo_visit {
    int64_t row, samples;
    double weight;      /* w_r */
    bool first;         /* this is the first visit to the row */
    double probability; /* the probability with which it was drawn */
    void *entry;        /* the new entry of the table: g_r, or the s of its samples */
    void *change;       /* t, dim elements */
};

enum {
    TABLE_NEW_ENTRY,
    TABLE_CHANGE,
    TABLE_WORK,
    TABLE_ROW_GRADIENT
}; /* scratch; the first two are used until `commit` */

/* ---- gradient_table_entry.c ---- */

/* The entry of a row in the table; the number of elements of an entry of a row with `samples` samples. */
void *swo_table_entry(const sw_estimate *e, int64_t row);
int64_t swo_table_entry_count(const sw_estimate *e, int64_t samples);

/* ---- gradient_table_weights.c ---- */

/* The option init, with auto replaced by its meaning. */
int swo_table_init(const sw_estimate *e);
/* Whether init=sgd and not all rows have been visited: then g = t/w_r is the gradient of the row. */
bool swo_table_sgd(const sw_estimate *e);
/* The weight of the rows visited, including this one; W, or its estimate; the divisor of the sum, which is W or, with
 * init=seen, the weight of the rows visited. */
double swo_table_weight_seen(const sw_estimate *e, const swo_visit *visit);
double swo_table_whole(const sw_estimate *e, const swo_visit *visit);
double swo_table_divisor(const sw_estimate *e, const swo_visit *visit);
/* weight/whole; 0 if whole is 0. */
double swo_table_part(double weight, double whole);

/* ---- gradient_table.c: sizes, a visit, and its end ---- */

/* The number of elements of the table; -1 and an error if it is larger than table_limit. */
int64_t swo_table_size(const char *method, const sw_slot_sizes *s);
int64_t swo_table_order(const sw_slot_sizes *s);
int64_t swo_table_tree(const sw_slot_sizes *s);
bool swo_table_by_lipschitz(const double *option);
bool swo_table_centered(const double *option);
int64_t swo_table_choose_batch(const sw_estimate *e);
sw_status swo_table_start(sw_estimate *e, const swo_table_kind *kind);
/* Evaluates the row at x; sets e->value and, for lr=auto, e->lr. */
sw_status swo_table_visit(sw_estimate *e, const void *x, swo_visit *visit);
/* An error if d would not remain finite in this step, whose gradient has this norm. */
sw_status swo_table_fits(sw_estimate *e, double norm);
sw_status swo_table_commit(sw_estimate *e);

/* ---- gradient_table_fill.c ---- */

/* An error if the weight is that of a loss that is a sum. */
sw_status swo_table_check_weight(const sw_estimate *e, double weight);
/* Fills the table with the gradients of all rows at x. */
sw_status swo_table_fill(sw_estimate *e, const void *x);

/* ---- gradient_table_loop.c ---- */

sw_status swo_table_run(sw_estimate *e, sw_estimate_run *run);

/* ---- row_sampling.c ---- */

/* The key of the random stream of the table's draws. */
uint64_t swo_table_key(const sw_estimate *e);
/* Returns the row of a draw. *place receives its index in `order` if this is its first visit, else -1. */
int64_t swo_table_draw(const sw_estimate *e, uint64_t key, uint64_t draw, int64_t *place);
/* If all draws are uniform: the index in `order` of a draw, for first and later visits. */
int64_t swo_table_uniform(const sw_estimate *e, uint64_t key, uint64_t draw);
double swo_table_probability(const sw_estimate *e, int64_t row, bool first);
sw_status swo_table_sample(sw_estimate *e);
/* After `sample`: the row, and its index in `order`. */
int64_t swo_table_sampled_row(const sw_estimate *e);
int64_t swo_table_sampled_place(const sw_estimate *e);
void swo_table_mark_seen(sw_estimate *e, const swo_visit *visit, int64_t place);

/* ---- lipschitz_search.c: L and step sizes ---- */

/* Sets L before the first step: the given one, that of the rows, or 0. */
sw_status swo_table_first_l(sw_estimate *e);
/* Whether curvatures are measured during the run; whether the curvature of this visit is measured. */
bool swo_table_searches(const sw_estimate *e);
bool swo_table_measures(const sw_estimate *e, bool first, int64_t step);
/* L_r of the row before its visit; 0 if it is not known. */
double swo_table_l_before(const sw_estimate *e, const swo_visit *visit);
sw_status swo_table_take_curvature(sw_estimate *e, const swo_visit *visit, double curvature);
/* Measures L on the tape, which evaluates one or two more gradients of the row. */
sw_status swo_table_measure_row(sw_estimate *e, const void *x, const void *row_gradient, const swo_visit *visit);
/* The value of lr=auto, and that for parameters with the penalty l2. */
double swo_table_step_size(const sw_estimate *e);
double swo_table_step_size_with(const sw_estimate *e, double l2);

/* ---- tolerance_test.c ---- */

/* The convergence test for tol, with the estimate g at x. It runs in steps whose number is a multiple of
 * swo_table_tests_every (0: never). */
sw_status swo_table_test_tolerance(sw_estimate *e, const void *x, const void *g);
int64_t swo_table_tests_every(const sw_estimate *e);

#endif
