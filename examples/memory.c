/* What is the memory of a training step for? Trains a residual network of 48 blocks in f32, f16 and bf16, with
 * recomputation and without, and accounts for every byte; predicts the memory of GPT-2 with 1.5 billion parameters from
 * its shapes alone, and what fused attention saves; and shows how fragmentation makes allocators refuse a request while
 * almost half of the memory is free.
 *
 * Measured and predicted numbers come from the same memory report: a prediction is a dry run, in which the same code
 * runs with addresses in place of memory (dry_run.h). For the network of 48 blocks the two are equal. */
#include "fragmentation.h"
#include "memory_report.h"
#include "memory_run.h"

static run_sizes sizes = {.blocks = 48, .width = 128, .hidden = 256, .batch = 256, .segment = 7};
static int64_t steps = 60, rounds = 5, layers = 48;
enum { GPT_LAYERS = 96 }; /* at most */

static const cli_option options[] = {
    {"--blocks", "N", CLI_COUNT, &sizes.blocks, 1, RUN_BLOCKS, "residual blocks (48)"},
    {"--width", "N", CLI_COUNT, &sizes.width, 1, 1e5, "features between the blocks (128)"},
    {"--hidden", "N", CLI_COUNT, &sizes.hidden, 1, 1e5, "features inside a block (256)"},
    {"--batch", "N", CLI_COUNT, &sizes.batch, 1, 1e6, "samples of a step (256)"},
    {"--segment", "N", CLI_COUNT, &sizes.segment, 1, RUN_BLOCKS, "layers of a recomputed segment (7)"},
    {"--steps", "N", CLI_COUNT, &steps, 2, CURVE_MOST, "steps of each training (60)"},
    {"--rounds", "N", CLI_COUNT, &rounds, 1, 1000, "steps of which the time is the median (5)"},
    {"--layers", "N", CLI_COUNT, &layers, 1, GPT_LAYERS, "blocks of the predicted transformer (48)"},
    STORED_FROM,
    CLI_COMMON("of the points and of the initial weights (1)", "FILE.png", CLI_PICTURE,
               "the picture, and FILE.csv with its numbers (memory.png)")};
static const cli_program program = {.name = "memory",
                                    .example = "memory --width 256 --batch 128 --out memory.png",
                                    .options = options,
                                    .out = "memory.png",
                                    .numbers = true};

/* Those without recomputation first. */
enum { SETTINGS = 6, PLAIN = 3 };
static const run_setting settings[SETTINGS] = {
    {"f32", SW_F32, false, PLOT_BLACK},           {"f16", SW_F16, false, PLOT_ORANGE},
    {"bf16", SW_BF16, false, PLOT_BLUE},          {"f32_recompute", SW_F32, true, PLOT_BLACK},
    {"f16_recompute", SW_F16, true, PLOT_ORANGE}, {"bf16_recompute", SW_BF16, true, PLOT_BLUE}};

/* ---- The network of 48 blocks ---- */

/* Trains with each setting, one after the other, so that nothing else has memory. Prints the measured bytes, whether
 * the dry run has predicted them, and the flops that it counted. */
static void measure_runs(report_bar bar[SETTINGS], curve loss[SETTINGS]) {
    for (int i = 0; i < SETTINGS && !sw_error(); i++) {
        const run_setting *s = &settings[i];
        cli_note("%s\n", s->name);
        bar[i].ledger = run_measure(&sizes, s, steps, &loss[i]);
        const run_ledger predicted = run_predict(&sizes, s);
        if (sw_error())
            return;
        report_print_ledger(s->name, &bar[i].ledger);
        printf("%s.predicted_peak %zu\n%s.gradient_blocks %d\n%s.flops %.6g\n%s.loss %.4f\n", s->name, predicted.peak,
               s->name, bar[i].ledger.gradient_blocks, s->name, predicted.flops, s->name, curve_end(&loss[i], 0.1));
        bar[i].ledger.flops = predicted.flops;
    }
}

static void print_savings(const report_bar bar[SETTINGS]) {
    printf("parameters %lld\n", (long long)bar[0].ledger.dim);
    for (int i = 0; i < PLAIN; i++) {
        const run_ledger *all = &bar[i].ledger, *again = &bar[i + PLAIN].ledger;
        printf("%s.activations_saved %.3f\n%s.arena_saved %.3f\n%s.more_flops %.3f\n", settings[i].name,
               1 - again->part[RUN_ACTIVATIONS] / all->part[RUN_ACTIVATIONS], settings[i].name,
               1 - (double)again->high_water / (double)all->high_water, settings[i].name,
               again->flops / all->flops - 1);
    }
}

