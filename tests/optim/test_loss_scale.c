/* The loss scale of an optimizer: its rule step by step, its spec, files, metrics and messages. */
#include "scaled_problem.h"

#include "golden/loss_scale.h"

#include <swale/glm.h>

static const sw_dtype storages[4] = {SW_F16, SW_BF16, SW_F32, SW_F64};

/* ---- The rule ---- */

/* PyTorch's torch.amp.GradScaler.update() for growth_factor 2 and backoff_factor ½, with the two bounds of swale. */
typedef struct grad_scaler {
    double scale, least;
    int growth_tracker, growth_interval;
} grad_scaler;

static void grad_scaler_update(grad_scaler *s, bool found_inf) {
    if (found_inf) {
        s->scale = fmax(s->least, s->scale * 0.5);
        s->growth_tracker = 0;
    } else if (++s->growth_tracker == s->growth_interval) {
        s->scale = fmin(0x1p24, s->scale * 2);
        s->growth_tracker = 0;
    }
}

/* A backward pass of a new tape with the gradient c. */
static void hand_pass(sw_params *p, const double *c) {
    sw_tape *tape = sw_tape_new();
    sw_tensor sum = {0};
    for (int i = 0; i < sw_params_count(p); i++) {
        sw_param *param = sw_params_at(p, i);
        sw_tensor k = sw_empty(tape, sw_params_type(p), param->rank, param->shape);
        for (int64_t j = 0; j < param->count; j++)
            vec_set(sw_params_type(p), sw_value(k).data, j, c[param->offset + j]);
        sw_tensor term = sw_sum(sw_mul(k, use_widened(tape, param)));
        sum = i ? sw_add(sum, term) : term;
    }
    assert_ok(sw_backward(sum));
    sw_tape_free(tape);
}

static sw_status hand_step(sw_optim *o, sw_params *p, const double *c) {
    hand_pass(p, c);
    return sw_optim_step(o);
}

/* x, the scale, the status and the counts of 300 steps by hand, against plain loops: x ← x - lr·f16(S c)/S. The
 * gradient's size is random over 2^±22, so that steps are skipped, and the scale grows and shrinks. */
static void follows_grad_scaler(const char *spec, double initial, int interval, double least, double *low,
                                double *high) {
    enum { STEPS = 300 };
    sw_params *p = stored_params(SW_F16);
    sw_optim *o = NEW_OPTIM(p, .rule = "sgd lr=0.0009765625", .loss_scale = spec);
    grad_scaler s = {.scale = initial, .least = least, .growth_interval = interval};
    float x[SMALL_DIM];
    uint64_t random = 3;
    int skipped = 0, taken = 0;
    memcpy(x, sw_params_x(p), sizeof x);
    assert_true(sw_optim_loss_scale(o) == initial && sw_params_loss_scale(p) == initial);
    for (int k = 0; k < STEPS; k++) {
        const double size = exp2(test_uniform(&random, -22, 10 * sin(0.05 * k)));
        double c[SMALL_DIM];
        float g[SMALL_DIM];
        bool finite = true;
        for (int i = 0; i < SMALL_DIM; i++) {
            c[i] = (double)(float)(size * test_uniform(&random, -1, 1));
            uint16_t h = sw_f16_from_f32((float)(s.scale * c[i]));
            finite &= isfinite(sw_f16_to_f32(h)) != 0;
            g[i] = sw_f16_to_f32(h) / (float)s.scale;
        }
        for (int i = 0; i < SMALL_DIM && finite; i++)
            x[i] -= 0.0009765625F * g[i];
        grad_scaler_update(&s, !finite);
        skipped += !finite;
        taken += finite;
        assert_int_equal(hand_step(o, p, c), finite ? SW_OK : SW_SKIPPED);
        if (sw_optim_loss_scale(o) != s.scale)
            fail_msg("step %d: the scale is %g, not %g", k, sw_optim_loss_scale(o), s.scale);
        assert_memory_equal(x, sw_params_x(p), sizeof x);
        assert_int_equal(sw_optim_steps_skipped(o), skipped);
        assert_int_equal(sw_optim_steps_taken(o), taken);
        *low = fmin(*low, s.scale);
        *high = fmax(*high, s.scale);
    }
    print_message("loss scale \"%s\": %d of %d steps skipped\n", spec ? spec : "", skipped, (int)STEPS);
    assert_true(skipped >= 5 && taken >= 100);
    sw_optim_free(o);
    sw_params_free(p);
}

