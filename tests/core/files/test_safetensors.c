/* The format safetensors: Python's package reads files of the library, and the library reads files of the package. For
 * every rule of the format there is a file that violates it. Files are damaged at every byte and bit, and every
 * allocation of a load fails in turn. test_archive_saving.c tests failures of system calls. */
#include "archives.h"

/* ---- Round trips ---- */

/* Byte for byte what the package writes, in whatever order it was put in, from copies or in place, and
 * again from what was read. */
static void test_python_package_writes_the_same_bytes(void **state) {
    (void)state;
    const char *path = path_of("written.safetensors");
    for (int i = 0; i < 4; i++) {
        sw_archive *a = make_archive(i & 1, i & 2);
        check_archive(a);
        assert_null(sw_archive_path(a));
        assert_int_equal(sw_archive_save(a, path), SW_OK);
        sw_archive_free(a);
        check_file(path, golden_written, sizeof golden_written);
        a = sw_archive_load(path);
        check_archive(a);
        assert_string_equal(sw_archive_path(a), path);
        assert_string_equal(sw_archive_at(a, 0).name, "count");
        assert_string_equal(sw_archive_at(a, 0).stored, "I64");
        assert_string_equal(sw_archive_at(a, 6).name, "pixels");
        assert_null(sw_archive_at(a, 7).name);
        assert_null(sw_archive_at(a, -1).name);
        remove_file(path);
        assert_int_equal(sw_archive_save(a, path), SW_OK);
        sw_archive_free(a);
        check_file(path, golden_written, sizeof golden_written);
        remove_file(path);
    }
}

static void test_files_of_the_python_package_are_read(void **state) {
    (void)state;
    const char *path = write_file("kinds", golden_kinds, sizeof golden_kinds);
    sw_archive *a = sw_archive_load(path);
    static const char *const halves[] = {"f16", "bf16", "f32", "f64"};
    for (int k = 0; k < 4; k++) {
        const sw_array x = sw_archive_get(a, halves[k]);
        static const sw_dtype types[] = {SW_F16, SW_BF16, SW_F32, SW_F64};
        assert_true(x.type == types[k] && x.rank == 2 && x.shape[0] == 2 && x.shape[1] == 3);
        for (int i = 0; i < 6; i++)
            assert_true(test_get(&x, i) == i - 1.5);
    }
    sw_array x = sw_archive_get(a, "i64");
    assert_true(((int64_t *)x.data)[0] == -(INT64_C(1) << 62) && ((int64_t *)x.data)[1] == (INT64_C(1) << 62) + 1);
    x = sw_archive_get(a, "i32");
    for (int i = 0; i < 4; i++)
        assert_true(test_get(&x, i) == i - 2);
    x = sw_archive_get(a, "u8");
    assert_true(test_get(&x, 0) == 0 && test_get(&x, 1) == 127 && test_get(&x, 2) == 255);
    x = sw_archive_get(a, "scalar");
    assert_true(x.rank == 0 && *(double *)x.data == 0.1);
    x = sw_archive_get(a, "größe \"x\"/\\\n");
    assert_true(*(float *)x.data == 7);
    assert_string_equal(sw_archive_text(a, "about"), "été \"1\"");
    expect_no_error();
    for (int i = 0; i < sw_archive_count(a); i++) { /* aligned as their type asks for */
        const sw_archive_item item = sw_archive_at(a, i);
        assert_int_equal((uintptr_t)item.array.data % 8, 0);
        if (strcmp(item.name, "bool") == 0)
            assert_true(!item.array.data && item.array.rank == 1 && item.array.shape[0] == 3);
    }
    char text[PATH_SIZE + 99];
    assert_null(sw_archive_get(a, "bool").data);
    snprintf(text, sizeof text, "%s: bool is BOOL, which is not supported", path);
    expect_error(SW_ERR_TYPE, text);
    assert_null(sw_archive_get(a, "scalr").data);
    snprintf(text, sizeof text, "%s: there is no array scalr, did you mean scalar?", path);
    expect_error(SW_ERR_ARGUMENT, text);
    const char *other = path_of("other");
    assert_int_equal(sw_archive_save(a, other), SW_ERR_TYPE);
    snprintf(text, sizeof text, "%s: i16 is I16, which is not supported", other);
    expect_error(SW_ERR_TYPE, text);
    sw_archive_free(a);
    remove_file(path);
}

