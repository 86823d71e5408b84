/* Inverse roots of symmetric matrices: by eigendecomposition, and by the coupled Newton iteration. */
#include <swale/blas.h>
#include <swale/gemm.h>
#include <swale/memory.h>
#include <swale/status.h>
#include <swale/vector.h>

#include "core/base/dry_run_state.h"
#include "core/matrix/newton_root.h"
#include "core/matrix/square.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

static const char root_name[] = "inverse root";

static const sw_root_options root_defaults = {
    .size = sizeof(sw_root_options), .order = 2, .iterations = 100, .tolerance = 1e-6, .acceptable = 0.1};

/* The options with their defaults. */
static sw_status root_options(const sw_root_options *given, sw_root_options *o) {
    *o = (sw_root_options){.size = sizeof *o};
    if (given)
        SW_TRY(sw_options_copy(root_name, "sw_root_options", o, sizeof *o, given, sizeof *o));
    o->order = o->order == 0 ? root_defaults.order : o->order;
    o->iterations = o->iterations == 0 ? root_defaults.iterations : o->iterations;
    o->tolerance = o->tolerance == 0 ? root_defaults.tolerance : o->tolerance;
    o->acceptable = o->acceptable == 0 ? root_defaults.acceptable : o->acceptable;
    if (o->order < 1 || o->iterations < 1)
        return sw_fail(SW_ERR_ARGUMENT, "%s: order %d and iterations %d, expected 1 or more", root_name, o->order,
                       o->iterations);
    if (!(o->ridge >= 0 && o->cutoff >= 0 && o->tolerance > 0 && o->acceptable > 0))
        return sw_fail(SW_ERR_ARGUMENT,
                       "%s: ridge %g, cutoff %g, tolerance %g, acceptable %g; expected numbers that are not negative",
                       root_name, o->ridge, o->cutoff, o->tolerance, o->acceptable);
    if (o->method != SW_ROOT_EIGEN && o->method != SW_ROOT_NEWTON)
        return sw_fail(SW_ERR_ARGUMENT, "%s: method %d, expected SW_ROOT_EIGEN or SW_ROOT_NEWTON", root_name,
                       (int)o->method);
    if (o->pseudo && o->method == SW_ROOT_NEWTON)
        return sw_fail(SW_ERR_ARGUMENT, "%s: pseudo needs the method SW_ROOT_EIGEN", root_name);
    return SW_OK;
}

/* The workspace: the matrix; its eigenvalues; LAPACK's workspace, which afterwards holds the root; and the matrices of
 * the Newton iteration. */
typedef struct root_memory {
    char *matrix, *values, *rest, *newton;
} root_memory;

static size_t root_matrix_bytes(sw_dtype compute, int64_t n) {
    return swi_work_bytes((double)n * (double)n, sw_dtype_size(compute));
}

static root_memory root_divide(sw_dtype compute, int64_t n, char *work) {
    root_memory m = {.matrix = work};
    m.values = m.matrix + root_matrix_bytes(compute, n);
    m.rest = m.values + swi_work_bytes((double)n, sw_dtype_size(compute));
    m.newton = m.rest + swi_eigen_in_place_work(compute, n);
    return m;
}

static sw_dtype root_compute_type(sw_dtype type, const sw_root_options *o) {
    return o && o->wide ? SW_F64 : type;
}

size_t sw_inverse_root_work(sw_dtype type, int64_t n, const sw_root_options *options) {
    sw_root_options o = {0};
    if (n > SWI_LARGEST_SQUARE || root_options(options, &o) != SW_OK)
        return SIZE_MAX;
    const sw_dtype compute = root_compute_type(type, &o);
    const size_t matrices = 1 + (o.method == SW_ROOT_NEWTON ? SWI_NEWTON_MATRICES : 0);
    return matrices * root_matrix_bytes(compute, n) + swi_work_bytes((double)n, sw_dtype_size(compute)) +
           swi_eigen_in_place_work(compute, n);
}

static double root_value(sw_dtype type, const void *values, int64_t i) {
    return type == SW_F32 ? (double)((const float *)values)[i] : ((const double *)values)[i];
}

/* What is added to every eigenvalue: first the shift, so that the least one is exactly 0, and then the ridge, which may
 * be far smaller. */
typedef struct root_added {
    double shift, ridge;
} root_added;

/* Also writes the least and the largest eigenvalue of A. */
static root_added root_added_of(sw_dtype type, int64_t n, const void *values, const sw_root_options *o,
                                sw_root_report *report) {
    report->least = root_value(type, values, 0);
    report->largest = root_value(type, values, n - 1);
    const double shift = o->shift_negative && report->least < 0 ? -report->least : 0;
    return (root_added){shift, o->ridge * (o->ridge_relative ? report->largest + shift : 1)};
}

