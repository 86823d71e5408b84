/* GPT-2 (A. Radford et al., Language models are unsupervised multitask learners, 2019). */
#include <swale/extend.h>
#include <swale/nn.h>

#include <math.h>
#include <string.h>

/* The layers around the blocks: embedding, positions, dropout; norm, head. */
enum { STEM_LAYERS = 3, HEAD_LAYERS = 2, MOST_BLOCKS = 1 << 12 };

/* The standard deviation of the initial weights (section 2.3 of the paper: as in GPT, 0.02; those that add to the
 * residual connections are divided by the square root of their number). */
static const double gpt_deviation = 0.02;

static sw_module *gpt_block(sw_model *model, const sw_gpt_options *o, int index) {
    char name[40];
    sw_format(name, sizeof name, "transformer.h.%d", index);
    const sw_transformer_block_options options = SW_OPTIONS(
        sw_transformer_block_options, .hidden = o->hidden, .activation = o->activation ? o->activation : "gelu_tanh",
        .dropout = o->dropout, .causal = true, .no_bias = o->no_bias, .naming = SW_NAMES_GPT2);
    sw_module *block = sw_nn_transformer_block_with_options(model, o->width, o->heads, &options);
    const sw_init normal = sw_init_normal(0, gpt_deviation),
                  residual = sw_init_normal(0, gpt_deviation / sqrt(2 * (double)o->layers));
    for (int i = 0; block && i < block->children; i++) {
        sw_module *layer = block->child[i];
        if (strcmp(layer->name, "attn") == 0) {
            sw_module_set_param_init(layer, "c_attn.weight", normal);
            sw_module_set_param_init(layer, "c_proj.weight", residual);
        } else if (strcmp(layer->name, "mlp.c_fc") == 0) {
            sw_module_set_init(layer, normal);
        } else if (strcmp(layer->name, "mlp.c_proj") == 0) {
            sw_module_set_init(layer, residual);
        }
    }
    return sw_module_set_name(block, name);
}

/* Writes the blocks to the list, each `recompute` of them as a segment, and returns the number of layers. */
static int gpt_blocks(sw_model *model, const sw_gpt_options *o, sw_module **list) {
    const int each = o->recompute > 0 ? o->recompute : 1;
    int count = 0;
    for (int i = 0; i < o->layers; i += each) {
        const int blocks = o->layers - i < each ? o->layers - i : each;
        for (int k = 0; k < blocks; k++)
            list[count + k] = gpt_block(model, o, i + k);
        if (o->recompute > 0)
            list[count] =
                sw_nn_recompute(model, blocks > 1 ? sw_nn_sequential_array(model, blocks, list + count) : list[count]);
        count++;
    }
    return count;
}

static sw_status gpt_check(const sw_gpt_options *o) {
    if (o->vocabulary < 1 || o->vocabulary > INT32_MAX)
        return sw_fail(SW_ERR_ARGUMENT, "gpt: a vocabulary of %lld; 1 to 2^31 - 1 is needed", (long long)o->vocabulary);
    if (o->length < 1 || o->length > INT32_MAX)
        return sw_fail(SW_ERR_ARGUMENT, "gpt: a length of %lld; 1 to 2^31 - 1 is needed", (long long)o->length);
    if (o->layers < 1 || o->layers > MOST_BLOCKS)
        return sw_fail(SW_ERR_ARGUMENT, "gpt: %d layers; 1 to %d are needed", o->layers, MOST_BLOCKS);
    if (o->heads < 1 || o->width < 1 || o->width % o->heads != 0)
        return sw_fail(SW_ERR_ARGUMENT, "gpt: width %lld and %d heads; a multiple of the heads is needed",
                       (long long)o->width, o->heads);
    if (!(o->dropout >= 0 && o->dropout < 1))
        return sw_fail(SW_ERR_ARGUMENT, "gpt: dropout %g is outside [0, 1)", o->dropout);
    return o->recompute >= 0 ? SW_OK
                             : sw_fail(SW_ERR_ARGUMENT, "gpt: recompute %d; 0 (none) or more is needed", o->recompute);
}

static sw_module *gpt_embedding(sw_model *model, const sw_gpt_options *o) {
    sw_module *layer = sw_nn_embedding(model, o->vocabulary, o->width);
    return sw_module_set_name(sw_module_set_init(layer, sw_init_normal(0, gpt_deviation)), "transformer.wte");
}

static sw_module *gpt_position(sw_model *model, const sw_gpt_options *o) {
    sw_module *layer = sw_nn_position(model, o->length, o->width);
    return sw_module_set_name(sw_module_set_init(layer, sw_init_normal(0, gpt_deviation)), "transformer.wpe");
}

static sw_module *gpt_head(sw_model *model, const sw_gpt_options *o, sw_module *embedding) {
    sw_module *layer = sw_nn_linear_no_bias(model, o->width, o->vocabulary);
    layer = o->untied ? sw_module_set_init(layer, sw_init_normal(0, gpt_deviation)) : sw_module_tie(layer, embedding);
    return sw_module_set_name(layer, "lm_head");
}

sw_module *sw_nn_gpt(sw_model *model, const sw_gpt_options *options) {
    sw_gpt_options o = {.size = sizeof o};
    if (!options) {
        sw_fail(SW_ERR_ARGUMENT, "gpt: the options are NULL; a vocabulary, a length, layers, heads and a width are "
                                 "needed");
        return sw_module_fail(model);
    }
    if (sw_options_copy("gpt", "sw_gpt_options", &o, sizeof o, options, sizeof o) != SW_OK || gpt_check(&o) != SW_OK)
        return sw_module_fail(model);
    sw_module **list = sw_alloc_array(STEM_LAYERS + o.layers + HEAD_LAYERS, sizeof *list);
    if (!list)
        return sw_module_fail(model);
    int count = 0;
    sw_module *embedding = gpt_embedding(model, &o);
    list[count++] = embedding;
    list[count++] = gpt_position(model, &o);
    if (o.dropout > 0)
        list[count++] = sw_nn_dropout(model, o.dropout);
    count += gpt_blocks(model, &o, list + count);
    list[count++] = sw_module_set_name(
        sw_nn_layer_norm_with_options(model, o.width, &SW_OPTIONS(sw_norm_options, .no_bias = o.no_bias)),
        "transformer.ln_f");
    list[count++] = gpt_head(model, &o, embedding);
    sw_module *root = sw_nn_sequential_array(model, count, list);
    sw_free(list);
    return root;
}
