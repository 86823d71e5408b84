/* Layers composed by a function: shapes, names, mistakes; allocation failures while building. */
#include "helpers.h"

/* x → relu(A x) + B relu(A x), A and B linear: a tensor from inside is used twice. */
static sw_tensor block_forward(sw_module *self, sw_tensor x) {
    sw_tensor h = sw_relu(sw_forward(sw_module_child(self, 0), x));
    return sw_add(h, sw_forward(sw_module_child(self, 1), h));
}

static sw_module *block(sw_model *m, int64_t outputs) {
    return sw_nn_compose(m, "block", block_forward, sw_nn_linear(m, 0, outputs),
                         sw_module_set_name(sw_nn_linear(m, 0, outputs), "again"), NULL);
}

/* A function called many times: names are the blocks', whatever is around them. */
static void test_composed_layers_have_names_and_shapes(void **state) {
    (void)state;
    for (int more = 0; more < 2; more++) {
        sw_model *model = sw_model_new(SW_F64, 1);
        sw_model_set_input_shape(model, 1, (const int64_t[]){5});
        sw_module *first = sw_nn_linear(model, 0, 5), *one = block(model, 4), *two = block(model, 3);
        sw_module *root =
            sw_nn_sequential(model, more ? first : sw_nn_relu(model), one, two, sw_nn_linear(model, 0, 2), NULL);
        sw_params *p = built(model, root);
        static const char *const names[] = {"linear1.weight",        "linear1.bias",        "block1.linear1.weight",
                                            "block1.linear1.bias",   "block1.again.weight", "block1.again.bias",
                                            "block2.linear1.weight", "block2.linear1.bias", "block2.again.weight",
                                            "block2.again.bias",     "linear2.weight",      "linear2.bias"};
        for (int i = 0; i < sw_params_count(p); i++)
            assert_string_equal(sw_params_at(p, i)->name, more ? names[i] : i < 8 ? names[i + 2] : names[i - 8]);
        assert_int_equal(sw_params_count(p), more ? 12 : 10);
        assert_true(one->out.rank == 1 && one->out.length[0] == 4 && two->out.length[0] == 3);
        assert_string_equal(sw_module_child(two, 1)->name, "block2.again");
        assert_null(sw_module_child(two, 2));
        assert_null(sw_module_child(NULL, 0));
        assert_ptr_equal(sw_module_find_param(sw_module_child(two, 1), "bias"), sw_params_find(p, "block2.again.bias"));
        sw_array x = test_filled(SW_F64, SW_SHAPE(3, 5), -1, 1, 9);
        check_gradients(root, &x);
        test_array_free(&x);
        sw_model_free(model);
    }
}

static void test_composed_layers_give_the_plain_values(void **state) {
    (void)state;
    sw_model *model = sw_model_new(SW_F32, 1);
    sw_model_set_input_shape(model, 1, (const int64_t[]){2});
    sw_module *root = block(model, 2);
    sw_params *p = built(model, root);
    set_values(p, "block1.linear1.weight", (const double[]){1, 1, 1, -1});
    set_values(p, "block1.linear1.bias", (const double[]){0, 0});
    set_values(p, "block1.again.weight", (const double[]){2, 0, 0, 3});
    set_values(p, "block1.again.bias", (const double[]){0.5, -0.5});
    sw_tape *tape = sw_tape_new();
    /* h = relu(3, -1) = (3, 0); h + (6.5, -0.5) */
    expect_values(sw_forward(root, tensor_of(tape, SW_F32, SW_SHAPE(1, 2), (const double[]){1, 2})), SW_SHAPE(1, 2),
                  (const double[]){9.5, -0.5}, 0);
    sw_tape_free(tape);
    sw_model_free(model);
}

/* Blocks in blocks, and in sequentials and residuals in blocks. */
static sw_tensor chain_forward(sw_module *self, sw_tensor x) {
    for (int i = 0; i < self->children; i++)
        x = sw_forward(sw_module_child(self, i), x);
    return x;
}

static void test_composed_layers_nest(void **state) {
    (void)state;
    sw_model *model = sw_model_new(SW_F64, 1);
    sw_model_set_input_shape(model, 2, (const int64_t[]){2, 3});
    sw_module *inner = sw_nn_residual(model, sw_nn_sequential(model, block(model, 6), sw_nn_tanh(model), NULL));
    sw_module *root = sw_nn_compose(model, "chain", chain_forward, sw_nn_flatten(model), inner, block(model, 2), NULL);
    sw_params *p = built(model, root);
    assert_string_equal(sw_params_at(p, 0)->name, "chain1.block1.linear1.weight");
    assert_string_equal(sw_params_at(p, 4)->name, "chain1.block2.linear1.weight");
    assert_true(root->out.rank == 1 && root->out.length[0] == 2);
    sw_array x = test_filled(SW_F64, SW_SHAPE(2, 2, 3), -1, 1, 5);
    check_gradients(root, &x);
    test_array_free(&x);
    sw_model_free(model);
}

