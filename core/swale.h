/* swale: tape autodiff, layers and optimizers as interchangeable parts. Everything a program needs;
 * extend.h and kernel.h are for writing operations, layers, rules and estimators of one's own. */
#ifndef SWALE_H
#define SWALE_H
#include "core.h"
#include "datasets.h"
#include "nn.h"
#include "optim.h"
#endif
