/* Planes whose origin o and directions u and v are trained. With w = v - (q/p) u, p = u·u, q = u·v, r = |w|, a point is
 *
 *     x = o + a u + b (√p/r) w
 *
 * From the sums O = Σ s ∇f(x), U = Σ s a ∇f(x) and V = Σ s b ∇f(x), where s is the slope of the pattern over the number
 * of points, the gradients follow by the chain rule: with n = w/r, k = n·V and H = (√p/r) (V - k n), which is ∂F/∂w,
 *
 *     ∂F/∂o = O,   ∂F/∂v = H - (u·H/p) u,   ∂F/∂u = U + (k/√p) u - (q/p) H - (u·H/p) v + (2 q u·H/p²) u */
#include "optim/landscapes/vectors.h"

#include <swale/memory.h>
#include <swale/plane.h>
#include <swale/random.h>
#include <swale/status.h>
#include <swale/vector.h>

#include <math.h>
#include <string.h>

struct sw_plane {
    const sw_objective *f;
    sw_plane_options options;
    double *a; /* [2, points]: a, then b */
    uint64_t key;
    sw_dtype type;
    int64_t dim, trained; /* elements of a vector of f->params; those that are not buffers */
    void *origin;         /* o at creation: its buffers belong to each point */
    sw_params *params;
    sw_objective objective;
    /* For evaluations: */
    sw_tape *tape;
    sw_gradient *view;
    void *x, *g;  /* a point, and the gradient there */
    void *across; /* (√p/r) w */
    int64_t *ids; /* [batch] */
};

/* The geometry of u and v. */
typedef struct plane_shape {
    double p, q, r;
} plane_shape;

/* Vector k, o, u or v, of the plane's parameters or of their gradient. */
static void *plane_vector(const sw_plane *c, const void *x, int k) {
    return (char *)(uintptr_t)x + (size_t)(k * c->trained) * sw_dtype_size(c->type);
}

/* across ← (√p/r) w. The projection is repeated, because the first one leaves a rounding error of |v|. */
static bool plane_shape_of(const sw_plane *c, const void *x, plane_shape *s) {
    const void *u = plane_vector(c, x, 1), *v = plane_vector(c, x, 2);
    const double least = c->type == SW_F64 ? 1e-12 : 1e-5;
    *s = (plane_shape){.p = sw_vector_dot(c->type, c->trained, u, u), .q = sw_vector_dot(c->type, c->trained, u, v)};
    if (!(s->p > 0) || isinf(s->p) || !isfinite(s->q))
        return false;
    sw_vector_axpby(c->type, c->trained, 1, v, -s->q / s->p, u, c->across);
    const double rest = sw_vector_dot(c->type, c->trained, u, c->across);
    sw_vector_axpby(c->type, c->trained, 1, c->across, -rest / s->p, u, c->across);
    s->r = sqrt(sw_vector_dot(c->type, c->trained, c->across, c->across));
    if (!(s->r > least * fabs(s->q) / sqrt(s->p)) || isinf(s->r))
        return false;
    sw_vector_axpby(c->type, c->trained, sqrt(s->p) / s->r, c->across, 0, NULL, c->across);
    return true;
}

static sw_status plane_fail(sw_status status) {
    return sw_fail(status, "plane: u is 0, v is a multiple of u, or one of them is not finite");
}

/* ---- The objective ---- */

static void plane_draw_batch(sw_plane *c, uint64_t draw) {
    sw_rng rng = {.key = c->key, .position = draw * 4 * (uint64_t)c->options.batch};
    for (int64_t i = 0; i < c->options.batch; i++)
        c->ids[i] = (int64_t)sw_rng_below(&rng, (uint64_t)c->f->n);
}

/* Computes the loss at a point and, if `gradient`, its gradient, in c->g. */
static sw_status plane_evaluate(sw_plane *c, const void *x, int64_t point, uint64_t draw, bool gradient, double *loss) {
    const int64_t *ids = c->ids, count = ids ? c->options.batch : c->f->n, chunk = c->options.chunk;
    sw_vector_axpby(c->type, c->trained, 1, plane_vector(c, x, 0), c->a[point], plane_vector(c, x, 1), c->x);
    sw_vector_axpby(c->type, c->trained, 1, c->x, c->a[c->options.points + point], c->across, c->x);
    if (!gradient)
        return sw_objective_value_chunked(c->f, c->tape, c->x, ids, count, chunk, draw, loss);
    sw_gradient_set_data(c->view, c->g);
    SW_TRY(sw_objective_gradient_chunked(c->f, c->tape, c->x, ids, count, chunk, draw, loss, c->view));
    sw_gradient_data(c->view); /* divides the sum over the chunks by its weight */
    return SW_OK;
}

