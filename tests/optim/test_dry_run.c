/* Dry runs: the memory report of a dry run is that of the real run, byte for byte, for every rule, with recomputation
 * and without; it takes little memory and time at any size; and its flops are those of the shapes. */
#define _DEFAULT_SOURCE /* getrusage */
#include "support.h"

#include <swale/extend.h>
#include <swale/nn.h>
#include <swale/optim.h>
#include <swale/rule.h>

#include <pthread.h>
#include <sys/resource.h>

/* Sanitizers keep a part of all addresses in memory. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = 1 };
#elif defined(__has_feature)
enum { SANITIZED = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) };
#else
enum { SANITIZED = 0 };
#endif

#define TEST(name) cmocka_unit_test_teardown(name, test_no_error_left)

/* ---- One run ---- */

typedef struct run {
    sw_dtype type;
    int64_t inputs, width, hidden, classes, batch;
    int blocks, recompute, steps;
    const char *rule;
    double flops;
} run;

enum { MOST_BLOCKS = 48, MOST_ENTRIES = 64, MOST_LAYERS = 4 * MOST_BLOCKS };

/* What a run reports. */
typedef struct memory {
    sw_memory_entry entry[MOST_ENTRIES];
    sw_tape_layer layer[MOST_LAYERS];
    char name[MOST_LAYERS][32]; /* of the layers, whose own names end with the tape */
    int entries, layers;
    size_t live, peak, capacity, high_water, live_set, held;
    double per_parameter, flops;
} memory;

static sw_module *run_network(sw_model *m, const run *r) {
    sw_module *list[MOST_BLOCKS + 2];
    list[0] = sw_nn_linear(m, r->inputs, r->width);
    for (int i = 0; i < r->blocks; i++)
        list[i + 1] = sw_nn_residual(m, sw_nn_sequential(m, sw_nn_linear(m, r->width, r->hidden), sw_nn_gelu(m),
                                                         sw_nn_linear(m, r->hidden, r->width), NULL));
    list[r->blocks + 1] = sw_nn_linear(m, r->width, r->classes);
    return sw_nn_sequential_with_options(m, r->blocks + 2, list,
                                         &SW_OPTIONS(sw_sequential_options, .recompute = r->recompute));
}

static void run_report(memory *found, const sw_tape *tape, const sw_params *p) {
    *found = (memory){.entries = sw_memory_report(found->entry, MOST_ENTRIES),
                      .layers = sw_tape_activations(tape, found->layer, MOST_LAYERS),
                      .live = sw_memory_live_total(),
                      .peak = sw_memory_peak_total(),
                      .capacity = sw_tape_capacity_bytes(tape),
                      .high_water = sw_tape_high_water_bytes(tape),
                      .live_set = sw_tape_live_set_bytes(tape),
                      .held = sw_tape_held_bytes(tape),
                      .per_parameter = sw_memory_per_parameter(sw_params_dim(p)),
                      .flops = sw_dry_run_flops()};
    assert_true(found->entries <= MOST_ENTRIES && found->layers <= MOST_LAYERS);
    sw_memory_report(found->entry, MOST_ENTRIES); /* the initializer above clears the struct */
    sw_tape_activations(tape, found->layer, MOST_LAYERS);
    for (int i = 0; i < found->layers; i++)
        snprintf(found->name[i], sizeof found->name[i], "%s", found->layer[i].layer ? found->layer[i].layer : "");
}

/* Makes everything, takes the steps, reports, and frees everything. */
static void run_program(const run *r, memory *found) {
    sw_memory_reset_peaks();
    sw_model *m = sw_model_new(r->type, 1);
    sw_params *p = sw_model_build(m, run_network(m, r));
    sw_optim *o = sw_optim_new(p, r->rule);
    sw_tape *tape = sw_tape_new();
    sw_tape_set_switch(tape, SW_MEASURE, true);
    for (int i = 0; i < r->steps; i++) {
        sw_tensor x = sw_empty(tape, sw_dtype_compute(r->type), SW_SHAPE(r->batch, r->inputs)),
                  y = sw_empty(tape, SW_I32, SW_SHAPE(r->batch));
        const sw_array values = sw_value(x), ids = sw_value(y);
        for (int64_t k = 0; k < r->batch; k++)
            ((int32_t *)ids.data)[k] = (int32_t)(k % r->classes);
        if (!sw_dry_run())
            test_fill(&values, -1, 1, 7);
        sw_tensor loss = sw_cross_entropy(sw_forward(sw_model_root(m), x), y);
        assert_ok(sw_backward(loss));
        const sw_status status = sw_optim_step(o); /* in f16, the first loss scales may be too large */
        assert_true(status == SW_OK || (status == SW_SKIPPED && r->type == SW_F16));
        sw_tape_reset(tape);
    }
    if (sw_error())
        fail_msg("%s: %s", r->rule, sw_error());
    run_report(found, tape, p);
    sw_tape_free(tape);
    sw_optim_free(o);
    sw_model_free(m);
}

