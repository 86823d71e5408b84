/* Descriptions that are damaged or hostile: each is refused with a message. Deep nesting, many layers, huge sizes;
 * every truncation, damage at every byte, and random cuts. */
#define _GNU_SOURCE
#include "helpers.h"

#include "files.h"

/* ---- An allocator with a limit for each request ---- */

static size_t largest; /* the largest request since it was set to 0 */
enum { MOST_AT_ONCE = 1 << 24 };
static void *bounded_take(void *user, size_t size, size_t alignment) {
    (void)user;
    largest = size > largest ? size : largest;
    return size > MOST_AT_ONCE ? NULL : aligned_alloc(alignment, size);
}
static void bounded_give(void *user, void *memory) {
    (void)user;
    free(memory);
}
static int bound_memory(void **state) {
    const sw_allocator bounded = {sizeof bounded, NULL, bounded_take, bounded_give};
    sw_set_allocator(&bounded);
    return make_folder(state);
}
static int free_memory(void **state) {
    sw_set_allocator(NULL);
    return remove_folder(state);
}

/* ---- Texts with one mistake ---- */

#define NETWORK(inputs, parameters, root)                                                                            \
    "{\"format\":1,\"inputs\":" inputs ",\"parameters\":{" parameters "},\"root\":" root ",\"seed\":\"1\",\"type\":" \
    "\"f32\"}"
#define ROOT(root) NETWORK("[[3]]", "", root)
#define LINEAR(settings) "{\"name\":\"a\",\"settings\":{" settings "},\"type\":\"linear\"}"
#define GOOD LINEAR("\"bias\":1,\"inputs\":3,\"outputs\":2")
#define CHAIN(layers) "{\"layers\":[" layers "],\"name\":\"s\",\"type\":\"sequential\"}"
#define RELU(name, more) "{\"name\":\"" name "\"," more "\"type\":\"relu\"}"
#define EMBEDDING(name) "{\"name\":\"" name "\",\"settings\":{\"dim\":2147483647,\"rows\":1},\"type\":\"embedding\"}"
#define CONV_SETTINGS(inputs, outputs, kernel, stride, padding, groups, more)                              \
    "{\"name\":\"v\",\"settings\":{\"bias\":1,\"dilation\":[1,1],\"groups\":" groups ",\"inputs\":" inputs \
    ",\"outputs\":" outputs ",\"padding\":" padding "," more "\"stride\":" stride ",\"kernel\":" kernel "},\"type\":"
#define CONV(inputs, outputs, kernel, stride, padding, groups) \
    NETWORK("[[3,3,2]]", "", CONV_SETTINGS(inputs, outputs, kernel, stride, padding, groups, "\"same\":0,") "\"conv\"}")
#define CONV_TRANSPOSED(kernel, stride, output_padding)           \
    NETWORK("[[3,3,2]]", "",                                      \
            CONV_SETTINGS("2", "2", kernel, stride, "[0,0]", "1", \
                          "\"output_padding\":" output_padding ",") "\"conv_transposed\"}")
#define POOL_LAYER(name, type, settings) "{\"name\":\"" name "\",\"settings\":{" settings "},\"type\":\"" type "\"}"
#define POOL(type, settings) NETWORK("[[3,3,2]]", "", POOL_LAYER("v", type, settings))
#define POOL_SETTINGS(window, stride, padding, more) \
    "\"ceil_mode\":0,\"relu\":0,\"padding\":" padding ",\"stride\":" stride ",\"window\":" window "," more
#define MAX_POOL(window, stride, padding, dilation) \
    POOL("max_pool", POOL_SETTINGS(window, stride, padding, "\"dilation\":" dilation))
#define BATCH_NORM(features, momentum, cumulative, statistics)                                                \
    "{\"name\":\"n\",\"settings\":{\"bias\":1,\"cumulative\":" cumulative ",\"eps\":0,\"features\":" features \
    ",\"momentum\":" momentum ",\"statistics\":" statistics ",\"weight\":1},\"type\":\"batch_norm\"}"
#define NORM(type, features, axes)                                                         \
    "{\"name\":\"n\",\"settings\":{" axes ",\"bias\":1,\"eps\":0.1,\"features\":" features \
    ",\"weight\":1},\"type\":\"" type "\"}"
#define TIED(tie) \
    "{\"name\":\"b\",\"settings\":{\"bias\":0,\"inputs\":3,\"outputs\":2},\"tied\":{" tie "},\"type\":\"linear\"}"
#define PARAMETER(text) NETWORK("[[3]]", text, GOOD)

