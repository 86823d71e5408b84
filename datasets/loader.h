/* Batches of a source. */
#ifndef SWALE_LOADER_H
#define SWALE_LOADER_H

#include <swale/sampler.h>
#include <swale/source.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum sw_prefetch {
    SW_PREFETCH_AUTO = 0, /* ON if the source is costly and the process may run on two processors */
    SW_PREFETCH_ON,
    SW_PREFETCH_OFF
} sw_prefetch;

/* Batches of a source in order, shuffled, or drawn with replacement; the last batch of an epoch
 * holds what is left over. What is random in a sample sees the number of the epoch as its draw (not
 * the tape's): an epoch has the same pictures whatever came before it. */
typedef struct sw_loader sw_loader;
typedef struct sw_loader_options {
    size_t size;   /* sizeof(sw_loader_options) */
    sw_dtype type; /* of x: SW_F32 or SW_F64 */
    sw_order order;
    uint64_t seed;
    /* ON: while a batch is used, a thread of the loader's gathers the next one into one of two buffers,
     * and that batch's tensors read the buffer in place. It stays theirs until the tape's reset, also
     * after sw_loader_free; batches that are on tapes two steps later are gathered without the thread.
     * The same bits as with OFF. */
    sw_prefetch prefetch;
    bool drop_last; /* an incomplete last batch is left out */
} sw_loader_options;
/* options NULL: f32, SW_SHUFFLE, seed 0. The loader keeps the source alive. NULL after an error,
 * so also when `source` is NULL, and when drop_last leaves nothing. */
SW_API sw_loader *sw_loader_new(const sw_source *source, int64_t batch, const sw_loader_options *options);
/* Waits for the thread. A child of fork gets a thread of its own when it asks for a batch, provided that
 * the source's gather holds no lock that a fork may leave locked. */
SW_API void sw_loader_free(sw_loader *loader);
/* Puts the next batch on the tape (whose samples it names) and returns true; at the end of an
 * epoch, once, returns false, and the call after that begins the next epoch. While an error is pending
 * (core.h, "Errors"), from any function, it returns false and the loader does not advance: a loop whose
 * optimizer, model or step has failed ends at once, and after sw_clear_error it continues with the same
 * batch. A failure of the loader itself ends the epoch too (a last batch that is still on the tape is one):
 * the rest of the epoch is skipped. A NULL argument is an error and skips nothing. While one batch is used
 * the next one's bytes are already asked for, or gathered. Allocates nothing of its own. */
SW_API bool sw_loader_next(sw_loader *loader, sw_tape *tape, sw_batch *batch);
SW_API int64_t sw_loader_batches(const sw_loader *loader); /* in an epoch */
/* Number of epochs that have ended. While an error is pending each refused call of sw_loader_next counts as
 * one, so that a loop `while (sw_loader_epoch(l) < n)` terminates. After sw_clear_error the real number is
 * returned again. */
SW_API int64_t sw_loader_epoch(const sw_loader *loader);
SW_API bool sw_loader_prefetches(const sw_loader *loader); /* in a thread of its own */

/* Where a loader is: plain numbers, to be saved by their fields. A batch that was prefetched and not yet
 * given out counts as not drawn. */
typedef struct sw_loader_position {
    size_t size; /* sizeof(sw_loader_position), also before sw_loader_get_position */
    uint64_t seed;
    int64_t order, n, batch, drop_last; /* order: an sw_order; drop_last: 0 or 1 */
    int64_t epoch;                      /* epochs ended */
    int64_t position;                   /* samples given out in the epoch */
} sw_loader_position;
SW_API sw_status sw_loader_get_position(const sw_loader *loader, sw_loader_position *position);
/* The batches that follow are those that would have followed there. The loader must have the position's
 * seed, order, n, batch and drop_last: else an error that names what differs, and it stays where it is. */
SW_API sw_status sw_loader_set_position(sw_loader *loader, const sw_loader_position *position);

#ifdef __cplusplus
}
#endif
#endif
