/* Setup and locking around each call of OpenBLAS.
 *
 * One thread. OpenBLAS built with POSIX threads has one number of threads for the process, which this file sets to 1
 * once. OpenBLAS built with OpenMP calls omp_get_max_threads in the calling thread at each call (num_cpu_avail in its
 * common_thread.h). Up to version 0.3.21, its openblas_set_num_threads sets that number, which belongs to the
 * program. Therefore it is set to 1 only during the call. No OpenMP thread is then started, and a forked child does
 * not wait for threads that it does not have.
 *
 * OpenBLAS built without threads assigns its buffers without a lock (unless built with USE_LOCKING, which cannot be
 * detected). In this case there is one buffer, and one call runs at a time.
 *
 * Memory. OpenBLAS maps a buffer for each running call and keeps it for later calls. If the mapping fails, it tries
 * again forever (blas_memory_alloc in its memory.c). Therefore this library makes OpenBLAS map the buffers in
 * advance, each after a trial mapping of the same size, and begins a call only with a reservation of one of them. A
 * thread keeps its reservation after the call, so that the next call takes no lock. A thread without a reservation
 * takes a free one, or that of a thread which is not inside a call. If all of them are in use, one more buffer is
 * mapped. If that is impossible, the thread waits until a call ends. So the number of buffers is the number of calls
 * that run at the same time, and not the number of threads.
 *
 * The gate. A fork while a thread holds OpenBLAS's lock would leave it locked in the child. OpenBLAS unmaps its
 * buffers in its destructor while other threads may still compute. The buffers in use cannot be counted while others
 * are mapped. In all three cases the gate is closed, and the thread waits until no call is running. Each thread has a
 * separate flag for that, so that threads do not share a cache line.
 *
 * The order of `inside` and `reserved` matters: a thread sets `inside`, then reads `reserved`; a thread that takes
 * the reservation of another clears `reserved`, then reads `inside`. So at least one of the two sees the change of
 * the other. */
#define _GNU_SOURCE
#include <swale/blas.h>
#include <swale/library.h>
#include <swale/parallel.h>

#include "core/kernels/blas_core.h"
#include "core/kernels/thread_start.h"

#include <stdatomic.h>
#include <string.h>
#include <cblas.h>
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

extern void *blas_memory_alloc(int purpose) __attribute__((weak));
extern void blas_memory_free(void *buffer) __attribute__((weak));
/* Versions 0.3.22 and 0.3.23 have it: there a number that the program has set counts for more than
 * OpenMP's. */
extern int blas_num_threads_set __attribute__((weak));

/* Whether the threads are there that OpenBLAS starts when it is loaded; if not, its destructor waits for
 * none. */
extern int blas_server_avail __attribute__((weak));

enum { MOST_BUFFERS = 1024 };
enum { WITHOUT_THREADS = 0, WITH_POSIX_THREADS = 1, WITH_OPENMP = 2 }; /* openblas_get_parallel */

typedef struct sw_blas_caller caller;
struct sw_blas_caller {
    atomic_bool inside;      /* a call is under way */
    atomic_bool reserved;    /* one of OpenBLAS's buffers is for this thread; written with the mutex */
    bool listed;             /* among callers */
    caller *next, *previous; /* of callers */
};
static _Thread_local caller self;

enum { OPEN = 0, CLOSED, ENDING };
static atomic_int gate;  /* whether calls may begin */
static pthread_t ending; /* ENDING: the thread that ends the process */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;                                 /* its destructor: a thread ends */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* of the list and of buffers */
static caller *callers;
static struct {
    atomic_int held; /* that OpenBLAS was made to map; grows with the mutex and a closed gate */
    int reserved;    /* of them, for threads; with the mutex */
    int limit;       /* of held */
} buffers;

static atomic_bool initialized;
static int build; /* openblas_get_parallel */
static int (*omp_get_threads)(void);
static void (*omp_set_threads)(int);
static bool small_kernel;

/* ---- The list of callers ---- */

static void caller_list(caller *c) {
    c->next = callers;
    c->previous = NULL;
    if (callers)
        callers->previous = c;
    callers = c;
    c->listed = true;
}

