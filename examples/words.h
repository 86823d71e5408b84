/* The first words of a text as class ids, the most frequent word first. Not part of the library.
 *
 *     words w = {0};
 *     if (words_read(&w, text, bytes, 4096) == SW_OK) ...    w.id[0 … w.n), w.count[0 … w.classes)
 *     words_free(&w);
 *
 * A word is a maximal sequence of letters and apostrophes. Bytes from 0x80 on count as letters, and capital letters of
 * ASCII are converted to lower case. Words that occur equally often are in the order of their bytes. */
#ifndef SWALE_EXAMPLES_WORDS_H
#define SWALE_EXAMPLES_WORDS_H

#include <swale/extend.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

typedef struct words {
    int64_t n, classes;
    int32_t *id;    /* [n]: the class of each word, in the order of the text */
    int64_t *count; /* [classes]: how often the class occurs, descending */
} words;

static inline void words_free(words *w) {
    sw_free(w->id), sw_free(w->count);
}

/* One occurrence of a word, or a class of equal words. */
typedef struct words_entry {
    const char *at;
    int length;
    int64_t place, count; /* place: the index of the occurrence; of a class: that of its first entry when sorted */
} words_entry;

static inline bool words_is_letter(char c) {
    const unsigned char byte = (unsigned char)c;
    return byte >= 0x80 || (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || byte == '\'';
}

/* The byte; for a capital letter, that of the lower-case letter. */
static inline int words_small(char c) {
    const int byte = (unsigned char)c;
    return byte >= 'A' && byte <= 'Z' ? byte - 'A' + 'a' : byte;
}

static inline int words_compare_text(const words_entry *a, const words_entry *b) {
    for (int i = 0; i < a->length && i < b->length; i++) {
        const int difference = words_small(a->at[i]) - words_small(b->at[i]);
        if (difference)
            return difference;
    }
    return a->length - b->length;
}

/* By text, and equal words by place, so that the order is unique. */
static inline int words_compare_places(const void *a, const void *b) {
    const words_entry *const x = a, *const y = b;
    const int difference = words_compare_text(x, y);
    return difference ? difference : (x->place > y->place) - (x->place < y->place);
}

/* By descending count, and then by text. */
static inline int words_compare_counts(const void *a, const void *b) {
    const words_entry *const x = a, *const y = b;
    return x->count != y->count ? (x->count < y->count ? 1 : -1) : words_compare_text(x, y);
}

/* Finds up to `most` words. Returns their number. */
static inline int64_t words_split(const char *text, size_t bytes, int64_t most, words_entry *entry) {
    int64_t n = 0;
    for (size_t i = 0; i < bytes && n < most;) {
        size_t end = i;
        while (end < bytes && words_is_letter(text[end]) && end - i < INT32_MAX)
            end++;
        if (end > i)
            entry[n] = (words_entry){.at = text + i, .length = (int)(end - i), .place = n}, n++;
        i = end > i ? end : i + 1;
    }
    return n;
}

/* Gives ids to the sorted entries; `class` has room for as many. */
static inline void words_number(words *w, const words_entry *entry, words_entry *class) {
    for (int64_t i = 0; i < w->n; i++)
        if (i == 0 || words_compare_text(&entry[i - 1], &entry[i]) != 0)
            class[w->classes] = entry[i], class[w->classes].place = i, class[w->classes++].count = 1;
        else
            class[w->classes - 1].count++;
    qsort(class, (size_t)w->classes, sizeof *class, words_compare_counts);
    for (int64_t k = 0; k < w->classes; k++) {
        w->count[k] = class[k].count;
        for (int64_t i = class[k].place; i < class[k].place + class[k].count; i++)
            w->id[entry[i].place] = (int32_t)k;
    }
}

/* Reads the first words of a text, at most `most` >= 1. A text without words gives n = 0. */
static inline sw_status words_read(words *w, const char *text, size_t bytes, int64_t most) {
    words_entry *entry = sw_alloc_array(2 * most, sizeof *entry);
    *w = (words){.id = sw_alloc_array(most, sizeof *w->id), .count = sw_alloc_array(most, sizeof *w->count)};
    if (!sw_error()) {
        w->n = words_split(text, bytes, most, entry);
        qsort(entry, (size_t)w->n, sizeof *entry, words_compare_places);
        words_number(w, entry, entry + most);
    }
    sw_free(entry);
    return sw_error_status();
}

#endif
