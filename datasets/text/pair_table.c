/* A hash table of pairs. */
#include "datasets/text/pair_table.h"

#include <swale/memory.h>
#include <swale/status.h>

enum { FIRST_ROOM = 512 };

/* The place of a pair in a table with room: its entry, or the empty place for it. */
static swd_pair_entry *pair_table_place(const swd_pair_table *table, int32_t first, int32_t second) {
    const uint64_t mask = (uint64_t)table->room - 1;
    uint64_t hash = ((uint64_t)(uint32_t)first << 32 | (uint32_t)second) * 0x9E3779B97F4A7C15u;
    hash ^= hash >> 32;
    for (uint64_t i = hash & mask;; i = (i + 1) & mask) {
        swd_pair_entry *e = &table->entry[i];
        if (e->first < 0 || (e->first == first && e->second == second))
            return e;
    }
}

swd_pair_entry *swd_pair_table_find(const swd_pair_table *table, int32_t first, int32_t second) {
    if (table->room == 0)
        return NULL;
    swd_pair_entry *e = pair_table_place(table, first, second);
    return e->first < 0 ? NULL : e;
}

static sw_status pair_table_grow(swd_pair_table *table) {
    swd_pair_table grown = {.room = table->room ? 2 * table->room : FIRST_ROOM};
    grown.entry = sw_alloc_array_for(SW_ACCOUNT_DATA, grown.room, sizeof *grown.entry);
    if (!grown.entry)
        return SW_ERR_MEMORY;
    for (int64_t i = 0; i < grown.room; i++)
        grown.entry[i].first = -1;
    for (int64_t i = 0; i < table->room; i++)
        if (table->entry[i].first >= 0)
            *pair_table_place(&grown, table->entry[i].first, table->entry[i].second) = table->entry[i];
    grown.count = table->count;
    sw_free(table->entry);
    *table = grown;
    return SW_OK;
}

sw_status swd_pair_table_add(swd_pair_table *table, int32_t first, int32_t second, int64_t value) {
    if (3 * table->room <= 4 * table->count) /* at most three quarters of the places are used */
        SW_TRY(pair_table_grow(table));
    swd_pair_entry *e = pair_table_place(table, first, second);
    if (e->first < 0) {
        *e = (swd_pair_entry){.first = first, .second = second};
        table->count++;
    }
    e->value += value;
    return SW_OK;
}

void swd_pair_table_free(swd_pair_table *table) {
    sw_free(table->entry);
    *table = (swd_pair_table){0};
}
