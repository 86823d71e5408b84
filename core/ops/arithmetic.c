/* Elementwise arithmetic, and elementwise loops for the engine. */
#include <swale/kernel.h>
#include <swale/unary.h>
#include <swale/extend.h>

#include <swale/broadcast.h>
#include "core/ops/shared.h"

#if SW_KERNEL_PASS

SW_BINARY(add, a + b)
SW_BINARY(sub, a - b)
SW_BINARY(mul, a *b)
SW_UNARY(scale, a *v)
SW_UNARY(scale_vjp, a *g)

#else /* ---- once ---- */

const sw_kernels swi_add_kernels = SW_KERNEL_TABLE(add);
const sw_kernels swi_mul_kernels = SW_KERNEL_TABLE(mul);
static const sw_kernels negate_kernels = SW_KERNEL_TABLE(scale), sub_kernels = SW_KERNEL_TABLE(sub);

/* ---- Broadcasting ---- */

typedef struct rows_job {
    const sw_broadcast *l;
    sw_kernel *kernel;
    const char *a, *b;
    char *out;
    int64_t size, rows, per_tile;
} rows_job;

static void binary_rows_tile(void *args, int64_t tile) {
    const rows_job *j = args;
    const sw_broadcast *l = j->l;
    int64_t begin = tile * j->per_tile, end = begin + j->per_tile;
    for (int64_t row = begin; row < end && row < j->rows; row++) {
        int64_t rest = row, a = 0, b = 0;
        for (int axis = 1; axis < l->axes; axis++) {
            int64_t i = rest % l->length[axis];
            rest /= l->length[axis];
            a += i * l->a_stride[axis];
            b += i * l->b_stride[axis];
        }
        sw_binary_args inner = {.a = j->a + a * j->size,
                                .b = j->b + b * j->size,
                                .out = j->out + row * l->length[0] * j->size,
                                .a_repeats = l->a_stride[0] == 0,
                                .b_repeats = l->b_stride[0] == 0};
        j->kernel(&inner, 0, l->length[0], NULL);
    }
}

void sw_binary_run(const sw_kernels *kernels, const sw_view *a, const sw_view *b, const sw_view *out) {
    if (out->count == 0)
        return;
    if (a->count == out->count && b->count == out->count) {
        sw_binary_args args = {.a = a->data, .b = b->data, .out = out->data};
        sw_kernel_run(kernels, out->type, &args, out->count);
        return;
    }
    sw_broadcast l = sw_broadcast_plan(out->rank, out->shape, a->rank, a->shape, b->rank, b->shape);
    rows_job job = {.l = &l,
                    .kernel = (*kernels)[out->type][sw_cpu_level()],
                    .a = a->data,
                    .b = b->data,
                    .out = out->data,
                    .size = (int64_t)sw_dtype_size(out->type),
                    .rows = out->count / l.length[0]};
    job.per_tile = 1 + (SW_TILE - 1) / l.length[0];
    int64_t tiles = (job.rows + job.per_tile - 1) / job.per_tile;
    if (tiles < 4)
        for (int64_t t = 0; t < tiles; t++)
            binary_rows_tile(&job, t);
    else
        sw_parallel(binary_rows_tile, &job, tiles);
}

/* ---- add, sub, mul ---- */

static sw_status add_forward(sw_call *c) {
    sw_binary_run(&swi_add_kernels, c->in[0], c->in[1], c->out);
    return SW_OK;
}

static sw_status add_vjp(sw_call *c) {
    sw_call_pass_grad(c, 0);
    sw_call_pass_grad(c, 1);
    return SW_OK;
}

static sw_status sub_forward(sw_call *c) {
    sw_binary_run(&sub_kernels, c->in[0], c->in[1], c->out);
    return SW_OK;
}

static sw_status sub_vjp(sw_call *c) {
    sw_call_pass_grad(c, 0);
    if (sw_call_wants_grad(c, 1)) {
        sw_unary_args args = {.x = c->cotangent, .out = sw_call_grad(c, 1), .factor = -1};
        if (!args.out)
            return SW_ERR_MEMORY;
        sw_kernel_run(&negate_kernels, c->out->type, &args, c->out->count);
    }
    return SW_OK;
}

static sw_status mul_forward(sw_call *c) {
    sw_binary_run(&swi_mul_kernels, c->in[0], c->in[1], c->out);
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
        sw_binary_run(&swi_mul_kernels, &dy, c->in[1 - i], &d);
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

sw_status sw_unary_shape(sw_call *c) {
    SW_TRY(sw_call_check_real(c));
    return sw_call_set_shape_like(c, 0);
}

sw_status sw_unary_forward(sw_call *c, const sw_kernels *kernels) {
    const double *number = c->attributes;
    sw_unary_args args = {.x = c->in[0]->data, .out = c->out->data, .factor = number[0], .second = number[1]};
    sw_kernel_run(kernels, c->out->type, &args, c->out->count);
    return SW_OK;
}

sw_status sw_unary_vjp(sw_call *c, const sw_kernels *kernels) {
    const double *number = c->attributes;
    const void *reads = c->op->vjp_reads & SW_READS_OUT  ? c->out->data
                        : c->op->vjp_reads & SW_READS(0) ? c->in[0]->data
                                                         : c->cotangent;
    sw_unary_args args = {
        .x = reads, .dy = c->cotangent, .out = sw_call_grad(c, 0), .factor = number[0], .second = number[1]};
    if (!args.out)
        return SW_ERR_MEMORY;
    sw_kernel_run(kernels, c->out->type, &args, c->out->count);
    return SW_OK;
}

sw_tensor sw_apply_unary(const sw_op *op, sw_tensor x, double a, double b) {
    const double number[2] = {a, b};
    return sw_apply(op, number, sizeof number, 1, &x);
}

SW_UNARY_OP(scale, 0)

sw_tensor sw_scale(sw_tensor a, double factor) {
    return sw_apply_unary(&scale_op, a, factor, 0);
}

#endif
