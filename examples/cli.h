/* Code that the examples share: options, streams, signals, a progress line. Not part of the library.
 *
 *     static const cli_option options[] = {
 *         {"--steps", "N", CLI_COUNT, &steps, 1, 1e6, "number of steps (1000)"},
 *         CLI_COMMON("of the initial weights (1)", "FILE.png", CLI_PICTURE, "the picture (walk.png)")};
 *     static const cli_program program = {.name = "walk", .example = "walk --steps 10", .options = options,
 *                                         .out = "walk.png"};
 *
 *     int main(int argc, char **argv) {
 *         cli_start(&program, argc, argv);      parses the options; --help and --version end the program here
 *         cli_check_files();                    checks every path that will be written
 *         ...                                   results to stdout, before any file is written
 *         return cli_end(0);                    prints an error: 0, or 1
 *     }
 *
 * Exit status: 0 after success; 1 after an error; 2 after a mistake on the command line; 128 plus the number of the
 * signal that ended the run. */
#ifndef SWALE_EXAMPLES_CLI_H
#define SWALE_EXAMPLES_CLI_H

#define _XOPEN_SOURCE 700 /* POSIX 2008, and realpath */
#include <swale/extend.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "output.h"

/* ---- Options: one table for parsing, checks and --help ---- */

typedef enum cli_kind {
    CLI_TEXT,
    CLI_COUNT,
    CLI_REAL,
    CLI_FLAG,
    /* Paths; an empty path is an error. */
    CLI_INPUT,   /* a file that is read */
    CLI_DATA,    /* a folder that is read */
    CLI_OUTPUT,  /* a file that is written */
    CLI_PICTURE, /* a PNG file that is written */
    CLI_FOLDER   /* a folder that is created, and in which files are written */
} cli_kind;

typedef struct cli_option {
    const char *name;     /* "--epochs" */
    const char *argument; /* "N"; NULL for a flag */
    cli_kind kind;
    void *value;      /* const char **, int64_t *, double *, bool * */
    double low, high; /* the range of a number */
    const char *help;
} cli_option; /* a table ends with a NULL name */

typedef struct cli_program {
    const char *name, *example; /* example: a command line, without "example: " */
    const cli_option *options;
    const char *out;     /* the default of --out */
    bool numbers;        /* the numbers of the picture --out go to FILE.csv beside it, unless --from is given */
    void (*notes)(void); /* NULL, or prints the last part of --help */
} cli_program;

/* The values of the common options, and the state of the program. */
static struct {
    const cli_program *program;
    const char *out, *from; /* from: see stored.h */
    int64_t seed, threads;
    bool quiet, help, version;
    uint64_t given;   /* bit i: option i of the table was on the command line */
    int stdout_error; /* the errno of a failed write to stdout, else 0 */
    bool lost;        /* a file could not be written, and cli_tolerate reported it */
} cli = {.seed = 1};

/* The program of cli_start; before that call, one without options. */
static inline const cli_program *cli_current(void) {
    static const cli_option none[] = {{0}};
    static const cli_program nameless = {.name = "program", .example = "", .options = none};
    return cli.program ? cli.program : &nameless;
}

#define CLI_COMMON(seed_help, out_argument, out_kind, out_help)                                                      \
    {"--seed", "N", CLI_COUNT, &cli.seed, 0, 9e15, "seed " seed_help},                                               \
        {"--threads", "N", CLI_COUNT, &cli.threads, 1, 64, "threads (all processors); results do not depend on it"}, \
        {"--out", out_argument, out_kind, &cli.out, 0, 0, out_help},                                                 \
        {"--quiet", NULL, CLI_FLAG, &cli.quiet, 0, 0, "print only the results"},                                     \
        {"--help", NULL, CLI_FLAG, &cli.help, 0, 0, "print this text"},                                              \
        {"--version", NULL, CLI_FLAG, &cli.version, 0, 0, "print the versions of library, compiler and BLAS"}, {     \
        0                                                                                                            \
    }

static inline double cli_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- The streams ---- */

/* Prints "program: message" to stderr, or to stdout if stderr cannot be written. */
static inline void cli_say_list(const char *format, va_list list) {
    char text[4096];
    vsnprintf(text, sizeof text, format, list);
    if (fprintf(stderr, "%s: %s\n", cli_current()->name, text) < 0)
        fprintf(stdout, "%s: %s\n", cli_current()->name, text);
}

