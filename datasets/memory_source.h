/* Samples in memory as a source. */
#ifndef SWALE_DATASETS_MEMORY_SOURCE_H
#define SWALE_DATASETS_MEMORY_SOURCE_H

#include <swale/source.h>

/* A source of samples that lie in memory, row after row, in the type they were stored in. */
typedef struct swd_memory_source {
    sw_source source;            /* first: a pointer to it is a pointer to the whole */
    sw_array x;                  /* [n, ...] of any type */
    sw_array y;                  /* class ids [n], i32 or u8, or real numbers [n, ...]; data NULL: no targets */
    int64_t x_width, y_width;    /* numbers of a sample */
    double scale, shift;         /* of u8 x */
    bool borrowed_x, borrowed_y; /* the caller's: not freed */
    char **names;                /* source.class_names, if they are ours: `classes` of them */
} swd_memory_source;

/* Without samples, the first member of a struct of `bytes`, the rest of it zeros; freed by
 * sw_source_free(&s->source) like the finished one. NULL and an error: no memory. */
swd_memory_source *swd_memory_source_new(size_t bytes);
void swd_memory_source_free(sw_source *source); /* source.free, unless the struct has more to free before */
/* Once x, y and classes are set: n, the shapes of a sample (those of x and y without axis 0), widths. */
void swd_memory_source_finish(swd_memory_source *s);
/* source.gather, unless x lies elsewhere: then this gathers y (x NULL). */
sw_status swd_memory_source_gather(const sw_source *source, const int64_t *ids, int64_t count, uint64_t draw,
                                   sw_dtype type, void *x, void *y);

/* Both finite, else an error of `who`; both 0: the default, and 0. */
sw_status swd_check_pixel_scale(const char *who, double *scale, double *shift, double standard);

#endif
