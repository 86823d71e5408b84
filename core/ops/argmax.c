/* The index of the largest or the smallest element along an axis, and the accuracy of predictions. The kernels search
 * the largest of sign·x. */
#include <swale/kernel.h>
#include <swale/extend.h>

#if SW_KERNEL_FIRST
typedef struct argmax_args {
    const void *x;      /* [outer, n, inner]; rows [outer, n] if inner is 1 */
    const int32_t *ids; /* for accuracy: the class ids */
    int32_t *out;
    int64_t n, inner;
    bool smallest; /* the sign is -1, else 1 */
} argmax_args;

enum { STRIP = 128 }; /* the number of columns that are processed together */
#endif

#if SW_KERNEL_PASS

/* The index of the first of the largest elements of sign·x, or of the first NaN if there is one. n ≥ 1. */
static inline int64_t SW_K(argmax_first_largest)(const stored *x, int64_t n, real sign) {
    real lane[SW_LANES], most = sign * SW_LOAD(x, 0);
    int64_t j = 0;
    for (int i = 0; i < SW_LANES; i++)
        lane[i] = most;
    for (; j + SW_LANES <= n; j += SW_LANES)
        for (int i = 0; i < SW_LANES; i++) {
            const real v = sign * SW_LOAD(x, j + i);
            lane[i] = ((v > lane[i]) | (v != v)) ? v : lane[i];
        }
    for (int i = 0; j < n; i++, j++) {
        const real v = sign * SW_LOAD(x, j);
        lane[i] = ((v > lane[i]) | (v != v)) ? v : lane[i];
    }
    for (int i = 0; i < SW_LANES; i++)
        most = ((lane[i] > most) | (lane[i] != lane[i])) ? lane[i] : most;
    for (j = 0; j + SW_LANES <= n; j += SW_LANES) { /* find the block with the element, then its place in the block */
        int found = 0;
        for (int i = 0; i < SW_LANES; i++)
            found |= (sign * SW_LOAD(x, j + i) == most) | (SW_LOAD(x, j + i) != SW_LOAD(x, j + i));
        if (found)
            break;
    }
    while (!(sign * SW_LOAD(x, j) == most || SW_LOAD(x, j) != SW_LOAD(x, j)))
        j++;
    return j;
}

static void SW_K(argmax_rows)(void *args, int64_t begin, int64_t end, double *sums) {
    const argmax_args *s = args;
    const real sign = s->smallest ? -1 : 1;
    (void)sums;
    for (int64_t row = begin; row < end; row++)
        s->out[row] = (int32_t)SW_K(argmax_first_largest)((const stored *)s->x + row * s->n, s->n, sign);
}

/* Processes the strips [begin, end). A strip is STRIP columns, or the remaining ones, of one matrix [n, inner]. */
static void SW_K(argmax_columns)(void *args, int64_t begin, int64_t end, double *sums) {
    const argmax_args *s = args;
    const int64_t n = s->n, inner = s->inner, strips = (inner + STRIP - 1) / STRIP;
    const real sign = s->smallest ? -1 : 1;
    (void)sums;
    for (int64_t strip = begin; strip < end; strip++) {
        const int64_t at = strip % strips * STRIP, outer = strip / strips,
                      width = inner - at < STRIP ? inner - at : STRIP;
        const stored *x = (const stored *)s->x + outer * n * inner + at;
        int32_t *out = s->out + outer * inner + at;
        real most[STRIP];
        for (int64_t i = 0; i < width; i++) {
            most[i] = sign * SW_LOAD(x, i);
            out[i] = 0;
        }
        for (int64_t j = 1; j < n; j++)
            for (int64_t i = 0; i < width; i++) {
                const real v = sign * SW_LOAD(x, j * inner + i);
                const bool better = (v > most[i]) | ((v != v) & (most[i] == most[i]));
                most[i] = better ? v : most[i];
                out[i] = better ? (int32_t)j : out[i];
            }
    }
}

static void SW_K(accuracy_hits)(void *args, int64_t begin, int64_t end, double *sums) {
    const argmax_args *s = args;
    for (int64_t row = begin; row < end; row++) {
        const stored *x = (const stored *)s->x + row * s->n;
        const int64_t at = SW_K(argmax_first_largest)(x, s->n, 1);
        sums[0] += at == s->ids[row] && SW_LOAD(x, at) == SW_LOAD(x, at) ? 1 : 0;
    }
}

#else /* ---- once ---- */

static const sw_kernels rows_kernels = SW_KERNEL_TABLE(argmax_rows), columns_kernels = SW_KERNEL_TABLE(argmax_columns),
                        hits_kernels = SW_KERNEL_TABLE(accuracy_hits);

/* ---- f16 and bf16: blocks of x are converted to f32, and the kernels for f32 search each block ---- */

enum { SEARCH_BLOCK = 512, STRIP_BLOCK = 16 * STRIP };

typedef struct argmax_half {
    argmax_args args;
    sw_dtype type;
    sw_kernel *kernel; /* for f32 */
} argmax_half;

