/* LIBSVM and SVMlight files: the exact message of every mistake, files of many rows, memory. */
#include "svmlight_helpers.h"
#include "measured_memory.h"

/* ---- Mistakes ---- */

static void test_wrong_indices_are_refused(void **state) {
    (void)state;
    refuses("1 1:1\n\n# a\n1 2:1 7:1 3:1\n", "line 4: index 3 after index 7; indices must increase");
    refuses("1 2:1 2:1\n", "line 1: index 2 after index 2; indices must increase");
    refuses("1 0:1 0:1\n", "line 1: index 0 after index 0; indices must increase");
    refuses("1 -1:1\n", "line 1: '-1:1': the index is negative");
    refuses("1 -0:1\n", "line 1: '-0:1': the index is negative");
    refuses("1 +1:1\n", "line 1: '+1:1': the index is not a whole number; index:value is expected");
    refuses("1 1.0:1\n", "line 1: '1.0:1': the index is not a whole number; index:value is expected");
    refuses("1 :1\n", "line 1: ':1': the index is not a whole number; index:value is expected");
    refuses("1 a:1\n", "line 1: 'a:1': the index is not a whole number; index:value is expected");
    refuses("1 1:1\v2:1\n", "line 1: index 1: '1?2:1' is not a number");
    refuses("1 1:2 3\n", "line 1: '3' has no ':'; index:value is expected");
    refuses("1 1:2 3 :4\n", "line 1: '3' has no ':'; index:value is expected");
    refuses("1,2,3\n", "line 1: target: '1,2,3' is not a number (files with several labels in a row are not read)");
    refuses("1 1:2 qid:3\n", "line 1: 'qid:3': a query id stands directly behind the target");
    refuses("1 qid:3 qid:4 1:2\n", "line 1: 'qid:4': a query id stands directly behind the target");
    refuses("1 qid: 1:2\n", "line 1: the query id '' is not a whole number");
    refuses("1 qid:- 1:2\n", "line 1: the query id '-' is not a whole number");
    refuses("1 qid:1.5 1:2\n", "line 1: the query id '1.5' is not a whole number");
    refuses("1 qid 1:2\n", "line 1: 'qid' has no ':'; index:value is expected");
}

static void test_text_that_is_no_number_is_refused(void **state) {
    (void)state;
    static const char *const wrong[] = {"0x10", "1e",    "1e+",      "e5",   ".",  "-",      "+-1", "1.2.3", "--1",
                                        "1f",   "1_000", "\xc2\xbd", "nano", "in", "NaN(1)", "1:2", "1,5",   ":"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char text[64], reason[128];
        snprintf(text, sizeof text, "1 12:%s\n", wrong[i]);
        snprintf(reason, sizeof reason, "line 1: index 12: '%s' is not a number", wrong[i]);
        refuses(text, reason);
    }
    refuses("1 1:\n", "line 1: index 1 has no value; index:value is expected");
    refuses("1 1: 2:1\n", "line 1: index 1 has no value; index:value is expected");
    refuses("1 1:#2\n", "line 1: index 1 has no value; index:value is expected");
    refuses("x 1:1\n", "line 1: target: 'x' is not a number");
    refuses("1 1:1\n1:1 2:2\n", "line 2: target: '1:1' is not a number (is the target missing?)");
    refuses("target,a\n",
            "line 1: target: 'target,a' is not a number (files with several labels in a row are not read)");
    refuses("1 1:2\n1 1:2\b\n", "line 2: index 1: '2?' is not a number");
}

static void test_files_without_rows_are_refused(void **state) {
    (void)state;
    refuses("", "is empty");
    refuses("\n\n", "has no rows");
    refuses("# 1 1:1", "has no rows");
    refuses("\xef\xbb\xbf", "has no rows");
    refuses("\xef\xbb\xbf"
            "x\n",
            "line 1: target: 'x' is not a number");
    refuses("1 1:1\n\xef\xbb\xbf"
            "1\n",
            "line 2: target: '\xef\xbb\xbf"
            "1' is not a number");
}

