/* An archive that can be opened is read completely, saved, and opened again: the contents are equal. Its floating-point
 * arrays are also saved in each of the other floating-point types: the new file has the rounded numbers, or one of them
 * is too large. */
#include "fuzz.h"

#include <swale/archive.h>

#include <math.h>

static void check_equal(const sw_archive *a, const sw_archive *b) {
    if (sw_archive_count(a) != sw_archive_count(b) || sw_archive_text_count(a) != sw_archive_text_count(b))
        abort();
    for (int i = 0; i < sw_archive_count(a); i++) {
        const sw_archive_item item = sw_archive_at(a, i);
        const sw_array x = item.array, y = sw_archive_get(b, item.name);
        if (x.type != y.type || x.rank != y.rank || memcmp(x.shape, y.shape, sizeof x.shape) != 0 ||
            memcmp(x.data, y.data, (size_t)sw_array_count(&x) * sw_dtype_size(x.type)) != 0)
            abort();
    }
    for (int i = 0; i < sw_archive_text_count(a); i++) {
        const char *key = sw_archive_text_key(a, i), *text = sw_archive_text(b, key);
        if (!text || strcmp(text, sw_archive_text(a, key)) != 0)
            abort();
    }
}

static bool is_infinite_in(sw_dtype type, double number) {
    double rounded = 0; /* room for every type */
    sw_number_to_float(type, &rounded, 0, number);
    return isinf(sw_element_to_number(type, &rounded, 0));
}

/* Whether a finite number of the arrays becomes infinite in this type. */
static bool holds_a_larger_number(const sw_archive *a, sw_dtype type) {
    for (int i = 0; i < sw_archive_count(a); i++) {
        const sw_array x = sw_archive_at(a, i).array;
        for (int64_t k = 0; sw_dtype_is_float(x.type) && k < sw_array_count(&x); k++) {
            const double number = sw_element_to_number(x.type, x.data, k);
            if (isfinite(number) && is_infinite_in(type, number))
                return true;
        }
    }
    return false;
}

static void check_rounded(const sw_array *x, const sw_array *y) {
    for (int64_t k = 0; k < sw_array_count(x); k++) {
        double rounded = 0;
        const double number = sw_element_to_number(x->type, x->data, k);
        sw_number_to_float(y->type, &rounded, 0, number);
        const double expected = sw_element_to_number(y->type, &rounded, 0),
                     found = sw_element_to_number(y->type, y->data, k);
        if (!(found == expected || (isnan(number) && isnan(found))))
            abort();
    }
}

static void check_other_type(const sw_archive *a, sw_dtype type, const char *path) {
    sw_archive *b = sw_archive_new();
    for (int i = 0; i < sw_archive_count(a); i++) {
        const sw_archive_item item = sw_archive_at(a, i);
        sw_archive_put_as(b, item.name, item.array, sw_dtype_is_float(item.array.type) ? type : item.array.type);
    }
    const bool saved = sw_archive_save(b, path) == SW_OK;
    if (saved == holds_a_larger_number(a, type))
        abort();
    fuzz_check(saved, path);
    sw_archive *c = saved ? sw_archive_load(path) : NULL;
    fuzz_check(!saved || c, path);
    for (int i = 0; c && i < sw_archive_count(a); i++) {
        const sw_archive_item item = sw_archive_at(a, i);
        const sw_array y = sw_archive_get(c, item.name);
        if (sw_dtype_is_float(item.array.type) && y.type != type)
            abort();
        if (sw_dtype_is_float(item.array.type))
            check_rounded(&item.array, &y);
    }
    sw_archive_free(b);
    sw_archive_free(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static char again[64];
    const char *path = fuzz_file(data, size);
    sw_archive *a = sw_archive_load(path), *b = NULL;
    fuzz_check(a != NULL, path);
    bool writable = a && size < 4096;
    for (int i = 0; i < sw_archive_count(a); i++)
        writable &= sw_archive_at(a, i).array.data && *sw_archive_at(a, i).name;
    if (writable) { /* in memory: the disk is slow */
        snprintf(again, sizeof again, "/dev/shm/swale-fuzz-%ld", (long)getpid());
        fuzz_check(sw_archive_save(a, again) == SW_OK, again);
        b = sw_archive_load(again);
        fuzz_check(b != NULL, again);
        check_equal(a, b);
        unlink(again);
        for (int type = 0; type < SW_FLOAT_TYPES; type++)
            check_other_type(a, (sw_dtype)type, again);
        unlink(again);
    }
    sw_archive_free(a);
    sw_archive_free(b);
    return 0;
}
