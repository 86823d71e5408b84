/* The text of the programs that learn a language: a file or the fortunes of Debian, its tokenizer, and the windows for
 * training and validation. Not part of the library.
 *
 *     corpus c = {0};
 *     if (corpus_read(&c, &(corpus_options){.block = 64})) ...    windows of 64 characters: c.train, c.validation
 *     corpus_free(&c); */
#ifndef SWALE_EXAMPLES_CORPUS_H
#define SWALE_EXAMPLES_CORPUS_H

#include "cli.h"

#include <dirent.h>
#include <swale/swale.h>

#define CORPUS_FORTUNES "/usr/share/games/fortunes"
#define CORPUS_KEY "text"

typedef struct corpus_options {
    const char *text; /* a file, plain or gzip; NULL: the fortunes of Debian */
    bool byte_pairs;  /* tokens are byte pairs, else characters */
    int64_t tokens;   /* byte pairs: the number of tokens; 0: 512 */
    int64_t block;    /* tokens of a sample */
    int64_t checked;  /* windows of `checked` and `trained`; 0, or more than CORPUS_CHECKED: as many */
} corpus_options;

/* The default number of tokens of byte pairs, and the most windows of `checked` and `trained`. */
enum { CORPUS_TOKENS = 512, CORPUS_CHECKED = 256 };

typedef struct corpus {
    char *text;
    size_t bytes;
    sw_tokenizer *tokenizer;
    sw_array ids;                  /* i32 [n] */
    sw_source *train, *validation; /* windows of the first nine tenths, of the last tenth */
    sw_source *trained, *checked;  /* parts of these two */
    char identity[64];             /* differs for other texts; programs store it in files under CORPUS_KEY */
    char learned[64];              /* the identity of the text that a loaded network has learned; "": none is loaded */
} corpus;

static inline void corpus_free(corpus *c) {
    sw_source_free(c->checked);
    sw_source_free(c->trained);
    sw_source_free(c->validation);
    sw_source_free(c->train);
    sw_array_free(&c->ids);
    sw_tokenizer_free(c->tokenizer);
    sw_free(c->text);
}

static inline const char *corpus_name(const corpus_options *o) {
    return o->text ? o->text : CORPUS_FORTUNES;
}

/* Puts the name of the text before the message of the pending error. */
static inline void corpus_name_error(const char *name) {
    char message[512];
    const sw_status status = sw_error_status();
    snprintf(message, sizeof message, "%s", sw_error());
    sw_clear_error();
    sw_fail(status, "%s: %s", name, message);
}

/* ---- The text ---- */

static inline int corpus_is_text(const struct dirent *entry) {
    return !strchr(entry->d_name, '.'); /* FILE.dat is an index, FILE.u8 a link */
}

