/* Specs: the values that they set, the exact message for every mistake in them, and the list of methods. */
#include "helpers.h"

/* ---- Methods to name ---- */

static bool never(const double *option) {
    (void)option;
    return false;
}

static const sw_option every_kind[] = {
    {.name = "lr", .value = 1, .low = 0, .high = 10, .help = "a rate"},
    {.name = "count", .kind = SW_OPTION_INTEGER, .value = 3, .low = -5, .high = 5, .help = "a count"},
    {.name = "flag", .kind = SW_OPTION_BOOL, .value = 0, .help = "a flag"},
    {.name = "side", .kind = SW_OPTION_CHOICE, .value = 1, .choices = "left|middle|right", .help = "a side"},
    {.name = "delay", .kind = SW_OPTION_DURATION, .value = 7, .help = "a delay"},
    {.name = "open", .value = 0.5, .low = 0, .high = 1, .open = SW_OPEN_LOW | SW_OPEN_HIGH, .help = "an open interval"},
    {0}};
static const sw_slot spare_slots[] = {{.name = "spare", .needed = never}, {0}};
static const sw_rule kinds = {.size = sizeof(sw_rule),
                              .name = "kinds",
                              .summary = "every kind of option",
                              .options = every_kind,
                              .slots = spare_slots,
                              .update = &no_kernels};
static const sw_rule pointed = {
    .size = sizeof(sw_rule), .name = "pointed", .options = every_kind, .update = &no_kernels, .point = &no_kernels};

static sw_status wrapper_estimate(sw_estimate *e, const void *x, void *g) {
    return sw_estimate_inner(e, x, g);
}
static const sw_option wrapper_options[] = {{.name = "radius", .value = 0.05, .low = 0, .high = 10, .help = "a radius"},
                                            {.name = "of", .kind = SW_OPTION_SPEC, .help = "the inner estimator"},
                                            {0}};
static const sw_estimator wrapper = {.size = sizeof(sw_estimator),
                                     .name = "wrapper",
                                     .options = wrapper_options,
                                     .flags = SW_ESTIMATOR_WRAPPER,
                                     .estimate = wrapper_estimate};

static sw_status search_none(sw_search *search, double *alpha) {
    (void)search;
    *alpha = 0;
    return SW_OK;
}
static const sw_option search_options[] = {{.name = "shrink", .value = 0.5, .low = 0, .high = 1, .help = "a factor"},
                                           {0}};
static const sw_line_search search_one = {
    .size = sizeof(sw_line_search), .name = "search_one", .options = search_options, .search = search_none};

static int register_all(void **state) {
    (void)state;
    return sw_rule_register(&kinds) != SW_OK || sw_rule_register(&pointed) != SW_OK ||
           sw_estimator_register(&wrapper) != SW_OK || sw_line_search_register(&search_one) != SW_OK;
}

/* ---- What is refused, and how ---- */

static void refused(sw_optim_options how, const char *message) {
    sw_params *p = small_params(SW_F32);
    how.size = sizeof how;
    sw_optim *optim = sw_optim_new_with_options(p, &how);
    if (optim)
        fail_msg("taken, but expected: %s", message);
    expect_error(SW_ERR_ARGUMENT, message);
    sw_params_free(p);
}
#define REFUSED(message, ...) refused((sw_optim_options){__VA_ARGS__}, message)

/* A method of another kind. */
static void test_method_of_another_kind_is_named(void **state) {
    (void)state;
    REFUSED("adam is a rule, not an estimator: give it as .rule of sw_optim_options", .estimator = "adam lr=1e-3");
    REFUSED("adam is a rule, not an estimator: give it as .rule of sw_optim_options", .estimator = "sam of=adam");
    REFUSED("sam is an estimator, not a rule: give it as .estimator of sw_optim_options", .rule = "sam rho=0.1");
    REFUSED("cosine is a schedule, not a rule: give it as .schedule of sw_optim_options", .rule = "cosine");
    REFUSED("wolfe is a line search, not a rule: give it as .schedule of sw_optim_options", .rule = "wolfe");
    REFUSED("ema is an average, not a schedule: give it as .average of sw_optim_options", .schedule = "ema");
    REFUSED("armijo is a line search, not an average: give it as .schedule of sw_optim_options", .average = "armijo");
    REFUSED("kinds is a rule, not an estimator: give it as .rule of sw_optim_options", .estimator = "kinds");
}

