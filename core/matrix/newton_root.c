/* The coupled Newton iteration. M converges to I and H to P^(-1/r), because H^-r M = P holds in each iteration:
 *
 *     T = ((1 + r) I - M) / r;   M = T^r M;   H = H T
 *
 * All matrices are polynomials of P, and therefore symmetric and commute. */
#include <swale/status.h>
#include <swale/vector.h>

#include "core/matrix/newton_root.h"
#include "core/matrix/square.h"
#include "core/matrix/symmetric_result.h"

#include <math.h>
#include <string.h>

/* C = A B of symmetric matrices that commute. C is exactly symmetric, and half of the products are computed. */
static sw_status newton_multiply(sw_dtype type, int64_t n, const void *A, const void *B, void *C) {
    if (A == B)
        return sw_symmetric_product(type, false, n, n, 1, A, n, 0, C, n);
    return swi_symmetric_result(type, n, A, n, B, n, C, n);
}

static void newton_swap(char **a, char **b) {
    char *c = *a;
    *a = *b;
    *b = c;
}

/* M = T^r M by repeated squaring of T, which is overwritten; with two more matrices. */
static sw_status newton_apply_power(sw_dtype type, int64_t n, int r, char **T, char **M, char **spare) {
    for (;; r /= 2) {
        if (r % 2 == 1) {
            SW_TRY(newton_multiply(type, n, *T, *M, *spare));
            newton_swap(M, spare);
        }
        if (r == 1)
            return SW_OK;
        SW_TRY(newton_multiply(type, n, *T, *T, *spare));
        newton_swap(T, spare);
    }
}

/* root = (H + Hᵀ)/2. */
static void newton_write_root(sw_dtype type, int64_t n, const char *H, void *root) {
    const size_t bytes = (size_t)(n * n) * sw_dtype_size(type);
    memcpy(root, H, bytes);
    swi_square_average(type, n, root);
}

/* In f32 the error may stay above the tolerance. An error up to this number no longer decreases by squares because of
 * rounding errors, which are about √n ε: an eigenvalue of M that is still far from 1 makes an error of at least 1/n. */
static double newton_floor(sw_dtype type, int64_t n) {
    return fmin(8 * sqrt((double)n) * swi_matrix_epsilon(type), 0.25 / (double)n);
}

sw_status swi_newton_root(sw_dtype type, int64_t n, const sw_root_options *o, void *P, void *root, void *work,
                          sw_root_report *report) {
    enum { FACTOR = 5 }; /* the error may grow by 1/FACTOR */
    const size_t bytes = swi_work_bytes((double)n * (double)n, sw_dtype_size(type));
    char *M = P, *H = work, *next = H + bytes, *T = next + bytes, *spare = T + bytes;
    double norm = 0;
    report->outcome = SW_MATRIX_NOT_CONVERGED;
    if (sw_vector_norm(type, n * n, P, &norm) != SW_OK || !(norm > 0))
        return SW_OK;
    const double z = (1 + o->order) / (2 * norm), r = o->order;
    swi_square_shift(type, n, z, 0, M);
    sw_vector_fill(type, n * n, 0, H);
    swi_square_shift(type, n, 1, pow(z, 1 / r), H);
    const double floor = newton_floor(type, n);
    double error = swi_identity_distance(type, n, M);
    while (error > o->tolerance && report->iterations < o->iterations) {
        sw_vector_axpby(type, n * n, -1 / r, M, 0, NULL, T);
        swi_square_shift(type, n, 1, (1 + r) / r, T);
        SW_TRY(newton_multiply(type, n, H, T, next));
        SW_TRY(newton_apply_power(type, n, o->order, &T, &M, &spare));
        report->iterations++;
        const double before = error;
        error = swi_identity_distance(type, n, M);
        if (!(error <= before + before / FACTOR)) { /* diverges, or holds NaN: the previous H is better */
            error = before;
            break;
        }
        newton_swap(&H, &next);
        if (error <= floor && error > before / 2) /* only rounding errors are left */
            break;
    }
    report->error = error;
    if (error <= o->acceptable) {
        report->outcome = SW_MATRIX_OK;
        newton_write_root(type, n, H, root);
    }
    return SW_OK;
}