static int compare_seconds(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The steps of all settings take turns, so that other programs disturb all of them equally. */
static void print_seconds(void) {
    static double seconds[SETTINGS][1000];
    run r[SETTINGS];
    for (int i = 0; i < SETTINGS; i++) {
        run_new(&r[i], &sizes, &settings[i]);
        run_step(&r[i], &sizes); /* without the time of the first, which allocates */
    }
    for (int64_t k = 0; k < rounds && !sw_error(); k++)
        for (int i = 0; i < SETTINGS; i++) {
            const double start = cli_now();
            run_step(&r[i], &sizes);
            seconds[i][k] = cli_now() - start;
        }
    for (int i = 0; i < SETTINGS; i++) {
        run_free(&r[i]);
        qsort(seconds[i], (size_t)rounds, sizeof *seconds[i], compare_seconds);
        if (!sw_error())
            printf("%s.seconds %.4f\n", settings[i].name, seconds[i][rounds / 2]);
    }
}

/* ---- GPT-2 ---- */

/* The largest model of the paper: 1,557,611,200 parameters. */
enum { GPT_WIDTH = 1600, GPT_HEADS = 25, GPT_VOCABULARY = 50257, GPT_LENGTH = 1024, GPT_BATCH = 32 };

static sw_module *gpt_new(sw_model *model, bool recompute) {
    return sw_nn_gpt(model, &SW_OPTIONS(sw_gpt_options, .vocabulary = GPT_VOCABULARY, .length = GPT_LENGTH,
                                        .layers = (int)layers, .heads = GPT_HEADS, .width = GPT_WIDTH,
                                        .recompute = recompute));
}

static void gpt_step(sw_module *net, sw_tape *tape, sw_optim *optim) {
    static int32_t zeros[GPT_BATCH * GPT_LENGTH];
    const sw_tensor ids = sw_input(tape, sw_array_view(zeros, SW_I32, SW_SHAPE(GPT_BATCH, GPT_LENGTH)));
    sw_backward(sw_cross_entropy(sw_forward(net, ids), ids));
    sw_optim_step(optim);
    sw_tape_reset(tape);
}

static run_ledger predict_gpt(sw_dtype type, bool recompute) {
    run_ledger l = {0};
    if (sw_dry_run_begin() != SW_OK)
        return l;
    sw_model *model = sw_model_new(type, 1);
    sw_module *net = gpt_new(model, recompute);
    sw_params *params = sw_model_build(model, net);
    sw_optim *optim = sw_optim_new(params, "adam");
    sw_tape *tape = sw_tape_new();
    sw_tape_set_switch(tape, SW_MEASURE, true);
    for (int i = 0; i < 2 && !sw_error(); i++)
        gpt_step(net, tape, optim);
    l = run_report(params, tape, 2);
    sw_tape_free(tape), sw_optim_free(optim), sw_model_free(model);
    sw_dry_run_end();
    return l;
}

/* softmax(q kᵀ/√d + mask) v from single operations, which keep the scores. q, k, v: [batch, heads, length, d]. */
static sw_tensor attention_of_operations(sw_tensor q, sw_tensor k, sw_tensor v) {
    const sw_tensor mask = sw_empty(q.tape, sw_value(q).type, SW_SHAPE(GPT_LENGTH, GPT_LENGTH)),
                    product = sw_matmul_transposed(q, k, false, true),
                    scaled = sw_scale(product, 1 / sqrt((double)GPT_WIDTH / GPT_HEADS));
    sw_release(product);
    const sw_tensor masked = sw_add(scaled, mask);
    sw_release(scaled), sw_release(mask);
    const sw_tensor scores = sw_softmax(masked, -1);
    sw_release(masked);
    const sw_tensor y = sw_matmul(scores, v);
    sw_release(scores);
    return y;
}

/* Bytes that all blocks keep of what their attention computes from queries, keys and values. */
static double predict_attention(sw_dtype type, bool fused) {
    sw_tape_layer kept[1] = {0};
    if (sw_dry_run_begin() != SW_OK)
        return 0;
    sw_tape *tape = sw_tape_new();
    sw_tape_set_switch(tape, SW_MEASURE, true);
    sw_array rows = sw_array_new(type, SW_SHAPE(GPT_BATCH, GPT_LENGTH, GPT_WIDTH)),
             heads = sw_array_view(rows.data, type, SW_SHAPE(GPT_BATCH, GPT_HEADS, GPT_LENGTH, GPT_WIDTH / GPT_HEADS));
    sw_tensor in[3];
    for (int i = 0; i < 3; i++)
        in[i] = sw_variable(tape, fused ? rows : heads);
    const sw_attention_options how = SW_OPTIONS(sw_attention_options, .heads = GPT_HEADS, .causal = true);
    const sw_tensor y = fused ? sw_attention(in[0], in[1], in[2], &how) : attention_of_operations(in[0], in[1], in[2]);
    sw_backward(sw_mean(sw_mul(y, y))); /* as the layer after it, the loss keeps y */
    sw_tape_activations(tape, kept, 1);
    sw_tape_free(tape), sw_array_free(&rows);
    sw_dry_run_end();
    return (double)layers * (double)kept[0].bytes;
}

/* The formula of Rajbhandari, Rasley, Ruwase, He (ZeRO, SC 2020), for parameters and activations in 16 bits: adam needs
 * 16 bytes a parameter, and a layer keeps 12 values for each feature of each token. */
static run_ledger formula_of_gpt(int64_t parameters) {
    const double p = (double)parameters, kept = 12.0 * GPT_WIDTH * GPT_LENGTH * GPT_BATCH * (double)layers;
    run_ledger l = {.dim = parameters, .per_parameter = 16};
    l.part[RUN_PARAMETERS] = l.part[RUN_GRADIENTS] = 2 * p;
    l.part[RUN_MASTERS] = 4 * p;
    l.part[RUN_MOMENTS] = 8 * p;
    l.part[RUN_ACTIVATIONS] = 2 * kept;
    return l;
}

enum { FORMULA, F32, F16, F16_RECOMPUTED, F16_SCORES, LARGE };

static void predict_large(report_bar bar[LARGE]) {
    bar[F32].ledger = predict_gpt(SW_F32, false);
    bar[F16].ledger = predict_gpt(SW_F16, false);
    bar[F16_RECOMPUTED].ledger = predict_gpt(SW_F16, true);
    bar[FORMULA].ledger = formula_of_gpt(bar[F32].ledger.dim);
    const double fused = predict_attention(SW_F16, true), scores = predict_attention(SW_F16, false);
    bar[F16_SCORES].ledger = bar[F16].ledger;
    bar[F16_SCORES].ledger.part[RUN_ATTENTION] += scores - fused;
}

static void print_large(const report_bar bar[LARGE]) {
    printf("gpt2.parameters %lld\nformula.state %.4g\nformula.activations %.4g\n", (long long)bar[FORMULA].ledger.dim,
           16.0 * (double)bar[FORMULA].ledger.dim, bar[FORMULA].ledger.part[RUN_ACTIVATIONS]);
    /* A gradient in f32 in one block, as collective communication needs it. */
    printf("formula.fused_gradient %.4g\n", 4.0 * (double)bar[FORMULA].ledger.dim);
    for (int i = F32; i < F16_SCORES; i++) {
        report_print_ledger(bar[i].name, &bar[i].ledger);
        printf("%s.flops %.6g\n", bar[i].name, bar[i].ledger.flops);
    }
    printf("gpt2_f16_scores.attention %.0f\ngpt2_f16.attention_saved %.0f\n",
           bar[F16_SCORES].ledger.part[RUN_ATTENTION],
           bar[F16_SCORES].ledger.part[RUN_ATTENTION] - bar[F16].ledger.part[RUN_ATTENTION]);
}

/* ---- The program ---- */

static report_bar bars[SETTINGS + LARGE], *const small = bars, *const large = bars + SETTINGS;
static curve losses[SETTINGS];
static fragments heaps[ALLOCATORS];

static void clear_results(void) {
    static const report_bar named[LARGE] = {
        [FORMULA] = {.name = "formula", .line = {"formula", "16 bits"}},
        [F32] = {.name = "gpt2_f32", .line = {"f32", ""}},
        [F16] = {.name = "gpt2_f16", .line = {"f16", ""}},
        [F16_RECOMPUTED] = {.name = "gpt2_f16_recompute", .line = {"f16", "recomputed"}},
        [F16_SCORES] = {.name = "gpt2_f16_scores", .line = {"f16, attention", "not fused"}}};
    for (int i = 0; i < SETTINGS; i++) {
        const run_setting *s = &settings[i];
        small[i] = (report_bar){.name = s->name, .line = {sw_dtype_name(s->type), s->recompute ? "recomputed" : ""}};
        losses[i] = (curve){.name = s->name, .color = s->color, .width = i < PLAIN ? 4.4 - 1.5 * i : 1};
    }
    memcpy(large, named, sizeof named);
    fragments_name(heaps);
    report_name_results(SETTINGS + LARGE, bars, heaps);
}

static void list_results(stored *s) {
    report_list_results(s, SETTINGS + LARGE, PLAIN, losses);
}

/* Prints most of the results at once. */
static void measure_all(void) {
    fragments_measure(heaps);
    measure_runs(small, losses);
    if (!sw_error())
        print_savings(small);
    if (!sw_error())
        print_seconds();
    if (!sw_error())
        predict_large(large);
    report_put_results(SETTINGS + LARGE, bars, heaps);
}

static void load_all(void) {
    if (stored_load(list_results) != SW_OK)
        return;
    report_take_results(SETTINGS + LARGE, bars, heaps);
    for (int i = 0; i < SETTINGS; i++)
        report_print_ledger(small[i].name, &small[i].ledger);
    print_savings(small);
}

int main(int argc, char **argv) {
    cli_start(&program, argc, argv);
    cli_check_files();
    clear_results();
    if (cli.from)
        load_all();
    else
        measure_all();
    if (sw_error())
        return cli_end(1);
    print_large(large);
    report_print_fragments(heaps);
    cli_flush();
    report_draw(cli.out, SETTINGS, small, LARGE, large, PLAIN, losses, heaps);
    stored_save(list_results);
    if (!sw_error())
        printf("picture %s\n", cli.out);
    return cli_end(0);
}
