/* A sum tree: sets one of n weights, or draws an index with a probability proportional to its weight, in O(log n). */
#ifndef SWALE_ESTIMATORS_SUM_TREE_H
#define SWALE_ESTIMATORS_SUM_TREE_H

#include <stdint.h>

/* The number of elements of a tree over n ≥ 1 weights, which must initially be 0. Node i has the children 2i and 2i +
 * 1. Node 1 is the root, and contains the sum. The weights are the leaves. */
int64_t swo_sum_tree_count(int64_t n);
void swo_sum_tree_set(double *tree, int64_t n, int64_t i, double weight); /* weight ≥ 0 */
double swo_sum_tree_get(const double *tree, int64_t n, int64_t i);
double swo_sum_tree_sum(const double *tree);
/* Returns i with probability weight_i/sum, for u uniform in [0, 1). The sum must be above 0. */
int64_t swo_sum_tree_draw(const double *tree, int64_t n, double u);

#endif
