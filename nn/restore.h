/* Makes a network from its description. */
#ifndef SWALE_NN_RESTORE_H
#define SWALE_NN_RESTORE_H

#include <swale/nn.h>

/* Makes and builds the model. It is refused if its parameters have more than `most` elements (negative: any number).
 * NULL after an error. */
sw_model *swn_restore(const char *text, int64_t most);

#endif