/* root = Σ f_i v_i v_iᵀ = WᵀW, where row i of W is √f_i v_i, f_i = (λ_i + added)^(-1/r). */
static sw_status root_by_eigen(sw_dtype type, int64_t n, const sw_root_options *o, const root_memory *m,
                               sw_root_report *report) {
    SW_TRY(swi_eigen_in_place(type, n, true, m->matrix, m->values, m->rest, &report->outcome));
    if (report->outcome != SW_MATRIX_OK)
        return SW_OK;
    const root_added added = root_added_of(type, n, m->values, o, report);
    const double cutoff = o->cutoff > 0 ? o->cutoff : (double)n * swi_matrix_epsilon(type);
    for (int64_t i = 0; i < n; i++) {
        const double value = root_value(type, m->values, i) + added.shift;
        const bool left_out = o->pseudo && value <= cutoff * (report->largest + added.shift);
        if (!left_out && !(value + added.ridge > 0)) {
            report->outcome = SW_MATRIX_NOT_POSITIVE;
            return SW_OK;
        }
        const double f = left_out ? 0 : pow(value + added.ridge, -0.5 / o->order);
        void *v = m->matrix + i * n * (int64_t)sw_dtype_size(type);
        sw_vector_axpby(type, n, f, v, 0, NULL, v);
    }
    return sw_symmetric_product(type, true, n, n, 1, m->matrix, n, 0, m->rest, n);
}

/* Whether the norm of a root is at most twice that of the matrix least^(-1/r) I, where `least` is the least eigenvalue
 * of A + ridge I. If `least` is below the rounding errors of the largest one, the iteration may converge to the root of
 * a matrix with a far smaller eigenvalue. */
static bool root_is_possible(sw_dtype type, int64_t n, const sw_root_options *o, double least, const void *root) {
    double norm;
    return least > 0 && sw_vector_norm(type, n * n, root, &norm) == SW_OK &&
           norm <= 2 * sqrt((double)n) * pow(least, -1.0 / o->order);
}

/* The Newton iteration on A + ridge I. The largest eigenvalue is LAPACK's: it takes a tenth of the time. */
static sw_status root_by_newton(sw_dtype type, int64_t n, const sw_root_options *o, const root_memory *m,
                                sw_root_report *report) {
    const bool needs_values = o->ridge_relative || o->shift_negative;
    double added = o->ridge;
    report->least = report->largest = (double)NAN;
    if (needs_values) {
        memcpy(m->newton, m->matrix, (size_t)(n * n) * sw_dtype_size(type));
        SW_TRY(swi_eigen_in_place(type, n, false, m->newton, m->values, m->rest, &report->outcome));
        if (report->outcome != SW_MATRIX_OK)
            return SW_OK;
        const root_added both = root_added_of(type, n, m->values, o, report);
        added = both.shift + both.ridge;
    }
    if (added != 0)
        swi_square_shift(type, n, 1, added, m->matrix);
    SW_TRY(swi_newton_root(type, n, o, m->matrix, m->rest, m->newton, report));
    if (needs_values && report->outcome == SW_MATRIX_OK &&
        !root_is_possible(type, n, o, report->least + added, m->rest))
        report->outcome = SW_MATRIX_NOT_CONVERGED;
    return SW_OK;
}

sw_status sw_inverse_root(sw_dtype type, int64_t n, const void *A, const sw_root_options *options, void *root,
                          void *work, sw_root_report *report) {
    sw_root_options o;
    SW_TRY(swi_square_arguments(root_name, type, n, SWI_LARGEST_SQUARE));
    SW_TRY(root_options(options, &o));
    if (report && report->size != sizeof *report)
        return sw_fail(SW_ERR_ARGUMENT, "%s: report.size is %zu; sizeof(sw_root_report) is %zu", root_name,
                       report->size, sizeof *report);
    sw_root_report r = {.size = sizeof r, .least = (double)NAN, .largest = (double)NAN};
    const sw_dtype compute = root_compute_type(type, &o);
    if (n > 0 && !swi_dry_run())
        SW_TRY(swi_matrix_pointers(root_name, A, root, work, "sw_inverse_root_work"));
    const root_memory m = root_divide(compute, n, work);
    if (n > 0 && !swi_dry_run()) {
        r.outcome = swi_square_copy(type, n, A, compute, m.matrix);
        if (r.outcome == SW_MATRIX_OK)
            SW_TRY((o.method == SW_ROOT_EIGEN ? root_by_eigen : root_by_newton)(compute, n, &o, &m, &r));
        if (r.outcome == SW_MATRIX_OK) {
            sw_vector_convert(compute, n * n, m.rest, type, m.matrix);
            double norm;
            if (sw_vector_norm(type, n * n, m.matrix, &norm) != SW_OK)
                r.outcome = SW_MATRIX_NOT_FINITE;
            else
                memcpy(root, m.matrix, (size_t)(n * n) * sw_dtype_size(type));
        }
    }
    if (report)
        *report = r;
    return swi_matrix_end(root_name, r.outcome, type, n, A, report ? &report->outcome : NULL);
}
