/* Loops over one sample of a generalized linear model (sw_glm_data in objective.h), for kernels: the inner product of
 * its row with a vector, the loss, and the derivatives of the loss by the predictions. All levels give the same bits.
 * Include this header after kernel.h, at the top of the file (not inside `#if SW_KERNEL_PASS`). */

#ifndef SWALE_KERNEL_GLM_H
#define SWALE_KERNEL_GLM_H
#include <swale/objective.h>
enum { SW_GLM_NARROW = 8 }; /* partial sums for the elements after the last whole SW_LANES */
#endif

#if SW_KERNEL_PASS

/* ⟨a, x⟩ for n elements */
static inline real SW_K(glm_dot)(const real *restrict a, const real *restrict x, int64_t n) {
    real narrow[SW_GLM_NARROW] = {0};
    int64_t i = 0;
    if (n >= SW_LANES) {
        real lane[SW_LANES] = {0};
        for (; i + SW_LANES <= n; i += SW_LANES) {
            SW_OVER_LANES
            for (int j = 0; j < SW_LANES; j++)
                lane[j] += a[i + j] * x[i + j];
        }
        for (int j = 0; j < SW_GLM_NARROW; j++)
            narrow[j] = (lane[j] + lane[j + 8]) + (lane[j + 16] + lane[j + 24]);
    }
    for (; i + SW_GLM_NARROW <= n; i += SW_GLM_NARROW)
        for (int j = 0; j < SW_GLM_NARROW; j++)
            narrow[j] += a[i + j] * x[i + j];
    for (int j = 0; i < n; i++, j++)
        narrow[j] += a[i] * x[i];
    return ((narrow[0] + narrow[4]) + (narrow[1] + narrow[5])) + ((narrow[2] + narrow[6]) + (narrow[3] + narrow[7]));
}

/* ⟨a, x⟩ for a sparse row a with `count` stored elements: a[k] is in column index[k] */
static inline real SW_K(glm_dot_sparse)(const real *restrict a, const int32_t *restrict index, int64_t count,
                                        const real *restrict x) {
    real narrow[4] = {0};
    int64_t k = 0;
    for (; k + 4 <= count; k += 4)
        for (int j = 0; j < 4; j++)
            narrow[j] += a[k + j] * x[index[k + j]];
    for (int j = 0; k < count; k++, j++)
        narrow[j] += a[k] * x[index[k]];
    return (narrow[0] + narrow[2]) + (narrow[1] + narrow[3]);
}

/* The predictions z[k] = ⟨a_i, W_k⟩ + b_k (without b_k if the model has no bias) of sample i at the parameters x */
static inline void SW_K(glm_predict)(const sw_objective *f, const real *x, int64_t i, real *z) {
    const sw_glm_data *data = f->glm;
    const int64_t d = f->features, outputs = f->outputs;
    const real *bias = x + outputs * d;
    for (int64_t k = 0; k < outputs; k++) {
        if (data->sparse) {
            const int64_t first = data->sparse->start[i], count = data->sparse->start[i + 1] - first;
            z[k] = SW_K(glm_dot_sparse)((const real *)data->sparse->value + first, data->sparse->index + first, count,
                                        x + k * d);
        } else {
            z[k] = SW_K(glm_dot)((const real *)data->dense + i * d, x + k * d, d);
        }
        if (f->bias)
            z[k] += bias[k];
    }
}

/* The losses of one output. Each returns the loss l(z, y) and sets *s = ∂l/∂z.
 *
 * log(1 + e^z) - y z, y = 1 if `one`, else 0 */
static inline real SW_K(glm_logistic)(real z, bool one, real *s) {
    const real size = z < 0 ? -z : z, e = SW_K(sw_k_exp)(-size), inverse = 1 / (1 + e);
    const real small = e * inverse;
    *s = one ? -(z < 0 ? inverse : small) : z < 0 ? small : inverse;
    const real against = one ? -z : z;
    return (against > 0 ? against : 0) + SW_K(sw_k_log1p)(e);
}

/* ½ (z - y)² */
static inline double SW_K(glm_squared)(real z, real y, real *s) {
    *s = z - y;
    return 0.5 * (double)*s * (double)*s; /* in f64: a square can overflow in f32 when the derivative does not */
}

/* ½ r² for |r| ≤ δ, else δ (|r| - ½ δ); r = z - y */
static inline real SW_K(glm_huber)(real z, real y, real delta, real *s) {
    const real r = z - y, size = r < 0 ? -r : r;
    const bool inside = size <= delta;
    *s = inside ? r : r < 0 ? -delta : delta;
    return inside ? SW_R(0.5) * r * r : delta * (size - SW_R(0.5) * delta);
}

