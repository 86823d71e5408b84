/* Element types, and arrays: plain values that describe memory. */
#ifndef SWALE_ARRAY_H
#define SWALE_ARRAY_H

#include <swale/error.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum sw_dtype {
    SW_F32 = 0, /* computed in */
    SW_F64 = 1, /* computed in */
    SW_I32 = 2, /* class ids */
    SW_U8 = 3,  /* stored pictures */
    SW_I64 = 4  /* counters in files; not for tapes */
} sw_dtype;

SW_API size_t sw_dtype_size(sw_dtype type);      /* bytes */
SW_API const char *sw_dtype_name(sw_dtype type); /* "f32" */

enum { SW_MAX_RANK = 8 };

/* A row-major array somewhere in memory. A plain value: it owns nothing. */
typedef struct sw_array {
    void *data;
    sw_dtype type;
    int rank; /* 0 for a scalar */
    int64_t shape[SW_MAX_RANK];
} sw_array;

/* rank and shape in one: sw_array_view(p, SW_F32, SW_SHAPE(64, 784)). C only. */
#define SW_SHAPE(...)                                                                    \
    (int)(sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (const int64_t[]) { \
        __VA_ARGS__                                                                      \
    }

/* A view of `data`. A rank outside 0..SW_MAX_RANK, a negative length, or lengths whose product, but for those
 * that are 0, is 2^59 or more gives data NULL and an error. */
SW_API sw_array sw_array_view(const void *data, sw_dtype type, int rank, const int64_t *shape);
/* Number of elements: the product of the shape, 1 for a scalar. 0 and an error if rank or shape is
 * invalid. */
SW_API int64_t sw_array_count(const sw_array *array);
/* An array of zeros with memory of its own, freed by sw_array_free. data NULL after an error. */
SW_API sw_array sw_array_new(sw_dtype type, int rank, const int64_t *shape);
/* Frees the data of an array from a function that says so, and makes it all zeros. */
SW_API void sw_array_free(sw_array *array);

/* The product of a shape: checked for rank, sign and overflow. */
SW_API sw_status sw_shape_count(int rank, const int64_t *shape, int64_t *count);
/* A number as an element of a type of tapes. An error of `what` for i32 and u8 if they have no such number. */
SW_API sw_status sw_number_to_element(const char *what, sw_dtype type, double value, void *element);
/* One element of type f32 or f64. */
static inline void sw_store_scalar(sw_dtype type, void *element, double value) {
    if (type == SW_F32)
        *(float *)element = (float)value;
    else
        *(double *)element = value;
}
static inline double sw_load_scalar(sw_dtype type, const void *element) {
    return type == SW_F32 ? (double)*(const float *)element : *(const double *)element;
}

#ifdef __cplusplus
}
#endif
#endif
