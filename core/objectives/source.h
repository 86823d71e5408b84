/* Data sources: sets of samples that can be gathered by id.
 *
 * The readers of datasets.h make sources; loaders (loader.h) and objectives (sw_model_objective) read them. A custom
 * source is a struct whose first member is sw_source, with at least n, the shapes, y_type and gather.
 *
 * The layout: axis 0 of a batch counts the samples, and the last axis has the features. The channels of a picture are
 * its features: a picture is [height, width, channels], a batch of pictures [batch, height, width, channels]. All
 * readers, sources, transforms and layers use this layout. A gray picture may also be [height, width]. sw_array_permute
 * (array.h) converts arrays that have the channels first.
 */
#ifndef SWALE_SOURCE_H
#define SWALE_SOURCE_H

#include <swale/csr.h>
#include <swale/tape.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Sources ---- */

/* n samples that can be gathered by id. A reader embeds this struct as its first member and fills it in. */
typedef struct sw_source sw_source;
struct sw_source {
    size_t size; /* sizeof(sw_source) */
    int64_t n;
    int x_rank, y_rank; /* the ranks of one sample, at most SW_MAX_RANK - 1; y_rank -1: no targets */
    int64_t x_shape[SW_MAX_RANK], y_shape[SW_MAX_RANK];
    sw_dtype y_type;                /* SW_I32: class ids; SW_F64: numbers, which are gathered in the type of x */
    int classes;                    /* 0 for targets that are numbers */
    const char *const *class_names; /* NULL or `classes` names */
    /* Writes the samples ids[0..count) to x ([count, x_shape] of `type`, f32 or f64; i32 if x_type says so) and y
     * ([count, y_shape] of `type`, or i32 for class ids). Either may be NULL. It is called from several threads for
     * different samples. Random changes of a sample (a crop, a flip) must be a function of the sample's id and `draw`
     * only. In a loader, `draw` is the epoch. Otherwise it is the draw of the tape, which also determines dropout, so
     * that a method that evaluates samples twice with one draw gets equal pictures. */
    sw_status (*gather)(const sw_source *source, const int64_t *ids, int64_t count, uint64_t draw, sw_dtype type,
                        void *x, void *y);
    /* Optional: announces samples that will be gathered soon. */
    void (*prefetch)(const sw_source *source, const int64_t *ids, int64_t count);
    /* Frees the source, including its struct. The struct, and everything that gather and prefetch read, must be valid
     * until this function is called, which may be later than sw_source_free. NULL: there is nothing to free; then the
     * struct must outlive every object that reads it. */
    void (*free)(sw_source *source);
    /* gather does more than copy numbers (it decodes, crops, or calls a function of the user). A loader then gathers in
     * a separate thread if there are enough processors. */
    bool costly;
    bool fixed; /* gather does not depend on `draw` */
    /* Optional, if all samples are in memory: x [n, x_shape] of type f32 or f64, or as sparse rows; y of type y_type,
     * f32 or f64. gather returns these numbers, converted to its type. */
    const sw_array *x_memory, *y_memory;
    const sw_csr *x_sparse;
    /* SW_I32: a sample is ids, such as the tokens of a text, and x is i32. Else x is numbers. */
    SW_ADDED sw_dtype x_type;
};
/* The types of x and y in a batch whose numbers have this type, f32 or f64. */
static inline sw_dtype sw_source_x_type(const sw_source *source, sw_dtype type) {
    return source->size >= offsetof(sw_source, x_type) + sizeof source->x_type && source->x_type == SW_I32 ? SW_I32
                                                                                                           : type;
}
static inline sw_dtype sw_source_y_type(const sw_source *source, sw_dtype type) {
    return source->y_type == SW_I32 ? SW_I32 : type;
}
/* Frees a source by calling source->free. If objects that were made from the source still read it (a subset or another
 * wrapper, a loader, or the model to which an objective of sw_model_objective belongs), the call happens when the last
 * of them is freed. Therefore the order of freeing does not matter for sources with a `free` function. A program that
 * frees the memory of its source itself does so in `free`, or after all of these objects were freed, but not directly
 * after sw_source_free. */
SW_API void sw_source_free(sw_source *source);

/* ---- Batches ---- */

/* A batch on a tape. */
typedef struct sw_batch {
    sw_tensor x, y;     /* y is the null tensor if the source has no targets */
    const int64_t *ids; /* [count], valid until the tape is reset */
    int64_t count;
} sw_batch;

/* Gathers samples as inputs on the tape, with numbers of type f32 or f64 and the draw of the tape, and calls
 * sw_tape_set_sample_ids with their ids. An id out of range is an error. */
SW_API sw_status sw_source_batch(const sw_source *source, sw_tape *tape, sw_dtype type, const int64_t *ids,
                                 int64_t count, sw_batch *batch);
/* As sw_source_batch, with the given draw in place of the tape's: equal draws give equal pictures. */
SW_API sw_status sw_source_batch_with_draw(const sw_source *source, sw_tape *tape, sw_dtype type, uint64_t draw,
                                           const int64_t *ids, int64_t count, sw_batch *batch);
/* Gathers samples into memory of the caller: x [count, x_shape] and y [count, y_shape], whose types are those of
 * sw_source_x_type and sw_source_y_type; `type` is f32 or f64. Either may be NULL. Threads share the samples. */
SW_API sw_status sw_source_gather(const sw_source *source, sw_dtype type, uint64_t draw, const int64_t *ids,
                                  int64_t count, void *x, void *y);

/* ---- For objects that read a source ---- */

/* A reference that keeps a source alive. An object that reads a source and has a free function contains one of these
 * structs, initialized with zeros. */
typedef struct sw_source_hold {
    sw_source *source; /* NULL: no source */
    bool freed;        /* sw_source_free was called while the source was held */
    struct sw_source_hold *next;
} sw_source_hold;
/* Keeps the source alive until sw_source_release, even if sw_source_free is called (later, or earlier while another
 * object holds the source). `hold` must not move in memory until then. */
SW_API void sw_source_retain(sw_source_hold *hold, const sw_source *source);
/* Releases the source. The last release after sw_source_free frees the source. Does nothing if the hold is all
 * zeros. */
SW_API void sw_source_release(sw_source_hold *hold);

#ifdef __cplusplus
}
#endif
#endif
