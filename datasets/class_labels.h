/* Converts labels to class ids in sorted order. */
#ifndef SWALE_DATASETS_CLASS_LABELS_H
#define SWALE_DATASETS_CLASS_LABELS_H

#include "datasets/memory_source.h"

/* A set of labels (texts), which are numbered in the order of their first appearance. {0} is the empty set. */
enum { SWD_MOST_CLASSES = 1 << 20, SWD_NO_MEMORY = -1, SWD_TOO_MANY_CLASSES = -2 };
typedef struct swd_classes {
    char **name;   /* [count] */
    int32_t *slot; /* [slots], the hash table: a label's number + 1; 0: an empty slot */
    int count, slots;
} swd_classes;
int swd_classes_find(const swd_classes *classes, const char *label); /* -1: not in the set */
/* The end of a message about labels such as 1, 2, 3, which were taken as ids from 0. */
#define SWD_NUMBER_LABELS " (classes = 0 numbers the labels of the data)"
/* Adds a label if it is new. Returns its number, or SWD_NO_MEMORY, or SWD_TOO_MANY_CLASSES. */
int swd_classes_add(swd_classes *classes, const char *label);
void swd_classes_free(swd_classes *classes);
/* Replaces ids [n], in order of appearance, by class ids in sorted order: by value if `numbers` (all labels are
 * integers), else by bytes. Sets the number of classes and the class names of the source, which takes over the
 * texts. */
sw_status swd_classes_finish(swd_classes *classes, bool numbers, int32_t *ids, int64_t n, swd_memory_source *s);
/* Computes the class ids (i32 [n]) of labels y, i32 or u8 [n], in sorted order; the class names are the values as text.
 * Messages begin with `who`. After an error `ids` holds no data. */
sw_status swd_class_ids_of_labels(const char *who, const sw_array *y, swd_memory_source *s, sw_array *ids);

#endif
