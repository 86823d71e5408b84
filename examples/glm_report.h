/* The report of examples/glm.c on its fits: numbers on stdout, a picture, and a CSV file with all coefficients. Not
 * part of the library. */
#ifndef SWALE_EXAMPLES_GLM_REPORT_H
#define SWALE_EXAMPLES_GLM_REPORT_H

#include "glm_data.h"
#include <swale/optim.h>
#include "plot.h"

typedef struct glm_fit {
    double penalty, l1, l2; /* penalty: the value on the path, from which l1 and l2 are computed */
    sw_train_result result;
    int64_t nonzero;    /* number of nonzero weights */
    double loss, score; /* loss: the mean loss without penalties; both are computed on the samples of the fit */
    double cv_loss, cv_error;
    double *x; /* [outputs·features + outputs]: weights and intercepts for the fitted columns */
} glm_fit;

typedef struct glm_path {
    glm_fit *fit;
    double *x; /* the memory of all fit[].x */
    int64_t count, outputs;
    int64_t best, simplest; /* chosen by cross-validation; -1: there was none */
    double tolerance;       /* on the norm of the gradient */
    const char *loss, *method;
    bool standardized;
} glm_path;

/* limits on the number of coefficients: on stdout, as rows of a picture, as curves */
enum { GLM_SHOWN = 50, GLM_ROWS = 20, GLM_CURVES = 8 };

/* ---- Scores ---- */

/* y log y - y, which is minus the minimum of the Poisson loss of a count y. */
static inline double glm_poisson_surplus(double y) {
    return y > 0 ? y * log(y) - y : 0;
}

/* The score of predictions z [n, outputs]: accuracy for classes; D², the fraction of the deviance that the model
 * explains, for counts; R² for other numbers. */
static inline double glm_score(const glm_data *d, bool poisson, const sw_array *z) {
    const int64_t outputs = z->shape[1];
    double mean = 0, left = 0, all = 0, right = 0;
    for (int64_t i = 0; i < d->n; i++)
        mean += glm_number(&d->y, i) / (double)d->n;
    for (int64_t i = 0; i < d->n; i++) {
        const double y = glm_number(&d->y, i), at = glm_number(z, i * outputs);
        int64_t best = outputs > 1 ? 0 : at > 0;
        for (int64_t k = 1; k < outputs; k++)
            best = glm_number(z, i * outputs + k) > glm_number(z, i * outputs + best) ? k : best;
        right += (double)best == y;
        left += poisson ? exp(at) - y * at + glm_poisson_surplus(y) : (y - at) * (y - at);
        all += poisson ? mean - (y > 0 ? y * log(mean) : 0) + glm_poisson_surplus(y) : (y - mean) * (y - mean);
    }
    return d->classes ? right / (double)d->n : 1 - left / all;
}

static inline const char *glm_score_name(const glm_data *d, const glm_path *p) {
    return d->classes ? "accuracy" : strcmp(p->loss, "poisson") == 0 ? "d2" : "r2";
}

/* ---- Numbers on stdout ---- */

/* Selects the `most` largest elements of size [count], in descending order, and sets each to -1. Returns how many are
 * above 0. */
static inline int glm_take_largest(double *size, int64_t count, int most, int64_t *largest) {
    int taken = 0;
    for (; taken < most; taken++) {
        int64_t best = 0;
        for (int64_t i = 1; i < count; i++)
            best = size[i] > size[best] ? i : best;
        if (!(size[best] > 0))
            break;
        largest[taken] = best;
        size[best] = -1;
    }
    return taken;
}

static inline void glm_print_coefficients(const glm_data *d, const glm_path *p, const double *x) {
    const int64_t weights = p->outputs * d->features, shown = d->features < GLM_SHOWN ? d->features : GLM_SHOWN;
    double *of_file = sw_alloc_array(weights + p->outputs, sizeof *of_file);
    double *size = sw_alloc_array(d->features, sizeof *size);
    int64_t largest[GLM_SHOWN];
    char text[32];
    if (of_file && size) {
        glm_undo_scales(d, p->outputs, x, of_file);
        for (int64_t w = 0; w < weights; w++)
            size[w % d->features] = fmax(size[w % d->features], fabs(x[w]));
        const bool all = d->features <= GLM_SHOWN;
        const int count = all ? (int)shown : glm_take_largest(size, d->features, GLM_SHOWN, largest);
        printf("intercept");
        for (int64_t k = 0; k < p->outputs; k++)
            printf(" %.6g", of_file[weights + k]);
        for (int i = 0; i < count; i++) {
            const int64_t j = all ? i : largest[i];
            printf("\ncoef %s", glm_feature_name(d, j, text));
            for (int64_t k = 0; k < p->outputs; k++)
                printf(" %.6g", of_file[k * d->features + j] + 0.0);
        }
        printf("\n");
        if (!all)
            printf("coefs_shown %d\n", count);
    }
    sw_free(of_file), sw_free(size);
}