static void test_wrong_names_and_numbers_are_refused(void **state) {
    (void)state;
    REFUSED("there is no rule adm, did you mean adam?", .rule = "adm");
    REFUSED("there is no rule ADAM, did you mean adam?", .rule = "ADAM");
    REFUSED("rule: the name of the rule is missing before lr=0.1", .rule = "lr=0.1 sgd");
    REFUSED("rule: a colon is missing after name=a rank=2", .rule = "  name=a rank=2  sgd lr=0.1");
    REFUSED("rule: a colon is missing after role=weight", .rule = "role=weight sgd lr=0.1");
    REFUSED("adam: lr=1e-3,beta1=0.9: options are separated by blanks, not by commas",
            .rule = "adam lr=1e-3,beta1=0.9");
    REFUSED("adam: lr=1e-3,: options are separated by blanks, not by commas", .rule = "adam lr=1e-3, beta1=0.9");
    REFUSED("sgd: lr=0.1,nesterov: options are separated by blanks, not by commas",
            .rule = "sgd momentum=0.9 lr=0.1,nesterov");
    REFUSED("sgd: nesterov,lr=0.1: options are separated by blanks, not by commas", .rule = "sgd nesterov,lr=0.1");
    REFUSED("adam: lr=0,1 is not a number", .rule = "adam lr=0,1");
    REFUSED("rule adam,lr=0.1: a name and its options are separated by blanks, not by commas", .rule = "adam,lr=0.1");
    REFUSED("estimator minibatch,: a name and its options are separated by blanks, not by commas",
            .estimator = "minibatch, batch=3");
    REFUSED("wrapper: of=minibatch,batch=3: options are separated by blanks, not by commas",
            .estimator = "wrapper of=minibatch,batch=3");
    REFUSED("the name of the rule is missing", .rule = "");
    REFUSED("the name of the rule is missing", .rule = " \t\n");
    REFUSED("adam: lr needs a value: lr=…", .rule = "adam lr");
    REFUSED("adam: lr needs a value: lr=…", .rule = "adam lr 0.1");
    REFUSED("adam: lr= is not a number", .rule = "adam lr=");
    REFUSED("adam: lr=1e-3x is not a number", .rule = "adam lr=1e-3x");
    REFUSED("adam: lr=nan is not a number", .rule = "adam lr=nan");
    REFUSED("adam: lr=inf is outside [0, 1e+06]", .rule = "adam lr=inf");
    REFUSED("adam: lr=-1 is outside [0, 1e+06]", .rule = "adam lr=-1");
    REFUSED("adam: beta1=1 is outside [0, 1)", .rule = "adam beta1=1");
    REFUSED("kinds: open=0 is outside (0, 1)", .rule = "kinds open=0");
    REFUSED("kinds: open=1 is outside (0, 1)", .rule = "kinds open=1");
    REFUSED("rule adam has no option beta3, did you mean beta1?", .rule = "adam beta3=0.9");
    REFUSED("rule adam has no option weigth_decay, did you mean weight_decay?", .rule = "adam weigth_decay=1");
    REFUSED("rule sgd has no option 0.1; it has lr, momentum, dampening, nesterov, "
            "weight_decay, l1, nonnegative, low, high",
            .rule = "sgd 0.1");
    REFUSED("rule sgd has no option ; it has lr, momentum, dampening, nesterov, weight_decay, l1, nonnegative, "
            "low, high",
            .rule = "sgd =1");
    REFUSED("rule adam has no option learning_rate: it is called lr", .rule = "adam learning_rate=0.1");
    REFUSED("rule adam has no option betas: they are beta1 and beta2", .rule = "adam betas=0.9");
    REFUSED("rule muon has no option betas: they are adamw_beta1 and adamw_beta2", .rule = "muon betas=0.9");
    REFUSED("rule lbfgs has no option line_search_fn: give .schedule = \"wolfe guess=lr\" in sw_optim_options",
            .rule = "lbfgs line_search_fn=strong_wolfe");
    REFUSED("schedule cosine has no option warmup_steps: it is called warmup, and is in steps (100), % or ep",
            .schedule = "cosine warmup_steps=100");
    REFUSED("rule adam has no option l1, which is an option of sgd, fista", .rule = "adam l1=0.1");
    REFUSED("rule adam has no option alpha, which is an option of asgd, rmsprop", .rule = "adam alpha=0.1");
    REFUSED("rule sgd has no option l2: the penalty is weight_decay", .rule = "sgd l2=0.1");
    REFUSED("rule adam has no option clip: it is a member of sw_optim_options", .rule = "adam clip=1");
    REFUSED("rule adam has no option loss_scale: it is a member of sw_optim_options", .rule = "adam loss_scale=1024");
    REFUSED("estimator sam has no option clip: it is a member of sw_optim_options", .estimator = "sam clip=1");
    REFUSED("rule adam has no option dtype: the type is that of the parameters", .rule = "adam dtype=bf16");
    REFUSED("rule sgd has no option C: C of n samples is weight_decay=1/(C n)", .rule = "sgd C=1");
    REFUSED("rule sgd has no option tol: sw_train has a tolerance", .rule = "sgd tol=1e-4");
    REFUSED("estimator svrg has no option tol: sw_train has a tolerance", .estimator = "svrg tol=1e-4");
    REFUSED("estimator saga has no option lr: it is an option of the rule, as in \"sgd lr=auto\"",
            .estimator = "saga lr=auto");
    REFUSED("kinds: count=1.5 is not a whole number", .rule = "kinds count=1.5");
    REFUSED("kinds: count=6 is outside [-5, 5]", .rule = "kinds count=6");
    REFUSED("kinds: count needs a value: count=…", .rule = "kinds count");
    REFUSED("kinds: flag=maybe; true or false is needed", .rule = "kinds flag=maybe");
    REFUSED("kinds: flag=2; true or false is needed", .rule = "kinds flag=2");
    REFUSED("kinds: flag=; true or false is needed", .rule = "kinds flag=");
    REFUSED("kinds: side=lef; one of left|middle|right is needed", .rule = "kinds side=lef");
    REFUSED("kinds: side=; one of left|middle|right is needed", .rule = "kinds side=");
    REFUSED("kinds: side=left|middle; one of left|middle|right is needed", .rule = "kinds side=left|middle");
    REFUSED("kinds: side needs a value: side=…", .rule = "kinds side");
    REFUSED("kinds: lr is given twice", .rule = "kinds lr=2 lr=3");
    REFUSED("kinds: lr is given twice", .rule = "kinds lr=2 count=1 lr=2");
    REFUSED("kinds: flag is given twice", .rule = "kinds flag flag=false");
    REFUSED("cosine: warmup is given twice", .schedule = "cosine warmup=3 warmup=3");
}

#define DURATION_NEEDED "steps (500), a percentage of the run (10%) or epochs (3ep) are needed"

