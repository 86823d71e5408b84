/* The nonlinear parts of LSTM and GRU, and their gradients: see recurrent_gates.h. */
#include <swale/kernel.h>

#include "core/ops/recurrent_gates.h"

#if SW_KERNEL_PASS

/* a b + c, rounded once on avx2 and avx512: recurrent.h states that level baseline differs. */
#define GATES_baseline(a, b, c) ((a) * (b) + (c))
#define GATES_avx2(a, b, c) SW_R(fma)(a, b, c)
#define GATES_avx512(a, b, c) SW_R(fma)(a, b, c)
#define GATES_JOIN(level) GATES_##level
#define GATES_OF(level) GATES_JOIN(level)
#define FMA(a, b, c) GATES_OF(SW_KERNEL_LEVEL)(a, b, c)

/* An argument of the exponential: products of two exponentials and their inverses are normal numbers then. Beyond it,
 * the gate differs from 0 or 1 by less than 1e-18 (f32) or 1e-130 (f64). NaN for NaN. */
static inline real SW_K(gates_bounded)(real x) {
    const real most = SW_KERNEL_F32 ? 43 : 300, a = SW_R(fabs)(x);
    return SW_R(copysign)(a > most ? most : a, x);
}

/* e^x = *scale (1 + result), for a bounded x = k ln 2 + r, |r| ≤ ln 2 / 2: *scale is 2^k, and the result e^r - 1, by
 * the polynomial of sw_k_reduce. */
static inline real SW_K(gates_reduce)(real x, real *scale) {
#if SW_KERNEL_F32
    /* 1.5·2^23 + 127: the low bits of the sum with k are the exponent of 2^k. */
    const real magic = 12583039.0f, log2e = 1.44269504f, ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
    const int mantissa = 23;
#else
    const real magic = 6755399441056767.0, log2e = 1.4426950408889634, ln2_high = 6.93147180369123816490e-01,
               ln2_low = 1.90821492927058770002e-10;
    const int mantissa = 52;
#endif
    const real exponent = FMA(x, log2e, magic), k = exponent - magic, r = FMA(k, -ln2_low, FMA(k, -ln2_high, x));
    /* Pairs of terms, so that the chain of operations is short. */
    const real square = r * r;
#if SW_KERNEL_F32
    real p = FMA(1 / SW_R(5040.0), r, 1 / SW_R(720.0));
#else
    real p = FMA(1 / 6227020800.0, r, 1 / 479001600.0);
    p = FMA(p, square, FMA(1 / 39916800.0, r, 1 / 3628800.0));
    p = FMA(p, square, FMA(1 / 362880.0, r, 1 / 40320.0));
    p = FMA(p, square, FMA(1 / 5040.0, r, 1 / 720.0));
#endif
    p = FMA(p, square, FMA(1 / SW_R(120.0), r, 1 / SW_R(24.0)));
    p = FMA(p, square, FMA(1 / SW_R(6.0), r, SW_R(0.5)));
    *scale = SW_K(sw_k_from_bits)(SW_K(sw_k_bits)(exponent) << mantissa);
    return FMA(square, p, r);
}

/* 1 / σ(x) = 1 + e^-x */
static inline real SW_K(gates_inverse_sigmoid)(real x) {
    real scale;
    const real m = SW_K(gates_reduce)(SW_K(gates_bounded)(-x), &scale);
    return 1 + FMA(scale, m, scale);
}

/* tanh x = (1 - e^-2x) / (1 + e^-2x): returns the numerator. */
static inline real SW_K(gates_tanh)(real x, real *denominator) {
    real scale;
    const real m = SW_K(gates_reduce)(SW_K(gates_bounded)(-2 * x), &scale), e = FMA(scale, m, scale - 1);
    *denominator = 2 + e;
    return -e;
}

static inline real SW_K(gates_tanh_of)(real x) {
    real d;
    const real n = SW_K(gates_tanh)(x, &d);
    return n / d;
}

/* a += b, unless b is NULL */
static inline void SW_K(gates_add)(int64_t n, real *a, const real *b) {
    SW_INDEPENDENT
    for (int64_t j = 0; b && j < n; j++)
        a[j] += b[j];
}

/* A division takes longer than an exponential, so that i and f have one, and o and the tanh of c: with 1 / (p q), 1/p
 * is q / (p q). The relative error of a gate is at most 8 units of roundoff. `added` is a constant where this function
 * is inlined. */
