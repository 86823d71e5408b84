/* Trains GPT-2's network or an LSTM on a text, by characters or byte pairs, with any estimator, rule, schedule and
 * average; saves it, resumes from a checkpoint, and continues a text. */
#include "corpus.h"
#include "training.h"

typedef struct settings {
    const char *text, *tokenizer, *model, *load, *prompt;
    int64_t tokens, layers, heads, width, block, steps, every, sample, top_k;
    double dropout, temperature, top_p;
    bool recompute;
} settings;

static settings asked = {.steps = -1, .every = 250, .sample = 500, .temperature = 0.8, .top_p = 1};

/* Whether an option has this value; false without a value. */
static bool asked_is(const char *option, const char *value) {
    return option && strcmp(option, value) == 0;
}

/* nanoGPT's: matrices decay, biases and normalizations do not. */
#define RULE "rank=2: adamw lr=1e-3 beta2=0.99 weight_decay=0.1; adamw lr=1e-3 beta2=0.99 weight_decay=0"
#define SCHEDULE "cosine warmup=5% final=0.1"

static const cli_option options[] = {
    {"--text", "FILE", CLI_INPUT, &asked.text, 0, 0,
     "a text, plain or gzip; its last tenth is for validation (the fortunes of the Debian package)"},
    {"--tokenizer", "characters|bpe", CLI_TEXT, &asked.tokenizer, 0, 0,
     "tokens are characters, or byte pairs that the program learns from the text (characters)"},
    {"--tokens", "N", CLI_COUNT, &asked.tokens, 256, 1 << 20, "bpe: number of tokens (512)"},
    {"--model", "gpt|lstm", CLI_TEXT, &asked.model, 0, 0, "a transformer as GPT-2, or an LSTM (gpt)"},
    {"--layers", "N", CLI_COUNT, &asked.layers, 1, 256, "blocks of gpt (4), or layers of lstm (2)"},
    {"--heads", "N", CLI_COUNT, &asked.heads, 1, 1000, "gpt: heads of each attention (4)"},
    {"--width", "N", CLI_COUNT, &asked.width, 1, 65536, "features of a token, and units of a layer (128)"},
    {"--block", "N", CLI_COUNT, &asked.block, 1, 1 << 20, "tokens of a sample (64; with --load those of the network)"},
    {"--dropout", "P", CLI_REAL, &asked.dropout, 0, 0.999, "probability of dropout (0)"},
    {"--steps", "N", CLI_COUNT, &asked.steps, 0, 1e9, "training steps (2000; with --load 0)"},
    {"--every", "N", CLI_COUNT, &asked.every, 1, 1e9, "steps between two validations on a part of the text (250)"},
    TRAINING_METHODS("12", 1e6, "nanoGPT's adamw lr=1e-3 beta2=0.99 weight_decay=0.1", SCHEDULE, "1; 0: no limit"),
    TRAINING_TYPES,
    {"--recompute", NULL, CLI_FLAG, &asked.recompute, 0, 0,
     "gpt: keep only the inputs of the blocks for the backward pass, and compute the rest again"},
    {"--load", "FILE", CLI_INPUT, &asked.load, 0, 0, "start with network and tokenizer of this file"},
    TRAINING_CHECKPOINT,
    {"--sample", "N", CLI_COUNT, &asked.sample, 0, 1e6, "tokens of the text that is generated at the end (500)"},
    {"--prompt", "TEXT", CLI_TEXT, &asked.prompt, 0, 0, "beginning of this text (a line break)"},
    {"--temperature", "X", CLI_REAL, &asked.temperature, 0, 1e6,
     "divides the logits; 0: always the most likely token (0.8)"},
    {"--top-k", "N", CLI_COUNT, &asked.top_k, 0, 1 << 20, "draw from the N most likely tokens (0: all)"},
    {"--top-p", "P", CLI_REAL, &asked.top_p, 1e-9, 1,
     "draw from the most likely tokens with this probability together (1: all)"},
    TRAINING_CHECKS,
    TRAINING_LIST,
    CLI_COMMON("of initial values, order, dropout and text (1)", "FILE", CLI_OUTPUT,
               "write network and tokenizer to this file at the end (safetensors)")};

static void print_notes(void) {
    printf(
        "\nThe results are lines \"name value\" on stdout; the generated text follows. A loss is the mean of -log p of "
        "the next token. The program computes val_loss from all windows of the last tenth, and the losses of --every "
        "from at most 256 of them.\n");
}

