/* Names of layers: the name that the program sets, or the type and a number. */
#include <swale/extend.h>

#include "nn/model.h"
#include "nn/module_build.h"
#include "nn/module_type.h"

#include <stdio.h>
#include <string.h>

static const sw_module *module_name_space(const sw_module *m) {
    const sw_module *up = m->parent;
    while (up && !SWN_TYPE_MEMBER(up->type, name_space))
        up = up->parent;
    return up;
}

/* Whether another layer has or will have this name. A name that the program has set, and that is not final yet, is
 * relative to its name space. */
static bool name_is_taken(const sw_module *m, const sw_module *space, const char *local, const char *full) {
    for (int i = 0; i < m->model->modules; i++) {
        const sw_module *other = m->model->module[i];
        if (other != m && ((other->settled && strcmp(other->name, full) == 0) ||
                           (!other->settled && other->named && !m->named && module_name_space(other) == space &&
                            strcmp(other->name, local) == 0)))
            return true;
    }
    return false;
}

static int name_largest_number(const sw_module *m, const sw_module *space) {
    int largest = 0;
    for (int i = 0; i < m->model->modules; i++) {
        const sw_module *other = m->model->module[i];
        if (other->number > largest && module_name_space(other) == space &&
            strcmp(other->type->name, m->type->name) == 0)
            largest = other->number;
    }
    return largest;
}

/* Layers are numbered in the order in which they are built: compilers differ in the order in which
 * they evaluate the arguments of sw_nn_sequential(model, sw_nn_linear(…), sw_nn_linear(…), NULL). */
sw_status swn_settle_name(sw_module *m) {
    const sw_module *space = module_name_space(m);
    char local[128], full[256];
    int number = m->named ? 0 : name_largest_number(m, space);
    if (m->settled)
        return SW_OK;
    do {
        if (m->named)
            snprintf(local, sizeof local, "%s", m->name);
        else
            snprintf(local, sizeof local, "%.48s%d", m->type->name, ++number);
        if (snprintf(full, sizeof full, "%s%s%s", space ? space->name : "", space ? "." : "", local) > 200)
            return sw_fail(SW_ERR_ARGUMENT,
                           "layer %s: its name, in those around it, has more than 200 "
                           "characters",
                           local);
    } while (name_is_taken(m, space, local, full) && !m->named);
    if (name_is_taken(m, space, local, full))
        return sw_fail(SW_ERR_ARGUMENT, "layer %s: another layer has this name", full);
    char *name = sw_strdup(full);
    if (!name)
        return SW_ERR_MEMORY;
    sw_free((void *)(uintptr_t)m->name);
    m->name = name;
    m->number = number;
    m->named = m->settled = true;
    return SW_OK;
}

const char *swn_local_name(const sw_module *m) {
    const sw_module *space = module_name_space(m);
    return space ? m->name + strlen(space->name) + 1 : m->name;
}
