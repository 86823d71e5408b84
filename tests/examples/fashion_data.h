/* A data set for the tests of fashion_mnist. The reader requires the counts of Fashion-MNIST, so that the tests make
 * files of this size, which are uncompressed, to be read quickly, and easy to learn. */
#ifndef TEST_EXAMPLES_FASHION_DATA_H
#define TEST_EXAMPLES_FASHION_DATA_H
#include "run.h"

#include <math.h>
#include <sys/stat.h>

/* ---- Synthetic data: 70,000 pictures in which a row of bright pixels indicates the class ---- */

static const char *const file_name[4] = {"train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte",
                                         "t10k-labels-idx1-ubyte"};
static const long file_size[4] = {16 + 60000L * 784, 8 + 60000, 16 + 10000L * 784, 8 + 10000};

static inline void big_endian(FILE *f, uint32_t value) {
    for (int shift = 24; shift >= 0; shift -= 8)
        fputc((int)(value >> shift & 255), f);
}

static inline void write_file(const char *folder, int i) {
    char path[700];
    snprintf(path, sizeof path, "%s/%s", folder, file_name[i]);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    uint32_t n = i < 2 ? 60000 : 10000;
    big_endian(f, i % 2 ? 0x0801 : 0x0803);
    big_endian(f, n);
    if (i % 2 == 0) {
        big_endian(f, 28);
        big_endian(f, 28);
    }
    static unsigned char picture[784];
    for (uint32_t k = 0; k < n; k++) {
        uint32_t noise = k * 2654435761u, label = noise >> 16 & 1 ? k % 10 : k * 7 % 10;
        if (i % 2) {
            fputc((int)label, f);
            continue;
        }
        memset(picture, 0, sizeof picture);
        /* Sets some of the 28 pixels of the class's row, and some random other pixels. */
        for (uint32_t j = 0; j < 28; j++) {
            noise = noise * 1664525u + 1013904223u;
            picture[28 * (2 * label + 3) + j] = noise >> 30 ? (unsigned char)(noise >> 22) : 0;
            picture[noise >> 8 & 511] = (unsigned char)(noise >> 20);
        }
        assert_int_equal(fwrite(picture, 1, sizeof picture, f), sizeof picture);
    }
    assert_int_equal(fclose(f), 0);
}

static char data[600]; /* the folder that contains these files */

static inline int setup(void **state) {
    if (run_setup(state) != 0)
        return -1;
    /* Programs without --threads: another test program runs on the other processors. */
    setenv("SW_THREADS", "1", 0);
    snprintf(data, sizeof data, "%s", in_folder("data"));
    if (mkdir(data, 0700) != 0)
        return -1;
    for (int i = 0; i < 4; i++)
        write_file(data, i);
    return 0;
}

static inline void remove_data(const char *folder) {
    for (int i = 0; i < 4; i++) {
        char path[700];
        snprintf(path, sizeof path, "%s/%s", folder, file_name[i]);
        unlink(path);
    }
    rmdir(folder);
}

static inline int teardown(void **state) {
    remove_data(data);
    return run_teardown(state);
}

/* ---- Runs ---- */

#define TRAIN(...) FASHION("--data", data, "--epochs", "1", "--batch", "500", __VA_ARGS__)

static inline void says(const output *o, int code, const char *out, const char *err) {
    if (o->code != code || (out && !strstr(o->out, out)) || (err && !strstr(o->err, err)))
        fail_msg("exit %d instead of %d, expected \"%s\" and \"%s\"; stdout:\n%sstderr:\n%s", o->code, code,
                 out ? out : "", err ? err : "", o->out, o->err);
}

/* Checks a run that prints a message and nothing on stdout. */
static inline void fails(const output *o, int code, const char *err) {
    says(o, code, NULL, err);
    assert_string_equal(o->out, "");
    assert_true(strlen(o->err) > 0 && o->err[strlen(o->err) - 1] == '\n');
}

static inline void succeeds(const output *o) {
    says(o, 0, "test_accuracy", NULL);
}

/* ---- The files of --out ---- */

static const char *const report_files[] = {"metrics.csv",   "metrics.jsonl", "norms.csv",     "run.json",
                                           "curves.gp",     "curves.png",    "confusion.csv", "confusion.gp",
                                           "confusion.png", "misread.png",   "weights.png"};
static inline const char *in_report(const char *folder, const char *name) {
    static char path[4][700];
    static int turn;
    char *p = path[turn++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", folder, name);
    return p;
}

static inline void remove_report(const char *folder) {
    for (size_t i = 0; i < sizeof report_files / sizeof *report_files; i++)
        unlink(in_report(folder, report_files[i]));
    assert_int_equal(rmdir(folder), 0); /* the folder has no other files */
}

#endif
