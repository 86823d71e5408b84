/* Cross-attention outside the library, against the public headers alone: a layer of two inputs, and of a mask that may
 * be left out. It is written as a composed layer (sw_nn_compose_many) and as a layer type (build_many, forward_many),
 * is used inside a composed decoder block, and is compared with plain loops and central differences. */
#include "helpers.h"

/* ---- The layer ---- */

/* softmax(Q Kᵀ / √(d/heads) + mask) V for each head, with Q of x [batch, m, d], K and V of a context [batch, n, c], and
 * a mask [batch or 1, m, n] that is added (-∞: not seen). Vaswani et al., NeurIPS 2017. */
typedef struct attention {
    int64_t heads;
} attention;

enum { QUERY, KEY, VALUE, OUT, PROJECTIONS };

/* [batch, rows, d] → [batch, heads, rows, d/heads] */
static sw_tensor split_heads(sw_tensor x, int64_t heads) {
    const sw_array a = sw_value(x);
    if (sw_is_null(x))
        return x;
    return sw_transpose(sw_reshape(x, SW_SHAPE(a.shape[0], a.shape[1], heads, a.shape[2] / heads)), 1, 2);
}

static sw_tensor attention_of(const attention *a, int count, const sw_tensor *x, sw_tensor query, sw_tensor key,
                              sw_tensor value) {
    const sw_array q = sw_value(query);
    if (sw_is_null(query) || sw_is_null(key) || sw_is_null(value))
        return (sw_tensor){0};
    const int64_t batch = q.shape[0], rows = q.shape[1], d = q.shape[2];
    sw_tensor score = sw_matmul_transposed(split_heads(query, a->heads), split_heads(key, a->heads), false, true);
    score = sw_scale(score, 1 / sqrt((double)(d / a->heads)));
    if (count == 3) {
        const sw_array mask = sw_value(x[2]);
        score = sw_add(score, sw_reshape(x[2], SW_SHAPE(mask.shape[0], 1, mask.shape[1], mask.shape[2])));
    }
    sw_tensor seen = sw_matmul(sw_softmax(score, -1), split_heads(value, a->heads));
    return sw_reshape(sw_transpose(seen, 1, 2), SW_SHAPE(batch, rows, d));
}

static sw_tensor attention_forward(sw_module *self, int count, const sw_tensor *x) {
    sw_tensor query = sw_forward(sw_module_child(self, QUERY), x[0]);
    sw_tensor key = sw_forward(sw_module_child(self, KEY), x[1]);
    sw_tensor value = sw_forward(sw_module_child(self, VALUE), x[1]);
    const attention *a = sw_module_user(self) ? sw_module_user(self) : self->data;
    sw_tensor seen = attention_of(a, count, x, query, key, value);
    return sw_is_null(seen) ? seen : sw_forward(sw_module_child(self, OUT), seen);
}

static const attention two_heads = {2}; /* outlives the models */

static void projections(sw_model *model, int64_t d, sw_module *list[PROJECTIONS]) {
    static const char *const names[PROJECTIONS] = {"query", "key", "value", "out"};
    for (int i = 0; i < PROJECTIONS; i++)
        list[i] =
            sw_module_set_name(i == KEY ? sw_nn_linear_no_bias(model, 0, d) : sw_nn_linear(model, 0, d), names[i]);
}

/* As a function of its layers. */
static sw_module *composed_attention(sw_model *model, int64_t d) {
    sw_module *list[PROJECTIONS];
    projections(model, d, list);
    const sw_compose_options options = {
        .size = sizeof options, .user = (void *)(uintptr_t)&two_heads, .optional_inputs = 1};
    return sw_nn_compose_many(model, "attention", 3, attention_forward, PROJECTIONS, list, &options);
}

