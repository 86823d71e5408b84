/* Element types of files: their names in the safetensors format, in the order of the Python package, and conversion
 * of 16-bit numbers to f32. */
#include "core/files/stored_type.h"

#include <string.h>

static const swi_stored_type stored_types[] = {
    {"BOOL", 8, -1, -1},         {"F4", 4, -1, -1},           {"F6_E2M3", 6, -1, -1},
    {"F6_E3M2", 6, -1, -1},      {"U8", 8, SW_U8, SW_U8},     {"I8", 8, -1, -1},
    {"F8_E5M2", 8, -1, -1},      {"F8_E4M3", 8, -1, -1},      {"F8_E8M0", 8, -1, -1},
    {"F8_E4M3FNUZ", 8, -1, -1},  {"F8_E5M2FNUZ", 8, -1, -1},  {"I16", 16, -1, -1},
    {"U16", 16, -1, -1},         {"F16", 16, SW_F32, SW_F16}, {"BF16", 16, SW_F32, SW_BF16},
    {"I32", 32, SW_I32, SW_I32}, {"U32", 32, -1, -1},         {"F32", 32, SW_F32, SW_F32},
    {"C64", 64, -1, -1},         {"F64", 64, SW_F64, SW_F64}, {"I64", 64, SW_I64, SW_I64},
    {"U64", 64, -1, -1},
};
enum { STORED_TYPES = sizeof stored_types / sizeof *stored_types };

const swi_stored_type *swi_find_stored_type(const char *name) {
    for (int i = 0; i < STORED_TYPES; i++)
        if (strcmp(stored_types[i].name, name) == 0)
            return &stored_types[i];
    return NULL;
}

const swi_stored_type *swi_stored_type_of(sw_dtype type) {
    for (int i = 0; i < STORED_TYPES; i++)
        if ((int)type >= 0 && stored_types[i].same == (int)type)
            return &stored_types[i];
    return NULL;
}

const char *swi_stored_name(sw_dtype type) {
    const swi_stored_type *t = swi_stored_type_of(type);
    return t ? t->name : NULL;
}

/* ---- 16-bit numbers ---- */

void swi_stored_widen(const swi_stored_type *type, char *data, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        uint16_t half;
        memcpy(&half, data + 2 * count + 2 * i, sizeof half);
        const float value = type->same == SW_F16 ? sw_f16_to_f32(half) : sw_bf16_to_f32(half);
        memcpy(data + 4 * i, &value, sizeof value);
    }
}
