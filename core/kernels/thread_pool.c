/* The thread pool.
 *
 * A job is a number of tiles. Each thread begins with a contiguous range of tiles, which is the same for equal jobs, so
 * that its data may still be in its cache. A thread that has finished its range takes tiles from the ranges of others,
 * so that a thread that the system has suspended does not delay the rest. No bit of the result depends on which thread
 * computes a tile. Workers spin for a short time and then sleep.
 *
 * This file starts every thread of the library. Signals belong to the program, so these threads block them. They
 * delay neither dlclose nor exit: see library_end.
 *
 * `ticket` is odd while a job is open and even otherwise. The thread that runs a job increments it after it has written
 * the fields of the job, and again after the last tile was taken; then it waits until `inside`, the number of workers
 * that may read the job, is 0. Therefore the fields of a job never change while a worker reads them. */
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
    /* The job: one of the two functions. */
    void (*work)(void *, int64_t);
    void (*work_of_worker)(void *, int64_t, int);
    void *args;
    int threads;   /* the number of ranges in use */
    unsigned mode; /* the mode of the caller's arithmetic */
    tile_range part[MAX_THREADS];
    _Alignas(SW_ALIGNMENT) atomic_uint ticket; /* odd: a job is open */
    _Alignas(SW_ALIGNMENT) atomic_int inside;  /* the number of workers that may still read the job */
    /* The workers. */
    _Alignas(SW_ALIGNMENT) atomic_flag taken; /* a thread runs a job, or changes the number of workers */
    atomic_int sleepers;
    atomic_bool quit;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    pthread_t thread[MAX_THREADS];
    int workers;      /* the number of workers, without the caller */
    atomic_int begun; /* the number of workers that run and have their thread-local variables */
} pool = {.taken = ATOMIC_FLAG_INIT, .mutex = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};

static atomic_int threads_set;      /* the number of threads to use; 0: not yet determined */
static atomic_bool threads_refused; /* SW_THREADS is invalid, and the program has not called sw_set_threads */
static _Thread_local bool inside_job;

/* ---- The library's threads ---- */

bool swi_thread_start(pthread_t *thread, void *(*run)(void *), void *args) {
    /* These signals report faults of the thread itself. If they were blocked, the behavior after a fault would be
     * undefined (POSIX), and the program's handler would not run. */
    static const int of_faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};
    sigset_t blocked, before;
    sigfillset(&blocked);
    for (size_t i = 0; i < sizeof of_faults / sizeof *of_faults; i++)
        sigdelset(&blocked, of_faults[i]);
    pthread_sigmask(SIG_SETMASK, &blocked, &before); /* the new thread inherits this mask from its first moment */
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

/* ---- The mode of arithmetic: rounding, and the treatment of subnormal numbers ---- */

static unsigned arithmetic_mode(void) {
#if defined(__x86_64__)
    return _mm_getcsr() & ~0x3Fu; /* without the exception flags */
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
            if (pool.work)
                pool.work(pool.args, tile);
            else
                pool.work_of_worker(pool.args, tile, self);
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
        /* Increment `inside`, then read the ticket again: if it is still odd, the job is open, and the thread that runs
         * it waits for this worker. */
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

/* Returns when all workers have begun. The dynamic loader sets up the thread-local variables of a new thread under its
 * lock, and dlclose may hold this lock while it waits for the worker to end. */
static void pool_start_workers(int count) {
    atomic_store(&pool.begun, 0);
    for (int i = 0; i < count; i++) {
        if (!swi_thread_start(&pool.thread[i], pool_worker, (void *)(intptr_t)(i + 1)))
            break; /* fewer threads give the same results, more slowly */
        pool.workers = i + 1;
    }
    while (atomic_load(&pool.begun) < pool.workers)
        sched_yield();
}

static void (*close_at_end)(void);

void swi_library_at_end(void (*close)(void)) {
    close_at_end = close;
}

/* Called by dlclose or exit. If no job is running, it joins the workers and keeps the pool taken, so that jobs of later
 * destructors run on their calling thread. If a job is running, this is exit, perhaps called from a tile of the job.
 * Then the workers end after their current tile. It does not wait for them, because their code remains loaded. It waits
 * only for calls of OpenBLAS, whose destructor runs next. */
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
    atomic_store(&pool.ticket, 0); /* a job of another thread may have been open, which does not exist in the child */
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
        atomic_store(&threads_refused, true); /* before `threads_set` is set, so that no thread misses it */
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

/* How many threads may share `tiles`; 1 inside a job. */
static int pool_threads_for(int64_t tiles) {
    const int threads = sw_threads();
    return inside_job || tiles <= 1 ? 1 : tiles < threads ? (int)tiles : threads;
}

/* With the pool taken: runs the job, whose function is set, and gives the pool back. */
static void pool_run(void *args, int64_t tiles, int threads) {
    if (pool.workers == 0) {
        static pthread_once_t once = PTHREAD_ONCE_INIT;
        pthread_once(&once, pool_register_fork);
        pool_start_workers(sw_threads() - 1);
    }
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
    atomic_fetch_add(&pool.ticket, 1); /* even: closed; wait for the workers that are inside */
    for (int i = 0; atomic_load(&pool.inside) > 0; i++) {
        pool_relax();
        if (i > SPINS)
            sched_yield();
    }
    atomic_flag_clear_explicit(&pool.taken, memory_order_release);
}

void sw_parallel(void (*work)(void *args, int64_t tile), void *args, int64_t tiles) {
    if (swi_dry_run())
        return;
    const int threads = pool_threads_for(tiles);
    if (threads <= 1 || atomic_flag_test_and_set_explicit(&pool.taken, memory_order_acquire)) {
        for (int64_t i = 0; i < tiles; i++)
            work(args, i);
        return;
    }
    pool.work = work;
    pool_run(args, tiles, threads);
}

int swi_parallel_threads(int64_t tiles) {
    return pool_threads_for(tiles);
}

bool swi_parallel_workers(void (*work)(void *args, int64_t tile, int worker), void *args, int64_t tiles, int threads) {
    if (threads <= 1 || inside_job || atomic_flag_test_and_set_explicit(&pool.taken, memory_order_acquire))
        return false;
    pool.work = NULL;
    pool.work_of_worker = work;
    pool_run(args, tiles, threads);
    return true;
}
