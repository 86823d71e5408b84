/* Comparisons, logic and elementwise selection for any element type, with broadcasting. */
#include <swale/copy.h>
#include <swale/extend.h>

#include <string.h>

/* ---- Runs of contiguous elements: out[i] from a[i], b[i] and, for where, a condition ---- */

typedef struct run {
    const char *in[3];
    char *out;
    int64_t n;
} run;

typedef float __attribute__((may_alias)) real_f32;
typedef double __attribute__((may_alias)) real_f64;
typedef int32_t __attribute__((may_alias)) whole_i32;
typedef uint8_t __attribute__((may_alias)) whole_u8;
/* Unsigned types by which the chosen elements are moved. */
typedef uint16_t __attribute__((may_alias)) bits16;
typedef uint32_t __attribute__((may_alias)) bits32;
typedef uint64_t __attribute__((may_alias)) bits64;

#define COMPARE(name, type, sign)                        \
    static void name##_##type(const run *r) {            \
        const type *restrict a = (const type *)r->in[0]; \
        const type *restrict b = (const type *)r->in[1]; \
        whole_u8 *restrict out = (whole_u8 *)r->out;     \
        for (int64_t i = 0; i < r->n; i++)               \
            out[i] = a[i] sign b[i];                     \
    }
#define COMPARE_ALL(name, sign)    \
    COMPARE(name, real_f32, sign)  \
    COMPARE(name, real_f64, sign)  \
    COMPARE(name, whole_i32, sign) \
    COMPARE(name, whole_u8, sign)
COMPARE_ALL(greater, >)
COMPARE_ALL(less, <)
COMPARE_ALL(equal, ==)
COMPARE_ALL(greater_equal, >=)
COMPARE_ALL(less_equal, <=)
COMPARE_ALL(not_equal, !=)

/* f16 and bf16 are compared as integers: without the sign bit, the bits of a larger number are larger. */
static inline int half_order(bits16 x) {
    const int magnitude = x & 0x7FFF;
    return x & 0x8000 ? -magnitude : magnitude;
}

/* `infinity`: the bits of ∞; those of a NaN, without the sign bit, are larger. `negated` is 1 for the negation of the
 * comparison, which holds for NaN. */
#define COMPARE_HALF(name, type, sign, negated, infinity)                                                      \
    static void name##_##type(const run *r) {                                                                  \
        const bits16 *restrict a = (const bits16 *)r->in[0];                                                   \
        const bits16 *restrict b = (const bits16 *)r->in[1];                                                   \
        whole_u8 *restrict out = (whole_u8 *)r->out;                                                           \
        for (int64_t i = 0; i < r->n; i++)                                                                     \
            out[i] = (negated) ^ ((half_order(a[i]) sign half_order(b[i])) & ((a[i] & 0x7FFF) <= (infinity)) & \
                                  ((b[i] & 0x7FFF) <= (infinity)));                                            \
    }
#define COMPARE_HALVES(name, sign, negated)             \
    COMPARE_HALF(name, half_f16, sign, negated, 0x7C00) \
    COMPARE_HALF(name, half_bf16, sign, negated, 0x7F80)
COMPARE_HALVES(greater, >, 0)
COMPARE_HALVES(less, <, 0)
COMPARE_HALVES(equal, ==, 0)
COMPARE_HALVES(greater_equal, >=, 0)
COMPARE_HALVES(less_equal, <=, 0)
COMPARE_HALVES(not_equal, ==, 1)

/* Logic: an element is true if it is not 0. NaN is true; both zeros of a floating-point type are false. `second`: the
 * operand b, 1; for an expression of a alone, 0. */
