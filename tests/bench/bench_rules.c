/* Compares the time of a step of every rule with that of a plain pass over the bytes that the rule must move: x, g and
 * the state are read, x and the state are written. The step is that of the pipeline, whose check for Inf and NaN reads
 * g a second time. The sizes are 10 million parameters in f32, where memory limits the speed, and 79,510 (784-100-10),
 * which fit in the caches. A step after the backward of a layer, which checks the gradient while it writes it, is
 * compared with a plain pass that reads g once. Every figure is a ratio of two sides that alternate in one run, as the
 * median over rounds. */
#include "bench.h"

#include <stdint.h>
#include <string.h>
#include <swale/swale.h>

enum { ROUNDS = 11, LARGE = 10000000, SMALL = 79510, LANES = 32, MOST_SLOTS = 24, AT_A_TIME = 3 };
static const double FROM_MEMORY = 1.25, IN_CACHE = 1.4, AFTER_BACKWARD = 1.1;

/* ---- One side: a plain pass over x, g and `slots` vectors ---- */

typedef struct pass {
    float *x, *g, *slot[MOST_SLOTS];
    int slots, stored; /* vectors of state that the step updates; that exist */
    int more;          /* vectors that the step must read before: g, x, and the state, again and again */
    int64_t n;
    const float *read[AT_A_TIME]; /* those that are read in one pass */
    int reads;
    _Atomic int seen; /* keeps those reads alive */
} pass;

static void read_only(void *args, int64_t tile) {
    pass *p = args;
    const int64_t begin = tile * SW_TILE, end = begin + SW_TILE < p->n ? begin + SW_TILE : p->n;
    const float *restrict a = p->read[0], *restrict b = p->read[1], *restrict c = p->read[2];
    float lane[LANES] = {0}, sum = 0;
    for (int64_t i = begin; i + LANES <= end; i += LANES)
        for (int j = 0; j < LANES; j++)
            lane[j] += p->reads > 2 ? a[i + j] + b[i + j] + c[i + j] : p->reads > 1 ? a[i + j] + b[i + j] : a[i + j];
    for (int j = 0; j < LANES; j++)
        sum += lane[j];
    if (sum == 12345)
        p->seen = 1;
}

/* What is added up depends on all that is read, so that nothing can be left out. */
static void plain(void *args, int64_t tile) {
    const pass *p = args;
    const int64_t begin = tile * SW_TILE, end = begin + SW_TILE < p->n ? begin + SW_TILE : p->n;
    float *restrict x = p->x, *restrict a = p->slot[0], *restrict b = p->slot[1], *restrict c = p->slot[2];
    const float *restrict g = p->g;
    switch (p->slots) {
    case 0:
        for (int64_t i = begin; i < end; i++)
            x[i] += 0.5f * g[i];
        break;
    case 1:
        for (int64_t i = begin; i < end; i++) {
            a[i] = 0.5f * (a[i] + g[i]);
            x[i] += a[i];
        }
        break;
    case 2:
        for (int64_t i = begin; i < end; i++) {
            a[i] = 0.5f * (a[i] + g[i]);
            b[i] = 0.5f * (b[i] + g[i]);
            x[i] += a[i] + b[i];
        }
        break;
    default:
        for (int64_t i = begin; i < end; i++) {
            a[i] = 0.5f * (a[i] + g[i]);
            b[i] = 0.5f * (b[i] + g[i]);
            c[i] = 0.5f * (c[i] + g[i]);
            x[i] += a[i] + b[i] + c[i];
        }
    }
}

static float *floats(int64_t n) {
    float *p = sw_alloc_array(n, sizeof *p);
    for (int64_t i = 0; p && i < n; i++)
        p[i] = (float)(i % 17) / 17 - 0.5f;
    return p;
}

/* stored: the vectors of state. A rule that only reads most of them (L-BFGS) updates none in the plain pass. */
static pass make_pass(int64_t n, int stored, int more) {
    pass p = {.x = floats(n), .g = floats(n), .slots = stored > AT_A_TIME + 1 ? 0 : stored, .more = more, .n = n};
    for (; p.stored < stored && p.stored < MOST_SLOTS; p.stored++)
        p.slot[p.stored] = floats(n);
    return p;
}

