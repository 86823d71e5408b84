/* The first byte selects options. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char delimiters[4] = {0, ';', '\t', ' '};
    const unsigned choice = size ? data[0] : 0;
    const int64_t skip[1] = {1};
    const sw_csv_options o = {.size = sizeof o,
                              .delimiter = delimiters[choice & 3],
                              .header = (sw_csv_header)((choice >> 2) % 3),
                              .target = (sw_csv_target)((choice >> 4) % 3),
                              .target_column = -1,
                              .skip = skip,
                              .skip_count = choice >> 6 & 1,
                              .allow_nonfinite = choice >> 7 & 1};
    const char *path = fuzz_file(data + (size > 0), size - (size > 0));
    sw_source *s = sw_csv(path, &o);
    fuzz_check(s != NULL, path);
    sw_source_free(s);
    return 0;
}
