/* The largest eigenvalues of the Hessian, by the Lanczos method with full orthogonalization and thick restarts (K. Wu,
 * H. Simon, Thick-restart Lanczos method for large symmetric eigenvalue problems, 2000):
 *
 *     w = H v_j
 *     T_ij = ⟨v_i, w⟩ for i ≤ j;   w = w - Σ_i T_ij v_i;   v_(j+1) = w/‖w‖
 *     T = S diag(θ) Sᵀ;            the Ritz pairs are θ_i and Σ_j S_ji v_j, with the residuals ‖w‖ |S_mi|
 *
 * When the basis is full, the Ritz vectors of the largest θ replace it, T becomes diagonal, and v_(j+1) follows. All
 * T_ij are computed as inner products, so that the rows of T need no special treatment after a restart. */
#include "optim/landscapes/landscape_state.h"

#include <swale/gemm.h>
#include <swale/matrix.h>

#include <float.h>
#include <math.h>
#include <string.h>

typedef struct lanczos {
    sw_landscape *l;
    int count, basis, limit; /* eigenvalues; the largest number of vectors; of products */
    double tolerance;
    sw_rng rng;
    void *v;                 /* [basis + 1, dim] */
    void *product, *scratch; /* [dim] */
    double *T, *S, *theta;   /* [basis, basis], S_ij: element j of the eigenvector i; [basis], ascending */
    void *eigen_work;
    void *block, *factors; /* [basis, LANCZOS_BLOCK], [count + kept, basis] of the type of x */
    int size;              /* vectors for which T is complete */
    double next;           /* ‖w‖: the coupling of the next vector */
} lanczos;

enum { LANCZOS_BLOCK = 1024 };

static void *lanczos_vector(const lanczos *z, int i) {
    return swo_landscape_vector(z->l, z->v, i);
}

/* w = w - Σ ⟨v_i, w⟩ v_i over the first n vectors; adds the inner products to `along` unless it is NULL. Returns ‖w‖.
 * The second pass removes what rounding has left. */
static double lanczos_orthogonalize(const lanczos *z, int n, void *w, double *along) {
    const sw_landscape *l = z->l;
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < n; i++) {
            const double c = sw_vector_dot(l->type, l->dim, lanczos_vector(z, i), w);
            sw_vector_axpby(l->type, l->dim, 1, w, -c, lanczos_vector(z, i), w);
            if (along)
                along[i] += c;
        }
    return sqrt(sw_vector_dot(l->type, l->dim, w, w));
}

/* Vector n becomes a random one that is orthogonal to those before it. */
static void lanczos_start(lanczos *z, int n) {
    const sw_landscape *l = z->l;
    void *v = lanczos_vector(z, n);
    for (int pass = 0; pass < 2; pass++) { /* the second pass: after the cancellation of the first, if n is near dim */
        if (pass == 0)
            swo_landscape_random(l, false, &z->rng, v);
        const double length = lanczos_orthogonalize(z, n, v, NULL);
        sw_vector_axpby(l->type, l->dim, length > 0 ? 1 / length : 0, v, 0, NULL, v);
    }
}

/* One product: completes row `size` of T and makes the next vector. */
static sw_status lanczos_extend(lanczos *z) {
    const sw_landscape *l = z->l;
    const int j = z->size;
    double *row = z->T + (size_t)j * (size_t)z->basis, largest = 0;
    memset(row, 0, (size_t)z->basis * sizeof *row);
    SW_TRY(swo_landscape_hessian(z->l, lanczos_vector(z, j), z->product, z->scratch));
    z->next = lanczos_orthogonalize(z, j + 1, z->product, row);
    for (int i = 0; i <= j; i++) {
        z->T[(size_t)i * (size_t)z->basis + (size_t)j] = row[i];
        largest = fmax(largest, fabs(row[i]));
    }
    z->size++;
    if (z->size >= l->free_dim) {
        z->next = 0; /* the basis spans all vectors */
    } else if (z->next > 10 * (l->type == SW_F64 ? DBL_EPSILON : FLT_EPSILON) * largest) {
        sw_vector_axpby(l->type, l->dim, 1 / z->next, z->product, 0, NULL, lanczos_vector(z, z->size));
    } else {
        z->next = 0; /* H maps the span to itself: continue outside */
        lanczos_start(z, z->size);
    }
    return SW_OK;
}

