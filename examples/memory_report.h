/* What memory.c prints and draws. Not part of the library. */
#ifndef SWALE_EXAMPLES_MEMORY_REPORT_H
#define SWALE_EXAMPLES_MEMORY_REPORT_H

#include "fragmentation.h"
#include "memory_run.h"
#include "stored.h"

static const unsigned part_color[RUN_PARTS] = {PLOT_BLUE, PLOT_SKY, PLOT_GREEN, PLOT_PURPLE, PLOT_ORANGE,
                                               PLOT_RED,  0xf0e442, PLOT_GRAY,  PLOT_LIGHT};
static const char *const part_text[RUN_PARTS] = {"parameters",   "f32 masters",   "gradients",
                                                 "m, v of adam", "activations",   "activations of attention",
                                                 "workspace",    "unused, nodes", "other"};

/* A stacked bar. */
typedef struct report_bar {
    const char *name;    /* "f16_recompute" */
    const char *line[2]; /* the text below the bar */
    run_ledger ledger;
} report_bar;

/* ---- Lines ---- */

static inline void report_print_ledger(const char *name, const run_ledger *l) {
    for (int part = 0; part < RUN_PARTS; part++)
        if (l->part[part] > 0)
            printf("%s.%s %.0f\n", name, run_part_name[part], l->part[part]);
    printf("%s.peak %zu\n%s.high_water %zu\n%s.live_set %zu\n", name, l->peak, name, l->high_water, name, l->live_set);
    printf("%s.bytes_per_parameter %.2f\n", name, l->per_parameter);
}

static inline void report_print_fragments(const fragments f[ALLOCATORS]) {
    static const char *const name[ALLOCATORS] = {"first_fit", "best_fit", "malloc", "tape"};
    for (int i = 0; i < ALLOCATORS; i++)
        if (f[i].measured && f[i].refused)
            printf("%s.refused %lld\n%s.free_when_refused %.3f\n", name[i], (long long)f[i].wanted, name[i],
                   f[i].free_part);
        else if (f[i].measured)
            printf("%s.refused 0\n", name[i]);
        else
            printf("%s.not_measured 1\n", name[i]);
    printf("heap.bytes %d\nheap.needed %lld\n", HEAP_BYTES, (long long)fragments_needed());
}

/* ---- The picture ---- */

/* Draws bars in the current panel, in units of `unit` bytes; the panel shows x from 0 to count. */
static inline void report_draw_bars(plot *p, int count, const report_bar *bar, double unit) {
    for (int i = 0; i < count; i++) {
        const double left = plot_x(p, i + 0.14), right = plot_x(p, i + 0.86), middle = plot_x(p, i + 0.5);
        double sum = 0;
        for (int part = 0; part < RUN_PARTS; part++) {
            const double bottom = plot_y(p, sum / unit);
            sum += bar[i].ledger.part[part];
            const double top = plot_y(p, sum / unit);
            plot_rectangle(p, left, top, right - left, bottom - top, part_color[part], 1);
        }
        for (int line = 0; line < 2; line++)
            plot_text(p, middle, p->bottom + 16 + 15 * line, plot_number_size, PLOT_CENTER, false, PLOT_BLACK,
                      bar[i].line[line]);
    }
}

static inline double report_highest(int count, const report_bar *bar) {
    double most = 0;
    for (int i = 0; i < count; i++) {
        double sum = 0;
        for (int part = 0; part < RUN_PARTS; part++)
            sum += bar[i].ledger.part[part];
        most = fmax(most, sum);
    }
    return most;
}

static inline void report_draw_parts_legend(plot *p) {
    legend_entry entry[RUN_PARTS];
    for (int i = 0; i < RUN_PARTS; i++) { /* in the order of the bars, from the top */
        const int part = RUN_PARTS - 1 - i;
        entry[i] = (legend_entry){part_text[part], part_color[part], 2, LEGEND_AREA, {0}};
    }
    plot_legend(p, RUN_PARTS, entry);
}