static void run_dry(const run *r, memory *found) {
    assert_ok(sw_dry_run_begin());
    assert_true(sw_dry_run());
    run_program(r, found);
    assert_ok(sw_dry_run_end());
    assert_false(sw_dry_run());
}

/* ---- Equality ---- */

static void expect_equal(const char *what, const memory *real, const memory *dry) {
    for (int i = 0; i < real->entries || i < dry->entries; i++) {
        const sw_memory_entry *a = &real->entry[i], *b = &dry->entry[i];
        if (i >= real->entries || i >= dry->entries || a->account != b->account || a->name != b->name ||
            a->live != b->live || a->peak != b->peak || a->contents != b->contents)
            fail_msg("%s: entry %d: real %s.%s %zu, %zu, %zu, dry run %s.%s %zu, %zu, %zu", what, i,
                     sw_account_name(a->account), a->name ? a->name : "-", a->live, a->peak, a->contents,
                     sw_account_name(b->account), b->name ? b->name : "-", b->live, b->peak, b->contents);
    }
    assert_int_equal(real->layers, dry->layers);
    for (int i = 0; i < real->layers; i++)
        if (strcmp(real->name[i], dry->name[i]) != 0 || real->layer[i].bytes != dry->layer[i].bytes ||
            real->layer[i].values != dry->layer[i].values)
            fail_msg("%s: layer %s: %zu bytes, in the dry run %s %zu", what, real->name[i], real->layer[i].bytes,
                     dry->name[i], dry->layer[i].bytes);
    assert_int_equal(real->live, dry->live);
    assert_int_equal(real->peak, dry->peak);
    assert_int_equal(real->capacity, dry->capacity);
    assert_int_equal(real->high_water, dry->high_water);
    assert_int_equal(real->live_set, dry->live_set);
    assert_int_equal(real->held, dry->held);
    assert_true(real->per_parameter == dry->per_parameter);
}

static void compare(const run *r) {
    memory real, dry;
    char what[96];
    snprintf(what, sizeof what, "%s, %s, %d blocks of %lld and %lld, recompute=%d", r->rule, sw_dtype_name(r->type),
             r->blocks, (long long)r->width, (long long)r->hidden, r->recompute);
    assert_int_equal(sw_memory_live_total(), 0);
    run_program(r, &real);
    assert_int_equal(sw_memory_live_total(), 0);
    run_dry(r, &dry);
    assert_int_equal(sw_memory_live_total(), 0);
    expect_equal(what, &real, &dry);
    assert_true(real.flops == 0 && dry.flops > 0);
}

