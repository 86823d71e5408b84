/* The live and peak bytes of each account. This file allocates nothing. */
#include <swale/memory.h>
#include <swale/text.h>

#include "core/base/allocation.h"
#include "core/base/dry_run_state.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

typedef struct counter {
    atomic_size_t live, peak, contents;
} counter;

/* A name within an account. It exists until the process ends, because blocks refer to it by its index. */
enum { NAMES = 512, NAME_BYTES = 64 };
typedef struct named_entry {
    sw_account account;
    char name[NAME_BYTES];
} named_entry;
static named_entry named[NAMES];
static atomic_int names; /* entries in use; increased, under the mutex, after the entry is written */

/* Entry i of a block: without a name for i < SW_ACCOUNTS, else with named[i - SW_ACCOUNTS]. The blocks of a dry run
 * have the bit DRY, and are counted separately. */
enum { ENTRIES = SW_ACCOUNTS + NAMES, DRY = 1 << 16 };
_Static_assert(ENTRIES <= DRY, "an entry and the bit must not overlap");
typedef struct ledger {
    counter entry[ENTRIES], account[SW_ACCOUNTS], total;
} ledger;
static ledger process_ledger, dry_ledger;

/* That of the calling thread. */
static ledger *ledger_now(void) {
    return swi_dry_run() ? &dry_ledger : &process_ledger;
}

/* ---- Counting ---- */

static void counter_add(counter *c, size_t bytes, size_t contents) {
    atomic_fetch_add_explicit(&c->contents, contents, memory_order_relaxed);
    const size_t live = atomic_fetch_add_explicit(&c->live, bytes, memory_order_acq_rel) + bytes;
    size_t peak = atomic_load_explicit(&c->peak, memory_order_relaxed);
    while (live > peak &&
           !atomic_compare_exchange_weak_explicit(&c->peak, &peak, live, memory_order_relaxed, memory_order_relaxed))
        ;
}

static void counter_remove(counter *c, size_t bytes, size_t contents) {
    atomic_fetch_sub_explicit(&c->contents, contents, memory_order_relaxed);
    atomic_fetch_sub_explicit(&c->live, bytes, memory_order_relaxed);
}

static ledger *ledger_of(int entry) {
    return entry & DRY ? &dry_ledger : &process_ledger;
}

static sw_account entry_account(int entry) {
    return entry < SW_ACCOUNTS ? (sw_account)entry : named[entry - SW_ACCOUNTS].account;
}

void swi_account_add(int entry, size_t bytes, size_t contents) {
    ledger *l = ledger_of(entry);
    entry &= ~DRY;
    counter_add(&l->entry[entry], bytes, contents);
    counter_add(&l->account[entry_account(entry)], bytes, contents);
    counter_add(&l->total, bytes, contents);
}

void swi_account_remove(int entry, size_t bytes, size_t contents) {
    ledger *l = ledger_of(entry);
    entry &= ~DRY;
    counter_remove(&l->entry[entry], bytes, contents);
    counter_remove(&l->account[entry_account(entry)], bytes, contents);
    counter_remove(&l->total, bytes, contents);
}

/* ---- Names ---- */

/* Locked during a fork: otherwise a child could inherit it locked, by a thread that the child does not have. */
static pthread_mutex_t names_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t names_once = PTHREAD_ONCE_INIT;

static void names_lock(void) {
    pthread_mutex_lock(&names_mutex);
}

static void names_unlock(void) {
    pthread_mutex_unlock(&names_mutex);
}

static void names_watch_forks(void) {
    pthread_atfork(names_lock, names_unlock, names_unlock);
}

/* The entry of a name, which is made if it does not exist. If the table is full, the account's entry without a name. */
static int names_find(sw_account account, const char *name) {
    const int count = atomic_load(&names);
    for (int i = 0; i < count; i++)
        if (named[i].account == account && strcmp(named[i].name, name) == 0)
            return SW_ACCOUNTS + i;
    if (count == NAMES)
        return (int)account;
    named[count].account = account;
    memcpy(named[count].name, name, strlen(name) + 1);
    atomic_store_explicit(&names, count + 1, memory_order_release);
    return SW_ACCOUNTS + count;
}

