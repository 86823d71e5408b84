/* SHA-256 of data that come in several parts. */
#ifndef SWALE_DATASETS_SHA256_H
#define SWALE_DATASETS_SHA256_H

#include <swale/mnist.h>

typedef struct swd_sha256 {
    uint32_t state[8];
    uint64_t length; /* bytes added so far */
    unsigned char block[64];
} swd_sha256;

void swd_sha256_begin(swd_sha256 *sha);
void swd_sha256_add(swd_sha256 *sha, const void *bytes, size_t length);
void swd_sha256_end(swd_sha256 *sha, char hex[65]);

#endif
