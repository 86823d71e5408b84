/* The recomputed layer: keeps nothing of the layer inside it, and runs it again in the backward. */
#include <swale/extend.h>
#include <swale/nn.h>

#include "nn/layers/builtin_types.h"
#include "nn/layers/child_list.h"

/* A call of the layer inside with a number of inputs. */
typedef struct recompute_call {
    sw_module *inside;
    int inputs;
} recompute_call;

typedef struct recompute {
    recompute_call call[SW_MAX_INPUTS]; /* [inputs - 1] */
} recompute;

static sw_status recompute_build(sw_module *m, int count, const sw_sample_shape *in, sw_sample_shape *out) {
    recompute *r = m->data;
    for (int i = 0; i < SW_MAX_INPUTS; i++)
        r->call[i] = (recompute_call){m->child[0], i + 1};
    return sw_module_build_many(m->child[0], count, in, out);
}

static sw_tensor recompute_inside(void *user, sw_tape *tape, const sw_tensor *x) {
    (void)tape;
    const recompute_call *call = user;
    return sw_forward_many(call->inside, call->inputs, x);
}

static sw_tensor recompute_forward(sw_module *m, int count, const sw_tensor *x) {
    return sw_recompute(recompute_inside, &((recompute *)m->data)->call[count - 1], count, x);
}

static sw_status recompute_save(const sw_module *m, sw_description *to) {
    (void)m, (void)to;
    return SW_OK;
}

static sw_module *recompute_restore(sw_model *model, const sw_description *from) {
    int count;
    sw_module *const *layers = sw_description_layers(from, &count);
    if (count == 1)
        return sw_nn_recompute(model, layers[0]);
    sw_fail(SW_ERR_FORMAT, "%d layers inside; 1 is needed", count);
    return sw_module_fail(model);
}

const sw_module_type swn_recompute_type = {.size = sizeof(sw_module_type),
                                           .name = "recompute",
                                           .is_chain = true,
                                           .build_many = recompute_build,
                                           .forward_many = recompute_forward,
                                           .save = recompute_save,
                                           .restore = recompute_restore,
                                           .continues = true};

sw_module *sw_nn_recompute(sw_model *model, sw_module *layer) {
    sw_module *m = sw_module_new(model, &swn_recompute_type, sizeof(recompute));
    return sw_module_is(m, &swn_recompute_type) ? swn_add_children(m, 1, &layer) : m;
}
