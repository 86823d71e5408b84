/* An archive that can be opened is read completely, saved, and opened again: the contents are equal. */
#include "fuzz.h"

#include <swale/archive.h>

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
    }
    sw_archive_free(a);
    sw_archive_free(b);
    return 0;
}
