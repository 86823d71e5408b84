/* A dynamic loss scale, as a wrapper that uses the public headers alone. Gradients in half precision are 0 below 2^-25
 * and infinite from 65520 on. Therefore the loss is multiplied by a scale S before the backward pass, and the gradient
 * by 1/S after it. P. Micikevicius et al., Mixed precision training, ICLR 2018, section 3.2, and PyTorch's GradScaler:
 * S begins with 2^16, is halved after a step that was skipped for Inf or NaN, and doubled after a number of clean
 * steps.
 *
 * The objective rounds its gradient to half precision, as a backward pass in that type would. The expected path is
 * computed by plain loops. */
#include "helpers.h"

/* ---- Least squares whose gradient is computed in half precision ---- */

enum { SAMPLES = 12, BATCH = 4, STEPS = 60 };

typedef struct half_problem {
    sw_objective f;
    double scale; /* of the loss, before the backward pass */
    double unit;  /* of the loss */
    int64_t bad;  /* the gradient with this number, counted from now on, is NaN; 0: none */
} half_problem;

/* The nearest number with 11 bits, a multiple of 2^-24 at least; ties to even. */
static double half_round(double v) {
    int exponent;
    if (!isfinite(v) || v == 0)
        return v;
    frexp(v, &exponent); /* |v| in [2^(exponent-1), 2^exponent) */
    const double step = ldexp(1, exponent - 11 < -24 ? -24 : exponent - 11), r = nearbyint(v / step) * step;
    return fabs(r) > 65504 ? copysign(INFINITY, v) : r;
}

/* r_i = ⟨a_i, x⟩ - b_i, f_i = unit/2 r_i², with a_i and b_i from -1 to 1. */
static double half_number(int64_t sample, int64_t i) {
    uint64_t state = (uint64_t)(1000 * sample + i);
    return (double)(float)test_uniform(&state, -1, 1);
}

static sw_status half_gradient(void *user, const void *x, const int64_t *ids, int64_t count, uint64_t draw,
                               double *value, void *g) {
    half_problem *p = user;
    const sw_dtype type = sw_params_type(p->f.params);
    double sum[SMALL_DIM] = {0};
    (void)draw;
    *value = 0;
    for (int64_t k = 0; k < count; k++) {
        const int64_t sample = ids ? ids[k] : k;
        double r = -half_number(sample, SMALL_DIM);
        for (int i = 0; i < SMALL_DIM; i++)
            r += half_number(sample, i) * vec_get(type, x, i);
        *value += p->unit / 2 * r * r / (double)count;
        for (int i = 0; i < SMALL_DIM; i++)
            sum[i] += p->unit * r * half_number(sample, i) / (double)count;
    }
    const bool bad = g && p->bad > 0 && --p->bad == 0;
    for (int i = 0; g && i < SMALL_DIM; i++)
        vec_set(type, g, i, bad ? (double)NAN : half_round(p->scale * sum[i]));
    return SW_OK;
}

static void half_init(half_problem *p, sw_params *params, double unit) {
    *p =
        (half_problem){.f = {.size = sizeof p->f, .n = SAMPLES, .params = params, .user = p, .gradient = half_gradient},
                       .scale = 1,
                       .unit = unit};
}

/* ---- The wrapper ---- */

typedef struct scale_options {
    double initial, interval, of;
} scale_options;
typedef struct scale_scalars {
    double scale;
    int64_t clean; /* steps since the last change of the scale */
} scale_scalars;

static const sw_option scale_option_table[] = {
    {.name = "initial", .value = 65536, .low = 1, .high = 0x1p100, .help = "the first scale, a power of 2"},
    {.name = "interval",
     .kind = SW_OPTION_INTEGER,
     .value = 2000,
     .low = 1,
     .high = 1e9,
     .help = "clean steps after which the scale is doubled"},
    {.name = "of", .kind = SW_OPTION_SPEC, .help = "the estimator of the gradient"},
    {0}};
static const char *const scale_scalar_names[] = {"scale", "clean", NULL};
SW_MATCH_OPTIONS(scale_options, scale_option_table);
SW_MATCH_SCALARS(scale_scalars, scale_scalar_names);