int swi_account_entry(sw_account account, const char *owner, const char *name) {
    if (!sw_account_name(account)) {
        sw_fail(SW_ERR_ARGUMENT, "alloc_for: there is no account %d; SW_ACCOUNT_OTHER (0) to %d exist", (int)account,
                SW_ACCOUNTS - 1);
        return -1;
    }
    const int dry = swi_dry_run() ? DRY : 0;
    if (!owner || !name)
        return (int)account | dry;
    char both[NAME_BYTES];
    sw_format(both, sizeof both, "%s.%s", owner, name);
    pthread_once(&names_once, names_watch_forks);
    names_lock();
    const int index = names_find(account, both);
    names_unlock();
    return index | dry;
}

/* ---- Reading ---- */

const char *sw_account_name(sw_account account) {
    static const char *const name[SW_ACCOUNTS] = {"other", "parameters",  "gradients", "optimizer",
                                                  "tape",  "temporaries", "data"};
    return (int)account >= 0 && (int)account < SW_ACCOUNTS ? name[account] : NULL;
}

size_t sw_memory_live(sw_account account) {
    return sw_account_name(account) ? atomic_load(&ledger_now()->account[account].live) : 0;
}

size_t sw_memory_peak(sw_account account) {
    return sw_account_name(account) ? atomic_load(&ledger_now()->account[account].peak) : 0;
}

size_t sw_memory_contents(sw_account account) {
    return sw_account_name(account) ? atomic_load(&ledger_now()->account[account].contents) : 0;
}

double sw_memory_per_parameter(int64_t parameters) {
    const size_t bytes = sw_memory_contents(SW_ACCOUNT_PARAMETERS) + sw_memory_contents(SW_ACCOUNT_GRADIENTS) +
                         sw_memory_contents(SW_ACCOUNT_OPTIMIZER);
    return parameters > 0 ? (double)bytes / (double)parameters : 0;
}

size_t sw_memory_live_total(void) {
    return atomic_load(&ledger_now()->total.live);
}

size_t sw_memory_peak_total(void) {
    return atomic_load(&ledger_now()->total.peak);
}

static void counter_reset_peak(counter *c) {
    atomic_store(&c->peak, atomic_load(&c->live));
    counter_add(c, 0, 0); /* what another thread has added between the two */
}

void sw_memory_reset_peaks(void) {
    ledger *l = ledger_now();
    for (int i = 0; i < ENTRIES; i++)
        counter_reset_peak(&l->entry[i]);
    for (int i = 0; i < SW_ACCOUNTS; i++)
        counter_reset_peak(&l->account[i]);
    counter_reset_peak(&l->total);
}

typedef struct report {
    sw_memory_entry *entries;
    int count, most;
} report;

static void report_add(report *r, sw_account account, const char *name, counter *bytes) {
    const sw_memory_entry entry = {account, name, atomic_load(&bytes->live), atomic_load(&bytes->peak),
                                   atomic_load(&bytes->contents)};
    if (entry.live == 0 && entry.peak == 0)
        return;
    if (r->count < r->most)
        r->entries[r->count] = entry;
    r->count++;
}

int sw_memory_report(sw_memory_entry *entries, int most) {
    report r = {.entries = entries, .most = most};
    const int count = atomic_load_explicit(&names, memory_order_acquire);
    ledger *l = ledger_now();
    for (int a = 0; a < SW_ACCOUNTS; a++) {
        report_add(&r, (sw_account)a, NULL, &l->entry[a]);
        for (int i = 0; i < count; i++)
            if ((int)named[i].account == a)
                report_add(&r, (sw_account)a, named[i].name, &l->entry[SW_ACCOUNTS + i]);
    }
    return r.count;
}