static void free_pass(pass *p) {
    sw_free(p->x);
    sw_free(p->g);
    for (int i = 0; i < p->stored; i++)
        sw_free(p->slot[i]);
}

/* As few passes as possible, each over different vectors. */
static void read_more(pass *p) {
    const int vectors = 2 + p->stored, most = vectors < AT_A_TIME ? vectors : AT_A_TIME;
    for (int done = 0; done < p->more; done += p->reads) {
        p->reads = p->more - done < most ? p->more - done : most;
        for (int i = 0; i < p->reads; i++) {
            const int k = (done + i) % vectors;
            p->read[i] = k == 0 ? p->g : k == 1 ? p->x : p->slot[k - 2];
        }
        sw_parallel(read_only, p, (p->n + SW_TILE - 1) / SW_TILE);
    }
}

static double plain_time(pass *p, int repeats) {
    double start = now();
    for (int i = 0; i < repeats; i++) {
        read_more(p);
        sw_parallel(plain, p, (p->n + SW_TILE - 1) / SW_TILE);
    }
    return (now() - start) / repeats;
}

/* ---- The other: a step on an objective whose gradient is already there ---- */

/* The gradient of a quadratic function: L-BFGS keeps no pairs if the gradient does not change. */
typedef struct quadratic_args {
    const float *x;
    float *g;
    int64_t n;
} quadratic_args;

static void quadratic_tile(void *args, int64_t tile) {
    const quadratic_args *a = args;
    const int64_t begin = tile * SW_TILE, end = begin + SW_TILE < a->n ? begin + SW_TILE : a->n;
    const float *restrict x = a->x;
    float *restrict g = a->g;
    for (int64_t i = begin; i < end; i++)
        g[i] = (float)(1 + i % 4) * x[i];
}

static sw_status quadratic(void *user, const void *x, const int64_t *ids, int64_t count, uint64_t draw, double *value,
                           void *g) {
    const sw_params *p = user;
    (void)ids, (void)count, (void)draw;
    sw_parallel(quadratic_tile, &(quadratic_args){x, g, sw_params_dim(p)}, (sw_params_dim(p) + SW_TILE - 1) / SW_TILE);
    *value = 0;
    return SW_OK;
}

static sw_status ready(void *user, const void *x, const int64_t *ids, int64_t count, uint64_t draw, double *value,
                       void *g) {
    (void)user, (void)x, (void)ids, (void)count, (void)draw, (void)g;
    *value = 0;
    return SW_OK;
}

typedef struct stepper {
    sw_params *params;
    sw_objective f;
    sw_optim *optim;
} stepper;

/* 784-100-10, or one large matrix. */
static void declare(sw_params *p, int64_t n) {
    const sw_param_options weight = {.size = sizeof weight, .role = SW_ROLE_WEIGHT},
                           bias = {.size = sizeof bias, .role = SW_ROLE_BIAS};
    if (n == LARGE) {
        sw_params_add(p, "w", 2, (const int64_t[]){LARGE / 1000, 1000}, &weight);
        return;
    }
    sw_params_add(p, "w1", 2, (const int64_t[]){100, 784}, &weight);
    sw_params_add(p, "b1", 1, (const int64_t[]){100}, &bias);
    sw_params_add(p, "w2", 2, (const int64_t[]){10, 100}, &weight);
    sw_params_add(p, "b2", 1, (const int64_t[]){10}, &bias);
}

static bool is_rule(const char *spec, const char *name) {
    const size_t length = strlen(name);
    return strncmp(spec, name, length) == 0 && (spec[length] == 0 || spec[length] == ' ');
}

static void make_stepper(stepper *s, int64_t n, const char *rule) {
    *s = (stepper){.params = sw_params_new(SW_F32, 1)};
    declare(s->params, n);
    sw_params_build(s->params);
    float *g = sw_gradient_data(sw_params_gradient(s->params)), *x = sw_params_x(s->params);
    for (int64_t i = 0; i < n; i++)
        g[i] = x[i] = (float)(i % 17) / 17 - 0.5f;
    s->f = (sw_objective){.size = sizeof s->f,
                          .n = 1,
                          .params = s->params,
                          .user = s->params,
                          .gradient = is_rule(rule, "lbfgs") ? quadratic : ready};
    const sw_optim_options how = {.size = sizeof how, .rule = rule, .estimator = "full"};
    s->optim = sw_optim_new_with_options(s->params, &how);
}

