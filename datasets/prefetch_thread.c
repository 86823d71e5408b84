/* A thread that works in parallel with the caller. This is the only file of datasets that calls pthreads. While the
 * thread exists, the library stays loaded.
 *
 * The thread sleeps on a condition variable: waking it takes less time than a job that is worth a thread. If the
 * thread has not begun a job when the caller needs it, the caller cancels the job and does the work, so that it never
 * waits for a thread that the system has suspended. */
#define _GNU_SOURCE
#include <swale/extend.h>

#include "core/kernels/thread_start.h"
#include "datasets/prefetch_thread.h"

#include <sched.h>
#include <unistd.h>

typedef enum stage { IDLE, WAITING, RUNNING, DONE } stage;

struct swd_prefetch_thread {
    pthread_mutex_t mutex; /* protects stage and quit */
    pthread_cond_t changed;
    stage stage;
    bool quit;
    void (*work)(void *args);
    void *args;
    bool running; /* the thread exists */
    pthread_t thread;
    pid_t process; /* the process in which it runs */
    void *library; /* the handle that keeps the library loaded */
};

swd_prefetch_thread *swd_prefetch_thread_new(void) {
    return sw_alloc_for(SW_ACCOUNT_DATA, sizeof(swd_prefetch_thread));
}

static void *prefetch_thread_main(void *arg) {
    swd_prefetch_thread *t = arg;
    pthread_mutex_lock(&t->mutex);
    while (!t->quit) {
        if (t->stage != WAITING) {
            pthread_cond_wait(&t->changed, &t->mutex);
            continue;
        }
        t->stage = RUNNING;
        pthread_mutex_unlock(&t->mutex);
        t->work(t->args);
        pthread_mutex_lock(&t->mutex);
        t->stage = DONE;
        pthread_cond_broadcast(&t->changed);
    }
    pthread_mutex_unlock(&t->mutex);
    return NULL;
}

/* Whether the thread exists. The child of a fork has a copy of its parent's memory, but not its threads. */
static bool prefetch_thread_is_running(swd_prefetch_thread *t) {
    if (t->running && t->process != getpid()) {
        t->running = false;
        t->stage = IDLE;
    }
    return t->running;
}

bool swd_prefetch_thread_start(swd_prefetch_thread *t, void (*work)(void *args), void *args) {
    if (!prefetch_thread_is_running(t)) {
        pthread_mutex_init(&t->mutex, NULL);
        pthread_cond_init(&t->changed, NULL);
        t->stage = IDLE;
        t->quit = false;
        if (!swi_thread_start(&t->thread, prefetch_thread_main, t))
            return false;
        if (!t->library)
            t->library = swi_library_keep();
        t->process = getpid();
        t->running = true;
    }
    pthread_mutex_lock(&t->mutex);
    t->work = work;
    t->args = args;
    t->stage = WAITING;
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->mutex);
    return true;
}

bool swd_prefetch_thread_finish(swd_prefetch_thread *t) {
    if (!prefetch_thread_is_running(t))
        return false;
    pthread_mutex_lock(&t->mutex);
    while (t->stage == RUNNING)
        pthread_cond_wait(&t->changed, &t->mutex);
    bool done = t->stage == DONE;
    t->stage = IDLE;
    pthread_mutex_unlock(&t->mutex);
    return done;
}

void swd_prefetch_thread_free(swd_prefetch_thread *t) {
    if (!t)
        return;
    if (prefetch_thread_is_running(t)) {
        pthread_mutex_lock(&t->mutex);
        t->quit = true;
        pthread_cond_broadcast(&t->changed);
        pthread_mutex_unlock(&t->mutex);
        pthread_join(t->thread, NULL);
        pthread_mutex_destroy(&t->mutex);
        pthread_cond_destroy(&t->changed);
    }
    void *library = t->library;
    sw_free(t);
    swi_library_release(library);
}

int swd_processors(void) {
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}
