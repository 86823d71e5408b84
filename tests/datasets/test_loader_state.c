/* The position of a loader, saved and restored: the same batches follow as without the interruption. */
#include "helpers.h"

enum { N = 23, BATCH = 5, EPOCHS = 3, CALLS = 60 };

static sw_status gather(const sw_source *source, const int64_t *ids, int64_t count, uint64_t draw, sw_dtype type,
                        void *x, void *y) {
    (void)source, (void)type, (void)y;
    for (int64_t i = 0; i < count; i++)
        ((float *)x)[i] = (float)(ids[i] + 1000 * (int64_t)draw);
    return SW_OK;
}

static const sw_source source = {.size = sizeof source, .n = N, .y_rank = -1, .gather = gather};

static const sw_order orders[] = {SW_SHUFFLE, SW_SEQUENTIAL, SW_WITH_REPLACEMENT};

/* What calls of sw_loader_next give: count, 0 at the end of an epoch, and the values. */
typedef struct trace {
    int64_t count[CALLS];
    float x[CALLS][BATCH];
    sw_loader_position before[CALLS];
} trace;

static void follow(sw_loader *loader, int from, int to, trace *t) {
    sw_tape *tape = sw_tape_new();
    for (int i = from; i < to; i++, sw_tape_reset(tape)) {
        sw_batch b;
        t->before[i].size = sizeof t->before[i];
        assert_int_equal(sw_loader_get_position(loader, &t->before[i]), SW_OK);
        t->count[i] = sw_loader_next(loader, tape, &b) ? b.count : 0;
        memset(t->x[i], 0, sizeof t->x[i]);
        if (t->count[i])
            memcpy(t->x[i], sw_value(b.x).data, (size_t)b.count * sizeof(float));
    }
    sw_tape_free(tape);
    assert_null(sw_error());
}

static void test_restored_loader_continues_from_every_position(void **state) {
    (void)state;
    for (int k = 0; k < 12; k++) {
        const sw_loader_options o = {.size = sizeof o,
                                     .order = orders[k % 3],
                                     .seed = 77,
                                     .drop_last = k / 3 % 2 != 0,
                                     .prefetch = k / 6 ? SW_PREFETCH_ON : SW_PREFETCH_OFF};
        const int calls = EPOCHS * (o.drop_last ? 5 : 6);
        static trace whole, rest;
        sw_loader *loader = sw_loader_new(&source, BATCH, &o);
        follow(loader, 0, calls, &whole);
        sw_loader_free(loader);
        for (int from = 0; from < calls; from++) {
            const sw_loader_position *p = &whole.before[from];
            const int per_epoch = calls / EPOCHS, in = from % per_epoch;
            assert_int_equal(p->epoch, from / per_epoch);
            assert_int_equal(p->position, in * BATCH < N ? in * BATCH : N);
            assert_int_equal(p->n, N);
            assert_int_equal(p->batch, BATCH);
            assert_int_equal(p->order, o.order);
            assert_int_equal(p->drop_last, o.drop_last);
            assert_int_equal(p->seed, 77);
            /* A new loader, and one that has gone elsewhere and may have a batch under way. */
            for (int used = 0; used < 3; used++) {
                loader = sw_loader_new(&source, BATCH, &o);
                follow(loader, 0, used * 4, &rest);
                assert_int_equal(sw_loader_set_position(loader, p), SW_OK);
                assert_int_equal(sw_loader_epoch(loader), p->epoch);
                follow(loader, from, calls, &rest);
                for (int i = from; i < calls; i++) {
                    assert_int_equal(rest.count[i], whole.count[i]);
                    assert_memory_equal(rest.x[i], whole.x[i], sizeof rest.x[i]);
                    assert_memory_equal(&rest.before[i], &whole.before[i], sizeof rest.before[i]);
                }
                sw_loader_free(loader);
            }
        }
    }
}

static void test_prefetched_batch_does_not_count_as_drawn(void **state) {
    (void)state;
    const sw_loader_options o = {.size = sizeof o, .prefetch = SW_PREFETCH_ON};
    sw_loader *loader = sw_loader_new(&source, BATCH, &o);
    sw_tape *tape = sw_tape_new();
    sw_batch b;
    sw_loader_position p = {.size = sizeof p};
    assert_true(sw_loader_next(loader, tape, &b));
    assert_int_equal(sw_loader_get_position(loader, &p), SW_OK);
    assert_int_equal(p.position, BATCH);
    sw_loader_free(loader);
    sw_tape_free(tape);
}

