/* What datasets' files share and nobody else sees. Names begin with swd_. */
#ifndef SWALE_DATASETS_INTERNAL_H
#define SWALE_DATASETS_INTERNAL_H

#include <swale/datasets.h>
#include <swale/extend.h>

#include <stdatomic.h>
#include <string.h>

/* ---- idx.c ---- */

/* The first bytes of the file that holds `array`: magic number and dimensions. Returns how many. */
enum { SWD_IDX_HEADER = 4 + 4 * SW_MAX_RANK };
size_t swd_idx_header(const sw_array *array, unsigned char header[SWD_IDX_HEADER]);

/* ---- stored.c ---- */

/* A source of samples that lie in memory, row after row, in the type they were stored in. */
typedef struct swd_stored {
    sw_source source;            /* first: a pointer to it is a pointer to the whole */
    sw_array x;                  /* [n, ...] of any type */
    sw_array y;                  /* class ids [n], i32 or u8, or real numbers [n, ...]; data NULL: no targets */
    int64_t x_width, y_width;    /* numbers of a sample */
    double scale, shift;         /* of u8 x */
    bool borrowed_x, borrowed_y; /* the caller's: not freed */
    char **names;                /* source.class_names, if they are ours: `classes` of them */
} swd_stored;

/* Without samples, the first member of a struct of `bytes`, the rest of it zeros; freed by
 * sw_source_free(&s->source) like the finished one. NULL and an error: no memory. */
swd_stored *swd_stored_new(size_t bytes);
void swd_stored_free(sw_source *source); /* source.free, unless the struct has more to free before */
/* Once x, y and classes are set: n, the shapes of a sample (those of x and y without axis 0), widths. */
void swd_stored_finish(swd_stored *s);
/* source.gather, unless x lies elsewhere: then this gathers y (x NULL). */
sw_status swd_stored_gather(const sw_source *source, const int64_t *ids, int64_t count, uint64_t draw, sw_dtype type,
                            void *x, void *y);
/* Both finite, else an error of `who`; both 0: the default, and 0. */
sw_status swd_check_scale(const char *who, double *scale, double *shift, double standard);

/* ---- sparse.c ---- */

/* A source of sparse rows: x is gathered with its zeros. Targets are those of `stored`, whose x stays empty. */
typedef struct swd_sparse {
    swd_stored stored; /* first: a pointer to its source is a pointer to the whole */
    sw_csr x;
} swd_sparse;
/* Once x, stored.y and the classes are set: n, the shapes of a sample, gather. */
void swd_sparse_finish(swd_sparse *s);

/* ---- classes.c ---- */

/* A set of labels, each a text, numbered in order of appearance. {0}: empty. */
enum { SWD_MOST_CLASSES = 1 << 20, SWD_NO_MEMORY = -1, SWD_TOO_MANY_CLASSES = -2 };
typedef struct swd_classes {
    char **name;   /* [count] */
    int32_t *slot; /* [slots] of the hash table: number + 1, or 0 */
    int count, slots;
} swd_classes;
int swd_classes_find(const swd_classes *classes, const char *label); /* -1: not there */
/* The end of a message about labels like 1, 2, 3 that are taken for ids. */
#define SWD_NUMBER_LABELS " (classes = 0 numbers the labels that are there)"
/* Its number, whether it was there or not; or SWD_NO_MEMORY, SWD_TOO_MANY_CLASSES. */
int swd_classes_add(swd_classes *classes, const char *label);
void swd_classes_free(swd_classes *classes);
/* ids [n], in order of appearance, become class ids in sorted order: by value where all labels are whole
 * `numbers`, else by bytes. The source gets their count and takes over the names. */
sw_status swd_classes_finish(swd_classes *classes, bool numbers, int32_t *ids, int64_t n, swd_stored *s);
/* The class ids (i32, [n]) of labels y, i32 or u8 [n], in sorted order, with their values as names. Messages
 * begin with `who`. After an error ids holds nothing. */
