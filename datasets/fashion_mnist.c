/* Fashion-MNIST: where its four files are, what must be in them. */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>

enum { FILES = 4, CLASSES = 10, SIDE = 28, PATH_LENGTH = 4096, PLACES = 3 };

static const char *const class_names[CLASSES] = {"T-shirt/top", "Trouser",   "Pullover", "Dress",
                                                 "Coat",        "Sandal",    "Shirt",    "Sneaker",
                                                 "Bag",         "Ankle boot"};

/* Images and labels of each split, in the order of sw_split. SHA-256 of the decompressed files: the
 * distributions compress them each in their own way. */
static const struct {
    const char *name, *sha256;
} file[FILES] = {
    {"train-images-idx3-ubyte", "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"},
    {"train-labels-idx1-ubyte", "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"},
    {"t10k-images-idx3-ubyte", "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"},
    {"t10k-labels-idx1-ubyte", "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"}};

static const int64_t samples[2] = {60000, 10000};

/* ---- Looking for the files ---- */

/* The only test for a file, by opening it: that needs nothing but the C library. */
static bool is_there(const char *path) {
    FILE *f = fopen(path, "rb");
    if (f)
        fclose(f);
    return f != NULL;
}

/* The path of file i in a directory, without .gz if both are there: nothing to inflate. */
static bool locate(const char *directory, int i, char path[PATH_LENGTH]) {
    static const char *const ending[2] = {"", ".gz"};
    for (int e = 0; e < 2; e++) {
        int length = snprintf(path, PATH_LENGTH, "%s/%s%s", directory, file[i].name, ending[e]);
        if (length > 0 && length < PATH_LENGTH && is_there(path))
            return true;
    }
    return false;
}

/* The first of the four files that is missing; FILES if none is. */
static int first_missing(const char *directory) {
    char path[PATH_LENGTH];
    for (int i = 0; i < FILES; i++)
        if (!locate(directory, i, path))
            return i;
    return FILES;
}

/* "$variable/tail"; false if the variable is not set or the result too long. */
static bool from_environment(char place[PATH_LENGTH], const char *variable, const char *tail) {
    const char *value = getenv(variable);
    if (!value || !*value)
        return false;
    int length = snprintf(place, PATH_LENGTH, "%s%s", value, tail);
    return length > 0 && length < PATH_LENGTH;
}

/* The places to look in if the caller names none. */
static int list_places(char place[PLACES][PATH_LENGTH]) {
    int count = 0;
    if (from_environment(place[count], "SW_FASHION_MNIST", ""))
        count++;
    strcpy(place[count++], "/usr/share/datasets/fashion-mnist");
    if (from_environment(place[count], "XDG_CACHE_HOME", "/fashion-mnist") ||
        from_environment(place[count], "HOME", "/.cache/fashion-mnist"))
        count++;
    return count;
}

static sw_status fail_missing(char place[PLACES][PATH_LENGTH], int places) {
    char list[700];
    size_t at = 0;
    for (int p = 0; p < places; p++) {
        int missing = first_missing(place[p]);
        int length = snprintf(list + at, sizeof list - at, "%s%.190s (no %s)", p ? ", " : "",
                              place[p], file[missing < FILES ? missing : 0].name);
        at += length > 0 ? (size_t)length : 0;
    }
    return sw_fail(SW_ERR_IO,
                   "%s: Fashion-MNIST is not there, with or without .gz; `make deps` or `apt-get "
                   "install dataset-fashion-mnist` gets it, $SW_FASHION_MNIST says where it is",
                   list);
}

/* Copies into `found` the first place that has all four files. */
static sw_status find_directory(const char *directory, char found[PATH_LENGTH]) {
    char place[PLACES][PATH_LENGTH];
    int places = 1;
    if (!directory) {
        places = list_places(place);
    } else if (strlen(directory) < PATH_LENGTH) {
        strcpy(place[0], directory);
    } else {
        return sw_fail(SW_ERR_ARGUMENT, "%.190s...: a path of %zu bytes is too long", directory,
                       strlen(directory));
    }
    for (int p = 0; p < places; p++) {
        if (first_missing(place[p]) == FILES) {
            strcpy(found, place[p]);
            return SW_OK;
        }
    }
    return fail_missing(place, places);
}

const char *sw_fashion_mnist_directory(const char *directory) {
    static _Thread_local char kept[PATH_LENGTH];
    char found[PATH_LENGTH]; /* `directory` may be what the last call returned */
    if (find_directory(directory, found) != SW_OK)
        return NULL;
    return strcpy(kept, found);
}

/* ---- Reading them ---- */

static sw_status find_file(const char *directory, int i, char path[PATH_LENGTH]) {
    if (locate(directory, i, path))
        return SW_OK;
    return sw_fail(SW_ERR_IO, "%.700s: %s is gone", directory, file[i].name);
}

sw_source *sw_fashion_mnist(const char *directory, sw_split split) {
    char found[PATH_LENGTH], images[PATH_LENGTH], labels[PATH_LENGTH];
    if (split != SW_TRAINING && split != SW_TEST) {
        sw_fail(SW_ERR_ARGUMENT, "fashion-mnist: split %d is neither SW_TRAINING nor SW_TEST",
                (int)split);
        return NULL;
    }
    if (find_directory(directory, found) != SW_OK ||
        find_file(found, 2 * (int)split, images) != SW_OK ||
        find_file(found, 2 * (int)split + 1, labels) != SW_OK)
        return NULL;
    sw_images_options options = {
        .size = sizeof options, .classes = CLASSES, .class_names = class_names};
    return swd_images_open(images, labels, &options, (int64_t[]){samples[split], SIDE, SIDE});
}

static sw_status verify_file(const char *directory, int i) {
    char path[PATH_LENGTH], hex[65];
    unsigned char header[SWD_IDX_HEADER];
    sw_array array;
    swd_sha256 sha;
    SW_TRY(find_file(directory, i, path));
    SW_TRY(sw_idx_read(path, &array));
    swd_sha256_begin(&sha);
    swd_sha256_add(&sha, header, swd_idx_header(&array, header));
    swd_sha256_add(&sha, array.data, (size_t)sw_array_count(&array));
    swd_sha256_end(&sha, hex);
    sw_idx_free(&array);
    if (strcmp(hex, file[i].sha256) != 0)
        return sw_fail(SW_ERR_FORMAT, "%.700s: SHA-256 of the contents is %s, the published one %s",
                       path, hex, file[i].sha256);
    return SW_OK;
}

sw_status sw_fashion_mnist_verify(const char *directory) {
    char found[PATH_LENGTH];
    SW_TRY(find_directory(directory, found));
    for (int i = 0; i < FILES; i++)
        SW_TRY(verify_file(found, i));
    return SW_OK;
}
