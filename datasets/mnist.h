/* IDX files, and the data sets MNIST and Fashion-MNIST.
 *
 *     sw_source *train = sw_fashion_mnist(NULL, SW_TRAINING), *test = sw_fashion_mnist(NULL, SW_TEST);
 */
#ifndef SWALE_MNIST_H
#define SWALE_MNIST_H

#include <swale/source.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- IDX ------------------------------------------------------------------------------------- */

/* Reads an IDX file of unsigned bytes (type 0x08, rank 1 to SW_MAX_RANK), plain or compressed by gzip; the first two
 * bytes of the file decide which, not its name. The function checks the magic number, the exact size, and the CRC and
 * length of gzip; trailing bytes and a second gzip member are errors (zeros after the gzip data are ignored as
 * padding). Decompression stops at the size that the header implies, and memory is allocated only if the file is long
 * enough to fill it. Every message is "path: reason". The caller frees the array by sw_array_free; after an error it is
 * all zeros. */
SW_API sw_status sw_idx_load(const char *path, sw_array *array);

/* Options of sw_idx_images. */
typedef struct sw_images_options {
    size_t size; /* sizeof(sw_images_options) */
    /* 1 to 256. 0: the classes are the distinct labels in the file, sorted by value, and class_names are these
     * labels. */
    int classes;
    const char *const *class_names; /* NULL or `classes` names that outlive the source */
    double scale, shift;            /* both 0: 1/255 and 0, so that pixels lie in [0, 1] */
    SW_ADDED bool pictures;         /* x is a picture [height, width, 1], as convolutions take it; else a vector */
} sw_images_options;
/* Makes a source from two IDX files, images [n, height, width] and labels [n], n ≥ 1: x is a vector of height·width
 * numbers or a picture, y the class id, which must be below `classes`. options may be NULL. A number is pixel·scale +
 * shift. scale and shift are first rounded to the type of x, and each of the two operations rounds, so that the result
 * has the same bits on every machine. With the default scale, 0 becomes 0 and 255 becomes 1; the last bit of other
 * values may differ from that of pixel/255. */
SW_API sw_source *sw_idx_images(const char *images_path, const char *labels_path, const sw_images_options *options);

/* ---- MNIST (LeCun, Bottou, Bengio, Haffner 1998), Fashion-MNIST (Xiao, Rasul, Vollgraf 2017) ----- */

typedef enum sw_data_split { SW_TRAINING = 0, SW_TEST = 1 } sw_data_split; /* 60,000 and 10,000 samples */

/* Fashion-MNIST: pictures of 28×28 pixels in [0, 1] as vectors of 784 numbers, in ten classes. The four files (with or
 * without .gz; without it, if both exist) are in `directory`. If that is NULL, the function searches $SW_FASHION_MNIST,
 * /usr/share/datasets/fashion-mnist, and $XDG_CACHE_HOME/fashion-mnist (or ~/.cache/fashion-mnist), in this order, and
 * uses the first directory that has all four files. If there is none, the message names the directories, the files that
 * each lacks, and the command that installs the files. The number of samples and their shape are checked. */
SW_API sw_source *sw_fashion_mnist(const char *directory, sw_data_split split);
/* As sw_fashion_mnist, with samples [28, 28, 1] in place of vectors, for networks with convolutions. */
SW_API sw_source *sw_fashion_mnist_pictures(const char *directory, sw_data_split split);
/* Compares the SHA-256 of the decompressed contents of all four files with the published values (0.4 s). */
SW_API sw_status sw_fashion_mnist_verify(const char *directory);
/* Computes these checksums: of training images, training labels, test images, and test labels. */
SW_API sw_status sw_fashion_mnist_checksums(const char *directory, char sha256[4][65]);
/* The directory that sw_fashion_mnist uses: "/usr/share/datasets/fashion-mnist"; NULL and an error if there is none.
 * The text is valid until the next call by this thread. */
SW_API const char *sw_fashion_mnist_directory(const char *directory);

/* The names of the ten classes. The function does not need the files. */
SW_API const char *const *sw_fashion_mnist_classes(void);

/* The functions for MNIST, which work as those for Fashion-MNIST: the files have the same names and shapes. The
 * directories are $SW_MNIST, /usr/share/datasets/mnist, and $XDG_CACHE_HOME/mnist (or ~/.cache/mnist). Debian has no
 * package of MNIST; the message says which four files the directory must contain. Only sw_mnist_verify detects
 * Fashion-MNIST in the wrong directory. */
SW_API sw_source *sw_mnist(const char *directory, sw_data_split split);
SW_API sw_source *sw_mnist_pictures(const char *directory, sw_data_split split); /* samples [28, 28, 1] */
SW_API sw_status sw_mnist_verify(const char *directory);
SW_API sw_status sw_mnist_checksums(const char *directory, char sha256[4][65]);
SW_API const char *sw_mnist_directory(const char *directory);

/* Computes the SHA-256 (FIPS 180-4) of bytes as 64 lower-case hexadecimal digits and a terminating zero. */
SW_API void sw_sha256(const void *bytes, size_t length, char hex[65]);

#ifdef __cplusplus
}
#endif
#endif
