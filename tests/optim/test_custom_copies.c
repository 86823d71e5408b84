/* Every built-in rule, schedule, line search and average can be written by a program: the same files are compiled here
 * outside the library, as a user would copy them, and registered under other names. Copies and originals must give the
 * same bits. .lint/rooms.sh checks that the files include only public headers, and so does test_install.sh, which
 * compiles them with only the installed headers. */
#include <swale/kernel.h>

/* The constants, and what the files of Adam's kin share. */
#define swo_sgd copy_sgd
#define swo_asgd copy_asgd
#define swo_rprop copy_rprop
#define swo_adagrad copy_adagrad
#define swo_rmsprop copy_rmsprop
#define swo_adadelta copy_adadelta
#define swo_adam copy_adam
#define swo_amsgrad copy_amsgrad
#define swo_adamw copy_adamw
#define swo_nadam copy_nadam
#define swo_nadamw copy_nadamw
#define swo_nadamp copy_nadamp
#define swo_generalized_adam copy_generalized_adam
#define swo_radam copy_radam
#define swo_adamax copy_adamax
#define swo_adafactor copy_adafactor
#define swo_lion copy_lion
#define swo_fromage copy_fromage
#define swo_nag_gs copy_nag_gs
#define swo_amos copy_amos
#define swo_muon copy_muon
#define swo_fista copy_fista
#define swo_shampoo copy_shampoo
#define swo_distributed_shampoo copy_distributed_shampoo
#define swo_caspr copy_caspr
#define swo_soap copy_soap
#define swo_schedule_free_sgd copy_schedule_free_sgd
#define swo_schedule_free_adamw copy_schedule_free_adamw
#define swo_prodigy copy_prodigy
#define swo_schedule_free_prodigy copy_schedule_free_prodigy
#define swo_adam_kernels copy_adam_kernels
#define swo_adam_slot_table copy_adam_slot_table
#define swo_adam_in_f64 copy_adam_in_f64
#define swo_adam_needs_v copy_adam_needs_v
#define swo_adam_needs_v_f64 copy_adam_needs_v_f64
#define swo_adam_begin copy_adam_begin
#define swo_nadamw_begin copy_nadamw_begin
#define swo_adam_root copy_adam_root
#define swo_adam_check copy_adam_check
#define swo_adam_reach copy_adam_reach
#define swo_adam_reach_with copy_adam_reach_with
#define swo_modes_of_matrix copy_modes_of_matrix
#define swo_modes_of_file_order copy_modes_of_file_order
#define swo_block_count copy_block_count
#define swo_block_at copy_block_at
#define swo_block_factor_count copy_block_factor_count
#define swo_factor_count copy_factor_count
#define swo_block_table copy_block_table
#define swo_block_gather copy_block_gather
#define swo_block_scatter copy_block_scatter
#define swo_mode_factor_count copy_mode_factor_count
#define swo_factor_update copy_factor_update
#define swo_mode_product copy_mode_product
#define swo_precondition copy_precondition
#define swo_roots_work copy_roots_work
#define swo_roots_refresh copy_roots_refresh
#define swo_roots_exist copy_roots_exist
#define swo_roots_set_identity copy_roots_set_identity
#define swo_failures_sum copy_failures_sum
#define swo_norm copy_norm
#define swo_normalized_bound copy_normalized_bound
#define swo_refresh_is_due copy_refresh_is_due
#define swo_block_cost copy_block_cost
#define swo_blocks_are_large copy_blocks_are_large
#define swo_lbfgs copy_lbfgs
#define swo_schedule_free_rate copy_schedule_free_rate
#define swo_schedule_free_weigh copy_schedule_free_weigh
#define swo_schedule_free_reach copy_schedule_free_reach
#define swo_schedule_free_point copy_schedule_free_point
#define swo_schedule_free_adopted copy_schedule_free_adopted
#define swo_prodigy_begin copy_prodigy_begin
#define swo_prodigy_decide copy_prodigy_decide
#define swo_constant copy_constant
#define swo_step copy_step
#define swo_exponential copy_exponential
#define swo_linear copy_linear
#define swo_polynomial copy_polynomial
#define swo_inverse_sqrt copy_inverse_sqrt
#define swo_inverse_time copy_inverse_time
#define swo_cosine copy_cosine
#define swo_restarts copy_restarts
#define swo_cosine_cycles copy_cosine_cycles
#define swo_cyclic copy_cyclic
#define swo_one_cycle copy_one_cycle
#define swo_armijo copy_armijo
#define swo_wolfe copy_wolfe
#define swo_none copy_none
#define swo_ema copy_ema
#define swo_polyak copy_polyak
#define swo_swa copy_swa
#define swo_lawa_queue copy_lawa_queue
#define swo_lawa_ema copy_lawa_ema

