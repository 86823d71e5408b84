/* An optimizer's state to and from archives.
 *
 * All state is named memory: one walk over it (visit) puts it into an archive, or finds for each piece where
 * it comes from. What it means is told by texts: the methods, and those of their options that are no
 * mere numbers. */
#include "optim/internal.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

static const char format[] = "1"; /* of the state; a number that grows */

/* ---- A walk over the state ---- */

/* Numbers that are not where they are used, or are looked at before they are. */
typedef struct counters {
    int64_t seed, n; /* n: samples of the objective; 0: none is bound */
    int64_t steps, skipped, samples, draws, total;
    int64_t epoch, position; /* of the sampler; 0, 0 without one */
} counters;
static const char *const counter_names[] = {"seed",  "n",     "steps",         "skipped",         "samples",
                                            "draws", "total", "sampler_epoch", "sampler_position"};
enum { COUNTERS = sizeof counter_names / sizeof *counter_names };
_Static_assert(sizeof(counters) == COUNTERS * sizeof(int64_t), "a name for each");

typedef struct piece {
    void *to;
    const void *from;
    size_t bytes;
} piece;

typedef struct visitor {
    sw_archive *out;      /* packing; else NULL */
    const sw_archive *in; /* unpacking: */
    piece *piece;         /* what is to be copied, the counters first */
    int pieces, room;
    bool *used; /* [arrays of `in`] */
    sw_error_list faults;
} visitor;

static const char *path_of(const sw_archive *a) {
    return sw_archive_path(a) ? sw_archive_path(a) : "archive";
}

/* Formatted into memory of its own; NULL and an error. */
static char *print_name(const char *form, va_list list) {
    va_list again;
    va_copy(again, list);
    const int length = vsnprintf(NULL, 0, form, again);
    va_end(again);
    char *name = sw_alloc((size_t)length + 1);
    if (name)
        vsnprintf(name, (size_t)length + 1, form, list);
    return name;
}

static const char zeros = 0; /* a piece from here becomes zero */

static sw_status remember_piece(visitor *v, const sw_array *to, const void *from) {
    if (v->pieces == v->room) {
        const int room = v->room ? 2 * v->room : 64;
        piece *longer = sw_alloc_array(room, sizeof *longer);
        if (!longer)
            return SW_ERR_MEMORY;
        if (v->pieces)
            memcpy(longer, v->piece, (size_t)v->pieces * sizeof *longer);
        sw_free(v->piece);
        v->piece = longer;
        v->room = room;
    }
    v->piece[v->pieces++] = (piece){to->data, from, (size_t)sw_array_count(to) * sw_dtype_size(to->type)};
    return SW_OK;
}

/* Where a piece comes from. otherwise: what it is if the file does not know it; NULL: then it is missing. */
static sw_status find_piece(visitor *v, const char *name, const sw_array *to, const void *otherwise) {
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
        return remember_piece(v, to, otherwise);
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
    return remember_piece(v, to, a->data);
}

/* One piece of state, by a printed name. slot: whose it is; NULL: of none. */
SW_PRINTF(4, 5)
static sw_status visit_vector(visitor *v, sw_array array, const sw_slot *slot, const char *form, ...) {
    va_list list;
    va_start(list, form);
    char *name = print_name(form, list);
    va_end(list);
    sw_status status = !name    ? SW_ERR_MEMORY
                       : v->out ? sw_archive_put(v->out, name, array)
                                : find_piece(v, name, &array, slot && slot->added ? &zeros : NULL);
    sw_free(name);
    return status;
}

/* The same for a number, which is copied. */
SW_PRINTF(4, 5)
static sw_status visit_number(visitor *v, double *value, const double *otherwise, const char *form, ...) {
    const sw_array array = sw_array_view(value, SW_F64, 0, NULL);
    va_list list;
    va_start(list, form);
    char *name = print_name(form, list);
    va_end(list);
    sw_status status = !name    ? SW_ERR_MEMORY
                       : v->out ? sw_archive_put_copy(v->out, name, array)
                                : find_piece(v, name, &array, otherwise);
    sw_free(name);
    return status;
}