/* The message. If it ends with …, only its beginning, because the rest is from functions that are not tested here. */
static const struct {
    const char *text, *message;
} bad[] = {
    {"", "the description is not valid JSON: '[' or '{' expected near end of file, at byte 0"},
    {"{\"a\":1,\"a\":2}", "the description is not valid JSON: duplicate object key near '\"a\"', at byte 10"},
    {"[]", "the network is not an object"},
    {"{}", "the description has the format 0; this library reads format 1"},
    {"{\"format\":2}", "the description has the format 2; this library reads format 1"},
    {"{\"format\":1,\"color\":2}", "the network has an unknown member color"},
    {"{\"format\":1}", "the network: its type is missing, or not a text"},
    {"{\"format\":1,\"type\":7}", "the network: its type is missing, or not a text"},
    {"{\"format\":1,\"type\":\"i32\"}", "the network is of type i32; f32 or f64 is needed"},
    {"{\"format\":1,\"type\":\"f16\"}", "the network is of type f16; f32 or f64 is needed"},
    {"{\"format\":1,\"type\":\"f32\",\"storage\":2}", "the network: its storage is missing, or not a text"},
    {"{\"format\":1,\"type\":\"f32\",\"storage\":\"f8\"}",
     "the network is of type f32 with storage f8; f32 with f16 or bf16 is possible"},
    {"{\"format\":1,\"type\":\"f32\",\"storage\":\"f32\"}",
     "the network is of type f32 with storage f32; f32 with f16 or bf16 is possible"},
    {"{\"format\":1,\"type\":\"f64\",\"storage\":\"bf16\"}",
     "the network is of type f64 with storage bf16; f32 with f16 or bf16 is possible"},
    {"{\"format\":1,\"type\":\"f32\"}", "the network: its seed is missing, or not a text"},
    {"{\"format\":1,\"type\":\"f32\",\"seed\":\"\"}", "the seed is empty"},
    {"{\"format\":1,\"type\":\"f32\",\"seed\":\"-1\"}", "the seed -1 is not a whole number below 2^64"},
    {"{\"format\":1,\"type\":\"f32\",\"seed\":\"18446744073709551616\"}",
     "the seed 18446744073709551616 is not a whole number below 2^64"},
    {"{\"format\":1,\"type\":\"f32\",\"seed\":\"18446744073709551615\"}", "layer 0 is not an object"},
    /* Inputs. */
    {NETWORK("3", "", GOOD), "the inputs are not a list of 1 to 16 shapes"},
    {NETWORK("[]", "", GOOD), "the inputs are not a list of 1 to 16 shapes"},
    {NETWORK("[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]", "", GOOD), "the inputs are not a list of 1 to 16 shapes"},
    {NETWORK("[3]", "", GOOD), "input 0: its shape is not a list of at most 8 lengths"},
    {NETWORK("[[1,1,1,1,1,1,1,1,1]]", "", GOOD), "input 0: its shape is not a list of at most 8 lengths"},
    {NETWORK("[[3.5]]", "", GOOD), "input 0: axis 0 of its shape is not a length"},
    {NETWORK("[[3,-1]]", "", GOOD), "input 0: axis 1 of its shape is not a length"},
    {NETWORK("[[268435457]]", "", GOOD), "input 0: a sample has more than 268435456 elements"},
    {NETWORK("[[0,65536,65536]]", "", GOOD), "input 0: a sample has more than 268435456 elements"},
    {NETWORK("[[3],[3]]", "", GOOD), "layer a: takes 1 input, not 2"},
    {NETWORK("[[4]]", "", GOOD), "layer a: takes 3 inputs…"},
    /* Layers. */
    {ROOT("[]"), "layer 0 is not an object"},
    {ROOT("{\"type\":\"relu\"}"), "layer 0: its name is missing, or not a text"},
    {ROOT("{\"name\":\"a\"}"), "layer 0: its type is missing, or not a text"},
    {ROOT("{\"name\":\"\",\"type\":\"relu\"}"), "layer : layer relu: …"},
    {ROOT(RELU("a", "\"weights\":[],")), "layer 0 has an unknown member weights"},
    {ROOT("{\"name\":\"a\",\"type\":\"system\"}"),
     "layer 0: there is no layer type system; a custom one must be registered (sw_module_type_register)"},
    {ROOT(RELU("a", "\"frozen\":1,")), "layer 0: frozen is not true or false"},
    {ROOT(RELU("a", "\"settings\":[],")), "layer a: its settings are not an object"},
    {ROOT(RELU("a", "\"settings\":{\"slope\":1},")), "layer a: layers of type relu have no setting slope"},
    {ROOT(RELU("a", "\"layers\":{},")), "layer 0: its layers are not a list of at most 10000"},
    {ROOT(RELU("a", "\"layers\":[" RELU("b", "") "],")),
     "layer a: layers of type relu cannot contain these inner layers (1)"},
    {ROOT(CHAIN(RELU("a", "") ",null")), "layer 2 is not an object"},
    {ROOT(CHAIN(RELU("a", "") "," RELU("a", ""))), "layer a: …"},
    {ROOT("{\"layers\":[],\"name\":\"r\",\"type\":\"residual\"}"), "layer r: 0 inner layers; 1 is needed"},
    {ROOT("{\"layers\":[" GOOD "],\"name\":\"r\",\"type\":\"residual\"}"), "layer r: …"},
    /* Settings. */
    {ROOT(LINEAR("\"bias\":1,\"inputs\":3")), "layer a: setting outputs is missing"},
    {ROOT(LINEAR("\"bias\":1,\"inputs\":3,\"outputs\":0")),
     "layer a: setting outputs is 0; 1 to 2147483647 are possible"},
    {ROOT(LINEAR("\"bias\":1,\"inputs\":3,\"outputs\":2.0")), "layer a: setting outputs is not a whole number"},
    {ROOT(LINEAR("\"bias\":true,\"inputs\":3,\"outputs\":2")), "layer a: setting bias is not a whole number"},
    {ROOT(LINEAR("\"bias\":2,\"inputs\":3,\"outputs\":2")), "layer a: setting bias is 2; 0 to 1 are possible"},
    {ROOT(LINEAR("\"bias\":1,\"inputs\":-3,\"outputs\":2")),
     "layer a: setting inputs is -3; 0 to 2147483647 are possible"},
    {ROOT(LINEAR("\"bias\":1,\"inputs\":3,\"outputs\":2,\"x\":[]")),
     "layer a: layers of type linear have no setting x"},
    {ROOT(LINEAR("\"bias\":1,\"inputs\":3,\"outputs\":99999999999999999999")),
     "the description is not valid JSON: too big integer…"},
    {ROOT("{\"name\":\"d\",\"settings\":{\"p\":1},\"type\":\"dropout\"}"), "layer d: dropout: p = 1…"},
    {ROOT("{\"name\":\"d\",\"settings\":{\"p\":1e999},\"type\":\"dropout\"}"),
     "the description is not valid JSON: real number overflow…"},
    {ROOT("{\"name\":\"e\",\"settings\":{\"alpha\":\"1\"},\"type\":\"elu\"}"),
     "layer e: setting alpha is not a number"},
    {ROOT("{\"name\":\"x\",\"settings\":{\"axis\":9},\"type\":\"softmax\"}"),
     "layer x: setting axis is 9; -8 to 8 are possible"},
    {ROOT("{\"name\":\"x\",\"settings\":{\"axis\":2},\"type\":\"softmax\"}"), "layer x: axis 2…"},
    {ROOT("{\"name\":\"r\",\"settings\":{\"shape\":[1,1,1,1,1,1,1,3]},\"type\":\"reshape\"}"),
     "layer r: setting shape has 8 numbers; at most 7 are possible"},
    {ROOT("{\"name\":\"r\",\"settings\":{\"shape\":[4611686018427387904,4]},\"type\":\"reshape\"}"),
     "layer r: [4611686018427387904,4] has too many elements…"},
    {ROOT("{\"name\":\"m\",\"settings\":{\"dim\":1,\"padding_id\":2,\"rows\":2},\"type\":\"embedding\"}"),
     "layer m: setting padding_id is 2; 0 to 1 are possible"},
    {ROOT("{\"name\":\"m\",\"settings\":{\"dim\":1,\"padding_id\":-1,\"rows\":2},\"type\":\"embedding\"}"),
     "layer m: setting padding_id is -1; 0 to 1 are possible"},
    {ROOT("{\"name\":\"m\",\"settings\":{\"dim\":0,\"rows\":2},\"type\":\"embedding\"}"),
     "layer m: setting dim is 0; 1 to 2147483647 are possible"},
    {ROOT(CHAIN(EMBEDDING("m") "," EMBEDDING("n") ",{\"name\":\"f\",\"type\":\"flatten\"}")),
     "layer n: samples of its output: [3,2147483647,2147483647] has too many elements"},
    /* Convolutions. */
    {CONV("2", "2", "[]", "[1,1]", "[0,0]", "1"), "layer v: setting kernel has 0 numbers; 1 or 2 are needed"},
    {CONV("2", "2", "[1,0]", "[1,1]", "[0,0]", "1"), "layer v: setting kernel is 0; 1 to 2147483647 are possible"},
    {CONV("2", "2", "[3,3,3]", "[1,1]", "[0,0]", "1"), "layer v: setting kernel has 3 numbers; at most 2 are possible"},
    {CONV("2", "2", "[3,3]", "[1]", "[0,0]", "1"), "layer v: setting stride has 1 numbers; 2 are needed"},
    {CONV("2", "2", "[3]", "[1,1]", "[0,0]", "1"), "layer v: setting stride has 2 numbers; 1 is needed"},
    {CONV("2", "2", "[3,3]", "[1,0]", "[0,0]", "1"), "layer v: setting stride is 0; 1 to 2147483647 are possible"},
    {CONV("2", "2", "[3,3]", "[1,1]", "[0,0]", "3"), "layer v: conv2d: 2 inputs and 2 outputs in 3 groups…"},
    {CONV("0", "2", "[4,1]", "[1,1]", "[0,0]", "1"), "layer v: axis 0 of [3,3,2] has 3 elements…"},
    {CONV("2", "2", "[2147483647,2147483647]", "[1,1]", "[1073741823,1073741823]", "1"),
     "layer v: a weight [2,2147483647,2147483647,2] has too many elements"},
    {CONV("2", "2147483647", "[1,1]", "[1,1]", "[1073741820,1073741820]", "1"),
     "layer v: samples of its output: [2147483643,2147483643,2147483647] has too many elements"},
    {CONV("2", "2", "[1,1]", "[1,1]", "[2147483647,0]", "1"), "layer v: axis 0 of the result would have length…"},
    {CONV_TRANSPOSED("[3]", "[1,1]", "[0,0]"), "layer v: setting kernel has 1 numbers; 2 are needed"},
    {CONV_TRANSPOSED("[3,3]", "[2,2]", "[0,2]"), "layer v: conv2d_transposed: output_padding [0,2]…"},
    {CONV_TRANSPOSED("[3,3]", "[2147483647,1]", "[0,0]"), "layer v: axis 0 of the result would have length…"},
    /* Pools. */
    {MAX_POOL("[]", "[1,1]", "[0,0]", "[1,1]"), "layer v: setting window has 0 numbers; 1 or 2 are needed"},
    {MAX_POOL("[2,2]", "[1]", "[0,0]", "[1,1]"), "layer v: setting stride has 1 numbers; 2 are needed"},
    {MAX_POOL("[2]", "[1]", "[0]", "[1,1]"), "layer v: setting dilation has 2 numbers; 1 is needed"},
    {MAX_POOL("[2,0]", "[1,1]", "[0,0]", "[1,1]"), "layer v: setting window is 0; 1 to 2147483647 are possible"},
    {MAX_POOL("[2,2]", "[1,1]", "[2,0]", "[1,1]"),
     "layer v: max_pool2d: padding 2×0 of a window 2×2; at most half of the window is possible"},
    {MAX_POOL("[65536,65536]", "[1,1]", "[0,0]", "[1,1]"),
     "layer v: max_pool2d: window 65536×65536; at most 2^31 - 1 elements are possible"},
    {MAX_POOL("[2,2]", "[1,1]", "[0,0]", "[2147483647,1]"),
     "layer v: a window that spans 2147483648×2 is larger than the padded picture 3×3; choose a smaller one"},
    {MAX_POOL("[2]", "[1]", "[0]", "[1]"), "layer v: its input has samples [3,3,2]; sequences [length, channels]…"},
    {POOL("avg_pool", POOL_SETTINGS("[2,2]", "[1,1]", "[0,0]", "\"exclude_padding\":2")),
     "layer v: setting exclude_padding is 2; 0 to 1 are possible"},
    {POOL("avg_pool", POOL_SETTINGS("[2,2]", "[1,1]", "[0,0]", "\"dilation\":[1,1]")),
     "layer v: setting exclude_padding is missing…"},
    {POOL("adaptive_avg_pool", "\"out\":[2]"), "layer v: setting out has 1 numbers; 2 are needed"},
    {POOL("adaptive_max_pool", "\"out\":[2147483647,2147483647]"),
     "layer v: samples of its output: [2147483647,2147483647,2] has too many elements"},
    {POOL("global_avg_pool", "\"out\":[1,1]"), "layer v: layers of type global_avg_pool have no setting out"},
    /* Normalizations. */
    {ROOT(BATCH_NORM("4", "0", "0", "1")),
     "layer n: takes 4 features, but its input has 3, the last axis of samples [3]"},
    {ROOT(BATCH_NORM("3", "1.5", "0", "1")), "layer n: setting momentum is 1.5; 0 to 1 are possible"},
    {ROOT(BATCH_NORM("3", "0.5", "1", "1")),
     "layer n: batch_norm: cumulative, and momentum = 0.5: give one of the two"},
    {ROOT(BATCH_NORM("3", "0", "1", "0")),
     "layer n: batch_norm: without running statistics, cumulative and momentum have no meaning"},
    {ROOT(NORM("layer_norm", "3", "\"axes\":2")),
     "layer n: normalizes the last 2 axes, but the samples of its input are [3]"},
    {ROOT(NORM("layer_norm", "3", "\"axes\":8")), "layer n: layer_norm: 8 axes; 1 to 7, or 0 for 1, are possible"},
    {ROOT(NORM("layer_norm", "2147483648", "\"axes\":1")),
     "layer n: setting features is 2147483648; 0 to 2147483647 are possible"},
    {ROOT(NORM("group_norm", "3", "\"groups\":2")),
     "layer n: group_norm: 3 features cannot be divided into 2 groups of equal size"},
    {ROOT(NORM("group_norm", "0", "\"groups\":2")),
     "layer n: 3 features cannot be divided into 2 groups of equal size"},
    /* Ties. */
    {ROOT(CHAIN(
         GOOD ","
              "{\"name\":\"b\",\"settings\":{\"bias\":0,\"inputs\":2,\"outputs\":2},\"tied\":[],\"type\":\"linear\"}")),
     "layer 2: its ties are not an object"},
    {ROOT(TIED("\"weight\":3")), "a tie is not an object"},
    {ROOT(TIED("\"weight\":{\"layer\":0}")), "a tie: its parameter is missing, or not a text"},
    {ROOT(TIED("\"weight\":{\"layer\":1,\"parameter\":\"weight\"}")),
     "layer b: its weight is tied to a layer that does not exist"},
    {ROOT(TIED("\"weight\":{\"layer\":-1,\"parameter\":\"weight\"}")),
     "layer b: its weight is tied to a layer that does not exist"},
    {ROOT(TIED("\"weight\":{\"layer\":0,\"parameter\":\"weight\"}")), "layer b: …"},
    {ROOT(TIED("\"\":{\"layer\":0,\"parameter\":\"weight\"}")), "layer b: …"},
    {ROOT(CHAIN(TIED("\"weight\":{\"layer\":2,\"parameter\":\"weight\"}") "," GOOD)),
     "layer b: its weight is tied to layer a…"},
    {ROOT(CHAIN("{\"name\":\"c\",\"settings\":{\"bias\":0,\"inputs\":3,\"outputs\":3},\"type\":\"linear\"}"
                "," TIED("\"weight\":{\"layer\":1,\"parameter\":\"weight\"}"))),
     "parameter b.weight: …"},
    {ROOT(CHAIN("{\"name\":\"c\",\"settings\":{\"bias\":0,\"inputs\":3,\"outputs\":3},\"type\":\"linear\"}"
                "," TIED("\"wieght\":{\"layer\":1,\"parameter\":\"weight\"}"))),
     "layer b: …"},
    /* Parameters. */
    {"{\"format\":1,\"inputs\":[[3]],\"root\":" GOOD ",\"seed\":\"1\",\"type\":\"f32\"}",
     "the parameters are not an object"},
    {PARAMETER("\"c.weight\":{\"role\":\"bias\"}"), "parameter c.weight: the network has no parameter of this name"},
    {PARAMETER("\"a.weight\":[]"), "parameter a.weight is not an object"},
    {PARAMETER("\"a.weight\":{}"), "parameter a.weight: its role is missing, or not a text"},
    {PARAMETER("\"a.weight\":{\"role\":\"king\"}"), "parameter a.weight: there is no role king"},
    {PARAMETER("\"a.weight\":{\"frozen\":1,\"role\":\"bias\"}"), "parameter a.weight: frozen is not true or false"},
    {PARAMETER("\"a.weight\":{\"decay\":1,\"role\":\"bias\"}"), "parameter a.weight has an unknown member decay"},
};

