/* Compares the time of a step of each estimator with that of a plain mini-batch step, on one thread:
 *   - SAM and SVRG (with a snapshot every 2n samples) on 784-100-10, batch 64;
 *   - SAG with one number per sample against SGD, both with one sample per step, on logistic regression with 10 and
 *     with 784 features;
 *   - SAGA over sparse rows, 50 numbers in 100,000 columns, with an average, l1 or bounds, against SAGA without them.
 *     Weights are updated lazily, so that a step takes a few times as long as the plain one. An update of every weight
 *     would take hundreds of times as long.
 *
 * Every figure is a ratio of two sides that alternate in one run, as the median over rounds. A round of SVRG is one
 * period with its snapshot. */
#include "bench.h"

#include <math.h>
#include <string.h>
#include <swale/swale.h>

enum { BATCH = 64, INPUTS = 784, HIDDEN = 100, CLASSES = 10, N = 4096, ROUNDS = 21 };

static void check(int good, const char *what) {
    if (!good) {
        fprintf(stderr, "%s: %s\n", what, sw_error() ? sw_error() : "no message");
        exit(1);
    }
}

/* ---- A side: an optimizer and its objective ---- */

typedef struct side {
    sw_optim *optim;
    const sw_objective *objective;
} side;

static sw_optim *optim_of(sw_params *params, const char *estimator, const char *rule) {
    const sw_optim_options how = {.size = sizeof how, .estimator = estimator, .rule = rule, .seed = 1};
    sw_optim *o = sw_optim_new_with_options(params, &how);
    check(o != NULL, estimator);
    return o;
}

/* Seconds a step. */
static double time_of(const side *s, int steps) {
    double start = now();
    for (int i = 0; i < steps; i++)
        check(sw_optim_minimize(s->optim, s->objective, NULL) == SW_OK, "step");
    return (now() - start) / steps;
}

static void compare(const char *name, const side *of, const side *plain, int steps, double target) {
    double ratio[ROUNDS], ours[ROUNDS], theirs[ROUNDS];
    time_of(of, steps), time_of(plain, steps);
    for (int r = 0; r < ROUNDS; r++) {
        ours[r] = time_of(of, steps);
        theirs[r] = time_of(plain, steps);
        ratio[r] = ours[r] / theirs[r];
    }
    note("%s: %.3f us, plain %.3f us a step", name, median(ours, ROUNDS) * 1e6, median(theirs, ROUNDS) * 1e6);
    figure(name, median(ratio, ROUNDS), target, AT_MOST);
}

/* ---- 784-100-10 ---- */

typedef struct network {
    sw_source *source;
    sw_model *model;
    side side;
} network;

static network network_of(const char *estimator) {
    network w = {.source = sw_take(sw_fashion_mnist(NULL, SW_TRAINING), N,
                                   &(sw_wrap_options){.size = sizeof(sw_wrap_options), .owns_source = true}),
                 .model = sw_model_new(SW_F32, 1)};
    sw_module *mlp = sw_nn_sequential(w.model, sw_nn_linear(w.model, INPUTS, HIDDEN), sw_nn_relu(w.model),
                                      sw_nn_linear(w.model, HIDDEN, CLASSES), NULL);
    w.side.optim = optim_of(sw_model_build(w.model, mlp), estimator, "sgd lr=0.05");
    w.side.objective = sw_model_objective(w.model, w.source, sw_cross_entropy);
    check(w.side.objective != NULL, "objective");
    return w;
}

static void free_network(network *w) {
    sw_optim_free(w->side.optim);
    sw_model_free(w->model);
    sw_source_free(w->source);
}

static void on_a_network(const char *name, const char *estimator, double target) {
    network of = network_of(estimator), plain = network_of("minibatch batch=64");
    compare(name, &of.side, &plain.side, 2 * N / BATCH, target);
    free_network(&of);
    free_network(&plain);
}

/* ---- Logistic regression ---- */

typedef struct regression {
    sw_objective f;
    sw_params *params;
    int64_t features;
    float *a, *y;
    side side;
} regression;

