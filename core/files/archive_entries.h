/* What an archive is made of, for the files that use it. */
#ifndef SWALE_FILES_ARCHIVE_ENTRIES_H
#define SWALE_FILES_ARCHIVE_ENTRIES_H

#include <swale/archive.h>

typedef struct swi_entry {
    char *name;
    const char *stored; /* the type in the file: a constant */
    sw_array array;     /* data NULL: its type is not read */
    void *owned;        /* a copy's memory; else NULL */
} swi_entry;

typedef struct swi_text {
    char *key, *text;
} swi_text;

struct sw_archive {
    char *path; /* NULL: not from a file */
    swi_entry *entry;
    int entries, entry_capacity;
    swi_text *text;
    int texts, text_capacity;
    void *block;      /* the file's arrays */
    sw_status failed; /* why something could not be put in; SW_OK: all of it was */
};

/* Adds an entry or a text without looking for an older one; the strings are copied. */
swi_entry *swi_archive_add(sw_archive *archive, const char *name);
sw_status swi_archive_add_text(sw_archive *archive, const char *key, const char *text);
int swi_archive_find(const sw_archive *archive, const char *name); /* -1: none */

#endif
