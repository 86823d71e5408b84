/* The layers of positions: learned and sinusoidal. */
#include <swale/extend.h>
#include <swale/nn.h>

#include "nn/layers/builtin_types.h"
#include "nn/layers/sequence.h"

#include <math.h>

/* ---- Both ---- */

/* What the layers keep in a state. */
typedef struct position_state {
    int64_t positions; /* of the passes before this one */
} position_state;

/* Checks x [batch, time, features] and sets *first to the position of its first element. */
static sw_status position_first(sw_module *m, sw_tensor x, int64_t *first) {
    const sw_array a = sw_value(x);
    *first = 0;
    if (!sw_is_live(x))
        return sw_last_failure();
    if (a.rank != 3)
        return sw_fail(SW_ERR_SHAPE, "layer %s: the input is %s; [batch, time, features] is needed", m->name,
                       sw_shape_text(a.rank, a.shape));
    if (!sw_dtype_is_float(a.type))
        return sw_fail(SW_ERR_TYPE, "layer %s: the input is %s; a floating-point type is needed", m->name,
                       sw_dtype_name(a.type));
    if (!sw_tape_state(x.tape))
        return SW_OK;
    position_state *s = sw_module_state(m, x.tape, a.shape[0], sizeof *s);
    if (!s)
        return sw_last_failure();
    *first = s->positions;
    s->positions += a.shape[1];
    return SW_OK;
}

/* x + table, and releases the table. */
static sw_tensor position_add(sw_tensor x, sw_tensor table) {
    const sw_tensor sum = sw_add(x, table);
    if (!sw_is_null(sum))
        sw_release(table);
    return sum;
}

/* ---- Learned positions ---- */

typedef struct position {
    int64_t length, features;
    sw_param *weight;
} position;

static sw_status position_build(sw_module *m, sw_sample_shape *shape) {
    position *p = m->data;
    SW_TRY(swn_sequence_features(m, shape, &p->features));
    if (shape->rank > 0 && shape->length[0] > p->length)
        return sw_fail(SW_ERR_SHAPE, "layer %s: samples of %lld positions; it has %lld", m->name,
                       (long long)shape->length[0], (long long)p->length);
    const sw_param_options options = {.size = sizeof options,
                                      .role = SW_ROLE_EMBEDDING,
                                      .fan_in = p->features,
                                      .fan_out = p->length,
                                      .init = sw_init_normal(0, 1)};
    p->weight = sw_module_add_param(m, "weight", 2, (int64_t[]){p->length, p->features}, &options);
    return p->weight ? SW_OK : sw_last_failure();
}

static sw_tensor position_forward(sw_module *m, sw_tensor x) {
    const position *p = m->data;
    const sw_tensor none = {0};
    int64_t first;
    if (position_first(m, x, &first) != SW_OK)
        return none;
    const int64_t end = first + sw_value(x).shape[1];
    if (end > p->length) {
        sw_fail(SW_ERR_SHAPE, "layer %s: the positions %lld to %lld are needed; it has 0 to %lld (crop the sequence)",
                m->name, (long long)first, (long long)end - 1, (long long)p->length - 1);
        return none;
    }
    const sw_tensor weight = sw_param_use(x.tape, p->weight), in = sw_module_cast(x, weight);
    const sw_tensor y =
        first == 0 && end == p->length ? sw_add(in, weight) : position_add(in, sw_slice(weight, 0, first, end));
    if (in.slot != x.slot && !sw_is_null(y))
        sw_release(in); /* no other handle exists */
    return y;
}

static void position_describe(const sw_module *m, char *text, size_t bytes) {
    const position *p = m->data;
    sw_format(text, bytes, "%lld positions of %lld", (long long)p->length, (long long)p->features);
}

static sw_status position_save(const sw_module *m, sw_description *to) {
    const position *p = m->data;
    SW_TRY(sw_description_set_integer(to, "length", p->length));
    return sw_description_set_integer(to, "features", p->features);
}