static void test_wrong_durations_are_refused(void **state) {
    (void)state;
    REFUSED("kinds: delay=; " DURATION_NEEDED, .rule = "kinds delay=");
    REFUSED("kinds: delay=-1; " DURATION_NEEDED, .rule = "kinds delay=-1");
    REFUSED("kinds: delay=3e; " DURATION_NEEDED, .rule = "kinds delay=3e");
    REFUSED("kinds: delay=3epochs; " DURATION_NEEDED, .rule = "kinds delay=3epochs");
    REFUSED("kinds: delay=10%%; " DURATION_NEEDED, .rule = "kinds delay=10%%");
    REFUSED("kinds: delay=%; " DURATION_NEEDED, .rule = "kinds delay=%");
    REFUSED("kinds: delay=101%; " DURATION_NEEDED, .rule = "kinds delay=101%");
    REFUSED("kinds: delay=100.5%; " DURATION_NEEDED, .rule = "kinds delay=100.5%");
    REFUSED("kinds: delay=inf; " DURATION_NEEDED, .rule = "kinds delay=inf");
    REFUSED("kinds: delay=nan; " DURATION_NEEDED, .rule = "kinds delay=nan");
    REFUSED("cosine: warmup=soon; " DURATION_NEEDED, .schedule = "cosine warmup=soon");
}

static void test_too_long_spec_is_refused(void **state) {
    (void)state;
    char spec[700];
    memset(spec, 'a', sizeof spec);
    spec[sizeof spec - 1] = 0;
    REFUSED("rule: the spec is too long", .rule = spec);
    REFUSED("schedule: the spec is too long", .schedule = spec);
    spec[400] = 0; /* longer than any name */
    memcpy(spec, "sgd ", 4);
    REFUSED("rule sgd: an option's name is too long", .rule = spec);
    memcpy(spec, "sgd lr=", 7);
    REFUSED("rule sgd: the value of lr is too long", .rule = spec);
}

static void test_wrong_parts_are_refused(void **state) {
    (void)state;
    REFUSED("there is no estimator minibach, did you mean minibatch?", .estimator = "minibach");
    REFUSED("minibatch: batch=0 is outside [1, 1e+09]", .estimator = "minibatch batch=0");
    REFUSED("minibatch: batch=1.5 is not a whole number", .estimator = "minibatch batch=1.5");
    REFUSED("estimator minibatch has no option bach, did you mean batch?", .estimator = "minibatch bach=3");
    REFUSED("there is no schedule cosin, did you mean cosine?", .schedule = "cosin");
    REFUSED("cosine: final=2 is outside [0, 1]", .schedule = "cosine final=2");
    REFUSED("schedule cosine has no option warmp, did you mean warmup?", .schedule = "cosine warmp=3");
    REFUSED("schedule: no rule of this optimizer has an option beta1", .rule = "sgd", .schedule = "cosine on=beta1");
    REFUSED("schedule: no rule of this optimizer has an option weight_deacy, did you mean weight_decay?", .rule = "sgd",
            .schedule = "cosine on=weight_deacy");
    REFUSED("schedule: on= needs the name of an option", .schedule = "cosine on=");
    REFUSED("schedule: on= is given twice; separate the schedules of several options by ;",
            .schedule = "cosine on=lr final=0.5 on=momentum");
    REFUSED("cosine: over=0.5 is less than a step; a percentage of the run is written over=50%",
            .schedule = "cosine over=0.5");
    REFUSED("schedule: at most 4", .schedule = "cosine; cosine; cosine; cosine; cosine");
    REFUSED("the name of the schedule is missing", .schedule = "cosine;");
    REFUSED("there is no average mean; known are none, ema, polyak, swa, lawa_queue, lawa_ema", .average = "mean");
    REFUSED("there is no average em, did you mean ema?", .average = "em");
    REFUSED("average none has no option decay", .average = "none decay=0.9");
    REFUSED("ema: decay=1 is outside [0, 1)", .average = "ema decay=1");
    REFUSED("clip = -1; 0 (none) or more is needed", .clip = -1);
    REFUSED("clip = inf; 0 (none) or more is needed", .clip = (double)INFINITY);
    REFUSED("clip = nan; 0 (none) or more is needed", .clip = (double)fabsf(NAN));
    REFUSED("total_steps = -3; 0 (not known) or more is needed", .total_steps = -3);
}

static void test_wrong_combinations_are_refused(void **state) {
    (void)state;
    REFUSED("schedule: two line searches", .schedule = "search_one; search_one shrink=0.2");
    REFUSED("line search search_one: the step of rule kinds is not its learning rate times a "
            "direction; use a schedule, or another rule, such as lbfgs",
            .rule = "kinds", .schedule = "search_one");
    REFUSED("line search search_one: the step of rule kinds is not its learning rate times a "
            "direction; use a schedule, or another rule, such as lbfgs",
            .rule = "role=weight: sgd; kinds", .schedule = "search_one");
    REFUSED("line search search_one has no option shrnk, did you mean shrink?", .schedule = "search_one shrnk=1");
    REFUSED(
        "average ema: rule pointed determines the point of evaluation itself; omit the average, or choose another rule",
        .rule = "pointed", .average = "ema");
    REFUSED(
        "average ema: rule pointed determines the point of evaluation itself; omit the average, or choose another rule",
        .rule = "rank=2: sgd; pointed", .average = "ema");
}

