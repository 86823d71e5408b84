/* The samples of examples/glm.c: a CSV table, centered, or a LIBSVM file, optionally standardized; and the
 * conversion of coefficients of such columns to those of the file. Not part of the library. */
#ifndef SWALE_EXAMPLES_GLM_DATA_H
#define SWALE_EXAMPLES_GLM_DATA_H

#include "cli.h"
#include <swale/datasets.h>

/* Which file is read, and how. */
typedef struct glm_request {
    const char *path, *target; /* target: the name of a column of a table; NULL: the last */
    const char *loss;          /* for messages */
    bool sparse;               /* a LIBSVM file */
    bool classes;              /* the targets are classes */
    /* columns of a table get the standard deviation 1, sparse columns the largest |value| 1 */
    bool standardize;
    /* columns of a table get the mean 0; with an intercept, this does not change the model, but it needs fewer steps */
    bool center;
    sw_dtype type;
    int64_t folds; /* at most as many as samples */
} glm_request;

typedef struct glm_data {
    sw_source *table; /* NULL: the file is sparse */
    sw_svmlight *sparse;
    int64_t n, features;
    sw_array x;  /* [n, features]; sparse: data NULL */
    sw_array y;  /* [n]: class ids, or numbers */
    int classes; /* 0: numbers */
    const char *const *class_names;
    const char *const *names; /* names of the features; NULL: the file has none */
    double *mean, *scale;     /* [features]: a column is that of the file minus mean, divided by scale */
} glm_data;

/* ---- Reading ---- */

/* Element i of an array of class ids or numbers. */
static inline double glm_number(const sw_array *a, int64_t i) {
    return a->type == SW_I32   ? ((const int32_t *)a->data)[i]
           : a->type == SW_F32 ? (double)((const float *)a->data)[i]
                               : ((const double *)a->data)[i];
}

static inline void glm_data_free(glm_data *d) {
    if (d->table) { /* without a table, the arrays belong to the file */
        sw_array_free(&d->x);
        sw_array_free(&d->y);
    }
    sw_source_free(d->table);
    sw_svmlight_free(d->sparse);
    sw_free(d->mean);
    sw_free(d->scale);
    *d = (glm_data){0};
}

static inline bool glm_data_open(glm_data *d, const glm_request *r, bool classes) {
    if (r->sparse)
        d->sparse =
            sw_svmlight_load(r->path, &SW_OPTIONS(sw_svmlight_options, .type = r->type,
                                                  .target = classes ? SW_SVMLIGHT_CLASS_IDS : SW_SVMLIGHT_REAL));
    else
        d->table = sw_csv(r->path, &SW_OPTIONS(sw_csv_options, .target_name = r->target,
                                               .target = classes ? SW_CSV_CLASS_IDS : SW_CSV_REAL));
    return d->sparse || d->table;
}

/* After an error of reading: if the file can be read with targets of the other kind, replaces the message by one that
 * says so. */
static inline void glm_data_explain(const glm_request *r) {
    glm_data other = {0};
    char first[1024];
    if (sw_error_status() != SW_ERR_FORMAT)
        return;
    snprintf(first, sizeof first, "%s", sw_error());
    sw_clear_error();
    const bool opened = glm_data_open(&other, r, !r->classes);
    sw_clear_error();
    if (opened)
        sw_fail(SW_ERR_FORMAT, "%s: --loss %s needs %s; %s", r->path, r->loss,
                r->classes ? "classes as targets, and they are numbers that are not whole"
                           : "numbers as targets, and they are classes",
                r->classes ? "use --loss squared or huber" : "use --loss logistic or multinomial");
    else
        sw_fail(SW_ERR_FORMAT, "%s", first);
    glm_data_free(&other);
}

static inline sw_status glm_data_check_classes(const glm_data *d, const glm_request *r) {
    const bool multinomial = strcmp(r->loss, "multinomial") == 0;
    if (!r->classes || d->classes == 2 || (multinomial && d->classes > 2))
        return SW_OK;
    if (d->classes < 2)
        return sw_fail(SW_ERR_ARGUMENT, "%s: all targets are of the class %s; two classes are needed", r->path,
                       d->class_names[0]);
    return sw_fail(SW_ERR_ARGUMENT,
                   "%s: --loss %s is for two classes, and the targets have %d: use --loss "
                   "multinomial, or squared for numbers",
                   r->path, r->loss, d->classes);
}

static inline sw_status glm_data_check_counts(const glm_data *d, const glm_request *r) {
    for (int64_t i = 0; strcmp(r->loss, "poisson") == 0 && i < d->n; i++) {
        const double y = glm_number(&d->y, i);
        if (y < 0)
            return sw_fail(SW_ERR_ARGUMENT,
                           "%s: the target of sample %lld is %g, and --loss poisson needs "
                           "counts, 0 or more",
                           r->path, (long long)i + 1, y);
    }
    return SW_OK;
}

