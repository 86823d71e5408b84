/* Lists of layers with and without a NULL at the end; suggestions for misspelled names; columns of sw_model_print. */
#define _GNU_SOURCE
#include "helpers.h"

#include <ctype.h>

static sw_tensor through(sw_module *self, sw_tensor x) {
    for (int i = 0; sw_module_child(self, i); i++)
        x = sw_forward(sw_module_child(self, i), x);
    return x;
}

/* ---- Lists ---- */

static sw_module *three(sw_model *m) {
    return sw_nn_relu(m);
}

static void test_null_at_the_end_may_be_missing(void **state) {
    (void)state;
    sw_model *m = sw_model_new(SW_F64, 1);
    sw_module *const lists[] = {
        sw_nn_sequential(m, three(m), three(m), three(m), NULL),
        sw_nn_sequential(m, three(m), three(m), three(m)),
        sw_nn_sequential(m, three(m), three(m), three(m), NULL, NULL),
        sw_nn_compose(m, "block", through, three(m), three(m), three(m), NULL),
        sw_nn_compose(m, "block", through, three(m), three(m), three(m)),
        (sw_nn_sequential)(m, three(m), three(m), three(m), NULL), /* the functions, not the macros */
        (sw_nn_compose)(m, "block", through, three(m), three(m), three(m), NULL),
    };
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        expect_no_error();
        assert_int_equal(lists[i]->children, 3);
    }
    assert_int_equal(sw_nn_sequential(m, NULL)->children, 0);
    assert_int_equal(sw_nn_sequential(m, three(m))->children, 1);
    assert_int_equal(sw_nn_compose(m, "block", through, NULL)->children, 0);
    expect_no_error();
    sw_model_free(m);
}

static int made;
static sw_module *counted_layer(sw_model *m, int rank, const int64_t *shape) {
    made++;
    return sw_nn_reshape(m, rank, shape);
}

/* Each argument is evaluated once, in lists within lists too, and long lists are no different. */
static void test_arguments_are_evaluated_once(void **state) {
    (void)state;
    sw_model *m = sw_model_new(SW_F64, 1);
    made = 0;
#define LAYER counted_layer(m, SW_SHAPE(2, 3))
    sw_module *s = sw_nn_sequential(m, sw_nn_sequential(m, LAYER, sw_nn_sequential(m, LAYER, LAYER)),
                                    sw_nn_compose(m, "block", through, LAYER), NULL);
    assert_int_equal(made, 4);
    assert_int_equal(s->children, 2);
    assert_int_equal(s->child[0]->children, 2);
    assert_int_equal(s->child[0]->child[1]->children, 2);
#define TEN LAYER, LAYER, LAYER, LAYER, LAYER, LAYER, LAYER, LAYER, LAYER, LAYER
    assert_int_equal(sw_nn_sequential(m, TEN, TEN, TEN, TEN, TEN, TEN, TEN, TEN, TEN, TEN)->children, 100);
    assert_int_equal(made, 104);
    expect_no_error();
    sw_model_free(m);
}

static void test_null_between_layers_is_refused(void **state) {
    (void)state;
    sw_model *m = sw_model_new(SW_F64, 1);
    sw_nn_sequential(m, three(m), NULL, three(m), NULL);
    expect_error(SW_ERR_ARGUMENT, "sequential: layer 2 of 3 is NULL");
    sw_nn_compose(m, "block", through, NULL, three(m));
    expect_error(SW_ERR_ARGUMENT, "block: layer 1 of 2 is NULL");
    assert_null(sw_model_build(m, three(m))); /* a layer could not be made */
    sw_clear_error();
    sw_model_free(m);
}

/* ---- Names ---- */

