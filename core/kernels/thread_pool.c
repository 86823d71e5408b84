/* The thread pool.
 *
 * Work is a number of tiles. Each thread owns a contiguous range of tiles, which is the same each time, so that it
 * finds its cache lines again. A thread that has finished takes tiles from the ranges of others, so that a thread
 * which the system has suspended does not delay the rest. No bit of the result depends on which thread computes a
 * tile. Workers spin for a short time and then sleep.
 *
 * This file starts every thread of the library. Signals belong to the program, so these threads block them. They
 * delay neither dlclose nor exit: see library_end.
 *
 * A job is published by an odd/even protocol: `ticket` (its number) is set last, with release order, and the owner
 * does not return before `busy` workers have left. The fields of a job therefore never change while a worker reads
 * them. */
#define _GNU_SOURCE
#include <swale/library.h>
#include <swale/memory.h>
#include <swale/text.h>

#include "core/kernels/dispatch.h"
#include "core/kernels/thread_start.h"

#include <dlfcn.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

enum { MAX_THREADS = 64, SPINS = 4000 };

typedef struct tile_range {
    _Alignas(SW_ALIGNMENT) atomic_llong next; /* the next tile of this tile_range to be taken */
    long long end;
} tile_range;

static struct {
    /* The job. */
    void (*work)(void *, int64_t);
    void *args;
    int threads;   /* stretches in use */
    unsigned mode; /* of the caller's arithmetic */
    tile_range part[MAX_THREADS];
    _Alignas(SW_ALIGNMENT) atomic_uint ticket; /* grows by one with each job */
    _Alignas(SW_ALIGNMENT) atomic_int inside;  /* workers that may still read the job */
    /* The crew. */
    _Alignas(SW_ALIGNMENT) atomic_flag taken; /* somebody runs a job, or changes the crew */
    atomic_int sleepers;
    atomic_bool quit;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    pthread_t thread[MAX_THREADS];
    int workers;      /* running, besides the caller */
    atomic_int begun; /* workers that run, and have their thread-local variables */
} pool = {.taken = ATOMIC_FLAG_INIT, .mutex = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};

static atomic_int threads_set;      /* threads asked for; 0: not yet decided */
static atomic_bool threads_refused; /* SW_THREADS is no number of threads, and the program has chosen none */
static _Thread_local bool inside_job;

/* ---- The library's threads ---- */

bool swi_thread_start(pthread_t *thread, void *(*run)(void *), void *args) {
    /* Blocked, these would leave a fault without the program's handler: POSIX calls that undefined. A thread
     * gets them for its own faults. */
    static const int of_faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};
    sigset_t blocked, before;
    sigfillset(&blocked);
    for (size_t i = 0; i < sizeof of_faults / sizeof *of_faults; i++)
        sigdelset(&blocked, of_faults[i]);
    pthread_sigmask(SIG_SETMASK, &blocked, &before); /* which the thread inherits: no signal comes before */
    const bool started = pthread_create(thread, NULL, run, args) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}

void *swi_library_keep(void) {
    Dl_info info;
    if (!dladdr((void *)(uintptr_t)swi_library_keep, &info))
        return NULL;
    return dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
}

void swi_library_release(void *held) {
    if (held)
        dlclose(held);
}

static inline void pool_relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

double sw_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- The mode of arithmetic: rounding, and what happens to subnormal numbers ---- */

static unsigned arithmetic_mode(void) {
#if defined(__x86_64__)
    return _mm_getcsr() & ~0x3Fu; /* without the flags of what has happened */
#elif defined(__aarch64__)
    uint64_t mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    return (unsigned)mode;
#else
    return 0;
#endif
}

void sw_subnormals_restore(unsigned mode) {
#if defined(__x86_64__)
    _mm_setcsr(mode);
#elif defined(__aarch64__)
    __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)mode));
#else
    (void)mode;
#endif
}

unsigned sw_subnormals_flush(void) {
    unsigned before = arithmetic_mode();
#if defined(__x86_64__)
    _mm_setcsr(before | 0x8040u); /* flush to zero, and denormals are zero */
#elif defined(__aarch64__)
    sw_subnormals_restore(before | 1u << 24);
#endif
    return before;
}

