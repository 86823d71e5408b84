/* CSV files as sources, and the exact message of every mistake. */
#include "helpers.h"

#include "comma_locale.h"
#include "measured_memory.h"

static const char *write_text(const char *text) {
    return write_file("data.csv", text, strlen(text));
}

static sw_source *open_text(const char *text, const sw_csv_options *options) {
    const char *path = write_text(text);
    sw_source *s = sw_csv(path, options);
    if (!s)
        fail_msg("%s", sw_error());
    assert_null(sw_error());
    remove_file(path);
    return s;
}

/* All of x, [n, features], and of y. */
static void check_x(const sw_source *s, int64_t n, int64_t features, const double *x) {
    double row[64];
    assert_int_equal(s->n, n);
    assert_int_equal(s->x_rank, 1);
    assert_int_equal(s->x_shape[0], features);
    for (int64_t i = 0; i < n; i++) {
        assert_int_equal(sw_source_gather(s, SW_F64, 0, &i, 1, row, NULL), SW_OK);
        assert_memory_equal(row, x + i * features, (size_t)features * sizeof *row);
    }
}

static void check_message(const char *text, const sw_csv_options *options, sw_status status, const char *reason) {
    char expected[PATH_SIZE + NAME_SIZE + 300];
    const char *path = write_text(text);
    count_memory(-1);
    assert_null(sw_csv(path, options));
    check_memory();
    snprintf(expected, sizeof expected, "%s: %s", path, reason);
    assert_string_equal(sw_error(), expected);
    assert_int_equal(sw_error_status(), status);
    sw_clear_error();
    remove_file(path);
}

static void refuses(const char *text, const char *reason) {
    check_message(text, NULL, SW_ERR_FORMAT, reason);
}

/* ---- What it reads ---- */

static void test_plain_rows_are_read(void **state) {
    (void)state;
    sw_source *s = open_text("1,2.5,-3\n4e2, 0.125 ,+6\n", NULL);
    check_x(s, 2, 3, (double[]){1, 2.5, -3, 400, 0.125, 6});
    assert_int_equal(s->y_rank, -1);
    assert_int_equal(s->classes, 0);
    float x[3];
    int64_t id = 1;
    assert_int_equal(sw_source_gather(s, SW_F32, 0, &id, 1, x, NULL), SW_OK);
    assert_true(x[0] == 400 && x[1] == 0.125f && x[2] == 6);
    sw_source_free(s);
}

static void test_blank_lines_and_line_ends_are_skipped(void **state) {
    static const char *const texts[] = {"1,2\n3,4",
                                        "1,2\n3,4\n",
                                        "1,2\r\n3,4\r\n",
                                        "1,2\n3,4\n\n",
                                        "1,2\n3,4\n\n\n ",
                                        ("\xef\xbb\xbf"
                                         "1,2\n3,4"),
                                        "\"1\",\"2\"\n\"3\", \"4\" \n",
                                        "a,b\n1,2\n3,4\n",
                                        "\"a\",\"b, \"\"c\"\"\"\n1,2\n3,4\n",
                                        "\xef\xbb\xbf\"a\",b\r\n1,2\r\n3,4\r\n\r\n",
                                        " 1\t,2\n\t3,4 \n"};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        sw_source *s = open_text(texts[i], NULL);
        check_x(s, 2, 2, (double[]){1, 2, 3, 4});
        sw_source_free(s);
    }
}

static void test_other_delimiters_are_read(void **state) {
    (void)state;
    sw_csv_options o = {.size = sizeof o};
    static const char delimiters[] = {';', '\t', ' ', '|', ':'};
    for (size_t i = 0; i < sizeof delimiters; i++) {
        char text[] = "1_2\n3_4\n";
        text[1] = text[5] = o.delimiter = delimiters[i];
        sw_source *s = open_text(text, &o);
        check_x(s, 2, 2, (double[]){1, 2, 3, 4});
        sw_source_free(s);
    }
}

static void test_class_ids_are_read(void **state) {
    (void)state;
    sw_csv_options o = {.size = sizeof o, .target = SW_CSV_CLASS_IDS};
    sw_source *s = open_text("a,b,label\n10,20,2\n30,40,0\n50,60,1.0\n", &o);
    int32_t y[3];
    check_x(s, 3, 2, (double[]){10, 20, 30, 40, 50, 60});
    assert_int_equal(sw_source_gather(s, SW_F32, 0, (int64_t[]){0, 1, 2}, 3, NULL, y), SW_OK);
    assert_true(y[0] == 2 && y[1] == 0 && y[2] == 1);
    assert_int_equal(s->classes, 3);
    assert_int_equal(s->y_rank, 0);
    assert_int_equal(s->y_type, SW_I32);
    sw_source_free(s);
    static const char *const names[5] = {"a", "b", "c", "d", "e"};
    o.classes = 5;
    o.class_names = names;
    s = open_text("10,2\n30,0\n", &o);
    assert_int_equal(s->classes, 5);
    assert_string_equal(s->class_names[4], "e");
    sw_source_free(s);
}

