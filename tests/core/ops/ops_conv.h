/* Entries for conv.c: convolutions and transposed convolutions. Lengths of channels are chosen below, at and above the
 * lengths of vectors; pictures shorter than a tile of the kernels, and longer. */

#define CONV(function, ...) sw_##function(in[0], in[1], in[2], &SW_OPTIONS(sw_conv_options, __VA_ARGS__))
#define CONV_NO_BIAS(function, ...) \
    sw_##function(in[0], in[1], (sw_tensor){0}, &SW_OPTIONS(sw_conv_options, __VA_ARGS__))
BUILD(conv2d, sw_conv2d(in[0], in[1], (sw_tensor){0}, NULL))
BUILD(conv2d_bias, sw_conv2d(in[0], in[1], in[2], NULL))
BUILD(conv2d_stride, CONV(conv2d, .stride = {2, 3}))
BUILD(conv2d_padding, CONV(conv2d, .padding = {1, 2}))
BUILD(conv2d_wide_padding, CONV_NO_BIAS(conv2d, .padding = {4, 3}, .stride = {1, 2}))
BUILD(conv2d_same, CONV(conv2d, .same = true))
BUILD(conv2d_same_stride, CONV(conv2d, .same = true, .stride = {2, 3}))
BUILD(conv2d_dilation, CONV_NO_BIAS(conv2d, .dilation = {2, 3}, .padding = {1, 1}))
BUILD(conv2d_groups, CONV(conv2d, .groups = 2))
BUILD(conv2d_depthwise, CONV(conv2d, .groups = 4, .padding = {1, 1}))
BUILD(conv2d_all, CONV(conv2d, .stride = {2, 1}, .padding = {2, 1}, .dilation = {1, 2}, .groups = 3))
BUILD(conv1d, sw_conv1d(in[0], in[1], in[2], NULL))
BUILD(conv1d_all, CONV(conv1d, .stride = {2}, .padding = {3}, .dilation = {2}, .groups = 2))
BUILD(conv1d_same, CONV_NO_BIAS(conv1d, .same = true, .dilation = {3}))
BUILD(conv2d_transposed, sw_conv2d_transposed(in[0], in[1], in[2], NULL))
BUILD(conv2d_transposed_stride, CONV(conv2d_transposed, .stride = {2, 3}, .padding = {1, 0}, .output_padding = {1, 2}))
BUILD(conv2d_transposed_all, CONV_NO_BIAS(conv2d_transposed, .stride = {1, 2}, .padding = {1, 2}, .dilation = {2, 3},
                                          .groups = 2, .output_padding = {1, 2}))
#define CONV_SAME &SW_OPTIONS(sw_conv_options, .same = true)
BUILD(conv2d_max_pool2d, sw_conv2d_max_pool2d(in[0], in[1], in[2], NULL, 2, 2, NULL))
BUILD(conv2d_max_pool2d_relu,
      sw_conv2d_max_pool2d(in[0], in[1], in[2], CONV_SAME, 3, 2,
                           &SW_OPTIONS(sw_pool_options, .stride = {1, 2}, .padding = {1, 1}, .relu = true)))
BUILD(conv2d_avg_pool2d, sw_conv2d_avg_pool2d(in[0], in[1], in[2], CONV_SAME, 3, 3,
                                              &SW_OPTIONS(sw_pool_options, .stride = {2, 1}, .padding = {1, 1})))
BUILD(conv2d_avg_pool2d_relu,
      sw_conv2d_avg_pool2d(in[0], in[1], in[2], CONV_SAME, 2, 2, &SW_OPTIONS(sw_pool_options, .relu = true)))

