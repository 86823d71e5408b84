/* The live and peak bytes of each account. This file allocates nothing. */
#include <swale/memory.h>
#include <swale/text.h>

#include "core/base/allocation.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

typedef struct counter {
    atomic_size_t live, peak, contents;
} counter;

/* The bytes of one name. An entry exists until the process ends, because blocks refer to it by its index. */
enum { NAMES = 512, NAME_BYTES = 64 };
typedef struct named_entry {
    counter bytes;
    sw_account account;
    char name[NAME_BYTES];
} named_entry;

/* Entry i of a block: nameless[i], or named[i - SW_ACCOUNTS]. */
static counter nameless[SW_ACCOUNTS];
static named_entry named[NAMES];
static atomic_int names; /* entries in use; increased, under the mutex, after the entry is written */
static counter accounts[SW_ACCOUNTS], total;

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

/* The entry's counter, and its account. */
static counter *entry_counter(int entry, sw_account *account) {
    if (entry < SW_ACCOUNTS) {
        *account = (sw_account)entry;
        return &nameless[entry];
    }
    *account = named[entry - SW_ACCOUNTS].account;
    return &named[entry - SW_ACCOUNTS].bytes;
}

void swi_account_add(int entry, size_t bytes, size_t contents) {
    sw_account account;
    counter_add(entry_counter(entry, &account), bytes, contents);
    counter_add(&accounts[account], bytes, contents);
    counter_add(&total, bytes, contents);
}

void swi_account_remove(int entry, size_t bytes, size_t contents) {
    sw_account account;
    counter_remove(entry_counter(entry, &account), bytes, contents);
    counter_remove(&accounts[account], bytes, contents);
    counter_remove(&total, bytes, contents);
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
    if (!owner || !name)
        return (int)account;
    char both[NAME_BYTES];
    sw_format(both, sizeof both, "%s.%s", owner, name);
    pthread_once(&names_once, names_watch_forks);
    names_lock();
    const int index = names_find(account, both);
    names_unlock();
    return index;
}

/* ---- Reading ---- */

const char *sw_account_name(sw_account account) {
    static const char *const name[SW_ACCOUNTS] = {"other", "parameters",  "gradients", "optimizer",
                                                  "tape",  "temporaries", "data"};
    return (int)account >= 0 && (int)account < SW_ACCOUNTS ? name[account] : NULL;
}

size_t sw_memory_live(sw_account account) {
    return sw_account_name(account) ? atomic_load(&accounts[account].live) : 0;
}

size_t sw_memory_peak(sw_account account) {
    return sw_account_name(account) ? atomic_load(&accounts[account].peak) : 0;
}

size_t sw_memory_contents(sw_account account) {
    return sw_account_name(account) ? atomic_load(&accounts[account].contents) : 0;
}

double sw_memory_per_parameter(int64_t parameters) {
    const size_t bytes = sw_memory_contents(SW_ACCOUNT_PARAMETERS) + sw_memory_contents(SW_ACCOUNT_GRADIENTS) +
                         sw_memory_contents(SW_ACCOUNT_OPTIMIZER);
    return parameters > 0 ? (double)bytes / (double)parameters : 0;
}

size_t sw_memory_live_total(void) {
    return atomic_load(&total.live);
}

size_t sw_memory_peak_total(void) {
    return atomic_load(&total.peak);
}

static void counter_reset_peak(counter *c) {
    atomic_store(&c->peak, atomic_load(&c->live));
    counter_add(c, 0, 0); /* what another thread has added between the two */
}

void sw_memory_reset_peaks(void) {
    const int count = atomic_load_explicit(&names, memory_order_acquire);
    for (int i = 0; i < count; i++)
        counter_reset_peak(&named[i].bytes);
    for (int i = 0; i < SW_ACCOUNTS; i++) {
        counter_reset_peak(&nameless[i]);
        counter_reset_peak(&accounts[i]);
    }
    counter_reset_peak(&total);
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
    for (int a = 0; a < SW_ACCOUNTS; a++) {
        report_add(&r, (sw_account)a, NULL, &nameless[a]);
        for (int i = 0; i < count; i++)
            if ((int)named[i].account == a)
                report_add(&r, (sw_account)a, named[i].name, &named[i].bytes);
    }
    return r.count;
}
