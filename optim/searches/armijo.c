/* Backtracking (Armijo 1966): the first α of α₀, s α₀, s² α₀, … with
 *     f(x + α d) ≤ f(x) + c α ⟨g, d⟩
 * α₀ is the rule's lr at first, then growth times the α taken last. A trial of Inf or NaN is too long. */
#include "optim/methods.h"

#include <math.h>

enum { C, SHRINK, GROWTH, TRIALS };
/* clang-format off */
static const sw_option options[] = {
    {.name = "c", .kind = SW_OPTION_REAL, .value = 1e-4, .low = 0, .high = 1,
     .open = SW_OPEN_LOW | SW_OPEN_HIGH, .help = "share of the promised descent"},
    {.name = "shrink", .kind = SW_OPTION_REAL, .value = 0.8, .low = 0, .high = 1,
     .open = SW_OPEN_LOW | SW_OPEN_HIGH, .help = "s, a trial over the one before"},
    {.name = "growth", .kind = SW_OPTION_REAL, .value = 1.5, .low = 1, .high = 1e3,
     .help = "next guess over the last step"},
    {.name = "trials", .kind = SW_OPTION_INTEGER, .value = 100, .low = 1, .high = 1e6,
     .help = "then the step is skipped"},
    {0}};
/* clang-format on */
static const char *const scalars[] = {"last", NULL}; /* α; 0: none yet */
enum { LAST };

static sw_status search(sw_search *s, double *alpha) {
    double a = s->scalar[LAST] > 0 ? s->option[GROWTH] * s->scalar[LAST] : s->initial;
    for (int i = 0; i < (int)s->option[TRIALS]; i++) {
        double value;
        SW_TRY(sw_search_eval(s, a, &value, NULL));
        if (isfinite(value) && value <= s->value + s->option[C] * a * s->slope) {
            *alpha = s->scalar[LAST] = a;
            return SW_OK;
        }
        a *= s->option[SHRINK];
    }
    return SW_SKIPPED;
}

const sw_line_search swo_armijo = {.size = sizeof(sw_line_search),
                                   .name = "armijo",
                                   .summary = "shrinks the step until the loss falls enough",
                                   .source = "Armijo 1966; Nocedal, Wright 2006, algorithm 3.1",
                                   .options = options,
                                   .scalars = scalars,
                                   .cost = "1 value a trial",
                                   .search = search};
