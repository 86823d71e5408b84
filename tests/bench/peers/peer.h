/* Code that the sides in C share: the protocol, and reading of the files of Fashion-MNIST with zlib alone.
 *
 * A side is a process that measures one framework. It reads one request per line, "train hidden=100 batch=64 path=loop
 * steps=200", and answers "ok SECONDS CHECK" (seconds for one step, picture or load; a number that shows that the work
 * was done: a loss, an accuracy) or "no REASON". Between requests it waits for its standard input. */
#ifndef SWALE_PEER_H
#define SWALE_PEER_H

#include "../bench.h"

#include <limits.h>
#include <string.h>
#include <zlib.h>

enum { PEER_WORDS = 16 };

typedef struct request {
    char line[1024];
    char *word[PEER_WORDS]; /* the verb, and then words name=value */
    int words;
} request;

/* Reads the next request; 0 at the end of the input. */
static inline int next_request(request *r) {
    if (!fgets(r->line, sizeof r->line, stdin))
        return 0;
    r->words = 0;
    for (char *at = strtok(r->line, " \n"); at && r->words < PEER_WORDS; at = strtok(NULL, " \n"))
        r->word[r->words++] = at;
    return r->words > 0;
}

static inline int is(const request *r, const char *verb) {
    return strcmp(r->word[0], verb) == 0;
}

static inline const char *setting(const request *r, const char *name) {
    size_t length = strlen(name);
    for (int i = 1; i < r->words; i++)
        if (strncmp(r->word[i], name, length) == 0 && r->word[i][length] == '=')
            return r->word[i] + length + 1;
    return "";
}

static inline int number(const request *r, const char *name) {
    return atoi(setting(r, name));
}

/* Parses numbers in "512,1024" or "100x784". */
static inline int numbers(const char *text, int most, int *out) {
    int count = 0;
    for (char *end; *text && count < most; text = *end ? end + 1 : end)
        out[count++] = (int)strtol(text, &end, 10);
    return count;
}

static inline void answer(double seconds, double check) {
    printf("ok %.9g %.6g\n", seconds, check);
    fflush(stdout);
}

static inline void refuse(const char *reason) {
    printf("no %s\n", reason);
    fflush(stdout);
}

/* Runs a fifth of the steps as a warm-up, and then measures all of them: seconds per step. */
static inline double timed(void (*run)(void *, int), void *args, int steps) {
    run(args, steps / 5 + 1);
    double start = now();
    run(args, steps);
    return (now() - start) / steps;
}

/* ---- Memory of the process ---- */

/* The peak of the resident memory begins again. */
static inline void resident_reset(void) {
    FILE *f = fopen("/proc/self/clear_refs", "w");
    if (f) {
        fputs("5\n", f);
        fclose(f);
    }
}

/* The bytes in a line of /proc/self/status: "VmRSS:" now, "VmHWM:" at most. 0 if there is none. */
static inline double resident_bytes(const char *name) {
    char line[256];
    double bytes = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, name, strlen(name)) == 0)
            bytes = 1024 * strtod(line + strlen(name), NULL);
    if (f)
        fclose(f);
    return bytes;
}

/* ---- Files ---- */

enum { IMAGES, LABELS, TEST_IMAGES, TEST_LABELS, FILES };
static const char *const file_name[FILES] = {"train-images-idx3-ubyte", "train-labels-idx1-ubyte",
                                             "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"};

/* Reads $PEERS_DATA/NAME.gz; the caller frees the contents. NULL if the file does not exist. */
static inline unsigned char *inflated(int file, size_t *bytes) {
    char path[4096];
    const char *folder = getenv("PEERS_DATA");
    snprintf(path, sizeof path, "%s/%s.gz", folder ? folder : ".", file_name[file]);
    FILE *f = fopen(path, "rb");
    if (!f)
        return NULL;
    fseek(f, 0, SEEK_END);
    size_t packed = (size_t)ftell(f);
    rewind(f);
    unsigned char *in = malloc(packed), *out = NULL;
    if (in && packed > 18 && fread(in, 1, packed, f) == packed) {
        const unsigned char *end = in + packed - 4; /* the last bytes of a gzip file are the length */
        *bytes = (size_t)end[0] | (size_t)end[1] << 8 | (size_t)end[2] << 16 | (size_t)end[3] << 24;
        out = malloc(*bytes);
        z_stream z = {.next_in = in, .avail_in = (uInt)packed, .next_out = out, .avail_out = (uInt)*bytes};
        if (!out || inflateInit2(&z, 15 + 16) != Z_OK || inflate(&z, Z_FINISH) != Z_STREAM_END) {
            free(out);
            out = NULL;
        }
        inflateEnd(&z);
    }
    free(in);
    fclose(f);
    return out;
}

#endif