/* Appends a file. */
static inline sw_status corpus_append(corpus *c, const char *path) {
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

/* All texts of a folder, in the order of their names; not those of folders in it, such as that of the package
 * fortunes-off. */
static inline sw_status corpus_read_folder(corpus *c, const char *folder) {
    struct dirent **entry = NULL;
    const int count = scandir(folder, &entry, corpus_is_text, alphasort);
    sw_status status = SW_OK;
    for (int i = 0; i < count; i++) {
        char path[512];
        struct stat there;
        snprintf(path, sizeof path, "%s/%s", folder, entry[i]->d_name);
        if (status == SW_OK && !(stat(path, &there) == 0 && S_ISDIR(there.st_mode)))
            status = corpus_append(c, path);
        free(entry[i]);
    }
    free(entry);
    if (status == SW_OK && c->bytes == 0)
        status = sw_fail(SW_ERR_IO,
                         "%s: the texts are missing: install the Debian package fortunes (`make deps`), or give "
                         "--text FILE",
                         folder);
    return status;
}

/* The texts of the package fortunes. */
static inline sw_status corpus_read_fortunes(corpus *c) {
    return corpus_read_folder(c, CORPUS_FORTUNES);
}

/* ---- The tokenizer and the sources ---- */

static inline sw_tokenizer *corpus_tokenizer(const corpus *c, const corpus_options *o) {
    if (o->byte_pairs)
        return sw_tokenizer_new_byte_pairs(c->text, c->bytes, o->tokens ? o->tokens : CORPUS_TOKENS);
    return sw_tokenizer_new_characters(c->text, c->bytes);
}

/* Converts the text to ids. */
static inline bool corpus_encode(corpus *c, const corpus_options *o) {
    if (!c->tokenizer)
        c->tokenizer = corpus_tokenizer(c, o);
    if (c->tokenizer)
        c->ids = sw_tokenizer_encode(c->tokenizer, c->text, c->bytes);
    if (!c->ids.data)
        corpus_name_error(corpus_name(o));
    return c->ids.data != NULL;
}

/* The last tenth must have a window and the token that follows it. */
static inline bool corpus_is_long_enough(const corpus *c, const corpus_options *o) {
    const int64_t n = c->ids.shape[0], least = 10 * (o->block + 1);
    if (n < least)
        sw_fail(SW_ERR_ARGUMENT,
                "%s: %lld tokens; with --block %lld at least %lld are needed, because the last tenth is for "
                "validation (a longer text, or a smaller --block?)",
                corpus_name(o), (long long)n, (long long)o->block, (long long)least);
    return n >= least;
}

/* At most `most` windows, evenly spread over the text; 0: CORPUS_CHECKED. */
static inline sw_source *corpus_part(sw_source *source, int64_t most) {
    int64_t id[CORPUS_CHECKED];
    if (!source)
        return NULL;
    const int64_t limit = most > 0 && most < CORPUS_CHECKED ? most : CORPUS_CHECKED;
    const int64_t n = source->n < limit ? source->n : limit;
    for (int64_t i = 0; i < n; i++)
        id[i] = i * source->n / n;
    return sw_subset(source, id, n, NULL);
}

/* The first nine tenths of the ids are for training, in windows that begin at every id. The rest is for validation, in
 * windows that do not overlap. */
static inline bool corpus_make_sources(corpus *c, const corpus_options *o) {
    const int64_t n = c->ids.shape[0], first = n - n / 10, classes = sw_tokenizer_count(c->tokenizer);
    const sw_array train = sw_array_view(c->ids.data, SW_I32, SW_SHAPE(first)),
                   rest = sw_array_view((int32_t *)c->ids.data + first, SW_I32, SW_SHAPE(n - first));
    c->train = sw_windows(&train, o->block, &SW_OPTIONS(sw_windows_options, .classes = classes));
    if (c->train)
        c->validation =
            sw_windows(&rest, o->block, &SW_OPTIONS(sw_windows_options, .stride = o->block, .classes = classes));
    c->checked = corpus_part(c->validation, o->checked);
    c->trained = c->checked ? corpus_part(c->train, o->checked) : NULL;
    return c->trained != NULL;
}

/* Describes the text by its length and its FNV-1a hash. */
static inline void corpus_identify(corpus *c) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < c->bytes; i++)
        hash = (hash ^ (unsigned char)c->text[i]) * 0x100000001b3u;
    snprintf(c->identity, sizeof c->identity, "%zu bytes, FNV-1a %016llx", c->bytes, (unsigned long long)hash);
}

/* Stores the identity of the text that a loaded network has learned; NULL: its file has none. */
static inline void corpus_set_learned(corpus *c, const char *identity) {
    snprintf(c->learned, sizeof c->learned, "%s", identity ? identity : "an unknown text");
}

/* Refuses to train a loaded network on the default text, unless it has learned that text before: without --text, the
 * user did not ask for a mixture of texts. */
static inline bool corpus_is_meant(const corpus *c, const corpus_options *o) {
    const bool meant = o->text || !*c->learned || strcmp(c->learned, c->identity) == 0;
    if (!meant)
        sw_fail(SW_ERR_ARGUMENT, "the network of --load was trained on another text than the default (" CORPUS_FORTUNES
                                 "); give the text by --text FILE");
    return meant;
}

/* Reads the text, and makes the tokenizer, the ids and the sources. A tokenizer that the corpus has already, from
 * --load, is kept. */
static inline bool corpus_read(corpus *c, const corpus_options *o) {
    const sw_status status = o->text ? corpus_append(c, o->text) : corpus_read_fortunes(c);
    if (status != SW_OK)
        return false;
    corpus_identify(c);
    return corpus_is_meant(c, o) && corpus_encode(c, o) && corpus_is_long_enough(c, o) && corpus_make_sources(c, o);
}

#endif
