/* Runs functions of stb with memory from sw_alloc. */
#ifndef SWALE_DATASETS_STB_MEMORY_H
#define SWALE_DATASETS_STB_MEMORY_H

#include <swale/error.h>

#include <setjmp.h>

enum { SWD_STB_MEMORY = 0x7fffffff }; /* bytes; stb uses int for sizes */

typedef struct swd_stb {
    struct swd_stb_block *blocks;
    size_t in_use;
    jmp_buf back;
    sw_status status; /* with which swd_stb_abort was called */
    const char *reason;
} swd_stb;

/* Calls work(args), and then frees all memory that stb has allocated. False if swd_stb_abort was called. */
bool swd_stb_run(swd_stb *g, void (*work)(void *args), void *args);
/* For use inside swd_stb_run. If there is no memory, or if an assertion fails, these functions do not return: they end
 * the call of `work`. */
_Noreturn void swd_stb_abort(sw_status status, const char *reason);
void *swd_stb_malloc(size_t bytes);
void *swd_stb_realloc(void *memory, size_t old_bytes, size_t bytes);
void swd_stb_free(void *memory);
void swd_stb_assert(bool right);

#endif