/* The last `added` of them are 0 in older files. */
static sw_status visit_scalars(visitor *v, const char *where, const char *const *names, double *values, int added) {
    static const double none = 0;
    const int count = swo_scalars(names);
    for (int i = 0; i < count; i++)
        SW_TRY(visit_number(v, &values[i], i >= count - added ? &none : NULL, "optim.%s.scalar.%s", where, names[i]));
    return SW_OK;
}

/* Options as of the last step. One that a later version of a method has is at its default in older files. */
static sw_status visit_options(visitor *v, const char *where, const sw_option *table, double *values,
                               const swo_values *base) {
    for (int i = 0; table && table[i].name; i++)
        SW_TRY(visit_number(v, &values[i], &base->value[i], "optim.%s.option.%s", where, table[i].name));
    return SW_OK;
}

static sw_status visit_counters(visitor *v, counters *c) {
    int64_t *value = &c->seed;
    for (int i = 0; i < COUNTERS; i++) {
        char name[64];
        snprintf(name, sizeof name, "optim.counter.%s", counter_names[i]);
        const sw_array array = sw_array_view(&value[i], SW_I64, 0, NULL);
        SW_TRY(v->out ? sw_archive_put_copy(v->out, name, array) : find_piece(v, name, &array, NULL));
    }
    return SW_OK;
}

static sw_array coefficients_of(double *coefficient) {
    const int64_t count = SW_MAX_COEFFICIENTS;
    return sw_array_view(coefficient, SW_F64, 1, &count);
}

static sw_status visit_group(visitor *v, const sw_optim *o, int index) {
    swo_group *g = &o->group[index];
    const sw_slot *slots = g->rule->slots;
    char where[32];
    snprintf(where, sizeof where, "group%d", index);
    for (int k = 0; k < g->params; k++)
        for (int s = 0; slots && slots[s].name; s++)
            if (g->slot[s])
                SW_TRY(visit_vector(v, swo_state_of(o, g, k, s), &slots[s], "optim.slot.%s.%s", g->param[k]->name,
                                    slots[s].name));
    SW_TRY(visit_scalars(v, where, g->rule->scalars, g->scalar, 0));
    SW_TRY(visit_options(v, where, g->rule->options, g->effective, &g->base));
    if (g->rule->point) /* they may serve it too */
        SW_TRY(visit_vector(v, coefficients_of(g->coefficient), NULL, "optim.%s.coefficients", where));
    return SW_OK;
}

static sw_array slot_vector(const sw_optim *o, const sw_slot *slot, void *data, int64_t count) {
    return sw_array_view(data, swo_slot_type(slot, o->type), 1, &count);
}

/* The estimator is "estimator", the one inside it "estimator.inner", and so on. A slot that is not here, but which the
 * method has with other options, may be in the file: it was saved with lr=auto, say, and now lr is given. */
static sw_status visit_estimator(visitor *v, const sw_optim *o) {
    char where[64] = "estimator";
    for (swo_estimate *e = o->objective ? o->estimate : NULL; e; e = e->inner) {
        const sw_slot *slots = e->e.method->slots;
        for (int s = 0; slots && slots[s].name; s++)
            if (e->e.slot[s] || (v->in && slots[s].added))
                SW_TRY(visit_vector(v, slot_vector(o, &slots[s], e->e.slot[s], e->slot_count[s]), &slots[s],
                                    "optim.%s.%s", where, slots[s].name));
        SW_TRY(visit_scalars(v, where, e->e.method->scalars, e->scalar, e->e.method->added_scalars));
        SW_TRY(visit_number(v, &e->e.lr, NULL, "optim.%s.proposed_lr", where));
        const size_t length = strlen(where);
        snprintf(where + length, sizeof where - length, ".inner");
    }
    return SW_OK;
}

static sw_status visit_average(visitor *v, sw_optim *o) {
    const sw_average *a = o->average;
    for (int s = 0; a && a->slots && a->slots[s].name; s++)
        if (o->average_slot[s])
            SW_TRY(visit_vector(v, slot_vector(o, &a->slots[s], o->average_slot[s], o->average_count[s]), &a->slots[s],
                                "optim.average.%s", a->slots[s].name));
    if (!a)
        return SW_OK;
    SW_TRY(visit_scalars(v, "average", a->scalars, o->average_scalar, 0));
    SW_TRY(visit_options(v, "average", a->options, o->average_option, &o->average_values));
    if (a->point)
        SW_TRY(visit_vector(v, coefficients_of(o->average_coefficient), NULL, "optim.average.coefficients"));
    return SW_OK;
}

