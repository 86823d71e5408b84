/* IDX files, MNIST and Fashion-MNIST. */
#ifndef SWALE_MNIST_H
#define SWALE_MNIST_H

#include <swale/source.h>

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

#ifdef __cplusplus
}
#endif
#endif
