/* Fits generalized linear models to a table or to sparse rows, and computes the numbers that scikit-learn also has:
 * coefficients, intercept, score, a regularization path and its cross-validation. A model minimizes
 *
 *     f(w, b) = 1/n sum loss(<w, a_i> + b, y_i) + l2/2 |w|^2 + l1 |w|_1,
 *
 * where the intercept b has no penalty. A path is a sequence of penalties, from the smallest one for which all
 * weights are 0 down to a thousandth of it. Each fit begins at the solution of the previous one: the parameters keep
 * it, and a new optimizer has the next penalty in its rule. */
#include "cli.h"
#include "glm_data.h"
#include "glm_report.h"
#include <swale/swale.h>

enum { LOGISTIC, MULTINOMIAL, SQUARED, HUBER, SQUARED_HINGE, POISSON, LOSSES };
static const char *const losses[] = {"logistic", "multinomial", "squared", "huber", "squared_hinge", "poisson"};
static const sw_head heads[] = {SW_HEAD_LOGISTIC, SW_HEAD_MULTINOMIAL,   SW_HEAD_SQUARED,
                                SW_HEAD_HUBER,    SW_HEAD_SQUARED_HINGE, SW_HEAD_POISSON};
enum { SAG, SAGA, SVRG, FISTA, METHODS };
static const char *const methods[] = {"sag", "saga", "svrg", "fista"};
enum { CSV, SVM, FORMATS };
static const char *const formats[] = {"csv", "svm"};
static const char diabetes[] = "examples/diabetes.csv";

static const char *data, *format, *target, *loss = "squared", *method;
static double delta = 1.35, l2 = -1, l1 = -1, l1_ratio = -1, tol;
static int64_t batch, epochs = 1000, path, folds;
static bool standardize, no_intercept, f32;

static void print_notes(void) {
    puts("\nA model minimizes f(w, b) = mean loss + l2/2 |w|^2 + l1 |w|_1; the intercept b has no penalty. The\n"
         "equivalent options for models of scikit-learn, for n samples:\n\n"
         "  LogisticRegression(C=C, l1_ratio=r)  --loss logistic or multinomial --l2 (1-r)/(C n) --l1 r/(C n)\n"
         "  LinearSVC(C=C, fit_intercept=False)  --loss squared_hinge --no-intercept --l2 1/(C n)\n"
         "  Ridge(alpha=a)                       --loss squared --l2 a/n\n"
         "  Lasso(alpha=a)                       --loss squared --l1 a\n"
         "  ElasticNet(alpha=a, l1_ratio=r)      --loss squared --l2 a(1-r) --l1 a r\n"
         "  PoissonRegressor(alpha=a)            --loss poisson --l2 a\n\n"
         "So C = 1/(n l2). A path of penalties a has l1 = a r and l2 = a(1-r), where r is --l1-ratio. Columns\n"
         "are standardized once, before the folds are made. Without --data and a penalty, glm fits the path of\n"
         "the diabetes data, standardized, with ten folds (Efron, Hastie, Johnstone, Tibshirani, Annals of\n"
         "Statistics 32, 2004).");
}

