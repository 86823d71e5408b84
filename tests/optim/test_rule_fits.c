/* A rule refuses parameters that it cannot update, when the optimizer is made: the exact message; the spec that the
 * message proposes is accepted. */
#include "helpers.h"

enum { MATRICES_LR, MATRICES_MOST };
static const sw_option matrices_options[] = {
    {.name = "lr", .value = 1, .low = 0, .high = 10, .help = "a rate"},
    {.name = "most", .kind = SW_OPTION_INTEGER, .value = 100, .low = 1, .high = 1000, .help = "rows at most"},
    {0}};
static int matrices_asked; /* calls of fits */
static sw_dtype matrices_type;

static bool matrices_fits(const sw_param *p, const double *option, sw_dtype type, char *reason, size_t bytes) {
    matrices_asked++;
    matrices_type = type;
    if (p->rank != 2)
        sw_format(reason, bytes, "it has %d axes, and 2 are needed", p->rank);
    else if (p->shape[0] > (int64_t)option[MATRICES_MOST])
        sw_format(reason, bytes, "it has %lld rows, and at most %g are possible", (long long)p->shape[0],
                  option[MATRICES_MOST]);
    else
        return true;
    return false;
}

/* Functions that would read a missing axis if they were called for a refused parameter. */
static int64_t matrices_count(const sw_slot_sizes *sizes) {
    assert_int_equal(sizes->param->rank, 2);
    return sizes->param->shape[0] * sizes->param->shape[1];
}

static sw_status matrices_tensor(sw_step *s) {
    assert_int_equal(s->param->rank, 2);
    return SW_OK;
}

static const sw_slot matrices_slots[] = {{.name = "state", .count = matrices_count}, {0}};
static const sw_rule matrices = {.size = sizeof(sw_rule),
                                 .name = "matrices",
                                 .options = matrices_options,
                                 .slots = matrices_slots,
                                 .unit = SW_UNIT_TENSOR,
                                 .tensor = matrices_tensor,
                                 .fits = matrices_fits};

static bool silent_fits(const sw_param *p, const double *option, sw_dtype type, char *reason, size_t bytes) {
    (void)option, (void)type, (void)reason, (void)bytes;
    return p->rank > 0;
}
static const sw_rule silent = {
    .size = sizeof(sw_rule), .name = "silent", .options = matrices_options, .update = &no_kernels, .fits = silent_fits};

/* A rule that was compiled before the hooks existed: members beyond its size are not read. */
static const sw_rule older = {.size = offsetof(sw_rule, fits),
                              .name = "older",
                              .options = matrices_options,
                              .update = &no_kernels,
                              .fits = silent_fits};

static int register_all(void **state) {
    (void)state;
    return sw_rule_register(&matrices) || sw_rule_register(&silent) || sw_rule_register(&older);
}

/* Asserts that the spec is refused with this message, and that the spec in the message, if any, is accepted. */
static void refused(sw_params *p, const char *rule, const char *message) {
    char spec[512] = "";
    options_refused(p, (sw_optim_options){.rule = rule}, message);
    const char *begin = strchr(message, '"');
    if (!begin)
        return;
    sw_format(spec, sizeof spec, "%.*s", (int)strcspn(begin + 1, "\""), begin + 1);
    sw_optim *o = sw_optim_new(p, spec);
    if (!o)
        fail_msg("the message proposes %s: %s", spec, sw_error());
    sw_optim_free(o);
}

