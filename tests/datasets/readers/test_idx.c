/* The IDX reader, the files that it must refuse, and SHA-256. */
#include "helpers.h"

static const int64_t cube[3] = {5, 3, 4};

/* ---- What it reads ---- */

static void check_contents(const sw_array *array, int rank, const int64_t *shape) {
    assert_int_equal(array->type, SW_U8);
    assert_int_equal(array->rank, rank);
    for (int i = 0; i < rank; i++)
        assert_int_equal(array->shape[i], shape[i]);
    const unsigned char *pixel = array->data;
    assert_non_null(pixel);
    for (int64_t i = 0; i < sw_array_count(array); i++)
        assert_int_equal(pixel[i], noise((size_t)i));
}

/* Reads a file of this shape, plain and compressed, under a name that says nothing. */
static void check_reads(int rank, const int64_t *shape) {
    bytes plain = make_idx(rank, shape), packed = gzip(plain.at, plain.size);
    const bytes *both[2] = {&plain, &packed};
    for (int i = 0; i < 2; i++) {
        const char *path = write_file("data", both[i]->at, both[i]->size);
        sw_array array;
        count_memory(-1);
        assert_int_equal(sw_idx_load(path, &array), SW_OK);
        assert_null(sw_error());
        check_contents(&array, rank, shape);
        sw_array_free(&array);
        assert_null(array.data);
        check_memory();
        remove_file(path);
    }
    free(plain.at);
    free(packed.at);
}

static void test_reads_ranks_1_to_8(void **state) {
    (void)state;
    check_reads(1, (int64_t[]){1});
    check_reads(1, (int64_t[]){1000});
    check_reads(2, (int64_t[]){7, 9});
    check_reads(3, cube);
    check_reads(8, (int64_t[]){1, 2, 3, 1, 2, 1, 3, 2});
}

static void test_reads_an_empty_array(void **state) {
    (void)state;
    check_reads(1, (int64_t[]){0});
    check_reads(3, (int64_t[]){0, 28, 28});
}

/* More than one block of compressed bytes, and more than one piece of output each. */
static void test_reads_large_files(void **state) {
    (void)state;
    check_reads(3, (int64_t[]){900, 31, 33});
}

/* The best ratio that deflate can reach must not be taken for a lie. */
static void test_reads_highly_compressed_zeros(void **state) {
    (void)state;
    const int64_t n = 20 << 20;
    bytes plain = make_idx(1, &n);
    memset(plain.at + 8, 0, (size_t)n);
    bytes packed = gzip(plain.at, plain.size);
    assert_true(packed.size * 1000 < plain.size);
    const char *path = write_file("zeros", packed.at, packed.size);
    sw_array array;
    assert_int_equal(sw_idx_load(path, &array), SW_OK);
    assert_int_equal(array.shape[0], n);
    sw_array_free(&array);
    remove_file(path);
    free(plain.at);
    free(packed.at);
}

/* ---- What it refuses ---- */

static void check_refused(const void *data, size_t size, const char *part) {
    const char *path = write_file("refused", data, size);
    sw_array array = {.rank = 7};
    count_memory(-1);
    assert_int_equal(sw_idx_load(path, &array), SW_ERR_FORMAT);
    assert_null(array.data);
    assert_int_equal(array.rank, 0);
    check_error(SW_ERR_FORMAT, path, part);
    check_memory();
    remove_file(path);
}

static void check_refused_both(const void *data, size_t size, const char *plain_part, const char *packed_part) {
    bytes packed = gzip(data, size);
    check_refused(data, size, plain_part);
    check_refused(packed.at, packed.size, packed_part);
    free(packed.at);
}

static void test_unreadable_path_is_refused(void **state) {
    (void)state;
    sw_array array;
    const char *path = path_of("nothing");
    assert_int_equal(sw_idx_load(path, &array), SW_ERR_IO);
    check_error(SW_ERR_IO, path, "No such file");
    assert_int_equal(sw_idx_load(folder, &array), SW_ERR_IO);
    check_error(SW_ERR_IO, folder, "directory");
    assert_int_equal(sw_idx_load("", &array), SW_ERR_IO);
    check_error(SW_ERR_IO, "", "opened");
    assert_int_equal(sw_idx_load("/dev/zero", &array), SW_ERR_IO);
    check_error(SW_ERR_IO, "/dev/zero", "not an ordinary file");
    assert_int_equal(sw_idx_load(NULL, &array), SW_ERR_ARGUMENT);
    check_error(SW_ERR_ARGUMENT, "idx", "path is NULL");
    assert_int_equal(sw_idx_load(path, NULL), SW_ERR_ARGUMENT);
    check_error(SW_ERR_ARGUMENT, "idx", "array is NULL");
    sw_array_free(NULL);
}

