/* Arrays, tensors and parameters as text; the graph as DOT; the gradient check. */
#ifndef SWALE_INSPECT_H
#define SWALE_INSPECT_H

#include <swale/tape.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Type and shape, then one row a line, broken after 100 columns; above 1000 elements the first and last
 * three of each axis. */
SW_API void sw_array_print(const sw_array *array, FILE *to);
/* Layer, operation or leaf, shape, value; the gradient where there is one (see sw_retain_grad). A null or
 * stale tensor is called that, and is no error. */
SW_API void sw_tensor_print(sw_tensor t, FILE *to);
/* Name, role, shape, value, gradient. */
SW_API void sw_param_print(const sw_param *param, FILE *to);
/* The graph of what is on the tape, in Graphviz's DOT: operations with shape and a summary of value and
 * gradient, grouped by layer, leaves with their parameters' names. With SW_KEEP all values and gradients
 * are still there after backward. `dot -Tsvg graph.dot`. */
SW_API sw_status sw_tape_dot(const sw_tape *tape, FILE *to);

/* ---- Gradient check ---- */

/* A function of tensors under test: builds its result on the tape from the inputs. */
typedef sw_tensor (*sw_function)(void *user, sw_tape *tape, const sw_tensor *inputs);

typedef struct sw_gradcheck_options {
    size_t size;       /* sizeof(sw_gradcheck_options) */
    double step;       /* of the central difference; 0 means 1e-6 */
    double atol, rtol; /* |analytic - numeric| ≤ atol + rtol·|numeric|; 0 means 1e-7, 1e-6 */
    uint64_t seed;     /* of the random cotangent */
    unsigned no_grad;  /* bit i: input i is passed without gradient */
    unsigned switches; /* of the tape; 0 means those of a new tape */
} sw_gradcheck_options;

/* Compares the gradient of ⟨f(inputs), random cotangent⟩ with central differences, in f64, while every vjp
 * sees NaN in values that it has not declared to read, for
 * every element of every f64 input. The inputs' data are moved and put back. `worst`, if not NULL,
 * gets the largest |analytic - numeric| / (atol + rtol·|numeric|). SW_ERR_GRADIENT names input and
 * element. Equal draws of random numbers are seen by every evaluation. */
SW_API sw_status sw_gradcheck(sw_function f, void *user, int count, const sw_array *inputs,
                              const sw_gradcheck_options *options, double *worst);

#ifdef __cplusplus
}
#endif
#endif
