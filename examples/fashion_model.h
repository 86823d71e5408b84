/* The network of fashion_mnist: --model, its sizes, and the file of --load, which has them too.
 *
 * Included once, by fashion_mnist.c, whose settings `asked` it reads and completes. */

enum { MAX_LAYERS = 16 };

/* ---- The multilayer perceptron ---- */

/* Parses "100,50" as layer sizes; a mistake ends the program with 2. */
static int parse_hidden(int64_t units[MAX_LAYERS]) {
    int count = 0;
    const char *at = asked.hidden ? asked.hidden : "100";
    if (strcmp(at, "0") == 0)
        return 0;
    for (;;) {
        char *end;
        long long n = strtoll(at, &end, 10);
        if (end == at || n < 1 || n > 1000000 || (*end && *end != ',') || count == MAX_LAYERS)
            cli_fail(2, "--hidden %s: a list of at most %d layer sizes is needed, for example 100,50", asked.hidden,
                     MAX_LAYERS);
        units[count++] = n;
        if (!*end)
            return count;
        at = end + 1;
    }
}

/* Reads the hidden layers from a file: the numbers of rows of linear1.weight, linear2.weight, … except for the last
 * one. If the file does not fit in another way, loading it reports the error. */
static int hidden_of_file(const sw_archive *file, int64_t units[MAX_LAYERS]) {
    char name[32];
    int layers = 0;
    for (;; layers++) {
        snprintf(name, sizeof name, "linear%d.weight", layers + 1);
        if (!sw_archive_has(file, name) || layers > MAX_LAYERS)
            break;
        sw_array weight = sw_archive_get(file, name);
        if (layers < MAX_LAYERS)
            units[layers] = weight.rank == 2 && weight.shape[0] > 0 ? weight.shape[0] : 1;
    }
    return layers > 1 ? layers - 1 : 0;
}

/* Replaces missing options by their defaults, which run.json then records. */
static void name_hidden(int layers, const int64_t units[MAX_LAYERS]) {
    static char text[MAX_LAYERS * 24];
    size_t length = (size_t)snprintf(text, sizeof text, "%s", layers ? "" : "0");
    for (int i = 0; i < layers; i++)
        length += (size_t)snprintf(text + length, sizeof text - length, "%s%lld", i ? "," : "", (long long)units[i]);
    asked.hidden = text;
}

static sw_module *model_mlp(sw_model *model, const sw_archive *file) {
    int64_t units[MAX_LAYERS], inputs = 784;
    sw_module *module[3 * MAX_LAYERS + 1];
    int layers = file && !asked.hidden ? hidden_of_file(file, units) : parse_hidden(units), count = 0;
    name_hidden(layers, units);
    for (int i = 0; i < layers; i++) {
        module[count++] = sw_nn_linear(model, inputs, units[i]);
        module[count++] = sw_nn_relu(model);
        if (asked.dropout > 0)
            module[count++] = sw_nn_dropout(model, asked.dropout);
        inputs = units[i];
    }
    module[count++] = sw_nn_linear(model, inputs, 10);
    return sw_nn_sequential_array(model, count, module);
}

/* ---- Convolutional networks ---- */

static sw_module *model_lenet(sw_model *model, const sw_archive *file) {
    (void)file;
    return sw_nn_lenet(model, 10);
}

/* Completes --depth and --width: the blocks of a file are layer1.0, layer1.1, … */
static void model_read_resnet(const sw_archive *file) {
    char name[48] = "";
    int64_t blocks = 0;
    const bool has_width = file && sw_archive_has(file, "bn1.bias");
    const sw_array bias = has_width ? sw_archive_get(file, "bn1.bias") : (sw_array){0};
    do
        snprintf(name, sizeof name, "layer1.%lld.conv1.weight", (long long)blocks);
    while (file && blocks < 200 && sw_archive_has(file, name) && ++blocks);
    if (asked.depth == 0)
        asked.depth = blocks > 0 ? 6 * blocks + 2 : 8;
    if (asked.width == 0)
        asked.width = bias.rank == 1 && bias.shape[0] > 0 ? bias.shape[0] : 16;
}

static sw_module *model_resnet(sw_model *model, const sw_archive *file) {
    model_read_resnet(file);
    return sw_nn_resnet(model, (int)asked.depth, asked.width, 10);
}

/* ---- All ---- */

static const struct {
    const char *name;
    sw_module *(*make)(sw_model *model, const sw_archive *file);
    const char *parameter; /* that no other network has */
    bool pictures;         /* the samples are pictures [28,28,1], not vectors of 784 numbers */
} models[] = {
    {"mlp", model_mlp, "linear1.weight", false},
    {"lenet", model_lenet, "fc2.weight", true},
    {"resnet", model_resnet, "layer1.0.conv1.weight", true},
};
enum { MODELS = sizeof models / sizeof *models };

/* The index of --model, or of the network whose parameters the file has; without both that of mlp. A mistake ends the
 * program with 2. */
static int model_find(const sw_archive *file) {
    int i = 0;
    if (!asked.model)
        while (file && i < MODELS && !sw_archive_has(file, models[i].parameter))
            i++;
    else
        while (i < MODELS && strcmp(asked.model, models[i].name) != 0)
            i++;
    if (i == MODELS && asked.model)
        cli_fail(2, "--model %s: mlp, lenet or resnet is needed", asked.model);
    return i < MODELS ? i : 0;
}

/* Ends the program with 2 if an option belongs to another network. With --load the file may decide which one. */
static void model_check_options(void) {
    const int i = model_find(NULL);
    const bool known = asked.model || !asked.load, mlp = i == 0, resnet = i == 2;
    if (known && !mlp && (asked.hidden || asked.dropout > 0))
        cli_fail(2, "%s is for --model mlp, not for %s", asked.hidden ? "--hidden" : "--dropout", asked.model);
    if (known && !resnet && (asked.depth || asked.width))
        cli_fail(2, "%s needs --model resnet", asked.depth ? "--depth" : "--width");
    if (asked.depth && asked.depth % 6 != 2)
        cli_fail(2, "--depth %lld: 6n + 2 is needed: 8, 14, 20, and so on", (long long)asked.depth);
}

/* Whether the samples of the network are pictures [28,28,1]; else they are vectors of 784 numbers. */
static bool model_takes_pictures(const sw_model *model) {
    return sw_model_root(model)->in.rank == 3;
}

/* Builds the network, with the weights of --load if it is given; NULL after an error. Replaces missing options by what
 * is used, which run.json then records. */
static sw_model *model_make(void) {
    const sw_dtype type = training_type("--dtype", training.dtype, 4, "f32, f16, bf16 or f64");
    sw_archive *file = asked.load ? sw_archive_load(asked.load) : NULL;
    if (asked.load && !file)
        return NULL;
    const int i = model_find(file);
    asked.model = models[i].name;
    sw_model *model = sw_model_new(type, (uint64_t)cli.seed);
    if (models[i].pictures)
        sw_model_set_input_shape(model, SW_SHAPE(28, 28, 1));
    else
        sw_model_set_input_shape(model, SW_SHAPE(784));
    const bool good = sw_model_build(model, models[i].make(model, file)) &&
                      (!file || sw_params_unpack(sw_model_params(model), file, NULL) == SW_OK);
    sw_archive_free(file);
    if (good)
        return model;
    sw_model_free(model);
    return NULL;
}