/* All 65536 patterns against the definition: sign, exponent, fraction. */
static void test_every_16_bit_float_is_read(void **state) {
    (void)state;
    enum { ALL = 65536 };
    static const struct {
        const char *type;
        int fraction_bits, bias;
    } kinds[2] = {{"F16", 10, 15}, {"BF16", 7, 127}};
    for (int k = 0; k < 2; k++) {
        char header[200];
        const int length = snprintf(header + 8, 150,
                                    "{\"x\":{\"dtype\":\"%s\",\"shape\":[65536],"
                                    "\"data_offsets\":[0,131072]}}",
                                    kinds[k].type);
        memset(header, 0, 8);
        header[0] = (char)length;
        bytes file = make_bytes((size_t)length + 8 + 2 * ALL);
        memcpy(file.at, header, (size_t)length + 8);
        for (int i = 0; i < ALL; i++) {
            const uint16_t half = (uint16_t)i;
            memcpy(file.at + length + 8 + 2 * i, &half, 2);
        }
        const char *path = write_file("halves", file.at, file.size);
        sw_archive *a = sw_archive_load(path);
        const sw_array x = sw_archive_get(a, "x");
        assert_true(x.type == (k ? SW_BF16 : SW_F16));
        const int fraction_mask = (1 << kinds[k].fraction_bits) - 1, exponents = 2 * kinds[k].bias + 1;
        for (int i = 0; i < ALL; i++) {
            const double value = test_get(&x, i);
            const int exponent = (i & 0x7FFF) >> kinds[k].fraction_bits, fraction = i & fraction_mask;
            const double size = ldexp(exponent ? fraction + fraction_mask + 1 : fraction,
                                      (exponent ? exponent : 1) - kinds[k].bias - kinds[k].fraction_bits);
            if (exponent == exponents)
                assert_true(fraction ? isnan(value) : isinf(value));
            else
                assert_true(fabs(value) == size);
            assert_int_equal(signbit(value) != 0, i >> 15);
        }
        sw_archive_free(a);
        free(file.at);
        remove_file(path);
    }
    expect_no_error();
}

/* ---- What a file must not be ---- */

/* A file of this header and `data` bytes of data; header_length < 0: that of the header. */
static bytes make_file(const char *header, int64_t header_length, size_t data) {
    const size_t length = strlen(header);
    bytes b = make_bytes(8 + length + data);
    const uint64_t said = header_length < 0 ? length : (uint64_t)header_length;
    for (int i = 0; i < 8; i++)
        b.at[i] = (unsigned char)(said >> 8 * i);
    memcpy(b.at + 8, header, length);
    memset(b.at + 8 + length, 1, data);
    return b;
}