/* ---- Tiles ---- */

static void pool_run_tiles(int self) {
    int threads = pool.threads;
    for (int turn = 0; turn < threads; turn++) {
        tile_range *part = &pool.part[(self + turn) % threads];
        for (;;) {
            if (atomic_load_explicit(&part->next, memory_order_relaxed) >= part->end)
                break;
            long long tile = atomic_fetch_add_explicit(&part->next, 1, memory_order_relaxed);
            if (tile >= part->end)
                break;
            pool.work(pool.args, tile);
        }
    }
}

static void *pool_worker(void *arg) {
    int self = (int)(intptr_t)arg;
    unsigned seen = 0;
    inside_job = true;
    atomic_fetch_add(&pool.begun, 1);
    for (;;) {
        unsigned ticket = atomic_load_explicit(&pool.ticket, memory_order_acquire);
        for (int i = 0; ticket == seen && i < SPINS; i++) {
            pool_relax();
            ticket = atomic_load_explicit(&pool.ticket, memory_order_acquire);
        }
        if (ticket == seen) {
            pthread_mutex_lock(&pool.mutex);
            atomic_fetch_add(&pool.sleepers, 1);
            while ((ticket = atomic_load(&pool.ticket)) == seen && !atomic_load(&pool.quit))
                pthread_cond_wait(&pool.wake, &pool.mutex);
            atomic_fetch_sub(&pool.sleepers, 1);
            pthread_mutex_unlock(&pool.mutex);
        }
        if (atomic_load(&pool.quit))
            return NULL;
        /* Enter, then look again: if the ticket still stands (even: a job is open), the owner waits. */
        seen = ticket;
        atomic_fetch_add(&pool.inside, 1);
        unsigned still = atomic_load(&pool.ticket);
        if ((still & 1) && self < pool.threads) {
            seen = still;
            if (arithmetic_mode() != pool.mode)
                sw_subnormals_restore(pool.mode);
            pool_run_tiles(self);
        }
        atomic_fetch_sub_explicit(&pool.inside, 1, memory_order_release);
    }
}

static void pool_dismiss_workers(void) {
    pthread_mutex_lock(&pool.mutex);
    atomic_store(&pool.quit, true);
    pthread_cond_broadcast(&pool.wake);
    pthread_mutex_unlock(&pool.mutex);
}

static void pool_stop_workers(void) {
    pool_dismiss_workers();
    for (int i = 0; i < pool.workers; i++)
        pthread_join(pool.thread[i], NULL);
    pool.workers = 0;
    atomic_store(&pool.quit, false);
}

/* Returns when all have begun: the loader sets up their thread-local variables under its lock, which dlclose
 * may hold by the time it waits for them to end. */
static void pool_start_workers(int count) {
    atomic_store(&pool.begun, 0);
    for (int i = 0; i < count; i++) {
        if (!swi_thread_start(&pool.thread[i], pool_worker, (void *)(intptr_t)(i + 1)))
            break; /* fewer threads: slower, and the same results */
        pool.workers = i + 1;
    }
    while (atomic_load(&pool.begun) < pool.workers)
        sched_yield();
}

static void (*close_at_end)(void);

void swi_library_at_end(void (*close)(void)) {
    close_at_end = close;
}

/* dlclose, or exit. With no job under way the workers are joined, and the pool is kept taken: jobs of later
 * destructors run on their thread. A job under way means exit, perhaps from one of its own tiles: then
 * workers leave after their tile, nobody waits for them, since their code stays, and only the calls of
 * OpenBLAS are waited for, whose own destructor comes next. */
__attribute__((destructor)) static void library_end(void) {
    if (!atomic_flag_test_and_set_explicit(&pool.taken, memory_order_acquire))
        pool_stop_workers();
    else
        pool_dismiss_workers();
    if (close_at_end)
        close_at_end();
}

