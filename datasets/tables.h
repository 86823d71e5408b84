/* Tables: CSV files, sparse rows in LIBSVM files, arrays in memory. */
#ifndef SWALE_TABLES_H
#define SWALE_TABLES_H

#include <swale/source.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- CSV ------------------------------------------------------------------------------------- */

typedef enum sw_csv_header {
    SW_CSV_HEADER_AUTO = 0, /* the first row is one if none of its fields is a number */
    SW_CSV_HEADER_YES,
    SW_CSV_HEADER_NO
} sw_csv_header;
typedef enum sw_csv_target {
    SW_CSV_NO_TARGET = 0, /* all columns are features */
    SW_CSV_CLASS_IDS,     /* classes: whole numbers or texts */
    SW_CSV_REAL           /* y_shape is {1} */
} sw_csv_target;
/* ATTENTION: target_column = 0 means the LAST column, because 0 is the default of every option. The FIRST
 * column is target_column = SW_CSV_FIRST_COLUMN. */
#define SW_CSV_FIRST_COLUMN INT64_MIN

/* Columns are counted from 0, and backwards from -1, the last; except that target_column has another value
 * for the first column (SW_CSV_FIRST_COLUMN), since its 0 is the last. */
typedef struct sw_csv_options {
    size_t size;    /* sizeof(sw_csv_options) */
    char delimiter; /* 0: ','. Not a letter, a digit, a quote, '.', '+', '-' or the end of a line */
    sw_csv_header header;
    sw_csv_target target;
    /* The column of the target, unless target_name gives it; not read with SW_CSV_NO_TARGET.
     *   0 (the default)         the LAST column, not the first
     *   SW_CSV_FIRST_COLUMN     the FIRST column
     *   1, 2, …                 the second, the third, …
     *   -1, -2, …               the last, the one before it, … */
    int64_t target_column;
    const char *target_name; /* NULL, or as in the header */
    /* 0: the classes are the distinct labels in the file. All must be whole numbers (sorted by value: -1 and
     * 1 become 0 and 1) or all texts (sorted by bytes). class_names are then the labels, owned by the source.
     * 1 to 2^20: a label is an id below this number or one of class_names. For a test set pass classes and
     * class_names of the training set, so that ids agree even if a class has no test sample. */
    int classes;
    /* NULL or `classes` names that outlive the source. If one of them is a number, the labels in the file are
     * matched as names and never as ids. */
    const char *const *class_names;
    const int64_t *skip; /* columns that are not read, whatever they hold */
    int64_t skip_count;
    const char *const *skip_names; /* the same by name */
    int64_t skip_names_count;
    bool allow_nonfinite; /* nan, inf and infinity, in any case, with or without a sign */
} sw_csv_options;

/* Rows of numbers, plain or gzip: x is [features], kept as f64, each the double nearest to what is written, in
 * every locale. A line ends with LF, CR, or CR and LF. UTF-8's mark at the beginning, blank lines at the end and
 * blanks around a field are passed over, and so are zeros after gzip data; a field may be quoted (RFC 4180), but
 * not go over the end of a line; a line has less than 16 MiB. Numbers are decimal: no hexadecimal ones, no number
 * too large for a double, no empty field. Memory is at most about 18 times the size of the (decompressed)
 * file. Errors name path, line and column, both counted from 1: "data.csv: line 3, column 2: 'abc' is not a
 * number". options may be NULL. */
SW_API sw_source *sw_csv(const char *path, const sw_csv_options *options);
/* The names of the features, [x_shape[0]], as in the header: of columns that are neither the target nor skipped.
 * NULL where the file has no header, and NULL and an error for another source. The source's. */
SW_API const char *const *sw_csv_feature_names(const sw_source *source);

/* ---- Sparse rows: LIBSVM and SVMlight files -------------------------------------------------- */

typedef enum sw_svmlight_base {
    SW_SVMLIGHT_BASE_AUTO = 0, /* indices begin at 0 if one in the file is 0, else at 1 */
    SW_SVMLIGHT_ZERO_BASED,
    SW_SVMLIGHT_ONE_BASED
} sw_svmlight_base;
typedef enum sw_svmlight_target {
    SW_SVMLIGHT_TARGET_AUTO = 0, /* classes if all targets are whole numbers, at most 2^20 different ones */
    SW_SVMLIGHT_CLASS_IDS,       /* classes: another target is an error */
    SW_SVMLIGHT_REAL
} sw_svmlight_target;

