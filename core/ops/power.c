/* Powers: of a tensor with a number as the exponent, and of two tensors. */
#include <swale/kernel.h>
#include <swale/unary.h>
#include <swale/extend.h>

#if SW_KERNEL_FIRST
enum { POWERS = 256 }; /* the elements of a strip of powers */
#endif

#if SW_KERNEL_PASS

/* v^(e + e_low) with the sign and the special cases of C's pow. `negative` is added to the power if v < 0: it is 0 if
 * the exponent is an integer, else NaN. `sign` is v for odd exponents, else 0. Both are numbers, because gcc does not
 * vectorize a loop with a condition that is the same for all elements. */
static inline __attribute__((always_inline)) real SW_K(signed_power)(real v, double e, double e_low, real negative,
                                                                     real sign) {
    const real y = SW_K(sw_k_power)(SW_R(fabs)(v), e, e_low);
    const real z = ((v < 0) & (v > -(real)INFINITY)) ? y + negative : y;
    return SW_R(copysign)(z, sign);
}

static inline double SW_K(within_2_64)(double e) {
    return e > 0x1p64 ? 0x1p64 : e < -0x1p64 ? -0x1p64 : e; /* every double beyond ±2^64 is an even integer */
}

/* x^factor. `second` is 1 if the exponent is odd, 2 if it is even, and 0 if it is not an integer. */
static void SW_K(pow)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_unary_args *s = args;
    const stored *restrict p = s->x;
    stored *restrict out = s->out;
    const double e = SW_K(within_2_64)(s->factor);
    const real negative = s->second == 0 ? (real)NAN : 0;
    (void)sums;
    if (e == 0)
        for (int64_t i = begin; i < end; i++)
            SW_STORE(out, i, 1);
    else if (e == 2)
        for (int64_t i = begin; i < end; i++)
            SW_STORE(out, i, SW_LOAD(p, i) * SW_LOAD(p, i));
    else if (s->second == 1)
        for (int64_t i = begin; i < end; i++)
            SW_STORE(out, i, SW_K(signed_power)(SW_LOAD(p, i), e, 0, negative, SW_LOAD(p, i)));
    else
        for (int64_t i = begin; i < end; i++)
            SW_STORE(out, i, SW_K(signed_power)(SW_LOAD(p, i), e, 0, negative, 0));
}

/* e x^(e-1), where e - 1 = d + d_low exactly */
static void SW_K(pow_vjp)(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_unary_args *s = args;
    const stored *restrict p = s->x, *restrict g = s->dy;
    stored *restrict out = s->out;
    const double e = s->factor, d = SW_K(within_2_64)(e - 1), part = d - e, d_low = (e - (d - part)) + (-1 - part);
    const real negative = s->second == 0 ? (real)NAN : 0;
    (void)sums;
    if (e == 0 || e == 1)
        for (int64_t i = begin; i < end; i++)
            SW_STORE(out, i, e == 0 ? 0 : SW_LOAD(g, i));
    else if (e == 2)
        for (int64_t i = begin; i < end; i++)
            SW_STORE(out, i, SW_LOAD(g, i) * (2 * SW_LOAD(p, i)));
    else if (s->second == 2)
        for (int64_t i = begin; i < end; i++)
            SW_STORE(out, i,
                     SW_LOAD(g, i) *
                         (real)(e * (double)SW_K(signed_power)(SW_LOAD(p, i), d, d_low, negative, SW_LOAD(p, i))));
    else
        for (int64_t i = begin; i < end; i++)
            SW_STORE(out, i,
                     SW_LOAD(g, i) * (real)(e * (double)SW_K(signed_power)(SW_LOAD(p, i), d, d_low, negative, 0)));
}

/* ---- The exponent is a tensor ---- */

/* For the parameter `negative` of signed_power: 0 if e is an integer, else NaN. As in C's pow, ±∞ is an even
 * integer. */
static inline real SW_K(power_negative)(real e) {
    return SW_K(sw_k_round)(e) == e ? 0 : (real)NAN;
}
static inline bool SW_K(power_even)(real e) {
    const real half = SW_R(0.5) * e;
    return SW_K(sw_k_round)(half) == half;
}
static inline bool SW_K(power_odd)(real e) {
    const bool whole = SW_K(sw_k_round)(e) == e, even = SW_K(power_even)(e);
    return whole & !even;
}

/* v^e */
static inline __attribute__((always_inline)) real SW_K(power_of)(real v, real e) {
    const real y =
        SW_K(signed_power)(v, SW_K(within_2_64)((double)e), 0, SW_K(power_negative)(e), SW_K(power_odd)(e) ? v : 0);
    return ((e == 0) | (v == 1)) ? 1 : y;
}

/* out = v^e. The strips are not inlined, because SW_BINARY would compile the power four times. */
static __attribute__((noinline)) void SW_K(power_strip)(const real *restrict base, const real *restrict exponent,
                                                        const real *restrict dy, int64_t n, real *restrict out) {
    (void)dy;
    for (int64_t i = 0; i < n; i++)
        out[i] = SW_K(power_of)(base[i], exponent[i]);
}

