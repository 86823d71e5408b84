/* Schedules: an option over time. */
#ifndef SWALE_SCHEDULE_H
#define SWALE_SCHEDULE_H

#include <swale/method.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What all schedules take, in steps. */
typedef struct sw_schedule_common {
    double warmup, over;
} sw_schedule_common;

/* Multiplies an option of a rule, of kind REAL (on=NAME, default lr). All take warmup=DURATION: a linear rise
 * from 1/warmup to 1 first; and over=DURATION: its length after that, where it is not the rest of the run
 * ("cosine over=50%"). */
typedef struct sw_schedule {
    size_t size; /* sizeof(sw_schedule) */
    const char *name, *summary, *source;
    const sw_option *options;
    /* At step t from 0, counted from the end of the warm-up, of `total` after it (0: not known). t may
     * reach total and more. The common options follow the schedule's own: sw_schedule_common at
     * option + SW_FIELDS(own). */
    double (*factor)(const double *option, double t, double total);
    bool needs_total;
} sw_schedule;

/* Adds a schedule, and lists all: see Registration in method.h. */
SW_API sw_status sw_schedule_register(const sw_schedule *schedule);
SW_API const sw_schedule *sw_schedule_at(int index);

#ifdef __cplusplus
}
#endif
#endif
