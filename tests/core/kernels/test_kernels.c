/* Kernels: the same bits from baseline, AVX2 and AVX-512 code for every operation, and the
 * functions of kernel_math.h against libm. Also an example of a kernel file outside the library. */
#define _GNU_SOURCE
#include <swale/kernel.h>

#if SW_KERNEL_FIRST
typedef struct map_args {
    const void *x;
    void *y;
} map_args;
#endif

#if SW_KERNEL_PASS

#define MAP(name)                                                                        \
    static void SW_K(map_##name)(void *args, int64_t begin, int64_t end, double *sums) { \
        const map_args *s = args;                                                        \
        const real *restrict x = s->x;                                                   \
        real *restrict y = s->y;                                                         \
        (void)sums;                                                                      \
        for (int64_t i = begin; i < end; i++)                                            \
            y[i] = SW_K(sw_k_##name)(x[i]);                                              \
    }
MAP(exp)
MAP(expm1_negative)
MAP(tanh)
MAP(sigmoid)
MAP(log)
MAP(log1p)
MAP(log_any)
MAP(softplus)
MAP(sin)
MAP(cos)
MAP(erf)
MAP(normal)
MAP(log1p_any)
MAP(expm1)
MAP(round)
MAP(floor)
MAP(ceil)
#undef MAP

#else /* ---- once ---- */

#include "support.h"

#include "core/ops/op_table.h"

#include <float.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- The functions against libm ---- */

static long double sigmoidl(long double x) {
    return x < 0 ? expl(x) / (1 + expl(x)) : 1 / (1 + expl(-x));
}
static double sigmoid(double x) {
    return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x));
}

static long double softplusl(long double x) {
    return x > 0 ? x + log1pl(expl(-x)) : log1pl(expl(x));
}
static double softplus(double x) {
    return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
}
static long double normall(long double x) {
    return erfcl(-x / sqrtl(2)) / 2;
}
static double normal(double x) {
    return erfc(-x / sqrt(2)) / 2;
}

/* Errors in units in the last place of the exact result. `bound` is asserted; `measured`, what was
 * found on all levels with gcc 12 and clang 14, is for the reader (and for kernel_math.h). */
typedef struct function {
    const char *name;
    sw_kernels kernels;
    long double (*exact)(long double);
    double (*fast)(double); /* for f32, where an error of 2^-53 is nothing */
    struct {
        double low, high; /* the range: of magnitudes where `sign` is not 0 */
        int sign;         /* 0: both */
        double bound, measured;
    } of[2];
} function;