/* A number given by the user does not collide with the counted ones. */
static void test_given_name_does_not_collide_with_counted_ones(void **state) {
    (void)state;
    sw_model *model = sw_model_new(SW_F32, 1);
    sw_module *a = sw_nn_linear(model, 2, 2), *b = sw_module_set_name(sw_nn_linear(model, 2, 2), "linear1");
    built(model, sw_nn_sequential(model, a, b, NULL));
    assert_string_equal(a->name, "linear2");
    assert_string_equal(b->name, "linear1");
    sw_model_free(model);
}

/* ---- Options ---- */

typedef struct count {
    int calls;
} count;

static sw_tensor counting_forward(sw_module *self, sw_tensor x) {
    ((count *)sw_module_user(self))->calls++;
    return sw_forward(sw_module_child(self, 0), x);
}

static void test_composed_layers_take_options(void **state) {
    (void)state;
    const sw_sample_shape out = {.rank = 1, .length = {4}};
    for (int given = 0; given < 2; given++) {
        count c = {0};
        sw_model *model = sw_model_new(SW_F32, 1);
        if (!given)
            sw_model_set_input_shape(model, 1, (const int64_t[]){3});
        sw_module *child = sw_nn_linear(model, 3, 4);
        const sw_compose_options options = {.size = sizeof options, .user = &c, .out = given ? &out : NULL};
        sw_module *root = sw_nn_compose_with_options(model, "counted", counting_forward, 1, &child, &options);
        assert_ptr_equal(sw_module_user(root), &c);
        assert_null(sw_module_user(child));
        built(model, root);
        assert_int_equal(c.calls, !given);
        assert_true(root->out.rank == 1 && root->out.length[0] == 4);
        sw_tape *tape = sw_tape_new();
        assert_false(sw_is_null(sw_forward(root, tensor_of(tape, SW_F32, SW_SHAPE(1, 3), (const double[3]){0}))));
        assert_int_equal(c.calls, 1 + !given);
        sw_tape_free(tape);
        sw_model_free(model);
    }
}

/* ---- Mistakes ---- */

static sw_tensor null_forward(sw_module *self, sw_tensor x) {
    (void)self, (void)x;
    return (sw_tensor){0};
}
static sw_tensor sum_forward(sw_module *self, sw_tensor x) {
    (void)self;
    return sw_sum(x);
}
static sw_tensor wrong_shapes(sw_module *self, sw_tensor x) {
    return sw_add(x, sw_forward(sw_module_child(self, 0), x));
}
static sw_tensor twice_forward(sw_module *self, sw_tensor x) {
    sw_module *child = sw_module_child(self, 0);
    return sw_forward(child, sw_forward(child, x));
}
static sw_module *stranger;
static sw_tensor stranger_forward(sw_module *self, sw_tensor x) {
    (void)self;
    return sw_forward(stranger, x);
}
static sw_tensor scalar_forward(sw_module *self, sw_tensor x) {
    return sw_forward(sw_module_child(self, 0), sw_sum(x));
}

