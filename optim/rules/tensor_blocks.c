/* Parameters as tensors whose axes are merged, and their division into blocks.
 *
 * Distributed Shampoo regards a parameter in the order of PyTorch's files. The kernel of a convolution is stored as
 * [out,kh,kw,in], and its axes there are out, in, kh, kw. Merging them up to a product of 1024 gives, for 64 filters of
 * 3×3 on 64 channels,
 *
 *     axes    out 64    in 64     kh 3     kw 3        strides 576, 1, 192, 64
 *     modes   64        576 = in·kh·kw
 *
 * The index of a mode is that of its axes in row-major order. The offset of an element in memory is a sum of one number
 * for each mode, so that a table of these numbers for each mode is enough to gather a block. */
#include "optim/rules/tensor_blocks.h"

#include <swale/dry_run.h>

#include <string.h>

/* ---- Modes ---- */

static void modes_add_axis(swo_modes *m, int *axes, int64_t length, int64_t stride) {
    m->axis[*axes] = length;
    m->stride[*axes] = stride;
    (*axes)++;
}

/* Begins a mode with the next axis. */
static void modes_begin(swo_modes *m, int axes) {
    m->first[m->order] = axes;
    m->length[m->order++] = 1;
}

/* Axes of length 1 are left out, unless there is no other axis. */
static void modes_finish(swo_modes *m, int *axes) {
    if (m->order == 0) {
        modes_begin(m, *axes);
        modes_add_axis(m, axes, 1, 1);
    }
    m->first[m->order] = *axes;
}

swo_modes swo_modes_of_matrix(const sw_param *p, int64_t block, int64_t most_full) {
    swo_modes m = {.block = block, .most_full = most_full};
    const int64_t rows = p->rank > 0 ? p->shape[0] : 1, columns = rows > 0 ? p->count / rows : 0;
    int axes = 0;
    modes_begin(&m, axes);
    modes_add_axis(&m, &axes, m.length[0] = rows, p->rank >= 2 ? columns : 1);
    if (p->rank >= 2) {
        modes_begin(&m, axes);
        modes_add_axis(&m, &axes, m.length[1] = columns, 1);
    }
    m.first[m.order] = axes;
    return m;
}

/* The axes of a parameter in the order of files, with strides. */
typedef struct modes_axes {
    int count;
    int64_t length[SW_MAX_RANK], stride[SW_MAX_RANK];
} modes_axes;

static modes_axes modes_axes_of(int rank, const int64_t *shape, const int *order) {
    modes_axes a = {.count = rank};
    int64_t stride[SW_MAX_RANK] = {0}, next = 1;
    for (int i = rank; i-- > 0; next *= shape[i])
        stride[i] = next;
    for (int i = 0; i < rank; i++) {
        a.length[i] = shape[order ? order[i] : i];
        a.stride[i] = stride[order ? order[i] : i];
    }
    return a;
}

/* The axes that form axis i of the file's shape: those up to the returned index. -1: the file's shape cuts an axis. */
static int modes_axes_until(const modes_axes *a, int from, int64_t length) {
    int64_t product = 1;
    while (from < a->count && product < length)
        product *= a->length[from++];
    while (from < a->count && a->length[from] == 1)
        from++;
    return product == length ? from : -1;
}

/* Appends the axes [from, to) to the modes as one axis of the tensor, merged with the previous one if the product is at
 * most `merge`. */
static void modes_append(swo_modes *m, int *axes, const modes_axes *a, int from, int to, int64_t merge) {
    int64_t length = 1;
    for (int i = from; i < to; i++)
        length *= a->length[i];
    if (length == 1)
        return;
    if (m->order == 0 || m->length[m->order - 1] * length > merge)
        modes_begin(m, *axes);
    m->length[m->order - 1] *= length;
    for (int i = from; i < to; i++)
        if (a->length[i] != 1)
            modes_add_axis(m, axes, a->length[i], a->stride[i]);
}