static void test_scale_follows_the_rule_of_grad_scaler(void **state) {
    (void)state;
    double low = INFINITY, high = 0;
    follows_grad_scaler(NULL, 65536, 2000, 1, &low, &high);
    follows_grad_scaler("dynamic interval=7", 65536, 7, 1, &low, &high);
    follows_grad_scaler("dynamic initial=16 interval=3", 16, 3, 1, &low, &high);
    follows_grad_scaler("dynamic initial=1024 interval=1 least=64", 1024, 1, 64, &low, &high);
    assert_true(low < 0x1p8 && high > 0x1p16);
}

/* PyTorch's own scales, for given skips. */
static void test_scale_equals_that_of_pytorch(void **state) {
    (void)state;
    for (size_t k = 0; k < sizeof golden_scales / sizeof *golden_scales; k++) {
        const golden_scale *golden = &golden_scales[k];
        char spec[80];
        sw_params *p = stored_params(SW_F16);
        snprintf(spec, sizeof spec, "dynamic initial=%g interval=%d", golden->initial, golden->interval);
        sw_optim *o = NEW_OPTIM(p, .rule = "sgd lr=0", .loss_scale = spec);
        for (int i = 0; i < GOLDEN_STEPS; i++) {
            const bool infinite = golden->found_inf[i] == '1';
            double c[SMALL_DIM] = {0x1p-20};
            c[5] = infinite ? 0x1p40 : 0;
            assert_int_equal(hand_step(o, p, c), infinite ? SW_SKIPPED : SW_OK);
            if (sw_optim_loss_scale(o) != ldexp(1, golden->power[i]))
                fail_msg("%s, step %d: %g, not 2^%d", spec, i, sw_optim_loss_scale(o), golden->power[i]);
        }
        sw_optim_free(o);
        sw_params_free(p);
    }
}

/* The scale stays at its bounds: 2^24, and `least`. */
static void test_scale_has_bounds(void **state) {
    (void)state;
    static const struct {
        const char *spec;
        double least;
    } cases[] = {{"dynamic interval=1", 1}, {"dynamic interval=1 least=0.0009765625 initial=1", 0x1p-10}};
    for (int k = 0; k < 2; k++) {
        sw_params *p = stored_params(SW_F16);
        sw_optim *o = NEW_OPTIM(p, .rule = "sgd lr=0", .loss_scale = cases[k].spec);
        double c[SMALL_DIM] = {0x1p-20};
        for (int i = 0; i < 40; i++)
            assert_ok(hand_step(o, p, c));
        assert_true(sw_optim_loss_scale(o) == 0x1p24);
        c[0] = 0x1p60;
        for (int i = 0; i < 60; i++)
            assert_int_equal(hand_step(o, p, c), SW_SKIPPED);
        assert_true(sw_optim_loss_scale(o) == cases[k].least);
        c[0] = cases[k].least < 1 ? 0x1p18 : 0x1p15; /* finite with the least scale alone */
        assert_ok(hand_step(o, p, c));
        assert_true(sw_optim_loss_scale(o) == 2 * cases[k].least);
        sw_optim_free(o);
        sw_params_free(p);
    }
}

/* ---- The spec ---- */

static void test_default_depends_on_the_storage_type(void **state) {
    (void)state;
    for (int k = 0; k < 4; k++) {
        sw_params *p = stored_params(storages[k]);
        static const struct {
            const char *spec;
            double scale;
        } cases[] = {
            {NULL, 0}, {"none", 1},         {"1024", 1024},       {" 0x1p-24 ", 0x1p-24},
            {"1", 1},  {"dynamic", 0x1p16}, {"16777216", 0x1p24}, {"dynamic initial=0x1p24 interval=1", 0x1p24}};
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            sw_optim *o = NEW_OPTIM(p, .rule = "sgd", .loss_scale = cases[i].spec);
            assert_true(sw_optim_loss_scale(o) == (cases[i].spec ? cases[i].scale : k == 0 ? 65536 : 1));
            assert_true(sw_params_loss_scale(p) == sw_optim_loss_scale(o));
            sw_optim_free(o);
        }
        sw_params_free(p);
    }
    assert_true(isnan(sw_optim_loss_scale(NULL)));
}

