/* Functions that read the tables of a method: options, slots, scalars. */
#ifndef SWALE_OPTIM_OPTION_TABLE_H
#define SWALE_OPTIM_OPTION_TABLE_H

#include <swale/optim.h>

int swo_option_count(const sw_option *table);
int swo_option_index(const sw_option *table, const char *name); /* -1 if there is no such option */
bool swo_option_in_range(const sw_option *option, double value);
/* "[0, 1)"; valid until this thread's next call. */
const char *swo_option_range_text(const sw_option *option);

int swo_scalar_count(const char *const *names);

/* Whether the slot is made with these options and this type of the parameters. */
bool swo_slot_needed(const sw_slot *slot, const double *option, sw_dtype type);
/* The type of a slot's elements, and their size in bytes. */
sw_dtype swo_slot_type(const sw_slot *slot, sw_dtype type);
size_t swo_slot_size(const sw_slot *slot, sw_dtype type);

#endif
