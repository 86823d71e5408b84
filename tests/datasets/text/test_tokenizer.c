/* Characters, and tokenizers of both kinds in descriptions and files: round trips, exact messages, every damage. */
#include "datasets/helpers.h"

#include <swale/nn.h>

/* Checks that the last call failed with this status and a message that begins with `text`. */
static void check_prefix(sw_status status, const char *text) {
    if (!sw_error() || strncmp(sw_error(), text, strlen(text)) != 0)
        fail_msg("message \"%s\", expected \"%s\"", sw_error() ? sw_error() : "none", text);
    assert_int_equal(sw_error_status(), status);
    sw_clear_error();
}

static sw_tokenizer *characters_of(const char *text) {
    sw_tokenizer *t = sw_tokenizer_new_characters(text, strlen(text));
    if (!t)
        fail_msg("%s", sw_error());
    return t;
}

/* ---- Characters ---- */

static void test_characters_are_in_the_order_of_code_points(void **state) {
    (void)state;
    static const char text[] = "zeß€a\U0001F600\nez";
    static const char *const tokens[] = {"\n", "a", "e", "z", "ß", "€", "\U0001F600"};
    static const int32_t expected[] = {3, 2, 4, 5, 1, 6, 0, 2, 3};
    sw_tokenizer *t = characters_of(text);
    assert_int_equal(sw_tokenizer_count(t), 7);
    for (int i = 0; i < 7; i++) {
        size_t size;
        assert_string_equal(sw_tokenizer_at(t, i, &size), tokens[i]);
        assert_int_equal(size, strlen(tokens[i]));
    }
    sw_array ids = sw_tokenizer_encode(t, text, sizeof text - 1);
    assert_int_equal(ids.shape[0], 9);
    assert_memory_equal(ids.data, expected, sizeof expected);
    size_t size;
    char *again = sw_tokenizer_decode(t, ids.data, 9, &size);
    assert_int_equal(size, sizeof text - 1);
    assert_string_equal(again, text);
    sw_free(again);
    sw_array_free(&ids);
    sw_tokenizer_free(t);
}

/* A zero byte is the character U+0000. */
static void test_zero_bytes_are_characters(void **state) {
    (void)state;
    sw_tokenizer *t = sw_tokenizer_new_characters("b\0a\0", 4);
    sw_array ids = sw_tokenizer_encode(t, "b\0a\0", 4);
    const int32_t expected[] = {2, 0, 1, 0};
    assert_int_equal(ids.shape[0], 4);
    assert_memory_equal(ids.data, expected, sizeof expected);
    size_t size;
    char *again = sw_tokenizer_decode(t, ids.data, 4, &size);
    assert_int_equal(size, 4);
    assert_memory_equal(again, "b\0a\0", 4);
    sw_free(again);
    sw_array_free(&ids);
    sw_tokenizer_free(t);
}

/* Every code point, from its encoding by this formula, is one character and is restored. */
static void test_every_code_point_is_a_character(void **state) {
    (void)state;
    static const unsigned lead[] = {0, 0xC0, 0xE0, 0xF0};
    bytes text = make_bytes(4 * 0x110000);
    size_t size = 0;
    for (uint32_t c = 0; c < 0x110000; c++) {
        const int more = c < 0x80 ? 0 : c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
        if (c >= 0xD800 && c <= 0xDFFF)
            continue;
        text.at[size++] = (unsigned char)(more == 0 ? c : lead[more] | c >> 6 * more);
        for (int k = more - 1; k >= 0; k--)
            text.at[size++] = (unsigned char)(0x80 | (c >> 6 * k & 63));
    }
    sw_tokenizer *t = sw_tokenizer_new_characters((char *)text.at, size);
    assert_int_equal(sw_tokenizer_count(t), 0x110000 - 0x800);
    sw_array ids = sw_tokenizer_encode(t, (char *)text.at, size);
    assert_int_equal(ids.shape[0], 0x110000 - 0x800);
    for (int32_t i = 0; i < ids.shape[0]; i++)
        if (((int32_t *)ids.data)[i] != i)
            fail_msg("id %d", (int)i);
    size_t length;
    char *again = sw_tokenizer_decode(t, ids.data, ids.shape[0], &length);
    assert_int_equal(length, size);
    assert_memory_equal(again, text.at, size);
    char *description = sw_tokenizer_description(t);
    sw_tokenizer *copy = sw_tokenizer_new_from_description(description);
    assert_int_equal(sw_tokenizer_count(copy), 0x110000 - 0x800);
    sw_free(again), sw_free(description);
    sw_array_free(&ids);
    sw_tokenizer_free(t), sw_tokenizer_free(copy);
    free(text.at);
}

