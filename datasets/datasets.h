/* swale datasets: readers of files, generated samples, transforms, and loaders. It depends only on core.
 *
 *     sw_source *train = sw_fashion_mnist(NULL, SW_TRAINING);
 *     sw_loader *loader = sw_loader_new(train, 64, NULL);
 *     sw_batch batch;
 *     while (sw_loader_next(loader, tape, &batch)) {
 *         ... a training step on batch.x and batch.y ...
 *         sw_tape_reset(tape);
 *     }
 *     sw_loader_free(loader);
 *     sw_source_free(train);
 *
 * Every reader checks the data that it reads; sw_error() names the file and the reason of an error. Readers accept
 * regular files: a pipe or a device is refused at once, and /dev/stdin can be read if it is redirected from a file.
 * Pictures are kept in memory as they are stored, one byte for each pixel and channel, and are scaled when they are
 * gathered.
 */
#ifndef SWALE_DATASETS_H
#define SWALE_DATASETS_H

#include <swale/generators.h>
#include <swale/loader.h>
#include <swale/mnist.h>
#include <swale/pictures.h>
#include <swale/sequences.h>
#include <swale/tables.h>
#include <swale/tokenizer.h>
#include <swale/transforms.h>

#endif