/* max(0, 1 - z)² if `one`, else max(0, 1 + z)² */
static inline double SW_K(glm_squared_hinge)(real z, bool one, real *s) {
    const real margin = one ? 1 - z : 1 + z, short_of = margin > 0 ? margin : 0;
    *s = one ? -2 * short_of : 2 * short_of;
    return (double)short_of * (double)short_of;
}

/* e^z - y z */
static inline real SW_K(glm_poisson)(real z, real y, real *s) {
    const real e = SW_K(sw_k_exp)(z);
    *s = e - y;
    return e - y * z;
}

/* log Σ_k e^(z_k) - z_y for a class id y; s = softmax(z) - onehot(y), both [outputs] */
static inline real SW_K(glm_multinomial)(const real *z, int64_t outputs, int64_t y, real *s) {
    real top = z[0], total = 0;
    for (int64_t k = 1; k < outputs; k++)
        top = z[k] > top ? z[k] : top;
    for (int64_t k = 0; k < outputs; k++)
        s[k] = SW_K(sw_k_exp)(z[k] - top); /* the argument is at most 0, so that exp cannot overflow */
    for (int64_t k = 0; k < outputs; k++)
        total += s[k];
    const real loss = SW_K(sw_k_log)(total) - (z[y] - top);
    for (int64_t k = 0; k < outputs; k++)
        s[k] /= total;
    s[y] -= 1;
    return loss;
}

/* Returns the loss f_i of sample i with predictions z [outputs] and sets s[k] = ∂f_i/∂z_k. Both include the weight of
 * the sample and the scale of the model. */
static inline double SW_K(glm_head)(const sw_objective *f, int64_t i, const real *z, real *s) {
    const sw_glm_data *data = f->glm;
    const int64_t outputs = f->outputs;
    const real *target = data->target ? (const real *)data->target + i * outputs : NULL;
    const double factor = data->scale * (data->weight ? data->weight[i] : 1);
    double loss = 0;
    switch (data->head) {
    case SW_HEAD_LOGISTIC: loss = (double)SW_K(glm_logistic)(z[0], data->label[i] == 1, s); break;
    case SW_HEAD_MULTINOMIAL: loss = (double)SW_K(glm_multinomial)(z, outputs, data->label[i], s); break;
    case SW_HEAD_SQUARED_HINGE: loss = SW_K(glm_squared_hinge)(z[0], data->label[i] == 1, s); break;
    case SW_HEAD_SQUARED:
        for (int64_t k = 0; k < outputs; k++)
            loss += SW_K(glm_squared)(z[k], target[k], &s[k]);
        break;
    case SW_HEAD_HUBER:
        for (int64_t k = 0; k < outputs; k++)
            loss += (double)SW_K(glm_huber)(z[k], target[k], (real)data->delta, &s[k]);
        break;
    case SW_HEAD_POISSON:
        for (int64_t k = 0; k < outputs; k++)
            loss += (double)SW_K(glm_poisson)(z[k], target[k], &s[k]);
        break;
    }
    if (factor != 1)
        for (int64_t k = 0; k < outputs; k++)
            s[k] *= (real)factor;
    return factor * loss;
}

/* vᵀ H v for the Hessian H of f_i by its predictions and v [outputs], computed from the derivatives s that glm_head
 * returned. (A difference of derivatives would lose all digits for small v.) */
static inline double SW_K(glm_curvature)(const sw_objective *f, int64_t i, const real *s, const real *v) {
    const sw_glm_data *data = f->glm;
    const int64_t outputs = f->outputs;
    const double factor = data->scale * (data->weight ? data->weight[i] : 1);
    double sum = 0, mean = 0;
    if (!(factor > 0))
        return 0;
    for (int64_t k = 0; k < outputs; k++) {
        const double r = (double)s[k] / factor, size = r < 0 ? -r : r, square = (double)v[k] * (double)v[k];
        double h = 1;
        switch (data->head) {
        case SW_HEAD_LOGISTIC: h = size * (1 - size); break; /* p(1 - p): r is p or p - 1 */
        case SW_HEAD_MULTINOMIAL:                            /* diag(p) - p pᵀ */
            h = k == data->label[i] ? 1 + r : r;
            mean += h * (double)v[k];
            break;
        case SW_HEAD_SQUARED_HINGE: h = r != 0 ? 2 : 0; break;
        case SW_HEAD_SQUARED: break;
        case SW_HEAD_HUBER: h = size < data->delta * (1 - 1e-6) ? 1 : 0; break;                     /* s is rounded */
        case SW_HEAD_POISSON: h = r + (double)((const real *)data->target)[i * outputs + k]; break; /* e^z */
        }
        sum += h * square;
    }
    return factor * (data->head == SW_HEAD_MULTINOMIAL ? sum - mean * mean : sum);
}

#endif
