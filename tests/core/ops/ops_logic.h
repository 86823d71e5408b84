/* Entries for logic, and for the comparisons that hold for equal numbers (where.c). Random numbers are hardly ever
 * equal or 0. Therefore the operands are small integers. */

BUILD(greater_equal, sw_greater_equal(in[0], in[1]))
BUILD(less_equal, sw_less_equal(in[0], in[1]))
BUILD(not_equal, sw_not_equal(in[0], in[1]))
BUILD(logical_and, sw_logical_and(in[0], in[1]))
BUILD(logical_or, sw_logical_or(in[0], in[1]))
BUILD(logical_xor, sw_logical_xor(in[0], in[1]))
BUILD(logical_not, sw_logical_not(in[0]))

/* clang-format off */
static const op_entry ops_logic[] = {
    {"greater_equal", "greater_equal", build_greater_equal, 2, {WHOLE, WHOLE}, BROADCASTS, BIG2, NO_GRADIENT,
     {UNBROADCAST("greater_equal")}},
    {"less_equal", "less_equal", build_less_equal, 2, {WHOLE, WHOLE}, BROADCASTS, BIG_ROWS, NO_GRADIENT,
     {UNBROADCAST("less_equal")}},
    {"not_equal", "not_equal", build_not_equal, 2, {WHOLE, WHOLE}, BROADCASTS, "[120,1][500]", NO_GRADIENT,
     {UNBROADCAST("not_equal")}},
    {"not_equal", "not_equal of ids", build_not_equal, 2, {IDS, IDS}, "[4,3][4,3] [5][5] [2,3,4][4]", BIG2, NO_GRADIENT,
     {{0}}},
    {"logical_and", "logical_and", build_logical_and, 2, {WHOLE, WHOLE}, BROADCASTS, BIG2, NO_GRADIENT,
     {UNBROADCAST("logical_and")}},
    {"logical_or", "logical_or", build_logical_or, 2, {WHOLE, WHOLE}, BROADCASTS, BIG_ROWS, NO_GRADIENT,
     {UNBROADCAST("logical_or")}},
    {"logical_xor", "logical_xor", build_logical_xor, 2, {WHOLE, WHOLE}, BROADCASTS, "[120,1][500]", NO_GRADIENT,
     {UNBROADCAST("logical_xor")}},
    {"logical_not", "logical_not", build_logical_not, 1, {WHOLE}, SHAPES, BIG1, NO_GRADIENT, {{0}}},
    {"logical_and", "logical_and of masks", build_logical_and, 2, {MASK, MASK}, "[4,3][4,3] [5][] [2,3,4][4]", BIG2,
     NO_GRADIENT, {{0}}},
    {"logical_xor", "logical_xor of ids", build_logical_xor, 2, {IDS, IDS}, "[4,3][4,3] [5][5] [2,3,4][4]",
     "[500,3][500,3]", NO_GRADIENT, {{0}}},
    {"logical_not", "logical_not of a mask", build_logical_not, 1, {MASK}, "[4,3] [5] [] [2,0]", "[110,500]",
     NO_GRADIENT, {{0}}},
};
/* clang-format on */
