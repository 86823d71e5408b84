/* The text of gpt: --text or the fortunes of Debian, its tokenizer, and the windows for training and validation.
 *
 * Included once, by gpt.c, whose settings `asked` it reads and completes. */
#include <dirent.h>

#define FORTUNES "/usr/share/games/fortunes"
enum { TOKENS = 512, CHECKED = 256 /* windows for losses during the run, and for that of the training text */ };

typedef struct corpus {
    char *text;
    size_t bytes;
    sw_tokenizer *tokenizer;
    sw_array ids; /* i32 [n] */
    sw_source *train, *validation;
    sw_source *trained, *checked; /* parts of these two */
} corpus;

static void corpus_free(corpus *c) {
    sw_source_free(c->checked);
    sw_source_free(c->trained);
    sw_source_free(c->validation);
    sw_source_free(c->train);
    sw_array_free(&c->ids);
    sw_tokenizer_free(c->tokenizer);
    sw_free(c->text);
}

static const char *corpus_name(void) {
    return asked.text ? asked.text : FORTUNES;
}

/* Puts the name of the source of an error, a file or an option, before its message. */
static void corpus_name_error(const char *name) {
    char message[512];
    const sw_status status = sw_error_status();
    snprintf(message, sizeof message, "%s", sw_error());
    sw_clear_error();
    sw_fail(status, "%s: %s", name, message);
}

/* ---- The text ---- */

static int corpus_is_text(const struct dirent *entry) {
    return !strchr(entry->d_name, '.'); /* FILE.dat is an index, FILE.u8 a link */
}

/* Appends a file. */
static sw_status corpus_append(corpus *c, const char *path) {
    size_t bytes;
    char *text = sw_text_load(path, &bytes);
    if (!text)
        return sw_error_status();
    const sw_status status = sw_resize_array(&c->text, (int64_t)c->bytes, (int64_t)(c->bytes + bytes + 1), 1);
    if (status == SW_OK) {
        memcpy(c->text + c->bytes, text, bytes);
        c->bytes += bytes;
    }
    sw_free(text);
    return status;
}

/* All files of the package fortunes, in the order of their names. */
static sw_status corpus_read_fortunes(corpus *c) {
    struct dirent **entry = NULL;
    const int count = scandir(FORTUNES, &entry, corpus_is_text, alphasort);
    sw_status status = count > 0 ? SW_OK
                                 : sw_fail(SW_ERR_IO, FORTUNES ": the texts are missing: install the Debian package "
                                                               "fortunes (`make deps`), or give --text FILE");
    for (int i = 0; i < count; i++) {
        char path[512];
        snprintf(path, sizeof path, FORTUNES "/%s", entry[i]->d_name);
        if (status == SW_OK)
            status = corpus_append(c, path);
        free(entry[i]);
    }
    free(entry);
    return status;
}

/* ---- The tokenizer and the sources ---- */

static sw_tokenizer *corpus_tokenizer(const corpus *c) {
    if (asked_is(asked.tokenizer, "bpe"))
        return sw_tokenizer_new_byte_pairs(c->text, c->bytes, asked.tokens ? asked.tokens : TOKENS);
    return sw_tokenizer_new_characters(c->text, c->bytes);
}

/* Converts the text to ids. */
static bool corpus_encode(corpus *c) {
    if (!c->tokenizer)
        c->tokenizer = corpus_tokenizer(c);
    if (c->tokenizer)
        c->ids = sw_tokenizer_encode(c->tokenizer, c->text, c->bytes);
    if (!c->ids.data)
        corpus_name_error(corpus_name());
    return c->ids.data != NULL;
}

/* The last tenth must have a window and the token that follows it. */
static bool corpus_is_long_enough(const corpus *c) {
    const int64_t n = c->ids.shape[0], least = 10 * (asked.block + 1);
    if (n < least)
        sw_fail(SW_ERR_ARGUMENT,
                "%s: %lld tokens; with --block %lld at least %lld are needed, because the last tenth is for "
                "validation (a longer text, or a smaller --block?)",
                corpus_name(), (long long)n, (long long)asked.block, (long long)least);
    return n >= least;
}

/* At most CHECKED windows, evenly spread over the text. */
static sw_source *corpus_part(sw_source *source) {
    int64_t id[CHECKED];
    if (!source)
        return NULL;
    const int64_t n = source->n < CHECKED ? source->n : CHECKED;
    for (int64_t i = 0; i < n; i++)
        id[i] = i * source->n / n;
    return sw_subset(source, id, n, NULL);
}

/* The first nine tenths of the ids are for training, in windows that begin at every id. The rest is for validation, in
 * windows that do not overlap. */
static bool corpus_make_sources(corpus *c) {
    const int64_t n = c->ids.shape[0], first = n - n / 10, classes = sw_tokenizer_count(c->tokenizer);
    const sw_array train = sw_array_view(c->ids.data, SW_I32, SW_SHAPE(first)),
                   rest = sw_array_view((int32_t *)c->ids.data + first, SW_I32, SW_SHAPE(n - first));
    c->train = sw_windows(&train, asked.block, &SW_OPTIONS(sw_windows_options, .classes = classes));
    if (c->train)
        c->validation =
            sw_windows(&rest, asked.block, &SW_OPTIONS(sw_windows_options, .stride = asked.block, .classes = classes));
    c->checked = corpus_part(c->validation);
    c->trained = c->checked ? corpus_part(c->train) : NULL;
    return c->trained != NULL;
}

/* Reads the text and makes what depends on it. A tokenizer that the corpus has already, from --load, is used. */
static bool corpus_read(corpus *c) {
    const sw_status status = asked.text ? corpus_append(c, asked.text) : corpus_read_fortunes(c);
    if (status != SW_OK)
        return false;
    return corpus_encode(c) && corpus_is_long_enough(c) && corpus_make_sources(c);
}
