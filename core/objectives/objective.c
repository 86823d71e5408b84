/* Objectives: value and gradient of the mean loss of some samples, at any point. */
#include <swale/gemm.h>
#include <swale/memory.h>
#include <swale/text.h>
#include <swale/vector.h>

#include "core/base/error_state.h"
#include "core/kernels/axpy.h"
#include "core/objectives/glm_evaluate.h"
#include "core/objectives/objective_part.h"
#include "core/ops/shared.h"
#include "core/params/gradient.h"
#include "core/tape/node.h"
#include "core/params/vector.h"

#include <string.h>
#include <math.h>

/* The size of the struct before the member `weight` was added: such an objective is accepted. */
static const size_t FIRST_SIZE = offsetof(sw_objective, weight);

static sw_status objective_check_glm(const sw_objective *f) {
    if (!sw_objective_is_glm(f))
        return sw_fail(SW_ERR_ARGUMENT, "objective: it is not a generalized linear model: rows and "
                                        "head or glm, features and outputs are needed");
    int64_t dim = f->outputs * (f->features + (f->bias ? 1 : 0));
    if (f->params->dim != dim)
        return sw_fail(SW_ERR_SHAPE,
                       "objective: %lld parameters; a generalized linear model of %lld "
                       "features and %lld outputs%s has %lld",
                       (long long)f->params->dim, (long long)f->features, (long long)f->outputs,
                       f->bias ? " with bias" : "", (long long)dim);
    return SW_OK;
}

/* Whether values and gradients are computed from the samples in memory. */
static bool objective_is_glm_in_memory(const sw_objective *f) {
    return f->glm && !f->loss;
}

sw_status swi_objective_check_call(const sw_objective *f, const sw_tape *tape, const sw_gradient *g) {
    if (!f || !f->params || (!f->loss && !f->gradient && !f->head && !(f->size >= FIRST_SIZE && f->glm)))
        return sw_fail(SW_ERR_ARGUMENT, "objective: parameters and a loss, or a gradient, are needed");
    if (f->size < FIRST_SIZE)
        return sw_fail(SW_ERR_ARGUMENT, "objective: its size must be sizeof(sw_objective)");
    if (!sw_params_built(f->params))
        return sw_fail(SW_ERR_STATE, "objective: the parameters are not built");
    if (!tape && (!f->gradient || objective_is_glm_in_memory(f)))
        return sw_fail(SW_ERR_ARGUMENT, "objective: a tape is needed");
    if (g && g->params != f->params)
        return sw_fail(SW_ERR_ARGUMENT, "objective: the gradient block belongs to other parameters");
    if (g && !f->loss && g->type != f->params->type)
        return sw_fail(SW_ERR_TYPE,
                       "objective: gradients of a function without a tape are %s, the block is %s; sw_gradient_view "
                       "makes one in the type of x",
                       sw_dtype_name(f->params->type), sw_dtype_name(g->type));
    if (f->glm)
        SW_TRY(swi_glm_check(f));
    return (f->loss || f->gradient) && !objective_is_glm_in_memory(f) ? SW_OK : objective_check_glm(f);
}

sw_status sw_objective_check(const sw_objective *f) {
    if (!f || !f->params || f->size < FIRST_SIZE)
        return sw_fail(SW_ERR_ARGUMENT, f && f->params ? "objective: its size must be sizeof(sw_objective)"
                                                       : "objective: it or its parameters are NULL");
    if (!f->loss && !f->gradient && !f->head && !f->glm)
        return sw_fail(SW_ERR_ARGUMENT, "objective: parameters and a loss, or a gradient, are needed");
    if (!sw_params_built(f->params))
        return sw_fail(SW_ERR_STATE, "objective: the parameters are not built");
    if (!sw_objective_is_glm(f))
        return f->loss || f->gradient ? SW_OK : objective_check_glm(f);
    SW_TRY(objective_check_glm(f));
    return f->glm ? swi_glm_check_samples(f) : SW_OK;
}

bool sw_objective_is_glm(const sw_objective *f) {
    return f && f->size >= FIRST_SIZE && (f->glm || (f->rows && f->head)) && f->features > 0 && f->outputs > 0;
}