static const cli_program program = {
    .name = "gpt",
    .example = "gpt --text novel.txt --steps 2000 --out novel.safetensors\n"
               "         gpt --load novel.safetensors --prompt \"It was\" --sample 1000 --temperature 0.7",
    .options = options,
    .notes = print_notes};

typedef struct run {
    corpus corpus;
    sw_array prompt; /* ids */
    sw_model *model;
    const sw_objective *objective;
    sw_optim *optim;
    cli_progress progress;
    sw_train_result trained;
    bool usage;      /* the command line is wrong */
    int64_t resumed; /* the steps of earlier runs */
    struct {
        bool checkpoint, weights;
    } lost; /* true: the file could not be written, and this was reported */
} run;

/* ---- The text and the network ---- */

static bool text_read(run *r) {
    return corpus_read(&r->corpus, &(corpus_options){.text = asked.text,
                                                     .byte_pairs = asked_is(asked.tokenizer, "bpe"),
                                                     .tokens = asked.tokens,
                                                     .block = asked.block});
}

static sw_module *network_gpt(sw_model *model, int64_t tokens) {
    return sw_nn_gpt(model, &SW_OPTIONS(sw_gpt_options, .vocabulary = tokens, .length = asked.block,
                                        .layers = (int)asked.layers, .heads = (int)asked.heads, .width = asked.width,
                                        .dropout = asked.dropout, .recompute = asked.recompute));
}

static sw_module *network_lstm(sw_model *model, int64_t tokens) {
    const double dropout = asked.layers > 1 ? asked.dropout : 0; /* between two layers */
    const sw_recurrent_layer_options how =
        SW_OPTIONS(sw_recurrent_layer_options, .layers = (int)asked.layers, .dropout = dropout);
    return sw_nn_sequential(model, sw_nn_embedding(model, tokens, asked.width),
                            sw_nn_lstm_with_options(model, asked.width, asked.width, &how),
                            sw_nn_linear(model, asked.width, tokens), NULL);
}

static bool model_make(run *r) {
    const int64_t tokens = sw_tokenizer_count(r->corpus.tokenizer);
    const bool lstm = asked_is(asked.model, "lstm");
    asked.layers = asked.layers ? asked.layers : lstm ? 2 : 4;
    asked.heads = asked.heads ? asked.heads : 4;
    asked.width = asked.width ? asked.width : 128;
    r->model = sw_model_new(training_type("--dtype", training.dtype, 4, "f32, f16, bf16 or f64"), (uint64_t)cli.seed);
    return sw_model_build(r->model, (lstm ? network_lstm : network_gpt)(r->model, tokens)) != NULL;
}

/* Whether gpt --out has written the file; reports which other kind of file it is. */
static bool model_file_is_known(const sw_archive *file) {
    if (sw_archive_text(file, "network") && sw_archive_text(file, "tokenizer"))
        return true;
    const bool transformers = sw_archive_has(file, "wte.weight") ||
                              (sw_archive_has(file, "transformer.wte.weight") && !sw_archive_text(file, "network"));
    if (transformers)
        sw_fail(SW_ERR_FORMAT,
                "%s: has weights of GPT-2 without its tokens, as the Python package transformers saves them; --load "
                "reads files that gpt --out has written (README.md, \"Text\", shows how a program loads these weights)",
                asked.load);
    else if (sw_archive_text(file, "optim.format"))
        sw_fail(SW_ERR_FORMAT, "%s: is a checkpoint; resume its run with --checkpoint %s and the options of that run",
                asked.load, asked.load);
    else
        sw_fail(SW_ERR_FORMAT, "%s: was not written by gpt --out; --load needs such a file", asked.load);
    return false;
}

/* The samples are at most as long as the learned positions of the network, if it has any. */
static bool model_set_block(run *r) {
    const sw_param *positions = sw_params_find(sw_model_params(r->model), "transformer.wpe.weight");
    if (positions && asked.block == 0)
        asked.block = positions->shape[0];
    r->usage = positions && asked.block > positions->shape[0];
    if (r->usage)
        sw_fail(SW_ERR_ARGUMENT,
                "--block %lld: the network of %s has %lld positions, and no sample can be longer; remove --block, or "
                "train a new network with it",
                (long long)asked.block, asked.load, (long long)positions->shape[0]);
    return !r->usage;
}

