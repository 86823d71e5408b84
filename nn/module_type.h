/* Reads members of a layer type. A program that was compiled with an older header has a smaller struct, without the
 * newer members. */
#ifndef SWALE_NN_MODULE_TYPE_H
#define SWALE_NN_MODULE_TYPE_H

#include <swale/module.h>

#include <stddef.h>

/* The member; 0 or NULL if the struct does not contain it. */
#define SWN_TYPE_MEMBER(type, member) ((type)->size > offsetof(sw_module_type, member) ? (type)->member : 0)

/* Whether an input of a layer is ids, or a mask. */
static inline bool swn_input_is_ids(const sw_module *module, int input) {
    const sw_module_type *type = module->type;
    return SWN_TYPE_MEMBER(type, forward_many) ? (SWN_TYPE_MEMBER(type, id_inputs) >> input & 1) != 0
                                               : input == 0 && SWN_TYPE_MEMBER(type, takes_ids);
}
static inline bool swn_input_is_mask(const sw_module *module, int input) {
    return SWN_TYPE_MEMBER(module->type, forward_many) &&
           (SWN_TYPE_MEMBER(module->type, mask_inputs) >> input & 1) != 0;
}

/* Whether the first input of a layer is ids. A chain takes ids if its first layer does. */
static inline bool swn_takes_ids(const sw_module *module) {
    while (SWN_TYPE_MEMBER(module->type, is_chain) && module->children)
        module = module->child[0];
    return swn_input_is_ids(module, 0);
}

#endif
