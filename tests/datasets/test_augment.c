/* Rotation, cutout and mixup of sw_augment, against plain loops and against the distributions that they state.
 * test_transform.c has the tests of crops and flips. */
#include "helpers.h"

#include <swale/datasets.h>
#include <swale/extend.h>

enum { N = 30, HEIGHT = 9, WIDTH = 8, CHANNELS = 2, SIZE = HEIGHT * WIDTH * CHANNELS, CLASSES = 5 };

typedef struct noise_source {
    sw_source source; /* first */
    double x[N][SIZE];
    double target[N][2];
    bool targets_are_numbers;
} noise_source;

static sw_status noise_gather(const sw_source *source, const int64_t *ids, int64_t count, uint64_t draw, sw_dtype type,
                              void *x, void *y) {
    const noise_source *s = (const noise_source *)source;
    (void)draw;
    for (int64_t i = 0; i < count; i++) {
        for (int64_t j = 0; x && j < SIZE; j++)
            sw_store_element(type, x, i * SIZE + j, s->x[ids[i]][j]);
        for (int64_t j = 0; y && s->targets_are_numbers && j < 2; j++)
            sw_store_element(type, y, i * 2 + j, s->target[ids[i]][j]);
        if (y && !s->targets_are_numbers)
            ((int32_t *)y)[i] = (int32_t)(ids[i] % CLASSES);
    }
    return SW_OK;
}

static noise_source noise_new(bool numbers) {
    uint64_t state = 5;
    noise_source s = {.source = {.size = sizeof(sw_source),
                                 .n = N,
                                 .x_rank = 3,
                                 .x_shape = {HEIGHT, WIDTH, CHANNELS},
                                 .y_rank = numbers ? 1 : 0,
                                 .y_shape = {2},
                                 .y_type = numbers ? SW_F64 : SW_I32,
                                 .classes = numbers ? 0 : CLASSES,
                                 .gather = noise_gather,
                                 .fixed = true},
                      .targets_are_numbers = numbers};
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < SIZE; j++)
            s.x[i][j] = test_uniform(&state, 1, 2);
        for (int j = 0; j < 2; j++)
            s.target[i][j] = test_uniform(&state, -1, 1);
    }
    return s;
}

#define AUGMENT(s, ...) sw_augment(&(s).source, &SW_OPTIONS(sw_augment_options, __VA_ARGS__))

/* ---- Rotation ---- */

static double pixel_of(const double *x, int64_t row, int64_t column, int c) {
    return row < 0 || row >= HEIGHT || column < 0 || column >= WIDTH ? 0 : x[(row * WIDTH + column) * CHANNELS + c];
}

/* The picture rotated counterclockwise by an angle in radians: pixel (right, down) from the center is the bilinear
 * interpolation at the place that the rotation moves there. */
static void plain_rotation(const double *x, double angle, bool flip, double *out) {
    for (int64_t i = 0; i < HEIGHT; i++)
        for (int64_t j = 0; j < WIDTH; j++) {
            const double right = (double)(flip ? WIDTH - 1 - j : j) - (WIDTH - 1) / 2.0,
                         down = (double)i - (HEIGHT - 1) / 2.0,
                         column = (WIDTH - 1) / 2.0 + cos(angle) * right - sin(angle) * down,
                         row = (HEIGHT - 1) / 2.0 + sin(angle) * right + cos(angle) * down;
            const int64_t r = (int64_t)floor(row), k = (int64_t)floor(column);
            const double a = row - floor(row), b = column - floor(column);
            for (int c = 0; c < CHANNELS; c++)
                out[(i * WIDTH + j) * CHANNELS + c] =
                    (1 - a) * ((1 - b) * pixel_of(x, r, k, c) + b * pixel_of(x, r, k + 1, c)) +
                    a * ((1 - b) * pixel_of(x, r + 1, k, c) + b * pixel_of(x, r + 1, k + 1, c));
        }
}

static double largest_difference(const double *a, const double *b) {
    double most = 0;
    for (int i = 0; i < SIZE; i++)
        most = fmax(most, fabs(a[i] - b[i]));
    return most;
}

