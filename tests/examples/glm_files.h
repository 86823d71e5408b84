/* Code that the tests of examples/glm.c share: data sets of golden/glm.safetensors as files, and the table that glm
 * writes. Include run.h first. */
#ifndef TEST_EXAMPLES_GLM_FILES_H
#define TEST_EXAMPLES_GLM_FILES_H

#include <math.h>
#include <zlib.h>

#include <swale/core.h>

#define GLM TEST_BUILD "/examples/glm"

/* ---- Numbers of scikit-learn ---- */

/* An array of golden/glm.safetensors in f64, and its first two lengths (1 if an axis is missing). */
static inline double *golden_numbers(const char *name, const char *part, int64_t shape[2]) {
    static sw_archive *archive;
    char full[96];
    if (!archive)
        archive = sw_archive_load("tests/golden/glm.safetensors");
    snprintf(full, sizeof full, "%s.%s", name, part);
    const sw_array a = sw_archive_get(archive, full);
    if (!a.data)
        fail_msg("%s (tests run in swale's top folder)", sw_error());
    const int64_t count = sw_array_count(&a);
    double *numbers = calloc((size_t)count, sizeof *numbers);
    assert_non_null(numbers);
    for (int64_t i = 0; i < count; i++)
        numbers[i] = a.type == SW_F64 ? ((double *)a.data)[i] : ((unsigned char *)a.data)[i];
    for (int k = 0; k < 2; k++)
        shape[k] = a.rank > k ? a.shape[k] : 1;
    return numbers;
}

typedef struct data_set {
    int64_t n, features;
    double *x, *y;        /* [n, features], [n] */
    double *mean, *scale; /* of the columns, over the population; scale is 1 for constant columns */
} data_set;

static inline data_set data_set_of(const char *name) {
    int64_t shape[2];
    data_set d = {.y = golden_numbers(name, "y", shape)};
    d.x = golden_numbers(name, "x", shape);
    d.n = shape[0], d.features = shape[1];
    d.mean = calloc((size_t)d.features, sizeof *d.mean);
    d.scale = calloc((size_t)d.features, sizeof *d.scale);
    assert_true(d.mean && d.scale);
    for (int64_t j = 0; j < d.features; j++) {
        double square = 0;
        for (int64_t i = 0; i < d.n; i++)
            d.mean[j] += d.x[i * d.features + j] / (double)d.n;
        for (int64_t i = 0; i < d.n; i++)
            square += pow(d.x[i * d.features + j] - d.mean[j], 2) / (double)d.n;
        d.scale[j] = square > 0 ? sqrt(square) : 1;
    }
    return d;
}

static inline void data_set_free(data_set *d) {
    free(d->x), free(d->y), free(d->mean), free(d->scale);
}

/* Standardizes the columns to mean 0 and standard deviation 1. */
static inline void data_set_standardize(data_set *d) {
    for (int64_t i = 0; i < d->n; i++)
        for (int64_t j = 0; j < d->features; j++)
            d->x[i * d->features + j] = (d->x[i * d->features + j] - d->mean[j]) / d->scale[j];
    for (int64_t j = 0; j < d->features; j++)
        d->mean[j] = 0, d->scale[j] = 1;
}

/* ---- Files ---- */

/* Writes a file in run_folder; its name ends with .csv (with a header), .svm or .svm.gz. */
static inline void data_set_write(const data_set *d, const char *path) {
    const char *dot = strstr(strrchr(path, '/'), ".");
    const bool svm = strncmp(dot, ".svm", 4) == 0;
    gzFile file = gzopen(path, strstr(dot, ".gz") ? "wb" : "wbT"); /* T: not compressed */
    assert_non_null(file);
    for (int64_t j = 0; !svm && j < d->features; j++)
        gzprintf(file, "c%d,", (int)j);
    if (!svm)
        gzprintf(file, "target\n");
    for (int64_t i = 0; i < d->n; i++) {
        if (svm)
            gzprintf(file, "%.17g", d->y[i]);
        for (int64_t j = 0; j < d->features; j++) {
            const double v = d->x[i * d->features + j];
            if (svm && v != 0)
                gzprintf(file, " %d:%.17g", (int)j + 1, v);
            else if (!svm)
                gzprintf(file, "%.17g,", v);
        }
        gzprintf(file, svm ? "\n" : "%.17g\n", d->y[i]);
    }
    assert_int_equal(gzclose(file), Z_OK);
}

/* ---- The table that glm writes ---- */

/* The first columns of glm.csv; the intercepts and weights follow. */
enum { PENALTY, L1, L2, NONZERO, EPOCHS, CONVERGED, MEAN_LOSS, SCORE, CV_LOSS, CV_ERROR, COEFFICIENTS };

typedef struct fits {
    int64_t rows, columns;
    double *value; /* [rows, columns]; an empty field is NaN */
    char header[4096];
} fits;

static inline const double *fits_row(const fits *f, int64_t row) {
    assert_true(row < f->rows);
    return f->value + row * f->columns;
}

static inline fits fits_read(const char *path) {
    enum { MOST = 200000 };
    fits f = {.value = calloc(MOST, sizeof(double))};
    static char line[1 << 20];
    FILE *file = fopen(path, "r");
    assert_true(file && f.value && fgets(line, sizeof line, file));
    snprintf(f.header, sizeof f.header, "%.4000s", line);
    while (fgets(line, sizeof line, file)) {
        int64_t columns = 0;
        for (char *field = line; field; columns++) {
            char *comma = strchr(field, ','), *end;
            const double v = strtod(field, &end);
            assert_true(f.rows * f.columns + columns < MOST);
            f.value[f.rows * f.columns + columns] = end > field ? v : (double)NAN;
            field = comma ? comma + 1 : NULL;
        }
        assert_true(f.rows == 0 || columns == f.columns);
        f.columns = columns;
        f.rows++;
    }
    fclose(file);
    return f;
}

/* Runs glm with these words (NULL at the end) and a picture in the folder; it must succeed. Reads the table. */
static inline fits fits_of(output *o, const char *const *word) {
    const char *all[40] = {GLM, "--out", in_folder("glm.png")};
    int count = 3;
    for (; word[count - 3]; count++)
        all[count] = word[count - 3];
    *o = run_with(0, NULL, all);
    if (o->code != 0)
        fail_msg("exit %d: %s", o->code, o->err);
    fits f = fits_read(in_folder("glm.csv"));
    assert_int_equal(unlink(in_folder("glm.png")), 0);
    assert_int_equal(unlink(in_folder("glm.csv")), 0);
    return f;
}
#define FITS(o, ...) fits_of(o, (const char *const[]){__VA_ARGS__, NULL})

#endif
