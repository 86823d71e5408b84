/* Parameters: one vector x that holds all of them, and its gradient.
 *
 * All parameters of a model lie in one vector x without padding. A parameter is a name, a role, a shape and an offset
 * into this vector. A program declares the parameters, and then builds the set once, which allocates the vector and the
 * gradient and computes the initial values:
 *
 *     sw_params *params = sw_params_new(SW_F32, 1);
 *     sw_param *w = sw_params_add(params, "weight", SW_SHAPE(10, 784), NULL);
 *     sw_params_build(params);
 *     float *values = sw_param_value(w).data;
 *
 * A program that uses sw_model (nn.h) gets its parameters from sw_model_build.
 */
#ifndef SWALE_PARAMS_H
#define SWALE_PARAMS_H

#include <swale/array.h>
#include <swale/random.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sw_params sw_params;
typedef struct sw_param sw_param;
typedef struct sw_gradient sw_gradient;

/* ---- Parameters ---- */

/* The role of a parameter, by which rules and initial values can be selected. */
typedef enum sw_role {
    SW_ROLE_WEIGHT = 0, /* the matrix of a hidden layer */
    SW_ROLE_BIAS,
    SW_ROLE_NORM,
    SW_ROLE_EMBEDDING,
    SW_ROLE_HEAD, /* the matrix of the last layer */
    SW_ROLE_OTHER
} sw_role;
SW_API const char *sw_role_name(sw_role role); /* "weight"; "?" for an invalid role */

/* The order of a parameter in files with channels first (sw_save_options.channels_first), which is PyTorch's. The
 * elements, in the order of x, are regarded as an array `view` (row-major). The file contains this array with its axes
 * permuted, under the shape `file_shape`: axis i of the permuted array is axis axes[i] of the view. The weight of a
 * convolution, [out,kh,kw,in], has itself as view and axes {0,3,1,2}; the file has [out,in,kh,kw]. The weight of a
 * linear layer behind a flatten of samples [h,w,c], [out,h·w·c], has the view [out,h,w,c], the axes {0,3,1,2} and the
 * file_shape [out,h·w·c]. */
typedef struct sw_file_order {
    int rank; /* of the view; 0: the order of x, as everywhere else; -1: not known, so that such files are refused */
    int64_t view[SW_MAX_RANK];
    int axes[SW_MAX_RANK];
    int file_rank; /* 0: file_shape is the shape of the permuted array */
    int64_t file_shape[SW_MAX_RANK];
} sw_file_order;
/* The order for which the last axis of a parameter with this shape moves to position `at`, 0 to rank - 1: with 1 the
 * order of weights of convolutions, [out,k...,in] or [in,k...,out] for transposed ones. An error (SW_ERR_SHAPE) for
 * other values; the result then has rank -1. */
SW_API sw_file_order sw_channels_first(int rank, const int64_t *shape, int at);

/* A parameter. Read-only for programs. */
struct sw_param {
    const char *name; /* unique: "linear1.weight" */
    sw_role role;
    int rank;
    int64_t shape[SW_MAX_RANK];
    int64_t count;           /* elements */
    int64_t offset;          /* the index of the first element in the vector; -1 before the build */
    int64_t fan_in, fan_out; /* numbers of inputs and outputs, for initial values; 0 if not defined */
    bool frozen;             /* no gradient and no update: see sw_param_freeze. Always true for a buffer */
    int index;               /* the position in the order of declaration, from 0 */
    sw_params *owner;
    sw_param *tied;               /* the parameter with which it shares its elements, or NULL */
    bool buffer;                  /* running statistics: see "Buffers" below */
    sw_file_order channels_first; /* for files; file_rank and file_shape are set unless its rank is 0 or -1 */
};

/* A method for initial values. `fill` writes `count` values to `out`, and draws its random numbers from the stream; if
 * it fails, the build fails. A NaN, or a value that is infinite in the type of x or in the storage type, is an error
 * (SW_ERR_NONFINITE); a parameter that is frozen before the build may hold Inf, as an attention mask does. init.h has
 * the usual methods. */
typedef struct sw_init {
    size_t size; /* sizeof(sw_init) */
    const char *name;
    sw_status (*fill)(const struct sw_init *init, const sw_param *param, sw_rng *rng, double *out);
    double a, b, c, d; /* the numbers that the method needs */
} sw_init;