/* Turns the sums U and V in g into the gradients by u and v. */
static void plane_chain_rule(sw_plane *c, const void *x, const plane_shape *s, void *g) {
    const void *u = plane_vector(c, x, 1), *v = plane_vector(c, x, 2);
    void *U = plane_vector(c, g, 1), *V = plane_vector(c, g, 2);
    const double length = sqrt(s->p), k = sw_vector_dot(c->type, c->trained, c->across, V) / length;
    sw_vector_axpby(c->type, c->trained, length / s->r, V, -k / s->r, c->across, V); /* H */
    const double along = sw_vector_dot(c->type, c->trained, u, V) / s->p;            /* u·H/p */
    sw_vector_axpby(c->type, c->trained, 1, U, k / length + 2 * s->q * along / s->p, u, U);
    sw_vector_axpby(c->type, c->trained, 1, U, -s->q / s->p, V, U);
    sw_vector_axpby(c->type, c->trained, 1, U, -along, v, U);
    sw_vector_axpby(c->type, c->trained, 1, V, -along, u, V);
}

static sw_status plane_gradient(void *user, const void *x, const int64_t *points, int64_t count, uint64_t draw,
                                double *value, void *g) {
    sw_plane *c = user;
    plane_shape shape;
    *value = 0;
    if (!plane_shape_of(c, x, &shape))
        return plane_fail(SW_ERR_NONFINITE);
    if (c->ids)
        plane_draw_batch(c, draw);
    if (g)
        sw_vector_fill(c->type, 3 * c->trained, 0, g);
    for (int64_t i = 0; i < count; i++) {
        const double factor[3] = {1, c->a[points[i]], c->a[c->options.points + points[i]]};
        double loss = NAN, slope = 1;
        SW_TRY(plane_evaluate(c, x, points[i], draw, g != NULL, &loss));
        *value +=
            (c->options.pattern ? c->options.pattern(c->options.user, points[i], loss, &slope) : loss) / (double)count;
        for (int k = 0; g && slope != 0 && k < 3; k++) {
            void *sum = plane_vector(c, g, k);
            sw_vector_axpby(c->type, c->trained, 1, sum, factor[k] * slope / (double)count, c->g, sum);
        }
    }
    if (g)
        plane_chain_rule(c, x, &shape, g);
    return SW_OK;
}

sw_params *sw_plane_params(const sw_plane *c) {
    return c ? c->params : NULL;
}

const sw_objective *sw_plane_objective(const sw_plane *c) {
    return c ? &c->objective : NULL;
}

sw_status sw_plane_axes(sw_plane *c, const void *x, void *o, void *u, void *v) {
    plane_shape shape;
    if (!c)
        return sw_fail(SW_ERR_ARGUMENT, "plane_axes: the plane is NULL");
    const size_t size = sw_dtype_size(c->type), bytes = (size_t)c->trained * size,
                 buffers = (size_t)(c->dim - c->trained) * size;
    x = x ? x : sw_params_x(c->params);
    if (!plane_shape_of(c, x, &shape))
        return plane_fail(SW_ERR_NONFINITE);
    const void *from[3] = {plane_vector(c, x, 0), plane_vector(c, x, 1), c->across};
    void *to[3] = {o, u, v};
    for (int k = 0; k < 3; k++)
        if (to[k]) {
            memcpy(to[k], from[k], bytes);
            memset((char *)to[k] + bytes, 0, buffers);
        }
    if (o)
        memcpy((char *)o + bytes, (char *)c->origin + bytes, buffers);
    return SW_OK;
}

/* ---- Creation ---- */

static sw_status plane_check(const sw_objective *f, const void *const vector[3], const sw_plane_options *given,
                             sw_plane_options *o) {
    static const char *const name[3] = {"o", "u", "v"};
    SW_TRY(sw_objective_check(f));
    for (int k = 0; k < 3; k++)
        if (!vector[k])
            return sw_fail(SW_ERR_ARGUMENT, "plane: %s is NULL", name[k]);
    if (given)
        SW_TRY(sw_options_copy("plane", "sw_plane_options", o, sizeof *o, given, sizeof *o));
    if (f->n < 1)
        return sw_fail(SW_ERR_ARGUMENT, "plane: the objective has %lld samples; at least 1 is needed", (long long)f->n);
    if (o->points < 1 || !o->a || !o->b)
        return sw_fail(SW_ERR_ARGUMENT, "plane: %lld points%s; at least 1 is needed, with the coordinates a and b",
                       (long long)o->points, o->a && o->b ? "" : " without coordinates");
    for (int64_t i = 0; i < o->points; i++)
        if (!isfinite(o->a[i]) || !isfinite(o->b[i]))
            return sw_fail(SW_ERR_ARGUMENT, "plane: point %lld is (%g, %g); finite coordinates are needed",
                           (long long)i, o->a[i], o->b[i]);
    if (o->batch < 0 || o->chunk < 0)
        return sw_fail(SW_ERR_ARGUMENT, "plane: batch = %lld, chunk = %lld; neither may be negative",
                       (long long)o->batch, (long long)o->chunk);
    return SW_OK;
}