static void check_classes(const char *text, const sw_csv_options *o, int64_t n, const int32_t *ids, int classes,
                          const char *const *names) {
    int32_t y[8];
    count_memory(-1);
    sw_source *s = open_text(text, o);
    assert_int_equal(s->n, n);
    assert_int_equal(s->classes, classes);
    for (int64_t i = 0; i < n; i++)
        assert_int_equal(sw_source_gather(s, SW_F32, 0, &i, 1, NULL, &y[i]), SW_OK);
    assert_memory_equal(y, ids, (size_t)n * sizeof *y);
    for (int c = 0; c < classes; c++)
        assert_string_equal(s->class_names[c], names[c]);
    sw_source_free(s);
    check_memory();
}

#define IDS(...)        \
    (const int32_t[]) { \
        __VA_ARGS__     \
    }
#define NAMES(...)          \
    (const char *const[]) { \
        __VA_ARGS__         \
    }

/* Numbers in order of their values, texts in order of their bytes; the labels are the names. */
static void test_classes_are_the_labels_in_the_file(void **state) {
    (void)state;
    const sw_csv_options o = {.size = sizeof o, .target = SW_CSV_CLASS_IDS};
    check_classes("5,3\n6,1\n7,2\n8,3.0\n", &o, 4, IDS(2, 0, 1, 2), 3, NAMES("1", "2", "3"));
    check_classes("5,1\n6,-1\n7,+1\n", &o, 3, IDS(1, 0, 1), 2, NAMES("-1", "1"));
    check_classes("5,10\n6,9\n7,-20\n", &o, 3, IDS(2, 1, 0), 3, NAMES("-20", "9", "10"));
    check_classes("5,4\n6,4\n", &o, 2, IDS(0, 0), 1, NAMES("4"));
    check_classes("x,kind\n5,setosa\n6,\"virginica, 2\"\n7,10\n8,setosa\n", &o, 4, IDS(1, 2, 0, 1), 3,
                  NAMES("10", "setosa", "virginica, 2"));
    check_message("5,1\n6,a\n", &o, SW_ERR_FORMAT,
                  "line 2, column 2: class 'a' is not a number, but that of line 1 is");
    check_message("5,1\n6,1.5\n", &o, SW_ERR_FORMAT,
                  "line 2, column 2: class '1.5' is not a whole number (SW_CSV_REAL is for real targets)");
    check_message("5,1\n6,\n", &o, SW_ERR_FORMAT, "line 2, column 2: is empty, not a class");
}

/* More labels than the first hash tables hold. */
static void test_thousands_of_classes_are_read(void **state) {
    enum { N = 5000 };
    (void)state;
    bytes text = make_bytes(N * 16);
    text.size = 0;
    for (int i = 0; i < N; i++)
        text.size += (size_t)sprintf((char *)text.at + text.size, "0,%d\n", 7 * (i * 2503 % N) - N);
    const char *path = write_file("data.csv", text.at, text.size);
    const sw_csv_options o = {.size = sizeof o, .target = SW_CSV_CLASS_IDS};
    count_memory(-1);
    sw_source *s = sw_csv(path, &o);
    assert_non_null(s);
    assert_int_equal(s->classes, N);
    for (int64_t i = 0; i < N; i++) {
        int32_t y;
        assert_int_equal(sw_source_gather(s, SW_F32, 0, &i, 1, NULL, &y), SW_OK);
        assert_int_equal(y, i * 2503 % N);
        assert_int_equal(atoi(s->class_names[i]), 7 * i - N);
    }
    sw_source_free(s);
    check_memory();
    remove_file(path);
    free(text.at);
}