/* The optimizer is only written to through what unpacking remembers. */
static sw_status visit(visitor *v, sw_optim *o, double *norm) {
    static const double none = 0;
    for (int i = 0; i < o->groups; i++)
        SW_TRY(visit_group(v, o, i));
    SW_TRY(visit_estimator(v, o));
    SW_TRY(visit_average(v, o));
    if (o->search)
        SW_TRY(visit_scalars(v, "search", o->search->scalars, o->search_scalar, 0));
    /* Of a period that an interruption cut short; older files have none. */
    SW_TRY(visit_number(v, &o->period.sum, &none, "optim.period.sum"));
    SW_TRY(visit_number(v, &o->period.weight, &none, "optim.period.weight"));
    SW_TRY(visit_number(v, &o->period.unit, &none, "optim.period.unit"));
    SW_TRY(visit_number(v, &o->period.mix, &none, "optim.period.mix"));
    return visit_number(v, norm, NULL, "optim.gradient_norm");
}

static sw_sampler *sampler_of(const sw_optim *o) {
    return o->objective ? o->estimate->e.sampler : NULL; /* a wrapper's is that of the innermost one */
}

static counters counters_of(const sw_optim *o) {
    const sw_sampler *s = sampler_of(o);
    return (counters){.seed = (int64_t)o->seed,
                      .n = o->objective ? o->objective->n : 0,
                      .steps = o->steps,
                      .skipped = o->skipped,
                      .samples = o->samples,
                      .draws = (int64_t)o->draws,
                      .total = o->total,
                      .epoch = s ? sw_sampler_epoch(s) : 0,
                      .position = s ? sw_sampler_position(s) : 0};
}

/* ---- Damage ---- */

/* Methods trust their scalars, as places in a table for one: a flipped bit must not come that far. The sum,
 * in any order, of a hash of each array of the state. */
static uint64_t hash(const void *data, size_t bytes) {
    uint64_t h = bytes;
    for (size_t i = 0; i < bytes; i += sizeof h) {
        uint64_t word = 0;
        memcpy(&word, (const char *)data + i, bytes - i < sizeof word ? bytes - i : sizeof word);
        h = (h ^ word) * 0x9E3779B97F4A7C15u; /* odd: no two words do the same */
        h ^= h >> 29;
    }
    return h;
}

static void print_checksum(const sw_archive *a, char text[17]) {
    uint64_t sum = 0;
    for (int i = 0; i < sw_archive_count(a); i++) {
        const sw_archive_item item = sw_archive_at(a, i);
        if (strncmp(item.name, "optim.", 6) == 0 && item.array.data)
            sum += hash(item.name, strlen(item.name)) *
                   (1 | hash(item.array.data, (size_t)sw_array_count(&item.array) * sw_dtype_size(item.array.type)));
    }
    snprintf(text, 17, "%016llx", (unsigned long long)sum);
}

/* ---- Out ---- */

static sw_status pack(const sw_optim *o, sw_archive *a) {
    visitor v = {.out = a};
    counters c = counters_of(o);
    double norm = sw_optim_gradient_norm(o);
    SW_TRY(sw_archive_set_text(a, "optim.format", format));
    for (int i = 0; i < SWO_MEANINGS; i++) {
        char *text = swo_meanings[i].text(o);
        sw_status status = text ? sw_archive_set_text(a, swo_meanings[i].key, text) : SW_ERR_MEMORY;
        sw_free(text);
        SW_TRY(status);
    }
    SW_TRY(sw_params_pack(o->params, a, "optim.x."));
    SW_TRY(visit_counters(&v, &c));
    SW_TRY(visit(&v, (sw_optim *)(uintptr_t)o, &norm));
    char checksum[17];
    print_checksum(a, checksum);
    return sw_archive_set_text(a, "optim.checksum", checksum);
}

static sw_status check_pair(const sw_optim *o, const sw_archive *a, const char *what) {
    if (o && a)
        return SW_OK;
    return sw_error() ? sw_error_status()
                      : sw_fail(SW_ERR_ARGUMENT, "%s: the %s is NULL", what, o ? "archive" : "optimizer");
}

