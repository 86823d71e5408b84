/* Matrix products whose operands are stored in other types than the one that they are computed in. */
#include <swale/gemm.h>
#include <swale/memory.h>
#include <swale/status.h>
#include <swale/vector.h>

#include "core/base/element.h"

/* A matrix [rows, width] in the compute type: the operand itself, or a copy. */
typedef struct operand {
    void *data, *copy;
    int64_t ld;
} operand;

/* Converts rows between two matrices, at once where there are no gaps between them. */
static void product_convert(int64_t rows, int64_t width, sw_dtype from_type, const void *from, int64_t from_ld,
                            sw_dtype to_type, void *to, int64_t to_ld) {
    const size_t from_size = swi_size(from_type), to_size = swi_size(to_type);
    if (from_ld == width && to_ld == width) {
        sw_vector_convert(from_type, rows * width, from, to_type, to);
        return;
    }
    for (int64_t i = 0; i < rows; i++)
        sw_vector_convert(from_type, width, (const char *)from + (size_t)(i * from_ld) * from_size, to_type,
                          (char *)to + (size_t)(i * to_ld) * to_size);
}

static sw_status operand_init(operand *o, sw_dtype type, int64_t rows, int64_t width, const void *data, int64_t ld,
                              bool is_read) {
    const sw_dtype compute = sw_dtype_compute(type);
    *o = (operand){.data = (void *)(uintptr_t)data, .ld = ld};
    if (type == compute)
        return SW_OK;
    o->ld = width < 1 ? 1 : width;
    o->data = o->copy = sw_alloc_array_for(SW_ACCOUNT_TEMPORARIES, rows * o->ld, swi_size(compute));
    if (!o->copy)
        return SW_ERR_MEMORY;
    if (is_read && width > 0)
        product_convert(rows, width, type, data, ld, compute, o->copy, o->ld);
    return SW_OK;
}

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
    if (!p || p->size < sizeof *p)
        return sw_fail(SW_ERR_ARGUMENT, "product: %s", p ? "its size must be sizeof(sw_product)" : "it is NULL");
    SW_TRY(product_check(p));
    if (p->M == 0 || p->N == 0)
        return SW_OK;
    const sw_dtype compute = sw_dtype_compute(p->a_type);
    operand a = {0}, b = {0}, c = {0};
    sw_status status =
        operand_init(&a, p->a_type, p->a_transposed ? p->K : p->M, p->a_transposed ? p->M : p->K, p->A, p->lda, true);
    if (status == SW_OK)
        status = operand_init(&b, p->b_type, p->b_transposed ? p->N : p->K, p->b_transposed ? p->K : p->N, p->B, p->ldb,
                              true);
    if (status == SW_OK)
        status = operand_init(&c, p->c_type, p->M, p->N, p->C, p->ldc, p->beta != 0);
    if (status == SW_OK)
        status = sw_gemm(compute, p->a_transposed, p->b_transposed, p->M, p->N, p->K, p->alpha, a.data, a.ld, b.data,
                         b.ld, p->beta, c.data, c.ld);
    if (status == SW_OK && c.copy)
        product_convert(p->M, p->N, compute, c.data, c.ld, p->c_type, p->C, p->ldc);
    sw_free(a.copy);
    sw_free(b.copy);
    sw_free(c.copy);
    return status;
}
