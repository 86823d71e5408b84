/* Entries for loss.c and cross_entropy.c. */

/* Options of cross_entropy with weights for seven classes or fewer; w is kept in f32 exactly. */
static inline sw_tensor build_with(const sw_tensor *in, sw_reduction reduction, double smoothing, bool ignore,
                                   bool weighted) {
    static const double weights[7] = {1.5, 0, 0.25, 2, 0.5, 1, 3};
    const int rank = sw_value(in[0]).rank;
    const int64_t classes = rank ? sw_value(in[0]).shape[rank - 1] : 0;
    const sw_cross_entropy_options options = {.size = sizeof options,
                                              .reduction = reduction,
                                              .label_smoothing = smoothing,
                                              .ignore = ignore,
                                              .ignored_id = 2,
                                              .class_weights = weighted ? weights : NULL,
                                              .classes = weighted && classes <= 7 ? (int)classes : 0};
    return sw_cross_entropy_with_options(in[0], in[1], &options);
}

BUILD(loss_with_weight, sw_loss_with_weight(in[0], 3))
BUILD(cross_entropy, sw_cross_entropy(in[0], in[1]))
BUILD(cross_entropy_null, sw_cross_entropy_with_options(in[0], in[1], NULL))
BUILD(cross_entropy_sum, build_with(in, SW_SUM, 0, false, false))
BUILD(cross_entropy_none, build_with(in, SW_NONE, 0, false, false))
BUILD(cross_entropy_smooth, build_with(in, SW_MEAN, 0.1, false, false))
BUILD(cross_entropy_uniform, build_with(in, SW_MEAN, 1, false, false))
BUILD(cross_entropy_weights, build_with(in, SW_MEAN, 0, false, true))
BUILD(cross_entropy_weights_sum, build_with(in, SW_SUM, 0, false, true))
BUILD(cross_entropy_ignore, build_with(in, SW_MEAN, 0, true, false))
BUILD(cross_entropy_ignore_sum, build_with(in, SW_SUM, 0, true, false))
BUILD(cross_entropy_all, build_with(in, SW_MEAN, 0.3, true, true))
BUILD(cross_entropy_all_sum, build_with(in, SW_SUM, 0.3, true, true))
BUILD(cross_entropy_all_none, build_with(in, SW_NONE, 0.3, true, true))
BUILD(cross_entropy_soft_all, build_with(in, SW_MEAN, 0.3, false, true))
BUILD(cross_entropy_soft_all_none, build_with(in, SW_NONE, 0.3, false, true))
BUILD(mse, sw_mse(in[0], in[1]))
BUILD(mse_sum, sw_mse_with_options(in[0], in[1], &SW_OPTIONS(sw_loss_options, .reduction = SW_SUM)))
BUILD(mse_none, sw_mse_with_options(in[0], in[1], &SW_OPTIONS(sw_loss_options, .reduction = SW_NONE)))
BUILD(l1, sw_l1(in[0], in[1]))
BUILD(l1_mean, sw_l1_with_options(in[0], in[1], &SW_OPTIONS(sw_loss_options, .reduction = SW_MEAN)))
BUILD(l1_sum, sw_l1_with_options(in[0], in[1], &SW_OPTIONS(sw_loss_options, .reduction = SW_SUM)))
BUILD(l1_none, sw_l1_with_options(in[0], in[1], &SW_OPTIONS(sw_loss_options, .reduction = SW_NONE)))
BUILD(huber, sw_huber(in[0], in[1]))
BUILD(huber_mean,
      sw_huber_with_options(in[0], in[1], &SW_OPTIONS(sw_huber_options, .delta = 1.3, .reduction = SW_MEAN)))
BUILD(huber_sum, sw_huber_with_options(in[0], in[1], &SW_OPTIONS(sw_huber_options, .delta = 0.7, .reduction = SW_SUM)))
BUILD(huber_none,
      sw_huber_with_options(in[0], in[1], &SW_OPTIONS(sw_huber_options, .delta = 0.4, .reduction = SW_NONE)))
