/* Tables: CSV files, sparse rows in LIBSVM files, and arrays in memory.
 *
 *     sw_source *iris = sw_csv("iris.csv", &SW_OPTIONS(sw_csv_options, .target = SW_CSV_CLASS_IDS));  // last column
 */
#ifndef SWALE_TABLES_H
#define SWALE_TABLES_H

#include <swale/source.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- CSV ------------------------------------------------------------------------------------- */

/* Whether the first row of a file is a header, with the names of the columns. */
typedef enum sw_csv_header {
    SW_CSV_HEADER_AUTO = 0, /* it is a header if none of its fields is a number */
    SW_CSV_HEADER_YES,
    SW_CSV_HEADER_NO
} sw_csv_header;
/* What the target column contains. */
typedef enum sw_csv_target {
    SW_CSV_NO_TARGET = 0, /* no target: all columns are features */
    SW_CSV_CLASS_IDS,     /* classes: integers or texts */
    SW_CSV_REAL           /* numbers; y_shape is {1} */
} sw_csv_target;
/* Attention: target_column = 0 is the LAST column, because 0 is the default of every option. The FIRST column is
 * target_column = SW_CSV_FIRST_COLUMN. */
#define SW_CSV_FIRST_COLUMN INT64_MIN

/* Options of sw_csv. Columns are counted from 0, or backwards from -1, the last column. The exception is target_column,
 * where 0 is the last column and SW_CSV_FIRST_COLUMN the first. */
typedef struct sw_csv_options {
    size_t size;    /* sizeof(sw_csv_options) */
    char delimiter; /* 0: ','. Letters, digits, quotes, '.', '+', '-' and line ends are not allowed */
    sw_csv_header header;
    sw_csv_target target;
    /* The column of the target, unless target_name is given; ignored with SW_CSV_NO_TARGET.
     *   0 (the default)         the LAST column, not the first one
     *   SW_CSV_FIRST_COLUMN     the FIRST column
     *   1, 2, …                 the second, the third, …
     *   -1, -2, …               the last, the one before the last, … */
    int64_t target_column;
    const char *target_name; /* the name in the header, or NULL */
    /* 0: the classes are the distinct labels in the file, which must be all integers (sorted by value: -1 and 1 become
     * 0 and 1) or all texts (sorted by bytes). class_names of the source are these labels; the source owns them. 1 to
     * 2^20: a label is an id below this number, or one of class_names. For a test set, pass classes and class_names of
     * the training set, so that the ids agree even if a class has no test sample. */
    int classes;
    /* NULL or `classes` names that outlive the source. If one of them is a number, labels in the file are compared with
     * the names and never taken as ids. */
    const char *const *class_names;
    const int64_t *skip; /* columns that are not read, whatever their contents */
    int64_t skip_count;
    const char *const *skip_names; /* further columns that are not read, by name */
    int64_t skip_names_count;
    bool allow_nonfinite; /* accept nan, inf and infinity, in upper or lower case, with or without a sign */
} sw_csv_options;

/* Makes a source from a CSV file of numbers, plain or compressed by gzip: x of a sample is [features], kept as f64.
 * Each number is the double nearest to the text, in every locale. NULL and an error that names path, line and column,
 * both counted from 1: "data.csv: line 3, column 2: 'abc' is not a number". options may be NULL.
 *
 * A line ends with LF, CR, or CR and LF, and is shorter than 16 MiB. The byte order mark of UTF-8 at the beginning,
 * empty lines at the end, blanks around a field, and zeros after gzip data are ignored. A field may be quoted (RFC
 * 4180), but must not contain a line end. Numbers are decimal; hexadecimal numbers, numbers too large for a double, and
 * empty fields are errors. The function needs memory of at most about 18 times the size of the (decompressed) file. */
SW_API sw_source *sw_csv(const char *path, const sw_csv_options *options);
/* The names of the features from the header, [x_shape[0]], of the columns that are neither the target nor skipped. The
 * source owns them. NULL if the file has no header; NULL and an error for a source that is not from sw_csv. */
SW_API const char *const *sw_csv_feature_names(const sw_source *source);

/* ---- Sparse rows: LIBSVM and SVMlight files -------------------------------------------------- */

/* The index of the first column in a file. */
typedef enum sw_svmlight_base {
    SW_SVMLIGHT_BASE_AUTO = 0, /* 0 if an index in the file is 0, else 1 */
    SW_SVMLIGHT_ZERO_BASED,
    SW_SVMLIGHT_ONE_BASED
} sw_svmlight_base;
/* What the targets of a file are. */
typedef enum sw_svmlight_target {
    SW_SVMLIGHT_TARGET_AUTO = 0, /* classes if all targets are integers, at most 2^20 different ones; else numbers */
    SW_SVMLIGHT_CLASS_IDS,       /* classes: a target that is not an integer is an error */
    SW_SVMLIGHT_REAL
} sw_svmlight_target;

