/* Vectors of f16 or bf16 and the same numbers in f32, for tests of kernels that were compiled for both. Included after
 * support.h. */
#ifndef TEST_CORE_STORED_VECTORS_H
#define TEST_CORE_STORED_VECTORS_H

#include <swale/vector.h>

enum { PATTERNS = 1 << 16 };
static const sw_dtype halves[2] = {SW_F16, SW_BF16};

/* Vectors of 16 bits, and the same numbers in f32. */
typedef struct vectors {
    uint16_t x[PATTERNS], y[PATTERNS], z[PATTERNS], out[PATTERNS];
    float wide_x[PATTERNS], wide_y[PATTERNS], wide_z[PATTERNS], wide_out[PATTERNS];
} vectors;

/* x: every pattern, among them Inf, NaN and subnormal numbers; y, z: random ones, those of z not small, so that they
 * can be divided by. */
static inline vectors *vectors_new(sw_dtype type) {
    vectors *v = malloc(sizeof *v);
    uint64_t seed = 7;
    assert_non_null(v);
    for (int i = 0; i < PATTERNS; i++) {
        v->x[i] = (uint16_t)i;
        sw_store_element(type, v->y, i, test_uniform(&seed, -2, 2));
        sw_store_element(type, v->z, i, test_uniform(&seed, 0.25, 2));
    }
    sw_vector_convert(type, PATTERNS, v->x, SW_F32, v->wide_x);
    sw_vector_convert(type, PATTERNS, v->y, SW_F32, v->wide_y);
    sw_vector_convert(type, PATTERNS, v->z, SW_F32, v->wide_z);
    return v;
}

static inline void expect_rounded(const char *name, sw_dtype type, int level, const float *wide, const uint16_t *out,
                                  int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        const uint16_t expected = type == SW_F16 ? sw_f16_from_f32(wide[i]) : sw_bf16_from_f32(wide[i]);
        if (out[i] != expected && !(isnan(wide[i]) && isnan(sw_load_element(type, out, i))))
            fail_msg("%s, %s, level %d, element %d: %g, not %g", name, sw_dtype_name(type), level, (int)i,
                     sw_load_element(type, out, i), (double)wide[i]);
    }
}

#endif