static sw_tensor rows(void *user, sw_tape *tape, const int64_t *ids, int64_t count) {
    const regression *p = user;
    if (count == 1) /* in place */
        return sw_input(tape, sw_array_view(p->a + ids[0] * p->features, SW_F32, SW_SHAPE(1, p->features)));
    sw_tensor t = sw_empty(tape, SW_F32, SW_SHAPE(count, p->features));
    float *data = sw_value(t).data;
    for (int64_t i = 0; data && i < count; i++)
        memcpy(data + i * p->features, p->a + ids[i] * p->features, (size_t)p->features * sizeof *data);
    return t;
}

static sw_tensor head(void *user, sw_tape *tape, sw_tensor z, const int64_t *ids, int64_t count) {
    const regression *p = user;
    sw_tensor y = sw_empty(tape, SW_F32, SW_SHAPE(count, 1));
    float *data = sw_value(y).data;
    for (int64_t i = 0; data && i < count; i++)
        data[i] = p->y[ids[i]];
    return sw_bce_with_logits(z, y);
}

static sw_tensor loss(void *user, sw_tape *tape, const int64_t *ids, int64_t count) {
    const regression *p = user;
    sw_tensor w = sw_param_use(tape, sw_params_at(p->params, 0));
    return head(user, tape, sw_linear(rows(user, tape, ids, count), w, (sw_tensor){0}), ids, count);
}

/* SGD has the tape's loss, SAG rows and head. */
static regression *regression_of(int64_t features, const char *estimator, int glm) {
    regression *p = calloc(1, sizeof *p);
    check(p != NULL, "memory");
    sw_source *source = sw_logistic_samples(
        &(sw_logistic_samples_options){.size = sizeof(sw_logistic_samples_options), .n = N, .features = features});
    check(source != NULL, "samples");
    p->features = features;
    p->a = calloc((size_t)(N * features), sizeof *p->a);
    p->y = calloc(N, sizeof *p->y);
    check(p->a && p->y, "memory");
    for (int64_t i = 0; i < N; i++) {
        check(sw_source_gather(source, SW_F32, 0, &i, 1, p->a + i * features, p->y + i) == SW_OK, "gather");
        p->y[i] = p->y[i] > 0;
    }
    sw_source_free(source);
    p->params = sw_params_new(SW_F32, 1);
    check(sw_params_add(p->params, "w", SW_SHAPE(1, features), NULL) != NULL, "parameters");
    check(sw_params_build(p->params) == SW_OK, "parameters");
    p->f = (sw_objective){.size = sizeof p->f, .n = N, .params = p->params, .user = p, .loss = loss};
    if (glm) {
        p->f.features = features;
        p->f.outputs = 1;
        p->f.rows = rows;
        p->f.head = head;
    }
    p->side = (side){optim_of(p->params, estimator, "sgd lr=1e-4 weight_decay=1e-3"), &p->f};
    return p;
}

static void free_regression(regression *p) {
    sw_optim_free(p->side.optim);
    sw_params_free(p->params);
    free(p->a);
    free(p->y);
    free(p);
}

static void on_a_regression(const char *name, const char *estimator, int64_t features, double target) {
    regression *of = regression_of(features, estimator, 1), *plain = regression_of(features, "minibatch batch=1", 0);
    compare(name, &of->side, &plain->side, 2 * N, target);
    free_regression(of);
    free_regression(plain);
}

/* ---- Sparse rows ---- */

enum { ROWS = 20000, COLUMNS = 100000, NUMBERS = 50 };

typedef struct sparse_rows {
    int64_t start[ROWS + 1];
    int32_t column[ROWS * NUMBERS], label[ROWS];
    float number[ROWS * NUMBERS];
} sparse_rows;

