/* PNG and JPEG. The CRCs of PNG chunks are corrected first, because the reader would otherwise stop at them. */
#include "fuzz.h"

#include <zlib.h>

static void put_crcs_right(uint8_t *data, size_t size) {
    for (size_t at = 8; size >= 12 && at <= size - 12;) {
        const uint32_t length =
            (uint32_t)data[at] << 24 | (uint32_t)data[at + 1] << 16 | (uint32_t)data[at + 2] << 8 | data[at + 3];
        if (length > size - 12 - at)
            return;
        const uLong crc = crc32(crc32(0, NULL, 0), data + at + 4, length + 4);
        for (int i = 0; i < 4; i++)
            data[at + 8 + length + (size_t)i] = (uint8_t)(crc >> (24 - 8 * i));
        at += 12 + (size_t)length;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const int channels[3] = {0, 1, 3};
    uint8_t *copy = malloc(size + 1);
    if (!copy)
        return 0;
    if (size)
        memcpy(copy, data, size);
    if (size > 8 && copy[0] == 0x89)
        put_crcs_right(copy, size);
    const char *path = fuzz_file(copy, size);
    sw_array a;
    fuzz_check(sw_picture_load(path, channels[size % 3], &a) == SW_OK, path);
    sw_array_free(&a);
    free(copy);
    return 0;
}
