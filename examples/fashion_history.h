/* The metrics of every epoch of a run of fashion_mnist. The checkpoint contains them in addition to the optimizer, so
 * that the report of a resumed run is that of an uninterrupted one, even if the files of the report have changed or
 * are missing.
 *
 * Arrays in the checkpoint, in addition to the state of the optimizer:
 *     history.epochs   f64 [epochs, COLUMNS]; without the loss scale, the last column, in files of earlier versions
 *     history.norms    f64 [epochs, layers, 3]   with --norms: of parameters, gradients, updates
 *     history.begun    f64 []                    seconds spent on the epoch that has begun */
#ifndef SWALE_EXAMPLES_FASHION_HISTORY_H
#define SWALE_EXAMPLES_FASHION_HISTORY_H

#include "cli.h"

#include <swale/swale.h>

/* WATCHED is 1 if the norms of the epoch are known. LOSS_SCALE is that of the last step. */
enum {
    EPOCH,
    STEPS,
    SKIPPED,
    SECONDS,
    TRAIN_LOSS,
    TEST_LOSS,
    TEST_ACCURACY,
    GRADIENT_NORM,
    WATCHED,
    LOSS_SCALE,
    COLUMNS
};
enum { MOST_LAYERS = 64, LAYER_NAME = 128, HISTORY_CHANGES = 5 };

typedef struct history {
    int64_t epochs, room;
    double (*row)[COLUMNS]; /* [epochs] */
    int layers;             /* number of layers with parameters */
    char layer[MOST_LAYERS][LAYER_NAME];
    double (*norm)[3];               /* [epochs, layers] */
    double changes[HISTORY_CHANGES]; /* of the training pictures: --flip, --shift, --rotate, --cutout, --mixup */
    double begun, now;               /* seconds spent on the current epoch: by earlier processes, and by this one */
} history;

static void history_free(history *h) {
    free(h->row);
    free(h->norm);
    *h = (history){0};
}

/* The layers of a model, each once: for example "linear1" for linear1.weight and linear1.bias. */
static void history_start(history *h, const sw_model *model) {
    const sw_params *params = sw_model_params(model);
    for (int i = 0; i < sw_params_count(params) && h->layers < MOST_LAYERS; i++) {
        const char *name = sw_params_at(params, i)->name, *dot = strrchr(name, '.');
        char *layer = h->layer[h->layers];
        snprintf(layer, LAYER_NAME, "%.*s", dot ? (int)(dot - name) : (int)strlen(name), name);
        int known = 0;
        while (known < h->layers && strcmp(h->layer[known], layer) != 0)
            known++;
        h->layers += known == h->layers;
    }
}

static sw_status history_reserve(history *h, int64_t epochs) {
    if (epochs <= h->room)
        return SW_OK;
    const int64_t room = epochs < 32 ? 64 : 2 * epochs;
    void *row = realloc(h->row, (size_t)room * sizeof *h->row);
    if (!row)
        return sw_fail(SW_ERR_MEMORY, "out of memory");
    h->row = row;
    void *norm = realloc(h->norm, (size_t)room * (size_t)(h->layers + 1) * sizeof *h->norm);
    if (!norm)
        return sw_fail(SW_ERR_MEMORY, "out of memory");
    h->norm = norm;
    h->room = room;
    return SW_OK;
}

/* Adds an epoch. */
static sw_status history_add(history *h, const sw_train_state *state, const sw_evaluation *test, bool watched) {
    SW_TRY(history_reserve(h, h->epochs + 1));
    double *row = h->row[h->epochs];
    row[EPOCH] = (double)state->epoch;
    row[STEPS] = (double)sw_optim_steps_taken(state->optim);
    row[SKIPPED] = (double)sw_optim_steps_skipped(state->optim);
    row[SECONDS] = h->begun + state->period_seconds;
    h->begun = h->now = 0;
    row[TRAIN_LOSS] = state->mean_loss;
    row[TEST_LOSS] = test->loss;
    row[TEST_ACCURACY] = test->accuracy;
    row[GRADIENT_NORM] = state->gradient_norm;
    row[WATCHED] = watched;
    row[LOSS_SCALE] = state->loss_scale;
    for (int i = 0; i < h->layers; i++) {
        sw_norms n = {0};
        if (watched)
            SW_TRY(sw_optim_norms(state->optim, h->layer[i], &n));
        double *norm = h->norm[h->epochs * h->layers + i];
        norm[0] = n.parameter, norm[1] = n.gradient, norm[2] = n.update;
    }
    h->epochs++;
    return SW_OK;
}