static void test_wrong_groups_are_refused(void **state) {
    (void)state;
    REFUSED("rule: there is no role weigth, did you mean weight?", .rule = "role=weigth: sgd; sgd");
    REFUSED("rule: there is no role ", .rule = "role=: sgd; sgd");
    REFUSED("rule: rank=9; a number of axes from 0 to 8 is needed", .rule = "rank=9: sgd; sgd");
    REFUSED("rule: rank=22; a number of axes from 0 to 8 is needed", .rule = "rank=22: sgd; sgd");
    REFUSED("rule: rank=; a number of axes from 0 to 8 is needed", .rule = "role=weight rank=: sgd; sgd");
    REFUSED("rule: there is no selector color=; there are role=R, rank=N and name=PATTERN",
            .rule = "rank=2 color=red: sgd; sgd");
    REFUSED("rule: there is no selector rol=, did you mean role?", .rule = "rol=weight: sgd; sgd");
    REFUSED("rule: there is no selector Name=, did you mean name?", .rule = "rank=1 Name=b: sgd; sgd");
    REFUSED("rule: there is no selector roles=, did you mean role?", .rule = "roles=weight: sgd; sgd");
    REFUSED("rule: there is no selector =; there are role=R, rank=N and name=PATTERN", .rule = "=weight: sgd; sgd");
    REFUSED("rule: name= needs a pattern: name=head.*", .rule = "name=: sgd; sgd");
    REFUSED("rule: a selector is missing before the colon: role=R, rank=N or name=PATTERN", .rule = ": sgd");
    REFUSED("rule: a selector is missing before the colon: role=R, rank=N or name=PATTERN", .rule = " \t: sgd");
    REFUSED("rule: a group is chosen by role=R, rank=N, name=PATTERN, or several of them, not by weight",
            .rule = "weight: sgd; sgd");
    REFUSED("rule: a group is chosen by role=R, rank=N, name=PATTERN, or several of them, not by and",
            .rule = "role=weight and rank=2: sgd; sgd");
    REFUSED("rule: role=weight,rank=2: selectors are separated by blanks, not by commas",
            .rule = "role=weight,rank=2: sgd; sgd");
    REFUSED("rule: role= is given twice in role=weight rank=2 role=bias",
            .rule = "role=weight rank=2 role=bias: sgd; sgd");
    REFUSED("rule: rank= is given twice in rank=2 rank=1", .rule = "rank=2 rank=1: sgd; sgd");
    REFUSED("rule: role=bias rank=2: sgd has no parameters: no remaining parameter matches",
            .rule = "rank=2  role=bias: sgd; adam");
    REFUSED("rule: parameter b (bias) belongs to no group", .rule = "role=weight: sgd");
    REFUSED("rule: role=norm: sgd has no parameters: no remaining parameter matches", .rule = "role=norm: sgd; adam");
    REFUSED("rule: name=d*: sgd has no parameters: no remaining parameter matches", .rule = "name=d*: sgd; adam");
    REFUSED("rule: name=[abc]: sgd has no parameters: no remaining parameter matches",
            .rule = "name=[abc]: sgd; adam"); /* only * and ? */
    REFUSED("rule: adam has no parameters: earlier groups contain all of them", .rule = "sgd; adam");
    REFUSED("the name of the rule is missing", .rule = "role=weight: ; sgd");
    REFUSED("the name of the rule is missing", .rule = "sgd;");
    REFUSED("there is no rule sdg, did you mean sgd?", .rule = "role=weight: sdg; sgd");
}

/* More groups than the pipeline has room for the sums of. */
static void test_too_many_groups_are_refused(void **state) {
    (void)state;
    char spec[64 * 16 + 64] = "";
    for (int i = 0; i < 64; i++)
        strcat(spec, "rank=2: sgd; ");
    strcat(spec, "sgd");
    REFUSED("rule: at most 64 groups", .rule = spec);
}

static void test_wrapper_specs_are_read(void **state) {
    (void)state;
    REFUSED("there is no estimator minibach, did you mean minibatch?", .estimator = "wrapper of=minibach");
    REFUSED("minibatch: batch=0 is outside [1, 1e+09]",
            .estimator = "wrapper radius=1 of=wrapper of=minibatch batch=0");
    /* All that follows of= is the inner one's. */
    REFUSED("estimator minibatch has no option radius, which is an option of wrapper: write radius before of=, because "
            "all options after of= belong to minibatch",
            .estimator = "wrapper of=minibatch radius=1");
    REFUSED("estimator minibatch has no option rho, which is an option of sam: write rho before of=, because all "
            "options after of= belong to minibatch",
            .estimator = "sam of=minibatch rho=0.1");
    REFUSED("estimator minibatch has no option rho, which is an option of sam: write rho before of=, because all "
            "options after of= belong to minibatch",
            .estimator = "sam of=minibatch batch=3 rho");
    /* The nearest wrapper that has it; one that the inner one has as well is the inner one's. */
    REFUSED("estimator minibatch has no option radius, which is an option of wrapper: write radius before of=, because "
            "all options after of= belong to minibatch",
            .estimator = "sam rho=1 of=wrapper of=minibatch radius=1");
    REFUSED("estimator wrapper has no option rho, which is an option of sam: write rho before of=, because all options "
            "after of= belong to wrapper",
            .estimator = "sam of=wrapper rho=1 of=minibatch");
    REFUSED("estimator minibatch has no option wrong; it has batch, order, shards",
            .estimator = "wrapper of=minibatch wrong=1");
    REFUSED("wrapper: of needs a value: of=…", .estimator = "wrapper of");
    REFUSED("estimator: wrappers inside wrappers, more than 4 deep",
            .estimator = "wrapper of=wrapper of=wrapper of=wrapper of=wrapper of=wrapper of=wrapper");
    sw_params *p = small_params(SW_F32);
    static const char *const good[] = {"wrapper", "wrapper radius=1",
                                       "wrapper of=", "wrapper of=minibatch batch=3 order=sequential",
                                       "wrapper radius=2 of=wrapper radius=1 of=minibatch"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        const sw_optim_options how = {.size = sizeof how, .estimator = good[i]};
        sw_optim *optim = sw_optim_new_with_options(p, &how);
        if (!optim)
            fail_msg("%s: %s", good[i], sw_error());
        sw_optim_free(optim);
    }
    sw_params_free(p);
}