/* The test set lacks a class: with the training set's names every class keeps its id. */
static void test_classes_of_another_source_keep_their_ids(void **state) {
    (void)state;
    sw_csv_options o = {.size = sizeof o, .target = SW_CSV_CLASS_IDS};
    static const char *const texts[2][2] = {{"5,1\n6,2\n7,3\n", "8,3\n9,1.0\n"}, {"5,a\n6,b\n7,c\n", "8,c\n9,a\n"}};
    for (int k = 0; k < 2; k++) {
        o.classes = 0;
        o.class_names = NULL;
        sw_source *train = open_text(texts[k][0], &o);
        o.classes = train->classes;
        o.class_names = train->class_names;
        check_classes(texts[k][1], &o, 2, IDS(2, 0), 3, train->class_names);
        check_message("8,4\n", &o, SW_ERR_FORMAT,
                      k == 0 ? "line 1, column 2: class '4' is not one of class_names"
                             : "line 1, column 2: class '4' is not a whole number from 0 to 2");
        check_message("8,d\n", &o, SW_ERR_FORMAT, "line 1, column 2: class 'd' is not one of class_names");
        if (k == 1) /* names that are no numbers: ids too */
            check_classes("8,2\n9,0\n", &o, 2, IDS(2, 0), 3, train->class_names);
        sw_source_free(train);
    }
}

static void test_target_is_the_last_column_by_default(void **state) {
    (void)state;
    sw_csv_options o = {.size = sizeof o, .target = SW_CSV_REAL};
    const struct {
        int64_t column;
        double y;
    } all[] = {{0, 3}, {-1, 3}, {2, 3}, {1, 2}, {SW_CSV_FIRST_COLUMN, 1}, {-3, 1}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        double y = 0;
        o.target_column = all[i].column;
        sw_source *s = open_text("1,2,3\n", &o);
        assert_int_equal(sw_source_gather(s, SW_F64, 0, (int64_t[]){0}, 1, NULL, &y), SW_OK);
        assert_true(y == all[i].y);
        sw_source_free(s);
    }
}

/* As Python's csv reads them: LF, CR, or both, also mixed, and split between two readings of the buffer. */
static void test_every_kind_of_line_end_is_read(void **state) {
    static const char *const texts[] = {"1\r2\r3\r", "1\r2\r3", "1\r\n2\r3\n", "1\n2\r\n3\r\n\r\n", "1\r2\n3\r\r"};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        sw_source *s = open_text(texts[i], NULL);
        check_x(s, 3, 1, (double[]){1, 2, 3});
        sw_source_free(s);
    }
    refuses("1\r2\rx\r", "line 3, column 1: 'x' is not a number");
    refuses("1\r\n2\r\nx\r\n", "line 3, column 1: 'x' is not a number");
    refuses("1\r\r2\r", "line 2: is blank, and rows follow it");
    enum { BUFFER = 64 * 1024 };
    for (int shift = -2; shift <= 2; shift++) {
        bytes text = make_bytes(BUFFER + 100);
        memset(text.at, '0', text.size);
        memcpy(text.at + BUFFER + shift, "\r\n7\r\n", 5);
        text.size = (size_t)(BUFFER + shift + 5);
        const char *path = write_file("data.csv", text.at, text.size);
        sw_source *s = sw_csv(path, NULL);
        assert_null(sw_error());
        check_x(s, 2, 1, (double[]){0, 7});
        sw_source_free(s);
        remove_file(path);
        free(text.at);
    }
}

/* For each byte of the file at most: x 4 bytes (8 for each number, which is two characters with its delimiter), and
 * while it grows half as much again and the copy it came from, 4; the buffer 2, and the copy it came from 1; where
 * the fields begin, 4 (an empty one that is skipped is one character); a role each, 1; targets 2. 18 in all, and
 * 256 KiB at least. A header of empty names takes 9 for each of its characters, and its row adds nothing to x. */
static void test_memory_is_a_small_multiple_of_the_file(void **state) {
    enum { COLUMNS = 300000, LEAST = 256 * 1024 };
    (void)state;
    for (int rows = 1; rows <= 3; rows += 2)
        for (int kind = 0; kind < 3; kind++) {
            static int64_t skip[COLUMNS];
            const bool empty = kind == 1, header = kind == 2;
            const sw_csv_options o = {.size = sizeof o,
                                      .target = SW_CSV_REAL,
                                      .skip = skip,
                                      .header = header ? SW_CSV_HEADER_YES : SW_CSV_HEADER_AUTO,
                                      .skip_count = empty ? COLUMNS - 2 : 0};
            bytes text = make_bytes((size_t)(rows + 1) * COLUMNS * 2);
            text.size = 0;
            for (int i = 0; header && i < COLUMNS; i++)
                text.at[text.size++] = i == COLUMNS - 1 ? '\n' : ',';
            for (int r = 0; r < rows; r++)
                for (int i = 0; i < COLUMNS; i++) {
                    if (!empty || i >= COLUMNS - 2)
                        text.at[text.size++] = '1';
                    text.at[text.size++] = i == COLUMNS - 1 ? '\n' : ',';
                    skip[i] = i;
                }
            const char *path = write_file("data.csv", text.at, text.size);
            measure_memory();
            sw_source *s = sw_csv(path, &o);
            assert_null(sw_error());
            assert_non_null(s);
            assert_int_equal(s->n, rows);
            sw_source_free(s);
            sw_set_allocator(NULL);
            assert_int_equal(heap.in_use, 0);
            if (heap.most > LEAST + 18 * text.size)
                fail_msg("%zu bytes for a file of %zu", heap.most, text.size);
            remove_file(path);
            free(text.at);
        }
}

