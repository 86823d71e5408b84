/* A source from a folder that contains one folder of pictures per class. */
#define _POSIX_C_SOURCE 200809L /* dirent.h, stat */
#include <swale/extend.h>

#include "datasets/memory_source.h"
#include "datasets/path_error.h"
#include "datasets/pictures/resize.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- Lists of names ---- */

typedef struct names {
    char **name;
    int64_t count, capacity;
} names;

typedef struct folder {
    const char *path;
    bool first_error; /* no error was pending when the reader began */
    names classes;
    names files;    /* full paths, in the order of the classes */
    int64_t *first; /* [classes + 1]: the index in `files` of the first file of each class */
    sw_image_folder_options o;
    const char *size_from; /* the path of the first picture, whose size all others must have */
} folder;

static sw_status folder_fail_memory(const folder *f) {
    return swd_path_fail_memory(f->path, f->first_error);
}

static void names_free(names *list) {
    for (int64_t i = 0; i < list->count; i++)
        sw_free(list->name[i]);
    sw_free(list->name);
    *list = (names){0};
}

/* Adds a name, and takes it over. False if there is no memory. */
static bool names_add(names *list, char *name) {
    if (name && list->count == list->capacity) {
        const int64_t capacity = list->capacity ? 2 * list->capacity : 64;
        if (sw_resize_array_for(SW_ACCOUNT_DATA, &list->name, list->count, capacity, sizeof *list->name) != SW_OK) {
            sw_free(name);
            return false;
        }
        list->capacity = capacity;
    }
    if (name)
        list->name[list->count++] = name;
    return name != NULL;
}

