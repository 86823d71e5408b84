/* Selects the kernels of OpenBLAS.
 *
 * OpenBLAS identifies a processor by its model number. Up to version 0.3.24 it treats an unknown newer processor as a
 * Prescott of 2004, whose kernels have a fifth of the speed (https://github.com/OpenMathLib/OpenBLAS/issues/4267).
 * Debian 12 and Ubuntu 22.04 have such versions. In this case this file makes OpenBLAS select again, with the
 * environment variable OPENBLAS_CORETYPE set for the instructions of the processor. If the user has set this variable,
 * it is not changed.
 *
 * This happens before main, because no other thread may be in OpenBLAS or read the environment at the same time. If
 * dlopen loads swale into a process that already has threads, OpenBLAS keeps its choice, and the user can set the
 * variable. */
#define _DEFAULT_SOURCE
#include <swale/library.h>

#include "core/kernels/blas_core.h"
#include "core/kernels/dispatch.h"

#include <cblas.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Exported only by an OpenBLAS that chooses its kernels at run time (DYNAMIC_ARCH). */
extern void gotoblas_dynamic_init(void) __attribute__((weak));
extern void gotoblas_dynamic_quit(void) __attribute__((weak));
/* Whether the threads of OpenBLAS exist. In the child of a fork they do not. */
extern int blas_server_avail __attribute__((weak));

static const char variable[] = "OPENBLAS_CORETYPE";

const char *swi_better_core(const char *core, bool avx2, bool avx512) {
    static const char *const before_avx2[] = {"Katmai",      "Coppermine", "Northwood",    "Prescott",   "Banias",
                                              "Atom",        "Core2",      "Penryn",       "Dunnington", "Nehalem",
                                              "Athlon",      "Opteron",    "Opteron_SSE3", "Barcelona",  "Nano",
                                              "Sandybridge", "Bobcat",     "Bulldozer",    "Piledriver", "Steamroller"};
    for (size_t i = 0; avx2 && i < sizeof before_avx2 / sizeof *before_avx2; i++)
        if (strcmp(core, before_avx2[i]) == 0)
            return avx512 ? "SkylakeX" : "Haswell";
    return NULL;
}

bool swi_choose_core(void) {
    if (!gotoblas_dynamic_init || !gotoblas_dynamic_quit || getenv(variable))
        return false;
    gotoblas_dynamic_init(); /* a statically linked OpenBLAS would call it only after this constructor */
    const int level = swi_cpu_best();
    const char *better = swi_better_core(openblas_get_corename(), level >= 1, level >= 2);
    if (!better || setenv(variable, better, 1) != 0)
        return false;
    gotoblas_dynamic_quit();
    gotoblas_dynamic_init();
    unsetenv(variable); /* programs that this one starts must not inherit it */
    return strcasecmp(openblas_get_corename(), better) == 0;
}

#if defined(__SANITIZE_THREAD__)
#define SANITIZER_THREADS 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SANITIZER_THREADS 1
#endif
#endif
#ifndef SANITIZER_THREADS
#define SANITIZER_THREADS 0
#endif

/* The number of threads of this process other than this one, the sleeping threads of OpenBLAS and the thread of the
 * sanitizer; 1 if it cannot be determined. */
static int blas_other_threads(void) {
    DIR *tasks = opendir("/proc/self/task");
    if (!tasks)
        return 1;
    int count = 0;
    for (const struct dirent *entry; (entry = readdir(tasks));)
        count += entry->d_name[0] != '.';
    closedir(tasks);
    enum { WITH_POSIX_THREADS = 1 };
    const bool kept = openblas_get_parallel() == WITH_POSIX_THREADS && &blas_server_avail && blas_server_avail;
    return count - 1 - SANITIZER_THREADS - (kept ? openblas_get_num_threads() - 1 : 0);
}

bool swi_may_choose_core(void) {
    return blas_other_threads() <= 0;
}

__attribute__((constructor)) static void choose_core(void) {
    if (swi_may_choose_core())
        swi_choose_core();
}

const char *sw_blas_core(void) {
    return openblas_get_corename();
}

const char *swi_blas_config(void) {
    return openblas_get_config();
}
