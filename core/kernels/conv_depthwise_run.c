/* Depthwise convolutions: the threads share rows of the result. See conv_depthwise.h. */
#include <swale/memory.h>
#include <swale/parallel.h>
#include <swale/status.h>

#include "core/kernels/conv_depthwise.h"
#include "core/kernels/dispatch.h"

#include <string.h>

/* The channels fill at least this many bytes, a register of AVX2. */
enum { LEAST_BYTES = 32 };
/* Parts of the work for the threads to share; bytes of the sums of the gradient of the weights. */
enum { ENOUGH_PARTS = 16, MOST_SUM_BYTES = 1 << 22 };
/* Runs of fewer columns are computed down the rows, because a tile of few pixels waits for the sums before. */
enum { SHORT_RUN = 6 };

/* Columns first + i apart of a column phase, i < count, with the same taps. */
typedef struct depthwise_run {
    int64_t first, count;
    swi_conv_taps taps;
} depthwise_run;

typedef struct depthwise_job {
    swi_conv_plan plan;
    const char *picture, *w, *bias;
    char *result;
    int level;
    int64_t vectors, parts; /* vectors of the channels, and their parts */
    depthwise_run *run;     /* of all column phases */
    int64_t *first_run;     /* of each column phase, and the end of the last */
    char *packed;           /* weights [terms, channels] */
    int64_t sums, sum_step; /* groups of items; channels in whole registers */
    char *sum;              /* [sums, terms, sum_step] */
    sw_kernel *kernel;
    size_t bytes; /* of the memory for all of them */
} depthwise_job;

bool swi_depthwise_fits(const sw_conv *c) {
    return c->groups > 1 && c->inputs == c->groups && c->outputs == c->groups &&
           c->inputs * (int64_t)sw_dtype_size(c->type) >= LEAST_BYTES && c->batch > 0 && c->height > 0 &&
           c->width > 0 && c->out_height > 0 && c->out_width > 0;
}

/* The next `bytes` of the memory; without memory, they are only counted. */
static void *depthwise_take(depthwise_job *j, char *memory, int64_t bytes) {
    void *at = memory ? memory + j->bytes : NULL;
    j->bytes += ((size_t)bytes + SW_ALIGNMENT - 1) / SW_ALIGNMENT * SW_ALIGNMENT;
    return at;
}

static depthwise_job depthwise_new(const sw_conv *c, swi_conv_purpose purpose, char *memory) {
    depthwise_job j = {.plan = swi_conv_plan_depthwise(c, purpose), .level = swi_cpu_level()};
    const int64_t size = j.plan.size;
    while (j.level > 1 && (16 << j.level) / size > c->inputs)
        j.level--;
    const int64_t lanes = (16 << j.level) / size, most = SW_ALIGNMENT / size;
    j.vectors = (c->inputs + lanes - 1) / lanes;
    j.sum_step = (c->inputs + most - 1) / most * most;
    const int64_t sum_bytes = j.plan.terms * j.sum_step * size, fit = sum_bytes > 0 ? MOST_SUM_BYTES / sum_bytes : 1;
    j.sums = j.plan.items < ENOUGH_PARTS ? j.plan.items : ENOUGH_PARTS;
    j.sums = j.sums < fit ? j.sums : fit > 1 ? fit : 1;
    const int64_t items = purpose == SWI_CONV_WEIGHTS ? j.sums : j.plan.items,
                  wanted = (ENOUGH_PARTS + items - 1) / items;
    j.parts =
        j.vectors / 2 < wanted ? j.vectors / 2 : wanted; /* the last two vectors, which overlap, are in one part */
    j.parts = j.parts > 1 ? j.parts : 1;
    void *lists = depthwise_take(&j, memory, (int64_t)swi_conv_plan_bytes(&j.plan));
    j.run = depthwise_take(&j, memory, j.plan.axis[1].result * (int64_t)sizeof(depthwise_run));
    j.first_run = depthwise_take(&j, memory, (j.plan.axis[1].phases + 1) * (int64_t)sizeof(int64_t));
    if (purpose == SWI_CONV_WEIGHTS)
        j.sum = depthwise_take(&j, memory, j.sums * sum_bytes);
    else
        j.packed = depthwise_take(&j, memory, j.plan.terms * c->inputs * size);
    if (memory)
        swi_conv_plan_fill(&j.plan, lists);
    return j;
}

