/* The divisor of the sum of the table of SAG and SAGA, which depends on the option init (gradient_table.h). */
#include "optim/estimators/gradient_table.h"

/* init=auto is kind->init_auto unless a first full pass is done. */
int swo_table_init(const sw_estimate *e) {
    const int init = (int)swo_table_options_of(e)->init;
    return init != FROM_AUTO                      ? init
           : swo_table_scalars_of(e)->filled != 0 ? FROM_FULL
                                                  : swo_table_kind_of(e)->init_auto;
}

bool swo_table_sgd(const sw_estimate *e) {
    return swo_table_options_of(e)->init == FROM_SGD && swo_table_scalars_of(e)->seen < swo_table_rows(e);
}

double swo_table_weight_seen(const sw_estimate *e, const swo_visit *v) {
    const swo_table_scalars *s = swo_table_scalars_of(e);
    return (double)s->samples_seen + s->excess_seen + (v->first ? v->weight : 0);
}

/* Until all rows have been seen, W is estimated as n times the mean weight of the samples seen; it is n if there are no
 * weights. */
double swo_table_whole(const sw_estimate *e, const swo_visit *v) {
    const swo_table_scalars *s = swo_table_scalars_of(e);
    if (s->filled != 0)
        return (double)e->n + s->excess;
    const double samples = (double)s->samples_seen + (v->first ? (double)v->samples : 0);
    return (double)e->n * (swo_table_weight_seen(e, v) / samples);
}

double swo_table_divisor(const sw_estimate *e, const swo_visit *v) {
    return swo_table_init(e) == FROM_SEEN ? swo_table_weight_seen(e, v) : swo_table_whole(e, v);
}

double swo_table_part(double weight, double whole) {
    return whole > 0 ? weight / whole : 0;
}
