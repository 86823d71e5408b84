/* The gradient check compares the gradients of a tape with central differences, in f64. */
#include <swale/inspect.h>
#include <swale/memory.h>
#include <swale/status.h>

#include "core/tape/node.h"

#include <string.h>
#include <math.h>

typedef struct check {
    sw_function f;
    void *user;
    int count;
    const sw_array *inputs;
    sw_gradcheck_options o;
    sw_tape *tape;
    sw_tensor *tensor;
    double *cotangent; /* the random cotangent of the result */
    int64_t length;
} check;

/* Inputs of another type (class ids), and those that the options exclude. */
static bool check_has_no_gradient(const check *c, int input) {
    return c->inputs[input].type != SW_F64 || (input < 32 && (c->o.no_grad & (1u << input)));
}

static sw_tensor check_build(const check *c) {
    sw_tape_reset(c->tape);
    sw_tape_set_draw(c->tape, 1); /* the same random numbers each time */
    for (int i = 0; i < c->count; i++) {
        bool plain = check_has_no_gradient(c, i);
        c->tensor[i] = plain ? sw_input(c->tape, c->inputs[i]) : sw_variable(c->tape, c->inputs[i]);
        if (sw_is_null(c->tensor[i]))
            return c->tensor[i];
    }
    /* NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage): f is checked by sw_gradcheck */
    return c->f(c->user, c->tape, c->tensor);
}

/* The status for a null tensor; `before` is sw_failure_count() from before the call of f. */
static sw_status check_fail_function(uint64_t before) {
    return sw_fail_unless_since(before, SW_ERR_USER, "gradcheck: the function returned a null tensor");
}

/* ⟨f(inputs), cotangent⟩ */
static sw_status check_contract(const check *c, double *value) {
    const uint64_t failures = sw_failure_count();
    sw_tensor t = check_build(c);
    if (sw_is_null(t))
        return check_fail_function(failures);
    sw_array out = sw_value(t);
    *value = 0;
    for (int64_t i = 0; i < c->length; i++)
        *value += ((const double *)out.data)[i] * c->cotangent[i];
    return SW_OK;
}

static sw_status check_compare(const check *c, int input, const double *analytic, double *worst) {
    double *x = c->inputs[input].data;
    int64_t n = sw_array_count(&c->inputs[input]);
    for (int64_t i = 0; i < n; i++) {
        double before = x[i], up = 0, down = 0, h = c->o.step * fmax(1, fabs(before));
        x[i] = before + h;
        sw_status status = check_contract(c, &up);
        x[i] = before - h;
        if (status == SW_OK)
            status = check_contract(c, &down);
        double width = (before + h) - (before - h);
        x[i] = before;
        SW_TRY(status);
        double numeric = (up - down) / width;
        double ratio = fabs(analytic[i] - numeric) / (c->o.atol + c->o.rtol * fabs(numeric));
        if (!(ratio <= *worst))
            *worst = ratio;
        if (!(ratio <= 1))
            return sw_fail(SW_ERR_GRADIENT, "gradcheck: input %d, element %lld: analytic %.12g, numeric %.12g", input,
                           (long long)i, analytic[i], numeric);
    }
    return SW_OK;
}

static sw_status check_run(check *c, double *worst) {
    const uint64_t failures = sw_failure_count();
    sw_tensor out = check_build(c);
    if (sw_is_null(out))
        return check_fail_function(failures);
    sw_array value = sw_value(out);
    if (value.type != SW_F64)
        return sw_fail(SW_ERR_TYPE, "gradcheck: the result is %s; f64 is needed (give the inputs in f64)",
                       sw_dtype_name(value.type));
    c->length = sw_array_count(&value);
    c->cotangent = sw_alloc_array_for(SW_ACCOUNT_TEMPORARIES, c->length, sizeof(double));
    if (!c->cotangent)
        return SW_ERR_MEMORY;
    sw_rng rng = {.key = sw_rng_key(c->o.seed, "gradcheck")};
    for (int64_t i = 0; i < c->length; i++)
        c->cotangent[i] = 2 * sw_rng_uniform(&rng) - 1;
    value.data = c->cotangent;
    SW_TRY(sw_backward_from(out, value));
    for (int i = 0; i < c->count; i++) {
        if (check_has_no_gradient(c, i))
            continue;
        /* check_compare resets the tape, so that the gradient is computed again and copied for each input. */
        int64_t n = sw_array_count(&c->inputs[i]);
        double *analytic = sw_alloc_array_for(SW_ACCOUNT_TEMPORARIES, n, sizeof *analytic);
        if (!analytic)
            return SW_ERR_MEMORY;
        sw_tensor again = check_build(c);
        sw_status status = sw_backward_from(again, value);
        sw_array grad = status == SW_OK ? sw_grad(c->tensor[i]) : (sw_array){0};
        if (grad.data) /* NULL: the result does not depend on this input, and the gradient is 0 */
            memcpy(analytic, grad.data, (size_t)n * sizeof *analytic);
        if (status == SW_OK)
            status = check_compare(c, i, analytic, worst);
        sw_free(analytic);
        SW_TRY(status);
    }
    return SW_OK;
}

sw_status sw_gradcheck(sw_function f, void *user, int count, const sw_array *inputs,
                       const sw_gradcheck_options *options, double *worst) {
    check c = {.f = f, .user = user, .count = count, .inputs = inputs};
    double ignored;
    if (!worst)
        worst = &ignored;
    *worst = 0;
    if (options)
        SW_TRY(sw_options_copy("gradcheck", "sw_gradcheck_options", &c.o, sizeof c.o, options,
                               offsetof(sw_gradcheck_options, step)));
    if (c.o.step == 0)
        c.o.step = 1e-6;
    if (c.o.atol == 0)
        c.o.atol = 1e-7;
    if (c.o.rtol == 0)
        c.o.rtol = 1e-6;
    if (count < 0 || (count > 0 && !inputs))
        return sw_fail(SW_ERR_ARGUMENT, "gradcheck: %d inputs%s", count, inputs ? "" : ", which are NULL");
    for (int i = 0; i < count; i++) {
        int64_t elements;
        SW_TRY(sw_shape_count(inputs[i].rank, inputs[i].shape, &elements));
        if (!inputs[i].data && elements > 0)
            return sw_fail(SW_ERR_ARGUMENT, "gradcheck: input %d has no data", i);
    }
    c.tape = sw_tape_new();
    c.tensor = sw_alloc_array_for(SW_ACCOUNT_TEMPORARIES, count, sizeof *c.tensor);
    sw_status status = c.tape && c.tensor ? SW_OK : SW_ERR_MEMORY;
    if (status == SW_OK && !f)
        status = sw_fail(SW_ERR_ARGUMENT, "gradcheck: the function is NULL");
    if (status == SW_OK) {
        c.tape->poison_unread = true;
        sw_tape_set_switch(c.tape, SW_UPDATE_BUFFERS, false); /* it runs f many times */
        if (c.o.switches) {
            sw_tape_set_switch(c.tape, ~0u, false);
            sw_tape_set_switch(c.tape, c.o.switches, true);
        }
        status = check_run(&c, worst);
    }
    sw_free(c.cotangent);
    sw_free(c.tensor);
    sw_tape_free(c.tape);
    return status;
}
