/* Compressed sparse rows (CSR). */
#include <swale/csr.h>
#include <swale/status.h>

#include <math.h>

static sw_status csr_check_row(const sw_csr *m, int64_t row) {
    for (int64_t k = m->start[row]; k < m->start[row + 1]; k++) {
        const int64_t column = m->index[k];
        if (column < 0 || column >= m->columns)
            return sw_fail(SW_ERR_ARGUMENT, "csr: row %lld has a number in column %lld; the columns are 0 to %lld",
                           (long long)row, (long long)column, (long long)m->columns - 1);
        if (k > m->start[row] && column <= m->index[k - 1])
            return sw_fail(SW_ERR_ARGUMENT, "csr: row %lld has column %lld after column %lld; columns must increase",
                           (long long)row, (long long)column, (long long)m->index[k - 1]);
        if (!isfinite(sw_load_element(m->type, m->value, k)))
            return sw_fail(SW_ERR_ARGUMENT, "csr: row %lld, column %lld holds Inf or NaN", (long long)row,
                           (long long)column);
    }
    return SW_OK;
}

sw_status sw_csr_check(const sw_csr *m) {
    if (!m || !m->start || m->rows < 0 || m->columns < 0)
        return sw_fail(SW_ERR_ARGUMENT, "csr: rows, columns and start are needed");
    if (!sw_dtype_is_computed(m->type))
        return sw_fail(SW_ERR_TYPE, "csr: values are f32 or f64");
    if (m->start[0] != 0)
        return sw_fail(SW_ERR_ARGUMENT, "csr: start[0] is %lld; it must be 0", (long long)m->start[0]);
    for (int64_t row = 0; row < m->rows; row++)
        if (m->start[row + 1] < m->start[row])
            return sw_fail(SW_ERR_ARGUMENT, "csr: start[%lld] = %lld is less than start[%lld] = %lld",
                           (long long)row + 1, (long long)m->start[row + 1], (long long)row, (long long)m->start[row]);
    if (m->start[m->rows] > 0 && (!m->index || !m->value))
        return sw_fail(SW_ERR_ARGUMENT, "csr: index and value are needed");
    for (int64_t row = 0; row < m->rows; row++)
        SW_TRY(csr_check_row(m, row));
    return SW_OK;
}