BUILD(hinge, sw_hinge(in[0], in[1]))
BUILD(hinge_sum, sw_hinge_with_options(in[0], in[1], &SW_OPTIONS(sw_loss_options, .reduction = SW_SUM)))
BUILD(hinge_none, sw_hinge_with_options(in[0], in[1], &SW_OPTIONS(sw_loss_options, .reduction = SW_NONE)))
BUILD(bce_with_logits, sw_bce_with_logits(in[0], in[1]))
BUILD(bce_with_logits_sum,
      sw_bce_with_logits_with_options(in[0], in[1], &SW_OPTIONS(sw_bce_options, .reduction = SW_SUM)))
BUILD(bce_with_logits_none,
      sw_bce_with_logits_with_options(in[0], in[1], &SW_OPTIONS(sw_bce_options, .reduction = SW_NONE)))
BUILD(mse_weights, sw_mse_with_options(in[0], in[1], &SW_OPTIONS(sw_loss_options, .weight = in[2])))
BUILD(mse_weights_sum,
      sw_mse_with_options(in[0], in[1], &SW_OPTIONS(sw_loss_options, .reduction = SW_SUM, .weight = in[2])))
BUILD(l1_weights, sw_l1_with_options(in[0], in[1], &SW_OPTIONS(sw_loss_options, .weight = in[2])))
BUILD(l1_weights_none,
      sw_l1_with_options(in[0], in[1], &SW_OPTIONS(sw_loss_options, .reduction = SW_NONE, .weight = in[2])))
BUILD(huber_weights, sw_huber_with_options(in[0], in[1], &SW_OPTIONS(sw_huber_options, .delta = 1.3, .weight = in[2])))
BUILD(huber_weights_none,
      sw_huber_with_options(in[0], in[1],
                            &SW_OPTIONS(sw_huber_options, .delta = 0.7, .reduction = SW_NONE, .weight = in[2])))
BUILD(hinge_weights, sw_hinge_with_options(in[0], in[1], &SW_OPTIONS(sw_loss_options, .weight = in[2])))
BUILD(bce_weights, sw_bce_with_logits_with_options(in[0], in[1], &SW_OPTIONS(sw_bce_options, .weight = in[2])))
BUILD(bce_weights_none,
      sw_bce_with_logits_with_options(in[0], in[1], &SW_OPTIONS(sw_bce_options, .reduction = SW_NONE, .weight = in[2])))
BUILD(bce_positive, sw_bce_with_logits_with_options(in[0], in[1], &SW_OPTIONS(sw_bce_options, .pos_weight = in[2])))
BUILD(bce_positive_none,
      sw_bce_with_logits_with_options(in[0], in[1],
                                      &SW_OPTIONS(sw_bce_options, .reduction = SW_NONE, .pos_weight = in[2])))
BUILD(bce_both, sw_bce_with_logits_with_options(in[0], in[1],
                                                &SW_OPTIONS(sw_bce_options, .reduction = SW_SUM, .weight = in[2],
                                                            .pos_weight = in[2])))
BUILD(kl_div, sw_kl_div(in[0], in[1]))
BUILD(kl_div_sum, sw_kl_div_with_options(in[0], in[1], &SW_OPTIONS(sw_loss_options, .reduction = SW_SUM)))
BUILD(kl_div_none, sw_kl_div_with_options(in[0], in[1], &SW_OPTIONS(sw_loss_options, .reduction = SW_NONE)))

#define CLASSES                                                                                     \
    "[4,3][4] [6,2][6] [5,2][5] [1,7][1] [0,3][0] [0,0][0] [9,33][9] [3,70][3] [3][] [2,3,4][2,3] " \
    "[2,1,2,5][2,1,2] [2,0,3][2,0]"
