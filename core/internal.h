/* What core's files share and nobody else sees. Names begin with swi_. */
#ifndef SWALE_INTERNAL_H
#define SWALE_INTERNAL_H

#include "extend.h"

#include <stdatomic.h>
#include <string.h>

/* ---- status.c, memory.c, array.c, rng.c ---- */

/* This thread's first error since the last clear. */
extern _Thread_local sw_status swi_error_now;
void swi_error_prefix(const char *prefix); /* in front of the message that is kept */
/* sw_dtype_size in line */
static inline size_t swi_size(sw_dtype type) {
    return (0x81484u >> (4 * (unsigned)type)) & 15u;
}
void *swi_alloc_raw(size_t bytes); /* not zeroed */
/* The product of a shape, checked for rank, sign and overflow. */
sw_status swi_count(int rank, const int64_t *shape, int64_t *count);
/* A number as an element of a type of tapes, or an error of `what`: it is none. */
sw_status swi_element(const char *what, sw_dtype type, double value, void *element);
uint64_t swi_mix(uint64_t bits);

static inline void swi_store_scalar(const sw_view *out, double value) {
    if (out->type == SW_F32)
        *(float *)out->data = (float)value;
    else
        *(double *)out->data = value;
}

static inline double swi_load_scalar(sw_dtype type, const void *data) {
    return type == SW_F32 ? (double)*(const float *)data : *(const double *)data;
}

/* ---- blas.c ---- */

/* The core that OpenBLAS should have chosen instead of `core`; NULL if its choice is well. */
const char *swi_better_core(const char *core, bool avx2, bool avx512);
/* Has it choose again where it should; whether it chose that. */
bool swi_choose_core(void);
/* Whether no thread of the program can be in OpenBLAS: there is none but this one. */
bool swi_may_choose_core(void);
/* Whether it has a kernel for small matrices. Readies it at the first call. (blas_call.c) */
bool swi_blas_small_kernel(void);
const char *swi_blas_config(void);

/* ---- arena.c: memory of one pass ---- */

enum { SWI_CHUNKS = 48, SWI_CLASSES = 320 };

typedef struct swi_arena {
    struct {
        char *memory;
        size_t size;
    } chunk[SWI_CHUNKS]; /* each at least half as large as all before it */
    int chunks;
    size_t current, used;              /* bump pointer: chunk and bytes in it */
    size_t room;                       /* bytes of that chunk */
    char *base;                        /* its memory */
    size_t live, peak;                 /* bytes handed out now, and at most in this pass */
    void *list[SWI_CLASSES];           /* blocks given back, by size class; a block holds the next pointer */
    uint64_t filled[SWI_CLASSES / 64]; /* which lists are not empty */
} swi_arena;

/* A block aligned to 64; NULL and an error. And back, with the same number of bytes. */
void *swi_arena_alloc_any(swi_arena *arena, size_t bytes);
void swi_arena_release_any(swi_arena *arena, void *block, size_t bytes);
#if defined(__SANITIZE_ADDRESS__)
#define SWI_POISONING 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SWI_POISONING 1
#endif
#endif

/* One line is what graphs of tiny tensors ask for: in line, unless blocks are poisoned. */
static inline void *swi_arena_alloc(swi_arena *a, size_t bytes) {
#ifndef SWI_POISONING
    if (bytes <= 64 && (a->list[1] || a->used + 64 <= a->room)) {
        char *block = a->list[1];
        if (block) {
            memcpy(&a->list[1], block, sizeof(void *));
        } else {
            block = a->base + a->used;
            a->used += 64;
        }
        a->live += 64;
        if (a->live > a->peak)
            a->peak = a->live;
        return block;
    }
#endif
    return swi_arena_alloc_any(a, bytes);
}