/* ---- The checkpoint ---- */

static sw_status history_save(const history *h, const sw_optim *optim, const char *path) {
    sw_archive *a = sw_archive_new();
    sw_status status = a ? sw_optim_pack(optim, a) : sw_error_status();
    if (status == SW_OK && h->epochs > 0)
        status = sw_archive_put(a, "history.epochs", sw_array_view(h->row, SW_F64, SW_SHAPE(h->epochs, COLUMNS)));
    if (status == SW_OK && h->epochs > 0)
        status = sw_archive_put(a, "history.norms", sw_array_view(h->norm, SW_F64, SW_SHAPE(h->epochs, h->layers, 3)));
    const double begun = h->begun + h->now;
    if (status == SW_OK)
        status = sw_archive_put_copy(a, "history.begun", sw_array_view(&begun, SW_F64, 0, NULL));
    if (status == SW_OK)
        status = sw_archive_put(a, "history.changes", sw_array_view(h->changes, SW_F64, SW_SHAPE(HISTORY_CHANGES)));
    if (status == SW_OK)
        status = sw_archive_save(a, path);
    sw_archive_free(a);
    return status;
}

static sw_status history_take(history *h, const sw_archive *a, const char *path) {
    const sw_array begun = sw_archive_has(a, "history.begun") ? sw_archive_get(a, "history.begun") : (sw_array){0};
    h->begun = begun.data && begun.type == SW_F64 && begun.rank == 0 ? *(const double *)begun.data : 0;
    if (!sw_archive_has(a, "history.epochs") || !sw_archive_has(a, "history.norms"))
        return SW_OK; /* a checkpoint of another program has no history */
    const sw_array row = sw_archive_get(a, "history.epochs"), norm = sw_archive_get(a, "history.norms");
    const int64_t epochs = row.rank > 0 ? row.shape[0] : 0, columns = row.rank == 2 ? row.shape[1] : 0;
    if (row.type != SW_F64 || (columns != COLUMNS && columns != LOSS_SCALE) || norm.type != SW_F64 || norm.rank != 3 ||
        norm.shape[0] != epochs || norm.shape[1] != h->layers || norm.shape[2] != 3)
        return sw_fail(SW_ERR_FORMAT, "%s: its history of epochs does not fit this network", path);
    SW_TRY(history_reserve(h, epochs));
    for (int64_t i = 0; i < epochs; i++) {
        h->row[i][LOSS_SCALE] = 1;
        memcpy(h->row[i], (const double *)row.data + i * columns, (size_t)columns * sizeof(double));
    }
    memcpy(h->norm, norm.data, (size_t)(epochs * h->layers) * sizeof *h->norm);
    h->epochs = epochs;
    return SW_OK;
}

/* Refuses a run that changed its training pictures in another way. A file without this array is accepted. */
static sw_status history_check_changes(const history *h, const sw_archive *a, const char *path) {
    static const char *const option[HISTORY_CHANGES] = {"--flip", "--shift", "--rotate", "--cutout", "--mixup"};
    const sw_array was = sw_archive_has(a, "history.changes") ? sw_archive_get(a, "history.changes") : (sw_array){0};
    if (!was.data || was.type != SW_F64 || was.rank != 1 || was.shape[0] != HISTORY_CHANGES)
        return SW_OK;
    for (int i = 0; i < HISTORY_CHANGES; i++) {
        const double value = ((const double *)was.data)[i];
        if (value != h->changes[i])
            return sw_fail(SW_ERR_ARGUMENT, "%s: its run has %s %g, not %g; give the same, or another file", path,
                           option[i], value, h->changes[i]);
    }
    return SW_OK;
}

/* Saves the state of the optimizer and the history. */
static sw_status history_load(history *h, sw_optim *optim, const char *path) {
    sw_archive *a = sw_archive_load(path);
    sw_status status = a ? history_check_changes(h, a, path) : sw_error_status();
    if (status == SW_OK)
        status = sw_optim_unpack(optim, a);
    if (status == SW_OK)
        status = history_take(h, a, path);
    sw_archive_free(a);
    return status;
}

#endif
