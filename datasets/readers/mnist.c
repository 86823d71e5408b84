/* MNIST and Fashion-MNIST: the paths of their four files, and their expected contents. */
#include <swale/extend.h>

#include "datasets/readers/idx.h"
#include "datasets/readers/idx_images.h"
#include "datasets/readers/sha256.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILES = 4, CLASSES = 10, SIDE = 28, PATH_LENGTH = 4096, PLACES = 3 };

/* Images and labels of each split, in the order of sw_data_split. */
static const char *const file_name[FILES] = {"train-images-idx3-ubyte", "train-labels-idx1-ubyte",
                                             "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"};
static const int64_t samples[2] = {60000, 10000};

typedef struct image_set {
    const char *name, *folder, *variable; /* folder: in /usr/share/datasets and in the cache */
    const char *advice;                   /* what to do if no directory has the files */
    const char *class_names[CLASSES];
    /* SHA-256 of the decompressed files, because distributions compress them differently. */
    const char *sha256[FILES];
} image_set;

static const image_set fashion = {
    .name = "Fashion-MNIST",
    .folder = "fashion-mnist",
    .variable = "SW_FASHION_MNIST",
    .advice = "`make deps` or `apt-get install dataset-fashion-mnist` installs it; set $SW_FASHION_MNIST if it is "
              "in another folder",
    .class_names = {"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag",
                    "Ankle boot"},
    .sha256 = {"c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
               "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
               "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
               "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"}};

static const image_set digits = {
    .name = "MNIST",
    .folder = "mnist",
    .variable = "SW_MNIST",
    .advice = "put train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and "
              "t10k-labels-idx1-ubyte there (no Debian package has them), or set $SW_MNIST to their folder",
    .class_names = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"},
    .sha256 = {"ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
               "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
               "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
               "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"}};

/* ---- Searching for the files ---- */

/* Whether a file can be opened. No error stays pending. */
static bool mnist_is_file(const char *path) {
    const bool had_error = sw_error() != NULL;
    int64_t bytes;
    const int file = sw_file_open(path, &bytes);
    if (file >= 0)
        close(file);
    else if (!had_error)
        sw_clear_error();
    return file >= 0;
}

/* The path of file i in a directory. If the file exists with and without .gz, the latter is used, because it needs no
 * decompression. */
static bool mnist_locate(const char *directory, int i, char path[PATH_LENGTH]) {
    static const char *const ending[2] = {"", ".gz"};
    for (int e = 0; e < 2; e++) {
        int length = snprintf(path, PATH_LENGTH, "%s/%s%s", directory, file_name[i], ending[e]);
        if (length > 0 && length < PATH_LENGTH && mnist_is_file(path))
            return true;
    }
    return false;
}

/* The index of the first file that is missing; FILES if none is missing. */
static int mnist_first_missing(const char *directory) {
    char path[PATH_LENGTH];
    for (int i = 0; i < FILES; i++)
        if (!mnist_locate(directory, i, path))
            return i;
    return FILES;
}

/* "$variable/tail"; false if the variable is not set or the result too long. */
static bool mnist_from_environment(char place[PATH_LENGTH], const char *variable, const char *tail) {
    const char *value = getenv(variable);
    if (!value || !*value)
        return false;
    int length = snprintf(place, PATH_LENGTH, "%s%s", value, tail);
    return length > 0 && length < PATH_LENGTH;
}

/* The directories that are searched if the caller names none. */
static int mnist_list_places(const image_set *set, char place[PLACES][PATH_LENGTH]) {
    char tail[64];
    int count = 0;
    if (mnist_from_environment(place[count], set->variable, ""))
        count++;
    snprintf(place[count++], PATH_LENGTH, "/usr/share/datasets/%s", set->folder);
    snprintf(tail, sizeof tail, "/.cache/%s", set->folder);
    if (mnist_from_environment(place[count], "XDG_CACHE_HOME", strrchr(tail, '/')) ||
        mnist_from_environment(place[count], "HOME", tail))
        count++;
    return count;
}

static sw_status mnist_fail_missing(const image_set *set, char place[PLACES][PATH_LENGTH], int places) {
    char list[700];
    size_t at = 0;
    for (int p = 0; p < places; p++) {
        int missing = mnist_first_missing(place[p]);
        int length = snprintf(list + at, sizeof list - at, "%s%.190s (no %s)", p ? ", " : "", place[p],
                              file_name[missing < FILES ? missing : 0]);
        at += length > 0 ? (size_t)length : 0;
    }
    return sw_fail(SW_ERR_IO, "%s: %s is not there, with or without .gz; %s", list, set->name, set->advice);
}

/* Copies the first directory that has all four files into `found`. */
static sw_status mnist_find_directory(const image_set *set, const char *directory, char found[PATH_LENGTH]) {
    char place[PLACES][PATH_LENGTH];
    int places = 1;
    if (!directory) {
        places = mnist_list_places(set, place);
    } else if (strlen(directory) < PATH_LENGTH) {
        strcpy(place[0], directory);
    } else {
        return sw_fail(SW_ERR_ARGUMENT, "%.190s...: a path of %zu bytes is too long", directory, strlen(directory));
    }
    for (int p = 0; p < places; p++) {
        if (mnist_first_missing(place[p]) == FILES) {
            strcpy(found, place[p]);
            return SW_OK;
        }
    }
    return mnist_fail_missing(set, place, places);
}