/* clang-format off */
static const op_entry ops_conv[] = {
    {"conv2d", "conv2d", build_conv2d, 2, {REAL, REAL},
     "[1,3,3,1][1,2,2,1] [2,4,5,3][2,3,2,3] [1,5,5,1][4,5,5,1] [1,2,2,17][19,1,1,17] [1,1,1,1][1,1,1,1] "
     "[1,1,6,2][2,1,3,2] [1,6,1,2][2,3,1,2] [1,3,17,2][3,2,2,2] [0,3,3,2][2,2,2,2] [1,3,3,0][2,2,2,0] "
     "[2,3,3,2][0,2,2,2] [1,2,2,33][1,2,2,33] [1,2,2,1][65,2,2,1] [3,4,4,1][16,3,3,1]",
     "[16,28,28,3][16,5,5,3]", FUSED,
     {{"[2,4,4,3][5,3,3,2]", SW_ERR_SHAPE,
       "conv2d: input [2,4,4,3] and weight [5,3,3,2]; axis 3 of the input (3) must equal axis 3 of the weight (2)"},
      {"[2,3,32,32][16,5,5,3]", SW_ERR_SHAPE,
       "conv2d: input [2,3,32,32] and weight [16,5,5,3]; axis 3 of the input (32) must equal axis 3 of the weight "
       "(3) (move the channels to the last axis: sw_permute?)"},
      {"[2,28,28][16,5,5,1]", SW_ERR_SHAPE,
       "conv2d: input [2,28,28] and weight [16,5,5,1]; [N,H,W,C] and [out,kh,kw,C/groups] are needed (add the axis of "
       "one channel or of one sample: sw_reshape?)"},
      {"[2,4,5,3][5,4,3]", SW_ERR_SHAPE,
       "conv2d: input [2,4,5,3] and weight [5,4,3]; [N,H,W,C] and [out,kh,kw,C/groups] are needed"},
      {"[2,4,3,1][1,4,4,1]", SW_ERR_SHAPE,
       "conv2d: axis 2 of [2,4,3,1] has 3 elements with padding 0, but a kernel of 4 with dilation 1 spans 4; a "
       "smaller kernel or more padding is needed"},
      {"[2,4,3,1][1,0,1,1]", SW_ERR_SHAPE,
       "conv2d: axis 1 of [2,4,3,1] and a kernel of 0; at most 2147483647 and 1 to 2147483647 are possible"}}},
    {"conv2d", "conv2d bias", build_conv2d_bias, 3, {REAL, REAL, REAL},
     "[2,3,3,2][3,2,2,2][3] [1,4,4,1][2,3,3,1][2] [1,1,1,5][7,1,1,5][7] [0,3,3,2][2,2,2,2][2] [1,3,3,0][2,2,2,0][2] "
     "[2,3,3,2][0,2,2,2][0]",
     "[8,14,14,16][32,3,3,16][32]", FUSED,
     {{"[2,3,3,2][3,2,2,2][2]", SW_ERR_SHAPE, "conv2d: weight [3,2,2,2] and bias [2]; the bias must be [3]"},
      {"[2,3,3,2][3,2,2,2][3,1]", SW_ERR_SHAPE, "conv2d: weight [3,2,2,2] and bias [3,1]; the bias must be [3]"}}},
    {"conv2d", "conv2d 1x1", build_conv2d_bias, 3, {REAL, REAL, REAL}, "[2,2,3,4][5,1,1,4][5]",
     "[4,15,15,64][48,1,1,64][48]", FUSED, {{0}}},
    {"conv2d", "conv2d one picture", build_conv2d_bias, 3, {REAL, REAL, REAL}, "[1,2,5,3][4,2,2,3][4]",
     "[1,33,70,20][37,3,3,20][37]", FUSED, {{0}}},
    {"conv2d", "conv2d stride", build_conv2d_stride, 3, {REAL, REAL, REAL},
     "[1,5,7,2][2,3,3,2][2] [2,4,4,1][3,1,1,1][3] [1,4,9,3][2,2,5,3][2] [1,2,3,1][1,2,3,1][1]",
     "[4,40,40,16][16,3,3,16][16]", FUSED, {{0}}},
    {"conv2d", "conv2d padding", build_conv2d_padding, 3, {REAL, REAL, REAL},
     "[1,3,3,2][2,3,3,2][2] [2,1,1,1][1,2,2,1][1] [1,2,1,3][2,4,5,3][2] [1,0,2,1][2,2,2,1][2]",
     "[4,20,20,16][24,3,5,16][24]", FUSED,
     {{"[1,1,4,1][1,4,4,1][1]", SW_ERR_SHAPE,
       "conv2d: axis 1 of [1,1,4,1] has 3 elements with padding 1, but a kernel of 4 with dilation 1 spans 4; a "
       "smaller kernel or more padding is needed"}}},
    {"conv2d", "conv2d wide padding", build_conv2d_wide_padding, 2, {REAL, REAL},
     "[1,2,2,2][2,2,2,2] [1,1,3,1][3,3,1,1]", "[4,16,16,20][20,3,3,20]", FUSED, {{0}}},
    {"conv2d", "conv2d same", build_conv2d_same, 3, {REAL, REAL, REAL},
     "[1,3,4,2][2,3,3,2][2] [2,3,3,1][1,2,4,1][1] [1,1,1,3][2,5,5,3][2] [1,0,3,1][1,3,3,1][1]",
     "[4,28,28,16][32,3,3,16][32]", FUSED, {{0}}},
    {"conv2d", "conv2d same stride", build_conv2d_same_stride, 3, {REAL, REAL, REAL},
     "[1,4,4,2][2,3,3,2][2] [1,5,7,1][2,2,4,1][2] [2,3,5,1][2,1,1,1][2]", "[4,33,35,16][16,3,3,16][16]", FUSED, {{0}}},
    {"conv2d", "conv2d dilation", build_conv2d_dilation, 2, {REAL, REAL},
     "[1,4,6,2][2,2,3,2] [2,3,5,1][1,3,2,1]", "[4,28,28,8][16,3,3,8]", FUSED,
     {{"[1,2,8,1][1,3,3,1]", SW_ERR_SHAPE,
       "conv2d: axis 1 of [1,2,8,1] has 4 elements with padding 1, but a kernel of 3 with dilation 2 spans 5; a "
       "smaller kernel or more padding is needed"}}},
    {"conv2d", "conv2d groups", build_conv2d_groups, 3, {REAL, REAL, REAL},
     "[1,3,3,4][2,2,2,2][2] [2,2,2,2][6,1,2,1][6] [1,3,3,6][4,2,2,3][4] [1,2,2,0][2,1,1,0][2]",
     "[4,20,20,32][32,3,3,16][32]", FUSED,
     {{"[1,3,3,4][3,2,2,2][3]", SW_ERR_SHAPE,
       "conv2d: weight [3,2,2,2] in 2 groups; axis 0 (3) must be a multiple of the groups"},
      {"[1,3,3,5][4,2,2,2][4]", SW_ERR_SHAPE,
       "conv2d: input [1,3,3,5] and weight [4,2,2,2] in 2 groups; axis 3 of the input (5) must be 2 times axis 3 "
       "of the weight (2)"}}},
    {"conv2d", "conv2d depthwise", build_conv2d_depthwise, 3, {REAL, REAL, REAL},
     "[1,3,3,4][4,3,3,1][4] [2,2,2,4][8,2,2,1][8]", "[16,28,28,4][16,3,3,1][16]", FUSED, {{0}}},
    {"conv2d", "conv2d all", build_conv2d_all, 3, {REAL, REAL, REAL},
     "[1,4,5,3][6,3,2,1][6] [2,3,3,6][3,2,3,2][3]", "[4,30,30,24][24,3,3,8][24]", FUSED, {{0}}},
    {"conv1d", "conv1d", build_conv1d, 3, {REAL, REAL, REAL},
     "[2,5,3][4,3,3][4] [1,1,1][1,1,1][1] [1,7,1][2,7,1][2] [0,3,2][2,2,2][2] [2,9,2][1,2,2][1]",
     "[8,300,16][32,5,16][32]", FUSED,
     {{"[2,5,3][4,3,2][4]", SW_ERR_SHAPE,
       "conv1d: input [2,5,3] and weight [4,3,2]; axis 2 of the input (3) must equal axis 2 of the weight (2)"},
      {"[2,5,1,3][4,3,3][4]", SW_ERR_SHAPE,
       "conv1d: input [2,5,1,3] and weight [4,3,3]; [N,L,C] and [out,k,C/groups] are needed"},
      {"[2,5,3][4,6,3][4]", SW_ERR_SHAPE,
       "conv1d: axis 1 of [2,5,3] has 5 elements with padding 0, but a kernel of 6 with dilation 1 spans 6; a smaller "
       "kernel or more padding is needed"}}},
    {"conv1d", "conv1d all", build_conv1d_all, 3, {REAL, REAL, REAL}, "[1,6,2][2,3,1][2] [2,3,4][4,2,2][4]",
     "[8,400,16][32,3,8][32]", FUSED, {{0}}},
    {"conv1d", "conv1d same", build_conv1d_same, 2, {REAL, REAL}, "[1,5,2][2,4,2] [2,1,1][3,3,1]",
     "[4,500,16][16,3,16]", FUSED, {{0}}},
    {"conv2d_max_pool2d", "conv2d_max_pool2d", build_conv2d_max_pool2d, 3, {REAL, REAL, REAL},
     "[2,5,6,2][3,2,2,2][3] [1,4,4,1][2,3,3,1][2] [0,4,4,2][2,3,3,2][2] [1,4,4,2][0,3,3,2][0] [1,4,4,0][2,3,3,0][2]",
     "[20,20,20,5][17,3,3,5][17]", FUSED,
     {{"[2,4,4,3][5,3,3,2][5]", SW_ERR_SHAPE,
       "conv2d_max_pool2d: input [2,4,4,3] and weight [5,3,3,2]; axis 3 of the input (3) must equal axis 3 of the "
       "weight (2)"},
      {"[2,3,6,2][5,3,3,2][5]", SW_ERR_SHAPE,
       "conv2d_max_pool2d: a window that spans 2×2 is larger than the padded picture 1×4; choose a smaller one"}}},
    {"conv2d_max_pool2d", "conv2d_max_pool2d relu", build_conv2d_max_pool2d_relu, 3, {REAL, REAL, REAL},
     "[2,4,5,3][2,3,3,3][2] [1,1,3,1][17,2,2,1][17]", "[20,14,14,16][32,3,3,16][32]", FUSED, {{0}}},
    {"conv2d_avg_pool2d", "conv2d_avg_pool2d", build_conv2d_avg_pool2d, 3, {REAL, REAL, REAL},
     "[2,4,5,3][2,3,3,3][2] [1,5,3,1][5,3,3,1][5] [0,4,4,2][2,3,3,2][2]", "[6,14,14,32][32,3,3,32][32]", FUSED,
     {{"[2,4,4,3][5,3,3,3][4]", SW_ERR_SHAPE,
       "conv2d_avg_pool2d: weight [5,3,3,3] and bias [4]; the bias must be [5]"}}},
    {"conv2d_avg_pool2d", "conv2d_avg_pool2d relu", build_conv2d_avg_pool2d_relu, 3, {REAL, REAL, REAL},
     "[2,4,5,3][2,3,3,3][2] [1,5,3,1][17,3,3,1][17]", "[20,28,28,1][16,3,3,1][16]", FUSED, {{0}}},
    {"conv2d_transposed", "conv2d_transposed", build_conv2d_transposed, 3, {REAL, REAL, REAL},
     "[1,3,3,2][2,2,2,3][3] [2,2,1,1][1,3,2,2][2] [1,1,1,1][1,1,1,1][1] [0,2,2,3][3,2,2,1][1] [1,2,2,0][0,2,2,2][2] "
     "[1,2,2,2][2,2,2,0][0]",
     "[4,20,20,16][16,5,5,24][24]", FUSED,
     {{"[1,4,4,2][3,2,2,3][3]", SW_ERR_SHAPE,
       "conv2d_transposed: input [1,4,4,2] and weight [3,2,2,3]; axis 3 of the input (2) must equal axis 0 of the "
       "weight (3)"},
      {"[1,3,4,5][3,2,2,3][3]", SW_ERR_SHAPE,
       "conv2d_transposed: input [1,3,4,5] and weight [3,2,2,3]; axis 3 of the input (5) must equal axis 0 of the "
       "weight (3) (move the channels to the last axis: sw_permute?)"},
      {"[1,3,3,2][2,2,2,3][2]", SW_ERR_SHAPE,
       "conv2d_transposed: weight [2,2,2,3] and bias [2]; the bias must be [3]"},
      {"[3,3,2][2,2,2,3][3]", SW_ERR_SHAPE,
       "conv2d_transposed: input [3,3,2] and weight [2,2,2,3]; [N,H,W,in] and [in,kh,kw,out/groups] are needed (add "
       "the axis of one channel or of one sample: sw_reshape?)"}}},
    {"conv2d_transposed", "conv2d_transposed stride", build_conv2d_transposed_stride, 3, {REAL, REAL, REAL},
     "[1,2,2,2][2,2,3,3][3] [2,1,3,1][1,3,1,2][2] [1,2,2,3][3,4,4,1][1]", "[4,12,14,16][16,4,4,16][16]", FUSED,
     {{"[1,1,2,1][1,1,1,1][1]", SW_ERR_SHAPE,
       "conv2d_transposed: axis 1 of the result would have length 0, from [1,1,2,1], a kernel of 1 and padding 1; less "
       "padding or a larger kernel is needed"}}},
    {"conv2d_transposed", "conv2d_transposed all", build_conv2d_transposed_all, 2, {REAL, REAL},
     "[1,3,3,2][2,2,2,1] [2,2,2,4][4,2,3,1]", "[4,20,16,16][16,3,3,8]", FUSED,
     {{"[1,3,3,3][3,2,2,1]", SW_ERR_SHAPE,
       "conv2d_transposed: weight [3,2,2,1] in 2 groups; axis 0 (3) must be a multiple of the groups"}}},
};
/* clang-format on */
