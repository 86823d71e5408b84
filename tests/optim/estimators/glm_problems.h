/* Generalized linear models that the tests of SAG, SAGA and SVRG minimize: data sets of golden/glm.safetensors as in
 * the fits of scikit-learn, and with other scales, a constant feature, separable classes, or weights. Each model exists
 * twice with the same numbers: as newton_problem in f64, and as sw_glm in f32 or f64. */
#ifndef TEST_GLM_PROBLEMS_H
#define TEST_GLM_PROBLEMS_H

#include "newton.h"

#include "golden/glm.h"

typedef struct glm_problem {
    char name[64];
    sw_dtype type;
    newton_problem f; /* its numbers are exact in `type` */
    double *a, *target, *weight;
    int32_t *label;
    bool weighted;          /* sample i has the weight 7i mod 5 */
    double class_weight[3]; /* 0: no class weights. `weight` is the product of both */
    void *x, *y;            /* a and target in `type`; the model reads them in place */
} glm_problem;

static inline void glm_problem_free(glm_problem *p) {
    if (p) {
        free(p->a);
        free(p->target);
        free(p->weight);
        free(p->label);
        free(p->x);
        free(p->y);
        free(p);
    }
}

/* ---- Data ---- */

static inline sw_array glm_golden_array(const char *name, const char *part) {
    static sw_archive *archive;
    char full[96];
    if (!archive)
        archive = sw_archive_load("tests/golden/glm.safetensors");
    if (!archive)
        fail_msg("%s (tests run in swale's top folder)", sw_error());
    snprintf(full, sizeof full, "%s.%s", name, part);
    const sw_array a = sw_archive_get(archive, full);
    if (!a.data)
        fail_msg("%s", sw_error());
    return a;
}

/* Standardizes columns to mean 0 and variance 1; constant columns become 0. */
static inline void glm_standardize(int64_t n, int64_t d, double *a) {
    for (int64_t j = 0; j < d; j++) {
        double mean = 0, square = 0;
        for (int64_t i = 0; i < n; i++)
            mean += a[i * d + j] / (double)n;
        for (int64_t i = 0; i < n; i++) {
            a[i * d + j] -= mean;
            square += a[i * d + j] * a[i * d + j] / (double)n;
        }
        for (int64_t i = 0; i < n; i++)
            a[i * d + j] /= square > 0 ? sqrt(square) : 1;
    }
}

static inline double glm_sample_weight(int64_t i) {
    return (double)(7 * i % 5);
}

/* A problem with the unchanged rows and labels or targets of a data set. */
static inline glm_problem *glm_problem_of(const char *data, sw_head head, sw_dtype type) {
    const bool classes = head == SW_HEAD_LOGISTIC || head == SW_HEAD_MULTINOMIAL || head == SW_HEAD_SQUARED_HINGE;
    const sw_array x = glm_golden_array(data, "x"), y = glm_golden_array(data, "y");
    glm_problem *p = calloc(1, sizeof *p);
    assert_non_null(p);
    p->type = type;
    p->f = (newton_problem){
        .head = head, .delta = 1.35, .n = x.shape[0], .features = x.shape[1], .outputs = 1, .bias = true};
    p->a = newton_numbers(sw_array_count(&x));
    for (int64_t i = 0; i < sw_array_count(&x); i++)
        p->a[i] = test_get(&x, i);
    p->label = classes ? calloc((size_t)p->f.n, sizeof *p->label) : NULL;
    p->target = classes ? NULL : newton_numbers(p->f.n);
    for (int64_t i = 0; i < p->f.n; i++)
        if (classes) {
            p->label[i] = (int32_t)test_get(&y, i);
            if (head == SW_HEAD_MULTINOMIAL && p->label[i] >= p->f.outputs)
                p->f.outputs = p->label[i] + 1;
        } else {
            p->target[i] = head == SW_HEAD_POISSON ? floor(test_get(&y, i) / 25) : test_get(&y, i);
        }
    return p;
}

static inline void *glm_round(sw_dtype type, int64_t count, double *values) {
    void *typed = calloc((size_t)count, sw_dtype_size(type));
    assert_non_null(typed);
    for (int64_t i = 0; i < count; i++) {
        if (type == SW_F32)
            ((float *)typed)[i] = (float)values[i];
        else
            ((double *)typed)[i] = values[i];
        values[i] = type == SW_F32 ? (double)(float)values[i] : values[i];
    }
    return typed;
}

