/* Statistics of batches that are pending in a gradient block, for the buffers. */
#ifndef SWALE_PARAMS_STATISTICS_H
#define SWALE_PARAMS_STATISTICS_H

#include <swale/params.h>

struct swi_statistics;
void swi_statistics_free(struct swi_statistics *list);

/* One report: `weight` values were seen for each element. Of a mean, or of what is pooled like one, `variance` is NULL.
 * Else both are of one shape, `variance` that of the population. The arrays are f32 or f64, of the buffers' shapes. */
typedef struct swi_report {
    const char *who; /* for messages */
    sw_param *buffer, *variance;
    const sw_array *values, *variances;
    double weight, momentum;
    bool unbiased;
} swi_report;
/* Pools it with what is pending. After an error nothing of it is. */
sw_status swi_statistics_put(sw_gradient *g, const swi_report *report);

/* For sums in a tree: sets aside what is pending, so that nothing is; false: nothing was. Adds what is pending then to
 * what was set aside last, which is pending again. */
bool swi_statistics_set_aside(sw_gradient *g);
sw_status swi_statistics_add_to_aside(sw_gradient *g);

#endif
