/* Pictures: PNG and JPEG files, folders of them. */
#ifndef SWALE_PICTURES_H
#define SWALE_PICTURES_H

#include <swale/source.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A PNG or JPEG file (its contents say which) as u8 [height, width, channels]. channels: 1 gray, 3 RGB
 * (alpha is dropped, gray from RGB is luma (77 R + 150 G + 29 B)/256), 0 what is there: 1 to 4, with alpha
 * last. 16-bit PNG keeps the high byte; of an animation the first picture; EXIF's orientation is not
 * followed. Limits: a file of 256 MiB, 32,768 pixels a side, 2^26 pixels, and no more pixels than a
 * file of its length could hold. PNG: every chunk's CRC is checked. JPEG: baseline and progressive, at
 * most 100 scans. A file that ends too soon is an error. Every message is "path: reason". The array is
 * freed by sw_array_free; after a failure it is all zeros. */
SW_API sw_status sw_picture_load(const char *path, int channels, sw_array *out);

/* A picture, u8 [height, width, channels] or [height, width], in another size, 1 to 32,768 pixels a side:
 * cubic, Catmull-Rom up, Mitchell down; proportions are the caller's. `out` as above. */
SW_API sw_status sw_picture_resize(const sw_array *picture, int64_t height, int64_t width, sw_array *out);
/* The one thing on an even background, as the pictures of Fashion-MNIST were made (Xiao, Rasul, Vollgraf
 * 2017): u8 [side, side], the thing light on 0, its longer side `side` pixels, in the middle. The picture
 * is gray or RGB, with or without alpha (sw_picture_load's, channels 0), the thing dark on light or light
 * on dark; what is transparent is white. The background is the median of the outermost pixels; what is
 * within 5 % of it, but for one pixel in 200, is trimmed from each side. An error if nothing is left. `out`
 * as above. */
SW_API sw_status sw_picture_subject(const sw_array *picture, int64_t side, sw_array *out);

/* u8 [height, width] or [height, width, channels] as a PNG file of 8 bits a channel: 1 gray, 2 gray and
 * alpha, 3 RGB, 4 RGBA; what sw_picture_load with channels 0 reads again, but for [height, width], which
 * comes back as [height, width, 1]. At most 32,768 pixels a side and 2^26 in all. Equal pictures give
 * equal bytes. The file is replaced whole, as by sw_archive_save; a device or a pipe is written to as it is.
 * Every message about the file or the picture is "path: reason". */
SW_API sw_status sw_picture_save(const char *path, const sw_array *picture);

/* A folder with one folder per class, in order of their names' bytes, each with pictures that end in
 * .png, .jpg or .jpeg (in any case), in order of their names' bytes: sample 0 is the first of class 0.
 * All are read at once and kept as bytes, [channels, height, width] a sample; x has that shape. Hidden
 * files, and files beside the classes that are not pictures by name, are passed over. Errors, which name
 * the file: one that is not a picture or is damaged; in a class's folder, anything else than pictures;
 * pictures beside the classes; a class without pictures; no classes; pictures of several sizes, if no size
 * is given. */
typedef struct sw_image_folder_options {
    size_t size; /* sizeof(sw_image_folder_options) */
    /* 1 to 4096 each: pictures of other sizes are resized, without keeping their proportions (cubic:
     * Catmull-Rom up, Mitchell down). Both 0: all have the first one's size, else an error. */
    int64_t height, width;
    int channels;        /* 1 or 3; 0: 3 */
    bool flat;           /* x is one vector of channels·height·width */
    double scale, shift; /* as in sw_images_options */
} sw_image_folder_options;
/* options may be NULL. class_names are the folders' names; the source's. */
SW_API sw_source *sw_image_folder(const char *path, const sw_image_folder_options *options);

#ifdef __cplusplus
}
#endif
#endif
