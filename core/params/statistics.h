/* Statistics of batches that are pending in a gradient block, for the buffers. */
#ifndef SWALE_PARAMS_STATISTICS_H
#define SWALE_PARAMS_STATISTICS_H

#include <swale/params.h>

struct swi_statistics;
void swi_statistics_free(struct swi_statistics *statistics);

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

#endif
