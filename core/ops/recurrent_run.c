/* LSTM and GRU over sequences. The products with the inputs of all steps are one product before the steps, and so are
 * the gradients of the weights after them. The samples of a batch are divided into blocks of rows, and each block runs
 * all of its steps on one thread, so that threads need not wait for one another at every step: a product with W_hh,
 * which is packed once for all steps, and then the gates of each row. The blocks depend on the shapes alone.
 *
 * Forward saves, for each sample and step, the gates and the state before the step. The rows of the gates in memory
 * first hold the products with the inputs. A step that is alone, as that of a cell, does not pack W_hh: its product is
 * one product of the whole batch. */
#include <swale/extend.h>

#include "core/ops/recurrent_gates.h"
#include "core/ops/recurrent_run.h"

#include <string.h>

enum { ROW = 4 /* vectors of `hidden` elements in a row: see recurrent_gates.h */, BLOCK = 8, PRODUCTS = 6 };
static const int64_t least_work = 1 << 17; /* multiplications of a block */

typedef struct recurrent_job {
    swi_recurrent r;
    size_t size;    /* of an element */
    int64_t blocks; /* of samples */
    sw_kernel *step;
    const int32_t *lengths;           /* or NULL */
    char *rows, *h_before, *c_before; /* [batch, time, 4 hidden], [batch, time, hidden] */
    const void *panels;               /* W_hh, packed; NULL for a step that is alone */
    const char *products;             /* without panels, forward: W_h h + b_h [batch, gates hidden] */
    const char *bias, *state;         /* b_h and the first state, or NULL */
    char *out;                        /* forward */
    const char *cotangent;            /* backward */
    char *d_rows, *d_state;           /* backward: [batch, time, 4 hidden]; [batch, state] or NULL */
} recurrent_job;

/* The samples of a block, and its scratch. */
typedef struct recurrent_block {
    int64_t first, count, longest; /* samples; the number of steps of the longest */
    char *h, *c;                   /* the state or its gradient, [count, hidden] */
    char *product;                 /* [count, columns] */
    char *d_product;               /* backward: the factor of the product, [count, gates hidden] */
} recurrent_block;

/* ---- Sizes and places ---- */

static int64_t recurrent_blocks(const swi_recurrent *r) {
    const double work = (double)r->time * (double)r->gates * (double)r->hidden * (double)r->hidden;
    int64_t rows = BLOCK;
    while (rows < r->batch && (double)rows * work < (double)least_work)
        rows *= 2;
    return (r->batch + rows - 1) / rows;
}

/* The place of `elements` elements in memory of which *used bytes are used; NULL if base is NULL, to count bytes. */
static char *recurrent_take(char *base, size_t *used, int64_t elements, size_t size) {
    const size_t from = *used;
    *used += ((size_t)elements * size + SW_ALIGNMENT - 1) / SW_ALIGNMENT * SW_ALIGNMENT;
    return base ? base + from : NULL;
}

static int64_t recurrent_length(const recurrent_job *j, int64_t sample) {
    return j->lengths ? j->lengths[sample] : j->r.time;
}

/* The index of a step of a sample among the rows [batch, time]. */
static int64_t recurrent_row(const recurrent_job *j, int64_t sample, int64_t step) {
    return sample * j->r.time + (j->r.reverse ? recurrent_length(j, sample) - 1 - step : step);
}

static char *recurrent_at(const recurrent_job *j, const char *array, int64_t row, int64_t length) {
    return (char *)(uintptr_t)array + (size_t)(row * length) * j->size;
}

static void recurrent_copy(const recurrent_job *j, void *to, const void *from) {
    memcpy(to, from, (size_t)j->r.hidden * j->size);
}

/* Zeros for the rows of the steps after the end of a sample. */
static void recurrent_clear_end(const recurrent_job *j, char *array, int64_t sample, int64_t length) {
    const int64_t steps = recurrent_length(j, sample), left = j->r.time - steps;
    if (left > 0)
        memset(recurrent_at(j, array, sample * j->r.time + steps, length), 0, (size_t)(left * length) * j->size);
}