static void test_null_and_unbuilt_params_are_refused(void **state) {
    (void)state;
    assert_null(sw_optim_new(NULL, "sgd"));
    expect_error(SW_ERR_ARGUMENT, "optimizer: the parameters are NULL (is the model built?)");
    sw_params *p = sw_params_new(SW_F32, 1);
    sw_params_add(p, "w", 1, (const int64_t[]){3}, NULL);
    assert_null(sw_optim_new(p, "sgd"));
    expect_error(SW_ERR_STATE, "optimizer: the parameters are not built");
    assert_ok(sw_params_build(p));
    sw_optim *plain = sw_optim_new_with_options(p, NULL), *named = sw_optim_new(p, NULL);
    assert_non_null(plain);
    assert_non_null(named);
    assert_true(sw_optim_option(plain, 0, "lr") == 0.01); /* sgd's */
    sw_optim_free(plain);
    sw_optim_free(named);
    sw_optim_free(NULL);
    sw_params_free(p);
    p = sw_params_new(SW_F32, 1); /* nothing in it */
    assert_ok(sw_params_build(p));
    assert_null(sw_optim_new(p, "sgd"));
    expect_error(SW_ERR_ARGUMENT, "rule: sgd has no parameters: none was declared");
    sw_params_free(p);
    p = sw_params_new(SW_F32, 1);
    sw_params_add(p, "mean", SW_SHAPE(2), &SW_OPTIONS(sw_param_options, .buffer = true));
    assert_ok(sw_params_build(p));
    assert_null(sw_optim_new(p, "sgd"));
    expect_error(SW_ERR_ARGUMENT, "rule: sgd has no parameters: all of them are buffers");
    sw_params_free(p);
}

/* ---- What is taken, and what it means ---- */

static void option_is(const char *rule, const char *option, double expected) {
    sw_params *p = small_params(SW_F64);
    sw_optim *optim = sw_optim_new(p, rule);
    if (!optim)
        fail_msg("%s: %s", rule, sw_error());
    double value = sw_optim_option(optim, 0, option);
    if (!(value == expected))
        fail_msg("%s: %s is %g, %g expected", rule, option, value, expected);
    sw_optim_free(optim);
    sw_params_free(p);
}

static void test_option_values_are_read(void **state) {
    (void)state;
    option_is("kinds", "lr", 1);
    option_is("kinds", "count", 3);
    option_is("kinds", "flag", 0);
    option_is("kinds", "side", 1);
    option_is("kinds", "delay", 7);
    option_is("kinds lr=0", "lr", 0); /* the ends of a closed range */
    option_is("kinds lr=10", "lr", 10);
    option_is("kinds lr=2.5e-1", "lr", 0.25);
    option_is("kinds count=-5", "count", -5);
    option_is("kinds flag", "flag", 1);
    option_is("kinds flag=true", "flag", 1);
    option_is("kinds flag=1 lr=2", "flag", 1);
    option_is("kinds flag=false", "flag", 0);
    option_is("kinds flag lr=2", "lr", 2);
    option_is("kinds side=left", "side", 0);
    option_is("kinds side=right", "side", 2);
    option_is("kinds delay=500", "delay", 500);
    option_is("  kinds\t lr=3\n count=2 ", "count", 2);
    option_is("sgd nesterov momentum=0.9", "nesterov", 1);
}

static void test_options_are_read_by_group(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F64);
    sw_optim *o = sw_optim_new(p, "role=weight: sgd lr=0.5; name=?: rank=0");
    assert_null(o);
    sw_clear_error();
    o = sw_optim_new(p, "rank=2: sgd lr=0.5; name=b*: adam lr=0.25; adamw lr=0.125");
    assert_non_null(o);
    assert_int_equal(sw_optim_group_count(o), 3);
    assert_true(sw_optim_option(o, 0, "lr") == 0.5);
    assert_true(sw_optim_option(o, 1, "lr") == 0.25);
    assert_true(sw_optim_option(o, 2, "weight_decay") == 0.01);
    assert_true(isnan(sw_optim_option(o, 0, "beta1")));
    expect_error(SW_ERR_ARGUMENT, "rule sgd has no option beta1");
    assert_true(isnan(sw_optim_option(o, 3, "lr")));
    expect_error(SW_ERR_ARGUMENT, "option: group 3 of 3");
    assert_true(isnan(sw_optim_option(o, -1, "lr")));
    expect_error(SW_ERR_ARGUMENT, "option: group -1 of 3");
    assert_true(isnan(sw_optim_option(NULL, 0, "lr")));
    expect_error(SW_ERR_ARGUMENT, "option: group 0 of 0");
    sw_optim_free(o);
    sw_params_free(p);
}

/* Which parameters a selector takes: the first group's, as seen by who has Adam's state. */
static void takes(const char *selector, bool a, bool b, bool c) {
    char rule[128];
    snprintf(rule, sizeof rule, "%s: adam; sgd", selector);
    if (a && b && c)
        snprintf(rule, sizeof rule, "%s: adam", selector);
    sw_params *p = small_params(SW_F32);
    sw_optim *o = sw_optim_new(p, rule);
    if (!o)
        fail_msg("%s: %s", rule, sw_error());
    const bool expected[3] = {a, b, c};
    for (int i = 0; i < 3; i++) {
        sw_array m = sw_optim_param_slot(o, sw_params_at(p, i), "m");
        if ((m.data != NULL) != expected[i])
            fail_msg("%s: parameter %s", selector, sw_params_at(p, i)->name);
    }
    sw_optim_free(o);
    sw_params_free(p);
}

static void test_selectors_choose_parameters(void **state) {
    (void)state;
    takes("role=weight", true, false, false);
    takes("role=bias", false, true, false);
    takes("role=other", false, false, true);
    takes("rank=2", true, false, false);
    takes("rank=0", false, false, true);
    takes("name=a", true, false, false);
    takes("name=?", true, true, true);
    takes("name=*", true, true, true);
    takes("name=**", true, true, true);
    takes("name=*c*", false, false, true);
    takes("name=?*", true, true, true);
    takes("  role=bias  ", false, true, false);
    /* Several selectors must all match, in any order. */
    takes("role=weight rank=2", true, false, false);
    takes("rank=2\trole=weight", true, false, false);
    takes("name=? rank=1", false, true, false);
    takes("  rank=0 name=* role=other ", false, false, true);
    takes("name=?* name=*b name=b*", false, true, false);
}

