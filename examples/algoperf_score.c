/* Computes AlgoPerf's scores from training times: performance profiles, the score, and the exact area. algoperf.h has
 * the rules. A score depends on the whole field, because the fastest time on each workload is that of a competitor:
 * --without NAME leaves one out.
 *
 * Without --times the program makes up times of six methods on six workloads, two of which have held-out variants. */
#include "cli.h"

#include "algoperf.h"
#include "csv_text.h"
#include "curves.h"

enum { SHOWN = 16 /* submissions and workloads in the picture */ };

static const char *times_path, *workloads_path, *ruleset, *benchmark, *without, *table_path;
static bool fastest, faithful;
static bool left_out; /* there is a submission with the name of --without */

static const cli_option options[] = {
    {"--times", "FILE.csv", CLI_INPUT, &times_path, 0, 0, "the times of all trials (default: made up)"},
    {"--workloads", "FILE.csv", CLI_INPUT, &workloads_path, 0, 0, "roles of the workloads (default: all count)"},
    {"--ruleset", "NAME", CLI_TEXT, &ruleset, 0, 0, "the rows of --times with this value in the column ruleset"},
    {"--benchmark", "NAME", CLI_TEXT, &benchmark, 0, 0, "the rows of --workloads with this value in that column"},
    {"--without", "NAME", CLI_TEXT, &without, 0, 0, "leave a submission out"},
    {"--fastest", NULL, CLI_FLAG, &fastest, 0, 0, "of a study, the fastest trial counts, as the rules' text says"},
    {"--table", "FILE.csv", CLI_OUTPUT, &table_path, 0, 0, "write the times and ratios by submission and workload"},
    {"--faithful", NULL, CLI_FLAG, &faithful, 0, 0, "the rules of the leaderboard, which are the default"},
    CLI_COMMON("of the times that are made up (1)", "FILE.png", CLI_PICTURE,
               "the picture, and FILE.csv with the profiles (algoperf_score.png)")};

static void print_notes(void) {
    printf("\n--times needs the columns submission, workload, seconds (or seconds_to_target: inf if the target was not "
           "reached,\nnan without a run). It may have ruleset, study, eval_index_at_target (the trial of a study with "
           "the least one\ncounts) and evals (rows with 0 are left out). --workloads needs workload, role (base or "
           "held_out; others are left\nout) and, for held-out variants, base_workload; it may have benchmark.\n");
}

static const cli_program program = {.name = "algoperf_score",
                                    .example = "algoperf_score --times times.csv --without nadam",
                                    .options = options,
                                    .out = "algoperf_score.png",
                                    .numbers = true,
                                    .notes = print_notes};

/* ---- Names ---- */

/* The position of a name in a list, to which it is added if `count` is not NULL; -1: it is not there, or the list is
 * full, which is an error. */
static int name_position(const char **names, int *count, int used, const char *name, const char *what) {
    for (int i = 0; i < used; i++)
        if (strcmp(names[i], name) == 0)
            return i;
    if (!count)
        return -1;
    if (used == ALGOPERF_MOST) {
        sw_fail(SW_ERR_ARGUMENT, "%s: more than %d %s; leave some out", times_path, ALGOPERF_MOST, what);
        return -1;
    }
    names[(*count)++] = name;
    return used;
}

static int workload_position(algoperf *a, const char *name, bool add) {
    return name_position(a->workload, add ? &a->workloads : NULL, a->workloads, name, "workloads");
}

/* Whether a row has the wanted value in a column. If no value is wanted, all rows must have the same one. */
static bool row_is_wanted(const csv_text *t, int64_t row, int64_t column, const char *wanted, const char *option) {
    if (column < 0)
        return true;
    const char *cell = csv_text_cell(t, row, column);
    if (wanted)
        return strcmp(cell, wanted) == 0;
    if (strcmp(cell, csv_text_cell(t, 0, column)) != 0)
        sw_fail(SW_ERR_ARGUMENT, "%s: the rows differ in the column %s, %.60s and %.60s: %s is needed", t->path,
                t->cell[column], csv_text_cell(t, 0, column), cell, option);
    return true;
}

/* Whether --without names this submission. */
static bool is_left_out(const char *submission) {
    const bool out = without && strcmp(submission, without) == 0;
    left_out = left_out || out;
    return out;
}

/* ---- Reading ---- */

