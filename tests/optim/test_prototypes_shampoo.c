/* Shampoo in blocks, a rule that updates matrices by independent parts. V. Gupta, T. Koren, Y. Singer, Shampoo:
 * preconditioned stochastic tensor optimization, ICML 2018; blocks and the iteration for roots are from R. Anil et al.,
 * Scalable second order optimization for deep learning, 2020.
 *
 * For each block G [m,n] of a gradient
 *     L ← L + G Gᵀ,   R ← R + Gᵀ G
 *     x ← x - lr (εI + L)^(-1/4) G (εI + R)^(-1/4)
 * where the roots are computed again in every `every`-th step. */
#include "prototypes.h"

enum { LR, EPS, BLOCK, EVERY };
static const sw_option shampoo_options[] = {
    {.name = "lr", .value = 0.1, .low = 0, .high = 1e3, .help = "learning rate"},
    {.name = "eps", .value = 1e-2, .low = 0, .high = 1e3, .help = "ε"},
    {.name = "block", .kind = SW_OPTION_INTEGER, .value = 128, .low = 1, .high = 1024, .help = "rows of a block"},
    {.name = "every", .kind = SW_OPTION_INTEGER, .value = 1, .low = 1, .high = 1e6, .help = "steps between roots"},
    {0}};

/* ---- Blocks ---- */

/* The blocks of a matrix, and one of them. Those at the ends may be smaller. */
typedef struct blocks {
    int64_t size, columns;           /* the size of all blocks except the last ones; the number of blocks in a row */
    int64_t row, column, m, n, rows; /* where the block begins; its shape; the number of blocks in a column */
} blocks;

static blocks block_of(const sw_param *p, const double *option, int64_t part) {
    blocks b = {.size = (int64_t)option[BLOCK]};
    b.rows = (p->shape[0] + b.size - 1) / b.size;
    b.columns = (p->shape[1] + b.size - 1) / b.size;
    if (b.columns == 0)
        return b;
    b.row = part / b.columns * b.size;
    b.column = part % b.columns * b.size;
    b.m = p->shape[0] - b.row < b.size ? p->shape[0] - b.row : b.size;
    b.n = p->shape[1] - b.column < b.size ? p->shape[1] - b.column : b.size;
    return b;
}

static int64_t shampoo_parts(const sw_param *p, const double *option, sw_dtype type) {
    const blocks b = block_of(p, option, 0);
    (void)type;
    return b.rows * b.columns;
}

/* Σ m² over the blocks before this part, which is where the m × m matrix of its block begins. With part = `parts`, the
 * end of all. */
static int64_t left_at(const sw_param *p, const double *option, int64_t part) {
    const blocks b = block_of(p, option, part);
    const int64_t above = b.columns ? part / b.columns : 0;
    if (above == b.rows && above > 0) { /* the end */
        const int64_t last = p->shape[0] - (b.rows - 1) * b.size;
        return b.columns * ((b.rows - 1) * b.size * b.size + last * last);
    }
    return b.columns * above * b.size * b.size + (b.columns ? part % b.columns : 0) * b.m * b.m;
}

static int64_t right_at(const sw_param *p, const double *option, int64_t part) {
    const blocks b = block_of(p, option, part);
    if (b.columns == 0)
        return 0;
    const int64_t last = p->shape[1] - (b.columns - 1) * b.size,
                  row = (b.columns - 1) * b.size * b.size + last * last; /* of all blocks in a row */
    return part / b.columns * row + part % b.columns * b.size * b.size;
}

static int64_t left_count(const sw_slot_sizes *s) {
    return left_at(s->param, s->option, shampoo_parts(s->param, s->option, s->type));
}

static int64_t right_count(const sw_slot_sizes *s) {
    return right_at(s->param, s->option, shampoo_parts(s->param, s->option, s->type));
}

enum { LEFT, RIGHT, LEFT_ROOT, RIGHT_ROOT };
static const sw_slot shampoo_slots[] = {{.name = "left", .count = left_count},
                                        {.name = "right", .count = right_count},
                                        {.name = "left_root", .count = left_count},
                                        {.name = "right_root", .count = right_count},
                                        {0}};

/* Five squares in f64 for a root; L G and L G R. */
static size_t shampoo_workspace(const sw_param *p, const double *option, sw_dtype type) {
    const blocks b = block_of(p, option, 0); /* the largest */
    const int64_t k = b.m > b.n ? b.m : b.n;
    return (size_t)(5 * k * k) * sizeof(double) + (size_t)(2 * b.m * b.n) * sw_dtype_size(type);
}

