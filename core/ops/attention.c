/* Scaled dot-product attention, with separate and with packed queries, keys and values. */
#include <swale/attention.h>
#include <swale/attention_kernels.h>
#include <swale/extend.h>

#include <math.h>

/* Inputs: q, k, v, or the packed array; then the mask and the padding, as far as they are given. */
typedef struct attention_attributes {
    bool packed, has_mask, has_padding, causal;
    int heads;
    double scale, dropout; /* scale 0: the default */
    int64_t first_position;
    uint64_t site;
} attention_attributes;

/* What the forward pass keeps for the gradients. The tape keeps the memory of the ids until its reset. */
typedef struct attention_saved {
    uint64_t random_key;
    const int64_t *ids;
    int64_t rows_per_sample;
    _Alignas(8) unsigned char numbers[]; /* of sw_attention_forward */
} attention_saved;

static int attention_mask_input(const attention_attributes *a) {
    return a->packed ? 1 : 3;
}

static int attention_padding_input(const attention_attributes *a) {
    return attention_mask_input(a) + a->has_mask;
}

/* ---- Shapes ---- */

static sw_status attention_check_types(const sw_call *c, const attention_attributes *a) {
    const int mask = attention_mask_input(a);
    const sw_dtype type = c->in[0]->type;
    if (!sw_dtype_is_float(type))
        return sw_fail(SW_ERR_TYPE, "%s: input 0 is %s; f32, f64, f16 or bf16 is needed", c->op->name,
                       sw_dtype_name(type));
    for (int i = 1; i < mask; i++)
        if (c->in[i]->type != type)
            return sw_fail(SW_ERR_TYPE, "%s: input %d is %s and input 0 is %s; the types must be equal (sw_cast?)",
                           c->op->name, i, sw_dtype_name(c->in[i]->type), sw_dtype_name(type));
    if (a->has_mask && c->in[mask]->type != SW_U8 && c->in[mask]->type != type)
        return sw_fail(SW_ERR_TYPE, "%s: the mask is %s and input 0 is %s; u8, or the type of input 0, is needed",
                       c->op->name, sw_dtype_name(c->in[mask]->type), sw_dtype_name(type));
    const sw_view *padding = a->has_padding ? c->in[attention_padding_input(a)] : NULL;
    if (padding && padding->type != SW_U8)
        return sw_fail(SW_ERR_TYPE, "%s: the key padding is %s; u8 is needed", c->op->name,
                       sw_dtype_name(padding->type));
    return SW_OK;
}

static sw_status attention_check_heads(const sw_call *c, const attention_attributes *a, const sw_view *x,
                                       const char *what, int64_t parts) {
    const int64_t features = x->shape[2];
    if (features % (parts * a->heads) == 0)
        return SW_OK;
    return sw_fail(SW_ERR_SHAPE, "%s: %s %s with %d heads; the last axis (%lld) must be a multiple of %lld",
                   c->op->name, what, sw_shape_text(x->rank, x->shape), a->heads, (long long)features,
                   (long long)parts * a->heads);
}

static sw_status attention_check_separate(const sw_call *c, const attention_attributes *a) {
    const sw_view *q = c->in[0], *k = c->in[1], *v = c->in[2];
    const char *const q_text = sw_shape_text(q->rank, q->shape), *const k_text = sw_shape_text(k->rank, k->shape),
                      *const v_text = sw_shape_text(v->rank, v->shape);
    if (q->rank != 3 || k->rank != 3 || v->rank != 3)
        return sw_fail(SW_ERR_SHAPE, "%s: queries %s, keys %s and values %s; [batch, length, features] is needed%s",
                       c->op->name, q_text, k_text, v_text,
                       q->rank == 2   ? " (add the axis of one sample: sw_reshape?)"
                       : q->rank == 4 ? " (the heads are parts of the features: sw_reshape?)"
                                      : "");
    if (q->shape[0] != k->shape[0] || q->shape[0] != v->shape[0])
        return sw_fail(SW_ERR_SHAPE, "%s: queries %s, keys %s and values %s; axis 0 must be equal", c->op->name, q_text,
                       k_text, v_text);
    if (q->shape[2] != k->shape[2])
        return sw_fail(SW_ERR_SHAPE, "%s: queries %s and keys %s; axis 2 must be equal", c->op->name, q_text, k_text);
    if (k->shape[1] != v->shape[1])
        return sw_fail(SW_ERR_SHAPE, "%s: keys %s and values %s; axis 1 must be equal", c->op->name, k_text, v_text);
    SW_TRY(attention_check_heads(c, a, q, "queries", 1));
    return attention_check_heads(c, a, v, "values", 1);
}

