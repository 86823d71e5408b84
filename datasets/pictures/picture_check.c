/* Checks a PNG or JPEG file before it is decoded: it must be complete, of a supported kind, and no larger than its
 * length allows. The decoder checks neither the CRCs nor the end of the file. */
#include <swale/extend.h>

#include "datasets/pictures/picture_check.h"

#include <string.h>
#include <zlib.h>

#define REQUIRE(condition, ...)                                     \
    do {                                                            \
        if (!(condition))                                           \
            return swd_picture_fail(p, SW_ERR_FORMAT, __VA_ARGS__); \
    } while (0)

static int64_t picture_big_endian(const unsigned char *b, int bytes) {
    int64_t n = 0;
    for (int i = 0; i < bytes; i++)
        n = n << 8 | b[i];
    return n;
}

/* least_bytes: the shortest file that can contain a picture of this size. */
static sw_status picture_check_size(const swd_picture *p, int64_t least_bytes) {
    const long long width = p->width, height = p->height;
    REQUIRE(width > 0 && height > 0, "%lldx%lld pixels: the picture is empty", width, height);
    REQUIRE(width <= SWD_PICTURE_SIDE && height <= SWD_PICTURE_SIDE && width * height <= SWD_PICTURE_PIXELS,
            "%lldx%lld pixels are too many: at most %d per side and %d in total are read", width, height,
            SWD_PICTURE_SIDE, SWD_PICTURE_PIXELS);
    REQUIRE(p->bytes >= least_bytes, "%lldx%lld pixels are more than a file of %lld bytes can contain", width, height,
            (long long)p->bytes);
    return SW_OK;
}

/* ---- PNG (ISO/IEC 15948): signature, then chunks: length, type, data, CRC of both ---- */

enum { PNG_SIGNATURE = 8, CHUNK = 12, DEFLATE_RATIO = 1032 };

static bool png_is_chunk(const unsigned char *type, const char *name) {
    return memcmp(type, name, 4) == 0;
}

static sw_status png_check_chunk_type(const swd_picture *p, const unsigned char *type) {
    for (int i = 0; i < 4; i++)
        REQUIRE((type[i] >= 'A' && type[i] <= 'Z') || (type[i] >= 'a' && type[i] <= 'z'),
                "damaged: %02x %02x %02x %02x is not the type of a chunk", type[0], type[1], type[2], type[3]);
    const bool known = png_is_chunk(type, "IHDR") || png_is_chunk(type, "PLTE") || png_is_chunk(type, "IDAT") ||
                       png_is_chunk(type, "IEND"),
               critical = type[0] <= 'Z';
    REQUIRE(known || !critical, "has a critical chunk %.4s, which is not read", (const char *)type);
    return SW_OK;
}

static sw_status png_check_header(swd_picture *p, const unsigned char *type, int64_t length) {
    static const int channels[7] = {1, 0, 3, 1, 2, 0, 4}; /* by color type */
    const unsigned char *data = type + 4;
    REQUIRE(png_is_chunk(type, "IHDR") && length == 13, "damaged: does not begin with its header");
    const int depth = data[8], color = data[9];
    REQUIRE(color < 7 && channels[color] > 0 && depth > 0 && depth <= 16 && (depth & (depth - 1)) == 0,
            "damaged: color type %d of %d bits", color, depth);
    p->width = picture_big_endian(data, 4);
    p->height = picture_big_endian(data + 4, 4);
    p->palette = color == 3 ? 1 << (depth < 8 ? depth : 8) : 0;
    const bool small = p->width <= SWD_PICTURE_SIDE && p->height <= SWD_PICTURE_SIDE;
    /* 1: the byte that selects the filter */
    const int64_t row = small ? 1 + (p->width * channels[color] * depth + 7) / 8 : 0;
    return picture_check_size(p, p->height * row / DEFLATE_RATIO);
}

sw_status swd_picture_check_png(swd_picture *p) {
    for (int64_t at = PNG_SIGNATURE, left;; at = p->bytes - left) {
        left = p->bytes - at;
        REQUIRE(left >= CHUNK, "truncated: ends before the last chunk");
        const unsigned char *type = p->data + at + 4;
        const int64_t length = picture_big_endian(p->data + at, 4);
        SW_TRY(png_check_chunk_type(p, type));
        REQUIRE(length <= left - CHUNK, "truncated: ends within the chunk %.4s", (const char *)type);
        REQUIRE((int64_t)crc32(crc32(0, NULL, 0), type, (uInt)length + 4) == picture_big_endian(type + 4 + length, 4),
                "damaged: the CRC of the chunk %.4s is wrong", (const char *)type);
        if (at == PNG_SIGNATURE)
            SW_TRY(png_check_header(p, type, length));
        if (png_is_chunk(type, "PLTE")) {
            REQUIRE(!p->palette_at, "damaged: a second palette");
            p->palette_at = at;
            p->palette_bytes = length;
        }
        if (png_is_chunk(type, "IEND"))
            return SW_OK;
        left -= CHUNK + length;
    }
}

