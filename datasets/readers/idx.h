/* IDX files: sw_idx_load is public. */
#ifndef SWALE_DATASETS_IDX_H
#define SWALE_DATASETS_IDX_H

#include <swale/mnist.h>

/* Writes the header of the IDX file that would hold `array`: magic number and dimensions. Returns its length. */
enum { SWD_IDX_HEADER = 4 + 4 * SW_MAX_RANK };
size_t swd_idx_header(const sw_array *array, unsigned char header[SWD_IDX_HEADER]);

#endif
