#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *path = fuzz_file(data, size);
    sw_array a;
    fuzz_check(sw_idx_load(path, &a) == SW_OK, path);
    sw_array_free(&a);
    return 0;
}