static sw_status attention_check_packed(const sw_call *c, const attention_attributes *a) {
    const sw_view *x = c->in[0];
    if (x->rank != 3)
        return sw_fail(SW_ERR_SHAPE, "%s: input %s; [batch, length, 3·features] is needed%s", c->op->name,
                       sw_shape_text(x->rank, x->shape),
                       x->rank == 2 ? " (add the axis of one sample: sw_reshape?)" : "");
    return attention_check_heads(c, a, x, "input", 3);
}

/* `full`: [batch, heads, queries, keys] */
static sw_status attention_check_masks(const sw_call *c, const attention_attributes *a, const int64_t full[4]) {
    const sw_view *mask = a->has_mask ? c->in[attention_mask_input(a)] : NULL,
                  *padding = a->has_padding ? c->in[attention_padding_input(a)] : NULL;
    bool fits = !mask || mask->rank <= 4;
    for (int i = 0; mask && fits && i < mask->rank; i++)
        fits = mask->shape[i] == 1 || mask->shape[i] == full[4 - mask->rank + i];
    if (!fits)
        return sw_fail(SW_ERR_SHAPE, "%s: the mask %s does not broadcast to [batch, heads, queries, keys] = %s",
                       c->op->name, sw_shape_text(mask->rank, mask->shape), sw_shape_text(4, full));
    if (padding && (padding->rank != 2 || padding->shape[0] != full[0] || padding->shape[1] != full[3]))
        return sw_fail(SW_ERR_SHAPE, "%s: the key padding is %s; [batch, keys] = [%lld,%lld] is needed", c->op->name,
                       sw_shape_text(padding->rank, padding->shape), (long long)full[0], (long long)full[3]);
    return SW_OK;
}

static sw_status attention_shape(sw_call *c) {
    const attention_attributes *a = c->attributes;
    SW_TRY(attention_check_types(c, a));
    SW_TRY(a->packed ? attention_check_packed(c, a) : attention_check_separate(c, a));
    const int64_t *q = c->in[0]->shape;
    const int64_t full[4] = {q[0], a->heads, q[1], a->packed ? q[1] : c->in[1]->shape[1]};
    SW_TRY(attention_check_masks(c, a, full));
    return sw_call_set_shape(c, c->in[0]->type, 3,
                             (const int64_t[]){q[0], q[1], a->packed ? q[2] / 3 : c->in[2]->shape[2]});
}

/* ---- The problem of a call ---- */

static void attention_set_mask(sw_attention_problem *p, const sw_view *mask) {
    int64_t step = 1;
    p->mask = mask->data;
    p->mask_type = mask->type;
    for (int i = 3; i >= 0; i--) {
        const int axis = i - (4 - mask->rank);
        const int64_t length = axis >= 0 ? mask->shape[axis] : 1;
        p->mask_step[i] = length == 1 ? 0 : step;
        step *= length;
    }
}

static sw_attention_problem attention_problem(const sw_call *c, const attention_saved *saved) {
    const attention_attributes *a = c->attributes;
    const int64_t *q = c->in[0]->shape, *out = c->out->shape;
    const int64_t features = a->packed ? out[2] : q[2];
    sw_attention_problem p = {.size = sizeof p,
                              .type = c->in[0]->type,
                              .batch = q[0],
                              .heads = a->heads,
                              .queries = q[1],
                              .keys = a->packed ? q[1] : c->in[1]->shape[1],
                              .features = features / a->heads,
                              .values = out[2] / a->heads,
                              .q_row = q[2],
                              .k_row = q[2],
                              .v_row = a->packed ? q[2] : out[2],
                              .out_row = out[2],
                              .scale = a->scale,
                              .causal = a->causal,
                              .first_position = a->first_position,
                              .dropout = a->dropout,
                              .random_key = saved->random_key,
                              .ids = saved->ids,
                              .rows_per_sample = saved->rows_per_sample};
    if (p.scale == 0)
        p.scale = p.features > 0 ? 1 / sqrt((double)p.features) : 1;
    if (a->has_mask)
        attention_set_mask(&p, c->in[attention_mask_input(a)]);
    if (a->has_padding)
        p.padding = c->in[attention_padding_input(a)]->data;
    return p;
}