/* The angle in [-limit, limit] whose plain rotation is `x`: the best of a grid, made precise by ever finer grids. */
static double find_angle(const noise_source *s, int64_t id, double limit, const double *x, double *difference) {
    double best = 0, middle = 0, width = limit;
    *difference = INFINITY;
    for (int level = 0; level < 12; level++) {
        const int steps = level ? 16 : 256;
        for (int k = -steps; k <= steps; k++)
            for (int flip = 0; flip < 2; flip++) {
                double other[SIZE];
                const double angle = middle + width * k / steps;
                plain_rotation(s->x[id], angle, flip, other);
                const double d = largest_difference(x, other);
                if (d < *difference) {
                    *difference = d;
                    best = angle;
                }
            }
        middle = best;
        width /= level ? 8 : 128;
    }
    return best;
}

/* Each result is a rotation by an angle within the limits, and the angles are spread over them evenly: their mean and
 * their mean square lie within five standard errors of those of the uniform distribution. */
static void test_rotations_are_uniform(void **state) {
    (void)state;
    const double degrees = 25, limit = degrees * 3.14159265358979 / 180;
    noise_source s = noise_new(false);
    sw_source *source = AUGMENT(s, .rotation = degrees, .flip = true, .seed = 4);
    assert_non_null(source);
    double sum = 0, squares = 0;
    enum { COUNT = 4 * N };
    for (uint64_t draw = 0; draw < 4; draw++)
        for (int64_t id = 0; id < N; id++) {
            double x[SIZE], difference;
            assert_int_equal(source->gather(source, &id, 1, draw, SW_F64, x, NULL), SW_OK);
            const double angle = find_angle(&s, id, limit, x, &difference);
            /* A pixel changes by at most 2 · 2 · 8 per radian; the last grid has steps of limit / (128 · 8^10 · 16). */
            assert_true(difference < 1e-9);
            sum += angle / limit;
            squares += angle / limit * (angle / limit);
        }
    assert_true(fabs(sum / COUNT) < 5 * sqrt(1.0 / 3 / COUNT));
    assert_true(fabs(squares / COUNT - 1.0 / 3) < 5 * sqrt((1.0 / 5 - 1.0 / 9) / COUNT));
    sw_source_free(source);
}

/* ---- Cutout ---- */

/* The zeros of each result are a square whose center is a pixel of the picture, clipped to the picture, and all other
 * pixels are unchanged. Each center is expected COUNT / 72 times: none in 12,000 draws has probability e^-166. */
static void test_cutouts_are_squares_around_each_pixel(void **state) {
    (void)state;
    enum { SIDE = 4, DRAWS = 400 };
    static int times[HEIGHT][WIDTH];
    noise_source s = noise_new(false);
    sw_source *source = AUGMENT(s, .cutout = SIDE, .seed = 9);
    assert_non_null(source);
    for (uint64_t draw = 0; draw < DRAWS; draw++)
        for (int64_t id = 0; id < N; id++) {
            double x[SIZE];
            int found = 0;
            assert_int_equal(source->gather(source, &id, 1, draw, SW_F64, x, NULL), SW_OK);
            for (int64_t row = 0; row < HEIGHT; row++)
                for (int64_t column = 0; column < WIDTH; column++) {
                    bool equal = true;
                    for (int64_t k = 0; k < SIZE && equal; k++) {
                        const int64_t i = k / CHANNELS / WIDTH - (row - SIDE / 2),
                                      j = k / CHANNELS % WIDTH - (column - SIDE / 2);
                        const bool inside = i >= 0 && i < SIDE && j >= 0 && j < SIDE;
                        equal = x[k] == (inside ? 0 : s.x[id][k]);
                    }
                    found += equal;
                    times[row][column] += equal;
                }
            assert_int_equal(found, 1);
        }
    for (int i = 0; i < HEIGHT; i++)
        for (int j = 0; j < WIDTH; j++)
            assert_true(times[i][j] > 0);
    sw_source_free(source);
}

/* ---- Mixup ---- */

/* Finds the partner and the weight from the targets, which are numbers, and checks them with x. */
static double find_mixture(const noise_source *s, int64_t id, const double *x, const double *y, int64_t *partner) {
    int found = 0;
    double weight = -1;
    for (int64_t other = 0; other < N; other++) {
        const double *a = s->target[id], *b = s->target[other];
        const double w = other == id ? 1 : (y[0] - b[0]) / (a[0] - b[0]);
        if (fabs(w * a[1] + (1 - w) * b[1] - y[1]) > 1e-9 || w < -1e-9 || w > 1 + 1e-9)
            continue;
        double most = 0;
        for (int i = 0; i < SIZE; i++)
            most = fmax(most, fabs(w * s->x[id][i] + (1 - w) * s->x[other][i] - x[i]));
        if (most > 1e-9)
            continue;
        found++;
        weight = w;
        *partner = other;
    }
    assert_true(found == 1 || weight > 1 - 1e-7); /* with weight 1, every partner gives the same */
    return weight;
}

