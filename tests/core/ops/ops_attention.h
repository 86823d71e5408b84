/* Entries for attention.h. Few and many queries and keys, features below, at and above the length of a vector. Longer
 * sequences: test_attention.c. */

#define ATTENTION(...) sw_attention(in[0], in[1], in[2], &SW_OPTIONS(sw_attention_options, __VA_ARGS__))
/* Keys and values are one tensor, so that there is an input left for a mask. */
#define MASKED(...) sw_attention(in[0], in[1], in[1], &SW_OPTIONS(sw_attention_options, __VA_ARGS__))
#define PACKED(...) sw_attention_packed(in[0], &SW_OPTIONS(sw_attention_options, __VA_ARGS__))
BUILD(attention, sw_attention(in[0], in[1], in[2], NULL))
BUILD(attention_heads, ATTENTION(.heads = 2, .scale = 0.7))
BUILD(attention_causal, ATTENTION(.heads = 2, .causal = true))
BUILD(attention_continued, ATTENTION(.causal = true, .first_position = 2))
BUILD(attention_mask, MASKED(.heads = 2, .mask = in[2]))
BUILD(attention_added_mask, MASKED(.heads = 2, .mask = in[2], .scale = -1))
BUILD(attention_padding, MASKED(.key_padding = in[2], .causal = true))
BUILD(attention_dropout, ATTENTION(.heads = 2, .dropout = 0.3, .site = 5))
BUILD(attention_packed, sw_attention_packed(in[0], NULL))
BUILD(attention_packed_causal, PACKED(.heads = 2, .causal = true))
BUILD(attention_packed_masks, PACKED(.heads = 2, .mask = in[1], .key_padding = in[2]))
BUILD(attention_packed_dropout, PACKED(.heads = 2, .causal = true, .dropout = 0.4, .site = 5))

#define LINEAR(...) sw_linear_attention(in[0], in[1], in[2], &SW_OPTIONS(sw_linear_attention_options, __VA_ARGS__))
BUILD(linear_attention, sw_linear_attention(in[0], in[1], in[2], NULL))
BUILD(linear_attention_causal, LINEAR(.heads = 2, .scale = 0.25, .causal = true))
BUILD(linear_attention_elu, LINEAR(.heads = 2, .map = SW_MAP_ELU, .normalized = true))
BUILD(linear_attention_elu_causal, LINEAR(.map = SW_MAP_ELU, .normalized = true, .causal = true))
BUILD(linear_attention_padding, sw_linear_attention(in[0], in[1], in[1],
                                                    &SW_OPTIONS(sw_linear_attention_options, .map = SW_MAP_ELU,
                                                                .normalized = true, .key_padding = in[2])))
BUILD(rotary, sw_rotary(in[0], NULL))
BUILD(rotary_interleaved, sw_rotary(in[0], &SW_OPTIONS(sw_rotary_options, .heads = 2, .base = 50, .first_position = 3,
                                                       .interleaved = true)))

/* Masks that are added have more than one element along the keys. Otherwise their gradient would be 0 but for rounding
 * errors, because the gradients by the scores of a query add up to 0. */
