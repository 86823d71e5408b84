/* Memory for the functions of stb. All of it comes from sw_alloc, is zeroed and has a limit. If there is no memory,
 * or if an assertion of stb fails, longjmp returns to swd_stb_run, and every block is freed. */
#include <swale/extend.h>

#include "datasets/pictures/stb_memory.h"

#include <string.h>

enum { HEADER = SW_ALIGNMENT }; /* size of the header before a block, which keeps the alignment of sw_alloc */

struct swd_stb_block {
    struct swd_stb_block *next, *previous;
    size_t bytes;
};
typedef struct swd_stb_block block;
_Static_assert(sizeof(block) <= HEADER, "a block's header fits");

static _Thread_local swd_stb *stb_current;

_Noreturn void swd_stb_abort(sw_status status, const char *reason) {
    stb_current->status = status;
    stb_current->reason = reason;
    longjmp(stb_current->back, 1);
}

void *swd_stb_malloc(size_t bytes) {
    if (bytes > SWD_STB_MEMORY - stb_current->in_use)
        swd_stb_abort(SW_ERR_FORMAT, "that would take more than 2 GiB of memory");
    block *b = sw_alloc_for(SW_ACCOUNT_TEMPORARIES, HEADER + bytes);
    if (!b)
        swd_stb_abort(SW_ERR_MEMORY, "out of memory");
    *b = (block){.next = stb_current->blocks, .bytes = bytes};
    if (b->next)
        b->next->previous = b;
    stb_current->blocks = b;
    stb_current->in_use += bytes;
    return (char *)b + HEADER;
}

void swd_stb_free(void *memory) {
    if (!memory)
        return;
    block *b = (block *)(void *)((char *)memory - HEADER);
    if (b->next)
        b->next->previous = b->previous;
    if (b->previous)
        b->previous->next = b->next;
    else
        stb_current->blocks = b->next;
    stb_current->in_use -= b->bytes;
    sw_free(b);
}

void *swd_stb_realloc(void *memory, size_t old_bytes, size_t bytes) {
    void *larger = swd_stb_malloc(bytes);
    if (memory)
        memcpy(larger, memory, old_bytes < bytes ? old_bytes : bytes);
    swd_stb_free(memory);
    return larger;
}

void swd_stb_assert(bool right) {
    if (!right)
        swd_stb_abort(SW_ERR_FORMAT, "damaged: its contents are inconsistent");
}

bool swd_stb_run(swd_stb *g, void (*work)(void *args), void *args) {
    *g = (swd_stb){.status = SW_OK};
    stb_current = g;
    if (setjmp(g->back) == 0)
        work(args);
    while (g->blocks)
        swd_stb_free((char *)g->blocks + HEADER);
    stb_current = NULL;
    return g->status == SW_OK;
}
