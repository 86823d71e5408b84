/* Resizes pictures. */
#ifndef SWALE_DATASETS_RESIZE_H
#define SWALE_DATASETS_RESIZE_H

#include <swale/pictures.h>

enum { SWD_MOST_SIDE = 4096 }; /* of a resized picture */
/* Resizes u8 [h, w, 1 to 4 channels] to out, u8 [height, width, channels]. Messages begin with the path. */
sw_status swd_picture_resize(const char *path, const sw_array *in, int64_t height, int64_t width, unsigned char *out);
/* An error unless the picture is u8 [height, width] or [height, width, 1 to 4 channels] within the limits of
 * sw_picture_load. Messages begin with `what`. */
sw_status swd_picture_check_pixels(const char *what, const sw_array *picture);
sw_status swd_picture_check_side(const char *what, int64_t side);

#endif
