/* Entries for arithmetic.c, pointwise.c, activation.c, dropout.c and detach; and compositions that test the engine. */

BUILD(add, sw_add(in[0], in[1]))
BUILD(sub, sw_sub(in[0], in[1]))
BUILD(mul, sw_mul(in[0], in[1]))
BUILD(div, sw_div(in[0], in[1]))
BUILD(maximum, sw_maximum(in[0], in[1]))
BUILD(minimum, sw_minimum(in[0], in[1]))
BUILD(scale, sw_scale(in[0], -1.75))
BUILD(neg, sw_neg(in[0]))
BUILD(exp, sw_exp(in[0]))
BUILD(log, sw_log(in[0]))
BUILD(sqrt, sw_sqrt(in[0]))
BUILD(abs, sw_abs(in[0]))
BUILD(sin, sw_sin(in[0]))
BUILD(cos, sw_cos(in[0]))
BUILD(square, sw_pow(in[0], 2))
BUILD(cube, sw_pow(in[0], 3))
BUILD(inverse, sw_pow(in[0], -1))
BUILD(root, sw_pow(in[0], 0.3))
BUILD(pow_tensor, sw_pow_tensor(in[0], in[1]))
BUILD(log1p, sw_log1p(in[0]))
BUILD(expm1, sw_expm1(in[0]))
BUILD(erf, sw_erf(in[0]))
BUILD(sign, sw_sign(in[0]))
BUILD(floor, sw_floor(in[0]))
BUILD(ceil, sw_ceil(in[0]))
BUILD(round, sw_round(in[0]))
BUILD(trunc, sw_trunc(in[0]))
BUILD(clamp, sw_clamp(in[0], -1.03, 0.97))
BUILD(relu, sw_relu(in[0]))
BUILD(tanh, sw_tanh(in[0]))
BUILD(sigmoid, sw_sigmoid(in[0]))
BUILD(leaky_relu, sw_leaky_relu(in[0], 0.1))
BUILD(elu, sw_elu(in[0], 1.3))
BUILD(silu, sw_silu(in[0]))
BUILD(softplus, sw_softplus(in[0]))
BUILD(gelu, sw_gelu(in[0]))
BUILD(gelu_tanh, sw_gelu_tanh(in[0]))
BUILD(squared_relu, sw_squared_relu(in[0]))
BUILD(swiglu, sw_swiglu(in[0]))
BUILD(dropout, sw_dropout(in[0], 0.4, 7))
/* detach(b) is read and gets no gradient */
BUILD(detach, sw_mul(in[0], sw_detach(sw_tanh(in[1]))))
BUILD(identity, in[0])
BUILD(bce_shared, sw_bce_with_logits(in[0], in[0]))
/* A tensor that receives a reduced gradient and a stored one. */
BUILD(row_and_whole, sw_add(sw_mul(in[0], in[1]), sw_sub(in[1], sw_mul(in[1], in[0]))))
/* Intermediate tensors whose vjp passes the cotangent on, each used several times. */
static sw_tensor build_passes(void *user, sw_tape *tape, const sw_tensor *in) {
    (void)user, (void)tape;
    sw_tensor h = sw_add(in[0], in[1]);
    sw_tensor flat = sw_reshape(h, SW_SHAPE(-1)), again = sw_reshape(flat, SW_SHAPE(2, -1));
    sw_tensor twice = sw_add(h, h), thrice = sw_add(twice, sw_reshape(flat, SW_SHAPE(2, -1)));
    return sw_add(sw_mul(sw_add(thrice, again), h), sw_sub(again, sw_add(again, twice)));
}
/* One tensor as both inputs of an operation, and in two operations. */
static sw_tensor build_shared(void *user, sw_tape *tape, const sw_tensor *in) {
    (void)user, (void)tape;
    sw_tensor x = in[0], square = sw_mul(x, x), product = sw_matmul(x, x);
    sw_tensor none = sw_mse(x, x), own = sw_linear(x, x, (sw_tensor){0});
    return sw_add(sw_add(sw_sub(square, sw_tanh(x)), sw_add(product, x)), sw_add(none, sw_mul(own, sw_sub(x, x))));
}