/* A recursive search would take years for this pattern. Patterns may be longer than 63 characters. */
static void test_patterns_take_little_time(void **state) {
    (void)state;
    static const struct {
        const char *pattern;
        bool fits;
    } cases[] = {{"*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", false},
                 {"*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*", true},
                 {"*a?a?a*c", true},
                 {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac", false},
                 {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac", true},
                 {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaca*", false}};
    char name[73];
    memset(name, 'a', sizeof name);
    memcpy(name + 71, "c", 2); /* 71 times a, then c */
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char rule[200];
        sw_params *p = sw_params_new(SW_F32, 1);
        assert_non_null(sw_params_add(p, name, 0, NULL, NULL));
        assert_ok(sw_params_build(p));
        snprintf(rule, sizeof rule, "name=%s: sgd", cases[i].pattern);
        sw_optim *o = sw_optim_new(p, rule);
        if ((o != NULL) != cases[i].fits)
            fail_msg("%s: %s", cases[i].pattern, o ? "it fits" : sw_error());
        sw_clear_error();
        sw_optim_free(o);
        sw_params_free(p);
    }
}

/* Files and messages contain selectors in one order and spacing, so that an optimizer with the same selectors can load
 * the file. */
static void test_equal_selectors_have_equal_texts(void **state) {
    (void)state;
    static const char *const equal[] = {"role=weight rank=2 name=?: adam; sgd",
                                        "rank=2 \t name=?\nrole=weight: adam; sgd",
                                        " name=? rank=2 role=weight : adam; sgd"};
    sw_params *p = small_params(SW_F32);
    sw_archive *a = sw_archive_new();
    sw_optim *o = sw_optim_new(p, equal[0]);
    assert_ok(sw_optim_pack(o, a));
    assert_string_equal(sw_archive_text(a, "optim.rule"), equal[0]);
    for (size_t i = 1; i < sizeof equal / sizeof *equal; i++) {
        sw_optim *other = sw_optim_new(p, equal[i]);
        assert_ok(sw_optim_unpack(other, a));
        sw_optim_free(other);
    }
    sw_optim *other = sw_optim_new(p, "role=weight rank=2: adam; sgd");
    assert_int_equal(sw_optim_unpack(other, a), SW_ERR_FORMAT);
    expect_error(
        SW_ERR_FORMAT,
        "archive: does not fit the optimizer: rule is \"role=weight rank=2: adam; sgd\" here and \"role=weight "
        "rank=2 name=?: adam; sgd\" in the file");
    sw_optim_free(other);
    sw_optim_free(o);
    sw_archive_free(a);
    sw_params_free(p);
}

static void test_options_of_another_size_are_refused(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F32);
    static const size_t bad[] = {0, 1, sizeof(sw_optim_options) + 1, SIZE_MAX};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const sw_optim_options how = {.size = bad[i], .rule = "sgd"};
        char text[128];
        snprintf(text, sizeof text, "optimizer: options.size is %zu; sizeof(sw_optim_options) is %zu", bad[i],
                 sizeof how);
        assert_null(sw_optim_new_with_options(p, &how));
        expect_error(SW_ERR_ARGUMENT, text);
    }
    /* What an older program does not know of is zero, whatever lies behind its struct. */
    const sw_optim_options older = {
        .size = offsetof(sw_optim_options, schedule), .rule = "sgd lr=0.5", .schedule = "no such schedule", .clip = -1};
    sw_optim *o = new_optim(p, &older);
    assert_true(sw_optim_option(o, 0, "lr") == 0.5);
    sw_optim_free(o);
    sw_params_free(p);
}

/* ---- Durations and schedules at work ---- */

static const double some[SMALL_DIM] = {1, -2, 0.5};

static sw_optim *optim_of(sw_params *p, const char *rule, const char *schedule, int64_t steps) {
    const sw_optim_options how = {
        .size = sizeof how, .rule = rule, .schedule = schedule, .estimator = "minibatch batch=4", .total_steps = steps};
    sw_optim *o = sw_optim_new_with_options(p, &how);
    if (!o)
        fail_msg("%s", sw_error());
    return o;
}

static void test_durations_become_steps(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F64);
    linear_problem f;
    linear_problem_init(&f, p, 10, some); /* 3 steps an epoch */
    sw_optim *o = optim_of(p, "kinds delay=10%", NULL, 50);
    assert_ok(sw_optim_minimize(o, &f.f, NULL));
    assert_true(sw_optim_option(o, 0, "delay") == 5);
    assert_ok(sw_optim_set_total_steps(o, 1000)); /* holds from the next step on */
    assert_ok(sw_optim_minimize(o, &f.f, NULL));
    assert_true(sw_optim_option(o, 0, "delay") == 100);
    sw_optim_free(o);
    o = optim_of(p, "kinds delay=2.5ep", NULL, 0);
    assert_int_equal(sw_optim_steps_per_epoch(o, &f.f), 3);
    assert_ok(sw_optim_minimize(o, &f.f, NULL));
    assert_true(sw_optim_option(o, 0, "delay") == 7.5);
    sw_optim_free(o);
    sw_params_free(p);
}

static void step_refused(const char *rule, const char *schedule, const char *message) {
    sw_params *p = small_params(SW_F64);
    double before[SMALL_DIM];
    memcpy(before, sw_params_x(p), sizeof before);
    sw_optim *o = optim_of(p, rule, schedule, 0);
    assert_int_equal(step_with(o, p, some), SW_ERR_STATE);
    expect_error(SW_ERR_STATE, message);
    assert_int_equal(sw_optim_steps_taken(o), 0);
    assert_memory_equal(before, sw_params_x(p), sizeof before);
    sw_optim_free(o);
    sw_params_free(p);
}

static void test_durations_need_a_known_length(void **state) {
    (void)state;
    step_refused("kinds delay=10%", NULL,
                 "kinds: 10% of the run, but its length is not known: set total_steps of the optimizer");
    step_refused("kinds delay=3ep", NULL,
                 "kinds: 3 epochs, but the length of an epoch is not known: sw_optim_bind the "
                 "objective first");
    step_refused("sgd", "constant warmup=10%",
                 "constant: 10% of the run, but its length is not known: set total_steps of the optimizer");
    step_refused("sgd", "constant warmup=3ep",
                 "constant: 3 epochs, but the length of an epoch is not known: sw_optim_bind the "
                 "objective first");
    step_refused("sgd", "cosine", "schedule cosine needs the length of the run: set total_steps of the optimizer");
}

