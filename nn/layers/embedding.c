/* The embedding layer: replaces ids by rows of a table. */
#include <swale/extend.h>
#include <swale/nn.h>

#include "nn/layers/builtin_types.h"

#include <math.h>
#include <stdio.h>

enum { F32_LIMIT = 1 << 24 }; /* f32 represents every integer up to this one exactly */

typedef struct embedding {
    int64_t rows, dim;
    int64_t padding_id; /* the row without gradient; -1: none */
    sw_param *weight;
} embedding;

/* Normal values, and 0 in row c. */
static sw_status embedding_fill_padded(const sw_init *init, const sw_param *param, sw_rng *rng, double *out) {
    const sw_init normal = sw_init_normal(0, 1);
    const int64_t dim = param->shape[1], padding = (int64_t)init->c * dim;
    SW_TRY(normal.fill(&normal, param, rng, out));
    for (int64_t i = 0; i < dim; i++)
        out[padding + i] = 0;
    return SW_OK;
}

static sw_init embedding_init(const embedding *e) {
    sw_init init = sw_init_normal(0, 1);
    if (e->padding_id >= 0) {
        init.fill = embedding_fill_padded;
        init.c = (double)e->padding_id;
    }
    return init;
}

static sw_status embedding_build(sw_module *m, sw_sample_shape *shape) {
    embedding *e = m->data;
    if (shape->rank > SW_MAX_RANK - 2)
        return sw_fail(SW_ERR_SHAPE, "layer %s: ids %s for each sample: at most %d axes are possible", m->name,
                       sw_shape_text(shape->rank, shape->length), SW_MAX_RANK - 2);
    const sw_param_options options = {.size = sizeof options,
                                      .role = SW_ROLE_EMBEDDING,
                                      .fan_in = e->dim,
                                      .fan_out = e->rows,
                                      .init = embedding_init(e)};
    e->weight = sw_module_add_param(m, "weight", 2, (int64_t[]){e->rows, e->dim}, &options);
    if (!e->weight)
        return sw_last_failure();
    if (shape->rank >= 0)
        shape->length[shape->rank++] = e->dim;
    shape->spatial = shape->flattened_rank = 0; /* PyTorch has the features of an embedding last, too */
    return SW_OK;
}

static sw_status embedding_fail_id(const sw_module *m, const sw_array *a, int64_t i, double value) {
    const embedding *e = m->data;
    int64_t place[SW_MAX_RANK] = {0};
    for (int axis = a->rank - 1; axis >= 0; axis--) {
        place[axis] = i % a->shape[axis];
        i /= a->shape[axis];
    }
    return sw_fail(SW_ERR_ARGUMENT, "layer %s: %.9g at %s is not an id: integers from 0 to %lld%s are needed", m->name,
                   value, sw_shape_text(a->rank, place), (long long)e->rows - 1,
                   a->type == SW_F32 && e->rows > F32_LIMIT ? ", as i32 above 2^24," : "");
}

/* f16 and bf16 cannot represent all integers above 2048 and 256, so that an id could have been rounded. */
static sw_status embedding_check_type(const sw_module *m, sw_dtype type) {
    return sw_dtype_is_16_bit(type) ? sw_fail(SW_ERR_TYPE, "layer %s: the ids are %s; i32, u8, f32 or f64 is needed",
                                              m->name, sw_dtype_name(type))
                                    : SW_OK;
}

/* Converts ids to i32; a null tensor and an error if a value is not an id. */
static sw_tensor embedding_ids(const sw_module *m, sw_tensor x, const sw_array *a) {
    const embedding *e = m->data;
    sw_tensor t = sw_empty(x.tape, SW_I32, a->rank, a->shape);
    if (sw_is_null(t))
        return t;
    int32_t *id = sw_value(t).data;
    double limit = a->type == SW_F32 && e->rows > F32_LIMIT ? F32_LIMIT : (double)e->rows;
    for (int64_t i = 0, count = sw_array_count(a); i < count; i++) {
        double value = sw_element_to_number(a->type, a->data, i);
        if (!(value >= 0 && value < limit && value == floor(value))) {
            embedding_fail_id(m, a, i, value);
            return (sw_tensor){0};
        }
        id[i] = (int32_t)value;
    }
    return t;
}

static sw_tensor embedding_rows(const sw_module *m, sw_tensor ids) {
    const embedding *e = m->data;
    const sw_tensor table = sw_param_use(ids.tape, e->weight);
    return e->padding_id < 0 ? sw_gather_rows(table, ids) : sw_gather_rows_with_padding(table, ids, e->padding_id);
}