#include "optim/rules/adadelta.c"
#include "optim/rules/adagrad.c"
#include "optim/rules/adam.c"
#include "optim/rules/adafactor.c"
#include "optim/rules/adamax.c"
#include "optim/rules/asgd.c"
#include "optim/rules/rprop.c"
#include "optim/rules/amos.c"
#include "optim/rules/amsgrad.c"
#include "optim/rules/caspr.c"
#include "optim/rules/distributed_shampoo.c"
#include "optim/rules/fista.c"
#include "optim/rules/fromage.c"
#include "optim/rules/lbfgs.c"
#include "optim/rules/lion.c"
#include "optim/rules/muon.c"
#include "optim/rules/nadamp.c"
#include "optim/rules/nag_gs.c"
#include "optim/rules/prodigy.c"
#include "optim/rules/rmsprop.c"
#include "optim/rules/schedule_free_adamw.c"
#include "optim/rules/schedule_free_prodigy.c"
#include "optim/rules/schedule_free_sgd.c"
#include "optim/rules/sgd.c"
#include "optim/rules/shampoo.c"
#include "optim/rules/soap.c"
#include "optim/averages/lawa_queue.c"
#include "optim/averages/running.c"

#if !SW_KERNEL_PASS
#include "optim/rules/adamw.c"
#include "optim/rules/generalized_adam.c"
#include "optim/rules/nadam.c"
#include "optim/rules/nadamw.c"
#include "optim/rules/preconditioner.c"
#include "optim/rules/radam.c"
#include "optim/rules/tensor_blocks.c"
#include "optim/schedules/constant.c"
#include "optim/schedules/cosine.c"
#include "optim/schedules/cyclic.c"
#include "optim/schedules/decay.c"
#include "optim/searches/armijo.c"
#include "optim/searches/wolfe.c"

#include "optim/builtin_methods.h"
#include "helpers.h"

enum { STEPS = 12 };

/* f(x) = ½ Σ c_i (x_i - 1)² with c_i = 1, 2, 3, 1, … */
static sw_status quadratic(void *user, const void *x, const int64_t *ids, int64_t count, uint64_t draw, double *value,
                           void *g) {
    const sw_params *p = user;
    (void)ids, (void)count, (void)draw;
    *value = 0;
    for (int64_t i = 0; i < SMALL_DIM; i++) {
        const double c = (double)(1 + i % 3), d = vec_get(sw_params_type(p), x, i) - 1;
        *value += c * d * d / 2;
        if (g)
            vec_set(sw_params_type(p), g, i, c * d);
    }
    return SW_OK;
}

/* x after some steps, and the point at which the optimizer evaluates. */
static void run(sw_dtype type, const sw_optim_options *how, double *x) {
    sw_params *p = small_params(type);
    const sw_objective f = {.size = sizeof f, .n = 4, .params = p, .user = p, .gradient = quadratic};
    sw_optim *optim = new_optim(p, how);
    assert_ok(sw_optim_set_total_steps(optim, STEPS));
    for (int i = 0; i < STEPS; i++)
        assert_ok(sw_optim_minimize(optim, &f, NULL));
    const void *point = sw_optim_point(optim);
    assert_non_null(point);
    for (int64_t i = 0; i < SMALL_DIM; i++) {
        x[i] = vec_get(type, sw_params_x(p), i);
        x[SMALL_DIM + i] = vec_get(type, point, i);
    }
    sw_optim_free(optim);
    sw_params_free(p);
}

/* Both specs give the same x and point, which have moved. */
static void compare(const sw_optim_options *original, const sw_optim_options *copy) {
    for (int t = 0; t < 2; t++) {
        double before[SMALL_DIM], x[2 * SMALL_DIM], y[2 * SMALL_DIM];
        sw_params *p = small_params(both_types[t]);
        for (int64_t i = 0; i < SMALL_DIM; i++)
            before[i] = vec_get(both_types[t], sw_params_x(p), i);
        sw_params_free(p);
        run(both_types[t], original, x);
        run(both_types[t], copy, y);
        assert_memory_equal(x, y, sizeof x);
        assert_memory_not_equal(x, before, sizeof before);
    }
}

#define OPTIONS(...) (&(const sw_optim_options){.size = sizeof(sw_optim_options), .estimator = "full", __VA_ARGS__})