/* Prints the coefficients of the selected model. */
static inline void glm_print_fit(const glm_data *d, const glm_path *p, const glm_fit *f) {
    if (d->classes) {
        printf("classes");
        for (int k = 0; k < d->classes; k++)
            printf(" %s", d->class_names[k]);
        printf("\n");
    }
    glm_print_coefficients(d, p, f->x);
    printf("nonzero %lld\nmean_loss %.6g\n%s %.4f\n", (long long)f->nonzero, f->loss, glm_score_name(d, p), f->score);
}

static inline void glm_print_path(const glm_data *d, const glm_path *p) {
    printf("penalty nonzero epochs mean_loss %s%s\n", glm_score_name(d, p), p->best < 0 ? "" : " cv_loss cv_error");
    for (int64_t i = 0; i < p->count; i++) {
        const glm_fit *f = &p->fit[i];
        printf("%.5g %lld %.4g %.6g %.4f", f->penalty, (long long)f->nonzero, f->result.epochs, f->loss,
               fabs(f->score) < 5e-5 ? 0 : f->score);
        if (p->best >= 0)
            printf(" %.6g %.3g", f->cv_loss, f->cv_error);
        printf("\n");
    }
}

static inline void glm_print(const glm_data *d, const glm_path *p, bool path) {
    char text[200];
    int64_t missed = 0;
    printf("samples %lld\nfeatures %lld\nloss %s\n", (long long)d->n, (long long)d->features, p->loss);
    for (int64_t i = 0; i < p->count; i++)
        missed += p->fit[i].result.reason == SW_TRAIN_NOT_CONVERGED;
    if (!path) {
        printf("fit %s\n", sw_train_result_text(&p->fit[0].result, text, sizeof text));
        printf("converged %d\nepochs %.6g\n", p->fit[0].result.reason == SW_TRAIN_TOLERANCE, p->fit[0].result.epochs);
        glm_print_fit(d, p, p->fit);
    } else {
        glm_print_path(d, p);
        printf("not_converged %lld\n", (long long)missed);
    }
    if (p->best >= 0) {
        const glm_fit *best = &p->fit[p->best], *simplest = &p->fit[p->simplest];
        printf("best_penalty %.9g\nbest_nonzero %lld\n", best->penalty, (long long)best->nonzero);
        printf("one_standard_error_penalty %.9g\none_standard_error_nonzero %lld\n", simplest->penalty,
               (long long)simplest->nonzero);
        glm_print_fit(d, p, best);
    }
    if (missed)
        cli_note("%s: %lld of %lld fits did not converge: raise --epochs%s%s\n", cli_current()->name, (long long)missed,
                 (long long)p->count, p->standardized ? "" : ", or --standardize the columns",
                 strcmp(p->method, "fista") == 0 ? "" : ", or try --method fista");
}

/* ---- The CSV file ---- */

/* Writes a field, in quotes if necessary (RFC 4180). */
static inline void glm_write_name(FILE *file, const char *name) {
    const bool quoted = strpbrk(name, ",\"") != NULL;
    fputs(quoted ? ",\"" : ",", file);
    for (const char *c = name; *c; c++) {
        if (*c == '"')
            fputc('"', file);
        fputc(*c, file);
    }
    fputs(quoted ? "\"" : "", file);
}

/* Writes a row for each fit, with coefficients for the columns of the file. */
static inline void glm_save(const glm_data *d, const glm_path *p, const char *picture) {
    const int64_t weights = p->outputs * d->features;
    char path[OUTPUT_PATH], name[160], text[128];
    output o;
    cli_numbers_path(picture, path);
    double *x = sw_alloc_array(weights + p->outputs, sizeof *x);
    FILE *file = output_open(&o, "%s", path);
    if (file)
        fprintf(file, "penalty,l1,l2,nonzero,epochs,converged,mean_loss,%s,cv_loss,cv_error", glm_score_name(d, p));
    for (int64_t k = 0; file && k < p->outputs; k++) {
        snprintf(name, sizeof name, p->outputs > 1 ? "intercept (%.100s)" : "intercept",
                 p->outputs > 1 ? d->class_names[k] : "");
        glm_write_name(file, name);
    }
    for (int64_t w = 0; file && w < weights; w++)
        glm_write_name(file, glm_weight_name(d, p->outputs, w, text));
    for (int64_t i = 0; file && i < p->count; i++) {
        const glm_fit *f = &p->fit[i];
        fprintf(file, "\n%.17g,%.17g,%.17g,%lld,%.9g,%d,%.17g,%.17g", f->penalty, f->l1, f->l2, (long long)f->nonzero,
                f->result.epochs, f->result.reason == SW_TRAIN_TOLERANCE, f->loss, f->score);
        if (p->best >= 0)
            fprintf(file, ",%.17g,%.17g", f->cv_loss, f->cv_error);
        else
            fprintf(file, ",,");
        glm_undo_scales(d, p->outputs, f->x, x);
        for (int64_t k = 0; k < p->outputs; k++)
            fprintf(file, ",%.17g", x[weights + k]);
        for (int64_t w = 0; w < weights; w++)
            fprintf(file, ",%.17g", x[w] + 0.0);
    }
    if (file)
        fputc('\n', file);
    output_close(&o);
    sw_free(x);
}

