/* Inspection: arrays, tensors and parameters as text, the graph of a tape in the DOT language, memory, and the gradient
 * check. */
#ifndef SWALE_INSPECT_H
#define SWALE_INSPECT_H

#include <swale/tape.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Text and graphs ---- */

/* Prints the type and shape, and then one row per line, wrapped at 100 columns. For an array with more than 1000
 * elements it prints only the first three and the last three along each axis. */
SW_API void sw_array_print(const sw_array *array, FILE *to);
/* Prints the layer, the operation or the kind of leaf, the shape and the value of a tensor, and its gradient if it has
 * one (see sw_retain_grad). A null or stale tensor is printed as such and is not an error. */
SW_API void sw_tensor_print(sw_tensor t, FILE *to);
/* Prints the name, role, shape, value and gradient of a parameter. */
SW_API void sw_param_print(const sw_param *param, FILE *to);
/* Writes the graph of the tensors on the tape in the DOT language of Graphviz: operations with their shapes and
 * summaries of values and gradients, grouped by layer, and leaves with the names of their parameters. With the switch
 * SW_KEEP all values and gradients are still available after backward. `dot -Tsvg graph.dot` draws the file. */
SW_API sw_status sw_tape_dot(const sw_tape *tape, FILE *to);

/* ---- Memory ---- */

/* Prints the memory report (sw_memory_report): a line for each account and name with its bytes now and at most, such as
 * "memory.optimizer.adam.m 318144 318144", the total, and a line about memory that is not counted because it belongs to
 * other libraries. */
SW_API void sw_memory_print(FILE *to);
/* Prints the memory of a tape in bytes: the capacity, the high-water mark and the live set of its arena; if SW_MEASURE
 * was on, the activations of each layer ("activations.linear1 25600") and their sum. */
SW_API void sw_tape_memory_print(const sw_tape *tape, FILE *to);

/* ---- Gradient check ---- */

/* Options of the gradient check. */
typedef struct sw_gradcheck_options {
    size_t size;       /* sizeof(sw_gradcheck_options) */
    double step;       /* the step of the central difference is step · max(1, |x|); 0 means 1e-6 */
    double atol, rtol; /* |analytic - numeric| ≤ atol + rtol·|numeric|; 0 means 1e-7, 1e-6 */
    uint64_t seed;     /* the seed of the random cotangent */
    unsigned no_grad;  /* bit i: input i is passed without gradient */
    unsigned switches; /* the switches of the tape; 0 means those of a new tape */
} sw_gradcheck_options;

/* Checks the derivatives of f: compares the gradient of ⟨f(inputs), random cotangent⟩ with central differences in f64,
 * for every element of every f64 input. While a vjp runs, the values that are not in its vjp_reads are NaN. All
 * evaluations draw the same random numbers. The function changes the data of the inputs and restores them. Inputs of
 * other types are passed without gradient, and the result of f must be f64, because differences of numbers in f32, f16
 * or bf16 have too few digits: check a function in f64, and compare its gradients in other types with those in f64.
 * `worst`, if not NULL, receives the largest |analytic - numeric| / (atol + rtol·|numeric|). If the ratio of an element
 * exceeds 1, the error SW_ERR_GRADIENT names the input and the element. options may be NULL. */
SW_API sw_status sw_gradcheck(sw_function f, void *user, int count, const sw_array *inputs,
                              const sw_gradcheck_options *options, double *worst);

#ifdef __cplusplus
}
#endif
#endif