/* Computes the Ritz pairs: theta ascending, S by rows. */
static sw_status lanczos_solve(lanczos *z) {
    const size_t n = (size_t)z->size;
    for (size_t i = 0; i < n; i++)
        memcpy(z->S + i * n, z->T + i * (size_t)z->basis, n * sizeof *z->S);
    return sw_symmetric_eigen(SW_F64, z->size, z->S, z->theta, z->S, z->eigen_work, NULL);
}

/* The residual of the pair i from the top. */
static double lanczos_residual(const lanczos *z, int i) {
    const size_t n = (size_t)z->size;
    return z->next * fabs(z->S[(n - 1 - (size_t)i) * n + n - 1]);
}

static bool lanczos_converged(const lanczos *z) {
    const double largest = fmax(fabs(z->theta[0]), fabs(z->theta[z->size - 1]));
    bool all = z->size >= z->count;
    for (int i = 0; all && i < z->count; i++)
        all = lanczos_residual(z, i) <= z->tolerance * largest;
    return all;
}

/* The first `kept` vectors become the Ritz vectors from the top, descending; `out` may be the basis. */
static sw_status lanczos_ritz_vectors(lanczos *z, int kept, void *out) {
    const sw_landscape *l = z->l;
    const size_t bytes = sw_dtype_size(l->type), n = (size_t)z->size;
    for (int i = 0; i < kept; i++)
        sw_vector_convert(SW_F64, z->size, z->S + (n - 1 - (size_t)i) * n, l->type,
                          (char *)z->factors + (size_t)i * n * bytes);
    for (int64_t at = 0; at < l->dim; at += LANCZOS_BLOCK) {
        const int64_t width = l->dim - at < LANCZOS_BLOCK ? l->dim - at : LANCZOS_BLOCK;
        for (int j = 0; j < z->size; j++)
            memcpy((char *)z->block + (size_t)(j * width) * bytes, (char *)lanczos_vector(z, j) + (size_t)at * bytes,
                   (size_t)width * bytes);
        SW_TRY(sw_gemm(l->type, false, false, kept, width, z->size, 1, z->factors, z->size, z->block, width, 0,
                       (char *)out + (size_t)at * bytes, l->dim));
    }
    return SW_OK;
}

static sw_status lanczos_restart(lanczos *z) {
    const sw_landscape *l = z->l;
    const int kept = z->count + (z->basis - z->count) / 2;
    const size_t bytes = (size_t)l->dim * sw_dtype_size(l->type);
    SW_TRY(lanczos_ritz_vectors(z, kept, z->v));
    memcpy(lanczos_vector(z, kept), lanczos_vector(z, z->size), bytes);
    memset(z->T, 0, (size_t)z->basis * (size_t)z->basis * sizeof *z->T);
    for (int i = 0; i < kept; i++)
        z->T[(size_t)i * (size_t)z->basis + (size_t)i] = z->theta[z->size - 1 - i];
    z->size = kept;
    return SW_OK;
}

static sw_status lanczos_run(lanczos *z) {
    lanczos_start(z, 0);
    for (int products = 0; products < z->limit || z->size < z->count; products++) {
        if (z->size == z->basis)
            SW_TRY(lanczos_restart(z));
        SW_TRY(lanczos_extend(z));
        SW_TRY(lanczos_solve(z));
        if (lanczos_converged(z))
            break;
    }
    return SW_OK;
}

