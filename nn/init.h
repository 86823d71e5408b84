/* Methods for the initial values of parameters.
 *
 *     sw_module_set_init(layer, sw_init_he_normal(sqrt(2)));
 *
 * The values are a function of the seed and the name of the parameter; f32 values are the rounded f64 values. An
 * argument out of its range is an error when the parameters are built (SW_ERR_ARGUMENT). params.h explains how to write
 * another method.
 */
#ifndef SWALE_INIT_H
#define SWALE_INIT_H

#include <swale/params.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Given distributions ---- */

SW_API sw_init sw_init_zeros(void);                           /* all values are 0 */
SW_API sw_init sw_init_constant(double value);                /* all values are equal; 1: PyTorch's ones_ */
SW_API sw_init sw_init_normal(double mean, double deviation); /* normal; standard deviation ≥ 0 */
SW_API sw_init sw_init_uniform(double low, double high);      /* uniform; low ≤ high */
/* The normal distribution with this mean and standard deviation, restricted to [low, high]. low and high are values,
 * not multiples of the deviation, and may be infinite. deviation > 0, low < high. Robert, Statistics and Computing
 * 1995. */
SW_API sw_init sw_init_truncated_normal(double mean, double deviation, double low, double high);

/* ---- Scaled by the numbers of inputs and outputs ---- */
/* `gain` multiplies the standard deviation: √2 for a layer before ReLU, 1 for a linear layer, 5/3 for tanh. A parameter
 * without fan_in is an error. */

/* Variance gain²/fan_in. He, Zhang, Ren, Sun, ICCV 2015 (their gain is √2). */
SW_API sw_init sw_init_he_normal(double gain);
SW_API sw_init sw_init_he_uniform(double gain);
/* Variance 2 gain²/(fan_in + fan_out). Glorot, Bengio, AISTATS 2010 (their gain is 1). */
SW_API sw_init sw_init_xavier_normal(double gain);
SW_API sw_init sw_init_xavier_uniform(double gain);
/* Variance 1/fan_in. LeCun, Bottou, Orr, Müller, Efficient BackProp, 1998. */
SW_API sw_init sw_init_lecun_normal(void);
SW_API sw_init sw_init_lecun_uniform(void);
/* Uniform within ±1/√fan_in: the initial values of PyTorch's linear layers, both the weight (there
 * kaiming_uniform_(a=√5)) and the bias. */
SW_API sw_init sw_init_pytorch(void);
/* `gain` times a matrix with orthonormal rows, or with orthonormal columns if it has fewer columns than rows, drawn
 * uniformly from all such matrices. The matrix is [shape[0], product of the other lengths]; the parameter must have at
 * least two axes. Saxe, McClelland, Ganguli, ICLR 2014. OpenBLAS computes it, so that the last bits may differ between
 * processors. */
SW_API sw_init sw_init_orthogonal(double gain);

#ifdef __cplusplus
}
#endif
#endif
