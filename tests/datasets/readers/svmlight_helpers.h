/* Code that the tests of LIBSVM files share: making files, and exact checks of matrices and messages. */
#ifndef TESTS_DATASETS_SVMLIGHT_HELPERS_H
#define TESTS_DATASETS_SVMLIGHT_HELPERS_H
#include "helpers.h"

static inline sw_svmlight *open_bytes(const void *at, size_t size, const sw_svmlight_options *options) {
    const char *path = write_file("train.svm", at, size);
    sw_svmlight *d = sw_svmlight_load(path, options);
    if (!d)
        fail_msg("%s", sw_error());
    assert_null(sw_error());
    remove_file(path);
    if (!options || !options->allow_nonfinite)
        assert_int_equal(sw_csr_check(&d->x), SW_OK);
    return d;
}

static inline sw_svmlight *open_text(const char *text, const sw_svmlight_options *options) {
    return open_bytes(text, strlen(text), options);
}

static inline void check_message(const char *text, const sw_svmlight_options *options, sw_status status,
                                 const char *reason) {
    char expected[PATH_SIZE + NAME_SIZE + 300];
    const char *path = write_file("train.svm", text, strlen(text));
    count_memory(-1);
    assert_null(sw_svmlight_load(path, options));
    check_memory();
    snprintf(expected, sizeof expected, "%s: %s", path, reason);
    assert_string_equal(sw_error(), expected);
    assert_int_equal(sw_error_status(), status);
    sw_clear_error();
    remove_file(path);
}

static inline void refuses(const char *text, const char *reason) {
    check_message(text, NULL, SW_ERR_FORMAT, reason);
}

static inline double value_at(const sw_csr *x, int64_t k) {
    return x->type == SW_F32 ? (double)((const float *)x->value)[k] : ((const double *)x->value)[k];
}

#define I64(...)        \
    (const int64_t[]) { \
        __VA_ARGS__     \
    }
#define I32(...)        \
    (const int32_t[]) { \
        __VA_ARGS__     \
    }
#define F64(...)       \
    (const double[]) { \
        __VA_ARGS__    \
    }

static inline void check_matrix(const sw_csr *x, int64_t rows, int64_t columns, const int64_t *start,
                                const int32_t *index, const double *value) {
    assert_int_equal(x->rows, rows);
    assert_int_equal(x->columns, columns);
    assert_memory_equal(x->start, start, (size_t)(rows + 1) * sizeof *start);
    for (int64_t k = 0; k < start[rows]; k++) {
        const double found = value_at(x, k);
        assert_int_equal(x->index[k], index[k]);
        if (memcmp(&found, &value[k], sizeof found) != 0)
            fail_msg("number %lld is %.17g, not %.17g", (long long)k, found, value[k]);
    }
}

static inline void check_bytes_message(const void *at, size_t size, const char *reason) {
    const char *path = write_file("train.svm", at, size);
    count_memory(-1);
    assert_null(sw_svmlight_load(path, NULL));
    check_memory();
    check_error(SW_ERR_FORMAT, path, reason);
    remove_file(path);
}

#endif
