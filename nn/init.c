/* Initial values. `a` is the gain, `b` chooses what the variance is divided by. */
#include "internal.h"

#include <math.h>

enum { FAN_IN = 0, FAN_MEAN = 1 };

static double deviation(const sw_init *init, const sw_param *param) {
    double in = (double)param->fan_in, out = (double)param->fan_out;
    double fan = init->b == FAN_IN ? in : (in + out) / 2;
    return fan > 0 ? init->a / sqrt(fan) : 0;
}

static void normal(const sw_init *init, const sw_param *param, sw_rng *rng, double *out) {
    double s = deviation(init, param);
    for (int64_t i = 0; i < param->count; i++)
        out[i] = s * sw_rng_normal(rng);
}

/* Uniform on [-√3 s, √3 s) has standard deviation s. */
static void uniform(const sw_init *init, const sw_param *param, sw_rng *rng, double *out) {
    double bound = sqrt(3) * deviation(init, param);
    for (int64_t i = 0; i < param->count; i++)
        out[i] = bound * (2 * sw_rng_uniform(rng) - 1);
}

static void zeros(const sw_init *init, const sw_param *param, sw_rng *rng, double *out) {
    (void)init, (void)rng;
    for (int64_t i = 0; i < param->count; i++)
        out[i] = 0;
}

sw_init sw_init_he_normal(double gain) {
    return (sw_init){sizeof(sw_init), "he_normal", normal, gain, FAN_IN};
}

sw_init sw_init_he_uniform(double gain) {
    return (sw_init){sizeof(sw_init), "he_uniform", uniform, gain, FAN_IN};
}

sw_init sw_init_xavier_normal(double gain) {
    return (sw_init){sizeof(sw_init), "xavier_normal", normal, gain, FAN_MEAN};
}

sw_init sw_init_xavier_uniform(double gain) {
    return (sw_init){sizeof(sw_init), "xavier_uniform", uniform, gain, FAN_MEAN};
}

sw_init sw_init_zeros(void) {
    return (sw_init){sizeof(sw_init), "zeros", zeros, 0, 0};
}