static void test_every_mistake_has_a_message(void **state) {
    (void)state;
    sw_model *good = sw_model_new_from_description(PARAMETER("\"a.weight\":{\"frozen\":false,\"role\":\"bias\"}"));
    expect_no_error();
    sw_model_free(good);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const size_t length = strlen(bad[i].message);
        const bool begins = length > 3 && strcmp(bad[i].message + length - 3, "…") == 0;
        if (sw_model_new_from_description(bad[i].text))
            fail_msg("accepted: %s", bad[i].text);
        assert_non_null(sw_error());
        if (begins ? strncmp(sw_error(), bad[i].message, length - 3) != 0 : strcmp(sw_error(), bad[i].message) != 0)
            fail_msg("%s:\n  %s, not\n  %s", bad[i].text, sw_error(), bad[i].message);
        sw_clear_error();
    }
}

/* An older error is kept, and its message is not changed. */
static void test_older_error_is_kept(void **state) {
    (void)state;
    sw_fail(SW_ERR_IO, "of long ago");
    assert_null(sw_model_new_from_description(ROOT(LINEAR("\"bias\":1"))));
    assert_null(sw_model_new_from_file("/nowhere/at/all"));
    expect_error(SW_ERR_IO, "of long ago");
}

/* ---- Depth and number ---- */

