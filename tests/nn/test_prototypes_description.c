/* Files that contain a whole network, with custom layer types that use the public headers alone: a layer with settings,
 * one with running statistics, a container, and a layer composed by a function. A program saves and frees the model.
 * The file alone restores it: outputs, dropout masks and further training are equal, bit for bit. */
#define _GNU_SOURCE
#include "helpers.h"

#include "batch_norm.h"
#include "cloud.h"
#include "files.h"

#include <swale/optim.h>
#include <swale/train.h>

/* ---- A layer with settings and a parameter: x·g^power, g [features] ---- */

typedef struct gain {
    int64_t power;
    double start;
    sw_param *g;
} gain;

static sw_status gain_build(sw_module *m, sw_sample_shape *shape) {
    gain *d = m->data;
    const sw_param_options options = {.size = sizeof options, .role = SW_ROLE_NORM, .init = sw_init_constant(d->start)};
    d->g = sw_module_add_param(m, "gain", 1, &shape->length[shape->rank - 1], &options);
    return d->g ? SW_OK : sw_last_failure();
}
static sw_tensor gain_forward(sw_module *m, sw_tensor x) {
    const gain *d = m->data;
    sw_tensor g = sw_param_use(x.tape, d->g);
    for (int64_t i = 0; i < d->power; i++)
        x = sw_mul(x, g);
    return x;
}
static sw_module *gain_new(sw_model *model, int64_t power, double start);
static sw_status gain_save(const sw_module *m, sw_description *to) {
    const gain *d = m->data;
    SW_TRY(sw_description_set_integer(to, "power", d->power));
    return sw_description_set_number(to, "start", d->start);
}
static sw_module *gain_restore(sw_model *model, const sw_description *from) {
    int64_t power;
    double start;
    if (sw_description_integer(from, "power", 1, 9, &power) != SW_OK ||
        sw_description_number(from, "start", -1e9, 1e9, &start) != SW_OK)
        return sw_module_fail(model);
    return gain_new(model, power, start);
}
static const sw_module_type gain_type = {.size = sizeof(sw_module_type),
                                         .name = "gain",
                                         .build = gain_build,
                                         .forward = gain_forward,
                                         .save = gain_save,
                                         .restore = gain_restore};
static sw_module *gain_new(sw_model *model, int64_t power, double start) {
    sw_module *m = sw_module_new(model, &gain_type, sizeof(gain));
    if (sw_module_is(m, &gain_type))
        *(gain *)m->data = (gain){.power = power, .start = start};
    return m;
}

/* ---- A container: the mean of its layers ---- */

static sw_status mean_build(sw_module *m, sw_sample_shape *shape) {
    const sw_sample_shape in = *shape;
    for (int i = 0; i < m->children; i++) {
        *shape = in;
        SW_TRY(sw_module_build(m->child[i], shape));
    }
    return SW_OK;
}
static sw_tensor mean_forward(sw_module *m, sw_tensor x) {
    sw_tensor sum = sw_forward(m->child[0], x);
    for (int i = 1; i < m->children; i++)
        sum = sw_add(sum, sw_forward(m->child[i], x));
    return sw_scale(sum, 1.0 / m->children);
}
static sw_module *mean_new(sw_model *model, int count, sw_module *const *layers);
static sw_status mean_save(const sw_module *m, sw_description *to) {
    (void)m, (void)to; /* the library saves the inner layers */
    return SW_OK;
}
static sw_module *mean_restore(sw_model *model, const sw_description *from) {
    int count;
    sw_module *const *layers = sw_description_layers(from, &count);
    return mean_new(model, count, layers);
}
static const sw_module_type mean_type = {.size = sizeof(sw_module_type),
                                         .name = "mean",
                                         .build = mean_build,
                                         .forward = mean_forward,
                                         .name_space = true,
                                         .save = mean_save,
                                         .restore = mean_restore};
static sw_module *mean_new(sw_model *model, int count, sw_module *const *layers) {
    sw_module *m = sw_module_new(model, &mean_type, 0);
    if (!sw_module_is(m, &mean_type))
        return m;
    for (int i = 0; i < count; i++)
        if (sw_module_add_child(m, layers[i]) != SW_OK)
            return sw_module_fail(model);
    return m;
}

/* ---- A layer composed by a function, whose user data are its settings ---- */

