/* Errors: a status and the first message of each thread. No allocation: it must work when memory is
 * gone. */
#include "internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

_Thread_local sw_status swi_error_now;
static _Thread_local char text[4096]; /* a path, and a list of faults */
/* Of every failure, also of those whose message was not kept because an earlier error is pending. */
static _Thread_local sw_status latest_status;
static _Thread_local uint64_t failures;

const char *sw_error(void) {
    return swi_error_now == SW_OK ? NULL : text;
}

sw_status sw_error_status(void) {
    return swi_error_now;
}

void sw_clear_error(void) {
    swi_error_now = SW_OK;
}

uint64_t sw_failure_count(void) {
    return failures;
}

sw_status sw_last_failure(void) {
    return latest_status;
}

sw_status sw_fail(sw_status status, const char *format, ...) {
    if (status != SW_OK) {
        latest_status = status;
        failures++;
    }
    if (swi_error_now == SW_OK && status != SW_OK) {
        va_list list;
        va_start(list, format);
        sw_vformat(text, sizeof text, format, list);
        va_end(list);
        swi_error_now = status;
    }
    return status;
}

sw_status swi_returned(const char *kind, const char *name, const char *function, sw_status status) {
    if (status == SW_OK)
        return status;
    if (status == SW_SKIPPED)
        return sw_fail(SW_ERR_STATE, "%s%s%s: %s returned SW_SKIPPED, which is for optimizers", kind, name ? " " : "",
                       name ? name : "", function);
    /* Kept only where the function left no message itself. */
    return sw_fail(status, "%s%s%s: %s returned status %d without a message", kind, name ? " " : "", name ? name : "",
                   function, (int)status);
}

void swi_error_prefix(const char *prefix) {
    size_t have = strlen(text), add = strlen(prefix);
    if (swi_error_now == SW_OK || have + add + 1 > sizeof text)
        return;
    memmove(text + add, text, have + 1);
    memcpy(text, prefix, add); // NOLINT(bugprone-not-null-terminated-result): it goes in front
}

const char *sw_shape_text(int rank, const int64_t *shape) {
    enum { BUFFERS = 4, LENGTH = 24 * SW_MAX_RANK };
    static _Thread_local char buffer[BUFFERS][LENGTH];
    static _Thread_local unsigned turn;
    char *out = buffer[turn++ % BUFFERS];
    size_t at = 0;
    if (rank < 0 || rank > SW_MAX_RANK) { /* an array made by hand may say anything */
        snprintf(out, LENGTH, "[%d axes]", rank);
        return out;
    }
    out[at++] = '[';
    for (int i = 0; i < rank && shape; i++)
        at += (size_t)snprintf(out + at, LENGTH - at, i ? ",%lld" : "%lld", (long long)shape[i]);
    out[at++] = ']';
    out[at] = 0;
    return out;
}

enum { FAULT = 400, MORE = 32 }; /* bytes of one at most, and of "; … and 12 more" */

void sw_error_list_add(sw_error_list *f, const char *format, ...) {
    char one[FAULT];
    va_list list;
    va_start(list, format);
    int length = sw_vformat(one, sizeof one, format, list);
    va_end(list);
    f->count++;
    if (length < 0 || f->told < f->count - 1 || f->used + FAULT + MORE > sizeof f->text)
        return; /* nothing is told after one that was left out */
    f->used += (size_t)snprintf(f->text + f->used, FAULT + MORE, "%s%s", f->told ? "; " : "", one);
    f->told++;
}

const char *sw_error_list_text(sw_error_list *f) {
    if (f->told < f->count)
        snprintf(f->text + f->used, MORE, "; … and %d more", f->count - f->told);
    return f->text;
}

static int lower(char c) {
    return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
}

/* Levenshtein's distance, for short words; capitals count as small letters. */
static int distance(const char *a, const char *b) {
    enum { MOST = 32 };
    int la = (int)strlen(a), lb = (int)strlen(b), row[MOST];
    la = la < MOST ? la : MOST - 1;
    lb = lb < MOST ? lb : MOST - 1;
    for (int j = 0; j <= lb; j++)
        row[j] = j;
    for (int i = 1; i <= la; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= lb; j++) {
            int best = diagonal + (lower(a[i - 1]) != lower(b[j - 1]));
            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[lb];
}

const char *sw_suggest(const char *word, int count, const char *const *names) {
    static _Thread_local char answer[96];
    int best = 3, which = -1; /* at most two letters off, or less for short words */
    for (int i = 0; i < count; i++) {
        int d = distance(word, names[i]);
        if (d < best && d < (int)strlen(names[i])) {
            best = d;
            which = i;
        }
    }
    answer[0] = 0;
    if (which >= 0)
        snprintf(answer, sizeof answer, ", did you mean %s?", names[which]);
    return answer;
}

sw_status sw_options_copy(const char *who, const char *type, void *options, size_t size, const void *given,
                          size_t least) {
    size_t given_size;
    memcpy(&given_size, given, sizeof given_size);
    if (given_size < least || given_size > size)
        return sw_fail(SW_ERR_ARGUMENT, "%s: options.size is %zu; sizeof(%s) is %zu", who, given_size, type, size);
    memcpy(options, given, given_size);
    return SW_OK;
}
