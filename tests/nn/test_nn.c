/* Layers against hand computations, initial values, models and what is wrong with them, evaluation.
 */
#include "support.h"

#include <swale/extend.h>
#include <swale/nn.h>

static const sw_dtype both_types[2] = {SW_F32, SW_F64};

static void set(sw_params *p, const char *name, const double *values) {
    sw_param *param = sw_params_find(p, name);
    assert_non_null(param);
    sw_array a = sw_param_value(param);
    for (int64_t i = 0; i < param->count; i++)
        test_set(&a, i, values[i]);
}

static double value_of(sw_params *p, const char *name, int64_t i) {
    sw_array a = sw_param_value(sw_params_find(p, name));
    return test_get(&a, i);
}

static sw_params *build(sw_model *model, sw_module *root) {
    sw_params *p = sw_model_build(model, root);
    if (!p)
        fail_msg("%s", sw_error());
    return p;
}

static sw_tensor input(sw_tape *tape, sw_dtype type, int64_t rows, int64_t columns, const double *values) {
    sw_tensor x = sw_empty(tape, type, SW_SHAPE(rows, columns));
    sw_array a = sw_value(x);
    for (int64_t i = 0; i < rows * columns; i++)
        test_set(&a, i, values[i]);
    return x;
}

static void assert_values(sw_tensor t, const double *expected, int64_t count, double tolerance) {
    expect_no_error();
    sw_array a = sw_value(t);
    assert_int_equal(sw_array_count(&a), count);
    for (int64_t i = 0; i < count; i++)
        if (!(fabs(test_get(&a, i) - expected[i]) <= tolerance))
            fail_msg("element %d: %.9g, %.9g expected", (int)i, test_get(&a, i), expected[i]);
}

/* ---- Layers by hand ---- */

/* Small integers and halves: exact in both types. */
static const double weight[6] = {1, -2, 0.5, 3, 0, -1}, bias[2] = {0.5, -4}, points[6] = {2, 1, 4, -1, 3, 2};

static void test_linear(void **state) {
    (void)state;
    const double expected[4] = {2 - 2 + 2 + 0.5, 6 - 4 - 4, -1 - 6 + 1 + 0.5, -3 - 2 - 4};
    for (int t = 0; t < 2; t++) {
        sw_model *model = sw_model_new(both_types[t], 1);
        sw_module *linear = sw_nn_linear(model, 3, 2);
        sw_params *p = build(model, linear);
        assert_int_equal(sw_params_dim(p), 8);
        set(p, "linear1.weight", weight);
        for (int i = 0; i < 2; i++) /* the bias starts at zero */
            assert_true(value_of(p, "linear1.bias", i) == 0);
        set(p, "linear1.bias", bias);
        sw_tape *tape = sw_tape_new();
        sw_tensor y = sw_forward(linear, input(tape, both_types[t], 2, 3, points));
        assert_values(y, expected, 4, 0);
        assert_ptr_equal(sw_model_root(model), linear);
        assert_ptr_equal(sw_model_params(model), p);
        sw_tape_free(tape);
        sw_model_free(model);
    }
}

static void test_sequential_and_relu(void **state) {
    (void)state;
    sw_model *model = sw_model_new(SW_F64, 1);
    sw_module *inner = sw_nn_sequential(model, sw_nn_relu(model), sw_nn_linear(model, 0, 1), NULL);
    sw_module *list[] = {sw_nn_linear(model, 3, 2), inner};
    sw_module *root = sw_nn_sequential_array(model, 2, list);
    sw_params *p = build(model, root);
    set(p, "linear1.weight", weight);
    set(p, "linear1.bias", bias);
    set(p, "linear2.weight", (const double[]){2, -1});
    set(p, "linear2.bias", (const double[]){10});
    sw_tape *tape = sw_tape_new();
    sw_tensor y = sw_forward(root, input(tape, SW_F64, 2, 3, points));
    const double expected[2] = {2 * 2.5 + 10, 10}; /* of rows {2.5, -2} and {-5.5, -9} */
    assert_values(y, expected, 2, 0);
    sw_tape_free(tape);
    sw_model_free(model);
}

static void test_empty_sequential_is_the_identity(void **state) {
    (void)state;
    sw_model *model = sw_model_new(SW_F64, 1);
    sw_module *empty = sw_nn_sequential(model, NULL);
    sw_module *root = sw_nn_sequential(model, empty, sw_nn_sequential_array(model, 0, NULL), NULL);
    assert_int_equal(sw_params_dim(build(model, root)), 0);
    sw_tape *tape = sw_tape_new();
    sw_tensor x = input(tape, SW_F64, 2, 3, points), y = sw_forward(root, x);
    assert_values(y, points, 6, 0);
    assert_values(x, points, 6, 0); /* the caller's tensor is not released */
    sw_tape_free(tape);
    sw_model_free(model);
}

/* ---- Dropout ---- */

static void test_dropout(void **state) {
    (void)state;
    enum { ROWS = 200, COLUMNS = 100 };
    sw_model *model = sw_model_new(SW_F64, 1);
    sw_module *drop = sw_nn_dropout(model, 0.25), *other = sw_nn_dropout(model, 0.25);
    sw_module *root = sw_nn_sequential(model, drop, other, NULL);
    build(model, root);
    sw_tape *tape = sw_tape_new();
    static double ones[ROWS * COLUMNS];
    for (int i = 0; i < ROWS * COLUMNS; i++)
        ones[i] = 1;
    sw_tape_set_switch(tape, SW_TRAIN, false);
    assert_values(sw_forward(drop, input(tape, SW_F64, ROWS, COLUMNS, ones)), ones, ROWS * COLUMNS, 0);
    sw_tape_reset(tape);
    sw_tape_set_switch(tape, SW_TRAIN, true);
    sw_tape_set_draw(tape, 17);
    sw_array a = sw_value(sw_forward(drop, input(tape, SW_F64, ROWS, COLUMNS, ones)));
    sw_array b = sw_value(sw_forward(other, input(tape, SW_F64, ROWS, COLUMNS, ones)));
    int kept = 0, different = 0;
    for (int i = 0; i < ROWS * COLUMNS; i++) {
        double v = test_get(&a, i);
        assert_true(v == 0 || fabs(v - 1 / 0.75) <= 2.3e-16);
        kept += v != 0;
        different += v != test_get(&b, i);
    }
    /* Standard error of the share kept: √(0.75·0.25/20000) = 0.0031; five of them. */
    assert_true(fabs((double)kept / (ROWS * COLUMNS) - 0.75) <= 0.0155);
    assert_true(different > ROWS * COLUMNS / 4); /* 2·0.75·0.25 = 0.375 in the mean */
    /* Equal draw, equal mask; another draw, another mask. */
    uint64_t hash = test_hash(TEST_HASH, a.data, sizeof ones);
    sw_tape_reset(tape);
    sw_tape_set_draw(tape, 17);
    a = sw_value(sw_forward(drop, input(tape, SW_F64, ROWS, COLUMNS, ones)));
    assert_true(test_hash(TEST_HASH, a.data, sizeof ones) == hash);
    sw_tape_reset(tape);
    sw_tape_set_draw(tape, 18);
    a = sw_value(sw_forward(drop, input(tape, SW_F64, ROWS, COLUMNS, ones)));
    assert_true(test_hash(TEST_HASH, a.data, sizeof ones) != hash);
    sw_tape_free(tape);
    sw_model_free(model);
}

