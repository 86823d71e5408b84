/* The addresses of the rows in the table of SAG and SAGA (gradient_table.h). */
#include "optim/estimators/gradient_table.h"

void *swo_table_entry(const sw_estimate *e, int64_t row) {
    const int64_t at = swo_table_is_glm(e) ? row * swo_table_batch(e) * e->objective->outputs : row * e->dim;
    return (char *)swo_table_slots_of(e)->table + (size_t)at * sw_dtype_size(e->type);
}

int64_t swo_table_entry_count(const sw_estimate *e, int64_t samples) {
    return swo_table_is_glm(e) ? samples * e->objective->outputs : e->dim;
}
