/* Training of a tokenizer of byte pairs.
 *
 * Equal pieces of the text are kept once, with their number. For each token, one pass over the pieces joins the most
 * frequent pair, and corrects the numbers of the pairs beside it. */
#include <swale/extend.h>

#include "datasets/text/vocabulary.h"

#include <string.h>

typedef struct piece {
    int64_t first;    /* the position of its first token */
    int64_t length;   /* the number of its tokens */
    int64_t times;    /* how often it occurs in the text */
    const char *text; /* in the text */
    size_t bytes;
} piece;

typedef struct training {
    sw_tokenizer *t;
    piece *piece;
    int64_t pieces, pieces_room;
    int64_t *place; /* [places]: a hash table of the pieces, by their texts; -1: an empty place */
    int64_t places;
    int32_t *token;       /* the tokens of all pieces */
    swd_pair_table pairs; /* how often each pair of neighbors occurs */
} training;

/* ---- Different pieces ---- */

static uint64_t piece_hash(const char *text, size_t bytes) {
    uint64_t hash = 0xCBF29CE484222325u; /* FNV-1a */
    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ (unsigned char)text[i]) * 0x100000001B3u;
    return hash ^ hash >> 32;
}

/* The place of a piece: its index, or -1, which the caller replaces. */
static int64_t *training_place(const training *g, const char *text, size_t bytes) {
    const uint64_t mask = (uint64_t)g->places - 1;
    for (uint64_t i = piece_hash(text, bytes) & mask;; i = (i + 1) & mask) {
        const piece *p = g->place[i] < 0 ? NULL : &g->piece[g->place[i]];
        if (!p || (p->bytes == bytes && memcmp(p->text, text, bytes) == 0))
            return &g->place[i];
    }
}

/* Doubles the room for pieces; two places for each piece. */
static sw_status training_grow(training *g) {
    const int64_t room = g->pieces_room ? 2 * g->pieces_room : 1024;
    SW_TRY(sw_resize_array_for(SW_ACCOUNT_TEMPORARIES, &g->piece, g->pieces, room, sizeof *g->piece));
    g->pieces_room = room;
    int64_t *place = sw_alloc_array_for(SW_ACCOUNT_TEMPORARIES, 2 * room, sizeof *place);
    if (!place)
        return SW_ERR_MEMORY;
    sw_free(g->place);
    g->place = place;
    g->places = 2 * room;
    memset(place, 0xFF, (size_t)g->places * sizeof *place);
    for (int64_t i = 0; i < g->pieces; i++)
        *training_place(g, g->piece[i].text, g->piece[i].bytes) = i;
    return SW_OK;
}

static sw_status training_count_pieces(training *g, const char *text, size_t bytes) {
    for (size_t at = 0, end; at < bytes; at = end) {
        end = swd_piece_end(text, bytes, at);
        if (g->pieces == g->pieces_room)
            SW_TRY(training_grow(g));
        int64_t *place = training_place(g, text + at, end - at);
        if (*place < 0) {
            *place = g->pieces;
            g->piece[g->pieces++] = (piece){.text = text + at, .bytes = end - at};
        }
        g->piece[*place].times++;
    }
    return SW_OK;
}

/* ---- Pairs ---- */

/* The tokens of the pieces are first their bytes. */
static sw_status training_count_pairs(training *g) {
    int64_t total = 0;
    for (int64_t i = 0; i < g->pieces; i++)
        total += (int64_t)g->piece[i].bytes;
    g->token = sw_alloc_array_for(SW_ACCOUNT_TEMPORARIES, total, sizeof *g->token);
    if (!g->token)
        return SW_ERR_MEMORY;
    total = 0;
    for (int64_t i = 0; i < g->pieces; i++) {
        piece *p = &g->piece[i];
        p->first = total;
        p->length = (int64_t)p->bytes;
        total += p->length;
        for (int64_t k = 0; k < p->length; k++) {
            g->token[p->first + k] = (unsigned char)p->text[k];
            if (k > 0)
                SW_TRY(swd_pair_table_add(&g->pairs, g->token[p->first + k - 1], g->token[p->first + k], p->times));
        }
    }
    return SW_OK;
}

static bool training_fits(const training *g, const swd_pair_entry *e) {
    return swd_token_bytes(g->t, e->first) + swd_token_bytes(g->t, e->second) <= SWD_LONGEST_TOKEN;
}

