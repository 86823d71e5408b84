/* Writes the graph on a tape in Graphviz's DOT language. */
#include <swale/inspect.h>
#include <swale/text.h>

#include "core/tape/describe.h"

#include <string.h>
#include <stdio.h>

static void dot_write_escaped(const char *text, FILE *to) {
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            fputc('\\', to);
        fputc((unsigned char)*text < ' ' ? ' ' : *text, to);
    }
}

/* Writes the title, the type and shape, and summaries of the value and the gradient of a node. */
static void dot_write_node(const sw_tape *tape, const swi_node *node, const char *indent, FILE *to) {
    char summary[96] = "released"; /* its memory may hold other values */
    if (!(node->root->flags & SWI_FREED))
        swi_summary(node->view.type, node->view.count, node->view.data, summary, sizeof summary);
    fprintf(to, "%sn%u [label=\"", indent, (unsigned)node->slot);
    dot_write_escaped(swi_node_title(node), to);
    fprintf(to, "\\n%s %s\\n%s", sw_dtype_name(node->view.type), sw_shape_text(node->view.rank, node->view.shape),
            summary);
    sw_array gradient = swi_gradient_at(tape, node);
    if (gradient.data) {
        swi_summary(gradient.type, node->view.count, gradient.data, summary, sizeof summary);
        fprintf(to, "\\ngradient %s", summary);
    }
    fprintf(to, "\"%s];\n",
            node->op                  ? ""
            : node->flags & SWI_PARAM ? ", shape=ellipse, fillcolor=\"#fff2cc\""
                                      : ", shape=ellipse, fillcolor=\"#e8eef7\"");
}

static bool dot_same_layer(const char *a, const char *b) {
    return a == b || (a && b && strcmp(a, b) == 0);
}

/* Writes all nodes of a layer in one box, also those of later calls of the layer. */
static void dot_write_layer(const sw_tape *tape, uint32_t first, FILE *to) {
    const char *layer = swi_at(tape, first)->layer;
    for (uint32_t slot = first; slot-- > 0;)
        if (dot_same_layer(swi_at(tape, slot)->layer, layer))
            return; /* the layer was written at an earlier slot */
    if (layer) {
        fprintf(to, "  subgraph cluster_%u {\n    label=\"", (unsigned)first);
        dot_write_escaped(layer, to);
        fprintf(to, "\";\n");
    }
    for (uint32_t slot = first; slot < tape->count; slot++)
        if (dot_same_layer(swi_at(tape, slot)->layer, layer))
            dot_write_node(tape, swi_at(tape, slot), layer ? "    " : "  ", to);
    if (layer)
        fprintf(to, "  }\n");
}

sw_status sw_tape_dot(const sw_tape *tape, FILE *to) {
    if (!tape || !to)
        return sw_fail(SW_ERR_ARGUMENT, "tape_dot: the %s is NULL", tape ? "file" : "tape");
    fprintf(to, "digraph tape {\n"
                "  node [shape=box, style=filled, fillcolor=white, fontname=\"Helvetica\", fontsize=10];\n"
                "  graph [fontname=\"Helvetica\", fontsize=10, color=gray];\n");
    for (uint32_t slot = 0; slot < tape->count; slot++)
        dot_write_layer(tape, slot, to);
    for (uint32_t slot = 0; slot < tape->count; slot++) {
        const swi_node *node = swi_at(tape, slot);
        for (int i = 0; node->op && i < node->inputs; i++)
            fprintf(to, "  n%u -> n%u;\n", (unsigned)swi_inputs(node)[i]->slot, (unsigned)slot);
    }
    fprintf(to, "}\n");
    return ferror(to) ? sw_fail(SW_ERR_IO, "tape_dot: the graph could not be written") : SW_OK;
}
