/* Convolutions by Winograd's algorithm: values against sums of products in f64, equal samples in blocks of tiles, and
 * errors not above those of the direct sums. */
#include "support.h"

#include "conv_case.h"

/* Shapes that Winograd's minimal filtering computes: odd lengths, channels that do not fill a register, borders of 0 to
 * 3 zeros. */
static const int64_t winograd_shapes[][6] = {/* batch, height, width, inputs, outputs, zeros */
                                             {7, 8, 9, 32, 32, 1},
                                             {5, 13, 12, 33, 47, 1},
                                             {9, 9, 8, 40, 32, 0},
                                             {3, 11, 14, 32, 65, 2},
                                             {4, 10, 10, 64, 33, 3},
                                             {30, 7, 7, 32, 48, 1},
                                             /* many channels: more terms than a chunk, a last chunk that is shorter */
                                             {4, 8, 7, 160, 128, 1},
                                             {6, 5, 6, 128, 192, 1}};

static sw_conv winograd_conv(const int64_t s[6]) {
    return plain_conv(s[0], s[1], s[2], s[3], s[4], 3, 1, s[5]);
}

static void test_winograd_shapes(void **test_state) {
    (void)test_state;
    for (size_t i = 0; i < sizeof winograd_shapes / sizeof *winograd_shapes; i++)
        compare_shape(winograd_conv(winograd_shapes[i]), 4 * i);
}

/* With many channels, tiles are computed in blocks. Equal samples have equal results, whatever their block. */
static void test_winograd_blocks_of_tiles(void **test_state) {
    (void)test_state;
    const int64_t shape[6] = {31, 6, 6, 256, 256, 1};
    sw_conv conv = winograd_conv(shape);
    conv.type = SW_F32;
    const int64_t x[4] = {conv.batch, 6, 6, 256}, w[4] = {256, 3, 3, 256}, sample = 6 * 6 * 256;
    sw_array arrays[3] = {test_filled(SW_F32, 4, x, -1, 1, 1), test_filled(SW_F32, 4, w, -1, 1, 2),
                          test_array(SW_F32, 4, x)};
    float *in = arrays[0].data, *out = arrays[2].data;
    for (int64_t n = 1; n < conv.batch; n++)
        memcpy(in + n * sample, in, (size_t)sample * sizeof *in);
    for (int which = 0; which < 2; which++) {
        const size_t bytes = scratch_bytes(&conv, which);
        void *scratch = aligned_alloc(SW_ALIGNMENT, (bytes + SW_ALIGNMENT - 1) / SW_ALIGNMENT * SW_ALIGNMENT);
        assert_non_null(scratch);
        memset(out, 0xFF, test_bytes(&arrays[2]));
        if (which == Y)
            assert_ok(sw_conv_forward(&conv, in, arrays[1].data, NULL, out, scratch, bytes));
        else
            assert_ok(sw_conv_input_gradient(&conv, arrays[1].data, in, out, scratch, bytes));
        assert_true(isfinite(out[0]) && out[0] != 0);
        for (int64_t n = 1; n < conv.batch; n++)
            assert_memory_equal(out + n * sample, out, (size_t)sample * sizeof *out);
        free(scratch);
    }
    for (int i = 0; i < 3; i++)
        test_array_free(&arrays[i]);
}

/* The sum of the squared errors of a result. */
static double squared_error(conv_case *c, int which) {
    double sum = 0;
    for (int64_t i = 0; i < sw_array_count(result(c, which)); i++) {
        const double e = test_get(result(c, which), i) - c->sum[which][i];
        sum += e * e;
    }
    return sum;
}

/* Runs a product sample by sample: so few tiles are computed directly. */
static void run_samples(conv_case *c, int which) {
    conv_case one = *c;
    one.conv.batch = 1;
    sw_array *const all[4] = {&one.x, &one.dy, &one.y, &one.dx};
    for (int i = 0; i < 4; i++)
        all[i]->shape[0] = 1;
    for (int64_t n = 0; n < c->conv.batch; n++) {
        case_run(&one, which);
        for (int i = 0; i < 4; i++)
            all[i]->data = (char *)all[i]->data + test_bytes(all[i]);
    }
}

/* Winograd's rounding errors are not above those of the direct sums. */
static void test_winograd_error(void **test_state) {
    (void)test_state;
    for (size_t i = 0; i < sizeof winograd_shapes / sizeof *winograd_shapes; i++) {
        sw_conv conv = winograd_conv(winograd_shapes[i]);
        conv.type = SW_F32;
        conv_case c = case_new(&conv, i);
        for (int which = 0; which < 2; which++) {
            case_run(&c, which);
            const double winograd = squared_error(&c, which);
            run_samples(&c, which);
            const double direct = squared_error(&c, which);
            if (!(winograd > 0 && winograd != direct && winograd <= direct))
                fail_msg("shape %zu, %s: squared error %.3g, directly %.3g", i, which == Y ? "y" : "dx", winograd,
                         direct);
        }
        case_free(&c);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_winograd_shapes),
                                       cmocka_unit_test(test_winograd_blocks_of_tiles),
                                       cmocka_unit_test(test_winograd_error)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
