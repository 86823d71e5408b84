/* A picture's file in memory, before it is decoded or after it is encoded. */
#ifndef SWALE_DATASETS_PICTURE_H
#define SWALE_DATASETS_PICTURE_H

#include <swale/pictures.h>

enum {
    SWD_PICTURE_SIDE = 32768,
    SWD_PICTURE_PIXELS = 1 << 26,
    SWD_PICTURE_BYTES = 256 << 20 /* of the file */
};

typedef struct swd_picture {
    const char *path;
    bool first_error; /* no error was pending at the start */
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
#endif