static void test_lr_auto_needs_a_proposal(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F64);
    sw_optim *o = optim_of(p, "sgd lr=auto", NULL, 0);
    assert_int_equal(step_with(o, p, some), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "rule sgd: lr=auto, but estimator minibatch proposes no step size");
    sw_optim_free(o);
    sw_params_free(p);
}

static double near(double a, double b) { /* a few roundings of numbers up to 1 */
    return fabs(a - b) <= 1e-15;
}

static void test_schedules_scale_their_options(void **state) {
    (void)state;
    const double pi = 3.14159265358979323846;
    sw_params *p = small_params(SW_F64);
    sw_optim *o = optim_of(p,
                           "role=weight: sgd lr=0.5 momentum=0.8 weight_decay=0.25; "
                           "sgd lr=1 weight_decay=0.5",
                           "constant warmup=4; cosine on=weight_decay final=0.5 warmup=2; "
                           "on=momentum constant warmup=2",
                           10);
    for (int t = 0; t < 10; t++) {
        assert_ok(step_with(o, p, some));
        double rise = t < 4 ? (t + 1) / 4.0 : 1;
        double wave = t < 2 ? (t + 1) / 2.0 : 0.5 + 0.5 * 0.5 * (1 + cos(pi * (t - 2) / 8));
        assert_true(near(sw_optim_option(o, 0, "lr"), 0.5 * rise));
        assert_true(near(sw_optim_option(o, 1, "lr"), rise));
        assert_true(near(sw_optim_option(o, 0, "weight_decay"), 0.25 * wave));
        assert_true(near(sw_optim_option(o, 1, "weight_decay"), 0.5 * wave));
        assert_true(near(sw_optim_option(o, 0, "momentum"), t < 1 ? 0.4 : 0.8));
    }
    assert_ok(step_with(o, p, some)); /* past the end the factor stays at `final` */
    assert_true(near(sw_optim_option(o, 0, "weight_decay"), 0.125));
    sw_optim_free(o);
    /* Two schedules of one option multiply; any blank separates. */
    o = optim_of(p, "sgd lr=1", "constant\twarmup=4; cosine\ton=lr", 8);
    assert_ok(step_with(o, p, some));
    assert_ok(step_with(o, p, some));
    assert_true(near(sw_optim_option(o, 0, "lr"), 0.5 * 0.5 * (1 + cos(pi / 8))));
    sw_optim_free(o);
    sw_params_free(p);
}

/* "The value of a rule's option in the last (before the first: the first) step." */
static void test_option_before_the_first_step_is_that_of_the_first(void **state) {
    (void)state;
    sw_params *p = small_params(SW_F64);
    sw_optim *o = optim_of(p, "sgd lr=1", "constant warmup=4", 0);
    assert_true(sw_optim_option(o, 0, "lr") == 0.25);
    assert_ok(step_with(o, p, some));
    assert_true(sw_optim_option(o, 0, "lr") == 0.25);
    assert_ok(step_with(o, p, some));
    assert_true(sw_optim_option(o, 0, "lr") == 0.5);
    sw_optim_free(o);
    o = optim_of(p, "sgd lr=1", "constant warmup=10%", 0); /* cannot be known yet */
    assert_true(isnan(sw_optim_option(o, 0, "lr")));
    expect_error(SW_ERR_STATE,
                 "constant: 10% of the run, but its length is not known: set total_steps of the optimizer");
    assert_ok(sw_optim_set_total_steps(o, 40));
    assert_true(sw_optim_option(o, 0, "lr") == 0.25);
    sw_optim_free(o);
    sw_params_free(p);
}

/* ---- The list ---- */

static void list_mentions(const char *text, const char *name, const sw_option *options) {
    char line[128];
    snprintf(line, sizeof line, "\n  %-12s ", name);
    const char *at = strstr(text, line);
    if (!at)
        fail_msg("the list has no method %s", name);
    for (int i = 0; options && options[i].name; i++) {
        snprintf(line, sizeof line, "\n      %s=", options[i].name);
        if (!strstr(at, line) || !strstr(at, options[i].help))
            fail_msg("the list says nothing of %s %s", name, options[i].name);
    }
}

static void test_list_names_every_method(void **state) {
    (void)state;
    static char text[200000];
    FILE *to = tmpfile();
    assert_non_null(to);
    sw_optim_list(to);
    rewind(to);
    size_t n = fread(text, 1, sizeof text - 1, to);
    assert_true(n < sizeof text - 1);
    text[n] = 0;
    fclose(to);
    static const char *const rules[] = {"sgd", "adam", "adamw", "kinds", "pointed"}, *const estimators[] = {"minibatch",
                                                                                                            "wrapper"};
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        list_mentions(text, rules[i], sw_rule_find(rules[i])->options);
    for (size_t i = 0; i < sizeof estimators / sizeof *estimators; i++)
        list_mentions(text, estimators[i], sw_estimator_find(estimators[i])->options);
    static const sw_option warmup[] = {{.name = "warmup", .help = "linear rise"}, {0}},
                           decay[] = {{.name = "decay", .help = "weight of the previous average"},
                                      {.name = "debias", .help = "divide by"},
                                      {0}};
    list_mentions(text, "cosine", warmup);
    list_mentions(text, "constant", warmup);
    list_mentions(text, "search_one", search_options);
    list_mentions(text, "ema", decay);
    list_mentions(text, "none", NULL);
    assert_non_null(strstr(text, "\n      side=middle  (left|middle|right)  a side\n"));
    assert_non_null(strstr(text, "\n      open=0.5  (0, 1)  an open interval\n"));
    assert_non_null(strstr(text, "\n      batch=64  [1, 1e+09]  samples in a step; search 16 to 512, log\n"));
    assert_non_null(strstr(text, "\n      nesterov=false  (true|false)  Nesterov's momentum"));
    assert_non_null(strstr(text, "\n      momentum=0  [0, 1)  μ; search 0 to 0.99\n"));
    /* State and traffic: 4 bytes for each of x read, g read, x written, and two for each slot. */
    static const char *const states[] = {
        "[Loshchilov, Hutter, ICLR 2019]\n      state 8 to 12 bytes a parameter: m, v, v_f64; a step moves 28\n",
        "Sutskever 2013]\n      state 0 to 4 bytes a parameter: momentum; a step moves 12\n",
        "(centered)]\n      state 4 to 20 bytes a parameter: v, mean, momentum, v_f64, mean_f64; a step moves 20\n",
        "Bernstein et al., NeurIPS 2020]\n      state 0 bytes a parameter; a step moves 20\n",
        /* a number for each of 1000 rows, in f64 */
        "state 0.016 to 4.02 bytes a parameter of a 1000 x 1000 matrix: v, b, m; a step moves 12\n"};
    for (size_t i = 0; i < sizeof states / sizeof *states; i++)
        if (!strstr(text, states[i]))
            fail_msg("the list does not say %s", states[i]);
}

