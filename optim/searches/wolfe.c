/* Strong Wolfe conditions (J. Nocedal, S. Wright, Numerical Optimization, 2006, algorithms 3.5 and 3.6):
 *     f(x + α d) ≤ f(x) + c1 α ⟨g, d⟩   and   |⟨∇f(x + α d), d⟩| ≤ c2 |⟨g, d⟩|
 * Near a minimum, changes of f are smaller than its rounding errors. With the option noise, the slopes decide there:
 * the approximate Wolfe conditions of W. Hager, H. Zhang, A new conjugate gradient method with guaranteed descent and
 * an efficient line search, SIAM Journal on Optimization 16, 2005.
 *
 * Trials grow until an interval between two of them contains an acceptable step. Then the interval shrinks: the next
 * trial is the minimizer of the cubic through the values and slopes at its ends. */
#include <swale/line_search.h>

#include <math.h>

typedef struct wolfe_options {
    double c1, c2, guess, trials, noise;
} wolfe_options;
typedef struct wolfe_scalars {
    double last, slope; /* α and ⟨g, d⟩ of the previous step */
} wolfe_scalars;
enum { GUESS_SLOPE, GUESS_LAST, GUESS_LR };
/* clang-format off */
static const sw_option wolfe_option_table[] = {
    {.name = "c1", .kind = SW_OPTION_REAL, .value = 1e-4, .low = 0, .high = 1,
     .open = SW_OPEN_LOW | SW_OPEN_HIGH, .help = "c1, the required fraction of the predicted descent"},
    {.name = "c2", .kind = SW_OPTION_REAL, .value = 0.9, .low = 0, .high = 1,
     .open = SW_OPEN_LOW | SW_OPEN_HIGH, .help = "c2, the allowed fraction of the slope; above c1"},
    {.name = "guess", .kind = SW_OPTION_CHOICE, .value = GUESS_SLOPE, .choices = "slope|last|lr",
     .help = "first trial: the last step times the ratio of the last slope to this one; the last step; the rule's lr "
             "(for Newton directions)"},
    {.name = "trials", .kind = SW_OPTION_INTEGER, .value = 50, .low = 1, .high = 1e6,
     .help = "largest number of trials; after that the step is skipped"},
    {.name = "noise", .value = 0, .low = 0, .high = 1e-2,
     .help = "relative rounding error of f, for example 1e-15; if values differ by less, slopes alone decide"},
    {0}};
/* clang-format on */
static const char *const wolfe_scalar_names[] = {"last", "slope", NULL};
SW_MATCH_OPTIONS(wolfe_options, wolfe_option_table);
SW_MATCH_SCALARS(wolfe_scalars, wolfe_scalar_names);

typedef struct wolfe_trial {
    double alpha, value, slope;
} wolfe_trial;

typedef struct wolfe_work {
    sw_search *s;
    const wolfe_options *o;
    int trials_left;
} wolfe_work;

/* SW_SKIPPED: all trials are used up. */
static sw_status wolfe_try(wolfe_work *w, double alpha, wolfe_trial *t) {
    if (w->trials_left-- == 0)
        return SW_SKIPPED;
    t->alpha = alpha;
    return sw_search_eval(w->s, alpha, &t->value, &t->slope);
}

static bool wolfe_finite(const wolfe_trial *t) {
    return isfinite(t->value) && isfinite(t->slope);
}

/* Whether the two values differ by no more than the rounding error of f. */
static bool wolfe_within_noise(const wolfe_work *w, double a, double b) {
    return w->o->noise > 0 && fabs(a - b) <= w->o->noise * fabs(w->s->value);
}

/* Whether the first condition is violated. If the values differ only by noise, it is checked as f'(α) ≤ (2 c1 - 1)
 * f'(0), which is equivalent for a quadratic and needs no values. */
static bool wolfe_too_long(const wolfe_work *w, const wolfe_trial *t) {
    const sw_search *s = w->s;
    if (!wolfe_finite(t))
        return true;
    if (t->value <= s->value + w->o->c1 * t->alpha * s->slope)
        return false;
    return !(wolfe_within_noise(w, t->value, s->value) && t->slope <= (2 * w->o->c1 - 1) * s->slope);
}

static bool wolfe_higher(const wolfe_work *w, const wolfe_trial *t, const wolfe_trial *than) {
    return t->value >= than->value && !wolfe_within_noise(w, t->value, than->value);
}

/* Whether the second condition holds. */
static bool wolfe_flat(const wolfe_work *w, const wolfe_trial *t) {
    return fabs(t->slope) <= -w->o->c2 * w->s->slope;
}

/* The minimizer of the cubic through the values and slopes of both trials (3.59); NaN if there is none. */
static double wolfe_cubic(const wolfe_trial *a, const wolfe_trial *b) {
    const double d1 = a->slope + b->slope - 3 * (a->value - b->value) / (a->alpha - b->alpha);
    const double d2 = copysign(sqrt(d1 * d1 - a->slope * b->slope), b->alpha - a->alpha);
    return b->alpha - (b->alpha - a->alpha) * ((b->slope + d2 - d1) / (b->slope - a->slope + 2 * d2));
}

