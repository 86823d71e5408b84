/* Errors: a status, and the first message of each thread. */
#ifndef SWALE_ERROR_H
#define SWALE_ERROR_H

#include <swale/api.h>

#ifdef __cplusplus
extern "C" {
#endif

/* No call needs a check. The first failure of a thread is recorded, with a message that sw_error() gives, and
 * is pending until sw_clear_error(). Functions ignore the null tensors and NULL pointers that result from it,
 * and a program checks sw_error() once, at its end.
 *
 * While an error is pending:
 *   - Loops over data and optimizer steps stop, and do not start: sw_loader_next returns false; sw_train,
 *     sw_optim_minimize and sw_optim_step return the status of the pending error and change nothing. So a
 *     mistake ends a training loop at once, with its own message. Loops over the number of an epoch end too
 *     (sw_loader_epoch, sw_optim_epoch, sw_train_remaining); a loop until some step must ask for sw_error().
 *   - Every other function does its work, and its return value (a status, NULL or a null tensor) reports only
 *     its own failure. The message of such a later failure is not kept: sw_error() is that of the first. A
 *     function that is given a NULL pointer or a null tensor assumes that the pending error is the cause.
 *
 * A program that handles an error and continues must clear it. That is right where every reason for the
 * failure has the same remedy, as for a cache: whether the file is missing or damaged, its contents are
 * computed again.
 *
 *     sw_archive *cache = sw_archive_load("cache.safetensors");
 *     if (!cache)
 *         sw_clear_error();            // optional: compute it again
 *
 * It is wrong for a checkpoint: a failed sw_model_load may also mean that the file is damaged or belongs to
 * another model, and a program that went on would train from the start and then overwrite the file. So check
 * first whether the file exists, and treat every error of the load as one (saving is not refused while an
 * error is pending):
 *
 *     if (access("last.safetensors", F_OK) == 0 &&       // unistd.h
 *         sw_model_load(net, "last.safetensors") != SW_OK)
 *         return EXIT_FAILURE;         // sw_error() says why; do not save over the file
 *
 * A library, or a callback of sw_train, may be called while its caller's error is pending. If it tries
 * something that may fail, it must clear only its own error:
 *
 *     const bool pending = sw_error() != NULL;
 *     sw_archive *cache = sw_archive_load(path);
 *     if (!cache && !pending)
 *         sw_clear_error();
 *
 * If a callback returns SW_OK but leaves an error pending, sw_train ends as if the callback had returned that
 * error's status. */

typedef enum sw_status {
    SW_OK = 0,
    SW_SKIPPED,       /* not an error: the gradient held Inf or NaN and nothing was changed */
    SW_ERR_ARGUMENT,  /* a value out of its range, an unknown name */
    SW_ERR_SHAPE,     /* shapes that do not fit together */
    SW_ERR_TYPE,      /* element types that do not fit together */
    SW_ERR_STATE,     /* right call, wrong moment: a tensor after reset, a model not built */
    SW_ERR_MEMORY,    /* the allocator returned NULL */
    SW_ERR_IO,        /* a file could not be opened, read or written */
    SW_ERR_FORMAT,    /* a file's contents are not what they should be */
    SW_ERR_GRADIENT,  /* sw_gradcheck found a wrong derivative */
    SW_ERR_NONFINITE, /* SW_CHECK found a NaN or Inf, or a step would make x or a state infinite */
    SW_ERR_USER       /* for extensions */
} sw_status;

/* The pending message of this thread, its first since the last sw_clear_error, or NULL. Valid until then. */
SW_API const char *sw_error(void);
/* The status that went with it, SW_OK if there is none. */
SW_API sw_status sw_error_status(void);
/* Nothing is pending any more. */
SW_API void sw_clear_error(void);
/* Records a message (unless one is pending already) and returns `status`: `return sw_fail(...)`. */
SW_API sw_status sw_fail(sw_status status, const char *format, ...) SW_PRINTF(2, 3);

#ifdef __cplusplus
}
#endif
#endif
