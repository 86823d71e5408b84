/* Results that programs store as CSV (examples/stored.h): they are read back exactly; damaged and foreign files;
 * failing allocations. The texts of a folder (examples/corpus.h). */
#define _XOPEN_SOURCE 700
#include "support.h"

#include "../../examples/corpus.h"
#include "../../examples/stored.h"

static int64_t steps;
static double rate;
static bool fast;
static const char *rule;
static const cli_option options[] = {{"--steps", "N", CLI_COUNT, &steps, 1, 100, ""},
                                     {"--rate", "X", CLI_REAL, &rate, 0, 1, ""},
                                     {"--fast", NULL, CLI_FLAG, &fast, 0, 0, ""},
                                     {"--rule", "SPEC", CLI_TEXT, &rule, 0, 0, ""},
                                     STORED_FROM,
                                     CLI_COMMON("", "FILE.png", CLI_PICTURE, "")};
static const cli_program program = {.name = "walk", .example = "", .options = options, .out = "", .numbers = true};

static curve curves[2], extra;
static surface plane;
static double threshold;

/* With --fast there is one curve more. */
static void list_results(stored *s) {
    stored_number(s, "threshold", &threshold);
    stored_curves(s, 1, 2, &curves[0]);
    stored_curves(s, 1, 0, &curves[1]);
    if (fast)
        stored_curves(s, 1, 1, &extra);
    stored_surfaces(s, 1, &plane);
}

static void clear_results(void) {
    cli.program = &program;
    cli.seed = 1, steps = 1, rate = 0, fast = false, rule = NULL, threshold = 0;
    curves[0] = (curve){.name = "loss", .key = "loss, training"};
    curves[1] = (curve){.name = "loss"};
    extra = (curve){.name = "extra"};
    plane = (surface){.name = "plane"};
}

/* Values that a shorter text would not give back. */
static void make_results(void) {
    clear_results();
    cli.seed = 7, steps = 12, rate = 0.1, rule = "sgd lr=0.1, \"tuned\"", threshold = 1.0 / 3;
    const double value[] = {0.1, -0.0, 0x1p-1074, INFINITY, NAN, -1.7976931348623157e308, 123456789.123456789};
    for (int i = 0; i < 7; i++)
        curve_add(&curves[0], i / 7.0, value[i]);
    surface_set_axes(&plane, 3, -1, 1.1, 2, 0.1, 0.2);
    for (int i = 0; i < 6; i++)
        plane.value[i] = exp(i);
}

static char folder[64] = "/tmp/swale-stored-XXXXXX", picture[80], file_path[80];

static int make_folder(void **state) {
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(picture, sizeof picture, "%s/a.png", folder);
    snprintf(file_path, sizeof file_path, "%s/a.csv", folder);
    return 0;
}

static int remove_folder(void **state) {
    (void)state;
    return rmdir(folder); /* fails if a test left a file in it */
}

static void read_text(char *text, size_t size) {
    FILE *f = fopen(file_path, "r");
    assert_non_null(f);
    text[fread(text, 1, size - 1, f)] = 0;
    fclose(f);
}

static void save(void) {
    cli.from = NULL, cli.out = picture;
    stored_save(list_results);
    expect_no_error();
}

static sw_status load(const char *path) {
    clear_results();
    cli.from = path;
    return stored_load(list_results);
}

static void results_are_read_back_exactly(void **state) {
    (void)state;
    static curve before;
    static char text[4096];
    make_results();
    save();
    before = curves[0];
    read_text(text, sizeof text);
    assert_string_equal(text + strlen(text) - strlen("rows,,,20\n"), "rows,,,20\n");
    assert_int_equal(load(file_path), SW_OK);
    assert_true(cli.seed == 7 && steps == 12 && rate == 0.1 && !fast && threshold == 1.0 / 3);
    assert_int_equal(curves[0].n, 7);
    assert_memory_equal(curves[0].x, before.x, 7 * sizeof(double));
    for (int i = 0; i < 7; i++)
        assert_true(i == 4 ? isnan(curves[0].y[i]) : memcmp(&curves[0].y[i], &before.y[i], sizeof(double)) == 0);
    assert_int_equal(curves[1].n, 0);
    assert_true(plane.columns == 3 && plane.rows == 2 && plane.x[2] == 1.1 && plane.y[1] == 0.2);
    for (int i = 0; i < 6; i++)
        assert_true(plane.value[i] == exp(i));
    /* Nothing is written beside a picture that was drawn from a file, and written again the file is the same. */
    unlink(file_path);
    stored_save(list_results);
    assert_int_not_equal(access(file_path, F_OK), 0);
    rule = "sgd lr=0.1, \"tuned\""; /* texts are not read */
    save();
    static char again[4096];
    read_text(again, sizeof again);
    assert_string_equal(again, text);
    unlink(file_path);
}

