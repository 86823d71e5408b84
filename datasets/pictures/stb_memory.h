/* The memory in which stb's functions run. */
#ifndef SWALE_DATASETS_STB_MEMORY_H
#define SWALE_DATASETS_STB_MEMORY_H

#include <swale/error.h>

#include <setjmp.h>

enum { SWD_STB_MEMORY = 0x7fffffff }; /* stb counts in int */

typedef struct swd_stb {
    struct swd_stb_block *blocks;
    size_t in_use;
    jmp_buf back;
    sw_status status; /* of what ended it */
    const char *reason;
} swd_stb;

/* Calls work(args); what stb allocated in it is freed. False if it gave up. */
bool swd_stb_run(swd_stb *g, void (*work)(void *args), void *args);
/* Within it: they do not return when there is no memory, or when something is wrong. */
_Noreturn void swd_stb_abort(sw_status status, const char *reason);
void *swd_stb_malloc(size_t bytes);
void *swd_stb_realloc(void *memory, size_t old_bytes, size_t bytes);
void swd_stb_free(void *memory);
void swd_stb_assert(bool right);

#endif