static void test_wrong_specs_are_refused(void **state) {
    (void)state;
    sw_params *p = stored_params(SW_F16);
    static const struct {
        const char *spec, *message;
    } cases[] = {
        {"", "loss_scale: ; dynamic, none or a power of 2 is needed"},
        {"dynamc", "loss_scale: dynamc; dynamic, none or a power of 2 is needed, did you mean dynamic?"},
        {"1024 interval=3", "loss_scale: 1024 interval=3; only dynamic has options"},
        {"none initial=2", "loss_scale: none initial=2; only dynamic has options"},
        {"1000", "loss_scale = 1000; a power of 2 from 2^-24 to 2^24 is needed"},
        {"0", "loss_scale = 0; a power of 2 from 2^-24 to 2^24 is needed"},
        {"-4", "loss_scale = -4; a power of 2 from 2^-24 to 2^24 is needed"},
        {"nan", "loss_scale: nan; dynamic, none or a power of 2 is needed, did you mean none?"},
        {"inf", "loss_scale = inf; a power of 2 from 2^-24 to 2^24 is needed"},
        {"33554432", "loss_scale = 33554432; a power of 2 from 2^-24 to 2^24 is needed"},
        {"dynamic initial=1000", "loss_scale: initial = 1000; a power of 2 from 2^-24 to 2^24 is needed"},
        {"dynamic least=3", "loss_scale: least = 3; a power of 2 from 2^-24 to 2^24 is needed"},
        {"dynamic initial=2 least=4", "loss_scale: initial = 2 is below least = 4"},
        {"dynamic interval=0", "dynamic: interval=0 is outside [1, 1e+09]"},
        {"dynamic interval=1.5", "dynamic: interval=1.5 is not a whole number"},
        {"dynamic initial=0x1p25", "dynamic: initial=0x1p25 is outside [5.96046e-08, 1.67772e+07]"},
        {"dynamic init=2", "loss scale dynamic has no option init; it has initial, interval, least"},
    };
    assert_ok(sw_params_set_loss_scale(p, 8));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        options_refused(p, (sw_optim_options){.rule = "sgd", .loss_scale = cases[i].spec}, cases[i].message);
    assert_true(sw_params_loss_scale(p) == 8); /* a refused optimizer does not change it */
    sw_params_free(p);
}

/* Options of a program that was compiled before the member existed. */
static void test_shorter_options_have_the_default(void **state) {
    (void)state;
    sw_params *p = stored_params(SW_F16);
    const sw_optim_options how = {.size = offsetof(sw_optim_options, loss_scale), .rule = "sgd", .loss_scale = "?"};
    sw_optim *o = new_optim(p, &how);
    assert_true(sw_optim_loss_scale(o) == 65536);
    sw_optim_free(o);
    sw_params_free(p);
}

/* A program may change a constant scale between two steps; a dynamic one continues from there. */
static void test_program_may_change_the_scale(void **state) {
    (void)state;
    static const char *const specs[] = {"8", "dynamic initial=8 interval=2"};
    for (int k = 0; k < 2; k++) {
        sw_params *p = stored_params(SW_F16);
        sw_optim *o = NEW_OPTIM(p, .rule = "sgd lr=0", .loss_scale = specs[k]);
        assert_ok(hand_step(o, p, some_gradient));
        assert_ok(sw_params_set_loss_scale(p, 256));
        assert_ok(hand_step(o, p, some_gradient));
        assert_true(sw_optim_loss_scale(o) == (k ? 512 : 256));
        assert_true(sw_optim_gradient_norm(o) > 7 && sw_optim_gradient_norm(o) < 8); /* ‖some_gradient‖ = 7.6 */
        sw_optim_free(o);
        sw_params_free(p);
    }
}

