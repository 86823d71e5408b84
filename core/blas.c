/* OpenBLAS: its kernels and its threads.
 *
 * OpenBLAS knows a processor by its model number. Up to version 0.3.24 it takes one that is newer than itself for a
 * Prescott, of 2004, whose kernels are a fifth as fast (https://github.com/OpenMathLib/OpenBLAS/issues/4267);
 * Debian 12 and Ubuntu 22.04 have such versions. There it is asked again, for the kernels that the processor's
 * instructions allow, by the variable OPENBLAS_CORETYPE; one that the user has set is left to mean what it says.
 *
 * That happens before main, because other threads must neither be in OpenBLAS nor read the environment meanwhile. A
 * program that loads swale later, by dlopen, while its own threads do, is the exception: it sets the variable itself.
 */
#define _DEFAULT_SOURCE
#include "internal.h"

#include <cblas.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Exported by an OpenBLAS that chooses kernels as it runs (DYNAMIC_ARCH); others do not have them. */
extern void gotoblas_dynamic_init(void) __attribute__((weak));
extern void gotoblas_dynamic_quit(void) __attribute__((weak));

static const char variable[] = "OPENBLAS_CORETYPE";

const char *swi_better_core(const char *core, bool avx2, bool avx512) {
    static const char *const before_avx2[] = {
        "Katmai",  "Coppermine", "Northwood",   "Prescott", "Banias",       "Atom",      "Core2",
        "Penryn",  "Dunnington", "Nehalem",     "Athlon",   "Opteron",      "Opteron_SSE3",
        "Barcelona", "Nano",     "Sandybridge", "Bobcat",   "Bulldozer",    "Piledriver", "Steamroller"};
    for (size_t i = 0; avx2 && i < sizeof before_avx2 / sizeof *before_avx2; i++)
        if (strcmp(core, before_avx2[i]) == 0)
            return avx512 ? "SkylakeX" : "Haswell";
    return NULL;
}

bool swi_choose_core(void) {
    if (!gotoblas_dynamic_init || !gotoblas_dynamic_quit || getenv(variable))
        return false;
    gotoblas_dynamic_init(); /* has been called, unless OpenBLAS is linked statically: then it comes after this */
    const int level = swi_cpu_best();
    const char *better = swi_better_core(openblas_get_corename(), level >= 1, level >= 2);
    if (!better || setenv(variable, better, 1) != 0)
        return false;
    gotoblas_dynamic_quit();
    gotoblas_dynamic_init();
    unsetenv(variable); /* not for the programs that this one starts */
    return strcasecmp(openblas_get_corename(), better) == 0;
}

__attribute__((constructor)) static void choose_core(void) {
    swi_choose_core();
}

static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool small_kernel;

static void initialise(void) {
    openblas_set_num_threads(1); /* one owner of the threads: ours */
    const char *core = openblas_get_corename();
    small_kernel = strcmp(core, "SkylakeX") == 0 || strcmp(core, "Cooperlake") == 0 ||
                   strcmp(core, "SapphireRapids") == 0;
}

bool swi_blas_small_kernel(void) {
    pthread_once(&once, initialise);
    return small_kernel;
}

const char *sw_blas_core(void) {
    return openblas_get_corename();
}

const char *swi_blas_config(void) {
    return openblas_get_config();
}
