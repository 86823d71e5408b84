/* The tape and its nodes. */
#ifndef SWALE_TAPE_NODE_H
#define SWALE_TAPE_NODE_H

#include <swale/op.h>
#include "core/base/element.h"
#include "core/params/weight.h"
#include "core/tape/arena.h"

enum { SWI_NODE_BITS = 8, SWI_NODES = 1 << SWI_NODE_BITS };

enum {
    SWI_NEEDS_GRAD = 1, /* on the way from a leaf with gradient */
    SWI_RETAIN = 2,     /* its gradient outlives backward */
    SWI_RELEASED = 4,   /* the user promised not to read it */
    SWI_OWNS = 8,       /* its data are a block of the arena */
    SWI_FREED = 16,     /* … that was given back */
    SWI_LEAF = 32,
    SWI_RETIRED = 64,   /* its vjp has run */
    SWI_PARAM = 256,    /* the leaf of a parameter */
    SWI_CUT = 128,      /* an input needs a gradient, but the operation has no vjp */
    SWI_WEIGHTED = 512, /* a loss, or computed from one: `weight` is set */
    SWI_TRAINS = 1024   /* an operation with reads_params that uses parameters which are not frozen */
};

/* Inputs that a node has room for in itself, and at most; blocks of scratch in a call; bits of swi_params_used. */
enum { SWI_FEW = 3, SWI_MOST = 65535, SWI_SCRATCH = 4, SWI_SETS = 64 };

typedef struct swi_node swi_node;
/* Three cache lines, in the order of use: operations of few inputs need the first two only. What stands
 * in the third is set where it applies and garbage elsewhere. */
struct swi_node {
    _Alignas(SW_ALIGNMENT) sw_view view;
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
    union {             /* SWI_PARAM, and what follows */
        sw_param *param;
        uint64_t sets; /* of an operation that uses parameters itself: see swi_params_used */
    };
    uint64_t version;  /* of the set when the leaf was made; the sum over `sets` */
    swi_weight weight; /* SWI_WEIGHTED */
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
    uint32_t generation; /* of the node made last */
    uint32_t floor;      /* nodes below belong to a backward that is under way */
    unsigned switches;
    swi_arena arena;
    swi_binding *binding;
    int bindings, binding_capacity;
    swi_params_used used; /* by the operation that is under way */
    uint64_t pass;        /* unique number of this pass */
    uint64_t draw, seed;
    uint32_t random_calls;
    swi_weight weight;  /* of what backward is run from */
    bool weight_stated; /* by a loss; else it is the number of samples */
    uint64_t backward;  /* its number */
    double loss_weight; /* of the objective that was evaluated last */
    const int64_t *samples;
    int64_t sample_count;
    const char *layer;
    bool poison_unread;            /* vjps see NaN in what they have not said they read: for sw_gradcheck */
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

void swi_run_deferred(sw_tape *tape);

/* The members that an operation of an earlier version has, and the one added since. */
#define SWI_LEAST_OP_SIZE offsetof(sw_op, reads_params)
static inline bool swi_reads_params(const sw_op *op) {
    return op->size > SWI_LEAST_OP_SIZE && op->reads_params;
}

/* The sum of the versions of parameter sets, of those whose leaves read the vector of the set. */
uint64_t swi_sum_versions(const sw_tape *tape, uint64_t sets);

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

#endif
