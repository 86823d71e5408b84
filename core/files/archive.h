/* Files: named arrays and texts in the safetensors format, and parameters that are saved to and loaded from them.
 *
 * An archive is a set of arrays with names, and of texts with keys, in memory. sw_archive_save writes it to a file in
 * the safetensors format (huggingface/safetensors, version 0.4 and later), which the Python package of that name reads
 * and writes. Equal contents give equal files, byte for byte, whatever the order in which they were added.
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
 * Every message about a file begins with its path. A function that receives a NULL archive does nothing and returns the
 * value that it returns after an error, so that a program needs to check for an error only once.
 */
#ifndef SWALE_ARCHIVE_H
#define SWALE_ARCHIVE_H

#include <swale/params.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Archives ---- */

typedef struct sw_archive sw_archive;

/* Makes an empty archive; NULL after an error. */
SW_API sw_archive *sw_archive_new(void);
/* Reads a whole file into memory and checks every rule of the format: the header has at most 100,000,000 bytes and lies
 * within the file; the arrays follow one another without gaps from the first byte of the data to the last; each is as
 * long as its type and shape require; no name occurs twice; texts are strings. In addition, an array has at most
 * SW_MAX_RANK axes. F32, F64, F16, BF16, I32, U8 and I64 become arrays of their type (sw_vector_convert of vector.h
 * converts between the first four); arrays of the other types of the format are listed without data. NULL and an error
 * if the file cannot be read or breaks a rule. */
SW_API sw_archive *sw_archive_load(const char *path);
/* Frees the archive with the arrays and texts that it holds (not the data passed to sw_archive_put). Accepts NULL. */
SW_API void sw_archive_free(sw_archive *archive);

/* Adds an array. The archive reads its data in place when it is saved, so the data must be valid until then. Names are
 * UTF-8 and not empty, and each may be used once; "__metadata__" is reserved by the format. After an error
 * sw_archive_save refuses to write the archive, because it is incomplete. */
SW_API sw_status sw_archive_put(sw_archive *archive, const char *name, sw_array array);
/* As sw_archive_put, but the archive keeps a copy, so that the array need not outlive the call. */
SW_API sw_status sw_archive_put_copy(sw_archive *archive, const char *name, sw_array array);
/* As sw_archive_put, but the file contains the numbers in the type `type`. If it is not the type of the array, both
 * must be floating-point types (SW_ERR_TYPE). When the archive is saved, each number is rounded once, to the nearest
 * number of `type`; if two are equally near, to the one whose last bit is 0. No converted copy of the array is made. If
 * a finite number would become infinite, sw_archive_save fails (SW_ERR_NONFINITE); Inf and NaN are saved as such.
 * sw_archive_get returns the array that was put. */
SW_API sw_status sw_archive_put_as(sw_archive *archive, const char *name, sw_array array, sw_dtype type);
/* Sets or replaces the text of a key. Both are UTF-8 and are copied. An error has the same effect as in
 * sw_archive_put. */
SW_API sw_status sw_archive_set_text(sw_archive *archive, const char *key, const char *text);
/* Writes the archive to a temporary file in the same folder and renames it to `path` when all of it is on the disk.
 * Therefore the path always names a complete file, the old one or the new one, even if the program or the machine
 * stops; after an error it is the old one (unless the message says otherwise). A symbolic link is followed, but a link
 * to a file that does not exist is an error. The permissions of an existing file are kept. A path that names something
 * else than a regular file is an error, and so is a write-protected file. If the file exceeds the limit of the process
 * (`ulimit -f`), that is an error, without a signal. Names of up to 255 bytes and paths of up to 4,095 bytes can be
 * written: the temporary file has a short name. If two threads or processes save to one path at the same time, the
 * complete file of one of them remains. */
SW_API sw_status sw_archive_save(const sw_archive *archive, const char *path);

SW_API int sw_archive_count(const sw_archive *archive); /* the number of arrays */
/* An array of an archive. */
typedef struct sw_archive_item {
    const char *name;
    const char *stored; /* the type in the file: "BF16" */
    sw_array array;     /* as sw_archive_get returns it; data is NULL if the type is not supported */
} sw_archive_item;
/* The array with an index: in the order of the file, or in the order in which the arrays were added. All zeros if there
 * is no such index. */
SW_API sw_archive_item sw_archive_at(const sw_archive *archive, int index);
SW_API bool sw_archive_has(const sw_archive *archive, const char *name); /* whether there is an array with this name */
/* A view of the array with this name, valid until the archive is freed. data is NULL and an error if there is no array
 * with this name (SW_ERR_ARGUMENT), or if its type in the file is not supported (SW_ERR_TYPE). */
SW_API sw_array sw_archive_get(const sw_archive *archive, const char *name);
/* The text of a key, valid until it is replaced or the archive is freed. NULL, without an error, if there is no such
 * key. */
SW_API const char *sw_archive_text(const sw_archive *archive, const char *key);
/* The number of texts, and the key of the text with an index; NULL if there is no such index. */
SW_API int sw_archive_text_count(const sw_archive *archive);
SW_API const char *sw_archive_text_key(const sw_archive *archive, int index);
/* The path from which the archive was loaded; NULL if it was not loaded. */
SW_API const char *sw_archive_path(const sw_archive *archive);