/* x and y are mixed with the same weight and partner. Mean and variance of the weight are those of Beta(α, α), ½ and
 * 1/(4(2α + 1)), within five standard errors; all partners occur. */
static void test_mixtures_have_the_distribution_beta(void **state) {
    (void)state;
    static const double alphas[] = {0.2, 1, 3};
    noise_source s = noise_new(true);
    for (int k = 0; k < 3; k++) {
        sw_source *source = AUGMENT(s, .mixup = alphas[k], .seed = 2);
        assert_non_null(source);
        enum { DRAWS = 60, COUNT = DRAWS * N };
        double sum = 0, squares = 0;
        int times[N] = {0};
        for (uint64_t draw = 0; draw < DRAWS; draw++)
            for (int64_t id = 0; id < N; id++) {
                double x[SIZE], y[2];
                int64_t partner = id;
                assert_int_equal(source->gather(source, &id, 1, draw, SW_F64, x, y), SW_OK);
                const double w = find_mixture(&s, id, x, y, &partner) - 0.5;
                sum += w;
                squares += w * w;
                times[partner]++;
            }
        const double variance = 1 / (4 * (2 * alphas[k] + 1));
        assert_true(fabs(sum / COUNT) < 5 * sqrt(variance / COUNT));
        assert_true(fabs(squares / COUNT - variance) < 5 * sqrt(variance / 4 / COUNT)); /* Var w² ≤ E w² / 4 */
        for (int i = 0; i < N; i++)
            assert_true(times[i] > 0);
        sw_source_free(source);
    }
}

/* Class ids become distributions: at most two classes, with sum 1; and the loss takes them. */
static void test_mixed_classes_are_distributions(void **state) {
    (void)state;
    noise_source s = noise_new(false);
    sw_source *source = AUGMENT(s, .mixup = 0.4, .rotation = 10, .cutout = 3, .flip = true, .padding = 1, .seed = 7);
    assert_non_null(source);
    assert_true(source->y_rank == 1 && source->y_shape[0] == CLASSES && source->y_type == SW_F64);
    assert_int_equal(source->classes, 0);
    int64_t ids[N];
    for (int64_t i = 0; i < N; i++)
        ids[i] = i;
    float y[N][CLASSES];
    assert_int_equal(sw_source_gather(source, SW_F32, 3, ids, N, NULL, y), SW_OK);
    for (int i = 0; i < N; i++) {
        float sum = 0;
        int classes = 0;
        for (int c = 0; c < CLASSES; c++) {
            assert_true(y[i][c] >= 0);
            sum += y[i][c];
            classes += y[i][c] > 0;
        }
        assert_true(classes == 1 || classes == 2);
        assert_true(fabsf(sum - 1) <= 0x1p-22f);
        assert_true(y[i][i % CLASSES] > 0);
    }
    sw_tape *tape = sw_tape_new();
    sw_batch b;
    assert_int_equal(sw_source_batch(source, tape, SW_F32, ids, N, &b), SW_OK);
    const int64_t wide[2] = {N, SIZE}, across[2] = {SIZE, CLASSES};
    sw_array w = sw_array_new(SW_F32, 2, across);
    const sw_tensor loss = sw_cross_entropy(sw_matmul(sw_reshape(b.x, 2, wide), sw_input(tape, w)), b.y);
    assert_true(fabs(sw_item(loss) - log(CLASSES)) < 1e-6); /* all scores are 0 */
    sw_tape_free(tape);
    sw_array_free(&w);
    sw_source_free(source);
}

