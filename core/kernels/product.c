/* Matrix products whose operands may have different storage types: checks, and the choice of the kernels. */
#include <swale/gemm.h>
#include <swale/status.h>

#include "core/base/dry_run_state.h"
#include "core/kernels/half_product.h"
#include "core/kernels/product_gemm.h"

static const size_t FIRST_SIZE = offsetof(sw_product, squares);

static sw_status product_check(const sw_product *p) {
    const sw_dtype types[] = {p->a_type, p->b_type, p->c_type};
    for (int i = 0; i < 3; i++) {
        if (!sw_dtype_is_float(types[i]))
            return sw_fail(SW_ERR_TYPE, "product: %c is %s; f32, f64, f16 or bf16 is needed", 'A' + i,
                           sw_dtype_name(types[i]));
        if (sw_dtype_compute(types[i]) != sw_dtype_compute(types[0]))
            return sw_fail(SW_ERR_TYPE, "product: A is %s and %c is %s; all three must be f64, or none",
                           sw_dtype_name(types[0]), 'A' + i, sw_dtype_name(types[i]));
    }
    return SW_OK;
}

sw_status sw_product_run(const sw_product *p) {
    if (!p || p->size < FIRST_SIZE)
        return sw_fail(SW_ERR_ARGUMENT, "product: %s", p ? "its size must be sizeof(sw_product)" : "it is NULL");
    SW_TRY(product_check(p));
    if (p->M == 0 || p->N == 0)
        return SW_OK;
    if (p->a_type == p->b_type && p->a_type == p->c_type && sw_dtype_is_computed(p->a_type))
        return swi_gemm(p->a_type, p->a_transposed, p->b_transposed, p->M, p->N, p->K, p->alpha, p->A, p->lda, p->B,
                        p->ldb, p->beta, p->C, p->ldc, p->size < sizeof *p ? NULL : p->squares);
    if (swi_dry_run())
        sw_dry_run_count_product(p->M, p->N, p->K);
    else
        swi_half_product(p);
    return SW_OK;
}