/* Makes an empty set of parameters of type f32, f64, f16 or bf16; NULL after an error. With f16 and bf16, x is f32, and
 * the leaves of tapes and the gradient have 16 bits: see the storage type below. The initial values of a parameter
 * depend only on the seed and its name. An invalid environment variable SW_CPU or SW_THREADS is an error too
 * (library.h). */
SW_API sw_params *sw_params_new(sw_dtype type, uint64_t seed);
/* Options of a set of parameters. The vector x, in which the optimizer computes, has the type `type`. Leaves of a tape
 * and the gradient block have the type `storage`: where the two differ, the set owns a copy of x that is rounded to
 * `storage`, which all tapes read. A tape that is bound to another vector (sw_tape_bind) has its own copy. With Adam,
 * f32 and a 16-bit storage type, an element takes 16 bytes: 4 for x, 2 for the copy, 2 for the gradient and 8 for the
 * moments. */
typedef struct sw_params_options {
    size_t size;   /* sizeof(sw_params_options) */
    sw_dtype type; /* SW_F32 or SW_F64; SW_F16 and SW_BF16 mean SW_F32 with this storage type */
    uint64_t seed;
    sw_dtype storage; /* SW_F16 or SW_BF16, if `type` is SW_F32; 0: the same as `type`. Else SW_ERR_TYPE */
} sw_params_options;
/* NULL after an error. options NULL: f32 with seed 0. */
SW_API sw_params *sw_params_new_with_options(const sw_params_options *options);
/* Frees the set with its parameters, vector and gradient. Accepts NULL. */
SW_API void sw_params_free(sw_params *params);

/* Options of a parameter. */
typedef struct sw_param_options {
    size_t size; /* sizeof(sw_param_options) */
    sw_role role;
    int64_t fan_in, fan_out;
    sw_init init; /* fill NULL: zeros */
    bool buffer;  /* running statistics: see "Buffers" below */
    /* The order in files with channels first; rank 0: that of x. An error (SW_ERR_SHAPE) unless the view and file_shape
     * have as many elements as the parameter, and axes holds each axis of the view once. A tied name has the order of
     * its target. */
    SW_ADDED sw_file_order channels_first;
} sw_param_options;
/* Declares a parameter; the name and the options are copied. options NULL: role SW_ROLE_OTHER, zeros. NULL after an
 * error, for example if the name was declared before; sw_params_build fails then. */
SW_API sw_param *sw_params_add(sw_params *params, const char *name, int rank, const int64_t *shape,
                               const sw_param_options *options);
/* Declares another name for the elements of `target`, with the same shape. The elements are stored and saved once. NULL
 * after an error. */
SW_API sw_param *sw_params_tie(sw_params *params, const char *name, sw_param *target);
/* Assigns the offsets, in the order of declaration with all buffers at the end, and allocates the vector with the
 * initial values and the gradient. Call it once; a second call is an error (SW_ERR_STATE). After any other error the
 * set is not built. */
SW_API sw_status sw_params_build(sw_params *params);
/* Sets all parameters to their initial values again, the same as after the build. After an error some parameters may
 * still have their old values. */
SW_API sw_status sw_params_reinitialize(sw_params *params);

SW_API bool sw_params_built(const sw_params *params);              /* sw_params_build has succeeded */
SW_API sw_dtype sw_params_type(const sw_params *params);           /* of x: SW_F32 or SW_F64 */
SW_API sw_dtype sw_params_storage(const sw_params *params);        /* of leaves and of the gradient block */
SW_API uint64_t sw_params_seed(const sw_params *params);           /* the seed of initial values */
SW_API int64_t sw_params_dim(const sw_params *params);             /* elements of the vector, buffers included */
SW_API int64_t sw_params_buffer_dim(const sw_params *params);      /* elements of buffers, at its end */
SW_API int sw_params_count(const sw_params *params);               /* parameters, including tied names */
SW_API sw_param *sw_params_at(const sw_params *params, int index); /* in the order of declaration, from 0 */
SW_API sw_param *sw_params_find(const sw_params *params, const char *name); /* NULL: no such name */
SW_API void *sw_params_x(const sw_params *params);                          /* the vector; NULL before the build */
/* Tells the library that the program has written to the vector. sw_backward then refuses losses that were recorded
 * before the change. If the storage type is not the type of x, the function also updates the copy that leaves read;
 * without the call, leaves would have the old values. A number that is beyond the range of the storage type becomes
 * infinite in the copy, without an error: from 65520 on in f16. No tape may be reading the copy at the same time. */
