/* Dropout. The mask is a function of seed, draw, site, call and sample id, and of the position of an element within the
 * sample. It is not stored: a pass with the same draw computes the same mask again. */
#include <swale/kernel.h>
#include <swale/extend.h>

#if SW_KERNEL_FIRST
enum { GROUP = 16, BLOCK = 4 * GROUP }; /* Philox blocks that are computed together; the random numbers in them */
typedef struct dropout_args {
    const void *x;         /* at element `from` of sample `begin` of a call; samples are sample_length elements apart */
    void *out;             /* likewise */
    const int64_t *ids;    /* of the samples, or NULL for 0, 1, 2, … */
    int64_t sample_length; /* elements of a sample: of all rows that belong to it */
    int64_t from, to;      /* the elements of each sample that a call computes; `from` is a multiple of BLOCK */
    uint64_t key;
    uint32_t threshold; /* p·2^32: an element with a smaller random number is dropped */
    double scale;
} dropout_args;
#endif

#if SW_KERNEL_PASS

/* Philox4x32-10 (random.c) on GROUP counters together. */
static inline void SW_K(dropout_philox_group)(uint64_t key, uint32_t first, uint64_t sample, uint32_t bits[4][GROUP]) {
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int j = 0; j < GROUP; j++) {
        bits[0][j] = first + (uint32_t)j;
        bits[1][j] = (uint32_t)sample;
        bits[2][j] = (uint32_t)(sample >> 32);
        bits[3][j] = 1; /* the streams of sw_rng have 0 here, so that the numbers are different */
    }
    for (int round = 0; round < 10; round++) {
        for (int j = 0; j < GROUP; j++) {
            uint64_t p0 = (uint64_t)0xD2511F53u * bits[0][j], p1 = (uint64_t)0xCD9E8D57u * bits[2][j];
            uint32_t n0 = (uint32_t)(p1 >> 32) ^ bits[1][j] ^ k0;
            uint32_t n2 = (uint32_t)(p0 >> 32) ^ bits[3][j] ^ k1;
            bits[1][j] = (uint32_t)p1;
            bits[3][j] = (uint32_t)p0;
            bits[0][j] = n0;
            bits[2][j] = n2;
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
}

static void SW_K(dropout_mask)(void *args, int64_t begin, int64_t end, double *sums) {
    const dropout_args *s = args;
    const real scale = (real)s->scale;
    (void)sums;
    for (int64_t k = begin; k < end; k++) {
        uint64_t sample = (uint64_t)(s->ids ? s->ids[k] : k);
        const stored *x = (const stored *)s->x + (k - begin) * s->sample_length;
        stored *out = (stored *)s->out + (k - begin) * s->sample_length;
        for (int64_t at = s->from; at < s->to; at += BLOCK) {
            uint32_t bits[4][GROUP];
            SW_K(dropout_philox_group)(s->key, (uint32_t)(at / 4), sample, bits);
            const uint32_t *flat = &bits[0][0];
            int64_t n = s->to - at < BLOCK ? s->to - at : BLOCK;
            for (int64_t i = 0; i < n; i++) {
                real kept = SW_LOAD(x, at - s->from + i) * scale;
                SW_STORE(out, at - s->from + i, flat[i] < s->threshold ? 0 : kept);
            }
        }
    }
}

#else /* ---- once ---- */

typedef struct dropout_attributes {
    double p;
    uint64_t site;
} dropout_attributes;

/* The key and the sample ids of the forward pass, because the program may set other ids on the tape before backward.
 * The tape keeps the memory of the ids until its reset. */
typedef struct dropout_saved {
    uint64_t key;
    const int64_t *ids;
    int64_t samples;
} dropout_saved;

static const sw_kernels dropout_kernels = SW_KERNEL_TABLE(dropout_mask);

/* A tile is several samples, or a piece of one sample if samples are longer than SW_TILE. */
typedef struct dropout_job {
    dropout_args args;
    sw_kernel *kernel;
    sw_dtype type;
    bool in_blocks;                    /* the kernel is that for f32, and elements are f16 or bf16 */
    int64_t samples, per_tile, pieces; /* samples of a tile, pieces of a sample: one of the two is 1 */
} dropout_job;
_Static_assert(SW_TILE % BLOCK == 0, "a piece begins with a block");

enum { BUFFER = 8 * BLOCK }; /* the elements of f16 or bf16 that are converted to f32 at a time */
_Static_assert(SW_TILE % BUFFER == 0, "a part of a piece begins with a block");

/* Processes elements [from, to) of samples [begin, end) of f16 or bf16 by the kernel for f32. Short samples are
 * converted together, long ones in parts. */
static void dropout_half(const dropout_job *j, int64_t from, int64_t to, int64_t begin, int64_t end) {
    const int64_t length = j->args.sample_length, most = length < BUFFER ? BUFFER / length : 1;
    _Alignas(SW_ALIGNMENT) float x[BUFFER], out[BUFFER];
    dropout_args part = j->args;
    part.x = x;
    part.out = out;
    for (int64_t k = begin; k < end; k += most) {
        const int64_t samples = end - k < most ? end - k : most;
        for (int64_t at = from; at < to; at += BUFFER) {
            part.from = at;
            part.to = to - at < BUFFER ? to : at + BUFFER;
            const int64_t first = k * length + at, count = (samples - 1) * length + part.to - at;
            sw_vector_convert(j->type, count, (const uint16_t *)j->args.x + first, SW_F32, x);
            j->kernel(&part, k, k + samples, NULL);
            sw_vector_convert(SW_F32, count, out, j->type, (uint16_t *)j->args.out + first);
        }
    }
}

static void dropout_tile(void *args, int64_t tile) {
    const dropout_job *j = args;
    const int64_t begin = tile / j->pieces * j->per_tile, end = begin + j->per_tile,
                  last = end < j->samples ? end : j->samples;
    dropout_args part = j->args;
    if (j->pieces > 1) {
        part.from = tile % j->pieces * SW_TILE;
        part.to = part.from + SW_TILE < part.sample_length ? part.from + SW_TILE : part.sample_length;
    }
    if (j->in_blocks) {
        dropout_half(j, part.from, part.to, begin, last);
        return;
    }
    const size_t first = (size_t)(begin * part.sample_length + part.from) * sw_dtype_size(j->type);
    part.x = (const char *)part.x + first;
    part.out = (char *)part.out + first;
    j->kernel(&part, begin, last, NULL);
}

static void dropout_run(const sw_call *c, const void *x, void *out) {
    const dropout_attributes *a = c->attributes;
    const sw_view *v = c->out;
    if (v->count == 0)
        return;
    const dropout_saved *saved = c->saved;
    const int64_t length = v->count / saved->samples;
    const bool in_blocks = !sw_kernels_take(&dropout_kernels, v->type);
    dropout_job job = {.args = {.x = x,
                                .out = out,
                                .ids = saved->ids,
                                .sample_length = length,
                                .to = length,
                                .key = saved->key,
                                .threshold = (uint32_t)(a->p * 4294967296.0),
                                .scale = 1 / (1 - a->p)},
                       .kernel = dropout_kernels[in_blocks ? SW_F32 : v->type][sw_cpu_level()],
                       .type = v->type,
                       .in_blocks = in_blocks,
                       .samples = saved->samples,
                       .per_tile = 1 + (SW_TILE - 1) / length,
                       .pieces = (length + SW_TILE - 1) / SW_TILE};
    sw_parallel(dropout_tile, &job, (job.samples + job.per_tile - 1) / job.per_tile * job.pieces);
}

static sw_status dropout_shape(sw_call *c) {
    SW_TRY(sw_call_check_float(c));
    return sw_call_set_shape_like(c, 0);
}

static sw_status dropout_forward(sw_call *c) {
    dropout_saved *saved = sw_call_save(c, sizeof *saved);
    if (!saved)
        return SW_ERR_MEMORY;
    saved->key = sw_tape_random_key(c->tape, ((const dropout_attributes *)c->attributes)->site);
    const int64_t rows = c->out->rank ? c->out->shape[0] : 1;
    int64_t per_sample;
    saved->ids = sw_tape_row_samples(c->tape, rows, &per_sample);
    saved->samples = rows / per_sample;
    dropout_run(c, c->in[0]->data, c->out->data);
    return SW_OK;
}

static sw_status dropout_vjp(sw_call *c) {
    void *dx = sw_call_grad(c, 0);
    if (!dx)
        return SW_ERR_MEMORY;
    dropout_run(c, c->cotangent, dx);
    return SW_OK;
}

static const sw_op dropout_op = {.size = sizeof(sw_op),
                                 .name = "dropout",
                                 .shape = dropout_shape,
                                 .forward = dropout_forward,
                                 .vjp = dropout_vjp,
                                 .takes_16_bit = true};

static sw_status identity_vjp(sw_call *c) {
    sw_call_pass_grad(c, 0);
    return SW_OK;
}

/* The result is a view and not x itself, so that both can be released separately. */
static const sw_op identity_op = {
    .size = sizeof(sw_op), .name = "dropout", .shape = dropout_shape, .vjp = identity_vjp, .is_view = true};

sw_tensor sw_dropout(sw_tensor x, double p, uint64_t site) {
    if (!(p >= 0 && p < 1)) {
        sw_fail(SW_ERR_ARGUMENT, "dropout: p = %g is outside [0, 1)", p);
        return (sw_tensor){0};
    }
    if (x.tape && (p == 0 || !sw_tape_switch(x.tape, SW_TRAIN)))
        return sw_apply(&identity_op, NULL, 0, 1, &x);
    dropout_attributes a = {p, site};
    return sw_apply(&dropout_op, &a, sizeof a, 1, &x);
}

#endif
