/* Settings of layers in descriptions: the functions that save and restore of layer types call. */
#include <swale/description.h>
#include <swale/status.h>

#include "nn/description_settings.h"

#include <math.h>

/* ---- Writing ---- */

json_t *swn_json_text(const char *text) {
    json_t *json = json_string(text);
    if (json)
        return json;
    json_t *again = json_string(text), *unchecked = json_string_nocheck(text);
    if (!again && unchecked)
        sw_fail(SW_ERR_ARGUMENT, "\"%.100s\" is not UTF-8", text);
    else /* at least one of the calls had too little memory */
        sw_fail(SW_ERR_MEMORY, "out of memory: a description cannot be made");
    json_decref(again);
    json_decref(unchecked);
    return NULL;
}

/* Takes ownership of the value. NULL: there was not enough memory for it. */
static sw_status description_set(const sw_description *to, const char *key, json_t *value) {
    json_t *key_text = swn_json_text(key);
    sw_status status = key_text ? SW_OK : sw_last_failure();
    if (status == SW_OK && json_object_get(to->settings, key))
        status = sw_fail(SW_ERR_ARGUMENT, "setting %.100s is written twice", key);
    if (status != SW_OK)
        json_decref(value);
    else if (json_object_set_new(to->settings, key, value) != 0)
        status = sw_fail(SW_ERR_MEMORY, "out of memory: a description cannot be made");
    json_decref(key_text);
    return status;
}

static sw_status description_check_call(const sw_description *d, const char *key, const void *value) {
    if (d && key && *key && value)
        return SW_OK;
    return sw_fail(SW_ERR_ARGUMENT, "description: the %s",
                   !d      ? "description is NULL"
                   : !key  ? "key is NULL"
                   : !*key ? "key is empty"
                           : "value is NULL");
}

sw_status sw_description_set_integer(sw_description *to, const char *key, int64_t value) {
    SW_TRY(description_check_call(to, key, &value));
    return description_set(to, key, json_integer(value));
}

sw_status sw_description_set_number(sw_description *to, const char *key, double value) {
    SW_TRY(description_check_call(to, key, &value));
    if (!isfinite(value))
        return sw_fail(SW_ERR_ARGUMENT, "setting %.100s is %g; a finite number is needed", key, value);
    return description_set(to, key, json_real(value));
}

sw_status sw_description_set_text(sw_description *to, const char *key, const char *text) {
    SW_TRY(description_check_call(to, key, text));
    json_t *value = swn_json_text(text);
    return value ? description_set(to, key, value) : sw_last_failure();
}

sw_status sw_description_set_integers(sw_description *to, const char *key, int count, const int64_t *values) {
    SW_TRY(description_check_call(to, key, count > 0 ? (const void *)values : key));
    json_t *list = json_array();
    for (int i = 0; i < count; i++)
        if (json_array_append_new(list, json_integer(values[i])) != 0) {
            json_decref(list);
            list = NULL;
        }
    return description_set(to, key, list);
}

/* ---- Reading ---- */

/* The value of a setting, which then counts as read; NULL and an error. */
static json_t *description_get(const sw_description *from, const char *key) {
    json_t *value = json_object_get(from->settings, key);
    if (!value)
        sw_fail(SW_ERR_FORMAT, "setting %.100s is missing", key);
    else if (from->read && json_object_set_new(from->read, key, json_true()) != 0) {
        sw_fail(SW_ERR_MEMORY, "out of memory: a description cannot be read");
        value = NULL;
    }
    return value;
}

static sw_status description_check_integer(const json_t *value, const char *key, int64_t least, int64_t most) {
    if (!json_is_integer(value))
        return sw_fail(SW_ERR_FORMAT, "setting %.100s is not a whole number", key);
    if (json_integer_value(value) < least || json_integer_value(value) > most)
        return sw_fail(SW_ERR_FORMAT, "setting %.100s is %lld; %lld to %lld are possible", key,
                       (long long)json_integer_value(value), (long long)least, (long long)most);
    return SW_OK;
}

sw_status sw_description_integer(const sw_description *from, const char *key, int64_t least, int64_t most,
                                 int64_t *value) {
    SW_TRY(description_check_call(from, key, value));
    const json_t *json = description_get(from, key);
    if (!json)
        return sw_last_failure();
    SW_TRY(description_check_integer(json, key, least, most));
    *value = json_integer_value(json);
    return SW_OK;
}

sw_status sw_description_number(const sw_description *from, const char *key, double least, double most, double *value) {
    SW_TRY(description_check_call(from, key, value));
    const json_t *json = description_get(from, key);
    if (!json)
        return sw_last_failure();
    if (!json_is_number(json))
        return sw_fail(SW_ERR_FORMAT, "setting %.100s is not a number", key);
    const double number = json_number_value(json);
    if (!(number >= least && number <= most))
        return sw_fail(SW_ERR_FORMAT, "setting %.100s is %g; %g to %g are possible", key, number, least, most);
    *value = number;
    return SW_OK;
}

const char *sw_description_text(const sw_description *from, const char *key) {
    if (description_check_call(from, key, from) != SW_OK)
        return NULL;
    const json_t *json = description_get(from, key);
    if (json && !json_is_string(json))
        sw_fail(SW_ERR_FORMAT, "setting %.100s is not a text", key);
    return json_string_value(json);
}

sw_status sw_description_integers(const sw_description *from, const char *key, int64_t least, int64_t most,
                                  int capacity, int *count, int64_t *values) {
    SW_TRY(description_check_call(from, key, count && (values || capacity == 0) ? key : NULL));
    const json_t *list = description_get(from, key);
    if (!list)
        return sw_last_failure();
    if (!json_is_array(list))
        return sw_fail(SW_ERR_FORMAT, "setting %.100s is not a list", key);
    if (json_array_size(list) > (size_t)(capacity > 0 ? capacity : 0))
        return sw_fail(SW_ERR_FORMAT, "setting %.100s has %zu numbers; at most %d are possible", key,
                       json_array_size(list), capacity);
    for (size_t i = 0; i < json_array_size(list); i++)
        SW_TRY(description_check_integer(json_array_get(list, i), key, least, most));
    *count = (int)json_array_size(list);
    for (int i = 0; i < *count; i++)
        values[i] = json_integer_value(json_array_get(list, (size_t)i));
    return SW_OK;
}

bool sw_description_has(const sw_description *from, const char *key) {
    return from && key && json_object_get(from->settings, key);
}

const char *sw_description_type(const sw_description *from) {
    return from ? from->type : NULL;
}

sw_module *const *sw_description_layers(const sw_description *from, int *count) {
    if (count)
        *count = from ? from->count : 0;
    return from ? from->layers : NULL;
}
