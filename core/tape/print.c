/* Prints arrays, tensors and parameters as text. */
#include <swale/inspect.h>
#include <swale/text.h>

#include "core/tape/describe.h"

#include <math.h>
#include <stdio.h>

enum { MOST = 1000, ENDS = 3, COLUMNS = 100 };

void swi_summary(sw_dtype type, int64_t count, const void *data, char *text, size_t bytes) {
    double low = INFINITY, high = -INFINITY, sum = 0;
    int64_t nan = 0, inf = 0;
    for (int64_t i = 0; i < count; i++) {
        double x = sw_element_to_number(type, data, i);
        nan += isnan(x) != 0;
        inf += isinf(x) != 0;
        if (!isfinite(x))
            continue;
        low = x < low ? x : low;
        high = x > high ? x : high;
        sum += x;
    }
    int64_t finite = count - nan - inf;
    size_t at = 0;
    text[0] = 0;
    if (finite == 1)
        at += (size_t)sw_format(text, bytes, "%.4g", low);
    else if (finite > 1)
        at += (size_t)sw_format(text, bytes, "from %.4g to %.4g, mean %.4g", low, high, sum / (double)finite);
    else if (count == 0)
        at += (size_t)snprintf(text, bytes, "empty");
    if (nan && at < bytes)
        at += (size_t)snprintf(text + at, bytes - at, "%s%lld NaN", at ? ", " : "", (long long)nan);
    if (inf && at < bytes)
        snprintf(text + at, bytes - at, "%s%lld Inf", at ? ", " : "", (long long)inf);
}

/* ---- Arrays ---- */

/* The format of all numbers of an array: the same for all, so that columns are aligned. */
typedef struct style {
    const sw_array *array;
    FILE *to;
    bool whole, scientific; /* else fixed, four digits after the point */
    bool shortened;
    double least, most; /* the smallest and the largest |x| of the finite numbers other than 0 that are shown */
    int width, column;
} style;

static int print_number(const style *s, double x, char text[32]) {
    if (isnan(x))
        x = (double)NAN; /* without the sign, which has no meaning */
    return snprintf(text, 32, s->whole && isfinite(x) ? "%.0f" : s->scientific ? "%.4e" : "%.4f", x);
}

/* Calls `visit` for the elements of an axis, and of the axes inside it, that are shown. */
static void print_each(style *s, int axis, int64_t at, void (*visit)(style *s, double x)) {
    const sw_array *a = s->array;
    if (axis == a->rank) {
        visit(s, sw_element_to_number(a->type, a->data, at));
        return;
    }
    for (int64_t i = 0, n = a->shape[axis]; i < n; i++) {
        if (s->shortened && n > 2 * ENDS && i == ENDS)
            i = n - ENDS;
        print_each(s, axis + 1, at * n + i, visit);
    }
}

static void print_visit_extent(style *s, double x) {
    if (!isfinite(x))
        return;
    x = fabs(x);
    s->whole &= x == floor(x);
    s->most = x > s->most ? x : s->most;
    s->least = x > 0 && x < s->least ? x : s->least;
}

static void print_visit_width(style *s, double x) {
    char text[32];
    int width = print_number(s, x, text);
    s->width = width > s->width ? width : s->width;
}

static void print_axis(style *s, int axis, int64_t at) {
    const sw_array *a = s->array;
    if (axis == a->rank) {
        char text[32];
        print_number(s, sw_element_to_number(a->type, a->data, at), text);
        s->column += fprintf(s->to, "%*s", s->width, text);
        return;
    }
    fputc('[', s->to);
    s->column = axis + 1;
    for (int64_t i = 0, n = a->shape[axis]; i < n; i++) {
        bool last = axis + 1 == a->rank, skip = s->shortened && n > 2 * ENDS && i == ENDS;
        if (i && last && s->column + s->width + 3 > COLUMNS) {
            fprintf(s->to, ",\n%*s", axis + 1, "");
            s->column = axis + 1;
        } else if (i && last) {
            s->column += fprintf(s->to, ", ");
        } else if (i) {
            fprintf(s->to, ",\n%*s", axis + 1, "");
        }
        if (skip) {
            s->column += fprintf(s->to, last ? "..., " : "...,");
            if (!last)
                fprintf(s->to, "\n%*s", axis + 1, "");
            i = n - ENDS;
        }
        print_axis(s, axis + 1, at * n + i);
    }
    fputc(']', s->to);
}