static const char *const gate_names[] = {"sigmoid", "tanh"};
static const char *gate_of(const sw_module *self) {
    return *(const char *const *)sw_module_user(self);
}
static sw_tensor gated_forward(sw_module *self, sw_tensor x) {
    sw_tensor value = sw_forward(sw_module_child(self, 0), x);
    sw_tensor gate = sw_forward(sw_module_child(self, 1), x);
    return sw_mul(value, strcmp(gate_of(self), "tanh") == 0 ? sw_tanh(gate) : sw_sigmoid(gate));
}
static sw_status gated_save(const sw_module *m, sw_description *to) {
    return sw_description_set_text(to, "gate", gate_of(m));
}
static sw_module *gated_of(sw_model *model, int which, int count, sw_module *const *layers) {
    const sw_compose_options options = {
        .size = sizeof options, .user = (void *)(uintptr_t)&gate_names[which], .save = gated_save};
    return sw_nn_compose_with_options(model, "gated", gated_forward, count, layers, &options);
}
static sw_module *gated_restore(sw_model *model, const sw_description *from) {
    int count;
    sw_module *const *layers = sw_description_layers(from, &count);
    const char *gate = sw_description_text(from, "gate");
    for (int i = 0; gate && i < 2; i++)
        if (strcmp(gate, gate_names[i]) == 0)
            return gated_of(model, i, count, layers);
    if (gate)
        sw_fail(SW_ERR_FORMAT, "setting gate is %s; sigmoid or tanh is possible", gate);
    return sw_module_fail(model);
}
static const sw_module_type gated_type = {
    .size = sizeof(sw_module_type), .name = "gated", .save = gated_save, .restore = gated_restore};

/* ---- A layer with running statistics, which are in the file like other parameters ---- */

static sw_module *norm_new(sw_model *model, double momentum);
static sw_status norm_save(const sw_module *m, sw_description *to) {
    return sw_description_set_number(to, "momentum", ((const batch_norm *)m->data)->momentum);
}
static sw_module *norm_restore(sw_model *model, const sw_description *from) {
    double momentum;
    if (sw_description_number(from, "momentum", 0, 1, &momentum) != SW_OK)
        return sw_module_fail(model);
    return norm_new(model, momentum);
}
static const sw_module_type norm_type = {.size = sizeof(sw_module_type),
                                         .name = "norm",
                                         .build = batch_norm_build,
                                         .forward = batch_norm_module_forward,
                                         .save = norm_save,
                                         .restore = norm_restore};
static sw_module *norm_new(sw_model *model, double momentum) {
    sw_module *m = sw_module_new(model, &norm_type, sizeof(batch_norm));
    if (sw_module_is(m, &norm_type))
        ((batch_norm *)m->data)->momentum = momentum;
    return m;
}

static int register_types(void **state) {
    if (sw_module_type_register(&gain_type) != SW_OK || sw_module_type_register(&mean_type) != SW_OK ||
        sw_module_type_register(&gated_type) != SW_OK || sw_module_type_register(&norm_type) != SW_OK)
        return -1;
    return make_folder(state);
}

/* ---- The network ---- */

enum { WIDTH = 12, SAMPLES = 48 };

static sw_module *gated_block(sw_model *model, int which) {
    sw_module *list[2] = {sw_nn_linear(model, 0, WIDTH), sw_module_set_name(sw_nn_linear(model, 0, WIDTH), "gate")};
    return gated_of(model, which, 2, list);
}

static sw_model *network(sw_dtype type) {
    sw_model *model = sw_model_new(type, 0xFEDCBA9876543210u);
    sw_model_set_input_shape(model, 1, (const int64_t[]){FEATURES});
    sw_module *first = sw_nn_linear(model, FEATURES, WIDTH), *last = sw_nn_linear(model, 0, CLASSES);
    sw_module *both[2] = {sw_nn_sequential(model, gated_block(model, 1), gain_new(model, 2, 0.75)),
                          gated_block(model, 0)};
    sw_module *mean = mean_new(model, 2, both),
              *twin = sw_module_tie(sw_nn_linear_no_bias(model, FEATURES, WIDTH), first);
    sw_module *front = mean_new(model, 2, (sw_module *[]){first, twin});
    sw_model_set_init(model, sw_init_orthogonal(1.5));
    sw_module_freeze(sw_module_child(both[1], 1), true);
    built(model,
          sw_nn_sequential(model, front, sw_nn_leaky_relu(model, 0.125), sw_nn_dropout(model, 0.3),
                           norm_new(model, 0.125), sw_nn_residual(model, mean), sw_module_set_name(last, "scores")));
    return model;
}