sw_status sw_optim_pack(const sw_optim *o, sw_archive *a) {
    sw_status status = check_pair(o, a, "optim_pack");
    if (status == SW_OK)
        status = pack(o, a);
    if (status != SW_OK && a)
        sw_archive_put(a, NULL, (sw_array){0}); /* what is incomplete is not saved */
    return status;
}

sw_status sw_optim_save(const sw_optim *o, const char *path) {
    if (!o)
        return sw_error() ? sw_error_status() : sw_fail(SW_ERR_ARGUMENT, "optim_save: the optimizer is NULL");
    sw_archive *a = sw_archive_new();
    sw_status status = a ? pack(o, a) : SW_ERR_MEMORY;
    if (status == SW_OK)
        status = sw_archive_save(a, path);
    sw_archive_free(a);
    return status;
}

/* ---- In ---- */

static sw_status check_format(const sw_archive *a) {
    const char *text = sw_archive_text(a, "optim.format");
    if (!text)
        return sw_fail(SW_ERR_FORMAT, "%.700s: holds no optimizer's state%s", path_of(a),
                       sw_archive_count(a) ? ": parameters alone are loaded by sw_params_load" : "");
    if (strcmp(text, format) != 0)
        return sw_fail(SW_ERR_FORMAT, "%.700s: an optimizer's state in format %.40s; this version of swale reads %s",
                       path_of(a), text, format);
    return SW_OK;
}

static sw_status compare_meanings(visitor *v, const sw_optim *o) {
    for (int i = 0; i < SWO_MEANINGS; i++) {
        const char *there = sw_archive_text(v->in, swo_meanings[i].key),
                   *shown = swo_meanings[i].key + strlen("optim.");
        char *here = swo_meanings[i].text(o);
        if (!here)
            return SW_ERR_MEMORY;
        if (!there || strcmp(here, there) != 0)
            sw_error_list_add(&v->faults, "%s is \"%.150s\" here and \"%.150s\" in the file", shown, here,
                              there ? there : "");
        sw_free(here);
    }
    return SW_OK;
}

/* The parameters as they are, in their own type: others would not go on as before. */
static sw_status visit_params(visitor *v, const sw_params *params) {
    for (int i = 0; i < sw_params_count(params); i++) {
        const sw_param *p = sw_params_at(params, i);
        if (!p->tied)
            SW_TRY(visit_vector(v, sw_param_value(p), NULL, "optim.x.%s", p->name));
    }
    return SW_OK;
}

static void look_for_unexpected(visitor *v, const char *prefix) {
    for (int i = 0; i < sw_archive_count(v->in); i++) {
        const char *name = sw_archive_at(v->in, i).name;
        if (!v->used[i] && strncmp(name, prefix, strlen(prefix)) == 0)
            sw_error_list_add(&v->faults, "%.200s is not expected", name + 6);
    }
}

static void copy_pieces(const visitor *v, int first, int end) {
    for (int i = first; i < end; i++)
        if (v->piece[i].from == &zeros)
            memset(v->piece[i].to, 0, v->piece[i].bytes);
        else if (v->piece[i].bytes)
            memmove(v->piece[i].to, v->piece[i].from, v->piece[i].bytes);
}

/* Whether the file's estimator has met its objective, and ours has. */
static sw_status check_bound(const sw_optim *o, const sw_archive *a) {
    const char *name = "optim.counter.n";
    const sw_array n = sw_archive_has(a, name) ? sw_archive_get(a, name) : (sw_array){0};
    if (!n.data || n.type != SW_I64 || sw_array_count(&n) != 1)
        return SW_OK; /* a fault among others */
    const bool there = *(const int64_t *)n.data > 0, here = o->objective != NULL;
    if (there && !here)
        return sw_fail(SW_ERR_STATE,
                       "%.700s: holds the state of an estimator: call sw_optim_bind with the objective "
                       "before loading",
                       path_of(a));
    if (!there && here)
        return sw_fail(SW_ERR_STATE,
                       "%.700s: saved before an objective was bound, and here one is: load before "
                       "sw_optim_bind",
                       path_of(a));
    return SW_OK;
}

