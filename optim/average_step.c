/* Updates the average in a step. */
#include "optim/average_step.h"
#include "optim/finite.h"
#include "optim/frozen.h"
#include "optim/method_status.h"
#include "optim/optimizer.h"
#include "optim/option_table.h"
#include "optim/rollback.h"

#include <math.h>
#include <string.h>

sw_step swo_average_step(sw_optim *o, int64_t step) {
    sw_step s = {.step = step,
                 .option = o->average_option,
                 .scalar = o->average_scalar,
                 .coefficient = o->average_coefficient,
                 .type = o->type,
                 .count = o->dim,
                 .x = sw_params_x(o->params),
                 .out = o->point};
    for (int i = 0; i < SW_MAX_SLOTS; i++)
        s.slot[i] = o->average_slot[i];
    return s;
}

sw_status swo_average_options(sw_optim *o) {
    return swo_options_in_steps(o, o->average->name, o->average->options, &o->average_values, 0, o->average_option);
}

/* Initializes the slots before the first step, because x may have been set after the optimizer was made. */
static void average_start(sw_optim *o) {
    const sw_slot *slots = o->average->slots;
    for (int i = 0; slots && slots[i].name; i++)
        if (o->average_slot[i] && slots[i].start == SW_START_X)
            memcpy(o->average_slot[i], sw_params_x(o->params), (size_t)o->dim * swo_size(o));
    swo_frozen_clear_average(o);
}

sw_status swo_prepare_average(sw_optim *o) {
    if (o->seen != sw_params_version(o->params) || o->steps == 0)
        o->frozen_known = false;
    if (!o->average)
        return SW_OK;
    SW_TRY(swo_average_options(o));
    if (!o->frozen_known)
        swo_frozen_read(o);
    if (o->steps == 0)
        average_start(o);
    return SW_OK;
}

/* ---- The update ---- */

static sw_status average_update(sw_optim *o) {
    const sw_average *a = o->average;
    sw_step s = swo_average_step(o, o->steps + 1);
    sw_status status = a->begin ? a->begin(&s) : SW_OK;
    if (status == SW_SKIPPED)
        return SW_OK;
    SW_TRY(swo_method_status("average", a->name, "begin", true, status));
    SW_TRY(swo_check_scalars(o, "average", a->name, a->scalars, o->average_scalar));
    SW_TRY(swo_check_coefficients(o, "average", a->name, o->average_coefficient));
    if (a->update) {
        const unsigned mode = sw_subnormals_flush();
        sw_kernel_run(a->update, o->type, &s, s.count);
        sw_subnormals_restore(mode);
        swo_frozen_clear_average(o);
    }
    return SW_OK;
}

static sw_status average_keep(sw_optim *o) {
    const sw_slot *slots = o->average->slots;
    for (int i = 0; slots && slots[i].name; i++) {
        const size_t size = swo_slot_size(&slots[i], o->type);
        if (!o->average_slot[i])
            continue;
        if (!o->average_before[i] && !(o->average_before[i] = sw_alloc_array_named(
                                           SW_ACCOUNT_TEMPORARIES, "undo", slots[i].name, o->average_count[i], size)))
            return SW_ERR_MEMORY;
        memcpy(o->average_before[i], o->average_slot[i], (size_t)o->average_count[i] * size);
    }
    return SW_OK;
}

/* Checks the states, and undoes the step if one is not finite or the update failed. */
static sw_status average_check(sw_optim *o, sw_status status) {
    const sw_slot *slots = o->average->slots;
    for (int i = 0; status == SW_OK && slots && slots[i].name; i++)
        if (o->average_slot[i] &&
            !swo_vector_is_finite(swo_slot_type(&slots[i], o->type), o->average_slot[i], o->average_count[i]))
            status = swo_refuse_vector(o, "average", o->average->name, "its state ", slots[i].name, "");
    if (status == SW_OK)
        return SW_OK;
    swo_rollback_restore(o);
    for (int i = 0; slots && slots[i].name; i++)
        if (o->average_slot[i])
            memcpy(o->average_slot[i], o->average_before[i],
                   (size_t)o->average_count[i] * swo_slot_size(&slots[i], o->type));
    return status;
}

sw_status swo_update_average(sw_optim *o) {
    if (!o->average)
        return SW_OK;
    if (!o->average_checked)
        return average_update(o);
    SW_TRY(average_keep(o));
    return average_check(o, average_update(o));
}
