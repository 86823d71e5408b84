/* Products: matmul and linear. */
#include "internal.h"

#include <limits.h>

/* OpenBLAS counts in int. */
static sw_status check_lengths(const sw_call *c) {
    for (int i = 0; i < c->inputs; i++)
        for (int axis = 0; axis < c->in[i]->rank; axis++)
            if (c->in[i]->shape[axis] > INT_MAX)
                return sw_fail(SW_ERR_SHAPE, "%s: axis %d of %s is too long", c->op->name, axis,
                               sw_shape_text(c->in[i]->rank, c->in[i]->shape));
    return SW_OK;
}

/* ---- matmul: C[M,N] = A[M,K] B[K,N] ---- */

static sw_status matmul_shape(sw_call *c) {
    const sw_view *a = c->in[0], *b = c->in[1];
    SW_TRY(sw_check_real(c));
    if (a->rank != 2 || b->rank != 2)
        return sw_fail(SW_ERR_SHAPE, "matmul: %s times %s; both must be matrices",
                       sw_shape_text(a->rank, a->shape), sw_shape_text(b->rank, b->shape));
    if (a->shape[1] != b->shape[0])
        return sw_fail(SW_ERR_SHAPE,
                       "matmul: %s times %s; axis 1 of the first (%lld) must equal axis 0 of the "
                       "second (%lld)",
                       sw_shape_text(2, a->shape), sw_shape_text(2, b->shape),
                       (long long)a->shape[1], (long long)b->shape[0]);
    SW_TRY(check_lengths(c));
    return sw_shape_set(c, a->type, 2, (int64_t[]){a->shape[0], b->shape[1]});
}

static sw_status matmul_forward(sw_call *c) {
    const sw_view *a = c->in[0], *b = c->in[1];
    int64_t M = a->shape[0], K = a->shape[1], N = b->shape[1];
    sw_gemm(a->type, false, false, M, N, K, 1, a->data, K, b->data, N, 0, c->out->data, N);
    return SW_OK;
}

static sw_status matmul_vjp(sw_call *c) {
    const sw_view *a = c->in[0], *b = c->in[1];
    int64_t M = a->shape[0], K = a->shape[1], N = b->shape[1];
    if (sw_wants(c, 0)) { /* dA = dC Bᵀ */
        void *da = sw_cotangent(c, 0);
        if (!da)
            return SW_ERR_MEMORY;
        sw_gemm(a->type, false, true, M, K, N, 1, c->cotangent, N, b->data, N, 0, da, K);
    }
    if (sw_wants(c, 1)) { /* dB = Aᵀ dC */
        void *db = sw_cotangent(c, 1);
        if (!db)
            return SW_ERR_MEMORY;
        sw_gemm(a->type, true, false, K, N, M, 1, a->data, K, c->cotangent, N, 0, db, N);
    }
    return SW_OK;
}

static const sw_op matmul_op = {.size = sizeof(sw_op), .name = "matmul", .shape = matmul_shape,
                                .forward = matmul_forward, .vjp = matmul_vjp,
                                .vjp_reads = SW_READS(0) | SW_READS(1)};

sw_tensor sw_matmul(sw_tensor a, sw_tensor b) {
    return sw_apply(&matmul_op, NULL, 0, 2, (sw_tensor[]){a, b});
}

/* ---- linear: Y[batch,out] = X[batch,in] Wᵀ + b ---- */

static sw_status linear_shape(sw_call *c) {
    const sw_view *x = c->in[0], *w = c->in[1];
    SW_TRY(sw_check_real(c));
    if (x->rank != 2 || w->rank != 2)
        return sw_fail(SW_ERR_SHAPE,
                       "linear: input %s and weight %s; [batch,in] and [out,in] are needed%s",
                       sw_shape_text(x->rank, x->shape), sw_shape_text(w->rank, w->shape),
                       x->rank > 2 ? " (flatten the input with sw_reshape)" : "");
    if (x->shape[1] != w->shape[1])
        return sw_fail(SW_ERR_SHAPE,
                       "linear: input %s and weight %s; axis 1 of the input (%lld) must equal axis 1 "
                       "of the weight (%lld)",
                       sw_shape_text(2, x->shape), sw_shape_text(2, w->shape),
                       (long long)x->shape[1], (long long)w->shape[1]);
    if (c->inputs == 3 && (c->in[2]->rank != 1 || c->in[2]->shape[0] != w->shape[0]))
        return sw_fail(SW_ERR_SHAPE, "linear: weight %s and bias %s; the bias must be [%lld]",
                       sw_shape_text(2, w->shape), sw_shape_text(c->in[2]->rank, c->in[2]->shape),
                       (long long)w->shape[0]);
    SW_TRY(check_lengths(c));
    return sw_shape_set(c, x->type, 2, (int64_t[]){x->shape[0], w->shape[0]});
}

static sw_status linear_forward(sw_call *c) {
    const sw_view *x = c->in[0], *w = c->in[1];
    int64_t batch = x->shape[0], in = x->shape[1], out = w->shape[0];
    sw_gemm(x->type, false, true, batch, out, in, 1, x->data, in, w->data, in, 0, c->out->data, out);
    if (c->inputs == 3)
        swi_binary(&swi_add_kernels, c->out, c->in[2], c->out);
    return SW_OK;
}

static sw_status linear_vjp(sw_call *c) {
    const sw_view *x = c->in[0], *w = c->in[1];
    int64_t batch = x->shape[0], in = x->shape[1], out = w->shape[0];
    if (sw_wants(c, 1)) { /* dW = dYᵀ X */
        void *dw = sw_cotangent(c, 1);
        if (!dw)
            return SW_ERR_MEMORY;
        sw_gemm(x->type, true, false, out, in, batch, 1, c->cotangent, out, x->data, in, 0, dw, in);
    }
    if (sw_wants(c, 0)) { /* dX = dY W */
        void *dx = sw_cotangent(c, 0);
        if (!dx)
            return SW_ERR_MEMORY;
        sw_gemm(x->type, false, false, batch, in, out, 1, c->cotangent, out, w->data, in, 0, dx, in);
    }
    if (c->inputs == 3 && sw_wants(c, 2)) { /* db = Σ over the batch of dY */
        void *db = sw_cotangent(c, 2);
        if (!db)
            return SW_ERR_MEMORY;
        swi_reduce(x->type, 2, c->out->shape, c->cotangent, 1, c->in[2]->shape, db, 1, true);
    }
    return SW_OK;
}

static const sw_op linear_op = {.size = sizeof(sw_op), .name = "linear", .shape = linear_shape,
                                .forward = linear_forward, .vjp = linear_vjp,
                                .vjp_reads = SW_READS(0) | SW_READS(1)};

sw_tensor sw_linear(sw_tensor x, sw_tensor weight, sw_tensor bias) {
    if (sw_is_null(bias) && swi_error_now != SW_OK)
        return bias; /* a bias that failed is not "no bias" */
    return sw_apply(&linear_op, NULL, 0, sw_is_null(bias) ? 2 : 3, (sw_tensor[]){x, weight, bias});
}