#define LOGIC(name, type, second, expression)                 \
    static void name##_##type(const run *r) {                 \
        const type *restrict p = (const type *)r->in[0];      \
        const type *restrict q = (const type *)r->in[second]; \
        whole_u8 *restrict out = (whole_u8 *)r->out;          \
        for (int64_t i = 0; i < r->n; i++) {                  \
            const bool a = TRUTH_##type(p[i]);                \
            const bool b = TRUTH_##type(q[i]);                \
            (void)b;                                          \
            out[i] = expression;                              \
        }                                                     \
    }
#define TRUTH_real_f32(v) ((v) != 0)
#define TRUTH_real_f64(v) ((v) != 0)
#define TRUTH_whole_i32(v) ((v) != 0)
#define TRUTH_whole_u8(v) ((v) != 0)
#define TRUTH_bits16(v) (((v)&0x7FFF) != 0)
#define LOGIC_ALL(name, second, expression)    \
    LOGIC(name, real_f32, second, expression)  \
    LOGIC(name, real_f64, second, expression)  \
    LOGIC(name, bits16, second, expression)    \
    LOGIC(name, whole_i32, second, expression) \
    LOGIC(name, whole_u8, second, expression)
LOGIC_ALL(logical_and, 1, a &b)
LOGIC_ALL(logical_or, 1, a | b)
LOGIC_ALL(logical_xor, 1, a ^ b)
LOGIC_ALL(logical_not, 0, !a)

#define CHOOSE(condition, type)                                        \
    static void choose_##condition##_##type(const run *r) {            \
        const condition *restrict which = (const condition *)r->in[0]; \
        const type *restrict a = (const type *)r->in[1];               \
        const type *restrict b = (const type *)r->in[2];               \
        type *restrict out = (type *)r->out;                           \
        for (int64_t i = 0; i < r->n; i++) {                           \
            const type yes = a[i], no = b[i];                          \
            out[i] = which[i] ? yes : no;                              \
        }                                                              \
    }
#define CHOOSE_ALL(condition)   \
    CHOOSE(condition, whole_u8) \
    CHOOSE(condition, bits16)   \
    CHOOSE(condition, bits32)   \
    CHOOSE(condition, bits64)
CHOOSE_ALL(whole_u8)
CHOOSE_ALL(whole_i32)

typedef void run_function(const run *r);

/* ---- The loop over the result ---- */

enum { OUT = 3, SPAN = 256 }; /* the operand that is written; elements of a run if an operand repeats */

typedef struct walk {
    sw_box box; /* operands 0 to 2 are read */
    const char *in[3];
    char *out;
    size_t size[4]; /* the size of an element of each operand */
    run_function *function;
    int inputs;
    int64_t piece, pieces; /* the length of a piece of the last axis; the number of pieces */
    int64_t units, per_tile;
} walk;

static void walk_init(size_t size, const char *from, int64_t n, char *to) {
    if (size == 1)
        memset(to, *(const whole_u8 *)from, (size_t)n);
    else if (size == 2)
        for (int64_t i = 0; i < n; i++)
            ((bits16 *)(void *)to)[i] = *(const bits16 *)(const void *)from;
    else if (size == 4)
        for (int64_t i = 0; i < n; i++)
            ((bits32 *)(void *)to)[i] = *(const bits32 *)(const void *)from;
    else
        for (int64_t i = 0; i < n; i++)
            ((bits64 *)(void *)to)[i] = *(const bits64 *)(const void *)from;
}

/* Computes one piece of the last axis. An operand that repeats is first copied to all elements of a row, so that one
 * loop is enough for all cases. */
static void walk_run(const walk *w, const int64_t at[4], int64_t n) {
    const int last = w->box.axes - 1;
    _Alignas(SW_ALIGNMENT) char row[3][SPAN * sizeof(double)];
    int64_t span = n;
    for (int k = 0; k < w->inputs; k++)
        if (w->box.stride[k][last] == 0) {
            span = n < SPAN ? n : SPAN;
            walk_init(w->size[k], w->in[k] + (size_t)at[k] * w->size[k], span, row[k]);
        }
    for (int64_t i = 0; i < n; i += span) {
        run r = {.out = w->out + (size_t)(at[OUT] + i) * w->size[OUT], .n = n - i < span ? n - i : span};
        for (int k = 0; k < w->inputs; k++)
            r.in[k] = w->box.stride[k][last] == 0 ? row[k] : w->in[k] + (size_t)(at[k] + i) * w->size[k];
        w->function(&r);
    }
}

