/* The gradients of LSTM and GRU over sequences: see recurrent_run.h. */
#include "core/ops/recurrent_job.h"

enum { PRODUCTS = 6 };

static void recurrent_backward_step(const swi_recurrent_job *j, const swi_recurrent_block *b, int64_t i, int64_t step) {
    const swi_recurrent *r = &j->r;
    const int64_t place = recurrent_place(j, b, i, step), row = recurrent_row(j, b->first + i, step),
                  hidden = r->hidden, state = r->result == SW_RECURRENT_OUTPUTS ? hidden : r->state;
    const char *const added = r->result == SW_RECURRENT_LAST ? NULL : recurrent_at(j, j->cotangent, row, state);
    char *const d_row = recurrent_at(j, j->d_rows, place, ROW * hidden);
    swi_gates gates = {.hidden = hidden,
                       .row = recurrent_at(j, j->rows, place, ROW * hidden),
                       .h_before = recurrent_h_before(j, place),
                       .c_before = r->lstm ? recurrent_at(j, j->c_before, place, hidden) : NULL,
                       .dh_product = j->panels && step + 1 < recurrent_length(j, b->first + i)
                                         ? recurrent_at(j, b->product, i, b->columns)
                                         : NULL,
                       .dh_added = added,
                       .dc_added = added && state > hidden ? recurrent_at(j, added, 1, hidden) : NULL,
                       .dh = recurrent_at(j, b->h, i, hidden),
                       .dc = recurrent_at(j, b->c, i, hidden),
                       .d_row = d_row};
    j->step(&gates, 0, 1, NULL);
    if (!j->panels || j->joined)
        return;
    char *const factor = recurrent_at(j, b->factor, i, r->gates * hidden);
    memcpy(factor, d_row, (size_t)((r->lstm ? 4 : 2) * hidden) * j->size);
    if (!r->lstm)
        recurrent_copy(j, recurrent_at(j, factor, 2, hidden), recurrent_at(j, d_row, 3, hidden));
}

/* The gradient of the state after the last step, and zeros for the steps after it. */
static void recurrent_begin_gradient(const swi_recurrent_job *j, const swi_recurrent_block *b, int64_t i) {
    const swi_recurrent *r = &j->r;
    const size_t bytes = (size_t)r->hidden * j->size;
    char *const dh = recurrent_at(j, b->h, i, r->hidden), *const dc = recurrent_at(j, b->c, i, r->hidden);
    memset(dh, 0, bytes);
    memset(dc, 0, bytes);
    if (!j->joined)
        memset(recurrent_at(j, b->factor, i, r->gates * r->hidden), 0, (size_t)r->gates * bytes);
    swi_recurrent_clear_places(j, b, j->d_rows, i, ROW * r->hidden);
    if (j->dx)
        swi_recurrent_clear_end(j, j->dx, b->first + i, r->inputs);
    if (r->result != SW_RECURRENT_LAST)
        return;
    const char *const last = recurrent_at(j, j->cotangent, b->first + i, r->state);
    memcpy(dh, last, bytes);
    if (r->lstm)
        memcpy(dc, last + bytes, bytes);
}

/* The gradient of the first state. The products of step 0 have the part that goes through W_hh; without panels it is
 * added later. */
static void recurrent_end_gradient(const swi_recurrent_job *j, const swi_recurrent_block *b, int64_t i) {
    const int64_t hidden = j->r.hidden;
    char *const dh = recurrent_at(j, b->h, i, hidden);
    if (j->panels && recurrent_length(j, b->first + i) > 0)
        sw_vector_axpby(j->r.type, hidden, 1, dh, 1, recurrent_at(j, b->product, i, b->columns), dh);
    swi_recurrent_end_sample(j, b, i, j->d_state);
}

