/* A TrueType font for the text of the pictures: read from a file, checked, and its letters drawn as gray values by
 * stb_truetype. Not part of the library.
 *
 * stb_truetype trusts its input. Therefore only the font of a Debian package or the file that the user names is
 * read, and it is used only if its tables lie within it, are large enough, and have the checksums that the file itself
 * states: a file that is truncated or damaged is refused. These checks are not a defense against a font that someone
 * made to attack its reader. */
#ifndef SWALE_EXAMPLES_TRUETYPE_H
#define SWALE_EXAMPLES_TRUETYPE_H

#include <swale/datasets.h>
#include <swale/extend.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __has_include
#if __has_include(<stb/stb_truetype.h>)
#define TRUETYPE_READER 1
#endif
#endif

#ifdef TRUETYPE_READER
#if defined(__clang__)
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Weverything"
#else
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wsign-compare"
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wunused-but-set-variable"
#endif
#define STBTT_STATIC
#define STBTT_assert(condition) ((void)(condition))
#define STB_TRUETYPE_IMPLEMENTATION
#include <stb/stb_truetype.h>
#if defined(__clang__)
#pragma clang diagnostic pop
#else
#pragma GCC diagnostic pop
#endif
#endif

/* Debian's package fonts-dejavu-core. */
#define TRUETYPE_DEFAULT "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"

enum { TRUETYPE_BYTES = 32 << 20 /* a larger file is not read */ };

typedef struct truetype {
    unsigned char *bytes; /* the file; NULL: there is no font */
    double capital;       /* height of the letter H, in the font's units */
#ifdef TRUETYPE_READER
    stbtt_fontinfo reader;
#endif
} truetype;

/* ---- The checks ---- */

static inline uint32_t truetype_u16(const unsigned char *b) {
    return (uint32_t)b[0] << 8 | b[1];
}

static inline uint32_t truetype_u32(const unsigned char *b) {
    return truetype_u16(b) << 16 | truetype_u16(b + 2);
}

/* The sum of the big-endian words of `count` bytes; zeros pad the last word. */
static inline uint32_t truetype_sum(const unsigned char *bytes, size_t count) {
    uint32_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += (uint32_t)bytes[i] << (24 - 8 * (i % 4));
    return sum;
}

/* Finds a table by name, and its size; NULL if there is none of at least `least` bytes. Call it after the directory was
 * checked. */
static inline const unsigned char *truetype_table(const unsigned char *bytes, const char *name, size_t least,
                                                  size_t *size) {
    for (uint32_t i = 0; i < truetype_u16(bytes + 4); i++) {
        const unsigned char *entry = bytes + 12 + 16 * i;
        *size = truetype_u32(entry + 12);
        if (memcmp(entry, name, 4) == 0)
            return *size >= least ? bytes + truetype_u32(entry + 8) : NULL;
    }
    return NULL;
}

/* Returns NULL if every table lies within the file, and all checksums are right; else the reason. */
static inline const char *truetype_directory_fault(const unsigned char *bytes, size_t count) {
    if (count < 12 || (truetype_u32(bytes) != 0x00010000 && memcmp(bytes, "true", 4) != 0))
        return "not a TrueType font";
    const size_t tables = truetype_u16(bytes + 4);
    if (tables < 1 || tables > 64 || 12 + 16 * tables > count)
        return "truncated: ends within its table directory";
    for (size_t i = 0; i < tables; i++) {
        const unsigned char *entry = bytes + 12 + 16 * i;
        const size_t at = truetype_u32(entry + 8), size = truetype_u32(entry + 12);
        /* the third word of this table makes the checksum of the whole file right */
        const bool head = memcmp(entry, "head", 4) == 0;
        if (at % 4 != 0 || at > count || size > count - at || (head && size < 12))
            return "truncated: a table ends behind the file";
        if (truetype_sum(bytes + at, size) - (head ? truetype_u32(bytes + at + 8) : 0) != truetype_u32(entry + 4))
            return "damaged: the checksum of a table is wrong";
    }
    return truetype_sum(bytes, count) == 0xb1b0afba ? NULL : "damaged: the checksum of the file is wrong";
}

/* Returns NULL if the font has the tables for drawing letters, and every outline lies within `glyf`; else the
 * reason. */
