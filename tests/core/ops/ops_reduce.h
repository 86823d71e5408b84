/* Entries for reduce.c, softmax.c and argmax.c. */

/* Ranks 1 to 4, lengths of 1, rows longer than 32 and 64 with a tail, empty axes. */
#define REDUCED "[3,4,5] [1,1,1] [2,1,3,4] [5,1,70] [40,3,2] [2,3,67] [2,2,2,2,2]"
#define ROWS_OF "[4,3] [1,1] [1,7] [3,33] [2,3,4] [5] [2,2,3,5] [35,3] [2,70]"

BUILD(sum, sw_sum(in[0]))
BUILD(mean, sw_mean(in[0]))
BUILD(sum_over_first, sw_sum_over(in[0], SW_AXES(0), false))
BUILD(sum_over_last, sw_sum_over(in[0], SW_AXES(-1), true))
BUILD(sum_over_outer, sw_sum_over(in[0], SW_AXES(-1, 0), false))
BUILD(sum_over_none, sw_sum_over(in[0], 0, NULL, true))
BUILD(sum_over_all, sw_sum_over(in[0], SW_ALL_AXES, true))
BUILD(mean_over_middle, sw_mean_over(in[0], SW_AXES(1), false))
BUILD(mean_over_outer, sw_mean_over(in[0], SW_AXES(0, 2), true))
BUILD(mean_over_last, sw_mean_over(in[0], SW_AXES(-1), false))
BUILD(var_over_last, sw_var_over(in[0], SW_AXES(-1), false, 0))
BUILD(var_over_outer, sw_var_over(in[0], SW_AXES(0, 2), true, 1))
BUILD(var_over_all, sw_var_over(in[0], SW_ALL_AXES, false, 1))
BUILD(var_over_correction, sw_var_over(in[0], SW_AXES(1), false, 0.4))
BUILD(std_over_last, sw_std_over(in[0], SW_AXES(-1), true, 0))
BUILD(std_over_outer, sw_std_over(in[0], SW_AXES(0, 2), false, 1))
BUILD(std_over_all, sw_std_over(in[0], SW_ALL_AXES, false, -0.5))
BUILD(max_over_last, sw_max_over(in[0], SW_AXES(-1), false))
BUILD(max_over_outer, sw_max_over(in[0], SW_AXES(0, 2), true))
BUILD(min_over_middle, sw_min_over(in[0], SW_AXES(1), false))
BUILD(min_over_all, sw_min_over(in[0], SW_ALL_AXES, false))
BUILD(norm_over_1, sw_norm_over(in[0], 1, SW_AXES(0), false))
BUILD(norm_over_2, sw_norm_over(in[0], 2, SW_AXES(-1), true))
BUILD(norm_over_2_outer, sw_norm_over(in[0], 2, SW_AXES(0, 2), false))
BUILD(norm_over_3, sw_norm_over(in[0], 3, SW_AXES(-1), false))
BUILD(norm_over_1_5, sw_norm_over(in[0], 1.5, SW_AXES(0, 1), false))
BUILD(norm_over_max, sw_norm_over(in[0], (double)INFINITY, SW_AXES(-1, 0), false))
BUILD(logsumexp_over_last, sw_logsumexp_over(in[0], SW_AXES(-1), false))
BUILD(logsumexp_over_first, sw_logsumexp_over(in[0], SW_AXES(0), true))
BUILD(logsumexp_over_all, sw_logsumexp_over(in[0], SW_ALL_AXES, false))
BUILD(softmax_last, sw_softmax(in[0], -1))
BUILD(softmax_first, sw_softmax(in[0], 0))
BUILD(softmax_middle, sw_softmax(in[0], 1))
BUILD(log_softmax_last, sw_log_softmax(in[0], -1))
BUILD(log_softmax_first, sw_log_softmax(in[0], 0))
BUILD(log_softmax_middle, sw_log_softmax(in[0], 1))
BUILD(argmax_last, sw_argmax(in[0], -1, false))
BUILD(argmax_first, sw_argmax(in[0], 0, true))
BUILD(argmin_last, sw_argmin(in[0], -1, true))
BUILD(argmin_first, sw_argmin(in[0], 0, false))
BUILD(accuracy, sw_accuracy(in[0], in[1]))

#define AXIS_ERRORS(name)                                                    \
    {                                                                        \
        { "[]", SW_ERR_SHAPE, name ": axis -1 of a scalar, which has none" } \
    }
#define AXIS_2_ERRORS(name)                                                       \
    {                                                                             \
        { "[2,3]", SW_ERR_SHAPE, name ": axis 2 of [2,3]; its axes are -2 to 1" } \
    }