/* ---- JPEG (ITU-T T.81): segments that begin with ff and a marker; after SOS, coded data ---- */

enum {
    MOST_SCANS = 100,
    BLOCK_SIDE = 8,
    MOST_SAMPLING = 16, /* luma blocks per block of the component with the fewest */
    SOI = 0xd8,
    EOI = 0xd9,
    SOS = 0xda,
    DHT = 0xc4,
    JPG = 0xc8,
    DAC = 0xcc,
    TEM = 0x01,
    RST0 = 0xd0
};

/* Returns the offset of the second byte of the next marker at or after `at`, or -1. Stuffing (ff 00), fill bytes (ff
 * ff) and restart markers are skipped. */
static int64_t jpeg_next_marker(const swd_picture *p, int64_t at) {
    while (at + 1 < p->bytes) {
        const unsigned char *ff = memchr(p->data + at, 0xff, (size_t)(p->bytes - 1 - at));
        if (!ff)
            return -1;
        at = ff - p->data + 1;
        const int marker = p->data[at];
        if (marker != 0 && marker != 0xff && marker != TEM && (marker < RST0 || marker >= RST0 + 8))
            return at;
    }
    return -1;
}

/* Replaces restart markers after the last block of a scan by fill bytes, which may precede any marker. The decoder
 * would take such a restart marker for the beginning of another segment. `at` is the offset of the marker that ends the
 * scan. */
static void jpeg_fill_last_restart(swd_picture *p, int64_t begin, int64_t at) {
    int64_t ff = at - 1; /* the first ff before the marker */
    for (;;) {
        while (ff > begin && p->data[ff - 1] == 0xff)
            ff--;
        if (ff - 2 < begin || p->data[ff - 2] != 0xff || p->data[ff - 1] < RST0 || p->data[ff - 1] >= RST0 + 8)
            return;
        p->data[--ff] = 0xff;
    }
}

/* Every block of 8×8 needs at least one bit, for the code of its DC coefficient. */
static sw_status jpeg_check_frame(swd_picture *p, int marker, const unsigned char *data, int64_t length) {
    REQUIRE(marker <= 0xc2, "a kind of JPEG that is not read: SOF%d (baseline, extended and progressive are)",
            marker - 0xc0);
    REQUIRE(p->width == 0, "damaged: a second frame");
    REQUIRE(length >= 6, "damaged: a frame's header of %lld bytes", (long long)length);
    p->height = picture_big_endian(data + 1, 2);
    p->width = picture_big_endian(data + 3, 2);
    return picture_check_size(p, p->width * p->height / (BLOCK_SIDE * BLOCK_SIDE * MOST_SAMPLING * 8));
}

/* A segment of Huffman tables. Each table has a byte for its class and number, 16 numbers of codes by length, and a
 * symbol for each code. There can be at most 256 codes: stb has room for these and does not check the number. */
static sw_status jpeg_check_codes(const swd_picture *p, const unsigned char *data, int64_t length) {
    enum { COUNTS = 17, MOST_CODES = 256 };
    while (length > 0) {
        int64_t codes = 0;
        for (int64_t i = 1; i < COUNTS && i < length; i++)
            codes += data[i];
        REQUIRE(codes <= MOST_CODES && length >= COUNTS + codes, "damaged: a Huffman table of %lld codes in %lld bytes",
                (long long)codes, (long long)length);
        data += COUNTS + codes;
        length -= COUNTS + codes;
    }
    return SW_OK;
}

sw_status swd_picture_check_jpeg(swd_picture *p) {
    int scans = 0;
    for (int64_t at = jpeg_next_marker(p, 2); at >= 0;) {
        const int marker = p->data[at++];
        if (marker == EOI) {
            REQUIRE(scans > 0, "damaged: no picture before its end");
            return SW_OK;
        }
        REQUIRE(marker != SOI, "damaged: a second beginning");
        const int64_t left = p->bytes - at, length = left >= 2 ? picture_big_endian(p->data + at, 2) : 0;
        if (left < 2 || length > left)
            break;
        REQUIRE(length >= 2, "damaged: a segment of %lld bytes", (long long)length);
        if (marker >= 0xc0 && marker <= 0xcf && marker != DHT && marker != JPG && marker != DAC)
            SW_TRY(jpeg_check_frame(p, marker, p->data + at + 2, length - 2));
        if (marker == DHT)
            SW_TRY(jpeg_check_codes(p, p->data + at + 2, length - 2));
        if (marker == SOS) {
            REQUIRE(p->width > 0, "damaged: a scan before the frame's header");
            REQUIRE(++scans <= MOST_SCANS, "more than %d scans", MOST_SCANS);
        }
        const int64_t data = at + length;
        at = jpeg_next_marker(p, data);
        if (marker == SOS && at >= 0)
            jpeg_fill_last_restart(p, data, at);
    }
    return swd_picture_fail(p, SW_ERR_FORMAT, "truncated: ends before the end of the picture");
}
