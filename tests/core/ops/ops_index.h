/* Entries for sort.c, flip.c, scatter.c, one_hot.c and the slices of shape.c that have a step. */

BUILD(argsort_last, sw_argsort(in[0], -1, false))
BUILD(argsort_first, sw_argsort(in[0], 0, true))
BUILD(sort_last, sw_sort(in[0], -1, false, NULL))
BUILD(sort_first, sw_sort(in[0], 0, true, NULL))
BUILD(top_k_last, sw_top_k(in[0], 2, -1, false, NULL))
BUILD(top_k_middle, sw_top_k(in[0], 3, 1, true, NULL))
BUILD(top_k_none, sw_top_k(in[0], 0, 0, true, NULL))
BUILD(slice_step, sw_slice_with_step(in[0], 0, 1, SW_END, 2))
BUILD(slice_step_last, sw_slice_with_step(in[0], -1, 0, -1, 3))
BUILD(flip_last, sw_flip(in[0], SW_AXES(-1)))
BUILD(flip_outer, sw_flip(in[0], SW_AXES(0, 2)))
BUILD(flip_all, sw_flip(in[0], SW_ALL_AXES))
BUILD(roll_first, sw_roll(in[0], 1, 0))
BUILD(roll_last, sw_roll(in[0], -5, -1))
BUILD(one_hot, sw_one_hot(in[0], 7, SW_F32))
BUILD(one_hot_bytes, sw_one_hot(in[0], 90, SW_U8))
BUILD(scatter_add_first, sw_scatter_add(in[0], 0, in[1], in[2]))
BUILD(scatter_add_last, sw_scatter_add(in[0], -1, in[1], in[2]))
BUILD(scatter_add_rows, sw_scatter_add_rows(in[0], in[1], in[2]))

/* A row of zeros in front of the table is the padding. */
static sw_tensor build_gather_padded(void *user, sw_tape *tape, const sw_tensor *in) {
    (void)user, (void)tape;
    sw_tensor zeros = sw_scale(sw_slice(sw_detach(in[0]), 0, 0, 1), 0);
    return sw_gather_rows_with_padding(sw_concat(SW_TENSORS(zeros, in[0]), 0), in[1], 0);
}
/* The product of the sorted elements of input 0 and the elements of input 1 at the same places. */
static sw_tensor build_sort_pairs(void *user, sw_tape *tape, const sw_tensor *in) {
    (void)user, (void)tape;
    sw_tensor ids, sorted = sw_sort(in[0], -1, true, &ids);
    return sw_mul(sorted, sw_gather(in[1], -1, ids));
}
static sw_tensor build_top_k_pairs(void *user, sw_tape *tape, const sw_tensor *in) {
    (void)user, (void)tape;
    sw_tensor ids, first = sw_top_k(in[0], 2, 0, true, &ids);
    return sw_mul(first, sw_gather(in[1], 0, ids));
}

#define SORTED "[4,3] [3] [1] [2,5] [2,3,4] [0,3] [2,0] [3,33] [9,40] [2,1,3,2] [1,400]"

