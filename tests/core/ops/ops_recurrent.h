/* Entries for recurrent.c: LSTM and GRU over sequences, and their cells. Numbers of hidden units are below, at and
 * above the lengths of vectors. In entries with options, input 1 holds both weights and both biases, and its gradient
 * those of all four: [gates·hidden, inputs + hidden + 2]. Input 2 is the first state or the lengths. */

typedef sw_tensor recurrent_function(sw_tensor, sw_tensor, sw_tensor, const sw_recurrent_options *);

static inline sw_tensor recurrent_of_packed(recurrent_function *f, int gates, const sw_tensor *in, bool lengths,
                                            sw_recurrent_options o) {
    const sw_array w = sw_value(in[1]);
    if (!w.data)
        return f(in[0], in[1], in[1], NULL); /* the message of a null tensor */
    const int64_t hidden = w.shape[0] / gates, width = w.shape[1], inputs = width - hidden - 2, all[1] = {-1};
    o.size = sizeof o;
    o.bias_ih = sw_reshape(sw_slice(in[1], 1, width - 2, width - 1), 1, all);
    o.bias_hh = sw_reshape(sw_slice(in[1], 1, width - 1, width), 1, all);
    if (lengths)
        o.lengths = in[2];
    else
        o.state = in[2];
    return f(in[0], sw_slice(in[1], 1, 0, inputs), sw_slice(in[1], 1, inputs, inputs + hidden), &o);
}
#define RECURRENT_PACKED(function, gates, lengths, ...) \
    recurrent_of_packed(sw_##function, gates, in, lengths, SW_OPTIONS(sw_recurrent_options, __VA_ARGS__))

BUILD(lstm, sw_lstm(in[0], in[1], in[2], NULL))
BUILD(lstm_state, RECURRENT_PACKED(lstm, 4, false, .reverse = false))
BUILD(lstm_states, RECURRENT_PACKED(lstm, 4, false, .result = SW_RECURRENT_STATES, .reverse = true))
BUILD(lstm_last, RECURRENT_PACKED(lstm, 4, false, .result = SW_RECURRENT_LAST))
BUILD(lstm_lengths, RECURRENT_PACKED(lstm, 4, true, .reverse = false))
BUILD(lstm_lengths_states, RECURRENT_PACKED(lstm, 4, true, .result = SW_RECURRENT_STATES))
BUILD(lstm_lengths_last, RECURRENT_PACKED(lstm, 4, true, .result = SW_RECURRENT_LAST, .reverse = true))
BUILD(lstm_cell, RECURRENT_PACKED(lstm_cell, 4, false, .reverse = false))
BUILD(lstm_cell_plain, sw_lstm_cell(in[0], in[1], in[2], NULL))
BUILD(gru, sw_gru(in[0], in[1], in[2], NULL))
BUILD(gru_state, RECURRENT_PACKED(gru, 3, false, .reverse = true))
BUILD(gru_last, RECURRENT_PACKED(gru, 3, false, .result = SW_RECURRENT_LAST))
BUILD(gru_lengths, RECURRENT_PACKED(gru, 3, true, .reverse = true))
BUILD(gru_lengths_last, RECURRENT_PACKED(gru, 3, true, .result = SW_RECURRENT_LAST))
BUILD(gru_cell, RECURRENT_PACKED(gru_cell, 3, false, .reverse = false))
BUILD(gru_cell_plain, sw_gru_cell(in[0], in[1], in[2], NULL))

/* clang-format off */
static const op_entry ops_recurrent[] = {
    {"lstm", "lstm", build_lstm, 3, {REAL, REAL, REAL},
     "[2,3,2][8,2][8,2] [1,1,1][4,1][4,1] [3,4,2][12,2][12,3] [2,1,3][4,3][4,1] [9,2,1][4,1][4,1] [1,2,2][68,2][68,17] "
     "[0,2,3][8,3][8,2] [2,0,3][8,3][8,2] [2,2,0][8,0][8,2] [2,2,2][0,2][0,0]",
     "[20,9,30][140,30][140,35]", FUSED,
     {{"[2,3][8,3][8,2]", SW_ERR_SHAPE,
       "lstm: input [2,3], weights [8,3] and [8,2]; [batch,time,inputs], [4·hidden,inputs] and [4·hidden,hidden] are "
       "needed (add the axis of the batch or of time: sw_reshape?)"},
      {"[2,3,3][8,3][6,2]", SW_ERR_SHAPE, "lstm: weight_hh [6,2]; [4·hidden,hidden] is needed"},
      {"[2,3,3][6,3][8,2]", SW_ERR_SHAPE,
       "lstm: weight_ih [6,3] and weight_hh [8,2]; axis 0 must have equal lengths (4·hidden)"},
      {"[2,3,3][8,2][8,2]", SW_ERR_SHAPE,
       "lstm: input [2,3,3] and weight_ih [8,2]; axis 2 of the input (3) must equal axis 1 of the weight (2)"}}},
    {"lstm", "lstm state", build_lstm_state, 3, {REAL, REAL, REAL},
     "[2,3,2][8,6][2,4] [1,1,2][4,5][1,2] [3,2,2][12,7][3,6] [1,1,3][8,7][1,4] [0,2,2][8,6][0,4] [2,0,2][8,6][2,4]",
     "[17,8,20][132,55][17,66]", FUSED,
     {{"[2,3,2][8,6][2,2]", SW_ERR_SHAPE,
       "lstm: state [2,2]; [2,4] is needed, for input [2,3,2] and weight_hh [8,2]"},
      {"[2,3,2][8,6][2,4,1]", SW_ERR_SHAPE,
       "lstm: state [2,4,1]; [2,4] is needed, for input [2,3,2] and weight_hh [8,2]"}}},
    {"lstm", "lstm states", build_lstm_states, 3, {REAL, REAL, REAL},
     "[2,3,2][8,6][2,4] [1,1,1][4,4][1,2] [3,2,2][12,7][3,6]", "[10,9,20][132,55][10,66]", FUSED, {{0}}},
    {"lstm", "lstm last", build_lstm_last, 3, {REAL, REAL, REAL},
     "[2,3,2][8,6][2,4] [1,1,1][4,4][1,2] [3,2,2][12,7][3,6] [2,0,2][8,6][2,4]", "[30,9,20][132,55][30,66]", FUSED,
     {{0}}},
    {"lstm", "lstm lengths", build_lstm_lengths, 3, {REAL, REAL, IDS},
     "[3,3,4][8,8][3] [1,2,2][4,5][1] [5,6,7][12,12][5] [0,3,4][8,8][0]", "[30,19,20][132,55][30]", FUSED,
     {{"[3,3,2][8,6][2]", SW_ERR_SHAPE, "lstm: lengths [2]; [3] is needed, for input [3,3,2] and weight_hh [8,2]"},
      {"[5,0,7][8,11][5]", SW_ERR_ARGUMENT, "lstm: length 6 of sample 0; 0 to 0 are possible"}}},
    {"lstm", "lstm lengths states", build_lstm_lengths_states, 3, {REAL, REAL, IDS},
     "[3,3,4][8,8][3] [1,2,2][4,5][1] [5,6,7][12,12][5]", "[30,19,20][72,40][30]", FUSED, {{0}}},
    {"lstm", "lstm lengths last", build_lstm_lengths_last, 3, {REAL, REAL, IDS},
     "[3,3,4][8,8][3] [1,2,2][4,5][1] [5,6,7][12,12][5]", "[30,19,20][132,55][30]", FUSED, {{0}}},
    {"lstm_cell", "lstm_cell", build_lstm_cell, 3, {REAL, REAL, REAL},
     "[2,2][8,6][2,4] [1,1][4,4][1,2] [3,2][12,7][3,6] [0,2][8,6][0,4]", "[100,70][280,142][100,140]", FUSED,
     {{"[2,3][8,6][2,4]", SW_ERR_SHAPE,
       "lstm_cell: input [2,3] and weight_ih [8,2]; axis 1 of the input (3) must equal axis 1 of the weight (2)"},
      {"[2,3,2][8,6][2,4]", SW_ERR_SHAPE,
       "lstm_cell: input [2,3,2], weights [8,2] and [8,2]; [batch,inputs], [4·hidden,inputs] and [4·hidden,hidden] are "
       "needed"}}},
    {"lstm_cell", "lstm_cell plain", build_lstm_cell_plain, 3, {REAL, REAL, REAL},
     "[2,2][8,2][8,2] [1,1][4,1][4,1] [3,2][12,2][12,3]", "[100,70][280,70][280,70]", FUSED, {{0}}},
    {"gru", "gru", build_gru, 3, {REAL, REAL, REAL},
     "[2,3,2][6,2][6,2] [1,1,1][3,1][3,1] [3,4,2][9,2][9,3] [2,1,3][3,3][3,1] [9,2,1][3,1][3,1] [1,2,2][51,2][51,17] "
     "[0,2,3][6,3][6,2] [2,0,3][6,3][6,2] [2,2,0][6,0][6,2] [2,2,2][0,2][0,0]",
     "[20,9,30][105,30][105,35]", FUSED,
     {{"[2,3,3][6,3][8,2]", SW_ERR_SHAPE, "gru: weight_hh [8,2]; [3·hidden,hidden] is needed"}}},
    {"gru", "gru state", build_gru_state, 3, {REAL, REAL, REAL},
     "[2,3,2][6,6][2,2] [1,1,1][3,4][1,1] [3,2,2][9,7][3,3] [1,1,3][6,7][1,2] [0,2,2][6,6][0,2] [2,0,2][6,6][2,2]",
     "[17,8,20][99,55][17,33]", FUSED,
     {{"[2,3,2][6,6][2,4]", SW_ERR_SHAPE,
       "gru: state [2,4]; [2,2] is needed, for input [2,3,2] and weight_hh [6,2]"}}},
    {"gru", "gru last", build_gru_last, 3, {REAL, REAL, REAL},
     "[2,3,2][6,6][2,2] [1,1,1][3,4][1,1] [3,2,2][9,7][3,3] [2,0,2][6,6][2,2]", "[30,9,20][99,55][30,33]", FUSED,
     {{0}}},
    {"gru", "gru lengths", build_gru_lengths, 3, {REAL, REAL, IDS},
     "[3,3,4][6,8][3] [1,2,2][3,5][1] [5,6,7][9,12][5] [0,3,4][6,8][0]", "[30,19,20][99,55][30]", FUSED,
     {{"[3,3,2][6,6][2]", SW_ERR_SHAPE, "gru: lengths [2]; [3] is needed, for input [3,3,2] and weight_hh [6,2]"}}},
    {"gru", "gru lengths last", build_gru_lengths_last, 3, {REAL, REAL, IDS},
     "[3,3,4][6,8][3] [1,2,2][3,5][1] [5,6,7][9,12][5]", "[30,19,20][99,55][30]", FUSED, {{0}}},
    {"gru_cell", "gru_cell", build_gru_cell, 3, {REAL, REAL, REAL},
     "[2,2][6,6][2,2] [1,1][3,4][1,1] [3,2][9,7][3,3] [0,2][6,6][0,2]", "[100,70][210,142][100,70]", FUSED,
     {{"[2,3][6,6][2,2]", SW_ERR_SHAPE,
       "gru_cell: input [2,3] and weight_ih [6,2]; axis 1 of the input (3) must equal axis 1 of the weight (2)"}}},
    {"gru_cell", "gru_cell plain", build_gru_cell_plain, 3, {REAL, REAL, REAL},
     "[2,2][6,2][6,2] [1,1][3,1][3,1] [3,2][9,2][9,3]", "[100,70][210,70][210,70]", FUSED, {{0}}},
};
/* clang-format on */
