/* Threads of this library's own making, for core and other folders. */
#ifndef SWALE_KERNELS_THREAD_START_H
#define SWALE_KERNELS_THREAD_START_H

#include <pthread.h>
#include <stdbool.h>

/* A thread that blocks all signals but those of its own faults, so that the program's handlers run in the
 * program's threads. The caller's mask is as before. False: there is none. */
bool swi_thread_start(pthread_t *thread, void *(*run)(void *), void *args);

/* Until swi_library_release, dlclose does not unload the library: for a thread that lives as long as an
 * object of the program, which may forget to free it. NULL where the library cannot be unloaded. */
void *swi_library_keep(void);
void swi_library_release(void *held);

/* Has `close` called when the library is unloaded or the process ends, after the workers have left. One function. */
void swi_library_at_end(void (*close)(void));

#endif
