/* The choice of the order of additions in products of bf16. */
#include "core/kernels/bf16_order.h"
#include "core/kernels/dispatch.h"

#include <stdlib.h>
#include <string.h>

static atomic_int chosen_order = -1; /* by the program, or by SW_BF16_PRODUCTS; -1 before the variable is read */
static atomic_bool order_refused;    /* SW_BF16_PRODUCTS has an invalid value */

static int bf16_order_chosen(void) {
    int order = atomic_load_explicit(&chosen_order, memory_order_acquire);
    if (order >= 0)
        return order;
    const char *text = getenv("SW_BF16_PRODUCTS");
    order = SW_BF16_DEFAULT;
    if (text && strcmp(text, "pairs") == 0)
        order = SW_BF16_PAIRS;
    else if (text && strcmp(text, "tiles") == 0)
        order = SW_BF16_TILES;
    else if (text && *text)
        atomic_store(&order_refused, true);
    int unknown = -1; /* another thread may have set it */
    return atomic_compare_exchange_strong(&chosen_order, &unknown, order) ? order : unknown;
}

sw_status swi_check_bf16_order(void) {
    bf16_order_chosen();
    if (!atomic_load(&order_refused))
        return SW_OK;
    const char *text = getenv("SW_BF16_PRODUCTS");
    return sw_fail(SW_ERR_ARGUMENT,
                   "SW_BF16_PRODUCTS=%.40s: pairs or tiles is needed; unset it for the fastest of this processor",
                   text ? text : "");
}

sw_status sw_set_bf16_order(sw_bf16_order order) {
    if (order != SW_BF16_DEFAULT && order != SW_BF16_PAIRS && order != SW_BF16_TILES)
        return sw_fail(SW_ERR_ARGUMENT,
                       "set_bf16_order: %d is no order; SW_BF16_PAIRS, SW_BF16_TILES or SW_BF16_DEFAULT is needed",
                       (int)order);
    atomic_store(&order_refused, false);
    atomic_store(&chosen_order, (int)order);
    return SW_OK;
}

sw_bf16_order swi_bf16_order(sw_bf16_order order) {
    if (order == SW_BF16_DEFAULT)
        order = (sw_bf16_order)bf16_order_chosen();
    if (order == SW_BF16_DEFAULT)
        order = swi_cpu_has(SWI_CPU_AMX) ? SW_BF16_TILES : SW_BF16_PAIRS;
    return order;
}

sw_bf16_order sw_bf16_order_used(void) {
    return swi_bf16_order(SW_BF16_DEFAULT);
}