/* Adds the workloads with their variants, those that count first. */
static void read_workloads(algoperf *a, const csv_text *t) {
    const int64_t name = csv_text_need(t, "workload"), role = csv_text_need(t, "role");
    const int64_t board = sw_error() ? -1 : benchmark ? csv_text_need(t, "benchmark") : csv_text_find(t, "benchmark");
    for (int variants = 0; variants < 2; variants++)
        for (int64_t row = 0; row < t->rows && !sw_error(); row++) {
            if (!row_is_wanted(t, row, board, benchmark, "--benchmark") ||
                strcmp(csv_text_cell(t, row, role), variants ? "held_out" : "base") != 0)
                continue;
            const int w = workload_position(a, csv_text_cell(t, row, name), true);
            if (sw_error())
                return;
            a->base[w] = -1;
            if (variants) {
                const int64_t of = csv_text_need(t, "base_workload");
                const int base = sw_error() ? -1 : workload_position(a, csv_text_cell(t, row, of), false);
                if (base < 0 || a->base[base] >= 0)
                    sw_fail(SW_ERR_FORMAT,
                            "%s: row %lld: base_workload must be the name of a workload with the role "
                            "base",
                            t->path, (long long)row + 1);
                a->base[w] = base;
            }
        }
    if (!sw_error() && a->workloads == 0)
        sw_fail(SW_ERR_FORMAT, "%s: no row has the role base%s%s", t->path, benchmark ? " and the benchmark " : "",
                benchmark ? benchmark : "");
}

/* The columns of the times; -1: it is not there. */
typedef struct time_columns {
    int64_t ruleset, submission, workload, study, seconds, order, evals;
} time_columns;

static time_columns find_columns(const csv_text *t) {
    time_columns c = {.submission = csv_text_need(t, "submission"), .workload = csv_text_need(t, "workload")};
    if (sw_error())
        return c;
    c.seconds = csv_text_find(t, "seconds");
    c.seconds = c.seconds >= 0 ? c.seconds : csv_text_need(t, "seconds_to_target");
    c.ruleset = csv_text_find(t, "ruleset");
    c.study = csv_text_find(t, "study");
    c.order = fastest ? -1 : csv_text_find(t, "eval_index_at_target");
    c.evals = csv_text_find(t, "evals");
    if (ruleset && c.ruleset < 0)
        csv_text_need(t, "ruleset");
    return c;
}

/* Reads a row; false if it is left out. */
static bool read_trial(algoperf *a, const csv_text *t, const time_columns *c, int64_t row, algoperf_trial *trial) {
    if (!row_is_wanted(t, row, c->ruleset, ruleset, "--ruleset"))
        return false;
    const char *submission = csv_text_cell(t, row, c->submission);
    if (is_left_out(submission))
        return false;
    trial->submission = name_position(a->submission, &a->submissions, a->submissions, submission, "submissions");
    trial->workload = workload_position(a, csv_text_cell(t, row, c->workload), !workloads_path);
    trial->study = c->study >= 0 ? csv_text_integer(t, row, c->study) : 0;
    trial->seconds = csv_text_number(t, row, c->seconds);
    trial->evaluations = c->order >= 0 ? csv_text_number(t, row, c->order) : trial->seconds;
    if (isnan(trial->evaluations)) /* no evaluation reached the target */
        trial->evaluations = INFINITY;
    if (trial->seconds <= 0)
        sw_fail(SW_ERR_FORMAT, "%s: row %lld: a time must be above 0, but it is %g", t->path, (long long)row + 1,
                trial->seconds);
    const bool logged = c->evals < 0 || csv_text_number(t, row, c->evals) > 0;
    return logged && trial->workload >= 0 && trial->seconds > 0; /* not nan */
}

static void read_times(algoperf *a, const csv_text *t) {
    const time_columns c = find_columns(t);
    algoperf_trial *trial = sw_error() ? NULL : sw_alloc_array(t->rows, sizeof *trial);
    int64_t trials = 0;
    for (int w = 0; !workloads_path && w < ALGOPERF_MOST; w++)
        a->base[w] = -1;
    for (int64_t row = 0; trial && row < t->rows && !sw_error(); row++)
        trials += read_trial(a, t, &c, row, &trial[trials]);
    if (trial && !sw_error() && a->submissions == 0)
        sw_fail(SW_ERR_FORMAT, "%s: no row is left; check --ruleset and --without", t->path);
    if (trial && !sw_error())
        algoperf_set_times(a, trial, trials);
    sw_free(trial);
}

/* ---- Made-up times ---- */

enum { METHODS = 6, BASES = 6, VARIANTS = 2, STUDIES = 3, TRIALS = 5 };

/* Each method has a speed on all workloads, another one on each, and luck in each trial. A trial that needs more than
 * 2.5 times the time of an average method is stopped. */
