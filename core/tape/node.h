/* The tape and its nodes. */
#ifndef SWALE_TAPE_NODE_H
#define SWALE_TAPE_NODE_H

#include <swale/op.h>
#include "core/base/element.h"
#include "core/params/weight.h"
#include "core/tape/arena.h"

enum { SWI_NODE_BITS = 8, SWI_NODES = 1 << SWI_NODE_BITS };

enum {
    SWI_NEEDS_GRAD = 1, /* a leaf with gradient, or computed from one */
    SWI_RETAIN = 2,     /* its gradient is kept after backward */
    SWI_RELEASED = 4,   /* the program has called sw_release */
    SWI_OWNS = 8,       /* its data are a block of the arena */
    SWI_FREED = 16,     /* that block was released */
    SWI_LEAF = 32,
    SWI_RETIRED = 64,       /* its vjp has run */
    SWI_PARAM = 256,        /* the leaf of a parameter */
    SWI_CUT = 128,          /* an input needs a gradient, but the operation has no vjp */
    SWI_WEIGHTED = 512,     /* a loss, or computed from one: `weight` is set */
    SWI_USES_PARAMS = 1024, /* an operation with reads_params: `sets` and `version` are set */
    SWI_16_BIT = 2048,      /* its elements are f16 or bf16 */
    SWI_COUNTED = 4096,     /* while activations are measured: a vjp reads its memory */
    SWI_UNSAVED = 8192      /* `saved` was released after the vjp */
};

/* The number of inputs that fit in the node; the largest number of inputs; the largest number of scratch blocks; the
 * number of bits of swi_params_used. */
enum { SWI_FEW = 3, SWI_MOST = 65535, SWI_SCRATCH = 4, SWI_SETS = 64 };

typedef struct swi_node swi_node;
/* Three cache lines, in the order of use: operations with at most SWI_FEW inputs need only the first two. The members
 * in the third are set only if they apply to the node; otherwise they are uninitialized. */
struct swi_node {
    _Alignas(SW_ALIGNMENT) sw_view view;
    uint32_t generation;
    uint16_t flags;
    uint16_t inputs;
    const sw_op *op; /* NULL for a leaf */
    void *grad;      /* the cotangent; NULL before the first contribution */

    swi_node *few[SWI_FEW]; /* inputs */
    swi_node *root;         /* the node whose memory this one is a view of; the node itself if it is not a view */
    uint32_t slot;          /* the index of this node on the tape */
    int32_t readers;        /* for a root: the number of vjps that will read its memory, and of views */
    void *saved;
    const void *attributes;
    const char *layer;

    swi_node **many;    /* the inputs, if there are more than SWI_FEW */
    size_t saved_bytes; /* the size of `saved` */
    void *kept;         /* SWI_RETAIN: the sum of the cotangents of all backward passes; of a leaf, the sum of those
                         * before the current one, while that has a loss scale */
    union {
        struct {
            union {
                sw_param *param; /* SWI_PARAM: the parameter */
                uint64_t sets;   /* of an operation that uses parameters inside: see swi_params_used */
            };
            uint64_t version; /* sw_params_version when the leaf was made (SWI_PARAM); the sum over `sets` */
        };
        double two[2]; /* of other operations: attributes of this size, which is that of one with two numbers */
    };
    swi_weight weight; /* SWI_WEIGHTED */
    uint32_t binding;  /* SWI_PARAM: index in tape->binding */
};

/* The vector x and the gradient block g that the leaves of `params` on a tape read and write (sw_tape_bind). A pass of
 * the tape is counted once in the weight of a block: `counted` and `counted_pass` tell whether that has happened. */
typedef struct swi_binding {
    sw_params *params;
    uint64_t id, pass; /* the id of params; the most recent pass with a leaf of params */
    uint64_t version;  /* sw_params_version when the most recent leaf was made */
    int64_t changes;   /* the number of times that params has changed in that pass */
    const void *x;
    void *copy; /* of x in the storage type of params, if that is another type and x is not the vector of
                            * params, which has its own copy; NULL before it is needed */
    sw_gradient *g;
    bool frozen;
    uint64_t counted, counted_pass; /* the serial of the block, and the pass that was counted in it most recently */
    double weight;                  /* the weight with which that pass was counted */
    bool weight_stated;             /* a loss has stated this weight */
    uint64_t added;                 /* the number of the most recent backward that reached the block */
    struct {
        uint32_t slot, generation;
    } * leaf; /* [params->count] */
} swi_binding;

/* What the forward of an operation with reads_params uses: flags of the leaves together, and a bit for each set, by the
 * index of its binding (the last bit for all from there on). */
typedef struct swi_params_used {
    unsigned flags;
    uint64_t sets;
} swi_params_used;