/* The memory of each allocator as a strip: the results, and the request that was refused, above the free rest. */
static inline void report_draw_fragments(plot *p, const fragments f[ALLOCATORS]) {
    for (int i = 0; i < ALLOCATORS; i++) {
        const double top = plot_y(p, ALLOCATORS - i - 0.3), height = plot_y(p, ALLOCATORS - i - 0.8) - top;
        char text[96];
        plot_rectangle(p, p->left, top, p->right - p->left, height, PLOT_LIGHT, 1);
        for (int k = 0; k < f[i].segments; k++) {
            const double from = plot_x(p, (double)f[i].at[k] / 1e6);
            const double to = plot_x(p, (double)(f[i].at[k] + fragments_result(k)) / 1e6);
            plot_rectangle(p, from, top, fmin(to, p->right) - from, height, PLOT_ORANGE, 1);
        }
        if (!f[i].measured)
            snprintf(text, sizeof text, "%s: not measured", f[i].name);
        else if (f[i].refused)
            snprintf(text, sizeof text, "%s: refuses %.0f kB after %d of %d results, with %.0f %% free", f[i].name,
                     (double)f[i].wanted / 1e3, f[i].segments, SEGMENTS, 100 * f[i].free_part);
        else
            snprintf(text, sizeof text, "%s: all %d results", f[i].name, SEGMENTS);
        plot_text(p, p->left, top - 5, plot_number_size, PLOT_LEFT, false, PLOT_BLACK, text);
    }
    plot_frame(p, PLOT_GRAY);
}

enum { REPORT_WIDTH = 520, REPORT_HEIGHT = 300 };

static inline void report_draw(const char *path, int runs, const report_bar *small, int large, const report_bar *bar,
                               int curves, const curve *loss, const fragments f[ALLOCATORS]) {
    const double w = REPORT_WIDTH, h = REPORT_HEIGHT, right = 90 + w + 90, below = 40 + h + 90;
    double most = 0;
    plot p = plot_new(1240, 890);
    plot_panel(&p, 90, 40, w, h, 0, runs, 0, 1.1 * report_highest(runs, small) / 1e6);
    plot_axes(&p, "a training step, measured", NULL, "MB");
    report_draw_bars(&p, runs, small, 1e6);
    plot_frame(&p, PLOT_GRAY);
    for (int i = 0; i < curves; i++)
        for (int k = 0; k < loss[i].n; k++)
            most = fmax(most, loss[i].y[k]);
    plot_panel(&p, right, 40, w, h, 0, loss[0].n > 1 ? loss[0].n - 1 : 1, 0, most > 0 ? 1.05 * most : 1);
    plot_axes(&p, "loss", "steps", "");
    for (int i = 0; i < curves; i++) /* the widest first, so that all are visible where they coincide */
        plot_curve(&p, loss[i].n, loss[i].x, loss[i].y, loss[i].width, loss[i].color);
    plot_frame(&p, PLOT_GRAY);
    curves_legend(&p, curves, loss);
    plot_panel(&p, 90, below, w, h, 0, large, 0, 1.1 * report_highest(large, bar) / 1e9);
    plot_axes(&p, "GPT-2 1.5B, predicted from shapes", NULL, "GB");
    report_draw_bars(&p, large, bar, 1e9);
    plot_frame(&p, PLOT_GRAY);
    report_draw_parts_legend(&p); /* of both panels */
    plot_panel(&p, right, below, w, h, 0, HEAP_BYTES / 1e6, 0, ALLOCATORS);
    plot_axes(&p, "results of growing segments in 9 MB", "address, MB", NULL);
    report_draw_fragments(&p, f);
    plot_save(&p, path);
}

/* ---- The results in the form of stored.h ---- */

/* A curve for each bar: by index, the parts of its ledger and REPORT_REST further numbers. A curve for each allocator:
 * the addresses of the results. */