static scale_scalars *scale_scalars_of(const sw_estimate *e) {
    return SW_SCALARS_AS(e->scalar, scale_scalars);
}

static sw_status scale_start(sw_estimate *e) {
    scale_scalars_of(e)->scale = SW_OPTIONS_AS(e->option, scale_options)->initial;
    return SW_OK;
}

static sw_status scale_estimate(sw_estimate *e, const void *x, void *g) {
    half_problem *p = e->objective->user;
    const double scale = scale_scalars_of(e)->scale;
    p->scale = scale;
    const sw_status status = sw_estimate_inner(e, x, g);
    p->scale = 1; /* for the trials of a line search */
    SW_TRY(status);
    sw_vector_axpby(e->type, e->dim, 1 / scale, g, 0, NULL, g);
    e->gradient_norm /= scale; /* powers of 2: exact */
    return SW_OK;
}

static sw_status scale_commit(sw_estimate *e) {
    scale_scalars *s = scale_scalars_of(e);
    if (++s->clean >= (int64_t)SW_OPTIONS_AS(e->option, scale_options)->interval) {
        s->scale *= 2;
        s->clean = 0;
    }
    return SW_OK;
}

static void scale_skipped(sw_estimate *e) {
    scale_scalars *s = scale_scalars_of(e);
    if (e->skip_cause != SW_SKIP_GRADIENT)
        return;
    s->scale /= 2;
    s->clean = 0;
}

static const sw_estimator proto_loss_scale = {.size = sizeof(sw_estimator),
                                              .name = "proto_loss_scale",
                                              .summary = "a loss scale that backs off",
                                              .source = "Micikevicius et al., ICLR 2018",
                                              .options = scale_option_table,
                                              .scalars = scale_scalar_names,
                                              .flags = SW_ESTIMATOR_WRAPPER | SW_ESTIMATOR_DIRECT | SW_ESTIMATOR_EXACT,
                                              .start = scale_start,
                                              .estimate = scale_estimate,
                                              .commit = scale_commit,
                                              .whole_scalars = SW_WHOLE_SCALAR(scale_scalars, clean),
                                              .skipped = scale_skipped};

/* ---- Runs ---- */

static sw_optim *scaled_optim(sw_params *p, const char *rule) {
    return NEW_OPTIM(p, .rule = rule, .seed = 5,
                     .estimator = "proto_loss_scale interval=4 of=minibatch batch=4 order=sequential");
}

/* The path of plain loops: sgd with the same samples. A skipped step uses up its samples. */
typedef struct scale_path {
    double x[STEPS][SMALL_DIM], scale[STEPS];
    int64_t clean[STEPS];
    bool skipped[STEPS];
    int skips, doublings;
} scale_path;

static scale_path expected_path(sw_dtype type, double unit, double lr) {
    scale_path path = {.skips = 0};
    sw_params *params = small_params(type);
    half_problem p;
    half_init(&p, params, unit);
    void *x = sw_params_x(params);
    double scale = 65536;
    int64_t clean = 0;
    for (int k = 0; k < STEPS; k++) {
        int64_t ids[BATCH];
        double g[SMALL_DIM], value;
        bool finite = true;
        for (int i = 0; i < BATCH; i++)
            ids[i] = (BATCH * k + i) % SAMPLES;
        p.scale = scale;
        assert_ok(half_gradient(&p, x, ids, BATCH, 0, &value, g));
        for (int i = 0; i < SMALL_DIM; i++)
            finite &= isfinite(vec_get(type, g, i)) != 0;
        for (int i = 0; i < SMALL_DIM && finite; i++) {
            const double at = vec_get(type, x, i), down = vec_get(type, g, i) / scale;
            vec_set(type, x, i, type == SW_F32 ? (double)((float)at - (float)lr * (float)down) : at - lr * down);
        }
        path.skipped[k] = !finite;
        path.skips += !finite;
        clean = finite ? clean + 1 : 0;
        scale *= finite ? 1 : 0.5;
        if (clean == 4) {
            scale *= 2;
            clean = 0;
            path.doublings++;
        }
        for (int i = 0; i < SMALL_DIM; i++)
            path.x[k][i] = vec_get(type, x, i);
        path.scale[k] = scale;
        path.clean[k] = clean;
    }
    sw_params_free(params);
    return path;
}

