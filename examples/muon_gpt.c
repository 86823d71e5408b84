/* Does Muon train a language model in fewer steps than AdamW, and in fewer seconds, and does the gain hold for wider
 * networks? GPT-2's network learns a text by characters until the validation loss is at most --target. Both methods
 * have the same initial values, batches, limit of the gradient, weight decay of matrices (0.1) and warm-up, after which
 * the learning rate is constant. With Muon, hidden matrices have orthogonalized momentum, and AdamW updates embeddings,
 * the last layer, biases and normalizations. The steps of Muon are scaled to the length of those of AdamW (Liu et al.,
 * arXiv 2502.16982), so that each method has one learning rate, which is tuned for each width in the same way. */
#include "corpus.h"
#include "stored.h"

enum { MOST_WIDTHS = 4, MOST_SEEDS = 8, ADAMW = 0, MUON, METHODS };

static const char *text;
static int64_t width = 32, doublings = 2, layers = 2, heads = 4, block = 32, batch = 12, warmup = 50, most = 1000,
               every = 10, windows = 64, trials = 8, seeds = 3;
static double target = 2.6, first_rate[METHODS] = {4e-3, 4e-3};
static bool faithful;

static const cli_option options[] = {
    {"--text", "FILE", CLI_INPUT, &text, 0, 0,
     "a text, plain or gzip; its last tenth is for validation (the fortunes of the Debian package)"},
    {"--width", "N", CLI_COUNT, &width, 1, 65536, "features of a token in the smallest network (32)"},
    {"--doublings", "N", CLI_COUNT, &doublings, 0, MOST_WIDTHS - 1, "further networks, each twice as wide (2)"},
    {"--layers", "N", CLI_COUNT, &layers, 1, 256, "blocks of a network (2)"},
    {"--heads", "N", CLI_COUNT, &heads, 1, 1000, "heads of each attention (4)"},
    {"--block", "N", CLI_COUNT, &block, 1, 1 << 20, "characters of a sample (32)"},
    {"--batch", "N", CLI_COUNT, &batch, 1, 1e6, "samples of a step (12)"},
    {"--target", "X", CLI_REAL, &target, 1e-9, 1e9, "validation loss that ends a run (2.6)"},
    {"--most", "N", CLI_COUNT, &most, 1, 1e6, "steps of a run that does not reach the target (1000)"},
    {"--every", "N", CLI_COUNT, &every, 1, 1e6, "steps between two validations (10)"},
    {"--windows", "N", CLI_COUNT, &windows, 1, CORPUS_CHECKED, "samples of a validation (64)"},
    {"--warmup", "N", CLI_COUNT, &warmup, 1, 1e6, "steps in which the learning rate rises linearly (50)"},
    {"--adamw-rate", "X", CLI_REAL, &first_rate[ADAMW], 1e-12, 1e6, "learning rate that AdamW tries first (0.004)"},
    {"--muon-rate", "X", CLI_REAL, &first_rate[MUON], 1e-12, 1e6, "learning rate that Muon tries first (0.004)"},
    {"--trials", "N", CLI_COUNT, &trials, 1, 100, "learning rates to try at most, for each width and method (8)"},
    {"--seeds", "N", CLI_COUNT, &seeds, 1, MOST_SEEDS, "runs with the best learning rate (3)"},
    {"--faithful", NULL, CLI_FLAG, &faithful, 0, 0,
     "4 layers, widths 128, 256 and 512, samples of 64 characters, target 2.3, at most 2000 steps"},
    STORED_FROM,
    CLI_COMMON("of the trials; the runs have the seeds that follow (1)", "FILE.png", CLI_PICTURE,
               "the picture, and FILE.csv with its numbers (muon_gpt.png)")};
static const cli_program program = {.name = "muon_gpt",
                                    .example = "muon_gpt --width 16 --doublings 1 --out muon_gpt.png",
                                    .options = options,
                                    .out = "muon_gpt.png",
                                    .numbers = true};