/* ---- Pictures ---- */

static const unsigned glm_colors[GLM_CURVES] = {PLOT_BLUE,   PLOT_RED, PLOT_GREEN, PLOT_ORANGE,
                                                PLOT_PURPLE, PLOT_SKY, PLOT_BLACK, 0x8c6d31};

/* Draws weight w along the path; at and value have room for one number per fit. */
static inline void glm_draw_curve(const glm_path *p, plot *to, int64_t w, double width, unsigned color, double *at,
                                  double *value) {
    for (int64_t i = 0; i < p->count; i++) {
        at[i] = p->fit[i].penalty;
        value[i] = p->fit[i].x[w];
    }
    plot_curve(to, (int)p->count, at, value, width, color);
}

/* Draws the largest weights in color, on top of the others. */
static inline void glm_draw_curves(const glm_data *d, const glm_path *p, plot *to, double *size) {
    const int64_t weights = p->outputs * d->features;
    double *at = sw_alloc_array(p->count, sizeof *at), *value = sw_alloc_array(p->count, sizeof *value);
    int64_t largest[GLM_CURVES];
    char text[GLM_CURVES][128];
    legend_entry entry[GLM_CURVES];
    if (at && value) {
        const int count = glm_take_largest(size, weights, GLM_CURVES, largest);
        for (int64_t w = 0; w < weights; w++)
            if (size[w] > 0) /* not among the largest, and not 0 for every penalty */
                glm_draw_curve(p, to, w, 1, PLOT_GRAY, at, value);
        for (int k = count - 1; k >= 0; k--) {
            glm_draw_curve(p, to, largest[k], 2, glm_colors[k], at, value);
            entry[k] = (legend_entry){
                glm_weight_name(d, p->outputs, largest[k], text[k]), glm_colors[k], 2.6, LEGEND_LINE, {0}};
        }
        plot_legend(to, count, entry);
    }
    sw_free(at), sw_free(value);
}

static inline void glm_draw_coefficients(const glm_data *d, const glm_path *p, plot *to, double width) {
    const int64_t weights = p->outputs * d->features;
    double *size = sw_alloc_array(weights, sizeof *size), low = 0, high = 0;
    for (int64_t i = 0; size && i < p->count; i++)
        for (int64_t w = 0; w < weights; w++) {
            size[w] = fmax(size[w], fabs(p->fit[i].x[w]));
            low = fmin(low, p->fit[i].x[w]), high = fmax(high, p->fit[i].x[w]);
        }
    const double margin = high > low ? 0.05 * (high - low) : 1;
    plot_panel(to, 80, 40, width, 360, p->fit[p->count - 1].penalty, p->fit[0].penalty, low - margin, high + margin);
    plot_logarithmic(to, true, false);
    plot_axes(to, "coefficients of the columns as they were fitted", "penalty", "coefficient");
    if (size)
        glm_draw_curves(d, p, to, size);
    sw_free(size);
}

static inline void glm_draw_mark(plot *to, const glm_fit *f, const legend_entry *entry) {
    const double at[2] = {f->penalty, f->penalty}, ends[2] = {to->y0, to->y1};
    plot_dashed(to, 2, at, ends, entry->width, entry->color, entry->dash);
}