/* The number of entries to print: the elements, or for an empty array the empty rows before the axis of length 0. */
static int64_t print_entry_count(const sw_array *a) {
    int64_t n = 1;
    for (int axis = 0; axis < a->rank && a->shape[axis] > 0; axis++)
        n *= a->shape[axis];
    return n;
}

static void print_values(const sw_array *a, FILE *to) {
    style s = {.array = a, .to = to, .whole = true, .least = INFINITY, .shortened = print_entry_count(a) > MOST};
    print_each(&s, 0, 0, print_visit_extent);
    s.whole = s.whole && s.most < 1e9;
    s.scientific = !s.whole && (s.most >= 1e6 || s.most < 1e-3 || s.most / s.least > 1e6);
    print_each(&s, 0, 0, print_visit_width);
    print_axis(&s, 0, 0);
    fputc('\n', to);
}

static void print_array(const char *what, const sw_array *a, FILE *to) {
    bool fits = a->rank >= 0 && a->rank <= SW_MAX_RANK && sw_dtype_size(a->type) > 0;
    for (int i = 0; fits && i < a->rank; i++)
        fits = a->shape[i] >= 0;
    if (!fits) {
        fprintf(to, "%sinvalid array: type %d, shape %s\n", what, (int)a->type, sw_shape_text(a->rank, a->shape));
        return;
    }
    void *before = sw_locale_begin();
    fprintf(to, "%s%s %s%s", what, sw_dtype_name(a->type), sw_shape_text(a->rank, a->shape),
            a->data ? a->rank ? "\n" : " " : ", no data\n");
    if (a->data)
        print_values(a, to);
    sw_locale_end(before);
}

void sw_array_print(const sw_array *array, FILE *to) {
    if (array && to)
        print_array("", array, to);
}

/* ---- Tensors and parameters ---- */

const char *swi_node_title(const swi_node *node) {
    if (node->op)
        return node->op->name;
    return node->flags & SWI_PARAM ? node->param->name : node->flags & SWI_NEEDS_GRAD ? "variable" : "input";
}

void sw_tensor_print(sw_tensor t, FILE *to) {
    if (!to)
        return;
    if (!sw_is_live(t)) {
        fprintf(to, t.tape ? "(released, or its tape was reset)\n" : "(null tensor)\n");
        return;
    }
    const swi_node *node = swi_at(t.tape, t.slot);
    if (node->layer)
        fprintf(to, "layer %s: ", node->layer);
    fprintf(to, "%s%s", swi_node_title(node), node->flags & SWI_NEEDS_GRAD ? "" : ", needs no gradient");
    sw_array value = swi_array_of(node, node->view.data), gradient = swi_gradient_at(t.tape, node);
    print_array(": ", &value, to);
    if (gradient.data)
        print_array("gradient: ", &gradient, to);
}

void sw_param_print(const sw_param *param, FILE *to) {
    if (!param || !to)
        return;
    fprintf(to, "%s, role %s", param->name, sw_role_name(param->role));
    if (param->tied)
        fprintf(to, ", tied to %s", param->tied->name);
    if (param->buffer)
        fprintf(to, ", buffer");
    else if ((param->tied ? param->tied : param)->frozen)
        fprintf(to, ", frozen");
    sw_array value = sw_param_value(param), gradient = sw_param_grad(param);
    if (!value.data) { /* not built */
        fprintf(to, ": %s, not built\n", sw_shape_text(param->rank, param->shape));
        return;
    }
    print_array(": ", &value, to);
    print_array("gradient: ", &gradient, to);
}
