/* Errors: a status, and the message of the first failure of each thread.
 *
 * A program may call function after function without checking a return value. The first failure of a thread is recorded
 * with a message, which sw_error() returns. It is pending until the program calls sw_clear_error(). Functions ignore
 * the null tensors and NULL pointers that result from it, so that a program needs to check sw_error() only once, at its
 * end:
 *
 *     if (sw_error()) {
 *         fprintf(stderr, "%s\n", sw_error());
 *         return EXIT_FAILURE;
 *     }
 *
 * While an error is pending:
 *   - Loops over data and optimizer steps stop, or do not start: sw_loader_next returns false; sw_train,
 *     sw_optim_minimize and sw_optim_step return the status of the pending error and change nothing. A mistake
 *     therefore ends a training loop at once, with the message of the mistake. Loops that test sw_loader_epoch,
 *     sw_optim_epoch or sw_train_remaining end too. A loop that runs until a given step must check sw_error().
 *   - Every other function does its work, and its return value (a status, NULL or a null tensor) reports only its own
 *     failure. The message of such a later failure is discarded: sw_error() returns the message of the first. A
 *     function that receives a NULL pointer or a null tensor assumes that the pending error is the cause.
 *
 * A program that handles an error and continues must clear it. This is correct if the program reacts to every possible
 * cause of the failure in the same way. For example, if a cache file is missing or damaged, the program computes the
 * contents again.
 *
 *     sw_archive *cache = sw_archive_load("cache.safetensors");
 *     if (!cache)
 *         sw_clear_error();            // the cache is optional: compute its contents
 *
 * It is not correct for a checkpoint: sw_model_load fails if the file is missing, but also if it is damaged or belongs
 * to another model. A program that continued would train from the start and overwrite the file. Therefore check whether
 * the file exists, and treat every failure of the load as an error (a pending error does not prevent saving):
 *
 *     if (access("last.safetensors", F_OK) == 0 &&       // unistd.h
 *         sw_model_load(net, "last.safetensors") != SW_OK)
 *         return EXIT_FAILURE;         // sw_error() gives the reason; do not save over the file
 *
 * A library, or a callback of sw_train, may run while an error of its caller is pending. If it tries something that may
 * fail, it must clear only its own error:
 *
 *     const bool pending = sw_error() != NULL;
 *     sw_archive *cache = sw_archive_load(path);
 *     if (!cache && !pending)
 *         sw_clear_error();
 *
 * If a callback returns SW_OK but leaves an error pending, sw_train ends as if the callback had returned the status of
 * that error.
 */
#ifndef SWALE_ERROR_H
#define SWALE_ERROR_H

#include <swale/api.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The result of a function that can fail. */
typedef enum sw_status {
    SW_OK = 0,
    SW_SKIPPED,       /* not an error: the gradient held Inf or NaN, and nothing was changed */
    SW_ERR_ARGUMENT,  /* a value out of its range, or an unknown name */
    SW_ERR_SHAPE,     /* a shape mismatch */
    SW_ERR_TYPE,      /* a mismatch of element types */
    SW_ERR_STATE,     /* not allowed in this state: a tensor is used after a reset, a model is not built */
    SW_ERR_MEMORY,    /* the allocator returned NULL */
    SW_ERR_IO,        /* a file could not be opened, read or written */
    SW_ERR_FORMAT,    /* the contents of a file are invalid */
    SW_ERR_GRADIENT,  /* sw_gradcheck found a wrong derivative */
    SW_ERR_NONFINITE, /* SW_CHECK found a NaN or Inf, or a step would make x or a state NaN or infinite */
    SW_ERR_USER       /* for extensions */
} sw_status;

/* The message of the pending error: the first failure of this thread since the last sw_clear_error. NULL if no error is
 * pending. The text is valid until sw_clear_error. */
SW_API const char *sw_error(void);
/* The status of the pending error; SW_OK if no error is pending. */
SW_API sw_status sw_error_status(void);
/* Discards the pending error of this thread. */
SW_API void sw_clear_error(void);
/* Records a failure with its message, unless an error is pending already, and returns `status`: `return sw_fail(...)`.
 * The message is cut to 4095 bytes. */
SW_API sw_status sw_fail(sw_status status, const char *format, ...) SW_PRINTF(2, 3);

#ifdef __cplusplus
}
#endif
#endif
