/* Generalized linear models: an object with parameters, samples in memory and a known loss. */
#include <swale/glm.h>
#include <swale/memory.h>
#include <swale/status.h>
#include <swale/text.h>

#include "core/base/element.h"
#include "core/objectives/glm_evaluate.h"
#include "core/params/vector.h"

#include <math.h>

static const struct {
    const char *name;
    double curvature; /* the largest second derivative; 0: it is not bounded */
    bool classes;     /* y are class ids */
} heads[] = {[SW_HEAD_LOGISTIC] = {"logistic", 0.25, true},
             [SW_HEAD_MULTINOMIAL] = {"multinomial", 0.5, true},
             [SW_HEAD_SQUARED] = {"squared", 1, false},
             [SW_HEAD_HUBER] = {"huber", 1, false},
             [SW_HEAD_SQUARED_HINGE] = {"squared_hinge", 2, true},
             [SW_HEAD_POISSON] = {"poisson", 0, false}};

static bool glm_head_exists(sw_head head) {
    return (int)head >= SW_HEAD_LOGISTIC && head <= SW_HEAD_POISSON;
}

const char *sw_head_name(sw_head head) {
    return glm_head_exists(head) ? heads[head].name : "none";
}

double sw_head_curvature(sw_head head) {
    return glm_head_exists(head) ? heads[head].curvature : 0;
}

struct sw_glm {
    sw_params *params;
    sw_objective objective;
    sw_glm_data data;
    sw_csr csr;   /* data.sparse */
    void *x_copy; /* converted copies, or NULL */
    void *y_copy;
    double *weight;
};

/* ---- Objectives with `glm` ---- */

sw_status swi_glm_check(const sw_objective *f) {
    const sw_glm_data *d = f->glm;
    if (d->size < sizeof *d)
        return sw_fail(SW_ERR_ARGUMENT, "objective: the size of glm must be sizeof(sw_glm_data)");
    if (!glm_head_exists(d->head) || !(d->scale > 0) || (d->head == SW_HEAD_HUBER && !(d->delta > 0)))
        return sw_fail(SW_ERR_ARGUMENT,
                       "objective: glm has head %d, scale %g, delta %g; a head, and numbers above 0 "
                       "are needed",
                       (int)d->head, d->scale, d->delta);
    if (!d->dense == !d->sparse || !(heads[d->head].classes ? (const void *)d->label : d->target))
        return sw_fail(SW_ERR_ARGUMENT, "objective: glm needs either dense or sparse samples, and %s",
                       heads[d->head].classes ? "labels" : "targets");
    if (d->sparse &&
        (d->sparse->rows != f->n || d->sparse->columns != f->features || d->sparse->type != f->params->type))
        return sw_fail(SW_ERR_SHAPE,
                       "objective: glm has %lld sparse rows of %lld columns in %s; the objective has %lld "
                       "samples of %lld features, and parameters in %s",
                       (long long)d->sparse->rows, (long long)d->sparse->columns, sw_dtype_name(d->sparse->type),
                       (long long)f->n, (long long)f->features, sw_dtype_name(f->params->type));
    return SW_OK;
}

static double glm_target(const sw_objective *f, int64_t i) {
    return sw_load_element(f->params->type, f->glm->target, i);
}

sw_status swi_glm_check_samples(const sw_objective *f) {
    const sw_glm_data *d = f->glm;
    SW_TRY(swi_glm_check(f));
    const bool poisson = d->head == SW_HEAD_POISSON;
    const int64_t classes = d->head == SW_HEAD_MULTINOMIAL ? f->outputs : 2;
    if (heads[d->head].classes && d->head != SW_HEAD_MULTINOMIAL && f->outputs != 1)
        return sw_fail(SW_ERR_SHAPE, "objective: the %s loss has one output, not %lld", sw_head_name(d->head),
                       (long long)f->outputs);
    for (int64_t i = 0; heads[d->head].classes && i < f->n; i++)
        if (d->label[i] < 0 || d->label[i] >= classes)
            return sw_fail(SW_ERR_ARGUMENT, "objective: class %d of sample %lld is outside 0 to %lld", (int)d->label[i],
                           (long long)i, (long long)classes - 1);
    for (int64_t i = 0; !heads[d->head].classes && i < f->n * f->outputs; i++)
        if (!isfinite(glm_target(f, i)) || (poisson && glm_target(f, i) < 0))
            return sw_fail(SW_ERR_ARGUMENT, "objective: target %lld is %g; it must be finite%s", (long long)i,
                           glm_target(f, i), poisson ? ", and 0 or more" : "");
    for (int64_t i = 0; d->weight && i < f->n; i++)
        if (!(d->weight[i] >= 0) || isinf(d->weight[i]))
            return sw_fail(SW_ERR_ARGUMENT,
                           "objective: the weight of sample %lld is %g; it must be finite, and 0 or more", (long long)i,
                           d->weight[i]);
    return SW_OK;
}