static const struct {
    const char *name, *title, *rule; /* the rule contains the learning rate twice */
    unsigned color;
} methods[METHODS] = {{"adamw", "AdamW",
                       "rank=2: adamw lr=%.17g beta2=0.99 weight_decay=0.1; "
                       "adamw lr=%.17g beta2=0.99 weight_decay=0",
                       PLOT_RED},
                      {"muon", "Muon + AdamW",
                       "rank=2: muon scale=moonshot lr=%.17g adamw_lr_ratio=1 adamw_beta2=0.99 adamw_eps=1e-8 "
                       "weight_decay=0.1; adamw lr=%.17g beta2=0.99 weight_decay=0",
                       PLOT_BLUE}};

/* The results for a width. */
typedef struct contest {
    double rate[METHODS];
    curve loss[METHODS][MOST_SEEDS];    /* validation loss by steps; the last one is at most the target, or not */
    curve seconds[METHODS][MOST_SEEDS]; /* of all steps so far, at the same steps; validations are left out */
} contest;

static contest contests[MOST_WIDTHS];

static int64_t width_at(int64_t i) {
    return width << i;
}

/* Trials have the seed before these. */
static int64_t seed_at(int64_t k) {
    return cli.seed + 1 + k;
}

/* ---- A run ---- */

typedef struct run {
    sw_model *model;
    const sw_source *checked;
    curve *loss, *seconds; /* NULL for a trial */
    double last;           /* the last validation loss; infinite if the run diverged */
    int64_t steps;
    bool reached; /* the target */
} run;

static sw_status run_evaluate(void *user, sw_train_state *state) {
    run *r = user;
    sw_evaluation now = {0};
    SW_TRY(sw_model_evaluate(r->model, state->point, r->checked, sw_cross_entropy, &now));
    state->metric = now.loss;
    if (r->loss) {
        curve_add(r->loss, (double)state->step, now.loss);
        curve_add(r->seconds, (double)state->step, state->seconds);
    }
    return SW_OK;
}

static sw_module *run_network(sw_model *model, int64_t characters, int64_t features) {
    return sw_nn_gpt(model, &SW_OPTIONS(sw_gpt_options, .vocabulary = characters, .length = block,
                                        .layers = (int)layers, .heads = (int)heads, .width = features));
}

/* Trains until the target or `limit` steps. False after an error or a signal; a run that diverges is no error. */
static bool run_train(run *r, const corpus *c, int64_t features, int method, double rate, uint64_t seed,
                      int64_t limit) {
    char rule[512], estimator[64], schedule[64];
    sw_train_result trained = {0};
    snprintf(rule, sizeof rule, methods[method].rule, rate, rate);
    snprintf(estimator, sizeof estimator, "minibatch batch=%lld", (long long)batch);
    snprintf(schedule, sizeof schedule, "constant warmup=%lld", (long long)warmup);
    r->model = sw_model_new(SW_F32, seed);
    r->checked = c->checked;
    sw_params *params = sw_model_build(r->model, run_network(r->model, sw_tokenizer_count(c->tokenizer), features));
    const sw_optim_options how = SW_OPTIONS(sw_optim_options, .estimator = estimator, .rule = rule,
                                            .schedule = schedule, .clip = 1, .seed = seed);
    sw_optim *optim = sw_error() ? NULL : sw_optim_new_with_options(params, &how);
    const sw_objective *f = sw_error() ? NULL : sw_model_objective(r->model, c->train, sw_cross_entropy);
    if (!sw_error())
        sw_train(f, optim,
                 &SW_OPTIONS(sw_train_options, .steps = limit, .user = r, .evaluate = run_evaluate,
                             .evaluate_every = every, .goal = SW_GOAL_BELOW, .target = target, .stop = &cli_signal),
                 &trained);
    const bool diverged = sw_error_status() == SW_ERR_NONFINITE;
    if (diverged)
        sw_clear_error();
    r->last = diverged || isnan(trained.metric) ? INFINITY : trained.metric;
    r->steps = trained.steps, r->reached = trained.reason == SW_TRAIN_TARGET;
    sw_optim_free(optim), sw_model_free(r->model);
    r->model = NULL;
    return !sw_error() && !cli_signal;
}

/* ---- The learning rate ---- */

/* The best learning rate so far. */
typedef struct tuning {
    const corpus *corpus;
    int64_t width, tried;
    int method;
    double rate;
    run best;
} tuning;

/* Tries a rate. Returns whether it is the best so far: it reaches the target in fewer steps, or, if no rate reaches the
 * target, ends with a smaller loss; of rates with which the run diverges, the smallest is the best. A trial takes at
 * most as many steps as the best one. */
