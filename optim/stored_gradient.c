/* Gradients and leaves in 16 bits (stored_gradient.h). */
#include "optim/stored_gradient.h"
#include "optim/finite.h"
#include "optim/option_table.h"
#include "optim/vector_step.h"

#include "core/params/gradient.h"
#include "core/params/vector.h"

#include <math.h>

/* ---- Memory ---- */

double swo_stored_factor(const sw_gradient *block) {
    return 1 / sw_gradient_scale(block); /* exact: the scale is a power of 2 */
}

bool swo_needs_wide_gradient(const sw_optim *o) {
    bool needs = o->search != NULL;
    for (int i = 0; i < o->groups; i++)
        needs |= swo_vector_is(&o->group[i]) || o->group[i].parts > 0;
    return needs;
}

void *swo_wide_gradient(sw_optim *o) {
    if (!o->wide_gradient)
        o->wide_gradient = sw_alloc_array_for(SW_ACCOUNT_GRADIENTS, o->dim, swo_size(o));
    return o->wide_gradient;
}

sw_status swo_tensor_gradient_alloc(sw_optim *o) {
    int64_t most = 0;
    for (int i = 0; i < o->groups; i++)
        for (int k = 0; o->group[i].rule->unit == SW_UNIT_TENSOR && k < o->group[i].params; k++)
            if (o->group[i].param[k]->count > most)
                most = o->group[i].param[k]->count;
    if (most == 0 || sw_params_storage(o->params) == o->type || swo_needs_wide_gradient(o))
        return SW_OK;
    o->tensor_gradient = sw_alloc_array_named(SW_ACCOUNT_TEMPORARIES, "tensor", "g", most, swo_size(o));
    o->tensor_gradient_count = most;
    return o->tensor_gradient ? SW_OK : SW_ERR_MEMORY;
}

size_t swo_stored_gradient_bytes(const sw_optim *o) {
    return (size_t)((o->wide_gradient ? o->dim : 0) + o->tensor_gradient_count) * swo_size(o);
}

void swo_stored_gradient_free(sw_optim *o) {
    sw_free(o->wide_gradient);
    sw_free(o->tensor_gradient);
}

/* ---- Reading ---- */

static const char *stored_at(const sw_optim *o, const void *g, int64_t offset) {
    return (const char *)g + (size_t)offset * sw_dtype_size(o->g_type);
}

/* to ← factor·g. The factor of a clipped gradient may be too small for f32; two factors are not. */
static void stored_read(sw_dtype type, double factor, int64_t n, const void *g, float *to) {
    sw_vector_convert(type, n, g, SW_F32, to);
    if (factor == 1)
        return;
    if (fabs(factor) < 0x1p-100) {
        sw_vector_axpby(SW_F32, n, 0x1p-80, to, 0, NULL, to);
        factor *= 0x1p80;
    }
    sw_vector_axpby(SW_F32, n, factor, to, 0, NULL, to);
}

void swo_read_gradient(const sw_optim *o, const void *g, int64_t offset, int64_t count, void *to) {
    if (swo_gradient_is_stored(o))
        stored_read(o->g_type, o->g_factor, count, stored_at(o, g, offset), to);
    else
        sw_vector_convert(o->type, count, stored_at(o, g, offset), o->type, to);
}

sw_status swo_gradient_norm(const sw_optim *o, const void *g, int64_t offset, int64_t count, double *norm) {
    const sw_status status = sw_vector_norm(o->g_type, count, stored_at(o, g, offset), norm);
    *norm *= fabs(o->g_factor);
    return status;
}

sw_status swo_block_norm(const sw_optim *o, sw_gradient *block, double *norm) {
    const sw_status status = swi_gradient_norm(block, norm);
    *norm *= fabs(o->g_factor);
    return status;
}

void swo_set_tensor_gradient(const sw_optim *o, const void *g, sw_step *s) {
    if (!g || !swo_gradient_is_stored(o))
        return;
    swo_read_gradient(o, g, s->param->offset, s->count, o->tensor_gradient);
    s->g = o->tensor_gradient;
}

/* ---- Kernels ---- */

enum { STORED_BLOCK = 512 };

typedef struct stored_run {
    sw_kernel *kernel;
    const sw_step *step;
    size_t slot_size[SW_MAX_SLOTS]; /* of an element; 0: no slot */
    const char *g;                  /* f16 or bf16, of the first element; NULL: step->g is the gradient */
    sw_dtype g_type, copy_type;
    double factor;
    char *copy; /* of the first element; NULL: none is written */
} stored_run;

/* Moves the pointers of a step by n elements. */
static void stored_advance(const stored_run *r, sw_step *s, int64_t n) {
    const size_t bytes = (size_t)n * sizeof(float);
    s->count -= n;
    s->x = (char *)s->x + bytes;
    s->g = r->g || !s->g ? NULL : (const char *)s->g + bytes;
    s->out = s->out ? (char *)s->out + bytes : NULL;
    s->x_low = s->x_low ? (char *)s->x_low + bytes : NULL;
    for (int i = 0; i < SW_MAX_SLOTS; i++)
        if (r->slot_size[i] > 0)
            s->slot[i] = (char *)s->slot[i] + (size_t)n * r->slot_size[i];
}