/* Whether pair a is joined before pair b. */
static bool training_precedes(const swd_pair_entry *a, const swd_pair_entry *b) {
    if (a->value != b->value)
        return a->value > b->value;
    return a->first != b->first ? a->first < b->first : a->second < b->second;
}

/* The pair to be joined next; NULL if none occurs twice. */
static const swd_pair_entry *training_best(const training *g) {
    const swd_pair_entry *best = NULL;
    for (int64_t i = 0; i < g->pairs.room; i++) {
        const swd_pair_entry *e = &g->pairs.entry[i];
        if (e->first >= 0 && e->value >= 2 && (!best || training_precedes(e, best)) && training_fits(g, e))
            best = e;
    }
    return best;
}

/* Joins a pair in one piece, from the left. A pair of neighbors stays, or was beside a join and its number is reduced,
 * or is beside a join now and its number is increased. */
static sw_status training_join_piece(training *g, piece *p, int32_t a, int32_t b, int32_t joined) {
    int32_t *token = g->token + p->first;
    const int64_t n = p->length, times = p->times;
    int64_t out = 0;
    for (int64_t i = 0; i < n; out++) {
        const bool join = token[i] == a && i + 1 < n && token[i + 1] == b,
                   after_join = out > 0 && token[out - 1] == joined;
        const int32_t before = out > 0 ? token[out - 1] : -1;
        if (join && before >= 0 && !after_join) /* after a join, this pair was the right neighbor and is reduced */
            SW_TRY(swd_pair_table_add(&g->pairs, before, a, -times));
        if (join)
            SW_TRY(swd_pair_table_add(&g->pairs, a, b, -times));
        if (join && i + 2 < n)
            SW_TRY(swd_pair_table_add(&g->pairs, b, token[i + 2], -times));
        const int32_t to = join ? joined : token[i];
        if (before >= 0 && (join || after_join))
            SW_TRY(swd_pair_table_add(&g->pairs, before, to, times));
        token[out] = to;
        i += join ? 2 : 1;
    }
    p->length = out;
    return SW_OK;
}

static bool piece_has_pair(const training *g, const piece *p, int32_t a, int32_t b) {
    const int32_t *token = g->token + p->first;
    for (int64_t i = 0; i + 1 < p->length; i++)
        if (token[i] == a && token[i + 1] == b)
            return true;
    return false;
}

static sw_status training_join(training *g, int32_t a, int32_t b) {
    const int32_t joined = (int32_t)g->t->count;
    SW_TRY(swd_tokenizer_add_pair(g->t, a, b));
    for (int64_t i = 0; i < g->pieces;) {
        piece *p = &g->piece[i];
        if (piece_has_pair(g, p, a, b))
            SW_TRY(training_join_piece(g, p, a, b, joined));
        if (p->length < 2) /* it has no pairs any more */
            *p = g->piece[--g->pieces];
        else
            i++;
    }
    return SW_OK;
}

static sw_status training_run(training *g, const char *text, size_t bytes, int64_t tokens) {
    g->t = swd_tokenizer_new_bytes();
    if (!g->t)
        return SW_ERR_MEMORY;
    SW_TRY(training_count_pieces(g, text, bytes));
    SW_TRY(training_count_pairs(g));
    const swd_pair_entry *best;
    while (g->t->count < tokens && (best = training_best(g)) != NULL)
        SW_TRY(training_join(g, best->first, best->second));
    return SW_OK;
}

sw_tokenizer *sw_tokenizer_new_byte_pairs(const char *text, size_t bytes, int64_t tokens) {
    if (!text && bytes > 0) {
        sw_fail(SW_ERR_ARGUMENT, "tokenizer_new_byte_pairs: the text is NULL");
        return NULL;
    }
    if (tokens < SWD_BYTE_TOKENS || tokens > SWD_MOST_TOKENS) {
        sw_fail(SW_ERR_ARGUMENT, "tokenizer_new_byte_pairs: %lld tokens; %d (one for each byte) to %d are possible",
                (long long)tokens, SWD_BYTE_TOKENS, SWD_MOST_TOKENS);
        return NULL;
    }
    training g = {0};
    const sw_status status = training_run(&g, text, bytes, tokens);
    swd_pair_table_free(&g.pairs);
    sw_free(g.piece);
    sw_free(g.place);
    sw_free(g.token);
    if (status == SW_OK)
        return g.t;
    sw_tokenizer_free(g.t);
    return NULL;
}
