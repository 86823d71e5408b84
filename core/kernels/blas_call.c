/* Setup and locking around each call of OpenBLAS.
 *
 * One thread. OpenBLAS built with POSIX threads has one number of threads for the process, which this file sets to 1
 * once. OpenBLAS built with OpenMP calls omp_get_max_threads in the calling thread at each call (num_cpu_avail in its
 * common_thread.h). Up to version 0.3.21, openblas_set_num_threads changes the OpenMP setting of the program. Therefore
 * this file sets the OpenMP number of threads to 1 only during the call. Then no OpenMP thread is started, and a forked
 * child does not wait for threads that it does not have.
 *
 * OpenBLAS built without threads assigns its buffers without a lock (unless built with USE_LOCKING, which cannot be
 * detected). In this case there is one buffer, and one call runs at a time.
 *
 * Memory. OpenBLAS maps a buffer for each running call and keeps it for later calls. If the mapping fails, it tries
 * again forever (blas_memory_alloc in its memory.c). Therefore this library makes OpenBLAS map the buffers in advance,
 * each after a trial mapping of the same size, and begins a call only with a reservation of one of them. A thread keeps
 * its reservation after the call, so that the next call takes no lock. A thread without a reservation reserves a free
 * buffer, or takes over the reservation of a thread that is not inside a call. If all buffers are in use, one more is
 * mapped. If that is impossible, the thread waits until a call ends. Therefore the number of buffers is the number of
 * calls that run at the same time, and not the number of threads.
 *
 * The gate. Calls may begin only while the gate is open. It is closed in three cases: before a fork, because the lock
 * of OpenBLAS would remain locked in the child if a thread held it; before OpenBLAS's destructor unmaps its buffers;
 * and while buffers are mapped, because buffers in use could not be counted. The thread that closes the gate waits
 * until no call is running. Each thread has a separate flag `inside` for that, so that threads do not share a cache
 * line.
 *
 * The order of `inside` and `reserved` matters: a thread sets `inside`, then reads `reserved`; a thread that takes the
 * reservation of another clears `reserved`, then reads `inside`. Therefore at least one of the two sees the change that
 * the other has made. */
#define _GNU_SOURCE
#include <swale/blas.h>
#include <swale/library.h>
#include <swale/parallel.h>

#include "core/base/dry_run_state.h"
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
/* Exported by versions 0.3.22 and 0.3.23, in which a number of threads set by openblas_set_num_threads takes precedence
 * over the OpenMP setting. */
extern int blas_num_threads_set __attribute__((weak));

/* Whether the threads that OpenBLAS starts when it is loaded exist. If it is 0, the destructor of OpenBLAS does not
 * wait for them. */
extern int blas_server_avail __attribute__((weak));

enum { MOST_BUFFERS = 1024 };
enum { WITHOUT_THREADS = 0, WITH_POSIX_THREADS = 1, WITH_OPENMP = 2 }; /* openblas_get_parallel */

typedef struct sw_blas_caller caller;
struct sw_blas_caller {
    atomic_bool inside;      /* a call is running, or about to begin */
    atomic_bool reserved;    /* a buffer of OpenBLAS is reserved for this thread; written with the mutex held */
    bool listed;             /* this struct is in the list `callers` */
    caller *next, *previous; /* links of the list `callers` */
};
static _Thread_local caller self;