static inline void swi_arena_release(swi_arena *a, void *block, size_t bytes) {
#ifndef SWI_POISONING
    if (bytes <= 64) {
        a->live -= 64;
        memcpy(block, &a->list[1], sizeof(void *));
        a->list[1] = block;
        a->filled[0] |= 2;
        return;
    }
#endif
    swi_arena_release_any(a, block, bytes);
}
void swi_arena_reset(swi_arena *arena);
void swi_arena_free(swi_arena *arena);
size_t swi_arena_held(const swi_arena *arena);
/* What a mark keeps. Blocks from before it stay out of reach of what comes after it. It outlives a
 * rewind, so that one can go back to the same mark many times. */
typedef struct swi_stash {
    void *list[SWI_CLASSES];
    uint64_t filled[SWI_CLASSES / 64];
    size_t live;
    struct swi_stash *below; /* of the mark before, if that can still be gone back to */
    uint32_t slot;
    const int64_t *samples;
    int64_t sample_count;
} swi_stash;
swi_stash *swi_arena_stash(swi_arena *arena); /* NULL: no memory */
void swi_arena_unstash(swi_arena *arena, swi_stash *stash, size_t current, size_t used);

/* ---- status.c ---- */

/* The status of an operation's, objective's or other user's function, with a message if it left none: "operation
 * mine: forward returned status 11 without a message". name NULL: there is none. */
sw_status swi_returned(const char *kind, const char *name, const char *function, sw_status status);

/* ---- params.c ---- */

struct sw_params {
    sw_dtype type;
    uint64_t seed, id; /* id: never the same twice in a process */
    uint64_t version;  /* grows when x changes */
    sw_param **list;
    int count, capacity;
    bool built;
    sw_status failed; /* why a parameter could not be declared; SW_OK: all were */
    int64_t dim;
    void *x;
    sw_gradient *gradient;
    struct swi_recipe *recipe; /* [capacity] */
};

/* ---- weight.c: what a mean was divided by ---- */

/* The weight of a loss, SW_SUMMED for a sum. mix: 1 for one loss or several of equal weight; for several
 * losses in one a number that their ratio determines; NaN for a mean and a sum together. */
typedef struct swi_weight {
    double value, mix;
} swi_weight;
static inline swi_weight swi_plain_weight(double value) {
    return (swi_weight){value, 1};
}
/* The weight of a sum of losses. */
swi_weight swi_weight_combine(swi_weight a, swi_weight b);
/* Whether parts with these weights have a mean. */
bool swi_weight_fits(swi_weight a, swi_weight b);
sw_status swi_weight_refuse(const char *who, swi_weight a, swi_weight b);
sw_status swi_mean_add(sw_loss_mean *mean, const char *who, double value, swi_weight weight);

/* ---- gradient.c ---- */

/* data: the mean gradient, or, if `summed`, Σ weight/unit · gradient with the sum of the rounding errors in
 * `low` (f32 only). What a pass of a tape adds is counted once: see swi_binding. */
struct sw_gradient {
    sw_params *params;
    void *data, *owned; /* owned: NULL for a view */
    bool fresh, summed;
    bool several;           /* it holds more than one part since fresh */
    int64_t samples;        /* seen since fresh */
    swi_weight weight;      /* of all of them together */
    double unit;            /* the weight of a gradient that is added as it is, if summed */
    uint64_t serial;        /* of what it holds since it was fresh; never the same twice */
    bool apart;             /* a pass was run back more than once, for losses of other weights */
    float *low;             /* [dim], NULL before it is needed */
    unsigned char *written; /* [count]: holds a gradient since fresh */
};

/* Takes in another part: `weight` and `samples` of it. Fresh blocks become its own. An error leaves the
 * block as it is. */