/* clang-format off */
static const function functions[] = {
    {"exp", SW_KERNEL_TABLE(map_exp), expl, exp,
     {{0x1p-30, 104, 0, 1.05, 0.998}, {0x1p-60, 746, 0, 1.05, 1.000}}},
    {"expm1_negative", SW_KERNEL_TABLE(map_expm1_negative), expm1l, expm1,
     {{0x1p-126, 104, -1, 1, 0.874}, {0x1p-1022, 746, -1, 1.2, 1.102}}},
    {"tanh", SW_KERNEL_TABLE(map_tanh), tanhl, tanh,
     {{0x1p-126, 100, 0, 2.6, 2.488}, {0x1p-1022, 700, 0, 2.6, 2.493}}},
    {"sigmoid", SW_KERNEL_TABLE(map_sigmoid), sigmoidl, sigmoid,
     {{0x1p-30, 104, 0, 2.4, 2.277}, {0x1p-60, 740, 0, 2.4, 2.239}}},
    {"log", SW_KERNEL_TABLE(map_log), logl, log,
     {{0x1p-126, 3.4e38, 1, 0.9, 0.872}, {0x1p-1022, 1.79e308, 1, 0.9, 0.861}}},
    {"log1p", SW_KERNEL_TABLE(map_log1p), log1pl, log1p,
     {{0x1p-126, 1, 1, 1.35, 1.291}, {0x1p-1022, 1, 1, 1.35, 1.269}}},
    {"log_any", SW_KERNEL_TABLE(map_log_any), logl, log,
     {{0x1p-149, 3.4e38, 1, 1.1, 1.006}, {0x1p-1074, 1.79e308, 1, 0.9, 0.861}}},
    {"softplus", SW_KERNEL_TABLE(map_softplus), softplusl, softplus,
     {{0x1p-30, 80, 0, 2, 1.879}, {0x1p-60, 600, 0, 2, 1.940}}},
    /* Near the zeros of sin and cos the ulp is as small as the distance to them: to 100 only. */
    {"sin", SW_KERNEL_TABLE(map_sin), sinl, sin,
     {{0x1p-126, 100, 0, 0.51, 0.500}, {0x1p-60, 100, 0, 1.5, 1.433}}},
    {"cos", SW_KERNEL_TABLE(map_cos), cosl, cos,
     {{0x1p-30, 100, 0, 0.51, 0.500}, {0x1p-60, 100, 0, 1.5, 1.404}}},
    {"erf", SW_KERNEL_TABLE(map_erf), erfl, erf,
     {{0x1p-100, 8, 0, 2.1, 2.009}, {0x1p-900, 8, 0, 2.1, 2.040}}},
    {"normal", SW_KERNEL_TABLE(map_normal), normall, normal,
     {{0x1p-30, 12, 0, 6.6, 6.313}, {0x1p-60, 36, 0, 5.6, 5.297}}},
    {"log1p_any", SW_KERNEL_TABLE(map_log1p_any), log1pl, log1p,
     {{0x1p-149, 3.4e38, 1, 1.35, 1.303}, {0x1p-1074, 1.79e308, 1, 1.35, 1.054}}},
    {"log1p_any below 0", SW_KERNEL_TABLE(map_log1p_any), log1pl, log1p,
     {{0x1p-149, 0.99999994, -1, 1.5, 1.438}, {0x1p-1074, 0.99999999999999989, -1, 1.5, 1.432}}},
    {"expm1", SW_KERNEL_TABLE(map_expm1), expm1l, expm1,
     {{0x1p-149, 104, 0, 1.9, 1.734}, {0x1p-1074, 746, 0, 1.9, 1.852}}},
    {"round", SW_KERNEL_TABLE(map_round), nearbyintl, nearbyint,
     {{0x1p-149, 3.4e38, 0, 0, 0}, {0x1p-1074, 1.79e308, 0, 0, 0}}},
    {"floor", SW_KERNEL_TABLE(map_floor), floorl, floor,
     {{0x1p-149, 3.4e38, 0, 0, 0}, {0x1p-1074, 1.79e308, 0, 0, 0}}},
    {"ceil", SW_KERNEL_TABLE(map_ceil), ceill, ceil,
     {{0x1p-149, 3.4e38, 0, 0, 0}, {0x1p-1074, 1.79e308, 0, 0, 0}}},
};
/* clang-format on */
enum { FUNCTIONS = sizeof functions / sizeof *functions, POINTS = 4096 };

static double ulp(sw_dtype type, long double exact) {
    int exponent;
    frexpl(exact, &exponent);
    int least = type == SW_F32 ? -148 : -1073, digits = type == SW_F32 ? 24 : 53;
    if (exponent - digits < least - 1)
        exponent = least - 1 + digits;
    return ldexp(1, exponent - digits);
}

typedef struct sweep {
    const function *f;
    sw_dtype type;
    int points;
    float x32[POINTS], y32[SW_LEVELS][POINTS];
    double x64[POINTS], y64[SW_LEVELS][POINTS];
    double worst, where;
} sweep;

/* Runs all levels of this processor on the points so far: equal bits, and the error of one. */
static void flush(sweep *s) {
    bool narrow = s->type == SW_F32;
    size_t bytes = (size_t)s->points * (narrow ? sizeof(float) : sizeof(double));
    for (int level = 0; level <= sw_cpu_level(); level++) {
        map_args args = {narrow ? (void *)s->x32 : (void *)s->x64,
                         narrow ? (void *)s->y32[level] : (void *)s->y64[level]};
        s->f->kernels[s->type][level](&args, 0, s->points, NULL);
        const void *first = narrow ? (void *)s->y32[0] : (void *)s->y64[0];
        if (memcmp(first, args.y, bytes) != 0)
            fail_msg("%s, %s: other bits on level %d", s->f->name, sw_dtype_name(s->type), level);
    }
    for (int i = 0; i < s->points; i++) {
        double x = narrow ? (double)s->x32[i] : s->x64[i];
        double y = narrow ? (double)s->y32[0][i] : s->y64[0][i];
        long double exact = narrow ? (long double)s->f->fast(x) : s->f->exact((long double)x);
        long double limit = narrow ? (long double)FLT_MAX : (long double)DBL_MAX;
        double error;
        /* The error of an exact result, correctly rounded, is at most 0.5, and 0 if the type can hold it. */
        if (y == (double)exact || (narrow && s->worst >= 0.5 && y == (double)(float)exact))
            continue;
        if (isinf(y)) /* right where the exact result rounds to ∞ or is within an ulp of it */
            error = fabsl(exact) >= limit - (long double)ulp(s->type, limit) ? 0 : (double)INFINITY;
        else
            error = (double)fabsl((long double)y - exact) / ulp(s->type, exact);
        if (!(error <= s->worst)) {
            s->worst = error;
            s->where = x;
        }
    }
    s->points = 0;
}