/* A file with `from` replaced by `to`; NULL: the whole text. */
static void write_changed(const char *text, const char *from, const char *to) {
    const char *at = from ? strstr(text, from) : text;
    assert_non_null(at);
    FILE *f = fopen(file_path, "w");
    assert_non_null(f);
    fprintf(f, "%.*s%s%s", (int)(at - text), text, to, from ? at + strlen(from) : "");
    assert_int_equal(fclose(f), 0);
}

static void other_files_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *from, *to, *message;
    } change[] = {
        {NULL, "a,b\n1,2\n", "not the results of a program; a file that walk wrote beside its picture is needed"},
        {NULL, "", "the file has no rows"},
        {NULL, "name,x,y,value\nloss,1,,2\n", "with the columns name,x,y,value and the first row program,,,walk"},
        {",,,walk", ",,,memory", "the results are those of memory, and cannot be drawn by walk"},
        {"rows,,,20\n", "", "the end is missing: the last row must give the number of rows"},
        {"rows,,,20", "rows,,,many", "row 21, column value: 'many' is not a number"},
        {"--steps,,,12", "--stops,,,12", "row 2, '--stops': the program has no such option"},
        {"--steps,,,12", "--threads,,,1", "row 2, '--threads': the program has no such option"},
        {"--steps,,,12", "--steps,,,101", "row 2, '--steps': 101: a number from 1 to 100 is needed"},
        {"--rate,,,0.1", "--rate,,,x", "row 3, '--rate': x: a number from 0 to 1 is needed"},
        {"--steps,,,12", "--fast,,,1", "'extra' is missing or incomplete"},
        {"\"threshold\"", "\"limit\"", "row 6, 'limit': walk has no result of this name"},
        {"\"threshold\",,", "\"threshold\",1,", "row 6, 'threshold': a value alone was expected"},
        {"\"loss, training\",0,", "\"loss, training\",x,", "row 7, column x: 'x' is not a number"},
        {"\"loss, training\",0,", "\"loss, training\",0,1", "row 7, 'loss, training': x and a value was expected"},
        {"\"loss\",,,\n", "\"loss, training\",1,,2\n", "'loss' is missing or incomplete"},
        {"\"plane\",-1,0.1", "\"plane\",-1,nan", "the points are not those of a grid, row by row"},
        {"\"plane\",0.", "\"plane\",0.2", "the points are not those of a grid, row by row"},
        {"\"plane\",-1,0.2", "\"plane\",-1,0.1", "the points are not those of a grid, row by row"},
        {"\"plane\",1.1,0.2", "\"plane\",,0.2", "'plane': x, y and a value was expected"},
        {"\"plane\",1.1,0.2", "\"plane\",1.1,0.3", "the points are not those of a grid, row by row"}};
    static char text[4096];
    make_results();
    save();
    read_text(text, sizeof text);
    for (size_t i = 0; i < sizeof change / sizeof *change; i++) {
        write_changed(text, change[i].from, change[i].to);
        const sw_status status = load(file_path);
        if (status != SW_ERR_FORMAT || !strstr(sw_error(), change[i].message) || !strstr(sw_error(), "a.csv: "))
            fail_msg("%zu: status %d, %s, expected: %s", i, status, sw_error() ? sw_error() : "", change[i].message);
        sw_clear_error();
    }
    assert_int_not_equal(load("/nowhere.csv"), SW_OK);
    sw_clear_error();
    unlink(file_path);
}

/* A file that is cut anywhere is refused, except before its last line feed. A changed byte is refused, or gives another
 * value. */