static void caller_unlist(void *user) { /* its thread ends */
    caller *c = user;
    pthread_mutex_lock(&mutex);
    if (atomic_load(&gate) == ENDING) { /* there is no list any more */
        pthread_mutex_unlock(&mutex);
        return;
    }
    if (c->next)
        c->next->previous = c->previous;
    if (c->previous)
        c->previous->next = c->next;
    else
        callers = c->next;
    buffers.reserved -= atomic_load(&c->reserved);
    atomic_store(&c->reserved, false);
    c->listed = false;
    pthread_mutex_unlock(&mutex);
}

/* With the mutex. */
static void caller_join(caller *c) {
    if (!c->listed && pthread_setspecific(key, c) == 0)
        caller_list(c);
}

static bool callers_are_inside(void) {
    for (const caller *c = callers; c; c = c->next)
        if (c != &self && atomic_load(&c->inside))
            return true;
    return false;
}

/* Closes the gate and waits for the calls of other threads. Returns with the mutex. */
static void gate_close(int why) {
    for (;;) {
        pthread_mutex_lock(&mutex);
        if (atomic_load(&gate) != ENDING)
            atomic_store(&gate, why); /* each time: another thread that had closed it may have opened it */
        if (!callers_are_inside())
            return;
        pthread_mutex_unlock(&mutex);
        sched_yield();
    }
}

static void gate_open(void) {
    int closed = CLOSED;
    atomic_compare_exchange_strong(&gate, &closed, OPEN);
}

static void gate_before_fork(void) {
    gate_close(CLOSED);
}

static void gate_after_fork_in_parent(void) {
    gate_open();
    pthread_mutex_unlock(&mutex);
}

/* The other threads are gone; OpenBLAS's buffers are there. */
static void gate_after_fork_in_child(void) {
    pthread_mutex_init(&mutex, NULL);
    callers = NULL;
    if (self.listed)
        caller_list(&self);
    buffers.reserved = atomic_load(&self.reserved);
    gate_open();
}

static bool gate_is_ending_elsewhere(void) {
    return atomic_load(&gate) == ENDING && !pthread_equal(ending, pthread_self());
}

static void gate_sleep_if_ending(void) {
    while (gate_is_ending_elsewhere())
        pause(); /* until the process has ended */
}

static bool blas_has_threads(void) {
    return openblas_get_parallel() == WITH_POSIX_THREADS && &blas_server_avail && blas_server_avail;
}

static bool blas_memory_is_limited(void) {
    struct rlimit limit;
    return getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
}