/* ---- Initial values ---- */

enum { IN = 400, OUT = 100 };

static sw_params *initialized(sw_dtype type, uint64_t seed, sw_init init, sw_model **model) {
    *model = sw_model_new(type, seed);
    sw_module *linear = sw_nn_linear(*model, IN, OUT);
    return build(*model, init.fill ? sw_module_set_init(linear, init) : linear);
}

/* Mean, standard deviation, and for uniform values the bound √3 s. */
static void check_init(sw_init init, double s, bool uniform) {
    sw_model *model;
    sw_params *p = initialized(SW_F64, 11, init, &model);
    sw_array w = sw_param_value(sw_params_find(p, "linear1.weight"));
    double n = IN * OUT, sum = 0, squares = 0, largest = 0;
    for (int64_t i = 0; i < IN * OUT; i++) {
        double v = test_get(&w, i);
        sum += v;
        squares += v * v;
        largest = fmax(largest, fabs(v));
    }
    double mean = sum / n, deviation = sqrt(squares / n);
    /* Standard errors: s/√n of the mean; of the deviation s/√(2n), less for uniform values
     * (kurtosis 1.8 gives 0.63 of that). Five of them each. */
    assert_true(fabs(mean) <= 5 * s / sqrt(n));
    assert_true(fabs(deviation - s) <= 5 * s / sqrt(2 * n) * (uniform ? 0.6325 : 1));
    if (uniform) { /* within the bound, and near it: (1 - 1e-3)^40000 = e^-40 by chance */
        assert_true(largest <= sqrt(3) * s * (1 + 1e-15));
        assert_true(largest >= sqrt(3) * s * (1 - 1e-3));
    } else { /* the largest of 40000 is beyond 3.5 s, or else by chance with e^-18; below 6.5 s */
        assert_true(largest >= 3.5 * s && largest <= 6.5 * s);
    }
    sw_model_free(model);
}

static void test_initial_values(void **state) {
    (void)state;
    const double he = 1 / sqrt(IN), xavier = sqrt(2.0 / (IN + OUT));
    check_init((sw_init){0}, sqrt(2) * he, true); /* the default: He's uniform rule for ReLU */
    check_init(sw_init_he_uniform(1), he, true);
    check_init(sw_init_he_uniform(5.0 / 3), 5.0 / 3 * he, true);
    check_init(sw_init_he_normal(sqrt(2)), sqrt(2) * he, false);
    check_init(sw_init_xavier_uniform(1), xavier, true);
    check_init(sw_init_xavier_normal(2), 2 * xavier, false);
    sw_model *model;
    sw_params *p = initialized(SW_F64, 11, sw_init_zeros(), &model);
    for (int64_t i = 0; i < sw_params_dim(p); i++)
        assert_true(((const double *)sw_params_x(p))[i] == 0);
    sw_model_free(model);
}

static void test_f32_is_f64_rounded(void **state) {
    (void)state;
    const sw_init all[] = {sw_init_he_uniform(1), sw_init_he_normal(1), sw_init_xavier_uniform(1),
                           sw_init_xavier_normal(1)};
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
        sw_model *single, *twice;
        sw_params *p = initialized(SW_F32, 5, all[k], &single), *q = initialized(SW_F64, 5, all[k], &twice);
        const float *x = sw_params_x(p);
        const double *y = sw_params_x(q);
        for (int64_t i = 0; i < IN * OUT; i++)
            assert_true(x[i] == (float)y[i]);
        sw_model_free(single);
        sw_model_free(twice);
    }
}

/* Seed and name alone: neither the order of declaration, nor other layers, nor the type of these.
 */
static void test_initial_values_by_seed_and_name(void **state) {
    (void)state;
    sw_model *one = sw_model_new(SW_F64, 3), *two = sw_model_new(SW_F64, 3), *three = sw_model_new(SW_F64, 4);
    sw_module *a = sw_module_set_name(sw_nn_linear(one, 4, 4), "a"),
              *b = sw_module_set_name(sw_nn_linear(one, 4, 4), "b");
    sw_params *p = build(one, sw_nn_sequential(one, a, b, NULL));
    sw_module *b2 = sw_module_set_name(sw_nn_linear(two, 4, 4), "b"), *more = sw_nn_linear(two, 4, 4),
              *a2 = sw_module_set_name(sw_nn_linear(two, 4, 4), "a");
    sw_params *q = build(two, sw_nn_sequential(two, b2, more, a2, NULL));
    sw_params *r = build(three, sw_module_set_name(sw_nn_linear(three, 4, 4), "a"));
    sw_array wa = sw_param_value(sw_params_find(p, "a.weight")), wa2 = sw_param_value(sw_params_find(q, "a.weight")),
             wb = sw_param_value(sw_params_find(p, "b.weight")), wb2 = sw_param_value(sw_params_find(q, "b.weight"));
    assert_memory_equal(wa.data, wa2.data, test_bytes(&wa));
    assert_memory_equal(wb.data, wb2.data, test_bytes(&wb));
    assert_true(value_of(p, "a.weight", 0) != value_of(p, "b.weight", 0));
    assert_true(value_of(q, "linear1.weight", 0) != value_of(q, "a.weight", 0));
    assert_true(value_of(r, "a.weight", 0) != value_of(p, "a.weight", 0));
    sw_model_free(one);
    sw_model_free(two);
    sw_model_free(three);
}

/* ---- Shapes, names, roles ---- */

static void test_inputs_are_worked_out(void **state) {
    (void)state;
    sw_model *model = sw_model_new(SW_F32, 1);
    assert_int_equal(sw_model_set_input_shape(model, 1, (const int64_t[]){7}), SW_OK);
    sw_module *root = sw_nn_sequential(model, sw_nn_dropout(model, 0.5), sw_nn_linear(model, 0, 5), sw_nn_relu(model),
                                       sw_nn_linear(model, 0, 3), NULL);
    sw_params *p = build(model, root);
    assert_int_equal(sw_params_dim(p), 7 * 5 + 5 + 5 * 3 + 3);
    const sw_param *w = sw_params_find(p, "linear1.weight");
    assert_true(w->shape[0] == 5 && w->shape[1] == 7 && w->fan_in == 7 && w->fan_out == 5);
    sw_model_free(model);
}

