/* The forward pass of LSTM and GRU over sequences: see recurrent_run.h. */
#include "core/ops/recurrent_job.h"

static void recurrent_forward_step(const swi_recurrent_job *j, const swi_recurrent_block *b, int64_t i, int64_t step) {
    const swi_recurrent *r = &j->r;
    const int64_t sample = b->first + i, place = recurrent_place(j, b, i, step), row = recurrent_row(j, sample, step),
                  state = r->result == SW_RECURRENT_OUTPUTS ? r->hidden : r->state,
                  next = step + 1 < recurrent_length(j, sample) ? recurrent_place(j, b, i, step + 1) : -1;
    char *const gate_row = recurrent_at(j, j->rows, place, ROW * r->hidden),
                *const out = r->result == SW_RECURRENT_LAST ? NULL : recurrent_at(j, j->out, row, state),
                *const c = next < 0 || !r->lstm ? recurrent_at(j, b->c, i, r->hidden)
                                                : recurrent_at(j, j->c_before, next, r->hidden);
    swi_gates gates = {.hidden = r->hidden,
                       .row = gate_row,
                       .added = j->joined ? NULL : gate_row,
                       .input = j->panels ? recurrent_at(j, b->product, i, b->columns)
                                          : recurrent_at(j, j->products, sample, r->gates * r->hidden),
                       .h_before = recurrent_h_before(j, place),
                       .c_before = r->lstm ? recurrent_at(j, j->c_before, place, r->hidden) : NULL,
                       .h = next < 0 ? recurrent_at(j, b->h, i, r->hidden) : recurrent_h_before(j, next),
                       .c = c,
                       .out = out};
    j->step(&gates, 0, 1, NULL);
    if (out && state > r->hidden)
        recurrent_copy(j, recurrent_at(j, out, 1, r->hidden), c);
}

/* The rows before a step: of samples that have not ended, x if it is joined, and a copy of h if it is not. */
static const char *recurrent_factor(const swi_recurrent_job *j, const swi_recurrent_block *b, int64_t step) {
    const size_t bytes = (size_t)j->front * j->size;
    for (int64_t i = 0; i < b->count; i++) {
        const int64_t place = recurrent_place(j, b, i, step);
        if (step >= recurrent_length(j, b->first + i))
            continue;
        if (!j->joined)
            recurrent_copy(j, recurrent_at(j, b->factor, i, j->r.hidden), recurrent_h_before(j, place));
        else if (bytes)
            memcpy(recurrent_at(j, j->before, place, j->terms),
                   recurrent_at(j, j->x, recurrent_row(j, b->first + i, step), j->front), bytes);
    }
    return j->joined ? recurrent_at(j, j->before, recurrent_place(j, b, 0, step), j->terms) : b->factor;
}

/* The state before the first step, and zeros after the last one. */
static void recurrent_begin_sample(const swi_recurrent_job *j, const swi_recurrent_block *b, int64_t i) {
    const swi_recurrent *r = &j->r;
    const int64_t sample = b->first + i, place = recurrent_place(j, b, i, 0);
    const bool steps = recurrent_length(j, sample) > 0;
    const size_t bytes = (size_t)r->hidden * j->size;
    char *const h = steps ? recurrent_h_before(j, place) : recurrent_at(j, b->h, i, r->hidden),
                *const c = steps && r->lstm ? recurrent_at(j, j->c_before, place, r->hidden)
                                            : recurrent_at(j, b->c, i, r->hidden);
    const char *const state = j->state ? recurrent_at(j, j->state, sample, r->state) : NULL;
    if (state)
        memcpy(h, state, bytes);
    else
        memset(h, 0, bytes);
    if (state && r->lstm)
        memcpy(c, state + bytes, bytes);
    else
        memset(c, 0, bytes);
    if (!j->joined) /* of a sample without steps it is multiplied too */
        memset(recurrent_at(j, b->factor, i, r->hidden), 0, bytes);
    swi_recurrent_clear_places(j, b, j->before, i, j->terms);
    if (r->result != SW_RECURRENT_LAST)
        swi_recurrent_clear_end(j, j->out, sample, r->result == SW_RECURRENT_OUTPUTS ? r->hidden : r->state);
}

static sw_status recurrent_forward_block(void *args, int64_t item, sw_worker *worker) {
    const swi_recurrent_job *j = args;
    const swi_recurrent *r = &j->r;
    const swi_recurrent_block b = swi_recurrent_block_at(j, false, item, worker->scratch);
    for (int64_t i = 0; i < b.count; i++)
        recurrent_begin_sample(j, &b, i);
    for (int64_t step = 0; step < b.longest; step++) {
        if (j->panels)
            sw_packed_product(r->type, b.count, r->gates * r->hidden, j->terms, recurrent_factor(j, &b, step), j->terms,
                              j->panels, j->bias, b.product, b.columns);
        for (int64_t i = 0; i < b.count; i++)
            if (step < recurrent_length(j, b.first + i))
                recurrent_forward_step(j, &b, i, step);
    }
    for (int64_t i = 0; i < b.count && r->result == SW_RECURRENT_LAST; i++)
        swi_recurrent_end_sample(j, &b, i, j->out);
    return SW_OK;
}

/* The products with the inputs of all steps, W_i x + b_i, and W_h h + b_h for a step that is alone. */
static sw_status recurrent_project(sw_call *c, swi_recurrent_job *j) {
    const swi_recurrent *r = &j->r;
    const int64_t width = r->gates * r->hidden;
    sw_product p[2] = {swi_recurrent_product(r->type, r->batch * r->time, width, r->inputs),
                       swi_recurrent_product(r->type, r->batch, width, j->state ? r->hidden : 0)};
    if (j->joined)
        return SW_OK;
    p[0].b_transposed = p[1].b_transposed = true;
    p[0].A = c->in[0]->data;
    p[0].B = c->in[1]->data;
    p[0].C = j->rows;
    p[0].lda = p[0].ldb = r->inputs;
    p[0].ldc = ROW * r->hidden;
    p[0].bias = swi_recurrent_input(c, r->bias_ih);
    if (r->time == 1) {
        void *const products = sw_call_scratch(c, (size_t)(r->batch * width) * j->size);
        if (!products)
            return SW_ERR_MEMORY;
        p[1].A = j->state;
        p[1].B = c->in[2]->data;
        p[1].C = products;
        p[1].lda = r->state;
        p[1].ldb = r->hidden;
        p[1].ldc = width;
        p[1].bias = j->bias;
        j->products = products;
    }
    return swi_recurrent_multiply(c, p, r->time == 1 ? 2 : 1);
}

sw_status swi_recurrent_forward(sw_call *c, const swi_recurrent *r) {
    swi_recurrent_job j = swi_recurrent_job_of(c, r, false);
    char *const saved = sw_call_save(c, swi_recurrent_set_saved(&j, NULL));
    if (!saved)
        return SW_ERR_MEMORY;
    swi_recurrent_set_saved(&j, saved);
    SW_TRY(recurrent_project(c, &j));
    SW_TRY(swi_recurrent_pack(c, &j, false));
    return swi_recurrent_run_blocks(c, &j, false, recurrent_forward_block);
}
