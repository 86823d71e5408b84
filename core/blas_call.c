/* What surrounds a call of OpenBLAS.
 *
 * One thread. OpenBLAS built with POSIX threads has one number of threads for the process: 1, set once.
 * Built with OpenMP it asks omp_get_max_threads of the calling thread at each call (num_cpu_avail in its
 * common_thread.h), and up to version 0.3.21 its openblas_set_num_threads sets that number, which is the
 * program's: so it is set to 1 around the call alone. No thread of OpenMP is ever started then, and a
 * forked child does not wait for threads that it does not have.
 *
 * Built without threads OpenBLAS hands out its buffers without a lock (unless built with USE_LOCKING, which
 * one cannot see): calls take turns.
 *
 * Memory. OpenBLAS maps a buffer for each thread that computes, when it first does, and where that fails it
 * tries again for ever (blas_memory_alloc in its memory.c). So the buffers are obtained beforehand, each
 * after a trial mapping of the same size: as many as threads of the program are inside at once, and one for
 * each worker.
 *
 * Fork and exit. A fork while a thread holds OpenBLAS's lock would leave it locked in the child; and
 * OpenBLAS unmaps its buffers in its destructor, under the hands of threads that still compute. Both wait
 * until no call is under way. Each thread has a flag of its own for that, so that threads do not share a
 * cache line. */
#define _GNU_SOURCE
#include "blas.h"
#include "internal.h"

#include <cblas.h>
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
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

enum { WITHOUT_THREADS = 0, WITH_POSIX_THREADS = 1, WITH_OPENMP = 2 }; /* openblas_get_parallel */

typedef struct swi_blas_caller caller;
struct swi_blas_caller {
    atomic_bool inside;     /* a call is under way */
    bool listed;
    bool counted;           /* among buffers.callers */
    int worker;             /* 0: a thread of the program */
    caller *next, *previous; /* of callers */
};
static _Thread_local caller self;

enum { OPEN = 0, FORKING, ENDING };
static atomic_int gate;           /* whether calls may begin */
static pthread_t ending;          /* ENDING: the thread that ends the process */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;         /* its destructor: a thread ends */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* of the list and of buffers */
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;  /* WITHOUT_THREADS */
static caller *callers;
static struct {
    int held;           /* that OpenBLAS was made to have */
    int callers;        /* threads of the program that they are for */
    atomic_int workers; /* workers of the pool that they are for */
} buffers;

static int build = -1; /* openblas_get_parallel */
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
    buffers.callers -= c->counted;
    c->listed = c->counted = false;
    pthread_mutex_unlock(&mutex);
}

/* With the mutex. */
static void caller_join(caller *c) {
    if (!c->listed && pthread_setspecific(key, c) == 0)
        caller_list(c);
}

static bool others_inside(void) {
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
            atomic_store(&gate, why); /* each time: the end of another thread's fork has opened it */
        if (!others_inside())
            return;
        pthread_mutex_unlock(&mutex);
        sched_yield();
    }
}

static void gate_open(void) {
    int closed = FORKING;
    atomic_compare_exchange_strong(&gate, &closed, OPEN);
}

static void before_fork(void) {
    gate_close(FORKING);
}

static void after_fork_in_parent(void) {
    gate_open();
    pthread_mutex_unlock(&mutex);
}

/* The other threads are gone; OpenBLAS's buffers are there. */
static void after_fork_in_child(void) {
    pthread_mutex_init(&mutex, NULL);
    pthread_mutex_init(&turn, NULL);
    callers = NULL;
    if (self.listed)
        caller_list(&self);
    buffers.callers = self.counted;
    gate_open();
}

static bool has_own_threads(void) {
    return openblas_get_parallel() == WITH_POSIX_THREADS && &blas_server_avail && blas_server_avail;
}

static bool address_space_is_limited(void) {
    struct rlimit limit;
    return getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
}