static void test_message_suggests_another_delimiter(void **state) {
    (void)state;
    refuses("1;2\n3;4\n", "line 2, column 1: '3;4' is not a number (is the delimiter ';'? option delimiter)");
    refuses("a\tb\n1\t2\n", "line 2, column 1: '1?2' is not a number (is the delimiter a tab? option delimiter)");
    refuses("1,2;3\n", "line 1, column 2: '2;3' is not a number");
    refuses("a;b\n1,5;2\n", "line 2: 2 fields, but line 1 has 1 (is the delimiter ';'? option delimiter)");
    refuses("1\n2;3\n", "line 2, column 1: '2;3' is not a number (is the delimiter ';'? option delimiter)");
    refuses("a\n1,5\n", "line 2: 2 fields, but line 1 has 1");
    refuses("\"a,b\"\n1,2\n", "line 2: 2 fields, but line 1 has 1"); /* its own delimiter, quoted */
#define HINT " (is the delimiter ';'? option delimiter)"
    sw_csv_options o = {.size = sizeof o, .target = SW_CSV_CLASS_IDS};
    check_message("5.1;3.5;setosa\n", &o, SW_ERR_ARGUMENT, "no column of 1 is left for x" HINT);
    o.target_column = 2;
    check_message("5.1;3.5;setosa\n", &o, SW_ERR_ARGUMENT,
                  "target: column 2, but there are 1, 0 to 0 or -1 to -1" HINT);
    o.target_name = "kind";
    check_message("length;kind\n5.1;a\n", &o, SW_ERR_ARGUMENT, "target: no column is named 'kind'" HINT);
    o.header = SW_CSV_HEADER_NO;
    check_message("5.1;a\n", &o, SW_ERR_ARGUMENT, "target: column 'kind', but the file has no header" HINT);
    const int64_t skip = 1;
    o = (sw_csv_options){.size = sizeof o, .skip = &skip, .skip_count = 1};
    check_message("5.1;a\n", &o, SW_ERR_ARGUMENT, "skip: column 1, but there are 1, 0 to 0 or -1 to -1" HINT);
    o = (sw_csv_options){.size = sizeof o, .delimiter = ';', .header = SW_CSV_HEADER_NO};
    check_message("1,2\n", &o, SW_ERR_FORMAT,
                  "line 1, column 1: '1,2' is not a number (is the delimiter ','? option delimiter)");
}

static void test_real_targets_are_read_and_columns_skipped(void **state) {
    (void)state;
    const char *text = "id,x1,x2,when,price\nA7,1,2,monday,1.5\nB8,3,4,,-2.5\n";
    const int64_t skip[] = {0, -2};
    const char *const skip_names[] = {"id", "when"};
    const sw_csv_options options[3] = {
        {.size = sizeof *options, .target = SW_CSV_REAL, .target_column = -1, .skip = skip, .skip_count = 2},
        {.size = sizeof *options,
         .target = SW_CSV_REAL,
         .target_name = "price",
         .skip_names = skip_names,
         .skip_names_count = 2},
        {.size = sizeof *options,
         .target = SW_CSV_REAL,
         .target_column = 4,
         .skip = skip,
         .skip_count = 1,
         .skip_names = skip_names + 1,
         .skip_names_count = 1,
         .header = SW_CSV_HEADER_YES}};
    for (int i = 0; i < 3; i++) {
        sw_source *s = open_text(text, &options[i]);
        double y[2];
        float y32[2];
        check_x(s, 2, 2, (double[]){1, 2, 3, 4});
        assert_int_equal(s->y_rank, 1);
        assert_int_equal(s->y_shape[0], 1);
        assert_int_equal(s->y_type, SW_F64);
        assert_int_equal(sw_source_gather(s, SW_F64, 0, (int64_t[]){0, 1}, 2, NULL, y), SW_OK);
        assert_int_equal(sw_source_gather(s, SW_F32, 0, (int64_t[]){0, 1}, 2, NULL, y32), SW_OK);
        assert_true(y[0] == 1.5 && y[1] == -2.5 && y32[0] == 1.5f && y32[1] == -2.5f);
        sw_source_free(s);
    }
}