/* Sets views of W and b of a generalized linear model in the parameter vector x. */
static void glm_split_parameters(const sw_objective *f, const void *x, sw_array *w, sw_array *b) {
    sw_dtype type = f->params->type;
    *w = sw_array_view(x, type, 2, (int64_t[]){f->outputs, f->features});
    *b = sw_array_view((const char *)x + (size_t)(f->outputs * f->features) * swi_size(type), type, 1, &f->outputs);
}

/* z = A Wᵀ + b at the parameters x. If `leaf`, the result is a new leaf with gradient. */
static sw_tensor glm_predictions(const sw_objective *f, sw_tape *tape, const void *x, const int64_t *ids, int64_t count,
                                 bool leaf) {
    sw_array w, b;
    glm_split_parameters(f, x, &w, &b);
    sw_tensor rows = f->rows(f->user, tape, ids, count);
    sw_tensor z =
        f->bias ? sw_linear(rows, sw_input(tape, w), sw_input(tape, b)) : swi_linear_no_bias(rows, sw_input(tape, w));
    return leaf && !sw_is_null(z) ? sw_variable(tape, sw_value(z)) : z;
}

/* The binding of the caller, which is restored afterwards. */
typedef struct saved_binding {
    const void *x;
    sw_gradient *g;
} saved_binding;

static sw_status binding_save(const sw_objective *f, sw_tape *tape, saved_binding *before) {
    const swi_binding *b = swi_binding_of(tape, f->params);
    if (!b)
        return SW_ERR_MEMORY;
    *before = (saved_binding){b->x, b->g};
    return SW_OK;
}

static sw_status objective_begin(const sw_objective *f, sw_tape *tape, const void *x, sw_gradient *g, uint64_t draw) {
    sw_tape_reset(tape);
    sw_tape_set_draw(tape, draw);
    return sw_tape_bind(tape, f->params, x, g);
}

static sw_status binding_restore(const sw_objective *f, sw_tape *tape, const saved_binding *before, sw_status status) {
    sw_tape_reset(tape);
    sw_status after = sw_tape_bind(tape, f->params, before->x, before->g);
    return status != SW_OK ? status : after;
}

/* The ids of `count` samples that begin at number `first`: a part of `ids`, or, if ids is NULL, the numbers themselves,
 * in memory of the tape. NULL and an error if an id is out of range. */
static const int64_t *objective_ids(const sw_objective *f, sw_tape *tape, const int64_t *ids, int64_t first,
                                    int64_t count) {
    for (int64_t i = 0; ids && f->glm && i < count; i++) /* without `glm` the source or the loss checks the ids */
        if (ids[first + i] < 0 || ids[first + i] >= f->n) {
            sw_fail(SW_ERR_ARGUMENT, "objective: sample %lld of %lld", (long long)ids[first + i], (long long)f->n);
            return NULL;
        }
    if (ids)
        return ids + first;
    if (first + count > f->n) {
        sw_fail(SW_ERR_ARGUMENT, "objective: %lld samples requested, of %lld", (long long)count, (long long)f->n);
        return NULL;
    }
    int64_t *list = swi_arena_alloc(&tape->arena, (size_t)count * sizeof *list);
    for (int64_t i = 0; list && i < count; i++)
        list[i] = first + i;
    return list;
}

/* The weight of the mean that f->gradient computes. */
static sw_status objective_gradient_weight(const sw_objective *f, const int64_t *ids, int64_t count, uint64_t draw,
                                           double *weight) {
    const bool given = f->size >= offsetof(sw_objective, weight) + sizeof f->weight && f->weight;
    *weight = given ? f->weight(f->user, ids, count, draw) : (double)count;
    return swi_weight_check("objective", *weight);
}

/* Calls f->gradient for `count` samples that begin at number `first`. If ids is NULL, makes the list of ids, in memory
 * of the tape or, without a tape, on the heap. */
static sw_status objective_call_gradient(const sw_objective *f, sw_tape *tape, const void *x, const int64_t *ids,
                                         int64_t first, int64_t count, uint64_t draw, sw_loss_mean *mean,
                                         double *weight, void *g) {
    double value = NAN;
    int64_t *heap_ids = NULL;
    const bool arena_ids = !ids && tape;
    *weight = 0;
    if (arena_ids)
        sw_tape_reset(tape);
    if (!ids && !tape && (heap_ids = sw_alloc_array_for(SW_ACCOUNT_TEMPORARIES, count, sizeof *heap_ids)))
        for (int64_t i = 0; i < count; i++)
            heap_ids[i] = first + i;
    ids = heap_ids ? heap_ids : ids || tape ? objective_ids(f, tape, ids, first, count) : NULL;
    if (!ids)
        return sw_last_failure();
    sw_status status = swi_returned("objective", NULL, "gradient",
                                    f->gradient(f->user, x ? x : f->params->x, ids, count, draw, &value, g));
    if (status == SW_OK)
        status = objective_gradient_weight(f, ids, count, draw, weight);
    sw_free(heap_ids);
    if (arena_ids)
        sw_tape_reset(tape);
    return status == SW_OK ? swi_mean_add(mean, "objective", value, swi_plain_weight(*weight)) : status;
}