static bool room_for_buffer(void) {
    void *trial = mmap(NULL, SWI_BLAS_BUFFER, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return trial != MAP_FAILED && munmap(trial, SWI_BLAS_BUFFER) == 0;
}

void swi_blas_close(void) {
    /* A thread of OpenBLAS's own that tries for ever to have its buffer would be waited for at exit. */
    if (address_space_is_limited() && has_own_threads() && !room_for_buffer())
        blas_server_avail = 0;
    if (build < 0)
        return;
    ending = pthread_self();
    gate_close(ENDING);
    callers = NULL;
    pthread_mutex_unlock(&mutex);
    pthread_key_delete(key); /* its destructor may be gone when another thread ends */
}

static void initialize(void) {
    build = openblas_get_parallel();
    if (build == WITH_OPENMP) {
        *(void **)&omp_get_threads = dlsym(RTLD_DEFAULT, "omp_get_max_threads");
        *(void **)&omp_set_threads = dlsym(RTLD_DEFAULT, "omp_set_num_threads");
        if (!omp_get_threads || !omp_set_threads)
            omp_get_threads = NULL;
    }
    if (build != WITH_OPENMP || !omp_get_threads || &blas_num_threads_set)
        openblas_set_num_threads(1); /* one owner of the threads: this library */
    const char *core = openblas_get_corename();
    small_kernel = strcmp(core, "SkylakeX") == 0 || strcmp(core, "Cooperlake") == 0 ||
                   strcmp(core, "SapphireRapids") == 0;
    pthread_key_create(&key, caller_unlist);
    pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

bool swi_blas_small_kernel(void) {
    pthread_once(&once, initialize);
    return small_kernel;
}

/* ---- Buffers ---- */

/* OpenBLAS's own threads take a buffer each as soon as they run: not one of those obtained for this library,
 * which are counted where the address space is limited. They have had the time since OpenBLAS was loaded, and
 * this. */
static void wait_for_own_threads(void) {
    static bool waited;
    enum { MICROSECONDS = 200000 };
    if (!waited && address_space_is_limited() && has_own_threads()) {
        waited = true;
        usleep(MICROSECONDS);
    }
}

/* OpenBLAS has so many, if memory can be had: then true. With the mutex. */
static bool buffers_grow(int count) {
    void *taken[128];
    int n = 0;
    if (build == WITHOUT_THREADS)
        count = 1; /* calls take turns */
    if (count <= buffers.held)
        return true;
    if (count > (int)(sizeof taken / sizeof *taken))
        return false;
    wait_for_own_threads();
    if (build == WITHOUT_THREADS)
        pthread_mutex_lock(&turn);
    bool enough = true;
    while (n < count && enough) {
        if (n >= buffers.held)
            enough = room_for_buffer();
        taken[n] = enough && blas_memory_alloc ? blas_memory_alloc(0) : NULL;
        enough = enough && (taken[n] || !blas_memory_alloc);
        n += enough;
    }
    if (n > buffers.held)
        buffers.held = n;
    for (int i = 0; i < n && blas_memory_free; i++)
        blas_memory_free(taken[i]);
    if (build == WITHOUT_THREADS)
        pthread_mutex_unlock(&turn);
    return enough;
}

static void refuse(void) {
    struct rlimit limit;
    char text[160] = "";
    if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
        snprintf(text, sizeof text, "; the limit is %llu KiB, raise it by ulimit -v%s",
                 (unsigned long long)limit.rlim_cur / 1024,
                 has_own_threads()
                     ? ", or set OPENBLAS_NUM_THREADS=1, so that OpenBLAS has no threads of its own"
                     : "");
    sw_fail(SW_ERR_MEMORY,
            "product: OpenBLAS needs %d MiB of address space for each thread, which cannot be had%s",
            (int)(SWI_BLAS_BUFFER >> 20), text);
}

static int ready_slowly(caller *c, int threads) {
    pthread_mutex_lock(&mutex);
    caller_join(c);
    int workers = atomic_load(&buffers.workers);
    if (!c->worker && !c->counted) {
        c->counted = buffers_grow(buffers.callers + 1 + workers);
        buffers.callers += c->counted;
    }
    int wanted = c->worker ? c->worker : threads - 1;
    bool ready = c->worker || c->counted;
    if (ready && wanted > workers && buffers_grow(buffers.callers + wanted))
        atomic_store(&buffers.workers, workers = wanted);
    if (c->worker && workers < c->worker)
        ready = false;
    pthread_mutex_unlock(&mutex);
    if (!ready) {
        refuse();
        return 0;
    }
    return workers + 1 < threads ? workers + 1 : threads;
}

int swi_blas_ready(int threads) {
    caller *c = &self;
    pthread_once(&once, initialize);
    if (build == WITHOUT_THREADS)
        threads = 1;
    int workers = c->worker ? c->worker : threads - 1;
    if (c->listed && (c->counted || c->worker) &&
        workers <= atomic_load_explicit(&buffers.workers, memory_order_relaxed))
        return threads;
    return ready_slowly(c, threads);
}

sw_status swi_blas_parallel(void (*work)(void *args, int64_t tile), void *args, int64_t tiles) {
    int wanted = tiles < sw_threads() ? (int)tiles : sw_threads();
    int ready = swi_blas_ready(wanted < 1 ? 1 : wanted);
    if (ready == 0)
        return SW_ERR_MEMORY;
    if (ready >= wanted)
        sw_parallel(work, args, tiles);
    else
        for (int64_t i = 0; i < tiles; i++)
            work(args, i);
    return SW_OK;
}

void swi_blas_worker(int index) {
    self.worker = index;
}

/* ---- Calls ---- */

/* The gate is closed: waits until this thread may try again. */
static void wait_for_gate(caller *c) {
    atomic_store(&c->inside, false);
    if (build == WITHOUT_THREADS)
        pthread_mutex_unlock(&turn);
    while (atomic_load(&gate) == ENDING)
        pause(); /* until the process has ended */
    sched_yield();
}

static bool may_begin(void) {
    int state = atomic_load(&gate);
    return state == OPEN || (state == ENDING && pthread_equal(ending, pthread_self()));
}

swi_blas_call swi_blas_enter(void) {
    swi_blas_call call = {&self, 0};
    if (!call.caller->listed) { /* a worker, in its first tile */
        pthread_mutex_lock(&mutex);
        caller_join(call.caller);
        pthread_mutex_unlock(&mutex);
    }
    for (;;) {
        if (build == WITHOUT_THREADS)
            pthread_mutex_lock(&turn);
        atomic_store(&call.caller->inside, true);
        if (may_begin())
            break;
        wait_for_gate(call.caller);
    }
    if (omp_get_threads) {
        int before = omp_get_threads();
        if (before != 1) {
            omp_set_threads(1);
            call.omp_threads = before;
        }
    }
    return call;
}

void swi_blas_leave(swi_blas_call call) {
    if (call.omp_threads)
        omp_set_threads(call.omp_threads);
    atomic_store_explicit(&call.caller->inside, false, memory_order_release);
    if (build == WITHOUT_THREADS)
        pthread_mutex_unlock(&turn);
}