static void test_header_is_detected(void **state) {
    (void)state;
    sw_csv_options o = {.size = sizeof o, .header = SW_CSV_HEADER_YES};
    sw_source *s = open_text("1,2\n3,4\n", &o);
    check_x(s, 1, 2, (double[]){3, 4});
    sw_source_free(s);
    o.header = SW_CSV_HEADER_NO;
    s = open_text("1,2\n3,4\n", &o);
    check_x(s, 2, 2, (double[]){1, 2, 3, 4});
    sw_source_free(s);
    check_message("a,b\n3,4\n", &o, SW_ERR_FORMAT, "line 1, column 1: 'a' is not a number");
    refuses("1,b\n3,4\n", "line 1, column 2: 'b' is not a number");
}

/* Of the features alone, in their order, whatever the letters; without a header there are none. */
static void test_feature_names_are_read(void **state) {
    (void)state;
    static const char text[] = "id, \"mean \"\"radius\"\"\" ,label,,b\n7,1,2,3,4\n";
    const sw_csv_options o = {
        .size = sizeof o, .target = SW_CSV_REAL, .target_name = "label", .skip = (int64_t[]){0}, .skip_count = 1};
    sw_source *s = open_text(text, &o);
    const char *const *names = sw_csv_feature_names(s);
    assert_non_null(names);
    assert_string_equal(names[0], "mean \"radius\"");
    assert_string_equal(names[1], "");
    assert_string_equal(names[2], "b");
    sw_source_free(s);
    s = open_text("1,2\n3,4\n", NULL);
    assert_null(sw_csv_feature_names(s));
    assert_null(sw_error());
    sw_source *part = sw_take(s, 1, NULL);
    assert_null(sw_csv_feature_names(part));
    assert_string_equal(sw_error(), "csv_feature_names: the source is not of sw_csv");
    sw_clear_error();
    assert_null(sw_csv_feature_names(NULL));
    assert_string_equal(sw_error(), "csv_feature_names: the source is NULL");
    sw_clear_error();
    sw_source_free(part);
    sw_source_free(s);
}

/* gzip, in one member and in several; 3000 rows, so that the buffer is refilled within a line. */
static void test_compressed_files_are_read(void **state) {
    (void)state;
    enum { ROWS = 3000 };
    bytes text = make_bytes(ROWS * 100);
    double x[ROWS];
    text.size = 0;
    for (int i = 0; i < ROWS; i++) {
        x[i] = i * 0.37 + 1e-9 * i;
        text.size += (size_t)sprintf((char *)text.at + text.size, "%.17g , %050d\n", x[i], i);
    }
    const size_t half = text.size / 2;
    bytes one = gzip(text.at, text.size), first = gzip(text.at, half), second = gzip(text.at + half, text.size - half);
    bytes two = make_bytes(first.size + second.size);
    memcpy(two.at, first.at, first.size);
    memcpy(two.at + first.size, second.at, second.size);
    const bytes *all[3] = {&text, &one, &two};
    for (int k = 0; k < 3; k++) {
        const char *path = write_file("data.csv", all[k]->at, all[k]->size);
        count_memory(-1);
        sw_source *s = sw_csv(path, NULL);
        assert_non_null(s);
        assert_int_equal(s->n, ROWS);
        for (int64_t i = 0; i < ROWS; i++) {
            double row[2];
            assert_int_equal(s->gather(s, &i, 1, 0, SW_F64, row, NULL), SW_OK);
            assert_true(row[0] == x[i] && row[1] == (double)i);
        }
        sw_source_free(s);
        check_memory();
        remove_file(path);
    }
    free(two.at), free(first.at), free(second.at), free(one.at), free(text.at);
}

/* ---- Numbers ---- */

