/* Entries for scan.c and any_all.c. Products of zeros have derivatives that are not 0 where one factor alone is 0. */

BUILD(cumsum_last, sw_cumsum(in[0], -1))
BUILD(cumsum_first, sw_cumsum(in[0], 0))
BUILD(cumsum_middle, sw_cumsum(in[0], 1))
BUILD(cumprod_last, sw_cumprod(in[0], -1))
BUILD(cumprod_first, sw_cumprod(in[0], 0))
BUILD(cumprod_middle, sw_cumprod(in[0], 1))
BUILD(prod, sw_prod(in[0]))
BUILD(prod_over_last, sw_prod_over(in[0], SW_AXES(-1), false))
BUILD(prod_over_first, sw_prod_over(in[0], SW_AXES(0), true))
BUILD(prod_over_outer, sw_prod_over(in[0], SW_AXES(-1, 0), false))
BUILD(prod_over_none, sw_prod_over(in[0], 0, NULL, true))
BUILD(any_over_last, sw_any_over(in[0], SW_AXES(-1), false))
BUILD(any_over_outer, sw_any_over(in[0], SW_AXES(0, 2), true))
BUILD(all_over_first, sw_all_over(in[0], SW_AXES(0), false))
BUILD(all_over_all, sw_all_over(in[0], SW_ALL_AXES, false))

/* The axes are short enough that products of numbers below 2 and their gradients stay below 1e5, for the tolerances of
 * the gradient check, and long enough for several columns, rows and a rest of both. */
#define FACTORS "[3,4,5] [1,1,1] [2,1,3,4] [5,1,11] [12,3,2] [2,3,9] [2,2,2,2,2]"

/* clang-format off */
static const op_entry ops_scan[] = {
    {"cumsum", "cumsum last", build_cumsum_last, 1, {REAL}, ROWS_OF " [0,3] [3,0] [17,5] [8,6]", BIG1, 0,
     AXIS_ERRORS("cumsum")},
    {"cumsum", "cumsum first", build_cumsum_first, 1, {REAL}, REDUCED " [0,3] [3,0] [5] [70,3] [4,300]", "[500,120]", 0,
     {{"[]", SW_ERR_SHAPE, "cumsum: axis 0 of a scalar, which has none"}}},
    {"cumsum", "cumsum middle", build_cumsum_middle, 1, {REAL}, REDUCED, "[60,20,50]", 0,
     {{"[3]", SW_ERR_SHAPE, "cumsum: axis 1 of [3]; its axes are -1 to 0"}}},
    {"cumsum", "cumsum of long rows", build_cumsum_last, 1, {REAL}, "[2,70] [100]", "[5,20000]", 0, {{0}}},
    {"cumprod", "cumprod last", build_cumprod_last, 1, {REAL},
     "[4,3] [1,1] [1,7] [3,9] [2,3,4] [5] [17,5] [8,6] [0,3] [3,0]", BIG1, 0, AXIS_ERRORS("cumprod")},
    {"cumprod", "cumprod last with zeros", build_cumprod_last, 1, {ZEROS}, "[9,8] [6,4] [5] [11,3]", "[500,6]", 0,
     {{0}}},
    {"cumprod", "cumprod first", build_cumprod_first, 1, {ZEROS}, FACTORS " [0,3] [5] [7,300]", "[500,120]", 0,
     {{"[]", SW_ERR_SHAPE, "cumprod: axis 0 of a scalar, which has none"}}},
    {"cumprod", "cumprod middle", build_cumprod_middle, 1, {ZEROS}, FACTORS, "[60,20,50]", 0,
     {{"[3]", SW_ERR_SHAPE, "cumprod: axis 1 of [3]; its axes are -1 to 0"}}},
    {"prod", "prod", build_prod, 1, {REAL}, "[] [1] [5] [4,3] [2,3,2] [0] [0,3] [1,1,1] [13]", "[300,100]", 0, {{0}}},
    {"prod", "prod with zeros", build_prod, 1, {ZEROS}, "[3] [4] [5] [6] [2,3] [7]", NULL, 0, {{0}}},
    {"prod_over", "prod_over last", build_prod_over_last, 1, {ZEROS},
     "[4,3] [1,1] [1,7] [3,9] [2,3,4] [5] [17,5] [8,6] [40,3] [0,3] [3,0]", "[6000,8]", 0, AXIS_ERRORS("prod_over")},
    {"prod_over", "prod_over first", build_prod_over_first, 1, {ZEROS}, FACTORS " [0,3] [3,0] [5] [4,300]", "[5,20000]",
     0, {{0}}},
    {"prod_over", "prod_over outer", build_prod_over_outer, 1, {ZEROS}, "[3,4,2] [1,1,1] [2,3,4] [2,5,1,2] [3,2,3]",
     "[4,3000,3]", 0, {{"[4]", SW_ERR_ARGUMENT, "prod_over: axis 0 of [4] is given twice"}}},
    {"prod_over", "prod_over none", build_prod_over_none, 1, {REAL}, SHAPES, "[130,500]", 0, {{0}}},
    {"any_over", "any_over last", build_any_over_last, 1, {WHOLE}, "[40,3] [1,1] [3,33] [2,30,2] [5] [0,3] [3,0]",
     "[30000,3]", NO_GRADIENT, AXIS_ERRORS("any_over")},
    {"any_over", "any_over outer of ids", build_any_over_outer, 1, {IDS}, "[2,30,2] [1,3,1] [2,5,3,4] [1,300,1]",
     "[2,20000,3]", NO_GRADIENT, {{0}}},
    {"all_over", "all_over first", build_all_over_first, 1, {WHOLE}, "[3,40] [1,1] [2,3,5] [5] [0,3] [3,0] [2,300]",
     "[3,30000]", NO_GRADIENT, {{0}}},
    {"all_over", "all_over first of masks", build_all_over_first, 1, {MASK}, "[3,40] [2,30] [2,300]", "[2,30000]",
     NO_GRADIENT, {{0}}},
    {"all_over", "all_over all", build_all_over_all, 1, {WHOLE}, "[] [1] [2] [3] [0] [0,3] [4,2]", "[2,2]", NO_GRADIENT,
     {{0}}},
};
/* clang-format on */