/* Whether v is a larger element than `most`, or a smaller one; a NaN is both. */
static bool argmax_is_better(const argmax_half *h, float v, float most) {
    return (h->args.smallest ? v < most : v > most) || (isnan(v) && !isnan(most));
}

static int64_t argmax_lesser(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* The index of the first of the largest (smallest) elements of a row, and this element. */
static int32_t argmax_half_row(const argmax_half *h, const uint16_t *row, float *most) {
    float block[SEARCH_BLOCK];
    int32_t best = 0, at = 0;
    argmax_args args = {.x = block, .out = &at, .smallest = h->args.smallest};
    for (int64_t j = 0; j < h->args.n; j += SEARCH_BLOCK) {
        args.n = argmax_lesser(SEARCH_BLOCK, h->args.n - j);
        sw_vector_convert(h->type, args.n, row + j, SW_F32, block);
        h->kernel(&args, 0, 1, NULL);
        if (j == 0 || argmax_is_better(h, block[at], *most)) {
            best = (int32_t)j + at;
            *most = block[at];
        }
    }
    return best;
}

static void argmax_half_rows(void *args, int64_t begin, int64_t end, double *sums) {
    const argmax_half *h = args;
    (void)sums;
    for (int64_t row = begin; row < end; row++) {
        float most = 0;
        h->args.out[row] = argmax_half_row(h, (const uint16_t *)h->args.x + row * h->args.n, &most);
    }
}

static void argmax_half_hits(void *args, int64_t begin, int64_t end, double *sums) {
    const argmax_half *h = args;
    for (int64_t row = begin; row < end; row++) {
        float most = 0;
        const int32_t at = argmax_half_row(h, (const uint16_t *)h->args.x + row * h->args.n, &most);
        sums[0] += at == h->args.ids[row] && !isnan(most) ? 1 : 0;
    }
}

/* The ids of the largest (smallest) elements of `width` <= STRIP columns of a matrix [n, inner]. */
static void argmax_half_strip(const argmax_half *h, const uint16_t *x, int64_t width, int32_t *out) {
    float block[STRIP_BLOCK], most[STRIP];
    int32_t at[STRIP] = {0};
    const int64_t rows = STRIP_BLOCK / width;
    argmax_args args = {.x = block, .out = at, .inner = width, .smallest = h->args.smallest};
    for (int64_t j = 0; j < h->args.n; j += rows) {
        args.n = argmax_lesser(rows, h->args.n - j);
        for (int64_t i = 0; i < args.n; i++)
            sw_vector_convert(h->type, width, x + (j + i) * h->args.inner, SW_F32, block + i * width);
        h->kernel(&args, 0, 1, NULL);
        for (int64_t k = 0; k < width; k++) {
            const float v = block[at[k] * width + k];
            if (j == 0 || argmax_is_better(h, v, most[k])) {
                most[k] = v;
                out[k] = (int32_t)j + at[k];
            }
        }
    }
}

static void argmax_half_columns(void *args, int64_t begin, int64_t end, double *sums) {
    const argmax_half *h = args;
    const int64_t inner = h->args.inner, strips = (inner + STRIP - 1) / STRIP;
    (void)sums;
    for (int64_t strip = begin; strip < end; strip++) {
        const int64_t column = strip % strips * STRIP, outer = strip / strips;
        argmax_half_strip(h, (const uint16_t *)h->args.x + outer * h->args.n * inner + column,
                          argmax_lesser(STRIP, inner - column), h->args.out + outer * inner + column);
    }
}

/* Runs the kernel for the type of x. */
static void argmax_run(const sw_kernels *kernels, sw_kernel *half_kernel, const argmax_args *args, sw_dtype type,
                       int64_t rows, int64_t length, double *sum) {
    const int level = sw_cpu_level();
    argmax_half h = {.args = *args, .type = type};
    if (sw_kernels_take(kernels, type)) {
        sw_kernel_run_rows((*kernels)[type][level], &h.args, rows, length, sum);
        return;
    }
    h.kernel = half_kernel == argmax_half_columns ? columns_kernels[SW_F32][level] : rows_kernels[SW_F32][level];
    sw_kernel_run_rows(half_kernel, &h, rows, length, sum);
}

/* ---- argmax and argmin ---- */

typedef struct argmax_attributes {
    int axis;
    bool keepdim, smallest;
} argmax_attributes;

static sw_status argmax_shape(sw_call *c) {
    const argmax_attributes *a = c->attributes;
    const sw_view *x = c->in[0];
    int64_t shape[SW_MAX_RANK];
    int axis = 0, rank = 0;
    SW_TRY(sw_call_check_float(c));
    SW_TRY(sw_call_axis(c, a->axis, &axis));
    if (x->shape[axis] > INT32_MAX)
        return sw_fail(SW_ERR_SHAPE, "%s: axis %d of %s is longer than %d, the largest id in i32", c->op->name, axis,
                       sw_shape_text(x->rank, x->shape), INT32_MAX);
    for (int i = 0; i < x->rank; i++)
        if (i != axis)
            shape[rank++] = x->shape[i];
        else if (a->keepdim)
            shape[rank++] = 1;
    SW_TRY(sw_call_set_shape(c, SW_I32, rank, shape));
    if (x->shape[axis] == 0 && c->out->count > 0)
        return sw_fail(SW_ERR_SHAPE, "%s: axis %d of %s has length 0: there is no element to choose", c->op->name, axis,
                       sw_shape_text(x->rank, x->shape));
    return SW_OK;
}

static sw_status argmax_forward(sw_call *c) {
    const argmax_attributes *a = c->attributes;
    const sw_view *x = c->in[0];
    int axis = 0;
    if (x->count == 0)
        return SW_OK;
    SW_TRY(sw_call_axis(c, a->axis, &axis));
    argmax_args args = {.x = x->data, .out = c->out->data, .n = x->shape[axis], .inner = 1, .smallest = a->smallest};
    for (int i = axis + 1; i < x->rank; i++)
        args.inner *= x->shape[i];
    const int64_t outer = x->count / args.n / args.inner;
    if (args.inner == 1) {
        argmax_run(&rows_kernels, argmax_half_rows, &args, x->type, outer, args.n, NULL);
        return SW_OK;
    }
    const int64_t strips = (args.inner + STRIP - 1) / STRIP, width = args.inner < STRIP ? args.inner : STRIP;
    argmax_run(&columns_kernels, argmax_half_columns, &args, x->type, outer * strips, args.n * width, NULL);
    return SW_OK;
}

static const sw_op argmax_op = {.size = sizeof(sw_op),
                                .name = "argmax",
                                .shape = argmax_shape,
                                .forward = argmax_forward,
                                .takes_16_bit = true},
                   argmin_op = {.size = sizeof(sw_op),
                                .name = "argmin",
                                .shape = argmax_shape,
                                .forward = argmax_forward,
                                .takes_16_bit = true};

sw_tensor sw_argmax(sw_tensor x, int axis, bool keepdim) {
    const argmax_attributes a = {.axis = axis, .keepdim = keepdim};
    return sw_apply(&argmax_op, &a, sizeof a, 1, &x);
}

sw_tensor sw_argmin(sw_tensor x, int axis, bool keepdim) {
    const argmax_attributes a = {.axis = axis, .keepdim = keepdim, .smallest = true};
    return sw_apply(&argmin_op, &a, sizeof a, 1, &x);
}

/* ---- accuracy ---- */

static sw_status accuracy_shape(sw_call *c) {
    const sw_view *z = c->in[0], *ids = c->in[1];
    if (!sw_dtype_is_float(z->type))
        return sw_fail(SW_ERR_TYPE, "accuracy: the scores are %s; f32, f64, f16 or bf16 is needed",
                       sw_dtype_name(z->type));
    if (ids->type != SW_I32)
        return sw_fail(SW_ERR_TYPE, "accuracy: the ids are %s; i32 is needed", sw_dtype_name(ids->type));
    if (z->rank > 0 && z->shape[z->rank - 1] == 1)
        return sw_fail(
            SW_ERR_SHAPE,
            "accuracy: scores %s have one class, which is always the predicted one (for two classes with one "
            "score compare the score with a threshold)",
            sw_shape_text(z->rank, z->shape));
    if (z->rank == 0 || ids->rank != z->rank - 1 ||
        memcmp(z->shape, ids->shape, (size_t)ids->rank * sizeof *z->shape) != 0)
        return sw_fail(SW_ERR_SHAPE, "accuracy: scores %s and ids %s; [...,classes] and [...] are needed",
                       sw_shape_text(z->rank, z->shape), sw_shape_text(ids->rank, ids->shape));
    return sw_call_set_shape(c, sw_dtype_compute(z->type), 0, NULL);
}

static sw_status accuracy_forward(sw_call *c) {
    const sw_view *z = c->in[0];
    const int32_t *id = c->in[1]->data;
    const int64_t rows = c->in[1]->count, classes = z->shape[z->rank - 1];
    for (int64_t row = 0; row < rows; row++)
        if (id[row] < 0 || id[row] >= classes)
            return sw_fail(SW_ERR_ARGUMENT, "accuracy: id %d in row %lld is outside 0 to %lld", id[row], (long long)row,
                           (long long)classes - 1);
    argmax_args args = {.x = z->data, .ids = id, .n = classes};
    double right = 0;
    argmax_run(&hits_kernels, argmax_half_hits, &args, z->type, rows, classes, &right);
    sw_store_scalar(c->out->type, c->out->data, rows ? right / (double)rows : (double)NAN);
    return SW_OK;
}

static const sw_op accuracy_op = {.size = sizeof(sw_op),
                                  .name = "accuracy",
                                  .shape = accuracy_shape,
                                  .forward = accuracy_forward,
                                  .takes_16_bit = true,
                                  .f32_result = true};

sw_tensor sw_accuracy(sw_tensor scores, sw_tensor ids) {
    return sw_apply(&accuracy_op, NULL, 0, 2, (sw_tensor[]){scores, ids});
}

#endif