static void check_step(const scale_path *path, int k, sw_status status, sw_optim *o, const sw_params *p) {
    assert_int_equal(status, path->skipped[k] ? SW_SKIPPED : SW_OK);
    if (sw_optim_scalar(o, -1, "scale") != path->scale[k] || sw_optim_scalar(o, -1, "clean") != (double)path->clean[k])
        fail_msg("step %d: scale %g after %g clean steps, %g after %d expected", k, sw_optim_scalar(o, -1, "scale"),
                 sw_optim_scalar(o, -1, "clean"), path->scale[k], (int)path->clean[k]);
    for (int i = 0; i < SMALL_DIM; i++)
        if (vec_get(sw_params_type(p), sw_params_x(p), i) != path->x[k][i])
            fail_msg("step %d: x[%d] = %.17g, %.17g expected", k, i, vec_get(sw_params_type(p), sw_params_x(p), i),
                     path->x[k][i]);
}

static int register_all(void **state) {
    (void)state;
    return sw_estimator_register(&proto_loss_scale) != SW_OK;
}

/* Bit for bit: the scale is a power of 2. */
static void test_loss_scale_follows_the_plain_loops(void **state) {
    (void)state;
    for (int t = 0; t < 2; t++) {
        const scale_path path = expected_path(both_types[t], 64, 0x1p-9);
        sw_params *p = small_params(both_types[t]);
        half_problem f;
        half_init(&f, p, 64);
        sw_optim *o = scaled_optim(p, "sgd lr=0.001953125");
        for (int k = 0; k < STEPS; k++)
            check_step(&path, k, sw_optim_minimize(o, &f.f, NULL), o, p);
        assert_int_equal(sw_optim_steps_skipped(o), path.skips);
        assert_int_equal(sw_optim_steps_taken(o), STEPS - path.skips);
        print_message("loss scale %s: %d skipped steps, %d doublings\n", sw_dtype_name(both_types[t]), path.skips,
                      path.doublings);
        assert_true(path.skips >= 10 && path.doublings >= 5 && !path.skipped[STEPS - 1]); /* the scale has settled */
        sw_optim_free(o);
        sw_params_free(p);
    }
}

/* A run that is resumed after any step, also after a skipped one, is bit-for-bit identical to the uninterrupted run. */
static void test_loss_scale_resumes_bit_for_bit(void **state) {
    (void)state;
    const scale_path path = expected_path(SW_F32, 64, 0x1p-9);
    for (int stop = 1; stop < STEPS; stop++) {
        sw_params *p = small_params(SW_F32), *q = small_params(SW_F32);
        half_problem f, h;
        half_init(&f, p, 64);
        half_init(&h, q, 64);
        sw_optim *o = scaled_optim(p, "sgd lr=0.001953125"), *resumed = scaled_optim(q, "sgd lr=0.001953125");
        sw_archive *a = sw_archive_new();
        for (int k = 0; k < stop; k++)
            sw_optim_minimize(o, &f.f, NULL);
        assert_ok(sw_optim_pack(o, a));
        assert_ok(sw_optim_bind(resumed, &h.f));
        assert_ok(sw_optim_unpack(resumed, a));
        for (int k = stop; k < STEPS; k++)
            check_step(&path, k, sw_optim_minimize(resumed, &h.f, NULL), resumed, q);
        sw_archive_free(a);
        sw_optim_free(o);
        sw_optim_free(resumed);
        sw_params_free(p);
        sw_params_free(q);
    }
}

static double half_loss(half_problem *f) {
    double value;
    assert_ok(half_gradient(f, sw_params_x(f->f.params), NULL, SAMPLES, 0, &value, NULL));
    return value / f->unit;
}

