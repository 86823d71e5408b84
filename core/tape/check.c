/* SW_CHECK: checks every result and every gradient. The first Inf or NaN is an error that names the operation and
 * summarizes its inputs. */
#define SW_KERNEL_16_BIT
#include <swale/kernel.h>
#include <swale/parallel.h>
#include <swale/text.h>
#include <swale/vector.h>

#include "core/tape/check.h"
#include "core/tape/describe.h"
#include "core/params/gradient.h"

#include <math.h>

#if SW_KERNEL_PASS

/* sums[0] += the number of NaN, sums[1] += the number of Inf */
static void SW_K(count_nonfinite)(void *args, int64_t begin, int64_t end, double *sums) {
    const stored *x = args;
    real nan = 0, wrong = 0; /* integers up to SW_TILE, which are exact */
    for (int64_t i = begin; i < end; i++) {
        const real v = SW_LOAD(x, i);
        nan += v == v ? 0 : 1;
        wrong += v - v == 0 ? 0 : 1;
    }
    sums[0] += (double)nan;
    sums[1] += (double)(wrong - nan);
}

#else

#include <stdio.h>

static const sw_kernels count_nonfinite_kernels = SW_KERNEL_TABLE(count_nonfinite);

typedef struct findings {
    bool nan, inf;
} findings;

static findings count_findings(sw_dtype type, int64_t count, const void *data) {
    double sums[2] = {0};
    if (sw_dtype_is_float(type))
        sw_kernel_run_sums(&count_nonfinite_kernels, type, (void *)(uintptr_t)data, count, 2, sums);
    return (findings){sums[0] > 0, sums[1] > 0};
}

/* "NaN at [3,7]": the first NaN if `nan`, else the first Inf. */
static const char *place_text(const sw_view *like, const void *data, bool nan, char text[160]) {
    int64_t at = 0, index[SW_MAX_RANK] = {0};
    double value = 0;
    for (; at < like->count; at++) {
        value = sw_load_element(like->type, data, at);
        if (nan ? isnan(value) : isinf(value))
            break;
    }
    for (int axis = like->rank - 1; axis >= 0; at /= like->shape[axis--])
        index[axis] = at % like->shape[axis];
    snprintf(text, 160, "%s at %s", nan ? "NaN" : value < 0 ? "-Inf" : "Inf", sw_shape_text(like->rank, index));
    return text;
}

/* Writes ", input 1 linear1.weight f32 [100,784] from -0.1 to 0.1" for each of the first 4 inputs, as far as the text
 * has room. */
static void check_describe_inputs(const swi_node *node, char *text, size_t bytes) {
    size_t at = 0;
    for (int i = 0; i < node->inputs && i < 4; i++) {
        const swi_node *input = swi_inputs(node)[i];
        char summary[96] = "(released)";
        if (!(input->root->flags & SWI_FREED))
            swi_summary(input->view.type, input->view.count, input->view.data, summary, sizeof summary);
        int n = snprintf(text + at, bytes - at, "%s input %d%s%s %s %s %s", i ? "," : "", i,
                         input->flags & SWI_PARAM ? " " : "", input->flags & SWI_PARAM ? input->param->name : "",
                         sw_dtype_name(input->view.type), sw_shape_text(input->view.rank, input->view.shape), summary);
        at += (size_t)n < bytes - at ? (size_t)n : bytes - at - 1;
    }
}

/* Whether any input holds NaN or Inf. A result may contain an Inf if an input does (a mask of -Inf), but not
 * otherwise. */
static findings findings_of_inputs(const swi_node *node, bool values_that_vjp_reads, int *nan_in) {
    findings all = {false, false};
    for (int i = 0; i < node->inputs; i++) {
        const swi_node *input = swi_inputs(node)[i];
        if (values_that_vjp_reads && !swi_reads(node->op, i))
            continue; /* its memory may have been released */
        findings f = count_findings(input->view.type, input->view.count, input->view.data);
        if (f.nan && !all.nan && nan_in)
            *nan_in = i;
        all.nan |= f.nan;
        all.inf |= f.inf;
    }
    return all;
}

