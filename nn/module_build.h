/* The steps of sw_module_build before and after the layer's build function. */
#ifndef SWALE_NN_MODULE_BUILD_H
#define SWALE_NN_MODULE_BUILD_H

#include <swale/module.h>

/* module.c: an error if the layer does not take so many inputs. */
sw_status swn_check_inputs(const sw_module *module, int count);
/* module_name.c: gives the layer its final name. */
sw_status swn_settle_name(sw_module *module);
/* module_freeze.c: records which parameters the build froze, and freezes the others if the program asked for it. */
sw_status swn_settle_frozen(sw_module *module);
/* module_params.c: an error if the parameters declared so far and one of this shape have more than model->most_params
 * elements in total. */
sw_status swn_check_size(const sw_model *model, const char *name, int rank, const int64_t *shape);
/* module_name.c: the name of a built layer in its name space: "linear1" of block1.linear1. */
const char *swn_local_name(const sw_module *module);

#endif
