/* Schedules of triangles: repeated (L. Smith, Cyclical learning rates, WACV 2017), or one (Smith, Topin,
 * Super-convergence, 2019). The factor is 1 at the top. */
#include <swale/schedule.h>

#include <math.h>

/* ---- From low to 1 in `up` steps and back in `down`; with the heights of torch.optim.lr_scheduler.CyclicLR ---- */

typedef struct cyclic_options {
    double low, up, down, height, gamma;
} cyclic_options;
enum { HEIGHT_TRIANGULAR, HEIGHT_TRIANGULAR2, HEIGHT_EXP_RANGE };
/* clang-format off */
static const sw_option cyclic_option_table[] = {
    {.name = "low", .kind = SW_OPTION_REAL, .value = 0.25, .low = 0, .high = 1,
     .help = "the smallest factor"},
    {.name = "up", .kind = SW_OPTION_DURATION, .value = 5, .unit = '%', .open = SW_OPEN_LOW,
     .help = "duration of the rise"},
    {.name = "down", .kind = SW_OPTION_DURATION, .value = 0, .help = "duration of the fall; 0: the same as up"},
    {.name = "height", .kind = SW_OPTION_CHOICE, .value = HEIGHT_TRIANGULAR,
     .choices = "triangular|triangular2|exp_range",
     .help = "heights of the triangles: equal, halved after each triangle, or gamma^t"},
    {.name = "gamma", .kind = SW_OPTION_REAL, .value = 0.9999, .low = 0, .high = 1, .open = SW_OPEN_LOW,
     .help = "the base for height=exp_range"},
    {0}};
/* clang-format on */
SW_MATCH_OPTIONS(cyclic_options, cyclic_option_table);

static double cyclic_factor(const double *option, double t, double total) {
    (void)total;
    const cyclic_options *o = SW_OPTIONS_AS(option, cyclic_options);
    const double up = o->up, down = o->down > 0 ? o->down : up, length = up + down;
    const double cycle = sw_duration_periods(t, length), u = fmax(t - cycle * length, 0);
    const double triangle = u <= up ? u / up : (length - u) / down;
    const int height = (int)o->height;
    const double scale = height == HEIGHT_TRIANGULAR2 ? ldexp(1, -(int)fmin(cycle, 1100))
                         : height == HEIGHT_EXP_RANGE ? pow(o->gamma, t)
                                                      : 1;
    return o->low + (1 - o->low) * triangle * scale;
}

const sw_schedule swo_cyclic = {.size = sizeof(sw_schedule),
                                .name = "cyclic",
                                .summary = "triangles between low and 1",
                                .source = "Smith, WACV 2017",
                                .options = cyclic_option_table,
                                .factor = cyclic_factor};

/* ---- From 1/div to 1, then to 1/(div·final_div); phases end at the steps of torch.optim.lr_scheduler.OneCycleLR
 * ---- */

typedef struct one_cycle_options {
    double rise, div, final_div, shape, phases;
} one_cycle_options;
/* clang-format off */
static const sw_option one_cycle_option_table[] = {
    {.name = "rise", .kind = SW_OPTION_REAL, .value = 0.3, .low = 0, .high = 1,
     .help = "fraction of the run in which the factor rises"},
    {.name = "div", .kind = SW_OPTION_REAL, .value = 25, .low = 0, .high = 1e12, .open = SW_OPEN_LOW,
     .help = "1/div is the factor at the start"},
    {.name = "final_div", .kind = SW_OPTION_REAL, .value = 1e4, .low = 0, .high = 1e12,
     .open = SW_OPEN_LOW, .help = "1/(div·final_div) is the factor at the end"},
    {.name = "shape", .kind = SW_OPTION_CHOICE, .value = 0, .choices = "cosine|linear",
     .help = "shape of the rise and the fall"},
    {.name = "phases", .kind = SW_OPTION_INTEGER, .value = 2, .low = 2, .high = 3,
     .help = "3: a fall as long as the rise, and then one to the end"},
    {0}};
/* clang-format on */
SW_MATCH_OPTIONS(one_cycle_options, one_cycle_option_table);

static double one_cycle_leg(double from, double to, double part, bool line) {
    part = part < 0 ? 0 : part < 1 ? part : 1;
    return line ? from + (to - from) * part : to + (from - to) * 0.5 * (1 + cos(3.14159265358979323846 * part));
}

static double one_cycle_factor(const double *option, double t, double total) {
    const one_cycle_options *o = SW_OPTIONS_AS(option, one_cycle_options);
    const double first = 1 / o->div, last = first / o->final_div, top = o->rise * total;
    const bool three = o->phases == 3;
    /* The last step is total - 1: each phase therefore ends one step earlier. */
    const double end[3] = {top - 1, three ? 2 * top - 2 : total - 1, total - 1};
    const double value[4] = {first, 1, three ? first : last, last};
    double begin = 0;
    for (int i = 0; i < 3; i++) {
        if (t <= end[i] && end[i] > begin)
            return one_cycle_leg(value[i], value[i + 1], (t - begin) / (end[i] - begin), o->shape != 0);
        begin = end[i];
    }
    return last;
}

const sw_schedule swo_one_cycle = {.size = sizeof(sw_schedule),
                                   .name = "one_cycle",
                                   .summary = "one rise and one long fall",
                                   .source = "Smith, Topin 2019",
                                   .options = one_cycle_option_table,
                                   .factor = one_cycle_factor,
                                   .needs_total = true};
