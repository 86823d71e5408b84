/* Initial values of parameters. */
#ifndef SWALE_INIT_H
#define SWALE_INIT_H

#include <swale/params.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Functions of seed and parameter name alone; f32 ones are the f64 ones rounded. Numbers outside their
 * range are errors of the build. */

SW_API sw_init sw_init_zeros(void);                           /* all 0 */
SW_API sw_init sw_init_constant(double value);                /* all equal */
SW_API sw_init sw_init_normal(double mean, double deviation); /* deviation ≥ 0 */
SW_API sw_init sw_init_uniform(double low, double high);      /* low ≤ high */
/* Normal(mean, deviation) given that it lies within [low, high], which are values, not multiples of the
 * deviation, and may be infinite. deviation > 0, low < high. Robert, Statistics and Computing 1995. */
SW_API sw_init sw_init_truncated_normal(double mean, double deviation, double low, double high);

/* gain scales the standard deviation: √2 after ReLU, 1 for a linear layer, 5/3 for tanh. */
/* Variance gain²/fan_in. He, Zhang, Ren, Sun, ICCV 2015 (their gain is √2). */
SW_API sw_init sw_init_he_normal(double gain);
SW_API sw_init sw_init_he_uniform(double gain);
/* Variance 2 gain²/(fan_in + fan_out). Glorot, Bengio, AISTATS 2010 (their gain is 1). */
SW_API sw_init sw_init_xavier_normal(double gain);
SW_API sw_init sw_init_xavier_uniform(double gain);
/* Variance 1/fan_in. LeCun, Bottou, Orr, Müller, Efficient BackProp, 1998. */
SW_API sw_init sw_init_lecun_normal(void);
SW_API sw_init sw_init_lecun_uniform(void);
/* Uniform within ±1/√fan_in: what PyTorch's linear layers start with, weight (there
 * kaiming_uniform_(a=√5)) and bias. */
SW_API sw_init sw_init_pytorch(void);
/* The parameter as a matrix [shape[0], the rest] is gain times one with orthonormal rows, or columns if
 * there are fewer of these; uniform among all such. Two axes or more. Saxe, McClelland, Ganguli, ICLR 2014.
 * By OpenBLAS, so that the last bits may differ between processors. */
SW_API sw_init sw_init_orthogonal(double gain);

#ifdef __cplusplus
}
#endif
#endif