/* clang-format off */
static const op_entry ops_index[] = {
    {"argsort", "argsort last", build_argsort_last, 1, {REAL}, SORTED, BIG1, NO_GRADIENT,
     {{"[]", SW_ERR_SHAPE, "argsort: axis -1 of a scalar, which has none"}}},
    {"argsort", "argsort first descending", build_argsort_first, 1, {REAL}, SORTED, "[500,120]", NO_GRADIENT,
     {{0}}},
    {"sort", "sort last", build_sort_last, 1, {REAL}, SORTED, "[60,800]", 0,
     {{"[]", SW_ERR_SHAPE, "sort: axis -1 of a scalar, which has none"}}},
    {"sort", "sort first descending", build_sort_first, 1, {REAL}, SORTED, "[300,150]", 0, {{0}}},
    {"sort", "sort pairs", build_sort_pairs, 2, {REAL, REAL}, "[4,3][4,3] [5][5] [2,1,33][2,1,33] [2,0][2,0]",
     "[120,400][120,400]", 0, {{0}}},
    {"top_k", "top_k last", build_top_k_last, 1, {REAL}, "[4,3] [2] [2,3,4] [0,3] [3,33] [2,80]", "[50,1000]", 0,
     {{"[]", SW_ERR_SHAPE, "top_k: axis -1 of a scalar, which has none"},
      {"[3,1]", SW_ERR_ARGUMENT, "top_k: k = 2 for axis 1 of [3,1]; it must be 0 to 1"}}},
    {"top_k", "top_k smallest middle", build_top_k_middle, 1, {REAL}, "[2,3] [2,4,3] [1,60,2] [2,5,0] [1,17,3,1]",
     "[5,600,20]", 0, {{"[3,2]", SW_ERR_ARGUMENT, "top_k: k = 3 for axis 1 of [3,2]; it must be 0 to 2"}}},
    {"top_k", "top_k none", build_top_k_none, 1, {REAL}, "[4,3] [0,2] [3]", NULL, 0, {{0}}},
    {"top_k", "top_k pairs", build_top_k_pairs, 2, {REAL, REAL}, "[4,3][4,3] [5][5] [70,2][70,2] [2,0][2,0]",
     "[400,100][400,100]", 0, {{0}}},
    {"slice_with_step", "slice_with_step", build_slice_step, 1, {REAL}, "[4,3] [3] [1,2] [2,3,4] [7,0] [9,33] [6]",
     "[9,10000]", 0,
     {{"[0,3]", SW_ERR_SHAPE, "slice_with_step: 1 to 0 along axis 0 of [0,3]; positions are 0 to 0"},
      {"[]", SW_ERR_SHAPE, "slice_with_step: axis 0 of a scalar, which has none"}}},
    {"slice_with_step", "slice_with_step last", build_slice_step_last, 1, {REAL},
     "[4,3] [3] [2,1] [2,2,4] [0,3] [3,70] [2,1,2,9]", "[200,301]", 0,
     {{"[2,0]", SW_ERR_SHAPE, "slice_with_step: 0 to -1 along axis 1 of [2,0]; positions are 0 to 0"}}},
    {"flip", "flip last", build_flip_last, 1, {REAL}, "[4,3] [5] [1] [2,3,4] [0,3] [3,70] [2,1,1,9]",
     "[120,501]", 0, {{"[]", SW_ERR_SHAPE, "flip: axis -1 of a scalar, which has none"}}},
    {"flip", "flip outer", build_flip_outer, 1, {REAL}, "[2,3,4] [1,5,1] [2,3,2,40] [3,0,2]", "[30,40,51]", 0,
     {{"[2,3]", SW_ERR_SHAPE, "flip: axis 2 of [2,3]; its axes are -2 to 1"}}},
    {"flip", "flip all", build_flip_all, 1, {REAL}, SHAPES, "[121,500]", 0, {{0}}},
    {"roll", "roll first", build_roll_first, 1, {REAL}, "[4,3] [5] [1,2] [2,3,4] [0,3] [3,33]", "[121,500]", 0,
     {{"[]", SW_ERR_SHAPE, "roll: axis 0 of a scalar, which has none"}}},
    {"roll", "roll last", build_roll_last, 1, {REAL}, "[4,3] [5] [1,1] [2,3,4] [3,0] [3,33]", "[121,501]", 0, {{0}}},
    {"one_hot", "one_hot", build_one_hot, 1, {IDS}, "[5] [4,3] [1] [2,0] [2,1,7]", "[6000,7]", NO_GRADIENT,
     {{"[1,1,1,1,1,1,1,1]", SW_ERR_SHAPE,
       "one_hot: ids [1,1,1,1,1,1,1,1] have 8 axes; there is no room for another"}}},
    {"one_hot", "one_hot bytes", build_one_hot_bytes, 1, {IDS}, "[40] [4,3] [0]", "[2000,90]", NO_GRADIENT, {{0}}},
    {"gather_rows_with_padding", "gather_rows_with_padding", build_gather_padded, 2, {REAL, ROWS},
     "[4,3][5] [1,3][2,2] [5,3][0] [2,33][] [3,2][2,1,3] [3,1][300]", "[51,200][600]", 0,
     {{"[1,1,1,1,1][2,1,1,1,1]", SW_ERR_SHAPE,
       "gather_rows_with_padding: rows of [2,1,1,1,1] by ids [2,1,1,1,1] make 9 axes; at most 8"}}},
    {"scatter_add", "scatter_add first", build_scatter_add_first, 3, {REAL, ROWS, REAL},
     "[4,3][5,3][5,3] [5][9][9] [2,3,4][1,3,4][1,3,4] [3,2][0,2][0,2] [3,0][2,0][2,0] [4,33][2,33][2,33]",
     "[30,900][40,900][40,900]", 0,
     {{"[2,3][2,2][2,2]", SW_ERR_SHAPE,
       "scatter_add: x [2,3] and ids [2,2]: axis 1 is 3 and 2; all but axis 0 must be equal"},
      {"[2,3][2][2]", SW_ERR_SHAPE, "scatter_add: x [2,3] and ids [2]; they must have the same number of axes"},
      {"[2,3][2,3][3,3]", SW_ERR_SHAPE, "scatter_add: ids [2,3] and values [3,3]; the shapes must be equal"},
      {"[][0][0]", SW_ERR_SHAPE, "scatter_add: axis 0 of a scalar, which has none"}}},
    {"scatter_add", "scatter_add last", build_scatter_add_last, 3, {REAL, IDS, REAL},
     "[4,3][4,5][4,5] [6][2][2] [2,3,4][2,3,1][2,3,1] [0,3][0,2][0,2] [2,3][2,0][2,0] [1,5][1,300][1,300] "
     "[2,1,3,2][2,1,3,5][2,1,3,5]",
     "[3000,10][3000,12][3000,12]", 0, {{0}}},
    {"scatter_add_rows", "scatter_add_rows", build_scatter_add_rows, 3, {REAL, ROWS, REAL},
     "[4,3][5][5,3] [4][7][7] [1,3][2,2][2,2,3] [9,2,3][4][4,2,3] [5,0][3][3,0] [5,3][0][0,3] [2,33][][33] "
     "[3,2][2,1,3][2,1,3,2] [2,1][300][300,1]",
     "[50,200][600][600,200]", 0,
     {{"[2,3][2][3,3]", SW_ERR_SHAPE,
       "scatter_add_rows: table [2,3], ids [2] and values [3,3]; [rows,...], [ids...] and [ids...,...] are needed"},
      {"[][0][0]", SW_ERR_SHAPE, "scatter_add_rows: the table is a scalar; [rows, ...] is needed"}}},
    {"scatter_add_rows", "scatter_add_rows short", build_scatter_add_rows, 3, {REAL, ROWS, REAL}, "[40,1][90][90,1]",
     "[900,7][5000][5000,7]", 0, {{0}}},
};
/* clang-format on */
