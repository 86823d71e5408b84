/* Statistics of batches that are pending in a gradient block, for the buffers. */
#ifndef SWALE_PARAMS_STATISTICS_H
#define SWALE_PARAMS_STATISTICS_H

#include <swale/params.h>

struct swi_statistics;
void swi_statistics_free(struct swi_statistics *list);

/* One report of statistics that were computed from `weight` values for each element: a mean alone (`variance` is NULL),
 * or a mean with the variance of the population, in two buffers of the same shape. The arrays are f32 or f64, of the
 * buffers' shapes. */
typedef struct swi_report {
    const char *who; /* for messages */
    sw_param *buffer, *variance;
    const sw_array *values, *variances;
    double weight, momentum;
    bool unbiased;
} swi_report;
/* Pools the report with the pending ones. After an error the pending ones have not changed. */
sw_status swi_statistics_put(sw_gradient *g, const swi_report *report);

/* For sums in a tree. swi_statistics_set_aside sets the pending statistics aside, so that none are pending; it returns
 * false if there were none. swi_statistics_add_to_aside adds the statistics that are pending then to those that were
 * set aside last, and the sum is pending afterwards. */
bool swi_statistics_set_aside(sw_gradient *g);
sw_status swi_statistics_add_to_aside(sw_gradient *g);

#endif
