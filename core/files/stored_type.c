/* Element types of files: their names in the safetensors format, in the order of the Python package, and a check of
 * numbers that a type cannot hold. */
#include <swale/vector.h>

#include "core/base/element.h"
#include "core/files/stored_type.h"

#include <string.h>
#include <math.h>

static const swi_stored_type stored_types[] = {
    {"BOOL", 8, -1},        {"F4", 4, -1},      {"F6_E2M3", 6, -1},  {"F6_E3M2", 6, -1},  {"U8", 8, SW_U8},
    {"I8", 8, -1},          {"F8_E5M2", 8, -1}, {"F8_E4M3", 8, -1},  {"F8_E8M0", 8, -1},  {"F8_E4M3FNUZ", 8, -1},
    {"F8_E5M2FNUZ", 8, -1}, {"I16", 16, -1},    {"U16", 16, -1},     {"F16", 16, SW_F16}, {"BF16", 16, SW_BF16},
    {"I32", 32, SW_I32},    {"U32", 32, -1},    {"F32", 32, SW_F32}, {"C64", 64, -1},     {"F64", 64, SW_F64},
    {"I64", 64, SW_I64},    {"U64", 64, -1},
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
        if ((int)type >= 0 && stored_types[i].type == (int)type)
            return &stored_types[i];
    return NULL;
}

const char *swi_stored_name(sw_dtype type) {
    const swi_stored_type *t = swi_stored_type_of(type);
    return t ? t->name : NULL;
}

/* ---- Numbers beyond the range of a type ---- */

/* The smallest number that is rounded to infinity: halfway between the largest number of the type and the next power of
 * two. */
static double stored_limit(sw_dtype type) {
    return type == SW_F16 ? 65520 : type == SW_BF16 ? 0x1.FFp127 : type == SW_F32 ? 0x1.FFFFFFp127 : INFINITY;
}

int64_t swi_find_beyond(sw_dtype from, int64_t n, const void *data, sw_dtype through, sw_dtype to) {
    enum { BLOCK = 512 };
    const double limit = stored_limit(to) < stored_limit(through) ? stored_limit(to) : stored_limit(through);
    double block[BLOCK];
    for (int64_t begin = 0; begin < n && stored_limit(from) > limit; begin += BLOCK) {
        const int64_t some = n - begin < BLOCK ? n - begin : BLOCK;
        int beyond = 0; /* no branch: the compiler can vectorize the loop */
        sw_vector_convert(from, some, (const char *)data + (size_t)begin * swi_size(from), SW_F64, block);
        for (int64_t i = 0; from == SW_F64 && through == SW_F32 && i < some; i++)
            block[i] = (double)(float)block[i];
        for (int64_t i = 0; i < some; i++)
            beyond |= fabs(block[i]) >= limit;
        for (int64_t i = 0; beyond && i < some; i++)
            if (fabs(block[i]) >= limit && isfinite(sw_load_element(from, data, begin + i)))
                return begin + i;
    }
    return -1;
}
