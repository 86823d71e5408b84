/* Rprop, resilient backpropagation (Riedmiller, Braun, ICNN 1993), as torch.optim.Rprop defines it: the sign of the
 * gradient gives the direction, and each element has its own step size δ, which grows while the sign stays and
 * shrinks when it changes. With δ = lr and g' = 0 at first:
 *     g g' > 0:   δ ← min(η+ δ, max_step)
 *     g g' < 0:   δ ← max(η- δ, min_step),  g ← 0
 *     θ ← θ - δ sign(g)                       sign(0) = 0
 *     g' ← g
 * δ stays between min_step and max_step. The learning rate is only the first δ, so that schedules of it act on the
 * first step alone. The signs of noisy gradients change at random, so that the rule needs full gradients (estimator
 * "full").
 */
#include <swale/kernel.h>
#include <swale/rule.h>

#if SW_KERNEL_FIRST
typedef struct rprop_options {
    double lr, eta_minus, eta_plus, min_step, max_step;
} rprop_options;
typedef struct rprop_slots {
    void *step_size, *previous;
} rprop_slots;
#endif

#if SW_KERNEL_PASS

/* A step size of 0 stands for the first one. Once it is set, it is at least min_step, which f32 can represent. */
static void SW_K(rprop)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    const rprop_options *o = SW_STEP_OPTIONS(s, rprop_options);
    const rprop_slots *slots = SW_STEP_SLOTS(s, rprop_slots);
    real *restrict x = s->x, *restrict step_size = slots->step_size, *restrict previous = slots->previous;
    const real *restrict gradient = s->g;
    const real lr = (real)o->lr, shrink = (real)o->eta_minus, grow = (real)o->eta_plus, least = (real)o->min_step,
               most = (real)o->max_step;
    (void)sums;
    for (int64_t i = begin; i < end; i++) {
        const real g = gradient[i], before = previous[i], delta = step_size[i] > 0 ? step_size[i] : lr,
                   sign = (real)(g > 0) - (real)(g < 0), agrees = sign * ((real)(before > 0) - (real)(before < 0)),
                   scaled = delta * (agrees > 0   ? grow
                                     : agrees < 0 ? shrink
                                                  : 1),
                   raised = scaled > least ? scaled : least, kept = raised < most ? raised : most;
        step_size[i] = kept;
        previous[i] = agrees < 0 ? 0 : g;
        x[i] -= agrees < 0 ? 0 : kept * sign;
    }
}

#else

static const sw_kernels rprop_kernels = SW_KERNEL_TABLE(rprop);

static sw_status rprop_check(const double *option) {
    const rprop_options *o = SW_OPTIONS_AS(option, rprop_options);
    return o->min_step <= o->max_step
               ? SW_OK
               : sw_fail(SW_ERR_ARGUMENT, "rule rprop: min_step = %g is above max_step = %g", o->min_step, o->max_step);
}

/* Each element moves by at most its step size. */
static void rprop_reach(const sw_step *s, sw_bounds *b) {
    const rprop_options *o = SW_STEP_OPTIONS(s, rprop_options);
    const double n = sqrt((double)b->count);
    double *step_size = &SW_SLOT_BOUND(b, rprop_slots, step_size);
    *step_size = fmin(fmax(o->eta_plus * (*step_size + n * o->lr), n * o->min_step), n * o->max_step);
    SW_SLOT_BOUND(b, rprop_slots, previous) = b->g;
    b->largest += o->lr + o->eta_plus * o->max_step;
    b->x += *step_size;
}

/* clang-format off */
static const sw_option rprop_option_table[] = {
    {.name = "lr", .value = 0.01, .low = 0, .high = 1e6, .help = "the first step size of each element",
     .search_low = 1e-4, .search_high = 1, .search_log = true},
    {.name = "eta_minus", .value = 0.5, .low = 0, .high = 1, .open = SW_OPEN_LOW | SW_OPEN_HIGH,
     .help = "η-, factor of the step size when the gradient changes its sign", .search_low = 0.3, .search_high = 0.9},
    {.name = "eta_plus", .value = 1.2, .low = 1, .high = 1e3, .open = SW_OPEN_LOW,
     .help = "η+, factor of the step size while the sign stays", .search_low = 1.05, .search_high = 2},
    {.name = "min_step", .value = 1e-6, .low = 1e-30, .high = 1e6, .help = "smallest step size"},
    {.name = "max_step", .value = 50, .low = 0, .high = 1e6, .open = SW_OPEN_LOW, .help = "largest step size"},
    {0}};
/* clang-format on */
static const sw_slot rprop_slot_table[] = {{.name = "step_size"}, {.name = "previous"}, {0}};
SW_MATCH_OPTIONS(rprop_options, rprop_option_table);
SW_MATCH_SLOTS(rprop_slots, rprop_slot_table);

const sw_rule swo_rprop = {.size = sizeof(sw_rule),
                           .name = "rprop",
                           .summary = "steps by the sign of the gradient, with a step size for each element",
                           .source = "Riedmiller, Braun, ICNN 1993",
                           .options = rprop_option_table,
                           .slots = rprop_slot_table,
                           .check = rprop_check,
                           .update = &rprop_kernels,
                           .reach = rprop_reach};

#endif