/* `depth` sequential layers in one another. */
static char *nested(int depth) {
    static const char open[] = "{\"name\":\"s%d\",\"type\":\"sequential\",\"layers\":[";
    char *text = malloc((size_t)depth * 64 + 200), *at = text;
    assert_non_null(text);
    at += sprintf(at, "{\"format\":1,\"parameters\":{},\"seed\":\"1\",\"type\":\"f32\",\"root\":");
    for (int i = 0; i < depth; i++)
        at += sprintf(at, open, i);
    for (int i = 0; i < depth; i++)
        at += sprintf(at, "]}");
    sprintf(at, "}");
    return text;
}

static void test_nesting_is_limited(void **state) {
    (void)state;
    char *text = nested(64);
    sw_model *model = sw_model_new_from_description(text);
    expect_no_error();
    assert_non_null(model);
    sw_model_free(model);
    free(text);
    text = nested(65);
    assert_null(sw_model_new_from_description(text));
    expect_error(SW_ERR_FORMAT, "layer 64: layers are nested more than 64 deep");
    free(text);
    text = nested(100000); /* the parser's own limit */
    assert_null(sw_model_new_from_description(text));
    assert_int_equal(sw_error_status(), SW_ERR_FORMAT);
    sw_clear_error();
    free(text);
}