static void test_wrong_capitals_get_a_suggestion(void **state) {
    (void)state;
    static const struct {
        const char *word, *meant;
    } cases[] = {{"ReLU", "relu"},
                 {"GELU", "gelu"},
                 {"Tanh", "tanh"},
                 {"SiLU", "silu"},
                 {"LeakyReLU", "leaky_relu"},
                 {"ELU", "elu"},
                 {"Softmax", "softmax"},
                 {"LogSoftmax", "log_softmax"},
                 {"reul", "relu"}};
    sw_model *m = sw_model_new(SW_F64, 1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[100];
        snprintf(text, sizeof text, "activation: there is no %s, did you mean %s?", cases[i].word, cases[i].meant);
        sw_nn_activation(m, cases[i].word);
        expect_error(SW_ERR_ARGUMENT, text);
    }
    sw_nn_activation(m, "CONVOLUTION");
    expect_error(SW_ERR_ARGUMENT, "activation: there is no CONVOLUTION");
    sw_model_free(m);
    /* Where names differ by capitals alone, the exact one would have been found: the first is near
     * enough. */
    static const char *const names[] = {"adam", "AdamW", "sgd"};
    assert_string_equal(sw_suggest("ADAM", 3, names), ", did you mean adam?");
    assert_string_equal(sw_suggest("adamw", 3, names), ", did you mean AdamW?");
    assert_string_equal(sw_suggest("Sgd", 3, names), ", did you mean sgd?");
    assert_string_equal(sw_suggest("X", 3, names), "");
}

static void test_missing_parameter_gets_a_suggestion(void **state) {
    (void)state;
    sw_model *m = sw_model_new(SW_F64, 1);
    sw_module *l = sw_nn_linear(m, 2, 1);
    sw_module_set_param_init(l, "Wieght", sw_init_zeros());
    assert_null(sw_model_build(m, l));
    expect_error(SW_ERR_ARGUMENT, "layer linear1: it has no parameter Wieght, which is given "
                                  "initial values, did you mean weight?");
    sw_model_free(m);
}

static void test_message_suggests_flatten(void **state) {
    (void)state;
    sw_tape *tape = sw_tape_new();
    const double x[8] = {0}, w[8] = {0};
    sw_tensor z = sw_linear(sw_input(tape, sw_array_view(x, SW_F64, SW_SHAPE(2, 2, 2))),
                            sw_input(tape, sw_array_view(w, SW_F64, SW_SHAPE(2, 4))), (sw_tensor){0});
    assert_true(sw_is_null(z));
    assert_non_null(strstr(sw_error(), "sw_nn_flatten"));
    sw_tape_free(tape);
}

/* ---- Tables ---- */

/* Columns of a line, counted in characters: where the last one, the number, ends. */
static int width_of(const char *line) {
    int width = 0;
    for (; *line && *line != '\n'; line++)
        width += ((unsigned char)*line & 0xC0) != 0x80;
    return width;
}

static void check_columns(const sw_model *model) {
    char *text = NULL;
    size_t size;
    FILE *to = open_memstream(&text, &size);
    sw_model_print(model, to);
    fclose(to);
    const char *output = strstr(text, "output");
    assert_non_null(output);
    const int width = width_of(text);
    int lines = 0;
    for (const char *line = text; *line; line = strchr(line, '\n') + 1, lines++) {
        if (width_of(line) != width)
            fail_msg("columns:\n%s", text);
        assert_true(isdigit((unsigned char)line[strcspn(line, "\n") - 1]) || lines == 0);
    }
    assert_true(lines >= 4);
    free(text);
}

static void test_long_names_keep_the_printed_columns(void **state) {
    (void)state;
    static const char *const names[] = {"short", "a_name_of_more_than_twenty_characters", "schicht_größe_für_ähnliches",
                                        "l123456789l123456789l123456789l123456789l123456789l123456789l123456789"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        sw_model *m = sw_model_new(SW_F64, 1);
        sw_module *in = sw_module_set_name(sw_nn_linear(m, 12, 123456), names[i]);
        sw_module *deep = sw_nn_sequential(m, sw_nn_sequential(m, sw_nn_sequential(m, in)));
        sw_module *shape = sw_nn_reshape(m, SW_SHAPE(1, 2, 1, 3, 1, 20576));
        assert_non_null(sw_model_build(m, sw_nn_sequential(m, deep, shape, sw_nn_flatten(m))));
        check_columns(m);
        sw_model_free(m);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_null_at_the_end_may_be_missing),      TEST(test_arguments_are_evaluated_once),
        TEST(test_null_between_layers_is_refused),      TEST(test_wrong_capitals_get_a_suggestion),
        TEST(test_missing_parameter_gets_a_suggestion), TEST(test_message_suggests_flatten),
        TEST(test_long_names_keep_the_printed_columns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