/* The α at the fraction `part` of the interval from a to b. */
static double wolfe_between(const wolfe_trial *a, const wolfe_trial *b, double part) {
    return a->alpha + part * (b->alpha - a->alpha);
}

/* The next trial inside an interval: usually the minimizer of the cubic, at some distance from the ends. If the values
 * differ only by noise, it is the zero of the slopes; if the previous trial has not halved the interval, the middle; if
 * the values at `high` are not finite, a point close to `low`. */
static double wolfe_inside(const wolfe_work *w, const wolfe_trial *low, const wolfe_trial *high, double before) {
    if (!wolfe_finite(high))
        return wolfe_between(low, high, 0.1);
    double part = wolfe_within_noise(w, low->value, high->value)
                      ? low->slope / (low->slope - high->slope)
                      : (wolfe_cubic(low, high) - low->alpha) / (high->alpha - low->alpha);
    if (!(part > 0 && part < 1) || fabs(high->alpha - low->alpha) > 0.5 * before)
        part = 0.5;
    return wolfe_between(low, high, part < 0.1 ? 0.1 : part > 0.9 ? 0.9 : part);
}

/* Algorithm 3.6. `low` is the trial of least value that satisfies the first condition; f decreases from it toward
 * `high`. */
static sw_status wolfe_zoom(wolfe_work *w, wolfe_trial low, wolfe_trial high, double *alpha) {
    for (double before = INFINITY;;) {
        wolfe_trial t;
        const double width = fabs(high.alpha - low.alpha), at = wolfe_inside(w, &low, &high, before);
        if (at == low.alpha || at == high.alpha)
            return SW_SKIPPED; /* there is no number between the ends */
        before = width;
        SW_TRY(wolfe_try(w, at, &t));
        if (!wolfe_too_long(w, &t) && !wolfe_higher(w, &t, &low) && wolfe_flat(w, &t)) {
            *alpha = t.alpha;
            return SW_OK;
        }
        if (wolfe_finite(&t) && wolfe_within_noise(w, t.value, w->s->value)) { /* the slope decides which end it
                                                                                * replaces */
            *((t.slope < 0) == (low.alpha < high.alpha) ? &low : &high) = t;
        } else if (wolfe_too_long(w, &t) || wolfe_higher(w, &t, &low)) {
            high = t;
        } else {
            if (t.slope * (high.alpha - low.alpha) >= 0)
                high = low;
            low = t;
        }
    }
}

/* Algorithm 3.5. */
static sw_status wolfe_bracket(wolfe_work *w, double first, double *alpha) {
    wolfe_trial before = {0, w->s->value, w->s->slope}, t;
    for (double at = first;;) {
        SW_TRY(wolfe_try(w, at, &t));
        if (wolfe_too_long(w, &t) || (before.alpha > 0 && wolfe_higher(w, &t, &before)))
            return wolfe_zoom(w, before, t, alpha);
        if (wolfe_flat(w, &t)) {
            *alpha = t.alpha;
            return SW_OK;
        }
        if (t.slope >= 0)
            return wolfe_zoom(w, t, before, alpha);
        const double least = wolfe_between(&before, &t, 1.1), most = 10 * t.alpha, best = wolfe_cubic(&before, &t);
        at = !(best > t.alpha) || best > most ? most : best < least ? least : best;
        before = t;
    }
}

static double wolfe_first_guess(const sw_search *s) {
    const wolfe_options *o = SW_OPTIONS_AS(s->option, wolfe_options);
    const wolfe_scalars *scalars = SW_SCALARS_AS(s->scalar, wolfe_scalars);
    const double last = scalars->last;
    if (!(last > 0) || o->guess == GUESS_LR)
        return s->initial;
    if (o->guess == GUESS_LAST)
        return last;
    const double ratio =
        scalars->slope / s->slope; /* (3.60): the same first-order change of f as in the previous step */
    return last * (ratio > 10 ? 10 : ratio > 0.1 ? ratio : 0.1);
}

static sw_status wolfe_search(sw_search *s, double *alpha) {
    const wolfe_options *o = SW_OPTIONS_AS(s->option, wolfe_options);
    wolfe_scalars *scalars = SW_SCALARS_AS(s->scalar, wolfe_scalars);
    wolfe_work w = {s, o, (int)o->trials};
    SW_TRY(wolfe_bracket(&w, wolfe_first_guess(s), alpha));
    scalars->last = *alpha;
    scalars->slope = s->slope;
    return SW_OK;
}

static sw_status wolfe_check(const double *option) {
    const wolfe_options *o = SW_OPTIONS_AS(option, wolfe_options);
    return o->c1 < o->c2 ? SW_OK : sw_fail(SW_ERR_ARGUMENT, "wolfe: c1=%g must be below c2=%g", o->c1, o->c2);
}

const sw_line_search swo_wolfe = {.size = sizeof(sw_line_search),
                                  .name = "wolfe",
                                  .summary = "strong Wolfe conditions: enough descent and a small slope",
                                  .source = "Nocedal, Wright 2006, algorithms 3.5 and 3.6",
                                  .options = wolfe_option_table,
                                  .scalars = wolfe_scalar_names,
                                  .cost = "1 gradient per trial",
                                  .search = wolfe_search,
                                  .check = wolfe_check};