enum { REPORT_BARS = 16, REPORT_REST = 6 };
static curve report_ledgers[REPORT_BARS], report_heaps[ALLOCATORS];
static double report_refusals[ALLOCATORS][3]; /* whether it was measured, bytes of the refused request, what was free */

static inline void report_name_results(int bars, const report_bar *bar, const fragments f[ALLOCATORS]) {
    for (int i = 0; i < bars; i++)
        snprintf(report_ledgers[i].key, sizeof report_ledgers[i].key, "bytes of %s", bar[i].name);
    for (int i = 0; i < ALLOCATORS; i++)
        snprintf(report_heaps[i].key, sizeof report_heaps[i].key, "addresses of %s", f[i].name);
}

static inline void report_list_results(stored *s, int bars, int curves, curve *loss) {
    static const char *const what[3] = {"measured", "refused", "free"};
    static char name[ALLOCATORS][3][80];
    stored_curves(s, bars, RUN_PARTS + REPORT_REST, report_ledgers);
    stored_curves(s, curves, 1, loss);
    stored_curves(s, ALLOCATORS, 0, report_heaps);
    for (int i = 0; i < ALLOCATORS; i++)
        for (int k = 0; k < 3; k++) {
            snprintf(name[i][k], sizeof name[i][k], "%s, %s", report_heaps[i].key + strlen("addresses of "), what[k]);
            stored_number(s, name[i][k], &report_refusals[i][k]);
        }
}

/* Before the results are written. */
static inline void report_put_results(int bars, const report_bar *bar, const fragments f[ALLOCATORS]) {
    for (int i = 0; i < bars; i++) {
        const run_ledger *l = &bar[i].ledger;
        const double rest[REPORT_REST] = {(double)l->peak, (double)l->high_water, (double)l->live_set, l->per_parameter,
                                          l->flops,        (double)l->dim};
        report_ledgers[i].n = 0;
        for (int k = 0; k < RUN_PARTS + REPORT_REST; k++)
            curve_add(&report_ledgers[i], k, k < RUN_PARTS ? l->part[k] : rest[k - RUN_PARTS]);
    }
    for (int i = 0; i < ALLOCATORS; i++) {
        report_heaps[i].n = 0;
        for (int k = 0; k < f[i].segments; k++)
            curve_add(&report_heaps[i], k, (double)f[i].at[k]);
        report_refusals[i][0] = f[i].measured, report_refusals[i][1] = (double)f[i].wanted;
        report_refusals[i][2] = f[i].free_part;
    }
}

/* A number of bytes: a file may have any number. */
static inline int64_t report_bytes(double value) {
    return (int64_t)fmax(fmin(value, 1e18), 0);
}

/* After the results were read. */
static inline void report_take_results(int bars, report_bar *bar, fragments f[ALLOCATORS]) {
    for (int i = 0; i < bars; i++) {
        const double *value = report_ledgers[i].y, *rest = value + RUN_PARTS;
        run_ledger *l = &bar[i].ledger;
        memcpy(l->part, value, sizeof l->part);
        l->peak = (size_t)report_bytes(rest[0]), l->high_water = (size_t)report_bytes(rest[1]);
        l->live_set = (size_t)report_bytes(rest[2]), l->per_parameter = rest[3];
        l->flops = rest[4], l->dim = report_bytes(rest[5]);
    }
    for (int i = 0; i < ALLOCATORS; i++) {
        f[i].segments = report_heaps[i].n < SEGMENTS ? report_heaps[i].n : SEGMENTS;
        for (int k = 0; k < f[i].segments; k++)
            f[i].at[k] = report_bytes(report_heaps[i].y[k]);
        f[i].measured = report_refusals[i][0] != 0, f[i].wanted = report_bytes(report_refusals[i][1]);
        f[i].refused = f[i].wanted > 0, f[i].free_part = report_refusals[i][2];
    }
}

#endif
