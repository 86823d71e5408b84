/* Three uses of one input. A description that is accepted is that of the tokenizer that it makes; the checksum is
 * corrected first, because no fuzzer finds it. A tokenizer of byte pairs that was trained with a part of the input
 * restores all of it. If the input is UTF-8, so does a tokenizer of its characters. */
#include "fuzz.h"

#include <swale/memory.h>
#include <zlib.h>

static void check_description(const sw_tokenizer *t, const char *expected) {
    char *text = sw_tokenizer_description(t);
    fuzz_check(text != NULL, "");
    if (strcmp(text, expected) != 0)
        abort();
    sw_free(text);
}

static void check_restored(const sw_tokenizer *t, const char *text, size_t size) {
    sw_array ids = sw_tokenizer_encode(t, text, size);
    fuzz_check(ids.data != NULL, "");
    size_t length;
    char *again = sw_tokenizer_decode(t, ids.data, ids.shape[0], &length);
    fuzz_check(again != NULL, "");
    if (length != size || memcmp(again, text, size) != 0)
        abort();
    sw_free(again);
    sw_array_free(&ids);
}

/* The input as the contents of a description, with the right checksum behind them. */
static void read_description(const uint8_t *data, size_t size) {
    char *text = malloc(size + 32);
    if (!text)
        abort();
    memcpy(text, data, size);
    text[size] = 0;
    const size_t length = strlen(text);
    snprintf(text + length, 32, "crc32 %08lx\n", crc32(0, (const unsigned char *)text, (uInt)length));
    sw_tokenizer *t = sw_tokenizer_new_from_description(text);
    fuzz_check(t != NULL, "tokenizer: ");
    if (t) {
        check_description(t, text);
        for (int64_t id = 0; id < sw_tokenizer_count(t) && id < 2000; id++) {
            size_t bytes;
            const char *token = sw_tokenizer_at(t, id, &bytes);
            check_restored(t, token, bytes);
        }
    }
    sw_tokenizer_free(t);
    free(text);
}

static void train(const uint8_t *data, size_t size) {
    sw_tokenizer *t = sw_tokenizer_new_byte_pairs((const char *)data, size / 2, 300);
    fuzz_check(t != NULL, "");
    check_restored(t, (const char *)data, size);
    char *text = sw_tokenizer_description(t);
    sw_tokenizer *copy = sw_tokenizer_new_from_description(text);
    fuzz_check(copy != NULL, "");
    check_description(copy, text);
    sw_free(text);
    sw_tokenizer_free(t);
    sw_tokenizer_free(copy);
    t = size ? sw_tokenizer_new_characters((const char *)data, size) : NULL;
    if (size)
        fuzz_check(t != NULL, "tokenizer_new_characters: the byte 0x");
    if (t)
        check_restored(t, (const char *)data, size);
    sw_tokenizer_free(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    read_description(data, size);
    train(data, size);
    return 0;
}
