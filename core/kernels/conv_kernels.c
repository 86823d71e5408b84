/* Convolutions of pictures with channels last: the public functions. See conv_kernels.h. */
#include <swale/conv_kernels.h>
#include <swale/memory.h>
#include <swale/parallel.h>
#include <swale/status.h>

#include "core/kernels/conv_depthwise.h"
#include "core/kernels/conv_plan.h"
#include "core/kernels/conv_shared.h"
#include "core/kernels/conv_winograd.h"
#include "core/kernels/dispatch.h"

static sw_status conv_check(const sw_conv *c) {
    if (!c || c->size < sizeof *c)
        return sw_fail(SW_ERR_ARGUMENT, "conv: %s", c ? "its size must be sizeof(sw_conv)" : "it is NULL");
    if (c->type != SW_F32 && c->type != SW_F64)
        return sw_fail(SW_ERR_TYPE, "conv: the type is %s; f32 or f64 is needed", sw_dtype_name(c->type));
    return SW_OK;
}

/* Whether the arithmetic is only counted. */
static bool conv_dry_run(const sw_conv *c) {
    if (!swi_dry_run())
        return false;
    sw_dry_run_count_product(c->batch * c->out_height * c->out_width, c->outputs,
                             c->kernel_height * c->kernel_width * (c->inputs / c->groups));
    return true;
}

/* ---- One of the three products, whose y is an array or processed by samples ---- */

static bool conv_by_samples(const sw_conv *c, swi_conv_purpose purpose) {
    if (swi_depthwise_fits(c) || swi_winograd_fits(c, purpose))
        return false;
    return purpose == SWI_CONV_WEIGHTS ? swi_conv_weights_by_samples(c)
                                       : swi_conv_windows_by_samples(c, purpose == SWI_CONV_INPUT);
}

static sw_status conv_windows(const sw_conv *c, bool gradient, const void *picture, const void *w, const void *bias,
                              void *result, void *scratch, size_t bytes) {
    if (swi_depthwise_fits(c))
        return swi_depthwise_windows(c, gradient, picture, w, bias, result, scratch, bytes);
    if (swi_winograd_fits(c, gradient ? SWI_CONV_INPUT : SWI_CONV_FORWARD))
        return swi_winograd_windows(c, gradient, picture, w, bias, result, scratch, bytes);
    return swi_conv_windows(c, gradient, picture, w, bias, result, scratch, bytes);
}

static sw_status conv_weights(const sw_conv *c, const void *x, const void *dy, void *dw, void *scratch, size_t bytes) {
    if (swi_depthwise_fits(c))
        return swi_depthwise_weights_gradient(c, x, dy, dw, scratch, bytes);
    if (swi_winograd_fits(c, SWI_CONV_WEIGHTS))
        return swi_winograd_weights_gradient(c, x, dy, dw, scratch, bytes);
    return swi_conv_weights(c, x, dy, dw, scratch, bytes);
}

static size_t conv_scratch(const sw_conv *c, swi_conv_purpose purpose) {
    if (swi_depthwise_fits(c))
        return swi_depthwise_scratch(c, purpose);
    if (swi_winograd_fits(c, purpose))
        return swi_winograd_scratch(c, purpose);
    return purpose == SWI_CONV_WEIGHTS ? swi_conv_weights_scratch(c)
                                       : swi_conv_windows_scratch(c, purpose == SWI_CONV_INPUT);
}

/* ---- y of all samples in the scratch ---- */

static int64_t conv_sample_bytes(const sw_conv *c) {
    return c->out_height * c->out_width * c->outputs * (int64_t)sw_dtype_size(c->type);
}

static size_t conv_stored_bytes(const sw_conv *c) {
    const size_t bytes = (size_t)(c->batch * conv_sample_bytes(c));
    return (bytes + SW_ALIGNMENT - 1) / SW_ALIGNMENT * SW_ALIGNMENT;
}

static sw_conv conv_stored(const sw_conv *c) {
    sw_conv stored = *c;
    stored.samples = NULL;
    return stored;
}

typedef struct samples_job {
    const sw_conv *conv;
    char *y;
    int64_t parts;
} samples_job;

static void samples_part(void *args, int64_t part) {
    const samples_job *j = args;
    const sw_conv *c = j->conv;
    const int64_t begin = sw_part_begin(c->batch, j->parts, part), end = sw_part_begin(c->batch, j->parts, part + 1);
    c->samples(c->samples_args, begin, end - begin, j->y + begin * conv_sample_bytes(c));
}