/* Divides the columns into runs with the same taps. */
static void depthwise_fill_runs(depthwise_job *j) {
    const swi_conv_axis *w = &j->plan.axis[1];
    int64_t runs = 0;
    for (int64_t phase = 0; phase < w->phases; phase++) {
        j->first_run[phase] = runs;
        for (int64_t i = 0; phase + i * w->apart < w->result; i++) {
            const swi_conv_taps taps = j->plan.taps[1][phase + i * w->apart];
            if (i > 0 && taps.first == j->run[runs - 1].taps.first && taps.end == j->run[runs - 1].taps.end)
                j->run[runs - 1].count++;
            else
                j->run[runs++] = (depthwise_run){.first = i, .count = 1, .taps = taps};
        }
    }
    j->first_run[w->phases] = runs;
}

/* ---- Forward, and the gradient of the input ---- */

static void depthwise_pack(const depthwise_job *j) {
    const swi_conv_plan *p = &j->plan;
    const int64_t length = p->conv->kernel_height * p->conv->kernel_width;
    for (int64_t c = 0; c < p->channels; c++)
        for (int64_t k = 0; k < p->phases; k++)
            for (int64_t t = 0; t < p->phase[k].terms; t++) {
                const int64_t to = (p->phase[k].first_term + t) * p->channels + c,
                              from = c * length + p->phase[k].source[t];
                memcpy(j->packed + to * p->size, j->w + from * p->size, (size_t)p->size);
            }
}

/* The terms of a row with the taps `u` and a run with the taps `v`, in phase f; *first is the number of the first. */
static swi_depthwise_taps depthwise_taps(const swi_conv_plan *p, const swi_conv_phase *f, swi_conv_taps u,
                                         swi_conv_taps v, int64_t *first) {
    *first = u.first * f->taps[1] + v.first;
    return (swi_depthwise_taps){.offset = f->offset + *first,
                                .segments = u.end - u.first,
                                .length = v.end - v.first,
                                .step = f->taps[1],
                                .channels = p->channels};
}

/* The pixel of the picture from which the offsets of pixel (row, i) of the grid count. */
static int64_t depthwise_origin(const swi_conv_plan *p, int64_t sample, int64_t row, int64_t i) {
    const swi_conv_axis *h = &p->axis[0], *w = &p->axis[1];
    return (sample * h->picture + row * h->step + h->low) * w->picture + i * w->step + w->low;
}

/* The sample and the rows of the result of an item: begin, begin + step, … below end. */
typedef struct depthwise_rows {
    int64_t sample, begin, end, step;
} depthwise_rows;
static depthwise_rows depthwise_item_rows(const swi_conv_plan *p, int64_t item) {
    const swi_conv_axis *h = &p->axis[0];
    const int64_t each = (h->result + h->part - 1) / h->part, begin = item % each * h->part;
    return (depthwise_rows){.sample = item / each,
                            .begin = begin,
                            .end = h->result - begin < h->part ? h->result : begin + h->part,
                            .step = 1};
}

static int64_t depthwise_count(depthwise_rows rows) {
    return (rows.end - rows.begin + rows.step - 1) / rows.step;
}

/* The first rows that have the same taps. */
static depthwise_rows depthwise_same_taps(const swi_conv_plan *p, depthwise_rows rows) {
    const swi_conv_taps *taps = &p->taps[0][rows.begin];
    int64_t next = rows.begin + rows.step;
    while (next < rows.end && p->taps[0][next].first == taps->first && p->taps[0][next].end == taps->end)
        next += rows.step;
    rows.end = next < rows.end ? next : rows.end;
    return rows;
}