static bool tuning_try(tuning *t, double rate) {
    run now = {0};
    const int64_t limit = t->best.reached ? t->best.steps : most;
    if (t->tried == trials || !run_train(&now, t->corpus, t->width, t->method, rate, (uint64_t)cli.seed, limit))
        return false;
    const bool better =
        t->tried++ == 0 || (isinf(t->best.last) && rate < t->rate) ||
        (now.reached == t->best.reached ? (now.reached ? now.steps < t->best.steps : now.last < t->best.last)
                                        : now.reached);
    cli_note("width %lld, %s, learning rate %g: loss %.4f after %lld steps\n", (long long)t->width,
             methods[t->method].title, rate, now.last, (long long)now.steps);
    if (better)
        t->rate = rate, t->best = now;
    return better;
}

/* Doubles the rate as long as that is better. If the first doubling is not better, halves the rate as long as that is
 * better. Both neighbors of the result are therefore worse, unless --trials ends the search. */
static double tuning_search(const corpus *c, int64_t features, int method, double first) {
    tuning t = {.corpus = c, .width = features, .method = method, .rate = first};
    tuning_try(&t, first);
    const bool rises = tuning_try(&t, 2 * first);
    while (tuning_try(&t, rises ? 2 * t.rate : t.rate / 2))
        ;
    return t.rate;
}

/* Tunes and runs both methods for each width. The search begins at the rate of the smaller network. */
static void contests_run(const corpus *c) {
    double rate[METHODS] = {first_rate[ADAMW], first_rate[MUON]};
    cli_catch_signals();
    for (int64_t i = 0; i <= doublings; i++)
        for (int m = 0; m < METHODS && !sw_error() && !cli_signal; m++) {
            contest *of = &contests[i];
            rate[m] = of->rate[m] = trials > 1 ? tuning_search(c, width_at(i), m, rate[m]) : rate[m];
            for (int64_t k = 0; k < seeds && !sw_error() && !cli_signal; k++) {
                run r = {.loss = &of->loss[m][k], .seconds = &of->seconds[m][k]};
                if (run_train(&r, c, width_at(i), m, rate[m], (uint64_t)seed_at(k), most))
                    cli_note("width %lld, %s, seed %lld: loss %.4f after %lld steps\n", (long long)width_at(i),
                             methods[m].title, (long long)seed_at(k), r.last, (long long)r.steps);
            }
        }
    cli_release_signals();
}

/* ---- Results ---- */

typedef struct spread {
    int count;
    double mean, least, most;
} spread;

static void spread_add(spread *s, double value) {
    s->least = s->count ? fmin(s->least, value) : value;
    s->most = s->count ? fmax(s->most, value) : value;
    s->mean += (value - s->mean) / ++s->count;
}

/* The number of steps or seconds of a run; NaN if it did not reach the target. */
static double contest_cost(const contest *of, bool in_seconds, int method, int64_t seed) {
    const curve *loss = &of->loss[method][seed], *seconds = &of->seconds[method][seed];
    if (loss->n == 0 || seconds->n == 0 || !(loss->y[loss->n - 1] <= target))
        return NAN;
    return in_seconds ? seconds->y[seconds->n - 1] : loss->x[loss->n - 1];
}

/* The costs of a method, over the seeds that reach the target. */
static spread contest_costs(const contest *of, bool in_seconds, int method) {
    spread s = {0};
    for (int64_t k = 0; k < seeds; k++)
        if (!isnan(contest_cost(of, in_seconds, method, k)))
            spread_add(&s, contest_cost(of, in_seconds, method, k));
    return s;
}

/* The cost of AdamW divided by that of Muon, over the seeds for which both reach the target. */
static spread contest_ratios(const contest *of, bool in_seconds) {
    spread s = {0};
    for (int64_t k = 0; k < seeds; k++) {
        const double ratio = contest_cost(of, in_seconds, ADAMW, k) / contest_cost(of, in_seconds, MUON, k);
        if (!isnan(ratio))
            spread_add(&s, ratio);
    }
    return s;
}

