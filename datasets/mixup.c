/* Mixup. See mixup.h. */
#include "datasets/mixup.h"

#include <swale/extend.h>

#include "datasets/sample_size.h"

#include <math.h>
#include <string.h>

/* ---- Random numbers ---- */

/* A number with the distribution Gamma(alpha, 1), alpha ≥ 1 (Marsaglia, Tsang 2000). */
static double mixup_gamma_above_1(sw_rng *rng, double alpha) {
    const double d = alpha - 1.0 / 3, c = 1 / sqrt(9 * d);
    for (;;) {
        const double z = sw_rng_normal(rng), root = 1 + c * z, v = root * root * root, u = 1 - sw_rng_uniform(rng);
        if (root > 0 && log(u) < 0.5 * z * z + d - d * v + d * log(v))
            return d * v;
    }
}

/* The logarithm of a number with the distribution Gamma(alpha, 1): for a small alpha the number itself underflows. For
 * alpha < 1 it is G·U^(1/alpha) with G from Gamma(alpha + 1, 1) and U uniform in (0, 1]. */
static double mixup_log_gamma(sw_rng *rng, double alpha) {
    if (alpha >= 1)
        return log(mixup_gamma_above_1(rng, alpha));
    const double g = log(mixup_gamma_above_1(rng, alpha + 1));
    return g + log(1 - sw_rng_uniform(rng)) / alpha;
}

/* A/(A + B) with independent A and B from Gamma(alpha, 1) has the distribution Beta(alpha, alpha). */
static double mixup_beta(sw_rng *rng, double alpha) {
    const double a = mixup_log_gamma(rng, alpha), b = mixup_log_gamma(rng, alpha);
    return 1 / (1 + exp(b - a));
}

swd_mixture swd_mixup_draw(const swd_mixup *m, int64_t id, uint64_t draw) {
    const uint32_t counter[4] = {(uint32_t)id, (uint32_t)((uint64_t)id >> 32), (uint32_t)draw, (uint32_t)(draw >> 32)};
    uint32_t word[4];
    sw_philox(m->key, counter, word);
    sw_rng rng = {.key = (uint64_t)word[0] << 32 | word[1]};
    const int64_t partner = (int64_t)sw_rng_below(&rng, (uint64_t)m->inner->n);
    return (swd_mixture){.partner = partner, .weight = mixup_beta(&rng, m->alpha)};
}

/* ---- Samples and targets ---- */

void swd_mixup_combine(sw_dtype type, double weight, int64_t count, void *a, const void *b) {
    sw_vector_axpby(type, count, weight, a, 1 - weight, b, a);
}

sw_status swd_mixup_set_targets(sw_source *out) {
    if (out->y_rank < 0 || out->y_type != SW_I32)
        return SW_OK;
    if (out->y_rank != 0 || out->classes < 1)
        return sw_fail(
            SW_ERR_SHAPE,
            "augment: mixup of class ids %s with %d classes; one id for each sample and the number of classes "
            "are needed",
            sw_shape_text(out->y_rank, out->y_shape), out->classes);
    out->y_rank = 1;
    out->y_shape[0] = out->classes;
    out->y_type = SW_F64;
    out->classes = 0;
    out->class_names = NULL;
    return SW_OK;
}

/* Adds `weight` to the element of a sample's class. */
static sw_status mixup_add_class(const swd_mixup *m, int64_t id, uint64_t draw, sw_dtype type, double weight, void *y) {
    int32_t class;
    SW_TRY(m->inner->gather(m->inner, &id, 1, draw, type, NULL, &class));
    if (class < 0 || class >= m->inner->classes)
        return sw_fail(SW_ERR_ARGUMENT, "augment: mixup of sample %lld: its class id is %d, outside 0 to %d",
                       (long long)id, (int)class, m->inner->classes - 1);
    sw_store_element(type, y, class, sw_load_element(type, y, class) + weight);
    return SW_OK;
}

sw_status swd_mixup_target(const swd_mixup *m, int64_t id, uint64_t draw, sw_dtype type, void *y, void *other) {
    const sw_source *inner = m->inner;
    const swd_mixture mix = swd_mixup_draw(m, id, draw);
    if (inner->y_type == SW_I32) {
        memset(y, 0, (size_t)inner->classes * sw_dtype_size(type));
        SW_TRY(mixup_add_class(m, id, draw, type, mix.weight, y));
        return mixup_add_class(m, mix.partner, draw, type, 1 - mix.weight, y);
    }
    SW_TRY(inner->gather(inner, &id, 1, draw, type, NULL, y));
    SW_TRY(inner->gather(inner, &mix.partner, 1, draw, type, NULL, other));
    swd_mixup_combine(type, mix.weight, swd_target_bytes(inner, type) / (int64_t)sw_dtype_size(type), y, other);
    return SW_OK;
}
