/* Parameters as tensors whose axes are merged, and their division into blocks: see tensor_blocks.c. */
#ifndef SWALE_RULES_TENSOR_BLOCKS_H
#define SWALE_RULES_TENSOR_BLOCKS_H

#include <swale/params.h>

/* A parameter as a tensor [length[0], …, length[order - 1]], order ≥ 1. Each mode consists of one or more consecutive
 * axes of the parameter. An axis has a length and a stride in memory, in elements. The axes of mode k begin with
 * axis[first[k]] and end before axis[first[k + 1]]. */
typedef struct swo_modes {
    int order;
    int64_t length[SW_MAX_RANK];
    int first[SW_MAX_RANK + 1];
    int64_t axis[SW_MAX_RANK], stride[SW_MAX_RANK];
    int64_t block;     /* modes are divided into parts of this length; the last part may be shorter */
    int64_t most_full; /* a mode of a block has a factor [d,d] up to this length d, and above it a diagonal [d] */
} swo_modes;

/* A block of the tensor: indices from begin[k] to begin[k] + length[k] - 1 along mode k. */
typedef struct swo_block {
    int order;
    int64_t index;
    int64_t begin[SW_MAX_RANK], length[SW_MAX_RANK];
    int64_t count;          /* elements */
    int64_t at;             /* the number of elements of all blocks before it */
    int64_t factor_at;      /* the number of elements of the factors of all blocks before it */
    bool full[SW_MAX_RANK]; /* the factor of mode k is [d,d], not a diagonal [d] */
    bool whole;             /* the block is the whole parameter, in its order in memory */
} swo_block;

/* The parameter as a vector (rank 0 or 1), or as the matrix [shape[0], product of the others]. block INT64_MAX: it is
 * one block. */
swo_modes swo_modes_of_matrix(const sw_param *param, int64_t block, int64_t most_full);
/* The parameter in the order of PyTorch's files ([out,in,kh,kw] for convolutions), without axes of length 1. merge > 0:
 * consecutive axes are merged from the left as long as their product is at most `merge`. */
swo_modes swo_modes_of_file_order(const sw_param *param, int64_t merge, int64_t block);

/* The number of blocks; 0 for a parameter without elements. Blocks are counted row by row: the last mode first. */
int64_t swo_block_count(const swo_modes *modes);
swo_block swo_block_at(const swo_modes *modes, int64_t index);
/* The elements of the factors of one block, and of all blocks. Factors of a block are stored one after the other. */
int64_t swo_block_factor_count(const swo_block *block);
int64_t swo_factor_count(const swo_modes *modes);

/* Copies a block from a vector in the parameter's order in memory to `out` [length[0], …], and back. `table` has room
 * for swo_block_table(block) numbers. */
int64_t swo_block_table(const swo_block *block);
void swo_block_gather(sw_dtype type, const swo_modes *modes, const swo_block *block, const void *from, void *out,
                      int64_t *table);
void swo_block_scatter(sw_dtype type, const swo_modes *modes, const swo_block *block, const void *from, void *to,
                       int64_t *table);

#endif