/* As a type, which says itself what its parts get and what comes out. */
static sw_status attention_build(sw_module *m, int count, const sw_sample_shape *in, sw_sample_shape *out) {
    sw_sample_shape x = in[0], key = in[1], value = in[1];
    for (int i = 0; i < 2; i++)
        if (in[i].rank != 2)
            return sw_fail(SW_ERR_SHAPE, "layer %s: input %d must be rows, [batch, rows, features]", m->name, i);
    if (count == 3 && (in[2].rank != 2 || in[2].length[0] != x.length[0] || in[2].length[1] != key.length[0]))
        return sw_fail(SW_ERR_SHAPE, "layer %s: the mask is %s for each sample; [%lld,%lld] is needed", m->name,
                       sw_shape_text(in[2].rank, in[2].length), (long long)x.length[0], (long long)key.length[0]);
    SW_TRY(sw_module_build(sw_module_child(m, QUERY), &x));
    SW_TRY(sw_module_build(sw_module_child(m, KEY), &key));
    SW_TRY(sw_module_build(sw_module_child(m, VALUE), &value));
    *out = x;
    return sw_module_build(sw_module_child(m, OUT), out);
}

static const sw_module_type attention_type = {.size = sizeof(sw_module_type),
                                              .name = "attention",
                                              .name_space = true,
                                              .build_many = attention_build,
                                              .forward_many = attention_forward,
                                              .least_inputs = 2,
                                              .most_inputs = 3};

static sw_module *typed_attention(sw_model *model, int64_t d) {
    sw_module *list[PROJECTIONS], *m = sw_module_new(model, &attention_type, sizeof(attention));
    projections(model, d, list);
    if (!sw_module_is(m, &attention_type))
        return m;
    *(attention *)m->data = two_heads;
    for (int i = 0; i < PROJECTIONS; i++)
        if (sw_module_add_child(m, list[i]) != SW_OK)
            return sw_module_fail(model);
    return m;
}

typedef sw_module *(*make_attention)(sw_model *model, int64_t d);
static const make_attention ways[2] = {composed_attention, typed_attention};

/* ---- Against plain loops ---- */

enum { BATCH = 3, M = 4, N = 5, D = 6, C = 7 }; /* rows of x and of the context, features of each */

/* x W ᵀ + b for rows. */
static void plain_linear(sw_params *p, const char *name, const double *x, int64_t rows, int64_t in, double *y) {
    char text[64];
    snprintf(text, sizeof text, "attention1.%s.weight", name);
    const sw_array w = sw_param_value(sw_params_find(p, text));
    snprintf(text, sizeof text, "attention1.%s.bias", name);
    const sw_param *bias = sw_params_find(p, text);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t o = 0; o < w.shape[0]; o++) {
            const sw_array b = bias ? sw_param_value(bias) : (sw_array){0};
            y[r * w.shape[0] + o] = bias ? test_get(&b, o) : 0;
            for (int64_t i = 0; i < in; i++)
                y[r * w.shape[0] + o] += test_get(&w, o * in + i) * x[r * in + i];
        }
}

/* One sample: out [M, D] of x [M, D], context [N, C] and a mask [M, N] or NULL. */
static void plain_attention(sw_params *p, const double *x, const double *context, const double *mask, double *out) {
    enum { HEAD = D / 2 };
    double q[M * D], k[N * D], v[N * D], seen[M * D] = {0};
    plain_linear(p, "query", x, M, D, q);
    plain_linear(p, "key", context, N, C, k);
    plain_linear(p, "value", context, N, C, v);
    for (int head = 0; head < 2; head++)
        for (int m = 0; m < M; m++) {
            double weight[N], sum = 0;
            for (int n = 0; n < N; n++) {
                double score = 0;
                for (int i = head * HEAD; i < (head + 1) * HEAD; i++)
                    score += q[m * D + i] * k[n * D + i];
                weight[n] = exp(score / sqrt(HEAD) + (mask ? mask[m * N + n] : 0));
                sum += weight[n];
            }
            for (int n = 0; n < N; n++)
                for (int i = head * HEAD; i < (head + 1) * HEAD; i++)
                    seen[m * D + i] += weight[n] / sum * v[n * D + i];
        }
    plain_linear(p, "out", seen, M, D, out);
}