struct sw_tape {
    swi_node **block; /* nodes never move: blocks of SWI_NODES */
    uint32_t blocks, block_capacity;
    uint32_t count;      /* nodes of this pass */
    uint32_t generation; /* the generation of the most recent node */
    uint32_t floor;      /* inside a vjp: the nodes below this slot were recorded before it */
    unsigned switches;
    swi_arena arena;
    swi_binding *binding;
    int bindings, binding_capacity;
    swi_params_used used; /* by the operation that is under way */
    uint64_t pass;        /* unique number of this pass */
    uint64_t draw, seed;
    uint32_t random_calls;
    uint64_t random_keys; /* the number of calls of sw_tape_random_key since the tape was made */
    swi_weight weight;    /* the weight of the tensor from which backward runs */
    bool weight_stated;   /* a loss has stated this weight; else it is the number of samples */
    uint64_t backward;    /* a unique number of the current backward */
    double loss_scale;    /* by which the current backward, outside of vjps, multiplies all gradients */
    double loss_weight;   /* see sw_tape_loss_weight */
    const int64_t *samples;
    int64_t sample_count;
    const char *layer;
    bool poison_unread;                  /* for sw_gradcheck: values that are not in vjp_reads are NaN in the vjp */
    swi_mark_state *mark_state;          /* the newest mark that is still valid */
    struct swi_activations *activations; /* of SW_MEASURE; NULL before the first */
    struct swi_deferred *deferred;       /* [deferred_capacity]: functions that the reset calls (defer.c) */
    int deferred_count, deferred_capacity;
    struct sw_state *state; /* that layers keep between forward passes; NULL: none */
};

/* A view of `data` with the type and shape of a node. */
sw_array swi_array_of(const swi_node *node, void *data);
/* The gradient of a node; data is NULL if it has none. */
sw_array swi_gradient_at(const sw_tape *tape, const swi_node *node);
/* The weight of a node: the weight that a loss stated, or the number of the tape's samples. */
swi_weight swi_node_weight(const sw_tape *tape, const swi_node *node);
/* Sets the weight of a node from those of its inputs that have one, unless a loss has stated its weight. */
void swi_inherit_weight(swi_node *node);

void swi_run_deferred(sw_tape *tape);
/* Ends the marks that are newer than the mark with the state `last` (NULL: all). */
void swi_forget_marks(sw_tape *tape, const swi_mark_state *last);

/* For SW_MEASURE, when a backward begins: keeps the bytes of activations by layer if no earlier pass had more. */
sw_status swi_measure_activations(sw_tape *tape);
const sw_tape_layer *swi_activations_of(const sw_tape *tape, int *count); /* NULL if *count is 0 */
void swi_free_activations(sw_tape *tape);

/* The size of sw_op in earlier versions, and the member that was added since. */
#define SWI_LEAST_OP_SIZE offsetof(sw_op, reads_params)
static inline bool swi_reads_params(const sw_op *op) {
    return op->size > SWI_LEAST_OP_SIZE && op->reads_params;
}
/* SWI_16_BIT if elements of the type are f16 or bf16, else 0. */
static inline unsigned swi_16_bit_flag(sw_dtype type) {
    return sw_dtype_is_16_bit(type) ? SWI_16_BIT : 0;
}
static inline bool swi_takes_16_bit(const sw_op *op) {
    return op->is_view || (op->size > offsetof(sw_op, takes_16_bit) && op->takes_16_bit);
}

/* The sum of the versions of parameter sets whose leaves read the vector of the set. */
uint64_t swi_sum_versions(const sw_tape *tape, uint64_t sets);

/* Whether the vjp reads the values of an input. Bit 30 stands for input 30 and all later ones. */
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

/* Appends a node and sets *slot to its index; NULL and an error if there is not enough memory. */
static inline swi_node *swi_new_node(sw_tape *tape, uint32_t *slot) {
    if ((tape->count >> SWI_NODE_BITS) >= tape->blocks && swi_more_nodes(tape) != SW_OK)
        return NULL;
    *slot = tape->count++;
    swi_node *node = swi_at(tape, *slot);
    /* Member by member: for a memset of this size gcc emits `rep stos`, which takes a quarter of the time of a small
     * operation. The caller sets `few` and `inputs`. */
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

/* Releases the memory of a root if the program has released the tensor and no vjp will read it. */
static inline void swi_release_unused_root(sw_tape *tape, swi_node *root) {
    if ((root->flags & (SWI_RELEASED | SWI_OWNS | SWI_FREED)) == (SWI_RELEASED | SWI_OWNS) && root->readers == 0) {
        swi_arena_release(&tape->arena, root->view.data, (size_t)root->view.count * swi_size(root->view.type));
        root->flags |= SWI_FREED;
    }
}

static inline void swi_drop_reader(sw_tape *tape, swi_node *node) {
    node->root->readers--;
    swi_release_unused_root(tape, node->root);
}

/* The binding of `params` on the tape, which is made if there is none; NULL and an error if there is not enough
 * memory. */
swi_binding *swi_binding_of(sw_tape *tape, sw_params *params);

#endif
