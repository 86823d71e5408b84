/* Schedules multiply an option of a rule by a factor that depends on the step. */
#ifndef SWALE_SCHEDULE_H
#define SWALE_SCHEDULE_H

#include <swale/method.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The options that all schedules have, in steps. */
typedef struct sw_schedule_common {
    double warmup, over;
} sw_schedule_common;

/* A schedule multiplies an option of kind REAL of a rule (on=NAME, default lr). All schedules accept warmup=DURATION,
 * an initial linear rise from 1/warmup to 1, and over=DURATION, the length after the warm-up if it is not the rest of
 * the run ("cosine over=50%"). */
typedef struct sw_schedule {
    size_t size; /* sizeof(sw_schedule) */
    const char *name, *summary, *source;
    const sw_option *options;
    /* Returns the factor at step t, which is 0 at the end of the warm-up; `total` is the number of steps after the
     * warm-up (0: not known). t may be equal to or larger than `total`. `option` contains the options of the schedule's
     * table, followed by an sw_schedule_common. */
    double (*factor)(const double *option, double t, double total);
    bool needs_total;
} sw_schedule;

/* Registers a schedule; returns one by index: see Registration in method.h. */
SW_API sw_status sw_schedule_register(const sw_schedule *schedule);
SW_API const sw_schedule *sw_schedule_at(int index);

#ifdef __cplusplus
}
#endif
#endif
