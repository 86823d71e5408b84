/* The dropout layer: each element is 0 with probability p while the tape trains. */
#include <swale/extend.h>
#include <swale/nn.h>

#include "nn/layers/builtin_types.h"

typedef struct dropout {
    double p;
    uint64_t site;
} dropout;

static sw_status dropout_build(sw_module *m, sw_sample_shape *shape) {
    (void)shape;
    dropout *d = m->data;
    d->site = sw_rng_key(sw_model_seed(m->model), m->name);
    return SW_OK;
}

static sw_tensor dropout_forward(sw_module *m, sw_tensor x) {
    const dropout *d = m->data;
    return sw_dropout(x, d->p, d->site);
}

static void dropout_describe(const sw_module *m, char *text, size_t bytes) {
    sw_format(text, bytes, "dropout %g", ((const dropout *)m->data)->p);
}

static sw_status dropout_save(const sw_module *m, sw_description *to) {
    return sw_description_set_number(to, "p", ((const dropout *)m->data)->p);
}

static sw_module *dropout_restore(sw_model *model, const sw_description *from) {
    double p;
    return sw_description_number(from, "p", 0, 1, &p) == SW_OK ? sw_nn_dropout(model, p) : sw_module_fail(model);
}

const sw_module_type swn_dropout_type = {.size = sizeof(sw_module_type),
                                         .name = "dropout",
                                         .build = dropout_build,
                                         .forward = dropout_forward,
                                         .describe = dropout_describe,
                                         .save = dropout_save,
                                         .restore = dropout_restore,
                                         .continues = true};

sw_module *sw_nn_dropout(sw_model *model, double p) {
    if (!(p >= 0 && p < 1)) {
        sw_fail(SW_ERR_ARGUMENT, "dropout: p = %g is outside [0, 1)", p);
        return sw_module_fail(model);
    }
    sw_module *m = sw_module_new(model, &swn_dropout_type, sizeof(dropout));
    if (sw_module_is(m, &swn_dropout_type))
        ((dropout *)m->data)->p = p;
    return m;
}