static bool model_load(run *r) {
    sw_archive *file = sw_archive_load(asked.load);
    const bool known = file && model_file_is_known(file);
    r->model = known ? sw_model_new_from_archive(file) : NULL;
    r->corpus.tokenizer = r->model ? sw_tokenizer_new_from_archive(file) : NULL;
    if (known)
        corpus_set_learned(&r->corpus, sw_archive_text(file, CORPUS_KEY));
    sw_archive_free(file);
    return r->corpus.tokenizer && model_set_block(r);
}

static sw_status model_save(const run *r) {
    sw_archive *file = sw_archive_new();
    sw_status status = file ? sw_model_pack(r->model, file, NULL) : SW_ERR_MEMORY;
    if (status == SW_OK)
        status = sw_tokenizer_pack(r->corpus.tokenizer, file);
    if (status == SW_OK)
        status = sw_archive_set_text(file, CORPUS_KEY, r->corpus.identity);
    if (status == SW_OK)
        status = sw_archive_save(file, cli.out);
    sw_archive_free(file);
    return status;
}

/* ---- The checkpoint ---- */

static sw_status checkpoint_write(run *r) {
    sw_archive *a = sw_archive_new();
    sw_status status = a ? sw_optim_pack(r->optim, a) : SW_ERR_MEMORY;
    if (status == SW_OK)
        status = sw_tokenizer_pack(r->corpus.tokenizer, a);
    if (status == SW_OK)
        status = sw_archive_set_text(a, CORPUS_KEY, r->corpus.identity);
    if (status == SW_OK)
        status = sw_archive_save(a, training.checkpoint);
    sw_archive_free(a);
    return cli_tolerate(status, &r->lost.checkpoint);
}

/* A run resumes with its text, and with its tokens, since ids mean tokens. */
static sw_status checkpoint_check_text(const run *r, const sw_archive *a) {
    const char *saved = sw_archive_text(a, "tokenizer"), *learned = sw_archive_text(a, CORPUS_KEY);
    if (saved && (!learned || strcmp(learned, r->corpus.identity) != 0))
        return sw_fail(SW_ERR_FORMAT,
                       "%s: its run has another text (%s) than %s (%s); give the text of the run by --text",
                       training.checkpoint, learned ? learned : "unknown",
                       corpus_name(&(corpus_options){.text = asked.text}), r->corpus.identity);
    char *text = saved ? sw_tokenizer_description(r->corpus.tokenizer) : NULL;
    const bool same = text && strcmp(text, saved) == 0;
    sw_free(text);
    if (same || sw_error())
        return sw_error_status();
    return saved ? sw_fail(SW_ERR_FORMAT, "%s: its tokens are not those of this run (another --tokenizer or --tokens?)",
                           training.checkpoint)
                 : sw_fail(SW_ERR_FORMAT, "%s: is not a checkpoint of gpt; give --checkpoint another name",
                           training.checkpoint);
}

static sw_status checkpoint_read(run *r) {
    sw_archive *a = sw_archive_load(training.checkpoint);
    sw_status status = a ? checkpoint_check_text(r, a) : sw_error_status();
    if (status == SW_OK)
        status = sw_optim_unpack(r->optim, a);
    sw_archive_free(a);
    return status;
}

/* A run whose checkpoint exists resumes from it. */
static bool checkpoint_resume(run *r) {
    if (!training.checkpoint || access(training.checkpoint, F_OK) != 0)
        return true;
    /* The length of the run is that of the command line, with which a schedule ends. */
    if (sw_optim_bind(r->optim, r->objective) != SW_OK ||
        (asked.steps > 0 && sw_optim_set_total_steps(r->optim, asked.steps) != SW_OK) || checkpoint_read(r) != SW_OK)
        return false;
    cli_note("resuming from %s after %lld steps\n", training.checkpoint, (long long)training_steps(r->optim));
    return true;
}

/* ---- Training ---- */

static sw_status run_show(void *user, sw_train_state *state) {
    run *r = user;
    cli_progress_draw(&r->progress, "steps", state->step, state->total_steps, state->step - r->resumed,
                      state->total_steps - r->resumed, state->mean_loss);
    return SW_OK;
}

static sw_status run_validate(void *user, sw_train_state *state) {
    run *r = user;
    sw_evaluation checked;
    SW_TRY(sw_model_evaluate(r->model, state->point, r->corpus.checked, sw_cross_entropy, &checked));
    if (training.checkpoint)
        SW_TRY(checkpoint_write(r));
    char line[160];
    snprintf(line, sizeof line, "step %lld/%lld: %.3f s, train loss %.4f, validation loss %.4f", (long long)state->step,
             (long long)state->total_steps, state->period_seconds, state->mean_loss, checked.loss);
    cli_progress_line(&r->progress, line); /* printed after the files were written */
    return SW_OK;
}

