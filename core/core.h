/* swale core: errors, arrays, tapes and tensors, operations, parameters, files, objectives, and data sources. Include
 * this header to use all of them.
 *
 * Conventions of every function:
 *   - A function that can fail returns sw_status, a NULL pointer or a null tensor. sw_error() returns the reason: the
 *     first message of this thread since the last sw_clear_error() (error.h).
 *   - An operation on a null tensor does nothing and returns a null tensor, so that a program can chain operations
 *     without checks and check sw_error() once.
 *   - Shapes are row-major and counted in elements; axis 0 is the batch if there is one.
 *   - The caller frees each object that it created, once. Every sw_X_free accepts NULL. A second free does nothing but
 *     report an error, unless the memory was reused in between. After thousands of freed objects, an older one may not
 *     be recognized.
 *   - Only one thread at a time may use a tape; different threads may use different tapes.
 */
#ifndef SWALE_CORE_H
#define SWALE_CORE_H

#include <swale/archive.h>
#include <swale/array.h>
#include <swale/attention.h>
#include <swale/conv.h>
#include <swale/dry_run.h>
#include <swale/error.h>
#include <swale/glm.h>
#include <swale/gradient_tree.h>
#include <swale/inspect.h>
#include <swale/library.h>
#include <swale/loss_mean.h>
#include <swale/memory.h>
#include <swale/normalization.h>
#include <swale/objective.h>
#include <swale/ops.h>
#include <swale/params.h>
#include <swale/pool.h>
#include <swale/random.h>
#include <swale/recurrent.h>
#include <swale/sampler.h>
#include <swale/source.h>
#include <swale/state.h>
#include <swale/tape.h>

#endif
