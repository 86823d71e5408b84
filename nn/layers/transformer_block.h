/* What the layers of transformers share with one another and with the networks made of them. */
#ifndef SWALE_NN_TRANSFORMER_BLOCK_H
#define SWALE_NN_TRANSFORMER_BLOCK_H

#include <swale/nn.h>

/* attention.c: the name of a naming in descriptions, and the naming with the name that a description has. */
const char *swn_naming_text(sw_naming naming);
sw_status swn_restore_naming(const sw_description *from, sw_naming *naming);

#endif