/* Texts that are not UTF-8, and the offset of the first byte that is not. */
static void test_invalid_utf8_is_an_error_with_its_offset(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t offset;
    } all[] = {{"ab\x80", 2},           /* no first byte */
               {"a\xC3", 1},            /* ends too early */
               {"a\xE2\x82", 1},        /* the same */
               {"a\xC3(", 1},           /* the second byte is another character */
               {"\xC0\xAF", 0},         /* a long form of '/' */
               {"\xE0\x80\xAF", 0},     /* the same */
               {"\xF0\x80\x80\xAF", 0}, /* the same */
               {"abc\xED\xA0\x80", 3},  /* a surrogate */
               {"\xF4\x90\x80\x80", 0}, /* U+110000 */
               {"\xF5\x80\x80\x80", 0}, /* above it */
               {"\xFF", 0}};
    sw_tokenizer *t = characters_of("abc");
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        char expected[200];
        snprintf(expected, sizeof expected,
                 "tokenizer_new_characters: the byte 0x%02X at offset %zu is not UTF-8 (byte pairs accept any bytes)",
                 (unsigned)(unsigned char)all[i].text[all[i].offset], all[i].offset);
        assert_null(sw_tokenizer_new_characters(all[i].text, strlen(all[i].text)));
        assert_string_equal(sw_error(), expected);
        assert_int_equal(sw_error_status(), SW_ERR_FORMAT);
        sw_clear_error();
        assert_null(sw_tokenizer_encode(t, all[i].text, strlen(all[i].text)).data);
        snprintf(expected, sizeof expected, "at offset %zu is not UTF-8", all[i].offset);
        check_error(SW_ERR_FORMAT, "tokenizer_encode: ", expected);
    }
    sw_tokenizer_free(t);
}

static void test_unknown_characters_and_empty_texts_are_errors(void **state) {
    (void)state;
    sw_tokenizer *t = characters_of("abß");
    assert_null(sw_tokenizer_encode(t, "ßaé", 5).data);
    assert_string_equal(sw_error(),
                        "tokenizer_encode: the character U+00E9 at offset 3 is none of the 3 characters of the "
                        "tokenizer (make it from all texts, or use byte pairs)");
    assert_int_equal(sw_error_status(), SW_ERR_ARGUMENT);
    sw_clear_error();
    assert_null(sw_tokenizer_encode(NULL, "a", 1).data);
    check_error(SW_ERR_ARGUMENT, "tokenizer_encode: ", "the tokenizer is NULL");
    sw_array none = sw_tokenizer_encode(t, NULL, 0);
    assert_true(none.data && none.rank == 1 && none.shape[0] == 0);
    char *empty = sw_tokenizer_decode(t, NULL, 0, NULL);
    assert_string_equal(empty, "");
    sw_free(empty);
    sw_array_free(&none);
    assert_null(sw_tokenizer_new_characters("", 0));
    check_prefix(SW_ERR_ARGUMENT, "tokenizer_new_characters: the text has no characters");
    assert_null(sw_tokenizer_new_characters(NULL, 3));
    check_prefix(SW_ERR_ARGUMENT, "tokenizer_new_characters: the text is NULL");
    assert_null(sw_tokenizer_decode(NULL, NULL, 0, NULL));
    check_prefix(SW_ERR_ARGUMENT, "tokenizer_decode: the tokenizer is NULL");
    assert_null(sw_tokenizer_description(NULL));
    check_error(SW_ERR_ARGUMENT, "tokenizer_description: ", "is NULL");
    assert_int_equal(sw_tokenizer_count(NULL), 0);
    sw_tokenizer_free(t);
}

