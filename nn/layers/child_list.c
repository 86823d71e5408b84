/* Lists of layers as arrays, and as variable arguments that end with NULL. */
#include "nn/layers/child_list.h"

#include <swale/nn.h>

sw_module *swn_add_children(sw_module *m, int count, sw_module *const *modules) {
    if (count < 0 || (count > 0 && !modules)) {
        sw_fail(SW_ERR_ARGUMENT, "%s: the list of layers %s", m->type->name,
                count < 0 ? "has a negative length" : "is NULL");
        return sw_module_fail(m->model);
    }
    for (int i = 0; i < count; i++) {
        if (!modules[i] && count > 1) {
            sw_fail(SW_ERR_ARGUMENT, "%s: layer %d of %d is NULL", m->type->name, i + 1, count);
            return sw_module_fail(m->model);
        }
        if (sw_module_add_child(m, modules[i]) != SW_OK)
            return sw_module_fail(m->model);
    }
    return m;
}

sw_module *swn_add_child_list(sw_module *m, va_list list) {
    sw_module *child;
    while ((child = va_arg(list, sw_module *)) != NULL)
        if (sw_module_add_child(m, child) != SW_OK)
            return sw_module_fail(m->model);
    return m;
}

int swn_child_count(int count, sw_module *const *modules) {
    while (count > 0 && modules && !modules[count - 1])
        count--;
    return count;
}
