/* The choice of the next row of SAG and SAGA (gradient_table.h). With sampling=lipschitz, half of the draws of seen
 * rows have probabilities proportional to L_i + λ, with the L_i in a sum tree (Schmidt, Le Roux, Bach 2013, section
 * 4.8). */
#include "optim/estimators/gradient_table.h"

#include "optim/estimators/sum_tree.h"

enum { IDS_MORE = 2 }; /* the ids of a step are followed by two numbers: the row and its index in `order` */

/* Draws by the weights L_i + λ. The tree contains only the L_i; for the part λ the draw is uniform. */
static int64_t table_draw_seen(const sw_estimate *e, sw_rng *rng, int64_t uniform) {
    const swo_table_slots *slots = swo_table_slots_of(e);
    const int32_t *order = slots->order;
    const double sum = swo_sum_tree_sum(slots->tree), seen = (double)swo_table_scalars_of(e)->seen,
                 by_l = sum > 0 ? 0.5 * sum / (sum + seen * e->penalty) : 0;
    if (sw_rng_uniform(rng) >= by_l)
        return order[uniform];
    return swo_sum_tree_draw(slots->tree, swo_table_rows(e), sw_rng_uniform(rng));
}

double swo_table_probability(const sw_estimate *e, int64_t row, bool first) {
    const void *tree = swo_table_slots_of(e)->tree;
    const int64_t rows = swo_table_rows(e);
    const double n = (double)rows, seen = (double)swo_table_scalars_of(e)->seen, l2 = e->penalty;
    if (swo_table_options_of(e)->sampling != BY_LIPSCHITZ || first)
        return 1 / n;
    const double sum = swo_sum_tree_sum(tree) + seen * l2;
    const double probability = sum > 0 ? (swo_sum_tree_get(tree, rows, row) + l2) / sum : 1 / seen;
    return seen / n * 0.5 * (1 / seen + probability);
}

/* Draw number k uses the blocks 2k and 2k + 1 of a random stream that only the table uses. */
static sw_rng table_rng_of_draw(uint64_t key, uint64_t draw) {
    return (sw_rng){.key = key, .position = 8 * draw};
}

int64_t swo_table_draw(const sw_estimate *e, uint64_t key, uint64_t draw, int64_t *place) {
    const int64_t all = swo_table_rows(e), seen = swo_table_scalars_of(e)->seen;
    const int32_t *order = swo_table_slots_of(e)->order;
    sw_rng rng = table_rng_of_draw(key, draw);
    *place = swo_table_sgd(e) ? seen + (int64_t)sw_rng_below(&rng, (uint64_t)(all - seen))
                              : (int64_t)sw_rng_below(&rng, (uint64_t)all);
    int64_t row = order[*place];
    if (*place < seen && swo_table_options_of(e)->sampling == BY_LIPSCHITZ)
        row = table_draw_seen(e, &rng, *place);
    *place = *place < seen ? -1 : *place;
    return row;
}

int64_t swo_table_uniform(const sw_estimate *e, uint64_t key, uint64_t draw) {
    sw_rng rng = table_rng_of_draw(key, draw);
    return (int64_t)sw_rng_below(&rng, (uint64_t)swo_table_rows(e));
}

uint64_t swo_table_key(const sw_estimate *e) {
    return sw_rng_key(e->seed, swo_table_kind_of(e)->stream);
}

/* Writes the ids of the row, followed by the row and its index in `order`. */
sw_status swo_table_sample(sw_estimate *e) {
    const int64_t batch = swo_table_batch(e);
    int64_t *ids = sw_estimate_ids(e, batch + IDS_MORE), place;
    if (!ids)
        return SW_ERR_MEMORY;
    const int64_t row = swo_table_draw(e, swo_table_key(e), e->draws, &place);
    e->count = e->n - row * batch < batch ? e->n - row * batch : batch;
    for (int64_t i = 0; i < e->count; i++)
        ids[i] = row * batch + i;
    ids[e->count] = row;
    ids[e->count + 1] = place;
    e->ids = ids;
    return SW_OK;
}

int64_t swo_table_sampled_row(const sw_estimate *e) {
    return e->ids[e->count];
}

int64_t swo_table_sampled_place(const sw_estimate *e) {
    return e->ids[e->count + 1];
}

void swo_table_mark_seen(sw_estimate *e, const swo_visit *v, int64_t place) {
    swo_table_scalars *s = swo_table_scalars_of(e);
    int32_t *order = swo_table_slots_of(e)->order;
    order[place] = order[s->seen];
    order[s->seen] = (int32_t)v->row;
    s->seen++;
    s->samples_seen += v->samples;
    s->excess_seen += v->weight - (double)v->samples;
}
