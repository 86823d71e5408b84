/* 16-bit floating-point numbers: f16 (IEEE 754 binary16) and bf16 (the upper half of an f32). They are stored as
 * uint16_t; computations use f32.
 *
 *               sign, exponent, fraction bits    largest    least normal    least positive   spacing at 1
 *     f16       1, 5, 10                         65504      2^-14           2^-24            2^-10
 *     bf16      1, 8, 7                          3.39e38    2^-126          2^-133           2^-7
 *
 * Every f16 and bf16 number is also an f32 number, so loading is exact. Storing rounds to the nearest number; if two
 * are equally near, to the one whose last bit is 0. Numbers that round to more than the largest become ±∞. A NaN stays
 * a NaN, with its sign and the upper bits of its payload; it becomes quiet, except when a bf16 is loaded. The functions
 * have no branches, so that compilers can vectorize loops with them. */
#ifndef SWALE_HALF_H
#define SWALE_HALF_H

#include <stdint.h>
#include <string.h>

/* For functions that kernels call: a loop with a call in it is not vectorized. */
#define SW_HALF_INLINE static inline __attribute__((always_inline))

SW_HALF_INLINE uint32_t sw_f32_bits(float x) {
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

SW_HALF_INLINE float sw_f32_from_bits(uint32_t u) {
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

SW_HALF_INLINE float sw_f16_to_f32(uint16_t h) {
    const uint32_t sign = (uint32_t)(h & 0x8000u) << 16, rest = h & 0x7FFFu;
    /* The stored exponent of an f32 is larger by 112. Below 2^-14 an f16 is its fraction times 2^-24. The fraction is
     * converted as an integer, because a product with a subnormal number would be 0 between sw_subnormals_flush and
     * sw_subnormals_restore. */
    const uint32_t normal = (rest << 13) + (112u << 23), small = sw_f32_bits((float)(int32_t)rest * 0x1p-24f);
    const uint32_t special = (rest << 13) | (rest > 0x7C00u ? 0x7FC00000u : 0x7F800000u); /* NaN, ∞ */
    return sw_f32_from_bits(sign | (rest >= 0x7C00u ? special : rest >= 0x0400u ? normal : small));
}

SW_HALF_INLINE uint16_t sw_f16_from_f32(float x) {
    const uint32_t u = sw_f32_bits(x), sign = u >> 16 & 0x8000u, rest = u & 0x7FFFFFFFu;
    const uint32_t normal = (rest - (112u << 23) + 0xFFFu + (rest >> 13 & 1u)) >> 13; /* a carry goes to the exponent */
    /* In [½, 1) neighboring f32 numbers differ by 2^-24: the addition rounds x to a multiple of 2^-24, which the low
     * bits of the sum contain. */
    const uint32_t small = sw_f32_bits(sw_f32_from_bits(rest) + 0.5f) - 0x3F000000u;
    const uint32_t nan = 0x7E00u | (rest >> 13 & 0x1FFu);
    const uint32_t finite = rest < 0x38800000u ? small : rest < 0x477FF000u ? normal : 0x7C00u; /* 2^-14, 65520 */
    return (uint16_t)(sign | (rest > 0x7F800000u ? nan : finite));
}

SW_HALF_INLINE float sw_bf16_to_f32(uint16_t h) {
    return sw_f32_from_bits((uint32_t)h << 16);
}

SW_HALF_INLINE uint16_t sw_bf16_from_f32(float x) {
    const uint32_t u = sw_f32_bits(x), nearest = (u + 0x7FFFu + (u >> 16 & 1u)) >> 16, nan = u >> 16 | 0x40u;
    return (uint16_t)((u & 0x7FFFFFFFu) > 0x7F800000u ? nan : nearest);
}

#endif
