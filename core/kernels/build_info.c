/* Describes this build in one line, for reports. */
#include <swale/library.h>

#include "core/kernels/blas_core.h"

#include <stdio.h>

const char *sw_build_info(void) {
    static _Thread_local char text[256];
#if defined(__clang__)
    const char *compiler = "clang " __clang_version__;
#else
    const char *compiler = "gcc " __VERSION__;
#endif
    snprintf(text, sizeof text, "swale %s, %s, %s kernels, %s", sw_version(), compiler, sw_cpu_name(),
             swi_blas_config());
    return text;
}
