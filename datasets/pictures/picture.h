/* What the files of pictures share: a file in memory on its way to pixels, and stb's memory. */
#ifndef SWALE_DATASETS_PICTURE_H
#define SWALE_DATASETS_PICTURE_H

#include "datasets/internal.h"

#include <setjmp.h>

enum {
    SWD_PICTURE_SIDE = 32768,
    SWD_PICTURE_PIXELS = 1 << 26,
    SWD_PICTURE_BYTES = 256 << 20 /* of the file */
};

typedef struct swd_picture {
    const char *path;
    bool first_error; /* no message was kept when we began */
    unsigned char *data;
    int64_t bytes;
    int64_t width, height; /* by the file's header */
    /* PNG: colors that pixels can name, 0 without a palette; where its chunk is, and its length.
     */
    int palette;
    int64_t palette_at, palette_bytes;
} swd_picture;

/* "path: reason" */
SW_PRINTF(3, 4)
sw_status swd_picture_fail(const swd_picture *p, sw_status status, const char *format, ...);
/* After the file's first bytes said what it is. They set width, height and the palette's fields. */
sw_status swd_picture_check_png(swd_picture *p);
sw_status swd_picture_check_jpeg(swd_picture *p);

/* ---- picture_stb.c: calls of stb's functions, whose allocation and assertions these are ---- */

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
_Noreturn void swd_stb_give_up(sw_status status, const char *reason);
void *swd_stb_take(size_t bytes);
void *swd_stb_resize(void *memory, size_t old_bytes, size_t bytes);
void swd_stb_give(void *memory);
void swd_stb_check(bool right);

#endif