/* An error if the loss is null or on another tape, from which no gradient would flow. `before` is sw_failure_count()
 * from before the call that returned the loss. */
static sw_status objective_check_loss(sw_tensor loss, const sw_tape *tape, uint64_t before) {
    if (sw_is_null(loss))
        return sw_fail_unless_since(before, SW_ERR_USER, "objective: the loss is a null tensor");
    if (loss.tape != tape)
        return sw_fail(SW_ERR_USER, "objective: the loss is not on the tape that the objective received");
    return SW_OK;
}

static swi_weight objective_loss_weight(sw_tensor loss) {
    return swi_node_weight(loss.tape, swi_at(loss.tape, loss.slot));
}

/* Adds the value of the loss to the mean. */
static sw_status objective_add_loss(sw_tensor loss, sw_loss_mean *mean) {
    sw_array a = sw_value(loss);
    if (!a.data || sw_array_count(&a) != 1)
        return sw_fail(SW_ERR_SHAPE, "objective: the loss must be one number, its shape is %s",
                       sw_shape_text(a.rank, a.shape));
    return swi_mean_add(mean, "objective", sw_item(loss), objective_loss_weight(loss));
}

double sw_tape_loss_weight(const sw_tape *tape) {
    return tape ? tape->loss_weight : (double)NAN;
}

void swi_objective_store_weight(sw_tape *tape, double weight) {
    if (tape)
        tape->loss_weight = weight;
}

/* For samples in memory: adds the mean loss to `mean` and, unless s is NULL, sets the derivatives of the samples'
 * losses. */
static sw_status glm_value(const sw_objective *f, sw_tape *tape, const void *x, const int64_t *ids, int64_t count,
                           void *s, sw_loss_mean *mean) {
    double sum;
    SW_TRY(swi_glm_derivatives(f, tape, x ? x : f->params->x, ids, count, &sum, s));
    return swi_mean_add(mean, "objective", count > 0 ? sum / (double)count : 0, swi_plain_weight((double)count));
}

static sw_status objective_value_on_tape(const sw_objective *f, sw_tape *tape, const void *x, const int64_t *ids,
                                         int64_t first, int64_t count, uint64_t draw, sw_loss_mean *mean) {
    SW_TRY(objective_begin(f, tape, x, NULL, draw));
    ids = objective_ids(f, tape, ids, first, count);
    if (!ids)
        return sw_last_failure();
    if (objective_is_glm_in_memory(f))
        return glm_value(f, tape, x, ids, count, NULL, mean);
    SW_TRY(sw_tape_set_sample_ids(tape, ids, count));
    const uint64_t failures = sw_failure_count();
    sw_tensor loss;
    if (f->loss)
        loss = f->loss(f->user, tape, ids, count);
    else
        loss = f->head(f->user, tape, glm_predictions(f, tape, x ? x : f->params->x, ids, count, false), ids, count);
    SW_TRY(objective_check_loss(loss, tape, failures));
    return objective_add_loss(loss, mean);
}

sw_status sw_objective_value(const sw_objective *f, sw_tape *tape, const void *x, const int64_t *ids, int64_t count,
                             uint64_t draw, double *value) {
    return sw_objective_value_chunked(f, tape, x, ids, count, count > 0 ? count : 1, draw, value);
}

sw_status sw_objective_value_chunked(const sw_objective *f, sw_tape *tape, const void *x, const int64_t *ids,
                                     int64_t count, int64_t chunk, uint64_t draw, double *value) {
    sw_loss_mean mean = {0};
    SW_TRY(swi_objective_check_call(f, tape, NULL));
    SW_TRY(swi_objective_value_part(f, tape, x, ids, 0, count, chunk > 0 ? chunk : 1000, draw, &mean));
    *value = sw_loss_mean_value(&mean);
    return SW_OK;
}