#define FEW_CLASSES "[4,3][4] [6,2][6] [1,7][1] [9,5][9] [0,3][0] [3][] [2,3,4][2,3] [2,1,2,5][2,1,2] [2,0,3][2,0]"
#define MANY_CLASSES "[4,3][4] [9,33][9] [3,70][3] [3][] [2,3,4][2,3] [2,1,2,5][2,1,2] [2,0,3][2,0]"
#define SOFT                                                                                           \
    "[4,3][4,3] [1,2][1,2] [5,2][5,2] [9,5][9,5] [0,3][0,3] [3][3] [2,3,4][2,3,4] [2,1,2,5][2,1,2,5] " \
    "[2,0,3][2,0,3]"
#define PAIRS "[4,3][4,3] [][] [1][1] [0][0] [2,3,4][2,3,4] [70][70] [2,1,3,2,2][2,1,3,2,2]"
#define WEIGHTED_PAIRS                                                                                           \
    "[4,3][4,3][4,3] [][][] [1][1][1] [2,3,4][2,3,4][2,3,4] [70][70][70] [2,300][2,300][2,300] [2,0][2,0][2,0] " \
    "[600][600][600]"
#define BROADCAST_WEIGHTS                                                                                  \
    "[4,3][4,3][3] [5,2][5,2][5,1] [2,3,4][2,3,4][4] [2,3,4][2,3,4][3,1] [4,3][4,3][] [70,2][70,2][70,2] " \
    "[0,2][0,2][2]"
#define BIG_WEIGHTED "[120,500][120,500][120,500]"
#define UNBROADCAST_WEIGHTS(name, what)                                                                \
    {"[2,3][2,3][2]", SW_ERR_SHAPE, name ": " what " [2] do not broadcast to the prediction [2,3]"}, { \
        "[3][3][1,3]", SW_ERR_SHAPE, name ": " what " [1,3] do not broadcast to the prediction [3]"    \
    }
#define ROWS_OF_PAIRS "[4,3][4,3] [1][1] [5][5] [0,3][0,3] [2,0][2,0] [2,3,4][2,3,4] [3,70][3,70] [2,1,3,2][2,1,3,2]"
#define MANY_ROWS "[30000,3][30000]"
#define UNEQUAL(name)                                                                                     \
    {"[2,3][3,2]", SW_ERR_SHAPE, name ": prediction [2,3] and target [3,2]; the shapes must be equal"}, { \
        "[2,3][2]", SW_ERR_SHAPE, name ": prediction [2,3] and target [2]; the shapes must be equal"      \
    }
#define UNEQUAL_SOFT                                                                                      \
    {                                                                                                     \
        "[2,3][2]", SW_ERR_SHAPE,                                                                         \
            "cross_entropy: logits [2,3] and distributions [2]; the shapes must be equal, [...,classes] " \
            "(class ids are i32)"                                                                         \
    }

