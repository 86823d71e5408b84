/* Damaged files, for every reader except IDX (test_idx.c): truncated at every byte, every bit inverted. Each file is
 * read, or refused with a message that begins with the path. No memory leaks, the memory is limited by the size of the
 * file, and no file stays open. Every allocation fails in turn. */
#include "helpers.h"

#include "golden/pictures.h"
#include "png.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

/* ---- Memory in use at most ---- */

static struct { int64_t live, in_use, most; } heap;

static void *measuring_allocate(void *user, size_t size, size_t alignment) {
    (void)user;
    unsigned char *block = aligned_alloc(alignment, size + alignment);
    assert_non_null(block);
    memcpy(block, &size, sizeof size);
    heap.live++;
    heap.in_use += (int64_t)size;
    heap.most = heap.in_use > heap.most ? heap.in_use : heap.most;
    return block + alignment;
}

static void measuring_release(void *user, void *memory_of) {
    size_t size;
    unsigned char *block = (unsigned char *)memory_of - 64;
    (void)user;
    memcpy(&size, block, sizeof size);
    heap.live--;
    heap.in_use -= (int64_t)size;
    free(block);
}

/* ---- The readers ---- */

typedef bool reader(const char *path);

static bool read_csv(const char *path) {
    const sw_csv_options o = {.size = sizeof o, .target = SW_CSV_CLASS_IDS, .target_column = -1};
    sw_source *s = sw_csv(path, &o);
    double x[64];
    if (s && s->x_shape[0] <= 64)
        for (int64_t i = 0; i < s->n; i++) {
            assert_int_equal(sw_source_gather(s, SW_F64, 0, &i, 1, x, NULL), SW_OK);
            for (int64_t j = 0; j < s->x_shape[0]; j++)
                assert_true(isfinite(x[j]));
        }
    sw_source_free(s);
    return s != NULL;
}

/* All that was read can be gathered; rows of many columns, which a damaged index makes, are not. */
static bool read_svmlight(const char *path) {
    sw_svmlight *d = sw_svmlight_load(path, NULL);
    float x[64];
    if (d) {
        assert_int_equal(sw_csr_check(&d->x), SW_OK);
        for (int64_t i = 0; i < d->x.rows; i++) {
            assert_true(isfinite(d->y[i]) && (!d->ids || d->class_values[d->ids[i]] == d->y[i]));
            if (d->x.columns <= 64)
                assert_int_equal(sw_source_gather(d->source, SW_F32, 0, &i, 1, x, NULL), SW_OK);
        }
    }
    sw_svmlight_free(d);
    return d != NULL;
}

static bool read_text(const char *path) {
    size_t size;
    char *text = sw_text_load(path, &size);
    unsigned sum = 0;
    for (size_t i = 0; text && i <= size; i++)
        sum += (unsigned char)text[i]; /* every byte can be read, and the zero byte behind them */
    assert_true(text ? text[size] == 0 : size == 0 && sum == 0);
    sw_free(text);
    return text != NULL;
}

static bool read_tokenizer(const char *path) {
    sw_tokenizer *t = sw_tokenizer_new_from_file(path);
    for (int64_t id = 0; id < sw_tokenizer_count(t); id++)
        assert_non_null(sw_tokenizer_at(t, id, NULL));
    sw_tokenizer_free(t);
    return t != NULL;
}

static bool read_picture(const char *path) {
    sw_array a;
    bool ok = sw_picture_load(path, 3, &a) == SW_OK;
    unsigned sum = 0;
    for (int64_t i = 0; ok && i < sw_array_count(&a); i++)
        sum += ((const unsigned char *)a.data)[i]; /* every byte can be read */
    assert_true(ok ? a.rank == 3 && a.shape[2] == 3 : !a.data && sum == 0);
    sw_array_free(&a);
    return ok;
}

/* The file is the only picture of its class. */
static bool read_folder(const char *path) {
    const sw_image_folder_options o = {.size = sizeof o, .height = 4, .width = 6, .channels = 1};
    sw_source *s = sw_image_folder(folder, &o);
    (void)path;
    sw_source_free(s);
    return s != NULL;
}

/* ---- Damage ---- */

static int open_files(void) {
    DIR *d = opendir("/proc/self/fd");
    int count = 0;
    if (!d)
        return 0;
    while (readdir(d))
        count++;
    closedir(d);
    return count;
}

