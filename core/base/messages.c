/* Parts of error messages: shapes, lists of mismatches, and suggestions for misspelled words. */
#include <swale/array.h>
#include <swale/text.h>

#include <stdio.h>
#include <string.h>

const char *sw_shape_text(int rank, const int64_t *shape) {
    enum { BUFFERS = 4, LENGTH = 24 * SW_MAX_RANK };
    static _Thread_local char buffer[BUFFERS][LENGTH];
    static _Thread_local unsigned turn;
    char *out = buffer[turn++ % BUFFERS];
    size_t at = 0;
    if (rank < 0 || rank > SW_MAX_RANK) { /* an array that a program filled in may have an invalid rank */
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

enum { FAULT = 400, MORE = 32 }; /* the largest numbers of bytes of one mismatch, and of "; … and 12 more" */

void sw_error_list_add(sw_error_list *f, const char *format, ...) {
    char one[FAULT];
    va_list list;
    va_start(list, format);
    int length = sw_vformat(one, sizeof one, format, list);
    va_end(list);
    f->count++;
    if (length < 0 || f->listed < f->count - 1 || f->used + FAULT + MORE > sizeof f->text)
        return; /* after a mismatch that did not fit, the others are only counted */
    f->used += (size_t)snprintf(f->text + f->used, FAULT + MORE, "%s%s", f->listed ? "; " : "", one);
    f->listed++;
}

const char *sw_error_list_text(sw_error_list *f) {
    if (f->listed < f->count)
        snprintf(f->text + f->used, MORE, "; … and %d more", f->count - f->listed);
    return f->text;
}

static int suggest_lower(char c) {
    return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
}

/* The Levenshtein distance of two words, of which it compares the first 31 bytes. Upper and lower case count as
 * equal. */
static int suggest_distance(const char *a, const char *b) {
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
            int best = diagonal + (suggest_lower(a[i - 1]) != suggest_lower(b[j - 1]));
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
    int best = 3, which = -1; /* at most two letters may differ, and not all letters of a short name */
    for (int i = 0; i < count; i++) {
        int d = suggest_distance(word, names[i]);
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