static void walk_tile(void *args, int64_t tile) {
    const walk *w = args;
    const int last = w->box.axes - 1;
    for (int64_t u = tile * w->per_tile; u < (tile + 1) * w->per_tile && u < w->units; u++) {
        const int64_t first = u % w->pieces * w->piece, n = w->box.length[last] - first;
        int64_t rest = u / w->pieces, at[4];
        for (int k = 0; k < 4; k++)
            at[k] = first * w->box.stride[k][last];
        for (int axis = last - 1; axis >= 0; axis--) {
            const int64_t index = rest % w->box.length[axis];
            rest /= w->box.length[axis];
            for (int k = 0; k < 4; k++)
                at[k] += index * w->box.stride[k][axis];
        }
        walk_run(w, at, n < w->piece ? n : w->piece);
    }
}

/* Computes out from operands that are broadcast to its shape. */
static void walk_over(run_function *function, int inputs, const sw_view *const *in, const sw_view *out) {
    walk w = {.box.axes = out->rank, .function = function, .inputs = inputs, .out = out->data};
    if (out->count == 0)
        return;
    for (int axis = 0; axis < out->rank; axis++)
        w.box.length[axis] = out->shape[axis];
    sw_strides(out->rank, out->shape, w.box.stride[OUT]);
    w.size[OUT] = sw_dtype_size(out->type);
    for (int k = 0; k < inputs; k++) {
        int64_t stride[SW_MAX_RANK];
        const int before = out->rank - in[k]->rank;
        sw_strides(in[k]->rank, in[k]->shape, stride);
        for (int axis = before; axis < out->rank; axis++)
            w.box.stride[k][axis] = in[k]->shape[axis - before] == 1 ? 0 : stride[axis - before];
        w.in[k] = in[k]->data;
        w.size[k] = sw_dtype_size(in[k]->type);
    }
    sw_box_join(&w.box, 4);
    const int64_t length = w.box.length[w.box.axes - 1];
    w.piece = length < SW_TILE ? length : SW_TILE;
    w.pieces = (length + w.piece - 1) / w.piece;
    w.units = out->count / length * w.pieces;
    w.per_tile = 1 + (SW_TILE - 1) / w.piece;
    const int64_t tiles = (w.units + w.per_tile - 1) / w.per_tile;
    if (out->count < SW_SERIAL)
        for (int64_t t = 0; t < tiles; t++)
            walk_tile(&w, t);
    else
        sw_parallel(walk_tile, &w, tiles);
}

/* ---- Comparisons and logic ---- */

static sw_status compare_shape(sw_call *c) {
    SW_TRY(sw_call_check_equal_types(c, 0));
    return sw_call_set_shape_broadcast_of(c, SW_U8);
}

/* The operation fn##_op with the result u8. `f16` and `bf16` are the names of its functions for these types. */
#define TO_U8(fn, inputs, f16, bf16)                                                       \
    static sw_status fn##_forward(sw_call *c) {                                            \
        static run_function *const by_type[] = {                                           \
            [SW_F32] = fn##_real_f32, [SW_F64] = fn##_real_f64,  [SW_F16] = fn##_##f16,    \
            [SW_BF16] = fn##_##bf16,  [SW_I32] = fn##_whole_i32, [SW_U8] = fn##_whole_u8}; \
        walk_over(by_type[c->in[0]->type], inputs, c->in, c->out);                         \
        return SW_OK;                                                                      \
    }                                                                                      \
    static const sw_op fn##_op = {                                                         \
        .size = sizeof(sw_op), .name = #fn, .shape = compare_shape, .forward = fn##_forward, .takes_16_bit = true};
