/* Attention without softmax, composed of operations: heads become an axis of the batch of matrix products. */
#include <swale/attention.h>
#include <swale/extend.h>

#include <math.h>

static const char linear_name[] = "linear_attention";
enum { CHUNK = 64 /* positions that are computed together if the attention is causal */ };

/* ---- Checks ---- */

static sw_status linear_check_options(const sw_linear_attention_options *o) {
    if (o->heads < 0)
        return sw_fail(SW_ERR_ARGUMENT, "%s: %d heads; 1 or more are needed (0: 1)", linear_name, o->heads);
    if (!isfinite(o->scale))
        return sw_fail(SW_ERR_ARGUMENT, "%s: scale %g; a finite number is needed (0: 1)", linear_name, o->scale);
    if (o->map != SW_MAP_IDENTITY && o->map != SW_MAP_ELU)
        return sw_fail(SW_ERR_ARGUMENT, "%s: map %d; SW_MAP_IDENTITY or SW_MAP_ELU is needed", linear_name,
                       (int)o->map);
    if (o->result != SW_LINEAR_OUTPUTS && o->result != SW_LINEAR_STATE)
        return sw_fail(SW_ERR_ARGUMENT, "%s: result %d; SW_LINEAR_OUTPUTS or SW_LINEAR_STATE is needed", linear_name,
                       (int)o->result);
    if (o->normalized && o->map != SW_MAP_ELU)
        return sw_fail(SW_ERR_ARGUMENT, "%s: normalized without SW_MAP_ELU; sums of other weights may be 0",
                       linear_name);
    if (o->normalized && o->scale != 0)
        return sw_fail(SW_ERR_ARGUMENT, "%s: scale %g and normalized, which removes it; give one of them", linear_name,
                       o->scale);
    return SW_OK;
}

typedef struct linear_operands {
    const sw_view *q, *k, *v;
    int64_t heads;
} linear_operands;

static sw_status linear_check_shapes(const linear_operands *x) {
    const sw_view *const q = x->q, *const k = x->k, *const v = x->v;
    const char *const q_text = sw_shape_text(q->rank, q->shape), *const k_text = sw_shape_text(k->rank, k->shape),
                      *const v_text = sw_shape_text(v->rank, v->shape);
    if (q->rank != 3 || k->rank != 3 || v->rank != 3)
        return sw_fail(SW_ERR_SHAPE, "%s: queries %s, keys %s and values %s; [batch, length, features] is needed",
                       linear_name, q_text, k_text, v_text);
    if (q->shape[0] != k->shape[0] || q->shape[0] != v->shape[0])
        return sw_fail(SW_ERR_SHAPE, "%s: queries %s, keys %s and values %s; axis 0 must be equal", linear_name, q_text,
                       k_text, v_text);
    if (q->shape[2] != k->shape[2])
        return sw_fail(SW_ERR_SHAPE, "%s: queries %s and keys %s; axis 2 must be equal", linear_name, q_text, k_text);
    if (k->shape[1] != v->shape[1])
        return sw_fail(SW_ERR_SHAPE, "%s: keys %s and values %s; axis 1 must be equal", linear_name, k_text, v_text);
    for (int i = 0; i < 2; i++) {
        const sw_view *one = i ? v : q;
        if (one->shape[2] % x->heads != 0)
            return sw_fail(SW_ERR_SHAPE, "%s: %s %s with %lld heads; the last axis (%lld) must be a multiple of %lld",
                           linear_name, i ? "values" : "queries", i ? v_text : q_text, (long long)x->heads,
                           (long long)one->shape[2], (long long)x->heads);
    }
    return SW_OK;
}

static sw_status linear_check_types(const linear_operands *x) {
    const sw_view *const all[] = {x->q, x->k, x->v};
    for (int i = 0; i < 3; i++)
        if (!sw_dtype_is_float(all[i]->type))
            return sw_fail(SW_ERR_TYPE, "%s: input %d is %s; f32, f64, f16 or bf16 is needed", linear_name, i,
                           sw_dtype_name(all[i]->type));
    for (int i = 1; i < 3; i++)
        if ((all[i]->type == SW_F64) != (x->q->type == SW_F64))
            return sw_fail(SW_ERR_TYPE, "%s: input %d is %s and input 0 is %s; f64 is not combined with other types",
                           linear_name, i, sw_dtype_name(all[i]->type), sw_dtype_name(x->q->type));
    return SW_OK;
}