static bool run_train(run *r) {
    r->progress = cli_progress_start();
    const sw_train_options how = SW_OPTIONS(sw_train_options, .steps = asked.steps, .user = r, .evaluate = run_validate,
                                            .evaluate_every = asked.every, .progress = run_show, .stop = &cli_signal);
    r->resumed = training_steps(r->optim);
    if (!training_run(r->objective, r->optim, &how, asked.steps, r->resumed, "--steps", &r->trained))
        return false;
    if (training.checkpoint && (cli_signal || r->lost.checkpoint) && checkpoint_write(r) != SW_OK)
        return false;
    if (cli_signal) {
        char progress[64];
        snprintf(progress, sizeof progress, "%lld of %lld steps", (long long)training_steps(r->optim),
                 (long long)asked.steps);
        training_say_how_to_resume(&r->progress, progress);
    }
    return sw_optim_adopt_point(r->optim) == SW_OK; /* the model gets the parameters that were evaluated */
}

/* Prints the results, and then writes the files of the end. */
static bool run_finish(run *r) {
    sw_evaluation on_train, on_rest;
    if (sw_model_evaluate(r->model, NULL, r->corpus.trained, sw_cross_entropy, &on_train) != SW_OK ||
        sw_model_evaluate(r->model, NULL, r->corpus.validation, sw_cross_entropy, &on_rest) != SW_OK)
        return false;
    const int64_t steps = r->trained.steps + r->trained.skipped;
    const result results[] = {{"parameters", (double)sw_params_dim(sw_model_params(r->model)), 0},
                              {"tokens", (double)sw_tokenizer_count(r->corpus.tokenizer), 0},
                              {"steps", (double)training_steps(r->optim), 0},
                              {"step_ms", steps > 0 ? 1000 * r->trained.seconds / (double)steps : 0, 3},
                              {"train_loss", on_train.loss, 6},
                              {"val_loss", on_rest.loss, 6},
                              {"val_accuracy", on_rest.accuracy, 4},
                              {0}};
    training_print_results(results, sw_model_params(r->model), r->optim);
    cli_flush();
    return !cli.out || cli_tolerate(model_save(r), &r->lost.weights) == SW_OK;
}

static bool run_learn(run *r) {
    if (!r->model && !model_make(r))
        return false;
    r->objective = sw_model_objective(r->model, r->corpus.train, sw_cross_entropy);
    r->optim = training_optimizer(sw_model_params(r->model), 12, &r->usage);
    if (!r->objective || !r->optim)
        return false;
    if (!checkpoint_resume(r))
        return false;
    const int64_t tokens = r->corpus.train->n + asked.block;
    if (!cli.quiet) {
        fprintf(stderr, "seed %lld, %d threads, %s kernels, BLAS %s, text %s of %zu bytes, %lld tokens for training\n",
                (long long)cli.seed, sw_threads(), sw_cpu_name(), sw_blas_core(),
                corpus_name(&(corpus_options){.text = asked.text}), r->corpus.bytes, (long long)tokens);
        sw_model_print(r->model, stderr);
    }
    return run_train(r) && run_finish(r);
}

/* ---- The generated text ---- */

/* The ids of --prompt; without it the token of a line break, or the first one if there is none. */
static sw_array prompt_ids(const sw_tokenizer *t) {
    sw_array ids = {0};
    if (asked.prompt && *asked.prompt) {
        ids = sw_tokenizer_encode(t, asked.prompt, strlen(asked.prompt));
        if (!ids.data)
            corpus_name_error("--prompt");
        return ids;
    }
    ids = sw_array_new(SW_I32, SW_SHAPE(1));
    for (int32_t i = 0; ids.data && i < sw_tokenizer_count(t); i++)
        if (strcmp(sw_tokenizer_at(t, i, NULL), "\n") == 0)
            *(int32_t *)ids.data = i;
    return ids;
}

static bool text_print_token(void *tokenizer, int32_t id) {
    size_t bytes;
    const char *token = sw_tokenizer_at(tokenizer, id, &bytes);
    return token && fwrite(token, 1, bytes, stdout) == bytes && fflush(stdout) == 0;
}

