/* A CSV file on its way to numbers: rows, their fields, and what becomes of each column. */
#ifndef SWALE_DATASETS_CSV_H
#define SWALE_DATASETS_CSV_H

#include <swale/tables.h>

#include "datasets/class_labels.h"
#include "datasets/readers/text_lines.h"

typedef enum swd_role { SWD_FEATURE = 0, SWD_TARGET, SWD_SKIPPED } swd_role;

typedef struct swd_csv {
    swd_lines lines;
    sw_csv_options o;
    int64_t columns, first_line; /* fields of a row, and the line that says so */
    char other;                  /* that line is one field, in which this other usual delimiter stands; else 0 */
    char *text;                  /* the line: until the next one */
    uint32_t *field;             /* [columns]: where each begins in `text` */
    unsigned char *role;         /* [columns], of swd_role */
    int64_t features;
    swd_classes given;  /* class_names */
    bool given_numbers; /* one of them is a number: labels are values, not ids */
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
/* " (is the delimiter ';'? option delimiter)" if rows are one field that holds another usual delimiter, as that of
 * the first row does, or `field` (NULL: not asked); else "". */
const char *swd_csv_hint(const swd_csv *c, const char *field, char out[64]);

#endif
