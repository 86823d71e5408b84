/* Steps of parameters whose gradient and leaves are stored in f16 and bf16. Rules compute in f32: x is, bit for bit,
 * that of a step with the same numbers in a gradient of f32, for every rule; and the copy that leaves read is x,
 * rounded. No step of an elementwise rule has a gradient in f32. */
#include "rule_specs.h"

#include "lbfgs_rule.h"

#include "core/kernels/dispatch.h"
#include "core/params/gradient.h"
#include "core/params/vector.h"
#include "optim/optimizer.h"

/* More than SW_SERIAL elements, so that threads share tiles; not a multiple of the sizes of blocks or lanes. */
enum { WIDE_ROWS = 131, WIDE_COLUMNS = 137, WIDE_DIM = WIDE_ROWS * WIDE_COLUMNS + 13, STEPS = 4 };
_Static_assert(WIDE_DIM > (int)SW_SERIAL, "several tiles");
static const sw_dtype halves[2] = {SW_F16, SW_BF16};

static sw_params *wide_params(sw_dtype storage) {
    const sw_param_options weight = {.size = sizeof weight, .role = SW_ROLE_WEIGHT};
    sw_params *p = sw_params_new_with_options(
        &(sw_params_options){.size = sizeof(sw_params_options), .seed = 1, .storage = storage});
    assert_non_null(sw_params_add(p, "a", 2, (const int64_t[]){WIDE_ROWS, WIDE_COLUMNS}, &weight));
    assert_non_null(sw_params_add(p, "b", 1, (const int64_t[]){13}, NULL));
    assert_ok(sw_params_build(p));
    uint64_t seed = 3;
    for (int64_t i = 0; i < WIDE_DIM; i++)
        vec_set(SW_F32, sw_params_x(p), i, test_uniform(&seed, -1, 1));
    sw_params_mark_changed(p);
    return p;
}

/* The gradient of a step, rounded to `type`, in the type of the block, as a backward pass would leave it. */
static void write_gradient(sw_params *p, sw_dtype type, int step) {
    sw_gradient *g = sw_params_gradient(p);
    uint64_t seed = 100 + (uint64_t)step;
    for (int64_t i = 0; i < WIDE_DIM; i++) {
        uint16_t element;
        sw_store_element(type, &element, 0, i % 97 == 0 ? 0 : test_uniform(&seed, -2, 2));
        sw_store_element(sw_gradient_type(g), sw_gradient_data(g), i, sw_load_element(type, &element, 0));
    }
    swi_gradient_filled(g, (swi_weight){1, 1}, 1);
}

/* The leaves' copy is x, rounded once. */
static void check_copy(sw_params *p) {
    uint16_t rounded[WIDE_DIM];
    if (sw_params_storage(p) == SW_F32)
        return;
    sw_vector_convert(SW_F32, WIDE_DIM, sw_params_x(p), sw_params_storage(p), rounded);
    assert_memory_equal(rounded, sw_param_stored_value(sw_params_at(p, 0)).data, sizeof rounded);
}

/* Steps of a hand-written loop with a gradient whose numbers `type` can represent. x is 2·WIDE_DIM numbers: x and the
 * point at which the optimizer evaluates. */
static void step_by_hand(sw_dtype type, sw_dtype storage, const sw_optim_options *how, float *x) {
    sw_params *p = wide_params(storage);
    sw_optim_options unscaled = *how; /* write_gradient does not scale */
    unscaled.loss_scale = "none";
    sw_optim *optim = new_optim(p, &unscaled);
    for (int step = 1; step <= STEPS; step++) {
        write_gradient(p, type, step);
        assert_ok(sw_optim_step(optim));
        assert_true(sw_gradient_is_fresh(sw_params_gradient(p)));
        check_copy(p);
    }
    const bool vector = optim->group[0].rule->unit == SW_UNIT_VECTOR || optim->group[0].parts > 0;
    assert_int_equal(optim->wide_gradient != NULL, vector && storage != SW_F32);
    memcpy(x, sw_params_x(p), WIDE_DIM * sizeof *x);
    memcpy(x + WIDE_DIM, sw_optim_point(optim), WIDE_DIM * sizeof *x);
    sw_optim_free(optim);
    sw_params_free(p);
}