static bool survives(reader *read, const char *name, const void *data, size_t size, int64_t most) {
    static const sw_allocator measuring = {sizeof(sw_allocator), NULL, measuring_allocate, measuring_release};
    const char *path = write_file(name, data, size);
    memset(&heap, 0, sizeof heap);
    sw_set_allocator(&measuring);
    bool ok = read(path);
    sw_set_allocator(NULL);
    if (heap.live != 0 || heap.most > most)
        fail_msg("%lld blocks left, %lld bytes at most", (long long)heap.live, (long long)heap.most);
    if (ok)
        assert_null(sw_error());
    else
        check_error(sw_error_status(), path, NULL);
    remove_file(path);
    return ok;
}

typedef struct outcome {
    int64_t cut_read, flipped_read; /* damaged files that were read nevertheless */
} outcome;

static outcome damage(reader *read, const char *name, const bytes *file, int64_t most) {
    outcome result = {0, 0};
    bytes copy = make_bytes(file->size);
    const int before = open_files();
    memcpy(copy.at, file->at, file->size);
    assert_true(survives(read, name, copy.at, copy.size, most));
    for (size_t n = 0; n < copy.size; n++)
        result.cut_read += survives(read, name, copy.at, n, most);
    for (size_t bit = 0; bit < 8 * copy.size; bit++) {
        copy.at[bit / 8] ^= (unsigned char)(1u << bit % 8);
        result.flipped_read += survives(read, name, copy.at, copy.size, most);
        copy.at[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
    assert_int_equal(open_files(), before);
    free(copy.at);
    return result;
}

static bytes copy_text(const char *text) {
    bytes b = make_bytes(strlen(text));
    memcpy(b.at, text, b.size);
    return b;
}

/* A buffer of 64 KiB, gzip's of 128 and zlib's own of 40 at most, a table of 64 rows. */
enum { CSV_MOST = 512 * 1024 };

static void test_damaged_csv_is_survived(void **state) {
    static const char text[] = "a,\"b c\",label\r\n1.5,-2e3,0\r\n\"7\", .5,1\r\n";
    bytes plain = copy_text(text), packed = gzip(plain.at, plain.size);
    (void)state;
    outcome of_plain = damage(read_csv, "data.csv", &plain, CSV_MOST);
    outcome of_packed = damage(read_csv, "data.csv.gz", &packed, CSV_MOST);
    assert_true(of_plain.cut_read > 0 && of_plain.flipped_read > 0); /* other rows are rows too */
    assert_int_equal(of_packed.cut_read, 0);
    assert_in_range(of_packed.flipped_read, 1, 8 * 6 + 1 + 7); /* mtime, XFL, OS; FTEXT; the last byte's */
    free(packed.at);
    free(plain.at);
}

static const char svmlight_text[] = "# two rows\r\n1 qid:1 1:1.5 3:-2e3\r\n\r\n-1 2:.5#c\r\n10 12:7\n";

static void test_damaged_svmlight_is_survived(void **state) {
    bytes plain = copy_text(svmlight_text), packed = gzip(plain.at, plain.size);
    (void)state;
    outcome of_plain = damage(read_svmlight, "train.svm", &plain, CSV_MOST);
    outcome of_packed = damage(read_svmlight, "train.svm.gz", &packed, CSV_MOST);
    assert_true(of_plain.cut_read > 0 && of_plain.flipped_read > 0); /* other numbers are numbers too */
    assert_int_equal(of_packed.cut_read, 0);
    assert_in_range(of_packed.flipped_read, 1, 8 * 6 + 1 + 7); /* as for CSV */
    free(packed.at);
    free(plain.at);
}

/* Any bytes are a text. */
static void test_damaged_text_is_survived(void **state) {
    bytes plain = copy_text("A swale is a wide, shallow valley.\n"), packed = gzip(plain.at, plain.size);
    (void)state;
    outcome of_plain = damage(read_text, "novel.txt", &plain, CSV_MOST);
    outcome of_packed = damage(read_text, "novel.txt.gz", &packed, CSV_MOST);
    assert_int_equal(of_plain.cut_read, plain.size);
    assert_true(of_plain.flipped_read > 8 * (int64_t)plain.size - 8); /* the first bytes of gzip are far from "A " */
    assert_true(of_packed.cut_read <= 2); /* no byte, or one: not the two by which gzip is known */
    assert_in_range(of_packed.flipped_read, 1, 8 * 6 + 1 + 7 + 16); /* as for CSV, and damage of these two bytes */
    free(packed.at);
    free(plain.at);
}

/* The file of a tokenizer alone: its text is under a CRC; the header around it, and its length, are not, but a key with
 * another name is not found. */
static void test_damaged_tokenizer_is_survived(void **state) {
    (void)state;
    sw_tokenizer *t = sw_tokenizer_new_byte_pairs("abab abab c", 11, 300);
    sw_archive *a = sw_archive_new();
    assert_int_equal(sw_tokenizer_pack(t, a), SW_OK);
    const char *path = path_of("made.safetensors");
    assert_int_equal(sw_archive_save(a, path), SW_OK);
    sw_archive_free(a);
    sw_tokenizer_free(t);
    bytes file = make_bytes(4096);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    file.size = fread(file.at, 1, file.size, f);
    fclose(f);
    remove_file(path);
    outcome o = damage(read_tokenizer, "x.safetensors", &file, CSV_MOST);
    assert_int_equal(o.cut_read, 0);
    assert_int_equal(o.flipped_read, 0);
    free(file.at);
}

/* Every bit of a PNG is under a CRC, or in the signature, a length, a CRC. */
static void test_damaged_png_is_survived(void **state) {
    (void)state;
    for (int color = 0; color <= PNG_RGB; color += PNG_RGB) {
        bytes file = make_noise_png(5, 4, color, 3);
        outcome o = damage(read_picture, "x.png", &file, 1 << 20);
        assert_int_equal(o.cut_read, 0);
        assert_int_equal(o.flipped_read, 0);
        free(file.at);
    }
}

/* The header of a file of b bytes can promise 8192·b pixels, of which each takes 3 bytes in planes,
 * 6 as coefficients and 2·3 as pixels; the planes of a picture one pixel high are filled up to 32
 * rows. */
static void test_damaged_jpeg_is_survived(void **state) {
    static const struct {
        const unsigned char *at;
        size_t size;
    } all[] = {{golden_gray_jpeg, sizeof golden_gray_jpeg},
               {golden_rgb_jpeg, sizeof golden_rgb_jpeg},
               {golden_progressive_jpeg, sizeof golden_progressive_jpeg},
               {golden_subsampled_jpeg, sizeof golden_subsampled_jpeg}};
    (void)state;
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
        bytes file = {(unsigned char *)(uintptr_t)all[k].at, all[k].size};
        const int64_t most = 8192 * (int64_t)file.size * 15 + 32768 * 32 * 15;
        outcome o = damage(read_picture, "x.jpg", &file, most);
        assert_int_equal(o.cut_read, 0); /* without its end it is not whole */
        assert_true(o.flipped_read > 0); /* JPEG has no check sum */
    }
}

static void test_damaged_picture_in_a_folder_is_survived(void **state) {
    (void)state;
    bytes file = make_noise_png(5, 4, PNG_GRAY, 3);
    assert_int_equal(mkdir(path_of("class"), 0700), 0);
    outcome o = damage(read_folder, "class/x.png", &file, 1 << 20);
    assert_int_equal(o.cut_read, 0);
    assert_int_equal(o.flipped_read, 0);
    assert_int_equal(rmdir(path_of("class")), 0);
    free(file.at);
}

/* ---- Memory that runs out ---- */

/* Every allocation fails in turn, until none does; returns how many there are. */
static int64_t fail_allocations(reader *read, const char *name, const void *data, size_t size, const char *prefix) {
    const char *path = write_file(name, data, size);
    const int before = open_files();
    for (int64_t k = 0;; k++) {
        count_memory(k);
        bool ok = read(path);
        check_memory();
        if (ok) {
            assert_null(sw_error());
            assert_int_equal(open_files(), before);
            remove_file(path);
            return k;
        }
        check_error(SW_ERR_MEMORY, prefix ? prefix : path, "out of memory");
        assert_true(k < 200);
    }
}

static void test_readers_survive_every_failed_allocation(void **state) {
    static const char text[] = "a,\"b c\",label\r\n1.5,-2e3,0\r\n\"7\", .5,1\r\n";
    bytes plain = copy_text(text), packed = gzip(plain.at, plain.size);
    bytes image = make_noise_png(5, 4, PNG_RGB, 3), short_palette = png_start(3, 1, 8, PNG_PALETTE);
    put_chunk(&short_palette, "PLTE", "abc", 3);
    png_end(&short_palette, (unsigned char[]){0, 0, 0}, 1, 3);
    (void)state;
    assert_true(fail_allocations(read_csv, "data.csv", plain.at, plain.size, NULL) >= 6);
    assert_true(fail_allocations(read_csv, "data.csv.gz", packed.at, packed.size, NULL) >= 8);
    bytes sparse = copy_text(svmlight_text), packed_sparse = gzip(sparse.at, sparse.size);
    assert_true(fail_allocations(read_svmlight, "train.svm", sparse.at, sparse.size, NULL) >= 15);
    assert_true(fail_allocations(read_svmlight, "train.svm.gz", packed_sparse.at, packed_sparse.size, NULL) >= 17);
    free(packed_sparse.at), free(sparse.at);
    bytes novel = copy_text("A swale is a wide, shallow valley.\n"), packed_novel = gzip(novel.at, novel.size);
    assert_int_equal(fail_allocations(read_text, "novel.txt", novel.at, novel.size, NULL), 1);
    assert_true(fail_allocations(read_text, "novel.txt.gz", packed_novel.at, packed_novel.size, NULL) >= 3);
    free(packed_novel.at), free(novel.at);
    assert_true(fail_allocations(read_picture, "x.png", image.at, image.size, NULL) >= 5);
    assert_true(fail_allocations(read_picture, "x.png", short_palette.at, short_palette.size, NULL) >= 6);
    assert_true(fail_allocations(read_picture, "x.jpg", golden_rgb_jpeg, sizeof golden_rgb_jpeg, NULL) >= 8);
    assert_true(
        fail_allocations(read_picture, "x.jpg", golden_progressive_jpeg, sizeof golden_progressive_jpeg, NULL) >= 8);
    assert_int_equal(mkdir(path_of("class"), 0700), 0);
    assert_true(fail_allocations(read_folder, "class/x.png", image.at, image.size, folder) >= 15);
    assert_int_equal(rmdir(path_of("class")), 0);
    free(short_palette.at), free(image.at), free(packed.at), free(plain.at);
}

/* ---- Pipes ---- */

static bool read_idx(const char *path) {
    sw_array a;
    return sw_idx_load(path, &a) == SW_OK;
}

/* To open a pipe for reading would wait for a writer: then the alarm ends the test. */
static void test_pipes_are_refused_at_once(void **state) {
    (void)state;
    static reader *const all[] = {read_idx, read_csv, read_svmlight, read_text, read_picture};
    static const char reason[] = "not an ordinary file but a pipe or a socket, whose length is not known: write its "
                                 "contents to a file first";
    const int before = open_files();
    alarm(60);
    const char *path = path_of("pipe");
    assert_int_equal(mkfifo(path, 0600), 0);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        assert_false(all[i](path));
        check_error(SW_ERR_IO, path, reason);
    }
    remove_file(path);
    const char *class = path_of("class");
    assert_int_equal(mkdir(class, 0700), 0);
    path = path_of("class/pipe.png");
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_null(sw_image_folder(folder, NULL));
    check_error(SW_ERR_FORMAT, path, "not an ordinary file");
    remove_file(path);
    assert_int_equal(rmdir(class), 0);
    path = path_of("train-images-idx3-ubyte");
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_null(sw_fashion_mnist(folder, SW_TRAINING));
    check_error(SW_ERR_IO, folder, "is not there");
    remove_file(path);
    alarm(0);
    assert_int_equal(open_files(), before);
}

