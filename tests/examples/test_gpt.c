/* examples/gpt.c: a text is learned and continued, a resumed run is the uninterrupted one, a saved network continues as
 * before, and mistakes are explained. */
#include "run.h"

#include <math.h>
#include <swale/swale.h>

#define GPT_PROGRAM TEST_BUILD "/examples/gpt"
#define GPT(...) RUN(GPT_PROGRAM, __VA_ARGS__)
#define TEXT ".github/CONTRIBUTING.md"
/* A small network for a small text. */
#define SMALL_TEXT "--layers", "1", "--width", "16", "--block", "12", "--text", TEXT, "--quiet"
#define SMALL SMALL_TEXT, "--heads", "2"

static void expect(const output *o, int code, const char *err) {
    if (o->code != code || !strstr(o->err, err))
        fail_msg("exit %d instead of %d, expected \"%s\"; stdout:\n%sstderr:\n%s", o->code, code, err, o->out, o->err);
}

/* A text of 70 characters or so has a loss of about 4.2 if all are equally likely, and one of about 3.1 by their
 * frequencies alone. */
static void test_losses_fall(void **state) {
    (void)state;
    for (int kind = 0; kind < 3; kind++) {
        const bool pairs = kind == 1;
        const char *const tokenizer = pairs ? "bpe" : "characters", *const model = kind == 2 ? "lstm" : "gpt";
        output before = GPT(SMALL_TEXT, "--model", model, "--tokenizer", tokenizer, "--steps", "0", "--sample", "0"),
               after = GPT(SMALL_TEXT, "--model", model, "--tokenizer", tokenizer, "--steps", "300", "--sample", "0",
                           "--rule", "adamw lr=1e-2");
        expect(&before, 0, "");
        expect(&after, 0, "");
        const double tokens = result(&after, "tokens");
        assert_true(pairs ? tokens > 256 : tokens > 40 && tokens < 128);
        assert_true(result(&before, "val_loss") > 0.9 * log(tokens) && result(&before, "val_loss") < 1.1 * log(tokens));
        assert_true(result(&after, "val_loss") < 0.8 * result(&before, "val_loss"));
        assert_true(result(&after, "train_loss") < 0.8 * result(&before, "train_loss"));
        assert_true(result(&after, "val_accuracy") > result(&before, "val_accuracy"));
        assert_true(result(&after, "steps") == 300 && result(&after, "step_ms") > 0);
    }
}

/* The results of two runs are equal except for times: all lines but that of step_ms. */
static void expect_same_results(const output *a, const output *b) {
    const char *x = a->out, *y = b->out;
    while (*x && *y) {
        const size_t m = strcspn(x, "\n"), n = strcspn(y, "\n");
        const bool timed = strncmp(x, "step_ms ", 8) == 0 && strncmp(y, "step_ms ", 8) == 0;
        if (!timed && (m != n || memcmp(x, y, m) != 0))
            fail_msg("\"%.*s\" and \"%.*s\"", (int)m, x, (int)n, y);
        x += m + (x[m] != 0);
        y += n + (y[n] != 0);
    }
    assert_true(!*x && !*y);
}

static void test_results_do_not_depend_on_threads_or_recomputation(void **state) {
    (void)state;
    output one = GPT(SMALL, "--steps", "10", "--sample", "50", "--threads", "1"),
           two = GPT(SMALL, "--steps", "10", "--sample", "50", "--threads", "2"),
           less = GPT(SMALL, "--steps", "10", "--sample", "50", "--recompute");
    expect(&one, 0, "");
    expect(&two, 0, "");
    expect(&less, 0, "");
    expect_same_results(&one, &two);
    expect_same_results(&one, &less);
}

/* Runs without --text need the package fortunes, which may be missing; then the message says so. */
static void expect_default_text(const output *o, const char *err) {
    expect(o, 1, strstr(o->err, "the texts are missing") ? "install the Debian package fortunes" : err);
}