static sw_status plane_allocate(sw_plane *c) {
    const int64_t points = c->options.points;
    c->origin = swo_vectors_copy(c->f->params, NULL);
    c->x = swo_vectors_copy(c->f->params, NULL);
    c->g = swo_vectors_copy(c->f->params, NULL);
    c->across = swo_vectors_copy(c->f->params, NULL);
    c->a = points <= INT64_MAX / 2 ? sw_alloc_array(2 * points, sizeof *c->a) : NULL;
    c->ids = c->options.batch > 0 ? sw_alloc_array(c->options.batch, sizeof *c->ids) : NULL;
    c->tape = sw_tape_new();
    c->view = sw_gradient_view(c->f->params);
    c->params = sw_params_new(c->type, 0);
    if (!c->origin || !c->x || !c->g || !c->across || !c->a || (c->options.batch > 0 && !c->ids) || !c->tape ||
        !c->view || !c->params)
        return sw_last_failure();
    SW_TRY(swo_vectors_add(c->params, c->f->params, "o"));
    SW_TRY(swo_vectors_add(c->params, c->f->params, "u"));
    SW_TRY(swo_vectors_add(c->params, c->f->params, "v"));
    return sw_params_build(c->params);
}

/* Directions of frozen parameters are 0. */
static void plane_set_zeros(sw_plane *c) {
    for (int i = 0; i < sw_params_count(c->f->params); i++) {
        const sw_param *p = sw_params_at(c->f->params, i);
        const size_t size = sw_dtype_size(c->type);
        for (int k = 1; k < 3 && p->frozen && !p->buffer; k++)
            memset((char *)plane_vector(c, sw_params_x(c->params), k) + (size_t)p->offset * size, 0,
                   (size_t)p->count * size);
    }
}

static sw_status plane_start(sw_plane *c, const void *const vector[3]) {
    const size_t size = sw_dtype_size(c->type), points = (size_t)c->options.points * sizeof *c->a;
    plane_shape shape;
    SW_TRY(plane_allocate(c));
    memcpy(c->a, c->options.a, points);
    memcpy(c->a + c->options.points, c->options.b, points);
    c->options.a = c->options.b = NULL; /* of the caller */
    memcpy(c->origin, vector[0], (size_t)c->dim * size);
    memcpy(c->x, vector[0], (size_t)c->dim * size);
    for (int k = 0; k < 3; k++)
        memcpy(plane_vector(c, sw_params_x(c->params), k), vector[k], (size_t)c->trained * size);
    plane_set_zeros(c);
    sw_params_mark_changed(c->params);
    sw_tape_set_switch(c->tape, SW_UPDATE_BUFFERS, false);
    c->objective = (sw_objective){.size = sizeof c->objective,
                                  .n = c->options.points,
                                  .params = c->params,
                                  .user = c,
                                  .gradient = plane_gradient};
    return plane_shape_of(c, sw_params_x(c->params), &shape) ? SW_OK : plane_fail(SW_ERR_ARGUMENT);
}

sw_plane *sw_plane_new(const sw_objective *f, const void *o, const void *u, const void *v,
                       const sw_plane_options *options) {
    sw_plane_options read = {.size = sizeof read};
    const void *const vector[3] = {o, u, v};
    sw_plane *c = plane_check(f, vector, options, &read) == SW_OK ? sw_alloc(sizeof *c) : NULL;
    if (!c)
        return NULL;
    c->f = f;
    c->options = read;
    c->key = sw_rng_key(read.seed, "plane");
    c->type = sw_params_type(f->params);
    c->dim = sw_params_dim(f->params);
    c->trained = c->dim - sw_params_buffer_dim(f->params);
    if (plane_start(c, vector) != SW_OK) {
        sw_plane_free(c);
        return NULL;
    }
    return c;
}

void sw_plane_free(sw_plane *c) {
    if (!c || !sw_may_free(c, "plane"))
        return;
    sw_tape_free(c->tape);
    sw_gradient_free(c->view);
    sw_params_free(c->params);
    sw_free(c->origin), sw_free(c->x), sw_free(c->g), sw_free(c->across), sw_free(c->a), sw_free(c->ids);
    sw_free(c);
}
