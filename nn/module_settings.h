/* Settings that a program makes before the build of a layer: initial values and ties of its parameters. */
#ifndef SWALE_NN_MODULE_SETTINGS_H
#define SWALE_NN_MODULE_SETTINGS_H

#include <swale/module.h>

struct sw_module_setting { /* the settings of one parameter */
    char *suffix, *other_suffix;
    sw_init init;     /* fill NULL: not set */
    sw_module *other; /* NULL: not tied */
    bool used;
    sw_module_setting *next;
};

/* The setting for the parameter NAME.suffix; NULL: none. */
sw_module_setting *swn_find_setting(const sw_module *module, const char *suffix);
void swn_free_settings(sw_module *module);
/* After the build: an error if there is a setting for a parameter that the layer does not have. */
sw_status swn_check_settings_used(const sw_module *module);

#endif