sw_status swi_gradient_open(sw_gradient *g, const char *who, swi_weight weight, int64_t samples);
/* What gradients of a part that was taken in with this weight are multiplied by. */
double swi_gradient_factor(const sw_gradient *g, double weight);
/* Adds factor·from to n elements from `at` on, or stores it. */
void swi_gradient_add(sw_gradient *g, int64_t at, int64_t n, double factor, const void *from, bool store);
/* Turns a sum into the mean. */
void swi_gradient_close(sw_gradient *g);
/* The whole vector was written: the mean over a part, to which later passes add. */
void swi_gradient_filled(sw_gradient *g, swi_weight weight, int64_t samples);

uint64_t swi_next_id(void);

/* ---- glm_evaluate.c: objectives with `glm` ---- */

/* Σ f_i over samples, and unless s is NULL the derivatives ∂f_i/∂z [count, outputs]. Memory is the tape's. */
sw_status swi_glm_derivatives(const sw_objective *f, sw_tape *tape, const void *x, const int64_t *ids, int64_t count,
                              double *sum, void *s);
/* g = beta·g + Σ c_i [a_i, 1] */
sw_status swi_glm_combine(const sw_objective *f, sw_tape *tape, const int64_t *ids, int64_t count, const void *c,
                          double beta, void *g);
/* Predictions of samples 0 to count - 1, whose ids are given. */
sw_status swi_glm_predict(const sw_objective *f, const void *x, const int64_t *ids, int64_t count, void *z);
/* (glm.c) */
sw_status swi_glm_check(const sw_objective *f);
sw_status swi_glm_check_samples(const sw_objective *f); /* and each label, target and weight */

/* ---- tape.c ---- */

enum { SWI_NODE_BITS = 8, SWI_NODES = 1 << SWI_NODE_BITS };

enum {
    SWI_NEEDS_GRAD = 1, /* on the way from a leaf with gradient */
    SWI_RETAIN = 2,     /* its gradient outlives backward */
    SWI_RELEASED = 4,   /* the user promised not to read it */
    SWI_OWNS = 8,       /* its data are a block of the arena */
    SWI_FREED = 16,     /* … that was given back */
    SWI_LEAF = 32,
    SWI_RETIRED = 64,  /* its vjp has run */
    SWI_PARAM = 256,   /* the leaf of a parameter */
    SWI_CUT = 128,     /* an input needs a gradient, but the operation has no vjp */
    SWI_WEIGHTED = 512 /* a loss, or computed from one: `weight` is set */
};

/* Inputs that a node has room for in itself, and at most; blocks of scratch in a call. */
enum { SWI_FEW = 3, SWI_MOST = 65535, SWI_SCRATCH = 4 };

typedef struct swi_node swi_node;
/* Three cache lines, in the order of use: operations of few inputs need the first two only. What stands
 * in the third is set where it applies and garbage elsewhere. */
struct swi_node {
    _Alignas(64) sw_view view;
    uint32_t generation;
    uint16_t flags;
    uint16_t inputs;
    const sw_op *op; /* NULL for a leaf */
    void *grad;      /* cotangent; NULL before the first contribution */

    swi_node *few[SWI_FEW]; /* inputs */
    swi_node *root;         /* whose memory this is a view of; itself if none */
    uint32_t slot;          /* its own */
    int32_t readers;        /* of a root: vjps that will still read its memory */
    void *saved;
    const void *attributes;
    const char *layer;

    swi_node **many;    /* inputs, where they are more than SWI_FEW */
    size_t saved_bytes; /* with saved */
    void *kept;         /* SWI_RETAIN on an op's node: the sum of its cotangents of all passes */
    sw_param *param;    /* SWI_PARAM, and what follows */
    uint64_t version;   /* of the set when the leaf was made */
    swi_weight weight;  /* SWI_WEIGHTED */
    uint32_t binding;
};

