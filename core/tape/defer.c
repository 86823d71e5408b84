/* Functions that a tape calls at its reset, for example to free memory that its tensors read. A rewind does not call
 * them: it is safe to free the memory later than necessary. */
#include <swale/memory.h>
#include <swale/status.h>

#include "core/tape/node.h"

typedef struct swi_deferred {
    void (*release)(void *user);
    void *user;
} swi_deferred;

sw_status sw_tape_defer(sw_tape *tape, void (*release)(void *user), void *user) {
    if (!tape || !release)
        return sw_fail(SW_ERR_ARGUMENT, "tape_defer: the %s is NULL", tape ? "function" : "tape");
    SW_TRY(sw_grow_array_for(SW_ACCOUNT_TAPE, &tape->deferred, &tape->deferred_capacity, tape->deferred_count, 4,
                             sizeof *tape->deferred));
    tape->deferred[tape->deferred_count++] = (swi_deferred){release, user};
    return SW_OK;
}

void swi_run_deferred(sw_tape *tape) {
    for (int i = 0; i < tape->deferred_count; i++)
        tape->deferred[i].release(tape->deferred[i].user);
    tape->deferred_count = 0;
}
