/* What core's files share and nobody else sees. Names begin with swi_. */
#ifndef SWALE_INTERNAL_H
#define SWALE_INTERNAL_H

#include "extend.h"

#include <string.h>

/* ---- status.c, memory.c, array.c, rng.c, gemm.c ---- */

void swi_error_prefix(const char *prefix); /* in front of the message that is kept */
void *swi_alloc_raw(size_t bytes);         /* not zeroed */
/* The product of a shape, checked for rank, sign and overflow. */
sw_status swi_count(int rank, const int64_t *shape, int64_t *count);
uint64_t swi_mix(uint64_t bits);
const char *swi_blas_config(void);

static inline void swi_store_scalar(const sw_view *out, double value) {
    if (out->type == SW_F32)
        *(float *)out->data = (float)value;
    else
        *(double *)out->data = value;
}

static inline double swi_load_scalar(sw_dtype type, const void *data) {
    return type == SW_F32 ? (double)*(const float *)data : *(const double *)data;
}

/* ---- arena.c: memory of one pass ---- */

enum { SWI_CHUNKS = 48, SWI_CLASSES = 320 };

typedef struct swi_arena {
    struct {
        char *memory;
        size_t size;
    } chunk[SWI_CHUNKS]; /* each at least twice as large as the one before */
    int chunks;
    size_t current, used;       /* bump pointer: chunk and bytes in it */
    size_t live, peak;          /* bytes handed out now, and at most in this pass */
    void *list[SWI_CLASSES];    /* blocks given back, by size class; a block holds the next pointer */
    uint64_t filled[SWI_CLASSES / 64]; /* which lists are not empty */
} swi_arena;

void *swi_arena_alloc(swi_arena *arena, size_t bytes); /* aligned to 64; NULL and an error */
void swi_arena_release(swi_arena *arena, void *block, size_t bytes);
void swi_arena_reset(swi_arena *arena);
void swi_arena_free(swi_arena *arena);
size_t swi_arena_held(const swi_arena *arena);
/* Blocks from before a mark stay out of reach of what comes after it. NULL: no memory. */
void *swi_arena_stash(swi_arena *arena);
void swi_arena_unstash(swi_arena *arena, void *stash, size_t current, size_t used);

/* ---- params.c ---- */

struct sw_params {
    sw_dtype type;
    uint64_t seed, id; /* id: never the same twice in a process */
    sw_param **list;
    int count, capacity;
    bool built, failed;
    int64_t dim;
    void *x;
    sw_gradient *gradient;
    struct swi_recipe *recipe; /* [capacity] */
};

struct sw_gradient {
    sw_params *params;
    void *data, *owned; /* owned: NULL for a view */
    bool fresh;
    int64_t samples;    /* seen since fresh */
    uint64_t pass;      /* of the backward that came last: swi_next_id of a tape's pass */
    double factor;      /* weight of that pass in the mean */
    unsigned char *written; /* [count]: holds a gradient since fresh */
};

uint64_t swi_next_id(void);

/* ---- tape.c ---- */

enum { SWI_NODE_BITS = 8, SWI_NODES = 1 << SWI_NODE_BITS };

enum {
    SWI_NEEDS_GRAD = 1, /* on the way from a leaf with gradient */
    SWI_RETAIN = 2,     /* its gradient outlives backward */
    SWI_RELEASED = 4,   /* the user promised not to read it */
    SWI_OWNS = 8,       /* its data are a block of the arena */
    SWI_FREED = 16,     /* … that was given back */
    SWI_LEAF = 32,
    SWI_RETIRED = 64 /* its vjp has run */
};

typedef struct swi_node {
    sw_view view;
    uint32_t generation;
    uint32_t flags;
    const sw_op *op; /* NULL for a leaf */
    const uint32_t *input;
    int32_t inputs;
    int32_t readers; /* of a root: vjps that will still read its memory */
    uint32_t root;   /* the node whose memory this is a view of; itself if none */
    uint32_t binding;
    const void *attributes;
    void *saved;
    size_t saved_bytes;
    void *grad; /* cotangent; NULL before the first contribution */
    sw_param *param;
    const char *layer;
} swi_node;

typedef struct swi_binding {
    sw_params *params;
    uint64_t id, pass; /* id of params; pass: the last one with a leaf */
    const void *x;
    sw_gradient *g;
    bool frozen;
    struct {
        uint32_t slot, generation;
    } *leaf; /* [params->count] */
} swi_binding;

struct sw_tape {
    swi_node **block; /* nodes never move: blocks of SWI_NODES */
    uint32_t blocks, block_capacity;
    uint32_t count;      /* nodes of this pass */
    uint32_t generation; /* of the node made last */
    uint32_t floor;      /* nodes below belong to a backward that is under way */
    unsigned switches;
    swi_arena arena;
    swi_binding *binding;
    int bindings, binding_capacity;
    uint64_t pass;  /* unique number of this pass */
    uint64_t draw, seed;
    uint32_t random_calls;
    const int64_t *samples;
    int64_t sample_count;
    const char *layer;
};

/* The last bit of inputs stands for all from there on. */
static inline bool swi_reads(const sw_op *op, int input) {
    return (op->vjp_reads & SW_READS(input < 30 ? input : 30)) != 0;
}

static inline swi_node *swi_at(const sw_tape *tape, uint32_t slot) {
    return &tape->block[slot >> SWI_NODE_BITS][slot & (SWI_NODES - 1)];
}

swi_node *swi_node_of(sw_tensor t); /* NULL and an error for null, stale and released tensors */
swi_node *swi_new_node(sw_tape *tape, uint32_t *slot);
void swi_drop_reader(sw_tape *tape, uint32_t slot);
swi_binding *swi_binding_of(sw_tape *tape, sw_params *params); /* made if need be */

/* The state of one call behind sw_call.engine. */
enum { SWI_UNASKED = 0, SWI_DIRECT, SWI_TEMPORARY, SWI_PASSED };
typedef struct swi_engine {
    sw_tape *tape;
    swi_node *node;
    unsigned char *state; /* vjp: [inputs] */
    void **target;        /* vjp: [inputs] */
    struct {
        void *memory;
        size_t bytes;
    } scratch[4];
    int scratches;
    bool failed;
} swi_engine;

/* ---- elementwise.c: kernels that the engine itself uses ---- */

/* y += a·x, or y = a·x if store */
void swi_axpy(sw_dtype type, int64_t n, double a, const void *x, void *y, bool store);
/* Sums src over the axes in which dst (aligned at the last axes) is 1 or missing.
 * dst = a·sum, or dst += a·sum. */
void swi_reduce(sw_dtype type, int src_rank, const int64_t *src_shape, const void *src,
                int dst_rank, const int64_t *dst_shape, void *dst, double a, bool store);
double swi_total(sw_dtype type, int64_t n, const void *x);
void swi_fill(sw_dtype type, int64_t n, double value, void *y);
extern const sw_kernels swi_add_kernels;
/* out = a ∘ b over the shape of out, a and b broadcast to it. */
void swi_binary(const sw_kernels *kernels, const sw_view *a, const sw_view *b, const sw_view *out);

#endif
