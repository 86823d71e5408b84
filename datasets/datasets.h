/* swale datasets: readers and loaders. Built on core alone.
 *
 * Every reader checks what it reads and names file and reason in sw_error(). It reads regular files: a pipe or a
 * device is refused at once, and /dev/stdin is read if it is redirected from a file. Pictures stay as they
 * are stored, one byte a pixel, and are normalized as they are gathered.
 */
#ifndef SWALE_DATASETS_H
#define SWALE_DATASETS_H

#include "core.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- IDX ------------------------------------------------------------------------------------- */

/* The contents of an IDX file of unsigned bytes (type 0x08, rank 1 to SW_MAX_RANK), or of one
 * compressed by gzip: the first two bytes say which, not the name. Magic number, the exact size,
 * gzip's CRC and length are checked, trailing bytes and a second gzip member refused (but for zeros after the gzip
 * data, which are padding); inflation
 * stops at the size that the header implies, and memory is asked for only if the file could fill
 * it. Every message is "path: reason". The array is freed by sw_array_free; after a failure it is all
 * zeros. */
SW_API sw_status sw_idx_load(const char *path, sw_array *array);

/* Images [n, height, width] and labels [n] of two IDX files as a source, n ≥ 1: x is one vector of
 * height·width numbers, y the class id, below `classes`. options may be NULL. A number is pixel·scale + shift, where
 * scale and shift are first rounded to x's type and each of the two operations rounds: the same
 * bits on every machine. With the default scale 0 stays 0 and 255 becomes 1; in between, the last
 * bit may differ from that of pixel/255. */
typedef struct sw_images_options {
    size_t size; /* sizeof(sw_images_options) */
    /* 1 to 256. 0: the classes are the distinct labels in the file, sorted by value, and class_names are
     * those labels. */
    int classes;
    const char *const *class_names; /* NULL or `classes` names that outlive the source */
    double scale, shift;            /* both 0: 1/255 and 0, so that pixels lie in [0, 1] */
} sw_images_options;
SW_API sw_source *sw_idx_images(const char *images_path, const char *labels_path, const sw_images_options *options);

/* ---- MNIST (LeCun, Bottou, Bengio, Haffner 1998), Fashion-MNIST (Xiao, Rasul, Vollgraf 2017) ----- */

typedef enum sw_data_split { SW_TRAINING = 0, SW_TEST = 1 } sw_data_split; /* 60,000 and 10,000 samples */

/* 28×28 pictures in [0, 1] as vectors of 784, ten classes. Looks for the four files (with or
 * without .gz; without, if both are there) in `directory`; if that is NULL, in $SW_FASHION_MNIST,
 * /usr/share/datasets/fashion-mnist, $XDG_CACHE_HOME/fashion-mnist (or ~/.cache/fashion-mnist), in
 * this order. A place counts if it has all four. If none does, the message names the places, what
 * each lacks, and the command that gets the files. Counts and shape are checked. */
SW_API sw_source *sw_fashion_mnist(const char *directory, sw_data_split split);
/* SHA-256 of the decompressed contents of all four files against the published ones (0.4 s). */
SW_API sw_status sw_fashion_mnist_verify(const char *directory);
/* These checksums: of training images, training labels, test images, test labels. */
SW_API sw_status sw_fashion_mnist_checksums(const char *directory, char sha256[4][65]);
/* Where it was found: "/usr/share/datasets/fashion-mnist"; NULL and an error if nowhere. In a
 * buffer of this thread that the next call overwrites. */
SW_API const char *sw_fashion_mnist_directory(const char *directory);

/* The ten classes' names, also without the files. */
SW_API const char *const *sw_fashion_mnist_classes(void);

/* The same for MNIST, whose files have the same names and shapes: $SW_MNIST, /usr/share/datasets/mnist,
 * $XDG_CACHE_HOME/mnist (or ~/.cache/mnist). Debian has no package of it: the message says which four
 * files to put there. Only sw_mnist_verify can tell it from Fashion-MNIST in the wrong folder. */
SW_API sw_source *sw_mnist(const char *directory, sw_data_split split);
SW_API sw_status sw_mnist_verify(const char *directory);
SW_API sw_status sw_mnist_checksums(const char *directory, char sha256[4][65]);
SW_API const char *sw_mnist_directory(const char *directory);

