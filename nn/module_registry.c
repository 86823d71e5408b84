/* Layer types by name: those of the library, and those that programs register. */
#include <swale/description.h>
#include <swale/status.h>

#include "nn/layers/builtin_types.h"
#include "nn/module_type.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

static const sw_module_type *const built_in[] = {&swn_linear_type,
                                                 &swn_embedding_type,
                                                 &swn_dropout_type,
                                                 &swn_flatten_type,
                                                 &swn_reshape_type,
                                                 &swn_sequential_type,
                                                 &swn_residual_type,
                                                 &swn_recompute_type,
                                                 &swn_conv_type,
                                                 &swn_conv_transposed_type,
                                                 &swn_max_pool_type,
                                                 &swn_avg_pool_type,
                                                 &swn_adaptive_max_pool_type,
                                                 &swn_adaptive_avg_pool_type,
                                                 &swn_global_max_pool_type,
                                                 &swn_global_avg_pool_type,
                                                 &swn_lstm_type,
                                                 &swn_gru_type,
                                                 &swn_batch_norm_type,
                                                 &swn_layer_norm_type,
                                                 &swn_rms_norm_type,
                                                 &swn_group_norm_type,
                                                 &swn_basic_block_type,
                                                 &swn_position_type,
                                                 &swn_sinusoidal_position_type,
                                                 &swn_attention_type,
                                                 &swn_cross_attention_type,
                                                 &swn_linear_attention_type,
                                                 &swn_transformer_block_type};

enum { BUILT_IN = sizeof built_in / sizeof *built_in, MOST_REGISTERED = 256 };
static const sw_module_type *registered[MOST_REGISTERED];
/* Increased under the mutex, after the entry is written. Lookups need no mutex, so that they work in a child of fork,
 * which may inherit a locked mutex. */
static atomic_int registered_count;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* of registrations */

const sw_module_type *sw_module_type_at(int index) {
    if (index < 0)
        return NULL;
    if (index < BUILT_IN)
        return built_in[index];
    index -= BUILT_IN;
    if (index < swn_activation_count)
        return &swn_activation_types[index];
    index -= swn_activation_count;
    return index < atomic_load_explicit(&registered_count, memory_order_acquire) ? registered[index] : NULL;
}

const sw_module_type *sw_module_type_find(const char *name) {
    const sw_module_type *type;
    for (int i = 0; name && (type = sw_module_type_at(i)) != NULL; i++)
        if (strcmp(type->name, name) == 0)
            return type;
    return NULL;
}

sw_status sw_module_type_register(const sw_module_type *type) {
    if (!type || !type->name || !*type->name)
        return sw_fail(SW_ERR_ARGUMENT, "register: the layer type has no name");
    if (!SWN_TYPE_MEMBER(type, save) || !SWN_TYPE_MEMBER(type, restore))
        return sw_fail(SW_ERR_ARGUMENT,
                       "register: layer type %.100s needs the functions save and restore, and its size", type->name);
    bool full = false, taken = false;
    pthread_mutex_lock(&mutex);
    const sw_module_type *other = sw_module_type_find(type->name);
    const int count = atomic_load_explicit(&registered_count, memory_order_relaxed);
    if (other) {
        taken = other != type;
    } else if (count < MOST_REGISTERED) {
        registered[count] = type;
        atomic_store_explicit(&registered_count, count + 1, memory_order_release);
    } else {
        full = true;
    }
    pthread_mutex_unlock(&mutex);
    if (taken)
        return sw_fail(SW_ERR_ARGUMENT, "register: the name %.100s is taken by another layer type", type->name);
    return full ? sw_fail(SW_ERR_ARGUMENT, "register: at most %d layer types can be registered", MOST_REGISTERED)
                : SW_OK;
}