sw_status swi_objective_value_part(const sw_objective *f, sw_tape *tape, const void *x, const int64_t *ids,
                                   int64_t first, int64_t count, int64_t chunk, uint64_t draw, sw_loss_mean *mean) {
    if (!f->loss && f->gradient && !objective_is_glm_in_memory(f)) {
        double weight;
        SW_TRY(objective_call_gradient(f, tape, x, ids, first, count, draw, mean, &weight, NULL));
        swi_objective_store_weight(tape, weight);
        return SW_OK;
    }
    saved_binding before;
    SW_TRY(binding_save(f, tape, &before));
    const unsigned switches = tape->switches;
    sw_tape_set_switch(tape, SW_RECORD | SW_UPDATE_BUFFERS, false);
    int64_t done = 0;
    sw_status status;
    do {
        int64_t n = count - done < chunk ? count - done : chunk;
        status = objective_value_on_tape(f, tape, x, ids, first + done, n, draw, mean);
        done += n;
    } while (status == SW_OK && done < count);
    if (status == SW_OK)
        swi_objective_store_weight(tape, swi_mean_weight(mean));
    tape->switches = switches;
    return binding_restore(f, tape, &before, status);
}

/* ∇f of a generalized linear model that has rows and head, but no `loss`. */
static sw_status glm_gradient(const sw_objective *f, sw_tape *tape, const void *x, const int64_t *ids, int64_t count,
                              sw_loss_mean *mean, sw_gradient *g) {
    sw_array w, b;
    glm_split_parameters(f, x ? x : f->params->x, &w, &b);
    const uint64_t failures = sw_failure_count();
    sw_tensor rows = f->rows(f->user, tape, ids, count);
    sw_tensor tw = sw_variable(tape, w), tb = f->bias ? sw_variable(tape, b) : (sw_tensor){0};
    sw_tensor z = f->bias ? sw_linear(rows, tw, tb) : swi_linear_no_bias(rows, tw);
    sw_tensor loss = f->head(f->user, tape, z, ids, count);
    SW_TRY(objective_check_loss(loss, tape, failures));
    SW_TRY(sw_backward(loss));
    SW_TRY(objective_add_loss(loss, mean));
    const void *dw = sw_grad(tw).data, *db = f->bias ? sw_grad(tb).data : dw;
    if (!dw || !db)
        return sw_fail(SW_ERR_STATE, "objective: the head's loss does not depend on the predictions");
    const int64_t weights = f->outputs * f->features;
    const swi_weight weight = objective_loss_weight(loss);
    const bool first = g->fresh;
    SW_TRY(swi_gradient_open(g, "objective", weight, count));
    const double factor = swi_gradient_factor(g, weight.value, 1);
    SW_TRY(swi_gradient_add(g, 0, weights, factor, g->type, dw, first));
    if (f->bias)
        SW_TRY(swi_gradient_add(g, weights, f->outputs, factor, g->type, db, first));
    memset(g->written, 1, (size_t)f->params->count);
    return SW_OK;
}

/* As glm_gradient, for samples in memory. */
static sw_status glm_gradient_in_memory(const sw_objective *f, sw_tape *tape, const void *x, const int64_t *ids,
                                        int64_t count, sw_loss_mean *mean, sw_gradient *g) {
    const size_t size = swi_size(f->params->type);
    void *s = swi_arena_alloc(&tape->arena, (size_t)(count * f->outputs) * size),
         *part = swi_arena_alloc(&tape->arena, (size_t)f->params->dim * size);
    if (!s || !part)
        return SW_ERR_MEMORY;
    SW_TRY(glm_value(f, tape, x, ids, count, s, mean));
    swi_axpy(f->params->type, count * f->outputs, count > 0 ? 1 / (double)count : 0, s, s, true);
    SW_TRY(swi_glm_combine(f, tape, ids, count, s, 0, part));
    const swi_weight weight = swi_plain_weight((double)count);
    const bool first = g->fresh;
    SW_TRY(swi_gradient_open(g, "objective", weight, count));
    SW_TRY(swi_gradient_add(g, 0, f->params->dim, swi_gradient_factor(g, weight.value, 1), g->type, part, first));
    memset(g->written, 1, (size_t)f->params->count);
    return SW_OK;
}

