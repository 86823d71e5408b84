/* Loaders: the batches of a source, epoch after epoch.
 *
 *     sw_loader *loader = sw_loader_new(source, 64, NULL);
 *     sw_batch batch;
 *     while (sw_loader_epoch(loader) < epochs)
 *         while (sw_loader_next(loader, tape, &batch)) {
 *             ... a training step on batch.x and batch.y ...
 *             sw_tape_reset(tape);
 *         }
 */
#ifndef SWALE_LOADER_H
#define SWALE_LOADER_H

#include <swale/sampler.h>
#include <swale/source.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Loaders ---- */

/* Whether a thread of the loader prefetches the next batch. */
typedef enum sw_prefetch {
    SW_PREFETCH_AUTO = 0, /* ON if the source is costly and the process may run on at least two processors */
    SW_PREFETCH_ON,
    SW_PREFETCH_OFF
} sw_prefetch;

/* A loader returns the batches of a source in order, shuffled, or drawn with replacement. The last batch of an epoch
 * holds the remaining samples. Random samples are drawn by the number of the epoch (not by the tape's draw), so that an
 * epoch has the same pictures whatever the program did before it. */
typedef struct sw_loader sw_loader;
/* Options of a loader. */
typedef struct sw_loader_options {
    size_t size;   /* sizeof(sw_loader_options) */
    sw_dtype type; /* of x: SW_F32 or SW_F64; layers convert it to the type of their weights if that is f16 or bf16. A
                    * source of ids (x_type) gives i32 */
    sw_order order;
    uint64_t seed;
    /* ON: while the program uses a batch, a thread of the loader gathers the next one into one of two buffers, and the
     * tensors of that batch read the buffer in place. The buffer belongs to them until the tape is reset, even after
     * sw_loader_free. While tapes hold both buffers (they were not reset for two steps), batches are gathered without
     * the thread. ON and OFF give the same bits. */
    sw_prefetch prefetch;
    bool drop_last; /* omit an incomplete last batch */
} sw_loader_options;
/* Makes a loader. options NULL: f32, SW_SHUFFLE, seed 0. The loader keeps the source alive. NULL after an error, for
 * example if `source` is NULL, or if drop_last leaves no batch. */
SW_API sw_loader *sw_loader_new(const sw_source *source, int64_t batch, const sw_loader_options *options);
/* Frees the loader after its thread has finished. Accepts NULL. (After a fork, the child starts a thread when it asks
 * for a batch; the source's gather must not hold a lock at the fork that the child would find locked.) */
SW_API void sw_loader_free(sw_loader *loader);
/* Puts the next batch on the tape, sets its sample ids (sw_tape_set_sample_ids), and returns true. At the end of an
 * epoch it returns false once; the call after that begins the next epoch. While the program uses a batch, the next one
 * is prefetched. The loader allocates no memory for batches.
 *
 * While an error is pending (error.h), from any function, it returns false and does not advance: a loop whose
 * optimizer, model or step has failed ends at once, and after sw_clear_error the loop continues with the same batch. A
 * failure of the loader itself ends the epoch: its remaining samples are skipped. It is such a failure if the previous
 * batch is still on the tape. A NULL argument is an error and skips nothing. */
SW_API bool sw_loader_next(sw_loader *loader, sw_tape *tape, sw_batch *batch);
SW_API int64_t sw_loader_batches(const sw_loader *loader); /* the number of batches in an epoch */
/* The number of epochs that have ended. While an error is pending, each refused call of sw_loader_next counts as one,
 * so that a loop `while (sw_loader_epoch(l) < n)` terminates. After sw_clear_error it returns the real number again. */
SW_API int64_t sw_loader_epoch(const sw_loader *loader);
SW_API bool sw_loader_prefetches(const sw_loader *loader); /* whether the loader has a thread for prefetching */

/* ---- Checkpoints ---- */

/* The position of a loader: numbers that a program saves one by one. A batch that was prefetched but not returned
 * counts as not drawn. */
typedef struct sw_loader_position {
    size_t size; /* sizeof(sw_loader_position); set it also before sw_loader_get_position */
    uint64_t seed;
    int64_t order, n, batch, drop_last; /* order: an sw_order; drop_last: 0 or 1 */
    int64_t epoch;                      /* epochs that have ended */
    int64_t position;                   /* samples that were returned in the current epoch */
} sw_loader_position;
/* Stores the position of the loader in *position. */
SW_API sw_status sw_loader_get_position(const sw_loader *loader, sw_loader_position *position);
/* Moves the loader to a position: it then returns the batches that followed there. The loader must have the seed,
 * order, n, batch and drop_last of the position; else an error names the first difference, and the loader does not
 * change. */
SW_API sw_status sw_loader_set_position(sw_loader *loader, const sw_loader_position *position);

#ifdef __cplusplus
}
#endif
#endif