static void expect_equal_bits(const sw_optim_options *how) {
    float *x = calloc(5 * WIDE_DIM, sizeof *x);
    assert_non_null(x);
    for (int k = 0; k < 2; k++) {
        step_by_hand(halves[k], SW_F32, how, x);
        step_by_hand(halves[k], halves[k], how, x + 2 * WIDE_DIM);
        if (memcmp(x, x + 2 * WIDE_DIM, 2 * WIDE_DIM * sizeof *x) != 0)
            fail_msg("%s: %s: x differs from that of a gradient in f32", sw_dtype_name(halves[k]), how->rule);
        sw_params *p = wide_params(halves[k]);
        assert_memory_not_equal(x, sw_params_x(p), WIDE_DIM * sizeof *x);
        sw_params_free(p);
    }
    free(x);
}

/* A rule that updates rows as work items. */
static int64_t rows_parts(const sw_param *p, const double *option, sw_dtype type) {
    (void)option, (void)type;
    return p->rank == 2 ? p->shape[0] : 1;
}
static sw_status rows_part(sw_step *s, int64_t part, sw_worker *worker) {
    const int64_t width = s->count / rows_parts(s->param, NULL, s->type);
    (void)worker;
    for (int64_t i = part * width; i < (part + 1) * width; i++)
        ((float *)s->x)[i] -= (float)s->option[0] * ((const float *)s->g)[i];
    return SW_OK;
}
static const sw_option one_lr[] = {{.name = "lr", .value = 0.1, .low = 0, .high = 10}, {0}};
static const sw_rule rows_rule = {.size = sizeof(sw_rule),
                                  .name = "rows",
                                  .options = one_lr,
                                  .unit = SW_UNIT_TENSOR,
                                  .parts = rows_parts,
                                  .part = rows_part};

/* Every rule, with and without clipping, which multiplies a stored gradient when it is read. */
static void test_rules_read_stored_gradients(void **state) {
    (void)state;
    static rule_specs specs;
    assert_ok(sw_rule_register(&proto_lbfgs));
    assert_ok(sw_rule_register(&rows_rule));
    rule_specs_add_all(&specs, true);
    assert_true(specs.count > 40);
    for (int i = 0; i < specs.count; i++)
        expect_equal_bits(&SW_OPTIONS(sw_optim_options, .rule = specs.text[i], .clip = i % 2 ? 0.5 : 0));
    expect_equal_bits(&SW_OPTIONS(sw_optim_options, .rule = "role=weight: fromage; adam", .clip = 3));
    expect_equal_bits(&SW_OPTIONS(sw_optim_options, .rule = "role=weight: proto_lbfgs; adam"));
    expect_equal_bits(&SW_OPTIONS(sw_optim_options, .rule = "adam", .average = "ema decay=0.5"));
}

/* Blocks, tiles and copies have the same bits for every number of threads. */
static void test_threads_give_equal_bits(void **state) {
    (void)state;
    static const char *const rules[] = {"adam", "amos", "fista", "rows", "adam eps=1e-30"};
    float *x = calloc(4 * WIDE_DIM, sizeof *x);
    for (size_t r = 0; r < sizeof rules / sizeof *rules; r++)
        for (int k = 0; k < 2; k++)
            for (int threads = 1; threads <= 8; threads *= 2) {
                assert_ok(sw_set_threads(threads));
                step_by_hand(halves[k], halves[k], &SW_OPTIONS(sw_optim_options, .rule = rules[r]),
                             threads == 1 ? x : x + 2 * WIDE_DIM);
                if (threads > 1)
                    assert_memory_equal(x, x + 2 * WIDE_DIM, 2 * WIDE_DIM * sizeof *x);
            }
    assert_ok(sw_set_threads(1));
    free(x);
}

/* So have they on every level, because conversions are exact and rounded alike on all of them. */
static void test_levels_give_equal_bits(void **state) {
    (void)state;
    static const char *const rules[] = {"adam", "lion", "fromage", "fista", "adam eps=1e-30"};
    const int best = sw_cpu_level();
    float *x = calloc(4 * WIDE_DIM, sizeof *x);
    for (size_t r = 0; r < sizeof rules / sizeof *rules; r++)
        for (int k = 0; k < 2; k++)
            for (int level = 0; level <= best; level++) {
                atomic_store(&swi_level, level);
                step_by_hand(halves[k], halves[k], &SW_OPTIONS(sw_optim_options, .rule = rules[r], .clip = 0.5),
                             level == 0 ? x : x + 2 * WIDE_DIM);
                if (level > 0)
                    assert_memory_equal(x, x + 2 * WIDE_DIM, 2 * WIDE_DIM * sizeof *x);
            }
    atomic_store(&swi_level, best);
    free(x);
}

