/* Tokenizers as texts in files:
 *
 *     swale tokenizer 1
 *     characters 3            the number of characters, and then their code points
 *     10
 *     97
 *     98
 *     crc32 0f1e2d3c          of all bytes before this line
 *
 * or "byte_pairs 2" and then the pairs of tokens that are joined, "97 98", in order. A line ends with LF. */
#include <swale/extend.h>

#include "core/base/error_state.h"
#include "datasets/path_error.h"
#include "datasets/text/vocabulary.h"

#include <string.h>
#include <zlib.h>

static const char file_begin[] = "swale tokenizer 1\n", file_characters[] = "characters ", file_pairs[] = "byte_pairs ",
                  file_sum[] = "crc32 ", file_key[] = "tokenizer";
enum { SUM_LINE = sizeof file_sum - 1 + 8 + 1, NUMBER = 8 /* bytes of a number with its separator, at most */ };

/* ---- Writing ---- */

/* Appends a number and a separator. */
static char *file_put_number(char *to, int64_t number, char end) {
    return to + sw_format(to, NUMBER + 1, "%lld%c", (long long)number, end);
}

char *sw_tokenizer_description(const sw_tokenizer *t) {
    if (!t) {
        sw_fail(SW_ERR_ARGUMENT, "tokenizer_description: the tokenizer is NULL");
        return NULL;
    }
    const int64_t first = t->byte_pairs ? SWD_BYTE_TOKENS : 0;
    const size_t most = sizeof file_begin + sizeof file_characters + NUMBER + SUM_LINE +
                        (size_t)(t->count - first) * NUMBER * (t->byte_pairs ? 2 : 1);
    char *text = sw_alloc(most + 1), *to = text;
    if (!text)
        return NULL;
    to += sw_format(to, most, "%s%s", file_begin, t->byte_pairs ? file_pairs : file_characters);
    to = file_put_number(to, t->count - first, '\n');
    for (int64_t i = first; i < t->count; i++)
        if (t->byte_pairs) {
            to = file_put_number(to, t->parts[i][0], ' ');
            to = file_put_number(to, t->parts[i][1], '\n');
        } else
            to = file_put_number(to, t->character[i], '\n');
    const uLong sum = crc32_z(0, (const unsigned char *)text, (size_t)(to - text));
    sw_format(to, SUM_LINE + 1, "%s%08lx\n", file_sum, sum);
    return text;
}

/* ---- Reading ---- */

/* Reads a number from 0 to 9,999,999 and its separator; -1 if there is none, or if it is not as file_put_number writes
 * it. */
static int64_t file_take_number(const char **at, char end) {
    const char *from = *at;
    int64_t number = 0;
    int digits = 0;
    for (; from[digits] >= '0' && from[digits] <= '9' && digits < NUMBER; digits++)
        number = 10 * number + (from[digits] - '0');
    if (digits == 0 || digits == NUMBER || (digits > 1 && *from == '0') || from[digits] != end)
        return -1;
    *at = from + digits + 1;
    return number;
}

/* Moves *at behind a text, if it is there. */
static bool file_take(const char **at, const char *text) {
    const size_t length = strlen(text);
    const bool found = strncmp(*at, text, length) == 0;
    *at += found ? length : 0;
    return found;
}

static sw_status file_read_characters(sw_tokenizer *t, const char **at, int64_t count) {
    int64_t before = -1;
    for (int64_t i = 0; i < count; i++) {
        const int64_t c = file_take_number(at, '\n');
        if (!swd_is_character(c) || c <= before)
            return sw_fail(SW_ERR_FORMAT, "tokenizer: character %lld of %lld is not a code point above the one before",
                           (long long)i, (long long)count);
        SW_TRY(swd_tokenizer_add_character(t, (uint32_t)c));
        before = c;
    }
    return SW_OK;
}