static void test_number_of_layers_is_limited(void **state) {
    (void)state;
    for (int more = 0; more < 2; more++) {
        const int count = 9999 + more;
        char *text = malloc((size_t)count * 40 + 200), *at = text;
        assert_non_null(text);
        at += sprintf(
            at, "{\"format\":1,\"parameters\":{},\"seed\":\"1\",\"type\":\"f32\",\"root\":{\"name\":\"s\",\"type\":"
                "\"sequential\",\"layers\":[");
        for (int i = 0; i < count; i++)
            at += sprintf(at, "%s{\"name\":\"r%d\",\"type\":\"relu\"}", i ? "," : "", i);
        sprintf(at, "]}}");
        sw_model *model = sw_model_new_from_description(text);
        if (more) {
            assert_null(model);
            expect_error(SW_ERR_FORMAT, "the network has more than 10000 layers");
        } else {
            expect_no_error();
            assert_int_equal(sw_model_root(model)->children, count);
        }
        sw_model_free(model);
        free(text);
    }
}

/* ---- Files ---- */

/* A file with a description and one array of three numbers. */
static const char *file_with(const char *description) {
    static const float three[3] = {1, 2, 3};
    const char *path = path_of("hostile.safetensors");
    sw_archive *a = sw_archive_new();
    assert_ok(sw_archive_put(a, "x", sw_array_view(three, SW_F32, SW_SHAPE(3))));
    assert_ok(sw_archive_set_text(a, "network", description));
    assert_ok(sw_archive_save(a, path));
    sw_archive_free(a);
    return path;
}

