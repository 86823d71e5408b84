/* The settings of one layer while its type writes or reads them. */
#ifndef SWALE_NN_DESCRIPTION_SETTINGS_H
#define SWALE_NN_DESCRIPTION_SETTINGS_H

#include <swale/description.h>

#include <jansson.h>

struct sw_description {
    json_t *settings;   /* an object */
    json_t *read;       /* an object with the keys that restore has read; NULL while a layer is saved */
    const char *type;   /* the name of the type */
    sw_module **layers; /* the inner layers, restored */
    int count;
};

/* A text as JSON; NULL and an error if it is not UTF-8, or if there is not enough memory. */
json_t *swn_json_text(const char *text);

#endif