/* Before the training, so that a mistake in --prompt is found early. */
static bool prompt_read(run *r) {
    if (asked.sample > 0)
        r->prompt = prompt_ids(r->corpus.tokenizer);
    return asked.sample == 0 || r->prompt.data;
}

static bool text_generate(run *r) {
    const sw_generate_options how =
        SW_OPTIONS(sw_generate_options, .temperature = asked.temperature, .top_k = asked.top_k, .top_p = asked.top_p,
                   .seed = (uint64_t)cli.seed, .token = text_print_token, .user = r->corpus.tokenizer);
    sw_array text = sw_array_new(SW_I32, SW_SHAPE(asked.sample));
    const sw_array prompt = r->prompt;
    bool good = text.data != NULL;
    if (good)
        printf("%s%s", r->optim ? "\n" : "", asked.prompt ? asked.prompt : "");
    good = good && sw_generate(r->model, prompt.shape[0], prompt.data, asked.sample, text.data, NULL, &how) == SW_OK;
    if (good)
        printf("\n");
    sw_array_free(&text);
    return good;
}

/* ---- The program ---- */

/* With --load alone, nothing is trained. */
static bool generates_only(void) {
    return asked.load && !asked.text && asked.steps <= 0 && !training.checkpoint;
}

/* Mistakes in combinations of options. */
static void check_options(void) {
    if (generates_only() && cli.out)
        cli_fail(2, "--out %s is for a trained network; give --steps or --text with --load, or remove it", cli.out);
    if (asked.load && (asked.model || asked.layers || asked.heads || asked.width || asked.dropout > 0 ||
                       asked.recompute || asked.tokenizer || asked.tokens))
        cli_fail(2, "--load gives network and tokenizer: remove --model, --layers, --heads, --width, --dropout, "
                    "--recompute, --tokenizer and --tokens");
    if (asked.load && training.checkpoint && access(training.checkpoint, F_OK) == 0)
        cli_fail(2, "--checkpoint %s exists, so the run resumes from it; remove --load", training.checkpoint);
    if (asked.load && strcmp(training.dtype, "f32") != 0)
        cli_fail(2, "--dtype %s is for a new network; the type of this one is in the file of --load", training.dtype);
    asked.tokenizer = asked.tokenizer ? asked.tokenizer : "characters";
    const bool pairs = asked_is(asked.tokenizer, "bpe"), lstm = asked_is(asked.model, "lstm");
    if (!pairs && !asked_is(asked.tokenizer, "characters"))
        cli_fail(2, "--tokenizer %s: characters or bpe is needed", asked.tokenizer);
    if (asked.tokens && !pairs)
        cli_fail(2, "--tokens needs --tokenizer bpe; characters are those of the text");
    asked.model = asked.model ? asked.model : "gpt";
    if (!lstm && !asked_is(asked.model, "gpt"))
        cli_fail(2, "--model %s: gpt or lstm is needed", asked.model);
    if (lstm && (asked.heads || asked.recompute))
        cli_fail(2, "%s is for --model gpt", asked.heads ? "--heads" : "--recompute");
    const int64_t width = asked.width ? asked.width : 128, heads = asked.heads ? asked.heads : 4;
    if (!lstm && width % heads != 0)
        cli_fail(2, "--width %lld --heads %lld: the width must be a multiple of the heads", (long long)width,
                 (long long)heads);
}

static void run_free(run *r) {
    sw_optim_free(r->optim);
    sw_model_free(r->model);
    sw_array_free(&r->prompt);
    corpus_free(&r->corpus);
}

int main(int argc, char **argv) {
    training.rule = RULE;
    training.schedule = SCHEDULE;
    training.clip = 1;
    cli_start(&program, argc, argv);
    if (training.list) {
        sw_optim_list(stdout);
        return cli_end(0);
    }
    run r = {0};
    check_options();
    cli_check_files();
    const bool only_generate = generates_only();
    if (asked.steps < 0)
        asked.steps = asked.load ? 0 : 2000;
    bool good = !asked.load || model_load(&r);
    asked.block = asked.block ? asked.block : 64;
    good = good && (only_generate || text_read(&r)) && prompt_read(&r) && (only_generate || run_learn(&r));
    if (good && asked.sample > 0 && !cli_signal)
        good = text_generate(&r);
    run_free(&r);
    return cli_end(!good ? r.usage ? 2 : 1 : cli_exit_code());
}