swo_modes swo_modes_of_file_order(const sw_param *p, int64_t merge, int64_t block) {
    const sw_file_order *o = &p->channels_first;
    swo_modes m = {.block = block, .most_full = block};
    modes_axes a = o->rank > 0 ? modes_axes_of(o->rank, o->view, o->axes) : modes_axes_of(p->rank, p->shape, NULL);
    int rank = o->rank > 0 ? o->file_rank : p->rank, axes = 0;
    const int64_t *shape = o->rank > 0 ? o->file_shape : p->shape;
    for (int i = 0, from = 0; p->count > 0 && i < rank; i++) {
        int to = modes_axes_until(&a, from, shape[i]);
        if (to < 0) { /* the file's shape is not a merger of axes: take the axes themselves */
            m.order = axes = from = 0;
            rank = a.count;
            shape = a.length;
            i = -1;
            continue;
        }
        modes_append(&m, &axes, &a, from, to, merge);
        from = to;
    }
    if (p->count == 0) {
        modes_begin(&m, axes);
        modes_add_axis(&m, &axes, m.length[0] = 0, 1);
    }
    modes_finish(&m, &axes);
    return m;
}

/* ---- Blocks ---- */

/* The number of parts of mode k, the length of part i, and over parts 0 to n - 1: the sum of their lengths and of the
 * elements of their factors. */
static int64_t blocks_parts(const swo_modes *m, int k) {
    return m->length[k] / m->block + (m->length[k] % m->block != 0);
}

static int64_t blocks_length(const swo_modes *m, int k, int64_t i) {
    const int64_t rest = m->length[k] - i * m->block;
    return m->block < rest ? m->block : rest;
}

static int64_t blocks_factor(const swo_modes *m, int64_t length) {
    return length <= m->most_full ? length * length : length;
}

typedef struct blocks_sum {
    int64_t parts, length, factor;
} blocks_sum;

static blocks_sum blocks_sum_of(const swo_modes *m, int k, int64_t n) {
    const bool ends = n == blocks_parts(m, k) && n > 0;
    blocks_sum s = {.parts = n};
    if (n == 0)
        return s;
    const int64_t last = ends ? blocks_length(m, k, n - 1) : 0, full = n - (ends ? 1 : 0);
    s.length = (full > 0 ? full * m->block : 0) + last;
    s.factor = (full > 0 ? full * blocks_factor(m, m->block) : 0) + (ends ? blocks_factor(m, last) : 0);
    return s;
}

/* Elements, and elements of factors, of the blocks that combine these parts of all modes. */
static int64_t blocks_elements(const swo_modes *m, const blocks_sum *s) {
    int64_t count = 1;
    for (int k = 0; k < m->order; k++)
        count *= s[k].length;
    return count;
}

static int64_t blocks_factors(const swo_modes *m, const blocks_sum *s) {
    int64_t count = 0;
    for (int k = 0; k < m->order; k++) {
        int64_t of_mode = s[k].factor;
        for (int j = 0; j < m->order; j++)
            of_mode *= j == k ? 1 : s[j].parts;
        count += of_mode;
    }
    return count;
}

int64_t swo_block_count(const swo_modes *m) {
    int64_t count = 1;
    for (int k = 0; k < m->order; k++)
        count *= blocks_parts(m, k);
    return count;
}

swo_block swo_block_at(const swo_modes *m, int64_t index) {
    swo_block b = {.order = m->order, .index = index, .count = 1, .whole = swo_block_count(m) == 1};
    int64_t part[SW_MAX_RANK], rest = index;
    for (int k = m->order; k-- > 0; rest /= blocks_parts(m, k))
        part[k] = rest % blocks_parts(m, k);
    blocks_sum s[SW_MAX_RANK];
    for (int k = 0; k < m->order; k++)
        s[k] = blocks_sum_of(m, k, blocks_parts(m, k));
    for (int k = 0; k < m->order; k++) { /* the blocks before this one that have the same parts of the modes before k */
        s[k] = blocks_sum_of(m, k, part[k]);
        b.at += blocks_elements(m, s);
        b.factor_at += blocks_factors(m, s);
        b.begin[k] = part[k] * (m->block < m->length[k] ? m->block : 0);
        b.length[k] = blocks_length(m, k, part[k]);
        b.full[k] = b.length[k] <= m->most_full;
        b.count *= b.length[k];
        s[k] = (blocks_sum){1, b.length[k], blocks_factor(m, b.length[k])};
    }
    int64_t stride = 1;
    for (int i = m->first[m->order]; i-- > 0; stride *= m->axis[i])
        b.whole &= m->stride[i] == stride;
    return b;
}

