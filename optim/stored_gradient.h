/* Gradients and leaves in 16 bits.
 *
 * Rules compute in the type of x. If the gradient is f16 or bf16, it is converted while the step runs, in blocks that
 * stay in the cache, so that there is no gradient in f32. In the same blocks the new x is rounded to the copy that the
 * leaves of tapes read. The bits of x are those of a step with the whole gradient in f32.
 *
 * `g` is the gradient of the step: dim elements of o->g_type, multiplied by o->g_factor when they are read. If g has
 * the type of x, the factor is 1, and nothing is converted. */
#ifndef SWALE_OPTIM_STORED_GRADIENT_H
#define SWALE_OPTIM_STORED_GRADIENT_H

#include "optim/optimizer.h"

/* Whether the gradient of the step is f16 or bf16. */
static inline bool swo_gradient_is_stored(const sw_optim *o) {
    return o->g_type != o->type;
}
/* The factor by which the elements of the parameters' block must be multiplied, after a backward pass. */
double swo_stored_factor(const sw_gradient *block);
/* Whether a part of the step needs the whole gradient in the type of x: a line search, a rule of unit VECTOR, or one
 * that updates parameters in parts. */
bool swo_needs_wide_gradient(const sw_optim *o);
/* The vector for it, if the block has another type. NULL after an error. */
void *swo_wide_gradient(sw_optim *o);
/* Allocates the copy of one parameter's gradient, if a rule of unit TENSOR and the type of the block need it. */
sw_status swo_tensor_gradient_alloc(sw_optim *o);
/* The bytes of both. */
size_t swo_stored_gradient_bytes(const sw_optim *o);
void swo_stored_gradient_free(sw_optim *o);

/* Writes elements [offset, offset + count) of the gradient to `to`, in the type of x. */
void swo_read_gradient(const sw_optim *o, const void *g, int64_t offset, int64_t count, void *to);
/* As sw_vector_norm, of count elements from `offset` on. */
sw_status swo_gradient_norm(const sw_optim *o, const void *g, int64_t offset, int64_t count, double *norm);
/* The same of a whole block. Reads only elements whose writer did not report them (sw_call_squares). */
sw_status swo_block_norm(const sw_optim *o, sw_gradient *block, double *norm);
/* Sets step->g to the gradient of the parameter. For a gradient in 16 bits this is a copy, which is valid until the
 * next call. */
void swo_set_tensor_gradient(const sw_optim *o, const void *g, sw_step *step);

/* Runs a kernel on the elements of a step of the group, which begin at `offset` in x. If g is stored in 16 bits, the
 * kernel receives blocks of it as step->g; otherwise step->g is used (g NULL: there is no gradient). */
void swo_run_elements(const sw_optim *o, const swo_group *group, const sw_kernels *kernels, const sw_step *step,
                      int64_t offset, const void *g);
/* The same for the update of the rule, which also writes the copy of x. A line search changes x again; then the copy is
 * written at the end of the step. */
void swo_run_update(const sw_optim *o, const swo_group *group, const sw_step *step, int64_t offset, const void *g);
/* The same for the sums of the rule. */
void swo_run_measure(const sw_optim *o, const swo_group *group, const sw_step *step, int64_t offset, const void *g,
                     double *sums);
/* Rounds elements [offset, offset + count) of x to the copy, if there is one. */
void swo_update_copy(const sw_optim *o, int64_t offset, int64_t count);
/* The largest number that the copy can hold, or INFINITY if it can hold every number of x. */
double swo_largest_in_copy(const sw_optim *o);
/* The index of the first of these elements of x that is finite, and Inf in the copy; -1: none. */
int64_t swo_find_beyond_copy(const sw_params *params, const void *x, int64_t count);
/* Returns an error if one of these elements of x, which are finite and belong to the parameter, would be Inf in the
 * copy. */
sw_status swo_check_range_of_copy(const sw_optim *o, const char *kind, const char *method, const sw_param *param,
                                  const void *x, int64_t count);

#endif