/* SHA-256 (FIPS 180-4) of bytes, as 64 lower-case hexadecimal digits and a zero. */
SW_API void sw_sha256(const void *bytes, size_t length, char hex[65]);

/* ---- Pictures -------------------------------------------------------------------------------- */

/* A PNG or JPEG file (its contents say which) as u8 [height, width, channels]. channels: 1 gray, 3 RGB
 * (alpha is dropped, gray from RGB is luma (77 R + 150 G + 29 B)/256), 0 what is there: 1 to 4, with alpha
 * last. 16-bit PNG keeps the high byte; of an animation the first picture; EXIF's orientation is not
 * followed. Limits: a file of 256 MiB, 32,768 pixels a side, 2^26 pixels, and no more pixels than a
 * file of its length could hold. PNG: every chunk's CRC is checked. JPEG: baseline and progressive, at
 * most 100 scans. A file that ends too soon is an error. Every message is "path: reason". The array is
 * freed by sw_array_free; after a failure it is all zeros. */
SW_API sw_status sw_picture_load(const char *path, int channels, sw_array *out);

/* A picture, u8 [height, width, channels] or [height, width], in another size, 1 to 32,768 pixels a side:
 * cubic, Catmull-Rom up, Mitchell down; proportions are the caller's. `out` as above. */
SW_API sw_status sw_picture_resize(const sw_array *picture, int64_t height, int64_t width, sw_array *out);
/* The one thing on an even background, as the pictures of Fashion-MNIST were made (Xiao, Rasul, Vollgraf
 * 2017): u8 [side, side], the thing light on 0, its longer side `side` pixels, in the middle. The picture
 * is gray or RGB, with or without alpha (sw_picture_load's, channels 0), the thing dark on light or light
 * on dark; what is transparent is white. The background is the median of the outermost pixels; what is
 * within 5 % of it, but for one pixel in 200, is trimmed from each side. An error if nothing is left. `out`
 * as above. */
SW_API sw_status sw_picture_subject(const sw_array *picture, int64_t side, sw_array *out);

/* u8 [height, width] or [height, width, channels] as a PNG file of 8 bits a channel: 1 gray, 2 gray and
 * alpha, 3 RGB, 4 RGBA; what sw_picture_load with channels 0 reads again, but for [height, width], which
 * comes back as [height, width, 1]. At most 32,768 pixels a side and 2^26 in all. Equal pictures give
 * equal bytes. The file is replaced whole, as by sw_archive_save; a device or a pipe is written to as it is.
 * Every message about the file or the picture is "path: reason". */
SW_API sw_status sw_picture_save(const char *path, const sw_array *picture);

/* A folder with one folder per class, in order of their names' bytes, each with pictures that end in
 * .png, .jpg or .jpeg (in any case), in order of their names' bytes: sample 0 is the first of class 0.
 * All are read at once and kept as bytes, [channels, height, width] a sample; x has that shape. Hidden
 * files, and files beside the classes that are not pictures by name, are passed over. Errors, which name
 * the file: one that is not a picture or is damaged; in a class's folder, anything else than pictures;
 * pictures beside the classes; a class without pictures; no classes; pictures of several sizes, if no size
 * is given. */
typedef struct sw_image_folder_options {
    size_t size; /* sizeof(sw_image_folder_options) */
    /* 1 to 4096 each: pictures of other sizes are resized, without keeping their proportions (cubic:
     * Catmull-Rom up, Mitchell down). Both 0: all have the first one's size, else an error. */
    int64_t height, width;
    int channels;        /* 1 or 3; 0: 3 */
    bool flat;           /* x is one vector of channels·height·width */
    double scale, shift; /* as in sw_images_options */
} sw_image_folder_options;
/* options may be NULL. class_names are the folders' names; the source's. */
SW_API sw_source *sw_image_folder(const char *path, const sw_image_folder_options *options);

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

/* ---- Generators ------------------------------------------------------------------------------ */
/* Made once, in f64, by Philox and arithmetic of this library's own: the same bits on every machine.
 * Gathered in the batch's type, rounded. Options NULL, and every 0 in them, mean the default beside it.
 * Samples are independent of one another: sample i of 100 is sample i of 1000 where nothing else is said.
 * NULL after an error: an argument out of range, no memory. ε below is N(0, 1). */