static void train(sw_model *model, int epochs) {
    cloud c = cloud_of(SAMPLES);
    const sw_objective *f = sw_model_objective(model, &c.source, sw_cross_entropy);
    sw_optim *o = sw_optim_new_with_options(
        sw_model_params(model),
        &SW_OPTIONS(sw_optim_options, .estimator = "minibatch batch=16", .rule = "adamw lr=0.02"));
    assert_ok(sw_train(f, o, &SW_OPTIONS(sw_train_options, .epochs = epochs), NULL));
    sw_optim_free(o);
}

/* A hash of outputs in training, with dropout, and of all parameters. */
static uint64_t hash_of(sw_model *model) {
    const sw_params *p = sw_model_params(model);
    const sw_dtype type = sw_params_type(p);
    sw_array x = test_filled(type, SW_SHAPE(9, FEATURES), -1, 1, 4);
    sw_tape *tape = sw_tape_new();
    sw_tape_set_draw(tape, 3);
    const sw_array y = sw_value(sw_forward(sw_model_root(model), sw_input(tape, x)));
    expect_no_error();
    uint64_t hash = test_hash(TEST_HASH, y.data, test_bytes(&y));
    hash = test_hash(hash, sw_params_x(p), (size_t)sw_params_dim(p) * sw_dtype_size(type));
    sw_tape_free(tape);
    test_array_free(&x);
    return hash;
}

static void test_file_alone_gives_the_network_back(void **state) {
    (void)state;
    const char *path = path_of("network.safetensors"), *again = path_of("again.safetensors");
    for (int t = 0; t < 2; t++) {
        sw_model *model = network(both_types[t]);
        train(model, 2);
        const uint64_t saved = hash_of(model);
        assert_ok(sw_model_save(model, path));
        train(model, 2);
        const uint64_t further = hash_of(model);
        sw_model_free(model);
        model = sw_model_new_from_file(path);
        expect_no_error();
        assert_true(hash_of(model) == saved);
        /* The same file again, byte for byte. */
        assert_ok(sw_model_save(model, again));
        bytes one = read_file(path), two = read_file(again);
        assert_int_equal(one.size, two.size);
        assert_memory_equal(one.at, two.at, one.size);
        free(one.at);
        free(two.at);
        train(model, 2);
        assert_true(hash_of(model) == further);
        sw_model_free(model);
    }
    remove_file(path);
    remove_file(again);
}

/* Frozen layers (a frozen batch normalization uses its running statistics in training too), and inner layers of them
 * that are trained. */
static void test_frozen_layers_stay_frozen(void **state) {
    (void)state;
    const char *path = path_of("frozen.safetensors");
    sw_model *model = network(SW_F32);
    train(model, 2);
    sw_module *norm = sw_model_root(model)->child[3], *residual = sw_model_root(model)->child[4];
    const uint64_t moving = hash_of(model);
    sw_module_freeze(norm, true);
    sw_module_freeze(residual, true);
    sw_module_freeze(sw_module_child(residual->child[0], 0), false);
    const uint64_t saved = hash_of(model);
    assert_true(saved != moving);
    assert_ok(sw_model_save(model, path));
    train(model, 1);
    const uint64_t further = hash_of(model);
    sw_model_free(model);
    model = sw_model_new_from_file(path);
    expect_no_error();
    norm = sw_model_root(model)->child[3], residual = sw_model_root(model)->child[4];
    assert_true(norm->frozen && residual->frozen && residual->child[0]->frozen && !sw_model_root(model)->frozen);
    assert_false(sw_module_child(residual->child[0], 0)->frozen);
    assert_true(hash_of(model) == saved);
    train(model, 1);
    assert_true(hash_of(model) == further);
    sw_model_free(model);
    remove_file(path);
}

