/* Elementwise losses: the kernels and the loops over elements and rows that they share (loss_run.c). The losses are in
 * loss.c. */
#ifndef SWALE_OPS_LOSS_RUN_H
#define SWALE_OPS_LOSS_RUN_H

#include <swale/op.h>
#include <swale/ops.h>
#include <swale/parallel.h>

/* The arguments of a kernel. */
typedef struct swi_loss_args {
    const void *p, *t;
    const void *positive; /* for the kernels that read it: a number for each element */
    void *out;            /* forward: the losses, or NULL if only their sum is needed; vjp: the gradient */
    const void *dy;       /* vjp: a cotangent for each element, or NULL: `factor` for all elements */
    double factor, delta;
} swi_loss_args;

/* The kernels of a loss: its values, or their sum; its derivatives by the prediction and by the target. */
typedef struct swi_loss_kernels {
    const sw_kernels *value, *by_prediction, *by_target;
} swi_loss_kernels;

typedef struct swi_loss_attributes {
    sw_reduction reduction;
    bool rows;         /* a loss of rows: one number for each row along the last axis */
    bool weighted;     /* input 2 has weights of the elements */
    bool positive;     /* the last input has the argument `positive` */
    bool over_weights; /* a weighted mean is divided by the sum of the weights, not by the number of elements */
    double delta;
} swi_loss_attributes;

/* The functions of an operation with a prediction and a target. */
sw_status swi_loss_shape(sw_call *call);
sw_status swi_loss_forward(sw_call *call, const swi_loss_kernels *kernels);
sw_status swi_loss_vjp(sw_call *call, const swi_loss_kernels *kernels);
/* The same for attributes with `weighted`, `positive` or both. The weights are multiplied into blocks of losses or
 * derivatives, so that a loss needs no other kernels for them. They get no gradient. The inputs are f32 or f64. */
sw_status swi_loss_weighted_forward(sw_call *call, const swi_loss_kernels *kernels);
sw_status swi_loss_weighted_vjp(sw_call *call, const swi_loss_kernels *kernels);

/* Weights as an input of an operation: in the shape of the prediction, without gradient. A null tensor and an error if
 * they do not broadcast to it; `what` names them. */
sw_tensor swi_loss_weights(const char *who, const char *what, sw_tensor weights, sw_tensor prediction);

#endif