static void point(sweep *s, double x) {
    if (s->type == SW_F32)
        s->x32[s->points++] = (float)x;
    else
        s->x64[s->points++] = x;
    if (s->points == POINTS)
        flush(s);
}

static void run_sweep(const function *f, sw_dtype type, double *worst, double *where) {
    static sweep s;
    memset(&s, 0, sizeof s);
    s.f = f;
    s.type = type;
    double low = f->of[type].low, high = f->of[type].high;
    int sign = f->of[type].sign;
    if (type == SW_F32) { /* every 97th float */
        float from = (float)low, to = (float)high;
        uint32_t first, last;
        memcpy(&first, &from, sizeof first);
        memcpy(&last, &to, sizeof last);
        for (uint32_t bits = first; bits <= last; bits += 97) {
            float x;
            memcpy(&x, &bits, sizeof x);
            if (sign >= 0)
                point(&s, (double)x);
            if (sign <= 0)
                point(&s, (double)-x);
        }
    } else { /* half of them spread over the binades, half over the numbers near 1 */
        uint64_t seed = 1;
        for (int i = 0; i < 400000; i++) {
            double whole = log2(high) - log2(low), span = i % 2 ? whole : fmin(whole, 14);
            double x = exp2(log2(high) - span * test_uniform(&seed, 0, 1));
            if (f->exact == logl && i % 2 == 0)
                x = exp2(test_uniform(&seed, -1.5, 1.5));
            x = x > high ? high : x < low ? low : x;
            if (sign >= 0)
                point(&s, x);
            if (sign <= 0)
                point(&s, -x);
        }
    }
    flush(&s);
    *worst = s.worst;
    *where = s.where;
    if (!(s.worst <= f->of[type].bound))
        fail_msg("%s, %s: %.3f ulp at %.17g", f->name, sw_dtype_name(type), s.worst, s.where);
}

static void test_functions_are_within_their_ulp(void **state) {
    (void)state;
    for (int i = 0; i < FUNCTIONS; i++)
        for (int type = SW_F32; type <= SW_F64; type++) {
            double worst, where;
            run_sweep(&functions[i], (sw_dtype)type, &worst, &where);
            if (getenv("TEST_VERBOSE"))
                printf("%-16s %s %.4f ulp at %.17g\n", functions[i].name, sw_dtype_name((sw_dtype)type), worst, where);
        }
}

/* One value through a function on every level. */
static double at(int function_index, sw_dtype type, double x) {
    double result = 0;
    for (int level = 0; level <= sw_cpu_level(); level++) {
        float x32 = (float)x, y32;
        double y64;
        map_args args = {type == SW_F32 ? (void *)&x32 : (void *)&x, type == SW_F32 ? (void *)&y32 : (void *)&y64};
        functions[function_index].kernels[type][level](&args, 0, 1, NULL);
        double y = type == SW_F32 ? (double)y32 : y64;
        if (level)
            assert_true(y == result || (isnan(y) && isnan(result)));
        result = y;
    }
    return result;
}

enum { EXP, EXPM1_NEGATIVE, TANH, SIGMOID, LOG, LOG1P, LOG1P_ANY = 12, EXPM1 = 14, ROUND, FLOOR, CEIL };

