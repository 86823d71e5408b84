/* Whether the calling thread is in a dry run, its flops, and addresses without memory. */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS, MAP_NORESERVE, madvise */
#include "core/base/dry_run_state.h"

#include <stddef.h>
#include <sys/mman.h>

atomic_bool swi_any_dry_run;
static _Thread_local bool dry_run_is_mine;
static _Thread_local double dry_run_flops;

bool swi_enter_dry_run(void) {
    if (atomic_exchange(&swi_any_dry_run, true))
        return false;
    dry_run_is_mine = true;
    dry_run_flops = 0;
    return true;
}

void swi_leave_dry_run(void) {
    dry_run_is_mine = false;
    dry_run_flops = 0;
    atomic_store(&swi_any_dry_run, false);
}

bool sw_dry_run(void) {
    return dry_run_is_mine;
}

double sw_dry_run_flops(void) {
    return dry_run_flops;
}

void sw_dry_run_count_product(int64_t M, int64_t N, int64_t K) {
    if (dry_run_is_mine)
        dry_run_flops += 2 * (double)M * (double)N * (double)K;
}

/* ---- Addresses ---- */

/* Pages get memory when something writes to them. Without MADV_NOHUGEPAGE, the header of each block could take a page
 * of 2 MiB. */
void *swi_reserve(size_t bytes) {
    void *block = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (block == MAP_FAILED)
        return NULL;
#ifdef MADV_NOHUGEPAGE
    (void)madvise(block, bytes, MADV_NOHUGEPAGE);
#endif
    return block;
}

void swi_unreserve(void *block, size_t bytes) {
    (void)munmap(block, bytes);
}
