/* Predictions of a model for arrays, without a tape in the program. */
#include <swale/extend.h>

#include "nn/evaluation.h"
#include "nn/model.h"
#include "nn/module_type.h"

#include <string.h>

typedef struct prediction {
    sw_model *model;
    const sw_array *x; /* one of x and source is NULL */
    const sw_source *source;
    int64_t n;
    sw_array *y, before;
    bool allocated; /* this call has allocated the memory of y */
} prediction;

static sw_status predict_check(const char *who, sw_model *model, sw_array *y) {
    if (!model || !y)
        return sw_fail(SW_ERR_ARGUMENT, "%s: the %s is NULL", who, model ? "array for the outputs" : "model");
    return sw_model_params(model) ? SW_OK : sw_fail(SW_ERR_STATE, "%s: the model is not built", who);
}

/* ---- Inputs ---- */

/* Rows of x in the type of the model's input: in place if x has this type. Ids of real type are not converted, because
 * the embedding checks them. */
static sw_tensor predict_rows(const prediction *p, int64_t first, int64_t count) {
    const sw_array *x = p->x;
    sw_dtype type = sw_params_type(p->model->params);
    if (swn_takes_ids(p->model->root))
        type = x->type == SW_U8 ? SW_I32 : x->type;
    sw_array rows = *x;
    int64_t length = 1;
    for (int i = 1; i < x->rank; i++)
        length *= x->shape[i];
    rows.shape[0] = count;
    if (rows.data)
        rows.data = (char *)x->data + (size_t)(first * length) * sw_dtype_size(x->type);
    if (type == x->type)
        return sw_input(p->model->tape, rows);
    sw_tensor t = sw_empty(p->model->tape, type, rows.rank, rows.shape);
    void *to = sw_is_null(t) ? NULL : sw_value(t).data;
    for (int64_t i = 0; to && i < count * length; i++) {
        const double v = sw_element_to_number(rows.type, rows.data, i);
        if (type == SW_I32)
            ((int32_t *)to)[i] = (int32_t)v;
        else
            sw_store_element(type, to, i, v);
    }
    return t;
}

static sw_tensor predict_samples(const prediction *p, int64_t first, int64_t count) {
    sw_batch batch;
    sw_status status = swn_evaluation_batch(p->model, p->source, first, count, &batch);
    return status == SW_OK ? batch.x : (sw_tensor){0};
}

/* ---- Outputs ---- */

/* Determines the shape of y from the first batch of outputs: allocates y, or compares it with the caller's. */
static sw_status predict_set_outputs(prediction *p, const sw_array *z) {
    sw_array out = *z;
    out.shape[0] = p->n;
    if (!p->y->data) {
        out = sw_array_new(sw_dtype_compute(z->type), z->rank, out.shape);
        p->allocated = out.data != NULL;
        if (p->allocated)
            *p->y = out;
        return p->allocated ? SW_OK : sw_last_failure();
    }
    if (!sw_shape_equal(p->y->rank, p->y->shape, out.rank, out.shape))
        return sw_fail(SW_ERR_SHAPE, "predict: y is %s, the outputs are %s", sw_shape_text(p->y->rank, p->y->shape),
                       sw_shape_text(out.rank, out.shape));
    if (p->y->type != out.type && p->y->type != sw_dtype_compute(out.type))
        return sw_fail(SW_ERR_TYPE, "predict: y is %s, the outputs are %s", sw_dtype_name(p->y->type),
                       sw_dtype_name(out.type));
    return SW_OK;
}

static sw_status predict_batch(prediction *p, int64_t first, int64_t count) {
    sw_tensor x = p->x ? predict_rows(p, first, count) : predict_samples(p, first, count);
    if (sw_is_null(x))
        return sw_last_failure();
    const uint64_t failures = sw_failure_count();
    sw_tensor out = sw_forward(p->model->root, x);
    if (sw_is_null(out))
        return sw_fail_unless_since(failures, SW_ERR_USER, "predict: the output is a null tensor");
    sw_array z = sw_value(out);
    if (!z.data && sw_array_count(&z) > 0)
        return sw_last_failure();
    if (z.rank < 1 || z.shape[0] != count)
        return sw_fail(SW_ERR_SHAPE, "predict: the model makes %s of a batch of %lld", sw_shape_text(z.rank, z.shape),
                       (long long)count);
    if (first == 0)
        SW_TRY(predict_set_outputs(p, &z));
    const int64_t elements = sw_array_count(&z);
    if (elements)
        sw_vector_convert(z.type, elements, z.data, p->y->type,
                          (char *)p->y->data + (size_t)(first * (elements / count)) * sw_dtype_size(p->y->type));
    return SW_OK;
}

static sw_status predict_batches(const char *who, prediction *p) {
    SW_TRY(swn_evaluation_begin(who, p->model));
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): checked by the callers */
    sw_tape *tape = p->model->tape;
    sw_status status = SW_OK;
    int64_t first = 0;
    do {
        int64_t count = p->n - first < SWN_BATCH ? p->n - first : SWN_BATCH;
        sw_tape_reset(tape);
        status = sw_tape_bind(tape, p->model->params, NULL, NULL);
        if (status == SW_OK)
            status = predict_batch(p, first, count);
        first += count;
    } while (status == SW_OK && first < p->n);
    sw_tape_reset(tape);
    swn_evaluation_end(p->model);
    if (status != SW_OK && p->allocated) {
        sw_array_free(p->y);
        *p->y = p->before;
    }
    return status;
}

sw_status sw_predict(sw_model *model, const sw_array *x, sw_array *y) {
    SW_TRY(predict_check("predict", model, y));
    if (!x || x->rank < 1 || (!x->data && x->rank <= SW_MAX_RANK && sw_array_count(x) > 0))
        return sw_fail(SW_ERR_ARGUMENT, "predict: x %s",
                       !x            ? "is NULL"
                       : x->rank < 1 ? "has no axis for the samples"
                                     : "has no data");
    if (!sw_dtype_is_float(x->type) && x->type != SW_I32 && x->type != SW_U8)
        return sw_fail(SW_ERR_TYPE, "predict: x is %s; f32, f64, f16, bf16, i32 or u8 is needed",
                       sw_dtype_name(x->type));
    if (!sw_array_view(x, x->type, x->rank, x->shape).data) /* an impossible rank or length */
        return sw_last_failure();
    const sw_sample_shape *sample = &model->input[0];
    sw_sample_shape given = {.rank = x->rank - 1};
    for (int i = 1; i < x->rank; i++)
        given.length[i - 1] = x->shape[i];
    if (sample->rank >= 0 && !sw_shape_equal(sample->rank, sample->length, given.rank, given.length))
        return sw_fail(SW_ERR_SHAPE, "predict: x is %s; each of its samples must be %s%s",
                       sw_shape_text(x->rank, x->shape), sw_shape_text(sample->rank, sample->length),
                       sw_shape_equal(x->rank, x->shape, sample->rank, sample->length)
                           ? " (add the axis of one sample in front?)"
                           : "");
    prediction p = {.model = model, .x = x, .n = x->shape[0], .y = y, .before = *y};
    return predict_batches("predict", &p);
}

sw_status sw_predict_source(sw_model *model, const sw_source *source, sw_array *y) {
    SW_TRY(predict_check("predict_source", model, y));
    if (!source || source->n < 1)
        return sw_fail(SW_ERR_ARGUMENT, "predict_source: the source %s", source ? "has no samples" : "is NULL");
    prediction p = {.model = model, .source = source, .n = source->n, .y = y, .before = *y};
    return predict_batches("predict_source", &p);
}