/* Against glibc's strtod in the C locale, which rounds correctly; bit by bit. */
static void check_number(const char *text) {
    char line[512];
    double x, expected = strtod(text, NULL);
    int64_t id = 0;
    snprintf(line, sizeof line, "%s\n", text);
    sw_source *s = open_text(line, NULL);
    assert_int_equal(s->gather(s, &id, 1, 0, SW_F64, &x, NULL), SW_OK);
    if (memcmp(&x, &expected, sizeof x) != 0)
        fail_msg("%s: %.17g, not %.17g", text, x, expected);
    sw_source_free(s);
}

static void test_numbers_are_rounded_correctly(void **state) {
    static const char *const known[] = {"0",
                                        "-0",
                                        "+0",
                                        "0.0",
                                        "000.000e5",
                                        ".5",
                                        "5.",
                                        "1e0",
                                        "1E+2",
                                        "1e-2",
                                        "9007199254740993",
                                        "9007199254740992",
                                        "9007199254740991e22",
                                        "1e22",
                                        "1e23",
                                        "8.5e-22",
                                        "123456789012345678901234567890",
                                        "2.2250738585072011e-308",
                                        "2.2250738585072014e-308",
                                        "4.9406564584124654e-324",
                                        "1e-400",
                                        "1.7976931348623157e308",
                                        "0.1",
                                        "0.30000000000000004",
                                        "6929495644600919.5",
                                        "0.000000000000000000000000000000000000000000000012345",
                                        "1e00000000000000000001",
                                        "1.00000000000000011102230246251565404236316680908203125"};
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        check_number(known[i]);
    uint64_t seed = 5;
    for (int i = 0; i < 2000; i++) {
        char text[64];
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        double mantissa = (double)(seed >> 11) * 0x1p-53;
        int digits = (int)(seed % 20), power = (int)(seed >> 33) % (i % 2 ? 600 : 30);
        snprintf(text, sizeof text, "%.*fe%d", digits, mantissa, power / 2 - (i % 4 > 1 ? power : 0));
        check_number(text);
    }
}

static void test_numbers_do_not_depend_on_the_locale(void **state) {
    assert_int_equal(comma_begin(state), 0);
    sw_source *s = open_text("1.5,2.00000000000000000000000001\n", NULL);
    char text[16];
    const sw_array numbers = sw_array_view((double[]){0.5, 2.25}, SW_F64, SW_SHAPE(2));
    snprintf(text, sizeof text, "%g", 0.5);
    assert_string_equal(text, "0,5");
    const sw_normalize_options o = {.size = sizeof o, .mean = numbers.data, .std = (double[]){-1.5, 1}};
    assert_null(sw_normalize(s, &o));
    check_error(SW_ERR_ARGUMENT, "normalize", "mean[0] 0.5 and std[0] -1.5 must be finite");
    assert_int_equal(comma_end(state), 0);
    check_x(s, 1, 2, (double[]){1.5, 2});
    sw_source_free(s);
}

static void test_text_that_is_no_number_is_refused(void **state) {
    static const char *const wrong[] = {"0x10",  "1e",  "1e+",     "e5",    ".",      "-",     "+-1",
                                        "1.2.3", "1 2", "--1",     "1f",    "0b1",    "1_000", "\xc2\xbd",
                                        "nano",  "in",  "infinit", "1e5.0", "NaN(1)", "'1"};
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char text[64], reason[128];
        snprintf(text, sizeof text, "7;%s\n", wrong[i]);
        snprintf(reason, sizeof reason, "line 1, column 2: '%s' is not a number", wrong[i]);
        const sw_csv_options o = {.size = sizeof o, .delimiter = ';'};
        check_message(text, &o, SW_ERR_FORMAT, reason);
    }
}

static void test_numbers_that_are_not_finite_are_refused(void **state) {
    (void)state;
    sw_csv_options o = {.size = sizeof o, .allow_nonfinite = true};
    refuses("1\nnan\n", "line 2, column 1: 'nan' is not finite (option allow_nonfinite)");
    refuses("1\n-INF\n", "line 2, column 1: '-INF' is not finite (option allow_nonfinite)");
    refuses("1\n1e999\n", "line 2, column 1: '1e999' is too large");
    check_message("1\n-1e999\n", &o, SW_ERR_FORMAT, "line 2, column 1: '-1e999' is too large");
    sw_source *s = open_text("1,-inf\nNaN,+Infinity\n", &o);
    double x[4];
    assert_int_equal(s->gather(s, (int64_t[]){0, 1}, 2, 0, SW_F64, x, NULL), SW_OK);
    assert_true(x[0] == 1 && isinf(x[1]) && x[1] < 0 && isnan(x[2]) && isinf(x[3]) && x[3] > 0);
    sw_source_free(s);
    o.target = SW_CSV_CLASS_IDS;
    check_message("1,nan\n", &o, SW_ERR_FORMAT,
                  "line 1, column 2: class 'nan' is not a whole number (SW_CSV_REAL is for real targets)");
}

