/* Conversions of vectors between f32 and the 16-bit types on every level: the results have the bits of half.h for every
 * pattern, at every position in a vector, in both modes of arithmetic, and for vectors that are written by non-temporal
 * stores. */
#include "support.h"

#include <swale/extend.h>

#include "core/kernels/dispatch.h"

enum { PATTERNS = 1 << 16, LONG = 9 << 20 }; /* LONG numbers of 16 bits are more than 16 MiB */

/* Selects the next kernels of this processor: each level, without and with further instructions. False after the last
 * ones. */
static bool use_kernels(int index) {
    static int best = -1;
    if (best < 0)
        best = sw_cpu_level();
    const bool more = index < 2 * (best + 1);
    atomic_store(&swi_level, more ? index / 2 : best);
    atomic_store(&swi_instructions, more && index % 2 == 0 ? 0 : swi_cpu_instructions());
    return more;
}

static float load(sw_dtype type, uint16_t bits) {
    return type == SW_F16 ? sw_f16_to_f32(bits) : sw_bf16_to_f32(bits);
}

static uint16_t store(sw_dtype type, float x) {
    return type == SW_F16 ? sw_f16_from_f32(x) : sw_bf16_from_f32(x);
}

/* The NaN of half.h: quiet, except for a loaded bf16, with the sign and the upper bits of the payload. */
static void test_nan_is_kept(void **state) {
    (void)state;
    for (uint32_t sign = 0; sign < 2; sign++)
        for (uint32_t payload = 1; payload < 0x400; payload++) {
            const uint16_t f16 = (uint16_t)(sign << 15 | 0x7C00u | payload);
            assert_int_equal(sw_f32_bits(sw_f16_to_f32(f16)), sign << 31 | 0x7FC00000u | payload << 13);
            const uint32_t f32 = sign << 31 | 0x7F800000u | payload << 13;
            assert_int_equal(sw_f16_from_f32(sw_f32_from_bits(f32)), sign << 15 | 0x7E00u | payload);
        }
}

static void check_patterns(sw_dtype type) {
    static uint16_t bits[PATTERNS];
    static float wide[PATTERNS];
    for (unsigned i = 0; i < PATTERNS; i++)
        bits[i] = (uint16_t)(i * 40503u); /* every pattern once, in another order */
    sw_vector_convert(type, PATTERNS, bits, SW_F32, wide);
    for (unsigned i = 0; i < PATTERNS; i++)
        if (sw_f32_bits(wide[i]) != sw_f32_bits(load(type, bits[i])))
            fail_msg("%s %04x becomes %08x, not %08x, %s", sw_dtype_name(type), bits[i], sw_f32_bits(wide[i]),
                     sw_f32_bits(load(type, bits[i])), sw_cpu_name());
}

/* Each pattern, the neighboring f32 numbers, the middle between it and the next pattern, and its neighbors; and random
 * bits. */
static void check_rounding(sw_dtype type) {
    enum { BESIDE = 7 };
    static float x[BESIDE * PATTERNS];
    static uint16_t got[BESIDE * PATTERNS];
    uint64_t seed = 3;
    const uint32_t half = type == SW_F16 ? 0x1000u : 0x8000u;
    for (unsigned i = 0; i < PATTERNS; i++) {
        const uint32_t u = sw_f32_bits(load(type, (uint16_t)i));
        const uint32_t near[BESIDE] = {
            u, u + 1, u - 1, u + half, u + half + 1, u + half - 1, (uint32_t)test_random(&seed)};
        for (int k = 0; k < BESIDE; k++)
            x[BESIDE * i + (unsigned)k] = sw_f32_from_bits(near[k]);
    }
    sw_vector_convert(SW_F32, BESIDE * PATTERNS, x, type, got);
    for (unsigned i = 0; i < BESIDE * PATTERNS; i++)
        if (got[i] != store(type, x[i]))
            fail_msg("f32 %08x becomes %s %04x, not %04x, %s", sw_f32_bits(x[i]), sw_dtype_name(type), got[i],
                     store(type, x[i]), sw_cpu_name());
}

static void test_bits_are_equal_on_every_level(void **state) {
    (void)state;
    for (int kernels = 0; use_kernels(kernels); kernels++)
        for (int flush = 0; flush < 2; flush++)
            for (int type = SW_F16; type <= SW_BF16; type++) {
                const unsigned mode = flush ? sw_subnormals_flush() : 0;
                check_patterns((sw_dtype)type);
                check_rounding((sw_dtype)type);
                if (flush)
                    sw_subnormals_restore(mode);
            }
}

/* To and from f64, and between the 16-bit types: one rounding. An f64 just beside the middle of two numbers would be
 * the middle if it were rounded to f32 first. */
static void check_other_types(sw_dtype type) {
    static uint16_t bits[PATTERNS], other_bits[PATTERNS], back[PATTERNS];
    static double wide[PATTERNS];
    const sw_dtype other = type == SW_F16 ? SW_BF16 : SW_F16;
    for (unsigned i = 0; i < PATTERNS; i++)
        bits[i] = (uint16_t)i;
    sw_vector_convert(type, PATTERNS, bits, other, other_bits);
    sw_vector_convert(type, PATTERNS, bits, SW_F64, wide);
    for (unsigned i = 0; i < PATTERNS; i++) {
        const float x = load(type, bits[i]);
        assert_int_equal(other_bits[i], store(other, x));
        assert_true(wide[i] == (double)x || (isnan(wide[i]) && isnan(x)));
    }
    for (unsigned i = 0; i + 1 < PATTERNS; i++)
        wide[i] = nextafter((wide[i] + wide[i + 1]) / 2, i % 2 ? (double)INFINITY : -(double)INFINITY);
    sw_vector_convert(SW_F64, PATTERNS, wide, type, back);
    for (unsigned i = 0; i < PATTERNS; i++) {
        uint16_t expected = 0;
        sw_store_element(type, &expected, 0, wide[i]);
        assert_int_equal(back[i], expected);
    }
}

