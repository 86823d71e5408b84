/* A LIBSVM or SVMlight file on its way to sparse rows. */
#ifndef SWALE_DATASETS_SVMLIGHT_H
#define SWALE_DATASETS_SVMLIGHT_H

#include <swale/tables.h>

#include "datasets/class_labels.h"
#include "datasets/readers/text_lines.h"

enum { SWD_LABEL_CACHE = 256 };

typedef struct swd_svmlight {
    swd_lines lines;
    sw_svmlight_options o;
    /* Numbers read so far; indices as they are in the file. */
    int32_t *index; /* [capacity] */
    void *value;    /* [capacity], of o.type */
    int64_t count, capacity;
    int64_t previous;  /* index before this one in its row, -1: none */
    int64_t largest;   /* index of the file so far, -1: none */
    bool zero;         /* an index is 0 */
    int64_t edge_line; /* the first line with an index that is in range only if indices begin at 1; 0: none */
    /* Rows read so far. */
    int64_t *start; /* [row_capacity + 1] */
    double *y;      /* [row_capacity] */
    int32_t *ids;   /* [row_capacity] numbers of `classes`, NULL once the targets are not classes */
    int64_t rows, row_capacity;
    bool classed;                      /* the targets are classes so far */
    bool given;                        /* `classes` are those of o.like, and no other is added */
    swd_classes classes;               /* labels as texts */
    int64_t label[SWD_LABEL_CACHE];    /* found lately, by their last byte, */
    int32_t label_id[SWD_LABEL_CACHE]; /* with number + 1; 0: none */
} swd_svmlight;

/* All rows of the file. */
sw_status swd_svmlight_rows(swd_svmlight *s);
/* sw_resize_array with an error of the file. */
sw_status swd_svmlight_resize(const swd_svmlight *s, void *list, int64_t used, int64_t wanted, size_t size);

#endif
