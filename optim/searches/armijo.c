/* Backtracking (Armijo 1966): the first α of α₀, s α₀, s² α₀, … with
 *     f(x + α d) ≤ f(x) + c α ⟨g, d⟩
 * α₀ is the rule's lr in the first step, then growth times the last accepted α. A trial with Inf or NaN is rejected. */
#include <swale/line_search.h>

#include <math.h>

typedef struct armijo_options {
    double c, shrink, growth, trials;
} armijo_options;
typedef struct armijo_scalars {
    double last; /* the last accepted α; 0: none yet */
} armijo_scalars;

/* clang-format off */
static const sw_option armijo_option_table[] = {
    {.name = "c", .kind = SW_OPTION_REAL, .value = 1e-4, .low = 0, .high = 1,
     .open = SW_OPEN_LOW | SW_OPEN_HIGH, .help = "c, the required fraction of the predicted descent"},
    {.name = "shrink", .kind = SW_OPTION_REAL, .value = 0.8, .low = 0, .high = 1,
     .open = SW_OPEN_LOW | SW_OPEN_HIGH, .help = "s, the ratio of successive trials"},
    {.name = "growth", .kind = SW_OPTION_REAL, .value = 1.5, .low = 1, .high = 1e3,
     .help = "ratio of the next first trial to the last step"},
    {.name = "trials", .kind = SW_OPTION_INTEGER, .value = 100, .low = 1, .high = 1e6,
     .help = "largest number of trials; after that the step is skipped"},
    {0}};
/* clang-format on */
static const char *const armijo_scalar_names[] = {"last", NULL};
SW_MATCH_OPTIONS(armijo_options, armijo_option_table);
SW_MATCH_SCALARS(armijo_scalars, armijo_scalar_names);

static sw_status armijo_search(sw_search *s, double *alpha) {
    const armijo_options *o = SW_OPTIONS_AS(s->option, armijo_options);
    armijo_scalars *scalars = SW_SCALARS_AS(s->scalar, armijo_scalars);
    double trial = scalars->last > 0 ? o->growth * scalars->last : s->initial;
    for (int i = 0; i < (int)o->trials; i++) {
        double value;
        SW_TRY(sw_search_eval(s, trial, &value, NULL));
        if (isfinite(value) && value <= s->value + o->c * trial * s->slope) {
            *alpha = scalars->last = trial;
            return SW_OK;
        }
        trial *= o->shrink;
    }
    return SW_SKIPPED;
}

const sw_line_search swo_armijo = {.size = sizeof(sw_line_search),
                                   .name = "armijo",
                                   .summary = "shortens the step until the loss decreases enough",
                                   .source = "Armijo 1966; Nocedal, Wright 2006, algorithm 3.1",
                                   .options = armijo_option_table,
                                   .scalars = armijo_scalar_names,
                                   .cost = "1 value per trial",
                                   .search = armijo_search};