static bool buffers_one_fits(void) {
    void *trial = mmap(NULL, SW_BLAS_BUFFER, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return trial != MAP_FAILED && munmap(trial, SW_BLAS_BUFFER) == 0;
}

/* The library is unloaded or the process ends: waits for the calls under way. Other threads that would begin
 * one afterwards sleep until the process has ended. */
static void blas_close(void) {
    /* A thread of OpenBLAS's own that tries for ever to have its buffer would be waited for at exit. */
    if (blas_memory_is_limited() && blas_has_threads() && !buffers_one_fits())
        blas_server_avail = 0;
    ending = pthread_self();
    gate_close(ENDING);
    callers = NULL;
    pthread_mutex_unlock(&mutex);
    if (atomic_load(&initialized))
        pthread_key_delete(key); /* its destructor may be gone when another thread ends */
}

__attribute__((constructor)) static void blas_close_at_end(void) {
    swi_library_at_end(blas_close);
}

/* How many buffers this library asks for. OpenBLAS has 2 MAX_THREADS, and 50 at least (NUM_BUFFERS in its
 * common.h); beyond them it prints a warning or gives none. Each of its own threads, MAX_THREADS at most,
 * takes one when it starts. */
static int buffers_limit(void) {
    enum { AT_LEAST = 50 };
    if (build == WITHOUT_THREADS)
        return 1;
    static const char name[] = "MAX_THREADS=";
    const char *found = strstr(openblas_get_config(), name);
    const long threads = found ? strtol(found + sizeof name - 1, NULL, 10) : 1;
    long limit = 2 * threads > AT_LEAST ? 2 * threads : AT_LEAST;
    if (blas_has_threads())
        limit -= threads;
    return limit > MOST_BUFFERS ? MOST_BUFFERS : (int)limit;
}

static void blas_initialize(void) {
    build = openblas_get_parallel();
    buffers.limit = buffers_limit();
    if (build == WITH_OPENMP) {
        *(void **)&omp_get_threads = dlsym(RTLD_DEFAULT, "omp_get_max_threads");
        *(void **)&omp_set_threads = dlsym(RTLD_DEFAULT, "omp_set_num_threads");
        if (!omp_get_threads || !omp_set_threads)
            omp_get_threads = NULL;
    }
    if (build != WITH_OPENMP || !omp_get_threads || &blas_num_threads_set)
        openblas_set_num_threads(1); /* one owner of the threads: this library */
    const char *core = openblas_get_corename();
    small_kernel =
        strcmp(core, "SkylakeX") == 0 || strcmp(core, "Cooperlake") == 0 || strcmp(core, "SapphireRapids") == 0;
    pthread_key_create(&key, caller_unlist);
    pthread_atfork(gate_before_fork, gate_after_fork_in_parent, gate_after_fork_in_child);
    atomic_store(&initialized, true);
}

bool swi_blas_small_kernel(void) {
    gate_sleep_if_ending(); /* in a first product that exit overtakes */
    pthread_once(&once, blas_initialize);
    return small_kernel;
}

/* ---- Buffers ---- */

/* OpenBLAS's own threads take a buffer each as soon as they run: not one of those obtained for this library,
 * which are counted where the address space is limited. They have had the time since OpenBLAS was loaded, and
 * this. */
static void blas_wait_for_threads(void) {
    static bool waited;
    enum { MICROSECONDS = 200000 };
    if (!waited && blas_memory_is_limited() && blas_has_threads()) {
        waited = true;
        usleep(MICROSECONDS);
    }
}

/* Makes OpenBLAS map `count` buffers: all of them are taken, then given back. With the mutex and a closed
 * gate, so that none is in use; but a program that calls OpenBLAS itself may use some: a trial for each. */
static bool buffers_map(int count) {
    void *taken[MOST_BUFFERS];
    int n = 0;
    if (count <= atomic_load(&buffers.held))
        return true; /* another thread has done so meanwhile */
    blas_wait_for_threads();
    while (n < count && buffers_one_fits()) {
        taken[n] = blas_memory_alloc ? blas_memory_alloc(0) : NULL;
        if (!taken[n] && blas_memory_alloc)
            break;
        n++;
    }
    if (n > atomic_load(&buffers.held))
        atomic_store(&buffers.held, n);
    for (int i = 0; i < n && blas_memory_free; i++)
        blas_memory_free(taken[i]);
    return n == count;
}

/* With the mutex, so that two trials do not take each other's room. */
static bool buffers_next_fits(void) {
    pthread_mutex_lock(&mutex);
    const bool fits = buffers_one_fits();
    pthread_mutex_unlock(&mutex);
    return fits;
}

/* OpenBLAS has `count` buffers, if memory can be had: then true. From outside a call, without the mutex. */
static bool buffers_grow(int count) {
    if (count > buffers.limit)
        return false;
    if (atomic_load(&buffers.held) > 0 && !buffers_next_fits())
        return false; /* without holding up the calls of other threads */
    gate_close(CLOSED);
    const bool grown = !gate_is_ending_elsewhere() && buffers_map(count);
    gate_open();
    pthread_mutex_unlock(&mutex);
    gate_sleep_if_ending();
    return grown;
}

/* Reserves a buffer for this thread: a free one, or that of a thread which is not inside a call. With the
 * mutex. False: calls under way use all. */
static bool buffer_reserve(caller *c) {
    if (atomic_load(&c->reserved))
        return true;
    if (buffers.reserved < atomic_load(&buffers.held)) {
        buffers.reserved++;
        atomic_store(&c->reserved, true);
        return true;
    }
    for (caller *other = callers; other; other = other->next) {
        if (!atomic_load(&other->reserved) || atomic_load(&other->inside))
            continue;
        atomic_store(&other->reserved, false);
        if (!atomic_load(&other->inside)) {
            atomic_store(&c->reserved, true);
            return true;
        }
        atomic_store(&other->reserved, true); /* its call began before it could see that */
    }
    return false;
}

static void blas_fail(void) {
    struct rlimit limit;
    char text[160] = "";
    if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
        snprintf(text, sizeof text, "; the limit is %llu KiB, raise it by ulimit -v%s",
                 (unsigned long long)limit.rlim_cur / 1024,
                 blas_has_threads() ? ", or set OPENBLAS_NUM_THREADS=1, so that OpenBLAS starts no threads" : "");
    sw_fail(SW_ERR_MEMORY, "product: not enough address space: OpenBLAS needs %d MiB for each thread%s",
            (int)(SW_BLAS_BUFFER >> 20), text);
}

int sw_blas_ready(int threads) {
    gate_sleep_if_ending(); /* in a first product that exit overtakes */
    pthread_once(&once, blas_initialize);
    if (build == WITHOUT_THREADS)
        threads = 1;
    const int wanted = threads < buffers.limit ? threads : buffers.limit;
    if (atomic_load_explicit(&buffers.held, memory_order_relaxed) >= wanted || buffers_grow(wanted))
        return threads;
    const int held = atomic_load(&buffers.held);
    if (held == 0)
        blas_fail();
    return held < threads ? held : threads;
}

sw_status sw_blas_parallel(void (*work)(void *args, int64_t tile), void *args, int64_t tiles) {
    int wanted = tiles < sw_threads() ? (int)tiles : sw_threads();
    int ready = sw_blas_ready(wanted < 1 ? 1 : wanted);
    if (ready == 0)
        return SW_ERR_MEMORY;
    if (ready >= wanted)
        sw_parallel(work, args, tiles);
    else
        for (int64_t i = 0; i < tiles; i++)
            work(args, i);
    return SW_OK;
}

/* ---- Calls ---- */

static bool blas_may_begin(caller *c) {
    return atomic_load(&c->reserved) && atomic_load(&gate) == OPEN;
}

static void gate_wait_for_callers(int tries) {
    enum { YIELDS = 64, MICROSECONDS = 50 };
    if (tries < YIELDS)
        sched_yield();
    else
        usleep(MICROSECONDS);
}

/* The gate is closed, or this thread has no buffer reserved. The thread that ends the process needs none: no
 * other one may begin a call. */
static void blas_enter_slowly(sw_blas_call *call) {
    enum { TRIES_TO_GROW = 64 };
    caller *c = call->caller;
    for (int tries = 0; atomic_load(&gate) != ENDING || gate_is_ending_elsewhere(); tries++) {
        atomic_store(&c->inside, false);
        gate_sleep_if_ending();
        pthread_mutex_lock(&mutex);
        if (atomic_load(&gate) == ENDING) {
            pthread_mutex_unlock(&mutex);
            continue;
        }
        caller_join(c);
        const bool reserved = buffer_reserve(c);
        if (reserved && !c->listed) { /* out of memory: neither the gate nor others can see this thread */
            call->has_mutex = true;
            break;
        }
        pthread_mutex_unlock(&mutex);
        atomic_store(&c->inside, reserved);
        if (reserved && blas_may_begin(c))
            return;
        atomic_store(&c->inside, false);
        if (reserved || tries % TRIES_TO_GROW != 0 || !buffers_grow(atomic_load(&buffers.held) + 1))
            gate_wait_for_callers(tries);
    }
    atomic_store(&c->inside, true);
}

sw_blas_call sw_blas_enter(void) {
    sw_blas_call call = {.caller = &self};
    atomic_store(&call.caller->inside, true);
    if (!blas_may_begin(call.caller))
        blas_enter_slowly(&call);
    if (omp_get_threads) {
        int before = omp_get_threads();
        if (before != 1) {
            omp_set_threads(1);
            call.omp_threads = before;
        }
    }
    return call;
}

void sw_blas_leave(sw_blas_call call) {
    if (call.omp_threads)
        omp_set_threads(call.omp_threads);
    if (call.has_mutex) {
        atomic_store(&call.caller->reserved, false);
        buffers.reserved--;
    }
    atomic_store_explicit(&call.caller->inside, false, memory_order_release);
    if (call.has_mutex)
        pthread_mutex_unlock(&mutex);
}
