/* Allocation without zeroing, unique ids, and a hash of 64 bits. */
#ifndef SWALE_BASE_ALLOCATION_H
#define SWALE_BASE_ALLOCATION_H

void *swi_alloc_raw(size_t bytes); /* not zeroed */
/* Declares that the memory at this address holds a new object, so that sw_may_free accepts the address again. */
void swi_forget_freed(const void *object);
uint64_t swi_mix(uint64_t bits); /* a bijection: every bit of the result depends on all bits */
uint64_t swi_next_id(void);      /* each call in a process returns a different number */

#endif
