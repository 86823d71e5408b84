/* Checks PNG and JPEG files before they are decoded. */
#ifndef SWALE_DATASETS_PICTURE_CHECK_H
#define SWALE_DATASETS_PICTURE_CHECK_H

#include "datasets/pictures/picture.h"

/* Check a file of this format, and set width, height, and the members about the palette. The caller has checked the
 * first bytes. */
sw_status swd_picture_check_png(swd_picture *p);
sw_status swd_picture_check_jpeg(swd_picture *p);

#endif