typedef struct sw_svmlight sw_svmlight;
typedef struct sw_svmlight_options {
    size_t size;           /* sizeof(sw_svmlight_options) */
    sw_dtype type;         /* of the numbers in x: SW_F32 or SW_F64 */
    sw_svmlight_base base; /* the index of column 0 in the file */
    sw_svmlight_target target;
    int64_t columns; /* 1 to 2^31; a larger index is an error. 0: as many as the largest index needs */
    /* For a test set: the training set. It gives base, columns and classes, so that columns and class ids agree even
     * if the test set lacks an index or a class; base and columns must be 0 then. It is needed during the call only.
     * NULL: none. */
    const sw_svmlight *like;
    bool allow_nonfinite; /* nan, inf and infinity, which sw_csr_check refuses */
} sw_svmlight_options;

/* A file of n rows. All arrays belong to it and are read-only. */
struct sw_svmlight {
    sw_csr x;                       /* [n, columns] */
    const double *y;                /* [n]: the targets as they are in the file */
    int base;                       /* 0 or 1: the index of column 0 in the file */
    int classes;                    /* 0: the targets are real numbers, and the next three are NULL */
    const int32_t *ids;             /* [n]: class ids, in order of the values: targets -1 and 1 become 0 and 1 */
    const double *class_values;     /* [classes]: -1, 1 */
    const char *const *class_names; /* [classes]: "-1", "1" */
    /* The rows as dense samples, for networks: x of a sample is [columns], with its zeros; y is the class id or, for
     * real targets, a number of shape {1}. A batch takes the memory and time of a dense one. */
    sw_source *source;
};

/* Reads a file of rows "target index:value index:value …", plain or gzip: the first two bytes say which, not the
 * name. Blanks and tabs separate. Indices are digits, at most 2^31 - 1, and increase within a row; a row may have
 * none. A query id "qid:1" may stand directly behind the target: it is checked and ignored. '#' begins a comment, up
 * to the end of the line; lines with nothing else are skipped. A line ends with LF, CR, or CR and LF, and has less
 * than 16 MiB; UTF-8's mark at the beginning is skipped.
 *
 * Numbers are read as by sw_csv, each to the nearest double; values are then rounded to `type`, and one that is too
 * large for it is an error. Values of 0 that are in the file are kept. What scikit-learn's load_svmlight_file reads
 * is read the same, except that a file without rows is an error, and one without any index unless the number of
 * columns is given.
 *
 * Memory is at most 20 times the size of the (decompressed) file and 512 KiB, usually less than twice the size, and
 * 200 bytes for each class. Errors name path and line, counted from 1: "train.svm: line 17: index 3 after index 7;
 * indices must increase". NULL after an error. options may be NULL. */
SW_API sw_svmlight *sw_svmlight_load(const char *path, const sw_svmlight_options *options);
/* Frees the data with their source; accepts NULL. What was made from the source (a loader, an objective, a subset)
 * keeps all of it alive until it is freed itself. sw_source_free(data->source) does the same: call one of the two,
 * or neither if a wrapper owns the source. */
SW_API void sw_svmlight_free(sw_svmlight *data);

/* The largest |value| of each column, 0 for a column without values: max [columns]. */
SW_API sw_status sw_svmlight_max_abs(const sw_svmlight *data, double *max);
/* Divides each column in place by `by` [columns], where 0 counts as 1, in f64, and rounds to x's type. With the
 * result of sw_svmlight_max_abs all values lie in [-1, 1]; zeros stay zeros. Use the training set's for the test
 * set. If one of `by` is negative or not finite, or a quotient is too large, it is an error and nothing is changed.
 * The source must not be gathered meanwhile. */
SW_API sw_status sw_svmlight_scale(sw_svmlight *data, const double *by);

/* ---- Arrays in memory ------------------------------------------------------------------------ */

typedef struct sw_arrays_options {
    size_t size; /* sizeof(sw_arrays_options) */
    /* > 0: y holds class ids below it. 0: if y is i32 or u8, the classes are the distinct labels in y, sorted
     * by value (-1 and 1 become 0 and 1), and class_names are those labels. */
    int classes;
    const char *const *class_names; /* NULL or `classes` names that outlive the source */
    bool copy;                      /* else x and y are read in place and outlive the source */
    double scale, shift;            /* of u8 x alone: a number is x·scale + shift; both 0: 1 and 0 */
    bool allow_nonfinite;           /* else a nan or an infinity in x or y is an error */
} sw_arrays_options;
/* x [n, ...] of any type but i64, y NULL or [n, ...]: labels [n] (i32 or u8) or real numbers (f32 or f64), in the
 * shape of the outputs they are compared with: [n, 1] for a last layer of one unit. n ≥ 1 and at least one number a
 * sample. Numbers are rounded to the batch's type as they are gathered. Labels and numbers are checked here, once;
 * a message counts samples and columns from 0. options may be NULL. */
SW_API sw_source *sw_arrays(const sw_array *x, const sw_array *y, const sw_arrays_options *options);

#ifdef __cplusplus
}
#endif
#endif
