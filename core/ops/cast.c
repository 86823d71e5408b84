/* Conversion to another element type. */
#include <swale/extend.h>
#include <swale/vector.h>

static sw_dtype cast_type(const sw_call *c) {
    return *(const sw_dtype *)c->attributes;
}

static sw_status cast_shape(sw_call *c) {
    const sw_view *x = c->in[0];
    return sw_call_set_shape(c, cast_type(c), x->rank, x->shape);
}

typedef struct cast_job {
    sw_dtype from_type, to_type;
    const char *from;
    char *to;
    int64_t count;
} cast_job;

/* Integers are converted to f64, which holds them exactly, so that the result is rounded once. */
static void cast_integers(const cast_job *j, int64_t begin, int64_t end) {
    enum { BLOCK = 256 };
    double block[BLOCK];
    for (int64_t at = begin; at < end; at += BLOCK) {
        const int64_t n = end - at < BLOCK ? end - at : BLOCK;
        if (j->from_type == SW_U8)
            for (int64_t i = 0; i < n; i++)
                block[i] = ((const uint8_t *)j->from)[at + i];
        else
            for (int64_t i = 0; i < n; i++)
                block[i] = ((const int32_t *)(const void *)j->from)[at + i];
        sw_vector_convert(SW_F64, n, block, j->to_type, j->to + (size_t)at * sw_dtype_size(j->to_type));
    }
}

static void cast_tile(void *args, int64_t tile) {
    const cast_job *j = args;
    const int64_t begin = tile * SW_TILE, end = j->count - begin < SW_TILE ? j->count : begin + SW_TILE;
    if (!sw_dtype_is_float(j->from_type)) {
        cast_integers(j, begin, end);
        return;
    }
    sw_vector_convert(j->from_type, end - begin, j->from + (size_t)begin * sw_dtype_size(j->from_type), j->to_type,
                      j->to + (size_t)begin * sw_dtype_size(j->to_type));
}

static void cast_run(sw_dtype from_type, const void *from, sw_dtype to_type, void *to, int64_t count) {
    cast_job job = {.from_type = from_type, .to_type = to_type, .from = from, .to = to, .count = count};
    const bool half = from_type != SW_F64 && to_type != SW_F64 && sw_dtype_is_float(from_type);
    if (half) /* between f32 and f16 or bf16: the conversion shares tiles among the threads itself */
        sw_vector_convert(from_type, count, from, to_type, to);
    else
        sw_parallel(cast_tile, &job, (count + SW_TILE - 1) / SW_TILE);
}

static sw_status cast_forward(sw_call *c) {
    cast_run(c->in[0]->type, c->in[0]->data, c->out->type, c->out->data, c->out->count);
    return SW_OK;
}

static sw_status cast_vjp(sw_call *c) {
    void *dx = sw_call_grad(c, 0);
    if (!dx)
        return SW_ERR_MEMORY;
    cast_run(c->out->type, c->cotangent, c->in[0]->type, dx, c->out->count);
    return SW_OK;
}

static const sw_op cast_op = {.size = sizeof(sw_op),
                              .name = "cast",
                              .shape = cast_shape,
                              .forward = cast_forward,
                              .vjp = cast_vjp,
                              .takes_16_bit = true};

static sw_status same_type_vjp(sw_call *c) {
    sw_call_pass_grad(c, 0);
    return SW_OK;
}

static const sw_op same_type_op = {
    .size = sizeof(sw_op), .name = "cast", .shape = cast_shape, .vjp = same_type_vjp, .is_view = true};

sw_tensor sw_cast(sw_tensor x, sw_dtype type) {
    const sw_view *v = sw_tensor_view(x, "cast", 0);
    if (!v)
        return (sw_tensor){0};
    if (!sw_dtype_is_float(type)) {
        sw_fail(SW_ERR_TYPE, "cast: to %s; f32, f64, f16 or bf16 is needed", sw_dtype_name(type));
        return (sw_tensor){0};
    }
    return sw_apply(v->type == type ? &same_type_op : &cast_op, &type, sizeof type, 1, &x);
}
