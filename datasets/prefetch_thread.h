/* A thread that gathers the next batch. */
#ifndef SWALE_DATASETS_PREFETCH_THREAD_H
#define SWALE_DATASETS_PREFETCH_THREAD_H

#include <swale/api.h>

/* A thread that runs one job at a time in parallel with the caller. It is started when it is first needed. */
typedef struct swd_prefetch_thread swd_prefetch_thread;
swd_prefetch_thread *swd_prefetch_thread_new(void);         /* NULL and an error: no memory */
void swd_prefetch_thread_free(swd_prefetch_thread *thread); /* waits for the job; accepts NULL */
/* Makes the thread call work(args). No other job may be running. False if the thread cannot be started. */
bool swd_prefetch_thread_start(swd_prefetch_thread *thread, void (*work)(void *args), void *args);
/* Waits for the job. False if the thread had not begun it: then the job is canceled, and the caller does the work. */
bool swd_prefetch_thread_finish(swd_prefetch_thread *thread);
/* The number of processors on which this process may run, at least 1. */
int swd_processors(void);

#endif