/* clang-format off */
#define BROADCAST_ERRORS(name)                                                                   \
    {{"[2,3][4,3]", SW_ERR_SHAPE, name ": [2,3] and [4,3] do not broadcast: axis 0 is 2 and 4"}, \
     {"[2,3][2]", SW_ERR_SHAPE, name ": [2,3] and [2] do not broadcast: axis 1 is 3 and 2"}}
/* clang-format on */
/* clang-format off */
static const op_entry ops_elementwise[] = {
    {"add", "add", build_add, 2, {REAL, REAL}, BROADCASTS, BIG2, 0, {{0}}},
    {"add", "add rows", build_add, 2, {REAL, REAL}, "[4,3][3]", BIG_ROWS, 0, {{0}}},
    {"sub", "sub", build_sub, 2, {REAL, REAL}, BROADCASTS, "[120,1][120,500]", 0, {{0}}},
    {"sub", "sub outer", build_sub, 2, {REAL, REAL}, "[4,1][3]", "[120,1][500]", 0, {{0}}},
    {"mul", "mul", build_mul, 2, {REAL, REAL}, BROADCASTS, BIG2, 0, {{0}}},
    {"mul", "mul scalar", build_mul, 2, {REAL, REAL}, "[][4,3]", "[][120,500]", 0, {{0}}},
    {"div", "div", build_div, 2, {REAL, AWAY}, BROADCASTS, BIG_ROWS, 0, {{0}}},
    {"maximum", "maximum", build_maximum, 2, {REAL, REAL}, BROADCASTS, BIG_ROWS, 0, {{0}}},
    {"minimum", "minimum", build_minimum, 2, {REAL, REAL}, BROADCASTS, BIG_ROWS, 0, {{0}}},
    {"scale", "scale", build_scale, 1, {REAL}, SHAPES, BIG1, 0, {{0}}},
    {"neg", "neg", build_neg, 1, {REAL}, SHAPES, BIG1, 0, {{0}}},
    {"exp", "exp", build_exp, 1, {REAL}, SHAPES, BIG1, 0, {{0}}},
    {"log", "log", build_log, 1, {POSITIVE}, SHAPES, BIG1, 0, {{0}}},
    {"sqrt", "sqrt", build_sqrt, 1, {POSITIVE}, SHAPES, BIG1, 0, {{0}}},
    {"abs", "abs", build_abs, 1, {AWAY}, SHAPES, BIG1, 0, {{0}}},
    {"sin", "sin", build_sin, 1, {REAL}, SHAPES, BIG1, 0, {{0}}},
    {"cos", "cos", build_cos, 1, {REAL}, SHAPES, BIG1, 0, {{0}}},
    {"pow", "pow 2", build_square, 1, {REAL}, SHAPES, BIG1, 0, {{0}}},
    {"pow", "pow 3", build_cube, 1, {AWAY}, SHAPES, BIG1, 0, {{0}}},
    {"pow", "pow -1", build_inverse, 1, {AWAY}, SHAPES, BIG1, 0, {{0}}},
    {"pow", "pow 0.3", build_root, 1, {POSITIVE}, SHAPES, BIG1, 0, {{0}}},
    {"pow_tensor", "pow_tensor", build_pow_tensor, 2, {POSITIVE, REAL}, BROADCASTS, BIG_ROWS, 0, {{0}}},
    {"pow_tensor", "pow_tensor outer", build_pow_tensor, 2, {POSITIVE, REAL}, "[4,1][3]", "[120,1][500]", 0, {{0}}},
    {"pow_tensor", "pow_tensor whole", build_pow_tensor, 2, {AWAY, WHOLE}, "[4,3][4,3] [5][] [35][35]", BIG2, 0,
     {{0}}},
    {"log1p", "log1p", build_log1p, 1, {POSITIVE}, SHAPES, BIG1, 0, {{0}}},
    {"expm1", "expm1", build_expm1, 1, {REAL}, SHAPES, BIG1, 0, {{0}}},
    {"erf", "erf", build_erf, 1, {REAL}, SHAPES, BIG1, 0, {{0}}},
    {"sign", "sign", build_sign, 1, {AWAY}, SHAPES, BIG1, 0, {{0}}},
    {"floor", "floor", build_floor, 1, {REAL}, SHAPES, BIG1, 0, {{0}}},
    {"ceil", "ceil", build_ceil, 1, {REAL}, SHAPES, BIG1, 0, {{0}}},
    {"round", "round", build_round, 1, {REAL}, SHAPES, BIG1, 0, {{0}}},
    {"trunc", "trunc", build_trunc, 1, {REAL}, SHAPES, BIG1, 0, {{0}}},
    {"clamp", "clamp", build_clamp, 1, {AWAY}, SHAPES, BIG1, 0, {{0}}},
    {"relu", "relu", build_relu, 1, {AWAY}, SHAPES, BIG1, 0, {{0}}},
    {"tanh", "tanh", build_tanh, 1, {REAL}, SHAPES, BIG1, 0, {{0}}},
    {"sigmoid", "sigmoid", build_sigmoid, 1, {REAL}, SHAPES, BIG1, 0, {{0}}},
    {"leaky_relu", "leaky_relu", build_leaky_relu, 1, {AWAY}, SHAPES, BIG1, 0, {{0}}},
    {"elu", "elu", build_elu, 1, {AWAY}, SHAPES, BIG1, 0, {{0}}},
    {"silu", "silu", build_silu, 1, {REAL}, SHAPES, BIG1, 0, {{0}}},
    {"softplus", "softplus", build_softplus, 1, {REAL}, SHAPES, BIG1, 0, {{0}}},
    {"gelu", "gelu", build_gelu, 1, {REAL}, SHAPES, BIG1, 0, {{0}}},
    {"gelu_tanh", "gelu_tanh", build_gelu_tanh, 1, {REAL}, SHAPES, BIG1, 0, {{0}}},
    {"squared_relu", "squared_relu", build_squared_relu, 1, {REAL}, SHAPES, BIG1, 0, {{0}}},
    {"swiglu", "swiglu", build_swiglu, 1, {REAL}, "[2] [4,6] [2,3,34] [0] [0,4] [3,0] [5,66]", BIG1, 0,
     {{"[]", SW_ERR_SHAPE, "swiglu: input []; a last axis of even length is needed"},
      {"[4,3]", SW_ERR_SHAPE, "swiglu: input [4,3]; a last axis of even length is needed"}}},
    {"dropout", "dropout", build_dropout, 1, {REAL}, SHAPES " [3,130] [130,3]", BIG1, COMPOSED, {{0}}},
    {"dropout", "dropout long rows", build_dropout, 1, {REAL}, "[2,5]", "[5,40000]", COMPOSED, {{0}}},
    {"detach", "detach", build_detach, 2, {REAL, FIXED}, "[4,3][4,3] [][] [4,3][3] [0][1]", BIG2, COMPOSED, {{0}}},
    {"add", "passes", build_passes, 2, {REAL, REAL}, "[2,3][2,3] [2,1][2,1] [2,3][3] [1][2,2] [2,0][2,0]",
     "[2,900][2,900]", COMPOSED, {{0}}},
    {"add", "shared", build_shared, 1, {REAL}, "[3,3] [1,1] [2,2] [0,0]", "[90,90]", COMPOSED | FUSED, {{0}}},
    {"bce_with_logits", "bce shared", build_bce_shared, 1, {UNIT}, "[4,3] [] [35]", NULL, COMPOSED, {{0}}},
    {"add", "row and whole", build_row_and_whole, 2, {REAL, REAL},
     "[4,3][3] [2,2][] [2,3,2][3,1] [1][2]", BIG_ROWS, COMPOSED, {{0}}},
    {"add", "identity", build_identity, 1, {REAL}, "[3] []", NULL, COMPOSED, {{0}}},
};
/* clang-format on */