static inline const char *truetype_glyphs_fault(const unsigned char *bytes) {
    static const char incomplete[] = "a table that outlines need is missing or too short";
    size_t size, outlines, places;
    const unsigned char *head = truetype_table(bytes, "head", 54, &size);
    const unsigned char *most = truetype_table(bytes, "maxp", 6, &size);
    const unsigned char *across = truetype_table(bytes, "hhea", 36, &size);
    const unsigned char *place = truetype_table(bytes, "loca", 0, &places);
    if (!head || !most || !across || !place || !truetype_table(bytes, "glyf", 1, &outlines) ||
        !truetype_table(bytes, "cmap", 12, &size))
        return incomplete;
    const size_t count = truetype_u16(most + 4), metrics = truetype_u16(across + 34);
    const bool wide = truetype_u16(head + 50) == 1;
    if (count < 1 || metrics < 1 || metrics > count || places < (count + 1) * (wide ? 4 : 2) ||
        !truetype_table(bytes, "hmtx", 2 * (count + metrics), &size))
        return incomplete;
    size_t before = 0;
    for (size_t i = 0; i <= count; i++) {
        const size_t at = wide ? truetype_u32(place + 4 * i) : 2 * truetype_u16(place + 2 * i);
        if (at < before || at > outlines)
            return "an outline is outside of its table";
        before = at;
    }
    return NULL;
}

/* ---- The font ---- */

/* Reads all bytes of a file; *bytes = NULL if there is no file. Returns NULL, or the reason of a failure. */
static inline const char *truetype_read(const char *path, unsigned char **bytes, size_t *count) {
    FILE *file = fopen(path, "rb");
    long size = -1;
    *bytes = NULL;
    if (!file)
        return "cannot be read";
    if (fseek(file, 0, SEEK_END) == 0)
        size = ftell(file);
    rewind(file);
    if (size > 0 && size <= TRUETYPE_BYTES && (*bytes = sw_alloc((size_t)size)))
        *count = fread(*bytes, 1, (size_t)size, file);
    const bool complete = *bytes && *count == (size_t)size;
    fclose(file);
    return complete ? NULL : size > TRUETYPE_BYTES ? "larger than 32 MB" : "cannot be read";
}

static inline void truetype_free(truetype *font) {
    sw_free(font->bytes);
    font->bytes = NULL;
}

/* Reads a font; truetype_free frees it. Returns NULL, or the reason of a failure: then font->bytes is NULL. */
static inline const char *truetype_load(truetype *font, const char *path) {
    *font = (truetype){0};
#ifdef TRUETYPE_READER
    size_t count = 0;
    const char *fault = truetype_read(path, &font->bytes, &count);
    if (!fault)
        fault = truetype_directory_fault(font->bytes, count);
    if (!fault)
        fault = truetype_glyphs_fault(font->bytes);
    int box[4] = {0};
    if (!fault && (!stbtt_InitFont(&font->reader, font->bytes, 0) ||
                   !stbtt_GetCodepointBox(&font->reader, 'H', &box[0], &box[1], &box[2], &box[3]) || box[3] <= 0))
        fault = "there is no letter H in it";
    font->capital = box[3];
    if (fault)
        truetype_free(font);
    return fault;
#else
    (void)path;
    return "stb_truetype was not there when this program was compiled";
#endif
}

/* The distance to the next letter, in heights of a capital. */
static inline double truetype_advance(const truetype *font, unsigned letter) {
#ifdef TRUETYPE_READER
    int advance = 0, bearing = 0;
    stbtt_GetCodepointHMetrics(&font->reader, (int)letter, &advance, &bearing);
    return advance / font->capital;
#else
    (void)font, (void)letter;
    return 0;
#endif
}

/* Draws a letter whose capitals are `height` samples high: gray values [rows, columns] from 0 to 255. The first value
 * is (left, top) samples right of and below the pen on the base line. NULL for a blank; free the result by
 * truetype_release. */
static inline unsigned char *truetype_paint(const truetype *font, unsigned letter, double height, int *rows,
                                            int *columns, int *left, int *top) {
#ifdef TRUETYPE_READER
    const float scale = (float)(height / font->capital);
    return stbtt_GetCodepointBitmap(&font->reader, scale, scale, (int)letter, columns, rows, left, top);
#else
    (void)font, (void)letter, (void)height, (void)rows, (void)columns, (void)left, (void)top;
    return NULL;
#endif
}

static inline void truetype_release(unsigned char *gray) {
#ifdef TRUETYPE_READER
    stbtt_FreeBitmap(gray, NULL);
#else
    (void)gray;
#endif
}

#endif
