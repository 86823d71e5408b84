/* What SAG and SAGA share: a table of the gradients that were seen last, its sum, who comes next, and an
 * estimate of the Lipschitz constants.
 *
 * The n samples are cut into rows of `batch` neighbors, the last one of what is left over. With w_r the
 * weight of row r (its samples; or the rows that are not ignored, their class weights: see Means over parts
 * in core.h) and W = Σ w_r, f = 1/W Σ_r w_r f_r, f_r the mean over the row. A row has the same weight at each
 * visit. The table holds y_r, the gradient of
 * f_r when it was visited last, and d = Σ w_r y_r. A visit to row r gives g_r = ∇f_r(x) and
 *     t = w_r (g_r - y_r);
 * when the step was taken, y_r ← g_r and d ← d + t.
 *
 * A generalized linear model (sw_objective: rows, head) keeps a number s for each sample and output
 * instead, since ∇f_i = s_i a_iᵀ: n·outputs numbers instead of rows·dim. Any other objective is
 * evaluated a row at a time: with batch=1 that is one sample a step, and a table of n·dim. */
#ifndef SWALE_ESTIMATORS_TABLE_H
#define SWALE_ESTIMATORS_TABLE_H

#include "optim/methods.h"
#include "optim/estimators/glm_loop.h"

/* Options. */
enum { BATCH, SAMPLING, INIT, STEP, LIPSCHITZ, L2, TOL, TABLE_LIMIT };
enum { UNIFORM, BY_LIPSCHITZ };                                         /* SAMPLING */
enum { FROM_SEEN, FROM_ZERO, FROM_FULL, CENTERD, FROM_SGD, FROM_AUTO }; /* INIT */
enum { ONE_L, TWO_L_MU, ONE_3L, ONE_2L_MU, ONE_16L };                   /* STEP */

/* clang-format off */
#define TABLE_OPTIONS(init, step, init_help)                                                               \
    {.name = "batch", .kind = SW_OPTION_INTEGER, .value = 0, .low = 0, .high = 1e9,                        \
     .help = "samples in a row of the table, and in a step; 0: 1, or for dense rows of a generalized "     \
             "linear model in memory n/64, rounded down to a power of 2, from 1 to 64"},                    \
    {.name = "sampling", .kind = SW_OPTION_CHOICE, .choices = "uniform|lipschitz",                         \
     .help = "rows with equal probability, or half of them in proportion to L_i + l2"},                    \
    {.name = "init", .kind = SW_OPTION_CHOICE, .value = init, .choices = "seen|zero|full|centered|sgd|auto", \
     .help = init_help},                                                                                   \
    {.name = "step", .kind = SW_OPTION_CHOICE, .value = step,                                              \
     .choices = "1/L|2/(L+n*l2)|1/(3L)|1/(2L+min(2n*l2,L))|1/(16L)",                                       \
     .help = "what lr=auto is, with l2 in L, and n rows"},                                                 \
    {.name = "lipschitz", .kind = SW_OPTION_REAL, .value = 0, .low = 0, .high = 1e300,                     \
     .open = SW_OPTION_AUTO,                                                                               \
     .help = "L, the largest Lipschitz constant of a row's gradient; auto: from the rows of a generalized "\
             "linear model with a known loss; 0: searched for if lr=auto"},                                \
    {.name = "l2", .kind = SW_OPTION_REAL, .value = 0, .low = 0, .high = 1e300,                            \
     .help = "the rule's weight_decay, which is known without it; another number is refused"},             \
    {.name = "tol", .kind = SW_OPTION_REAL, .value = 0, .low = 0, .high = 1e300,                           \
     .help = "the scalar converged becomes 1 when the gradient's 2-norm, with the penalty, is not above it"}, \
    {.name = "table_limit", .kind = SW_OPTION_REAL, .value = 1024, .low = 0, .high = 1e12,                 \
     .open = SW_OPEN_LOW, .help = "MiB; a larger table is refused"},                                       \
    {0}
/* clang-format on */

/* Slots. `table`, `sum`: y and d; `sum_low`: what d lacks to the exact sum of its changes, which are many and
 * become small beside it. `order`: the rows, those that were visited first. `tree`: their L_i.
 * `center`: 1/n Σ ∇f_i(x⁰) for init=centered. `x_low`: the low-order part of x in f32. */
enum { TABLE, SUM, ORDER, TREE, CENTER, SUM_LOW, X_LOW };
#define TABLE_SLOTS(size)                                                                                 \
    {.name = "table", .count = size}, {.name = "sum"},                                                    \
        {.name = "order", .type = SW_SLOT_I32, .count = swo_table_order},                                 \
        {.name = "tree", .type = SW_SLOT_F64, .count = swo_table_tree, .needed = swo_table_by_lipschitz}, \
        {.name = "center", .needed = swo_table_centered}, {.name = "sum_low", .added = true},             \
        {.name = "x_low", .count = swo_x_low_size, .added = true}, {                                      \
        0                                                                                                 \
    }