/* Properties that do not change the outputs. */
static void test_restored_network_has_names_ties_and_frozen_layers(void **state) {
    (void)state;
    const char *path = path_of("network.safetensors");
    sw_model *model = network(SW_F64);
    sw_param_set_role(sw_params_find(sw_model_params(model), "mean1.linear1.bias"), SW_ROLE_OTHER);
    assert_ok(sw_model_save(model, path));
    sw_model *restored = sw_model_new_from_file(path);
    expect_no_error();
    const sw_params *a = sw_model_params(model), *b = sw_model_params(restored);
    assert_int_equal(sw_params_count(a), sw_params_count(b));
    assert_int_equal(sw_params_dim(a), sw_params_dim(b));
    int ties = 0, frozen = 0;
    for (int i = 0; i < sw_params_count(a); i++) {
        const sw_param *p = sw_params_at(a, i), *q = sw_params_at(b, i);
        assert_string_equal(p->name, q->name);
        assert_true(p->role == q->role && p->frozen == q->frozen && p->offset == q->offset && !p->tied == !q->tied &&
                    p->buffer == q->buffer);
        ties += q->tied != NULL;
        frozen += q->frozen && !q->buffer;
    }
    assert_true(ties == 1 && frozen == 2);
    assert_true(sw_model_seed(restored) == 0xFEDCBA9876543210u && sw_model_type(restored) == SW_F64);
    assert_string_equal(sw_model_root(restored)->child[5]->name, "scores");
    char *one = sw_model_description(model), *two = sw_model_description(restored);
    assert_string_equal(one, two);
    sw_free(one);
    sw_free(two);
    sw_model_free(model);
    sw_model_free(restored);
    remove_file(path);
}

/* A root of several inputs: their shapes are in the file. */
static sw_tensor pair_forward(sw_module *self, int count, const sw_tensor *x) {
    sw_tensor a = sw_forward(sw_module_child(self, 0), x[0]);
    return count == 2 ? sw_mul(a, sw_forward(sw_module_child(self, 1), x[1])) : a;
}
static sw_status pair_save(const sw_module *m, sw_description *to) {
    (void)m, (void)to;
    return SW_OK;
}
static sw_module *pair_of(sw_model *model, int count, sw_module *const *layers) {
    return sw_nn_compose_many(model, "pair", 2, pair_forward, count, layers,
                              &SW_OPTIONS(sw_compose_options, .save = pair_save));
}
static sw_module *pair_restore(sw_model *model, const sw_description *from) {
    int count;
    sw_module *const *layers = sw_description_layers(from, &count);
    return pair_of(model, count, layers);
}
static const sw_module_type pair_type = {
    .size = sizeof(sw_module_type), .name = "pair", .save = pair_save, .restore = pair_restore};

static void test_network_of_two_inputs_is_restored(void **state) {
    (void)state;
    const char *path = path_of("pair.safetensors");
    assert_ok(sw_module_type_register(&pair_type));
    sw_model *model = sw_model_new(SW_F32, 5);
    const sw_sample_shape shapes[2] = {{.rank = 1, .length = {3}}, {.rank = 2, .length = {1, 4}}};
    assert_ok(sw_model_set_input_shapes(model, 2, shapes));
    sw_module *list[2] = {sw_nn_linear(model, 0, 6),
                          sw_nn_sequential(model, sw_nn_flatten(model), sw_nn_linear(model, 0, 6))};
    built(model, pair_of(model, 2, list));
    assert_ok(sw_model_save(model, path));
    sw_model *models[2] = {model, sw_model_new_from_file(path)};
    expect_no_error();
    sw_array a = test_filled(SW_F32, SW_SHAPE(5, 3), -1, 1, 1), b = test_filled(SW_F32, SW_SHAPE(5, 1, 4), -1, 1, 2);
    sw_tape *tape = sw_tape_new();
    sw_array y[2];
    for (int i = 0; i < 2; i++)
        y[i] =
            sw_value(sw_forward_many(sw_model_root(models[i]), 2, (sw_tensor[]){sw_input(tape, a), sw_input(tape, b)}));
    expect_no_error();
    assert_memory_equal(y[0].data, y[1].data, test_bytes(&y[0]));
    sw_tape_free(tape);
    for (int i = 0; i < 2; i++)
        sw_model_free(models[i]);
    test_array_free(&a);
    test_array_free(&b);
    remove_file(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_file_alone_gives_the_network_back),
        TEST(test_frozen_layers_stay_frozen),
        TEST(test_restored_network_has_names_ties_and_frozen_layers),
        TEST(test_network_of_two_inputs_is_restored),
    };
    return cmocka_run_group_tests(tests, register_types, remove_folder);
}