static void test_names_and_roles(void **state) {
    (void)state;
    sw_model *model = sw_model_new(SW_F32, 1);
    sw_module *root = sw_nn_sequential(model, sw_nn_linear(model, 2, 2), sw_nn_relu(model),
                                       sw_module_set_name(sw_nn_linear(model, 2, 2), "middle"),
                                       sw_nn_linear(model, 2, 2), sw_nn_relu(model), NULL);
    sw_params *p = build(model, root);
    static const char *const names[] = {"linear1.weight", "linear1.bias",   "middle.weight",
                                        "middle.bias",    "linear2.weight", "linear2.bias"};
    static const sw_role roles[] = {SW_ROLE_WEIGHT, SW_ROLE_BIAS, SW_ROLE_WEIGHT,
                                    SW_ROLE_BIAS,   SW_ROLE_HEAD, SW_ROLE_BIAS};
    assert_int_equal(sw_params_count(p), 6);
    for (int i = 0; i < 6; i++) {
        assert_string_equal(sw_params_at(p, i)->name, names[i]);
        assert_int_equal(sw_params_at(p, i)->role, roles[i]);
    }
    sw_model_free(model);
}

static sw_tensor as_it_is(sw_module *module, sw_tensor x) {
    (void)module;
    return x;
}

/* More kinds of layers than there are counters: names stay unique. */
static void test_many_kinds(void **state) {
    (void)state;
    enum { KINDS = 40 };
    static sw_module_type type[KINDS];
    static char name[KINDS][16];
    sw_model *model = sw_model_new(SW_F32, 1);
    sw_module *list[2 * KINDS];
    for (int i = 0; i < 2 * KINDS; i++) {
        int k = i % KINDS;
        snprintf(name[k], sizeof name[k], "kind_%c%c", 'a' + k / 26, 'a' + k % 26);
        type[k] = (sw_module_type){.size = sizeof type[k], .name = name[k], .forward = as_it_is};
        list[i] = sw_module_new(model, &type[k], 0);
    }
    build(model, sw_nn_sequential_array(model, 2 * KINDS, list));
    for (int i = 0; i < 2 * KINDS; i++)
        for (int j = 0; j < i; j++)
            assert_string_not_equal(list[i]->name, list[j]->name);
    sw_model_free(model);
}

static const char *print_of(const sw_model *model) {
    static char text[4096];
    FILE *to = tmpfile();
    assert_non_null(to);
    sw_model_print(model, to);
    rewind(to);
    text[fread(text, 1, sizeof text - 1, to)] = 0;
    fclose(to);
    return text;
}

static void test_print(void **state) {
    (void)state;
    sw_model *model = sw_model_new(SW_F32, 42);
    assert_string_equal(print_of(model), ""); /* nothing to tell before the build */
    sw_module *hidden =
        sw_nn_sequential(model, sw_nn_linear(model, 784, 100), sw_nn_relu(model), sw_nn_dropout(model, 0.25), NULL);
    build(model, sw_nn_sequential(model, hidden, sw_nn_linear(model, 100, 10), NULL));
    assert_string_equal(print_of(model), "layer                                          output       parameters\n"
                                         "sequential1                                    [10]                  0\n"
                                         "  sequential2                                  [100]                 0\n"
                                         "    linear1           linear 784 to 100        [100]             78500\n"
                                         "    relu1                                      [100]                 0\n"
                                         "    dropout1          dropout 0.25             [100]                 0\n"
                                         "  linear2             linear 100 to 10         [10]               1010\n"
                                         "total                 f32                                        79510\n");
    sw_model_print(NULL, stdout);
    sw_model_print(model, NULL);
    sw_model_free(model);
}

/* ---- What is refused ---- */

typedef sw_module *(*make_root)(sw_model *model);

static void refused(make_root make, sw_status status, const char *message) {
    sw_model *model = sw_model_new(SW_F32, 1);
    assert_null(sw_model_build(model, make(model)));
    expect_error(status, message);
    assert_null(sw_model_params(model));
    /* Asked again, it does not become right. */
    assert_null(sw_model_build(model, sw_nn_relu(model)));
    assert_non_null(sw_error());
    sw_clear_error();
    sw_model_free(model);
}

static sw_module *unknown_inputs(sw_model *m) {
    return sw_nn_sequential(m, sw_nn_relu(m), sw_nn_linear(m, 0, 3), NULL);
}
static sw_module *mismatch(sw_model *m) {
    return sw_nn_sequential(m, sw_nn_linear(m, 3, 4), sw_nn_linear(m, 5, 2), NULL);
}
static sw_module *pictures(sw_model *m) {
    sw_model_set_input_shape(m, 2, (const int64_t[]){28, 28});
    return sw_nn_linear(m, 784, 2);
}
static sw_module *bad_linear(sw_model *m) {
    return sw_nn_sequential(m, sw_nn_linear(m, -3, 4), sw_nn_relu(m), NULL);
}
static sw_module *no_outputs(sw_model *m) {
    return sw_nn_linear(m, 3, 0);
}
static sw_module *bad_dropout(sw_model *m) {
    return sw_nn_sequential(m, sw_module_set_name(sw_nn_dropout(m, 1), "name"), sw_nn_linear(m, 2, 2), NULL);
}
static sw_module *nan_dropout(sw_model *m) {
    return sw_module_set_init(sw_nn_dropout(m, (double)fabsf(NAN)), sw_init_zeros());
}
static sw_module *twice(sw_model *m) {
    sw_module *l = sw_nn_linear(m, 2, 2);
    return sw_nn_sequential(m, l, l, NULL);
}
static sw_module *same_name(sw_model *m) {
    return sw_nn_sequential(m, sw_module_set_name(sw_nn_linear(m, 2, 2), "a"),
                            sw_module_set_name(sw_nn_linear(m, 2, 2), "a"), NULL);
}
static sw_module *null_in_list(sw_model *m) {
    sw_module *list[2] = {sw_nn_relu(m), NULL};
    return sw_nn_sequential_array(m, 2, list);
}

