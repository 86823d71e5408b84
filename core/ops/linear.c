/* Matrix products and the linear layer: matmul, linear. */
#include <swale/blas.h>
#include <swale/extend.h>
#include <swale/unary.h>

#include "core/ops/shared.h"

#include <limits.h>

/* An error if a length does not fit in an int, the type that OpenBLAS uses. */
static sw_status matmul_check_lengths(const sw_call *c) {
    for (int i = 0; i < c->inputs; i++)
        for (int axis = 0; axis < c->in[i]->rank; axis++)
            if (c->in[i]->shape[axis] > INT_MAX)
                return sw_fail(SW_ERR_SHAPE, "%s: axis %d of %s is too long", c->op->name, axis,
                               sw_shape_text(c->in[i]->rank, c->in[i]->shape));
    return SW_OK;
}

/* ---- matmul: C[..., M,N] = A[..., M,K] B[..., K,N], where A and B may be stored transposed ---- */

typedef struct transposes {
    bool a, b;
} transposes;

static transposes matmul_transposes(const sw_call *c) {
    return c->attributes ? *(const transposes *)c->attributes : (transposes){0};
}

static sw_status matmul_shape(sw_call *c) {
    const sw_view *a = c->in[0], *b = c->in[1];
    const transposes t = matmul_transposes(c);
    SW_TRY(sw_call_check_float(c));
    if (a->rank < 2 || b->rank < 2)
        return sw_fail(SW_ERR_SHAPE, "matmul: %s times %s; both must be matrices, or batches of them",
                       sw_shape_text(a->rank, a->shape), sw_shape_text(b->rank, b->shape));
    int a_sum = a->rank - (t.a ? 2 : 1), b_sum = b->rank - (t.b ? 1 : 2); /* the axes of length K */
    if (a->shape[a_sum] != b->shape[b_sum])
        return sw_fail(SW_ERR_SHAPE,
                       "matmul: %s%s times %s%s; axis %d of the first (%lld) must equal axis %d of the "
                       "second (%lld)",
                       sw_shape_text(a->rank, a->shape), t.a ? " transposed" : "", sw_shape_text(b->rank, b->shape),
                       t.b ? " transposed" : "", a_sum, (long long)a->shape[a_sum], b_sum, (long long)b->shape[b_sum]);
    SW_TRY(matmul_check_lengths(c));
    int rank = a->rank > b->rank ? a->rank : b->rank;
    int64_t shape[SW_MAX_RANK];
    for (int axis = 0; axis < rank - 2; axis++) {
        int in_a = axis - (rank - a->rank), in_b = axis - (rank - b->rank);
        int64_t na = in_a < 0 ? 1 : a->shape[in_a], nb = in_b < 0 ? 1 : b->shape[in_b];
        if (na != nb && na != 1 && nb != 1)
            return sw_fail(SW_ERR_SHAPE,
                           "matmul: %s times %s; axis %d of the first (%lld) and axis %d of the second "
                           "(%lld) must be equal, or one of them 1",
                           sw_shape_text(a->rank, a->shape), sw_shape_text(b->rank, b->shape), in_a, (long long)na,
                           in_b, (long long)nb);
        shape[axis] = na == 1 ? nb : na;
    }
    shape[rank - 2] = a->shape[a->rank - (t.a ? 1 : 2)];
    shape[rank - 1] = b->shape[b->rank - (t.b ? 2 : 1)];
    return sw_call_set_shape(c, a->type, rank, shape);
}

/* A batch of products Z = op(X) op(Y). If Z repeats along an axis of the batch, the products are summed over it. */
typedef struct axis {
    int64_t length, x, y, z; /* x, y, z: the distance in elements from one matrix to the next */
} axis;
typedef struct products {
    sw_dtype type, z_type; /* of X and Y; of Z */
    bool x_transposed, y_transposed;
    int64_t M, N, K, ldx, ldy, ldz;
    const char *x, *y;
    char *z;
    int axes, sum_axes;
    axis axis[SW_MAX_RANK], sum_axis[SW_MAX_RANK]; /* the last axis of the batch first */
    int64_t count, sums, per_tile;
} products;

static void matmul_advance(const axis *axes, int count, int64_t i, int64_t *x, int64_t *y, int64_t *z) {
    for (int k = 0; k < count; k++) {
        int64_t index = i % axes[k].length;
        i /= axes[k].length;
        *x += index * axes[k].x;
        *y += index * axes[k].y;
        *z += index * axes[k].z;
    }
}

