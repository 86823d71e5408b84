/* The lines of a text file, plain or gzip. */
#ifndef SWALE_DATASETS_TEXT_LINES_H
#define SWALE_DATASETS_TEXT_LINES_H

#include "datasets/readers/gzip_stream.h"

enum { SWD_LONGEST_LINE = 16 << 20 }; /* bytes; a line has fewer */

/* Set in.members, then open `in`; all other fields begin as zeros. */
typedef struct swd_lines {
    swd_stream in;
    char *buffer; /* [capacity + 1]: text [begin, end) was read and not yet handed out */
    size_t capacity, begin, end;
    bool ended;            /* nothing follows in the file */
    bool after_cr;         /* the last line ended with CR, of which a LF would be a part */
    int64_t line;          /* number of the line handed out last, from 1 */
    int64_t at;            /* where it begins, in bytes of the contents */
    int64_t buffer_offset; /* bytes of the contents before those in the buffer */
} swd_lines;

/* The next line without its end (LF, CR, or CR and LF), terminated by zero; NULL at the end of the file. It may be
 * changed in place, and is valid until the next call. UTF-8's mark at the beginning of the file is skipped. A zero
 * byte and a line that is too long are errors. */
sw_status swd_lines_next(swd_lines *lines, char **line);
/* Closes the file and frees the buffer. */
void swd_lines_close(swd_lines *lines);
/* "path: line 3: reason" */
SW_PRINTF(2, 3) sw_status swd_lines_fail(const swd_lines *lines, const char *format, ...);
/* A piece of text for a message: its beginning, control characters as '?'. */
const char *swd_quote(const char *text, char out[64]);

#endif
