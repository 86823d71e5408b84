/* The headers for programmers who write custom operations, layers, rules and estimators: memory, kernels and threads,
 * matrix products, and the contract of an operation. A file with kernels includes kernel.h as well, and, if it needs
 * them, unary.h, kernel_rows.h, kernel_squares.h, kernel_compensated.h, kernel_roots.h and kernel_glm.h.
 */
#ifndef SWALE_EXTEND_H
#define SWALE_EXTEND_H

#include <swale/attention_kernels.h>
#include <swale/blas.h>
#include <swale/broadcast.h>
#include <swale/conv_kernels.h>
#include <swale/copy.h>
#include <swale/core.h>
#include <swale/file.h>
#include <swale/gemm.h>
#include <swale/matrix.h>
#include <swale/newton_schulz.h>
#include <swale/op.h>
#include <swale/packed_product.h>
#include <swale/parallel.h>
#include <swale/reduce_kernels.h>
#include <swale/status.h>
#include <swale/text.h>
#include <swale/vector.h>
#include <swale/wide_rows.h>

#endif