/* ‖g‖ is the norm of the stored numbers. The block is not rewritten by a clip, and recorded norms are those of the
 * clipped gradient. Frozen parameters have no gradient, and neither x nor the copy changes. */
static void test_clip_and_frozen_parameters(void **state) {
    (void)state;
    for (int k = 0; k < 2; k++) {
        sw_params *p = wide_params(halves[k]);
        sw_optim *optim = NEW_OPTIM(p, .loss_scale = "none", .rule = "lion", .clip = 0.5);
        sw_gradient *g = sw_params_gradient(p);
        sw_param *frozen = sw_params_find(p, "b");
        float kept[13];
        double square = 0, norm;
        sw_norms norms;
        sw_param_freeze(frozen, true);
        memcpy(kept, sw_param_value(frozen).data, sizeof kept);
        assert_ok(sw_optim_record_norms(optim, true));
        write_gradient(p, halves[k], 1);
        for (int64_t i = 0; i < frozen->offset; i++) {
            const double v = sw_load_element(halves[k], sw_gradient_data(g), i);
            square += v * v;
        }
        assert_ok(sw_optim_step(optim));
        /* Sums in f32 lanes and f64: 2^-24 for each of at most SW_TILE/64 additions */
        assert_true(fabs(sw_optim_gradient_norm(optim) - sqrt(square)) <= sqrt(square) * 64 * 0x1p-24);
        assert_int_equal(sw_vector_norm(halves[k], WIDE_DIM, sw_gradient_data(g), &norm), SW_OK);
        assert_true(norm == sw_optim_gradient_norm(optim));
        assert_ok(sw_optim_norms(optim, NULL, &norms));
        assert_true(fabs(norms.gradient - 0.5) <= 0.5 * 0x1p-50);
        for (int64_t i = frozen->offset; i < WIDE_DIM; i++)
            assert_true(sw_load_element(halves[k], sw_gradient_data(g), i) == 0);
        assert_memory_equal(kept, sw_param_value(frozen).data, sizeof kept);
        check_copy(p);
        sw_optim_free(optim);
        sw_params_free(p);
    }
}

/* Inf in a block of 16 bits, which has a smaller range: the step is skipped, and x does not change. */
static void test_infinite_stored_gradient_is_skipped(void **state) {
    (void)state;
    for (int k = 0; k < 2; k++) {
        sw_params *p = wide_params(halves[k]);
        sw_optim *optim = NEW_OPTIM(p, .loss_scale = "none", .rule = "adam");
        float *x = calloc(WIDE_DIM, sizeof *x);
        memcpy(x, sw_params_x(p), WIDE_DIM * sizeof *x);
        write_gradient(p, halves[k], 1);
        sw_store_element(halves[k], sw_gradient_data(sw_params_gradient(p)), 17000, 1e39);
        assert_int_equal(sw_optim_step(optim), SW_SKIPPED);
        assert_memory_equal(x, sw_params_x(p), WIDE_DIM * sizeof *x);
        check_copy(p);
        assert_int_equal(sw_optim_steps_skipped(optim), 1);
        free(x);
        sw_optim_free(optim);
        sw_params_free(p);
    }
}

/* A gradient that a rule cannot square: the trial on copies refuses the step, as for the same numbers in f32. The rule
 * rows has no bounds, so that x is restored from a copy; the copy of the leaves is then that of x again. */
static void test_steps_that_would_overflow_are_refused(void **state) {
    (void)state;
    static const char *const rules[] = {"adam", "fromage", "rows lr=10", "rmsprop"};
    for (size_t r = 0; r < sizeof rules / sizeof *rules; r++) {
        char message[2][400] = {{0}};
        for (int k = 0; k < 2; k++) {
            sw_params *p = wide_params(k ? SW_BF16 : SW_F32);
            sw_optim *optim = NEW_OPTIM(p, .loss_scale = "none", .rule = rules[r]);
            float *x = calloc(WIDE_DIM, sizeof *x);
            memcpy(x, sw_params_x(p), WIDE_DIM * sizeof *x);
            write_gradient(p, SW_BF16, 1);
            sw_gradient *g = sw_params_gradient(p);
            sw_store_element(sw_gradient_type(g), sw_gradient_data(g), 17000, 0x1p127);
            const sw_status status = sw_optim_step(optim);
            snprintf(message[k], sizeof message[k], "%s", status == SW_OK ? "" : sw_error());
            assert_true(status == SW_OK || status == SW_ERR_NONFINITE);
            sw_clear_error();
            if (status != SW_OK)
                assert_memory_equal(x, sw_params_x(p), WIDE_DIM * sizeof *x);
            check_copy(p);
            free(x);
            sw_optim_free(optim);
            sw_params_free(p);
        }
        assert_string_equal(message[0], message[1]);
        assert_true(r == 1 || message[0][0]);
    }
}

