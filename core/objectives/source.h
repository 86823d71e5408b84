/* Data sources: samples that can be gathered by id. */
#ifndef SWALE_SOURCE_H
#define SWALE_SOURCE_H

#include <swale/csr.h>
#include <swale/tape.h>

#ifdef __cplusplus
extern "C" {
#endif

/* n samples that can be gathered by id. A reader embeds this as its first member and fills it in. */
typedef struct sw_source sw_source;
struct sw_source {
    size_t size; /* sizeof(sw_source) */
    int64_t n;
    int x_rank, y_rank; /* of one sample; y_rank -1: no targets */
    int64_t x_shape[SW_MAX_RANK], y_shape[SW_MAX_RANK];
    sw_dtype y_type;                /* SW_I32: class ids; SW_F64: real numbers, in x's type */
    int classes;                    /* 0 for real targets */
    const char *const *class_names; /* NULL or `classes` names */
    /* Writes samples ids[0..count) to x (type f32 or f64, [count, x_shape]) and y ([count, y_shape],
     * i32 or like x). Either may be NULL. Called from several threads for different parts. What is random
     * (a crop, a flip) is a function of the sample's id and `draw` alone: the tape's draw, which dropout
     * sees too, so that a method that evaluates twice in one draw sees equal pictures; or a loader's
     * epoch. */
    sw_status (*gather)(const sw_source *source, const int64_t *ids, int64_t count, uint64_t draw, sw_dtype type,
                        void *x, void *y);
    /* Optional: these will be gathered soon. */
    void (*prefetch)(const sw_source *source, const int64_t *ids, int64_t count);
    /* Frees the source, including its struct. The struct, and all that gather and prefetch read, must live
     * until this is called, which may be later than sw_source_free. NULL: there is nothing to free; then the
     * struct must outlive all that reads it. */
    void (*free)(sw_source *source);
    /* To gather takes more than copying numbers (decoding, crops, a user's function): where there are
     * processors enough, a loader does it ahead in a thread of its own. */
    bool costly;
    bool fixed; /* gather does not depend on `draw` */
    /* Optional: where all samples lie in memory, x [n, x_shape] of type f32 or f64 or as sparse rows, y of type y_type or
     * f32 or f64. gather gives these numbers, converted to its type. */
    const sw_array *x_memory, *y_memory;
    const sw_csr *x_sparse;
};
/* Calls source->free: now, or, where something made from the source still reads it, when the last of these is
 * freed: a subset or another wrapper, a loader, or the model that an objective of sw_model_objective belongs
 * to. So the order of freeing does not matter for sources that are freed by their `free`. A program that
 * frees the memory of its source itself does so in `free`, or after all of these were freed; not after
 * sw_source_free. */
SW_API void sw_source_free(sw_source *source);

typedef struct sw_batch {
    sw_tensor x, y;     /* y is null where the source has no targets */
    const int64_t *ids; /* [count], until the tape's reset */
    int64_t count;
} sw_batch;

/* Gathers samples onto the tape as inputs of the given type, and tells the tape their ids. What is
 * random in them is that of the tape's draw. */
SW_API sw_status sw_source_batch(const sw_source *source, sw_tape *tape, sw_dtype type, const int64_t *ids,
                                 int64_t count, sw_batch *batch);
/* The same with an explicit draw: equal draws, equal pictures, whatever the tape's is. */
SW_API sw_status sw_source_batch_with_draw(const sw_source *source, sw_tape *tape, sw_dtype type, uint64_t draw,
                                           const int64_t *ids, int64_t count, sw_batch *batch);
/* The same into the caller's memory: x [count, x_shape] of type f32 or f64, y [count, y_shape], i32 or
 * like x; either may be NULL. Threads share the samples. */
SW_API sw_status sw_source_gather(const sw_source *source, sw_dtype type, uint64_t draw, const int64_t *ids,
                                  int64_t count, void *x, void *y);

/* ---- For objects that read a source ---- */

/* Embed one in each object that reads a source and has its own free function. Initialize it with zeros. */
typedef struct sw_source_hold {
    sw_source *source; /* NULL: nothing is held */
    bool freed;        /* sw_source_free was called meanwhile */
    struct sw_source_hold *next;
} sw_source_hold;
/* Keeps the source alive until the release, in spite of sw_source_free (called later, or before while another
 * hold keeps the source). `hold` is not moved meanwhile. */
SW_API void sw_source_retain(sw_source_hold *hold, const sw_source *source);
/* The last release after sw_source_free frees the source. Does nothing if the hold is all zeros. */
SW_API void sw_source_release(sw_source_hold *hold);

#ifdef __cplusplus
}
#endif
#endif
