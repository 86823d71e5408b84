/* The side of swale in the comparison of generalized linear models (glm.py): logistic and multinomial regression, dense
 * and sparse, in f64. See peer.h for the protocol. Data are $PEERS_GLM/NAME.safetensors. SW_THREADS sets the number of
 * threads. */
#include "peer.h"

#include <math.h>
#include <swale/swale.h>

typedef struct dataset {
    char name[64];
    sw_archive *archive;
    sw_array x; /* [n, features]; data NULL: */
    sw_csr sparse;
    sw_array y; /* i32 [n] */
    int64_t n, features, classes;
} dataset;

static dataset d; /* one at a time */

static bool load_dataset(const char *name) {
    char path[4096];
    if (strcmp(d.name, name) == 0)
        return true;
    sw_archive_free(d.archive);
    d = (dataset){0};
    snprintf(path, sizeof path, "%s/%s.safetensors", getenv("PEERS_GLM") ? getenv("PEERS_GLM") : ".", name);
    d.archive = sw_archive_load(path);
    if (!d.archive)
        return false;
    d.y = sw_archive_get(d.archive, "y");
    d.n = d.y.shape[0];
    if (sw_archive_has(d.archive, "x")) {
        d.x = sw_archive_get(d.archive, "x");
        d.features = d.x.shape[1];
    } else {
        const int64_t *columns = sw_archive_get(d.archive, "columns").data;
        d.features = columns ? columns[0] : 0;
        d.sparse = (sw_csr){.rows = d.n,
                            .columns = d.features,
                            .type = SW_F64,
                            .start = sw_archive_get(d.archive, "start").data,
                            .index = sw_archive_get(d.archive, "index").data,
                            .value = sw_archive_get(d.archive, "value").data};
    }
    for (int64_t i = 0; d.y.data && i < d.n; i++)
        if (((const int32_t *)d.y.data)[i] >= d.classes)
            d.classes = ((const int32_t *)d.y.data)[i] + 1;
    if (!sw_error())
        snprintf(d.name, sizeof d.name, "%s", name);
    return !sw_error();
}

/* ---- The gradient's norm, in plain loops ---- */

/* z_k += c_k·a_i, or c_k += z_k a_i: the products of a sample with a matrix [outputs, features]. */
static void sample_product(int64_t i, int64_t outputs, const double *w, double *z) {
    for (int64_t k = 0; k < outputs; k++) {
        const double *row = w + k * d.features, *a = (const double *)d.x.data + (d.x.data ? i * d.features : 0);
        if (d.x.data)
            for (int64_t j = 0; j < d.features; j++)
                z[k] += row[j] * a[j];
        else
            for (int64_t j = d.sparse.start[i]; j < d.sparse.start[i + 1]; j++)
                z[k] += row[d.sparse.index[j]] * ((const double *)d.sparse.value)[j];
    }
}

static void sample_add(int64_t i, int64_t outputs, const double *s, double *g) {
    for (int64_t k = 0; k < outputs; k++) {
        double *row = g + k * d.features;
        const double *a = (const double *)d.x.data + (d.x.data ? i * d.features : 0);
        if (d.x.data)
            for (int64_t j = 0; j < d.features; j++)
                row[j] += s[k] * a[j];
        else
            for (int64_t j = d.sparse.start[i]; j < d.sparse.start[i + 1]; j++)
                row[d.sparse.index[j]] += s[k] * ((const double *)d.sparse.value)[j];
    }
}

/* The derivatives of the loss by z, into z. */
static void derivatives(int64_t outputs, int32_t y, double *z) {
    double sum = 0, top = z[0];
    if (outputs == 1) {
        z[0] = 1 / (1 + exp(-z[0])) - y;
        return;
    }
    for (int64_t k = 1; k < outputs; k++)
        top = fmax(top, z[k]);
    for (int64_t k = 0; k < outputs; k++)
        sum += z[k] = exp(z[k] - top);
    for (int64_t k = 0; k < outputs; k++)
        z[k] = z[k] / sum - (k == y);
}

