/* Numbers along one or two axes, the settings of convolutions and pools: 1 axis for sequences, 2 for pictures. */
#ifndef SWALE_NN_PAIRS_H
#define SWALE_NN_PAIRS_H

#include <swale/description.h>

/* Appends ", NAME 2" or ", NAME 2x1" to a description, unless all numbers are `usual`. */
void swn_pair_describe(char *text, size_t bytes, const char *name, const int64_t *pair, int axes, int64_t usual);
/* Reads a setting that has a number, from `least` to 2^31 - 1, for each axis. axes 0: of one or two axes. Returns the
 * number of axes; 0 after an error. */
int swn_pair_restore(const sw_description *from, const char *key, int axes, int64_t least, int64_t *pair);

#endif
