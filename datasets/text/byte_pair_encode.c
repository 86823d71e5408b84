/* Encoding of texts by byte pairs.
 *
 * The tokens of a piece are a linked list, and the pairs that can be joined are in a heap, ordered by the id of the
 * token and then by position. A join only makes pairs whose tokens have larger ids than its own, so that this order is
 * that of GPT-2: the earliest pair in all of its places, from the left, and then the next pair. A piece of n bytes
 * takes a time of n log n. */
#include <swale/extend.h>

#include "datasets/text/vocabulary.h"

#include <string.h>

typedef struct encoder {
    const sw_tokenizer *t;
    int32_t token[SWD_LONGEST_PIECE], joined[SWD_LONGEST_PIECE]; /* joined: with the next token; -1: none */
    int32_t next[SWD_LONGEST_PIECE], before[SWD_LONGEST_PIECE];  /* positions; n and -1 at the ends */
    uint64_t heap[2 * SWD_LONGEST_PIECE]; /* joined << 32 | position; at first n - 1, and each join adds one at most */
    int64_t heaped;
} encoder;

static void encoder_push(encoder *e, uint64_t entry) {
    int64_t i = e->heaped++;
    for (; i > 0 && e->heap[(i - 1) / 2] > entry; i = (i - 1) / 2)
        e->heap[i] = e->heap[(i - 1) / 2];
    e->heap[i] = entry;
}

static uint64_t encoder_pop(encoder *e) {
    const uint64_t top = e->heap[0], last = e->heap[--e->heaped];
    int64_t i = 0;
    for (int64_t child; (child = 2 * i + 1) < e->heaped; i = child) {
        child += child + 1 < e->heaped && e->heap[child + 1] < e->heap[child];
        if (e->heap[child] >= last)
            break;
        e->heap[i] = e->heap[child];
    }
    e->heap[i] = last;
    return top;
}

/* Finds the token that joins the token at a position with its successor, if both exist. */
static void encoder_find_pair(encoder *e, int32_t at, int32_t n) {
    if (at < 0)
        return;
    const int32_t next = e->next[at];
    const swd_pair_entry *pair = next < n ? swd_pair_table_find(&e->t->joined, e->token[at], e->token[next]) : NULL;
    e->joined[at] = pair ? (int32_t)pair->value : -1;
    if (pair)
        encoder_push(e, (uint64_t)pair->value << 32 | (uint32_t)at);
}

static void encoder_join(encoder *e, int32_t at, int32_t n) {
    const int32_t gone = e->next[at], after = e->next[gone];
    e->token[at] = e->joined[at];
    e->joined[gone] = -1; /* entries of the heap for this position are ignored */
    e->next[at] = after;
    if (after < n)
        e->before[after] = at;
    encoder_find_pair(e, e->before[at], n);
    encoder_find_pair(e, at, n);
}

/* Encodes one piece of n bytes; returns the number of ids. */
static int64_t encoder_piece(encoder *e, const char *text, int32_t n, int32_t *ids) {
    for (int32_t i = 0; i < n; i++) {
        e->token[i] = (unsigned char)text[i];
        e->next[i] = i + 1;
        e->before[i] = i - 1;
    }
    e->heaped = 0;
    for (int32_t i = 0; i < n; i++)
        encoder_find_pair(e, i, n);
    while (e->heaped > 0) {
        const uint64_t top = encoder_pop(e);
        const int32_t at = (int32_t)(top & UINT32_MAX);
        if (e->joined[at] == (int32_t)(top >> 32)) /* else a neighbor was joined since */
            encoder_join(e, at, n);
    }
    int64_t count = 0;
    for (int32_t i = 0; i < n; i = e->next[i])
        ids[count++] = e->token[i];
    return count;
}

sw_status swd_byte_pairs_encode(const sw_tokenizer *t, const char *text, size_t bytes, int32_t *ids, int64_t *count) {
    encoder *e = sw_alloc_for(SW_ACCOUNT_TEMPORARIES, sizeof *e);
    if (!e)
        return SW_ERR_MEMORY;
    e->t = t;
    int64_t n = 0;
    for (size_t at = 0, end; at < bytes; at = end) {
        end = swd_piece_end(text, bytes, at);
        n += encoder_piece(e, text + at, (int32_t)(end - at), ids + n);
    }
    sw_free(e);
    *count = n;
    return SW_OK;
}