static void damaged_files_are_safe(void **state) {
    (void)state;
    static char text[4096], changed[4096];
    int refused = 0;
    make_results();
    save();
    read_text(text, sizeof text);
    const size_t length = strlen(text);
    for (size_t n = 0; n + 1 < length; n++) {
        memcpy(changed, text, n);
        changed[n] = 0;
        write_changed(text, NULL, changed);
        assert_int_not_equal(load(file_path), SW_OK);
        sw_clear_error();
    }
    for (size_t i = 0; i < length; i++) {
        memcpy(changed, text, length + 1);
        changed[i] = ",\n\"x9-"[i % 6];
        write_changed(text, NULL, changed);
        refused += load(file_path) != SW_OK;
        sw_clear_error();
    }
    assert_true(refused > (int)length / 2);
    unlink(file_path);
}

static void too_many_results_are_an_error(void **state) {
    (void)state;
    stored s = {0};
    for (int i = 0; i <= STORED_NUMBERS; i++)
        stored_number(&s, "threshold", &threshold);
    assert_int_equal(s.numbers, STORED_NUMBERS);
    expect_error(SW_ERR_ARGUMENT, "65 results are stored, at most 64 are possible");
    make_results();
    save();
    static char text[4096];
    static char many[80000];
    size_t at = 0;
    read_text(text, sizeof text);
    for (int i = 0; i < CURVE_MOST; i++)
        at += (size_t)snprintf(many + at, sizeof many - at, "\"loss, training\",%d,,1\n", i);
    at += (size_t)snprintf(many + at, sizeof many - at, "rows,,,%d\n", 20 + CURVE_MOST);
    write_changed(text, "rows,,,20\n", many);
    assert_int_equal(load(file_path), SW_ERR_FORMAT);
    assert_non_null(strstr(sw_error(), "'loss, training': a curve has at most 2048 points"));
    sw_clear_error();
    unlink(file_path);
}

static void failed_allocations_are_errors(void **state) {
    (void)state;
    test_allocator a;
    make_results();
    save();
    test_allocator_install(&a);
    for (long long k = 1, done = 0; !done; k++) {
        test_allocator_fail(&a, k, k % 2 == 0);
        const sw_status status = load(file_path);
        done = atomic_load(&a.failed) == 0;
        assert_int_equal(status, done ? SW_OK : SW_ERR_MEMORY);
        assert_int_equal(atomic_load(&a.live), 0);
        sw_clear_error();
        assert_true(k < 50);
    }
    sw_set_allocator(NULL);
    unlink(file_path);
}

/* ---- corpus.h ---- */

/* The texts of a folder are read in the order of their names; indexes and folders in it, such as that of the package
 * fortunes-off, are left out. A folder without texts is an error. */
static void texts_of_a_folder_are_read(void **state) {
    (void)state;
    static const char *const name[] = {"b", "a", "a.dat"};
    char path[80], inner[80];
    corpus c = {0};
    snprintf(inner, sizeof inner, "%s/off", folder);
    assert_int_equal(mkdir(inner, 0700), 0);
    assert_int_equal(corpus_read_folder(&c, folder), SW_ERR_IO);
    assert_non_null(strstr(sw_error(), ": the texts are missing: install the Debian package fortunes"));
    sw_clear_error();
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, name[i]);
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        fprintf(f, "text %s\n", name[i]);
        assert_int_equal(fclose(f), 0);
    }
    assert_int_equal(corpus_read_folder(&c, folder), SW_OK);
    assert_int_equal(c.bytes, 14);
    assert_memory_equal(c.text, "text a\ntext b\n", 14);
    corpus_free(&c);
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, name[i]);
        unlink(path);
    }
    assert_int_equal(rmdir(inner), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(results_are_read_back_exactly), cmocka_unit_test(other_files_are_refused),
        cmocka_unit_test(damaged_files_are_safe),        cmocka_unit_test(too_many_results_are_an_error),
        cmocka_unit_test(failed_allocations_are_errors), cmocka_unit_test(texts_of_a_folder_are_read),
    };
    return cmocka_run_group_tests_name("stored", tests, make_folder, remove_folder);
}
