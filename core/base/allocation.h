/* Allocation without zeroing, and its accounts; unique ids; a hash of 64 bits. */
#ifndef SWALE_BASE_ALLOCATION_H
#define SWALE_BASE_ALLOCATION_H

#include <swale/memory.h>

void *swi_alloc_raw(sw_account account, size_t bytes); /* not zeroed */

/* The entry of the report to which memory belongs: that of the name, or without a name that of the account. -1 and an
 * error if there is no such account. */
int swi_account_entry(sw_account account, const char *owner, const char *name);
/* `bytes` of the allocator, `contents` of them without the header and the rounding. */
void swi_account_add(int entry, size_t bytes, size_t contents);
void swi_account_remove(int entry, size_t bytes, size_t contents);
/* Declares that the memory at this address holds a new object, so that sw_may_free accepts the address again. */
void swi_forget_freed(const void *object);
uint64_t swi_mix(uint64_t bits); /* a bijection: every bit of the result depends on all bits */
uint64_t swi_next_id(void);      /* each call in a process returns a different number */

#endif
