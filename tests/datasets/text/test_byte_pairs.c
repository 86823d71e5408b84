/* Byte pairs: joins and ids as in tests/golden/byte_pairs.py, texts that are restored byte for byte, and mistakes. */
#include "datasets/helpers.h"

#include "golden/byte_pairs.h"

enum {
    GOLDEN = sizeof golden_pairs / sizeof *golden_pairs,
    PROBES = sizeof golden_pairs->coded / sizeof *golden_pairs->coded
};

/* Checks that the last call failed with this status and a message that begins with `text`. */
static void check_prefix(sw_status status, const char *text) {
    if (!sw_error() || strncmp(sw_error(), text, strlen(text)) != 0)
        fail_msg("message \"%s\", expected \"%s\"", sw_error() ? sw_error() : "none", text);
    assert_int_equal(sw_error_status(), status);
    sw_clear_error();
}

/* The text of case i. */
static bytes text_of(int i) {
    bytes b = make_bytes(golden_pairs[i].bytes * (size_t)golden_pairs[i].times);
    for (int k = 0; k < golden_pairs[i].times; k++)
        memcpy(b.at + (size_t)k * golden_pairs[i].bytes, golden_pairs[i].unit, golden_pairs[i].bytes);
    return b;
}

static sw_tokenizer *train(const void *text, size_t size, int64_t tokens) {
    sw_tokenizer *t = sw_tokenizer_new_byte_pairs(text, size, tokens);
    if (!t)
        fail_msg("%s", sw_error());
    return t;
}

static void check_restored(const sw_tokenizer *t, const void *text, size_t size, const sw_array *ids) {
    size_t length;
    char *again = sw_tokenizer_decode(t, ids->data, ids->shape[0], &length);
    assert_non_null(again);
    assert_int_equal(length, size);
    assert_memory_equal(again, size ? text : "", size + !size);
    assert_int_equal(again[length], 0);
    sw_free(again);
}

static void test_joins_are_those_of_the_definition(void **state) {
    (void)state;
    for (int i = 0; i < GOLDEN; i++) {
        bytes text = text_of(i);
        sw_tokenizer *t = train(text.at, text.size, golden_pairs[i].tokens);
        if (sw_tokenizer_count(t) != 256 + golden_pairs[i].joins)
            fail_msg("%s: %lld tokens", golden_pairs[i].name, (long long)sw_tokenizer_count(t));
        for (int64_t k = 0; k < golden_pairs[i].joins; k++) {
            size_t size, a, b;
            const int32_t *join = golden_pairs[i].join + 2 * k;
            const char *token = sw_tokenizer_at(t, 256 + k, &size), *first = sw_tokenizer_at(t, join[0], &a),
                       *second = sw_tokenizer_at(t, join[1], &b);
            if (size != a + b || memcmp(token, first, a) != 0 || memcmp(token + a, second, b) != 0)
                fail_msg("%s: join %lld", golden_pairs[i].name, (long long)k);
        }
        sw_tokenizer_free(t);
        free(text.at);
    }
}

static void test_ids_are_those_of_another_implementation(void **state) {
    (void)state;
    for (int i = 0; i < GOLDEN; i++) {
        bytes text = text_of(i);
        sw_tokenizer *t = train(text.at, text.size, golden_pairs[i].tokens);
        for (int k = 0; k < PROBES; k++) {
            const golden_pairs_encoding *coded = &golden_pairs[i].coded[k];
            const void *from = coded->text ? coded->text : text.at;
            const size_t size = coded->text ? coded->bytes : text.size;
            sw_array ids = sw_tokenizer_encode(t, from, size);
            if (!ids.data || ids.type != SW_I32 || ids.rank != 1 || ids.shape[0] != coded->count ||
                memcmp(ids.data, coded->ids, (size_t)coded->count * sizeof *coded->ids) != 0)
                fail_msg("%s, probe %d: %lld ids", golden_pairs[i].name, k, (long long)ids.shape[0]);
            check_restored(t, from, size, &ids);
            sw_array_free(&ids);
        }
        sw_tokenizer_free(t);
        free(text.at);
    }
}

/* Random texts of few bytes have many repetitions; other random texts contain pairs that the training did not see. */
static void test_any_bytes_are_restored(void **state) {
    (void)state;
    uint64_t seed = 3;
    for (int round = 0; round < 60; round++) {
        const size_t size = test_random(&seed) % 9000;
        const int kinds = 1 + (int)(test_random(&seed) % 256);
        bytes text = make_bytes(size ? size : 1), other = make_bytes(1000);
        for (size_t i = 0; i < size; i++)
            text.at[i] = (unsigned char)(32 + test_random(&seed) % (uint64_t)kinds);
        for (size_t i = 0; i < other.size; i++)
            other.at[i] = (unsigned char)test_random(&seed);
        sw_tokenizer *t = train(text.at, size, 256 + (int64_t)(test_random(&seed) % 300));
        sw_array ids = sw_tokenizer_encode(t, (char *)text.at, size);
        check_restored(t, text.at, size, &ids);
        sw_array_free(&ids);
        ids = sw_tokenizer_encode(t, (char *)other.at, other.size);
        check_restored(t, other.at, other.size, &ids);
        sw_array_free(&ids);
        sw_tokenizer_free(t);
        free(text.at), free(other.at);
    }
    assert_null(sw_error());
}