static void test_refusals(void **state) {
    (void)state;
    refused(unknown_inputs, SW_ERR_SHAPE,
            "layer linear1: the number of inputs is not known; give it, or sw_model_set_input_shape");
    refused(mismatch, SW_ERR_SHAPE, "layer linear2: takes 5 inputs, but 4 come in");
    refused(pictures, SW_ERR_SHAPE, "layer linear1: takes vectors; what comes in is [28,28] for each sample");
    refused(bad_linear, SW_ERR_ARGUMENT,
            "linear: -3 inputs and 4 outputs; inputs 0 (open) or more, "
            "outputs 1 or more are needed");
    refused(no_outputs, SW_ERR_ARGUMENT,
            "linear: 3 inputs and 0 outputs; inputs 0 (open) or more, "
            "outputs 1 or more are needed");
    refused(bad_dropout, SW_ERR_ARGUMENT, "dropout: p = 1 is outside [0, 1)");
    refused(nan_dropout, SW_ERR_ARGUMENT, "dropout: p = nan is outside [0, 1)");
    refused(twice, SW_ERR_ARGUMENT, "layer linear is part of a layer already");
    refused(same_name, SW_ERR_ARGUMENT, "layer a: another layer has this name");
    refused(null_in_list, SW_ERR_ARGUMENT, "sequential: layer 2 of 2 is NULL");
}

static void test_model_refusals(void **state) {
    (void)state;
    assert_null(sw_model_build(NULL, NULL));
    expect_error(SW_ERR_ARGUMENT, "model_build: the model is NULL");
    assert_null(sw_model_new(SW_I32, 1));
    expect_error(SW_ERR_TYPE, "parameters are f32 or f64, not i32");
    assert_null(sw_nn_linear(NULL, 2, 2));
    expect_error(SW_ERR_ARGUMENT, "linear: the model is NULL");
    assert_null(sw_nn_sequential(NULL, NULL));
    expect_error(SW_ERR_ARGUMENT, "sequential: the model is NULL");
    assert_int_equal(sw_model_set_input_shape(NULL, 1, (const int64_t[]){2}), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "model_input: the model is NULL");
    assert_null(sw_model_params(NULL));
    assert_null(sw_model_root(NULL));
    assert_null(sw_module_set_name(NULL, "a"));
    assert_null(sw_module_set_init(NULL, sw_init_zeros()));
    sw_model_free(NULL);

    sw_model *one = sw_model_new(SW_F32, 1), *two = sw_model_new(SW_F32, 1);
    sw_module *foreign = sw_nn_linear(two, 2, 2);
    assert_null(sw_model_build(one, NULL));
    expect_error(SW_ERR_STATE, "model_build: a layer could not be made");
    assert_null(sw_model_build(one, foreign));
    expect_error(SW_ERR_ARGUMENT, "model_build: layer linear belongs to another model");
    sw_module *root = sw_nn_linear(one, 2, 2);
    assert_int_equal(sw_model_set_input_shape(one, -1, NULL) == SW_OK, false);
    sw_clear_error();
    sw_params *p = build(one, root); /* none of these has spoilt it */
    assert_null(sw_model_build(one, root));
    expect_error(SW_ERR_STATE, "model_build: the model is built already");
    assert_ptr_equal(sw_model_params(one), p);
    sw_nn_relu(one); /* a layer too late */
    expect_error(SW_ERR_STATE, "relu: the model is built already");
    assert_ptr_equal(sw_model_params(one), p);
    sw_module *mixed = sw_nn_sequential(two, foreign, root, NULL);
    expect_error(SW_ERR_ARGUMENT, "layer linear1 belongs to another model");
    assert_null(sw_model_build(two, mixed));
    expect_error(SW_ERR_STATE, "model_build: a layer could not be made");
    sw_model_free(one);
    sw_model_free(two);
}

static void test_forward_refusals(void **state) {
    (void)state;
    sw_model *model = sw_model_new(SW_F32, 1);
    sw_module *root = sw_nn_linear(model, 3, 2);
    sw_tape *tape = sw_tape_new();
    assert_true(sw_is_null(sw_forward(root, input(tape, SW_F32, 2, 3, points)))); /* not built */
    assert_non_null(sw_error());
    sw_clear_error();
    sw_tape_reset(tape);
    build(model, root);
    assert_true(sw_is_null(sw_forward(NULL, input(tape, SW_F32, 2, 3, points))));
    expect_error(SW_ERR_ARGUMENT, "forward: the layer is null");
    assert_true(sw_is_null(sw_forward(root, (sw_tensor){0})));
    expect_error(SW_ERR_ARGUMENT, "forward: the input is null");
    /* A batch of other vectors: the layer is named. */
    assert_true(sw_is_null(sw_forward(root, input(tape, SW_F32, 3, 2, points))));
    assert_non_null(sw_error());
    assert_non_null(strstr(sw_error(), "linear1"));
    assert_non_null(strstr(sw_error(), "[3,2]"));
    assert_non_null(strstr(sw_error(), "[2,3]"));
    sw_clear_error();
    sw_tape_free(tape);
    sw_model_free(model);
}

/* ---- Memory of a step ---- */

/* What passes between the layers of sw_nn_sequential is given back within the step. */
static void test_sequential_releases(void **state) {
    (void)state;
    enum { LAYERS = 12, WIDTH = 64, ROWS = 128 };
    static double values[ROWS * WIDTH];
    for (int i = 0; i < ROWS * WIDTH; i++)
        values[i] = (i % 7) - 3;
    sw_model *model = sw_model_new(SW_F64, 1);
    sw_module *layer[LAYERS];
    for (int i = 0; i < LAYERS; i++)
        layer[i] = i % 2 ? sw_nn_relu(model) : sw_nn_linear(model, WIDTH, WIDTH);
    sw_module *root = sw_nn_sequential_array(model, LAYERS, layer);
    build(model, root);
    for (int record = 0; record < 2; record++) {
        sw_tape *tape = sw_tape_new(), *other = sw_tape_new();
        sw_tape_set_switch(tape, SW_RECORD, record == 1);
        sw_tape_set_switch(other, SW_RECORD, record == 1);
        sw_tensor y = sw_forward(root, input(tape, SW_F64, ROWS, WIDTH, values));
        sw_tensor z = input(other, SW_F64, ROWS, WIDTH, values);
        for (int i = 0; i < LAYERS; i++)
            z = sw_forward(layer[i], z);
        sw_array a = sw_value(y), b = sw_value(z);
        assert_memory_equal(a.data, b.data, test_bytes(&a));
        size_t one = ROWS * WIDTH * sizeof(double), used = sw_tape_peak_bytes(tape), kept = sw_tape_peak_bytes(other);
        /* Without a record nobody reads what is past: input, two at work, slack. With it the
         * outputs of linear layers go, those of relu (which the next layer's vjp reads) stay. */
        assert_true(kept >= (LAYERS + 1) * one);
        assert_true(used + (LAYERS / 2 - 1) * one <= kept);
        if (!record)
            assert_true(used <= 4 * one);
        if (record) { /* and backward is right all the same */
            assert_int_equal(sw_backward(sw_mean(y)), SW_OK);
            sw_params *p = sw_model_params(model);
            uint64_t hash = test_hash(TEST_HASH, sw_gradient_data(sw_params_gradient(p)),
                                      (size_t)sw_params_dim(p) * sizeof(double));
            sw_gradient_make_fresh(sw_params_gradient(p));
            assert_int_equal(sw_backward(sw_mean(z)), SW_OK);
            assert_true(hash == test_hash(TEST_HASH, sw_gradient_data(sw_params_gradient(p)),
                                          (size_t)sw_params_dim(p) * sizeof(double)));
        }
        sw_tape_free(tape);
        sw_tape_free(other);
    }
    expect_no_error();
    sw_model_free(model);
}