static sw_status linear_check_padding(sw_tensor padding, const sw_view *k) {
    if (sw_is_null(padding))
        return SW_OK;
    const sw_view *view = sw_tensor_view(padding, linear_name, 3);
    if (!view)
        return sw_error_status();
    if (view->type != SW_U8)
        return sw_fail(SW_ERR_TYPE, "%s: the key padding is %s; u8 is needed", linear_name, sw_dtype_name(view->type));
    if (view->rank != 2 || view->shape[0] != k->shape[0] || view->shape[1] != k->shape[1])
        return sw_fail(SW_ERR_SHAPE, "%s: the key padding is %s; [batch, keys] = [%lld,%lld] is needed", linear_name,
                       sw_shape_text(view->rank, view->shape), (long long)k->shape[0], (long long)k->shape[1]);
    return SW_OK;
}

static sw_status linear_check_state(const sw_linear_attention_options *o, const linear_operands *x) {
    if (sw_is_null(o->state))
        return SW_OK;
    const sw_view *view = sw_tensor_view(o->state, linear_name, 4);
    if (!view)
        return sw_error_status();
    const int64_t shape[4] = {x->k->shape[0], x->heads, x->k->shape[2] / x->heads,
                              x->v->shape[2] / x->heads + o->normalized};
    const sw_dtype type = x->k->type == SW_F64 ? SW_F64 : SW_F32;
    if (view->type != type || !sw_shape_equal(view->rank, view->shape, 4, shape))
        return sw_fail(SW_ERR_SHAPE, "%s: the state is %s %s; %s %s is needed", linear_name, sw_dtype_name(view->type),
                       sw_shape_text(view->rank, view->shape), sw_dtype_name(type), sw_shape_text(4, shape));
    return SW_OK;
}

/* ---- The computation. Nothing is released, because the program may run backward several times. ---- */

/* Queries, keys and values in the compute type, behind the feature map: [batch, heads, length, features]. */
typedef struct linear_heads {
    sw_tensor q, k, v;
    int64_t queries, keys;
    sw_dtype type;
} linear_heads;

/* What a query reads of keys: Σ φ(k) vᵀ [..., d, e], and Σ φ(k) [..., 1, d], which is null unless it is needed. */
typedef struct linear_state {
    sw_tensor products, keys;
} linear_state;

/* The results of queries before the division, and the sums of their weights, null unless they are needed. */
typedef struct linear_result {
    sw_tensor y, weights;
} linear_result;

/* [batch, length, heads·d] → [batch, heads, length, d], in `type`, after the feature map. */
static sw_tensor linear_split(sw_tensor x, const sw_view *view, sw_dtype type, int64_t heads, sw_feature_map map) {
    const int64_t shape[4] = {view->shape[0], view->shape[1], heads, view->shape[2] / heads};
    sw_tensor y = sw_cast(x, type);
    if (map == SW_MAP_ELU) {
        y = sw_elu(y, 1);
        y = sw_add(y, sw_constant(x.tape, type, 1));
    }
    y = sw_reshape(y, 4, shape);
    return sw_permute(y, SW_AXES(0, 2, 1, 3));
}

/* Keys behind the feature map; those of the padding are 0. */
static sw_tensor linear_split_keys(const sw_linear_attention_options *o, sw_tensor k, const linear_operands *x,
                                   sw_dtype type) {
    const sw_tensor y = linear_split(k, x->k, type, x->heads, o->map);
    if (sw_is_null(o->key_padding))
        return y;
    const int64_t shape[4] = {x->k->shape[0], 1, x->k->shape[1], 1};
    return sw_where(sw_reshape(o->key_padding, 4, shape), sw_constant(k.tape, type, 0), y);
}

/* The state after the keys along the axis before the last. */
static linear_state linear_sum(sw_tensor k, sw_tensor v, bool normalized) {
    linear_state s = {.products = sw_matmul_transposed(k, v, true, false)};
    if (normalized)
        s.keys = sw_sum_over(k, SW_AXES(-2), true);
    return s;
}