static sparse_rows *sparse_rows_new(void) {
    sparse_rows *r = calloc(1, sizeof *r);
    sw_rng rng = {.key = sw_rng_key(3, "sparse rows")};
    check(r != NULL, "memory");
    for (int64_t i = 0; i < ROWS; i++) {
        double z = 0;
        for (int64_t k = 0; k < NUMBERS; k++) { /* columns are chosen in parts, the first of each part most often */
            const int64_t width = COLUMNS / NUMBERS, at = i * NUMBERS + k;
            const double u = sw_rng_uniform(&rng);
            r->column[at] = (int32_t)(k * width + (int64_t)(u * u * (double)width));
            r->number[at] = (float)(sw_rng_uniform(&rng) - 0.5);
            z += (r->column[at] % 3 - 1) * (double)r->number[at];
        }
        r->label[i] = z > 0;
        r->start[i + 1] = (i + 1) * NUMBERS;
    }
    return r;
}

/* Seconds per step, over an epoch in one loop. */
static double time_of_epoch(const side *s) {
    double start = now();
    check(sw_optim_minimize_steps(s->optim, s->objective, ROWS, NULL) == SW_OK, "steps");
    return (now() - start) / ROWS;
}

static void on_sparse_rows(const char *name, const char *rule, const char *average, double target) {
    enum { EPOCHS = 9 };
    sparse_rows *r = sparse_rows_new();
    const sw_csr x = {ROWS, COLUMNS, r->start, r->column, r->number, SW_F32};
    const sw_array y = sw_array_view(r->label, SW_I32, SW_SHAPE(ROWS));
    double ratio[EPOCHS], ours[EPOCHS], theirs[EPOCHS];
    sw_glm *model[2];
    side of[2];
    for (int k = 0; k < 2; k++) {
        model[k] = sw_glm_new_sparse(SW_F64, &x, &y,
                                     &(sw_glm_options){.size = sizeof(sw_glm_options), .head = SW_HEAD_LOGISTIC});
        check(model[k] != NULL, "model");
        const sw_optim_options how = {.size = sizeof how,
                                      .estimator = "saga batch=1 lipschitz=2",
                                      .seed = 1,
                                      .rule = k ? "sgd lr=auto weight_decay=1e-4" : rule,
                                      .average = k ? NULL : average};
        of[k] = (side){sw_optim_new_with_options(sw_glm_params(model[k]), &how), sw_glm_objective(model[k])};
        check(of[k].optim != NULL, name);
        time_of_epoch(&of[k]);
    }
    for (int i = 0; i < EPOCHS; i++) {
        ours[i] = time_of_epoch(&of[0]);
        theirs[i] = time_of_epoch(&of[1]);
        ratio[i] = ours[i] / theirs[i];
    }
    note("%s: %.3f us, plain %.3f us a step", name, median(ours, EPOCHS) * 1e6, median(theirs, EPOCHS) * 1e6);
    figure(name, median(ratio, EPOCHS), target, AT_MOST);
    for (int k = 0; k < 2; k++) {
        sw_optim_free(of[k].optim);
        sw_glm_free(model[k]);
    }
    free(r);
}

int main(void) {
    note("%s", sw_build_info());
    sw_set_threads(1);
    on_a_network("sam_over_minibatch", "sam of=minibatch batch=64", 2.1);
    on_a_network("asam_over_minibatch", "asam of=minibatch batch=64", 2.2);
    on_a_network("svrg_over_minibatch", "svrg batch=64", 2.8);
    on_a_regression("sag_over_sgd_10", "sag", 10, 1.5);
    on_a_regression("sag_over_sgd_784", "sag", 784, 1.5);
    on_a_regression("saga_over_sgd_784", "saga", 784, 1.5);
    on_sparse_rows("saga_sparse_polyak", "sgd lr=auto weight_decay=1e-4", "polyak", 4);
    on_sparse_rows("saga_sparse_l1", "sgd lr=auto l1=1e-5", NULL, 6);
    on_sparse_rows("saga_sparse_nonnegative", "sgd lr=auto nonnegative", NULL, 6);
    on_sparse_rows("saga_sparse_box_ema", "sgd lr=auto weight_decay=1e-4 low=-0.1 high=0.2", "ema", 8);
    if (sw_error())
        fprintf(stderr, "%s\n", sw_error());
    return sw_error() != NULL;
}