static sw_status objective_gradient_on_tape(const sw_objective *f, sw_tape *tape, const void *x, const int64_t *ids,
                                            int64_t first, int64_t count, uint64_t draw, sw_loss_mean *mean,
                                            sw_gradient *g) {
    SW_TRY(objective_begin(f, tape, x, g, draw));
    ids = objective_ids(f, tape, ids, first, count);
    if (!ids)
        return sw_last_failure();
    if (objective_is_glm_in_memory(f))
        return glm_gradient_in_memory(f, tape, x, ids, count, mean, g);
    SW_TRY(sw_tape_set_sample_ids(tape, ids, count));
    if (!f->loss)
        return glm_gradient(f, tape, x, ids, count, mean, g);
    const uint64_t failures = sw_failure_count();
    sw_tensor loss = f->loss(f->user, tape, ids, count);
    SW_TRY(objective_check_loss(loss, tape, failures));
    SW_TRY(objective_add_loss(loss, mean));
    SW_TRY(sw_backward(loss));
    if (g->fresh) { /* the loss does not depend on these parameters */
        memset(g->data, 0, (size_t)f->params->dim * swi_size(g->type));
        swi_gradient_filled(g, objective_loss_weight(loss), count);
    }
    return SW_OK;
}

sw_status sw_objective_gradient(const sw_objective *f, sw_tape *tape, const void *x, const int64_t *ids, int64_t count,
                                uint64_t draw, double *value, sw_gradient *g) {
    return sw_objective_gradient_chunked(f, tape, x, ids, count, count > 0 ? count : 1, draw, value, g);
}

sw_status sw_objective_gradient_chunked(const sw_objective *f, sw_tape *tape, const void *x, const int64_t *ids,
                                        int64_t count, int64_t chunk, uint64_t draw, double *value, sw_gradient *g) {
    SW_TRY(swi_objective_check_call(f, tape, g));
    if (!g)
        return sw_fail(SW_ERR_ARGUMENT, "objective: the gradient block is NULL");
    sw_gradient_make_fresh(g);
    return swi_objective_gradient_part(f, tape, x, ids, 0, count, chunk > 0 ? chunk : 1000, draw, value, g);
}

static sw_status objective_gradient_without_tape(const sw_objective *f, sw_tape *tape, const void *x,
                                                 const int64_t *ids, int64_t first, int64_t count, uint64_t draw,
                                                 sw_loss_mean *mean, sw_gradient *g) {
    double weight;
    SW_TRY(objective_call_gradient(f, tape, x, ids, first, count, draw, mean, &weight, g->data));
    swi_gradient_filled(g, swi_plain_weight(weight), count);
    swi_objective_store_weight(tape, weight);
    return SW_OK;
}

static sw_status objective_gradient_in_chunks(const sw_objective *f, sw_tape *tape, const void *x, const int64_t *ids,
                                              int64_t first, int64_t count, int64_t chunk, uint64_t draw,
                                              sw_loss_mean *mean, sw_gradient *g) {
    saved_binding before;
    SW_TRY(binding_save(f, tape, &before));
    sw_status status;
    int64_t done = 0;
    do {
        int64_t n = count - done < chunk ? count - done : chunk;
        status = objective_gradient_on_tape(f, tape, x, ids, first + done, n, draw, mean, g);
        done += n;
    } while (status == SW_OK && done < count);
    if (status == SW_OK) {
        swi_objective_store_weight(tape, swi_mean_weight(mean));
        swi_gradient_close(g);
    } else {
        sw_gradient_make_fresh(g); /* the gradient is incomplete */
    }
    return binding_restore(f, tape, &before, status);
}

sw_status swi_objective_gradient_part(const sw_objective *f, sw_tape *tape, const void *x, const int64_t *ids,
                                      int64_t first, int64_t count, int64_t chunk, uint64_t draw, double *value,
                                      sw_gradient *g) {
    swi_gradient_restart(g);
    sw_loss_mean mean = {0};
    if (!f->loss && f->gradient &&
        !objective_is_glm_in_memory(f)) // NOLINT(clang-analyzer-core.NullDereference): check refuses NULL
        SW_TRY(objective_gradient_without_tape(f, tape, x, ids, first, count, draw, &mean, g));
    else
        SW_TRY(objective_gradient_in_chunks(f, tape, x, ids, first, count, chunk, draw, &mean, g));
    if (value)
        *value = sw_loss_mean_value(&mean);
    return SW_OK;
}

