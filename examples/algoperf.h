/* The rules by which AlgoPerf (Dahl et al., 2023; Kasimbeg et al., ICLR 2025) turns training times into scores, as the
 * scoring program of its leaderboard applies them. Not part of the library.
 *
 *   1. A study tunes a method on a workload: of its trials, the one counts that needed the fewest evaluations to reach
 *      the target (the first of several), and its seconds are the study's time. No trial at the target: infinite.
 *   2. The time of a method on a workload is the median over its studies; NaN if there is no study.
 *   3. A workload may have a held-out variant. Unsolved workloads make the variant's time infinite. Then every time
 *      above 4 times the fastest of its workload, or of its variant, becomes infinite. Then a variant that is not
 *      solved makes the time of its workload infinite.
 *   4. The ratio of a method on a workload is its time divided by the fastest time that is left. The profile rho(tau)
 *      is the fraction of all workloads whose ratio is at most tau.
 *   5. The score is the area below the profile from 1 to 4, divided by 3, by the trapezoid rule with 100 points. The
 *      exact area is the mean of (4 - ratio)/3 over the workloads. */
#ifndef SWALE_EXAMPLES_ALGOPERF_H
#define SWALE_EXAMPLES_ALGOPERF_H

#include <swale/extend.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ALGOPERF_MOST = 64 /* submissions, workloads and their variants, studies of a cell */, ALGOPERF_POINTS = 100 };
static const double ALGOPERF_LIMIT = 4; /* the largest ratio that counts */

typedef struct algoperf_trial {
    int submission, workload;
    int64_t study;
    double
        evaluations; /* until the target was reached, or another number that orders the trials of a study; inf: never */
    double seconds;  /* until the target was reached; inf: never */
} algoperf_trial;

typedef struct algoperf {
    int submissions, workloads;
    const char *submission[ALGOPERF_MOST], *workload[ALGOPERF_MOST];
    int base[ALGOPERF_MOST];                    /* -1: a workload that counts; else the workload of a variant */
    double time[ALGOPERF_MOST][ALGOPERF_MOST];  /* [submission][workload]: the median; inf: not solved; NaN: no study */
    double ratio[ALGOPERF_MOST][ALGOPERF_MOST]; /* inf: not solved, too slow, or vetoed; variants: not set */
    bool vetoed[ALGOPERF_MOST][ALGOPERF_MOST];  /* only the variant of the workload was not solved */
    double grid[ALGOPERF_MOST];                 /* the score */
    double area[ALGOPERF_MOST];                 /* the exact area */
} algoperf;

/* ---- Times ---- */

