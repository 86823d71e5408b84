/* The file of a picture in memory, before decoding or after encoding. */
#ifndef SWALE_DATASETS_PICTURE_H
#define SWALE_DATASETS_PICTURE_H

#include <swale/pictures.h>

enum {
    SWD_PICTURE_SIDE = 32768,
    SWD_PICTURE_PIXELS = 1 << 26,
    SWD_PICTURE_BYTES = 256 << 20 /* the largest file */
};

typedef struct swd_picture {
    const char *path;
    bool first_error; /* no error was pending at the start */
    unsigned char *data;
    int64_t bytes;
    int64_t width, height; /* from the header of the file */
    /* PNG with a palette: the number of colors that a pixel can select (0 without a palette), and the offset and length
     * of the palette's chunk. */
    int palette;
    int64_t palette_at, palette_bytes;
} swd_picture;

/* Fails with the message "path: reason". */
SW_PRINTF(3, 4)
sw_status swd_picture_fail(const swd_picture *p, sw_status status, const char *format, ...);
#endif
