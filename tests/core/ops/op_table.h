/* The table of operations that every test of operations runs through: gradient checks, f32 against f64,
 * equal bits on every kernel level and for every number of threads, failing allocations, exact error
 * messages, PyTorch's numbers. If it lacks a function of ops.h, test_ops fails.
 *
 * One file for each family, as in core/: the headers ops_….h below. Included after support.h.
 */
#ifndef SWALE_TEST_OPS_H
#define SWALE_TEST_OPS_H

#include <swale/extend.h>

typedef enum kind {
    NOTHING,
    REAL,     /* uniform in [-2, 2] */
    ZEROS,    /* as REAL, but a quarter of the elements are 0 */
    AWAY,     /* as REAL, but at least 0.1 from 0, so that no difference quotient crosses the kink of relu */
    POSITIVE, /* uniform in (0.1, 2.1) */
    FIXED,    /* as REAL, without gradient */
    UNIT,     /* uniform in (0, 1) */
    WEIGHT,   /* as POSITIVE, without gradient */
    SIGN,     /* -1 or 1, without gradient */
    WHOLE,    /* -2, -1, 0, 1 or 2, without gradient */
    IDS,      /* i32, below the last length of input 0 */
    ROWS,     /* i32, below the first length of input 0 */
    MASK      /* u8, 0 or 1 */
} kind;

enum { OP_INPUTS = 3, OP_ERRORS = 6 };

enum {
    NO_GRADIENT = 1, /* the result is an integer, or has no derivative by design */
    COMPOSED = 2,    /* a composition of operations that tests the engine; without numbers of PyTorch */
    OPTIONAL = 4,    /* inputs after the first may be null tensors */
    FUSED = 8,       /* multiplications and additions are fused, except at level baseline, which has other bits */
    LARGE = 16       /* its large products in f32 have other bits with AVX-512: see sw_product_scratch in gemm.h */
};

typedef struct op_error {
    const char *shapes; /* shapes of the inputs, in the format of `shapes`; the kinds determine the values */
    sw_status status;
    const char *message;
} op_error;

typedef struct op_entry {
    const char *function; /* "sum_over" for sw_sum_over */
    const char *label;    /* unique; the key of the numbers of PyTorch */
    sw_function build;    /* called with f64 tensors for gradients, and with f32 tensors for rounding errors */
    int inputs;
    kind kinds[OP_INPUTS];
    const char *shapes; /* "[4,3][3] …": each case has one shape per input */
    /* a case that is divided among threads, with at most 2^18 output elements; NULL if the operation has no loop */
    const char *big;
    unsigned flags;
    op_error errors[OP_ERRORS];
} op_entry;

/* BUILD(name, expression): a build function whose expression reads in[0], in[1], in[2]. */
#define BUILD(name, expression)                                                     \
    static sw_tensor build_##name(void *user, sw_tape *tape, const sw_tensor *in) { \
        (void)user, (void)tape;                                                     \
        return expression;                                                          \
    }

#define BROADCASTS                                                                            \
    "[4,3][4,3] [4,3][3] [3][4,3] [4,1][3] [3][4,1] [1][2,3,4] [2,3,4][1] [2,1,4][3,1] [][] " \
    "[][2,2] [2,2][] [1][1] [1,1][1] [2,3,4][2,1,1] [2,1,4][2,3,1] [2,3,4][3,1] [0,3][3] "    \
    "[3][0,3] [2,0][1] [0][1] [2,1,3,1,2][1,4,1,2,2] [1,1,1,1,1,1,1,2][2,1,1,1,1,1,1,1] "     \
    "[3,1,1][1,1,5] [5][5] [3,4][1,4] [3,1][3,4]"
#define SHAPES "[] [1] [5] [4,3] [2,3,4] [0] [0,3] [1,1,1] [37] [3,33] [64]"
#define BIG1 "[120,500]"
#define BIG2 "[120,500][120,500]"
#define BIG_ROWS "[120,500][500]"

#include "ops_attention.h"
#include "ops_conv.h"
#include "ops_elementwise.h"
#include "ops_index.h"
#include "ops_loss.h"
#include "ops_norm.h"
#include "ops_pool.h"
#include "ops_product.h"
#include "ops_recurrent.h"
#include "ops_reduce.h"
#include "ops_scan.h"
#include "ops_shape.h"
/* After ops_shape.h, whose macros it uses. */
#include "ops_logic.h"

#define OP_FAMILY(list) \
    { list, (int)(sizeof list / sizeof *list) }
static const struct {
    const op_entry *entry;
    int count;
} op_families[] = {OP_FAMILY(ops_attention), OP_FAMILY(ops_conv),      OP_FAMILY(ops_elementwise), OP_FAMILY(ops_index),
                   OP_FAMILY(ops_logic),     OP_FAMILY(ops_loss),      OP_FAMILY(ops_norm),        OP_FAMILY(ops_pool),
                   OP_FAMILY(ops_product),   OP_FAMILY(ops_recurrent), OP_FAMILY(ops_reduce),      OP_FAMILY(ops_scan),
                   OP_FAMILY(ops_shape)};
enum { OP_FAMILIES = sizeof op_families / sizeof *op_families };

/* The i-th entry over all families; NULL after the last. */
static inline const op_entry *op_at(int i) {
    for (int f = 0; f < OP_FAMILIES; f++) {
        if (i < op_families[f].count)
            return &op_families[f].entry[i];
        i -= op_families[f].count;
    }
    return NULL;
}