/* Draws the mean over the folds with its standard error, and the two penalties that it selects. */
static inline void glm_draw_folds(const glm_path *p, plot *to) {
    const int64_t n = p->count;
    double *at = sw_alloc_array(4 * n, sizeof *at), low = INFINITY, high = -INFINITY;
    if (!at)
        return;
    double *mean = at + n, *below = mean + n, *above = below + n;
    for (int64_t i = 0; i < n; i++) { /* the x of a band must ascend */
        const glm_fit *f = &p->fit[n - 1 - i];
        at[i] = f->penalty, mean[i] = f->cv_loss;
        below[i] = f->cv_loss - f->cv_error, above[i] = f->cv_loss + f->cv_error;
        low = fmin(low, below[i]), high = fmax(high, above[i]);
    }
    const double margin = high > low ? 0.05 * (high - low) : 1;
    plot_panel(to, 710, 40, 310, 360, at[0], at[n - 1], low - margin, high + margin);
    plot_logarithmic(to, true, false);
    plot_axes(to, "mean loss on the fold left out", "penalty", "");
    plot_band(to, (int)n, at, below, above, PLOT_SKY, 0.4);
    plot_curve(to, (int)n, at, mean, 2, PLOT_BLUE);
    const legend_entry entry[] = {{"mean over the folds", PLOT_BLUE, 2.6, LEGEND_LINE, {0}},
                                  {"its standard error", color_mix(PLOT_WHITE, PLOT_SKY, 0.4), 0, LEGEND_AREA, {0}},
                                  {"best penalty", PLOT_RED, 1.6, LEGEND_LINE, {6, 4}},
                                  {"one standard error", PLOT_GREEN, 1.6, LEGEND_LINE, {2, 3}}};
    glm_draw_mark(to, &p->fit[p->best], &entry[2]);
    glm_draw_mark(to, &p->fit[p->simplest], &entry[3]);
    plot_legend(to, sizeof entry / sizeof *entry, entry);
    sw_free(at);
}

static inline void glm_draw_path(const glm_data *d, const glm_path *p, const char *picture) {
    plot to = plot_new(1040, 460);
    glm_draw_coefficients(d, p, &to, p->best >= 0 ? 530 : 930);
    if (p->best >= 0)
        glm_draw_folds(p, &to);
    plot_save(&to, picture);
}

/* Draws a row for each of the largest features: a bar, or a point for each class. */
static inline void glm_draw_rows(const glm_data *d, const glm_path *p, plot *to, int count, const int64_t *feature) {
    const double *x = p->fit[0].x;
    char text[64], number[32];
    plot_line(to, plot_x(to, 0), to->top, plot_x(to, 0), to->bottom, 1, PLOT_GRAY);
    for (int i = 0; i < count; i++) {
        const double y = count - i - 0.5;
        snprintf(text, sizeof text, "%.28s", glm_feature_name(d, feature[i], number));
        plot_text(to, to->left - 8, plot_y(to, y) + 4.5, plot_number_size, PLOT_RIGHT, false, PLOT_BLACK, text);
        for (int64_t k = 0; k < p->outputs; k++) {
            const double value = x[k * d->features + feature[i]];
            if (p->outputs == 1)
                plot_rectangle(to, plot_x(to, fmin(value, 0)), plot_y(to, y) - 5,
                               plot_x(to, fabs(value)) - plot_x(to, 0), 10, PLOT_BLUE, 1);
            else
                plot_point(to, value, y, 4, glm_colors[k % GLM_CURVES]);
        }
    }
}

static inline void glm_draw_fit(const glm_data *d, const glm_path *p, const char *picture) {
    double *size = sw_alloc_array(d->features, sizeof *size), low = 0, high = 0;
    int64_t feature[GLM_ROWS];
    for (int64_t w = 0; size && w < p->outputs * d->features; w++) {
        size[w % d->features] = fmax(size[w % d->features], fabs(p->fit[0].x[w]));
        low = fmin(low, p->fit[0].x[w]), high = fmax(high, p->fit[0].x[w]);
    }
    const int count = size ? glm_take_largest(size, d->features, GLM_ROWS, feature) : 0;
    const int rows = count > 4 ? count : 4;
    const double margin = high > low ? 0.05 * (high - low) : 1;
    plot to = plot_new(p->outputs > 1 ? 900 : 760, 100 + 22 * rows);
    plot_panel(&to, 220, 40, 510, 22 * rows, low - margin, high + margin, 0, count > 0 ? count : 1);
    plot_axes(&to, "largest coefficients of the columns as they were fitted", "coefficient", NULL);
    glm_draw_rows(d, p, &to, count, feature);
    plot_panel(&to, 740, 30, 156, 22 * rows, 0, 1, 0, 1);
    legend_entry entry[GLM_CURVES];
    const int named = p->outputs < 2 ? 0 : p->outputs < GLM_CURVES ? (int)p->outputs : GLM_CURVES;
    for (int k = 0; k < named; k++)
        entry[k] = (legend_entry){d->class_names[k], glm_colors[k], 4, LEGEND_POINT, {0}};
    plot_legend(&to, named, entry);
    plot_save(&to, picture);
    sw_free(size);
}

#endif
