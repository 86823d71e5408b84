/* The nonlinear parts of LSTM and GRU, and their gradients: see recurrent_gates.h. */
#include <swale/kernel.h>

#include "core/ops/recurrent_gates.h"

#if SW_KERNEL_PASS

/* out = σ(a + b) and out = tanh(a + b); a NULL for 0 */
static inline void SW_K(gates_sigmoid)(int64_t n, const real *a, const real *b, real *out) {
    if (a) {
        SW_INDEPENDENT
        for (int64_t j = 0; j < n; j++)
            out[j] = SW_K(sw_k_sigmoid)(a[j] + b[j]);
    } else {
        SW_INDEPENDENT
        for (int64_t j = 0; j < n; j++)
            out[j] = SW_K(sw_k_sigmoid)(b[j]);
    }
}
static inline void SW_K(gates_tanh)(int64_t n, const real *a, const real *b, real *out) {
    if (a) {
        SW_INDEPENDENT
        for (int64_t j = 0; j < n; j++)
            out[j] = SW_K(sw_k_tanh)(a[j] + b[j]);
    } else {
        SW_INDEPENDENT
        for (int64_t j = 0; j < n; j++)
            out[j] = SW_K(sw_k_tanh)(b[j]);
    }
}

/* a += b, unless b is NULL */
static inline void SW_K(gates_add)(int64_t n, real *a, const real *b) {
    SW_INDEPENDENT
    for (int64_t j = 0; b && j < n; j++)
        a[j] += b[j];
}

static void SW_K(lstm_forward)(void *args, int64_t begin, int64_t end, double *sums) {
    const swi_gates *s = args;
    const int64_t n = s->hidden;
    real *const i = s->row, *const f = i + n, *const g = f + n, *const o = g + n, *const h = s->h, *const c = s->c,
                *const out = s->out ? s->out : h;
    const real *const before = s->c_before;
    const real *const b = s->input, *const a = s->added;
    (void)begin, (void)end, (void)sums;
    SW_K(gates_sigmoid)(2 * n, a, b, i);
    SW_K(gates_tanh)(n, a ? a + 2 * n : NULL, b + 2 * n, g);
    SW_K(gates_sigmoid)(n, a ? a + 3 * n : NULL, b + 3 * n, o);
    SW_INDEPENDENT
    for (int64_t j = 0; j < n; j++) {
        const real next = f[j] * before[j] + i[j] * g[j], y = o[j] * SW_K(sw_k_tanh)(next);
        c[j] = next;
        h[j] = y;
        out[j] = y;
    }
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
        const real t = SW_K(sw_k_tanh)(f[j] * before[j] + i[j] * g[j]), d = dh[j],
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
    const real *const before = s->h_before, *const b = s->input, *const from_h = b + 2 * n, *const a = s->added,
                      *const from_x = a + 2 * n;
    (void)begin, (void)end, (void)sums;
    SW_K(gates_sigmoid)(2 * n, a, b, r);
    SW_INDEPENDENT
    for (int64_t j = 0; j < n; j++) {
        q[j] = from_h[j];
        new[j] = SW_K(sw_k_tanh)(from_x[j] + r[j] * from_h[j]);
        const real y = (1 - z[j]) * new[j] + z[j] * before[j];
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

#else

const sw_kernels swi_lstm_forward_kernels = SW_KERNEL_TABLE(lstm_forward),
                 swi_lstm_backward_kernels = SW_KERNEL_TABLE(lstm_backward),
                 swi_gru_forward_kernels = SW_KERNEL_TABLE(gru_forward),
                 swi_gru_backward_kernels = SW_KERNEL_TABLE(gru_backward);

#endif
