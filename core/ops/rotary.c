/* Rotary positions. The gradient is the rotation by the negative angles. */
#include <swale/attention.h>
#include <swale/kernel.h>
#include <swale/extend.h>

#if SW_KERNEL_FIRST
typedef struct rotary_args {
    const void *x;
    void *out;
    const void *cosines, *sines; /* [length, half] */
    int64_t length, half, heads; /* half: pairs of a head */
    bool interleaved;
} rotary_args;
/* The cosines and sines of the angles, for f64 alone. */
typedef struct rotary_angles {
    double *cosines, *sines; /* [length, half] */
    const double *rates;     /* [half], base^(-2c/d) */
    int64_t first, half;
    bool backward;
} rotary_angles;
#endif

#if SW_KERNEL_PASS

/* Positions [begin, end) */
static void SW_K(rotary_angles)(void *args, int64_t begin, int64_t end, double *sums) {
    const rotary_angles *s = args;
    (void)sums;
    for (int64_t t = begin; t < end; t++)
        for (int64_t c = 0; c < s->half; c++) {
            const real angle = (real)((double)(s->first + t) * s->rates[c]), sine = SW_K(sw_k_sin)(angle);
            s->cosines[t * s->half + c] = (double)SW_K(sw_k_cos)(angle);
            s->sines[t * s->half + c] = (double)(s->backward ? -sine : sine);
        }
}

/* Rows [begin, end): one head at one position. */
static void SW_K(rotary)(void *args, int64_t begin, int64_t end, double *sums) {
    const rotary_args *s = args;
    const int64_t step = s->interleaved ? 2 : 1, apart = s->interleaved ? 1 : s->half;
    (void)sums;
    for (int64_t i = begin; i < end; i++) {
        const int64_t t = i / s->heads % s->length;
        const real *restrict x = (const real *)s->x + i * 2 * s->half,
                             *restrict cosine = (const real *)s->cosines + t * s->half,
                             *restrict sine = (const real *)s->sines + t * s->half;
        real *restrict out = (real *)s->out + i * 2 * s->half;
        for (int64_t c = 0; c < s->half; c++) {
            const real a = x[c * step], b = x[c * step + apart];
            out[c * step] = a * cosine[c] - b * sine[c];
            out[c * step + apart] = a * sine[c] + b * cosine[c];
        }
    }
}

#else

#include <math.h>

static const sw_kernels rotary_kernels = SW_KERNEL_TABLE(rotary),
                        rotary_angles_kernels = SW_KERNEL_TABLE(rotary_angles);
static const int64_t rotary_last = 1000000; /* sines are accurate up to it */

static sw_status rotary_shape(sw_call *c) {
    const sw_rotary_options *o = c->attributes;
    const sw_view *x = c->in[0];
    SW_TRY(sw_call_check_real(c));
    if (x->rank != 3)
        return sw_fail(SW_ERR_SHAPE, "rotary: input %s; [batch, length, features] is needed%s",
                       sw_shape_text(x->rank, x->shape),
                       x->rank == 2 ? " (add the axis of one sample: sw_reshape?)" : "");
    if (x->shape[2] % (2 * (int64_t)o->heads) != 0)
        return sw_fail(SW_ERR_SHAPE, "rotary: input %s with %d heads; the last axis (%lld) must be a multiple of %lld",
                       sw_shape_text(x->rank, x->shape), o->heads, (long long)x->shape[2], 2 * (long long)o->heads);
    if (x->shape[1] > 0 && o->first_position + x->shape[1] - 1 > rotary_last)
        return sw_fail(SW_ERR_ARGUMENT,
                       "rotary: input %s at first_position %lld; the last position must be at most %lld",
                       sw_shape_text(x->rank, x->shape), (long long)o->first_position, (long long)rotary_last);
    return sw_call_set_shape_like(c, 0);
}

static sw_status rotary_run(sw_call *c, const void *x, void *out, bool backward) {
    const sw_rotary_options *o = c->attributes;
    const int64_t *shape = c->out->shape, half = shape[2] / o->heads / 2, count = shape[1] * half;
    if (c->out->count == 0)
        return SW_OK;
    double *rates = sw_call_scratch(c, (size_t)(half + 4 * count) * sizeof(double));
    if (!rates)
        return SW_ERR_MEMORY;
    rotary_angles angles = {.cosines = rates + half,
                            .sines = rates + half + count,
                            .rates = rates,
                            .first = o->first_position,
                            .half = half,
                            .backward = backward};
    const int level = sw_cpu_level();
    for (int64_t i = 0; i < half && !sw_dry_run(); i++)
        rates[i] = pow(o->base, -(double)i / (double)half);
    sw_kernel_run_rows(rotary_angles_kernels[SW_F64][level], &angles, shape[1], half, NULL);
    rotary_args args = {.x = x,
                        .out = out,
                        .cosines = angles.cosines,
                        .sines = angles.sines,
                        .length = shape[1],
                        .half = half,
                        .heads = o->heads,
                        .interleaved = o->interleaved};
    if (c->out->type == SW_F32) {
        float *narrow = (float *)(angles.sines + count);
        sw_vector_convert(SW_F64, 2 * count, angles.cosines, SW_F32, narrow);
        args.cosines = narrow;
        args.sines = narrow + count;
    }
    sw_kernel_run_rows(rotary_kernels[c->out->type][level], &args, shape[0] * shape[1] * o->heads, 2 * half, NULL);
    return SW_OK;
}

static sw_status rotary_forward(sw_call *c) {
    return rotary_run(c, c->in[0]->data, c->out->data, false);
}

static sw_status rotary_vjp(sw_call *c) {
    void *dx = sw_call_grad(c, 0);
    return dx ? rotary_run(c, c->cotangent, dx, true) : SW_ERR_MEMORY;
}

static const sw_op rotary_op = {
    .size = sizeof(sw_op), .name = "rotary", .shape = rotary_shape, .forward = rotary_forward, .vjp = rotary_vjp};

static sw_status rotary_check(sw_rotary_options *o) {
    if (o->heads < 0)
        return sw_fail(SW_ERR_ARGUMENT, "rotary: %d heads; 1 or more are needed (0: 1)", o->heads);
    if (o->base == 0)
        o->base = 10000;
    if (!(o->base >= 1 && isfinite(o->base)))
        return sw_fail(SW_ERR_ARGUMENT, "rotary: base %g; a finite number from 1 on is needed (0: 10000)", o->base);
    if (o->first_position < 0 || o->first_position > rotary_last)
        return sw_fail(SW_ERR_ARGUMENT, "rotary: first_position %lld; 0 to %lld is needed",
                       (long long)o->first_position, (long long)rotary_last);
    o->heads = o->heads ? o->heads : 1;
    return SW_OK;
}

sw_tensor sw_rotary(sw_tensor x, const sw_rotary_options *options) {
    sw_rotary_options o = {.size = sizeof o};
    if (options && sw_options_copy("rotary", "sw_rotary_options", &o, sizeof o, options, sizeof o) != SW_OK)
        return (sw_tensor){0};
    if (rotary_check(&o) != SW_OK)
        return (sw_tensor){0};
    return sw_apply(&rotary_op, &o, sizeof o, 1, &x);
}

#endif
