/* SW_MEASURE: the bytes that layers keep for backward. */
#include <swale/memory.h>

#include "core/tape/node.h"

#include <string.h>

/* The layers of the pass that kept the most. Names are copied, because those of nodes end with the pass. */
typedef struct swi_activations {
    sw_tape_layer *list;
    int count, capacity;
    size_t bytes; /* the sum over the list */
} swi_activations;

static size_t activation_bytes(const swi_node *node) {
    return (size_t)node->view.count * swi_size(node->view.type);
}

static bool activation_has_vjp(const swi_node *node) {
    return node->op && (node->flags & (SWI_NEEDS_GRAD | SWI_RETIRED)) == SWI_NEEDS_GRAD;
}

/* Whether the memory of a node is a block of the arena that a vjp reads. */
static bool activation_is_kept(const swi_node *node) {
    return (node->flags & (SWI_COUNTED | SWI_OWNS | SWI_FREED)) == (SWI_COUNTED | SWI_OWNS);
}

static size_t activation_saved(const swi_node *node) {
    return activation_has_vjp(node) && node->saved ? node->saved_bytes : 0;
}

/* Marks the roots whose memory a vjp reads, and returns the bytes of all activations. */
static size_t activations_mark(const sw_tape *tape) {
    size_t bytes = 0;
    for (uint32_t slot = 0; slot < tape->count; slot++) {
        swi_node *node = swi_at(tape, slot);
        node->flags &= (uint16_t)~SWI_COUNTED;
    }
    for (uint32_t slot = 0; slot < tape->count; slot++) {
        swi_node *node = swi_at(tape, slot);
        if (!activation_has_vjp(node))
            continue;
        for (int i = 0; i < node->inputs; i++)
            if (swi_reads(node->op, i))
                swi_inputs(node)[i]->root->flags |= SWI_COUNTED;
        if (node->op->vjp_reads & SW_READS_OUT)
            node->root->flags |= SWI_COUNTED;
    }
    for (uint32_t slot = 0; slot < tape->count; slot++) {
        const swi_node *node = swi_at(tape, slot);
        bytes += (activation_is_kept(node) ? activation_bytes(node) : 0) + activation_saved(node);
    }
    return bytes;
}

static bool activation_is_of(const sw_tape_layer *entry, const char *layer) {
    return entry->layer == layer || (entry->layer && layer && strcmp(entry->layer, layer) == 0);
}

/* The entry of a layer, usually the last one; NULL and an error if there is not enough memory. */
static sw_tape_layer *activations_entry(swi_activations *a, const char *layer) {
    for (int i = a->count; i-- > 0;)
        if (activation_is_of(&a->list[i], layer))
            return &a->list[i];
    if (sw_grow_array_for(SW_ACCOUNT_TAPE, &a->list, &a->capacity, a->count, 8, sizeof *a->list) != SW_OK)
        return NULL;
    char *name = layer ? sw_alloc_for(SW_ACCOUNT_TAPE, strlen(layer) + 1) : NULL;
    if (layer && !name)
        return NULL;
    if (layer)
        memcpy(name, layer, strlen(layer) + 1);
    a->list[a->count] = (sw_tape_layer){.layer = name};
    return &a->list[a->count++];
}

static sw_status activations_add(swi_activations *a, const char *layer, size_t bytes) {
    sw_tape_layer *entry = activations_entry(a, layer);
    if (!entry)
        return SW_ERR_MEMORY;
    entry->values++;
    entry->bytes += bytes;
    a->bytes += bytes;
    return SW_OK;
}

static void activations_clear(swi_activations *a) {
    for (int i = 0; i < a->count; i++)
        sw_free((char *)(uintptr_t)a->list[i].layer);
    a->count = 0;
    a->bytes = 0;
}

sw_status swi_measure_activations(sw_tape *tape) {
    if (!tape->activations && !(tape->activations = sw_alloc_for(SW_ACCOUNT_TAPE, sizeof *tape->activations)))
        return SW_ERR_MEMORY;
    swi_activations *a = tape->activations;
    if (activations_mark(tape) <= a->bytes)
        return SW_OK;
    activations_clear(a);
    sw_status status = SW_OK;
    for (uint32_t slot = 0; status == SW_OK && slot < tape->count; slot++) {
        const swi_node *node = swi_at(tape, slot);
        if (activation_is_kept(node))
            status = activations_add(a, node->layer, activation_bytes(node));
        if (status == SW_OK && activation_saved(node))
            status = activations_add(a, node->layer, activation_saved(node));
    }
    if (status != SW_OK)
        activations_clear(a); /* rather nothing than a part */
    return status;
}

void swi_free_activations(sw_tape *tape) {
    if (!tape->activations)
        return;
    activations_clear(tape->activations);
    sw_free(tape->activations->list);
    sw_free(tape->activations);
}

const sw_tape_layer *swi_activations_of(const sw_tape *tape, int *count) {
    const swi_activations *a = tape->activations;
    *count = a ? a->count : 0;
    return a ? a->list : NULL;
}

int sw_tape_activations(const sw_tape *tape, sw_tape_layer *entries, int most) {
    int count = 0;
    const sw_tape_layer *list = tape ? swi_activations_of(tape, &count) : NULL;
    for (int i = 0; i < count && i < most; i++)
        entries[i] = list[i];
    return count;
}
