/* Protection against freeing an object twice, and against freeing a source while another object reads it. */
#include <swale/memory.h>
#include <swale/source.h>

#include "core/base/allocation.h"

#include <stdatomic.h>
#include <pthread.h>

/* ---- Objects that are freed twice ---- */

/* A hash table of the addresses of freed objects whose memory this library's allocator has not returned again. A newer
 * address overwrites an older one with the same hash. Therefore a lookup reads no memory of the object, and an address
 * that was allocated again is never refused.
 *
 * A program may get the same memory from the system's allocator for an object that the library did not make (a source);
 * this file does not notice it. Therefore each entry also contains a hash of the kind of the object, in the upper 16
 * bits, which are 0 in an address. An object of another kind is not refused. */
enum { FREED_BITS = 10, ADDRESS_BITS = 48 };
static _Atomic(uint64_t) freed[1 << FREED_BITS];

static _Atomic(uint64_t) *freed_place(const void *object) {
    const uint64_t address = (uintptr_t)object / SW_ALIGNMENT;
    return &freed[address * 0x9E3779B97F4A7C15u >> (64 - FREED_BITS)];
}

static uint64_t freed_word(const void *object, const char *kind) {
    uint64_t hash = 0xCBF29CE484222325u; /* FNV-1a */
    for (; *kind; kind++)
        hash = (hash ^ (unsigned char)*kind) * 0x100000001B3u;
    return (uintptr_t)object ^ hash << ADDRESS_BITS;
}

static bool freed_before(const void *object, const char *kind) {
    return atomic_load_explicit(freed_place(object), memory_order_relaxed) == freed_word(object, kind);
}

void swi_forget_freed(const void *object) {
    const uint64_t word = atomic_load_explicit(freed_place(object), memory_order_relaxed);
    if (word && (word ^ (uintptr_t)object) << (64 - ADDRESS_BITS) == 0) /* an object of any kind */
        atomic_store_explicit(freed_place(object), 0, memory_order_relaxed);
}

static bool freed_refuse(const char *kind) {
    sw_fail(SW_ERR_STATE, "%s_free: this %s was freed before; an object is freed once", kind, kind);
    return false;
}

bool sw_may_free(const void *object, const char *kind) {
    const uint64_t word = freed_word(object, kind);
    return atomic_exchange_explicit(freed_place(object), word, memory_order_relaxed) != word || freed_refuse(kind);
}

/* ---- Sources and the objects that read them ---- */

/* Protects the list of holds. fork takes it too, so that a child does not inherit it locked by a thread that the child
 * does not have. */
static pthread_mutex_t holds_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t holds_once = PTHREAD_ONCE_INIT;
static sw_source_hold *holds;

static void holds_lock_mutex(void) {
    pthread_mutex_lock(&holds_mutex);
}

static void holds_unlock(void) {
    pthread_mutex_unlock(&holds_mutex);
}

static void holds_watch_forks(void) {
    pthread_atfork(holds_lock_mutex, holds_unlock, holds_unlock);
}

static void holds_lock_for_process(void) {
    pthread_once(&holds_once, holds_watch_forks);
    holds_lock_mutex();
}

void sw_source_retain(sw_source_hold *hold, const sw_source *source) {
    if (!hold || !source)
        return;
    swi_forget_freed(source);
    *hold = (sw_source_hold){.source = (sw_source *)(uintptr_t)source};
    holds_lock_for_process();
    for (const sw_source_hold *h = holds; h && !hold->freed; h = h->next)
        hold->freed = h->source == source && h->freed; /* sw_source_free was called before this call */
    hold->next = holds;
    holds = hold;
    holds_unlock();
}

void sw_source_release(sw_source_hold *hold) {
    if (!hold || !hold->source)
        return;
    sw_source *source = hold->source;
    holds_lock_for_process();
    bool last = hold->freed;
    for (sw_source_hold **at = &holds; *at;)
        if (*at == hold) {
            *at = hold->next;
        } else {
            last = last && (*at)->source != source;
            at = &(*at)->next;
        }
    holds_unlock();
    *hold = (sw_source_hold){0};
    if (last)
        source->free(source);
}

void sw_source_free(sw_source *source) {
    if (!source)
        return;
    if (freed_before(source, "source")) {
        freed_refuse("source");
        return;
    }
    if (!source->free)
        return;
    bool held = false, before = false;
    holds_lock_for_process();
    for (sw_source_hold *h = holds; h; h = h->next)
        if (h->source == source) {
            held = true;
            before |= h->freed;
            h->freed = true;
        }
    holds_unlock();
    if (before)
        freed_refuse("source");
    else if (!held)
        source->free(source);
}