/* Two half circles, the outer one of class 0 first: (cos t, sin t), then (1 - cos t, ½ - sin t), t at
 * equal steps over [0, π] for each, plus noise·ε on each coordinate: scikit-learn's
 * make_moons(shuffle=False). n/2 samples are of class 0, rounded down; t depends on n. */
typedef struct sw_moons_options {
    size_t size;  /* sizeof(sw_moons_options) */
    int64_t n;    /* 100 */
    double noise; /* standard deviation, ≥ 0; 0 is none */
    uint64_t seed;
} sw_moons_options;
SW_API sw_source *sw_moons(const sw_moons_options *options);

/* Arms of a spiral: sample i is of class c = i mod classes and the k-th of its n_c, k = i / classes, at
 * r (cos t, sin t) with r = (k + 1)/n_c and t = 2π (turns·r + c/classes), plus noise·ε. */
typedef struct sw_spirals_options {
    size_t size;  /* sizeof(sw_spirals_options) */
    int64_t n;    /* 300; at least `classes` */
    int classes;  /* 3; 2 or more */
    double turns; /* 1; within ±1000, negative: clockwise */
    double noise; /* standard deviation, ≥ 0; 0 is none */
    uint64_t seed;
} sw_spirals_options;
SW_API sw_source *sw_spirals(const sw_spirals_options *options);

/* Gaussian blobs: sample i is of class i mod classes, at its class's center plus spread·ε on each
 * coordinate; centers are uniform in [-box, box). */
typedef struct sw_blobs_options {
    size_t size;      /* sizeof(sw_blobs_options) */
    int64_t n;        /* 100 */
    int classes;      /* 3 */
    int64_t features; /* 2 */
    double spread;    /* 1; > 0 */
    double box;       /* 10; > 0 */
    uint64_t seed;
} sw_blobs_options;
SW_API sw_source *sw_blobs(const sw_blobs_options *options);
/* [classes, features]; NULL and an error for another source. The source's. */
SW_API const double *sw_blobs_centers(const sw_source *source);

/* y = ⟨w, x⟩ + bias + noise·ε with x ~ N(0, I) and w ~ N(0, I) by the seed; y_shape is {1}. */
typedef struct sw_linear_samples_options {
    size_t size;      /* sizeof(sw_linear_samples_options) */
    int64_t n;        /* 100 */
    int64_t features; /* 10 */
    double bias;      /* 0 */
    double noise;     /* standard deviation, ≥ 0; 0 is none */
    uint64_t seed;
} sw_linear_samples_options;
SW_API sw_source *sw_linear_samples(const sw_linear_samples_options *options);

/* The rows a_i and labels y_i, -1 or +1 as real numbers of shape {1}, of binary logistic regression,
 *   f(x) = μ/2 ‖x‖² + 1/m Σ log(1 + exp(-y_i ⟨a_i, x⟩)),
 * drawn from its own model: a ~ N(0, I), w ~ scale·N(0, I), P(y = 1 | a) = 1/(1 + exp(-⟨a, w⟩)). The
 * size is that of the lectures' figure. */
typedef struct sw_logistic_samples_options {
    size_t size;      /* sizeof(sw_logistic_samples_options) */
    int64_t n;        /* 200: m above */
    int64_t features; /* 10 */
    double scale;     /* 1; > 0: larger numbers, fewer surprises in y */
    uint64_t seed;
} sw_logistic_samples_options;
SW_API sw_source *sw_logistic_samples(const sw_logistic_samples_options *options);

/* w [features] of sw_linear_samples or sw_logistic_samples; NULL and an error for another source. The
 * source's. */
SW_API const double *sw_true_weights(const sw_source *source);

/* ---- Parts of a source ----------------------------------------------------------------------- */
/* Views: samples stay where they are. Parts keep the source alive (sw_source_free). With `owns_source` it belongs to
 * them: it is freed with the last part, and also if the call fails (but for a wrong options.size), so that
 * calls can be nested. */

