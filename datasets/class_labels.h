/* Labels as class ids in sorted order. */
#ifndef SWALE_DATASETS_CLASS_LABELS_H
#define SWALE_DATASETS_CLASS_LABELS_H

#include "datasets/memory_source.h"

/* A set of labels, each a text, numbered in order of appearance. {0}: empty. */
enum { SWD_MOST_CLASSES = 1 << 20, SWD_NO_MEMORY = -1, SWD_TOO_MANY_CLASSES = -2 };
typedef struct swd_classes {
    char **name;   /* [count] */
    int32_t *slot; /* [slots] of the hash table: number + 1, or 0 */
    int count, slots;
} swd_classes;
int swd_classes_find(const swd_classes *classes, const char *label); /* -1: not there */
/* The end of a message about labels like 1, 2, 3 that are taken for ids. */
#define SWD_NUMBER_LABELS " (classes = 0 numbers the labels that are there)"
/* Its number, whether it was there or not; or SWD_NO_MEMORY, SWD_TOO_MANY_CLASSES. */
int swd_classes_add(swd_classes *classes, const char *label);
void swd_classes_free(swd_classes *classes);
/* ids [n], in order of appearance, become class ids in sorted order: by value where all labels are whole
 * `numbers`, else by bytes. The source gets their count and takes over the names. */
sw_status swd_classes_finish(swd_classes *classes, bool numbers, int32_t *ids, int64_t n, swd_memory_source *s);
/* The class ids (i32, [n]) of labels y, i32 or u8 [n], in sorted order, with their values as names. Messages
 * begin with `who`. After an error ids holds nothing. */
sw_status swd_class_ids_of_labels(const char *who, const sw_array *y, swd_memory_source *s, sw_array *ids);

#endif