/* clang-format off */
static const op_entry ops_reduce[] = {
    {"sum", "sum", build_sum, 1, {REAL}, SHAPES, "[1000003]", 0, {{0}}},
    {"mean", "mean", build_mean, 1, {REAL}, SHAPES, "[1000003]", 0, {{0}}},
    {"sum_over", "sum_over first", build_sum_over_first, 1, {REAL}, REDUCED " [0,3] [3,0] [5] [70,3]",
     "[500,120]", 0, {{"[]", SW_ERR_SHAPE, "sum_over: axis 0 of a scalar, which has none"}}},
    {"sum_over", "sum_over first few", build_sum_over_first, 1, {REAL}, "[70,3]", "[30011,3]", 0, {{0}}},
    {"sum_over", "sum_over last", build_sum_over_last, 1, {REAL}, ROWS_OF " [0,3] [3,0]", BIG1, 0,
     AXIS_ERRORS("sum_over")},
    {"sum_over", "sum_over last long", build_sum_over_last, 1, {REAL}, "[2,70]", "[2,50001]", 0, {{0}}},
    {"sum_over", "sum_over outer", build_sum_over_outer, 1, {REAL}, REDUCED, "[40,30,70]", 0,
     {{"[4]", SW_ERR_ARGUMENT, "sum_over: axis 0 of [4] is given twice"}}},
    {"sum_over", "sum_over outer many", build_sum_over_outer, 1, {REAL}, "[70,3,2]", "[9000,3,2]", 0,
     {{0}}},
    {"sum_over", "sum_over none", build_sum_over_none, 1, {REAL}, SHAPES, BIG1, 0, {{0}}},
    {"sum_over", "sum_over all", build_sum_over_all, 1, {REAL}, SHAPES, BIG1, 0, {{0}}},
    {"mean_over", "mean_over middle", build_mean_over_middle, 1, {REAL}, REDUCED, "[60,20,50]", 0,
     {{"[3]", SW_ERR_SHAPE, "mean_over: axis 1 of [3]; its axes are -1 to 0"}}},
    {"mean_over", "mean_over outer", build_mean_over_outer, 1, {REAL}, REDUCED " [2,0,3]", "[60,20,50]",
     0, AXIS_2_ERRORS("mean_over")},
    {"mean_over", "mean_over last", build_mean_over_last, 1, {REAL}, ROWS_OF, "[30000,3]", 0,
     AXIS_ERRORS("mean_over")},
    {"var_over", "var_over last", build_var_over_last, 1, {REAL}, ROWS_OF, BIG1, 0,
     AXIS_ERRORS("var_over")},
    {"var_over", "var_over outer", build_var_over_outer, 1, {REAL},
     "[3,4,5] [2,1,3,4] [5,1,70] [40,3,2]", "[60,20,50]", 0, AXIS_2_ERRORS("var_over")},
    {"var_over", "var_over all", build_var_over_all, 1, {REAL}, "[2] [4,3] [3,33]", BIG1, 0, {{0}}},
    {"var_over", "var_over correction", build_var_over_correction, 1, {REAL}, REDUCED, "[60,20,50]", 0,
     {{"[3]", SW_ERR_SHAPE, "var_over: axis 1 of [3]; its axes are -1 to 0"}}},
    {"std_over", "std_over last", build_std_over_last, 1, {REAL}, "[4,3] [1,7] [3,33] [2,3,4] [5] [35,3] [2,70] [0,3]",
     BIG1, 0, AXIS_ERRORS("std_over")},
    {"std_over", "std_over outer", build_std_over_outer, 1, {REAL}, "[3,4,5] [2,1,3,4] [5,1,70] [40,3,2]", "[60,20,50]",
     0, AXIS_2_ERRORS("std_over")},
    {"std_over", "std_over all", build_std_over_all, 1, {REAL}, "[2] [4,3] [3,33]", BIG1, 0, {{0}}},
    {"max_over", "max_over last", build_max_over_last, 1, {REAL}, ROWS_OF " [0,3] [0,0]", BIG1, 0,
     {{"[]", SW_ERR_SHAPE, "max_over: axis -1 of a scalar, which has none"},
      {"[3,0]", SW_ERR_SHAPE, "max_over: axis 1 of [3,0] has length 0: there is no element to choose"}}},
    {"max_over", "max_over outer", build_max_over_outer, 1, {REAL}, REDUCED " [0,0,3]", "[60,20,50]", 0,
     AXIS_2_ERRORS("max_over")},
    {"min_over", "min_over middle", build_min_over_middle, 1, {REAL}, REDUCED, "[60,20,50]", 0,
     {{"[2,0,3]", SW_ERR_SHAPE,
       "min_over: axis 1 of [2,0,3] has length 0: there is no element to choose"}}},
    {"min_over", "min_over all", build_min_over_all, 1, {REAL}, "[] [5] [4,3] [2,3,4] [3,33]", BIG1, 0,
     {{"[0]", SW_ERR_SHAPE, "min_over: axis 0 of [0] has length 0: there is no element to choose"}}},
    {"norm_over", "norm_over 1", build_norm_over_1, 1, {AWAY}, REDUCED " [0,3]", "[500,120]", 0, {{0}}},
    {"norm_over", "norm_over 2", build_norm_over_2, 1, {AWAY}, ROWS_OF " [3,0] [0,3]", BIG1, 0,
     AXIS_ERRORS("norm_over")},
    {"norm_over", "norm_over 2 outer", build_norm_over_2_outer, 1, {AWAY}, REDUCED, "[60,20,50]", 0,
     AXIS_2_ERRORS("norm_over")},
    {"norm_over", "norm_over 3", build_norm_over_3, 1, {AWAY}, ROWS_OF, BIG1, 0,
     AXIS_ERRORS("norm_over")},
    {"norm_over", "norm_over 1.5", build_norm_over_1_5, 1, {AWAY}, REDUCED, "[60,20,50]", 0, {{0}}},
    {"norm_over", "norm_over max", build_norm_over_max, 1, {AWAY}, REDUCED, "[60,20,50]", 0, {{0}}},
    {"logsumexp_over", "logsumexp_over last", build_logsumexp_over_last, 1, {REAL}, ROWS_OF " [3,0]",
     BIG1, 0, AXIS_ERRORS("logsumexp_over")},
    {"logsumexp_over", "logsumexp_over first", build_logsumexp_over_first, 1, {REAL}, REDUCED,
     "[500,120]", 0, {{0}}},
    {"logsumexp_over", "logsumexp_over all", build_logsumexp_over_all, 1, {REAL}, SHAPES, BIG1, 0,
     {{0}}},
    {"softmax", "softmax last", build_softmax_last, 1, {REAL}, ROWS_OF " [3,0] [0,3]", BIG1, 0,
     AXIS_ERRORS("softmax")},
    {"softmax", "softmax first", build_softmax_first, 1, {REAL}, REDUCED " [0,3] [3,0] [7]",
     "[120,500]", 0, {{0}}},
    {"softmax", "softmax middle", build_softmax_middle, 1, {REAL}, REDUCED " [2,3,130]", "[60,20,50]", 0,
     {{0}}},
    {"log_softmax", "log_softmax last", build_log_softmax_last, 1, {REAL}, ROWS_OF " [3,0] [0,3]",
     BIG1, 0, AXIS_ERRORS("log_softmax")},
    {"log_softmax", "log_softmax first", build_log_softmax_first, 1, {REAL}, REDUCED " [0,3] [3,0] [7]",
     "[120,500]", 0, {{0}}},
    {"log_softmax", "log_softmax middle", build_log_softmax_middle, 1, {REAL}, REDUCED " [2,3,130]",
     "[60,20,50]", 0, {{0}}},
    {"argmax", "argmax last", build_argmax_last, 1, {REAL}, ROWS_OF " [0,3] [0,0]", BIG1, NO_GRADIENT,
     {{"[]", SW_ERR_SHAPE, "argmax: axis -1 of a scalar, which has none"},
      {"[3,0]", SW_ERR_SHAPE, "argmax: axis 1 of [3,0] has length 0: there is no element to choose"}}},
    {"argmax", "argmax first", build_argmax_first, 1, {REAL}, REDUCED " [0,0]", "[500,120]", NO_GRADIENT,
     {{0}}},
    {"argmin", "argmin last", build_argmin_last, 1, {REAL}, ROWS_OF " [0,3] [0,0]", "[130,500]", NO_GRADIENT,
     {{"[]", SW_ERR_SHAPE, "argmin: axis -1 of a scalar, which has none"},
      {"[3,0]", SW_ERR_SHAPE, "argmin: axis 1 of [3,0] has length 0: there is no element to choose"}}},
    {"argmin", "argmin first", build_argmin_first, 1, {REAL}, REDUCED " [0,0]", "[500,130]", NO_GRADIENT,
     {{0}}},
    {"accuracy", "accuracy", build_accuracy, 2, {REAL, IDS},
     "[4,3][4] [1,2][1] [5,2][5] [7][] [0,3][0] [0,0][0] [9,33][9] [2,3,4][2,3]", "[30000,3][30000]",
     NO_GRADIENT,
     {{"[4,3][3]", SW_ERR_SHAPE,
       "accuracy: scores [4,3] and ids [3]; [...,classes] and [...] are needed"}}},
};
/* clang-format on */
