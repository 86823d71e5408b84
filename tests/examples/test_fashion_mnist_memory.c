/* fashion_mnist --memory: each line of the table follows from the shapes, and the lines add up. */
#include "fashion_data.h"

enum { UNITS = 12, DIM = 784 * UNITS + UNITS + UNITS * 10 + 10, BATCH = 500 /* of TRAIN */, MOST = 60 };

typedef struct table {
    int count;
    char name[MOST][80];
    size_t now[MOST], most[MOST]; /* lines with one number: most is 0 */
} table;

/* Reads a line "name number" or "name number number"; false for other lines. */
static bool read_line(const char *line, char name[80], size_t *now, size_t *most) {
    const size_t length = strcspn(line, " \n");
    if (length >= 80 || line[length] != ' ')
        return false;
    memcpy(name, line, length);
    name[length] = 0;
    size_t number[2] = {0};
    const char *at = line + length;
    for (int i = 0; i < 2; i++) {
        char *end;
        at += strspn(at, " ");
        if (*at == '\n' && i > 0)
            break;
        number[i] = strtoull(at, &end, 10);
        if (end == at)
            return false;
        at = end;
    }
    *now = number[0];
    *most = number[1];
    return *at == '\n';
}

static table read_table(const output *o) {
    table t = {0};
    for (const char *line = o->out; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        if (read_line(line, t.name[t.count], &t.now[t.count], &t.most[t.count]))
            assert_true(++t.count < MOST);
    return t;
}

static int find(const table *t, const char *name) {
    for (int i = 0; i < t->count; i++)
        if (strcmp(t->name[i], name) == 0)
            return i;
    return -1;
}

static size_t now(const table *t, const char *name) {
    const int i = find(t, name);
    if (i < 0)
        fail_msg("there is no line %s", name);
    return t->now[i];
}

/* A vector in a block of the allocator: rounded to lines of 64 bytes, with one in front (memory.h). */
static size_t vector_bytes(size_t number) {
    return (DIM * number + 63) / 64 * 64 + 64;
}

/* The accounts and the named lines add up to the total; no most is below the bytes of now. */
static void check_sums(const table *t) {
    size_t sum = 0, most = 0;
    const int total = find(t, "memory.total");
    int lines = 0;
    assert_true(total == t->count - 1);
    for (int i = 0; i < total; i++) {
        if (strncmp(t->name[i], "memory.", 7) != 0)
            continue;
        lines++;
        assert_true(t->now[i] <= t->most[i]);
        sum += t->now[i];
        most += t->most[i];
    }
    assert_true(lines >= 5);
    assert_int_equal(sum, t->now[total]);
    assert_true(t->now[total] <= t->most[total] && t->most[total] <= most);
}

/* By hand: the batch and its labels (i32), what the loss saves (logarithms of the softmax), the output of the ReLU. */
static void check_activations(const table *t, size_t number) {
    const size_t relu = BATCH * UNITS * number, loss = BATCH * 10 * number, labels = BATCH * 4,
                 batch = BATCH * 784 * number;
    assert_int_equal(now(t, "activations.relu1"), relu);
    assert_int_equal(now(t, "activations.(no_layer)"), batch + labels + loss);
    assert_int_equal(now(t, "activations"), relu + batch + labels + loss);
    assert_true(find(t, "activations.linear1") < 0 && find(t, "activations.linear2") < 0); /* no vjp reads them */
    assert_true(now(t, "activations") < now(t, "arena.live_set"));
    assert_true(now(t, "arena.live_set") <= now(t, "arena.high_water"));
    assert_true(now(t, "arena.high_water") <= now(t, "arena.capacity"));
    assert_true(now(t, "arena.capacity") < now(t, "memory.tape"));
}

static void test_memory_of_adam_is_16_bytes_per_parameter(void **state) {
    (void)state;
    output o = TRAIN("--quiet", "--hidden", "12", "--memory");
    succeeds(&o);
    assert_non_null(strstr(o.out, "\nbytes_per_parameter 16.00\n"));
    assert_non_null(strstr(o.out, "\nnot counted: OpenBLAS, "));
    const table t = read_table(&o);
    check_sums(&t);
    check_activations(&t, 4);
    static const char *const vectors[] = {"memory.parameters", "memory.gradients", "memory.optimizer.adam.m",
                                          "memory.optimizer.adam.v"};
    for (int i = 0; i < 4; i++)
        assert_int_equal(now(&t, vectors[i]), vector_bytes(4));
    assert_true(now(&t, "memory.data") > 70000 * 785 && now(&t, "memory.data") < 70000 * 785 + (1 << 24));
}

static void test_memory_follows_type_rule_and_average(void **state) {
    (void)state;
    output o = TRAIN("--quiet", "--hidden", "12", "--memory", "--dtype", "f64");
    assert_non_null(strstr(o.out, "\nbytes_per_parameter 32.00\n"));
    table t = read_table(&o);
    check_sums(&t);
    check_activations(&t, 8);
    assert_int_equal(now(&t, "memory.optimizer.adam.v"), vector_bytes(8));
    o = TRAIN("--quiet", "--hidden", "12", "--memory", "--rule", "sgd lr=0.01");
    assert_non_null(strstr(o.out, "\nbytes_per_parameter 8.00\n"));
    t = read_table(&o);
    check_sums(&t);
    check_activations(&t, 4);
    o = TRAIN("--quiet", "--hidden", "12", "--memory", "--average", "ema decay=0.9"); /* and its rounding errors */
    assert_non_null(strstr(o.out, "\nbytes_per_parameter 24.00\n"));
    t = read_table(&o);
    check_sums(&t);
    assert_int_equal(now(&t, "memory.optimizer.ema.ema"), vector_bytes(4));
    assert_int_equal(now(&t, "memory.optimizer.ema.ema_low"), vector_bytes(4));
}

/* The option changes no result, and without it nothing is printed. */
static void test_memory_changes_no_result(void **state) {
    (void)state;
    output plain = TRAIN("--quiet", "--hidden", "12"), with = TRAIN("--quiet", "--hidden", "12", "--memory");
    succeeds(&plain);
    succeeds(&with);
    assert_null(strstr(plain.out, "bytes_per_parameter"));
    assert_null(strstr(plain.out, "memory"));
    assert_true(result(&plain, "train_loss") == result(&with, "train_loss"));
    assert_true(result(&plain, "test_loss") == result(&with, "test_loss"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_of_adam_is_16_bytes_per_parameter),
        cmocka_unit_test(test_memory_follows_type_rule_and_average),
        cmocka_unit_test(test_memory_changes_no_result),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