/* clang-format off */
static const op_entry ops_loss[] = {
    {"cross_entropy", "cross_entropy", build_cross_entropy, 2, {REAL, IDS}, CLASSES, MANY_ROWS, 0,
     {{"[2,3][3]", SW_ERR_SHAPE,
       "cross_entropy: logits [2,3] and ids [3]; [...,classes] and [...] are needed"},
      {"[2,3][]", SW_ERR_SHAPE,
       "cross_entropy: logits [2,3] and ids []; [...,classes] and [...] are needed"}}},
    {"cross_entropy", "cross_entropy long rows", build_cross_entropy, 2, {REAL, IDS}, "[2,100][2]",
     "[12,9001][12]", 0, {{0}}},
    {"cross_entropy_with_options", "cross_entropy null", build_cross_entropy_null, 2, {REAL, IDS},
     "[4,4][4]", NULL, COMPOSED, {{0}}},
    {"cross_entropy_with_options", "cross_entropy sum", build_cross_entropy_sum, 2, {REAL, IDS}, MANY_CLASSES,
     "[3000,30][3000]", 0, {{0}}},
    {"cross_entropy_with_options", "cross_entropy none", build_cross_entropy_none, 2, {REAL, IDS}, CLASSES,
     MANY_ROWS, 0, {{0}}},
    {"cross_entropy_with_options", "cross_entropy smooth", build_cross_entropy_smooth, 2, {REAL, IDS}, CLASSES,
     MANY_ROWS, 0, {{0}}},
    {"cross_entropy_with_options", "cross_entropy uniform", build_cross_entropy_uniform, 2, {REAL, IDS},
     MANY_CLASSES, "[12,9001][12]", 0, {{0}}},
    {"cross_entropy_with_options", "cross_entropy weights", build_cross_entropy_weights, 2, {REAL, IDS},
     "[4,3][4] [6,2][6] [9,5][9] [2,3,4][2,3] [2,1,2,5][2,1,2] [2,0,3][2,0]", MANY_ROWS, 0,
     {{"[2,8][2]", SW_ERR_SHAPE, "cross_entropy: 0 class weights for 8 classes"}}},
    {"cross_entropy_with_options", "cross_entropy weights sum", build_cross_entropy_weights_sum, 2, {REAL, IDS},
     FEW_CLASSES, MANY_ROWS, 0, {{0}}},
    {"cross_entropy_with_options", "cross_entropy ignore", build_cross_entropy_ignore, 2, {REAL, IDS},
     "[4,3][4] [6,2][6] [9,5][9] [9,33][9] [3,70][3] [2,3,4][2,3] [2,1,2,5][2,1,2] [0,3][0]",
     MANY_ROWS, 0, {{0}}},
    {"cross_entropy_with_options", "cross_entropy ignore sum", build_cross_entropy_ignore_sum, 2, {REAL, IDS},
     FEW_CLASSES, MANY_ROWS, 0, {{0}}},
    {"cross_entropy_with_options", "cross_entropy all", build_cross_entropy_all, 2, {REAL, IDS},
     "[4,3][4] [6,2][6] [9,5][9] [2,3,4][2,3] [2,1,2,5][2,1,2] [2,0,3][2,0]", MANY_ROWS, 0, {{0}}},
    {"cross_entropy_with_options", "cross_entropy all sum", build_cross_entropy_all_sum, 2, {REAL, IDS},
     FEW_CLASSES, MANY_ROWS, 0, {{0}}},
    {"cross_entropy_with_options", "cross_entropy all none", build_cross_entropy_all_none, 2, {REAL, IDS},
     FEW_CLASSES, MANY_ROWS, 0, {{0}}},
    {"cross_entropy", "cross_entropy soft", build_cross_entropy, 2, {REAL, UNIT},
     SOFT " [9,33][9,33] [3,70][3,70]", "[30000,3][30000,3]", 0, {UNEQUAL_SOFT}},
    {"cross_entropy", "cross_entropy soft long rows", build_cross_entropy, 2, {REAL, UNIT},
     "[2,100][2,100]", "[12,9001][12,9001]", 0, {{0}}},
    {"cross_entropy_with_options", "cross_entropy soft sum", build_cross_entropy_sum, 2, {REAL, UNIT},
     SOFT " [9,33][9,33]", "[3000,30][3000,30]", 0, {{0}}},
    {"cross_entropy_with_options", "cross_entropy soft none", build_cross_entropy_none, 2, {REAL, UNIT},
     SOFT " [9,33][9,33] [3,70][3,70]", "[3000,30][3000,30]", 0, {{0}}},
    {"cross_entropy_with_options", "cross_entropy soft smooth", build_cross_entropy_smooth, 2, {REAL, UNIT},
     SOFT " [9,33][9,33]", "[3000,30][3000,30]", 0, {{0}}},
    {"cross_entropy_with_options", "cross_entropy soft all", build_cross_entropy_soft_all, 2, {REAL, UNIT},
     SOFT, "[30000,3][30000,3]", 0, {{0}}},
    {"cross_entropy_with_options", "cross_entropy soft all none", build_cross_entropy_soft_all_none, 2,
     {REAL, UNIT}, SOFT, "[30000,3][30000,3]", 0, {{0}}},
    {"mse", "mse", build_mse, 2, {REAL, REAL}, PAIRS, BIG2, 0, {UNEQUAL("mse")}},
    {"mse_with_options", "mse sum", build_mse_sum, 2, {REAL, REAL}, PAIRS, BIG2, 0, {UNEQUAL("mse")}},
    {"mse_with_options", "mse none", build_mse_none, 2, {REAL, REAL}, PAIRS, BIG2, 0, {UNEQUAL("mse")}},
    {"l1", "l1", build_l1, 2, {REAL, REAL}, PAIRS, BIG2, 0, {UNEQUAL("l1")}},
    {"l1_with_options", "l1 mean", build_l1_mean, 2, {REAL, REAL}, "[4,5][4,5]", NULL, COMPOSED, {{0}}},
    {"l1_with_options", "l1 sum", build_l1_sum, 2, {REAL, REAL}, PAIRS, BIG2, 0, {UNEQUAL("l1")}},
    {"l1_with_options", "l1 none", build_l1_none, 2, {REAL, REAL}, PAIRS, BIG2, 0, {UNEQUAL("l1")}},
    {"huber", "huber", build_huber, 2, {REAL, REAL}, PAIRS, BIG2, 0, {UNEQUAL("huber")}},
    {"huber_with_options", "huber mean", build_huber_mean, 2, {REAL, REAL}, PAIRS, BIG2, 0,
     {UNEQUAL("huber")}},
    {"huber_with_options", "huber sum", build_huber_sum, 2, {REAL, REAL}, PAIRS, BIG2, 0,
     {UNEQUAL("huber")}},
    {"huber_with_options", "huber none", build_huber_none, 2, {REAL, REAL}, PAIRS, BIG2, 0,
     {UNEQUAL("huber")}},
    {"hinge", "hinge", build_hinge, 2, {REAL, SIGN}, PAIRS, BIG2, 0, {UNEQUAL("hinge")}},
    {"hinge", "hinge with gradient of the target", build_hinge, 2, {REAL, REAL}, PAIRS, BIG2, 0,
     {UNEQUAL("hinge")}},
    {"hinge_with_options", "hinge sum", build_hinge_sum, 2, {REAL, SIGN}, PAIRS, BIG2, 0,
     {UNEQUAL("hinge")}},
    {"hinge_with_options", "hinge none", build_hinge_none, 2, {REAL, REAL}, PAIRS, BIG2, 0,
     {UNEQUAL("hinge")}},
    {"bce_with_logits", "bce_with_logits", build_bce_with_logits, 2, {REAL, UNIT}, PAIRS, BIG2, 0,
     {UNEQUAL("bce_with_logits")}},
    {"bce_with_logits_with_options", "bce_with_logits sum", build_bce_with_logits_sum, 2, {REAL, UNIT}, PAIRS,
     BIG2, 0, {UNEQUAL("bce_with_logits")}},
    {"bce_with_logits_with_options", "bce_with_logits none", build_bce_with_logits_none, 2, {REAL, UNIT},
     PAIRS, BIG2, 0, {UNEQUAL("bce_with_logits")}},
    {"mse_with_options", "mse weights", build_mse_weights, 3, {REAL, REAL, WEIGHT}, BROADCAST_WEIGHTS,
     "[120,500][120,500][500]", 0, {UNBROADCAST_WEIGHTS("mse", "weights")}},
    {"mse_with_options", "mse weights sum", build_mse_weights_sum, 3, {REAL, REAL, WEIGHT}, WEIGHTED_PAIRS,
     BIG_WEIGHTED, 0, {{"[2,3][3,2][2,3]", SW_ERR_SHAPE,
                        "mse: prediction [2,3] and target [3,2]; the shapes must be equal"}}},
    {"l1_with_options", "l1 weights", build_l1_weights, 3, {REAL, REAL, WEIGHT}, WEIGHTED_PAIRS, BIG_WEIGHTED, 0,
     {UNBROADCAST_WEIGHTS("l1", "weights")}},
    {"l1_with_options", "l1 weights none", build_l1_weights_none, 3, {REAL, REAL, WEIGHT}, WEIGHTED_PAIRS,
     BIG_WEIGHTED, 0, {{0}}},
    {"huber_with_options", "huber weights", build_huber_weights, 3, {REAL, REAL, WEIGHT}, WEIGHTED_PAIRS,
     BIG_WEIGHTED, 0, {UNBROADCAST_WEIGHTS("huber", "weights")}},
    {"huber_with_options", "huber weights none", build_huber_weights_none, 3, {REAL, REAL, WEIGHT},
     BROADCAST_WEIGHTS, "[120,500][120,500][500]", 0, {{0}}},
    {"hinge_with_options", "hinge weights", build_hinge_weights, 3, {REAL, REAL, WEIGHT}, WEIGHTED_PAIRS,
     BIG_WEIGHTED, 0, {UNBROADCAST_WEIGHTS("hinge", "weights")}},
    {"bce_with_logits_with_options", "bce_with_logits weights", build_bce_weights, 3, {REAL, UNIT, WEIGHT},
     BROADCAST_WEIGHTS, "[120,500][120,500][500]", 0, {UNBROADCAST_WEIGHTS("bce_with_logits", "weights")}},
    {"bce_with_logits_with_options", "bce_with_logits weights none", build_bce_weights_none, 3,
     {REAL, UNIT, WEIGHT}, WEIGHTED_PAIRS, BIG_WEIGHTED, 0, {{0}}},
    {"bce_with_logits_with_options", "bce_with_logits pos_weight", build_bce_positive, 3, {REAL, UNIT, WEIGHT},
     BROADCAST_WEIGHTS, "[120,500][120,500][500]", 0, {UNBROADCAST_WEIGHTS("bce_with_logits", "pos_weights")}},
    {"bce_with_logits_with_options", "bce_with_logits pos_weight none", build_bce_positive_none, 3,
     {REAL, UNIT, WEIGHT}, WEIGHTED_PAIRS, BIG_WEIGHTED, 0, {{0}}},
    {"bce_with_logits_with_options", "bce_with_logits both weights", build_bce_both, 3, {REAL, UNIT, WEIGHT},
     WEIGHTED_PAIRS, BIG_WEIGHTED, 0, {{0}}},
    {"kl_div", "kl_div", build_kl_div, 2, {REAL, UNIT}, ROWS_OF_PAIRS, BIG2, 0,
     {UNEQUAL("kl_div"),
      {"[][]", SW_ERR_SHAPE, "kl_div: scalars; rows of probabilities [...,classes] are needed"}}},
    {"kl_div_with_options", "kl_div sum", build_kl_div_sum, 2, {REAL, UNIT}, ROWS_OF_PAIRS, BIG2, 0,
     {UNEQUAL("kl_div")}},
    {"kl_div_with_options", "kl_div none", build_kl_div_none, 2, {REAL, UNIT}, ROWS_OF_PAIRS, BIG2, 0,
     {UNEQUAL("kl_div")}},
    {"loss_with_weight", "loss_with_weight", build_loss_with_weight, 1, {REAL}, "[] [1] [1,1]", NULL, COMPOSED,
     {{"[2]", SW_ERR_SHAPE, "loss_with_weight: the loss must be one number, its shape is [2]"}}},
};
/* clang-format on */
