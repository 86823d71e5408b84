/* Sizes of samples, and checks of sources. */
#ifndef SWALE_DATASETS_SAMPLE_SIZE_H
#define SWALE_DATASETS_SAMPLE_SIZE_H

#include <swale/source.h>

/* An error unless the source has samples and a gather function, and a sample has at most SW_MAX_RANK - 1 axes. */
sw_status swd_check_source(const char *who, const sw_source *source);
/* The hint that a message adds for a picture [1 to 4, 8 or more, 8 or more], which is almost certainly [channels,
 * height, width] and not [height, width, channels]; "" for other shapes. */
const char *swd_channels_first_hint(int rank, const int64_t *shape);
/* An error for samples of such a shape. */
sw_status swd_check_channels_last(const char *who, const sw_source *source);
/* An error if the samples are ids, which the caller would treat as numbers. */
sw_status swd_check_numbers(const char *who, const sw_source *source);
/* Copies the members of a source, with those of later versions if it has them. */
void swd_copy_source(sw_source *to, const sw_source *from);
int64_t swd_sample_count(const sw_source *source); /* the number of elements of x in one sample */
int64_t swd_sample_bytes(const sw_source *source, sw_dtype type);
int64_t swd_target_bytes(const sw_source *source, sw_dtype type); /* 0: no targets */

#endif