/* About 20 iterations of four products for each root. */
static double shampoo_cost(const sw_param *p, const double *option, sw_dtype type, int64_t part) {
    const blocks b = block_of(p, option, part);
    (void)type;
    return 80 / option[EVERY] * (double)(b.m * b.m * b.m + b.n * b.n * b.n) + 4 * (double)(b.m * b.n * (b.m + b.n));
}

static bool shampoo_fits(const sw_param *p, const double *option, sw_dtype type, char *reason, size_t size) {
    (void)option, (void)type;
    if (p->rank != 2)
        sw_format(reason, size, "its rank is %d, and a matrix is needed", p->rank);
    return p->rank == 2;
}

/* ---- Roots ---- */

/* T ← (5 I - M)/4; returns max |M - I|. */
static double root_factor(int64_t k, const double *M, double *T) {
    double worst = 0;
    for (int64_t i = 0; i < k * k; i++) {
        const double one = i % (k + 1) == 0, away = fabs(M[i] - one);
        T[i] = (5 * one - M[i]) / 4;
        worst = away > worst || isnan(away) ? away : worst;
    }
    return worst;
}

/* A ← A^(-1/4) for a positive definite A [k,k]: M ← T⁴ M, X ← X T with T = (5 I - M)/4, from M = zA and
 * X = z^(1/4) I with z = 5/(2‖A‖). M goes to I, at the end with a squared error in each iteration. */
static sw_status root_of(int64_t k, double *A, double *work) {
    enum { MOST = 100 };
    double *M = A, *X = work, *T = X + k * k, *square = T + k * k, *next = square + k * k, norm = 0;
    const double at_the_end = 1e-9; /* whose square is below the rounding error */
    for (int64_t i = 0; i < k * k; i++)
        norm = hypot(norm, A[i]);
    if (!(norm > 0))
        return sw_fail(SW_ERR_NONFINITE, "proto_shampoo: the gradients' squares are 0; eps above 0 is needed");
    const double z = 2.5 / norm;
    for (int64_t i = 0; i < k * k; i++) {
        M[i] *= z;
        X[i] = i % (k + 1) == 0 ? sqrt(sqrt(z)) : 0;
    }
    for (int i = 0; i < MOST; i++) {
        const double away = root_factor(k, M, T);
        double *swap = X;
        SW_TRY(sw_gemm(SW_F64, false, false, k, k, k, 1, X, k, T, k, 0, next, k));
        X = next;
        next = swap;
        if (away < at_the_end) {
            memcpy(A, X, (size_t)(k * k) * sizeof *A);
            return SW_OK;
        }
        SW_TRY(sw_gemm(SW_F64, false, false, k, k, k, 1, T, k, T, k, 0, square, k));
        SW_TRY(sw_gemm(SW_F64, false, false, k, k, k, 1, square, k, M, k, 0, next, k));
        SW_TRY(sw_gemm(SW_F64, false, false, k, k, k, 1, square, k, next, k, 0, M, k));
    }
    return sw_fail(SW_ERR_NONFINITE, "proto_shampoo: a root of %lld rows has not converged in %d iterations",
                   (long long)k, MOST);
}

/* root ← (εI + sum)^(-1/4), [k,k] of the type. */
static sw_status root_update(const sw_step *s, int64_t k, const void *sum, void *root) {
    double *A = s->workspace;
    for (int64_t i = 0; i < k * k; i++)
        A[i] = vec_get(s->type, sum, i) + (i % (k + 1) == 0 ? s->option[EPS] : 0);
    SW_TRY(root_of(k, A, A + k * k));
    for (int64_t i = 0; i < k * k; i++)
        vec_set(s->type, root, i, A[i]);
    return SW_OK;
}

/* ---- The rule ---- */

static void *element(sw_dtype type, void *v, int64_t at) {
    return (char *)v + (size_t)at * sw_dtype_size(type);
}

