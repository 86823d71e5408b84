/* The job of a call of LSTM or GRU: see recurrent_job.h. */
#include "core/ops/recurrent_job.h"

enum { BLOCK = 8 };                        /* samples */
static const int64_t least_work = 1 << 17; /* multiplications of a block */
static const int64_t joined_bytes = 1 << 20;

/* ---- Sizes and places ---- */

static int64_t recurrent_blocks(const swi_recurrent *r) {
    const double work = (double)r->time * (double)r->gates * (double)r->hidden * (double)r->hidden;
    int64_t rows = BLOCK;
    while (rows < r->batch && (double)rows * work < (double)least_work)
        rows *= 2;
    return (r->batch + rows - 1) / rows;
}

/* The place of `elements` elements in memory of which *used bytes are used; NULL if base is NULL, to count bytes. */
char *swi_recurrent_take(char *base, size_t *used, int64_t elements, size_t size) {
    const size_t from = *used;
    *used += ((size_t)elements * size + SW_ALIGNMENT - 1) / SW_ALIGNMENT * SW_ALIGNMENT;
    return base ? base + from : NULL;
}

/* Zeros for the rows of the steps after the end of a sample. */
void swi_recurrent_clear_end(const swi_recurrent_job *j, char *array, int64_t sample, int64_t length) {
    const int64_t steps = recurrent_length(j, sample), left = j->r.time - steps;
    if (left > 0)
        memset(recurrent_at(j, array, sample * j->r.time + steps, length), 0, (size_t)(left * length) * j->size);
}

/* Zeros for the saved rows of these steps, which are factors of products. */
void swi_recurrent_clear_places(const swi_recurrent_job *j, const swi_recurrent_block *b, char *array, int64_t i,
                                int64_t length) {
    if (!j->joined)
        swi_recurrent_clear_end(j, array, b->first + i, length);
    for (int64_t step = recurrent_length(j, b->first + i); j->joined && step < j->r.time; step++)
        memset(recurrent_at(j, array, recurrent_place(j, b, i, step), length), 0, (size_t)length * j->size);
}

/* Sets the places in the scratch of a block of b->count rows, and returns its bytes. */
static size_t recurrent_set_block(const swi_recurrent_job *j, bool backward, char *scratch, swi_recurrent_block *b) {
    const swi_recurrent *r = &j->r;
    const int64_t width = r->gates * r->hidden;
    size_t used = 0;
    b->columns =
        sw_packed_columns(r->type, backward ? (j->dx && r->inputs > r->hidden ? r->inputs : r->hidden) : width);
    b->h = swi_recurrent_take(scratch, &used, b->count * r->hidden, j->size);
    b->c = swi_recurrent_take(scratch, &used, b->count * r->hidden, j->size);
    b->product = swi_recurrent_take(scratch, &used, b->count * b->columns, j->size);
    b->factor = swi_recurrent_take(scratch, &used, j->joined ? 0 : b->count * (backward ? width : r->hidden), j->size);
    return used;
}

swi_recurrent_block swi_recurrent_block_at(const swi_recurrent_job *j, bool backward, int64_t item, char *scratch) {
    swi_recurrent_block b = {.first = sw_part_begin(j->r.batch, j->blocks, item)};
    b.count = sw_part_begin(j->r.batch, j->blocks, item + 1) - b.first;
    for (int64_t i = 0; i < b.count; i++) {
        const int64_t length = recurrent_length(j, b.first + i);
        b.longest = length > b.longest ? length : b.longest;
    }
    recurrent_set_block(j, backward, scratch, &b);
    return b;
}

/* Runs the blocks on the threads. */
sw_status swi_recurrent_run_blocks(sw_call *c, const swi_recurrent_job *j, bool backward, sw_work_item work) {
    swi_recurrent_block largest = {.count = j->blocks ? (j->r.batch + j->blocks - 1) / j->blocks : 0};
    const size_t each = recurrent_set_block(j, backward, NULL, &largest), all = sw_parallel_scratch(j->blocks, each);
    void *const scratch = sw_call_scratch(c, all);
    if (!scratch)
        return SW_ERR_MEMORY;
    return sw_parallel_items_with_scratch(work, (void *)(uintptr_t)j, j->blocks, each, scratch, all);
}

/* ---- Products outside of the steps ---- */

sw_product swi_recurrent_product(sw_dtype type, int64_t M, int64_t N, int64_t K) {
    return (sw_product){
        .size = sizeof(sw_product), .a_type = type, .b_type = type, .c_type = type, .M = M, .N = N, .K = K, .alpha = 1};
}