/* ---- Garbage ---- */

/* Pieces of specs and random bytes, joined at random. Nothing may crash, and what is refused says
 * why. */
static void test_random_specs_are_survived(void **state) {
    (void)state;
    static const char *const piece[] = {
        "sgd",
        "adam",
        "adamw",
        "kinds",
        "minibatch",
        "wrapper",
        "cosine",
        "constant",
        "search_one",
        "ema",
        "none",
        "lr",
        "=",
        "of=",
        "on=",
        "role=",
        "name=",
        "rank=",
        "weight",
        "bias",
        "*",
        "?",
        ";",
        ":",
        " ",
        " ",
        " ",
        "\t",
        "\n",
        "0.1",
        "1e999",
        "-1",
        "%",
        "3ep",
        "10%",
        "nan",
        "inf",
        "true",
        "batch=",
        "warmup=",
        "flag",
        "side=left",
        "delay=5",
        "auto",
        "\xff\xfe",
        "……",
        "|",
        "0x1p-3",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    uint64_t seed = 2024;
    int taken = 0;
    sw_params *p = small_params(SW_F32);
    for (int round = 0; round < 10000; round++) {
        char spec[4][2000];
        for (int k = 0; k < 4; k++) {
            size_t at = 0;
            for (uint64_t n = test_random(&seed) % 12; n > 0; n--) {
                uint64_t pick = test_random(&seed) % (sizeof piece / sizeof *piece + 4);
                if (pick < sizeof piece / sizeof *piece)
                    at += (size_t)sprintf(spec[k] + at, "%s", piece[pick]);
                else
                    spec[k][at++] = (char)(test_random(&seed) % 255 + 1);
            }
            spec[k][at] = 0;
        }
        uint64_t which = test_random(&seed) % 5; /* all four, or one of them */
        const sw_optim_options how = {.size = sizeof how,
                                      .rule = which == 0 || which == 4 ? spec[0] : NULL,
                                      .schedule = which == 1 || which == 4 ? spec[1] : NULL,
                                      .estimator = which == 2 || which == 4 ? spec[2] : NULL,
                                      .average = which == 3 || which == 4 ? spec[3] : NULL};
        sw_optim *o = sw_optim_new_with_options(p, &how);
        if (!o && (!sw_error() || !*sw_error()))
            fail_msg("round %d: refused without a word", round);
        if (o && sw_error())
            fail_msg("round %d: taken with an error: %s", round, sw_error());
        taken += o != NULL;
        sw_optim_free(o);
        sw_clear_error();
    }
    assert_true(taken > 20); /* a generator that never gets anything right tests little */
    sw_params_free(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_method_of_another_kind_is_named, test_clear),
        cmocka_unit_test_teardown(test_wrong_names_and_numbers_are_refused, test_clear),
        cmocka_unit_test_teardown(test_wrong_durations_are_refused, test_clear),
        cmocka_unit_test_teardown(test_too_long_spec_is_refused, test_clear),
        cmocka_unit_test_teardown(test_wrong_parts_are_refused, test_clear),
        cmocka_unit_test_teardown(test_wrong_combinations_are_refused, test_clear),
        cmocka_unit_test_teardown(test_wrong_groups_are_refused, test_clear),
        cmocka_unit_test_teardown(test_too_many_groups_are_refused, test_clear),
        cmocka_unit_test_teardown(test_wrapper_specs_are_read, test_clear),
        cmocka_unit_test_teardown(test_null_and_unbuilt_params_are_refused, test_clear),
        cmocka_unit_test_teardown(test_option_values_are_read, test_clear),
        cmocka_unit_test_teardown(test_options_are_read_by_group, test_clear),
        cmocka_unit_test_teardown(test_selectors_choose_parameters, test_clear),
        cmocka_unit_test_teardown(test_patterns_take_little_time, test_clear),
        cmocka_unit_test_teardown(test_equal_selectors_have_equal_texts, test_clear),
        cmocka_unit_test_teardown(test_durations_become_steps, test_clear),
        cmocka_unit_test_teardown(test_durations_need_a_known_length, test_clear),
        cmocka_unit_test_teardown(test_lr_auto_needs_a_proposal, test_clear),
        cmocka_unit_test_teardown(test_schedules_scale_their_options, test_clear),
        cmocka_unit_test_teardown(test_option_before_the_first_step_is_that_of_the_first, test_clear),
        cmocka_unit_test_teardown(test_options_of_another_size_are_refused, test_clear),
        cmocka_unit_test_teardown(test_list_names_every_method, test_clear),
        cmocka_unit_test_teardown(test_random_specs_are_survived, test_clear),
    };
    return cmocka_run_group_tests_name("spec", tests, register_all, NULL);
}
