/* PNG and JPEG files, checked before they are decoded. */
#ifndef SWALE_DATASETS_PICTURE_CHECK_H
#define SWALE_DATASETS_PICTURE_CHECK_H

#include "datasets/pictures/picture.h"

/* After the file's first bytes said what it is. They set width, height and the palette's fields. */
sw_status swd_picture_check_png(swd_picture *p);
sw_status swd_picture_check_jpeg(swd_picture *p);

#endif
