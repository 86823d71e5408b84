/* The tokens of a tokenizer. */
#include <swale/extend.h>

#include "datasets/text/vocabulary.h"

#include <string.h>

sw_tokenizer *swd_tokenizer_new(bool byte_pairs) {
    sw_tokenizer *t = sw_alloc_for(SW_ACCOUNT_DATA, sizeof *t);
    if (t)
        t->byte_pairs = byte_pairs;
    return t;
}

void sw_tokenizer_free(sw_tokenizer *t) {
    if (!t || !sw_may_free(t, "tokenizer"))
        return;
    swd_pair_table_free(&t->joined);
    sw_free(t->start);
    sw_free(t->bytes);
    sw_free(t->character);
    sw_free(t->parts);
    sw_free(t);
}

/* Makes room for one more token, and for `bytes` more bytes with a zero behind them. */
static sw_status tokenizer_reserve(sw_tokenizer *t, int64_t bytes) {
    if (t->count == t->room) {
        const int64_t room = t->room ? 2 * t->room : SWD_BYTE_TOKENS, used = t->count;
        SW_TRY(sw_resize_array_for(SW_ACCOUNT_DATA, &t->start, t->room ? used + 1 : 0, room + 1, sizeof *t->start));
        if (t->byte_pairs)
            SW_TRY(sw_resize_array_for(SW_ACCOUNT_DATA, &t->parts, used, room, sizeof *t->parts));
        else
            SW_TRY(sw_resize_array_for(SW_ACCOUNT_DATA, &t->character, used, room, sizeof *t->character));
        t->room = room;
    }
    const int64_t used = t->start[t->count], needed = used + bytes + 1;
    if (needed <= t->bytes_room)
        return SW_OK;
    const int64_t room = needed < 1024 ? 2048 : 2 * needed;
    SW_TRY(sw_resize_array_for(SW_ACCOUNT_DATA, &t->bytes, used, room, 1));
    t->bytes_room = room;
    return SW_OK;
}

/* Ends the token whose bytes the caller has written behind those of the others. */
static void tokenizer_end_token(sw_tokenizer *t, int64_t bytes) {
    const int64_t end = t->start[t->count] + bytes;
    t->bytes[end] = 0;
    t->start[++t->count] = end + 1;
}

sw_status swd_tokenizer_add_character(sw_tokenizer *t, uint32_t c) {
    const int more = c < 0x80 ? 0 : c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    static const unsigned char lead[] = {0, 0xC0, 0xE0, 0xF0};
    SW_TRY(tokenizer_reserve(t, more + 1));
    char *to = t->bytes + t->start[t->count];
    *to = (char)(lead[more] | c >> 6 * more);
    for (int i = 1; i <= more; i++)
        to[i] = (char)(0x80 | (c >> 6 * (more - i) & 0x3F));
    t->character[t->count] = c;
    tokenizer_end_token(t, more + 1);
    return SW_OK;
}

sw_tokenizer *swd_tokenizer_new_bytes(void) {
    sw_tokenizer *t = swd_tokenizer_new(true);
    for (int byte = 0; t && byte < SWD_BYTE_TOKENS; byte++) {
        if (tokenizer_reserve(t, 1) != SW_OK) {
            sw_tokenizer_free(t);
            return NULL;
        }
        t->bytes[t->start[byte]] = (char)byte;
        t->parts[byte][0] = t->parts[byte][1] = -1;
        tokenizer_end_token(t, 1);
    }
    return t;
}

sw_status swd_tokenizer_add_pair(sw_tokenizer *t, int32_t first, int32_t second) {
    const int64_t a = swd_token_bytes(t, first), b = swd_token_bytes(t, second);
    SW_TRY(tokenizer_reserve(t, a + b));
    SW_TRY(swd_pair_table_add(&t->joined, first, second, t->count));
    char *to = t->bytes + t->start[t->count];
    memcpy(to, t->bytes + t->start[first], (size_t)a);
    memcpy(to + a, t->bytes + t->start[second], (size_t)b);
    t->parts[t->count][0] = first;
    t->parts[t->count][1] = second;
    tokenizer_end_token(t, a + b);
    return SW_OK;
}

int64_t sw_tokenizer_count(const sw_tokenizer *t) {
    return t ? t->count : 0;
}

const char *sw_tokenizer_at(const sw_tokenizer *t, int64_t id, size_t *bytes) {
    const bool known = t && id >= 0 && id < t->count;
    if (bytes)
        *bytes = known ? (size_t)swd_token_bytes(t, id) : 0;
    return known ? t->bytes + t->start[id] : NULL;
}