static void test_refuses_a_very_long_path_with_its_reason(void **state) {
    (void)state;
    char path[3000];
    sw_array array;
    memset(path, 'x', sizeof path - 1);
    path[sizeof path - 1] = 0;
    assert_int_equal(sw_idx_load(path, &array), SW_ERR_IO);
    assert_non_null(strstr(sw_error(), "cannot be opened: "));
    sw_clear_error();
}

static void test_refuses_wrong_headers(void **state) {
    (void)state;
    bytes good = make_idx(3, cube);
    check_refused("", 0, "is empty");
    check_refused("\0", 1, "one byte");
    check_refused("P5 28 28", 8, "begins with 50 35");
    check_refused_both("", 0, "is empty", "end within the header");
    check_refused_both("\0\0\x08", 3, "header", "header");
    check_refused_both("\0\0\x08\0", 4, "rank 0", "rank 0");
    check_refused_both("\0\0\x08\x09", 4, "rank 9", "rank 9");
    good.at[2] = 0x0d; /* float */
    check_refused_both(good.at, good.size, "type 0x0d", "type 0x0d");
    good.at[2] = 8;
    good.at[1] = 1;
    check_refused_both(good.at, good.size, "begins with 00 01", "begin with 00 01");
    free(good.at);
}

static void test_refuses_trailing_bytes(void **state) {
    (void)state;
    bytes good = make_idx(3, cube), packed = gzip(good.at, good.size);
    bytes more = make_bytes(good.size + 1);
    memcpy(more.at, good.at, good.size);
    more.at[good.size] = 0;
    check_refused_both(more.at, more.size, "trailing bytes", "more contents");
    /* After the gzip member: zeros and something else, another member, an empty member. */
    bytes empty = gzip("", 0), tail[3] = {{(unsigned char[]){0, 0, 1}, 3}, packed, empty};
    for (int i = 0; i < 3; i++) {
        bytes both = make_bytes(packed.size + tail[i].size);
        memcpy(both.at, packed.at, packed.size);
        memcpy(both.at + packed.size, tail[i].at, tail[i].size);
        check_refused(both.at, both.size, "trailing bytes after");
        free(both.at);
    }
    free(empty.at);
    free(more.at);
    free(packed.at);
    free(good.at);
}

/* As gzip and Python's module do: zeros pad a file to whole blocks. Also more of them than are read at once. */
static void test_zeros_after_the_gzip_data_are_skipped(void **state) {
    (void)state;
    static const size_t zeros[] = {1, 512, 300000};
    bytes good = make_idx(3, cube), packed = gzip(good.at, good.size);
    for (int i = 0; i < 3; i++) {
        bytes padded = make_bytes(packed.size + zeros[i]);
        sw_array array;
        memset(padded.at, 0, padded.size);
        memcpy(padded.at, packed.at, packed.size);
        const char *path = write_file("padded", padded.at, padded.size);
        assert_int_equal(sw_idx_load(path, &array), SW_OK);
        assert_memory_equal(array.data, good.at + 16, good.size - 16);
        sw_array_free(&array);
        remove_file(path);
        free(padded.at);
    }
    free(packed.at);
    free(good.at);
}

/* Two members whose contents together are the file: refused, though gzip would join them. */
static void test_refuses_a_split_gzip_file(void **state) {
    (void)state;
    bytes good = make_idx(3, cube);
    bytes first = gzip(good.at, 30), second = gzip(good.at + 30, good.size - 30);
    bytes both = make_bytes(first.size + second.size);
    memcpy(both.at, first.at, first.size);
    memcpy(both.at + first.size, second.at, second.size);
    check_refused(both.at, both.size, "contents end within the elements");
    free(both.at);
    free(first.at);
    free(second.at);
    free(good.at);
}

