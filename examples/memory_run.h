/* The residual network of memory.c: one training, measured or predicted by a dry run. Not part of the library. */
#ifndef SWALE_EXAMPLES_MEMORY_RUN_H
#define SWALE_EXAMPLES_MEMORY_RUN_H

#include "cli.h"
#include "curves.h"

#include <swale/swale.h>

enum { RUN_BLOCKS = 200, RUN_BATCHES = 8, RUN_CLASSES = 3, RUN_ENTRIES = 64 };
static const double PI = 3.14159265358979323846;

/* The sizes of the network: `blocks` times x + W2 gelu(W1 x + b1) + b2, with `hidden` features inside. */
typedef struct run_sizes {
    int64_t blocks, width, hidden, batch;
    int64_t segment; /* with recomputation: layers of a segment */
} run_sizes;

typedef struct run_setting {
    const char *name;
    sw_dtype type;
    bool recompute;
    unsigned color; /* of the loss */
} run_setting;

/* Everything that a training needs. */
typedef struct run {
    sw_model *model;
    sw_module *net;
    sw_params *params;
    sw_optim *optim;
    sw_tape *tape;
    sw_array x, y; /* f32 [RUN_BATCHES, batch, 2], i32 [RUN_BATCHES, batch] */
    int64_t steps;
} run;

/* ---- The network and its data ---- */

/* The second matrix of a block begins at zero, so that the network of any depth begins as its first and last layer. */
static inline sw_module *run_block(sw_model *m, const run_sizes *s) {
    sw_module *last = sw_module_set_param_init(sw_nn_linear(m, s->hidden, s->width), "weight", sw_init_zeros());
    return sw_nn_residual(m, sw_nn_sequential(m, sw_nn_linear(m, s->width, s->hidden), sw_nn_gelu(m), last, NULL));
}

static inline sw_module *run_network(sw_model *m, const run_sizes *s, bool recompute) {
    sw_module *layer[RUN_BLOCKS + 2];
    layer[0] = sw_nn_linear(m, 2, s->width);
    for (int64_t i = 0; i < s->blocks; i++)
        layer[i + 1] = run_block(m, s);
    layer[s->blocks + 1] = sw_nn_linear(m, s->width, RUN_CLASSES);
    return sw_nn_sequential_with_options(
        m, (int)s->blocks + 2, layer, &SW_OPTIONS(sw_sequential_options, .recompute = recompute ? (int)s->segment : 0));
}

/* Points of three spirals, in f32: layers round them to the type of their weights. */
static inline void run_fill_data(const run *r) {
    float *x = r->x.data;
    int32_t *y = r->y.data;
    sw_rng rng = {.key = sw_rng_key((uint64_t)cli.seed, "spirals")};
    for (int64_t i = 0, n = sw_array_count(&r->y); x && y && i < n; i++) {
        y[i] = (int32_t)sw_rng_below(&rng, RUN_CLASSES);
        const double radius = 0.1 + 0.9 * sw_rng_uniform(&rng), angle = 2 * PI * (radius + (double)y[i] / RUN_CLASSES);
        x[2 * i] = (float)(radius * cos(angle) + 0.02 * sw_rng_normal(&rng));
        x[2 * i + 1] = (float)(radius * sin(angle) + 0.02 * sw_rng_normal(&rng));
    }
}

static inline void run_free(run *r) {
    sw_tape_free(r->tape), sw_optim_free(r->optim), sw_model_free(r->model);
    sw_array_free(&r->x), sw_array_free(&r->y);
}

static inline void run_new(run *r, const run_sizes *s, const run_setting *how) {
    *r = (run){.x = sw_array_new(SW_F32, SW_SHAPE(RUN_BATCHES * s->batch, 2)),
               .y = sw_array_new(SW_I32, SW_SHAPE(RUN_BATCHES * s->batch))};
    if (!sw_dry_run())
        run_fill_data(r);
    r->model = sw_model_new(how->type, (uint64_t)cli.seed);
    r->net = run_network(r->model, s, how->recompute);
    r->params = sw_model_build(r->model, r->net);
    /* Without skipped steps at first, so that the losses of all types coincide: a gradient in f16 is below 65520. */
    r->optim = sw_optim_new_with_options(r->params,
                                         &SW_OPTIONS(sw_optim_options, .rule = "adam lr=2e-4",
                                                     .loss_scale = how->type == SW_F16 ? "dynamic initial=256" : NULL));
    r->tape = sw_tape_new();
    sw_tape_set_switch(r->tape, SW_MEASURE, true);
}

/* Returns the loss. */
static inline double run_step(run *r, const run_sizes *s) {
    if (sw_error())
        return NAN;
    const int64_t at = r->steps++ % RUN_BATCHES * s->batch;
    sw_tensor x = sw_input(r->tape, sw_array_view((float *)r->x.data + 2 * at, SW_F32, SW_SHAPE(s->batch, 2)));
    sw_tensor y = sw_input(r->tape, sw_array_view((int32_t *)r->y.data + at, SW_I32, SW_SHAPE(s->batch)));
    sw_tensor loss = sw_cross_entropy(sw_forward(r->net, x), y);
    const double value = sw_item(loss);
    sw_backward(loss);
    sw_optim_step(r->optim);
    sw_tape_reset(r->tape);
    return value;
}

