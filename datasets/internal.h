/* What datasets' files share and nobody else sees. Names begin with swd_. */
#ifndef SWALE_DATASETS_INTERNAL_H
#define SWALE_DATASETS_INTERNAL_H

#include "datasets.h"
#include "extend.h"

#include <string.h>

/* ---- idx.c ---- */

/* The first bytes of the file that holds `array`: magic number and dimensions. Returns how many. */
enum { SWD_IDX_HEADER = 4 + 4 * SW_MAX_RANK };
size_t swd_idx_header(const sw_array *array, unsigned char header[SWD_IDX_HEADER]);

/* ---- images.c ---- */

/* sw_idx_images; if `expected` is not NULL, only for images of this shape [n, height, width]. */
sw_source *swd_images_open(const char *images_path, const char *labels_path,
                           const sw_images_options *options, const int64_t expected[3]);

/* ---- sha256.c ---- */

typedef struct swd_sha256 {
    uint32_t state[8];
    uint64_t length; /* bytes taken so far */
    unsigned char block[64];
} swd_sha256;

void swd_sha256_begin(swd_sha256 *sha);
void swd_sha256_add(swd_sha256 *sha, const void *bytes, size_t length);
void swd_sha256_end(swd_sha256 *sha, char hex[65]);

#endif
