/* Initial values. The numbers of a method are its members a, b, c and d, which the comments below explain. */
#include <swale/extend.h>
#include <swale/init.h>

#include <math.h>

static sw_status init_refuse(const sw_init *init, const sw_param *param, const char *why) {
    return sw_fail(SW_ERR_ARGUMENT, "parameter %s: initial values %s: %s", param->name, init->name, why);
}

/* ---- Given numbers: a, b ---- */

static sw_status init_fill_constant(const sw_init *init, const sw_param *param, sw_rng *rng, double *out) {
    (void)rng;
    for (int64_t i = 0; i < param->count; i++)
        out[i] = init->a;
    return SW_OK;
}

static sw_status init_fill_normal(const sw_init *init, const sw_param *param, sw_rng *rng, double *out) {
    if (!isfinite(init->a) || !(init->b >= 0 && isfinite(init->b)))
        return init_refuse(init, param, "a finite mean and a standard deviation of 0 or more are needed");
    for (int64_t i = 0; i < param->count; i++)
        out[i] = init->a + init->b * sw_rng_normal(rng);
    return SW_OK;
}

static sw_status init_fill_uniform(const sw_init *init, const sw_param *param, sw_rng *rng, double *out) {
    if (!(init->a <= init->b && isfinite(init->a) && isfinite(init->b)))
        return init_refuse(init, param, "low must not be above high, and both are finite");
    for (int64_t i = 0; i < param->count; i++) {
        double u = sw_rng_uniform(rng), v = init->a * (1 - u) + init->b * u;
        out[i] = v < init->a ? init->a : v > init->b ? init->b : v; /* rounding can leave the interval */
    }
    return SW_OK;
}

sw_init sw_init_zeros(void) {
    return (sw_init){.size = sizeof(sw_init), .name = "zeros", .fill = init_fill_constant};
}

sw_init sw_init_constant(double value) {
    return (sw_init){.size = sizeof(sw_init), .name = "constant", .fill = init_fill_constant, .a = value};
}

sw_init sw_init_normal(double mean, double deviation) {
    return (sw_init){.size = sizeof(sw_init), .name = "normal", .fill = init_fill_normal, .a = mean, .b = deviation};
}

sw_init sw_init_uniform(double low, double high) {
    return (sw_init){.size = sizeof(sw_init), .name = "uniform", .fill = init_fill_uniform, .a = low, .b = high};
}

/* ---- The truncated normal distribution: mean a, deviation b, from c to d ---- */

/* P(low ≤ Z ≤ high) of the standard normal distribution. */
static double normal_mass(double low, double high) {
    return low > 0 ? (erfc(low / sqrt(2)) - erfc(high / sqrt(2))) / 2
                   : (erfc(-high / sqrt(2)) - erfc(-low / sqrt(2))) / 2;
}

/* Draws from the standard normal distribution within [low, high], |low| ≤ |high| and high > 0, by rejection from a
 * proposal that depends on the interval (Robert, Simulation of truncated normal variables, Statistics and Computing
 * 1995). More than one proposal in ten is accepted. */
typedef enum proposal { FROM_NORMAL, FROM_UNIFORM, FROM_EXPONENTIAL } proposal;

static proposal truncated_proposal(double low, double high) {
    if (normal_mass(low, high) >= 0.1)
        return FROM_NORMAL;
    /* On an interval wider than 2/low the density falls by a factor of at least e². On a narrower one the proposal is
     * uniform. */
    return low <= 0 || (high - low) * low <= 2 ? FROM_UNIFORM : FROM_EXPONENTIAL;
}

static double truncated_draw(proposal from, double low, double high, sw_rng *rng) {
    const double rate = (low + sqrt(low * low + 4)) / 2, nearest = low > 0 ? low : 0;
    for (;;) {
        double z, accept = 1;
        if (from == FROM_NORMAL) {
            z = sw_rng_normal(rng);
        } else if (from == FROM_UNIFORM) {
            z = low + (high - low) * sw_rng_uniform(rng);
            accept = exp((nearest - z) * (nearest + z) / 2);
        } else {
            z = low - log1p(-sw_rng_uniform(rng)) / rate;
            accept = exp(-(z - rate) * (z - rate) / 2);
        }
        if (z >= low && z <= high && (accept >= 1 || sw_rng_uniform(rng) < accept))
            return z;
    }
}

static sw_status init_fill_truncated_normal(const sw_init *init, const sw_param *param, sw_rng *rng, double *out) {
    const double mean = init->a, deviation = init->b;
    if (!isfinite(mean) || !(deviation > 0 && isfinite(deviation)))
        return init_refuse(init, param, "a finite mean and a standard deviation above 0 are needed");
    if (!(init->c < init->d))
        return init_refuse(init, param, "low must be below high");
    double low = (init->c - mean) / deviation, high = (init->d - mean) / deviation;
    if (!(low < high) || low > 1e6 || high < -1e6)
        return init_refuse(init, param, "the interval is too narrow, or a million deviations from the mean");
    const double sign = fabs(low) > fabs(high) ? -1 : 1;
    if (sign < 0) {
        double swap = low;
        low = -high;
        high = -swap;
    }
    const proposal from = truncated_proposal(low, high);
    for (int64_t i = 0; i < param->count; i++) {
        double v = mean + deviation * sign * truncated_draw(from, low, high, rng);
        out[i] = v < init->c ? init->c : v > init->d ? init->d : v; /* rounding can leave the interval */
    }
    return SW_OK;
}