/* 65519.99 rounds to the largest f16, 65504, and 65520 to Inf. A step to such a number is refused before x changes, by
 * the bounds, after the step of a rule without bounds, and after a line search. In bf16 it is an ordinary number. */
static void test_steps_beyond_f16_are_refused(void **state) {
    (void)state;
    static const char *const rules[] = {"sgd lr=1", "rows lr=1", "role=weight: proto_lbfgs; sgd lr=1",
                                        "fromage lr=1e-3"};
    for (size_t r = 0; r < sizeof rules / sizeof *rules; r++)
        for (int k = 0; k < 2; k++) {
            sw_params *p = wide_params(halves[k]);
            float *x = sw_params_x(p), before[2] = {65519.9F, 65519.9F};
            x[17003] = before[0];
            sw_params_mark_changed(p);
            sw_optim *optim = NEW_OPTIM(p, .rule = rules[r], .loss_scale = "none");
            sw_gradient *g = sw_params_gradient(p);
            memset(sw_gradient_data(g), 0, WIDE_DIM * sizeof(uint16_t));
            sw_store_element(halves[k], sw_gradient_data(g), 17003, -1.5);
            swi_gradient_filled(g, (swi_weight){1, 1}, 1);
            assert_int_equal(sw_optim_step(optim), k == 0 ? SW_ERR_NONFINITE : SW_OK);
            if (k == 0) {
                assert_non_null(strstr(sw_error(), "would make a value of parameter a 655"));
                assert_non_null(strstr(sw_error(), "which is beyond f16"));
                assert_true(x[17003] == before[0]);
                sw_clear_error();
            } else {
                assert_true(x[17003] > before[0]);
            }
            check_copy(p);
            sw_optim_free(optim);
            sw_params_free(p);
        }
}

/* With Adam: 4 bytes of x, 2 of the copy, 2 of the gradient, 8 of the moments, and nothing else that grows with the
 * parameters; no allocation after the first step. A rule of tensors also has one gradient of the largest tensor. */
static void test_bytes_of_a_parameter(void **state) {
    (void)state;
    test_allocator allocator;
    test_allocator_install(&allocator);
    for (int k = 0; k < 2; k++) {
        sw_params *p = wide_params(halves[k]);
        sw_optim *optim = NEW_OPTIM(p, .loss_scale = "none", .rule = "adam", .clip = 1);
        write_gradient(p, halves[k], 1);
        assert_ok(sw_optim_step(optim));
        assert_true(sw_memory_per_parameter(WIDE_DIM) == 16);
        assert_int_equal(sw_memory_contents(SW_ACCOUNT_GRADIENTS), 2 * WIDE_DIM);
        assert_int_equal(sw_optim_bytes(optim).work, 0);
        const long long calls = atomic_load(&allocator.calls);
        for (int step = 2; step < 5; step++) {
            write_gradient(p, halves[k], step);
            assert_ok(sw_optim_step(optim));
        }
        assert_int_equal(atomic_load(&allocator.calls), calls);
        sw_optim_free(optim);
        optim = NEW_OPTIM(p, .loss_scale = "none", .rule = "fromage");
        assert_int_equal(sw_optim_bytes(optim).work, sizeof(float) * WIDE_ROWS * WIDE_COLUMNS);
        sw_optim_free(optim);
        sw_params_free(p);
    }
    assert_true(atomic_load(&allocator.live) == 0);
    sw_set_allocator(NULL);
}

/* A gradient in f32 that cannot be allocated is an error, when the optimizer is made (that of one tensor) or in a step
 * (the whole). The next call works. */