static sw_status file_read_pairs(sw_tokenizer *t, const char **at, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        const int64_t a = file_take_number(at, ' '), b = a < 0 ? -1 : file_take_number(at, '\n');
        if (a < 0 || b < 0 || a >= t->count || b >= t->count)
            return sw_fail(SW_ERR_FORMAT, "tokenizer: pair %lld of %lld is not two ids from 0 to %lld", (long long)i,
                           (long long)count, (long long)t->count - 1);
        if (swd_pair_table_find(&t->joined, (int32_t)a, (int32_t)b))
            return sw_fail(SW_ERR_FORMAT, "tokenizer: pair %lld of %lld, %lld and %lld, occurs twice", (long long)i,
                           (long long)count, (long long)a, (long long)b);
        if (swd_token_bytes(t, a) + swd_token_bytes(t, b) > SWD_LONGEST_TOKEN)
            return sw_fail(SW_ERR_FORMAT, "tokenizer: pair %lld of %lld has more than %d bytes", (long long)i,
                           (long long)count, SWD_LONGEST_TOKEN);
        SW_TRY(swd_tokenizer_add_pair(t, (int32_t)a, (int32_t)b));
    }
    return SW_OK;
}

/* Checks that the text ends with the sum of the bytes before it. */
static sw_status file_check_sum(const char *text) {
    const size_t length = strlen(text);
    char line[SUM_LINE + 1] = "";
    if (length > SUM_LINE)
        sw_format(line, sizeof line, "%s%08lx\n", file_sum, crc32_z(0, (const unsigned char *)text, length - SUM_LINE));
    if (length > SUM_LINE && strcmp(text + length - SUM_LINE, line) == 0)
        return SW_OK;
    return sw_fail(SW_ERR_FORMAT, "tokenizer: the description is damaged: its checksum is not that of its contents");
}

/* Reads what follows the first line. */
static sw_status file_read(sw_tokenizer *t, const char *at, const char *sum_line) {
    const int64_t count = file_take_number(&at, '\n'), least = t->byte_pairs ? 0 : 1,
                  most = t->byte_pairs ? SWD_MOST_TOKENS - SWD_BYTE_TOKENS : SWD_MOST_CHARACTERS;
    if (count < least || count > most)
        return sw_fail(SW_ERR_FORMAT, "tokenizer: the number of %s is not from %lld to %lld",
                       t->byte_pairs ? "pairs" : "characters", (long long)least, (long long)most);
    SW_TRY(t->byte_pairs ? file_read_pairs(t, &at, count) : file_read_characters(t, &at, count));
    return at == sum_line
               ? SW_OK
               : sw_fail(SW_ERR_FORMAT, "tokenizer: the description has more than its %lld lines", (long long)count);
}

sw_tokenizer *sw_tokenizer_new_from_description(const char *text) {
    if (!text) {
        sw_fail(SW_ERR_ARGUMENT, "tokenizer: the description is NULL");
        return NULL;
    }
    if (file_check_sum(text) != SW_OK)
        return NULL;
    const char *at = text;
    const bool begins = file_take(&at, file_begin), pairs = begins && file_take(&at, file_pairs);
    if (!pairs && !(begins && file_take(&at, file_characters))) {
        sw_fail(SW_ERR_FORMAT,
                "tokenizer: the description does not begin as that of characters or byte pairs, version 1 "
                "(a later version of swale?)");
        return NULL;
    }
    sw_tokenizer *t = pairs ? swd_tokenizer_new_bytes() : swd_tokenizer_new(false);
    if (t && file_read(t, at, text + strlen(text) - SUM_LINE) == SW_OK)
        return t;
    sw_tokenizer_free(t);
    return NULL;
}

/* ---- Archives ---- */

sw_status sw_tokenizer_pack(const sw_tokenizer *t, sw_archive *archive) {
    char *text = sw_tokenizer_description(t);
    const sw_status status = text ? sw_archive_set_text(archive, file_key, text) : sw_last_failure();
    sw_free(text);
    return status;
}

sw_tokenizer *sw_tokenizer_new_from_archive(const sw_archive *archive) {
    const bool had_error = sw_error() != NULL;
    if (!archive) {
        sw_fail(SW_ERR_ARGUMENT, "tokenizer_new_from_archive: the archive is NULL");
        return NULL;
    }
    const char *path = sw_archive_path(archive), *text = sw_archive_text(archive, file_key);
    path = path ? path : "archive";
    if (!text) {
        swd_path_fail(path, SW_ERR_FORMAT, "contains no tokenizer");
        return NULL;
    }
    sw_tokenizer *t = sw_tokenizer_new_from_description(text);
    if (!t && !had_error)
        swi_error_prefix_path(path);
    return t;
}

sw_tokenizer *sw_tokenizer_new_from_file(const char *path) {
    sw_archive *a = sw_archive_load(path);
    sw_tokenizer *t = a ? sw_tokenizer_new_from_archive(a) : NULL;
    sw_archive_free(a);
    return t;
}