/* A child of fork has no workers: it starts its own when it needs them. */
static void pool_after_fork(void) {
    pool.workers = 0;
    atomic_store(&pool.ticket, 0); /* another thread's job may have been open: it is not ours */
    atomic_store(&pool.inside, 0);
    atomic_store(&pool.sleepers, 0);
    atomic_store(&pool.quit, false);
    atomic_flag_clear(&pool.taken);
    pthread_mutex_init(&pool.mutex, NULL);
    pthread_cond_init(&pool.wake, NULL);
}

static int pool_default_threads(void) {
    const char *text = getenv("SW_THREADS");
    char *end = NULL;
    long n = text && *text ? strtol(text, &end, 10) : 0;
    if (end && (*end || n < 1)) {
        atomic_store(&threads_refused, true); /* before `threads_set` says that it is decided */
        n = 0;
    }
    if (n < 1) {
        cpu_set_t set;
        n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    }
    return n > MAX_THREADS ? MAX_THREADS : (int)n;
}

static void pool_register_fork(void) {
    pthread_atfork(NULL, NULL, pool_after_fork);
}

int sw_threads(void) {
    int n = atomic_load_explicit(&threads_set, memory_order_relaxed);
    if (n == 0) {
        n = pool_default_threads();
        atomic_store(&threads_set, n);
    }
    return n;
}

sw_status swi_check_threads(void) {
    const int threads = sw_threads();
    if (!atomic_load(&threads_refused))
        return SW_OK;
    const char *text = getenv("SW_THREADS");
    return sw_fail(SW_ERR_ARGUMENT,
                   "SW_THREADS=%.40s: a whole number from 1 to %d is needed; unset it for one thread for each of "
                   "this process's processors (%d)",
                   text ? text : "", MAX_THREADS, threads);
}

sw_status sw_set_threads(int threads) {
    if (threads < 1 || threads > MAX_THREADS)
        return sw_fail(SW_ERR_ARGUMENT, "threads: %d is outside 1 to %d", threads, MAX_THREADS);
    if (inside_job)
        return sw_fail(SW_ERR_STATE, "set_threads: not from inside sw_parallel");
    while (atomic_flag_test_and_set_explicit(&pool.taken, memory_order_acquire))
        sched_yield();
    if (threads - 1 != pool.workers && pool.workers > 0)
        pool_stop_workers();
    atomic_store(&threads_set, threads);
    atomic_store(&threads_refused, false);
    atomic_flag_clear_explicit(&pool.taken, memory_order_release);
    return SW_OK;
}

void sw_parallel(void (*work)(void *args, int64_t tile), void *args, int64_t tiles) {
    int threads = sw_threads();
    if (tiles < threads)
        threads = (int)tiles;
    if (threads <= 1 || inside_job || atomic_flag_test_and_set_explicit(&pool.taken, memory_order_acquire)) {
        for (int64_t i = 0; i < tiles; i++)
            work(args, i);
        return;
    }
    if (pool.workers == 0) {
        static pthread_once_t once = PTHREAD_ONCE_INIT;
        pthread_once(&once, pool_register_fork);
        pool_start_workers(sw_threads() - 1);
    }
    pool.work = work;
    pool.args = args;
    pool.threads = threads;
    pool.mode = arithmetic_mode();
    for (int t = 0; t < threads; t++) {
        pool.part[t].end = tiles * (t + 1) / threads;
        atomic_store_explicit(&pool.part[t].next, tiles * t / threads, memory_order_relaxed);
    }
    atomic_fetch_add(&pool.ticket, 1); /* odd: open */
    if (atomic_load(&pool.sleepers) > 0) {
        pthread_mutex_lock(&pool.mutex);
        pthread_cond_broadcast(&pool.wake);
        pthread_mutex_unlock(&pool.mutex);
    }
    inside_job = true;
    pool_run_tiles(0);
    inside_job = false;
    atomic_fetch_add(&pool.ticket, 1); /* even: closed; whoever is inside is waited for */
    for (int i = 0; atomic_load(&pool.inside) > 0; i++) {
        pool_relax();
        if (i > SPINS)
            sched_yield();
    }
    atomic_flag_clear_explicit(&pool.taken, memory_order_release);
}