sw_status sw_objective_lipschitz(const sw_objective *f, double *largest, double *mean) {
    if (!f || !f->glm)
        return sw_fail(SW_ERR_ARGUMENT,
                       "objective_lipschitz: the objective is not a generalized linear model with a known "
                       "loss and samples in memory (sw_glm_new)");
    SW_TRY(swi_glm_check(f));
    const double curvature = heads[f->glm->head].curvature;
    if (curvature == 0)
        return sw_fail(SW_ERR_ARGUMENT, "objective_lipschitz: the second derivative of the %s loss has no bound",
                       sw_head_name(f->glm->head));
    double *squares = sw_alloc_array_for(SW_ACCOUNT_TEMPORARIES, f->n, sizeof *squares), top = 0, sum = 0;
    if (!squares)
        return SW_ERR_MEMORY;
    sw_objective_squared_norms(f, squares);
    for (int64_t i = 0; i < f->n; i++) {
        const double weight = f->glm->weight ? f->glm->weight[i] : 1,
                     l = weight * f->glm->scale * curvature * (squares[i] + (f->bias ? 1 : 0));
        top = l > top ? l : top;
        sum += l;
    }
    sw_free(squares);
    if (largest)
        *largest = top;
    if (mean)
        *mean = sum / (double)f->n;
    return SW_OK;
}

/* ---- New and free ---- */

/* Sets *data to the numbers of `from` in the given type: in place if they have this type, else in a new array *copy. An
 * error if a number is not finite in the type. */
static sw_status glm_take(const char *what, const sw_array *from, sw_dtype type, const void **data, void **copy) {
    const int64_t count = sw_array_count(from);
    for (int64_t i = 0; i < count; i++)
        if (!isfinite(sw_element_to_number(from->type, from->data, i)) ||
            (type == SW_F32 && !isfinite((float)sw_element_to_number(from->type, from->data, i))))
            return sw_fail(SW_ERR_ARGUMENT, "glm: %s holds %g, number %lld, which is not finite in %s", what,
                           sw_element_to_number(from->type, from->data, i), (long long)i, sw_dtype_name(type));
    if (from->type == type) {
        *data = from->data;
        return SW_OK;
    }
    *copy = sw_alloc_array_for(SW_ACCOUNT_DATA, count, swi_size(type));
    if (!*copy)
        return SW_ERR_MEMORY;
    for (int64_t i = 0; i < count; i++)
        sw_store_element(type, *copy, i, sw_element_to_number(from->type, from->data, i));
    *data = *copy;
    return SW_OK;
}

static sw_status glm_check_array(const char *what, const sw_array *a, int least, int most) {
    if (!a || !a->data || a->rank < least || a->rank > most)
        return sw_fail(SW_ERR_SHAPE, "glm: %s must be an array of %d%s axes with data", what, least,
                       most > least ? " or more" : "");
    for (int i = 0; i < a->rank; i++)
        if (a->shape[i] < 1)
            return sw_fail(SW_ERR_SHAPE, "glm: %s %s has no elements", what, sw_shape_text(a->rank, a->shape));
    if (!sw_dtype_is_computed(a->type) && a->type != SW_I32 && a->type != SW_U8)
        return sw_fail(SW_ERR_TYPE, "glm: %s is %s; f32, f64, i32 or u8 is needed", what, sw_dtype_name(a->type));
    return SW_OK;
}

