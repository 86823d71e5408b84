/* The side of swale: see peer.h. SW_THREADS sets the number of threads. */
#include "peer.h"

#include "attention_swale.h"
#include "gpt_swale.h"

#include "../layers.h"
#include "../networks.h"

#include <swale/swale.h>

enum { INPUTS = 784, CLASSES = 10, MOST_LAYERS = 8, PICTURES = 10000, CHECKED = 1000 };

static sw_source *data[2]; /* by sw_data_split, read when first asked for */

static void reply(double seconds, double check) {
    if (sw_error())
        refuse(sw_error());
    else
        answer(seconds, check);
    sw_clear_error();
}

static const sw_source *source(sw_data_split split) {
    if (!data[split])
        data[split] = sw_fashion_mnist(NULL, split);
    return data[split];
}

/* ---- Training: a loop written by hand, gathering included ---- */

typedef struct trainer {
    char hidden[64];
    int batch;
    sw_dtype type;
    sw_model *model;
    sw_module *net;
    sw_optim *optim;
    sw_loader *loader;
    sw_tape *tape;
    double loss; /* of the last step */
} trainer;

static trainer t; /* one at a time: a new setting makes a new one */

static void free_trainer(void) {
    sw_tape_free(t.tape);
    sw_loader_free(t.loader);
    sw_optim_free(t.optim);
    sw_model_free(t.model);
    t = (trainer){0};
}

/* Linear layers with the numbers of units in "512,1024", and ReLU between them. */
static sw_module *make_layers(const char *hidden) {
    int units[MOST_LAYERS], layers = numbers(hidden, MOST_LAYERS, units), count = 0, inputs = INPUTS;
    sw_module *module[2 * MOST_LAYERS + 1];
    for (int i = 0; i < layers; inputs = units[i++]) {
        module[count++] = sw_nn_linear(t.model, inputs, units[i]);
        module[count++] = sw_nn_relu(t.model);
    }
    module[count++] = sw_nn_linear(t.model, inputs, CLASSES);
    return sw_nn_sequential_array(t.model, count, module);
}

/* hidden: numbers of units, or the name of a convolutional network (networks.h). */
static void make_trainer(const char *hidden, int batch, sw_dtype type) {
    if (t.batch == batch && t.type == type && strcmp(t.hidden, hidden) == 0)
        return;
    free_trainer();
    snprintf(t.hidden, sizeof t.hidden, "%s", hidden);
    t.batch = batch;
    t.type = type;
    t.model = sw_model_new(type, 1);
    const bool pictures = hidden[0] >= 'a';
    t.net = pictures ? bench_network_of_vectors(t.model, hidden) : make_layers(hidden);
    t.optim = sw_optim_new(sw_model_build(t.model, t.net), pictures ? "adamw lr=1e-3" : "adam lr=1e-3");
    const sw_loader_options options = {.size = sizeof options, .drop_last = true};
    t.loader = sw_loader_new(source(SW_TRAINING), batch, &options);
    t.tape = sw_tape_new();
}

static void train(void *args, int steps) {
    (void)args;
    for (int i = 0; i < steps && !sw_error(); i++) {
        sw_batch b;
        if (!sw_loader_next(t.loader, t.tape, &b))
            sw_loader_next(t.loader, t.tape, &b);
        sw_tensor loss = sw_cross_entropy(sw_forward(t.net, b.x), b.y);
        sw_backward(loss);
        sw_optim_step(t.optim);
        if (i + 1 == steps)
            t.loss = sw_item(loss);
        sw_tape_reset(t.tape);
    }
}

static void answer_train(const request *r) {
    const char *path = setting(r, "path"); /* loop: in f32 */
    const sw_dtype type = strcmp(path, "f16") == 0 ? SW_F16 : strcmp(path, "bf16") == 0 ? SW_BF16 : SW_F32;
    make_trainer(setting(r, "hidden"), number(r, "batch"), type);
    double seconds = timed(train, NULL, number(r, "steps"));
    reply(seconds, t.loss);
}

/* ---- A small network: 4-32-16-4 with tanh, MSE and Adam, all samples in each step ---- */

typedef struct small_network {
    int batch;
    sw_model *model;
    sw_module *mlp;
    sw_optim *optim;
    sw_tape *tape;
    sw_array x, y;
    double loss; /* of the last step */
} small_network;

static small_network small;

static void free_small(void) {
    sw_tape_free(small.tape);
    sw_optim_free(small.optim);
    sw_model_free(small.model);
    sw_array_free(&small.x);
    sw_array_free(&small.y);
    small = (small_network){0};
}

static sw_array small_data(int batch, int period) {
    sw_array a = sw_array_new(SW_F32, SW_SHAPE(batch, 4));
    for (int i = 0; a.data && i < 4 * batch; i++)
        ((float *)a.data)[i] = (float)(i % period) / (float)period * 2 - 1;
    return a;
}

