/* What the examples share besides swale: options, a progress line, signals. Not part of the library. */
#ifndef SWALE_EXAMPLES_CLI_H
#define SWALE_EXAMPLES_CLI_H

#define _POSIX_C_SOURCE 200809L
#include "extend.h"
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ---- Options: a table that parses, checks and prints itself ---- */

typedef enum cli_kind { CLI_TEXT, CLI_COUNT, CLI_REAL, CLI_FLAG } cli_kind;

typedef struct cli_option {
    const char *name;     /* "--epochs" */
    const char *argument; /* "N"; NULL for a flag */
    cli_kind kind;
    void *value;          /* const char **, int64_t *, double *, bool * */
    double low, high;     /* of numbers */
    const char *help;
} cli_option; /* a table ends with a NULL name */

static inline double cli_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* A mistake on the command line: message, nearest option, exit 2. */
static inline void cli_unknown(const char *program, const cli_option *table, const char *word) {
    const char *names[64];
    int count = 0;
    for (const cli_option *o = table; o->name && count < 64; o++)
        names[count++] = o->name;
    const char *nearest = sw_suggest(word, count, names);
    fprintf(stderr, "%s: there is no option %s%s\n", program, word, *nearest ? nearest : "; see --help");
    exit(2);
}

static inline void cli_set(const char *program, const cli_option *o, const char *text) {
    char *end;
    errno = 0;
    switch (o->kind) {
    case CLI_TEXT: *(const char **)o->value = text; return;
    case CLI_FLAG: *(bool *)o->value = true; return;
    case CLI_COUNT: {
        long long n = strtoll(text, &end, 10);
        if (end != text && !*end && !errno && (double)n >= o->low && (double)n <= o->high) {
            *(int64_t *)o->value = n;
            return;
        }
        break;
    }
    case CLI_REAL: {
        double x = strtod(text, &end);
        if (end != text && !*end && x >= o->low && x <= o->high) {
            *(double *)o->value = x;
            return;
        }
        break;
    }
    }
    fprintf(stderr, "%s: %s %s: a %snumber from %g to %g is needed\n", program, o->name, text,
            o->kind == CLI_COUNT ? "whole " : "", o->low, o->high);
    exit(2);
}

/* "--name value", "--name=value" or "--flag". */
static inline void cli_parse(int argc, char **argv, const char *program, const cli_option *table) {
    for (int i = 1; i < argc; i++) {
        char word[64];
        const char *equals = strchr(argv[i], '=');
        size_t length = equals ? (size_t)(equals - argv[i]) : strlen(argv[i]);
        snprintf(word, sizeof word, "%.*s", (int)(length < 63 ? length : 63), argv[i]);
        if (strcmp(word, "-h") == 0)
            strcpy(word, "--help");
        const cli_option *o = table;
        while (o->name && strcmp(o->name, word) != 0)
            o++;
        if (!o->name)
            cli_unknown(program, table, word);
        const char *text = equals ? equals + 1 : NULL;
        if (o->kind != CLI_FLAG && !text) {
            if (i + 1 == argc) {
                fprintf(stderr, "%s: %s needs a value: %s %s\n", program, word, word, o->argument);
                exit(2);
            }
            text = argv[++i];
        }
        if (o->kind == CLI_FLAG && text) {
            fprintf(stderr, "%s: %s takes no value\n", program, word);
            exit(2);
        }
        cli_set(program, o, text);
    }
}

/* Can a file be written there at the end of a long run? If not, exit 2 at its beginning. path NULL: none is. */
static inline void cli_check_output(const char *program, const char *option, const char *path) {
    char folder[4096];
    struct stat there;
    if (!path)
        return;
    const size_t length = (size_t)snprintf(folder, sizeof folder, "%s", path);
    char *slash = strrchr(folder, '/');
    snprintf(slash ? slash + 1 : folder, 2, "%s", slash ? "" : ".");
    errno = 0;
    if (length == 0 || length >= sizeof folder)
        errno = length ? ENAMETOOLONG : ENOENT;
    else if (stat(path, &there) == 0 && !S_ISREG(there.st_mode))
        errno = S_ISDIR(there.st_mode) ? EISDIR : EINVAL; /* saving puts an ordinary file in its place */
    else if (access(folder, W_OK) == 0)
        return;
    fprintf(stderr, "%s: %s %s: %s\n", program, option, path, strerror(errno));
    exit(2);
}

