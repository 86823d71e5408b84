/* Runs kernels over elements: selects the level for this processor, and divides the elements into tiles of a fixed
 * size. */
#include <swale/library.h>

#include "core/kernels/bf16_order.h"
#include "core/kernels/dispatch.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

/* The last two are level avx512 with the instructions for bf16, in vectors and in tiles. */
enum { CPU_BF16 = SW_LEVELS, CPU_AMX, CPU_NAMES };
static const char *const cpu_names[CPU_NAMES] = {"baseline", "avx2", "avx512", "avx512bf16", "amx"};
atomic_int swi_level = -1;
atomic_int swi_instructions;
static atomic_bool level_refused; /* SW_CPU has an invalid value */

int swi_cpu_best(void) {
    int best = 0;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        best = 1;
    if (best == 1 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        best = 2;
#endif
    return best;
}

int swi_cpu_instructions(void) {
    int found = 0;
#if defined(__x86_64__)
    const int best = swi_cpu_best();
    unsigned a, b, c, d;
    if (best >= 1 && __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C))
        found |= SWI_CPU_F16C;
    if (best >= 2 && __builtin_cpu_supports("avx512bf16"))
        found |= SWI_CPU_BF16;
    if (best >= 2 && __builtin_cpu_supports("avx512bf16") && swi_amx_found())
        found |= SWI_CPU_AMX;
#endif
    return found;
}

/* Whether the instructions for bf16 multiply faster than fused multiply-adds of f32. On AMD's Zen 4 they have twice the
 * speed, on Intel's Emerald Rapids half the speed (tests/bench/RESULTS.md). */
static bool bf16_is_fast(void) {
#if defined(__x86_64__)
    return __builtin_cpu_is("amd");
#else
    return false;
#endif
}

/* AMD's families 0x17 to 0x19 are Zen to Zen 4. */
static bool cpu_detect_prefetch(void) {
#if defined(__x86_64__)
    enum { ZEN = 0x17, ZEN_5 = 0x1A };
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d))
        return true;
    const unsigned family = (a >> 8 & 0xF) == 0xF ? 0xF + (a >> 20 & 0xFF) : a >> 8 & 0xF;
    return !(__builtin_cpu_is("amd") && family >= ZEN && family < ZEN_5);
#else
    return true;
#endif
}

bool sw_cpu_needs_prefetch(void) {
    static atomic_int known = -1; /* two simultaneous calls give the same result */
    int needs = atomic_load_explicit(&known, memory_order_relaxed);
    if (needs < 0) {
        needs = cpu_detect_prefetch();
        atomic_store_explicit(&known, needs, memory_order_relaxed);
    }
    return needs != 0;
}

static int level_detect(void) {
    const int best = swi_cpu_best();
    int instructions = swi_cpu_instructions(), level = best;
    const char *forced = getenv("SW_CPU");
    int chosen = forced && *forced ? 0 : CPU_NAMES;
    while (chosen < CPU_NAMES && strcmp(forced, cpu_names[chosen]) != 0)
        chosen++;
    if (chosen < best)
        level = chosen;
    if (chosen < CPU_BF16 || (chosen != CPU_BF16 && !bf16_is_fast()))
        instructions &= ~SWI_CPU_BF16;
    if (chosen < CPU_AMX)
        instructions &= ~SWI_CPU_AMX;
    if (chosen == CPU_NAMES && forced && *forced)
        atomic_store(&level_refused, true);
    atomic_store(&swi_instructions, instructions); /* before the level, so that no thread misses it */
    return level;
}

int sw_cpu_level(void) {
    int level = atomic_load_explicit(&swi_level, memory_order_acquire);
    if (level < 0) {
        level = level_detect(); /* two simultaneous calls give the same result */
        atomic_store_explicit(&swi_level, level, memory_order_release);
    }
    return level;
}

sw_status swi_check_level(void) {
    sw_cpu_level();
    if (!atomic_load_explicit(&level_refused, memory_order_relaxed))
        return SW_OK;
    const char *text = getenv("SW_CPU");
    return sw_fail(
        SW_ERR_ARGUMENT,
        "SW_CPU=%.40s: baseline, avx2, avx512, avx512bf16 or amx is needed; unset it for the best of this processor",
        text ? text : "");
}