static sw_status glm_take_classes(sw_glm *m, const sw_array *y, const sw_glm_options *o) {
    const bool two = o->head != SW_HEAD_MULTINOMIAL;
    if (two && o->outputs > 1)
        return sw_fail(SW_ERR_ARGUMENT, "glm: the %s loss has one output, not %lld", sw_head_name(o->head),
                       (long long)o->outputs);
    if ((y->type != SW_I32 && y->type != SW_U8) || y->rank != 1)
        return sw_fail(SW_ERR_TYPE, "glm: y is %s %s; the %s loss takes class ids, i32 or u8 [n]",
                       sw_dtype_name(y->type), sw_shape_text(y->rank, y->shape), sw_head_name(o->head));
    int32_t *label = sw_alloc_array_for(SW_ACCOUNT_DATA, y->shape[0], sizeof *label), most = 0;
    m->y_copy = label;
    if (!label)
        return SW_ERR_MEMORY;
    for (int64_t i = 0; i < y->shape[0]; i++) {
        label[i] = (int32_t)sw_element_to_number(y->type, y->data, i);
        most = label[i] > most ? label[i] : most;
    }
    const int64_t classes = two ? 2 : o->outputs > 0 ? o->outputs : (int64_t)most + 1;
    for (int64_t i = 0; i < y->shape[0]; i++)
        if (label[i] < 0 || label[i] >= classes)
            return sw_fail(SW_ERR_ARGUMENT, "glm: class %d of sample %lld is outside 0 to %lld", (int)label[i],
                           (long long)i, (long long)classes - 1);
    if (classes == 1)
        return sw_fail(SW_ERR_ARGUMENT, "glm: y has only class 0; the %s loss needs two classes or more",
                       sw_head_name(o->head));
    m->data.label = label;
    m->objective.outputs = two ? 1 : classes;
    return SW_OK;
}

static sw_status glm_take_targets(sw_glm *m, sw_dtype type, const sw_array *y, const sw_glm_options *o) {
    m->objective.outputs = y->rank == 2 ? y->shape[1] : 1;
    if (o->outputs > 0 && o->outputs != m->objective.outputs)
        return sw_fail(SW_ERR_SHAPE, "glm: %lld outputs, but y is %s", (long long)o->outputs,
                       sw_shape_text(y->rank, y->shape));
    SW_TRY(glm_take("y", y, type, &m->data.target, &m->y_copy));
    for (int64_t i = 0; o->head == SW_HEAD_POISSON && i < sw_array_count(y); i++)
        if (sw_element_to_number(y->type, y->data, i) < 0)
            return sw_fail(SW_ERR_ARGUMENT, "glm: y holds %g, number %lld; the poisson loss takes counts",
                           sw_element_to_number(y->type, y->data, i), (long long)i);
    return SW_OK;
}

/* Sets the weights of the samples: the products of sample weights and class weights, divided by their mean. */
static sw_status glm_take_weights(sw_glm *m, const sw_glm_options *o) {
    if (!o->weight && !o->class_weight)
        return SW_OK;
    if (o->class_weight && !m->data.label)
        return sw_fail(SW_ERR_ARGUMENT, "glm: the %s loss has no classes to weigh", sw_head_name(o->head));
    const int64_t n = m->objective.n;
    double sum = 0, most = 0;
    m->weight = sw_alloc_array_for(SW_ACCOUNT_DATA, n, sizeof *m->weight);
    if (!m->weight)
        return SW_ERR_MEMORY;
    for (int64_t i = 0; i < n; i++) {
        m->weight[i] = (o->weight ? o->weight[i] : 1) * (o->class_weight ? o->class_weight[m->data.label[i]] : 1);
        if (!(m->weight[i] >= 0) || isinf(m->weight[i]))
            return sw_fail(SW_ERR_ARGUMENT, "glm: the weight of sample %lld is %g; it must be finite, and 0 or more",
                           (long long)i, m->weight[i]);
        most = m->weight[i] > most ? m->weight[i] : most;
    }
    for (int64_t i = 0; most > 0 && i < n; i++) /* relative to the largest, so that a sum of tiny weights is not 0 */
        sum += m->weight[i] /= most;
    if (!(sum > 0))
        return sw_fail(SW_ERR_ARGUMENT, "glm: all weights are 0");
    for (int64_t i = 0; i < n; i++)
        m->weight[i] *= (double)n / sum;
    m->data.weight = m->weight;
    return SW_OK;
}