/* A mask of 16 bits is converted to f32. */
static sw_status attention_widen_mask(sw_call *c, sw_attention_problem *p) {
    const attention_attributes *a = c->attributes;
    if (!p->mask || !sw_dtype_is_16_bit(p->mask_type))
        return SW_OK;
    const sw_view *mask = c->in[attention_mask_input(a)];
    void *wide = sw_call_scratch(c, (size_t)mask->count * sizeof(float));
    if (!wide)
        return SW_ERR_MEMORY;
    sw_vector_convert(mask->type, mask->count, mask->data, SW_F32, wide);
    p->mask = wide;
    p->mask_type = SW_F32;
    return SW_OK;
}

/* Array 0, 1 or 2 (queries, keys, values) of the inputs or of their gradients, where `first` is that of input 0. */
static void *attention_part(const sw_call *c, void *first, void *other, int part) {
    const attention_attributes *a = c->attributes;
    if (!a->packed)
        return other;
    return first ? (char *)first + (size_t)(part * c->out->shape[2]) * sw_dtype_size(c->in[0]->type) : NULL;
}

/* ---- Forward and vjp ---- */

static sw_status attention_forward(sw_call *c) {
    const attention_attributes *a = c->attributes;
    attention_saved none = {.rows_per_sample = 1};
    sw_attention_problem p = attention_problem(c, &none);
    attention_saved *saved = sw_call_save(c, sizeof *saved + sw_attention_saved_bytes(&p));
    if (!saved)
        return SW_ERR_MEMORY;
    *saved = none;
    if (p.dropout > 0) {
        saved->random_key = sw_tape_random_key(c->tape, a->site);
        saved->ids = sw_tape_row_samples(c->tape, p.batch, &saved->rows_per_sample);
    }
    p = attention_problem(c, saved);
    SW_TRY(attention_widen_mask(c, &p));
    const size_t bytes = sw_attention_forward_scratch(&p);
    void *scratch = sw_call_scratch(c, bytes), *q = c->in[0]->data;
    if (!scratch)
        return SW_ERR_MEMORY;
    void *k = attention_part(c, q, a->packed ? NULL : c->in[1]->data, 1),
         *v = attention_part(c, q, a->packed ? NULL : c->in[2]->data, 2);
    return sw_attention_forward(&p, q, k, v, c->out->data, saved->numbers, scratch, bytes);
}

/* The gradient of the mask, from that of the scores. */
static sw_status attention_mask_gradient(sw_call *c, const sw_attention_problem *p, const void *scores, void *to) {
    const sw_view *mask = c->in[attention_mask_input(c->attributes)];
    const sw_dtype wide = sw_dtype_compute(mask->type);
    void *sums = to;
    if (wide != mask->type && !(sums = sw_call_scratch(c, (size_t)mask->count * sizeof(float))))
        return SW_ERR_MEMORY;
    sw_sum_to_shape(wide, 4, (const int64_t[]){p->batch, p->heads, p->queries, p->keys}, scores, mask->rank,
                    mask->shape, sums, 1, true);
    if (wide != mask->type)
        sw_vector_convert(wide, mask->count, sums, mask->type, to);
    return SW_OK;
}

/* The memory of the gradient of an input; NULL if it is not wanted. */
static sw_status attention_wanted(sw_call *c, int input, void **grad) {
    *grad = sw_call_wants_grad(c, input) ? sw_call_grad(c, input) : NULL;
    return *grad || !sw_call_wants_grad(c, input) ? SW_OK : SW_ERR_MEMORY;
}

