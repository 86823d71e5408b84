/* Saves the state of an optimizer to archives and loads it.
 *
 * All state is named memory, and one walk over it (checkpoint_walk.c) serves both directions. The file also contains
 * the specs of the methods as texts (spec_text.c), which determine the meaning of the state. */
#include "optim/bounds.h"
#include "optim/checkpoint_walk.h"
#include "optim/loss_scale.h"
#include "optim/optimizer.h"
#include "optim/spec_text.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char checkpoint_format[] = "1"; /* of the state; a new format has a larger number */

static const char *checkpoint_path(const sw_archive *a) {
    return sw_archive_path(a) ? sw_archive_path(a) : "archive";
}

static sw_sampler *checkpoint_sampler(const sw_optim *o) {
    return o->objective ? o->estimate->e.sampler : NULL; /* wrappers share the sampler of the innermost estimator */
}

static swo_counters checkpoint_counters(const sw_optim *o) {
    const sw_sampler *s = checkpoint_sampler(o);
    return (swo_counters){.seed = (int64_t)o->seed,
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

/* Methods use scalars without a check, for example as indices of a table, so that a damaged file must be refused. The
 * checksum is the sum of a hash of each array of the state, in any order. */
static uint64_t checkpoint_hash(const void *data, size_t bytes) {
    uint64_t h = bytes;
    for (size_t i = 0; i < bytes; i += sizeof h) {
        uint64_t word = 0;
        memcpy(&word, (const char *)data + i, bytes - i < sizeof word ? bytes - i : sizeof word);
        h = (h ^ word) * 0x9E3779B97F4A7C15u; /* an odd factor maps different words to different results */
        h ^= h >> 29;
    }
    return h;
}

static void checkpoint_checksum(const sw_archive *a, char text[17]) {
    uint64_t sum = 0;
    for (int i = 0; i < sw_archive_count(a); i++) {
        const sw_archive_item item = sw_archive_at(a, i);
        if (strncmp(item.name, "optim.", 6) == 0 && item.array.data)
            sum += checkpoint_hash(item.name, strlen(item.name)) *
                   (1 | checkpoint_hash(item.array.data,
                                        (size_t)sw_array_count(&item.array) * sw_dtype_size(item.array.type)));
    }
    snprintf(text, 17, "%016llx", (unsigned long long)sum);
}

/* ---- Saving ---- */

static sw_status checkpoint_pack(const sw_optim *o, sw_archive *a) {
    swo_walk v = {.out = a};
    swo_counters c = checkpoint_counters(o);
    double norm = sw_optim_gradient_norm(o);
    SW_TRY(sw_archive_set_text(a, "optim.format", checkpoint_format));
    for (int i = 0; i < SWO_SPEC_TEXTS; i++) {
        char *text = swo_spec_texts[i].text(o);
        sw_status status = text ? sw_archive_set_text(a, swo_spec_texts[i].key, text) : SW_ERR_MEMORY;
        sw_free(text);
        SW_TRY(status);
    }
    SW_TRY(sw_params_pack(o->params, a, "optim.x."));
    SW_TRY(swo_walk_counters(&v, &c));
    SW_TRY(swo_walk_state(&v, (sw_optim *)(uintptr_t)o, &norm));
    char checksum[17];
    checkpoint_checksum(a, checksum);
    return sw_archive_set_text(a, "optim.checksum", checksum);
}

static sw_status checkpoint_check_arguments(const sw_optim *o, const sw_archive *a, const char *what) {
    if (o && a)
        return SW_OK;
    return sw_error() ? sw_error_status()
                      : sw_fail(SW_ERR_ARGUMENT, "%s: the %s is NULL", what, o ? "archive" : "optimizer");
}

sw_status sw_optim_pack(const sw_optim *o, sw_archive *a) {
    sw_status status = checkpoint_check_arguments(o, a, "optim_pack");
    if (status == SW_OK)
        status = checkpoint_pack(o, a);
    if (status != SW_OK && a)
        sw_archive_put(a, NULL,
                       (sw_array){0}); /* puts an error into the archive, so that an incomplete one is not saved */
    return status;
}

sw_status sw_optim_save(const sw_optim *o, const char *path) {
    if (!o)
        return sw_error() ? sw_error_status() : sw_fail(SW_ERR_ARGUMENT, "optim_save: the optimizer is NULL");
    sw_archive *a = sw_archive_new();
    sw_status status = a ? checkpoint_pack(o, a) : SW_ERR_MEMORY;
    if (status == SW_OK)
        status = sw_archive_save(a, path);
    sw_archive_free(a);
    return status;
}

/* ---- Loading ---- */

static sw_status checkpoint_check_format(const sw_archive *a) {
    const char *text = sw_archive_text(a, "optim.format");
    if (!text)
        return sw_fail(SW_ERR_FORMAT, "%.700s: contains no state of an optimizer%s", checkpoint_path(a),
                       sw_archive_count(a) ? ": sw_params_load loads a file with only parameters" : "");
    if (strcmp(text, checkpoint_format) != 0)
        return sw_fail(SW_ERR_FORMAT, "%.700s: an optimizer's state in format %.40s; this version of swale reads %s",
                       checkpoint_path(a), text, checkpoint_format);
    return SW_OK;
}

static sw_status checkpoint_compare_texts(swo_walk *v, const sw_optim *o) {
    for (int i = 0; i < SWO_SPEC_TEXTS; i++) {
        const char *saved = sw_archive_text(v->in, swo_spec_texts[i].key),
                   *shown = swo_spec_texts[i].key + strlen("optim.");
        char *current = swo_spec_texts[i].text(o);
        if (!current)
            return SW_ERR_MEMORY;
        if (!saved || strcmp(current, saved) != 0)
            sw_error_list_add(&v->faults, "%s is \"%.150s\" here and \"%.150s\" in the file", shown, current,
                              saved ? saved : "");
        sw_free(current);
    }
    return SW_OK;
}

static void checkpoint_find_unexpected(swo_walk *v, const char *prefix) {
    for (int i = 0; i < sw_archive_count(v->in); i++) {
        const char *name = sw_archive_at(v->in, i).name;
        if (!v->used[i] && strncmp(name, prefix, strlen(prefix)) == 0)
            sw_error_list_add(&v->faults, "%.200s is not expected", name + 6);
    }
}

/* An error if only one of the file and the optimizer has the state of a bound estimator. */
static sw_status checkpoint_check_bound(const sw_optim *o, const sw_archive *a) {
    const char *name = "optim.counter.n";
    const sw_array n = sw_archive_has(a, name) ? sw_archive_get(a, name) : (sw_array){0};
    if (!n.data || n.type != SW_I64 || sw_array_count(&n) != 1)
        return SW_OK; /* the walk reports a missing counter among the other mismatches */
    const bool was_bound = *(const int64_t *)n.data > 0, is_bound = o->objective != NULL;
    if (was_bound && !is_bound)
        return sw_fail(SW_ERR_STATE,
                       "%.700s: holds the state of an estimator: call sw_optim_bind with the objective "
                       "before loading",
                       checkpoint_path(a));
    if (!was_bound && is_bound)
        return sw_fail(SW_ERR_STATE,
                       "%.700s: saved before an objective was bound, but this optimizer has one: load before "
                       "sw_optim_bind",
                       checkpoint_path(a));
    return SW_OK;
}

/* Reads the counters of the file into `c`, and compares them with those of the optimizer, which it contained. */
static void checkpoint_compare_counters(swo_walk *v, swo_counters *c) {
    const swo_counters current = *c;
    swo_walk_copy(v, 0, SWO_COUNTERS);
    if (c->seed != current.seed)
        sw_error_list_add(&v->faults, "the seed is %llu here and %llu in the file", (unsigned long long)current.seed,
                          (unsigned long long)c->seed);
    if (c->n != current.n)
        sw_error_list_add(&v->faults, "the objective has %lld samples here and %lld in the file", (long long)current.n,
                          (long long)c->n);
    if (c->steps < 0 || c->skipped < 0 || c->samples < 0 || c->total < 0)
        sw_error_list_add(&v->faults, "a counter is negative");
}

static const char checkpoint_x[] = "optim.x.";

/* The array of a parameter in the file; without a name if there is none. */
static sw_archive_item checkpoint_find_param(const sw_archive *a, const char *name) {
    for (int i = 0; i < sw_archive_count(a); i++) {
        const sw_archive_item item = sw_archive_at(a, i);
        if (strncmp(item.name, checkpoint_x, strlen(checkpoint_x)) == 0 &&
            strcmp(item.name + strlen(checkpoint_x), name) == 0)
            return item;
    }
    return (sw_archive_item){0};
}

/* Whether the file has the parameters of the optimizer, with their shapes. If it is of another network, adds one
 * mismatch, that of the first parameter: every array of its state would differ too. */
static bool checkpoint_compare_networks(swo_walk *v, const sw_params *params) {
    char first[400] = "";
    int different = 0;
    for (int i = 0; i < sw_params_count(params); i++) {
        const sw_param *p = sw_params_at(params, i);
        const sw_archive_item item = p->tied ? (sw_archive_item){0} : checkpoint_find_param(v->in, p->name);
        if (p->tied || (item.name && sw_shape_equal(p->rank, p->shape, item.array.rank, item.array.shape)))
            continue;
        if (different++ == 0 && item.name)
            snprintf(first, sizeof first, "parameter %.200s is %s here and %s in the file", p->name,
                     sw_shape_text(p->rank, p->shape), sw_shape_text(item.array.rank, item.array.shape));
        else if (different == 1)
            snprintf(first, sizeof first, "parameter %.200s %s is not in the file", p->name,
                     sw_shape_text(p->rank, p->shape));
    }
    for (int i = 0; i < sw_archive_count(v->in); i++) {
        const sw_archive_item item = sw_archive_at(v->in, i);
        const char *name = item.name + strlen(checkpoint_x);
        if (strncmp(item.name, checkpoint_x, strlen(checkpoint_x)) != 0 || sw_params_find(params, name))
            continue;
        if (different++ == 0)
            snprintf(first, sizeof first, "parameter %.200s %s is only in the file", name,
                     sw_shape_text(item.array.rank, item.array.shape));
    }
    if (different == 1)
        sw_error_list_add(&v->faults, "the file is of another network: %s", first);
    else if (different > 1)
        sw_error_list_add(&v->faults, "the file is of another network: %s, and %d more differ", first, different - 1);
    return different == 0;
}

static sw_status checkpoint_match(swo_walk *v, sw_optim *o, swo_counters *c, double *norm) {
    char checksum[17];
    const char *saved = sw_archive_text(v->in, "optim.checksum");
    SW_TRY(checkpoint_check_format(v->in));
    SW_TRY(checkpoint_check_bound(o, v->in));
    v->used = sw_alloc_array_for(SW_ACCOUNT_TEMPORARIES, sw_archive_count(v->in), sizeof *v->used);
    if (!v->used)
        return SW_ERR_MEMORY;
    SW_TRY(checkpoint_compare_texts(v, o));
    const bool same =
        v->faults.count == 0; /* the state of other methods has other arrays: their names are not compared then */
    SW_TRY(swo_walk_counters(v, c));
    if (v->pieces == SWO_COUNTERS)
        checkpoint_compare_counters(v, c);
    const bool fits = checkpoint_compare_networks(v, o->params);
    if (same && fits)
        SW_TRY(swo_walk_state(v, o, norm));
    if (fits)
        SW_TRY(swo_walk_params(v, o->params));
    if (same && fits)
        checkpoint_find_unexpected(v, "optim.");
    if (v->faults.count)
        return sw_fail(SW_ERR_FORMAT, "%.700s: does not fit the optimizer: %s", checkpoint_path(v->in),
                       sw_error_list_text(&v->faults));
    checkpoint_checksum(v->in, checksum);
    if (!saved || strcmp(saved, checksum) != 0)
        return sw_fail(SW_ERR_FORMAT, "%.700s: damaged: the checksum does not match the state", checkpoint_path(v->in));
    return SW_OK;
}

/* All checks are before the first change of the optimizer. */
static sw_status checkpoint_unpack(swo_walk *v, sw_optim *o) {
    swo_counters c = checkpoint_counters(o);
    double norm = NAN;
    SW_TRY(checkpoint_match(v, o, &c, &norm));
    const bool had_error = sw_error() != NULL;
    if (checkpoint_sampler(o) && sw_sampler_seek(checkpoint_sampler(o), c.epoch, c.position) != SW_OK) {
        if (!had_error)
            sw_clear_error();
        return sw_fail(SW_ERR_FORMAT, "%.700s: sample %lld of epoch %lld is not a boundary between batches",
                       checkpoint_path(v->in), (long long)c.position, (long long)c.epoch);
    }
    swo_walk_copy(v, SWO_COUNTERS, v->pieces);
    swo_loss_scale_load(o);
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
        o->group[i].bounds.own = INFINITY;                  /* the steps before the file are not known */
        o->group[i].settled = o->group[i].computed = false; /* the options are those of the file until the next step */
    }
    swo_bounds_forget(o);
    o->frozen_known = false;
    sw_params_mark_changed(o->params);
    o->seen = sw_params_version(o->params); /* this change of x is not one of the program */
    sw_gradient_make_fresh(sw_params_gradient(o->params));
    return SW_OK;
}

sw_status sw_optim_unpack(sw_optim *o, const sw_archive *a) {
    SW_TRY(checkpoint_check_arguments(o, a, "optim_unpack"));
    swo_walk v = {.in = a};
    sw_status status = checkpoint_unpack(&v, o);
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
