/* Runs kernels of f32 on rows of f16 and bf16 (wide_rows.h). The tiles are those of sw_kernel_run_rows, because the
 * order in which sums are added depends on them. */
#include <swale/memory.h>
#include <swale/status.h>
#include <swale/wide_rows.h>

#include "core/kernels/convert.h"
#include "core/kernels/dispatch.h"

#include <string.h>

enum {
    /* Blocks on the stack are not a multiple of 4096 bytes apart: a load from one block that has the low 12 bits of a
     * recent store to another would wait for it. */
    WIDE_STRIDE = SW_TILE + 320,
    WIDE_BLOCK = 1024, /* elements of a block of a kernel without sums: the blocks of all arrays fit in the L1 cache */
    WIDE_SUMS = 64     /* long rows whose sums are added together, as in parallel.c */
};

typedef struct wide_walk {
    const sw_wide_rows *job;
    sw_kernel *kernel;
    double *partial; /* long rows: the sum of each, or NULL */
    int64_t first;   /* long rows: the row of item 0 */
} wide_walk;

/* The bytes of a row in scratch. */
static size_t wide_row_bytes(const sw_wide_rows *job) {
    return ((size_t)job->length * sizeof(float) + SW_ALIGNMENT - 1) / SW_ALIGNMENT * SW_ALIGNMENT;
}

static int wide_converted(const sw_wide_rows *job) {
    int converted = 0;
    for (int i = 0; i < job->arrays; i++)
        converted += job->array[i].use != SW_WIDE_ROWS;
    return converted;
}

/* Runs the kernel on `count` rows. buffer[k] has room for these rows of the k-th array that is converted. */
static void wide_run_block(const wide_walk *w, int64_t first, int64_t count, float *const *buffer, double *sums) {
    const sw_wide_rows *job = w->job;
    union {
        max_align_t alignment;
        char bytes[SW_WIDE_ARGS];
    } args;
    struct {
        uint16_t *rows;
        const float *results;
        int64_t n;
    } written[SW_WIDE_CONVERTED];
    int converted = 0, results = 0;
    memcpy(args.bytes, job->args, job->bytes);
    for (int i = 0; i < job->arrays; i++) {
        const sw_wide_array *a = &job->array[i];
        void *data;
        memcpy(&data, args.bytes + a->member, sizeof data);
        if (!data)
            continue;
        if (a->use == SW_WIDE_ROWS) {
            data = (char *)data + first * a->row;
        } else {
            uint16_t *rows = (uint16_t *)data + first * a->row;
            const int64_t n = count * a->row;
            data = buffer[converted];
            if (a->use == SW_WIDE_READ) {
                swi_convert_from_half(job->type, n, rows, data);
            } else {
                written[results].rows = rows;
                written[results].results = data;
                written[results++].n = n;
            }
            converted++;
        }
        memcpy(args.bytes + a->member, &data, sizeof data);
    }
    w->kernel(&args, 0, count, sums);
    for (int i = 0; i < results; i++)
        swi_convert_to_half(job->type, written[i].n, written[i].results, written[i].rows);
}

/* A kernel over the rows of a job whose rows have at most SW_TILE elements. The rows of a tile with sums are one block:
 * the kernel may add to a sum in an order that depends on all rows of its call. */
static void wide_run_tile(void *args, int64_t begin, int64_t end, double *sums) {
    const wide_walk *w = args;
    float block[SW_WIDE_CONVERTED][WIDE_STRIDE], *buffer[SW_WIDE_CONVERTED];
    const int64_t length = w->job->length < 1 ? 1 : w->job->length, most = sums                  ? SW_TILE / length
                                                                           : length < WIDE_BLOCK ? WIDE_BLOCK / length
                                                                                                 : 1;
    for (int i = 0; i < SW_WIDE_CONVERTED; i++)
        buffer[i] = block[i];
    for (int64_t row = begin; row < end; row += most)
        wide_run_block(w, row, end - row < most ? end - row : most, buffer, sums);
}