/* ---- A layer of one's own, with layers inside: x + f(x)·scale ---- */

typedef struct residual {
    sw_param *scale;
    int *freed;
} residual;

static sw_status residual_build(sw_module *m, sw_sample_shape *shape) {
    residual *r = m->data;
    sw_sample_shape inside = *shape;
    for (int i = 0; i < m->children; i++)
        SW_TRY(sw_module_build(m->child[i], &inside));
    if (inside.rank != shape->rank || inside.length[0] != shape->length[0])
        return sw_fail(SW_ERR_SHAPE, "layer %s: in and out differ", m->name);
    const sw_param_options options = {.size = sizeof options, .role = SW_ROLE_NORM};
    r->scale = sw_module_add_param(m, "scale", 1, shape->length, &options);
    return r->scale ? SW_OK : sw_error_status();
}

static sw_tensor residual_forward(sw_module *m, sw_tensor x) {
    const residual *r = m->data;
    sw_tensor y = x;
    for (int i = 0; i < m->children; i++)
        y = sw_forward(m->child[i], y);
    return sw_add(x, sw_mul(y, sw_param_use(x.tape, r->scale)));
}

static void residual_describe(const sw_module *m, char *text, size_t bytes) {
    snprintf(text, bytes, "x + f(x), %d inside", m->children);
}

static void residual_free(sw_module *m) {
    const residual *r = m->data;
    if (r->freed)
        ++*r->freed;
}

static const sw_module_type residual_type = {.size = sizeof(sw_module_type),
                                             .name = "residual",
                                             .build = residual_build,
                                             .forward = residual_forward,
                                             .describe = residual_describe,
                                             .free = residual_free};

static sw_module *residual_new(sw_model *model, sw_module *inside, int *freed) {
    sw_module *m = sw_module_new(model, &residual_type, sizeof(residual));
    if (!m || m->type != &residual_type)
        return m;
    ((residual *)m->data)->freed = freed;
    return sw_module_add_child(m, inside) == SW_OK ? m : sw_module_fail(model);
}

static void test_layer_of_ones_own(void **state) {
    (void)state;
    int freed = 0;
    sw_model *model = sw_model_new(SW_F64, 1);
    sw_module *block = residual_new(model, sw_nn_linear(model, 2, 2), &freed);
    sw_params *p = build(model, sw_nn_sequential(model, sw_nn_linear(model, 3, 2), block, sw_nn_relu(model), NULL));
    set(p, "linear1.weight", weight);
    set(p, "linear1.bias", bias);
    set(p, "linear2.weight", (const double[]){1, 2, 3, 4});
    set(p, "linear2.bias", (const double[]){0, 1});
    set(p, "residual1.scale", (const double[]){2, -1});
    sw_tape *tape = sw_tape_new();
    sw_tensor y = sw_forward(sw_model_root(model), input(tape, SW_F64, 2, 3, points));
    /* Row 1: {2.5, -2} through linear2 {-1.5, 0.5}: {2.5 - 3, -2 - 0.5}. Row 2: {-5.5, -9} →
     * {-23.5, -51.5}: {-5.5 - 47, -9 + 51.5}. */
    const double expected[4] = {0, 0, 0, 42.5};
    assert_values(y, expected, 4, 0);
    assert_non_null(strstr(print_of(model),
                           "\n  residual1           x + f(x), 1 inside       [2]                   2\n"
                           "    linear2           linear 2 to 2            [2]                   6\n"));
    assert_int_equal(sw_params_find(p, "residual1.scale")->role, SW_ROLE_NORM);
    sw_tape_free(tape);
    sw_model_free(model);
    assert_int_equal(freed, 1);
}

static void test_layer_of_ones_own_fails(void **state) {
    (void)state;
    sw_model *model = sw_model_new(SW_F64, 1);
    sw_module *block = residual_new(model, sw_nn_linear(model, 2, 3), NULL);
    sw_model_set_input_shape(model, 1, (const int64_t[]){2});
    assert_null(sw_model_build(model, block));
    expect_error(SW_ERR_SHAPE, "layer residual1: in and out differ");
    sw_model_free(model);
    model = sw_model_new(SW_F64, 1);
    assert_null(sw_model_build(model, residual_new(model, NULL, NULL)));
    expect_error(SW_ERR_ARGUMENT, "a layer to be added is NULL");
    sw_model_free(model);
}

/* ---- Evaluation ---- */

enum { FEATURES = 5, CLASSES = 3 };
typedef struct cloud {
    sw_source source;
    bool fails;
} cloud;

static sw_status cloud_gather(const sw_source *source, const int64_t *ids, int64_t count, uint64_t draw, sw_dtype type,
                              void *x, void *y) {
    (void)draw;
    const cloud *c = (const cloud *)(const void *)source;
    const sw_array out = {.data = x, .type = type}, real = {.data = y, .type = type};
    if (c->fails && ids[count - 1] >= 1500)
        return sw_fail(SW_ERR_IO, "the disk is on fire");
    for (int64_t i = 0; i < count; i++) {
        uint64_t seed = (uint64_t)ids[i];
        for (int64_t j = 0; x && j < FEATURES; j++)
            test_set(&out, i * FEATURES + j, (double)(float)test_uniform(&seed, -1, 1));
        if (y && source->y_type == SW_I32)
            ((int32_t *)y)[i] = (int32_t)(ids[i] % CLASSES);
        else if (y)
            for (int64_t j = 0; j < CLASSES; j++)
                test_set(&real, i * CLASSES + j, (double)(ids[i] % 7) / 8);
    }
    return SW_OK;
}

static cloud cloud_of(int64_t n) {
    return (cloud){.source = {.size = sizeof(sw_source),
                              .n = n,
                              .x_rank = 1,
                              .x_shape = {FEATURES},
                              .y_type = SW_I32,
                              .classes = CLASSES,
                              .gather = cloud_gather}};
}

static sw_model *classifier(sw_dtype type) {
    sw_model *model = sw_model_new(type, 7);
    build(model, sw_nn_sequential(model, sw_nn_linear(model, FEATURES, 8), sw_nn_relu(model), sw_nn_dropout(model, 0.5),
                                  sw_nn_linear(model, 8, CLASSES), NULL));
    return model;
}

