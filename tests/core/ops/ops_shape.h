/* Entries for shape.c, concat.c, gather.c and where.c. */

BUILD(reshape, sw_reshape(in[0], SW_SHAPE(-1)))
BUILD(transpose, sw_transpose(in[0], 0, -1))
BUILD(transpose_inner, sw_transpose(in[0], -2, 1))
BUILD(permute, sw_permute(in[0], SW_AXES(1, -1, 0)))
BUILD(permute_four, sw_permute(in[0], SW_AXES(0, 2, 3, 1)))
BUILD(slice, sw_slice(in[0], 0, 1, 3))
BUILD(slice_last, sw_slice(in[0], -1, -3, SW_END))
BUILD(slice_none, sw_slice(in[0], 0, 0, 0))
BUILD(concat, sw_concat(SW_TENSORS(in[0], in[1], in[0]), -1))
BUILD(concat_first, sw_concat(SW_TENSORS(in[0], in[1]), 0))
BUILD(stack, sw_stack(SW_TENSORS(in[0], in[1], in[0]), 0))
BUILD(stack_last, sw_stack(SW_TENSORS(in[0], in[1]), -1))
BUILD(pad, sw_pad(in[0], 2, (const int64_t[]){1, 0}, (const int64_t[]){2, 3}, 0.5))
BUILD(pad_inner_axes, sw_pad(in[0], 4, (const int64_t[]){0, 0, 2, 1}, (const int64_t[]){0, 0, 1, 2}, 0))
BUILD(expand, sw_expand(in[0], SW_SHAPE(4, -1, 3)))
BUILD(expand_middle, sw_expand(in[0], SW_SHAPE(-1, 200, -1)))
BUILD(cast, sw_cast(sw_cast(in[0], SW_F64), sw_value(in[0]).type))
BUILD(gather_rows, sw_gather_rows(in[0], in[1]))
BUILD(gather_first, sw_gather(in[0], 0, in[1]))
BUILD(gather_last, sw_gather(in[0], -1, in[1]))
BUILD(greater, sw_greater(in[0], in[1]))
BUILD(less, sw_less(in[0], in[1]))
BUILD(equal, sw_equal(in[0], in[1]))
BUILD(equal_itself, sw_equal(in[0], sw_maximum(in[0], in[1])))
BUILD(where, sw_where(in[0], in[1], in[2]))

/* Splits into thirds, and concatenates the last third and the product of the other two. */
static sw_tensor build_split(void *user, sw_tape *tape, const sw_tensor *in) {
    (void)user, (void)tape;
    sw_tensor part[3];
    if (sw_split(in[0], 1, 3, NULL, part) != SW_OK)
        return (sw_tensor){0};
    return sw_concat(SW_TENSORS(part[2], sw_mul(part[0], part[1])), 1);
}
static sw_tensor build_split_lengths(void *user, sw_tape *tape, const sw_tensor *in) {
    (void)user, (void)tape;
    sw_tensor part[3];
    if (sw_split(in[0], -1, 3, (const int64_t[]){1, 0, 3}, part) != SW_OK)
        return (sw_tensor){0};
    return sw_concat(SW_TENSORS(part[2], part[1], part[0]), -1);
}

#define OUTSIDE_AXES(name) \
    { "[]", SW_ERR_SHAPE, name ": axis 0 of a scalar, which has none" }
#define UNBROADCAST(name)                                                                        \
    {                                                                                            \
        "[2,3][4,3]", SW_ERR_SHAPE,                                                              \
            name ": [2,3] and [4,3] do not broadcast: 2 against 4 in axis 2 from the end; they " \
                 "must be equal, or one of them 1"                                               \
    }
#define CONDITIONS                                                                                  \
    "[4,3][4,3][4,3] [3][4,3][4,1] [4,1][3][4,3] [][4,3][] [4,3][][] [][][] [1][2,3,4][3,1] "       \
    "[2,3,4][1][4] [0,3][3][1] [3][0,3][3] [2,1,3,1,2][1,4,1,2,2][2] [37][37][37] [2,33][33][2,1] " \
    "[5][1,1,5][3,1,1] [1][1][1]"

