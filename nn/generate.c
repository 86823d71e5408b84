/* Generation: a network continues a sequence of ids. */
#include <swale/extend.h>
#include <swale/nn.h>

#include "nn/draw_id.h"
#include "nn/evaluation.h"
#include "nn/layers/builtin_types.h"
#include "nn/model.h"
#include "nn/module_type.h"

#include <string.h>

typedef struct generation {
    sw_model *model;
    sw_generate_options options;
    int64_t limit;             /* of the ids that the network gets at once; 0: none */
    int32_t *ids;              /* the prompt, and what was generated */
    int64_t count;             /* of ids */
    int64_t passed;            /* ids that the state contains */
    swn_candidate *candidates; /* [candidate_count] */
    int64_t candidate_count;
    sw_rng rng;
} generation;

/* ---- The network ---- */

/* The length of the learned positions of a model, the least of several; 0 if it has none. */
static int64_t generate_length(const sw_model *model) {
    int64_t least = 0;
    for (int i = 0; i < model->modules; i++) {
        const int64_t length = model->module[i]->built ? swn_position_length(model->module[i]) : 0;
        if (length > 0 && (least == 0 || length < least))
            least = length;
    }
    return least;
}

static bool generate_continues(const sw_module *m) {
    if (!SWN_TYPE_MEMBER(m->type, continues) || !swn_norm_continues(m) || !swn_recurrent_continues(m) ||
        !swn_attention_continues(m))
        return false;
    for (int i = 0; i < m->children; i++)
        if (!generate_continues(m->child[i]))
            return false;
    return true;
}

/* ---- One id ---- */

/* Forward of ids[from, count); the logits of the last position begin at element *first, and there are *vocabulary. */
static sw_status generate_forward(generation *g, int64_t from, sw_array *logits, int64_t *first, int64_t *vocabulary) {
    sw_tape *tape = g->model->tape;
    const int64_t time = g->count - from;
    sw_tape_reset(tape);
    SW_TRY(sw_tape_bind(tape, g->model->params, NULL, NULL));
    const sw_tensor x = sw_input(tape, sw_array_view(g->ids + from, SW_I32, SW_SHAPE(1, time)));
    const uint64_t failures = sw_failure_count();
    const sw_tensor y = sw_forward(g->model->root, x);
    if (sw_is_null(y))
        return sw_fail_unless_since(failures, SW_ERR_USER, "generate: the output is a null tensor");
    *logits = sw_value(y);
    const int64_t positions = logits->rank == 3 ? logits->shape[1] : 1;
    if ((logits->rank != 2 && logits->rank != 3) || logits->shape[0] != 1 || positions < 1 ||
        logits->shape[logits->rank - 1] < 1 || !sw_dtype_is_float(logits->type))
        return sw_fail(SW_ERR_SHAPE,
                       "generate: the network makes %s %s of one sequence; logits [1, time, vocabulary] or [1, "
                       "vocabulary] are needed",
                       sw_dtype_name(logits->type), sw_shape_text(logits->rank, logits->shape));
    *vocabulary = logits->shape[logits->rank - 1];
    *first = (positions - 1) * *vocabulary;
    return SW_OK;
}

/* Runs the network on what it needs for the next id. */
static sw_status generate_logits(generation *g, sw_array *logits, int64_t *first, int64_t *vocabulary) {
    const bool full = g->limit > 0 && g->count > g->limit;
    if (g->options.plain || full) {
        SW_TRY(sw_tape_set_state(g->model->tape, NULL));
        return generate_forward(g, full ? g->count - g->limit : 0, logits, first, vocabulary);
    }
    SW_TRY(sw_tape_set_state(g->model->tape, g->model->state));
    SW_TRY(generate_forward(g, g->passed, logits, first, vocabulary));
    g->passed = g->count;
    return SW_OK;
}

static sw_status generate_next(generation *g) {
    sw_array logits;
    int64_t first = 0, vocabulary = 0;
    SW_TRY(generate_logits(g, &logits, &first, &vocabulary));
    if (vocabulary > INT32_MAX)
        return sw_fail(SW_ERR_SHAPE, "generate: %lld logits; at most 2^31 - 1 are possible", (long long)vocabulary);
    if (vocabulary > g->candidate_count) {
        swn_candidate *more = sw_alloc_array_for(SW_ACCOUNT_TEMPORARIES, vocabulary, sizeof *more);
        if (!more)
            return SW_ERR_MEMORY;
        sw_free(g->candidates);
        g->candidates = more;
        g->candidate_count = vocabulary;
    }
    const int64_t id = swn_draw_id(&logits, first, vocabulary, &g->options, &g->rng, g->candidates);
    if (id < 0)
        return sw_last_failure();
    g->ids[g->count++] = (int32_t)id;
    return SW_OK;
}

