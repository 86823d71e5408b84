/* Entries for pool.c. */

/* Windows that do and do not cover the picture, fewer channels than a vector, a tail, no samples, no channels. */
#define PICTURES "[1,4,5,1] [2,5,4,2] [1,4,6,5] [1,5,5,19] [0,4,4,3] [2,4,4,0]"
#define BIG_PICTURES "[20,24,24,19]"
#define POOL_OPTIONS(...) &SW_OPTIONS(sw_pool_options, __VA_ARGS__)
#define PICTURE_ERRORS(name)                                                                                    \
    {                                                                                                           \
        {"[4,3]", SW_ERR_SHAPE, name ": x is [4,3]; [batch, height, width, channels] is needed"},               \
            {"[1,0,3,2]", SW_ERR_ARGUMENT, name ": a picture of 0×3; 1 to 2^31 - 1 along each axis is needed"}, \
    }

BUILD(max_pool2d, sw_max_pool2d(in[0], 2, 2, NULL))
BUILD(max_pool2d_overlapping, sw_max_pool2d(in[0], 3, 3, POOL_OPTIONS(.stride = {2, 2}, .padding = {1, 1})))
BUILD(max_pool2d_gaps, sw_max_pool2d(in[0], 2, 1, POOL_OPTIONS(.stride = {3, 2}, .padding = {1, 0})))
BUILD(max_pool2d_ceil, sw_max_pool2d(in[0], 3, 2, POOL_OPTIONS(.stride = {2, 3}, .padding = {1, 0}, .ceil_mode = true)))
BUILD(max_pool2d_dilated,
      sw_max_pool2d(in[0], 2, 3, POOL_OPTIONS(.stride = {1, 2}, .padding = {1, 1}, .dilation = {3, 2})))
BUILD(max_pool2d_large, sw_max_pool2d(in[0], 15, 18, POOL_OPTIONS(.stride = {1, 2})))
BUILD(avg_pool2d, sw_avg_pool2d(in[0], 2, 2, NULL))
BUILD(avg_pool2d_overlapping, sw_avg_pool2d(in[0], 3, 3, POOL_OPTIONS(.stride = {2, 1}, .padding = {1, 1})))
BUILD(avg_pool2d_exclude,
      sw_avg_pool2d(in[0], 3, 2, POOL_OPTIONS(.stride = {2, 2}, .padding = {1, 1}, .exclude_padding = true)))
BUILD(avg_pool2d_ceil, sw_avg_pool2d(in[0], 2, 3, POOL_OPTIONS(.stride = {3, 2}, .padding = {1, 1}, .ceil_mode = true)))
BUILD(avg_pool2d_ceil_exclude,
      sw_avg_pool2d(in[0], 3, 3,
                    POOL_OPTIONS(.stride = {3, 2}, .padding = {0, 1}, .ceil_mode = true, .exclude_padding = true)))
BUILD(avg_pool2d_large, sw_avg_pool2d(in[0], 4, 70, POOL_OPTIONS(.stride = {1, 1})))
BUILD(max_pool2d_relu, sw_max_pool2d(in[0], 2, 2, POOL_OPTIONS(.relu = true)))
BUILD(avg_pool2d_relu, sw_avg_pool2d(in[0], 2, 2, POOL_OPTIONS(.relu = true)))
BUILD(avg_pool2d_relu_overlapping, sw_avg_pool2d(in[0], 2, 3, POOL_OPTIONS(.stride = {1, 1}, .relu = true)))
BUILD(max_pool1d, sw_max_pool1d(in[0], 3, POOL_OPTIONS(.stride = {2}, .padding = {1})))
BUILD(avg_pool1d, sw_avg_pool1d(in[0], 3, NULL))
BUILD(adaptive_max_pool2d, sw_adaptive_max_pool2d(in[0], 3, 2))
BUILD(adaptive_avg_pool2d, sw_adaptive_avg_pool2d(in[0], 3, 2))
BUILD(global_max_pool2d, sw_global_max_pool2d(in[0]))
BUILD(global_avg_pool2d, sw_global_avg_pool2d(in[0]))