static void samples_run(const sw_conv *c, void *y) {
    enum { MOST_PARTS = 64 };
    samples_job j = {.conv = c, .y = y, .parts = c->batch < MOST_PARTS ? c->batch : MOST_PARTS};
    if (c->batch * conv_sample_bytes(c) > 0)
        sw_parallel(samples_part, &j, j.parts);
}

/* The scratch: y, and the rest for the product. */
typedef struct conv_room {
    void *y, *rest;
    size_t bytes; /* of the rest */
} conv_room;

static sw_status conv_divide_scratch(const sw_conv *c, void *scratch, size_t bytes, conv_room *room) {
    const size_t y_bytes = conv_stored_bytes(c);
    *room = (conv_room){scratch, scratch, bytes};
    if (y_bytes == 0) /* the scratch can be NULL */
        return SW_OK;
    SW_TRY(swi_conv_check_scratch(scratch, bytes, y_bytes));
    room->rest = (char *)scratch + y_bytes;
    room->bytes -= y_bytes;
    return SW_OK;
}

/* A forward pass, or the gradient of the input. */
static sw_status conv_run_windows(const sw_conv *c, bool gradient, const void *picture, const void *w, const void *bias,
                                  void *result, void *scratch, size_t bytes) {
    SW_TRY(conv_check(c));
    if (conv_dry_run(c))
        return SW_OK;
    if (!c->samples || conv_by_samples(c, gradient ? SWI_CONV_INPUT : SWI_CONV_FORWARD))
        return conv_windows(c, gradient, picture, w, bias, result, scratch, bytes);
    const sw_conv stored = conv_stored(c);
    conv_room room;
    SW_TRY(conv_divide_scratch(c, scratch, bytes, &room));
    if (gradient)
        samples_run(c, room.y);
    SW_TRY(conv_windows(&stored, gradient, gradient ? room.y : picture, w, bias, gradient ? result : room.y, room.rest,
                        room.bytes));
    if (!gradient)
        samples_run(c, room.y);
    return SW_OK;
}

static size_t conv_run_scratch(const sw_conv *c, swi_conv_purpose purpose) {
    if (!c->samples || conv_by_samples(c, purpose))
        return conv_scratch(c, purpose);
    const sw_conv stored = conv_stored(c);
    const size_t more = conv_scratch(&stored, purpose), y_bytes = conv_stored_bytes(c);
    return more > SIZE_MAX - y_bytes ? SIZE_MAX : y_bytes + more;
}

/* ---- The public functions ---- */

sw_status sw_conv_forward(const sw_conv *conv, const void *x, const void *w, const void *bias, void *y, void *scratch,
                          size_t bytes) {
    return conv_run_windows(conv, false, x, w, bias, y, scratch, bytes);
}

sw_status sw_conv_input_gradient(const sw_conv *conv, const void *w, const void *dy, void *dx, void *scratch,
                                 size_t bytes) {
    return conv_run_windows(conv, true, dy, w, NULL, dx, scratch, bytes);
}

sw_status sw_conv_weight_gradient(const sw_conv *conv, const void *x, const void *dy, void *dw, void *scratch,
                                  size_t bytes) {
    SW_TRY(conv_check(conv));
    if (conv_dry_run(conv))
        return SW_OK;
    if (!conv->samples || conv_by_samples(conv, SWI_CONV_WEIGHTS))
        return conv_weights(conv, x, dy, dw, scratch, bytes);
    const sw_conv stored = conv_stored(conv);
    conv_room room;
    SW_TRY(conv_divide_scratch(conv, scratch, bytes, &room));
    samples_run(conv, room.y);
    return conv_weights(&stored, x, room.y, dw, room.rest, room.bytes);
}

size_t sw_conv_forward_scratch(const sw_conv *conv) {
    return conv_run_scratch(conv, SWI_CONV_FORWARD);
}

size_t sw_conv_input_gradient_scratch(const sw_conv *conv) {
    return conv_run_scratch(conv, SWI_CONV_INPUT);
}

size_t sw_conv_weight_gradient_scratch(const sw_conv *conv) {
    return conv_run_scratch(conv, SWI_CONV_WEIGHTS);
}