static const cli_option options[] = {
    {"--data", "FILE", CLI_INPUT, &data, 0, 0, ".csv or .svm, plain or .gz (examples/diabetes.csv)"},
    {"--format", "F", CLI_TEXT, &format, 0, 0, "csv or svm (from the name of the file)"},
    {"--target", "NAME", CLI_TEXT, &target, 0, 0, "column of the targets in a CSV file (the last one)"},
    {"--loss", "L", CLI_TEXT, &loss, 0, 0, "logistic, multinomial, squared, huber, squared_hinge or poisson (squared)"},
    {"--delta", "D", CLI_REAL, &delta, 1e-300, 1e300, "residual at which the huber loss becomes linear (1.35)"},
    {"--l2", "X", CLI_REAL, &l2, 0, 1e300, "penalty l2/2 |w|^2 (0)"},
    {"--l1", "X", CLI_REAL, &l1, 0, 1e300, "penalty l1 |w|_1 (0)"},
    {"--method", "M", CLI_TEXT, &method, 0, 0,
     "sag, saga, svrg or fista (fista for n < 10000 without --batch, else saga)"},
    {"--batch", "N", CLI_COUNT, &batch, 1, 1e9,
     "samples in a step (depends on n and method; 1 for a .svm); not for fista"},
    {"--tol", "T", CLI_REAL, &tol, 1e-300, 1,
     "end a fit if |gradient| relative to w = b = 0 is at most T (1e-6; --f32 1e-4)"},
    {"--epochs", "N", CLI_COUNT, &epochs, 1, 1e6, "largest number of epochs of a fit (1000)"},
    {"--standardize", NULL, CLI_FLAG, &standardize, 0, 0,
     "scale columns to mean 0 and deviation 1; those of a .svm to largest value 1"},
    {"--no-intercept", NULL, CLI_FLAG, &no_intercept, 0, 0, "set b = 0 and do not center columns"},
    {"--f32", NULL, CLI_FLAG, &f32, 0, 0, "compute in f32 (f64)"},
    {"--path", "N", CLI_COUNT, &path, 2, 1000, "fit N penalties"},
    {"--l1-ratio", "R", CLI_REAL, &l1_ratio, 0, 1, "ratio of a path: 1 lasso, 0 ridge, between them elastic net (1)"},
    {"--cv", "K", CLI_COUNT, &folds, 2, 1000, "cross-validate the path with K folds"},
    CLI_COMMON("of steps and folds (1)", "FILE.png", CLI_PICTURE,
               "the picture, and FILE.csv with all coefficients (glm.png)")};
static const cli_program program = {.name = "glm",
                                    .example =
                                        "glm --data examples/iris.csv --loss multinomial --l2 0.01 --standardize",
                                    .options = options,
                                    .out = "glm.png",
                                    .numbers = true,
                                    .notes = print_notes};

/* ---- The command line ---- */

/* The index of a word in a list; ends the program if the list does not have it. */
static int choice(const char *option, const char *word, int count, const char *const *list) {
    for (int i = 0; i < count; i++)
        if (strcmp(word, list[i]) == 0)
            return i;
    const char *nearest = sw_suggest(word, count, list);
    cli_fail(2, "there is no %s %s%s", option, word, *nearest ? nearest : "; see --help");
    return 0;
}

static int head(void) {
    return choice("--loss", loss, LOSSES, losses);
}

static bool ends_with(const char *text, size_t length, const char *end) {
    return length >= strlen(end) && strncmp(text + length - strlen(end), end, strlen(end)) == 0;
}

static bool is_sparse(void) {
    size_t length = strlen(data);
    if (format)
        return choice("--format", format, FORMATS, formats) == SVM;
    length -= ends_with(data, length, ".gz") ? strlen(".gz") : 0;
    if (ends_with(data, length, ".svm") || ends_with(data, length, ".libsvm") || ends_with(data, length, ".svmlight"))
        return true;
    if (!ends_with(data, length, ".csv"))
        cli_fail(2, "--data %s: the name ends neither in .csv nor in .svm: --format is needed", data);
    return false;
}

static void check_options(void) {
    const bool demonstration = !data && l1 < 0 && l2 < 0 && !path;
    if (head() != HUBER && delta != 1.35)
        cli_fail(2, "--delta %g: only --loss huber has a delta", delta);
    if (demonstration)
        path = 60, folds = folds ? folds : 10;
    if (method && choice("--method", method, METHODS, methods) == FISTA && batch)
        cli_fail(2, "--batch %lld: a step of fista takes all samples; sag, saga and svrg have batches",
                 (long long)batch);
    if (path && (l1 >= 0 || l2 >= 0))
        cli_fail(2, "--path sets the penalties: leave out --l1 and --l2; --l1-ratio is their mix");
    if (!path && (folds || l1_ratio >= 0))
        cli_fail(2, "%s needs --path N", folds ? "--cv" : "--l1-ratio");
    if (!data && access(diabetes, F_OK) != 0)
        cli_fail(1, "%s does not exist: run glm in swale's source folder, or use --data FILE", diabetes);
    standardize = standardize || !data;
    data = data ? data : diabetes;
}

