/* swale: tape autodiff, layers and optimizers as interchangeable parts. Everything that a program needs. extend.h and
 * kernel.h are for custom operations, layers, rules and estimators. */
#ifndef SWALE_H
#define SWALE_H

#include <swale/core.h>
#include <swale/datasets.h>
#include <swale/nn.h>
#include <swale/optim.h>

#endif
