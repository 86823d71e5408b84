/* SAG and SAGA over samples in memory, many steps in one loop (glm_loop.c). In f64 with dense rows every number is
 * computed as in single steps, so that the result does not depend on the lengths of the loops. */
#include "optim/estimators/gradient_table.h"
#include "optim/estimators/sum_tree.h"

#include <math.h>
#include <string.h>

typedef struct table_loop {
    swo_glm_loop loop;
    sw_estimate_run *run;
    int64_t rows, tests_every;
    uint64_t key;
    bool by_row;     /* the tree has an L for each row */
    int64_t next[2]; /* the indices in `order` of the next two draws; -1: not known */
} table_loop;

/* Draws the next row. If all draws are uniform, the two rows after it are prefetched; for a sparse row first the row,
 * and one step later its columns. */
static int64_t table_loop_draw(table_loop *r, int64_t *place) {
    const sw_estimate *e = r->loop.e;
    const int32_t *order = swo_table_slots_of(e)->order;
    const int64_t seen = swo_table_scalars_of(e)->seen;
    if (r->by_row || swo_table_sgd(e))
        return swo_table_draw(e, r->key, e->draws, place);
    const bool known = r->next[0] >= 0;
    const int64_t at = known ? r->next[0] : swo_table_uniform(e, r->key, e->draws);
    r->next[0] = known ? r->next[1] : swo_table_uniform(e, r->key, e->draws + 1);
    r->next[1] = swo_table_uniform(e, r->key, e->draws + 2);
    swo_glm_fetch(e->objective, order[r->next[1]] * r->loop.batch);
    __builtin_prefetch(swo_table_entry(e, order[r->next[1]]), 1);
    r->loop.visit.following = known ? order[r->next[0]] * r->loop.batch : -1;
    *place = at < seen ? -1 : at;
    return order[at];
}

static swo_visit table_loop_visit(table_loop *r, int64_t row, bool first) {
    sw_estimate *e = r->loop.e;
    swo_glm_visit *visit = &r->loop.visit;
    visit->first = r->loop.move.sample = row * r->loop.batch;
    visit->count = e->n - visit->first < r->loop.batch ? e->n - visit->first : r->loop.batch;
    visit->entry = swo_table_entry(e, row);
    const swo_visit v = {.row = row,
                         .samples = visit->count,
                         .weight = (double)visit->count,
                         .first = first,
                         .probability = r->by_row ? swo_table_probability(e, row, first) : 1 / (double)r->rows};
    visit->measure = swo_table_measures(e, first, e->step);
    visit->l = visit->measure ? swo_table_l_before(e, &v) : 0;
    swo_glm_visit_row(e->type, visit);
    return v;
}

/* y_r ← g_r; d was updated together with x */
static void table_loop_commit(table_loop *r, const swo_visit *v, int64_t place) {
    sw_estimate *e = r->loop.e;
    memcpy(swo_table_entry(e, v->row), r->loop.visit.s,
           (size_t)(v->samples * e->objective->outputs) * sw_dtype_size(e->type));
    if (v->first)
        swo_table_mark_seen(e, v, place);
    if (r->by_row)
        swo_sum_tree_set(swo_table_slots_of(e)->tree, r->rows, v->row, swo_table_scalars_of(e)->l_row);
}

/* Takes one step. *taken is false if the pipeline must take it. */
static sw_status table_loop_step(table_loop *r, bool *taken) {
    sw_estimate *e = r->loop.e;
    int64_t place;
    *taken = false;
    swo_table_scalars_of(e)->l_row = 0;
    const int64_t row = table_loop_draw(r, &place);
    const swo_visit v = table_loop_visit(r, row, place >= 0);
    const bool finite = isfinite(r->loop.visit.curvature * (double)r->rows);
    if (finite && r->loop.visit.measure)
        SW_TRY(swo_table_take_curvature(e, &v, r->loop.visit.curvature));
    e->lr = swo_table_step_size(e);
    swo_table_kind_of(e)->factors(e, &v, &r->loop.move.fresh, &r->loop.move.old);
    if (finite)
        swo_glm_loop_move(&r->loop, taken);
    if (!*taken) {
        r->next[0] = -1;
        sw_run_undo_step(r->run);
        return SW_OK;
    }
    table_loop_commit(r, &v, place);
    return sw_run_end_step(r->run, v.samples, r->loop.visit.loss / (double)v.samples);
}

/* Whether the table may begin with a full pass, which only the pipeline does. */
static bool table_may_fill(const sw_estimate *e) {
    const int init = (int)swo_table_options_of(e)->init;
    const swo_table_scalars *s = swo_table_scalars_of(e);
    return init == CENTERED || ((init == FROM_FULL || (init == FROM_AUTO && s->seen == 0)) && s->filled == 0);
}

sw_status swo_table_run(sw_estimate *e, sw_estimate_run *run) {
    const swo_table_slots *slots = swo_table_slots_of(e);
    table_loop r = {.run = run,
                    .rows = swo_table_rows(e),
                    .tests_every = swo_table_tests_every(e),
                    .key = swo_table_key(e),
                    .by_row = swo_table_options_of(e)->sampling == BY_LIPSCHITZ,
                    .next = {-1, -1}};
    if (table_may_fill(e))
        return SW_OK;
    SW_TRY(swo_glm_loop_begin(&r.loop, e, run, swo_table_batch(e), slots->sum, slots->sum_low));
    bool goes_on = true;
    sw_status status = SW_OK;
    while (status == SW_OK && goes_on && run->done < run->most) {
        bool taken;
        sw_run_begin_step(run);
        if (r.tests_every > 0 && e->step % r.tests_every == 0)
            break;
        status = table_loop_step(&r, &taken);
        goes_on = taken || (status == SW_OK && swo_glm_loop_again(&r.loop));
    }
    swo_glm_loop_end(&r.loop);
    return status;
}
