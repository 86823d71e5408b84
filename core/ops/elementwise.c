/* Operations element by element, and the elementwise loops of the engine itself. */
#define SW_KERNEL_FILE "ops/elementwise.c"
#include "kernel.h"

#include "unary.h"

#if SW_KERNEL_PASS

SWI_BINARY(add, a + b)
SWI_BINARY(sub, a - b)
SWI_BINARY(mul, a *b)
SWI_UNARY(scale, a *v)
SWI_UNARY(scale_vjp, a *g)

static void SW_K(axpy)(void *args, int64_t begin, int64_t end, double *sums) {
    const unary_args *s = args;
    const real *x = s->x;
    real *y = s->out;
    const real a = (real)s->factor;
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        y[i] += a * x[i];
}

/* Neumaier's sum: s = y + v, and the part of y + v that s has not goes to low. */
static void SW_K(axpy_compensated)(void *args, int64_t begin, int64_t end, double *sums) {
    const compensated_args *s = args;
    const real *restrict x = s->x;
    real *restrict y = s->y, *restrict low = s->low;
    const real a = (real)s->factor;
    (void)sums;
    for (int64_t i = begin; i < end; i++) {
        const real before = y[i], v = a * x[i], sum = before + v, added = sum - before;
        low[i] += (before - (sum - added)) + (v - added);
        y[i] = sum;
    }
}

static void SW_K(close_compensated)(void *args, int64_t begin, int64_t end, double *sums) {
    const compensated_args *s = args;
    const real *restrict low = s->low;
    real *restrict y = s->y;
    const real a = (real)s->factor;
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        y[i] = a * (y[i] + low[i]);
}

static void SW_K(fill)(void *args, int64_t begin, int64_t end, double *sums) {
    const unary_args *s = args;
    real *y = s->out;
    const real a = (real)s->factor;
    (void)sums;
    for (int64_t i = begin; i < end; i++)
        y[i] = a;
}

#else /* ---- once ---- */

#include "internal.h"

const sw_kernels swi_add_kernels = SW_KERNEL_TABLE(add);
const sw_kernels swi_mul_kernels = SW_KERNEL_TABLE(mul);
static const sw_kernels store_kernels = SW_KERNEL_TABLE(scale), sub_kernels = SW_KERNEL_TABLE(sub),
                        axpy_kernels = SW_KERNEL_TABLE(axpy), fill_kernels = SW_KERNEL_TABLE(fill),
                        axpy_compensated_kernels = SW_KERNEL_TABLE(axpy_compensated),
                        close_compensated_kernels = SW_KERNEL_TABLE(close_compensated);

/* ---- Loops of the engine ---- */

void swi_axpy(sw_dtype type, int64_t n, double a, const void *x, void *y, bool store) {
    if (store && a == 1) {
        if (x != y && n > 0)
            memcpy(y, x, (size_t)n * swi_size(type));
        return;
    }
    if (n == 1 && !store && type == SW_F32) { /* scalars: not worth a kernel; the same arithmetic */
        *(float *)y += (float)a * *(const float *)x;
        return;
    }
    unary_args args = {.x = x, .out = y, .factor = a};
    if (store && x == y) { /* in place: not through a kernel that promises distinct memory */
        const float narrow = (float)a;
        binary_args scaled = {
            .a = y, .out = y, .b_repeats = true, .b = type == SW_F32 ? (const void *)&narrow : (const void *)&a};
        swi_run(&swi_mul_kernels, type, &scaled, n);
        return;
    }
    swi_run(store ? &store_kernels : &axpy_kernels, type, &args, n);
}

void swi_axpy_compensated(int64_t n, double a, const float *x, float *y, float *low) {
    compensated_args args = {.x = x, .y = y, .low = low, .factor = a};
    swi_run(&axpy_compensated_kernels, SW_F32, &args, n);
}

void swi_close_compensated(int64_t n, double a, float *y, const float *low) {
    compensated_args args = {.y = y, .low = (float *)(uintptr_t)low, .factor = a};
    swi_run(&close_compensated_kernels, SW_F32, &args, n);
}