static void test_other_pairs_of_types(void **state) {
    (void)state;
    for (int kernels = 0; use_kernels(kernels); kernels++) {
        check_other_types(SW_F16);
        check_other_types(SW_BF16);
    }
}

/* Every length up to several blocks, at every offset in a cache line; a NaN at each position, because blocks with a NaN
 * take another path. */
static void test_lengths_and_offsets(void **state) {
    (void)state;
    enum { MOST = 150, GUARD = 0x5A5A };
    for (int kernels = 0; use_kernels(kernels); kernels++)
        for (int type = SW_F16; type <= SW_BF16; type++)
            for (int n = 0; n < MOST; n++) {
                const int offset = n % 16;
                float x[MOST + 16], back[MOST + 17];
                uint16_t half[MOST + 17];
                for (int i = 0; i < MOST + 17; i++)
                    half[i] = GUARD, back[i] = GUARD;
                for (int i = 0; i < MOST + 16; i++)
                    x[i] = i == offset + n / 2 ? NAN : (float)(i * i) * (i % 2 ? 0.0371f : -1.9f);
                sw_vector_convert(SW_F32, n, x + offset, (sw_dtype)type, half + offset);
                sw_vector_convert((sw_dtype)type, n, half + offset, SW_F32, back + offset);
                for (int i = 0; i < MOST + 16; i++) {
                    const bool inside = i >= offset && i < offset + n;
                    const uint16_t expected = inside ? store((sw_dtype)type, x[i]) : GUARD;
                    assert_int_equal(half[i], expected);
                    assert_int_equal(sw_f32_bits(back[i]),
                                     sw_f32_bits(inside ? load((sw_dtype)type, expected) : (float)GUARD));
                }
            }
}

/* Aligned and not, so that both kinds of stores are used. */
static void test_long_vectors(void **state) {
    (void)state;
    uint16_t *half = aligned_alloc(64, (LONG + 64) * sizeof *half);
    float *x = aligned_alloc(64, (LONG + 64) * sizeof *x);
    assert_true(half && x);
    for (int kernels = 0; use_kernels(kernels); kernels++)
        for (int type = SW_F16; type <= SW_BF16; type++)
            for (int offset = 0; offset < 2; offset++) {
                for (int i = 0; i < LONG; i++)
                    x[i] = (float)(i % 100003) * (i % 2 ? 0.0371f : -1.9f);
                sw_vector_convert(SW_F32, LONG - 3, x, (sw_dtype)type, half + offset);
                for (int i = 0; i < LONG - 3; i += i < 9000 ? 1 : 61)
                    assert_int_equal(half[i + offset], store((sw_dtype)type, x[i]));
                sw_vector_convert((sw_dtype)type, LONG - 3, half + offset, SW_F32, x + offset);
                for (int i = 0; i < LONG - 3; i += i < 9000 ? 1 : 61)
                    assert_int_equal(sw_f32_bits(x[i + offset]), sw_f32_bits(load((sw_dtype)type, half[i + offset])));
                assert_int_equal(half[LONG - 4 + offset], store((sw_dtype)type, x[LONG - 4 + offset]));
            }
    free(half), free(x);
}

/* Norms and checks for Inf and NaN of 16-bit vectors have the bits of those of the same numbers in f32, on every level,
 * for every number of threads. */
static void test_norms_are_those_of_f32(void **state) {
    (void)state;
    enum { MOST = 20011 };
    static const int64_t lengths[] = {0, 1, 31, 32, 33, 64, 100, SW_TILE - 1, SW_TILE, SW_TILE + 1, MOST};
    static uint16_t x[MOST];
    static float wide[MOST];
    for (int index = 0; use_kernels(index); index++)
        for (int k = 0; k < 2; k++)
            for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
                for (int threads = 1; threads <= 4; threads += 3) {
                    const sw_dtype type = k ? SW_BF16 : SW_F16;
                    const int64_t n = lengths[i];
                    double norm[2], two[2];
                    uint64_t seed = 7;
                    for (int64_t j = 0; j < n; j++) {
                        x[j] = store(type, (float)test_uniform(&seed, -3, 3));
                        wide[j] = load(type, x[j]);
                    }
                    assert_int_equal(sw_set_threads(threads), SW_OK);
                    assert_int_equal(sw_vector_norm(type, n, x, &norm[0]), SW_OK);
                    assert_int_equal(sw_vector_norm(SW_F32, n, wide, &norm[1]), SW_OK);
                    sw_vector_two_norms(type, n, x, x, two);
                    assert_true(norm[0] == norm[1] && two[0] == norm[1] && two[1] == norm[1]);
                    if (n == 0)
                        continue;
                    x[n / 2] = store(type, i % 2 ? INFINITY : NAN);
                    assert_int_equal(sw_vector_norm(type, n, x, &norm[0]), SW_SKIPPED);
                }
    assert_int_equal(sw_set_threads(1), SW_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_nan_is_kept),
                                       cmocka_unit_test(test_bits_are_equal_on_every_level),
                                       cmocka_unit_test(test_other_pairs_of_types),
                                       cmocka_unit_test(test_lengths_and_offsets),
                                       cmocka_unit_test(test_norms_are_those_of_f32),
                                       cmocka_unit_test(test_long_vectors)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