/* clang-format off */
static const op_entry ops_pool[] = {
    {"max_pool2d", "max_pool2d", build_max_pool2d, 1, {REAL}, PICTURES " [1,2,2,4]", BIG_PICTURES, 0,
     PICTURE_ERRORS("max_pool2d")},
    {"max_pool2d", "max_pool2d overlapping", build_max_pool2d_overlapping, 1, {REAL}, PICTURES " [1,1,1,2]",
     BIG_PICTURES, 0, {{0}}},
    {"max_pool2d", "max_pool2d gaps", build_max_pool2d_gaps, 1, {REAL}, PICTURES " [1,3,7,16]", BIG_PICTURES, 0, {{0}}},
    {"max_pool2d", "max_pool2d ceil", build_max_pool2d_ceil, 1, {REAL}, PICTURES, BIG_PICTURES, 0,
     {{0}}},
    {"max_pool2d", "max_pool2d dilated", build_max_pool2d_dilated, 1, {REAL}, PICTURES " [1,3,3,3]", BIG_PICTURES, 0,
     {{"[1,1,3,2]", SW_ERR_SHAPE,
       "max_pool2d: a window that spans 4×5 is larger than the padded picture 3×5; choose a smaller one"}}},
    {"max_pool2d", "max_pool2d large", build_max_pool2d_large, 1, {REAL}, "[1,15,19,1] [1,16,20,18]", BIG_PICTURES, 0,
     {{"[2,14,18,1]", SW_ERR_SHAPE,
       "max_pool2d: a window that spans 15×18 is larger than the padded picture 14×18; choose a smaller one"}}},
    {"avg_pool2d", "avg_pool2d", build_avg_pool2d, 1, {REAL}, PICTURES " [1,2,2,4]", BIG_PICTURES, 0,
     PICTURE_ERRORS("avg_pool2d")},
    {"avg_pool2d", "avg_pool2d overlapping", build_avg_pool2d_overlapping, 1, {REAL}, PICTURES " [1,1,1,2]",
     BIG_PICTURES, 0, {{0}}},
    {"avg_pool2d", "avg_pool2d exclude", build_avg_pool2d_exclude, 1, {REAL}, PICTURES, BIG_PICTURES, 0, {{0}}},
    {"avg_pool2d", "avg_pool2d ceil", build_avg_pool2d_ceil, 1, {REAL}, PICTURES, BIG_PICTURES, 0, {{0}}},
    {"avg_pool2d", "avg_pool2d ceil exclude", build_avg_pool2d_ceil_exclude, 1, {REAL}, PICTURES, BIG_PICTURES, 0,
     {{0}}},
    {"avg_pool2d", "avg_pool2d large", build_avg_pool2d_large, 1, {REAL}, "[1,4,71,1] [1,5,73,17]", "[1,80,100,19]", 0,
     {{0}}},
    {"max_pool2d", "max_pool2d relu", build_max_pool2d_relu, 1, {AWAY}, PICTURES, BIG_PICTURES, 0, {{0}}},
    {"avg_pool2d", "avg_pool2d relu", build_avg_pool2d_relu, 1, {AWAY}, PICTURES, BIG_PICTURES, 0, {{0}}},
    {"avg_pool2d", "avg_pool2d relu overlapping", build_avg_pool2d_relu_overlapping, 1, {AWAY}, PICTURES, BIG_PICTURES,
     0, {{0}}},
    {"max_pool1d", "max_pool1d", build_max_pool1d, 1, {REAL}, "[2,5,3] [1,1,1] [1,8,17] [0,3,2]", "[50,200,19]", 0,
     {{"[4,3]", SW_ERR_SHAPE, "max_pool1d: x is [4,3]; [batch, length, channels] is needed"},
      {"[1,0,3]", SW_ERR_ARGUMENT, "max_pool1d: a sequence of length 0; 1 to 2^31 - 1 is needed"}}},
    {"avg_pool1d", "avg_pool1d", build_avg_pool1d, 1, {REAL}, "[2,7,3] [1,3,1] [1,8,17] [0,3,2]", "[50,200,19]", 0,
     {{"[2,2,3]", SW_ERR_SHAPE,
       "avg_pool1d: a window that spans 3 is larger than the padded sequence 2; choose a smaller one"}}},
    {"adaptive_max_pool2d", "adaptive_max_pool2d", build_adaptive_max_pool2d, 1, {REAL},
     "[1,4,5,2] [2,3,4,1] [1,2,1,3] [1,7,5,17] [0,4,4,3]", "[20,24,25,19]", 0, PICTURE_ERRORS("adaptive_max_pool2d")},
    {"adaptive_avg_pool2d", "adaptive_avg_pool2d", build_adaptive_avg_pool2d, 1, {REAL},
     "[1,4,5,2] [2,3,4,1] [1,2,1,3] [1,7,5,17] [0,4,4,3]", "[20,25,24,19]", 0, PICTURE_ERRORS("adaptive_avg_pool2d")},
    {"global_max_pool2d", "global_max_pool2d", build_global_max_pool2d, 1, {REAL},
     "[2,2,3,2] [1,1,1,1] [1,3,4,5] [1,16,17,2] [0,4,4,3]", "[40,24,24,19]", 0, PICTURE_ERRORS("global_max_pool2d")},
    {"global_avg_pool2d", "global_avg_pool2d", build_global_avg_pool2d, 1, {REAL},
     "[2,2,3,2] [1,1,1,1] [1,3,4,5] [1,3,40,2] [0,4,4,3]", "[40,24,24,19]", 0, PICTURE_ERRORS("global_avg_pool2d")},
};
/* clang-format on */