static void free_stepper(stepper *s) {
    sw_optim_free(s->optim);
    sw_params_free(s->params);
}

static double step_time(stepper *s, int repeats) {
    double start = now();
    for (int i = 0; i < repeats; i++)
        sw_optim_minimize(s->optim, &s->f, NULL);
    return (now() - start) / repeats;
}

/* ---- Figures ---- */

typedef struct bench_rule {
    char name[64], spec[128];
} bench_rule;

/* Beside every rule of the registry: options that choose another loop or state. */
static const bench_rule variants[] = {
    {"sgd_momentum", "sgd momentum=0.9"},
    {"sgd_l1", "sgd l1=0.1 low=-1 high=1"},
    {"sgd_momentum_l1", "sgd momentum=0.9 l1=0.1 low=-1 high=1"},
    {"rmsprop_centered", "rmsprop centered momentum=0.9"},
    {"fista_l1", "fista l1=0.1"},
};
enum { VARIANTS = sizeof variants / sizeof *variants };

/* What the rule reads beyond x, g and its state once (`cost` of sw_rule: Fromage wants norms of x and g; FISTA reads
 * all to see whether it begins anew). With less than two vectors of state the check's own reading of g would use up
 * what is allowed (16/12 for SGD): there the plain pass reads it once more too. The gradient of L-BFGS's objective
 * reads x and writes g. */
static int more_reads(const char *spec, int slots, int otherwise) {
    char name[64];
    sscanf(spec, "%63s", name);
    const double cost = sw_rule_find(name)->cost;
    if (is_rule(spec, "lbfgs"))
        return (int)cost - 3 + 2;
    return cost > 0 ? (int)cost - (3 + 2 * slots) : otherwise;
}

/* 0: x stays what it is, so that no round sees Inf. With 0, Prodigy does nothing; with d constant, x moves little.
 * L-BFGS moves slowly on a quadratic function, so that it has all pairs in every step. */
static const char *rate_of(const char *spec) {
    if (is_rule(spec, "prodigy") || is_rule(spec, "schedule_free_prodigy"))
        return "growth_rate=1 lr=1e-6";
    return is_rule(spec, "lbfgs") ? "lr=1e-3" : "lr=0";
}

/* Vectors of state; a number for each row is none. */
static int slots_of(const stepper *s, int64_t n) {
    return (int)(sw_optim_bytes(s->optim).rule / ((size_t)n * sizeof(float)));
}

static void against_plain(const bench_rule *rule, int64_t n, int threads) {
    char name[80], spec[160];
    const int repeats = n == LARGE ? 2 : 100;
    double ratio[ROUNDS], ours[ROUNDS], bare[ROUNDS];
    stepper s;
    sw_set_threads(threads);
    snprintf(spec, sizeof spec, "%s %s", rule->spec, rate_of(rule->spec));
    make_stepper(&s, n, spec);
    if (!s.optim || sw_error())
        return;
    const int slots = slots_of(&s, n);
    pass p = make_pass(n, slots, more_reads(rule->spec, slots, slots < 2));
    step_time(&s, repeats + 12), plain_time(&p, repeats); /* RAdam's first steps are without denominator, L-BFGS's
                                                           * without all pairs */
    for (int r = 0; r < ROUNDS; r++) {
        ours[r] = step_time(&s, repeats);
        bare[r] = plain_time(&p, repeats);
        ratio[r] = ours[r] / bare[r];
    }
    snprintf(name, sizeof name, "%s_%s_%d", rule->name, n == LARGE ? "10m" : "80k", threads);
    note("%s: step %.1f us, plain pass %.1f us", name, median(ours, ROUNDS) * 1e6, median(bare, ROUNDS) * 1e6);
    figure(name, median(ratio, ROUNDS), n == LARGE ? FROM_MEMORY : IN_CACHE, AT_MOST);
    free_stepper(&s);
    free_pass(&p);
}

/* ---- A step after the backward of a network, which checks the gradient while it writes it ---- */

enum { AFTER_OUT = 2441, AFTER_IN = 4096, AFTER_BATCH = 64 };

typedef struct trained {
    sw_params *params;
    sw_optim *optim;
    sw_tape *tape;
    sw_array x;
} trained;

