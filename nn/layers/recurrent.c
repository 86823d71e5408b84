/* The layers LSTM and GRU: one or several recurrent layers on top of each other, in one or both directions. */
#include <swale/extend.h>
#include <swale/nn.h>
#include <swale/recurrent.h>

#include "nn/layers/builtin_types.h"

#include <stdio.h>
#include <string.h>

enum { MOST_LAYERS = 256 };

/* The parameters of one direction of a layer. */
typedef struct recurrent_weights {
    sw_param *weight_ih, *weight_hh, *bias_ih, *bias_hh; /* the biases are NULL with no_bias */
} recurrent_weights;

typedef struct recurrent {
    bool lstm;
    int64_t inputs, hidden; /* inputs 0: open */
    int layers, directions;
    bool bias, last;
    double dropout;
    uint64_t site;             /* of the dropout */
    recurrent_weights *weight; /* [layers][directions], after the build */
} recurrent;

/* Elements of a state of one direction. */
static int64_t recurrent_state(const recurrent *r) {
    return r->lstm ? 2 * r->hidden : r->hidden;
}

/* ---- Build ---- */

static sw_status recurrent_set_inputs(sw_module *m, int count, const sw_sample_shape *in) {
    recurrent *r = m->data;
    const sw_sample_shape *x = &in[0];
    if (x->rank < 0 && r->inputs == 0)
        return sw_fail(SW_ERR_SHAPE,
                       "layer %s: the number of inputs is not known; give it, or sw_model_set_input_shape", m->name);
    if (x->rank >= 0 && x->rank != 2)
        return sw_fail(SW_ERR_SHAPE, "layer %s: its input has samples %s; sequences [time, features] are needed",
                       m->name, sw_shape_text(x->rank, x->length));
    if (count == 2 && in[1].rank > 0)
        return sw_fail(SW_ERR_SHAPE, "layer %s: its second input has samples %s; one length for each sample is needed",
                       m->name, sw_shape_text(in[1].rank, in[1].length));
    if (r->inputs == 0)
        r->inputs = x->length[1];
    if (x->rank >= 0 && x->length[1] != r->inputs)
        return sw_fail(SW_ERR_SHAPE,
                       "layer %s: takes %lld input%s, but its input has %lld, the last axis of samples %s", m->name,
                       (long long)r->inputs, r->inputs == 1 ? "" : "s", (long long)x->length[1],
                       sw_shape_text(x->rank, x->length));
    return SW_OK;
}

/* Declares a parameter [rows, columns], or [rows] for columns 0, with PyTorch's initial values. */
static sw_param *recurrent_add_param(sw_module *m, const char *name, int layer, bool backward, int64_t rows,
                                     int64_t columns) {
    const recurrent *r = m->data;
    const int64_t shape[2] = {rows, columns};
    const sw_param_options options = {.size = sizeof options,
                                      .role = columns ? SW_ROLE_WEIGHT : SW_ROLE_BIAS,
                                      .fan_in = r->hidden,
                                      .fan_out = r->hidden,
                                      .init = sw_init_pytorch()};
    char suffix[64];
    snprintf(suffix, sizeof suffix, "%s_l%d%s", name, layer, backward ? "_reverse" : "");
    return sw_module_add_param(m, suffix, columns ? 2 : 1, shape, &options);
}

static sw_status recurrent_add_params(sw_module *m, int layer, int direction) {
    const recurrent *r = m->data;
    recurrent_weights *const w = &r->weight[layer * r->directions + direction];
    const int64_t rows = (r->lstm ? 4 : 3) * r->hidden, inputs = layer ? r->directions * r->hidden : r->inputs;
    w->weight_ih = recurrent_add_param(m, "weight_ih", layer, direction, rows, inputs);
    w->weight_hh = recurrent_add_param(m, "weight_hh", layer, direction, rows, r->hidden);
    if (r->bias) {
        w->bias_ih = recurrent_add_param(m, "bias_ih", layer, direction, rows, 0);
        w->bias_hh = recurrent_add_param(m, "bias_hh", layer, direction, rows, 0);
    }
    return w->weight_ih && w->weight_hh && (!r->bias || (w->bias_ih && w->bias_hh)) ? SW_OK : sw_last_failure();
}