static sw_status glm_make_params(sw_glm *m, sw_dtype type) {
    const int64_t outputs = m->objective.outputs, d = m->objective.features;
    m->params = sw_params_new(type, 0);
    if (!m->params)
        return SW_ERR_MEMORY;
    sw_params_add(
        m->params, "weight", 2, (int64_t[]){outputs, d},
        &(sw_param_options){.size = sizeof(sw_param_options), .role = SW_ROLE_WEIGHT, .fan_in = d, .fan_out = outputs});
    if (m->objective.bias)
        sw_params_add(m->params, "bias", 1, &outputs,
                      &(sw_param_options){.size = sizeof(sw_param_options), .role = SW_ROLE_BIAS, .fan_in = d});
    SW_TRY(sw_params_build(m->params));
    m->objective.params = m->params;
    m->objective.glm = &m->data;
    return SW_OK;
}

static sw_status glm_fill(sw_glm *m, sw_dtype type, int64_t n, int64_t features, const sw_array *y,
                          const sw_glm_options *o) {
    m->objective =
        (sw_objective){.size = sizeof m->objective, .n = n, .features = features, .bias = !o->no_bias, .fixed = true};
    m->data.size = sizeof m->data;
    m->data.head = o->head;
    m->data.delta = o->delta != 0 ? o->delta : 1.35;
    m->data.scale = 1;
    SW_TRY(glm_check_array("y", y, 1, 2));
    if (y->shape[0] != n)
        return sw_fail(SW_ERR_SHAPE, "glm: x has %lld samples, y %s", (long long)n, sw_shape_text(y->rank, y->shape));
    SW_TRY(heads[o->head].classes ? glm_take_classes(m, y, o) : glm_take_targets(m, type, y, o));
    SW_TRY(glm_take_weights(m, o));
    return glm_make_params(m, type);
}

static sw_status glm_options(sw_dtype type, const sw_glm_options *options, sw_glm_options *o) {
    if (!sw_dtype_is_computed(type))
        return sw_fail(SW_ERR_TYPE, "glm: parameters are f32 or f64");
    if (!options)
        return sw_fail(SW_ERR_ARGUMENT, "glm: options with a head are needed");
    SW_TRY(sw_options_copy("glm", "sw_glm_options", o, sizeof *o, options,
                           offsetof(sw_glm_options, class_weight) + sizeof o->class_weight));
    if (!glm_head_exists(o->head))
        return sw_fail(SW_ERR_ARGUMENT, "glm: head = %d is not a value of sw_head", (int)o->head);
    if (o->delta < 0 || isnan(o->delta) || o->outputs < 0)
        return sw_fail(SW_ERR_ARGUMENT, "glm: delta = %g, outputs = %lld; 0 or more is needed", o->delta,
                       (long long)o->outputs);
    return SW_OK;
}

sw_glm *sw_glm_new(sw_dtype type, const sw_array *x, const sw_array *y, const sw_glm_options *options) {
    sw_glm_options o = {.size = sizeof o};
    if (glm_options(type, options, &o) != SW_OK || glm_check_array("x", x, 2, 2) != SW_OK)
        return NULL;
    sw_glm *m = sw_alloc_for(SW_ACCOUNT_DATA, sizeof *m);
    if (m && (glm_take("x", x, type, &m->data.dense, &m->x_copy) != SW_OK ||
              glm_fill(m, type, x->shape[0], x->shape[1], y, &o) != SW_OK)) {
        sw_glm_free(m);
        m = NULL;
    }
    return m;
}

static sw_status glm_take_sparse(sw_glm *m, sw_dtype type, const sw_csr *x) {
    SW_TRY(sw_csr_check(x));
    if (x->rows < 1 || x->columns < 1)
        return sw_fail(SW_ERR_SHAPE, "glm: x has %lld rows and %lld columns", (long long)x->rows,
                       (long long)x->columns);
    m->csr = *x;
    const sw_array values = sw_array_view(x->value, x->type, 1, &x->start[x->rows]);
    if (x->start[x->rows] > 0)
        SW_TRY(glm_take("x", &values, type, &m->csr.value, &m->x_copy));
    m->csr.type = type;
    m->data.sparse = &m->csr;
    return SW_OK;
}

sw_glm *sw_glm_new_sparse(sw_dtype type, const sw_csr *x, const sw_array *y, const sw_glm_options *options) {
    sw_glm_options o = {.size = sizeof o};
    if (glm_options(type, options, &o) != SW_OK)
        return NULL;
    sw_glm *m = sw_alloc_for(SW_ACCOUNT_DATA, sizeof *m);
    if (m && (glm_take_sparse(m, type, x) != SW_OK || glm_fill(m, type, x->rows, x->columns, y, &o) != SW_OK)) {
        sw_glm_free(m);
        m = NULL;
    }
    return m;
}