static void test_file_that_breaks_a_rule_is_refused(void **state) {
    (void)state;
#define ONE(dtype, shape, begin, end) \
    "{\"x\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" begin "," end "]}}"
#define TWO(begin, end, begin2, end2)                                               \
    "{\"x\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[" begin "," end "]}," \
    "\"y\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[" begin2 "," end2 "]}}"
    static const struct {
        const char *header;
        int64_t length; /* -1: right */
        size_t data;
        const char *reason;
    } cases[] = {
        {"", 100000001, 0, "not a safetensors file: a header of 100000001 bytes; at most 100000000 are allowed"},
        {"", -2, 0, "not a safetensors file: a header of 18446744073709551614 bytes; at most 100000000 are allowed"},
        {"", 0x617461646D227B, 0, /* {"mdata */
         "JSON, not a safetensors file (the index of a model in several files? load the files that it lists)"},
        {"{}", 3, 0, "truncated: a header of 3 bytes, of which the file has 2"},
        {"", 0, 0, "not a safetensors file: its header does not begin with {"},
        {" {}", -1, 0, "not a safetensors file: its header does not begin with {"},
        {"[]", -1, 0, "not a safetensors file: its header does not begin with {"},
        {"{", -1, 0, "its header is not valid JSON: string or '}' expected near end of file, at byte 1"},
        {"{}\n", -1, 0, "byte 2 of its header comes after the end and is not a space"},
        {"{}  {", -1, 0, "byte 4 of its header comes after the end and is not a space"},
        {"{\"x\xff\":1}", -1, 0, "its header is not valid JSON: unable to decode byte 0xff near '\"x', at byte 3"},
        {"{\"x\":1,\"x\":2}", -1, 0, "its header is not valid JSON: duplicate object key near '\"x\"', at byte 10"},
        {"{\"__metadata__\":{\"a\":\"1\",\"a\":\"1\"}}", -1, 0,
         "its header is not valid JSON: duplicate object key near '\"a\"', at byte 28"},
        {"{\"__metadata__\":[]}", -1, 0, "its __metadata__ is not an object"},
        {"{\"__metadata__\":{\"a\":1}}", -1, 0, "a in its __metadata__ is not a string"},
        {"{\"x\":[]}", -1, 0, "x has no dtype"},
        {"{\"x\":{\"dtype\":1}}", -1, 0, "x has no dtype"},
        {"{\"x\":{\"dtype\":\"F32\"}}", -1, 0, "x has no shape"},
        {"{\"x\":{\"dtype\":\"F32\",\"shape\":[]}}", -1, 0, "x has no data_offsets"},
        {"{\"x\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0]}}", -1, 0, "x has no data_offsets"},
        {"{\"x\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4,8]}}", -1, 4, "x has no data_offsets"},
        {ONE("F32", "[]", "0", "4.0"), -1, 4, "x has no data_offsets"},
        {ONE("f32", "[]", "0", "4"), -1, 4, "x: dtype f32 is not supported"},
        {ONE("F5", "[2]", "0", "1"), -1, 1, "x: dtype F5 is not supported"},
        {ONE("F4", "[3]", "0", "2"), -1, 2, "x: F4 [3] does not end at a whole byte"},
        {ONE("F6_E2M3", "[2]", "0", "2"), -1, 2, "x: F6_E2M3 [2] does not end at a whole byte"},
        {ONE("F4", "[4]", "0", "4"), -1, 4, "x: F4 [4] takes 2 bytes, but its data_offsets are [0,4]"},
        {ONE("F32", "[1,1,1,1,1,1,1,1,1]", "0", "4"), -1, 4, "x has 9 axes; at most 8 are read"},
        {ONE("F32", "[1,-1]", "0", "4"), -1, 4, "x: axis 1 of its shape is not a length"},
        {ONE("F32", "[1.0]", "0", "4"), -1, 4, "x: axis 0 of its shape is not a length"},
        {ONE("F32", "[\"1\"]", "0", "4"), -1, 4, "x: axis 0 of its shape is not a length"},
        {ONE("F32", "[4294967296,4294967296]", "0", "0"), -1, 0, "x: its shape has too many elements"},
        {ONE("U8", "[9223372036854775807]", "0", "9223372036854775807"), -1, 0, "x: its shape has too many elements"},
        {ONE("U8", "[4611686018427387904,4,0]", "0", "0"), -1, 0, "x: its shape has too many elements"},
        {ONE("U8", "[9223372036854775808]", "0", "0"), -1, 0,
         "its header is not valid JSON: too big integer near '9223372036854775808', at byte 47"},
        {ONE("F32", "[]", "0", "5"), -1, 5, "x: F32 [] takes 4 bytes, but its data_offsets are [0,5]"},
        {ONE("F32", "[2]", "0", "4"), -1, 4, "x: F32 [2] takes 8 bytes, but its data_offsets are [0,4]"},
        {ONE("F32", "[]", "0", "-9223372036854775808"), -1, 4,
         "x: F32 [] takes 4 bytes, but its data_offsets are [0,-9223372036854775808]"},
        {ONE("F32", "[0]", "4", "4"), -1, 4, "x begins at byte 4 of the data, but the array before it ends at 0"},
        {ONE("F32", "[]", "-4", "0"), -1, 0, "x begins at byte -4 of the data, but the array before it ends at 0"},
        {ONE("F32", "[]", "0", "4"), -1, 3, "its arrays have 4 bytes, and 3 follow its header"},
        {ONE("F32", "[]", "0", "4"), -1, 5, "its arrays have 4 bytes, and 5 follow its header"},
        {"{}", -1, 1, "its arrays have 0 bytes, and 1 follow its header"},
        {TWO("0", "4", "5", "9"), -1, 9, "y begins at byte 5 of the data, but the array before it ends at 4"},
        {TWO("0", "4", "3", "7"), -1, 7, "y begins at byte 3 of the data, but the array before it ends at 4"},
        {TWO("0", "4", "0", "4"), -1, 4, "y begins at byte 0 of the data, but the array before it ends at 4"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bytes b = make_file(cases[i].header, cases[i].length == -2 ? INT64_MAX : cases[i].length, cases[i].data);
        char text[PATH_SIZE + 300];
        if (cases[i].length == -2) {
            memset(b.at, 0xFF, 8);
            b.at[0] = 0xFE;
        }
        const char *path = write_file("broken", b.at, b.size);
        assert_null(sw_archive_load(path));
        snprintf(text, sizeof text, "%s: %s", path, cases[i].reason);
        expect_error(SW_ERR_FORMAT, text);
        free(b.at);
        remove_file(path);
    }
    const char *path = write_file("broken", "1234567", 7);
    char text[PATH_SIZE + 300];
    assert_null(sw_archive_load(path));
    snprintf(text, sizeof text, "%s: not a safetensors file: it has 7 bytes", path);
    expect_error(SW_ERR_FORMAT, text);
    remove_file(path);
}

/* What looks odd and is legal. */
static void test_unusual_legal_files_are_read(void **state) {
    (void)state;
    static const struct {
        const char *header;
        size_t data;
        int arrays;
    } cases[] = {
        {"{}", 0, 0},
        {"{}       ", 0, 0},
        {"{\"__metadata__\":{}}", 0, 0},
        {"{\"__metadata__\":null}", 0, 0},
        {ONE("F4", "[2]", "0", "1"), 1, 1},
        {ONE("F4", "[0]", "0", "0"), 0, 1},
        {ONE("F6_E2M3", "[2,2]", "0", "3"), 3, 1},
        {ONE("F6_E3M2", "[4]", "0", "3"), 3, 1},
        {ONE("F32", "[]", "0", "4") "   ", 4, 1},
        {ONE("F64", "[0,9223372036854775807]", "0", "0"), 0, 1},
        {TWO("4", "8", "0", "4"), 8, 2}, /* in another order than their data */
        /* an f64 at an odd place of the data */
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
         "\"b\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[1,9]},"
         "\"c\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[9,11],\"more\":[{}]}}",
         11, 3},
        /* an empty one between two, and one of no known use at their end */
        {"{\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[2,4]},"
         "\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
         "\"e\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[2,2]},"
         "\"z\":{\"dtype\":\"C64\",\"shape\":[0],\"data_offsets\":[4,4]}}",
         4, 4},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bytes b = make_file(cases[i].header, -1, cases[i].data);
        const char *path = write_file("odd", b.at, b.size);
        sw_archive *a = sw_archive_load(path);
        expect_no_error();
        assert_int_equal(sw_archive_count(a), cases[i].arrays);
        for (int k = 0; k < cases[i].arrays; k++) {
            const sw_archive_item item = sw_archive_at(a, k);
            assert_true(item.array.data || strcmp(item.stored, "C64") == 0 || strcmp(item.stored, "F4") == 0 ||
                        strncmp(item.stored, "F6_", 3) == 0);
            for (int64_t j = 0; item.array.data && j < sw_array_count(&item.array); j++)
                assert_true(test_get(&item.array, j) != 0);
        }
        sw_archive_free(a);
        free(b.at);
        remove_file(path);
    }
}

