/* A cotangent that a vjp passes on to several inputs: its memory becomes the gradient of one of them. Every combination
 * of three inputs, which may be one tensor, must give the sums that the contributions give in their order. */
#include "support.h"

#include <swale/op.h>

enum { INPUTS = 3, TENSORS = 3, LENGTH = 2 };

/* What the vjp does for an input: passes the cotangent on if the factor is 0, else returns its product with the
 * factor. */
typedef struct plan {
    float factor[INPUTS];
} plan;

static sw_status spread_shape(sw_call *call) {
    return sw_call_set_shape_like(call, 0);
}

static sw_status spread_forward(sw_call *call) {
    for (int64_t j = 0; j < call->out->count; j++) {
        float sum = 0;
        for (int i = 0; i < call->inputs; i++)
            sum += ((const float *)call->in[i]->data)[j];
        ((float *)call->out->data)[j] = sum;
    }
    return SW_OK;
}

static sw_status spread_vjp(sw_call *call) {
    const plan *p = call->attributes;
    for (int i = 0; i < call->inputs; i++) {
        if (p->factor[i] == 0) {
            sw_call_pass_grad(call, i);
            continue;
        }
        if (!sw_call_wants_grad(call, i))
            continue;
        float *to = sw_call_grad(call, i);
        if (!to)
            return SW_ERR_MEMORY;
        for (int64_t j = 0; j < call->out->count; j++)
            to[j] = p->factor[i] * ((const float *)call->cotangent)[j];
    }
    return SW_OK;
}

static const sw_op spread_op = {
    .size = sizeof(sw_op), .name = "spread", .shape = spread_shape, .forward = spread_forward, .vjp = spread_vjp};

static const float factors[] = {0, 1e7f, -0.3f}, cotangent[LENGTH] = {0.1f, -3};

typedef struct gradient_sum {
    bool some;
    float value[LENGTH];
} gradient_sum;

static void sum_add(gradient_sum *s, float factor) {
    for (int j = 0; j < LENGTH; j++) {
        const float more = factor == 0 ? cotangent[j] : factor * cotangent[j];
        s->value[j] = s->some ? s->value[j] + more : more;
    }
    s->some = true;
}

/* The order of the engine: the vjp stores the first product for a tensor without a gradient; the other contributions
 * are added in the order of the inputs. */
static void expect_sums(const plan *p, const int tensor[INPUTS], gradient_sum sum[TENSORS]) {
    bool stored[INPUTS] = {false};
    for (int i = 0; i < INPUTS; i++)
        if (p->factor[i] != 0 && !sum[tensor[i]].some) {
            sum_add(&sum[tensor[i]], p->factor[i]);
            stored[i] = true;
        }
    for (int i = 0; i < INPUTS; i++)
        if (!stored[i])
            sum_add(&sum[tensor[i]], p->factor[i]);
}

/* An earlier contribution to tensor 0 comes from an operation that is recorded later. */
static void check_case(sw_tape *tape, const plan *p, const int tensor[INPUTS], bool earlier, bool retained) {
    const float x[TENSORS][LENGTH] = {{1, 2}, {3, 4}, {5, 6}};
    sw_tensor leaf[TENSORS], in[INPUTS];
    gradient_sum sum[TENSORS] = {{false}};
    for (int i = 0; i < TENSORS; i++) /* tensor 2 needs no gradient */
        leaf[i] = i == 2 ? sw_input(tape, sw_array_view(x[i], SW_F32, SW_SHAPE(LENGTH)))
                         : sw_variable(tape, sw_array_view(x[i], SW_F32, SW_SHAPE(LENGTH)));
    for (int i = 0; i < INPUTS; i++)
        in[i] = leaf[tensor[i]];
    sw_tensor y = sw_apply(&spread_op, p, sizeof *p, INPUTS, in);
    if (retained)
        y = sw_retain_grad(y);
    sw_tensor z = earlier ? sw_add(y, sw_scale(leaf[0], 700)) : y;
    if (earlier)
        sum_add(&sum[0], 700);
    expect_sums(p, tensor, sum);
    const sw_status status = sw_backward_from(z, sw_array_view(cotangent, SW_F32, SW_SHAPE(LENGTH)));
    const bool needed = earlier || tensor[0] != 2 || tensor[1] != 2 || tensor[2] != 2;
    assert_int_equal(status, needed ? SW_OK : SW_ERR_STATE);
    sw_clear_error();
    for (int i = 0; needed && i < 2; i++) {
        const float *g = sw_grad(leaf[i]).data;
        for (int j = 0; j < LENGTH && sum[i].some; j++)
            assert_true(g[j] == sum[i].value[j]);
    }
    if (retained && needed && (tensor[0] != 2 || tensor[1] != 2 || tensor[2] != 2))
        assert_memory_equal(sw_grad(y).data, cotangent, sizeof cotangent);
    sw_tape_reset(tape);
}

static void test_passed_gradients_are_added_in_order(void **state) {
    (void)state;
    sw_tape *tape = sw_tape_new();
    enum { CHOICES = 3, ALL = CHOICES * CHOICES * CHOICES };
    for (int f = 0; f < ALL; f++)
        for (int t = 0; t < ALL; t++)
            for (int variant = 0; variant < 4; variant++) {
                const plan p = {{factors[f % 3], factors[f / 3 % 3], factors[f / 9]}};
                const int tensor[INPUTS] = {t % 3, t / 3 % 3, t / 9};
                check_case(tape, &p, tensor, variant & 1, variant & 2);
            }
    sw_tape_free(tape);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_passed_gradients_are_added_in_order)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