/* The file's into `c`, against ours in it. */
static void compare_counters(visitor *v, counters *c) {
    const counters here = *c;
    copy_pieces(v, 0, COUNTERS);
    if (c->seed != here.seed)
        sw_error_list_add(&v->faults, "the seed is %llu here and %llu in the file", (unsigned long long)here.seed,
                          (unsigned long long)c->seed);
    if (c->n != here.n)
        sw_error_list_add(&v->faults, "the objective has %lld samples here and %lld in the file", (long long)here.n,
                          (long long)c->n);
    if (c->steps < 0 || c->skipped < 0 || c->samples < 0 || c->total < 0)
        sw_error_list_add(&v->faults, "a counter is negative");
}

static sw_status match(visitor *v, sw_optim *o, counters *c, double *norm) {
    char checksum[17];
    const char *there = sw_archive_text(v->in, "optim.checksum");
    SW_TRY(check_format(v->in));
    SW_TRY(check_bound(o, v->in));
    v->used = sw_alloc_array(sw_archive_count(v->in), sizeof *v->used);
    if (!v->used)
        return SW_ERR_MEMORY;
    SW_TRY(compare_meanings(v, o));
    const bool same = v->faults.count == 0; /* else their states differ by nature */
    SW_TRY(visit_counters(v, c));
    if (v->pieces == COUNTERS)
        compare_counters(v, c);
    if (same)
        SW_TRY(visit(v, o, norm));
    SW_TRY(visit_params(v, o->params));
    look_for_unexpected(v, same ? "optim." : "optim.x.");
    if (v->faults.count)
        return sw_fail(SW_ERR_FORMAT, "%.700s: does not fit the optimizer: %s", path_of(v->in),
                       sw_error_list_text(&v->faults));
    print_checksum(v->in, checksum);
    if (!there || strcmp(there, checksum) != 0)
        return sw_fail(SW_ERR_FORMAT, "%.700s: damaged: its numbers are not those that were saved", path_of(v->in));
    return SW_OK;
}

/* Nothing fails after the first change. */
static sw_status unpack(visitor *v, sw_optim *o) {
    counters c = counters_of(o);
    double norm = NAN;
    SW_TRY(match(v, o, &c, &norm));
    const bool had_error = sw_error() != NULL;
    if (sampler_of(o) && sw_sampler_seek(sampler_of(o), c.epoch, c.position) != SW_OK) {
        if (!had_error)
            sw_clear_error();
        return sw_fail(SW_ERR_FORMAT, "%.700s: sample %lld of epoch %lld is no place between batches", path_of(v->in),
                       (long long)c.position, (long long)c.epoch);
    }
    copy_pieces(v, COUNTERS, v->pieces);
    o->steps = c.steps;
    o->skipped = c.skipped;
    o->skipped_in_a_row = 0;
    o->samples = c.samples;
    o->draws = (uint64_t)c.draws;
    if (o->length != SWO_LENGTH_PROGRAM && c.total > 0) {
        o->total = c.total;
        o->length = SWO_LENGTH_FILE;
    }
    o->norm = norm;
    for (int i = 0; i < o->groups; i++) {
        o->group[i].bounds.own = INFINITY;                  /* nothing is known of how the state came to be */
        o->group[i].settled = o->group[i].computed = false; /* the options are the file's until the next step */
    }
    swo_guard_forget(o);
    o->frozen_known = false;
    sw_params_mark_changed(o->params);
    o->seen = sw_params_version(o->params); /* not written from outside */
    sw_gradient_make_fresh(sw_params_gradient(o->params));
    return SW_OK;
}

sw_status sw_optim_unpack(sw_optim *o, const sw_archive *a) {
    SW_TRY(check_pair(o, a, "optim_unpack"));
    visitor v = {.in = a};
    sw_status status = unpack(&v, o);
    sw_free(v.piece);
    sw_free(v.used);
    return status;
}

sw_status sw_optim_load(sw_optim *o, const char *path) {
    if (!o)
        return sw_error() ? sw_error_status() : sw_fail(SW_ERR_ARGUMENT, "optim_load: the optimizer is NULL");
    sw_archive *a = sw_archive_load(path);
    sw_status status = a ? sw_optim_unpack(o, a) : sw_last_failure();
    sw_archive_free(a);
    return status;
}