/* Some rows with the same taps, in one column run. A tile has pixels of the longer side. */
static void depthwise_rectangle(const depthwise_job *j, depthwise_rows rows, int64_t column_phase,
                                const depthwise_run *run, int64_t begin, int64_t end) {
    const swi_conv_plan *p = &j->plan;
    const swi_conv_axis *h = &p->axis[0], *w = &p->axis[1];
    const swi_conv_phase *f = &p->phase[rows.begin % h->apart * w->phases + column_phase];
    int64_t term;
    const swi_depthwise_taps taps = depthwise_taps(p, f, p->taps[0][rows.begin], run->taps, &term);
    const int64_t x = depthwise_origin(p, rows.sample, rows.begin / h->apart, run->first),
                  y = (rows.sample * h->result + rows.begin) * w->result + column_phase + run->first * w->apart,
                  count = depthwise_count(rows), x_row = h->step * w->picture * p->channels,
                  y_row = h->apart * w->result * p->channels, x_step = w->step * p->channels,
                  y_step = w->apart * p->channels;
    const bool turned = run->count < count && run->count < SHORT_RUN;
    swi_depthwise_sums s = {.x = j->picture + x * p->channels * p->size,
                            .w = j->packed + (f->first_term + term) * p->channels * p->size,
                            .start = j->bias,
                            .y = j->result + y * p->channels * p->size,
                            .rows = turned ? run->count : count,
                            .x_row = turned ? x_step : x_row,
                            .y_row = turned ? y_step : y_row,
                            .pixels = turned ? count : run->count,
                            .x_step = turned ? x_row : x_step,
                            .y_step = turned ? y_row : y_step,
                            .taps = taps};
    j->kernel(&s, begin, end, NULL);
}

static void depthwise_item(void *args, int64_t index) {
    const depthwise_job *j = args;
    const swi_conv_plan *p = &j->plan;
    const swi_conv_axis *h = &p->axis[0], *w = &p->axis[1];
    const depthwise_rows all = depthwise_item_rows(p, index / j->parts);
    const int64_t part = index % j->parts, begin = sw_part_begin(j->vectors, j->parts, part),
                  end = sw_part_begin(j->vectors, j->parts, part + 1);
    for (int64_t first = all.begin; first < all.end && first < all.begin + h->apart; first++)
        for (depthwise_rows left = {all.sample, first, all.end, h->apart}, rows; left.begin < left.end;
             left.begin += depthwise_count(rows) * rows.step) {
            rows = depthwise_same_taps(p, left);
            for (int64_t phase = 0; phase < w->phases; phase++)
                for (int64_t r = j->first_run[phase]; r < j->first_run[phase + 1]; r++)
                    depthwise_rectangle(j, rows, phase, &j->run[r], begin, end);
        }
}

size_t swi_depthwise_scratch(const sw_conv *conv, swi_conv_purpose purpose) {
    return depthwise_new(conv, purpose, NULL).bytes;
}

sw_status swi_depthwise_windows(const sw_conv *conv, bool gradient, const void *picture, const void *w,
                                const void *bias, void *result, void *scratch, size_t bytes) {
    const swi_conv_purpose purpose = gradient ? SWI_CONV_INPUT : SWI_CONV_FORWARD;
    const size_t needed = swi_depthwise_scratch(conv, purpose);
    if (!scratch || bytes < needed)
        return swi_conv_check_scratch(scratch, bytes, needed);
    depthwise_job j = depthwise_new(conv, purpose, scratch);
    j.picture = picture;
    j.w = w;
    j.bias = bias;
    j.result = result;
    j.kernel = swi_depthwise_sums_kernels[conv->type][j.level];
    depthwise_fill_runs(&j);
    depthwise_pack(&j);
    sw_parallel(depthwise_item, &j, j.plan.items * j.parts);
    return SW_OK;
}

/* ---- The gradient of the weights ---- */

