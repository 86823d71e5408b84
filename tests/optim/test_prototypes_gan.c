/* Two models trained against each other, each with a separate optimizer: I. Goodfellow et al., Generative adversarial
 * nets, NeurIPS 2014, with the non-saturating loss. Once by hand (forward, backward, step), and once as two objectives;
 * and a skipped step of either model. */
#include "prototypes.h"

enum { NOISE = 2, UNITS = 4, BATCH = 4, LARGE = 96, LARGE_UNITS = 208 };

typedef struct player {
    sw_params *params;
    sw_model *model;
    sw_module *root;
    sw_optim *optim;
    sw_objective objective;
} player;

/* A round: the discriminator's turn, then the generator's. */
typedef struct game {
    sw_dtype type;
    int64_t width; /* of noise and of samples */
    player generator, discriminator;
    sw_tape *tape;
    int round;
    int64_t turn, poison_at; /* turns so far; the one whose loss is NaN, 0: none */
} game;

static void seat(game *of, player *p, int64_t units, int64_t outputs, uint64_t seed, const double *x0,
                 const char *rule) {
    p->model = sw_model_new(of->type, seed);
    p->root = sw_nn_sequential(p->model, sw_nn_linear(p->model, of->width, units),
                               sw_module_new(p->model, &tanh_type, 0), sw_nn_linear(p->model, units, outputs), NULL);
    p->params = sw_model_build(p->model, p->root);
    assert_non_null(p->params);
    if (of->width == NOISE)
        set_x(p->params, x0);
    p->optim =
        sw_optim_new_with_options(p->params, &(sw_optim_options){.size = sizeof(sw_optim_options),
                                                                 .rule = rule,
                                                                 .seed = SEED,
                                                                 .estimator = "minibatch batch=4 order=sequential"});
    if (!p->optim)
        fail_msg("%s", sw_error());
}

/* [BATCH, width] of the round, from the golden numbers or made up. */
static sw_tensor rows_of(const game *of, sw_tape *tape, const double *golden, uint64_t site) {
    sw_tensor t = sw_empty(tape, of->type, SW_SHAPE(BATCH, of->width));
    sw_rng rng = {.key = site * 1000 + (uint64_t)of->round};
    for (int64_t i = 0; i < BATCH * of->width; i++)
        vec_set(of->type, sw_value(t).data, i, of->width == NOISE ? golden[i] : sw_rng_normal(&rng));
    return t;
}

/* Labels that are all alike. */
static sw_tensor labels(const game *of, sw_tape *tape, double value) {
    sw_tensor t = sw_empty(tape, of->type, SW_SHAPE(BATCH, 1));
    for (int64_t i = 0; i < BATCH; i++)
        vec_set(of->type, sw_value(t).data, i, value);
    return t;
}

static sw_tensor maybe_nan(game *of, sw_tensor loss) {
    return ++of->turn == of->poison_at ? sw_scale(loss, (double)NAN) : loss;
}

/* bce(D(real), 1) + bce(D(G(noise)), 0), no gradient to G. */
static sw_tensor discriminator_loss(void *user, sw_tape *tape, const int64_t *ids, int64_t count) {
    game *of = user;
    (void)ids, (void)count;
    sw_tensor noise = rows_of(of, tape, latent[2 * of->round], 1);
    sw_tensor fake = sw_detach(sw_forward(of->generator.root, noise));
    sw_tensor on_real = sw_forward(of->discriminator.root, rows_of(of, tape, real[of->round], 2));
    sw_tensor on_fake = sw_forward(of->discriminator.root, fake);
    return maybe_nan(
        of, sw_add(sw_bce_with_logits(on_real, labels(of, tape, 1)), sw_bce_with_logits(on_fake, labels(of, tape, 0))));
}