typedef struct inputs {
    sw_array x, context, mask; /* the mask is that of all samples: [1, M, N] */
} inputs;

static inputs inputs_new(void) {
    inputs in = {test_filled(SW_F64, SW_SHAPE(BATCH, M, D), -1, 1, 1),
                 test_filled(SW_F64, SW_SHAPE(BATCH, N, C), -1, 1, 2),
                 test_filled(SW_F64, SW_SHAPE(1, M, N), -1, 1, 3)};
    for (int i = 0; i < M * N; i += 3) /* a position that is not seen; at least one in each row is */
        test_set(&in.mask, i, -INFINITY);
    return in;
}

static void inputs_free(inputs *in) {
    test_array_free(&in->x);
    test_array_free(&in->context);
    test_array_free(&in->mask);
}

static const sw_sample_shape sample_shapes[3] = {
    {.rank = 2, .length = {M, D}}, {.rank = 2, .length = {N, C}}, {.rank = 2, .length = {M, N}}};

static sw_model *attention_model(make_attention make, int count, uint64_t seed) {
    sw_model *model = sw_model_new(SW_F64, seed);
    assert_ok(sw_model_set_input_shapes(model, count, sample_shapes));
    sw_module *root = make(model, D);
    built(model, root);
    assert_true(sw_shape_equal(root->out.rank, root->out.length, 2, (const int64_t[]){M, D}));
    assert_int_equal(root->inputs, count);
    return model;
}

static sw_tensor run(sw_model *model, sw_tape *tape, int count, const inputs *in) {
    const sw_tensor x[3] = {sw_input(tape, in->x), sw_input(tape, in->context), sw_input(tape, in->mask)};
    return sw_forward_many(sw_model_root(model), count, x);
}

static void test_attention_gives_the_plain_values(void **state) {
    (void)state;
    inputs in = inputs_new();
    for (int way = 0; way < 2; way++)
        for (int count = 2; count <= 3; count++) {
            sw_model *model = attention_model(ways[way], count, 5);
            sw_tape *tape = sw_tape_new();
            double expected[BATCH * M * D];
            for (int b = 0; b < BATCH; b++)
                plain_attention(sw_model_params(model), (double *)in.x.data + b * M * D,
                                (double *)in.context.data + b * N * C, count == 3 ? in.mask.data : NULL,
                                expected + b * M * D);
            /* Numbers below 8, at most 40 roundings on the way to each. */
            expect_values(run(model, tape, count, &in), SW_SHAPE(BATCH, M, D), expected, 40 * 8 * 0x1p-53);
            sw_tape_free(tape);
            sw_model_free(model);
        }
    inputs_free(&in);
}

/* The two ways have the same parameters in the same order, with the same names and initial values. */
static void test_both_ways_are_the_same_layer(void **state) {
    (void)state;
    static const char *const names[] = {"attention1.query.weight", "attention1.query.bias", "attention1.key.weight",
                                        "attention1.value.weight", "attention1.value.bias", "attention1.out.weight",
                                        "attention1.out.bias"};
    inputs in = inputs_new();
    sw_model *model[2];
    sw_tape *tape = sw_tape_new();
    sw_array y[2];
    for (int way = 0; way < 2; way++) {
        model[way] = attention_model(ways[way], 3, 5);
        const sw_params *p = sw_model_params(model[way]);
        assert_int_equal(sw_params_count(p), 7);
        for (int i = 0; i < 7; i++)
            assert_string_equal(sw_params_at(p, i)->name, names[i]);
        y[way] = sw_value(run(model[way], tape, 3, &in));
    }
    assert_memory_equal(y[0].data, y[1].data, test_bytes(&y[1]));
    sw_tape_free(tape);
    for (int way = 0; way < 2; way++)
        sw_model_free(model[way]);
    inputs_free(&in);
}

/* ---- Gradients, in a block that a function composes of it ---- */

