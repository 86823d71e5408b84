/* Texts to ids, and ids to texts. */
#include <swale/extend.h>

#include "datasets/text/vocabulary.h"

#include <string.h>

sw_array sw_tokenizer_encode(const sw_tokenizer *t, const char *text, size_t bytes) {
    sw_array out = {0};
    if (!t || (!text && bytes > 0)) {
        sw_fail(SW_ERR_ARGUMENT, "tokenizer_encode: the %s is NULL", t ? "text" : "tokenizer");
        return out;
    }
    int32_t *ids = sw_alloc_array_for(SW_ACCOUNT_TEMPORARIES, (int64_t)bytes, sizeof *ids);
    int64_t count = 0;
    sw_status status = !ids            ? SW_ERR_MEMORY
                       : t->byte_pairs ? swd_byte_pairs_encode(t, text, bytes, ids, &count)
                                       : swd_characters_encode(t, text, bytes, ids, &count);
    if (status == SW_OK)
        out = sw_array_new(SW_I32, 1, &count);
    if (out.data && count > 0)
        memcpy(out.data, ids, (size_t)count * sizeof *ids);
    sw_free(ids);
    return out;
}

static sw_status tokenizer_check_ids(const sw_tokenizer *t, const int32_t *ids, int64_t count) {
    if (!t || (!ids && count > 0))
        return sw_fail(SW_ERR_ARGUMENT, "tokenizer_decode: the %s", t ? "array of ids is NULL" : "tokenizer is NULL");
    if (count < 0)
        return sw_fail(SW_ERR_ARGUMENT, "tokenizer_decode: %lld ids; at least 0 are needed", (long long)count);
    for (int64_t i = 0; i < count; i++)
        if (ids[i] < 0 || ids[i] >= t->count)
            return sw_fail(SW_ERR_ARGUMENT, "tokenizer_decode: id %d at position %lld is outside 0 to %lld",
                           (int)ids[i], (long long)i, (long long)t->count - 1);
    return SW_OK;
}

char *sw_tokenizer_decode(const sw_tokenizer *t, const int32_t *ids, int64_t count, size_t *bytes) {
    if (bytes)
        *bytes = 0;
    if (tokenizer_check_ids(t, ids, count) != SW_OK)
        return NULL;
    size_t length = 0;
    for (int64_t i = 0; i < count; i++)
        length += (size_t)swd_token_bytes(t, ids[i]);
    char *text = sw_alloc(length + 1), *to = text;
    for (int64_t i = 0; text && i < count; i++) {
        const size_t n = (size_t)swd_token_bytes(t, ids[i]);
        memcpy(to, t->bytes + t->start[ids[i]], n);
        to += n;
    }
    if (text && bytes)
        *bytes = length;
    return text;
}
