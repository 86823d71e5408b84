/* Sparse matrices in compressed rows. svmlight files are read into this format (tables.h). */
#ifndef SWALE_CSR_H
#define SWALE_CSR_H

#include <swale/array.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A matrix in compressed sparse rows (CSR). Row i holds value[k] in column index[k] for start[i] ≤ k < start[i+1], and
 * 0 in the other columns. The columns of a row increase. The struct does not own its arrays. */
typedef struct sw_csr {
    int64_t rows, columns;
    const int64_t *start; /* [rows + 1], start[0] = 0 */
    const int32_t *index; /* [start[rows]] */
    const void *value;    /* [start[rows]], of `type` */
    sw_dtype type;        /* SW_F32 or SW_F64 */
} sw_csr;

/* Checks that the members describe such a matrix with finite values. An error names the row and the column. */
SW_API sw_status sw_csr_check(const sw_csr *matrix);

#ifdef __cplusplus
}
#endif
#endif