typedef struct sw_wrap_options {
    size_t size; /* sizeof(sw_wrap_options) */
    bool owns_source;
} sw_wrap_options;
/* The samples ids[0..count), copied, in this order; an id may come twice. Sample i of the subset is
 * ids[i] of the source: an id out of range is an error that names it. count ≥ 1; options may be NULL. */
SW_API sw_source *sw_subset(sw_source *source, const int64_t *ids, int64_t count, const sw_wrap_options *options);
/* The first `count` samples, 1 to n. */
SW_API sw_source *sw_take(sw_source *source, int64_t count, const sw_wrap_options *options);

typedef struct sw_split_options {
    size_t size; /* sizeof(sw_split_options) */
    /* One of the two, `parts` numbers: shares > 0 that add up to 1 (to 1e-9), turned into counts by the
     * largest remainders; or counts ≥ 1 that add up to n. */
    const double *fractions;
    const int64_t *counts;
    uint64_t seed;
    /* Of every class, each part gets its share of it, give or take 1 sample (2 if there are more than two
     * parts); counts stay exact. Class ids are needed. */
    bool stratified;
    bool owns_source;
} sw_split_options;
/* Deals the shuffled samples out to `parts` sources: every sample to exactly one. Within a part the order
 * is random too. A part that would be empty is an error; after one all of out[] are NULL. */
SW_API sw_status sw_split_source(sw_source *source, int parts, const sw_split_options *options, sw_source **out);

/* ---- Transforms ------------------------------------------------------------------------------ */
/* They wrap a source as above, and change x as it is gathered; y and n stay. */

/* What shares one mean and one standard deviation: each number of a sample; or each channel, axis 0 of
 * samples [channels, height, width] (of a sample with other than three axes: all its numbers). */
typedef enum sw_moments_axis { SW_PER_FEATURE = 0, SW_PER_CHANNEL } sw_moments_axis;
/* How many means there are. */
SW_API int64_t sw_moments_count(const sw_source *source, sw_moments_axis which);
/* Mean and standard deviation (population: divided by the count) of x over all samples, in one pass in
 * f64 (Welford 1962; channels put together as in Chan, Golub, LeVeque 1983), as draw 0 has them.
 * [sw_moments_count] each; std may be NULL. */
SW_API sw_status sw_moments(const sw_source *source, sw_moments_axis which, double *mean, double *std);

/* x becomes (x - mean)/std, computed in the batch's type as (x - mean)·(1/std), both rounded to it
 * first. Where std is 0 (a number that never changes), it counts as 1. */
typedef struct sw_normalize_options {
    size_t size; /* sizeof(sw_normalize_options) */
    sw_moments_axis which;
    /* Both given, [sw_moments_count], copied; or both NULL: those of `like`, the training set, say. */
    const double *mean, *std;
    const sw_source *like; /* NULL: the source itself */
    bool owns_source;
} sw_normalize_options;
/* options NULL: each number of a sample by its own moments. */
SW_API sw_source *sw_normalize(sw_source *source, const sw_normalize_options *options);

/* Random crops and flips of pictures: `padding` zeros on each side, then a window of height × width at
 * a random place, all places equally likely (to 2^-32), then, with `flip`, left and right exchanged with
 * probability ½. All channels alike. A function of seed, sample id (in the wrapped source) and draw:
 * batch size and threads change nothing. */
typedef struct sw_augment_options {
    size_t size;           /* sizeof(sw_augment_options) */
    int64_t padding;       /* ≥ 0 */
    int64_t height, width; /* of the window; 0: the picture's own */
    bool flip;
    /* How a sample that is one vector is to be read: [channels, height, width], channels 0 meaning 1; the
     * result is one vector too. All 0 for samples [height, width] or [channels, height, width]. */
    int64_t from_channels, from_height, from_width;
    uint64_t seed;
    bool owns_source;
} sw_augment_options;
SW_API sw_source *sw_augment(sw_source *source, const sw_augment_options *options);

/* A function of one sample: x of the source as f64 → `out`, whose shape is that of the options. Called
 * from several threads for different samples; a function of in, id and draw alone. A status other than
 * SW_OK fails the batch. */