SW_API void sw_params_mark_changed(sw_params *params);
/* Sets the loss scale S of the parameters, a power of 2 from 2^-24 to 2^24; 1, as at first, is none. In f16, numbers
 * whose magnitude is at most 2^-25 become 0, and small gradients are lost. Therefore sw_backward and sw_backward_from
 * compute the gradient of S·loss, whose elements are larger by the factor S (Micikevicius et al., Mixed precision
 * training, ICLR 2018, section 3.2). Only a gradient block in f16 or bf16 holds S times the gradient, because its small
 * elements would be lost otherwise. This S is the loss scale at the moment at which the block ceased to be fresh
 * (sw_gradient_scale). Blocks and views in f32 or f64 hold the gradient itself, because each pass divides by S while it
 * adds, and so do the gradients of variables and of retained tensors (sw_grad), in every type.
 *
 * S may change at any time; each backward uses its present value. Several passes into one block are added correctly if
 * it changes between them. If a tape has leaves of several sets of parameters, the largest S multiplies the loss, and
 * every block is converted to its own. An optimizer sets S when it is made, and a dynamic one changes it after steps
 * (loss_scale in optim.h). SW_ERR_ARGUMENT for other values. */
SW_API sw_status sw_params_set_loss_scale(sw_params *params, double scale);
SW_API double sw_params_loss_scale(const sw_params *params); /* 1 for NULL */
/* A number that increases whenever the vector changes: by a step, by loading, by sw_params_mark_changed. */
SW_API uint64_t sw_params_version(const sw_params *params);
SW_API sw_gradient *sw_params_gradient(const sw_params *params); /* the gradient block of the set */
SW_API sw_array sw_param_value(const sw_param *param);           /* a view of the elements in x; data NULL: not built */
/* A view of the elements that leaves of tapes read, in the storage type. It is part of the copy of x if the two types
 * differ, else of x itself, as for buffers always. A program must not write to it. A step, sw_params_mark_changed and
 * loading update it, at the same address. data is NULL before the build. */
SW_API sw_array sw_param_stored_value(const sw_param *param);
/* A view of the parameter's part of the gradient block, which holds the mean gradient, in f16 and bf16 times the loss
 * scale (sw_gradient_scale). Its elements have the type of the array: in f16 and bf16 they are uint16_t, which
 * sw_vector_convert (vector.h) converts. It remains readable after a step; if the step clipped the gradient, it is the
 * clipped one, except that a gradient in f16 or bf16 is not changed by clipping. data is NULL before the build. */
SW_API sw_array sw_param_grad(const sw_param *param);
/* Freezes a parameter, so that it has no gradient and no update, or (false) makes it trainable again. A tied parameter
 * is frozen under all of its names. A buffer is always frozen: the call has no effect on it. NULL is an error, so that
 * a wrong name, for which sw_params_find returns NULL, does not go unnoticed. */
SW_API void sw_param_freeze(sw_param *param, bool frozen);
/* Changes the role of a parameter. NULL is an error, as in sw_param_freeze. */
SW_API void sw_param_set_role(sw_param *param, sw_role role);

/* ---- Gradient blocks ---- */

/* A gradient block is a vector with an element for each element of x, and a state. In the state "fresh" it holds no
 * gradient: the next backward pass overwrites it, and sets the gradient of parameters that it does not reach to zero. A
 * step makes the block fresh, so that a program need not zero it. Further backward passes add to the block. While they
 * do, the block holds a weighted sum. Unless it is in f64, a second vector, which is allocated at the second pass,
 * holds the rounding errors of the sum (or, for f16 and bf16, the sum itself), so that 1e5 passes lose no digits. For
 * f16 and bf16 the second vector is also used if a pass uses a parameter more than once, for example tied parameters:
 * each contribution is rounded to 16 bits, and their sum is in f32. With one contribution there is no second vector.
 * sw_gradient_data, sw_param_grad and sw_grad convert the sum to the mean: call them again after a further backward
 * pass. */

/* Makes a fresh gradient block for built parameters, in their storage type; NULL after an error. */
SW_API sw_gradient *sw_gradient_new(sw_params *params);
/* Makes a fresh gradient block without a vector, for vectors that other code owns, in the type of x. Set the vector by
 * sw_gradient_set_data before use. NULL after an error. */
SW_API sw_gradient *sw_gradient_view(sw_params *params);
/* Sets the vector (dim elements) of a block from sw_gradient_view and makes the block fresh. The vector that it had
 * before is not changed. */