static sw_status wide_run_long_row(void *args, int64_t item, sw_worker *worker) {
    const wide_walk *w = args;
    const size_t stride = wide_row_bytes(w->job);
    const int converted = wide_converted(w->job);
    float *buffer[SW_WIDE_CONVERTED] = {0};
    for (int i = 0; i < converted; i++)
        buffer[i] = (float *)(void *)((char *)worker->scratch + (size_t)i * stride);
    wide_run_block(w, w->first + item, 1, buffer, w->partial ? w->partial + item : NULL);
    return SW_OK;
}

static size_t wide_worker_bytes(const sw_wide_rows *job) {
    return (size_t)wide_converted(job) * wide_row_bytes(job);
}

static sw_status wide_check(const sw_wide_rows *job) {
    const int64_t most = job->length < 1 ? 1 : job->length;
    if (job->type != SW_F16 && job->type != SW_BF16)
        return sw_fail(SW_ERR_TYPE, "wide_rows: the rows are %s; f16 or bf16 is needed", sw_dtype_name(job->type));
    if (job->bytes > SW_WIDE_ARGS || job->arrays > SW_WIDE_ARRAYS)
        return sw_fail(SW_ERR_ARGUMENT,
                       "wide_rows: %zu bytes of arguments and %d arrays; at most %d and %d are possible", job->bytes,
                       job->arrays, SW_WIDE_ARGS, SW_WIDE_ARRAYS);
    if (wide_converted(job) > SW_WIDE_CONVERTED)
        return sw_fail(SW_ERR_ARGUMENT, "wide_rows: %d arrays to convert; at most %d are possible", wide_converted(job),
                       SW_WIDE_CONVERTED);
    for (int i = 0; i < job->arrays; i++)
        if (job->array[i].use != SW_WIDE_ROWS && (job->array[i].row < 0 || job->array[i].row > most))
            return sw_fail(SW_ERR_ARGUMENT, "wide_rows: array %d has %lld elements in a row; 0 to %lld are possible", i,
                           (long long)job->array[i].row, (long long)most);
    return SW_OK;
}

size_t sw_wide_rows_scratch(const sw_wide_rows *job) {
    return job->length <= SW_TILE || job->rows < 1 ? 0 : sw_parallel_scratch(job->rows, wide_worker_bytes(job));
}

sw_status sw_wide_rows_run(const sw_wide_rows *job, double *sum, void *scratch, size_t bytes) {
    if (!job || job->size < sizeof *job)
        return sw_fail(SW_ERR_ARGUMENT, "wide_rows: %s", job ? "its size must be sizeof(sw_wide_rows)" : "it is NULL");
    wide_walk w = {.job = job, .kernel = (*job->kernels)[SW_F32][swi_cpu_level()]};
    SW_TRY(wide_check(job));
    if (job->length <= SW_TILE || job->rows < 1) {
        sw_kernel_run_rows(wide_run_tile, &w, job->rows, job->length, sum);
        return SW_OK;
    }
    if (!scratch && bytes > 0)
        return SW_ERR_MEMORY;
    const size_t worker = wide_worker_bytes(job);
    if (!sum)
        return sw_parallel_items_with_scratch(wide_run_long_row, &w, job->rows, worker, scratch, bytes);
    for (*sum = 0; w.first < job->rows; w.first += WIDE_SUMS) {
        double partial[WIDE_SUMS] = {0};
        const int64_t rows = job->rows - w.first < WIDE_SUMS ? job->rows - w.first : WIDE_SUMS;
        w.partial = partial;
        SW_TRY(sw_parallel_items_with_scratch(wide_run_long_row, &w, rows, worker, scratch, bytes));
        for (int64_t i = 0; i < rows; i++)
            *sum += partial[i];
    }
    return SW_OK;
}
