/* Matrix products whose operands may have different storage types: checks, and the choice of the kernels. */
#include <swale/copy.h>
#include <swale/gemm.h>
#include <swale/status.h>

#include "core/base/dry_run_state.h"
#include "core/kernels/half_product.h"
#include "core/kernels/large_product.h"
#include "core/kernels/product_gemm.h"
#include "core/kernels/small_product.h"

#include <string.h>

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
    if (p->rounded_to != SW_F32 && (!sw_dtype_is_16_bit(p->rounded_to) || p->a_type == SW_F64))
        return sw_fail(SW_ERR_TYPE,
                       "product: operands in %s cannot be rounded to %s; rounded_to is for f32 operands, and "
                       "must be f16, bf16, or f32 for none",
                       sw_dtype_name(p->a_type), sw_dtype_name(p->rounded_to));
    return SW_OK;
}

/* A product that is computed by sw_gemm. */
static bool product_is_plain(const sw_product *p) {
    return p->a_type == p->b_type && p->a_type == p->c_type && sw_dtype_is_computed(p->a_type) &&
           p->rounded_to == SW_F32;
}

static sw_status product_check_symmetric(const sw_product *p) {
    if (p->M != p->N)
        return sw_fail(SW_ERR_SHAPE, "product: a symmetric result of %lld rows and %lld columns; M and N must be equal",
                       (long long)p->M, (long long)p->N);
    if (p->bias)
        return sw_fail(SW_ERR_ARGUMENT, "product: a symmetric result and a bias; the sum would not be symmetric");
    if (product_is_plain(p))
        return sw_fail(SW_ERR_ARGUMENT,
                       "product: symmetric with all operands in %s; it needs operands in 16 bits or "
                       "rounded_to (sw_symmetric_product computes A Aᵀ in f32 and f64)",
                       sw_dtype_name(p->a_type));
    return SW_OK;
}

/* For C in f16 or bf16: copies the bias to each row, so that the product adds it before it rounds. */
static void product_run_with_bias_first(const sw_product *p) {
    const sw_box box = {.axes = 2, .length = {p->M, p->N}, .stride = {{0, 1}, {p->ldc, 1}}};
    sw_product sum = *p;
    sum.bias = NULL;
    sum.beta = 1;
    sw_box_copy(sw_dtype_size(p->c_type), box, p->bias, p->C);
    swi_half_product(&sum);
}

static sw_status product_run(const sw_product *p) {
    if (p->bias && p->beta != 0)
        return sw_fail(SW_ERR_ARGUMENT, "product: a bias and beta = %g; beta must be 0 with a bias", p->beta);
    if (p->symmetric)
        SW_TRY(product_check_symmetric(p));
    if (product_is_plain(p))
        return swi_gemm(p);
    SW_TRY(product_check(p));
    if (p->M == 0 || p->N == 0)
        return SW_OK;
    if (swi_dry_run()) {
        sw_dry_run_count_product(p->M, p->N, p->K);
        return SW_OK;
    }
    if (p->bias && sw_dtype_is_16_bit(p->c_type))
        product_run_with_bias_first(p);
    else
        swi_half_product(p);
    if (p->bias && p->c_type == SW_F32)
        swi_add_bias(SW_F32, p->M, p->N, p->bias, p->C, p->ldc);
    return SW_OK;
}

sw_status sw_product_run(const sw_product *p) {
    if (!p || p->size < FIRST_SIZE)
        return sw_fail(SW_ERR_ARGUMENT, "product: %s", p ? "its size must be sizeof(sw_product)" : "it is NULL");
    if (p->size >= sizeof *p)
        return product_run(p);
    sw_product all = {0}; /* of a program that does not know the last members */
    memcpy(&all, p, p->size);
    return product_run(&all);
}

size_t sw_product_scratch(const sw_product *p) {
    const bool f32 = p->a_type == SW_F32 && p->b_type == SW_F32 && p->c_type == SW_F32;
    return f32 && p->rounded_to == SW_F32 && swi_large_product_fits(p) ? swi_large_product_scratch(p) : 0;
}