/* dx of a step, before b->product has dh. It is written in place if the product writes no other elements. */
static void recurrent_input_gradient(const swi_recurrent_job *j, const swi_recurrent_block *b, int64_t step,
                                     const char *factor) {
    const swi_recurrent *r = &j->r;
    const int64_t width = r->gates * r->hidden, inputs = r->inputs;
    const bool in_place = !j->lengths && sw_packed_columns(r->type, inputs) == inputs;
    char *const to = in_place ? recurrent_at(j, j->dx, recurrent_row(j, b->first, step), inputs) : b->product;
    sw_packed_product(r->type, b->count, inputs, width, factor, width, j->x_panels, NULL, to,
                      in_place ? r->time * inputs : b->columns);
    for (int64_t i = 0; i < b->count && !in_place; i++)
        if (step < recurrent_length(j, b->first + i))
            memcpy(recurrent_at(j, j->dx, recurrent_row(j, b->first + i, step), inputs),
                   recurrent_at(j, b->product, i, b->columns), (size_t)inputs * j->size);
}

static sw_status recurrent_backward_block(void *args, int64_t item, sw_worker *worker) {
    const swi_recurrent_job *j = args;
    const swi_recurrent *r = &j->r;
    const int64_t width = r->gates * r->hidden;
    const swi_recurrent_block b = swi_recurrent_block_at(j, true, item, worker->scratch);
    for (int64_t i = 0; i < b.count; i++)
        recurrent_begin_gradient(j, &b, i);
    for (int64_t step = b.longest - 1; step >= 0; step--) {
        for (int64_t i = 0; i < b.count; i++)
            if (step < recurrent_length(j, b.first + i))
                recurrent_backward_step(j, &b, i, step);
        const char *const factor =
            j->joined ? recurrent_at(j, j->d_rows, recurrent_place(j, &b, 0, step), ROW * r->hidden) : b.factor;
        if (j->dx)
            recurrent_input_gradient(j, &b, step, factor);
        if (j->panels && (step > 0 || j->d_state))
            sw_packed_product(r->type, b.count, r->hidden, width, factor, width, j->panels, NULL, b.product, b.columns);
    }
    for (int64_t i = 0; i < b.count && j->d_state; i++)
        recurrent_end_gradient(j, &b, i);
    return SW_OK;
}

/* A product with some columns of d_rows, from column `first` on: their transpose times `right` if `transposed`. */
static sw_product recurrent_gradient_product(const swi_recurrent_job *j, bool transposed, int64_t first,
                                             int64_t columns, const void *right, int64_t length, void *to,
                                             int64_t ldc) {
    const int64_t rows = j->r.batch * j->r.time;
    sw_product p = swi_recurrent_product(j->r.type, transposed ? columns : rows, length, transposed ? rows : columns);
    p.a_transposed = transposed;
    p.A = recurrent_at(j, j->d_rows, first, 1);
    p.B = right;
    p.C = to;
    p.lda = ROW * j->r.hidden;
    p.ldb = length;
    p.ldc = ldc;
    return p;
}

/* The gradients by x and the weights, and through W_hh by the state of a step that is alone. In d_rows, the columns of
 * an LSTM are the rows of both weights; those of a GRU are r, z, n for weight_ih and r, z, q for weight_hh. */
static sw_status recurrent_gradients(sw_call *c, const swi_recurrent_job *j, void *const gradient[]) {
    const swi_recurrent *r = &j->r;
    const int64_t hidden = r->hidden, width = r->gates * hidden, common = r->lstm ? 4 * hidden : 2 * hidden;
    const void *const w_ih = c->in[1]->data, *const w_hh = c->in[2]->data;
    sw_product p[PRODUCTS];
    int count = 0;
    if (gradient[0])
        p[count++] = recurrent_gradient_product(j, false, 0, width, w_ih, r->inputs, gradient[0], r->inputs);
    if (gradient[1]) {
        p[count] = recurrent_gradient_product(j, true, 0, width, c->in[0]->data, r->inputs, gradient[1], r->inputs);
        p[count++].squares = sw_call_squares(c, 1);
    }
    for (int part = 0; part < (r->lstm ? 1 : 2); part++) { /* the second part of a GRU: q, the last rows of weight_hh */
        const int64_t first = part ? 3 * hidden : 0, columns = part ? hidden : common, row = part ? common : 0;
        if (gradient[2])
            p[count++] = recurrent_gradient_product(j, true, first, columns, j->before, hidden,
                                                    recurrent_at(j, gradient[2], row, hidden), hidden);
        if (j->d_state && r->time == 1) {
            p[count] = recurrent_gradient_product(j, false, first, columns, recurrent_at(j, w_hh, row, hidden), hidden,
                                                  j->d_state, r->state);
            p[count++].beta = 1;
        }
    }
    SW_TRY(swi_recurrent_multiply(c, p, count));
    if (gradient[2])
        sw_squares_report(sw_call_squares(c, 2), gradient[2], width * hidden);
    return SW_OK;
}