SW_PRINTF(1, 2) static inline void cli_say(const char *format, ...) {
    va_list list;
    va_start(list, format);
    cli_say_list(format, list);
    va_end(list);
}

/* Flushes the results to stdout before files are written. cli_end reports whether this succeeded. */
static inline void cli_flush(void) {
    errno = 0;
    if (fflush(stdout) != 0 && !cli.stdout_error)
        cli.stdout_error = errno;
}

/* The return value of main. Prints the error that is pending, and returns 1 instead of `status` if output is lost: a
 * full disk is detected when stdout is flushed, that of a file server when it is closed. */
static inline int cli_end(int status) {
    if (sw_error()) {
        cli_say("%s", sw_error());
        status = status ? status : 1;
    }
    cli_flush();
    const int copy = dup(STDOUT_FILENO);
    if (copy >= 0 && close(copy) != 0 && !cli.stdout_error)
        cli.stdout_error = errno;
    const bool lost = ferror(stdout) || cli.stdout_error;
    if (lost)
        cli_say("stdout could not be written%s%s", cli.stdout_error ? ": " : "",
                cli.stdout_error ? strerror(cli.stdout_error) : "");
    if (ferror(stderr) && !lost) {
        printf("%s: stderr could not be written\n", cli_current()->name);
        fflush(stdout);
    }
    return status != 2 && (lost || cli.lost || ferror(stderr)) ? 1 : status;
}

/* For a file that is written during a run: a failure must not end the run. An SW_ERR_IO is printed and cleared, and the
 * program will end with 1; other errors are returned. `reported` is the state of this file: a failure that persists is
 * printed once, and again only after a success in between. */
static inline sw_status cli_tolerate(sw_status status, bool *reported) {
    if (status != SW_OK && status != SW_ERR_IO)
        return status;
    if (status == SW_ERR_IO) {
        if (!*reported)
            cli_say("%s", sw_error());
        sw_clear_error();
        cli.lost = true;
    }
    *reported = status == SW_ERR_IO;
    return SW_OK;
}

/* Ends the program with a message. */
SW_PRINTF(2, 3) static inline void cli_fail(int status, const char *format, ...) {
    va_list list;
    va_start(list, format);
    cli_say_list(format, list);
    va_end(list);
    exit(cli_end(status));
}

/* If a standard stream is closed, the next file that is opened would get its number, and output to the stream would end
 * in that file. /dev/null is opened in its place, in the direction in which any use fails. */
static inline void cli_check_streams(void) {
    bool closed[3];
    for (int fd = 0; fd < 3; fd++) {
        closed[fd] = fcntl(fd, F_GETFD) < 0 && errno == EBADF;
        if (closed[fd] && open("/dev/null", fd ? O_RDONLY : O_WRONLY) != fd)
            _exit(1);
    }
    if (closed[1] || closed[2])
        cli_fail(1, "%s is closed, and what is printed would be lost: open it, or send it to /dev/null",
                 closed[1] ? "stdout" : "stderr");
}

/* ---- The command line ---- */

/* Whether the word extends the name (--batch-size: --batch) or abbreviates it (--temp: --temperature). */
static inline bool cli_extends(const char *word, const char *name) {
    const size_t length = strlen(name), given = strlen(word);
    return (strncmp(word, name, length) == 0 && word[length] == '-') || (given > 4 && strncmp(name, word, given) == 0);
}

/* Reports a mistake: prints a message with the nearest option, and exits with 2. */
static inline void cli_unknown(const char *word) {
    const char *names[64], *likely = word;
    int count = 0;
    for (int common = 1; common >= 0; common--) /* the first of several equally near options is suggested */
        for (const cli_option *o = cli_current()->options; o->name && count < 64; o++) {
            if (common == ((char *)o->value >= (char *)&cli && (char *)o->value < (char *)(&cli + 1)))
                names[count++] = o->name;
            likely = cli_extends(word, o->name) ? o->name : likely;
        }
    const char *nearest = sw_suggest(likely, count, names);
    cli_fail(2, "there is no option %s%s", word, *nearest ? nearest : "; see --help");
}

