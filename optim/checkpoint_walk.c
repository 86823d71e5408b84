/* A walk over the state of an optimizer that puts each piece into an archive, or finds it in one. */
#include "optim/checkpoint_walk.h"
#include "optim/loss_scale.h"
#include "optim/optimizer.h"
#include "optim/option_table.h"
#include "optim/slots.h"
#include "optim/stored_gradient.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const walk_counter_names[] = {"seed",  "n",     "steps",         "skipped",         "samples",
                                                 "draws", "total", "sampler_epoch", "sampler_position"};
_Static_assert(sizeof walk_counter_names / sizeof *walk_counter_names == SWO_COUNTERS, "a name for each");

static const double walk_none = 0;
static const char walk_zeros = 0; /* a piece with this source is set to zero */

/* ---- One piece ---- */

static sw_status walk_add_piece(swo_walk *v, const sw_array *to, const void *from) {
    if (v->pieces == v->room) {
        const int room = v->room ? 2 * v->room : 64;
        swo_piece *longer = sw_alloc_array_for(SW_ACCOUNT_TEMPORARIES, room, sizeof *longer);
        if (!longer)
            return SW_ERR_MEMORY;
        if (v->pieces)
            memcpy(longer, v->piece, (size_t)v->pieces * sizeof *longer);
        sw_free(v->piece);
        v->piece = longer;
        v->room = room;
    }
    v->piece[v->pieces++] = (swo_piece){to->data, from, (size_t)sw_array_count(to) * sw_dtype_size(to->type), false};
    return SW_OK;
}

/* Finds the source of a piece. otherwise: its values if it is not in the file; NULL: a missing piece is a mismatch. */
static sw_status walk_find_piece(swo_walk *v, const char *name, const sw_array *to, const void *otherwise) {
    const char *shown = name + strlen("optim.");
    int i = 0;
    sw_archive_item item = sw_archive_at(v->in, 0);
    for (; item.name && strcmp(item.name, name) != 0; i++)
        item = sw_archive_at(v->in, i + 1);
    if (item.name)
        v->used[i] = true;
    if (!to->data) /* no such slot */
        return SW_OK;
    if (!item.name && otherwise)
        return walk_add_piece(v, to, otherwise);
    if (!item.name) {
        sw_error_list_add(&v->faults, "%.200s is missing", shown);
        return SW_OK;
    }
    const sw_array *a = &item.array;
    if (!a->data || a->type != to->type || a->rank != to->rank ||
        memcmp(a->shape, to->shape, (size_t)a->rank * sizeof *a->shape) != 0) {
        sw_error_list_add(&v->faults, "%.200s is %s %s here and %s %s in the file", shown, sw_dtype_name(to->type),
                          sw_shape_text(to->rank, to->shape), a->data ? sw_dtype_name(a->type) : item.stored,
                          sw_shape_text(a->rank, a->shape));
        return SW_OK;
    }
    return walk_add_piece(v, to, a->data);
}

/* Formats a name into allocated memory; NULL after an error. */
static char *walk_print_name(const char *form, va_list list) {
    va_list again;
    va_copy(again, list);
    const int length = vsnprintf(NULL, 0, form, again);
    va_end(again);
    char *name = sw_alloc_for(SW_ACCOUNT_TEMPORARIES, (size_t)length + 1);
    if (name)
        vsnprintf(name, (size_t)length + 1, form, list);
    return name;
}

/* Visits a vector of the state, with a formatted name. slot: its slot; NULL if it is not a slot. */
SW_PRINTF(4, 5)
static sw_status walk_vector(swo_walk *v, sw_array array, const sw_slot *slot, const char *form, ...) {
    va_list list;
    va_start(list, form);
    char *name = walk_print_name(form, list);
    va_end(list);
    sw_status status = !name    ? SW_ERR_MEMORY
                       : v->out ? sw_archive_put(v->out, name, array)
                                : walk_find_piece(v, name, &array, slot && slot->added ? &walk_zeros : NULL);
    sw_free(name);
    return status;
}