/* The one device that is read: where the shell has redirected it from a file. */
static void test_standard_input_is_read_if_it_is_a_file(void **state) {
    (void)state;
    static const char text[] = "1,0\n2,1\n";
    const char *path = write_file("input", text, sizeof text - 1);
    const int kept = dup(STDIN_FILENO), file = open(path, O_RDONLY);
    assert_true(kept >= 0 && file >= 0);
    assert_int_equal(dup2(file, STDIN_FILENO), STDIN_FILENO);
    assert_true(read_csv("/dev/stdin"));
    assert_null(sw_error());
    assert_int_equal(dup2(kept, STDIN_FILENO), STDIN_FILENO);
    assert_int_equal(close(kept) + close(file), 0);
    remove_file(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pipes_are_refused_at_once),
        cmocka_unit_test(test_standard_input_is_read_if_it_is_a_file),
        cmocka_unit_test(test_damaged_csv_is_survived),
        cmocka_unit_test(test_damaged_svmlight_is_survived),
        cmocka_unit_test(test_damaged_text_is_survived),
        cmocka_unit_test(test_damaged_tokenizer_is_survived),
        cmocka_unit_test(test_damaged_png_is_survived),
        cmocka_unit_test(test_damaged_jpeg_is_survived),
        cmocka_unit_test(test_damaged_picture_in_a_folder_is_survived),
        cmocka_unit_test(test_readers_survive_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