/* bce(D(G(noise)), 1), D as it is. */
static sw_tensor generator_loss(void *user, sw_tape *tape, const int64_t *ids, int64_t count) {
    game *of = user;
    (void)ids, (void)count;
    if (sw_tape_freeze(tape, of->discriminator.params, true) != SW_OK)
        return (sw_tensor){0};
    sw_tensor noise = rows_of(of, tape, latent[2 * of->round + 1], 3);
    sw_tensor fake = sw_forward(of->generator.root, noise);
    return maybe_nan(of, sw_bce_with_logits(sw_forward(of->discriminator.root, fake), labels(of, tape, 1)));
}

static game *game_new(sw_dtype type, bool large) {
    game *g = calloc(1, sizeof *g);
    assert_non_null(g);
    g->type = type;
    g->width = large ? LARGE : NOISE;
    const int64_t units = large ? LARGE_UNITS : UNITS;
    seat(g, &g->generator, units, g->width, 1, generator_x0, "adam lr=0.03 beta1=0.5");
    seat(g, &g->discriminator, units, 1, 2, discriminator_x0, "adam lr=0.05");
    g->generator.objective = (sw_objective){
        .size = sizeof(sw_objective), .n = BATCH, .user = g, .params = g->generator.params, .loss = generator_loss};
    g->discriminator.objective = (sw_objective){.size = sizeof(sw_objective),
                                                .n = BATCH,
                                                .user = g,
                                                .params = g->discriminator.params,
                                                .loss = discriminator_loss};
    g->tape = sw_tape_new();
    return g;
}

static void game_free(game *g) {
    sw_optim_free(g->generator.optim);
    sw_optim_free(g->discriminator.optim);
    sw_model_free(g->generator.model);
    sw_model_free(g->discriminator.model);
    sw_tape_free(g->tape);
    free(g);
}

/* ---- One turn, by hand or as an objective ---- */

static sw_status turn_by_hand(game *g, player *p) {
    sw_tape_reset(g->tape);
    sw_status status = sw_tape_freeze(g->tape, g->discriminator.params, false);
    if (status == SW_OK)
        status = sw_backward(p->objective.loss(g, g->tape, NULL, BATCH));
    return status == SW_OK ? sw_optim_step(p->optim) : status;
}

static sw_status turn_as_objective(game *g, player *p) {
    (void)g;
    return sw_optim_minimize(p->optim, &p->objective, NULL);
}

typedef sw_status turn_of(game *g, player *p);

static const claim of_adam = {.slots = (const char *const[]){"m", "v", NULL}};

/* One turn again and again until it is not skipped. Nobody may have moved meanwhile. */
static void take_turn(game *g, player *p, player *other, turn_of *turn) {
    for (;;) {
        bytes mine = fingerprint(&of_adam, p->optim, p->params);
        bytes theirs = fingerprint(&of_adam, other->optim, other->params);
        sw_status status = turn(g, p);
        bytes theirs_after = fingerprint(&of_adam, other->optim, other->params);
        assert_same_bytes("the other model", &theirs, &theirs_after);
        if (status == SW_SKIPPED) {
            bytes mine_after = fingerprint(&of_adam, p->optim, p->params);
            assert_same_bytes("the model that was skipped", &mine, &mine_after);
            assert_true(g->turn == g->poison_at && sw_optim_steps_skipped(p->optim) == 1);
            free(mine_after.data);
        }
        free(mine.data);
        free(theirs.data);
        free(theirs_after.data);
        if (status != SW_SKIPPED) {
            assert_ok(status);
            return;
        }
    }
}

/* The path [ROUNDS, generator then discriminator]. */
static void *play(sw_dtype type, bool large, int64_t poison_at, turn_of *turn, size_t *row) {
    game *g = game_new(type, large);
    g->poison_at = poison_at;
    size_t size = sw_dtype_size(type), mine = (size_t)sw_params_dim(g->generator.params) * size,
           theirs = (size_t)sw_params_dim(g->discriminator.params) * size;
    *row = mine + theirs;
    char *path = malloc(ROUNDS * *row);
    assert_non_null(path);
    for (g->round = 0; g->round < ROUNDS; g->round++) {
        take_turn(g, &g->discriminator, &g->generator, turn);
        take_turn(g, &g->generator, &g->discriminator, turn);
        memcpy(path + (size_t)g->round * *row, sw_params_x(g->generator.params), mine);
        memcpy(path + (size_t)g->round * *row + mine, sw_params_x(g->discriminator.params), theirs);
    }
    assert_int_equal(g->turn, 2 * ROUNDS + (poison_at > 0));
    assert_null(sw_error());
    game_free(g);
    return path;
}