/* The signal comes when the line of the first validation was printed. */
static void test_resumed_runs_are_uninterrupted_ones(void **state) {
    (void)state;
    const char *file = lasting_path("run.safetensors");
    output whole = GPT(SMALL, "--steps", "300", "--every", "6", "--dropout", "0.1", "--average", "ema decay=0.9");
    const char *const word[] = {GPT_PROGRAM,
                                "--layers",
                                "1",
                                "--heads",
                                "2",
                                "--width",
                                "16",
                                "--block",
                                "12",
                                "--text",
                                TEXT,
                                "--steps",
                                "300",
                                "--every",
                                "6",
                                "--dropout",
                                "0.1",
                                "--average",
                                "ema decay=0.9",
                                "--checkpoint",
                                file,
                                NULL};
    output part = run_with(SIGTERM, "step 6/300", word);
    assert_int_equal(part.code, 128 + SIGTERM);
    assert_non_null(strstr(part.err, " of 300 steps; run the same command again to resume from "));
    output rest = GPT(SMALL, "--steps", "300", "--every", "6", "--dropout", "0.1", "--average", "ema decay=0.9",
                      "--checkpoint", file);
    expect(&whole, 0, "");
    expect(&rest, 0, "");
    expect_same_results(&whole, &rest);
    output other = GPT(SMALL, "--tokenizer", "bpe", "--steps", "300", "--checkpoint", file);
    expect(&other, 1, "its tokens are not those of this run (another --tokenizer or --tokens?)\n");
    other = GPT(SMALL, "--text", "LICENSE", "--steps", "300", "--checkpoint", file);
    expect(&other, 1, ": its run has another text (");
    expect(&other, 1, ") than LICENSE (");
    expect(&other, 1, "); give the text of the run by --text\n");
    other = GPT("--layers", "1", "--heads", "2", "--width", "16", "--block", "12", "--checkpoint", file);
    expect_default_text(&other, ": its run has another text (");
    other = GPT("--load", file);
    expect(&other, 1, ": is a checkpoint; resume its run with --checkpoint ");
    remove(file);
}

static void test_saved_networks_continue_texts(void **state) {
    (void)state;
    const char *file = lasting_path("net.safetensors");
    for (int kind = 0; kind < 3; kind++) {
        output trained =
            GPT(SMALL_TEXT, "--model", kind == 2 ? "lstm" : "gpt", "--tokenizer", kind == 1 ? "bpe" : "characters",
                "--steps", "20", "--sample", "40", "--prompt", "The ", "--out", file);
        output loaded = GPT("--load", file, "--sample", "40", "--prompt", "The ", "--quiet");
        expect(&trained, 0, "");
        expect(&loaded, 0, "");
        const char *text = strstr(trained.out, "\nThe ");
        assert_non_null(text);
        assert_string_equal(text + 1, loaded.out);
        /* Learned positions give the length of the samples. */
        output again = kind < 2 ? GPT("--load", file, "--text", TEXT, "--sample", "0", "--quiet")
                                : GPT("--load", file, "--text", TEXT, "--block", "12", "--sample", "0", "--quiet");
        expect(&again, 0, "");
        assert_true(result(&again, "val_loss") == result(&trained, "val_loss"));
        /* Without --text the network would learn the default text, which nobody asked for. */
        output mixed = GPT("--load", file, "--block", "12", "--steps", "1", "--sample", "0", "--quiet");
        expect_default_text(&mixed, "the network of --load was trained on another text than the default (");
        if (kind < 2) {
            output longer = GPT("--load", file, "--text", TEXT, "--block", "128", "--steps", "1", "--quiet");
            expect(&longer, 2, "gpt: --block 128: the network of ");
            expect(&longer, 2,
                   " has 12 positions, and no sample can be longer; remove --block, or train a new network "
                   "with it\n");
            assert_string_equal(longer.out, "");
        }
        output greedy = GPT("--load", file, "--sample", "40", "--temperature", "0", "--quiet", "--seed", "1"),
               other = GPT("--load", file, "--sample", "40", "--temperature", "0", "--quiet", "--seed", "2"),
               one = GPT("--load", file, "--sample", "40", "--top-k", "1", "--quiet", "--seed", "3");
        expect(&greedy, 0, "");
        assert_string_equal(greedy.out, other.out); /* no random numbers */
        assert_string_equal(greedy.out, one.out);
        remove(file);
    }
}

static void test_types_train(void **state) {
    (void)state;
    static const char *const types[] = {"f64", "bf16", "f16"};
    output f32 = GPT(SMALL, "--steps", "20", "--sample", "0");
    for (int i = 0; i < 3; i++) {
        output o = GPT(SMALL, "--steps", "20", "--sample", "5", "--dtype", types[i]);
        expect(&o, 0, "");
        /* 20 steps lower the loss by about 1; rounding to 8 bits changes it by far less than a tenth of that */
        assert_true(fabs(result(&o, "val_loss") - result(&f32, "val_loss")) < 0.1);
    }
}