static inline void cli_print_options(const cli_option *table, FILE *to) {
    for (const cli_option *o = table; o->name; o++) {
        char left[48];
        snprintf(left, sizeof left, "%s %s", o->name, o->argument ? o->argument : "");
        fprintf(to, "  %-20s %s\n", left, o->help);
    }
}

/* What --help says: an example, then the options. */
static inline void cli_help(const char *example, const cli_option *table) {
    printf("example: %s\n\n", example);
    cli_print_options(table, stdout);
}

/* ---- Signals: the first asks to stop after this step, the second ends at once ---- */

static volatile sig_atomic_t cli_signal;

static inline void cli_on_signal(int number) {
    cli_signal = number;
}

static inline void cli_catch_signals(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = cli_on_signal;
    action.sa_flags = (int)SA_RESETHAND;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static inline int cli_exit_code(void) {
    return cli_signal ? 128 + (int)cli_signal : 0;
}

/* ---- Progress: a line that is drawn anew on a terminal, one line an epoch elsewhere ---- */

typedef struct cli_progress {
    bool shown, live, color;
    double start, drawn;
} cli_progress;

static inline cli_progress cli_progress_start(bool quiet) {
    const char *term = getenv("TERM"), *no_color = getenv("NO_COLOR");
    cli_progress p = {.shown = !quiet, .start = cli_now()};
    p.live = p.shown && isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
    p.color = p.live && !(no_color && *no_color);
    return p;
}

static inline int cli_width(void) {
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
    return 80;
}

static inline void cli_clock(double seconds, char text[16]) {
    int s = (int)seconds;
    if (s >= 3600)
        snprintf(text, 16, "%d:%02d:%02d", s / 3600 % 1000, s / 60 % 60, s % 60);
    else
        snprintf(text, 16, "%02d:%02d", s / 60, s % 60);
}

/* desc: 45%|███  | n/total [elapsed<remaining, rate, loss=…], at most ten times a second. */
static inline void cli_progress_draw(cli_progress *p, const char *desc, int64_t done, int64_t total,
                                     int64_t run_done, int64_t run_total, double loss) {
    double now = cli_now();
    if (!p->live || (now - p->drawn < 0.1 && done < total))
        return;
    p->drawn = now;
    double elapsed = now - p->start, rate = elapsed > 0 ? (double)run_done / elapsed : 0;
    char spent[16], left[16], tail[128], bar[256] = "";
    cli_clock(elapsed, spent);
    cli_clock(rate > 0 ? (double)(run_total - run_done) / rate : 0, left);
    int n = snprintf(tail, sizeof tail, "| %lld/%lld [%s<%s, %.0fit/s, loss=%.4f]", (long long)done,
                     (long long)total, spent, left, rate, loss);
    int room = cli_width() - n - (int)strlen(desc) - 8;
    room = room > 40 ? 40 : room;
    int full = total > 0 && room > 0 ? (int)((double)room * (double)done / (double)total) : 0;
    size_t bytes = 0;
    for (int i = 0; i < room; i++)
        bytes += (size_t)snprintf(bar + bytes, sizeof bar - bytes, "%s", i < full ? "█" : " ");
    fprintf(stderr, "\r%s: %3d%%|%s%s%s%s\033[K", desc,
            total > 0 ? (int)(100 * done / total) : 0, p->color ? "\033[32m" : "", bar,
            p->color ? "\033[0m" : "", tail);
    fflush(stderr);
}

/* Ends the line of an epoch. */
static inline void cli_progress_line(cli_progress *p, const char *text) {
    if (p->shown)
        fprintf(stderr, "%s%s\n", p->live ? "\r\033[K" : "", text);
}

#endif
