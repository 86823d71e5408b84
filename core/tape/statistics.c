/* Reports of the statistics of a batch, from a layer to the gradient block that is bound to its tape. */
#include "core/params/gradient.h"
#include "core/params/statistics.h"
#include "core/params/vector.h"
#include "core/tape/node.h"

static const swi_binding *buffers_binding(const sw_tape *tape, const sw_params *params) {
    for (int i = 0; i < tape->bindings; i++)
        if (tape->binding[i].params == params && tape->binding[i].id == params->id)
            return &tape->binding[i];
    return NULL; /* leaves read the vector of the parameters, and reports go to their gradient block */
}

bool sw_tape_wants_statistics(const sw_tape *tape, const sw_param *buffer) {
    const unsigned needed = SW_TRAIN | SW_UPDATE_BUFFERS;
    if (!tape || !buffer || (tape->switches & needed) != needed || tape->floor != 0 || !buffer->owner->built)
        return false;
    const swi_binding *b = buffers_binding(tape, buffer->owner);
    return !b || !b->frozen;
}

static sw_status buffers_report(sw_tape *tape, const swi_report *r) {
    if (!tape || !r->buffer)
        return sw_fail(SW_ERR_ARGUMENT, "%s: the %s is NULL", r->who, tape ? "buffer" : "tape");
    if (!sw_tape_wants_statistics(tape, r->buffer))
        return SW_OK;
    const swi_binding *b = buffers_binding(tape, r->buffer->owner);
    return swi_statistics_put(b ? b->g : r->buffer->owner->gradient, r);
}

sw_status sw_tape_put_statistic(sw_tape *tape, sw_param *buffer, sw_array values, double weight, double momentum) {
    const swi_report r = {
        .who = "tape_put_statistic", .buffer = buffer, .values = &values, .weight = weight, .momentum = momentum};
    return buffers_report(tape, &r);
}

sw_status sw_tape_put_moments(sw_tape *tape, sw_param *mean, sw_param *variance, const sw_batch_moments *moments,
                              double momentum) {
    if (!variance || !moments)
        return sw_fail(SW_ERR_ARGUMENT, "tape_put_moments: the %s", variance ? "moments are NULL" : "variance is NULL");
    if (moments->size < sizeof *moments)
        return sw_fail(SW_ERR_ARGUMENT, "tape_put_moments: the size of the moments must be sizeof(sw_batch_moments)");
    const swi_report r = {.who = "tape_put_moments",
                          .buffer = mean,
                          .variance = variance,
                          .values = &moments->mean,
                          .variances = &moments->variance,
                          .weight = moments->weight,
                          .momentum = momentum,
                          .unbiased = moments->unbiased};
    return buffers_report(tape, &r);
}