/* The result depends on sample, draw and seed alone: not on the batch, the number of threads or a subset. */
static void test_result_depends_on_sample_draw_and_seed_alone(void **state) {
    (void)state;
    const int before = sw_threads();
    noise_source s = noise_new(false);
    sw_source *source = AUGMENT(s, .mixup = 0.4, .rotation = 30, .cutout = 3, .flip = true, .padding = 2, .seed = 7);
    static double x[N][SIZE], y[N][CLASSES], other[N][SIZE], other_y[N][CLASSES];
    int64_t ids[N];
    for (int64_t i = 0; i < N; i++) {
        ids[i] = i;
        assert_int_equal(source->gather(source, &i, 1, 5, SW_F64, x[i], y[i]), SW_OK);
    }
    for (int threads = 1; threads <= 4; threads++) {
        sw_set_threads(threads);
        assert_int_equal(sw_source_gather(source, SW_F64, 5, ids, N, other, other_y), SW_OK);
        assert_memory_equal(x, other, sizeof x);
        assert_memory_equal(y, other_y, sizeof y);
    }
    sw_set_threads(before);
    sw_source_gather(source, SW_F64, 6, ids, N, other, other_y);
    assert_memory_not_equal(x, other, sizeof x);
    sw_source *part = sw_subset(source, (int64_t[]){11, 5}, 2, NULL);
    const int64_t last = 1;
    assert_int_equal(part->gather(part, &last, 1, 5, SW_F64, other[0], other_y[0]), SW_OK);
    assert_memory_equal(other[0], x[5], sizeof x[5]);
    assert_memory_equal(other_y[0], y[5], sizeof y[5]);
    sw_source_free(part);
    sw_source_free(source);
}

/* ---- Errors and memory ---- */

static void test_wrong_options_are_refused(void **state) {
    (void)state;
    noise_source s = noise_new(false), ids = noise_new(false);
    assert_null(AUGMENT(s, .rotation = 181));
    check_error(SW_ERR_ARGUMENT, "augment: a rotation by up to 181 degrees", "0 to 180 are possible");
    assert_null(AUGMENT(s, .rotation = NAN));
    check_error(SW_ERR_ARGUMENT, "augment: a rotation by up to nan degrees", NULL);
    assert_null(AUGMENT(s, .cutout = 9));
    check_error(SW_ERR_ARGUMENT, "augment: a cutout of 9 pixels; 0 to 8, the shorter side", NULL);
    assert_null(AUGMENT(s, .cutout = 3, .height = 2));
    check_error(SW_ERR_ARGUMENT, "augment: a cutout of 3 pixels; 0 to 2", NULL);
    assert_null(AUGMENT(s, .mixup = -1));
    check_error(SW_ERR_ARGUMENT, "augment: mixup with α = -1", NULL);
    assert_null(AUGMENT(s, .mixup = 1e-310));
    check_error(SW_ERR_ARGUMENT, "augment: mixup with α = 1e-310", "0 (none) or 0.001 to 1e6 is needed");
    ids.source.y_rank = 1;
    assert_null(AUGMENT(ids, .mixup = 1));
    check_error(SW_ERR_SHAPE, "augment: mixup of class ids [2] with 5 classes", NULL);
    ids.source.y_rank = 0;
    ids.source.classes = 3; /* the ids go to 4 */
    sw_source *source = AUGMENT(ids, .mixup = 1);
    assert_non_null(source);
    float y[CLASSES];
    const int64_t id = 4;
    assert_int_equal(sw_source_gather(source, SW_F32, 0, &id, 1, NULL, y), SW_ERR_ARGUMENT);
    check_error(SW_ERR_ARGUMENT, "augment: mixup of sample 4", "its class id is 4, outside 0 to 2");
    sw_source_free(source);
}

static void test_failing_allocations_are_errors(void **state) {
    (void)state;
    noise_source s = noise_new(false);
    const int64_t id = 3;
    double x[SIZE], y[CLASSES];
    for (long fail = 0;; fail++) {
        count_memory(fail);
        sw_source *source = AUGMENT(s, .mixup = 1, .rotation = 5, .cutout = 2);
        const sw_status status = source ? sw_source_gather(source, SW_F64, 0, &id, 1, x, y) : sw_error_status();
        sw_source_free(source);
        check_memory();
        sw_clear_error();
        if (status == SW_OK)
            break;
        assert_int_equal(status, SW_ERR_MEMORY);
    }
}

/* A program that was compiled before there were rotations gives a smaller struct. */
static void test_options_of_earlier_versions(void **state) {
    (void)state;
    noise_source s = noise_new(false);
    const sw_augment_options options = {.size = offsetof(sw_augment_options, rotation), .flip = true};
    sw_source *source = sw_augment(&s.source, &options);
    assert_non_null(source);
    sw_source_free(source);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options_of_earlier_versions),
        cmocka_unit_test(test_rotations_are_uniform),
        cmocka_unit_test(test_cutouts_are_squares_around_each_pixel),
        cmocka_unit_test(test_mixtures_have_the_distribution_beta),
        cmocka_unit_test(test_mixed_classes_are_distributions),
        cmocka_unit_test(test_result_depends_on_sample_draw_and_seed_alone),
        cmocka_unit_test(test_wrong_options_are_refused),
        cmocka_unit_test(test_failing_allocations_are_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