void swi_fill(sw_dtype type, int64_t n, double value, void *y) {
    unary_args args = {.out = y, .factor = value};
    swi_run(&fill_kernels, type, &args, n);
}

/* ---- Broadcasting ---- */

static int64_t length_at(int rank, const int64_t *shape, int out_rank, int axis) {
    int own = axis - (out_rank - rank);
    return own < 0 ? 1 : shape[own];
}

swi_loop swi_plan(int rank, const int64_t *shape, int a_rank, const int64_t *a_shape, int b_rank,
                  const int64_t *b_shape) {
    swi_loop l = {0};
    int64_t a_step = 1, b_step = 1, step = 1;
    bool a_before = false, b_before = false;
    for (int axis = rank - 1; axis >= 0; axis--) { /* from the last; l holds them in that order */
        int64_t n = shape[axis];
        int64_t na = length_at(a_rank, a_shape, rank, axis), nb = length_at(b_rank, b_shape, rank, axis);
        bool a_repeats = na == 1 && n != 1, b_repeats = nb == 1 && n != 1;
        if (n != 1) {
            if (l.axes && a_repeats == a_before && b_repeats == b_before) {
                l.length[l.axes - 1] *= n;
            } else {
                l.length[l.axes] = n;
                l.a_stride[l.axes] = a_repeats ? 0 : a_step;
                l.b_stride[l.axes] = b_repeats ? 0 : b_step;
                l.out_stride[l.axes++] = step;
            }
            a_before = a_repeats;
            b_before = b_repeats;
        }
        a_step *= na;
        b_step *= nb;
        step *= n;
    }
    if (!l.axes) {
        l.axes = 1;
        l.length[0] = 1;
    }
    return l;
}

typedef struct rows_job {
    const swi_loop *l;
    sw_kernel *kernel;
    const char *a, *b;
    char *out;
    int64_t size, rows, per_tile;
} rows_job;

static void rows_tile(void *args, int64_t tile) {
    const rows_job *j = args;
    const swi_loop *l = j->l;
    int64_t begin = tile * j->per_tile, end = begin + j->per_tile;
    for (int64_t row = begin; row < end && row < j->rows; row++) {
        int64_t rest = row, a = 0, b = 0;
        for (int axis = 1; axis < l->axes; axis++) {
            int64_t i = rest % l->length[axis];
            rest /= l->length[axis];
            a += i * l->a_stride[axis];
            b += i * l->b_stride[axis];
        }
        binary_args inner = {.a = j->a + a * j->size,
                             .b = j->b + b * j->size,
                             .out = j->out + row * l->length[0] * j->size,
                             .a_repeats = l->a_stride[0] == 0,
                             .b_repeats = l->b_stride[0] == 0};
        j->kernel(&inner, 0, l->length[0], NULL);
    }
}

void swi_binary(const sw_kernels *kernels, const sw_view *a, const sw_view *b, const sw_view *out) {
    if (out->count == 0)
        return;
    if (a->count == out->count && b->count == out->count) {
        binary_args args = {.a = a->data, .b = b->data, .out = out->data};
        swi_run(kernels, out->type, &args, out->count);
        return;
    }
    swi_loop l = swi_plan(out->rank, out->shape, a->rank, a->shape, b->rank, b->shape);
    rows_job job = {.l = &l,
                    .kernel = (*kernels)[out->type][swi_cpu_level()],
                    .a = a->data,
                    .b = b->data,
                    .out = out->data,
                    .size = (int64_t)swi_size(out->type),
                    .rows = out->count / l.length[0]};
    job.per_tile = 1 + (SW_TILE - 1) / l.length[0];
    int64_t tiles = (job.rows + job.per_tile - 1) / job.per_tile;
    if (tiles < 4)
        for (int64_t t = 0; t < tiles; t++)
            rows_tile(&job, t);
    else
        sw_parallel(rows_tile, &job, tiles);
}

/* ---- add, sub, mul ---- */

static sw_status add_forward(sw_call *c) {
    swi_binary(&swi_add_kernels, c->in[0], c->in[1], c->out);
    return SW_OK;
}

static sw_status add_vjp(sw_call *c) {
    sw_call_pass_grad(c, 0);
    sw_call_pass_grad(c, 1);
    return SW_OK;
}