/* A network of terabytes in a file of a few bytes: refused before anything of its size is allocated. */
static void test_sizes_are_limited_by_the_file(void **state) {
    (void)state;
    static const char *const huge[][2] = {
        {ROOT(CHAIN(LINEAR("\"bias\":0,\"inputs\":3,\"outputs\":2147483647") "," RELU("b", ""))),
         "a.weight [2147483647,3]"},
        {NETWORK("[[65536,4096]]", "",
                 CHAIN("{\"name\":\"f\",\"type\":\"flatten\"}," LINEAR("\"bias\":0,\"inputs\":0,\"outputs\":2"))),
         "a.weight [2,268435456]"},
        {NETWORK("[[]]", "",
                 "{\"name\":\"e\",\"settings\":{\"dim\":134217728,\"rows\":2147483647},\"type\":\"embedding\"}"),
         "e.weight [2147483647,134217728]"},
        {ROOT(LINEAR("\"bias\":1,\"inputs\":3,\"outputs\":1")), "a.bias [1]"}, /* one number more than there are */
    };
    char text[PATH_SIZE + 300];
    for (size_t i = 0; i < sizeof huge / sizeof *huge; i++) {
        const char *path = file_with(huge[i][0]);
        largest = 0;
        assert_null(sw_model_new_from_file(path));
        assert_true(largest < 1 << 20);
        snprintf(text, sizeof text,
                 "%s: the network has more parameters than the file has numbers, 3; the first too many is %s", path,
                 huge[i][1]);
        expect_error(SW_ERR_FORMAT, text);
        remove_file(path);
    }
    /* As many numbers, in another array. */
    const char *path = file_with(ROOT(LINEAR("\"bias\":0,\"inputs\":3,\"outputs\":1")));
    assert_null(sw_model_new_from_file(path));
    snprintf(text, sizeof text, "%s: does not fit the parameters: a.weight is missing; x is not expected", path);
    expect_error(SW_ERR_FORMAT, text);
    remove_file(path);
    /* The message of a mistake in the text begins with the path too. */
    path = file_with("{}");
    assert_null(sw_model_new_from_file(path));
    snprintf(text, sizeof text, "%s: the description has the format 0; this library reads format 1", path);
    expect_error(SW_ERR_FORMAT, text);
    remove_file(path);
}

