/* sw_predict: input arrays of every type, output arrays. */
#include "helpers.h"

enum { FEATURES = 4, OUTPUTS = 3 };

static sw_model *network(sw_dtype type) {
    sw_model *model = sw_model_new(type, 3);
    sw_model_set_input_shape(model, 1, (const int64_t[]){FEATURES});
    built(model, sw_nn_sequential(model, sw_nn_linear(model, 0, 6), sw_nn_tanh(model), sw_nn_dropout(model, 0.5),
                                  sw_nn_linear(model, 0, OUTPUTS), NULL));
    return model;
}

/* By hand, in double. */
static void plain(const sw_model *model, const sw_array *x, int64_t row, double *out) {
    sw_params *p = sw_model_params(model);
    sw_array w1 = sw_param_value(sw_params_find(p, "linear1.weight")),
             b1 = sw_param_value(sw_params_find(p, "linear1.bias")),
             w2 = sw_param_value(sw_params_find(p, "linear2.weight")),
             b2 = sw_param_value(sw_params_find(p, "linear2.bias"));
    double h[6];
    for (int i = 0; i < 6; i++) {
        h[i] = test_get(&b1, i);
        for (int j = 0; j < FEATURES; j++)
            h[i] += test_get(&w1, i * FEATURES + j) * test_get(x, row * FEATURES + j);
        h[i] = tanh(h[i]);
    }
    for (int i = 0; i < OUTPUTS; i++) {
        out[i] = test_get(&b2, i);
        for (int j = 0; j < 6; j++)
            out[i] += test_get(&w2, i * 6 + j) * h[j];
    }
}

/* Sums of 4 and 6 products below 8 and a tanh: fewer than 30 roundings of numbers up to 16. */
static const double tolerance[2] = {30 * 0x1p-24 * 16, 30 * 0x1p-53 * 16};

/* Dropout is off whatever the type; one row, one batch, and what is left over after two. */
static void test_predict_takes_every_type_and_size(void **state) {
    (void)state;
    static const int64_t sizes[] = {0, 1, 7, 1000, 2345};
    for (int t = 0; t < 2; t++) {
        sw_model *model = network(both_types[t]);
        for (int in = 0; in < INPUT_TYPES; in++)
            for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
                const sw_dtype type = input_types[in];
                int64_t n = sizes[k];
                bool whole = type == SW_I32 || type == SW_U8;
                sw_array x = test_filled(type, SW_SHAPE(n, FEATURES), whole ? 0 : -2, whole ? 5 : 2, 8), y = {0};
                assert_int_equal(sw_predict(model, &x, &y), SW_OK);
                expect_no_error();
                assert_true(y.rank == 2 && y.shape[0] == n && y.shape[1] == OUTPUTS);
                assert_int_equal(y.type, both_types[t]);
                for (int64_t i = 0; i < n; i++) {
                    double out[OUTPUTS];
                    plain(model, &x, i, out);
                    for (int j = 0; j < OUTPUTS; j++)
                        assert_true(fabs(test_get(&y, i * OUTPUTS + j) - out[j]) <= tolerance[t]);
                }
                /* Into memory of the caller: equal bits, and nothing beyond its end (a sanitizer checks that). */
                sw_array own = test_array(both_types[t], SW_SHAPE(n, OUTPUTS));
                assert_int_equal(sw_predict(model, &x, &own), SW_OK);
                assert_memory_equal(own.data, y.data, test_bytes(&y));
                test_array_free(&own);
                sw_array_free(&y);
                test_array_free(&x);
            }
        sw_model_free(model);
    }
}

static void test_predict_takes_ids_of_every_type(void **state) {
    (void)state;
    static const double table[] = {0, 1, 10, 11, 20, 21};
    for (int t = 0; t < 2; t++)
        for (int k = 0; k < INPUT_TYPES; k++) {
            const sw_dtype type = input_types[k];
            sw_model *model = sw_model_new(both_types[t], 3);
            sw_params *p = built(
                model, sw_nn_sequential(model, sw_nn_sequential(model, sw_nn_embedding(model, 3, 2), NULL), NULL));
            set_values(p, "embedding1.weight", table);
            sw_array x = test_array(type, SW_SHAPE(3)), y = {0};
            test_set(&x, 0, 2);
            test_set(&x, 2, 1);
            assert_int_equal(sw_predict(model, &x, &y), SW_OK);
            assert_true(y.rank == 2 && y.shape[0] == 3 && y.shape[1] == 2);
            for (int i = 0; i < 6; i++)
                assert_true(test_get(&y, i) == table[(i + 4) % 6]);
            sw_array_free(&y);
            test_array_free(&x);
            sw_model_free(model);
        }
}

