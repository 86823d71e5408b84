/* Parameters as golden/torch_networks.py draws them. */
#ifndef SWALE_TEST_TORCH_FILL_H
#define SWALE_TEST_TORCH_FILL_H

#include "support.h"

#include <swale/archive.h>

/* The numbers of one array of a state_dict. */
static inline void torch_fill_array(const char *name, const sw_array *a, uint64_t *seed) {
    const size_t length = strlen(name);
    const int64_t count = sw_array_count(a);
    double low = -0.2, high = 0.2;
    if (a->rank > 1) {
        high = sqrt(6 * (double)a->shape[0] / (double)count);
        low = -high;
    } else if (strstr(name, "running_var") || (length > 7 && strcmp(name + length - 7, ".weight") == 0)) {
        low = 0.5;
        high = 1.5;
    }
    for (int64_t i = 0; i < count; i++)
        test_set(a, i, (double)(float)test_uniform(seed, low, high));
}

/* Fills all parameters and buffers, in the order of their declaration and each in PyTorch's order. */
static inline void torch_fill(sw_params *p, uint64_t seed) {
    sw_archive *order = sw_archive_new(), *filled = sw_archive_new();
    assert_int_equal(sw_params_pack_with_options(p, order, NULL, &SW_OPTIONS(sw_save_options, .channels_first = true)),
                     SW_OK);
    for (int i = 0; i < sw_params_count(p); i++) {
        const char *name = sw_params_at(p, i)->name;
        const sw_array a = sw_archive_get(order, name);
        sw_array numbers = test_array(a.type, a.rank, a.shape);
        torch_fill_array(name, &numbers, &seed);
        assert_int_equal(sw_archive_put_copy(filled, name, numbers), SW_OK);
        test_array_free(&numbers);
    }
    assert_int_equal(
        sw_params_unpack_with_options(p, filled, NULL, &SW_OPTIONS(sw_load_options, .channels_first = true)), SW_OK);
    sw_archive_free(order);
    sw_archive_free(filled);
}

#endif
