/* The threads of this process, and the signals that they block. */
#ifndef SWALE_TEST_SIGNALS_H
#define SWALE_TEST_SIGNALS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { SIGNALS_THREADS = 256 };

typedef struct signals_threads {
    int count;
    long id[SIGNALS_THREADS];
} signals_threads;

static inline signals_threads signals_threads_now(void) {
    signals_threads all = {0};
    DIR *tasks = opendir("/proc/self/task");
    assert_non_null(tasks);
    for (const struct dirent *entry; (entry = readdir(tasks));)
        if (entry->d_name[0] != '.') {
            assert_true(all.count < SIGNALS_THREADS);
            all.id[all.count++] = strtol(entry->d_name, NULL, 10);
        }
    closedir(tasks);
    return all;
}

/* The mask of a thread, bit s - 1 for signal s. */
static inline unsigned long long signals_blocked(long id) {
    char path[64], line[256];
    snprintf(path, sizeof path, "/proc/self/task/%ld/status", id);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    unsigned long long mask = 0;
    bool found = false;
    while (!found && fgets(line, sizeof line, file))
        found = sscanf(line, "SigBlk: %llx", &mask) == 1;
    fclose(file);
    assert_true(found);
    return mask;
}

/* Checks that there are at least `least` new threads, and that each blocks every signal that can be blocked, except
 * those of its own faults. */
static inline void signals_check_new(const signals_threads *before, int least) {
    static const int of_faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};
    sigset_t expected;
    sigfillset(&expected);
    sigdelset(&expected, SIGKILL);
    sigdelset(&expected, SIGSTOP);
    for (size_t i = 0; i < sizeof of_faults / sizeof *of_faults; i++)
        sigdelset(&expected, of_faults[i]);
    unsigned long long mask = 0;
    for (int s = 1; s <= SIGRTMAX && s <= 64; s++)
        mask |= sigismember(&expected, s) == 1 ? 1ULL << (s - 1) : 0;
    const signals_threads now = signals_threads_now();
    int found = 0;
    for (int i = 0; i < now.count; i++) {
        bool is_new = true;
        for (int k = 0; k < before->count; k++)
            is_new &= now.id[i] != before->id[k];
        /* The C library blocks every signal for a moment while it makes a thread. */
        for (int wait = 0; is_new && wait < 2000 && signals_blocked(now.id[i]) != mask; wait++)
            usleep(1000);
        if (is_new && signals_blocked(now.id[i]) != mask)
            fail_msg("a thread blocks %llx and not %llx", signals_blocked(now.id[i]), mask);
        found += is_new;
    }
    assert_true(found >= least);
}

#endif