const char *sw_cpu_name(void) {
    if (swi_cpu_has(SWI_CPU_AMX))
        return cpu_names[CPU_AMX];
    return cpu_names[swi_cpu_has(SWI_CPU_BF16) ? CPU_BF16 : swi_cpu_level()];
}

/* ---- Tiles ---- */

enum { SERIAL_TILES = 4, MAX_SUMS = 8, BLOCK_TILES = 64 };

typedef struct job {
    sw_kernel *kernel;
    void *args;
    int64_t n, grain, first; /* the elements; the elements of a tile; the number of the first tile */
    int width;
    double *partial;
} job;

static void kernel_run_tile(void *args, int64_t tile) {
    const job *j = args;
    int64_t begin = (j->first + tile) * j->grain, end = begin + j->grain;
    double *sums = NULL;
    if (j->partial) {
        sums = j->partial + tile * j->width;
        for (int i = 0; i < j->width; i++)
            sums[i] = 0;
    }
    j->kernel(j->args, begin, end < j->n ? end : j->n, sums);
}

/* It is separate, so that calls for a few elements do not make room for a job. */
static __attribute__((noinline)) void kernel_run_tiles(sw_kernel *kernel, void *args, int64_t n) {
    job j = {.kernel = kernel, .args = args, .n = n, .grain = SW_TILE};
    sw_parallel(kernel_run_tile, &j, (n + SW_TILE - 1) / SW_TILE);
}

void sw_kernel_run(const sw_kernels *kernels, sw_dtype type, void *args, int64_t n) {
    sw_kernel *const kernel = (*kernels)[type][swi_cpu_level()];
    if (n < SW_SERIAL)
        kernel(args, 0, n, NULL);
    else
        kernel_run_tiles(kernel, args, n);
}

static void kernel_run_sums(job j, int width, double *sums) {
    double partial[BLOCK_TILES * MAX_SUMS];
    int64_t tiles = (j.n + j.grain - 1) / j.grain;
    j.width = width;
    j.partial = partial;
    for (int i = 0; i < width; i++)
        sums[i] = 0;
    if (swi_dry_run())
        return;
    /* Tiles are processed in blocks, which limits the memory for partial sums. The partial sums are added in the order
     * of the tiles. */
    for (; j.first < tiles; j.first += BLOCK_TILES) {
        int64_t block = tiles - j.first < BLOCK_TILES ? tiles - j.first : BLOCK_TILES;
        if (block < SERIAL_TILES) {
            for (int64_t t = 0; t < block; t++)
                kernel_run_tile(&j, t);
        } else {
            sw_parallel(kernel_run_tile, &j, block);
        }
        for (int64_t t = 0; t < block; t++)
            for (int i = 0; i < width; i++)
                sums[i] += partial[t * width + i];
    }
}

void sw_kernel_run_sums(const sw_kernels *kernels, sw_dtype type, void *args, int64_t n, int width, double *sums) {
    job j = {.kernel = (*kernels)[type][swi_cpu_level()], .args = args, .n = n, .grain = SW_TILE};
    kernel_run_sums(j, width, sums);
}

void sw_kernel_run_rows(sw_kernel *kernel, void *args, int64_t rows, int64_t length, double *sum) {
    int64_t grain = length < 1 ? SW_TILE : length < SW_TILE ? SW_TILE / length : 1;
    if (swi_dry_run()) {
        if (sum)
            *sum = 0;
        return;
    }
    if (!sum && rows < SERIAL_TILES * grain) {
        kernel(args, 0, rows, NULL);
        return;
    }
    if (sum && rows <= grain) {
        *sum = 0;
        if (rows > 0)
            kernel(args, 0, rows, sum);
        return;
    }
    job j = {.kernel = kernel, .args = args, .n = rows, .grain = grain};
    if (sum)
        kernel_run_sums(j, 1, sum);
    else
        sw_parallel(kernel_run_tile, &j, (rows + grain - 1) / grain);
}