static void make_small(int batch) {
    if (small.batch == batch)
        return;
    free_small();
    small = (small_network){.batch = batch,
                            .model = sw_model_new(SW_F32, 1),
                            .tape = sw_tape_new(),
                            .x = small_data(batch, 17),
                            .y = small_data(batch, 13)};
    small.mlp = sw_nn_sequential(small.model, sw_nn_linear(small.model, 4, 32), sw_nn_tanh(small.model),
                                 sw_nn_linear(small.model, 32, 16), sw_nn_tanh(small.model),
                                 sw_nn_linear(small.model, 16, 4), NULL);
    small.optim = sw_optim_new(sw_model_build(small.model, small.mlp), "adam lr=1e-3");
}

static void train_small(void *args, int steps) {
    (void)args;
    for (int i = 0; i < steps && !sw_error(); i++) {
        sw_tensor y = sw_forward(small.mlp, sw_input(small.tape, small.x)),
                  loss = sw_mse(y, sw_input(small.tape, small.y));
        sw_backward(loss);
        sw_optim_step(small.optim);
        if (i + 1 == steps)
            small.loss = sw_item(loss);
        sw_tape_reset(small.tape);
    }
}

static void answer_small(const request *r) {
    make_small(number(r, "batch"));
    double seconds = timed(train_small, NULL, number(r, "steps"));
    reply(seconds, small.loss);
}

/* ---- Inference: pictures are floats in memory, outputs go to memory ---- */

typedef struct inference {
    int batch, at;
    sw_tape *tape; /* NULL: by sw_predict */
    float *x, *y;  /* [PICTURES, INPUTS], [PICTURES, CLASSES] */
    int32_t *label;
} inference;

static void infer(void *args, int steps) {
    inference *f = args;
    for (int i = 0; i < steps; i++, f->at = (f->at + f->batch) % PICTURES) {
        float *to = f->y + (size_t)f->at * CLASSES;
        const sw_array x = sw_array_view(f->x + (size_t)f->at * INPUTS, SW_F32, SW_SHAPE(f->batch, INPUTS));
        if (!f->tape) {
            sw_array y = sw_array_view(to, SW_F32, SW_SHAPE(f->batch, CLASSES));
            sw_predict(t.model, &x, &y);
        } else {
            sw_array y = sw_value(sw_forward(t.net, sw_input(f->tape, x)));
            if (y.data)
                memcpy(to, y.data, (size_t)f->batch * CLASSES * sizeof *to);
            sw_tape_reset(f->tape);
        }
    }
}

static double accuracy(const inference *f) {
    int right = 0;
    for (int i = 0; i < CHECKED; i++) {
        int best = 0;
        for (int c = 1; c < CLASSES; c++)
            if (f->y[i * CLASSES + c] > f->y[i * CLASSES + best])
                best = c;
        right += best == f->label[i];
    }
    return (double)right / CHECKED;
}

static void answer_infer(const request *r) {
    static inference f;
    make_trainer("100", 64, SW_F32);
    if (!f.x) {
        f.x = sw_alloc_array((int64_t)PICTURES * INPUTS, sizeof *f.x); /* aligned, as the peers' arrays are */
        f.y = sw_alloc_array((int64_t)PICTURES * CLASSES, sizeof *f.y);
        f.label = sw_alloc_array(PICTURES, sizeof *f.label);
        int64_t *ids = malloc(sizeof *ids * PICTURES);
        if (!f.x || !f.y || !f.label || !ids) {
            refuse("out of memory");
            return;
        }
        for (int i = 0; i < PICTURES; i++)
            ids[i] = i;
        sw_source_gather(source(SW_TEST), SW_F32, 0, ids, PICTURES, f.x, f.label);
        free(ids);
    }
    if (sw_optim_steps_taken(t.optim) < 500)
        train(NULL, 500);
    f.batch = number(r, "batch");
    f.tape = NULL;
    if (strcmp(setting(r, "path"), "tape") == 0) {
        f.tape = sw_tape_new();
        sw_tape_set_switch(f.tape, SW_RECORD | SW_TRAIN, false);
    }
    double seconds = timed(infer, &f, number(r, "steps"));
    f.at = 0;
    infer(&f, CHECKED / f.batch);
    reply(seconds / f.batch, accuracy(&f));
    sw_tape_free(f.tape);
}

/* ---- The optimizer alone: the gradient is there already ---- */

typedef struct optimizer {
    char shapes[64], spec[128];
    sw_params *params;
    sw_optim *optim;
    sw_objective objective;
    bool filled;
} optimizer;

static optimizer o;