/* Inside a composed layer, whose build runs it, the outputs of a layer would be allocated before all parameters are
 * declared. */
static sw_tensor block_forward(sw_module *self, sw_tensor x) {
    return sw_forward(sw_module_child(self, 0), x);
}
static sw_status block_save(const sw_module *m, sw_description *to) {
    (void)m, (void)to;
    return SW_OK;
}
static sw_module *block_restore(sw_model *model, const sw_description *from) {
    int count;
    sw_module *const *layers = sw_description_layers(from, &count);
    return sw_nn_compose_with_options(model, "hostile_block", block_forward, count, layers,
                                      &SW_OPTIONS(sw_compose_options, .save = block_save));
}
static const sw_module_type block_type = {
    .size = sizeof(sw_module_type), .name = "hostile_block", .save = block_save, .restore = block_restore};

static void test_sizes_inside_composed_layers_are_limited_by_the_file(void **state) {
    (void)state;
    assert_ok(sw_module_type_register(&block_type));
    char text[PATH_SIZE + 300];
    for (int good = 0; good < 2; good++) {
        const char *path = file_with(
            good ? ROOT("{\"layers\":[" LINEAR("\"bias\":0,\"inputs\":3,\"outputs\":1") "],\"name\":\"c\",\"type\":"
                                                                                        "\"hostile_block\"}")
                 : ROOT("{\"layers\":[" LINEAR(
                       "\"bias\":0,\"inputs\":3,\"outputs\":2147483647") "],\"name\":\"c\","
                                                                         "\"type\":\"hostile_block\"}"));
        largest = 0;
        assert_null(sw_model_new_from_file(path));
        assert_true(largest < 1 << 20);
        snprintf(text, sizeof text, "%s: %s", path,
                 good ? "does not fit the parameters: c.a.weight is missing; x is not expected"
                      : "the network has more parameters than the file has numbers, 3; the first too many is "
                        "c.a.weight [2147483647,3]");
        expect_error(SW_ERR_FORMAT, text);
        remove_file(path);
    }
}

/* ---- Damage ---- */

static const char small[] = NETWORK(
    "[[2,3]]", "\"a.weight\":{\"frozen\":true,\"role\":\"weight\"}",
    CHAIN("{\"name\":\"f\",\"type\":\"flatten\"},"
          "{\"name\":\"d\",\"settings\":{\"p\":0.25},\"type\":\"dropout\"},"
          "{\"layers\":[{\"name\":\"a\",\"settings\":{\"bias\":1,\"inputs\":6,\"outputs\":6},\"type\":\"linear\"}],"
          "\"name\":\"r\",\"type\":\"residual\"},"
          "{\"name\":\"b\",\"settings\":{\"bias\":0,\"inputs\":6,\"outputs\":6},"
          "\"tied\":{\"weight\":{\"layer\":4,\"parameter\":\"weight\"}},\"type\":\"linear\"},"
          "{\"name\":\"x\",\"settings\":{\"axis\":-1},\"type\":\"log_softmax\"}"));

static const char convolutions[] =
    NETWORK("[[4,3,2]]", "",
            CHAIN(CONV_SETTINGS("0", "4", "[3,2]", "[2,1]", "[1,2]", "2",
                                "\"same\":0,") "\"conv\"},"
                                               "{\"name\":\"t\",\"settings\":{\"bias\":0,\"dilation\":[1,2],\"groups\":"
                                               "1,\"inputs\":4,\"kernel\":[2,2],"
                                               "\"output_padding\":[1,1],\"outputs\":3,\"padding\":[0,0],\"stride\":[2,"
                                               "2]},\"type\":\"conv_transposed\"}"));
