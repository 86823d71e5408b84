/* A thread that gathers the next batch. */
#ifndef SWALE_DATASETS_PREFETCH_THREAD_H
#define SWALE_DATASETS_PREFETCH_THREAD_H

#include <swale/api.h>

/* A thread that does one thing at a time beside the caller's. Started when it is first needed. */
typedef struct swd_prefetch_thread swd_prefetch_thread;
swd_prefetch_thread *swd_prefetch_thread_new(void);         /* NULL and an error: no memory */
void swd_prefetch_thread_free(swd_prefetch_thread *thread); /* waits; accepts NULL */
/* Has the thread call work(args). Nothing else may be under way. False: there is no thread to be had. */
bool swd_prefetch_thread_start(swd_prefetch_thread *thread, void (*work)(void *args), void *args);
/* Waits. False if the thread had not begun, and it will not: what was to be done is the caller's. */
bool swd_prefetch_thread_finish(swd_prefetch_thread *thread);
/* On which this process may run, 1 or more. */
int swd_processors(void);

#endif
