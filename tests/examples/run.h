/* Runs a program and stores its output. It needs POSIX: include it first. */
#ifndef TEST_EXAMPLES_RUN_H
#define TEST_EXAMPLES_RUN_H
#define _POSIX_C_SOURCE 200809L

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PROGRAM TEST_BUILD "/examples/fashion_mnist"
#define HELLO TEST_BUILD "/examples/hello"

typedef struct output {
    int code; /* the exit code; 128 + signal */
    char out[32768], err[32768];
} output;

static inline void read_all(const char *path, char *text, size_t size) {
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    text[fread(text, 1, size - 1, f)] = 0;
    fclose(f);
}

static char run_folder[64]; /* a temporary folder of this test program */

static inline int run_setup(void **state) {
    (void)state;
    strcpy(run_folder, "/tmp/swale-cli-XXXXXX");
    return mkdtemp(run_folder) ? 0 : -1;
}

static inline const char *in_folder(const char *name) {
    static char path[8][512];
    static int turn;
    char *p = path[turn++ % 8];
    snprintf(p, sizeof path[0], "%s/%s", run_folder, name);
    return p;
}

/* As in_folder, for a path that is needed after further runs of programs, which call in_folder too. */
static inline const char *lasting_path(const char *name) {
    static char path[16][600];
    static int turn;
    char *p = path[turn++ % 16];
    snprintf(p, sizeof path[0], "%s", in_folder(name));
    return p;
}

static inline void expect_equal_files(const char *a, const char *b) {
    FILE *f = fopen(a, "rb"), *g = fopen(b, "rb");
    assert_true(f && g);
    int x, y;
    do {
        x = getc(f);
        y = getc(g);
        assert_int_equal(x, y);
    } while (x != EOF);
    fclose(f);
    fclose(g);
}

static inline int run_teardown(void **state) {
    (void)state;
    remove(in_folder("out"));
    remove(in_folder("err"));
    return rmdir(run_folder); /* fails if a test left a file in it */
}

/* Runs a program; the words end with NULL. If `number` is a signal, it is sent when stderr contains `when`. */
static inline output run_with(int number, const char *when, const char *const *word) {
    output o;
    memset(&o, 0, sizeof o);
    char *argv[40];
    int count = 0;
    while (word[count] && count < 39) {
        argv[count] = (char *)(uintptr_t)word[count];
        count++;
    }
    argv[count] = NULL;
    const char *out = in_folder("out"), *err = in_folder("err");
    remove(err); /* removes the output of the previous run */
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        /* if the tests run in the background, a program would inherit that SIGINT is ignored */
        signal(SIGINT, SIG_DFL);
        int o1 = open(out, O_WRONLY | O_CREAT | O_TRUNC, 0600), e1 = open(err, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        if (o1 < 0 || e1 < 0 || dup2(o1, 1) < 0 || dup2(e1, 2) < 0)
            _exit(126);
        execv(argv[0], argv);
        _exit(127);
    }
    for (int i = 0; number && i < 3000; i++) { /* 30 s at most */
        const struct timespec pause = {.tv_nsec = 10000000};
        FILE *f = fopen(err, "rb");
        size_t n = f ? fread(o.err, 1, sizeof o.err - 1, f) : 0;
        if (f)
            fclose(f);
        o.err[n] = 0;
        if (strstr(o.err, when)) {
            nanosleep(&pause, NULL);
            kill(child, number);
            break;
        }
        nanosleep(&pause, NULL);
    }
    int status;
    assert_true(waitpid(child, &status, 0) == child);
    o.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    read_all(out, o.out, sizeof o.out);
    read_all(err, o.err, sizeof o.err);
    return o;
}

#define RUN(...) run_with(0, NULL, (const char *const[]){__VA_ARGS__, NULL})
#define FASHION(...) RUN(PROGRAM, __VA_ARGS__)

/* The number after `name` at the beginning of a line; NaN if there is none. */
static inline double result(const output *o, const char *name) {
    size_t length = strlen(name);
    for (const char *line = o->out; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        if (strncmp(line, name, length) == 0 && line[length] == ' ')
            return strtod(line + length + 1, NULL);
    return strtod("nan", NULL);
}

#endif
