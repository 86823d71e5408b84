/* Lists of layers, which the constructors of containers receive. */
#ifndef SWALE_NN_CHILD_LIST_H
#define SWALE_NN_CHILD_LIST_H

#include <swale/module.h>

#include <stdarg.h>

/* Adds layers to the layer m. Returns m; after an error the placeholder, and the model is marked as failed. */
sw_module *swn_add_children(sw_module *m, int count, sw_module *const *modules);
sw_module *swn_add_child_list(sw_module *m, va_list list); /* the list ends with NULL */
/* The number of layers, without NULLs at the end of the array. */
int swn_child_count(int count, sw_module *const *modules);
/* Whether two handles refer to the same tensor. */
static inline bool swn_same_tensor(sw_tensor a, sw_tensor b) {
    return a.tape == b.tape && a.slot == b.slot && a.generation == b.generation;
}

#endif