/* sw_gemm cannot fail here for lack of address space, because matmul_batch has obtained it for every thread. */
static void matmul_products_tile(void *args, int64_t tile) {
    const products *b = args;
    const int64_t size = (int64_t)sw_dtype_size(b->type), z_size = (int64_t)sw_dtype_size(b->z_type),
                  end = (tile + 1) * b->per_tile;
    for (int64_t i = tile * b->per_tile; i < end && i < b->count; i++)
        for (int64_t k = 0; k < b->sums; k++) {
            int64_t x = 0, y = 0, z = 0;
            matmul_advance(b->axis, b->axes, i, &x, &y, &z);
            matmul_advance(b->sum_axis, b->sum_axes, k, &x, &y, &z);
            sw_product_run(&(sw_product){.size = sizeof(sw_product),
                                         .a_type = b->type,
                                         .b_type = b->type,
                                         .c_type = b->z_type,
                                         .a_transposed = b->x_transposed,
                                         .b_transposed = b->y_transposed,
                                         .M = b->M,
                                         .N = b->N,
                                         .K = b->K,
                                         .alpha = 1,
                                         .beta = k > 0,
                                         .A = b->x + x * size,
                                         .B = b->y + y * size,
                                         .C = b->z + z * z_size,
                                         .lda = b->ldx,
                                         .ldb = b->ldy,
                                         .ldc = b->ldz});
        }
}

/* Replaces the products along one of the last axes of the batch by one large product, if possible. If Y repeats, the
 * matrices of X together are one tall matrix. If Z repeats, and both factors are stored with the axis of length K
 * first, the sum over the batch and the sum over K become one sum. */
static bool matmul_fold(products *b, int64_t length, bool y_repeats, bool x_repeats, bool z_repeats) {
    int64_t *grows = y_repeats && !x_repeats && !z_repeats && !b->x_transposed                      ? &b->M
                     : z_repeats && !x_repeats && !y_repeats && b->x_transposed && !b->y_transposed ? &b->K
                                                                                                    : NULL;
    if (!grows || b->axes || b->sum_axes || *grows > INT_MAX / (length ? length : 1))
        return false;
    *grows *= length;
    return true;
}

/* Threads share the products of a batch, and each product is computed on one thread. If there are only a few large
 * products, some threads would be idle at the end; therefore they are computed one after the other, each on all
 * threads. The bits are the same. */
enum { TILE_WORK = 1 << 15 };            /* M·N·K that is worth a tile */
static const double threaded_work = 3e7; /* M·N·K of a product that is large */

/* The operands of one product of the forward or backward pass: Z = op(X) op(Y) over the batch axes of `out`. */
typedef struct request {
    bool x_transposed, y_transposed;
    int64_t M, N, K;
    const sw_view *x, *y, *z;
} request;

/* The axes of the batch, from the last to the first: each becomes part of one large product, an axis of the results, or
 * an axis that is summed over. Returns their product. */
static int64_t matmul_set_axes(products *b, const sw_view *const view[3], const sw_view *out) {
    const int rank = out->rank;
    const int64_t *shape = out->shape;
    int64_t step[3], length = 1;
    for (int i = 0; i < 3; i++)
        step[i] = view[i]->shape[view[i]->rank - 1] * view[i]->shape[view[i]->rank - 2];
    for (int from_end = 3; from_end <= rank; from_end++) {
        int64_t n = shape[rank - from_end], stride[3];
        if (n == 1)
            continue;
        length *= n;
        for (int i = 0; i < 3; i++) {
            bool repeats = from_end > view[i]->rank || view[i]->shape[view[i]->rank - from_end] != n;
            stride[i] = repeats ? 0 : step[i];
            step[i] *= repeats ? 1 : n;
        }
        if (matmul_fold(b, n, !stride[1], !stride[0], !stride[2]))
            continue;
        const axis a = {n, stride[0], stride[1], stride[2]};
        if (stride[2]) {
            b->axis[b->axes++] = a;
            b->count *= n;
        } else {
            b->sum_axis[b->sum_axes++] = a;
            b->sums *= n;
        }
    }
    return length;
}