/* ---- The ledger ---- */

/* What the bytes are for, in the order of the bars. */
typedef enum run_part {
    RUN_PARAMETERS, /* those that operations read */
    RUN_MASTERS,    /* in f32, if operations read a 16-bit copy */
    RUN_GRADIENTS,
    RUN_MOMENTS,     /* the slots of the optimizer */
    RUN_ACTIVATIONS, /* what layers keep for backward */
    RUN_ATTENTION,   /* what attention layers keep */
    RUN_WORKSPACE,   /* the rest of what was live in the arena at one time, or lost there to fragmentation */
    RUN_UNUSED,      /* nodes, and parts of chunks that the arena has not needed */
    RUN_OTHER,       /* data, layers, names, temporaries */
    RUN_PARTS
} run_part;
static const char *const run_part_name[RUN_PARTS] = {"parameters", "masters",   "gradients", "moments", "activations",
                                                     "attention",  "workspace", "unused",    "other"};

typedef struct run_ledger {
    double part[RUN_PARTS]; /* bytes, at most at one time */
    size_t peak, high_water, live_set;
    double per_parameter, flops; /* flops of a step: dry runs only */
    int64_t dim;
    int gradient_blocks; /* in how many blocks of memory the gradients of the parameters are */
} run_ledger;

static inline run_part run_part_of(const sw_memory_entry *e) {
    switch (e->account) {
    case SW_ACCOUNT_PARAMETERS: return e->name && strncmp(e->name, "masters", 7) == 0 ? RUN_MASTERS : RUN_PARAMETERS;
    case SW_ACCOUNT_GRADIENTS: return RUN_GRADIENTS;
    case SW_ACCOUNT_OPTIMIZER: return RUN_MOMENTS;
    case SW_ACCOUNT_TAPE: return RUN_UNUSED;
    default: return RUN_OTHER;
    }
}

/* Sets what is in the arena of the tape: activations, and the rest of its high-water mark. */
static inline void run_add_activations(run_ledger *l, const sw_tape *tape) {
    static sw_tape_layer layer[16 * RUN_BLOCKS];
    const int most = (int)(sizeof layer / sizeof *layer), count = sw_tape_activations(tape, layer, most);
    for (int i = 0; i < count && i < most; i++) {
        const bool attention = layer[i].layer && strstr(layer[i].layer, ".attn");
        l->part[attention ? RUN_ATTENTION : RUN_ACTIVATIONS] += (double)layer[i].bytes;
    }
    l->high_water = sw_tape_high_water_bytes(tape);
    l->live_set = sw_tape_live_set_bytes(tape);
    l->part[RUN_WORKSPACE] = (double)l->high_water - l->part[RUN_ACTIVATIONS] - l->part[RUN_ATTENTION];
    l->part[RUN_UNUSED] -= (double)l->high_water;
}

/* A new block begins where the gradient of a parameter does not follow that of the one before. */
static inline int run_gradient_blocks(const sw_params *params) {
    const char *end = NULL;
    int blocks = 0;
    for (int i = 0; i < sw_params_count(params); i++) {
        const sw_array g = sw_param_grad(sw_params_at(params, i));
        blocks += (const char *)g.data != end;
        end = (const char *)g.data + (size_t)sw_array_count(&g) * sw_dtype_size(g.type);
    }
    return blocks;
}

/* The ledger of a run after `steps` steps, before anything is freed. */
static inline run_ledger run_report(const sw_params *params, const sw_tape *tape, int64_t steps) {
    static sw_memory_entry entry[RUN_ENTRIES];
    run_ledger l = {.peak = sw_memory_peak_total(),
                    .per_parameter = sw_memory_per_parameter(sw_params_dim(params)),
                    .flops = steps > 0 ? sw_dry_run_flops() / (double)steps : 0,
                    .dim = sw_params_dim(params),
                    .gradient_blocks = run_gradient_blocks(params)};
    const int count = sw_memory_report(entry, RUN_ENTRIES);
    for (int i = 0; i < count && i < RUN_ENTRIES; i++)
        l.part[run_part_of(&entry[i])] += (double)entry[i].peak;
    run_add_activations(&l, tape);
    return l;
}

/* Trains, and returns the ledger; adds the losses to a curve unless it is NULL. Nothing else of the library may have
 * memory. */
static inline run_ledger run_measure(const run_sizes *s, const run_setting *how, int64_t steps, curve *loss) {
    run r;
    sw_memory_reset_peaks();
    run_new(&r, s, how);
    for (int64_t i = 0; i < steps && !sw_error(); i++) {
        const double value = run_step(&r, s);
        if (loss)
            curve_add(loss, (double)i, value);
    }
    const run_ledger l = run_report(r.params, r.tape, r.steps);
    run_free(&r);
    return l;
}

/* The same from the shapes alone. */
static inline run_ledger run_predict(const run_sizes *s, const run_setting *how) {
    run_ledger l = {0};
    if (sw_dry_run_begin() != SW_OK)
        return l;
    l = run_measure(s, how, 2, NULL);
    sw_dry_run_end();
    return l;
}

#endif
