/* Reading of a CSV file: rows, their fields, and the role of each column. */
#ifndef SWALE_DATASETS_CSV_H
#define SWALE_DATASETS_CSV_H

#include <swale/tables.h>

#include "datasets/class_labels.h"
#include "datasets/readers/text_lines.h"

typedef enum swd_role { SWD_FEATURE = 0, SWD_TARGET, SWD_SKIPPED } swd_role;

typedef struct swd_csv {
    swd_lines lines;
    sw_csv_options o;
    int64_t columns, first_line; /* the number of fields in a row, and the line of the first row */
    char other;                  /* another usual delimiter, if the first row is one field that contains it; else 0 */
    char *text;                  /* the current line; valid until the next one is read */
    uint32_t *field;             /* the offset of each field in `text` */
    unsigned char *role;         /* [columns], of swd_role */
    int64_t features;
    swd_classes given;  /* class_names */
    bool given_numbers; /* one of class_names is a number: labels are compared with the names, and are not ids */
} swd_csv;

/* Reads the next row into its fields, without quotes; *got is false at the end. The first row determines the number of
 * columns. */
sw_status swd_csv_row(swd_csv *c, bool *got);
static inline char *swd_csv_field(const swd_csv *c, int64_t column) {
    return c->text + c->field[column];
}
/* Sets c->role and c->features from the options. `header`: the current fields are the names of the columns. */
sw_status swd_csv_roles(swd_csv *c, bool header);
/* Fails with "path: line 3, column 2: reason"; column -1: the message names no column. */
SW_PRINTF(3, 4) sw_status swd_csv_fail(const swd_csv *c, int64_t column, const char *format, ...);
/* Returns " (is the delimiter ';'? option delimiter)" if each row is one field, and the first row or `field` (NULL: not
 * checked) contains another usual delimiter; else "". */
const char *swd_csv_hint(const swd_csv *c, const char *field, char out[64]);

#endif