/* FISTA is the default for few samples: its steps use all samples, but it needs fewer steps. */
static void choose_method(const glm_data *d) {
    if (!method)
        method = d->n < 10000 && !batch ? "fista" : "saga";
}

/* ---- A fit ---- */

static struct {
    cli_progress bar;
    int64_t done, fits;
} progress;

static sw_status show_progress(void *user, sw_train_state *state) {
    (void)user;
    if (progress.fits > 1)
        cli_progress_draw(&progress.bar, "fits", progress.done, progress.fits, progress.done, progress.fits,
                          state->mean_loss);
    else
        cli_progress_draw(&progress.bar, "epochs", state->epoch, epochs, state->epoch, epochs, state->mean_loss);
    return SW_OK;
}

static sw_glm *make_model(const glm_data *d, const double *weight) {
    const sw_glm_options how =
        SW_OPTIONS(sw_glm_options, .head = heads[head()], .delta = delta, .no_bias = no_intercept, .weight = weight,
                   .outputs = head() == MULTINOMIAL ? d->classes : 0);
    const sw_dtype type = f32 ? SW_F32 : SW_F64;
    return d->sparse ? sw_glm_new_sparse(type, &d->sparse->x, &d->y, &how) : sw_glm_new(type, &d->x, &d->y, &how);
}

/* The table of sag and saga begins with a full pass, so that a fit that starts near the minimum stays there. */
static void make_estimator(const char *by, char spec[64]) {
    if (strcmp(by, "fista") == 0)
        strcpy(spec, "full");
    else if (strcmp(by, "svrg") == 0)
        snprintf(spec, 64, "svrg batch=%lld", (long long)batch);
    else
        snprintf(spec, 64, "%s batch=%lld init=full", by, (long long)batch);
}

/* Fits the model, starting from its current parameters, and leaves the solution in them. */
static sw_status fit(const sw_glm *model, const char *by, double with_l2, double with_l1, double tolerance,
                     sw_train_result *result) {
    char estimator[64], rule[256];
    const char *step = strcmp(by, "fista") == 0 ? "fista" : "sgd";
    make_estimator(by, estimator);
    snprintf(rule, sizeof rule, "role=weight: %s lr=auto weight_decay=%.17g l1=%.17g%s%s%s", step, with_l2, with_l1,
             no_intercept ? "" : "; ", no_intercept ? "" : step, no_intercept ? "" : " lr=auto");
    const sw_optim_options how =
        SW_OPTIONS(sw_optim_options, .estimator = estimator, .rule = rule, .seed = (uint64_t)cli.seed);
    const sw_train_options until =
        SW_OPTIONS(sw_train_options, .epochs = epochs, .tolerance = tolerance, .stop = &cli_signal,
                   .evaluate = progress.bar.live ? show_progress : NULL);
    sw_optim *optim = sw_optim_new_with_options(sw_glm_params(model), &how);
    if (optim && sw_train(sw_glm_objective(model), optim, &until, result) == SW_OK)
        sw_optim_adopt_point(optim); /* the point of fista has exact zeros */
    sw_optim_free(optim);
    return sw_error_status();
}

/* The intercept of a Poisson model without features: the logarithm of the mean count. Steps that begin at 0 would
 * diverge, because e^b is too steep. */
static void set_poisson_intercept(const sw_glm *model) {
    const sw_objective *f = sw_glm_objective(model);
    const sw_array b = sw_param_value(sw_params_find(sw_glm_params(model), "bias"));
    const sw_array y = sw_array_view(f->glm->target, b.type, SW_SHAPE(f->n));
    double mean = 0;
    for (int64_t i = 0; i < f->n; i++)
        mean += (f->glm->weight ? f->glm->weight[i] : 1) * glm_number(&y, i) / (double)f->n;
    if (f32 && mean > 0)
        *(float *)b.data = (float)log(mean);
    else if (mean > 0)
        *(double *)b.data = log(mean);
    sw_params_mark_changed(sw_glm_params(model));
}