/* Runs the products of the batch. */
static sw_status matmul_run(products *b) {
    const bool computed = sw_dtype_is_computed(b->type);
    if (computed && sw_blas_ready(1) == 0)
        return SW_ERR_MEMORY;
    double work = (double)b->M * (double)b->N * (double)b->K;
    b->per_tile = 1;
    if (b->count == 1 || (work >= threaded_work && b->count < 2 * sw_threads())) {
        for (int64_t i = 0; i < b->count; i++)
            matmul_products_tile(b, i);
        return SW_OK;
    }
    work *= (double)b->sums;
    if (work < TILE_WORK)
        b->per_tile += (int64_t)(TILE_WORK / (work + 1));
    const int64_t tiles = (b->count + b->per_tile - 1) / b->per_tile;
    if (computed)
        return sw_blas_parallel(matmul_products_tile, b, tiles);
    sw_dry_run_count_product(b->count * b->M, b->N, b->K * b->sums); /* sw_parallel does nothing in a dry run */
    sw_parallel(matmul_products_tile, b, tiles);                     /* OpenBLAS is not called */
    return SW_OK;
}

static sw_status matmul_batch(sw_call *c, const request *r) {
    const sw_view *z = r->z, *const view[3] = {r->x, r->y, z};
    products p = {.type = z->type,
                  .z_type = z->type,
                  .x_transposed = r->x_transposed,
                  .y_transposed = r->y_transposed,
                  .M = r->M,
                  .N = r->N,
                  .K = r->K,
                  .x = r->x->data,
                  .y = r->y->data,
                  .z = z->data,
                  .ldx = r->x->shape[r->x->rank - 1],
                  .ldy = r->y->shape[r->y->rank - 1],
                  .ldz = z->shape[z->rank - 1],
                  .count = 1,
                  .sums = 1};
    if (matmul_set_axes(&p, view, c->out) == 0) { /* no product; elements of z may be sums without terms */
        sw_vector_fill(z->type, z->count, 0, z->data);
        return SW_OK;
    }
    if (p.sums == 1 || sw_dtype_is_computed(z->type))
        return matmul_run(&p);
    float *sums = sw_call_scratch(c, (size_t)z->count * sizeof *sums); /* of f16 or bf16: rounded after the last term */
    if (!sums)
        return SW_ERR_MEMORY;
    p.z = (char *)sums;
    p.z_type = SW_F32;
    SW_TRY(matmul_run(&p));
    sw_vector_convert(SW_F32, z->count, sums, z->type, z->data);
    return SW_OK;
}

static sw_status matmul_multiply(sw_call *c, const request *r) {
    const sw_dtype type = c->out->type;
    if (c->out->rank != 2)
        return matmul_batch(c, r);
    return sw_product_run(&(sw_product){.size = sizeof(sw_product),
                                        .a_type = type,
                                        .b_type = type,
                                        .c_type = type,
                                        .a_transposed = r->x_transposed,
                                        .b_transposed = r->y_transposed,
                                        .M = r->M,
                                        .N = r->N,
                                        .K = r->K,
                                        .alpha = 1,
                                        .A = r->x->data,
                                        .B = r->y->data,
                                        .C = r->z->data,
                                        .lda = r->x->shape[1],
                                        .ldb = r->y->shape[1],
                                        .ldc = r->z->shape[1]});
}

static sw_status matmul_forward(sw_call *c) {
    const sw_view *a = c->in[0], *b = c->in[1], *out = c->out;
    const transposes t = matmul_transposes(c);
    int64_t M = out->shape[out->rank - 2], N = out->shape[out->rank - 1], K = a->shape[a->rank - (t.a ? 2 : 1)];
    const request product = {t.a, t.b, M, N, K, a, b, out};
    return matmul_multiply(c, &product);
}

