/* swale core: errors, arrays, tapes and tensors, operations, parameters, files, objectives, data sources.
 *
 * Conventions of every function here
 *   - A function that can fail returns sw_status, or a null pointer, or a null tensor. The reason
 *     is in sw_error(), which keeps the first message of this thread until sw_clear_error(): "Errors"
 *     below.
 *   - An operation on a null tensor does nothing and returns a null tensor, so that a program
 *     chains without checks and asks once.
 *   - Shapes are row-major and counted in elements; axis 0 is the batch where there is one.
 *   - The caller frees each object that it created, once. Every sw_X_free accepts NULL. A second free does
 *     nothing but report an error, unless the memory was reused meanwhile. Where thousands of objects were
 *     freed, an older one may not be recognized.
 *   - A tape belongs to one thread at a time; different tapes may run in different threads.
 */
#ifndef SWALE_CORE_H
#define SWALE_CORE_H

#include <swale/archive.h>
#include <swale/array.h>
#include <swale/error.h>
#include <swale/glm.h>
#include <swale/inspect.h>
#include <swale/library.h>
#include <swale/loss_mean.h>
#include <swale/memory.h>
#include <swale/objective.h>
#include <swale/ops.h>
#include <swale/params.h>
#include <swale/random.h>
#include <swale/sampler.h>
#include <swale/source.h>
#include <swale/tape.h>

#endif
