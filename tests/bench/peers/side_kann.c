/* The side of kann (github.com/attractivechaos/kann): see peer.h. It is compiled against the sources in KANN_DIR; this
 * repository contains no code of kann. With path=blas, OpenBLAS uses PEERS_THREADS threads; with path=mt, kann does.
 * The optimizer is kann's RMSprop, which moves a third less memory than Adam; kann has no Adam. For equal work,
 * path=blas-adam and path=mt-adam use an Adam that is written here. */
#include "peer.h"

#include <cblas.h>
#include <kann.h>
#include <math.h>

enum { INPUTS = 784, CLASSES = 10, MOST_LAYERS = 8, PICTURES = 10000, CHECKED = 1000, CHUNK = 1000 };

typedef struct pictures {
    int n;
    float *x, *y; /* [n, INPUTS], [n, CLASSES]: one-hot */
} pictures;

static pictures training, test;
static int threads = 1;

static pictures read_pictures(int images, int labels) {
    size_t pixel_bytes = 0, label_bytes = 0;
    unsigned char *pixel = inflated(images, &pixel_bytes), *label = inflated(labels, &label_bytes);
    pictures p = {0};
    if (!pixel || !label || pixel_bytes < 16 || label_bytes < 8)
        return p;
    p.n = (int)((pixel_bytes - 16) / INPUTS);
    p.x = malloc(sizeof(float) * (size_t)p.n * INPUTS);
    p.y = calloc((size_t)p.n * CLASSES, sizeof(float));
    for (int i = 0; i < p.n * INPUTS; i++)
        p.x[i] = (float)pixel[16 + i] / 255;
    for (int i = 0; i < p.n; i++)
        p.y[i * CLASSES + label[8 + i]] = 1;
    free(pixel);
    free(label);
    return p;
}

static void read_once(void) {
    if (!training.n)
        training = read_pictures(IMAGES, LABELS), test = read_pictures(TEST_IMAGES, TEST_LABELS);
}

/* ---- Training, as in kann_train_fnn1 ---- */

typedef struct trainer {
    char hidden[64], path[16];
    int batch, at, *order;
    kann_t *net;
    float *x, *y, *state, *second; /* second: Adam's */
    int steps;
    float loss;
} trainer;

static trainer t;

static void free_trainer(void) {
    if (t.net) {
        kann_mt(t.net, 0, 0);
        kann_delete(t.net);
    }
    free(t.order), free(t.x), free(t.y), free(t.state), free(t.second);
    t = (trainer){0};
}

/* The network "lenet" of ../networks.h. kann has no average pooling of pictures and no batch normalization. */
static kad_node_t *make_lenet(void) {
    kad_node_t *node = kad_feed(4, 1, 1, 28, 28);
    node->ext_flag |= KANN_F_IN;
    node = kad_max2d(kad_relu(kann_layer_conv2d(node, 16, 5, 5, 1, 1, 0, 0)), 2, 2, 2, 2, 0, 0);
    node = kad_max2d(kad_relu(kann_layer_conv2d(node, 32, 5, 5, 1, 1, 0, 0)), 2, 2, 2, 2, 0, 0);
    return kad_relu(kann_layer_dense(node, 128));
}

static kad_node_t *make_layers(const char *hidden) {
    int units[MOST_LAYERS], layers = numbers(hidden, MOST_LAYERS, units);
    kad_node_t *node = kann_layer_input(INPUTS);
    for (int i = 0; i < layers; i++)
        node = kad_relu(kann_layer_dense(node, units[i]));
    return node;
}

static void make_trainer(const char *hidden, int batch, const char *path) {
    int mt = strncmp(path, "mt", 2) == 0;
    openblas_set_num_threads(mt ? 1 : threads);
    if (t.batch == batch && strcmp(t.hidden, hidden) == 0 && strcmp(t.path, path) == 0)
        return;
    free_trainer();
    snprintf(t.hidden, sizeof t.hidden, "%s", hidden);
    snprintf(t.path, sizeof t.path, "%s", path);
    t.batch = batch;
    t.at = training.n;
    kad_node_t *node = strcmp(hidden, "lenet") == 0 ? make_lenet() : make_layers(hidden);
    t.net = kann_new(kann_layer_cost(node, CLASSES, KANN_C_CEM), 0);
    t.order = malloc(sizeof *t.order * (size_t)training.n);
    t.x = malloc(sizeof *t.x * (size_t)batch * INPUTS);
    t.y = malloc(sizeof *t.y * (size_t)batch * CLASSES);
    t.state = calloc((size_t)kann_size_var(t.net), sizeof *t.state);
    if (strstr(path, "adam"))
        t.second = calloc((size_t)kann_size_var(t.net), sizeof *t.second);
    if (mt)
        kann_mt(t.net, threads, batch);
    kann_feed_bind(t.net, KANN_F_IN, 0, &t.x);
    kann_feed_bind(t.net, KANN_F_TRUTH, 0, &t.y);
    kann_set_batch_size(t.net, batch);
    kann_switch(t.net, 1);
}

static void adam(int n, const float *restrict g, float *restrict x, float *restrict m, float *restrict v) {
    t.steps++;
    const float step = 1e-3f / (1 - powf(0.9f, (float)t.steps));
    const float scale = 1 / sqrtf(1 - powf(0.999f, (float)t.steps));
    for (int i = 0; i < n; i++) {
        m[i] = 0.9f * m[i] + 0.1f * g[i];
        v[i] = 0.999f * v[i] + 0.001f * g[i] * g[i];
        x[i] -= step * m[i] / (sqrtf(v[i]) * scale + 1e-8f);
    }
}