static sw_tensor embedding_forward(sw_module *m, sw_tensor x) {
    sw_array a = sw_value(x);
    if (!sw_is_live(x))
        return (sw_tensor){0}; /* sw_value has set the error */
    if (a.rank > SW_MAX_RANK - 1) {
        sw_fail(SW_ERR_SHAPE, "layer %s: ids %s: at most %d axes are possible", m->name, sw_shape_text(a.rank, a.shape),
                SW_MAX_RANK - 1);
        return (sw_tensor){0};
    }
    if (embedding_check_type(m, a.type) != SW_OK)
        return (sw_tensor){0};
    if (a.type == SW_I32) /* sw_gather_rows checks the ids */
        return embedding_rows(m, x);
    sw_tensor ids = embedding_ids(m, x, &a);
    if (sw_is_null(ids))
        return ids;
    sw_tensor y = embedding_rows(m, ids);
    sw_release(ids); /* the memory is released when no vjp needs it */
    return y;
}

static void embedding_describe(const sw_module *m, char *text, size_t bytes) {
    const embedding *e = m->data;
    if (e->padding_id < 0)
        snprintf(text, bytes, "%lld rows of %lld", (long long)e->rows, (long long)e->dim);
    else
        snprintf(text, bytes, "%lld rows of %lld, padding %lld", (long long)e->rows, (long long)e->dim,
                 (long long)e->padding_id);
}

static sw_status embedding_save(const sw_module *m, sw_description *to) {
    const embedding *e = m->data;
    SW_TRY(sw_description_set_integer(to, "rows", e->rows));
    if (e->padding_id >= 0)
        SW_TRY(sw_description_set_integer(to, "padding_id", e->padding_id));
    return sw_description_set_integer(to, "dim", e->dim);
}

static sw_module *embedding_restore(sw_model *model, const sw_description *from) {
    sw_embedding_options o = SW_OPTIONS(sw_embedding_options, .padding = sw_description_has(from, "padding_id"));
    int64_t rows, dim;
    if (sw_description_integer(from, "rows", 1, INT32_MAX, &rows) != SW_OK ||
        sw_description_integer(from, "dim", 1, INT32_MAX, &dim) != SW_OK)
        return sw_module_fail(model);
    if (o.padding && sw_description_integer(from, "padding_id", 0, rows - 1, &o.padding_id) != SW_OK)
        return sw_module_fail(model);
    return sw_nn_embedding_with_options(model, rows, dim, &o);
}

const sw_module_type swn_embedding_type = {.size = sizeof(sw_module_type),
                                           .name = "embedding",
                                           .build = embedding_build,
                                           .forward = embedding_forward,
                                           .describe = embedding_describe,
                                           .takes_ids = true,
                                           .save = embedding_save,
                                           .restore = embedding_restore,
                                           .continues = true};

sw_module *sw_nn_embedding(sw_model *model, int64_t rows, int64_t dim) {
    return sw_nn_embedding_with_options(model, rows, dim, NULL);
}

sw_module *sw_nn_embedding_with_options(sw_model *model, int64_t rows, int64_t dim,
                                        const sw_embedding_options *options) {
    sw_embedding_options o = SW_OPTIONS(sw_embedding_options, .padding = false);
    if (options && sw_options_copy("embedding", "sw_embedding_options", &o, sizeof o, options, sizeof o) != SW_OK)
        return sw_module_fail(model);
    if (rows < 1 || rows > INT32_MAX || dim < 1) {
        sw_fail(SW_ERR_ARGUMENT, "embedding: %lld rows of %lld; 1 to 2^31 - 1 rows of 1 or more are needed",
                (long long)rows, (long long)dim);
        return sw_module_fail(model);
    }
    if (o.padding && (o.padding_id < 0 || o.padding_id >= rows)) {
        sw_fail(SW_ERR_ARGUMENT, "embedding: padding id %lld is outside 0 to %lld", (long long)o.padding_id,
                (long long)rows - 1);
        return sw_module_fail(model);
    }
    sw_module *m = sw_module_new(model, &swn_embedding_type, sizeof(embedding));
    if (sw_module_is(m, &swn_embedding_type))
        *(embedding *)m->data = (embedding){.rows = rows, .dim = dim, .padding_id = o.padding ? o.padding_id : -1};
    return m;
}