static trained trained_new(const char *spec) {
    trained t = {.params = sw_params_new(SW_F32, 1), .tape = sw_tape_new()};
    const sw_param_options weight = {.size = sizeof weight, .role = SW_ROLE_WEIGHT};
    sw_params_add(t.params, "w", SW_SHAPE(AFTER_OUT, AFTER_IN), &weight);
    sw_params_build(t.params);
    for (int64_t i = 0; i < sw_params_dim(t.params); i++)
        ((float *)sw_params_x(t.params))[i] = (float)(i % 17) / 17 - 0.5f;
    t.x = sw_array_new(SW_F32, SW_SHAPE(AFTER_BATCH, AFTER_IN));
    for (int i = 0; i < AFTER_BATCH * AFTER_IN; i++)
        ((float *)t.x.data)[i] = (float)(i % 13) / 13 - 0.5f;
    t.optim = sw_optim_new(t.params, spec);
    return t;
}

static void trained_free(trained *t) {
    sw_optim_free(t->optim);
    sw_tape_free(t->tape);
    sw_array_free(&t->x);
    sw_params_free(t->params);
}

/* The time of the step alone. */
static double trained_step_time(const trained *t) {
    const sw_tensor none = {0},
                    y = sw_linear(sw_input(t->tape, t->x), sw_param_use(t->tape, sw_params_at(t->params, 0)), none);
    sw_backward(sw_mean(sw_mul(y, y)));
    sw_tape_reset(t->tape);
    const double start = now();
    sw_optim_step(t->optim);
    return now() - start;
}

static void after_backward(const bench_rule *rule, int threads) {
    char name[96], spec[160];
    double ratio[ROUNDS], ours[ROUNDS], bare[ROUNDS];
    sw_set_threads(threads);
    snprintf(spec, sizeof spec, "%s lr=1e-6", rule->spec);
    trained t = trained_new(spec);
    if (!t.optim || sw_error())
        return;
    const int64_t n = sw_params_dim(t.params);
    const int slots = (int)(sw_optim_bytes(t.optim).rule / ((size_t)n * sizeof(float)));
    pass p = make_pass(n, slots, more_reads(rule->spec, slots, 0));
    for (int r = 0; r < 3; r++)
        trained_step_time(&t), plain_time(&p, 1);
    for (int r = 0; r < ROUNDS; r++) {
        ours[r] = trained_step_time(&t);
        bare[r] = plain_time(&p, 1);
        ratio[r] = ours[r] / bare[r];
    }
    snprintf(name, sizeof name, "%s_after_backward_%d", rule->name, threads);
    note("%s: step %.1f us, plain pass %.1f us", name, median(ours, ROUNDS) * 1e6, median(bare, ROUNDS) * 1e6);
    figure(name, median(ratio, ROUNDS), AFTER_BACKWARD, AT_MOST);
    trained_free(&t);
    free_pass(&p);
}

/* `bench_rules NAME…`: these alone. */
static int wanted(const char *name, int count, char **names) {
    for (int i = 1; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return 1;
    return count < 2;
}

static void measure(const bench_rule *rule) {
    for (int threads = 1; threads <= 2; threads++) {
        against_plain(rule, LARGE, threads);
        against_plain(rule, SMALL, threads);
        after_backward(rule, threads);
    }
}

/* Rules whose matrices would take 40 GB, or minutes, for 10 million elements: bench_matrix_rules.c and bench_muon.c
 * measure them. */
static bool is_matrix_rule(const char *name) {
    static const char *const names[] = {"shampoo", "distributed_shampoo", "caspr", "soap", "muon"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

int main(int argc, char **argv) {
    const sw_rule *rule;
    note("%s", sw_build_info());
    for (int i = 0; (rule = sw_rule_at(i)) != NULL; i++) {
        bench_rule plain_rule;
        snprintf(plain_rule.name, sizeof plain_rule.name, "%s", rule->name);
        snprintf(plain_rule.spec, sizeof plain_rule.spec, "%s", rule->name);
        if (!is_matrix_rule(rule->name) && wanted(rule->name, argc, argv))
            measure(&plain_rule);
    }
    for (int i = 0; i < VARIANTS; i++)
        if (wanted(variants[i].name, argc, argv))
            measure(&variants[i]);
    if (sw_error())
        fprintf(stderr, "%s\n", sw_error());
    return sw_error() != NULL;
}