/* The parts of options->state. */
static linear_state linear_given(const sw_linear_attention_options *o, const linear_operands *x) {
    linear_state s = {.products = o->state};
    if (sw_is_null(o->state) || !o->normalized)
        return s;
    const int64_t values = x->v->shape[2] / x->heads;
    s.products = sw_slice(o->state, -1, 0, values);
    s.keys = sw_permute(sw_slice(o->state, -1, values, SW_END), SW_AXES(0, 1, 3, 2));
    return s;
}

/* a + b, either of which may be null. */
static sw_tensor linear_add(sw_tensor a, sw_tensor b) {
    return sw_is_null(a) ? b : sw_is_null(b) ? a : sw_add(a, b);
}

static linear_result linear_read(sw_tensor q, linear_state s) {
    linear_result r = {.y = sw_matmul(q, s.products)};
    if (!sw_is_null(s.keys))
        r.weights = sw_matmul_transposed(q, s.keys, false, true);
    return r;
}

/* u8 [queries, keys]: 1 for the keys 0 to i of query i. */
static sw_tensor linear_triangle(sw_tape *tape, int64_t queries, int64_t keys) {
    const sw_tensor mask = sw_empty(tape, SW_U8, 2, (const int64_t[]){queries, keys});
    uint8_t *to = sw_value(mask).data;
    for (int64_t i = 0; to && i < queries && !sw_dry_run(); i++)
        for (int64_t j = 0; j < keys; j++)
            to[i * keys + j] = j <= i;
    return mask;
}

/* Query i sees the keys 0 to i. */
static linear_result linear_causal(const linear_heads *x, bool normalized) {
    sw_tensor all = sw_matmul_transposed(x->q, x->k, false, true);
    all = sw_where(linear_triangle(x->q.tape, x->queries, x->keys), all, sw_constant(x->q.tape, x->type, 0));
    linear_result r = {.y = sw_matmul(all, x->v)};
    if (normalized)
        r.weights = sw_sum_over(all, SW_AXES(-1), true);
    return r;
}

/* [batch, heads, length, n] → [batch, heads, chunks, CHUNK, n]: positions behind the last chunk are left out, and
 * missing ones are 0. */
static sw_tensor linear_divide(sw_tensor x, int64_t length, int64_t chunks) {
    const int64_t wanted = chunks * CHUNK;
    if (length > wanted)
        x = sw_slice(x, 2, 0, wanted);
    if (length < wanted)
        x = sw_pad(x, 4, (const int64_t[]){0, 0, 0, 0}, (const int64_t[]){0, 0, wanted - length, 0}, 0);
    const sw_array a = sw_value(x);
    return sw_reshape(x, 5, (const int64_t[]){a.shape[0], a.shape[1], chunks, CHUNK, a.shape[3]});
}

/* The sums over all chunks before each: [batch, heads, chunks, …]. */
static sw_tensor linear_before(sw_tensor sums) {
    if (sw_is_null(sums))
        return sums;
    sw_tensor earlier = sw_slice(sums, 2, 0, -1);
    earlier = sw_pad(earlier, 5, (const int64_t[]){0, 0, 1, 0, 0}, (const int64_t[]){0, 0, 0, 0, 0}, 0);
    return sw_cumsum(earlier, 2);
}

/* [batch, heads, chunks, CHUNK, n] → [batch, heads, length, n]. */
static sw_tensor linear_unite(sw_tensor x, int64_t length) {
    const sw_array a = sw_value(x);
    const sw_tensor all = sw_reshape(x, 4, (const int64_t[]){a.shape[0], a.shape[1], a.shape[2] * CHUNK, a.shape[4]});
    return sw_slice(all, 2, 0, length);
}

/* As linear_causal, for any number of positions. */
static linear_result linear_chunks(const linear_heads *x, bool normalized) {
    const int64_t chunks = (x->queries + CHUNK - 1) / CHUNK;
    const linear_heads part = {.q = linear_divide(x->q, x->queries, chunks),
                               .k = linear_divide(x->k, x->keys, chunks),
                               .v = linear_divide(x->v, x->keys, chunks),
                               .queries = CHUNK,
                               .keys = CHUNK,
                               .type = x->type};
    const linear_state sums = linear_sum(part.k, part.v, normalized),
                       earlier = {linear_before(sums.products), linear_before(sums.keys)};
    const linear_result inside = linear_causal(&part, normalized), before = linear_read(part.q, earlier);
    linear_result r = {.y = linear_unite(sw_add(inside.y, before.y), x->queries)};
    if (normalized)
        r.weights = linear_unite(sw_add(inside.weights, before.weights), x->queries);
    return r;
}

