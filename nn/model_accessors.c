/* The parts of a model that programs read: parameters, type, seed, root. */
#include "nn/model.h"

sw_params *sw_model_params(const sw_model *model) {
    return model && sw_params_built(model->params) ? model->params : NULL;
}

sw_dtype sw_model_type(const sw_model *model) {
    return model ? sw_params_type(model->params) : SW_F32;
}

uint64_t sw_model_seed(const sw_model *model) {
    return model ? sw_params_seed(model->params) : 0;
}

sw_module *sw_model_root(const sw_model *model) {
    return model ? model->root : NULL;
}
