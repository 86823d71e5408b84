/* Entries for linear.c: matmul and linear. */

BUILD(matmul, sw_matmul(in[0], in[1]))
BUILD(matmul_a, sw_matmul_transposed(in[0], in[1], true, false))
BUILD(matmul_b, sw_matmul_transposed(in[0], in[1], false, true))
BUILD(matmul_ab, sw_matmul_transposed(in[0], in[1], true, true))
BUILD(linear, sw_linear(in[0], in[1], (sw_tensor){0}))
BUILD(linear_bias, sw_linear(in[0], in[1], in[2]))

#define MATRICES " times [2,3]; both must be matrices, or batches of them"
#define BATCH_AXES " must be equal, or one of them 1"
/* clang-format off */
static const op_entry ops_product[] = {
    {"matmul", "matmul", build_matmul, 2, {REAL, REAL},
     "[2,3][3,4] [1,1][1,1] [5,1][1,2] [1,7][7,1] [0,3][3,2] [2,0][0,3] [2,3][3,0] [3,3][3,3] "
     "[3,40][40,33]",
     "[130,300][300,257]", FUSED,
     {{"[2,3][4,5]", SW_ERR_SHAPE,
       "matmul: [2,3] times [4,5]; axis 1 of the first (3) must equal axis 0 of the second (4)"},
      {"[][2,3]", SW_ERR_SHAPE, "matmul: []" MATRICES},
      {"[2][2,3]", SW_ERR_SHAPE, "matmul: [2]" MATRICES}}},
    {"matmul", "matmul wide", build_matmul, 2, {REAL, REAL}, "[2,1][1,9]", "[3,90][90,7000]", FUSED, {{0}}},
    /* Batch axes: equal, broadcast on one side, on both sides or partly, missing, and of length 1 and 0. */
    {"matmul", "matmul batches", build_matmul, 2, {REAL, REAL},
     "[2,2,3][2,3,2] [2,3,2][2,4] [3,2][2,2,2] [2,1,2,3][3,3,1] [2,1,2,2][1,3,2,2] [1,2,3][2,3,2] "
     "[2,2,3][1,3,2] [1,1,1][1,1,1] [2,1,2,1,2,2][1,2,2,1,2,2] [2,3,1,2,2][3,2,2,2] [0,2,3][3,2] "
     "[2,3][0,3,2] [2,2,0][2,0,2] [2,0,2][2,2,2] [2,2,0][0,3] [0,1,2,2][2,2,2] [1,2,2][0,2,2]",
     "[60,8,20,30][60,8,30,25]", FUSED,
     {{"[2,3,4][5,4,6]", SW_ERR_SHAPE,
       "matmul: [2,3,4] times [5,4,6]; axis 0 of the first (2) and axis 0 of the second (5)" BATCH_AXES},
      {"[7,2,3,4][3,4,6]", SW_ERR_SHAPE,
       "matmul: [7,2,3,4] times [3,4,6]; axis 1 of the first (2) and axis 0 of the second (3)" BATCH_AXES},
      {"[2,3,4][2,3,4]", SW_ERR_SHAPE,
       "matmul: [2,3,4] times [2,3,4]; axis 2 of the first (4) must equal axis 1 of the second (3)"}}},
    {"matmul", "matmul one right side", build_matmul, 2, {REAL, REAL}, "[4,3,2][2,3]",
     "[50,40,30][30,50]", FUSED, {{0}}},
    {"matmul", "matmul one left side", build_matmul, 2, {REAL, REAL}, "[3,2][4,2,3]",
     "[40,30][50,30,60]", FUSED, {{0}}},
    {"matmul", "matmul outer batches", build_matmul, 2, {REAL, REAL}, "[2,1,2,3][3,3,2]",
     "[7,1,50,40][5,40,90]", FUSED, {{0}}},
    {"matmul_transposed", "matmul transposed a", build_matmul_a, 2, {REAL, REAL},
     "[3,2][3,4] [1,1][1,1] [0,2][0,3] [3,0][3,2] [2,3,2][2,3,4] [3,2][2,3,2] [2,3,2][3,4] "
     "[2,1,3,2][3,3,2] [2,2,2][0,1,2,2]",
     "[50,40,30][50,40,60]", FUSED,
     {{"[2,3][3,4]", SW_ERR_SHAPE,
       "matmul: [2,3] transposed times [3,4]; axis 0 of the first (2) must equal axis 0 of the second "
       "(3)"}}},
    {"matmul_transposed", "matmul transposed b", build_matmul_b, 2, {REAL, REAL},
     "[2,3][4,3] [1,1][1,1] [0,3][2,3] [2,0][3,0] [2,2,3][2,4,3] [2,3][2,2,3] [2,2,3][4,3] "
     "[2,1,2,3][3,2,3] [0,1,2,2][2,2,2]",
     "[50,40,30][60,30]", FUSED,
     {{"[2,3][3,4]", SW_ERR_SHAPE,
       "matmul: [2,3] times [3,4] transposed; axis 1 of the first (3) must equal axis 1 of the second "
       "(4)"}}},
    {"matmul_transposed", "matmul transposed both", build_matmul_ab, 2, {REAL, REAL},
     "[3,2][4,3] [1,1][1,1] [0,2][3,0] [3,0][2,3] [2,3,2][2,4,3] [3,2][2,2,3] [2,3,2][4,3] "
     "[2,1,3,2][3,2,3] [2,2,2][0,1,2,2]",
     "[7,1,40,50][5,90,40]", FUSED,
     {{"[2,3][3,4]", SW_ERR_SHAPE,
       "matmul: [2,3] transposed times [3,4] transposed; axis 0 of the first (2) must equal axis 1 of "
       "the second (4)"}}},
    {"linear", "linear", build_linear, 2, {REAL, REAL},
     "[2,3][4,3] [1,1][1,1] [0,3][2,3] [2,0][3,0] [5,4][1,4] [2,1,3][2,3]"
     " [1,2,2,2][1,2] [2,0,3][2,3] [2,2,0][3,0]",
     "[64,784][100,784]", FUSED, {{0}}},
    {"linear", "linear with bias", build_linear_bias, 3, {REAL, REAL, REAL},
     "[2,3][4,3][4] [1,1][1,1][1] [0,3][2,3][2] [2,0][3,0][3] [5,4][1,4][1] [3,2][0,2][0] [2,1,3][2,3][2] "
     "[1,2,1,2][1,2][1] [0,2,3][2,3][2] [2,2,0][3,0][3] [2,2,1][0,1][0]",
     "[256,512][512,512][512]", FUSED | LARGE, {{0}}},
    {"linear", "linear tall", build_linear_bias, 3, {REAL, REAL, REAL}, "[7,2][3,2][3]",
     "[5000,20][30,20][30]", FUSED, {{0}}},
};
/* clang-format on */