static sw_status attention_vjp(sw_call *c) {
    const attention_attributes *a = c->attributes;
    attention_saved *saved = c->saved;
    sw_attention_problem p = attention_problem(c, saved);
    sw_attention_gradients g = {.size = sizeof g};
    void *first, *mask = NULL, *q = c->in[0]->data;
    SW_TRY(attention_wanted(c, 0, &first));
    g.dq = first;
    g.dk = attention_part(c, first, NULL, 1);
    g.dv = attention_part(c, first, NULL, 2);
    if (!a->packed) {
        SW_TRY(attention_wanted(c, 1, &g.dk));
        SW_TRY(attention_wanted(c, 2, &g.dv));
    }
    if (a->has_mask && p.mask_type != SW_U8)
        SW_TRY(attention_wanted(c, attention_mask_input(a), &mask));
    SW_TRY(attention_widen_mask(c, &p));
    if (mask && !(g.dmask = sw_call_scratch(c, (size_t)(p.batch * p.heads * p.queries * p.keys) *
                                                   sw_dtype_size(sw_dtype_compute(p.type)))))
        return SW_ERR_MEMORY;
    const size_t bytes = sw_attention_backward_scratch(&p);
    void *scratch = sw_call_scratch(c, bytes);
    if (!scratch)
        return SW_ERR_MEMORY;
    SW_TRY(sw_attention_backward(&p, q, attention_part(c, q, a->packed ? NULL : c->in[1]->data, 1),
                                 attention_part(c, q, a->packed ? NULL : c->in[2]->data, 2), saved->numbers,
                                 c->cotangent, &g, scratch, bytes));
    return mask ? attention_mask_gradient(c, &p, g.dmask, mask) : SW_OK;
}

/* ---- The operations ---- */

static const sw_op attention_op = {.size = sizeof(sw_op),
                                   .name = "attention",
                                   .shape = attention_shape,
                                   .forward = attention_forward,
                                   .vjp = attention_vjp,
                                   .vjp_reads = SW_READS(0) | SW_READS(1) | SW_READS(2) | SW_READS(3) | SW_READS(4),
                                   .takes_16_bit = true};
static const sw_op attention_packed_op = {.size = sizeof(sw_op),
                                          .name = "attention_packed",
                                          .shape = attention_shape,
                                          .forward = attention_forward,
                                          .vjp = attention_vjp,
                                          .vjp_reads = SW_READS(0) | SW_READS(1) | SW_READS(2),
                                          .takes_16_bit = true};

static sw_status attention_check_options(const char *who, const sw_attention_options *o) {
    if (o->heads < 0)
        return sw_fail(SW_ERR_ARGUMENT, "%s: %d heads; 1 or more are needed (0: 1)", who, o->heads);
    if (!isfinite(o->scale))
        return sw_fail(SW_ERR_ARGUMENT, "%s: scale %g; a finite number is needed (0: 1/√(features of a head))", who,
                       o->scale);
    if (o->first_position < 0 || o->first_position > INT32_MAX)
        return sw_fail(SW_ERR_ARGUMENT, "%s: first_position %lld; 0 to %d is needed", who, (long long)o->first_position,
                       INT32_MAX);
    if (o->first_position > 0 && !o->causal)
        return sw_fail(SW_ERR_ARGUMENT, "%s: first_position %lld without causal; set causal, or leave it out", who,
                       (long long)o->first_position);
    if (!(o->dropout >= 0 && o->dropout < 1))
        return sw_fail(SW_ERR_ARGUMENT, "%s: dropout = %g is outside [0, 1)", who, o->dropout);
    return SW_OK;
}

/* inputs: `count` tensors, with room for the mask and the padding. */
static sw_tensor attention_apply(const sw_op *op, int count, sw_tensor *inputs, const sw_attention_options *options) {
    sw_attention_options o = {.size = sizeof o};
    if (options && sw_options_copy(op->name, "sw_attention_options", &o, sizeof o, options, sizeof o) != SW_OK)
        return (sw_tensor){0};
    if (attention_check_options(op->name, &o) != SW_OK)
        return (sw_tensor){0};
    const bool trains = inputs[0].tape && sw_tape_switch(inputs[0].tape, SW_TRAIN);
    attention_attributes a = {.packed = count == 1,
                              .has_mask = !sw_is_null(o.mask),
                              .has_padding = !sw_is_null(o.key_padding),
                              .causal = o.causal,
                              .heads = o.heads ? o.heads : 1,
                              .scale = o.scale,
                              .dropout = trains ? o.dropout : 0,
                              .first_position = o.first_position,
                              .site = o.site};
    if (a.has_mask)
        inputs[count++] = o.mask;
    if (a.has_padding)
        inputs[count++] = o.key_padding;
    return sw_apply(op, &a, sizeof a, count, inputs);
}

sw_tensor sw_attention(sw_tensor q, sw_tensor k, sw_tensor v, const sw_attention_options *options) {
    sw_tensor inputs[5] = {q, k, v};
    return attention_apply(&attention_op, 3, inputs, options);
}

sw_tensor sw_attention_packed(sw_tensor qkv, const sw_attention_options *options) {
    sw_tensor inputs[3] = {qkv};
    return attention_apply(&attention_packed_op, 1, inputs, options);
}