static sw_status sub_forward(sw_call *c) {
    swi_binary(&sub_kernels, c->in[0], c->in[1], c->out);
    return SW_OK;
}

static sw_status sub_vjp(sw_call *c) {
    sw_call_pass_grad(c, 0);
    if (sw_call_wants_grad(c, 1)) {
        unary_args args = {.x = c->cotangent, .out = sw_call_grad(c, 1), .factor = -1};
        if (!args.out)
            return SW_ERR_MEMORY;
        swi_run(&store_kernels, c->out->type, &args, c->out->count);
    }
    return SW_OK;
}

static sw_status mul_forward(sw_call *c) {
    swi_binary(&swi_mul_kernels, c->in[0], c->in[1], c->out);
    return SW_OK;
}

static sw_status mul_vjp(sw_call *c) {
    for (int i = 0; i < 2; i++) {
        if (!sw_call_wants_grad(c, i))
            continue;
        sw_view dy = *c->out, d = *c->out;
        dy.data = (void *)(uintptr_t)c->cotangent;
        d.data = sw_call_grad(c, i);
        if (!d.data)
            return SW_ERR_MEMORY;
        swi_binary(&swi_mul_kernels, &dy, c->in[1 - i], &d);
    }
    return SW_OK;
}

static const sw_op add_op = {.size = sizeof(sw_op),
                             .name = "add",
                             .shape = sw_call_set_shape_broadcast,
                             .forward = add_forward,
                             .vjp = add_vjp,
                             .broadcasts = true};
static const sw_op sub_op = {.size = sizeof(sw_op),
                             .name = "sub",
                             .shape = sw_call_set_shape_broadcast,
                             .forward = sub_forward,
                             .vjp = sub_vjp,
                             .broadcasts = true};
static const sw_op mul_op = {.size = sizeof(sw_op),
                             .name = "mul",
                             .shape = sw_call_set_shape_broadcast,
                             .forward = mul_forward,
                             .vjp = mul_vjp,
                             .broadcasts = true,
                             .vjp_reads = SW_READS(0) | SW_READS(1)};

sw_tensor sw_add(sw_tensor a, sw_tensor b) {
    return sw_apply(&add_op, NULL, 0, 2, (sw_tensor[]){a, b});
}

sw_tensor sw_sub(sw_tensor a, sw_tensor b) {
    return sw_apply(&sub_op, NULL, 0, 2, (sw_tensor[]){a, b});
}

sw_tensor sw_mul(sw_tensor a, sw_tensor b) {
    return sw_apply(&mul_op, NULL, 0, 2, (sw_tensor[]){a, b});
}

/* ---- Operations of one input and up to two numbers ---- */

sw_status swi_unary_shape(sw_call *c) {
    SW_TRY(sw_call_check_real(c));
    return sw_call_set_shape_like(c, 0);
}

sw_status swi_unary(sw_call *c, const sw_kernels *kernels) {
    const double *number = c->attributes;
    unary_args args = {.x = c->in[0]->data, .out = c->out->data, .factor = number[0], .second = number[1]};
    swi_run(kernels, c->out->type, &args, c->out->count);
    return SW_OK;
}

sw_status swi_unary_vjp(sw_call *c, const sw_kernels *kernels) {
    const double *number = c->attributes;
    const void *reads = c->op->vjp_reads & SW_READS_OUT  ? c->out->data
                        : c->op->vjp_reads & SW_READS(0) ? c->in[0]->data
                                                         : c->cotangent;
    unary_args args = {
        .x = reads, .dy = c->cotangent, .out = sw_call_grad(c, 0), .factor = number[0], .second = number[1]};
    if (!args.out)
        return SW_ERR_MEMORY;
    swi_run(kernels, c->out->type, &args, c->out->count);
    return SW_OK;
}

sw_tensor swi_apply_unary(const sw_op *op, sw_tensor x, double a, double b) {
    const double number[2] = {a, b};
    return sw_apply(op, number, sizeof number, 1, &x);
}

SWI_UNARY_OP(scale, 0)

sw_tensor sw_scale(sw_tensor a, double factor) {
    return swi_apply_unary(&scale_op, a, factor, 0);
}

#endif