/* Trailing bytes that lie in a later block than the end of the member. */
static void test_refuses_trailing_bytes_in_the_next_block(void **state) {
    (void)state;
    const size_t block = 128 * 1024;
    const int64_t n = 200000;
    bytes good = make_idx(1, &n);
    for (size_t i = 0, x = 1; i < (size_t)n; i++, x = x * 6364136223846793005u + 1442695040888963407u)
        good.at[8 + i] = (unsigned char)(x >> 33); /* does not compress */
    /* A comment in the header moves the end of the member to the end of a block. */
    bytes packed = gzip(good.at, good.size);
    size_t fill = 2 * block - packed.size - 1;
    assert_true(packed.size < 2 * block);
    bytes moved = make_bytes(2 * block + 1);
    memcpy(moved.at, packed.at, 10);
    moved.at[3] = 0x10; /* FCOMMENT */
    memset(moved.at + 10, 'c', fill);
    moved.at[10 + fill] = 0;
    memcpy(moved.at + 11 + fill, packed.at + 10, packed.size - 10);
    moved.at[2 * block] = 'x';
    check_refused(moved.at, moved.size, "trailing bytes after");
    const char *path = write_file("comment", moved.at, moved.size - 1);
    sw_array array;
    assert_int_equal(sw_idx_load(path, &array), SW_OK);
    assert_memory_equal(array.data, good.at + 8, (size_t)n);
    sw_array_free(&array);
    remove_file(path);
    free(moved.at);
    free(packed.at);
    free(good.at);
}

/* Headers that promise far more than the file can hold: refused before memory is asked for. */
static void test_refuses_hostile_shapes(void **state) {
    (void)state;
    static const unsigned char header[5][36] = {
        {0, 0, 8, 1, 255, 255, 255, 255},
        {0, 0, 8, 2, 255, 255, 255, 255, 127, 255, 255, 255},
        {0, 0, 8, 3, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255},
        {0, 0, 8, 4, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0}, /* 2^64: zero, if it wraps */
        {0, 0, 8, 3, 0, 200, 0, 0, 0, 0, 3, 16, 0, 0, 3, 16}};
    for (int i = 0; i < 5; i++) {
        size_t size = 4 + 4 * (size_t)header[i][3];
        bytes packed = gzip(header[i], sizeof header[i]);
        bool overflows = i == 2 || i == 3;
        const char *paths[2] = {write_file("plain", header[i], size), write_file("packed", packed.at, packed.size)};
        for (int j = 0; j < 2; j++) {
            sw_array array;
            count_memory(-1);
            assert_int_equal(sw_idx_load(paths[j], &array), SW_ERR_FORMAT);
            check_error(SW_ERR_FORMAT, paths[j],
                        overflows ? "overflows"
                        : j       ? "compressed bytes can contain"
                                  : "truncated");
            assert_true(memory_requests() < 5); /* the block and zlib's own */
            check_memory();
            remove_file(paths[j]);
        }
        free(packed.at);
    }
}

static void test_refuses_every_truncation(void **state) {
    (void)state;
    bytes good = make_idx(3, cube), packed = gzip(good.at, good.size);
    for (size_t n = 0; n < good.size; n++)
        check_refused(good.at, n, n < 2 ? NULL : "truncated");
    for (size_t n = 0; n < packed.size; n++)
        check_refused(packed.at, n, n < 2 ? NULL : "truncated");
    free(packed.at);
    free(good.at);
}

/* ---- Every bit ---- */

/* Loads the file; true if that worked. The contents go to `out`. */
static bool loads(const bytes *data, unsigned char *out, size_t size) {
    const char *path = write_file("flipped", data->at, data->size);
    sw_array array;
    count_memory(-1);
    bool ok = sw_idx_load(path, &array) == SW_OK;
    if (ok) {
        assert_null(sw_error());
        assert_int_equal(sw_array_count(&array), size);
        memcpy(out, array.data, size);
        sw_array_free(&array);
    } else {
        check_error(SW_ERR_FORMAT, path, NULL);
    }
    check_memory();
    remove_file(path);
    return ok;
}