/* The gradient stays what it was: nothing to do but for the first time. */
static sw_status gradient(void *user, const void *x, const int64_t *ids, int64_t count, uint64_t draw, double *value,
                          void *g) {
    (void)user, (void)x, (void)ids, (void)count, (void)draw;
    for (int64_t i = 0; !o.filled && i < sw_params_dim(o.params); i++)
        ((float *)g)[i] = (float)(i % 17 - 8) / 8;
    o.filled = true;
    *value = 0;
    return SW_OK;
}

static void make_optimizer(const char *shapes, const char *spec) {
    int units[32], count, k = 0;
    if (strcmp(o.shapes, shapes) == 0 && strcmp(o.spec, spec) == 0)
        return;
    sw_optim_free(o.optim);
    sw_params_free(o.params);
    o = (optimizer){.params = sw_params_new(SW_F32, 1)};
    snprintf(o.shapes, sizeof o.shapes, "%s", shapes);
    snprintf(o.spec, sizeof o.spec, "%s", spec);
    for (const char *at = shapes; *at; k++) { /* 100x784,100,10x100,10 */
        char name[32], one[64];
        size_t length = strcspn(at, ",");
        snprintf(one, sizeof one, "%.*s", (int)length, at);
        snprintf(name, sizeof name, "p%d", k);
        count = numbers(one, 2, units);
        sw_params_add(o.params, name, count, (int64_t[]){units[0], units[1]}, NULL);
        at += length + (at[length] == ',');
    }
    sw_params_build(o.params);
    o.optim = sw_optim_new(o.params, spec);
    o.objective = (sw_objective){.size = sizeof o.objective, .n = 1, .params = o.params, .gradient = gradient};
}

static void step(void *args, int steps) {
    (void)args;
    for (int i = 0; i < steps; i++)
        sw_optim_minimize(o.optim, &o.objective, NULL);
}

/* rule: the name of a rule (default: adamw); path=bf16: its products are rounded to bf16. */
static void answer_optim(const request *r) {
    const char *rule = setting(r, "rule"), *products = strcmp(setting(r, "path"), "bf16") == 0 ? " products=bf16" : "";
    char spec[128];
    snprintf(spec, sizeof spec, "%s lr=1e-3%s", *rule ? rule : "adamw", products);
    make_optimizer(setting(r, "shapes"), spec);
    double seconds = o.optim ? timed(step, NULL, number(r, "steps")) : 0;
    reply(seconds, ((const float *)sw_params_x(o.params))[0]);
}

/* ---- The same after the backward of a linear layer without bias, x [batch, in], W [out, in] ---- */

typedef struct layer {
    sw_params *params;
    sw_optim *optim;
    sw_tape *tape;
    sw_array x;
    double seconds; /* in steps of the optimizer */
} layer;

static layer layer_new(int batch, int in, int out) {
    layer l = {
        .params = sw_params_new(SW_F32, 1), .tape = sw_tape_new(), .x = sw_array_new(SW_F32, SW_SHAPE(batch, in))};
    sw_params_add(l.params, "w", SW_SHAPE(out, in), NULL);
    sw_params_build(l.params);
    for (int64_t i = 0; i < sw_params_dim(l.params); i++)
        ((float *)sw_params_x(l.params))[i] = (float)(i % 17 - 8) / 8;
    for (int64_t i = 0; i < sw_array_count(&l.x); i++)
        ((float *)l.x.data)[i] = (float)(i % 13 - 6) / 8;
    l.optim = sw_optim_new(l.params, "adamw lr=1e-6");
    return l;
}

static void layer_run(layer *l, int steps) {
    l->seconds = 0;
    for (int i = 0; i < steps; i++) {
        const sw_tensor none = {0},
                        y = sw_linear(sw_input(l->tape, l->x), sw_param_use(l->tape, sw_params_at(l->params, 0)), none);
        sw_backward(sw_mean(sw_mul(y, y)));
        sw_tape_reset(l->tape);
        const double start = now();
        sw_optim_step(l->optim);
        l->seconds += now() - start;
    }
}

static void answer_after(const request *r) {
    const int steps = number(r, "steps");
    layer l = layer_new(number(r, "batch"), number(r, "in"), number(r, "out"));
    layer_run(&l, 3); /* not counted */
    layer_run(&l, steps);
    reply(l.seconds / steps, ((const float *)sw_params_x(l.params))[0]);
    sw_optim_free(l.optim);
    sw_tape_free(l.tape);
    sw_array_free(&l.x);
    sw_params_free(l.params);
}

/* ---- Single layers ---- */

typedef struct layer_steps {
    bench_layer_run run;
    bool gradient;
} layer_steps;

static void step_layer(void *args, int steps) {
    layer_steps *l = args;
    for (int i = 0; i < steps; i++)
        bench_layer_step(&l->run, l->gradient);
}