/* ---- Descriptions ---- */

/* A description with the right checksum. */
static const char *summed(const char *contents) {
    static char text[4096];
    snprintf(text, sizeof text, "%scrc32 %08lx\n", contents,
             crc32(0, (const unsigned char *)contents, (uInt)strlen(contents)));
    return text;
}

static void test_descriptions_are_exact(void **state) {
    (void)state;
    sw_tokenizer *t = characters_of("b\nß€a");
    char *text = sw_tokenizer_description(t);
    assert_string_equal(text, summed("swale tokenizer 1\ncharacters 5\n10\n97\n98\n223\n8364\n"));
    sw_free(text);
    sw_tokenizer_free(t);
    t = sw_tokenizer_new_byte_pairs("abab abab", 9, 300);
    text = sw_tokenizer_description(t);
    assert_string_equal(text, summed("swale tokenizer 1\nbyte_pairs 2\n97 98\n256 256\n"));
    sw_free(text);
    sw_tokenizer_free(t);
}

/* Contents that no tokenizer writes, with a checksum that fits. */
static void test_wrong_descriptions_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *contents, *reason;
    } all[] = {
        {"\n", "does not begin as that of characters or byte pairs, version 1"},
        {"swale tokenizer 2\ncharacters 1\n10\n", "(a later version of swale?)"},
        {"swale tokenizer 1\nwords 1\n10\n", "does not begin as that of characters or byte pairs"},
        {"swale tokenizer 1\ncharacters 0\n", "the number of characters is not from 1 to 1114112"},
        {"swale tokenizer 1\ncharacters 9999999\n10\n", "the number of characters is not from 1 to 1114112"},
        {"swale tokenizer 1\ncharacters x\n10\n", "the number of characters is not from 1 to 1114112"},
        {"swale tokenizer 1\ncharacters 2\n10\n", "character 1 of 2 is not a code point above the one before"},
        {"swale tokenizer 1\ncharacters 2\n10\n10\n", "character 1 of 2 is not a code point above the one before"},
        {"swale tokenizer 1\ncharacters 2\n10\n010\n", "character 1 of 2 is not a code point above the one before"},
        {"swale tokenizer 1\ncharacters 2\n10\n11 \n", "character 1 of 2 is not a code point above the one before"},
        {"swale tokenizer 1\ncharacters 2\n10\n-1\n", "character 1 of 2 is not a code point above the one before"},
        {"swale tokenizer 1\ncharacters 1\n55296\n", "character 0 of 1 is not a code point above the one before"},
        {"swale tokenizer 1\ncharacters 1\n1114112\n", "character 0 of 1 is not a code point above the one before"},
        {"swale tokenizer 1\ncharacters 1\n10\n11\n", "the description has more than its 1 lines"},
        {"swale tokenizer 1\nbyte_pairs 1048321\n1 2\n", "the number of pairs is not from 0 to 1048320"},
        {"swale tokenizer 1\nbyte_pairs 2\n1 2\n257 1\n", "pair 1 of 2 is not two ids from 0 to 256"},
        {"swale tokenizer 1\nbyte_pairs 2\n1 2\n1\n", "pair 1 of 2 is not two ids from 0 to 256"},
        {"swale tokenizer 1\nbyte_pairs 2\n1 2\n1 02\n", "pair 1 of 2 is not two ids from 0 to 256"},
        {"swale tokenizer 1\nbyte_pairs 2\n1 2\n1 2\n", "pair 1 of 2, 1 and 2, occurs twice"},
        {"swale tokenizer 1\nbyte_pairs 9\n1 1\n256 256\n257 257\n258 258\n259 259\n260 260\n261 261\n262 262\n263 "
         "263\n",
         "pair 8 of 9 has more than 256 bytes"},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        assert_null(sw_tokenizer_new_from_description(summed(all[i].contents)));
        check_error(SW_ERR_FORMAT, "tokenizer: ", all[i].reason);
    }
    assert_null(sw_tokenizer_new_from_description(NULL));
    check_prefix(SW_ERR_ARGUMENT, "tokenizer: the description is NULL");
    assert_null(sw_tokenizer_new_from_description(""));
    check_prefix(SW_ERR_FORMAT, "tokenizer: the description is damaged: its checksum is not that of its contents");
}

