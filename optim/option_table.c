/* Reads the tables of a method: options, slots, scalars. */
#include "optim/option_table.h"

#include <math.h>
#include <string.h>

/* ---- Options ---- */

int swo_option_count(const sw_option *table) {
    int n = 0;
    while (table && table[n].name)
        n++;
    return n;
}

int swo_option_index(const sw_option *table, const char *name) {
    for (int i = 0; table && table[i].name; i++)
        if (strcmp(table[i].name, name) == 0)
            return i;
    return -1;
}

bool swo_option_in_range(const sw_option *o, double v) {
    bool low = o->open & SW_OPEN_LOW ? v > o->low : v >= o->low;
    bool high = o->open & SW_OPEN_HIGH ? v < o->high : v <= o->high;
    return low && high;
}

const char *swo_option_range_text(const sw_option *o) {
    static _Thread_local char text[96];
    sw_format(text, sizeof text, "%c%g, %g%c", o->open & SW_OPEN_LOW || isinf(o->low) ? '(' : '[', o->low, o->high,
              o->open & SW_OPEN_HIGH || isinf(o->high) ? ')' : ']');
    return text;
}

/* ---- Scalars and slots ---- */

int swo_scalar_count(const char *const *names) {
    int n = 0;
    while (names && names[n])
        n++;
    return n;
}

bool swo_slot_needed(const sw_slot *slot, const double *option, sw_dtype type) {
    return (!slot->needed || slot->needed(option)) && (!slot->needed_by || slot->needed_by(option, type));
}

sw_dtype swo_slot_type(const sw_slot *slot, sw_dtype type) {
    switch (slot->type) {
    case SW_SLOT_F32: return SW_F32;
    case SW_SLOT_F64: return SW_F64;
    case SW_SLOT_I32: return SW_I32;
    case SW_SLOT_U8: return SW_U8;
    default: return type;
    }
}

size_t swo_slot_size(const sw_slot *slot, sw_dtype type) {
    return sw_dtype_size(swo_slot_type(slot, type));
}