/* The mean time of a step, in milliseconds; 0 if all runs diverged before their first validation. */
static double contest_step_ms(const contest *of, int method) {
    double steps = 0, elapsed = 0;
    for (int64_t k = 0; k < seeds; k++) {
        const curve *c = &of->seconds[method][k];
        if (c->n > 0)
            steps += c->x[c->n - 1], elapsed += c->y[c->n - 1];
    }
    return steps > 0 ? 1000 * elapsed / steps : 0;
}

static const char *const cost_names[2] = {"steps", "seconds"};

static void contest_print(int64_t i) {
    const contest *of = &contests[i];
    const long long w = width_at(i);
    for (int m = 0; m < METHODS; m++) {
        printf("rate_%s_w%lld %g\n", methods[m].name, w, of->rate[m]);
        printf("reached_%s_w%lld %d\n", methods[m].name, w, contest_costs(of, false, m).count);
        if (contest_step_ms(of, m) > 0)
            printf("step_ms_%s_w%lld %.3f\n", methods[m].name, w, contest_step_ms(of, m));
    }
    for (int c = 0; c < 2; c++) {
        for (int m = 0; m < METHODS; m++) {
            const spread s = contest_costs(of, c == 1, m);
            if (s.count > 0)
                printf("%s_%s_w%lld %.*f\n", cost_names[c], methods[m].name, w, c == 1 ? 3 : 0, s.mean);
        }
        const spread ratio = contest_ratios(of, c == 1);
        if (ratio.count > 0)
            printf("%s_ratio_w%lld %.3f\n%s_ratio_least_w%lld %.3f\n%s_ratio_most_w%lld %.3f\n", cost_names[c], w,
                   ratio.mean, cost_names[c], w, ratio.least, cost_names[c], w, ratio.most);
    }
}

/* ---- The picture ---- */

enum { PANEL = 230, GAP = 80, HIGH = 190, TOP = 40, BELOW = 300, LEFT = 60 };

/* The largest value of the curves of both methods. */
static double contest_most(const contest *of, bool of_seconds, bool x) {
    double largest = 0;
    for (int m = 0; m < METHODS; m++)
        for (int64_t k = 0; k < seeds; k++) {
            const curve *c = of_seconds ? &of->seconds[m][k] : &of->loss[m][k];
            for (int j = 0; j < c->n; j++)
                largest = fmax(largest, x ? c->x[j] : c->y[j]);
        }
    return largest;
}

static void contest_draw_losses(plot *p, int64_t i, bool by_seconds, double highest) {
    const contest *of = &contests[i];
    const double end = by_seconds ? contest_most(of, true, false) : contest_most(of, false, true);
    char title[64];
    snprintf(title, sizeof title, "width %lld", (long long)width_at(i));
    plot_panel(p, LEFT + (double)i * (PANEL + GAP), by_seconds ? BELOW : TOP, PANEL, HIGH, 0, end > 0 ? end : 1,
               0.95 * target, fmax(highest, target));
    plot_axes(p, by_seconds ? "" : title, by_seconds ? "seconds of training" : "steps", i ? "" : "validation loss");
    plot_dashed(p, 2, (double[]){0, end}, (double[]){target, target}, 1, PLOT_GRAY, (double[]){4, 4});
    for (int m = 0; m < METHODS; m++)
        for (int64_t k = 0; k < seeds; k++) {
            const curve *c = &of->loss[m][k];
            plot_curve(p, c->n, by_seconds ? of->seconds[m][k].y : c->x, c->y, 1.4, methods[m].color);
        }
    plot_legend(p, METHODS,
                (legend_entry[]){{methods[ADAMW].title, methods[ADAMW].color, 2, LEGEND_LINE, {0}},
                                 {methods[MUON].title, methods[MUON].color, 2, LEGEND_LINE, {0}}});
}

