/* swale: reverse-mode automatic differentiation, layers, and optimizers that are combined from interchangeable parts.
 * This header includes everything that a program needs. To write custom operations, layers, rules or estimators,
 * include extend.h and kernel.h as well. */
#ifndef SWALE_H
#define SWALE_H

#include <swale/core.h>
#include <swale/datasets.h>
#include <swale/nn.h>
#include <swale/optim.h>

#endif