/* Options that take each rule's longer path: momentum, ε in the root, second moments in f64, a penalty. */
static const struct {
    const char *rule, *options;
} variants[] = {{"sgd", "momentum=0.9 l1=0.01"},
                {"sgd", "momentum=0.9 nesterov"},
                {"adagrad", "eps=1e-30"},
                {"rmsprop", "momentum=0.5 centered"},
                {"rmsprop", "eps=1e-30 eps_in_root"},
                {"adadelta", "eps_in_root=0"},
                {"adam", "eps=1e-30"},
                {"amsgrad", "eps=1e-30 correction=before"},
                {"generalized_adam", "disable_preconditioning"},
                {"nadamp", "p=3"},
                {"amos", "momentum=0.5"},
                {"muon", "nesterov=false route=matrices"},
                {"fista", "l1=0.01 nonnegative"},
                {"shampoo", "momentum=0.5 weight_decay=0.1 period=3"},
                {"distributed_shampoo", "start=2 period=2 block=3 momentum=0.9"},
                {"caspr", "start=3 period=2 block=2"},
                {"soap", "period=2 weight_decay=0.1"},
                {"schedule_free_adamw", "eps=1e-30 decay_at=x weight_decay=0.1"},
                {"prodigy", "d0=0.1 eps=1e-30"},
                {"schedule_free_prodigy", "d0=0.1 eps=1e-30"}};

static char names[64][40];
static const char *copy_name(const char *name) {
    static int used;
    assert_true(used < 64);
    snprintf(names[used], sizeof names[used], "copy_%s", name);
    return names[used++];
}

static void test_rules(void **state) {
    (void)state;
#define ADDRESS(name) &swo_##name,
    static const sw_rule *const original[] = {SWO_BUILTIN_RULES(ADDRESS)};
    enum { RULES = sizeof original / sizeof *original };
    static sw_rule copy[RULES];
    for (int i = 0; i < RULES; i++) {
        char spec[100], copied[100];
        copy[i] = *original[i];
        copy[i].name = copy_name(original[i]->name);
        assert_ptr_not_equal(original[i], sw_rule_find(original[i]->name));
        assert_ok(sw_rule_register(&copy[i]));
        compare(OPTIONS(.rule = original[i]->name), OPTIONS(.rule = copy[i].name));
        for (size_t k = 0; k < sizeof variants / sizeof *variants; k++)
            if (strcmp(variants[k].rule, original[i]->name) == 0) {
                snprintf(spec, sizeof spec, "%s %s", original[i]->name, variants[k].options);
                snprintf(copied, sizeof copied, "%s %s", copy[i].name, variants[k].options);
                compare(OPTIONS(.rule = spec), OPTIONS(.rule = copied));
            }
    }
}

static void test_schedules(void **state) {
    (void)state;
    static const sw_schedule *const original[] = {SWO_BUILTIN_SCHEDULES(ADDRESS)};
    enum { SCHEDULES = sizeof original / sizeof *original };
    static sw_schedule copy[SCHEDULES];
    for (int i = 0; i < SCHEDULES; i++) {
        copy[i] = *original[i];
        copy[i].name = copy_name(original[i]->name);
        assert_ok(sw_schedule_register(&copy[i]));
        compare(OPTIONS(.rule = "sgd lr=0.01", .schedule = original[i]->name),
                OPTIONS(.rule = "sgd lr=0.01", .schedule = copy[i].name));
    }
}

static void test_line_searches(void **state) {
    (void)state;
    static const sw_line_search *const original[] = {SWO_BUILTIN_LINE_SEARCHES(ADDRESS)};
    enum { SEARCHES = sizeof original / sizeof *original };
    static sw_line_search copy[SEARCHES];
    for (int i = 0; i < SEARCHES; i++) {
        copy[i] = *original[i];
        copy[i].name = copy_name(original[i]->name);
        assert_ok(sw_line_search_register(&copy[i]));
        compare(OPTIONS(.rule = "sgd lr=0.01", .schedule = original[i]->name),
                OPTIONS(.rule = "sgd lr=0.01", .schedule = copy[i].name));
    }
}

static void test_averages(void **state) {
    (void)state;
    static const sw_average *const original[] = {SWO_BUILTIN_AVERAGES(ADDRESS)};
    enum { AVERAGES = sizeof original / sizeof *original };
    static sw_average copy[AVERAGES];
    for (int i = 0; i < AVERAGES; i++) {
        if (!original[i]->update) /* none: no state, no method */
            continue;
        copy[i] = *original[i];
        copy[i].name = copy_name(original[i]->name);
        assert_ok(sw_average_register(&copy[i]));
        compare(OPTIONS(.rule = "sgd lr=0.01", .average = original[i]->name),
                OPTIONS(.rule = "sgd lr=0.01", .average = copy[i].name));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rules), cmocka_unit_test(test_schedules),
                                       cmocka_unit_test(test_line_searches), cmocka_unit_test(test_averages)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