static void test_allocation_of_a_gradient_in_f32_fails(void **state) {
    (void)state;
    test_allocator allocator;
    test_allocator_install(&allocator);
    sw_params *p = wide_params(SW_BF16);
    sw_optim *optim = NULL;
    for (long long k = 1; !optim; k++) {
        test_allocator_fail(&allocator, k, false);
        optim = sw_optim_new(p, "fromage");
        assert_int_equal(sw_error_status(), optim ? SW_OK : SW_ERR_MEMORY);
        sw_clear_error();
    }
    test_allocator_fail(&allocator, 0, false);
    sw_optim_free(optim);
    optim = NEW_OPTIM(p, .loss_scale = "none", .rule = "rows");
    for (int k = 0; k < 2; k++) {
        write_gradient(p, SW_BF16, 1);
        test_allocator_fail(&allocator, k == 0 ? 1 : 0, false);
        assert_int_equal(sw_optim_step(optim), k == 0 ? SW_ERR_MEMORY : SW_OK);
        sw_clear_error();
        assert_int_equal(sw_optim_steps_taken(optim), k);
    }
    assert_true(sw_optim_bytes(optim).work >= WIDE_DIM * sizeof(float));
    sw_optim_free(optim);
    sw_params_free(p);
    assert_true(atomic_load(&allocator.live) == 0);
    sw_set_allocator(NULL);
}

/* ---- Estimators ---- */

/* ½ ‖w - t‖² in f32 of leaves w in any type, with t_j = 1 + (j mod 3). It is one operation, so that the gradient
 * w - t is rounded once, to the type of the leaf. */
static float target_of(int64_t j) {
    return (float)(1 + j % 3);
}
static sw_status distance_shape(sw_call *c) {
    return sw_call_set_shape(c, SW_F32, 0, NULL);
}
static sw_status distance_forward(sw_call *c) {
    double sum = 0;
    for (int64_t j = 0; j < c->in[0]->count; j++) {
        const double d = sw_load_element(c->in[0]->type, c->in[0]->data, j) - (double)target_of(j);
        sum += d * d / 2;
    }
    *(float *)c->out->data = (float)sum;
    return SW_OK;
}
static sw_status distance_vjp(sw_call *c) {
    const sw_view *w = c->in[0];
    void *dw = sw_call_grad(c, 0);
    if (!dw)
        return SW_ERR_MEMORY;
    for (int64_t j = 0; j < w->count; j++)
        sw_store_element(w->type, dw, j,
                         (double)*(const float *)c->cotangent *
                             (sw_load_element(w->type, w->data, j) - (double)target_of(j)));
    return SW_OK;
}
static const sw_op distance_op = {.size = sizeof(sw_op),
                                  .name = "distance",
                                  .shape = distance_shape,
                                  .forward = distance_forward,
                                  .vjp = distance_vjp,
                                  .vjp_reads = SW_READS(0),
                                  .takes_16_bit = true};
static sw_tensor distance_loss(void *user, sw_tape *tape, const int64_t *ids, int64_t count) {
    sw_params *p = user;
    (void)ids, (void)count;
    sw_tensor sum = {0};
    for (int i = 0; i < 2; i++) {
        sw_tensor term = sw_apply(&distance_op, NULL, 0, 1, (sw_tensor[]){sw_param_use(tape, sw_params_at(p, i))});
        sum = i ? sw_add(sum, term) : term;
    }
    return sum;
}

/* The gradient that the last step used: lr 1 and sgd. */
static void minimize_distance(sw_dtype storage, const char *estimator, int64_t n, double bytes, size_t work) {
    sw_params *p = wide_params(storage);
    const sw_objective f = {.size = sizeof f, .n = n, .params = p, .user = p, .loss = distance_loss};
    sw_optim *optim = NEW_OPTIM(p, .loss_scale = "none", .rule = "sgd lr=1", .estimator = estimator);
    for (int step = 0; step < 2; step++) {
        float *expected = calloc(WIDE_DIM, sizeof *expected);
        for (int64_t i = 0; i < WIDE_DIM; i++) {
            const int64_t j = i < WIDE_ROWS * WIDE_COLUMNS ? i : i - WIDE_ROWS * WIDE_COLUMNS;
            uint32_t leaf = 0, g = 0;
            sw_store_element(storage, &leaf, 0, vec_get(SW_F32, sw_params_x(p), i));
            sw_store_element(storage, &g, 0, sw_load_element(storage, &leaf, 0) - (double)target_of(j));
            expected[i] = (float)vec_get(SW_F32, sw_params_x(p), i) - (float)sw_load_element(storage, &g, 0);
        }
        assert_ok(sw_optim_minimize(optim, &f, NULL));
        assert_memory_equal(expected, sw_params_x(p), WIDE_DIM * sizeof(float));
        check_copy(p);
        free(expected);
    }
    if (sw_memory_per_parameter(WIDE_DIM) != bytes)
        fail_msg("%s: %g bytes per parameter, %g expected", estimator, sw_memory_per_parameter(WIDE_DIM), bytes);
    assert_int_equal(sw_optim_bytes(optim).work, work);
    sw_optim_free(optim);
    sw_params_free(p);
}