/* Files that gpt --out has not written: weights of transformers, and a network without tokens. */
static void test_other_files_are_explained(void **state) {
    (void)state;
    const char *file = lasting_path("other.safetensors");
    for (int kind = 0; kind < 3; kind++) {
        sw_model *model = sw_model_new(SW_F32, 1);
        const sw_gpt_options sizes =
            SW_OPTIONS(sw_gpt_options, .vocabulary = 5, .length = 4, .layers = 1, .heads = 1, .width = 4);
        sw_module *gpt = sw_nn_gpt(model, &sizes);
        sw_params *params = sw_model_build(model, gpt);
        float weight[20] = {0};
        sw_archive *a = sw_archive_new();
        if (kind == 0) /* as GPT2LMHeadModel */
            assert_int_equal(sw_params_pack(params, a, NULL), SW_OK);
        else if (kind == 1) /* as GPT2Model, and the published files */
            assert_int_equal(sw_archive_put(a, "wte.weight", sw_array_view(weight, SW_F32, SW_SHAPE(5, 4))), SW_OK);
        else
            assert_int_equal(sw_model_pack(model, a, NULL), SW_OK);
        assert_int_equal(sw_archive_save(a, file), SW_OK);
        sw_archive_free(a);
        sw_model_free(model);
        output o = GPT("--load", file, "--prompt", "a");
        expect(&o, 1,
               kind < 2 ? ": has weights of GPT-2 without its tokens, as the Python package transformers saves them; "
                          "--load reads files that gpt --out has written (README.md, \"Text\", shows how a program "
                          "loads these weights)\n"
                        : ": was not written by gpt --out; --load needs such a file\n");
        remove(file);
    }
}

static void test_mistakes_are_explained(void **state) {
    (void)state;
    output o = GPT("--text", "/nowhere");
    expect(&o, 1, "gpt: /nowhere: ");
    o = GPT("--batch-size", "4");
    expect(&o, 2, "gpt: there is no option --batch-size, did you mean --batch?\n");
    o = GPT("--temp", "1");
    expect(&o, 2, "gpt: there is no option --temp, did you mean --temperature?\n");
    o = GPT("--tokenizer", "words");
    expect(&o, 2, "gpt: --tokenizer words: characters or bpe is needed\n");
    o = GPT("--tokens", "300");
    expect(&o, 2, "gpt: --tokens needs --tokenizer bpe; characters are those of the text\n");
    o = GPT("--width", "10", "--heads", "4");
    expect(&o, 2, "gpt: --width 10 --heads 4: the width must be a multiple of the heads\n");
    o = GPT("--model", "rnn");
    expect(&o, 2, "gpt: --model rnn: gpt or lstm is needed\n");
    o = GPT("--model", "lstm", "--heads", "2");
    expect(&o, 2, "gpt: --heads is for --model gpt\n");
    o = GPT("--load", "/nowhere", "--layers", "2");
    expect(&o, 2, "gpt: --load gives network and tokenizer: remove --model, --layers, ");
    o = GPT("--load", "/nowhere", "--dtype", "bf16");
    expect(&o, 2, "gpt: --dtype bf16 is for a new network; the type of this one is in the file of --load\n");
    o = GPT("--load", "/nowhere");
    expect(&o, 1, "gpt: /nowhere: ");
    o = GPT("--text", TEXT, "--block", "100000");
    expect(&o, 1,
           " tokens; with --block 100000 at least 1000010 are needed, because the last tenth is for validation (a "
           "longer text, or a smaller --block?)\n");
    o = GPT("--text", TEXT, "--prompt", "\xc2\xb6"); /* before the training */
    expect(&o, 1, "gpt: --prompt: tokenizer_encode: the character U+00B6 at offset 0 is none of the ");
    assert_string_equal(o.out, "");
    o = GPT("--load", "/nowhere", "--out", in_folder("net"));
    expect(&o, 2, " is for a trained network; give --steps or --text with --load, or remove it\n");
    o = GPT("--text", TEXT, "--rule", "adamm");
    expect(&o, 2, "did you mean adam");
    o = GPT("--text", TEST_BUILD "/examples/gpt", "--steps", "1");
    expect(&o, 1, "gpt: " TEST_BUILD "/examples/gpt: tokenizer_new_characters: the byte 0x");
    expect(&o, 1, "is not UTF-8 (byte pairs accept any bytes)\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_losses_fall),
        cmocka_unit_test(test_results_do_not_depend_on_threads_or_recomputation),
        cmocka_unit_test(test_resumed_runs_are_uninterrupted_ones),
        cmocka_unit_test(test_saved_networks_continue_texts),
        cmocka_unit_test(test_types_train),
        cmocka_unit_test(test_other_files_are_explained),
        cmocka_unit_test(test_mistakes_are_explained),
    };
    return cmocka_run_group_tests(tests, run_setup, run_teardown);
}
