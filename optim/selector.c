/* Selectors of groups: role=R, rank=N, name=PATTERN, or several of them, which must all match. */
#include "optim/selector.h"

#include <string.h>

typedef enum selector_key { SELECTOR_ROLE, SELECTOR_RANK, SELECTOR_NAME, SELECTOR_KEYS } selector_key;
static const char *const selector_keys[SELECTOR_KEYS] = {"role", "rank", "name"};

/* One selector: a word of a text. The value ends with the word. */
typedef struct selector_word {
    const char *text, *value;
    int length, key_length, value_length;
    selector_key key; /* SELECTOR_KEYS: an unknown one */
} selector_word;

/* Reads the next word; false: there is none. *text then points to the text after it. */
static bool selector_next(const char **text, selector_word *word) {
    const char *begin = *text + strspn(*text, " \t\n");
    const int length = (int)strcspn(begin, " \t\n");
    const char *equals = memchr(begin, '=', (size_t)length);
    *text = begin + length;
    *word = (selector_word){.text = begin, .length = length, .key = SELECTOR_KEYS};
    if (!equals)
        return length > 0;
    word->key_length = (int)(equals - begin);
    word->value = equals + 1;
    word->value_length = length - word->key_length - 1;
    for (int k = 0; k < SELECTOR_KEYS; k++)
        if (strncmp(selector_keys[k], begin, (size_t)word->key_length) == 0 && !selector_keys[k][word->key_length])
            word->key = (selector_key)k;
    return true;
}

size_t swo_selector_length(const char *text) {
    size_t length = 0;
    selector_word word;
    for (const char *at = text; selector_next(&at, &word) && word.key != SELECTOR_KEYS;)
        length = (size_t)(at - text);
    return length;
}

/* ---- Matching ---- */

/* The pattern, with * and ?, ends at `end`. If the text after a * does not match, only the last * is tried with another
 * length, so that the time is at most the product of the two lengths. */
static bool selector_pattern_fits(const char *pattern, const char *end, const char *text) {
    const char *after_star = NULL, *retry = NULL;
    while (*text) {
        if (pattern < end && *pattern == '*') {
            after_star = ++pattern;
            retry = text;
        } else if (pattern < end && (*pattern == '?' || *pattern == *text)) {
            pattern++;
            text++;
        } else if (after_star) {
            pattern = after_star;
            text = ++retry;
        } else {
            return false;
        }
    }
    while (pattern < end && *pattern == '*')
        pattern++;
    return pattern == end;
}

static bool selector_word_is(const selector_word *word, const char *text) {
    return strncmp(word->value, text, (size_t)word->value_length) == 0 && !text[word->value_length];
}

bool swo_selector_matches(const char *selector, const sw_param *p) {
    selector_word word;
    bool all = true;
    for (const char *at = selector ? selector : ""; all && selector_next(&at, &word);)
        switch (word.key) {
        case SELECTOR_ROLE: all = selector_word_is(&word, sw_role_name(p->role)); break;
        case SELECTOR_RANK: all = word.value[0] - '0' == p->rank; break; /* one digit: selector_check */
        default: all = selector_pattern_fits(word.value, word.value + word.value_length, p->name);
        }
    return all;
}

/* ---- Reading ---- */

static sw_status selector_check_role(const selector_word *word) {
    const char *names[SW_ROLE_OTHER + 1];
    char role[64];
    for (int r = 0; r <= SW_ROLE_OTHER; r++) {
        names[r] = sw_role_name((sw_role)r);
        if (selector_word_is(word, names[r]))
            return SW_OK;
    }
    if (memchr(word->value, ',', (size_t)word->value_length))
        return sw_fail(SW_ERR_ARGUMENT, "rule: %.*s: selectors are separated by blanks, not by commas", word->length,
                       word->text);
    sw_format(role, sizeof role, "%.*s", word->value_length, word->value);
    return sw_fail(SW_ERR_ARGUMENT, "rule: there is no role %s%s", role, sw_suggest(role, SW_ROLE_OTHER + 1, names));
}

static sw_status selector_fail_key(const selector_word *word) {
    char key[64];
    if (!word->value)
        return sw_fail(SW_ERR_ARGUMENT,
                       "rule: a group is chosen by role=R, rank=N, name=PATTERN, or several of them, not by %.*s",
                       word->length, word->text);
    sw_format(key, sizeof key, "%.*s", word->key_length, word->text);
    const char *nearest = sw_suggest(key, SELECTOR_KEYS, selector_keys);
    return sw_fail(SW_ERR_ARGUMENT, "rule: there is no selector %s=%s", key,
                   *nearest ? nearest : "; there are role=R, rank=N and name=PATTERN");
}

static sw_status selector_check(const selector_word *word) {
    switch (word->key) {
    case SELECTOR_ROLE: return selector_check_role(word);
    case SELECTOR_RANK:
        if (word->value_length == 1 && word->value[0] >= '0' && word->value[0] <= '0' + SW_MAX_RANK)
            return SW_OK;
        return sw_fail(SW_ERR_ARGUMENT, "rule: %.*s; a number of axes from 0 to %d is needed", word->length, word->text,
                       SW_MAX_RANK);
    case SELECTOR_NAME:
        return word->value_length ? SW_OK : sw_fail(SW_ERR_ARGUMENT, "rule: name= needs a pattern: name=head.*");
    default: return selector_fail_key(word);
    }
}

char *swo_selector_new(const char *text) {
    int given[SELECTOR_KEYS + 1] = {0};
    selector_word word;
    const char *at = text;
    for (; selector_next(&at, &word); given[word.key]++)
        if (selector_check(&word) != SW_OK)
            return NULL;
    for (int k = 0; k < SELECTOR_NAME; k++) /* of several patterns all must fit */
        if (given[k] > 1) {
            sw_fail(SW_ERR_ARGUMENT, "rule: %s= is given twice in %s", selector_keys[k], text);
            return NULL;
        }
    if (given[SELECTOR_ROLE] + given[SELECTOR_RANK] + given[SELECTOR_NAME] == 0) {
        sw_fail(SW_ERR_ARGUMENT, "rule: a selector is missing before the colon: role=R, rank=N or name=PATTERN");
        return NULL;
    }
    char *canonical = sw_alloc(strlen(text) + 1), *end = canonical;
    for (int k = 0; canonical && k < SELECTOR_KEYS; k++)
        for (at = text; selector_next(&at, &word);)
            if (word.key == (selector_key)k) {
                if (end > canonical)
                    *end++ = ' ';
                memcpy(end, word.text, (size_t)word.length);
                end += word.length;
            }
    return canonical;
}