/* 48 blocks, whose activations and parameters are partly above SW_DRY_BLOCK and partly below. */
static void test_ledger_of_48_blocks_is_predicted(void **state) {
    (void)state;
    static const sw_dtype types[] = {SW_F32, SW_F64, SW_F16, SW_BF16};
    static const int64_t sizes[][3] = {{96, 192, 64}, {33, 50, 17}, {200, 350, 9}};
    for (size_t t = 0; t < sizeof types / sizeof *types; t++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            for (int recompute = 0; recompute <= 7; recompute += 7)
                compare(&(run){types[t], 40, sizes[i][0], sizes[i][1], 10, sizes[i][2], MOST_BLOCKS, recompute, 2,
                               "adam lr=1e-4", 0});
}

static void test_ledger_of_each_rule_is_predicted(void **state) {
    (void)state;
    int rules = 0;
    for (const sw_rule *rule; (rule = sw_rule_at(rules)) != NULL; rules++)
        compare(&(run){SW_F32, 700, 500, 300, 10, 9, 2, 0, 2, rule->name, 0});
    assert_true(rules >= 18);
}

/* ---- Flops ---- */

/* Of a linear layer n → m: 2·batch·n·m forward, as much for the gradient of the weight, and as much for that of the
 * input, which the first layer does not need. A segment is computed once more: its 2·batch·n·m are counted twice. */
static double flops_of(const run *r, bool again) {
    const double block = 2 * 2.0 * (double)(r->batch * r->width * r->hidden),
                 first = 2.0 * (double)(r->batch * r->inputs * r->width),
                 last = 2.0 * (double)(r->batch * r->width * r->classes), inside = r->blocks * block;
    return r->steps * (2 * first + 3 * inside + 3 * last + (again ? first + inside + last : 0));
}

static void test_flops_are_those_of_the_products(void **state) {
    (void)state;
    run r = {SW_F32, 40, 96, 192, 10, 64, MOST_BLOCKS, 0, 2, "sgd", 0};
    memory plain, again;
    run_dry(&r, &plain);
    assert_true(plain.flops == flops_of(&r, false));
    r.recompute = 7;
    run_dry(&r, &again);
    assert_true(again.flops == flops_of(&r, true));
    assert_true(again.flops / plain.flops > 1.33 && again.flops / plain.flops < 1.34);
    /* Products of a batch of matrices: 6 of [5,7]·[7,3], forward only. */
    assert_ok(sw_dry_run_begin());
    sw_tape *tape = sw_tape_new();
    double flops = 0;
    for (int type = SW_F32; sw_dtype_is_float((sw_dtype)type); type++) {
        sw_matmul(sw_empty(tape, (sw_dtype)type, SW_SHAPE(2, 3, 5, 7)),
                  sw_empty(tape, (sw_dtype)type, SW_SHAPE(2, 3, 7, 3)));
        flops += 2 * 6 * 5 * 7 * 3;
        assert_true(sw_dry_run_flops() == flops);
    }
    assert_true(flops > 2 * 6 * 5 * 7 * 3);
    sw_dry_run_count_product(10, 10, 10);
    assert_true(sw_dry_run_flops() == flops + 2000);
    sw_tape_free(tape);
    assert_ok(sw_dry_run_end());
    sw_dry_run_count_product(10, 10, 10);
    assert_true(sw_dry_run_flops() == 0);
}

/* ---- Sizes that no machine of the test has ---- */

static void test_large_network_needs_no_memory(void **state) {
    (void)state;
    if (SANITIZED)
        skip();
    /* 48 · 2 · 4096 · 16384 parameters, 103 GB with adam in f32, and as many bytes of activations again. */
    const run r = {SW_F32, 4096, 4096, 16384, 1000, 16384, MOST_BLOCKS, 0, 1, "adam", 0};
    struct rusage before, after;
    memory dry;
    getrusage(RUSAGE_SELF, &before);
    run_dry(&r, &dry);
    getrusage(RUSAGE_SELF, &after);
    const int64_t dim = r.blocks * (2 * r.width * r.hidden + r.width + r.hidden) + r.inputs * r.width + r.width +
                        r.width * r.classes + r.classes;
    size_t state_bytes = 0;
    for (int i = 0; i < dry.entries; i++)
        if (dry.entry[i].account == SW_ACCOUNT_PARAMETERS || dry.entry[i].account == SW_ACCOUNT_GRADIENTS ||
            dry.entry[i].account == SW_ACCOUNT_OPTIMIZER)
            state_bytes += dry.entry[i].contents;
    assert_int_equal(state_bytes, 16 * dim);
    assert_true(dry.per_parameter == 16);
    /* Kept are: of each block the input, the output of the first linear layer (for gelu) and gelu's. */
    assert_true(dry.live_set >= (size_t)(r.blocks * r.batch * (r.width + 2 * r.hidden)) * sizeof(float));
    assert_true((double)dry.high_water <= 1.1 * (double)dry.live_set);
    print_message("a dry run of %.1f GB took %.1f MB and %.2f s\n", (double)dry.peak / 1e9,
                  (double)(after.ru_maxrss - before.ru_maxrss) / 1e3,
                  (double)(after.ru_utime.tv_sec - before.ru_utime.tv_sec) +
                      1e-6 * (double)(after.ru_utime.tv_usec - before.ru_utime.tv_usec));
    assert_true(after.ru_maxrss - before.ru_maxrss < 100000); /* KB */
    assert_int_equal(sw_memory_live_total(), 0);
}

/* ---- Threads, and mistakes ---- */

static void *other_thread(void *arg) {
    int *right = arg;
    float x[4] = {1, 2, 3, 4};
    *right = !sw_dry_run() && sw_dry_run_begin() == SW_ERR_STATE &&
             strcmp(sw_error(), "dry_run_begin: another thread is in a dry run; call sw_dry_run_end first") == 0;
    sw_clear_error();
    /* Here kernels run, and memory is that of the process. */
    double norm = 0;
    *right += sw_vector_norm(SW_F32, 4, x, &norm) == SW_OK && norm * norm > 29 && sw_memory_live_total() == 0;
    void *block = sw_alloc(1 << 20);
    *right += block && sw_memory_live_total() == (1 << 20) + SW_ALIGNMENT;
    if (block)
        memset(block, 1, 1 << 20);
    sw_free(block);
    return NULL;
}

static void test_other_threads_are_not_affected(void **state) {
    (void)state;
    pthread_t thread;
    int right = 0;
    assert_ok(sw_dry_run_begin());
    void *mine = sw_alloc_for(SW_ACCOUNT_DATA, 1 << 20);
    assert_int_equal(pthread_create(&thread, NULL, other_thread, &right), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(right, 3);
    assert_int_equal(sw_memory_live(SW_ACCOUNT_DATA), (1 << 20) + SW_ALIGNMENT);
    sw_free(mine);
    assert_ok(sw_dry_run_end());
}

static void test_reserved_memory_is_memory(void **state) {
    (void)state;
    assert_ok(sw_dry_run_begin());
    unsigned char *bytes = sw_alloc((size_t)1 << 20);
    assert_int_equal((uintptr_t)bytes % SW_ALIGNMENT, 0);
    for (size_t i = 0; i < (size_t)1 << 20; i++)
        assert_int_equal(bytes[i], 0);
    memset(bytes, 7, (size_t)1 << 20);
    assert_ok(sw_resize_array(&bytes, 1 << 20, 1 << 21, 1));
    assert_int_equal(bytes[(1 << 20) - 1], 7);
    assert_int_equal(bytes[1 << 20], 0);
    assert_null(sw_alloc((size_t)1 << 60));
    expect_error(SW_ERR_MEMORY, "out of memory: 1152921504606846976 bytes requested, of addresses for a dry run (a "
                                "limit of the address space or of overcommitment?)");
    sw_free(bytes);
    assert_ok(sw_dry_run_end());
}

static void test_mistakes_have_messages(void **state) {
    (void)state;
    assert_int_equal(sw_dry_run_end(), SW_ERR_STATE);
    expect_error(SW_ERR_STATE, "dry_run_end: this thread is in no dry run");
    assert_ok(sw_dry_run_begin());
    assert_int_equal(sw_dry_run_begin(), SW_ERR_STATE);
    expect_error(SW_ERR_STATE, "dry_run_begin: a dry run is under way; call sw_dry_run_end first");
    void *kept = sw_alloc(SW_DRY_BLOCK), *small = sw_alloc(100);
    assert_int_equal(sw_memory_live_total(), SW_DRY_BLOCK + SW_ALIGNMENT + 192);
    assert_int_equal(sw_dry_run_end(), SW_ERR_STATE);
    expect_error(SW_ERR_STATE, "dry_run_end: 262400 bytes of objects from the dry run are not freed; free them before "
                               "the end");
    assert_int_equal(sw_memory_live_total(), 0); /* of the process */
    sw_free(kept);
    assert_ok(sw_dry_run_begin()); /* a new run, with the rest of the old one */
    assert_int_equal(sw_memory_live_total(), 192);
    sw_free(small);
    assert_int_equal(sw_memory_live_total(), 0);
    assert_ok(sw_dry_run_end());
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_large_network_needs_no_memory), /* first, because the peak of the process is compared */
        TEST(test_ledger_of_48_blocks_is_predicted), TEST(test_ledger_of_each_rule_is_predicted),
        TEST(test_flops_are_those_of_the_products),  TEST(test_other_threads_are_not_affected),
        TEST(test_reserved_memory_is_memory),        TEST(test_mistakes_have_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