static const char pools[] = NETWORK(
    "[[6,5,2]]", "",
    CHAIN(POOL_LAYER("a", "max_pool", POOL_SETTINGS("[2,3]", "[1,2]", "[1,0]", "\"dilation\":[2,1]")) "," POOL_LAYER(
        "b", "avg_pool",
        POOL_SETTINGS("[2,1]", "[2,1]", "[0,0]",
                      "\"exclude_padding\":1")) "," POOL_LAYER("c", "adaptive_max_pool",
                                                               "\"out\":[2,3]") "," POOL_LAYER("d", "global_avg_pool",
                                                                                               "")));
static const char norms[] = NETWORK(
    "[[2,4]]", "",
    CHAIN(BATCH_NORM(
        "4", "0.25", "0",
        "1") ",{\"name\":\"l\",\"settings\":{\"axes\":2,\"bias\":0,\"eps\":0,"
             "\"features\":4,\"weight\":1},\"type\":\"layer_norm\"},{\"name\":\"g\",\"settings\":{\"bias\":1,\"eps\":"
             "0.5,\"features\":0,\"groups\":2,\"weight\":0},\"type\":\"group_norm\"}"));
static const char *const networks[] = {small, convolutions, pools, norms};

/* A model, whose description makes an equal one, or a message. */
static bool try_text(const char *text) {
    sw_model *model = sw_model_new_from_description(text);
    const bool good = model != NULL;
    if (good != (sw_error() == NULL))
        fail_msg("%s for %s", good ? "an error and a model" : "no message", text);
    sw_clear_error();
    if (good) {
        char *own = sw_model_description(model), *again;
        assert_non_null(own);
        sw_model *second = sw_model_new_from_description(own);
        assert_non_null(second);
        again = sw_model_description(second);
        assert_string_equal(own, again);
        sw_free(own);
        sw_free(again);
        sw_model_free(second);
        sw_model_free(model);
    }
    return good;
}

static void damage_every_byte(const char *network, int *accepted, int *refused_count) {
    static const char others[] = "\"{}[],:0129-.ea\\ \x01\x80";
    const size_t length = strlen(network);
    char *text = malloc(length + 1);
    assert_non_null(text);
    assert_true(try_text(network));
    for (size_t i = 0; i < length; i++) {
        strcpy(text, network);
        text[i] = 0; /* truncated */
        assert_false(try_text(text));
        for (size_t k = 0; k < sizeof others - 1; k++) {
            if (others[k] == network[i])
                continue;
            strcpy(text, network);
            text[i] = others[k];
            if (try_text(text))
                ++*accepted;
            else
                ++*refused_count;
        }
    }
    free(text);
}

static void test_damage_at_every_byte_is_survived(void **state) {
    (void)state;
    for (int n = 0; n < 2; n++) {
        int accepted = 0, refused_count = 0;
        damage_every_byte(networks[n], &accepted, &refused_count);
        /* If names, the seed or numbers change, the text may still describe a network; most others are errors. */
        assert_true(accepted > 80 && refused_count > 5 * accepted);
    }
}

/* Pieces cut out, doubled, and moved. */
static void test_random_damage_is_survived(void **state) {
    (void)state;
    enum { SIZE = 4096, ROUNDS = 20000 };
    static char text[SIZE];
    uint64_t seed = 7;
    for (int round = 0; round < ROUNDS; round++) {
        strcpy(text, networks[round % 2]);
        for (uint64_t cuts = 1 + test_random(&seed) % 3; cuts > 0; cuts--) {
            const size_t length = strlen(text), from = test_random(&seed) % (length + 1),
                         most = length - from < 40 ? length - from : 40, piece = test_random(&seed) % (most + 1),
                         to = test_random(&seed) % (length + 1);
            char copy[41];
            memcpy(copy, text + from, piece);
            if (test_random(&seed) % 2) {
                memmove(text + from, text + from + piece, length - from - piece + 1);
            } else if (length + piece < SIZE) {
                memmove(text + to + piece, text + to, length - to + 1);
                memcpy(text + to, copy, piece);
            }
        }
        try_text(text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_every_mistake_has_a_message),
        TEST(test_older_error_is_kept),
        TEST(test_nesting_is_limited),
        TEST(test_number_of_layers_is_limited),
        TEST(test_sizes_are_limited_by_the_file),
        TEST(test_sizes_inside_composed_layers_are_limited_by_the_file),
        TEST(test_damage_at_every_byte_is_survived),
        TEST(test_random_damage_is_survived),
    };
    return cmocka_run_group_tests(tests, bound_memory, free_memory);
}
