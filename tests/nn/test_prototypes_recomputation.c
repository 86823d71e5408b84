/* Recomputation outside the library, against the public headers alone: a layer that keeps nothing of the layers inside
 * it and runs them again in the vjp. Networks of such layers train to the same bits as plain ones, from the first layer
 * on, whose input needs no gradient, with every kind of estimator; the tape needs less memory. */
#include "cloud.h"

#include "batch_norm.h"

#include <swale/extend.h>
#include <swale/optim.h>
#include <swale/train.h>

/* ---- The operation ---- */

typedef struct segment {
    sw_module *inside;
} segment;

/* [batch, output sample of the inner layers] */
static sw_status segment_shape(sw_call *call) {
    const segment *s = call->attributes;
    const sw_sample_shape *out = &s->inside->out;
    int64_t shape[SW_MAX_RANK + 1] = {call->in[0]->shape[0]};
    if (out->rank < 0)
        return sw_fail(SW_ERR_STATE, "segment: the shape of its output is not known");
    for (int i = 0; i < out->rank; i++)
        shape[i + 1] = out->length[i];
    return sw_call_set_shape(call, call->in[0]->type, out->rank + 1, shape);
}

static sw_status segment_forward(sw_call *call) {
    const segment *s = call->attributes;
    sw_tape *tape = call->tape;
    const sw_view *in = call->in[0];
    sw_mark *mark = sw_call_save(call, sizeof *mark);
    if (!mark)
        return SW_ERR_MEMORY;
    const bool record = sw_tape_switch(tape, SW_RECORD);
    *mark = sw_tape_mark(tape);
    sw_tape_set_switch(tape, SW_RECORD, false);
    sw_array y =
        sw_value(sw_forward(s->inside, sw_input(tape, sw_array_view(in->data, in->type, in->rank, in->shape))));
    sw_tape_set_switch(tape, SW_RECORD, record);
    if (!y.data)
        return sw_last_failure();
    memcpy(call->out->data, y.data, (size_t)call->out->count * sw_dtype_size(y.type));
    sw_mark after = *mark;
    after.random_calls = sw_tape_mark(tape).random_calls;
    SW_TRY(sw_tape_rewind(tape, *mark));
    sw_tape_rewind_random(tape, after); /* later dropout counts that of the segment */
    return SW_OK;
}

static sw_status segment_vjp(sw_call *call) {
    const segment *s = call->attributes;
    sw_tape *tape = call->tape;
    const sw_view *in = call->in[0];
    const bool wanted = sw_call_wants_grad(call, 0);
    void *dx = wanted ? sw_call_grad(call, 0) : NULL; /* before the mark: it must stay */
    if (wanted && !dx)
        return SW_ERR_MEMORY;
    sw_mark mark = sw_tape_mark(tape);
    sw_tape_rewind_random(tape, *(const sw_mark *)call->saved);
    const sw_array values = sw_array_view(in->data, in->type, in->rank, in->shape);
    sw_tensor x = wanted ? sw_variable(tape, values) : sw_input(tape, values), y = sw_forward(s->inside, x);
    SW_TRY(sw_backward_from(y, sw_array_view(call->cotangent, call->out->type, call->out->rank, call->out->shape)));
    if (wanted)
        memcpy(dx, sw_grad(x).data, (size_t)in->count * sw_dtype_size(in->type));
    return sw_tape_rewind(tape, mark);
}

static const sw_op segment_op = {.size = sizeof(sw_op),
                                 .name = "segment",
                                 .shape = segment_shape,
                                 .forward = segment_forward,
                                 .vjp = segment_vjp,
                                 .vjp_reads = SW_READS(0),
                                 .reads_params = true};

/* ---- The layer ---- */

static sw_status recomputed_build(sw_module *m, sw_sample_shape *shape) {
    return sw_module_build(sw_module_child(m, 0), shape);
}
static sw_tensor recomputed_forward(sw_module *m, sw_tensor x) {
    const segment s = {sw_module_child(m, 0)};
    return sw_apply(&segment_op, &s, sizeof s, 1, &x);
}
static const sw_module_type recomputed_type = {
    .size = sizeof(sw_module_type), .name = "recomputed", .build = recomputed_build, .forward = recomputed_forward};

static sw_module *recomputed(sw_model *model, sw_module *inside) {
    sw_module *m = sw_module_new(model, &recomputed_type, 0);
    if (!sw_module_is(m, &recomputed_type))
        return m;
    return sw_module_add_child(m, inside) == SW_OK ? m : sw_module_fail(model);
}

/* ---- Networks ---- */

enum { WIDTH = 16, SAMPLES = 60 };
enum { PLAIN, SEGMENTS, NESTED };

/* Running statistics are reported in the first pass of a segment, and not in the second. */
static sw_module *block(sw_model *model, int64_t inputs, int64_t outputs) {
    return sw_nn_sequential(model, sw_nn_linear(model, inputs, WIDTH), sw_nn_tanh(model), batch_norm_new(model, 0.1),
                            sw_nn_dropout(model, 0.25), sw_nn_linear_no_bias(model, WIDTH, outputs), sw_nn_gelu(model));
}

static sw_module *maybe(sw_model *model, bool yes, sw_module *inside) {
    return yes ? recomputed(model, inside) : inside;
}

/* The same layers, with the same names, in every kind. */
static sw_model *network(sw_dtype type, int kind) {
    sw_model *model = sw_model_new(type, 11);
    sw_model_set_input_shape(model, 1, (const int64_t[]){FEATURES});
    sw_module *first = maybe(model, kind != PLAIN, block(model, FEATURES, WIDTH)),
              *second = maybe(model, kind != PLAIN, block(model, WIDTH, WIDTH)),
              *third = sw_nn_residual(model, maybe(model, kind != PLAIN, block(model, WIDTH, WIDTH)));
    sw_module *body = sw_nn_sequential(model, first, second, third);
    built(model, sw_nn_sequential(model, maybe(model, kind == NESTED, body), sw_nn_linear(model, WIDTH, CLASSES)));
    return model;
}