typedef struct swi_binding {
    sw_params *params;
    uint64_t id, pass; /* id of params; pass: the last one with a leaf */
    uint64_t version;  /* of params at the leaf made last */
    int64_t moves;     /* of params in that pass */
    const void *x;
    sw_gradient *g;
    bool frozen;
    uint64_t counted, counted_pass; /* the block's serial that has taken in this pass of the tape, */
    double weight;                  /* with this weight, */
    bool stated;                    /* which a loss has stated */
    uint64_t added;                 /* number of the backward that reached the block last */
    struct {
        uint32_t slot, generation;
    } * leaf; /* [params->count] */
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
    uint64_t pass; /* unique number of this pass */
    uint64_t draw, seed;
    uint32_t random_calls;
    swi_weight weight;  /* of what backward is run from */
    bool weight_stated; /* by a loss; else it is the number of samples */
    uint64_t backward;  /* its number */
    double loss_weight; /* of the objective that was evaluated last */
    const int64_t *samples;
    int64_t sample_count;
    const char *layer;
    bool hiding;                   /* vjps see NaN in what they have not said they read: for sw_gradcheck */
    swi_stash *stash;              /* of the newest mark that can be gone back to */
    struct swi_deferred *deferred; /* [deferred_capacity]: to be called at the reset, see defer.c */
    int deferred_count, deferred_capacity;
};

/* A view of a node's shape on some data, and of the gradient that backward left at it (data NULL: none). */
sw_array swi_array_of(const swi_node *node, void *data);
/* The weight of a node: what was stated, or the number of the tape's samples. */
swi_weight swi_node_weight(const sw_tape *tape, const swi_node *node);
/* Gives a node the weight of its inputs, those of them that have one. */
void swi_inherit_weight(swi_node *node);
sw_array swi_gradient_at(const sw_tape *tape, const swi_node *node);

/* ---- lifetime.c ---- */

/* Something else than what sw_may_free was called for lies there now. */
void swi_forget_freed(const void *object);

/* ---- defer.c ---- */

void swi_run_deferred(sw_tape *tape);

/* The last bit of inputs stands for all from there on. */
static inline bool swi_reads(const sw_op *op, int input) {
    return (op->vjp_reads & SW_READS(input < 30 ? input : 30)) != 0;
}

static inline swi_node *swi_at(const sw_tape *tape, uint32_t slot) {
    return &tape->block[slot >> SWI_NODE_BITS][slot & (SWI_NODES - 1)];
}

static inline swi_node *const *swi_inputs(const swi_node *node) {
    return node->inputs > SWI_FEW ? node->many : node->few;
}

sw_status swi_more_nodes(sw_tape *tape);

/* A blank node; *slot is its place. NULL and an error. */
static inline swi_node *swi_new_node(sw_tape *tape, uint32_t *slot) {
    if ((tape->count >> SWI_NODE_BITS) >= tape->blocks && swi_more_nodes(tape) != SW_OK)
        return NULL;
    *slot = tape->count++;
    swi_node *node = swi_at(tape, *slot);
    /* Field by field: for a memset of this size gcc writes `rep stos`, which takes a quarter of the
     * time of a small operation. `few` is set by whoever reads it. */
    node->view = (sw_view){0};
    node->generation = ++tape->generation;
    node->flags = 0;
    node->inputs = 0;
    node->op = NULL;
    node->grad = NULL;
    node->root = node;
    node->slot = *slot;
    node->readers = 0;
    node->saved = NULL;
    node->attributes = NULL;
    node->layer = tape->layer;
    return node;
}

swi_node *swi_node_of(sw_tensor t); /* NULL and an error for null, stale and released tensors */

/* Gives a root's memory back once it is released and no vjp will read it. */
static inline void swi_settle(sw_tape *tape, swi_node *root) {
    if ((root->flags & (SWI_RELEASED | SWI_OWNS | SWI_FREED)) == (SWI_RELEASED | SWI_OWNS) && root->readers == 0) {
        swi_arena_release(&tape->arena, root->view.data, (size_t)root->view.count * swi_size(root->view.type));
        root->flags |= SWI_FREED;
    }
}