typedef struct sw_svmlight sw_svmlight;
/* Options of sw_svmlight_load. */
typedef struct sw_svmlight_options {
    size_t size;           /* sizeof(sw_svmlight_options) */
    sw_dtype type;         /* of the numbers in x: SW_F32 or SW_F64 */
    sw_svmlight_base base; /* the index of column 0 in the file */
    sw_svmlight_target target;
    int64_t columns; /* 1 to 2^31; a larger index in the file is an error. 0: the largest index decides */
    /* For a test set: the training set, or NULL. The test set gets its base, columns and classes, so that columns and
     * class ids agree even if the test set lacks an index or a class; `base` and `columns` must be 0 then. It is needed
     * during the call only. */
    const sw_svmlight *like;
    bool allow_nonfinite; /* accept nan, inf and infinity, which sw_csr_check refuses */
} sw_svmlight_options;

/* The contents of a file of n rows. The struct owns all arrays, which are read-only. */
struct sw_svmlight {
    sw_csr x;                       /* [n, columns] */
    const double *y;                /* [n]: the targets in the file */
    int base;                       /* 0 or 1: the index of column 0 in the file */
    int classes;                    /* 0: the targets are numbers, and the next three members are NULL */
    const int32_t *ids;             /* [n]: class ids in the order of the values: targets -1 and 1 become 0 and 1 */
    const double *class_values;     /* [classes]: -1, 1 */
    const char *const *class_names; /* [classes]: "-1", "1" */
    /* The rows as dense samples, for networks: x of a sample is [columns], including zeros; y is the class id, or a
     * number of shape {1}. A batch needs the memory and time of a dense batch. */
    sw_source *source;
};

/* Reads a file of rows "target index:value index:value …", plain or compressed by gzip; the first two bytes of the file
 * decide which, not its name. NULL and an error that names path and line, counted from 1: "train.svm: line 17: index 3
 * after index 7; indices must increase". options may be NULL.
 *
 * Fields are separated by blanks and tabs. Indices are decimal, at most 2^31 - 1, and increase within a row; a row may
 * have no index. A query id "qid:1" may follow the target directly; it is checked and ignored. '#' begins a comment
 * that ends with the line; lines that contain nothing else are ignored. A line ends with LF, CR, or CR and LF, and is
 * shorter than 16 MiB. The byte order mark of UTF-8 at the beginning is ignored.
 *
 * Numbers are read as by sw_csv, each as the nearest double. Values are then rounded to `type`; a value that is too
 * large for it is an error. Values of 0 in the file are kept. Files that scikit-learn's load_svmlight_file accepts give
 * the same contents, with two exceptions: a file without rows is an error, and so is a file without any index unless
 * the number of columns is given.
 *
 * The function needs memory of at most 20 times the size of the (decompressed) file plus 512 KiB (usually less than
 * twice the size), plus 200 bytes for each class. */
SW_API sw_svmlight *sw_svmlight_load(const char *path, const sw_svmlight_options *options);
/* Frees the data with their source. Accepts NULL. Objects that were made from the source (a loader, an objective, a
 * subset) keep all of it alive until they are freed. sw_source_free(data->source) has the same effect: call one of the
 * two, or neither if a wrapper owns the source. */
SW_API void sw_svmlight_free(sw_svmlight *data);

/* Computes the largest |value| of each column, 0 for a column without values: max [columns]. */
SW_API sw_status sw_svmlight_max_abs(const sw_svmlight *data, double *max);
/* Divides each column in place by `by` [columns], where 0 counts as 1, in f64, and rounds to the type of x. With the
 * result of sw_svmlight_max_abs all values lie in [-1, 1]; zeros remain zeros. Use the numbers of the training set for
 * the test set. If an element of `by` is negative or not finite, or a quotient is too large, that is an error and
 * nothing is changed. No other thread may gather from the source during the call. */
SW_API sw_status sw_svmlight_scale(sw_svmlight *data, const double *by);

/* ---- Arrays in memory ------------------------------------------------------------------------ */

/* Options of sw_arrays. */
typedef struct sw_arrays_options {
    size_t size; /* sizeof(sw_arrays_options) */
    /* > 0: y holds class ids below this number. 0: if y is i32 or u8, the classes are the distinct labels in y, sorted
     * by value (-1 and 1 become 0 and 1), and class_names of the source are these labels. */
    int classes;
    const char *const *class_names; /* NULL or `classes` names that outlive the source */
    bool copy;            /* the source keeps a copy; else it reads x and y in place, and they must outlive it */
    double scale, shift;  /* for x of type u8 only: a number is x·scale + shift; both 0: 1 and 0 */
    bool allow_nonfinite; /* accept NaN and Inf in x and y; else they are an error */
} sw_arrays_options;
/* Makes a source from arrays: x [n, ...] of any type except i64; y NULL, labels [n] (i32 or u8), or numbers [n, ...]
 * (f32, f64, f16 or bf16) in the shape of the outputs with which the loss compares them: [n, 1] for a last layer of one
 * unit. n ≥ 1, and a sample has at least one number. Numbers are converted to the type of the batch when they are
 * gathered: f16 and bf16 exactly, others are rounded if it has fewer digits. An f16 array needs half the memory of an
 * f32 one. Labels and numbers are checked once, by this function; a message counts samples and columns from 0. NULL
 * after an error. options may be NULL. */
SW_API sw_source *sw_arrays(const sw_array *x, const sw_array *y, const sw_arrays_options *options);

#ifdef __cplusplus
}
#endif
#endif