/* One sample at a time, in f64 arithmetic on top of the model's outputs. */
static sw_evaluation by_hand(sw_model *model, const void *x, const cloud *c) {
    sw_evaluation e = {0, 0};
    sw_tape *tape = sw_tape_new();
    sw_tape_set_switch(tape, SW_TRAIN, false);
    for (int64_t id = 0; id < c->source.n; id++, sw_tape_reset(tape)) {
        sw_batch b;
        sw_tape_reset(tape);
        assert_int_equal(sw_tape_bind(tape, sw_model_params(model), x, NULL), SW_OK);
        assert_int_equal(sw_source_batch(&c->source, tape, sw_params_type(sw_model_params(model)), &id, 1, &b), SW_OK);
        sw_array z = sw_value(sw_forward(sw_model_root(model), b.x));
        double sum = 0;
        int best = 0, target = (int)(id % CLASSES);
        for (int k = 0; k < CLASSES; k++) {
            sum += exp(test_get(&z, k));
            if (test_get(&z, k) > test_get(&z, best))
                best = k;
        }
        e.loss += log(sum) - test_get(&z, target);
        e.accuracy += best == target;
    }
    sw_tape_free(tape);
    e.loss /= (double)c->source.n;
    e.accuracy /= (double)c->source.n;
    return e;
}

static void test_evaluate(void **state) {
    (void)state;
    const int64_t sizes[] = {1, 999, 1000, 2345}; /* batches are of 1000 */
    for (int t = 0; t < 2; t++) {
        sw_model *model = classifier(both_types[t]);
        sw_params *p = sw_model_params(model);
        size_t bytes = (size_t)sw_params_dim(p) * sw_dtype_size(both_types[t]);
        void *elsewhere = malloc(bytes);
        assert_non_null(elsewhere);
        memset(elsewhere, 0, bytes);
        for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
            cloud c = cloud_of(sizes[k]);
            sw_evaluation e, hand = by_hand(model, NULL, &c);
            assert_int_equal(sw_model_evaluate(model, NULL, &c.source, sw_cross_entropy, &e), SW_OK);
            /* Losses are about 1, their sum f64: each is off by a few 6e-8 in f32; in f64 the sums
             * of 2345 are off by as many times 1.1e-16 at worst. */
            assert_true(fabs(e.loss - hand.loss) <= (t == 0 ? 5e-7 : 3e-13));
            /* Equal logits to a rounding are not to be expected: exactly the same hits. */
            assert_true(fabs(e.accuracy - hand.accuracy) <= (t == 0 ? 1.0 / 2345 : 0) + 1e-15);
            /* At another point: all parameters 0, so that all classes are alike and class 0 is
             * first. */
            assert_int_equal(sw_model_evaluate(model, elsewhere, &c.source, sw_cross_entropy, &e), SW_OK);
            if (!(fabs(e.loss - log(CLASSES)) <= (t == 0 ? 5e-7 : 3e-13)))
                fail_msg("%s, %d samples: %.3g away", sw_dtype_name(both_types[t]), (int)sizes[k],
                         e.loss - log(CLASSES));
            assert_true(fabs(e.accuracy - (double)((sizes[k] + 2) / 3) / (double)sizes[k]) <= 1e-15);
        }
        free(elsewhere);
        sw_model_free(model);
    }
}

static void test_evaluate_leaves_no_trace(void **state) {
    (void)state;
    sw_model *model = classifier(SW_F64);
    sw_params *p = sw_model_params(model);
    cloud c = cloud_of(50);
    sw_evaluation first, again;
    size_t bytes = (size_t)sw_params_dim(p) * sizeof(double);
    uint64_t x = test_hash(TEST_HASH, sw_params_x(p), bytes);
    assert_int_equal(sw_model_evaluate(model, NULL, &c.source, sw_cross_entropy, &first), SW_OK);
    assert_int_equal(sw_model_evaluate(model, NULL, &c.source, sw_cross_entropy, &again), SW_OK);
    assert_true(first.loss == again.loss && first.accuracy == again.accuracy); /* no dropout */
    assert_true(x == test_hash(TEST_HASH, sw_params_x(p), bytes));
    assert_true(sw_gradient_is_fresh(sw_params_gradient(p)));
    sw_model_free(model);
}

static void test_evaluate_without_classes(void **state) {
    (void)state;
    sw_model *model = classifier(SW_F64);
    cloud c = cloud_of(40);
    c.source.y_type = SW_F64;
    c.source.classes = 0;
    c.source.y_rank = 1;
    c.source.y_shape[0] = CLASSES;
    sw_evaluation e;
    assert_int_equal(sw_model_evaluate(model, NULL, &c.source, sw_mse, &e), SW_OK);
    assert_true(isfinite(e.loss) && isnan(e.accuracy));
    sw_model_free(model);
}

static sw_tensor nothing_like_classes(sw_module *module, sw_tensor x) {
    (void)module;
    return sw_reshape(x, SW_SHAPE(-1, 1, 1));
}

static sw_tensor mean_of(sw_tensor z, sw_tensor y) {
    (void)y;
    return sw_mean(z);
}

/* Outputs that are not [batch, classes] have no accuracy; 0 would be a claim. */
static void test_evaluate_other_outputs(void **state) {
    (void)state;
    static const sw_module_type type = {.size = sizeof type, .name = "odd", .forward = nothing_like_classes};
    sw_model *model = sw_model_new(SW_F64, 1);
    build(model, sw_module_new(model, &type, 0));
    cloud c = cloud_of(40);
    sw_evaluation e;
    assert_int_equal(sw_model_evaluate(model, NULL, &c.source, mean_of, &e), SW_OK);
    assert_true(isfinite(e.loss) && isnan(e.accuracy));
    sw_model_free(model);
}

static sw_status draw_gather(const sw_source *source, const int64_t *ids, int64_t count, uint64_t draw, sw_dtype type,
                             void *x, void *y) {
    const sw_array out = {.data = x, .type = type}, target = {.data = y, .type = type};
    for (int64_t i = 0; i < count; i++) {
        test_set(&out, i, (double)(draw * 7 + (uint64_t)ids[i]));
        test_set(&target, i, 0);
    }
    (void)source;
    return SW_OK;
}

/* What is random in a source is that of draw 0, so that an evaluation can be compared with another. */
static void test_evaluate_sees_draw_0(void **state) {
    (void)state;
    const sw_source source = {.size = sizeof source,
                              .n = 3,
                              .x_rank = 1,
                              .x_shape = {1},
                              .y_rank = 1,
                              .y_shape = {1},
                              .y_type = SW_F64,
                              .gather = draw_gather};
    sw_model *model = sw_model_new(SW_F64, 1);
    build(model, sw_nn_sequential(model, NULL));
    for (int again = 0; again < 2; again++) {
        sw_evaluation e;
        assert_int_equal(sw_model_evaluate(model, NULL, &source, sw_l1, &e), SW_OK);
        assert_true(e.loss == 1);
    }
    sw_model_free(model);
}

