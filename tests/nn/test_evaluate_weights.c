/* sw_model_evaluate with ignored ids and class weights: the loss is Σ loss / Σ weight over the whole source, although
 * it is evaluated in batches of 1000. */
#include "helpers.h"

enum { SAMPLES = 2500, FEATURES = 3, CLASSES = 3 };
static const double class_weights[CLASSES] = {1, 0.25, 3};

static double feature(int64_t i, int j) {
    return (double)((i * 7 + j * 5) % 11) / 8 - 0.5;
}

/* The first 1000 samples, a whole batch, are ignored, and every fifth of the others. */
static int32_t id_of(int64_t i) {
    return i < 1000 || i % 5 == 0 ? -1 : (int32_t)(i % CLASSES);
}

static sw_status gather(const sw_source *source, const int64_t *ids, int64_t count, uint64_t draw, sw_dtype type,
                        void *x, void *y) {
    sw_array to = {.data = x, .type = type};
    (void)source, (void)draw;
    for (int64_t i = 0; i < count; i++) {
        for (int j = 0; x && j < FEATURES; j++)
            test_set(&to, i * FEATURES + j, feature(ids[i], j));
        if (y)
            ((int32_t *)y)[i] = id_of(ids[i]);
    }
    return SW_OK;
}

static sw_tensor ignoring(sw_tensor z, sw_tensor y) {
    const sw_cross_entropy_options o = {.size = sizeof o, .ignore = true, .ignored_id = -1};
    return sw_cross_entropy_with_options(z, y, &o);
}
static sw_tensor weighted(sw_tensor z, sw_tensor y) {
    const sw_cross_entropy_options o = {
        .size = sizeof o, .ignore = true, .ignored_id = -1, .class_weights = class_weights, .classes = CLASSES};
    return sw_cross_entropy_with_options(z, y, &o);
}

static void test_evaluation_respects_ignored_ids_and_weights(void **state) {
    (void)state;
    const sw_source source = {.size = sizeof source,
                              .n = SAMPLES,
                              .x_rank = 1,
                              .x_shape = {FEATURES},
                              .y_type = SW_I32,
                              .classes = CLASSES,
                              .gather = gather};
    const double w[CLASSES * FEATURES] = {1, -2, 0.5, -0.25, 1, 1.5, 0, 0.75, -1}, b[CLASSES] = {0.5, -0.5, 0.25};
    sw_model *model = sw_model_new(SW_F64, 1);
    sw_params *p = built(model, sw_nn_linear(model, FEATURES, CLASSES));
    set_values(p, "linear1.weight", w);
    set_values(p, "linear1.bias", b);
    double sum[2] = {0}, weight[2] = {0}, right = 0;
    for (int64_t i = 0; i < SAMPLES; i++) {
        const int32_t id = id_of(i);
        double z[CLASSES], total = 0;
        int best = 0;
        if (id < 0)
            continue;
        for (int c = 0; c < CLASSES; c++) {
            z[c] = b[c];
            for (int j = 0; j < FEATURES; j++)
                z[c] += w[c * FEATURES + j] * feature(i, j);
            total += exp(z[c]);
            best = z[c] > z[best] ? c : best;
        }
        for (int k = 0; k < 2; k++) {
            const double own = k ? class_weights[id] : 1;
            sum[k] += own * (log(total) - z[id]);
            weight[k] += own;
        }
        right += best == id;
    }
    for (int k = 0; k < 2; k++) {
        sw_evaluation e;
        if (sw_model_evaluate(model, NULL, &source, k ? weighted : ignoring, &e) != SW_OK)
            fail_msg("%s", sw_error());
        /* Each loss is below 8, with some 10 roundings; up to 2500 of them are added up and divided. */
        assert_true(fabs(e.loss - sum[k] / weight[k]) <= 8 * 2520 * 0x1p-53);
        assert_true(fabs(e.accuracy - right / weight[0]) <= 0x1p-53);
    }
    sw_model_free(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {TEST(test_evaluation_respects_ignored_ids_and_weights)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