/* ---- All ids ---- */

static sw_status generate_check(const sw_model *model, int64_t prompt_count, const int32_t *prompt, int64_t count,
                                const int32_t *out, const sw_generate_options *o) {
    if (!model || !prompt || (!out && count > 0))
        return sw_fail(SW_ERR_ARGUMENT, "generate: the %s is NULL",
                       !model    ? "model"
                       : !prompt ? "prompt"
                                 : "array for the ids");
    if (prompt_count < 1 || count < 0 || prompt_count > INT64_MAX / 8 - count)
        return sw_fail(SW_ERR_ARGUMENT,
                       "generate: a prompt of %lld ids and %lld further ones; 1 or more, and 0 or more are needed",
                       (long long)prompt_count, (long long)count);
    if (!(o->temperature >= 0 && o->temperature <= 1e300))
        return sw_fail(SW_ERR_ARGUMENT,
                       "generate: temperature %g; 0 (the most likely id) or a positive number is needed",
                       o->temperature);
    if (!(o->top_p >= 0 && o->top_p <= 1))
        return sw_fail(SW_ERR_ARGUMENT, "generate: top_p %g is outside 0 to 1", o->top_p);
    return o->top_k >= 0 && o->length >= 0
               ? SW_OK
               : sw_fail(SW_ERR_ARGUMENT, "generate: %s %lld; 0 or more is needed", o->top_k < 0 ? "top_k" : "length",
                         (long long)(o->top_k < 0 ? o->top_k : o->length));
}

static sw_status generate_ids(generation *g, int64_t count, int32_t *out, int64_t *made) {
    bool more = true;
    for (*made = 0; *made < count && more; ++*made) {
        SW_TRY(generate_next(g));
        const int32_t id = out[*made] = g->ids[g->count - 1];
        more = !g->options.token || g->options.token(g->options.user, id);
    }
    return SW_OK;
}

/* The arrays of a model for generation, which it keeps; they do not become smaller. */
static sw_status generate_reserve(sw_model *model, int64_t ids) {
    if (!model->state)
        model->state = sw_state_new();
    if (!model->state)
        return SW_ERR_MEMORY;
    if (ids <= model->generated_capacity)
        return SW_OK;
    SW_TRY(sw_resize_array_for(SW_ACCOUNT_TEMPORARIES, &model->generated, 0, ids, sizeof *model->generated));
    model->generated_capacity = ids;
    return SW_OK;
}

sw_status sw_generate(sw_model *model, int64_t prompt_count, const int32_t *prompt, int64_t count, int32_t *out,
                      int64_t *made, const sw_generate_options *options) {
    generation g = {.model = model, .options = {.size = sizeof g.options}, .count = prompt_count};
    int64_t number = 0;
    if (made)
        *made = 0;
    if (options)
        SW_TRY(sw_options_copy("generate", "sw_generate_options", &g.options, sizeof g.options, options,
                               sizeof g.options));
    SW_TRY(generate_check(model, prompt_count, prompt, count, out, &g.options));
    SW_TRY(swn_evaluation_begin("generate", model));
    sw_status status = generate_reserve(model, prompt_count + count);
    if (status == SW_OK) {
        g.ids = model->generated;
        g.candidates = model->candidates;
        g.candidate_count = model->candidate_count;
        g.limit = g.options.length > 0 ? g.options.length : generate_length(model);
        g.options.plain |= !generate_continues(model->root);
        g.rng.key = sw_rng_key(g.options.seed, "generate");
        memcpy(g.ids, prompt, (size_t)prompt_count * sizeof *prompt);
        sw_state_reset(model->state);
        status = generate_ids(&g, count, out, &number);
        model->candidates = g.candidates;
        model->candidate_count = g.candidate_count;
    }
    sw_tape_set_state(model->tape, NULL);
    sw_tape_reset(model->tape);
    swn_evaluation_end(model);
    if (made)
        *made = number;
    return status;
}