static sw_module *position_restore(sw_model *model, const sw_description *from) {
    int64_t length, features;
    return sw_description_integer(from, "length", 1, INT32_MAX, &length) == SW_OK &&
                   sw_description_integer(from, "features", 0, INT32_MAX, &features) == SW_OK
               ? sw_nn_position(model, length, features)
               : sw_module_fail(model);
}

const sw_module_type swn_position_type = {.size = sizeof(sw_module_type),
                                          .name = "position",
                                          .build = position_build,
                                          .forward = position_forward,
                                          .describe = position_describe,
                                          .save = position_save,
                                          .restore = position_restore,
                                          .continues = true};

sw_module *sw_nn_position(sw_model *model, int64_t length, int64_t features) {
    if (length < 1 || length > INT32_MAX || features < 0 || features > INT32_MAX) {
        sw_fail(SW_ERR_ARGUMENT,
                "position: %lld positions of %lld features; 1 to 2^31 - 1 positions of 0 (open) to 2^31 - 1 features "
                "are needed",
                (long long)length, (long long)features);
        return sw_module_fail(model);
    }
    sw_module *m = sw_module_new(model, &swn_position_type, sizeof(position));
    if (sw_module_is(m, &swn_position_type))
        *(position *)m->data = (position){.length = length, .features = features};
    return m;
}

int64_t swn_position_length(const sw_module *m) {
    return sw_module_is(m, &swn_position_type) ? ((const position *)m->data)->length : 0;
}

/* ---- Sinusoidal positions ---- */

static sw_status sinusoidal_build(sw_module *m, sw_sample_shape *shape) {
    return shape->rank < 0 || shape->rank == 2
               ? SW_OK
               : sw_fail(SW_ERR_SHAPE, "layer %s: samples %s; [time, features] is needed", m->name,
                         sw_shape_text(shape->rank, shape->length));
}

/* Fills the table [time, features] for the positions from `first` on. */
static void sinusoidal_fill(const sw_array *table, int64_t first) {
    const int64_t time = table->shape[0], features = table->shape[1];
    for (int64_t i = 0; i < features && !sw_dry_run(); i += 2) {
        const double frequency = pow(10000, -(double)i / (double)features);
        for (int64_t t = 0; t < time; t++) {
            const double angle = (double)(first + t) * frequency;
            sw_store_element(table->type, table->data, t * features + i, sin(angle));
            if (i + 1 < features)
                sw_store_element(table->type, table->data, t * features + i + 1, cos(angle));
        }
    }
}

static sw_tensor sinusoidal_forward(sw_module *m, sw_tensor x) {
    int64_t first;
    if (position_first(m, x, &first) != SW_OK)
        return (sw_tensor){0};
    const sw_array a = sw_value(x);
    const sw_tensor table = sw_empty(x.tape, a.type, 2, a.shape + 1);
    if (sw_is_null(table))
        return table;
    const sw_array t = sw_value(table);
    sinusoidal_fill(&t, first);
    return position_add(x, table);
}

static sw_status sinusoidal_save(const sw_module *m, sw_description *to) {
    (void)m, (void)to;
    return SW_OK;
}

static sw_module *sinusoidal_restore(sw_model *model, const sw_description *from) {
    (void)from;
    return sw_nn_sinusoidal_position(model);
}

const sw_module_type swn_sinusoidal_position_type = {.size = sizeof(sw_module_type),
                                                     .name = "sinusoidal_position",
                                                     .build = sinusoidal_build,
                                                     .forward = sinusoidal_forward,
                                                     .save = sinusoidal_save,
                                                     .restore = sinusoidal_restore,
                                                     .continues = true};

sw_module *sw_nn_sinusoidal_position(sw_model *model) {
    return sw_module_new(model, &swn_sinusoidal_position_type, 0);
}