static sw_module *with(sw_model *m, sw_tensor (*forward)(sw_module *, sw_tensor)) {
    sw_model_set_input_shape(m, 1, (const int64_t[]){3});
    return sw_nn_compose(m, "odd", forward, sw_nn_linear(m, 3, 4), NULL);
}
static sw_module *null_result(sw_model *m) {
    return with(m, null_forward);
}
static sw_module *no_batch(sw_model *m) {
    return with(m, sum_forward);
}
static sw_module *not_added(sw_model *m) {
    return with(m, wrong_shapes);
}
static sw_module *called_twice(sw_model *m) {
    return with(m, twice_forward);
}
static sw_module *strange(sw_model *m) {
    stranger = sw_nn_relu(m);
    return with(m, stranger_forward);
}
static sw_module *scalar(sw_model *m) {
    return with(m, scalar_forward);
}
static sw_module *unknown(sw_model *m) {
    return block(m, 2);
}
static sw_module *no_forward(sw_model *m) {
    return sw_nn_compose(m, "odd", NULL, NULL);
}
static sw_module *no_kind(sw_model *m) {
    return sw_nn_compose(m, "", chain_forward, NULL);
}
static sw_module *bad_options(sw_model *m) {
    return sw_nn_compose_with_options(m, "odd", chain_forward, 0, NULL, &(sw_compose_options){.size = 3});
}
static sw_module *name_twice(sw_model *m) {
    return sw_nn_compose(m, "pair", chain_forward, sw_module_set_name(sw_nn_relu(m), "a"),
                         sw_module_set_name(sw_nn_relu(m), "a"), NULL);
}
static sw_module *same_names(sw_model *m) {
    sw_model_set_input_shape(m, 1, (const int64_t[]){3});
    return name_twice(m);
}
static sw_module *long_names(sw_model *m) {
    static const char name[] = "a_name_of_seventy_characters_which_is_allowed_but_not_three_deep_______";
    sw_model_set_input_shape(m, 1, (const int64_t[]){3});
    sw_module *at = sw_module_set_name(sw_nn_relu(m), name);
    for (int i = 0; i < 2; i++)
        at = sw_module_set_name(sw_nn_compose(m, "deep", chain_forward, at, NULL), name);
    return at;
}

static void test_composed_layers_refuse_wrong_functions(void **state) {
    (void)state;
    refused(null_result, SW_ERR_USER, "layer odd1: its forward gives a null tensor");
    refused(no_batch, SW_ERR_SHAPE, "layer odd1: its forward makes [] of a batch of 2; axis 0 must stay the batch");
    refused(not_added, SW_ERR_SHAPE,
            "layer odd1: add: [2,3] and [2,4] do not broadcast: 3 against 4 in "
            "axis 1 from the end; they must be equal, or one of them 1");
    refused(called_twice, SW_ERR_SHAPE, "layer odd1: its forward calls layer odd1.linear1 with samples [3] and [4]");
    refused(strange, SW_ERR_ARGUMENT, "layer odd1: its forward calls layer relu, which is not part of it");
    refused(scalar, SW_ERR_SHAPE,
            "layer odd1: its forward function passes a scalar to layer linear; [batch, ...] is needed");
    refused(unknown, SW_ERR_SHAPE, "layer block1: the shape of its input is not known (call sw_model_set_input_shape)");
    refused(no_forward, SW_ERR_ARGUMENT, "compose: the forward function is NULL");
    refused(no_kind, SW_ERR_ARGUMENT, "compose: a kind of 1 to 48 characters is needed");
    refused(bad_options, SW_ERR_ARGUMENT, "compose: options.size is 3; sizeof(sw_compose_options) is 64");
    refused(same_names, SW_ERR_ARGUMENT, "layer pair1.a: another layer has this name");
    refused(long_names, SW_ERR_ARGUMENT,
            "layer a_name_of_seventy_characters_which_is_allowed_but_not_three_deep_______: its name, in those "
            "around it, has more than 200 characters");
}

/* ---- Every allocation fails in turn ---- */

static bool build_it(const void *user) {
    (void)user;
    sw_model *model = sw_model_new(SW_F32, 7);
    sw_model_set_input_shape(model, 1, (const int64_t[]){4});
    sw_module *first = sw_module_set_init(sw_nn_linear(model, 0, 6), sw_init_orthogonal(1)),
              *last = sw_module_tie(sw_nn_linear(model, 4, 6), first);
    sw_module *root = sw_nn_sequential(model, sw_module_set_param_init(first, "bias", sw_init_pytorch()),
                                       sw_nn_gelu(model), sw_nn_residual(model, block(model, 6)),
                                       sw_nn_linear_no_bias(model, 6, 4), last, sw_nn_softmax(model, -1),
                                       sw_nn_reshape(model, 2, (const int64_t[]){3, 2}), sw_nn_flatten(model), NULL);
    bool good = sw_model_build(model, root) != NULL;
    sw_model_free(model);
    return good;
}

static void test_composing_survives_every_failed_allocation(void **state) {
    (void)state;
    expect_failed_allocations(build_it, NULL, 80);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_composed_layers_have_names_and_shapes),
        TEST(test_composed_layers_give_the_plain_values),
        TEST(test_composed_layers_nest),
        TEST(test_given_name_does_not_collide_with_counted_ones),
        TEST(test_composed_layers_take_options),
        TEST(test_composed_layers_refuse_wrong_functions),
        TEST(test_composing_survives_every_failed_allocation),
    };
    return cmocka_run_group_tests_name("compose", tests, NULL, NULL);
}
