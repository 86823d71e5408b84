/* What is to be done at a tape's reset: whoever lends it memory gets it back by this. Kept across
 * rewinds: memory that is back late does no harm. */
#include <swale/memory.h>

#include "core/tape/node.h"

#include <string.h>

typedef struct swi_deferred {
    void (*release)(void *user);
    void *user;
} swi_deferred;

sw_status sw_tape_defer(sw_tape *tape, void (*release)(void *user), void *user) {
    if (!tape || !release)
        return sw_fail(SW_ERR_ARGUMENT, "defer: the %s is NULL", tape ? "function" : "tape");
    if (tape->deferred_count == tape->deferred_capacity) {
        int capacity = tape->deferred_capacity ? 2 * tape->deferred_capacity : 4;
        swi_deferred *more = sw_alloc((size_t)capacity * sizeof *more);
        if (!more)
            return SW_ERR_MEMORY;
        if (tape->deferred_count)
            memcpy(more, tape->deferred, (size_t)tape->deferred_count * sizeof *more);
        sw_free(tape->deferred);
        tape->deferred = more;
        tape->deferred_capacity = capacity;
    }
    tape->deferred[tape->deferred_count++] = (swi_deferred){release, user};
    return SW_OK;
}

void swi_run_deferred(sw_tape *tape) {
    for (int i = 0; i < tape->deferred_count; i++)
        tape->deferred[i].release(tape->deferred[i].user);
    tape->deferred_count = 0;
}
