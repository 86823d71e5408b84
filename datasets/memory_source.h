/* Samples in memory as a source. */
#ifndef SWALE_DATASETS_MEMORY_SOURCE_H
#define SWALE_DATASETS_MEMORY_SOURCE_H

#include <swale/source.h>

/* A source of samples in memory, stored row after row in their original type. */
typedef struct swd_memory_source {
    sw_source source;            /* first, so that a pointer to the source is a pointer to the struct */
    sw_array x;                  /* [n, ...] of any type */
    sw_array y;                  /* class ids [n], i32 or u8, or real numbers [n, ...]; data NULL: no targets */
    int64_t x_width, y_width;    /* the number of elements of x and of y in one sample */
    double scale, shift;         /* applied if x is u8: x·scale + shift */
    bool borrowed_x, borrowed_y; /* the memory belongs to the caller and is not freed */
    char **names;                /* [classes]: source.class_names, if this source owns them; else NULL */
} swd_memory_source;

/* Makes an empty source as the first member of a struct of `bytes` bytes, whose other members are zero.
 * sw_source_free(&s->source) frees it, whether finished or not. NULL and an error if there is no memory. */
swd_memory_source *swd_memory_source_new(size_t bytes);
/* The default of source.free. A struct with further memory frees that first and then calls this function. */
void swd_memory_source_free(sw_source *source);
/* Call it when x, y and classes are set. It sets n, the shapes of a sample (those of x and y without axis 0), and the
 * widths. */
void swd_memory_source_finish(swd_memory_source *s);
/* The default of source.gather. If x is stored elsewhere, call it with x NULL to gather y. */
sw_status swd_memory_source_gather(const sw_source *source, const int64_t *ids, int64_t count, uint64_t draw,
                                   sw_dtype type, void *x, void *y);

/* Checks that scale and shift are finite; else an error of `who`. If both are 0, sets scale to `standard`. */
sw_status swd_check_pixel_scale(const char *who, double *scale, double *shift, double standard);

#endif