static sw_status matmul_vjp(sw_call *c) {
    const sw_view *a = c->in[0], *b = c->in[1], *out = c->out;
    const transposes t = matmul_transposes(c);
    int64_t M = out->shape[out->rank - 2], N = out->shape[out->rank - 1], K = a->shape[a->rank - (t.a ? 2 : 1)];
    sw_view dc = *out, da = *a, db = *b;
    dc.data = (void *)(uintptr_t)c->cotangent;
    if (sw_call_wants_grad(c, 0)) { /* dA = dC Bᵀ, or its transpose B dCᵀ */
        da.data = sw_call_grad(c, 0);
        if (!da.data)
            return SW_ERR_MEMORY;
        const request straight = {false, !t.b, M, K, N, &dc, b, &da}, transposed = {t.b, true, K, M, N, b, &dc, &da};
        SW_TRY(matmul_multiply(c, t.a ? &transposed : &straight));
    }
    if (sw_call_wants_grad(c, 1)) { /* dB = Aᵀ dC, or its transpose dCᵀ A */
        db.data = sw_call_grad(c, 1);
        if (!db.data)
            return SW_ERR_MEMORY;
        const request straight = {!t.a, false, K, N, M, a, &dc, &db}, transposed = {true, t.a, N, K, M, &dc, a, &db};
        SW_TRY(matmul_multiply(c, t.b ? &transposed : &straight));
    }
    return SW_OK;
}

static const sw_op matmul_op = {.size = sizeof(sw_op),
                                .name = "matmul",
                                .shape = matmul_shape,
                                .forward = matmul_forward,
                                .vjp = matmul_vjp,
                                .vjp_reads = SW_READS(0) | SW_READS(1),
                                .takes_16_bit = true};

sw_tensor sw_matmul(sw_tensor a, sw_tensor b) {
    return sw_apply(&matmul_op, NULL, 0, 2, (sw_tensor[]){a, b});
}

sw_tensor sw_matmul_transposed(sw_tensor a, sw_tensor b, bool transpose_a, bool transpose_b) {
    const transposes t = {transpose_a, transpose_b};
    return sw_apply(&matmul_op, &t, sizeof t, 2, (sw_tensor[]){a, b});
}

/* ---- linear: Y[...,out] = X[...,in] Wᵀ + b, in rows: Y[rows,out] = X[rows,in] Wᵀ + b ---- */

/* The product of the axes of x before the last; the last may be 0. */
static int64_t linear_rows(const sw_view *x) {
    int64_t rows = 1;
    for (int i = 0; i < x->rank - 1; i++)
        rows *= x->shape[i];
    return rows;
}

/* Whether samples that are reshaped to vectors have the length that the weight expects: [batch,28,28] for 784. */
static bool linear_fits_if_flat(const sw_view *x, const sw_view *w) {
    return x->rank > 2 && x->shape[0] > 0 && x->count / x->shape[0] == w->shape[1];
}

static sw_status linear_check_shapes(const sw_call *c) {
    const sw_view *x = c->in[0], *w = c->in[1];
    const int last = x->rank - 1;
    if (x->rank < 2 || w->rank != 2)
        return sw_fail(SW_ERR_SHAPE, "linear: input %s and weight %s; [batch,...,in] and [out,in] are needed",
                       sw_shape_text(x->rank, x->shape), sw_shape_text(w->rank, w->shape));
    if (x->shape[last] != w->shape[1])
        return sw_fail(SW_ERR_SHAPE,
                       "linear: input %s and weight %s; axis %d of the input (%lld) must equal axis 1 of the weight "
                       "(%lld)%s",
                       sw_shape_text(x->rank, x->shape), sw_shape_text(2, w->shape), last, (long long)x->shape[last],
                       (long long)w->shape[1],
                       linear_fits_if_flat(x, w) ? " (flatten the input: sw_nn_flatten in a model, else sw_reshape?)"
                                                 : "");
    if (c->inputs == 3 && (c->in[2]->rank != 1 || c->in[2]->shape[0] != w->shape[0]))
        return sw_fail(SW_ERR_SHAPE, "linear: weight %s and bias %s; the bias must be [%lld]",
                       sw_shape_text(2, w->shape), sw_shape_text(c->in[2]->rank, c->in[2]->shape),
                       (long long)w->shape[0]);
    return SW_OK;
}

static sw_status linear_shape(sw_call *c) {
    const sw_view *x = c->in[0];
    int64_t shape[SW_MAX_RANK];
    SW_TRY(sw_call_check_float(c));
    SW_TRY(linear_check_shapes(c));
    SW_TRY(matmul_check_lengths(c));
    if (linear_rows(x) > INT_MAX)
        return sw_fail(SW_ERR_SHAPE, "linear: input %s has %lld rows; at most %d are possible",
                       sw_shape_text(x->rank, x->shape), (long long)linear_rows(x), INT_MAX);
    for (int i = 0; i < x->rank - 1; i++)
        shape[i] = x->shape[i];
    shape[x->rank - 1] = c->in[1]->shape[0];
    return sw_call_set_shape(c, x->type, x->rank, shape);
}