static void test_zero_bytes_and_long_lines_are_refused(void **state) {
    enum { LONGEST = 16 << 20 };
    static const char zero[] = "1 1:1\n2 1:2 \0 3:4\n", utf16[] = "\xff\xfe"
                                                                  "1\0 \0"
                                                                  "1\0:\0"
                                                                  "1\0\n";
    (void)state;
    check_bytes_message(zero, sizeof zero - 1, "line 2: has a zero byte: this is not text in UTF-8");
    check_bytes_message(utf16, sizeof utf16 - 1, "line 1: has a zero byte: this is not text in UTF-8");
    check_bytes_message("1 #\0", 4, "line 1: has a zero byte: this is not text in UTF-8");
    bytes text = make_bytes(LONGEST + 8);
    memset(text.at, '1', text.size);
    memcpy(text.at, "5 1:1\n", 6);
    check_bytes_message(text.at, LONGEST + 6, "line 2: has 16777216 bytes or more");
    text.at[LONGEST + 5] = '\n'; /* one byte less: a line, though not a number below 10^308 */
    check_bytes_message(text.at, LONGEST + 6,
                        "line 2: target: '1111111111111111111111111111111111111111...' is too large");
    text.at[7] = ' ';
    check_bytes_message(text.at, LONGEST + 6, "line 2: '1111111111111111111111111111111111111111...' has no ':'");
    text.at[LONGEST + 4] = ':';
    check_bytes_message(text.at, LONGEST + 6,
                        "line 2: '1111111111111111111111111111111111111111...': the index is larger than 2147483647");
    text.at[9] = ':';
    check_bytes_message(text.at, LONGEST + 6,
                        "line 2: index 1: '1111111111111111111111111111111111111111...' is not a number");
    text.at[LONGEST + 4] = '1';
    memset(text.at + 10, '0', LONGEST - 5); /* a long number that is one: 0.000…01 */
    text.at[11] = '.';
    text.at[LONGEST + 4] = '1';
    sw_svmlight *d = open_bytes(text.at, LONGEST + 6, NULL);
    check_matrix(&d->x, 2, 1, I64(0, 1, 2), I32(0, 0), F64(1, 0));
    sw_svmlight_free(d);
    free(text.at);
}

/* ---- Large files ---- */

typedef struct made {
    bytes text;
    int64_t rows, *start;
    int32_t *index;
    double *value;
} made;

/* Rows of 0 to 40 numbers of 1 to 17 digits, some far apart. */
static made make_rows(int64_t rows, int64_t columns) {
    enum { MOST = 40 };
    made m = {make_bytes((size_t)rows * MOST * 40), rows, malloc((size_t)(rows + 1) * sizeof *m.start),
              malloc((size_t)rows * MOST * sizeof *m.index), malloc((size_t)rows * MOST * sizeof *m.value)};
    assert_true(m.start && m.index && m.value);
    uint64_t seed = 11;
    m.start[0] = 0;
    m.text.size = 0;
    for (int64_t i = 0, k = 0; i < rows; i++, m.start[i] = k) {
        m.text.size += (size_t)sprintf((char *)m.text.at + m.text.size, "%d", (int)(i % 3));
        int64_t column = -1;
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        for (int64_t n = (int64_t)(seed >> 40) % MOST; n > 0; n--) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            column += 1 + (int64_t)(seed >> 33) % (2 * columns / MOST);
            if (column >= columns)
                break;
            char *to = (char *)m.text.at + m.text.size;
            m.text.size += (size_t)sprintf(to, " %lld:%.*g", (long long)column + 1, 1 + (int)(seed % 17),
                                           (double)(int64_t)seed * 0x1p-60);
            m.value[k] = strtod(strchr(to, ':') + 1, NULL);
            m.index[k++] = (int32_t)column;
        }
        m.text.at[m.text.size++] = '\n';
    }
    return m;
}

static void free_rows(made *m) {
    free(m->text.at), free(m->start), free(m->index), free(m->value);
}

