/* Reads members of a layer type. A program that was compiled with an older header has a smaller struct, without the
 * newer members. */
#ifndef SWALE_NN_MODULE_TYPE_H
#define SWALE_NN_MODULE_TYPE_H

#include <swale/module.h>

#include <stddef.h>

/* The member; 0 or NULL if the struct does not contain it. */
#define SWN_TYPE_MEMBER(type, member) ((type)->size > offsetof(sw_module_type, member) ? (type)->member : 0)

/* Whether the input of a layer is ids. A chain takes ids if its first layer does. */
static inline bool swn_takes_ids(const sw_module *module) {
    while (SWN_TYPE_MEMBER(module->type, is_chain) && module->children)
        module = module->child[0];
    return SWN_TYPE_MEMBER(module->type, takes_ids);
}

#endif