/* The ratios by width: their mean as a line, and a point for each seed. */
static void contests_draw_ratios(plot *p) {
    static const unsigned color[2] = {PLOT_GREEN, PLOT_PURPLE};
    double x[MOST_WIDTHS], y[2][MOST_WIDTHS], largest = 1.2;
    for (int64_t i = 0; i <= doublings; i++)
        for (int c = 0; c < 2; c++) {
            const spread s = contest_ratios(&contests[i], c == 1);
            x[i] = (double)width_at(i), y[c][i] = s.count ? s.mean : NAN;
            largest = s.count ? fmax(largest, s.most) : largest;
        }
    plot_panel(p, LEFT + (double)(doublings + 1) * (PANEL + GAP), TOP, PANEL, BELOW + HIGH - TOP, 0, 1.1 * x[doublings],
               0, 1.1 * largest);
    plot_axes(p, "gain", "width", "cost of AdamW / cost of Muon, to the target");
    plot_dashed(p, 2, (double[]){0, 1.1 * x[doublings]}, (double[]){1, 1}, 1, PLOT_GRAY, (double[]){4, 4});
    for (int c = 0; c < 2; c++) {
        plot_curve(p, (int)doublings + 1, x, y[c], 2, color[c]);
        for (int64_t i = 0; i <= doublings; i++)
            for (int64_t k = 0; k < seeds; k++)
                plot_point(p, x[i],
                           contest_cost(&contests[i], c == 1, ADAMW, k) / contest_cost(&contests[i], c == 1, MUON, k),
                           2.5, color[c]);
    }
    plot_legend(p, 2,
                (legend_entry[]){{cost_names[0], color[0], 2.6, LEGEND_LINE, {0}},
                                 {cost_names[1], color[1], 2.6, LEGEND_LINE, {0}}});
}

static void contests_draw(void) {
    double highest = target;
    plot p = plot_new((int)(LEFT + (doublings + 2) * (PANEL + GAP) - GAP + 30), BELOW + HIGH + 60);
    for (int64_t i = 0; i <= doublings; i++)
        highest = fmax(highest, contest_most(&contests[i], false, false));
    for (int64_t i = 0; i <= doublings; i++) {
        contest_draw_losses(&p, i, false, highest);
        contest_draw_losses(&p, i, true, highest);
    }
    contests_draw_ratios(&p);
    plot_save(&p, cli.out);
}

/* ---- The program ---- */

static void list_results(stored *s) {
    static char name[MOST_WIDTHS][METHODS][24];
    for (int64_t i = 0; i <= doublings; i++)
        for (int m = 0; m < METHODS; m++) {
            contest *of = &contests[i];
            const long long w = width_at(i);
            snprintf(name[i][m], sizeof name[i][m], "rate_%s_w%lld", methods[m].name, w);
            stored_number(s, name[i][m], &of->rate[m]);
            for (int64_t k = 0; k < seeds; k++) {
                const long long seed = (long long)seed_at(k);
                snprintf(of->loss[m][k].key, sizeof of->loss[m][k].key, "loss_%s_w%lld seed %lld", methods[m].name, w,
                         seed);
                snprintf(of->seconds[m][k].key, sizeof of->seconds[m][k].key, "seconds_%s_w%lld seed %lld",
                         methods[m].name, w, seed);
                stored_curves(s, 1, 0, &of->loss[m][k]);
                stored_curves(s, 1, 0, &of->seconds[m][k]);
            }
        }
}

static void check_options(void) {
    if (width % heads != 0)
        cli_fail(2, "--width %lld --heads %lld: the width must be a multiple of the heads", (long long)width,
                 (long long)heads);
    if ((most + every - 1) / every > CURVE_MOST) /* one of them is after the last step */
        cli_fail(2, "--most %lld --every %lld: at most %d validations of a run are possible", (long long)most,
                 (long long)every, CURVE_MOST);
}

/* Trains, or reads the results of --from. */
static void contests_make(void) {
    corpus c = {0};
    memset(contests, 0, sizeof contests);
    if (cli.from)
        stored_load(list_results);
    else if (corpus_read(&c, &(corpus_options){.text = text, .block = block, .checked = windows}))
        contests_run(&c);
    corpus_free(&c);
}

int main(int argc, char **argv) {
    cli_start(&program, argc, argv);
    if (faithful)
        width = 128, doublings = 2, layers = 4, block = 64, target = 2.3, most = 2000;
    check_options();
    cli_check_files();
    contests_make();
    if (!sw_error() && !cli_signal) {
        for (int64_t i = 0; i <= doublings; i++)
            contest_print(i);
        cli_flush();
        contests_draw();
        stored_save(list_results);
        if (!sw_error())
            printf("picture %s\n", cli.out);
    }
    return cli_end(cli_exit_code());
}
