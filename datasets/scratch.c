/* Scratch memory: one block for each thread that gathers, kept between batches. */
#include <swale/extend.h>

#include "datasets/scratch.h"

sw_status swd_scratch_init(swd_scratch *scratch, size_t bytes) {
    scratch->bytes = bytes;
    int ready = sw_threads() + 1; /* the threads of core, and the thread of a loader */
    for (int i = 0; i < SWD_SCRATCHES; i++)
        atomic_init(&scratch->block[i], NULL);
    for (int i = 0; i < ready && i < SWD_SCRATCHES; i++) {
        void *block = sw_alloc_for(SW_ACCOUNT_TEMPORARIES, bytes);
        if (!block) {
            swd_scratch_free(scratch);
            return SW_ERR_MEMORY;
        }
        atomic_store(&scratch->block[i], block);
    }
    return SW_OK;
}

void swd_scratch_free(swd_scratch *scratch) {
    for (int i = 0; i < SWD_SCRATCHES; i++)
        sw_free(atomic_exchange(&scratch->block[i], NULL));
}

void *swd_scratch_take(swd_scratch *scratch) {
    for (int i = 0; i < SWD_SCRATCHES; i++)
        if (atomic_load_explicit(&scratch->block[i], memory_order_relaxed)) {
            void *block = atomic_exchange(&scratch->block[i], NULL);
            if (block)
                return block;
        }
    /* all blocks are in use: more threads gather than when the blocks were made */
    return sw_alloc_for(SW_ACCOUNT_TEMPORARIES, scratch->bytes);
}

void swd_scratch_release(swd_scratch *scratch, void *block) {
    for (int i = 0; i < SWD_SCRATCHES; i++) {
        void *empty = NULL;
        if (atomic_compare_exchange_strong(&scratch->block[i], &empty, block))
            return;
    }
    sw_free(block);
}