static uint64_t trained(sw_dtype type, int kind, const char *estimator, const char *rule) {
    cloud c = cloud_of(SAMPLES);
    sw_model *model = network(type, kind);
    sw_params *p = sw_model_params(model);
    const sw_objective *f = sw_model_objective(model, &c.source, sw_cross_entropy);
    sw_optim *o = sw_optim_new_with_options(p, &SW_OPTIONS(sw_optim_options, .estimator = estimator, .rule = rule));
    assert_ok(sw_train(f, o, &SW_OPTIONS(sw_train_options, .epochs = 3), NULL));
    const uint64_t hash = test_hash(TEST_HASH, sw_params_x(p), (size_t)sw_params_dim(p) * sw_dtype_size(type));
    sw_optim_free(o);
    sw_model_free(model);
    return hash;
}

static void test_recomputed_networks_train_to_the_same_bits(void **state) {
    (void)state;
    static const char *const method[][2] = {{"minibatch batch=16", "adamw lr=0.01"},
                                            {"sam rho=0.05 of=minibatch batch=16", "sgd lr=0.1 momentum=0.9"},
                                            {"svrg batch=16", "sgd lr=0.05"},
                                            {"full", "sgd lr=0.1"}};
    for (int t = 0; t < 2; t++)
        for (size_t i = 0; i < sizeof method / sizeof *method; i++) {
            const uint64_t plain = trained(both_types[t], PLAIN, method[i][0], method[i][1]);
            assert_true(trained(both_types[t], SEGMENTS, method[i][0], method[i][1]) == plain);
            assert_true(trained(both_types[t], NESTED, method[i][0], method[i][1]) == plain);
        }
}

/* The segment in front, whose input needs no gradient, is what a network of segments alone trains. */
static void test_every_parameter_gets_its_gradient(void **state) {
    (void)state;
    sw_array x = test_filled(SW_F32, SW_SHAPE(4, FEATURES), -1, 1, 2);
    for (int kind = PLAIN; kind <= NESTED; kind++) {
        sw_model *model = network(SW_F32, kind);
        sw_params *p = sw_model_params(model);
        sw_tape *tape = sw_tape_new();
        assert_ok(sw_backward(sw_mean(sw_forward(sw_model_root(model), sw_input(tape, x)))));
        for (int i = 0; i < sw_params_count(p); i++) {
            const sw_array g = sw_param_grad(sw_params_at(p, i));
            bool any = false;
            for (int64_t k = 0; k < sw_array_count(&g); k++)
                any |= test_get(&g, k) != 0;
            if (any == sw_params_at(p, i)->buffer)
                fail_msg("%s has %s gradient", sw_params_at(p, i)->name, any ? "a" : "no");
        }
        sw_tape_free(tape);
        sw_model_free(model);
    }
    test_array_free(&x);
}

/* Of a plain block the tape keeps four tensors for the vjps: the input, the output of tanh, that of dropout, and the
 * input of gelu. Of a segment it keeps the input; the others exist in one segment at a time. */
static void test_segments_need_less_memory(void **state) {
    (void)state;
    enum { ROWS = 256, BLOCKS = 16 };
    sw_array x = test_filled(SW_F32, SW_SHAPE(ROWS, WIDTH), -1, 1, 2);
    size_t peak[2];
    for (int segments = 0; segments < 2; segments++) {
        sw_model *model = sw_model_new(SW_F32, 1);
        sw_module *list[BLOCKS];
        for (int i = 0; i < BLOCKS; i++)
            list[i] = maybe(model, segments, block(model, WIDTH, WIDTH));
        sw_model_set_input_shape(model, 1, (const int64_t[]){WIDTH});
        built(model, sw_nn_sequential_array(model, BLOCKS, list));
        sw_tape *tape = sw_tape_new();
        assert_ok(sw_backward(sw_mean(sw_forward(sw_model_root(model), sw_input(tape, x)))));
        peak[segments] = sw_tape_peak_bytes(tape);
        sw_tape_free(tape);
        sw_model_free(model);
    }
    assert_true(2 * peak[1] < peak[0]);
    test_array_free(&x);
}

static void test_frozen_segments_are_not_computed_again(void **state) {
    (void)state;
    sw_array x = test_filled(SW_F32, SW_SHAPE(4, FEATURES), -1, 1, 2);
    sw_model *model = network(SW_F32, SEGMENTS);
    sw_tape *tape = sw_tape_new();
    sw_module *front = sw_module_freeze(sw_module_child(sw_module_child(sw_model_root(model), 0), 0), true);
    assert_true(sw_module_is(front, &recomputed_type));
    sw_tensor y = sw_forward(front, sw_input(tape, x));
    assert_int_equal(sw_backward(sw_sum(y)), SW_ERR_STATE);
    expect_error(SW_ERR_STATE, "backward: nothing the tensor depends on needs a gradient (recording off, or all "
                               "parameters frozen?)");
    sw_module_freeze(front, false);
    sw_tape_reset(tape);
    assert_ok(sw_backward(sw_sum(sw_forward(front, sw_input(tape, x)))));
    sw_tape_free(tape);
    sw_model_free(model);
    test_array_free(&x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_recomputed_networks_train_to_the_same_bits),
        TEST(test_every_parameter_gets_its_gradient),
        TEST(test_segments_need_less_memory),
        TEST(test_frozen_segments_are_not_computed_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
