/* Arrays of ids that sources read. */
#ifndef SWALE_DATASETS_TEXT_ID_ARRAY_H
#define SWALE_DATASETS_TEXT_ID_ARRAY_H

#include <swale/sequences.h>

/* Ids of type i32 or u8, in the memory of the caller or copied. Begins with zeros. */
typedef struct swd_id_array {
    const void *data;
    bool bytes; /* u8; else i32 */
    int64_t count;
    sw_array copy; /* data NULL: the memory is the caller's */
} swd_id_array;

/* Checks an array [n] of ids, which are at least 0 and, unless classes is 0, below it, and takes or copies it. *classes
 * becomes the largest id + 1 if it is 0. A message begins with `who` and the name of the array. */
sw_status swd_id_array_init(swd_id_array *ids, const char *who, const char *name, const sw_array *array, bool copy,
                            int64_t *classes);
void swd_id_array_free(swd_id_array *ids);
/* Copies the ids [first, first + count) to `out`. */
void swd_id_array_read(const swd_id_array *ids, int64_t first, int64_t count, int32_t *out);

#endif
