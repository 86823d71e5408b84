static sw_status train_by_hand(const sw_objective *objective, sw_optim *optim, int64_t epochs,
                               sw_status (*evaluate)(const void *point, double mean_loss)) {
    SW_TRY(sw_optim_bind(optim, objective));
    int64_t steps = sw_optim_steps_per_epoch(optim, objective), skipped = 0;
    SW_TRY(sw_optim_set_steps(optim, epochs * steps)); /* schedules want to know */
    for (int64_t epoch = 0; epoch < epochs; epoch++) {
        double loss;
        sw_loss_mean mean = {0};
        for (int64_t i = 0; i < steps; i++) {
            sw_status status = sw_optim_minimize(optim, objective, &loss);
            skipped = status == SW_SKIPPED ? skipped + 1 : 0;
            if ((status != SW_OK && status != SW_SKIPPED) || skipped == 100)
                return status;
            if (status == SW_OK)
                SW_TRY(sw_loss_mean_add_part(&mean, loss, sw_optim_loss_weight(optim)));
        }
        SW_TRY(evaluate(sw_optim_point(optim), sw_loss_mean_value(&mean)));
    }
    return SW_OK;
}