static sw_status shampoo_part(sw_step *s, int64_t part, sw_worker *worker) {
    const sw_param *p = s->param;
    const blocks b = block_of(p, s->option, part);
    const int64_t row = p->shape[1], at = b.row * row + b.column, k = b.m > b.n ? b.m : b.n,
                  left = left_at(p, s->option, part), right = right_at(p, s->option, part);
    const void *G = (const char *)s->g + (size_t)at * sw_dtype_size(s->type);
    void *L = element(s->type, s->slot[LEFT], left), *R = element(s->type, s->slot[RIGHT], right),
         *L_root = element(s->type, s->slot[LEFT_ROOT], left), *R_root = element(s->type, s->slot[RIGHT_ROOT], right),
         *x = element(s->type, s->x, at);
    SW_TRY(sw_gemm(s->type, false, true, b.m, b.m, b.n, 1, G, row, G, row, 1, L, b.m));
    SW_TRY(sw_gemm(s->type, true, false, b.n, b.n, b.m, 1, G, row, G, row, 1, R, b.n));
    if ((s->step - 1) % (int64_t)s->option[EVERY] == 0) {
        SW_TRY(root_update(s, b.m, L, L_root));
        SW_TRY(root_update(s, b.n, R, R_root));
    }
    void *LG = (double *)worker->scratch + 5 * k * k, *D = element(s->type, LG, b.m * b.n);
    SW_TRY(sw_gemm(s->type, false, false, b.m, b.n, b.m, 1, L_root, b.m, G, row, 0, LG, b.n));
    SW_TRY(sw_gemm(s->type, false, false, b.m, b.n, b.n, 1, LG, b.n, R_root, b.n, 0, D, b.n));
    for (int64_t i = 0; i < b.m; i++)
        for (int64_t j = 0; j < b.n; j++)
            vec_set(s->type, x, i * row + j,
                    vec_get(s->type, x, i * row + j) - s->option[LR] * vec_get(s->type, D, i * b.n + j));
    return SW_OK;
}

static const sw_rule proto_shampoo = {.size = sizeof(sw_rule),
                                      .name = "proto_shampoo",
                                      .summary = "roots of both sides' squares, by blocks",
                                      .source = "Gupta et al. 2018, Anil et al. 2020",
                                      .options = shampoo_options,
                                      .slots = shampoo_slots,
                                      .unit = SW_UNIT_TENSOR,
                                      .fits = shampoo_fits,
                                      .parts = shampoo_parts,
                                      .part = shampoo_part,
                                      .part_workspace = shampoo_workspace,
                                      .part_cost = shampoo_cost};

/* ---- The reference: plain loops in f64, with eigenvalues ---- */

enum { MOST_K = 8 };

/* Eigenvalues of a symmetric A [k,k] in `value`, eigenvectors in the columns of V: Jacobi's rotations. */
static void jacobi(int k, double A[MOST_K][MOST_K], double value[MOST_K], double V[MOST_K][MOST_K]) {
    for (int i = 0; i < k; i++)
        for (int j = 0; j < k; j++)
            V[i][j] = i == j;
    for (int sweep = 0; sweep < 30; sweep++)
        for (int p = 0; p < k; p++)
            for (int q = p + 1; q < k; q++) {
                if (A[p][q] == 0)
                    continue;
                const double theta = (A[q][q] - A[p][p]) / (2 * A[p][q]),
                             t = (theta < 0 ? -1 : 1) / (fabs(theta) + hypot(1, theta)), c = 1 / hypot(1, t), s = c * t;
                for (int i = 0; i < k; i++) {
                    const double a = A[i][p], b = A[i][q];
                    A[i][p] = c * a - s * b;
                    A[i][q] = s * a + c * b;
                }
                for (int i = 0; i < k; i++) {
                    const double a = A[p][i], b = A[q][i], v = V[i][p], w = V[i][q];
                    A[p][i] = c * a - s * b;
                    A[q][i] = s * a + c * b;
                    V[i][p] = c * v - s * w;
                    V[i][q] = s * v + c * w;
                }
            }
    for (int i = 0; i < k; i++)
        value[i] = A[i][i];
}

/* A block of the reference: sums, roots, and how exact the rule's root can be. */
typedef struct side {
    double sum[MOST_K][MOST_K], root[MOST_K][MOST_K];
    double error; /* bound of ‖Δroot‖/‖root‖, Frobenius */
    double norm;  /* ‖root‖ */
} side;

/* The root of εI + sum. An error ΔA of the sum changes the root by at most ‖ΔA‖ λ^(-5/4)/4 with the smallest eigenvalue
 * λ, relative to λ^(-1/4): ‖ΔA‖/(4 λ). The sum of t products of length n has an error of (n + t) u trace(A), since
 * ‖|G||Gᵀ|‖ ≤ ‖G‖² = trace(G Gᵀ). The iteration multiplies matrices 4 times in up to 25 iterations, each with an error
 * of k 2^-53, relative to the largest eigenvalue. Rounding the root to the type adds u. */