static void make_up_times(algoperf *a) {
    static const char *const name[METHODS] = {"ada", "bolt", "calm", "dune", "echo", "fern"};
    static const char *const task[BASES + VARIANTS] = {"clicks", "images", "molecules",    "pictures",
                                                       "speech", "words",  "speech_large", "words_wide"};
    static algoperf_trial trial[METHODS * (BASES + VARIANTS) * STUDIES * TRIALS];
    sw_rng rng = {.key = sw_rng_key((uint64_t)cli.seed, "times")};
    int64_t trials = 0;
    a->submissions = 0, a->workloads = BASES + VARIANTS;
    for (int w = 0; w < BASES + VARIANTS; w++)
        a->workload[w] = task[w], a->base[w] = w < BASES ? -1 : w - VARIANTS;
    for (int s = 0; s < METHODS; s++) {
        const double speed = 0.25 * sw_rng_normal(&rng);
        const bool out = is_left_out(name[s]);
        const int place = a->submissions;
        if (!out)
            a->submission[a->submissions++] = name[s];
        for (int w = 0; w < BASES + VARIANTS; w++) {
            const double here = speed + 0.35 * sw_rng_normal(&rng), interval = 60.0 * (w + 1);
            for (int i = 0; i < STUDIES * TRIALS; i++) {
                const double share = exp(here + 0.4 * sw_rng_normal(&rng)), evaluations = ceil(20 * share);
                const bool reached = share < 2.5;
                if (!out)
                    trial[trials++] = (algoperf_trial){place, w, i / TRIALS, reached ? evaluations : INFINITY,
                                                       reached ? evaluations * interval : INFINITY};
            }
        }
    }
    algoperf_set_times(a, trial, trials);
}

static void get_times(algoperf *a, csv_text *workloads, csv_text *times) {
    if (!times_path) {
        make_up_times(a);
        return;
    }
    if (workloads_path && csv_text_load(workloads, workloads_path) == SW_OK)
        read_workloads(a, workloads);
    if (!sw_error() && csv_text_load(times, times_path) == SW_OK)
        read_times(a, times);
}

/* ---- Results ---- */

