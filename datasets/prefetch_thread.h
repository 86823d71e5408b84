/* A thread that gathers the next batch. */
#ifndef SWALE_DATASETS_PREFETCH_THREAD_H
#define SWALE_DATASETS_PREFETCH_THREAD_H

#include <swale/api.h>

/* A thread that does one thing at a time beside the caller's. Started when it is first needed. */
typedef struct swd_background swd_background;
swd_background *swd_background_new(void);             /* NULL and an error: no memory */
void swd_background_free(swd_background *background); /* waits; accepts NULL */
/* Has the thread call work(args). Nothing else may be under way. False: there is no thread to be had. */
bool swd_background_start(swd_background *background, void (*work)(void *args), void *args);
/* Waits. False if the thread had not begun, and it will not: what was to be done is the caller's. */
bool swd_background_finish(swd_background *background);
/* On which this process may run, 1 or more. */
int swd_processors(void);

#endif