static int names_compare(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Returns "directory/name", which the caller frees. */
static char *folder_join_path(const char *directory, const char *name) {
    size_t length = strlen(directory);
    const char *slash = length > 0 && directory[length - 1] == '/' ? "" : "/";
    size_t size = length + strlen(name) + 2;
    char *path = sw_alloc_for(SW_ACCOUNT_TEMPORARIES, size);
    if (path)
        snprintf(path, size, "%s%s%s", directory, slash, name);
    return path;
}

static bool folder_is_picture_name(const char *name) {
    static const char *const endings[3] = {".png", ".jpg", ".jpeg"};
    const size_t length = strlen(name);
    for (int e = 0; e < 3; e++) {
        size_t n = strlen(endings[e]), i = 0;
        while (i < n && length > n && tolower((unsigned char)name[length - n + i]) == endings[e][i])
            i++;
        if (i == n)
            return true;
    }
    return false;
}

/* ---- Listing ---- */

typedef sw_status (*visit_function)(folder *f, const char *name, char *path, const struct stat *kind);

/* Calls visit for every entry of a directory that is not hidden; visit takes over `path`. */
static sw_status folder_visit(folder *f, const char *directory, visit_function visit) {
    DIR *open = opendir(directory);
    if (!open)
        return sw_fail(SW_ERR_IO, "%.700s: cannot be opened as a folder: %s", directory, strerror(errno));
    sw_status status = SW_OK;
    const struct dirent *entry;
    while (status == SW_OK && (errno = 0, entry = readdir(open))) { // NOLINT(concurrency-mt-unsafe): not shared
        if (entry->d_name[0] == '.')
            continue;
        struct stat kind;
        char *path = folder_join_path(directory, entry->d_name);
        if (!path) {
            status = folder_fail_memory(f);
        } else if (stat(path, &kind) != 0) {
            status = sw_fail(SW_ERR_IO, "%.700s: cannot be read: %s", path, strerror(errno));
            sw_free(path);
        } else {
            status = visit(f, entry->d_name, path, &kind);
        }
    }
    if (status == SW_OK && errno)
        status = sw_fail(SW_ERR_IO, "%.700s: cannot be listed: %s", directory, strerror(errno));
    closedir(open);
    return status;
}

static sw_status folder_visit_top(folder *f, const char *name, char *path, const struct stat *kind) {
    sw_status status = SW_OK;
    if (S_ISDIR(kind->st_mode)) {
        if (!names_add(&f->classes, sw_strdup(name)))
            status = folder_fail_memory(f);
    } else if (folder_is_picture_name(name)) {
        status = sw_fail(SW_ERR_FORMAT, "%.700s: a picture outside the folders of the classes", path);
    }
    sw_free(path);
    return status;
}

static sw_status folder_visit_picture(folder *f, const char *name, char *path, const struct stat *kind) {
    sw_status status = SW_OK;
    if (S_ISDIR(kind->st_mode))
        status = sw_fail(SW_ERR_FORMAT, "%.700s: a folder within the folder of a class", path);
    else if (!S_ISREG(kind->st_mode))
        status = sw_fail(SW_ERR_FORMAT, "%.700s: not an ordinary file", path);
    else if (!folder_is_picture_name(name))
        status = sw_fail(SW_ERR_FORMAT, "%.700s: not a picture: ends in none of .png, .jpg, .jpeg", path);
    if (status != SW_OK) {
        sw_free(path);
        return status;
    }
    return names_add(&f->files, path) ? SW_OK : folder_fail_memory(f);
}

static sw_status folder_list_class(folder *f, int64_t c) {
    char *directory = folder_join_path(f->path, f->classes.name[c]);
    if (!directory)
        return folder_fail_memory(f);
    const int64_t first = f->first[c] = f->files.count;
    sw_status status = folder_visit(f, directory, folder_visit_picture);
    if (status == SW_OK && f->files.count == first)
        status = sw_fail(SW_ERR_FORMAT, "%.700s: a class without pictures", directory);
    if (status == SW_OK)
        qsort(f->files.name + first, (size_t)(f->files.count - first), sizeof(char *), names_compare);
    sw_free(directory);
    return status;
}

static sw_status folder_list_pictures(folder *f) {
    enum { MOST_CLASSES = 1 << 20 };
    SW_TRY(folder_visit(f, f->path, folder_visit_top));
    const int64_t classes = f->classes.count;
    if (classes < 1 || classes > MOST_CLASSES)
        return sw_fail(SW_ERR_FORMAT, "%.700s: holds %s: a folder for each class is needed, with its pictures", f->path,
                       classes ? "too many folders" : "no folder");
    qsort(f->classes.name, (size_t)classes, sizeof(char *), names_compare);
    f->first = sw_alloc_array_for(SW_ACCOUNT_DATA, classes + 1, sizeof *f->first);
    if (!f->first)
        return folder_fail_memory(f);
    for (int64_t c = 0; c < classes; c++)
        SW_TRY(folder_list_class(f, c));
    f->first[classes] = f->files.count;
    return SW_OK;
}

/* ---- Reading ---- */

/* Allocates the memory for all pictures when the size of the first one is known. */
static sw_status folder_allocate(folder *f, swd_memory_source *s, const char *path, const sw_array *picture) {
    if (f->o.height == 0) {
        f->o.height = picture->shape[0];
        f->o.width = picture->shape[1];
        f->size_from = path;
    }
    s->x = sw_array_new(SW_U8, SW_SHAPE(f->files.count, f->o.height, f->o.width, f->o.channels));
    return s->x.data ? SW_OK : folder_fail_memory(f);
}

/* Copies picture i to its place in x, resized if the options give a size. */
static sw_status folder_put_picture(folder *f, swd_memory_source *s, int64_t i, const sw_array *picture) {
    const char *path = f->files.name[i];
    const int64_t height = f->o.height, width = f->o.width, bytes = height * width * f->o.channels;
    unsigned char *x = (unsigned char *)s->x.data + i * bytes;
    if (picture->shape[0] == height && picture->shape[1] == width) {
        /* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): a picture that was read has data */
        memcpy(x, picture->data, (size_t)bytes);
        return SW_OK;
    }
    if (f->size_from)
        return sw_fail(SW_ERR_FORMAT,
                       "%.350s: %lldx%lld pixels, but %.350s has %lldx%lld; with options "
                       "height and width they are resized",
                       path, (long long)picture->shape[1], (long long)picture->shape[0], f->size_from, (long long)width,
                       (long long)height);
    return swd_picture_resize(path, picture, height, width, x);
}

static sw_status folder_read_pictures(folder *f, swd_memory_source *s) {
    sw_status status = SW_OK;
    for (int64_t i = 0; i < f->files.count && status == SW_OK; i++) {
        sw_array picture;
        status = sw_picture_load(f->files.name[i], f->o.channels, &picture);
        if (status == SW_OK && i == 0)
            status = folder_allocate(f, s, f->files.name[i], &picture);
        if (status == SW_OK)
            status = folder_put_picture(f, s, i, &picture);
        sw_array_free(&picture);
    }
    return status;
}

static sw_status folder_label(folder *f, swd_memory_source *s) {
    s->y = sw_array_new(SW_I32, SW_SHAPE(f->files.count));
    if (!s->y.data)
        return folder_fail_memory(f);
    int32_t *class = s->y.data;
    for (int64_t c = 0; c < f->classes.count; c++)
        for (int64_t i = f->first[c]; i < f->first[c + 1]; i++)
            class[i] = (int32_t)c;
    return SW_OK;
}

static sw_status folder_check_options(sw_image_folder_options *o, const sw_image_folder_options *given) {
    if (given)
        SW_TRY(sw_options_copy("image folder", "sw_image_folder_options", o, sizeof *o, given, sizeof *o));
    if (o->channels == 0)
        o->channels = 3;
    if (o->channels != 1 && o->channels != 3)
        return sw_fail(SW_ERR_ARGUMENT, "image folder: %d channels; 1 (gray) or 3 (RGB) is needed", o->channels);
    const bool none = o->height == 0 && o->width == 0;
    if (!none && (o->height < 1 || o->height > SWD_MOST_SIDE || o->width < 1 || o->width > SWD_MOST_SIDE))
        return sw_fail(SW_ERR_ARGUMENT, "image folder: height %lld and width %lld; 1 to %d each, or both 0",
                       (long long)o->height, (long long)o->width, SWD_MOST_SIDE);
    return swd_check_pixel_scale("image folder", &o->scale, &o->shift, 1.0 / 255);
}

/* Sets what the options determine, when x is complete. */
static void folder_finish(const folder *f, swd_memory_source *s) {
    s->scale = f->o.scale;
    s->shift = f->o.shift;
    if (f->o.flat) {
        s->x.shape[1] *= s->x.shape[2] * s->x.shape[3];
        s->x.rank = 2;
    }
    swd_memory_source_finish(s);
}

static sw_status folder_load(folder *f, swd_memory_source *s) {
    SW_TRY(folder_list_pictures(f));
    SW_TRY(folder_read_pictures(f, s));
    SW_TRY(folder_label(f, s));
    s->source.classes = (int)f->classes.count;
    s->names = f->classes.name; /* from here on, the source owns the names */
    s->source.class_names = (const char *const *)s->names;
    f->classes = (names){0};
    folder_finish(f, s);
    return SW_OK;
}

sw_source *sw_image_folder(const char *path, const sw_image_folder_options *options) {
    folder f = {.path = path, .first_error = !sw_error()};
    if (folder_check_options(&f.o, options) != SW_OK)
        return NULL;
    if (!path) {
        sw_fail(SW_ERR_ARGUMENT, "image folder: the path is NULL");
        return NULL;
    }
    swd_memory_source *s = swd_memory_source_new(sizeof(swd_memory_source));
    sw_status status = s ? folder_load(&f, s) : folder_fail_memory(&f);
    names_free(&f.classes);
    names_free(&f.files);
    sw_free(f.first);
    if (status == SW_OK)
        return &s->source;
    if (s)
        sw_source_free(&s->source);
    return NULL;
}

/* ---- One picture ---- */

static sw_status folder_convert_sample(const swd_memory_source *s, sw_dtype type, sw_array *out) {
    const int64_t first = 0;
    *out = sw_array_new(type, s->source.x_rank, s->source.x_shape);
    return out->data ? s->source.gather(&s->source, &first, 1, 0, type, out->data, NULL) : SW_ERR_MEMORY;
}

/* The picture is read as a folder with one file. */
sw_status sw_picture_sample(const char *path, const sw_image_folder_options *options, sw_dtype type, sw_array *out) {
    folder f = {.path = path, .first_error = !sw_error()};
    if (!out)
        return sw_fail(SW_ERR_ARGUMENT, "picture sample: the array for the result is NULL");
    *out = (sw_array){0};
    if (!path)
        return sw_fail(SW_ERR_ARGUMENT, "picture sample: the path is NULL");
    if (!sw_dtype_is_computed(type))
        return sw_fail(SW_ERR_TYPE, "picture sample: the type is %s; f32 or f64 is needed", sw_dtype_name(type));
    SW_TRY(folder_check_options(&f.o, options));
    swd_memory_source *s = swd_memory_source_new(sizeof(swd_memory_source));
    if (!s)
        return folder_fail_memory(&f);
    sw_status status = names_add(&f.files, sw_strdup(path)) ? folder_read_pictures(&f, s) : folder_fail_memory(&f);
    if (status == SW_OK) {
        folder_finish(&f, s);
        status = folder_convert_sample(s, type, out);
    }
    if (status != SW_OK)
        sw_array_free(out);
    names_free(&f.files);
    sw_source_free(&s->source);
    return status;
}