#define COMPARISON(fn, f16, bf16)                                   \
    TO_U8(fn, 2, f16, bf16)                                         \
    sw_tensor sw_##fn(sw_tensor a, sw_tensor b) {                   \
        return sw_apply(&fn##_op, NULL, 0, 2, (sw_tensor[]){a, b}); \
    }
COMPARISON(greater, half_f16, half_bf16)
COMPARISON(less, half_f16, half_bf16)
COMPARISON(equal, half_f16, half_bf16)
COMPARISON(greater_equal, half_f16, half_bf16)
COMPARISON(less_equal, half_f16, half_bf16)
COMPARISON(not_equal, half_f16, half_bf16)
COMPARISON(logical_and, bits16, bits16)
COMPARISON(logical_or, bits16, bits16)
COMPARISON(logical_xor, bits16, bits16)

TO_U8(logical_not, 1, bits16, bits16)

sw_tensor sw_logical_not(sw_tensor x) {
    return sw_apply(&logical_not_op, NULL, 0, 1, &x);
}

/* ---- where ---- */

static sw_status where_shape(sw_call *c) {
    const sw_view *condition = c->in[0];
    if (condition->type != SW_U8 && condition->type != SW_I32)
        return sw_fail(SW_ERR_TYPE, "where: the condition is %s; u8 or i32 is needed", sw_dtype_name(condition->type));
    SW_TRY(sw_call_check_equal_types(c, 1));
    return sw_call_set_shape_broadcast_of(c, c->in[1]->type);
}

static void where_run(const sw_view *condition, const sw_view *a, const sw_view *b, const sw_view *out) {
    static run_function *const by_size[2][4] = {
        {choose_whole_u8_whole_u8, choose_whole_u8_bits16, choose_whole_u8_bits32, choose_whole_u8_bits64},
        {choose_whole_i32_whole_u8, choose_whole_i32_bits16, choose_whole_i32_bits32, choose_whole_i32_bits64}};
    const size_t size = sw_dtype_size(out->type);
    walk_over(by_size[condition->type == SW_I32][size == 1   ? 0
                                                 : size == 2 ? 1
                                                 : size == 4 ? 2
                                                             : 3],
              3, (const sw_view *[]){condition, a, b}, out);
}

static sw_status where_forward(sw_call *c) {
    where_run(c->in[0], c->in[1], c->in[2], c->out);
    return SW_OK;
}

/* The gradient of an operand is the cotangent where the operand was selected, else 0. It is selected and not
 * multiplied, because 0·∞ would be NaN. */
static sw_status where_vjp(sw_call *c) {
    static const double zero = 0; /* all bits of every type are 0 */
    sw_view none = {.data = (void *)(uintptr_t)&zero, .count = 1, .type = c->out->type};
    sw_view dy = *c->out, d = *c->out;
    dy.data = (void *)(uintptr_t)c->cotangent;
    for (int i = 1; i <= 2; i++) {
        if (!sw_call_wants_grad(c, i))
            continue;
        d.data = sw_call_grad(c, i);
        if (!d.data)
            return SW_ERR_MEMORY;
        where_run(c->in[0], i == 1 ? &dy : &none, i == 1 ? &none : &dy, &d);
    }
    return SW_OK;
}

static const sw_op where_op = {.size = sizeof(sw_op),
                               .name = "where",
                               .shape = where_shape,
                               .forward = where_forward,
                               .vjp = where_vjp,
                               .vjp_reads = SW_READS(0),
                               .broadcasts = true,
                               .takes_16_bit = true};

sw_tensor sw_where(sw_tensor condition, sw_tensor a, sw_tensor b) {
    return sw_apply(&where_op, NULL, 0, 3, (sw_tensor[]){condition, a, b});
}