/* Computes mean and scale of each column, with which a table is read and a LIBSVM file is divided. */
static inline sw_status glm_data_standardize(glm_data *d, const glm_request *r) {
    d->mean = sw_alloc_array(d->features, sizeof *d->mean);
    d->scale = sw_alloc_array(d->features, sizeof *d->scale);
    if (!d->mean || !d->scale)
        return SW_ERR_MEMORY;
    if (r->sparse && r->standardize) {
        SW_TRY(sw_svmlight_max_abs(d->sparse, d->scale));
        SW_TRY(sw_svmlight_scale(d->sparse, d->scale));
    } else if (!r->sparse && (r->standardize || r->center)) {
        SW_TRY(sw_moments(d->table, SW_PER_FEATURE, d->mean, d->scale));
        for (int64_t j = 0; j < d->features; j++) {
            d->mean[j] = r->center ? d->mean[j] : 0;
            d->scale[j] = r->standardize ? d->scale[j] : 1;
        }
        sw_source *standardized = sw_normalize(
            d->table, &SW_OPTIONS(sw_normalize_options, .mean = d->mean, .std = d->scale, .owns_source = true));
        d->table = standardized; /* the table was freed if the result is NULL */
    }
    for (int64_t j = 0; j < d->features; j++)
        d->scale[j] = d->scale[j] > 0 ? d->scale[j] : 1;
    return sw_error_status();
}

/* Reads all rows of a table into memory. */
static inline sw_status glm_data_gather(glm_data *d, sw_dtype type) {
    const sw_dtype y_type = d->classes > 0 ? SW_I32 : type;
    int64_t *ids = sw_alloc_array(d->n, sizeof *ids);
    d->x = sw_array_new(type, SW_SHAPE(d->n, d->features));
    d->y = sw_array_new(y_type, SW_SHAPE(d->n));
    for (int64_t i = 0; ids && i < d->n; i++)
        ids[i] = i;
    const sw_status status = ids && d->x.data && d->y.data
                                 ? sw_source_gather(d->table, type, 0, ids, d->n, d->x.data, d->y.data)
                                 : SW_ERR_MEMORY;
    sw_free(ids);
    return status;
}

/* False after an error, which is pending. The caller frees the data in either case. */
static inline bool glm_data_read(glm_data *d, const glm_request *r) {
    if (!glm_data_open(d, r, r->classes)) {
        glm_data_explain(r);
        return false;
    }
    const sw_source *source = d->sparse ? d->sparse->source : d->table;
    d->n = source->n;
    d->features = source->x_shape[0];
    d->classes = source->classes;
    d->class_names = source->class_names;
    d->names = d->table ? sw_csv_feature_names(d->table) : NULL;
    if (glm_data_standardize(d, r) != SW_OK)
        return false;
    if (d->sparse)
        d->y = r->classes ? sw_array_view(d->sparse->ids, SW_I32, SW_SHAPE(d->n))
                          : sw_array_view(d->sparse->y, SW_F64, SW_SHAPE(d->n));
    else if (glm_data_gather(d, r->type) != SW_OK)
        return false;
    if (r->folds > d->n)
        sw_fail(SW_ERR_ARGUMENT, "--cv %lld: %s has %lld samples", (long long)r->folds, r->path, (long long)d->n);
    return !sw_error() && glm_data_check_classes(d, r) == SW_OK && glm_data_check_counts(d, r) == SW_OK;
}

/* ---- Names and coefficients ---- */

/* The name of feature j: from the header, or x and a number, which begins at 0 for a table and at the first index of a
 * LIBSVM file. */
static inline const char *glm_feature_name(const glm_data *d, int64_t j, char text[32]) {
    if (d->names)
        return d->names[j];
    snprintf(text, 32, "x%lld", (long long)j + (d->sparse ? d->sparse->base : 0));
    return text;
}

/* The name of a weight: "feature", or "feature (class)" if there are several outputs. w is an index into the weights
 * [outputs, features]. */
static inline const char *glm_weight_name(const glm_data *d, int64_t outputs, int64_t w, char text[128]) {
    char number[32];
    const char *feature = glm_feature_name(d, w % d->features, number);
    if (outputs > 1)
        snprintf(text, 128, "%.60s (%.60s)", feature, d->class_names[w / d->features]);
    else
        snprintf(text, 128, "%.120s", feature);
    return text;
}

/* Converts weights and intercepts from the fitted columns to the columns of the file; both are [outputs·features +
 * outputs]. */
static inline void glm_undo_scales(const glm_data *d, int64_t outputs, const double *fitted, double *of_file) {
    for (int64_t k = 0; k < outputs; k++) {
        double shift = 0;
        for (int64_t j = 0; j < d->features; j++) {
            const int64_t w = k * d->features + j;
            of_file[w] = fitted[w] / d->scale[j];
            shift += of_file[w] * d->mean[j];
        }
        of_file[outputs * d->features + k] = fitted[outputs * d->features + k] - shift;
    }
}

#endif
