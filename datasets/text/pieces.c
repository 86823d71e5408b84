/* The pieces of a text that byte pairs do not cross. They are those of GPT-2's pattern
 *
 *     's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 *
 * on bytes: a byte from 0x80 is a letter, so that no character of UTF-8 is cut, except by the limit of the length. */
#include "datasets/text/vocabulary.h"

#include <string.h>

typedef enum piece_kind { PIECE_LETTER, PIECE_DIGIT, PIECE_SPACE, PIECE_OTHER } piece_kind;

static piece_kind piece_kind_of(char byte) {
    const unsigned char c = (unsigned char)byte;
    if (c >= 0x80 || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
        return PIECE_LETTER;
    if (c >= '0' && c <= '9')
        return PIECE_DIGIT;
    return c == ' ' || (c >= '\t' && c <= '\r') ? PIECE_SPACE : PIECE_OTHER;
}

/* The number of bytes of an English contraction at the beginning of a text; 0 if there is none. */
static size_t piece_contraction(const char *text, size_t bytes) {
    static const char *const all[] = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (bytes >= strlen(all[i]) && memcmp(text, all[i], strlen(all[i])) == 0)
            return strlen(all[i]);
    return 0;
}

/* The number of bytes of one kind at the beginning of a text, at most `bytes`. */
static size_t piece_run(const char *text, size_t bytes, piece_kind kind) {
    size_t n = 0;
    while (n < bytes && piece_kind_of(text[n]) == kind)
        n++;
    return n;
}

size_t swd_piece_end(const char *text, size_t bytes, size_t at) {
    text += at;
    bytes -= at;
    const size_t most = bytes < SWD_LONGEST_PIECE ? bytes : SWD_LONGEST_PIECE,
                 contraction = piece_contraction(text, bytes);
    if (contraction > 0)
        return at + contraction;
    const size_t blank = *text == ' ' && bytes > 1 && piece_kind_of(text[1]) != PIECE_SPACE;
    const piece_kind kind = piece_kind_of(text[blank]);
    const size_t run = blank + piece_run(text + blank, most - blank, kind);
    /* the last white space begins the next piece if it is a blank, and is a piece if not */
    const bool followed = kind == PIECE_SPACE && run < bytes && piece_kind_of(text[run]) != PIECE_SPACE;
    return at + (followed && run > 1 ? run - 1 : run);
}