static void test_functions_of_special_values_are_exact(void **state) {
    (void)state;
    for (int t = SW_F32; t <= SW_F64; t++) {
        sw_dtype type = (sw_dtype)t;
        const double infinity = (double)INFINITY, tiny = t == SW_F32 ? 0x1p-149 : 0x1p-1074, subnormal = 5 * tiny,
                     overflow = t == SW_F32 ? 88.73 : 709.79, fits = t == SW_F32 ? 88.72 : 709.78,
                     vanishes = t == SW_F32 ? -103.98 : -745.14, least = t == SW_F32 ? -103.27 : -744.44;
        for (int f = 0; f < FUNCTIONS; f++)
            assert_true(isnan(at(f, type, (double)NAN)));
        assert_true(at(EXP, type, 0) == 1 && at(EXP, type, -0.0) == 1);
        assert_true(at(EXP, type, infinity) == infinity && at(EXP, type, -infinity) == 0);
        assert_true(at(EXP, type, subnormal) == 1 && at(EXP, type, -subnormal) == 1);
        assert_true(at(EXP, type, overflow) == infinity && isfinite(at(EXP, type, fits)));
        assert_true(at(EXP, type, 1e30) == infinity && at(EXP, type, -1e30) == 0);
        assert_true(at(EXP, type, least) == tiny && at(EXP, type, vanishes) == 0);
        assert_true(at(EXPM1_NEGATIVE, type, 0) == 0 && at(EXPM1_NEGATIVE, type, -0.0) == 0);
        assert_true(at(EXPM1_NEGATIVE, type, -infinity) == -1 && at(EXPM1_NEGATIVE, type, -1e30) == -1);
        assert_true(at(EXPM1_NEGATIVE, type, -subnormal) == -subnormal);
        assert_true(at(TANH, type, infinity) == 1 && at(TANH, type, -infinity) == -1);
        assert_true(at(TANH, type, 0) == 0 && at(TANH, type, -0.0) == 0);
        assert_true(!signbit(at(TANH, type, 0))); /* tanh 0 is not -0 */
        assert_true(at(TANH, type, subnormal) == subnormal);
        assert_true(at(TANH, type, -subnormal) == -subnormal);
        assert_true(at(TANH, type, 1e30) == 1 && at(TANH, type, -1e30) == -1);
        assert_true(at(SIGMOID, type, 0) == 0.5 && at(SIGMOID, type, -0.0) == 0.5);
        assert_true(at(SIGMOID, type, infinity) == 1 && at(SIGMOID, type, -infinity) == 0);
        assert_true(at(SIGMOID, type, 1e30) == 1 && at(SIGMOID, type, -1e30) == 0);
        assert_true(at(LOG, type, 1) == 0);
        assert_true(at(LOG1P, type, 0) == 0 && at(LOG1P, type, subnormal) == subnormal);
    }
}

static bool same(double a, double b) {
    return a == b && signbit(a) == signbit(b);
}

static void test_log1p_and_expm1_of_special_values_are_exact(void **state) {
    (void)state;
    for (int t = SW_F32; t <= SW_F64; t++) {
        sw_dtype type = (sw_dtype)t;
        const double infinity = (double)INFINITY, subnormal = t == SW_F32 ? 0x1p-147 : 0x1p-1072,
                     largest = t == SW_F32 ? (double)FLT_MAX : DBL_MAX, overflow = t == SW_F32 ? 88.73 : 709.79,
                     fits = t == SW_F32 ? 88.72 : 709.78;
        for (int f = LOG1P_ANY; f <= EXPM1; f += EXPM1 - LOG1P_ANY) {
            assert_true(same(at(f, type, 0), 0) && same(at(f, type, -0.0), -0.0));
            assert_true(at(f, type, subnormal) == subnormal && at(f, type, -subnormal) == -subnormal);
            assert_true(at(f, type, infinity) == infinity);
        }
        assert_true(at(LOG1P_ANY, type, -1) == -infinity);
        assert_true(isnan(at(LOG1P_ANY, type, -1.5)) && isnan(at(LOG1P_ANY, type, -infinity)));
        assert_true(isfinite(at(LOG1P_ANY, type, largest)));
        assert_true(at(EXPM1, type, -infinity) == -1 && at(EXPM1, type, -1e30) == -1);
        assert_true(at(EXPM1, type, overflow) == infinity && at(EXPM1, type, 1e30) == infinity);
        assert_true(isfinite(at(EXPM1, type, fits)));
    }
}

/* Numbers in the middle of two integers, numbers around the limit from which all are integers, zeros and infinities:
 * the numbers of libm, with their signs. */
static void test_rounding_to_integers_is_exact(void **state) {
    (void)state;
    static const double magnitude[] = {0,
                                       0.3,
                                       0.5,
                                       0.75,
                                       1,
                                       1.5,
                                       2.5,
                                       3.5,
                                       4194303.5,
                                       4194304.5,
                                       8388606.5,
                                       8388607.5,
                                       8388608,
                                       8388609,
                                       16777217,
                                       0x1p51,
                                       0x1p51 + 0.5,
                                       0x1p52 - 0.5,
                                       0x1p52 + 1,
                                       0x1p-1074,
                                       1e300,
                                       (double)INFINITY};
    for (size_t i = 0; i < sizeof magnitude / sizeof *magnitude; i++)
        for (int t = SW_F32; t <= SW_F64; t++)
            for (int sign = -1; sign <= 1; sign += 2) {
                sw_dtype type = (sw_dtype)t;
                const double x = sign * (type == SW_F32 ? (double)(float)magnitude[i] : magnitude[i]);
                assert_true(same(at(ROUND, type, x), nearbyint(x)));
                assert_true(same(at(FLOOR, type, x), floor(x)));
                assert_true(same(at(CEIL, type, x), ceil(x)));
            }
}