static void test_refused_parameter_is_named(void **state) {
    (void)state;
    for (int t = 0; t < 2; t++) {
        sw_params *p = small_params(both_types[t]);
        refused(
            p, "matrices",
            "rule matrices does not fit 2 of its 3 parameters: b [5]: it has 1 axes, and 2 are needed; c []: it has 0 "
            "axes, and 2 are needed; give them to another rule: \"rank=2: matrices; adamw\"");
        assert_int_equal(matrices_type, both_types[t]);
        refused(p, "name=c: sgd; matrices lr=0.5",
                "rule matrices does not fit parameter b [5]: it has 1 axes, and 2 are needed; give it to another rule: "
                "\"rank=2: matrices; adamw\"");
        refused(
            p, "name=?: matrices; sgd",
            "rule matrices does not fit 2 of its 3 parameters: b [5]: it has 1 axes, and 2 are needed; c []: it has 0 "
            "axes, and 2 are needed; give them to another rule: \"name=? rank=2: matrices; adamw\"");
        refused(p, "role=bias: matrices; sgd",
                "rule matrices does not fit parameter b [5]: it has 1 axes, and 2 are needed; choose another rule");
        /* `fits` receives the options of the spec. */
        refused(
            p, "rank=2: matrices most=2; sgd",
            "rule matrices does not fit parameter a [3,4]: it has 3 rows, and at most 2 are possible; choose another "
            "rule");
        refused(p, "silent",
                "rule silent does not fit parameter c []: the rule gives no reason; give it to another rule: \"name=c: "
                "adamw; silent\"");
        sw_params_free(p);
    }
}

/* Parameters of one rank, of which only some fit: by name. */
static void test_refused_parameter_is_proposed_by_name(void **state) {
    (void)state;
    sw_params *p = sw_params_new(SW_F32, 1);
    const sw_param_options weight = {.size = sizeof weight, .role = SW_ROLE_WEIGHT};
    assert_non_null(sw_params_add(p, "small", SW_SHAPE(2, 3), &weight));
    assert_non_null(sw_params_add(p, "large", SW_SHAPE(200, 3), &weight));
    assert_ok(sw_params_build(p));
    refused(
        p, "matrices",
        "rule matrices does not fit parameter large [200,3]: it has 200 rows, and at most 100 are possible; give it to "
        "another rule: \"name=large: adamw; matrices\"");
    refused(
        p, "role=weight: matrices",
        "rule matrices does not fit parameter large [200,3]: it has 200 rows, and at most 100 are possible; give it to "
        "another rule: \"name=large: adamw; role=weight: matrices\"");
    sw_params_free(p);
}

/* The proposal covers all refused parameters: by rank if no accepted parameter has these ranks, otherwise by name. */
static void test_remedy_is_for_all_refused_parameters(void **state) {
    (void)state;
    sw_params *p = sw_params_new(SW_F32, 1);
    assert_non_null(sw_params_add(p, "small", 2, (const int64_t[]){2, 3}, NULL));
    assert_non_null(sw_params_add(p, "large", 2, (const int64_t[]){200, 3}, NULL));
    assert_non_null(sw_params_add(p, "larger", 2, (const int64_t[]){300, 3}, NULL));
    assert_ok(sw_params_build(p));
    refused(p, "matrices",
            "rule matrices does not fit 2 of its 3 parameters: large [200,3]: it has 200 rows, and at most 100 are "
            "possible; larger [300,3]: it has 300 rows, and at most 100 are possible; give them to another rule: "
            "\"name=large: adamw; name=larger: adamw; matrices\"");
    sw_params_free(p);
    p = sw_params_new(SW_F32, 1);
    assert_non_null(sw_params_add(p, "scale", 0, NULL, NULL));
    assert_non_null(sw_params_add(p, "offset", 0, NULL, NULL));
    assert_non_null(sw_params_add(p, "bias", 1, (const int64_t[]){3}, NULL));
    assert_non_null(sw_params_add(p, "weight", 2, (const int64_t[]){2, 3}, NULL));
    assert_ok(sw_params_build(p));
    refused(p, "silent",
            "rule silent does not fit 2 of its 4 parameters: scale []: the rule gives no reason; offset []: the rule "
            "gives no reason; give them to another rule: \"rank=0: adamw; silent\"");
    sw_params_free(p);
    p = sw_params_new(SW_F32, 1); /* the message has room for some */
    for (int i = 0; i < 60; i++) {
        char name[32];
        snprintf(name, sizeof name, "block%d.weight", i);
        assert_non_null(sw_params_add(p, name, 2, (const int64_t[]){i ? 200 : 20, 1}, NULL));
    }
    assert_ok(sw_params_build(p));
    assert_null(sw_optim_new(p, "rank=2: matrices; sgd"));
    const char *proposed = sw_error() ? strchr(sw_error(), '"') : NULL;
    assert_non_null(proposed);
    assert_memory_equal(proposed, "\"name=block1.weight: adamw; name=block2.weight: adamw; ", 54);
    assert_non_null(strstr(proposed, ".weight: adamw; …; rank=2: matrices\""));
    sw_clear_error();
    sw_params_free(p);
}

