/* The mini-batch estimator: the order of the samples. */
#include "helpers.h"

static int64_t seen_ids[64];
static int seen;

static sw_tensor watching_loss(void *user, sw_tape *tape, const int64_t *ids, int64_t count) {
    linear_problem *p = user;
    for (int64_t i = 0; i < count; i++)
        seen_ids[seen++] = ids[i];
    return inner_loss(tape, p->f.params, p->c);
}

static void draws(const char *estimator, uint64_t seed, int steps) {
    sw_params *p = small_params(SW_F64);
    linear_problem f;
    linear_problem_init(&f, p, 10, some_gradient);
    f.f.loss = watching_loss;
    sw_optim *o = NEW_OPTIM(p, .rule = "sgd lr=0", .estimator = estimator, .seed = seed);
    seen = 0;
    for (int i = 0; i < steps; i++)
        assert_ok(sw_optim_minimize(o, &f.f, NULL));
    sw_optim_free(o);
    sw_params_free(p);
}

static bool ascending(const int64_t *ids) {
    for (int i = 0; i < 10; i++)
        if (ids[i] != i)
            return false;
    return true;
}

static bool complete(const int64_t *ids) {
    bool has[10] = {false};
    for (int i = 0; i < 10; i++)
        has[ids[i]] = true;
    for (int i = 0; i < 10; i++)
        if (!has[i])
            return false;
    return true;
}

static void test_minibatch_draws_in_every_order(void **state) {
    (void)state;
    int64_t first[20];
    draws("minibatch batch=4", 1, 6); /* the default shuffles; 4, 4, 2 an epoch */
    assert_int_equal(seen, 20);
    assert_true(complete(seen_ids) && complete(seen_ids + 10));
    assert_false(ascending(seen_ids));
    assert_true(memcmp(seen_ids, seen_ids + 10, 10 * sizeof *seen_ids) != 0);
    memcpy(first, seen_ids, sizeof first);
    draws("minibatch batch=4 order=shuffle", 1, 6);
    assert_memory_equal(first, seen_ids, sizeof first);
    draws("minibatch batch=4", 2, 6);
    assert_true(memcmp(first, seen_ids, sizeof first) != 0);
    draws("minibatch batch=4 order=sequential", 1, 6);
    assert_true(ascending(seen_ids) && ascending(seen_ids + 10));
    draws("minibatch batch=4 order=replacement", 1, 6);
    assert_int_equal(seen, 20);
    assert_false(complete(seen_ids) && complete(seen_ids + 10)); /* (10!/10¹⁰)² = 1e-7 by chance */
    draws("minibatch batch=1000", 1, 2);                         /* more than there are */
    assert_true(seen == 20 && complete(seen_ids) && complete(seen_ids + 10));
}

int main(void) {
#define TEST(name) cmocka_unit_test_teardown(name, test_clear)
    const struct CMUnitTest tests[] = {
        TEST(test_minibatch_draws_in_every_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