SW_API void sw_gradient_set_data(sw_gradient *view, void *vector);
/* Frees a block, and the vector of a block from sw_gradient_new. Accepts NULL. */
SW_API void sw_gradient_free(sw_gradient *gradient);
SW_API sw_dtype sw_gradient_type(const sw_gradient *gradient); /* of its elements */
/* The mean gradient so far, times sw_gradient_scale: dim elements of the block's type. A program may read them or
 * overwrite all of them. */
SW_API void *sw_gradient_data(sw_gradient *gradient);
/* The loss scale by which the elements of an f16 or bf16 block are multiplied: that of the parameters when the block
 * ceased to be fresh, also after it was made fresh again. 1 before that, and for blocks in f32 and f64. */
SW_API double sw_gradient_scale(const sw_gradient *gradient);
SW_API void sw_gradient_make_fresh(sw_gradient *gradient);
SW_API bool sw_gradient_is_fresh(const sw_gradient *gradient);
SW_API int64_t sw_gradient_samples(const sw_gradient *gradient); /* samples added since the block was fresh */
/* The sum of the weights of the losses (loss_mean.h) added since the block was fresh, or SW_SUMMED; 0 while it is
 * fresh. */
SW_API double sw_gradient_weight(const sw_gradient *gradient);

/* ---- Buffers ---- */

/* A buffer is a parameter that holds running statistics, for example the running mean of batch normalization. It is
 * part of the vector x, after all other parameters. It is bound, saved, loaded, tied and averaged like them, and a copy
 * of x includes it. It has no gradient, no optimizer state and no decay, and rules do not change it: it is always
 * frozen, and sw_param_freeze has no effect on it. Its leaves read x itself, in f32 or f64, even if the leaves of other
 * parameters are f16 or bf16.
 *
 * A layer does not write to a buffer. In each forward pass of the training it reports the statistics of its batch
 * (sw_tape_put_statistic, sw_tape_put_moments; op.h). The reports are pending in the gradient block that is bound to
 * the tape, until the step commits or drops them. Therefore no pass of a step sees the reports of another pass.
 *   - Several reports for a buffer are pooled by their weights: those of micro-batches, chunks and shards, and of
 *     several calls of a layer. The pooled mean and variance are those of all samples together, however these were
 *     divided.
 *   - The step commits after the rules and before the average: buffer ← (1 - momentum)·buffer + momentum·pooled,
 *     computed in f64 and rounded once.
 *   - A step that is skipped or fails drops the reports. Everything that makes the block fresh drops them too.
 * A layer whose output in training depends on its buffers reads, in all parts of the batch, their values after the last
 * step. To average all steps with equal weights, a layer counts the steps in a second buffer: it reports count + 1 with
 * momentum 1, and its statistics with momentum 1/(count + 1).
 *
 * An optimizer commits the reports in each step (optim.h). A program that updates x itself calls
 * sw_gradient_commit_buffers afterwards. */

/* Checks, with the arguments of sw_gradient_commit_buffers, whether the commit would succeed, and returns its error if
 * not. *norm (unless norm is NULL) receives an upper bound of the 2-norm of the buffers after the commit. */
SW_API sw_status sw_gradient_check_buffers(const sw_gradient *gradient, const void *x, double momentum, double *norm);
/* Updates the buffers in the vector x (dim elements) with the pending reports, and drops the reports. momentum NaN:
 * each buffer is updated with the momentum of its reports. Another value, from 0 to 1, replaces this momentum; 1 sets
 * the buffers to the pooled statistics. x NULL: the vector of the parameters, which are then marked as changed
 * (sw_params_mark_changed). Two errors leave x and the reports as they are: a buffer would become Inf or NaN
 * (SW_ERR_NONFINITE; one that is Inf already may stay so), or an unbiased variance is that of one value
 * (SW_ERR_ARGUMENT). */
SW_API sw_status sw_gradient_commit_buffers(sw_gradient *gradient, void *x, double momentum);
/* Adds the reports that are pending in `from`, the block of another part of the batch, to those in `to`. `from` does
 * not change. An error if the blocks belong to different parameters, or if reports disagree as in
 * sw_tape_put_statistic; drop those in `to` then, because some may have been added. */
SW_API sw_status sw_gradient_add_statistics(sw_gradient *to, const sw_gradient *from);
/* Drops the pending reports. The gradient does not change. */
SW_API void sw_gradient_drop_statistics(sw_gradient *gradient);

#ifdef __cplusplus
}
#endif
#endif
