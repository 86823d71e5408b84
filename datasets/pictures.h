/* Pictures: PNG and JPEG files, and folders of them.
 *
 *     sw_source *animals = sw_image_folder("animals", &SW_OPTIONS(sw_image_folder_options, .height = 32, .width = 32));
 *
 * Channels are the last axis: a picture is [height, width, channels], with its channels in the order gray, alpha, or in
 * the order red, green, blue, alpha. Every message about a file is "path: reason".
 */
#ifndef SWALE_PICTURES_H
#define SWALE_PICTURES_H

#include <swale/source.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- One picture ---- */

/* Reads a PNG or JPEG file (its contents decide which) as u8 [height, width, channels]. channels: 1 for gray, 3 for
 * RGB, 0 for those of the file: 1 to 4, with alpha last. Conversion to 1 or 3 channels drops alpha; the gray value of
 * an RGB pixel is its luma (77 R + 150 G + 29 B)/256. Of 16-bit PNG the high byte is kept; of an animation, the first
 * picture. The orientation in EXIF data is ignored.
 *
 * Limits: a file of 256 MiB, 32,768 pixels per side, 2^26 pixels, and no more pixels than a file of its length can
 * hold. The CRC of every PNG chunk is checked. JPEG may be baseline or progressive, with at most 100 scans. An
 * incomplete file is an error. The caller frees the array by sw_array_free; after an error it is all zeros. */
SW_API sw_status sw_picture_load(const char *path, int channels, sw_array *out);

/* Resizes a picture, u8 [height, width, channels] or [height, width], to another size, 1 to 32,768 pixels per side,
 * with cubic filters: Catmull-Rom to enlarge, Mitchell to reduce. It does not keep the proportions. `out` as in
 * sw_picture_load. */
SW_API sw_status sw_picture_resize(const sw_array *picture, int64_t height, int64_t width, sw_array *out);
/* Makes a picture of one object on a uniform background as the pictures of Fashion-MNIST were made (Xiao, Rasul,
 * Vollgraf 2017): u8 [side, side], the object bright on a background of 0, centered, its longer side `side` pixels. The
 * input is gray or RGB, with or without alpha (as from sw_picture_load with channels 0), the object darker or brighter
 * than the background; transparent pixels are white. The background is the median of the outermost pixels. Rows and
 * columns at each side are removed if at most one pixel in 200 differs from the background by more than 5 %. An error
 * if nothing is left. `out` as in sw_picture_load. */
SW_API sw_status sw_picture_subject(const sw_array *picture, int64_t side, sw_array *out);

/* Writes a picture u8 [height, width] or [height, width, channels] as a PNG file with 8 bits per channel: 1 gray, 2
 * gray and alpha, 3 RGB, 4 RGBA. sw_picture_load with channels 0 reads the same picture, except that [height, width]
 * becomes [height, width, 1]. At most 32,768 pixels per side and 2^26 in all. Equal pictures give equal bytes. The file
 * is replaced as by sw_archive_save (archive.h); a device or a pipe is written to directly. Every message about the
 * file or the picture is "path: reason". */
SW_API sw_status sw_picture_save(const char *path, const sw_array *picture);

/* ---- Folders ---- */

/* Options of sw_image_folder. */
typedef struct sw_image_folder_options {
    size_t size; /* sizeof(sw_image_folder_options) */
    /* 1 to 4096 each: pictures of other sizes are resized, without keeping their proportions (as by sw_picture_resize).
     * Both 0: all pictures must have the size of the first one. */
    int64_t height, width;
    int channels;        /* 1 or 3; 0: 3 */
    bool flat;           /* x is one vector of height·width·channels numbers */
    double scale, shift; /* a number is byte·scale + shift; both 0: 1/255 and 0, so that numbers lie in [0, 1] */
} sw_image_folder_options;
/* Makes a source from a folder that contains one folder per class. The classes are ordered by the bytes of their names,
 * and so are the pictures of a class, files that end in .png, .jpg or .jpeg (upper or lower case): sample 0 is the
 * first picture of class 0. All pictures are read at once and kept as bytes. x of a sample is [height, width,
 * channels]. class_names are the names of the folders; the source owns them. Hidden files are ignored, and so are files
 * beside the class folders that do not have the name of a picture. options may be NULL.
 *
 * Errors, which name the file: a picture that is damaged or is not a picture; another file in the folder of a class;
 * pictures beside the class folders; a class without pictures; no classes; pictures of different sizes if no size is
 * given. */
SW_API sw_source *sw_image_folder(const char *path, const sw_image_folder_options *options);
/* Reads one picture file as a sample of a folder: an array in f32 or f64 of shape [height, width, channels], or a
 * vector if `flat`, with the numbers that sw_image_folder gives with the same options, bit for bit. Without a height
 * and a width the picture keeps its size. To predict the class of a picture with a network trained on a folder:
 *
 *     const sw_image_folder_options options = {.size = sizeof options, .height = 32, .width = 32};
 *     sw_array x, y = sw_array_new(SW_F32, SW_SHAPE(1, classes));
 *     sw_picture_sample("cat.png", &options, SW_F32, &x);
 *     const sw_array batch = sw_array_view(x.data, SW_F32, SW_SHAPE(1, 32, 32, 3));
 *     sw_predict(net, &batch, &y);
 *
 * `out` as in sw_picture_load. */
SW_API sw_status sw_picture_sample(const char *path, const sw_image_folder_options *options, sw_dtype type,
                                   sw_array *out);

#ifdef __cplusplus
}
#endif
#endif