/* minibatch and full write the gradient block itself, also on a second optimizer tape; several chunks have their sum in
 * f32. Shards and a line search need the gradient in f32. */
static void test_estimators_write_the_stored_block(void **state) {
    (void)state;
    const double f32 = sizeof(float);
    for (int k = 0; k < 2; k++) {
        minimize_distance(halves[k], "minibatch batch=2", 8, 4 + 2 + 2, 0);
        minimize_distance(halves[k], "full", 8, 4 + 2 + 2, 0);
        minimize_distance(halves[k], "full", 2001, 4 + 2 + 2 + f32, 0); /* three chunks of at most 1000 */
        minimize_distance(halves[k], "minibatch batch=2 shards=2", 8, 4 + 2 + 2 + 2 * f32,
                          2 * WIDE_DIM * sizeof(float));
    }
    minimize_distance(SW_F32, "minibatch batch=2", 8, 4 + 4, 0);
}

/* ---- Hooks ---- */

/* The kernel of a hook receives the gradient in f32 for the elements of a stretch, or of a tensor; the function itself
 * receives no stored gradient. */
static float hook_gradient[WIDE_DIM];
static const float *hook_x;
static void hook_kernel(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    (void)sums;
    const int64_t at = (const float *)s->x - hook_x; /* blocks begin inside the vector */
    for (int64_t i = begin; i < end; i++)
        hook_gradient[at + i] += ((const float *)s->g)[i];
}
static const sw_kernels hook_kernels = {{hook_kernel, hook_kernel, hook_kernel},
                                        {hook_kernel, hook_kernel, hook_kernel}};
static sw_status hook_accepted(sw_step *s) {
    assert_int_equal(s->type, SW_F32);
    assert_null(s->g);
    return sw_step_run(s, &hook_kernels);
}

static void test_kernels_of_hooks_get_the_gradient_in_f32(void **state) {
    (void)state;
    static sw_rule rules[2];
    rules[0] = *sw_rule_find("lion");
    rules[1] = *sw_rule_find("fromage");
    rules[0].name = "hooked_lion";
    rules[1].name = "hooked_fromage";
    for (int r = 0; r < 2; r++) {
        rules[r].accepted = hook_accepted;
        assert_ok(sw_rule_register(&rules[r]));
        for (int k = 0; k < 2; k++) {
            sw_params *p = wide_params(halves[k]);
            sw_optim *optim = NEW_OPTIM(p, .loss_scale = "none", .rule = rules[r].name);
            hook_x = sw_params_x(p);
            for (int step = 1; step <= 2; step++) {
                write_gradient(p, halves[k], step);
                memset(hook_gradient, 0, sizeof hook_gradient);
                assert_ok(sw_optim_step(optim));
                for (int64_t i = 0; i < WIDE_DIM; i++)
                    assert_true((double)hook_gradient[i] ==
                                sw_load_element(halves[k], sw_gradient_data(sw_params_gradient(p)), i));
            }
            sw_optim_free(optim);
            sw_params_free(p);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rules_read_stored_gradients),
                                       cmocka_unit_test(test_threads_give_equal_bits),
                                       cmocka_unit_test(test_levels_give_equal_bits),
                                       cmocka_unit_test(test_clip_and_frozen_parameters),
                                       cmocka_unit_test(test_infinite_stored_gradient_is_skipped),
                                       cmocka_unit_test(test_steps_that_would_overflow_are_refused),
                                       cmocka_unit_test(test_steps_beyond_f16_are_refused),
                                       cmocka_unit_test(test_bytes_of_a_parameter),
                                       cmocka_unit_test(test_allocation_of_a_gradient_in_f32_fails),
                                       cmocka_unit_test(test_estimators_write_the_stored_block),
                                       cmocka_unit_test(test_kernels_of_hooks_get_the_gradient_in_f32)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