static void side_update(side *s, int k, int n, int t, double eps, double u) {
    double A[MOST_K][MOST_K], V[MOST_K][MOST_K], value[MOST_K], trace = 0, least = INFINITY, most = 0;
    for (int i = 0; i < k; i++)
        for (int j = 0; j < k; j++)
            A[i][j] = s->sum[i][j] + (i == j ? eps : 0);
    for (int i = 0; i < k; i++)
        trace += A[i][i];
    jacobi(k, A, value, V);
    for (int i = 0; i < k; i++) {
        least = value[i] < least ? value[i] : least;
        most = value[i] > most ? value[i] : most;
    }
    s->norm = 0;
    for (int i = 0; i < k; i++)
        for (int j = 0; j < k; j++) {
            s->root[i][j] = 0;
            for (int l = 0; l < k; l++)
                s->root[i][j] += V[i][l] * V[j][l] / sqrt(sqrt(value[l]));
            s->norm = hypot(s->norm, s->root[i][j]);
        }
    s->error = ((n + t) * u * trace + 100 * k * 0x1p-53 * most) / (4 * least) + u;
}

typedef struct reference {
    int rows, columns, block, every;
    double lr, eps, u;
    side left[16], right[16]; /* by block */
    double *x, bound;         /* of |x - x of the rule| */
} reference;

static void reference_block(reference *r, int at, int row, int column, const double *g, int t) {
    const int m = r->rows - row < r->block ? r->rows - row : r->block,
              n = r->columns - column < r->block ? r->columns - column : r->block;
    side *L = &r->left[at], *R = &r->right[at];
    double G[MOST_K][MOST_K], norm = 0;
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++) {
            G[i][j] = g[(row + i) * r->columns + column + j];
            norm = hypot(norm, G[i][j]);
        }
    for (int i = 0; i < m; i++)
        for (int k = 0; k < m; k++)
            for (int j = 0; j < n; j++)
                L->sum[i][k] += G[i][j] * G[k][j];
    for (int j = 0; j < n; j++)
        for (int k = 0; k < n; k++)
            for (int i = 0; i < m; i++)
                R->sum[j][k] += G[i][j] * G[i][k];
    if ((t - 1) % r->every == 0) {
        side_update(L, m, n, t, r->eps, r->u);
        side_update(R, n, m, t, r->eps, r->u);
    }
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++) {
            double d = 0;
            for (int k = 0; k < m; k++)
                for (int l = 0; l < n; l++)
                    d += L->root[i][k] * G[k][l] * R->root[l][j];
            r->x[(row + i) * r->columns + column + j] -= r->lr * d;
        }
    /* Errors of both roots, and of two products of lengths m and n, the subtraction and the rounding of D. */
    const double bound = r->lr * L->norm * norm * R->norm * (L->error + R->error + (m + n + 3) * r->u);
    r->bound = bound > r->bound ? bound : r->bound;
}

/* One step; adds this step's largest error to *bound. */
static void reference_step(reference *r, const double *g, int t, double *bound) {
    double largest = 0;
    int at = 0;
    r->bound = 0;
    for (int row = 0; row < r->rows; row += r->block)
        for (int column = 0; column < r->columns; column += r->block)
            reference_block(r, at++, row, column, g, t);
    for (int i = 0; i < r->rows * r->columns; i++)
        largest = fabs(r->x[i]) > largest ? fabs(r->x[i]) : largest;
    *bound += r->bound + largest * r->u; /* x is rounded */
}

/* ---- Against the reference ---- */

enum { STEPS = 9 };

static void set_gradient(sw_params *p, const double *g) {
    sw_tape *tape = sw_tape_new();
    sw_param *w = sw_params_at(p, 0);
    sw_tensor c = sw_empty(tape, sw_params_type(p), w->rank, w->shape);
    for (int64_t i = 0; i < w->count; i++)
        vec_set(sw_params_type(p), sw_value(c).data, i, g[i]);
    assert_ok(sw_backward(sw_sum(sw_mul(c, sw_param_use(tape, w)))));
    sw_tape_free(tape);
}