/* `fits` is also called for frozen parameters, which may be trained later, and once for tied names, with the first
 * name. */
static void test_every_parameter_is_asked_once(void **state) {
    (void)state;
    sw_params *p = sw_params_new(SW_F64, 1);
    const int64_t shape[2] = {2, 3};
    sw_param *w = sw_params_add(p, "w", 2, shape, NULL), *v = sw_params_add(p, "v", 1, shape, NULL);
    assert_non_null(sw_params_tie(p, "w2", w));
    assert_ok(sw_params_build(p));
    sw_param_freeze(v, true);
    refused(p, "matrices",
            "rule matrices does not fit parameter v [2]: it has 1 axes, and 2 are needed; give it to another rule: "
            "\"rank=2: matrices; adamw\"");
    matrices_asked = 0;
    sw_optim *o = sw_optim_new(p, "rank=2: matrices; sgd");
    assert_non_null(o);
    assert_int_equal(matrices_asked, 1);
    sw_optim_free(o);
    o = sw_optim_new(p, "older");
    assert_non_null(o);
    sw_optim_free(o);
    sw_params_free(p);
}

/* The message has room for some, and counts the others. */
static void test_many_refused_parameters_are_counted(void **state) {
    (void)state;
    sw_params *p = sw_params_new(SW_F32, 1);
    for (int i = 0; i < 200; i++) {
        char name[32];
        snprintf(name, sizeof name, "layer%d.bias", i);
        assert_non_null(sw_params_add(p, name, i < 199, (const int64_t[]){i + 1}, NULL));
    }
    assert_ok(sw_params_build(p));
    assert_null(sw_optim_new(p, "name=layer?.bias: matrices; sgd")); /* one reason for all of them */
    expect_error(SW_ERR_ARGUMENT, "rule matrices fits none of its 10 parameters: it has 1 axes, and 2 are needed; "
                                  "otherwise, choose another rule");
    assert_null(sw_optim_new(p, "matrices"));
    const char *begin =
                   "rule matrices does not fit 200 of its 200 parameters: layer0.bias [1]: it has 1 axes, and 2 are "
                   "needed; layer1.bias [2]: ",
               *error = sw_error(), *and = error ? strstr(error, "; … and ") : NULL;
    assert_non_null(and);
    assert_memory_equal(error, begin, strlen(begin));
    int more = 0, listed = 0;
    assert_int_equal(sscanf(and, "; … and %d more", &more), 1);
    for (const char *at = error; (at = strstr(at, ".bias [")) != NULL; at++)
        listed++;
    assert_int_equal(listed + more, 200);
    assert_non_null(strstr(and, " more; choose another rule"));
    sw_clear_error();
    sw_params_free(p);
}

int main(void) {
#define TEST(name) cmocka_unit_test_teardown(name, test_clear)
    const struct CMUnitTest tests[] = {
        TEST(test_refused_parameter_is_named),           TEST(test_refused_parameter_is_proposed_by_name),
        TEST(test_remedy_is_for_all_refused_parameters), TEST(test_every_parameter_is_asked_once),
        TEST(test_many_refused_parameters_are_counted),
    };
    return cmocka_run_group_tests_name("rule_fits", tests, register_all, NULL);
}