static sw_status recurrent_build(sw_module *m, int count, const sw_sample_shape *in, sw_sample_shape *out) {
    recurrent *r = m->data;
    const int64_t outputs = r->directions * r->hidden;
    SW_TRY(recurrent_set_inputs(m, count, in));
    if (r->inputs == 0)
        return sw_fail(SW_ERR_SHAPE, "layer %s: its input has samples %s without features; 1 or more are needed",
                       m->name, sw_shape_text(in->rank, in->length));
    sw_free(r->weight);
    r->weight = sw_alloc((size_t)(r->layers * r->directions) * sizeof *r->weight);
    if (!r->weight)
        return SW_ERR_MEMORY;
    memset(r->weight, 0, (size_t)(r->layers * r->directions) * sizeof *r->weight);
    r->site = sw_rng_key(sw_model_seed(m->model), m->name);
    for (int layer = 0; layer < r->layers; layer++)
        for (int direction = 0; direction < r->directions; direction++)
            SW_TRY(recurrent_add_params(m, layer, direction));
    if (r->last)
        *out = (sw_sample_shape){.rank = 1, .length = {outputs}};
    else if (in->rank >= 0)
        *out = (sw_sample_shape){.rank = 2, .length = {in->length[0], outputs}};
    return SW_OK;
}

static void recurrent_free(sw_module *m) {
    sw_free(((recurrent *)m->data)->weight);
}

/* ---- Forward ---- */

/* Releases t after its use, unless it is x or the tensor that was computed from it is null. */
static void recurrent_release(sw_tensor t, sw_tensor x, sw_tensor y) {
    if (t.slot != x.slot && !sw_is_null(y))
        sw_release(t);
}

/* The first h of the states in the last axis, of which the rest is c. */
static sw_tensor recurrent_outputs(const recurrent *r, sw_tensor states) {
    if (!r->lstm)
        return states;
    const sw_tensor h = sw_slice(states, -1, 0, r->hidden);
    recurrent_release(states, (sw_tensor){0}, h);
    return h;
}

static sw_recurrent_options recurrent_options(const recurrent_weights *w, sw_tape *tape, bool backward) {
    sw_recurrent_options o = SW_OPTIONS(sw_recurrent_options, .reverse = backward);
    if (w->bias_ih) {
        o.bias_ih = sw_param_use(tape, w->bias_ih);
        o.bias_hh = sw_param_use(tape, w->bias_hh);
    }
    return o;
}

/* One direction of a layer. `last`: only the last outputs. */
static sw_tensor recurrent_run(const recurrent *r, int layer, int direction, sw_tensor x, sw_tensor lengths,
                               bool last) {
    const recurrent_weights *const w = &r->weight[layer * r->directions + direction];
    const sw_tensor weight_ih = sw_param_use(x.tape, w->weight_ih), weight_hh = sw_param_use(x.tape, w->weight_hh),
                    in = sw_module_cast(x, weight_ih);
    sw_recurrent_options o = recurrent_options(w, x.tape, direction == 1);
    o.lengths = lengths;
    o.result = last ? SW_RECURRENT_LAST : SW_RECURRENT_OUTPUTS;
    const sw_tensor y = (r->lstm ? sw_lstm : sw_gru)(in, weight_ih, weight_hh, &o);
    recurrent_release(in, x, y);
    return last ? recurrent_outputs(r, y) : y;
}

/* The same beginning with the state of the last pass, h and c of each sample, which becomes that of this one. */
static sw_tensor recurrent_continue(const sw_module *m, int layer, sw_tensor x, bool last) {
    const recurrent *r = m->data;
    const recurrent_weights *const w = &r->weight[layer];
    const sw_tensor weight_ih = sw_param_use(x.tape, w->weight_ih), weight_hh = sw_param_use(x.tape, w->weight_hh),
                    in = sw_module_cast(x, weight_ih);
    const sw_view *const v = sw_tensor_view(in, m->name, 0);
    if (!v || v->rank != 3)
        return v ? recurrent_run(r, layer, 0, x, (sw_tensor){0}, last) : (sw_tensor){0}; /* the operation reports it */
    const int64_t batch = v->shape[0], time = v->shape[1], shape[2] = {batch, recurrent_state(r)};
    const size_t row = (size_t)shape[1] * sw_dtype_size(v->type), bytes = (size_t)batch * row;
    char *const all = sw_module_state(m, x.tape, batch, (size_t)r->layers * bytes);
    if (!all)
        return (sw_tensor){0};
    char *const state = all + (size_t)layer * bytes;
    sw_recurrent_options o = recurrent_options(w, x.tape, false);
    o.state = sw_input_copy(x.tape, sw_array_view(state, v->type, 2, shape));
    o.result = last ? SW_RECURRENT_LAST : SW_RECURRENT_STATES;
    const sw_tensor y = (r->lstm ? sw_lstm : sw_gru)(in, weight_ih, weight_hh, &o);
    const char *const states = sw_value(y).data;
    for (int64_t i = 0; states && i < batch && (last || time > 0); i++)
        memcpy(state + (size_t)i * row, states + (size_t)(last ? i : (i + 1) * time - 1) * row, row);
    recurrent_release(o.state, (sw_tensor){0}, y);
    recurrent_release(in, x, y);
    return recurrent_outputs(r, y);
}