static void stored_run_blocks(void *args, int64_t begin, int64_t end, double *sums) {
    const stored_run *r = args;
    _Alignas(SW_ALIGNMENT) float g[STORED_BLOCK];
    sw_step s = *r->step;
    (void)sums;
    stored_advance(r, &s, begin);
    while (begin < end) {
        const int64_t n = end - begin < STORED_BLOCK ? end - begin : STORED_BLOCK;
        if (r->g) {
            stored_read(r->g_type, r->factor, n, r->g + (size_t)begin * sizeof(uint16_t), g);
            s.g = g;
        }
        r->kernel(&s, 0, n, NULL);
        if (r->copy)
            sw_vector_convert(SW_F32, n, s.x, r->copy_type, r->copy + (size_t)begin * sizeof(uint16_t));
        stored_advance(r, &s, n);
        begin += n;
    }
}

/* Sums are those of whole tiles, as with a gradient in f32. */
static void stored_run_tile_sums(void *args, int64_t begin, int64_t end, double *sums) {
    const stored_run *r = args;
    _Alignas(SW_ALIGNMENT) float g[SW_TILE];
    sw_step s = *r->step;
    stored_advance(r, &s, begin);
    stored_read(r->g_type, r->factor, end - begin, r->g + (size_t)begin * sizeof(uint16_t), g);
    s.g = g;
    r->kernel(&s, 0, end - begin, sums);
}

/* The same for every level: the kernel that they call is that of the level. */
static const sw_kernels stored_block_kernels = {[SW_F32] = {stored_run_blocks, stored_run_blocks, stored_run_blocks}},
                        stored_sum_kernels = {
                            [SW_F32] = {stored_run_tile_sums, stored_run_tile_sums, stored_run_tile_sums}};

static stored_run stored_run_of(const sw_optim *o, const swo_group *group, const sw_kernels *kernels,
                                const sw_step *step, int64_t offset, const void *g) {
    stored_run r = {.kernel = (*kernels)[o->type][sw_cpu_level()],
                    .step = step,
                    .g = g && swo_gradient_is_stored(o) ? stored_at(o, g, offset) : NULL,
                    .g_type = o->g_type,
                    .factor = o->g_factor};
    for (int i = 0; i < SW_MAX_SLOTS; i++)
        r.slot_size[i] = step->slot[i] ? swo_slot_size(&group->rule->slots[i], o->type) : 0;
    return r;
}

void swo_run_elements(const sw_optim *o, const swo_group *group, const sw_kernels *kernels, const sw_step *step,
                      int64_t offset, const void *g) {
    stored_run r;
    if (!g || !swo_gradient_is_stored(o)) {
        sw_kernel_run(kernels, o->type, (void *)(uintptr_t)step, step->count);
        return;
    }
    r = stored_run_of(o, group, kernels, step, offset, g);
    sw_kernel_run(&stored_block_kernels, SW_F32, &r, step->count);
}

void swo_run_update(const sw_optim *o, const swo_group *group, const sw_step *step, int64_t offset, const void *g) {
    stored_run r;
    if (!o->params->copy || o->search) {
        swo_run_elements(o, group, group->rule->update, step, offset, g);
        return;
    }
    r = stored_run_of(o, group, group->rule->update, step, offset, g);
    r.copy_type = o->params->storage;
    r.copy = (char *)o->params->copy + (size_t)offset * sizeof(uint16_t);
    sw_kernel_run(&stored_block_kernels, SW_F32, &r, step->count);
}

void swo_run_measure(const sw_optim *o, const swo_group *group, const sw_step *step, int64_t offset, const void *g,
                     double *sums) {
    const sw_rule *rule = group->rule;
    stored_run r;
    if (!swo_gradient_is_stored(o)) {
        sw_kernel_run_sums(rule->measure, o->type, (void *)(uintptr_t)step, step->count, rule->sums, sums);
        return;
    }
    r = stored_run_of(o, group, rule->measure, step, offset, g);
    sw_kernel_run_sums(&stored_sum_kernels, SW_F32, &r, step->count, rule->sums, sums);
}

void swo_update_copy(const sw_optim *o, int64_t offset, int64_t count) {
    if (o->params->copy)
        sw_vector_convert(o->type, count, swo_x_at(o, offset), o->params->storage,
                          (char *)o->params->copy + (size_t)offset * sizeof(uint16_t));
}

/* ---- Range ---- */

double swo_largest_in_copy(const sw_optim *o) {
    return !o->params->copy ? INFINITY : o->params->storage == SW_F16 ? 65504 : 0x1.FEp127;
}

int64_t swo_find_beyond_copy(const sw_params *params, const void *x, int64_t count) {
    uint16_t copy[STORED_BLOCK];
    for (int64_t at = 0; params->copy && at < count; at += STORED_BLOCK) {
        const int64_t n = count - at < STORED_BLOCK ? count - at : STORED_BLOCK;
        const float *from = (const float *)x + at;
        sw_vector_convert(SW_F32, n, from, params->storage, copy);
        if (swo_vector_is_finite(params->storage, copy, n))
            continue;
        for (int64_t i = 0; i < n; i++)
            if (!swo_element_is_finite(params->storage, copy, i) && swo_element_is_finite(SW_F32, from, i))
                return at + i;
    }
    return -1;
}

sw_status swo_check_range_of_copy(const sw_optim *o, const char *kind, const char *method, const sw_param *param,
                                  const void *x, int64_t count) {
    const int64_t beyond = swo_find_beyond_copy(o->params, x, count);
    if (beyond < 0)
        return SW_OK;
    const sw_dtype storage = o->params->storage;
    return sw_fail(SW_ERR_NONFINITE,
                   "%s %s: step %lld would make a value of parameter %s %g, which is beyond %s; x is "
                   "unchanged (a smaller lr, weight_decay%s is needed)",
                   kind, method, (long long)o->steps + 1, param->name, (double)((const float *)x)[beyond],
                   sw_dtype_name(storage), storage == SW_F16 ? ", or bf16" : "");
}