/* Any other byte at any place, and a text without its end, are refused. */
static void test_every_damage_of_a_description_is_refused(void **state) {
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        sw_tokenizer *t =
            kind ? sw_tokenizer_new_byte_pairs("abab abab c", 11, 300) : characters_of("a wide valley, ß");
        char *text = sw_tokenizer_description(t);
        const size_t size = strlen(text);
        for (size_t i = 0; i < size; i++) {
            const char right = text[i];
            for (int byte = 0; byte < 256; byte++) {
                text[i] = (char)byte; /* 0: the end */
                sw_tokenizer *damaged = text[i] == right ? NULL : sw_tokenizer_new_from_description(text);
                if (damaged)
                    fail_msg("byte %d at %zu is accepted", byte, i);
                if (text[i] != right)
                    check_prefix(SW_ERR_FORMAT, "tokenizer: the description is damaged");
            }
            text[i] = right;
        }
        sw_free(text);
        sw_tokenizer_free(t);
    }
}

/* ---- Files ---- */

static void test_tokenizers_are_saved_in_archives(void **state) {
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        sw_tokenizer *t =
            kind ? sw_tokenizer_new_byte_pairs("abab abab c", 11, 300) : characters_of("a wide valley, ß");
        sw_archive *a = sw_archive_new();
        assert_int_equal(sw_tokenizer_pack(t, a), SW_OK);
        const char *path = path_of("tokens.safetensors");
        assert_int_equal(sw_archive_save(a, path), SW_OK);
        sw_tokenizer *of_archive = sw_tokenizer_new_from_archive(a), *of_file = sw_tokenizer_new_from_file(path);
        char *text = sw_tokenizer_description(t), *one = sw_tokenizer_description(of_archive),
             *two = sw_tokenizer_description(of_file);
        assert_string_equal(one, text);
        assert_string_equal(two, text);
        sw_free(text), sw_free(one), sw_free(two);
        sw_tokenizer_free(t), sw_tokenizer_free(of_archive), sw_tokenizer_free(of_file);
        sw_archive_free(a);
        remove_file(path);
    }
}

/* One file holds a network and its tokenizer. */
static void test_models_and_tokenizers_share_a_file(void **state) {
    (void)state;
    sw_tokenizer *t = characters_of("a wide valley");
    const int64_t tokens = sw_tokenizer_count(t);
    sw_model *model = sw_model_new(SW_F32, 1);
    assert_non_null(sw_model_build(
        model, sw_nn_sequential(model, sw_nn_embedding(model, tokens, 3), sw_nn_linear(model, 3, tokens), NULL)));
    sw_archive *a = sw_archive_new();
    assert_int_equal(sw_model_pack(model, a, NULL), SW_OK);
    assert_int_equal(sw_tokenizer_pack(t, a), SW_OK);
    const char *path = path_of("model.safetensors");
    assert_int_equal(sw_archive_save(a, path), SW_OK);
    sw_archive_free(a);
    sw_model *again = sw_model_new_from_file(path);
    sw_tokenizer *copy = sw_tokenizer_new_from_file(path);
    a = sw_archive_load(path);
    sw_model *third = sw_model_new_from_archive(a);
    sw_archive_free(a);
    if (!again || !copy || !third)
        fail_msg("%s", sw_error());
    const size_t size = (size_t)sw_params_dim(sw_model_params(model)) * sizeof(float);
    const void *x = sw_params_x(sw_model_params(model));
    assert_memory_equal(sw_params_x(sw_model_params(again)), x, size);
    assert_memory_equal(sw_params_x(sw_model_params(third)), x, size);
    assert_int_equal(sw_tokenizer_count(copy), tokens);
    assert_int_equal(sw_model_load(model, path), SW_OK); /* the tokenizer does not disturb it */
    remove_file(path);
    assert_null(sw_model_new_from_archive(NULL));
    check_prefix(SW_ERR_ARGUMENT, "model_new_from_archive: the archive is NULL");
    a = sw_archive_new();
    assert_null(sw_model_new_from_archive(a));
    check_prefix(SW_ERR_FORMAT, "archive: contains no network, only parameters");
    sw_archive_free(a);
    sw_model_free(model), sw_model_free(again), sw_model_free(third);
    sw_tokenizer_free(t), sw_tokenizer_free(copy);
}

