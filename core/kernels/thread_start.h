/* Starting threads of the library, and keeping the library loaded while they run. */
#ifndef SWALE_KERNELS_THREAD_START_H
#define SWALE_KERNELS_THREAD_START_H

#include <pthread.h>
#include <stdbool.h>

/* Starts a thread that blocks all signals except those that report a fault of the thread itself, so that the signal
 * handlers of the program run in the program's threads. The signal mask of the caller does not change. Returns false if
 * the thread could not be started. */
bool swi_thread_start(pthread_t *thread, void *(*run)(void *), void *args);

/* Until swi_library_release, dlclose does not unload the library. For a thread that runs until the program frees an
 * object, which the program may forget. Returns NULL if the library cannot be unloaded anyway. */
void *swi_library_keep(void);
void swi_library_release(void *held);

/* Registers a function that is called when the library is unloaded or the process ends, after the workers have stopped.
 * There is one such function; a second call replaces it. */
void swi_library_at_end(void (*close)(void));

#endif