/* A failure ends its epoch: the position is the beginning of the next one. */
static void test_position_after_a_failure_is_the_next_epoch(void **state) {
    (void)state;
    static trace straight, after;
    sw_loader *loader = sw_loader_new(&source, BATCH, NULL);
    follow(loader, 0, 18, &straight);
    sw_loader_free(loader);
    loader = sw_loader_new(&source, BATCH, NULL);
    sw_tape *tape = sw_tape_new();
    sw_batch b;
    sw_loader_position p = {.size = sizeof p};
    assert_true(sw_loader_next(loader, tape, &b));
    assert_false(sw_loader_next(loader, tape, &b));
    check_error(SW_ERR_STATE, "loader: ", "still on the tape");
    assert_int_equal(sw_loader_get_position(loader, &p), SW_OK);
    assert_int_equal(p.epoch, 1);
    assert_int_equal(p.position, 0);
    assert_memory_equal(&p, &straight.before[6], sizeof p);
    follow(loader, 6, 18, &after);
    assert_memory_equal(after.x[6], straight.x[6], 12 * sizeof after.x[6]);
    sw_loader_free(loader);
    sw_tape_free(tape);
}

static void test_restore_refuses_another_loader(void **state) {
    (void)state;
    const sw_loader_options o = {.size = sizeof o, .seed = 3};
    sw_loader *loader = sw_loader_new(&source, BATCH, &o);
    sw_loader_position good = {.size = sizeof good}, now = good;
    assert_int_equal(sw_loader_get_position(loader, &good), SW_OK);
    const struct {
        sw_loader_position p;
        const char *text;
    } cases[] = {
        {{.size = sizeof good, .seed = 4, .order = SW_SHUFFLE, .n = N, .batch = BATCH},
         "loader_set_position: seed is 3 here, and 4 in the saved position"},
        {{.size = sizeof good, .seed = 3, .order = SW_SEQUENTIAL, .n = N, .batch = BATCH},
         "loader_set_position: order is 0 here, and 1 in the saved position"},
        {{.size = sizeof good, .seed = 3, .n = 24, .batch = BATCH},
         "loader_set_position: n is 23 here, and 24 in the saved position"},
        {{.size = sizeof good, .seed = 3, .n = N, .batch = 6},
         "loader_set_position: batch is 5 here, and 6 in the saved position"},
        {{.size = sizeof good, .seed = 3, .n = N, .batch = BATCH, .drop_last = 1},
         "loader_set_position: drop_last is 0 here, and 1 in the saved position"},
        {{.size = sizeof good, .seed = 3, .n = N, .batch = BATCH, .position = 3},
         "loader_set_position: epoch 0, position 3 is not at the beginning of a batch"},
        {{.size = sizeof good, .seed = 3, .n = N, .batch = BATCH, .position = 25},
         "loader_set_position: epoch 0, position 25 is not at the beginning of a batch"},
        {{.size = sizeof good, .seed = 3, .n = N, .batch = BATCH, .position = -5},
         "loader_set_position: epoch 0, position -5 is not at the beginning of a batch"},
        {{.size = sizeof good, .seed = 3, .n = N, .batch = BATCH, .epoch = -1},
         "loader_set_position: epoch -1, position 0 is not at the beginning of a batch"},
    };
    sw_tape *tape = sw_tape_new();
    sw_batch b;
    assert_true(sw_loader_next(loader, tape, &b));
    assert_int_equal(sw_loader_get_position(loader, &good), SW_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(sw_loader_set_position(loader, &cases[i].p), SW_ERR_ARGUMENT);
        assert_string_equal(sw_error(), cases[i].text);
        sw_clear_error();
        assert_int_equal(sw_loader_get_position(loader, &now), SW_OK); /* it stayed where it was */
        assert_memory_equal(&now, &good, sizeof now);
    }
    now.size = 0;
    assert_int_equal(sw_loader_get_position(loader, &now), SW_ERR_ARGUMENT);
    check_error(SW_ERR_ARGUMENT, "loader_get_position: options.size is 0", NULL);
    assert_int_equal(sw_loader_set_position(loader, &now), SW_ERR_ARGUMENT);
    check_error(SW_ERR_ARGUMENT, "loader_set_position: options.size is 0", NULL);
    assert_int_equal(sw_loader_get_position(NULL, &now), SW_ERR_ARGUMENT);
    check_error(SW_ERR_ARGUMENT, "loader_get_position: the loader", "is NULL");
    assert_int_equal(sw_loader_get_position(loader, NULL), SW_ERR_ARGUMENT);
    check_error(SW_ERR_ARGUMENT, "loader_get_position: the position", "is NULL");
    assert_int_equal(sw_loader_set_position(NULL, &now), SW_ERR_ARGUMENT);
    check_error(SW_ERR_ARGUMENT, "loader_set_position: the loader", "is NULL");
    assert_int_equal(sw_loader_set_position(loader, NULL), SW_ERR_ARGUMENT);
    check_error(SW_ERR_ARGUMENT, "loader_set_position: the position", "is NULL");
    sw_loader_free(loader);
    sw_tape_free(tape);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_restored_loader_continues_from_every_position),
        cmocka_unit_test(test_prefetched_batch_does_not_count_as_drawn),
        cmocka_unit_test(test_position_after_a_failure_is_the_next_epoch),
        cmocka_unit_test(test_restore_refuses_another_loader),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