static void test_archives_without_a_tokenizer_are_errors(void **state) {
    (void)state;
    sw_archive *a = sw_archive_new();
    assert_null(sw_tokenizer_new_from_archive(a));
    check_prefix(SW_ERR_FORMAT, "archive: contains no tokenizer");
    sw_archive_set_text(a, "tokenizer", "swale tokenizer 1\n");
    assert_null(sw_tokenizer_new_from_archive(a));
    check_prefix(SW_ERR_FORMAT, "archive: tokenizer: the description is damaged");
    const char *path = path_of("tokens.safetensors");
    assert_int_equal(sw_archive_save(a, path), SW_OK);
    char expected[PATH_SIZE + NAME_SIZE + 300];
    snprintf(expected, sizeof expected, "%s: tokenizer: the description is damaged", path);
    assert_null(sw_tokenizer_new_from_file(path));
    check_prefix(SW_ERR_FORMAT, expected);
    remove_file(path);
    assert_null(sw_tokenizer_new_from_file(path));
    check_prefix(SW_ERR_IO, path);
    assert_null(sw_tokenizer_new_from_archive(NULL));
    check_error(SW_ERR_ARGUMENT, "tokenizer_new_from_archive: ", "the archive is NULL");
    sw_archive_free(a);
}

/* ---- Text files ---- */

static void test_text_files_are_read_byte_for_byte(void **state) {
    (void)state;
    enum { SIZE = 300000 };
    bytes all = make_bytes(SIZE);
    for (size_t i = 0; i < SIZE; i++)
        all.at[i] = noise(i);
    static const size_t sizes[] = {0, 1, 65535, 65536, 65537, SIZE};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++)
        for (int packed = 0; packed < 2; packed++) {
            bytes stored = packed ? gzip(all.at, sizes[k]) : all;
            const char *path = write_file("novel.txt", stored.at, packed ? stored.size : sizes[k]);
            size_t size = 1;
            char *text = sw_text_load(path, &size);
            if (!text)
                fail_msg("%s", sw_error());
            assert_int_equal(size, sizes[k]);
            assert_true(size == 0 || memcmp(text, all.at, size) == 0);
            assert_int_equal(text[size], 0);
            sw_free(text);
            remove_file(path);
            if (packed)
                free(stored.at);
        }
    assert_null(sw_text_load(NULL, NULL));
    check_prefix(SW_ERR_ARGUMENT, "text_load: the path is NULL");
    const char *path = path_of("missing.txt");
    assert_null(sw_text_load(path, NULL));
    check_prefix(SW_ERR_IO, path);
    free(all.at);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_characters_are_in_the_order_of_code_points),
        cmocka_unit_test(test_zero_bytes_are_characters),
        cmocka_unit_test(test_every_code_point_is_a_character),
        cmocka_unit_test(test_invalid_utf8_is_an_error_with_its_offset),
        cmocka_unit_test(test_unknown_characters_and_empty_texts_are_errors),
        cmocka_unit_test(test_descriptions_are_exact),
        cmocka_unit_test(test_wrong_descriptions_are_refused),
        cmocka_unit_test(test_every_damage_of_a_description_is_refused),
        cmocka_unit_test(test_tokenizers_are_saved_in_archives),
        cmocka_unit_test(test_models_and_tokenizers_share_a_file),
        cmocka_unit_test(test_archives_without_a_tokenizer_are_errors),
        cmocka_unit_test(test_text_files_are_read_byte_for_byte),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