/* Sets the option to the value in the text. False if the text is not a valid value. */
static inline bool cli_accepts(const cli_option *o, const char *text) {
    char *end;
    errno = 0;
    if (o->kind == CLI_COUNT) {
        const long long n = strtoll(text, &end, 10);
        if (end == text || *end || errno || !((double)n >= o->low && (double)n <= o->high))
            return false;
        *(int64_t *)o->value = n;
    } else if (o->kind == CLI_REAL) {
        const double x = sw_parse_number(text, &end);
        if (end == text || *end || !(x >= o->low && x <= o->high))
            return false;
        *(double *)o->value = x;
    } else if (o->kind == CLI_FLAG)
        *(bool *)o->value = true;
    else
        *(const char **)o->value = text;
    return true;
}

static inline void cli_set(const cli_option *o, const char *text) {
    if (o->kind > CLI_FLAG && !*text)
        cli_fail(2, "%s \"\": the path is empty, %s is needed", o->name, o->argument);
    if (!cli_accepts(o, text))
        cli_fail(2, "%s %s: a %snumber from %g to %g is needed", o->name, text, o->kind == CLI_COUNT ? "whole " : "",
                 o->low, o->high);
}

/* Parses "--name value", "--name=value" or "--flag". */
static inline void cli_parse(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        char word[64];
        const char *equals = strchr(argv[i], '=');
        size_t length = equals ? (size_t)(equals - argv[i]) : strlen(argv[i]);
        snprintf(word, sizeof word, "%.*s", (int)(length < 63 ? length : 63), argv[i]);
        if (strcmp(word, "-h") == 0)
            strcpy(word, "--help");
        const cli_option *o = cli_current()->options;
        while (o->name && strcmp(o->name, word) != 0)
            o++;
        if (!o->name)
            cli_unknown(word);
        const char *text = equals ? equals + 1 : NULL;
        if (o->kind != CLI_FLAG && !text) {
            if (i + 1 == argc)
                cli_fail(2, "%s needs a value: %s %s", word, word, o->argument);
            text = argv[++i];
        }
        if (o->kind == CLI_FLAG && text)
            cli_fail(2, "%s takes no value", word);
        cli_set(o, text);
        cli.given |= 1ull << (o - cli_current()->options);
    }
}

/* Prints the text of --help: an example, the options, and the notes of the program. */
static inline void cli_help(void) {
    printf("example: %s\n\n", cli_current()->example);
    for (const cli_option *o = cli_current()->options; o->name; o++) {
        char left[48];
        snprintf(left, sizeof left, "%s %s", o->name, o->argument ? o->argument : "");
        printf("  %-20s %s\n", left, o->help);
    }
    if (cli_current()->notes)
        cli_current()->notes();
}

/* Parses the command line. main must call it first. */
static inline void cli_start(const cli_program *program, int argc, char **argv) {
    cli.program = program;
    cli.out = program->out;
    signal(SIGXFSZ, SIG_IGN); /* so that a write beyond `ulimit -f` is an error and does not end the program */
    /* so that writing to a pipe without a reader is an error: Ctrl-C also ends the tee of `| tee log` */
    signal(SIGPIPE, SIG_IGN);
    cli_check_streams();
    cli_parse(argc, argv);
    if (cli.help)
        cli_help();
    else if (cli.version)
        printf("%s\n", sw_build_info());
    if (cli.help || cli.version)
        exit(cli_end(0));
    if (cli.threads)
        sw_set_threads((int)cli.threads);
}

/* ---- Paths ---- */

/* The path of the file with the numbers of a picture: FILE.csv for FILE.png. */
static inline void cli_numbers_path(const char *picture, char path[OUTPUT_PATH]) {
    size_t length = picture ? strlen(picture) : 0;
    if (length > 4 && strcmp(picture + length - 4, ".png") == 0)
        length -= 4;
    snprintf(path, OUTPUT_PATH, "%.*s.csv", (int)(length < OUTPUT_PATH - 8 ? length : OUTPUT_PATH - 8), picture);
}

/* Ends the program, before its work begins, if `path` cannot be written, or if stdout or stderr was redirected to this
 * file: replacing the file would discard the printed lines. */