/* Joined: the gradients by both weights are one product, which is computed in `both` [4 hidden, terms]. */
static sw_status recurrent_joined_gradients(sw_call *c, const swi_recurrent_job *j, char *both, char *ih, char *hh) {
    const int64_t rows = j->r.gates * j->r.hidden;
    const size_t front = (size_t)j->front * j->size, back = (size_t)j->r.hidden * j->size;
    sw_product p = recurrent_gradient_product(j, true, 0, rows, j->before, j->terms, both, j->terms);
    if (!ih && !hh)
        return SW_OK;
    SW_TRY(swi_recurrent_multiply(c, &p, 1));
    for (int64_t i = 0; i < rows && !sw_dry_run(); i++, both += front + back) {
        if (ih)
            memcpy(ih + (size_t)i * front, both, front);
        if (hh)
            memcpy(hh + (size_t)i * back, both + front, back);
    }
    if (ih)
        sw_squares_report(sw_call_squares(c, 1), ih, rows * j->front);
    if (hh)
        sw_squares_report(sw_call_squares(c, 2), hh, rows * j->r.hidden);
    return SW_OK;
}

/* The gradients by the biases: sums [4 hidden] over the rows. */
static void recurrent_bias_gradients(const swi_recurrent_job *j, void *sums, char *ih, char *hh) {
    const swi_recurrent *r = &j->r;
    const int64_t row = ROW * r->hidden, shape[2] = {r->batch * r->time, row};
    const size_t vector = (size_t)r->hidden * j->size;
    sw_sum_to_shape(r->type, 2, shape, j->d_rows, 1, &row, sums, 1, true);
    if (ih)
        memcpy(ih, sums, (size_t)r->gates * vector);
    if (hh)
        memcpy(hh, sums, (size_t)r->gates * vector);
    if (hh && !r->lstm)
        memcpy(hh + 2 * vector, (char *)sums + 3 * vector, vector);
}

sw_status swi_recurrent_vjp(sw_call *c, const swi_recurrent *r) {
    swi_recurrent_job j = swi_recurrent_job_of(c, r, true);
    const int input[6] = {0, 1, 2, r->bias_ih, r->bias_hh, r->first_state};
    void *gradient[6];
    for (int i = 0; i < 6; i++) {
        const bool wanted = input[i] >= 0 && sw_call_wants_grad(c, input[i]);
        gradient[i] = wanted ? sw_call_grad(c, input[i]) : NULL;
        if (wanted && !gradient[i])
            return SW_ERR_MEMORY;
    }
    swi_recurrent_set_saved(&j, c->saved);
    j.d_state = gradient[5];
    j.dx = j.joined ? gradient[0] : NULL;
    char *sums = NULL, *both = NULL;
    size_t used[2] = {0};
    for (int pass = 0; pass < 2; pass++) {
        char *const base = pass ? sw_call_scratch(c, used[0]) : NULL;
        if (pass && !base)
            return SW_ERR_MEMORY;
        j.d_rows = swi_recurrent_take(base, &used[pass], r->batch * r->time * ROW * r->hidden, j.size);
        sums = swi_recurrent_take(base, &used[pass], ROW * r->hidden, j.size);
        both = swi_recurrent_take(base, &used[pass], j.joined ? ROW * r->hidden * j.terms : 0, j.size);
    }
    SW_TRY(swi_recurrent_pack(c, &j, true));
    SW_TRY(swi_recurrent_run_blocks(c, &j, true, recurrent_backward_block));
    if (j.joined)
        SW_TRY(recurrent_joined_gradients(c, &j, both, gradient[1], gradient[2]));
    else
        SW_TRY(recurrent_gradients(c, &j, gradient));
    if (gradient[3] || gradient[4])
        recurrent_bias_gradients(&j, sums, gradient[3], gradient[4]);
    return SW_OK;
}
