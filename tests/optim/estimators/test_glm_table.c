/* A part of the table of SAG, SAGA and SVRG (glm_table.h), which `make check-variance-reduction` runs completely: every
 * method, batch and type with lr=auto, on one problem of each difficult kind. */
#include "glm_table.h"

typedef struct table_part {
    int loss, data;
} table_part;

static void run_cell(const table_cell *c, const table_oracle *o) {
    char name[128];
    const table_outcome out = table_run_cell(c, o);
    table_cell_name(c, name, sizeof name);
    if (out.failure[0])
        fail_msg("%s: %s", name, out.failure);
}

static void run_part(const table_part *part, int seed) {
    for (int type = 0; type < 2; type++) {
        table_oracle o = table_oracle_new(part->loss, part->data, type ? SW_F64 : SW_F32);
        for (int method = 0; method < TABLE_METHODS; method++)
            for (int batch = 0; batch < TABLE_BATCHES; batch++)
                if (table_batch_exists(method, batch))
                    run_cell(&(table_cell){.method = method,
                                           .batch = batch,
                                           .loss = part->loss,
                                           .data = part->data,
                                           .seed = seed,
                                           .type = type ? SW_F64 : SW_F32},
                             &o);
        table_oracle_free(&o);
    }
}

enum { LOGISTIC, SQUARED_HINGE, MULTINOMIAL, DIGITS, SQUARED, HUBER, POISSON }; /* in table_losses */

/* The runs reach the minimum in time. */
static void test_runs_reach_the_minimum_in_time(void **state) {
    (void)state;
    static const table_part parts[] = {{LOGISTIC, SCALED},         {MULTINOMIAL, SMALL}, {SQUARED, LARGE},
                                       {SQUARED_HINGE, SEPARABLE}, {HUBER, FLAT},        {POISSON, WEIGHTED}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        run_part(&parts[i], 2);
}

/* Cells of seed 1 also check that x stays there for 2000 epochs more, and that the tolerance ends a run. */
static void test_runs_stay_at_the_minimum_and_stop(void **state) {
    (void)state;
    static const table_part parts[] = {{MULTINOMIAL, SCALED}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        run_part(&parts[i], 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_runs_reach_the_minimum_in_time),
                                       cmocka_unit_test(test_runs_stay_at_the_minimum_and_stop)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
