/* The lines of a text file, plain or gzip. */
#ifndef SWALE_DATASETS_TEXT_LINES_H
#define SWALE_DATASETS_TEXT_LINES_H

#include "datasets/readers/gzip_stream.h"

enum { SWD_LONGEST_LINE = 16 << 20 }; /* bytes; a line has fewer */

/* Set in.members, then open `in`; all other members begin as zeros. */
typedef struct swd_lines {
    swd_stream in;
    char *buffer; /* [capacity + 1]: the part [begin, end) was read, but not yet returned */
    size_t capacity, begin, end;
    bool ended;            /* the file has no more data */
    bool after_cr;         /* the last line ended with CR; a LF that follows belongs to the same line end */
    int64_t line;          /* the number of the line returned last, from 1 */
    int64_t at;            /* the offset of its beginning in the contents, in bytes */
    int64_t buffer_offset; /* the offset of the buffer in the contents, in bytes */
} swd_lines;

/* Returns the next line without its end (LF, CR, or CR and LF), terminated by zero; NULL at the end of the file. The
 * caller may change the line, which is valid until the next call. The byte order mark of UTF-8 at the beginning of the
 * file is skipped. A zero byte, and a line that is too long, are errors. */
sw_status swd_lines_next(swd_lines *lines, char **line);
/* Closes the file and frees the buffer. */
void swd_lines_close(swd_lines *lines);
/* Fails with the message "path: line 3: reason". */
SW_PRINTF(2, 3) sw_status swd_lines_fail(const swd_lines *lines, const char *format, ...);
/* Quotes the beginning of a text for a message, with control characters as '?'. */
const char *swd_quote(const char *text, char out[64]);

#endif