/* Call it when all numbers are set. */
static inline glm_problem *glm_problem_finish(glm_problem *p) {
    if (p->weighted || p->class_weight[0] > 0)
        p->weight = newton_numbers(p->f.n);
    for (int64_t i = 0; p->weight && i < p->f.n; i++)
        p->weight[i] =
            (p->weighted ? glm_sample_weight(i) : 1) * (p->class_weight[0] > 0 ? p->class_weight[p->label[i]] : 1);
    p->x = glm_round(p->type, p->f.n * p->f.features, p->a);
    if (p->target)
        p->y = glm_round(p->type, p->f.n * p->f.outputs, p->target);
    p->f.a = p->a;
    p->f.label = p->label;
    p->f.target = p->target;
    p->f.weight = p->weight;
    return p;
}

/* ---- scikit-learn's fits ---- */

static inline sw_head glm_head(const char *name) {
    for (int head = SW_HEAD_LOGISTIC; head <= SW_HEAD_POISSON; head++)
        if (strcmp(name, sw_head_name((sw_head)head)) == 0)
            return (sw_head)head;
    fail_msg("no loss is named %s", name);
    return SW_HEAD_LOGISTIC;
}

static inline glm_problem *glm_problem_golden(const golden_fit *fit, sw_dtype type) {
    glm_problem *p = glm_problem_of(fit->data, glm_head(fit->head), type);
    snprintf(p->name, sizeof p->name, "%s", fit->name);
    if (fit->scaled)
        glm_standardize(p->f.n, p->f.features, p->a);
    if (fit->delta > 0)
        p->f.delta = fit->delta;
    p->f.bias = fit->bias;
    p->f.l2 = fit->l2;
    p->weighted = fit->weighted;
    memcpy(p->class_weight, fit->class_weight, sizeof p->class_weight);
    return glm_problem_finish(p);
}

/* The coefficients: W, then b. */
static inline double *glm_golden_x(const golden_fit *fit) {
    const sw_array w = glm_golden_array(fit->name, "weight"), b = fit->bias ? glm_golden_array(fit->name, "bias") : w;
    const int64_t weights = sw_array_count(&w), biases = fit->bias ? sw_array_count(&b) : 0;
    double *x = newton_numbers(weights + biases);
    for (int64_t j = 0; j < weights; j++)
        x[j] = test_get(&w, j);
    for (int64_t k = 0; k < biases; k++)
        x[weights + k] = test_get(&b, k);
    return x;
}

/* ---- Models of the library ---- */

/* Makes a model that reads the numbers of the problem in place. */
static inline sw_glm *glm_model(const glm_problem *p) {
    const newton_problem *f = &p->f;
    double *weight = p->weighted ? newton_numbers(f->n) : NULL;
    for (int64_t i = 0; weight && i < f->n; i++)
        weight[i] = glm_sample_weight(i);
    const sw_array x = sw_array_view(p->x, p->type, SW_SHAPE(f->n, f->features)),
                   y = p->label ? sw_array_view(p->label, SW_I32, SW_SHAPE(f->n))
                                : sw_array_view(p->y, p->type, SW_SHAPE(f->n, f->outputs));
    const sw_glm_options options = {.size = sizeof options,
                                    .head = f->head,
                                    .delta = f->delta,
                                    .no_bias = !f->bias,
                                    .weight = weight,
                                    .class_weight = p->class_weight[0] > 0 ? p->class_weight : NULL};
    sw_glm *model = sw_glm_new(p->type, &x, &y, &options);
    free(weight);
    if (!model)
        fail_msg("%s: %s", p->name, sw_error());
    return model;
}

/* Makes an optimizer: sgd lr=auto with the penalty on the weights. */
static inline void glm_rule(const glm_problem *p, const char *more, char *text, size_t size) {
    snprintf(text, size,
             p->f.bias ? "role=weight: sgd lr=auto weight_decay=%.17g%s; sgd lr=auto"
                       : "sgd lr=auto weight_decay=%.17g%s",
             p->f.l2, more);
}

/* Parameters of either type as f64. */
static inline void glm_x(const glm_problem *p, const void *x, double *to) {
    for (int64_t j = 0; j < newton_dim(&p->f); j++)
        to[j] = p->type == SW_F32 ? (double)((const float *)x)[j] : ((const double *)x)[j];
}

#endif
