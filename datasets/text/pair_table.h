/* A table of numbers for pairs of ids. */
#ifndef SWALE_DATASETS_TEXT_PAIR_TABLE_H
#define SWALE_DATASETS_TEXT_PAIR_TABLE_H

#include <swale/error.h>

typedef struct swd_pair_entry {
    int32_t first, second;
    int64_t value;
} swd_pair_entry;

/* Begins with zeros. */
typedef struct swd_pair_table {
    swd_pair_entry *entry; /* [room], a hash table with linear probing; first -1: an empty place */
    int64_t count, room;   /* room: 0 or a power of 2 */
} swd_pair_table;

/* The entry of a pair; NULL if it has none. Valid until an entry is added. */
swd_pair_entry *swd_pair_table_find(const swd_pair_table *table, int32_t first, int32_t second);
/* Adds to the value of a pair, which is 0 if it has no entry. */
sw_status swd_pair_table_add(swd_pair_table *table, int32_t first, int32_t second, int64_t value);
void swd_pair_table_free(swd_pair_table *table);

#endif