static void train(void *args, int steps) {
    (void)args;
    for (int i = 0; i < steps; i++, t.at += t.batch) {
        if (t.at + t.batch > training.n) {
            kann_shuffle(training.n, t.order);
            t.at = 0;
        }
        for (int k = 0; k < t.batch; k++) {
            size_t id = (size_t)t.order[t.at + k];
            memcpy(t.x + k * INPUTS, training.x + id * INPUTS, sizeof *t.x * INPUTS);
            memcpy(t.y + k * CLASSES, training.y + id * CLASSES, sizeof *t.y * CLASSES);
        }
        t.loss = kann_cost(t.net, 0, 1);
        if (t.second)
            adam(kann_size_var(t.net), t.net->g, t.net->x, t.state, t.second);
        else
            kann_RMSprop(kann_size_var(t.net), 1e-3f, 0, 0.9f, t.net->g, t.net->x, t.state);
    }
}

static void answer_train(const request *r) {
    const char *hidden = setting(r, "hidden");
    if (hidden[0] >= 'a' && strcmp(hidden, "lenet") != 0) {
        refuse("kann has no such layers");
        return;
    }
    make_trainer(setting(r, "hidden"), number(r, "batch"), setting(r, "path"));
    double seconds = timed(train, NULL, number(r, "steps"));
    answer(seconds, t.loss);
}

/* ---- Inference ---- */

typedef struct inference {
    int batch, at;
    float *y; /* [PICTURES, CLASSES] */
} inference;

static void infer(void *args, int steps) {
    inference *f = args;
    int out = kann_find(t.net, KANN_F_OUT, 0);
    for (int i = 0; i < steps; i++, f->at = (f->at + f->batch) % PICTURES) {
        float *x = test.x + (size_t)f->at * INPUTS;
        kann_feed_bind(t.net, KANN_F_IN, 0, &x);
        kann_eval_out(t.net);
        memcpy(f->y + (size_t)f->at * CLASSES, t.net->v[out]->x, sizeof(float) * (size_t)f->batch * CLASSES);
    }
}

static int largest(const float *score) {
    int best = 0;
    for (int c = 1; c < CLASSES; c++)
        best = score[c] > score[best] ? c : best;
    return best;
}

static double share_right(const pictures *p, int n, const float *scores) {
    int right = 0;
    for (int i = 0; i < n; i++)
        right += largest(scores + i * CLASSES) == largest(p->y + i * CLASSES);
    return (double)right / n;
}

static void answer_infer(const request *r) {
    inference f = {.batch = number(r, "batch"), .y = malloc(sizeof(float) * PICTURES * CLASSES)};
    make_trainer("100", 64, "blas");
    train(NULL, 500);
    kann_switch(t.net, 0);
    kann_set_batch_size(t.net, f.batch);
    double seconds = timed(infer, &f, number(r, "steps"));
    f.at = 0;
    infer(&f, CHECKED / f.batch);
    answer(seconds / f.batch, share_right(&test, CHECKED, f.y));
    free(f.y);
    free_trainer(); /* its batch has another size now */
}

/* ---- The whole job ---- */

static double evaluate(const pictures *p) {
    float *scores = malloc(sizeof *scores * (size_t)p->n * CLASSES);
    int out = kann_find(t.net, KANN_F_OUT, 0);
    kann_switch(t.net, 0);
    kann_set_batch_size(t.net, CHUNK);
    for (int at = 0; at < p->n; at += CHUNK) {
        float *x = p->x + (size_t)at * INPUTS;
        kann_feed_bind(t.net, KANN_F_IN, 0, &x);
        kann_eval(t.net, KANN_F_OUT, 0);
        memcpy(scores + at * CLASSES, t.net->v[out]->x, sizeof *scores * CHUNK * CLASSES);
    }
    kann_feed_bind(t.net, KANN_F_IN, 0, &t.x);
    kann_set_batch_size(t.net, t.batch);
    kann_switch(t.net, 1);
    double share = share_right(p, p->n, scores);
    free(scores);
    return share;
}

static void answer_job(const request *r) {
    double start = now(), accuracy = 0;
    make_trainer(setting(r, "hidden"), number(r, "batch"), setting(r, "path"));
    for (int epoch = 0; epoch < number(r, "epochs"); epoch++) {
        train(NULL, training.n / t.batch);
        accuracy = evaluate(&test);
    }
    evaluate(&training);
    answer(now() - start, accuracy);
}

static void load(void *args, int times) {
    for (int i = 0; i < times; i++) {
        pictures a = read_pictures(IMAGES, LABELS), b = read_pictures(TEST_IMAGES, TEST_LABELS);
        *(double *)args = a.n + b.n;
        free(a.x), free(a.y), free(b.x), free(b.y);
    }
}

static void answer_load(const request *r) {
    double samples = 0, seconds = timed(load, &samples, number(r, "steps"));
    answer(seconds, samples);
}

int main(void) {
    if (getenv("PEERS_THREADS"))
        threads = atoi(getenv("PEERS_THREADS"));
    printf("ok 0 0 kann %s, OpenBLAS %s; %d threads\n", KANN_VERSION, openblas_get_corename(), threads);
    fflush(stdout);
    for (request r; next_request(&r);) {
        read_once();
        if (!training.n || !test.n)
            refuse("the four files are not there, compressed by gzip");
        else if (is(&r, "train"))
            answer_train(&r);
        else if (is(&r, "infer"))
            answer_infer(&r);
        else if (is(&r, "job"))
            answer_job(&r);
        else if (is(&r, "load"))
            answer_load(&r);
        else if (is(&r, "forget"))
            free_trainer(), answer(0, 0);
        else
            refuse("unknown request");
    }
    free_trainer();
    return 0;
}