static sw_tensor recurrent_layer(const sw_module *m, int layer, sw_tensor x, sw_tensor lengths) {
    const recurrent *r = m->data;
    const bool last = r->last && layer == r->layers - 1;
    if (sw_tape_state(x.tape))
        return recurrent_continue(m, layer, x, last);
    const sw_tensor y = recurrent_run(r, layer, 0, x, lengths, last);
    if (r->directions == 1)
        return y;
    const sw_tensor z = recurrent_run(r, layer, 1, x, lengths, last), both = sw_concat(SW_TENSORS(y, z), -1);
    recurrent_release(y, (sw_tensor){0}, both);
    recurrent_release(z, (sw_tensor){0}, both);
    return both;
}

static sw_tensor recurrent_forward(sw_module *m, int count, const sw_tensor *x) {
    const recurrent *r = m->data;
    const sw_tensor none = {0}, lengths = count == 2 ? x[1] : none;
    sw_tensor y = x[0];
    if (sw_tape_state(y.tape) && (r->directions == 2 || count == 2)) {
        sw_fail(SW_ERR_STATE, "layer %s: %s; a sequence in parts (sw_tape_set_state) needs neither", m->name,
                r->directions == 2 ? "bidirectional" : "lengths of the samples are given");
        return none;
    }
    for (int layer = 0; layer < r->layers; layer++) {
        const sw_tensor in = y;
        y = recurrent_layer(m, layer, in, lengths);
        recurrent_release(in, x[0], y);
        if (r->dropout > 0 && layer < r->layers - 1) {
            const sw_tensor kept = sw_dropout(y, r->dropout, r->site + (uint64_t)layer);
            recurrent_release(y, none, kept);
            y = kept;
        }
    }
    return y;
}

/* ---- Descriptions ---- */

static void recurrent_describe(const sw_module *m, char *text, size_t bytes) {
    const recurrent *r = m->data;
    char layers[40] = "", dropout[40] = "";
    if (r->layers > 1)
        snprintf(layers, sizeof layers, ", %d layers", r->layers);
    if (r->dropout > 0)
        sw_format(dropout, sizeof dropout, ", dropout %g", r->dropout);
    snprintf(text, bytes, "%s %lld to %lld%s%s%s%s%s", m->type->name, (long long)r->inputs, (long long)r->hidden,
             layers, r->directions == 2 ? ", bidirectional" : "", r->last ? ", last" : "", dropout,
             r->bias ? "" : ", no bias");
}

static sw_status recurrent_save(const sw_module *m, sw_description *to) {
    const recurrent *r = m->data;
    SW_TRY(sw_description_set_integer(to, "inputs", r->inputs));
    SW_TRY(sw_description_set_integer(to, "hidden", r->hidden));
    SW_TRY(sw_description_set_integer(to, "layers", r->layers));
    SW_TRY(sw_description_set_integer(to, "bidirectional", r->directions == 2));
    SW_TRY(sw_description_set_integer(to, "bias", r->bias));
    SW_TRY(sw_description_set_integer(to, "last", r->last));
    return sw_description_set_number(to, "dropout", r->dropout);
}

static sw_module *recurrent_restore(sw_model *model, const sw_description *from) {
    sw_recurrent_layer_options o = {.size = sizeof o};
    int64_t inputs, hidden, layers, bidirectional, bias, last;
    if (sw_description_integer(from, "inputs", 0, INT32_MAX, &inputs) != SW_OK ||
        sw_description_integer(from, "hidden", 1, INT32_MAX, &hidden) != SW_OK ||
        sw_description_integer(from, "layers", 1, MOST_LAYERS, &layers) != SW_OK ||
        sw_description_integer(from, "bidirectional", 0, 1, &bidirectional) != SW_OK ||
        sw_description_integer(from, "bias", 0, 1, &bias) != SW_OK ||
        sw_description_integer(from, "last", 0, 1, &last) != SW_OK ||
        sw_description_number(from, "dropout", 0, 1, &o.dropout) != SW_OK)
        return sw_module_fail(model);
    o.layers = (int)layers;
    o.bidirectional = bidirectional != 0;
    o.no_bias = bias == 0;
    o.last = last != 0;
    return strcmp(sw_description_type(from), swn_lstm_type.name) == 0
               ? sw_nn_lstm_with_options(model, inputs, hidden, &o)
               : sw_nn_gru_with_options(model, inputs, hidden, &o);
}

