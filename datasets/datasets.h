/* swale datasets: readers and loaders. Built on core alone.
 *
 * Every reader checks what it reads and names file and reason in sw_error(). Pictures stay as they
 * are stored, one byte a pixel, and are normalised as they are gathered.
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
 * gzip's CRC and length are checked, trailing bytes and a second gzip member refused; inflation
 * stops at the size that the header implies, and memory is asked for only if the file could fill
 * it. Every message is "path: reason". The array's data are freed by sw_free (extend.h) or
 * sw_idx_free; after a failure the array is all zeros. */
SW_API sw_status sw_idx_read(const char *path, sw_array *array);
SW_API void sw_idx_free(sw_array *array);

/* Images [n, height, width] and labels [n] of two IDX files as a source, n ≥ 1: x is one vector of
 * height·width numbers, y the class id, below `classes`. A number is pixel·scale + shift, where
 * scale and shift are first rounded to x's type and each of the two operations rounds: the same
 * bits on every machine. With the default scale 0 stays 0 and 255 becomes 1; in between, the last
 * bit may differ from that of pixel/255. */
typedef struct sw_images_options {
    size_t size;         /* sizeof(sw_images_options) */
    int classes;         /* 1 to 256 */
    const char *const *class_names; /* NULL or `classes` names that outlive the source */
    double scale, shift; /* both 0: 1/255 and 0, so that pixels lie in [0, 1] */
} sw_images_options;
SW_API sw_source *sw_idx_images(const char *images_path, const char *labels_path,
                                const sw_images_options *options);

/* ---- Fashion-MNIST (Xiao, Rasul, Vollgraf, arXiv 1708.07747) --------------------------------- */

typedef enum sw_split { SW_TRAINING = 0, SW_TEST = 1 } sw_split; /* 60,000 and 10,000 samples */

/* 28×28 pictures in [0, 1] as vectors of 784, ten classes. Looks for the four files (with or
 * without .gz; without, if both are there) in `directory`; if that is NULL, in $SW_FASHION_MNIST,
 * /usr/share/datasets/fashion-mnist, $XDG_CACHE_HOME/fashion-mnist (or ~/.cache/fashion-mnist), in
 * this order. A place counts if it has all four. If none does, the message names the places, what
 * each lacks, and the command that gets the files. Counts and shape are checked. */
SW_API sw_source *sw_fashion_mnist(const char *directory, sw_split split);
/* SHA-256 of the decompressed contents of all four files against the published ones (0.4 s). */
SW_API sw_status sw_fashion_mnist_verify(const char *directory);
/* Where it was found: "/usr/share/datasets/fashion-mnist"; NULL and an error if nowhere. In a
 * buffer of this thread that the next call overwrites. */
SW_API const char *sw_fashion_mnist_directory(const char *directory);

/* SHA-256 (FIPS 180-4) of bytes, as 64 lower-case hexadecimal digits and a zero. */
SW_API void sw_sha256(const void *bytes, size_t length, char hex[65]);

/* ---- Loader ---------------------------------------------------------------------------------- */

/* Batches of a source in order, shuffled, or drawn with replacement; the last batch of an epoch
 * holds what is left over. */
typedef struct sw_loader sw_loader;
typedef struct sw_loader_options {
    size_t size;    /* sizeof(sw_loader_options) */
    sw_dtype type;  /* of x: SW_F32 or SW_F64 */
    sw_order order;
    uint64_t seed;
} sw_loader_options;
/* options NULL: f32, SW_SHUFFLE, seed 0. The source must outlive the loader. NULL after an error,
 * so also when `source` is NULL. */
SW_API sw_loader *sw_loader_new(const sw_source *source, int64_t batch,
                                const sw_loader_options *options);
SW_API void sw_loader_free(sw_loader *loader);
/* Puts the next batch on the tape (whose samples it names) and returns true; at the end of an
 * epoch, once, returns false, and the call after that begins the next epoch. A failure ends the
 * epoch too (a last batch that is still on the tape is one): what is left of it is passed over. A NULL argument is an error and passes over
 * nothing. While one batch is used the next one's bytes are already asked for. Allocates nothing of
 * its own. */
SW_API bool sw_loader_next(sw_loader *loader, sw_tape *tape, sw_batch *batch);
SW_API int64_t sw_loader_batches(const sw_loader *loader); /* in an epoch */
SW_API int64_t sw_loader_epoch(const sw_loader *loader);   /* epochs ended */

#ifdef __cplusplus
}
#endif
#endif