/* ---- Mistakes ---- */

static void test_wrong_rows_are_refused(void **state) {
    (void)state;
    refuses("", "is empty");
    refuses("\n\n", "has no rows");
    refuses("\xef\xbb\xbf", "has no rows");
    refuses("a,b\n", "has no rows after its header");
    refuses("1,2\n3,4\n5,abc\n", "line 3, column 2: 'abc' is not a number");
    refuses("1,2\n3,\n", "line 2, column 2: is empty, not a number");
    refuses("1,2\n3\n", "line 2: 1 field, but line 1 has 2");
    refuses("\na,b\n1,2\n3,4,5,6\n", "line 1: is blank, and rows follow it");
    refuses("a,b\n1,2\n3,4,5,6\n", "line 3: 4 fields, but line 1 has 2");
    refuses("1\n\n2\n", "line 2: is blank, and rows follow it");
    refuses("1,\"2\n3,4\n", "line 1, column 2: a quote is not closed on this line");
    refuses("1,\"2\"\"\n3,4\n", "line 1, column 2: a quote is not closed on this line");
    refuses("1,\"2\"x\n", "line 1, column 2: text after the closing quote");
    refuses("1\n1\b2\n", "line 2, column 1: '1?2' is not a number");
    refuses("1,2\n3,a\tvery long field that goes on and on and on and on\n",
            "line 2, column 2: 'a?very long field that goes on and on an...' is not a number");
    refuses("1,2\n3,"
            "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4"
            "x"
            "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4"
            "\n",
            "line 2, column 2: '"
            "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4"
            "x"
            "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4"
            "...' is not a number");
}

static void test_zero_bytes_and_long_lines_are_refused(void **state) {
    (void)state;
    const char *path = write_file("data.csv", "1\n2\0003\n", 6);
    assert_null(sw_csv(path, NULL));
    check_error(SW_ERR_FORMAT, path, "line 2: has a zero byte: this is not text in UTF-8");
    remove_file(path);
    bytes text = make_bytes((16 << 20) + 2);
    memset(text.at, '1', text.size);
    memcpy(text.at, "5\n", 2);
    path = write_file("data.csv", text.at, text.size);
    count_memory(-1);
    assert_null(sw_csv(path, NULL));
    check_memory();
    check_error(SW_ERR_FORMAT, path, "line 2: has 16777216 bytes or more");
    remove_file(path);
    text.at[text.size - 1] = '\n'; /* one byte less: a line, though not a number below 10^308 */
    path = write_file("data.csv", text.at, text.size);
    assert_null(sw_csv(path, NULL));
    check_error(SW_ERR_FORMAT, path, "line 2, column 1: '1111111111111111111111111111111111111111...' is too");
    remove_file(path);
    free(text.at);
}

static void test_wrong_targets_are_refused(void **state) {
    (void)state;
    sw_csv_options o = {.size = sizeof o, .target = SW_CSV_CLASS_IDS, .classes = 3};
    o.target_column = SW_CSV_FIRST_COLUMN;
    check_message("0,1\n3,1\n", &o, SW_ERR_FORMAT,
                  "line 2, column 1: class '3' is not a whole number from 0 to 2 (classes = 0 numbers the labels "
                  "of the data)");
    check_message("0,1\n-1,1\n", &o, SW_ERR_FORMAT,
                  "line 2, column 1: class '-1' is not a whole number from 0 to 2 (classes = 0 numbers the labels "
                  "of the data)");
    check_message("0,1\n1.5,1\n", &o, SW_ERR_FORMAT, "line 2, column 1: class '1.5' is not a whole number from 0 to 2");
    o.target_column = 2;
    check_message("0,1\n", &o, SW_ERR_ARGUMENT, "target: column 2, but there are 2, 0 to 1 or -1 to -2");
    o.target_column = -3;
    check_message("0,1\n", &o, SW_ERR_ARGUMENT, "target: column -3, but there are 2, 0 to 1 or -1 to -2");
    o.target_name = "label";
    check_message("0,1\n", &o, SW_ERR_ARGUMENT, "target: column 'label', but the file has no header");
    check_message("lable,x\n0,1\n", &o, SW_ERR_ARGUMENT, "target: no column is named 'label', did you mean lable?");
    check_message("label,label\n0,1\n", &o, SW_ERR_ARGUMENT, "target: columns 0 and 1 are both named 'label'");
    check_message("label\n0\n", &o, SW_ERR_ARGUMENT, "no column of 1 is left for x");
    const int64_t skip[] = {1, 5};
    o.skip = skip;
    o.skip_count = 1;
    check_message("x,label\n0,1\n", &o, SW_ERR_ARGUMENT, "target: column 1 is also to be skipped");
    o.skip_count = 2;
    check_message("x,label\n0,1\n", &o, SW_ERR_ARGUMENT, "skip: column 5, but there are 2, 0 to 1 or -1 to -2");
    o.skip_count = 0;
    o.skip_names = (const char *const[]){NULL};
    o.skip_names_count = 1;
    check_message("x,label\n0,1\n", &o, SW_ERR_ARGUMENT, "skip: column '', but the name is NULL");
}

