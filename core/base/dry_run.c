/* The beginning and the end of a dry run. */
#include <swale/memory.h>
#include <swale/status.h>

#include "core/base/dry_run_state.h"

static _Thread_local size_t dry_run_leftover; /* bytes of objects that earlier dry runs have not freed */

sw_status sw_dry_run_begin(void) {
    if (!swi_enter_dry_run())
        return sw_fail(SW_ERR_STATE, "dry_run_begin: %s; call sw_dry_run_end first",
                       sw_dry_run() ? "a dry run is under way" : "another thread is in a dry run");
    dry_run_leftover = sw_memory_live_total();
    sw_memory_reset_peaks();
    return SW_OK;
}

sw_status sw_dry_run_end(void) {
    if (!sw_dry_run())
        return sw_fail(SW_ERR_STATE, "dry_run_end: this thread is in no dry run");
    const size_t live = sw_memory_live_total();
    swi_leave_dry_run();
    return live <= dry_run_leftover
               ? SW_OK
               : sw_fail(SW_ERR_STATE,
                         "dry_run_end: %zu bytes of objects from the dry run are not freed; free them before the end",
                         live - dry_run_leftover);
}
