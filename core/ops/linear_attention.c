/* Attention without softmax, composed of operations: heads become an axis of the batch of matrix products. */
#include <swale/attention.h>
#include <swale/extend.h>

#include <math.h>

static const char linear_name[] = "linear_attention";

/* ---- Checks ---- */

static sw_status linear_check_options(const sw_linear_attention_options *o) {
    if (o->heads < 0)
        return sw_fail(SW_ERR_ARGUMENT, "%s: %d heads; 1 or more are needed (0: 1)", linear_name, o->heads);
    if (!isfinite(o->scale))
        return sw_fail(SW_ERR_ARGUMENT, "%s: scale %g; a finite number is needed (0: 1)", linear_name, o->scale);
    if (o->map != SW_MAP_IDENTITY && o->map != SW_MAP_ELU)
        return sw_fail(SW_ERR_ARGUMENT, "%s: map %d; SW_MAP_IDENTITY or SW_MAP_ELU is needed", linear_name,
                       (int)o->map);
    if (o->normalized && o->map != SW_MAP_ELU)
        return sw_fail(SW_ERR_ARGUMENT, "%s: normalized without SW_MAP_ELU; sums of other weights may be 0",
                       linear_name);
    if (o->normalized && o->scale != 0)
        return sw_fail(SW_ERR_ARGUMENT, "%s: scale %g and normalized, which removes it; give one of them", linear_name,
                       o->scale);
    return SW_OK;
}

static sw_status linear_check_shapes(const sw_view *q, const sw_view *k, const sw_view *v, int64_t heads) {
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
        const sw_view *x = i ? v : q;
        if (x->shape[2] % heads != 0)
            return sw_fail(SW_ERR_SHAPE, "%s: %s %s with %lld heads; the last axis (%lld) must be a multiple of %lld",
                           linear_name, i ? "values" : "queries", i ? v_text : q_text, (long long)heads,
                           (long long)x->shape[2], (long long)heads);
    }
    return SW_OK;
}

static sw_status linear_check_types(const sw_view *q, const sw_view *k, const sw_view *v) {
    const sw_view *const all[] = {q, k, v};
    for (int i = 0; i < 3; i++)
        if (!sw_dtype_is_float(all[i]->type))
            return sw_fail(SW_ERR_TYPE, "%s: input %d is %s; f32, f64, f16 or bf16 is needed", linear_name, i,
                           sw_dtype_name(all[i]->type));
    for (int i = 1; i < 3; i++)
        if ((all[i]->type == SW_F64) != (q->type == SW_F64))
            return sw_fail(SW_ERR_TYPE, "%s: input %d is %s and input 0 is %s; f64 is not combined with other types",
                           linear_name, i, sw_dtype_name(all[i]->type), sw_dtype_name(q->type));
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

/* ---- The computation. Nothing is released, because the program may run backward several times. ---- */

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

/* u8 [queries, keys]: 1 for the keys 0 to i of query i. */
static sw_tensor linear_triangle(sw_tape *tape, int64_t queries, int64_t keys) {
    const sw_tensor mask = sw_empty(tape, SW_U8, 2, (const int64_t[]){queries, keys});
    uint8_t *to = sw_value(mask).data;
    for (int64_t i = 0; to && i < queries && !sw_dry_run(); i++)
        for (int64_t j = 0; j < keys; j++)
            to[i * keys + j] = j <= i;
    return mask;
}

/* The results of all queries, and the sums of their weights. q, k, v: [batch, heads, length, features]. */
static sw_tensor linear_sum(sw_tensor q, sw_tensor k, sw_tensor v, sw_dtype type, bool causal, int64_t queries,
                            int64_t keys, sw_tensor *weights_sum) {
    if (!causal) {
        const sw_tensor state = sw_matmul_transposed(k, v, true, false),
                        all = weights_sum ? sw_sum_over(k, SW_AXES(2), true) : (sw_tensor){0};
        if (weights_sum)
            *weights_sum = sw_matmul_transposed(q, all, false, true);
        return sw_matmul(q, state);
    }
    sw_tensor weights = sw_matmul_transposed(q, k, false, true);
    const sw_tensor triangle = linear_triangle(q.tape, queries, keys);
    weights = sw_where(triangle, weights, sw_constant(q.tape, type, 0));
    if (weights_sum)
        *weights_sum = sw_sum_over(weights, SW_AXES(3), true);
    return sw_matmul(weights, v);
}

/* y / sum, and 0 where the sum is 0, because then y is 0 too. */
static sw_tensor linear_normalize(sw_tensor y, sw_tensor sum, sw_dtype type) {
    const sw_tensor is_zero = sw_equal(sum, sw_constant(y.tape, type, 0)),
                    divisor = sw_where(is_zero, sw_constant(y.tape, type, 1), sum);
    return sw_div(y, divisor);
}

static sw_tensor linear_apply(const sw_linear_attention_options *o, const sw_tensor in[3], const sw_view *const view[3],
                              sw_dtype result) {
    const sw_dtype type = sw_dtype_compute(result);
    const int64_t heads = o->heads ? o->heads : 1, batch = view[0]->shape[0], queries = view[0]->shape[1],
                  keys = view[1]->shape[1], values = view[2]->shape[2];
    sw_tensor q = linear_split(in[0], view[0], type, heads, o->map),
              k = linear_split(in[1], view[1], type, heads, o->map),
              v = linear_split(in[2], view[2], type, heads, SW_MAP_IDENTITY), sum = {0};
    if (!sw_is_null(o->key_padding)) {
        const sw_tensor padding = sw_reshape(o->key_padding, 4, (const int64_t[]){batch, 1, keys, 1});
        k = sw_where(padding, sw_constant(q.tape, type, 0), k);
    }
    sw_tensor y = linear_sum(q, k, v, type, o->causal, queries, keys, o->normalized ? &sum : NULL);
    if (o->normalized)
        y = linear_normalize(y, sum, type);
    if (o->scale != 0)
        y = sw_scale(y, o->scale);
    y = sw_permute(y, SW_AXES(0, 2, 1, 3));
    y = sw_reshape(y, 3, (const int64_t[]){batch, queries, values});
    return sw_cast(y, result);
}

sw_tensor sw_linear_attention(sw_tensor q, sw_tensor k, sw_tensor v, const sw_linear_attention_options *options) {
    sw_linear_attention_options o = {.size = sizeof o};
    const sw_tensor in[3] = {q, k, v};
    const sw_view *view[3];
    if (options &&
        sw_options_copy(linear_name, "sw_linear_attention_options", &o, sizeof o, options, sizeof o) != SW_OK)
        return (sw_tensor){0};
    for (int i = 0; i < 3; i++)
        if (!(view[i] = sw_tensor_view(in[i], linear_name, i)))
            return (sw_tensor){0};
    if (linear_check_options(&o) != SW_OK || linear_check_types(view[0], view[1], view[2]) != SW_OK ||
        linear_check_shapes(view[0], view[1], view[2], o.heads ? o.heads : 1) != SW_OK ||
        linear_check_padding(o.key_padding, view[1]) != SW_OK)
        return (sw_tensor){0};
    const bool equal = view[0]->type == view[1]->type && view[0]->type == view[2]->type;
    return linear_apply(&o, in, view, equal ? view[0]->type : SW_F32);
}
