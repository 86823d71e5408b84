/* Runs elementwise kernels: broadcasting, and operands in f16 and bf16, which are converted to f32 in blocks. */
#include <swale/extend.h>
#include <swale/unary.h>

/* The elements that are converted at a time. The blocks of all operands fit in the first-level cache, and converting a
 * block takes much longer than calling the functions that do it. */
enum { BLOCK = 512 };

static const char *element_at(const void *data, sw_dtype type, int64_t index) {
    return (const char *)data + (size_t)index * sw_dtype_size(type);
}

/* Elements [at, at + n) as f32: in place if they are f32, else converted to `block`. */
static const float *block_load(const void *data, sw_dtype type, int64_t at, int64_t n, float *block) {
    const void *from = element_at(data, type, at);
    if (type == SW_F32)
        return from;
    sw_vector_convert(type, n, from, SW_F32, block);
    return block;
}

/* Where a kernel shall write elements [at, at + n): in place if they are f32, else to `block`, which block_store
 * rounds. */
static float *block_place(const void *data, sw_dtype type, int64_t at, float *block) {
    return type == SW_F32 ? (float *)(uintptr_t)data + at : block;
}

static void block_store(const void *data, sw_dtype type, int64_t at, int64_t n, const float *block) {
    if (type != SW_F32)
        sw_vector_convert(SW_F32, n, block, type, (void *)(uintptr_t)element_at(data, type, at));
}

