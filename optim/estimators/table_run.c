/* SAG and SAGA over samples in memory, many steps in one loop (glm_loop.c). In f64 with dense rows every number is
 * computed as in single steps, so that runs of any length have the same bits. */
#include "optim/estimators/table.h"
#include "optim/estimators/tree.h"

#include <math.h>

typedef struct table_run {
    swo_glm_loop loop;
    const swo_plain_rules *rules;
    int64_t rows, judges_every;
    uint64_t key;
    bool by_row;     /* the tree has an L for each row */
    int64_t next[2]; /* the places in the order of the two draws that come next; -1: not known */
} table_run;

/* The next row. Where all draws are uniform, the two after it are fetched meanwhile: of sparse rows, first the row, and
 * then the columns that it has. */
static int64_t table_run_draw(table_run *r, const sw_optim *o, int64_t *place) {
    const sw_estimate *e = r->loop.e;
    const int32_t *order = e->slot[ORDER];
    const int64_t seen = (int64_t)e->scalar[SEEN];
    if (r->by_row || swo_table_sgd(e))
        return swo_table_draw(e, r->key, o->draws + 1, place);
    const bool known = r->next[0] >= 0;
    const int64_t at = known ? r->next[0] : swo_table_uniform(e, r->key, o->draws + 1);
    r->next[0] = known ? r->next[1] : swo_table_uniform(e, r->key, o->draws + 2);
    r->next[1] = swo_table_uniform(e, r->key, o->draws + 3);
    swo_glm_fetch(e->objective, order[r->next[1]] * r->loop.batch);
    __builtin_prefetch(swo_table_entry(e, order[r->next[1]]), 1);
    r->loop.visit.following = known ? order[r->next[0]] * r->loop.batch : -1;
    *place = at < seen ? -1 : at;
    return order[at];
}

static swo_visit table_run_visit(table_run *r, int64_t row, bool first) {
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

static void table_run_commit(table_run *r, const swo_visit *v, int64_t place) {
    sw_estimate *e = r->loop.e;
    sw_optim *o = e->optim;
    memcpy(swo_table_entry(e, v->row), r->loop.visit.s,
           (size_t)(v->samples * e->objective->outputs) * sw_dtype_size(e->type));
    if (v->first)
        swo_table_mark_seen(e, v, place);
    if (r->by_row)
        swo_tree_set(e->slot[TREE], r->rows, v->row, e->scalar[L_ROW]);
    o->steps++;
    o->draws++;
    o->samples += v->samples;
}

/* One step; *taken is false where the pipeline is to take it. */
static sw_status table_run_step(table_run *r, sw_optim *o, bool *taken) {
    sw_estimate *e = r->loop.e;
    int64_t place;
    double before[SW_MAX_SCALARS];
    *taken = false;
    memcpy(before, e->scalar, sizeof before);
    e->step = o->steps + 1;
    e->scalar[L_ROW] = 0;
    const int64_t row = table_run_draw(r, o, &place);
    const swo_visit v = table_run_visit(r, row, place >= 0);
    const bool finite = isfinite(r->loop.visit.curvature * (double)r->rows);
    if (finite && r->loop.visit.measure)
        SW_TRY(swo_table_take_curvature(e, &v, r->loop.visit.curvature));
    e->lr = swo_table_step_size(e);
    swo_table_factors(e, &v, &r->loop.move.fresh, &r->loop.move.old);
    if (finite)
        swo_glm_loop_move(&r->loop, taken);
    if (!*taken) {
        r->next[0] = -1;
        memcpy(e->scalar, before, sizeof before);
        return SW_OK;
    }
    table_run_commit(r, &v, place);
    return r->rules->took(r->rules->user, r->loop.visit.loss / (double)v.samples, (double)v.samples);
}

sw_status swo_table_run(sw_estimate *e, const swo_plain_rules *rules, int64_t most, int64_t *done) {
    sw_optim *o = e->optim;
    table_run r = {.rules = rules,
                   .rows = swo_table_rows(e),
                   .judges_every = swo_table_judges_every(e),
                   .key = swo_table_key(e),
                   .by_row = e->option[SAMPLING] == BY_LIPSCHITZ,
                   .next = {-1, -1}};
    *done = 0;
    /* What has a first full pass, or may have one, is the pipeline's. */
    const bool may_fill = e->option[INIT] == FROM_FULL || (e->option[INIT] == FROM_AUTO && e->scalar[SEEN] == 0);
    if (e->option[INIT] == CENTERD || (may_fill && e->scalar[FILLED] == 0))
        return SW_OK;
    SW_TRY(swo_glm_loop_begin(&r.loop, e, rules, swo_table_batch(e), e->slot[SUM], e->slot[SUM_LOW]));
    bool goes_on = true;
    sw_status status = SW_OK;
    while (status == SW_OK && goes_on && *done < most &&
           !(r.judges_every > 0 && (o->steps + 1) % r.judges_every == 0)) {
        bool taken;
        status = table_run_step(&r, o, &taken);
        *done += taken;
        goes_on = taken || (status == SW_OK && swo_glm_loop_again(&r.loop));
    }
    swo_glm_loop_end(&r.loop);
    return status;
}
