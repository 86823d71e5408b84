/* Strong Wolfe conditions (J. Nocedal, S. Wright, Numerical Optimization, 2006, algorithms 3.5 and 3.6):
 *     f(x + α d) ≤ f(x) + c1 α ⟨g, d⟩   and   |⟨∇f(x + α d), d⟩| ≤ c2 |⟨g, d⟩|
 * Trials grow until two of them have a good step between them; then that interval shrinks, by the
 * minimizer of the cubic through values and slopes at its ends. */
#include "optim/methods.h"

#include <math.h>

enum { C1, C2, GUESS, TRIALS };
enum { GUESS_SLOPE, GUESS_LAST, GUESS_LR };
/* clang-format off */
static const sw_option options[] = {
    {.name = "c1", .kind = SW_OPTION_REAL, .value = 1e-4, .low = 0, .high = 1,
     .open = SW_OPEN_LOW | SW_OPEN_HIGH, .help = "share of the promised descent"},
    {.name = "c2", .kind = SW_OPTION_REAL, .value = 0.9, .low = 0, .high = 1,
     .open = SW_OPEN_LOW | SW_OPEN_HIGH, .help = "share of the slope that may stay; above c1"},
    {.name = "guess", .kind = SW_OPTION_CHOICE, .value = GUESS_SLOPE, .choices = "slope|last|lr",
     .help = "first trial: the last step times the last slope over this one; the last step; the rule's lr "
             "(directions of Newton's kind)"},
    {.name = "trials", .kind = SW_OPTION_INTEGER, .value = 50, .low = 1, .high = 1e6,
     .help = "then the step is skipped"},
    {0}};
/* clang-format on */
static const char *const scalars[] = {"last", "slope", NULL}; /* α and ⟨g, d⟩ of the last step */
enum { LAST, LAST_SLOPE };

typedef struct trial {
    double alpha, value, slope;
} trial;

typedef struct work {
    sw_search *s;
    int left; /* trials */
} work;

/* SW_SKIPPED: none are left. */
static sw_status try_at(work *w, double alpha, trial *t) {
    if (w->left-- == 0)
        return SW_SKIPPED;
    t->alpha = alpha;
    return sw_search_eval(w->s, alpha, &t->value, &t->slope);
}

static bool finite(const trial *t) {
    return isfinite(t->value) && isfinite(t->slope);
}

static bool too_long(const sw_search *s, const trial *t) {
    return !finite(t) || !(t->value <= s->value + s->option[C1] * t->alpha * s->slope);
}

static bool flat(const sw_search *s, const trial *t) {
    return fabs(t->slope) <= -s->option[C2] * s->slope;
}

/* Minimiser of the cubic through both (3.59); NaN: it has none. */
static double cubic(const trial *a, const trial *b) {
    const double d1 = a->slope + b->slope - 3 * (a->value - b->value) / (a->alpha - b->alpha);
    const double d2 = copysign(sqrt(d1 * d1 - a->slope * b->slope), b->alpha - a->alpha);
    return b->alpha - (b->alpha - a->alpha) * ((b->slope + d2 - d1) / (b->slope - a->slope + 2 * d2));
}

/* `part` of the way from a to b. */
static double between(const trial *a, const trial *b, double part) {
    return a->alpha + part * (b->alpha - a->alpha);
}

/* Where to try inside an interval: the cubic's minimizer, away from the ends; the middle if the last trial
 * has not halved it; close to `low` if `high` is not finite and tells nothing. */
static double inside(const trial *low, const trial *high, double before) {
    if (!finite(high))
        return between(low, high, 0.1);
    double part = (cubic(low, high) - low->alpha) / (high->alpha - low->alpha);
    if (!(part > 0 && part < 1) || fabs(high->alpha - low->alpha) > 0.5 * before)
        part = 0.5;
    return between(low, high, part < 0.1 ? 0.1 : part > 0.9 ? 0.9 : part);
}

/* Algorithm 3.6. `low` descends enough, less than any other that does, and slopes towards `high`. */
static sw_status zoom(work *w, trial low, trial high, double *alpha) {
    for (double before = INFINITY;;) {
        trial t;
        const double width = fabs(high.alpha - low.alpha), at = inside(&low, &high, before);
        if (at == low.alpha || at == high.alpha)
            return SW_SKIPPED; /* rounding leaves nothing between them */
        before = width;
        SW_TRY(try_at(w, at, &t));
        if (too_long(w->s, &t) || t.value >= low.value) {
            high = t;
        } else if (flat(w->s, &t)) {
            *alpha = t.alpha;
            return SW_OK;
        } else {
            if (t.slope * (high.alpha - low.alpha) >= 0)
                high = low;
            low = t;
        }
    }
}

/* Algorithm 3.5. */
static sw_status bracket(work *w, double first, double *alpha) {
    trial before = {0, w->s->value, w->s->slope}, t;
    for (double at = first;;) {
        SW_TRY(try_at(w, at, &t));
        if (too_long(w->s, &t) || (before.alpha > 0 && t.value >= before.value))
            return zoom(w, before, t, alpha);
        if (flat(w->s, &t)) {
            *alpha = t.alpha;
            return SW_OK;
        }
        if (t.slope >= 0)
            return zoom(w, t, before, alpha);
        const double least = between(&before, &t, 1.1), most = 10 * t.alpha, best = cubic(&before, &t);
        at = !(best > t.alpha) || best > most ? most : best < least ? least : best;
        before = t;
    }
}

static double first_guess(const sw_search *s) {
    const double last = s->scalar[LAST];
    if (!(last > 0) || s->option[GUESS] == GUESS_LR)
        return s->initial;
    if (s->option[GUESS] == GUESS_LAST)
        return last;
    const double ratio = s->scalar[LAST_SLOPE] / s->slope; /* (3.60): as long a descent as the last */
    return last * (ratio > 10 ? 10 : ratio > 0.1 ? ratio : 0.1);
}

static sw_status search(sw_search *s, double *alpha) {
    work w = {s, (int)s->option[TRIALS]};
    SW_TRY(bracket(&w, first_guess(s), alpha));
    s->scalar[LAST] = *alpha;
    s->scalar[LAST_SLOPE] = s->slope;
    return SW_OK;
}

static sw_status check(const double *option) {
    return option[C1] < option[C2]
               ? SW_OK
               : sw_fail(SW_ERR_ARGUMENT, "wolfe: c1=%g must be below c2=%g", option[C1], option[C2]);
}

const sw_line_search swo_wolfe = {.size = sizeof(sw_line_search),
                                  .name = "wolfe",
                                  .summary = "strong Wolfe conditions: enough descent, a flat end",
                                  .source = "Nocedal, Wright 2006, algorithms 3.5 and 3.6",
                                  .options = options,
                                  .scalars = scalars,
                                  .cost = "1 gradient a trial",
                                  .search = search,
                                  .check = check};