enum { OPEN = 0, CLOSED, ENDING };
static atomic_int gate;  /* whether calls may begin */
static pthread_t ending; /* ENDING: the thread that ends the process */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;                                 /* its destructor runs when a thread ends */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* protects `callers` and `buffers` */
static caller *callers;
static struct {
    atomic_int held; /* buffers that OpenBLAS has mapped; grows with the mutex held and the gate closed */
    int reserved;    /* buffers that are reserved for threads; changes with the mutex held */
    int limit;       /* the largest value of `held` */
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

static void caller_unlist(void *user) { /* called when the thread ends */
    caller *c = user;
    pthread_mutex_lock(&mutex);
    if (atomic_load(&gate) == ENDING) { /* the list no longer exists */
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

/* Adds the thread to the list. The caller holds the mutex. */
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

/* Closes the gate and waits for the calls of other threads. Returns with the mutex locked. */
static void gate_close(int why) {
    for (;;) {
        pthread_mutex_lock(&mutex);
        if (atomic_load(&gate) != ENDING)
            atomic_store(&gate, why); /* in each round, because another thread may have opened the gate */
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

/* The child has only this thread; the buffers of OpenBLAS are still mapped. */
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

/* Called when the library is unloaded or the process ends. Waits for the running calls. A thread that would begin a
 * call afterwards sleeps until the process has ended. */
static void blas_close(void) {
    /* The destructor of OpenBLAS would wait forever for a thread of OpenBLAS that cannot map its buffer. */
    if (blas_memory_is_limited() && blas_has_threads() && !buffers_one_fits())
        blas_server_avail = 0;
    ending = pthread_self();
    gate_close(ENDING);
    callers = NULL;
    pthread_mutex_unlock(&mutex);
    if (atomic_load(&initialized))
        pthread_key_delete(key); /* the code of its destructor may be unloaded before another thread ends */
}

__attribute__((constructor)) static void blas_close_at_end(void) {
    swi_library_at_end(blas_close);
}

/* The largest number of buffers that this library requests. OpenBLAS has 2 MAX_THREADS buffers, but at least 50
 * (NUM_BUFFERS in its common.h); for more it prints a warning or fails. Each thread that OpenBLAS starts (at most
 * MAX_THREADS) takes one. */
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
        openblas_set_num_threads(1);   /* only this library runs threads */
    const char *core = sw_blas_core(); /* in blas_core.c, whose constructor a static program must contain */
    small_kernel =
        strcmp(core, "SkylakeX") == 0 || strcmp(core, "Cooperlake") == 0 || strcmp(core, "SapphireRapids") == 0;
    pthread_key_create(&key, caller_unlist);
    pthread_atfork(gate_before_fork, gate_after_fork_in_parent, gate_after_fork_in_child);
    atomic_store(&initialized, true);
}

bool swi_blas_small_kernel(void) {
    gate_sleep_if_ending(); /* the first product of a thread may begin while another thread calls exit */
    pthread_once(&once, blas_initialize);
    return small_kernel;
}

/* ---- Buffers ---- */

/* Each thread of OpenBLAS takes a buffer as soon as it runs. If the address space is limited, it must not take one of
 * those that are mapped for this library. Therefore, before it maps the first buffer, this library waits for a short
 * time in addition to the time since OpenBLAS was loaded. */
static void blas_wait_for_threads(void) {
    static bool waited;
    enum { MICROSECONDS = 200000 };
    if (!waited && blas_memory_is_limited() && blas_has_threads()) {
        waited = true;
        usleep(MICROSECONDS);
    }
}

/* Makes OpenBLAS map `count` buffers, by allocating all of them and then freeing them. The caller holds the mutex and
 * has closed the gate, so that this library uses none. Because a program that calls OpenBLAS itself may use some, there
 * is a trial mapping for each buffer. */
static bool buffers_map(int count) {
    void *taken[MOST_BUFFERS];
    int n = 0;
    if (count <= atomic_load(&buffers.held))
        return true; /* another thread has mapped them in the meantime */
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

/* The mutex prevents that two simultaneous trial mappings make each other fail. */
static bool buffers_next_fits(void) {
    pthread_mutex_lock(&mutex);
    const bool fits = buffers_one_fits();
    pthread_mutex_unlock(&mutex);
    return fits;
}

/* Makes OpenBLAS map buffers until there are `count`. Returns false if there is not enough memory. The calling thread
 * is outside a call and does not hold the mutex. */
static bool buffers_grow(int count) {
    if (count > buffers.limit)
        return false;
    if (atomic_load(&buffers.held) > 0 && !buffers_next_fits())
        return false; /* the gate was not closed, so that the calls of other threads were not delayed */
    gate_close(CLOSED);
    const bool grown = !gate_is_ending_elsewhere() && buffers_map(count);
    gate_open();
    pthread_mutex_unlock(&mutex);
    gate_sleep_if_ending();
    return grown;
}

/* Reserves a free buffer for this thread, or takes over the reservation of a thread that is not inside a call. The
 * caller holds the mutex. Returns false if running calls use all buffers. */
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
        atomic_store(&other->reserved, true); /* its call began before the reservation was taken away */
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
    gate_sleep_if_ending(); /* see swi_blas_small_kernel */
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
    if (swi_dry_run()) { /* the tiles call sw_gemm, which counts the products and does not compute them */
        for (int64_t i = 0; i < tiles; i++)
            work(args, i);
        return SW_OK;
    }
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

int sw_blas_buffers(void) {
    return atomic_load(&buffers.held);
}

/* Called if the gate is closed or this thread has no reservation. The thread that ends the process needs none, because
 * no other thread may begin a call. */
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
        if (reserved && !c->listed) { /* no memory for the list entry: keep the mutex during the call instead */
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
