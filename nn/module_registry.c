/* Layer types by name: those of the library, and those that programs register. */
#include <swale/description.h>
#include <swale/status.h>

#include "nn/layers/builtin_types.h"
#include "nn/module_type.h"

#include <pthread.h>
#include <string.h>

static const sw_module_type *const built_in[] = {&swn_linear_type,  &swn_embedding_type, &swn_dropout_type,
                                                 &swn_flatten_type, &swn_reshape_type,   &swn_sequential_type,
                                                 &swn_residual_type};

enum { BUILT_IN = sizeof built_in / sizeof *built_in, MOST_REGISTERED = 256 };
static const sw_module_type *registered[MOST_REGISTERED];
static int registered_count;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static const sw_module_type *registry_at_locked(int index) {
    if (index < 0)
        return NULL;
    if (index < BUILT_IN)
        return built_in[index];
    index -= BUILT_IN;
    if (index < swn_activation_count)
        return &swn_activation_types[index];
    index -= swn_activation_count;
    return index < registered_count ? registered[index] : NULL;
}

static const sw_module_type *registry_find_locked(const char *name) {
    const sw_module_type *type;
    for (int i = 0; (type = registry_at_locked(i)) != NULL; i++)
        if (strcmp(type->name, name) == 0)
            return type;
    return NULL;
}

const sw_module_type *sw_module_type_at(int index) {
    pthread_mutex_lock(&mutex);
    const sw_module_type *type = registry_at_locked(index);
    pthread_mutex_unlock(&mutex);
    return type;
}

const sw_module_type *sw_module_type_find(const char *name) {
    pthread_mutex_lock(&mutex);
    const sw_module_type *type = name ? registry_find_locked(name) : NULL;
    pthread_mutex_unlock(&mutex);
    return type;
}

sw_status sw_module_type_register(const sw_module_type *type) {
    if (!type || !type->name || !*type->name)
        return sw_fail(SW_ERR_ARGUMENT, "register: the layer type has no name");
    if (!SWN_TYPE_MEMBER(type, save) || !SWN_TYPE_MEMBER(type, restore))
        return sw_fail(SW_ERR_ARGUMENT,
                       "register: layer type %.100s needs the functions save and restore, and its size", type->name);
    bool full = false, taken = false;
    pthread_mutex_lock(&mutex);
    const sw_module_type *other = registry_find_locked(type->name);
    if (other)
        taken = other != type;
    else if (registered_count < MOST_REGISTERED)
        registered[registered_count++] = type;
    else
        full = true;
    pthread_mutex_unlock(&mutex);
    if (taken)
        return sw_fail(SW_ERR_ARGUMENT, "register: the name %.100s is taken by another layer type", type->name);
    return full ? sw_fail(SW_ERR_ARGUMENT, "register: at most %d layer types", MOST_REGISTERED) : SW_OK;
}
