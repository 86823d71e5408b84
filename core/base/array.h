/* Element types, and arrays: plain values that describe memory.
 *
 *     float data[6] = {1, 2, 3, 4, 5, 6};
 *     sw_array view = sw_array_view(data, SW_F32, SW_SHAPE(2, 3));     // describes data; nothing to free
 *
 *     sw_array zeros = sw_array_new(SW_F64, SW_SHAPE(64, 10));         // allocates
 *     sw_array_free(&zeros);
 */
#ifndef SWALE_ARRAY_H
#define SWALE_ARRAY_H

#include <swale/error.h>
#include <swale/half.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The type of an element: the storage type, which it has in memory. Computations use its compute type
 * (sw_dtype_compute): f32 for f16 and bf16, otherwise the type itself. Floating-point types come first, because tables
 * with an entry for each of them, such as sw_kernels, are indexed by the type. */
typedef enum sw_dtype {
    SW_F32 = 0,  /* 32-bit floating point */
    SW_F64 = 1,  /* 64-bit floating point */
    SW_F16 = 2,  /* IEEE 754 binary16 (half.h). A storage type only: operations compute in f32 (ops.h) */
    SW_BF16 = 3, /* the upper half of an f32 (half.h). A storage type only, like f16 */
    SW_I32 = 4,  /* class ids */
    SW_U8 = 5,   /* stored pictures */
    SW_I64 = 6   /* counters in files; a tape does not accept it */
} sw_dtype;
enum { SW_FLOAT_TYPES = 4 }; /* f32, f64, f16, bf16 */

SW_API size_t sw_dtype_size(sw_dtype type);      /* bytes of an element; 0 for an invalid type */
SW_API const char *sw_dtype_name(sw_dtype type); /* "f32"; "?" for an invalid type */
/* f32, f64, f16 or bf16 */
static inline bool sw_dtype_is_float(sw_dtype type) {
    return (unsigned)type < SW_FLOAT_TYPES;
}
/* f32 or f64: the compute types */
static inline bool sw_dtype_is_computed(sw_dtype type) {
    return (unsigned)type <= SW_F64;
}
/* f16 or bf16: the storage types whose compute type is f32 */
static inline bool sw_dtype_is_16_bit(sw_dtype type) {
    return type == SW_F16 || type == SW_BF16;
}
/* The compute type of a storage type: f32 for f16 and bf16, else the type itself. */
static inline sw_dtype sw_dtype_compute(sw_dtype type) {
    return sw_dtype_is_16_bit(type) ? SW_F32 : type;
}

enum { SW_MAX_RANK = 8 };

/* A description of a row-major array in memory. It does not own the memory and may be copied by assignment. */
typedef struct sw_array {
    void *data;
    sw_dtype type;
    int rank; /* the number of axes; 0 for a scalar */
    int64_t shape[SW_MAX_RANK];
} sw_array;

/* Two arguments, the rank and the shape: sw_array_view(p, SW_F32, SW_SHAPE(64, 784)). C only. */
#define SW_SHAPE(...)                                                                    \
    (int)(sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (const int64_t[]) { \
        __VA_ARGS__                                                                      \
    }

/* Describes the memory at `data` as an array. data is NULL and an error (SW_ERR_SHAPE) if the rank is outside
 * 0..SW_MAX_RANK, if a length is negative, or if the product of the lengths other than 0 is 2^59 or more. */
SW_API sw_array sw_array_view(const void *data, sw_dtype type, int rank, const int64_t *shape);
/* The number of elements: the product of the shape, 1 for a scalar. 0 and an error (SW_ERR_SHAPE) if the rank or the
 * shape is invalid. */
SW_API int64_t sw_array_count(const sw_array *array);
/* Allocates an array of zeros, which the caller frees by sw_array_free. data is NULL after an error. */
SW_API sw_array sw_array_new(sw_dtype type, int rank, const int64_t *shape);
/* Frees the data of an array that was allocated by sw_array_new, or by a function whose comment says that the caller
 * frees the result by sw_array_free, and sets the members of the array to 0. Accepts NULL. */
SW_API void sw_array_free(sw_array *array);
/* Copies an array with its axes in another order: axis i of the copy is axis axes[i] of the array, for all types.
 * `axes` holds each of the `count` axes once; negative axes count from the end. With SW_AXES of ops.h,
 *
 *     sw_array last = sw_array_permute(&first, SW_AXES(0, 2, 3, 1));
 *
 * makes pictures [n, height, width, channels] from pictures [n, channels, height, width]. The caller frees the copy by
 * sw_array_free. data is NULL after an error. */
SW_API sw_array sw_array_permute(const sw_array *array, int count, const int *axes);
/* Whether the last three lengths are almost certainly those of [channels, height, width], as in [3,32,32]: 1 to 4
 * channels, and a height and a width of 8 or more. Error messages use it for advice. */
SW_API bool sw_seems_channels_first(int rank, const int64_t *shape);

/* Computes the number of elements of a shape. An error (SW_ERR_SHAPE) for the same reasons as in sw_array_view. */
SW_API sw_status sw_shape_count(int rank, const int64_t *shape, int64_t *count);
/* Stores a number as one element of any type but i64. It is rounded once to f32, f16 or bf16; for i32 and u8 an error
 * (SW_ERR_ARGUMENT) if it is not an integer in the range of the type. The message begins with `what`. */
SW_API sw_status sw_number_to_element(const char *what, sw_dtype type, double value, void *element);
/* Whether two shapes have the same number of axes and the same lengths. */
static inline bool sw_shape_equal(int rank_a, const int64_t *a, int rank_b, const int64_t *b) {
    bool equal = rank_a == rank_b;
    for (int i = 0; equal && i < rank_a; i++)
        equal = a[i] == b[i];
    return equal;
}
/* Returns element i of an array of any type. An i64 is rounded to the nearest double. */
SW_API double sw_element_to_number(sw_dtype type, const void *elements, int64_t i);
/* Stores a number as element i of an array of a floating-point type. It is rounded once. */
SW_API void sw_number_to_float(sw_dtype type, void *elements, int64_t i, double value);
/* As the two functions above, for floating-point types; inline for f32 and f64. */
static inline double sw_load_element(sw_dtype type, const void *elements, int64_t i) {
    return type == SW_F32   ? (double)((const float *)elements)[i]
           : type == SW_F64 ? ((const double *)elements)[i]
                            : sw_element_to_number(type, elements, i);
}
static inline void sw_store_element(sw_dtype type, void *elements, int64_t i, double value) {
    if (type == SW_F32)
        ((float *)elements)[i] = (float)value;
    else if (type == SW_F64)
        ((double *)elements)[i] = value;
    else
        sw_number_to_float(type, elements, i, value);
}
/* One element of a floating-point type. */
static inline double sw_load_scalar(sw_dtype type, const void *element) {
    return sw_load_element(type, element, 0);
}
static inline void sw_store_scalar(sw_dtype type, void *element, double value) {
    sw_store_element(type, element, 0, value);
}

#ifdef __cplusplus
}
#endif
#endif
