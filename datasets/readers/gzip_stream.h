/* Reads a file as a stream of bytes, and inflates it if it is a gzip file. */
#ifndef SWALE_DATASETS_GZIP_STREAM_H
#define SWALE_DATASETS_GZIP_STREAM_H

#include <swale/error.h>

#include <stdio.h>
#include <zlib.h>

typedef struct swd_stream {
    const char *path;
    FILE *file;
    int64_t file_size;      /* bytes, as stored */
    unsigned char magic[2]; /* the first bytes of the file */
    size_t magic_size;      /* the number of bytes in `magic`; less than 2 in a shorter file */
    bool first_error;       /* no error was pending when the reader began */
    bool compressed;
    bool members;   /* accept further gzip members, whose contents follow those of the first; else they are an error */
    bool inflating; /* swd_stream_close must call inflateEnd */
    bool ended;     /* the gzip member is complete, with the right CRC and length */
    z_stream z;
    unsigned char *block;
} swd_stream;

/* Opens a file, and sets all members except `members`. Call swd_stream_close also after an error. */
sw_status swd_stream_open(swd_stream *s, const char *path);
void swd_stream_close(swd_stream *s);
/* Reads the next `size` bytes. *made is less than `size` only at the end of the contents. */
sw_status swd_stream_read(swd_stream *s, void *out, size_t size, size_t *made);
/* For a compressed file with one member: checks that the contents end here with the right CRC, and that nothing follows
 * in the file. */
sw_status swd_stream_check_end(swd_stream *s);

/* Fails with the message "path: reason". A very long path is shortened, so that the reason is not cut off. */
SW_PRINTF(3, 4)
sw_status swd_stream_fail(const swd_stream *s, sw_status status, const char *format, ...);
/* Replaces the message of the allocator, which has only a number of bytes, by one with the path. */
sw_status swd_stream_fail_memory(const swd_stream *s);

#endif