/* Ids are not rounded on their way through f32, also above 2^24. */
static void test_predict_does_not_round_large_ids(void **state) {
    (void)state;
    enum { ROWS = (1 << 24) + 8 };
    sw_model *model = sw_model_new(SW_F32, 3);
    sw_params *p = built(model, sw_module_set_init(sw_nn_embedding(model, ROWS, 1), sw_init_zeros()));
    ((float *)sw_params_x(p))[(1 << 24) + 1] = 7;
    const int32_t id[2] = {(1 << 24) + 1, 1 << 24};
    sw_array x = sw_array_view(id, SW_I32, SW_SHAPE(2)), y = {0};
    assert_int_equal(sw_predict(model, &x, &y), SW_OK);
    assert_true(test_get(&y, 0) == 7 && test_get(&y, 1) == 0);
    sw_array_free(&y);
    sw_model_free(model);
}

/* ---- A source ---- */

static sw_status ramp_gather(const sw_source *source, const int64_t *ids, int64_t count, uint64_t draw, sw_dtype type,
                             void *x, void *y) {
    (void)source, (void)y;
    const sw_array out = {.data = x, .type = type};
    for (int64_t i = 0; x && i < count; i++)
        for (int j = 0; j < FEATURES; j++)
            test_set(&out, i * FEATURES + j, (double)(ids[i] % 7) - 3 + j * 0.25 + (double)draw);
    return SW_OK;
}

static void test_predict_takes_a_source(void **state) {
    (void)state;
    enum { N = 1003 };
    const sw_source source = {
        .size = sizeof source, .n = N, .x_rank = 1, .x_shape = {FEATURES}, .y_rank = -1, .gather = ramp_gather};
    sw_model *model = network(SW_F64);
    sw_array x = test_array(SW_F64, SW_SHAPE(N, FEATURES)), y = {0}, z = {0};
    int64_t ids[N];
    for (int i = 0; i < N; i++)
        ids[i] = i;
    ramp_gather(&source, ids, N, 0, SW_F64, x.data, NULL);
    assert_int_equal(sw_predict(model, &x, &y), SW_OK);
    for (int again = 0; again < 2; again++) { /* draw 0 both times */
        assert_int_equal(sw_predict_source(model, &source, &z), SW_OK);
        assert_memory_equal(y.data, z.data, test_bytes(&y));
    }
    sw_array_free(&y);
    sw_array_free(&z);
    test_array_free(&x);
    assert_int_equal(sw_predict_source(model, NULL, &y), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "predict_source: the source is NULL");
    assert_int_equal(sw_predict_source(model, &(sw_source){.size = sizeof source}, &y), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "predict_source: the source has no samples");
    sw_model_free(model);
}

/* ---- Mistakes ---- */

static void fails(sw_model *model, const sw_array *x, sw_array *y, sw_status status, const char *message) {
    sw_array before = y ? *y : (sw_array){0};
    assert_int_equal(sw_predict(model, x, y), status);
    expect_error(status, message);
    if (y)
        assert_memory_equal(y, &before, sizeof before);
}

static void test_predict_refuses_wrong_calls(void **state) {
    (void)state;
    sw_model *model = network(SW_F32), *unbuilt = sw_model_new(SW_F32, 1);
    sw_array x = test_array(SW_F32, SW_SHAPE(2, FEATURES)), y = {0};
    fails(NULL, &x, &y, SW_ERR_ARGUMENT, "predict: the model is NULL");
    fails(unbuilt, &x, &y, SW_ERR_STATE, "predict: the model is not built");
    fails(model, &x, NULL, SW_ERR_ARGUMENT, "predict: the array for the outputs is NULL");
    fails(model, NULL, &y, SW_ERR_ARGUMENT, "predict: x is NULL");
    sw_array scalar = sw_array_view(x.data, SW_F32, 0, NULL), none = x;
    none.data = NULL;
    fails(model, &scalar, &y, SW_ERR_ARGUMENT, "predict: x has no axis for the samples");
    fails(model, &none, &y, SW_ERR_ARGUMENT, "predict: x has no data");
    sw_array wide = sw_array_view(x.data, SW_F32, SW_SHAPE(4, 2));
    fails(model, &wide, &y, SW_ERR_SHAPE, "predict: x is [4,2]; each of its samples must be [4]");
    sw_array one = sw_array_view(x.data, SW_F32, SW_SHAPE(FEATURES));
    fails(model, &one, &y, SW_ERR_SHAPE,
          "predict: x is [4]; each of its samples must be [4] (add the axis of one sample in front?)");
    const int64_t counters[FEATURES] = {1, 2, 3, 4};
    sw_array wrong = sw_array_view(counters, SW_I64, SW_SHAPE(1, FEATURES));
    fails(model, &wrong, &y, SW_ERR_TYPE, "predict: x is i64; f32, f64, f16, bf16, i32 or u8 is needed");
    sw_array small = test_array(SW_F32, SW_SHAPE(1, OUTPUTS)), other = test_array(SW_F64, SW_SHAPE(2, OUTPUTS));
    fails(model, &x, &small, SW_ERR_SHAPE, "predict: y is [1,3], the outputs are [2,3]");
    fails(model, &x, &other, SW_ERR_TYPE, "predict: y is f64, the outputs are f32");
    test_array_free(&small);
    test_array_free(&other);
    assert_int_equal(sw_predict(model, &x, &y), SW_OK); /* as if nothing had been */
    sw_array_free(&y);
    test_array_free(&x);
    sw_model_free(model);
    sw_model_free(unbuilt);
}

