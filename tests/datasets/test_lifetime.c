/* Objects freed twice, sources freed before their readers, tapes that are never reset, a model that two threads
 * evaluate: each is harmless or an error that says what to do, and freed memory is never used. */
#define _GNU_SOURCE
#include "helpers.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include <swale/nn.h>
#include <swale/optim.h>

/* ---- Freed twice ---- */

static void make_archive(void **object) {
    *object = sw_archive_new();
}
static void make_loader(void **object) {
    static const float x[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    const sw_array a = sw_array_view(x, SW_F32, SW_SHAPE(4, 2));
    sw_source *source = sw_arrays(&a, NULL, NULL);
    *object = sw_loader_new(source, 2, NULL);
    sw_source_free(source); /* the loader keeps it */
}
static void make_sampler(void **object) {
    *object = sw_sampler_new(5, 2, SW_SHUFFLE, 1);
}
static void make_tape(void **object) {
    *object = sw_tape_new();
}
static void make_params(void **object) {
    *object = sw_params_new(SW_F32, 1);
}
static void make_model(void **object) {
    *object = sw_model_new(SW_F32, 1);
}

static sw_params *built_params; /* what a gradient and an optimizer are of */
static void make_gradient(void **object) {
    *object = sw_gradient_new(built_params);
}
static void make_optim(void **object) {
    *object = sw_optim_new(built_params, "sgd lr=0.1");
}
static void make_arrays(void **object) {
    static const float x[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    const sw_array a = sw_array_view(x, SW_F32, SW_SHAPE(4, 2));
    *object = sw_arrays(&a, NULL, NULL);
}
static void make_subset(void **object) {
    void *all;
    make_arrays(&all);
    *object = sw_take(all, 2, &(const sw_wrap_options){.size = sizeof(sw_wrap_options), .owns_source = true});
}
static void make_normalized(void **object) {
    void *all;
    make_arrays(&all);
    *object =
        sw_normalize(all, &(const sw_normalize_options){.size = sizeof(sw_normalize_options), .owns_source = true});
}
static void make_generated(void **object) {
    *object = sw_blobs(&(const sw_blobs_options){
        .size = sizeof(sw_blobs_options), .n = 10, .features = 2, .classes = 2, .spread = 1, .box = 1});
}
static void make_tokenizer(void **object) {
    *object = sw_tokenizer_new_characters("abc", 3);
}

#define FREE(name, type)                    \
    static void free_##name(void *object) { \
        sw_##name##_free(object);           \
    }
FREE(archive, sw_archive)
FREE(loader, sw_loader)
FREE(sampler, sw_sampler)
FREE(tape, sw_tape)
FREE(params, sw_params)
FREE(model, sw_model)
FREE(gradient, sw_gradient)
FREE(optim, sw_optim)
FREE(source, sw_source)
FREE(tokenizer, sw_tokenizer)

static const struct {
    const char *kind;
    void (*make)(void **object);
    void (*free)(void *object);
} kinds[] = {
    {"archive", make_archive, free_archive},       {"loader", make_loader, free_loader},
    {"sampler", make_sampler, free_sampler},       {"tape", make_tape, free_tape},
    {"params", make_params, free_params},          {"model", make_model, free_model},
    {"gradient", make_gradient, free_gradient},    {"optim", make_optim, free_optim},
    {"source", make_arrays, free_source},          {"source", make_subset, free_source},
    {"source", make_normalized, free_source},      {"source", make_generated, free_source},
    {"tokenizer", make_tokenizer, free_tokenizer},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static void test_freeing_twice_is_an_error(void **state) {
    (void)state;
    built_params = sw_params_new(SW_F32, 1);
    sw_params_add(built_params, "w", 1, (const int64_t[]){3}, NULL);
    assert_int_equal(sw_params_build(built_params), SW_OK);
    for (int k = 0; k < KINDS; k++) {
        void *object = NULL;
        char text[100];
        kinds[k].make(&object);
        if (!object)
            fail_msg("%s: %s", kinds[k].kind, sw_error());
        kinds[k].free(object);
        assert_null(sw_error());
        snprintf(text, sizeof text, "%s_free: this %s was freed before; ", kinds[k].kind, kinds[k].kind);
        for (int again = 0; again < 3; again++) {
            kinds[k].free(object);
            check_error(SW_ERR_STATE, text, "an object is freed once");
        }
    }
    sw_params_free(built_params);
}

/* Memory that was given out again is an object's of today: never refused, whatever lay there. */
static void test_object_at_a_reused_address_is_another_one(void **state) {
    (void)state;
    built_params = sw_params_new(SW_F32, 1);
    sw_params_add(built_params, "w", 1, (const int64_t[]){3}, NULL);
    assert_int_equal(sw_params_build(built_params), SW_OK);
    for (int k = 0; k < KINDS; k++)
        for (int round = 0; round < 100; round++) {
            void *object[3] = {NULL};
            for (int i = 0; i < 3; i++)
                kinds[(k + i) % KINDS].make(&object[i]);
            for (int i = 0; i < 3; i++)
                kinds[(k + i) % KINDS].free(object[i]);
            assert_null(sw_error());
        }
    sw_params_free(built_params);
}

/* Memory that went back to malloc, and came from there to the program: not refused, whatever lay there. A source
 * where one of the library's sources lay is told from it only once something has read it. */
static void *kept;       /* an object whose memory stays when the library frees it */
static void *kept_block; /* this memory, which begins a line before the object */
static void *roomy_allocate(void *user, size_t size, size_t alignment) {
    (void)user;
    const size_t least = (sizeof(sw_source) + 2 * sizeof(double) + 63) / 64 * 64 + SW_ALIGNMENT;
    return aligned_alloc(alignment, size > least ? size : least);
}
static void roomy_release(void *user, void *block) {
    (void)user;
    if (kept && (char *)block + SW_ALIGNMENT == kept)
        kept_block = block;
    else
        free(block);
}

static void check_own_source_at(void *place);
static void test_custom_source_may_reuse_the_address_of_another_object(void **state) {
    (void)state;
    const sw_allocator roomy = {sizeof roomy, NULL, roomy_allocate, roomy_release};
    sw_set_allocator(&roomy);
    built_params = sw_params_new(SW_F32, 1);
    sw_params_add(built_params, "w", 1, (const int64_t[]){3}, NULL);
    assert_int_equal(sw_params_build(built_params), SW_OK);
    int sources = 0;
    for (int k = 0; k < KINDS; k++) {
        if (strcmp(kinds[k].kind, "source") == 0) {
            sources++;
            continue;
        }
        kinds[k].make(&kept);
        assert_non_null(kept);
        kept_block = NULL;
        kinds[k].free(kept);
        assert_non_null(kept_block);
        check_own_source_at(kept);
        free(kept_block);
        kept = NULL;
    }
    assert_true(sources < KINDS);
    sw_params_free(built_params);
    sw_set_allocator(NULL);
}

/* What belongs to another object is freed with it; whoever frees it himself gets the error, and the
 * owner's own free does the rest. */
static void test_freeing_a_part_of_another_object_is_an_error(void **state) {
    (void)state;
    sw_model *model = sw_model_new(SW_F32, 1);
    sw_params *params = sw_model_build(model, sw_nn_linear(model, 2, 1));
    assert_non_null(params);
    sw_model_free(model);
    assert_null(sw_error());
    sw_params_free(params);
    check_error(SW_ERR_STATE, "params_free: this params was freed before", NULL);
}

/* ---- Sources ---- */

/* One whose memory is freed by its own function, which counts. Its numbers are 7. */
typedef struct counted {
    sw_source source;
    double seven;
} counted;
static int counted_freed;

static sw_status counted_gather(const sw_source *source, const int64_t *ids, int64_t count, uint64_t draw,
                                sw_dtype type, void *x, void *y) {
    const double seven = ((const counted *)source)->seven;
    (void)ids, (void)draw;
    for (int64_t i = 0; i < 2 * count && x; i++)
        if (type == SW_F32)
            ((float *)x)[i] = (float)seven;
        else
            ((double *)x)[i] = seven;
    for (int64_t i = 0; i < count && y; i++)
        ((int32_t *)y)[i] = (int32_t)(ids[i] % 2);
    return SW_OK;
}
static void counted_free(sw_source *source) {
    counted *c = (counted *)source;
    c->seven = -1;
    counted_freed++;
    free(c);
}
static sw_source *counted_at(counted *c) {
    c->seven = 7;
    c->source = (sw_source){.size = sizeof(sw_source),
                            .n = 10,
                            .x_rank = 1,
                            .x_shape = {2},
                            .y_type = SW_I32,
                            .classes = 2,
                            .gather = counted_gather,
                            .free = counted_free};
    counted_freed = 0;
    return &c->source;
}
static sw_source *counted_new(void) {
    counted *c = calloc(1, sizeof *c);
    assert_non_null(c);
    return counted_at(c);
}

static void counted_leave(sw_source *source) {
    (void)source;
    counted_freed++;
}

/* Nothing reads it before it is freed. The memory stays. */
static void check_own_source_at(void *place) {
    sw_source *source = counted_at(place);
    source->free = counted_leave;
    sw_source_free(source);
    assert_null(sw_error());
    assert_int_equal(counted_freed, 1);
}

static void check_sevens(const sw_source *source) {
    const int64_t ids[2] = {0, 1};
    double x[4] = {0};
    assert_int_equal(sw_source_gather(source, SW_F64, 0, ids, 2, x, NULL), SW_OK);
    for (int i = 0; i < 4; i++)
        assert_true(x[i] == 7);
}

typedef sw_source *wrapper(sw_source *source, bool own);
static sw_source *wrap_subset(sw_source *source, bool own) {
    const int64_t ids[3] = {4, 1, 4};
    return sw_subset(source, ids, 3, &(const sw_wrap_options){.size = sizeof(sw_wrap_options), .owns_source = own});
}
static sw_source *wrap_take(sw_source *source, bool own) {
    return sw_take(source, 5, &(const sw_wrap_options){.size = sizeof(sw_wrap_options), .owns_source = own});
}
static sw_source *wrap_part(sw_source *source, bool own) {
    const double half[2] = {0.5, 0.5};
    sw_source *parts[2];
    const sw_split_options o = {.size = sizeof o, .fractions = half, .owns_source = own};
    assert_int_equal(sw_split_source(source, 2, &o, parts), SW_OK);
    sw_source_free(parts[0]);
    return parts[1];
}
static sw_source *wrap_normalized(sw_source *source, bool own) {
    static const double zero[2] = {0, 0}, one[2] = {1, 1};
    const sw_normalize_options o = {
        .size = sizeof o, .which = SW_PER_FEATURE, .mean = zero, .std = one, .owns_source = own};
    return sw_normalize(source, &o);
}
static sw_status same_sample(void *user, int64_t id, uint64_t draw, const double *in, double *out) {
    (void)user, (void)id, (void)draw;
    out[0] = in[0];
    out[1] = in[1];
    return SW_OK;
}
static sw_source *wrap_mapped(sw_source *source, bool own) {
    return sw_map(source, same_sample, NULL,
                  &(const sw_map_options){.size = sizeof(sw_map_options), .owns_source = own});
}
static wrapper *const wrappers[] = {wrap_subset, wrap_take, wrap_part, wrap_normalized, wrap_mapped};
enum { WRAPPERS = sizeof wrappers / sizeof *wrappers };

static void test_source_lives_until_its_last_view_is_freed(void **state) {
    (void)state;
    for (int w = 0; w < WRAPPERS; w++)
        for (int deep = 0; deep < 2; deep++) {
            sw_source *source = counted_new(), *view = wrappers[w](source, false), *middle = view;
            if (deep)
                view = sw_take(middle, 2, NULL);
            assert_non_null(view);
            sw_source_free(source);
            if (deep) /* a view of a view, and the one between goes too */
                sw_source_free(middle);
            assert_int_equal(counted_freed, 0);
            check_sevens(view);
            sw_source_free(view);
            assert_int_equal(counted_freed, 1);
            assert_null(sw_error());
        }
}

/* The usual order, and a view that owns: freed exactly once, by whoever is to. */
static void test_source_is_freed_once_in_every_order(void **state) {
    (void)state;
    for (int w = 0; w < WRAPPERS; w++) {
        sw_source *source = counted_new(), *view = wrappers[w](source, false);
        sw_source_free(view);
        assert_int_equal(counted_freed, 0);
        sw_source_free(source);
        assert_int_equal(counted_freed, 1);
        source = counted_new();
        view = wrappers[w](source, true);
        sw_source_free(view);
        assert_int_equal(counted_freed, 1);
        assert_null(sw_error());
        /* One that is owned and freed by hand besides: a mistake, and no more than that. */
        source = counted_new();
        view = wrappers[w](source, true);
        sw_source_free(source);
        assert_int_equal(counted_freed, 0);
        check_sevens(view);
        sw_source_free(view);
        check_error(SW_ERR_STATE, "source_free: this source was freed before", NULL);
        assert_int_equal(counted_freed, 1);
    }
}

static void test_source_outlives_two_readers(void **state) {
    (void)state;
    sw_source *source = counted_new(), *a = wrap_take(source, false), *b = wrap_subset(source, false);
    sw_source_free(source);
    sw_source_free(a);
    assert_int_equal(counted_freed, 0);
    sw_source_free(source);
    check_error(SW_ERR_STATE, "source_free: this source was freed before", NULL);
    check_sevens(b);
    sw_source_free(b);
    assert_int_equal(counted_freed, 1);
}

/* A reader that is made after the free, while an earlier one keeps the source: the last one frees it. */
static void test_reader_of_a_freed_source_is_refused(void **state) {
    (void)state;
    for (int w = 0; w < WRAPPERS; w++)
        for (int newer_first = 0; newer_first < 2; newer_first++) {
            sw_source *source = counted_new(), *view[2] = {wrap_take(source, false)};
            sw_source_free(source);
            view[1] = wrappers[w](source, false);
            check_sevens(view[1]);
            sw_source_free(view[newer_first]);
            assert_int_equal(counted_freed, 0);
            check_sevens(view[!newer_first]);
            sw_source_free(view[!newer_first]);
            assert_int_equal(counted_freed, 1);
            assert_null(sw_error());
        }
}

static void test_loader_keeps_its_source(void **state) {
    (void)state;
    for (int prefetch = 0; prefetch < 2; prefetch++) {
        sw_source *source = counted_new(), *view = sw_take(source, 4, NULL);
        const sw_loader_options o = {.size = sizeof o, .prefetch = prefetch ? SW_PREFETCH_ON : SW_PREFETCH_OFF};
        sw_loader *loader = sw_loader_new(view, 2, &o);
        sw_tape *tape = sw_tape_new();
        sw_source_free(source);
        sw_source_free(view);
        int batches = 0;
        for (sw_batch b; sw_loader_next(loader, tape, &b); sw_tape_reset(tape), batches++)
            assert_true(*(const float *)sw_value(b.x).data == 7);
        assert_int_equal(batches, 2);
        assert_int_equal(counted_freed, 0);
        sw_loader_free(loader);
        assert_int_equal(counted_freed, 1);
        sw_tape_free(tape);
        assert_null(sw_error());
    }
}

static void test_objective_keeps_its_source(void **state) {
    (void)state;
    sw_source *source = counted_new();
    sw_model *model = sw_model_new(SW_F64, 1);
    assert_non_null(sw_model_build(model, sw_nn_linear(model, 2, 2)));
    const sw_objective *f = sw_model_objective(model, source, sw_cross_entropy);
    sw_tape *tape = sw_tape_new();
    double before = 0, after = 1;
    assert_int_equal(sw_objective_value(f, tape, NULL, NULL, 10, 1, &before), SW_OK);
    sw_source_free(source);
    assert_int_equal(sw_objective_value(f, tape, NULL, NULL, 10, 1, &after), SW_OK);
    assert_true(before == after);
    sw_tape_free(tape);
    assert_int_equal(counted_freed, 0);
    sw_model_free(model);
    assert_int_equal(counted_freed, 1);
    assert_null(sw_error());
}

/* ---- Tapes that are never reset ---- */

static void test_tape_that_grows_from_step_to_step_is_reported(void **state) {
    (void)state;
    sw_params *params = sw_params_new(SW_F32, 1);
    sw_param *w = sw_params_add(params, "w", 1, (const int64_t[]){3}, NULL);
    assert_int_equal(sw_params_build(params), SW_OK);
    sw_tape *tape = sw_tape_new();
    int steps = 0;
    for (; steps < 5000; steps++, sw_params_mark_changed(params)) /* small, and the program's business */
        assert_false(sw_is_null(sw_param_use(tape, w)));
    sw_tape_reset(tape);
    for (steps = 0; steps < 5000; steps++, sw_params_mark_changed(params), sw_tape_reset(tape)) {
        assert_false(sw_is_null(sw_empty(tape, SW_U8, SW_SHAPE(1ll << 30)))); /* large, and reset */
        assert_false(sw_is_null(sw_param_use(tape, w)));
    }
    assert_false(sw_is_null(sw_empty(tape, SW_U8, SW_SHAPE(1ll << 30)))); /* never written: no memory */
    for (steps = 0; steps < 5000 && !sw_is_null(sw_param_use(tape, w)); steps++)
        sw_params_mark_changed(params);
    assert_int_equal(steps, 100);
    check_error(SW_ERR_STATE, "tape: the parameters have changed 100 times since the last reset", "call sw_tape_reset");
    sw_tape_reset(tape);
    assert_false(sw_is_null(sw_param_use(tape, w)));
    sw_tape_free(tape);
    sw_params_free(params);
    assert_null(sw_error());
}

/* What the tape keeps from what was rewound, and what could not be had, is not in use. */
static void test_tape_that_is_rewound_does_not_grow(void **state) {
    (void)state;
    enum { STEPS = 500 };
    sw_params *params = sw_params_new(SW_F32, 1);
    sw_param *w = sw_params_add(params, "w", 1, (const int64_t[]){3}, NULL);
    assert_int_equal(sw_params_build(params), SW_OK);
    count_memory(-1);
    memory.untouched = true;
    sw_tape *tape = sw_tape_new();
    assert_false(sw_is_null(sw_param_use(tape, w)));
    const sw_mark mark = sw_tape_mark(tape);
    assert_false(sw_is_null(sw_empty(tape, SW_U8, SW_SHAPE(1ll << 30)))); /* never written: no memory */
    assert_int_equal(sw_tape_rewind(tape, mark), SW_OK);
    test_allocator_fail(&memory, 1, false);
    assert_true(sw_is_null(sw_empty(tape, SW_U8, SW_SHAPE(1ll << 32))));
    check_error(SW_ERR_MEMORY, "out of memory: ", "since its last sw_tape_reset");
    for (int step = 0; step < STEPS; step++, sw_params_mark_changed(params)) {
        assert_false(sw_is_null(sw_param_use(tape, w)));
        assert_int_equal(sw_tape_rewind(tape, mark), SW_OK);
    }
    assert_true(sw_tape_held_bytes(tape) >= (size_t)1 << 30);
    assert_false(sw_is_null(sw_empty(tape, SW_U8, SW_SHAPE(1ll << 30)))); /* in use again */
    assert_true(sw_is_null(sw_param_use(tape, w)));
    check_error(SW_ERR_STATE, "tape: the parameters have changed 500 times", "call sw_tape_reset");
    sw_tape_free(tape);
    sw_set_allocator(NULL);
    sw_params_free(params);
    assert_null(sw_error());
}

/* Blocks of nodes, which are all of one size, share their memory: the test needs none of 2^24
 * nodes. */
static struct {
    size_t size; /* of a block of nodes */
    void *block;
} nodes;
static void *nodes_allocate(void *user, size_t size, size_t alignment) {
    (void)user;
    if (size != nodes.size)
        return aligned_alloc(alignment, size);
    if (!nodes.block)
        nodes.block = aligned_alloc(alignment, size);
    return nodes.block;
}
static void nodes_release(void *user, void *block) {
    (void)user;
    if (block != nodes.block)
        free(block);
}

static void test_tape_of_endless_inputs_is_reported(void **state) {
    (void)state;
    sw_tape *tape = sw_tape_new();
    const float one = 1;
    const sw_array scalar = sw_array_view(&one, SW_F32, 0, NULL);
    assert_false(sw_is_null(sw_input(tape, scalar)));
    const size_t first = sw_tape_held_bytes(tape);
    int in_a_block = 1;
    while (sw_tape_held_bytes(tape) == first && in_a_block < 100000) {
        assert_false(sw_is_null(sw_input(tape, scalar)));
        in_a_block++;
    }
    nodes.size = (sw_tape_held_bytes(tape) - first + 63) / 64 * 64 + SW_ALIGNMENT; /* and a header */
    sw_tape_free(tape);
    const sw_allocator shared = {sizeof shared, NULL, nodes_allocate, nodes_release};
    sw_set_allocator(&shared);
    tape = sw_tape_new();
    int64_t count = 0;
    while (count <= 1 << 25 && !sw_is_null(sw_input(tape, scalar)))
        count++;
    assert_int_equal(count, 1 << 24);
    check_error(SW_ERR_STATE, "tape: 16777216 tensors since the last reset", "call sw_tape_reset");
    sw_tape_free(tape);
    sw_set_allocator(NULL);
    free(nodes.block);
}

static void test_tape_without_memory_names_the_missing_reset(void **state) {
    (void)state;
    count_memory(-1);
    sw_tape *tape = sw_tape_new();
    assert_false(sw_is_null(sw_empty(tape, SW_U8, SW_SHAPE(1 << 20))));
    test_allocator_fail(&memory, 1, false);
    assert_true(sw_is_null(sw_empty(tape, SW_U8, SW_SHAPE(1 << 20))));
    check_error(SW_ERR_MEMORY, "out of memory: ", "since its last sw_tape_reset (was it forgotten?)");
    sw_tape_free(tape);
    assert_int_equal(atomic_load(&memory.live), 0);
    sw_set_allocator(NULL);
}

/* ---- One model, two threads ---- */

static atomic_int stage; /* 1: the first evaluation is under way; 2: it may go on */
static sw_model *shared_model;
static sw_source *shared_source;

static sw_tensor slow_loss(sw_tensor prediction, sw_tensor target) {
    int expected = 0;
    atomic_compare_exchange_strong(&stage, &expected, 1);
    for (int i = 0; atomic_load(&stage) < 2 && i < 20000; i++)
        usleep(500);
    return sw_cross_entropy(prediction, target);
}

static void *evaluate_slowly(void *result) {
    sw_evaluation *e = result;
    return sw_model_evaluate(shared_model, NULL, shared_source, slow_loss, e) == SW_OK ? NULL : "failed";
}

static sw_tensor loss_that_predicts(sw_tensor prediction, sw_tensor target) {
    sw_array y = {0};
    assert_int_equal(sw_predict_source(shared_model, shared_source, &y), SW_ERR_STATE);
    assert_non_null(strstr(sw_error(), "by the function that calls this one"));
    sw_clear_error();
    return sw_cross_entropy(prediction, target);
}

static void test_second_evaluation_at_once_is_refused(void **state) {
    (void)state;
    shared_source = counted_new();
    shared_model = sw_model_new(SW_F64, 1);
    assert_non_null(sw_model_build(shared_model, sw_nn_linear(shared_model, 2, 2)));
    sw_evaluation alone, slow, other;
    assert_int_equal(sw_model_evaluate(shared_model, NULL, shared_source, sw_cross_entropy, &alone), SW_OK);
    pthread_t thread;
    void *failed = NULL;
    atomic_store(&stage, 0);
    assert_int_equal(pthread_create(&thread, NULL, evaluate_slowly, &slow), 0);
    for (int i = 0; atomic_load(&stage) < 1 && i < 20000; i++)
        usleep(500);
    sw_array y = {0};
    assert_int_equal(sw_model_evaluate(shared_model, NULL, shared_source, sw_cross_entropy, &other), SW_ERR_STATE);
    check_error(SW_ERR_STATE, "model_evaluate: the model is being evaluated already", "a tape and sw_forward");
    assert_int_equal(sw_predict_source(shared_model, shared_source, &y), SW_ERR_STATE);
    check_error(SW_ERR_STATE, "predict_source: the model is being evaluated already", NULL);
    atomic_store(&stage, 2);
    assert_int_equal(pthread_join(thread, &failed), 0);
    assert_null(failed);
    assert_true(slow.loss == alone.loss && slow.accuracy == alone.accuracy);
    assert_int_equal(sw_model_evaluate(shared_model, NULL, shared_source, loss_that_predicts, &other), SW_OK);
    assert_true(other.loss == alone.loss);
    assert_int_equal(sw_predict_source(shared_model, shared_source, &y), SW_OK);
    sw_array_free(&y);
    sw_model_free(shared_model);
    sw_source_free(shared_source);
    assert_null(sw_error());
}

#define TEST(name) cmocka_unit_test_teardown(name, test_clear)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_freeing_twice_is_an_error),
        TEST(test_object_at_a_reused_address_is_another_one),
        TEST(test_custom_source_may_reuse_the_address_of_another_object),
        TEST(test_freeing_a_part_of_another_object_is_an_error),
        TEST(test_source_lives_until_its_last_view_is_freed),
        TEST(test_source_is_freed_once_in_every_order),
        TEST(test_source_outlives_two_readers),
        TEST(test_reader_of_a_freed_source_is_refused),
        TEST(test_loader_keeps_its_source),
        TEST(test_objective_keeps_its_source),
        TEST(test_tape_that_grows_from_step_to_step_is_reported),
        TEST(test_tape_that_is_rewound_does_not_grow),
        TEST(test_tape_of_endless_inputs_is_reported),
        TEST(test_tape_without_memory_names_the_missing_reset),
        TEST(test_second_evaluation_at_once_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
