/* Options that several estimators share. */
#ifndef SWALE_ESTIMATORS_ESTIMATORS_H
#define SWALE_ESTIMATORS_ESTIMATORS_H

#include <swale/estimator.h>

extern const sw_estimator swo_minibatch, swo_full, swo_sag, swo_saga, swo_svrg, swo_sam, swo_asam;

/* The first options of estimators with a sampler. */
#define ORDER_ROW                                                                                                    \
    {                                                                                                                \
        .name = "order", .kind = SW_OPTION_CHOICE, .value = SW_SHUFFLE, .choices = "shuffle|sequential|replacement", \
        .help = "how samples are drawn"                                                                              \
    }
/* clang-format off */
#define SHARDS_ROW                                                                                    \
    {                                                                                                 \
        .name = "shards", .kind = SW_OPTION_INTEGER, .value = 1, .low = 1, .high = 65536,             \
        .help = "parts in which a gradient is evaluated; they are added in a fixed order"             \
    }
#define BATCH_ROWS                                                                              \
    {.name = "batch", .kind = SW_OPTION_INTEGER, .value = 64, .low = 1, .high = 1e9,            \
     .help = "samples in a step", .search_low = 16, .search_high = 512, .search_log = true},    \
    ORDER_ROW
/* clang-format on */

#endif
