/* Each node is the rounded sum of its two children, so that the tree depends only on its leaves and not
 * on the order of their changes. Rounding errors therefore do not accumulate. */
#include "optim/estimators/sum_tree.h"

/* The number of leaves, a power of two. */
static int64_t sum_tree_leaves(int64_t n) {
    int64_t leaves = 1;
    while (leaves < n)
        leaves *= 2;
    return leaves;
}

int64_t swo_sum_tree_count(int64_t n) {
    return 2 * sum_tree_leaves(n);
}

void swo_sum_tree_set(double *tree, int64_t n, int64_t i, double weight) {
    int64_t node = sum_tree_leaves(n) + i;
    tree[node] = weight;
    for (node /= 2; node >= 1; node /= 2)
        tree[node] = tree[2 * node] + tree[2 * node + 1];
}

double swo_sum_tree_get(const double *tree, int64_t n, int64_t i) {
    return tree[sum_tree_leaves(n) + i];
}

double swo_sum_tree_sum(const double *tree) {
    return tree[1];
}

int64_t swo_sum_tree_draw(const double *tree, int64_t n, double u) {
    const int64_t leaves = sum_tree_leaves(n);
    int64_t node = 1;
    for (u *= tree[1]; node < leaves;) {
        node *= 2;
        /* Because of rounding, u may exceed the left sum; a subtree of weight 0 must not be chosen even then. */
        if (tree[node + 1] > 0 && (u >= tree[node] || tree[node] == 0)) {
            u -= tree[node];
            node++;
        }
    }
    return node - leaves;
}
