/* Dropout of a block of probabilities, for attention_tiles.c. Include it in each pass of kernel.h, where the type of a
 * strip is defined; there is no include guard. */

/* Philox4x32-10 (random.c) for 4 keys, from j on, of GROUP queries, from first + group·GROUP on. */
static void SW_K(attention_random)(const SW_K(attention_strip) * s, int64_t j, int group, uint32_t bits[4][GROUP]) {
    const sw_attention_problem *p = s->problem;
    const int64_t row = s->item->sample, per = p->rows_per_sample, number = row / per,
                  sample = p->ids ? p->ids[number] : number;
    /* Each head of each row of the sample has a key: the steps of SplitMix64 from random_key. */
    uint64_t key = p->random_key + 0x9E3779B97F4A7C15u * (uint64_t)(row % per * p->heads + s->item->head + 1);
    key = (key ^ key >> 30) * 0xBF58476D1CE4E5B9u;
    key = (key ^ key >> 27) * 0x94D049BB133111EBu;
    key ^= key >> 31;
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int l = 0; l < GROUP; l++) {
        bits[0][l] = (uint32_t)(j / 4 * GROUP + l);
        bits[1][l] = (uint32_t)sample;
        bits[2][l] = (uint32_t)((uint64_t)sample >> 32);
        bits[3][l] = (uint32_t)(2 + s->first / GROUP + group); /* sw_rng has 0 here, dropout 1 */
    }
    for (int round = 0; round < 10; round++) {
        for (int l = 0; l < GROUP; l++) {
            const uint64_t p0 = (uint64_t)0xD2511F53u * bits[0][l], p1 = (uint64_t)0xCD9E8D57u * bits[2][l];
            const uint32_t n0 = (uint32_t)(p1 >> 32) ^ bits[1][l] ^ k0, n2 = (uint32_t)(p0 >> 32) ^ bits[3][l] ^ k1;
            bits[1][l] = (uint32_t)p1;
            bits[3][l] = (uint32_t)p0;
            bits[0][l] = n0;
            bits[2][l] = n2;
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
}

static uint32_t SW_K(attention_threshold)(const sw_attention_problem *p) {
    return (uint32_t)(p->dropout * 4294967296.0);
}

/* The probabilities of the forward pass, where dropped ones are 0. */
static void SW_K(attention_drop)(const SW_K(attention_strip) * s) {
    const uint32_t threshold = SW_K(attention_threshold)(s->problem);
    const real scale = (real)(1 / (1 - s->problem->dropout));
    uint32_t bits[4][GROUP];
    for (int64_t j = s->begin; j < s->end; j += 4)
        for (int g = 0; g < STRIP / GROUP; g++) {
            SW_K(attention_random)(s, j, g, bits);
            for (int64_t i = 0; i < 4 && j + i < s->end; i++) {
                real *line = s->scores + (j + i) * STRIP + g * GROUP;
                for (int l = 0; l < GROUP; l++)
                    line[l] = bits[i][l] < threshold ? 0 : line[l] * scale;
            }
        }
}

/* Backward: the slopes of dropped probabilities become 0, those of others are scaled. Dropped probabilities are made
 * negative, so that attention_slopes finds them. */
static void SW_K(attention_drop_slopes)(const SW_K(attention_strip) * s, real *slopes) {
    const uint32_t threshold = SW_K(attention_threshold)(s->problem);
    const real scale = (real)(1 / (1 - s->problem->dropout));
    uint32_t bits[4][GROUP];
    for (int64_t j = s->begin; j < s->end; j += 4)
        for (int g = 0; g < STRIP / GROUP; g++) {
            SW_K(attention_random)(s, j, g, bits);
            for (int64_t i = 0; i < 4 && j + i < s->end; i++) {
                const int64_t at = (j + i) * STRIP + g * GROUP;
                for (int l = 0; l < GROUP; l++) {
                    const bool drops = bits[i][l] < threshold;
                    slopes[at + l] = drops ? 0 : slopes[at + l] * scale;
                    s->scores[at + l] = drops ? -s->scores[at + l] : s->scores[at + l];
                }
            }
        }
}

/* After attention_drop_slopes and attention_slopes: the probabilities of the forward pass, with 0 for dropped ones. */
static void SW_K(attention_drop_again)(const SW_K(attention_strip) * s) {
    const VECTOR scale = BROADCAST((real)(1 / (1 - s->problem->dropout)));
    for (real *at = s->scores + s->begin * STRIP, *end = s->scores + s->end * STRIP; at < end; at += LANES)
        STORE(at, SELECT(LOAD(at) < 0, (VECTOR){0}, LOAD(at) * scale));
}