static int64_t lesser(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* ---- One input ---- */

typedef struct unary_job {
    const sw_unary_args *args;
    sw_kernel *kernel; /* for f32 */
    sw_dtype type;
} unary_job;

static void unary_in_blocks(void *args, int64_t begin, int64_t end, double *sums) {
    const unary_job *j = args;
    const sw_unary_args *s = j->args;
    _Alignas(SW_ALIGNMENT) float x[BLOCK], dy[BLOCK], out[BLOCK];
    sw_unary_args block = *s;
    (void)sums;
    for (int64_t at = begin; at < end; at += BLOCK) {
        const int64_t n = lesser(BLOCK, end - at);
        block.x = block_load(s->x, j->type, at, n, x);
        if (s->dy)
            block.dy = s->dy == s->x ? block.x : block_load(s->dy, j->type, at, n, dy);
        block.out = out;
        j->kernel(&block, 0, n, NULL);
        block_store(s->out, j->type, at, n, out);
    }
}

static inline void unary_run(const sw_kernels *kernels, sw_dtype type, sw_unary_args *args, int64_t n) {
    static const sw_kernels in_blocks = {[SW_F16] = {unary_in_blocks, unary_in_blocks, unary_in_blocks},
                                         [SW_BF16] = {unary_in_blocks, unary_in_blocks, unary_in_blocks}};
    if (!sw_dtype_is_16_bit(type) || sw_kernels_take(kernels, type)) {
        sw_kernel_run(kernels, type, args, n);
        return;
    }
    unary_job j = {.args = args, .kernel = (*kernels)[SW_F32][sw_cpu_level()], .type = type};
    sw_kernel_run(&in_blocks, type, &j, n);
}

void sw_unary_run(const sw_kernels *kernels, sw_dtype type, const sw_unary_args *args, int64_t n) {
    sw_unary_args copy = *args;
    unary_run(kernels, type, &copy, n);
}

/* The shape rules call sw_call_check_float only where it would find something, because operations on a few numbers
 * would take noticeably longer. */
sw_status sw_unary_shape(sw_call *c) {
    if (c->inputs != 1 || !sw_dtype_is_float(c->in[0]->type))
        SW_TRY(sw_call_check_float(c));
    return sw_call_set_shape_like(c, 0);
}

sw_status sw_unary_forward(sw_call *c, const sw_kernels *kernels) {
    const double *number = c->attributes;
    sw_unary_args args = {.x = c->in[0]->data, .out = c->out->data, .factor = number[0], .second = number[1]};
    unary_run(kernels, c->out->type, &args, c->out->count);
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
    unary_run(kernels, c->out->type, &args, c->out->count);
    return SW_OK;
}

sw_tensor sw_apply_unary(const sw_op *op, sw_tensor x, double a, double b) {
    const double number[2] = {a, b};
    return sw_apply(op, number, sizeof number, 1, &x);
}

/* ---- Two inputs that are broadcast to one shape ---- */

typedef struct binary_job {
    const sw_view *a, *b, *dy, *out; /* dy may be NULL */
    sw_kernel *kernel;               /* for the type of the elements, or for f32 */
    const sw_broadcast *plan;        /* if the operands do not all have the shape of the output, as the two below */
    int64_t rows, per_tile;
} binary_job;

/* Sets the offsets of the elements of a and b that the output's row begins with. */
static void binary_row_offsets(const sw_broadcast *l, int64_t row, int64_t *a, int64_t *b) {
    *a = *b = 0;
    for (int axis = 1; axis < l->axes; axis++) {
        const int64_t i = row % l->length[axis];
        row /= l->length[axis];
        *a += i * l->a_stride[axis];
        *b += i * l->b_stride[axis];
    }
}

/* Runs the kernel in place on the rows of a tile. */
static void binary_rows_tile(void *args, int64_t tile) {
    const binary_job *j = args;
    const sw_broadcast *l = j->plan;
    const int64_t size = (int64_t)sw_dtype_size(j->out->type), begin = tile * j->per_tile,
                  end = lesser(begin + j->per_tile, j->rows);
    for (int64_t row = begin; row < end; row++) {
        const int64_t first = row * l->length[0] * size;
        int64_t a, b;
        binary_row_offsets(l, row, &a, &b);
        sw_binary_args inner = {.a = (const char *)j->a->data + a * size,
                                .b = (const char *)j->b->data + b * size,
                                .out = (char *)j->out->data + first,
                                .a_repeats = l->a_stride[0] == 0,
                                .b_repeats = l->b_stride[0] == 0,
                                .dy = j->dy ? (const char *)j->dy->data + first : NULL};
        j->kernel(&inner, 0, l->length[0], NULL);
    }
}

/* An operand while blocks of rows are processed. */
typedef struct row_operand {
    const sw_view *view;
    bool whole;     /* it has the shape of the output, so that its rows are contiguous */
    bool repeats;   /* one element for a whole row */
    int64_t loaded; /* the offset of the elements in `block`; -1: none */
    int64_t count;  /* their number */
    const float *at;
    _Alignas(SW_ALIGNMENT) float block[BLOCK];
} row_operand;

static const float *row_operand_load(row_operand *o, int64_t offset, int64_t n) {
    if (o->loaded != offset || o->count != n) { /* a row that repeats is converted once */
        o->at = block_load(o->view->data, o->view->type, offset, n, o->block);
        o->loaded = offset;
        o->count = n;
    }
    return o->at;
}

static void row_operand_init(row_operand *o, const sw_view *view, const sw_view *out, bool repeats) {
    o->view = view;
    o->whole = view->count == out->count;
    o->repeats = repeats && !o->whole;
    o->loaded = -1;
    o->count = 0;
}

/* Processes elements [at, at + n) of `group` consecutive rows, which begin with `row`; all elements of the rows if
 * there are several. */
static void binary_block(const binary_job *j, row_operand o[2], int64_t row, int64_t group, int64_t at, int64_t n) {
    const sw_broadcast *l = j->plan;
    const int64_t first = row * l->length[0] + at, count = group * n;
    _Alignas(SW_ALIGNMENT) float dy_block[BLOCK], out_block[BLOCK];
    float *const out = block_place(j->out->data, j->out->type, first, out_block);
    const float *const dy = j->dy ? block_load(j->dy->data, j->dy->type, first, count, dy_block) : NULL;
    for (int64_t i = 0; i < group; i++) {
        int64_t offset[2];
        const float *from[2];
        binary_row_offsets(l, row + i, &offset[0], &offset[1]);
        for (int k = 0; k < 2; k++)
            from[k] = o[k].whole     ? row_operand_load(&o[k], first, count) + i * n
                      : o[k].repeats ? row_operand_load(&o[k], offset[k], 1)
                                     : row_operand_load(&o[k], offset[k] + at, n);
        sw_binary_args inner = {.a = from[0],
                                .b = from[1],
                                .out = out + i * n,
                                .a_repeats = o[0].repeats,
                                .b_repeats = o[1].repeats,
                                .dy = dy ? dy + i * n : NULL};
        j->kernel(&inner, 0, n, NULL);
    }
    block_store(j->out->data, j->out->type, first, count, out);
}

/* Runs the kernel for f32 on the rows of a tile. Short rows are converted together, long ones in parts. */
static void binary_rows_in_blocks(void *args, int64_t tile) {
    const binary_job *j = args;
    const sw_broadcast *l = j->plan;
    const int64_t length = l->length[0], width = lesser(length, BLOCK), most = BLOCK / width;
    const int64_t begin = tile * j->per_tile, end = lesser(begin + j->per_tile, j->rows);
    row_operand o[2];
    row_operand_init(&o[0], j->a, j->out, l->a_stride[0] == 0);
    row_operand_init(&o[1], j->b, j->out, l->b_stride[0] == 0);
    for (int64_t row = begin; row < end; row += most)
        for (int64_t at = 0; at < length; at += width)
            binary_block(j, o, row, lesser(most, end - row), at, lesser(width, length - at));
}

/* As binary_rows_in_blocks, for operands of the shape of the output: the elements are one row. */
static void binary_in_blocks(void *args, int64_t begin, int64_t end, double *sums) {
    const binary_job *j = args;
    _Alignas(SW_ALIGNMENT) float a[BLOCK], b[BLOCK], dy[BLOCK], out[BLOCK];
    (void)sums;
    for (int64_t at = begin; at < end; at += BLOCK) {
        const int64_t n = lesser(BLOCK, end - at);
        sw_binary_args block = {.a = block_load(j->a->data, j->a->type, at, n, a),
                                .b = block_load(j->b->data, j->b->type, at, n, b),
                                .out = block_place(j->out->data, j->out->type, at, out)};
        if (j->dy)
            block.dy = block_load(j->dy->data, j->dy->type, at, n, dy);
        j->kernel(&block, 0, n, NULL);
        block_store(j->out->data, j->out->type, at, n, block.out);
    }
}

/* Whether the kernels can run on the memory of the operands. */
static bool binary_runs_in_place(const sw_kernels *kernels, const binary_job *j) {
    const sw_dtype type = j->out->type, dy_type = j->dy ? j->dy->type : type;
    if (sw_dtype_is_16_bit(j->a->type) || sw_dtype_is_16_bit(j->b->type) || sw_dtype_is_16_bit(dy_type) ||
        sw_dtype_is_16_bit(type))
        return sw_kernels_take(kernels, type) && j->a->type == type && j->b->type == type && dy_type == type;
    return true;
}

/* With operands of one shape. */
static void binary_run_whole(const sw_kernels *kernels, binary_job *j, bool in_place) {
    static const sw_kernels in_blocks = {[SW_F32] = {binary_in_blocks, binary_in_blocks, binary_in_blocks}};
    if (in_place) {
        sw_binary_args args = {.a = j->a->data, .b = j->b->data, .out = j->out->data, .dy = j->dy ? j->dy->data : NULL};
        sw_kernel_run(kernels, j->out->type, &args, j->out->count);
        return;
    }
    j->kernel = (*kernels)[SW_F32][sw_cpu_level()];
    sw_kernel_run(&in_blocks, SW_F32, j, j->out->count);
}

static void binary_run(const sw_kernels *kernels, const sw_view *a, const sw_view *b, const sw_view *dy,
                       const sw_view *out) {
    binary_job j = {.a = a, .b = b, .dy = dy, .out = out};
    if (out->count == 0)
        return;
    const bool in_place = binary_runs_in_place(kernels, &j);
    if (a->count == out->count && b->count == out->count) {
        binary_run_whole(kernels, &j, in_place);
        return;
    }
    const sw_broadcast plan = sw_broadcast_plan(out->rank, out->shape, a->rank, a->shape, b->rank, b->shape);
    j.plan = &plan;
    j.kernel = (*kernels)[in_place ? out->type : SW_F32][sw_cpu_level()];
    j.rows = out->count / plan.length[0];
    j.per_tile = 1 + (SW_TILE - 1) / plan.length[0];
    void (*const work)(void *args, int64_t tile) = in_place ? binary_rows_tile : binary_rows_in_blocks;
    const int64_t tiles = (j.rows + j.per_tile - 1) / j.per_tile;
    if (tiles < 4)
        for (int64_t t = 0; t < tiles; t++)
            work(&j, t);
    else
        sw_parallel(work, &j, tiles);
}

/* Runs the kernel on the memory of operands in f32 or f64 that have one shape. Returns false for others. It is
 * separate, so that operations on a few numbers pay for nothing else. */
static inline bool binary_run_plain(const sw_kernels *kernels, const sw_view *a, const sw_view *b, const sw_view *dy,
                                    const sw_view *out) {
    const unsigned types = (unsigned)a->type | (unsigned)b->type | (unsigned)out->type | (dy ? (unsigned)dy->type : 0);
    if (a->count != out->count || b->count != out->count || types > SW_F64)
        return false;
    sw_binary_args args = {.a = a->data, .b = b->data, .out = out->data, .dy = dy ? dy->data : NULL};
    sw_kernel_run(kernels, out->type, &args, out->count);
    return true;
}

void sw_binary_run(const sw_kernels *kernels, const sw_view *a, const sw_view *b, const sw_view *out) {
    if (!binary_run_plain(kernels, a, b, NULL, out))
        binary_run(kernels, a, b, NULL, out);
}

void sw_binary_run_vjp(const sw_kernels *kernels, const sw_view *a, const sw_view *b, const sw_view *dy,
                       const sw_view *out) {
    if (!binary_run_plain(kernels, a, b, dy, out))
        binary_run(kernels, a, b, dy, out);
}

sw_status sw_binary_shape(sw_call *c) {
    const sw_view *a = c->in[0], *b = c->in[1];
    if (c->inputs == 2 && a->type == b->type && a->rank == b->rank && sw_dtype_is_float(a->type) &&
        (a->rank == 0 || a->shape == b->shape))
        return sw_call_set_shape_like(c, 0);
    if (c->inputs != 2 || c->in[0]->type != c->in[1]->type || !sw_dtype_is_float(c->in[0]->type))
        SW_TRY(sw_call_check_float(c));
    return sw_call_set_shape_broadcast_of(c, c->in[0]->type);
}