static inline bool op_has_gradient(kind k) {
    return k == REAL || k == ZEROS || k == AWAY || k == POSITIVE || k == UNIT;
}

/* ---- Cases from the table ---- */

typedef struct op_case {
    const op_entry *op;
    int number; /* the number of the case within the entry, from 1 */
    sw_array in[OP_INPUTS];
} op_case;

static inline double op_draw(kind k, const sw_array *first, uint64_t *seed) {
    if (k == IDS || k == ROWS)
        return (double)(test_random(seed) % (uint64_t)first->shape[k == IDS ? first->rank - 1 : 0]);
    if (k == MASK)
        return (double)(test_random(seed) % 2);
    double x = test_uniform(seed, -2, 2);
    if (k == ZEROS)
        return x < -1 ? 0 : x;
    if (k == AWAY)
        return x < 0 ? x - 0.1 : x + 0.1;
    if (k == POSITIVE || k == WEIGHT)
        return fabs(x) + 0.1;
    if (k == SIGN)
        return x < 0 ? -1 : 1;
    if (k == WHOLE)
        return floor(x + 0.5);
    return k == UNIT ? 0.05 + 0.225 * (x + 2) : x;
}

/* Reads the next group of shapes from *at; false at the end. Values are exact in f32, and equal for every type, because
 * golden/torch_ops.py draws them too. */
static inline bool op_next(const char **at, sw_dtype type, op_case *c) {
    uint64_t seed = 1000 + (uint64_t)c->number++;
    for (int i = 0; i < c->op->inputs; i++) {
        int64_t shape[SW_MAX_RANK + 1];
        int rank = 0;
        while (**at == ' ')
            ++*at;
        if (**at == 0) {
            assert_int_equal(i, 0); /* every group is complete */
            return false;
        }
        assert_int_equal(*(*at)++, '[');
        while (**at != ']') {
            char *end;
            shape[rank++] = strtoll(*at, &end, 10);
            *at = end + (*end == ',');
        }
        ++*at;
        kind k = c->op->kinds[i];
        c->in[i] = test_array(k == IDS || k == ROWS ? SW_I32 : k == MASK ? SW_U8 : type, rank, shape);
        for (int64_t j = 0; j < sw_array_count(&c->in[i]); j++)
            test_set(&c->in[i], j, (double)(float)op_draw(k, &c->in[0], &seed));
    }
    return true;
}

static inline void op_free(op_case *c) {
    for (int i = 0; i < c->op->inputs; i++)
        test_array_free(&c->in[i]);
}

enum { OP_MOST = 1 << 18 };

/* Random numbers in [-1, 1], drawn once and used for every result. */
static inline sw_array op_cotangent(const sw_array *out) {
    static float narrow[OP_MOST];
    static double wide[OP_MOST];
    static uint16_t half[2][OP_MOST];
    uint64_t seed = 77;
    static bool drawn;
    for (int i = 0; !drawn && i < OP_MOST; i++) {
        wide[i] = (double)(narrow[i] = (float)test_uniform(&seed, -1, 1));
        half[0][i] = sw_f16_from_f32(narrow[i]);
        half[1][i] = sw_bf16_from_f32(narrow[i]);
    }
    drawn = true;
    assert_true(sw_array_count(out) <= OP_MOST);
    sw_array cotangent = *out;
    cotangent.data = out->type == SW_F32   ? (void *)narrow
                     : out->type == SW_F64 ? (void *)wide
                                           : (void *)half[out->type == SW_BF16];
    return cotangent;
}

/* Resets the tape, builds the case on it, and computes its gradients for a random cotangent. Returns the result; in[i]
 * are the leaves. */
static inline sw_tensor op_run(const op_case *c, sw_tape *tape, sw_tensor *in, bool backward) {
    sw_tape_reset(tape);
    sw_tape_set_draw(tape, 3);
    bool any = false;
    for (int i = 0; i < c->op->inputs; i++) {
        bool wants = op_has_gradient(c->op->kinds[i]);
        any |= wants;
        in[i] = wants ? sw_variable(tape, c->in[i]) : sw_input(tape, c->in[i]);
    }
    sw_tensor y = c->op->build(NULL, tape, in);
    sw_array out = sw_value(y);
    if (!out.data || !backward || !any || c->op->flags & NO_GRADIENT)
        return y;
    sw_array cotangent = op_cotangent(&out);
    return sw_backward_from(y, cotangent) == SW_OK ? y : (sw_tensor){0};
}

/* A hash of the value and the gradients. */
static inline uint64_t op_hash(const op_case *c, sw_tape *tape) {
    sw_tensor in[OP_INPUTS];
    sw_tensor y = op_run(c, tape, in, true);
    if (sw_error())
        fail_msg("%s: %s", c->op->label, sw_error());
    sw_array value = sw_value(y);
    uint64_t hash = test_hash(TEST_HASH, value.data, test_bytes(&value));
    for (int i = 0; i < c->op->inputs; i++) {
        sw_array g = op_has_gradient(c->op->kinds[i]) ? sw_grad(in[i]) : (sw_array){0};
        if (g.data)
            hash = test_hash(hash, g.data, test_bytes(&g));
    }
    return hash;
}

#endif