/* Sets the places in the scratch of a block of b->count rows, and returns its bytes. */
static size_t recurrent_set_block(const recurrent_job *j, bool backward, char *scratch, recurrent_block *b) {
    const swi_recurrent *r = &j->r;
    const int64_t columns = sw_packed_columns(r->type, backward ? r->hidden : r->gates * r->hidden);
    size_t used = 0;
    b->h = recurrent_take(scratch, &used, b->count * r->hidden, j->size);
    b->c = recurrent_take(scratch, &used, b->count * r->hidden, j->size);
    b->product = recurrent_take(scratch, &used, b->count * columns, j->size);
    b->d_product = recurrent_take(scratch, &used, backward ? b->count * r->gates * r->hidden : 0, j->size);
    return used;
}

static recurrent_block recurrent_block_at(const recurrent_job *j, bool backward, int64_t item, char *scratch) {
    recurrent_block b = {.first = sw_part_begin(j->r.batch, j->blocks, item)};
    b.count = sw_part_begin(j->r.batch, j->blocks, item + 1) - b.first;
    for (int64_t i = 0; i < b.count; i++) {
        const int64_t length = recurrent_length(j, b.first + i);
        b.longest = length > b.longest ? length : b.longest;
    }
    recurrent_set_block(j, backward, scratch, &b);
    return b;
}

/* Runs the blocks on the threads. */
static sw_status recurrent_run_blocks(sw_call *c, const recurrent_job *j, bool backward, sw_work_item work) {
    recurrent_block largest = {.count = j->blocks ? (j->r.batch + j->blocks - 1) / j->blocks : 0};
    const size_t each = recurrent_set_block(j, backward, NULL, &largest), all = sw_parallel_scratch(j->blocks, each);
    void *const scratch = sw_call_scratch(c, all);
    if (!scratch)
        return SW_ERR_MEMORY;
    return sw_parallel_items_with_scratch(work, (void *)(uintptr_t)j, j->blocks, each, scratch, all);
}

/* ---- Products outside of the steps ---- */

static sw_product recurrent_product(sw_dtype type, int64_t M, int64_t N, int64_t K) {
    return (sw_product){
        .size = sizeof(sw_product), .a_type = type, .b_type = type, .c_type = type, .M = M, .N = N, .K = K, .alpha = 1};
}

/* Runs products one after the other, with common scratch. */
static sw_status recurrent_multiply(sw_call *c, sw_product *product, int count) {
    size_t bytes = 0;
    for (int i = 0; i < count; i++) {
        const size_t needed = sw_product_scratch(&product[i]);
        bytes = needed > bytes ? needed : bytes;
    }
    void *const scratch = bytes ? sw_call_scratch(c, bytes) : NULL;
    if (bytes && !scratch)
        return SW_ERR_MEMORY;
    for (int i = 0; i < count; i++) {
        product[i].scratch = scratch;
        product[i].scratch_bytes = bytes;
        SW_TRY(sw_product_run(&product[i]));
    }
    return SW_OK;
}

/* ---- The job of a call ---- */

static const void *recurrent_input(const sw_call *c, int input) {
    return input < 0 ? NULL : c->in[input]->data;
}

/* Sets the places in the memory from forward to vjp, and returns its bytes. */
static size_t recurrent_set_saved(recurrent_job *j, char *saved) {
    const int64_t steps = j->r.batch * j->r.time, hidden = j->r.hidden;
    size_t used = 0;
    j->rows = recurrent_take(saved, &used, steps * ROW * hidden, j->size);
    j->h_before = recurrent_take(saved, &used, steps * hidden, j->size);
    j->c_before = recurrent_take(saved, &used, j->r.lstm ? steps * hidden : 0, j->size);
    return used;
}

static recurrent_job recurrent_job_of(const sw_call *c, const swi_recurrent *r, bool backward) {
    const sw_kernels *const kernels[2][2] = {{&swi_gru_forward_kernels, &swi_gru_backward_kernels},
                                             {&swi_lstm_forward_kernels, &swi_lstm_backward_kernels}};
    return (recurrent_job){.r = *r,
                           .size = sw_dtype_size(r->type),
                           .blocks = recurrent_blocks(r),
                           .step = (*kernels[r->lstm][backward])[r->type][sw_cpu_level()],
                           .lengths = recurrent_input(c, r->lengths),
                           .bias = recurrent_input(c, r->bias_hh),
                           .state = recurrent_input(c, r->first_state),
                           .out = c->out->data,
                           .cotangent = c->cotangent};
}

