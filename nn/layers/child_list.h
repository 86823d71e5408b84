/* The lists of layers that constructors of containers take. */
#ifndef SWALE_NN_CHILD_LIST_H
#define SWALE_NN_CHILD_LIST_H

#include <swale/module.h>

#include <stdarg.h>

/* Add layers to a layer m. m; after an error the placeholder, and the model is marked as failed. */
sw_module *swn_add_children(sw_module *m, int count, sw_module *const *modules);
sw_module *swn_add_child_list(sw_module *m, va_list list); /* up to a NULL */
/* The number of layers without the NULLs at the end. */
int swn_child_count(int count, sw_module *const *modules);
/* Whether two handles are of the same tensor. */
static inline bool swn_same_tensor(sw_tensor a, sw_tensor b) {
    return a.tape == b.tape && a.slot == b.slot && a.generation == b.generation;
}

#endif
