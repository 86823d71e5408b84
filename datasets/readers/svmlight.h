/* Reading of a LIBSVM or SVMlight file into sparse rows. */
#ifndef SWALE_DATASETS_SVMLIGHT_H
#define SWALE_DATASETS_SVMLIGHT_H

#include <swale/tables.h>

#include "datasets/class_labels.h"
#include "datasets/readers/text_lines.h"

enum { SWD_LABEL_CACHE = 256 };

typedef struct swd_svmlight {
    swd_lines lines;
    sw_svmlight_options o;
    /* The numbers read so far, with the indices of the file. */
    int32_t *index; /* [capacity] */
    void *value;    /* [capacity], of o.type */
    int64_t count, capacity;
    int64_t previous;  /* the previous index in the current row; -1: none */
    int64_t largest;   /* the largest index so far; -1: none */
    bool zero;         /* an index is 0 */
    int64_t edge_line; /* the first line with an index that is in range only if indices begin at 1; 0: none */
    /* Rows read so far. */
    int64_t *start; /* [row_capacity + 1] */
    double *y;      /* [row_capacity] */
    int32_t *ids;   /* [row_capacity]: labels as their numbers in `classes`; NULL if the targets are not classes */
    int64_t rows, row_capacity;
    bool classed;                      /* all targets so far are classes */
    bool given;                        /* `classes` are those of o.like; no class is added */
    swd_classes classes;               /* labels as texts */
    int64_t label[SWD_LABEL_CACHE];    /* a cache of the labels found last, indexed by their last byte */
    int32_t label_id[SWD_LABEL_CACHE]; /* number in `classes` + 1; 0: no entry */
} swd_svmlight;

/* Reads all rows of the file. */
sw_status swd_svmlight_rows(swd_svmlight *s);
/* As sw_resize_array; the error message names the file. */
sw_status swd_svmlight_resize(const swd_svmlight *s, void *list, int64_t used, int64_t wanted, size_t size);

#endif
