/* Runs the whole table of tests/optim/estimators/glm_table.h: `make check-variance-reduction`. Prints a line for each
 * cell that fails, the epochs compared with scikit-learn's, and a summary by method, batch and type.
 *
 *   --cells=PATTERN  only cells whose name METHOD/BATCH/TYPE/LOSS/DATA/SEED matches the pattern (as in the shell)
 *   --jobs=N         number of processes (default: one per processor)
 *   --verbose        print a line for every cell */
#define _GNU_SOURCE
#include "optim/estimators/glm_table.h"

#include <fnmatch.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { UNITS = TABLE_LOSSES * TABLE_DATA * 2, PER_UNIT = TABLE_METHODS * TABLE_BATCHES * TABLE_SEEDS };
enum { MOST_JOBS = 64 };

typedef struct table {
    atomic_int next; /* unit */
    table_outcome outcome[UNITS * PER_UNIT];
} table;

typedef struct settings {
    const char *cells;
    int jobs;
    bool verbose;
} settings;

/* A unit is a problem in one type: its cells share the oracle. */
static table_cell cell_at(int index) {
    const int unit = index / PER_UNIT, rest = index % PER_UNIT;
    return (table_cell){.loss = unit / (2 * TABLE_DATA),
                        .data = unit / 2 % TABLE_DATA,
                        .type = unit % 2 ? SW_F64 : SW_F32,
                        .method = rest / (TABLE_BATCHES * TABLE_SEEDS),
                        .batch = rest / TABLE_SEEDS % TABLE_BATCHES,
                        .seed = 1 + rest % TABLE_SEEDS};
}

static bool wanted(const settings *s, const table_cell *c) {
    char name[128];
    table_cell_name(c, name, sizeof name);
    return table_problem_exists(c->loss, c->data) && table_batch_exists(c->method, c->batch) &&
           fnmatch(s->cells, name, 0) == 0;
}

static void print_cell(const settings *s, const table_cell *c, const table_outcome *o) {
    char name[128];
    table_cell_name(c, name, sizeof name);
    if (o->failure[0])
        printf("FAILED %s: %s\n  make check-variance-reduction CELLS='%s'\n", name, o->failure, name);
    else if (s->verbose)
        printf("ok     %s: %.0f steps, %.1f epochs, %.2f of the bound\n", name, o->steps, o->epochs,
               o->steps / o->bound);
    fflush(stdout);
}

static void print_oracle(const table_oracle *o) {
    printf("# %s in %s: gradient at 0 %.3g, goal %.3g, curvature %.3g, L_b/curvature", o->problem->name,
           sw_dtype_name(o->problem->type), o->first, o->goal, o->mu);
    for (int k = 0; k < TABLE_BATCHES; k++)
        printf(" %.3g", o->l[k] / o->mu);
    printf("\n");
    fflush(stdout);
}

static void work(const settings *s, table *t) {
    sw_set_threads(1);
    for (int unit; (unit = atomic_fetch_add(&t->next, 1)) < UNITS;) {
        table_oracle oracle = {0};
        for (int index = unit * PER_UNIT; index < (unit + 1) * PER_UNIT; index++) {
            const table_cell c = cell_at(index);
            if (!wanted(s, &c))
                continue;
            if (!oracle.problem) {
                oracle = table_oracle_new(c.loss, c.data, c.type);
                if (s->verbose)
                    print_oracle(&oracle);
            }
            snprintf(t->outcome[index].failure, sizeof t->outcome[index].failure, "the process ended in it");
            t->outcome[index] = table_run_cell(&c, &oracle);
            print_cell(s, &c, &t->outcome[index]);
        }
        if (oracle.problem)
            table_oracle_free(&oracle);
    }
}

/* Mean epochs over the seeds beside scikit-learn's, in problems where it gets to the goal: at most 1.2 of them. Where
 * not all seeds were run this is not judged. */
