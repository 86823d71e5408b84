/* The struct of an archive, for the files of core that read and fill it. */
#ifndef SWALE_FILES_ARCHIVE_ENTRIES_H
#define SWALE_FILES_ARCHIVE_ENTRIES_H

#include <swale/archive.h>

typedef struct swi_entry {
    char *name;
    const char *stored; /* the type in the file: a constant */
    sw_dtype as;        /* the same for arrays with data: that of `array`, or another one (sw_archive_put_as) */
    sw_array array;     /* data is NULL if the type is not supported */
    void *owned;        /* the memory of a copy (sw_archive_put_copy), or NULL */
} swi_entry;

typedef struct swi_text {
    char *key, *text;
} swi_text;

struct sw_archive {
    char *path; /* NULL: not loaded from a file */
    swi_entry *entry;
    int entries, entry_capacity;
    swi_text *text;
    int texts, text_capacity;
    void *block;      /* the memory of all arrays of a loaded file */
    sw_status failed; /* the status of a put or set_text that failed; SW_OK if none did */
};

/* Add an entry or a text without checking for a duplicate; the strings are copied. */
swi_entry *swi_archive_add(sw_archive *archive, const char *name);
sw_status swi_archive_add_text(sw_archive *archive, const char *key, const char *text);
/* As sw_archive_put_as, with an array whose data becomes the archive's: it frees the data, also after an error. */
sw_status swi_archive_put_owned(sw_archive *archive, const char *name, sw_array array, sw_dtype type);
int swi_archive_find(const sw_archive *archive, const char *name); /* the index of an entry; -1 if there is none */

#endif