static void compare(sw_dtype type, int rows, int columns, int block, int every, int threads) {
    reference r = {.rows = rows,
                   .columns = columns,
                   .block = block,
                   .every = every,
                   .lr = 0.25,
                   .eps = 0.125,
                   .u = type == SW_F32 ? 0x1p-24 : 0x1p-53};
    const int64_t n = (int64_t)rows * columns;
    char rule[128];
    sw_params *p = sw_params_new(type, 1);
    assert_non_null(sw_params_add(p, "w", SW_SHAPE(rows, columns), NULL));
    assert_ok(sw_params_build(p));
    snprintf(rule, sizeof rule, "proto_shampoo lr=0.25 eps=0.125 block=%d every=%d", block, every);
    sw_optim *o = sw_optim_new(p, rule);
    if (!o)
        fail_msg("%s", sw_error());
    double *g = calloc((size_t)n, sizeof *g), bound = 0, moved = 0, worst = 0;
    r.x = calloc((size_t)n, sizeof *r.x);
    assert_true(g && r.x);
    uint64_t seed = (uint64_t)(rows * 100 + columns);
    assert_ok(sw_set_threads(threads));
    for (int t = 1; t <= STEPS; t++) {
        for (int64_t i = 0; i < n; i++) /* numbers that f32 holds */
            g[i] = (double)(float)test_uniform(&seed, -1, 1);
        set_gradient(p, g);
        assert_ok(sw_optim_step(o));
        reference_step(&r, g, t, &bound);
        for (int64_t i = 0; i < n; i++) {
            const double away = fabs(vec_get(type, sw_params_x(p), i) - r.x[i]);
            worst = away > worst || isnan(away) ? away : worst;
            moved = fabs(r.x[i]) > moved ? fabs(r.x[i]) : moved;
        }
        assert_near("shampoo", t - 1, worst, bound);
    }
    /* The bound is meaningful only if the largest change is far above it. */
    assert_true(bound < moved * (type == SW_F32 ? 0.01 : 1e-11));
    print_message("[%d,%d] in blocks of %d, roots every %d steps, %s: %.1e from the reference, %.1e allowed\n", rows,
                  columns, block, every, sw_dtype_name(type), worst, bound);
    free(g);
    free(r.x);
    sw_optim_free(o);
    sw_params_free(p);
}

static void test_shampoo_agrees_with_plain_loops(void **state) {
    (void)state;
    const int before = sw_threads();
    for (int t = 0; t < 2; t++) {
        const sw_dtype type = t ? SW_F64 : SW_F32;
        compare(type, 7, 10, 4, 1, 2); /* 2 × 3 blocks, of 4 or 3 rows, 4 or 2 columns */
        compare(type, 7, 10, 4, 4, 1);
        compare(type, 8, 8, 4, 1, 8);
        compare(type, 3, 2, 8, 1, 1); /* one block, smaller than the option says */
        compare(type, 1, 7, 3, 2, 2);
    }
    assert_ok(sw_set_threads(before));
}

/* ---- Bits: threads, skipped steps, resuming ---- */

static const char *const shampoo_slot_names[] = {"left", "right", "left_root", "right_root", NULL};
static const claim shampoo = {.name = "blocked shampoo",
                              .estimator = "proto_batch",
                              .rule = "role=weight rank=2: proto_shampoo block=3 lr=0.05 every=2; sgd lr=0.1",
                              .slots = shampoo_slot_names,
                              .scalars = script_scalars,
                              .steps = 5,
                              .make = net_problem};

/* 70 blocks of two matrices, whose roots the threads share; each block's products are on one thread. */
static void test_shampoo_has_equal_bits_on_threads(void **state) {
    (void)state;
    const int threads[] = {1, 2, 8, 2}, before = sw_threads();
    claim large = shampoo;
    large.make = large_problem;
    large.steps = 3;
    large.rule = "role=weight rank=2: proto_shampoo block=32 lr=0.05; sgd lr=0.1";
    for (int t = 0; t < 2; t++) {
        const sw_dtype type = t ? SW_F64 : SW_F32;
        int64_t calls;
        problem *p = large_problem(type);
        const size_t size = (size_t)(sw_params_dim(p->params) * large.steps) * sw_dtype_size(type);
        problem_free(p);
        void *one = NULL;
        for (size_t k = 0; k < sizeof threads / sizeof *threads; k++) {
            assert_ok(sw_set_threads(threads[k]));
            void *path = run_path(&large, type, 0, false, &calls);
            if (one)
                assert_memory_equal(path, one, size);
            else
                one = path;
            if (path != one)
                free(path);
        }
        free(one);
    }
    assert_ok(sw_set_threads(before));
}

static void test_shampoo_survives_skipped_steps(void **state) {
    (void)state;
    assert_int_equal(prove_skips(&shampoo, SW_F64), 5);
    prove_skips(&shampoo, SW_F32);
}