static sw_status glm_derivatives_on_tape(const sw_objective *f, sw_tape *tape, const void *x, const int64_t *ids,
                                         int64_t count, uint64_t draw, double *value, void *s) {
    SW_TRY(objective_begin(f, tape, x, NULL, draw));
    ids = objective_ids(f, tape, ids, 0, count);
    if (!ids)
        return sw_last_failure();
    sw_loss_mean mean = {0};
    if (f->glm) {
        SW_TRY(glm_value(f, tape, x, ids, count, s, &mean));
        swi_objective_store_weight(tape, swi_mean_weight(&mean));
        if (value)
            *value = sw_loss_mean_value(&mean);
        return SW_OK;
    }
    SW_TRY(sw_tape_set_sample_ids(tape, ids, count));
    const uint64_t failures = sw_failure_count();
    sw_tensor z = glm_predictions(f, tape, x ? x : f->params->x, ids, count, true);
    sw_tensor loss = f->head(f->user, tape, z, ids, count);
    SW_TRY(objective_check_loss(loss, tape, failures));
    SW_TRY(objective_add_loss(loss, &mean));
    swi_objective_store_weight(tape, swi_mean_weight(&mean));
    const double weight = tape->loss_weight == SW_SUMMED ? 1 : tape->loss_weight;
    SW_TRY(sw_backward(sw_scale(loss, weight))); /* the sum instead of the mean, whose gradient by z_i is s_i */
    if (value)
        *value = sw_loss_mean_value(&mean);
    sw_array grad = sw_grad(z);
    if (!grad.data)
        return sw_fail(SW_ERR_STATE, "objective: the head's loss does not depend on the predictions");
    memcpy(s, grad.data, (size_t)(count * f->outputs) * swi_size(f->params->type));
    return SW_OK;
}

sw_status sw_objective_glm_derivatives(const sw_objective *f, sw_tape *tape, const void *x, const int64_t *ids,
                                       int64_t count, uint64_t draw, double *value, void *s) {
    SW_TRY(swi_objective_check_call(f, tape, NULL));
    SW_TRY(objective_check_glm(f));
    saved_binding before;
    SW_TRY(binding_save(f, tape, &before));
    sw_status status = glm_derivatives_on_tape(f, tape, x, ids, count, draw, value, s);
    return binding_restore(f, tape, &before, status);
}

static sw_status glm_combine_on_tape(const sw_objective *f, sw_tape *tape, const int64_t *ids, int64_t count,
                                     const void *c, double beta, void *g) {
    sw_tape_reset(tape);
    ids = objective_ids(f, tape, ids, 0, count);
    if (!ids)
        return sw_last_failure();
    if (f->glm)
        return swi_glm_combine(f, tape, ids, count, c, beta, g);
    SW_TRY(sw_tape_set_sample_ids(tape, ids, count));
    sw_array rows = sw_value(f->rows(f->user, tape, ids, count));
    sw_dtype type = f->params->type;
    if (rows.type != type || rows.rank != 2 || rows.shape[0] != count || rows.shape[1] != f->features)
        return sw_fail(SW_ERR_SHAPE, "objective: rows returned %s %s; %s [%lld,%lld] is needed",
                       sw_dtype_name(rows.type), sw_shape_text(rows.rank, rows.shape), sw_dtype_name(type),
                       (long long)count, (long long)f->features);
    int64_t k = f->outputs, d = f->features;
    SW_TRY(sw_gemm(type, true, false, k, d, count, 1, c, k, rows.data, d, beta, g, d));
    if (f->bias) {
        void *b = (char *)g + (size_t)(k * d) * swi_size(type);
        swi_axpy(type, k, beta, b, b, true);
        if (beta == 0)
            sw_vector_fill(type, k, 0, b);
        sw_sum_to_shape(type, 2, (int64_t[]){count, k}, c, 1, &k, b, 1, false);
    }
    return SW_OK;
}

sw_status sw_objective_glm_combine(const sw_objective *f, sw_tape *tape, const int64_t *ids, int64_t count,
                                   const void *c, double beta, void *g) {
    SW_TRY(swi_objective_check_call(f, tape, NULL));
    SW_TRY(objective_check_glm(f));
    sw_status status = glm_combine_on_tape(f, tape, ids, count, c, beta, g);
    sw_tape_reset(tape);
    return status;
}
