/* Tokenizers of characters: Unicode code points of texts in UTF-8. */
#include <swale/extend.h>

#include "datasets/text/vocabulary.h"

#include <string.h>

/* The number of bytes after the first one, and the smallest code point that needs them; -1: no first byte. */
static int utf8_more(unsigned char lead, uint32_t *least) {
    static const uint32_t smallest[] = {0, 0x80, 0x800, 0x10000};
    const int more = lead < 0x80 ? 0 : lead < 0xC2 ? -1 : lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : lead < 0xF5 ? 3 : -1;
    *least = more < 0 ? 0 : smallest[more];
    return more;
}

int64_t swd_utf8_next(const char *text, size_t bytes, size_t *at) {
    const unsigned char *from = (const unsigned char *)text + *at;
    uint32_t least;
    const int more = utf8_more(from[0], &least);
    if (more < 0 || bytes - *at <= (size_t)more)
        return -1;
    uint32_t c = more == 0 ? from[0] : from[0] & (0x3Fu >> more);
    for (int i = 1; i <= more; i++) {
        if ((from[i] & 0xC0) != 0x80)
            return -1;
        c = c << 6 | (from[i] & 0x3Fu);
    }
    if (c < least || !swd_is_character(c)) /* a longer form than necessary, a surrogate, or above U+10FFFF */
        return -1;
    *at += (size_t)more + 1;
    return c;
}

static sw_status characters_fail_utf8(const char *who, const char *text, size_t at) {
    return sw_fail(SW_ERR_FORMAT, "%s: the byte 0x%02X at offset %zu is not UTF-8 (byte pairs accept any bytes)", who,
                   (unsigned)(unsigned char)text[at], at);
}

enum { MARKS = SWD_MOST_CHARACTERS / 64 }; /* a bit for each code point */

/* Marks the characters of a text in `seen` [MARKS]. */
static sw_status characters_mark(const char *text, size_t bytes, uint64_t *seen) {
    for (size_t at = 0; at < bytes;) {
        const int64_t c = swd_utf8_next(text, bytes, &at);
        if (c < 0)
            return characters_fail_utf8("tokenizer_new_characters", text, at);
        seen[c / 64] |= (uint64_t)1 << c % 64;
    }
    return SW_OK;
}

static sw_tokenizer *characters_of_marks(const uint64_t *seen) {
    sw_tokenizer *t = swd_tokenizer_new(false);
    sw_status status = t ? SW_OK : SW_ERR_MEMORY;
    for (uint32_t word = 0; word < MARKS; word++)
        for (uint32_t bit = 0; bit < 64 && seen[word] >> bit && status == SW_OK; bit++)
            if (seen[word] >> bit & 1)
                status = swd_tokenizer_add_character(t, 64 * word + bit);
    if (status == SW_OK)
        return t;
    sw_tokenizer_free(t);
    return NULL;
}

sw_tokenizer *sw_tokenizer_new_characters(const char *text, size_t bytes) {
    if (!text || bytes == 0) {
        sw_fail(SW_ERR_ARGUMENT, "tokenizer_new_characters: the text %s", text ? "has no characters" : "is NULL");
        return NULL;
    }
    uint64_t *seen = sw_alloc_array_for(SW_ACCOUNT_TEMPORARIES, MARKS, sizeof *seen);
    sw_tokenizer *t = seen && characters_mark(text, bytes, seen) == SW_OK ? characters_of_marks(seen) : NULL;
    sw_free(seen);
    return t;
}

/* The id of a character, by bisection; -1 if there is none. */
static int32_t characters_find(const sw_tokenizer *t, uint32_t c) {
    int64_t low = 0, high = t->count;
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        if (t->character[middle] < c)
            low = middle + 1;
        else
            high = middle;
    }
    return low < t->count && t->character[low] == c ? (int32_t)low : -1;
}

sw_status swd_characters_encode(const sw_tokenizer *t, const char *text, size_t bytes, int32_t *ids, int64_t *count) {
    int32_t ascii[128];
    for (uint32_t c = 0; c < 128; c++)
        ascii[c] = characters_find(t, c);
    int64_t n = 0;
    for (size_t at = 0; at < bytes; n++) {
        const size_t begin = at;
        const int64_t c = swd_utf8_next(text, bytes, &at);
        if (c < 0)
            return characters_fail_utf8("tokenizer_encode", text, at);
        ids[n] = c < 128 ? ascii[c] : characters_find(t, (uint32_t)c);
        if (ids[n] < 0)
            return sw_fail(SW_ERR_ARGUMENT,
                           "tokenizer_encode: the character U+%04llX at offset %zu is none of the %lld characters of "
                           "the tokenizer (make it from all texts, or use byte pairs)",
                           (unsigned long long)c, begin, (long long)t->count);
    }
    *count = n;
    return SW_OK;
}
