/* The spec of the loss scale: "dynamic interval=500", "1024" or "none". */
#include "optim/loss_scale_spec.h"
#include "optim/loss_scale.h"
#include "optim/optimizer.h"
#include "optim/spec.h"

#include <math.h>
#include <string.h>

typedef struct scale_options {
    double initial, interval, least;
} scale_options;

const sw_option swo_loss_scale_options[] = {{.name = "initial",
                                             .value = 65536,
                                             .low = SWO_LEAST_SCALE,
                                             .high = SWO_MOST_SCALE,
                                             .help = "the first scale, a power of 2"},
                                            {.name = "interval",
                                             .kind = SW_OPTION_INTEGER,
                                             .value = 2000,
                                             .low = 1,
                                             .high = 1e9,
                                             .help = "clean steps in a row after which the scale is doubled"},
                                            {.name = "least",
                                             .value = 1,
                                             .low = SWO_LEAST_SCALE,
                                             .high = SWO_MOST_SCALE,
                                             .help = "the smallest scale, a power of 2"},
                                            {0}};
SW_MATCH_OPTIONS(scale_options, swo_loss_scale_options);

static sw_status scale_check(const char *name, double scale) {
    if (swo_loss_scale_fits(scale, 0))
        return SW_OK;
    return sw_fail(SW_ERR_ARGUMENT, "loss_scale%s%s = %.10g; a power of 2 from 2^-24 to 2^24 is needed",
                   *name ? ": " : "", name, scale);
}

static sw_status scale_parse_dynamic(sw_optim *o, const char *text) {
    swo_values values;
    SW_TRY(swo_spec_parse("loss scale", "dynamic", swo_loss_scale_options, NULL, text, &values));
    const scale_options *options = SW_OPTIONS_AS(values.value, scale_options);
    SW_TRY(scale_check("initial", options->initial));
    SW_TRY(scale_check("least", options->least));
    if (options->initial < options->least)
        return sw_fail(SW_ERR_ARGUMENT, "loss_scale: initial = %g is below least = %g", options->initial,
                       options->least);
    o->loss_scale = (swo_loss_scale){
        .dynamic = true, .initial = options->initial, .least = options->least, .interval = (int64_t)options->interval};
    return SW_OK;
}

sw_status swo_loss_scale_parse(sw_optim *o, const char *spec) {
    char word[64], *end = word;
    if (!spec)
        spec = sw_params_storage(o->params) == SW_F16 ? "dynamic" : "none";
    const char *rest = swo_spec_word(spec, word);
    if (strcmp(word, "dynamic") == 0)
        return scale_parse_dynamic(o, rest);
    const bool none = strcmp(word, "none") == 0;
    const double scale = none ? 1 : sw_parse_number(word, &end);
    if (!none && (end == word || *end || isnan(scale)))
        return sw_fail(SW_ERR_ARGUMENT, "loss_scale: %s; dynamic, none or a power of 2 is needed%s", spec,
                       sw_suggest(word, 2, (const char *const[]){"dynamic", "none"}));
    if (rest[strspn(rest, " \t\n")])
        return sw_fail(SW_ERR_ARGUMENT, "loss_scale: %s; only dynamic has options", spec);
    SW_TRY(scale_check("", scale));
    o->loss_scale = (swo_loss_scale){.initial = scale};
    return SW_OK;
}