/* x + attention(x, context), then a network for each row. Three inputs, which pass through to the layer inside. */
static sw_tensor decoder_forward(sw_module *self, int count, const sw_tensor *x) {
    sw_tensor h = sw_add(x[0], sw_forward_many(sw_module_child(self, 0), count, x));
    return sw_add(h, sw_forward(sw_module_child(self, 1), h));
}

static sw_module *decoder(sw_model *model, int64_t d) {
    sw_module *list[2] = {composed_attention(model, d), sw_nn_sequential(model, sw_nn_linear(model, 0, 2 * d),
                                                                         sw_nn_gelu(model), sw_nn_linear(model, 0, d))};
    return sw_nn_compose_many(model, "decoder", 3, decoder_forward, 2, list,
                              &SW_OPTIONS(sw_compose_options, .optional_inputs = 1));
}

static double loss_at(sw_model *model, sw_tape *tape, int count, const inputs *in, const sw_array *cotangent) {
    sw_tape_reset(tape);
    const sw_array y = sw_value(run(model, tape, count, in));
    double sum = 0;
    expect_no_error();
    for (int64_t i = 0; i < sw_array_count(&y); i++)
        sum += test_get(&y, i) * test_get(cotangent, i);
    return sum;
}

/* Steps of 1e-6 in f64: see check_slope in helpers.h. */
static void expect_slope(sw_model *model, sw_tape *tape, int count, const inputs *in, const sw_array *cotangent,
                         double *at, double analytic, const char *what) {
    const double step = 1e-6, keep = *at;
    *at = keep + step;
    sw_params_mark_changed(sw_model_params(model));
    const double up = loss_at(model, tape, count, in, cotangent);
    *at = keep - step;
    const double down = loss_at(model, tape, count, in, cotangent);
    *at = keep;
    const double numeric = (up - down) / (2 * step);
    if (!(fabs(numeric - analytic) <= 1e-7 + 1e-6 * fabs(numeric)))
        fail_msg("%s: gradient %.9g, by differences %.9g", what, analytic, numeric);
}

static void check_block(int count) {
    inputs in = inputs_new();
    sw_array y = test_filled(SW_F64, SW_SHAPE(BATCH, M, D), -1, 1, 9), grad[2] = {0};
    sw_model *model = attention_model(decoder, count, 3);
    sw_params *p = sw_model_params(model);
    assert_string_equal(sw_params_at(p, 0)->name, "decoder1.attention1.query.weight");
    sw_tape *tape = sw_tape_new();
    const sw_tensor x[3] = {sw_variable(tape, in.x), sw_variable(tape, in.context), sw_input(tape, in.mask)};
    assert_ok(sw_backward_from(sw_forward_many(sw_model_root(model), count, x), y));
    for (int i = 0; i < 2; i++) {
        const sw_array g = sw_grad(x[i]);
        grad[i] = test_array(SW_F64, g.rank, g.shape);
        memcpy(grad[i].data, g.data, test_bytes(&g));
    }
    const double *g = sw_gradient_data(sw_params_gradient(p));
    double *at = sw_params_x(p);
    for (int64_t i = 0; i < sw_params_dim(p); i += 3)
        expect_slope(model, tape, count, &in, &y, at + i, g[i], "parameters");
    for (int k = 0; k < 2; k++)
        for (int64_t i = 0; i < sw_array_count(&grad[k]); i++)
            expect_slope(model, tape, count, &in, &y, (double *)(k ? in.context : in.x).data + i, test_get(&grad[k], i),
                         k ? "context" : "x");
    sw_tape_free(tape);
    sw_model_free(model);
    test_array_free(&grad[0]);
    test_array_free(&grad[1]);
    test_array_free(&y);
    inputs_free(&in);
}

static void test_gradients_of_a_block_agree_with_differences(void **state) {
    (void)state;
    check_block(2);
    check_block(3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_attention_gives_the_plain_values),
        TEST(test_both_ways_are_the_same_layer),
        TEST(test_gradients_of_a_block_agree_with_differences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