/* Fits only the intercept, with weights of 0; the first fit starts there. */
static sw_status fit_intercept(const sw_glm *model, double tolerance, sw_train_result *result) {
    sw_param *weight = sw_params_find(sw_glm_params(model), "weight");
    *result = (sw_train_result){.reason = SW_TRAIN_TOLERANCE};
    if (no_intercept)
        return SW_OK;
    if (head() == POISSON)
        set_poisson_intercept(model);
    sw_param_freeze(weight, true);
    fit(model, "fista", 0, 0, tolerance, result);
    sw_param_freeze(weight, false);
    return sw_error_status();
}

/* The norm of the gradient at the parameters, and the largest |element| of its part for the weights. */
static sw_status gradient_of(const sw_glm *model, double *norm, double *largest) {
    const sw_objective *f = sw_glm_objective(model);
    sw_params *params = sw_glm_params(model);
    sw_gradient *g = sw_params_gradient(params);
    const int64_t dim = sw_params_dim(params);
    sw_tape *tape = sw_tape_new();
    double value;
    *norm = *largest = 0;
    if (tape && sw_objective_gradient_chunked(f, tape, NULL, NULL, f->n, 0, 0, &value, g) == SW_OK) {
        const sw_array all = sw_array_view(sw_gradient_data(g), sw_params_type(params), SW_SHAPE(dim));
        for (int64_t i = 0; i < dim; i++) {
            const double v = glm_number(&all, i);
            *norm = hypot(*norm, v);
            *largest = i < f->features * f->outputs ? fmax(*largest, fabs(v)) : *largest;
        }
        sw_gradient_make_fresh(g);
    }
    sw_tape_free(tape);
    return sw_error_status();
}

/* The mean loss of some samples (ids NULL: all) at x (NULL: the model's parameters). For poisson it is half the
 * deviance, which is 0 if e^z = y. */
static sw_status mean_loss(const sw_glm *model, const glm_data *d, const void *x, const int64_t *ids, int64_t count,
                           double *mean) {
    sw_tape *tape = sw_tape_new();
    if (tape && sw_objective_value_chunked(sw_glm_objective(model), tape, x, ids, count, 0, 0, mean) == SW_OK)
        for (int64_t i = 0; head() == POISSON && i < count; i++)
            *mean += glm_poisson_surplus(glm_number(&d->y, ids ? ids[i] : i)) / (double)count;
    sw_tape_free(tape);
    return sw_error_status();
}

/* Stores the solution in the model and its scores. */
static sw_status keep(const sw_glm *model, const glm_data *d, glm_fit *to) {
    const sw_params *params = sw_glm_params(model);
    const sw_objective *f = sw_glm_objective(model);
    const sw_array x = sw_array_view(sw_params_x(params), sw_params_type(params), SW_SHAPE(sw_params_dim(params)));
    sw_array z = {0};
    to->nonzero = 0;
    for (int64_t i = 0; i < sw_params_dim(params); i++) {
        to->x[i] = glm_number(&x, i);
        to->nonzero += i < f->features * f->outputs && to->x[i] != 0;
    }
    SW_TRY(mean_loss(model, d, NULL, NULL, f->n, &to->loss));
    SW_TRY(d->sparse ? sw_glm_predict_sparse(model, NULL, &d->sparse->x, &z) : sw_glm_predict(model, NULL, &d->x, &z));
    to->score = glm_score(d, head() == POISSON, &z);
    sw_array_free(&z);
    return SW_OK;
}

static sw_status fit_one(const sw_glm *model, const glm_data *d, glm_path *p) {
    glm_fit *at = &p->fit[0];
    at->l1 = fmax(l1, 0), at->l2 = fmax(l2, 0);
    SW_TRY(fit_intercept(model, p->tolerance, &at->result));
    SW_TRY(fit(model, method, at->l2, at->l1, p->tolerance, &at->result));
    SW_TRY(keep(model, d, at));
    progress.done += at->result.reason != SW_TRAIN_STOP;
    p->count = 1;
    return SW_OK;
}

/* ---- The path ---- */