static int print_epochs(const table *t) {
    int failed = 0, count = 0;
    for (int index = 0; index < UNITS * PER_UNIT; index += TABLE_SEEDS) {
        const table_cell c = cell_at(index);
        const golden_epochs *peer = table_peer(&c);
        double sum = 0, runs = 0;
        char name[128];
        for (int k = 0; k < TABLE_SEEDS; k++)
            if (t->outcome[index + k].ran && !t->outcome[index + k].failure[0])
                sum += t->outcome[index + k].epochs, runs++;
        if (!peer || runs == 0)
            continue;
        if (count++ == 0)
            printf("\nepochs at batch 1              ours  scikit-learn  ratio (<= 1.2)\n");
        const double theirs = peer->mean[c.type == SW_F64], ratio = sum / runs / theirs;
        snprintf(name, sizeof name, "%s/%s/%s/%s", table_methods[c.method], sw_dtype_name(c.type),
                 table_losses[c.loss].name, table_data[c.data]);
        const bool judged = runs == TABLE_SEEDS, good = ratio <= 1.2;
        printf("%-30s %6.1f  %12.1f  %5.2f %s\n", name, sum / runs, theirs, ratio,
               !judged ? ""
               : good  ? "ok"
                       : "FAILED");
        if (judged && !good) {
            failed++;
            printf("  make check-variance-reduction CELLS='%s/1/%s/%s/%s/*'\n", table_methods[c.method],
                   sw_dtype_name(c.type), table_losses[c.loss].name, table_data[c.data]);
        }
    }
    return failed;
}

static int print_summary(const table *t) {
    int failed = 0, all = 0;
    printf("\nmethod batch type  cells failed  steps over (n/b + L_b/mu) log 1/eps: mean, largest (allowed)\n");
    for (int group = 0; group < TABLE_METHODS * TABLE_BATCHES * 2; group++) {
        const int method = group / (2 * TABLE_BATCHES), batch = group / 2 % TABLE_BATCHES;
        const sw_dtype type = group % 2 ? SW_F64 : SW_F32;
        int cells = 0, bad = 0;
        double sum = 0, most = 0, reached = 0;
        for (int index = 0; index < UNITS * PER_UNIT; index++) {
            const table_cell c = cell_at(index);
            const table_outcome *o = &t->outcome[index];
            if (c.method != method || c.batch != batch || c.type != type || (!o->ran && !o->failure[0]))
                continue;
            cells++;
            bad += o->failure[0] != 0;
            if (o->ran && isfinite(o->steps) && o->bound > 0) {
                sum += o->steps / o->bound;
                most = fmax(most, o->steps / o->bound);
                reached++;
            }
        }
        if (cells)
            printf("%-6s %-5s %-5s %5d %6d  %5.2f %5.2f (%g)\n", table_methods[method], table_batches[batch],
                   sw_dtype_name(type), cells, bad, sum / fmax(reached, 1), most, table_constant[method]);
        failed += bad;
        all += cells;
    }
    printf("%d cells, %d failed\n", all, failed);
    return failed;
}

static settings parse(int argc, char **argv) {
    settings s = {.cells = "*", .jobs = (int)sysconf(_SC_NPROCESSORS_ONLN)};
    for (int i = 1; i < argc; i++)
        if (strncmp(argv[i], "--cells=", 8) == 0) {
            s.cells = argv[i] + 8;
        } else if (strncmp(argv[i], "--jobs=", 7) == 0) {
            s.jobs = atoi(argv[i] + 7);
        } else if (strcmp(argv[i], "--verbose") == 0) {
            s.verbose = true;
        } else {
            fprintf(stderr, "%s: known are --cells=PATTERN, --jobs=N, --verbose\n", argv[i]);
            exit(2);
        }
    s.jobs = s.jobs < 1 ? 1 : s.jobs > MOST_JOBS ? MOST_JOBS : s.jobs;
    return s;
}

int main(int argc, char **argv) {
    const settings s = parse(argc, argv);
    pid_t worker[MOST_JOBS];
    int broken = 0;
    table *t = mmap(NULL, sizeof *t, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (t == MAP_FAILED) {
        perror("mmap");
        return 2;
    }
    for (int k = 0; k < s.jobs; k++) {
        worker[k] = fork();
        if (worker[k] == 0) {
            work(&s, t);
            exit(0);
        }
    }
    for (int k = 0; k < s.jobs; k++) {
        int status = 0;
        waitpid(worker[k], &status, 0);
        if (status != 0)
            printf("FAILED: a process ended with status %d\n", status);
        broken += status != 0;
    }
    const int slow = print_epochs(t), failed = print_summary(t);
    return broken || slow || failed;
}