static void test_evaluate_refusals(void **state) {
    (void)state;
    sw_model *model = classifier(SW_F64), *unbuilt = sw_model_new(SW_F64, 1);
    cloud c = cloud_of(2000);
    sw_evaluation e = {1, 1};
    assert_int_equal(sw_model_evaluate(NULL, NULL, &c.source, sw_cross_entropy, &e), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "model_evaluate: the model is NULL");
    assert_true(isnan(e.loss) && isnan(e.accuracy));
    assert_int_equal(sw_model_evaluate(model, NULL, NULL, sw_cross_entropy, &e), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "model_evaluate: the source is NULL");
    assert_int_equal(sw_model_evaluate(model, NULL, &c.source, NULL, &e), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "model_evaluate: the loss is NULL");
    assert_int_equal(sw_model_evaluate(unbuilt, NULL, &c.source, sw_cross_entropy, &e), SW_ERR_STATE);
    expect_error(SW_ERR_STATE, "model_evaluate: the model is not built");
    assert_null(sw_model_objective(model, NULL, sw_cross_entropy));
    expect_error(SW_ERR_ARGUMENT, "model_objective: the source is NULL");
    assert_null(sw_model_objective(unbuilt, &c.source, sw_cross_entropy));
    expect_error(SW_ERR_STATE, "model_objective: the model is not built");
    c.fails = true; /* in the second batch */
    assert_int_not_equal(sw_model_evaluate(model, NULL, &c.source, sw_cross_entropy, &e), SW_OK);
    /* The reader's own words are lost where a worker thread met the error: the status is not. */
    assert_int_equal(sw_error_status(), SW_ERR_IO);
    sw_clear_error();
    assert_true(isnan(e.loss) && isnan(e.accuracy));
    c.fails = false;
    assert_int_equal(sw_model_evaluate(model, NULL, &c.source, sw_cross_entropy, &e), SW_OK);
    /* No targets to compare with. */
    c.source.y_rank = -1;
    assert_int_not_equal(sw_model_evaluate(model, NULL, &c.source, sw_cross_entropy, &e), SW_OK);
    assert_non_null(sw_error());
    assert_true(isnan(e.loss));
    sw_clear_error();
    sw_model_free(model);
    sw_model_free(unbuilt);
}

static void test_objective_equals_evaluation(void **state) {
    (void)state;
    sw_model *model = classifier(SW_F64);
    cloud c = cloud_of(300);
    const sw_objective *f = sw_model_objective(model, &c.source, sw_cross_entropy);
    assert_ptr_equal(sw_model_objective(model, &c.source, sw_cross_entropy), f);
    assert_ptr_not_equal(sw_model_objective(model, &c.source, sw_mse), f);
    assert_non_null(f);
    assert_int_equal(f->n, 300);
    assert_ptr_equal(f->params, sw_model_params(model));
    sw_tape *tape = sw_tape_new();
    sw_tape_set_switch(tape, SW_TRAIN, false);
    sw_evaluation e;
    double value;
    assert_int_equal(sw_model_evaluate(model, NULL, &c.source, sw_cross_entropy, &e), SW_OK);
    assert_int_equal(sw_objective_value(f, tape, NULL, NULL, 300, 1, &value), SW_OK);
    assert_true(fabs(value - e.loss) <= 1e-15);
    sw_tape_free(tape);
    sw_model_free(model);
}

/* ---- Every allocation fails in turn ---- */

static bool build_and_evaluate(const cloud *c) {
    sw_evaluation e;
    sw_model *model = sw_model_new(SW_F64, 7);
    sw_module *block = residual_new(model, sw_nn_linear(model, 8, 8), NULL);
    sw_module *root = sw_nn_sequential(model, sw_module_set_name(sw_nn_linear(model, FEATURES, 8), "first"),
                                       sw_nn_relu(model), block, sw_nn_dropout(model, 0.5), sw_nn_linear(model, 8, 8),
                                       sw_nn_relu(model), sw_nn_linear(model, 8, CLASSES), NULL);
    sw_params *p = sw_model_build(model, root);
    bool good = p && sw_model_objective(model, &c->source, sw_cross_entropy) &&
                sw_model_evaluate(model, NULL, &c->source, sw_cross_entropy, &e) == SW_OK;
    sw_model_free(model);
    return good;
}

static void test_every_allocation_fails_in_turn(void **state) {
    (void)state;
    test_allocator a;
    cloud c = cloud_of(30);
    test_allocator_install(&a);
    test_allocator_fail(&a, 0, false);
    assert_true(build_and_evaluate(&c));
    long long requests = atomic_load(&a.calls);
    assert_true(requests > 40);
    assert_int_equal(atomic_load(&a.live), 0);
    for (int for_good = 0; for_good < 2; for_good++)
        for (long long k = 1; k <= requests; k++) {
            test_allocator_fail(&a, k, for_good != 0);
            bool good = build_and_evaluate(&c);
            test_allocator_fail(&a, 0, false);
            if (good)
                fail_msg("request %lld of %lld failed unnoticed", k, requests);
            assert_non_null(sw_error());
            if (sw_error_status() != SW_ERR_MEMORY)
                fail_msg("request %lld: %s", k, sw_error());
            sw_clear_error();
            assert_int_equal(atomic_load(&a.live), 0);
        }
    sw_set_allocator(NULL);
}

/* ---- What was wrong once ---- */

/* Compilers differ in the order in which they make the arguments of sw_nn_sequential. */
static void test_names_do_not_depend_on_the_order_of_making(void **state) {
    (void)state;
    sw_model *one = sw_model_new(SW_F64, 3), *two = sw_model_new(SW_F64, 3);
    enum { LAYERS = 5 };
    sw_module *forth[LAYERS], *back[LAYERS];
    for (int i = 0; i < LAYERS; i++)
        forth[i] = i % 2 ? sw_nn_relu(one) : sw_nn_linear(one, 4 + i, i == LAYERS - 1 ? 3 : 6 + i);
    for (int i = LAYERS - 1; i >= 0; i--)
        back[i] = i % 2 ? sw_nn_relu(two) : sw_nn_linear(two, 4 + i, i == LAYERS - 1 ? 3 : 6 + i);
    sw_params *p = build(one, sw_nn_sequential_array(one, LAYERS, forth)),
              *q = build(two, sw_nn_sequential_array(two, LAYERS, back));
    static const char *const names[LAYERS] = {"linear1", "relu1", "linear2", "relu2", "linear3"};
    for (int i = 0; i < LAYERS; i++) {
        assert_string_equal(forth[i]->name, names[i]);
        assert_string_equal(back[i]->name, names[i]);
    }
    assert_int_equal(sw_params_count(p), sw_params_count(q));
    for (int i = 0; i < sw_params_count(p); i++)
        assert_string_equal(sw_params_at(p, i)->name, sw_params_at(q, i)->name);
    assert_memory_equal(sw_params_x(p), sw_params_x(q), (size_t)sw_params_dim(p) * sizeof(double));
    sw_model_free(one);
    sw_model_free(two);
}

