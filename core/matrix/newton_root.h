/* The coupled Newton iteration for inverse roots. */
#ifndef SWALE_MATRIX_NEWTON_ROOT_H
#define SWALE_MATRIX_NEWTON_ROOT_H

#include <swale/matrix.h>

/* root = P^(-1/order) for a symmetric positive definite P [n,n], which is overwritten, by the iteration that
 * sw_inverse_root describes. `work` has SWI_NEWTON_MATRICES matrices, each rounded up to SW_ALIGNMENT bytes. Writes
 * outcome, error and iterations of the report; `root` is valid if the outcome is SW_MATRIX_OK. */
enum { SWI_NEWTON_MATRICES = 4 };
sw_status swi_newton_root(sw_dtype type, int64_t n, const sw_root_options *options, void *P, void *root, void *work,
                          sw_root_report *report);

#endif