/* ---- Tests ---- */

static void test_gan_agrees_with_numpy(void **state) {
    (void)state;
    enum {
        G_DIM = sizeof generator_x0 / sizeof *generator_x0,
        D_DIM = sizeof discriminator_x0 / sizeof *discriminator_x0
    };
    for (sw_dtype type = SW_F32; type <= SW_F64; type++) {
        size_t row, size = sw_dtype_size(type);
        char *path = play(type, false, 0, turn_by_hand, &row);
        double worst = 0;
        assert_int_equal(row, (G_DIM + D_DIM) * size);
        for (int k = 0; k < ROUNDS; k++) {
            const char *at_k = path + (size_t)k * row;
            double g = distance(type, at_k, gan_generator[k], G_DIM),
                   d = distance(type, at_k + G_DIM * size, gan_discriminator[k], D_DIM);
            assert_near("gan's generator", k, g, gan_generator_tolerance[type]);
            assert_near("gan's discriminator", k, d, gan_discriminator_tolerance[type]);
            worst = fmax(worst, fmax(g, d));
        }
        print_message("gan %s: %.1e from NumPy, %.1e allowed\n", sw_dtype_name(type), worst,
                      gan_generator_tolerance[type]);
        free(path);
    }
}

/* By hand or through sw_optim_minimize: the same bits. */
static void test_gan_by_objectives_has_the_same_bits(void **state) {
    (void)state;
    for (sw_dtype type = SW_F32; type <= SW_F64; type++) {
        size_t row;
        void *hand = play(type, false, 0, turn_by_hand, &row);
        void *objective = play(type, false, 0, turn_as_objective, &row);
        assert_memory_equal(hand, objective, ROUNDS * row);
        free(hand);
        free(objective);
    }
}

static void test_gan_survives_skipped_steps(void **state) {
    (void)state;
    for (sw_dtype type = SW_F32; type <= SW_F64; type++) {
        size_t row;
        void *clean = play(type, false, 0, turn_by_hand, &row);
        for (int i = 1; i <= 2 * ROUNDS; i++) {
            void *hand = play(type, false, i, turn_by_hand, &row);
            void *objective = play(type, false, i, turn_as_objective, &row);
            assert_memory_equal(hand, clean, ROUNDS * row);
            assert_memory_equal(objective, clean, ROUNDS * row);
            free(hand);
            free(objective);
        }
        free(clean);
        print_message("gan %s: %d turns, each NaN once, by hand and as objectives\n", sw_dtype_name(type), 2 * ROUNDS);
    }
}

static void test_gan_has_equal_bits_on_threads(void **state) {
    (void)state;
    const int before = sw_threads();
    for (sw_dtype type = SW_F32; type <= SW_F64; type++) {
        size_t row;
        assert_ok(sw_set_threads(1));
        void *one = play(type, true, 0, turn_by_hand, &row);
        for (int threads = 2; threads <= 4; threads += 2) {
            assert_ok(sw_set_threads(threads));
            void *many = play(type, true, 0, turn_as_objective, &row);
            assert_memory_equal(many, one, ROUNDS * row);
            free(many);
        }
        free(one);
    }
    assert_ok(sw_set_threads(before));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gan_agrees_with_numpy),
        cmocka_unit_test(test_gan_by_objectives_has_the_same_bits),
        cmocka_unit_test(test_gan_survives_skipped_steps),
        cmocka_unit_test(test_gan_has_equal_bits_on_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