/* Three micro-batches of a hand-written loop: the scale may change between them, and if any of them overflows, the step
 * is skipped as a whole, once. */
static void test_micro_batches_are_skipped_together(void **state) {
    (void)state;
    sw_params *p = stored_params(SW_F16);
    sw_optim *o = NEW_OPTIM(p, .rule = "sgd lr=0.5", .loss_scale = "dynamic initial=64 interval=2");
    double huge[SMALL_DIM] = {0};
    float x[SMALL_DIM], before[SMALL_DIM];
    huge[4] = 0x1p30;
    memcpy(before, sw_params_x(p), sizeof before);
    for (int bad = 0; bad < 3; bad++) {
        for (int i = 0; i < 3; i++)
            hand_pass(p, i == bad ? huge : some_gradient);
        assert_int_equal(sw_optim_step(o), SW_SKIPPED);
        assert_true(sw_optim_loss_scale(o) == 64 >> (bad + 1) && sw_optim_steps_skipped(o) == bad + 1);
        assert_true(sw_gradient_is_fresh(sw_params_gradient(p)));
        assert_memory_equal(before, sw_params_x(p), sizeof before);
    }
    for (int i = 0; i < 3; i++) {
        hand_pass(p, some_gradient);
        assert_ok(sw_params_set_loss_scale(p, 8 << i));
    }
    assert_true(sw_gradient_scale(sw_params_gradient(p)) == 8); /* that of the first pass */
    assert_ok(sw_optim_step(o));
    assert_true(sw_optim_loss_scale(o) == 32); /* one clean step */
    for (int i = 0; i < SMALL_DIM; i++)        /* the mean of equal numbers of few bits, times ½: exact */
        x[i] = before[i] - 0.5F * (float)some_gradient[i];
    assert_memory_equal(x, sw_params_x(p), sizeof x);
    sw_optim_free(o);
    sw_params_free(p);
}

/* ---- Files ---- */

/* After each of 40 steps, among them skipped ones, a run that is saved and resumed by a new optimizer has the scale and
 * the state of the uninterrupted one until its end. */
static void test_resumed_runs_have_the_same_scales(void **state) {
    (void)state;
    enum { STEPS = 40 };
    const sw_optim_options how = {.size = sizeof how,
                                  .rule = "adam lr=0.1",
                                  .estimator = "sam of=minibatch batch=2",
                                  .average = "ema decay=0.9",
                                  .loss_scale = "dynamic initial=0x1p16 interval=3"};
    scaled_run whole;
    double scale[STEPS];
    sw_archive *end, *stop[STEPS];
    scaled_open(&whole, SW_F16, &how);
    whole.p.unit = 256; /* gradients of about 1000: scales up to 32 */
    int skipped = 0;
    for (int k = 0; k < STEPS; k++) {
        stop[k] = sw_archive_new();
        assert_ok(sw_optim_pack(whole.o, stop[k]));
        assert_ok(sw_archive_save(stop[k], "build/test_loss_scale.tmp")); /* packing does not copy vectors */
        sw_archive_free(stop[k]);
        stop[k] = sw_archive_load("build/test_loss_scale.tmp");
        assert_non_null(stop[k]);
        const sw_status status = sw_optim_minimize(whole.o, &whole.p.f, NULL);
        skipped += status == SW_SKIPPED;
        scale[k] = sw_optim_loss_scale(whole.o);
    }
    remove("build/test_loss_scale.tmp");
    assert_true(skipped >= 12 && skipped <= STEPS - 20);
    end = scaled_pack(&whole);
    for (int from = 0; from < STEPS; from++) {
        scaled_run resumed;
        scaled_open(&resumed, SW_F16, &how);
        resumed.p.unit = 256;
        assert_ok(sw_optim_unpack(resumed.o, stop[from]));
        assert_true(sw_optim_loss_scale(resumed.o) == (from ? scale[from - 1] : 65536));
        for (int k = from; k < STEPS; k++) {
            sw_optim_minimize(resumed.o, &resumed.p.f, NULL);
            assert_true(sw_optim_loss_scale(resumed.o) == scale[k]);
        }
        sw_archive *a = scaled_pack(&resumed);
        assert_int_equal(sw_archive_count(a), sw_archive_count(end));
        const char *difference = archives_difference(a, end, NULL);
        if (difference)
            fail_msg("resumed after step %d: %s differs", from, difference);
        sw_archive_free(a);
        sw_archive_free(stop[from]);
        scaled_close(&resumed);
    }
    sw_archive_free(end);
    scaled_close(&whole);
}