/* Packs W_hh for the products of the steps, K terms and N columns, unless there is one step alone. */
static sw_status recurrent_pack(sw_call *c, recurrent_job *j, bool transposed, int64_t K, int64_t N) {
    if (j->r.time == 1)
        return SW_OK;
    void *const panels = sw_call_scratch(c, sw_packed_bytes(j->r.type, K, N));
    if (!panels)
        return SW_ERR_MEMORY;
    sw_packed_fill(j->r.type, transposed, K, N, c->in[2]->data, j->r.hidden, panels);
    sw_dry_run_count_product(j->r.batch * j->r.time, N, K);
    j->panels = panels;
    return SW_OK;
}

/* ---- Forward ---- */

static void recurrent_forward_step(const recurrent_job *j, const recurrent_block *b, int64_t i, int64_t step) {
    const swi_recurrent *r = &j->r;
    const int64_t sample = b->first + i, row = recurrent_row(j, sample, step), width = r->gates * r->hidden,
                  state = r->result == SW_RECURRENT_OUTPUTS ? r->hidden : r->state;
    char *const h = recurrent_at(j, b->h, i, r->hidden), *const c = recurrent_at(j, b->c, i, r->hidden);
    swi_gates gates = {.hidden = r->hidden,
                       .row = recurrent_at(j, j->rows, row, ROW * r->hidden),
                       .input = j->panels ? recurrent_at(j, b->product, i, sw_packed_columns(r->type, width))
                                          : recurrent_at(j, j->products, sample, width),
                       .h = h,
                       .c = c};
    recurrent_copy(j, recurrent_at(j, j->h_before, row, r->hidden), h);
    if (r->lstm)
        recurrent_copy(j, recurrent_at(j, j->c_before, row, r->hidden), c);
    j->step(&gates, 0, 1, NULL);
    if (r->result == SW_RECURRENT_LAST)
        return;
    char *const out = recurrent_at(j, j->out, row, state);
    recurrent_copy(j, out, h);
    if (state > r->hidden)
        recurrent_copy(j, recurrent_at(j, out, 1, r->hidden), c);
}

/* The state before the first step, and zeros after the last one. */
static void recurrent_begin_sample(const recurrent_job *j, const recurrent_block *b, int64_t i) {
    const swi_recurrent *r = &j->r;
    const int64_t sample = b->first + i, bytes = r->hidden * (int64_t)j->size;
    char *const h = recurrent_at(j, b->h, i, r->hidden), *const c = recurrent_at(j, b->c, i, r->hidden);
    const char *const state = j->state ? recurrent_at(j, j->state, sample, r->state) : NULL;
    if (state)
        memcpy(h, state, (size_t)bytes);
    else
        memset(h, 0, (size_t)bytes);
    if (state && r->lstm)
        memcpy(c, state + bytes, (size_t)bytes);
    else
        memset(c, 0, (size_t)bytes);
    recurrent_clear_end(j, j->h_before, sample, r->hidden);
    if (r->result != SW_RECURRENT_LAST)
        recurrent_clear_end(j, j->out, sample, r->result == SW_RECURRENT_OUTPUTS ? r->hidden : r->state);
}

static void recurrent_end_sample(const recurrent_job *j, const recurrent_block *b, int64_t i, char *states) {
    char *const to = recurrent_at(j, states, b->first + i, j->r.state);
    recurrent_copy(j, to, recurrent_at(j, b->h, i, j->r.hidden));
    if (j->r.lstm)
        recurrent_copy(j, recurrent_at(j, to, 1, j->r.hidden), recurrent_at(j, b->c, i, j->r.hidden));
}

static sw_status recurrent_forward_block(void *args, int64_t item, sw_worker *worker) {
    const recurrent_job *j = args;
    const swi_recurrent *r = &j->r;
    const int64_t width = r->gates * r->hidden, columns = sw_packed_columns(r->type, width);
    const recurrent_block b = recurrent_block_at(j, false, item, worker->scratch);
    for (int64_t i = 0; i < b.count; i++)
        recurrent_begin_sample(j, &b, i);
    for (int64_t step = 0; step < b.longest; step++) {
        if (j->panels)
            sw_packed_product(r->type, b.count, width, r->hidden, b.h, r->hidden, j->panels, j->bias, b.product,
                              columns);
        for (int64_t i = 0; i < b.count; i++)
            if (step < recurrent_length(j, b.first + i))
                recurrent_forward_step(j, &b, i, step);
    }
    for (int64_t i = 0; i < b.count && r->result == SW_RECURRENT_LAST; i++)
        recurrent_end_sample(j, &b, i, j->out);
    return SW_OK;
}