/* Plain, in one gzip member and in two, over many refills of the buffer; and cut off. */
static void test_large_and_compressed_files_are_read(void **state) {
    enum { ROWS = 20000, COLUMNS = 3000 };
    (void)state;
    made m = make_rows(ROWS, COLUMNS);
    const sw_svmlight_options o = {.size = sizeof o, .type = SW_F64, .columns = COLUMNS};
    const size_t half = m.text.size / 2;
    bytes one = gzip(m.text.at, m.text.size), first = gzip(m.text.at, half),
          second = gzip(m.text.at + half, m.text.size - half), two = make_bytes(first.size + second.size);
    memcpy(two.at, first.at, first.size);
    memcpy(two.at + first.size, second.at, second.size);
    const bytes *all[3] = {&m.text, &one, &two};
    for (int k = 0; k < 3; k++) {
        count_memory(-1);
        sw_svmlight *d = open_bytes(all[k]->at, all[k]->size, &o);
        check_matrix(&d->x, ROWS, COLUMNS, m.start, m.index, m.value);
        for (int64_t i = 0; i < ROWS; i++)
            assert_true(d->y[i] == (double)(i % 3) && d->ids[i] == i % 3);
        sw_svmlight_free(d);
        check_memory();
    }
    check_bytes_message(one.at, one.size - 1, "truncated: the gzip data break off");
    check_bytes_message(one.at, one.size / 2, "truncated: the gzip data break off");
    one.at[one.size / 2] ^= 4;
    const char *path = write_file("train.svm", one.at, one.size);
    count_memory(-1);
    assert_null(sw_svmlight_load(path, &o));
    check_memory();
    check_error(SW_ERR_FORMAT, path, NULL);
    remove_file(path);
    free(two.at), free(second.at), free(first.at), free(one.at);
    free_rows(&m);
}

/* Reads the file; returns the bytes that are held afterwards, heap.most those held at most. */
static size_t measure(const bytes *file, const sw_svmlight_options *o) {
    measure_memory();
    sw_svmlight *d = open_bytes(file->at, file->size, o);
    const size_t held = heap.in_use;
    sw_svmlight_free(d);
    sw_set_allocator(NULL);
    assert_int_equal(heap.in_use, 0);
    return held;
}

/* For each byte of the text at most: a row takes 2 of the text ("1\n") and 20 of memory (start, y, ids); there is room
 * for half as much again, and start takes 8 more while it is copied: (1.5·20 + 8)/2 = 19. A number takes 4 of the text
 * ("1:1 ") and 12 of memory, with room and a copy (1.5·12 + 8)/4 = 6.5; the buffer takes 2 for a line as long as the
 * file, and 1 more while it is copied: less than 10. Where rows are followed by numbers, room was made for rows only:
 * 1.0625·20/2 + 6.5. So 20, and 512 KiB for buffers, zlib and the first rows. */
static void test_memory_is_a_small_multiple_of_the_file(void **state) {
    enum { SIZE = 3 << 20, LEAST = 512 * 1024, KINDS = 5 };
    (void)state;
    for (int kind = 0; kind < KINDS; kind++) {
        const sw_svmlight_options o = {.size = sizeof o, .type = SW_F64, .columns = 9999999};
        bytes text = make_bytes(SIZE + 64);
        text.size = 0;
        if (kind == 1 || kind == 4)
            text.at[text.size++] = '1';
        for (int i = 1; text.size < SIZE; i++) {
            char *to = (char *)text.at + text.size;
            const bool second = text.size > SIZE / 2;
            if (kind == 0 || (kind == 3 && !second)) /* rows without numbers */
                text.size += (size_t)sprintf(to, "1\n");
            else if (kind == 1 || kind == 4) /* one long row */
                text.size += (size_t)sprintf(to, kind == 1 ? " %d:1" : " %d:0.12345678", i);
            else /* as many numbers as bytes allow */
                text.size += (size_t)sprintf(to, "1 0:1 1:1 2:1 3:1 4:1 5:1 6:1 7:1 8:1 9:1\n");
        }
        bytes packed = gzip(text.at, text.size);
        for (int k = 0; k < 2; k++) {
            measure(k ? &packed : &text, &o);
            if (heap.most > LEAST + 20 * text.size)
                fail_msg("kind %d: %zu bytes for %zu", kind, heap.most, text.size);
        }
        free(packed.at);
        free(text.at);
    }
}

/* What is held is what the file needs and an eighth, plain or compressed; while a plain file is read, a quarter more
 * (a sixteenth is the aim) and the buffers. */
