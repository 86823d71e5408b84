/* Files: named arrays and texts in the format safetensors; parameters to and from them. */
#ifndef SWALE_ARCHIVE_H
#define SWALE_ARCHIVE_H

#include <swale/params.h>

#ifdef __cplusplus
extern "C" {
#endif

/* An archive is a set of named arrays, and of texts by key, in memory. Its file is in the format
 * safetensors (huggingface/safetensors, version 0.4 and later), which Python's package of that name reads
 * and writes. Equal contents give equal files, byte for byte, in whatever order they were put in.
 *
 *     sw_archive *a = sw_archive_new();
 *     sw_archive_put(a, "directions", sw_array_view(d, SW_F32, SW_SHAPE(2, dim)));
 *     sw_archive_set_text(a, "about", "two eigenvectors");
 *     sw_status status = sw_archive_save(a, "directions.safetensors");
 *     sw_archive_free(a);
 *
 *     sw_archive *a = sw_archive_load("directions.safetensors");
 *     sw_array d = sw_archive_get(a, "directions");
 *
 * Every message about a file begins with its path. Functions on a NULL archive do nothing, and give what
 * they give after an error, so that a program asks once. */
typedef struct sw_archive sw_archive;

/* One without contents. */
SW_API sw_archive *sw_archive_new(void);
/* Reads a whole file into memory. Every rule of the format is checked: a header of at most 100,000,000 bytes
 * within the file; the arrays one after the other from the first byte of the data to the last; each as
 * long as its type and shape say; no name twice; texts that are texts. Besides, at most SW_MAX_RANK axes.
 * F32, F64, I32, U8 and I64 become arrays of their type, F16 and BF16 become f32 (exactly);
 * arrays of the format's other types are listed without data. NULL and an error. */
SW_API sw_archive *sw_archive_load(const char *path);
SW_API void sw_archive_free(sw_archive *archive);

/* Adds an array, which is read in place when the archive is saved: it must live until then. Names are UTF-8,
 * not empty, and taken once; "__metadata__" is the format's own. After an error the archive is not
 * saved any more. */
SW_API sw_status sw_archive_put(sw_archive *archive, const char *name, sw_array array);
/* The same with a copy: for arrays that do not live so long. */
SW_API sw_status sw_archive_put_copy(sw_archive *archive, const char *name, sw_array array);
/* Sets the text of a key, or replaces it. Both are UTF-8, and copied. */
SW_API sw_status sw_archive_set_text(sw_archive *archive, const char *key, const char *text);
/* Writes the file: to a temporary file in the same folder, which takes the old one's place when all of it is
 * on the disk. So there is the old file or the new one, whole, whatever happens in between; after
 * an error it is the old one (unless the message says otherwise). A symbolic link is followed, but for one
 * that leads nowhere; an existing file's permissions are kept. Anything but an ordinary file is refused, and so
 * is a file that is write-protected. A file beyond the process's limit (`ulimit -f`) is an error, without a
 * signal. Names of 255 bytes and paths of 4,095 can be written: the temporary file has a short name.
 * Two that save under one name at the same time leave one of both files, whole. */
SW_API sw_status sw_archive_save(const sw_archive *archive, const char *path);

SW_API int sw_archive_count(const sw_archive *archive); /* of arrays */
typedef struct sw_archive_item {
    const char *name;
    const char *stored; /* the type in the file: "BF16" */
    sw_array array;     /* as sw_archive_get gives it; data NULL where the type is not read */
} sw_archive_item;
/* By their order in the file, or as they were put in; all zeros beyond the last. */
SW_API sw_archive_item sw_archive_at(const sw_archive *archive, int index);
SW_API bool sw_archive_has(const sw_archive *archive, const char *name);
/* A view of the archive's memory, until it is freed. data NULL and an error: there is none of that name, or
 * its type is not read. */
SW_API sw_array sw_archive_get(const sw_archive *archive, const char *name);
/* NULL, and no error: no such key. */
SW_API const char *sw_archive_text(const sw_archive *archive, const char *key);
SW_API int sw_archive_text_count(const sw_archive *archive);
SW_API const char *sw_archive_text_key(const sw_archive *archive, int index); /* of a text; NULL beyond the last */
/* The path it was opened from; NULL for one that was not. */
SW_API const char *sw_archive_path(const sw_archive *archive);

/* Writes all parameters by name, in their type, to a file, or reads them from one. What is tied is written
 * once; a text says under which name: {"head.weight": "embedding.weight"}. Nothing else is in the file, so
 * equal parameters give equal files.
 *
 * Reading: F64, F32, F16 and BF16 are converted to the type of the parameters, f64 rounded to the nearest
 * f32; a finite number beyond f32's range is an error. Names that are missing, that are not expected, whose shape
 * or type is another: all are listed in one message, and nothing is changed after any error. Tied
 * parameters may be in the file under any of their names, or under several with equal numbers.
 * Afterwards it is as after sw_params_mark_changed, and their gradient block is fresh. */
SW_API sw_status sw_params_save(const sw_params *params, const char *path);
SW_API sw_status sw_params_load(sw_params *params, const char *path);
/* The same with an archive that holds more. Each name has the prefix in front (NULL: none), and
 * only what begins with it is read: two models, or a model and what else a program keeps, share
 * a file. Packing copies nothing: see sw_archive_put. */
SW_API sw_status sw_params_pack(const sw_params *params, sw_archive *archive, const char *prefix);
SW_API sw_status sw_params_unpack(sw_params *params, const sw_archive *archive, const char *prefix);

#ifdef __cplusplus
}
#endif
#endif
