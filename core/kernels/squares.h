/* The squares of a vector's elements, added up tile by tile by the functions that write the vector, while the tile is
 * in the cache. A norm computed later reads only the tiles that nobody reported. It has the bits of sw_vector_norm. */
#ifndef SWALE_KERNELS_SQUARES_H
#define SWALE_KERNELS_SQUARES_H

#include <swale/vector.h>

/* Tiles of SW_TILE elements. Threads report disjoint ranges, and a range sets only the tiles that it contains whole. */
struct sw_squares {
    sw_dtype type;
    int64_t n, tiles;
    const char *x;        /* the vector; NULL: reports have no effect */
    double *sum;          /* [tiles] */
    unsigned char *known; /* [tiles]: whether `sum` belongs to the present elements */
};

/* For vectors of n elements; NULL and an error if there is not enough memory. */
sw_squares *swi_squares_new(sw_dtype type, int64_t n);
void swi_squares_free(sw_squares *squares);
/* Begins anew for a vector (NULL: none), of whose tiles nothing is known. */
void swi_squares_begin(sw_squares *squares, const void *x);
/* Declares that elements [at, at + n) have changed. */
void swi_squares_forget(sw_squares *squares, int64_t at, int64_t n);
/* As sw_vector_norm(squares->type, squares->n, x, norm) for the vector x of swi_squares_begin. */
sw_status swi_squares_norm(sw_squares *squares, const void *x, double *norm);

/* Σ x² of a tile (fetch: the next tile will be read too, and is not in the cache); and the norm from the sum over all
 * tiles (vector.c). */
double swi_vector_tile_square(sw_dtype type, const void *x, int64_t begin, int64_t end, bool fetch);
sw_status swi_vector_norm_of_sum(sw_dtype type, int64_t n, const void *x, double sum, double *norm);

#endif