static void check_memory_held(const bytes *text, size_t needed, const sw_svmlight_options *o) {
    enum { BUFFERS = 512 * 1024 };
    bytes packed = gzip(text->at, text->size);
    for (int k = 0; k < 2; k++) {
        assert_in_range(measure(k ? &packed : text, o), needed, needed + needed / 8 + 4096);
        if (k == 0)
            assert_in_range(heap.most, needed, needed + needed / 4 + BUFFERS);
    }
    free(packed.at);
}

static void test_memory_held_is_that_of_the_numbers(void **state) {
    enum { ROWS = 20000, COLUMNS = 3000, EMPTY = 300001 };
    (void)state;
    sw_svmlight_options o = {.size = sizeof o};
    made m = make_rows(ROWS, COLUMNS);
    check_memory_held(&m.text, (size_t)m.start[ROWS] * 8 + (size_t)ROWS * 20, &o);
    free_rows(&m);
    bytes empty = make_bytes(2 * EMPTY);
    for (size_t i = 0; i < empty.size; i++)
        empty.at[i] = i % 2 ? '\n' : '7';
    o.columns = 1;
    check_memory_held(&empty, (size_t)EMPTY * 20, &o);
    free(empty.at);
}

/* ---- Options ---- */

static void check_options(const sw_svmlight_options *o, sw_status status, const char *message) {
    assert_null(sw_svmlight_load("train.svm", o));
    check_error(status, "svmlight: ", message);
}

static void test_wrong_options_are_refused(void **state) {
    (void)state;
    const sw_svmlight_options ok = {.size = sizeof ok};
    sw_svmlight_options o;
    o = ok, o.type = SW_I32, check_options(&o, SW_ERR_TYPE, "svmlight: options.type is i32; f32 or f64 is needed");
    o = ok, o.base = (sw_svmlight_base)3,
    check_options(&o, SW_ERR_ARGUMENT, "svmlight: base 3 is not a value of sw_svmlight_base");
    o = ok, o.target = (sw_svmlight_target)-1,
    check_options(&o, SW_ERR_ARGUMENT, "svmlight: target -1 is not a value of sw_svmlight_target");
    o = ok, o.columns = -1, check_options(&o, SW_ERR_ARGUMENT, "svmlight: -1 columns are outside 1 to 2147483648");
    o = ok, o.columns = ((int64_t)1 << 31) + 1,
    check_options(&o, SW_ERR_ARGUMENT, "svmlight: 2147483649 columns are outside 1 to 2147483648");
    o = ok, o.size = 4, check_options(&o, SW_ERR_ARGUMENT, "svmlight: options.size is 4");
    sw_svmlight *like = open_text("1 1:1\n", NULL);
    o = ok, o.like = like, o.columns = 1;
    check_options(&o, SW_ERR_ARGUMENT, "svmlight: like gives base and columns; these options must be 0 then");
    o = ok, o.like = like, o.base = SW_SVMLIGHT_ONE_BASED;
    check_options(&o, SW_ERR_ARGUMENT, "svmlight: like gives base and columns; these options must be 0 then");
    sw_svmlight_free(like);
    assert_null(sw_svmlight_load(NULL, NULL));
    check_error(SW_ERR_ARGUMENT, "svmlight: ", "the path is NULL");
    assert_null(sw_svmlight_load("/nowhere/train.svm", NULL));
    check_error(SW_ERR_IO, "/nowhere/train.svm", "cannot be opened: No such file");
    assert_null(sw_svmlight_load(folder, NULL));
    check_error(SW_ERR_IO, folder, "cannot be read: Is a directory");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wrong_indices_are_refused),
        cmocka_unit_test(test_text_that_is_no_number_is_refused),
        cmocka_unit_test(test_files_without_rows_are_refused),
        cmocka_unit_test(test_zero_bytes_and_long_lines_are_refused),
        cmocka_unit_test(test_large_and_compressed_files_are_read),
        cmocka_unit_test(test_memory_is_a_small_multiple_of_the_file),
        cmocka_unit_test(test_memory_held_is_that_of_the_numbers),
        cmocka_unit_test(test_wrong_options_are_refused),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