sw_init sw_init_truncated_normal(double mean, double deviation, double low, double high) {
    return (sw_init){.size = sizeof(sw_init),
                     .name = "truncated_normal",
                     .fill = init_fill_truncated_normal,
                     .a = mean,
                     .b = deviation,
                     .c = low,
                     .d = high};
}

/* ---- Scaled by the number of inputs: gain a; b selects the number that divides the variance ---- */

enum { FAN_IN = 0, FAN_MEAN = 1 };

static sw_status init_deviation(const sw_init *init, const sw_param *param, double *deviation) {
    double in = (double)param->fan_in, out = (double)param->fan_out;
    double fan = init->b == FAN_IN ? in : (in + out) / 2;
    if (!(fan > 0))
        return init_refuse(init, param, "its fan_in is not known");
    if (!isfinite(init->a))
        return init_refuse(init, param, "the gain is not finite");
    *deviation = init->a / sqrt(fan);
    return SW_OK;
}

static sw_status init_fill_scaled_normal(const sw_init *init, const sw_param *param, sw_rng *rng, double *out) {
    double s = 0;
    SW_TRY(init_deviation(init, param, &s));
    for (int64_t i = 0; i < param->count; i++)
        out[i] = s * sw_rng_normal(rng);
    return SW_OK;
}

/* Uniform on [-√3 s, √3 s) has standard deviation s. */
static sw_status init_fill_scaled_uniform(const sw_init *init, const sw_param *param, sw_rng *rng, double *out) {
    double s = 0;
    SW_TRY(init_deviation(init, param, &s));
    double bound = sqrt(3) * s;
    for (int64_t i = 0; i < param->count; i++)
        out[i] = bound * (2 * sw_rng_uniform(rng) - 1);
    return SW_OK;
}

static sw_init init_scaled(const char *name, bool is_normal, double gain, double fan) {
    return (sw_init){.size = sizeof(sw_init),
                     .name = name,
                     .fill = is_normal ? init_fill_scaled_normal : init_fill_scaled_uniform,
                     .a = gain,
                     .b = fan};
}

sw_init sw_init_he_normal(double gain) {
    return init_scaled("he_normal", true, gain, FAN_IN);
}

sw_init sw_init_he_uniform(double gain) {
    return init_scaled("he_uniform", false, gain, FAN_IN);
}

sw_init sw_init_xavier_normal(double gain) {
    return init_scaled("xavier_normal", true, gain, FAN_MEAN);
}

sw_init sw_init_xavier_uniform(double gain) {
    return init_scaled("xavier_uniform", false, gain, FAN_MEAN);
}

sw_init sw_init_lecun_normal(void) {
    return init_scaled("lecun_normal", true, 1, FAN_IN);
}

sw_init sw_init_lecun_uniform(void) {
    return init_scaled("lecun_uniform", false, 1, FAN_IN);
}

/* √3 · (1/√3) / √fan_in: kaiming_uniform_(a=√5) has the gain √(2/(1 + 5)). */
sw_init sw_init_pytorch(void) {
    return init_scaled("pytorch", false, 1 / sqrt(3), FAN_IN);
}

/* ---- Orthogonal: gain a ---- */

/* Replaces `count` rows of normal numbers by orthonormal ones. Q of a normal matrix is uniform among all orthogonal
 * matrices, because the diagonal of R is positive (Mezzadri 2007). */
static sw_status init_orthonormalize(int64_t count, int64_t length, double *a) {
    void *work = sw_alloc_for(SW_ACCOUNT_TEMPORARIES, sw_orthonormalize_work(SW_F64, count));
    if (!work)
        return SW_ERR_MEMORY;
    const sw_status status = sw_orthonormalize(SW_F64, count, length, a, length, work, NULL);
    sw_free(work);
    return status;
}

static sw_status init_fill_orthogonal(const sw_init *init, const sw_param *param, sw_rng *rng, double *out) {
    if (param->rank < 2)
        return init_refuse(init, param, "two axes or more are needed");
    if (!isfinite(init->a))
        return init_refuse(init, param, "the gain is not finite");
    if (param->count == 0)
        return SW_OK;
    int64_t rows = param->shape[0], columns = param->count / rows;
    bool wide = rows <= columns; /* true: orthonormal rows; false: orthonormal columns */
    int64_t length = wide ? columns : rows, count = wide ? rows : columns;
    double *q = wide ? out : sw_alloc_array_for(SW_ACCOUNT_TEMPORARIES, param->count, sizeof *q);
    if (!q)
        return SW_ERR_MEMORY;
    for (int64_t i = 0; i < param->count; i++)
        q[i] = sw_rng_normal(rng);
    sw_status status = init_orthonormalize(count, length, q);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++)
            out[i * columns + j] = init->a * q[wide ? i * columns + j : j * rows + i];
    if (!wide)
        sw_free(q);
    return status;
}

sw_init sw_init_orthogonal(double gain) {
    return (sw_init){.size = sizeof(sw_init), .name = "orthogonal", .fill = init_fill_orthogonal, .a = gain};
}