typedef sw_status (*sw_map_function)(void *user, int64_t id, uint64_t draw, const double *in, double *out);
typedef struct sw_map_options {
    size_t size;  /* sizeof(sw_map_options) */
    bool reshape; /* else the result has the source's shape, and the next two are not read */
    int rank;     /* 0 to 7 */
    int64_t shape[SW_MAX_RANK];
    bool owns_source;
} sw_map_options;
/* options NULL: the shape stays. */
SW_API sw_source *sw_map(sw_source *source, sw_map_function function, void *user, const sw_map_options *options);

/* ---- Loader ---------------------------------------------------------------------------------- */

typedef enum sw_prefetch {
    SW_PREFETCH_AUTO = 0, /* ON if the source is costly and the process may run on two processors */
    SW_PREFETCH_ON,
    SW_PREFETCH_OFF
} sw_prefetch;

/* Batches of a source in order, shuffled, or drawn with replacement; the last batch of an epoch
 * holds what is left over. What is random in a sample sees the number of the epoch as its draw (not
 * the tape's): an epoch has the same pictures whatever came before it. */
typedef struct sw_loader sw_loader;
typedef struct sw_loader_options {
    size_t size;   /* sizeof(sw_loader_options) */
    sw_dtype type; /* of x: SW_F32 or SW_F64 */
    sw_order order;
    uint64_t seed;
    /* ON: while a batch is used, a thread of the loader's gathers the next one into one of two buffers,
     * and that batch's tensors read the buffer in place. It stays theirs until the tape's reset, also
     * after sw_loader_free; batches that are on tapes two steps later are gathered without the thread.
     * The same bits as with OFF. */
    sw_prefetch prefetch;
    bool drop_last; /* an incomplete last batch is left out */
} sw_loader_options;
/* options NULL: f32, SW_SHUFFLE, seed 0. The loader keeps the source alive. NULL after an error,
 * so also when `source` is NULL, and when drop_last leaves nothing. */
SW_API sw_loader *sw_loader_new(const sw_source *source, int64_t batch, const sw_loader_options *options);
/* Waits for the thread. A child of fork gets a thread of its own when it asks for a batch, provided that
 * the source's gather holds no lock that a fork may leave locked. */
SW_API void sw_loader_free(sw_loader *loader);
/* Puts the next batch on the tape (whose samples it names) and returns true; at the end of an
 * epoch, once, returns false, and the call after that begins the next epoch. While an error is pending
 * (core.h, "Errors"), from any function, it returns false and the loader does not advance: a loop whose
 * optimizer, model or step has failed ends at once, and after sw_clear_error it continues with the same
 * batch. A failure of the loader itself ends the epoch too (a last batch that is still on the tape is one):
 * the rest of the epoch is skipped. A NULL argument is an error and skips nothing. While one batch is used
 * the next one's bytes are already asked for, or gathered. Allocates nothing of its own. */
SW_API bool sw_loader_next(sw_loader *loader, sw_tape *tape, sw_batch *batch);
SW_API int64_t sw_loader_batches(const sw_loader *loader); /* in an epoch */
/* Number of epochs that have ended. While an error is pending each refused call of sw_loader_next counts as
 * one, so that a loop `while (sw_loader_epoch(l) < n)` terminates. After sw_clear_error the real number is
 * returned again. */
SW_API int64_t sw_loader_epoch(const sw_loader *loader);
SW_API bool sw_loader_prefetches(const sw_loader *loader); /* in a thread of its own */

/* Where a loader is: plain numbers, to be saved by their fields. A batch that was prefetched and not yet
 * given out counts as not drawn. */
typedef struct sw_loader_position {
    size_t size; /* sizeof(sw_loader_position), also before sw_loader_get_position */
    uint64_t seed;
    int64_t order, n, batch, drop_last; /* order: an sw_order; drop_last: 0 or 1 */
    int64_t epoch;                      /* epochs ended */
    int64_t position;                   /* samples given out in the epoch */
} sw_loader_position;
SW_API sw_status sw_loader_get_position(const sw_loader *loader, sw_loader_position *position);
/* The batches that follow are those that would have followed there. The loader must have the position's
 * seed, order, n, batch and drop_last: else an error that names what differs, and it stays where it is. */
SW_API sw_status sw_loader_set_position(sw_loader *loader, const sw_loader_position *position);

#ifdef __cplusplus
}
#endif
#endif
