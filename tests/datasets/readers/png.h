/* PNG files made by hand: chunks, CRCs and deflate by zlib. Include helpers.h first. */
#ifndef TESTS_DATASETS_PNG_H
#define TESTS_DATASETS_PNG_H

enum { PNG_GRAY = 0, PNG_RGB = 2, PNG_PALETTE = 3, PNG_GRAY_ALPHA = 4, PNG_RGBA = 6 };

static inline void put_bytes(bytes *b, const void *data, size_t size) {
    b->at = realloc(b->at, b->size + size + 1);
    assert_non_null(b->at);
    if (size)
        memcpy(b->at + b->size, data, size);
    b->size += size;
}

static inline void put_be32(bytes *b, uint32_t n) {
    const unsigned char four[4] = {(unsigned char)(n >> 24), (unsigned char)(n >> 16), (unsigned char)(n >> 8),
                                   (unsigned char)n};
    put_bytes(b, four, 4);
}

static inline void put_chunk(bytes *b, const char *type, const void *data, size_t size) {
    put_be32(b, (uint32_t)size);
    size_t from = b->size;
    put_bytes(b, type, 4);
    put_bytes(b, data, size);
    put_be32(b, (uint32_t)crc32(crc32(0, NULL, 0), b->at + from, (uInt)(size + 4)));
}

static inline bytes png_start(uint32_t width, uint32_t height, int depth, int color) {
    bytes b = make_bytes(0), header = make_bytes(0);
    put_bytes(&b, "\x89PNG\r\n\x1a\n", 8);
    put_be32(&header, width);
    put_be32(&header, height);
    put_bytes(&header, (unsigned char[]){(unsigned char)depth, (unsigned char)color, 0, 0, 0}, 5);
    put_chunk(&b, "IHDR", header.at, header.size);
    free(header.at);
    return b;
}

/* Appends IDAT with the rows, each of `row_bytes` bytes, without filters; and IEND. */
static inline void png_end(bytes *b, const unsigned char *rows, size_t height, size_t row_bytes) {
    bytes raw = make_bytes(0);
    for (size_t y = 0; y < height; y++) {
        put_bytes(&raw, "", 1);
        put_bytes(&raw, rows + y * row_bytes, row_bytes);
    }
    uLongf size = compressBound((uLong)raw.size);
    bytes packed = make_bytes(size);
    assert_int_equal(compress2(packed.at, &size, raw.at, (uLong)raw.size, 9), Z_OK);
    put_chunk(b, "IDAT", packed.at, size);
    put_chunk(b, "IEND", "", 0);
    free(packed.at);
    free(raw.at);
}

/* 8 bits per channel: pixels [height, width, channels of the color type]. */
static inline bytes make_png(uint32_t width, uint32_t height, int color, const unsigned char *pixels) {
    static const size_t channels[7] = {1, 0, 3, 1, 2, 0, 4};
    bytes b = png_start(width, height, 8, color);
    png_end(&b, pixels, height, width * channels[color]);
    return b;
}

/* The same, where pixel i is noise(i + from). */
static inline bytes make_noise_png(uint32_t width, uint32_t height, int color, size_t from) {
    unsigned char pixels[4096];
    assert_true((size_t)width * height * 4 <= sizeof pixels);
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = noise(i + from);
    return make_png(width, height, color, pixels);
}

#endif