static inline void swi_drop_reader(sw_tape *tape, swi_node *node) {
    node->root->readers--;
    swi_settle(tape, node->root);
}

swi_binding *swi_binding_of(sw_tape *tape, sw_params *params); /* made if need be */

/* The state of one call behind sw_call.engine. */
enum { SWI_UNASKED = 0, SWI_DIRECT, SWI_TEMPORARY, SWI_PASSED };
typedef struct swi_engine {
    sw_tape *tape;
    swi_node *node;
    swi_node *const *input; /* [inputs] */
    unsigned char *state;   /* vjp: [inputs] */
    void **target;          /* vjp: [inputs] */
    swi_stash *stash;       /* of the newest mark when the call began */
    int scratches;
    sw_status failure; /* vjp: of sw_call_grad */
    struct {
        void *memory;
        size_t bytes;
    } scratch[SWI_SCRATCH];
} swi_engine;

/* An error if a mark was taken since the call began. */
sw_status swi_refuse_after_mark(const sw_call *call);
static inline bool swi_mark_is_open(const sw_call *call) {
    const swi_engine *e = call->engine;
    return e->stash != call->tape->stash && swi_refuse_after_mark(call) != SW_OK;
}

/* ---- elementwise.c: kernels that the engine itself uses ---- */

/* y += a·x, or y = a·x if store */
void swi_axpy(sw_dtype type, int64_t n, double a, const void *x, void *y, bool store);
/* Sums src over the axes in which dst (aligned at the last axes) is 1 or missing.
 * dst = a·sum, or dst += a·sum. (fold.c) */
void swi_reduce(sw_dtype type, int src_rank, const int64_t *src_shape, const void *src, int dst_rank,
                const int64_t *dst_shape, void *dst, double a, bool store);
void swi_fill(sw_dtype type, int64_t n, double value, void *y);
/* y + low ← y + low + a·x, low the rounding errors of earlier additions. */
void swi_axpy_compensated(int64_t n, double a, const float *x, float *y, float *low);
/* y ← a·(y + low) */
void swi_close_compensated(int64_t n, double a, float *y, const float *low);
/* Refuses an SW_CPU or SW_THREADS that means nothing: a run with other kernels or threads than those asked for
 * would not be noticed. Called where a program begins, with its parameters or a tape. */
sw_status swi_check_environment(void);
sw_status swi_check_threads(void); /* thread.c: SW_THREADS */
int swi_cpu_best(void);            /* level of this processor, whatever SW_CPU says */
extern atomic_int swi_level;       /* of the kernels; -1 before the first question */
static inline int swi_cpu_level(void) {
    int level = atomic_load_explicit(&swi_level, memory_order_relaxed);
    return level >= 0 ? level : sw_cpu_level();
}
enum { SWI_SERIAL = 4 * SW_TILE }; /* elements below which one thread does it all */
/* sw_kernel_run, without a call where there is one tile's work or little more. */
static inline void swi_run(const sw_kernels *kernels, sw_dtype type, void *args, int64_t n) {
    if (n < SWI_SERIAL)
        (*kernels)[type][swi_cpu_level()](args, 0, n, NULL);
    else
        sw_kernel_run(kernels, type, args, n);
}
/* A kernel over rows of `length` elements: tiles of about SW_TILE elements. `sum`: NULL, or the one sum
 * that the kernel adds to. */
void swi_run_rows(sw_kernel *kernel, void *args, int64_t rows, int64_t length, double *sum);
/* As sw_linear without a bias, also while an error is pending, where sw_linear takes a null bias for one that
 * failed. (linear.c) */
