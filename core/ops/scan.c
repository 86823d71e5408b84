/* Cumulative sums and products, and products along axes. The elements of a line are added or multiplied in their order,
 * in f64. Threads share the lines. */
#include <swale/kernel.h>
#include <swale/extend.h>

#include "core/ops/lines.h"
#include "core/ops/shared.h"

#if SW_KERNEL_FIRST
typedef struct scan_args {
    const sw_fold_axes *axes;
    const void *x, *dy; /* dy: the cotangents, of the shape of the output */
    void *out;
    bool reversed; /* from the last element to the first */
} scan_args;
#endif

#if SW_KERNEL_PASS

/* Defines SW_K(name), which visits n elements of each line in order. The statements use `at`, the offset of an element,
 * and `total`, a number of its line. The loop over the lines is compiled separately for columns, and for a single line
 * and SWI_LINE_ROWS rows, whose totals are then in registers. */
#define SCAN(name, statements)                                                                                       \
    SW_K_INLINE void SW_K(name##_loop)(const real *x, const real *dy, real *out, double *restrict totals, int64_t n, \
                                       int64_t step, int64_t lines, int64_t line_step) {                             \
        (void)x, (void)dy, (void)out;                                                                                \
        for (int64_t j = 0; j < n; j++) {                                                                            \
            SW_INDEPENDENT                                                                                           \
            for (int64_t i = 0; i < lines; i++) {                                                                    \
                const int64_t at = j * step + i * line_step;                                                         \
                double total = totals[i];                                                                            \
                statements;                                                                                          \
                totals[i] = total;                                                                                   \
            }                                                                                                        \
        }                                                                                                            \
    }                                                                                                                \
    static __attribute__((noinline)) void SW_K(name)(const real *x, const real *dy, real *out,                       \
                                                     double *restrict totals, const swi_lines *l, int64_t step) {    \
        if (l->lines == 1)                                                                                           \
            SW_K(name##_loop)(x, dy, out, totals, l->n, step, 1, 1);                                                 \
        else if (l->line_step == 1)                                                                                  \
            SW_K(name##_loop)(x, dy, out, totals, l->n, step, l->lines, 1);                                          \
        else if (l->lines == SWI_LINE_ROWS)                                                                          \
            SW_K(name##_loop)(x, dy, out, totals, l->n, step, SWI_LINE_ROWS, l->line_step);                          \
        else                                                                                                         \
            SW_K(name##_loop)(x, dy, out, totals, l->n, step, l->lines, l->line_step);                               \
    }
SCAN(scan_sums, total += (double)x[at]; out[at] = (real)total)
SCAN(scan_products, total *= (double)x[at]; out[at] = (real)total)
SCAN(scan_product, total *= (double)x[at])
SCAN(scan_products_before, out[at] = (real)total; total *= (double)x[at])
/* The last two run from the last element to the first, and out holds the results of scan_products_before. */
SCAN(scan_product_slopes, out[at] = (real)((double)out[at] * total); total *= (double)x[at])
SCAN(scan_products_slopes, total += (double)dy[at]; out[at] = (real)((double)out[at] * total); total *= (double)x[at])

static inline void SW_K(scan_begin)(double *totals, double value, int64_t lines) {
    for (int64_t i = 0; i < lines; i++)
        totals[i] = value;
}

/* A cumulative sum or product. */
#define CUMULATIVE(name, scan, initial)                                                                       \
    static void SW_K(name)(void *args, int64_t begin, int64_t end, double *sums) {                            \
        const scan_args *s = args;                                                                            \
        double totals[SWI_LINE_COLUMNS];                                                                      \
        (void)sums;                                                                                           \
        for (int64_t piece = begin; piece < end; piece++) {                                                   \
            const swi_lines l = swi_lines_of(s->axes, piece);                                                 \
            const int64_t at = l.start + (s->reversed ? (l.n - 1) * l.step : 0);                              \
            SW_K(scan_begin)(totals, initial, l.lines);                                                       \
            SW_K(scan)                                                                                        \
            ((const real *)s->x + at, NULL, (real *)s->out + at, totals, &l, s->reversed ? -l.step : l.step); \
        }                                                                                                     \
    }
CUMULATIVE(cumsum, scan_sums, 0)
CUMULATIVE(cumprod, scan_products, 1)

static inline int64_t SW_K(scan_fold)(const sw_fold_axes *a, int64_t fold) {
    return sw_fold_offset(fold, a->folded, a->folded_length, a->folded_stride);
}

static void SW_K(prod)(void *args, int64_t begin, int64_t end, double *sums) {
    const scan_args *s = args;
    double totals[SWI_LINE_COLUMNS];
    (void)sums;
    for (int64_t piece = begin; piece < end; piece++) {
        const swi_lines l = swi_lines_of(s->axes, piece);
        real *out = (real *)s->out + l.output;
        SW_K(scan_begin)(totals, 1, l.lines);
        for (int64_t f = 0; f < s->axes->folds; f++)
            SW_K(scan_product)
        ((const real *)s->x + l.start + SW_K(scan_fold)(s->axes, f), NULL, NULL, totals, &l, l.step);
        for (int64_t i = 0; i < l.lines; i++)
            out[i] = (real)totals[i];
    }
}

/* Writes the products of the elements before each element to out. */
static void SW_K(scan_before)(const scan_args *s, const swi_lines *l, double *totals) {
    SW_K(scan_begin)(totals, 1, l->lines);
    for (int64_t f = 0; f < s->axes->folds; f++) {
        const int64_t at = l->start + SW_K(scan_fold)(s->axes, f);
        SW_K(scan_products_before)((const real *)s->x + at, NULL, (real *)s->out + at, totals, l, l->step);
    }
}

/* The derivative of a product by one factor is the product of those before it and of those after it. */
static void SW_K(prod_vjp)(void *args, int64_t begin, int64_t end, double *sums) {
    const scan_args *s = args;
    double totals[SWI_LINE_COLUMNS];
    (void)sums;
    for (int64_t piece = begin; piece < end; piece++) {
        const swi_lines l = swi_lines_of(s->axes, piece);
        const real *dy = (const real *)s->dy + l.output;
        SW_K(scan_before)(s, &l, totals);
        for (int64_t i = 0; i < l.lines; i++)
            totals[i] = (double)dy[i];
        for (int64_t f = s->axes->folds - 1; f >= 0; f--) {
            const int64_t at = l.start + SW_K(scan_fold)(s->axes, f) + (l.n - 1) * l.step;
            SW_K(scan_product_slopes)((const real *)s->x + at, NULL, (real *)s->out + at, totals, &l, -l.step);
        }
    }
}

static void SW_K(cumprod_vjp)(void *args, int64_t begin, int64_t end, double *sums) {
    const scan_args *s = args;
    double totals[SWI_LINE_COLUMNS];
    (void)sums;
    for (int64_t piece = begin; piece < end; piece++) {
        const swi_lines l = swi_lines_of(s->axes, piece);
        const int64_t at = l.start + (l.n - 1) * l.step;
        SW_K(scan_before)(s, &l, totals);
        SW_K(scan_begin)(totals, 0, l.lines);
        SW_K(scan_products_slopes)
        ((const real *)s->x + at, (const real *)s->dy + at, (real *)s->out + at, totals, &l, -l.step);
    }
}

#else /* ---- once ---- */

static const sw_kernels cumsum_kernels = SW_KERNEL_TABLE(cumsum), cumprod_kernels = SW_KERNEL_TABLE(cumprod),
                        cumprod_vjp_kernels = SW_KERNEL_TABLE(cumprod_vjp), prod_kernels = SW_KERNEL_TABLE(prod),
                        prod_vjp_kernels = SW_KERNEL_TABLE(prod_vjp);

static void scan_run(const sw_kernels *kernels, sw_dtype type, scan_args args) {
    swi_lines_run((*kernels)[type][sw_cpu_level()], &args, args.axes);
}

/* ---- cumsum, cumprod ---- */

static sw_status scan_shape(sw_call *c) {
    const int *axis = c->attributes;
    int from_start = 0;
    SW_TRY(sw_call_check_real(c));
    SW_TRY(sw_call_axis(c, *axis, &from_start));
    return sw_call_set_shape_like(c, 0);
}

/* The lines along the axis. scan_shape has checked it. */
static sw_fold_axes scan_axes(const sw_call *c) {
    const int *axis = c->attributes;
    const sw_view *x = c->in[0];
    int64_t kept[SW_MAX_RANK];
    int from_start = 0;
    sw_call_axis(c, *axis, &from_start);
    for (int i = 0; i < x->rank; i++)
        kept[i] = i == from_start ? 1 : x->shape[i];
    return sw_fold_axes_of(x->rank, x->shape, x->rank, kept);
}

static sw_status scan_forward(sw_call *c, const sw_kernels *kernels) {
    const sw_fold_axes axes = scan_axes(c);
    if (c->out->count > 0)
        scan_run(kernels, c->out->type, (scan_args){.axes = &axes, .x = c->in[0]->data, .out = c->out->data});
    return SW_OK;
}

static sw_status scan_vjp(sw_call *c, const sw_kernels *kernels, scan_args args) {
    const sw_fold_axes axes = scan_axes(c);
    args.axes = &axes;
    args.out = sw_call_grad(c, 0);
    if (!args.out)
        return SW_ERR_MEMORY;
    if (c->out->count > 0)
        scan_run(kernels, c->out->type, args);
    return SW_OK;
}

static sw_status cumsum_forward(sw_call *c) {
    return scan_forward(c, &cumsum_kernels);
}

/* dx_i = Σ_{j ≥ i} dy_j */
static sw_status cumsum_vjp(sw_call *c) {
    return scan_vjp(c, &cumsum_kernels, (scan_args){.x = c->cotangent, .reversed = true});
}

static sw_status cumprod_forward(sw_call *c) {
    return scan_forward(c, &cumprod_kernels);
}

/* dx_i = P_i R_i with the product P_i of the elements before i and R_i = Σ_{j ≥ i} dy_j Π_{i < k ≤ j} x_k
 *      = dy_i + x_{i+1} R_{i+1}. Nothing is divided by an element, so that zeros need no special case. */
static sw_status cumprod_vjp(sw_call *c) {
    return scan_vjp(c, &cumprod_vjp_kernels, (scan_args){.x = c->in[0]->data, .dy = c->cotangent});
}

static const sw_op cumsum_op = {
    .size = sizeof(sw_op), .name = "cumsum", .shape = scan_shape, .forward = cumsum_forward, .vjp = cumsum_vjp};
static const sw_op cumprod_op = {.size = sizeof(sw_op),
                                 .name = "cumprod",
                                 .shape = scan_shape,
                                 .forward = cumprod_forward,
                                 .vjp = cumprod_vjp,
                                 .vjp_reads = SW_READS(0)};

sw_tensor sw_cumsum(sw_tensor x, int axis) {
    return sw_apply(&cumsum_op, &axis, sizeof axis, 1, &x);
}

sw_tensor sw_cumprod(sw_tensor x, int axis) {
    return sw_apply(&cumprod_op, &axis, sizeof axis, 1, &x);
}

/* ---- prod ---- */

static sw_status prod_shape(sw_call *c) {
    SW_TRY(sw_call_check_real(c));
    return swi_reduction_shape(c, sw_call_result_type(c));
}

static sw_status prod_forward(sw_call *c) {
    const sw_fold_axes axes = swi_reduction_axes(c);
    if (c->in[0]->count == 0)
        sw_vector_fill(c->out->type, c->out->count, 1, c->out->data);
    else
        scan_run(&prod_kernels, c->out->type, (scan_args){.axes = &axes, .x = c->in[0]->data, .out = c->out->data});
    return SW_OK;
}

static sw_status prod_vjp(sw_call *c) {
    const sw_fold_axes axes = swi_reduction_axes(c);
    scan_args args = {.axes = &axes, .x = c->in[0]->data, .dy = c->cotangent, .out = sw_call_grad(c, 0)};
    if (!args.out)
        return SW_ERR_MEMORY;
    if (c->in[0]->count > 0)
        scan_run(&prod_vjp_kernels, c->out->type, args);
    return SW_OK;
}

#define PRODUCT(fn)                                         \
    static const sw_op fn##_op = {.size = sizeof(sw_op),    \
                                  .name = #fn,              \
                                  .shape = prod_shape,      \
                                  .forward = prod_forward,  \
                                  .vjp = prod_vjp,          \
                                  .vjp_reads = SW_READS(0), \
                                  .f32_result = true};
PRODUCT(prod)
PRODUCT(prod_over)

sw_tensor sw_prod(sw_tensor x) {
    return swi_reduction_apply(&prod_op, x, SW_ALL_AXES, (swi_reduction){0});
}

sw_tensor sw_prod_over(sw_tensor x, int count, const int *axes, bool keepdim) {
    return swi_reduction_apply(&prod_over_op, x, count, axes, (swi_reduction){.keepdim = keepdim});
}

#endif