/* ---- Reading them ---- */

static sw_status mnist_find_file(const char *directory, int i, char path[PATH_LENGTH]) {
    if (mnist_locate(directory, i, path))
        return SW_OK;
    return sw_fail(SW_ERR_IO, "%.700s: %s does not exist any more", directory, file_name[i]);
}

static sw_source *mnist_open(const image_set *set, const char *directory, sw_data_split split, bool pictures) {
    char found[PATH_LENGTH], images[PATH_LENGTH], labels[PATH_LENGTH];
    if (split != SW_TRAINING && split != SW_TEST) {
        sw_fail(SW_ERR_ARGUMENT, "%s: split %d is neither SW_TRAINING nor SW_TEST", set->folder, (int)split);
        return NULL;
    }
    if (mnist_find_directory(set, directory, found) != SW_OK ||
        mnist_find_file(found, 2 * (int)split, images) != SW_OK ||
        mnist_find_file(found, 2 * (int)split + 1, labels) != SW_OK)
        return NULL;
    sw_images_options options = {
        .size = sizeof options, .classes = CLASSES, .class_names = set->class_names, .pictures = pictures};
    return swd_images_open(images, labels, &options, (int64_t[]){samples[split], SIDE, SIDE});
}

static sw_status mnist_checksum(const char *path, char sha256[65]) {
    unsigned char header[SWD_IDX_HEADER];
    sw_array array;
    swd_sha256 sha;
    SW_TRY(sw_idx_load(path, &array));
    swd_sha256_begin(&sha);
    swd_sha256_add(&sha, header, swd_idx_header(&array, header));
    swd_sha256_add(&sha, array.data, (size_t)sw_array_count(&array));
    swd_sha256_end(&sha, sha256);
    sw_array_free(&array);
    return SW_OK;
}

static sw_status mnist_checksums(const image_set *set, const char *directory, char sha256[FILES][65]) {
    char found[PATH_LENGTH], path[PATH_LENGTH];
    SW_TRY(mnist_find_directory(set, directory, found));
    for (int i = 0; i < FILES; i++) {
        SW_TRY(mnist_find_file(found, i, path));
        SW_TRY(mnist_checksum(path, sha256[i]));
    }
    return SW_OK;
}

static sw_status mnist_verify(const image_set *set, const char *directory) {
    char found[PATH_LENGTH], path[PATH_LENGTH], sha256[65];
    SW_TRY(mnist_find_directory(set, directory, found));
    for (int i = 0; i < FILES; i++) {
        SW_TRY(mnist_find_file(found, i, path));
        SW_TRY(mnist_checksum(path, sha256));
        if (strcmp(sha256, set->sha256[i]) != 0)
            return sw_fail(SW_ERR_FORMAT, "%.700s: SHA-256 of the contents is %s, the published one %s", path, sha256,
                           set->sha256[i]);
    }
    return SW_OK;
}

static const char *mnist_directory(const image_set *set, const char *directory, char kept[PATH_LENGTH]) {
    char found[PATH_LENGTH]; /* a copy, because `directory` may be the text that the last call returned */
    if (mnist_find_directory(set, directory, found) != SW_OK)
        return NULL;
    return strcpy(kept, found);
}

sw_source *sw_fashion_mnist(const char *directory, sw_data_split split) {
    return mnist_open(&fashion, directory, split, false);
}

sw_source *sw_fashion_mnist_pictures(const char *directory, sw_data_split split) {
    return mnist_open(&fashion, directory, split, true);
}

sw_status sw_fashion_mnist_verify(const char *directory) {
    return mnist_verify(&fashion, directory);
}

sw_status sw_fashion_mnist_checksums(const char *directory, char sha256[FILES][65]) {
    return mnist_checksums(&fashion, directory, sha256);
}

const char *sw_fashion_mnist_directory(const char *directory) {
    static _Thread_local char kept[PATH_LENGTH];
    return mnist_directory(&fashion, directory, kept);
}

const char *const *sw_fashion_mnist_classes(void) {
    return fashion.class_names;
}

sw_source *sw_mnist(const char *directory, sw_data_split split) {
    return mnist_open(&digits, directory, split, false);
}

sw_source *sw_mnist_pictures(const char *directory, sw_data_split split) {
    return mnist_open(&digits, directory, split, true);
}

sw_status sw_mnist_verify(const char *directory) {
    return mnist_verify(&digits, directory);
}

sw_status sw_mnist_checksums(const char *directory, char sha256[FILES][65]) {
    return mnist_checksums(&digits, directory, sha256);
}

const char *sw_mnist_directory(const char *directory) {
    static _Thread_local char kept[PATH_LENGTH];
    return mnist_directory(&digits, directory, kept);
}