/* Gradients of at most 1e-7 in half precision are multiples of 2^-24 = 6e-8, or 0: without a scale the loss does not
 * decrease. With one of 2^16 or more they have 11 bits. */
static void test_loss_scale_keeps_small_gradients(void **state) {
    (void)state;
    static const char *const estimators[] = {"full", "proto_loss_scale of=full"};
    double loss[2], start = 0;
    for (int k = 0; k < 2; k++) {
        sw_params *p = small_params(SW_F64);
        half_problem f;
        half_init(&f, p, 0x1p-27);
        sw_optim *o = NEW_OPTIM(p, .rule = "adam lr=0.01 eps=1e-20", .estimator = estimators[k]);
        start = half_loss(&f);
        for (int step = 0; step < 500; step++)
            assert_ok(sw_optim_minimize(o, &f.f, NULL));
        loss[k] = half_loss(&f);
        sw_optim_free(o);
        sw_params_free(p);
    }
    print_message("loss scale: from %.3g to %.3g without, %.3g with it\n", start, loss[0], loss[1]);
    assert_true(loss[0] > 0.5 * start && loss[1] < 1e-3 * start);
}

/* Only Inf and NaN in gradients reduce the scale. A search that finds no step does not change it. */
static sw_status giving_up(sw_search *search, double *alpha) {
    (void)search, (void)alpha;
    return SW_SKIPPED;
}
static const sw_line_search quitter = {.size = sizeof(sw_line_search), .name = "quitter", .search = giving_up};

static void test_loss_scale_stays_when_a_search_gives_up(void **state) {
    (void)state;
    assert_ok(sw_line_search_register(&quitter));
    sw_params *p = small_params(SW_F64);
    half_problem f;
    half_init(&f, p, 1);
    sw_optim *o =
        NEW_OPTIM(p, .rule = "sgd", .estimator = "proto_loss_scale initial=16 of=full", .schedule = "quitter");
    assert_int_equal(sw_optim_minimize(o, &f.f, NULL), SW_SKIPPED);
    assert_true(sw_optim_scalar(o, -1, "scale") == 16);
    f.bad = 1;
    assert_int_equal(sw_optim_minimize(o, &f.f, NULL), SW_SKIPPED);
    assert_true(sw_optim_scalar(o, -1, "scale") == 8);
    sw_optim_free(o);
    sw_params_free(p);
}

/* The wrapper returns the gradient of the loss, so that line searches and rules for exact gradients accept it, and
 * slopes are those of the loss: along -g the loss decreases by lr ‖g‖² to first order. */
static void test_loss_scale_works_with_searches_and_exact_rules(void **state) {
    (void)state;
    static const struct {
        const char *rule, *schedule;
    } cases[] = {{"sgd lr=1", "armijo"}, {"sgd lr=1", "wolfe"}, {"fista lr=0.1", NULL}};
    for (int k = 0; k < 3; k++) {
        sw_params *p = small_params(SW_F64);
        half_problem f;
        half_init(&f, p, 1);
        sw_optim *o = NEW_OPTIM(p, .rule = cases[k].rule, .estimator = "proto_loss_scale initial=1024 of=full",
                                .schedule = cases[k].schedule);
        const double start = half_loss(&f);
        for (int step = 0; step < 100; step++)
            assert_ok(sw_optim_minimize(o, &f.f, NULL));
        if (!(half_loss(&f) < 1e-2 * start))
            fail_msg("%s: from %g to %g", cases[k].rule, start, half_loss(&f));
        sw_optim_free(o);
        sw_params_free(p);
    }
}

int main(void) {
#define TEST(name) cmocka_unit_test_teardown(name, test_clear)
    const struct CMUnitTest tests[] = {
        TEST(test_loss_scale_follows_the_plain_loops),
        TEST(test_loss_scale_resumes_bit_for_bit),
        TEST(test_loss_scale_keeps_small_gradients),
        TEST(test_loss_scale_stays_when_a_search_gives_up),
        TEST(test_loss_scale_works_with_searches_and_exact_rules),
    };
    return cmocka_run_group_tests_name("prototypes_loss_scale", tests, register_all, NULL);
}