/* The products with the inputs of all steps, W_i x + b_i, and W_h h + b_h for a step that is alone. */
static sw_status recurrent_project(sw_call *c, recurrent_job *j) {
    const swi_recurrent *r = &j->r;
    const int64_t width = r->gates * r->hidden;
    sw_product p[2] = {recurrent_product(r->type, r->batch * r->time, width, r->inputs),
                       recurrent_product(r->type, r->batch, width, j->state ? r->hidden : 0)};
    p[0].b_transposed = p[1].b_transposed = true;
    p[0].A = c->in[0]->data;
    p[0].B = c->in[1]->data;
    p[0].C = j->rows;
    p[0].lda = p[0].ldb = r->inputs;
    p[0].ldc = ROW * r->hidden;
    p[0].bias = recurrent_input(c, r->bias_ih);
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
    return recurrent_multiply(c, p, r->time == 1 ? 2 : 1);
}

sw_status swi_recurrent_forward(sw_call *c, const swi_recurrent *r) {
    recurrent_job j = recurrent_job_of(c, r, false);
    char *const saved = sw_call_save(c, recurrent_set_saved(&j, NULL));
    if (!saved)
        return SW_ERR_MEMORY;
    recurrent_set_saved(&j, saved);
    SW_TRY(recurrent_project(c, &j));
    SW_TRY(recurrent_pack(c, &j, true, r->hidden, r->gates * r->hidden));
    return recurrent_run_blocks(c, &j, false, recurrent_forward_block);
}

/* ---- Backward ---- */

static void recurrent_backward_step(const recurrent_job *j, const recurrent_block *b, int64_t i, int64_t step) {
    const swi_recurrent *r = &j->r;
    const int64_t row = recurrent_row(j, b->first + i, step), hidden = r->hidden,
                  state = r->result == SW_RECURRENT_OUTPUTS ? hidden : r->state;
    const char *const added = r->result == SW_RECURRENT_LAST ? NULL : recurrent_at(j, j->cotangent, row, state);
    char *const d_row = recurrent_at(j, j->d_rows, row, ROW * hidden), *const d_product = recurrent_at(
                                                                           j, b->d_product, i, r->gates * hidden);
    swi_gates gates = {.hidden = hidden,
                       .row = recurrent_at(j, j->rows, row, ROW * hidden),
                       .h_before = recurrent_at(j, j->h_before, row, hidden),
                       .c_before = recurrent_at(j, j->c_before, row, hidden),
                       .dh_product = j->panels && step + 1 < recurrent_length(j, b->first + i)
                                         ? recurrent_at(j, b->product, i, sw_packed_columns(r->type, hidden))
                                         : NULL,
                       .dh_added = added,
                       .dc_added = added && state > hidden ? recurrent_at(j, added, 1, hidden) : NULL,
                       .dh = recurrent_at(j, b->h, i, hidden),
                       .dc = recurrent_at(j, b->c, i, hidden),
                       .d_row = d_row};
    j->step(&gates, 0, 1, NULL);
    if (!j->panels)
        return;
    memcpy(d_product, d_row, (size_t)((r->lstm ? 4 : 2) * hidden) * j->size);
    if (!r->lstm)
        recurrent_copy(j, recurrent_at(j, d_product, 2, hidden), recurrent_at(j, d_row, 3, hidden));
}

/* The gradient of the state after the last step, and zeros for the steps after it. */
static void recurrent_begin_gradient(const recurrent_job *j, const recurrent_block *b, int64_t i) {
    const swi_recurrent *r = &j->r;
    const size_t bytes = (size_t)r->hidden * j->size;
    char *const dh = recurrent_at(j, b->h, i, r->hidden), *const dc = recurrent_at(j, b->c, i, r->hidden);
    memset(dh, 0, bytes);
    memset(dc, 0, bytes);
    memset(recurrent_at(j, b->d_product, i, r->gates * r->hidden), 0, (size_t)r->gates * bytes);
    recurrent_clear_end(j, j->d_rows, b->first + i, ROW * r->hidden);
    if (r->result != SW_RECURRENT_LAST)
        return;
    const char *const last = recurrent_at(j, j->cotangent, b->first + i, r->state);
    memcpy(dh, last, bytes);
    if (r->lstm)
        memcpy(dc, last + bytes, bytes);
}

/* The gradient of the first state. The products of step 0 have the part that goes through W_hh; without panels it is
 * added later. */