/* clang-format off */
static const op_entry ops_shape[] = {
    {"reshape", "reshape", build_reshape, 1, {REAL}, SHAPES, NULL, 0, {{0}}},
    {"transpose", "transpose", build_transpose, 1, {REAL},
     "[4,3] [1] [5] [2,3,4] [0] [0,3] [1,1,1] [3,33] [37,1] [2,1,3,4] [2,2,2,1,3,2] [9,17]",
     "[300,200]", 0, {OUTSIDE_AXES("transpose")}},
    {"transpose", "transpose inner", build_transpose_inner, 1, {REAL},
     "[2,3,4,5] [2,1,3,2] [2,0,3,1] [1,17,18,2] [2,9,10,1]", "[3,90,100,7]", 0,
     {{"[3]", SW_ERR_SHAPE, "transpose: axis -2 of [3]; its axes are -1 to 0"}}},
    {"permute", "permute", build_permute, 1, {REAL},
     "[2,3,4] [1,1,1] [0,2,3] [3,1,5] [1,17,20] [9,2,8]", "[20,200,50]", 0,
     {{"[2,3]", SW_ERR_SHAPE,
       "permute: 3 axes for [2,3], which has 2; all are needed, each once"}}},
    {"permute", "permute pictures", build_permute_four, 1, {REAL},
     "[2,3,4,5] [1,3,2,2] [2,1,3,3] [2,3,0,2] [2,9,3,4]", "[16,3,30,40]", 0, {{0}}},
    {"slice", "slice", build_slice, 1, {REAL}, "[4,3] [3] [5,1] [4,2,3] [3,0] [9,33]", "[5,20000]", 0,
     {{"[2,3]", SW_ERR_SHAPE, "slice: 1 to 3 along axis 0 of [2,3]; positions are -2 to 2"},
      OUTSIDE_AXES("slice")}},
    {"slice", "slice last", build_slice_last, 1, {REAL}, "[4,3] [3] [2,5] [2,2,4] [0,3] [3,70] [2,1,2,9]",
     "[6000,8]", 0,
     {{"[2,2]", SW_ERR_SHAPE, "slice: -3 to 2 along axis 1 of [2,2]; positions are -2 to 2"}}},
    {"slice", "slice nothing", build_slice_none, 1, {REAL}, "[4,3] [3] [0]", NULL, 0, {{0}}},
    {"concat", "concat", build_concat, 2, {REAL, REAL},
     "[4,3][4,2] [3][1] [2,3,4][2,3,1] [2,0][2,3] [0,3][0,2] [1][0] [2,33][2,40] [2,1,2,3][2,1,2,1]",
     "[120,300][120,200]", 0,
     {{"[2,3][3,3]", SW_ERR_SHAPE,
       "concat: inputs 0 and 1 are [2,3] and [3,3]: axis 0 is 2 and 3; all but axis 1 must be equal"},
      {"[2,3][3]", SW_ERR_SHAPE,
       "concat: inputs 0 and 1 are [2,3] and [3]; they must have the same number of axes"},
      {"[][]", SW_ERR_SHAPE, "concat: axis -1 of a scalar, which has none"}}},
    {"concat", "concat first", build_concat_first, 2, {REAL, REAL},
     "[4,3][2,3] [3][1] [2,3,4][1,3,4] [0,3][2,3]", "[100,300][120,300]", 0, {{0}}},
    {"stack", "stack", build_stack, 2, {REAL, REAL}, "[4,3][4,3] [][] [1][1] [0,2][0,2] [2,3,4][2,3,4]",
     "[120,300][120,300]", 0,
     {{"[2,3][3,2]", SW_ERR_SHAPE,
       "stack: inputs 0 and 1 are [2,3] and [3,2]; the shapes must be equal"},
      {"[1,1,1,1,1,1,1,1][1,1,1,1,1,1,1,1]", SW_ERR_SHAPE,
       "stack: [1,1,1,1,1,1,1,1] has 8 axes; there is no room for another"}}},
    {"stack", "stack last", build_stack_last, 2, {REAL, REAL}, "[4,3][4,3] [][] [5][5] [2,0][2,0]",
     "[120,300][120,300]", 0, {{0}}},
    {"split", "split", build_split, 1, {REAL}, "[4,3] [2,6] [2,3,4] [0,3] [2,0] [3,33] [1,6,2,1]",
     "[120,600]", 0,
     {{"[2,4]", SW_ERR_SHAPE, "split: axis 1 of [2,4] cannot become 3 equal parts; give lengths"},
      {"[3]", SW_ERR_SHAPE, "split: axis 1 of [3]; its axes are -1 to 0"},
      {"[]", SW_ERR_SHAPE, "split: axis 1 of a scalar, which has none"}}},
    {"split", "split lengths", build_split_lengths, 1, {REAL}, "[4] [3,4] [2,1,4] [0,4]", "[20000,4]", 0,
     {{"[2,5]", SW_ERR_SHAPE, "split: 3 lengths add up to less than axis 1 of [2,5], which is 5"},
      {"[2,3]", SW_ERR_SHAPE, "split: 3 lengths add up to more than axis 1 of [2,3], which is 3"}}},
    {"pad", "pad", build_pad, 1, {REAL}, "[4,3] [1,1] [0,2] [2,0] [3,33]", "[200,300]", 0,
     {{"[3]", SW_ERR_SHAPE, "pad: lengths for 2 axes; [3] has 1"}}},
    {"pad", "pad inner axes", build_pad_inner_axes, 1, {REAL}, "[2,1,3,4] [1,2,1,1] [0,1,2,2] [2,0,3,3]",
     "[10,3,32,32]", 0, {{0}}},
    {"expand", "expand", build_expand, 1, {REAL}, "[2,3] [1,1] [1,5,1] [4,2,3] [1,0,1] [4,1,3] [33,3]",
     "[10000,3]", 0,
     {{"[2,2]", SW_ERR_SHAPE,
       "expand: [2,2] cannot become [4,-1,3]: axis 2 is 2 and would be 3; only an axis of length 1 "
       "repeats"},
      {"[3]", SW_ERR_SHAPE,
       "expand: [3] cannot become [4,-1,3]: axis 1 is -1; a negative length must be -1 and "
       "belong to an axis of the input"},
      {"[1,4,2,3]", SW_ERR_SHAPE,
       "expand: [1,4,2,3] cannot become [4,-1,3], which has fewer axes"}}},
    {"expand", "expand middle", build_expand_middle, 1, {REAL}, "[2,1,3] [1,1,1] [2,200,1] [0,1,2]",
     "[30,1,40]", 0, {{0}}},
    /* Other operations of size BIG1 return x too, and the tests of kernels require different results for each case. */
    {"cast", "cast", build_cast, 1, {REAL}, SHAPES, "[110,500]", COMPOSED, {{0}}},
    {"gather_rows", "gather_rows", build_gather_rows, 2, {REAL, ROWS},
     "[4,3][5] [4][7] [1,3][2,2] [9,2,3][4] [5,0][3] [5,3][0] [2,33][] [3,2][2,1,3]",
     "[50,200][600]", 0,
     {{"[1,1,1,1,1][2,1,1,1,1]", SW_ERR_SHAPE,
       "gather_rows: rows of [1,1,1,1,1] by ids [2,1,1,1,1] make 9 axes; at most 8"},
      {"[][0]", SW_ERR_SHAPE, "gather_rows: the table is a scalar; [rows, ...] is needed"}}},
    {"gather_rows", "gather_rows short", build_gather_rows, 2, {REAL, ROWS}, "[40,1][90]",
     "[900,7][5000]", 0, {{0}}},
    {"gather", "gather first", build_gather_first, 2, {REAL, ROWS},
     "[4,3][5,3] [5][9] [2,3,4][1,3,4] [3,2][0,2] [3,0][2,0] [4,33][2,33]", "[30,900][40,900]", 0,
     {{"[2,3][2,2]", SW_ERR_SHAPE,
       "gather: x [2,3] and ids [2,2]: axis 1 is 3 and 2; all but axis 0 must be equal"},
      {"[2,3][2]", SW_ERR_SHAPE, "gather: x [2,3] and ids [2]; they must have the same number of axes"},
      {"[][0]", SW_ERR_SHAPE, "gather: axis 0 of a scalar, which has none"}}},
    {"gather", "gather last", build_gather_last, 2, {REAL, IDS},
     "[4,3][4,5] [6][2] [2,3,4][2,3,1] [0,3][0,2] [2,3][2,0] [2,1,3,2][2,1,3,5]",
     "[3000,10][3000,12]", 0, {{0}}},
    {"greater", "greater", build_greater, 2, {REAL, REAL}, BROADCASTS, BIG2, NO_GRADIENT,
     {UNBROADCAST("greater")}},
    {"less", "less", build_less, 2, {REAL, REAL}, BROADCASTS, BIG_ROWS, NO_GRADIENT,
     {UNBROADCAST("less")}},
    {"equal", "equal", build_equal, 2, {REAL, REAL}, BROADCASTS, "[120,1][500]", NO_GRADIENT,
     {UNBROADCAST("equal")}},
    {"equal", "equal to the larger", build_equal_itself, 2, {REAL, REAL}, BROADCASTS, BIG2, NO_GRADIENT,
     {{0}}},
    {"where", "where", build_where, 3, {MASK, REAL, REAL}, CONDITIONS, "[120,500][120,500][500]", 0,
     {{"[2][3][3]", SW_ERR_SHAPE,
       "where: [2] and [3] do not broadcast: 2 against 3 in axis 1 from the end; they must be equal, or "
       "one of them 1"}}},
    {"where", "where by ids", build_where, 3, {IDS, REAL, REAL},
     "[4,3][4,3][4,3] [3][4,3][4,1] [4,1][3][4,3] [5][][] [2,3,4][1][4] [0,3][3][1]",
     "[120,500][120,1][]", 0, {{0}}},
};
/* clang-format on */