static void check_options(const sw_csv_options *o, const char *part) {
    assert_null(sw_csv("data.csv", o));
    check_error(SW_ERR_ARGUMENT, "csv", part);
}

static void test_wrong_options_are_refused(void **state) {
    (void)state;
    const sw_csv_options ok = {.size = sizeof ok};
    sw_csv_options o;
    static const char delimiters[] = "\"+-.0aZ\n\r\x7f";
    for (const char *d = delimiters; *d; d++)
        o = ok, o.delimiter = *d, check_options(&o, "cannot be the delimiter");
    o = ok, o.header = (sw_csv_header)3, check_options(&o, "header 3 is not a value of sw_csv_header");
    o = ok, o.target = (sw_csv_target)9, check_options(&o, "target 9 is not a value of sw_csv_target");
    o = ok, o.target = SW_CSV_CLASS_IDS, o.classes = -1, check_options(&o, "-1 classes");
    o = ok, o.target = SW_CSV_CLASS_IDS, o.classes = (1 << 20) + 1, check_options(&o, "1048577 classes");
    o = ok, o.classes = 2, check_options(&o, "the target is not SW_CSV_CLASS_IDS");
    o = ok, o.target = SW_CSV_CLASS_IDS, o.class_names = (const char *const[]){"a"};
    check_options(&o, "class_names need `classes`");
    o = ok, o.skip_count = 1, check_options(&o, "to skip is NULL");
    o = ok, o.skip_names_count = -1, check_options(&o, "count negative");
    o = ok, o.size = 4, check_options(&o, "options.size is 4");
    assert_null(sw_csv(NULL, NULL));
    check_error(SW_ERR_ARGUMENT, "csv", "path is NULL");
    assert_null(sw_csv("/nowhere/data.csv", NULL));
    check_error(SW_ERR_IO, "/nowhere/data.csv", "cannot be opened: No such file");
    assert_null(sw_csv(folder, NULL));
    check_error(SW_ERR_IO, folder, "cannot be read: Is a directory");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_rows_are_read),
        cmocka_unit_test(test_blank_lines_and_line_ends_are_skipped),
        cmocka_unit_test(test_other_delimiters_are_read),
        cmocka_unit_test(test_class_ids_are_read),
        cmocka_unit_test(test_classes_are_the_labels_in_the_file),
        cmocka_unit_test(test_thousands_of_classes_are_read),
        cmocka_unit_test(test_classes_of_another_source_keep_their_ids),
        cmocka_unit_test(test_target_is_the_last_column_by_default),
        cmocka_unit_test(test_every_kind_of_line_end_is_read),
        cmocka_unit_test(test_memory_is_a_small_multiple_of_the_file),
        cmocka_unit_test(test_message_suggests_another_delimiter),
        cmocka_unit_test(test_real_targets_are_read_and_columns_skipped),
        cmocka_unit_test(test_header_is_detected),
        cmocka_unit_test(test_feature_names_are_read),
        cmocka_unit_test(test_compressed_files_are_read),
        cmocka_unit_test(test_numbers_are_rounded_correctly),
        cmocka_unit_test(test_numbers_do_not_depend_on_the_locale),
        cmocka_unit_test(test_text_that_is_no_number_is_refused),
        cmocka_unit_test(test_numbers_that_are_not_finite_are_refused),
        cmocka_unit_test(test_wrong_rows_are_refused),
        cmocka_unit_test(test_zero_bytes_and_long_lines_are_refused),
        cmocka_unit_test(test_wrong_targets_are_refused),
        cmocka_unit_test(test_wrong_options_are_refused),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