/* out = dy e v^(e-1), where e - 1 = d + d_low; 0 for e = 0 */
static __attribute__((noinline)) void SW_K(power_base_strip)(const real *restrict base, const real *restrict exponent,
                                                             const real *restrict dy, int64_t n, real *restrict out) {
    for (int64_t i = 0; i < n; i++) {
        const real v = base[i], e = exponent[i];
        const double within = SW_K(within_2_64)((double)e), d = within - 1, part = d - within,
                     d_low = (within - (d - part)) + (-1 - part);
        const real y = SW_K(signed_power)(v, d, d_low, SW_K(power_negative)(e), SW_K(power_even)(e) ? v : 0);
        const real p = e == 1 ? 1 : y, slope = (real)((p == 0 ? within : (double)e) * (double)p); /* not ∞·0 */
        out[i] = e == 0 ? 0 : dy[i] * slope;
    }
}

/* out = dy y log v with y = v^e. Where y is 0 the limit is 0, and so it is, by convention, for 0^0. y is computed
 * again, because the output in f16 may be ∞ where y is not. */
static __attribute__((noinline)) void SW_K(power_exponent_strip)(const real *restrict base,
                                                                 const real *restrict exponent, const real *restrict dy,
                                                                 int64_t n, real *restrict out) {
    real power[POWERS]; /* gcc vectorizes the loops of power and logarithm only if they are separate */
    SW_K(power_strip)(base, exponent, dy, n, power);
    for (int64_t i = 0; i < n; i++) {
        const real v = base[i], y = power[i], size = SW_R(fabs)(y), slope = y * SW_K(sw_k_log_any)(v);
        const bool zero = ((v == 0) & (size <= 1)) | ((v > 0) & (y == 0));
        out[i] = dy[i] * (zero ? 0 : slope);
    }
}

/* Runs a strip on copies of the operands of a kernel from SW_BINARY or SW_BINARY_VJP. */
#define POWER_KERNEL(name, strip)                                                  \
    static void SW_K(name)(void *args, int64_t begin, int64_t end, double *sums) { \
        const sw_binary_args *s = args;                                            \
        const stored *a = s->a, *b = s->b, *dy = s->dy;                            \
        stored *out = s->out;                                                      \
        real base[POWERS], exponent[POWERS], g[POWERS], y[POWERS];                 \
        (void)sums;                                                                \
        for (int64_t first = begin; first < end; first += POWERS) {                \
            const int64_t n = end - first < POWERS ? end - first : POWERS;         \
            for (int64_t i = 0; i < n; i++) {                                      \
                base[i] = SW_LOAD(a, s->a_repeats ? 0 : first + i);                \
                exponent[i] = SW_LOAD(b, s->b_repeats ? 0 : first + i);            \
                g[i] = dy ? SW_LOAD(dy, first + i) : 0;                            \
            }                                                                      \
            SW_K(strip)(base, exponent, g, n, y);                                  \
            for (int64_t i = 0; i < n; i++)                                        \
                SW_STORE(out, first + i, y[i]);                                    \
        }                                                                          \
    }
POWER_KERNEL(pow_tensor, power_strip)
POWER_KERNEL(pow_tensor_base_vjp, power_base_strip)
POWER_KERNEL(pow_tensor_exponent_vjp, power_exponent_strip)

#else /* ---- once ---- */

#include <math.h>

SW_UNARY_OP(pow, SW_READS(0))

sw_tensor sw_pow(sw_tensor x, double exponent) {
    if (!isfinite(exponent)) {
        sw_fail(SW_ERR_ARGUMENT, "pow: the exponent is %g; a finite number is needed", exponent);
        return (sw_tensor){0};
    }
    bool whole = exponent == floor(exponent), odd = whole && fmod(exponent, 2) != 0;
    return sw_apply_unary(&pow_op, x, exponent, odd ? 1 : whole ? 2 : 0);
}

/* ---- The exponent is a tensor ---- */

static const sw_kernels pow_tensor_kernels = SW_KERNEL_TABLE(pow_tensor),
                        pow_tensor_base_vjp_kernels = SW_KERNEL_TABLE(pow_tensor_base_vjp),
                        pow_tensor_exponent_vjp_kernels = SW_KERNEL_TABLE(pow_tensor_exponent_vjp);

static sw_status pow_tensor_forward(sw_call *c) {
    sw_binary_run(&pow_tensor_kernels, c->in[0], c->in[1], c->out);
    return SW_OK;
}

static sw_status pow_tensor_vjp(sw_call *c) {
    const sw_kernels *const kernels[] = {&pow_tensor_base_vjp_kernels, &pow_tensor_exponent_vjp_kernels};
    sw_view dy = *c->out, d = *c->out;
    dy.data = (void *)(uintptr_t)c->cotangent;
    for (int i = 0; i < 2; i++) {
        if (!sw_call_wants_grad(c, i))
            continue;
        d.data = sw_call_grad(c, i);
        if (!d.data)
            return SW_ERR_MEMORY;
        sw_binary_run_vjp(kernels[i], c->in[0], c->in[1], &dy, &d);
    }
    return SW_OK;
}

static const sw_op pow_tensor_op = {.size = sizeof(sw_op),
                                    .name = "pow_tensor",
                                    .shape = sw_binary_shape,
                                    .forward = pow_tensor_forward,
                                    .vjp = pow_tensor_vjp,
                                    .broadcasts = true,
                                    .vjp_reads = SW_READS(0) | SW_READS(1),
                                    .takes_16_bit = true};

sw_tensor sw_pow_tensor(sw_tensor base, sw_tensor exponent) {
    return sw_apply(&pow_tensor_op, NULL, 0, 2, (sw_tensor[]){base, exponent});
}

#endif