int64_t swo_block_factor_count(const swo_block *b) {
    int64_t count = 0;
    for (int k = 0; k < b->order; k++)
        count += b->full[k] ? b->length[k] * b->length[k] : b->length[k];
    return count;
}

int64_t swo_factor_count(const swo_modes *m) {
    blocks_sum s[SW_MAX_RANK];
    for (int k = 0; k < m->order; k++)
        s[k] = blocks_sum_of(m, k, blocks_parts(m, k));
    return swo_block_count(m) ? blocks_factors(m, s) : 0;
}

/* ---- Copies of blocks ---- */

int64_t swo_block_table(const swo_block *b) {
    int64_t count = 0;
    for (int k = 0; k < b->order && !b->whole; k++)
        count += b->length[k];
    return count;
}

/* Writes the offsets in memory of the indices of each mode, one mode after the other. */
static void blocks_fill_table(const swo_modes *m, const swo_block *b, int64_t *table) {
    for (int k = 0; k < b->order; k++)
        for (int64_t i = 0; i < b->length[k]; i++) {
            int64_t offset = 0, rest = b->begin[k] + i;
            for (int a = m->first[k + 1]; a-- > m->first[k]; rest /= m->axis[a])
                offset += rest % m->axis[a] * m->stride[a];
            *table++ = offset;
        }
}

static bool blocks_is_contiguous(const int64_t *table, int64_t n) {
    bool contiguous = true;
    for (int64_t i = 1; i < n && contiguous; i++)
        contiguous = table[i] == table[0] + i;
    return contiguous;
}

/* One row of a block: n elements at memory + table[i], contiguous in the block. */
static void blocks_copy_row(size_t size, char *memory, const int64_t *table, int64_t n, bool contiguous, char *row,
                            bool gather) {
    if (contiguous) {
        char *at = memory + (size_t)table[0] * size;
        memcpy(gather ? row : at, gather ? at : row, (size_t)n * size);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        char *at = memory + (size_t)table[i] * size, *element = row + (size_t)i * size;
        if (size == sizeof(float))
            memcpy(gather ? element : at, gather ? at : element, sizeof(float));
        else
            memcpy(gather ? element : at, gather ? at : element, sizeof(double));
    }
}

static void blocks_copy(sw_dtype type, const swo_modes *m, const swo_block *b, char *memory, char *row, bool gather,
                        int64_t *table) {
    const size_t size = sw_dtype_size(type);
    const int last = b->order - 1;
    const int64_t n = b->length[last];
    int64_t index[SW_MAX_RANK] = {0}, start[SW_MAX_RANK + 1] = {0}; /* start: of the table of each mode */
    blocks_fill_table(m, b, table);
    for (int k = 0; k < b->order; k++)
        start[k + 1] = start[k] + b->length[k];
    const int64_t *of_row = table + start[last];
    const bool contiguous = blocks_is_contiguous(of_row, n);
    for (int64_t rows = n > 0 ? b->count / n : 0; rows > 0; rows--, row += (size_t)n * size) {
        int64_t offset = 0;
        for (int k = 0; k < last; k++)
            offset += table[start[k] + index[k]];
        blocks_copy_row(size, memory + (size_t)offset * size, of_row, n, contiguous, row, gather);
        for (int k = last; k-- > 0 && ++index[k] == b->length[k];)
            index[k] = 0;
    }
}

void swo_block_gather(sw_dtype type, const swo_modes *m, const swo_block *b, const void *from, void *out,
                      int64_t *table) {
    if (sw_dry_run())
        return;
    if (b->whole)
        memcpy(out, from, (size_t)b->count * sw_dtype_size(type));
    else
        blocks_copy(type, m, b, (char *)(uintptr_t)from, out, true, table);
}

void swo_block_scatter(sw_dtype type, const swo_modes *m, const swo_block *b, const void *from, void *to,
                       int64_t *table) {
    if (sw_dry_run())
        return;
    if (b->whole)
        memcpy(to, from, (size_t)b->count * sw_dtype_size(type));
    else
        blocks_copy(type, m, b, to, (char *)(uintptr_t)from, false, table);
}
