/* One sequence of requests, from four allocators of equal size: a first-fit and a best-fit heap (heap.h), malloc of
 * this system under a limit of the address space, and the tape. For memory.c; not part of the library.
 *
 * The requests are those of segments for sequences of growing length: segment i needs an intermediate value, computes a
 * result that is a little larger, and frees the intermediate value. The results stay until the backward. Each request
 * is larger than every hole before it, and the results keep the holes apart, so that no hole can be used again. The
 * tape computes the same segments by sw_recompute, which moves each result to the end of the results before it. */
#ifndef SWALE_EXAMPLES_FRAGMENTATION_H
#define SWALE_EXAMPLES_FRAGMENTATION_H

#include "cli.h"
#include "heap.h"

#include <swale/core.h>

#include <sys/resource.h>
#include <sys/wait.h>

/* Bytes. All blocks are below the 128 KiB from which glibc maps each block separately. */
enum { SEGMENTS = 100, FIRST_RESULT = 40000, MORE_RESULT = 800, HEAP_BYTES = 9000000 };

/* The memory of an allocator when it refused a request, or after the last segment. */
typedef struct fragments {
    const char *name;
    bool measured, refused;
    int segments;         /* the number of results */
    int64_t at[SEGMENTS]; /* addresses of the results, from the start of the memory */
    int64_t wanted;       /* the bytes of the request that was refused; 0: none was */
    double free_part;     /* of the memory, when it was refused */
} fragments;

static inline int64_t fragments_result(int segment) {
    return FIRST_RESULT + (int64_t)MORE_RESULT * segment;
}

static inline int64_t fragments_intermediate(int segment) {
    return fragments_result(segment) * 9 / 10;
}

static inline int64_t fragments_live(int segments) {
    int64_t bytes = 0;
    for (int i = 0; i < segments; i++)
        bytes += fragments_result(i);
    return bytes;
}

/* What all results and the last intermediate value need together. */
static inline int64_t fragments_needed(void) {
    return fragments_live(SEGMENTS) + fragments_intermediate(SEGMENTS - 1);
}

/* `intermediate`: bytes of the intermediate value that is live beside the results when a request is refused. */
static inline void fragments_finish(fragments *f, int64_t intermediate) {
    f->measured = true;
    f->refused = f->segments < SEGMENTS;
    f->wanted = !f->refused ? 0 : intermediate ? fragments_result(f->segments) : fragments_intermediate(f->segments);
    f->free_part = 1 - (double)(fragments_live(f->segments) + intermediate) / HEAP_BYTES;
}

static inline void fragments_of_heap(fragments *f, heap_policy policy) {
    static heap h;
    int64_t intermediate = 0;
    heap_new(&h, policy, HEAP_BYTES);
    for (f->segments = 0; f->segments < SEGMENTS; f->segments++) {
        intermediate = heap_alloc(&h, fragments_intermediate(f->segments));
        if (intermediate < 0)
            break;
        f->at[f->segments] = heap_alloc(&h, fragments_result(f->segments));
        if (f->at[f->segments] < 0)
            break;
        heap_free(&h, intermediate);
    }
    fragments_finish(f, f->segments < SEGMENTS && intermediate >= 0 ? fragments_intermediate(f->segments) : 0);
}

/* ---- malloc ---- */

/* The bytes of the address space of this process; 0 if the system does not say. */
static inline int64_t process_bytes(void) {
    char text[64] = "";
    FILE *f = fopen("/proc/self/statm", "r");
    if (f && !fgets(text, sizeof text, f))
        *text = 0;
    if (f)
        fclose(f);
    return strtoll(text, NULL, 10) * sysconf(_SC_PAGESIZE); /* the first number, in pages */
}

/* What the child process reports. */
typedef struct malloc_report {
    int segments, with_intermediate;
    uintptr_t first, at[SEGMENTS]; /* the address of the first intermediate value, and of the results */
} malloc_report;

/* In the child process: limits its address space to HEAP_BYTES more than it has, and calls malloc until it refuses.
 * What was free in the heap before the limit is additional memory, so that more is free than fragments_finish says. The
 * memory is written to, as by a program. */