sw_status swi_check_result(const swi_node *node) {
    findings out = count_findings(node->view.type, node->view.count, node->view.data);
    if (!out.nan && !out.inf)
        return SW_OK;
    char where[160], inputs[512];
    int nan_in = 0;
    findings in = findings_of_inputs(node, false, &nan_in);
    if (in.nan) { /* every result is checked, so that only a leaf can hold a NaN */
        const swi_node *leaf = swi_inputs(node)[nan_in];
        return sw_fail(SW_ERR_NONFINITE, "%s: %s%s, input %d, holds %s", node->op->name,
                       leaf->flags & SWI_PARAM ? "parameter " : "the tensor",
                       leaf->flags & SWI_PARAM ? leaf->param->name : "", nan_in,
                       place_text(&leaf->view, leaf->view.data, true, where));
    }
    if (!out.nan && in.inf)
        return SW_OK;
    check_describe_inputs(node, inputs, sizeof inputs);
    return sw_fail(SW_ERR_NONFINITE, "%s: produced %s from%s", node->op->name,
                   place_text(&node->view, node->view.data, out.nan, where), inputs);
}

/* The message begins with the layer, as in a forward pass. */
static sw_status check_fail_backward(const swi_node *node, const char *text) {
    return sw_fail(SW_ERR_NONFINITE, "%s%s%sbackward: %s: %s", node->layer ? "layer " : "",
                   node->layer ? node->layer : "", node->layer ? ": " : "", node->op->name, text);
}

sw_status swi_check_cotangent(const swi_node *node, bool *has_inf) {
    findings f = count_findings(node->view.type, node->view.count, node->grad);
    char where[160], text[224];
    *has_inf = f.inf;
    if (!f.nan)
        return SW_OK;
    snprintf(text, sizeof text, "its cotangent holds %s", place_text(&node->view, node->grad, true, where));
    return check_fail_backward(node, text);
}

sw_status swi_check_gradients(const sw_tape *tape, const swi_node *node, bool cotangent_has_inf) {
    for (int i = 0; i < node->inputs; i++) {
        const swi_node *input = swi_inputs(node)[i];
        const void *data = input->grad;
        sw_view like = input->view;
        if (!(input->flags & SWI_NEEDS_GRAD))
            continue;
        if (input->flags & SWI_PARAM) {
            const sw_gradient *g = tape->binding[input->binding].g;
            data = swi_gradient_part(g, input->param->offset, input->param->count, &like.type);
        }
        if (!data)
            continue;
        findings f = count_findings(like.type, like.count, data);
        if (!f.nan && (!f.inf || cotangent_has_inf || findings_of_inputs(node, true, NULL).inf))
            continue;
        char where[160], inputs[512] = "", scale[48] = "", text[800];
        check_describe_inputs(node, inputs, sizeof inputs);
        if (tape->loss_scale != 1)
            snprintf(scale, sizeof scale, ", with the loss scale %g", tape->loss_scale);
        snprintf(text, sizeof text, "the gradient of input %d%s%s became %s%s;%s", i,
                 input->flags & SWI_PARAM ? ", parameter " : "", input->flags & SWI_PARAM ? input->param->name : "",
                 place_text(&like, data, f.nan, where), scale, inputs);
        return check_fail_backward(node, text);
    }
    return SW_OK;
}

/* ---- Values that a vjp must not read, for sw_gradcheck ---- */

/* A view of NaN that replaces values which are not in vjp_reads, because in other passes their memory may be released
 * before the vjp runs (sw_release). The NaN are kept until the reset. */
static const sw_view *check_view_of_nan(sw_tape *tape, const sw_view *view) {
    sw_view *blank = swi_arena_alloc(&tape->arena, sizeof *blank);
    void *data = swi_arena_alloc(&tape->arena, (size_t)view->count * swi_size(view->type));
    if (!blank || !data)
        return NULL;
    *blank = *view;
    blank->data = data;
    sw_vector_fill(view->type, view->count, (double)NAN, data);
    return blank;
}

sw_status swi_poison_unread(sw_tape *tape, const swi_node *node, const sw_view **in, sw_call *call) {
    for (int i = 0; i < node->inputs; i++) {
        const sw_view *view = &swi_inputs(node)[i]->view;
        if (!swi_reads(call->op, i) && sw_dtype_is_float(view->type) && !(in[i] = check_view_of_nan(tape, view)))
            return SW_ERR_MEMORY;
    }
    if (!(call->op->vjp_reads & SW_READS_OUT) && sw_dtype_is_float(call->out->type))
        call->out = (sw_view *)(uintptr_t)check_view_of_nan(tape, call->out);
    return call->out ? SW_OK : SW_ERR_MEMORY;
}

#endif