/* pass=forward or both */
static void answer_single(const request *r) {
    static layer_steps l;
    for (int i = 0; i < BENCH_LAYERS; i++)
        if (strcmp(bench_layers[i].name, setting(r, "name")) == 0 && l.run.layer != &bench_layers[i]) {
            bench_layer_free(&l.run);
            l.run = bench_layer_new(&bench_layers[i]);
        }
    l.gradient = strcmp(setting(r, "pass"), "both") == 0;
    const double seconds = timed(step_layer, &l, number(r, "steps"));
    reply(seconds, l.run.check);
}

/* ---- Loading ---- */

static void load_by_swale(void *args, int times) {
    double *samples = args;
    for (int i = 0; i < times; i++) {
        sw_source *training = sw_fashion_mnist(NULL, SW_TRAINING), *test = sw_fashion_mnist(NULL, SW_TEST);
        *samples = training && test ? (double)(training->n + test->n) : 0;
        sw_source_free(training);
        sw_source_free(test);
    }
}

static void load_by_zlib(void *args, int times) {
    double *samples = args;
    for (int i = 0; i < times; i++) {
        *samples = 0;
        for (int file = 0; file < FILES; file++) {
            size_t bytes = 0;
            unsigned char *contents = inflated(file, &bytes);
            *samples += contents && (file == LABELS || file == TEST_LABELS) ? (double)bytes - 8 : 0;
            free(contents);
        }
    }
}

static void answer_load(const request *r) {
    double samples = 0;
    bool zlib = strcmp(setting(r, "path"), "zlib") == 0;
    double seconds = timed(zlib ? load_by_zlib : load_by_swale, &samples, number(r, "steps"));
    if (samples == 0 && !sw_error())
        refuse("the four files are not there, compressed by gzip");
    else
        reply(seconds, samples);
}

/* ---- Attention: path f32 or bf16 ---- */

static void answer_attention(const request *r) {
    attention_bench a =
        attention_new(strcmp(setting(r, "path"), "bf16") == 0 ? SW_BF16 : SW_F32, number(r, "batch"),
                      number(r, "heads"), number(r, "length"), number(r, "features"), number(r, "causal") == 1);
    const double seconds = timed(attention_run, &a, number(r, "steps"));
    reply(seconds, a.check);
    attention_free(&a);
}

/* ---- GPT: path loop or loop-bf16, task characters or grokking; generate ---- */

static void answer_gpt(const request *r) {
    const gpt_task *task = strcmp(setting(r, "task"), "grokking") == 0 ? &gpt_grokking : &gpt_characters;
    gpt_bench g = gpt_training(task, strcmp(setting(r, "path"), "loop-bf16") == 0 ? SW_BF16 : SW_F32);
    const double seconds = timed(gpt_train, &g, number(r, "steps"));
    reply(seconds, g.check);
    gpt_free(&g);
}

/* The bytes allocated at most, and the growth of the resident memory. */
static void answer_memory(const request *r) {
    double allocated, resident;
    gpt_memory(strcmp(setting(r, "path"), "loop-bf16") == 0 ? SW_BF16 : SW_F32, &allocated, &resident);
    reply(allocated, resident);
}

static void answer_generate(const request *r) {
    gpt_bench g = {.task = &gpt_characters, .model = gpt_new(&gpt_characters, SW_F32)};
    const double seconds = timed(gpt_generate, &g, number(r, "steps"));
    reply(seconds, g.check);
    gpt_free(&g);
}

int main(void) {
    const char *folder = sw_fashion_mnist_directory(NULL);
    if (!folder) {
        refuse(sw_error());
        return 1;
    }
    printf("ok 0 0 %s; %d threads; data in %s\n", sw_build_info(), sw_threads(), folder);
    fflush(stdout);
    for (request r; next_request(&r);) {
        if (is(&r, "train"))
            answer_train(&r);
        else if (is(&r, "small"))
            answer_small(&r);
        else if (is(&r, "infer"))
            answer_infer(&r);
        else if (is(&r, "optim"))
            answer_optim(&r);
        else if (is(&r, "after"))
            answer_after(&r);
        else if (is(&r, "single"))
            answer_single(&r);
        else if (is(&r, "attention"))
            answer_attention(&r);
        else if (is(&r, "gpt"))
            answer_gpt(&r);
        else if (is(&r, "memory"))
            answer_memory(&r);
        else if (is(&r, "generate"))
            answer_generate(&r);
        else if (is(&r, "load"))
            answer_load(&r);
        else if (is(&r, "forget"))
            free_trainer(), reply(0, 0);
        else
            refuse("unknown request");
    }
    free_trainer();
    free_small();
    sw_optim_free(o.optim);
    sw_params_free(o.params);
    sw_source_free(data[0]);
    sw_source_free(data[1]);
    return 0;
}