/* Runs products one after the other, with common scratch. */
sw_status swi_recurrent_multiply(sw_call *c, sw_product *product, int count) {
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

const void *swi_recurrent_input(const sw_call *c, int input) {
    return input < 0 ? NULL : c->in[input]->data;
}

/* Sets the places in the memory from forward to vjp, and returns its bytes. */
size_t swi_recurrent_set_saved(swi_recurrent_job *j, char *saved) {
    const int64_t steps = j->r.batch * j->r.time, hidden = j->r.hidden;
    size_t used = 0;
    j->rows = swi_recurrent_take(saved, &used, steps * ROW * hidden, j->size);
    j->before = swi_recurrent_take(saved, &used, steps * j->terms, j->size);
    j->c_before = swi_recurrent_take(saved, &used, j->r.lstm ? steps * hidden : 0, j->size);
    return used;
}

swi_recurrent_job swi_recurrent_job_of(const sw_call *c, const swi_recurrent *r, bool backward) {
    const sw_kernels *const kernels[2][2] = {{&swi_gru_forward_kernels, &swi_gru_backward_kernels},
                                             {&swi_lstm_forward_kernels, &swi_lstm_backward_kernels}};
    const size_t size = sw_dtype_size(r->type);
    const double weights = (double)r->gates * (double)r->hidden * (double)(r->inputs + r->hidden) * (double)size;
    const bool joined = r->lstm && r->time > 1 && weights <= (double)joined_bytes;
    return (swi_recurrent_job){.r = *r,
                               .size = size,
                               .joined = joined,
                               .front = joined ? r->inputs : 0,
                               .terms = (joined ? r->inputs : 0) + r->hidden,
                               .blocks = recurrent_blocks(r),
                               .step = (*kernels[r->lstm][backward])[r->type][sw_cpu_level()],
                               .lengths = swi_recurrent_input(c, r->lengths),
                               .x = c->in[0]->data,
                               .bias = swi_recurrent_input(c, r->bias_hh),
                               .state = swi_recurrent_input(c, r->first_state),
                               .out = c->out->data,
                               .cotangent = c->cotangent};
}

/* [W_ih, W_hh] */
static void recurrent_join_weights(const sw_call *c, const swi_recurrent_job *j, char *to) {
    const size_t front = (size_t)j->front * j->size, back = (size_t)j->r.hidden * j->size;
    const char *ih = c->in[1]->data, *hh = c->in[2]->data;
    for (int64_t i = 0; i < j->r.gates * j->r.hidden && !sw_dry_run();
         i++, to += front + back, ih += front, hh += back) {
        memcpy(to, ih, front);
        memcpy(to + front, hh, back);
    }
}

/* Packs the weights for the products of the steps, and adds the biases if they are joined. */
static sw_status recurrent_pack_forward(sw_call *c, swi_recurrent_job *j) {
    const swi_recurrent *r = &j->r;
    const int64_t width = r->gates * r->hidden;
    size_t used[2] = {0};
    char *panels = NULL, *weights = NULL, *bias = NULL;
    for (int pass = 0; pass < 2; pass++) { /* counts the bytes, and then sets the places */
        char *const base = pass ? sw_call_scratch(c, used[0]) : NULL;
        if (pass && !base)
            return SW_ERR_MEMORY;
        panels = swi_recurrent_take(base, &used[pass], (int64_t)sw_packed_bytes(r->type, j->terms, width), 1);
        weights = swi_recurrent_take(base, &used[pass], j->joined ? width * j->terms : 0, j->size);
        bias = swi_recurrent_take(base, &used[pass], j->joined ? width : 0, j->size);
    }
    if (j->joined)
        recurrent_join_weights(c, j, weights);
    sw_packed_fill(r->type, true, j->terms, width, j->joined ? weights : c->in[2]->data, j->terms, panels);
    sw_dry_run_count_product(r->batch * r->time, width, j->terms);
    j->panels = panels;
    const void *const ih = swi_recurrent_input(c, r->bias_ih);
    if (!j->joined || !ih)
        return SW_OK;
    if (j->bias)
        sw_vector_axpby(r->type, width, 1, ih, 1, j->bias, bias);
    j->bias = j->bias ? bias : ih;
    return SW_OK;
}

static sw_status recurrent_pack_backward(sw_call *c, swi_recurrent_job *j) {
    const swi_recurrent *r = &j->r;
    const int64_t width = r->gates * r->hidden, inputs = j->dx ? r->inputs : 0;
    size_t used[2] = {0};
    char *h_panels = NULL, *x_panels = NULL;
    for (int pass = 0; pass < 2; pass++) {
        char *const base = pass ? sw_call_scratch(c, used[0]) : NULL;
        if (pass && !base)
            return SW_ERR_MEMORY;
        h_panels = swi_recurrent_take(base, &used[pass], (int64_t)sw_packed_bytes(r->type, width, r->hidden), 1);
        x_panels = swi_recurrent_take(base, &used[pass], (int64_t)sw_packed_bytes(r->type, width, inputs), 1);
    }
    sw_packed_fill(r->type, false, width, r->hidden, c->in[2]->data, r->hidden, h_panels);
    if (j->dx)
        sw_packed_fill(r->type, false, width, inputs, c->in[1]->data, inputs, x_panels);
    sw_dry_run_count_product(r->batch * r->time, inputs + r->hidden, width);
    j->panels = h_panels;
    j->x_panels = x_panels;
    return SW_OK;
}

sw_status swi_recurrent_pack(sw_call *c, swi_recurrent_job *j, bool backward) {
    if (j->r.time == 1)
        return SW_OK;
    return backward ? recurrent_pack_backward(c, j) : recurrent_pack_forward(c, j);
}

void swi_recurrent_end_sample(const swi_recurrent_job *j, const swi_recurrent_block *b, int64_t i, char *states) {
    char *const to = recurrent_at(j, states, b->first + i, j->r.state);
    recurrent_copy(j, to, recurrent_at(j, b->h, i, j->r.hidden));
    if (j->r.lstm)
        recurrent_copy(j, recurrent_at(j, to, 1, j->r.hidden), recurrent_at(j, b->c, i, j->r.hidden));
}