/* Computes the path. The first penalty is the smallest one for which w is 0: the largest element of the gradient at w =
 * 0 divided by the ratio. The last penalty is a thousandth of that element. Each fit starts at the solution of the
 * previous one. */
static sw_status follow_path(const sw_glm *model, const glm_data *d, glm_path *p) {
    const double ratio = l1_ratio < 0 ? 1 : l1_ratio, span = 1e3 / fmax(ratio, 1e-3);
    sw_train_result intercept;
    double norm, largest;
    SW_TRY(fit_intercept(model, p->tolerance, &intercept));
    SW_TRY(gradient_of(model, &norm, &largest));
    if (!(largest > 0))
        return sw_fail(SW_ERR_ARGUMENT, "%s: the gradient at w = 0 is 0, so that w is 0 for every penalty", data);
    for (int64_t i = 0; i < path && !cli_signal; i++) {
        glm_fit *at = &p->fit[i];
        at->penalty = largest * 1e-3 * span * pow(span, -(double)i / (double)(path - 1));
        at->l1 = at->penalty * ratio, at->l2 = at->penalty * (1 - ratio);
        at->result = intercept;
        if (i > 0 || ratio < 1e-3) /* else w = 0 is the solution, because of the choice of the penalty */
            SW_TRY(fit(model, method, at->l2, at->l1, p->tolerance, &at->result));
        SW_TRY(keep(model, d, at));
        if (at->result.reason != SW_TRAIN_STOP)
            progress.done = p->count = i + 1;
    }
    return SW_OK;
}

/* Assigns the shuffled samples to folds, class by class, so that each fold has the same fractions of the classes. */
static sw_status make_folds(const glm_data *d, int64_t *fold) {
    sw_sampler *sampler = sw_sampler_new(d->n, d->n, SW_SHUFFLE, (uint64_t)cli.seed);
    const int64_t *ids = NULL;
    int64_t dealt = 0;
    if (sampler && sw_sampler_next(sampler, &ids) == d->n)
        for (int c = 0; c < (d->classes ? d->classes : 1); c++)
            for (int64_t i = 0; i < d->n; i++)
                if (!d->classes || (int)glm_number(&d->y, ids[i]) == c)
                    fold[ids[i]] = dealt++ % folds;
    sw_sampler_free(sampler);
    return sw_error_status();
}

/* Computes the path of a model in which the samples of fold k have weight 0; left[i, k] is the mean loss on them. */
static sw_status leave_out(const sw_glm *model, const glm_data *d, const glm_path *p, const int64_t *fold, int64_t k,
                           double *left) {
    double *weight = sw_alloc_array(d->n, sizeof *weight);
    int64_t *out = sw_alloc_array(d->n, sizeof *out), count = 0;
    for (int64_t i = 0; weight && out && i < d->n; i++) {
        weight[i] = fold[i] != k;
        if (fold[i] == k)
            out[count++] = i;
    }
    sw_glm *part = weight && out ? make_model(d, weight) : NULL;
    sw_train_result result = {.reason = SW_TRAIN_ERROR};
    if (part)
        fit_intercept(part, p->tolerance, &result);
    for (int64_t i = 0; i < p->count && !cli_signal && !sw_error(); i++) {
        fit(part, method, p->fit[i].l2, p->fit[i].l1, p->tolerance, &result);
        mean_loss(model, d, sw_params_x(sw_glm_params(part)), out, count, &left[i * folds + k]);
        progress.done += result.reason != SW_TRAIN_STOP;
    }
    sw_glm_free(part), sw_free(out), sw_free(weight);
    return sw_error_status();
}

/* Computes the mean over the folds and its standard error, the penalty with the least mean, and the largest penalty
 * whose mean exceeds the least one by at most its standard error. */