/* ---- Damage ---- */

/* Read, and every number looked at; or refused. */
static bool survives(const void *data, size_t size) {
    test_allocator memory;
    const char *path = write_file("damaged", data, size);
    test_all_memory(&memory);
    sw_archive *a = sw_archive_load(path);
    if (a) {
        assert_null(sw_error());
        volatile double seen = 0;
        for (int i = 0; i < sw_archive_count(a); i++) {
            const sw_array x = sw_archive_at(a, i).array;
            for (int64_t k = 0; x.data && k < sw_array_count(&x); k++)
                seen = test_get(&x, k);
        }
        (void)seen;
    } else {
        assert_non_null(sw_error());
        assert_int_equal(strncmp(sw_error(), path, strlen(path)), 0);
        sw_clear_error();
    }
    const bool read = a != NULL;
    sw_archive_free(a);
    assert_int_equal(memory.live, 0);
    test_all_memory(NULL);
    remove_file(path);
    return read;
}

static void damage(const void *data, size_t size) {
    bytes copy = make_bytes(size);
    memcpy(copy.at, data, size);
    assert_true(survives(copy.at, size));
    for (size_t n = 0; n < size; n++)
        assert_false(survives(copy.at, n)); /* the last array ends with the file */
    int read = 0;
    for (size_t bit = 0; bit < 8 * size; bit++) {
        copy.at[bit / 8] ^= (unsigned char)(1u << bit % 8);
        read += survives(copy.at, size);
        copy.at[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
    assert_true(read > 0); /* other numbers are numbers too */
    free(copy.at);
}

static void test_damage_at_every_byte_and_bit_is_survived(void **state) {
    (void)state;
    const int before = count_entries("/proc/self/fd");
    damage(golden_written, sizeof golden_written);
    damage(golden_kinds, sizeof golden_kinds);
    damage(golden_rounded, sizeof golden_rounded);
    assert_int_equal(count_entries("/proc/self/fd"), before);
}

/* ---- No memory ---- */

/* Names of at most 13 bytes: for longer ones jansson's buffer grows, and where it cannot, jansson 2.14 may
 * end in an assertion. */
static void test_opening_survives_every_failed_allocation(void **state) {
    (void)state;
    test_allocator memory;
    const char *path = path_of("memory");
    sw_archive *a = sw_archive_new();
    sw_archive_put(a, "x", sw_array_view(a_data, SW_F32, SW_SHAPE(2)));
    sw_archive_put(a, "größe", sw_array_view(&scalar, SW_F64, 0, NULL));
    sw_archive_set_text(a, "about", "it");
    assert_int_equal(sw_archive_save(a, path), SW_OK);
    sw_archive_free(a);
    for (int good = 0; good < 2; good++) {
        bool done = false;
        for (long long k = 1; !done; k++) {
            test_all_memory(&memory);
            test_allocator_fail(&memory, k, good);
            a = sw_archive_load(path);
            done = a != NULL;
            if (done) {
                assert_memory_equal(sw_archive_get(a, "x").data, a_data, sizeof a_data);
                assert_memory_equal(sw_archive_get(a, "größe").data, &scalar, sizeof scalar);
                assert_string_equal(sw_archive_text(a, "about"), "it");
                expect_no_error();
            }
            assert_int_equal(done, !memory.failed);
            assert_int_equal(sw_error_status(), done ? SW_OK : SW_ERR_MEMORY);
            if (!done && k > 2) /* from the archive and its path on */
                assert_int_equal(strncmp(sw_error(), path, strlen(path)), 0);
            sw_clear_error();
            sw_archive_free(a);
            assert_int_equal(memory.live, 0);
            test_all_memory(NULL);
        }
    }
    remove_file(path);
}

/* ---- Mistakes ---- */

static void test_archive_refuses_wrong_calls(void **state) {
    (void)state;
    const float x = 1;
    const sw_array one = sw_array_view(&x, SW_F32, 0, NULL);
    sw_archive *a = sw_archive_new();
    const char *path = path_of("mistake");
    char text[PATH_SIZE + 200];
    assert_int_equal(sw_archive_put(a, "x", one), SW_OK);
    assert_int_equal(sw_archive_put(a, "x", one), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "archive: there are two arrays x");
    assert_int_equal(sw_archive_save(a, path), SW_ERR_STATE);
    snprintf(text, sizeof text, "%s: not saved: the archive is incomplete, because an earlier call failed", path);
    expect_error(SW_ERR_STATE, text);
    sw_archive_put(a, "", one);
    expect_error(SW_ERR_ARGUMENT, "archive: an array needs a name");
    sw_archive_put_copy(a, NULL, one);
    expect_error(SW_ERR_ARGUMENT, "archive: an array needs a name");
    sw_archive_put(a, "__metadata__", one);
    expect_error(SW_ERR_ARGUMENT, "archive: the format reserves the name __metadata__");
    sw_archive_put(a, "y", (sw_array){.type = (sw_dtype)9});
    expect_error(SW_ERR_TYPE, "archive: y: 9 is not an element type");
    sw_archive_put(a, "y", (sw_array){0});
    expect_error(SW_ERR_ARGUMENT, "archive: y has no data");
    sw_archive_put(a, "y", (sw_array){.rank = 9});
    expect_error(SW_ERR_SHAPE, "an array has 0 to 8 axes, not 9");
    sw_archive_set_text(a, "key", NULL);
    expect_error(SW_ERR_ARGUMENT, "archive: a text and its key must not be NULL");
    assert_int_equal(sw_archive_count(a), 1);
    sw_archive_free(a);
    a = sw_archive_new();
    sw_archive_put(a, "x\xff", one);
    assert_int_equal(sw_archive_save(a, path), SW_ERR_ARGUMENT);
    snprintf(text, sizeof text, "%s: the name x\xff is not UTF-8", path);
    expect_error(SW_ERR_ARGUMENT, text);
    sw_archive_free(a);
    a = sw_archive_new();
    sw_archive_set_text(a, "key", "\xc0");
    assert_int_equal(sw_archive_save(a, path), SW_ERR_ARGUMENT);
    snprintf(text, sizeof text, "%s: the text of key is not UTF-8", path);
    expect_error(SW_ERR_ARGUMENT, text);
    sw_archive_set_text(a, "key", "");
    sw_archive_set_text(a, "\xff", "");
    assert_int_equal(sw_archive_save(a, path), SW_ERR_ARGUMENT);
    snprintf(text, sizeof text, "%s: the name \xff is not UTF-8", path);
    expect_error(SW_ERR_ARGUMENT, text);
    assert_int_equal(sw_archive_save(a, NULL), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "archive: the path is NULL");
    assert_null(sw_archive_get(a, NULL).data);
    expect_error(SW_ERR_ARGUMENT, "archive: the name of the array is NULL");
    assert_null(sw_archive_get(a, "x").data);
    expect_error(SW_ERR_ARGUMENT, "archive: there is no array x");
    sw_archive_free(a);
    assert_null(sw_archive_load(NULL));
    expect_error(SW_ERR_ARGUMENT, "archive: the path is NULL");
    assert_int_equal(sw_archive_put(NULL, "x", one), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "archive: the archive is NULL");
    assert_int_equal(sw_archive_save(NULL, path), SW_ERR_ARGUMENT);
    expect_error(SW_ERR_ARGUMENT, "archive: the archive is NULL");
    assert_null(sw_archive_get(NULL, "x").data);
    expect_error(SW_ERR_ARGUMENT, "archive: the archive is NULL");
    assert_null(sw_archive_path(NULL));
    assert_null(sw_archive_text(NULL, "x"));
    assert_int_equal(sw_archive_count(NULL) + sw_archive_text_count(NULL), 0);
    sw_archive_free(NULL);
    expect_no_error();
}

/* Arrays in 16-bit types are saved and loaded with their bits. */
static void test_halves_are_saved_as_they_are(void **state) {
    (void)state;
    static const uint16_t bits[4] = {0x3C01, 0x8001, 0x7BFF, 0x4248};
    static const sw_dtype types[2] = {SW_F16, SW_BF16};
    const char *path = path_of("halves.safetensors");
    sw_archive *a = sw_archive_new();
    for (int k = 0; k < 2; k++)
        assert_int_equal(sw_archive_put_copy(a, sw_dtype_name(types[k]), sw_array_view(bits, types[k], SW_SHAPE(4))),
                         SW_OK);
    assert_string_equal(sw_archive_at(a, 0).stored, "F16");
    assert_string_equal(sw_archive_at(a, 1).stored, "BF16");
    assert_int_equal(sw_archive_get(a, "bf16").type, SW_BF16);
    assert_int_equal(sw_archive_save(a, path), SW_OK);
    sw_archive_free(a);
    a = sw_archive_load(path);
    for (int k = 0; k < 2; k++) {
        const sw_array x = sw_archive_get(a, sw_dtype_name(types[k]));
        assert_int_equal(x.type, types[k]);
        assert_memory_equal(x.data, bits, sizeof bits);
    }
    sw_archive_free(a);
    remove_file(path);
    expect_no_error();
}

/* Counters are for files: a tape takes no i64. */
static void test_tape_refuses_i64(void **state) {
    (void)state;
    sw_tape *tape = sw_tape_new();
    assert_true(sw_is_null(sw_input(tape, sw_array_view(count_data, SW_I64, SW_SHAPE(2)))));
    expect_error(SW_ERR_TYPE, "input: i64 is for files; i32 is needed");
    assert_true(sw_is_null(sw_empty(tape, SW_I64, SW_SHAPE(2))));
    expect_error(SW_ERR_TYPE, "empty: i64 is for files; i32 is needed");
    sw_tape_free(tape);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup(name, test_clear)
    const struct CMUnitTest tests[] = {
        TEST(test_python_package_writes_the_same_bytes),
        TEST(test_files_of_the_python_package_are_read),
        TEST(test_every_16_bit_float_is_read),
        TEST(test_file_that_breaks_a_rule_is_refused),
        TEST(test_unusual_legal_files_are_read),
        TEST(test_damage_at_every_byte_and_bit_is_survived),
        TEST(test_opening_survives_every_failed_allocation),
        TEST(test_archive_refuses_wrong_calls),
        TEST(test_halves_are_saved_as_they_are),
        TEST(test_tape_refuses_i64),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