void sw_glm_free(sw_glm *m) {
    if (!m || !sw_may_free(m, "glm"))
        return;
    sw_params_free(m->params);
    sw_free(m->x_copy);
    sw_free(m->y_copy);
    sw_free(m->weight);
    sw_free(m);
}

sw_params *sw_glm_params(const sw_glm *m) {
    return m ? m->params : NULL;
}

const sw_objective *sw_glm_objective(const sw_glm *m) {
    return m ? &m->objective : NULL;
}

/* ---- Predictions ---- */

static sw_status glm_predict(const sw_glm *m, const void *x, const sw_objective *f, sw_array *z) {
    const int64_t shape[2] = {f->n, f->outputs};
    const bool fresh = !z->data;
    if (!fresh && (z->type != m->params->type || z->rank != 2 || z->shape[0] != f->n || z->shape[1] != f->outputs))
        return sw_fail(SW_ERR_SHAPE, "glm_predict: z is %s %s; %s %s is needed", sw_dtype_name(z->type),
                       sw_shape_text(z->rank, z->shape), sw_dtype_name(m->params->type), sw_shape_text(2, shape));
    int64_t *ids = sw_alloc_array_for(SW_ACCOUNT_TEMPORARIES, f->n, sizeof *ids);
    sw_array out = fresh ? sw_array_new(m->params->type, 2, shape) : *z;
    sw_status status = ids && out.data ? SW_OK : SW_ERR_MEMORY;
    for (int64_t i = 0; ids && i < f->n; i++)
        ids[i] = i;
    if (status == SW_OK)
        status = swi_glm_predict(f, x ? x : m->params->x, ids, f->n, out.data);
    sw_free(ids);
    if (status == SW_OK)
        *z = out;
    else if (fresh)
        sw_array_free(&out);
    return status;
}

sw_status sw_glm_predict(const sw_glm *m, const void *x, const sw_array *rows, sw_array *z) {
    if (!m || !rows || !z)
        return sw_fail(SW_ERR_ARGUMENT, "glm_predict: the model, rows and a place for the result are needed");
    SW_TRY(glm_check_array("rows", rows, 2, 2));
    if (rows->shape[1] != m->objective.features)
        return sw_fail(SW_ERR_SHAPE, "glm_predict: rows %s have %lld features, the model %lld",
                       sw_shape_text(2, rows->shape), (long long)rows->shape[1], (long long)m->objective.features);
    sw_glm_data data = {.size = sizeof data};
    sw_objective f = m->objective;
    void *copy = NULL;
    f.n = rows->shape[0];
    f.glm = &data;
    sw_status status = glm_take("rows", rows, m->params->type, &data.dense, &copy);
    if (status == SW_OK)
        status = glm_predict(m, x, &f, z);
    sw_free(copy);
    return status;
}

sw_status sw_glm_predict_sparse(const sw_glm *m, const void *x, const sw_csr *rows, sw_array *z) {
    if (!m || !rows || !z)
        return sw_fail(SW_ERR_ARGUMENT, "glm_predict: the model, rows and a place for the result are needed");
    SW_TRY(sw_csr_check(rows));
    if (rows->columns > m->objective.features || rows->rows < 1)
        return sw_fail(SW_ERR_SHAPE, "glm_predict: %lld rows of %lld columns; the model has %lld features",
                       (long long)rows->rows, (long long)rows->columns, (long long)m->objective.features);
    sw_csr csr = *rows;
    sw_glm_data data = {.size = sizeof data, .sparse = &csr};
    sw_objective f = m->objective;
    const sw_array values = sw_array_view(rows->value, rows->type, 1, &rows->start[rows->rows]);
    void *copy = NULL;
    f.n = rows->rows;
    f.glm = &data;
    sw_status status =
        rows->start[rows->rows] > 0 ? glm_take("rows", &values, m->params->type, &csr.value, &copy) : SW_OK;
    csr.type = m->params->type;
    if (status == SW_OK)
        status = glm_predict(m, x, &f, z);
    sw_free(copy);
    return status;
}