/* The submissions by score, the best first; equal ones in the order of the file. */
static void rank_submissions(const algoperf *a, int *order) {
    for (int i = 0; i < a->submissions; i++) {
        int at = i;
        for (; at > 0 && a->grid[i] > a->grid[order[at - 1]]; at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
}

static void print_scores(const algoperf *a, const int *order) {
    printf("workloads %d\n", algoperf_bases(a));
    for (int i = 0; i < a->submissions; i++)
        printf("score_%s %.4f\n", a->submission[order[i]], a->grid[order[i]]);
    for (int i = 0; i < a->submissions; i++)
        printf("area_%s %.4f\n", a->submission[order[i]], a->area[order[i]]);
    for (int i = 0; i < a->submissions; i++) {
        int solved = 0, vetoed = 0;
        for (int w = 0; w < a->workloads; w++) {
            solved += a->base[w] < 0 && algoperf_is_solved(a->ratio[order[i]][w]);
            vetoed += a->base[w] < 0 && a->vetoed[order[i]][w];
        }
        printf("solved_%s %d\nvetoed_%s %d\n", a->submission[order[i]], solved, a->submission[order[i]], vetoed);
    }
}

static void save_table(const algoperf *a, const int *order) {
    output o;
    FILE *file = output_open(&o, "%s", table_path);
    if (file)
        fprintf(file, "submission,workload,seconds,ratio,vetoed\n");
    for (int i = 0; file && i < a->submissions; i++)
        for (int w = 0; w < a->workloads; w++) {
            output_quoted(file, a->submission[order[i]]);
            fputc(',', file);
            output_quoted(file, a->workload[w]);
            fprintf(file, ",%.9g,%.9g,%d\n", a->time[order[i]][w], a->base[w] < 0 ? a->ratio[order[i]][w] : NAN,
                    a->vetoed[order[i]][w]);
        }
    output_close(&o);
}

/* The steps of a profile from 1 to 4. */
static void fill_profile(const algoperf *a, int s, curve *c) {
    double tau = 1, rho = algoperf_profile(a, s, 1);
    c->n = 0;
    curve_add(c, 1, rho);
    for (;;) { /* from one ratio to the next larger one */
        double next = INFINITY;
        for (int w = 0; w < a->workloads; w++)
            if (a->base[w] < 0 && a->ratio[s][w] > tau && a->ratio[s][w] < next)
                next = a->ratio[s][w];
        if (next > ALGOPERF_LIMIT)
            break;
        curve_add(c, next, rho);
        curve_add(c, tau = next, rho = algoperf_profile(a, s, next));
    }
    curve_add(c, ALGOPERF_LIMIT, rho);
}

/* ---- The picture ---- */

/* The ratio as a color: 1 is green, the limit nearly white. */
static unsigned ratio_color(double ratio) {
    return color_mix(PLOT_GREEN, PLOT_WHITE, 0.25 + 0.65 * (ratio - 1) / (ALGOPERF_LIMIT - 1));
}

static void draw_row(plot *p, const algoperf *a, int s, const curve *c, double left, double y, double cell) {
    char text[32];
    double x = left;
    plot_line(p, left - 190, y - 4, left - 172, y - 4, 3, c->color);
    plot_text(p, left - 166, y, 8.5, PLOT_LEFT, false, PLOT_BLACK, a->submission[s]);
    for (int w = 0, shown = 0; w < a->workloads && shown < SHOWN; w++) {
        if (a->base[w] >= 0)
            continue;
        const double ratio = a->ratio[s][w];
        if (algoperf_is_solved(ratio))
            plot_rectangle(p, x, y - 12, cell - 2, 16, ratio_color(ratio), 1);
        snprintf(text, sizeof text, "%.2f", ratio);
        plot_text(p, x + cell / 2 - 1, y, 8, PLOT_CENTER, false, PLOT_BLACK,
                  algoperf_is_solved(ratio) ? text
                  : a->vetoed[s][w]         ? "veto"
                                            : "–");
        x += cell, shown++;
    }
    snprintf(text, sizeof text, "%.4f", a->grid[s]);
    plot_text(p, x + 8, y, 8.5, PLOT_LEFT, false, PLOT_BLACK, text);
}

static void draw(const algoperf *a, const int *order, int count, const curve *c) {
    const double left = 590, cell = 48, rows = count > 12 ? 17 : 22;
    const int columns = algoperf_bases(a) < SHOWN ? algoperf_bases(a) : SHOWN;
    plot p = plot_new((int)(left + cell * columns + 70), 400);
    plot_panel(&p, 60, 40, 310, 290, 1, ALGOPERF_LIMIT, 0, 1);
    plot_axes(&p, "performance profiles", "τ, relative to the fastest", "fraction of the workloads");
    curves_draw(&p, count, c);
    plot_frame(&p, PLOT_GRAY);
    for (int w = 0, shown = 0; w < a->workloads && shown < SHOWN; w++)
        if (a->base[w] < 0)
            plot_text(&p, left + cell * shown++ + cell / 2 + 3, 48, 7, PLOT_CENTER, true, PLOT_BLACK, a->workload[w]);
    plot_text(&p, left + cell * columns + 8, 88, 8.5, PLOT_LEFT, false, PLOT_BLACK, "score");
    for (int i = 0; i < count; i++)
        draw_row(&p, a, order[i], &c[i], left, 112 + rows * i, cell);
    plot_save(&p, cli.out);
}

int main(int argc, char **argv) {
    static algoperf a;
    static curve c[SHOWN];
    static int order[ALGOPERF_MOST];
    csv_text workloads = {0}, times = {0};
    cli_start(&program, argc, argv);
    cli_check_files();
    if (!times_path && (workloads_path || ruleset))
        cli_fail(2, "%s needs --times", workloads_path ? "--workloads" : "--ruleset");
    if (benchmark && !workloads_path)
        cli_fail(2, "--benchmark needs --workloads");
    memset(&a, 0, sizeof a);
    get_times(&a, &workloads, &times);
    if (!sw_error() && without && !left_out)
        sw_fail(SW_ERR_ARGUMENT, "--without %.60s: %s has no submission of this name", without,
                times_path ? times_path : "the made-up table");
    if (!sw_error()) {
        algoperf_score(&a);
        rank_submissions(&a, order);
        print_scores(&a, order);
        cli_flush();
        const int count = a.submissions < SHOWN ? a.submissions : SHOWN;
        for (int i = 0; i < count; i++) {
            c[i] = (curve){.name = a.submission[order[i]], .width = 1.8};
            c[i].color = color_viridis(count > 1 ? 0.92 * i / (count - 1) : 0);
            fill_profile(&a, order[i], &c[i]);
        }
        draw(&a, order, count, c);
        curves_save(cli.out, "tau", "rho", count, c);
        if (table_path)
            save_table(&a, order);
        if (!sw_error())
            printf("picture %s\n", cli.out);
    }
    csv_text_free(&workloads), csv_text_free(&times);
    return cli_end(0);
}
