/* swale datasets: readers and loaders. Built on core alone.
 *
 * Every reader checks what it reads and names file and reason in sw_error(). It reads regular files: a pipe or a
 * device is refused at once, and /dev/stdin is read if it is redirected from a file. Pictures stay as they
 * are stored, one byte a pixel, and are normalized as they are gathered.
 */
#ifndef SWALE_DATASETS_H
#define SWALE_DATASETS_H

#include <swale/generators.h>
#include <swale/loader.h>
#include <swale/mnist.h>
#include <swale/pictures.h>
#include <swale/tables.h>
#include <swale/transforms.h>

#endif