static void name_refused(const char *name) {
    sw_model *model = sw_model_new(SW_F32, 1);
    sw_module *layer = sw_module_set_name(sw_nn_linear(model, 2, 2), name);
    expect_error(SW_ERR_ARGUMENT, "layer linear: a name of 1 to 100 characters is needed");
    assert_null(sw_model_build(model, layer)); /* the mistake is not forgotten */
    expect_error(SW_ERR_STATE, "model_build: a layer could not be made");
    sw_model_free(model);
}

static void test_names_refused(void **state) {
    (void)state;
    char name[102];
    memset(name, 'n', sizeof name);
    name[101] = 0;
    name_refused(NULL);
    name_refused("");
    name_refused(name);
    name[100] = 0; /* the longest there is */
    sw_model *model = sw_model_new(SW_F32, 1);
    sw_module *layer = sw_module_set_name(sw_nn_linear(model, 2, 2), name);
    sw_params *p = build(model, layer);
    assert_string_equal(layer->name, name);
    assert_int_equal(strlen(sw_params_at(p, 0)->name), 100 + strlen(".weight"));
    sw_module_set_name(layer, "late");
    assert_non_null(strstr(sw_error(), ": it is built, and keeps its name"));
    assert_int_equal(sw_error_status(), SW_ERR_ARGUMENT);
    sw_clear_error();
    assert_string_equal(layer->name, name);
    assert_ptr_equal(sw_model_params(model), p); /* nor has that spoilt the model */
    sw_model_free(model);
}

static void test_cycles_refused(void **state) {
    (void)state;
    sw_model *model = sw_model_new(SW_F32, 1);
    sw_module *inner = sw_nn_sequential(model, sw_nn_relu(model), NULL), *outer = sw_nn_sequential(model, inner, NULL);
    assert_int_equal(sw_module_add_child(inner, inner), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "layer sequential cannot be part of itself");
    assert_int_equal(sw_module_add_child(inner, outer), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "layer sequential cannot be part of itself");
    assert_int_equal(sw_module_add_child(outer, inner), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "layer sequential is part of a layer already");
    assert_int_equal(sw_module_add_child(outer, NULL), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "a layer to be added is NULL");
    build(model, outer); /* as it was */
    sw_model_free(model);
}

static void test_incomplete_types_refused(void **state) {
    (void)state;
    static const sw_module_type no_forward = {.size = sizeof(sw_module_type), .name = "odd"},
                                no_name = {.size = sizeof(sw_module_type), .forward = as_it_is};
    const sw_module_type *const types[] = {NULL, &no_forward, &no_name};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        sw_model *model = sw_model_new(SW_F32, 1);
        sw_module *layer = sw_module_new(model, types[i], 0);
        expect_error(SW_ERR_ARGUMENT, "a layer needs a type with a name and a forward function");
        assert_null(sw_model_build(model, layer));
        expect_error(SW_ERR_STATE, "model_build: a layer could not be made");
        sw_model_free(model);
    }
}

static void test_forward_of_an_unbuilt_layer(void **state) {
    (void)state;
    sw_model *model = sw_model_new(SW_F32, 1);
    sw_module *layer = sw_module_set_name(sw_nn_linear(model, 3, 2), "early");
    sw_tape *tape = sw_tape_new();
    assert_true(sw_is_null(sw_forward(layer, input(tape, SW_F32, 2, 3, points))));
    expect_error(SW_ERR_STATE, "forward: layer early is not built: sw_model_build builds the root, a layer's "
                               "build its children by sw_module_build");
    sw_tape_free(tape);
    sw_model_free(model);
}

static void test_evaluate_without_place_or_samples(void **state) {
    (void)state;
    sw_model *model = classifier(SW_F32);
    cloud c = cloud_of(10);
    sw_evaluation e = {7, 7};
    assert_int_equal(sw_model_evaluate(model, NULL, &c.source, sw_cross_entropy, NULL), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "model_evaluate: there is no place for the result");
    c.source.n = 0;
    assert_int_equal(sw_model_evaluate(model, NULL, &c.source, sw_cross_entropy, &e), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "model_evaluate: the source has no samples");
    assert_true(isnan(e.loss) && isnan(e.accuracy));
    sw_model_free(model);
}

static void test_stale_error_and_evaluation(void **state) {
    (void)state;
    sw_model *model = classifier(SW_F32);
    cloud c = cloud_of(10);
    sw_evaluation fresh, late;
    assert_int_equal(sw_model_evaluate(model, NULL, &c.source, sw_cross_entropy, &fresh), SW_OK);
    sw_fail(SW_ERR_IO, "of long ago");
    assert_int_equal(sw_model_evaluate(model, NULL, &c.source, sw_cross_entropy, &late), SW_OK);
    expect_error(SW_ERR_IO, "of long ago");
    assert_true(late.loss == fresh.loss && late.accuracy == fresh.accuracy);
    sw_model_free(model);
}

#define TEST(name) cmocka_unit_test_teardown(name, test_clear)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_linear),
        TEST(test_sequential_and_relu),
        TEST(test_empty_sequential_is_the_identity),
        TEST(test_dropout),
        TEST(test_initial_values),
        TEST(test_f32_is_f64_rounded),
        TEST(test_initial_values_by_seed_and_name),
        TEST(test_inputs_are_worked_out),
        TEST(test_names_and_roles),
        TEST(test_many_kinds),
        TEST(test_print),
        TEST(test_refusals),
        TEST(test_model_refusals),
        TEST(test_forward_refusals),
        TEST(test_sequential_releases),
        TEST(test_layer_of_ones_own),
        TEST(test_layer_of_ones_own_fails),
        TEST(test_evaluate),
        TEST(test_evaluate_leaves_no_trace),
        TEST(test_evaluate_without_classes),
        TEST(test_evaluate_other_outputs),
        TEST(test_evaluate_sees_draw_0),
        TEST(test_evaluate_refusals),
        TEST(test_objective_equals_evaluation),
        TEST(test_every_allocation_fails_in_turn),
        TEST(test_names_do_not_depend_on_the_order_of_making),
        TEST(test_names_refused),
        TEST(test_cycles_refused),
        TEST(test_incomplete_types_refused),
        TEST(test_forward_of_an_unbuilt_layer),
        TEST(test_evaluate_without_place_or_samples),
        TEST(test_stale_error_and_evaluation),
    };
    return cmocka_run_group_tests_name("nn", tests, NULL, NULL);
}
