/* Memory that is not zeroed; ids; mixed bits. */
#ifndef SWALE_BASE_ALLOCATION_H
#define SWALE_BASE_ALLOCATION_H

void *swi_alloc_raw(size_t bytes); /* not zeroed */
/* Something else than what sw_may_free was called for lies there now. */
void swi_forget_freed(const void *object);
uint64_t swi_mix(uint64_t bits);
uint64_t swi_next_id(void); /* never the same twice in a process */

#endif