/* Visits a number, which is copied, with a formatted name. */
SW_PRINTF(4, 5)
static sw_status walk_number(swo_walk *v, double *value, const double *otherwise, const char *form, ...) {
    const sw_array array = sw_array_view(value, SW_F64, 0, NULL);
    va_list list;
    va_start(list, form);
    char *name = walk_print_name(form, list);
    va_end(list);
    sw_status status = !name    ? SW_ERR_MEMORY
                       : v->out ? sw_archive_put_copy(v->out, name, array)
                                : walk_find_piece(v, name, &array, otherwise);
    sw_free(name);
    return status;
}

/* ---- All pieces ---- */

/* Visits an integer, which files contain as a double. */
static sw_status walk_whole(swo_walk *v, double *place, const double *otherwise, const char *where, const char *name) {
    double number = swo_scalar(place, 1, 0);
    const int before = v->pieces;
    SW_TRY(walk_number(v, v->out ? &number : place, otherwise, "optim.%s.scalar.%s", where, name));
    if (v->pieces == before)
        return SW_OK;
    memcpy(&number, v->piece[before].from, sizeof number);
    if (!(fabs(number) <= 0x1p53 && floor(number) == number))
        sw_error_list_add(&v->faults, "%s.scalar.%s is %g in the file, which is not an integer", where, name, number);
    v->piece[before].whole = true;
    return SW_OK;
}

/* The last `added` scalars are 0 if the file does not have them, because it is of an earlier version. */
static sw_status walk_scalars(swo_walk *v, const char *where, const char *const *names, double *values, int added,
                              uint32_t whole) {
    const int count = swo_scalar_count(names);
    for (int i = 0; i < count; i++) {
        const double *otherwise = i >= count - added ? &walk_none : NULL;
        if (whole >> i & 1)
            SW_TRY(walk_whole(v, &values[i], otherwise, where, names[i]));
        else
            SW_TRY(walk_number(v, &values[i], otherwise, "optim.%s.scalar.%s", where, names[i]));
    }
    return SW_OK;
}

/* Visits the options of the last step. An option that is not in the file, because a later version added it, has its
 * default. */
static sw_status walk_options(swo_walk *v, const char *where, const sw_option *table, double *values,
                              const swo_values *base) {
    for (int i = 0; table && table[i].name; i++)
        SW_TRY(walk_number(v, &values[i], &base->value[i], "optim.%s.option.%s", where, table[i].name));
    return SW_OK;
}

sw_status swo_walk_counters(swo_walk *v, swo_counters *c) {
    int64_t *value = &c->seed;
    for (int i = 0; i < SWO_COUNTERS; i++) {
        char name[64];
        snprintf(name, sizeof name, "optim.counter.%s", walk_counter_names[i]);
        const sw_array array = sw_array_view(&value[i], SW_I64, 0, NULL);
        SW_TRY(v->out ? sw_archive_put_copy(v->out, name, array) : walk_find_piece(v, name, &array, NULL));
    }
    return SW_OK;
}

/* Adds a fault if a number of the file, which may be of a run with another storage type, is beyond the copy of x that
 * leaves read. */
static void walk_check_range(swo_walk *v, const sw_params *params, const sw_param *p, int piece) {
    const float *x = v->in && v->pieces > piece && !p->frozen ? v->piece[piece].from : NULL;
    const int64_t beyond = x ? swo_find_beyond_copy(params, x, p->count) : -1;
    if (beyond >= 0)
        sw_error_list_add(&v->faults, "%.200s holds %g, which is beyond %s", p->name, (double)x[beyond],
                          sw_dtype_name(sw_params_storage(params)));
}

