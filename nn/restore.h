/* Makes a network by its description. */
#ifndef SWALE_NN_RESTORE_H
#define SWALE_NN_RESTORE_H

#include <swale/nn.h>

/* The model, built. Refused if it has more than `most` parameters (negative: any number). NULL and an error. */
sw_model *swn_restore(const char *text, int64_t most);

#endif
