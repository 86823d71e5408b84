/* The programs that show landscapes, in small settings with the effect that each is about. */
#include "run.h"

#include <swale/datasets.h>

#include <math.h>

static double excess(const output *o, const char *path) {
    char name[64];
    snprintf(name, sizeof name, "%s_largest_loss", path);
    return result(o, name) - fmax(result(o, "first_loss"), result(o, "second_loss"));
}

/* Along the line the loss rises above that of the ends; along the trained curves by a small part of this. In six runs
 * with other seeds, the line rose by 0.2 to 1.0, the Bezier curve by at most 0.26 and the polychain by at most 0.04 of
 * this. */
static void test_curves_go_around_the_barrier(void **state) {
    (void)state;
    const output o =
        RUN(TEST_BUILD "/examples/mode_connectivity", "--samples=500", "--test=200", "--statistics=200", "--epochs=4",
            "--bend-epochs=6", "--places=5", "--side=2", "--channels=4", "--seed=3", "--out", in_folder("a.png"));
    if (o.code != 0 || *o.err)
        fail_msg("exit %d: %s", o.code, o.err);
    const double line = excess(&o, "line");
    assert_true(line > 0.15);
    assert_true(excess(&o, "bezier") < 0.5 * line && excess(&o, "polychain") < 0.3 * line);
    unlink(in_folder("a.png"));
    unlink(in_folder("a.csv"));
}

/* After the training the loss is far below that of the initial point, and rises in both directions and in the whole
 * plane, whose middle is the same point with the same pictures. */
static void test_surface_of_a_trained_network(void **state) {
    (void)state;
    const output o =
        RUN(TEST_BUILD "/examples/loss_surface", "--samples=400", "--shown=50", "--epochs=10", "--batch=20",
            "--channels=3", "--places=3", "--side=3", "--depth=8", "--width=1", "--residual-samples=100",
            "--residual-shown=20", "--residual-epochs=1", "--residual-side=3", "--out", in_folder("b.png"));
    if (o.code != 0 || *o.err)
        fail_msg("exit %d: %s", o.code, o.err);
    assert_true(result(&o, "final_training_loss") < 0.5 * result(&o, "initial_training_loss"));
    assert_true(result(&o, "final_training_rise") > 0 && result(&o, "final_test_rise") > 0);
    assert_true(result(&o, "tensors_middle") == result(&o, "final_training_loss"));
    assert_true(result(&o, "filters_middle") == result(&o, "final_training_loss"));
    assert_true(result(&o, "tensors_largest") > 2 * result(&o, "tensors_middle"));
    unlink(in_folder("b.png"));
    unlink(in_folder("b.csv"));
}

/* ---- drawn_surface ---- */

#define DRAWN TEST_BUILD "/examples/drawn_surface"

/* Before the training the loss grows with the distance from the origin, whatever the picture; after it, the correlation
 * with the picture is high, on training and on test pictures. With eight seeds, it was 0.26 to 0.39 before the
 * training, 0.74 to 0.80 on training pictures, and 0.72 to 0.80 on test pictures; the mean losses differed by 0.60 to
 * 0.86. */
static void test_face_on_the_surface(void **state) {
    (void)state;
    const output o = RUN(DRAWN, "--side=8", "--samples=100", "--shown=50", "--hidden=16", "--steps=150", "--points=16",
                         "--batch=32", "--seed=9", "--out", in_folder("c.png"));
    if (o.code != 0 || *o.err)
        fail_msg("exit %d: %s", o.code, o.err);
    assert_true(result(&o, "training_correlation") > 0.65 && result(&o, "test_correlation") > 0.6);
    assert_true(result(&o, "before_correlation") < 0.5);
    assert_true(result(&o, "training_high") - result(&o, "training_low") > 0.4);
    unlink(in_folder("c.png"));
    unlink(in_folder("c.csv"));
}

/* A picture file of any size, dark on the left; a picture without dark and bright parts is an error. */
static void test_picture_of_a_file(void **state) {
    (void)state;
    static unsigned char pixel[10 * 30];
    const sw_array array = sw_array_view(pixel, SW_U8, SW_SHAPE(10, 30));
    const char *file = lasting_path("half.png");
    for (int i = 0; i < 300; i++)
        pixel[i] = i % 30 < 15 ? 40 : 60;
    assert_int_equal(sw_picture_save(file, &array), SW_OK);
    output o = RUN(DRAWN, "--picture", file, "--side=8", "--samples=20", "--shown=10", "--hidden=2", "--steps=2",
                   "--points=4", "--batch=5", "--out", in_folder("c.png"));
    assert_int_equal(o.code, 0);
    assert_true(result(&o, "bright_fraction") == 0.5);
    char text[512];
    read_all(in_folder("c.csv"), text, sizeof text);
    assert_non_null(strstr(text, "\"picture\",-1,-1,0\n"));
    unlink(in_folder("c.png"));
    unlink(in_folder("c.csv"));
    memset(pixel, 40, sizeof pixel);
    assert_int_equal(sw_picture_save(file, &array), SW_OK);
    o = RUN(DRAWN, "--picture", file, "--side=8", "--out", in_folder("c.png"));
    assert_int_equal(o.code, 1);
    assert_non_null(strstr(o.err, "half.png: all 8 by 8 pixels are equal; a picture with dark and bright parts is"));
    unlink(file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_curves_go_around_the_barrier), cmocka_unit_test(test_surface_of_a_trained_network),
        cmocka_unit_test(test_face_on_the_surface), cmocka_unit_test(test_picture_of_a_file)};
    return cmocka_run_group_tests_name("landscape programs", tests, run_setup, run_teardown);
}