/* ---- Equal bits on every level: this program runs itself under SW_CPU ---- */

/* All cases of an entry; every fifth number is moved far from 0 or near it. */
static uint64_t hash_op(const op_entry *op, sw_dtype type) {
    sw_tape *tape = sw_tape_new();
    uint64_t hash = TEST_HASH;
    op_case c = {.op = op};
    for (int large = 0; large < 2; large++) {
        const char *at = large ? (op->big ? op->big : "") : op->shapes;
        while (op_next(&at, type, &c)) {
            for (int k = 0; k < op->inputs; k++)
                if (op->kinds[k] == REAL || op->kinds[k] == AWAY)
                    for (int64_t i = 0, n = sw_array_count(&c.in[k]); i < n; i += 5)
                        test_set(&c.in[k], i, test_get(&c.in[k], i) * (i % 2 ? 20 : 1e-3));
            uint64_t part = op_hash(&c, tape);
            hash = test_hash(hash, &part, sizeof part);
            op_free(&c);
        }
    }
    sw_tape_free(tape);
    return hash;
}

enum { MOST_OPS = 1000 };

static int print_hashes(void) {
    printf("%s\n", sw_cpu_name());
    for (int o = 0; op_at(o); o++)
        for (int type = SW_F32; type <= SW_F64; type++)
            printf("%016llx\n", (unsigned long long)hash_op(op_at(o), (sw_dtype)type));
    return sw_error() != NULL;
}

typedef struct report {
    char name[32];
    int count;
    unsigned long long hash[MOST_OPS];
} report;

static void run_self(const char *level, report *r) {
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        setenv("SW_CPU", level, 1);
        execl("/proc/self/exe", "test_kernels", "hashes", (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    FILE *in = fdopen(ends[0], "r");
    assert_non_null(in);
    assert_int_equal(fscanf(in, "%31s", r->name), 1);
    while (r->count < MOST_OPS && fscanf(in, "%llx", &r->hash[r->count]) == 1)
        r->count++;
    assert_in_range(r->count, 80, MOST_OPS - 1);
    fclose(in);
    int result;
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_true(WIFEXITED(result) && WEXITSTATUS(result) == 0);
}

static void test_every_level_has_the_same_bits(void **state) {
    (void)state;
    static const char *const levels[SW_LEVELS] = {"baseline", "avx2", "avx512"};
    static report reports[SW_LEVELS + 1];
    for (int level = 0; level < SW_LEVELS; level++) {
        run_self(levels[level], &reports[level]);
        /* A level that the processor lacks is not forced on it. */
        int used = level < sw_cpu_level() ? level : sw_cpu_level();
        assert_string_equal(reports[level].name, levels[used]);
    }
    run_self("", &reports[SW_LEVELS]); /* as if it were not set */
    assert_string_equal(reports[SW_LEVELS].name, sw_cpu_name());
    for (int i = 0; i < reports[0].count; i++) {
        const unsigned flags = (unsigned)op_at(i / 2)->flags;
        const int first = flags & FUSED ? 1 : 0; /* baseline has no fused multiply-add */
        const bool large = flags & LARGE && i % 2 == 0;
        for (int level = first + 1; level <= SW_LEVELS && sw_cpu_level() >= first; level++) {
            const int used = level < sw_cpu_level() ? level : sw_cpu_level();
            const int equal = large && used == SW_LEVELS - 1 ? used : first; /* avx512 may have other bits */
            if (reports[level].hash[i] != reports[equal].hash[i])
                fail_msg("%s, %s: other bits on %s", op_at(i / 2)->label, i % 2 ? "f64" : "f32", reports[level].name);
        }
        /* The hashes see what is computed; whole-number results are few and the same in both types. */
        for (int k = 0; k < i && !(op_at(i / 2)->flags & NO_GRADIENT); k++)
            assert_true(reports[0].hash[k] != reports[0].hash[i]);
    }
}

int main(int count, char **arguments) {
    if (count == 2 && strcmp(arguments[1], "hashes") == 0)
        return print_hashes();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_functions_are_within_their_ulp, test_clear),
        cmocka_unit_test_setup(test_functions_of_special_values_are_exact, test_clear),
        cmocka_unit_test_setup(test_log1p_and_expm1_of_special_values_are_exact, test_clear),
        cmocka_unit_test_setup(test_rounding_to_integers_is_exact, test_clear),
        cmocka_unit_test_setup(test_every_level_has_the_same_bits, test_clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