/* The product of one of the passes. All operands have the type of x. */
static sw_product linear_product(const sw_call *c, bool a_transposed, bool b_transposed, int64_t M, int64_t N,
                                 int64_t K) {
    const sw_dtype type = c->in[0]->type;
    return (sw_product){.size = sizeof(sw_product),
                        .a_type = type,
                        .b_type = type,
                        .c_type = type,
                        .a_transposed = a_transposed,
                        .b_transposed = b_transposed,
                        .M = M,
                        .N = N,
                        .K = K,
                        .alpha = 1,
                        .lda = a_transposed ? M : K,
                        .ldb = b_transposed ? K : N,
                        .ldc = N};
}

/* Sets the scratch of two products, which may be one and which share it. */
static sw_status linear_set_scratch(sw_call *c, sw_product *p, sw_product *q) {
    const size_t first = sw_product_scratch(p), second = sw_product_scratch(q), bytes = first > second ? first : second;
    void *const scratch = bytes ? sw_call_scratch(c, bytes) : NULL;
    if (bytes && !scratch)
        return SW_ERR_MEMORY;
    p->scratch = q->scratch = scratch;
    p->scratch_bytes = q->scratch_bytes = bytes;
    return SW_OK;
}

static sw_status linear_forward(sw_call *c) {
    const sw_view *x = c->in[0], *w = c->in[1];
    sw_product p = linear_product(c, false, true, linear_rows(x), w->shape[0], w->shape[1]);
    p.A = x->data;
    p.B = w->data;
    p.C = c->out->data;
    p.bias = c->inputs == 3 ? c->in[2]->data : NULL;
    SW_TRY(linear_set_scratch(c, &p, &p));
    return sw_product_run(&p);
}

static sw_status linear_vjp(sw_call *c) {
    const sw_view *x = c->in[0], *w = c->in[1];
    const int64_t rows = linear_rows(x), in = w->shape[1], out = w->shape[0], shape[2] = {rows, out};
    sw_product dw = linear_product(c, true, false, out, in, rows), /* dYᵀ X */
        dx = linear_product(c, false, false, rows, in, out);       /* dY W */
    SW_TRY(linear_set_scratch(c, sw_call_wants_grad(c, 1) ? &dw : &dx, sw_call_wants_grad(c, 0) ? &dx : &dw));
    if (sw_call_wants_grad(c, 1)) {
        dw.A = c->cotangent;
        dw.B = x->data;
        dw.C = sw_call_grad(c, 1);
        if (!dw.C)
            return SW_ERR_MEMORY;
        dw.squares = sw_call_squares(c, 1);
        SW_TRY(sw_product_run(&dw));
    }
    if (sw_call_wants_grad(c, 0)) {
        dx.A = c->cotangent;
        dx.B = w->data;
        dx.C = sw_call_grad(c, 0);
        if (!dx.C)
            return SW_ERR_MEMORY;
        SW_TRY(sw_product_run(&dx));
    }
    if (c->inputs == 3 && sw_call_wants_grad(c, 2)) { /* db = Σ over the rows of dY */
        void *db = sw_call_grad(c, 2);
        if (!db)
            return SW_ERR_MEMORY;
        sw_sum_to_shape(x->type, 2, shape, c->cotangent, 1, c->in[2]->shape, db, 1, true);
    }
    return SW_OK;
}

static const sw_op linear_op = {.size = sizeof(sw_op),
                                .name = "linear",
                                .shape = linear_shape,
                                .forward = linear_forward,
                                .vjp = linear_vjp,
                                .vjp_reads = SW_READS(0) | SW_READS(1),
                                .takes_16_bit = true};

sw_tensor swi_linear_no_bias(sw_tensor x, sw_tensor weight) {
    return sw_apply(&linear_op, NULL, 0, 2, (sw_tensor[]){x, weight});
}

sw_tensor sw_linear(sw_tensor x, sw_tensor weight, sw_tensor bias) {
    if (sw_is_null(bias) && sw_error() != NULL)
        return bias; /* the bias may be null because it has failed */
    return sw_apply(&linear_op, NULL, 0, sw_is_null(bias) ? 2 : 3, (sw_tensor[]){x, weight, bias});
}
