/* swale core, for those who write custom operations, layers, rules and estimators: memory,
 * kernels and threads, products, and the contract of an operation. The library's own operations are
 * written against this header alone.
 */
#ifndef SWALE_EXTEND_H
#define SWALE_EXTEND_H

#include <swale/blas.h>
#include <swale/broadcast.h>
#include <swale/copy.h>
#include <swale/core.h>
#include <swale/file.h>
#include <swale/gemm.h>
#include <swale/op.h>
#include <swale/parallel.h>
#include <swale/reduce_kernels.h>
#include <swale/status.h>
#include <swale/text.h>
#include <swale/vector.h>

#endif
