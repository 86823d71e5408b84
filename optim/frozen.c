/* Frozen parameters. They may hold Inf, as an attention mask does. Averages read all of x, and Inf - Inf is NaN. For
 * elements of frozen parameters that are not finite, the state of an average is therefore 0, and its point is x. */
#include "optim/frozen.h"
#include "optim/finite.h"
#include "optim/optimizer.h"
#include "optim/option_table.h"

#include "core/params/gradient.h"

#include <math.h>
#include <string.h>

void swo_zero_frozen_of(const sw_optim *o, sw_dtype type, void *g) {
    const size_t size = sw_dtype_size(type);
    for (int i = 0; i < sw_params_count(o->params); i++) {
        const sw_param *p = sw_params_at(o->params, i);
        if (p->frozen && !p->tied)
            memset((char *)g + (size_t)p->offset * size, 0, (size_t)p->count * size);
    }
}

void swo_zero_frozen_in(const sw_optim *o, sw_gradient *block) {
    swo_zero_frozen_of(o, sw_gradient_type(block), swi_gradient_data(block));
    for (int i = 0; i < sw_params_count(o->params); i++) {
        const sw_param *p = sw_params_at(o->params, i);
        if (p->frozen && !p->tied)
            swi_gradient_touch(block, p->offset, p->count);
    }
}

void swo_zero_frozen(const sw_optim *o, void *g) {
    swo_zero_frozen_of(o, o->type, g);
}

/* ---- Inf and NaN in them ---- */

/* A bound of the 2-norm of the finite elements. */
static double frozen_finite_norm(sw_dtype type, const void *v, int64_t count) {
    double largest = 0;
    for (int64_t i = 0; i < count; i++)
        if (swo_element_is_finite(type, v, i))
            largest = fmax(largest, fabs(sw_load_element(type, v, i)));
    return largest * sqrt((double)count) * SWO_ROUNDING;
}

void swo_frozen_read(sw_optim *o) {
    o->frozen_norm = 0;
    o->any_infinite = false;
    o->frozen_known = true;
    for (int i = 0; i < sw_params_count(o->params); i++) {
        const sw_param *p = sw_params_at(o->params, i);
        o->infinite[i] = false;
        if (!p->frozen || p->tied || p->count == 0)
            continue;
        const void *value = swo_x_at(o, p->offset);
        double norm = swo_vector_bound(o->type, value, p->count);
        if (!isfinite(norm)) {
            o->infinite[i] = !swo_vector_is_finite(o->type, value, p->count);
            norm = frozen_finite_norm(o->type, value, p->count);
        }
        o->any_infinite |= o->infinite[i];
        o->frozen_norm = hypot(o->frozen_norm, norm);
    }
}

/* v consists of rows of dim elements. For each frozen parameter with Inf or NaN, the elements of v at which x is not
 * finite become 0, or with x_there the value of x. */
static void frozen_replace_infinite(const sw_optim *o, sw_dtype type, void *v, int64_t count, bool x_there) {
    const void *x = sw_params_x(o->params);
    for (int k = 0; k < sw_params_count(o->params) && o->any_infinite; k++) {
        const sw_param *p = sw_params_at(o->params, k);
        for (int64_t i = p->offset; o->infinite[k] && i < p->offset + p->count; i++)
            for (int64_t at = i; !swo_element_is_finite(o->type, x, i) && at < count; at += o->dim)
                sw_store_element(type, v, at, x_there ? sw_load_element(o->type, x, i) : 0);
    }
}

void swo_frozen_clear_average(sw_optim *o) {
    const sw_slot *slots = o->average->slots;
    for (int i = 0; o->any_infinite && slots && slots[i].name; i++) {
        const sw_dtype type = swo_slot_type(&slots[i], o->type);
        if (o->average_slot[i] && sw_dtype_is_float(type) && o->average_count[i] % o->dim == 0)
            frozen_replace_infinite(o, type, o->average_slot[i], o->average_count[i], false);
    }
}

void swo_frozen_copy_to_point(const sw_optim *o, void *point) {
    frozen_replace_infinite(o, o->type, point, o->dim, true);
}