sw_tensor swi_linear_no_bias(sw_tensor x, sw_tensor weight);
/* An axis of input 0 counted from the start, or an error. (reduce.c) */
sw_status swi_axis(const sw_call *call, int axis, int *from_start);
/* An error unless it is one of the three. (loss.c) */
sw_status swi_check_reduction(const sw_call *call, sw_reduction reduction);
extern const sw_kernels swi_add_kernels, swi_mul_kernels;
/* Functions of operations made by SWI_UNARY_OP (unary.h), and such an operation with its numbers. */
sw_status swi_unary_shape(sw_call *call);
sw_status swi_unary(sw_call *call, const sw_kernels *kernels);
sw_status swi_unary_vjp(sw_call *call, const sw_kernels *kernels);
sw_tensor swi_apply_unary(const sw_op *op, sw_tensor x, double a, double b);
/* Axes of a shape from the last, neighbors joined where two operands that are broadcast to it go on or
 * repeat (stride 0) alike; those of length 1 are left out. */
typedef struct swi_loop {
    int axes;
    int64_t length[SW_MAX_RANK], a_stride[SW_MAX_RANK], b_stride[SW_MAX_RANK], out_stride[SW_MAX_RANK];
} swi_loop;
swi_loop swi_plan(int rank, const int64_t *shape, int a_rank, const int64_t *a_shape, int b_rank,
                  const int64_t *b_shape);
/* out = a ∘ b over the shape of out, a and b broadcast to it. */
void swi_binary(const sw_kernels *kernels, const sw_view *a, const sw_view *b, const sw_view *out);

/* ---- copy.c: elements moved by size ---- */

/* A box of elements that several operands walk through together, each with strides (in elements) of its
 * own, 0 where it repeats; axes from the outermost. */
enum { SWI_OPERANDS = 4 };
typedef struct swi_box {
    int axes;
    int64_t length[SW_MAX_RANK], stride[SWI_OPERANDS][SW_MAX_RANK];
} swi_box;
/* Joins neighboring axes where all operands go on alike; axes of length 1 go. At least one axis stays. */
void swi_box_join(swi_box *box, int operands);
int64_t swi_box_count(const swi_box *box);
void swi_strides(int rank, const int64_t *shape, int64_t *stride); /* of a row-major array */
/* Elements of `size` bytes (1, 4, 8); operand 0 is read, operand 1 written. Threads share large ones. */
void swi_copy(size_t size, swi_box box, const void *from, void *to);
void swi_repeat(size_t size, const void *value, int rank, const int64_t *shape, const int64_t *stride, void *to);
/* The elements from begin[axis] on, length[axis] of them, of an array of a shape. */
typedef struct swi_part {
    int rank;
    int64_t shape[SW_MAX_RANK], begin[SW_MAX_RANK], length[SW_MAX_RANK];
} swi_part;
void swi_part_out(size_t size, const swi_part *p, const void *whole, void *part);
void swi_part_in(size_t size, const swi_part *p, const void *part, void *whole);
/* One value everywhere else. */
void swi_part_around(size_t size, const swi_part *p, const void *value, void *whole);

/* ---- check.c: SW_CHECK ---- */

/* An error if the result of the node, run just now, holds a NaN, or an Inf that its inputs do not. */
sw_status swi_check_result(const swi_node *node);
/* The same for what backward hands to a node, before its vjp, and for its inputs' gradients after it. */
sw_status swi_check_cotangent(const swi_node *node, bool *has_inf);
sw_status swi_check_gradients(const sw_tape *tape, const swi_node *node, bool cotangent_has_inf);

/* ---- print.c ---- */

/* A node's operation, its parameter's name, or what leaf it is. */
const char *swi_node_title(const swi_node *node);
/* "from -1.2 to 3.4, mean 0.25, 2 NaN, 1 Inf" */
void swi_summary(sw_dtype type, int64_t count, const void *data, char *text, size_t bytes);

/* ---- apply.c ---- */

/* As sw_call_set_shape_broadcast, but the inputs' types are not looked at, and out's is given. */
sw_status swi_shape_broadcast(sw_call *call, sw_dtype type);
/* An error unless inputs `first` and on are of one type. */
sw_status swi_check_equal_types(const sw_call *call, int first);

#endif