/* The gradients of the taps of some rows with the same taps, in one column run. */
static swi_depthwise_weights depthwise_weights_rectangle(const depthwise_job *j, char *sum, depthwise_rows rows,
                                                         const depthwise_run *run) {
    const swi_conv_plan *p = &j->plan;
    const swi_conv_axis *h = &p->axis[0], *w = &p->axis[1];
    int64_t term;
    const swi_depthwise_taps taps = depthwise_taps(p, p->phase, p->taps[0][rows.begin], run->taps, &term);
    const int64_t x = depthwise_origin(p, rows.sample, rows.begin, run->first),
                  dy = (rows.sample * h->result + rows.begin) * w->result + run->first;
    return (swi_depthwise_weights){.x = j->picture + x * p->channels * p->size,
                                   .dy = j->result + dy * p->channels * p->size,
                                   .sum = sum + term * j->sum_step * p->size,
                                   .rows = depthwise_count(rows),
                                   .x_row = h->step * w->picture * p->channels,
                                   .y_row = w->result * p->channels,
                                   .pixels = run->count,
                                   .x_step = w->step * p->channels,
                                   .y_step = p->channels,
                                   .sum_step = j->sum_step,
                                   .taps = taps};
}

/* Adds the rows of an item, for the vectors [begin, end). */
static void depthwise_weights_rows(const depthwise_job *j, char *sum, int64_t item, int64_t begin, int64_t end) {
    for (depthwise_rows left = depthwise_item_rows(&j->plan, item), rows; left.begin < left.end;
         left.begin = rows.end) {
        rows = depthwise_same_taps(&j->plan, left);
        for (int64_t r = 0; r < j->first_run[1]; r++) {
            swi_depthwise_weights s = depthwise_weights_rectangle(j, sum, rows, &j->run[r]);
            j->kernel(&s, begin, end, NULL);
        }
    }
}

static void depthwise_weights_item(void *args, int64_t index) {
    const depthwise_job *j = args;
    const swi_conv_plan *p = &j->plan;
    const int64_t group = index / j->parts, part = index % j->parts, begin = sw_part_begin(j->vectors, j->parts, part),
                  end = sw_part_begin(j->vectors, j->parts, part + 1), lanes = (16 << j->level) / p->size;
    char *sum = j->sum + group * p->terms * j->sum_step * p->size;
    for (int64_t t = 0; t < p->terms; t++)
        memset(sum + (t * j->sum_step + begin * lanes) * p->size, 0, (size_t)((end - begin) * lanes * p->size));
    for (int64_t i = sw_part_begin(p->items, j->sums, group); i < sw_part_begin(p->items, j->sums, group + 1); i++)
        depthwise_weights_rows(j, sum, i, begin, end);
}

/* Adds up the sums [terms, vectors of channels] and copies them to dw [channels, terms]. */
static void depthwise_weights_finish(const depthwise_job *j, char *dw) {
    const swi_conv_plan *p = &j->plan;
    const int64_t lanes = (16 << j->level) / p->size, last = (j->vectors - 1) * lanes;
    sw_add_vectors(p->conv->type, j->sum, j->sums, p->terms * j->sum_step);
    for (int64_t c = 0; c < p->channels; c++) {
        const int64_t at = c < last ? c : last + lanes - p->channels + c;
        for (int64_t t = 0; t < p->terms; t++)
            memcpy(dw + (c * p->terms + t) * p->size, j->sum + (t * j->sum_step + at) * p->size, (size_t)p->size);
    }
}

sw_status swi_depthwise_weights_gradient(const sw_conv *conv, const void *x, const void *dy, void *dw, void *scratch,
                                         size_t bytes) {
    const size_t needed = swi_depthwise_scratch(conv, SWI_CONV_WEIGHTS);
    if (!scratch || bytes < needed)
        return swi_conv_check_scratch(scratch, bytes, needed);
    depthwise_job j = depthwise_new(conv, SWI_CONV_WEIGHTS, scratch);
    j.picture = x;
    j.result = (char *)(uintptr_t)dy; /* which is only read */
    j.kernel = swi_depthwise_weights_kernels[conv->type][j.level];
    depthwise_fill_runs(&j);
    sw_parallel(depthwise_weights_item, &j, j.sums * j.parts);
    depthwise_weights_finish(&j, dw);
    return SW_OK;
}