/* clang-format off */
static const op_entry ops_attention[] = {
    {"attention", "attention", build_attention, 3, {REAL, REAL, REAL},
     "[1,2,3][1,4,3][1,4,2] [2,3,2][2,2,2][2,2,5] [1,1,1][1,1,1][1,1,1] [2,1,4][2,5,4][2,5,17] [1,5,17][1,3,17][1,3,1] "
     "[1,33,2][1,3,2][1,3,2] [0,2,3][0,2,3][0,2,3] [2,0,3][2,4,3][2,4,2] [2,3,3][2,0,3][2,0,2] [1,2,0][1,3,0][1,3,2]",
     "[3,70,24][3,90,24][3,90,40]", FUSED,
     {{"[2,3][2,3][2,3]", SW_ERR_SHAPE,
       "attention: queries [2,3], keys [2,3] and values [2,3]; [batch, length, features] is needed (add the axis "
       "of one sample: sw_reshape?)"},
      {"[1,2,3,4][1,2,3,4][1,2,3,4]", SW_ERR_SHAPE,
       "attention: queries [1,2,3,4], keys [1,2,3,4] and values [1,2,3,4]; [batch, length, features] is needed (the "
       "heads are parts of the features: sw_reshape?)"},
      {"[2,3,4][1,3,4][2,3,4]", SW_ERR_SHAPE,
       "attention: queries [2,3,4], keys [1,3,4] and values [2,3,4]; axis 0 must be equal"},
      {"[2,3,4][2,3,5][2,3,4]", SW_ERR_SHAPE, "attention: queries [2,3,4] and keys [2,3,5]; axis 2 must be equal"},
      {"[2,3,4][2,3,4][2,5,4]", SW_ERR_SHAPE, "attention: keys [2,3,4] and values [2,5,4]; axis 1 must be equal"}}},
    {"attention", "attention heads", build_attention_heads, 3, {REAL, REAL, REAL},
     "[1,2,4][1,3,4][1,3,2] [2,3,2][2,2,2][2,2,6] [1,4,6][1,4,6][1,4,34]",
     "[4,64,64][4,64,64][4,64,64]", FUSED,
     {{"[1,2,3][1,2,3][1,2,4]", SW_ERR_SHAPE,
       "attention: queries [1,2,3] with 2 heads; the last axis (3) must be a multiple of 2"},
      {"[1,2,4][1,2,4][1,2,3]", SW_ERR_SHAPE,
       "attention: values [1,2,3] with 2 heads; the last axis (3) must be a multiple of 2"}}},
    {"attention", "attention causal", build_attention_causal, 3, {REAL, REAL, REAL},
     "[1,3,2][1,3,2][1,3,2] [2,2,4][2,3,4][2,3,2] [1,4,2][1,2,2][1,2,4] [1,35,2][1,35,2][1,35,2]",
     "[4,64,64][4,64,64][4,64,64]", FUSED, {{0}}},
    {"attention", "attention continued", build_attention_continued, 3, {REAL, REAL, REAL},
     "[1,2,3][1,4,3][1,4,2] [2,1,2][2,3,2][2,3,3] [1,3,1][1,9,1][1,9,1]",
     "[3,40,32][3,50,32][3,50,32]", FUSED, {{0}}},
    {"attention", "attention mask", build_attention_mask, 3, {REAL, FIXED, MASK},
     "[1,3,2][1,4,2][3,4] [2,2,4][2,3,4][2,1,2,3] [1,3,2][1,3,2][] [2,2,2][2,3,2][3] [2,2,2][2,3,2][2,1,1]",
     "[4,40,32][4,50,32][4,1,40,50]", FUSED,
     {{"[1,3,2][1,4,2][3,3]", SW_ERR_SHAPE,
       "attention: the mask [3,3] does not broadcast to [batch, heads, queries, keys] = [1,2,3,4]"},
      {"[1,3,2][1,4,2][1,1,1,1,1]", SW_ERR_SHAPE,
       "attention: the mask [1,1,1,1,1] does not broadcast to [batch, heads, queries, keys] = [1,2,3,4]"}}},
    {"attention", "attention added mask", build_attention_added_mask, 3, {REAL, FIXED, REAL},
     "[1,3,2][1,4,2][3,4] [2,2,4][2,3,4][2,1,2,3] [1,3,2][1,3,2][3] [2,2,2][2,3,2][2,1,3]",
     "[4,40,32][4,50,32][4,1,40,50]", FUSED, {{0}}},
    {"attention", "attention padding", build_attention_padding, 3, {REAL, FIXED, MASK},
     "[1,3,2][1,4,2][1,4] [2,2,4][2,3,4][2,3] [1,3,2][1,1,2][1,1]",
     "[4,40,32][4,50,32][4,50]", FUSED,
     {{"[1,3,2][1,4,2][4]", SW_ERR_SHAPE, "attention: the key padding is [4]; [batch, keys] = [1,4] is needed"},
      {"[1,3,2][1,4,2][1,3]", SW_ERR_SHAPE, "attention: the key padding is [1,3]; [batch, keys] = [1,4] is needed"}}},
    {"attention", "attention dropout", build_attention_dropout, 3, {REAL, REAL, REAL},
     "[1,2,4][1,3,4][1,3,2] [2,33,2][2,7,2][2,7,6] [2,3,2][2,5,2][2,5,2]",
     "[4,64,64][4,64,64][4,64,64]", COMPOSED | FUSED, {{0}}},
    {"attention_packed", "attention_packed", build_attention_packed, 1, {REAL},
     "[1,3,6] [2,2,3] [1,1,3] [1,5,51] [0,2,3] [2,0,6]", "[4,64,96]", FUSED,
     {{"[3,6]", SW_ERR_SHAPE,
       "attention_packed: input [3,6]; [batch, length, 3·features] is needed (add the axis of one "
       "sample: sw_reshape?)"},
      {"[2,3,5]", SW_ERR_SHAPE,
       "attention_packed: input [2,3,5] with 1 heads; the last axis (5) must be a multiple of 3"}}},
    {"attention_packed", "attention_packed causal", build_attention_packed_causal, 1, {REAL},
     "[1,3,6] [2,2,12] [1,34,6]", "[4,64,192]", FUSED, {{0}}},
    {"attention_packed", "attention_packed masks", build_attention_packed_masks, 3, {REAL, REAL, MASK},
     "[1,3,6][3,3][1,3] [2,2,6][2,2,1,2][2,2] [1,2,12][2][1,2]", "[4,64,192][2,64,64][4,64]",
     OPTIONAL | FUSED,
     {{"[1,3,6][2,3][1,3]", SW_ERR_SHAPE,
       "attention_packed: the mask [2,3] does not broadcast to [batch, heads, queries, keys] = [1,2,3,3]"}}},
    {"attention_packed", "attention_packed dropout", build_attention_packed_dropout, 1, {REAL},
     "[1,3,6] [2,2,12] [1,37,6]", "[4,64,192]", COMPOSED | FUSED, {{0}}},
    {"linear_attention", "linear_attention", build_linear_attention, 3, {REAL, REAL, REAL},
     "[1,2,3][1,4,3][1,4,2] [2,3,2][2,2,2][2,2,5] [1,1,1][1,1,1][1,1,1] [0,2,3][0,2,3][0,2,3] [2,3,3][2,0,3][2,0,2]",
     "[3,70,24][3,90,24][3,90,40]", FUSED,
     {{"[2,3][2,3][2,3]", SW_ERR_SHAPE,
       "linear_attention: queries [2,3], keys [2,3] and values [2,3]; [batch, length, features] is needed"},
      {"[2,3,4][1,3,4][2,3,4]", SW_ERR_SHAPE,
       "linear_attention: queries [2,3,4], keys [1,3,4] and values [2,3,4]; axis 0 must be equal"},
      {"[2,3,4][2,3,5][2,3,4]", SW_ERR_SHAPE,
       "linear_attention: queries [2,3,4] and keys [2,3,5]; axis 2 must be equal"},
      {"[2,3,4][2,3,4][2,5,4]", SW_ERR_SHAPE,
       "linear_attention: keys [2,3,4] and values [2,5,4]; axis 1 must be equal"}}},
    {"linear_attention", "linear_attention causal", build_linear_attention_causal, 3, {REAL, REAL, REAL},
     "[1,3,2][1,3,2][1,3,2] [2,2,4][2,3,4][2,3,2] [1,4,2][1,2,2][1,2,4]",
     "[4,64,64][4,64,64][4,64,64]", FUSED,
     {{"[1,2,3][1,2,3][1,2,4]", SW_ERR_SHAPE,
       "linear_attention: queries [1,2,3] with 2 heads; the last axis (3) must be a multiple of 2"},
      {"[1,2,4][1,2,4][1,2,3]", SW_ERR_SHAPE,
       "linear_attention: values [1,2,3] with 2 heads; the last axis (3) must be a multiple of 2"}}},
    {"linear_attention", "linear_attention elu", build_linear_attention_elu, 3, {AWAY, AWAY, REAL},
     "[1,3,2][1,3,2][1,3,2] [2,2,4][2,3,4][2,3,2]", "[4,64,64][4,64,64][4,64,64]", FUSED, {{0}}},
    {"linear_attention", "linear_attention elu causal", build_linear_attention_elu_causal, 3, {AWAY, AWAY, REAL},
     "[1,3,2][1,3,2][1,3,2] [2,2,3][2,3,3][2,3,2]", "[4,64,64][4,64,64][4,64,64]", FUSED, {{0}}},
    {"linear_attention", "linear_attention padding", build_linear_attention_padding, 3, {AWAY, FIXED, MASK},
     "[1,3,2][1,4,2][1,4] [2,2,4][2,3,4][2,3] [1,3,2][1,1,2][1,1]", "[4,40,32][4,50,32][4,50]", FUSED,
     {{"[1,3,2][1,4,2][4]", SW_ERR_SHAPE,
       "linear_attention: the key padding is [4]; [batch, keys] = [1,4] is needed"}}},
    {"rotary", "rotary", build_rotary, 1, {REAL}, "[1,3,2] [2,4,6] [1,1,8] [0,3,2] [2,0,4] [2,3,0] [1,40,34]",
     "[4,64,64]", 0,
     {{"[3,4]", SW_ERR_SHAPE,
       "rotary: input [3,4]; [batch, length, features] is needed (add the axis of one sample: sw_reshape?)"},
      {"[2,3,5]", SW_ERR_SHAPE, "rotary: input [2,3,5] with 1 heads; the last axis (5) must be a multiple of 2"}}},
    {"rotary", "rotary interleaved", build_rotary_interleaved, 1, {REAL}, "[1,3,4] [2,4,12] [1,20,20]", "[4,64,64]", 0,
     {{"[2,3,6]", SW_ERR_SHAPE, "rotary: input [2,3,6] with 2 heads; the last axis (6) must be a multiple of 4"}}},
};
/* clang-format on */
#undef ATTENTION
#undef MASKED
#undef PACKED
#undef LINEAR