/* Scalars: rows and samples visited so far; whether table and sum are the first full pass's; L, as
 * estimated; that of the row visited last; with tol, the norm and whether it is small enough; by how much
 * the weight of the rows visited so far exceeds their number of samples, and W, if the first full pass has found
 * it, exceeds n; with tol, the estimate's norm over the gradient's when both were known last. */
enum { SEEN, SAMPLES_SEEN, FILLED, L, L_ROW, NORM, CONVERGED, EXCESS_SEEN, EXCESS, RATIO };
enum { ADDED_SCALARS = 3 }; /* files of earlier versions lack the last three, and are of losses without weights */
extern const char *const swo_table_scalars[];

/* Elements of the table; -1 and an error where it is larger than allowed. */
int64_t swo_table_size(const char *method, const sw_slot_sizes *s);
int64_t swo_table_order(const sw_slot_sizes *s);
int64_t swo_table_tree(const sw_slot_sizes *s);
bool swo_table_by_lipschitz(const double *option);
bool swo_table_centered(const double *option);

/* A visit, between sample and commit. */
typedef struct swo_visit {
    int64_t row, samples;
    double weight;      /* w_r */
    bool first;         /* the row has not been visited before */
    double probability; /* with which it was drawn */
    void *entry;        /* g_r, or the s of its samples: what the table will hold */
    void *change;       /* t, dim elements */
} swo_visit;

int64_t swo_table_batch(const sw_estimate *e); /* samples in a row, the last of which may have fewer */
int64_t swo_table_rows(const sw_estimate *e);
void *swo_table_entry(const sw_estimate *e, int64_t row);
sw_status swo_table_start(sw_estimate *e);
/* An error for the weight of a loss that is a sum. (table_fill.c) */
sw_status swo_table_check_weight(const sw_estimate *e, double weight);
/* The gradients at x of all rows. (table_fill.c) */
sw_status swo_table_fill(sw_estimate *e, const void *x);
sw_status swo_table_sample(sw_estimate *e);
/* Evaluates the row at x; sets e->value and, where lr=auto asks for it, e->lr. */
sw_status swo_table_visit(sw_estimate *e, const void *x, swo_visit *visit);
/* W, as far as it is known. */
double swo_table_whole(const sw_estimate *e, const swo_visit *visit);
/* weight/whole; 0 where nothing weighs anything yet. */
double swo_table_part(double weight, double whole);
/* What the sum is divided by: W, or with init=seen the weight of the rows visited, this one's among them. */
double swo_table_divisor(const sw_estimate *e, const swo_visit *visit);
/* True while init=sgd has rows that were not visited: then g = t/w_r, the row's own gradient. */
bool swo_table_sgd(const sw_estimate *e);
/* For tol: whether x is good enough, g the estimate there. Steps whose number is a multiple of `judges_every` check it
 * (0: none does). */
sw_status swo_table_judge(sw_estimate *e, const void *x, const void *g);
int64_t swo_table_judges_every(const sw_estimate *e);
sw_status swo_table_commit(sw_estimate *e);

/* ---- Parts of a step, for loops over many ---- */

struct swo_plain_rules;
uint64_t swo_table_key(const sw_estimate *e);
/* The row of a draw, and, for its first visit, its place in the order (else -1). */
int64_t swo_table_draw(const sw_estimate *e, uint64_t key, uint64_t draw, int64_t *place);
/* Where all draws are uniform: the place in the order that a draw takes, whether it is a first visit or not. */
int64_t swo_table_uniform(const sw_estimate *e, uint64_t key, uint64_t draw);
bool swo_table_searches(const sw_estimate *e);
bool swo_table_measures(const sw_estimate *e, bool first, int64_t step);
double swo_table_l_before(const sw_estimate *e, const swo_visit *visit);
sw_status swo_table_take_curvature(sw_estimate *e, const swo_visit *visit, double curvature);
double swo_table_step_size(const sw_estimate *e);
void swo_table_mark_seen(sw_estimate *e, const swo_visit *visit, int64_t place);
double swo_table_probability(const sw_estimate *e, int64_t row, bool first);
/* Steps of the rule sgd without a tape: see swo_estimate. (table_run.c) */
sw_status swo_table_run(sw_estimate *e, const struct swo_plain_rules *rules, int64_t most, int64_t *done);
/* What multiplies the change and the sum in the estimate: g = fresh·t + old·d. (sag.c, saga.c) */
void swo_sag_factors(const sw_estimate *e, const swo_visit *visit, double *fresh, double *old);
void swo_saga_factors(const sw_estimate *e, const swo_visit *visit, double *fresh, double *old);
/* Those of the method. */
void swo_table_factors(const sw_estimate *e, const swo_visit *visit, double *fresh, double *old);

#endif