static inline void malloc_in_child(int to) {
    static malloc_report r;
    const int64_t before = process_bytes();
    const struct rlimit limit = {.rlim_cur = (rlim_t)(before + HEAP_BYTES), .rlim_max = (rlim_t)(before + HEAP_BYTES)};
    const int nowhere = open("/dev/null", O_WRONLY); /* a sanitizer would print that memory is short */
    if (before == 0 || nowhere < 0 || dup2(nowhere, STDERR_FILENO) < 0 || setrlimit(RLIMIT_AS, &limit) != 0)
        _exit(1);
    for (r.segments = 0; r.segments < SEGMENTS; r.segments++) {
        const size_t between = (size_t)fragments_intermediate(r.segments), bytes = (size_t)fragments_result(r.segments);
        char *intermediate = malloc(between), *result = intermediate ? malloc(bytes) : NULL;
        r.with_intermediate = intermediate != NULL;
        if (!result)
            break;
        memset(intermediate, 1, between);
        memset(result, 1, bytes);
        r.first = r.first ? r.first : (uintptr_t)intermediate;
        r.at[r.segments] = (uintptr_t)result;
        free(intermediate);
    }
    _exit(write(to, &r, sizeof r) == (ssize_t)sizeof r ? 0 : 1);
}

/* Call it before the program has other threads. Not measured if the child ends otherwise, as under a sanitizer, whose
 * malloc is another one. */
static inline void fragments_of_malloc(fragments *f) {
    malloc_report r = {0};
    int ends[2], status = 0;
    if (pipe(ends) != 0)
        return;
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0)
        malloc_in_child(ends[1]);
    close(ends[1]);
    const bool got = child > 0 && read(ends[0], &r, sizeof r) == (ssize_t)sizeof r;
    close(ends[0]);
    if (child > 0)
        waitpid(child, &status, 0);
    if (!got || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return;
    f->segments = r.segments;
    for (int i = 0; i < f->segments; i++)
        f->at[i] = (int64_t)(r.at[i] - r.first);
    fragments_finish(f, r.segments < SEGMENTS && r.with_intermediate ? fragments_intermediate(r.segments) : 0);
}

/* ---- The tape ---- */

typedef struct segment {
    int64_t intermediate, result; /* bytes */
} segment;

static inline sw_tensor segment_run(void *user, sw_tape *tape, const sw_tensor *inputs) {
    const segment *s = user;
    (void)inputs;
    sw_tensor intermediate = sw_empty(tape, SW_U8, SW_SHAPE(s->intermediate)),
              result = sw_empty(tape, SW_U8, SW_SHAPE(s->result));
    const sw_array between = sw_value(intermediate), y = sw_value(result);
    if (between.data && y.data) {
        memset(between.data, 1, (size_t)s->intermediate);
        memset(y.data, 1, (size_t)s->result);
    }
    sw_release(intermediate);
    return result;
}

/* The first tensor makes the only chunk of the arena, of HEAP_BYTES: the tape has refused if it needed another. */
static inline void fragments_of_tape(fragments *f) {
    static segment list[SEGMENTS];
    sw_tape *tape = sw_tape_new();
    sw_tensor all = sw_empty(tape, SW_U8, SW_SHAPE(HEAP_BYTES));
    const char *start = sw_value(all).data;
    const size_t capacity = sw_tape_capacity_bytes(tape);
    sw_tape_reset(tape);
    sw_tensor x = sw_empty(tape, SW_U8, SW_SHAPE(1));
    for (f->segments = 0; f->segments < SEGMENTS && !sw_error(); f->segments++) {
        segment *s = &list[f->segments];
        *s = (segment){fragments_intermediate(f->segments), fragments_result(f->segments)};
        const char *result = sw_value(sw_recompute(segment_run, s, 1, &x)).data;
        if (!result || sw_tape_capacity_bytes(tape) > capacity)
            break;
        f->at[f->segments] = result - start;
    }
    fragments_finish(f, 0);
    sw_tape_free(tape);
}

enum { ALLOCATORS = 4 };

static inline void fragments_name(fragments f[ALLOCATORS]) {
    static const char *const name[ALLOCATORS] = {"first fit", "best fit", "malloc", "tape"};
    for (int i = 0; i < ALLOCATORS; i++)
        f[i] = (fragments){.name = name[i]};
}

static inline void fragments_measure(fragments f[ALLOCATORS]) {
    fragments_of_malloc(&f[2]);
    fragments_of_heap(&f[0], HEAP_FIRST_FIT);
    fragments_of_heap(&f[1], HEAP_BEST_FIT);
    fragments_of_tape(&f[3]);
}

#endif
