/* The environment variables of the kernels: invalid values are errors. */
#include <swale/status.h>

#include "core/kernels/bf16_order.h"
#include "core/kernels/dispatch.h"

sw_status swi_check_environment(void) {
    SW_TRY(swi_check_level());
    SW_TRY(swi_check_bf16_order());
    return swi_check_threads();
}