static void test_survives_every_flipped_bit_of_a_plain_file(void **state) {
    (void)state;
    bytes data = make_idx(3, cube);
    const size_t header = 16, size = data.size - header;
    unsigned char read[60], flipped[60];
    assert_int_equal(size, sizeof read);
    for (size_t bit = 0; bit < 8 * data.size; bit++) {
        data.at[bit / 8] ^= (unsigned char)(1u << bit % 8);
        memcpy(flipped, data.at + header, size);
        bool ok = loads(&data, read, size);
        assert_int_equal(ok, bit / 8 >= header); /* a pixel may have any value */
        if (ok)
            assert_memory_equal(read, flipped, size);
        data.at[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
    free(data.at);
}

static void test_finds_every_flipped_bit_of_a_gzip_file(void **state) {
    (void)state;
    bytes plain = make_idx(3, cube), data = gzip(plain.at, plain.size);
    const size_t size = plain.size - 16;
    unsigned char read[60];
    int harmless = 0;
    for (size_t bit = 0; bit < 8 * data.size; bit++) {
        data.at[bit / 8] ^= (unsigned char)(1u << bit % 8);
        if (loads(&data, read, size)) { /* a time, an operating system: not read */
            assert_memory_equal(read, plain.at + 16, size);
            harmless++;
        }
        data.at[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
    assert_in_range(harmless, 1, 8 * 6 + 1 + 7); /* mtime, XFL, OS; FTEXT; bits after the last code */
    free(data.at);
    free(plain.at);
}

/* ---- Memory ---- */

static void test_idx_survives_every_failed_allocation(void **state) {
    (void)state;
    bytes plain = make_idx(3, cube), packed = gzip(plain.at, plain.size);
    const bytes *both[2] = {&plain, &packed};
    for (int i = 0; i < 2; i++) {
        const char *path = write_file("data", both[i]->at, both[i]->size);
        sw_status status = SW_ERR_MEMORY;
        int64_t k = 0;
        for (; status != SW_OK; k++) {
            sw_array array;
            count_memory(k);
            status = sw_idx_load(path, &array);
            if (status != SW_OK) {
                assert_int_equal(status, SW_ERR_MEMORY);
                assert_null(array.data);
                check_error(SW_ERR_MEMORY, path, "out of memory");
            }
            sw_array_free(&array);
            check_memory();
            assert_true(k < 20);
        }
        assert_true(k > (i ? 3 : 1));
        remove_file(path);
    }
    free(packed.at);
    free(plain.at);
}

static void test_idx_keeps_the_first_message(void **state) {
    (void)state;
    sw_array array;
    sw_fail(SW_ERR_USER, "the first message");
    assert_int_equal(sw_idx_load(path_of("nothing"), &array), SW_ERR_IO);
    bytes plain = make_idx(3, cube);
    const char *path = write_file("data", plain.at, plain.size);
    count_memory(0);
    assert_int_equal(sw_idx_load(path, &array), SW_ERR_MEMORY);
    check_memory();
    check_error(SW_ERR_USER, "the", " first");
    remove_file(path);
    free(plain.at);
}

static size_t largest_block;

static void *largest_allocate(void *user, size_t size, size_t alignment) {
    largest_block = size > largest_block ? size : largest_block;
    return test_allocator_take(user, size, alignment);
}

/* ---- Images ---- */

static const sw_images_options ten = {.size = sizeof(sw_images_options), .classes = 10};

static void check_no_images(const char *images, const char *labels, const sw_images_options *options, sw_status status,
                            const char *path, const char *part) {
    count_memory(-1);
    assert_null(sw_idx_images(images, labels, options));
    check_error(status, path, part);
    check_memory();
}

static void test_images_refuse_files_that_do_not_fit_together(void **state) {
    (void)state;
    bytes pixels = make_idx(3, cube), flat = make_idx(2, cube);
    bytes none = make_idx(3, (int64_t[]){0, 3, 4}), label = make_idx(1, (int64_t[]){5});
    bytes four = make_idx(1, (int64_t[]){4});
    memcpy(label.at + 8, "\0\1\2\3\11", 5);
    const char *images = write_file("images", pixels.at, pixels.size);
    const char *rank2 = write_file("flat", flat.at, flat.size);
    const char *empty = write_file("none", none.at, none.size);
    const char *labels = write_file("labels", label.at, label.size);
    const char *fewer = write_file("fewer", four.at, four.size);
    sw_images_options options = ten;
    check_no_images(rank2, labels, &ten, SW_ERR_FORMAT, rank2, "[n, height, width]");
    check_no_images(empty, labels, &ten, SW_ERR_FORMAT, empty, "no pixel");
    check_no_images(images, images, &ten, SW_ERR_FORMAT, images, "labels is not [n]");
    check_no_images(images, fewer, &ten, SW_ERR_FORMAT, fewer, "4 labels for 5 images");
    check_no_images(images, "/nowhere", &ten, SW_ERR_IO, "/nowhere", "No such file");
    check_no_images("/nowhere", labels, &ten, SW_ERR_IO, "/nowhere", "No such file");
    check_no_images(NULL, labels, &ten, SW_ERR_ARGUMENT, "idx", "NULL");
    options.classes = 9;
    check_no_images(images, labels, &options, SW_ERR_FORMAT, labels, "label 9 of sample 4");
    options.classes = 257;
    check_no_images(images, labels, &options, SW_ERR_ARGUMENT, "images", "257 classes");
    options.classes = -1;
    check_no_images(images, labels, &options, SW_ERR_ARGUMENT, "images", "-1 classes");
    options.classes = 0;
    options.class_names = (const char *const[]){"a"};
    check_no_images(images, labels, &options, SW_ERR_ARGUMENT, "images", "class_names need `classes`");
    options = ten;
    options.scale = (double)INFINITY;
    check_no_images(images, labels, &options, SW_ERR_ARGUMENT, "images", "finite");
    options.size = 0;
    check_no_images(images, labels, &options, SW_ERR_ARGUMENT, "images", "options.size");
    const char *all[] = {images, rank2, empty, labels, fewer};
    for (int i = 0; i < 5; i++)
        remove_file(all[i]);
    free(pixels.at), free(flat.at), free(none.at), free(label.at), free(four.at);
}

static void test_images_take_their_classes_from_the_labels(void **state) {
    (void)state;
    static const int32_t ids[5] = {1, 0, 3, 2, 1};
    static const char *const names[4] = {"1", "2", "3", "200"};
    bytes pixels = make_idx(3, cube), label = make_idx(1, (int64_t[]){5});
    memcpy(label.at + 8, "\2\1\310\3\2", 5);
    const char *images = write_file("images", pixels.at, pixels.size),
               *labels = write_file("labels", label.at, label.size);
    int32_t y[5];
    count_memory(-1);
    sw_source *s = sw_idx_images(images, labels, NULL);
    assert_non_null(s);
    assert_int_equal(s->classes, 4);
    for (int c = 0; c < 4; c++)
        assert_string_equal(s->class_names[c], names[c]);
    assert_int_equal(sw_source_gather(s, SW_F32, 0, (int64_t[]){0, 1, 2, 3, 4}, 5, NULL, y), SW_OK);
    assert_memory_equal(y, ids, sizeof ids);
    sw_source_free(s);
    check_memory();
    remove_file(images);
    remove_file(labels);
    free(pixels.at), free(label.at);
}

/* A header that claims as much as could come out of the file at 1032:1, and little that does come. */
static void test_memory_is_bounded_by_the_contents(void **state) {
    (void)state;
    const int64_t claimed = 4000000;
    bytes good = make_idx(1, &claimed);
    for (size_t i = 8, x = 1; i < 5000; i++, x = x * 6364136223846793005u + 1442695040888963407u)
        good.at[i] = (unsigned char)(x >> 33);
    bytes packed = gzip(good.at, 5000);
    sw_array array;
    assert_true(claimed / 1032 < (int64_t)packed.size);
    const char *path = write_file("claims", packed.at, packed.size);
    largest_block = 0;
    static const sw_allocator measuring = {sizeof(sw_allocator), &memory, largest_allocate, test_allocator_give};
    count_memory(-1);
    sw_set_allocator(&measuring);
    assert_int_equal(sw_idx_load(path, &array), SW_ERR_FORMAT);
    check_memory();
    check_error(SW_ERR_FORMAT, path, "truncated: the contents end within the elements");
    assert_true(largest_block <= 128 * 1024 + SW_ALIGNMENT); /* the block of compressed bytes, and its header */
    remove_file(path);
    free(packed.at), free(good.at);
}

static void test_images_survive_every_failed_allocation(void **state) {
    (void)state;
    bytes pixels = make_idx(3, cube), label = make_idx(1, (int64_t[]){5});
    memset(label.at + 8, 3, 5);
    bytes packed = gzip(pixels.at, pixels.size);
    const char *images = write_file("images", packed.at, packed.size);
    const char *labels = write_file("labels", label.at, label.size);
    sw_source *source = NULL;
    int64_t k = 0;
    for (; !source; k++) {
        count_memory(k);
        source = sw_idx_images(images, labels, &ten);
        if (!source)
            check_error(SW_ERR_MEMORY, "", "out of memory");
        sw_source_free(source);
        check_memory();
        assert_true(k < 20);
    }
    assert_true(k > 5);
    remove_file(images);
    remove_file(labels);
    free(pixels.at), free(label.at), free(packed.at);
}

/* ---- SHA-256: the examples of FIPS 180-4 and NIST's million ---- */

static void test_sha256_of_known_texts(void **state) {
    static const struct {
        const char *text, *hex;
    } known[] = {{"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
                 {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
                 {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                  "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
                 {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqr"
                  "lmnopqrsmnopqrstnopqrstu",
                  "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"}};
    char hex[65];
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        sw_sha256(known[i].text, strlen(known[i].text), hex);
        assert_string_equal(hex, known[i].hex);
    }
    sw_sha256(NULL, 0, hex);
    assert_string_equal(hex, known[0].hex);
    char *million = malloc(1000000);
    assert_non_null(million);
    memset(million, 'a', 1000000);
    sw_sha256(million, 1000000, hex);
    assert_string_equal(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    free(million);
}

/* Lengths around the ends of blocks, where padding takes one block or two: the digest of the
 * digests of 0, 1, …, 200 letters, worked out with Python's hashlib. */
static void test_sha256_of_every_length(void **state) {
    char text[200], hex[65], all[201 * 64];
    (void)state;
    memset(text, 'x', sizeof text);
    for (size_t n = 0; n <= 200; n++) {
        sw_sha256(text, n, hex);
        memcpy(all + 64 * n, hex, 64);
    }
    sw_sha256(all, sizeof all, hex);
    assert_string_equal(hex, "75013a3fd49991ead9d8a57ea80485c088443c3406a0e8fa003ed57144041eb4");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_ranks_1_to_8),
        cmocka_unit_test(test_reads_an_empty_array),
        cmocka_unit_test(test_reads_large_files),
        cmocka_unit_test(test_reads_highly_compressed_zeros),
        cmocka_unit_test(test_unreadable_path_is_refused),
        cmocka_unit_test(test_refuses_a_very_long_path_with_its_reason),
        cmocka_unit_test(test_refuses_wrong_headers),
        cmocka_unit_test(test_zeros_after_the_gzip_data_are_skipped),
        cmocka_unit_test(test_refuses_trailing_bytes),
        cmocka_unit_test(test_refuses_a_split_gzip_file),
        cmocka_unit_test(test_refuses_trailing_bytes_in_the_next_block),
        cmocka_unit_test(test_refuses_hostile_shapes),
        cmocka_unit_test(test_refuses_every_truncation),
        cmocka_unit_test(test_survives_every_flipped_bit_of_a_plain_file),
        cmocka_unit_test(test_finds_every_flipped_bit_of_a_gzip_file),
        cmocka_unit_test(test_idx_survives_every_failed_allocation),
        cmocka_unit_test(test_idx_keeps_the_first_message),
        cmocka_unit_test(test_images_refuse_files_that_do_not_fit_together),
        cmocka_unit_test(test_images_take_their_classes_from_the_labels),
        cmocka_unit_test(test_memory_is_bounded_by_the_contents),
        cmocka_unit_test(test_images_survive_every_failed_allocation),
        cmocka_unit_test(test_sha256_of_known_texts),
        cmocka_unit_test(test_sha256_of_every_length),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