SW_K_INLINE void SW_K(lstm_forward_gates)(const swi_gates *s, bool added) {
    const int64_t n = s->hidden;
    real *const i = s->row, *const f = i + n, *const g = f + n, *const o = g + n, *const h = s->h, *const c = s->c,
                *const out = s->out ? s->out : h;
    const real *const before = s->c_before;
    const real *const b = s->input, *const a = added ? s->added : b;
    SW_INDEPENDENT
    for (int64_t j = 0; j < n; j++) {
        const real to_i = added ? a[j] + b[j] : b[j], to_f = added ? a[n + j] + b[n + j] : b[n + j],
                   to_g = added ? a[2 * n + j] + b[2 * n + j] : b[2 * n + j],
                   to_o = added ? a[3 * n + j] + b[3 * n + j] : b[3 * n + j];
        const real di = SW_K(gates_inverse_sigmoid)(to_i), df = SW_K(gates_inverse_sigmoid)(to_f), i_f = 1 / (di * df),
                   input = df * i_f, forget = di * i_f, fresh = SW_K(gates_tanh_of)(to_g);
        const real next = forget * before[j] + input * fresh;
        real dt;
        const real nt = SW_K(gates_tanh)(next, &dt), d_o = SW_K(gates_inverse_sigmoid)(to_o), o_t = 1 / (d_o * dt),
                   output = dt * o_t, y = output * (nt * (d_o * o_t));
        i[j] = input;
        f[j] = forget;
        g[j] = fresh;
        o[j] = output;
        c[j] = next;
        h[j] = y;
        out[j] = y;
    }
}

static void SW_K(lstm_forward)(void *args, int64_t begin, int64_t end, double *sums) {
    const swi_gates *s = args;
    (void)begin, (void)end, (void)sums;
    if (s->added)
        SW_K(lstm_forward_gates)(s, true);
    else
        SW_K(lstm_forward_gates)(s, false);
}

static void SW_K(lstm_backward)(void *args, int64_t begin, int64_t end, double *sums) {
    const swi_gates *s = args;
    const int64_t n = s->hidden;
    const real *const i = s->row, *const f = i + n, *const g = f + n, *const o = g + n, *const before = s->c_before;
    real *const dh = s->dh, *const dc = s->dc, *const di = s->d_row, *const df = di + n, *const dg = df + n,
                *const d_o = dg + n;
    (void)begin, (void)end, (void)sums;
    SW_K(gates_add)(n, dh, s->dh_product);
    SW_K(gates_add)(n, dh, s->dh_added);
    SW_K(gates_add)(n, dc, s->dc_added);
    SW_INDEPENDENT
    for (int64_t j = 0; j < n; j++) {
        const real t = SW_K(gates_tanh_of)(f[j] * before[j] + i[j] * g[j]), d = dh[j],
                   e = dc[j] + d * o[j] * (1 - t * t); /* the gradient of c after the step */
        d_o[j] = d * t * o[j] * (1 - o[j]);
        di[j] = e * g[j] * i[j] * (1 - i[j]);
        df[j] = e * before[j] * f[j] * (1 - f[j]);
        dg[j] = e * i[j] * (1 - g[j] * g[j]);
        dc[j] = e * f[j];
        dh[j] = 0;
    }
}

static void SW_K(gru_forward)(void *args, int64_t begin, int64_t end, double *sums) {
    const swi_gates *s = args;
    const int64_t n = s->hidden;
    real *const r = s->row, *const z = r + n, *const new = z + n, *const q = new + n, *const h = s->h,
                *const out = s->out ? s->out : h;
    const real *const before = s->h_before, *const b = s->input, *const a = s->added;
    (void)begin, (void)end, (void)sums;
    SW_INDEPENDENT
    for (int64_t j = 0; j < n; j++) {
        const real dr = SW_K(gates_inverse_sigmoid)(a[j] + b[j]), dz = SW_K(gates_inverse_sigmoid)(a[n + j] + b[n + j]),
                   both = 1 / (dr * dz), reset = dz * both, update = dr * both, from_h = b[2 * n + j],
                   fresh = SW_K(gates_tanh_of)(a[2 * n + j] + reset * from_h),
                   y = (1 - update) * fresh + update * before[j];
        r[j] = reset;
        z[j] = update;
        new[j] = fresh;
        q[j] = from_h;
        h[j] = y;
        out[j] = y;
    }
}

static void SW_K(gru_backward)(void *args, int64_t begin, int64_t end, double *sums) {
    const swi_gates *s = args;
    const int64_t n = s->hidden;
    const real *const r = s->row, *const z = r + n, *const new = z + n, *const q = new + n, *const before = s->h_before;
    real *const dh = s->dh, *const dr = s->d_row, *const dz = dr + n, *const dn = dz + n, *const dq = dn + n;
    (void)begin, (void)end, (void)sums;
    SW_K(gates_add)(n, dh, s->dh_product);
    SW_K(gates_add)(n, dh, s->dh_added);
    SW_INDEPENDENT
    for (int64_t j = 0; j < n; j++) {
        const real d = dh[j], e = d * (1 - z[j]) * (1 - new[j] * new[j]); /* e: of the argument of tanh */
        dz[j] = d * (before[j] - new[j]) * z[j] * (1 - z[j]);
        dr[j] = e * q[j] * r[j] * (1 - r[j]);
        dn[j] = e;
        dq[j] = e * r[j];
        dh[j] = d * z[j];
    }
}

#undef FMA

#else

const sw_kernels swi_lstm_forward_kernels = SW_KERNEL_TABLE(lstm_forward),
                 swi_lstm_backward_kernels = SW_KERNEL_TABLE(lstm_backward),
                 swi_gru_forward_kernels = SW_KERNEL_TABLE(gru_forward),
                 swi_gru_backward_kernels = SW_KERNEL_TABLE(gru_backward);

#endif