/* A copy that is read from a description gives equal ids. */
static void test_descriptions_restore_joins(void **state) {
    (void)state;
    for (int i = 0; i < GOLDEN; i++) {
        bytes text = text_of(i);
        sw_tokenizer *t = train(text.at, text.size, golden_pairs[i].tokens);
        char *description = sw_tokenizer_description(t);
        assert_non_null(description);
        sw_tokenizer *copy = sw_tokenizer_new_from_description(description);
        if (!copy)
            fail_msg("%s", sw_error());
        char *again = sw_tokenizer_description(copy);
        assert_string_equal(again, description);
        sw_array a = sw_tokenizer_encode(t, (char *)text.at, text.size),
                 b = sw_tokenizer_encode(copy, (char *)text.at, text.size);
        assert_int_equal(a.shape[0], b.shape[0]);
        assert_memory_equal(a.data, b.data, test_bytes(&a));
        sw_array_free(&a), sw_array_free(&b);
        sw_free(description), sw_free(again);
        sw_tokenizer_free(t), sw_tokenizer_free(copy);
        free(text.at);
    }
}

static void test_mistakes_are_errors(void **state) {
    (void)state;
    assert_null(sw_tokenizer_new_byte_pairs("abab", 4, 255));
    check_prefix(SW_ERR_ARGUMENT,
                 "tokenizer_new_byte_pairs: 255 tokens; 256 (one for each byte) to 1048576 are possible");
    assert_null(sw_tokenizer_new_byte_pairs("abab", 4, 1048577));
    check_error(SW_ERR_ARGUMENT, "tokenizer_new_byte_pairs: 1048577 tokens; ", "1048576 are possible");
    assert_null(sw_tokenizer_new_byte_pairs(NULL, 4, 300));
    check_error(SW_ERR_ARGUMENT, "tokenizer_new_byte_pairs: ", "the text is NULL");
    sw_tokenizer *t = train(NULL, 0, 300);
    assert_int_equal(sw_tokenizer_count(t), 256);
    assert_null(sw_tokenizer_encode(t, NULL, 1).data);
    check_error(SW_ERR_ARGUMENT, "tokenizer_encode: ", "the text is NULL");
    const int32_t ids[] = {65, 256, -1};
    assert_null(sw_tokenizer_decode(t, ids, 2, NULL));
    check_prefix(SW_ERR_ARGUMENT, "tokenizer_decode: id 256 at position 1 is outside 0 to 255");
    assert_null(sw_tokenizer_decode(t, ids + 2, 1, NULL));
    check_prefix(SW_ERR_ARGUMENT, "tokenizer_decode: id -1 at position 0 is outside 0 to 255");
    assert_null(sw_tokenizer_decode(t, ids, -1, NULL));
    check_prefix(SW_ERR_ARGUMENT, "tokenizer_decode: -1 ids; at least 0 are needed");
    assert_null(sw_tokenizer_decode(t, NULL, 1, NULL));
    check_error(SW_ERR_ARGUMENT, "tokenizer_decode: ", "the array of ids is NULL");
    size_t size = 7;
    assert_null(sw_tokenizer_at(t, 256, &size));
    assert_int_equal(size, 0);
    assert_null(sw_tokenizer_at(t, -1, NULL));
    sw_tokenizer_free(t);
    sw_tokenizer_free(NULL);
    assert_null(sw_error());
}

/* Every allocation of the training, of encoding and decoding, and of the description fails in turn. */
static bool use(void) {
    char *text = NULL, *description = NULL;
    sw_array ids = {0};
    sw_tokenizer *copy = NULL,
                 *t = sw_tokenizer_new_byte_pairs((const char *)golden_english_unit, sizeof golden_english_unit, 280);
    if (t)
        ids = sw_tokenizer_encode(t, (const char *)golden_probe_2, sizeof golden_probe_2);
    if (ids.data)
        text = sw_tokenizer_decode(t, ids.data, ids.shape[0], NULL);
    if (text)
        description = sw_tokenizer_description(t);
    if (description)
        copy = sw_tokenizer_new_from_description(description);
    sw_array_free(&ids);
    sw_free(text), sw_free(description);
    sw_tokenizer_free(t), sw_tokenizer_free(copy);
    return copy != NULL;
}

static void test_every_failed_allocation_is_survived(void **state) {
    (void)state;
    for (int64_t k = 0;; k++) {
        count_memory(k);
        const bool ok = use();
        check_memory();
        if (ok) {
            assert_null(sw_error());
            assert_in_range(k, 20, 200);
            return;
        }
        check_error(SW_ERR_MEMORY, "", "memory");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_joins_are_those_of_the_definition),
        cmocka_unit_test(test_ids_are_those_of_another_implementation),
        cmocka_unit_test(test_any_bytes_are_restored),
        cmocka_unit_test(test_descriptions_restore_joins),
        cmocka_unit_test(test_mistakes_are_errors),
        cmocka_unit_test(test_every_failed_allocation_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