sw_status swd_number_classes(const char *who, const sw_array *y, swd_stored *s, sw_array *ids);

/* ---- images.c ---- */

/* sw_idx_images; if `expected` is not NULL, only for images of this shape [n, height, width]. */
sw_source *swd_images_open(const char *images_path, const char *labels_path, const sw_images_options *options,
                           const int64_t expected[3]);

/* ---- picture.c ---- */

enum { SWD_MOST_SIDE = 4096 }; /* of a resized picture */
/* u8 [h, w, channels], 1 or 3 of them → out, u8 [height, width, channels]. The path is for the message. */
sw_status swd_picture_resize(const char *path, const sw_array *in, int64_t height, int64_t width, unsigned char *out);

/* ---- number.c ---- */

typedef enum swd_number { SWD_NUMBER, SWD_NONFINITE, SWD_TOO_LARGE, SWD_NO_NUMBER } swd_number;
/* All of `text` as a decimal number, rounded to nearest; or nan, inf, infinity. */
swd_number swd_parse_number(const char *text, double *value);

/* ---- wrap.c: for sources that wrap another one ---- */

/* An error unless there are samples to gather, of at most SW_MAX_RANK - 1 axes. */
sw_status swd_check_source(const char *who, const sw_source *source);
void swd_free_owned(sw_source *source, bool own);
int64_t swd_sample_count(const sw_source *source); /* numbers in one x */
int64_t swd_sample_bytes(const sw_source *source, sw_dtype type);
sw_dtype swd_target_type(const sw_source *source, sw_dtype type);
int64_t swd_target_bytes(const sw_source *source, sw_dtype type); /* 0: no targets */

/* First member of a wrapper that keeps the samples' ids. */
typedef struct swd_wrap {
    sw_source source;
    sw_source *inner;
    bool own;
    sw_source_hold hold; /* of inner */
} swd_wrap;
/* Everything as in the inner source, which is asked to prefetch; gather and free are the caller's. */
void swd_wrap_source(swd_wrap *wrap, sw_source *inner, bool own);
/* Lets go of the inner source, and frees it if it is owned. */
void swd_unwrap_source(swd_wrap *wrap);

/* Blocks of equal size for threads that gather: one of core's, and loaders'. */
enum { SWD_SCRATCHES = 66 };
typedef struct swd_scratch {
    size_t bytes;
    _Atomic(void *) block[SWD_SCRATCHES]; /* NULL: none, or in use */
} swd_scratch;
sw_status swd_scratch_init(swd_scratch *scratch, size_t bytes);
void swd_scratch_free(swd_scratch *scratch);
void *swd_scratch_take(swd_scratch *scratch); /* NULL and an error */
void swd_scratch_give(swd_scratch *scratch, void *block);

/* ---- background.c ---- */

/* A thread that does one thing at a time beside the caller's. Started when it is first needed. */
typedef struct swd_background swd_background;
swd_background *swd_background_new(void);             /* NULL and an error: no memory */
void swd_background_free(swd_background *background); /* waits; accepts NULL */
/* Has the thread call work(args). Nothing else may be under way. False: there is no thread to be had. */
bool swd_background_start(swd_background *background, void (*work)(void *args), void *args);
/* Waits. False if the thread had not begun, and it will not: what was to be done is the caller's. */
bool swd_background_finish(swd_background *background);
/* On which this process may run, 1 or more. */
int swd_processors(void);

/* ---- sha256.c ---- */

typedef struct swd_sha256 {
    uint32_t state[8];
    uint64_t length; /* bytes taken so far */
    unsigned char block[64];
} swd_sha256;

void swd_sha256_begin(swd_sha256 *sha);
void swd_sha256_add(swd_sha256 *sha, const void *bytes, size_t length);
void swd_sha256_end(swd_sha256 *sha, char hex[65]);

#endif
