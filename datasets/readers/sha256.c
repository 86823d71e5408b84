/* SHA-256 according to FIPS 180-4. Section numbers in comments refer to this document. */
#include "datasets/readers/sha256.h"

#include <string.h>

/* 4.2.2: the first 32 bits of the fractional parts of the cube roots of the first 64 primes */
static const uint32_t K[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static inline uint32_t sha256_rotate_right(uint32_t x, int by) {
    return x >> by | x << (32 - by);
}

/* 6.2.2, steps 1 to 4, for one block of 64 bytes */
static void sha256_compress(uint32_t state[8], const unsigned char *block) {
    uint32_t w[64];
    for (int t = 0; t < 16; t++)
        w[t] = (uint32_t)block[4 * t] << 24 | (uint32_t)block[4 * t + 1] << 16 | (uint32_t)block[4 * t + 2] << 8 |
               block[4 * t + 3];
    for (int t = 16; t < 64; t++) {
        uint32_t p = w[t - 15], q = w[t - 2];
        uint32_t sigma0 = sha256_rotate_right(p, 7) ^ sha256_rotate_right(p, 18) ^ p >> 3;
        uint32_t sigma1 = sha256_rotate_right(q, 17) ^ sha256_rotate_right(q, 19) ^ q >> 10;
        w[t] = sigma1 + w[t - 7] + sigma0 + w[t - 16];
    }
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
    for (int t = 0; t < 64; t++) {
        uint32_t sum1 = sha256_rotate_right(e, 6) ^ sha256_rotate_right(e, 11) ^ sha256_rotate_right(e, 25);
        uint32_t choice = (e & f) ^ (~e & g);
        uint32_t t1 = h + sum1 + choice + K[t] + w[t];
        uint32_t sum0 = sha256_rotate_right(a, 2) ^ sha256_rotate_right(a, 13) ^ sha256_rotate_right(a, 22);
        uint32_t majority = (a & b) ^ (a & c) ^ (b & c);
        h = g, g = f, f = e, e = d + t1;
        d = c, c = b, b = a, a = t1 + sum0 + majority;
    }
    const uint32_t add[8] = {a, b, c, d, e, f, g, h};
    for (int i = 0; i < 8; i++)
        state[i] += add[i];
}

void swd_sha256_begin(swd_sha256 *sha) {
    /* 5.3.3: the first 32 bits of the fractional parts of the square roots of the first 8 primes */
    *sha = (swd_sha256){
        .state = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19}};
}

void swd_sha256_add(swd_sha256 *sha, const void *bytes, size_t length) {
    const unsigned char *p = bytes;
    size_t held = (size_t)(sha->length % 64);
    sha->length += length;
    if (held) { /* complete the block that was begun */
        size_t n = length < 64 - held ? length : 64 - held;
        memcpy(sha->block + held, p, n);
        p += n;
        length -= n;
        if (held + n < 64)
            return;
        sha256_compress(sha->state, sha->block);
    }
    for (; length >= 64; p += 64, length -= 64)
        sha256_compress(sha->state, p);
    if (length)
        memcpy(sha->block, p, length);
}

void swd_sha256_end(swd_sha256 *sha, char hex[65]) {
    /* 5.1.1: a one bit, zeros up to 8 bytes before the end of a block, the length in bits */
    static const unsigned char padding[64] = {0x80};
    unsigned char bits[8];
    uint64_t length = sha->length;
    for (int i = 0; i < 8; i++)
        bits[i] = (unsigned char)(length * 8 >> (56 - 8 * i));
    swd_sha256_add(sha, padding, 1 + (size_t)((119 - length % 64) % 64));
    swd_sha256_add(sha, bits, sizeof bits);
    for (int i = 0; i < 64; i++)
        hex[i] = "0123456789abcdef"[sha->state[i / 8] >> (28 - i % 8 * 4) & 15];
    hex[64] = 0;
}

void sw_sha256(const void *bytes, size_t length, char hex[65]) {
    swd_sha256 sha;
    swd_sha256_begin(&sha);
    if (length)
        swd_sha256_add(&sha, bytes, length);
    swd_sha256_end(&sha, hex);
}
