/* The table that sw_model_print writes. */
#include <swale/extend.h>

#include "nn/model.h"

#include <stdio.h>

static int64_t parameter_count(const sw_module *m) {
    int64_t total = 0;
    for (int i = 0; i < m->params; i++)
        total += m->param[i]->tied || m->param[i]->buffer ? 0 : m->param[i]->count;
    return total;
}

/* Widths of the columns, in characters: the width of the longest entry, and at least these. */
typedef struct print_columns {
    int name, text, shape;
} print_columns;

enum { PRINT_TYPE = 32 }; /* bytes of the text of a type */

typedef struct print_row {
    char text[96], shape[24 * (SW_MAX_RANK + 1)];
} print_row;

static print_row print_row_of(const sw_module *m) {
    print_row row = {.text = "", .shape = "?"};
    if (m->type->describe)
        m->type->describe(m, row.text, sizeof row.text);
    if (m->out.rank >= 0)
        snprintf(row.shape, sizeof row.shape, "%s", sw_shape_text(m->out.rank, m->out.length));
    return row;
}

/* The number of characters in a UTF-8 text. */
static int text_width(const char *text) {
    int width = 0;
    for (; *text; text++)
        width += ((unsigned char)*text & 0xC0) != 0x80;
    return width;
}

static void print_widen(int *width, int needed) {
    *width = needed > *width ? needed : *width;
}

static void print_measure(const sw_module *m, int depth, print_columns *c) {
    const print_row row = print_row_of(m);
    print_widen(&c->name, 2 * depth + text_width(m->name));
    print_widen(&c->text, text_width(row.text));
    print_widen(&c->shape, text_width(row.shape));
    for (int i = 0; i < m->children; i++)
        print_measure(m->child[i], depth + 1, c);
}

static void print_padded(const char *text, int width, FILE *to) {
    fprintf(to, "%s%*s", text, width - text_width(text), "");
}

static void print_line(int depth, const char *name, const char *text, const char *shape, const print_columns *c,
                       FILE *to) {
    fprintf(to, "%*s", 2 * depth, "");
    print_padded(name, c->name - 2 * depth + 2, to);
    print_padded(text, c->text + 1, to);
    print_padded(shape, c->shape + 1, to);
}

static void print_module(const sw_module *m, int depth, const print_columns *c, FILE *to) {
    const print_row row = print_row_of(m);
    print_line(depth, m->name, row.text, row.shape, c, to);
    fprintf(to, "%10lld\n", (long long)parameter_count(m));
    for (int i = 0; i < m->children; i++)
        print_module(m->child[i], depth + 1, c, to);
}

/* "f32", "bf16 (masters f32)" */
static const char *print_type(const sw_params *params, char text[PRINT_TYPE]) {
    const sw_dtype x = sw_params_type(params), storage = sw_params_storage(params);
    if (storage == x)
        return sw_dtype_name(x);
    snprintf(text, PRINT_TYPE, "%s (masters %s)", sw_dtype_name(storage), sw_dtype_name(x));
    return text;
}

void sw_model_print(const sw_model *model, FILE *to) {
    char type[PRINT_TYPE];
    if (!model || !model->root || !to)
        return;
    void *before = sw_locale_begin(); /* also applies to the describe functions of custom layers */
    print_columns c = {20, 24, 12};
    print_measure(model->root, 0, &c);
    print_line(0, "layer", "", "output", &c, to);
    fprintf(to, "%10s\n", "parameters");
    print_module(model->root, 0, &c, to);
    print_line(0, "total", print_type(model->params, type), "", &c, to);
    const int64_t buffers = sw_params_buffer_dim(model->params);
    fprintf(to, "%10lld\n", (long long)(sw_params_dim(model->params) - buffers));
    if (buffers > 0) {
        print_line(0, "buffers", "", "", &c, to);
        fprintf(to, "%10lld\n", (long long)buffers);
    }
    sw_locale_end(before);
}
