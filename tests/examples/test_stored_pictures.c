/* The pictures of examples/gallery equal those that the programs draw from the results stored beside them, and the
 * script of `make gallery-train` records how they were made. */
#include "run.h"

#include <swale/datasets.h>

#include <glob.h>
#include <sys/stat.h>

/* The name of a program in the path of a file, without folder and suffix. */
static const char *name_of(const char *path) {
    static char name[64];
    const char *slash = strrchr(path, '/'), *begin = slash ? slash + 1 : path;
    snprintf(name, sizeof name, "%.*s", (int)strcspn(begin, "."), begin);
    return name;
}

/* Draws from the results in the gallery: the picture must be that of the gallery. */
static void draw_stored(const char *name) {
    char path[256], from[256], picture[256];
    struct stat size;
    snprintf(path, sizeof path, TEST_BUILD "/examples/%s", name);
    snprintf(from, sizeof from, "examples/gallery/%s.csv", name);
    snprintf(picture, sizeof picture, "examples/gallery/%s.png", name);
    assert_int_equal(stat(from, &size), 0);
    assert_true(size.st_size < 100000);
    const output o = RUN(path, "--from", from, "--out", in_folder("a.png"));
    if (o.code != 0 || *o.err || !strstr(o.out, "picture "))
        fail_msg("%s --from %s: exit %d: %s", name, from, o.code, o.err);
    assert_int_not_equal(access(in_folder("a.csv"), F_OK), 0);
    sw_array a, b;
    assert_int_equal(sw_picture_load(in_folder("a.png"), 3, &a), SW_OK);
    assert_int_equal(sw_picture_load(picture, 3, &b), SW_OK);
    if (a.shape[0] != b.shape[0] || a.shape[1] != b.shape[1] ||
        (access("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf", R_OK) == 0 &&
         memcmp(a.data, b.data, (size_t)sw_array_count(&a)) != 0))
        fail_msg("%s is not the picture of the results beside it: `make gallery`", picture);
    sw_array_free(&a), sw_array_free(&b);
    unlink(in_folder("a.png"));
}

/* Every program with --from has results in the gallery, and they have a line in runs.csv; nothing else is there. */
static void gallery_is_drawn_from_stored_results(void **state) {
    (void)state;
    static char runs[16384], source[65536];
    glob_t found;
    int programs = 0, lines = 0;
    read_all("examples/gallery/runs.csv", runs, sizeof runs);
    assert_int_equal(strncmp(runs, "program,options,date,seconds,threads,machine\n", 45), 0);
    for (const char *at = runs; (at = strchr(at, '\n')) != NULL; at++)
        lines += at[1] != 0;
    assert_int_equal(glob("examples/*.c", 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        char line[80];
        read_all(found.gl_pathv[i], source, sizeof source);
        if (!strstr(source, "STORED_FROM"))
            continue;
        const char *name = name_of(found.gl_pathv[i]);
        snprintf(line, sizeof line, "\n%s,\"", name);
        if (!strstr(runs, line))
            fail_msg("examples/gallery/runs.csv has no line of %s: `make gallery-train TRAIN=%s`", name, name);
        draw_stored(name);
        programs++;
    }
    globfree(&found);
    assert_int_equal(programs, lines);
    assert_int_equal(glob("examples/gallery/*.csv", 0, NULL, &found), 0);
    assert_int_equal(found.gl_pathc, programs + 1);
    globfree(&found);
}

static void options_of_the_run_are_those_in_the_file(void **state) {
    (void)state;
    output o = RUN(TEST_BUILD "/examples/double_descent", "--from", "examples/gallery/double_descent.csv", "--sets",
                   "3", "--out", in_folder("a.png"));
    assert_int_equal(o.code, 2);
    assert_string_equal(o.err, "double_descent: --from examples/gallery/double_descent.csv has the options of its run: "
                               "--sets cannot be given too\n");
    o = RUN(TEST_BUILD "/examples/double_descent", "--from", "examples/iris.csv", "--out", in_folder("a.png"));
    assert_int_equal(o.code, 1);
    assert_string_equal(o.out, "");
    assert_int_not_equal(access(in_folder("a.png"), F_OK), 0);
}

/* The script of `make gallery-train` replaces the line of the program, and keeps the others. */
static void gallery_train_records_the_run(void **state) {
    (void)state;
    static char runs[16384];
    char folder[600];
    snprintf(folder, sizeof folder, "%s", in_folder("train"));
    const char *const script = "examples/gallery/train.sh";
    for (int i = 0; i < 2; i++) {
        const output o = RUN(script, TEST_BUILD "/examples", folder, "double_descent", "--no-networks", "--sets", "1",
                             "--degrees", i ? "3" : "2");
        if (o.code != 0)
            fail_msg("%s: exit %d: %s", script, o.code, o.err);
    }
    read_all(lasting_path("train/runs.csv"), runs, sizeof runs);
    assert_null(strstr(runs, "--degrees 2"));
    assert_non_null(strstr(runs, "\ndouble_descent,\"--no-networks --sets 1 --degrees 3\",2"));
    assert_non_null(strstr(runs, "\ninitialization,\"\",2"));
    const output o = RUN(script, TEST_BUILD "/examples", folder, "double_descent", "--degrees", "x");
    assert_int_equal(o.code, 2);
    static const char *const written[] = {"train/runs.csv", "train/double_descent.csv", "train/double_descent.png"};
    for (int i = 0; i < 3; i++)
        assert_int_equal(unlink(in_folder(written[i])), 0);
    assert_int_equal(rmdir(folder), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gallery_is_drawn_from_stored_results),
        cmocka_unit_test(options_of_the_run_are_those_in_the_file),
        cmocka_unit_test(gallery_train_records_the_run),
    };
    return cmocka_run_group_tests_name("stored pictures", tests, run_setup, run_teardown);
}
