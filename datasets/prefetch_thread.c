/* A thread beside the caller's, and the only file of datasets that calls pthreads. While it lives, the library
 * stays loaded.
 *
 * It sleeps on a condition: what is worth a thread of its own takes longer than to wake one. What it
 * has not begun when the caller wants it is taken back, so that nobody waits for a thread that the
 * system has put aside. */
#define _GNU_SOURCE
#include <swale/extend.h>

#include "core/kernels/thread_start.h"
#include "datasets/prefetch_thread.h"

#include <sched.h>
#include <unistd.h>

typedef enum stage { IDLE, WAITING, RUNNING, DONE } stage;

struct swd_background {
    pthread_mutex_t mutex; /* of stage and quit */
    pthread_cond_t changed;
    stage stage;
    bool quit;
    void (*work)(void *args);
    void *args;
    bool running; /* the thread is there */
    pthread_t thread;
    pid_t process; /* in which */
    void *library; /* held by it */
};

swd_background *swd_background_new(void) {
    return sw_alloc(sizeof(swd_background));
}

static void *run(void *arg) {
    swd_background *b = arg;
    pthread_mutex_lock(&b->mutex);
    while (!b->quit) {
        if (b->stage != WAITING) {
            pthread_cond_wait(&b->changed, &b->mutex);
            continue;
        }
        b->stage = RUNNING;
        pthread_mutex_unlock(&b->mutex);
        b->work(b->args);
        pthread_mutex_lock(&b->mutex);
        b->stage = DONE;
        pthread_cond_broadcast(&b->changed);
    }
    pthread_mutex_unlock(&b->mutex);
    return NULL;
}

/* Whether the thread is there; a child of fork has its parent's memory and not its threads. */
static bool here(swd_background *b) {
    if (b->running && b->process != getpid()) {
        b->running = false;
        b->stage = IDLE;
    }
    return b->running;
}

bool swd_background_start(swd_background *b, void (*work)(void *args), void *args) {
    if (!here(b)) {
        pthread_mutex_init(&b->mutex, NULL);
        pthread_cond_init(&b->changed, NULL);
        b->stage = IDLE;
        b->quit = false;
        if (!swi_thread_start(&b->thread, run, b))
            return false;
        if (!b->library)
            b->library = swi_library_keep();
        b->process = getpid();
        b->running = true;
    }
    pthread_mutex_lock(&b->mutex);
    b->work = work;
    b->args = args;
    b->stage = WAITING;
    pthread_cond_broadcast(&b->changed);
    pthread_mutex_unlock(&b->mutex);
    return true;
}

bool swd_background_finish(swd_background *b) {
    if (!here(b))
        return false;
    pthread_mutex_lock(&b->mutex);
    while (b->stage == RUNNING)
        pthread_cond_wait(&b->changed, &b->mutex);
    bool done = b->stage == DONE;
    b->stage = IDLE;
    pthread_mutex_unlock(&b->mutex);
    return done;
}

void swd_background_free(swd_background *b) {
    if (!b)
        return;
    if (here(b)) {
        pthread_mutex_lock(&b->mutex);
        b->quit = true;
        pthread_cond_broadcast(&b->changed);
        pthread_mutex_unlock(&b->mutex);
        pthread_join(b->thread, NULL);
        pthread_mutex_destroy(&b->mutex);
        pthread_cond_destroy(&b->changed);
    }
    void *library = b->library;
    sw_free(b);
    swi_library_release(library);
}

int swd_processors(void) {
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}