static inline void cli_try_output(const char *option, const char *path) {
    struct stat there, stream;
    const bool exists = stat(path, &there) == 0 && S_ISREG(there.st_mode);
    for (int fd = STDOUT_FILENO; exists && fd <= STDERR_FILENO; fd++)
        if (fstat(fd, &stream) == 0 && stream.st_dev == there.st_dev && stream.st_ino == there.st_ino)
            cli_fail(2, "%s %s: %s was redirected to this file: another name is needed", option, path,
                     fd == STDOUT_FILENO ? "stdout" : "stderr");
    const char *fault = output_fault(path);
    if (fault)
        cli_fail(1, "%s %s: cannot be written: %s", option, path, fault);
}

static inline const char *cli_path_of(const cli_option *o) {
    return o->kind >= CLI_INPUT ? *(const char **)o->value : NULL;
}

static inline void cli_check_picture(const cli_option *o, const char *path) {
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path, *dot = strrchr(name, '.');
    if (dot && dot != name && strcmp(dot, ".png") != 0)
        cli_fail(2, "%s %s: the picture is a PNG, and its name must end with .png, not %s", o->name, path, dot);
    cli_try_output(o->name, path);
    if (cli_current()->numbers && !cli.from) {
        char numbers[OUTPUT_PATH];
        cli_numbers_path(path, numbers);
        cli_try_output(o->name, numbers);
    }
}

static inline void cli_check_path(const cli_option *o, const char *path) {
    struct stat there;
    const bool exists = stat(path, &there) == 0;
    if (o->kind == CLI_INPUT && exists && !S_ISREG(there.st_mode)) /* opening a FIFO would block */
        cli_fail(1, "%s %s: cannot be read: not an ordinary file", o->name, path);
    if ((o->kind == CLI_DATA || o->kind == CLI_FOLDER) && exists && !S_ISDIR(there.st_mode))
        cli_fail(1, "%s %s: not a folder", o->name, path);
}

/* Creates a folder and its parents. */
static inline void cli_make_folder(const cli_option *o, const char *path) {
    char part[OUTPUT_PATH];
    struct stat there;
    int reason = 0;
    if (snprintf(part, sizeof part, "%s/", path) >= (int)sizeof part)
        cli_fail(1, "%s: a path of %zu bytes is too long", o->name, strlen(path));
    for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        if (mkdir(part, 0777) != 0)
            reason = errno; /* EEXIST, or the reason that stat finds below */
        *slash = '/';
    }
    if (stat(path, &there) != 0 || !S_ISDIR(there.st_mode))
        cli_fail(1, "%s %s: the folder cannot be created: %s", o->name, path, strerror(reason));
}

/* Checks every path in the table before the work begins. No existing file is changed. Folders are created first,
 * because other outputs may lie in them. It is a mistake if an output would replace another file of the command line,
 * but weights may be saved to the file that --load reads. */
static inline void cli_check_files(void) {
    for (const cli_option *o = cli_current()->options; o->name; o++)
        if (cli_path_of(o))
            cli_check_path(o, cli_path_of(o));
    for (const cli_option *o = cli_current()->options; o->name; o++)
        if (o->kind == CLI_FOLDER && cli_path_of(o))
            cli_make_folder(o, cli_path_of(o));
    for (const cli_option *o = cli_current()->options; o->name; o++)
        for (const cli_option *other = cli_current()->options; other->name; other++)
            if (other != o && cli_path_of(o) && cli_path_of(other) && strcmp(other->name, "--load") != 0 &&
                (o->kind == CLI_OUTPUT || o->kind == CLI_PICTURE) && output_same(cli_path_of(o), cli_path_of(other)))
                cli_fail(2, "%s %s is the file of %s: another name is needed", o->name, cli_path_of(o), other->name);
    for (const cli_option *o = cli_current()->options; o->name; o++)
        if (o->kind == CLI_OUTPUT && cli_path_of(o))
            cli_try_output(o->name, cli_path_of(o));
        else if (o->kind == CLI_PICTURE && cli_path_of(o))
            cli_check_picture(o, cli_path_of(o));
    for (const cli_option *o = cli_current()->options; o->name; o++) /* some are read only after much work */
        if (o->kind == CLI_INPUT && cli_path_of(o) && access(cli_path_of(o), R_OK) != 0)
            cli_fail(1, "%s: cannot be opened: %s", cli_path_of(o), strerror(errno));
}

/* ---- Signals: the first one stops the run after the current step, the second one ends the program ---- */

static volatile sig_atomic_t cli_signal;
static const int cli_caught[] = {SIGINT, SIGTERM};
enum { CLI_CAUGHT = sizeof cli_caught / sizeof *cli_caught };

