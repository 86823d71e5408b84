/* Models in files: the parameters, and the description of the network as a text. */
#include <swale/archive.h>
#include <swale/extend.h>

#include "core/base/error_state.h"
#include "nn/describe.h"
#include "nn/model.h"
#include "nn/restore.h"

/* Texts of the archive. Names of parameters contain a point, so that these names cannot be mistaken for a tied
 * parameter. */
static const char network_key[] = "network", no_network_key[] = "no_network";

/* Adds the description to the archive, or the reason why there is none. */
static sw_status file_put_network(sw_archive *a, const sw_model *model) {
    char reason[700];
    if (!swn_can_describe(model, reason, sizeof reason))
        return sw_archive_set_text(a, no_network_key, reason);
    char *text = sw_model_description(model);
    const sw_status status = text ? sw_archive_set_text(a, network_key, text) : sw_last_failure();
    sw_free(text);
    return status;
}

sw_status sw_model_save(const sw_model *model, const char *path) {
    return sw_model_save_with_options(model, path, NULL);
}

sw_status sw_model_save_with_options(const sw_model *model, const char *path, const sw_save_options *options) {
    SW_TRY(swn_check_built(model, "model_save"));
    sw_archive *a = sw_archive_new();
    sw_status status = a ? sw_model_pack(model, a, options) : SW_ERR_MEMORY;
    if (status == SW_OK)
        status = sw_archive_save(a, path);
    sw_archive_free(a);
    return status;
}

sw_status sw_model_pack(const sw_model *model, sw_archive *archive, const sw_save_options *options) {
    SW_TRY(swn_check_built(model, "model_pack"));
    SW_TRY(sw_params_pack_with_options(model->params, archive, NULL, options));
    return file_put_network(archive, model);
}

sw_status sw_model_load(sw_model *model, const char *path) {
    return sw_model_load_with_options(model, path, NULL);
}

sw_status sw_model_load_with_options(sw_model *model, const char *path, const sw_load_options *options) {
    SW_TRY(swn_check_built(model, "model_load"));
    return sw_params_load_with_options(model->params, path, options);
}

/* The number of elements of all arrays in the archive that have data. */
static int64_t file_numbers(const sw_archive *a) {
    int64_t total = 0;
    for (int i = 0; i < sw_archive_count(a); i++) {
        const sw_array array = sw_archive_at(a, i).array;
        total += array.data ? sw_array_count(&array) : 0;
    }
    return total;
}

sw_model *sw_model_new_from_archive(const sw_archive *archive) {
    const bool had_error = sw_error() != NULL;
    if (!archive) {
        sw_fail(SW_ERR_ARGUMENT, "model_new_from_archive: the archive is NULL");
        return NULL;
    }
    const char *path = sw_archive_path(archive), *text = sw_archive_text(archive, network_key),
               *reason = sw_archive_text(archive, no_network_key);
    path = path ? path : "archive";
    if (!text) {
        sw_fail(SW_ERR_FORMAT, "%.700s: contains no network, only parameters%s%.700s", path, reason ? ": " : "",
                reason ? reason : "");
        return NULL;
    }
    sw_model *model = swn_restore(text, file_numbers(archive));
    if (!model && !had_error)
        swi_error_prefix_path(path);
    if (model && sw_params_unpack(model->params, archive, NULL) != SW_OK) {
        sw_model_free(model);
        model = NULL;
    }
    return model;
}

sw_model *sw_model_new_from_file(const char *path) {
    sw_archive *a = sw_archive_load(path);
    sw_model *model = a ? sw_model_new_from_archive(a) : NULL;
    sw_archive_free(a);
    return model;
}
