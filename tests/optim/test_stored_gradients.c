/* Gradients in f16 and bf16, of parameters in f32. Every rule of unit ELEMENT is compiled here, outside the library,
 * for every storage type, and must update x as if the same numbers were in f32, bit for bit: it converts the gradient
 * to f32, and x and its slots are f32. Rules that were not compiled for 16 bits (those of the library) and estimators
 * receive the gradient in f32, with the same result. The parameters are made by the internal constructor, because the
 * library's operations do not accept these types yet. */
#define SW_KERNEL_16_BIT
#define main main_of_copies
#include "test_custom_copies.c"

#if !SW_KERNEL_PASS

#undef main
#include "core/params/gradient.h"
#include "core/params/vector.h"
#include "optim/optimizer.h"

/* More than SW_SERIAL elements, so that threads share tiles; not a multiple of the sizes of blocks or lanes. */
enum { WIDE_ROWS = 131, WIDE_COLUMNS = 137, WIDE_DIM = WIDE_ROWS * WIDE_COLUMNS + 13 };
_Static_assert(WIDE_DIM > (int)SW_SERIAL, "several tiles");
static const sw_dtype halves[2] = {SW_F16, SW_BF16};

static sw_params *wide_params(sw_dtype storage) {
    sw_params *p =
        swi_params_new(&(sw_params_options){.size = sizeof(sw_params_options), .seed = 1, .storage = storage});
    assert_non_null(sw_params_add(p, "a", 2, (const int64_t[]){WIDE_ROWS, WIDE_COLUMNS}, NULL));
    assert_non_null(sw_params_add(p, "b", 1, (const int64_t[]){13}, NULL));
    assert_ok(sw_params_build(p));
    uint64_t seed = 3;
    for (int64_t i = 0; i < WIDE_DIM; i++)
        vec_set(SW_F32, sw_params_x(p), i, test_uniform(&seed, -1, 1));
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

/* Steps of a hand-written loop. A rule that accepts 16 bits needs no copy of the gradient. x is 2·WIDE_DIM numbers: x
 * and the point at which the optimizer evaluates. */
static void step_by_hand(sw_dtype type, sw_dtype storage, const char *rule, bool converted, float *x) {
    sw_params *p = wide_params(storage);
    sw_optim *optim = NEW_OPTIM(p, .rule = rule);
    for (int step = 1; step <= 4; step++) {
        write_gradient(p, type, step);
        assert_ok(sw_optim_step(optim));
        assert_true(sw_gradient_is_fresh(sw_params_gradient(p)));
    }
    assert_int_equal(optim->g_type, converted ? SW_F32 : storage);
    assert_int_equal(optim->wide_gradient != NULL, converted && storage != SW_F32);
    memcpy(x, sw_params_x(p), WIDE_DIM * sizeof *x);
    memcpy(x + WIDE_DIM, sw_optim_point(optim), WIDE_DIM * sizeof *x);
    sw_optim_free(optim);
    sw_params_free(p);
}

static void compare_stored(const sw_rule *copy, const char *original, const char *options) {
    char of_library[120], of_copy[120];
    float *x = calloc(6 * WIDE_DIM, sizeof *x);
    assert_non_null(x);
    snprintf(of_library, sizeof of_library, "%s %s", original, options);
    snprintf(of_copy, sizeof of_copy, "%s %s", copy->name, options);
    for (int k = 0; k < 2; k++) {
        const sw_dtype type = halves[k];
        const bool reads = copy->unit == SW_UNIT_ELEMENT;
        step_by_hand(type, SW_F32, of_library, true, x);
        step_by_hand(type, type, of_library, true, x + 2 * WIDE_DIM);
        step_by_hand(type, type, of_copy, !reads, x + 4 * WIDE_DIM);
        assert_memory_equal(x, x + 2 * WIDE_DIM, 2 * WIDE_DIM * sizeof *x);
        assert_memory_equal(x, x + 4 * WIDE_DIM, 2 * WIDE_DIM * sizeof *x);
        sw_params *p = wide_params(type);
        assert_memory_not_equal(x, sw_params_x(p), WIDE_DIM * sizeof *x);
        sw_params_free(p);
    }
    free(x);
}

static void test_rules_read_stored_gradients(void **state) {
    (void)state;
    static const sw_rule *const original[] = {SWO_BUILTIN_RULES(ADDRESS)};
    enum { RULES = sizeof original / sizeof *original };
    static sw_rule copy[RULES];
    int elements = 0;
    for (int i = 0; i < RULES; i++) {
        copy[i] = *original[i];
        copy[i].name = copy_name(original[i]->name);
        assert_ok(sw_rule_register(&copy[i]));
        elements += copy[i].unit == SW_UNIT_ELEMENT;
        compare_stored(&copy[i], original[i]->name, "");
        for (size_t k = 0; k < sizeof variants / sizeof *variants; k++)
            if (strcmp(variants[k].rule, original[i]->name) == 0)
                compare_stored(&copy[i], original[i]->name, variants[k].options);
    }
    assert_true(elements >= 15);
}

/* ‖g‖ is the norm of the stored numbers. A clipped gradient is rounded to its type, so that its norm is the clip up to
 * half a unit of 8 or 11 bits, 2^-8 or 2^-11. Frozen parameters have no gradient. */
static void test_clip_and_frozen_parameters(void **state) {
    (void)state;
    static sw_rule copy;
    copy = copy_lion;
    copy.name = "clipped_lion";
    assert_ok(sw_rule_register(&copy));
    for (int k = 0; k < 2; k++)
        for (int direct = 0; direct < 2; direct++) {
            sw_params *p = wide_params(halves[k]);
            sw_optim *optim = NEW_OPTIM(p, .rule = direct ? "clipped_lion" : "lion", .clip = 0.5);
            sw_gradient *g = sw_params_gradient(p);
            sw_param *frozen = sw_params_find(p, "b");
            double before = 0, norm;
            sw_param_freeze(frozen, true);
            write_gradient(p, halves[k], 1);
            for (int64_t i = 0; i < frozen->offset; i++) {
                const double v = sw_load_element(halves[k], sw_gradient_data(g), i);
                before += v * v;
            }
            assert_ok(sw_optim_step(optim));
            /* Sums in f32 lanes and f64: 2^-24 for each of at most SW_TILE/64 additions */
            assert_true(fabs(sw_optim_gradient_norm(optim) - sqrt(before)) <= sqrt(before) * 64 * 0x1p-24);
            if (direct) {
                assert_int_equal(sw_vector_norm(halves[k], WIDE_DIM, sw_gradient_data(g), &norm), SW_OK);
                assert_true(fabs(norm - 0.5) <= 0.5 * (halves[k] == SW_F16 ? 0x1p-11 : 0x1p-8) + 64 * 0x1p-24);
                for (int64_t i = frozen->offset; i < WIDE_DIM; i++)
                    assert_true(sw_load_element(halves[k], sw_gradient_data(g), i) == 0);
            }
            sw_optim_free(optim);
            sw_params_free(p);
        }
}

/* Inf in a block of 16 bits, which has a smaller range: the step is skipped, and x does not change. */
static void test_infinite_stored_gradient_is_skipped(void **state) {
    (void)state;
    for (int k = 0; k < 2; k++) {
        sw_params *p = wide_params(halves[k]);
        sw_optim *optim = NEW_OPTIM(p, .rule = "adam");
        float *x = calloc(WIDE_DIM, sizeof *x);
        memcpy(x, sw_params_x(p), WIDE_DIM * sizeof *x);
        write_gradient(p, halves[k], 1);
        sw_store_element(halves[k], sw_gradient_data(sw_params_gradient(p)), 17000, 1e39);
        assert_int_equal(sw_optim_step(optim), SW_SKIPPED);
        assert_memory_equal(x, sw_params_x(p), WIDE_DIM * sizeof *x);
        assert_int_equal(sw_optim_steps_skipped(optim), 1);
        free(x);
        sw_optim_free(optim);
        sw_params_free(p);
    }
}

/* Estimators compute in the type of x, whatever the storage type, so that the bits are the same as without one. */
static void run_stored(sw_dtype storage, const sw_optim_options *how, double *x) {
    sw_params *p = swi_params_new(&(sw_params_options){.size = sizeof(sw_params_options), .storage = storage});
    assert_non_null(sw_params_add(p, "a", 1, (const int64_t[]){SMALL_DIM}, NULL));
    assert_ok(sw_params_build(p));
    const sw_objective f = {.size = sizeof f, .n = 4, .params = p, .user = p, .gradient = quadratic};
    sw_optim *optim = new_optim(p, how);
    assert_ok(sw_optim_set_total_steps(optim, STEPS));
    for (int i = 0; i < STEPS; i++)
        assert_ok(sw_optim_minimize(optim, &f, NULL));
    for (int64_t i = 0; i < SMALL_DIM; i++)
        x[i] = vec_get(SW_F32, sw_params_x(p), i);
    sw_optim_free(optim);
    sw_params_free(p);
}

static void test_estimators_compute_in_the_type_of_x(void **state) {
    (void)state;
    static const char *const estimators[] = {"full",         "minibatch batch=2", "svrg batch=2",
                                             "saga batch=2", "sag batch=2",       "sam rho=0.05 of=minibatch batch=2"};
    static const char *const rules[] = {"sgd lr=0.05", "adam lr=0.05 weight_decay=0.01"};
    for (size_t e = 0; e < sizeof estimators / sizeof *estimators; e++)
        for (int r = 0; r < 2; r++) {
            const sw_optim_options how = {
                .size = sizeof how, .estimator = estimators[e], .rule = rules[r], .clip = r ? 0.7 : 0};
            double x[3][SMALL_DIM];
            run_stored(SW_F32, &how, x[0]);
            run_stored(SW_F16, &how, x[1]);
            run_stored(SW_BF16, &how, x[2]);
            assert_memory_equal(x[0], x[1], sizeof x[0]);
            assert_memory_equal(x[0], x[2], sizeof x[0]);
            assert_true(x[0][0] != 0);
        }
    const sw_optim_options search = {.size = sizeof search, .estimator = "full", .rule = "sgd", .schedule = "armijo"};
    double x[2][SMALL_DIM];
    run_stored(SW_F32, &search, x[0]);
    run_stored(SW_BF16, &search, x[1]);
    assert_memory_equal(x[0], x[1], sizeof x[0]);
}

/* A copy of the gradient that cannot be allocated is an error; the next step works. */
static void test_allocation_of_the_copy_fails(void **state) {
    (void)state;
    test_allocator allocator;
    test_allocator_install(&allocator);
    sw_params *p = wide_params(SW_BF16);
    sw_optim *optim = NEW_OPTIM(p, .rule = "sgd");
    write_gradient(p, SW_BF16, 1);
    test_allocator_fail(&allocator, 1, false);
    assert_int_equal(sw_optim_step(optim), SW_ERR_MEMORY);
    test_allocator_fail(&allocator, 0, false);
    sw_clear_error();
    assert_int_equal(sw_optim_steps_taken(optim), 0);
    assert_ok(sw_optim_step(optim));
    assert_int_equal(sw_optim_steps_taken(optim), 1);
    assert_true(sw_optim_bytes(optim).work >= WIDE_DIM * sizeof(float));
    sw_optim_free(optim);
    sw_params_free(p);
    assert_true(atomic_load(&allocator.live) == 0);
    sw_set_allocator(NULL);
}

/* A rule of unit VECTOR receives the gradient in the type of x, whatever its flags are, because its slots and sums have
 * that type. */
static sw_status stored_vector(sw_step *s) {
    assert_int_equal(s->g_type, s->type);
    sw_step_scale(s, -1, s->g, s->out);
    return SW_OK;
}
static const sw_option stored_options[] = {{.name = "lr", .value = 1, .low = 0, .high = 10}, {0}};
static const sw_rule stored_descent = {.size = sizeof(sw_rule),
                                       .name = "stored_descent",
                                       .options = stored_options,
                                       .unit = SW_UNIT_VECTOR,
                                       .flags = SW_RULE_LINEAR | SW_RULE_16_BIT,
                                       .vector = stored_vector};

static void test_vector_rules_get_the_gradient_in_the_type_of_x(void **state) {
    (void)state;
    float *x = calloc(4 * WIDE_DIM, sizeof *x);
    assert_non_null(x);
    assert_ok(sw_rule_register(&stored_descent));
    for (int k = 0; k < 2; k++) {
        step_by_hand(halves[k], SW_F32, "sgd lr=0.1", true, x);
        step_by_hand(halves[k], halves[k], "stored_descent lr=0.1", true, x + 2 * WIDE_DIM);
        assert_memory_equal(x, x + 2 * WIDE_DIM, 2 * WIDE_DIM * sizeof *x);
    }
    free(x);
}

/* The hook of a rule that accepts 16 bits runs a kernel that does not. The kernel receives g in the type of x, and the
 * hook receives it in its storage type. */
static float hook_gradient[WIDE_DIM];
static void hook_kernel(void *args, int64_t begin, int64_t end, double *sums) {
    const sw_step *s = args;
    (void)sums;
    assert_int_equal(s->count, WIDE_DIM); /* one stretch */
    for (int64_t i = begin; i < end; i++)
        hook_gradient[i] = s->g_type == SW_F32 ? ((const float *)s->g)[i] : NAN;
}
static const sw_kernels hook_kernels = {{hook_kernel, hook_kernel, hook_kernel},
                                        {hook_kernel, hook_kernel, hook_kernel}};
static sw_dtype hook_type;
static sw_status hook_accepted(sw_step *s) {
    SW_TRY(sw_step_run(s, &hook_kernels));
    hook_type = s->g_type;
    return SW_OK;
}

static void test_kernels_of_hooks_get_a_gradient_that_they_read(void **state) {
    (void)state;
    static sw_rule copy;
    copy = copy_lion;
    copy.name = "hooked_lion";
    copy.accepted = hook_accepted;
    assert_ok(sw_rule_register(&copy));
    for (int k = 0; k < 2; k++) {
        sw_params *p = wide_params(halves[k]);
        sw_optim *optim = NEW_OPTIM(p, .rule = "hooked_lion");
        for (int step = 1; step <= 2; step++) {
            write_gradient(p, halves[k], step);
            memset(hook_gradient, 0, sizeof hook_gradient);
            assert_ok(sw_optim_step(optim));
            assert_int_equal(hook_type, halves[k]);
            for (int64_t i = 0; i < WIDE_DIM; i++)
                assert_true((double)hook_gradient[i] ==
                            sw_load_element(halves[k], sw_gradient_data(sw_params_gradient(p)), i));
        }
        sw_optim_free(optim);
        sw_params_free(p);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_kernels_of_hooks_get_a_gradient_that_they_read),
                                       cmocka_unit_test(test_rules_read_stored_gradients),
                                       cmocka_unit_test(test_clip_and_frozen_parameters),
                                       cmocka_unit_test(test_infinite_stored_gradient_is_skipped),
                                       cmocka_unit_test(test_estimators_compute_in_the_type_of_x),
                                       cmocka_unit_test(test_vector_rules_get_the_gradient_in_the_type_of_x),
                                       cmocka_unit_test(test_allocation_of_the_copy_fails)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