static void recurrent_end_gradient(const recurrent_job *j, const recurrent_block *b, int64_t i) {
    const int64_t hidden = j->r.hidden, columns = sw_packed_columns(j->r.type, hidden);
    char *const dh = recurrent_at(j, b->h, i, hidden);
    if (j->panels && recurrent_length(j, b->first + i) > 0)
        sw_vector_axpby(j->r.type, hidden, 1, dh, 1, recurrent_at(j, b->product, i, columns), dh);
    recurrent_end_sample(j, b, i, j->d_state);
}

static sw_status recurrent_backward_block(void *args, int64_t item, sw_worker *worker) {
    const recurrent_job *j = args;
    const swi_recurrent *r = &j->r;
    const int64_t width = r->gates * r->hidden, columns = sw_packed_columns(r->type, r->hidden);
    const recurrent_block b = recurrent_block_at(j, true, item, worker->scratch);
    for (int64_t i = 0; i < b.count; i++)
        recurrent_begin_gradient(j, &b, i);
    for (int64_t step = b.longest - 1; step >= 0; step--) {
        for (int64_t i = 0; i < b.count; i++)
            if (step < recurrent_length(j, b.first + i))
                recurrent_backward_step(j, &b, i, step);
        if (j->panels && (step > 0 || j->d_state))
            sw_packed_product(r->type, b.count, r->hidden, width, b.d_product, width, j->panels, NULL, b.product,
                              columns);
    }
    for (int64_t i = 0; i < b.count && j->d_state; i++)
        recurrent_end_gradient(j, &b, i);
    return SW_OK;
}

/* A product with some columns of d_rows, from column `first` on: their transpose times `right` if `transposed`. */
static sw_product recurrent_gradient_product(const recurrent_job *j, bool transposed, int64_t first, int64_t columns,
                                             const void *right, int64_t length, void *to, int64_t ldc) {
    const int64_t rows = j->r.batch * j->r.time;
    sw_product p = recurrent_product(j->r.type, transposed ? columns : rows, length, transposed ? rows : columns);
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
static sw_status recurrent_gradients(sw_call *c, const recurrent_job *j, void *const gradient[]) {
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
            p[count++] = recurrent_gradient_product(j, true, first, columns, j->h_before, hidden,
                                                    recurrent_at(j, gradient[2], row, hidden), hidden);
        if (j->d_state && r->time == 1) {
            p[count] = recurrent_gradient_product(j, false, first, columns, recurrent_at(j, w_hh, row, hidden), hidden,
                                                  j->d_state, r->state);
            p[count++].beta = 1;
        }
    }
    SW_TRY(recurrent_multiply(c, p, count));
    if (gradient[2])
        sw_squares_report(sw_call_squares(c, 2), gradient[2], width * hidden);
    return SW_OK;
}

/* The gradients by the biases: sums [4 hidden] over the rows. */
static void recurrent_bias_gradients(const recurrent_job *j, void *sums, char *ih, char *hh) {
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
    recurrent_job j = recurrent_job_of(c, r, true);
    const int input[6] = {0, 1, 2, r->bias_ih, r->bias_hh, r->first_state};
    void *gradient[6];
    for (int i = 0; i < 6; i++) {
        const bool wanted = input[i] >= 0 && sw_call_wants_grad(c, input[i]);
        gradient[i] = wanted ? sw_call_grad(c, input[i]) : NULL;
        if (wanted && !gradient[i])
            return SW_ERR_MEMORY;
    }
    recurrent_set_saved(&j, c->saved);
    const int64_t rows = r->batch * r->time * ROW * r->hidden;
    size_t used = 0;
    recurrent_take(NULL, &used, rows, j.size);
    recurrent_take(NULL, &used, ROW * r->hidden, j.size);
    char *const scratch = sw_call_scratch(c, used);
    if (!scratch)
        return SW_ERR_MEMORY;
    used = 0;
    j.d_rows = recurrent_take(scratch, &used, rows, j.size);
    void *const sums = recurrent_take(scratch, &used, ROW * r->hidden, j.size);
    j.d_state = gradient[5];
    SW_TRY(recurrent_pack(c, &j, false, r->gates * r->hidden, r->hidden));
    SW_TRY(recurrent_run_blocks(c, &j, true, recurrent_backward_block));
    SW_TRY(recurrent_gradients(c, &j, gradient));
    if (gradient[3] || gradient[4])
        recurrent_bias_gradients(&j, sums, gradient[3], gradient[4]);
    return SW_OK;
}
