/* Entries for normalization.h: layer_norm.c, group_norm.c, batch_norm.c. Rows longer than SW_LANES with a tail,
 * channels below and above a strip of SW_LANES, groups of one and of several channels. Larger shapes: test_norms.c;
 * evaluation and running statistics of batch normalization: test_batch_norm_training.c. */

static inline int64_t last_length(sw_tensor x) {
    const sw_array a = sw_value(x);
    return a.data && a.rank > 0 ? a.shape[a.rank - 1] : 1;
}

BUILD(layer_norm, sw_layer_norm(in[0], in[1], in[2], 0))
BUILD(layer_norm_plain, sw_layer_norm(in[0], (sw_tensor){0}, (sw_tensor){0}, 1e-3))
BUILD(layer_norm_weight, sw_layer_norm(in[0], in[1], (sw_tensor){0}, 1e-2))
BUILD(layer_norm_bias, sw_layer_norm(in[0], (sw_tensor){0}, in[1], 2e-2))
BUILD(layer_norm_over, sw_layer_norm_over(in[0], 2, in[1], in[2], 1e-4))
BUILD(rms_norm, sw_rms_norm(in[0], in[1], 0))
BUILD(rms_norm_plain, sw_rms_norm(in[0], (sw_tensor){0}, 1e-2))
BUILD(rms_norm_over, sw_rms_norm_over(in[0], 2, in[1], 1e-4))
BUILD(group_norm, sw_group_norm(in[0], 2, in[1], in[2], 0))
BUILD(group_norm_one, sw_group_norm(in[0], 1, in[1], in[2], 1e-3))
BUILD(group_norm_each, sw_group_norm(in[0], last_length(in[0]), in[1], in[2], 1e-2))
BUILD(group_norm_plain, sw_group_norm(in[0], 3, (sw_tensor){0}, (sw_tensor){0}, 2e-3))
BUILD(batch_norm, sw_batch_norm(in[0], in[1], in[2], NULL))
BUILD(batch_norm_plain,
      sw_batch_norm(in[0], (sw_tensor){0}, (sw_tensor){0}, &SW_OPTIONS(sw_batch_norm_options, .eps = 1e-3)))
BUILD(batch_norm_bias, sw_batch_norm(in[0], (sw_tensor){0}, in[1], &SW_OPTIONS(sw_batch_norm_options, .eps = 1e-2)))