static double gradient_norm(const double *x, int64_t outputs, bool bias, double l2) {
    const int64_t weights = outputs * d.features, dim = weights + (bias ? outputs : 0);
    double *g = calloc((size_t)dim, sizeof *g), z[64], square = 0;
    for (int64_t i = 0; g && i < d.n; i++) {
        for (int64_t k = 0; k < outputs; k++)
            z[k] = bias ? x[weights + k] : 0;
        sample_product(i, outputs, x, z);
        derivatives(outputs, ((const int32_t *)d.y.data)[i], z);
        sample_add(i, outputs, z, g);
        for (int64_t k = 0; bias && k < outputs; k++)
            g[weights + k] += z[k];
    }
    for (int64_t j = 0; g && j < dim; j++) {
        g[j] = g[j] / (double)d.n + (j < weights ? l2 * x[j] : 0);
        square += g[j] * g[j];
    }
    free(g);
    return sqrt(square);
}

/* ---- A fit ---- */

static double cpu_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* "path=saga" or "path=saga:batch=16:init=full" is the estimator. */
static void estimator_of(const request *r, char *text, size_t size) {
    snprintf(text, size, "%s", setting(r, "path"));
    for (char *at = text; *at; at++)
        if (*at == ':')
            *at = ' ';
}

/* Seconds of the processor from the data in memory to the coefficients, and ‖∇f‖ there over that at 0. */
static double fit(const request *r, double *relative) {
    const int64_t outputs = d.classes > 2 ? d.classes : 1;
    const bool bias = number(r, "bias") != 0;
    const double l2 = atof(setting(r, "l2"));
    char estimator[256], rule[256];
    estimator_of(r, estimator, sizeof estimator);
    snprintf(rule, sizeof rule,
             bias ? "role=weight: sgd lr=auto weight_decay=%.17g; sgd lr=auto" : "sgd lr=auto weight_decay=%.17g", l2);
    const double begin = cpu_seconds();
    const sw_glm_options options = {
        .size = sizeof options, .no_bias = !bias, .head = outputs > 1 ? SW_HEAD_MULTINOMIAL : SW_HEAD_LOGISTIC};
    sw_glm *model =
        d.x.data ? sw_glm_new(SW_F64, &d.x, &d.y, &options) : sw_glm_new_sparse(SW_F64, &d.sparse, &d.y, &options);
    sw_optim *optim =
        sw_optim_new_with_options(sw_glm_params(model), &(sw_optim_options){.size = sizeof(sw_optim_options),
                                                                            .estimator = estimator,
                                                                            .rule = rule,
                                                                            .seed = (uint64_t)number(r, "seed")});
    sw_train(sw_glm_objective(model), optim,
             &(sw_train_options){.size = sizeof(sw_train_options), .epochs = number(r, "epochs")}, NULL);
    const double seconds = cpu_seconds() - begin;
    if (relative && !sw_error()) {
        double *zero = calloc((size_t)sw_params_dim(sw_glm_params(model)), sizeof *zero);
        *relative = gradient_norm(sw_params_x(sw_glm_params(model)), outputs, bias, l2) /
                    gradient_norm(zero, outputs, bias, l2);
        free(zero);
    }
    sw_optim_free(optim);
    sw_glm_free(model);
    return seconds;
}

/* A line of /proc/self/status, in MB. */
static double status_mb(const char *name) {
    char line[256];
    double kb = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, name, strlen(name)) == 0)
            kb = atof(line + strlen(name) + 1);
    if (f)
        fclose(f);
    return kb / 1024;
}

/* The largest memory of the process so far is forgotten. */
static void forget_peak(void) {
    FILE *f = fopen("/proc/self/clear_refs", "w");
    if (f) {
        fputs("5", f);
        fclose(f);
    }
}

static void answer_fit(const request *r, bool memory) {
    double relative = 0;
    sw_clear_error();
    if (!load_dataset(setting(r, "data"))) {
        refuse(sw_error() ? sw_error() : "no such data");
        return;
    }
    forget_peak();
    const double before = status_mb("VmRSS"), seconds = fit(r, memory ? NULL : &relative), peak = status_mb("VmHWM");
    if (sw_error())
        refuse(sw_error());
    else if (memory)
        answer(peak, peak - before);
    else
        answer(seconds, relative);
}

int main(void) {
    printf("ok 0 0 %s; %d threads\n", sw_build_info(), sw_threads());
    fflush(stdout);
    for (request r; next_request(&r);)
        if (is(&r, "fit") || is(&r, "memory"))
            answer_fit(&r, is(&r, "memory"));
        else
            refuse("unknown request");
    sw_archive_free(d.archive);
    return 0;
}
