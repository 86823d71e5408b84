/* What forward and backward of LSTM and GRU share: the job of a call, its blocks of samples, the places of rows, and
 * products (recurrent_job.c). recurrent_run.h has an overview. */
#ifndef SWALE_OPS_RECURRENT_JOB_H
#define SWALE_OPS_RECURRENT_JOB_H

#include <swale/extend.h>

#include "core/ops/recurrent_gates.h"
#include "core/ops/recurrent_run.h"

#include <string.h>

enum { ROW = 4 /* vectors of `hidden` elements in a row: see recurrent_gates.h */ };

typedef struct swi_recurrent_job {
    swi_recurrent r;
    size_t size; /* of an element */
    bool joined;
    int64_t front;  /* joined: the inputs, elements in front of h in a row; else 0 */
    int64_t terms;  /* front + hidden */
    int64_t blocks; /* of samples */
    sw_kernel *step;
    const int32_t *lengths;         /* or NULL */
    char *rows, *before, *c_before; /* [batch, time, 4 hidden], [batch, time, terms], [batch, time, hidden] */
    /* The weights, packed; NULL for a step that is alone. Backward: W_hh, and W_ih if there is dx. */
    const void *panels, *x_panels;
    const char *products;         /* without panels, forward: W_h h + b_h [batch, gates hidden] */
    const char *x, *bias, *state; /* b_h, joined b_i + b_h, or NULL; the first state, or NULL */
    char *out;                    /* forward */
    const char *cotangent;        /* backward */
    char *d_rows, *d_state;       /* backward: [batch, time, 4 hidden]; [batch, state] or NULL */
    char *dx;                     /* backward, joined: or NULL */
} swi_recurrent_job;

/* The samples of a block, and its scratch. */
typedef struct swi_recurrent_block {
    int64_t first, count, longest; /* samples; the number of steps of the longest */
    char *h, *c;                   /* forward: the state after the last step; backward: dh, dc; [count, hidden] */
    char *product;                 /* [count, columns] */
    int64_t columns;
    char *factor; /* unless joined: the factor of the product, h or its gradients, [count, hidden or gates hidden] */
} swi_recurrent_block;

static inline int64_t recurrent_length(const swi_recurrent_job *j, int64_t sample) {
    return j->lengths ? j->lengths[sample] : j->r.time;
}

/* The index of a step of a sample in x and the output, [batch, time]. */
static inline int64_t recurrent_row(const swi_recurrent_job *j, int64_t sample, int64_t step) {
    return sample * j->r.time + (j->r.reverse ? recurrent_length(j, sample) - 1 - step : step);
}

/* The same in saved rows. */
static inline int64_t recurrent_place(const swi_recurrent_job *j, const swi_recurrent_block *b, int64_t i,
                                      int64_t step) {
    return j->joined ? b->first * j->r.time + step * b->count + i : recurrent_row(j, b->first + i, step);
}

static inline char *recurrent_at(const swi_recurrent_job *j, const char *array, int64_t row, int64_t length) {
    return (char *)(uintptr_t)array + (size_t)(row * length) * j->size;
}

static inline void recurrent_copy(const swi_recurrent_job *j, void *to, const void *from) {
    memcpy(to, from, (size_t)j->r.hidden * j->size);
}

/* h in the row before a step. */
static inline char *recurrent_h_before(const swi_recurrent_job *j, int64_t place) {
    return recurrent_at(j, recurrent_at(j, j->before, place, j->terms), 1, j->front);
}

/* The place of `elements` elements in memory of which *used bytes are used; NULL if base is NULL, to count bytes. */
char *swi_recurrent_take(char *base, size_t *used, int64_t elements, size_t size);
/* Zeros for the rows [batch, time] of the steps after the end of a sample, and for the saved rows of these steps, which
 * are factors of products. */
void swi_recurrent_clear_end(const swi_recurrent_job *j, char *array, int64_t sample, int64_t length);
void swi_recurrent_clear_places(const swi_recurrent_job *j, const swi_recurrent_block *b, char *array, int64_t i,
                                int64_t length);
/* The block of a work item, in the scratch of its worker. */
swi_recurrent_block swi_recurrent_block_at(const swi_recurrent_job *j, bool backward, int64_t item, char *scratch);
/* Runs the blocks on the threads. */
sw_status swi_recurrent_run_blocks(sw_call *c, const swi_recurrent_job *j, bool backward, sw_work_item work);
/* A product without operands, and running some of them one after the other, with common scratch. */
sw_product swi_recurrent_product(sw_dtype type, int64_t M, int64_t N, int64_t K);
sw_status swi_recurrent_multiply(sw_call *c, sw_product *product, int count);
/* The elements of an input; NULL if there is none (-1). */
const void *swi_recurrent_input(const sw_call *c, int input);
/* Sets the places in the memory from forward to vjp, and returns its bytes. */
size_t swi_recurrent_set_saved(swi_recurrent_job *j, char *saved);
swi_recurrent_job swi_recurrent_job_of(const sw_call *c, const swi_recurrent *r, bool backward);
/* Packs the weights for the products of the steps, and adds the biases if they are joined. */
sw_status swi_recurrent_pack(sw_call *c, swi_recurrent_job *j, bool backward);
/* Copies h and c of the block to row i of states [batch, state]. */
void swi_recurrent_end_sample(const swi_recurrent_job *j, const swi_recurrent_block *b, int64_t i, char *states);

#endif