/* clang-format off */
static const op_entry ops_norm[] = {
    {"layer_norm", "layer_norm", build_layer_norm, 3, {REAL, REAL, REAL},
     "[4,3][3][3] [2,3,7][7][7] [3,33][33][33] [5][5][5] [2,1][1][1] [0,3][3][3] [3,0][0][0] [70,5][5][5]",
     "[120,500][500][500]", OPTIONAL,
     {{"[][][]", SW_ERR_SHAPE, "layer_norm: 1 last axes of []; 1 to 0 are possible"},
      {"[4,3][4][3]", SW_ERR_SHAPE, "layer_norm: input [4,3] and weight [4]; the weight must be [3]"},
      {"[4,3][3][1]", SW_ERR_SHAPE, "layer_norm: input [4,3] and bias [1]; the bias must be [3]"}}},
    {"layer_norm", "layer_norm plain", build_layer_norm_plain, 1, {REAL}, "[4,3] [2,2,5] [3,70] [6]", BIG1,
     OPTIONAL, {{0}}},
    {"layer_norm", "layer_norm weight", build_layer_norm_weight, 2, {REAL, REAL}, "[4,3][3] [2,33][33]",
     "[12,5000][5000]", OPTIONAL, {{0}}},
    {"layer_norm", "layer_norm bias", build_layer_norm_bias, 2, {REAL, REAL}, "[4,3][3] [2,33][33]",
     "[3000,20][20]", OPTIONAL, {{0}}},
    {"layer_norm_over", "layer_norm_over", build_layer_norm_over, 3, {REAL, REAL, REAL},
     "[4,3,2][3,2][3,2] [2,2,5,7][5,7][5,7] [3,2][3,2][3,2]", "[100,20,30][20,30][20,30]", OPTIONAL,
     {{"[4][4][4]", SW_ERR_SHAPE, "layer_norm: 2 last axes of [4]; 1 to 1 are possible"},
      {"[4,3,2][2][3,2]", SW_ERR_SHAPE, "layer_norm: input [4,3,2] and weight [2]; the weight must be [3,2]"}}},
    {"rms_norm", "rms_norm", build_rms_norm, 2, {AWAY, REAL},
     "[4,3][3] [2,3,7][7] [3,33][33] [5][5] [2,1][1] [0,3][3] [3,0][0]", "[120,500][500]", OPTIONAL,
     {{"[4,3][4]", SW_ERR_SHAPE, "rms_norm: input [4,3] and weight [4]; the weight must be [3]"}}},
    {"rms_norm", "rms_norm plain", build_rms_norm_plain, 1, {REAL}, "[4,3] [2,2,5] [3,70]", BIG1, OPTIONAL, {{0}}},
    {"rms_norm_over", "rms_norm_over", build_rms_norm_over, 2, {REAL, REAL}, "[4,3,2][3,2] [2,5,7][5,7]",
     "[100,20,30][20,30]", OPTIONAL, {{0}}},
    {"group_norm", "group_norm", build_group_norm, 3, {REAL, REAL, REAL},
     "[3,8][8][8] [2,5,6][6][6] [2,3,3,2][2][2] [2,2,2,34][34][34] [0,3,4][4][4] [2,0,4][4][4] [2,3,0][0][0] "
     "[2,1,70][70][70]",
     "[6,10,20,50][50][50]", OPTIONAL,
     {{"[4][4][4]", SW_ERR_SHAPE, "group_norm: input [4]; [batch, ..., channels] is needed"},
      {"[2,3][3][3]", SW_ERR_SHAPE,
       "group_norm: input [2,3]: 3 channels, the last axis, cannot be divided into 2 groups of equal size"},
      {"[2,4][3][4]", SW_ERR_SHAPE, "group_norm: input [2,4] and weight [3]; the weight must be [4]"}}},
    {"group_norm", "group_norm one", build_group_norm_one, 3, {REAL, REAL, REAL},
     "[3,4][4][4] [2,5,3][3][3] [1,40,3][3][3]", "[3,200,100][100][100]", OPTIONAL, {{0}}},
    {"group_norm", "group_norm each", build_group_norm_each, 3, {REAL, REAL, REAL},
     "[2,5,3][3][3] [2,2,4,1][1][1] [1,40,3][3][3]", "[2,3000,10][10][10]", OPTIONAL, {{0}}},
    {"group_norm", "group_norm plain", build_group_norm_plain, 1, {REAL}, "[3,6] [2,5,3] [2,2,2,66]",
     "[2,300,102]", OPTIONAL, {{0}}},
    {"batch_norm", "batch_norm", build_batch_norm, 3, {REAL, REAL, REAL},
     "[4,3][3][3] [2,5,6][6][6] [3,2,2,2][2][2] [5,1][1][1] [2,2,33][33][33] [70,5][5][5] [3,70][70][70] "
     "[0,3][3][3] [2,0,3][3][3] [3,0][0][0] [300,3][3][3]",
     "[24,5,5,100][100][100]", OPTIONAL,
     {{"[4][4][4]", SW_ERR_SHAPE, "batch_norm: input [4]; [batch, ..., channels] is needed"},
      {"[1,3][3][3]", SW_ERR_SHAPE, "batch_norm: input [1,3] has 1 value per channel, whose variance is 0; training "
       "needs at least 2 (a larger batch, drop_last of sw_loader_options for a smaller last batch, or evaluation with "
       "SW_TRAIN off?)"},
      {"[4,3][2][3]", SW_ERR_SHAPE, "batch_norm: input [4,3] and weight [2]; the weight must be [3]"},
      {"[4,3][3][3,1]", SW_ERR_SHAPE, "batch_norm: input [4,3] and bias [3,1]; the bias must be [3]"}}},
    {"batch_norm", "batch_norm plain", build_batch_norm_plain, 1, {REAL}, "[4,3] [2,5,6] [3,2,2,2]",
     "[6000,10]", OPTIONAL, {{0}}},
    {"batch_norm", "batch_norm bias", build_batch_norm_bias, 2, {REAL, REAL}, "[4,3][3] [2,5,6][6]", "[64,9,9,16][16]",
     OPTIONAL, {{0}}},
};
/* clang-format on */