#define RECURRENT(id)                                                          \
    const sw_module_type swn_##id##_type = {.size = sizeof(sw_module_type),    \
                                            .name = #id,                       \
                                            .describe = recurrent_describe,    \
                                            .free = recurrent_free,            \
                                            .build_many = recurrent_build,     \
                                            .forward_many = recurrent_forward, \
                                            .least_inputs = 1,                 \
                                            .most_inputs = 2,                  \
                                            .id_inputs = 1u << 1,              \
                                            .save = recurrent_save,            \
                                            .restore = recurrent_restore,      \
                                            .continues = true};
RECURRENT(lstm)
RECURRENT(gru)

bool swn_recurrent_continues(const sw_module *m) {
    const bool recurrent_layer = m->type == &swn_lstm_type || m->type == &swn_gru_type;
    return !recurrent_layer || ((const recurrent *)m->data)->directions == 1;
}

/* ---- The functions ---- */

static sw_status recurrent_check(const char *who, int64_t inputs, int64_t hidden, const sw_recurrent_layer_options *o) {
    if (inputs < 0 || inputs > INT32_MAX || hidden < 1 || hidden > INT32_MAX / 8)
        return sw_fail(SW_ERR_ARGUMENT,
                       "%s: %lld inputs and %lld hidden units; inputs 0 (open) to 2^31 - 1, hidden units 1 to 2^28 - 1 "
                       "are needed",
                       who, (long long)inputs, (long long)hidden);
    if (o->layers < 0 || o->layers > MOST_LAYERS)
        return sw_fail(SW_ERR_ARGUMENT, "%s: %d layers; 1 to %d are possible (0: 1)", who, o->layers, MOST_LAYERS);
    if (!(o->dropout >= 0 && o->dropout < 1))
        return sw_fail(SW_ERR_ARGUMENT, "%s: dropout = %g is outside [0, 1)", who, o->dropout);
    if (o->dropout > 0 && o->layers < 2)
        return sw_fail(SW_ERR_ARGUMENT,
                       "%s: dropout = %g with one layer; it acts between layers (after the last one: sw_nn_dropout)",
                       who, o->dropout);
    return SW_OK;
}

static sw_module *recurrent_new(sw_model *model, const sw_module_type *type, int64_t inputs, int64_t hidden,
                                const sw_recurrent_layer_options *options) {
    sw_recurrent_layer_options o = {.size = sizeof o};
    if ((options &&
         sw_options_copy(type->name, "sw_recurrent_layer_options", &o, sizeof o, options, sizeof o) != SW_OK) ||
        recurrent_check(type->name, inputs, hidden, &o) != SW_OK)
        return sw_module_fail(model);
    sw_module *m = sw_module_new(model, type, sizeof(recurrent));
    if (sw_module_is(m, type))
        *(recurrent *)m->data = (recurrent){.lstm = type == &swn_lstm_type,
                                            .inputs = inputs,
                                            .hidden = hidden,
                                            .layers = o.layers ? o.layers : 1,
                                            .directions = o.bidirectional ? 2 : 1,
                                            .bias = !o.no_bias,
                                            .last = o.last,
                                            .dropout = o.dropout};
    return m;
}

sw_module *sw_nn_lstm(sw_model *model, int64_t inputs, int64_t hidden) {
    return recurrent_new(model, &swn_lstm_type, inputs, hidden, NULL);
}

sw_module *sw_nn_lstm_with_options(sw_model *model, int64_t inputs, int64_t hidden,
                                   const sw_recurrent_layer_options *options) {
    return recurrent_new(model, &swn_lstm_type, inputs, hidden, options);
}

sw_module *sw_nn_gru(sw_model *model, int64_t inputs, int64_t hidden) {
    return recurrent_new(model, &swn_gru_type, inputs, hidden, NULL);
}

sw_module *sw_nn_gru_with_options(sw_model *model, int64_t inputs, int64_t hidden,
                                  const sw_recurrent_layer_options *options) {
    return recurrent_new(model, &swn_gru_type, inputs, hidden, options);
}