/* ---- Parameters ---- */

/* Save all parameters to a file by name, in the type of x, or load them. Tied parameters are written once, and a text
 * gives the name under which they are stored: {"head.weight": "embedding.weight"}. The file contains nothing else, so
 * that equal parameters give equal files.
 *
 * Parameters whose storage type is f16 or bf16 are saved and loaded as the f32 numbers of x, of which leaves read a
 * rounded copy (params.h). A file of sw_params_save therefore restores x bit for bit.
 *
 * Loading converts F64, F32, F16 and BF16 to the type of x. F16 and BF16 are exact; f64 is rounded to the nearest f32.
 * A finite number beyond the range of f32 is an error, and so is one beyond the range of the storage type in a
 * parameter that is trained: it would be infinite for all leaves. (A frozen parameter may hold it: an attention mask.)
 * One message reports every mismatch (missing names, unexpected names, other shapes, other types, numbers that are too
 * large), and nothing is changed after any error (SW_ERR_FORMAT for a mismatch). Tied parameters may be in the file
 * under any of their names, or under several names with equal numbers. After loading, the parameters are marked as
 * changed (sw_params_mark_changed) and their gradient block is fresh.
 *
 * PyTorch's files. Names may equal the keys of a state_dict that the Python package has saved (sw_module_set_name).
 * PyTorch's convolutions have their channels first, so that its arrays have another order: see channels_first below.
 * PyTorch's batch norm counts its batches in NAME.num_batches_tracked, an I64 of rank 0. If the parameters
 * contain NAME.running_mean, but not NAME.num_batches_tracked, it is ignored. If they contain it (a buffer), the number
 * is converted to the type of x, which must represent it exactly. The masks NAME.attn.bias [1, 1, n, n] and
 * NAME.attn.masked_bias that GPT-2 of the package transformers has are ignored if the parameters contain
 * NAME.attn.c_attn.weight. */
SW_API sw_status sw_params_save(const sw_params *params, const char *path);
SW_API sw_status sw_params_load(sw_params *params, const char *path);
/* Options of a file with parameters to be saved. */
typedef struct sw_save_options {
    size_t size; /* sizeof(sw_save_options) */
    /* The type in the file. 0: the type of x, f32 or f64. SW_F16, SW_BF16: every number is rounded to this type, as by
     * sw_archive_put_as, except those of buffers (running statistics), which keep the type of x, because their leaves
     * read x itself. A model with this storage type that loads the file computes the same outputs as before, bit for
     * bit; training continues from the rounded numbers. Other types are an error (SW_ERR_TYPE). */
    sw_dtype storage;
    /* Write the arrays in PyTorch's order and shapes, which the layers declare (sw_param_options.channels_first):
     * weights of convolutions as [out,in,kh,kw], those of GPT-2's linear layers as [in,out], and the columns of a
     * linear layer behind a flatten of [h,w,c] in the order of [c,h,w]. Other arrays do not change. The file records
     * this in the text "order", "channels_first", so that loading functions need no option. It is an error
     * (SW_ERR_STATE) if the order of a parameter is not known, because its layer was built without the shape of its
     * input. Permuted copies exist until the archive is freed. */
    SW_ADDED bool channels_first;
} sw_save_options;
/* Options of a file with parameters to be loaded. */
typedef struct sw_load_options {
    size_t size;         /* sizeof(sw_load_options) */
    bool channels_first; /* the arrays have PyTorch's order: see sw_save_options */
    /* The beginning of names of parameters that the names in the file lack: with "transformer.", transformer.h.0.ln_1
     * is h.0.ln_1 in the file. NULL: none. */
    SW_ADDED const char *omitted;
} sw_load_options;
/* As sw_params_save, with options; NULL: the defaults. SW_ERR_NONFINITE if a finite number would be infinite in the
 * type; the file at the path is not changed then. */
SW_API sw_status sw_params_save_with_options(const sw_params *params, const char *path, const sw_save_options *options);
/* As sw_params_load, with options; NULL: the defaults. */
SW_API sw_status sw_params_load_with_options(sw_params *params, const char *path, const sw_load_options *options);
/* As sw_params_save and sw_params_load, with an archive that may hold other arrays too. Each name begins with the
 * prefix (NULL: no prefix), and only names that begin with it are read. Therefore two models, or a model and other data
 * of the program, can share a file. Packing does not copy: the parameters must be valid until the archive is saved. */
SW_API sw_status sw_params_pack(const sw_params *params, sw_archive *archive, const char *prefix);
SW_API sw_status sw_params_unpack(sw_params *params, const sw_archive *archive, const char *prefix);
/* As sw_params_pack and sw_params_unpack, with options; NULL: the defaults. The text of the order is named
 * prefix + "order". */
SW_API sw_status sw_params_pack_with_options(const sw_params *params, sw_archive *archive, const char *prefix,
                                             const sw_save_options *options);
SW_API sw_status sw_params_unpack_with_options(sw_params *params, const sw_archive *archive, const char *prefix,
                                               const sw_load_options *options);

#ifdef __cplusplus
}
#endif
#endif
