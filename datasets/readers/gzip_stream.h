/* Files as a stream of bytes, inflated on the way if gzip made them. */
#ifndef SWALE_DATASETS_GZIP_STREAM_H
#define SWALE_DATASETS_GZIP_STREAM_H

#include <swale/error.h>

#include <stdio.h>
#include <zlib.h>

typedef struct swd_stream {
    const char *path;
    FILE *file;
    int64_t file_size;      /* bytes, as stored */
    unsigned char magic[2]; /* the file's first bytes, */
    size_t magic_size;      /* as many as there are */
    bool first_error;       /* no message was kept when we began */
    bool compressed;
    bool members;   /* a second gzip member goes on where the first ended; else it is refused */
    bool inflating; /* inflateEnd is due */
    bool ended;     /* the gzip member is complete, its CRC and length are right */
    z_stream z;
    unsigned char *block;
} swd_stream;

/* Sets every field but `members`. swd_stream_close is due whatever comes of it. */
sw_status swd_stream_open(swd_stream *s, const char *path);
void swd_stream_close(swd_stream *s);
/* The next `size` bytes; fewer only where the contents end. */
sw_status swd_stream_read(swd_stream *s, void *out, size_t size, size_t *made);
/* Of a compressed file of one member: the contents end here with the right CRC, and the file with
 * them. */
sw_status swd_stream_check_end(swd_stream *s);

/* "path: reason", of which a very long path may not push out the reason. */
SW_PRINTF(3, 4)
sw_status swd_stream_fail(const swd_stream *s, sw_status status, const char *format, ...);
/* Puts the path in front of the allocator's message, which knows only of bytes. */
sw_status swd_stream_fail_memory(const swd_stream *s);

#endif