static inline void cli_on_signal(int number);

/* Signals that were ignored when the program was started (nohup, a job in the background) stay ignored. */
static inline void cli_set_signals(void (*from)(int), void (*to)(int)) {
    for (int i = 0; i < CLI_CAUGHT; i++) {
        struct sigaction before, action;
        memset(&action, 0, sizeof action);
        action.sa_handler = to;
        action.sa_flags = SA_RESTART;
        if (sigaction(cli_caught[i], NULL, &before) == 0 && before.sa_handler == from)
            sigaction(cli_caught[i], &action, NULL);
    }
}

/* Call it after the run: signals have their default action again. */
static inline void cli_release_signals(void) {
    cli_set_signals(cli_on_signal, SIG_DFL);
}

static inline void cli_on_signal(int number) {
    cli_signal = number;
    cli_release_signals(); /* of both signals, because the second one may differ from the first */
}

/* Call it before a run that checks cli_signal after each step. */
static inline void cli_catch_signals(void) {
    cli_set_signals(SIG_DFL, cli_on_signal);
}

/* The exit status of a run that a signal may have ended early. */
static inline int cli_exit_code(void) {
    return cli_signal ? 128 + (int)cli_signal : 0;
}

/* ---- Progress: on a terminal one line that is updated, elsewhere one line per epoch ---- */

typedef struct cli_progress {
    bool shown, live, color;
    double start, drawn;
} cli_progress;

static inline cli_progress cli_progress_start(void) {
    const char *term = getenv("TERM"), *no_color = getenv("NO_COLOR");
    cli_progress p = {.shown = !cli.quiet, .start = cli_now()};
    p.live = p.shown && isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
    p.color = p.live && !(no_color && *no_color);
    return p;
}

static inline int cli_width(void) {
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

static inline void cli_clock(double seconds, char text[16]) {
    int s = (int)seconds;
    if (s >= 3600)
        snprintf(text, 16, "%d:%02d:%02d", s / 3600 % 1000, s / 60 % 60, s % 60);
    else
        snprintf(text, 16, "%02d:%02d", s / 60, s % 60);
}

/* Draws the line "desc: 45%|███  | n/total [elapsed<remaining, rate, loss=…]", at most ten times per second. */
static inline void cli_progress_draw(cli_progress *p, const char *desc, int64_t done, int64_t total, int64_t run_done,
                                     int64_t run_total, double loss) {
    double now = cli_now();
    if (!p->live || (now - p->drawn < 0.1 && done < total))
        return;
    p->drawn = now;
    double elapsed = now - p->start, rate = elapsed > 0 ? (double)run_done / elapsed : 0;
    char spent[16], left[16], tail[128], bar[256] = "";
    cli_clock(elapsed, spent);
    cli_clock(rate > 0 ? (double)(run_total - run_done) / rate : 0, left);
    int n = snprintf(tail, sizeof tail, "| %lld/%lld [%s<%s, %.0fit/s, loss=%.4f]", (long long)done, (long long)total,
                     spent, left, rate, loss);
    int room = cli_width() - n - (int)strlen(desc) - 8;
    room = room > 40 ? 40 : room;
    int full = total > 0 && room > 0 ? (int)((double)room * (double)done / (double)total) : 0;
    size_t bytes = 0;
    for (int i = 0; i < room; i++)
        bytes += (size_t)snprintf(bar + bytes, sizeof bar - bytes, "%s", i < full ? "█" : " ");
    fprintf(stderr, "\r%s: %3d%%|%s%s%s%s\033[K", desc, total > 0 ? (int)(100 * done / total) : 0,
            p->color ? "\033[32m" : "", bar, p->color ? "\033[0m" : "", tail);
    fflush(stderr);
}

/* Prints a line about the progress, unless --quiet is given. */
SW_PRINTF(1, 2) static inline void cli_note(const char *format, ...) {
    va_list list;
    va_start(list, format);
    if (!cli.quiet)
        vfprintf(stderr, format, list);
    va_end(list);
}

/* Ends the progress line of an epoch. */
static inline void cli_progress_line(cli_progress *p, const char *text) {
    if (p->shown)
        fprintf(stderr, "%s%s\n", p->live ? "\r\033[K" : "", text);
}

#endif