/* A file has a scale only if it was dynamic. Files without one, as those of earlier versions, leave the scale; a
 * constant scale is that of the program. */
static void test_files_with_and_without_a_scale(void **state) {
    (void)state;
    static const char *const specs[] = {"dynamic initial=64 interval=2", "32", "none"};
    static const double scales[3][3] = {{128, 64, 64}, {32, 32, 32}, {1, 1, 1}}; /* [loaded by][saved by] */
    for (int to = 0; to < 3; to++)
        for (int from = 0; from < 3; from++) {
            sw_params *p = stored_params(SW_F16), *q = stored_params(SW_F16);
            sw_optim *o = NEW_OPTIM(p, .rule = "adam", .loss_scale = specs[from]),
                     *other = NEW_OPTIM(q, .rule = "adam", .loss_scale = specs[to]);
            for (int i = 0; i < 3; i++)
                assert_ok(hand_step(o, p, some_gradient));
            sw_archive *a = sw_archive_new();
            assert_ok(sw_optim_pack(o, a));
            assert_true(sw_archive_has(a, "optim.loss_scale.scale") == (from == 0));
            assert_true(sw_archive_has(a, "optim.loss_scale.clean") == (from == 0));
            assert_ok(sw_optim_unpack(other, a));
            assert_true(sw_optim_loss_scale(other) == scales[to][from]);
            if (to == 0) { /* one clean step is in the file; without it, the count begins at 0 */
                assert_ok(hand_step(other, q, some_gradient));
                assert_true(sw_optim_loss_scale(other) == (from == 0 ? 256 : 64));
            }
            sw_archive_free(a);
            sw_optim_free(o);
            sw_optim_free(other);
            sw_params_free(p);
            sw_params_free(q);
        }
}

static void test_impossible_scales_in_files_are_refused(void **state) {
    (void)state;
    static const double wrong[][2] = {{3, 0},       {0, 0},  {-2, 0},  {(double)NAN, 0}, {INFINITY, 0}, {0x1p25, 0},
                                      {0x1p-25, 0}, {2, -1}, {2, 0.5}, {2, (double)NAN}, {2, INFINITY}, {2, 0x1.8p+53}};
    sw_params *p = stored_params(SW_F16);
    sw_optim *o = NEW_OPTIM(p, .rule = "sgd", .loss_scale = "dynamic initial=16");
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        sw_archive *a = sw_archive_new(), *b = sw_archive_new();
        assert_ok(sw_optim_pack(o, a));
        for (int k = 0; k < sw_archive_count(a); k++) { /* a copy with other numbers */
            const sw_archive_item item = sw_archive_at(a, k);
            const char *const texts[] = {"optim.loss_scale.scale", "optim.loss_scale.clean", NULL};
            if (!is_one_of(item.name, texts))
                assert_ok(sw_archive_put(b, item.name, item.array));
        }
        static const char *const keys[] = {"optim.format",  "optim.rule",        "optim.estimator",
                                           "optim.average", "optim.line_search", "optim.checksum"};
        for (size_t k = 0; k < sizeof keys / sizeof *keys; k++)
            assert_ok(sw_archive_set_text(b, keys[k], sw_archive_text(a, keys[k])));
        assert_ok(sw_archive_put_copy(b, "optim.loss_scale.scale", sw_array_view(&wrong[i][0], SW_F64, 0, NULL)));
        assert_ok(sw_archive_put_copy(b, "optim.loss_scale.clean", sw_array_view(&wrong[i][1], SW_F64, 0, NULL)));
        assert_int_equal(sw_optim_unpack(o, b), SW_ERR_FORMAT);
        char message[200];
        snprintf(message, sizeof message,
                 "archive: does not fit the optimizer: the loss scale is %g after %g clean steps in the file",
                 wrong[i][0], wrong[i][1]);
        assert_string_equal(sw_error(), message);
        sw_clear_error();
        assert_true(sw_optim_loss_scale(o) == 16);
        sw_archive_free(a);
        sw_archive_free(b);
    }
    sw_optim_free(o);
    sw_params_free(p);
}

