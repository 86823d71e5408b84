/* Whether the calling thread is in a dry run, at the price of one load if no thread is. */
#ifndef SWALE_BASE_DRY_RUN_STATE_H
#define SWALE_BASE_DRY_RUN_STATE_H

#include <swale/dry_run.h>

#include <stdatomic.h>

extern atomic_bool swi_any_dry_run; /* of any thread */
static inline bool swi_dry_run(void) {
    return atomic_load_explicit(&swi_any_dry_run, memory_order_relaxed) && sw_dry_run();
}

/* False if a dry run is under way, in any thread. */
bool swi_enter_dry_run(void);
void swi_leave_dry_run(void);

/* Reserves addresses without memory; the contents are zero. NULL if the system refuses. */
void *swi_reserve(size_t bytes);
void swi_unreserve(void *block, size_t bytes);

#endif
