/* The tokens of a tokenizer. */
#ifndef SWALE_DATASETS_TEXT_VOCABULARY_H
#define SWALE_DATASETS_TEXT_VOCABULARY_H

#include <swale/tokenizer.h>

#include "datasets/text/pair_table.h"

enum {
    SWD_BYTE_TOKENS = 256,
    SWD_MOST_TOKENS = 1 << 20, /* of byte pairs */
    SWD_LONGEST_TOKEN = 256,   /* bytes */
    SWD_LONGEST_PIECE = 4096,  /* bytes */
    SWD_MOST_CHARACTERS = 0x110000
};

struct sw_tokenizer {
    bool byte_pairs;     /* else characters */
    int64_t count, room; /* tokens; tokens for which there is memory */
    int64_t *start;      /* [room + 1]: where the bytes of a token begin */
    char *bytes;         /* of all tokens, each followed by a zero byte */
    int64_t bytes_room;
    uint32_t *character;   /* [room]: the code points in ascending order; NULL for byte pairs */
    int32_t (*parts)[2];   /* [room]: the two tokens that a token joins; -1 for bytes; NULL for characters */
    swd_pair_table joined; /* the token that joins two others */
};

/* Makes a tokenizer without tokens. NULL and an error if there is no memory. */
sw_tokenizer *swd_tokenizer_new(bool byte_pairs);
/* Adds a character, which must be larger than all characters so far. */
sw_status swd_tokenizer_add_character(sw_tokenizer *t, uint32_t character);
/* A tokenizer with the 256 bytes. NULL and an error if there is no memory. */
sw_tokenizer *swd_tokenizer_new_bytes(void);
/* Adds the token that joins two others. The caller has checked that they exist, that they were not joined before, and
 * that together they have at most SWD_LONGEST_TOKEN bytes. */
sw_status swd_tokenizer_add_pair(sw_tokenizer *t, int32_t first, int32_t second);
/* The number of bytes of a token. */
static inline int64_t swd_token_bytes(const sw_tokenizer *t, int64_t id) {
    return t->start[id + 1] - t->start[id] - 1;
}

/* ---- Characters ---- */

/* Reads the code point at text[at], which has `bytes` bytes, and moves *at behind it. -1 if there is no valid UTF-8. */
int64_t swd_utf8_next(const char *text, size_t bytes, size_t *at);
/* Whether a number is a Unicode code point that UTF-8 can have (surrogates are not). */
static inline bool swd_is_character(int64_t c) {
    return c >= 0 && c < SWD_MOST_CHARACTERS && !(c >= 0xD800 && c < 0xE000);
}
/* Writes the ids of a text to `ids` [bytes]; their number in *count. */
sw_status swd_characters_encode(const sw_tokenizer *t, const char *text, size_t bytes, int32_t *ids, int64_t *count);

/* ---- Byte pairs ---- */

/* The end of the piece of the text that begins at `at` < bytes. */
size_t swd_piece_end(const char *text, size_t bytes, size_t at);
sw_status swd_byte_pairs_encode(const sw_tokenizer *t, const char *text, size_t bytes, int32_t *ids, int64_t *count);

#endif