sw_status swo_walk_params(swo_walk *v, const sw_params *params) {
    for (int i = 0; i < sw_params_count(params); i++) {
        const sw_param *p = sw_params_at(params, i);
        const int piece = v->pieces;
        if (p->tied)
            continue;
        SW_TRY(walk_vector(v, sw_param_value(p), NULL, "optim.x.%s", p->name));
        walk_check_range(v, params, p, piece);
    }
    return SW_OK;
}

static sw_array walk_coefficients(double *coefficient) {
    const int64_t count = SW_MAX_COEFFICIENTS;
    return sw_array_view(coefficient, SW_F64, 1, &count);
}

static sw_status walk_group(swo_walk *v, const sw_optim *o, int index) {
    swo_group *g = &o->group[index];
    const sw_slot *slots = g->rule->slots;
    char where[32];
    snprintf(where, sizeof where, "group%d", index);
    for (int k = 0; k < g->params; k++)
        for (int s = 0; slots && slots[s].name; s++)
            if (g->slot[s] && !g->whole[s])
                SW_TRY(walk_vector(v, swo_param_slot(o, g, k, s), &slots[s], "optim.slot.%s.%s", g->param[k]->name,
                                   slots[s].name));
    for (int s = 0; slots && slots[s].name; s++)
        if (g->slot[s] && g->whole[s])
            SW_TRY(walk_vector(v, swo_slot_vector(o, &slots[s], g->slot[s], g->slot_count[s]), &slots[s],
                               "optim.%s.slot.%s", where, slots[s].name));
    SW_TRY(walk_scalars(v, where, g->rule->scalars, g->scalar, 0, 0));
    if (g->rule->unit == SW_UNIT_VECTOR && (v->in || g->missed != 0)) /* a file has it only if it is so */
        SW_TRY(walk_number(v, &g->missed, &walk_none, "optim.%s.missed", where));
    SW_TRY(walk_options(v, where, g->rule->options, g->effective, &g->base));
    if (swo_reads_last_step(g)) /* with its coefficients */
        SW_TRY(walk_vector(v, walk_coefficients(g->coefficient), NULL, "optim.%s.coefficients", where));
    return SW_OK;
}

/* The estimator is "estimator", its inner one "estimator.inner", and so on. The file may contain a slot that this
 * estimator does not have, because it depends on the options: for example, the file was saved with lr=auto, and is
 * loaded with another lr. */
static sw_status walk_estimator(swo_walk *v, const sw_optim *o) {
    char where[64] = "estimator";
    for (swo_estimate *e = o->objective ? o->estimate : NULL; e; e = e->inner) {
        const sw_slot *slots = e->e.method->slots;
        for (int s = 0; slots && slots[s].name; s++)
            if (e->e.slot[s] || (v->in && slots[s].added))
                SW_TRY(walk_vector(v, swo_slot_vector(o, &slots[s], e->e.slot[s], e->slot_count[s]), &slots[s],
                                   "optim.%s.%s", where, slots[s].name));
        SW_TRY(walk_scalars(v, where, e->e.method->scalars, e->scalar, e->e.method->added_scalars,
                            swo_whole_scalars(e->e.method)));
        SW_TRY(walk_number(v, &e->e.lr, NULL, "optim.%s.proposed_lr", where));
        const size_t length = strlen(where);
        snprintf(where + length, sizeof where - length, ".inner");
    }
    return SW_OK;
}

static sw_status walk_average(swo_walk *v, sw_optim *o) {
    const sw_average *a = o->average;
    for (int s = 0; a && a->slots && a->slots[s].name; s++)
        if (o->average_slot[s])
            SW_TRY(walk_vector(v, swo_slot_vector(o, &a->slots[s], o->average_slot[s], o->average_count[s]),
                               &a->slots[s], "optim.average.%s", a->slots[s].name));
    if (!a)
        return SW_OK;
    SW_TRY(walk_scalars(v, "average", a->scalars, o->average_scalar, 0, 0));
    SW_TRY(walk_options(v, "average", a->options, o->average_option, &o->average_values));
    if (a->point)
        SW_TRY(walk_vector(v, walk_coefficients(o->average_coefficient), NULL, "optim.average.coefficients"));
    return SW_OK;
}