/* A wrong id in the third batch: y's new memory is freed, and y is as before. */
static void test_predict_reports_an_error_in_a_later_batch(void **state) {
    (void)state;
    sw_model *model = sw_model_new(SW_F32, 3);
    built(model, sw_nn_embedding(model, 3, 2));
    sw_array x = test_array(SW_I32, SW_SHAPE(2500)), y = {.rank = 7};
    test_set(&x, 2100, 3);
    fails(model, &x, &y, SW_ERR_ARGUMENT, "layer embedding1: gather_rows: id 3 at position 100 is outside 0 to 2");
    test_array_free(&x);
    sw_model_free(model);
}

static sw_tensor sum_all(sw_module *module, sw_tensor x) {
    (void)module;
    return sw_sum(x);
}

static void test_predict_refuses_an_output_without_batch(void **state) {
    (void)state;
    static const sw_module_type sum_type = {.size = sizeof sum_type, .name = "sum", .forward = sum_all};
    sw_model *model = sw_model_new(SW_F32, 3);
    built(model, sw_module_new(model, &sum_type, 0));
    sw_array x = test_array(SW_F32, SW_SHAPE(2, 2)), y = {0};
    fails(model, &x, &y, SW_ERR_SHAPE, "predict: the model makes [] of a batch of 2");
    test_array_free(&x);
    sw_model_free(model);
}

/* ---- Every allocation fails in turn ---- */

static sw_status predict_with(sw_model *model) {
    static const uint8_t pixels[1200 * FEATURES];
    sw_array x = sw_array_view(pixels, SW_U8, SW_SHAPE(1200, FEATURES)), y = {0};
    sw_status status = sw_predict(model, &x, &y);
    if (status == SW_OK)
        sw_array_free(&y);
    assert_null(y.data);
    return status;
}

static void test_predict_survives_every_failed_allocation(void **state) {
    (void)state;
    test_allocator a;
    test_allocator_install(&a);
    long long requests = 1;
    for (int for_good = 0; for_good < 2; for_good++)
        for (long long k = 0; k <= requests; k++) { /* a new model each time: its tape is not there yet */
            sw_model *model = network(SW_F32);
            test_allocator_fail(&a, k, for_good != 0);
            sw_status status = predict_with(model);
            long long calls = atomic_load(&a.calls);
            test_allocator_fail(&a, 0, false);
            if (k == 0)
                requests = calls;
            assert_int_equal(status, k == 0 ? SW_OK : SW_ERR_MEMORY);
            if (k)
                assert_int_equal(sw_error_status(), SW_ERR_MEMORY);
            sw_clear_error();
            assert_int_equal(predict_with(model), SW_OK); /* and then it works */
            sw_model_free(model);
            assert_int_equal(atomic_load(&a.live), 0);
        }
    assert_true(requests > 5);
    sw_set_allocator(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_predict_takes_every_type_and_size),
        TEST(test_predict_takes_ids_of_every_type),
        TEST(test_predict_does_not_round_large_ids),
        TEST(test_predict_takes_a_source),
        TEST(test_predict_refuses_wrong_calls),
        TEST(test_predict_reports_an_error_in_a_later_batch),
        TEST(test_predict_refuses_an_output_without_batch),
        TEST(test_predict_survives_every_failed_allocation),
    };
    return cmocka_run_group_tests_name("predict", tests, NULL, NULL);
}