/* ---- Messages and metrics ---- */

static void test_too_many_skips_name_the_scale(void **state) {
    (void)state;
    static const struct {
        const char *spec, *scale, *hint;
    } cases[] = {{"none", "", ""},
                 {"dynamic", "", ""}, /* it has reached 1: the ordinary error */
                 {"dynamic least=16", ", with the loss scale 16", ", or another loss_scale"},
                 {"65536", ", with the loss scale 65536", ", or another loss_scale"},
                 {"16777216", ", with the loss scale 16777216", ", or another loss_scale"}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        sw_params *p = stored_params(SW_F16);
        sw_optim *o = NEW_OPTIM(p, .rule = "sgd", .loss_scale = cases[k].spec);
        const double c[SMALL_DIM] = {1e6};
        char message[500];
        for (int i = 0; i < 99; i++)
            assert_int_equal(hand_step(o, p, c), SW_SKIPPED);
        assert_int_equal(hand_step(o, p, c), SW_ERR_NONFINITE);
        snprintf(
            message, sizeof message,
            "optimizer: 100 steps in a row were skipped, because the gradient contained Inf or NaN%s: look for them "
            "in the data, take a smaller lr, or set clip%s, or use bf16 (f16 ends at 65504); with SW_CHECK on, the "
            "tape names the operation that "
            "makes them",
            cases[k].scale, cases[k].hint);
        expect_error(SW_ERR_NONFINITE, message);
        sw_optim_free(o);
        sw_params_free(p);
    }
}

typedef struct seen_metrics {
    double scale[16];
    int64_t skipped[16];
    int calls;
} seen_metrics;

static sw_status see_metrics(void *user, sw_train_state *s) {
    seen_metrics *m = user;
    m->scale[m->calls] = s->loss_scale;
    m->skipped[m->calls++] = s->steps_skipped;
    return SW_OK;
}

static void test_training_reports_scale_and_skips(void **state) {
    (void)state;
    scaled_run r;
    seen_metrics m = {.calls = 0};
    sw_train_result result;
    const sw_optim_options how = {.size = sizeof how,
                                  .rule = "sgd lr=0.001",
                                  .estimator = "minibatch batch=2",
                                  .loss_scale = "dynamic initial=64 interval=3"};
    scaled_open(&r, SW_F16, &how);
    r.p.overflow = 2;
    assert_ok(
        sw_train(&r.p.f, r.o, &SW_OPTIONS(sw_train_options, .steps = 8, .user = &m, .log = see_metrics), &result));
    static const double scales[8] = {64, 32, 32, 32, 64, 64, 64, 128};
    static const int64_t skips[8] = {0, 1, 1, 1, 1, 1, 1, 1};
    assert_int_equal(m.calls, 8);
    for (int i = 0; i < 8; i++)
        assert_true(m.scale[i] == scales[i] && m.skipped[i] == skips[i]);
    assert_int_equal(result.skipped, 1);
    scaled_close(&r);
}

int main(void) {
#define TEST(name) cmocka_unit_test_teardown(name, test_no_error_left)
    const struct CMUnitTest tests[] = {
        TEST(test_scale_follows_the_rule_of_grad_scaler),
        TEST(test_scale_equals_that_of_pytorch),
        TEST(test_scale_has_bounds),
        TEST(test_default_depends_on_the_storage_type),
        TEST(test_wrong_specs_are_refused),
        TEST(test_shorter_options_have_the_default),
        TEST(test_program_may_change_the_scale),
        TEST(test_micro_batches_are_skipped_together),
        TEST(test_resumed_runs_have_the_same_scales),
        TEST(test_files_with_and_without_a_scale),
        TEST(test_impossible_scales_in_files_are_refused),
        TEST(test_too_many_skips_name_the_scale),
        TEST(test_training_reports_scale_and_skips),
    };
    return cmocka_run_group_tests_name("loss_scale", tests, NULL, NULL);
}