static void judge_folds(glm_path *p, const double *left) {
    for (int64_t i = 0; i < p->count; i++) {
        const double *of = left + i * folds;
        double mean = 0, squares = 0;
        for (int64_t k = 0; k < folds; k++)
            mean += of[k] / (double)folds;
        for (int64_t k = 0; k < folds; k++)
            squares += (of[k] - mean) * (of[k] - mean);
        p->fit[i].cv_loss = mean;
        p->fit[i].cv_error = sqrt(squares / (double)(folds - 1) / (double)folds);
        if (p->best < 0 || mean < p->fit[p->best].cv_loss)
            p->best = i;
    }
    const double most = p->fit[p->best].cv_loss + p->fit[p->best].cv_error;
    p->simplest = 0;
    while (p->simplest < p->best && !(p->fit[p->simplest].cv_loss <= most))
        p->simplest++;
}

static sw_status cross_validate(const sw_glm *model, const glm_data *d, glm_path *p) {
    int64_t *fold = sw_alloc_array(d->n, sizeof *fold);
    double *left = sw_alloc_array(p->count * folds, sizeof *left);
    sw_status status = fold && left ? make_folds(d, fold) : SW_ERR_MEMORY;
    for (int64_t k = 0; k < folds && !cli_signal && status == SW_OK; k++)
        status = leave_out(model, d, p, fold, k, left);
    if (status == SW_OK && !cli_signal)
        judge_folds(p, left);
    sw_free(fold), sw_free(left);
    return status;
}

/* ---- The program ---- */

static sw_status fit_all(const sw_glm *model, const glm_data *d, glm_path *p) {
    const int64_t count = path ? path : 1, dim = p->outputs * (d->features + 1);
    double norm, largest;
    p->fit = sw_alloc_array(count, sizeof *p->fit);
    p->x = sw_alloc_array(count * dim, sizeof *p->x);
    if (!p->fit || !p->x)
        return SW_ERR_MEMORY;
    for (int64_t i = 0; i < count; i++)
        p->fit[i].x = p->x + i * dim;
    SW_TRY(gradient_of(model, &norm, &largest));
    /* a tolerance of 0 would never be reached */
    p->tolerance = fmax((tol > 0 ? tol : f32 ? 1e-4 : 1e-6) * norm, 1e-300);
    progress.bar = cli_progress_start();
    progress.done = 0, progress.fits = count * (1 + folds);
    SW_TRY(path ? follow_path(model, d, p) : fit_one(model, d, p));
    return folds && !cli_signal ? cross_validate(model, d, p) : SW_OK;
}

static void report(const glm_data *d, const glm_path *p) {
    if (p->count > 0) {
        glm_print(d, p, path > 0);
        cli_flush();
        if (p->count > 1)
            glm_draw_path(d, p, cli.out);
        else
            glm_draw_fit(d, p, cli.out);
        glm_save(d, p, cli.out);
    }
    if (p->count > 0 && !sw_error())
        printf("picture %s\n", cli.out);
    if (cli_signal)
        cli_say("interrupted: %lld of %lld fits were completed", (long long)progress.done, (long long)progress.fits);
}

int main(int argc, char **argv) {
    cli_start(&program, argc, argv);
    check_options();
    cli_check_files();
    const bool classes = head() == LOGISTIC || head() == MULTINOMIAL || head() == SQUARED_HINGE;
    const glm_request request = {.path = data,
                                 .target = target,
                                 .loss = loss,
                                 .sparse = is_sparse(),
                                 .classes = classes,
                                 .standardize = standardize,
                                 .center = !no_intercept,
                                 .type = f32 ? SW_F32 : SW_F64,
                                 .folds = folds};
    glm_data d = {0};
    glm_path p = {.best = -1, .simplest = -1, .loss = loss};
    cli_catch_signals();
    sw_glm *model = glm_data_read(&d, &request) ? make_model(&d, NULL) : NULL;
    if (model) {
        choose_method(&d);
        p.method = method, p.standardized = standardize;
        p.outputs = sw_glm_objective(model)->outputs;
        fit_all(model, &d, &p);
    }
    cli_release_signals();
    if (progress.bar.live)
        fputs("\r\033[K", stderr);
    if (!sw_error())
        report(&d, &p);
    sw_glm_free(model), sw_free(p.fit), sw_free(p.x);
    glm_data_free(&d);
    return cli_end(cli_exit_code());
}