/* y / sum, and 0 where the sum is 0, because then y is 0 too. */
static sw_tensor linear_normalize(sw_tensor y, sw_tensor sum, sw_dtype type) {
    const sw_tensor is_zero = sw_equal(sum, sw_constant(y.tape, type, 0)),
                    divisor = sw_where(is_zero, sw_constant(y.tape, type, 1), sum);
    return sw_div(y, divisor);
}

static sw_tensor linear_apply(const sw_linear_attention_options *o, const sw_tensor in[3], const linear_operands *x,
                              sw_dtype result) {
    const sw_dtype type = sw_dtype_compute(result);
    const linear_heads h = {.q = linear_split(in[0], x->q, type, x->heads, o->map),
                            .k = linear_split_keys(o, in[1], x, type),
                            .v = linear_split(in[2], x->v, type, x->heads, SW_MAP_IDENTITY),
                            .queries = x->q->shape[1],
                            .keys = x->k->shape[1],
                            .type = type};
    linear_state state = linear_given(o, x);
    linear_result r = {0};
    if (o->causal) {
        r = h.queries > CHUNK ? linear_chunks(&h, o->normalized) : linear_causal(&h, o->normalized);
    } else {
        const linear_state sum = linear_sum(h.k, h.v, o->normalized);
        state.products = linear_add(sum.products, state.products);
        state.keys = linear_add(sum.keys, state.keys);
    }
    if (!sw_is_null(state.products)) {
        const linear_result earlier = linear_read(h.q, state);
        r.y = linear_add(r.y, earlier.y);
        r.weights = linear_add(r.weights, earlier.weights);
    }
    sw_tensor y = o->normalized ? linear_normalize(r.y, r.weights, type) : r.y;
    if (o->scale != 0)
        y = sw_scale(y, o->scale);
    y = sw_permute(y, SW_AXES(0, 2, 1, 3));
    y = sw_reshape(y, 3, (const int64_t[]){x->q->shape[0], h.queries, x->v->shape[2]});
    return sw_cast(y, result);
}

/* The state after all keys, in the type `type`. */
static sw_tensor linear_state_after(const sw_linear_attention_options *o, const sw_tensor in[3],
                                    const linear_operands *x, sw_dtype type) {
    const linear_state s = linear_sum(linear_split_keys(o, in[1], x, type),
                                      linear_split(in[2], x->v, type, x->heads, SW_MAP_IDENTITY), o->normalized);
    sw_tensor all = s.products;
    if (o->normalized)
        all = sw_concat(SW_TENSORS(all, sw_permute(s.keys, SW_AXES(0, 1, 3, 2))), -1);
    return sw_is_null(o->state) ? all : sw_add(all, o->state);
}

sw_tensor sw_linear_attention(sw_tensor q, sw_tensor k, sw_tensor v, const sw_linear_attention_options *options) {
    sw_linear_attention_options o = {.size = sizeof o};
    const sw_tensor none = {0}, in[3] = {q, k, v};
    const sw_view *view[3];
    if (options &&
        sw_options_copy(linear_name, "sw_linear_attention_options", &o, sizeof o, options, sizeof o) != SW_OK)
        return none;
    for (int i = 0; i < 3; i++)
        if (!(view[i] = sw_tensor_view(in[i], linear_name, i)))
            return none;
    if (linear_check_options(&o) != SW_OK)
        return none;
    const linear_operands x = {view[0], view[1], view[2], o.heads ? o.heads : 1};
    if (linear_check_types(&x) != SW_OK || linear_check_shapes(&x) != SW_OK ||
        linear_check_padding(o.key_padding, x.k) != SW_OK || linear_check_state(&o, &x) != SW_OK)
        return none;
    const bool equal = x.q->type == x.k->type && x.q->type == x.v->type;
    const sw_dtype type = equal ? x.q->type : SW_F32;
    return o.result == SW_LINEAR_STATE ? linear_state_after(&o, in, &x, sw_dtype_compute(type))
                                       : linear_apply(&o, in, &x, type);
}