static inline int algoperf_compare(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The median of count times, inf among them; sorts them. NaN without any. */
static inline double algoperf_median(double *time, int count) {
    if (count == 0)
        return NAN;
    qsort(time, (size_t)count, sizeof *time, algoperf_compare);
    return count % 2 ? time[count / 2] : (time[count / 2 - 1] + time[count / 2]) / 2;
}

/* The time of a submission on a workload. */
static inline double algoperf_cell(const algoperf_trial *trial, int64_t trials, int submission, int workload) {
    int64_t study[ALGOPERF_MOST];
    double fewest[ALGOPERF_MOST], time[ALGOPERF_MOST];
    int studies = 0;
    for (const algoperf_trial *t = trial; t < trial + trials; t++) {
        int i = 0;
        if (t->submission != submission || t->workload != workload)
            continue;
        while (i < studies && study[i] != t->study)
            i++;
        if (i == ALGOPERF_MOST) {
            sw_fail(SW_ERR_ARGUMENT, "a submission has more than %d studies of one workload", ALGOPERF_MOST);
            return NAN;
        }
        if (i == studies || t->evaluations < fewest[i])
            study[i] = t->study, fewest[i] = t->evaluations, time[i] = t->seconds;
        studies += i == studies;
    }
    return algoperf_median(time, studies);
}

static inline void algoperf_set_times(algoperf *a, const algoperf_trial *trial, int64_t trials) {
    for (int s = 0; s < a->submissions; s++)
        for (int w = 0; w < a->workloads; w++)
            a->time[s][w] = algoperf_cell(trial, trials, s, w);
}

/* ---- Ratios ---- */

static inline bool algoperf_is_solved(double time) {
    return time < INFINITY; /* false for NaN too */
}

/* The fastest time of a column of a->ratio; inf if there is none. */
static inline double algoperf_fastest(const algoperf *a, int workload) {
    double fastest = INFINITY;
    for (int s = 0; s < a->submissions; s++)
        fastest = a->ratio[s][workload] < fastest ? a->ratio[s][workload] : fastest;
    return fastest;
}

static inline void algoperf_set_ratios(algoperf *a) {
    memset(a->vetoed, 0, sizeof a->vetoed);
    memcpy(a->ratio, a->time, sizeof a->ratio);
    for (int s = 0; s < a->submissions; s++)
        for (int w = 0; w < a->workloads; w++)
            if (a->base[w] >= 0 && !algoperf_is_solved(a->ratio[s][a->base[w]]))
                a->ratio[s][w] = INFINITY;
    for (int w = 0; w < a->workloads; w++) {
        const double fastest = algoperf_fastest(a, w);
        for (int s = 0; s < a->submissions; s++)
            if (!(a->ratio[s][w] <= ALGOPERF_LIMIT * fastest))
                a->ratio[s][w] = INFINITY;
    }
    for (int s = 0; s < a->submissions; s++)
        for (int w = 0; w < a->workloads; w++)
            if (a->base[w] >= 0 && !algoperf_is_solved(a->ratio[s][w])) {
                a->vetoed[s][a->base[w]] = algoperf_is_solved(a->ratio[s][a->base[w]]);
                a->ratio[s][a->base[w]] = INFINITY;
            }
    for (int w = 0; w < a->workloads; w++) {
        const double fastest = algoperf_fastest(a, w);
        for (int s = 0; s < a->submissions; s++)
            a->ratio[s][w] = algoperf_is_solved(a->ratio[s][w]) ? a->ratio[s][w] / fastest : INFINITY;
    }
}

/* ---- Scores ---- */

/* The number of workloads that count. */
static inline int algoperf_bases(const algoperf *a) {
    int bases = 0;
    for (int w = 0; w < a->workloads; w++)
        bases += a->base[w] < 0;
    return bases;
}

/* rho(tau) of a submission. */
static inline double algoperf_profile(const algoperf *a, int submission, double tau) {
    int within = 0;
    for (int w = 0; w < a->workloads; w++)
        within += a->base[w] < 0 && a->ratio[submission][w] <= tau;
    return (double)within / algoperf_bases(a);
}

/* Computes ratios and scores from the times. */
static inline void algoperf_score(algoperf *a) {
    const double step = (ALGOPERF_LIMIT - 1) / (ALGOPERF_POINTS - 1);
    algoperf_set_ratios(a);
    for (int s = 0; s < a->submissions; s++) {
        a->grid[s] = a->area[s] = 0;
        for (int i = 0; i < ALGOPERF_POINTS; i++) {
            const double end = i == 0 || i == ALGOPERF_POINTS - 1 ? 0.5 : 1;
            const double tau = i == ALGOPERF_POINTS - 1 ? ALGOPERF_LIMIT : 1 + i * step;
            a->grid[s] += end * step * algoperf_profile(a, s, tau) / (ALGOPERF_LIMIT - 1);
        }
        for (int w = 0; w < a->workloads; w++)
            if (a->base[w] < 0 && a->ratio[s][w] <= ALGOPERF_LIMIT)
                a->area[s] += (ALGOPERF_LIMIT - a->ratio[s][w]) / (ALGOPERF_LIMIT - 1) / algoperf_bases(a);
    }
}

#endif
