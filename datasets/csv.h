/* A CSV file on its way to numbers: lines, their fields, and what becomes of each column. */
#ifndef SWALE_DATASETS_CSV_H
#define SWALE_DATASETS_CSV_H

#include "stream.h"

enum { SWD_CSV_LINE = 16 << 20 };

typedef enum swd_role { SWD_FEATURE = 0, SWD_TARGET, SWD_SKIPPED } swd_role;

typedef struct swd_csv {
    swd_stream in;
    sw_csv_options o;
    char *buffer; /* [room + 1]: text [begin, end) was read and not yet handed out */
    size_t room, begin, end;
    bool ended;                  /* nothing follows in the file */
    bool after_cr;               /* the last line ended with CR, of which a LF would be a part */
    int64_t line;                /* of the text handed out last, from 1 */
    int64_t columns, first_line; /* fields of a row, and the line that says so */
    char *text;                  /* the line, in the buffer: until the next one */
    uint32_t *field;             /* [columns]: where each begins in `text` */
    unsigned char *role;         /* [columns], of swd_role */
    int64_t features;
    swd_classes given;           /* class_names */
    bool given_numbers;          /* one of them is a number: labels are values, not ids */
} swd_csv;

/* The next row's fields, unquoted; *got false at the end. The first row says how many. */
sw_status swd_csv_row(swd_csv *c, bool *got);
static inline char *swd_csv_field(const swd_csv *c, int64_t column) {
    return c->text + c->field[column];
}
/* c->role and c->features from the options; `header` says that the fields are the columns' names. */
sw_status swd_csv_roles(swd_csv *c, bool header);
/* "path: line 3, column 2: reason"; column -1: none. */
SW_PRINTF(3, 4) sw_status swd_csv_fail(const swd_csv *c, int64_t column, const char *format, ...);
/* A field for a message: its beginning, control characters as '?'. */
const char *swd_csv_quote(const char *field, char out[64]);

#endif