/* x and the whole state after 6 steps, interrupted after `at` of them; 0: not at all. */
static bytes resumed_run(sw_dtype type, int at) {
    problem *p = net_problem(type);
    const sw_optim_options how = {
        .size = sizeof how, .estimator = shampoo.estimator, .rule = shampoo.rule, .seed = SEED};
    sw_optim *o = sw_optim_new_with_options(p->params, &how);
    assert_ok(sw_optim_bind(o, &p->objective));
    for (int k = 0; k < 6; k++) {
        if (k == at && at > 0) {
            sw_archive *a = sw_archive_new();
            assert_ok(sw_optim_pack(o, a));
            problem *next = net_problem(type);
            sw_optim *other = sw_optim_new_with_options(next->params, &how);
            assert_ok(sw_optim_bind(other, &next->objective));
            assert_ok(sw_optim_unpack(other, a));
            sw_archive_free(a);
            sw_optim_free(o);
            problem_free(p);
            p = next;
            o = other;
        }
        assert_ok(sw_optim_minimize(o, &p->objective, NULL));
    }
    bytes b = fingerprint(&shampoo, o, p->params);
    sw_optim_free(o);
    problem_free(p);
    return b;
}

static void test_shampoo_is_resumed_bit_for_bit(void **state) {
    (void)state;
    for (int t = 0; t < 2; t++)
        for (int at = 1; at < 4; at++) {
            const sw_dtype type = t ? SW_F64 : SW_F32;
            bytes whole = resumed_run(type, 0), parts = resumed_run(type, at);
            assert_same_bytes("resumed shampoo", &whole, &parts);
            free(whole.data);
            free(parts.data);
        }
}

/* ---- Errors ---- */

static void test_shampoo_refuses_what_is_no_matrix(void **state) {
    (void)state;
    problem *p = net_problem(SW_F32);
    assert_null(sw_optim_new(p->params, "proto_shampoo"));
    expect_error(
        SW_ERR_ARGUMENT,
        "rule proto_shampoo does not fit 2 of its 4 parameters: linear1.bias [5]: its rank is 1, and a matrix is "
        "needed; linear2.bias [3]: its rank is 1, and a matrix is needed; give them to another rule: \"rank=2: "
        "proto_shampoo; adamw\"");
    sw_optim *o = sw_optim_new(p->params, "rank=2: proto_shampoo; adamw");
    assert_non_null(o);
    sw_optim_free(o);
    problem_free(p);
}

/* Without ε, a block whose gradient is 0 has no root. The step ends with the error of the part, and is undone. */
static void test_shampoo_reports_a_singular_block(void **state) {
    (void)state;
    const int threads[] = {1, 2, 8}, before = sw_threads();
    for (int k = 0; k < 3; k++) {
        sw_params *p = sw_params_new(SW_F64, 1);
        sw_param *w = sw_params_add(p, "w", SW_SHAPE(64, 64), NULL);
        assert_ok(sw_params_build(p));
        assert_ok(sw_set_threads(threads[k]));
        sw_optim *o = sw_optim_new(p, "proto_shampoo eps=0 block=16");
        double *g = calloc(64 * 64, sizeof *g);
        uint64_t seed = 3;
        assert_non_null(g);
        for (int i = 0; i < 64 * 64; i++)
            g[i] = i / 64 < 48 || i % 64 < 48 ? test_uniform(&seed, -1, 1) : 0; /* 0 in the last block */
        set_gradient(p, g);
        assert_int_equal(sw_optim_step(o), SW_ERR_NONFINITE);
        expect_error(SW_ERR_NONFINITE, "proto_shampoo: the gradients' squares are 0; eps above 0 is needed");
        const double *x = sw_param_value(w).data;
        for (int i = 0; i < 64 * 64; i++)
            assert_true(x[i] == 0);
        free(g);
        sw_optim_free(o);
        sw_params_free(p);
    }
    assert_ok(sw_set_threads(before));
}

static int set_up(void **state) {
    (void)state;
    return sw_estimator_register(&proto_batch) || sw_rule_register(&proto_shampoo);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shampoo_agrees_with_plain_loops),
        cmocka_unit_test(test_shampoo_has_equal_bits_on_threads),
        cmocka_unit_test(test_shampoo_survives_skipped_steps),
        cmocka_unit_test(test_shampoo_is_resumed_bit_for_bit),
        cmocka_unit_test(test_shampoo_refuses_what_is_no_matrix),
        cmocka_unit_test(test_shampoo_reports_a_singular_block),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