/* Whether the program has written to x since the last step that was taken. Rules of unit VECTOR and estimators then
 * discard what they stored of x and g, and a resumed run must do the same. Without such rules, a file contains it only
 * if it is true. */
static sw_status walk_x_written(swo_walk *v, sw_optim *o) {
    double written = o->steps > 0 && swo_x_is_written(o);
    bool any = v->in || written != 0;
    for (int i = 0; i < o->groups; i++)
        any |= o->group[i].rule->unit == SW_UNIT_VECTOR;
    return any ? walk_number(v, v->out ? &written : &o->x_written, &walk_none, "optim.x_written") : SW_OK;
}

/* The value that a number will have after the copy. */
static double walk_found(const swo_walk *v, int piece, double present) {
    if (v->in && v->pieces > piece)
        memcpy(&present, v->piece[piece].from, sizeof present);
    return present;
}

/* Visits the loss scale, which a file has only if it is dynamic. Another file leaves the scale of this optimizer, and
 * this optimizer ignores a scale in the file if its own is not dynamic. */
static sw_status walk_loss_scale(swo_walk *v, sw_optim *o) {
    swo_loss_scale *s = &o->loss_scale;
    if (v->out && !s->dynamic)
        return SW_OK;
    s->file_scale = sw_params_loss_scale(o->params);
    s->file_clean = (double)s->clean;
    double *scale = s->dynamic ? &s->file_scale : NULL, *clean = s->dynamic ? &s->file_clean : NULL;
    const int first = v->pieces;
    SW_TRY(walk_number(v, scale, scale, "optim.loss_scale.scale"));
    const double found = walk_found(v, first, s->file_scale);
    const int second = v->pieces;
    SW_TRY(walk_number(v, clean, clean, "optim.loss_scale.clean"));
    if (s->dynamic && !swo_loss_scale_fits(found, walk_found(v, second, s->file_clean)))
        sw_error_list_add(&v->faults, "the loss scale is %g after %g clean steps in the file", found,
                          walk_found(v, second, s->file_clean));
    return SW_OK;
}

sw_status swo_walk_state(swo_walk *v, sw_optim *o, double *norm) {
    for (int i = 0; i < o->groups; i++)
        SW_TRY(walk_group(v, o, i));
    SW_TRY(walk_estimator(v, o));
    SW_TRY(walk_average(v, o));
    SW_TRY(walk_x_written(v, o));
    SW_TRY(walk_loss_scale(v, o));
    if (o->search)
        SW_TRY(walk_scalars(v, "search", o->search->scalars, o->search_scalar, 0, 0));
    /* The losses since the last evaluation of sw_train; files of earlier versions do not have them. */
    SW_TRY(walk_number(v, &o->period.sum, &walk_none, "optim.period.sum"));
    SW_TRY(walk_number(v, &o->period.weight, &walk_none, "optim.period.weight"));
    SW_TRY(walk_number(v, &o->period.unit, &walk_none, "optim.period.unit"));
    SW_TRY(walk_number(v, &o->period.mix, &walk_none, "optim.period.mix"));
    return walk_number(v, norm, NULL, "optim.gradient_norm");
}

static void walk_copy_whole(const swo_piece *p) {
    double number;
    memcpy(&number, p->from, sizeof number);
    const int64_t whole = (int64_t)number;
    memcpy(p->to, &whole, sizeof whole);
}

void swo_walk_copy(const swo_walk *v, int first, int end) {
    for (int i = first; i < end; i++)
        if (v->piece[i].from == &walk_zeros)
            memset(v->piece[i].to, 0, v->piece[i].bytes);
        else if (v->piece[i].whole)
            walk_copy_whole(&v->piece[i]);
        else if (v->piece[i].bytes)
            memmove(v->piece[i].to, v->piece[i].from, v->piece[i].bytes);
}