static sw_status lanczos_allocate(lanczos *z) {
    const int64_t n = z->basis;
    const size_t bytes = sw_dtype_size(z->l->type);
    z->v = swo_landscape_vectors(z->l, n + 1);
    z->product = swo_landscape_vectors(z->l, 2);
    z->T = sw_alloc_array_for(SW_ACCOUNT_TEMPORARIES, 2 * n * n + n, sizeof *z->T);
    z->eigen_work = sw_alloc_for(SW_ACCOUNT_TEMPORARIES, sw_symmetric_eigen_work(SW_F64, n));
    z->block = sw_alloc_array_for(SW_ACCOUNT_TEMPORARIES, n * LANCZOS_BLOCK, bytes);
    z->factors = sw_alloc_array_for(SW_ACCOUNT_TEMPORARIES, n * n, bytes);
    if (!z->v || !z->product || !z->T || !z->eigen_work || !z->block || !z->factors)
        return sw_last_failure();
    z->scratch = swo_landscape_vector(z->l, z->product, 1);
    z->S = z->T + n * n;
    z->theta = z->S + n * n;
    return SW_OK;
}

static void lanczos_release(lanczos *z) {
    sw_free(z->v), sw_free(z->product), sw_free(z->T);
    sw_free(z->eigen_work), sw_free(z->block), sw_free(z->factors);
}

static sw_status lanczos_read_options(const sw_eigenvalues_options *given, lanczos *z) {
    enum { MOST = 10000 };
    sw_eigenvalues_options o = {.size = sizeof o};
    if (given)
        SW_TRY(sw_options_copy("landscape_eigenvalues", "sw_eigenvalues_options", &o, sizeof o, given, sizeof o));
    if (!(o.tolerance >= 0) || o.products < 0 || o.basis < 0 || z->count < 1 || z->count > MOST || o.basis > MOST)
        return sw_fail(SW_ERR_ARGUMENT,
                       "landscape_eigenvalues: count = %d, tolerance = %g, products = %d, basis = %d; count and basis "
                       "are at most %d, and none is negative",
                       z->count, o.tolerance, o.products, o.basis, MOST);
    if (z->count > z->l->free_dim)
        return sw_fail(SW_ERR_ARGUMENT, "landscape_eigenvalues: count = %d; %lld parameters are not frozen", z->count,
                       (long long)z->l->free_dim);
    if (o.basis > 0 && o.basis <= z->count)
        return sw_fail(SW_ERR_ARGUMENT, "landscape_eigenvalues: basis = %d; it must be above count = %d", o.basis,
                       z->count);
    z->tolerance = o.tolerance > 0 ? o.tolerance : 1e-3;
    z->limit = o.products > 0 ? o.products : 20 + 10 * z->count;
    z->basis = o.basis > 0 ? o.basis : 20 + 2 * z->count;
    if (z->basis > z->l->free_dim)
        z->basis = (int)z->l->free_dim;
    z->rng = (sw_rng){.key = sw_rng_key(o.seed, "eigenvalues")};
    return SW_OK;
}

sw_status sw_landscape_eigenvalues(sw_landscape *l, int count, const sw_eigenvalues_options *options, double *values,
                                   void *vectors, double *residuals) {
    SW_TRY(swo_landscape_check("landscape_eigenvalues", l, "values", values));
    SW_TRY(swo_landscape_check_hessian(l, "landscape_eigenvalues"));
    lanczos z = {.l = l, .count = count};
    SW_TRY(lanczos_read_options(options, &z));
    sw_status status = lanczos_allocate(&z);
    if (status == SW_OK)
        status = lanczos_run(&z);
    for (int i = 0; i < count && status == SW_OK; i++) {
        values[i] = z.theta[z.size - 1 - i];
        if (residuals)
            residuals[i] = lanczos_residual(&z, i);
    }
    if (status == SW_OK && vectors)
        status = lanczos_ritz_vectors(&z, count, vectors);
    lanczos_release(&z);
    return status;
}
