/* Members of a layer's type, which may be of a program compiled before they were added. */
#ifndef SWALE_NN_MODULE_TYPE_H
#define SWALE_NN_MODULE_TYPE_H

#include <swale/module.h>

#include <stddef.h>

/* The member, 0 or NULL where the type has none. */
#define SWN_TYPE_MEMBER(type, member) ((type)->size > offsetof(sw_module_type, member) ? (type)->member : 0)

/* Whether the model's input is ids: that of the first layer of a chain. */
static inline bool swn_takes_ids(const sw_module *module) {
    while (SWN_TYPE_MEMBER(module->type, is_chain) && module->children)
        module = module->child[0];
    return SWN_TYPE_MEMBER(module->type, takes_ids);
}

#endif
