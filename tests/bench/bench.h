/* Functions that the benchmarks share: a clock, medians, a measurement of the speed-up by a second thread, and output
 * lines "name value target ok|short". Lines that begin with # are notes. */
#ifndef SWALE_BENCH_H
#define SWALE_BENCH_H

#define _GNU_SOURCE
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

typedef enum bound { AT_MOST, AT_LEAST } bound;

static inline double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static inline int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static inline double median(double *values, int count) {
    qsort(values, (size_t)count, sizeof *values, compare_doubles);
    return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

static inline void figure(const char *name, double value, double target, bound which) {
    int ok = which == AT_MOST ? value <= target : value >= target;
    printf("%-28s %8.3f %s%-6g %s\n", name, value, which == AT_MOST ? "<=" : ">=", target, ok ? "ok" : "short");
    fflush(stdout);
}

/* Prints a figure that this machine is not able to decide. */
static inline void report(const char *name, double value) {
    printf("%-28s %8.3f %-8s %s\n", name, value, "-", "reported");
    fflush(stdout);
}

__attribute__((format(printf, 1, 2))) static inline void note(const char *format, ...) {
    va_list list;
    va_start(list, format);
    printf("# ");
    vprintf(format, list);
    printf("\n");
    va_end(list);
    fflush(stdout);
}

/* Waits until threads that spin after their work (those of OpenBLAS do, for up to 90 ms) are asleep, so that they do
 * not use a processor while the other side is measured. */
static inline void settle(void) {
    struct timespec t = {0, 150 * 1000 * 1000};
    nanosleep(&t, NULL);
}

/* The speed-up of pure arithmetic by a second thread: 2.0 on two real cores, near 1.0 on two hyperthreads of one core.
 * Takes about 2 ms. */
static inline void *fma_work(void *arg) {
    float lane[16] = {0};
    for (long i = 0; i < 150000; i++)
        for (int j = 0; j < 16; j++)
            lane[j] = lane[j] * 0.999f + 1.0f;
    float sum = 0;
    for (int j = 0; j < 16; j++)
        sum += lane[j];
    *(volatile float *)arg = sum;
    return NULL;
}

static inline double fma_scaling(void) {
    float sink[64];
    double one = 1e9, two = 1e9;
    for (int r = 0; r < 3; r++) {
        pthread_t other;
        double start = now();
        fma_work(&sink[0]);
        double middle = now();
        pthread_create(&other, NULL, fma_work, &sink[32]);
        fma_work(&sink[0]);
        pthread_join(other, NULL);
        double end = now();
        one = middle - start < one ? middle - start : one;
        two = end - middle < two ? end - middle : two;
    }
    return 2 * one / two;
}

#endif
